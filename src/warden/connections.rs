//! The connections that are open now, each with a descriptor of the warden's own to see its end by.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use super::Warden;
use super::poll::{Interest, LaneId, Source};
use crate::model::caller::Caller;
use crate::model::ids::ListenerId;
use crate::wire::message::ToGate;

/// One of them.
pub(super) struct Connection {
    /// The same open socket that the gate has.
    pub(super) socket: Rc<OwnedFd>,
    /// Where it came in.
    pub(super) listener: ListenerId,
    /// Who is there.
    pub(super) caller: Box<Caller>,
    /// No route of the listener could ever allow it, by the policy at its beginning.
    pub(super) stranger: bool,
    /// Whether its `conn` record was written.
    pub(super) recorded: bool,
    /// Who serves it.
    pub(super) lane: Option<LaneId>,
    /// Backends that are being connected for it.
    pub(super) opening: u8,
    /// What it takes of the connections that whos may have open.
    pub(super) seats: Box<[Arc<str>]>,
}

/// All of them.
#[derive(Default)]
pub(super) struct Connections {
    open: HashMap<u64, Connection>,
    made: u64,
}

impl Connections {
    /// The next connection's number.
    pub(super) fn next_number(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    /// Keeps one.
    pub(super) fn insert(&mut self, number: u64, connection: Connection) {
        self.open.insert(number, connection);
    }

    /// One of them, as long as it is open.
    pub(super) fn get(&self, number: u64) -> Option<&Connection> {
        self.open.get(&number)
    }

    /// One of them, to be changed.
    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Connection> {
        self.open.get_mut(&number)
    }

    /// The numbers of all that one gate serves.
    pub(super) fn of_gate(&self, gate: u32) -> Vec<u64> {
        let served = |connection: &Connection| connection.lane.is_some_and(|lane| lane.gate == gate);
        self.open.iter().filter(|(_, connection)| served(connection)).map(|(number, _)| *number).collect()
    }

    /// How many are open on one listener.
    pub(super) fn on(&self, listener: ListenerId) -> u64 {
        self.open.values().filter(|connection| connection.listener == listener).count() as u64
    }

    /// The numbers of all.
    pub(super) fn numbers(&self) -> Vec<u64> {
        self.open.keys().copied().collect()
    }
}

impl Warden {
    /// Both directions of a connection are shut: its gate learns it, and its place is free.
    pub(super) fn connection_ended(&mut self, number: u64) {
        let Some(connection) = self.let_go(number) else { return };
        let Some(lane_id) = connection.lane else { return };
        let Some(lane) = self.roster.lane_mut(lane_id) else { return };
        lane.connections = lane.connections.saturating_sub(1);
        // One that the gate has not heard of yet needs no word about its end.
        let unheard = lane.line.waiting() > 0
            && lane
                .line
                .take_back(|said| matches!(said, ToGate::Connection { number: n, .. } if *n == number));
        if !unheard {
            self.tell_lane(lane_id, ToGate::Ended { number }, Vec::new());
        }
        self.note_idle(lane_id.gate);
    }

    /// Ends a connection from our side, whoever else has it open, and forgets it.
    pub(super) fn cut(&mut self, number: u64) {
        if let Some(connection) = self.let_go(number) {
            shut(&connection.socket);
        }
    }

    /// Forgets a connection and frees its place.
    fn let_go(&mut self, number: u64) -> Option<Connection> {
        let connection = self.connections.open.remove(&number)?;
        self.poll.forget(&connection.socket);
        self.callers.leave(connection.caller.peer.uid, connection.stranger);
        self.commands_of_connection_end(number);
        self.seats.leave(connection.caller.peer.uid, &connection.seats);
        Some(connection)
    }

    /// Begins to look for a connection's end.
    pub(super) fn watch_connection(&self, number: u64, socket: &OwnedFd) -> std::io::Result<()> {
        self.poll.watch(socket, Source::Connection(number), Interest::End)
    }
}

/// `shutdown(2)` of both directions; a socket whose peer is gone already has nothing left to shut.
pub(super) fn shut(socket: &OwnedFd) {
    nix::sys::socket::shutdown(socket.as_raw_fd(), nix::sys::socket::Shutdown::Both).ok();
}
