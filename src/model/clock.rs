//! The wall clock, and the latest instant that it has shown: what has expired stays so even if the clock steps back.

use std::sync::atomic::{AtomicU64, Ordering};

use super::time::Timestamp;

/// One role's knowledge of the time.
#[derive(Debug, Default)]
pub struct Clock {
    latest: AtomicU64,
}

/// Two readings that differ where the clock has stepped back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// What the wall clock shows.
    pub wall: Timestamp,
    /// The latest that it has shown.
    pub latest: Timestamp,
}

impl Clock {
    /// Looks at the wall clock.
    pub fn now(&self) -> Now {
        let wall = Timestamp::now();
        let before = self.latest.fetch_max(wall.micros(), Ordering::Relaxed);
        Now { wall, latest: Timestamp::from_micros(before.max(wall.micros())) }
    }

    /// Takes somebody else's word that it was as late as that.
    pub fn see(&self, at: Timestamp) {
        self.latest.fetch_max(at.micros(), Ordering::Relaxed);
    }

    /// The latest instant so far.
    pub fn latest(&self) -> Timestamp {
        Timestamp::from_micros(self.latest.load(Ordering::Relaxed))
    }
}

impl Now {
    /// Both readings are this.
    pub fn at(instant: Timestamp) -> Now {
        Now { wall: instant, latest: instant }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latest_stays_where_the_clock_is_behind_it() {
        let clock = Clock::default();
        let first = clock.now();
        assert_eq!(first.wall, first.latest);
        // As after a step back of an hour.
        let ahead = Timestamp::from_micros(first.wall.micros() + 3_600_000_000);
        clock.see(ahead);
        clock.see(first.wall);
        let behind = clock.now();
        assert_eq!((behind.latest, clock.latest()), (ahead, ahead));
        assert!(behind.wall < ahead);
    }
}
