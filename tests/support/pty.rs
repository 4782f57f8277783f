//! A program on a terminal of its own: what it draws is parsed as a terminal would, keys are typed, the window changes.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, ttyname};

use super::{PATIENCE, run};

/// A program that was started on a terminal.
pub struct Pty {
    child: Child,
    keys: std::fs::File,
    /// Kept, so that the terminal's state can be asked for when the program is gone.
    slave: OwnedFd,
    drawn: Receiver<Vec<u8>>,
    parser: vt100::Parser,
    /// Every byte that it wrote.
    pub written: Vec<u8>,
}

impl Pty {
    /// Starts it in a window of this size.
    pub fn start(command: &Command, columns: u16, rows: u16) -> Pty {
        let window = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&window), None).unwrap();
        for end in [&pty.master, &pty.slave] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        }
        let end = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
        // `setsid` becomes the program, in a session whose terminal this one is.
        let child = Command::new("setsid")
            .arg("--ctty")
            .arg(command.get_program())
            .args(command.get_args())
            .env("LANG", "C.UTF-8")
            .env_remove("LC_ALL")
            .env_remove("LC_CTYPE")
            .env_remove("NO_COLOR")
            .stdin(end(&pty.slave))
            .stdout(end(&pty.slave))
            .stderr(end(&pty.slave))
            .spawn()
            .unwrap();
        let mut from = std::fs::File::from(pty.master.try_clone().unwrap());
        let (tell, drawn) = channel();
        std::thread::spawn(move || {
            let mut bytes = vec![0; 65_536];
            while let Ok(length) = from.read(&mut bytes) {
                if length == 0 || tell.send(bytes[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        let parser = vt100::Parser::new(rows.try_into().unwrap(), columns.try_into().unwrap(), 0);
        Pty {
            child,
            keys: std::fs::File::from(pty.master),
            slave: pty.slave,
            drawn,
            parser,
            written: Vec::new(),
        }
    }

    /// Types.
    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the screen is as wanted; all of it, line by line.
    pub fn wait(&mut self, what: &str, suits: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.parser.screen().contents();
            if suits(&screen) {
                return screen;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.drawn.recv_timeout(left) {
                Ok(bytes) => self.take(&bytes),
                Err(_) => panic!("not on the screen: {what}. There is:\n{screen}"),
            }
        }
    }

    /// Waits until this text stands on the screen.
    pub fn wait_for(&mut self, text: &str) -> String {
        self.wait(text, |screen| screen.contains(text))
    }

    fn take(&mut self, bytes: &[u8]) {
        self.parser.process(bytes);
        self.written.extend_from_slice(bytes);
    }

    /// Waits until the line that ends so is the one between title and keys that is drawn in reverse; none, where it
    /// is empty.
    pub fn wait_selected(&mut self, end: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.parser.screen();
            let (rows, columns) = screen.size();
            let (rows, columns) = (rows.get(), columns.get());
            let reversed = (1..rows - 1).filter(|row| screen.cell(*row, 0).is_some_and(vt100::Cell::inverse));
            let lines: Vec<String> =
                reversed.map(|row| screen.contents_between(row, 0, row, columns)).collect();
            match lines.as_slice() {
                [] if end.is_empty() => return,
                [line] if !end.is_empty() && line.trim_end().ends_with(end) => return,
                _ => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.drawn.recv_timeout(left) {
                Ok(bytes) => self.take(&bytes),
                Err(_) => panic!("selected is {lines:?}, not {end}. There is:\n{}", screen.contents()),
            }
        }
    }

    /// Gives the window another size.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.parser.screen_mut().set_size(rows.try_into().unwrap(), columns.try_into().unwrap());
        let terminal = ttyname(&self.slave).unwrap();
        let (rows, columns) = (rows.to_string(), columns.to_string());
        run(Command::new("stty").arg("-F").arg(terminal).args(["rows", &rows, "cols", &columns]));
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// Whether lines are edited and echoed, as a shell leaves a terminal.
    pub fn is_cooked(&self) -> bool {
        tcgetattr(&self.slave).unwrap().local_flags.contains(LocalFlags::ICANON | LocalFlags::ECHO)
    }

    /// Whether the second screen is shown.
    pub fn is_on_second_screen(&self) -> bool {
        self.parser.screen().alternate_screen()
    }

    /// Whether the cursor is hidden.
    pub fn hides_cursor(&self) -> bool {
        self.parser.screen().hide_cursor()
    }

    /// Waits for its end, and takes all that it wrote.
    pub fn wait_end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            let screen = self.parser.screen().contents();
            assert!(Instant::now() < deadline, "it does not end. On the screen is:\n{screen}");
            // Paced by what it draws.
            if let Ok(bytes) = self.drawn.recv_timeout(Duration::from_millis(20)) {
                self.take(&bytes);
            }
        };
        self.take_all();
        status
    }

    /// Waits until it has stopped, as a shell would, and takes all that it wrote.
    pub fn wait_stopped(&mut self) {
        let status = waitpid(self.pid(), Some(WaitPidFlag::WUNTRACED)).unwrap();
        assert!(matches!(status, WaitStatus::Stopped(..)), "{status:?}");
        self.take_all();
    }

    /// Takes all that was written, while nobody writes.
    fn take_all(&mut self) {
        // What stands before this one came from the program.
        const MARK: &str = "<the end>";
        std::fs::File::from(self.slave.try_clone().unwrap()).write_all(MARK.as_bytes()).unwrap();
        self.wait_for(MARK);
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
