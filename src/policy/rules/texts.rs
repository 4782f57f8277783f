//! The texts that records have of rules.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Grant, Names};
use crate::policy::table::{Named, Policy};

/// The texts of records, each made once.
pub(super) struct Texts<'p> {
    policy: &'p Policy,
    places: HashMap<u32, Arc<str>>,
    whos: Vec<Arc<str>>,
    queries: HashMap<&'p [String], Names>,
}

impl<'p> Texts<'p> {
    pub(super) fn of(policy: &'p Policy) -> Texts<'p> {
        let whos = policy.whos.iter().map(|who| format!("who.{}", who.name).into()).collect();
        Texts { policy, places: HashMap::new(), whos, queries: HashMap::new() }
    }

    pub(super) fn place(&mut self, line: u32) -> Arc<str> {
        let policy = self.policy;
        self.places.entry(line).or_insert_with(|| policy.place(line).into()).clone()
    }

    pub(super) fn query(&mut self, names: &'p [String]) -> Names {
        self.queries.entry(names).or_insert_with(|| Names::of(names)).clone()
    }

    pub(super) fn grant(&mut self, named: &Named) -> Grant {
        let by = self.whos.get(usize::from(named.who.0)).cloned().unwrap_or_default();
        Grant { by, at: self.place(named.line) }
    }
}
