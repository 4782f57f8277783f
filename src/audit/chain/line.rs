//! A line of the scribe's, read back as strictly as it is written: each key in its place, each value in its one
//! spelling.

use std::str::FromStr;

use super::keys::{Digest, Public, unhex};
use crate::audit::entry::{
    Close, Ended, Epoch, Interrupted, Intrusion, Prune, Pruned, Range, Recover, Seal, Seen,
};
use crate::audit::inspect::Kind;
use crate::audit::plain::{Fields, Record, Value};

/// One line.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// Its number in the segment.
    pub n: u64,
    /// Its time, as it is spelt.
    pub ts: &'a str,
    /// What it says.
    pub said: Said<'a>,
}

/// What a line of the scribe's says.
#[derive(Debug, Clone, Copy)]
pub enum Said<'a> {
    /// `open`.
    Open(Record<'a>),
    /// `epoch`, and its signature.
    Epoch(Epoch, Signed<'a>),
    /// `seal`, and its signature.
    Seal(Seal, Signed<'a>),
    /// `range`.
    Range(Range<'a>),
    /// `close`.
    Close(Close<'a>),
    /// `recover`.
    Recover(Recover<'a>),
    /// `pending`: the segment, and the ids as they stand between their brackets.
    Pending(&'a str, &'a str),
    /// `prune`.
    Prune(Prune<'a>),
    /// `intrusion`.
    Intrusion(Intrusion<'a>),
    /// An `outcome`, for who can't write it any more.
    Outcome(Record<'a>),
    /// A record of a kind that this release does not know: a later one's, by the promise of the format.
    Later(Record<'a>),
}

/// A signature, and the bytes that it is over (without the words of its domain).
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// The line before `,"sig":`.
    pub message: &'a [u8],
    /// The signature.
    pub signature: [u8; 64],
}

/// Reads a line with or without its LF; `None` where the scribe could not have written it.
pub fn read(line: &[u8]) -> Option<Line<'_>> {
    let record = Record::parse(line)?;
    let mut keys = Keys { fields: record.fields(), known: None };
    keys.bare("v")?;
    let kind = keys.text("t")?;
    let n = keys.integer("n")?;
    let ts = keys.text("ts")?;
    let Some(known) = Kind::named(kind) else {
        // What is signed is a link of the chain: none can be passed over.
        let is_link = record.field("sig").is_some();
        return (!is_link).then_some(Line { n, ts, said: Said::Later(record) });
    };
    keys.known = Some(known);
    let said = match kind {
        "open" => return Some(Line { n, ts, said: Said::Open(record) }),
        "outcome" => return Some(Line { n, ts, said: Said::Outcome(record) }),
        "epoch" => {
            let epoch = Epoch {
                epoch: keys.integer("epoch")?,
                key: keys.hex::<Public>("key")?,
                first: keys.hex("first")?,
                next: keys.hex("next")?,
                prev: keys.maybe_hex("prev")?,
                again: keys.maybe_hex("again")?,
            };
            Said::Epoch(epoch, keys.signed(record)?)
        }
        "seal" => {
            let seal = Seal {
                epoch: keys.integer("epoch")?,
                i: keys.integer("i")?,
                from: keys.integer("from")?,
                to: keys.integer("to")?,
                hash: keys.hex("hash")?,
                prev: keys.maybe_hex("prev")?,
                next: keys.hex("next")?,
            };
            Said::Seal(seal, keys.signed(record)?)
        }
        "range" => Said::Range(Range {
            segment: keys.text("segment")?,
            from: keys.integer("from")?,
            to: keys.integer("to")?,
            lines: keys.integer("lines")?,
            hash: keys.hex("hash")?,
        }),
        "close" => Said::Close(Close {
            segment: keys.text("segment")?,
            bytes: keys.integer("bytes")?,
            torn: keys.boolean("torn")?,
        }),
        "recover" => Said::Recover(if keys.comes("settled") {
            Recover::Settled(keys.integer("settled")?)
        } else {
            Recover::Segment {
                segment: keys.text("segment")?,
                from: keys.integer("from")?,
                to: keys.integer("to")?,
                torn: keys.boolean("torn")?,
                why: keys.one_of("why", &Interrupted::ALL, Interrupted::code)?,
            }
        }),
        "pending" => Said::Pending(keys.text("segment")?, keys.list("ids")?),
        "prune" => Said::Prune(Prune {
            segment: keys.text("segment")?,
            bytes: keys.integer("bytes")?,
            hash: keys.maybe_hex("hash")?,
            why: keys.one_of("why", &Pruned::ALL, Pruned::code)?,
            ended: if keys.comes("epoch") {
                Some(Ended {
                    epoch: keys.integer("epoch")?,
                    seals: keys.integer("seals")?,
                    last: keys.maybe_hex("last")?,
                })
            } else {
                None
            },
        }),
        "intrusion" => Said::Intrusion(Intrusion {
            segment: keys.text("segment")?,
            at: keys.integer("at")?,
            why: keys.one_of("why", &Seen::ALL, Seen::code)?,
        }),
        _ => return None,
    };
    keys.next().is_none().then_some(Line { n, ts, said })
}

/// Takes fields off the front, each by the name that has to stand there. Between them may be what a later release has
/// to say besides.
struct Keys<'a> {
    fields: Fields<'a>,
    known: Option<Kind>,
}

impl<'a> Keys<'a> {
    fn next(&mut self) -> Option<(&'a str, Value<'a>)> {
        let is_known = |key: &str| self.known.is_none_or(|kind| kind.has(key));
        self.fields.find(|(key, _)| is_known(key))
    }

    fn value(&mut self, name: &str) -> Option<Value<'a>> {
        let (key, value) = self.next()?;
        (key == name).then_some(value)
    }

    /// Whether this field is next.
    fn comes(&self, name: &str) -> bool {
        let mut ahead = Keys { fields: self.fields.clone(), known: self.known };
        ahead.next().is_some_and(|(key, _)| key == name)
    }

    fn text(&mut self, name: &str) -> Option<&'a str> {
        match self.value(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn bare(&mut self, name: &str) -> Option<&'a str> {
        match self.value(name)? {
            Value::Bare(text) => Some(text),
            _ => None,
        }
    }

    fn list(&mut self, name: &str) -> Option<&'a str> {
        match self.value(name)? {
            Value::List(text) => Some(text),
            _ => None,
        }
    }

    fn integer(&mut self, name: &str) -> Option<u64> {
        let digits = self.bare(name)?;
        let plain = digits == "0" || digits.starts_with(|c: char| c.is_ascii_digit() && c != '0');
        digits.parse().ok().filter(|_| plain)
    }

    fn boolean(&mut self, name: &str) -> Option<bool> {
        self.bare(name)?.parse().ok()
    }

    fn hex<T: FromStr>(&mut self, name: &str) -> Option<T> {
        self.text(name)?.parse().ok()
    }

    /// `Some(None)` where another field is next.
    #[allow(clippy::option_option, reason = "absent is an answer, wrong is none")]
    fn maybe_hex(&mut self, name: &str) -> Option<Option<Digest>> {
        if self.comes(name) { self.hex(name).map(Some) } else { Some(None) }
    }

    fn one_of<T: Copy>(&mut self, name: &str, all: &[T], code: fn(T) -> &'static str) -> Option<T> {
        let text = self.text(name)?;
        all.iter().copied().find(|one| code(*one) == text)
    }

    /// The last field, and what it signs.
    fn signed(&mut self, record: Record<'a>) -> Option<Signed<'a>> {
        let signature = unhex(self.text("sig")?)?;
        let line = record.line();
        let end = line.len().checked_sub(r#","sig":"#.len() + 2 + 128 + 1)?;
        Some(Signed { message: line.get(..end)?.as_bytes(), signature })
    }
}
