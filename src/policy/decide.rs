//! The decision, and the only maker of a [`Permit`].
//!
//! The most specific route → any forbid wins → an allow is needed → what the route reads of the query and the
//! upgrade → else deny. Where the route reads header lines or the body, the verdict is no [`Permit`] before they are
//! judged. Rules in shadow mode are judged in a second set of rules, which never decides.

mod unread;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::caps::{self, Cap};
use super::needs::Needs;
use super::reads::Noted;
use super::rules::{Found, Rules};
use super::sets::Order;
#[cfg(feature = "cli")]
use super::subject::Bits;
use super::subject::{Seen, Subject};
use super::table::{Policy, WhoId};
use super::times::Moment;
use crate::model::caller::Caller;
use crate::model::clock::Clock;
use crate::model::depth::Depth;
use crate::model::ids::{BackendId, ListenerId};
use crate::model::refusal::Refusal;
use crate::model::target::Asked;
use crate::model::time::Timestamp;

pub use super::rules::{Offer, Terms};
pub use unread::{Headed, Unjudged, Unread};

/// A policy, ready to decide: cheap to ask, built once a generation.
#[derive(Debug)]
pub struct Decider {
    policy: Arc<Policy>,
    number: u64,
    enforced: Rules,
    /// All rules, those in shadow mode in front; absent where there is none.
    tried: Option<Rules>,
    order: Order,
    needs: Needs,
    clock: Arc<Clock>,
    /// By the place of the who.
    caps: Vec<Option<Arc<Cap>>>,
}

/// What the policy says to one request.
#[must_use]
#[derive(Debug)]
pub enum Verdict {
    /// It may go on, on these terms.
    Allow(Permit),
    /// By method, path, query and caller it may; its route reads more.
    Read(Unread),
    /// It may not.
    Deny(Denial),
}

/// That one request may go on, all of it judged that its route reads. Made here alone, and good for one use.
pub struct Permit {
    found: Found,
    shadow: Option<Arc<str>>,
    may_end: bool,
    noted: Vec<Noted>,
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
    /// What of the request the route did not take: `query limit`, `header X-Auth`, `body /HostConfig/Privileged`.
    pub part: Option<Arc<str>>,
    /// Names of the query whose values the record must not show.
    pub hides: Arc<[String]>,
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
        &self.found.rule.told.terms
    }

    /// Whether time alone can take it back, by the end of the grant or by an hour.
    pub fn may_end(&self) -> bool {
        self.may_end
    }

    /// What rules in shadow mode would have done, where that differs.
    pub fn shadow(&self) -> Option<&str> {
        self.shadow.as_deref()
    }

    /// What the route has recorded of head and body.
    pub fn noted(&self) -> &[Noted] {
        &self.noted
    }

    /// Names of the query whose values the record must not show.
    pub fn hides(&self) -> &[String] {
        &self.found.rule.told.hides
    }

    /// Gives it up for a denial by the same route, where something outside the policy's rules forbids it.
    pub fn deny(self, refusal: Refusal) -> Denial {
        let told = &self.found.rule.told;
        let (route, hides) = (Some(Arc::clone(&told.id)), Arc::clone(&told.hides));
        Denial { route, hides, shadow: self.shadow, ..Denial::plain(refusal) }
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
        Denial {
            refusal,
            route: None,
            by: None,
            at: None,
            help: None,
            shadow: None,
            part: None,
            hides: Arc::default(),
        }
    }
}

impl Decider {
    /// Builds the matchers of a policy, with a clock of its own.
    pub fn new(policy: Arc<Policy>) -> Decider {
        Decider::with_clock(policy, Arc::default())
    }

    /// As [`Decider::new`], by a clock that others have seen too.
    pub fn with_clock(policy: Arc<Policy>, clock: Arc<Clock>) -> Decider {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let shadows = policy.routes.iter().any(|route| route.shadow)
            || policy.forbids.iter().any(|forbid| forbid.shadow);
        // A policy's whos have an order: it would be none otherwise.
        let order = Order::of(&policy.whos).unwrap_or_default();
        Decider {
            needs: Needs::of(&policy, &order),
            order,
            clock,
            caps: caps::of(&policy),
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

    /// The longest time, in milliseconds, after which a who's rates are as if nobody had called.
    pub fn remembers_ms(&self) -> u64 {
        let rates = |cap: &Arc<Cap>| [cap.limits.rate, cap.limits.bytes];
        let rates = self.caps.iter().flatten().flat_map(rates).flatten();
        rates.map(|rate| rate.per_ms).max().unwrap_or(0)
    }

    /// What has to be read of callers of a listener, so that every rule there can be judged.
    pub fn depth(&self, listener: ListenerId) -> Depth {
        self.needs.depth(listener)
    }

    /// Whether a rule names the program that lies there.
    pub fn names_program(&self, path: &[u8]) -> bool {
        self.needs.names_program(path)
    }

    /// Works out once, for a connection, which whos hold for its caller. After a reload it is asked again.
    pub fn recognise(&self, listener: ListenerId, caller: &Caller) -> Subject {
        // A namespace that nobody wrote narrows what is allowed, never what is forbidden.
        let judged = self.order.judge(&self.policy.whos, &Seen::of(caller));
        let (holds, binds) = (judged.holds(), judged.binds());
        let stranger = !self.enforced.allows_anything(listener, &holds);
        // A limit narrows, so that it holds for who may be meant.
        let bound = (0..).zip(&self.caps).filter(|(who, _)| binds.has(WhoId(*who)));
        let caps = bound.filter_map(|(_, cap)| cap.clone()).collect();
        Subject { decider: self.number, listener, holds, binds, stranger, caps }
    }

    /// Judges one request now.
    pub fn decide(&self, listener: ListenerId, subject: &Subject, asked: &Asked<'_>) -> Verdict {
        self.judge(listener, subject, asked, Moment::By(&self.clock))
    }

    /// Judges one request as at another time; `None`: whenever every rule holds that has its time.
    pub fn decide_at(
        &self,
        listener: ListenerId,
        subject: &Subject,
        asked: &Asked<'_>,
        instant: Option<Timestamp>,
    ) -> Verdict {
        self.judge(listener, subject, asked, instant.map_or(Moment::Any, Moment::At))
    }

    fn judge(
        &self,
        listener: ListenerId,
        subject: &Subject,
        asked: &Asked<'_>,
        moment: Moment<'_>,
    ) -> Verdict {
        if !self.knows(listener, subject) {
            return Verdict::Deny(Denial::plain(Refusal::Internal));
        }
        let verdict = self.enforced.judge(listener, subject, asked, moment);
        let tried = self.tried.as_ref().map(|tried| tried.judge(listener, subject, asked, moment));
        let found = match verdict {
            Ok(found) => found,
            Err(denial) => {
                let shadow = tried.as_ref().and_then(|tried| differing(Err(&denial), tried.as_ref()));
                return Verdict::Deny(Denial { shadow, ..denial });
            }
        };
        let may_end = self.enforced.has_timed_forbids() || found.rule.may_end();
        let tried_reads =
            tried.as_ref().is_some_and(|tried| tried.as_ref().is_ok_and(|it| it.reads().is_some()));
        if found.reads().is_some() || tried_reads {
            return Verdict::Read(Unread { found, tried, may_end });
        }
        let shadow = tried.as_ref().and_then(|tried| differing(Ok(&found), tried.as_ref()));
        Verdict::Allow(Permit { found, shadow, may_end, noted: Vec::new() })
    }

    /// Whether some route of the listener to that backend allows this caller now: what the warden asks before it
    /// connects one.
    pub fn may_reach(&self, listener: ListenerId, subject: &Subject, backend: BackendId) -> bool {
        self.knows(listener, subject)
            && self.enforced.may_reach(listener, &subject.holds, backend, Moment::By(&self.clock))
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
            && self.enforced.may_by_journal(listener, &subject.holds, route, backend, Moment::By(&self.clock))
    }

    /// Whether this route, which none is more specific than, leads this request to that backend for the caller, as far as method,
    /// target and time say it: what the warden asks before it runs a command. Header lines and a body are not seen there.
    ///
    /// # Errors
    ///
    /// The denial, as [`Decider::decide`] has it; plain [`Refusal::NotAllowed`] for another route or backend.
    pub(crate) fn leads(
        &self,
        listener: ListenerId,
        subject: &Subject,
        asked: &Asked<'_>,
        route: &str,
        backend: BackendId,
    ) -> Result<(), Denial> {
        if !self.knows(listener, subject) {
            return Err(Denial::plain(Refusal::Internal));
        }
        let found = self.enforced.judge(listener, subject, asked, Moment::By(&self.clock))?;
        if *found.rule.told.id == *route && found.rule.told.terms.backend == backend {
            Ok(())
        } else {
            Err(Denial::plain(Refusal::NotAllowed))
        }
    }

    /// The routes of the listener that allow this caller now, in the order of the file.
    pub fn what_may(&self, listener: ListenerId, subject: &Subject) -> Vec<Offer> {
        if self.knows(listener, subject) {
            self.enforced.offers(&self.policy, listener, subject, Moment::By(&self.clock))
        } else {
            Vec::new()
        }
    }

    /// What the rules that are in force say of another time, without a permit: for looking back.
    #[cfg(feature = "cli")]
    pub(super) fn find_at(
        &self,
        listener: ListenerId,
        subject: &Subject,
        asked: &Asked<'_>,
        at: Timestamp,
    ) -> Result<Found, Denial> {
        if !self.knows(listener, subject) {
            return Err(Denial::plain(Refusal::Internal));
        }
        self.enforced.judge(listener, subject, asked, Moment::At(at))
    }

    /// Which whos would hold and bind, if all that is unknown of the caller spoke for it: for looking back.
    #[cfg(feature = "cli")]
    pub(super) fn at_best(&self, caller: &Caller) -> (Bits, Bits) {
        self.order.judge(&self.policy.whos, &Seen::of(caller)).at_best()
    }

    /// The name of a query value that a route judges and of which this target has a hash alone.
    #[cfg(feature = "cli")]
    pub(super) fn hashed<'t>(
        &self,
        route: Option<&str>,
        target: &'t crate::model::target::Target,
    ) -> Option<&'t str> {
        self.enforced.hashed(route?, target)
    }

    /// The bits of a subject mean this decider's whos, and its stranger this listener.
    fn knows(&self, listener: ListenerId, subject: &Subject) -> bool {
        subject.decider == self.number && subject.listener == listener
    }
}

/// What the second set of rules would have done, where the caller would see a difference. `unread` says that a route
/// would have read a body which was not read: nothing enforced asked for it.
fn differing(decided: Result<&Found, &Denial>, other: Result<&Found, &Denial>) -> Option<Arc<str>> {
    match (decided, other) {
        (Ok(_), Ok(found)) if !found.reads_body() => None,
        (Err(a), Err(b)) if a.refusal == b.refusal => None,
        (_, Ok(found)) => {
            let (id, by) = (&found.rule.told.id, found.grant().map_or("", |grant| &grant.by));
            let verb = if found.reads_body() { "unread" } else { "allow" };
            Some(format!("{verb} {id} by {by}").into())
        }
        (_, Err(denial)) => {
            let mut text = format!("deny {}", denial.refusal);
            if let Some(by) = &denial.by {
                text.push_str(" by ");
                text.push_str(by);
            }
            if let Some(part) = &denial.part {
                text.push_str(": ");
                text.push_str(part);
            }
            Some(text.into())
        }
    }
}
