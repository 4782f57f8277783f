//! The texts that records have of rules.

use std::collections::HashMap;
use std::sync::Arc;

use super::Grant;
use crate::policy::table::{Named, Policy};

/// The texts of records, each made once.
pub(super) struct Texts {
    file: String,
    places: HashMap<u32, Arc<str>>,
    whos: Vec<Arc<str>>,
    queries: HashMap<String, Arc<str>>,
}

impl Texts {
    pub(super) fn of(policy: &Policy) -> Texts {
        let file = policy.file.rsplit('/').next().unwrap_or(&policy.file).to_owned();
        let whos = policy.whos.iter().map(|who| format!("who.{}", who.name).into()).collect();
        Texts { file, places: HashMap::new(), whos, queries: HashMap::new() }
    }

    pub(super) fn place(&mut self, line: u32) -> Arc<str> {
        let file = &self.file;
        self.places.entry(line).or_insert_with(|| format!("{file}:{line}").into()).clone()
    }

    pub(super) fn query(&mut self, names: &[String]) -> Arc<str> {
        let joined = names.join("&");
        self.queries.entry(joined.clone()).or_insert_with(|| joined.into()).clone()
    }

    pub(super) fn grant(&mut self, named: &Named) -> Grant {
        let by = self.whos.get(usize::from(named.who.0)).cloned().unwrap_or_default();
        Grant { by, at: self.place(named.line) }
    }
}
