//! The scribe's rows. It never connects, starts nothing, and changes no byte that was written.

use nix::libc;

use super::{Row, is, is_word, row};

/// The calls of [`COMMON`](super::COMMON) come to these.
pub(in crate::confine) const SCRIBE: &[Row] = &[
    row!(SYS_recvmsg, Work, "the warden's messages with their descriptors"),
    row!(SYS_sendto, WHERE[[is_word(4, 0)]], Work, "messages to the warden; what callers may hear"),
    row!(SYS_fdatasync, Work, "makes records durable"),
    row!(SYS_fsync, Work, "makes a segment's name durable"),
    row!(
        SYS_fallocate,
        WHERE[[is(1, libc::FALLOC_FL_KEEP_SIZE)]],
        Rarely,
        "space ahead of its own segment's records; nothing is overwritten"
    ),
    row!(SYS_lseek, Work, "how long a segment is, without a call that could ask about any file by its name"),
    #[cfg(target_arch = "x86_64")]
    row!(SYS_poll, Work, "waits for a message, or for the next look"),
    row!(SYS_ppoll, Rarely, "the same, of a newer C library"),
    row!(
        SYS_sched_setscheduler,
        WHERE[[is(0, 0), is(1, libc::SCHED_IDLE)]],
        Rarely,
        "a thread that compresses runs where nobody else wants to"
    ),
    row!(SYS_pipe2, Work, "tells the collector of diagnostics to end"),
    row!(SYS_fcntl, WHERE [
        [is(1, libc::F_DUPFD_CLOEXEC)],
        [is(1, libc::F_GETFD)],
        [is(1, libc::F_GETFL)],
        [is(1, libc::F_GET_SEALS)]
    ], Work, "a second descriptor of its segment; whether the pipe of diagnostics blocks, and a policy's memory is sealed"),
];

/// And these where it writes rolling files of diagnostics. Which files is Landlock's to say.
pub(in crate::confine) const SCRIBE_ROLLING: &[Row] = &[
    row!(SYS_openat, Work, "the day's file"),
    row!(SYS_getdents64, Work, "which files there are"),
    row!(SYS_statx, Work, "how old they are"),
    row!(SYS_newfstatat, Rarely, "the same, of an older C library"),
    row!(SYS_fstat, Rarely, "the same, of an older C library"),
    #[cfg(target_arch = "x86_64")]
    row!(SYS_unlink, Rarely, "a file that is too old"),
    row!(SYS_unlinkat, Rarely, "a file that is too old"),
    row!(SYS_mkdirat, Rarely, "the directory, where somebody removed it"),
    #[cfg(target_arch = "x86_64")]
    row!(SYS_mkdir, Rarely, "the directory, where somebody removed it"),
];
