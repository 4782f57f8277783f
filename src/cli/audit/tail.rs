//! `peergate audit tail`.

use std::collections::VecDeque;
use std::time::Duration;

use clap::Args;

use super::{How, Where, tell_torn};
use crate::audit::plain::Readable;
use crate::audit::reader::{Line, Reader};
use crate::cli::term::Term;
use crate::cli::{Answer, Failure, Format};

/// The record is looked at this often for what is new.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    how: How,
    /// Goes on with what comes, until interrupted
    #[arg(short, long)]
    follow: bool,
    /// How many of the latest records
    #[arg(short = 'n', long, value_name = "RECORDS", default_value_t = 20, conflicts_with = "all")]
    lines: usize,
    /// All records, from the beginning
    #[arg(long)]
    all: bool,
}

pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let directory = arguments.place.directory();
    let unreadable = || Failure::at(format!("can't read {}", directory.display()));
    let mut reader = Reader::open(&directory).map_err(unreadable())?;
    let most = if arguments.all { usize::MAX } else { arguments.lines };
    let mut latest = VecDeque::new();
    loop {
        match reader.next_line() {
            Ok(Some(line)) if arguments.all => print(&line, arguments.how.format, term)?,
            Ok(Some(line)) => {
                latest.push_back(line);
                if latest.len() > most {
                    latest.pop_front();
                }
            }
            Ok(None) => break,
            // The rest of the record is still worth reading.
            Err(error) => term.complain(format!("can't read a segment: {error}")),
        }
    }
    for line in latest {
        print(&line, arguments.how.format, term)?;
    }
    if !arguments.follow {
        tell_torn(&reader, term);
        return Ok(Answer::Yes);
    }
    loop {
        term.pause(LOOK)?;
        reader.rescan().map_err(unreadable())?;
        while let Some(line) = reader.next_line().map_err(unreadable())? {
            print(&line, arguments.how.format, term)?;
        }
    }
}

fn print(line: &Line, format: Format, term: &mut Term) -> Result<(), Failure> {
    match (format, line.record()) {
        (Format::Text, _) => term.line(Readable(&line.bytes)),
        (Format::Json, Some(record)) => term.line(record.line()),
        // It would be no JSON.
        (Format::Json, None) => {
            term.complain(format!("a line of {} is no record: {}", line.segment, Readable(&line.bytes)));
            Ok(())
        }
    }
}
