//! What is unusual: habits learned from the record, caller by caller, and what does not fit them, ranked and said in
//! words.
//!
//! One pass, in the order of time, in bounded memory: each access is judged by what was known before it, then learned
//! from. [`Detector::take`] is given accesses as [`Seen`]; [`Detector::finish`] gives the [`Finding`]s.
#![doc = include_str!("../manual/anomalies.md")]

mod amount;
mod caller;
mod clock;
mod finding;
mod judge;
mod peers;
pub mod reason;
mod seen;
mod tell;
mod words;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use caller::{Caller, Measure, Trait};
use clock::{DAY, HOUR};
use peers::Peers;
use reason::{Family, Reason, Samples, What, Window};
use words::{Word, Words};

pub use finding::{Finding, Report};
pub use seen::Seen;

/// Callers that are told apart. Accesses of those beyond are counted and not judged.
const CALLERS: usize = 10_000;

/// Days at the beginning of the record, and of a caller, that say nothing about how often something new is done:
/// everything is new then.
const FIRST_DAYS: u64 = 7;

/// Surprises below this, in nats, are everyday life, and what is above it by less counts less.
pub(crate) const EVERYDAY: f64 = 2.0;

/// The score from which on a finding is worth a look: chosen on seeds that the figures in the manual are not from.
pub const THRESHOLD: f64 = 6.0;

/// Learns and judges.
#[derive(Debug, Default)]
pub struct Detector {
    words: Words,
    peers: Peers,
    callers: Vec<Caller>,
    by_uid: HashMap<u32, usize>,
    /// First and latest time.
    first: u64,
    latest: u64,
    /// Hours in which anything was recorded, and the one that was counted last.
    record_hours: u64,
    hour: u64,
    /// Callers that were new after the first days.
    newcomers: u32,
    learned: u64,
    judged: u64,
    beyond: u64,
}

impl Detector {
    /// One that knows nothing.
    pub fn new() -> Detector {
        Detector::default()
    }

    /// Judges an access, if it is to be judged, and learns from it.
    pub fn take(&mut self, seen: &Seen<'_>) {
        self.clock_goes_on(seen);
        let Some(who) = self.caller_of(seen) else {
            self.beyond += seen.count;
            return;
        };
        if seen.judged {
            self.judged += seen.count;
        } else {
            self.learned += seen.count;
        }
        self.absence(who, seen);
        self.time(who, seen);
        self.habits(who, seen);
        self.amounts(who, seen);
        if let Some(caller) = self.callers.get_mut(who) {
            caller.requests += seen.count;
            caller.last = caller.last.max(seen.at);
            caller.record_hour = self.record_hours;
        }
    }

    fn clock_goes_on(&mut self, seen: &Seen<'_>) {
        if self.first == 0 {
            self.first = seen.at;
        }
        self.latest = self.latest.max(seen.at);
        let hour = seen.at / HOUR;
        if hour > self.hour {
            self.hour = hour;
            self.record_hours += 1;
        }
    }

    /// The caller's place; `None` where there are too many.
    fn caller_of(&mut self, seen: &Seen<'_>) -> Option<usize> {
        let rule = seen.rule.map(|rule| self.words.word(rule));
        let who = match self.by_uid.get(&seen.uid) {
            Some(who) => *who,
            None => self.newcomer(seen, rule)?,
        };
        let name = seen.user.map(|name| self.words.word(name));
        let caller = self.callers.get_mut(who)?;
        caller.name = name.or(caller.name);
        if let Some(rule) = rule.filter(|rule| *rule != caller.rule) {
            let old = self.peers.group(caller.rule);
            old.members = old.members.saturating_sub(1);
            self.peers.group(rule).members += 1;
            caller.rule = rule;
        }
        Some(who)
    }

    fn newcomer(&mut self, seen: &Seen<'_>, rule: Option<Word>) -> Option<usize> {
        if self.callers.len() >= CALLERS {
            return None;
        }
        let nobodys = self.words.word("");
        let mut caller = Caller::new(seen.uid, rule.unwrap_or(nobodys), seen.at);
        caller.record_hour = self.record_hours;
        let days = (seen.at - self.first.min(seen.at)) / DAY;
        if days >= FIRST_DAYS {
            if seen.judged {
                let surprise = ((days as f64 + 1.0) / (f64::from(self.newcomers) + 0.5)).max(1.0).ln();
                caller.keep(reason(Family::Caller, What::NewCaller, surprise, seen));
            }
            self.newcomers += 1;
        }
        self.peers.group(caller.rule).members += 1;
        self.peers.callers += 1;
        let who = self.callers.len();
        self.callers.push(caller);
        self.by_uid.insert(seen.uid, who);
        Some(who)
    }

    /// What it does for the first time.
    fn habits(&mut self, who: usize, seen: &Seen<'_>) {
        let mut things: Vec<(Trait, u64)> = Vec::with_capacity(8);
        let program = seen.program.map(|program| self.words.word(program));
        if seen.caller_known {
            things.extend(program.map(|program| (Trait::Program, program.alone())));
            let login = if seen.login { "login" } else { "no login" };
            let settings = [
                ("unit", seen.unit.unwrap_or("none")),
                ("namespace", seen.namespace.unwrap_or("unknown")),
                ("listener", seen.listener.unwrap_or("none")),
                ("session", login),
            ];
            for (name, value) in settings {
                let both = (self.words.word(name), self.words.word(value));
                things.push((Trait::Setting, both.0.with(both.1)));
            }
        }
        if let Some(rule) = seen.rule {
            let both = (self.words.word("rule"), self.words.word(rule));
            things.push((Trait::Setting, both.0.with(both.1)));
        }
        if let (Some(route), false) = (seen.route, seen.denied()) {
            let route = self.words.word(route);
            things.push((Trait::Route, route.alone()));
            things.extend(program.map(|program| (Trait::Pair, program.with(route))));
        }
        // Of a program that is new itself, what it calls says nothing more.
        let caller = self.callers.get(who);
        let programs = caller.and_then(|caller| caller.habits.get(Trait::Program as usize));
        let since = programs.zip(program).and_then(|(habit, program)| habit.since(program.alone()));
        let mut novel = since.is_none_or(|since| seen.at < since + FIRST_DAYS * DAY);
        for (of, thing) in things {
            novel |= self.habit(who, of, thing, seen, novel);
        }
    }

    /// Whether it is new.
    fn habit(&mut self, who: usize, of: Trait, thing: u64, seen: &Seen<'_>, said: bool) -> bool {
        let Some(caller) = self.callers.get_mut(who) else { return false };
        let hour = seen.at / HOUR;
        let settled = hour / 24 >= caller.first / DAY + FIRST_DAYS;
        let rule = caller.rule;
        let group = self.peers.group(rule);
        let Some(habit) = caller.habits.get_mut(of as usize) else { return false };
        let Some(novelty) = group.novelty.get_mut(of as usize) else { return false };
        let others = peers::Novelty { new: novelty.new - habit.new, hours: novelty.hours - habit.hours };
        if settled && habit.hour < hour {
            habit.hour = hour;
            habit.hours += 1.0;
            novelty.hours += 1.0;
        }
        if !habit.is_new(thing, seen.at) {
            caller.goes_on(of, thing, seen);
            return false;
        }
        let own = (habit.new, habit.hours);
        if settled && habit.new_hour < hour {
            habit.new_hour = hour;
            habit.new += 1.0;
            novelty.new += 1.0;
        }
        if seen.judged && !(said && of == Trait::Pair) {
            // A new caller's first days: others say how new people begin.
            let usual = self.peers.usual(of, thing, rule);
            let surprise = judge::novelty(own, others, caller.hours_came) + usual.surprise;
            let place = judge::odd_place(of, seen);
            let surprise = surprise + place;
            let what =
                What::New { token: thing, days: caller.clock.days_came(), peers: usual.peers, of: usual.of };
            if surprise > EVERYDAY {
                caller.keep(reason(judge::family(of), what, surprise, seen));
            }
        }
        self.peers.begins(of, thing, rule, seen.at, who as u32, seen.judged);
        true
    }

    /// What is added up.
    fn amounts(&mut self, who: usize, seen: &Seen<'_>) {
        let weight = seen.count as f64;
        if seen.denied() {
            self.denied(who, seen);
            return;
        }
        let route = self.words.word(seen.route.unwrap_or_default());
        let name = hash((seen.method, seen.path));
        let fresh = self.callers.get_mut(who).is_some_and(|caller| caller.names.is_new(name));
        for window in [Window::Minutes, Window::Day] {
            self.add(who, Measure::Requests(route), window, weight, seen);
        }
        for window in [Window::Hour, Window::Day] {
            self.add(who, Measure::Bytes, window, seen.out as f64, seen);
            if fresh {
                self.add(who, Measure::Names(route), window, weight, seen);
            }
        }
        if seen.failed() {
            self.add(who, Measure::Failed, Window::Hour, weight, seen);
        }
    }

    /// Adds to a sum; where its window is over, judges it and begins the next.
    fn add(&mut self, who: usize, measure: Measure, window: Window, amount: f64, seen: &Seen<'_>) {
        let index = seen.at / window.length();
        let over = self
            .callers
            .get_mut(who)
            .and_then(|caller| caller.sum(measure, window))
            .is_some_and(|sum| sum.window < index && sum.count > 0);
        if over {
            self.close(who, measure, window);
        }
        let Some(sum) = self.callers.get_mut(who).and_then(|caller| caller.sum(measure, window)) else {
            return;
        };
        if sum.count == 0 {
            sum.window = index;
            sum.from = seen.at;
        }
        sum.to = sum.to.max(seen.at);
        sum.amount += amount;
        sum.count += seen.count;
        sum.judged |= seen.judged;
        if seen.judged {
            sum.samples.add(seen.id, amount);
        }
    }
}

/// An observation of one access.
fn reason(family: Family, what: What, surprise: f64, seen: &Seen<'_>) -> Reason {
    let mut samples = Samples::default();
    samples.add(seen.id, 1.0);
    Reason { family, what, from: seen.at, to: seen.at, surprise, count: seen.count, samples }
}

fn hash(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}
