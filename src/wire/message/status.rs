//! What `peergate status` is told.

use serde::{Deserialize, Serialize};

use crate::model::ids::{BootId, Generation};
use crate::wire::told::{Lag, WitnessStatus};

/// What `peergate status` shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// The warden's pid.
    pub pid: u32,
    /// This start.
    pub boot: BootId,
    /// Seconds since it was ready.
    pub up_s: u64,
    /// The policy file.
    pub policy_file: String,
    /// Its hash, 64 hex digits.
    pub policy_hash: String,
    /// Its generation and when it came into force (microseconds since the epoch).
    pub policy_since: (Generation, u64),
    /// What is missing from the full posture.
    pub missing: Vec<String>,
    /// Whether requests can be recorded now.
    pub recordable: bool,
    /// Roles that died within the last minute without being asked to end.
    pub deaths_lately: u32,
    /// They are more than a few: something kills them again and again.
    pub failing: bool,
    /// Each listener: name, path, connections open, accepted in all, shed in all.
    pub listeners: Vec<ListenerStatus>,
    /// Each gate.
    pub gates: Vec<GateStatus>,
    /// Who else keeps the heads of the seals.
    pub witness: Vec<WitnessStatus>,
    /// Scribe's pid, its restarts, bytes not yet synced, diagnostic lines lost.
    pub scribe: ScribeStatus,
    /// Device and inode of the audit directory, as far as it can be seen: a copy of it has others.
    pub directory: Option<(u64, u64)>,
    /// The latest genesis: the public key that who verifies has to pin, 64 hex digits.
    pub genesis: String,
    /// This start made it, since nobody had run `peergate audit init`.
    pub genesis_is_new: bool,
    /// The audit directory was replaced while this daemon ran, and with it the genesis: the one before, and what of its
    /// chain was sealed last.
    pub genesis_before: Option<String>,
}

/// One listener in [`Status`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerStatus {
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: String,
    /// Connections open now.
    pub open: u64,
    /// Accepted since the start.
    pub accepted: u64,
    /// Closed at once since the start.
    pub shed: u64,
}

/// One gate in [`Status`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateStatus {
    /// The uid it serves; `None` where it is shared.
    pub uid: Option<u32>,
    /// Its process; 0 while it waits to be restarted.
    pub pid: u32,
    /// Connections it holds.
    pub connections: u64,
    /// How often it died.
    pub deaths: u32,
}

/// The scribe in [`Status`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScribeStatus {
    /// Its process; 0 while it waits to be restarted.
    pub pid: u32,
    /// How often it died.
    pub deaths: u32,
    /// Bytes seen but not yet synced.
    pub unsynced: u64,
    /// Diagnostic lines that were lost.
    pub lost_lines: u64,
    /// The disk does not let it seal.
    pub stuck: bool,
    /// How far it is behind the writers.
    pub lag: Lag,
    /// The present epoch.
    pub epoch: Option<u64>,
    /// The latest seal.
    pub sealed: Option<LastSeal>,
}

/// The latest seal, for who is told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastSeal {
    /// Its epoch.
    pub epoch: u64,
    /// Its number in it.
    pub i: u64,
    /// When it was made: microseconds since 1970.
    pub at: u64,
    /// SHA-256 of its line.
    pub hash: [u8; 32],
    /// The public key of the next.
    pub next: [u8; 32],
}
