//! How surprising: each observation against the caller's own past, filled up with what its peers do.

use super::amount::{Amounts, count_surprise};
use super::caller::{Caller, Denied, DeniedDay, Measure, Trait};
use super::clock::{DAY, HOUR, is_weekend};
use super::peers::Novelty;
use super::reason::{Family, Reason, Samples, What, Window};
use super::seen::Seen;
use super::{Detector, EVERYDAY, hash, reason};

/// What others do counts as so many hours of a caller's own.
const PEER_HOURS: f64 = 10.0;
/// The new things of a first hour, in later ones.
const NOVICE: f64 = 10.0;
/// And as so many windows, or days, of its own.
const PEER_WINDOWS: f64 = 8.0;
/// How much less probable a program in a place where everybody can put one is.
const ODD_PLACE: f64 = 2.5;
/// Hours of silence that nobody wonders at.
const SILENCE: u64 = 6;
/// Days after which a caller that comes back is worth a word.
const LONG_AWAY: u64 = 10;
/// Who came each day for so many of them is missed.
const STEADY: u32 = 7;
/// Denied things that are new are counted over so many days.
const DENIED_DAYS: u64 = 7;

/// How surprising it is that this caller does anything new, in nats: new hours of all hours, its own and others'.
/// `came` are the hours in which it came at all: of who has just begun, everything is new.
pub(super) fn novelty(own: (f64, f64), others: Novelty, came: u32) -> f64 {
    let (new, hours) = own;
    let novice = NOVICE * (-f64::from(came) / 5.0).exp();
    let borrowed = if others.hours > 0.0 { PEER_HOURS } else { 0.0 };
    let usual = if others.hours > 0.0 { others.new / others.hours } else { 0.0 };
    let ever = if others.hours > 0.0 { 0.3 } else { 0.1 };
    -((new + ever + borrowed * usual + novice) / (hours + 1.0 + borrowed + novice)).min(1.0).ln()
}

/// Programs do not lie where everybody can put one, nor are they gone while they run.
pub(super) fn odd_place(of: Trait, seen: &Seen<'_>) -> f64 {
    let program = seen.program.unwrap_or_default();
    let writable = ["/tmp/", "/var/tmp/", "/dev/shm/"].iter().any(|place| program.starts_with(place));
    let odd = of == Trait::Program && (writable || program.ends_with(" (deleted)"));
    if odd { ODD_PLACE } else { 0.0 }
}

pub(super) fn family(of: Trait) -> Family {
    match of {
        Trait::Program => Family::Program,
        Trait::Setting => Family::Setting,
        Trait::Route => Family::Route,
        Trait::Pair => Family::Pair,
    }
}

/// What nobody wonders at, whoever does it.
fn least(measure: Measure, window: Window) -> f64 {
    match (measure, window) {
        (Measure::Requests(_), Window::Day) => 60.0,
        (Measure::Requests(_), _) => 20.0,
        (Measure::Bytes, Window::Day) => 4e6,
        (Measure::Bytes, _) => 1e6,
        (Measure::Names(_), Window::Day) => 12.0,
        (Measure::Names(_), _) => 8.0,
        (Measure::Failed, _) => 10.0,
    }
}

impl Caller {
    /// Something that was new a moment ago goes on.
    pub(super) fn goes_on(&mut self, of: Trait, thing: u64, seen: &Seen<'_>) {
        let family = family(of);
        for reason in self.reasons.iter_mut().rev() {
            let same = matches!(reason.what, What::New { token, .. } if token == thing);
            if same && reason.family == family && seen.at.saturating_sub(reason.to) < HOUR {
                reason.continues(seen);
                return;
            }
        }
    }
}

impl Reason {
    fn continues(&mut self, seen: &Seen<'_>) {
        self.to = self.to.max(seen.at);
        self.count += seen.count;
        self.samples.add(seen.id, 1.0);
    }
}

impl Detector {
    /// It was away: for longer than ever, though it always came; or for so long that it is nearly a stranger.
    pub(super) fn absence(&mut self, who: usize, seen: &Seen<'_>) {
        let record_hours = self.record_hours;
        let Some(caller) = self.callers.get_mut(who) else { return };
        let away = record_hours.saturating_sub(caller.record_hour);
        if away < SILENCE.min(caller.longest_gap) {
            return;
        }
        let silent = if seen.judged { caller.silence(away, seen.at) } else { None };
        if seen.judged && away >= LONG_AWAY * 24 && caller.requests > 0 {
            // Longer than a weekend; and by somebody who comes on few of all days.
            let seldom = f64::from(caller.clock.days() + away as u32 / 24 + 1)
                / f64::from(caller.clock.days_came() + 1);
            let surprise = EVERYDAY + (away as f64 / 72.0).ln() + seldom.max(1.0).ln();
            let what = What::Back { hours: away, before: caller.longest_gap };
            caller.keep(reason(Family::Caller, what, surprise, seen));
        }
        match silent {
            Some(silent) => caller.keep(silent),
            None => caller.longest_gap = caller.longest_gap.max(away),
        }
    }

    /// It comes at an hour, or on a day, at which it does not come.
    pub(super) fn time(&mut self, who: usize, seen: &Seen<'_>) {
        let Some(caller) = self.callers.get_mut(who) else { return };
        let (hour, day) = (seen.at / HOUR, seen.at / DAY);
        let group = self.peers.group(caller.rule);
        if caller.day == 0 {
            caller.day = day.saturating_sub(1);
        }
        if day > caller.day {
            // Whoever was away for a year has forgotten nothing more than who was away for a quarter.
            for passed in (caller.day + 1).max(day.saturating_sub(90))..=day {
                caller.clock.day_passes(passed);
                group.clock.day_passes(passed);
            }
        }
        if hour > caller.hour {
            let surprise = caller.clock.surprise(hour, &group.clock);
            if seen.judged && surprise > EVERYDAY && caller.hours_came > 0 {
                let what = What::Hour {
                    hour,
                    days: caller.clock.days(),
                    quiet: caller.clock.quiet_hours(hour),
                    weekend: is_weekend(day),
                };
                caller.keep(reason(Family::Time, what, surprise, seen));
            }
            if day > caller.day {
                caller.clock.came_on(day);
                group.clock.came_on(day);
                group.days += 1.0;
            }
            caller.clock.came_at(hour);
            group.clock.came_at(hour);
            caller.hour = hour;
            caller.hours_came += 1;
        } else if let Some(last) =
            caller.reasons.iter_mut().rev().find(|reason| reason.family == Family::Time)
            && matches!(last.what, What::Hour { hour: odd, .. } if odd == hour)
        {
            last.continues(seen);
        }
        caller.day = caller.day.max(day);
    }

    /// A denied request: counts where it is for something that was never asked for.
    pub(super) fn denied(&mut self, who: usize, seen: &Seen<'_>) {
        let day = seen.at / DAY;
        let over = self
            .callers
            .get(who)
            .and_then(|caller| caller.denied.recent.last())
            .is_some_and(|last| last.day < day && !last.over);
        if over {
            self.close_denied(who);
        }
        let Some(caller) = self.callers.get_mut(who) else { return };
        let name = hash((seen.method, seen.path, seen.route, "denied"));
        if !caller.denied.names.is_new(name) {
            return;
        }
        if caller.denied.recent.last().is_none_or(|last| last.day < day) {
            caller.denied.recent.push(DeniedDay { day, from: seen.at, ..DeniedDay::default() });
        }
        if let Some(today) = caller.denied.recent.last_mut() {
            today.new += 1;
            today.to = seen.at;
            today.judged |= seen.judged;
            if seen.judged {
                today.samples.add(seen.id, 1.0);
            }
        }
    }

    /// The last day with something denied is over.
    pub(super) fn close_denied(&mut self, who: usize) {
        let Some(caller) = self.callers.get_mut(who) else { return };
        let group = self.peers.group(caller.rule);
        let usual = group.denied / group.days.max(1.0);
        let days = f64::from(caller.clock.days_came());
        let Denied { recent, before, .. } = &mut caller.denied;
        let Some(today) = recent.last_mut().filter(|last| !last.over).map(|last| {
            last.over = true;
            last.day
        }) else {
            return;
        };
        // What is older than the window becomes what was before.
        let old = recent.iter().take_while(|other| other.day + DENIED_DAYS <= today).count();
        *before += recent.drain(..old).map(|old| old.new).sum::<u32>();
        let mut best: Option<Reason> = None;
        for within in [1, DENIED_DAYS] {
            let inside: Vec<&DeniedDay> =
                recent.iter().filter(|other| other.day + within > today && other.judged).collect();
            let now: u32 = inside.iter().map(|day| day.new).sum();
            let outside = recent.iter().filter(|other| other.day + within <= today || !other.judged);
            let earlier = f64::from(*before + outside.map(|day| day.new).sum::<u32>());
            let known = (days - within as f64).max(0.0);
            let surprise = count_surprise(now, within as f64, earlier, known, usual, PEER_WINDOWS);
            if surprise <= EVERYDAY || best.as_ref().is_some_and(|best| best.surprise >= surprise) {
                continue;
            }
            let mut samples = Samples::default();
            inside.iter().rev().flat_map(|day| day.samples.ids()).for_each(|id| samples.add(Some(id), 1.0));
            best = Some(Reason {
                family: Family::Denied,
                what: What::Denied { now, within: within as u32, before: earlier as u32, days: known as u32 },
                from: inside.first().map_or(0, |day| day.from),
                to: inside.last().map_or(0, |day| day.to),
                surprise,
                count: now.into(),
                samples,
            });
        }
        group.denied += recent.last().map_or(0.0, |day| f64::from(day.new));
        if let Some(best) = best {
            caller.keep(best);
        }
    }

    /// A window is over: its sum is judged by those before it, and becomes one of them.
    pub(super) fn close(&mut self, who: usize, measure: Measure, window: Window) {
        let Some(caller) = self.callers.get_mut(who) else { return };
        let group = self.peers.group(caller.rule);
        let pool = group.amounts.entry((measure, window)).or_default();
        let Some(sum) = caller.sums.get_mut(&(measure, window)) else { return };
        let ended = std::mem::take(sum);
        *sum = super::caller::Sum { history: ended.history, ..Default::default() };
        let lived = match window {
            Window::Day => caller.clock.days_came(),
            _ => caller.hours_came,
        };
        let surprise = pooled(&sum.history, pool, ended.amount, least(measure, window), lived);
        let (before, windows) = (sum.history.largest(), sum.history.count());
        sum.history.learn(ended.amount);
        pool.learn(ended.amount);
        if !ended.judged || surprise <= EVERYDAY {
            return;
        }
        let (family, route) = match measure {
            Measure::Requests(route) => (Family::Requests, Some(route)),
            Measure::Names(route) => (Family::Names, Some(route)),
            Measure::Bytes => (Family::Bytes, None),
            Measure::Failed => (Family::Failed, None),
        };
        caller.keep(Reason {
            family,
            what: What::Much { route, amount: ended.amount, before, windows, window },
            from: ended.from,
            to: ended.to,
            surprise,
            count: ended.count,
            samples: ended.samples,
        });
    }

    /// All that is under way is over: the record ends.
    pub(super) fn close_all(&mut self, judging: bool) {
        for who in 0..self.callers.len() {
            let sums: Vec<(Measure, Window)> = self
                .callers
                .get(who)
                .map(|caller| {
                    caller.sums.iter().filter(|(_, sum)| sum.count > 0).map(|(key, _)| *key).collect()
                })
                .unwrap_or_default();
            for (measure, window) in sums {
                self.close(who, measure, window);
            }
            self.close_denied(who);
            let (record_hours, latest) = (self.record_hours, self.latest);
            if let Some(caller) = self.callers.get_mut(who)
                && judging
            {
                let away = record_hours.saturating_sub(caller.record_hour);
                if let Some(silent) = caller.silence(away, latest) {
                    caller.keep(silent);
                }
            }
        }
    }
}

impl Caller {
    /// Its silence of so many hours, until `now`, if it is one that always came.
    fn silence(&self, away: u64, now: u64) -> Option<Reason> {
        let usual = self.longest_gap.max(1);
        let steady =
            self.clock.days() >= STEADY && usual <= 26 && self.clock.days_came() + 1 >= self.clock.days();
        if !steady || away < SILENCE.max(2 * usual) {
            return None;
        }
        let times = f64::from(self.hours_came);
        let surprise = (times + 1.0).ln() + 4.0 * (away as f64 / usual as f64).ln();
        Some(Reason {
            family: Family::Silence,
            what: What::Silent { hours: away, before: self.longest_gap, days: self.clock.days() },
            from: self.last,
            to: now,
            surprise: surprise.min(16.0),
            count: 0,
            samples: Samples::default(),
        })
    }
}

/// The surprise by a caller's own history and by its peers', the more its own the longer it is. `lived` are the windows
/// in which it came at all: in those without an amount it was nothing.
fn pooled(own: &Amounts, pool: &Amounts, amount: f64, least: f64, lived: u32) -> f64 {
    let mine = f64::from(own.count().max(lived));
    let weight = mine / (mine + PEER_WINDOWS);
    weight * own.surprise(amount, least, lived) + (1.0 - weight) * pool.surprise(amount, least, lived)
}
