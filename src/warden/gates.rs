//! Each caller's gate: started at first need, told who comes and goes, let go when idle, started again when it
//! dies. What a gate's lanes say is heard here.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::commands::Wish;
use super::grant::Asked;
use super::line::{Flow, Line};
use super::poll::{Interest, LaneId, News, Source};
use super::roster::{Gate, Lane, Place, QUEUED, Wanting, Whose, most_connections};
use super::segments::Writer;
use super::shed::{Told, WINDOW};
use super::{Due, Warden};
use crate::audit::entry::{Entry, GateEvent, Life};
use crate::confine;
use crate::model::ids::ListenerId;
use crate::model::limits::LANE_CONNECTIONS;
use crate::model::posture::Confinement;
use crate::model::refusal::Refusal;
use crate::sys::process::{Child, Exit, Spawn};
use crate::wire::channel::Channel;
use crate::wire::message::{FromGate, ToGate, ToScribe};

/// So much is heard of one lane in one round.
const BURST: usize = 64;
/// After this long without room a queue is tried again.
const SHORT: Duration = Duration::from_millis(10);
/// A gate that was told to leave and has nothing to do gets this long.
const LEAVE: Duration = Duration::from_secs(5);

impl Warden {
    /// Gives a connection, whose record was written or could not be, to its caller's gate.
    pub(super) fn hand_over(&mut self, number: u64, recorded: bool) {
        let Some(connection) = self.connections.get_mut(number) else { return };
        connection.recorded = recorded;
        let uid = connection.caller.peer.uid;
        let (shared, most) = (self.force.shared_gate(), usize::from(self.force.policy.limits.gates));
        match self.roster.place(uid, shared, most, Instant::now()) {
            Place::Running(gate) => self.give(gate, number),
            Place::Start(whose) => match self.start_gate(whose) {
                Ok(gate) => self.give(gate, number),
                Err(error) => {
                    tracing::error!(%error, "a gate could not be started");
                    self.roster.failed(whose, Instant::now());
                    self.turn_away(number, Refusal::GateUnavailable);
                }
            },
            Place::Wait(whose, at) => match self.roster.wait(whose, number) {
                Some(first) if first => self.timers.at(at, Due::GateStart(whose)),
                Some(_) => {}
                None => self.turn_away(number, Refusal::GateUnavailable),
            },
        }
    }

    /// A gate that had died may start again, for those who waited.
    pub(super) fn start_for_waiting(&mut self, whose: Whose) {
        for number in self.roster.take_waiting(whose) {
            let recorded = self.connections.get(number).is_some_and(|connection| connection.recorded);
            self.hand_over(number, recorded);
        }
    }

    fn give(&mut self, gate_number: u32, number: u64) {
        let Some(connection) = self.connections.get_mut(number) else { return };
        let full = Refusal::GateUnavailable;
        let Some(gate) = self.roster.gate_mut(gate_number) else { return self.turn_away(number, full) };
        if gate.connections() >= most_connections(self.descriptors, gate.lanes.len()) {
            return self.turn_away(number, Refusal::OutOfDescriptors);
        }
        let Some(place) = gate.quietest() else { return self.turn_away(number, full) };
        let Some(lane) = gate.lanes.get_mut(usize::from(place)) else { return };
        if lane.line.waiting() >= QUEUED || lane.connections >= LANE_CONNECTIONS {
            return self.turn_away(number, full);
        }
        gate.idle_since = None;
        lane.connections += 1;
        let id = LaneId { gate: gate_number, lane: place };
        connection.lane = Some(id);
        let message = ToGate::Connection {
            number,
            listener: connection.listener,
            caller: connection.caller.clone(),
            recorded: connection.recorded,
            seen: self.force.clock.now().latest,
        };
        let socket = Rc::clone(&connection.socket);
        self.tell_lane(id, message, vec![socket]);
    }

    fn start_gate(&mut self, whose: Whose) -> io::Result<u32> {
        let count = self.force.lanes();
        let (child, ours) = self.spawn_gate(count)?;
        let number = self.roster.next_number();
        let lanes: Vec<Lane> = ours.into_iter().map(|channel| Lane::new(Line::new(channel))).collect();
        if let Err(error) = self.watch_gate(number, &child, &lanes) {
            self.put_down(child);
            return Err(error);
        }
        let pid = child.pid();
        self.roster.began(number, Gate::new(whose, child, lanes, Instant::now()));
        self.note_gate(whose, pid, Life::Started, &[]);
        for lane in 0..count {
            self.start_lane(LaneId { gate: number, lane }, whose);
        }
        Ok(number)
    }

    /// A gate's process and the channels to its lanes.
    pub(super) fn spawn_gate(&self, count: u16) -> io::Result<(Child, Vec<Channel>)> {
        let mut ours = Vec::new();
        let mut theirs: Vec<OwnedFd> = Vec::new();
        for _ in 0..count {
            let (here, there) = Channel::pair()?;
            ours.push(here);
            theirs.push(there.into());
        }
        theirs.push(self.diagnostics.write.try_clone()?);
        let mut spawn = Spawn::new(self.executable.as_fd(), c"peergated")
            .argument(c"@gate".to_owned())
            .argument(CString::new(count.to_string())?)
            .argument(CString::new(self.options.terms.to_string())?)
            .mute();
        if confine::may_disempower() {
            spawn = spawn.powerless();
        }
        for fd in &theirs {
            spawn = spawn.descriptor(fd.as_fd());
        }
        if let Some(ids) = &self.identities.gate {
            spawn = spawn.ids(ids.clone());
        }
        Ok((spawn.start()?, ours))
    }

    fn watch_gate(&self, number: u32, child: &Child, lanes: &[Lane]) -> io::Result<()> {
        self.poll.watch(child, Source::GateProcess(number), Interest::Read)?;
        lanes.iter().zip(0..).try_for_each(|(lane, place)| {
            let source = Source::Lane(LaneId { gate: number, lane: place });
            self.poll.watch(lane.line.as_fd(), source, Interest::Read)
        })
    }

    /// The lane's first message: its segment, the policy in force, and all else that it has to know.
    fn start_lane(&mut self, id: LaneId, whose: Whose) {
        let writer = Writer::Lane { uid: whose, gate: id.gate, lane: id.lane };
        let made = match self.must_wait(id) {
            Some(_) => Err(io::Error::other("its uid has used up what it may write")),
            None => self.segments.create(writer),
        };
        let (name, segment, reserved) = match made {
            Ok(made) => (Some(made.name), made.file, made.reserved),
            Err(error) => {
                // It starts without a place to write, refuses everything, and gets a segment when there is one.
                tracing::warn!(%error, "a lane starts without a segment");
                (None, Rc::clone(&self.nowhere), 0)
            }
        };
        let start = self.lane_start(whose, reserved, self.hash_key);
        let policy = Rc::clone(&self.force.memory);
        self.tell_lane(id, start, vec![segment, policy]);
        match name {
            Some(name) => {
                if let Some(lane) = self.roster.lane_mut(id) {
                    lane.segments.push(name.clone());
                }
                self.charge(&name);
                self.follow(&name);
            }
            None => self.lane_wants(id, Wanting::Segment),
        }
        self.tell_recordable(id);
    }

    /// What a lane is told first.
    pub(super) fn lane_start(&self, whose: Whose, reserved: u64, hash_key: [u8; 32]) -> ToGate {
        ToGate::Start {
            boot: self.boot,
            uid: whose,
            generation: self.force.generation,
            reserved,
            missing: self.missing.clone(),
            hash_key,
        }
    }

    /// Sends to one lane, behind what waits already. A lane that can't be told anything is gone, and its
    /// process's end will be heard.
    pub(super) fn tell_lane(&mut self, id: LaneId, message: ToGate, descriptors: Vec<Rc<OwnedFd>>) {
        let Some(lane) = self.roster.lane_mut(id) else { return };
        let before = lane.line.waiting();
        let flow = lane.line.post(message, descriptors);
        if before == 0 || lane.line.waiting() == QUEUED {
            self.lane_flows(id, flow);
        }
    }

    /// Tries what waits for a lane again.
    pub(super) fn push_lane(&mut self, id: LaneId) {
        let Some(lane) = self.roster.lane_mut(id) else { return };
        if lane.line.waiting() > 0 {
            let flow = lane.line.push();
            self.lane_flows(id, flow);
        }
    }

    fn lane_flows(&mut self, id: LaneId, flow: io::Result<Flow>) {
        let Some(lane) = self.roster.lane_mut(id) else { return };
        let interest = match flow {
            Ok(Flow::Full) if !lane.listens() => Interest::Write,
            Ok(Flow::Full) => Interest::ReadWrite,
            Ok(Flow::Sent) => Interest::Read,
            Ok(Flow::Later) => {
                self.timers.after(SHORT, Due::Push(id));
                if lane.listens() { Interest::Read } else { Interest::End }
            }
            Err(error) => {
                tracing::debug!(%error, ?id, "a lane can't be told anything any more");
                Interest::Read
            }
        };
        if std::mem::replace(&mut lane.interest, interest) != interest
            && let Err(error) = self.poll.change(lane.line.as_fd(), Source::Lane(id), interest)
        {
            tracing::debug!(%error, ?id, "a lane is not watched any more");
        }
    }

    /// News of a lane.
    pub(super) fn hear_lane(&mut self, id: LaneId, news: News) {
        if news.writable {
            self.push_lane(id);
        }
        if !news.readable {
            return;
        }
        for _ in 0..BURST {
            let Some(lane) = self.roster.lane_mut(id) else { return };
            if !lane.listens() && !news.ended {
                return;
            }
            match lane.line.next::<FromGate>() {
                Ok(Some(message)) => self.obey(id, message),
                Ok(None) => return,
                Err(error) => return self.lane_left(id, &error),
            }
        }
    }

    fn obey(&mut self, id: LaneId, message: FromGate) {
        match message {
            FromGate::Ready { confined } => self.gate_is_up(id, *confined),
            FromGate::Open { ticket, connection, request, backend, generation } => {
                self.judge_open(id, &Asked { ticket, connection, request, backend, generation });
            }
            FromGate::OpenByJournal { ticket, connection, request, backend, generation, line } => {
                let asked = Asked { ticket, connection, request, backend, generation };
                self.judge_open_by_journal(id, &asked, &line);
            }
            FromGate::Run {
                ticket,
                connection,
                request,
                backend,
                generation,
                route,
                method,
                target,
                members,
                form,
            } => {
                let asked = Asked { ticket, connection, request, backend, generation };
                self.judge_run(id, Wish { asked, route, method, target, members, form });
            }
            FromGate::SettledByJournal { line, .. } => self.settle_by_journal(id, &line),
            FromGate::Reserve { written } => self.reserve_for_lane(id, written),
            FromGate::NeedSegment { errno } => self.lane_needs_segment(id, errno),
            FromGate::Switched => self.lane_switched(id),
            FromGate::Adopted { generation } => self.lane_adopted(id, generation),
            FromGate::Panicked { connection } => self.note_panic(id, connection),
            // Only a gate that was started for it is asked to try anything.
            FromGate::Tried(_) => {}
            FromGate::Drained => {
                if let Some(lane) = self.roster.lane_mut(id) {
                    lane.drained = true;
                }
            }
        }
    }

    /// A lane is up: what its process found when it read itself back is kept for who asks.
    fn gate_is_up(&mut self, id: LaneId, confined: Confinement) {
        tracing::debug!(?id, "a lane is up");
        if let Some(gate) = self.roster.gate_mut(id.gate) {
            gate.confined = Some(confined);
        }
    }

    /// A lane closed its channel, or said what no lane says. Unless it had drained, the whole gate goes.
    fn lane_left(&mut self, id: LaneId, error: &io::Error) {
        let Some(lane) = self.roster.lane_mut(id) else { return };
        self.poll.forget(lane.line.as_fd());
        if !std::mem::replace(&mut lane.drained, true) {
            tracing::warn!(%error, ?id, "a lane is gone");
            self.kill_gate(id.gate);
        }
    }

    /// Ends a gate that does not end by itself; its process's end is heard like any other.
    pub(super) fn kill_gate(&mut self, number: u32) {
        if let Some(gate) = self.roster.gate(number)
            && let Err(error) = gate.child.signal(nix::libc::SIGKILL)
        {
            tracing::debug!(%error, number, "a gate can't be killed");
        }
    }

    /// A gate's process ended: on record with whom it served, whose connections end with it.
    pub(super) fn reap_gate(&mut self, number: u32) {
        let Some(gate) = self.roster.gate(number) else { return };
        let exit = match gate.child.reap() {
            Ok(Some(exit)) => exit,
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, number, "a gate's end can't be read");
                return self.poll.forget(gate.child.as_fd());
            }
        };
        let Some(gate) = self.roster.ended(number, Instant::now()) else { return };
        self.poll.forget(gate.child.as_fd());
        gate.lanes.iter().for_each(|lane| self.poll.forget(lane.line.as_fd()));
        let connections = self.connections.of_gate(number);
        let uid = |number: &u64| self.connections.get(*number).map(|connection| connection.caller.peer.uid);
        let mut live: Vec<u32> = connections.iter().filter_map(uid).collect();
        live.sort_unstable();
        live.dedup();
        let (pid, end) = (gate.child.pid(), life(exit, gate.leaving));
        self.note_gate(gate.whose, pid, end, &live);
        // One that was asked to leave may still be ended by us, but not for what it does.
        if !gate.leaving || end == Life::Killed(nix::libc::SIGSYS) {
            self.note_death("gate", gate.whose, pid, end);
        }
        connections.into_iter().for_each(|number| self.cut(number));
        self.drop_connects_of(number);
        self.journal.forget_gate(number);
        self.gate_adopts_no_more(number);
        for name in gate.lanes.iter().flat_map(|lane| &lane.segments) {
            self.finished(name);
        }
        self.tell_scribe(ToScribe::GateGone { gate: number }, Vec::new());
        self.gate_gone();
    }

    /// Remembers since when a gate has had nothing to do, and looks again later.
    pub(super) fn note_idle(&mut self, number: u32) {
        let wait = self.force.gate_idle();
        let Some(gate) = self.roster.gate_mut(number) else { return };
        if gate.connections() > 0 {
            return;
        }
        gate.idle_since.get_or_insert_with(Instant::now);
        // One reminder at a time, however often a gate has nothing to do for a moment.
        if !std::mem::replace(&mut gate.reminded, true) {
            self.timers.after(wait, Due::GateIdle(number));
        }
    }

    /// Lets a gate go that has had nothing to do for long enough.
    pub(super) fn retire_if_idle(&mut self, number: u32) {
        let wait = self.force.gate_idle();
        let Some(gate) = self.roster.gate_mut(number).filter(|gate| !gate.leaving) else { return };
        gate.reminded = false;
        let Some(since) = gate.idle_since else { return };
        match wait.checked_sub(since.elapsed()) {
            Some(left) if !left.is_zero() => {
                gate.reminded = true;
                self.timers.after(left, Due::GateIdle(number));
            }
            _ => self.send_away(number, Duration::ZERO),
        }
    }

    /// Tells a gate to finish what runs within `within` and to end.
    pub(super) fn send_away(&mut self, number: u32, within: Duration) {
        let Some(gate) = self.roster.leaving(number) else { return };
        let lanes = 0..u16::try_from(gate.lanes.len()).unwrap_or(u16::MAX);
        let within_ms = u32::try_from(within.as_millis()).unwrap_or(u32::MAX);
        for lane in lanes {
            self.tell_lane(LaneId { gate: number, lane }, ToGate::Drain { within_ms }, Vec::new());
        }
        self.timers.after(within + LEAVE, Due::GateStop(number));
    }

    fn note_panic(&mut self, id: LaneId, connection: u64) {
        let Some(gate) = self.roster.gate(id.gate) else { return };
        let of_lane = self.connections.get(connection).filter(|connection| connection.lane == Some(id));
        let live: Vec<u32> = of_lane.map(|connection| connection.caller.peer.uid).into_iter().collect();
        let (whose, pid) = (gate.whose, gate.child.pid());
        let listener = of_lane.map_or(ListenerId(0), |connection| connection.listener);
        let Some(uid) = whose.or(live.first().copied()) else { return };
        // Nothing keeps a gate that was taken over from saying this again and again.
        match self.callers.refuse(uid, listener, Refusal::Internal, &self.force.policy.limits, Instant::now())
        {
            Told::Alone => self.note_gate(whose, pid, Life::Panicked, &live),
            Told::Counted(true) => self.timers.after(WINDOW, Due::Repeats),
            Told::Counted(false) => {}
        }
    }

    fn note_gate(&mut self, uid: Whose, pid: u32, event: Life, live: &[u32]) {
        self.record.note(&Entry::Gate(GateEvent { role: "gate", uid, pid, event, live, syscall: None }));
    }
}

/// What a process's end says, as the record puts it.
pub(super) fn life(exit: Exit, asked: bool) -> Life {
    match exit {
        Exit::Code(0) if asked => Life::Retired,
        Exit::Code(code) => Life::Exited(code),
        Exit::Signal(signal) => Life::Killed(signal),
    }
}
