//! One segment, read behind its writer: judged line by line, cut into ranges that a seal can name, and held against
//! the file again whenever that is cheap.
//!
//! What no range has yet is kept in memory. As a range is cut the same bytes are read once more and compared, and
//! before the segment is closed all of it is read and hashed again: what was changed behind the writer is found
//! while the daemon runs, not only by `verify`.

mod rest;

use std::fs::File;
use std::sync::Arc;
use std::time::Instant;

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};
use sha2::{Digest as _, Sha256};

use super::bytes::{OnRecord, Tick, read_at, unchanged};
use super::clock::{Clock, When};
use super::requests::Lane;
use crate::audit::chain::Digest;
use crate::audit::encode::LINE_MAX;
use crate::audit::entry::Seen;
use crate::audit::inspect::{Fault, Inspector, Judged, Role};
use crate::audit::segment::serves;
use crate::model::ids::BootId;
use crate::wire::message::Followed as Source;

/// Bytes read at a time.
pub(super) const PIECE: usize = 128 << 10;
/// A range is cut at the latest when it has this many bytes; so many are kept of each segment at most.
const HELD: usize = 1 << 20;
/// So much is read of one segment before others have their turn.
const A_LOOK: u64 = 1 << 20;
/// Beyond so many ranges of one segment the oldest are remembered as one.
const REMEMBERED: usize = 1024;

/// Gets each whole line, and may find a fault with it.
type Heed<'h> = &'h mut dyn FnMut(&Source, &Judged<'_>) -> Result<(), Fault>;

/// Why a segment is not read any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The kernel can't read it.
    Unreadable(Errno),
    /// Something that no writer does, from this byte on.
    Intruded {
        /// Where.
        at: u64,
        /// What.
        why: Seen,
    },
}

impl From<Errno> for Trouble {
    fn from(errno: Errno) -> Trouble {
        Trouble::Unreadable(errno)
    }
}

/// Bytes of a segment that a seal can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) lines: u64,
    pub(super) hash: Digest,
}

/// What is known of a segment.
#[derive(Debug)]
pub(super) struct Followed {
    /// Opened O_RDONLY; fdatasync(2) needs no more.
    file: Arc<File>,
    source: Source,
    /// The lane that writes it, where one does.
    lane: Option<Lane>,
    inspector: Inspector,
    /// Where the bytes begin that no range has yet, and these bytes.
    from: u64,
    held: Vec<u8>,
    /// So many of them are whole lines that were judged, and so many lines that is.
    judged: usize,
    lines: u64,
    /// When the oldest of these lines was seen. What is no whole line nobody can seal yet.
    judged_since: Option<Instant>,
    /// Bytes known to be durable.
    synced: u64,
    /// Ranges that are not on record yet, and since when their oldest byte waits for that.
    cut: Vec<(Cut, Instant)>,
    /// Ranges that are, for the last look, and where the first of them begins.
    known: Vec<Cut>,
    base: u64,
    /// Its writer is done with it.
    finished: bool,
    /// There was more than the last look has read.
    unread: bool,
    /// A look began then that has read all that was there; what comes now was written later.
    all_read: Option<Instant>,
    /// The first line that says a much earlier instant; told once.
    doubt: Option<u64>,
    doubted: bool,
    /// Where the lines begin that nobody has heeded, of one that failed.
    heeded: Option<u64>,
    /// The last range ends inside a line.
    torn: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    /// The kernel can't read or sync it.
    Failed,
    /// Somebody has touched it.
    Intruded,
}

impl Followed {
    pub(super) fn new(name: &str, file: File, source: Source) -> Followed {
        Followed {
            file: Arc::new(file),
            source,
            lane: Lane::of(name, source.gate),
            inspector: Inspector::new(source.role, source.boot).serving(serves(name)),
            from: 0,
            held: Vec::new(),
            judged: 0,
            lines: 0,
            judged_since: None,
            synced: 0,
            cut: Vec::new(),
            known: Vec::new(),
            base: 0,
            finished: false,
            unread: false,
            all_read: None,
            doubt: None,
            doubted: false,
            heeded: None,
            torn: false,
            state: State::Whole,
        }
    }

    /// Reads and judges what is new, or the first of it; `heed` gets each whole line.
    pub(super) fn look(&mut self, clock: &mut Clock, heed: Heed<'_>) -> Result<(), Trouble> {
        if self.has_failed() {
            return Ok(());
        }
        let began = Instant::now();
        let mut when = self.all_read.map(|since| clock.since(since));
        let end = self.end()?;
        if end < self.length() {
            return Err(Trouble::Intruded { at: end, why: Seen::Shrank });
        }
        let stop = end.min(self.length() + A_LOOK);
        self.unread = stop < end;
        while self.length() < stop {
            self.read(stop)?;
            self.judge(when.as_mut(), heed)?;
            if self.judged > 0 {
                self.judged_since.get_or_insert_with(Instant::now);
            }
            if self.held.len() >= HELD {
                self.cut()?;
            }
        }
        if !self.unread {
            self.all_read = Some(began);
        }
        Ok(())
    }

    /// The first of its lines that says an instant long before it can have been written; once.
    pub(super) fn take_doubt(&mut self) -> Option<u64> {
        let first = self.doubt.filter(|_| !self.doubted);
        self.doubted |= first.is_some();
        first
    }

    /// How long the file is. Reads say where they begin, so the position means nothing. No stat, which needs no right
    /// to be asked about any name, so that the filter has to stop it (`landlock(7)`).
    pub(super) fn end(&self) -> Result<u64, Errno> {
        u64::try_from(lseek(&*self.file, 0, Whence::SeekEnd)?).map_err(|_| Errno::EOVERFLOW)
    }

    /// One piece more.
    fn read(&mut self, end: u64) -> Result<(), Trouble> {
        let (begin, at) = (self.held.len(), self.length());
        let piece = PIECE.min(usize::try_from(end - at).unwrap_or(PIECE));
        self.held.resize(begin + piece, 0);
        let read = read_at(&self.file, self.held.get_mut(begin..).unwrap_or_default(), at);
        self.held.truncate(begin + *read.as_ref().unwrap_or(&0));
        match read? {
            0 => Err(Trouble::Intruded { at, why: Seen::Shrank }),
            _ => Ok(()),
        }
    }

    /// Judges the whole lines that are there; by their instants too, where it is known when they were written.
    fn judge(&mut self, mut when: Option<&mut When<'_>>, heed: Heed<'_>) -> Result<(), Trouble> {
        if self.source.role == Role::Scribe {
            self.count();
            return Ok(());
        }
        let mut rest = self.held.get(self.judged..).unwrap_or_default();
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, behind) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            let judged =
                self.inspector.judge(line).map_err(|fault| intruded(self.from, self.judged, fault))?;
            if let Some(when) = when.as_mut().filter(|_| self.source.role == Role::Gate) {
                if when.is_to_come(judged.at) {
                    return Err(intruded(self.from, self.judged, Fault::Instant));
                }
                if when.is_long_ago(judged.at) {
                    self.doubt.get_or_insert(self.from + self.judged as u64);
                }
            }
            heed(&self.source, &judged).map_err(|fault| intruded(self.from, self.judged, fault))?;
            self.lines += 1;
            self.judged += end + 1;
            rest = behind.get(1..).unwrap_or_default();
        }
        // What a crash left behind its last line may be anything.
        if rest.len() >= LINE_MAX && !self.finished {
            return Err(intruded(self.from, self.judged, Fault::Spelling));
        }
        Ok(())
    }

    /// What a dead scribe left behind its last seal says nothing: any bytes are taken as they are, and kept so.
    fn count(&mut self) {
        let new = self.held.get(self.judged..).unwrap_or_default();
        let whole = match new.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if self.held.len() >= HELD => new.len(),
            None => 0,
        };
        let lines = new.iter().take(whole).filter(|byte| **byte == b'\n').count();
        self.lines += lines as u64;
        self.judged += whole;
    }

    /// Cuts a range from all lines that none has yet.
    pub(super) fn cut(&mut self) -> Result<(), Trouble> {
        self.cut_to(self.judged)
    }

    /// The last range, with what is left of a line that nobody will finish.
    pub(super) fn cut_last(&mut self) -> Result<(), Trouble> {
        self.torn |= self.held.len() > self.judged;
        self.cut_to(self.held.len())
    }

    fn cut_to(&mut self, length: usize) -> Result<(), Trouble> {
        if self.has_failed() || length == 0 {
            return Ok(());
        }
        let bytes = self.held.get(..length).unwrap_or_default();
        unchanged(&self.file, self.from, bytes)?;
        let to = self.from + length as u64;
        let since = self.judged_since.take().unwrap_or_else(Instant::now);
        self.cut.push((Cut { from: self.from, to, lines: self.lines, hash: Digest::of(bytes) }, since));
        self.held.drain(..length);
        if self.held.is_empty() {
            // An idle segment keeps no memory.
            self.held = Vec::new();
        }
        self.from = to;
        self.judged = self.judged.saturating_sub(length);
        self.lines = 0;
        Ok(())
    }

    /// The ranges that are durable and not on record: they are, from now on.
    pub(super) fn take_cut(&mut self) -> Vec<Cut> {
        let durable = self.cut.iter().take_while(|(cut, _)| cut.to <= self.synced).count();
        let taken: Vec<Cut> = self.cut.drain(..durable).map(|(cut, _)| cut).collect();
        self.known.extend(&taken);
        taken
    }

    /// Takes a range that an earlier scribe put on record, and reads it again: whether it still is what was sealed.
    /// Its lines are heeded, since what they say is not known any more.
    pub(super) fn resume(&mut self, sealed: Cut, heed: Heed<'_>, tick: Tick<'_>) -> Result<(), Trouble> {
        let end = self.end()?;
        if end < sealed.to {
            return Err(Trouble::Intruded { at: end, why: Seen::Shrank });
        }
        let changed = Trouble::Intruded { at: sealed.from, why: Seen::Changed };
        let mut hash = Sha256::new();
        self.pass(sealed.to, &mut hash, heed, tick)?;
        if Digest(hash.finalize().into()) != sealed.hash {
            return Err(changed);
        }
        self.known.push(sealed);
        Ok(())
    }

    /// Takes bytes that are sealed by a range which is not looked up any more.
    pub(super) fn start_behind(
        &mut self,
        sealed: u64,
        heed: Heed<'_>,
        tick: Tick<'_>,
    ) -> Result<(), Trouble> {
        self.base = sealed;
        if self.source.role == Role::Scribe {
            // Its own seals cover that, and were looked at.
            (self.from, self.synced) = (sealed, sealed);
            return Ok(());
        }
        self.pass(sealed, &mut Sha256::new(), heed, tick)
    }

    /// It is not what was sealed, which was up to here.
    pub(super) fn is_sealed_to(&mut self, sealed: u64) {
        self.known.clear();
        self.base = sealed;
    }

    /// Reads and judges up to `to`, which is sealed.
    fn pass(&mut self, to: u64, hash: &mut Sha256, heed: Heed<'_>, tick: Tick<'_>) -> Result<(), Trouble> {
        let changed = Trouble::Intruded { at: self.from, why: Seen::Changed };
        while self.length() < to {
            tick();
            let begin = self.held.len();
            self.read(to)?;
            hash.update(self.held.get(begin..).unwrap_or_default());
            // A line that was sealed was judged before; what is wrong with it now was changed.
            self.judge(None, heed).map_err(|_fault| changed)?;
            self.held.drain(..self.judged);
            self.from += std::mem::take(&mut self.judged) as u64;
        }
        // A range ends with a line, but the last of a segment that ended torn.
        self.torn = !self.held.is_empty();
        self.from += std::mem::take(&mut self.held).len() as u64;
        self.lines = 0;
        self.synced = self.from;
        self.judged_since = None;
        Ok(())
    }

    /// What is on record of it, for a look at the same bytes once more.
    pub(super) fn on_record(&self) -> OnRecord {
        OnRecord { file: self.file(), ranges: self.known.clone() }
    }

    /// Whether too many ranges are known, so that they are to be looked at again and kept as one.
    pub(super) fn remembers_many(&self) -> bool {
        self.known.len() >= 2 * REMEMBERED
    }

    /// This one range is all that is known.
    pub(super) fn remember(&mut self, one: Cut) {
        self.known = vec![one];
    }

    /// Whether there is more than the last look has read.
    pub(super) fn is_unread(&self) -> bool {
        self.unread
    }

    /// For the thread that syncs.
    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// The start that it belongs to.
    pub(super) fn boot(&self) -> BootId {
        self.source.boot
    }

    /// The gate that writes it, where one of this start does.
    pub(super) fn gate(&self) -> Option<u32> {
        self.source.gate
    }

    /// The lane that writes it, where one does.
    pub(super) fn lane(&self) -> Option<&Lane> {
        self.lane.as_ref()
    }

    /// So many bytes are durable.
    pub(super) fn synced_to(&mut self, upto: u64) {
        self.synced = self.synced.max(upto);
    }

    /// Bytes read and not yet durable.
    pub(super) fn unsynced(&self) -> u64 {
        match self.state {
            State::Whole => self.length().saturating_sub(self.synced),
            State::Intruded if self.has_cut() => self.from.saturating_sub(self.synced),
            State::Intruded | State::Failed => 0,
        }
    }

    /// Since when there are lines that no seal covers.
    pub(super) fn unsealed_since(&self) -> Option<Instant> {
        let oldest = self.cut.first().map(|(_, since)| *since).or(self.judged_since);
        oldest.filter(|_| !self.has_failed())
    }

    /// Its writer is done with it.
    pub(super) fn finish(&mut self) {
        self.finished = true;
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    /// The kernel can't read or sync it: nothing more is read or promised of it.
    pub(super) fn fail(&mut self) {
        self.heeded = Some(self.from + self.judged as u64);
        self.give_up(State::Failed);
    }

    /// Somebody has touched it from this byte on: nothing more is read of it. What was judged before is still sealed.
    pub(super) fn intruded(&mut self, at: u64) {
        self.cut.retain(|(cut, _)| cut.to <= at);
        let follows = self.from == self.cut.last().map_or(self.sealed(), |(cut, _)| cut.to);
        if follows && self.from + self.judged as u64 <= at {
            // Where these have changed too they are not sealed: one intrusion was told.
            let _changed = self.cut();
        }
        let cut = std::mem::take(&mut self.cut);
        self.give_up(State::Intruded);
        self.from = cut.last().map_or(self.from, |(cut, _)| cut.to);
        self.cut = cut;
    }

    /// What was still to be sealed of one that somebody has touched can't be.
    pub(super) fn leave_cut(&mut self) {
        self.cut.clear();
        self.from = self.sealed();
    }

    fn give_up(&mut self, state: State) {
        self.state = state;
        self.unread = false;
        self.held = Vec::new();
        self.cut = Vec::new();
        self.judged = 0;
        self.from = self.sealed();
    }

    /// Whether it was given up.
    pub(super) fn has_failed(&self) -> bool {
        self.state != State::Whole
    }

    /// Whether somebody has touched it.
    pub(super) fn was_intruded(&self) -> bool {
        self.state == State::Intruded
    }

    /// Whether ranges are still to be put on record.
    pub(super) fn has_cut(&self) -> bool {
        !self.cut.is_empty()
    }

    /// Bytes read.
    pub(super) fn length(&self) -> u64 {
        self.from + self.held.len() as u64
    }

    /// Bytes in ranges that are on record.
    pub(super) fn sealed(&self) -> u64 {
        self.known.last().map_or(self.base, |known| known.to)
    }

    /// How many lines were judged.
    pub(super) fn lines(&self) -> u64 {
        self.inspector.lines()
    }

    /// Whether its last range ends inside a line.
    pub(super) fn is_torn(&self) -> bool {
        self.torn
    }

    /// Whether what was read ends inside a line that is not there yet.
    pub(super) fn is_unfinished(&self) -> bool {
        self.held.len() > self.judged
    }
}

fn intruded(from: u64, judged: usize, fault: Fault) -> Trouble {
    let why = if fault == Fault::Number { Seen::Count } else { Seen::Line };
    Trouble::Intruded { at: from + judged as u64, why }
}
