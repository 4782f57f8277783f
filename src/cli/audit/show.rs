//! `peergate audit show`: who asked what, by which rule it was judged, what became of it, and which seal vouches for
//! that.

mod miss;
mod seals;

use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;

use clap::Args;

use super::print::{Form, How, Printer, shown, word};
use super::{Where, proper, search, tell_torn};
use crate::audit::plain::decoded;
use crate::audit::query::filter::Id;
use crate::audit::query::search::Question;
use crate::audit::query::{Access, Conn, Decision, Exit, Filter, Held, Item};
use crate::cli::term::Term;
use crate::cli::{Answer, Failure};
use crate::model::caller::Caller;
use crate::model::ids::{ConnectionId, RequestId};
use crate::model::refusal::Refusal;
use crate::model::time::Timestamp;
use miss::Misses;
use seals::Seals;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    how: How,
    /// Says of what was denied what would have had to be different, by this policy [default: the file that the record
    /// names, where it still is what it was then]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// A request's or connection's id, as an answer or a record gave it
    id: Id,
}

/// A request as it is on record, so that a policy can be asked again.
pub(in crate::cli) struct Recorded {
    pub(in crate::cli) caller: Caller,
    /// The listener's name.
    pub(in crate::cli) on: String,
    pub(in crate::cli) method: String,
    pub(in crate::cli) target: String,
    /// Where an upgrade was refused: one that no route takes, since which it was is not on record.
    pub(in crate::cli) upgrade: Option<String>,
    /// What was decided then: `deny (forbidden), forbid.ci-never-execs at policy.toml:42, policy 9f2c1e77`.
    pub(in crate::cli) verdict: String,
    /// When that was.
    pub(in crate::cli) at: Timestamp,
    /// The file that the policy came from.
    pub(in crate::cli) file: Option<PathBuf>,
    /// The short hash of that policy.
    pub(in crate::cli) policy: String,
}

/// Finds one request in the record; says what is missing where it can't be asked again.
pub(in crate::cli) fn recorded(place: &Where, id: Id, term: &mut Term) -> Result<Option<Recorded>, Failure> {
    let directory = place.directory();
    let question = Question { texts: Vec::new(), filter: Filter { req: vec![id], ..Filter::default() } };
    let mut join = search::open(place, &question, term)?;
    let mut found = None;
    while let Some(item) = search::next(&mut join, term) {
        match item {
            Item::Access(access) if id.covers(access.id) => {
                found.get_or_insert(access);
            }
            _ => {}
        }
    }
    let Some(access) = found else {
        term.complain(format!("{} has no record of it", directory.display()));
        return Ok(None);
    };
    let (Some(decision), Some(conn)) = (&access.decision, &access.conn) else {
        term.complain("its decision or its caller is not on record");
        return Ok(None);
    };
    if crate::cli::recall::is_cut(decision) {
        return Err(Failure::Because(
            "its target is cut short on record, so no policy can be asked again".to_owned(),
        ));
    }
    let [method, target] =
        [decision.method(), decision.target()].map(|text| decoded(text.unwrap_or_default()).into_owned());
    let refused = decision.refusal().map(|refusal| format!(" ({})", word(refusal)));
    let allowed = if decision.allowed { "allow" } else { "deny" };
    let policy = decision.policy().unwrap_or_default().to_owned();
    Ok(Some(Recorded {
        caller: crate::cli::recall::caller(conn),
        on: conn.on().map(decoded).unwrap_or_default().into_owned(),
        method,
        target,
        upgrade: (decision.refusal() == Some(Refusal::UpgradeRefused.code())).then(String::new),
        verdict: format!("{allowed}{}, {}", refused.unwrap_or_default(), rule(decision)),
        at: decision.held.ts,
        file: miss::on_record(&directory, &policy),
        policy,
    }))
}

/// What the record holds of it.
#[derive(Default)]
struct Found {
    conn: Option<Rc<Conn>>,
    requests: Vec<Access>,
}

pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let directory = arguments.place.directory();
    let filter = Filter { req: vec![arguments.id], ..Filter::default() };
    let question = Question { texts: Vec::new(), filter };
    let mut join = search::open(&arguments.place, &question, term)?;
    let mut found = Found::default();
    let mut exits: HashMap<RequestId, Vec<Exit>> = HashMap::new();
    while let Some(item) = search::next(&mut join, term) {
        match item {
            Item::Access(access) if arguments.id.covers(access.id) => found.requests.push(*access),
            Item::Event(held) if held.record().kind() == "exit" => {
                if let Some(exit) = Exit::new(held) {
                    exits.entry(exit.id).or_default().push(exit);
                }
            }
            _ => {}
        }
    }
    // All of them, those too that came after the request's own end.
    for access in &mut found.requests {
        access.exits = exits.remove(&access.id).unwrap_or_default();
    }
    found.conn = join.connection(arguments.id.connection());
    found.requests.sort_by_key(|access| access.id.number);
    // The caller alone is no answer about a request.
    if found.requests.is_empty() && (found.conn.is_none() || matches!(arguments.id, Id::Request(_))) {
        term.complain(format!("{} has no record of it", directory.display()));
        tell_torn(join.reader(), term);
        return Ok(Answer::No);
    }
    let seals = Seals::of(&directory, &found);
    let mut misses = Misses::new(&directory, arguments.policy.as_deref())?;
    match arguments.how.format {
        Form::Text => found.tell(arguments.id.connection(), &seals, &mut misses, term)?,
        Form::Json => term.line(found.to_json(&seals, &mut misses))?,
        form => {
            let mut printer = Printer::new(form);
            printer.head(term)?;
            for access in found.requests {
                printer.item(&Item::Access(Box::new(access)), term)?;
            }
        }
    }
    Ok(Answer::Yes)
}

impl Found {
    /// For people: a block for the caller, one for each request.
    fn tell(
        &self,
        connection: ConnectionId,
        seals: &Seals,
        misses: &mut Misses<'_>,
        term: &mut Term,
    ) -> Result<(), Failure> {
        term.line(format_args!("connection {connection}"))?;
        match &self.conn {
            Some(conn) => {
                tell_caller(conn, term)?;
                term.line(format_args!("  seal      {}", seals.said(&conn.held)))?;
            }
            None => term.line("  who       not on record: the warden's segment is missing or unreadable")?,
        }
        for access in &self.requests {
            term.line("")?;
            term.line(format_args!("request {}", access.id))?;
            match &access.decision {
                Some(decision) => {
                    tell_decision(decision, term)?;
                    for miss in misses.of(access).unwrap_or_default() {
                        term.line(format_args!("  nearest   {miss}"))?;
                    }
                }
                None => {
                    term.line("  asked     not on record: the gate's segment is missing or unreadable")?
                }
            }
            tell_effects(access, term)?;
            for doubt in access.doubts() {
                term.line(format_args!("  doubt     {}", doubt.code()))?;
            }
            if let Some(decision) = &access.decision {
                term.line(format_args!("  record    {}", decision.held.segment))?;
                let seal = seals.said(&decision.held);
                term.line(format_args!("  seal      {seal}"))?;
                let granted = access.grants.iter().map(|grant| ("grant", &grant.held));
                let ended = access.outcome.iter().map(|outcome| ("outcome", &outcome.held));
                let exits = access.exits.iter().map(|exit| ("exit", &exit.held));
                for (what, held) in granted.chain(ended).chain(exits) {
                    let its = seals.said(held);
                    if its != seal {
                        term.line(format_args!("            of its {what}: {its}"))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// For programs: the records as they stand, in one object.
    fn to_json(&self, seals: &Seals, misses: &mut Misses<'_>) -> String {
        let requests: Vec<String> =
            self.requests.iter().map(|access| request_json(access, seals, misses)).collect();
        let held = self.conn.as_ref().map(|conn| &conn.held);
        let (conn, seal) = (json(held), seals.json(held));
        format!("{{\"conn\":{conn},\"seal\":{seal},\"requests\":[{}]}}", requests.join(","))
    }
}

fn tell_decision(decision: &Decision, term: &mut Term) -> Result<(), Failure> {
    let [method, target] = [decision.method(), decision.target()].map(|text| word(text.unwrap_or_default()));
    term.line(format_args!("  asked     {method} {target}"))?;
    term.line(format_args!("  when      {}", decision.held.ts))?;
    let verdict = if decision.allowed { "allow" } else { "deny" };
    let refusal = decision.refusal().map(|refusal| format!(" ({})", word(refusal)));
    term.line(format_args!("  verdict   {verdict}{}", refusal.unwrap_or_default()))?;
    term.line(format_args!("  rule      {}", rule(decision)))?;
    if let Some(shadow) = decision.shadow() {
        term.line(format_args!("  shadow    {}", word(shadow)))?;
    }
    if let Some(part) = decision.part() {
        term.line(format_args!("  part      {}", word(part)))?;
    }
    if let Some(fields) = decision.fields() {
        term.line(format_args!("  fields    {}", word(fields)))?;
    }
    for (name, value) in [("status", decision.status.map(u64::from)), ("us", decision.us)] {
        if let Some(value) = value {
            term.line(format_args!("  {name:<9} {value}"))?;
        }
    }
    Ok(())
}

fn tell_effects(access: &Access, term: &mut Term) -> Result<(), Failure> {
    for grant in &access.grants {
        let app = grant.via().map(|app| format!(" to the app {}", word(app))).unwrap_or_default();
        let backend = format!("{}{app}", word(grant.backend().unwrap_or_default()));
        let at = grant.held.ts;
        match grant.refused() {
            None => term.line(format_args!("  granted   {backend}, at {at}"))?,
            Some(why) => term.line(format_args!("  refused   {backend} ({}), at {at}", word(why)))?,
        }
        if let Some(argv) = grant.argv() {
            term.line(format_args!("  command   {}", words_of(argv)))?;
        }
        if let (Some(all), Some(hash)) = (grant.argv_len(), grant.argv_sha()) {
            let (all, hash) = (word(all), word(hash));
            term.line(format_args!("  cut       there were {all} arguments, SHA-256 of all {hash}"))?;
        }
        if let Some(user) = grant.runs_as() {
            term.line(format_args!("  as        {}", word(user)))?;
        }
    }
    for exit in &access.exits {
        tell_exit(exit, term)?;
    }
    match &access.outcome {
        Some(outcome) => {
            let status = outcome.status.map_or_else(|| "no status".to_owned(), |status| status.to_string());
            let result = word(outcome.result().unwrap_or_default());
            let mut amount = format!("{} bytes in, {} out", outcome.bytes_in, outcome.bytes_out);
            if let Some(us) = outcome.us {
                amount.push_str(&format!(", {us} us"));
            }
            term.line(format_args!("  outcome   {status} {result}, {amount}, at {}", outcome.held.ts))
        }
        None if access.is_open() => term.line("  outcome   none on record: it still runs, or its gate ended"),
        None => term.line("  outcome   answered at once, with the verdict"),
    }
}

/// Texts in quotes as a record has them, as words of a line.
fn words_of(argv: &str) -> String {
    let texts: Result<Vec<String>, _> = serde_json::from_str(&format!("[{argv}]"));
    texts.map_or_else(
        |_| shown(argv),
        |texts| texts.iter().map(|text| word(text)).collect::<Vec<_>>().join(" "),
    )
}

/// How a command ended, and what it took.
fn tell_exit(exit: &Exit, term: &mut Term) -> Result<(), Failure> {
    let why = word(exit.why().unwrap_or_default());
    let end = exit.end().map(|end| format!("{end} ")).unwrap_or_default();
    let amount = match (exit.why(), exit.code, exit.signal) {
        (Some("detached"), ..) => "it runs on without the daemon, the next one tells its end".to_owned(),
        (_, None, None) => exit.what().map_or_else(|| "no more is known".to_owned(), shown),
        _ => format!(
            "{} bytes on stdout, {} on stderr, {} us, {} us of processor time, {} KiB",
            exit.stdout, exit.stderr, exit.us, exit.cpu_us, exit.rss_kib
        ),
    };
    term.line(format_args!("  exit      {end}{why}, {amount}, at {}", exit.held.ts))
}

fn request_json(access: &Access, seals: &Seals, misses: &mut Misses<'_>) -> String {
    let grants: Vec<String> = access.grants.iter().map(|grant| json(Some(&grant.held))).collect();
    let decision = access.decision.as_ref().map(|decision| &decision.held);
    let outcome = access.outcome.as_ref().map(|outcome| &outcome.held);
    let granted: Vec<String> = access.grants.iter().map(|grant| seals.json(Some(&grant.held))).collect();
    let (seal, ended) = (seals.json(decision), seals.json(outcome));
    let nearest = serde_json::json!(misses.of(access));
    let (decision, outcome) = (json(decision), json(outcome));
    let (grants, granted) = (grants.join(","), granted.join(","));
    let exits: Vec<String> = access.exits.iter().map(|exit| json(Some(&exit.held))).collect();
    let exited: Vec<String> = access.exits.iter().map(|exit| seals.json(Some(&exit.held))).collect();
    let (exits, exited) = (exits.join(","), exited.join(","));
    format!(
        "{{\"decision\":{decision},\"grants\":[{grants}],\"exits\":[{exits}],\"outcome\":{outcome},\
         \"nearest\":{nearest},\"seal\":{seal},\"grant_seals\":[{granted}],\"exit_seals\":[{exited}],\
         \"outcome_seal\":{ended}}}"
    )
}

/// The record as it stands, which is JSON.
fn json(held: Option<&Held>) -> String {
    held.map_or_else(|| "null".to_owned(), |held| proper::record(held.line()).into_owned())
}

fn tell_caller(conn: &Conn, term: &mut Term) -> Result<(), Failure> {
    let user = conn.user().map_or_else(String::new, |user| format!("{} ", word(user)));
    let Conn { uid, gid, pid, .. } = conn;
    let groups = match conn.groups() {
        None => "unknown".to_owned(),
        Some(groups) => {
            let groups: Vec<String> = groups.map(|group| group.to_string()).collect();
            if groups.is_empty() { "none".to_owned() } else { groups.join(",") }
        }
    };
    term.line(format_args!("  who       {user}uid {uid}, gid {gid}, groups {groups}, pid {pid}"))?;
    for (label, value) in [
        ("program", conn.exe()),
        ("unit", conn.unit()),
        ("namespace", conn.ns()),
        ("login uid", conn.login()),
        ("label", conn.label()),
    ] {
        if let Some(value) = value {
            term.line(format_args!("  {label:<9} {}", word(value)))?;
        }
    }
    term.line(format_args!("  listener  {}, at {}", word(conn.on().unwrap_or_default()), conn.held.ts))?;
    match conn.shed() {
        Some(shed) => term.line(format_args!("  shed      {}", word(shed))),
        None => Ok(()),
    }
}

/// `who.ci at policy.toml:42, route containers-list, policy 9f2c1e77`
fn rule(decision: &Decision) -> String {
    let mut rule = decision.by().map_or_else(|| "none".to_owned(), word);
    for (before, value) in
        [(" at ", decision.place()), (", route ", decision.route()), (", policy ", decision.policy())]
    {
        if let Some(value) = value {
            rule.push_str(before);
            rule.push_str(&word(value));
        }
    }
    rule
}
