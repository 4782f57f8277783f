//! The journal stands in for the record where that can't be written, for routes that say so. What a gate would have
//! written comes with its question; the warden believes of it what it knows itself, sends it with its own grant and the
//! caller's identity to journald, and only then connects. What journald does not take does not happen.

use std::collections::{HashMap, HashSet};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, sendto, socket};
use serde_json::Value;
use std::os::fd::AsRawFd;

use super::Warden;
use super::grant::{Asked, Asker, Grant};
use super::poll::LaneId;
use crate::audit::encode::{self, LINE_MAX};
use crate::audit::entry::{Conn, Entry, Grant as GrantEntry, Journalled};
use crate::model::ids::{BackendId, ConnectionId, ListenerId, RequestId};
use crate::model::refusal::Refusal;
use crate::model::time::Timestamp;

/// Where journald takes records in its own protocol.
const SOCKET: &str = "/run/systemd/journal/socket";

/// Requests of one lane whose outcome may be owed at a time.
const OPEN_MAX: usize = 4096;

/// What went there since the record could be written last.
#[derive(Debug, Default)]
pub(super) struct Journal {
    sent: Option<Journalled>,
    /// Requests whose outcome may still come, by the lane that told of them.
    open: HashMap<LaneId, HashSet<RequestId>>,
}

impl Journal {
    /// Whether a lane may tell of one more: what it leaves without an outcome must not fill the memory.
    fn has_room(&self, lane: LaneId) -> bool {
        self.open.get(&lane).is_none_or(|open| open.len() < OPEN_MAX)
    }

    fn opened(&mut self, lane: LaneId, id: RequestId) {
        self.open.entry(lane).or_default().insert(id);
    }

    /// Whether this is the one outcome of a request that the same lane told of.
    fn settles(&mut self, lane: LaneId, line: &str) -> bool {
        let Some(record) = parsed(line).filter(|record| record.get("t") == Some(&"outcome".into())) else {
            return false;
        };
        let id = record.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok());
        id.is_some_and(|id| self.open.get_mut(&lane).is_some_and(|open| open.remove(&id)))
    }

    /// A gate is gone: it tells of no outcome any more.
    pub(super) fn forget_gate(&mut self, gate: u32) {
        self.open.retain(|lane, _| lane.gate != gate);
    }
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
        if self.is_command(backend) || !self.may_stand_in(line, id, listener, backend) {
            tracing::warn!(%id, "a gate sends the journal what no record says");
            return self.refuse_open(lane, ticket, Refusal::NotAllowed);
        }
        let policy = self.force.short.clone();
        let (refused, via, run) = (None, None, None);
        let entry = Entry::Grant(GrantEntry { id, uid, backend: &named, policy: &policy, refused, via, run });
        if !self.journal.has_room(lane) {
            return self.refuse_open(lane, ticket, Refusal::RateLimited);
        }
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
        self.journal.opened(lane, id);
        let (count, first, last) = (1, Timestamp::now(), Timestamp::now());
        let sent = self.journal.sent.get_or_insert(Journalled { count: 0, first, last });
        (sent.count, sent.last) = (sent.count + count, last);
        let (asker, generation) = (Asker::Lane(lane, ticket), self.force.generation);
        let grant = Grant { asker, connection: number, backend, generation };
        // It may be the lane alone that can't write: then the grant has to be on record as any other.
        let on_record = self.can_record() && self.record.then_reach(grant, &entry).is_ok();
        if let Some(connection) = self.connections.get_mut(number) {
            connection.opening += 1;
        }
        if !on_record {
            // As well as it can be: it is known to fail.
            self.record.note(&entry);
            self.reach_by_journal(grant);
        }
    }

    /// Whether what the warden notes can be trusted to be found.
    fn can_record(&self) -> bool {
        self.record.goes_on() && self.scribe.is_alive() && !self.homeless
    }

    /// The outcome of what the journal knows of; nothing waits for it.
    pub(super) fn settle_by_journal(&mut self, lane: LaneId, line: &str) {
        if !self.journal.settles(lane, line) {
            return tracing::warn!(?lane, "a gate sends the journal an outcome of what it never told of");
        }
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
        let whole = self.can_record();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::BootId;

    #[test]
    fn outcome_is_taken_once_of_what_the_same_lane_told_of() {
        let id = |number| RequestId {
            connection: ConnectionId { boot: BootId::from_random(1), number },
            number: 1,
        };
        let line = |t: &str, number| format!("{{\"v\":1,\"t\":\"{t}\",\"id\":\"{}\"}}", id(number));
        let (ours, theirs) = (LaneId { gate: 1, lane: 0 }, LaneId { gate: 2, lane: 0 });
        let mut journal = Journal::default();
        journal.opened(ours, id(7));
        journal.opened(theirs, id(8));
        assert!(!journal.settles(theirs, &line("outcome", 7)), "another gate's request");
        assert!(!journal.settles(ours, &line("outcome", 9)), "one that was never told of");
        assert!(!journal.settles(ours, &line("decision", 7)) && !journal.settles(ours, "no record"));
        assert!(journal.settles(ours, &line("outcome", 7)));
        assert!(!journal.settles(ours, &line("outcome", 7)), "a second time");
        journal.forget_gate(2);
        assert!(!journal.settles(theirs, &line("outcome", 8)));
    }

    #[test]
    fn lane_that_settles_nothing_is_heard_no_more() {
        let lane = LaneId { gate: 1, lane: 0 };
        let mut journal = Journal::default();
        for number in 0..OPEN_MAX as u64 {
            assert!(journal.has_room(lane));
            let connection = ConnectionId { boot: BootId::from_random(1), number };
            journal.opened(lane, RequestId { connection, number: 1 });
        }
        assert!(!journal.has_room(lane) && journal.has_room(LaneId { gate: 2, lane: 0 }));
    }
}
