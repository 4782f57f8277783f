//! `peergate audit status`: how the record is doing, from the directory and, where it runs, from the daemon.

use clap::Args;
use nix::sys::statvfs::statvfs;

use super::Where;
use super::print::{Form, How, cell};
use crate::audit::query::stock::Stock;
use crate::cli::control;
use crate::cli::term::Term;
use crate::cli::{Answer, Failure};
use crate::model::time::Timestamp;
use crate::wire::message::{ControlReply, ControlRequest, Status};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    daemon: control::Socket,
}

/// A day, in microseconds.
const DAY: u64 = 86_400_000_000;

/// Yes: it is written. No: the daemon says that it can't record.
pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let directory = arguments.place.directory();
    let unreadable = || format!("can't read {}", directory.display());
    let stock = Stock::of(&directory).map_err(Failure::at(unreadable()))?;
    let system = statvfs(&directory).map_err(|errno| Failure::at(unreadable())(errno.into()))?;
    let free = system.blocks_available() * system.fragment_size();
    let daemon = match control::ask(&arguments.daemon.path(), &ControlRequest::Status) {
        Ok(ControlReply::Status(status)) => Some(status),
        // Not every record has a daemon: it may be a copy.
        _ => None,
    };
    let facts = facts(&stock, free, daemon.as_deref(), Timestamp::now());
    match arguments.how.format {
        Form::Json => {
            let object: serde_json::Map<_, _> =
                facts.into_iter().map(|fact| (fact.name.to_owned(), fact.value)).collect();
            term.line(serde_json::Value::Object(object))?;
        }
        Form::Csv => {
            term.row("what,value")?;
            for fact in facts {
                term.row(format_args!("{},{}", fact.name, cell(&fact.value.to_string())))?;
            }
        }
        Form::Text | Form::Sentence => {
            term.line(format_args!("record of {}", directory.display()))?;
            for fact in facts {
                term.line(format_args!("  {}", fact.said))?;
            }
        }
    }
    Ok(if daemon.is_some_and(|status| !status.recordable) { Answer::No } else { Answer::Yes })
}

/// One thing to know.
struct Fact {
    name: &'static str,
    value: serde_json::Value,
    said: String,
}

fn facts(stock: &Stock, free: u64, daemon: Option<&Status>, now: Timestamp) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut tell = |name, value: serde_json::Value, said: String| facts.push(Fact { name, value, said });
    let (count, bytes) = (stock.segments.len(), stock.bytes());
    let settled = stock.segments.iter().filter(|stored| stored.settled).count();
    tell("segments", count.into(), format!("{count} segments, {settled} of them closed and sealed"));
    tell("settled", settled.into(), format!("{} compressed", stock.packed));
    tell("bytes", bytes.into(), format!("{bytes} bytes on the disk, {free} free there"));
    // What is there grew in the time since the first of it was made.
    let age = stock.begun.map(|begun| now.micros().saturating_sub(begun.micros()).max(1));
    let per_day = age.map(|age| u128::from(bytes) * u128::from(DAY) / u128::from(age));
    if let Some(per_day) = per_day.and_then(|per_day| u64::try_from(per_day).ok()) {
        tell("bytes_per_day", per_day.into(), format!("grows by {per_day} bytes a day, as it has so far"));
        if let Some(days) = free.checked_div(per_day) {
            tell("days_until_full", days.into(), format!("the disk is full in {days} days at that rate"));
        }
    }
    match stock.sealed {
        Some(sealed) => {
            let seconds = now.micros().saturating_sub(sealed.micros()) / 1_000_000;
            tell("seal_age_s", seconds.into(), format!("latest seal {seconds} s ago, at {sealed}"));
        }
        None => tell("seal_age_s", serde_json::Value::Null, "no seal is there".to_owned()),
    }
    match daemon {
        Some(status) => {
            let said =
                if status.recordable { "is written" } else { "is NOT written: every request is refused" };
            tell("recordable", status.recordable.into(), said.to_owned());
            let unsynced = status.scribe.unsynced;
            tell("unsynced", unsynced.into(), format!("{unsynced} bytes not synced yet"));
        }
        None => tell("recordable", serde_json::Value::Null, "no daemon answers here".to_owned()),
    }
    facts
}
