//! `peergate audit top`: what happens now, on a terminal.
//!
//! Reads as `tail -f` does. What is drawn goes through [`frame::Line`], which lets nothing but printable ASCII and
//! its own blocks pass.

mod board;
mod detail;
mod frame;
mod keys;
mod screen;
mod view;

use std::fs::OpenOptions;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Args;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd;

use super::Where;
use crate::audit::query::when::When;
use crate::audit::query::{Filter, Join};
use crate::audit::reader::{Reader, Sieve};
use crate::cli::term::Term;
use crate::cli::{Answer, Failure};
use crate::model::time::Timestamp;
use board::{After, Board};
use frame::Size;
use screen::Screen;

/// The record is looked at this often for what is new.
const LOOK: Duration = Duration::from_millis(200);
/// Items that are taken between two looks at the keys.
const BATCH: usize = 5_000;
/// Without `--since`, so much of what was is read.
const BACK: u64 = 5 * 60 * 1_000_000;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    place: Where,
    /// Prints one picture as text, of the moment --until if that is given, and ends
    #[arg(long)]
    once: bool,
    /// How wide that picture is
    #[arg(long, value_name = "COLUMNS", default_value_t = 80, requires = "once",
          value_parser = clap::value_parser!(u16).range(20..=1_000))]
    columns: u16,
    /// How high
    #[arg(long, value_name = "ROWS", default_value_t = 24, requires = "once",
          value_parser = clap::value_parser!(u16).range(5..=1_000))]
    rows: u16,
    #[command(flatten)]
    filter: Filter,
}

pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let directory = arguments.place.directory();
    let place = directory.display().to_string();
    let reader = Reader::open(&directory).map_err(Failure::at(format!("can't read {place}")))?;
    let mut filter = arguments.filter.clone();
    let now = Timestamp::now();
    let until = filter.until.filter(|_| arguments.once).map(|until| until.end);
    let moment = until.unwrap_or(now);
    if filter.since.is_none() {
        let begin = Timestamp::from_micros(moment.micros().saturating_sub(BACK));
        filter.since = Some(When { begin, end: begin, is_last_report: false });
    }
    let since = filter.since.map_or_else(String::new, |since| since.begin.to_string());
    let reader = reader.sieved(Rc::new(Younger(since)));
    let mut live =
        Live { join: Join::following(reader), board: Board::new(filter, moment), place, failed: None };
    if arguments.once {
        while live.read() {}
        live.board.tick(moment);
        let size = Size { columns: arguments.columns.into(), rows: arguments.rows.into() };
        for line in view::picture(&live.board, &live.place, size, false).lines {
            term.line(line.text().trim_end())?;
        }
        if let Some(failed) = live.failed {
            term.leave_out(failed);
        }
        return Ok(Answer::Yes);
    }
    let terminal = terminal().ok_or_else(|| {
        Failure::Because("there is no terminal to draw on; --once prints one picture as text".to_owned())
    })?;
    live.run(terminal)
}

/// Passes over what was noted before an instant, in the record's spelling; who is connected stays known.
struct Younger(String);

impl Sieve for Younger {
    fn opens(&self, _: &str) -> bool {
        true
    }

    fn keeps(&self, _: &str, _: u64, line: &[u8]) -> bool {
        // `{"v":1,"t":"decision","n":12,"ts":"2026-…`
        let head = line.get(..96).unwrap_or(line);
        let ts = head.windows(6).position(|it| it == b"\"ts\":\"").and_then(|at| head.get(at + 6..at + 33));
        head.starts_with(b"{\"v\":1,\"t\":\"conn\"") || ts.is_none_or(|ts| ts >= self.0.as_bytes())
    }
}

/// The terminal that we were started from.
fn terminal() -> Option<OwnedFd> {
    if !io::stdout().is_terminal() {
        return None;
    }
    OpenOptions::new().read(true).write(true).open("/dev/tty").ok().map(OwnedFd::from)
}

/// The record and what is known of it.
struct Live {
    join: Join,
    board: Board,
    place: String,
    /// What could not be read, until it can be.
    failed: Option<String>,
}

impl Live {
    /// Takes what is there, a batch at most; whether there may be more.
    fn read(&mut self) -> bool {
        for _ in 0..BATCH {
            match self.join.next_item() {
                Ok(Some(item)) => self.board.take(item),
                Ok(None) => return false,
                Err(error) => self.failed = Some(format!("can't read a segment: {error}")),
            }
        }
        true
    }

    /// Draws, reads and obeys, until it is told to end.
    fn run(mut self, terminal: OwnedFd) -> Result<Answer, Failure> {
        let undrawable = || Failure::at("can't draw on the terminal");
        // Before the terminal is taken: from here on a signal ends us only after it was given back.
        let signals = Signals::take().map_err(undrawable())?;
        let mut screen = Screen::take(terminal, wants_colours()).map_err(undrawable())?;
        let blocks = is_utf8();
        let mut looked = Instant::now();
        let mut more = true;
        loop {
            if !self.board.paused {
                more = self.read();
                self.board.tick(Timestamp::now());
            }
            let picture = view::picture(&self.board, &self.place, screen.size(), blocks);
            screen.draw(&picture.lines).map_err(undrawable())?;
            let wait = if more && !self.board.paused { Duration::ZERO } else { LOOK };
            let (typed, signal) = wait_for(&screen, &signals, wait).map_err(undrawable())?;
            if let Some(signal) = signal {
                match signal {
                    Signal::SIGWINCH => screen.forget(),
                    Signal::SIGTSTP => self.suspend(&mut screen).map_err(undrawable())?,
                    _ => {
                        drop(screen);
                        signals.end_by(signal);
                        return Ok(Answer::Yes);
                    }
                }
            }
            for key in keys::keys(&typed) {
                match self.board.press(key, picture.page) {
                    After::GoOn => {}
                    After::Quit => return Ok(Answer::Yes),
                    After::Suspend => self.suspend(&mut screen).map_err(undrawable())?,
                    After::Redraw => screen.forget(),
                }
            }
            if looked.elapsed() >= LOOK && !self.board.paused {
                looked = Instant::now();
                let looked = self.join.rescan().map(|()| self.join.reader().unreadable());
                self.failed = match looked {
                    Ok(0) => None,
                    Ok(count) => Some(format!("{count} segments can't be read")),
                    Err(error) => Some(format!("can't read {}: {error}", self.place)),
                };
            }
        }
    }

    /// Stops as any program does at Ctrl-Z, the terminal as it was meanwhile.
    fn suspend(&self, screen: &mut Screen) -> io::Result<()> {
        screen.lend(|| {
            raise(Signal::SIGSTOP).ok();
        })
    }
}

/// Keys, or a signal, whatever comes first in that time.
fn wait_for(screen: &Screen, signals: &Signals, time: Duration) -> io::Result<(Vec<u8>, Option<Signal>)> {
    let timeout = PollTimeout::try_from(time).unwrap_or(PollTimeout::ZERO);
    let mut fds = [
        PollFd::new(screen.terminal().as_fd(), PollFlags::POLLIN),
        PollFd::new(signals.0.as_fd(), PollFlags::POLLIN),
    ];
    match poll(&mut fds, timeout) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(error) => return Err(error.into()),
    }
    let [keys, _] = fds.map(|fd| fd.revents().is_some_and(|events| !events.is_empty()));
    let signal = signals.next();
    let mut typed = vec![0; 4_096];
    let length = match keys.then(|| unistd::read(screen.terminal(), &mut typed)) {
        None => 0,
        // The terminal is gone, as at a hangup.
        Some(Ok(0) | Err(Errno::EIO)) => return Ok((Vec::new(), signal.or(Some(Signal::SIGHUP)))),
        Some(Ok(length)) => length,
        Some(Err(Errno::EINTR | Errno::EAGAIN)) => 0,
        Some(Err(error)) => return Err(error.into()),
    };
    typed.truncate(length);
    Ok((typed, signal))
}

/// Signals that are read instead of acting by themselves.
struct Signals(SignalFd);

impl Signals {
    fn mask() -> SigSet {
        let signals = [
            Signal::SIGTERM,
            Signal::SIGINT,
            Signal::SIGHUP,
            Signal::SIGQUIT,
            Signal::SIGWINCH,
            Signal::SIGTSTP,
        ];
        signals.into_iter().collect()
    }

    fn take() -> io::Result<Signals> {
        let mask = Signals::mask();
        mask.thread_block()?;
        Ok(Signals(SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
    }

    fn next(&self) -> Option<Signal> {
        let told = self.0.read_signal().ok().flatten()?;
        i32::try_from(told.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok())
    }

    /// Ends the process as the signal would have, so that who started us sees by what we ended; also where it is ignored, as
    /// it is by what a shell starts in the background.
    fn end_by(self, signal: Signal) {
        raise(signal).ok();
        crate::sys::process::reset_signals().ok();
    }
}

/// `NO_COLOR` set to anything means none.
fn wants_colours() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether the terminal can be trusted with characters beyond ASCII, by locale(7)'s order.
fn is_utf8() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|it| !it.is_empty()));
    set.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.ends_with("utf-8") || locale.ends_with("utf8")
    })
}
