//! What a policy would have said to requests of which only the record is left. What the record does not hold is not
//! guessed: where the answer hangs on it, there is none. Nothing here lets anybody do anything.

use std::sync::Arc;

use super::decide::{Decider, Denial};
use super::params::judge_values;
use super::reads::is_hash;
use super::rules::Found;
use super::subject::Subject;
use super::table::{BackendKind, Origin};
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
    /// A query value that this route, or the command behind it, judges: it was kept as a hash.
    Value {
        /// The route's id.
        route: Arc<str>,
        /// The rule that allows the caller: `who.ci`; empty where that is not known either.
        by: Arc<str>,
        /// Its name in the query.
        name: String,
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
        if let Some(name) = found.rule.reads().and_then(|reads| reads.hashed(past.target)) {
            return hashed(&found, name);
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
        self.command(&found, past, &asked).unwrap_or_else(|| allow(&found))
    }

    /// What stands in the way where the route leads to a command, which judges what it is given.
    fn command(&self, found: &Found, past: &Past<'_>, asked: &Asked<'_>) -> Option<Hindsight> {
        let policy = self.policy();
        let id = &found.rule.told.id;
        let route = policy.routes.iter().find(|route| route.id == **id)?;
        let BackendKind::Command(command) = &policy.backend(route.to)?.kind else { return None };
        if command.parameters.iter().any(|wanted| wanted.from == Origin::Body) {
            return Some(lacks(found, "the body that its command reads"));
        }
        let denied = |refusal, part: String| {
            Some(Hindsight::Deny(Denial { part: Some(part.into()), ..found.rule.denial(refusal) }))
        };
        match (command.room(past.method.as_str(), false), past.body) {
            (Err(refusal), _) => return denied(refusal, format!("method {}", past.method)),
            (Ok((most, over)), Some(body)) if body > most => return denied(over, "body".to_owned()),
            _ => {}
        }
        if let Some((name, _)) = past.target.query_pairs().find(|(_, value)| is_hash(value)) {
            return Some(hashed(found, name));
        }
        let (refusal, part) = judge_values(policy, id, asked, &[]).err()?;
        denied(refusal, part)
    }

    /// A hash is no value that a rule could judge.
    fn value_denied(&self, denial: Denial, target: &Target) -> Hindsight {
        match (&denial.route, self.hashed(denial.route.as_deref(), target)) {
            (Some(route), Some(name)) => {
                let (route, by) = (Arc::clone(route), Arc::default());
                Hindsight::Unclear(Lacks::Value { route, by, name: name.to_owned() })
            }
            _ => Hindsight::Deny(denial),
        }
    }
}

fn hashed(found: &Found, name: &str) -> Hindsight {
    let by = found.grant().map(|grant| Arc::clone(&grant.by)).unwrap_or_default();
    Hindsight::Unclear(Lacks::Value { route: Arc::clone(&found.rule.told.id), by, name: name.to_owned() })
}

fn lacks(found: &Found, what: &'static str) -> Hindsight {
    let by = found.grant().map(|grant| Arc::clone(&grant.by)).unwrap_or_default();
    Hindsight::Unclear(Lacks::Request { route: Arc::clone(&found.rule.told.id), by, what })
}

fn allow(found: &Found) -> Hindsight {
    let (by, at) =
        found.grant().map(|grant| (Arc::clone(&grant.by), Arc::clone(&grant.at))).unwrap_or_default();
    Hindsight::Allow { route: Arc::clone(&found.rule.told.id), by, at }
}
