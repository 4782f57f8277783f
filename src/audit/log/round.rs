//! One round: the records that go out in one write, what became of them, and who waits for it.

use std::cell::{Cell, RefCell};
use std::task::Waker;

use super::Unwritable;
use super::sync::Position;

/// What became of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Fate {
    /// Not written yet.
    #[default]
    Pending,
    /// In the file, up to here.
    Written(Position),
    /// It never will be.
    Lost(Unwritable),
}

/// Shared by the log and the notes of the round, so that a late waiter still learns what became of it when
/// the log is further on, or gone.
#[derive(Debug, Default)]
pub(super) struct Round {
    fate: Cell<Fate>,
    waiters: RefCell<Vec<Option<Waker>>>,
}

impl Round {
    pub(super) fn fate(&self) -> Fate {
        self.fate.get()
    }

    pub(super) fn settle(&self, fate: Fate) {
        self.fate.set(fate);
    }

    /// Registers a waiter, again under its old `slot` where it has one; the slot it has now.
    pub(super) fn wait(&self, slot: Option<usize>, waker: &Waker) -> usize {
        let mut waiters = self.waiters.borrow_mut();
        match slot.and_then(|slot| waiters.get_mut(slot).map(|place| (slot, place))) {
            Some((slot, place)) => {
                *place = Some(waker.clone());
                slot
            }
            None => {
                waiters.push(Some(waker.clone()));
                waiters.len() - 1
            }
        }
    }

    /// Forgets a waiter that was dropped.
    pub(super) fn leave(&self, slot: usize) {
        if let Some(place) = self.waiters.borrow_mut().get_mut(slot) {
            *place = None;
        }
    }

    /// Wakes all who wait.
    pub(super) fn wake(&self) {
        let waiters = self.waiters.take();
        waiters.into_iter().flatten().for_each(Waker::wake);
    }
}
