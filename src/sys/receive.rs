//! A read that carries its sender: `recvmsg(2)` on a stream whose listener had SO_PASSCRED, with a control
//! buffer of exactly one `ucred`, so that a descriptor which a client throws at us has no room to land.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use nix::errno::Errno;
use nix::libc;

/// What one read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Bytes written to the start of the buffer; 0 is the peer's end of stream.
    pub bytes: usize,
    /// The sender's real uid, as the kernel put it beside these bytes (SCM_CREDENTIALS, `unix(7)`). `None` at
    /// the end of the stream, which nobody sends, and where the listener had no SO_PASSCRED.
    pub sender: Option<u32>,
    /// MSG_CTRUNC: there was ancillary data that had no room, or that had room and was closed at once.
    pub truncated: bool,
}

/// Reads what is there, without waiting. One call never mixes bytes of two senders: the kernel ends the read
/// where the credentials change.
///
/// # Errors
///
/// `WouldBlock` where nothing is there; else what the kernel answered.
pub fn receive(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<Received> {
    let mut control = [0_u64; CONTROL_WORDS];
    let message = receive_message(fd, buf, &mut control, ONE_UCRED)?;
    Ok(Received {
        bytes: message.bytes,
        sender: message.credentials.filter(|_| message.bytes > 0).map(|ucred| ucred.uid),
        // On a socket without SO_PASSCRED the room of the ucred would take descriptors. They are closed by being
        // dropped here, and the connection is to be judged as one that threw them.
        truncated: message.flags & libc::MSG_CTRUNC != 0 || !message.descriptors.is_empty(),
    })
}

/// CMSG_LEN and not CMSG_SPACE: what the latter adds is padding, and nothing must fit behind the ucred.
// SAFETY: CMSG_LEN only computes; it is unsafe because libc declares all of its macros so.
const ONE_UCRED: usize = unsafe { libc::CMSG_LEN(size_of::<libc::ucred>() as u32) } as usize;

/// As many words as hold [`ONE_UCRED`] bytes; words, so that the buffer is aligned as `cmsg(3)` wants it.
const CONTROL_WORDS: usize = ONE_UCRED.div_ceil(size_of::<u64>());

/// What one `recvmsg(2)` brought.
pub(super) struct Message {
    /// Bytes written to the start of the buffer.
    pub(super) bytes: usize,
    /// `msg_flags`.
    pub(super) flags: libc::c_int,
    /// SCM_CREDENTIALS, if there was one.
    pub(super) credentials: Option<libc::ucred>,
    /// SCM_RIGHTS, in the sender's order; ours from now on.
    pub(super) descriptors: Vec<OwnedFd>,
}

/// `recvmsg(2)` without waiting, close-on-exec, with the first `room` bytes of `control` for ancillary data.
pub(super) fn receive_message(
    fd: BorrowedFd<'_>,
    buf: &mut [u8],
    control: &mut [u64],
    room: usize,
) -> io::Result<Message> {
    let room = room.min(size_of_val(control));
    let mut iov = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    // SAFETY: msghdr is a plain C struct of integers and pointers, for which all zeroes are a valid value.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &raw mut iov;
    header.msg_iovlen = 1;
    header.msg_control = if room == 0 { ptr::null_mut() } else { control.as_mut_ptr().cast() };
    header.msg_controllen = room as _;
    let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT;
    // SAFETY: `header` points to `iov`, which covers `buf`, and to the first `room` bytes of `control`; both are
    // exclusively borrowed for longer than the call, and the kernel writes no further than the lengths given.
    let got = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, flags) };
    let got = Errno::result(got)?;

    let mut message = Message {
        bytes: usize::try_from(got).map_err(io::Error::other)?,
        flags: header.msg_flags,
        credentials: None,
        descriptors: Vec::new(),
    };
    // SAFETY: after a successful recvmsg, `msg_control` and `msg_controllen` describe the messages that the
    // kernel wrote into `control`, which is aligned for cmsghdr; CMSG_FIRSTHDR and CMSG_NXTHDR return a pointer
    // to a whole header within that, or null.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    while !next.is_null() {
        // SAFETY: not null, so it is a whole and aligned header within `control` (see above).
        let (level, kind, length) = unsafe { ((*next).cmsg_level, (*next).cmsg_type, (*next).cmsg_len) };
        // SAFETY: as above; CMSG_DATA only adds the header's size to the pointer.
        let data = unsafe { libc::CMSG_DATA(next) };
        // SAFETY: CMSG_LEN only computes.
        let payload = length.saturating_sub(unsafe { libc::CMSG_LEN(0) } as usize);
        match (level, kind) {
            (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) if payload >= size_of::<libc::ucred>() => {
                // SAFETY: the kernel wrote `payload` bytes at `data`, at least a ucred; read_unaligned asks for
                // no alignment, and every bit pattern is a ucred.
                message.credentials = Some(unsafe { ptr::read_unaligned(data.cast()) });
            }
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                for i in 0..payload / size_of::<RawFd>() {
                    // SAFETY: the kernel wrote `payload` bytes at `data`, and the i-th descriptor lies whole
                    // within them; read_unaligned asks for no alignment.
                    let raw: RawFd = unsafe { ptr::read_unaligned(data.cast::<RawFd>().add(i)) };
                    // SAFETY: the kernel has just installed this descriptor for us, once, and nobody else in the
                    // process knows its number.
                    message.descriptors.push(unsafe { OwnedFd::from_raw_fd(raw) });
                }
            }
            _ => {}
        }
        // SAFETY: `header` and `next` are as the kernel and CMSG_FIRSTHDR left them.
        next = unsafe { libc::CMSG_NXTHDR(&raw const header, next) };
    }
    Ok(message)
}
