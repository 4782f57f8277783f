//! What others do: those whom the same rule allows, and everybody. What little is known of a caller is filled up
//! with it, and what many begin to do at once is nobody's in particular.

use std::collections::HashMap;

use super::amount::Amounts;
use super::caller::{Measure, Trait};
use super::clock::Clock;
use super::reason::Window;
use super::words::Word;

/// Things whose spread is known. Beyond, a thing counts as one that nobody did.
const THINGS: usize = 1 << 17;

/// Callers who share a rule.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) members: u32,
    /// How often members do something new, by trait.
    pub(super) novelty: [Novelty; Trait::COUNT],
    /// All their days together.
    pub(super) clock: Clock,
    pub(super) amounts: HashMap<(Measure, Window), Amounts>,
    /// Things denied that were new to who asked, and the days of all.
    pub(super) denied: f64,
    pub(super) days: f64,
}

/// How often something new is done.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Novelty {
    /// In so many hours.
    pub(super) new: f64,
    /// Of so many in which the caller came.
    pub(super) hours: f64,
}

/// Who does a thing.
#[derive(Debug, Default)]
pub(super) struct Spread {
    /// Callers, by group.
    by_group: Vec<(Word, u32)>,
    pub(super) all: u32,
    /// When it was first seen at all.
    pub(super) first: u64,
    /// Callers who began with it while it was judged, some of them.
    pub(super) began: Vec<u32>,
    /// How many those are.
    pub(super) beginners: u32,
}

/// Callers of a change that are named.
const NAMED: usize = 12;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Peers {
    groups: HashMap<Word, Group>,
    things: HashMap<(Trait, u64), Spread>,
    pub(super) callers: u32,
}

/// How usual a thing is among others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usual {
    /// Peers who do it.
    pub(super) peers: u32,
    /// Of how many.
    pub(super) of: u32,
    /// How probable it is that something new is this, in nats.
    pub(super) surprise: f64,
}

impl Peers {
    pub(super) fn group(&mut self, rule: Word) -> &mut Group {
        self.groups.entry(rule).or_default()
    }

    pub(super) fn spread(&self, of: Trait, thing: u64) -> Option<&Spread> {
        self.things.get(&(of, thing))
    }

    /// How usual something is among others, for a member of `rule` who never did it.
    pub(super) fn usual(&self, of: Trait, thing: u64, rule: Word) -> Usual {
        let peers = self.groups.get(&rule).map_or(0, |group| group.members.saturating_sub(1));
        let (mut with, mut all) = (0, 0);
        if let Some(spread) = self.things.get(&(of, thing)) {
            with = spread.by_group.iter().find(|(group, _)| *group == rule).map_or(0, |(_, count)| *count);
            all = spread.all;
        }
        let with = with.min(peers);
        // Peers of whom nothing is known yet say nothing.
        let days = self.groups.get(&rule).map_or(0.0, |group| group.days);
        let known = days / (days + 10.0);
        let near = if peers == 0 { 0.0 } else { known * (f64::from(with) + 0.1) / (f64::from(peers) + 0.5) };
        let far = 0.15 * (f64::from(all) + 0.05) / (f64::from(self.callers) + 0.5);
        Usual { peers: with, of: peers, surprise: -near.max(far).min(1.0).ln() }
    }

    /// A caller does this for the first time.
    pub(super) fn begins(&mut self, of: Trait, thing: u64, rule: Word, at: u64, who: u32, judged: bool) {
        if self.things.len() >= THINGS && !self.things.contains_key(&(of, thing)) {
            return;
        }
        let spread =
            self.things.entry((of, thing)).or_insert_with(|| Spread { first: at, ..Spread::default() });
        spread.all += 1;
        match spread.by_group.iter_mut().find(|(group, _)| *group == rule) {
            Some((_, count)) => *count += 1,
            None => spread.by_group.push((rule, 1)),
        }
        if judged {
            spread.beginners += 1;
            if spread.began.len() < NAMED {
                spread.began.push(who);
            }
        }
    }
}
