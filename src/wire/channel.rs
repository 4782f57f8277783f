//! One end of the pair that joins two roles: a typed message a datagram, its descriptors beside it.
//!
//! What comes in is judged before it is a message: whole, within the bound, nothing behind it, no more
//! descriptors than there is room for. Anything else is an error, and every descriptor that came with it is
//! closed.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::sys::datagram;

/// The longest message, encoded.
pub const MAX_BYTES: usize = 64 * 1024;

thread_local! {
    /// One buffer a thread, not one a channel: the warden has a channel for each lane of each gate.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; MAX_BYTES]);
}

/// One end. All calls return at once; the descriptor is there to be polled.
#[derive(Debug)]
pub struct Channel {
    fd: OwnedFd,
}

impl Channel {
    /// Both ends of a new one, close-on-exec.
    ///
    /// # Errors
    ///
    /// What `socketpair(2)` answered.
    pub fn pair() -> io::Result<(Channel, Channel)> {
        let (ours, theirs) = datagram::pair()?;
        Ok((Channel { fd: ours }, Channel { fd: theirs }))
    }

    /// Another descriptor of the same end, for an event loop to watch.
    ///
    /// # Errors
    ///
    /// What `fcntl(F_DUPFD_CLOEXEC)` answered.
    pub fn duplicate(&self) -> io::Result<OwnedFd> {
        self.fd.try_clone()
    }

    /// One end of a new one whose other end the listener at `path` gets.
    ///
    /// # Errors
    ///
    /// What `connect(2)` answered.
    pub fn connect(path: &Path) -> io::Result<Channel> {
        Ok(Channel { fd: datagram::connect(path)? })
    }

    /// Sends one message. Without descriptors this is `send(2)`; only with them `sendmsg(2)`.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where the other side's queue is full; `InvalidData` where the message is longer than
    /// [`MAX_BYTES`]; `InvalidInput` for too many descriptors; `BrokenPipe` where the other side closed.
    pub fn send<M: Serialize>(&self, message: &M, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        BUFFER.with_borrow_mut(|buffer| {
            let bytes = postcard::to_slice(message, buffer).map_err(|error| match error {
                postcard::Error::SerializeBufferFull => invalid("the message is longer than 64 KiB"),
                error => io::Error::new(io::ErrorKind::InvalidData, error),
            })?;
            datagram::transmit(self.fd.as_fd(), bytes, descriptors)
        })
    }

    /// Receives one message with its descriptors. `None`: the other side closed.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where nothing is there; `InvalidData` where what came is no whole `M`, has something behind
    /// it, or lost a descriptor (MSG_CTRUNC: too many, or a full descriptor table).
    pub fn receive<M: DeserializeOwned>(&self) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
        self.take(true)
    }

    /// Receives one message that has no descriptor beside it; a descriptor that is sent all the same is never
    /// installed. `None`: the other side closed.
    ///
    /// # Errors
    ///
    /// As [`Channel::receive`], and `InvalidData` for any descriptor.
    pub fn receive_bare<M: DeserializeOwned>(&self) -> io::Result<Option<M>> {
        Ok(self.take(false)?.map(|(message, _none)| message))
    }

    /// Waits until there is a message or the other side closed, then receives.
    ///
    /// # Errors
    ///
    /// As [`Channel::receive`], without `WouldBlock`.
    pub fn receive_waiting<M: DeserializeOwned>(&self) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
        loop {
            datagram::wait(self.fd.as_fd())?;
            match self.receive() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }

    /// Whether the other side closed, whatever it has said before.
    pub fn is_closed(&self) -> bool {
        datagram::is_closed(self.fd.as_fd())
    }

    fn take<M: DeserializeOwned>(&self, descriptors: bool) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
        BUFFER.with_borrow_mut(|buffer| {
            let datagram = datagram::receive(self.fd.as_fd(), buffer, descriptors)?;
            if datagram.truncated {
                return Err(invalid("a message came cut, or without all of its descriptors"));
            }
            if datagram.bytes == 0 {
                return Ok(None);
            }
            let bytes = buffer.get(..datagram.bytes).unwrap_or_default();
            let (message, rest) = postcard::take_from_bytes(bytes)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if !rest.is_empty() {
                return Err(invalid("a message has bytes behind it"));
            }
            Ok(Some((message, datagram.descriptors)))
        })
    }
}

/// Exactly as many descriptors as a message is documented to have; any other number closes them all.
///
/// # Errors
///
/// `InvalidData` for any other number.
pub fn exactly<const N: usize>(descriptors: Vec<OwnedFd>) -> io::Result<[OwnedFd; N]> {
    descriptors.try_into().map_err(|_others| invalid("a message came with another number of descriptors"))
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

impl From<OwnedFd> for Channel {
    fn from(fd: OwnedFd) -> Channel {
        Channel { fd }
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> OwnedFd {
        channel.fd
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek, Write};

    use super::*;
    use crate::wire::message::{FromGate, ToGate};

    fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> io::ErrorKind {
        result.unwrap_err().kind()
    }

    /// A descriptor whose being closed everywhere can be seen at the other end.
    fn watched() -> (io::PipeReader, OwnedFd) {
        let (reader, writer) = io::pipe().unwrap();
        (reader, writer.into())
    }

    #[test]
    fn channel_message_arrives_with_its_descriptors_in_order() {
        let (ours, theirs) = Channel::pair().unwrap();
        let mut files = [tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap()];
        files[0].write_all(b"first").unwrap();
        files[1].write_all(b"second").unwrap();
        let message = ToGate::Drain { within_ms: 7 };
        ours.send(&message, &[files[0].as_fd(), files[1].as_fd()]).unwrap();
        let (received, descriptors) = theirs.receive::<ToGate>().unwrap().unwrap();
        assert_eq!(received, message);
        let texts = exactly::<2>(descriptors).unwrap().map(|fd| {
            let (mut file, mut text) = (File::from(fd), String::new());
            file.rewind().unwrap();
            file.read_to_string(&mut text).unwrap();
            text
        });
        assert_eq!(texts, ["first", "second"]);
    }

    #[test]
    fn channel_without_anything_would_block_and_closed_is_the_end() {
        let (ours, theirs) = Channel::pair().unwrap();
        assert_eq!(kind(theirs.receive::<ToGate>()), io::ErrorKind::WouldBlock);
        ours.send(&FromGate::Switched, &[]).unwrap();
        // Something unread at the closing end must not swallow what it said before.
        theirs.send(&FromGate::Switched, &[]).unwrap();
        drop(ours);
        assert_eq!(theirs.receive_bare::<FromGate>().unwrap(), Some(FromGate::Switched));
        // Waiting, since a test that forks in this moment keeps it open a little longer.
        assert!(theirs.receive_waiting::<FromGate>().unwrap().is_none());
        assert_eq!(kind(theirs.send(&FromGate::Switched, &[])), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn channel_is_closed_once_the_other_side_is_gone_whatever_it_said() {
        let (ours, theirs) = Channel::pair().unwrap();
        assert!(!theirs.is_closed());
        ours.send(&FromGate::Switched, &[]).unwrap();
        assert!(!theirs.is_closed());
        drop(ours);
        assert!(theirs.is_closed());
        assert!(theirs.receive::<FromGate>().unwrap().is_some(), "what it said is there all the same");
    }

    #[test]
    fn channel_waiting_sees_message_and_end() {
        let (ours, theirs) = Channel::pair().unwrap();
        let other = std::thread::spawn(move || {
            let first = theirs.receive_waiting::<FromGate>().unwrap().map(|(message, _none)| message);
            (first, theirs.receive_waiting::<FromGate>().unwrap().is_none())
        });
        ours.send(&FromGate::Drained, &[]).unwrap();
        drop(ours);
        assert_eq!(other.join().unwrap(), (Some(FromGate::Drained), true));
    }

    #[test]
    fn channel_refuses_messages_beyond_its_bound() {
        let (ours, theirs) = Channel::pair().unwrap();
        assert_eq!(kind(ours.send(&vec![0_u8; MAX_BYTES], &[])), io::ErrorKind::InvalidData);
        let longest = vec![7_u8; MAX_BYTES - 3];
        ours.send(&longest, &[]).unwrap();
        assert_eq!(theirs.receive_bare::<Vec<u8>>().unwrap(), Some(longest));
        // One that was sent without asking us.
        datagram::transmit(ours.as_fd(), &vec![0; MAX_BYTES + 1], &[]).unwrap();
        assert_eq!(kind(theirs.receive::<Vec<u8>>()), io::ErrorKind::InvalidData);
    }

    #[test]
    fn channel_full_would_block() {
        let (ours, _theirs) = Channel::pair().unwrap();
        let full = (0..100_000).find_map(|_| ours.send(&FromGate::Switched, &[]).err()).unwrap();
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn channel_wrong_bytes_are_an_error_and_close_what_came_with_them() {
        let (ours, theirs) = Channel::pair().unwrap();
        for bytes in [&[0xff_u8][..], &[1], &[0, 0, 0]] {
            let (mut reader, writer) = watched();
            datagram::transmit(ours.as_fd(), bytes, &[writer.as_fd()]).unwrap();
            drop(writer);
            assert_eq!(kind(theirs.receive::<FromGate>()), io::ErrorKind::InvalidData, "{bytes:?}");
            assert_eq!(reader.read(&mut [0]).unwrap(), 0, "{bytes:?}");
        }
        assert_eq!(kind(datagram::transmit(ours.as_fd(), &[], &[])), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn channel_more_descriptors_than_wanted_are_closed_and_an_error() {
        let (ours, theirs) = Channel::pair().unwrap();
        let (mut reader, writer) = watched();
        ours.send(&FromGate::Switched, &[writer.as_fd(), writer.as_fd()]).unwrap();
        drop(writer);
        let (_message, descriptors) = theirs.receive::<FromGate>().unwrap().unwrap();
        assert_eq!(kind(exactly::<1>(descriptors)), io::ErrorKind::InvalidData);
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);

        let many = [ours.as_fd(); datagram::MAX_DESCRIPTORS + 1];
        assert_eq!(kind(ours.send(&FromGate::Switched, &many)), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn channel_descriptors_without_room_are_never_installed() {
        let (ours, theirs) = Channel::pair().unwrap();
        let (mut reader, writer) = watched();
        ours.send(&FromGate::Switched, &[writer.as_fd()]).unwrap();
        drop(writer);
        assert_eq!(kind(theirs.receive_bare::<FromGate>()), io::ErrorKind::InvalidData);
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    }
}
