//! An app asks for a backend of the policy, for a request that its handlers answer. It is believed as little as a gate:
//! the connection must be live, its caller one whom the policy in force lets reach the app, and the backend one that
//! the program declares for it. Then the grant goes on record, and only after it the backend is connected.

use std::time::Instant;

use super::Warden;
use super::grant::{Asker, Grant, OPENING};
use crate::model::ids::BackendId;
use crate::model::refusal::Refusal;
use crate::policy::BackendKind;

/// One question, as an app put it.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// Which app.
    pub(super) app: u32,
    /// Comes back with the answer.
    pub(super) ticket: u32,
    /// The connection that it names.
    pub(super) connection: u64,
    /// The request's number on it.
    pub(super) request: u32,
    /// The backend's name.
    pub(super) backend: String,
}

impl Warden {
    /// Judges one question by the policy in force.
    pub(super) fn judge_appeal(&mut self, asked: Asked) {
        let Asked { app, ticket, connection: number, request, backend } = asked;
        let Some(uid) = self.connections.get(number).map(|connection| connection.caller.peer.uid) else {
            // The caller left while the question was on its way, or the app makes up a number.
            return self.answer(Asker::App(app, ticket), Err(Refusal::NotAllowed), Vec::new());
        };
        if !self.callers.may_open(uid, &self.force.policy.limits, Instant::now()) {
            return self.answer(Asker::App(app, ticket), Err(Refusal::RateLimited), Vec::new());
        }
        let judged = self.judge_app(app, number, &backend);
        self.grant(Asker::App(app, ticket), (number, request), &backend, judged);
    }

    /// The backend's place in the policy in force, if this app may have it for this connection.
    fn judge_app(&self, app: u32, number: u64, backend: &str) -> Result<BackendId, Refusal> {
        let connection = self.connections.get(number).ok_or(Refusal::NotAllowed)?;
        if connection.opening >= OPENING {
            return Err(Refusal::RateLimited);
        }
        if self.app_may(app, number, backend) {
            self.force.backend_by_name(backend).ok_or(Refusal::NotAllowed)
        } else {
            Err(Refusal::NotAllowed)
        }
    }

    /// Whether the policy in force lets the caller of this connection reach this app, and the app that backend.
    fn app_may(&self, app: u32, number: u64, backend: &str) -> bool {
        let (Some(sandbox), Some(connection)) = (self.apps.sandbox(app), self.connections.get(number)) else {
            return false;
        };
        let is_proxy = |id: BackendId| {
            self.force.backend(id).is_some_and(|backend| matches!(backend.kind, BackendKind::Proxy { .. }))
        };
        let is_app =
            |kind: &BackendKind| matches!(kind, BackendKind::App { app, .. } if *app == sandbox.name);
        let place = self.force.policy.backends.iter().position(|backend| is_app(&backend.kind));
        let Some(of_app) = place.and_then(|place| u16::try_from(place).ok()).map(BackendId) else {
            return false;
        };
        sandbox.backends.iter().any(|declared| declared == backend)
            && self.force.backend_by_name(backend).is_some_and(is_proxy)
            && self.force.may_reach(connection.listener, &connection.caller, of_app)
    }

    /// Whether an app's grant whose backend is still being connected holds by the policy that is in force now.
    pub(super) fn still_granted_to_app(&self, app: u32, grant: &Grant) -> bool {
        let name = self.force.backend_name(grant.generation, grant.backend);
        name.is_some_and(|name| self.app_may(app, grant.connection, name))
    }
}
