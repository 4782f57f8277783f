//! What the scribe says, and what follows from it: segments released, names and files of before handed out, a gate
//! ended whose segment somebody has touched.

use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::Warden;
use super::drain::Phase;
use super::poll::{LaneId, News};
use super::segments::Writer;
use super::supervise::SILENCE;
use crate::audit::entry::{Entry, GateEvent, Life};
use crate::wire::message::{ControlReply, FromScribe, LastSeal, ToScribe};

/// So much is heard of it in one round.
const BURST: usize = 256;
/// Names in one message.
const NAMES: usize = 400;

impl Warden {
    /// News of the scribe's channel.
    pub(super) fn hear_scribe(&mut self, news: News) {
        if news.writable {
            self.push_scribe();
        }
        if !news.readable {
            return;
        }
        for _ in 0..BURST {
            match self.scribe.next() {
                Ok(Some(message)) => self.obey_scribe(message),
                Ok(None) => return,
                Err(error) => {
                    self.scribe.forget_line(&self.poll);
                    // Where all is closed it leaves by itself, which its process's end tells.
                    if self.phase != Phase::Closed {
                        tracing::warn!(%error, "the scribe's channel ended");
                        self.scribe.kill();
                    }
                    return;
                }
            }
        }
    }

    pub(super) fn obey_scribe(&mut self, message: FromScribe) {
        match message {
            FromScribe::Confined(confined) => self.scribe.confined(*confined),
            FromScribe::Names { after } => self.name_segments(&after),
            FromScribe::Show { segment } => self.show_segment(&segment),
            FromScribe::Reading => self.scribe.signed(Instant::now()),
            FromScribe::Damaged { what } => {
                tracing::error!(what, "the record is damaged");
                self.scribe.damage = Some(what);
            }
            FromScribe::Recovered => {
                self.tell_scribe(ToScribe::Settle, Vec::new());
                self.begin_keeping();
            }
            FromScribe::Began { epoch, key } => {
                self.scribe.epoch = Some((epoch, key));
                self.scribe.begins = false;
                self.rekeyed(epoch);
                self.tell_new_chain();
            }
            FromScribe::Alive { unsynced, lost_lines, behind_ms, lag, sealed } => {
                self.scribe.lag = lag;
                self.scribe_lives(unsynced, lost_lines, behind_ms, sealed);
            }
            FromScribe::Failed { segment, errno } => {
                tracing::error!(segment, errno, "the scribe can't read or sync a segment");
                self.replace_segment(&segment, Errno::from_raw(errno));
            }
            FromScribe::Intruded { segment, at, why } => self.intruded(&segment, at, &why),
            FromScribe::Doubted { segment, at } => self.doubted(&segment, at),
            FromScribe::Released { segment, bytes, closed } => {
                let behind = bytes.and_then(|at| {
                    self.segments.is_written_behind_its_end(&segment, at).map(|gate| (gate, at))
                });
                if let Some((gate, at)) = behind {
                    self.wrote_behind(&segment, gate, at);
                }
                self.charge(&segment);
                if let Err(error) = self.segments.release(&segment, bytes) {
                    tracing::warn!(%error, segment, "a segment's unused space can't be given back");
                }
                self.keep_after(&segment, closed);
            }
            FromScribe::Packed { segment, failed } => self.packed(&segment, failed.as_deref()),
            FromScribe::NamesSynced { segment, failed } => self.names_synced(&segment, failed.as_deref()),
            FromScribe::Pruned { segment, failed } => self.pruned(&segment, failed.as_deref()),
            FromScribe::NeedSegment => self.give_scribe_segment(),
            FromScribe::Closed => self.closed(),
            // Only a scribe that was started for it is asked to try anything.
            FromScribe::Tried(_) => {}
        }
    }

    fn scribe_lives(&mut self, unsynced: u64, lost_lines: u64, behind_ms: u32, sealed: Option<LastSeal>) {
        let now = Instant::now();
        self.scribe.unsynced = unsynced;
        self.scribe.lost_lines = lost_lines;
        self.scribe.sealed = sealed.or(self.scribe.sealed);
        if let Some(sealed) = sealed {
            self.heed_seal(&sealed);
        }
        self.scribe.signed(now);
        // One that works on a disk that does not answer lives, and the record can't be trusted to go on.
        let behind = Duration::from_millis(behind_ms.into());
        let stuck = behind >= SILENCE;
        if std::mem::replace(&mut self.scribe.stuck, stuck) != stuck && stuck {
            tracing::error!(seconds = behind.as_secs(), "the disk does not let the scribe seal");
        }
        if !stuck {
            self.scribe.heard = now;
        }
        self.scribe_is(!stuck);
    }

    /// Names of all segments, for a scribe that looks what is there from before.
    fn name_segments(&mut self, after: &str) {
        // Listed once, however many answers it takes.
        if after.is_empty() {
            self.scribe.listing = self.segments.names("").unwrap_or_else(|error| {
                tracing::error!(%error, "the audit directory can't be listed");
                Vec::new()
            });
        }
        let behind = self.scribe.listing.partition_point(|name| name.as_str() <= after);
        let names: Vec<String> = self.scribe.listing.iter().skip(behind).take(NAMES).cloned().collect();
        let more = behind + names.len() < self.scribe.listing.len();
        if !more {
            self.scribe.listing = Vec::new();
        }
        self.tell_scribe(ToScribe::Names { names, more }, Vec::new());
    }

    fn show_segment(&mut self, segment: &str) {
        match self.segments.earlier(segment) {
            Ok(file) => self.tell_scribe(ToScribe::Shown { missing: None }, vec![Rc::new(file)]),
            Err(error) => {
                self.tell_scribe(ToScribe::Shown { missing: Some(error.to_string()) }, Vec::new());
            }
        }
    }

    /// The scribe goes on in another segment, with another epoch.
    pub(super) fn give_scribe_segment(&mut self) {
        // Its beginning in the one that it has answers whoever wants another.
        if self.scribe.begins {
            return;
        }
        match self.segments.create(Writer::Scribe) {
            Ok(made) => {
                let policy = self.force.short.clone();
                let own = ToScribe::Own { segment: made.name.clone(), reserved: made.reserved, policy };
                if let Some(before) = self.scribe.goes_on_in(made.name) {
                    self.segments.finish(&before);
                }
                self.scribe.begins = true;
                self.tell_scribe(own, vec![made.file]);
            }
            // It asks again, and until then goes on where it is.
            Err(error) => tracing::warn!(%error, "there is no further segment for the scribe"),
        }
    }

    /// Somebody has touched a segment, or its writer has written what it must not: that gate ends. Where it was
    /// nobody's of ours, whoever still writes there gets another segment.
    fn intruded(&mut self, segment: &str, at: u64, why: &str) {
        tracing::error!(segment, at, why, "the scribe found an intrusion");
        let writes = |id: &LaneId| {
            let lane = self.roster.lane(*id);
            lane.is_some_and(|lane| lane.segments.iter().any(|name| name == segment))
        };
        let Some(lane) = self.roster.lanes().into_iter().find(writes) else {
            return self.replace_segment(segment, Errno::EBADMSG);
        };
        self.end_intruder(lane.gate);
    }

    /// A gate's line says an instant at which it was not written. That may have an honest cause, so it is on record and
    /// nothing more.
    fn doubted(&mut self, segment: &str, at: u64) {
        let Some(number) = self.segments.gate_of(segment) else { return };
        tracing::warn!(
            segment,
            at,
            gate = number,
            "a gate's line says that it was written long before it was"
        );
        if let Some(gate) = self.roster.gate(number) {
            let (uid, pid) = (gate.whose, gate.child.pid());
            let event =
                GateEvent { role: "gate", uid, pid, event: Life::Backdated, live: &[], syscall: None };
            self.record.note(&Entry::Gate(event));
        }
    }

    /// A gate has written to a segment that it had said to have left.
    pub(super) fn wrote_behind(&mut self, segment: &str, gate: u32, at: u64) {
        tracing::error!(segment, at, gate, "a gate wrote to a segment that it had left");
        self.end_intruder(gate);
    }

    fn end_intruder(&mut self, number: u32) {
        if let Some(gate) = self.roster.gate(number) {
            let (uid, pid) = (gate.whose, gate.child.pid());
            let event = GateEvent { role: "gate", uid, pid, event: Life::Intruded, live: &[], syscall: None };
            self.record.note(&Entry::Gate(event));
        }
        self.kill_gate(number);
    }

    /// Another epoch, because somebody asked for it.
    pub(super) fn rekey(&mut self, client: u32) {
        if self.phase != Phase::Serving || !self.scribe.is_running() {
            let why = "there is no scribe now that could begin an epoch; ask again in a moment".to_owned();
            return self.reply_control(client, &ControlReply::Refused { why });
        }
        self.scribe.rekeying.push(client);
        self.give_scribe_segment();
    }

    fn rekeyed(&mut self, epoch: u64) {
        for client in std::mem::take(&mut self.scribe.rekeying) {
            self.reply_control(client, &ControlReply::Rekeyed { epoch });
        }
    }
}
