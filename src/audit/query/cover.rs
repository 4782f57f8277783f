//! Which seal vouches for a line, as far as the scribe's own lines say. Nothing is verified here.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::rc::Rc;

use super::search::is_scribes;
use crate::audit::chain::{self, Said};
use crate::audit::reader::{Reader, Sieve};

/// A seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    /// Its epoch.
    pub epoch: u64,
    /// Its number within the epoch.
    pub i: u64,
    /// When it was made, as the record spells it.
    pub ts: String,
    /// The segment in which it stands.
    pub segment: Rc<str>,
}

/// The segments of the scribe's alone.
pub(super) struct Scribes;

impl Sieve for Scribes {
    fn opens(&self, segment: &str) -> bool {
        is_scribes(segment)
    }

    fn keeps(&self, _: &str, _: u64, _: &[u8]) -> bool {
        true
    }
}

/// The first seal over byte `at` of `segment`; `None` where there is none yet, or where its records are gone.
///
/// # Errors
///
/// The directory or a segment of the scribe's can't be read.
pub fn of(directory: &Path, segment: &str, at: u64) -> io::Result<Option<Cover>> {
    let mut reader = Reader::open(directory)?.sieved(Rc::new(Scribes));
    // Where in the scribe's segments a range over it is noted, and no seal covers that yet.
    let mut noted: BTreeMap<Rc<str>, u64> = BTreeMap::new();
    while let Some(line) = reader.next_line()? {
        match chain::read(&line.bytes).map(|read| (read.said, read.ts)) {
            Some((Said::Range(range), _))
                if range.segment == segment && (range.from..range.to).contains(&at) =>
            {
                noted.entry(line.segment).or_insert(line.at);
            }
            Some((Said::Seal(seal, _), ts))
                if noted.get(&line.segment).is_some_and(|at| (seal.from..seal.to).contains(at)) =>
            {
                let (epoch, i) = (seal.epoch, seal.i);
                return Ok(Some(Cover { epoch, i, ts: ts.to_owned(), segment: line.segment }));
            }
            _ => {}
        }
    }
    Ok(None)
}
