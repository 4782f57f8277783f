//! A role is the same executable started again: by descriptor, with the descriptors, ids and environment that
//! it is given and nothing else of ours.

mod alone;
mod child;
mod inherited;
pub mod securebits;

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::libc;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::stat::Mode;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::pipe2;

pub use alone::{become_ids, close_by_exec_from, fork_alone, fork_alone_in, open_beneath, reset_signals};
pub use inherited::inherited;

/// Descriptors given to a role begin here, after stdin, stdout and stderr.
pub const FIRST: RawFd = 3;

/// This program's own file, as an O_PATH descriptor: what [`Spawn`] starts, even if the file is replaced or
/// removed later.
///
/// # Errors
///
/// What the kernel answered.
pub fn executable() -> io::Result<OwnedFd> {
    Ok(open("/proc/self/exe", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// The ids that a role runs with; real, effective and saved alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// All of its supplementary groups.
    pub groups: Vec<u32>,
}

/// A role about to be started.
///
/// It gets a session of its own (no terminal's Ctrl-C reaches it, the warden ends it), signals as after boot
/// and none blocked, umask 077, `/` as its directory, /dev/null as stdin, our stdout and stderr, an
/// environment of what [`Spawn::environment`] says, and SIGKILL when the thread that started it ends.
#[derive(Debug)]
pub struct Spawn<'a> {
    executable: BorrowedFd<'a>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    descriptors: Vec<BorrowedFd<'a>>,
    ids: Option<Ids>,
    powerless: bool,
    mute: bool,
}

impl<'a> Spawn<'a> {
    /// Starts this executable (see [`executable`]) under this name, `argv[0]`.
    #[must_use]
    pub fn new(executable: BorrowedFd<'a>, name: &CStr) -> Spawn<'a> {
        Spawn {
            executable,
            arguments: vec![name.to_owned()],
            environment: Vec::new(),
            descriptors: Vec::new(),
            ids: None,
            powerless: false,
            mute: false,
        }
    }

    /// One more argument.
    #[must_use]
    pub fn argument(mut self, argument: CString) -> Spawn<'a> {
        self.arguments.push(argument);
        self
    }

    /// One more environment variable, `NAME=value`.
    #[must_use]
    pub fn environment(mut self, variable: CString) -> Spawn<'a> {
        self.environment.push(variable);
        self
    }

    /// One more descriptor: the first becomes 3, the next 4, and so on.
    #[must_use]
    pub fn descriptor(mut self, fd: BorrowedFd<'a>) -> Spawn<'a> {
        self.descriptors.push(fd);
        self
    }

    /// Runs with these ids instead of ours.
    #[must_use]
    pub fn ids(mut self, ids: Ids) -> Spawn<'a> {
        self.ids = Some(ids);
        self
    }

    /// Runs with an empty bounding set and [locked securebits](securebits::LOCKED), so that neither root nor a file
    /// gives it any capability. Needs CAP_SETPCAP.
    #[must_use]
    pub fn powerless(mut self) -> Spawn<'a> {
        self.powerless = true;
        self
    }

    /// Runs with /dev/null as stdout and stderr too: whoever shares a terminal or the journal's socket can write to
    /// it, read it and shut it down.
    #[must_use]
    pub fn mute(mut self) -> Spawn<'a> {
        self.mute = true;
        self
    }

    /// Starts it. Returns once it has become the executable, or could not.
    ///
    /// # Errors
    ///
    /// The step that failed and the kernel's answer; nothing runs then.
    pub fn start(self) -> io::Result<Child> {
        let (failure, low) = pipe2(OFlag::O_CLOEXEC)?;
        // Copies above every final number, so that placing one never overwrites another that is still needed.
        let above = FIRST + RawFd::try_from(self.descriptors.len()).map_err(io::Error::other)?;
        let lift = |fd: BorrowedFd<'_>| -> io::Result<OwnedFd> {
            let raw = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(above))?;
            // SAFETY: fcntl has just made this descriptor, and nobody else knows its number.
            Ok(unsafe { OwnedFd::from_raw_fd(raw) })
        };
        let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
        let null = lift(null.as_fd())?;
        let report = lift(low.as_fd())?;
        // As long as a writing end is open here, the pipe does not end.
        drop(low);
        let executable = lift(self.executable)?;
        let lifted = self.descriptors.iter().map(|fd| lift(*fd)).collect::<io::Result<Vec<OwnedFd>>>()?;
        let descriptors: Vec<RawFd> = lifted.iter().map(AsRawFd::as_raw_fd).collect();
        let arguments = pointers(&self.arguments);
        let environment = pointers(&self.environment);
        let plan = child::Plan {
            parent: nix::unistd::getpid().as_raw(),
            executable: executable.as_raw_fd(),
            arguments: &arguments,
            environment: &environment,
            null: null.as_raw_fd(),
            report: report.as_raw_fd(),
            descriptors: &descriptors,
            ids: self.ids.as_ref(),
            powerless: self.powerless,
            mute: self.mute,
        };

        // No handler of ours may run in the child before its signals are reset.
        let mut before = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
        // SAFETY: the child runs `become_role` alone, which never returns and, as it states, only makes calls
        // that are safe after a fork in a process with threads; what its plan borrows was allocated before.
        let forked = unsafe { libc::fork() };
        if forked == 0 {
            child::become_role(&plan);
        }
        let restored = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
        let pid = Errno::result(forked).map_err(|errno| step_failed("fork", errno))?;
        drop(report);
        let child = Child { pid, pidfd: pidfd_of(pid)? };
        restored?;

        match child::failure(failure) {
            None => Ok(child),
            Some((step, errno)) => {
                // It has left, or is about to: collect it, so that it does not stay as a zombie. What is told
                // is why it left; that it could not be collected would add nothing.
                let _gone = waitid(Id::PIDFd(child.pidfd.as_fd()), WaitPidFlag::WEXITED);
                Err(step_failed(step, errno))
            }
        }
    }
}

/// A failed start: which step, and the kernel's answer, whose kind it keeps.
fn step_failed(step: &str, errno: Errno) -> io::Error {
    let kind = io::Error::from(errno).kind();
    io::Error::new(kind, format!("can't start a role, at {step}: {}", errno.desc()))
}

/// Has the calling thread run only where nobody else wants to (SCHED_IDLE, `sched(7)`). Unlike a low nice value that
/// leaves its core free in the scheduler's eyes, so that who wakes up is not put elsewhere, behind others.
///
/// # Errors
///
/// What `sched_setscheduler(2)` answered.
pub fn go_last() -> io::Result<()> {
    // SAFETY: sched_param is a plain C struct of integers, for which all zeroes are a valid value.
    let param: libc::sched_param = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel reads `param`, which is borrowed for longer than the call; 0 is the calling thread
    // (`sched_setscheduler(2)`).
    match unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_IDLE, &raw const param) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// A pidfd of a child that has not been waited for, so that its pid is still its own.
fn pidfd_of(pid: libc::pid_t) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open(2) takes two integers and touches no memory.
    let raw = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let raw = Errno::result(raw).map_err(|errno| step_failed("pidfd_open", errno))?;
    let raw = RawFd::try_from(raw).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor (close-on-exec), and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// A role that was started. Its descriptor is a pidfd: readable once the role has ended. Dropping it neither
/// ends nor reaps the role.
#[derive(Debug)]
pub struct Child {
    pid: libc::pid_t,
    pidfd: OwnedFd,
}

/// How a role ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Child {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    /// How it ended; `None` while it runs.
    ///
    /// # Errors
    ///
    /// ECHILD where it was reaped already.
    pub fn reap(&self) -> io::Result<Option<Exit>> {
        self.wait(WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG)
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// ECHILD where it was reaped already.
    pub fn wait_for_end(&self) -> io::Result<Exit> {
        loop {
            if let Some(exit) = self.wait(WaitPidFlag::WEXITED)? {
                return Ok(exit);
            }
        }
    }

    fn wait(&self, flags: WaitPidFlag) -> io::Result<Option<Exit>> {
        match waitid(Id::PIDFd(self.pidfd.as_fd()), flags) {
            Ok(WaitStatus::Exited(_, code)) => Ok(Some(Exit::Code(code))),
            Ok(WaitStatus::Signaled(_, signal, _)) => Ok(Some(Exit::Signal(signal as i32))),
            Ok(_) | Err(Errno::EINTR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Sends it a signal, through the pidfd: never to another process that has its pid by now.
    ///
    /// # Errors
    ///
    /// ESRCH where it has ended and was reaped.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        // SAFETY: pidfd_send_signal(2) with a null siginfo takes integers and touches no memory.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.pidfd.as_raw_fd(),
                signal,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        Errno::result(answer).map(drop).map_err(io::Error::from)
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

#[cfg(test)]
mod tests;
