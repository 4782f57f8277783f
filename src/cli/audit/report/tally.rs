//! Sums over accesses, in bounded memory.

use std::collections::{BTreeMap, HashSet};

use crate::audit::query::{Access, Filter, Item};
use crate::audit::segment::{Role, SegmentName};

/// Kinds that are told apart in each sum; what comes beyond is counted together.
const KINDS: usize = 100_000;

/// What is summed.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) allowed: u64,
    pub(super) denied: u64,
    pub(super) open: u64,
    pub(super) doubtful: u64,
    refusals: Sum,
    callers: Sum,
    routes: Sum,
    hours: Sum,
    events: Sum,
    /// Combinations of caller, program and route; with the first one's id where that lies in the time asked for.
    seen: HashSet<[String; 3]>,
    fresh: Vec<(String, [String; 3])>,
    slowest: BTreeMap<(u64, String), Vec<String>>,
}

/// Counts by kind.
type Sum = BTreeMap<Vec<String>, u64>;

/// One part of a report.
pub(super) struct Section {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) unit: &'static str,
    pub(super) columns: &'static [&'static str],
    pub(super) rows: Vec<Row>,
    pub(super) left_out: usize,
}

/// One line of it. The words stand as in the record.
pub(super) struct Row {
    pub(super) value: u64,
    pub(super) number: String,
    pub(super) words: Vec<String>,
}

fn add(sum: &mut Sum, words: &[&str], count: u64) {
    let mut kind: Vec<String> = words.iter().map(|text| (*text).to_owned()).collect();
    if sum.len() >= KINDS && !sum.contains_key(&kind) {
        kind = vec!["all others".to_owned()];
    }
    *sum.entry(kind).or_insert(0) += count;
}

fn cloned((kind, count): (&Vec<String>, &u64)) -> (Vec<String>, u64) {
    (kind.clone(), *count)
}

/// Whether this is no part of a quiet day.
fn is_grave(kind: &[String]) -> bool {
    match kind.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["intrusion" | "disbelieved" | "no record" | "journal", ..] => true,
        ["gate", event] => !matches!(event, "started" | "retired"),
        ["policy", "refused"] => true,
        _ => false,
    }
}

/// Who wrote into it. By segment there would be as many kinds as somebody likes to fill.
fn writer(segment: &str) -> String {
    match SegmentName::parse(segment).map_or(Role::Other, |name| name.role()) {
        Role::Warden => "warden".to_owned(),
        Role::Scribe => "scribe".to_owned(),
        Role::Gate(None) => "gate shared".to_owned(),
        Role::Gate(Some(uid)) => format!("gate of uid {uid}"),
        Role::Other => "another".to_owned(),
    }
}

/// A caller's name, or else the uid.
fn named(user: Option<&str>, uid: Option<u32>) -> String {
    match (user, uid) {
        (Some(user), _) => user.to_owned(),
        (None, Some(uid)) => format!("uid {uid}"),
        (None, None) => "unknown".to_owned(),
    }
}

impl Tally {
    /// Takes an item of the whole record; only what the filter covers is counted.
    pub(super) fn take(&mut self, item: &Item, filter: &Filter) {
        let covered = filter.covers(item);
        match item {
            Item::Access(access) => {
                // What comes after the time that is asked for does not make anything known.
                let later = filter.until.is_some_and(|until| access.when() >= until.end);
                if !later {
                    self.see(access, covered);
                }
                if covered {
                    self.count(access);
                }
            }
            Item::Shed(conn) if covered => {
                self.denied += 1;
                let who = named(conn.user(), Some(conn.uid));
                let on = conn.on().unwrap_or_default();
                add(&mut self.refusals, &[conn.shed().unwrap_or_default(), &who, "connection to", on], 1);
            }
            Item::Repeat(repeat) if covered => {
                self.denied += repeat.count;
                let who = named(repeat.user.as_deref(), Some(repeat.uid));
                let what = repeat.route().or(repeat.on()).unwrap_or_default();
                add(
                    &mut self.refusals,
                    &[repeat.refusal().unwrap_or_default(), &who, "", what],
                    repeat.count,
                );
            }
            Item::Event(held) if covered => {
                let record = held.record();
                let what = match record.kind() {
                    "gate" => record.text("event"),
                    "policy" if record.field("refused").is_some() => "refused",
                    _ => "",
                };
                let words = [record.kind(), what];
                if !matches!(record.kind(), "range" | "seal") && what != "retired" {
                    add(&mut self.events, if what.is_empty() { &words[..1] } else { &words }, 1);
                }
            }
            Item::Disbelieved(held) if covered => {
                add(&mut self.events, &["disbelieved", &writer(&held.segment)], 1);
            }
            Item::Garbage(line) if covered => {
                add(&mut self.events, &["no record", &writer(&line.segment)], 1);
            }
            _ => {}
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.allowed + self.denied + self.open + self.doubtful == 0
    }

    fn see(&mut self, access: &Access, covered: bool) {
        let who = named(access.user(), access.uid());
        let exe = access.conn.as_ref().and_then(|conn| conn.exe()).unwrap_or("-").to_owned();
        let route = access.decision.as_ref().and_then(|decision| decision.route()).unwrap_or("-").to_owned();
        let combination = [who, exe, route];
        if self.seen.len() < KINDS && self.seen.insert(combination.clone()) && covered {
            self.fresh.push((access.id.to_string(), combination));
        }
    }

    fn count(&mut self, access: &Access) {
        let who = named(access.user(), access.uid());
        let decision = access.decision.as_ref();
        let route = decision.and_then(|decision| decision.route()).unwrap_or("-");
        let method = decision.and_then(|decision| decision.method()).unwrap_or("-");
        let verdict = match access.allowed() {
            Some(true) => "allowed",
            Some(false) => "denied",
            None => "without a decision",
        };
        match access.allowed() {
            Some(true) => self.allowed += 1,
            Some(false) => {
                self.denied += 1;
                let target = decision.and_then(|decision| decision.target()).unwrap_or("-");
                // One kind for a path, whatever was asked of it.
                let path = target.split_once('?').map_or(target, |(path, _)| path);
                let why = decision.and_then(|decision| decision.refusal()).unwrap_or("-");
                add(&mut self.refusals, &[why, &who, method, path], 1);
            }
            None => {}
        }
        self.open += u64::from(access.is_open());
        self.doubtful += u64::from(!access.doubts().is_empty());
        add(&mut self.callers, &[&who, verdict], 1);
        add(&mut self.routes, &[route, method, verdict], 1);
        let hour = access.when().to_string();
        add(&mut self.hours, &[hour.get(..13).unwrap_or_default()], 1);
        if let Some(us) = access.us() {
            let words = vec![access.id.to_string(), who, method.to_owned(), route.to_owned()];
            self.slowest.insert((us, access.id.to_string()), words);
            if self.slowest.len() > 1_000 {
                self.slowest.pop_first();
            }
        }
    }

    pub(super) fn sections(&self, top: usize) -> Vec<Section> {
        let limited = |name, title, columns, sum: &Sum, top: usize| {
            let mut rows: Vec<(&Vec<String>, u64)> = sum.iter().map(|(kind, count)| (kind, *count)).collect();
            rows.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            let left_out = rows.len().saturating_sub(top);
            let row = |(words, value): (&Vec<String>, u64)| Row {
                value,
                number: value.to_string(),
                words: words.clone(),
            };
            let rows = rows.into_iter().take(top).map(row).collect();
            Section { name, title, unit: "count", columns, rows, left_out }
        };
        let counted = |name, title, columns, sum: &Sum| limited(name, title, columns, sum, top);
        // However rare, what somebody has done to the record or a role has died of is not left out.
        let grave: Sum = self.events.iter().filter(|(kind, _)| is_grave(kind)).map(cloned).collect();
        let usual: Sum = self.events.iter().filter(|(kind, _)| !is_grave(kind)).map(cloned).collect();
        let mut events = counted("events", "Events", &["kind", "what"], &usual);
        let mut first = limited("events", "Events", &["kind", "what"], &grave, usize::MAX);
        first.rows.append(&mut events.rows);
        events.rows = first.rows;
        let fresh = |(id, kind): &(String, [String; 3])| Row {
            value: 1,
            number: "new".to_owned(),
            words: kind.iter().cloned().chain([id.clone()]).collect(),
        };
        let slow = |((us, _), words): (&(u64, String), &Vec<String>)| Row {
            value: *us,
            number: format!("{} ms", us / 1_000),
            words: words.clone(),
        };
        vec![
            counted(
                "denied",
                "Denied: why, who, what",
                &["refusal", "user", "method", "path"],
                &self.refusals,
            ),
            Section {
                name: "first_seen",
                title: "Never seen before: who, by which program, on which route, first request",
                unit: "count",
                columns: &["user", "exe", "route", "id"],
                rows: self.fresh.iter().take(top).map(fresh).collect(),
                left_out: self.fresh.len().saturating_sub(top),
            },
            counted("callers", "Callers", &["user", "verdict"], &self.callers),
            counted("routes", "Routes", &["route", "method", "verdict"], &self.routes),
            Section {
                name: "slowest",
                title: "Slowest: request, who, what",
                unit: "us",
                columns: &["id", "user", "method", "route"],
                rows: self.slowest.iter().rev().take(top).map(slow).collect(),
                left_out: 0,
            },
            counted("busiest", "Busiest hours (UTC)", &["hour"], &self.hours),
            events,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grave_events_are_never_left_out() {
        let mut tally = Tally::default();
        add(&mut tally.events, &["gate", "started"], 90);
        add(&mut tally.events, &["open"], 80);
        for uid in 1..=20 {
            let segment = format!("20261123T100000.000000Z-7k3qzd-gate-{uid}-0-3.ndjson");
            add(&mut tally.events, &["disbelieved", &writer(&segment)], 30);
            add(&mut tally.events, &["disbelieved", &writer(&segment.replace("0-3", "0-4"))], 30);
        }
        add(&mut tally.events, &["intrusion"], 1);
        let events = tally.sections(1).pop().unwrap();
        assert_eq!(
            (events.rows.len(), events.left_out),
            (22, 1),
            "21 grave ones, and the most frequent other"
        );
        assert_eq!(events.rows[20].words, ["intrusion"]);
        assert_eq!((events.rows[0].value, events.rows[0].words[1].as_str()), (60, "gate of uid 1"));
    }
}
