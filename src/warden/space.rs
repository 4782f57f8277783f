//! Space for the lanes' records: further ahead when they ask, another segment when theirs is full or fails.
//! While there is none to be had the lane refuses every request, and once a second it is tried again. All that a uid's
//! gates are given is charged to that uid ([`allowance`](super::allowance)).

use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::allowance::Terms;
use super::poll::LaneId;
use super::roster::{Wanting, Whose};
use super::segments::Writer;
use super::{Due, RETRY, Warden};
use crate::wire::message::ToGate;

/// A lane that was given so many segments goes on in the last of them before it gets another.
const UNUSED: usize = 4;

impl Warden {
    /// A lane says that it has used `written` bytes of its segment and asks for more. What the file does not
    /// hold is not believed: a gate that was taken over could have the disk reserved away.
    pub(super) fn reserve_for_lane(&mut self, id: LaneId, written: u64) {
        let Some(lane) = self.roster.lane_mut(id).filter(|lane| lane.may_ask()) else { return };
        let Some(name) = lane.segments.last().cloned() else { return };
        let name = name.as_str();
        if !self.segments.is_used(name) {
            tracing::warn!(?id, written, "a lane asks for space before it has used what it has");
            return self.lane_wants(id, Wanting::Space { written });
        }
        self.charge(name);
        if let Some(wait) = self.must_wait(id) {
            return self.lane_waits(id, Wanting::Space { written }, wait);
        }
        if self.segments.full(name) {
            return self.give_lane_segment(id);
        }
        match self.segments.reserve(name, written) {
            Ok(upto) => {
                self.charge(name);
                self.tell_lane(id, ToGate::Reserved { upto }, Vec::new());
                self.lane_wants(id, Wanting::Nothing);
            }
            Err(error) => {
                tracing::warn!(%error, ?id, "no disk space can be reserved for a lane");
                self.lane_wants(id, Wanting::Space { written });
            }
        }
    }

    /// A lane can't write its segment, or has filled it.
    pub(super) fn lane_needs_segment(&mut self, id: LaneId, errno: i32) {
        let Some(lane) = self.roster.lane_mut(id).filter(|lane| lane.may_ask()) else { return };
        // One that fails as soon as it is there is not followed by the next one at once.
        let now = Instant::now();
        let soon = lane.failed.replace(now).is_some_and(|before| now.duration_since(before) < RETRY);
        let failed = if errno == 0 { None } else { lane.segments.pop() };
        lane.unproven |= errno != 0;
        tracing::info!(?id, errno, "a lane needs another segment");
        if let Some(name) = failed {
            // Nothing more goes into one that failed.
            self.finished(&name);
        }
        if soon { self.lane_wants(id, Wanting::Segment) } else { self.give_lane_segment(id) }
    }

    /// A segment failed behind its writer's back: the scribe can't read or sync it, or its name is lost.
    pub(super) fn replace_segment(&mut self, name: &str, errno: Errno) {
        if name == self.record.segment() {
            return self.renew_failed_own_segment(errno);
        }
        if let Some(id) = self.lane_that_writes(name) {
            self.give_lane_segment(id);
        }
    }

    /// A segment is good and old: its writer goes on in another. One that would have to wait for that stays where it is.
    pub(super) fn renew_segment(&mut self, name: &str) {
        if name == self.record.segment() {
            return self.renew_old_own_segment();
        }
        if let Some(id) = self.lane_that_writes(name)
            && self.roster.lane(id).is_some_and(|lane| lane.may_ask())
            && self.must_wait(id).is_none()
        {
            self.give_lane_segment(id);
        }
    }

    /// A lane goes on in another segment, whatever its present one is like.
    pub(super) fn replace_lane_segment(&mut self, id: LaneId) {
        if self.roster.lane(id).is_some_and(|lane| lane.wanting != Wanting::Segment) {
            self.give_lane_segment(id);
        }
    }

    fn give_lane_segment(&mut self, id: LaneId) {
        let Some(whose) = self.roster.gate(id.gate).map(|gate| gate.whose) else { return };
        if let Some(wait) = self.must_wait(id) {
            return self.lane_waits(id, Wanting::Segment, wait);
        }
        // What it wrote to the one before says nothing of the next, but that it could.
        if let Some(lane) = self.roster.lane_mut(id) {
            lane.unproven &= !lane.segments.last().is_some_and(|name| self.segments.holds_some(name));
        }
        if !self.may_have_another(id) {
            return self.lane_wants(id, Wanting::Segment);
        }
        match self.segments.create(Writer::Lane { uid: whose, gate: id.gate, lane: id.lane }) {
            Ok(made) => {
                self.tell_lane(id, ToGate::Segment { reserved: made.reserved }, vec![Rc::clone(&made.file)]);
                if let Some(lane) = self.roster.lane_mut(id) {
                    lane.segments.push(made.name.clone());
                }
                self.charge(&made.name);
                self.follow(&made.name);
                self.lane_wants(id, Wanting::Nothing);
            }
            Err(error) => {
                tracing::warn!(%error, ?id, "there is no segment for a lane");
                self.lane_wants(id, Wanting::Segment);
            }
        }
    }

    /// The lane writes to its last segment only; those before have all that they will ever have.
    pub(super) fn lane_switched(&mut self, id: LaneId) {
        let Some(lane) = self.roster.lane_mut(id) else { return };
        let last = lane.segments.pop();
        let done = std::mem::take(&mut lane.segments);
        lane.segments.extend(last);
        done.iter().for_each(|name| self.finished(name));
    }

    /// The second's pause is over.
    pub(super) fn give_lane_again(&mut self, id: LaneId) {
        let Some(lane) = self.roster.lane_mut(id) else { return };
        match std::mem::replace(&mut lane.wanting, Wanting::Nothing) {
            Wanting::Nothing => {}
            Wanting::Space { written } => self.reserve_for_lane(id, written),
            Wanting::Segment => self.give_lane_segment(id),
        }
    }

    /// Notes what a lane could not be given, or that it lacks nothing.
    pub(super) fn lane_wants(&mut self, id: LaneId, wanting: Wanting) {
        self.lane_waits(id, wanting, RETRY);
    }

    fn lane_waits(&mut self, id: LaneId, wanting: Wanting, wait: Duration) {
        let Some(lane) = self.roster.lane_mut(id) else { return };
        lane.wanting = wanting;
        if wanting != Wanting::Nothing {
            self.timers.after(wait, Due::LaneSegment(id));
        }
        self.tell_recordable(id);
    }

    /// Whether a lane may have a segment more. One in place of a full one it may: that was paid for by what is in it.
    fn may_have_another(&mut self, id: LaneId) -> bool {
        let segments = &self.segments;
        let Some(lane) = self.roster.lane_mut(id) else { return false };
        let full = lane.segments.last().is_some_and(|name| segments.full(name));
        lane.segments.len() < UNUSED && (full || lane.spares.take(Instant::now()))
    }

    /// Charges what a lane's segment takes by now to the gate that writes it.
    pub(super) fn charge(&mut self, name: &str) {
        if let Some((whose, bytes)) = self.segments.uncharged(name) {
            let terms = self.allowance(whose);
            self.allowances.charge(whose, bytes, terms, Instant::now());
        }
    }

    /// How long a lane has to wait until it is given anything more; `None`: it need not.
    pub(super) fn must_wait(&mut self, id: LaneId) -> Option<Duration> {
        let whose = self.roster.gate(id.gate)?.whose;
        let terms = self.allowance(whose);
        self.allowances.wait(whose, terms, Instant::now())
    }

    /// A gate that is shared may have what each of those who are there may.
    fn allowance(&self, whose: Whose) -> Terms {
        let uids = if whose.is_some() { 1 } else { self.callers.present().max(1) };
        let rate = self.force.policy.limits.log_bytes_per_s.saturating_mul(uids);
        Terms { rate, lanes: self.force.lanes() }
    }

    /// Whether what everybody asks can be recorded: there is a scribe, a directory, and room, and nobody's last write
    /// failed. Where a disk is full, what is reserved may serve for a while yet.
    pub(super) fn is_recordable(&self) -> bool {
        let goes_on = self.scribe.is_alive() && self.record.goes_on() && !self.homeless;
        goes_on && !self.segments.is_scarce() && !self.lane_fails()
    }

    /// Whether a lane could not write its segment and has written nothing to another one since: on a disk that takes
    /// names and no bytes there is always another.
    fn lane_fails(&self) -> bool {
        let mut lanes = self.roster.gates().flat_map(|(_, gate)| &gate.lanes).filter(|lane| lane.unproven);
        lanes.any(|lane| !lane.segments.last().is_some_and(|name| self.segments.holds_some(name)))
    }

    /// Tells a lane whether its requests can be recorded, where that is news to it. Scarce space alone is not
    /// told: what is reserved still serves, and beyond it the lane refuses by itself.
    pub(super) fn tell_recordable(&mut self, id: LaneId) {
        let (alive, homeless) = (self.scribe.is_alive(), self.homeless);
        let Some(lane) = self.roster.lane_mut(id) else { return };
        let yes = alive && !homeless && lane.wanting != Wanting::Segment;
        if std::mem::replace(&mut lane.recordable, yes) != yes {
            self.tell_lane(id, ToGate::Recordable { yes }, Vec::new());
        }
    }
}
