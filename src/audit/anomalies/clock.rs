//! When someone comes: hours of the day and days of the week, in UTC as the record's times are.

/// Microseconds.
pub(super) const MINUTE: u64 = 60_000_000;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const DAY: u64 = 24 * HOUR;

/// On how many days someone came in each hour, of how many.
#[derive(Debug, Clone, Default)]
pub(super) struct Clock {
    hours: [u16; 24],
    /// Days of the weekend with and without, other days with and without.
    weekend: Seldom,
    workday: Seldom,
    /// Days that could have been: since the first one.
    days: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Seldom {
    came: u32,
    days: u32,
}

/// How much one hour says about one that is so far from it. A habit shifts: a clock is set back, someone is early.
const NEAR: [f64; 4] = [1.0, 0.6, 0.3, 0.12];

/// What others do counts as so many days; the less, the longer someone is known.
const PEERS: f64 = 2.0;
const KNOWN: f64 = 14.0;

impl Clock {
    /// Counts a day from its beginning, whether anybody comes or not.
    pub(super) fn day_passes(&mut self, day: u64) {
        self.days += 1;
        let side = if is_weekend(day) { &mut self.weekend } else { &mut self.workday };
        side.days += 1;
    }

    /// Counts that someone came on this day.
    pub(super) fn came_on(&mut self, day: u64) {
        let side = if is_weekend(day) { &mut self.weekend } else { &mut self.workday };
        side.came += 1;
    }

    /// Counts that someone came in this hour of a day.
    pub(super) fn came_at(&mut self, hour: u64) {
        if let Some(count) = self.hours.get_mut((hour % 24) as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// How surprising it is, in nats, that someone comes in this hour, counted since 1970; `peers` is how those of
    /// the same kind live.
    pub(super) fn surprise(&self, hour: u64, peers: &Clock) -> f64 {
        let rate = |clock: &Clock| clock.near(hour) / f64::from(clock.days.max(1));
        let usual = rate(peers).max(0.04);
        let peers_days = PEERS.min(KNOWN / f64::from(self.days.max(1)));
        let at = (self.near(hour) + peers_days * usual) / (f64::from(self.days) + peers_days);
        let weekend = is_weekend(hour / 24);
        let [mine, theirs] = [self, peers].map(|clock| if weekend { clock.weekend } else { clock.workday });
        let usual = (f64::from(theirs.came) + 0.1) / (f64::from(theirs.days) + 1.0);
        let on = (f64::from(mine.came) + PEERS * usual) / (f64::from(mine.days) + PEERS);
        -at.min(on).min(1.0).ln()
    }

    /// On how many days someone came about this hour.
    fn near(&self, hour: u64) -> f64 {
        let at = |ahead: i64| -> f64 {
            let hour = (hour as i64 + ahead).rem_euclid(24) as usize;
            self.hours.get(hour).copied().map_or(0.0, f64::from)
        };
        // An hour in the middle of a habit has all of it, one at its edge most.
        let around = |far: i64, weight: f64| weight * at(far).max(at(-far));
        NEAR.iter().zip(0..).map(|(weight, far)| around(far, *weight)).fold(0.0, f64::max)
    }

    /// The longest run of hours in which nobody ever came, where it has this one: from and to (left out).
    pub(super) fn quiet_hours(&self, hour: u64) -> Option<(u64, u64)> {
        let empty = |hour: u64| self.hours.get((hour % 24) as usize) == Some(&0);
        let hour = hour % 24;
        if !empty(hour) {
            return None;
        }
        let before = (0..24).take_while(|back| empty(hour + 48 - back)).count() as u64;
        let after = (0..24).take_while(|ahead| empty(hour + ahead)).count() as u64;
        Some(((hour + 25 - before) % 24, (hour + after) % 24))
    }

    /// Days that were looked at.
    pub(super) fn days(&self) -> u32 {
        self.days
    }

    /// Days on which someone came.
    pub(super) fn days_came(&self) -> u32 {
        self.weekend.came + self.workday.came
    }
}

/// Saturday or Sunday; day 0 was a Thursday.
pub(super) fn is_weekend(day: u64) -> bool {
    (day + 3) % 7 >= 5
}

#[cfg(test)]
mod tests {
    use super::{Clock, is_weekend};

    /// Monday, 2026-10-05.
    const MONDAY: u64 = 20_731;

    /// Two weeks of office hours.
    fn office() -> Clock {
        let mut clock = Clock::default();
        for day in MONDAY..MONDAY + 14 {
            clock.day_passes(day);
            if !is_weekend(day) {
                clock.came_on(day);
                (7..16).for_each(|hour| clock.came_at(day * 24 + hour));
            }
        }
        clock
    }

    #[test]
    fn surprise_is_small_within_habits_and_near_them_and_large_at_night() {
        let clock = office();
        let at = |hour: u64| clock.surprise((MONDAY + 14) * 24 + hour, &Clock::default());
        assert!(at(10) < 0.5, "{}", at(10));
        assert!(at(6) < 1.5 && at(16) < 1.5, "{} {}", at(6), at(16));
        assert!(at(2) > 4.0, "{}", at(2));
    }

    #[test]
    fn surprise_at_night_is_less_where_peers_come_then() {
        let mut peers = office();
        (0..5).for_each(|_| peers.came_at(2));
        let at = (MONDAY + 14) * 24 + 2;
        assert!(office().surprise(at, &peers) < office().surprise(at, &office()) - 1.0);
    }

    #[test]
    fn surprise_on_the_first_weekend_day_is_felt() {
        let saturday = (MONDAY + 19) * 24 + 10;
        assert!(office().surprise(saturday, &office()) > 3.0);
    }

    #[test]
    fn quiet_hours_reach_over_midnight() {
        assert_eq!(office().quiet_hours(MONDAY * 24 + 3), Some((16, 7)));
        assert_eq!(office().quiet_hours(MONDAY * 24 + 7), None);
    }
}
