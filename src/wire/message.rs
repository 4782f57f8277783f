//! What the roles say to each other. One message a datagram of a SOCK_SEQPACKET pair, encoded by `postcard`,
//! descriptors beside it in the order that the variant's docs give.

mod loader;
mod status;

use serde::{Deserialize, Serialize};

use crate::audit::inspect::Role;
use crate::model::caller::Caller;
use crate::model::ids::{BackendId, BootId, Generation, ListenerId};
use crate::model::posture::Confinement;
use crate::model::probe::{Found, Place, Subject, Trial};
use crate::model::refusal::Refusal;
use crate::model::time::Timestamp;
use crate::policy::Given;
use crate::wire::report::Report;
use crate::wire::runner::{Ended, Form};
use crate::wire::told::{Lag, Serve};

pub use loader::FromLoader;
pub use status::{GateStatus, LastSeal, ListenerStatus, ScribeStatus, Status};

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
        /// The latest instant that the warden has seen.
        seen: Timestamp,
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
    /// The same where nothing can be recorded and the route lets the journal stand in.
    OpenByJournal {
        /// As in [`FromGate::Open`].
        ticket: u32,
        /// As in [`FromGate::Open`].
        connection: u64,
        /// As in [`FromGate::Open`].
        request: u32,
        /// As in [`FromGate::Open`].
        backend: BackendId,
        /// As in [`FromGate::Open`].
        generation: Generation,
        /// The decision, as the record would have it.
        line: String,
    },
    /// A request that was allowed and recorded runs a command; answered by [`ToGate::Backend`], whose descriptor is
    /// a link to its runner.
    Run {
        /// As in [`FromGate::Open`].
        ticket: u32,
        /// As in [`FromGate::Open`].
        connection: u64,
        /// As in [`FromGate::Open`].
        request: u32,
        /// As in [`FromGate::Open`].
        backend: BackendId,
        /// As in [`FromGate::Open`].
        generation: Generation,
        /// The route's id.
        route: String,
        /// The request's method.
        method: String,
        /// Its target in its canonical form, by which the warden judges forbids, captures and query for itself.
        target: String,
        /// The values that the body holds, by the names of their parameters; the gate alone has read it.
        members: Given,
        /// How the answer is to look.
        form: Form,
    },
    /// How a request that the journal knows of ended.
    SettledByJournal {
        /// The connection's number.
        connection: u64,
        /// The outcome, as the record would have it.
        line: String,
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

/// Whose segment the scribe follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    /// Who writes there.
    pub role: Role,
    /// The start of the daemon that it belongs to.
    pub boot: BootId,
    /// The gate's number within that start, for a lane's; gates of earlier starts have none.
    pub gate: Option<u32>,
}

/// Warden to scribe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToScribe {
    /// First message. Descriptors: the audit directory (O_DIRECTORY), the scribe's own segment; where it seals,
    /// `seal.key` (O_RDWR) and `epochs.ndjson` (O_RDWR, O_APPEND) too.
    Start {
        /// This start of the daemon.
        boot: BootId,
        /// Its segment's file name.
        segment: String,
        /// Its segment's reserved bytes.
        reserved: u64,
        /// Its segment is followed by another at this size.
        size: u64,
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
        /// Whether it seals, and what it does about damage; `None` where it was only started to try something.
        seals: Option<Damage>,
    },
    /// A writer got a new segment. Descriptors: the same file, O_RDONLY; for a lane's also the same once more, by an
    /// open file of its own, and the socket on which the lane asks how far the disk is ([`super::durable`]).
    Follow {
        /// Its file name in the audit directory.
        segment: String,
        /// Whose it is.
        writer: Followed,
    },
    /// Its writer is done with it (or dead): sync it, write its `close`.
    Finished {
        /// Its file name.
        segment: String,
    },
    /// A policy came into force: the names that are counted by. Descriptor: it, as a sealed memfd. Whoever listens
    /// to decisions is let go, and asks again.
    Policy,
    /// Answer somebody. Descriptor: where to write the answer, non-blocking and shut for reading: not a byte of
    /// a caller comes this way.
    Serve(Box<Serve>),
    /// A gate is gone, and all its segments are finished: what it left without an outcome gets one.
    GateGone {
        /// Its number.
        gate: u32,
    },
    /// Answer to [`FromScribe::Names`]: segments that are in the directory, in the order of their names.
    Names {
        /// Some of them.
        names: Vec<String>,
        /// Whether there are more behind the last.
        more: bool,
    },
    /// Answer to [`FromScribe::Show`]. Descriptor where it is there: the file, O_RDONLY, judged.
    Shown {
        /// Why it can't be had; `None` where it is there.
        missing: Option<String>,
    },
    /// Answer to [`FromScribe::Recovered`]: all that was released is.
    Settle,
    /// Go on in another segment, with another epoch. Descriptor: the segment.
    Own {
        /// Its file name.
        segment: String,
        /// Its reserved bytes.
        reserved: u64,
        /// The policy's hash, eight hex digits.
        policy: String,
    },
    /// Seal what there is now, not only when it is due.
    Seal,
    /// Compress a closed segment. Descriptors: it, O_RDONLY, and the file that it goes into, O_RDWR.
    Pack {
        /// Its file name.
        segment: String,
    },
    /// Make the names in the audit directory durable, for this segment's sake.
    SyncNames {
        /// Its file name.
        segment: String,
    },
    /// Write down that a closed segment goes. Descriptor: it, O_RDONLY.
    Prune {
        /// Its file name, the plain one.
        segment: String,
        /// The file is the compressed one.
        packed: bool,
        /// Why, as the record says it.
        why: String,
    },
    /// Close everything, then say [`FromScribe::Closed`] and end.
    Close,
    /// Try this; only to a scribe that was started for it. Descriptor: what might be a client's connection.
    Try(Trial),
}

/// What a scribe does that finds the record of before damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Damage {
    /// It says so, and does not begin.
    Refuses,
    /// It is on record, and what can be trusted goes on.
    IsRecorded,
}

/// Scribe to warden.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromScribe {
    /// First message: what it found when it read its own confinement back.
    Confined(Box<Confinement>),
    /// All segments' names, please, behind this one; answered by [`ToScribe::Names`].
    Names {
        /// The last one that it has; empty at the beginning.
        after: String,
    },
    /// A segment of before, please, to read; answered by [`ToScribe::Shown`].
    Show {
        /// Its file name.
        segment: String,
    },
    /// It reads what is there from before: a sign of life, though nothing is sealed yet.
    Reading,
    /// The record of before is damaged, and it does not begin: in words for people.
    Damaged {
        /// Where, and what.
        what: String,
    },
    /// Everything of before is closed; answered by [`ToScribe::Settle`].
    Recovered,
    /// An epoch began, and its key is durable nowhere but in this public half.
    Began {
        /// Which.
        epoch: u64,
        /// Its public key.
        key: [u8; 32],
    },
    /// It follows and syncs; sent once a second and at start. Its absence for a few seconds means that
    /// requests are refused, and that it is ended.
    Alive {
        /// Bytes seen but not yet synced.
        unsynced: u64,
        /// Diagnostic lines that were lost so far.
        lost_lines: u64,
        /// For how long there has been something that no seal covers: where that is more than a few seconds
        /// requests are refused, and it is not ended for that: the disk is slow, or stuck.
        behind_ms: u32,
        /// How far behind it is.
        lag: Lag,
        /// The latest seal.
        sealed: Option<LastSeal>,
    },
    /// A segment could not be read or synced (`errno`): its writer needs another one.
    Failed {
        /// The segment's file name.
        segment: String,
        /// Why.
        errno: i32,
    },
    /// Something that no writer does was seen in a segment, and is on record: its gate has to end.
    Intruded {
        /// The segment's file name.
        segment: String,
        /// From which byte on.
        at: u64,
        /// What, as the `intrusion` record says it.
        why: String,
    },
    /// A segment is closed: its unused reservation can be given back.
    Released {
        /// The segment's file name.
        segment: String,
        /// Its final length; `None` where that could not be read, or can't be trusted.
        bytes: Option<u64>,
        /// Its `close` is on record. Where it could not be read to its end, the next start closes it.
        closed: bool,
    },
    /// A segment's line says an instant long before it was written.
    Doubted {
        /// The segment's file name.
        segment: String,
        /// Where.
        at: u64,
    },
    /// Answer to [`ToScribe::SyncNames`].
    NamesSynced {
        /// The segment's file name.
        segment: String,
        /// Why they are not durable.
        failed: Option<String>,
    },
    /// Answer to [`ToScribe::Pack`].
    Packed {
        /// The segment's file name.
        segment: String,
        /// Why it is not compressed; `None` where it is, was read back, and is on the disk.
        failed: Option<String>,
    },
    /// Answer to [`ToScribe::Prune`].
    Pruned {
        /// The segment's file name.
        segment: String,
        /// Why it has to stay; `None` where it is on record, sealed, that it goes.
        failed: Option<String>,
    },
    /// Its own segment has its size: another one, please.
    NeedSegment,
    /// All is synced and closed.
    Closed,
    /// Answer to [`ToScribe::Try`], where the scribe lives.
    Tried(Found),
}

/// `peergate` to the warden's control socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControlRequest {
    /// What is running.
    Status,
    /// Load the policy file again.
    Reload,
    /// Load and judge it as for that, and leave what is in force.
    TryReload,
    /// How each role is confined.
    Doctor,
    /// Begin another epoch, with another key.
    Rekey,
    /// Have a role of this kind, started for it, try something.
    Probe {
        /// The probe's name.
        name: String,
        /// Which role.
        subject: Subject,
        /// In which thread.
        place: Place,
    },
    /// A command ended that an earlier daemon had started.
    CommandEnded(Box<Ended>),
}

/// The warden's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControlReply {
    /// What is running.
    Status(Box<Status>),
    /// How each role is confined.
    Doctor(Box<Report>),
    /// The reload took effect. With it: both policies in sealed memory, the old one first.
    Reloaded {
        /// Hash before, eight hex digits.
        old: String,
        /// Hash now.
        new: String,
    },
    /// A reload would take effect. With it: both policies, as above.
    Tried {
        /// Hash of what is in force, eight hex digits.
        old: String,
        /// Hash of what would be.
        new: String,
    },
    /// Another epoch began.
    Rekeyed {
        /// Its number.
        epoch: u64,
    },
    /// What came of a probe.
    Probed {
        /// That is it.
        found: Found,
        /// What has to come of it, as this daemon is set up.
        expected: Found,
    },
    /// It is noted.
    Noted,
    /// It did not, and why, in lines for people; what was in force still is.
    Refused {
        /// The diagnostics.
        why: String,
    },
}
