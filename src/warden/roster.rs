//! Which gates there are, whose they are, and when one that died may start again. Pure book-keeping: nothing
//! here starts or ends a process.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::allowance::Spares;
use super::line::Line;
use super::poll::{Interest, LaneId};
use crate::model::posture::Confinement;
use crate::sys::process::Child;
use crate::wire::message::ToGate;

/// Connections that wait for a gate to start again; more are refused.
const WAITING: usize = 256;
/// Messages that wait for a lane; connections beyond are refused.
pub(super) const QUEUED: usize = 1024;
/// A gate that ran this long is not failing.
const STEADY: Duration = Duration::from_secs(60);

/// Descriptors that one connection may need in its gate: the caller's socket and a backend's, and a duplicate of each
/// that its event loop watches for room.
const PER_CONNECTION: u64 = 4;
/// What a lane has open besides: its channel, its segment, its event loop, and a message's while it is taken.
const PER_LANE: u64 = 8;
/// What a gate has open besides.
const PER_GATE: u64 = 32;

/// How many connections a gate of `lanes` lanes has descriptors for, where a process may have `most`. At a full table
/// a descriptor that is passed to it would be lost, and with it what the gate can be told (MSG_CTRUNC, `unix(7)`).
pub(super) fn most_connections(most: u64, lanes: usize) -> u64 {
    let lanes = u64::try_from(lanes).unwrap_or(u64::MAX);
    most.saturating_sub(PER_LANE.saturating_mul(lanes).saturating_add(PER_GATE)) / PER_CONNECTION
}

/// Whose gate: one uid's, or everybody's.
pub(super) type Whose = Option<u32>;

/// One running process.
pub(super) struct Gate {
    /// Whose.
    pub(super) whose: Whose,
    /// The process.
    pub(super) child: Child,
    /// Its threads.
    pub(super) lanes: Vec<Lane>,
    /// It was told to drain.
    pub(super) leaving: bool,
    /// Since when it has had no connection.
    pub(super) idle_since: Option<Instant>,
    /// A timer will look at that.
    pub(super) reminded: bool,
    /// What its process found when it read itself back.
    pub(super) confined: Option<Confinement>,
    started: Instant,
}

/// One thread of a gate, as the warden sees it.
pub(super) struct Lane {
    /// What it is told.
    pub(super) line: Line<ToGate>,
    /// The segments that it may still write to; the last one is its present one.
    pub(super) segments: Vec<String>,
    /// Connections that it holds.
    pub(super) connections: u32,
    /// The last word it got about whether the record goes on.
    pub(super) recordable: bool,
    /// What it waits for because it could not be had.
    pub(super) wanting: Wanting,
    /// Segments that it may have though it has not filled the one before.
    pub(super) spares: Spares,
    /// When it last said that its segment failed.
    pub(super) failed: Option<Instant>,
    /// Its last write failed, and it is not known to have written since.
    pub(super) unproven: bool,
    /// What its channel is watched for.
    pub(super) interest: Interest,
    /// It said that all is settled.
    pub(super) drained: bool,
}

/// What a lane lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanting {
    /// Nothing.
    Nothing,
    /// Space beyond what it has used.
    Space {
        /// Bytes used.
        written: u64,
    },
    /// A segment.
    Segment,
}

impl Lane {
    /// A lane without any connection.
    pub(super) fn new(line: Line<ToGate>) -> Lane {
        Lane {
            line,
            segments: Vec::new(),
            connections: 0,
            recordable: true,
            wanting: Wanting::Nothing,
            spares: Spares::new(Instant::now()),
            failed: None,
            unproven: false,
            interest: Interest::Read,
            drained: false,
        }
    }

    /// Whether it takes what it is told. Who asks and does not listen is not heard until it does: its answers
    /// must not fill our memory.
    pub(super) fn listens(&self) -> bool {
        self.line.waiting() < QUEUED
    }

    /// Whether it may ask for space or a segment: not while a timer will give it what it asked for, nor while
    /// it has not yet switched to the segment that it got last.
    pub(super) fn may_ask(&self) -> bool {
        self.wanting == Wanting::Nothing && self.segments.len() <= 1
    }
}

impl Gate {
    /// A process that was just started.
    pub(super) fn new(whose: Whose, child: Child, lanes: Vec<Lane>, now: Instant) -> Gate {
        Gate {
            whose,
            child,
            lanes,
            leaving: false,
            idle_since: Some(now),
            reminded: false,
            confined: None,
            started: now,
        }
    }

    /// All the connections of all its lanes.
    pub(super) fn connections(&self) -> u64 {
        self.lanes.iter().map(|lane| u64::from(lane.connections)).sum()
    }

    /// The lane with the fewest connections.
    pub(super) fn quietest(&self) -> Option<u16> {
        let places = 0_u16..;
        let lanes = self.lanes.iter().zip(places).filter(|(lane, _)| !lane.drained);
        lanes.min_by_key(|(lane, _)| lane.connections).map(|(_, place)| place)
    }
}

/// One caller's place: its gate if it runs, and its history.
#[derive(Default)]
struct Slot {
    gate: Option<u32>,
    deaths: u32,
    failures: u32,
    not_before: Option<Instant>,
    waiting: VecDeque<u64>,
}

/// Where a connection goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// To this running gate.
    Running(u32),
    /// A gate for it has to be started.
    Start(Whose),
    /// A gate for it died a moment ago; it starts again then.
    Wait(Whose, Instant),
}

/// All gates.
#[derive(Default)]
pub(super) struct Roster {
    gates: BTreeMap<u32, Gate>,
    slots: HashMap<Whose, Slot>,
    count: u32,
}

impl Roster {
    /// Where a connection of `uid` goes: to its own gate, unless one gate is shared by all or there are `most`
    /// already.
    pub(super) fn place(&self, uid: u32, shared: bool, most: usize, now: Instant) -> Place {
        let own = self.slots.get(&Some(uid)).and_then(|slot| slot.gate);
        if let Some(gate) = own.filter(|_| !shared) {
            return Place::Running(gate);
        }
        let crowded = self.gates.values().filter(|gate| gate.whose.is_some()).count() >= most;
        let whose = if shared || crowded { None } else { Some(uid) };
        match self.slots.get(&whose) {
            Some(Slot { gate: Some(gate), .. }) => Place::Running(*gate),
            Some(Slot { not_before: Some(at), .. }) if *at > now => Place::Wait(whose, *at),
            _ => Place::Start(whose),
        }
    }

    /// The number of the next gate.
    pub(super) fn next_number(&mut self) -> u32 {
        self.count += 1;
        self.count
    }

    /// A gate began to run.
    pub(super) fn began(&mut self, number: u32, gate: Gate) {
        self.slots.entry(gate.whose).or_default().gate = Some(number);
        self.gates.insert(number, gate);
    }

    /// New connections go elsewhere from now on.
    pub(super) fn leaving(&mut self, number: u32) -> Option<&mut Gate> {
        let gate = self.gates.get_mut(&number)?;
        gate.leaving = true;
        if let Some(slot) = self.slots.get_mut(&gate.whose).filter(|slot| slot.gate == Some(number)) {
            slot.gate = None;
        }
        Some(gate)
    }

    /// It does not run any more. One that was not asked to leave is started again only after a while, longer
    /// each time, until one runs steadily.
    pub(super) fn ended(&mut self, number: u32, now: Instant) -> Option<Gate> {
        let gate = self.gates.remove(&number)?;
        let slot = self.slots.entry(gate.whose).or_default();
        if slot.gate == Some(number) {
            slot.gate = None;
        }
        if gate.leaving {
            if slot.deaths == 0 && slot.waiting.is_empty() && slot.gate.is_none() {
                self.slots.remove(&gate.whose);
            }
        } else {
            slot.deaths += 1;
            slot.failures =
                if now.saturating_duration_since(gate.started) >= STEADY { 0 } else { slot.failures + 1 };
            slot.not_before = pause(slot.failures).map(|pause| now + pause);
        }
        Some(gate)
    }

    /// A start failed before there was a process.
    pub(super) fn failed(&mut self, whose: Whose, now: Instant) {
        let slot = self.slots.entry(whose).or_default();
        slot.failures += 1;
        slot.not_before = pause(slot.failures.max(2)).map(|pause| now + pause);
    }

    /// Keeps a connection until the gate starts again. `None`: too many wait already; else whether it is the
    /// first.
    pub(super) fn wait(&mut self, whose: Whose, connection: u64) -> Option<bool> {
        let slot = self.slots.entry(whose).or_default();
        let first = slot.waiting.is_empty();
        (slot.waiting.len() < WAITING).then(|| slot.waiting.push_back(connection)).map(|()| first)
    }

    /// The connections that waited.
    pub(super) fn take_waiting(&mut self, whose: Whose) -> VecDeque<u64> {
        self.slots.get_mut(&whose).map(|slot| std::mem::take(&mut slot.waiting)).unwrap_or_default()
    }

    /// One gate.
    pub(super) fn gate(&self, number: u32) -> Option<&Gate> {
        self.gates.get(&number)
    }

    /// One gate, to be changed.
    pub(super) fn gate_mut(&mut self, number: u32) -> Option<&mut Gate> {
        self.gates.get_mut(&number)
    }

    /// One lane, to be looked at.
    pub(super) fn lane(&self, id: LaneId) -> Option<&Lane> {
        self.gates.get(&id.gate)?.lanes.get(usize::from(id.lane))
    }

    /// One lane.
    pub(super) fn lane_mut(&mut self, id: LaneId) -> Option<&mut Lane> {
        self.gates.get_mut(&id.gate)?.lanes.get_mut(usize::from(id.lane))
    }

    /// All gates by number.
    pub(super) fn gates(&self) -> impl Iterator<Item = (u32, &Gate)> {
        self.gates.iter().map(|(number, gate)| (*number, gate))
    }

    /// All lanes there are.
    pub(super) fn lanes(&self) -> Vec<LaneId> {
        let of = |(number, gate): (&u32, &Gate)| {
            let gate_number = *number;
            (0_u16..)
                .zip(&gate.lanes)
                .map(move |(lane, _)| LaneId { gate: gate_number, lane })
                .collect::<Vec<_>>()
        };
        self.gates.iter().flat_map(of).collect()
    }

    /// Whose gates ever died or run, with the number of the running one and how often they died.
    pub(super) fn slots(&self) -> impl Iterator<Item = (Whose, Option<u32>, u32)> {
        self.slots.iter().map(|(whose, slot)| (*whose, slot.gate, slot.deaths))
    }
}

/// How long after the nth failure in a row nothing is started: at once after the first, then doubling up to
/// ten seconds.
pub(super) fn pause(failures: u32) -> Option<Duration> {
    let doublings = failures.checked_sub(2)?;
    Some(Duration::from_millis(100).saturating_mul(1 << doublings.min(10)).min(Duration::from_secs(10)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_own_gate_until_there_are_too_many() {
        let (mut roster, now) = (Roster::default(), Instant::now());
        assert_eq!(roster.place(7, false, 4, now), Place::Start(Some(7)));
        assert_eq!(roster.place(7, true, 4, now), Place::Start(None));
        assert_eq!(roster.place(7, false, 0, now), Place::Start(None));
        roster.slots.entry(Some(7)).or_default().gate = Some(3);
        roster.slots.entry(None).or_default().gate = Some(4);
        assert_eq!(roster.place(7, false, 0, now), Place::Running(3), "one that runs is used");
        assert_eq!(roster.place(8, false, 0, now), Place::Running(4));
    }

    #[test]
    fn lane_asks_once_at_a_time_and_is_heard_while_it_listens() {
        let (ours, _theirs) = crate::wire::channel::Channel::pair().unwrap();
        let mut lane = Lane::new(Line::new(ours));
        lane.segments.push("first".to_owned());
        assert!(lane.may_ask());
        lane.wanting = Wanting::Space { written: 1 };
        assert!(!lane.may_ask(), "a timer will give it that");
        lane.wanting = Wanting::Nothing;
        lane.segments.push("second".to_owned());
        assert!(!lane.may_ask(), "it has not switched");
        while lane.line.waiting() < QUEUED {
            assert!(lane.listens());
            lane.line.post(ToGate::Drain { within_ms: 0 }, Vec::new()).unwrap();
        }
        assert!(!lane.listens());
    }

    #[test]
    fn failed_start_waits_longer_each_time_and_bounded() {
        let (mut roster, now) = (Roster::default(), Instant::now());
        roster.failed(Some(7), now);
        let Place::Wait(Some(7), first) = roster.place(7, false, 4, now) else { panic!("it should wait") };
        assert_eq!(roster.place(7, false, 4, first), Place::Start(Some(7)));
        assert_eq!(roster.wait(Some(7), 1), Some(true));
        assert_eq!(roster.wait(Some(7), 2), Some(false));
        assert_eq!(roster.take_waiting(Some(7)), [1, 2]);
        assert_eq!(roster.take_waiting(Some(7)), [0; 0]);
    }

    #[test]
    fn pause_grows_and_stops_growing() {
        assert_eq!([pause(0), pause(1)], [None, None]);
        assert_eq!(pause(2), Some(Duration::from_millis(100)));
        assert_eq!(pause(4), Some(Duration::from_millis(400)));
        assert_eq!(pause(4_000), Some(Duration::from_secs(10)));
    }
}
