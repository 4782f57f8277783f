//! Whom the routes allow without a request: strangers, backends within reach, what may be called.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::subject::{Bits, Set, Subject};
use super::super::table::{BackendKind, Parameter, Policy, Route};
use super::super::times::Moment;
use super::{ForbidRule, Offer, RouteRule, Rules};
use crate::model::ids::{BackendId, ListenerId};
use crate::model::keeping::OnFailure;

#[derive(Debug)]
pub(super) struct Reach {
    anything: Set,
    /// By routes that hold at any time.
    backends: HashMap<BackendId, Set>,
    /// By those that do not.
    timed: HashMap<BackendId, Vec<Arc<RouteRule>>>,
}

impl Rules {
    pub(in crate::policy) fn allows_anything(&self, listener: ListenerId, holds: &Bits) -> bool {
        self.reach.get(usize::from(listener.0)).is_some_and(|reach| reach.anything.meets(holds))
    }

    pub(in crate::policy) fn may_reach(
        &self,
        listener: ListenerId,
        holds: &Bits,
        backend: BackendId,
        moment: Moment<'_>,
    ) -> bool {
        let Some(reach) = self.reach.get(usize::from(listener.0)) else { return false };
        let allows = |rule: &Arc<RouteRule>| rule.allow.grants(holds).is_some() && rule.in_time(moment);
        reach.backends.get(&backend).is_some_and(|set| set.meets(holds))
            || reach.timed.get(&backend).is_some_and(|rules| rules.iter().any(allows))
    }

    /// Whether some forbid has its hours, so that time alone can forbid what runs.
    pub(in crate::policy) fn has_timed_forbids(&self) -> bool {
        self.timed_forbids
    }

    /// Whether this route allows the caller, leads to that backend, and lets the journal stand in.
    pub(in crate::policy) fn may_by_journal(
        &self,
        listener: ListenerId,
        holds: &Bits,
        route: &str,
        backend: BackendId,
        moment: Moment<'_>,
    ) -> bool {
        self.routes.iter().any(|rule| {
            *rule.told.id == *route
                && rule.told.on.contains(&listener)
                && rule.told.terms.backend == backend
                && rule.told.terms.on_failure == OnFailure::Journal
                && rule.allow.grants(holds).is_some()
                && rule.in_time(moment)
        })
    }

    pub(in crate::policy) fn offers(
        &self,
        policy: &Policy,
        listener: ListenerId,
        subject: &Subject,
        moment: Moment<'_>,
    ) -> Vec<Offer> {
        let allowed = self.routes.iter().filter(|rule| {
            rule.told.on.contains(&listener)
                && rule.allow.grants(&subject.holds).is_some()
                && rule.in_time(moment)
        });
        allowed
            .map(|rule| {
                let there = |forbid: &&ForbidRule| {
                    forbid.to.as_ref().is_none_or(|to| to.contains(&rule.told.terms.backend))
                        && forbid.binds(listener, &subject.binds, moment)
                };
                let except = self.forbids.iter().filter(there);
                Offer {
                    route: rule.told.id.clone(),
                    patterns: rule.told.patterns.clone(),
                    query: rule.asks.query.as_ref().map(|names| names.each().map(str::to_owned).collect()),
                    except: except.flat_map(|forbid| forbid.patterns.iter().cloned()).collect(),
                    help: rule.told.help.clone(),
                    parameters: parameters(policy, rule.told.terms.backend),
                }
            })
            .collect()
    }
}

/// What callers fill in where this leads to a command.
fn parameters(policy: &Policy, backend: BackendId) -> Vec<Parameter> {
    match policy.backend(backend).map(|backend| &backend.kind) {
        Some(BackendKind::Command(command)) => command.parameters.clone(),
        _ => Vec::new(),
    }
}

impl Reach {
    pub(super) fn of(listener: ListenerId, routes: &[&Route], rules: &[Arc<RouteRule>]) -> Reach {
        let mut backends: HashMap<BackendId, Vec<_>> = HashMap::new();
        let mut timed: HashMap<BackendId, Vec<_>> = HashMap::new();
        let mut anything = Vec::new();
        for (route, rule) in routes.iter().zip(rules).filter(|(route, _)| route.on.contains(&listener)) {
            let whos = || route.allow.iter().map(|named| named.who);
            anything.extend(whos());
            match rule.asks.times {
                None => backends.entry(route.to).or_default().extend(whos()),
                Some(_) => timed.entry(route.to).or_default().push(Arc::clone(rule)),
            }
        }
        Reach {
            anything: Set::of(anything),
            timed,
            backends: backends.into_iter().map(|(backend, whos)| (backend, Set::of(whos))).collect(),
        }
    }
}
