//! `peergate policy schema`: what editors need to complete and explain keys.

use clap::Args;

use crate::cli::term::Term;
use crate::cli::{Answer, Failure};
use crate::policy::{schema, schema_of_included};

pub(super) const HELP: &str = "\
Exit codes:
  0  it was printed
  2  the command line makes no sense

Example:
  peergate policy schema > /etc/peergate/policy.schema.json
and as the first line of the policy, for Taplo, Even Better TOML and others that speak to it:
  #:schema ./policy.schema.json
and for the files that it includes:
  peergate policy schema --included > /etc/peergate/included.schema.json
  #:schema ../included.schema.json";

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// For a file that a policy includes (`include`), which holds fewer tables, and needs none
    #[arg(long)]
    included: bool,
}

pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let schema = if arguments.included { schema_of_included() } else { schema() };
    term.line(format_args!("{schema:#}"))?;
    Ok(Answer::Yes)
}
