//! The records that only the scribe writes, and that count only in its segments. `epoch` and `seal` are no
//! [`Entry`](super::Entry): only a `chain::Signer` makes their lines, since they are signed.
//!
//! What is read back is given in the same types; text then stands as on the line, which for the names of
//! segments is the name itself.

use crate::audit::chain::{Digest, Public};
use crate::model::ids::RequestId;

/// `epoch`: a scribe begins a segment with a key pair of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch {
    /// Counts from 0 at the genesis, over all starts; an `audit init --again` goes on counting.
    pub epoch: u64,
    /// This epoch's key, which signs this record and nothing else.
    pub key: Public,
    /// The key of this epoch's first seal.
    pub first: Public,
    /// The next epoch's key.
    pub next: Public,
    /// Hash of the latest seal's line before this epoch, whichever epoch's; absent where there is none.
    pub prev: Option<Digest>,
    /// After `audit init --again`, where `key` is another genesis: hash of the last seal's line that was known
    /// then, or zeros where none was.
    pub again: Option<Digest>,
}

/// `seal`: all bytes of the scribe's segment so far are vouched for, and with them the ranges they name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal {
    /// Its epoch.
    pub epoch: u64,
    /// Counts from 0 within the epoch.
    pub i: u64,
    /// First byte of the span of this segment; 0, or where the seal before began.
    pub from: u64,
    /// Where the span ends and this line begins.
    pub to: u64,
    /// SHA-256 of the span.
    pub hash: Digest,
    /// Hash of the seal's line before, across epochs; absent in the very first.
    pub prev: Option<Digest>,
    /// The key of seal `i + 1`.
    pub next: Public,
}

/// `range`: bytes of another writer's segment, as the scribe read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range<'a> {
    /// The segment's file name, always the plain one (`….ndjson`).
    pub segment: &'a str,
    /// First byte: 0, or where the range before ended.
    pub from: u64,
    /// Behind the last byte, which is an LF unless the segment ends torn there.
    pub to: u64,
    /// LFs in it.
    pub lines: u64,
    /// SHA-256 of these bytes.
    pub hash: Digest,
}

/// `recover`: what a new scribe found of an earlier time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recover<'a> {
    /// A segment was open. Its bytes follow in a `range`, then its `close`.
    Segment {
        /// The segment's file name.
        segment: &'a str,
        /// Its last sealed byte: from here on it was read again.
        from: u64,
        /// Its length.
        to: u64,
        /// Whether it ends inside a line.
        torn: bool,
        /// Why nobody had closed it.
        why: Interrupted,
    },
    /// Nothing of before is open any more but what the lines right before it name as carried; so many segments were.
    Settled(u64),
}

/// Why a segment was not closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupted {
    /// The daemon, or the machine, ended without closing it.
    Restart,
    /// Only the scribe ended; the daemon went on.
    Scribe,
    /// It is open and goes on: said before a `settled`, so that who reads from there on knows of it.
    Carried,
}

impl Interrupted {
    /// Every reason.
    pub const ALL: [Interrupted; 3] = [Interrupted::Restart, Interrupted::Scribe, Interrupted::Carried];

    /// As it stands in a record.
    pub fn code(self) -> &'static str {
        match self {
            Interrupted::Restart => "restart",
            Interrupted::Scribe => "scribe-restart",
            Interrupted::Carried => "carried",
        }
    }
}

/// `pending`: requests that were allowed in a segment and have no outcome there, when the scribe closed it.
#[derive(Debug, Clone, Copy)]
pub struct Pending<'a> {
    /// The segment's file name.
    pub segment: &'a str,
    /// At most [`PENDING_MOST`] of them; more need another line.
    pub ids: &'a [RequestId],
}

/// Ids in one `pending` line.
pub const PENDING_MOST: usize = 384;

/// `prune`: a segment is removed, and may be missing from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prune<'a> {
    /// The segment's file name, the plain one.
    pub segment: &'a str,
    /// Its length, uncompressed.
    pub bytes: u64,
    /// SHA-256 of all of it, where it is known.
    pub hash: Option<Digest>,
    /// Why.
    pub why: Pruned,
    /// For one of the scribe's own: what its chain came to.
    pub ended: Option<Ended>,
}

/// What was in a pruned segment of the scribe's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Its epoch.
    pub epoch: u64,
    /// How many seals it had.
    pub seals: u64,
    /// Hash of its last seal's line; absent where it had none.
    pub last: Option<Digest>,
}

/// Why a segment was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pruned {
    /// It is older than is kept.
    Age,
    /// There are more bytes than are kept.
    Bytes,
    /// There are more segments than are kept.
    Count,
    /// The disk has less free space than is left to others.
    Space,
}

impl Pruned {
    /// Every reason.
    pub const ALL: [Pruned; 4] = [Pruned::Age, Pruned::Bytes, Pruned::Count, Pruned::Space];

    /// As it stands in a record.
    pub fn code(self) -> &'static str {
        match self {
            Pruned::Age => "age",
            Pruned::Bytes => "bytes",
            Pruned::Count => "count",
            Pruned::Space => "space",
        }
    }
}

/// `intrusion`: what no writer of ours does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intrusion<'a> {
    /// The file's name, a segment's or not.
    pub segment: &'a str,
    /// From which byte on.
    pub at: u64,
    /// What was seen.
    pub why: Seen,
}

/// What the scribe saw that no writer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Bytes that were read before are others now.
    Changed,
    /// The file is shorter than it was.
    Shrank,
    /// A line that this writer may not write.
    Line,
    /// `n` does not go on where it was.
    Count,
    /// A file that nobody of ours made.
    Foreign,
    /// A file has lost its name, or another stands there.
    Gone,
}

impl Seen {
    /// All of them.
    pub const ALL: [Seen; 6] =
        [Seen::Changed, Seen::Shrank, Seen::Line, Seen::Count, Seen::Foreign, Seen::Gone];

    /// As it stands in a record.
    pub fn code(self) -> &'static str {
        match self {
            Seen::Changed => "changed",
            Seen::Shrank => "shrank",
            Seen::Line => "foreign-line",
            Seen::Count => "count",
            Seen::Foreign => "foreign-file",
            Seen::Gone => "gone",
        }
    }
}
