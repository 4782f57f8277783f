//! What the roles say to each other. One message a datagram of a SOCK_SEQPACKET pair, encoded by `postcard`,
//! descriptors beside it in the order that the variant's docs give.

use serde::{Deserialize, Serialize};

use crate::model::caller::Caller;
use crate::model::ids::{BackendId, BootId, Generation, ListenerId};
use crate::model::posture::Confinement;
use crate::model::probe::{Found, Place, Subject, Trial};
use crate::model::refusal::Refusal;
use crate::wire::report::Report;

/// Warden to one lane (a thread with a segment of its own) of a gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToGate {
    /// First message. Descriptors: the segment (O_APPEND|O_WRONLY), the policy (sealed memfd).
    Start {
        /// This start of the daemon.
        boot: BootId,
        /// The uid that this gate serves; `None` where it is shared.
        uid: Option<u32>,
        /// The policy's generation.
        generation: Generation,
        /// Bytes of the segment that disk space is reserved for.
        reserved: u64,
        /// What is missing from the posture, for the segment's `open` record.
        missing: Vec<String>,
        /// The key for hashing secrets in records.
        hash_key: [u8; 32],
    },
    /// A newer policy. Descriptor: the sealed memfd.
    Policy {
        /// Its generation.
        generation: Generation,
    },
    /// A caller. Descriptor: its socket, non-blocking.
    Connection {
        /// The connection's number within this start.
        number: u64,
        /// Where it came in.
        listener: ListenerId,
        /// Who is there.
        caller: Box<Caller>,
        /// Whether the warden could write its `conn` record; if not, every request is answered 503.
        recorded: bool,
    },
    /// The caller of this connection is gone (both directions are shut); the gate ends what it does for it.
    Ended {
        /// The connection's number.
        number: u64,
    },
    /// Answer to [`FromGate::Open`]. Descriptor where it is `Ok`: the connected backend, non-blocking.
    Backend {
        /// The question's ticket.
        ticket: u32,
        /// Refused, or failed, and why.
        result: Result<(), Refusal>,
    },
    /// Disk space is reserved up to here.
    Reserved {
        /// Bytes of the present segment.
        upto: u64,
    },
    /// Write to another segment from now on. Descriptor: the segment.
    Segment {
        /// Bytes of it that disk space is reserved for.
        reserved: u64,
    },
    /// How far the disk is with the present segment can be asked of the scribe. Descriptor: a socket that the scribe
    /// has the other end of; it speaks [`super::durable`].
    Durable,
    /// Whether the record as a whole can be trusted to go on: `false` while the scribe is stuck or the disk
    /// fails, and then every request is answered 503.
    Recordable {
        /// Whether it can.
        yes: bool,
    },
    /// Finish what runs, answer no new request, then say [`FromGate::Drained`] and end.
    Drain {
        /// After this many milliseconds what still runs is cut and recorded as stopped.
        within_ms: u32,
    },
    /// Try this; only to a gate that was started for it and never has a caller. Descriptor: what might be a
    /// client's connection.
    Try(Trial),
}

/// One lane of a gate to the warden.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromGate {
    /// The lane is up.
    Ready {
        /// What its process found when it read its own confinement back.
        confined: Box<Confinement>,
    },
    /// A request that was allowed and recorded needs its backend.
    Open {
        /// Chosen by the lane; comes back with the answer.
        ticket: u32,
        /// The live connection for which it asks.
        connection: u64,
        /// The request's number on it.
        request: u32,
        /// Which backend of that generation's policy.
        backend: BackendId,
        /// The policy that the lane decided by.
        generation: Generation,
    },
    /// The segment will soon need space beyond what is reserved.
    Reserve {
        /// Bytes written so far.
        written: u64,
    },
    /// The segment can't be written (`errno`) or is full; another one, please.
    NeedSegment {
        /// 0 where it only reached its size.
        errno: i32,
    },
    /// Answer to [`ToGate::Segment`]: nothing more goes into the segments before it.
    Switched,
    /// Answer to [`ToGate::Policy`]: from now on nothing is judged by an older one.
    Adopted {
        /// Its generation.
        generation: Generation,
    },
    /// A panic ended one connection.
    Panicked {
        /// The connection's number.
        connection: u64,
    },
    /// Everything is settled and recorded; the lane ends.
    Drained,
    /// Answer to [`ToGate::Try`], where the lane lives.
    Tried(Found),
}

/// Warden to scribe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToScribe {
    /// First message. Descriptors: the audit directory (O_DIRECTORY), the scribe's own segment.
    Start {
        /// This start of the daemon.
        boot: BootId,
        /// Its segment's reserved bytes.
        reserved: u64,
        /// The policy's hash, eight hex digits.
        policy: String,
        /// What is missing from the posture.
        missing: Vec<String>,
        /// Where its process writes the diagnostics of all roles: rolling files in this directory, or stderr.
        diagnostics: Option<String>,
        /// The level of its own: `error`, `warn`, `info`, `debug`, `trace`.
        level: String,
        /// Whether its own are JSON.
        json: bool,
    },
    /// A writer got a new segment. Descriptors: the same file, O_RDONLY; for a lane's also the same once more, by an
    /// open file of its own, and the socket on which the lane asks how far the disk is ([`super::durable`]).
    Follow {
        /// Its file name in the audit directory.
        segment: String,
    },
    /// Its writer is done with it (or dead): sync it, write its `close`.
    Finished {
        /// Its file name.
        segment: String,
    },
    /// Close everything, then say [`FromScribe::Closed`] and end.
    Close,
    /// Try this; only to a scribe that was started for it. Descriptor: what might be a client's connection.
    Try(Trial),
}

/// Scribe to warden.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromScribe {
    /// First message: what it found when it read its own confinement back.
    Confined(Box<Confinement>),
    /// It follows and syncs; sent once a second and at start. Its absence for a few seconds means that
    /// requests are refused.
    Alive {
        /// Bytes seen but not yet synced.
        unsynced: u64,
        /// Diagnostic lines that were lost so far.
        lost_lines: u64,
    },
    /// A segment could not be read or synced (`errno`): its writer needs another one.
    Failed {
        /// The segment's file name.
        segment: String,
        /// Why.
        errno: i32,
    },
    /// A segment is closed: its unused reservation can be given back.
    Released {
        /// The segment's file name.
        segment: String,
        /// Its final length.
        bytes: u64,
    },
    /// All is synced and closed.
    Closed,
    /// Answer to [`ToScribe::Try`], where the scribe lives.
    Tried(Found),
}

/// The loader's one answer to the warden.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromLoader {
    /// The policy is good. Descriptor: it, as a sealed memfd.
    Loaded {
        /// Ids that belong to nobody, where the policy names no users for the roles and the daemon is root.
        free_ids: Vec<u32>,
    },
    /// The loader could not be confined, and so has not read it.
    Unconfined {
        /// Which layer is missing, and why.
        why: String,
    },
    /// It is not, and why, in lines for people.
    Refused {
        /// The diagnostics, cut to what a message holds.
        why: String,
    },
}

/// `peergate` to the warden's control socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControlRequest {
    /// What is running.
    Status,
    /// Load the policy file again.
    Reload,
    /// How each role is confined.
    Doctor,
    /// Have a role of this kind, started for it, try something.
    Probe {
        /// The probe's name.
        name: String,
        /// Which role.
        subject: Subject,
        /// In which thread.
        place: Place,
    },
}

/// The warden's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControlReply {
    /// What is running.
    Status(Box<Status>),
    /// How each role is confined.
    Doctor(Box<Report>),
    /// The reload took effect.
    Reloaded {
        /// Hash before, eight hex digits.
        old: String,
        /// Hash now.
        new: String,
    },
    /// What came of a probe.
    Probed {
        /// That is it.
        found: Found,
        /// What has to come of it, as this daemon is set up.
        expected: Found,
    },
    /// It did not, and why, in lines for people; what was in force still is.
    Refused {
        /// The diagnostics.
        why: String,
    },
}

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
    /// Scribe's pid, its restarts, bytes not yet synced, diagnostic lines lost.
    pub scribe: ScribeStatus,
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
}
