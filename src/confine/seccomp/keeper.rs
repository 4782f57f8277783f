//! The rows of the process that keeps heads of the seals in a file.

use nix::libc;

use super::{Row, is, is_word, row};

/// The calls of [`COMMON`](super::COMMON) come to these. Which files is Landlock's to say.
pub(in crate::confine) const KEEPER: &[Row] = &[
    row!(SYS_recvmsg, Work, "the warden's messages"),
    row!(SYS_sendto, WHERE[[is_word(4, 0)]], Work, "what came of them"),
    row!(SYS_openat, Work, "the file, and its directory where it was made"),
    row!(SYS_fdatasync, Work, "makes a head durable"),
    row!(SYS_fsync, Work, "makes the file's name durable"),
    row!(SYS_fcntl, WHERE [[is(1, libc::F_GETFD)], [is(1, libc::F_GETFL)]], Rarely, "whether a descriptor is one"),
    #[cfg(target_arch = "x86_64")]
    row!(SYS_poll, Work, "waits for a message"),
    row!(SYS_ppoll, Rarely, "the same, of a newer C library"),
];
