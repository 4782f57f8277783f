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

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};

    use super::*;
    use crate::sys::peer::pass_credentials;
    use crate::sys::testing::{STRANGER, become_user, fork, is_root, turns};

    fn open_descriptors() -> usize {
        std::fs::read_dir("/proc/self/fd").unwrap().count()
    }

    /// Sends `bytes` with `count` descriptors beside it.
    fn throw(to: &UnixStream, bytes: &[u8], count: usize) {
        let rights = vec![to.as_raw_fd(); count];
        let message = [ControlMessage::ScmRights(&rights)];
        sendmsg::<UnixAddr>(to.as_raw_fd(), &[IoSlice::new(bytes)], &message, MsgFlags::empty(), None)
            .unwrap();
    }

    #[test]
    fn receive_thrown_descriptors_installs_none_and_says_so() {
        // In a process of one thread, so that counting its descriptors means something.
        let child = fork(&[], || {
            for (passing, count) in [(true, 1), (true, 250), (false, 1), (false, 3), (false, 250)] {
                let (ours, theirs) = UnixStream::pair().unwrap();
                if passing {
                    pass_credentials(&ours).unwrap();
                }
                let before = open_descriptors();
                throw(&theirs, b"GET", count);
                let received = receive(ours.as_fd(), &mut [0; 16]).unwrap();
                assert_eq!((received.bytes, received.truncated), (3, true), "{passing} {count}");
                assert_eq!(received.sender.is_some(), passing);
                assert_eq!(open_descriptors(), before, "{passing} {count}");
            }
        });
        assert!(child.succeeded());
    }

    #[test]
    fn receive_says_the_sender_and_none_at_the_end() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        pass_credentials(&ours).unwrap();
        assert_eq!(receive(ours.as_fd(), &mut [0; 4]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        theirs.write_all(b"hello").unwrap();
        let us = Some(nix::unistd::getuid().as_raw());
        let mut buf = [0; 4];
        let first = receive(ours.as_fd(), &mut buf).unwrap();
        assert_eq!(first, Received { bytes: 4, sender: us, truncated: false });
        assert_eq!(&buf, b"hell");
        assert_eq!(
            receive(ours.as_fd(), &mut buf).unwrap(),
            Received { bytes: 1, sender: us, truncated: false }
        );
        drop(theirs);
        // A test that forks in this moment keeps it open a little longer.
        crate::sys::datagram::wait(ours.as_fd()).unwrap();
        let end = receive(ours.as_fd(), &mut buf).unwrap();
        assert_eq!(end, Received { bytes: 0, sender: None, truncated: false });
    }

    #[test]
    fn receive_never_mixes_two_senders() {
        if !is_root("a second user") {
            return;
        }
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        pass_credentials(&ours).unwrap();
        theirs.write_all(b"root").unwrap();
        let (go, wait) = turns();
        let child = fork(&[theirs.as_fd(), wait.0.as_fd()], || {
            become_user(STRANGER, &[]);
            (&theirs).write_all(b"stranger").unwrap();
            wait.pass();
        });
        go.wait();
        let mut buf = [0; 64];
        let first = receive(ours.as_fd(), &mut buf).unwrap();
        let second = receive(ours.as_fd(), &mut buf).unwrap();
        assert_eq!((first.bytes, first.sender), (4, Some(0)));
        assert_eq!((second.bytes, second.sender), (8, Some(STRANGER)));
        assert!(child.succeeded());
    }
}
