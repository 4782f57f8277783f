//! A gate's rows. What is not here is what a gate that was taken over would want: `openat`, `socket`, `connect`,
//! `sendmsg` (it gives descriptors away), `execve`, `kill`, `pwrite64` and `pwritev2` (they overwrite through a
//! descriptor that only appends), `fallocate`, `ftruncate`, `ioctl`, `io_submit`, `io_uring_*`.

use nix::libc;

use super::{Row, is, is_word, row};

/// The calls of [`COMMON`](super::COMMON) come to these.
pub(in crate::confine) const GATE: &[Row] = &[
    row!(SYS_recvmsg, Work, "callers' bytes with their sender; the warden's messages with their descriptors"),
    row!(SYS_recvfrom, Rarely, "whether a kept backend has ended, or said something unasked"),
    row!(
        SYS_sendto,
        WHERE[[is_word(4, 0)]],
        Work,
        "answers and messages to the warden, to whom the socket is connected; never to an address"
    ),
    row!(SYS_writev, Rarely, "heads and bodies in one go, where they are long"),
    row!(SYS_lseek, Work, "whether a record landed behind the one before"),
    row!(SYS_shutdown, Work, "ends a connection"),
    row!(SYS_epoll_create1, Work, "each lane's event loop"),
    row!(SYS_epoll_ctl, Work, "what it watches"),
    #[cfg(target_arch = "x86_64")]
    row!(SYS_epoll_wait, Work, "waits for the next event"),
    #[cfg(not(target_arch = "x86_64"))]
    row!(SYS_epoll_pwait, Work, "waits for the next event"),
    row!(SYS_eventfd2, Work, "wakes the event loop"),
    row!(SYS_fcntl, WHERE [
        [is(1, libc::F_DUPFD_CLOEXEC)],
        [is(1, libc::F_GET_SEALS)],
        [is(1, libc::F_GETFD)],
        [is(1, libc::F_GETFL)]
    ], Work, "duplicates what the loop watches; whether a policy's memory is sealed; debug builds read flags"),
    row!(
        SYS_getsockopt,
        WHERE[[is(1, libc::SOL_SOCKET), is(2, libc::SO_ERROR)]],
        Rarely,
        "why a backend's socket failed"
    ),
];
