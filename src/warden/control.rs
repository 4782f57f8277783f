//! The control socket's side in the warden: typed, 0600, no HTTP. Only root and the daemon's own user are
//! answered, whatever the socket's mode has become.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use super::Warden;
use super::poll::{Interest, Source};
use crate::sys::listen::Listener;
use crate::sys::peer;
use crate::wire::channel::Channel;
use crate::wire::message::{ControlReply, ControlRequest, GateStatus, ListenerStatus, Status};

/// More clients are not needed at a time.
const CLIENTS: usize = 16;

/// The socket and who is connected to it.
pub(super) struct Control {
    listener: Listener,
    clients: BTreeMap<u32, Channel>,
    made: u32,
}

impl Control {
    /// A listener without clients.
    pub(super) fn new(listener: Listener) -> Control {
        Control { listener, clients: BTreeMap::new(), made: 0 }
    }

    /// Its socket.
    pub(super) fn listener(&self) -> &Listener {
        &self.listener
    }

    /// Lets clients connect.
    ///
    /// # Errors
    ///
    /// What `listen(2)` answered.
    pub(super) fn listen(&self) -> io::Result<()> {
        self.listener.listen()
    }
}

impl Warden {
    /// Begins to answer clients.
    ///
    /// # Errors
    ///
    /// What `epoll_ctl(2)` answered.
    pub(super) fn watch_control(&self) -> io::Result<()> {
        self.poll.watch(self.control.listener.as_fd(), Source::Control, Interest::Read)
    }

    /// Takes in one client that waits.
    pub(super) fn accept_control(&mut self) {
        let socket = match self.control.listener.accept() {
            Ok(socket) => socket,
            Err(error) => return tracing::debug!(%error, "nobody waits at the control socket"),
        };
        let ours = nix::unistd::geteuid().as_raw();
        match peer::credentials(&socket) {
            Ok(who) if who.uid == 0 || who.uid == ours => {}
            Ok(who) => return tracing::warn!(uid = who.uid, "not answered at the control socket"),
            Err(error) => return tracing::warn!(%error, "who is at the control socket can't be read"),
        }
        if self.control.clients.len() >= CLIENTS {
            return tracing::warn!("too many clients at the control socket");
        }
        self.control.made = self.control.made.wrapping_add(1);
        let number = self.control.made;
        let client = Channel::from(socket);
        match self.poll.watch(&client, Source::ControlClient(number), Interest::Read) {
            Ok(()) => {
                self.control.clients.insert(number, client);
            }
            Err(error) => tracing::warn!(%error, "a client of the control socket can't be watched"),
        }
    }

    /// Hears one client.
    pub(super) fn answer_control(&mut self, number: u32) {
        let Some(client) = self.control.clients.get(&number) else { return };
        match client.receive_bare::<ControlRequest>() {
            Ok(Some(ControlRequest::Status)) => {
                let status = ControlReply::Status(Box::new(self.status()));
                self.reply_control(number, &status);
            }
            Ok(Some(ControlRequest::Doctor)) => {
                let report = ControlReply::Doctor(Box::new(self.report()));
                self.reply_control(number, &report);
            }
            Ok(Some(ControlRequest::Reload)) => self.reload(Some(number)),
            Ok(Some(ControlRequest::TryReload)) => self.try_reload(number),
            Ok(Some(ControlRequest::Rekey)) => self.rekey(number),
            Ok(Some(ControlRequest::Probe { name, subject, place })) => {
                self.probe(number, &name, subject, place);
            }
            Ok(Some(ControlRequest::CommandEnded(ended))) => self.earlier_command_ended(number, &ended),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(None) | Err(_) => {
                self.poll.forget(client);
                self.control.clients.remove(&number);
            }
        }
    }

    /// Answers a client, if it is still there. One that does not read its answers loses them.
    pub(super) fn reply_control(&mut self, number: u32, reply: &ControlReply) {
        self.reply_control_with(number, reply, &[]);
    }

    /// The same, with descriptors that it may have.
    pub(super) fn reply_control_with(
        &mut self,
        number: u32,
        reply: &ControlReply,
        descriptors: &[BorrowedFd<'_>],
    ) {
        let Some(client) = self.control.clients.get(&number) else { return };
        if let Err(error) = client.send(reply, descriptors) {
            tracing::debug!(%error, "a client of the control socket gets no answer");
            self.poll.forget(client);
            self.control.clients.remove(&number);
        }
    }

    fn status(&self) -> Status {
        let listeners = self.door.entrances().map(|(id, entrance)| ListenerStatus {
            name: entrance.name.clone(),
            path: entrance.path.clone(),
            open: self.connections.on(id),
            accepted: entrance.accepted,
            shed: entrance.shed,
        });
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            boot: self.boot,
            up_s: Instant::now().saturating_duration_since(self.since).as_secs(),
            policy_file: self.force.policy.file.clone(),
            policy_hash: self.force.long_hash(),
            policy_since: (self.force.generation, self.force.since.micros()),
            missing: self.missing.clone(),
            recordable: self.is_recordable(),
            deaths_lately: u32::try_from(self.deaths.lately(Instant::now())).unwrap_or(u32::MAX),
            failing: self.deaths.are_many(Instant::now()),
            listeners: listeners.collect(),
            gates: self.gates_status(),
            witness: self.witness.status(),
            scribe: self.scribe.status(),
            directory: self.segments.identity(),
            genesis: self.vault.genesis.key.to_string(),
            genesis_is_new: self.vault.is_new,
            genesis_before: self.vault.before.clone(),
        }
    }

    /// As many gates as an answer has room for; there are not more than that running.
    fn gates_status(&self) -> Vec<GateStatus> {
        const ROOM: usize = 1024;
        let status = |(uid, number, deaths): (Option<u32>, Option<u32>, u32)| {
            let gate = number.and_then(|number| self.roster.gate(number));
            GateStatus {
                uid,
                pid: gate.map_or(0, |gate| gate.child.pid()),
                connections: gate.map_or(0, super::roster::Gate::connections),
                deaths,
            }
        };
        let mut gates: Vec<GateStatus> = self.roster.slots().map(status).collect();
        gates.sort_by_key(|gate| (gate.pid == 0, gate.uid));
        gates.truncate(ROOM);
        gates
    }
}
