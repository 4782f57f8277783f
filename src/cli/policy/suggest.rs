//! `peergate policy suggest`: the least policy that covers what was seen. It is printed, and never applied by itself.

mod carry;
mod gather;
mod people;
mod seen;
mod shape;
mod write;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::past::{Judge, Log, Said, Span};
use super::replay::unclear;
use super::source::{Reading, Whence};
use crate::cli::term::Term;
use crate::cli::{Answer, Failure, Format};
use crate::policy::{self, Hindsight, Lacks, Policy};
use carry::Written;
use gather::{Gathered, Wanted};
use shape::Many;
use write::Suggestion;

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  the policy that is printed allows every request that is meant
  1  some requests are not covered: they are told
  2  the command line makes no sense
  3  it could not be done: a file can't be read, no request on record is meant";

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The policy at hand: listeners, backends, settings, forbids, and what else its routes ask for, come from there
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Covers what was allowed (this is the default)
    #[arg(long)]
    used: bool,
    /// Covers what was denied by the rules: read it twice before it is allowed
    #[arg(long)]
    denied: bool,
    /// By what callers are named; a group only where all callers of a route were in it
    #[arg(long, value_enum, default_value_t)]
    by: By,
    /// From so many values on a capture stands for them, where all are of one type; four times as many where not
    #[arg(long, value_name = "VALUES", default_value_t = 8)]
    many: usize,
    /// For people (the policy itself), or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    whence: Whence,
    #[command(flatten)]
    log: Log,
}

/// How callers are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum By {
    /// Each by its user
    #[default]
    User,
    /// By groups
    Group,
}

pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let reading = arguments.whence.open()?;
    let current = arguments.policy.as_ref().map(|file| reading.valid(file, term)).transpose()?;
    let written = current.as_ref().map(|draft| Written::read(&draft.text)).unwrap_or_default();
    let wanted = Wanted { used: arguments.used || !arguments.denied, denied: arguments.denied };
    let mut gathered = Gathered::new(wanted, current.map(|draft| Judge::new(draft.policy)));
    let span = arguments.log.each(term, |item| gathered.take(item))?;
    if gathered.tries.is_empty() {
        gathered.unjudged.lines().into_iter().for_each(|line| term.complain(line));
        return Err(Failure::Because(
            "no request on record is meant, so there is nothing to cover".to_owned(),
        ));
    }
    let tried = suggest(&gathered, &written, arguments, &reading, span)?;
    for (why, count) in &tried.hashed {
        gathered.unjudged.lacks(why, *count);
    }
    for missed in &tried.missed {
        term.complain(format!("not covered: {missed}"));
    }
    gathered.unjudged.lines().into_iter().for_each(|line| term.complain(line));
    match arguments.format {
        Format::Text => term.line(tried.suggestion.text.trim_end())?,
        Format::Json => term.line(tried.json(&gathered))?,
    }
    let whole = tried.missed.is_empty() && gathered.unjudged.lacking() == 0 && term.left_out() == 0;
    Ok(if whole { Answer::Yes } else { Answer::No })
}

/// A suggestion, and what it was tried with and does not allow.
struct Tried {
    suggestion: Suggestion,
    missed: Vec<String>,
    /// Of which it can't be told whether it allows them, by why.
    hashed: BTreeMap<String, u64>,
}

/// With captures where values vary; without any, where those would get into each other's way.
fn suggest(
    gathered: &Gathered,
    written: &Written,
    arguments: &Arguments,
    reading: &Reading,
    span: Span,
) -> Result<Tried, Failure> {
    let mut why = String::new();
    let known = reading.known();
    for many in [Many::from(arguments.many), Many::from(usize::MAX)] {
        let suggestion = write::suggestion(gathered, written, (arguments.by, &known), many, span);
        match policy::load_text("suggested.toml", &suggestion.text, &reading.names, &reading.own) {
            Ok(policy) => {
                let (missed, hashed) = missed(gathered, policy);
                if missed.is_empty() || many.typed == usize::MAX {
                    return Ok(Tried { suggestion, missed, hashed });
                }
            }
            Err(mistakes) => why = mistakes.to_string(),
        }
    }
    Err(Failure::Because(format!("what was seen makes no valid policy:\n{why}")))
}

/// What the suggestion does not allow of what it is there for, and what can't be told, since a value is a hash.
fn missed(gathered: &Gathered, suggested: Policy) -> (Vec<String>, BTreeMap<String, u64>) {
    let mut judge = Judge::new(Arc::new(suggested));
    let (mut missed, mut hashed) = (Vec::new(), BTreeMap::new());
    for (connection, request) in &gathered.tries {
        let said = judge.of(*connection, request);
        if let Said::Rules(_, Hindsight::Unclear(lacks @ Lacks::Value { .. })) = &said {
            *hashed.entry(unclear(lacks)).or_default() += 1;
            continue;
        }
        let covered = matches!(
            said,
            Said::Rules(_, Hindsight::Allow { .. } | Hindsight::Unclear(Lacks::Request { .. }))
        );
        if !covered {
            let why = match &said {
                Said::Rules(_, Hindsight::Deny(denial)) => denial.refusal.code(),
                _ => "its caller can't be named",
            };
            missed.push(format!("{} {} ({why})", request.method.as_str(), request.target.as_str()));
        }
    }
    (missed, hashed)
}

impl Tried {
    fn json(&self, gathered: &Gathered) -> serde_json::Value {
        serde_json::json!({
            "policy": self.suggestion.text,
            "routes": self.suggestion.routes,
            "missed": self.missed,
            "unjudged": gathered.unjudged.json(),
        })
    }
}
