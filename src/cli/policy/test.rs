//! `peergate policy test`: a policy's own tests, and what they touch.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::source::{Whence, places, tell_mistakes};
use crate::cli::term::{Colour, Term};
use crate::cli::{Answer, Failure, Format};
use crate::policy::{Touched, coverage};

pub(super) const HELP: &str = "\
Exit codes:
  0  every test holds, and as much is touched as is asked for
  1  a test fails, the policy is not valid, or less is touched than --min
  2  the command line makes no sense
  3  a file can't be read

Examples:
  peergate policy test policy.toml
  peergate policy test policy.toml --coverage
  peergate policy test policy.toml --names names.json --min 90";

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The policy; `-` reads standard input
    file: PathBuf,
    /// Says which routes, names in an `allow`, and forbids no test touches
    #[arg(long)]
    coverage: bool,
    /// Exit code 1 where tests touch less than so many percent of these
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(0..=100))]
    min: Option<u32>,
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
    let failed = draft.run_tests().err();
    let failing: std::collections::BTreeSet<usize> =
        failed.iter().flat_map(|failed| failed.iter()).map(|found| found.line).collect();
    let rules = coverage(&draft);
    let touched = rules.iter().filter(|rule| rule.touched).count();
    // Nothing to touch is all touched.
    let percent = (touched * 100).checked_div(rules.len()).unwrap_or(100);
    let too_few = arguments.min.is_some_and(|min| percent < min as usize);
    let wanted = arguments.coverage || arguments.min.is_some();
    let name = arguments.file.display();
    match arguments.format {
        Format::Text => {
            if let Some(failed) = &failed {
                term.coloured(Some(Colour::Red), failed.to_string().trim_end())?;
            }
            for Touched { rule, line, .. } in rules.iter().filter(|rule| wanted && !rule.touched) {
                term.line(format_args!("{name}:{line}: no test touches {rule}"))?;
            }
            if wanted {
                term.line(format_args!("{name}: {touched} of {} rules touched, {percent} %", rules.len()))?;
            }
            let tests = draft.tests();
            let held = tests.saturating_sub(failing.len());
            term.line(format_args!("{name}: {held} of {tests} tests hold"))?;
        }
        Format::Json => {
            let row =
                |rule: &Touched| json!({ "rule": rule.rule, "line": rule.line, "touched": rule.touched });
            term.line(json!({
                "file": name.to_string(),
                "tests": draft.tests(),
                "failed": failed.as_ref().map(places).unwrap_or_default(),
                "percent": percent,
                "rules": rules.iter().map(row).collect::<Vec<_>>(),
            }))?;
        }
    }
    Ok(if failed.is_some() || too_few { Answer::No } else { Answer::Yes })
}
