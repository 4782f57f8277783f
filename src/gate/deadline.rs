//! What a connection waits for, and until when. The lane's sweeper looks at all deadlines twice a second; a
//! connection that waits asks here, each time it is woken, whether its time is up.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::model::refusal::Refusal;

/// What a deadline guards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waiting for a request to begin.
    Idle,
    /// A head is arriving.
    Head,
    /// A body is arriving.
    Body,
    /// The backend has to answer.
    Response,
    /// The caller has to read.
    Write,
    /// The whole exchange.
    Total,
}

impl Phase {
    /// What is said when its time is up.
    pub(super) fn refusal(self) -> Refusal {
        match self {
            Phase::Idle | Phase::Head => Refusal::HeadTimeout,
            Phase::Body => Refusal::BodyTimeout,
            Phase::Response => Refusal::BackendTimeout,
            Phase::Write => Refusal::WriteTimeout,
            Phase::Total => Refusal::TotalTimeout,
        }
    }
}

/// One phase's time.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Time {
    /// Nothing is waited for.
    #[default]
    None,
    /// It runs until then.
    Until(Instant),
    /// It is up, and nobody has been told.
    Up,
}

/// The deadlines of one connection.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    idle: Cell<Time>,
    head: Cell<Time>,
    body: Cell<Time>,
    response: Cell<Time>,
    write: Cell<Time>,
    total: Cell<Time>,
}

impl Deadlines {
    fn of(&self, phase: Phase) -> &Cell<Time> {
        match phase {
            Phase::Idle => &self.idle,
            Phase::Head => &self.head,
            Phase::Body => &self.body,
            Phase::Response => &self.response,
            Phase::Write => &self.write,
            Phase::Total => &self.total,
        }
    }

    /// Begins or renews a deadline.
    pub(super) fn expect(&self, phase: Phase, within_ms: u32) {
        self.of(phase).set(Time::Until(Instant::now() + Duration::from_millis(within_ms.into())));
    }

    /// Begins a deadline unless it runs already, or is up.
    pub(super) fn expect_from_now(&self, phase: Phase, within_ms: u32) {
        if self.of(phase).get() == Time::None {
            self.expect(phase, within_ms);
        }
    }

    /// What was waited for came.
    pub(super) fn lift(&self, phase: Phase) {
        self.of(phase).set(Time::None);
    }

    /// The first of `phases` whose time is up; told once.
    pub(super) fn take_expired(&self, phases: &[Phase]) -> Option<Phase> {
        let phase = phases.iter().copied().find(|phase| self.of(*phase).get() == Time::Up)?;
        self.lift(phase);
        Some(phase)
    }

    /// Whether any time is up by now.
    pub(super) fn look(&self, now: Instant) -> bool {
        let all = [&self.idle, &self.head, &self.body, &self.response, &self.write, &self.total];
        let mut up = false;
        for time in all {
            if matches!(time.get(), Time::Until(at) if now >= at) {
                time.set(Time::Up);
                up = true;
            }
        }
        up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadline_is_up_once_and_only_for_who_asks_for_it() {
        let (deadlines, now) = (Deadlines::default(), Instant::now());
        deadlines.expect(Phase::Total, 10);
        deadlines.expect(Phase::Write, 20);
        assert!(!deadlines.look(now));
        let later = now + Duration::from_secs(1);
        assert!(deadlines.look(later));
        assert!(!deadlines.look(later), "it is told of once");
        assert_eq!(deadlines.take_expired(&[Phase::Body, Phase::Total]), Some(Phase::Total));
        assert_eq!(deadlines.take_expired(&[Phase::Body, Phase::Total]), None);
        deadlines.lift(Phase::Write);
        assert_eq!(deadlines.take_expired(&[Phase::Write]), None, "it came after all");
    }

    #[test]
    fn deadline_from_now_does_not_move_one_that_runs() {
        let (deadlines, now) = (Deadlines::default(), Instant::now());
        deadlines.expect(Phase::Body, 10);
        deadlines.expect_from_now(Phase::Body, 60_000);
        assert!(deadlines.look(now + Duration::from_secs(1)));
    }
}
