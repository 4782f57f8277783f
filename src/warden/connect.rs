//! Connecting to backends without ever waiting: a Unix socket whose backlog is full is tried again by timer,
//! a TCP connection says itself when it stands, and both have `connect_ms`.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, connect, getsockopt,
    setsockopt, socket, sockopt,
};

use super::grant::{Asker, Grant};
use super::poll::{Interest, Source};
use super::{Due, Warden};
use crate::audit::log::Receipt;
use crate::model::refusal::Refusal;
use crate::policy::{Address, BackendKind};
use crate::sys::trusted::{Connecting, Judged, Rule, connect_unix};

/// The first pause before a Unix socket is tried again; doubled up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(2);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_millis(64);

/// A connection that is on its way.
struct Pending {
    grant: Grant,
    how: How,
}

enum How {
    Unix { path: PathBuf, owner: Option<u32>, pause: Duration },
    Tcp(OwnedFd),
}

/// All of them.
#[derive(Default)]
pub(super) struct Connects {
    pending: BTreeMap<u32, Pending>,
    made: u32,
}

impl Connects {
    fn keep(&mut self, pending: Pending) -> u32 {
        self.made = self.made.wrapping_add(1);
        self.pending.insert(self.made, pending);
        self.made
    }
}

impl Warden {
    /// Connects to the backend of a grant that is on record.
    pub(super) fn reach(&mut self, grant: Receipt<Grant>) {
        self.connect_backend(grant.into_inner());
    }

    /// The same where the journal stands in for the record and has taken it.
    pub(super) fn reach_by_journal(&mut self, grant: Grant) {
        self.connect_backend(grant);
    }

    fn connect_backend(&mut self, grant: Grant) {
        let Some(backend) = self.force.backend(grant.backend) else {
            return self.answer_open(&grant, Err(Refusal::BackendUnavailable));
        };
        match &backend.kind {
            BackendKind::Proxy { address: Address::Unix(path), owner, .. } => {
                let (path, owner) = (PathBuf::from(path), owner.map(|owner| owner.raw()));
                self.try_unix(grant, path, owner, PAUSE, None);
            }
            BackendKind::Proxy { address: Address::Tcp(address), .. } => self.try_tcp(grant, *address),
            BackendKind::Scribe { feed, only } => {
                let (feed, only) = (*feed, only.clone());
                let answer = self.have_scribe_serve(feed, only, grant.connection);
                self.answer_open(&grant, answer);
            }
            BackendKind::App { app, .. } => {
                let app = app.clone();
                self.reach_app(&grant, &app);
            }
            // A command is run, never connected to: neither for a gate nor for an app.
            BackendKind::Builtin | BackendKind::Command(_) => {
                self.answer_open(&grant, Err(Refusal::NotAllowed));
            }
        }
    }

    fn try_unix(
        &mut self,
        grant: Grant,
        path: PathBuf,
        owner: Option<u32>,
        pause: Duration,
        again: Option<u32>,
    ) {
        match connect_unix(&path, owner) {
            Ok(Connecting::Connected(socket)) => self.answer_open(&grant, Ok(socket)),
            Ok(Connecting::Again) => {
                let pending = Pending { grant, how: How::Unix { path, owner, pause } };
                let connect = match again {
                    Some(connect) => {
                        self.connects.pending.insert(connect, pending);
                        connect
                    }
                    None => self.keep_connect(pending),
                };
                self.timers.after(pause, Due::ConnectAgain(connect));
            }
            Err(judged) => {
                tracing::warn!(error = %judged, "a backend can't be reached");
                self.answer_open(&grant, Err(refusal(&judged)));
            }
        }
    }

    /// Tries a Unix socket that had no room again.
    pub(super) fn connect_again(&mut self, connect: u32) {
        let Some(Pending { grant, how }) = self.connects.pending.remove(&connect) else { return };
        match how {
            How::Unix { path, owner, pause } => {
                let pause = (pause * 2).min(PAUSE_MAX);
                self.try_unix(grant, path, owner, pause, Some(connect));
            }
            how @ How::Tcp(_) => {
                self.connects.pending.insert(connect, Pending { grant, how });
            }
        }
    }

    fn try_tcp(&mut self, grant: Grant, address: SocketAddr) {
        match begin_tcp(address) {
            Ok((socket, true)) => self.answer_open(&grant, Ok(socket)),
            Ok((socket, false)) => {
                let connect = self.keep_connect(Pending { grant, how: How::Tcp(socket) });
                let Some(Pending { how: How::Tcp(socket), .. }) = self.connects.pending.get(&connect) else {
                    return;
                };
                if let Err(error) = self.poll.watch(socket, Source::Connect(connect), Interest::Write) {
                    tracing::warn!(%error, "a backend's connection can't be watched");
                    self.fail_connect(connect, Refusal::BackendUnavailable);
                }
            }
            Err(error) => {
                tracing::warn!(%error, %address, "a backend can't be reached");
                self.answer_open(&grant, Err(Refusal::BackendUnavailable));
            }
        }
    }

    /// A TCP connection stands, or failed.
    pub(super) fn connect_settled(&mut self, connect: u32) {
        let Some(Pending { how: How::Tcp(socket), .. }) = self.connects.pending.get(&connect) else { return };
        self.poll.forget(socket);
        match getsockopt(socket, sockopt::SocketError) {
            Ok(0) => {
                if let Some(Pending { grant, how: How::Tcp(socket) }) = self.connects.pending.remove(&connect)
                {
                    self.answer_open(&grant, Ok(socket));
                }
            }
            failed => {
                let errno = failed.map_or_else(|errno| errno, Errno::from_raw);
                tracing::warn!(%errno, "a backend can't be reached");
                self.fail_connect(connect, Refusal::BackendUnavailable);
            }
        }
    }

    /// A backend did not answer within `connect_ms`.
    pub(super) fn connect_timed_out(&mut self, connect: u32) {
        if self.connects.pending.contains_key(&connect) {
            self.fail_connect(connect, Refusal::BackendTimeout);
        }
    }

    /// Another policy came into force while backends were being connected.
    pub(super) fn judge_connects_again(&mut self) {
        let lost =
            |(connect, pending): (&u32, &Pending)| (!self.still_granted(&pending.grant)).then_some(*connect);
        let lost: Vec<u32> = self.connects.pending.iter().filter_map(lost).collect();
        lost.into_iter().for_each(|connect| self.fail_connect(connect, Refusal::RefusedByReload));
    }

    /// A gate is gone, and with it whoever asked.
    pub(super) fn drop_connects_of(&mut self, gate: u32) {
        self.drop_connects(|grant| matches!(grant.asker, Asker::Lane(lane, _) if lane.gate == gate));
    }

    /// The same for an app.
    pub(super) fn drop_appeals_of(&mut self, app: u32) {
        self.drop_connects(|grant| matches!(grant.asker, Asker::App(asked, _) if asked == app));
    }

    fn drop_connects(&mut self, are: impl Fn(&Grant) -> bool) {
        for pending in self.connects.pending.values().filter(|pending| are(&pending.grant)) {
            if let How::Tcp(socket) = &pending.how {
                self.poll.forget(socket);
            }
            if let Some(connection) = self.connections.get_mut(pending.grant.connection) {
                connection.opening = connection.opening.saturating_sub(1);
            }
        }
        self.connects.pending.retain(|_, pending| !are(&pending.grant));
    }

    /// Passes a backend's connection to who asked, or says why there is none. A caller that left
    /// meanwhile gets none.
    pub(super) fn answer_open(&mut self, grant: &Grant, result: Result<OwnedFd, Refusal>) {
        let live = match self.connections.get_mut(grant.connection) {
            Some(connection) => {
                connection.opening = connection.opening.saturating_sub(1);
                true
            }
            None => false,
        };
        let (result, descriptors) = match result {
            Ok(socket) if live => (Ok(()), vec![Rc::new(socket)]),
            Ok(_unwanted) => (Err(Refusal::NotAllowed), Vec::new()),
            Err(refusal) => (Err(refusal), Vec::new()),
        };
        self.answer(grant.asker, result, descriptors);
    }

    fn keep_connect(&mut self, pending: Pending) -> u32 {
        let limit = Duration::from_millis(self.force.policy.limits.connect_ms.into());
        let connect = self.connects.keep(pending);
        self.timers.after(limit, Due::ConnectLimit(connect));
        connect
    }

    fn fail_connect(&mut self, connect: u32, refusal: Refusal) {
        let Some(pending) = self.connects.pending.remove(&connect) else { return };
        if let How::Tcp(socket) = &pending.how {
            self.poll.forget(socket);
        }
        self.answer_open(&pending.grant, Err(refusal));
    }
}

/// Begins a connection to a loopback address; whether it stands already.
fn begin_tcp(address: SocketAddr) -> io::Result<(OwnedFd, bool)> {
    if !address.ip().is_loopback() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "only loopback addresses are connected to"));
    }
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(family, SockType::Stream, flags, SockProtocol::Tcp)?;
    setsockopt(&fd, sockopt::TcpNoDelay, &true)?;
    let connected = match address {
        SocketAddr::V4(address) => connect(fd.as_raw_fd(), &SockaddrIn::from(address)),
        SocketAddr::V6(address) => connect(fd.as_raw_fd(), &SockaddrIn6::from(address)),
    };
    match connected {
        Ok(()) => Ok((fd, true)),
        Err(Errno::EINPROGRESS) => Ok((fd, false)),
        Err(errno) => Err(errno.into()),
    }
}

/// What the gate is told of a path that can't be connected to.
fn refusal(judged: &Judged) -> Refusal {
    match judged.rule {
        Rule::Listener { .. } => Refusal::BackendOwner,
        _ => Refusal::BackendUnavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn tcp_only_loopback_is_connected_to() {
        assert_eq!(
            begin_tcp("192.0.2.1:80".parse().unwrap()).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (socket, _stands) = begin_tcp(listener.local_addr().unwrap()).unwrap();
        assert!(getsockopt(&socket, sockopt::TcpNoDelay).unwrap());
        listener.accept().unwrap();
    }
}
