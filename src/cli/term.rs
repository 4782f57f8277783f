//! The one way to a terminal: every line printable ASCII, whatever is in it.

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Stderr, Stdout, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Failure;
use crate::model::escape::Spelling;

/// Standard output for answers, standard error for complaints.
#[derive(Debug)]
pub struct Term {
    out: BufWriter<Stdout>,
    err: Stderr,
    colours: bool,
    left_out: u64,
}

/// What a line is shown in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Denied.
    Red,
    /// Not as it should be.
    Yellow,
}

impl Default for Term {
    fn default() -> Term {
        Term::new()
    }
}

impl Term {
    /// The process's own.
    pub fn new() -> Term {
        let minds = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colours = !minds && io::stdout().is_terminal();
        Term {
            out: BufWriter::with_capacity(64 << 10, io::stdout()),
            err: io::stderr(),
            colours,
            left_out: 0,
        }
    }

    /// Prints one line, or several where `text` has line breaks of its own.
    ///
    /// # Errors
    ///
    /// The output can't be written.
    pub fn line(&mut self, text: impl Display) -> Result<(), Failure> {
        self.out.write_all(drawable(&text.to_string()).as_bytes()).map_err(gone)
    }

    /// Prints a picture of our own making, which has other characters than those of text.
    ///
    /// # Errors
    ///
    /// The output can't be written.
    pub(super) fn picture(&mut self, lines: &str) -> Result<(), Failure> {
        self.out.write_all(lines.as_bytes()).map_err(gone)
    }

    /// Prints the text of a file, which ends its own lines. A file may be of many scripts, so they are left as they are
    /// where no terminal shows them.
    ///
    /// # Errors
    ///
    /// The output can't be written.
    pub(super) fn file(&mut self, text: &str) -> Result<(), Failure> {
        if !io::stdout().is_terminal() {
            return self.out.write_all(text.as_bytes()).map_err(gone);
        }
        let mut drawn = drawable(text);
        drawn.pop();
        self.out.write_all(drawn.as_bytes()).map_err(gone)
    }

    /// Prints one row of a table, ended as RFC 4180 has it.
    ///
    /// # Errors
    ///
    /// The output can't be written.
    pub fn row(&mut self, cells: impl Display) -> Result<(), Failure> {
        let mut row = drawable(&cells.to_string());
        row.pop();
        row.push_str("\r\n");
        self.out.write_all(row.as_bytes()).map_err(gone)
    }

    /// Prints one line, in a colour where there is a terminal and nobody minds (`NO_COLOR`, no-color.org).
    ///
    /// # Errors
    ///
    /// The output can't be written.
    pub fn coloured(&mut self, colour: Option<Colour>, text: impl Display) -> Result<(), Failure> {
        let Some(colour) = colour.filter(|_| self.colours) else { return self.line(text) };
        let mut line = drawable(&text.to_string());
        line.pop();
        let code = match colour {
            Colour::Red => 31,
            Colour::Yellow => 33,
        };
        self.out.write_all(format!("\x1b[{code}m{line}\x1b[0m\n").as_bytes()).map_err(gone)
    }

    /// Says something beside the answer.
    pub fn complain(&mut self, text: impl Display) {
        let text = drawable(&format!("peergate: {text}"));
        // There is nobody else to be told.
        self.err.write_all(text.as_bytes()).ok();
    }

    /// Says that something is not in the answer, since it can't be read.
    pub fn leave_out(&mut self, text: impl Display) {
        self.left_out += 1;
        self.complain(text);
    }

    /// How often that was said.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Says how far it is, on a terminal only, where the next such line takes its place; an empty one leaves nothing.
    pub fn progress(&mut self, text: impl Display) {
        if self.err.is_terminal() {
            let text = drawable(&text.to_string());
            // There is nobody else to be told. The sequence clears the rest of the line.
            self.err.write_all(format!("\r{}\x1b[K", text.trim_end()).as_bytes()).ok();
        }
    }

    /// Lets the reader see what was printed so far.
    ///
    /// # Errors
    ///
    /// The output can't be written.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(gone)
    }

    /// Waits, unless the reader leaves meanwhile.
    ///
    /// # Errors
    ///
    /// The reader left.
    pub fn pause(&mut self, time: Duration) -> Result<(), Failure> {
        self.flush()?;
        let timeout = PollTimeout::try_from(time).unwrap_or(PollTimeout::ZERO);
        // Asked for nothing, poll still tells of POLLERR: the other end of a pipe is closed.
        let mut fds = [PollFd::new(self.out.get_ref().as_fd(), PollFlags::empty())];
        match poll(&mut fds, timeout) {
            Ok(found) if found > 0 => Err(Failure::ReaderLeft),
            // An interrupted pause is a short one.
            _ => Ok(()),
        }
    }
}

fn gone(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::ReaderLeft,
        _ => Failure::at("can't write the answer")(error),
    }
}

/// `text` and a line break, each character that is neither printable ASCII nor a line break spelt out.
fn drawable(text: &str) -> String {
    let mut line = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        if matches!(c, ' '..='~' | '\n') {
            line.push(c);
        } else {
            line.extend(Spelling::of(c).as_bytes().iter().map(|byte| char::from(*byte)));
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::drawable;

    #[test]
    fn drawable_leaves_nothing_to_draw_with() {
        assert_eq!(drawable("a\\\"\n\x1b[2J\r\u{202e}"), "a\\\"\n\\u001b[2J\\u000d\\u202e\n");
    }
}
