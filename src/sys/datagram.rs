//! One datagram with the descriptors beside it, over a SOCK_SEQPACKET pair between our own roles (`unix(7)`).

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, send, sendmsg, socketpair,
};

use super::receive::receive_message;

/// The most descriptors that one datagram may carry.
pub const MAX_DESCRIPTORS: usize = 8;

/// What one datagram brought.
#[derive(Debug)]
pub struct Datagram {
    /// Bytes written to the start of the buffer; 0 where the peer closed.
    pub bytes: usize,
    /// The descriptors beside it, in the sender's order, close-on-exec.
    pub descriptors: Vec<OwnedFd>,
    /// It was longer than the buffer, or had more descriptors than there was room or table for (MSG_TRUNC,
    /// MSG_CTRUNC): it must not be believed.
    pub truncated: bool,
}

/// Both ends of a new pair, non-blocking and close-on-exec.
///
/// # Errors
///
/// What the kernel answered: EMFILE, ENFILE.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?)
}

/// Connects to a socket of whole datagrams by its path; non-blocking, close-on-exec.
///
/// # Errors
///
/// ENOENT and ECONNREFUSED where nobody listens, EACCES, EAGAIN where too many wait.
pub fn connect(path: &std::path::Path) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = nix::sys::socket::socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    nix::sys::socket::connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(fd)
}

/// Sends one datagram without waiting. Without descriptors this is `send(2)`, since a gate has no `sendmsg`.
///
/// # Errors
///
/// `WouldBlock` where the peer's queue is full, `InvalidInput` for more than [`MAX_DESCRIPTORS`] or an empty
/// datagram (the peer could not tell it from our end), EPIPE where it closed, ETOOMANYREFS where too many
/// descriptors are in flight.
pub fn transmit(fd: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    if bytes.is_empty() || descriptors.len() > MAX_DESCRIPTORS {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let sent = loop {
        let result = if descriptors.is_empty() {
            send(fd.as_raw_fd(), bytes, flags)
        } else {
            let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
            let rights = [ControlMessage::ScmRights(&raw)];
            sendmsg::<UnixAddr>(fd.as_raw_fd(), &[IoSlice::new(bytes)], &rights, flags, None)
        };
        match result {
            Err(Errno::EINTR) => {}
            result => break result?,
        }
    };
    // The kernel takes a datagram whole or not at all (`send(2)`, EMSGSIZE).
    if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Receives one datagram without waiting; at most [`MAX_DESCRIPTORS`] descriptors beside it, none at all where
/// `descriptors` is false.
///
/// # Errors
///
/// `WouldBlock` where nothing is there; else what the kernel answered.
pub fn receive(fd: BorrowedFd<'_>, buf: &mut [u8], descriptors: bool) -> io::Result<Datagram> {
    // Room for the header and MAX_DESCRIPTORS of four bytes; two words are the header's size on 64 bits.
    let mut control = [0_u64; 2 + MAX_DESCRIPTORS / 2];
    let room = if descriptors { size_of_val(&control) } else { 0 };
    let mut reset = false;
    let message = loop {
        match receive_message(fd, buf, &mut control, room) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A peer that closed with unread datagrams leaves ECONNRESET in front of what it sent before; the
            // kernel reports it once.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset && !reset => reset = true,
            result => break result?,
        }
    };
    Ok(Datagram {
        bytes: message.bytes,
        descriptors: message.descriptors,
        truncated: message.flags & (libc::MSG_CTRUNC | libc::MSG_TRUNC) != 0,
    })
}

/// Whether the peer is gone (POLLHUP of `poll(2)`), even where something can be received still.
pub fn is_closed(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::empty())];
    let polled = poll(&mut fds, PollTimeout::ZERO);
    polled.is_ok_and(|count| count > 0) || polled.is_err()
}

/// Waits until there is something to receive, or the peer closed. For the moments in which a role has nothing
/// else to do: before its loop, and in the loader.
///
/// # Errors
///
/// What `poll(2)` answered.
pub fn wait(fd: BorrowedFd<'_>) -> io::Result<()> {
    loop {
        match poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], PollTimeout::NONE) {
            Err(Errno::EINTR) => {}
            result => return result.map(drop).map_err(io::Error::from),
        }
    }
}
