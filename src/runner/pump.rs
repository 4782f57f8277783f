//! Everything that is waited for while a command runs: its output, its input, its end, its time, and who has left.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};

use super::cage::Running;
use super::frames::{Frames, Stream};
use super::tree::{self, Tree};
use crate::policy::OnLeave;
use crate::sys::process::{Child, Exit};
use crate::wire::channel::Channel;
use crate::wire::runner::{Ended, How, Job, ToRunner, Why};

/// Read at once.
const PIECE: usize = 16 << 10;
/// Input that waits for the program, and output that waits for the gate; beyond it nobody is read from.
const WAITING: usize = 256 << 10;

/// What is left to be sent once a command has ended.
pub(super) struct Rest {
    link: Option<OwnedFd>,
    frames: Frames,
}

impl Rest {
    /// Sends it, for as long as the gate keeps the link open and takes some of it within that time, in milliseconds: how
    /// long a whole answer may take is the gate's to know. What is not taken is cut.
    pub(super) fn flush(mut self, patience: u16) {
        while let Some(link) = self.link.take() {
            if self.frames.ready().is_empty() {
                return;
            }
            let mut fds = [PollFd::new(link.as_fd(), PollFlags::POLLOUT)];
            match poll(&mut fds, patience) {
                Ok(0) => return tracing::debug!("nobody takes the rest of an answer"),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return,
            }
            if write_out(&link, &mut self.frames).is_ok() {
                self.link = Some(link);
            }
        }
    }
}

/// A command while it runs.
struct Pump<'a> {
    job: &'a Job,
    tree: &'a Tree,
    child: Child,
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    /// `None` once nobody listens.
    link: Option<OwnedFd>,
    /// The caller may still send input.
    input_comes: bool,
    input: Vec<u8>,
    warden: Option<&'a Channel>,
    frames: Frames,
    said: [u64; 2],
    deadline: Instant,
    /// It was asked to end, why, and when it is ended.
    ending: Option<(Why, Instant)>,
    /// Its process is gone, and its number free.
    is_reaped: bool,
}

/// Waits for a command's end, and ends all that it started.
///
/// # Errors
///
/// What `poll(2)` answered.
pub(super) fn run(
    job: &Job,
    running: Running,
    tree: &Tree,
    link: OwnedFd,
    warden: Option<&Channel>,
    began: Instant,
) -> io::Result<(Ended, Rest)> {
    let Running { child, stdin, stdout, stderr } = running;
    let mut pump = Pump {
        job,
        tree,
        child,
        stdin,
        stdout: Some(stdout),
        stderr: Some(stderr),
        link: Some(link),
        input_comes: job.stdin,
        input: Vec::new(),
        warden,
        frames: Frames::new(job.form),
        said: [0, 0],
        deadline: began + Duration::from_millis(job.bounds.timeout_ms),
        ending: None,
        is_reaped: false,
    };
    if warden.is_none() {
        pump.warden_left();
    }
    pump.frames.begin();
    let exit = pump.wait()?;
    pump.is_reaped = true;
    // What it started ends with it; what all of them said is in the pipes by then.
    tree.end();
    pump.hear_the_last();
    let why = pump.ending.map_or(Why::Done, |(why, _)| why);
    let (cpu_us, rss_kib) = tree::used();
    let ended = Ended {
        id: job.id,
        how: match exit {
            Exit::Code(code) => How::Code(u8::try_from(code).unwrap_or(u8::MAX)),
            Exit::Signal(signal) => How::Signal(signal),
        },
        why,
        out: pump.said[0],
        err: pump.said[1],
        us: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
        cpu_us,
        rss_kib,
    };
    pump.frames.end(&ended, &job.statuses);
    Ok((ended, Rest { link: pump.link, frames: pump.frames }))
}

/// Who has news, by the place in the list that is polled.
#[derive(Clone, Copy)]
enum Source {
    Child,
    Warden,
    Link,
    Stdin,
    Stdout,
    Stderr,
}

impl Pump<'_> {
    fn wait(&mut self) -> io::Result<Exit> {
        loop {
            let news = self.news()?;
            for (source, flags) in news {
                match source {
                    Source::Child => {
                        if let Some(exit) = self.child.reap()? {
                            return Ok(exit);
                        }
                    }
                    Source::Warden => self.hear_warden(),
                    Source::Link => self.serve_link(flags),
                    Source::Stdin => self.feed(flags),
                    Source::Stdout => self.hear(Stream::Out),
                    Source::Stderr => self.hear(Stream::Err),
                }
            }
            self.look_at_the_clock();
        }
    }

    fn news(&self) -> io::Result<Vec<(Source, PollFlags)>> {
        let has_room = self.link.is_none() || self.frames.ready().len() < WAITING;
        let listen = if has_room { PollFlags::POLLIN } else { PollFlags::empty() };
        let mut link = PollFlags::empty();
        if !self.frames.ready().is_empty() {
            link |= PollFlags::POLLOUT;
        }
        if self.input_comes && self.input.len() < WAITING {
            link |= PollFlags::POLLIN;
        }
        let feed = if self.input.is_empty() { PollFlags::empty() } else { PollFlags::POLLOUT };
        let watched: [(Source, Option<BorrowedFd<'_>>, PollFlags); 6] = [
            // The end last: what was said before it is heard before it.
            (Source::Stdout, self.stdout.as_ref().filter(|_| has_room).map(AsFd::as_fd), listen),
            (Source::Stderr, self.stderr.as_ref().filter(|_| has_room).map(AsFd::as_fd), listen),
            (Source::Stdin, self.stdin.as_ref().map(AsFd::as_fd), feed),
            (Source::Link, self.link.as_ref().map(AsFd::as_fd), link),
            (Source::Warden, self.warden.map(AsFd::as_fd), PollFlags::POLLIN),
            (Source::Child, Some(self.child.as_fd()), PollFlags::POLLIN),
        ];
        let watched: Vec<_> =
            watched.into_iter().filter_map(|(source, fd, flags)| Some((source, fd?, flags))).collect();
        let mut fds: Vec<_> = watched.iter().map(|(_, fd, flags)| PollFd::new(*fd, *flags)).collect();
        match poll(&mut fds, self.timeout()) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(Vec::new()),
            Err(errno) => return Err(errno.into()),
        }
        let told = watched.iter().zip(&fds).filter_map(|((source, _, _), fd)| {
            let flags = fd.revents().unwrap_or(PollFlags::empty());
            (!flags.is_empty()).then_some((*source, flags))
        });
        Ok(told.collect())
    }

    fn timeout(&self) -> PollTimeout {
        let at = self.ending.map_or(self.deadline, |(_, kill)| kill);
        let millis = at.saturating_duration_since(Instant::now()).as_millis() + 1;
        PollTimeout::try_from(i32::try_from(millis).unwrap_or(i32::MAX)).unwrap_or(PollTimeout::MAX)
    }

    fn look_at_the_clock(&mut self) {
        let now = Instant::now();
        match self.ending {
            None if now >= self.deadline => self.end(Why::Timeout),
            Some((why, kill)) if now >= kill => {
                tracing::debug!(id = %self.job.id, why = why.word(), "a command that does not end is ended");
                if let Err(error) = self.child.signal(nix::libc::SIGKILL) {
                    tracing::debug!(%error, "it has ended by itself");
                }
                self.ending = Some((why, now + Duration::from_secs(1)));
            }
            _ => {}
        }
    }

    /// Asks it to end; the first reason stays.
    fn end(&mut self, why: Why) {
        if self.ending.is_none() {
            self.ending = Some((why, Instant::now() + Duration::from_millis(self.job.bounds.grace_ms)));
            // Once it has been reaped, its number may be somebody else's.
            if !self.is_reaped {
                self.tree.ask(self.child.pid());
            }
        }
    }

    fn caller_left(&mut self) {
        self.link = None;
        self.input_comes = false;
        self.input.clear();
        self.stdin = None;
        if self.job.bounds.on_leave == OnLeave::Kill {
            self.end(Why::CallerLeft);
        }
    }

    /// The daemon ended, and with it its callers' connections.
    fn warden_left(&mut self) {
        self.warden = None;
        self.caller_left();
    }

    fn hear_warden(&mut self) {
        let Some(channel) = self.warden else { return };
        match channel.receive_bare::<ToRunner>() {
            Ok(Some(ToRunner::CallerLeft)) => self.caller_left(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(Some(ToRunner::Run(_) | ToRunner::Try { .. } | ToRunner::Noted) | None) | Err(_) => {
                self.warden_left()
            }
        }
    }

    fn serve_link(&mut self, flags: PollFlags) {
        let Some(link) = &self.link else { return };
        if flags.intersects(PollFlags::POLLHUP | PollFlags::POLLERR)
            || flags.contains(PollFlags::POLLOUT) && write_out(link, &mut self.frames).is_err()
        {
            return self.caller_left();
        }
        if flags.contains(PollFlags::POLLIN) {
            let mut piece = [0; PIECE];
            match nix::unistd::read(link, &mut piece) {
                Ok(0) => self.input_comes = false,
                Ok(bytes) => self.input.extend_from_slice(piece.get(..bytes).unwrap_or_default()),
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(_) => return self.caller_left(),
            }
        }
        self.close_stdin_at_its_end();
    }

    fn feed(&mut self, flags: PollFlags) {
        let Some(stdin) = &self.stdin else { return };
        if flags.contains(PollFlags::POLLOUT) {
            match nix::unistd::write(stdin, &self.input) {
                Ok(bytes) => drop(self.input.drain(..bytes)),
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                // It takes no more, which is its own affair.
                Err(_) => self.stdin = None,
            }
        } else if flags.intersects(PollFlags::POLLERR | PollFlags::POLLHUP) {
            self.stdin = None;
        }
        self.close_stdin_at_its_end();
    }

    fn close_stdin_at_its_end(&mut self) {
        if !self.input_comes && self.input.is_empty() {
            self.stdin = None;
        }
        if self.stdin.is_none() {
            // What still comes is taken from the link and thrown away, so that the gate does not wait.
            self.input.clear();
        }
    }

    fn hear(&mut self, stream: Stream) {
        let pipe = match stream {
            Stream::Out => &self.stdout,
            Stream::Err => &self.stderr,
        };
        let Some(pipe) = pipe else { return };
        let mut piece = [0; PIECE];
        match nix::unistd::read(pipe, &mut piece) {
            Ok(bytes @ 1..) => self.heard(stream, piece.get(..bytes).unwrap_or_default()),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Ok(_) | Err(_) => self.close(stream),
        }
    }

    fn close(&mut self, stream: Stream) {
        match stream {
            Stream::Out => self.stdout = None,
            Stream::Err => self.stderr = None,
        }
    }

    fn heard(&mut self, stream: Stream, bytes: &[u8]) {
        let before: u64 = self.said.iter().sum();
        if let Some(said) = self.said.get_mut(usize::from(stream == Stream::Err)) {
            *said += bytes.len() as u64;
        }
        let room = usize::try_from(self.job.bounds.output.saturating_sub(before)).unwrap_or(usize::MAX);
        if bytes.len() > room {
            self.end(Why::Output);
        }
        if self.link.is_some() {
            self.frames.say(stream, bytes.get(..bytes.len().min(room)).unwrap_or_default());
        }
    }

    /// What is still in the pipes, whose writers are gone: at most what a pipe holds.
    fn hear_the_last(&mut self) {
        for stream in [Stream::Out, Stream::Err] {
            let mut piece = vec![0; PIECE];
            let pipe = match stream {
                Stream::Out => self.stdout.take(),
                Stream::Err => self.stderr.take(),
            };
            let Some(pipe) = pipe else { continue };
            while let Ok(bytes @ 1..) = nix::unistd::read(&pipe, &mut piece) {
                let over = self.ending;
                self.heard(stream, piece.get(..bytes).unwrap_or_default());
                // It has ended: nobody is asked any more.
                if over.is_none() && self.said.iter().sum::<u64>() > self.job.bounds.output {
                    break;
                }
            }
        }
    }
}

/// Sends what is ready, as much as goes. An error: nobody listens.
fn write_out(link: &OwnedFd, frames: &mut Frames) -> Result<(), Errno> {
    use std::os::fd::AsRawFd;
    match send(link.as_raw_fd(), frames.ready(), MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT) {
        Ok(bytes) => frames.sent(bytes),
        Err(Errno::EAGAIN | Errno::EINTR) => {}
        Err(errno) => return Err(errno),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::wire::runner::Form;

    #[test]
    fn rest_that_nobody_takes_is_cut() {
        let (link, mut gate) = UnixStream::pair().unwrap();
        let mut frames = Frames::new(Form::Live);
        frames.begin();
        frames.say(Stream::Out, &vec![b'x'; 8 << 20]);
        // It comes back although the other end is open and takes nothing.
        Rest { link: Some(link.into()), frames }.flush(10);
        let mut taken = Vec::new();
        gate.read_to_end(&mut taken).unwrap();
        assert!(!taken.is_empty() && taken.len() < 8 << 20, "{}", taken.len());
    }
}
