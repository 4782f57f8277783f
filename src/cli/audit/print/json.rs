//! One flat object each, in a fixed order. Text stands as in the record, where it is JSON already.

use std::fmt::{Display, Write};

use crate::audit::query::{Access, Conn, Decision, Item, Outcome, Repeat};
use crate::cli::audit::proper::{proper, record};
use crate::model::time::Timestamp;

/// `None` for what is no record.
pub(super) fn of(item: &Item) -> Option<String> {
    Some(match item {
        Item::Access(access) | Item::Begun(access) => of_access(access),
        Item::Shed(conn) => of_shed(conn),
        Item::Repeat(repeat) => of_repeat(repeat),
        Item::Event(held) => wrapped("event", held.line()),
        Item::Disbelieved(held) => wrapped("disbelieved", held.line()),
        Item::Garbage(_) => return None,
    })
}

/// An object under construction.
struct Object(String);

impl Object {
    fn new(kind: &str) -> Object {
        Object(format!("{{\"kind\":\"{kind}\""))
    }

    /// Text as it stands between the quotes of a record.
    fn text(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.bare(name, Some(format_args!("\"{}\"", proper(text))));
        }
    }

    fn time(&mut self, name: &str, at: Timestamp) {
        self.bare(name, Some(format_args!("\"{at}\"")));
    }

    fn bare(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            // A string takes all that is written to it.
            write!(self.0, ",\"{name}\":{value}").ok();
        }
    }

    fn list<T: Display>(&mut self, name: &str, values: impl Iterator<Item = T>) {
        let values: Vec<String> = values.map(|value| value.to_string()).collect();
        self.bare(name, Some(format_args!("[{}]", values.join(","))));
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }

    fn conn(&mut self, conn: &Conn) {
        self.text("user", conn.user());
        self.bare("gid", Some(conn.gid));
        if let Some(groups) = conn.groups() {
            self.list("groups", groups);
        }
        self.bare("pid", Some(conn.pid));
        self.text("exe", conn.exe());
        self.text("unit", conn.unit());
        self.text("ns", conn.ns());
        self.bare("login", conn.login().and_then(|uid| uid.parse::<u32>().ok()));
        self.text("label", conn.label());
        self.text("on", conn.on());
    }

    fn decision(&mut self, decision: &Decision) {
        self.text("method", decision.method());
        self.text("target", decision.target());
        self.text("route", decision.route());
        self.text("decision", Some(if decision.allowed { "allow" } else { "deny" }));
        self.text("refusal", decision.refusal());
        self.text("by", decision.by());
        self.text("at", decision.place());
        self.text("policy", decision.policy());
        self.text("shadow", decision.shadow());
        self.text("part", decision.part());
        self.bare("fields", decision.fields().map(|fields| format!("[{fields}]")));
    }

    fn outcome(&mut self, outcome: &Outcome) {
        self.text("result", outcome.result());
        self.bare("in", Some(outcome.bytes_in));
        self.bare("out", Some(outcome.bytes_out));
    }
}

fn of_access(access: &Access) -> String {
    let mut object = Object::new("access");
    object.time("ts", access.when());
    object.text("id", Some(&access.id.to_string()));
    object.bare("uid", access.uid());
    if let Some(conn) = &access.conn {
        object.conn(conn);
    }
    if let Some(decision) = &access.decision {
        object.decision(decision);
    }
    if !access.grants.is_empty() {
        let quoted = |text: Option<&str>| format!("\"{}\"", proper(text.unwrap_or_default()));
        let (granted, refused): (Vec<_>, Vec<_>) =
            access.grants.iter().partition(|grant| grant.refused().is_none());
        object.list("granted", granted.iter().map(|grant| quoted(grant.backend())));
        object.list("refused", refused.iter().map(|grant| quoted(grant.refused())));
    }
    object.bare("status", access.status());
    if let Some(outcome) = &access.outcome {
        object.outcome(outcome);
    }
    object.bare("us", access.us());
    if let Some(exit) = access.exits.last() {
        object.bare("exit", exit.code);
        object.bare("signal", exit.signal);
        object.text("why", exit.why());
    }
    object.bare("open", access.is_open().then_some(true));
    let doubts = access.doubts();
    if !doubts.is_empty() {
        object.list("doubts", doubts.iter().map(|doubt| format!("\"{}\"", doubt.code())));
    }
    let decided = access.decision.as_ref().map(|decision| &*decision.held.segment);
    object.text("segment", decided);
    object.end()
}

fn of_shed(conn: &Conn) -> String {
    let mut object = Object::new("shed");
    object.time("ts", conn.held.ts);
    object.text("id", Some(&conn.id.to_string()));
    object.bare("uid", Some(conn.uid));
    object.conn(conn);
    object.text("decision", Some("deny"));
    object.text("refusal", conn.shed());
    object.end()
}

fn of_repeat(repeat: &Repeat) -> String {
    let mut object = Object::new("repeat");
    object.time("ts", repeat.last);
    object.bare("uid", Some(repeat.uid));
    object.text("user", repeat.user.as_deref());
    object.text("on", repeat.on());
    object.text("route", repeat.route());
    object.text("decision", Some("deny"));
    object.text("refusal", repeat.refusal());
    object.bare("count", Some(repeat.count));
    object.time("first", repeat.first);
    object.time("last", repeat.last);
    object.end()
}

fn wrapped(kind: &str, line: &str) -> String {
    let mut object = Object::new(kind);
    object.bare("record", Some(record(line)));
    object.end()
}
