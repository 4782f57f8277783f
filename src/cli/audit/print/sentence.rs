//! Plain English for who has never seen a record.

use super::text::clock;
use super::{Whom, shown, word};
use crate::audit::plain::Readable;
use crate::audit::query::{Access, Conn, Decision, Doubt, Exit, Held, Item, Outcome, Repeat};

pub(super) fn of(item: &Item) -> String {
    match item {
        Item::Access(access) => of_access(access),
        Item::Begun(access) => format!("{} It is under way.", of_access(access)),
        Item::Shed(conn) => of_shed(conn),
        Item::Repeat(repeat) => of_repeat(repeat),
        Item::Event(held) => of_event(held),
        Item::Disbelieved(held) => format!(
            "{}: a record in {} claims what its writer can't know, so nobody believes it: {}",
            clock(held.ts),
            held.segment,
            Readable(held.line().as_bytes())
        ),
        Item::Garbage(line) => {
            format!("A line of {} is no record: {}", line.segment, Readable(&line.bytes))
        }
    }
}

fn of_access(access: &Access) -> String {
    let whom = Whom { user: access.user(), uid: access.uid() };
    let mut said = format!("{}: {whom}", clock(access.when()));
    if let Some(conn) = access.conn.as_deref() {
        said.push_str(&by_means(conn));
    }
    match &access.decision {
        Some(decision) => said.push_str(&judged(decision, access.conn.as_deref())),
        None => said.push_str(" asked for something that no gate recorded"),
    }
    for grant in &access.grants {
        let app = grant.via().map(|app| format!(" to the app {}", word(app))).unwrap_or_default();
        let backend = format!("{}{app}", word(grant.backend().unwrap_or_default()));
        match grant.refused() {
            None => {
                let whom = grant.runs_as().map(|user| format!(" as {}", word(user))).unwrap_or_default();
                said.push_str(&format!("; the warden granted {backend}{whom}"));
            }
            Some(why) => said.push_str(&format!("; the warden refused {backend} ({})", shown(why))),
        }
    }
    for exit in &access.exits {
        said.push_str(&format!("; the command {}", command_ended(exit)));
    }
    match (&access.outcome, access.status()) {
        (Some(outcome), _) => said.push_str(&ended(outcome)),
        (None, Some(status)) => said.push_str(&format!("; it was answered {status} at once")),
        (None, None) if access.is_open() => said.push_str("; no end of it is on record"),
        (None, None) => {}
    }
    said.push('.');
    for doubt in access.doubts() {
        said.push(' ');
        said.push_str(in_words(doubt));
    }
    said
}

/// `, by /usr/bin/docker in ci.service`.
fn by_means(conn: &Conn) -> String {
    let exe = conn.exe().map(|exe| format!(" by {}", word(exe))).unwrap_or_default();
    let unit = conn.unit().map(|unit| format!(" in {}", word(unit))).unwrap_or_default();
    let other = if conn.ns() == Some("other") { " from a container" } else { "" };
    if exe.is_empty() && unit.is_empty() && other.is_empty() {
        return String::new();
    }
    format!(",{exe}{unit}{other},")
}

fn judged(decision: &Decision, conn: Option<&Conn>) -> String {
    let verdict = if decision.allowed { "was allowed" } else { "was denied" };
    let [method, target] = [decision.method(), decision.target()].map(|text| word(text.unwrap_or_default()));
    let on = conn.and_then(Conn::on).map(|on| format!(" on {}", word(on))).unwrap_or_default();
    let mut said = format!(" {verdict} {method} {target}{on}");
    match decision.by() {
        Some(rule) => said.push_str(&format!(" by {}", word(rule))),
        None if decision.refusal() == Some("no-route") => said.push_str(" since no rule allows it"),
        None if !decision.allowed && decision.route().is_none() => {
            said.push_str(" before any rule was asked");
        }
        None => {}
    }
    if let Some(place) = decision.place() {
        said.push_str(&format!(" ({})", shown(place)));
    }
    if let Some(refusal) = decision.refusal() {
        said.push_str(&format!(": {}", shown(refusal)));
    }
    said
}

fn ended(outcome: &Outcome) -> String {
    let status = outcome.status.map_or_else(|| "without a status".to_owned(), |it| format!("with {it}"));
    let result = shown(outcome.result().unwrap_or_default());
    let after = outcome.us.map(|us| format!(" after {}", span(us))).unwrap_or_default();
    format!("; it ended {status}{after} ({result}), {} bytes in, {} out", outcome.bytes_in, outcome.bytes_out)
}

/// `ended with exit code 3 after 12 ms`, `was ended by signal 15 after 30 s (timeout)`.
pub(in crate::cli::audit) fn command_ended(exit: &Exit) -> String {
    let after = span(exit.us);
    let why = match exit.why().unwrap_or_default() {
        "done" => String::new(),
        why => format!(" ({})", shown(why)),
    };
    match (exit.code, exit.signal, exit.why().unwrap_or_default()) {
        (Some(code), ..) => format!("ended with exit code {code} after {after}{why}"),
        (None, Some(signal), _) => format!("was ended by signal {signal} after {after}{why}"),
        (None, None, "not-started") => match exit.what() {
            Some(what) => format!("was not started: {}", shown(what)),
            None => "was not started".to_owned(),
        },
        (None, None, "detached") => "ran on when the daemon ended".to_owned(),
        (None, None, _) => format!("ended after {after}{why}"),
    }
}

/// Microseconds as people say them.
pub(in crate::cli::audit) fn span(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..10_000_000 => format!("{} ms", us / 1_000),
        10_000_000..7_200_000_000 => format!("{} s", us / 1_000_000),
        _ => format!("{} h", us / 3_600_000_000),
    }
}

fn of_shed(conn: &Conn) -> String {
    let whom = Whom { user: conn.user(), uid: Some(conn.uid) };
    let [on, why] = [conn.on(), conn.shed()].map(|text| word(text.unwrap_or_default()));
    format!("{}: {whom}{} was turned away at {on}: {why}.", clock(conn.held.ts), by_means(conn))
}

fn of_repeat(repeat: &Repeat) -> String {
    let whom = Whom { user: repeat.user.as_deref(), uid: Some(repeat.uid) };
    let [on, why] = [repeat.on(), repeat.refusal()].map(|text| word(text.unwrap_or_default()));
    let (times, first) = (repeat.count, clock(repeat.first));
    format!("{}: {whom} was denied {times} more times on {on} since {first}: {why}.", clock(repeat.last))
}

pub(super) fn of_event(held: &Held) -> String {
    let record = held.record();
    let at = clock(held.ts);
    let text = |name: &str| word(record.text(name));
    match record.kind() {
        "open" => format!("{at}: {} (pid {}) began to write.", text("role"), text("pid")),
        "gate" => {
            let uid = record.field("uid").map(|uid| format!(" of uid {}", uid.as_str())).unwrap_or_default();
            let how = match record.text("event") {
                "killed" => format!("was killed by signal {}", text("signal")),
                "exited" => format!("exited with code {}", text("code")),
                "violated" => format!("was ended over the system call {}", text("syscall")),
                "retired" => "was let go".to_owned(),
                "panicked" => "lost a connection to a fault of its own".to_owned(),
                "started" => "was started".to_owned(),
                "intruded" => "was ended for what stood in its segment".to_owned(),
                "silent" => "gave no sign of life, and is ended for that".to_owned(),
                "backdated" => "wrote a line of an instant long before it can have been written".to_owned(),
                _ => text("event"),
            };
            format!("{at}: the {}{uid} (pid {}) {how}.", text("role"), text("pid"))
        }
        "exit" => match Exit::new(held.clone()) {
            Some(exit) => format!("{at}: the command of {} {}.", exit.id, command_ended(&exit)),
            None => Readable(held.line().as_bytes()).to_string(),
        },
        "policy" => match record.field("refused") {
            Some(why) => format!("{at}: the policy {} was not taken: {}.", text("file"), shown(why.as_str())),
            None => format!("{at}: the policy {} came into force as {}.", text("file"), text("new")),
        },
        "close" => format!("{at}: the segment {} was closed at {} bytes.", text("segment"), text("bytes")),
        "prune" => format!("{at}: the segment {} was removed: {}.", text("segment"), text("why")),
        "epoch" => format!("{at}: epoch {} began.", text("epoch")),
        "seal" => format!("{at}: seal {} of epoch {} was made.", text("i"), text("epoch")),
        "intrusion" => format!("{at}: {} was tampered with: {}.", text("segment"), text("why")),
        _ => Readable(held.line().as_bytes()).to_string(),
    }
}

fn in_words(doubt: Doubt) -> &'static str {
    match doubt {
        Doubt::CallerMissing => "The warden's record of the connection is missing.",
        Doubt::DecisionMissing => "No gate recorded a decision, though a backend was granted.",
        Doubt::UidDiffers => "The gate named another uid than the warden.",
        Doubt::DeniedButGranted => "A backend was granted for it nevertheless.",
        Doubt::TimeDiffers => "Its gate gives another time for it than the warden does.",
    }
}
