//! What every role does that reads what it can't trust: memory, threads, clocks, its end.

use nix::libc;

use super::{Row, has, is, is_itself, lacks, row};

/// A thread of this process, and no process.
pub(super) const A_THREAD: i32 = libc::CLONE_VM | libc::CLONE_SIGHAND | libc::CLONE_THREAD;
/// Namespaces of its own. The eighth, CLONE_NEWTIME, is no flag of `clone`: the number means a signal there.
pub(super) const IN_A_NAMESPACE: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;
/// Signals that the C library keeps for itself: 32 cancels a thread, 33 has all threads change their ids.
const OF_THE_LIBRARY: [i32; 2] = [32, 33];

/// Rows of gate and scribe alike.
pub(in crate::confine) const COMMON: &[Row] = &[
    row!(SYS_read, Work, "what an open descriptor holds"),
    row!(SYS_write, Work, "records to the end of a segment; diagnostics"),
    row!(SYS_pread64, Work, "the policy's memory, segments, its own /proc/self/status"),
    row!(SYS_close, Work, "descriptors"),
    row!(SYS_brk, Rarely, "memory"),
    row!(SYS_mmap, WHERE[[lacks(2, libc::PROT_EXEC)]], Rarely, "memory that no code is run from"),
    row!(SYS_mprotect, WHERE[[lacks(2, libc::PROT_EXEC)]], Rarely, "a thread's stack and its guard"),
    row!(SYS_munmap, Rarely, "gives memory back"),
    row!(SYS_mremap, Rarely, "a large buffer grows"),
    row!(SYS_madvise, Rarely, "gives a thread's stack back"),
    row!(SYS_futex, Rarely, "threads wait for each other"),
    row!(
        SYS_clone,
        WHERE[[has(0, A_THREAD), lacks(0, IN_A_NAMESPACE)]],
        Rarely,
        "a further lane, or the collector of diagnostics; never a process"
    ),
    row!(
        SYS_clone3,
        ABSENT,
        "its flags lie in memory that a filter can't read; the C library takes `clone` instead"
    ),
    row!(SYS_set_robust_list, Rarely, "a thread begins"),
    row!(SYS_rseq, Rarely, "a thread begins"),
    row!(SYS_sigaltstack, Work, "a thread's guard against overflow of its stack begins and ends"),
    row!(SYS_rt_sigprocmask, Rarely, "a thread begins"),
    row!(SYS_rt_sigaction, WHERE [[is(0, OF_THE_LIBRARY[0])], [is(0, OF_THE_LIBRARY[1])]], Rarely, "the C library readies itself for threads"),
    row!(SYS_rt_sigreturn, Rarely, "the C library's own signals end"),
    row!(SYS_restart_syscall, Rarely, "the kernel goes on with a wait after a stop"),
    row!(SYS_prctl, WHERE[[is(0, libc::PR_SET_NAME)]], Rarely, "a thread's name"),
    row!(SYS_sched_getaffinity, Rarely, "how many cores there are"),
    row!(SYS_sched_yield, Rarely, "a lock is contended"),
    row!(SYS_getpid, Work, "the `open` record"),
    row!(SYS_gettid, Rarely, "a thread begins"),
    row!(SYS_getrandom, Rarely, "seeds of hash tables"),
    row!(SYS_clock_gettime, Rarely, "the time, where the vDSO can't tell it"),
    row!(SYS_exit, Rarely, "a thread ends"),
    row!(SYS_exit_group, Rarely, "the role ends, where the warden's end does not end it first"),
    row!(
        SYS_tgkill,
        WHERE[[is_itself(0), is(2, libc::SIGABRT)]],
        Rarely,
        "it aborts, which the record then says: no memory is left, or a panic within a panic"
    ),
    row!(SYS_membarrier, ABSENT, "a library asks whether it is there"),
];

/// For a role that opens nothing by name. A thread of the C library's that gives much memory back asks once, in
/// `/proc/sys/vm/overcommit_memory`, whether it may unmap it (`malloc/arena.c`), and takes the cautious way where there
/// is no answer. Only what it asks with is refused so; whoever opens otherwise is ended.
pub(in crate::confine) const NO_FILES: &[Row] = &[row!(
    SYS_openat,
    ABSENT WHERE [[is(0, libc::AT_FDCWD), is(2, libc::O_RDONLY | libc::O_CLOEXEC)]],
    "the C library asks whether it may unmap memory"
)];
