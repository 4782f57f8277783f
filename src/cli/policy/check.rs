//! `peergate policy check`: all that is wrong with a policy, as the daemon would say it.

use std::path::PathBuf;

use clap::Args;

use super::source::{Whence, tell_mistakes};
use crate::cli::term::Term;
use crate::cli::{Answer, Failure, Format};
use crate::policy::Policy;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The policy; `-` reads standard input
    file: PathBuf,
    #[command(flatten)]
    whence: Whence,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Where the daemon takes a policy only from a safe place, a draft may lie anywhere.
pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let reading = arguments.whence.open()?;
    let found = reading.draft(&arguments.file)?.and_then(|draft| draft.run_tests().map(|()| draft));
    let name = arguments.file.to_string_lossy();
    match (found, arguments.format) {
        (Err(mistakes), format) => {
            tell_mistakes(&arguments.file, &mistakes, format, term)?;
            return Ok(Answer::No);
        }
        (Ok(draft), Format::Text) => term.line(format_args!("{name}: {}", summary(&draft.policy)))?,
        (Ok(draft), Format::Json) => {
            let hash = hex(&draft.policy.hash);
            term.line(serde_json::json!({ "file": name, "valid": true, "hash": hash, "mistakes": [] }))?;
        }
    }
    Ok(Answer::Yes)
}

fn summary(policy: &Policy) -> String {
    let hash = hex(&policy.hash);
    format!(
        "valid: {} listeners, {} backends, {} routes, {} forbids; hash {}",
        policy.listeners.len(),
        policy.backends.len(),
        policy.routes.len(),
        policy.forbids.len(),
        hash.get(..8).unwrap_or(&hash),
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
