//! A channel to a role, with what it has no room for kept in order until it has.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use nix::errno::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::wire::channel::Channel;

/// What is left to do after a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// All is on its way.
    Sent,
    /// The channel is full; it says itself when it has room.
    Full,
    /// The kernel is short of something that it will not announce; try again after a moment.
    Later,
}

struct Parcel<M> {
    message: M,
    descriptors: Vec<Rc<OwnedFd>>,
}

/// One end of a channel and its queue.
pub(super) struct Line<M> {
    channel: Channel,
    waiting: VecDeque<Parcel<M>>,
}

impl<M: Serialize> Line<M> {
    /// An empty queue on `channel`.
    pub(super) fn new(channel: Channel) -> Line<M> {
        Line { channel, waiting: VecDeque::new() }
    }

    /// Sends, or queues behind what already waits.
    ///
    /// # Errors
    ///
    /// The other side is gone, or the message can't be sent at all.
    pub(super) fn post(&mut self, message: M, descriptors: Vec<Rc<OwnedFd>>) -> io::Result<Flow> {
        self.waiting.push_back(Parcel { message, descriptors });
        self.push()
    }

    /// Sends what waits, as far as there is room.
    ///
    /// # Errors
    ///
    /// As [`Line::post`]; what could not be sent is dropped.
    pub(super) fn push(&mut self) -> io::Result<Flow> {
        while let Some(parcel) = self.waiting.front() {
            let descriptors: Vec<BorrowedFd<'_>> = parcel.descriptors.iter().map(|fd| fd.as_fd()).collect();
            match self.channel.send(&parcel.message, &descriptors) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Flow::Full),
                Err(error) if short(&error) => return Ok(Flow::Later),
                Err(error) => {
                    self.waiting.clear();
                    return Err(error);
                }
            }
            self.waiting.pop_front();
        }
        Ok(Flow::Sent)
    }

    /// How much waits.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes back what still waits and fits; whether there was any.
    pub(super) fn take_back(&mut self, fits: impl Fn(&M) -> bool) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|parcel| !fits(&parcel.message));
        self.waiting.len() < before
    }

    /// The next message that came. `None`: nothing more now; an error: the other side is gone, or speaks
    /// another language.
    pub(super) fn next<I: DeserializeOwned>(&self) -> io::Result<Option<I>> {
        match self.channel.receive_bare() {
            Ok(Some(message)) => Ok(Some(message)),
            Ok(None) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl<M> AsFd for Line<M> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

/// Out of something that comes back without notice. ETOOMANYREFS: more descriptors are on their way between
/// processes than one may have open (`unix(7)`).
fn short(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::ETOOMANYREFS | Errno::ENOBUFS | Errno::ENOMEM | Errno::EINTR))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_full_channel_keeps_the_order() {
        let (ours, theirs) = Channel::pair().unwrap();
        let mut line: Line<u32> = Line::new(ours);
        let mut sent = 0;
        while line.post(sent, Vec::new()).unwrap() == Flow::Sent {
            sent += 1;
        }
        assert_eq!(line.post(sent + 1, Vec::new()).unwrap(), Flow::Full);
        assert_eq!(line.waiting(), 2);
        assert!(line.take_back(|number| *number == sent));
        for expected in 0..sent {
            assert_eq!(theirs.receive::<u32>().unwrap().unwrap().0, expected);
        }
        assert_eq!(line.push().unwrap(), Flow::Sent);
        assert_eq!(theirs.receive::<u32>().unwrap().unwrap().0, sent + 1);
    }

    #[test]
    fn line_other_side_gone_is_an_error() {
        let (ours, theirs) = Channel::pair().unwrap();
        let mut line: Line<u32> = Line::new(ours);
        drop(theirs);
        assert!(line.next::<u32>().is_err());
        assert!(line.post(1, Vec::new()).is_err());
    }
}
