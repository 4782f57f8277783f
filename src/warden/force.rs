//! The policy in force, as the warden uses it.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::model::caller::{Caller, Uid};
use crate::model::clock::Clock;
use crate::model::depth::Depth;
use crate::model::ids::{BackendId, Generation, ListenerId};
use crate::model::target::Asked;
use crate::model::time::Timestamp;
use crate::policy::{Backend, Decider, Denial, Gates, IdentityDepth, Policy, Subject};

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
    /// The latest instant that was seen, over all policies of this start.
    pub(super) clock: Arc<Clock>,
    decider: Decider,
    earlier: VecDeque<(Generation, Vec<String>)>,
    cores: u16,
}

impl InForce {
    /// The first policy of this start.
    pub(super) fn first(policy: Policy, memory: OwnedFd, seen: Timestamp) -> InForce {
        let clock = Arc::<Clock>::default();
        clock.see(seen);
        let policy = Arc::new(policy);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        InForce {
            decider: Decider::with_clock(Arc::clone(&policy), Arc::clone(&clock)),
            clock,
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
        self.decider = Decider::with_clock(Arc::clone(&self.policy), Arc::clone(&self.clock));
        self.short = self.policy.short_hash();
        self.generation = Generation(self.generation.0 + 1);
        self.memory = Rc::new(memory);
        self.since = Timestamp::now();
    }

    /// All 64 hex digits of its hash.
    pub(super) fn long_hash(&self) -> String {
        self.policy.hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What the policy makes of a caller.
    pub(super) fn recognise(&self, listener: ListenerId, caller: &Caller) -> Subject {
        self.decider.recognise(listener, caller)
    }

    /// After this a gate that nobody uses may end: it holds what its callers have used of their rates, and a new one
    /// would not know.
    pub(super) fn gate_idle(&self) -> Duration {
        let idle = u64::from(self.policy.limits.gate_idle_ms);
        Duration::from_millis(idle.max(self.decider.remembers_ms()))
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

    /// Whether this route leads this request to that backend for the caller.
    ///
    /// # Errors
    ///
    /// The denial, as a gate would have it.
    pub(super) fn leads(
        &self,
        listener: ListenerId,
        caller: &Caller,
        asked: &Asked<'_>,
        route: &str,
        backend: BackendId,
    ) -> Result<(), Denial> {
        let subject = self.decider.recognise(listener, caller);
        self.decider.leads(listener, &subject, asked, route, backend)
    }

    /// A user's name, for records.
    pub(super) fn user(&self, uid: Uid) -> Option<String> {
        self.policy.user_name(uid).map(str::to_owned)
    }

    /// How much of a listener's callers is read.
    pub(super) fn depth(&self, listener: ListenerId) -> Depth {
        match self.policy.daemon.identity {
            IdentityDepth::Needed => self.decider.depth(listener),
            IdentityDepth::Full => Depth::FULL,
        }
    }

    /// Whether a rule names the program that lies there.
    pub(super) fn names_program(&self, path: &[u8]) -> bool {
        self.decider.names_program(path)
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
