//! `peergate audit`: a review of the record.
#![doc = include_str!("../manual/review.md")]

mod bundle;
mod hash;
mod print;
mod prune;
mod report;
mod search;
mod show;
mod status;
mod tail;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::term::Term;
use super::{Answer, Failure};
use crate::audit::reader::Reader;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Prints the latest records, and with -f those that come
    Tail(tail::Arguments),
    /// Prints the accesses in which a text occurs, or that are like the options say; exit code 1 where there is none
    Search(search::Arguments),
    /// Prints all that is on record of one request (7k3qzd-41-1) or connection (7k3qzd-41)
    Show(show::Arguments),
    /// Prints who asked for what, what was denied, what was never seen before, what was slow; exit code 1 where
    /// nothing was asked
    Report(report::Arguments),
    /// Prints how the record is doing: how much there is, how fast it grows, how old the latest seal is; exit code 1
    /// where the daemon can't record
    Status(status::Arguments),
    /// Packs the record with all that is needed to check it elsewhere, and no secret, into an archive
    Bundle(bundle::Arguments),
    /// Prints which segments the daemon would remove; exit code 1 where it would none
    Prune(prune::Arguments),
    /// Prints the hash that stands in the record for a secret value
    Hash(hash::Arguments),
}

pub(super) fn run(command: Command, term: &mut Term) -> Result<Answer, Failure> {
    match command {
        Command::Tail(arguments) => tail::run(&arguments, term),
        Command::Search(arguments) => search::run(&arguments, term),
        Command::Show(arguments) => show::run(&arguments, term),
        Command::Report(arguments) => report::run(&arguments, term),
        Command::Status(arguments) => status::run(&arguments, term),
        Command::Bundle(arguments) => bundle::run(&arguments, term),
        Command::Prune(arguments) => prune::run(&arguments, term),
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

/// Says which segments end inside a line: their writers died over it, or are about to finish it.
fn tell_torn(reader: &Reader, term: &mut Term) {
    for torn in reader.torn() {
        term.complain(format!("{} ends inside a line: {} bytes are not shown", torn.segment, torn.bytes));
    }
}
