//! `peergate policy diff`: what a change of a policy grants and takes.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value as Json, json};

use super::source::Whence;
use crate::cli::term::{Colour, Term};
use crate::cli::{Answer, Failure, Format};
use crate::policy::grants::{Change, Diff, Edit, Weight, diff};

pub(super) const HELP: &str = "\
Exit codes:
  0  the answer was given, whether or not something changes
  1  with --deny-gain: somebody may more, or that can't be ruled out; with --exit-code: something changes
  2  the command line makes no sense
  3  a file can't be read, or is no valid policy

Examples:
  peergate policy diff /etc/peergate/policy.toml new.toml
  git show HEAD:policy.toml | peergate policy diff - policy.toml --deny-gain";

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The policy as it was; `-` reads standard input
    old: PathBuf,
    /// The policy as it is to be
    new: PathBuf,
    /// Exit code 1 where somebody may more than before, or where that can't be ruled out
    #[arg(long)]
    deny_gain: bool,
    /// Exit code 1 where anything changes
    #[arg(long)]
    exit_code: bool,
    #[command(flatten)]
    whence: Whence,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let reading = arguments.whence.open()?;
    let old = reading.valid(&arguments.old, term)?;
    let new = reading.valid(&arguments.new, term)?;
    let found = diff(&old.policy, &new.policy, &reading.known());
    match arguments.format {
        Format::Text => tell(&found, term)?,
        Format::Json => term.line(to_json(&found))?,
    }
    let denied = (arguments.deny_gain && found.gives()) || (arguments.exit_code && !found.is_empty());
    Ok(if denied { Answer::No } else { Answer::Yes })
}

/// For people: who gains what, who loses what, what else is other.
pub(in crate::cli) fn tell(diff: &Diff, term: &mut Term) -> Result<(), Failure> {
    if diff.is_empty() {
        return term.line("nothing changes: who may do what, and every setting, is as it was");
    }
    for (title, sign, colour, changes) in
        [("gains", '+', Colour::Yellow, &diff.gains), ("loses", '-', Colour::Red, &diff.losses)]
    {
        let mut before: Option<(&[String], &str)> = None;
        // What is alike but for the pattern is one line.
        let alike = |a: &Change, b: &Change| {
            a.such_as.is_none()
                && b.such_as.is_none()
                && (&a.who, &a.on, &a.route, &a.why) == (&b.who, &b.on, &b.route, &b.why)
        };
        for group in changes.chunk_by(alike) {
            let Some(Change { who: labels, on, route, at, such_as, why, .. }) = group.first() else {
                continue;
            };
            let now = (labels.as_slice(), on.as_str());
            if before != Some(now) {
                term.line(format_args!("{} {title}, on {on}:", who(labels)))?;
                before = Some(now);
            }
            let patterns: Vec<&str> = group.iter().map(|change| change.pattern.as_str()).collect();
            let part = match such_as {
                Some(such_as) => format!(", in part: such as {such_as}"),
                None => String::new(),
            };
            let other = if sign == '+' { "so far" } else { "now" };
            let patterns = patterns.join(", ");
            term.coloured(Some(colour), format_args!("  {sign} {patterns}{part}"))?;
            term.line(format_args!("      route {route} ({at}); {other}, {why}"))?;
        }
    }
    if !diff.edits.is_empty() {
        term.line("besides:")?;
    }
    for edit in &diff.edits {
        let colour = (edit.weight == Weight::Gain).then_some(Colour::Yellow);
        term.coloured(colour, format_args!("  ~ {}", sentence(edit)))?;
    }
    if !diff.whole {
        term.line("not all is told: these policies tell more requests apart than are looked at")?;
    }
    let said = if diff.gives() { "somebody may more than before" } else { "nobody may more than before" };
    term.line(format_args!(
        "{} gained, {} lost, {} other; {said}",
        diff.gains.len(),
        diff.losses.len(),
        diff.edits.len()
    ))
}

/// `group docker-ops, user ci and 3 more`
fn who(labels: &[String]) -> String {
    const SHOWN: usize = 6;
    let shown = labels.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match labels.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn sentence(edit: &Edit) -> String {
    let Edit { what, key, old, new, weight } = edit;
    let key = if key.is_empty() { String::new() } else { format!(", {key}") };
    let weight = match weight {
        Weight::Gain => " (may give more)",
        Weight::Loss => " (gives less)",
        Weight::Neither => "",
    };
    match (old, new) {
        (Some(old), Some(new)) => format!("{what}{key}: {old} -> {new}{weight}"),
        (None, Some(new)) => format!("{what}{key}: new, {new}{weight}"),
        (Some(old), None) => format!("{what}{key}: gone, was {old}{weight}"),
        (None, None) => format!("{what}{key}"),
    }
}

/// For programs.
pub(in crate::cli) fn to_json(diff: &Diff) -> Json {
    let change = |change: &Change| {
        json!({
            "who": change.who, "on": change.on, "route": change.route, "at": change.at, "pattern": change.pattern,
            "such_as": change.such_as, "why": change.why,
        })
    };
    let edit = |edit: &Edit| {
        let weight = match edit.weight {
            Weight::Gain => "gain",
            Weight::Loss => "loss",
            Weight::Neither => "neither",
        };
        json!({ "what": edit.what, "key": edit.key, "old": edit.old, "new": edit.new, "weight": weight })
    };
    json!({
        "gains": diff.gains.iter().map(change).collect::<Vec<_>>(),
        "losses": diff.losses.iter().map(change).collect::<Vec<_>>(),
        "edits": diff.edits.iter().map(edit).collect::<Vec<_>>(),
        "whole": diff.whole,
        "gives": diff.gives(),
    })
}
