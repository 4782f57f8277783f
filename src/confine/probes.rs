//! What gate, scribe, app and runner try when they are asked to prove that they are confined, and what has to come of it. The
//! manual's table is made from this list ([`table`]), and `tests/probes.rs` runs all of it in real roles.

use std::ffi::CString;
use std::fmt::Write as _;
use std::io;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::libc;
use nix::unistd::write;

use crate::model::probe::{Found, Subject, Trial};
use crate::sys::attempt::{Attempt, Means, calls};

/// One thing that is tried.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    /// Its name on the command line and in what is shown.
    pub name: &'static str,
    /// What is tried.
    pub what: &'static str,
    /// The call.
    pub attempt: Attempt,
    expected: Expected,
}

/// What has to come of it, by who tries.
#[derive(Debug, Clone, Copy)]
struct Expected {
    gate: Found,
    scribe: Found,
    /// A scribe that writes rolling files of diagnostics: it can ask for files, so that Landlock answers.
    rolling: Found,
    /// The same where all of the daemon runs as one ordinary user, whose own the record is.
    rolling_as_user: Found,
    /// An app that declares neither directories nor ports; the log is none of its things.
    app: Found,
    /// The same where it has the daemon's own user.
    app_as_user: Found,
    runner: Found,
}

impl Probe {
    /// Whether this role has what is tried on.
    #[must_use]
    pub fn is_for(&self, subject: Subject) -> bool {
        match subject {
            Subject::Gate | Subject::Scribe => true,
            Subject::App => !self.name.starts_with("log-"),
            // It may connect, to tell the next daemon of an end; what comes of it depends on who listens there.
            Subject::Runner => !self.name.starts_with("log-") && !self.name.starts_with("connect-"),
        }
    }

    /// What has to come of it.
    #[must_use]
    pub fn expected(&self, subject: Subject, rolling: bool, root: bool) -> Found {
        match (subject, rolling, root) {
            (Subject::Gate, ..) => self.expected.gate,
            (Subject::Scribe, false, _) => self.expected.scribe,
            (Subject::Scribe, true, true) => self.expected.rolling,
            (Subject::Scribe, true, false) => self.expected.rolling_as_user,
            (Subject::App, _, true) => self.expected.app,
            (Subject::App, _, false) => self.expected.app_as_user,
            (Subject::Runner, ..) => self.expected.runner,
        }
    }
}

/// The probe of this name, with its place in [`PROBES`].
#[must_use]
pub fn named(name: &str) -> Option<(u16, &'static Probe)> {
    (0..).zip(PROBES).find(|(_, probe)| probe.name == name)
}

/// All that an attempt needs, made ready to be made in any thread. It writes one byte to `client` first.
///
/// # Errors
///
/// There is no such probe, or a path has a NUL in it.
pub fn prepare(
    trial: Trial,
    log: OwnedFd,
    client: OwnedFd,
) -> io::Result<impl FnOnce() -> Found + Send + 'static> {
    let Trial { number, warden, other, segment, key, .. } = trial;
    let probe = PROBES.get(usize::from(number)).ok_or(io::ErrorKind::NotFound)?;
    let (segment, key) = (CString::new(segment)?, CString::new(key)?);
    let means = Means { log, client, warden, other, segment, key };
    // The warden looks for this byte, so that a process which dies before it could try proves nothing.
    Ok(move || match write(&means.client, b"!") {
        Ok(_) => Found::of(probe.attempt.make(&means)),
        Err(_) => Found::Unready,
    })
}

/// The process ends.
const KILLED: Found = Found::KILLED;
/// The kernel does it: the role needs it, or it does no harm.
const DONE: Found = Found::Done;
/// Landlock says no, or the mode of a file of another user.
const EACCES: Found = Found::Errno(libc::EACCES);

/// There is no such name.
const ENOENT: Found = Found::Errno(libc::ENOENT);
/// It is another user's.
const EPERM: Found = Found::Errno(libc::EPERM);
/// The filter says that there is no such call.
const ENOSYS: Found = Found::Errno(libc::ENOSYS);

/// Nobody can: the filter kills.
const fn killed(name: &'static str, what: &'static str, attempt: Attempt) -> Probe {
    each(name, what, attempt, KILLED, KILLED, KILLED)
}

/// The same answer to all.
const fn answers(name: &'static str, what: &'static str, attempt: Attempt, errno: Errno) -> Probe {
    let found = Found::Errno(errno as i32);
    in_runner(in_app(each(name, what, attempt, found, found, found), found), found)
}

/// Only the scribe with rolling diagnostics, and an app, come past the filter.
const fn walled(name: &'static str, what: &'static str, attempt: Attempt, rolling: Found) -> Probe {
    in_app(each(name, what, attempt, KILLED, KILLED, rolling), rolling)
}

const fn each(
    name: &'static str,
    what: &'static str,
    attempt: Attempt,
    gate: Found,
    scribe: Found,
    rolling: Found,
) -> Probe {
    let (app, app_as_user, runner) = (KILLED, KILLED, KILLED);
    let expected = Expected { gate, scribe, rolling, rolling_as_user: rolling, app, app_as_user, runner };
    Probe { name, what, attempt, expected }
}

/// The one that differs without root.
const fn as_user(probe: Probe, rolling_as_user: Found) -> Probe {
    Probe { expected: Expected { rolling_as_user, ..probe.expected }, ..probe }
}

/// What an app has past the filter, where the others do not.
const fn in_app(probe: Probe, app: Found) -> Probe {
    in_app_of(probe, app, app)
}

/// The same where it depends on whose the app is.
const fn in_app_of(probe: Probe, app: Found, app_as_user: Found) -> Probe {
    Probe { expected: Expected { app, app_as_user, ..probe.expected }, ..probe }
}

/// What a runner has that the filter does not kill for.
const fn in_runner(probe: Probe, runner: Found) -> Probe {
    Probe { expected: Expected { runner, ..probe.expected }, ..probe }
}

/// All of them.
#[rustfmt::skip]
pub const PROBES: &[Probe] = &[
    walled("open-read", "open /etc/passwd", calls::OPEN_READ, EACCES),
    in_runner(in_app(each("open-as-library", "the same with the flags that the C library asks with by itself", calls::OPEN_AS_LIBRARY, ENOSYS, ENOSYS, EACCES), EACCES), ENOSYS),
    walled("open-write", "open /dev/null to write", calls::OPEN_WRITE, EACCES),
    walled("create", "make a file in /tmp", calls::CREATE, EACCES),
    walled("open-proc", "open its own /proc/self/status", calls::OPEN_PROC, EACCES),
    walled("open-sys", "open /sys/kernel", calls::OPEN_SYS, EACCES),
    walled("open-dev", "open /dev/zero", calls::OPEN_DEV, EACCES),
    as_user(walled("open-key", "open the key of hashed values in the audit directory", calls::OPEN_KEY, EACCES), DONE),
    in_app(killed("openat2", "open /etc/passwd by the newer call", calls::OPENAT2), EACCES),
    killed("open-by-handle", "open a file by its handle, past all directories", calls::OPEN_BY_HANDLE),
    walled("stat", "ask for owner, size and times of /etc/shadow", calls::STAT, DONE),
    in_app(killed("rename", "rename a file to where no directory is", calls::RENAME), ENOENT),
    in_app_of(killed("chmod", "change the mode of what it has open, here of the warden's making", calls::CHMOD), EPERM, DONE),
    killed("chroot", "change its root directory", calls::CHROOT),
    killed("socket-unix", "make a Unix socket", calls::SOCKET_UNIX),
    killed("socket-tcp", "make a TCP socket", calls::SOCKET_TCP),
    killed("socket-udp", "make a UDP socket", calls::SOCKET_UDP),
    killed("socket-netlink", "make a netlink socket", calls::SOCKET_NETLINK),
    killed("connect-docker", "connect a socket that it has to /run/docker.sock", calls::CONNECT_DOCKER),
    killed("connect-tcp", "connect a socket that it has to 127.0.0.1:2375", calls::CONNECT_TCP),
    killed("connect-abstract", "connect a socket that it has to an abstract name", calls::CONNECT_ABSTRACT),
    killed("bind", "give a socket that it has a name", calls::BIND),
    killed("listen", "listen at a socket that it has", calls::LISTEN),
    killed("accept", "accept a connection", calls::ACCEPT),
    killed("send-to", "send to an address", calls::SEND_TO),
    killed("send-rights", "give its client the log's descriptor, by sendmsg", calls::SEND_RIGHTS),
    killed("send-rights-many", "the same by sendmmsg", calls::SEND_RIGHTS_MANY),
    killed("set-socket", "change a socket's options", calls::SET_SOCKET),
    killed("exec", "run a program", calls::EXEC),
    killed("exec-at", "run a program by the newer call", calls::EXEC_AT),
    killed("fork", "fork", calls::FORK),
    killed("vfork", "vfork", calls::VFORK),
    killed("clone", "make a process by clone", calls::CLONE),
    answers("clone3", "make a process by clone3", calls::CLONE3, Errno::ENOSYS),
    killed("clone-namespace", "make a thread in a namespace of its own", calls::CLONE_NAMESPACE),
    killed("trace", "trace the warden", calls::TRACE),
    killed("read-memory", "read the memory of another role", calls::READ_MEMORY),
    killed("write-memory", "write the memory of another role", calls::WRITE_MEMORY),
    killed("pidfd", "open another role's process", calls::PIDFD),
    killed("pidfd-getfd", "take a descriptor out of another role, such as another user's connection", calls::PIDFD_GETFD),
    killed("kill", "signal the warden", calls::KILL),
    killed("kill-thread", "signal the warden's thread", calls::KILL_THREAD),
    killed("kill-pidfd", "signal through a descriptor", calls::KILL_PIDFD),
    killed("set-owner", "have the kernel signal the warden (F_SETOWN)", calls::SET_OWNER),
    killed("set-uid", "become root", calls::SET_UID),
    killed("set-gid", "take root's group", calls::SET_GID),
    killed("set-groups", "take more groups", calls::SET_GROUPS),
    killed("set-capabilities", "take capabilities", calls::SET_CAPABILITIES),
    killed("raise-ambient", "raise an ambient capability", calls::RAISE_AMBIENT),
    killed("set-dumpable", "let others look into it", calls::SET_DUMPABLE),
    killed("prctl-seccomp", "change its filters by prctl", calls::PRCTL_SECCOMP),
    killed("seccomp", "change its filters by seccomp", calls::SECCOMP),
    killed("unshare", "make a user namespace", calls::UNSHARE),
    killed("set-namespace", "enter a namespace", calls::SET_NAMESPACE),
    killed("mount", "mount", calls::MOUNT),
    killed("unmount", "unmount", calls::UNMOUNT),
    killed("personality", "change its personality", calls::PERSONALITY),
    in_app(killed("limits", "ask for a limit by the call that changes them", calls::LIMITS), DONE),
    killed("keys", "use the kernel's keys", calls::KEYS),
    killed("bpf", "load a BPF program", calls::BPF),
    killed("perf", "open performance counters", calls::PERF),
    killed("io-uring", "have io_uring make calls for it", calls::IO_URING),
    killed("userfaultfd", "handle page faults of the kernel", calls::USERFAULTFD),
    killed("module", "load a kernel module", calls::MODULE),
    killed("set-clock", "set a clock", calls::SET_CLOCK),
    killed("map-code", "map memory to run code from", calls::MAP_CODE),
    killed("make-code", "make its memory executable", calls::MAKE_CODE),
    killed("make-code-by-key", "the same by pkey_mprotect", calls::MAKE_CODE_BY_KEY),
    killed("memfd", "make a file in memory", calls::MEMFD),
    killed("log-truncate", "cut the log", calls::TRUNCATE),
    killed("log-pwrite", "write into the log at an offset", calls::PWRITE),
    killed("log-pwritev", "the same from several buffers", calls::PWRITEV),
    killed("log-pwrite-noappend", "overwrite the log by pwritev2 with RWF_NOAPPEND", calls::PWRITE_NOAPPEND),
    killed("log-punch-hole", "punch a hole into the log by fallocate", calls::PUNCH_HOLE),
    each("log-reserve", "reserve space behind the log's end", calls::RESERVE, KILLED, DONE, DONE),
    killed("io-setup", "prepare asynchronous I/O", calls::IO_SETUP),
    killed("io-submit", "submit asynchronous I/O, which overwrites too", calls::IO_SUBMIT),
    killed("log-drop-append", "take O_APPEND off the log's descriptor", calls::DROP_APPEND),
    killed("log-lock", "lock the log", calls::LOCK),
    killed("log-flags", "change the log's flags (append-only is one)", calls::FLAGS),
    answers("log-map", "map the log into memory, to write it there", calls::MAP_LOG, Errno::EACCES),
    answers("log-read", "read back what it wrote", calls::READ_LOG, Errno::EBADF),
    killed("log-copy-range", "copy the log over itself", calls::COPY_RANGE),
    killed("log-splice", "splice a client's bytes into the log", calls::SPLICE),
    killed("log-sendfile", "send the log to its client", calls::SENDFILE),
    walled("log-unlink", "remove the log", calls::UNLINK, EACCES),
    each("log-sync", "make the log durable", calls::SYNC, KILLED, DONE, DONE),
];

/// The list as the manual shows it.
#[must_use]
pub fn table() -> String {
    let mut table = String::from(
        "| name | what is tried | gate | scribe | scribe with rolling diagnostics | app | runner |\n|---|---|---|---|---|---|---|\n",
    );
    let as_user = |root: &Found, user: &Found| match root == user {
        true => root.to_string(),
        false => format!("{root}; as a user: {user}"),
    };
    for probe in PROBES {
        let Probe { name, what, expected, .. } = probe;
        let Expected { gate, scribe, rolling, rolling_as_user, app, app_as_user, runner } = expected;
        let rolling = as_user(rolling, rolling_as_user);
        let app = if probe.is_for(Subject::App) { as_user(app, app_as_user) } else { "–".to_owned() };
        let runner = if probe.is_for(Subject::Runner) { runner.to_string() } else { "–".to_owned() };
        // A String takes all that is written to it.
        writeln!(table, "| {name} | {what} | {gate} | {scribe} | {rolling} | {app} | {runner} |").ok();
    }
    table
}
