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

/// For each byte `at` of a segment the first seal over it; `None` where there is none yet, or where its records are
/// gone.
///
/// # Errors
///
/// The directory or a segment of the scribe's can't be read.
pub fn of(directory: &Path, wanted: &[(&str, u64)]) -> io::Result<Vec<Option<Cover>>> {
    let mut reader = Reader::open(directory)?.sieved(Rc::new(Scribes));
    let mut found: Vec<Option<Cover>> = vec![None; wanted.len()];
    // Where in the scribe's segments a range over a wanted byte is noted, and no seal covers that yet.
    let mut noted: Vec<BTreeMap<Rc<str>, u64>> = vec![BTreeMap::new(); wanted.len()];
    while let Some(line) = reader.next_line()? {
        let Some(read) = chain::read(&line.bytes) else { continue };
        for (((segment, at), noted), found) in wanted.iter().zip(&mut noted).zip(&mut found) {
            match &read.said {
                Said::Range(range) if range.segment == *segment && (range.from..range.to).contains(at) => {
                    noted.entry(Rc::clone(&line.segment)).or_insert(line.at);
                }
                Said::Seal(seal, _)
                    if found.is_none()
                        && noted.get(&line.segment).is_some_and(|at| (seal.from..seal.to).contains(at)) =>
                {
                    let (epoch, i) = (seal.epoch, seal.i);
                    let (ts, segment) = (read.ts.to_owned(), Rc::clone(&line.segment));
                    *found = Some(Cover { epoch, i, ts, segment });
                }
                _ => {}
            }
        }
        if found.iter().all(Option::is_some) {
            break;
        }
    }
    Ok(found)
}
