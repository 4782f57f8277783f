//! When what is read can have been written, as far as the scribe's own clocks tell. A gate stamps its lines itself, and
//! one that was taken over may say any instant; what was not in the file at one look and is at the next was written
//! between the two.
//!
//! The wall clock may be set, forward and back, by whoever keeps the time (ntpd, a machine that wakes up), and then
//! honest lines say what it was before. So for an hour each setting that was seen counts. A line that says more than
//! five minutes after any of them has no honest cause: gate and scribe read one clock, the gate earlier. It is an
//! intrusion. One that says an instant long past has some (a gate that was stopped between stamp and write), and to end
//! a gate for that would be worse than what it tells: it goes on record as a doubt, once a segment, and the line
//! stays. What was there before the scribe's first whole look is not judged so.

use std::time::{Duration, Instant};

use crate::model::time::Timestamp;

/// As far as a line may be off.
const TOLERANCE: i64 = 300 * 1_000_000;
/// A setting of the wall clock is remembered for so long.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// Settings closer than this are one.
const SAME: u64 = 1_000_000;
/// So many are remembered.
const MOST: usize = 64;

/// The wall clock's settings: microseconds that it is ahead of [`Clock::base`].
#[derive(Debug)]
pub(super) struct Clock {
    base: Instant,
    settings: Vec<(i64, Instant)>,
}

impl Clock {
    pub(super) fn new() -> Clock {
        let mut clock = Clock { base: Instant::now(), settings: Vec::new() };
        clock.look();
        clock
    }

    /// Looks how the wall clock is set.
    pub(super) fn look(&mut self) {
        self.saw(Timestamp::now(), Instant::now());
    }

    fn saw(&mut self, wall: Timestamp, now: Instant) {
        let setting = i64::try_from(wall.micros()).unwrap_or(i64::MAX).saturating_sub(self.micros(now));
        self.settings.retain(|(_, seen)| now.saturating_duration_since(*seen) < REMEMBERED);
        match self.settings.iter_mut().find(|(known, _)| known.abs_diff(setting) < SAME) {
            Some((_, seen)) => *seen = now,
            None => self.settings.push((setting, now)),
        }
        if self.settings.len() > MOST {
            self.settings.remove(0);
        }
    }

    fn micros(&self, at: Instant) -> i64 {
        i64::try_from(at.saturating_duration_since(self.base).as_micros()).unwrap_or(i64::MAX)
    }

    /// For lines that were written after this, and are read now.
    pub(super) fn since(&mut self, since: Instant) -> When<'_> {
        let least = self.settings.iter().map(|(setting, _)| *setting).min().unwrap_or(0);
        let earliest = text(least.saturating_add(self.micros(since)).saturating_sub(TOLERANCE));
        let latest = self.latest(Instant::now());
        When { clock: self, earliest, latest }
    }

    fn latest(&self, now: Instant) -> [u8; 27] {
        let most = self.settings.iter().map(|(setting, _)| *setting).max().unwrap_or(0);
        text(most.saturating_add(self.micros(now)).saturating_add(TOLERANCE))
    }
}

fn text(micros: i64) -> [u8; 27] {
    Timestamp::from_micros(u64::try_from(micros).unwrap_or(0)).to_bytes()
}

/// Bounds of what lines may say.
#[derive(Debug)]
pub(super) struct When<'c> {
    clock: &'c mut Clock,
    earliest: [u8; 27],
    latest: [u8; 27],
}

impl When<'_> {
    /// Whether this instant is long before any at which the line can have been written.
    pub(super) fn is_long_ago(&self, at: &str) -> bool {
        at.as_bytes() < self.earliest.as_slice()
    }

    /// Whether it is later than the present, by any setting of the clock; asked again, as it may have been set just now.
    pub(super) fn is_to_come(&mut self, at: &str) -> bool {
        if at.as_bytes() <= self.latest.as_slice() {
            return false;
        }
        self.clock.look();
        self.latest = self.clock.latest(Instant::now());
        at.as_bytes() > self.latest.as_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60 * 1_000_000;

    /// A clock whose wall shows ten o'clock, that instant, and what it says of others.
    fn clock(settings: &[(i64, u64)]) -> (Clock, Instant) {
        let base = Instant::now();
        let mut clock = Clock { base, settings: Vec::new() };
        for (minutes, after) in settings {
            let wall = TEN.saturating_add_signed(minutes * 60_000_000) + after * 1_000_000;
            clock.saw(Timestamp::from_micros(wall), base + Duration::from_secs(*after));
        }
        (clock, base)
    }

    const TEN: u64 = 1_795_428_000_000_000;

    fn says(minutes: i64) -> String {
        Timestamp::from_micros(TEN.saturating_add_signed(minutes * 60_000_000)).to_string()
    }

    #[test]
    fn instant_is_judged_by_the_last_look_that_read_all() {
        let (mut clock, base) = clock(&[(0, 0)]);
        let when = clock.since(base);
        assert!(!when.is_long_ago(&says(0)) && !when.is_long_ago(&says(-4)));
        assert!(when.is_long_ago(&says(-6)));
        let latest = clock.latest(base);
        assert!(says(4).as_bytes() < latest.as_slice() && says(6).as_bytes() > latest.as_slice());
    }

    #[test]
    fn clock_that_was_set_back_or_forth_makes_no_honest_line_wrong() {
        for minutes in [-120, 120] {
            let (mut clock, base) = clock(&[(0, 0), (minutes, 10)]);
            let now = base + Duration::from_secs(10);
            for honest in [0, minutes] {
                assert!(!clock.since(base).is_long_ago(&says(honest)), "{minutes} {honest}");
                assert!(says(honest).as_bytes() <= clock.latest(now).as_slice(), "{minutes} {honest}");
            }
            assert!(clock.since(base).is_long_ago(&says(-130)));
            assert!(says(130).as_bytes() > clock.latest(now).as_slice());
        }
    }

    #[test]
    fn setting_of_long_ago_counts_no_more_and_there_are_never_many() {
        let (mut clock, base) = clock(&[(120, 0), (0, 3_599), (0, 3_601)]);
        assert_eq!(clock.settings.len(), 1);
        for hour in 0..200 {
            clock.saw(Timestamp::from_micros(TEN + hour * 60 * MINUTE), base + Duration::from_secs(3_602));
        }
        assert_eq!(clock.settings.len(), MOST);
    }

    #[test]
    fn clock_that_is_set_while_a_line_is_judged_is_asked_again() {
        // It was an hour behind at the last look, and is right by now.
        let base = Instant::now();
        let wall = Timestamp::now().micros();
        let mut clock = Clock { base, settings: Vec::new() };
        clock.saw(Timestamp::from_micros(wall - 60 * MINUTE), base);
        let mut when = clock.since(base);
        assert!(!when.is_to_come(&Timestamp::from_micros(wall).to_string()));
        assert!(when.is_to_come(&Timestamp::from_micros(wall + 6 * MINUTE).to_string()));
    }
}
