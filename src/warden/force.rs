//! The policy in force, as the warden uses it.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use super::identify::Depth;
use crate::model::caller::{Caller, Uid};
use crate::model::ids::{BackendId, Generation, ListenerId};
use crate::model::time::Timestamp;
use crate::policy::{Backend, Decider, Gates, IdentityDepth, Policy};

/// So many earlier policies' backends are remembered by name: a lane may still ask by one of them. What is
/// older is refused.
const EARLIER: usize = 16;

/// A policy, its judge, and what went before.
pub(super) struct InForce {
    /// What it says.
    pub(super) policy: Arc<Policy>,
    /// Counts the policies of this start.
    pub(super) generation: Generation,
    /// It, in sealed memory, for the gates.
    pub(super) memory: Rc<OwnedFd>,
    /// When it came into force.
    pub(super) since: Timestamp,
    /// The first eight hex digits of its hash.
    pub(super) short: String,
    decider: Decider,
    earlier: VecDeque<(Generation, Vec<String>)>,
    cores: u16,
}

impl InForce {
    /// The first policy of this start.
    pub(super) fn first(policy: Policy, memory: OwnedFd) -> InForce {
        let policy = Arc::new(policy);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        InForce {
            decider: Decider::new(Arc::clone(&policy)),
            short: policy.short_hash(),
            policy,
            generation: Generation(1),
            memory: Rc::new(memory),
            since: Timestamp::now(),
            earlier: VecDeque::new(),
            cores: u16::try_from(cores).unwrap_or(u16::MAX),
        }
    }

    /// Puts another one in force.
    pub(super) fn replace(&mut self, policy: Policy, memory: OwnedFd) {
        self.earlier.push_back((self.generation, names(&self.policy)));
        if self.earlier.len() > EARLIER {
            self.earlier.pop_front();
        }
        self.policy = Arc::new(policy);
        self.decider = Decider::new(Arc::clone(&self.policy));
        self.short = self.policy.short_hash();
        self.generation = Generation(self.generation.0 + 1);
        self.memory = Rc::new(memory);
        self.since = Timestamp::now();
    }

    /// All 64 hex digits of its hash.
    pub(super) fn long_hash(&self) -> String {
        self.policy.hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether no route of the listener could ever allow this caller.
    pub(super) fn is_stranger(&self, listener: ListenerId, caller: &Caller) -> bool {
        self.decider.recognise(listener, caller).is_stranger()
    }

    /// Whether some route of the listener to that backend allows this caller.
    pub(super) fn may_reach(&self, listener: ListenerId, caller: &Caller, backend: BackendId) -> bool {
        let subject = self.decider.recognise(listener, caller);
        self.decider.may_reach(listener, &subject, backend)
    }

    /// Whether this route lets the caller reach that backend with a record in the journal alone.
    pub(super) fn may_by_journal(
        &self,
        listener: ListenerId,
        caller: &Caller,
        route: &str,
        backend: BackendId,
    ) -> bool {
        let subject = self.decider.recognise(listener, caller);
        self.decider.may_by_journal(listener, &subject, route, backend)
    }

    /// Whether this route lets the caller reach that backend.
    pub(super) fn may_by_route(
        &self,
        listener: ListenerId,
        caller: &Caller,
        route: &str,
        backend: BackendId,
    ) -> bool {
        let subject = self.decider.recognise(listener, caller);
        self.decider.may_by_route(listener, &subject, route, backend)
    }

    /// A user's name, for records.
    pub(super) fn user(&self, uid: Uid) -> Option<String> {
        self.policy.user_name(uid).map(str::to_owned)
    }

    /// How much of a caller is read.
    pub(super) fn depth(&self) -> Depth {
        match self.policy.daemon.identity {
            IdentityDepth::Needed => Depth::Cheap,
            IdentityDepth::Full => Depth::Full,
        }
    }

    /// Whether one gate serves all callers.
    pub(super) fn shared_gate(&self) -> bool {
        self.policy.daemon.gates == Gates::Shared
    }

    /// Threads of a gate.
    pub(super) fn lanes(&self) -> u16 {
        self.policy.daemon.lanes.unwrap_or(self.cores.saturating_sub(1)).max(1)
    }

    /// A backend of the policy in force.
    pub(super) fn backend(&self, id: BackendId) -> Option<&Backend> {
        self.policy.backend(id)
    }

    /// The place of a backend in the policy in force.
    pub(super) fn backend_by_name(&self, name: &str) -> Option<BackendId> {
        let place = self.policy.backends.iter().position(|backend| backend.name == name)?;
        u16::try_from(place).ok().map(BackendId)
    }

    /// The name of a backend of this or an earlier policy.
    pub(super) fn backend_name(&self, generation: Generation, id: BackendId) -> Option<&str> {
        if generation == self.generation {
            return self.backend(id).map(|backend| backend.name.as_str());
        }
        let (_, names) = self.earlier.iter().find(|(earlier, _)| *earlier == generation)?;
        names.get(usize::from(id.0)).map(String::as_str)
    }
}

fn names(policy: &Policy) -> Vec<String> {
    policy.backends.iter().map(|backend| backend.name.clone()).collect()
}
