//! One line each; a record as it is told when it comes.

use super::{shown, word};
use crate::audit::plain::Readable;
use crate::audit::query::{Access, Conn, Item, Recorded, Repeat};
use crate::audit::reader::Line;
use crate::cli::Failure;
use crate::cli::term::{Colour, Term};
use crate::model::time::Timestamp;

/// Prints an item, coloured where the terminal shows colours.
pub(super) fn item(item: &Item, term: &mut Term) -> Result<(), Failure> {
    term.coloured(colour(item), lines(item))
}

/// Prints a record.
pub(super) fn record(recorded: &Recorded, term: &mut Term) -> Result<(), Failure> {
    match recorded {
        Recorded::Told(told) if !told.believed => {
            term.coloured(Some(Colour::Yellow), disbelieved(told.held.line(), &told.held.segment))
        }
        Recorded::Told(told) => {
            let denied = told.held.record().text("decision") == "deny";
            term.coloured(denied.then_some(Colour::Red), Readable(told.held.line().as_bytes()))
        }
        Recorded::Garbage(line) => term.coloured(Some(Colour::Yellow), Readable(&line.bytes)),
    }
}

/// An item without colours.
fn lines(item: &Item) -> String {
    match item {
        Item::Access(access) | Item::Begun(access) => of_access(access),
        Item::Shed(conn) => of_shed(conn),
        Item::Repeat(repeat) => of_repeat(repeat),
        Item::Event(held) => Readable(held.line().as_bytes()).to_string(),
        Item::Disbelieved(held) => disbelieved(held.line(), &held.segment),
        Item::Garbage(line) => Readable(&line.bytes).to_string(),
    }
}

/// What is said of a line where only records can stand.
pub(super) fn no_record(line: &Line) -> String {
    format!("a line of {} is no record: {}", line.segment, Readable(&line.bytes))
}

fn colour(item: &Item) -> Option<Colour> {
    let of_access = |access: &Access| match access.allowed() {
        Some(false) => Some(Colour::Red),
        _ if !access.doubts().is_empty() => Some(Colour::Yellow),
        Some(true) if access.status().is_some_and(|status| status >= 500) => Some(Colour::Yellow),
        _ => None,
    };
    match item {
        Item::Access(access) | Item::Begun(access) => of_access(access),
        Item::Shed(_) | Item::Repeat(_) => Some(Colour::Red),
        Item::Disbelieved(_) | Item::Garbage(_) => Some(Colour::Yellow),
        _ => None,
    }
}

/// Date and clock, down to the millisecond.
pub(super) fn clock(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{} {}", text.get(..10).unwrap_or_default(), text.get(11..23).unwrap_or_default())
}

/// `deploy(1001)`.
pub(in crate::cli::audit) fn who(user: Option<&str>, uid: Option<u32>) -> String {
    let uid = uid.map_or_else(|| "?".to_owned(), |uid| uid.to_string());
    user.map_or_else(|| format!("uid {uid}"), |user| format!("{}({uid})", word(user)))
}

fn of_access(access: &Access) -> String {
    let verdict = match access.allowed() {
        Some(true) => "ALLOW",
        Some(false) => "DENY ",
        None => "?    ",
    };
    let whom = who(access.user(), access.uid());
    let mut line = format!("{} {verdict} {} {whom}", clock(access.when()), access.id);
    let mut add = |text: String| {
        line.push(' ');
        line.push_str(&text);
    };
    match &access.decision {
        Some(decision) => {
            add(word(decision.method().unwrap_or_default()));
            add(word(decision.target().unwrap_or_default()));
        }
        None => add("(no decision on record)".to_owned()),
    }
    if let Some(refusal) = access.decision.as_ref().and_then(|decision| decision.refusal()) {
        add(format!("({})", shown(refusal)));
    }
    if let Some(status) = access.status() {
        add(status.to_string());
    }
    match &access.outcome {
        Some(outcome) => add(word(outcome.result().unwrap_or_default())),
        None if access.is_open() => add("(no end on record)".to_owned()),
        None => {}
    }
    for exit in &access.exits {
        let end = [("exit", exit.code.map(u32::from)), ("signal", exit.signal)];
        for (name, value) in end.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            add(format!("{name}={value}"));
        }
        if let Some(why) = exit.why().filter(|why| *why != "done") {
            add(format!("why={}", word(why)));
        }
    }
    if let Some(us) = access.us() {
        add(format!("us={us}"));
    }
    if let Some(decision) = &access.decision {
        for (name, value) in [("route", decision.route()), ("by", decision.by()), ("at", decision.place())] {
            if let Some(value) = value {
                add(format!("{name}={}", word(value)));
            }
        }
    }
    if let Some(conn) = &access.conn {
        for (name, value) in [("on", conn.on()), ("exe", conn.exe()), ("unit", conn.unit())] {
            if let Some(value) = value {
                add(format!("{name}={}", word(value)));
            }
        }
    }
    for doubt in access.doubts() {
        add(format!("!{}", doubt.code()));
    }
    line
}

fn of_shed(conn: &Conn) -> String {
    let [on, why] = [conn.on(), conn.shed()].map(|text| word(text.unwrap_or_default()));
    let whom = who(conn.user(), Some(conn.uid));
    format!("{} SHED  {} {whom} on={on} ({why})", clock(conn.held.ts), conn.id)
}

fn of_repeat(repeat: &Repeat) -> String {
    let whom = who(repeat.user.as_deref(), Some(repeat.uid));
    let [on, why] = [repeat.on(), repeat.refusal()].map(|text| word(text.unwrap_or_default()));
    let route = repeat.route().map(|route| format!(" route={}", word(route))).unwrap_or_default();
    let Repeat { count, first, last, .. } = repeat;
    format!("{} DENY  {count} more, {whom} on={on}{route} ({why}) from {first}", clock(*last))
}

fn disbelieved(line: &str, segment: &str) -> String {
    format!("!! not believed, in {segment}: {}", Readable(line.as_bytes()))
}
