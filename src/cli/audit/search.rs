//! `peergate audit search`.

pub(super) mod checkpoint;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use clap::Args;

use super::print::{How, Printer};
use super::{Where, tell_torn};
use crate::audit::query::search::{self, Question};
use crate::audit::query::{Filter, Item, Join};
use crate::audit::reader::Reader;
use crate::cli::term::Term;
use crate::cli::{Answer, Failure};
use checkpoint::{Checkpoint, Removed};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    how: How,
    /// Occurs in what is on record of the access, as it is (capitals count, `*` is a `*`); of several, each
    #[arg(value_name = "TEXT")]
    text: Vec<String>,
    /// Tells each access once over many runs, for cron: notes in FILE up to where it was told. A run that fails or is
    /// killed does not count. What is still under way is told when it has ended
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    #[command(flatten)]
    filter: Filter,
}

pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let question = Question { texts: arguments.text.clone(), filter: arguments.filter.clone() };
    if let Some(file) = &arguments.checkpoint {
        return since(file, arguments, &question, term);
    }
    let mut join = open(&arguments.place, &question, term)?;
    let mut printer = Printer::new(arguments.how.format);
    printer.head(term)?;
    let mut found = false;
    while let Some(item) = next(&mut join, term) {
        if question.covers(&item) {
            printer.item(&item, term)?;
            found = true;
        }
    }
    tell_torn(join.reader(), term);
    tell_missed(&join, term);
    Ok(if found { Answer::Yes } else { Answer::No })
}

/// What came since the last run.
fn since(
    file: &Path,
    arguments: &Arguments,
    question: &Question,
    term: &mut Term,
) -> Result<Answer, Failure> {
    let directory = arguments.place.directory();
    // The time that is asked for may be another in each run; the rest is the question.
    let asked = Question {
        filter: Filter { since: None, until: None, ..question.filter.clone() },
        texts: question.texts.clone(),
    };
    let mut checkpoint = Checkpoint::open(file, &format!("{asked:?}"))?;
    let reader = Reader::open(&directory)
        .map_err(Failure::at(format!("can't read {}", directory.display())))?
        .sieved(Rc::new(checkpoint.sieve()));
    let mut join = Join::following(reader);
    for line in checkpoint.take_held() {
        join.resume(line);
    }
    let mut printer = Printer::new(arguments.how.format);
    printer.head(term)?;
    let (mut found, mut removed) = (false, Removed::default());
    loop {
        // A segment that can't be read would count as read: the run fails, and the next one tries again.
        let next = join.next_item().map_err(Failure::at("can't read a segment"))?;
        let Some(item) = next else { break };
        removed.take(&item);
        // Of what was read before, connections alone come again.
        let old = matches!(&item, Item::Shed(conn) if checkpoint.has(&conn.held.segment, conn.held.at));
        if !old && !matches!(item, Item::Begun(_)) && question.covers(&item) {
            printer.item(&item, term)?;
            found = true;
        }
    }
    tell_missed(&join, term);
    term.flush()?;
    let read: BTreeMap<Rc<str>, u64> = join.reader().positions().collect();
    checkpoint.keep(&read, &join.under_way())?;
    removed.tell(&checkpoint, &read, term);
    Ok(if found { Answer::Yes } else { Answer::No })
}

/// Opens the stream of all that is meant, and says on a terminal how far the search is.
pub(super) fn open(place: &Where, question: &Question, term: &mut Term) -> Result<Join, Failure> {
    let directory = place.directory();
    let mut troubles = Vec::new();
    let progress = |done: search::Progress| {
        let megabytes = done.bytes / 1_000_000;
        term.progress(format_args!("searched {megabytes} MB, {} of {} segments", done.segments, done.of));
    };
    let join = search::open(&directory, question, |why| troubles.push(why), progress)
        .map_err(Failure::at(format!("can't read {}", directory.display())))?;
    term.progress("");
    for trouble in troubles {
        term.leave_out(trouble);
    }
    Ok(join)
}

/// The next item; what can't be read is told, and left out.
pub(super) fn next(join: &mut Join, term: &mut Term) -> Option<Item> {
    loop {
        match join.next_item() {
            Ok(item) => return item,
            Err(error) => term.leave_out(format!("can't read a segment: {error}")),
        }
    }
}

/// Says where callers are missing for want of memory.
pub(super) fn tell_missed(join: &Join, term: &mut Term) {
    if join.missed() > 0 {
        let missed = join.missed();
        term.complain(format!(
            "{missed} accesses lack their caller: there are too many connections to remember"
        ));
    }
}
