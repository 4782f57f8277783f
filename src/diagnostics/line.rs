//! One event as one line: readable, or JSON; printable ASCII whatever is in it.

use std::fmt::{self, Write};

use tracing::Event;
use tracing::field::{Field, Visit};

use super::LINE_MAX;
use crate::model::escape::{Escaped, Shown, Spelling};
use crate::model::time::Timestamp;

/// Room that stays for the end of a line: a note that it was cut, closing marks, LF.
const END: usize = 64;

/// The line for `event`, LF included.
pub(super) fn of(event: &Event<'_>, role: &str, json: bool) -> Vec<u8> {
    let (now, level) = (Timestamp::now(), *event.metadata().level());
    let mut line = Line { out: String::with_capacity(256), json, cut: false };
    let begun = if json {
        let role = Escaped(role.as_bytes());
        write!(
            line.out,
            "{{\"ts\":\"{now}\",\"level\":\"{level}\",\"role\":\"{role}\",\"pid\":{}",
            std::process::id()
        )
    } else {
        write!(line.out, "{now} {level:<5} {}[{}]", Shown(role.as_bytes()), std::process::id())
    };
    // Writing into a String does not fail.
    begun.ok();
    // What happened comes first, wherever it stands among the fields.
    event.record(&mut Only { message: true, line: &mut line });
    event.record(&mut Only { message: false, line: &mut line });
    line.end()
}

struct Line {
    out: String,
    json: bool,
    cut: bool,
}

impl Line {
    fn room(&self) -> usize {
        (LINE_MAX - END).saturating_sub(self.out.len())
    }

    fn bare(&mut self, name: &str, value: impl fmt::Display) {
        if self.room() < name.len() + 32 {
            self.cut = true;
        } else if self.json {
            write!(self.out, ",\"{}\":{value}", Escaped(name.as_bytes())).ok();
        } else {
            write!(self.out, " {}={value}", Shown(name.as_bytes())).ok();
        }
    }

    fn text(&mut self, name: &str, value: &str) {
        if self.room() < name.len() + 8 {
            self.cut = true;
            return;
        }
        let message = name == "message" && !self.json;
        // A line break inside is told in place, so that one event stays one line.
        let quoted = self.json || (!message && (value.is_empty() || value.contains([' ', '"', '='])));
        if self.json {
            write!(self.out, ",\"{}\":", Escaped(name.as_bytes())).ok();
        } else if message {
            self.out.push(' ');
        } else {
            write!(self.out, " {}=", Shown(name.as_bytes())).ok();
        }
        if quoted {
            self.out.push('"');
        }
        for c in value.chars() {
            let spelling = Spelling::of(c);
            let spelt = if c == '"' && !quoted { b"\"" } else { spelling.as_bytes() };
            if spelt.len() > self.room() {
                self.cut = true;
                break;
            }
            self.out.extend(spelt.iter().map(|byte| char::from(*byte)));
        }
        if quoted {
            self.out.push('"');
        }
    }

    fn end(mut self) -> Vec<u8> {
        if self.cut {
            self.out.push_str(if self.json { ",\"cut\":true" } else { " [cut]" });
        }
        self.out.push_str(if self.json { "}\n" } else { "\n" });
        self.out.into_bytes()
    }
}

/// Visits only the message, or all but it.
struct Only<'a> {
    message: bool,
    line: &'a mut Line,
}

impl Only<'_> {
    fn wants(&self, field: &Field) -> bool {
        (field.name() == "message") == self.message && !self.line.cut
    }
}

impl Visit for Only<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if self.wants(field) {
            self.line.text(field.name(), &format!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if self.wants(field) {
            self.line.text(field.name(), value);
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        if self.wants(field) {
            self.line.text(field.name(), &value.to_string());
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        if self.wants(field) {
            self.line.bare(field.name(), value);
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if self.wants(field) {
            self.line.bare(field.name(), value);
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        if self.wants(field) {
            self.line.bare(field.name(), value);
        }
    }
}
