//! What is told about the daemon: to callers by way of the scribe, to witnesses by way of their keepers.

use serde::{Deserialize, Serialize};

use crate::model::posture::Confinement;
use crate::policy::{Feed, Only};

/// An answer that the scribe is to give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serve {
    /// What is wanted.
    pub feed: Feed,
    /// Which decisions; all where it is empty.
    pub only: Only,
    /// Whose request it is.
    pub uid: u32,
    /// What the warden knows and the record does not say.
    pub told: Told,
}

/// What the warden tells the scribe of now, for `metrics`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Seconds since the daemon was ready.
    pub up_s: u64,
    /// The policy in force: its generation, its short hash, since when (microseconds since the epoch).
    pub policy: (u64, String, u64),
    /// Whether requests can be recorded.
    pub recordable: bool,
    /// What is missing from the full posture.
    pub missing: Vec<String>,
    /// Each listener and its open connections.
    pub open: Vec<(String, u64)>,
    /// Gates that run.
    pub gates: u32,
    /// Deaths of the scribe since the start.
    pub scribe_deaths: u32,
    /// Bytes of the audit directory's file system that the daemon may still use, and its size.
    pub disk: Option<(u64, u64)>,
    /// The sinks of the seals' heads.
    pub witness: Vec<WitnessStatus>,
}

/// One sink of the seals' heads, in [`Status`](super::message::Status) and [`Told`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WitnessStatus {
    /// `journal`, `syslog`, `file` or `command`.
    pub sink: String,
    /// Seconds since it took a head; `None`: it never has.
    pub age_s: Option<u64>,
    /// Heads that it took, and tries that failed.
    pub taken: u64,
    /// Tries that failed.
    pub failed: u64,
    /// Why the latest try failed; empty where it did not.
    pub why: String,
}

/// How far the disk and the seals are behind the writers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lag {
    /// Bytes of records that no seal covers.
    pub unsealed: u64,
    /// The 99th percentile of the latest 1,024 syncs, in microseconds.
    pub sync_p99_us: u64,
}

/// Warden to the process that keeps heads for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToKeeper {
    /// Keep this line, and say so.
    Keep {
        /// A head of the seals.
        line: String,
    },
}

/// Its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromKeeper {
    /// It is up, and found itself so.
    Confined(Box<Confinement>),
    /// It is kept.
    Kept,
    /// It is not.
    Failed {
        /// Why, in words for people.
        why: String,
    },
}
