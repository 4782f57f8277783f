//! How much of the disk each uid's gates may be given. A gate keeps within `log_bytes` by itself; one that was taken
//! over does not, so the warden, which alone can give segments, holds it to the same.
//!
//! What was given counts when it is given, and what was not used comes back. Who has used up what there is waits until
//! time has brought some: a wait that is felt by that uid alone.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::roster::Whose;

/// An account may have given out so many seconds' worth at a time: a gate's own budget holds one, and what is reserved
/// ahead of a fast writer is twice what it writes in a second, for two segments.
const SECONDS: u64 = 5;
/// And for each lane so much, which are a slow one's reservations.
const A_LANE: u64 = 4 << 20;
/// Nobody is looked at again sooner than this, or later than that.
const SOON: Duration = Duration::from_millis(100);
const LATE: Duration = Duration::from_secs(1);

/// What an account gains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    /// Bytes a second.
    pub(super) rate: u64,
    /// Lanes of one gate.
    pub(super) lanes: u16,
}

impl Terms {
    /// The most that an account holds.
    fn most(self) -> i64 {
        let bytes = self.rate.saturating_mul(SECONDS).saturating_add(A_LANE * u64::from(self.lanes));
        i64::try_from(bytes).unwrap_or(i64::MAX)
    }
}

/// What one uid's gates may still be given; below nothing where they took more.
#[derive(Debug)]
struct Account {
    left: i64,
    since: Instant,
    /// It waits, and that was told.
    told: bool,
}

impl Account {
    fn fill(&mut self, terms: Terms, now: Instant) {
        let micros = now.saturating_duration_since(self.since).as_micros();
        let gained = micros * u128::from(terms.rate) / 1_000_000;
        if gained > 0 {
            self.left = self.left.saturating_add(i64::try_from(gained).unwrap_or(i64::MAX));
            self.since = now;
        }
        self.left = self.left.min(terms.most());
        self.told &= self.left < terms.most() / 2;
    }
}

/// All accounts. One that is full is not kept.
#[derive(Debug, Default)]
pub(super) struct Allowances(HashMap<Whose, Account>);

impl Allowances {
    fn account(&mut self, whose: Whose, terms: Terms, now: Instant) -> &mut Account {
        if !self.0.contains_key(&whose) {
            self.0.retain(|_, account| {
                account.fill(terms, now);
                account.left < terms.most()
            });
        }
        let new = Account { left: terms.most(), since: now, told: false };
        let account = self.0.entry(whose).or_insert(new);
        account.fill(terms, now);
        account
    }

    /// Takes what its gates were given, or gives back what they did not use.
    pub(super) fn charge(&mut self, whose: Whose, bytes: i64, terms: Terms, now: Instant) {
        let account = self.account(whose, terms, now);
        account.left = account.left.saturating_sub(bytes);
    }

    /// How long they have to wait until they can be given anything; `None`: they need not.
    pub(super) fn wait(&mut self, whose: Whose, terms: Terms, now: Instant) -> Option<Duration> {
        let account = self.account(whose, terms, now);
        if account.left > 0 {
            return None;
        }
        if !std::mem::replace(&mut account.told, true) {
            tracing::warn!(
                uid = whose,
                "a gate takes more of the disk than `log_bytes` allows, and gets more only as fast as that"
            );
        }
        let micros = account.left.unsigned_abs().saturating_mul(1_000_000) / terms.rate.max(1);
        Some(Duration::from_micros(micros).clamp(SOON, LATE))
    }
}

/// Segments that a lane may be given though it has not filled the one before: each takes a file, however little is
/// written to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spares {
    left: u32,
    since: Instant,
}

impl Spares {
    const MOST: u32 = 16;
    /// One more after this long.
    const EVERY: Duration = Duration::from_secs(10);

    /// For a fresh lane.
    pub(super) fn new(now: Instant) -> Spares {
        Spares { left: Spares::MOST, since: now }
    }

    /// Takes one, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        while self.left < Spares::MOST && now.saturating_duration_since(self.since) >= Spares::EVERY {
            self.left += 1;
            self.since += Spares::EVERY;
        }
        if self.left == Spares::MOST {
            self.since = now;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::warden::segments::Writer;
    use crate::warden::segments::tests::{Place, segments};

    const TERMS: Terms = Terms { rate: 1 << 20, lanes: 1 };

    /// A gate that fills each segment that it gets, past its size, and asks for the next; how much it has written after
    /// so many seconds in which it asks all the time.
    fn flood(seconds: u64, kind_to: impl FnOnce(&mut Allowances, Instant)) -> u64 {
        const SIZE: u64 = 1 << 20;
        let dir = Place::make();
        let mut segments = segments(&dir, SIZE);
        let (mut allowances, begin) = (Allowances::default(), Instant::now());
        let (mut now, mut written) = (begin, 0);
        while now < begin + Duration::from_secs(seconds) {
            if let Some(wait) = allowances.wait(Some(7), TERMS, now) {
                now += wait;
                continue;
            }
            let made = segments.create(Writer::Lane { uid: Some(7), gate: 1, lane: 0 }).unwrap();
            written += nix::unistd::write(&made.file, &vec![b'x'; 2 * SIZE as usize]).unwrap() as u64;
            segments.finish(&made.name);
            let (whose, bytes) = segments.uncharged(&made.name).unwrap();
            allowances.charge(whose, bytes, TERMS, now);
            segments.release(&made.name, None).unwrap();
            dir.unmark();
            std::fs::remove_file(dir.0.path().join(&made.name)).unwrap();
        }
        kind_to(&mut allowances, now);
        written
    }

    #[test]
    fn flooding_gate_gets_its_rate_and_others_theirs() {
        let most = u64::try_from(TERMS.most()).unwrap();
        let written = flood(60, |allowances, now| {
            assert_eq!(allowances.wait(Some(8), TERMS, now), None, "another uid waits for nobody");
            assert_eq!(allowances.wait(None, TERMS, now), None);
        });
        // What it was given last may exceed what there was.
        assert!(written <= most + 60 * TERMS.rate + (2 << 20), "{written}");
        assert!(written >= 60 * TERMS.rate, "it gets what it may have: {written}");
    }

    #[test]
    fn honest_writer_never_waits() {
        // As fast as a gate's own budget lets it, with twice as much ahead of it as it writes in a second.
        let (mut allowances, mut now) = (Allowances::default(), Instant::now());
        let tenth = i64::try_from(TERMS.rate / 10).unwrap();
        allowances.charge(Some(7), i64::try_from(3 * TERMS.rate).unwrap(), TERMS, now);
        allowances.charge(Some(7), i64::try_from(TERMS.rate).unwrap(), TERMS, now);
        for _ in 0..10_000 {
            now += Duration::from_millis(100);
            assert_eq!(allowances.wait(Some(7), TERMS, now), None);
            allowances.charge(Some(7), tenth, TERMS, now);
        }
    }

    #[test]
    fn account_that_is_full_is_not_kept() {
        let (mut allowances, now) = (Allowances::default(), Instant::now());
        for uid in 0..1_000 {
            allowances.charge(Some(uid), 1, TERMS, now + Duration::from_secs(uid.into()));
        }
        assert!(allowances.0.len() <= 2, "{}", allowances.0.len());
        allowances.charge(Some(7), 100 << 20, TERMS, now);
        assert_eq!(allowances.wait(Some(7), TERMS, now), Some(LATE));
        assert_eq!(allowances.wait(Some(7), TERMS, now + Duration::from_secs(100)), None);
    }

    #[test]
    fn spare_segments_are_few_and_come_back_slowly() {
        let begin = Instant::now();
        let mut spares = Spares::new(begin);
        let took = (0..100).filter(|_| spares.take(begin)).count();
        assert_eq!(took, Spares::MOST as usize);
        let later = begin + 3 * Spares::EVERY;
        assert_eq!((0..100).filter(|_| spares.take(later)).count(), 3);
    }
}
