//! Our own lines, read back without a JSON library: a strict scanner of exactly what `encode` writes, and a
//! readable line for a person.
//!
//! A text value is kept as it stands between its quotes: it is printable ASCII already, hostile characters
//! spelt out, so it can be shown on any terminal.

mod scan;

use std::borrow::Cow;
use std::fmt::{self, Write};

use crate::model::escape::Escaped;
pub(super) use scan::word;

/// One value, as it stands on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Between its quotes, escapes left in place.
    Text(&'a str),
    /// Number, `true` or `false`.
    Bare(&'a str),
    /// Between its brackets.
    List(&'a str),
}

impl<'a> Value<'a> {
    /// The characters, without quotes or brackets.
    pub fn as_str(self) -> &'a str {
        match self {
            Value::Text(text) | Value::Bare(text) | Value::List(text) => text,
        }
    }
}

/// One record: a line that is spelt as ours are.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    line: &'a str,
}

impl<'a> Record<'a> {
    /// Reads a line, with or without its LF; `None` where it is not one that we could have written.
    pub fn parse(line: &'a [u8]) -> Option<Record<'a>> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if !is_printable(line) {
            return None;
        }
        let line = std::str::from_utf8(line).ok()?;
        let record = Record { line };
        let mut fields = record.fields();
        let begins =
            ["v", "t", "n", "ts"].into_iter().all(|key| fields.next().is_some_and(|(name, _)| name == key));
        for _ in fields.by_ref() {}
        (begins && fields.rest == Some("}") && record.text("v") == "1").then_some(record)
    }

    /// A line that was parsed before.
    #[cfg(feature = "cli")]
    pub(in crate::audit) fn known(line: &'a str) -> Record<'a> {
        Record { line }
    }

    /// The line itself, without LF.
    pub fn line(&self) -> &'a str {
        self.line
    }

    /// Its fields, in their order.
    pub fn fields(&self) -> Fields<'a> {
        Fields { rest: self.line.strip_prefix('{'), first: true }
    }

    /// One field.
    pub fn field(&self, name: &str) -> Option<Value<'a>> {
        self.fields().find_map(|(key, value)| (key == name).then_some(value))
    }

    /// One field's characters, or nothing.
    pub fn text(&self, name: &str) -> &'a str {
        self.field(name).map_or("", Value::as_str)
    }

    /// The record's type: `decision`, `conn`, …
    pub fn kind(&self) -> &'a str {
        self.text("t")
    }
}

/// Whether all bytes are those of printable ASCII.
pub(super) fn is_printable(line: &[u8]) -> bool {
    // No early exit, so that it becomes a few vector instructions.
    line.iter().fold(0, |other, byte| other | u8::from(byte.wrapping_sub(b' ') > b'~' - b' ')) == 0
}

/// Iterates over a record's fields; ends early where the line is not spelt as ours are.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    /// What is not read yet; `None` after something wrong.
    rest: Option<&'a str>,
    first: bool,
}

impl<'a> Fields<'a> {
    /// The fields of what stands behind some of a record's: `,"id":…}`.
    pub(super) fn behind(rest: &'a str) -> Fields<'a> {
        Fields { rest: Some(rest), first: false }
    }

    /// Once it has ended: whether that is where the record ends.
    pub(super) fn ended_well(&self) -> bool {
        self.rest == Some("}")
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a str, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.next_numbered().map(|(_, key, value)| (key, value))
    }
}

impl<'a> Fields<'a> {
    /// The next field behind the number of its key ([`word`]).
    pub(super) fn next_numbered(&mut self) -> Option<(u64, &'a str, Value<'a>)> {
        let rest = self.rest?;
        if rest == "}" {
            return None;
        }
        let read = self.read(rest);
        self.rest = read.map(|(_, rest)| rest);
        read.map(|(field, _)| field)
    }

    fn read(&mut self, rest: &'a str) -> Option<((u64, &'a str, Value<'a>), &'a str)> {
        let rest = if std::mem::take(&mut self.first) { rest } else { rest.strip_prefix(',')? };
        let (number, key, rest) = scan::key(rest)?;
        let (value, rest) = scan::value(rest)?;
        Some(((number, key, value), rest))
    }
}

/// The text that a value between quotes stands for. It is hostile again: for programs that look into it, never
/// for a terminal.
pub fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut units = Vec::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
            continue;
        }
        match rest.next() {
            Some('u') => {
                let digits = rest.as_str().get(..4).unwrap_or_default();
                units.push(u16::from_str_radix(digits, 16).unwrap_or(0xfffd));
                rest = rest.as_str().get(4..).unwrap_or_default().chars();
            }
            Some(other) => units.extend_from_slice(other.encode_utf16(&mut [0; 2])),
            None => {}
        }
    }
    Cow::Owned(String::from_utf16_lossy(&units))
}

/// Shows one line of a segment to a person: time, id, what happened, then the rest. What is no record of ours
/// is shown escaped behind `??`.
#[derive(Debug, Clone, Copy)]
pub struct Readable<'a>(pub &'a [u8]);

impl fmt::Display for Readable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Record::parse(self.0) {
            Some(record) => readable(record, f),
            None => write!(f, "?? {}", Escaped(self.0.strip_suffix(b"\n").unwrap_or(self.0))),
        }
    }
}

/// Fields that stand in the fixed part of a readable line, or that say nothing to a person.
const SHOWN: [&str; 4] = ["v", "t", "n", "ts"];

fn readable(record: Record<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // Date and clock, down to the millisecond.
    let ts = record.text("ts");
    write!(f, "{} {} ", ts.get(..10).unwrap_or(ts), ts.get(11..23).unwrap_or_default())?;
    let told: &[&str] = match record.kind() {
        "decision" => {
            let verdict = if record.text("decision") == "allow" { "ALLOW" } else { "DENY " };
            write!(f, "{verdict} {} uid {} ", record.text("id"), record.text("uid"))?;
            write!(f, "{} {}", Word(record.text("method")), Word(record.text("target")))?;
            if let Some(refusal) = record.field("refusal") {
                write!(f, " ({})", refusal.as_str())?;
            }
            &["id", "uid", "pid", "method", "target", "decision", "refusal", "policy"]
        }
        "outcome" => {
            write!(f, "  ends {} {} {}", record.text("id"), record.text("status"), record.text("result"))?;
            &["id", "status", "result"]
        }
        "conn" => {
            write!(
                f,
                "conn  {} on {} uid {}",
                record.text("id"),
                Word(record.text("on")),
                record.text("uid")
            )?;
            &["id", "on", "uid"]
        }
        kind => {
            write!(f, "{kind:<5}")?;
            &[]
        }
    };
    for (name, value) in record.fields() {
        if !SHOWN.contains(&name) && !told.contains(&name) {
            f.write_char(' ')?;
            field(f, name, value)?;
        }
    }
    Ok(())
}

fn field(f: &mut fmt::Formatter<'_>, name: &str, value: Value<'_>) -> fmt::Result {
    match value {
        Value::List(list) => write!(f, "{name}=[{list}]"),
        Value::Text(text) => write!(f, "{name}={}", Word(text)),
        Value::Bare(bare) => write!(f, "{name}={bare}"),
    }
}

/// Text as one word of a readable line: quoted where a space in it could imitate another field.
#[derive(Debug, Clone, Copy)]
pub struct Word<'a>(pub &'a str);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Word(text) = self;
        if text.contains(' ') || text.is_empty() { write!(f, "\"{text}\"") } else { f.write_str(text) }
    }
}

#[cfg(test)]
mod tests;
