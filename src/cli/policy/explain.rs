//! `peergate policy explain`: one request of one caller, step by step.

mod read;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value as Json, json};

use super::caller::{Described, listener};
use super::request::Request;
use super::source::Whence;
use crate::audit::query::filter::Id;
use crate::audit::query::when::When;
use crate::cli::audit::{Recorded, Where, recorded};
use crate::cli::term::{Colour, Term};
use crate::cli::{Answer, Failure, Format};
use crate::model::caller::{Attr, Caller};
use crate::model::ids::ListenerId;
use crate::model::refusal::Refusal;
use crate::model::target::{Asked, Target};
use crate::model::time::Timestamp;
use crate::policy::{
    BackendKind, Decider, Draft, Explained, Hindsight, Key, Lacks, Miss, Past, Policy, Route, RouteStep,
    Steps, WhoStep, explain_part, steps,
};
use read::{Body, Read, Sent};

pub(super) const HELP: &str = "\
Exit codes:
  0  the policy allows it
  1  the policy denies it, or the record has no such request
  2  the command line makes no sense
  3  a file can't be read, or is no valid policy; there is no such user, group or listener
  4  the route judges head or body, and they were not given; or with --record it hangs on what is not on record, such as a
     value of the query that is kept as a hash

Examples:
  peergate policy explain policy.toml --user ci \"POST /v1.47/containers/create\"
  peergate policy explain policy.toml --user ci --body create.json \"POST /containers/create\"
  peergate policy explain policy.toml --group docker-ops --namespace other \"GET /info\"
  peergate policy explain new.toml --record qe7njz-1-1";

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The policy; `-` reads standard input. With --record it may be left out, and is the one that decided
    #[arg(required_unless_present = "record")]
    file: Option<PathBuf>,
    /// Method and target, such as "POST /containers/create"
    #[arg(required_unless_present = "record", conflicts_with = "record")]
    request: Option<String>,
    /// Takes caller, listener and request from the record of this request
    #[arg(long, value_name = "ID")]
    record: Option<Id>,
    #[command(flatten)]
    place: Where,
    /// The listener [default: the only one]
    #[arg(long, value_name = "LISTENER")]
    on: Option<String>,
    #[command(flatten)]
    caller: Described,
    /// When it is asked, for rules that have their time: 2026-11-23T13:37:29Z, or such as 7d for that long ago
    /// [default: now; with --record then]
    #[arg(long, value_name = "TIME")]
    at: Option<When>,
    /// The protocol that the request wants to upgrade to
    #[arg(long, value_name = "PROTOCOL")]
    upgrade: Option<String>,
    /// A header of the request, such as `Origin: https://example.org`
    #[arg(long, value_name = "LINE")]
    header: Vec<String>,
    /// A file with the body of the request; `-` reads standard input. Where the route judges it, it is application/json
    /// unless --header says otherwise
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    #[command(flatten)]
    whence: Whence,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// One request of one caller.
struct Question {
    draft: Draft,
    on: ListenerId,
    caller: Caller,
    request: Request,
    upgrade: Option<String>,
    /// What the record says came of it.
    before: Option<String>,
    /// When it is asked.
    at: Timestamp,
}

/// Exit code where it hangs on what was not given.
const OPEN: u8 = 4;

/// Why a verdict is open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    /// What is judged was not given.
    NotGiven,
    /// The record does not hold it.
    NotOnRecord,
}

/// What came of it.
struct Outcome {
    /// Why it is refused before or after the rules were asked.
    refusal: Option<Refusal>,
    /// That the rest of it is still to be judged, and whether it can be.
    open: Option<Open>,
    /// That in words.
    why: String,
    steps: Option<Steps>,
}

pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let question = match arguments.record {
        Some(id) => match of_record(arguments, id, term)? {
            Some(question) => question,
            None => return Ok(Answer::No),
        },
        None => of_words(arguments, term)?,
    };
    let outcome = question.answer(arguments)?;
    match arguments.format {
        Format::Text => question.tell(&outcome, term)?,
        Format::Json => term.line(question.to_json(&outcome))?,
    }
    Ok(match (outcome.refusal, outcome.open) {
        (Some(_), _) => Answer::No,
        (None, Some(_)) => Answer::NoBecause(OPEN),
        (None, None) => Answer::Yes,
    })
}

fn of_words(arguments: &Arguments, term: &mut Term) -> Result<Question, Failure> {
    let (Some(file), Some(request)) = (&arguments.file, &arguments.request) else {
        return Err(Failure::Because("a policy and a request are needed".to_owned()));
    };
    let reading = arguments.whence.open()?;
    let draft = reading.valid(file, term)?;
    let on = listener(&draft.policy, arguments.on.as_deref())?;
    let caller = arguments.caller.caller(&reading)?;
    let request = Request::parse(request)?;
    let at = arguments.at.map_or_else(Timestamp::now, |at| at.begin);
    Ok(Question { draft, on, caller, request, upgrade: upgrade(arguments), before: None, at })
}

/// What the headers and `--upgrade` say of it.
fn upgrade(arguments: &Arguments) -> Option<String> {
    let header = arguments.header.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("upgrade").then(|| value.trim().to_owned())
    });
    arguments.upgrade.clone().or(header)
}

fn of_record(arguments: &Arguments, id: Id, term: &mut Term) -> Result<Option<Question>, Failure> {
    let Some(found) = recorded(&arguments.place, id, term)? else { return Ok(None) };
    let Recorded { caller, on, method, target, upgrade, verdict, at, file, policy } = found;
    let file = arguments.file.clone().or(file).ok_or_else(|| {
        Failure::Because("the record names no file of the policy that decided; name one".to_owned())
    })?;
    let reading = arguments.whence.open()?;
    let draft = reading.valid(&file, term)?;
    let now = draft.policy.short_hash();
    if now != policy {
        term.complain(format_args!(
            "{} is another policy ({now}) than the one that decided ({policy})",
            file.display()
        ));
    }
    let on = listener(&draft.policy, arguments.on.as_deref().or(Some(&on)))?;
    let caller = if arguments.caller.is_empty() { caller } else { arguments.caller.caller(&reading)? };
    let request = Request::parse(&format!("{method} {target}"))?;
    let upgrade = self::upgrade(arguments).or(upgrade);
    let at = arguments.at.map_or(at, |at| at.begin);
    Ok(Some(Question { draft, on, caller, request, upgrade, before: Some(verdict), at }))
}

impl Question {
    fn policy(&self) -> &Policy {
        &self.draft.policy
    }

    fn answer(&self, arguments: &Arguments) -> Result<Outcome, Failure> {
        let refused = |refusal: Refusal, steps| Outcome {
            refusal: Some(refusal),
            open: None,
            why: refusal.text().to_owned(),
            steps,
        };
        let target = match (self.request.refused(self.policy()), &self.request.target) {
            (None, Ok(target)) => target,
            (Some(refusal), _) => return Ok(refused(refusal, None)),
            (None, Err(refusal)) => return Ok(refused(*refusal, None)),
        };
        let browser = |line: &String| {
            let name = line.split(':').next().unwrap_or_default().trim();
            ["origin", "referer"].iter().any(|known| name.eq_ignore_ascii_case(known))
        };
        let browsers = self.policy().listener(self.on).is_some_and(|listener| listener.browsers);
        if arguments.header.iter().any(browser) && !browsers {
            return Ok(refused(Refusal::Browser, None));
        }
        let asked = Asked { method: &self.request.method, target, upgrade: self.upgrade.as_deref() };
        let mut steps = steps(&self.draft.policy, self.on, &self.caller, &asked, self.at);
        if let Some(why) = self.before.as_ref().and_then(|_| self.lacking(target, arguments)) {
            // That a hash is not as the route wants it says nothing of the value.
            if steps.explained.refusal == Some(Refusal::QueryValue) {
                steps.explained = Explained { refusal: None, misses: Vec::new() };
            }
            let why = format!("can't be told from the record: {why}");
            return Ok(Outcome { refusal: None, open: Some(Open::NotOnRecord), why, steps: Some(steps) });
        }
        if let Some(refusal) = steps.explained.refusal {
            return Ok(refused(refusal, Some(steps)));
        }
        let taken = self.taken(&steps);
        let most = taken.and_then(|route| route.body_max).unwrap_or(self.policy().limits.body_bytes);
        let is_command = |route: &Route| {
            let backend = self.policy().backend(route.to).map(|backend| &backend.kind);
            matches!(backend, Some(BackendKind::Command(_)))
        };
        let judged = taken.is_some_and(|route| route.reads.json.is_some() || is_command(route));
        let body = arguments.body.as_ref().map(|file| Body::of(file, most, judged)).transpose()?;
        if let Some(length) = body.as_ref().map(|body| body.length).filter(|length| *length > most) {
            let why = format!("the body has {length} bytes, and at most {most} are taken");
            let outcome = refused(Refusal::BodyTooLarge, Some(steps));
            return Ok(Outcome { why, ..outcome });
        }
        // A record has neither header lines nor a body.
        let recorded = self.before.is_some();
        let whole = !recorded || !arguments.header.is_empty();
        let sent = Sent { lines: Sent::lines(&arguments.header)?, body, whole, recorded };
        Ok(match sent.judge(&self.draft.policy, (self.on, &self.caller), &asked, self.at) {
            Read::Taken(shadow) => {
                steps.shadow = steps.shadow.or(shadow);
                Outcome { refusal: None, open: None, why: String::new(), steps: Some(steps) }
            }
            Read::Open(what) => {
                let why = format!("{what} still to be judged: give it by --header and --body");
                Outcome { refusal: None, open: Some(Open::NotGiven), why, steps: Some(steps) }
            }
            Read::Secret(name) => {
                let why = format!("can't be told from the record: the value of {name} is kept as a hash");
                Outcome { refusal: None, open: Some(Open::NotOnRecord), why, steps: Some(steps) }
            }
            Read::Refused(denial) => {
                let part = denial.part.as_deref().unwrap_or_default();
                let route = denial.route.as_deref().unwrap_or_default();
                let told = explain_part(self.policy(), route, denial.refusal, part);
                let misses = told.map(|told| Miss::Part { told }).into_iter().collect();
                (steps.by, steps.shadow) = (None, denial.shadow.as_deref().map(str::to_owned));
                steps.explained = Explained { refusal: Some(denial.refusal), misses };
                let outcome = refused(denial.refusal, Some(steps));
                let place = if part.is_empty() { String::new() } else { format!(" ({part})") };
                Outcome { why: format!("{}{place}", outcome.why), ..outcome }
            }
        })
    }

    /// What the record lacks that no option gives, where the verdict hangs on it.
    fn lacking(&self, target: &Target, arguments: &Arguments) -> Option<String> {
        let decider = Decider::new(Arc::clone(&self.draft.policy));
        let caller = decider.recall(self.on, &self.caller);
        let past = Past { method: &self.request.method, target, upgrade: false, at: self.at, body: None };
        match decider.look_back(self.on, &caller, &past) {
            Hindsight::Unclear(Lacks::Value { name, .. }) => {
                Some(format!("the value of {name} is kept as a hash"))
            }
            Hindsight::Unclear(Lacks::Caller) if arguments.caller.is_empty() => {
                Some("a rule asks for something of the caller that is not on record".to_owned())
            }
            _ => None,
        }
    }

    fn taken(&self, steps: &Steps) -> Option<&Route> {
        let id = &steps.routes.iter().find(|route| !route.shadow)?.id;
        self.policy().routes.iter().find(|route| route.id == *id)
    }

    fn on(&self) -> &str {
        self.policy().listener(self.on).map_or("", |listener| &listener.name)
    }

    fn tell(&self, outcome: &Outcome, term: &mut Term) -> Result<(), Failure> {
        let Request { method, raw, target } = &self.request;
        term.line(format_args!("caller     {}", shown(&self.caller)))?;
        term.line(format_args!("asked      {method} {raw} on {}", self.on()))?;
        if let Ok(target) = target {
            let same = if target.as_str() == *raw { " (as it was sent)" } else { "" };
            term.line(format_args!("canonical  {method} {target}{same}"))?;
        }
        if let Some(before) = &self.before {
            term.line(format_args!("on record  {before}"))?;
        }
        if let Some(steps) = &outcome.steps {
            tell_steps(steps, term)?;
        }
        match (outcome.refusal, &outcome.steps) {
            (None, Some(Steps { by: Some((by, at)), .. })) if outcome.open.is_some() => {
                let why = &outcome.why;
                let join = if outcome.open == Some(Open::NotGiven) { "and" } else { "but it" };
                let line = format!("verdict    open: {by} ({at}) may, {join} {why}");
                term.coloured(Some(Colour::Yellow), line)?;
            }
            (None, Some(Steps { by: Some((by, at)), .. })) => {
                term.line(format_args!("verdict    allow, by {by} ({at})"))?;
            }
            (None, _) if outcome.open.is_some() => {
                term.line(format_args!("verdict    open: {}", outcome.why))?
            }
            (None, _) => term.line("verdict    allow")?,
            (Some(refusal), steps) => {
                let before = if steps.is_none() { "; no rule was asked" } else { "" };
                let why = &outcome.why;
                let line = format_args!("verdict    deny ({refusal}): {why}{before}").to_string();
                term.coloured(Some(Colour::Red), line)?;
            }
        }
        let Some(steps) = &outcome.steps else { return Ok(()) };
        for miss in &steps.explained.misses {
            term.line(format_args!("nearest    {miss}"))?;
        }
        if outcome.refusal == Some(Refusal::NoRoute) && steps.explained.misses.is_empty() {
            term.line("nearest    no route is near it")?;
        }
        match &steps.shadow {
            Some(shadow) => {
                term.line(format_args!("shadow     rules in shadow mode would have said: {shadow}"))
            }
            None => Ok(()),
        }
    }

    fn to_json(&self, outcome: &Outcome) -> Json {
        let target = self.request.target.as_ref().ok().map(|target| target.as_str());
        let steps = outcome.steps.as_ref();
        let routes = steps.map_or([].as_slice(), |steps| &steps.routes).iter().map(
            |step| json!({ "id": step.id, "at": step.at, "pattern": step.pattern, "shadow": step.shadow }),
        );
        let forbids = steps.map_or([].as_slice(), |steps| &steps.forbids).iter().map(|step| {
            json!({
                "id": step.id, "at": step.at, "pattern": step.pattern,
                "binds": step.binds && step.hours.as_ref().is_none_or(|(_, now)| *now),
                "when": step.hours.as_ref().map(|(hours, _)| hours), "shadow": step.shadow,
            })
        });
        let whos = steps.map_or([].as_slice(), |steps| &steps.whos).iter().map(|step| {
            let keys = step.keys.iter().map(|Key { wants, has }| json!({ "wants": wants, "has": has }));
            json!({ "who": step.who, "at": step.at, "holds": step.holds, "keys": keys.collect::<Vec<_>>() })
        });
        let nearest = steps.into_iter().flat_map(|steps| &steps.explained.misses).map(ToString::to_string);
        json!({
            "caller": shown(&self.caller),
            "on": self.on(),
            "method": self.request.method.as_str(),
            "target": target,
            "verdict": match (outcome.refusal, outcome.open) {
                (Some(_), _) => "deny",
                (None, Some(_)) => "open",
                (None, None) => "allow",
            },
            "refusal": outcome.refusal.map(Refusal::code),
            "why": outcome.why,
            "by": steps.and_then(|steps| steps.by.as_ref().map(|by| &by.0)),
            "at": steps.and_then(|steps| steps.by.as_ref().map(|by| &by.1)),
            "routes": routes.collect::<Vec<_>>(),
            "forbids": forbids.collect::<Vec<_>>(),
            "whos": whos.collect::<Vec<_>>(),
            "nearest": nearest.collect::<Vec<_>>(),
            "shadow": steps.and_then(|steps| steps.shadow.as_ref()),
            "recorded": self.before,
        })
    }
}

fn tell_steps(steps: &Steps, term: &mut Term) -> Result<(), Failure> {
    let mut taken = false;
    for RouteStep { id, at, pattern, shadow } in &steps.routes {
        let note = match (shadow, taken) {
            (true, _) => "in shadow mode, decides nothing",
            (false, false) => "taken",
            (false, true) => "less specific",
        };
        taken |= !shadow;
        term.line(format_args!("route      {id} ({at}): {pattern} - {note}"))?;
    }
    if !taken {
        term.line("route      none matches")?;
    }
    for step in &steps.forbids {
        let note = match (step.shadow, step.binds, &step.hours) {
            (true, ..) => "in shadow mode, decides nothing".to_owned(),
            (false, false, _) => "does not bind this caller".to_owned(),
            (false, true, None) => "binds this caller".to_owned(),
            (false, true, Some((hours, true))) => format!("binds this caller at this time ({hours})"),
            (false, true, Some((hours, false))) => format!("does not hold at this time, but only {hours}"),
        };
        term.line(format_args!("forbid     {} ({}): {} - {note}", step.id, step.at, step.pattern))?;
    }
    if taken && steps.forbids.is_empty() {
        term.line("forbid     none matches")?;
    }
    for WhoStep { who, at, keys, holds } in &steps.whos {
        let note = if *holds {
            "is this caller".to_owned()
        } else {
            let wants: Vec<&str> = keys.iter().map(|key| key.wants.as_str()).collect();
            format!("is not: it asks for {}", wants.join(" and for "))
        };
        term.line(format_args!("allow      {who} ({at}) - {note}"))?;
    }
    Ok(())
}

/// `ci (uid 1002, gid 1002, groups 998), in the namespace host`
fn shown(caller: &Caller) -> String {
    let credentials = &caller.credentials;
    let unknown = || "unknown".to_owned();
    let uid = credentials.uid.known().map_or_else(unknown, ToString::to_string);
    let gid = credentials.gid.known().map_or_else(unknown, ToString::to_string);
    let groups = match &credentials.groups {
        Attr::Known(groups) if groups.is_empty() => "none".to_owned(),
        Attr::Known(groups) => groups.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        Attr::Unknown => unknown(),
    };
    let namespace = caller.namespace.known().map_or("unknown", |namespace| namespace.name());
    let name = caller.user.as_deref().unwrap_or("somebody");
    format!("{name} (uid {uid}, gid {gid}, groups {groups}), namespace {namespace}")
}
