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
