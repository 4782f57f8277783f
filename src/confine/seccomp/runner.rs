//! The rows of a runner once its command waits to begin. It opens nothing and starts nothing any more: what it reads of
//! the kernel's, and writes there, it has open.

use nix::libc;

use super::{Row, is, is_word, row};

/// A socket of whole messages, as the daemon's control socket is.
const OF_CONTROL: i32 = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;

/// The calls of [`COMMON`](super::COMMON) come to these.
pub(in crate::confine) const RUNNER: &[Row] = &[
    #[cfg(target_arch = "x86_64")]
    row!(SYS_poll, Work, "waits for output, input, the end, the caller's leaving"),
    row!(SYS_ppoll, Rarely, "the same, of a newer C library"),
    row!(
        SYS_sendto,
        WHERE[[is_word(4, 0)]],
        Work,
        "the answer to the gate; how it goes, to the warden; never to an address"
    ),
    row!(SYS_recvmsg, Rarely, "the warden says that the caller has left"),
    row!(SYS_waitid, Work, "how the command ended, and what it left behind"),
    row!(SYS_getrusage, Work, "what it has used"),
    row!(SYS_kill, WHERE [[is(1, libc::SIGTERM)], [is(1, libc::SIGKILL)]], Rarely, "asks the command to end; ends what it left behind"),
    row!(SYS_pidfd_send_signal, WHERE[[is(1, libc::SIGKILL)]], Rarely, "ends the command"),
    row!(
        SYS_unlinkat,
        WHERE[[is(2, libc::AT_REMOVEDIR)]],
        Rarely,
        "its control group goes, where it has one"
    ),
    row!(SYS_fcntl, WHERE [[is(1, libc::F_GETFD)], [is(1, libc::F_GETFL)]], Rarely, "debug builds look whether a descriptor is one"),
    row!(
        SYS_socket,
        WHERE[[is(0, libc::AF_UNIX), is(1, OF_CONTROL)]],
        Rarely,
        "tells the next daemon how a command ended whose daemon is gone"
    ),
    row!(SYS_connect, Rarely, "likewise"),
];
