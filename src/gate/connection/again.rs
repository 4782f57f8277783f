//! What runs is judged again: by a policy that has just come into force, and by what its caller may use up.

use std::time::Instant;

use super::{Begun, Connection, End, Exchange};
use crate::gate::lane::InForce;
use crate::model::refusal::Refusal;
use crate::model::target::Asked;
use crate::policy::Verdict;

impl Connection {
    /// Judges what runs by a policy that has just come into force, and lets go of kept backends, whose grant
    /// was the old one's.
    pub(in crate::gate) fn judge_again(&self) {
        self.kept.borrow_mut().take();
        if self.taken_back() {
            self.end(End::RefusedByReload);
        }
    }

    /// Whether a newer policy than the one that allowed what runs does not allow it.
    fn taken_back(&self) -> bool {
        let exchange = self.exchange.borrow();
        let Some(running) = exchange.as_ref() else { return false };
        let policy = self.lane.policy();
        let generation = &running.begun.generation;
        *generation != policy.generation && self.denied(&running.begun, &policy).is_some()
    }

    /// Whether a newer policy than the one that allowed what is about to run does not allow it as far as is known: what
    /// it reads of head and body was judged by the older one alone.
    pub(in crate::gate) fn outlasted(&self) -> bool {
        let exchange = self.exchange.borrow();
        let Some(Begun { generation, method, target, upgrade, .. }) = exchange.as_ref().map(|it| &it.begun)
        else {
            return false;
        };
        let policy = self.lane.policy();
        let asked = Asked { method, target, upgrade: upgrade.as_deref() };
        let judge = || policy.decider.decide(self.listener, &self.subject(&policy).1, &asked);
        *generation != policy.generation && !matches!(judge(), Verdict::Allow(_))
    }

    /// Why a policy does not allow what runs, now.
    fn denied(&self, begun: &Begun, policy: &InForce) -> Option<Refusal> {
        let Begun { method, target, upgrade, .. } = begun;
        let subject = self.subject(policy);
        let asked = Asked { method, target, upgrade: upgrade.as_deref() };
        match policy.decider.decide(self.listener, &subject.1, &asked) {
            // What header lines and a body held is not here any more, only that they were judged once.
            Verdict::Allow(_) | Verdict::Read(_) => None,
            Verdict::Deny(denial) => Some(denial.refusal),
        }
    }

    /// Ends what runs once its grant has ended by itself, or its caller has used up what it may.
    pub(in crate::gate) fn look_at_bounds(&self, now: Instant) {
        let refusal = {
            let mut exchange = self.exchange.borrow_mut();
            let Some(running) = exchange.as_mut() else { return };
            let over = self.spend(running, now).then_some(Refusal::WhoBytes);
            let ended = || self.denied(&running.begun, &self.lane.policy());
            over.or_else(|| running.begun.may_end.then(ended).flatten())
        };
        if let Some(refusal) = refusal {
            self.end(End::Failed(refusal));
        }
    }

    /// Charges the caller for what went by since the last time. Whether that was too much.
    pub(super) fn spend(&self, running: &mut Exchange, now: Instant) -> bool {
        let all = running.bytes_in.saturating_add(running.bytes_out);
        let bytes = all.saturating_sub(std::mem::replace(&mut running.charged, all));
        bytes > 0 && self.holding.borrow().as_ref().is_some_and(|holding| holding.spend(bytes, now))
    }
}
