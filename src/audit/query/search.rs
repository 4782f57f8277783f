//! Finds few accesses in much: by raw bytes first, by parsed records where those occur.
//!
//! Two passes. The first looks in every segment for the rarest bytes that a wanted access must have in one of its
//! lines, and notes whose they are ([`Candidates`]). The second reads those accesses' lines alone, and joins them as
//! ever; the filter then says which are meant. So the first pass may note too much, but never too little: what it
//! looks for is spelt in one way only.

mod candidates;
mod extent;
mod marks;
mod needle;
mod scan;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::rc::Rc;

pub use candidates::Candidates;
pub use extent::Extent;

use super::access::{Access, Item};
use super::filter::Filter;
use super::join::Join;
use crate::audit::plain::{Record, decoded};
use crate::audit::reader::Reader;
use crate::audit::segment::Role;

/// What is searched for.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// Each of these occurs in a value of the access's records.
    pub texts: Vec<String>,
    /// And it is like this.
    pub filter: Filter,
}

impl Question {
    /// Whether this is meant.
    pub fn covers(&self, item: &Item) -> bool {
        self.filter.covers(item) && self.texts.iter().all(|text| mentions(item, text))
    }
}

/// How far it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Plain bytes that were looked through.
    pub bytes: u64,
    /// Segments that were.
    pub segments: usize,
    /// Of so many.
    pub of: usize,
}

/// Opens a stream in which all that is meant comes, and little else: ask [`Question::covers`] of each item.
///
/// # Errors
///
/// The directory can't be listed. A segment that can't be read is told to `trouble`, and left out.
pub fn open(
    directory: &Path,
    question: &Question,
    mut trouble: impl FnMut(String),
    progress: impl FnMut(Progress),
) -> io::Result<Join> {
    let reader = Reader::open(directory)?;
    let names: Vec<Rc<str>> = reader.segments().collect();
    let extents = Extent::of(directory, &names);
    let plan = candidates::Plan::new(question, &extents);
    let found = plan.find(directory, &names, &mut trouble, progress);
    let sieve: Rc<dyn crate::audit::reader::Sieve> = match found {
        Some(candidates) => Rc::new(candidates),
        // So many that each line is worth reading.
        None => Rc::new(extent::InTime::new(extents, question.filter.clone())),
    };
    Ok(Join::new(reader.sieved(sieve)))
}

/// Whether the scribe wrote this segment.
pub(super) fn is_scribes(segment: &str) -> bool {
    extent::role(segment) == Role::Scribe
}

/// Whether the text occurs in a value of one of its records.
fn mentions(item: &Item, text: &str) -> bool {
    let in_record =
        |record: Record<'_>| record.fields().any(|(_, value)| decoded(value.as_str()).contains(text));
    let in_access = |access: &Access| {
        access.conn.as_ref().is_some_and(|conn| in_record(conn.held.record()))
            || access.decision.as_ref().is_some_and(|decision| in_record(decision.held.record()))
            || access.grants.iter().any(|grant| in_record(grant.held.record()))
            || access.outcome.as_ref().is_some_and(|outcome| in_record(outcome.held.record()))
            || access.exits.iter().any(|exit| in_record(exit.held.record()))
    };
    match item {
        Item::Access(access) | Item::Begun(access) => in_access(access),
        Item::Shed(conn) => in_record(conn.held.record()),
        Item::Repeat(repeat) => in_record(repeat.held.record()),
        Item::Event(held) | Item::Disbelieved(held) => in_record(held.record()),
        Item::Garbage(line) => memchr::memmem::find(&line.bytes, text.as_bytes()).is_some(),
    }
}

/// Segments by name, each with something.
type BySegment<T> = BTreeMap<Rc<str>, T>;

#[cfg(test)]
mod tests;
