//! What lies in an audit directory, and how far the scribe vouches for it. Nothing is verified here.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
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
    /// Bytes of records that were sealed within the last hour before the look, and within the last day.
    pub written: Written,
    /// Bytes of records that no seal covers, but for the scribe's own lines.
    pub unsealed: u64,
    /// What closed and sealed segments take on the disk, and how many bytes of records are in them.
    pub packing: (u64, u64),
}

/// How much was written lately.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// In the last hour.
    pub hour: u64,
    /// In the last day.
    pub day: u64,
}

/// An hour, in microseconds.
const HOUR: u64 = 3_600_000_000;

/// What a line of the scribe's tells, and no seal covers yet.
struct Noted {
    at: u64,
    segment: String,
    /// Of a range, where it begins and ends; of a close, the segment's length.
    span: Option<(u64, u64)>,
    length: u64,
    ts: Option<Timestamp>,
}

impl Written {
    fn add(&mut self, bytes: u64, at: Option<Timestamp>, now: Timestamp) {
        let age = at.map_or(u64::MAX, |at| now.micros().saturating_sub(at.micros()));
        self.hour += if age <= HOUR { bytes } else { 0 };
        self.day += if age <= 24 * HOUR { bytes } else { 0 };
    }
}

impl Stock {
    /// Takes stock; `now` ends the hour and the day of [`Stock::written`].
    ///
    /// # Errors
    ///
    /// The directory can't be listed, or a segment of the scribe's can't be read.
    pub fn of(directory: &Path, now: Timestamp) -> io::Result<Stock> {
        let mut stock = Stock::default();
        let mut lengths: BTreeMap<String, u64> = BTreeMap::new();
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
            // As the daemon counts: what is reserved ahead is taken too.
            stored.bytes += found.blocks() * 512;
            if !packed {
                lengths.insert(name.to_owned(), found.len());
            }
            stored.ended = stored.ended.max(ended);
            stock.packed += usize::from(packed);
        }
        stock.begun = segments.values().map(|stored| stored.made).min();
        let Seals { settled, covered } = stock.seals(directory, now)?;
        for (name, length) in settled {
            if let Some(stored) = segments.get_mut(&name) {
                stored.settled = true;
                stock.packing.0 += stored.bytes;
                stock.packing.1 += length;
            }
        }
        let open = segments.values().filter(|stored| !stored.seals && !stored.settled);
        stock.unsealed = open
            .map(|stored| {
                let length = lengths.get(&stored.name).copied().unwrap_or(0);
                length.saturating_sub(covered.get(&stored.name).copied().unwrap_or(0))
            })
            .sum();
        stock.segments = segments.into_values().collect();
        Ok(stock)
    }

    /// Bytes on the disk.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|stored| stored.bytes).sum()
    }

    /// What the seals say, and how much was written lately.
    fn seals(&mut self, directory: &Path, now: Timestamp) -> io::Result<Seals> {
        let mut reader = Reader::open(directory)?.sieved(Rc::new(Scribes));
        let mut seals = Seals::default();
        let mut noted: BTreeMap<Rc<str>, Vec<Noted>> = BTreeMap::new();
        while let Some(line) = reader.next_line()? {
            let Some(read) = chain::read(&line.bytes) else { continue };
            let ts = read.ts.parse().ok();
            self.written.add(line.bytes.len() as u64 + 1, ts, now);
            let (segment, span, length) = match read.said {
                Said::Close(close) => (close.segment, None, close.bytes),
                Said::Range(range) => (range.segment, Some((range.from, range.to)), 0),
                Said::Seal(seal, _) => {
                    self.sealed = self.sealed.max(ts);
                    let Some(noted) = noted.get_mut(&line.segment) else { continue };
                    for it in noted.extract_if(.., |it| (seal.from..seal.to).contains(&it.at)) {
                        match it.span {
                            Some((from, to)) => {
                                self.written.add(to.saturating_sub(from), it.ts, now);
                                let known = seals.covered.entry(it.segment).or_insert(0);
                                *known = to.max(*known);
                            }
                            None => {
                                seals.settled.insert(it.segment, it.length);
                            }
                        }
                    }
                    continue;
                }
                _ => continue,
            };
            let segment = segment.to_owned();
            noted.entry(line.segment).or_default().push(Noted { at: line.at, segment, span, length, ts });
        }
        Ok(seals)
    }
}

/// What the seals say of the segments.
#[derive(Debug, Default)]
struct Seals {
    /// Segments whose close is sealed, and their lengths.
    settled: BTreeMap<String, u64>,
    /// Up to which byte a segment is sealed.
    covered: BTreeMap<String, u64>,
}
