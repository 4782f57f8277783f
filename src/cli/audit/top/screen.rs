//! The terminal while it is ours: raw, on its second screen, and given back as it was however we end.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::panic;
use std::sync::{Mutex, Once, PoisonError};

use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd;

use super::frame::{Line, Size};
use crate::sys::terminal;

/// Second screen, cursor hidden, no wrapping at the right edge.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
const LEAVE: &[u8] = b"\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l";

/// What has to be given back: the terminal, and how it was. In one place, because a panic has to find it.
static TAKEN: Mutex<Option<(OwnedFd, Termios)>> = Mutex::new(None);

/// Gives the terminal back, where it was taken.
fn give_back() {
    let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some((terminal, before)) = taken {
        // There is nobody left to be told.
        write_all(&terminal, LEAVE).ok();
        tcsetattr(&terminal, SetArg::TCSAFLUSH, &before).ok();
    }
}

fn write_all(terminal: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match unistd::write(terminal, bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A terminal that is drawn on.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: OwnedFd,
    colours: bool,
    /// What is on it, line by line, as it was drawn.
    drawn: Vec<String>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    ///
    /// It is no terminal, or can't be set.
    pub(super) fn take(terminal: OwnedFd, colours: bool) -> io::Result<Screen> {
        // A message of the panic is to be read on the first screen.
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                give_back();
                before(info);
            }));
        });
        let mut screen = Screen { terminal, colours, drawn: Vec::new() };
        screen.enter()?;
        Ok(screen)
    }

    fn enter(&mut self) -> io::Result<()> {
        let before = tcgetattr(&self.terminal)?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        let kept = self.terminal.try_clone()?;
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) = Some((kept, before));
        // What was typed meanwhile was meant for us.
        tcsetattr(&self.terminal, SetArg::TCSANOW, &raw)?;
        write_all(&self.terminal, ENTER)?;
        self.drawn.clear();
        Ok(())
    }

    /// Lets `meanwhile` have the terminal as it was.
    ///
    /// # Errors
    ///
    /// It can't be taken again.
    pub(super) fn lend(&mut self, meanwhile: impl FnOnce()) -> io::Result<()> {
        give_back();
        meanwhile();
        self.enter()
    }

    /// Its measure; that of a VT100 where it does not say.
    pub(super) fn size(&self) -> Size {
        let (columns, rows) = terminal::size(self.terminal.as_fd()).unwrap_or((80, 24));
        Size { columns: columns.into(), rows: rows.into() }
    }

    /// Draws what is different from what is there.
    ///
    /// # Errors
    ///
    /// It can't be written to.
    pub(super) fn draw(&mut self, lines: &[Line]) -> io::Result<()> {
        let drawn: Vec<String> = lines.iter().map(|line| line.drawn(self.colours)).collect();
        let mut bytes = Vec::new();
        if drawn.len() != self.drawn.len() {
            bytes.extend_from_slice(b"\x1b[2J");
            self.drawn.clear();
        }
        for (row, line) in drawn.iter().enumerate() {
            if self.drawn.get(row) != Some(line) {
                write!(bytes, "\x1b[{};1H{line}", row + 1)?;
            }
        }
        write_all(&self.terminal, &bytes)?;
        self.drawn = drawn;
        Ok(())
    }

    /// Forgets what is there, so that all of it is drawn the next time: the window has another size, or something
    /// else wrote to it.
    pub(super) fn forget(&mut self) {
        self.drawn.clear();
    }

    /// Where keys come from.
    pub(super) fn terminal(&self) -> &OwnedFd {
        &self.terminal
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::audit::top::frame::Style;
    use nix::pty::openpty;
    use nix::sys::termios::LocalFlags;

    #[test]
    fn panic_gives_the_terminal_back() {
        let pty = openpty(None, None).unwrap();
        let slave = pty.slave.try_clone().unwrap();
        let cooked =
            || tcgetattr(&pty.slave).unwrap().local_flags.contains(LocalFlags::ICANON | LocalFlags::ECHO);
        assert!(cooked());
        let ended = std::thread::spawn(move || {
            let mut screen = Screen::take(slave, true).unwrap();
            screen.draw(&[Line::of(Style::Plain, "drawn")]).unwrap();
            assert!(!tcgetattr(screen.terminal()).unwrap().local_flags.contains(LocalFlags::ICANON));
            panic!("a mistake of ours");
        })
        .join();
        assert!(ended.is_err());
        assert!(cooked());
        let mut said = [0; 4096];
        let length = unistd::read(&pty.master, &mut said).unwrap();
        let said = String::from_utf8_lossy(&said[..length]);
        assert!(said.contains("drawn") && said.ends_with(std::str::from_utf8(LEAVE).unwrap()), "{said:?}");
    }
}
