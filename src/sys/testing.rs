//! Real processes for tests. A forked child of the test program has one thread, a descriptor table and a umask
//! of its own: what would disturb other tests, or be disturbed by them, runs there.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Gid, Pid, Uid, geteuid, setgroups, setresgid, setresuid};

/// A user that no machine has.
pub(crate) const STRANGER: u32 = 54_321;

/// Says why a test does nothing, where it needs root and is not.
pub(crate) fn is_root(what: &str) -> bool {
    let root = geteuid().is_root();
    if !root {
        #[allow(clippy::disallowed_macros, reason = "the runner counts this line")]
        {
            println!("SKIP: {what} needs root");
        }
    }
    root
}

/// A child process; killed and reaped when dropped.
pub(crate) struct Forked {
    pid: Pid,
    reaped: bool,
}

/// Runs `body` in a forked child that keeps `keep` and the three standard descriptors only.
pub(crate) fn fork(keep: &[BorrowedFd<'_>], body: impl FnOnce()) -> Forked {
    let mut keep: Vec<RawFd> = keep.iter().map(AsRawFd::as_raw_fd).collect();
    keep.sort_unstable();
    // SAFETY: the C library makes its own locks usable after a fork, and the body, being a test's, takes none
    // of Rust's that another thread may hold; it leaves by _exit.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork");
    if pid > 0 {
        return Forked { pid: Pid::from_raw(pid), reaped: false };
    }
    let mut from = 3;
    for fd in keep.into_iter().chain([RawFd::MAX]) {
        if fd > from {
            // SAFETY: integers only; what owned these descriptors is never dropped in this process.
            unsafe { libc::syscall(libc::SYS_close_range, from, fd - 1, 0) };
        }
        from = fd.saturating_add(1);
    }
    let code = if catch_unwind(AssertUnwindSafe(body)).is_ok() { 0 } else { 101 };
    // SAFETY: an integer; it does not return.
    unsafe { libc::_exit(code) }
}

impl Forked {
    /// Waits until it has ended and does not reap it: it stays as a zombie.
    pub(crate) fn wait_until_it_ends(&self) {
        waitid(Id::Pid(self.pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).expect("waitid");
    }

    /// Waits for its end: true where its body returned without a panic.
    pub(crate) fn succeeded(mut self) -> bool {
        self.reaped = true;
        matches!(waitpid(self.pid, None), Ok(WaitStatus::Exited(_, 0)))
    }

    /// Waits for its end: the signal that ended it, if one did.
    pub(crate) fn signal(mut self) -> Option<i32> {
        self.reaped = true;
        match waitpid(self.pid, None) {
            Ok(WaitStatus::Signaled(_, signal, _)) => Some(signal as i32),
            _ => None,
        }
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(self) {}
}

impl Drop for Forked {
    fn drop(&mut self) {
        if !self.reaped {
            kill(self.pid, Signal::SIGKILL).expect("kill");
            waitpid(self.pid, None).expect("wait");
        }
    }
}

/// Two ends by which two processes take turns.
pub(crate) fn turns() -> (Turn, Turn) {
    let (a, b) = UnixStream::pair().expect("a pair");
    (Turn(a), Turn(b))
}

/// One end.
pub(crate) struct Turn(pub(crate) UnixStream);

impl Turn {
    /// The other side may go on.
    pub(crate) fn pass(&self) {
        (&self.0).write_all(b".").expect("the other side to be there");
    }

    /// Waits for the other side's [`Turn::pass`].
    pub(crate) fn wait(&self) {
        (&self.0).read_exact(&mut [0]).expect("the other side to be there");
    }
}

/// Becomes this user in all of real, effective and saved id, with these groups.
pub(crate) fn become_user(uid: u32, groups: &[u32]) {
    let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups).expect("setgroups");
    let gid = Gid::from_raw(uid);
    setresgid(gid, gid, gid).expect("setresgid");
    let uid = Uid::from_raw(uid);
    setresuid(uid, uid, uid).expect("setresuid");
}

/// A directory that passes judgement, removed when dropped.
pub(crate) fn directory() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    // The temporary directory may be reached by a link; what is judged must not be.
    let path = std::fs::canonicalize(directory.path()).expect("its path");
    change_mode(&path, 0o755);
    (directory, path)
}

/// `chmod`, by path: tests own what they change.
pub(crate) fn change_mode(path: &Path, mode: u32) {
    let mode = nix::sys::stat::Mode::from_bits_truncate(mode);
    let follow = nix::sys::stat::FchmodatFlags::FollowSymlink;
    nix::sys::stat::fchmodat(nix::fcntl::AT_FDCWD, path, mode, follow).expect("chmod");
}

/// `chown`, by path.
pub(crate) fn change_owner(path: &Path, uid: u32, gid: u32) {
    nix::unistd::chown(path, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).expect("chown");
}

/// The permission bits of what is at `path`, a link itself where it is one.
pub(crate) fn mode(path: &Path) -> u32 {
    nix::sys::stat::lstat(path).expect("lstat").st_mode & 0o7777
}
