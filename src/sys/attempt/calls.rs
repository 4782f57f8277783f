//! The attempts. Each entry holds what [`Attempt::make`] relies on: as many arguments as the call takes, a pointer
//! where it wants one, and the page wherever the kernel writes.

use nix::libc;

use super::Argument::{
    Address as To, Client, Is, Key, Log, Other, Page, Rights, Segment, Text, Vector, Warden,
};
use super::{Address, Argument, Attempt};

const fn call(number: libc::c_long, arguments: &'static [Argument]) -> Attempt {
    Attempt { number, arguments, makes_a_child: false }
}

const fn child(number: libc::c_long, arguments: &'static [Argument]) -> Attempt {
    Attempt { number, arguments, makes_a_child: true }
}

/// An int as the kernel takes it.
const fn int(number: i32) -> Argument {
    Is(number as i64)
}

const HERE: Argument = int(libc::AT_FDCWD);
const NULL: Argument = Is(0);

/// An address family in front of `rest`.
#[allow(clippy::indexing_slicing, reason = "made by the compiler, which refuses what is out of bounds")]
const fn address(family: i32, rest: &[u8]) -> Address {
    let mut bytes = [0; 32];
    // No address family is larger than a byte, and all our machines put the lower one first.
    bytes[0] = family as u8;
    let mut at = 0;
    while at < rest.len() {
        bytes[2 + at] = rest[at];
        at += 1;
    }
    Address { bytes, length: 2 + rest.len() as u8 }
}

static DOCKER: Address = address(libc::AF_UNIX, b"/run/docker.sock\0");
static ABSTRACT: Address = address(libc::AF_UNIX, b"\0peergate-probe");
/// 127.0.0.1:2375, where a Docker daemon would listen.
static LOOPBACK: Address = address(libc::AF_INET, &[0x09, 0x47, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);

macro_rules! attempts {
    ($($(#[$doc:meta])* $name:ident = $make:ident($number:ident $(, $argument:expr)*);)+) => {
        $($(#[$doc])* pub const $name: Attempt = $make(libc::$number, const { &[$($argument),*] });)+
    };
}

// Files.
attempts! {
    /// `openat(2)`, to read.
    OPEN_READ = call(SYS_openat, HERE, Text(c"/etc/passwd"), int(libc::O_RDONLY), NULL);
    /// To write.
    OPEN_WRITE = call(SYS_openat, HERE, Text(c"/dev/null"), int(libc::O_WRONLY), NULL);
    /// To make a file; it has no name, so that nothing stays.
    CREATE = call(SYS_openat, HERE, Text(c"/tmp"), int(libc::O_TMPFILE | libc::O_WRONLY), Is(0o600));
    /// As the C library does by itself.
    OPEN_AS_LIBRARY = call(SYS_openat, HERE, Text(c"/etc/passwd"), int(libc::O_RDONLY | libc::O_CLOEXEC), NULL);
    /// Its own process.
    OPEN_PROC = call(SYS_openat, HERE, Text(c"/proc/self/status"), int(libc::O_RDONLY), NULL);
    /// The kernel's.
    OPEN_SYS = call(SYS_openat, HERE, Text(c"/sys/kernel"), int(libc::O_RDONLY), NULL);
    /// A device.
    OPEN_DEV = call(SYS_openat, HERE, Text(c"/dev/zero"), int(libc::O_RDONLY), NULL);
    /// The key of hashed values.
    OPEN_KEY = call(SYS_openat, HERE, Key, int(libc::O_RDONLY), NULL);
    /// `openat2(2)`, with an `open_how` of zeroes.
    OPENAT2 = call(SYS_openat2, HERE, Text(c"/etc/passwd"), Page, Is(24));
    /// `open_by_handle_at(2)`.
    OPEN_BY_HANDLE = call(SYS_open_by_handle_at, HERE, Page, int(libc::O_RDONLY));
    /// `newfstatat(2)`.
    STAT = call(SYS_newfstatat, HERE, Text(c"/etc/shadow"), Page, NULL);
    /// `renameat(2)`, to where no directory is.
    RENAME = call(SYS_renameat2, HERE, Text(c"/tmp"), HERE, Text(c"/nowhere/at/all"), NULL);
    /// `fchmod(2)`
    CHMOD = call(SYS_fchmod, Client, Is(0o600));
    /// `chroot(2)`
    CHROOT = call(SYS_chroot, Text(c"/"));
}

// Sockets.
attempts! {
    /// `socket(2)` of the Unix family.
    SOCKET_UNIX = call(SYS_socket, int(libc::AF_UNIX), int(libc::SOCK_STREAM), NULL);
    /// TCP.
    SOCKET_TCP = call(SYS_socket, int(libc::AF_INET), int(libc::SOCK_STREAM), NULL);
    /// UDP.
    SOCKET_UDP = call(SYS_socket, int(libc::AF_INET), int(libc::SOCK_DGRAM), NULL);
    /// Netlink.
    SOCKET_NETLINK = call(SYS_socket, int(libc::AF_NETLINK), int(libc::SOCK_RAW), NULL);
    /// `connect(2)`
    CONNECT_DOCKER = call(SYS_connect, Client, To(&DOCKER), Is(DOCKER.length as i64));
    /// To a socket without a file.
    CONNECT_ABSTRACT = call(SYS_connect, Client, To(&ABSTRACT), Is(ABSTRACT.length as i64));
    /// To a TCP port.
    CONNECT_TCP = call(SYS_connect, Client, To(&LOOPBACK), Is(LOOPBACK.length as i64));
    /// `bind(2)`
    BIND = call(SYS_bind, Client, To(&ABSTRACT), Is(ABSTRACT.length as i64));
    /// `listen(2)`
    LISTEN = call(SYS_listen, Client, Is(1));
    /// `accept4(2)`
    ACCEPT = call(SYS_accept4, Client, NULL, NULL, int(libc::SOCK_NONBLOCK));
    /// `sendto(2)` with an address.
    SEND_TO = call(SYS_sendto, Client, Page, Is(1), int(libc::MSG_DONTWAIT), To(&ABSTRACT), Is(ABSTRACT.length as i64));
    /// `sendmsg(2)` with a descriptor.
    SEND_RIGHTS = call(SYS_sendmsg, Client, Rights, int(libc::MSG_DONTWAIT));
    /// `sendmmsg(2)`; a `mmsghdr` begins with its `msghdr`, and none is sent.
    SEND_RIGHTS_MANY = call(SYS_sendmmsg, Client, Rights, Is(0), int(libc::MSG_DONTWAIT));
    /// `setsockopt(2)`
    SET_SOCKET = call(SYS_setsockopt, Client, int(libc::SOL_SOCKET), int(libc::SO_PASSCRED), Page, Is(4));
}

// Processes.
attempts! {
    /// `execve(2)`
    EXEC = call(SYS_execve, Text(c"/bin/true"), NULL, NULL);
    /// `execveat(2)`
    EXEC_AT = call(SYS_execveat, HERE, Text(c"/bin/true"), NULL, NULL, NULL);
    /// `clone(2)` without CLONE_THREAD.
    CLONE = child(SYS_clone, int(libc::SIGCHLD), NULL, NULL, NULL, NULL);
    /// `clone3(2)`; a structure of no length is refused where it gets through.
    CLONE3 = call(SYS_clone3, Page, NULL);
    /// A thread in namespaces of its own, which the kernel refuses to everybody.
    CLONE_NAMESPACE = call(
        SYS_clone,
        int(libc::CLONE_VM | libc::CLONE_SIGHAND | libc::CLONE_THREAD | libc::CLONE_NEWUSER),
        NULL, NULL, NULL, NULL
    );
    /// `ptrace(2)`: PTRACE_SEIZE does not stop whom it takes.
    TRACE = call(SYS_ptrace, int(libc::PTRACE_SEIZE as i32), Warden, NULL, NULL);
    /// `process_vm_readv(2)`, of nothing.
    READ_MEMORY = call(SYS_process_vm_readv, Other, Vector, Is(1), Vector, Is(1), NULL);
    /// `process_vm_writev(2)`, of nothing.
    WRITE_MEMORY = call(SYS_process_vm_writev, Other, Vector, Is(0), Vector, Is(0), NULL);
    /// `pidfd_open(2)`
    PIDFD = call(SYS_pidfd_open, Other, NULL);
    /// `pidfd_getfd(2)`
    PIDFD_GETFD = call(SYS_pidfd_getfd, Client, NULL, NULL);
    /// `kill(2)`, with a signal that only asks whether it may be sent.
    KILL = call(SYS_kill, Warden, NULL);
    /// `tgkill(2)`, likewise.
    KILL_THREAD = call(SYS_tgkill, Warden, Warden, NULL);
    /// `pidfd_send_signal(2)`
    KILL_PIDFD = call(SYS_pidfd_send_signal, Client, NULL, NULL, NULL);
    /// `fcntl(2)`: the kernel would signal the warden for it.
    SET_OWNER = call(SYS_fcntl, Client, int(libc::F_SETOWN), Warden);
}

#[cfg(target_arch = "x86_64")]
attempts! {
    /// `fork(2)`
    FORK = child(SYS_fork);
    /// `vfork(2)`
    VFORK = child(SYS_vfork);
}
#[cfg(not(target_arch = "x86_64"))]
attempts! {
    /// `fork(2)`, which is no call of its own here.
    FORK = child(SYS_clone, int(libc::SIGCHLD), NULL, NULL, NULL, NULL);
    /// `vfork(2)`, likewise.
    VFORK = child(SYS_clone, int(libc::CLONE_VFORK | libc::SIGCHLD), NULL, NULL, NULL, NULL);
}

// Rights.
attempts! {
    /// `setresuid(2)`
    SET_UID = call(SYS_setresuid, NULL, NULL, NULL);
    /// `setresgid(2)`
    SET_GID = call(SYS_setresgid, NULL, NULL, NULL);
    /// `setgroups(2)`, to one that is root's.
    SET_GROUPS = call(SYS_setgroups, Is(1), Page);
    /// `capset(2)`, with a header of no known version.
    SET_CAPABILITIES = call(SYS_capset, Page, Page);
    /// `PR_CAP_AMBIENT(2const)`
    RAISE_AMBIENT = call(SYS_prctl, int(libc::PR_CAP_AMBIENT), int(libc::PR_CAP_AMBIENT_RAISE), NULL, NULL, NULL);
    /// `PR_SET_DUMPABLE(2const)`
    SET_DUMPABLE = call(SYS_prctl, int(libc::PR_SET_DUMPABLE), Is(1), NULL, NULL, NULL);
    /// `PR_SET_SECCOMP(2const)`, of no known mode.
    PRCTL_SECCOMP = call(SYS_prctl, int(libc::PR_SET_SECCOMP), Is(0), NULL, NULL, NULL);
    /// `seccomp(2)`, of no known operation.
    SECCOMP = call(SYS_seccomp, Is(0xffff), NULL, NULL);
    /// `unshare(2)`
    UNSHARE = call(SYS_unshare, int(libc::CLONE_NEWUSER));
    /// `setns(2)`
    SET_NAMESPACE = call(SYS_setns, Client, NULL);
    /// `mount(2)`, to where no directory is.
    MOUNT = call(SYS_mount, Text(c"none"), Text(c"/nowhere/at/all"), Text(c"tmpfs"), NULL, NULL);
    /// `umount2(2)`, likewise.
    UNMOUNT = call(SYS_umount2, Text(c"/nowhere/at/all"), NULL);
    /// `personality(2)`, which only asks.
    PERSONALITY = call(SYS_personality, Is(0xffff_ffff));
    /// `prlimit64(2)`, which only asks.
    LIMITS = call(SYS_prlimit64, NULL, int(libc::RLIMIT_FSIZE as i32), NULL, Page);
    /// `keyctl(2)`: KEYCTL_GET_KEYRING_ID of the session's.
    KEYS = call(SYS_keyctl, Is(0), Is(-3), NULL, NULL, NULL);
    /// `bpf(2)`, of no known command.
    BPF = call(SYS_bpf, Is(0xffff), Page, Is(48));
    /// `perf_event_open(2)`, with attributes of no length.
    PERF = call(SYS_perf_event_open, Page, NULL, Is(-1), Is(-1), NULL);
    /// `io_uring_setup(2)`
    IO_URING = call(SYS_io_uring_setup, Is(1), Page);
    /// `userfaultfd(2)`
    USERFAULTFD = call(SYS_userfaultfd, NULL);
    /// `finit_module(2)`, of no file.
    MODULE = call(SYS_finit_module, Is(-1), Text(c""), NULL);
    /// `clock_settime(2)` of a clock that nobody can set.
    SET_CLOCK = call(SYS_clock_settime, int(libc::CLOCK_MONOTONIC), Page);
}

// Memory that code could be run from.
attempts! {
    /// `mmap(2)`
    MAP_CODE = call(
        SYS_mmap,
        NULL, Is(65536), int(libc::PROT_READ | libc::PROT_EXEC), int(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS),
        Is(-1), NULL
    );
    /// `mprotect(2)`
    MAKE_CODE = call(SYS_mprotect, Page, Is(65536), int(libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC));
    /// `pkey_mprotect(2)`, without a key.
    MAKE_CODE_BY_KEY = call(
        SYS_pkey_mprotect,
        Page, Is(65536), int(libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC), Is(-1)
    );
    /// `memfd_create(2)`
    MEMFD = call(SYS_memfd_create, Text(c"probe"), NULL);
}

// The log: what is written, and what it says.
attempts! {
    /// `ftruncate(2)`
    TRUNCATE = call(SYS_ftruncate, Log, NULL);
    /// `pwrite64(2)`, which appends all the same where the file says so (`open(2)`, BUGS of `pwrite(2)`).
    PWRITE = call(SYS_pwrite64, Log, Page, Is(8), NULL);
    /// `pwritev(2)`
    PWRITEV = call(SYS_pwritev, Log, Vector, Is(1), NULL, NULL);
    /// `pwritev2(2)` with RWF_NOAPPEND (0x20), which does not.
    PWRITE_NOAPPEND = call(SYS_pwritev2, Log, Vector, Is(1), NULL, NULL, Is(0x20));
    /// `fallocate(2)`
    PUNCH_HOLE = call(
        SYS_fallocate, Log, int(libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE), NULL, Is(4096)
    );
    /// `fallocate(2)`, behind the end.
    RESERVE = call(SYS_fallocate, Log, int(libc::FALLOC_FL_KEEP_SIZE), NULL, Is(4096));
    /// `io_setup(2)`
    IO_SETUP = call(SYS_io_setup, Is(1), Page);
    /// `io_submit(2)`, in no context.
    IO_SUBMIT = call(SYS_io_submit, NULL, Is(1), Page);
    /// `F_SETFL(2const)`: no O_APPEND any more.
    DROP_APPEND = call(SYS_fcntl, Log, int(libc::F_SETFL), NULL);
    /// `F_SETLK(2const)`, with a lock of zeroes: a reader's, of all of it.
    LOCK = call(SYS_fcntl, Log, int(libc::F_SETLK), Page);
    /// `FS_IOC_SETFLAGS(2const)`: no flag at all.
    FLAGS = call(SYS_ioctl, Log, Is(0x4008_6602), Page);
    /// `mmap(2)`, to be written.
    MAP_LOG = call(SYS_mmap, NULL, Is(4096), int(libc::PROT_WRITE), int(libc::MAP_SHARED), Log, NULL);
    /// `pread64(2)`
    READ_LOG = call(SYS_pread64, Log, Page, Is(16), NULL);
    /// `copy_file_range(2)`
    COPY_RANGE = call(SYS_copy_file_range, Log, NULL, Log, NULL, Is(8), NULL);
    /// `splice(2)`
    SPLICE = call(SYS_splice, Client, NULL, Log, NULL, Is(8), int(libc::SPLICE_F_NONBLOCK as i32));
    /// `sendfile(2)`
    SENDFILE = call(SYS_sendfile, Client, Log, NULL, Is(8));
    /// `unlinkat(2)`
    UNLINK = call(SYS_unlinkat, HERE, Segment, NULL);
    /// `fdatasync(2)`
    SYNC = call(SYS_fdatasync, Log);
}
