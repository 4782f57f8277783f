//! `peergate policy unused`: what a policy grants and forbids that nobody needed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::past::{Judge, Log, Said, Span, Unjudged};
use super::source::Whence;
use crate::audit::query::{Access, Item};
use crate::cli::recall::Request;
use crate::cli::term::Term;
use crate::cli::{Answer, Failure, Format};
use crate::model::time::Timestamp;
use crate::policy::{Hindsight, Lacks};

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  everything was used
  1  something was not
  2  the command line makes no sense
  3  it could not be done: a file can't be read, the policy is not valid, no request on record is meant";

/// Below so many days, what is needed once a month looks as if nobody needed it.
const ENOUGH: u64 = 31;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The policy whose grants are looked at
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// For people, or for programs: one JSON value a line, the sum last
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    whence: Whence,
    #[command(flatten)]
    log: Log,
}

pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let mut usage = Usage::new(Judge::new(arguments.whence.open()?.valid(&arguments.policy, term)?.policy));
    let span = arguments.log.each(term, |item| usage.take(item))?;
    if usage.seen == 0 {
        return Err(Failure::Because(
            "no request on record is meant, so nothing can be said about grants".to_owned(),
        ));
    }
    let unused = usage.unused();
    match arguments.format {
        Format::Text => show(&usage, &unused, span, term)?,
        Format::Json => {
            for thing in &unused {
                term.line(thing.json())?;
            }
            term.line(usage.json(span))?;
        }
    }
    Ok(if unused.is_empty() { Answer::Yes } else { Answer::No })
}

/// What was used, while the record is read.
struct Usage {
    judge: Judge,
    seen: u64,
    /// By route and who.
    grants: BTreeMap<(String, String), u64>,
    forbids: BTreeMap<String, u64>,
    /// Routes that took a request which was denied, or of which that is not known.
    asked: BTreeMap<String, u64>,
    unjudged: Unjudged,
    /// When this very policy came into force, as far as the record goes back.
    since: Option<Timestamp>,
}

/// Something that nobody used.
#[derive(Debug, PartialEq, Eq)]
struct Unused {
    what: What,
    /// `policy.toml:42`.
    at: String,
    /// How often somebody asked for it all the same, who was denied.
    asked: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    /// A whole route.
    Route(String),
    /// One name in its `allow`.
    Grant {
        route: String,
        who: String,
    },
    Forbid(String),
}

impl Usage {
    fn new(judge: Judge) -> Usage {
        Usage {
            judge,
            seen: 0,
            grants: BTreeMap::new(),
            forbids: BTreeMap::new(),
            asked: BTreeMap::new(),
            unjudged: Unjudged::default(),
            since: None,
        }
    }

    fn take(&mut self, item: &Item) {
        match item {
            Item::Access(access) => self.take_access(access),
            Item::Event(held) if held.record().kind() == "policy" => {
                if held.record().text("new") == self.judge.policy().short_hash() {
                    self.since.get_or_insert(held.ts);
                }
            }
            other => self.unjudged.take(other),
        }
    }

    fn take_access(&mut self, access: &Access) {
        self.seen += 1;
        let request = match Request::of(access) {
            Ok(request) => request,
            Err(lost) => return self.unjudged.lost(lost),
        };
        match self.judge.of(access.id.connection, &request) {
            Said::NoListener => self.unjudged.lacks("the policy has no listener of that name", 1),
            Said::Rules(_, Hindsight::Allow { route, by, .. }) => {
                *self.grants.entry((route.to_string(), by.to_string())).or_default() += 1;
            }
            Said::Rules(_, Hindsight::Deny(denial)) => {
                if let Some(id) = denial.by.as_deref().and_then(|by| by.strip_prefix("forbid.")) {
                    *self.forbids.entry(id.to_owned()).or_default() += 1;
                }
                if let Some(route) = denial.route {
                    *self.asked.entry(route.to_string()).or_default() += 1;
                }
            }
            Said::Rules(_, Hindsight::Unclear(Lacks::Caller)) => {
                self.unjudged.lacks("a rule asks for something of the caller that is not on record", 1);
            }
            // Whoever got that far needed the route, whatever the rest is.
            Said::Rules(
                _,
                Hindsight::Unclear(Lacks::Request { route, by, .. } | Lacks::Value { route, by, .. }),
            ) if by.is_empty() => {
                *self.asked.entry(route.to_string()).or_default() += 1;
            }
            Said::Rules(
                _,
                Hindsight::Unclear(Lacks::Request { route, by, .. } | Lacks::Value { route, by, .. }),
            ) => {
                *self.grants.entry((route.to_string(), by.to_string())).or_default() += 1;
            }
        }
    }

    /// In the order of the file.
    fn unused(&self) -> Vec<Unused> {
        let policy = self.judge.policy();
        let place = |line: u32| policy.place(line);
        let mut unused = Vec::new();
        for route in policy.routes.iter().filter(|route| !route.shadow) {
            let asked = self.asked.get(&route.id).copied().unwrap_or(0);
            let missing: Vec<_> = route
                .allow
                .iter()
                .filter_map(|named| Some((named, &policy.whos.get(usize::from(named.who.0))?.name)))
                .filter(|(_, who)| !self.grants.contains_key(&(route.id.clone(), format!("who.{who}"))))
                .collect();
            if missing.len() == route.allow.len() {
                unused.push(Unused { what: What::Route(route.id.clone()), at: place(route.line), asked });
                continue;
            }
            for (named, who) in missing {
                let what = What::Grant { route: route.id.clone(), who: who.clone() };
                unused.push(Unused { what, at: place(named.line), asked: 0 });
            }
        }
        for forbid in policy.forbids.iter().filter(|forbid| !forbid.shadow) {
            if !self.forbids.contains_key(&forbid.id) {
                unused.push(Unused {
                    what: What::Forbid(forbid.id.clone()),
                    at: place(forbid.line),
                    asked: 0,
                });
            }
        }
        unused
    }

    fn json(&self, span: Span) -> serde_json::Value {
        let policy = self.judge.policy();
        json!({
            "summary": true,
            "policy": { "file": policy.file, "hash": policy.short_hash() },
            "in_force_since": self.since.map(|since| since.to_string()),
            "from": span.bounds().map(|(first, _)| first.to_string()),
            "to": span.bounds().map(|(_, last)| last.to_string()),
            "days": span.days(),
            "requests": self.seen,
            "used": self.grants.iter()
                .map(|((route, by), count)| json!({ "route": route, "by": by, "count": count }))
                .collect::<Vec<_>>(),
            "forbids": self.forbids,
            "unjudged": self.unjudged.json(),
        })
    }
}

impl Unused {
    fn line(&self) -> String {
        let Unused { what, at, asked } = self;
        match what {
            What::Route(id) if *asked > 0 => {
                format!("route {id} ({at}): allowed to nobody who asked, and {asked} were denied")
            }
            What::Route(id) => format!("route {id} ({at}): nobody asked"),
            What::Grant { route, who } => format!("who.{who} on route {route} ({at}): did not use it"),
            What::Forbid(id) => format!("forbid {id} ({at}): kept nobody from anything"),
        }
    }

    fn json(&self) -> serde_json::Value {
        let (kind, id, who) = match &self.what {
            What::Route(id) => ("route", id, None),
            What::Grant { route, who } => ("grant", route, Some(who)),
            What::Forbid(id) => ("forbid", id, None),
        };
        json!({ "unused": kind, "id": id, "who": who, "at": self.at, "asked": self.asked })
    }
}

fn show(usage: &Usage, unused: &[Unused], span: Span, term: &mut Term) -> Result<(), Failure> {
    for thing in unused {
        term.line(thing.line())?;
    }
    if unused.is_empty() {
        term.line("every grant and forbid was used")?;
    }
    term.line("")?;
    if let Some((first, last)) = span.bounds() {
        let (seen, days) = (usage.seen, span.days());
        term.line(format!("{seen} requests over {days} whole days, from {first} to {last}"))?;
    }
    match usage.since {
        Some(since) => term.line(format!("this policy came into force on {since}"))?,
        None => term.line("the record does not say that this very policy was ever in force")?,
    }
    if span.days() < ENOUGH {
        term.line(
            "what is needed once a month would not show: keep that in mind before you take something out",
        )?;
    }
    term.line("an unused forbid may be the reason why nobody tries; it costs nothing")?;
    usage.unjudged.lines().into_iter().try_for_each(|line| term.line(line))
}
