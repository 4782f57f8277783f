//! `peergate audit show`: who asked what, by which rule it was judged, and what became of it.

use std::collections::BTreeMap;

use clap::Args;

use super::print::{Form, How};
use super::{Where, tell_torn};
use crate::audit::plain::{Record, Value, Word};
use crate::audit::reader::{Line, Reader};
use crate::audit::segment::SegmentName;
use crate::cli::term::Term;
use crate::cli::{Answer, Failure};
use crate::model::ids::{BadId, ConnectionId, RequestId};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    how: How,
    /// A request's or connection's id, as an answer or a record gave it
    id: Id,
}

/// What was asked for.
#[derive(Debug, Clone, Copy)]
enum Id {
    Request(RequestId),
    Connection(ConnectionId),
}

impl std::str::FromStr for Id {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Id, BadId> {
        text.parse().map(Id::Request).or_else(|_| text.parse().map(Id::Connection))
    }
}

impl Id {
    fn connection(self) -> ConnectionId {
        match self {
            Id::Request(request) => request.connection,
            Id::Connection(connection) => connection,
        }
    }

    /// The request that a record is about, where it is asked for.
    fn covers(self, id: &str) -> Option<RequestId> {
        let found: RequestId = id.parse().ok()?;
        match self {
            Id::Request(request) => found == request,
            Id::Connection(connection) => found.connection == connection,
        }
        .then_some(found)
    }
}

/// What the record holds of it.
#[derive(Debug, Default)]
struct Found {
    conn: Option<Line>,
    /// By their numbers within the connection.
    requests: BTreeMap<u32, Request>,
}

/// One request of it.
#[derive(Debug, Default)]
struct Request {
    decision: Option<Line>,
    grants: Vec<Line>,
    outcome: Option<Line>,
}

pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let directory = arguments.place.directory();
    let boot = arguments.id.connection().boot;
    let mut reader = Reader::open_boot(&directory, boot)
        .map_err(Failure::at(format!("can't read {}", directory.display())))?;
    let mut found = Found::default();
    loop {
        match reader.next_line() {
            Ok(Some(line)) => found.take(line, arguments.id),
            Ok(None) => break,
            // What is missing by it shows as missing.
            Err(error) => term.complain(format!("can't read a segment: {error}")),
        }
    }
    if found.lacks(arguments.id) {
        term.complain(format!("{} has no record of it", directory.display()));
        tell_torn(&reader, term);
        return Ok(Answer::No);
    }
    match arguments.how.format {
        Form::Text => found.tell(arguments.id.connection(), term)?,
        _ => term.line(found.to_json())?,
    }
    Ok(Answer::Yes)
}

impl Found {
    /// Whether there is nothing of what was asked for: the caller alone is no answer about a request.
    fn lacks(&self, asked: Id) -> bool {
        self.requests.is_empty() && (self.conn.is_none() || matches!(asked, Id::Request(_)))
    }

    /// Keeps the line if it belongs here. What only the warden can know counts only in its own segments: a gate
    /// that was taken over can write what it likes into its own.
    fn take(&mut self, line: Line, asked: Id) {
        let Some(record) = line.record() else { return };
        let by_warden =
            SegmentName::parse(&line.segment).is_some_and(|name| name.writer.starts_with("warden-"));
        let id = record.text("id");
        let request = asked.covers(id);
        match (record.kind(), request) {
            ("conn", _) if by_warden && id.parse() == Ok(asked.connection()) => self.conn = Some(line),
            ("grant", Some(id)) if by_warden => self.request(id).grants.push(line),
            ("decision", Some(id)) => self.request(id).decision = Some(line),
            ("outcome", Some(id)) => self.request(id).outcome = Some(line),
            _ => {}
        }
    }

    fn request(&mut self, id: RequestId) -> &mut Request {
        self.requests.entry(id.number).or_default()
    }

    /// For people: a block for the caller, one for each request.
    fn tell(&self, connection: ConnectionId, term: &mut Term) -> Result<(), Failure> {
        term.line(format_args!("connection {connection}"))?;
        match self.conn.as_ref().and_then(Line::record) {
            Some(conn) => tell_caller(conn, term)?,
            None => term.line("  who       not on record: the warden's segment is missing or unreadable")?,
        }
        for (number, request) in &self.requests {
            term.line("")?;
            term.line(format_args!("request {connection}-{number}"))?;
            request.tell(term)?;
        }
        Ok(())
    }

    /// For programs: the records as they stand, in one object.
    fn to_json(&self) -> String {
        let requests: Vec<String> = self.requests.values().map(Request::to_json).collect();
        format!("{{\"conn\":{},\"requests\":[{}]}}", json(self.conn.as_ref()), requests.join(","))
    }
}

impl Request {
    fn tell(&self, term: &mut Term) -> Result<(), Failure> {
        let Some(decision) = self.decision.as_ref().and_then(Line::record) else {
            term.line("  asked     not on record: the gate's segment is missing or unreadable")?;
            return self.tell_effects(term);
        };
        let [method, target] = ["method", "target"].map(|name| Word(decision.text(name)));
        term.line(format_args!("  asked     {method} {target}"))?;
        term.line(format_args!("  when      {}", decision.text("ts")))?;
        let verdict = decision.text("decision");
        let refusal = decision.field("refusal").map(|refusal| format!(" ({})", refusal.as_str()));
        term.line(format_args!("  verdict   {verdict}{}", refusal.unwrap_or_default()))?;
        term.line(format_args!("  rule      {}", rule(decision)))?;
        for name in ["shadow", "status", "us"] {
            if let Some(value) = decision.field(name) {
                term.line(format_args!("  {name:<9} {}", Word(value.as_str())))?;
            }
        }
        self.tell_effects(term)?;
        self.tell_written(term)
    }

    fn tell_effects(&self, term: &mut Term) -> Result<(), Failure> {
        for grant in self.grants.iter().filter_map(Line::record) {
            let (backend, at) = (Word(grant.text("backend")), grant.text("ts"));
            match grant.field("refused") {
                None => term.line(format_args!("  granted   {backend}, at {at}"))?,
                Some(why) => term.line(format_args!("  refused   {backend} ({}), at {at}", why.as_str()))?,
            }
        }
        let at_once =
            self.decision.as_ref().and_then(Line::record).is_some_and(|it| it.field("status").is_some());
        match self.outcome.as_ref().and_then(Line::record) {
            Some(outcome) => {
                let status = outcome.field("status").map_or("no status", |status| status.as_str());
                let [result, bytes_in, bytes_out, us] =
                    ["result", "in", "out", "us"].map(|name| outcome.text(name));
                let amount = format!("{bytes_in} bytes in, {bytes_out} out, {us} us");
                term.line(format_args!("  outcome   {status} {result}, {amount}, at {}", outcome.text("ts")))
            }
            None if at_once => term.line("  outcome   answered at once, with the verdict"),
            None => term.line("  outcome   none on record: it still runs, or its gate ended"),
        }
    }

    fn tell_written(&self, term: &mut Term) -> Result<(), Failure> {
        let written = self.decision.as_ref().map_or("", |line| &line.segment);
        term.line(format_args!("  record    {written}"))
    }

    fn to_json(&self) -> String {
        let grants: Vec<String> = self.grants.iter().map(|line| json(Some(line))).collect();
        let [decision, outcome] = [&self.decision, &self.outcome].map(|line| json(line.as_ref()));
        format!("{{\"decision\":{decision},\"grants\":[{}],\"outcome\":{outcome}}}", grants.join(","))
    }
}

/// The record as it stands, which is JSON.
fn json(line: Option<&Line>) -> String {
    line.and_then(Line::record).map_or_else(|| "null".to_owned(), |record| record.line().to_owned())
}

fn tell_caller(conn: Record<'_>, term: &mut Term) -> Result<(), Failure> {
    let user = conn.field("user").map_or_else(String::new, |user| format!("{} ", Word(user.as_str())));
    let [uid, gid, pid] = ["uid", "gid", "pid"].map(|name| conn.text(name));
    let groups = match conn.field("groups").map(Value::as_str) {
        None => "unknown",
        Some("") => "none",
        Some(groups) => groups,
    };
    term.line(format_args!("  who       {user}uid {uid}, gid {gid}, groups {groups}, pid {pid}"))?;
    for (label, name) in [
        ("program", "exe"),
        ("unit", "unit"),
        ("namespace", "ns"),
        ("login uid", "login"),
        ("label", "label"),
    ] {
        if let Some(value) = conn.field(name) {
            term.line(format_args!("  {label:<9} {}", Word(value.as_str())))?;
        }
    }
    term.line(format_args!("  listener  {}, at {}", Word(conn.text("on")), conn.text("ts")))?;
    match conn.field("shed") {
        Some(shed) => term.line(format_args!("  shed      {}", shed.as_str())),
        None => Ok(()),
    }
}

/// `who.ci at policy.toml:42, route containers-list, policy 9f2c1e77`
fn rule(decision: Record<'_>) -> String {
    let mut rule = decision.field("by").map_or_else(|| "none".to_owned(), |by| Word(by.as_str()).to_string());
    for (before, name) in [(" at ", "at"), (", route ", "route"), (", policy ", "policy")] {
        if let Some(value) = decision.field(name) {
            rule.push_str(before);
            rule.push_str(&Word(value.as_str()).to_string());
        }
    }
    rule
}
