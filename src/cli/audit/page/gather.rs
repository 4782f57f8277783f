//! From the record to what the page tells of it.

use super::markup::Grouped;
use super::tally::Tally;
use super::trust::Trust;
use crate::audit::query::{Doubt, Filter, Item, Join};
use crate::cli::audit::row::Row;
use crate::cli::term::Term;

/// What was found, counted, and what there is to say of the record by itself.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) tally: Tally,
    notes: Notes,
}

/// What a reader notices without verifying anything.
#[derive(Debug, Default)]
struct Notes {
    disbelieved: u64,
    garbage: u64,
    unreadable: u64,
    torn: u64,
    contradictory: u64,
    callers_missing: u64,
}

/// Reads all of it; `rows` are kept for the table.
pub(super) fn gather(mut join: Join, filter: &Filter, rows: usize, term: &mut Term) -> Gathered {
    let mut tally = Tally::new(rows);
    let mut notes = Notes::default();
    let mut read: u64 = 0;
    loop {
        match join.next_item() {
            Ok(Some(item)) => {
                read += 1;
                if read.is_multiple_of(1 << 16) {
                    term.progress(format_args!("{} accesses read", Grouped(read)));
                }
                // What nobody may write is told, whatever was asked for.
                notes.take(&item);
                if filter.covers(&item)
                    && let Some(row) = Row::of(&item)
                {
                    tally.add(row);
                }
            }
            Ok(None) => break,
            Err(error) => {
                notes.unreadable += 1;
                term.leave_out(format!("can't read a segment: {error}"));
            }
        }
    }
    term.progress("");
    notes.torn = join.reader().torn().count() as u64;
    Gathered { tally, notes }
}

impl Gathered {
    /// What the record itself shows, one sentence each, and whether any of it can't have been written by us.
    pub(super) fn noticed(&self) -> (Trust, Vec<String>) {
        let Notes { disbelieved, garbage, unreadable, torn, contradictory, callers_missing } = self.notes;
        let told = [
            (
                disbelieved,
                "records where their writer has no say (a gate was taken over, or someone edited)",
                true,
            ),
            (garbage, "lines that are no records of ours", true),
            (contradictory, "accesses that contradict what the warden recorded of them", true),
            (unreadable, "segments that could not be read, so that what they hold is missing here", true),
            (callers_missing, "accesses without the warden's record of their caller", false),
            (
                torn,
                "segments that end inside a line (the writer died over it, or is about to finish it)",
                false,
            ),
        ];
        let found = told.into_iter().filter(|(count, ..)| *count > 0);
        let trust = if found.clone().any(|(.., bad)| bad) { Trust::Bad } else { Trust::Unknown };
        let sentences =
            found.map(|(count, told, _)| format!("There are {told}: {}.", Grouped(count))).collect();
        (trust, sentences)
    }
}

impl Notes {
    fn take(&mut self, item: &Item) {
        match item {
            Item::Disbelieved(_) => self.disbelieved += 1,
            Item::Garbage(_) => self.garbage += 1,
            Item::Access(access) => {
                let doubts = access.doubts();
                self.callers_missing += u64::from(doubts.contains(&Doubt::CallerMissing));
                self.contradictory += u64::from(doubts.iter().any(|doubt| *doubt != Doubt::CallerMissing));
            }
            Item::Begun(_) | Item::Shed(_) | Item::Repeat(_) | Item::Event(_) => {}
        }
    }
}
