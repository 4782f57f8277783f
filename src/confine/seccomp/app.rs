//! An app's rows: what ordinary handlers, their threads and their files need. It can't start, trace, signal or load
//! anything, gets every connection as a descriptor and gives none away (`sendmsg` is not here). Which files and ports
//! the calls lead to is Landlock's to say; what Landlock does not stop (modes, owners and times of files by name,
//! named sockets) is not here either.

use nix::libc;

use super::{Row, has, is, is_word, lacks, row};

/// The least significant bits of a socket's type; the others are flags.
const KIND: i32 = 0xf;
/// The protocol.
const TCP: i32 = libc::IPPROTO_TCP;

/// The calls of [`COMMON`](super::COMMON) come to these.
pub(in crate::confine) const APP: &[Row] = &[
    row!(SYS_recvmsg, Rarely, "the warden's messages with their descriptors"),
    row!(SYS_recvfrom, Rarely, "a gate's requests, a backend's answers"),
    row!(
        SYS_sendto,
        WHERE[[is_word(4, 0)]],
        Rarely,
        "answers, and messages to the warden; never to an address"
    ),
    row!(SYS_writev, Rarely, "heads and bodies in one go"),
    row!(SYS_readv, Rarely, "into several buffers"),
    row!(SYS_shutdown, Rarely, "ends a connection"),
    row!(
        SYS_socketpair,
        WHERE[[is(0, libc::AF_UNIX), has(1, libc::SOCK_STREAM), lacks(1, KIND & !libc::SOCK_STREAM)]],
        Rarely,
        "a runtime's own pair of sockets; of datagrams it could be led elsewhere"
    ),
    row!(SYS_getsockopt, Rarely, "why a socket failed"),
    row!(SYS_getsockname, Rarely, "what a socket is"),
    row!(SYS_getpeername, Rarely, "who is at the other end"),
    row!(SYS_epoll_create1, Rarely, "an event loop"),
    row!(SYS_epoll_ctl, Rarely, "what it watches"),
    #[cfg(target_arch = "x86_64")]
    row!(SYS_epoll_wait, Rarely, "waits for the next event"),
    row!(SYS_epoll_pwait, Rarely, "waits for the next event"),
    row!(SYS_eventfd2, Rarely, "wakes an event loop"),
    row!(SYS_timerfd_create, Rarely, "a timer"),
    row!(SYS_timerfd_settime, Rarely, "a timer"),
    row!(SYS_timerfd_gettime, Rarely, "a timer"),
    #[cfg(target_arch = "x86_64")]
    row!(SYS_poll, Rarely, "waits for descriptors"),
    row!(SYS_ppoll, Rarely, "waits for descriptors"),
    row!(SYS_pipe2, Rarely, "a pipe between threads"),
    row!(SYS_dup, Rarely, "second descriptors"),
    row!(SYS_dup3, Rarely, "second descriptors"),
    row!(
        SYS_fcntl,
        WHERE[
            [is(1, libc::F_DUPFD_CLOEXEC)],
            [is(1, libc::F_GETFD)],
            [is(1, libc::F_SETFD)],
            [is(1, libc::F_GETFL)],
            [is(1, libc::F_SETFL)],
            [is(1, libc::F_GETLK)],
            [is(1, libc::F_SETLK)],
            [is(1, libc::F_SETLKW)],
            [is(1, libc::F_OFD_GETLK)],
            [is(1, libc::F_OFD_SETLK)],
            [is(1, libc::F_OFD_SETLKW)]
        ],
        Rarely,
        "flags, and locks of files; never F_SETOWN, which has the kernel signal others"
    ),
    row!(SYS_openat, Rarely, "files in its directories"),
    row!(SYS_openat2, Rarely, "the same, below a directory and without links"),
    row!(SYS_lseek, Rarely, "a place in a file"),
    row!(SYS_preadv, Rarely, "parts of a file"),
    row!(SYS_pwrite64, Rarely, "parts of a file"),
    row!(SYS_pwritev, Rarely, "parts of a file"),
    row!(SYS_fstat, Rarely, "what a file is"),
    row!(SYS_newfstatat, Rarely, "what a file is"),
    row!(SYS_statx, Rarely, "what a file is"),
    #[cfg(target_arch = "x86_64")]
    row!(SYS_stat, Rarely, "what a file is"),
    #[cfg(target_arch = "x86_64")]
    row!(SYS_lstat, Rarely, "what a file is"),
    row!(SYS_fstatfs, Rarely, "what a file lies on"),
    row!(SYS_statfs, Rarely, "how much room there is"),
    row!(SYS_faccessat, Rarely, "whether a file is there"),
    row!(SYS_faccessat2, Rarely, "whether a file is there"),
    #[cfg(target_arch = "x86_64")]
    row!(SYS_access, Rarely, "whether a file is there"),
    row!(SYS_readlinkat, Rarely, "a name that is a link"),
    #[cfg(target_arch = "x86_64")]
    row!(SYS_readlink, Rarely, "a name that is a link"),
    row!(SYS_getdents64, Rarely, "lists a directory"),
    row!(SYS_getcwd, Rarely, "where a relative name begins"),
    row!(SYS_mkdirat, Rarely, "makes a directory"),
    #[cfg(target_arch = "x86_64")]
    row!(SYS_mkdir, Rarely, "makes a directory"),
    row!(SYS_unlinkat, Rarely, "removes a file or a directory"),
    #[cfg(target_arch = "x86_64")]
    row!(SYS_unlink, Rarely, "removes a file"),
    #[cfg(target_arch = "x86_64")]
    row!(SYS_rmdir, Rarely, "removes a directory"),
    row!(SYS_renameat, Rarely, "a new file takes the old one's place"),
    row!(SYS_renameat2, Rarely, "a new file takes the old one's place"),
    #[cfg(target_arch = "x86_64")]
    row!(SYS_rename, Rarely, "a new file takes the old one's place"),
    row!(SYS_fchmod, Rarely, "the mode of a file that it has open"),
    row!(SYS_utimensat, WHERE[[is_word(1, 0)]], Rarely, "the times of a file that it has open"),
    row!(SYS_ftruncate, Rarely, "a file's length"),
    row!(SYS_fallocate, Rarely, "space for a file"),
    row!(SYS_fsync, Rarely, "a file is on the disk"),
    row!(SYS_fdatasync, Rarely, "a file is on the disk"),
    row!(SYS_flock, Rarely, "locks a file"),
    row!(SYS_sendfile, Rarely, "a file to a socket or a file"),
    row!(SYS_copy_file_range, Rarely, "copies a file"),
    row!(SYS_fadvise64, Rarely, "how a file will be read"),
    row!(
        SYS_ioctl,
        WHERE[
            [is_request(libc::FIONBIO)],
            [is_request(libc::FIONREAD)],
            [is_request(libc::FIOCLEX)],
            [is_request(libc::TCGETS)]
        ],
        Rarely,
        "flags of a descriptor, and whether it is a terminal"
    ),
    row!(SYS_msync, Rarely, "a mapped file is on the disk"),
    row!(SYS_mincore, Rarely, "what of a mapped file is in memory"),
    row!(SYS_mlock, Rarely, "memory that keeps secrets"),
    row!(SYS_munlock, Rarely, "memory that kept secrets"),
    row!(SYS_nanosleep, Rarely, "waits"),
    row!(SYS_clock_nanosleep, Rarely, "waits"),
    row!(SYS_clock_getres, Rarely, "how exact a clock is"),
    row!(SYS_gettimeofday, Rarely, "the time, where the vDSO can't tell it"),
    #[cfg(target_arch = "x86_64")]
    row!(SYS_time, Rarely, "the time, where the vDSO can't tell it"),
    row!(SYS_getcpu, Rarely, "which core it runs on"),
    row!(SYS_sched_getparam, Rarely, "how a thread is scheduled"),
    row!(SYS_sched_getscheduler, Rarely, "how a thread is scheduled"),
    row!(SYS_getuid, Rarely, "who it is"),
    row!(SYS_geteuid, Rarely, "who it is"),
    row!(SYS_getgid, Rarely, "who it is"),
    row!(SYS_getegid, Rarely, "who it is"),
    row!(SYS_getppid, Rarely, "who started it"),
    row!(SYS_uname, Rarely, "the machine's name"),
    row!(SYS_sysinfo, Rarely, "how much memory there is"),
    row!(SYS_getrusage, Rarely, "what it used"),
    row!(SYS_times, Rarely, "what it used"),
    row!(SYS_prlimit64, WHERE[[is_word(2, 0)]], Rarely, "reads its limits, and never changes one"),
    #[cfg(target_arch = "x86_64")]
    row!(SYS_getrlimit, Rarely, "reads its limits"),
];

/// For an app that declares TCP ports: sockets of streams over IP, and connections, of which Landlock lets pass the
/// declared ports alone.
pub(in crate::confine) const APP_TCP: &[Row] = &[
    row!(
        SYS_socket,
        WHERE[
            [is(0, libc::AF_INET), has(1, libc::SOCK_STREAM), lacks(1, KIND & !libc::SOCK_STREAM), is(2, 0)],
            [is(0, libc::AF_INET), has(1, libc::SOCK_STREAM), lacks(1, KIND & !libc::SOCK_STREAM), is(2, TCP)],
            [is(0, libc::AF_INET6), has(1, libc::SOCK_STREAM), lacks(1, KIND & !libc::SOCK_STREAM), is(2, 0)],
            [is(0, libc::AF_INET6), has(1, libc::SOCK_STREAM), lacks(1, KIND & !libc::SOCK_STREAM), is(2, TCP)]
        ],
        Rarely,
        "a TCP connection to a declared port; of the other protocols of streams (MPTCP, SCTP) Landlock knows nothing"
    ),
    row!(SYS_connect, Rarely, "to a declared port"),
    row!(
        SYS_setsockopt,
        WHERE[
            [is(1, libc::SOL_SOCKET), is(2, libc::SO_KEEPALIVE)],
            [is(1, libc::IPPROTO_TCP), is(2, libc::TCP_NODELAY)],
            [is(1, libc::IPPROTO_TCP), is(2, libc::TCP_KEEPIDLE)],
            [is(1, libc::IPPROTO_TCP), is(2, libc::TCP_KEEPINTVL)]
        ],
        Rarely,
        "keep-alive and no delay"
    ),
];

/// The request of an ioctl is this one; glibc and musl disagree on its type.
const fn is_request(request: libc::Ioctl) -> super::Test {
    is(1, request as i32)
}
