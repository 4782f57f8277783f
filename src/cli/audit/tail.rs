//! `peergate audit tail`.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use clap::Args;

use super::print::{Form, How, Printer};
use super::{Where, tell_torn};
use crate::audit::query::{Filter, Item, Join, Recorded};
use crate::audit::reader::Reader;
use crate::cli::term::Term;
use crate::cli::{Answer, Failure};

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
    /// How many of the latest records; of sentences and rows, accesses
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 20, conflicts_with = "all")]
    lines: usize,
    /// All, from the beginning
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filter: Filter,
}

/// What is told one by one.
enum Told {
    Record(Recorded),
    Item(Item),
}

pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let directory = arguments.place.directory();
    let unreadable = || Failure::at(format!("can't read {}", directory.display()));
    let reader = Reader::open(&directory).map_err(unreadable())?;
    let mut join = if arguments.follow { Join::following(reader) } else { Join::new(reader) };
    let mut printer = Printer::new(arguments.how.format);
    printer.head(term)?;
    let most = if arguments.all { usize::MAX } else { arguments.lines };
    let mut latest = VecDeque::new();
    while let Some(told) = arguments.next(&mut join, term) {
        if arguments.all {
            print(&told, &mut printer, term)?;
            continue;
        }
        latest.push_back(told);
        if latest.len() > most {
            latest.pop_front();
        }
    }
    for told in latest {
        print(&told, &mut printer, term)?;
    }
    if !arguments.follow {
        tell_torn(join.reader(), term);
        return Ok(Answer::Yes);
    }
    loop {
        term.pause(LOOK)?;
        join.rescan().map_err(unreadable())?;
        while let Some(told) = arguments.next(&mut join, term) {
            print(&told, &mut printer, term)?;
        }
    }
}

impl Arguments {
    /// The next that is asked for. As text and JSON, records as they were written; as sentences and rows, whole
    /// accesses when they have ended.
    fn next(&self, join: &mut Join, term: &mut Term) -> Option<Told> {
        loop {
            let next: io::Result<Option<Told>> = match self.how.format {
                Form::Text | Form::Json => join.next_record().map(|it| it.map(Told::Record)),
                Form::Sentence | Form::Csv => join.next_item().map(|it| it.map(Told::Item)),
            };
            match next {
                Ok(Some(told)) if self.wants(&told) => return Some(told),
                Ok(Some(_)) => {}
                Ok(None) => return None,
                // The rest of the record is still worth reading.
                Err(error) => term.leave_out(format!("can't read a segment: {error}")),
            }
        }
    }

    fn wants(&self, told: &Told) -> bool {
        match told {
            Told::Record(recorded) => self.filter.covers_record(recorded),
            Told::Item(Item::Begun(_)) => false,
            Told::Item(item) => self.filter.covers(item),
        }
    }
}

fn print(told: &Told, printer: &mut Printer, term: &mut Term) -> Result<(), Failure> {
    match told {
        Told::Record(recorded) => printer.record(recorded, term),
        Told::Item(item) => printer.item(item, term),
    }
}
