//! Whom routes allow, each and together.

use std::collections::HashMap;
use std::sync::Arc;

use super::RouteRule;
use crate::model::ids::{BackendId, ListenerId};
use crate::policy::subject::{Bits, Set};
use crate::policy::table::{Named, Route, WhoId};

/// So many whos of a route are tried one by one.
const FEW: usize = 7;

/// Whom the routes of one listener allow.
#[derive(Debug)]
pub(super) struct Reach {
    pub(super) anything: Set,
    /// By routes that hold at any time.
    pub(super) backends: HashMap<BackendId, Set>,
    /// By those that do not.
    pub(super) timed: HashMap<BackendId, Vec<Arc<RouteRule>>>,
}

/// Whom a route allows.
#[derive(Debug)]
pub(super) enum Allow {
    /// So few that they lie in the rule itself, in order; the last one stands in the places that are left.
    Few([WhoId; FEW]),
    Many(Box<Set>),
}

impl Reach {
    pub(super) fn of(listener: ListenerId, routes: &[&Route], rules: &[Arc<RouteRule>]) -> Reach {
        let mut backends: HashMap<BackendId, Vec<_>> = HashMap::new();
        let mut timed: HashMap<BackendId, Vec<_>> = HashMap::new();
        let mut anything = Vec::new();
        for (route, rule) in routes.iter().zip(rules).filter(|(route, _)| route.on.contains(&listener)) {
            let whos = || route.allow.iter().map(|named| named.who);
            anything.extend(whos());
            match rule.times {
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

impl Allow {
    /// From whos in order.
    pub(super) fn of(named: &[&Named]) -> Allow {
        let mut few = [WhoId(0); FEW];
        match named.last() {
            Some(last) if named.len() <= FEW => {
                few.fill(last.who);
                for (place, named) in few.iter_mut().zip(named) {
                    *place = named.who;
                }
                Allow::Few(few)
            }
            _ => Allow::Many(Box::new(Set::of(named.iter().map(|named| named.who)))),
        }
    }

    /// The first who that holds.
    pub(super) fn grants(&self, holds: &Bits) -> Option<WhoId> {
        match self {
            Allow::Few(whos) => whos.iter().copied().find(|who| holds.has(*who)),
            Allow::Many(set) => set.first_in(holds),
        }
    }
}
