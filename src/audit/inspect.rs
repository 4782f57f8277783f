//! Lines as the scribe judges them behind a writer's back: spelt as ours are, of a kind that this writer may
//! write, keys in their order, `n` without a gap, ids of this start.
//!
//! It runs for every line of every writer, so it looks at each byte about twice and allocates nothing. What it
//! finds wrong no writer of ours does: the line was forged, or the writer was taken over.

mod shape;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::encode::LINE_MAX;
use super::plain::Fields;
use crate::model::ids::BootId;

pub use shape::Kind;

/// Who writes a segment, as far as it matters to what may stand in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// The warden.
    Warden,
    /// A gate's lane.
    Gate,
    /// The scribe.
    Scribe,
    /// A role that was started to try something: its lines are not judged, and count for nothing.
    Probe,
}

impl Role {
    /// From a segment's name ([`SegmentName::writer`](super::segment::SegmentName::writer)).
    #[must_use]
    pub fn of_writer(writer: &str) -> Option<Role> {
        let (role, _number) = writer.split_once('-')?;
        match role {
            "warden" => Some(Role::Warden),
            "gate" => Some(Role::Gate),
            "scribe" => Some(Role::Scribe),
            "probe" => Some(Role::Probe),
            _ => None,
        }
    }
}

/// Why a line can't be what its writer wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Longer than any line of ours, or with bytes that none of ours has.
    Spelling,
    /// A kind of record that there is not, or that this writer does not write.
    Kind,
    /// `n` does not follow the line before.
    Number,
    /// A key that is unknown, twice, or out of its order.
    Key,
    /// It names another start of the daemon.
    Boot,
    /// A segment begins with its `open`, and has one.
    Open,
}

impl Fault {
    /// In the words that an `intrusion` record has.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Fault::Spelling => "a line that is no record",
            Fault::Kind => "a record that this writer does not write",
            Fault::Number => "n does not count",
            Fault::Key => "keys that no record of this kind has",
            Fault::Boot => "an id of another start",
            Fault::Open => "no open record where it belongs, or one where it does not",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request as the scribe counts it: connection and number within this start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Request {
    /// The connection's number.
    pub connection: u64,
    /// The request's number on it.
    pub number: u32,
}

/// What a line says, as far as the scribe has to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged<'a> {
    /// Its kind.
    pub kind: Kind,
    /// The line without its LF.
    pub line: &'a [u8],
    /// Whether a request began that an outcome has to follow, or ended.
    pub request: Option<Progress>,
}

/// What a line says of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// A decision that let it go on; its outcome is to follow.
    Allowed(Request),
    /// Its outcome.
    Ended(Request),
}

/// Judges one segment's lines in their order.
#[derive(Debug, Clone)]
pub struct Inspector {
    role: Role,
    boot: BootId,
    n: u64,
}

impl Inspector {
    /// For a segment of this writer and start, from its first line on.
    #[must_use]
    pub fn new(role: Role, boot: BootId) -> Inspector {
        Inspector { role, boot, n: 0 }
    }

    /// The same, behind `n` lines that were judged before.
    #[must_use]
    pub fn resumed(role: Role, boot: BootId, n: u64) -> Inspector {
        Inspector { role, boot, n }
    }

    /// How many lines it has judged.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.n
    }

    /// The writer.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The start that the segment belongs to.
    #[must_use]
    pub fn boot(&self) -> BootId {
        self.boot
    }

    /// The next line, without its LF.
    ///
    /// # Errors
    ///
    /// What is wrong with it; the next line is then expected to be this one again.
    pub fn judge<'a>(&mut self, line: &'a [u8]) -> Result<Judged<'a>, Fault> {
        let seen = match self.role {
            Role::Probe => Judged { kind: Kind::Open, line, request: None },
            _ => self.read(line)?,
        };
        self.n += 1;
        Ok(seen)
    }

    fn read<'a>(&self, line: &'a [u8]) -> Result<Judged<'a>, Fault> {
        // No early exit, so that it becomes a few vector instructions.
        let printable = line.iter().fold(true, |all, byte| all & (*byte >= b' ') & (*byte <= b'~'));
        if !printable || line.len() >= LINE_MAX {
            return Err(Fault::Spelling);
        }
        let text = std::str::from_utf8(line).map_err(|_| Fault::Spelling)?;
        let rest = text.strip_prefix("{\"v\":1,\"t\":\"").ok_or(Fault::Spelling)?;
        let (word, rest) = rest.split_once('"').ok_or(Fault::Spelling)?;
        let kind = Kind::named(word).filter(|kind| kind.is_written_by(self.role)).ok_or(Fault::Kind)?;
        let rest = self.numbered(rest)?;
        if (kind == Kind::Open) != (self.n == 0) {
            return Err(Fault::Open);
        }
        let request = self.fields(kind, rest)?;
        Ok(Judged { kind, line, request })
    }

    /// `,"n":4,"ts":"2026-11-23T03:46:29.123456Z"`; what follows it.
    fn numbered<'a>(&self, rest: &'a str) -> Result<&'a str, Fault> {
        let rest = rest.strip_prefix(",\"n\":").ok_or(Fault::Spelling)?;
        let (digits, rest) = rest.split_once(',').ok_or(Fault::Spelling)?;
        if decimal(digits) != Some(self.n) {
            return Err(Fault::Number);
        }
        let rest = rest.strip_prefix("\"ts\":\"").ok_or(Fault::Spelling)?;
        let (instant, rest) = rest.split_at_checked(27).ok_or(Fault::Spelling)?;
        let shaped = instant.bytes().zip(*b"dddd-dd-ddTdd:dd:dd.ddddddZ").all(|(byte, shape)| match shape {
            b'd' => byte.is_ascii_digit(),
            shape => byte == shape,
        });
        rest.strip_prefix('"').filter(|_| shaped).ok_or(Fault::Spelling)
    }

    fn fields(&self, kind: Kind, rest: &str) -> Result<Option<Progress>, Fault> {
        let mut keys = kind.keys().iter();
        let (mut request, mut allowed, mut answered) = (None, false, false);
        let mut fields = Fields::behind(rest);
        let mut last = "";
        for (key, value) in fields.by_ref() {
            // What stands beside a text that was cut, or was none, follows it.
            let beside = key.strip_prefix(last).is_some_and(|more| matches!(more, "_len" | "_b64"));
            if !beside || last.is_empty() {
                last = keys.find(|known| **known == key).ok_or(Fault::Key)?;
            }
            match key {
                "id" => request = Some(self.id(kind, value.as_str())?),
                "boot" if value.as_str() != self.boot.as_str() => return Err(Fault::Boot),
                "decision" => allowed = value.as_str() == "allow",
                "status" => answered = true,
                _ => {}
            }
        }
        if !fields.ended_well() {
            return Err(Fault::Spelling);
        }
        Ok(match (kind, request.flatten()) {
            (Kind::Decision, Some(request)) if allowed && !answered => Some(Progress::Allowed(request)),
            (Kind::Outcome, Some(request)) => Some(Progress::Ended(request)),
            (Kind::Decision | Kind::Outcome, None) => return Err(Fault::Key),
            _ => None,
        })
    }

    /// A connection's id has two parts, a request's three. The scribe closes what earlier starts left open.
    fn id(&self, kind: Kind, id: &str) -> Result<Option<Request>, Fault> {
        let (boot, rest) = id.split_once('-').ok_or(Fault::Spelling)?;
        if boot != self.boot.as_str() && self.role != Role::Scribe {
            return Err(Fault::Boot);
        }
        if kind == Kind::Conn {
            return decimal(rest).map(|_| None).ok_or(Fault::Spelling);
        }
        let (connection, number) = rest.split_once('-').ok_or(Fault::Spelling)?;
        let number = decimal(number).and_then(|number| u32::try_from(number).ok());
        match (decimal(connection), number) {
            (Some(connection), Some(number)) => Ok(Some(Request { connection, number })),
            _ => Err(Fault::Spelling),
        }
    }
}

/// One spelling a number: digits, no leading zero.
fn decimal(digits: &str) -> Option<u64> {
    if digits.len() > 1 && digits.starts_with('0') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests;
