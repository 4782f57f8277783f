//! What can be wrong with a record, each with its own word and its own exit code. Where there are several, the first
//! in this order is the exit code.

/// A kind of damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Another chain begins here, whose genesis is not pinned: the one before ended, or is elsewhere.
    NewGenesis,
    /// The pinned key leads to no epoch of this log, or to none before a new genesis.
    WrongKey,
    /// A seal or an epoch is not signed by the key that was named for it.
    Signature,
    /// Two different epochs have the same number: somebody had the key, and used it again.
    Twice,
    /// Lines or segments of another log, or of another start.
    Spliced,
    /// A seal was left out, moved or written again.
    Chain,
    /// A witness has a later head than this log: its end was cut off, or it is an old copy.
    RolledBack,
    /// A witness has another seal of the same number: this log was written anew.
    OtherHistory,
    /// A segment is gone, and no sealed `prune` says so.
    MissingSegment,
    /// A file ends before what was sealed of it.
    Cut,
    /// Bytes are not those that were sealed.
    Changed,
    /// A file has another segment's bytes.
    Renamed,
    /// Bytes of a segment that no range covers, though later ones are covered, or the segment was closed.
    MissingRange,
    /// Bytes behind the end at which a segment was closed.
    Extra,
    /// A segment that no seal names, older than the last seal, much younger, or of another start.
    Unnamed,
    /// Record numbers do not count on: records were taken out, put in or moved.
    Count,
    /// A line that this writer does not write.
    ForeignLine,
    /// A segment ends inside a line, and nothing says that it was torn.
    Torn,
    /// Sealed lines of the scribe's that can't both be so.
    Contradiction,
    /// A compressed segment can't be unpacked.
    Packed,
    /// A file that is none of the daemon's.
    ForeignFile,
    /// A file that can't be read.
    Unreadable,
    /// The scribe saw an intrusion while it happened, and sealed that.
    Intrusion,
}

impl Kind {
    /// All kinds, the gravest first.
    pub const ALL: [Kind; 23] = [
        Kind::NewGenesis,
        Kind::WrongKey,
        Kind::Signature,
        Kind::Twice,
        Kind::Spliced,
        Kind::Chain,
        Kind::RolledBack,
        Kind::OtherHistory,
        Kind::MissingSegment,
        Kind::Cut,
        Kind::Changed,
        Kind::Renamed,
        Kind::MissingRange,
        Kind::Extra,
        Kind::Unnamed,
        Kind::Count,
        Kind::ForeignLine,
        Kind::Torn,
        Kind::Contradiction,
        Kind::Packed,
        Kind::ForeignFile,
        Kind::Unreadable,
        Kind::Intrusion,
    ];

    /// Its word, which does not change.
    pub fn code(self) -> &'static str {
        match self {
            Kind::NewGenesis => "new-genesis",
            Kind::WrongKey => "wrong-key",
            Kind::Signature => "bad-signature",
            Kind::Twice => "key-used-twice",
            Kind::Spliced => "spliced",
            Kind::Chain => "broken-chain",
            Kind::RolledBack => "rolled-back",
            Kind::OtherHistory => "other-history",
            Kind::MissingSegment => "missing-segment",
            Kind::Cut => "cut",
            Kind::Changed => "changed",
            Kind::Renamed => "renamed",
            Kind::MissingRange => "missing-range",
            Kind::Extra => "extra-bytes",
            Kind::Unnamed => "unsealed-segment",
            Kind::Count => "record-count",
            Kind::ForeignLine => "foreign-line",
            Kind::Torn => "torn",
            Kind::Contradiction => "contradiction",
            Kind::Packed => "bad-compression",
            Kind::ForeignFile => "foreign-file",
            Kind::Unreadable => "unreadable",
            Kind::Intrusion => "intrusion",
        }
    }

    /// Its exit code, which does not change either.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::NewGenesis => 9,
            Kind::WrongKey => 10,
            Kind::Signature => 11,
            Kind::Twice => 12,
            Kind::Spliced => 13,
            Kind::Chain => 14,
            Kind::RolledBack => 15,
            Kind::OtherHistory => 16,
            Kind::MissingSegment => 17,
            Kind::Cut => 18,
            Kind::Changed => 19,
            Kind::Renamed => 20,
            Kind::MissingRange => 21,
            Kind::Extra => 22,
            Kind::Unnamed => 23,
            Kind::Count => 24,
            Kind::ForeignLine => 25,
            Kind::Torn => 26,
            Kind::Contradiction => 27,
            Kind::Packed => 28,
            Kind::ForeignFile => 29,
            Kind::Unreadable => 30,
            Kind::Intrusion => 31,
        }
    }

    /// What it means, for the manual and for people.
    pub fn meaning(self) -> &'static str {
        match self {
            Kind::NewGenesis => {
                "another chain begins here, with a genesis that is not pinned: `audit init --again`, or the directory was replaced"
            }
            Kind::WrongKey => "the pinned key leads to no epoch of this log",
            Kind::Signature => "a seal or an epoch is not signed by the key that was named for it",
            Kind::Twice => {
                "two different epochs have the same number: somebody had the key, and used it again"
            }
            Kind::Spliced => "lines or segments of another log, or of another start",
            Kind::Chain => "a seal was left out, moved or written again",
            Kind::RolledBack => {
                "a witness has a later head than this log: its end was cut off, or it is an old copy"
            }
            Kind::OtherHistory => "a witness has another seal of the same number: this log was written anew",
            Kind::MissingSegment => "a segment is gone, and no sealed `prune` says so",
            Kind::Cut => "a file ends before what was sealed of it",
            Kind::Changed => "bytes are not those that were sealed",
            Kind::Renamed => "a file has another segment's bytes",
            Kind::MissingRange => {
                "bytes that no range covers stand before bytes that one does, or in a segment that was closed"
            }
            Kind::Extra => "bytes stand behind the end at which a segment was closed",
            Kind::Unnamed => {
                "a segment that no seal names is older than the last seal, more than an hour younger, or of another start"
            }
            Kind::Count => "record numbers do not count on: records were taken out, put in or moved",
            Kind::ForeignLine => "a line that this writer does not write",
            Kind::Torn => "a segment ends inside a line, and nothing says that it was torn",
            Kind::Contradiction => "sealed lines that can't both be so",
            Kind::Packed => "a compressed segment can't be unpacked",
            Kind::ForeignFile => "a file in the audit directory is none of the daemon's",
            Kind::Unreadable => "a file can't be read",
            Kind::Intrusion => "the scribe saw an intrusion while it happened, and sealed that",
        }
    }
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// What kind.
    pub kind: Kind,
    /// The file's name, or what is missing.
    pub file: String,
    /// First and last byte's offset, where known; the last is behind the end.
    pub bytes: Option<(u64, u64)>,
    /// First and last line, counted from 1, where known. Record `n` of a segment is its line `n + 1`.
    pub lines: Option<(u64, u64)>,
    /// In words.
    pub what: String,
}

impl Damage {
    /// At a file as a whole.
    pub(super) fn of(kind: Kind, file: impl Into<String>, what: impl Into<String>) -> Damage {
        Damage { kind, file: file.into(), bytes: None, lines: None, what: what.into() }
    }

    /// In a line.
    pub(super) fn in_line(self, line: u64) -> Damage {
        Damage { lines: Some((line, line)), ..self }
    }

    /// At a line.
    pub(super) fn at_line(self, line: u64, at: u64) -> Damage {
        Damage { lines: Some((line, line)), bytes: Some((at, at)), ..self }
    }
}
