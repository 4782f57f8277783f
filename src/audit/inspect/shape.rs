//! What each kind of record may hold, in which order, and who writes it; `encode` writes by the same lists, which a
//! test holds against it.

use super::Role;
use crate::audit::plain::word;

/// Keys by their numbers.
macro_rules! keys {
    ($($key:literal),* $(,)?) => { const { &[$(word($key)),*] } };
}

/// The kinds of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// First of a segment.
    Open,
    /// A connection.
    Conn,
    /// A backend was handed out.
    Grant,
    /// A command ended.
    Exit,
    /// A request was judged.
    Decision,
    /// An allowed request ended.
    Outcome,
    /// Counted refusals.
    Repeat,
    /// Counted requests that the journal alone knows of.
    Journal,
    /// The life of a role.
    Gate,
    /// A policy came into force, or not.
    Policy,
    /// A segment is complete.
    Close,
    /// A new key.
    Epoch,
    /// Bytes of a segment.
    Range,
    /// A seal over the scribe's own lines.
    Seal,
    /// A segment was found open.
    Recover,
    /// Requests that were open when their segment was closed.
    Pending,
    /// A segment was removed.
    Prune,
    /// A segment can't be trusted any more.
    Intrusion,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 18] = [
        Kind::Open,
        Kind::Conn,
        Kind::Grant,
        Kind::Exit,
        Kind::Decision,
        Kind::Outcome,
        Kind::Repeat,
        Kind::Journal,
        Kind::Gate,
        Kind::Policy,
        Kind::Close,
        Kind::Epoch,
        Kind::Range,
        Kind::Seal,
        Kind::Recover,
        Kind::Pending,
        Kind::Prune,
        Kind::Intrusion,
    ];

    /// By the word in `t`.
    #[must_use]
    pub fn named(word: &str) -> Option<Kind> {
        Some(match word {
            "decision" => Kind::Decision,
            "outcome" => Kind::Outcome,
            "grant" => Kind::Grant,
            "conn" => Kind::Conn,
            _ => return Kind::ALL.into_iter().find(|kind| kind.name() == word),
        })
    }

    /// The word in `t`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Open => "open",
            Kind::Conn => "conn",
            Kind::Grant => "grant",
            Kind::Exit => "exit",
            Kind::Decision => "decision",
            Kind::Outcome => "outcome",
            Kind::Repeat => "repeat",
            Kind::Journal => "journal",
            Kind::Gate => "gate",
            Kind::Policy => "policy",
            Kind::Close => "close",
            Kind::Epoch => "epoch",
            Kind::Range => "range",
            Kind::Seal => "seal",
            Kind::Recover => "recover",
            Kind::Pending => "pending",
            Kind::Prune => "prune",
            Kind::Intrusion => "intrusion",
        }
    }

    /// Whether a record of this kind counts in a segment of this writer. A probe's count nowhere.
    #[must_use]
    pub fn is_written_by(self, role: Role) -> bool {
        match self {
            Kind::Open => role != Role::Probe,
            Kind::Conn | Kind::Grant | Kind::Exit | Kind::Journal | Kind::Gate | Kind::Policy => {
                role == Role::Warden
            }
            Kind::Decision => role == Role::Gate,
            // The scribe's say that nobody is left to write one.
            Kind::Outcome => matches!(role, Role::Gate | Role::Scribe),
            Kind::Repeat => matches!(role, Role::Warden | Role::Gate),
            Kind::Close
            | Kind::Epoch
            | Kind::Range
            | Kind::Seal
            | Kind::Recover
            | Kind::Pending
            | Kind::Prune
            | Kind::Intrusion => role == Role::Scribe,
        }
    }

    /// Whether a record of this kind may hold this key, by what this release knows.
    #[must_use]
    pub fn has(self, key: &str) -> bool {
        let number = word(key);
        number != 0 && self.keys().contains(&number)
    }

    /// Its keys behind `ts` by their numbers, in their order; `<key>_b64` and `<key>_len` may follow each.
    pub(super) fn keys(self) -> &'static [u64] {
        match self {
            Kind::Open => keys![
                "boot", "role", "uid", "pid", "version", "policy", "missing", "as", "caps", "nnp",
                "landlock", "seccomp",
            ],
            Kind::Conn => keys![
                "id", "on", "uid", "gid", "groups", "user", "pid", "ns", "exe", "unit", "login", "label",
                "ruid", "start", "dev", "ino", "shed",
            ],
            Kind::Grant => {
                keys!["id", "uid", "backend", "policy", "refused", "via", "user", "argv", "argv_sha"]
            }
            Kind::Exit => {
                keys!["id", "why", "what", "code", "signal", "out", "err", "us", "cpu_us", "rss_kib"]
            }
            Kind::Decision => keys![
                "id", "uid", "pid", "method", "target", "route", "decision", "refusal", "by", "at", "policy",
                "shadow", "part", "fields", "status", "us",
            ],
            Kind::Outcome => keys!["id", "status", "result", "in", "out", "us"],
            Kind::Repeat => keys!["uid", "on", "route", "refusal", "count", "first", "last"],
            Kind::Journal => keys!["count", "first", "last"],
            Kind::Gate => keys!["role", "uid", "pid", "event", "code", "signal", "syscall", "live"],
            Kind::Policy => keys!["old", "new", "file", "refused"],
            Kind::Close => keys!["segment", "bytes", "torn"],
            Kind::Epoch => keys!["epoch", "key", "first", "next", "prev", "again", "sig"],
            Kind::Range => keys!["segment", "from", "to", "lines", "hash"],
            Kind::Seal => keys!["epoch", "i", "from", "to", "hash", "prev", "next", "sig"],
            Kind::Recover => keys!["segment", "from", "to", "torn", "why", "settled"],
            Kind::Pending => keys!["segment", "ids"],
            Kind::Prune => keys!["segment", "bytes", "hash", "why", "epoch", "seals", "last"],
            Kind::Intrusion => keys!["segment", "at", "why"],
        }
    }
}
