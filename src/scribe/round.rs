//! One round: everything that was read is made durable, then named by ranges under one seal, and that is made durable.
//! No seal outlives what it seals, since it is written behind it.
//!
//! The disk is waited for by [`sync`](super::sync), step by step, so that this thread goes on meanwhile.

use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::follow::{Followed, Trouble};
use super::keys::Ready;
use super::own::{self, Own};
use super::recover::Recovery;
use super::sync::{Done, Task};
use super::{NextOwn, Scribe};
use crate::audit::entry::{Close, Entry, Intrusion, OutcomeOf, PENDING_MOST, Pending, Range, Recover};
use crate::audit::entry::{Interrupted, Seen};
use crate::model::ids::RequestId;
use crate::model::outcome::Outcome;
use crate::wire::message::FromScribe;

/// What was seen is sealed at the latest so long after: with a look each quarter of a second before, and a disk
/// that takes its time behind, within a second of its writing.
const DUE: Duration = Duration::from_millis(500);
/// A seal is made this often though nothing was written.
const IDLE: Duration = Duration::from_secs(60);
/// And earlier than due where a segment is so many bytes ahead of the disk.
const AHEAD: u64 = 1 << 20;

/// A segment that was asked for and did not come is asked for again.
const AGAIN: Duration = Duration::from_secs(10);

/// Where the scribe is.
#[derive(Debug)]
pub(super) enum Round {
    /// Nothing is under way.
    Idle,
    /// The others' segments are being synced.
    Segments,
    /// Its own segment is being synced, behind a seal.
    Own,
    /// The next epoch's key goes into the store.
    KeepNext(Box<Ready>),
    /// The epoch's record is made durable, and its key erased.
    Erase,
}

impl Scribe {
    /// Takes what the disk has done, and goes on as far as it can without the disk.
    pub(super) fn turn(&mut self) -> io::Result<()> {
        loop {
            while let Some(done) = self.syncer.take()? {
                self.done(done)?;
            }
            if !self.syncer.is_idle() || !self.step()? {
                return Ok(());
            }
        }
    }

    pub(super) fn done(&mut self, Done { task, result, took }: Done) -> io::Result<()> {
        tracing::trace!(?task, ?took, "the disk is done");
        if let Task::Segment(..) | Task::Own(_) = task {
            self.live.counters.synced(took);
        }
        match (task, result) {
            (Task::Segment(name, upto), Ok(())) => {
                if let Some(segment) = self.followed.get_mut(name.as_str()) {
                    segment.synced_to(upto);
                }
            }
            (Task::Segment(name, _), Err(errno)) => self.trouble(&name, Trouble::Unreadable(errno))?,
            (Task::Own(upto), Ok(())) => self.own.synced_to(upto),
            (Task::Directory | Task::Keys, Ok(())) => {}
            // Nothing is tried again, since a second fsync may succeed over pages that the first one dropped. The next
            // scribe begins a fresh segment.
            (Task::Own(_) | Task::Directory | Task::Keys, Err(errno)) => return Err(errno.into()),
        }
        Ok(())
    }

    /// One step; whether another may follow at once.
    pub(super) fn step(&mut self) -> io::Result<bool> {
        match std::mem::replace(&mut self.round, Round::Idle) {
            Round::Idle if self.is_due() => self.begin_round().map(|()| true),
            Round::Idle if self.next_own.is_some() && self.keys.is_some() => self.begin_keys().map(|()| true),
            Round::Idle => Ok(false),
            Round::Segments => self.seal().map(|()| true),
            Round::Own => {
                self.unsent.append(&mut self.sealed_leaving);
                self.ask_for_segment();
                self.go_on_recovering()?;
                Ok(true)
            }
            Round::KeepNext(ready) => self.begin_epoch(*ready).map(|()| true),
            Round::Erase => self.epoch_begun().map(|()| true),
        }
    }

    /// Whether a round has to begin now.
    fn is_due(&self) -> bool {
        let due = |since: Instant| since.elapsed() >= DUE;
        let oldest = self.followed.values().filter_map(|segment| segment.unsealed_since()).min();
        self.wish
            || self.followed.values().any(|segment| segment.is_finished() || segment.unsynced() > AHEAD)
            || oldest.is_some_and(due)
            || self.next_own.is_some() && self.own.is_unsealed()
            || self.sealed_at.elapsed() >= IDLE
    }

    fn begin_round(&mut self) -> io::Result<()> {
        self.wish = false;
        if std::mem::take(&mut self.directory_changed) {
            let directory = Arc::clone(&self.directory);
            self.syncer.give(Task::Directory, move || nix::unistd::fsync(&*directory))?;
        }
        let names: Vec<_> = self.followed.keys().cloned().collect();
        for name in names {
            self.look_at(&name)?;
            self.sign();
            let Some(segment) = self.followed.get_mut(&name) else { continue };
            let cut = if segment.is_finished() && !segment.is_unread() {
                segment.cut_last()
            } else {
                segment.cut()
            };
            if let Err(trouble) = cut {
                self.trouble(&name, trouble)?;
                continue;
            }
            if segment.unsynced() > 0 {
                let (file, upto) = (segment.file(), segment.length());
                self.syncer.give(Task::Segment(name.to_string(), upto), move || own::sync(&file))?;
            }
        }
        self.round = Round::Segments;
        Ok(())
    }

    /// All is durable: on record with it.
    fn seal(&mut self) -> io::Result<()> {
        let names: Vec<_> = self.followed.keys().cloned().collect();
        for name in names {
            self.put_ranges(&name)?;
        }
        self.end_gates()?;
        self.seal_own()?;
        self.round = Round::Own;
        Ok(())
    }

    /// Seals all that is noted, and has the seal made durable.
    fn seal_own(&mut self) -> io::Result<()> {
        self.sealed_at = Instant::now();
        self.sealed_leaving.append(&mut self.leaving);
        if let Some(sealed) = self.own.seal()? {
            self.sealed = Some(sealed);
        }
        if let Some((file, upto)) = self.own.unsynced() {
            self.syncer.give(Task::Own(upto), move || own::sync(&file))?;
        }
        Ok(())
    }

    /// A segment's ranges, and its `close` where nothing more will come.
    fn put_ranges(&mut self, name: &str) -> io::Result<()> {
        let Some(segment) = self.followed.get_mut(name) else { return Ok(()) };
        for cut in segment.take_cut() {
            let range = Range { segment: name, from: cut.from, to: cut.to, lines: cut.lines, hash: cut.hash };
            self.own.note(&Entry::Range(range))?;
        }
        if !segment.has_failed() && segment.remembers_many() {
            match segment.on_record().as_one(&mut || self.sign()) {
                Ok(one) => {
                    let segment = self.followed.get_mut(name);
                    segment.zip(one).into_iter().for_each(|(segment, one)| segment.remember(one));
                }
                Err(trouble) => self.trouble(name, trouble)?,
            }
        }
        let Some(segment) = self.followed.get(name) else { return Ok(()) };
        let over = segment.is_finished() && !segment.is_unread();
        if !over || segment.unsynced() > 0 || segment.has_cut() {
            return Ok(());
        }
        if !segment.has_failed()
            && let Err(trouble) = segment.on_record().holds(&mut || self.sign())
        {
            self.trouble(name, trouble)?;
        }
        self.put_close(name)
    }

    fn put_close(&mut self, name: &str) -> io::Result<()> {
        let Some(mut segment) = self.followed.remove(name) else { return Ok(()) };
        if let Some(lane) = segment.lane().cloned() {
            let requests = &mut self.requests;
            segment.heed_rest(&mut |_, judged| {
                // What does not fit is of a gate that is ended for it elsewhere.
                let _fits = judged.request.is_none_or(|progress| requests.heed(&lane, progress));
                Ok(())
            });
            let lane = &lane;
            let open = self.requests.of(lane);
            for ids in open.chunks(PENDING_MOST) {
                self.own.note(&Entry::Pending(Pending { segment: name, ids }))?;
            }
        }
        let (bytes, torn) = (segment.sealed(), segment.is_torn());
        tracing::debug!(segment = name, lines = segment.lines(), bytes, "closed");
        let known = (!segment.has_failed()).then_some(bytes);
        let closed = !segment.has_failed() || segment.was_intruded();
        if !closed {
            // What the disk has of it is for the next start to find out.
            self.abandoned.insert(name.into(), bytes);
        } else {
            self.own.note(&Entry::Close(Close { segment: name, bytes, torn }))?;
        }
        // A segment that failed is given back as well: nobody writes to it any more.
        self.leaving.push_back(FromScribe::Released { segment: name.to_owned(), bytes: known, closed });
        Ok(())
    }

    /// A segment that can't be read or synced needs another, and one that somebody has touched an end of its gate.
    /// Told once: nothing more is read of it.
    pub(super) fn trouble(&mut self, name: &str, trouble: Trouble) -> io::Result<()> {
        let Some(segment) = self.followed.get_mut(name) else { return Ok(()) };
        if segment.has_failed() {
            if matches!(trouble, Trouble::Unreadable(_)) {
                segment.leave_cut();
            }
            return Ok(());
        }
        match trouble {
            Trouble::Unreadable(errno) => {
                segment.fail();
                self.durables.fail(name)?;
                tracing::error!(segment = name, errno = errno.desc(), "a segment can't be read or synced");
                self.unsent.push_back(FromScribe::Failed { segment: name.to_owned(), errno: errno as i32 });
            }
            Trouble::Intruded { at, why } => {
                segment.intruded(at);
                self.durables.fail(name)?;
                self.intrusion(name, at, why)?;
            }
        }
        Ok(())
    }

    /// On record, and told.
    pub(super) fn intrusion(&mut self, name: &str, at: u64, why: Seen) -> io::Result<()> {
        tracing::error!(segment = name, at, why = why.code(), "somebody has touched a segment");
        self.live.counters.intruded();
        self.own.note(&Entry::Intrusion(Intrusion { segment: name, at, why }))?;
        self.own.write()?;
        self.wish = true;
        let why = why.code().to_owned();
        self.unsent.push_back(FromScribe::Intruded { segment: name.to_owned(), at, why });
        Ok(())
    }

    /// What gates that are gone, and whose segments are closed, left without an outcome.
    fn end_gates(&mut self) -> io::Result<()> {
        let written: BTreeSet<u32> = self.followed.values().filter_map(Followed::gate).collect();
        let gone: Vec<u32> = self.gone.difference(&written).copied().collect();
        for gate in gone {
            self.gone.remove(&gate);
            self.live.counters.forget(gate);
            let open = self.requests.take(|lane| lane.gate == Some(gate));
            self.end_requests(open, Outcome::GateDied)?;
        }
        Ok(())
    }

    /// Closes requests for who can't any more.
    pub(super) fn end_requests(&mut self, ids: Vec<RequestId>, result: Outcome) -> io::Result<()> {
        for id in ids {
            let outcome = OutcomeOf { id, status: None, result, bytes_in: 0, bytes_out: 0, us: 0 };
            self.own.note(&Entry::Outcome(outcome))?;
            self.wish = true;
        }
        Ok(())
    }

    /// Another segment, where this one has its size; again after a while, where there was none.
    fn ask_for_segment(&mut self) {
        let lately = self.asked.is_some_and(|asked| asked.elapsed() < AGAIN);
        let full = self.own.length() >= self.size.saturating_add(self.carried);
        if self.keys.is_some() && full && self.next_own.is_none() && !lately {
            self.asked = Some(Instant::now());
            self.unsent.push_back(FromScribe::NeedSegment);
        }
    }

    /// Goes on in another segment, once the latest seal in this one covers all of it and is durable. Nothing may come
    /// between its `open` and its `epoch`, so it is begun no earlier than there is the key for the epoch.
    fn turn_over(&mut self, next: NextOwn) -> io::Result<()> {
        let NextOwn { name, segment, reserved } = next;
        let own = Own::begin(name, segment, reserved, &self.start)?;
        let (prev, old) = (self.own.last_seal(), std::mem::replace(&mut self.own, own));
        self.directory_changed = true;
        self.prev = prev;
        self.old = Some((old.name().to_owned(), old.length()));
        Ok(())
    }

    /// The first step into an epoch.
    pub(super) fn begin_keys(&mut self) -> io::Result<()> {
        let Some(keys) = &self.keys else { return Ok(()) };
        let ready = Box::new(keys.ready(self.recorded)?);
        self.syncer.give(Task::Keys, keys.keep_next(&ready))?;
        self.round = Round::KeepNext(ready);
        Ok(())
    }

    fn begin_epoch(&mut self, ready: Ready) -> io::Result<()> {
        let Some(keys) = self.keys.clone() else { return Ok(()) };
        if self.next_own.is_some() && self.recovery != Recovery::Read && self.own.is_unsealed() {
            // What was noted while the key went into the store belongs to the epoch that ends.
            self.seal_own()?;
            self.round = Round::KeepNext(Box::new(ready));
            return Ok(());
        }
        if self.recovery != Recovery::Read
            && let Some(next) = self.next_own.take()
        {
            self.turn_over(next)?;
        }
        let (place, epoch, key) = (ready.place(), ready.handover.epoch(), ready.handover.key());
        let line = self.own.begin_epoch(ready.handover, self.prev)?;
        let Some((own, _)) = self.own.unsynced() else { return Err(Errno::EIO.into()) };
        let mut lines = std::mem::take(&mut self.unlisted);
        lines.push(line);
        let erase = keys.erase(place, own, Arc::clone(&self.directory), lines);
        self.syncer.give(Task::Keys, erase)?;
        self.recorded = Some(epoch);
        self.began = Some((epoch, key.0));
        self.round = Round::Erase;
        Ok(())
    }

    fn epoch_begun(&mut self) -> io::Result<()> {
        if let Some((epoch, key)) = self.began.take() {
            tracing::info!(epoch, "an epoch begins");
            self.unsent.push_back(FromScribe::Began { epoch, key });
        }
        if self.recovery == Recovery::Read {
            self.recover()?;
        }
        if let Some((name, bytes)) = self.old.take() {
            self.own.note(&Entry::Close(Close { segment: &name, bytes, torn: false }))?;
            self.leaving.push_back(FromScribe::Released { segment: name, bytes: Some(bytes), closed: true });
            self.checkpoint(Interrupted::Carried, 0)?;
        }
        self.wish = true;
        Ok(())
    }

    /// What is open now, so that who reads this segment later need not look into those before it.
    pub(super) fn checkpoint(&mut self, why: Interrupted, settled: u64) -> io::Result<()> {
        let open: Vec<_> = self.requests.lanes().map(|(lane, ids)| (lane.clone(), ids)).collect();
        for (lane, ids) in open {
            let written = |(_, segment): &(&Rc<str>, &Followed)| segment.lane() == Some(&lane);
            let Some((name, _)) = self.followed.iter().rfind(written) else { continue };
            let name = Rc::clone(name);
            for ids in ids.chunks(PENDING_MOST) {
                self.own.note(&Entry::Pending(Pending { segment: &name, ids }))?;
            }
        }
        let followed = self.followed.iter().map(|(name, segment)| (name.to_string(), segment.sealed()));
        let abandoned = self.abandoned.iter().map(|(name, sealed)| (name.clone(), *sealed));
        let open: Vec<(String, u64)> = followed.chain(abandoned).collect();
        for (segment, at) in open {
            let (segment, torn) = (segment.as_str(), false);
            self.own.note(&Entry::Recover(Recover::Segment { segment, from: at, to: at, torn, why }))?;
        }
        self.own.note(&Entry::Recover(Recover::Settled(settled)))?;
        self.carried = self.own.length();
        self.wish = true;
        Ok(())
    }
}
