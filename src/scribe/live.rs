//! Answers for callers: the counters once, or decisions for as long as somebody listens. Whom, the warden has judged
//! and recorded; the gate carries the answer as it carries any other.
//!
//! Nothing is read from a listener, nothing waits for one: each has a bounded buffer, what it is too slow for is
//! dropped and counted, and it is told how much that was. Their number is bounded too, in all and of each uid.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};

use super::metrics::{CONTENT_TYPE, Counters, Own};
use crate::audit::inspect::{Judged, Kind, Role};
use crate::model::time::Timestamp;
use crate::policy::{Feed, Only, Policy};
use crate::wire::message::Followed as Source;
use crate::wire::told::{Serve, Told};

/// Answers at a time.
const MOST: usize = 32;
/// And of one uid.
const MOST_OF_ONE: usize = 8;
/// A listener may be behind by so many bytes.
const BEHIND: usize = 256 << 10;
/// An answer that has an end is taken within this time, or cut.
const PATIENCE: Duration = Duration::from_secs(30);
/// A listener hears at least this often from us, so that both sides notice when the other is gone.
const QUIET: Duration = Duration::from_secs(15);
/// The counters are written out at most this often: asking for them is no way to keep the scribe busy.
const FRESH: Duration = Duration::from_secs(1);

/// The other end of an answer is closed.
const GONE: PollFlags = PollFlags::POLLHUP.union(PollFlags::POLLERR);

/// All counters, and everybody who is being answered.
pub(super) struct Live {
    pub(super) counters: Counters,
    answers: Vec<Answer>,
    lost: u64,
    fresh: Option<(Instant, Rc<[u8]>)>,
    since: Timestamp,
}

/// One connection that is being answered.
struct Answer {
    socket: OwnedFd,
    uid: u32,
    rest: Rest,
    /// When a byte went out last, or it began.
    moved: Instant,
}

/// What is still to be sent.
enum Rest {
    /// This from there on, and then it is over.
    Whole(Rc<[u8]>, usize),
    /// Events without end.
    Events {
        only: Only,
        queue: VecDeque<u8>,
        /// Events that were dropped since the last one that was not.
        dropped: u64,
    },
}

impl Live {
    /// Nobody is there yet.
    pub(super) fn new() -> Live {
        Live { counters: Counters::new(), answers: Vec::new(), lost: 0, fresh: None, since: Timestamp::now() }
    }

    /// Counts by the names of this policy. Who listens was allowed by another one, and what a feed has may have
    /// changed: they ask again.
    pub(super) fn know(&mut self, policy: &Policy) {
        self.counters.know(policy);
        self.answers.retain(|answer| matches!(answer.rest, Rest::Whole(..)));
    }

    /// Begins an answer.
    pub(super) fn serve(&mut self, socket: OwnedFd, serve: Serve, own: Own) {
        let Serve { feed, only, uid, told } = serve;
        let now = Instant::now();
        let of_one = self.answers.iter().filter(|answer| answer.uid == uid).count();
        let rest = if self.answers.len() >= MOST || of_one >= MOST_OF_ONE {
            Rest::Whole(Rc::from(TOO_MANY.as_bytes()), 0)
        } else {
            match feed {
                Feed::Metrics => Rest::Whole(self.metrics(own, &told, now), 0),
                Feed::Decisions => Rest::Events { only, queue: LISTENING.bytes().collect(), dropped: 0 },
            }
        };
        let mut answer = Answer { socket, uid, rest, moved: now };
        if answer.push(now) && self.answers.len() < MOST {
            self.answers.push(answer);
        }
    }

    fn metrics(&mut self, own: Own, told: &Told, now: Instant) -> Rc<[u8]> {
        if let Some((made, text)) = &self.fresh
            && now.saturating_duration_since(*made) < FRESH
        {
            return Rc::clone(text);
        }
        let serving = u64::try_from(self.answers.len()).unwrap_or(u64::MAX);
        let text = self
            .counters
            .text(&Own { serving, lost_events: self.lost, since: self.since.micros(), ..own }, told);
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {CONTENT_TYPE}\r\nCache-Control: no-store\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            text.len()
        );
        let text: Rc<[u8]> = [head.as_bytes(), text.as_bytes()].concat().into();
        self.fresh = Some((now, Rc::clone(&text)));
        text
    }

    /// Counts a record, and tells those who listen.
    pub(super) fn note(&mut self, judged: &Judged<'_>, source: &Source) {
        let writer = source.role;
        self.counters.count(judged, writer == Role::Warden, source.gate);
        if self.answers.is_empty()
            || !matches!(judged.kind, Kind::Decision | Kind::Repeat)
            || writer == Role::Warden
        {
            return;
        }
        for answer in &mut self.answers {
            if let Rest::Events { only, queue, dropped } = &mut answer.rest
                && wanted(only, judged)
            {
                self.lost += offer(queue, dropped, judged);
            }
        }
    }

    /// Sends what goes, and lets go of whoever is done, gone or too slow.
    pub(super) fn push(&mut self) {
        let now = Instant::now();
        self.answers.retain_mut(|answer| {
            answer.keep_alive(now);
            answer.push(now)
        });
    }

    /// Waits for one of these, for room in what an answer waits for, and for an answer's other end; no longer than
    /// that. Whoever is gone is let go.
    ///
    /// # Errors
    ///
    /// What `poll(2)` answered.
    pub(super) fn wait(&mut self, others: &[BorrowedFd<'_>], longest: Duration) -> Result<(), Errno> {
        let input = others.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN));
        let answers = self.answers.iter().map(|answer| {
            let room = if answer.waits() { PollFlags::POLLOUT } else { PollFlags::empty() };
            PollFd::new(answer.socket.as_fd(), room)
        });
        let mut fds: Vec<PollFd<'_>> = input.chain(answers).collect();
        match poll(&mut fds, PollTimeout::try_from(longest).unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        let gone = |fd: &PollFd<'_>| fd.revents().is_some_and(|news| news.intersects(GONE));
        let gone: Vec<bool> = fds.iter().skip(others.len()).map(gone).collect();
        let mut gone = gone.into_iter();
        self.answers.retain(|_| !gone.next().unwrap_or(false));
        Ok(())
    }
}

const TOO_MANY: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 24\r\n\
                        Retry-After: 5\r\nConnection: close\r\n\r\ntoo many listen already\n";
const LISTENING: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\
                         Connection: close\r\n\r\n: decisions as they are written\n\n";

/// Whether a listener is to hear of it.
fn wanted(only: &Only, judged: &Judged<'_>) -> bool {
    let said = &judged.said;
    // What a `repeat` counts was denied.
    let allowed = said.decision == Some("allow");
    let uid = || said.uid.and_then(|uid| uid.parse().ok());
    only.allowed.is_none_or(|wanted| wanted == allowed)
        && (only.routes.is_empty()
            || said.route.is_some_and(|route| only.routes.iter().any(|wanted| wanted == route)))
        && (only.users.is_empty()
            || uid().is_some_and(|uid: u32| only.users.iter().any(|user| user.raw() == uid)))
}

fn lost(dropped: u64) -> String {
    format!("event: lost\ndata: {{\"lost\":{dropped}}}\n\n")
}

/// Puts an event behind what waits; how many were dropped.
fn offer(queue: &mut VecDeque<u8>, dropped: &mut u64, judged: &Judged<'_>) -> u64 {
    let mut event = Vec::with_capacity(judged.line.len() + 96);
    if *dropped > 0 {
        event.extend_from_slice(lost(*dropped).as_bytes());
    }
    event.extend_from_slice(b"event: ");
    event.extend_from_slice(judged.kind.name().as_bytes());
    if judged.kind == Kind::Decision {
        event.extend_from_slice(b"\nid: ");
        event.extend_from_slice(judged.said.id.unwrap_or_default().as_bytes());
    }
    event.extend_from_slice(b"\ndata: ");
    event.extend_from_slice(judged.line);
    event.extend_from_slice(b"\n\n");
    if queue.len() + event.len() > BEHIND {
        *dropped += 1;
        return 1;
    }
    *dropped = 0;
    queue.extend(event);
    0
}

impl Answer {
    fn waits(&self) -> bool {
        match &self.rest {
            Rest::Whole(bytes, at) => *at < bytes.len(),
            Rest::Events { queue, .. } => !queue.is_empty(),
        }
    }

    /// Who has taken all that waited is told what was lost, though nothing else may come for long; or that we are here.
    fn keep_alive(&mut self, now: Instant) {
        let Rest::Events { queue, dropped, .. } = &mut self.rest else { return };
        if !queue.is_empty() {
            return;
        }
        if *dropped > 0 {
            queue.extend(lost(std::mem::take(dropped)).as_bytes());
        } else if now.saturating_duration_since(self.moved) >= QUIET {
            queue.extend(b":\n\n");
        }
    }

    /// Sends what goes; whether to go on.
    fn push(&mut self, now: Instant) -> bool {
        loop {
            let rest = match &self.rest {
                Rest::Whole(bytes, at) => bytes.get(*at..).unwrap_or_default(),
                Rest::Events { queue, .. } => queue.as_slices().0,
            };
            if rest.is_empty() {
                return matches!(self.rest, Rest::Events { .. });
            }
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            match send(self.socket.as_raw_fd(), rest, flags) {
                Ok(sent) => {
                    self.moved = now;
                    match &mut self.rest {
                        Rest::Whole(_, at) => *at += sent,
                        Rest::Events { queue, .. } => drop(queue.drain(..sent)),
                    }
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    let late = now.saturating_duration_since(self.moved) >= PATIENCE;
                    return !late || matches!(self.rest, Rest::Events { .. });
                }
                // The caller left, or the gate cut it off.
                Err(_gone) => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests;
