//! A gate asks for a backend. The warden believes nothing of the question but its ids: the connection must be
//! live and that lane's own, and the policy in force must let its caller reach that backend. Then the grant goes
//! on record, and only after it the backend is connected.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Instant;

use super::Warden;
use super::poll::LaneId;
use crate::audit::entry::{Entry, Grant as GrantEntry};
use crate::model::ids::{BackendId, ConnectionId, Generation, ListenerId, RequestId};
use crate::model::refusal::Refusal;
use crate::policy::BackendKind;
use crate::wire::app::ToApp;
use crate::wire::message::ToGate;

/// Backends that may be on their way for one connection at a time; HTTP/1 needs one, and one more where a kept
/// connection turns out dead.
pub(super) const OPENING: u8 = 4;

/// Who asked, and under which number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// A lane of a gate.
    Lane(LaneId, u32),
    /// An app.
    App(u32, u32),
}

/// One question that was allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grant {
    /// Who asked.
    pub(super) asker: Asker,
    /// For which connection.
    pub(super) connection: u64,
    /// Which backend of the policy that was in force.
    pub(super) backend: BackendId,
    /// That policy.
    pub(super) generation: Generation,
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
        self.grant(Asker::Lane(lane, ticket), (number, request), &named, judged);
    }

    /// Puts what was judged on record, and has the backend reached once that is written; or says why not. All that a gate
    /// or an app ever gets comes through here.
    pub(super) fn grant(
        &mut self,
        asker: Asker,
        (number, request): (u64, u32),
        named: &str,
        judged: Result<BackendId, Refusal>,
    ) {
        let Some(uid) = self.connections.get(number).map(|connection| connection.caller.peer.uid) else {
            return self.answer(asker, Err(Refusal::NotAllowed), Vec::new());
        };
        let id = RequestId { connection: ConnectionId { boot: self.boot, number }, number: request };
        let via = match asker {
            Asker::Lane(..) => None,
            Asker::App(app, _) => self.apps.sandbox(app).map(|sandbox| sandbox.name.as_str()),
        };
        let (policy, refused) = (&self.force.short, judged.err());
        let entry = Entry::Grant(GrantEntry { id, uid, backend: named, policy, refused, via, run: None });
        let backend = match judged {
            Ok(backend) => backend,
            Err(refusal) => {
                self.record.note(&entry);
                return self.answer(asker, Err(refusal), Vec::new());
            }
        };
        let grant = Grant { asker, connection: number, backend, generation: self.force.generation };
        match self.record.then_reach(grant, &entry) {
            Ok(()) => {
                if let Some(connection) = self.connections.get_mut(number) {
                    connection.opening += 1;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a grant can't be recorded and is refused");
                self.answer(asker, Err(Refusal::AuditUnavailable), Vec::new());
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
        if let Asker::App(app, _) = grant.asker {
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
        self.answer(Asker::Lane(lane, ticket), Err(refusal), Vec::new());
    }

    /// Answers a question, whoever put it.
    pub(super) fn answer(
        &mut self,
        asker: Asker,
        result: Result<(), Refusal>,
        descriptors: Vec<Rc<OwnedFd>>,
    ) {
        match asker {
            Asker::Lane(lane, ticket) => {
                self.tell_lane(lane, ToGate::Backend { ticket, result }, descriptors);
            }
            Asker::App(app, ticket) => self.tell_app(app, ToApp::Backend { ticket, result }, descriptors),
        }
    }
}
