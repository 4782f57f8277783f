//! What was asked, each thing once.

use std::collections::{BTreeMap, BTreeSet};

use super::shape::{Gather, Piece};
use crate::cli::policy::past::SAMPLES;
use crate::model::caller::Namespace;

/// Where something was asked for, and what answered: routes are suggested for each of these apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The listener.
    pub(super) on: String,
    /// The backend.
    pub(super) to: String,
    /// The route of the policy at hand that takes it, whose other keys are carried over.
    pub(super) rule: Option<String>,
    pub(super) method: String,
    /// Segments of the path.
    pub(super) length: usize,
}

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Whose {
    pub(super) uid: u32,
    /// Where that is known.
    pub(super) namespace: Option<Spelt>,
    /// The who of the policy at hand that allowed it: what it asks for besides is carried over.
    pub(super) like: Option<String>,
}

/// A namespace that can be sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Spelt {
    Host,
    Other,
}

impl From<Namespace> for Spelt {
    fn from(namespace: Namespace) -> Spelt {
        match namespace {
            Namespace::Host => Spelt::Host,
            Namespace::Other => Spelt::Other,
        }
    }
}

/// What was seen of one path.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) count: u64,
    pub(super) whose: BTreeMap<Whose, u64>,
    /// The names in its queries.
    pub(super) query: BTreeSet<String>,
    /// Ids and targets.
    pub(super) samples: Vec<(String, String)>,
    /// Why it was denied, by code.
    pub(super) refusals: BTreeSet<String>,
    /// It changed to another protocol.
    pub(super) upgrades: bool,
}

impl Gather for Seen {
    fn gather(&mut self, other: Seen) {
        self.count += other.count;
        for (whose, count) in other.whose {
            *self.whose.entry(whose).or_default() += count;
        }
        self.query.extend(other.query);
        self.samples.extend(other.samples);
        self.samples.truncate(SAMPLES);
        self.refusals.extend(other.refusals);
        self.upgrades |= other.upgrades;
    }
}

/// All of it.
pub(super) type All = BTreeMap<Place, BTreeMap<Vec<Piece>, Seen>>;
