//! One caller: what it is known to do, in bounded memory.

use std::collections::{HashMap, HashSet};

use super::amount::Amounts;
use super::clock::Clock;
use super::reason::{Reason, Samples, Window};
use super::words::Word;

/// What a caller has habits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Trait {
    /// The program.
    Program,
    /// The unit, the login, the namespace, the listener, the rule.
    Setting,
    /// The route, and whether it was denied.
    Route,
    /// Program and route.
    Pair,
}

impl Trait {
    pub(super) const COUNT: usize = 4;
}

/// What is added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Measure {
    /// Requests on a route.
    Requests(Word),
    /// Names on a route that it never asked for.
    Names(Word),
    /// Bytes to the caller, on all routes.
    Bytes,
    /// Requests that came to nothing.
    Failed,
}

/// Things of one trait that a caller is remembered to have done. Beyond, nothing is new.
const THINGS: usize = 512;
/// Sums that are kept of a caller.
const SUMS: usize = 1_024;
/// Names that are remembered, half of them at least.
const NAMES: usize = 1 << 14;
/// Reasons that are kept of a caller: the strongest.
pub(super) const REASONS: usize = 96;

/// What is done in one trait.
#[derive(Debug, Default)]
pub(super) struct Habit {
    /// And since when.
    things: HashMap<u64, u64>,
    /// The hour that was counted last.
    pub(super) hour: u64,
    /// The hour in which something new was counted last.
    pub(super) new_hour: u64,
    /// Hours with something new, and hours, after the first days.
    pub(super) new: f64,
    pub(super) hours: f64,
}

impl Habit {
    /// Whether it is new; remembers it.
    pub(super) fn is_new(&mut self, thing: u64, at: u64) -> bool {
        if self.things.contains_key(&thing) || self.things.len() >= THINGS {
            return false;
        }
        self.things.insert(thing, at).is_none()
    }

    /// Since when it is done.
    pub(super) fn since(&self, thing: u64) -> Option<u64> {
        self.things.get(&thing).copied()
    }
}

/// A sum that is under way, and those that were.
#[derive(Debug, Default)]
pub(super) struct Sum {
    pub(super) window: u64,
    pub(super) amount: f64,
    pub(super) count: u64,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) judged: bool,
    pub(super) samples: Samples,
    pub(super) history: Amounts,
}

/// Names by their hashes, in two generations: when the young one is full, what the old one held is forgotten.
#[derive(Debug, Default)]
pub(super) struct Names {
    young: HashSet<u64>,
    old: HashSet<u64>,
}

impl Names {
    pub(super) fn is_new(&mut self, name: u64) -> bool {
        if self.young.contains(&name) {
            return false;
        }
        if self.young.len() >= NAMES / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(name);
        !self.old.contains(&name)
    }
}

/// New things denied, day by day.
#[derive(Debug, Default)]
pub(super) struct Denied {
    pub(super) names: Names,
    /// Those of the last seven days, by day; and some of the requests.
    pub(super) recent: Vec<DeniedDay>,
    /// Those of all days before.
    pub(super) before: u32,
}

/// One day of them.
#[derive(Debug, Default)]
pub(super) struct DeniedDay {
    pub(super) day: u64,
    pub(super) new: u32,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) judged: bool,
    /// It was judged already.
    pub(super) over: bool,
    pub(super) samples: Samples,
}

/// A caller.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) uid: u32,
    pub(super) name: Option<Word>,
    /// The rule that allowed it last; what tells its peers.
    pub(super) rule: Word,
    pub(super) first: u64,
    pub(super) last: u64,
    /// The day and hour that were counted last.
    pub(super) day: u64,
    pub(super) hour: u64,
    /// Hours of the whole record at its last request: what nobody recorded is nobody's silence.
    pub(super) record_hour: u64,
    /// The longest time it was away, in hours of the record.
    pub(super) longest_gap: u64,
    pub(super) hours_came: u32,
    pub(super) clock: Clock,
    pub(super) habits: [Habit; Trait::COUNT],
    pub(super) sums: HashMap<(Measure, Window), Sum>,
    pub(super) names: Names,
    pub(super) denied: Denied,
    pub(super) reasons: Vec<Reason>,
    pub(super) requests: u64,
}

impl Caller {
    pub(super) fn new(uid: u32, rule: Word, at: u64) -> Caller {
        Caller {
            uid,
            name: None,
            rule,
            first: at,
            last: at,
            day: 0,
            hour: 0,
            record_hour: 0,
            longest_gap: 0,
            hours_came: 0,
            clock: Clock::default(),
            habits: Default::default(),
            sums: HashMap::new(),
            names: Names::default(),
            denied: Denied::default(),
            reasons: Vec::new(),
            requests: 0,
        }
    }

    /// The sum of a measure; `None` where it has too many already.
    pub(super) fn sum(&mut self, measure: Measure, window: Window) -> Option<&mut Sum> {
        if self.sums.len() >= SUMS && !self.sums.contains_key(&(measure, window)) {
            return None;
        }
        Some(self.sums.entry((measure, window)).or_default())
    }

    /// Keeps a reason, if it is among the strongest.
    pub(super) fn keep(&mut self, reason: Reason) {
        if self.reasons.len() < REASONS {
            self.reasons.push(reason);
        } else if let Some(weakest) = self.reasons.iter_mut().min_by(|a, b| a.surprise.total_cmp(&b.surprise))
            && weakest.surprise < reason.surprise
        {
            *weakest = reason;
        }
    }
}
