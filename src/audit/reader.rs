//! The records of a directory, segment by segment joined into one stream in the order of time.
//!
//! A segment is opened when the stream reaches the time at which it was made, and closed at its end; of those that
//! overlap so many are open at a time, so that a directory of thousands of them costs few descriptors. Reading goes on after the end: [`Reader::rescan`]
//! looks for new segments and for what was appended since. A line without its LF is not there yet; whether the
//! writer is about to finish it or died over it, only time tells ([`Reader::torn`]). A segment is the same one in its
//! compressed form (`….ndjson.zst`), and reading goes on where it was when the one takes the other's place.

pub mod source;
mod tail;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::libc;

use super::plain::Record;
use super::segment::{self, Role, SegmentName};
use crate::model::ids::BootId;
use tail::Tail;

/// One line of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The segment's file name.
    pub segment: Rc<str>,
    /// Where it begins: bytes from the start of the (uncompressed) segment.
    pub at: u64,
    /// The bytes, without LF. Nothing is known of them yet: see [`Line::record`].
    pub bytes: Vec<u8>,
}

impl Line {
    /// The line as a record; `None` where it is none that this program writes.
    pub fn record(&self) -> Option<Record<'_>> {
        Record::parse(&self.bytes)
    }
}

/// A segment that ends inside a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// Its file name.
    pub segment: Rc<str>,
    /// Bytes after its last LF.
    pub bytes: u64,
}

/// Reads the segments of one directory.
pub struct Reader {
    directory: PathBuf,
    boot: Option<BootId>,
    /// Seen in the directory and not opened yet; names sort by time.
    waiting: BTreeSet<Rc<str>>,
    opened: BTreeMap<Rc<str>, Tail>,
    /// The next line of each segment that has one, the earliest on top.
    heads: BinaryHeap<Reverse<Head>>,
    /// What is passed over.
    #[cfg(feature = "cli")]
    sieve: Option<Rc<dyn Sieve>>,
    /// Why segments have no next line, until it is told.
    troubles: VecDeque<io::Error>,
    /// Those of which it was told, until they can be read again.
    unreadable: BTreeSet<Rc<str>>,
    /// Those that have a descriptor, the one that has it longest first; and some that don't any more.
    holders: VecDeque<Rc<str>>,
}

/// Segments that are open at a time.
const OPEN: usize = 256;
/// How much of a segment is read at a time: of many that overlap less.
const ROOM: [usize; 2] = [128 << 10, 16 << 10];

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// Says early which lines nobody needs, so that they are neither copied nor parsed.
#[cfg(feature = "cli")]
pub trait Sieve {
    /// Whether anything in this segment is needed.
    fn opens(&self, segment: &str) -> bool;

    /// How many of these bytes, whole lines that begin at byte `at` of this segment, are lines that are not needed,
    /// as far as that is known without a look at each of them; the next one may be.
    fn skips(&self, _segment: &str, _at: u64, _lines: &[u8]) -> usize {
        0
    }

    /// Whether the line that begins at byte `at` of this segment is needed.
    fn keeps(&self, segment: &str, at: u64, line: &[u8]) -> bool;
}

/// Ordered by time; of the same microsecond the warden's first, since all else follows from what it writes.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    /// The record's `ts` as it is spelt; that of the line before where it has none.
    ts: Vec<u8>,
    follows: bool,
    segment: Rc<str>,
    at: u64,
    bytes: Vec<u8>,
}

impl Reader {
    /// Opens a directory at the beginning of its record.
    ///
    /// # Errors
    ///
    /// It can't be listed.
    pub fn open(directory: &Path) -> io::Result<Reader> {
        Reader::of(directory, None)
    }

    /// The same, of one start of the daemon alone.
    ///
    /// # Errors
    ///
    /// It can't be listed.
    pub fn open_boot(directory: &Path, boot: BootId) -> io::Result<Reader> {
        Reader::of(directory, Some(boot))
    }

    fn of(directory: &Path, boot: Option<BootId>) -> io::Result<Reader> {
        let mut reader = Reader {
            directory: directory.to_owned(),
            boot,
            waiting: BTreeSet::new(),
            opened: BTreeMap::new(),
            heads: BinaryHeap::new(),
            #[cfg(feature = "cli")]
            sieve: None,
            troubles: VecDeque::new(),
            unreadable: BTreeSet::new(),
            holders: VecDeque::new(),
        };
        reader.list()?;
        Ok(reader)
    }

    /// The segments that are there, those that were opened first.
    pub fn segments(&self) -> impl Iterator<Item = Rc<str>> {
        self.opened.keys().chain(&self.waiting).cloned()
    }

    /// Up to where each segment was read, in bytes of its plain form: all lines before have come.
    pub fn positions(&self) -> impl Iterator<Item = (Rc<str>, u64)> {
        let headed = |name: &Rc<str>| {
            self.heads.iter().find(|Reverse(head)| head.segment == *name).map(|Reverse(head)| head.at)
        };
        self.opened.iter().map(move |(name, tail)| (Rc::clone(name), headed(name).unwrap_or(tail.position())))
    }

    /// Passes over what the sieve has no need of.
    #[cfg(feature = "cli")]
    pub fn sieved(mut self, sieve: Rc<dyn Sieve>) -> Reader {
        self.waiting.retain(|segment| sieve.opens(segment));
        self.sieve = Some(sieve);
        self
    }

    /// The next line in the order of time; `None` at the end of what was there at the last look.
    ///
    /// # Errors
    ///
    /// A segment can't be read, which is told once. The stream goes on without it, and tries it again at each
    /// [`Reader::rescan`].
    pub fn next_line(&mut self) -> io::Result<Option<Line>> {
        while self.troubles.is_empty() && self.opens_first() {
            let Some(segment) = self.waiting.pop_first() else { break };
            self.start(&segment);
            self.go_on_in(&segment);
        }
        if let Some(error) = self.troubles.pop_front() {
            return Err(error);
        }
        let Some(Reverse(head)) = self.heads.pop() else { return Ok(None) };
        // What is at hand is told first.
        self.go_on_in(&head.segment);
        Ok(Some(Line { segment: head.segment, at: head.at, bytes: head.bytes }))
    }

    /// Looks again: for segments that are new, and for lines behind the end of those that were read.
    ///
    /// # Errors
    ///
    /// The directory can't be listed. What can't be read [`Reader::next_line`] tells.
    pub fn rescan(&mut self) -> io::Result<()> {
        self.list()?;
        let headed: BTreeSet<Rc<str>> =
            self.heads.iter().map(|Reverse(head)| Rc::clone(&head.segment)).collect();
        let idle: Vec<Rc<str>> = self.opened.keys().filter(|name| !headed.contains(*name)).cloned().collect();
        idle.iter().for_each(|segment| self.go_on_in(segment));
        Ok(())
    }

    /// How many segments can't be read.
    pub fn unreadable(&self) -> usize {
        self.unreadable.len()
    }

    /// Goes to the end of all that is there, so that only what comes from now on is read.
    ///
    /// # Errors
    ///
    /// A segment can't be read.
    pub fn skip_to_end(&mut self) -> io::Result<()> {
        self.heads.clear();
        while let Some(segment) = self.waiting.pop_first() {
            self.start(&segment);
        }
        self.opened.values_mut().try_for_each(Tail::skip_to_end)
    }

    /// The segments that ended inside a line when they were last read.
    pub fn torn(&self) -> impl Iterator<Item = Torn> {
        let torn = |(segment, tail): (&Rc<str>, &Tail)| {
            (tail.unfinished() > 0).then(|| Torn { segment: Rc::clone(segment), bytes: tail.unfinished() })
        };
        self.opened.iter().filter_map(torn)
    }

    /// Whether the next segment was made at or before the earliest line at hand.
    fn opens_first(&self) -> bool {
        let Some(next) = self.waiting.first() else { return false };
        let Some(Reverse(head)) = self.heads.peek() else { return true };
        SegmentName::parse(next).is_none_or(|name| name.made_by(&head.ts))
    }

    fn start(&mut self, segment: &Rc<str>) {
        let [room, less] = ROOM;
        let room = if self.opened.len() < OPEN { room } else { less };
        self.opened.insert(Rc::clone(segment), Tail::new(self.directory.clone(), Rc::clone(segment), room));
    }

    fn list(&mut self) -> io::Result<()> {
        let mut present: BTreeSet<Rc<str>> = BTreeSet::new();
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            let Some((name, _)) = name.to_str().and_then(segment::of_file) else { continue };
            let Some(parsed) = SegmentName::parse(name) else { continue };
            #[cfg(feature = "cli")]
            if self.sieve.as_ref().is_some_and(|sieve| !sieve.opens(name)) {
                continue;
            }
            if self.boot.is_none_or(|boot| boot == parsed.boot) {
                present.insert(Rc::from(name));
            }
        }
        self.waiting.retain(|name| present.contains(name));
        self.opened.retain(|name, _| present.contains(name));
        self.unreadable.retain(|name| present.contains(name));
        self.waiting.extend(present.into_iter().filter(|name| !self.opened.contains_key(name)));
        Ok(())
    }

    /// Goes on in a segment; where that can't be read, it is a trouble to be told, and holds up no other.
    fn go_on_in(&mut self, segment: &Rc<str>) {
        match self.refill(segment) {
            Ok(()) => _ = self.unreadable.remove(segment),
            Err(error) if self.unreadable.insert(Rc::clone(segment)) => self.troubles.push_back(error),
            Err(_told) => {}
        }
    }

    /// Puts the segment's next line, where it has one, among the heads.
    fn refill(&mut self, segment: &Rc<str>) -> io::Result<()> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{segment}: {error}"));
        let had = self.opened.get(segment).is_some_and(Tail::is_open);
        if !had && self.holders.len() >= OPEN {
            self.park(1);
        }
        let mut next = self.next_of(segment);
        if next.as_ref().is_err_and(|error| matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)))
        {
            // There are fewer descriptors than that: all others give theirs back.
            self.park(usize::MAX);
            self.opened.get_mut(segment).into_iter().for_each(Tail::retreat);
            next = self.next_of(segment);
        }
        if !had && self.opened.get(segment).is_some_and(Tail::is_open) {
            self.holders.push_back(Rc::clone(segment));
        }
        let Some((ts, at, bytes)) = next.map_err(named)? else { return Ok(()) };
        let follows = SegmentName::parse(segment).is_none_or(|name| name.role() != Role::Warden);
        self.heads.push(Reverse(Head { ts, follows, segment: Rc::clone(segment), at, bytes }));
        Ok(())
    }

    /// Takes back the descriptors of so many segments.
    fn park(&mut self, count: usize) {
        for segment in self.holders.drain(..count.min(self.holders.len())) {
            self.opened.get_mut(&segment).into_iter().for_each(Tail::park);
        }
    }

    /// A segment's next line that is asked about.
    #[cfg(feature = "cli")]
    fn next_of(&mut self, segment: &Rc<str>) -> io::Result<Option<tail::Found>> {
        let Some(tail) = self.opened.get_mut(segment) else { return Ok(None) };
        let Some(sieve) = &self.sieve else { return tail.next_line() };
        loop {
            tail.pass_over(&**sieve)?;
            let Some((ts, at, bytes)) = tail.next_line()? else { return Ok(None) };
            // A line that lies across two pieces of the file was not asked about yet.
            if sieve.keeps(segment, at, &bytes) {
                return Ok(Some((ts, at, bytes)));
            }
        }
    }

    /// A segment's next line.
    #[cfg(not(feature = "cli"))]
    fn next_of(&mut self, segment: &Rc<str>) -> io::Result<Option<tail::Found>> {
        self.opened.get_mut(segment).map_or(Ok(None), Tail::next_line)
    }
}

#[cfg(test)]
mod tests;
