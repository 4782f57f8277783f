//! The records, as values. Field order here is the order on the line; `encode` turns one into a line of NDJSON.
//!
//! Every record begins `{"v":1,"t":…,"n":…,"ts":…`; `n` and `ts` are the segment's and the writer's.

mod scribe;

pub use scribe::{
    Ended, Epoch, Interrupted, Intrusion, PENDING_MOST, Pending, Prune, Pruned, Range, Recover, Seal, Seen,
};

use crate::model::caller::Caller;
use crate::model::ids::{BootId, ConnectionId, RequestId};
use crate::model::outcome::Outcome;
use crate::model::posture::Confinement;
use crate::model::refusal::Refusal;
use crate::model::time::Timestamp;

/// One record.
#[derive(Debug, Clone)]
pub enum Entry<'a> {
    /// First of every segment.
    Open(Open<'a>),
    /// A connection was accepted (or shed): the caller's full identity.
    Conn(Conn<'a>),
    /// The warden handed out a backend.
    Grant(Grant<'a>),
    /// A command ended.
    Exit(Exit<'a>),
    /// A request was judged.
    Decision(Decision<'a>),
    /// What became of an allowed request.
    Outcome(OutcomeOf),
    /// Identical denials, or shed connections, that got no record of their own.
    Repeat(Repeat<'a>),
    /// Requests that were served on a record in the journal.
    Journal(Journalled),
    /// A role process started, ended or was retired.
    Gate(GateEvent<'a>),
    /// A policy came into force, or was refused.
    Policy(PolicyEvent<'a>),
    /// A segment is complete; this and all that follow are written by the scribe alone.
    Close(Close<'a>),
    /// Bytes of a segment, and their hash.
    Range(Range<'a>),
    /// What a new scribe found of an earlier time.
    Recover(Recover<'a>),
    /// Requests without outcome in a segment that is closed.
    Pending(Pending<'a>),
    /// A segment is removed.
    Prune(Prune<'a>),
    /// What no writer does was seen.
    Intrusion(Intrusion<'a>),
}

/// `open`: who writes here, and in what posture.
#[derive(Debug, Clone)]
pub struct Open<'a> {
    /// This start of the daemon.
    pub boot: BootId,
    /// `warden`, `gate` or `scribe`.
    pub role: &'a str,
    /// The uid that a gate serves; absent for a shared one and for other roles.
    pub uid: Option<u32>,
    /// The writing process.
    pub pid: u32,
    /// The daemon's version.
    pub version: &'a str,
    /// The policy in force, by the first eight hex digits of its hash.
    pub policy: &'a str,
    /// What is missing from the full posture, each by name (`no-root`, `landlock` …).
    pub missing: &'a [String],
    /// What the writing process found when it read its own confinement back.
    pub posture: &'a Confinement,
}

/// `conn`: one accepted connection.
#[derive(Debug, Clone)]
pub struct Conn<'a> {
    /// Its id.
    pub id: ConnectionId,
    /// The listener's name.
    pub on: &'a str,
    /// Who is there.
    pub caller: &'a Caller,
    /// Set where it was closed at once instead of served.
    pub shed: Option<Refusal>,
}

/// `grant`: the warden passed a backend connection.
#[derive(Debug, Clone)]
pub struct Grant<'a> {
    /// The request that the gate named.
    pub id: RequestId,
    /// The caller's uid, as the warden knows it.
    pub uid: u32,
    /// The backend's name.
    pub backend: &'a str,
    /// The policy by which the warden judged.
    pub policy: &'a str,
    /// Set where it was refused.
    pub refused: Option<Refusal>,
    /// The app that asked for it, where it was none of the gate's own.
    pub via: Option<&'a str>,
    /// What is run, where it is a command.
    pub run: Option<Run<'a>>,
}

/// A command, as a `grant` tells of it.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// Program and arguments, secret values as keyed hashes.
    pub argv: &'a [String],
    /// The user that it runs as.
    pub user: &'a str,
}

/// `exit`: a command ended, with all that it had started; or the warden ended before it did.
#[derive(Debug, Clone, Copy)]
pub struct Exit<'a> {
    /// The request.
    pub id: RequestId,
    /// `done`, `timeout`, `caller-left`, `output`; `not-started`, `lost` (its runner died) or `detached` (it runs on, and
    /// another `exit` follows).
    pub why: &'static str,
    /// More of it, in words for people.
    pub what: Option<&'a str>,
    /// Exit code.
    pub code: Option<u8>,
    /// The signal that it died of.
    pub signal: Option<i32>,
    /// Bytes on stdout.
    pub out: u64,
    /// Bytes on stderr.
    pub err: u64,
    /// How long it ran, in microseconds.
    pub us: u64,
    /// Processor time of all its processes, in microseconds.
    pub cpu_us: u64,
    /// The largest resident set of one of them, in KiB.
    pub rss_kib: u64,
}

/// `decision`: one judged request. `status` is there where the reply is immediate, and then no outcome follows.
#[derive(Debug, Clone)]
pub struct Decision<'a> {
    /// The request.
    pub id: RequestId,
    /// Caller's uid as SO_PEERCRED gave it.
    pub uid: u32,
    /// Caller's pid likewise.
    pub pid: i32,
    /// The method, or as much of the bytes as there was of one.
    pub method: &'a [u8],
    /// The canonical target, secrets in its query already replaced; for a refused head the raw bytes as far
    /// as they came.
    pub target: &'a [u8],
    /// The route's id, where one matched.
    pub route: Option<&'a str>,
    /// Allow or deny.
    pub verdict: Decided,
    /// Which rule: `who.ci`, `forbid.ci-never-execs`, …
    pub by: Option<&'a str>,
    /// Where that rule stands: `policy.toml:42`.
    pub at: Option<&'a str>,
    /// The policy's hash, eight hex digits.
    pub policy: &'a str,
    /// What a rule in shadow mode would have done.
    pub shadow: Option<&'a str>,
    /// What of the request the route did not take: `body /HostConfig/Privileged`. Never a value.
    pub part: Option<&'a str>,
    /// What the route has recorded of head and body, `body /Image=alpine`; secret ones as keyed hashes.
    pub fields: &'a [String],
    /// The status, where the reply is immediate.
    pub status: Option<u16>,
    /// From head to decision, in microseconds, where the reply is immediate.
    pub us: Option<u64>,
}

/// The verdict in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decided {
    /// It may go on.
    Allow,
    /// It may not, and why.
    Deny(Refusal),
}

/// `outcome`: an allowed exchange ended.
#[derive(Debug, Clone, Copy)]
pub struct OutcomeOf {
    /// The request.
    pub id: RequestId,
    /// The status that the caller got; absent where none was sent.
    pub status: Option<u16>,
    /// How it ended.
    pub result: Outcome,
    /// Body (and tunnel) bytes from the caller.
    pub bytes_in: u64,
    /// Body (and tunnel) bytes to the caller.
    pub bytes_out: u64,
    /// From head to end, in microseconds.
    pub us: u64,
}

/// `repeat`: how many more there were of the same kind since the last record of it.
#[derive(Debug, Clone)]
pub struct Repeat<'a> {
    /// The caller's uid.
    pub uid: u32,
    /// The listener's name.
    pub on: &'a str,
    /// The route, where one matched.
    pub route: Option<&'a str>,
    /// What each of them was refused for.
    pub refusal: Refusal,
    /// How many.
    pub count: u64,
    /// The first one's time.
    pub first: Timestamp,
    /// The last one's time.
    pub last: Timestamp,
}

/// `journal`: how many requests were served on a record in the journal, while this one could not be written.
#[derive(Debug, Clone, Copy)]
pub struct Journalled {
    /// How many.
    pub count: u64,
    /// The first one's time.
    pub first: Timestamp,
    /// The last one's time.
    pub last: Timestamp,
}

/// `gate`: the life of a role process.
#[derive(Debug, Clone)]
pub struct GateEvent<'a> {
    /// `gate` or `scribe`.
    pub role: &'a str,
    /// The uid it serves, for a gate that is not shared.
    pub uid: Option<u32>,
    /// Its process.
    pub pid: u32,
    /// What happened.
    pub event: Life,
    /// Uids of the callers that were connected to it.
    pub live: &'a [u32],
    /// The system call that it died of, as the kernel's log names it; with [`Life::Violated`] alone.
    pub syscall: Option<&'a str>,
}

/// What happened to a role process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It was started.
    Started,
    /// It had nothing to do and was let go.
    Retired,
    /// It ended by itself with this exit code.
    Exited(i32),
    /// It was ended by this signal.
    Killed(i32),
    /// A panic in it ended one connection.
    Panicked,
    /// It was ended for a system call that its table does not have; follows its [`Life::Killed`].
    Violated,
    /// A line of its segment says an instant long before it was written. It lives on: that may have an honest cause.
    Backdated,
    /// The scribe found in its segment what no gate writes, or what somebody changed: it is ended for that.
    Intruded,
    /// It gave no sign of life, and is ended for that; its [`Life::Killed`] follows.
    Silent,
}

/// `policy`: which one is in force.
#[derive(Debug, Clone)]
pub struct PolicyEvent<'a> {
    /// The hash before, eight hex digits; absent at start.
    pub old: Option<&'a str>,
    /// The hash of what was loaded; absent where it could not be read.
    pub new: Option<&'a str>,
    /// The file.
    pub file: &'a str,
    /// Why it was not taken; absent where it was.
    pub refused: Option<&'a str>,
}

/// `close`: one segment is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close<'a> {
    /// Its file name.
    pub segment: &'a str,
    /// Its length in bytes.
    pub bytes: u64,
    /// Whether it ends inside a line.
    pub torn: bool,
}
