//! What happens between `fork` and `execveat`, in the child. Nothing here allocates, locks or panics: the
//! parent may have threads, and any lock of theirs may be held for ever on this side (`fork(2)`, `signal-safety(7)`).

use std::io::Read;
use std::os::fd::{OwnedFd, RawFd};
use std::ptr;

use nix::errno::Errno;
use nix::libc;

use super::{FIRST, Ids, securebits};

/// All that the child needs, made before the fork.
pub(super) struct Plan<'a> {
    /// Who started it, to notice that it has died in between.
    pub(super) parent: libc::pid_t,
    /// Above every number in use after the exec, as are the three below.
    pub(super) executable: RawFd,
    /// Pointers to C strings that outlive the plan, and a null.
    pub(super) arguments: &'a [*const libc::c_char],
    /// Likewise.
    pub(super) environment: &'a [*const libc::c_char],
    /// /dev/null.
    pub(super) null: RawFd,
    /// Where a failed step is told; closes by exec.
    pub(super) report: RawFd,
    /// To be placed from [`FIRST`] on.
    pub(super) descriptors: &'a [RawFd],
    pub(super) ids: Option<&'a Ids>,
    /// Whether no capability may ever come back.
    pub(super) powerless: bool,
    /// Whether stdout and stderr lead nowhere.
    pub(super) mute: bool,
}

/// The steps, in their order; the child tells a failed one by its place here.
const STEPS: [&str; 15] = [
    "setsid",
    "sigaction",
    "dup2 of /dev/null",
    "dup2 of a descriptor",
    "close_range",
    "chdir",
    "prctl(PR_CAPBSET_DROP)",
    "prctl(PR_SET_SECUREBITS)",
    "setgroups",
    "setresgid",
    "setresuid",
    "prctl(PR_SET_PDEATHSIG)",
    "getppid",
    "sigprocmask",
    "execveat",
];

/// What the child said before it left, if it did. Nothing said is success: the exec closed the pipe.
pub(super) fn failure(pipe: OwnedFd) -> Option<(&'static str, Errno)> {
    let mut told = [0_u8; 8];
    std::fs::File::from(pipe).read_exact(&mut told).ok()?;
    let (step, errno) = told.split_first_chunk::<4>()?;
    let step = usize::try_from(u32::from_ne_bytes(*step)).ok()?;
    let errno = i32::from_ne_bytes(errno.try_into().ok()?);
    Some((STEPS.get(step).copied().unwrap_or("an unknown step"), Errno::from_raw(errno)))
}

/// Becomes the role, or tells the step that failed and leaves.
pub(super) fn become_role(plan: &Plan<'_>) -> ! {
    let Failed { step, errno } = steps(plan);
    let mut told = [0_u8; 8];
    let (first, second) = told.split_at_mut(4);
    first.copy_from_slice(&step.to_ne_bytes());
    second.copy_from_slice(&errno.to_ne_bytes());
    // SAFETY: `told` is a live array of eight bytes. _exit does not return and runs nothing of the parent's.
    unsafe {
        libc::write(plan.report, told.as_ptr().cast(), told.len());
        libc::_exit(127)
    }
}

/// A step's place in [`STEPS`] and errno.
struct Failed {
    step: u32,
    errno: libc::c_int,
}

/// `Some` where the answer of step `step` was -1.
fn failed(step: u32, answer: libc::c_long) -> Option<Failed> {
    (answer == -1).then(|| Failed { step, errno: Errno::last_raw() })
}

macro_rules! must {
    ($step:expr, $answer:expr) => {
        if let Some(failed) = failed($step, libc::c_long::from($answer)) {
            return failed;
        }
    };
}

/// Goes through the steps; comes back only from one that failed.
fn steps(plan: &Plan<'_>) -> Failed {
    // SAFETY (of each block below): the calls are system calls or their thin wrappers, safe after a fork; they
    // take integers, or pointers that the plan's borrows keep alive, or null where that means "none".

    // SAFETY: integers only.
    must!(0, unsafe { libc::setsid() });
    // By system call, since the C library refuses its own two (32, 33), which an ancestor may have ignored.
    let default = [0_u64; 4];
    for signal in 1..=64 {
        // SAFETY: the kernel's sigaction is no longer than four words and, all zeroes, means SIG_DFL without flags
        // or mask; 8 is the size of its mask. The old action is not asked for.
        let answer = unsafe {
            let old = ptr::null_mut::<u64>();
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), old, 8)
        };
        // SIGKILL and SIGSTOP can't be set (EINVAL), and are what they should be.
        if answer == -1 && Errno::last_raw() != libc::EINVAL {
            return Failed { step: 1, errno: Errno::last_raw() };
        }
    }
    // SAFETY: integers only.
    must!(2, unsafe { libc::dup2(plan.null, 0) });
    if plan.mute {
        // SAFETY: integers only.
        must!(2, unsafe { libc::dup2(plan.null, 1) });
        // SAFETY: integers only.
        must!(2, unsafe { libc::dup2(plan.null, 2) });
    }
    let mut next = FIRST;
    for fd in plan.descriptors {
        // SAFETY: integers only. The copy is not close-on-exec.
        must!(3, unsafe { libc::dup2(*fd, next) });
        next += 1;
    }
    // SAFETY: integers only. Closing at the exec and not now: the pipe and the executable are still needed.
    must!(4, unsafe {
        libc::syscall(libc::SYS_close_range, next, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
    });
    // SAFETY: integers only; it can't fail.
    unsafe { libc::umask(0o077) };
    // SAFETY: a C string that lives for ever.
    must!(5, unsafe { libc::chdir(c"/".as_ptr()) });
    if plan.powerless {
        // Before the ids change: leaving root takes CAP_SETPCAP away, which both need.
        for capability in 0..=63_u8 {
            // SAFETY: integers only.
            let answer = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability)) };
            // Beyond the last one that this kernel has.
            if answer == -1 && Errno::last_raw() == libc::EINVAL && capability > 0 {
                break;
            }
            must!(6, answer);
        }
        // SAFETY: integers only.
        must!(7, unsafe { libc::prctl(libc::PR_SET_SECUREBITS, libc::c_ulong::from(securebits::LOCKED)) });
    }
    if let Some(ids) = plan.ids {
        // By system call: the C library's wrappers would signal threads that are not there after a fork.
        // Groups first and the user last, who may then change neither.
        // SAFETY: the pointer and the length are those of one slice.
        must!(8, unsafe { libc::syscall(libc::SYS_setgroups, ids.groups.len(), ids.groups.as_ptr()) });
        // SAFETY: integers only.
        must!(9, unsafe { libc::syscall(libc::SYS_setresgid, ids.gid, ids.gid, ids.gid) });
        // SAFETY: integers only.
        must!(10, unsafe { libc::syscall(libc::SYS_setresuid, ids.uid, ids.uid, ids.uid) });
    }
    // After the ids: changing them clears it (`PR_SET_PDEATHSIG(2const)`).
    // SAFETY: integers only.
    must!(11, unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) });
    // SAFETY: no argument. It died before the line above: no signal will come.
    if unsafe { libc::getppid() } != plan.parent {
        return Failed { step: 12, errno: libc::ESRCH };
    }
    // SAFETY: sigset_t is a plain C struct; sigemptyset fills it, and the old mask is not asked for.
    must!(13, unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut())
    });
    // SAFETY: both lists end in a null and, like the strings they point to, outlive the call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_execveat,
            plan.executable,
            c"".as_ptr(),
            plan.arguments.as_ptr(),
            plan.environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    // An exec that succeeds does not come back.
    failed(14, answer).unwrap_or(Failed { step: 14, errno: libc::EINVAL })
}
