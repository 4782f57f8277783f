//! What a later release may have written: the format promises (`export.md`) further kinds of record, and further keys
//! in any. The scribe takes neither, since whoever writes behind its back is of its own release; a verifier has to.

use std::fmt::Write;

use super::{Inspector, Kind};
use crate::audit::encode::LINE_MAX;
use crate::audit::plain::{Record, Value};

impl Inspector {
    /// Takes the next line, which [`Inspector::judge`] refused, where nothing is wrong with it but that this release
    /// does not know its kind or some of its keys. Says whether that is so.
    pub fn takes_as_later(&mut self, line: &[u8]) -> bool {
        let taken = line.len() < LINE_MAX && self.is_later(line);
        self.n += u64::from(taken);
        taken
    }

    fn is_later(&self, line: &[u8]) -> bool {
        let Some(record) = Record::parse(line) else { return false };
        let Some(kind) = Kind::named(record.kind()) else {
            // A segment begins with an `open`, whoever wrote it.
            let counts = record.text("n").parse() == Ok(self.n) && self.n > 0;
            let head = format!("{{\"v\":1,\"t\":\"{}\"", record.kind());
            return counts && record.line().get(head.len()..).is_some_and(|rest| self.numbered(rest).is_ok());
        };
        let (mut known, mut before, mut less) = (String::with_capacity(line.len()), "", false);
        for (number, (key, value)) in record.fields().enumerate() {
            let beside = |key: &str| !before.is_empty() && key.strip_prefix(before).is_some_and(is_beside);
            if number >= 4 && !kind.has(key) && !beside(key) {
                less = true;
                continue;
            }
            if !beside(key) {
                before = key;
            }
            let comma = if number == 0 { '{' } else { ',' };
            // A string takes all that is written to it.
            match value {
                Value::Text(text) => write!(known, "{comma}\"{key}\":\"{text}\""),
                Value::Bare(text) => write!(known, "{comma}\"{key}\":{text}"),
                Value::List(text) => write!(known, "{comma}\"{key}\":[{text}]"),
            }
            .ok();
        }
        known.push('}');
        less && self.clone().judge(known.as_bytes()).is_ok()
    }
}

fn is_beside(more: &str) -> bool {
    matches!(more, "_len" | "_b64")
}
