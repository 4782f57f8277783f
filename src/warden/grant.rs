//! A gate asks for a backend. The warden believes nothing of the question but its ids: the connection must be
//! live and that lane's own, and the policy in force must let its caller reach that backend. Then the grant goes
//! on record, and only after it the backend is connected.

use std::time::Instant;

use super::Warden;
use super::poll::LaneId;
use crate::audit::entry::{Entry, Grant as GrantEntry};
use crate::model::ids::{BackendId, ConnectionId, Generation, ListenerId, RequestId};
use crate::model::refusal::Refusal;
use crate::policy::BackendKind;
use crate::wire::message::ToGate;

/// Backends that may be on their way for one connection at a time; HTTP/1 needs one, and one more where a kept
/// connection turns out dead.
pub(super) const OPENING: u8 = 4;

/// One question that was allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grant {
    /// Who asked.
    pub(super) lane: LaneId,
    /// Under which number.
    pub(super) ticket: u32,
    /// For which connection.
    pub(super) connection: u64,
    /// Which backend of the policy that was in force.
    pub(super) backend: BackendId,
    /// That policy.
    pub(super) generation: Generation,
    /// The app that asked for it, where it was not the lane itself.
    pub(super) app: Option<u32>,
}

/// One question, as a lane put it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// Comes back with the answer.
    pub(super) ticket: u32,
    /// The connection that it names.
    pub(super) connection: u64,
    /// The request's number on it.
    pub(super) request: u32,
    /// Which backend of that generation's policy.
    pub(super) backend: BackendId,
    /// The policy that the lane decided by.
    pub(super) generation: Generation,
}

impl Warden {
    /// Judges one question by the policy in force.
    pub(super) fn judge_open(&mut self, lane: LaneId, asked: &Asked) {
        let Asked { ticket, connection: number, request, backend, generation } = *asked;
        let Some(connection) =
            self.connections.get(number).filter(|connection| connection.lane == Some(lane))
        else {
            // The caller left while the question was on its way, or the gate speaks for somebody else's.
            tracing::debug!(?lane, number, "a backend was asked for a connection that is not there");
            return self.refuse_open(lane, ticket, Refusal::NotAllowed);
        };
        let (uid, listener) = (connection.caller.peer.uid, connection.listener);
        if !self.callers.may_open(uid, &self.force.policy.limits, Instant::now()) {
            // Not even a record each: a gate that was taken over could fill the log with questions.
            return self.refuse_open(lane, ticket, Refusal::RateLimited);
        }
        let (named, judged) = self.judge_backend(listener, number, backend, generation);
        // A command is asked for in words of its own, which are judged.
        let judged =
            judged.and_then(|id| if self.is_command(id) { Err(Refusal::NotAllowed) } else { Ok(id) });
        let id = RequestId { connection: ConnectionId { boot: self.boot, number }, number: request };
        let entry = GrantEntry {
            id,
            uid,
            backend: &named,
            policy: &self.force.short,
            refused: judged.err(),
            run: None,
        };
        let backend = match judged {
            Ok(backend) => backend,
            Err(refusal) => {
                self.record.note(&Entry::Grant(entry));
                return self.refuse_open(lane, ticket, refusal);
            }
        };
        let generation = self.force.generation;
        let grant = Grant { lane, ticket, connection: number, backend, generation, app: None };
        match self.record.then_reach(grant, &Entry::Grant(entry)) {
            Ok(()) => {
                if let Some(connection) = self.connections.get_mut(number) {
                    connection.opening += 1;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a grant can't be recorded and is refused");
                self.refuse_open(lane, ticket, Refusal::AuditUnavailable);
            }
        }
    }

    /// The backend's name, and its place in the policy in force if the caller may reach it.
    pub(super) fn judge_backend(
        &self,
        listener: ListenerId,
        number: u64,
        backend: BackendId,
        generation: Generation,
    ) -> (String, Result<BackendId, Refusal>) {
        let Some(name) = self.force.backend_name(generation, backend) else {
            return (String::new(), Err(Refusal::RefusedByReload));
        };
        // Where the lane judged by an older policy, whatever is not allowed now was taken away by the reload.
        let denial =
            if generation == self.force.generation { Refusal::NotAllowed } else { Refusal::RefusedByReload };
        let judged = match self.connections.get(number) {
            None => Err(denial),
            Some(connection) if connection.opening >= OPENING => Err(Refusal::RateLimited),
            Some(connection) => {
                let now = self.force.backend_by_name(name).filter(|id| {
                    // The gates' own API is behind no connection.
                    let reached = |kind: &BackendKind| !matches!(kind, BackendKind::Builtin);
                    self.force.backend(*id).is_some_and(|backend| reached(&backend.kind))
                        && self.force.may_reach(listener, &connection.caller, *id)
                });
                now.ok_or(denial)
            }
        };
        (name.to_owned(), judged)
    }

    pub(super) fn is_command(&self, id: BackendId) -> bool {
        self.force.backend(id).is_some_and(|backend| matches!(backend.kind, BackendKind::Command(_)))
    }

    /// Whether a grant whose backend is still being connected holds by the policy that is in force now.
    pub(super) fn still_granted(&self, grant: &Grant) -> bool {
        if let Some(app) = grant.app {
            return self.still_granted_to_app(app, grant);
        }
        let Some(connection) = self.connections.get(grant.connection) else { return false };
        let name = self.force.backend_name(grant.generation, grant.backend);
        let backend = name.and_then(|name| self.force.backend_by_name(name));
        backend.is_some_and(|id| self.force.may_reach(connection.listener, &connection.caller, id))
    }

    /// The grant's record was lost, so nothing happens.
    pub(super) fn not_recorded(&mut self, grant: Grant) {
        self.answer_open(&grant, Err(Refusal::AuditUnavailable));
    }

    pub(super) fn refuse_open(&mut self, lane: LaneId, ticket: u32, refusal: Refusal) {
        self.tell_lane(lane, ToGate::Backend { ticket, result: Err(refusal) }, Vec::new());
    }
}
