//! Who comes in: accept, name, record, and only then hand over. What there is no room for is shed with a
//! record, and accepting never stalls and never spins.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::connections::{Connection, shut};
use super::identify::{Wanted, identify};
use super::poll::{Interest, Source};
use super::shed::{Told, WINDOW};
use super::{Due, Warden};
use crate::audit::entry::{Conn, Entry, Repeat};
use crate::model::caller::Caller;
use crate::model::ids::{ConnectionId, ListenerId};
use crate::model::refusal::Refusal;
use crate::sys::listen::Listener;

/// So many connections of one listener are taken in one round, so that the others get their turn.
const BURST: usize = 64;
/// How long nothing is accepted where not even one descriptor can be had.
const PAUSE: Duration = Duration::from_millis(100);

/// The listeners, and the spare descriptor that is given up to shed with where the table is full.
pub(super) struct Door {
    listeners: Vec<Entrance>,
    spare: Option<OwnedFd>,
    paused: bool,
}

/// One listener and its counts since the start.
pub(super) struct Entrance {
    /// Its name.
    pub(super) name: String,
    /// Its path.
    pub(super) path: String,
    /// Taken in, the shed ones too.
    pub(super) accepted: u64,
    /// Closed at once.
    pub(super) shed: u64,
    listener: Listener,
}

impl Entrance {
    /// A listener that nobody has come through yet.
    pub(super) fn new(name: String, path: String, listener: Listener) -> Entrance {
        Entrance { name, path, accepted: 0, shed: 0, listener }
    }

    /// Its socket.
    pub(super) fn listener(&self) -> &Listener {
        &self.listener
    }
}

impl Door {
    /// The listeners in the policy's order.
    ///
    /// # Errors
    ///
    /// There is no descriptor to spare.
    pub(super) fn new(listeners: Vec<Entrance>) -> io::Result<Door> {
        Ok(Door { listeners, spare: Some(spare()?), paused: false })
    }

    /// The listeners in the policy's order, with their places.
    pub(super) fn entrances(&self) -> impl Iterator<Item = (ListenerId, &Entrance)> {
        (0..).map(ListenerId).zip(&self.listeners)
    }

    /// Lets callers connect.
    ///
    /// # Errors
    ///
    /// What `listen(2)` answered.
    pub(super) fn listen(&self) -> io::Result<()> {
        self.listeners.iter().try_for_each(|entrance| entrance.listener.listen())
    }

    fn at(&mut self, listener: ListenerId) -> Option<&mut Entrance> {
        self.listeners.get_mut(usize::from(listener.0))
    }

    /// The name for records.
    pub(super) fn name(&self, listener: ListenerId) -> &str {
        self.listeners.get(usize::from(listener.0)).map_or("", |entrance| entrance.name.as_str())
    }
}

/// Any descriptor will do; an unbound socket needs no file system.
fn spare() -> io::Result<OwnedFd> {
    Ok(std::os::unix::net::UnixDatagram::unbound()?.into())
}

impl Warden {
    /// Begins to accept.
    ///
    /// # Errors
    ///
    /// What `epoll_ctl(2)` answered.
    pub(super) fn watch_listeners(&self) -> io::Result<()> {
        self.door.entrances().try_for_each(|(id, entrance)| {
            self.poll.watch(entrance.listener.as_fd(), Source::Listener(id.0), Interest::Read)
        })
    }

    /// Closes the listeners for good: removes their names and lets nobody in any more.
    pub(super) fn close_listeners(&mut self) {
        self.pause_listeners();
        self.door.listeners.clear();
    }

    fn pause_listeners(&mut self) {
        if !std::mem::replace(&mut self.door.paused, true) {
            self.door.entrances().for_each(|(_, entrance)| self.poll.forget(entrance.listener.as_fd()));
        }
    }

    /// The pause after a full table is over.
    pub(super) fn accept_again(&mut self) {
        if self.door.spare.is_none() {
            self.door.spare = spare().ok();
        }
        if self.door.spare.is_none() {
            return self.timers.after(PAUSE, Due::Accept);
        }
        if std::mem::take(&mut self.door.paused)
            && let Err(error) = self.watch_listeners()
        {
            tracing::warn!(%error, "the listeners can't be watched yet");
            self.pause_listeners();
            self.timers.after(PAUSE, Due::Accept);
        }
    }

    /// Takes in who waits at one listener.
    pub(super) fn accept(&mut self, place: u16) {
        let listener = ListenerId(place);
        for _ in 0..BURST {
            if self.door.paused {
                return;
            }
            match self.door.at(listener).map(|entrance| entrance.listener.accept()) {
                None => return,
                Some(Ok(socket)) => self.welcome(listener, socket),
                Some(Err(error)) => match Lacking::of(&error) {
                    Lacking::Nobody => return,
                    Lacking::This => {}
                    Lacking::Room => return self.shed_for_room(listener),
                    Lacking::Sense => {
                        tracing::error!(%error, listener = self.door.name(listener), "accept failed");
                        self.pause_listeners();
                        return self.timers.after(PAUSE, Due::Accept);
                    }
                },
            }
        }
    }

    /// Names who is there, takes a place for it, notes its record; the hand-over follows the record.
    fn welcome(&mut self, listener: ListenerId, socket: OwnedFd) {
        let number = self.connections.next_number();
        if let Some(entrance) = self.door.at(listener) {
            entrance.accepted += 1;
        }
        let Some(caller) = self.name(listener, &socket) else { return shut(&socket) };
        let subject = self.force.recognise(listener, &caller);
        let stranger = subject.is_stranger();
        let limits = &self.force.policy.limits;
        if let Err(refusal) = self.callers.admit(caller.peer.uid, stranger, limits, Instant::now()) {
            return self.shed(listener, number, &caller, refusal, &socket);
        }
        let Some(seats) = self.seats.take(caller.peer.uid, subject.caps()) else {
            self.callers.leave(caller.peer.uid, stranger);
            return self.shed(listener, number, &caller, Refusal::WhoConnections, &socket);
        };
        if let Err(error) = self.watch_connection(number, &socket) {
            tracing::warn!(%error, "a connection can't be watched");
            self.callers.leave(caller.peer.uid, stranger);
            self.seats.leave(caller.peer.uid, &seats);
            return self.shed(listener, number, &caller, Refusal::OutOfDescriptors, &socket);
        }
        let id = ConnectionId { boot: self.boot, number };
        let entry = Conn { id, on: self.door.name(listener), caller: &caller, shed: None };
        self.record.then_hand_over(number, &Entry::Conn(entry));
        let connection = Connection {
            socket: Rc::new(socket),
            listener,
            caller: Box::new(caller),
            stranger,
            recorded: false,
            lane: None,
            opening: 0,
            seats,
        };
        self.connections.insert(number, connection);
    }

    fn name(&self, listener: ListenerId, socket: &OwnedFd) -> Option<Caller> {
        let wanted = Wanted {
            depth: self.force.depth(listener),
            name: &|uid| self.force.user(uid),
            names_program: &|path| self.force.names_program(path),
        };
        match identify(socket.as_fd(), &self.own, &wanted) {
            Ok(caller) => Some(caller),
            Err(error) => {
                // Without so much as a uid there is nobody to write down.
                tracing::warn!(%error, "a connection without credentials is closed");
                None
            }
        }
    }

    /// Closes a connection at once, on record.
    fn shed(&mut self, listener: ListenerId, number: u64, caller: &Caller, why: Refusal, socket: &OwnedFd) {
        shut(socket);
        self.note_shed(listener, number, caller, why);
    }

    fn note_shed(&mut self, listener: ListenerId, number: u64, caller: &Caller, why: Refusal) {
        if let Some(entrance) = self.door.at(listener) {
            entrance.shed += 1;
        }
        let uid = caller.peer.uid;
        match self.callers.refuse(uid, listener, why, &self.force.policy.limits, Instant::now()) {
            Told::Alone => {
                let id = ConnectionId { boot: self.boot, number };
                let entry = Conn { id, on: self.door.name(listener), caller, shed: Some(why) };
                self.record.note(&Entry::Conn(entry));
            }
            Told::Counted(true) => self.timers.after(WINDOW, Due::Repeats),
            Told::Counted(false) => {}
        }
    }

    /// Closes a connection that had its record, because no gate can take it.
    pub(super) fn turn_away(&mut self, number: u64, why: Refusal) {
        let Some(connection) = self.connections.get(number) else { return };
        let (listener, caller) = (connection.listener, connection.caller.clone());
        self.cut(number);
        self.note_shed(listener, number, &caller, why);
    }

    /// The table is full: the spare descriptor's place serves to take the next one and close it, on record.
    fn shed_for_room(&mut self, listener: ListenerId) {
        drop(self.door.spare.take());
        if let Some(Ok(socket)) = self.door.at(listener).map(|entrance| entrance.listener.accept()) {
            let number = self.connections.next_number();
            if let Some(entrance) = self.door.at(listener) {
                entrance.accepted += 1;
            }
            if let Some(caller) = self.name(listener, &socket) {
                self.shed(listener, number, &caller, Refusal::OutOfDescriptors, &socket);
            }
        }
        self.door.spare = spare().ok();
        if self.door.spare.is_none() {
            // Somebody else took the place; wait for better times instead of asking again and again.
            self.pause_listeners();
            self.timers.after(PAUSE, Due::Accept);
        }
    }

    /// One `repeat` record for each kind of refused connection that had none of its own.
    pub(super) fn write_repeats(&mut self) {
        for kind in self.callers.take_repeated(Instant::now()) {
            let entry = Repeat {
                uid: kind.uid,
                on: self.door.name(kind.listener),
                route: None,
                refusal: kind.refusal,
                count: kind.count,
                first: kind.first,
                last: kind.last,
            };
            self.record.note(&Entry::Repeat(entry));
        }
    }
}

/// Why there is no connection.
enum Lacking {
    /// Nobody waits.
    Nobody,
    /// The one that waited is gone; the next may be there.
    This,
    /// There is no descriptor, or no memory, for it.
    Room,
    /// The listener itself fails.
    Sense,
}

impl Lacking {
    fn of(error: &io::Error) -> Lacking {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EAGAIN) => Lacking::Nobody,
            Some(Errno::ECONNABORTED | Errno::EINTR | Errno::EPROTO | Errno::EPERM) => Lacking::This,
            Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => Lacking::Room,
            _ => Lacking::Sense,
        }
    }
}
