//! `peergate audit`: a review of the record.
#![doc = include_str!("../manual/review.md")]

mod anomalies;
mod bundle;
mod export;
mod hash;
mod init;
mod page;
mod print;
mod proper;
mod prune;
mod rekey;
mod report;
mod row;
mod schema;
mod search;
mod show;
mod status;
mod tail;
mod top;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::term::Term;
use super::{Answer, Failure, Format, control};
use crate::audit::reader::Reader;

pub(in crate::cli) use show::{Recorded, recorded};

/// The exit code where something could not be read.
const INCOMPLETE: u8 = 3;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Prints the latest records, and with -f those that come
    Tail(tail::Arguments),
    /// Prints the accesses in which a text occurs, or that are like the options say; exit code 1 where there is none
    Search(search::Arguments),
    /// Prints all that is on record of one request (7k3qzd-41-1) or connection (7k3qzd-41)
    Show(show::Arguments),
    /// Checks a record against the pinned public key: what is sealed, up to when, and everything that is wrong
    #[command(after_help = verify::EXIT_CODES)]
    Verify(verify::Arguments),
    /// Makes the key that seals the record, before the daemon's first start, and prints what to pin of it; where
    /// there is one, prints that again
    Init(init::Arguments),
    /// Has a running daemon begin another epoch, with another key
    Rekey(control::Arguments),
    /// Prints who asked for what, what was denied, what was never seen before, what was slow; exit code 1 where
    /// nothing was asked
    Report(Box<report::Arguments>),
    /// Prints how the record is doing: how much there is, how fast it grows, how old the latest seal is; exit code 1
    /// where the daemon can't record
    Status(status::Arguments),
    /// Packs the record with all that is needed to check it elsewhere, and no secret, into an archive
    Bundle(bundle::Arguments),
    /// Prints which segments the daemon would remove; exit code 1 where it would none
    Prune(prune::Arguments),
    /// Shows what happens now, on a terminal: how much is allowed and denied, by whom, on which routes
    Top(Box<top::Arguments>),
    /// Prints the hash that stands in the record for a secret value
    Hash(hash::Arguments),
    /// Writes accesses in the formats of others: OCSF, ECS, CEF, syslog, the journal, Parquet; exit code 1 where something
    /// on record could not be told
    Export(Box<export::Arguments>),
    /// Prints what a record is, as a JSON Schema (draft 2020-12)
    Schema(schema::Arguments),
    /// Ranks what is unusual: learns from the record what each caller does, and says what does not fit, and why
    #[command(after_help = anomalies::EXIT_CODES)]
    Anomalies(Box<anomalies::Arguments>),
}

pub(super) fn run(command: Command, term: &mut Term) -> Result<Answer, Failure> {
    let answer = answer(command, term)?;
    // Whatever it is, it is not of all that was asked.
    Ok(if term.left_out() > 0 { Answer::NoBecause(INCOMPLETE) } else { answer })
}

fn answer(command: Command, term: &mut Term) -> Result<Answer, Failure> {
    match command {
        Command::Tail(arguments) => tail::run(&arguments, term),
        Command::Search(arguments) => search::run(&arguments, term),
        Command::Show(arguments) => show::run(&arguments, term),
        Command::Verify(arguments) => verify::run(&arguments, term),
        Command::Init(arguments) => init::run(&arguments, term),
        Command::Rekey(arguments) => rekey::run(&arguments, term),
        Command::Report(arguments) => report::run(&arguments, term),
        Command::Top(arguments) => top::run(&arguments, term),
        Command::Status(arguments) => status::run(&arguments, term),
        Command::Bundle(arguments) => bundle::run(&arguments, term),
        Command::Prune(arguments) => prune::run(&arguments, term),
        Command::Hash(arguments) => hash::run(&arguments, term),
        Command::Export(arguments) => export::run(&arguments, term),
        Command::Schema(arguments) => schema::run(&arguments, term),
        Command::Anomalies(arguments) => anomalies::run(&arguments, term),
    }
}

/// Which record.
#[derive(Debug, Args)]
pub(in crate::cli) struct Where {
    /// The audit directory [default: your own daemon's, $XDG_STATE_HOME/peergate/audit, where there is one; else
    /// /var/log/peergate]
    #[arg(long, value_name = "DIRECTORY")]
    dir: Option<PathBuf>,
}

impl Where {
    fn directory(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(directory)
    }
}

/// The audit directory where nobody names one.
pub(super) fn directory() -> PathBuf {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let own = state.or_else(home).map(|state| state.join("peergate/audit")).filter(|path| path.is_dir());
    own.unwrap_or_else(|| PathBuf::from("/var/log/peergate"))
}

/// How an answer is printed that is no list of accesses.
#[derive(Debug, Args)]
struct How {
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Says which segments end inside a line: their writers died over it, or are about to finish it.
pub(super) fn tell_torn(reader: &Reader, term: &mut Term) {
    for torn in reader.torn() {
        term.complain(format!("{} ends inside a line: {} bytes are not shown", torn.segment, torn.bytes));
    }
}
