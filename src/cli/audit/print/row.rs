//! Rows of a table: comma-separated as RFC 4180 has it, with names above.
//!
//! A spreadsheet takes a cell that begins with `=`, `+`, `-`, `@`, a tab or a carriage return for a formula and may
//! run what a caller wrote. Such a cell gets `'` before it, and so does one that begins with `'`, so that what was
//! added can be told from what was there.

use super::shown;
use super::text::no_record;
use crate::audit::plain::Readable;
use crate::audit::query::{Access, Conn, Held, Item, Repeat};
use crate::audit::reader::Line;

const COLUMNS: [&str; 31] = [
    "kind", "ts", "id", "uid", "user", "gid", "pid", "exe", "unit", "ns", "on", "method", "target", "route",
    "decision", "refusal", "by", "at", "policy", "status", "result", "in", "out", "us", "exit", "signal",
    "why", "backend", "count", "doubts", "record",
];

pub(super) fn head() -> String {
    COLUMNS.join(",")
}

pub(super) fn of(item: &Item) -> String {
    match item {
        Item::Access(access) | Item::Begun(access) => of_access(access),
        Item::Shed(conn) => of_shed(conn),
        Item::Repeat(repeat) => of_repeat(repeat),
        Item::Event(held) => of_record(held.record().kind(), held),
        Item::Disbelieved(held) => of_record("disbelieved", held),
        Item::Garbage(line) => of_garbage(line),
    }
}

/// A row under construction.
#[derive(Default)]
struct Row([String; COLUMNS.len()]);

impl Row {
    /// Text that is printable already.
    fn put(&mut self, column: &str, text: impl ToString) {
        let place = COLUMNS.iter().position(|name| *name == column);
        if let Some(cell) = place.and_then(|place| self.0.get_mut(place)) {
            *cell = text.to_string();
        }
    }

    /// Text as it stands in a record.
    fn text(&mut self, column: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.put(column, shown(text));
        }
    }

    fn conn(&mut self, conn: &Conn) {
        self.text("user", conn.user());
        self.put("gid", conn.gid);
        self.put("pid", conn.pid);
        self.text("exe", conn.exe());
        self.text("unit", conn.unit());
        self.text("ns", conn.ns());
        self.text("on", conn.on());
    }

    fn end(self) -> String {
        self.0.map(|text| cell(&text)).join(",")
    }
}

/// One cell: no formula, and in quotes where it has to be.
pub(in crate::cli::audit) fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\'']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    // White space at an edge is quoted too, since readers trim it and see the formula behind it.
    let edges = text.trim() != text;
    if edges || text.contains([',', '"', '\r', '\n', ';', '\t']) {
        format!("\"{}\"", if edges && !formula { format!("'{text}") } else { text }.replace('"', "\"\""))
    } else {
        text
    }
}

fn of_access(access: &Access) -> String {
    let mut row = Row::default();
    row.put("kind", "access");
    row.put("ts", access.when());
    row.put("id", access.id);
    if let Some(uid) = access.uid() {
        row.put("uid", uid);
    }
    if let Some(conn) = &access.conn {
        row.conn(conn);
    }
    if let Some(decision) = &access.decision {
        row.text("method", decision.method());
        row.text("target", decision.target());
        row.text("route", decision.route());
        row.put("decision", if decision.allowed { "allow" } else { "deny" });
        row.text("refusal", decision.refusal());
        row.text("by", decision.by());
        row.text("at", decision.place());
        row.text("policy", decision.policy());
    }
    if let Some(status) = access.status() {
        row.put("status", status);
    }
    if let Some(outcome) = &access.outcome {
        row.text("result", outcome.result());
        row.put("in", outcome.bytes_in);
        row.put("out", outcome.bytes_out);
    }
    if let Some(us) = access.us() {
        row.put("us", us);
    }
    if let Some(exit) = access.exits.last() {
        if let Some(code) = exit.code {
            row.put("exit", code);
        }
        if let Some(signal) = exit.signal {
            row.put("signal", signal);
        }
        row.text("why", exit.why());
    }
    let granted = access.grants.iter().filter(|grant| grant.refused().is_none());
    let backends: Vec<String> = granted.filter_map(|grant| grant.backend()).map(shown).collect();
    row.put("backend", backends.join(" "));
    let doubts: Vec<&str> = access.doubts().into_iter().map(|doubt| doubt.code()).collect();
    row.put("doubts", doubts.join(" "));
    row.end()
}

fn of_shed(conn: &Conn) -> String {
    let mut row = Row::default();
    row.put("kind", "shed");
    row.put("ts", conn.held.ts);
    row.put("id", conn.id);
    row.put("uid", conn.uid);
    row.conn(conn);
    row.put("decision", "deny");
    row.text("refusal", conn.shed());
    row.end()
}

fn of_repeat(repeat: &Repeat) -> String {
    let mut row = Row::default();
    row.put("kind", "repeat");
    row.put("ts", repeat.last);
    row.put("uid", repeat.uid);
    row.text("user", repeat.user.as_deref());
    row.text("on", repeat.on());
    row.text("route", repeat.route());
    row.put("decision", "deny");
    row.text("refusal", repeat.refusal());
    row.put("count", repeat.count);
    row.end()
}

fn of_record(kind: &str, held: &Held) -> String {
    let mut row = Row::default();
    row.text("kind", Some(kind));
    row.put("ts", held.ts);
    row.put("record", Readable(held.line().as_bytes()));
    row.end()
}

fn of_garbage(line: &Line) -> String {
    let mut row = Row::default();
    row.put("kind", "garbage");
    row.put("record", no_record(line));
    row.end()
}
