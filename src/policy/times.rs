//! Whether a rule holds now: what has ended, and what is open at some hours only.

use std::sync::Arc;

use tz::TimeZone;

use super::table::{Policy, Window, Zone};
use crate::model::clock::{Clock, Now};
use crate::model::refusal::Refusal;
use crate::model::time::Timestamp;
use crate::model::truth::Truth;

/// When a request is judged.
#[derive(Debug, Clone, Copy)]
pub(super) enum Moment<'a> {
    /// Now.
    By(&'a Clock),
    /// Then.
    At(Timestamp),
    /// Whenever every rule holds: times do not matter.
    Any,
}

impl Moment<'_> {
    fn now(self) -> Option<Now> {
        match self {
            Moment::By(clock) => Some(clock.now()),
            Moment::At(instant) => Some(Now::at(instant)),
            Moment::Any => None,
        }
    }
}

/// The zones of a policy, each read once. One that can't be read is not known.
pub(super) struct Zones(Vec<Option<Arc<TimeZone>>>);

impl Zones {
    pub(super) fn of(policy: &Policy) -> Zones {
        Zones(policy.zones.iter().map(|zone| read(zone).map(Arc::new)).collect())
    }
}

/// A zone's rules, if they are some.
pub(super) fn read(zone: &Zone) -> Option<TimeZone> {
    if zone.tzif.is_empty() { Some(TimeZone::utc()) } else { TimeZone::from_tz_data(&zone.tzif).ok() }
}

/// The times of one rule, ready to be asked.
#[derive(Debug)]
pub(super) struct Times {
    until: Option<Timestamp>,
    /// It holds within one of them; none: at any hour.
    windows: Box<[(Window, Option<Arc<TimeZone>>)]>,
}

impl Times {
    /// `None`: it holds at any time.
    pub(super) fn of(until: Option<Timestamp>, windows: &[Window], zones: &Zones) -> Option<Box<Times>> {
        let zone = |window: &Window| zones.0.get(usize::from(window.zone)).cloned().flatten();
        let windows: Box<[_]> = windows.iter().map(|window| (window.clone(), zone(window))).collect();
        (until.is_some() || !windows.is_empty()).then(|| Box::new(Times { until, windows }))
    }

    /// Why a grant does not hold at this moment, if it does not.
    pub(super) fn allow(&self, moment: Moment<'_>) -> Result<(), Refusal> {
        let Some(now) = moment.now() else { return Ok(()) };
        if self.until.is_some_and(|until| now.latest >= until) {
            return Err(Refusal::Expired);
        }
        if self.open(now).allows() { Ok(()) } else { Err(Refusal::OutOfHours) }
    }

    /// Whether a forbid holds at this moment; where that can't be told, it does.
    pub(super) fn forbid(&self, moment: Moment<'_>) -> bool {
        moment.now().is_none_or(|now| self.open(now).forbids())
    }

    fn open(&self, now: Now) -> Truth {
        let mut each = self.windows.iter().map(|(window, zone)| open(window, zone.as_deref(), now));
        each.next().map_or(Truth::Yes, |first| each.fold(first, Truth::or))
    }
}

/// Whether it is within this window; where the zone can't be told, nobody knows.
fn open(window: &Window, zone: Option<&TimeZone>, now: Now) -> Truth {
    let seconds = i64::try_from(now.wall.micros() / 1_000_000).ok();
    let local = zone.zip(seconds).and_then(|(zone, seconds)| {
        let offset = zone.find_local_time_type(seconds).ok()?.ut_offset();
        Some(seconds + i64::from(offset))
    });
    local.map_or(Truth::Unknown, |local| window.holds(local).into())
}

impl Window {
    /// Whether local time, in seconds as if it were UTC's, lies within.
    fn holds(&self, local: i64) -> bool {
        let (day, second) = (local.div_euclid(86_400), local.rem_euclid(86_400));
        let minute = second / 60;
        // 1970-01-01 was a Thursday.
        let on = |day: i64| self.days >> (day + 3).rem_euclid(7) & 1 == 1;
        let (from, to) = (i64::from(self.from), i64::from(self.to));
        if from < to {
            on(day) && (from..to).contains(&minute)
        } else {
            on(day) && minute >= from || on(day - 1) && minute < to
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONDAY: i64 = 4 * 86_400;
    const HOUR: i64 = 3_600;

    #[test]
    fn window_over_midnight_belongs_to_the_day_on_which_it_begins() {
        let night = Window { days: 0b001_0001, from: 22 * 60, to: 6 * 60, zone: 0 };
        for (hours, holds) in [
            (21, false),
            (22, true),
            (29, true),
            (30, false),
            (5, false),
            (4 * 24 + 23, true),
            (5 * 24 + 5, true),
            (5 * 24 + 23, false),
        ] {
            assert_eq!(night.holds(MONDAY + hours * HOUR), holds, "{hours} hours after Monday began");
        }
    }

    #[test]
    fn window_ends_before_its_last_minute() {
        let office = Window { days: 0b001_1111, from: 8 * 60, to: 18 * 60, zone: 0 };
        let at = |hours: i64, seconds: i64| office.holds(MONDAY + hours * HOUR + seconds);
        assert_eq!([at(8, -1), at(8, 0), at(18, -1), at(18, 0)], [false, true, true, false]);
        assert!(!at(5 * 24 + 12, 0) && !at(-12, 0) && at(7 * 24 + 12, 0));
        let all = Window { days: 127, from: 0, to: 1440, zone: 0 };
        assert!((0..7 * 24).all(|hour| all.holds(MONDAY + hour * HOUR)));
    }
}
