//! `peergate policy schema`: what editors need to complete and explain keys.

use clap::Args;

use crate::cli::term::Term;
use crate::cli::{Answer, Failure};
use crate::policy::schema;

pub(super) const HELP: &str = "\
Exit codes:
  0  it was printed
  2  the command line makes no sense

Example:
  peergate policy schema > /etc/peergate/policy.schema.json
and as the first line of the policy, for Taplo, Even Better TOML and others that speak to it:
  #:schema ./policy.schema.json";

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {}

pub(super) fn run(_: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    term.line(format_args!("{:#}", schema()))?;
    Ok(Answer::Yes)
}
