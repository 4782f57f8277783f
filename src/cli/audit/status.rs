//! `peergate audit status`: how the record is doing, from the directory and, where it runs, from the daemon.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use clap::Args;
use nix::sys::statvfs::statvfs;
use serde_json::Value;

use super::Where;
use super::print::{Form, How, cell};
use crate::audit::query::stock::{Stock, Written};
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

/// An hour, in microseconds.
const HOUR: u64 = 3_600_000_000;

/// A day, in microseconds.
const DAY: u64 = 86_400_000_000;

/// Yes: it is written. No: the daemon says that it can't record.
pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let directory = arguments.place.directory();
    let unreadable = || format!("can't read {}", directory.display());
    let now = Timestamp::now();
    let stock = Stock::of(&directory, now).map_err(Failure::at(unreadable()))?;
    let system = statvfs(&directory).map_err(|errno| Failure::at(unreadable())(errno.into()))?;
    let free = system.blocks_available() * system.fragment_size();
    let daemon = match control::ask(&arguments.daemon.path(), &ControlRequest::Status) {
        Ok(ControlReply::Status(status)) if keeps(&directory, &status) => Daemon::Keeps(status),
        Ok(_) => Daemon::Another,
        // Not every record has a daemon: it may be a copy. Or it is one that does not answer this user.
        Err(Failure::Because(why)) => Daemon::None { why },
        Err(left) => return Err(left),
    };
    let facts = facts(&stock, free, &daemon, now);
    match arguments.how.format {
        Form::Json => {
            let object: serde_json::Map<_, _> =
                facts.into_iter().map(|fact| (fact.name.to_owned(), fact.value)).collect();
            term.line(Value::Object(object))?;
        }
        Form::Csv => {
            term.row("what,value")?;
            for fact in facts {
                term.row(format_args!("{},{}", fact.name, cell(&fact.value.to_string())))?;
            }
        }
        Form::Text | Form::Sentence => {
            term.line(format_args!("record of {}", directory.display()))?;
            for fact in facts.into_iter().filter(|fact| !fact.said.is_empty()) {
                term.line(format_args!("  {}", fact.said))?;
            }
        }
    }
    Ok(match daemon {
        Daemon::Keeps(status) if !status.recordable => Answer::No,
        _ => Answer::Yes,
    })
}

/// Who answers at the control socket.
enum Daemon {
    /// The one that writes this record.
    Keeps(Box<Status>),
    /// One that writes another.
    Another,
    /// Nobody who can be asked.
    None { why: String },
}

impl Daemon {
    /// A word for programs.
    fn code(&self) -> &'static str {
        match self {
            Daemon::Keeps(_) => "writes-it",
            Daemon::Another => "writes-another",
            Daemon::None { .. } => "none",
        }
    }
}

/// Whether the daemon writes this record: it is the very directory. Nothing that lies in it could tell, since a copy has
/// all of that too, genesis and names.
fn keeps(directory: &Path, status: &Status) -> bool {
    let there = std::fs::metadata(directory).map(|there| (there.dev(), there.ino()));
    matches!((status.directory, there), (Some(theirs), Ok(there)) if theirs == there)
}

/// One thing to know.
struct Fact {
    name: &'static str,
    value: Value,
    said: String,
}

#[derive(Default)]
struct Facts(Vec<Fact>);

impl Facts {
    fn tell(&mut self, name: &'static str, value: impl Into<Value>, said: impl Into<String>) {
        self.0.push(Fact { name, value: value.into(), said: said.into() });
    }
}

fn facts(stock: &Stock, free: u64, daemon: &Daemon, now: Timestamp) -> Vec<Fact> {
    let mut facts = Facts::default();
    let (count, bytes) = (stock.segments.len(), stock.bytes());
    let settled = stock.segments.iter().filter(|stored| stored.settled).count();
    facts.tell("segments", count, format!("{count} segments, {settled} of them closed and sealed"));
    facts.tell("settled", settled, String::new());
    facts.tell("compressed", stock.packed, format!("{} compressed", stock.packed));
    facts.tell("bytes", bytes, format!("{bytes} bytes on the disk, {free} free there"));
    facts.tell("free", free, String::new());
    growth(stock, free, daemon, now, &mut facts);
    match stock.sealed {
        // Seals go on to be made meanwhile.
        Some(sealed) if sealed > Timestamp::now() => {
            let said = format!("the latest seal is of an instant to come, {sealed}: the clock was set back");
            facts.tell("seal_age_s", Value::Null, said);
        }
        Some(sealed) => {
            let seconds = now.micros().saturating_sub(sealed.micros()) / 1_000_000;
            facts.tell("seal_age_s", seconds, format!("latest seal {seconds} s ago, at {sealed}"));
        }
        None => facts.tell("seal_age_s", Value::Null, "no seal is there"),
    }
    let unsealed = match daemon {
        Daemon::Keeps(status) => status.scribe.lag.unsealed,
        _ => stock.unsealed,
    };
    facts.tell("unsealed", unsealed, format!("{unsealed} bytes of records not sealed yet"));
    facts.tell("daemon", daemon.code(), String::new());
    match daemon {
        Daemon::Keeps(status) => of_daemon(status, &mut facts),
        Daemon::Another => {
            facts.tell("recordable", Value::Null, "the daemon that answers here writes another record");
        }
        Daemon::None { why } => facts.tell("recordable", Value::Null, format!("no daemon answers: {why}")),
    }
    facts.0
}

/// How fast it grows, by what was sealed lately, and when the disk is full.
fn growth(stock: &Stock, free: u64, daemon: &Daemon, now: Timestamp, facts: &mut Facts) {
    let Some(begun) = stock.begun else { return };
    let age = now.micros().saturating_sub(begun.micros());
    let Written { hour, day } = stock.written;
    facts.tell(
        "bytes_last_hour",
        hour,
        format!("{hour} bytes of records in the last hour, {day} in the last day"),
    );
    facts.tell("bytes_last_day", day, String::new());
    if matches!(daemon, Daemon::Another) {
        // A copy does not grow, however fast that did of which it is one.
        facts.tell("bytes_per_day", Value::Null, String::new());
        facts.tell("days_until_full", Value::Null, String::new());
        return;
    }
    // Of a record that is younger than a day, what a whole day would bring; an hour is the least that tells anything.
    let per_day = u128::from(day) * u128::from(DAY) / u128::from(age.clamp(HOUR, DAY));
    // What is closed takes less than it holds, once it is compressed.
    let per_day = match stock.packing {
        (_, 0) => per_day,
        (taken, held) => per_day * u128::from(taken) / u128::from(held),
    };
    let per_day = u64::try_from(per_day).unwrap_or(u64::MAX);
    facts.tell(
        "bytes_per_day",
        per_day,
        format!("grows by {per_day} bytes a day on the disk, by the last day"),
    );
    match free.checked_div(per_day) {
        Some(days) => {
            let unit = if days == 1 { "day" } else { "days" };
            let said = format!("the disk is full in {days} {unit} at that rate, if nothing is removed");
            facts.tell("days_until_full", days, said);
        }
        None => facts.tell("days_until_full", Value::Null, "the disk is never full at that rate"),
    }
}

/// What only the running daemon knows.
fn of_daemon(status: &Status, facts: &mut Facts) {
    let said = if status.recordable { "is written" } else { "is NOT written: requests are refused" };
    facts.tell("recordable", status.recordable, said);
    let unsynced = status.scribe.unsynced;
    facts.tell("unsynced", unsynced, format!("{unsynced} bytes not synced yet"));
    let p99 = status.scribe.lag.sync_p99_us;
    let (whole, tenth) = (p99 / 1_000, p99 / 100 % 10);
    facts.tell("sync_p99_us", p99, format!("a sync takes {whole}.{tenth} ms (p99 of the latest 1,024)"));
    let said = if status.scribe.stuck { "the disk does not let it seal" } else { "" };
    facts.tell("stuck", status.scribe.stuck, said);
    let last = status.witness.iter().filter_map(|witness| witness.age_s).min();
    let said = match (last, status.witness.is_empty()) {
        (_, true) => "no witness keeps its heads".to_owned(),
        (Some(age), false) => format!("latest witness {age} s ago"),
        (None, false) => "no witness has taken a head yet".to_owned(),
    };
    facts.tell("witness_age_s", last, said);
    let lines = status.witness.iter().map(|it| format!("witness {}", control::witness_line(it)));
    let said = lines.collect::<Vec<_>>().join("\n  ");
    facts.tell("witness", serde_json::json!(status.witness), said);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seal_of_an_instant_to_come_tells_of_a_clock_that_was_set_back() {
        let now = Timestamp::now();
        let said = |micros: u64| {
            let stock = Stock { sealed: Some(Timestamp::from_micros(micros)), ..Stock::default() };
            let facts = facts(&stock, 0, &Daemon::Another, now);
            facts.into_iter().find(|fact| fact.name == "seal_age_s").map(|fact| fact.said).unwrap()
        };
        assert!(said(now.micros() + DAY).ends_with(": the clock was set back"));
        assert!(said(now.micros()).starts_with("latest seal 0 s ago"));
    }
}
