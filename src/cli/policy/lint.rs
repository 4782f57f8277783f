//! `peergate policy lint`, and what `check` says of it.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value as Json, json};

use super::source::{Reading, Whence, tell_mistakes};
use crate::cli::term::{Colour, Term};
use crate::cli::{Answer, Failure, Format};
use crate::policy::Draft;
use crate::policy::lint::{Finding, Lint, lint};

pub(super) const HELP: &str = "\
What every lint means: the manual page workshop. One is silenced in its place by a comment in the table that it is
about, or right above it: `# lint: allow NAME - reason`.

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
        Format::Text => tell(&arguments.file, &findings, &[], term)?,
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

/// For people: each in its place, those that are not accepted in red.
pub(super) fn tell(
    file: &Path,
    findings: &[Finding],
    denied: &[Lint],
    term: &mut Term,
) -> Result<(), Failure> {
    for Finding { lint, shown } in findings {
        let colour = if denied.contains(lint) { Colour::Red } else { Colour::Yellow };
        let text = shown.shown(&file.to_string_lossy());
        let mut lines = text.lines();
        if let Some(first) = lines.next() {
            term.coloured(Some(colour), first)?;
        }
        lines.try_for_each(|line| term.line(line))?;
    }
    Ok(())
}

/// For programs.
pub(super) fn to_json(findings: &[Finding], denied: &[Lint]) -> Vec<Json> {
    let row = |Finding { lint, shown }: &Finding| {
        let level = if denied.contains(lint) { "deny" } else { "warn" };
        json!({
            "lint": lint.name(), "level": level, "line": shown.line, "column": shown.column,
            "message": shown.message, "help": shown.help,
        })
    };
    findings.iter().map(row).collect()
}
