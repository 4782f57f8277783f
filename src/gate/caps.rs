//! What one uid may use by the limits of the whos that hold for it: requests, requests at a time, bytes. All lanes of a
//! gate share it, so that nobody has more by having more connections.
//!
//! Each who is counted by itself: what holds for all of them is the tightest of each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::model::refusal::Refusal;
use crate::policy::{Cap, Denial, Rate};

/// After so many admissions the accounts are tidied.
const SWEEP: u64 = 4096;

/// The accounts of a gate.
#[derive(Debug, Default)]
pub(super) struct Caps(Mutex<Accounts>);

#[derive(Debug, Default)]
struct Accounts {
    by_whom: HashMap<(u32, Arc<str>), Account>,
    admitted: u64,
}

/// One uid's, by one who.
#[derive(Debug)]
struct Account {
    requests: Level,
    bytes: Level,
    running: u32,
    cap: Arc<Cap>,
}

/// Why there is nothing more now.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Over {
    pub(super) refusal: Refusal,
    cap: Arc<Cap>,
    /// Whole seconds until there may be; at least one.
    pub(super) retry_s: u64,
}

impl Over {
    /// As what it is recorded.
    pub(super) fn denial(&self) -> Denial {
        let (by, at) = (Some(Arc::clone(&self.cap.by)), Some(Arc::clone(&self.cap.at)));
        Denial { by, at, ..Denial::plain(self.refusal) }
    }
}

/// How much is left of a rate. It fills up with time, and may be overdrawn by what is known only afterwards.
#[derive(Debug, Clone, Copy)]
struct Level {
    /// In parts: one of what is counted has as many as the rate's time has microseconds.
    parts: i128,
    at: Instant,
}

impl Level {
    fn full(rate: Option<Rate>, most: Option<u64>, now: Instant) -> Level {
        Level { parts: rate.map_or(0, |rate| parts(most.unwrap_or(rate.amount), rate)), at: now }
    }

    /// Fills up to now.
    fn fill(&mut self, rate: Rate, most: Option<u64>, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_micros();
        let gained = passed.saturating_mul(u128::from(rate.amount));
        let gained = i128::try_from(gained).unwrap_or(i128::MAX);
        let most = parts(most.unwrap_or(rate.amount), rate);
        self.parts = self.parts.saturating_add(gained).min(most);
        self.at = now;
    }

    /// Whole seconds until there are so many parts.
    fn wait_s(&self, wanted: i128, rate: Rate) -> u64 {
        let micros = wanted.saturating_sub(self.parts).max(0) / i128::from(rate.amount.max(1));
        u64::try_from(micros / 1_000_000 + 1).unwrap_or(u64::MAX)
    }
}

/// One of what a rate counts.
fn one(rate: Rate) -> i128 {
    i128::from(rate.per_ms) * 1_000
}

fn parts(amount: u64, rate: Rate) -> i128 {
    i128::from(amount) * one(rate)
}

impl Account {
    fn new(cap: &Arc<Cap>, now: Instant) -> Account {
        let limits = &cap.limits;
        Account {
            requests: Level::full(limits.rate, limits.burst.map(u64::from), now),
            bytes: Level::full(limits.bytes, None, now),
            running: 0,
            cap: Arc::clone(cap),
        }
    }

    fn fill(&mut self, now: Instant) {
        let limits = &self.cap.limits;
        if let Some(rate) = limits.rate {
            self.requests.fill(rate, limits.burst.map(u64::from), now);
        }
        if let Some(rate) = limits.bytes {
            self.bytes.fill(rate, None, now);
        }
    }

    /// Whether one more request may begin.
    fn admits(&self) -> Result<(), (Refusal, u64)> {
        let limits = &self.cap.limits;
        if limits.concurrent.is_some_and(|most| self.running >= most) {
            return Err((Refusal::WhoConcurrent, 1));
        }
        if let Some(rate) = limits.rate
            && self.requests.parts < one(rate)
        {
            return Err((Refusal::WhoRate, self.requests.wait_s(one(rate), rate)));
        }
        if let Some(rate) = limits.bytes
            && self.bytes.parts <= 0
        {
            return Err((Refusal::WhoBytes, self.bytes.wait_s(1, rate)));
        }
        Ok(())
    }

    /// Whether a new one would be no different.
    fn is_full(&self) -> bool {
        let limits = &self.cap.limits;
        let full = |level: &Level, rate: Option<Rate>, most: Option<u64>| {
            rate.is_none_or(|rate| level.parts >= parts(most.unwrap_or(rate.amount), rate))
        };
        self.running == 0
            && full(&self.requests, limits.rate, limits.burst.map(u64::from))
            && full(&self.bytes, limits.bytes, None)
    }
}

impl Caps {
    /// Takes a place for one more request of `uid` with each of these, or says why there is none.
    pub(super) fn enter(
        self: &Arc<Caps>,
        uid: u32,
        caps: &[Arc<Cap>],
        now: Instant,
    ) -> Result<Option<Holding>, Over> {
        if caps.is_empty() {
            return Ok(None);
        }
        let mut accounts = self.accounts();
        accounts.tidy(now);
        for cap in caps {
            if let Err((refusal, retry_s)) = accounts.of(uid, cap, now).admits() {
                return Err(Over { refusal, cap: Arc::clone(cap), retry_s });
            }
        }
        // Only where all of them have room is anything taken from one.
        for cap in caps {
            let account = accounts.of(uid, cap, now);
            account.running += 1;
            if let Some(rate) = cap.limits.rate {
                account.requests.parts -= one(rate);
            }
        }
        Ok(Some(Holding { shared: Arc::clone(self), uid, caps: caps.into() }))
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        // Counts stay counts whatever panicked beside them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts {
    fn of(&mut self, uid: u32, cap: &Arc<Cap>, now: Instant) -> &mut Account {
        let account =
            self.by_whom.entry((uid, Arc::clone(&cap.by))).or_insert_with(|| Account::new(cap, now));
        if account.cap.limits != cap.limits {
            // Another policy: what runs goes on to count.
            *account = Account { running: account.running, ..Account::new(cap, now) };
        }
        account.fill(now);
        account
    }

    fn tidy(&mut self, now: Instant) {
        self.admitted += 1;
        if self.admitted.is_multiple_of(SWEEP) {
            self.by_whom.retain(|_, account| {
                account.fill(now);
                !account.is_full()
            });
        }
    }
}

/// One request's place; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Holding {
    shared: Arc<Caps>,
    uid: u32,
    caps: Box<[Arc<Cap>]>,
}

impl Holding {
    /// Takes bytes that went by. Whether that was too much.
    pub(super) fn spend(&self, bytes: u64, now: Instant) -> bool {
        let mut accounts = self.shared.accounts();
        let mut over = false;
        for cap in &self.caps {
            let Some(rate) = cap.limits.bytes else { continue };
            let account = accounts.of(self.uid, cap, now);
            account.bytes.parts = account.bytes.parts.saturating_sub(parts(bytes, rate));
            over |= account.bytes.parts < 0;
        }
        over
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let mut accounts = self.shared.accounts();
        for cap in &self.caps {
            if let Some(account) = accounts.by_whom.get_mut(&(self.uid, Arc::clone(&cap.by))) {
                account.running = account.running.saturating_sub(1);
            }
        }
    }
}

/// The smallest body that one of these lets through, and whose it is.
pub(super) fn tightest_body(caps: &[Arc<Cap>]) -> Option<(u64, &Arc<Cap>)> {
    caps.iter().filter_map(|cap| Some((cap.limits.body?, cap))).min_by_key(|(most, _)| *most)
}

/// What a body is recorded as that is too long for this one.
pub(super) fn body_over(cap: &Arc<Cap>) -> Over {
    Over { refusal: Refusal::WhoBody, cap: Arc::clone(cap), retry_s: Duration::ZERO.as_secs() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::WhoLimits;

    fn cap(by: &str, limits: WhoLimits) -> Arc<Cap> {
        Arc::new(Cap { by: by.into(), at: "p:1".into(), limits })
    }

    fn rate(amount: u64, per_ms: u64) -> Option<Rate> {
        Some(Rate { amount, per_ms })
    }

    fn enter(caps: &Arc<Caps>, uid: u32, who: &[Arc<Cap>], now: Instant) -> Result<Option<Holding>, String> {
        caps.enter(uid, who, now)
            .map_err(|over| format!("{} by {} in {}", over.refusal, over.cap.by, over.retry_s))
    }

    #[test]
    fn rate_lets_a_burst_through_and_then_what_time_brings() {
        let (caps, now) = (Arc::<Caps>::default(), Instant::now());
        let limits = WhoLimits { rate: rate(2, 1_000), burst: Some(3), ..WhoLimits::default() };
        let ci = [cap("who.ci", limits)];
        let later = |ms| now + Duration::from_millis(ms);
        let admitted = |ms: u64| (0..9).filter(|_| enter(&caps, 7, &ci, later(ms)).is_ok()).count();
        assert_eq!([admitted(0), admitted(499), admitted(500), admitted(60_000)], [3, 0, 1, 3]);
        assert_eq!(enter(&caps, 7, &ci, later(60_000)).unwrap_err(), "who-rate by who.ci in 1");
        assert!(enter(&caps, 8, &ci, later(60_000)).is_ok(), "another uid has its own");
    }

    #[test]
    fn slow_rate_says_when_there_is_one_again() {
        let (caps, now) = (Arc::<Caps>::default(), Instant::now());
        let ci = [cap("who.ci", WhoLimits { rate: rate(2, 3_600_000), ..WhoLimits::default() })];
        assert!((0..2).all(|_| enter(&caps, 7, &ci, now).is_ok()));
        assert_eq!(enter(&caps, 7, &ci, now).unwrap_err(), "who-rate by who.ci in 1801");
    }

    #[test]
    fn places_are_given_back_and_the_tightest_who_counts() {
        let (caps, now) = (Arc::<Caps>::default(), Instant::now());
        let at_once = |most| WhoLimits { concurrent: Some(most), ..WhoLimits::default() };
        let both = [cap("who.all", at_once(3)), cap("who.ci", at_once(1))];
        let first = enter(&caps, 7, &both, now).unwrap();
        assert_eq!(enter(&caps, 7, &both, now).unwrap_err(), "who-concurrent by who.ci in 1");
        // Who is not `ci` on its other connection has the other two places: the refused one took none.
        let others: Vec<_> = (0..2).map(|_| enter(&caps, 7, &both[..1], now).unwrap()).collect();
        assert_eq!(enter(&caps, 7, &both[..1], now).unwrap_err(), "who-concurrent by who.all in 1");
        drop((first, others));
        assert!(enter(&caps, 7, &both, now).is_ok());
    }

    #[test]
    fn bytes_may_be_overdrawn_once_and_come_back_with_time() {
        let (caps, now) = (Arc::<Caps>::default(), Instant::now());
        let ci = [cap("who.ci", WhoLimits { bytes: rate(1_000, 1_000), ..WhoLimits::default() })];
        let request = enter(&caps, 7, &ci, now).unwrap().unwrap();
        assert!(!request.spend(1_000, now));
        assert!(request.spend(2_000, now));
        drop(request);
        assert_eq!(enter(&caps, 7, &ci, now).unwrap_err(), "who-bytes by who.ci in 3");
        assert!(enter(&caps, 7, &ci, now + Duration::from_millis(2_001)).is_ok());
    }

    #[test]
    fn other_limits_of_a_who_begin_anew_and_keep_what_runs() {
        let (caps, now) = (Arc::<Caps>::default(), Instant::now());
        let ci = |most| [cap("who.ci", WhoLimits { concurrent: Some(most), ..WhoLimits::default() })];
        let _first = enter(&caps, 7, &ci(1), now).unwrap();
        let _second = enter(&caps, 7, &ci(2), now).unwrap();
        assert!(enter(&caps, 7, &ci(2), now).is_err());
    }

    #[test]
    fn accounts_that_are_full_again_are_forgotten() {
        let (caps, now) = (Arc::<Caps>::default(), Instant::now());
        let ci = [cap("who.ci", WhoLimits { rate: rate(1, 1_000), ..WhoLimits::default() })];
        for uid in 0..u32::try_from(SWEEP).unwrap() - 1 {
            assert!(enter(&caps, uid, &ci, now).is_ok());
        }
        assert!(enter(&caps, 0, &ci, now + Duration::from_secs(1)).is_ok());
        assert_eq!(caps.accounts().by_whom.len(), 1);
    }
}
