//! The warden's own record, and what waits for it.
//!
//! Within a round of the loop records are only noted. At its end one write puts them into the segment, and then,
//! each with its receipt, the effects follow that had to wait: a connection goes to its gate, a backend is
//! connected.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Instant;

use nix::errno::Errno;

use super::allowance::Spares;
use super::commands::Start;
use super::grant::Grant;
use super::segments::Writer;
use super::{Due, RETRY, Warden};
use crate::audit::entry::{Entry, Open};
use crate::audit::log::{Log, Noted, Unwritable};
use crate::model::ids::BootId;
use crate::model::posture::Confinement;

/// What happens once its record is in the file.
enum Effect {
    /// A connection goes to its gate; without its record too, and then the gate refuses each request.
    HandOver { connection: u64, noted: Result<Noted<()>, Unwritable> },
    /// A backend is connected; never without its record.
    Reach { grant: Grant, noted: Noted<Grant> },
    /// A command is started; never without its record.
    Run { number: u32, noted: Noted<Box<Start>> },
}

/// What became of the latest writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failing {
    /// The last one succeeded.
    Not,
    /// The last one failed, and the one before had not: another segment may do.
    Once,
    /// The last ones failed: another segment does not help at once.
    Again,
}

/// The warden's log.
pub(super) struct Record {
    log: Log,
    segment: String,
    effects: Vec<Effect>,
    unwritten: bool,
    failing: Failing,
    /// Segments that it may have in place of ones that failed as soon as they were there.
    spares: Spares,
    /// A better segment, or space, could not be had; a timer runs.
    wanting: bool,
    /// Nothing more is noted: the scribe closes the segment.
    closed: bool,
}

impl Record {
    /// A record that is written to a fresh segment.
    pub(super) fn new(segment: String, file: OwnedFd, reserved: u64) -> Record {
        let log = Log::new(file, reserved);
        Record {
            log,
            segment,
            effects: Vec::new(),
            unwritten: false,
            failing: Failing::Not,
            spares: Spares::new(Instant::now()),
            wanting: false,
            closed: false,
        }
    }

    /// The present segment's name.
    pub(super) fn segment(&self) -> &str {
        &self.segment
    }

    /// Whether it can be written now.
    pub(super) fn is_whole(&self) -> bool {
        self.log.broken().is_none()
    }

    /// Whether what is noted can be taken to be written: the last write was. A fresh segment alone does not say that.
    pub(super) fn goes_on(&self) -> bool {
        self.is_whole() && self.failing == Failing::Not
    }

    /// Notes what is only to be known; its loss is told by the diagnostics and holds up nothing.
    pub(super) fn note(&mut self, entry: &Entry<'_>) {
        if self.closed {
            return tracing::debug!(?entry, "not on record: the daemon has closed it");
        }
        match self.log.note((), entry) {
            Ok(noted) => {
                // Nothing waits for this one.
                drop(noted);
                self.unwritten = true;
            }
            Err(error) => tracing::warn!(%error, "a record of the warden is lost"),
        }
    }

    /// Nothing more goes into the present segment.
    fn fail(&self, errno: Errno) {
        self.log.unsyncable(self.log.present(), errno as i32);
    }

    /// Nothing is noted any more.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// The same, where whoever asks wants to know whether it could be noted.
    pub(super) fn note_if_it_can(&mut self, entry: &Entry<'_>) -> bool {
        let noted = self.log.note((), entry).is_ok();
        self.unwritten |= noted;
        noted
    }

    /// Notes a connection and has it handed over afterwards.
    pub(super) fn then_hand_over(&mut self, connection: u64, entry: &Entry<'_>) {
        let noted = self.log.note((), entry);
        self.unwritten = true;
        self.effects.push(Effect::HandOver { connection, noted });
    }

    /// Notes a grant and has the backend connected afterwards.
    ///
    /// # Errors
    ///
    /// The record can't be written, so nothing may happen.
    pub(super) fn then_reach(&mut self, grant: Grant, entry: &Entry<'_>) -> Result<(), Unwritable> {
        let noted = self.log.note(grant, entry)?;
        self.unwritten = true;
        self.effects.push(Effect::Reach { grant, noted });
        Ok(())
    }

    /// Notes a command and has it started afterwards.
    ///
    /// # Errors
    ///
    /// The record can't be written, so nothing may happen.
    pub(super) fn then_run(&mut self, start: Box<Start>, entry: &Entry<'_>) -> Result<(), Unwritable> {
        let number = start.number();
        let noted = self.log.note(start, entry)?;
        self.unwritten = true;
        self.effects.push(Effect::Run { number, noted });
        Ok(())
    }

    /// Writes what is noted, and takes what waited for it. `None`: nothing is left.
    fn write(&mut self) -> Option<Vec<Effect>> {
        if !std::mem::take(&mut self.unwritten) {
            return None;
        }
        match self.log.flush() {
            Ok(()) if self.log.written_bytes() > 0 => self.failing = Failing::Not,
            Ok(()) => {}
            Err(error) => {
                tracing::error!(%error, segment = self.segment, "the warden's record can't be written");
                self.failing = if self.failing == Failing::Not { Failing::Once } else { Failing::Again };
            }
        }
        Some(std::mem::take(&mut self.effects))
    }
}

impl Warden {
    /// Ends a round: writes its records, then lets their effects happen, which may note records of their own.
    pub(super) fn settle(&mut self) {
        while let Some(effects) = self.record.write() {
            for effect in effects {
                self.let_happen(effect);
            }
        }
        self.mind_own_segment();
    }

    fn let_happen(&mut self, effect: Effect) {
        match effect {
            Effect::HandOver { connection, noted } => {
                let recorded = noted.and_then(|noted| self.record.log.receipt(noted)).is_ok();
                self.hand_over(connection, recorded);
            }
            Effect::Reach { grant, noted } => match self.record.log.receipt(noted) {
                Ok(receipt) => self.reach(receipt),
                Err(_unwritable) => self.not_recorded(grant),
            },
            Effect::Run { number, noted } => match self.record.log.receipt(noted) {
                Ok(receipt) => self.start_command(receipt),
                Err(_unwritable) => self.command_not_recorded(number),
            },
        }
    }

    /// Space ahead for the warden's own segment; another one where it is full or can't be written.
    fn mind_own_segment(&mut self) {
        let broken = self.record.log.broken().is_some();
        let used = self.record.log.wants_space();
        if self.record.closed || self.record.wanting || !broken && used.is_none() {
            return;
        }
        if broken && self.record.failing == Failing::Again {
            return self.want_own_segment();
        }
        self.renew_own_segment(broken, used.unwrap_or_default());
    }

    /// The timer's second try.
    pub(super) fn renew_own_segment_again(&mut self) {
        self.record.wanting = false;
        if self.record.closed {
            return;
        }
        let broken = self.record.log.broken().is_some();
        self.renew_own_segment(broken, self.record.log.written_bytes());
    }

    fn renew_own_segment(&mut self, broken: bool, used: u64) {
        if !broken && !self.segments.full(&self.record.segment) {
            match self.segments.reserve(&self.record.segment, used) {
                Ok(upto) => return self.record.log.reserve(upto),
                Err(error) => tracing::warn!(%error, "no disk space can be reserved for the warden's record"),
            }
            return self.want_own_segment();
        }
        // A disk that takes names and no bytes must not fill with empty files.
        if self.record.failing == Failing::Again && !self.record.spares.take(Instant::now()) {
            return self.want_own_segment();
        }
        match self.segments.create(Writer::Warden) {
            Ok(made) => self.switch_own_segment(made.name, &made.file, made.reserved),
            Err(error) => {
                tracing::warn!(%error, "the warden gets no segment");
                self.want_own_segment();
            }
        }
    }

    /// The present segment can't be read or synced, or its name is lost. What is not written yet, and what waits for it,
    /// fails: a record there would be none.
    pub(super) fn renew_failed_own_segment(&mut self, errno: Errno) {
        self.record.fail(errno);
        if !self.record.wanting && !self.record.closed {
            self.renew_own_segment(true, 0);
        }
    }

    /// The present segment is old.
    pub(super) fn renew_old_own_segment(&mut self) {
        if !self.record.wanting && !self.record.closed {
            self.renew_own_segment(true, 0);
        }
    }

    fn want_own_segment(&mut self) {
        self.record.wanting = true;
        self.timers.after(RETRY, Due::OwnSegment);
    }

    fn switch_own_segment(&mut self, name: String, file: &Rc<OwnedFd>, reserved: u64) {
        let file = match file.try_clone() {
            Ok(file) => file,
            Err(error) => {
                tracing::warn!(%error, "the warden gets no segment");
                // Nobody would ever write to it, or close it.
                self.segments.discard(&name);
                return self.want_own_segment();
            }
        };
        self.record.log.replace(file, reserved);
        let old = std::mem::replace(&mut self.record.segment, name.clone());
        self.open_own_segment();
        self.follow(&name);
        self.finished(&old);
    }

    /// The first record of the warden's present segment.
    pub(super) fn open_own_segment(&mut self) {
        let entry = open(self.boot, &self.force.short, &self.missing, &self.confined);
        self.record.note(&Entry::Open(entry));
    }
}

fn open<'a>(boot: BootId, policy: &'a str, missing: &'a [String], posture: &'a Confinement) -> Open<'a> {
    let version = env!("CARGO_PKG_VERSION");
    Open { boot, role: "warden", uid: None, pid: std::process::id(), version, policy, missing, posture }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::entry::Journalled;
    use crate::model::time::Timestamp;

    #[test]
    fn segment_that_failed_takes_nothing_more_until_there_is_another() {
        let now = Timestamp::now();
        let entry = Entry::Journal(Journalled { count: 1, first: now, last: now });
        let files = [tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap()];
        let [first, second] = files.each_ref().map(|file| OwnedFd::from(file.try_clone().unwrap()));
        let mut record = Record::new("first".to_owned(), first, 1 << 20);
        record.then_hand_over(1, &entry);
        record.fail(Errno::EIO);
        record.then_hand_over(2, &entry);
        assert!(!record.is_whole() && !record.note_if_it_can(&entry));
        for effect in record.write().unwrap() {
            let Effect::HandOver { noted, connection } = effect else { panic!("nothing was granted") };
            let recorded = noted.and_then(|noted| record.log.receipt(noted)).is_ok();
            assert!(!recorded, "{connection} is handed over as if it were on record");
        }
        assert_eq!(files[0].metadata().unwrap().len(), 0);
        record.log.replace(second, 1 << 20);
        assert!(record.is_whole() && record.note_if_it_can(&entry));
        assert!(!record.goes_on(), "nothing is known of it yet");
        record.write();
        assert!(files[1].metadata().unwrap().len() > 0);
        assert!(record.goes_on());
    }

    #[test]
    fn segment_that_takes_nothing_is_no_record_that_goes_on() {
        let now = Timestamp::now();
        let entry = Entry::Journal(Journalled { count: 1, first: now, last: now });
        // Each write fails (EBADF), as on a disk that takes names and no bytes.
        let deaf = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let mut record = Record::new("first".to_owned(), deaf(), 1 << 20);
        for failing in [Failing::Once, Failing::Again, Failing::Again] {
            record.note(&entry);
            record.write();
            assert_eq!((record.failing, record.is_whole()), (failing, false));
            record.log.replace(deaf(), 1 << 20);
            assert!(record.is_whole() && !record.goes_on());
        }
    }
}
