//! What rules have in common, each made once: the texts that records have of them, and what they ask.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Asks, Grant, Names};
use crate::policy::table::{Named, Policy, Reads, Route};
use crate::policy::times::{Times, Zones};

pub(super) struct Shared<'p> {
    policy: &'p Policy,
    places: HashMap<u32, Arc<str>>,
    whos: Vec<Arc<str>>,
    /// By their query, of routes that ask nothing else.
    asks: HashMap<Option<&'p [String]>, Arc<Asks>>,
}

impl<'p> Shared<'p> {
    pub(super) fn of(policy: &'p Policy) -> Shared<'p> {
        let whos = policy.whos.iter().map(|who| format!("who.{}", who.name).into()).collect();
        Shared { policy, places: HashMap::new(), whos, asks: HashMap::new() }
    }

    pub(super) fn place(&mut self, line: u32) -> Arc<str> {
        let policy = self.policy;
        self.places.entry(line).or_insert_with(|| policy.place(line).into()).clone()
    }

    pub(super) fn asks(&mut self, route: &'p Route, zones: &Zones) -> Arc<Asks> {
        let times = Times::of(route.until, &route.when, zones);
        let reads = (route.reads != Reads::default()).then(|| route.reads.clone());
        let is_plain = times.is_none() && reads.is_none();
        let make = || Arc::new(Asks { times, query: route.query.as_deref().map(Names::of), reads });
        if is_plain { self.asks.entry(route.query.as_deref()).or_insert_with(make).clone() } else { make() }
    }

    pub(super) fn grant(&mut self, named: &Named) -> Grant {
        let by = self.whos.get(usize::from(named.who.0)).cloned().unwrap_or_default();
        Grant { by, at: self.place(named.line) }
    }
}
