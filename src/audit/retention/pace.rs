//! How fast age takes segments away. A clock says in a moment that all of the record is older than it may get, and may be
//! wrong: so age takes a day's worth of the record in an hour, and whoever sets the clock right has time for it.

use std::time::Instant;

use super::DAY;
use crate::model::time::Timestamp;

/// So much faster than time itself.
const FASTER: u64 = 24;

/// How far age has come through the record, by a clock that nobody sets.
#[derive(Debug, Default)]
pub struct Pace(Option<(u64, Instant)>);

impl Pace {
    /// Until when a segment may have ended that goes by its age, where `due` is what the time of day says and `oldest` is
    /// the end of the oldest segment. The oldest of all may go at once; from there on it is a day's worth an hour, and
    /// time in which nothing was recorded counts as a day.
    pub fn ripe(&mut self, oldest: Timestamp, due: Timestamp, now: Instant) -> Timestamp {
        let (oldest, due) = (oldest.micros(), due.micros());
        let reached = match self.0 {
            None => oldest,
            Some((reached, at)) => {
                let passed = now.saturating_duration_since(at).as_micros();
                let passed = u64::try_from(passed).unwrap_or(u64::MAX).saturating_mul(FASTER);
                // Never back: a clock that is set back and forth again takes nothing away by that, and costs no time.
                reached.max(reached.saturating_add(passed).max(oldest.saturating_sub(DAY)).min(due))
            }
        };
        self.0 = Some((reached, now));
        Timestamp::from_micros(reached.min(due))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn day(days: u64) -> Timestamp {
        Timestamp::from_micros(days * DAY)
    }

    #[test]
    fn clock_far_ahead_takes_a_day_of_the_record_an_hour() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        // A record of ninety days, all of it in time.
        assert_eq!(pace.ripe(day(10), day(9), start), day(9));
        for hour in 1..=48 {
            // The oldest that is there is what was not taken yet.
            let taken = pace.ripe(day(9 + hour), day(40_000), start + HOUR * u32::try_from(hour).unwrap());
            assert!(taken <= day(10 + hour), "hour {hour}: {taken}");
            assert!(taken >= day(9 + hour), "hour {hour}: {taken}");
        }
    }

    #[test]
    fn start_with_a_clock_far_ahead_takes_the_oldest_alone() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        assert_eq!(pace.ripe(day(10), day(40_000), start), day(10));
        assert_eq!(pace.ripe(day(11), day(40_000), start), day(10));
        assert_eq!(pace.ripe(day(11), day(40_000), start + HOUR), day(11));
    }

    #[test]
    fn clock_that_goes_right_is_kept_up_with() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let at = |minutes: u32| start + Duration::from_secs(60) * minutes;
        let due = |minutes: u64| Timestamp::from_micros(day(10).micros() + minutes * 60_000_000);
        pace.ripe(due(0), due(0), at(0));
        for minute in 1..=3_000 {
            assert_eq!(pace.ripe(due(0), due(minute.into()), at(minute)), due(minute.into()));
        }
    }

    #[test]
    fn clock_set_back_and_forth_and_empty_years_cost_a_day_at_most() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.ripe(day(20_000), day(20_000), start);
        assert_eq!(pace.ripe(day(20_000), day(0), start), day(0));
        assert_eq!(pace.ripe(day(20_000), day(20_000), start), day(20_000));
        // One segment of a clock that began in 1970, and the rest.
        let mut pace = Pace::default();
        assert_eq!(pace.ripe(day(0), day(20_000), start), day(0));
        assert_eq!(pace.ripe(day(19_990), day(20_000), start), day(19_989));
        assert_eq!(pace.ripe(day(19_990), day(20_000), start + HOUR), day(19_990));
    }
}
