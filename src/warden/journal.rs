//! The journal stands in for the record where that can't be written, for routes that say so. What a gate would have
//! written comes with its question; the warden believes of it what it knows itself, sends it with its own grant and the
//! caller's identity to journald, and only then connects. What journald does not take does not happen.

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, sendto, socket};
use serde_json::Value;
use std::os::fd::AsRawFd;

use super::Warden;
use super::grant::{Asked, Grant};
use super::poll::LaneId;
use crate::audit::encode::{self, LINE_MAX};
use crate::audit::entry::{Conn, Entry, Grant as GrantEntry, Journalled};
use crate::model::ids::{BackendId, ConnectionId, ListenerId, RequestId};
use crate::model::refusal::Refusal;
use crate::model::time::Timestamp;

/// Where journald takes records in its own protocol.
const SOCKET: &str = "/run/systemd/journal/socket";

/// What went there since the record could be written last.
#[derive(Debug, Default)]
pub(super) struct Journal {
    sent: Option<Journalled>,
    /// Outcomes that may still come.
    outcomes: u64,
}

impl Warden {
    /// Judges one question as any other, and then whether the journal may stand in and does.
    pub(super) fn judge_open_by_journal(&mut self, lane: LaneId, asked: &Asked, line: &str) {
        let Asked { ticket, connection: number, request, backend, generation } = *asked;
        let of_lane = self.connections.get(number).filter(|connection| connection.lane == Some(lane));
        let Some(connection) = of_lane else {
            return self.refuse_open(lane, ticket, Refusal::NotAllowed);
        };
        let (uid, listener) = (connection.caller.peer.uid, connection.listener);
        if !self.callers.may_open(uid, &self.force.policy.limits, std::time::Instant::now()) {
            return self.refuse_open(lane, ticket, Refusal::RateLimited);
        }
        let (named, judged) = self.judge_backend(listener, number, backend, generation);
        let backend = match judged {
            Ok(backend) => backend,
            Err(refusal) => return self.refuse_open(lane, ticket, refusal),
        };
        let id = RequestId { connection: ConnectionId { boot: self.boot, number }, number: request };
        if !self.may_stand_in(line, id, listener, backend) {
            tracing::warn!(%id, "a gate sends the journal what no record says");
            return self.refuse_open(lane, ticket, Refusal::NotAllowed);
        }
        let policy = self.force.short.clone();
        let entry = Entry::Grant(GrantEntry { id, uid, backend: &named, policy: &policy, refused: None });
        if let Err(errno) = send(&[
            ("MESSAGE", line),
            ("PRIORITY", "4"),
            ("SYSLOG_IDENTIFIER", "peergated"),
            ("PEERGATE_DECISION", line),
            ("PEERGATE_GRANT", &as_line(&entry)),
            ("PEERGATE_CONN", &self.conn_line(number)),
        ]) {
            tracing::error!(%errno, %id, "neither the record nor the journal can be written");
            return self.refuse_open(lane, ticket, Refusal::AuditUnavailable);
        }
        self.journal.outcomes += 1;
        let (count, first, last) = (1, Timestamp::now(), Timestamp::now());
        let sent = self.journal.sent.get_or_insert(Journalled { count: 0, first, last });
        (sent.count, sent.last) = (sent.count + count, last);
        // As well as it can be: it is known to fail.
        self.record.note(&entry);
        if let Some(connection) = self.connections.get_mut(number) {
            connection.opening += 1;
        }
        self.reach_by_journal(Grant {
            lane,
            ticket,
            connection: number,
            backend,
            generation: self.force.generation,
        });
    }

    /// The outcome of what the journal knows of; nothing waits for it.
    pub(super) fn settle_by_journal(&mut self, lane: LaneId, number: u64, line: &str) {
        let live = self.connections.get(number).is_none_or(|connection| connection.lane == Some(lane));
        let outcome = parsed(line).is_some_and(|record| record["t"] == "outcome");
        // No more of them than there were decisions.
        let Some(left) = self.journal.outcomes.checked_sub(1).filter(|_| live && outcome) else { return };
        self.journal.outcomes = left;
        let fields = [
            ("MESSAGE", line),
            ("PRIORITY", "6"),
            ("SYSLOG_IDENTIFIER", "peergated"),
            ("PEERGATE_OUTCOME", line),
        ];
        if let Err(errno) = send(&fields) {
            tracing::warn!(%errno, "the journal does not take an outcome");
        }
    }

    /// Once the record can be written again it tells what is in the journal instead.
    pub(super) fn tell_of_journal(&mut self) {
        let whole = self.record.is_whole() && self.scribe.is_alive() && !self.homeless;
        let Some(sent) = self.journal.sent.filter(|_| whole) else { return };
        if self.record.note_if_it_can(&Entry::Journal(sent)) {
            self.journal.sent = None;
        }
    }

    /// Whether the line is the decision that this caller's request could have, by a route that lets the journal stand in.
    fn may_stand_in(&self, line: &str, id: RequestId, listener: ListenerId, backend: BackendId) -> bool {
        let Some(connection) = self.connections.get(id.connection.number) else { return false };
        let Some(record) = parsed(line) else { return false };
        let says = |key: &str, value: Value| record.get(key) == Some(&value);
        let route = record.get("route").and_then(Value::as_str).unwrap_or_default();
        says("t", "decision".into())
            && says("decision", "allow".into())
            && says("id", id.to_string().into())
            && says("uid", connection.caller.peer.uid.into())
            && self.force.may_by_journal(listener, &connection.caller, route, backend)
    }

    fn conn_line(&self, number: u64) -> String {
        let Some(connection) = self.connections.get(number) else { return String::new() };
        let on =
            self.force.policy.listener(connection.listener).map_or("", |listener| listener.name.as_str());
        let id = ConnectionId { boot: self.boot, number };
        as_line(&Entry::Conn(Conn { id, on, caller: &connection.caller, shed: None }))
    }
}

fn as_line(entry: &Entry<'_>) -> String {
    let mut line = Vec::new();
    encode::line(entry, 0, Timestamp::now(), &mut line);
    String::from_utf8_lossy(&line).trim_end().to_owned()
}

/// A record of one line, as any writer's would be.
fn parsed(line: &str) -> Option<Value> {
    let plain = line.len() < LINE_MAX && line.bytes().all(|byte| (0x20..0x7F).contains(&byte));
    plain.then(|| serde_json::from_str(line).ok()).flatten()
}

/// One datagram in journald's own protocol, without waiting for it. Values are single lines, so that each is
/// `NAME=value` (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>).
fn send(fields: &[(&str, &str)]) -> Result<(), Errno> {
    let text: String = fields.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let journal = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let sent = sendto(journal.as_raw_fd(), text.as_bytes(), &UnixAddr::new(SOCKET)?, flags)?;
    if sent == text.len() { Ok(()) } else { Err(Errno::EMSGSIZE) }
}
