//! `peergate audit hash`.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use clap::Args;

use super::Where;
use crate::audit::secret::Secrets;
use crate::cli::term::Term;
use crate::cli::{Answer, Failure};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    place: Where,
    /// The key [default: hash.key in the audit directory]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The secret, as it was meant (not percent-encoded); `-` reads it from standard input, where neither `ps`
    /// nor your shell's history sees it
    value: String,
}

pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let path = arguments.key.clone().unwrap_or_else(|| arguments.place.directory().join("hash.key"));
    let unreadable = || Failure::at(format!("can't read the key {}", path.display()));
    let mut bytes = Vec::new();
    File::open(&path).map_err(unreadable())?.take(33).read_to_end(&mut bytes).map_err(unreadable())?;
    let key: [u8; 32] = bytes
        .try_into()
        .map_err(|_| Failure::Because(format!("{} is no key: a key is 32 bytes long", path.display())))?;
    let value = if arguments.value == "-" { from_stdin()? } else { arguments.value.clone().into_bytes() };
    term.line(Secrets::new(&key).hash(&value))?;
    Ok(Answer::Yes)
}

/// All of it but one line break at its end.
fn from_stdin() -> Result<Vec<u8>, Failure> {
    let mut value = Vec::new();
    std::io::stdin().read_to_end(&mut value).map_err(Failure::at("can't read standard input"))?;
    value.pop_if(|last| *last == b'\n');
    Ok(value)
}
