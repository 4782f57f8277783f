//! `peergate policy names`: users and groups for a machine that does not know them.

use std::path::PathBuf;

use clap::Args;

use super::source::{Book, own, read};
use crate::cli::term::Term;
use crate::cli::{Answer, Failure};
use crate::policy::snapshot::{Asked, Daemon, Snapshot};
use crate::policy::{self, Names, SystemNames};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Only what these policies name, and the members of groups that they name [default: all users and groups that
    /// this machine lists]
    files: Vec<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let own = own()?;
    let names = Asked::of(Book::System(SystemNames));
    for file in &arguments.files {
        // Which names a policy has can be seen even where something in it is wrong.
        let bytes = read(file)?;
        let name = file.to_string_lossy();
        if let Err(mistakes) = policy::load_bytes(&name, &bytes, &names, &own) {
            term.complain(mistakes.to_string().trim_end());
        }
    }
    let (users, groups) = if arguments.files.is_empty() {
        (names.users().into_iter().map(|(_, name)| name).collect(), names.group_names())
    } else {
        (names.asked_users(), names.asked_groups())
    };
    let daemon = Daemon { uid: own.uid, gid: own.gid };
    let snapshot = Snapshot::take(&names, daemon, users, groups)
        .map_err(|error| Failure::Because(format!("can't look all names up: {error}")))?;
    term.line(snapshot.to_json())?;
    Ok(Answer::Yes)
}
