//! `peergate audit init`.

use std::path::PathBuf;

use clap::Args;
use nix::unistd::Group;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

use super::{How, Where};
use crate::audit::vault::{self, Genesis, Store};
use crate::cli::term::Term;
use crate::cli::{Answer, Failure, Format};
use crate::sys::trusted::{self, Directory};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    how: How,
    /// The group that may read the record, as `[audit] readers` says it
    #[arg(long, value_name = "GROUP")]
    readers: Option<String>,
    /// Begins another chain of keys where the store is lost or was copied: what was sealed before stays as it is, and
    /// who verifies has to pin the new key too. The daemon must not run
    #[arg(long)]
    again: bool,
}

/// Nobody else may list it; the readers' group may, where there is one.
const MODE: u32 = 0o750;

pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let path = arguments.place.directory();
    let readers = arguments.readers.as_deref().map(group).transpose()?;
    let because = |what: &dyn std::fmt::Display| Failure::Because(format!("{}: {what}", path.display()));
    let directory =
        trusted::ensure_directory(&path, MODE, None, readers).map_err(|judged| because(&judged))?;
    let there = vault::look(&directory).map_err(|error| because(&error));
    let (made, genesis) = match there {
        there if arguments.again => {
            // One that can't even be read is one more reason.
            drop(there);
            (true, again(&directory, readers).map_err(|error| because(&error))?)
        }
        Ok(Store::There(genesis)) => (false, genesis),
        Ok(Store::Absent) => (true, vault::make(&directory, readers, None).map_err(|error| because(&error))?),
        Ok(Store::Lost) => {
            term.complain(format!(
                "{} has a record and no `seal.key`: put that back, or begin another chain of keys with --again",
                path.display()
            ));
            return Ok(Answer::No);
        }
        Err(why) => return Err(why),
    };
    tell(&path, made, &genesis, arguments.how.format, term)?;
    Ok(Answer::Yes)
}

fn group(name: &str) -> Result<u32, Failure> {
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) => Err(Failure::Because(format!("there is no group `{name}`"))),
        Err(errno) => Err(Failure::at(format!("can't look up the group `{name}`"))(errno.into())),
    }
}

fn again(directory: &Directory, readers: Option<u32>) -> std::io::Result<Genesis> {
    let known = vault::known(directory)?;
    vault::make(directory, readers, Some(known))
}

fn tell(
    path: &std::path::Path,
    made: bool,
    genesis: &Genesis,
    format: Format,
    term: &mut Term,
) -> Result<(), Failure> {
    let key = genesis.key.to_string();
    if format == Format::Json {
        let directory: PathBuf = path.to_owned();
        return term.line(serde_json::json!({
            "directory": directory.display().to_string(),
            "genesis": key,
            "made": genesis.made,
            "new": made,
        }));
    }
    term.line(&key)?;
    if let Ok(code) = QrCode::new(&key) {
        let picture =
            code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
        term.picture(&format!("{picture}\n"))?;
    }
    term.line(format!(
        "The public key that the record in {} begins with, {} {}.",
        path.display(),
        if made { "made now," } else { "made" },
        genesis.made
    ))?;
    term.line("Keep it where who can write here can't: `peergate audit verify` trusts nothing else.")
}
