//! Lines as the scribe judges them behind a writer's back: spelt as ours are, of a kind that this writer may
//! write, keys in their order, `n` without a gap, ids of this start.
//!
//! It runs for every line of every writer, so it looks at each byte about twice and allocates nothing, and hands on
//! what it has read: nobody behind it reads the line again. What it finds wrong no writer of ours does: the line was
//! forged, or the writer was taken over.

#[cfg(feature = "cli")]
mod later;
mod said;
mod shape;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::encode::LINE_MAX;
use super::plain::{Fields, Value, is_printable, word};
use crate::model::ids::BootId;

pub use said::Said;
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
    /// It speaks of another uid than the one that its gate serves.
    Uid,
    /// It is later than the present.
    Instant,
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
            Fault::Uid => "a uid that this gate does not serve",
            Fault::Instant => "an instant that is still to come",
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
    /// When it was written, as it says; all instants are spelt with as many letters, so they compare as they follow.
    pub at: &'a str,
    /// Whether a request began that an outcome has to follow, or ended.
    pub request: Option<Progress>,
    /// The rest, as far as somebody wants to know it.
    pub said: Said<'a>,
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
    serves: Option<u32>,
    n: u64,
}

impl Inspector {
    /// For a segment of this writer and start, from its first line on.
    #[must_use]
    pub fn new(role: Role, boot: BootId) -> Inspector {
        Inspector { role, boot, serves: None, n: 0 }
    }

    /// The same, where the writer is the gate of one uid: it has no other to speak of. `None`: of many.
    #[must_use]
    pub fn serving(self, serves: Option<u32>) -> Inspector {
        Inspector { serves, ..self }
    }

    /// The same, behind `n` lines that were judged before.
    #[must_use]
    pub fn behind(self, n: u64) -> Inspector {
        Inspector { n, ..self }
    }

    /// [`Inspector::new`], [`behind`](Inspector::behind) `n` lines.
    #[must_use]
    pub fn resumed(role: Role, boot: BootId, n: u64) -> Inspector {
        Inspector::new(role, boot).behind(n)
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
            Role::Probe => Judged { kind: Kind::Open, line, at: "", request: None, said: Said::default() },
            _ => self.read(line)?,
        };
        self.n += 1;
        Ok(seen)
    }

    fn read<'a>(&self, line: &'a [u8]) -> Result<Judged<'a>, Fault> {
        if line.len() >= LINE_MAX || !is_printable(line) {
            return Err(Fault::Spelling);
        }
        let text = std::str::from_utf8(line).map_err(|_| Fault::Spelling)?;
        let rest = text.strip_prefix("{\"v\":1,\"t\":\"").ok_or(Fault::Spelling)?;
        let (word, rest) = rest.split_once('"').ok_or(Fault::Spelling)?;
        let kind = Kind::named(word).filter(|kind| kind.is_written_by(self.role)).ok_or(Fault::Kind)?;
        let (at, rest) = self.numbered(rest)?;
        if (kind == Kind::Open) != (self.n == 0) {
            return Err(Fault::Open);
        }
        let mut judged = Judged { kind, line, at, request: None, said: Said::default() };
        judged.request = self.fields(kind, rest, &mut judged.said)?;
        Ok(judged)
    }

    /// `,"n":4,"ts":"2026-11-23T03:46:29.123456Z"`; the instant, and what follows.
    fn numbered<'a>(&self, rest: &'a str) -> Result<(&'a str, &'a str), Fault> {
        let rest = rest.strip_prefix(",\"n\":").ok_or(Fault::Spelling)?;
        let (n, rest) = split_decimal(rest);
        if n != Some(self.n) || !rest.starts_with(',') {
            return Err(if rest.contains(',') { Fault::Number } else { Fault::Spelling });
        }
        let rest = rest.strip_prefix(",\"ts\":\"").ok_or(Fault::Spelling)?;
        let (instant, rest) = rest.split_at_checked(27).ok_or(Fault::Spelling)?;
        let rest = rest.strip_prefix('"').filter(|_| is_instant(instant)).ok_or(Fault::Spelling)?;
        Ok((instant, rest))
    }

    fn fields<'a>(&self, kind: Kind, rest: &'a str, said: &mut Said<'a>) -> Result<Option<Progress>, Fault> {
        const BOOT: u64 = word("boot");
        const ID: u64 = word("id");
        const UID: u64 = word("uid");
        const ON: u64 = word("on");
        const ROUTE: u64 = word("route");
        const DECISION: u64 = word("decision");
        const REFUSAL: u64 = word("refusal");
        const SHADOW: u64 = word("shadow");
        const STATUS: u64 = word("status");
        const US: u64 = word("us");
        const RESULT: u64 = word("result");
        const IN: u64 = word("in");
        const OUT: u64 = word("out");
        const SHED: u64 = word("shed");
        const BACKEND: u64 = word("backend");
        const REFUSED: u64 = word("refused");
        const ROLE: u64 = word("role");
        const EVENT: u64 = word("event");
        const COUNT: u64 = word("count");
        let mut keys = kind.keys().iter();
        let mut request = None;
        let mut fields = Fields::behind(rest);
        let mut last = "";
        while let Some((number, key, value)) = fields.next_numbered() {
            let mut ahead = keys.clone();
            if ahead.any(|known| *known == number) {
                (keys, last) = (ahead, key);
            } else {
                // What stands beside a text that was cut, or was none, follows it.
                let beside = key.strip_prefix(last).is_some_and(|more| matches!(more, "_len" | "_b64"));
                if !beside || last.is_empty() {
                    return Err(Fault::Key);
                }
                continue;
            }
            let text = match value {
                // Printed where a text belongs, a list would break out of what is around it.
                Value::List(_)
                    if !matches!(key, "groups" | "missing" | "live" | "ids" | "fields" | "argv") =>
                {
                    return Err(Fault::Key);
                }
                Value::Text(_) if matches!(number, UID | STATUS | US | IN | OUT | COUNT) => {
                    return Err(Fault::Key);
                }
                value => value.as_str(),
            };
            let place = match number {
                ID => {
                    request = self.id(kind, text)?;
                    &mut said.id
                }
                BOOT if text != self.boot.as_str() => return Err(Fault::Boot),
                UID => {
                    // A caller of its own is the kernel's to name; what a gate says of others it makes up.
                    if self.serves.is_some() && split_decimal(text) != (self.serves.map(u64::from), "") {
                        return Err(Fault::Uid);
                    }
                    &mut said.uid
                }
                ON => &mut said.on,
                ROUTE => &mut said.route,
                DECISION => &mut said.decision,
                REFUSAL => &mut said.refusal,
                SHADOW => &mut said.shadow,
                STATUS => &mut said.status,
                US => &mut said.us,
                RESULT => &mut said.result,
                IN => &mut said.bytes_in,
                OUT => &mut said.bytes_out,
                SHED => &mut said.shed,
                BACKEND => &mut said.backend,
                REFUSED => &mut said.refused,
                ROLE => &mut said.role,
                EVENT => &mut said.event,
                COUNT => &mut said.count,
                _ => continue,
            };
            *place = Some(text);
        }
        if !fields.ended_well() {
            return Err(Fault::Spelling);
        }
        let waits = said.decision == Some("allow") && said.status.is_none();
        Ok(match (kind, request) {
            (Kind::Decision, Some(request)) if waits => Some(Progress::Allowed(request)),
            (Kind::Outcome, Some(request)) => Some(Progress::Ended(request)),
            (Kind::Decision | Kind::Outcome, None) => return Err(Fault::Key),
            _ => None,
        })
    }

    /// A connection's id has two parts, a request's three. The scribe closes what earlier starts left open.
    fn id(&self, kind: Kind, id: &str) -> Result<Option<Request>, Fault> {
        let ours = id.strip_prefix(self.boot.as_str()).and_then(|rest| rest.strip_prefix('-'));
        let rest = match ours {
            Some(rest) => rest,
            // A command may outlive the start that it was run by.
            None if self.role == Role::Scribe || kind == Kind::Exit => {
                id.split_once('-').ok_or(Fault::Spelling)?.1
            }
            None => return Err(if id.contains('-') { Fault::Boot } else { Fault::Spelling }),
        };
        let (connection, rest) = split_decimal(rest);
        if kind == Kind::Conn {
            return connection.filter(|_| rest.is_empty()).map(|_| None).ok_or(Fault::Spelling);
        }
        let (number, rest) = split_decimal(rest.strip_prefix('-').ok_or(Fault::Spelling)?);
        let number = number.filter(|_| rest.is_empty()).and_then(|number| u32::try_from(number).ok());
        match (connection, number) {
            (Some(connection), Some(number)) => Ok(Some(Request { connection, number })),
            _ => Err(Fault::Spelling),
        }
    }
}

/// Whether these 27 bytes are an instant as ours are spelt.
fn is_instant(text: &str) -> bool {
    const LEAST: &[u8; 27] = b"0000-00-00T00:00:00.000000Z";
    const MOST: &[u8; 27] = b"9999-99-99T99:99:99.999999Z";
    let Some(bytes) = text.as_bytes().first_chunk::<27>() else { return false };
    let bounds = LEAST.iter().zip(MOST);
    bytes.iter().zip(bounds).fold(true, |all, (byte, (least, most))| all & (least <= byte) & (byte <= most))
}

/// One spelling a number: digits, no leading zero. The number at the start of `text`, and what follows its digits.
fn split_decimal(text: &str) -> (Option<u64>, &str) {
    let bytes = text.as_bytes();
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at_checked(digits).unwrap_or(("", text));
    let zero = digits > 1 && number.starts_with('0');
    let add = |sum: u64, byte: &u8| sum.checked_mul(10)?.checked_add(u64::from(byte - b'0'));
    let value = number.as_bytes().iter().try_fold(0, add);
    (value.filter(|_| digits > 0 && !zero), rest)
}

#[cfg(test)]
mod tests;
