//! The reading end: a plain thread in the scribe's process that writes what all roles say to stderr, or to
//! files that roll over daily.
//!
//! What comes out of the pipe was written by other processes, perhaps by one that was taken over: every line is
//! bounded and spelt as printable ASCII again before it goes on.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing_appender::rolling::{RollingFileAppender, Rotation};

use super::{LINE_MAX, LOSS};
use crate::model::escape::Shown;

/// Days for which rolling files are kept.
const FILES: usize = 14;

/// Where lines go.
#[derive(Debug)]
pub enum Sink {
    /// The process's stderr: the journal, under systemd.
    Stderr,
    /// Files in a directory.
    Rolling(Box<RollingFileAppender>),
}

impl Sink {
    /// Rolling files `peergate.<date>.log` in `directory`, 14 of them.
    ///
    /// # Errors
    ///
    /// The directory or its first file can't be made.
    pub fn rolling(directory: &Path) -> io::Result<Sink> {
        let files = RollingFileAppender::builder()
            .rotation(Rotation::DAILY)
            .filename_prefix("peergate")
            .filename_suffix("log")
            .max_log_files(FILES)
            .build(directory)
            .map_err(io::Error::other)?;
        Ok(Sink::Rolling(Box::new(files)))
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Sink::Stderr => io::stderr().lock().write_all(line),
            Sink::Rolling(files) => files.write_all(line),
        }
    }
}

/// The running thread.
#[derive(Debug)]
pub struct Collector {
    lost: Arc<AtomicU64>,
    /// Closing it ends the thread.
    stop: OwnedFd,
    thread: JoinHandle<()>,
}

impl Collector {
    /// Starts reading `pipe`.
    ///
    /// # Errors
    ///
    /// No thread or no descriptor is to be had.
    pub fn start(pipe: OwnedFd, sink: Sink) -> io::Result<Collector> {
        // Other processes' writes must never wait, so the pipe does not block; neither may its last read.
        super::never_block(&pipe)?;
        let (stopped, stop) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        let lost = Arc::new(AtomicU64::new(0));
        let mut lines = Lines { sink, lost: Arc::clone(&lost), begun: Vec::new(), passing: false };
        let thread =
            Builder::new().name("diagnostics".into()).spawn(move || lines.collect(&pipe.into(), &stopped))?;
        Ok(Collector { lost, stop, thread })
    }

    /// Lines that were lost so far, by any role.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Writes what is still in the pipe and ends; how many lines were lost in all.
    pub fn finish(self) -> u64 {
        drop(self.stop);
        // A panic of the thread has been told by the panic hook.
        self.thread.join().ok();
        self.lost.load(Ordering::Relaxed)
    }
}

struct Lines {
    sink: Sink,
    lost: Arc<AtomicU64>,
    /// A line that is not whole yet.
    begun: Vec<u8>,
    /// It got too long and the rest is passed over.
    passing: bool,
}

impl Lines {
    fn collect(&mut self, pipe: &std::fs::File, stopped: &OwnedFd) {
        let mut buffer = vec![0; 64 << 10];
        let mut last = false;
        loop {
            match (&mut &*pipe).read(&mut buffer) {
                // Nobody is left who could speak.
                Ok(0) => return,
                Ok(read) => self.take(buffer.get(..read).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !last => {
                    let mut both =
                        [pipe.as_fd(), stopped.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
                    // An error here is one of the next read, too.
                    poll(&mut both, PollTimeout::NONE).ok();
                    last = both.iter().skip(1).any(|fd| fd.any().unwrap_or(false));
                }
                Err(_) => return,
            }
        }
    }

    fn take(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (piece, rest) = bytes.split_at(end);
            self.add(piece);
            self.line();
            bytes = rest.get(1..).unwrap_or_default();
        }
        self.add(bytes);
    }

    fn add(&mut self, piece: &[u8]) {
        let room = LINE_MAX.saturating_sub(self.begun.len());
        self.passing |= piece.len() > room;
        self.begun.extend(piece.iter().take(room));
    }

    fn line(&mut self) {
        let line = std::mem::take(&mut self.begun);
        let cut = std::mem::take(&mut self.passing);
        let mut text = match line.strip_prefix(&[LOSS]) {
            Some(loss) => self.loss(loss),
            None if line.iter().all(|byte| matches!(byte, b' '..=b'~')) => line,
            None => Shown(&line).to_string().into_bytes(),
        };
        if cut {
            text.extend_from_slice(b" [cut]");
        }
        text.push(b'\n');
        if self.sink.write(&text).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// `<count> <role>`: counts it, and says so.
    fn loss(&self, loss: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(loss);
        let (count, role) = text.split_once(' ').unwrap_or((&text, ""));
        self.lost.fetch_add(count.parse().unwrap_or(1), Ordering::Relaxed);
        let (count, role) = (Shown(count.as_bytes()), Shown(role.as_bytes()));
        format!("{role}: {count} diagnostic lines were lost: the pipe was full").into_bytes()
    }
}
