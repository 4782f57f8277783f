//! `peergate policy check`: all that is wrong with a policy, as the daemon would say it, and what is odd about it.

use std::path::PathBuf;

use clap::Args;

use super::lint::{findings, tell, to_json};
use super::source::{Whence, tell_mistakes};
use crate::cli::term::Term;
use crate::cli::{Answer, Failure, Format};
use crate::policy::Policy;
use crate::policy::lint::Lint;

pub(super) const HELP: &str = "\
Exit codes:
  0  the policy is valid; warnings do not change that
  1  it is not valid, or a lint of --deny was found
  2  the command line makes no sense
  3  a file can't be read

Examples:
  peergate policy check /etc/peergate/policy.toml
  peergate policy check policy.toml --names names.json --deny root-equivalent --deny open-socket
  peergate policy check policy.toml --deny all";

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The policy; `-` reads standard input
    file: PathBuf,
    /// Lints that are not accepted; `all` are all of them
    #[arg(long, value_name = "NAME", value_parser = denied)]
    deny: Vec<Denied>,
    #[command(flatten)]
    whence: Whence,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// One lint, or all.
#[derive(Debug, Clone, Copy)]
enum Denied {
    All,
    One(Lint),
}

fn denied(name: &str) -> Result<Denied, String> {
    if name == "all" { Ok(Denied::All) } else { name.parse().map(Denied::One) }
}

/// Where the daemon takes a policy only from a safe place, a draft may lie anywhere.
pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let reading = arguments.whence.open()?;
    let found = reading.draft(&arguments.file)?.and_then(|draft| draft.run_tests().map(|()| draft));
    let name = arguments.file.to_string_lossy();
    let draft = match found {
        Ok(draft) => draft,
        Err(mistakes) => {
            tell_mistakes(&arguments.file, &mistakes, arguments.format, term)?;
            return Ok(Answer::No);
        }
    };
    let warnings = findings(&draft, &reading);
    let denied: Vec<Lint> = arguments
        .deny
        .iter()
        .flat_map(|denied| match denied {
            Denied::All => Lint::ALL.to_vec(),
            Denied::One(lint) => vec![*lint],
        })
        .collect();
    match arguments.format {
        Format::Text => {
            let told = tell(&arguments.file, &warnings, &denied, term)?;
            term.line(format_args!("{name}: {}", summary(&draft.policy, told)))?;
        }
        Format::Json => {
            let hash = hex(&draft.policy.hash);
            term.line(serde_json::json!({
                "file": name, "valid": true, "hash": hash, "mistakes": [],
                "warnings": to_json(&warnings, &denied),
            }))?;
        }
    }
    let refused = warnings.iter().any(|finding| denied.contains(&finding.lint));
    Ok(if refused { Answer::No } else { Answer::Yes })
}

fn summary(policy: &Policy, warnings: usize) -> String {
    let hash = hex(&policy.hash);
    let warned = match warnings {
        0 => String::new(),
        1 => "; 1 warning".to_owned(),
        more => format!("; {more} warnings"),
    };
    let many = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    format!(
        "valid: {}, {}, {}, {}; hash {}{warned}",
        many(policy.listeners.len(), "listener"),
        many(policy.backends.len(), "backend"),
        many(policy.routes.len(), "route"),
        many(policy.forbids.len(), "forbid"),
        hash.get(..8).unwrap_or(&hash),
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
