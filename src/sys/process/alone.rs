//! For a process with one thread, which may do in a child of its own whatever it may do itself.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;

use super::{Child, pidfd_of, step_failed};

/// Forks. The child runs `child`, which becomes another program and so never comes back; where it does, the child
/// ends with code 127.
///
/// # Errors
///
/// What `fork(2)` answered; `Unsupported` where this process has more than one thread: whatever lock another one held
/// would be held for ever in the child.
pub fn fork_alone(child: impl FnOnce() -> Option<Infallible>) -> io::Result<Child> {
    must_be_alone()?;
    // SAFETY: this process has one thread (just counted, and only that one could start another), so that its copy may
    // do whatever it could do itself; it never returns into the caller's frames.
    let forked = unsafe { libc::fork() };
    if forked == 0 {
        child();
        // SAFETY: _exit does not return and runs nothing of the parent's.
        unsafe { libc::_exit(127) }
    }
    let pid = Errno::result(forked).map_err(|errno| step_failed("fork", errno))?;
    Ok(Child { pid, pidfd: pidfd_of(pid)? })
}

/// The same, and the child is born in this control group, an open directory of cgroup v2 (CLONE_INTO_CGROUP, `clone(2)`).
/// One that moves there by itself waits until every processor has come by (ten milliseconds and more), wherever nothing
/// was moved for a while.
///
/// # Errors
///
/// What `clone3(2)` answered; there is no child then.
pub fn fork_alone_in(group: BorrowedFd<'_>, child: impl FnOnce() -> Option<Infallible>) -> io::Result<Child> {
    must_be_alone()?;
    let mut pidfd: RawFd = -1;
    let arguments = CloneArguments {
        flags: CLONE_INTO_CGROUP | u64::from(libc::CLONE_PIDFD.unsigned_abs()),
        pidfd: (&raw mut pidfd).addr().try_into().map_err(io::Error::other)?,
        exit_signal: libc::SIGCHLD.unsigned_abs().into(),
        cgroup: group.as_raw_fd().unsigned_abs().into(),
        ..CloneArguments::default()
    };
    // SAFETY: the arguments and their size are those of one struct, laid out as the kernel's (`clone(2)`), and the only
    // memory that it names is `pidfd`, which outlives the call. No stack is named and no memory shared, so that it is a
    // fork: as above, of the one thread that there is. The C library is not told, and keeps the parent's thread id for
    // the child, which it uses to signal a thread; the child signals none.
    let forked =
        unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<CloneArguments>()) };
    if forked == 0 {
        child();
        // SAFETY: _exit does not return and runs nothing of the parent's.
        unsafe { libc::_exit(127) }
    }
    let pid = Errno::result(forked).map_err(|errno| step_failed("clone3", errno))?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Child { pid: pid.try_into().map_err(io::Error::other)?, pidfd })
}

/// `struct clone_args` of `clone(2)`, as Linux 5.7 has it.
#[repr(C)]
#[derive(Debug, Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// `linux/sched.h`; it has no room in the type that libc gives to the others.
const CLONE_INTO_CGROUP: u64 = 1 << 33;

fn must_be_alone() -> io::Result<()> {
    if std::fs::read_dir("/proc/self/task")?.count() == 1 {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::Unsupported, "this process has several threads"))
}

/// Gives all signals their default actions, none blocked, as after boot.
///
/// # Errors
///
/// What `rt_sigaction(2)` and `sigprocmask(2)` answered.
pub fn reset_signals() -> io::Result<()> {
    let default = [0_u64; 4];
    for signal in 1..=64 {
        // SAFETY: the kernel's sigaction is no longer than four words and, all zeroes, means SIG_DFL without flags or
        // mask; 8 is the size of its mask. The old action is not asked for.
        let answer = unsafe {
            let old = std::ptr::null_mut::<u64>();
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), old, 8)
        };
        // SIGKILL and SIGSTOP can't be set (EINVAL), and are what they should be.
        if answer == -1 && Errno::last_raw() != libc::EINVAL {
            return Err(io::Error::last_os_error());
        }
    }
    let none = nix::sys::signal::SigSet::empty();
    nix::sys::signal::sigprocmask(nix::sys::signal::SigmaskHow::SIG_SETMASK, Some(&none), None)?;
    Ok(())
}

/// Has every descriptor from `first` on closed by the next exec.
///
/// # Errors
///
/// What `close_range(2)` answered.
pub fn close_by_exec_from(first: RawFd) -> io::Result<()> {
    // SAFETY: integers only; nothing is closed now.
    let answer =
        unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    Errno::result(answer).map(drop).map_err(io::Error::from)
}

/// Becomes these ids: groups first, the user last. By system call, since this process has one thread.
///
/// # Errors
///
/// What the kernel answered; some of it may be done then.
pub fn become_ids(ids: &super::Ids) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of one slice.
    let groups = unsafe { libc::syscall(libc::SYS_setgroups, ids.groups.len(), ids.groups.as_ptr()) };
    Errno::result(groups)?;
    // SAFETY: integers only.
    Errno::result(unsafe { libc::syscall(libc::SYS_setresgid, ids.gid, ids.gid, ids.gid) })?;
    // SAFETY: integers only.
    Errno::result(unsafe { libc::syscall(libc::SYS_setresuid, ids.uid, ids.uid, ids.uid) })?;
    Ok(())
}

/// A path below an open directory that no link and no `..` leads out of (`openat2(2)`), as an O_PATH descriptor.
///
/// # Errors
///
/// What `openat2(2)` answered: ELOOP for a link, EXDEV for a way out.
pub fn open_beneath(directory: BorrowedFd<'_>, path: &str) -> io::Result<OwnedFd> {
    use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(
        ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_SYMLINKS
            | ResolveFlag::RESOLVE_NO_MAGICLINKS
            | ResolveFlag::RESOLVE_NO_XDEV,
    );
    Ok(openat2(directory, path, how)?)
}
