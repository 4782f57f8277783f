//! What the warden waits for: descriptors by epoll, and points in time.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// A thing that can have news. The numbers are never used again within one start, so news of something that is
/// already gone finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A listener, by its place.
    Listener(u16),
    /// The signalfd.
    Signals,
    /// The control socket.
    Control,
    /// One client of the control socket.
    ControlClient(u32),
    /// A lane of a gate.
    Lane(LaneId),
    /// A gate's process ended.
    GateProcess(u32),
    /// The scribe's channel.
    Scribe,
    /// The scribe's process ended.
    ScribeProcess(u32),
    /// A caller's connection has its end.
    Connection(u64),
    /// A backend connection that is under way.
    Connect(u32),
    /// A witness's process.
    Keeper(u32),
    /// A command's runner.
    Runner(u32),
    /// An app's channel.
    App(u32),
    /// An app's process ended.
    AppProcess(u32),
    /// The loader's answer.
    Loader(u32),
    /// The channel of a role that was started to try something.
    Probe(u32),
    /// Its process ended.
    ProbeProcess(u32),
}

/// One lane of one incarnation of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct LaneId {
    /// The gate's number; counts through all gates of this start.
    pub(super) gate: u32,
    /// The lane's place in it.
    pub(super) lane: u16,
}

/// The kind stands in the upper eight bits, the number in the rest.
const KIND_SHIFT: u32 = 56;

impl Source {
    fn token(self) -> u64 {
        let (kind, number) = match self {
            Source::Listener(place) => (0, u64::from(place)),
            Source::Signals => (1, 0),
            Source::Control => (2, 0),
            Source::ControlClient(client) => (3, u64::from(client)),
            Source::Lane(lane) => (4, u64::from(lane.gate) << 16 | u64::from(lane.lane)),
            Source::GateProcess(gate) => (5, u64::from(gate)),
            Source::Scribe => (6, 0),
            Source::ScribeProcess(incarnation) => (7, u64::from(incarnation)),
            Source::Connection(number) => (8, number),
            Source::Connect(connect) => (9, u64::from(connect)),
            Source::Loader(run) => (10, u64::from(run)),
            Source::Probe(probe) => (11, u64::from(probe)),
            Source::ProbeProcess(probe) => (12, u64::from(probe)),
            Source::Keeper(place) => (13, u64::from(place)),
            Source::Runner(number) => (14, u64::from(number)),
            Source::App(app) => (15, u64::from(app)),
            Source::AppProcess(app) => (16, u64::from(app)),
        };
        kind << KIND_SHIFT | number
    }

    fn from_token(token: u64) -> Option<Source> {
        let number = token & ((1 << KIND_SHIFT) - 1);
        let half = |number: u64| u16::try_from(number & 0xFFFF).unwrap_or(0);
        let word = |number: u64| u32::try_from(number & 0xFFFF_FFFF).unwrap_or(0);
        Some(match token >> KIND_SHIFT {
            0 => Source::Listener(half(number)),
            1 => Source::Signals,
            2 => Source::Control,
            3 => Source::ControlClient(word(number)),
            4 => Source::Lane(LaneId { gate: word(number >> 16), lane: half(number) }),
            5 => Source::GateProcess(word(number)),
            6 => Source::Scribe,
            7 => Source::ScribeProcess(word(number)),
            8 => Source::Connection(number),
            9 => Source::Connect(word(number)),
            10 => Source::Loader(word(number)),
            11 => Source::Probe(word(number)),
            12 => Source::ProbeProcess(word(number)),
            13 => Source::Keeper(word(number)),
            14 => Source::Runner(word(number)),
            15 => Source::App(word(number)),
            16 => Source::AppProcess(word(number)),
            _ => return None,
        })
    }
}

/// One piece of news.
#[derive(Debug, Clone, Copy)]
pub(super) struct News {
    /// Whose.
    pub(super) source: Source,
    /// Something can be read, or the other end is gone (which a read tells).
    pub(super) readable: bool,
    /// Something can be written.
    pub(super) writable: bool,
    /// Both directions are shut.
    pub(super) ended: bool,
}

/// What to be told about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interest {
    /// Only the end, which epoll always tells.
    End,
    /// Input.
    Read,
    /// Input and room for output.
    ReadWrite,
    /// Room for output.
    Write,
}

impl Interest {
    fn flags(self) -> EpollFlags {
        match self {
            Interest::End => EpollFlags::empty(),
            Interest::Read => EpollFlags::EPOLLIN,
            Interest::ReadWrite => EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT,
            Interest::Write => EpollFlags::EPOLLOUT,
        }
    }
}

/// How much news one round takes; what is left comes in the next.
const ROUND: usize = 256;

/// The epoll instance.
pub(super) struct Poll {
    epoll: Epoll,
    buffer: Vec<EpollEvent>,
}

impl Poll {
    /// A fresh one, close-on-exec.
    pub(super) fn new() -> io::Result<Poll> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Poll { epoll, buffer: vec![EpollEvent::empty(); ROUND] })
    }

    /// Starts to watch `fd`.
    pub(super) fn watch(&self, fd: impl AsFd, source: Source, interest: Interest) -> io::Result<()> {
        Ok(self.epoll.add(fd, EpollEvent::new(interest.flags(), source.token()))?)
    }

    /// Watches it for something else.
    pub(super) fn change(&self, fd: impl AsFd, source: Source, interest: Interest) -> io::Result<()> {
        Ok(self.epoll.modify(fd, &mut EpollEvent::new(interest.flags(), source.token()))?)
    }

    /// Stops to watch it. Needed before `fd` is closed wherever another process holds the same open file: epoll
    /// forgets a file only when its last descriptor anywhere is closed (`epoll(7)`).
    pub(super) fn forget(&self, fd: impl AsFd) {
        if let Err(errno) = self.epoll.delete(fd) {
            tracing::debug!(%errno, "a descriptor was not watched any more");
        }
    }

    /// Waits for news until `until` (forever where `None`).
    pub(super) fn wait(&mut self, until: Option<Instant>) -> io::Result<Vec<News>> {
        let timeout = match until {
            None => EpollTimeout::NONE,
            Some(at) => {
                // One more millisecond, because a timeout that is rounded down comes too early and spins.
                let left = at.saturating_duration_since(Instant::now());
                let millis = if left.is_zero() { 0 } else { left.as_millis() + 1 };
                EpollTimeout::try_from(i32::try_from(millis).unwrap_or(i32::MAX)).unwrap_or(EpollTimeout::MAX)
            }
        };
        let count = match self.epoll.wait(&mut self.buffer, timeout) {
            Ok(count) => count,
            Err(nix::errno::Errno::EINTR) => 0,
            Err(errno) => return Err(errno.into()),
        };
        Ok(self.buffer.iter().take(count).filter_map(news).collect())
    }
}

fn news(event: &EpollEvent) -> Option<News> {
    let flags = event.events();
    let ended = flags.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
    Some(News {
        source: Source::from_token(event.data())?,
        readable: ended || flags.contains(EpollFlags::EPOLLIN),
        writable: ended || flags.contains(EpollFlags::EPOLLOUT),
        ended,
    })
}

/// Points in time, each with what is to be done then. Nothing is taken back: who is reminded looks whether it
/// still matters.
pub(super) struct Timers<T> {
    due: BTreeMap<(Instant, u64), T>,
    count: u64,
}

impl<T> Timers<T> {
    /// None yet.
    pub(super) fn new() -> Timers<T> {
        Timers { due: BTreeMap::new(), count: 0 }
    }

    /// Reminds of `what` at `at`.
    pub(super) fn at(&mut self, at: Instant, what: T) {
        self.count += 1;
        self.due.insert((at, self.count), what);
    }

    /// Reminds of `what` after `wait`.
    pub(super) fn after(&mut self, wait: Duration, what: T) {
        self.at(Instant::now() + wait, what);
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    /// Takes out one that is due at `now`.
    pub(super) fn take(&mut self, now: Instant) -> Option<T> {
        let first = self.due.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_token_reads_back() {
        for source in [
            Source::Listener(7),
            Source::Signals,
            Source::Control,
            Source::ControlClient(u32::MAX),
            Source::Lane(LaneId { gate: u32::MAX, lane: u16::MAX }),
            Source::GateProcess(3),
            Source::Scribe,
            Source::ScribeProcess(9),
            Source::Connection((1 << 56) - 1),
            Source::Connect(1),
            Source::Loader(2),
            Source::Probe(4),
            Source::ProbeProcess(5),
            Source::Keeper(1),
            Source::Runner(6),
            Source::App(7),
            Source::AppProcess(8),
        ] {
            assert_eq!(Source::from_token(source.token()), Some(source));
        }
        assert_eq!(Source::from_token(u64::MAX), None);
    }

    #[test]
    fn timers_come_in_order_of_time_then_of_asking() {
        let mut timers = Timers::new();
        let now = Instant::now();
        timers.at(now + Duration::from_secs(9), "later");
        timers.at(now, "first");
        timers.at(now, "second");
        assert_eq!(timers.next(), Some(now));
        assert_eq!(
            [timers.take(now), timers.take(now), timers.take(now)],
            [Some("first"), Some("second"), None]
        );
        assert_eq!(timers.next(), Some(now + Duration::from_secs(9)));
    }

    #[test]
    fn connection_half_closed_is_no_end_and_closed_is() {
        use std::net::Shutdown;
        use std::os::unix::net::UnixStream;
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut poll = Poll::new().unwrap();
        poll.watch(&ours, Source::Connection(5), Interest::End).unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        assert!(poll.wait(Some(Instant::now())).unwrap().is_empty());
        drop(theirs);
        let news = poll.wait(None).unwrap();
        assert!(matches!(news.as_slice(), [News { source: Source::Connection(5), ended: true, .. }]));
    }
}
