//! What lies in an audit directory, and how far the scribe vouches for it. Nothing is verified here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::UNIX_EPOCH;

use super::cover::Scribes;
use crate::audit::chain::{self, Said};
use crate::audit::reader::Reader;
use crate::audit::retention::Stored;
use crate::audit::segment::{self, Role, SegmentName};
use crate::model::time::Timestamp;

/// What lies there.
#[derive(Debug, Default)]
pub struct Stock {
    /// One for each segment, by name.
    pub segments: Vec<Stored>,
    /// How many of them are compressed.
    pub packed: usize,
    /// When the latest seal was made.
    pub sealed: Option<Timestamp>,
    /// The first record of all, by the segments' names.
    pub begun: Option<Timestamp>,
}

impl Stock {
    /// Takes stock.
    ///
    /// # Errors
    ///
    /// The directory can't be listed, or a segment of the scribe's can't be read.
    pub fn of(directory: &Path) -> io::Result<Stock> {
        let mut stock = Stock::default();
        let mut segments: BTreeMap<String, Stored> = BTreeMap::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let file = entry.file_name();
            let Some((name, packed)) = file.to_str().and_then(segment::of_file) else { continue };
            let Some(parsed) = SegmentName::parse(name) else { continue };
            // One that was removed meanwhile is not there.
            let Ok(found) = entry.metadata() else { continue };
            let written = found.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            let ended =
                Timestamp::from_micros(written.map_or(0, |at| u64::try_from(at.as_micros()).unwrap_or(0)));
            let new = || Stored {
                name: name.to_owned(),
                made: parsed.made(),
                ended,
                bytes: 0,
                seals: parsed.role() == Role::Scribe,
                settled: false,
            };
            let stored = segments.entry(name.to_owned()).or_insert_with(new);
            stored.bytes += found.len();
            stored.ended = stored.ended.max(ended);
            stock.packed += usize::from(packed);
        }
        stock.begun = segments.values().map(|stored| stored.made).min();
        for name in stock.settled(directory)? {
            if let Some(stored) = segments.get_mut(&name) {
                stored.settled = true;
            }
        }
        stock.segments = segments.into_values().collect();
        Ok(stock)
    }

    /// Bytes on the disk.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|stored| stored.bytes).sum()
    }

    /// Segments whose close is sealed.
    fn settled(&mut self, directory: &Path) -> io::Result<BTreeSet<String>> {
        let mut reader = Reader::open(directory)?.sieved(Rc::new(Scribes));
        let mut settled = BTreeSet::new();
        // Closes by where they stand in a scribe's segment, no seal over them yet.
        let mut noted: BTreeMap<Rc<str>, Vec<(u64, String)>> = BTreeMap::new();
        while let Some(line) = reader.next_line()? {
            match chain::read(&line.bytes).map(|read| (read.said, read.ts)) {
                Some((Said::Close(close), _)) => {
                    noted.entry(line.segment).or_default().push((line.at, close.segment.to_owned()));
                }
                Some((Said::Seal(seal, _), ts)) => {
                    self.sealed = self.sealed.max(ts.parse().ok());
                    if let Some(closes) = noted.get_mut(&line.segment) {
                        let sealed = closes.extract_if(.., |(at, _)| (seal.from..seal.to).contains(at));
                        settled.extend(sealed.map(|(_, name)| name));
                    }
                }
                _ => {}
            }
        }
        Ok(settled)
    }
}
