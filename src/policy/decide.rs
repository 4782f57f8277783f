//! The decision, and the only maker of a [`Permit`].
//!
//! The most specific route → any forbid wins → an allow is needed → what the route reads of the query and the
//! upgrade → else deny. Rules in shadow mode are judged in a second set of rules, which never decides.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::rules::{Found, Rules};
use super::subject::{Bits, Seen, Subject};
use super::table::{NamespaceRule, Policy};
use crate::model::caller::Caller;
use crate::model::ids::{BackendId, ListenerId};
use crate::model::refusal::Refusal;
use crate::model::target::Asked;

pub use super::rules::{Offer, Terms};

/// A policy, ready to decide: cheap to ask, built once a generation.
#[derive(Debug)]
pub struct Decider {
    policy: Arc<Policy>,
    number: u64,
    enforced: Rules,
    /// All rules, those in shadow mode in front; absent where there is none.
    tried: Option<Rules>,
}

/// What the policy says to one request.
#[must_use]
#[derive(Debug)]
pub enum Verdict {
    /// It may go on, on these terms.
    Allow(Permit),
    /// It may not.
    Deny(Denial),
}

/// That one request may go on. Made by [`Decider::decide`] alone, and good for one use.
pub struct Permit {
    found: Found,
    shadow: Option<Arc<str>>,
}

/// That a request may not go on, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The stable reason; its client text says nothing of the policy.
    pub refusal: Refusal,
    /// The route that matched.
    pub route: Option<Arc<str>>,
    /// The rule that decided: `forbid.ci-never-execs`, `route.containers-list`.
    pub by: Option<Arc<str>>,
    /// Where that rule stands: `policy.toml:42`.
    pub at: Option<Arc<str>>,
    /// What the policy's author tells callers who may not.
    pub help: Option<Arc<str>>,
    /// What rules in shadow mode would have done, where that differs.
    pub shadow: Option<Arc<str>>,
}

impl Permit {
    /// The route's id.
    pub fn route_id(&self) -> &str {
        &self.found.rule.told.id
    }

    /// The rule that allowed: `who.ci`.
    pub fn by(&self) -> &str {
        self.found.grant().map_or("", |grant| &grant.by)
    }

    /// Where that rule stands, by the name in the route's `allow`: `policy.toml:42`.
    pub fn at(&self) -> &str {
        self.found.grant().map_or("", |grant| &grant.at)
    }

    /// On which terms it may go on.
    pub fn terms(&self) -> &Terms {
        &self.found.rule.terms
    }

    /// What rules in shadow mode would have done, where that differs.
    pub fn shadow(&self) -> Option<&str> {
        self.shadow.as_deref()
    }

    /// Gives it up for a denial by the same route, where something outside the policy's rules forbids it.
    pub fn deny(self, refusal: Refusal) -> Denial {
        let route = Some(Arc::clone(&self.found.rule.told.id));
        Denial { refusal, route, by: None, at: None, help: None, shadow: self.shadow }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("route", &self.route_id())
            .field("by", &self.by())
            .finish_non_exhaustive()
    }
}

impl Denial {
    /// A denial that no rule of the policy is behind.
    pub fn plain(refusal: Refusal) -> Denial {
        Denial { refusal, route: None, by: None, at: None, help: None, shadow: None }
    }
}

impl Decider {
    /// Builds the matchers of a policy.
    pub fn new(policy: Arc<Policy>) -> Decider {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let shadows = policy.routes.iter().any(|route| route.shadow)
            || policy.forbids.iter().any(|forbid| forbid.shadow);
        Decider {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            enforced: Rules::enforced(&policy),
            tried: shadows.then(|| Rules::with_shadows(&policy)),
            policy,
        }
    }

    /// The policy that it decides by.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Works out once, for a connection, which whos hold for its caller. After a reload it is asked again.
    pub fn recognise(&self, listener: ListenerId, caller: &Caller) -> Subject {
        let seen = Seen::of(caller);
        let whos = &self.policy.whos;
        let holds = Bits::of(whos.iter().map(|who| seen.is(who, NamespaceRule::Host).allows()));
        // A namespace that nobody wrote narrows what is allowed, never what is forbidden.
        let binds = Bits::of(whos.iter().map(|who| seen.is(who, NamespaceRule::Any).forbids()));
        let stranger = !self.enforced.allows_anything(listener, &holds);
        Subject { decider: self.number, listener, holds, binds, stranger }
    }

    /// Judges one request.
    pub fn decide(&self, listener: ListenerId, subject: &Subject, asked: &Asked<'_>) -> Verdict {
        if !self.knows(listener, subject) {
            return Verdict::Deny(Denial::plain(Refusal::Internal));
        }
        let verdict = self.enforced.judge(listener, subject, asked);
        let shadow = self.tried.as_ref().and_then(|tried| {
            let other = tried.judge(listener, subject, asked);
            differing(&verdict, &other)
        });
        match verdict {
            Ok(found) => Verdict::Allow(Permit { found, shadow }),
            Err(denial) => Verdict::Deny(Denial { shadow, ..denial }),
        }
    }

    /// Whether some route of the listener to that backend allows this caller: what the warden asks before it
    /// connects one.
    pub fn may_reach(&self, listener: ListenerId, subject: &Subject, backend: BackendId) -> bool {
        self.knows(listener, subject) && self.enforced.may_reach(listener, &subject.holds, backend)
    }

    /// Whether this route allows the caller to reach that backend with a record in the journal alone: what the warden
    /// asks before it lets the journal stand in.
    pub fn may_by_journal(
        &self,
        listener: ListenerId,
        subject: &Subject,
        route: &str,
        backend: BackendId,
    ) -> bool {
        self.knows(listener, subject)
            && self.enforced.may_by_journal(listener, &subject.holds, route, backend)
    }

    /// Whether this route allows the caller to reach that backend: what the warden asks before it runs a command.
    pub fn may_by_route(
        &self,
        listener: ListenerId,
        subject: &Subject,
        route: &str,
        backend: BackendId,
    ) -> bool {
        self.knows(listener, subject) && self.enforced.may_by_route(listener, &subject.holds, route, backend)
    }

    /// The routes of the listener that allow this caller, in the order of the file.
    pub fn what_may(&self, listener: ListenerId, subject: &Subject) -> Vec<Offer> {
        if self.knows(listener, subject) { self.enforced.offers(listener, subject) } else { Vec::new() }
    }

    /// What the rules that are in force say, without a permit: for looking back.
    #[cfg(feature = "cli")]
    pub(super) fn judge(
        &self,
        listener: ListenerId,
        subject: &Subject,
        asked: &Asked<'_>,
    ) -> Result<Found, Denial> {
        if !self.knows(listener, subject) {
            return Err(Denial::plain(Refusal::Internal));
        }
        self.enforced.judge(listener, subject, asked)
    }

    /// The bits of a subject mean this decider's whos, and its stranger this listener.
    fn knows(&self, listener: ListenerId, subject: &Subject) -> bool {
        subject.decider == self.number && subject.listener == listener
    }
}

/// What the second set of rules would have done, where the caller would see a difference.
fn differing(decided: &Result<Found, Denial>, other: &Result<Found, Denial>) -> Option<Arc<str>> {
    match (decided, other) {
        (Ok(_), Ok(_)) => None,
        (Err(a), Err(b)) if a.refusal == b.refusal => None,
        (_, Ok(found)) => Some(
            format!("allow {} by {}", found.rule.told.id, found.grant().map_or("", |grant| &grant.by)).into(),
        ),
        (_, Err(denial)) => {
            let mut text = format!("deny {}", denial.refusal);
            if let Some(by) = &denial.by {
                text.push_str(" by ");
                text.push_str(by);
            }
            Some(text.into())
        }
    }
}
