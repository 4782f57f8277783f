//! `peergate policy replay`: what another policy would have said to what was asked before.

mod flip;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::past::{Judge, Log, Said, Span, Unjudged};
use super::source::Whence;
use crate::audit::query::{Access, Item};
use crate::cli::recall::Request;
use crate::cli::term::Term;
use crate::cli::{Answer, Failure, Format};
use crate::policy::{Hindsight, Lacks};
use flip::{Flip, Key};

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  every request that can be judged would be answered as it was
  1  some would not, or (with --strict) can't be judged: each is counted, with what the record lacks
  2  the command line makes no sense
  3  it could not be done: a file can't be read, the policy is not valid, no request on record is meant";

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The policy that is asked
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Tells of these alone
    #[arg(long, value_enum)]
    only: Option<Direction>,
    /// Tells of these, and does not count them for the exit code
    #[arg(long, value_enum)]
    accept: Option<Direction>,
    /// Exit code 1 also where something can't be judged
    #[arg(long)]
    strict: bool,
    /// For people, or for programs: one JSON value a line, the sum last
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    whence: Whence,
    #[command(flatten)]
    log: Log,
}

/// Which way an answer turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Direction {
    /// What was denied would be allowed
    Gained,
    /// What was allowed would be denied
    Lost,
}

pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let mut replay = Replay::new(Judge::new(arguments.whence.open()?.valid(&arguments.policy, term)?.policy));
    let span = arguments.log.each(term, |item| replay.take(item))?;
    if replay.seen == 0 {
        return Err(Failure::Because("no request on record is meant, so nothing was replayed".to_owned()));
    }
    let shown = |flip: &&Flip| arguments.only.is_none_or(|only| flip.direction() == only);
    let flips: Vec<&Flip> = replay.sorted().into_iter().filter(shown).collect();
    match arguments.format {
        Format::Text => show(&replay, &flips, span, term)?,
        Format::Json => {
            for flip in &flips {
                term.line(flip.json())?;
            }
            term.line(replay.json(span))?;
        }
    }
    let counts = flips.iter().any(|flip| arguments.accept != Some(flip.direction()));
    let unclear = arguments.strict && replay.unjudged.lacking() > 0;
    Ok(if counts || unclear || term.left_out() > 0 { Answer::No } else { Answer::Yes })
}

/// A replay, while it reads.
struct Replay {
    judge: Judge,
    /// All requests that are meant.
    seen: u64,
    same: u64,
    flips: BTreeMap<Key, Flip>,
    unjudged: Unjudged,
}

impl Replay {
    fn new(judge: Judge) -> Replay {
        Replay { judge, seen: 0, same: 0, flips: BTreeMap::new(), unjudged: Unjudged::default() }
    }

    fn take(&mut self, item: &Item) {
        match item {
            Item::Access(access) => self.take_access(access),
            other => self.unjudged.take(other),
        }
    }

    fn take_access(&mut self, access: &Access) {
        self.seen += 1;
        let request = match Request::of(access) {
            Ok(request) => request,
            Err(lost) => return self.unjudged.lost(lost),
        };
        let said = self.judge.of(access.id.connection, &request);
        let allowed = match &said {
            Said::NoListener | Said::Rules(_, Hindsight::Deny(_)) => false,
            Said::Rules(_, Hindsight::Allow { .. }) => true,
            Said::Rules(_, Hindsight::Unclear(lacks)) => {
                return self.unjudged.lacks(unclear(lacks), 1);
            }
        };
        if allowed == request.allowed {
            self.same += 1;
            return;
        }
        let key = Key::of(access, &request, &said);
        let judge = &self.judge;
        let flip =
            self.flips.entry(key).or_insert_with_key(|key| Flip::new(key.clone(), &request, &said, judge));
        flip.add(access, &request);
    }

    /// Those first of which there are most.
    fn sorted(&self) -> Vec<&Flip> {
        let mut flips: Vec<&Flip> = self.flips.values().collect();
        flips.sort_by_key(|flip| (flip.direction(), std::cmp::Reverse(flip.count())));
        flips
    }

    fn count(&self, direction: Direction) -> u64 {
        self.flips.values().filter(|flip| flip.direction() == direction).map(Flip::count).sum()
    }

    fn json(&self, span: Span) -> serde_json::Value {
        serde_json::json!({
            "summary": true,
            "policy": { "file": self.judge.policy().file, "hash": self.judge.policy().short_hash() },
            "from": span.bounds().map(|(first, _)| first.to_string()),
            "to": span.bounds().map(|(_, last)| last.to_string()),
            "requests": self.seen,
            "same": self.same,
            "gained": self.count(Direction::Gained),
            "lost": self.count(Direction::Lost),
            "unjudged": self.unjudged.json(),
        })
    }
}

/// What can't be told from the record, in words.
pub(super) fn unclear(lacks: &Lacks) -> String {
    match lacks {
        Lacks::Caller => "a rule asks for something of the caller that is not on record".to_owned(),
        Lacks::Request { route, what, .. } => format!("{what} is not on record, and route {route} reads it"),
        Lacks::Value { route, name, .. } => {
            format!("the value of {name} is kept as a hash, and route {route} judges it")
        }
    }
}

fn show(replay: &Replay, flips: &[&Flip], span: Span, term: &mut Term) -> Result<(), Failure> {
    for flip in flips {
        for line in flip.lines() {
            term.line(line)?;
        }
        term.line("")?;
    }
    let policy = replay.judge.policy();
    if let Some((first, last)) = span.bounds() {
        term.line(format!("{} requests from {first} to {last}", replay.seen))?;
    }
    term.line(format!("by {} ({}):", policy.file, policy.short_hash()))?;
    term.line(format!("  {:>8}  would be answered as they were", replay.same))?;
    term.line(format!("  {:>8}  were denied and would be allowed", replay.count(Direction::Gained)))?;
    term.line(format!("  {:>8}  were allowed and would be denied", replay.count(Direction::Lost)))?;
    replay.unjudged.lines().into_iter().try_for_each(|line| term.line(line))
}
