//! A writer's own segment: records are noted, appended with one `write` a round, and only then acknowledged.
//!
//! One [`Log`] belongs to one thread. [`Log::note`] encodes a record into the pending buffer and takes the
//! value whose use must wait for it, usually a permit; the value comes back inside a [`Receipt`] after a
//! `write(2)` has put the record's bytes into the file, and in no other way.
//!
//! The first note of a round wakes the flusher task. An executor that runs woken tasks in order puts it behind
//! everything that is ready, so one `write` serves them all; then the waiters wake.
//!
//! A failed or short write breaks the log: what was pending fails, and so does every note, until
//! [`Log::replace`] gives it a fresh segment. Nobody continues behind a torn line.

mod owed;
mod round;
mod sync;
mod written;

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};

use super::encode;
use super::entry::Entry;
use crate::model::time::Timestamp;
use owed::Owed;
use round::{Fate, Round};
use sync::{Position, Syncs};
use written::Written;

pub use sync::Durable;

/// Pending bytes beyond which a note flushes by itself, so that memory stays bounded whatever is ready.
const PENDING_MAX: usize = 256 << 10;

/// The record can't be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unwritable {
    /// Why, as the kernel said it; ENOSPC too where a record does not fit into what is reserved, EIO where a
    /// write was short.
    pub errno: i32,
}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the record can't be written: {}", Errno::from_raw(self.errno).desc())
    }
}

impl std::error::Error for Unwritable {}

impl From<Errno> for Unwritable {
    fn from(errno: Errno) -> Unwritable {
        Unwritable { errno: errno as i32 }
    }
}

/// A value whose record is noted and not yet known to be written.
#[must_use = "its record may still fail to be written; the value comes back by `receipt` or `written`"]
#[derive(Debug)]
pub struct Noted<T> {
    value: T,
    round: Rc<Round>,
}

/// A value whose record is in the file. Only a [`Log`] makes one.
#[derive(Debug)]
pub struct Receipt<T> {
    value: T,
    position: Position,
}

impl<T> Receipt<T> {
    /// The value; from here on nothing says that it was recorded.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> Deref for Receipt<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// What a log needs from the warden; see [`Log::attention`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// More reserved space; so many bytes of the segment are used.
    Space {
        /// Bytes written or pending.
        written: u64,
    },
    /// Another segment: this one can't be written.
    Segment(Unwritable),
}

/// The segment that this thread writes. Clones are the same log.
#[derive(Debug, Clone)]
pub struct Log(Rc<RefCell<State>>);

#[derive(Debug)]
struct State {
    segment: OwnedFd,
    /// Bytes that disk space is reserved for.
    reserved: u64,
    /// Size of the latest reservation: more is asked for when half of it is used.
    granted: u64,
    /// Bytes of it that are kept for records that must not fail for want of space.
    held: u64,
    /// Bytes in the file.
    written: u64,
    /// Lines of the present round.
    pending: Vec<u8>,
    /// The next record's number.
    n: u64,
    round: Rc<Round>,
    broken: Option<Unwritable>,
    /// The present want was already handed out.
    asked: bool,
    flusher: Option<Waker>,
    attendant: Option<Waker>,
    syncs: Syncs,
    owed: Owed,
}

impl Log {
    /// A log on a fresh, empty `segment` (`O_APPEND`), of which `reserved` bytes may be used.
    pub fn new(segment: OwnedFd, reserved: u64) -> Log {
        Log(Rc::new(RefCell::new(State {
            segment,
            reserved,
            granted: reserved,
            held: 0,
            written: 0,
            pending: Vec::with_capacity(32 << 10),
            n: 0,
            round: Rc::default(),
            broken: None,
            asked: false,
            flusher: None,
            attendant: None,
            syncs: Syncs::default(),
            owed: Owed::default(),
        })))
    }

    /// Notes `entry`, stamped with the time now, and keeps `value` until it is written.
    ///
    /// # Errors
    ///
    /// The log is broken, or the record does not fit into what is reserved (ENOSPC; the log stays whole).
    pub fn note<T>(&self, value: T, entry: &Entry<'_>) -> Result<Noted<T>, Unwritable> {
        self.note_line(value, |n, ts, out| encode::line(entry, n, ts, out))
    }

    /// As [`Log::note`], for a line that no entry makes (a seal): `write` gets its number and its time, and appends
    /// the one line. It is not to be called again for a line that did not fit.
    ///
    /// # Errors
    ///
    /// As [`Log::note`].
    pub fn note_line<T>(
        &self,
        value: T,
        write: impl FnOnce(u64, Timestamp, &mut Vec<u8>),
    ) -> Result<Noted<T>, Unwritable> {
        let mut round = None;
        self.note_and(write, |state| round = Some(Rc::clone(&state.round)))?;
        Ok(Noted { value, round: round.unwrap_or_default() })
    }

    /// Notes a line; what it goes out with is `with_round`'s to remember.
    fn note_and(
        &self,
        write: impl FnOnce(u64, Timestamp, &mut Vec<u8>),
        with_round: impl FnOnce(&mut State),
    ) -> Result<(), Unwritable> {
        let (noted, flusher, attendant, full) = {
            let mut state = self.0.borrow_mut();
            let first = state.pending.is_empty();
            let noted = state.append(write);
            if noted.is_ok() {
                with_round(&mut state);
            }
            let flusher = if first && noted.is_ok() { state.flusher.take() } else { None };
            (noted, flusher, state.attendant_if_wanted(), state.pending.len() > PENDING_MAX)
        };
        // Wakers are foreign code and may come back here: no borrow is held.
        flusher.into_iter().chain(attendant).for_each(Waker::wake);
        if full {
            // The round's fate tells those who wait for it.
            self.flush().ok();
        }
        noted
    }

    /// As [`Log::note`], for a record that tells of the value itself: `describe` gets the value and puts one
    /// entry.
    ///
    /// # Errors
    ///
    /// As [`Log::note`]; EINVAL where nothing was put.
    pub fn note_of<T>(
        &self,
        value: T,
        describe: impl FnOnce(&T, &mut dyn FnMut(&Entry<'_>)),
    ) -> Result<Noted<T>, Unwritable> {
        let mut noted = Err(Errno::EINVAL.into());
        describe(&value, &mut |entry| noted = self.note((), entry));
        let Noted { value: (), round } = noted?;
        Ok(Noted { value, round })
    }

    /// Writes all that is pending, with one `write(2)`, and wakes who waits for it.
    ///
    /// # Errors
    ///
    /// The write failed or was short, now or before: the log is broken.
    pub fn flush(&self) -> Result<(), Unwritable> {
        let (result, attendant) = {
            let mut state = self.0.borrow_mut();
            let result = state.write_pending();
            (result, state.attendant_if_wanted())
        };
        let result = match result {
            Ok(None) => Ok(()),
            Ok(Some(round)) => {
                round.wake();
                Ok(())
            }
            Err((round, why)) => {
                round.wake();
                Err(why)
            }
        };
        attendant.into_iter().for_each(Waker::wake);
        result
    }

    /// The value with its receipt. What is still pending is flushed for it.
    ///
    /// # Errors
    ///
    /// The record was lost.
    pub fn receipt<T>(&self, noted: Noted<T>) -> Result<Receipt<T>, Unwritable> {
        if noted.round.fate() == Fate::Pending {
            self.flush()?;
        }
        match noted.round.fate() {
            Fate::Written(position) => Ok(Receipt { value: noted.value, position }),
            Fate::Lost(why) => Err(why),
            // It was noted in another log than this one.
            Fate::Pending => Err(Errno::EINVAL.into()),
        }
    }

    /// Waits for the flush that writes the record.
    ///
    /// # Errors
    ///
    /// The record was lost.
    pub fn written<T>(
        &self,
        noted: Noted<T>,
    ) -> impl Future<Output = Result<Receipt<T>, Unwritable>> + use<T> {
        Written::new(noted.value, noted.round)
    }

    /// The task that flushes: spawn it once on the thread's executor. It never ends.
    pub fn flusher(&self) -> impl Future<Output = ()> + use<> {
        let log = self.clone();
        poll_fn(move |context| {
            if !log.0.borrow().pending.is_empty() {
                // The round's fate tells those who wait for it.
                log.flush().ok();
            }
            keep(&mut log.0.borrow_mut().flusher, context);
            Poll::Pending
        })
    }

    /// Uses a fresh `segment` from now on; `n` starts again at 0 and the caller notes its `open` first. What is
    /// pending still goes to the old one. A broken log is whole again.
    pub fn replace(&self, segment: OwnedFd, reserved: u64) {
        // The round's fate tells those who wait for it.
        self.flush().ok();
        let askers = {
            let mut state = self.0.borrow_mut();
            state.segment = segment;
            state.reserved = reserved;
            state.granted = reserved;
            state.written = 0;
            state.n = 0;
            state.broken = None;
            state.asked = false;
            state.syncs.next_segment()
        };
        askers.into_iter().for_each(Waker::wake);
    }

    /// Disk space is reserved for the first `upto` bytes of the segment. An answer that gives nothing more is
    /// not followed by another question until a note did not fit: a full disk must not make two roles spin.
    pub fn reserve(&self, upto: u64) {
        let mut state = self.0.borrow_mut();
        if upto > state.reserved {
            state.granted = upto - state.reserved;
            state.reserved = upto;
            state.asked = false;
        }
    }

    /// Keeps `bytes` of what is reserved for a record that will follow one that is noted now.
    pub fn hold(&self, bytes: u64) {
        self.0.borrow_mut().held += bytes;
    }

    /// Gives `bytes` that were held back: the record for which they were kept is noted next, or not needed.
    pub fn release(&self, bytes: u64) {
        let mut state = self.0.borrow_mut();
        state.held = state.held.saturating_sub(bytes);
    }

    /// The bytes used so far, once, when no more than half of the latest reservation is left.
    pub fn wants_space(&self) -> Option<u64> {
        match self.0.borrow_mut().want() {
            Some(Want::Space { written }) => Some(written),
            _ => None,
        }
    }

    /// Waits until the log needs something from the warden. Each need is told once: space until the next
    /// [`Log::reserve`], a segment until the next [`Log::replace`]. For one task at a time.
    pub fn attention(&self) -> impl Future<Output = Want> + use<> {
        let log = self.clone();
        poll_fn(move |context| {
            let mut state = log.0.borrow_mut();
            if let Some(want) = state.want() {
                return Poll::Ready(want);
            }
            keep(&mut state.attendant, context);
            Poll::Pending
        })
    }

    /// Why nothing can be written until [`Log::replace`], if so.
    pub fn broken(&self) -> Option<Unwritable> {
        self.0.borrow().broken
    }

    /// Another descriptor of the present segment's open file.
    ///
    /// # Errors
    ///
    /// What `fcntl(F_DUPFD_CLOEXEC)` answered.
    pub fn duplicate(&self) -> io::Result<OwnedFd> {
        self.0.borrow().segment.try_clone()
    }

    /// Bytes of the present segment that are in the file.
    pub fn written_bytes(&self) -> u64 {
        self.0.borrow().written
    }
}

impl Drop for State {
    /// A log that is dropped with notes pending leaves nobody waiting for ever.
    fn drop(&mut self) {
        if !self.pending.is_empty() {
            self.round.settle(Fate::Lost(Errno::EPIPE.into()));
            self.round.wake();
        }
    }
}

impl State {
    fn append(&mut self, write: impl FnOnce(u64, Timestamp, &mut Vec<u8>)) -> Result<(), Unwritable> {
        if let Some(why) = self.broken {
            return Err(why);
        }
        let before = self.pending.len();
        write(self.n, Timestamp::now(), &mut self.pending);
        // Many open promises must not keep a writer from ever writing: they take a quarter at most.
        let held = self.held.min(self.reserved / 4);
        if self.used().saturating_add(held) > self.reserved {
            self.pending.truncate(before);
            self.asked = false;
            return Err(Errno::ENOSPC.into());
        }
        self.n += 1;
        Ok(())
    }

    /// Bytes written or pending.
    fn used(&self) -> u64 {
        self.written.saturating_add(self.pending.len() as u64)
    }

    /// Writes the present round and begins the next; the finished one is for the caller to wake.
    fn write_pending(&mut self) -> Result<Option<Rc<Round>>, (Rc<Round>, Unwritable)> {
        if self.pending.is_empty() {
            return match self.broken {
                None => Ok(None),
                Some(why) => Err((Rc::clone(&self.round), why)),
            };
        }
        // It may have broken behind our back, by a sync that failed.
        let result = match self.broken {
            None => append_whole(&self.segment, &self.pending, self.written),
            Some(why) => Err((0, Errno::from_raw(why.errno))),
        };
        let round = self.next_round();
        match result {
            Ok(()) => {
                self.written = self.used();
                self.owed.written(usize::MAX);
                self.pending.clear();
                round.settle(Fate::Written(self.syncs.position(self.written)));
                Ok(Some(round))
            }
            Err((written, errno)) => {
                let why = errno.into();
                self.owed.written(written);
                self.pending.clear();
                self.broken = Some(why);
                self.asked = false;
                round.settle(Fate::Lost(why));
                Err((round, why))
            }
        }
    }

    fn next_round(&mut self) -> Rc<Round> {
        std::mem::take(&mut self.round)
    }

    fn want(&mut self) -> Option<Want> {
        if self.asked || !self.wanting() {
            return None;
        }
        self.asked = true;
        Some(match self.broken {
            Some(why) => Want::Segment(why),
            None => Want::Space { written: self.used() },
        })
    }

    fn wanting(&self) -> bool {
        self.broken.is_some() || self.reserved.saturating_sub(self.used()) <= self.granted / 2
    }

    fn attendant_if_wanted(&mut self) -> Option<Waker> {
        if !self.asked && self.wanting() { self.attendant.take() } else { None }
    }
}

/// One `write(2)` of all of it. An interrupted call has written nothing and is repeated; a short one can't be
/// mended, since its rest might land behind another reason to fail. Beside an error: how many bytes are there.
///
/// They belong `at` the end of all that was written before. Where the file was cut meanwhile they land elsewhere, and
/// what stood there is gone: ESTALE. What can't tell its position is no file, and can't be cut.
fn append_whole(segment: &OwnedFd, bytes: &[u8], at: u64) -> Result<(), (usize, Errno)> {
    loop {
        match nix::unistd::write(segment, bytes) {
            Ok(written) if written == bytes.len() => {
                let end = at.saturating_add(written as u64);
                return match lseek(segment, 0, Whence::SeekCur).map(u64::try_from) {
                    Ok(Ok(position)) if position != 0 && position != end => Err((0, Errno::ESTALE)),
                    _ => Ok(()),
                };
            }
            Ok(written) => return Err((written, Errno::EIO)),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err((0, errno)),
        }
    }
}

/// Remembers who to wake.
fn keep(place: &mut Option<Waker>, context: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(context.waker()),
        None => *place = Some(context.waker().clone()),
    }
}

#[cfg(test)]
mod tests;
