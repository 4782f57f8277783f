//! seccomp(2): which calls a role may make, as a table that can be read, printed and tested.
//!
//! Two filters. The first answers ENOSYS to what a newer C library may harmlessly try, so that it takes its older
//! way; the second kills the process at any call that stands in no row. The kernel takes the severest answer, so
//! the second has to let pass what the first refuses.

mod app;
mod common;
mod gate;
mod keeper;
mod loader;
mod runner;
mod scribe;
mod warden;

use std::collections::BTreeMap;
use std::fmt;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

use super::terms::Violation;

pub(super) use app::{APP, APP_TCP};
pub(super) use common::{COMMON, NO_FILES};
pub(super) use gate::GATE;
pub(super) use keeper::KEEPER;
pub(super) use loader::LOADER;
pub(super) use runner::RUNNER;
pub(super) use scribe::{SCRIBE, SCRIBE_ROLLING};
pub(super) use warden::{START, WARDEN};

/// One call that a role may make, and why.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Its name in `syscalls(2)`.
    pub name: &'static str,
    number: i64,
    rule: Rule,
    /// How often it is needed.
    pub need: Need,
    /// Who needs it, for what.
    pub why: &'static str,
}

/// With which arguments a call may be made.
#[derive(Debug, Clone, Copy)]
enum Rule {
    /// Any.
    Any,
    /// Where all tests of one of these hold.
    Where(&'static [&'static [Test]]),
    /// It answers ENOSYS.
    Absent,
    /// It answers ENOSYS where all tests of one of these hold, and is a violation otherwise.
    AbsentWhere(&'static [&'static [Test]]),
}

/// Whether a test run must have seen it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Each role of the kind makes it while it does its ordinary work.
    Work,
    /// Each role makes it between `fork` and its own confinement, which is why the warden has to have it.
    Start,
    /// Only in the case that the reason names.
    Rarely,
}

/// A test of one argument: `argument & mask == value`.
#[derive(Debug, Clone, Copy)]
struct Test {
    argument: u8,
    /// All 64 bits count; otherwise the lower half, which is all that the kernel takes of an `int`.
    wide: bool,
    mask: u64,
    value: u64,
}

/// The argument is this int.
const fn is(argument: u8, value: i32) -> Test {
    Test { argument, wide: false, mask: 0xffff_ffff, value: value as u32 as u64 }
}

/// The argument is the role's own process.
const fn is_itself(argument: u8) -> Test {
    Test { argument, wide: false, mask: 0xffff_ffff, value: ITSELF }
}

/// Stands for the pid in a test; no int has this value.
const ITSELF: u64 = u64::MAX;

/// The argument is this word, a null pointer for one.
const fn is_word(argument: u8, value: u64) -> Test {
    Test { argument, wide: true, mask: u64::MAX, value }
}

/// The int argument has all of these bits.
const fn has(argument: u8, bits: i32) -> Test {
    Test { argument, wide: false, mask: bits as u32 as u64, value: bits as u32 as u64 }
}

/// The int argument has none of these bits.
const fn lacks(argument: u8, bits: i32) -> Test {
    Test { argument, wide: false, mask: bits as u32 as u64, value: 0 }
}

/// `row!(SYS_read, Work, "…")`; with arguments `row!(SYS_fcntl, WHERE [[is(1, F_GETFD)]], Rarely, "…")`; refused
/// `row!(SYS_clone3, ABSENT, "…")`.
macro_rules! row {
    ($number:ident, ABSENT, $why:literal) => {
        row!(@ $number, $crate::confine::seccomp::Rule::Absent, Rarely, $why)
    };
    ($number:ident, ABSENT WHERE [$([$($test:expr),+]),+], $why:literal) => {
        row!(@ $number, $crate::confine::seccomp::Rule::AbsentWhere(&[$(&[$($test),+]),+]), Rarely, $why)
    };
    ($number:ident, WHERE [$([$($test:expr),+]),+], $need:ident, $why:literal) => {
        row!(@ $number, $crate::confine::seccomp::Rule::Where(&[$(&[$($test),+]),+]), $need, $why)
    };
    ($number:ident, $need:ident, $why:literal) => {
        row!(@ $number, $crate::confine::seccomp::Rule::Any, $need, $why)
    };
    (@ $number:ident, $rule:expr, $need:ident, $why:literal) => {
        $crate::confine::seccomp::Row {
            // What follows `SYS_` is the call's name.
            name: stringify!($number).split_at(4).1,
            number: nix::libc::$number,
            rule: $rule,
            need: $crate::confine::seccomp::Need::$need,
            why: $why,
        }
    };
}
use row;

/// All rows of a role. A call stands in it once.
pub type Table = Vec<Row>;

/// How many rows may be called, and how many answer ENOSYS.
#[must_use]
pub(super) fn counts(table: &[Row]) -> (u16, u16) {
    let absent = table.iter().filter(|row| row.is_absent()).count();
    let count = |rows: usize| u16::try_from(rows).unwrap_or(u16::MAX);
    (count(table.len() - absent), count(absent))
}

/// Both filters, made and not yet in force.
pub(super) struct Filters {
    refusing: BpfProgram,
    killing: BpfProgram,
}

impl Filters {
    /// Compiles a table for the architecture that this program was built for.
    ///
    /// # Errors
    ///
    /// The compiler's; a table that it does not take is a mistake in this program.
    pub(super) fn compile(table: &[Row], violation: Violation) -> Result<Filters, String> {
        let severest = match violation {
            Violation::Kills => SeccompAction::KillProcess,
            Violation::IsLogged => SeccompAction::Log,
        };
        let enosys = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
        let absent = table.iter().filter(|row| row.is_absent());
        Ok(Filters {
            refusing: program(absent, SeccompAction::Allow, enosys)?,
            killing: program(table.iter(), severest, SeccompAction::Allow)?,
        })
    }

    /// Puts both in force for this thread and all that it will start, the killing one last.
    ///
    /// # Errors
    ///
    /// The kernel's: EINVAL without seccomp, EPERM or ENOSYS under a filter that is in force already.
    pub(super) fn apply(&self) -> Result<(), String> {
        // `seccomp(2)` itself is no call that a role may make, so nothing comes after the killing one.
        apply_filter(&self.refusing).map_err(|error| error.to_string())?;
        apply_filter(&self.killing).map_err(|error| error.to_string())
    }
}

fn program<'a>(
    rows: impl Iterator<Item = &'a Row>,
    mismatch: SeccompAction,
    matched: SeccompAction,
) -> Result<BpfProgram, String> {
    let mut rules = BTreeMap::new();
    for row in rows {
        if rules.insert(row.number, row.rules()?).is_some() {
            return Err(format!("{} stands twice in the table", row.name));
        }
    }
    let arch = std::env::consts::ARCH.try_into().map_err(|error| format!("{error}"))?;
    let filter = SeccompFilter::new(rules, mismatch, matched, arch).map_err(|error| error.to_string())?;
    filter.try_into().map_err(|error| format!("{error}"))
}

impl Row {
    /// Whether it answers ENOSYS.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self.rule, Rule::Absent | Rule::AbsentWhere(_))
    }

    /// What the compiler wants to know; no rule at all means any arguments.
    fn rules(&self) -> Result<Vec<SeccompRule>, String> {
        let (Rule::Where(alternatives) | Rule::AbsentWhere(alternatives)) = self.rule else {
            return Ok(Vec::new());
        };
        let rule = |tests: &&[Test]| {
            let conditions = tests.iter().map(Test::condition).collect::<Result<_, _>>()?;
            SeccompRule::new(conditions)
        };
        let rules: Result<Vec<_>, _> = alternatives.iter().map(rule).collect();
        rules.map_err(|error| format!("{}: {error}", self.name))
    }
}

impl Test {
    fn condition(&self) -> Result<SeccompCondition, seccompiler::BackendError> {
        let length = if self.wide { SeccompCmpArgLen::Qword } else { SeccompCmpArgLen::Dword };
        let value = if self.value == ITSELF { std::process::id().into() } else { self.value };
        SeccompCondition::new(self.argument, length, SeccompCmpOp::MaskedEq(self.mask), value)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name;
        match self.rule {
            Rule::Any => f.write_str(name),
            Rule::Absent => write!(f, "{name} → ENOSYS"),
            Rule::Where(alternatives) | Rule::AbsentWhere(alternatives) => {
                let tests =
                    |tests: &&[Test]| tests.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
                let all: Vec<String> = alternatives.iter().map(tests).collect();
                let answer = if self.is_absent() { " → ENOSYS" } else { "" };
                write!(f, "{name} where {}{answer}", all.join(", or "))
            }
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Test { argument, wide, mask, value } = *self;
        let whole = if wide { u64::MAX } else { 0xffff_ffff };
        match (mask, value) {
            (_, ITSELF) => write!(f, "argument {argument} is its own pid"),
            (mask, value) if mask == whole => write!(f, "argument {argument} is {value:#x}"),
            (mask, 0) => write!(f, "argument {argument} lacks {mask:#x}"),
            (mask, value) if mask == value => write!(f, "argument {argument} has {mask:#x}"),
            (mask, value) => write!(f, "argument {argument} & {mask:#x} is {value:#x}"),
        }
    }
}

/// What the daemon calls nowhere, and what somebody who took a role over would try first: so that the record of a
/// violation says a name.
const GONE: &[(i64, &str)] = &[
    (libc::SYS_socket, "socket"),
    (libc::SYS_connect, "connect"),
    (libc::SYS_sendmsg, "sendmsg"),
    (libc::SYS_openat, "openat"),
    (libc::SYS_execve, "execve"),
    (libc::SYS_kill, "kill"),
    (libc::SYS_tgkill, "tgkill"),
    (libc::SYS_ptrace, "ptrace"),
    (libc::SYS_mount, "mount"),
    (libc::SYS_unshare, "unshare"),
    (libc::SYS_setns, "setns"),
    (libc::SYS_bpf, "bpf"),
    (libc::SYS_perf_event_open, "perf_event_open"),
    (libc::SYS_keyctl, "keyctl"),
    (libc::SYS_add_key, "add_key"),
    (libc::SYS_io_uring_setup, "io_uring_setup"),
    (libc::SYS_io_setup, "io_setup"),
    (libc::SYS_io_submit, "io_submit"),
    (libc::SYS_userfaultfd, "userfaultfd"),
    (libc::SYS_process_vm_readv, "process_vm_readv"),
    (libc::SYS_process_vm_writev, "process_vm_writev"),
    (libc::SYS_pwrite64, "pwrite64"),
    (libc::SYS_pwritev2, "pwritev2"),
    (libc::SYS_personality, "personality"),
    (libc::SYS_setuid, "setuid"),
    (libc::SYS_init_module, "init_module"),
    (libc::SYS_finit_module, "finit_module"),
    (libc::SYS_kexec_load, "kexec_load"),
    (libc::SYS_reboot, "reboot"),
    (libc::SYS_memfd_create, "memfd_create"),
];

/// A call's name, where it is one that a table or [`GONE`] has; else its number.
#[must_use]
pub fn name_of(number: i64) -> String {
    let tables = [COMMON, GATE, SCRIBE, SCRIBE_ROLLING, LOADER, WARDEN, START, APP, APP_TCP, RUNNER];
    let row = tables.into_iter().flatten().find(|row| row.number == number).map(|row| row.name);
    let gone = || GONE.iter().find(|(gone, _)| *gone == number).map(|(_, name)| *name);
    row.or_else(gone).map_or_else(|| number.to_string(), str::to_owned)
}

/// Rows of what libraries do by themselves, for a role whose own work is none of it.
pub(super) fn perhaps(rows: &[Row]) -> Table {
    rows.iter().map(|row| Row { need: Need::Rarely, ..*row }).collect()
}

/// A role's own rows with those of the roles that it starts: what it starts inherits its filters, so they have to
/// let pass all that those need. Which arguments are good is theirs to say.
pub(super) fn and_what_it_starts(own: &[Row], started: &[&[Row]]) -> Table {
    let mut rows: BTreeMap<i64, Row> = own.iter().map(|row| (row.number, *row)).collect();
    for row in started.iter().copied().flatten() {
        let need = if row.need == Need::Start { Need::Start } else { Need::Rarely };
        let mine = rows.entry(row.number).or_insert(Row { need, ..*row });
        if !row.is_absent() {
            mine.rule = Rule::Any;
        }
    }
    rows.into_values().collect()
}
