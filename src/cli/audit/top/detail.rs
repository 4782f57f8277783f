//! All that is on record of one access, as far as it has come, in lines of a window.

use super::board::Kept;
use super::frame::{Line, Style};
use crate::audit::query::{Access, Conn};

/// Columns of the names at the left.
const NAMES: usize = 10;

/// Names and values; a value that is too long goes on below itself.
pub(super) fn lines(kept: &Kept, columns: usize) -> Vec<Line> {
    let mut facts = Facts(Vec::new());
    match &kept.access {
        Some(access) => of_access(access, &mut facts),
        None => of_row(kept, &mut facts),
    }
    let room = columns.saturating_sub(NAMES + 2).max(8);
    let mut lines = Vec::new();
    for (name, value, style) in facts.0 {
        let letters: Vec<char> = value.chars().collect();
        let mut pieces = letters.chunks(room);
        let first: String = pieces.next().unwrap_or_default().iter().collect();
        lines.push(Line::of(Style::Plain, " ").column(Style::Soft, name, NAMES).then(style, &first));
        lines.extend(pieces.map(|piece| {
            let piece: String = piece.iter().collect();
            Line::of(Style::Plain, " ").column(Style::Plain, "", NAMES).then(style, &piece)
        }));
    }
    lines
}

/// What there is to say, line by line.
struct Facts(Vec<(&'static str, String, Style)>);

impl Facts {
    fn say(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.push((name, value.into(), Style::Plain));
    }

    fn maybe(&mut self, name: &'static str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.say(name, value.to_string());
        }
    }

    fn loud(&mut self, name: &'static str, value: String, style: Style) {
        self.0.push((name, value, style));
    }

    fn gap(&mut self) {
        self.say("", "");
    }
}

fn of_access(access: &Access, facts: &mut Facts) {
    facts.loud("request", access.id.to_string(), Style::Bold);
    match &access.decision {
        None => facts.say("asked", "not on record: the gate's segment is missing or unreadable"),
        Some(decision) => {
            let [method, target] = [decision.method(), decision.target()].map(Option::unwrap_or_default);
            facts.say("asked", format!("{method} {target}"));
            facts.say("when", decision.held.ts.to_string());
            let (verdict, style) = match decision.refusal() {
                _ if decision.allowed => ("allowed".to_owned(), Style::Allowed),
                Some(refusal) => (format!("denied: {refusal}"), Style::Denied),
                None => ("denied".to_owned(), Style::Denied),
            };
            facts.loud("verdict", verdict, style);
            facts.maybe("rule", decision.by());
            facts.maybe("stands at", decision.place());
            facts.maybe("route", decision.route());
            facts.maybe("policy", decision.policy());
            facts.maybe("shadow", decision.shadow());
            facts.maybe("part", decision.part());
            facts.maybe("status", decision.status);
            facts.maybe("took", decision.us.map(|us| format!("{us} us")));
        }
    }
    for grant in &access.grants {
        let backend = grant.backend().unwrap_or_default();
        match grant.refused() {
            None => facts.say("granted", format!("{backend}, at {}", grant.held.ts)),
            Some(why) => {
                facts.loud("refused", format!("{backend} ({why}), at {}", grant.held.ts), Style::Denied)
            }
        }
    }
    match &access.outcome {
        Some(outcome) => {
            let status = outcome.status.map_or("no status".to_owned(), |status| status.to_string());
            facts.say("outcome", format!("{status} {}", outcome.result().unwrap_or_default()));
            let took = outcome.us.map_or("unknown time".to_owned(), |us| format!("{us} us"));
            let (bytes_in, bytes_out) = (outcome.bytes_in, outcome.bytes_out);
            facts.say("", format!("{bytes_in} bytes in, {bytes_out} out, {took}, at {}", outcome.held.ts));
        }
        None if access.is_open() => facts.say("outcome", "none on record: it still runs, or its gate ended"),
        None => facts.say("outcome", "answered at once, with the verdict"),
    }
    for doubt in access.doubts() {
        facts.loud("doubt", doubt.code().to_owned(), Style::Denied);
    }
    facts.gap();
    match &access.conn {
        Some(conn) => of_conn(conn, facts),
        None => facts.say("who", "not at hand: peergate audit show looks further back"),
    }
    facts.gap();
    facts.maybe("recorded", access.decision.as_ref().map(|decision| &decision.held.segment));
}

fn of_conn(conn: &Conn, facts: &mut Facts) {
    facts.say("who", conn.user().unwrap_or("(no name)"));
    let groups =
        conn.groups().map(|groups| groups.map(|group| group.to_string()).collect::<Vec<_>>().join(","));
    let groups = groups.unwrap_or_else(|| "unknown".to_owned());
    facts.say("ids", format!("uid {}, gid {}, groups {groups}, pid {}", conn.uid, conn.gid, conn.pid));
    facts.maybe("program", conn.exe());
    facts.maybe("unit", conn.unit());
    facts.maybe("namespace", conn.ns());
    facts.maybe("login uid", conn.login());
    facts.maybe("label", conn.label());
    facts.say("listener", format!("{}, connected at {}", conn.on().unwrap_or_default(), conn.held.ts));
}

/// Of what was recorded together, or of a connection that was closed at once.
fn of_row(kept: &Kept, facts: &mut Facts) {
    let row = &kept.row;
    facts.loud("what", row.request.clone(), Style::Bold);
    facts.maybe("id", Some(&row.id).filter(|id| !id.is_empty()));
    facts.say("when", row.ts.to_string());
    facts.loud("verdict", format!("denied: {}", row.result), Style::Denied);
    facts.say("how many", row.count.to_string());
    facts.say("who", row.caller.clone());
    facts.maybe("program", Some(&row.program).filter(|program| !program.is_empty()));
    facts.say("route", row.route.clone());
}
