//! What a policy would have said to requests of which only the record is left. What the record does not hold is not
//! guessed: where the answer hangs on it, there is none. Nothing here lets anybody do anything.

use std::sync::Arc;

use super::decide::{Decider, Denial};
use super::rules::Found;
use super::subject::Subject;
use crate::model::caller::Caller;
use crate::model::ids::ListenerId;
use crate::model::method::Method;
use crate::model::refusal::Refusal;
use crate::model::target::{Asked, Target};
use crate::model::time::Timestamp;

/// A caller of the record: as it would be judged, and as it might be at best if all that is unknown were known.
#[derive(Debug)]
pub struct Recalled {
    judged: Subject,
    best: Subject,
}

/// A request, as far as it is on record.
#[derive(Debug, Clone, Copy)]
pub struct Past<'a> {
    /// The method.
    pub method: &'a Method,
    /// Path and query; secret values in it may be hashes.
    pub target: &'a Target,
    /// It wanted to change to another protocol. Which one is not on record.
    pub upgrade: bool,
    /// When it was asked; rules that have their time are judged by it.
    pub at: Timestamp,
    /// Bytes of its body, where it was let in.
    pub body: Option<u64>,
}

/// What a policy would have said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hindsight {
    /// It would have been allowed.
    Allow {
        /// The route's id.
        route: Arc<str>,
        /// The rule that allows: `who.ci`.
        by: Arc<str>,
        /// Where that rule stands.
        at: Arc<str>,
    },
    /// It would have been denied.
    Deny(Denial),
    /// It hangs on what is not on record.
    Unclear(Lacks),
}

/// What a record lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lacks {
    /// Something of the caller that a rule asks for.
    Caller,
    /// Something of the request that this route reads: its callers may use it, and the rest is open.
    Request {
        /// The route's id.
        route: Arc<str>,
        /// The rule that allows the caller: `who.ci`; empty where that is not known either.
        by: Arc<str>,
        /// What that is, in words.
        what: &'static str,
    },
}

impl Decider {
    /// Works out which whos hold for a caller of the record.
    pub fn recall(&self, listener: ListenerId, caller: &Caller) -> Recalled {
        let judged = self.recognise(listener, caller);
        let (holds, binds) = self.at_best(caller);
        let best = Subject { holds, binds, ..judged.clone() };
        Recalled { judged, best }
    }

    /// What it would have said to this request; rules in shadow mode say nothing.
    pub fn look_back(&self, listener: ListenerId, caller: &Recalled, past: &Past<'_>) -> Hindsight {
        let asked = Asked { method: past.method, target: past.target, upgrade: None };
        let judge = |subject: &Subject| self.find_at(listener, subject, &asked, past.at);
        let found = match (judge(&caller.judged), judge(&caller.best)) {
            (Ok(found), Ok(_)) => found,
            (Err(denial), Err(_)) if denial.refusal == Refusal::QueryValue => {
                return self.value_denied(denial, past.target);
            }
            (Err(denial), Err(_)) => return Hindsight::Deny(denial),
            _ => return Hindsight::Unclear(Lacks::Caller),
        };
        if found.rule.reads().is_some_and(|reads| reads.hangs_on_hash(past.target)) {
            return lacks(&found, SECRET);
        }
        if past.upgrade {
            return if found.rule.told.terms.upgrade.is_empty() {
                Hindsight::Deny(found.rule.denial(Refusal::UpgradeRefused))
            } else {
                lacks(&found, "which protocol it wanted to change to")
            };
        }
        if let (Some(body), Some(max)) = (past.body, found.rule.told.terms.body_max)
            && body > max
        {
            return Hindsight::Deny(found.rule.denial(Refusal::BodyTooLarge));
        }
        if found.reads().is_some() {
            return lacks(&found, "the header lines or the body that the route reads");
        }
        allow(&found)
    }

    /// A hash is no value that a rule could judge.
    fn value_denied(&self, denial: Denial, target: &Target) -> Hindsight {
        match (&denial.route, self.hangs_on_hash(denial.route.as_deref(), target)) {
            (Some(route), true) => {
                let (route, by) = (Arc::clone(route), Arc::default());
                Hindsight::Unclear(Lacks::Request { route, by, what: SECRET })
            }
            _ => Hindsight::Deny(denial),
        }
    }
}

/// What stands in a record as a hash alone.
const SECRET: &str = "a secret value in its query";

fn lacks(found: &Found, what: &'static str) -> Hindsight {
    let by = found.grant().map(|grant| Arc::clone(&grant.by)).unwrap_or_default();
    Hindsight::Unclear(Lacks::Request { route: Arc::clone(&found.rule.told.id), by, what })
}

fn allow(found: &Found) -> Hindsight {
    let (by, at) =
        found.grant().map(|grant| (Arc::clone(&grant.by), Arc::clone(&grant.at))).unwrap_or_default();
    Hindsight::Allow { route: Arc::clone(&found.rule.told.id), by, at }
}
