//! `peergate audit`: a review of the record. Follow it, look one access up, verify it, find a secret's hash.

mod hash;
mod init;
mod rekey;
mod show;
mod tail;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::term::Term;
use super::{Answer, Failure, Format, control};
use crate::audit::reader::Reader;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Prints the latest records, and with -f those that come
    Tail(tail::Arguments),
    /// Prints all that is on record of one request (7k3qzd-41-1) or connection (7k3qzd-41)
    Show(show::Arguments),
    /// Makes the key that seals the record, before the daemon's first start, and prints what to pin of it; where
    /// there is one, prints that again
    Init(init::Arguments),
    /// Has a running daemon begin another epoch, with another key
    Rekey(control::Arguments),
    /// Checks a record against the pinned public key: what is sealed, up to when, and everything that is wrong
    #[command(after_help = verify::EXIT_CODES)]
    Verify(verify::Arguments),
    /// Prints the hash that stands in the record for a secret value
    Hash(hash::Arguments),
}

pub(super) fn run(command: Command, term: &mut Term) -> Result<Answer, Failure> {
    match command {
        Command::Tail(arguments) => tail::run(&arguments, term),
        Command::Show(arguments) => show::run(&arguments, term),
        Command::Init(arguments) => init::run(&arguments, term),
        Command::Rekey(arguments) => rekey::run(&arguments, term),
        Command::Verify(arguments) => verify::run(&arguments, term),
        Command::Hash(arguments) => hash::run(&arguments, term),
    }
}

/// Which record.
#[derive(Debug, Args)]
struct Where {
    /// The audit directory [default: your own daemon's, $XDG_STATE_HOME/peergate/audit, where there is one; else
    /// /var/log/peergate]
    #[arg(long, value_name = "DIRECTORY")]
    dir: Option<PathBuf>,
}

impl Where {
    fn directory(&self) -> PathBuf {
        let own = || {
            let state =
                std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
            let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
            state.or_else(home).map(|state| state.join("peergate/audit")).filter(|path| path.is_dir())
        };
        self.dir.clone().or_else(own).unwrap_or_else(|| PathBuf::from("/var/log/peergate"))
    }
}

/// How it is printed.
#[derive(Debug, Args)]
struct How {
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Says which segments end inside a line: their writers died over it, or are about to finish it.
fn tell_torn(reader: &Reader, term: &mut Term) {
    for torn in reader.torn() {
        term.complain(format!("{} ends inside a line: {} bytes are not shown", torn.segment, torn.bytes));
    }
}
