//! `peergate audit search`.

use clap::Args;

use super::print::{How, Printer};
use super::{Where, tell_torn};
use crate::audit::query::search::{self, Question};
use crate::audit::query::{Filter, Item, Join};
use crate::cli::term::Term;
use crate::cli::{Answer, Failure};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    how: How,
    /// Occurs in what is on record of the access, as it is (capitals count, `*` is a `*`); of several, each
    #[arg(value_name = "TEXT")]
    text: Vec<String>,
    #[command(flatten)]
    filter: Filter,
}

pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let question = Question { texts: arguments.text.clone(), filter: arguments.filter.clone() };
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
        term.complain(trouble);
    }
    Ok(join)
}

/// The next item; what can't be read is told, and left out.
pub(super) fn next(join: &mut Join, term: &mut Term) -> Option<Item> {
    loop {
        match join.next_item() {
            Ok(item) => return item,
            Err(error) => term.complain(format!("can't read a segment: {error}")),
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
