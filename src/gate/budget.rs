//! What one uid may cost a lane: decisions and record bytes a second, and how many identical denials get a
//! record of their own before they are counted together.
//!
//! A gate serves one uid, but a shared one serves many: every budget is kept by uid. Buckets refill by the
//! lane's clock and hold at most one second's worth.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::limits::Limits;
use crate::model::refusal::Refusal;
use crate::model::time::Timestamp;

/// A bucket of tokens that refills with time.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: u64,
    filled_us: u64,
}

impl Bucket {
    /// Takes `cost` tokens, if they are there; a bucket holds and gains `rate` a second.
    fn take(&mut self, cost: u64, rate: u64, now_us: u64) -> bool {
        let gained = u128::from(now_us.saturating_sub(self.filled_us)) * u128::from(rate) / 1_000_000;
        if gained > 0 {
            self.tokens = self.tokens.saturating_add(u64::try_from(gained).unwrap_or(u64::MAX));
            self.filled_us = now_us;
        }
        self.tokens = self.tokens.min(rate);
        match self.tokens.checked_sub(cost) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }
}

/// Denials of one kind that were answered but not recorded one by one.
#[derive(Debug, Clone)]
pub(super) struct Repeated {
    /// The caller's uid.
    pub uid: u32,
    /// The listener's place.
    pub listener: u16,
    /// The route that matched, if one did.
    pub route: Option<Arc<str>>,
    /// What they were refused for.
    pub refusal: Refusal,
    /// How many.
    pub count: u64,
    /// The first one's time.
    pub first: Timestamp,
    /// The last one's time.
    pub last: Timestamp,
}

#[derive(Debug)]
struct Account {
    decisions: Bucket,
    bytes: Bucket,
    denials: Bucket,
}

impl Account {
    fn last_us(&self) -> u64 {
        self.decisions.filled_us.max(self.denials.filled_us)
    }
}

/// How a denial is to be written down.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denying {
    /// By a record of its own.
    Record,
    /// It was added to a count that is recorded within a second.
    Counted,
}

/// The budgets of one lane.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    accounts: HashMap<u32, Account>,
    repeated: Vec<Repeated>,
}

impl Budgets {
    fn account(&mut self, uid: u32, limits: &Limits, now: Timestamp) -> &mut Account {
        let full = |tokens| Bucket { tokens, filled_us: now.micros() };
        self.accounts.entry(uid).or_insert_with(|| Account {
            decisions: full(u64::from(limits.decisions_per_s)),
            bytes: full(limits.log_bytes_per_s),
            denials: full(u64::from(limits.denials_per_s)),
        })
    }

    /// Whether `uid` may have one more decision now, at `log_bytes` of records.
    #[must_use]
    pub(super) fn admit(
        &mut self,
        uid: u32,
        stranger: bool,
        log_bytes: u64,
        limits: &Limits,
        now: Timestamp,
    ) -> bool {
        let rate = if stranger { limits.stranger_decisions_per_s } else { limits.decisions_per_s };
        let bytes = limits.log_bytes_per_s;
        let account = self.account(uid, limits, now);
        account.decisions.take(1, u64::from(rate), now.micros())
            && account.bytes.take(log_bytes, bytes, now.micros())
    }

    /// Says how a denial is to be written down, and counts it where it gets no record of its own.
    pub(super) fn deny(
        &mut self,
        uid: u32,
        listener: u16,
        route: Option<&Arc<str>>,
        refusal: Refusal,
        limits: &Limits,
        now: Timestamp,
    ) -> Denying {
        let rate = u64::from(limits.denials_per_s);
        if self.account(uid, limits, now).denials.take(1, rate, now.micros()) {
            return Denying::Record;
        }
        let same = |r: &&mut Repeated| {
            r.uid == uid && r.listener == listener && r.refusal == refusal && r.route.as_ref() == route
        };
        match self.repeated.iter_mut().find(same) {
            Some(repeated) => {
                repeated.count += 1;
                repeated.last = now;
            }
            None => self.repeated.push(Repeated {
                uid,
                listener,
                route: route.cloned(),
                refusal,
                count: 1,
                first: now,
                last: now,
            }),
        }
        Denying::Counted
    }

    /// What was counted since the last call, for `repeat` records. Accounts that nobody used for a minute go:
    /// a bucket is full again long before.
    #[must_use]
    pub(super) fn take_repeated(&mut self, now: Timestamp) -> Vec<Repeated> {
        const KEPT_US: u64 = 60_000_000;
        self.accounts.retain(|_, account| now.micros().saturating_sub(account.last_us()) < KEPT_US);
        std::mem::take(&mut self.repeated)
    }

    /// Puts back what could not be recorded.
    pub(super) fn keep_repeated(&mut self, repeated: Vec<Repeated>) {
        self.repeated.extend(repeated);
    }

    /// Whether anything waits to be recorded.
    #[must_use]
    pub(super) fn has_repeated(&self) -> bool {
        !self.repeated.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_micros(1_000_000 + ms * 1_000)
    }

    #[test]
    fn deny_beyond_the_rate_counts_by_kind_and_keeps_first_and_last() {
        let limits = Limits { denials_per_s: 2, ..Limits::default() };
        let mut budgets = Budgets::default();
        let mut deny = |refusal, ms| budgets.deny(7, 0, None, refusal, &limits, at(ms));
        assert_eq!(deny(Refusal::NoRoute, 0), Denying::Record);
        assert_eq!(deny(Refusal::NoRoute, 1), Denying::Record);
        assert_eq!(deny(Refusal::NoRoute, 2), Denying::Counted);
        assert_eq!(deny(Refusal::NoRoute, 3), Denying::Counted);
        assert_eq!(deny(Refusal::HostTwice, 4), Denying::Counted);
        let repeated = budgets.take_repeated(at(5));
        let brief: Vec<_> = repeated.iter().map(|r| (r.refusal, r.count, r.first, r.last)).collect();
        assert_eq!(brief, [(Refusal::NoRoute, 2, at(2), at(3)), (Refusal::HostTwice, 1, at(4), at(4))]);
        assert!(!budgets.has_repeated());
    }

    #[test]
    fn deny_after_a_while_gets_records_again() {
        let limits = Limits { denials_per_s: 1, ..Limits::default() };
        let mut budgets = Budgets::default();
        assert_eq!(budgets.deny(7, 0, None, Refusal::NoRoute, &limits, at(0)), Denying::Record);
        assert_eq!(budgets.deny(7, 0, None, Refusal::NoRoute, &limits, at(500)), Denying::Counted);
        assert_eq!(budgets.deny(7, 0, None, Refusal::NoRoute, &limits, at(1_600)), Denying::Record);
    }

    #[test]
    fn admit_one_uid_at_its_limit_leaves_another_untouched() {
        let limits = Limits { decisions_per_s: 3, stranger_decisions_per_s: 1, ..Limits::default() };
        let mut budgets = Budgets::default();
        let admitted = (0..5).filter(|_| budgets.admit(1, false, 100, &limits, at(0))).count();
        assert_eq!(admitted, 3);
        assert!(budgets.admit(2, false, 100, &limits, at(0)));
    }

    #[test]
    fn admit_log_bytes_are_a_budget_too() {
        let limits = Limits { log_bytes_per_s: 1_000, ..Limits::default() };
        let mut budgets = Budgets::default();
        let admitted = (0..10).filter(|_| budgets.admit(1, false, 400, &limits, at(0))).count();
        assert_eq!(admitted, 2);
    }
}
