//! `peergate policy lint`, and what `check` says of it.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value as Json, json};

use super::source::{Reading, Whence, tell_mistakes};
use crate::cli::term::{Colour, Term};
use crate::cli::{Answer, Failure, Format};
use crate::policy::Draft;
use crate::policy::lint::{Finding, Lint, gathered, lint};

pub(super) const HELP: &str = "\
What every lint means: the manual page workshop. One is silenced in its place by a comment in the table that it is
about, or right above it: `# lint: allow NAME - reason`. All requests by which a route makes the same people root of the
host are one finding, with the worst of them; `--format json` has each.

Exit codes:
  0  nothing was found
  1  something was found, or the policy is not valid
  2  the command line makes no sense
  3  a file can't be read

Examples:
  peergate policy lint /etc/peergate/policy.toml
  peergate policy lint policy.toml --allow untested --allow shadow
  peergate policy lint policy.toml --names names.json --format json";

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The policy; `-` reads standard input
    file: PathBuf,
    /// Leaves these lints out
    #[arg(long, value_name = "NAME")]
    allow: Vec<Lint>,
    /// Looks for these lints alone
    #[arg(long, value_name = "NAME")]
    only: Vec<Lint>,
    #[command(flatten)]
    whence: Whence,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let reading = arguments.whence.open()?;
    let draft = match reading.draft(&arguments.file)? {
        Ok(draft) => draft,
        Err(mistakes) => {
            tell_mistakes(&arguments.file, &mistakes, arguments.format, term)?;
            return Ok(Answer::No);
        }
    };
    let mut findings = findings(&draft, &reading);
    findings.retain(|finding| {
        !arguments.allow.contains(&finding.lint)
            && (arguments.only.is_empty() || arguments.only.contains(&finding.lint))
    });
    match arguments.format {
        Format::Text => {
            tell(&arguments.file, &findings, &[], term)?;
        }
        Format::Json => {
            let file = arguments.file.to_string_lossy();
            term.line(json!({ "file": file, "findings": to_json(&findings, &[]) }))?;
        }
    }
    Ok(if findings.is_empty() { Answer::Yes } else { Answer::No })
}

/// All that is found in a draft.
pub(super) fn findings(draft: &Draft, reading: &Reading) -> Vec<Finding> {
    lint(draft, &reading.known(), reading.daemon())
}

/// The hash of a policy's file as it is now, eight hex digits, and all that is found in it.
///
/// # Errors
///
/// It can't be read here, or is not in order.
pub(in crate::cli) fn of_file(file: &Path) -> Result<(String, Vec<Finding>), Failure> {
    let reading = Whence::default().open()?;
    let draft = reading.draft(file)?.map_err(|mistakes| Failure::Because(mistakes.to_string()))?;
    Ok((draft.policy.short_hash(), findings(&draft, &reading)))
}

/// For people: each in its place, those that are not accepted in red; all by which one route makes somebody root are one.
/// How many were told.
pub(in crate::cli) fn tell(
    file: &Path,
    findings: &[Finding],
    denied: &[Lint],
    term: &mut Term,
) -> Result<usize, Failure> {
    let findings = gathered(findings);
    for Finding { lint, shown, .. } in &findings {
        let colour = if denied.contains(lint) { Colour::Red } else { Colour::Yellow };
        let text = shown.shown(&file.to_string_lossy());
        let mut lines = text.lines();
        if let Some(first) = lines.next() {
            term.coloured(Some(colour), first)?;
        }
        lines.try_for_each(|line| term.line(line))?;
    }
    Ok(findings.len())
}

/// For programs: every one.
pub(in crate::cli) fn to_json(findings: &[Finding], denied: &[Lint]) -> Vec<Json> {
    let row = |Finding { lint, shown, .. }: &Finding| {
        let level = if denied.contains(lint) { "deny" } else { "warn" };
        json!({
            "lint": lint.name(), "level": level, "file": shown.file, "line": shown.line, "column": shown.column,
            "message": shown.message, "help": shown.help,
        })
    };
    findings.iter().map(row).collect()
}
