//! What each uid holds and what it was refused: caps on open connections, and a bound on how many records its
//! refused ones make.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::model::ids::ListenerId;
use crate::model::limits::Limits;
use crate::model::refusal::Refusal;
use crate::model::time::Timestamp;

/// Budgets are counted in windows of this length.
pub(super) const WINDOW: Duration = Duration::from_secs(1);

/// After so many connections the table is tidied.
const SWEEP: u64 = 1024;

/// How a refused connection goes on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// By a record of its own.
    Alone,
    /// Counted, for a `repeat` record at the window's end. `true`: the first one of this kind, so that
    /// someone must look at the window's end.
    Counted(bool),
}

/// Refused connections of one kind without records of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Repeated {
    /// The caller's uid.
    pub(super) uid: u32,
    /// Where it came in.
    pub(super) listener: ListenerId,
    /// Why they were refused.
    pub(super) refusal: Refusal,
    /// How many.
    pub(super) count: u64,
    /// The first one's time.
    pub(super) first: Timestamp,
    /// The last one's time.
    pub(super) last: Timestamp,
}

#[derive(Default)]
struct Held {
    open: u32,
    strangers: u32,
    window: Option<Instant>,
    accepted: u32,
    opened: u32,
    told: u32,
}

/// All uids that hold something or were refused in the present window.
#[derive(Default)]
pub(super) struct Callers {
    held: HashMap<u32, Held>,
    repeated: Vec<Repeated>,
    admitted: u64,
}

impl Callers {
    /// Takes a place for one more connection of `uid`, or says why there is none. A stranger is who no route
    /// of the listener could ever allow.
    pub(super) fn admit(
        &mut self,
        uid: u32,
        stranger: bool,
        limits: &Limits,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.admitted += 1;
        if self.admitted.is_multiple_of(SWEEP) {
            self.forget_idle(now);
        }
        let held = self.held.entry(uid).or_default();
        held.roll(now);
        // Each connection makes a record, so its rate is bounded like that of decisions.
        let rate = if stranger { limits.stranger_decisions_per_s } else { limits.decisions_per_s };
        if held.open >= limits.connections || stranger && held.strangers >= limits.stranger_connections {
            return Err(Refusal::ConnectionLimit);
        }
        if held.accepted >= rate {
            return Err(Refusal::RateLimited);
        }
        held.accepted += 1;
        held.open += 1;
        held.strangers += u32::from(stranger);
        Ok(())
    }

    /// Whether `uid`'s gate may ask for one more backend now; each question makes a record.
    #[must_use]
    pub(super) fn may_open(&mut self, uid: u32, limits: &Limits, now: Instant) -> bool {
        let held = self.held.entry(uid).or_default();
        held.roll(now);
        let may = held.opened < limits.decisions_per_s;
        held.opened += u32::from(may);
        may
    }

    /// Gives a place back.
    pub(super) fn leave(&mut self, uid: u32, stranger: bool) {
        if let Some(held) = self.held.get_mut(&uid) {
            held.open = held.open.saturating_sub(1);
            held.strangers = held.strangers.saturating_sub(u32::from(stranger));
        }
    }

    /// How many uids have connections.
    pub(super) fn present(&self) -> u64 {
        self.held.values().filter(|held| held.open > 0).count() as u64
    }

    /// Says how a refused connection goes on record.
    pub(super) fn refuse(
        &mut self,
        uid: u32,
        listener: ListenerId,
        refusal: Refusal,
        limits: &Limits,
        now: Instant,
    ) -> Told {
        let held = self.held.entry(uid).or_default();
        held.roll(now);
        if held.told < limits.denials_per_s {
            held.told += 1;
            return Told::Alone;
        }
        let at = Timestamp::now();
        let same =
            |kind: &&mut Repeated| kind.uid == uid && kind.listener == listener && kind.refusal == refusal;
        if let Some(kind) = self.repeated.iter_mut().find(same) {
            kind.count += 1;
            kind.last = at;
            return Told::Counted(false);
        }
        let first = self.repeated.is_empty();
        self.repeated.push(Repeated { uid, listener, refusal, count: 1, first: at, last: at });
        Told::Counted(first)
    }

    /// What was counted since the last call. Uids that hold nothing are forgotten.
    pub(super) fn take_repeated(&mut self, now: Instant) -> Vec<Repeated> {
        self.forget_idle(now);
        std::mem::take(&mut self.repeated)
    }

    /// Forgets uids that hold nothing and whose window is over, so that the table does not grow with every
    /// uid that ever came.
    fn forget_idle(&mut self, now: Instant) {
        self.held.retain(|_, held| {
            held.open > 0 || held.window.is_some_and(|begun| now.saturating_duration_since(begun) < WINDOW)
        });
    }
}

impl Held {
    fn roll(&mut self, now: Instant) {
        if self.window.is_none_or(|begun| now.saturating_duration_since(begun) >= WINDOW) {
            self.window = Some(now);
            self.accepted = 0;
            self.opened = 0;
            self.told = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: ListenerId = ListenerId(0);

    fn limits() -> Limits {
        Limits {
            connections: 2,
            stranger_connections: 1,
            denials_per_s: 1,
            stranger_decisions_per_s: 3,
            ..Limits::default()
        }
    }

    #[test]
    fn admit_beyond_the_cap_is_refused_until_one_leaves() {
        let (mut callers, now) = (Callers::default(), Instant::now());
        assert_eq!(callers.admit(7, false, &limits(), now), Ok(()));
        assert_eq!(callers.admit(7, false, &limits(), now), Ok(()));
        assert_eq!(callers.admit(7, false, &limits(), now), Err(Refusal::ConnectionLimit));
        assert_eq!(callers.admit(8, false, &limits(), now), Ok(()), "another uid has its own places");
        callers.leave(7, false);
        assert_eq!(callers.admit(7, false, &limits(), now), Ok(()));
    }

    #[test]
    fn admit_strangers_have_fewer_places_and_a_rate() {
        let (mut callers, now) = (Callers::default(), Instant::now());
        assert_eq!(callers.admit(7, true, &limits(), now), Ok(()));
        assert_eq!(callers.admit(7, true, &limits(), now), Err(Refusal::ConnectionLimit));
        for _ in 0..2 {
            callers.leave(7, true);
            assert_eq!(callers.admit(7, true, &limits(), now), Ok(()));
        }
        callers.leave(7, true);
        assert_eq!(callers.admit(7, true, &limits(), now), Err(Refusal::RateLimited));
        assert_eq!(callers.admit(7, true, &limits(), now + WINDOW), Ok(()));
    }

    #[test]
    fn may_open_is_bounded_by_the_decisions_a_second() {
        let (mut callers, now) = (Callers::default(), Instant::now());
        let limits = Limits { decisions_per_s: 2, ..limits() };
        assert!(callers.may_open(7, &limits, now) && callers.may_open(7, &limits, now));
        assert!(!callers.may_open(7, &limits, now));
        assert!(callers.may_open(8, &limits, now));
        assert!(callers.may_open(7, &limits, now + WINDOW));
    }

    #[test]
    fn refuse_beyond_the_budget_is_counted_and_told_once() {
        let (mut callers, now) = (Callers::default(), Instant::now());
        let mut refuse = |refusal| callers.refuse(7, HERE, refusal, &limits(), now);
        assert_eq!(refuse(Refusal::ConnectionLimit), Told::Alone);
        assert_eq!(refuse(Refusal::ConnectionLimit), Told::Counted(true));
        assert_eq!(refuse(Refusal::ConnectionLimit), Told::Counted(false));
        assert_eq!(refuse(Refusal::OutOfDescriptors), Told::Counted(false));
        let counts: Vec<_> =
            callers.take_repeated(now).iter().map(|kind| (kind.refusal, kind.count)).collect();
        assert_eq!(counts, [(Refusal::ConnectionLimit, 2), (Refusal::OutOfDescriptors, 1)]);
        assert!(callers.take_repeated(now + WINDOW).is_empty());
        assert!(callers.held.is_empty(), "who holds nothing is forgotten");
    }
}
