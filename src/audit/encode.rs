//! One record as one line of NDJSON: fixed key order, printable ASCII, at most [`LINE_MAX`] bytes.
//!
//! Whatever a caller or the file system chose is capped here, whoever passes it in, so that the bound on a
//! line holds for every [`Entry`] that can be made. Absent optionals are left out.

mod json;
mod scribe;

use json::Object;
pub(in crate::audit) use scribe::{epoch, seal};

pub use json::INTEGER_MAX;

use super::chain::Digest;
use super::entry::{
    Close, Conn, Decided, Decision, Entry, Exit, GateEvent, Grant, Journalled, Life, Open, OutcomeOf,
    PolicyEvent, Repeat,
};
use crate::model::time::Timestamp;

/// Bytes of the longest line, its LF included.
pub const LINE_MAX: usize = 16 << 10;

/// The format's version: `"v":1`.
pub const VERSION: u32 = 1;

// Caps, in bytes as they stand on the line. The sum of a record's caps, with what bytes that are no text need
// beside them, stays below LINE_MAX; a property test holds that.
const TARGET: usize = 8 << 10;
const METHOD: usize = 64;
const EXE: usize = 4 << 10;
const NAME: usize = 256;
const PLACE: usize = 1 << 10;
const HASH: usize = 64;
const WHY: usize = 8 << 10;
const FIELDS: usize = 8;
const GROUPS: usize = 512;
const LIVE: usize = 1_024;
const MISSING: usize = 32;
const ARGV: usize = 14 << 10;

/// Appends `entry` as the `n`th record of its segment, written at `ts`, to `out`.
pub fn line(entry: &Entry<'_>, n: u64, ts: Timestamp, out: &mut Vec<u8>) {
    match entry {
        Entry::Open(open) => write_open(open, Object::begin(out, "open", n, ts)),
        Entry::Conn(conn) => write_conn(conn, Object::begin(out, "conn", n, ts)),
        Entry::Grant(grant) => write_grant(grant, Object::begin(out, "grant", n, ts)),
        Entry::Exit(exit) => write_exit(exit, Object::begin(out, "exit", n, ts)),
        Entry::Decision(decision) => write_decision(decision, Object::begin(out, "decision", n, ts)),
        Entry::Outcome(outcome) => write_outcome(outcome, Object::begin(out, "outcome", n, ts)),
        Entry::Repeat(repeat) => write_repeat(repeat, Object::begin(out, "repeat", n, ts)),
        Entry::Journal(journalled) => write_journal(*journalled, Object::begin(out, "journal", n, ts)),
        Entry::Gate(event) => write_gate(event, Object::begin(out, "gate", n, ts)),
        Entry::Policy(event) => write_policy(event, Object::begin(out, "policy", n, ts)),
        Entry::Close(close) => write_close(close, Object::begin(out, "close", n, ts)),
        Entry::Range(range) => scribe::write_range(range, Object::begin(out, "range", n, ts)),
        Entry::Recover(found) => scribe::write_recover(found, Object::begin(out, "recover", n, ts)),
        Entry::Pending(pending) => scribe::write_pending(pending, Object::begin(out, "pending", n, ts)),
        Entry::Prune(prune) => scribe::write_prune(prune, Object::begin(out, "prune", n, ts)),
        Entry::Intrusion(seen) => scribe::write_intrusion(seen, Object::begin(out, "intrusion", n, ts)),
    }
}

fn write_open(open: &Open<'_>, mut to: Object<'_>) {
    to.text("boot", open.boot.as_str(), NAME);
    to.text("role", open.role, NAME);
    to.maybe_integer("uid", open.uid.map(u64::from));
    to.integer("pid", open.pid.into());
    to.text("version", open.version, NAME);
    to.text("policy", open.policy, HASH);
    to.texts("missing", open.missing, MISSING, NAME);
    let posture = open.posture;
    to.integer("as", posture.status.effective_uid().into());
    to.text("caps", &format!("{:x}", posture.status.capabilities.effective), NAME);
    to.boolean("nnp", posture.status.no_new_privs);
    to.integer("landlock", posture.landlock.map_or(0, |walls| walls.abi.into()));
    to.integer("seccomp", posture.seccomp_rows.0.into());
    to.end();
}

fn write_conn(conn: &Conn<'_>, mut to: Object<'_>) {
    let caller = conn.caller;
    to.connection("id", conn.id);
    to.text("on", conn.on, NAME);
    to.integer("uid", caller.peer.uid.into());
    to.integer("gid", caller.peer.gid.into());
    if let Some(groups) = caller.credentials.groups.known() {
        to.integers("groups", groups.iter().map(|group| group.raw()), GROUPS);
    }
    to.maybe_text("user", caller.user.as_deref(), NAME);
    to.signed("pid", caller.peer.pid.into());
    if let Some(namespace) = caller.namespace.known() {
        to.word("ns", namespace.name());
    }
    let exe = caller.exe.known();
    if let Some(exe) = exe {
        to.bytes("exe", &exe.path, EXE);
    }
    to.maybe_text("unit", caller.unit.known().map(String::as_str), NAME);
    to.maybe_integer("login", caller.login_uid.known().map(|uid| uid.raw().into()));
    if let Some(label) = caller.label.known() {
        to.bytes("label", label, NAME);
    }
    to.maybe_integer("ruid", caller.peer.real_uid.map(u64::from));
    to.maybe_integer("start", caller.start_time.known().copied());
    to.maybe_integer("dev", exe.map(|exe| exe.device));
    to.maybe_integer("ino", exe.map(|exe| exe.inode));
    if let Some(shed) = conn.shed {
        to.word("shed", shed.code());
    }
    to.end();
}

fn write_grant(grant: &Grant<'_>, mut to: Object<'_>) {
    to.request("id", grant.id);
    to.integer("uid", grant.uid.into());
    to.text("backend", grant.backend, NAME);
    to.text("policy", grant.policy, HASH);
    if let Some(refusal) = grant.refused {
        to.word("refused", refusal.code());
    }
    to.maybe_text("via", grant.via, NAME);
    if let Some(run) = grant.run {
        to.text("user", run.user, NAME);
        if !to.texts_within("argv", run.argv, ARGV) {
            // What ran can still be told from what did not, if not be read.
            let whole: Vec<u8> = run.argv.iter().flat_map(|one| one.bytes().chain([0])).collect();
            to.hex("argv_sha", &Digest::of(&whole).0);
        }
    }
    to.end();
}

fn write_exit(exit: &Exit<'_>, mut to: Object<'_>) {
    to.request("id", exit.id);
    to.word("why", exit.why);
    to.maybe_text("what", exit.what, PLACE);
    to.maybe_integer("code", exit.code.map(u64::from));
    if let Some(signal) = exit.signal {
        to.signed("signal", signal.into());
    }
    to.integer("out", exit.out);
    to.integer("err", exit.err);
    to.integer("us", exit.us);
    to.integer("cpu_us", exit.cpu_us);
    to.integer("rss_kib", exit.rss_kib);
    to.end();
}

fn write_decision(decision: &Decision<'_>, mut to: Object<'_>) {
    to.request("id", decision.id);
    to.integer("uid", decision.uid.into());
    to.signed("pid", decision.pid.into());
    to.bytes("method", decision.method, METHOD);
    to.bytes("target", decision.target, TARGET);
    to.maybe_text("route", decision.route, NAME);
    match decision.verdict {
        Decided::Allow => to.word("decision", "allow"),
        Decided::Deny(refusal) => {
            to.word("decision", "deny");
            to.word("refusal", refusal.code());
        }
    }
    to.maybe_text("by", decision.by, NAME);
    to.maybe_text("at", decision.at, PLACE);
    to.text("policy", decision.policy, HASH);
    to.maybe_text("shadow", decision.shadow, NAME);
    to.maybe_text("part", decision.part, NAME);
    if !decision.fields.is_empty() {
        to.texts("fields", decision.fields, FIELDS, NAME);
    }
    to.maybe_integer("status", decision.status.map(u64::from));
    to.maybe_integer("us", decision.us);
    to.end();
}

fn write_outcome(outcome: &OutcomeOf, mut to: Object<'_>) {
    to.request("id", outcome.id);
    to.maybe_integer("status", outcome.status.map(u64::from));
    to.word("result", outcome.result.code());
    to.integer("in", outcome.bytes_in);
    to.integer("out", outcome.bytes_out);
    to.integer("us", outcome.us);
    to.end();
}

fn write_repeat(repeat: &Repeat<'_>, mut to: Object<'_>) {
    to.integer("uid", repeat.uid.into());
    to.text("on", repeat.on, NAME);
    to.maybe_text("route", repeat.route, NAME);
    to.word("refusal", repeat.refusal.code());
    to.integer("count", repeat.count);
    to.instant("first", repeat.first);
    to.instant("last", repeat.last);
    to.end();
}

fn write_journal(journalled: Journalled, mut to: Object<'_>) {
    to.integer("count", journalled.count);
    to.instant("first", journalled.first);
    to.instant("last", journalled.last);
    to.end();
}

fn write_gate(event: &GateEvent<'_>, mut to: Object<'_>) {
    to.text("role", event.role, NAME);
    to.maybe_integer("uid", event.uid.map(u64::from));
    to.integer("pid", event.pid.into());
    match event.event {
        Life::Started => to.word("event", "started"),
        Life::Retired => to.word("event", "retired"),
        Life::Exited(code) => {
            to.word("event", "exited");
            to.signed("code", code.into());
        }
        Life::Killed(signal) => {
            to.word("event", "killed");
            to.signed("signal", signal.into());
        }
        Life::Panicked => to.word("event", "panicked"),
        Life::Backdated => to.word("event", "backdated"),
        Life::Intruded => to.word("event", "intruded"),
        Life::Silent => to.word("event", "silent"),
        Life::Violated => {
            to.word("event", "violated");
            to.maybe_text("syscall", event.syscall, NAME);
        }
    }
    to.integers("live", event.live.iter().copied(), LIVE);
    to.end();
}

fn write_policy(event: &PolicyEvent<'_>, mut to: Object<'_>) {
    to.maybe_text("old", event.old, HASH);
    to.maybe_text("new", event.new, HASH);
    to.text("file", event.file, PLACE);
    to.maybe_text("refused", event.refused, WHY);
    to.end();
}

fn write_close(close: &Close<'_>, mut to: Object<'_>) {
    to.text("segment", close.segment, NAME);
    to.integer("bytes", close.bytes);
    to.boolean("torn", close.torn);
    to.end();
}

#[cfg(test)]
mod tests;
