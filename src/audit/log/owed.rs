//! Outcomes that a segment did not take. What they tell of has happened, so the next segment gets them: a decision
//! must not stand without its outcome because the disk failed in between.

use super::{Log, Unwritable};
use crate::audit::encode;
use crate::audit::entry::{Entry, OutcomeOf};

/// Outcomes on their way. There are no more of them than exchanges: none begins while nothing can be written.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// In the present round, each with where its line ends there.
    noted: Vec<(usize, OutcomeOf)>,
    /// No segment has them.
    lost: Vec<OutcomeOf>,
}

impl Owed {
    /// A round's write has put this many of its bytes into the file.
    pub(super) fn written(&mut self, bytes: usize) {
        let lost = self.noted.drain(..).filter(|(end, _)| *end > bytes).map(|(_, outcome)| outcome);
        self.lost.extend(lost);
    }
}

impl Log {
    /// Notes an outcome, for which nobody waits. Where it can't be written now the log owes it.
    ///
    /// # Errors
    ///
    /// As [`Log::note`]; [`Log::pay`] writes it once it can be.
    pub fn note_outcome(&self, outcome: OutcomeOf) -> Result<(), Unwritable> {
        // A full round flushes by itself, and then knows of this one only if it was told before.
        let noted = self.note_and(
            |n, ts, out| encode::line(&Entry::Outcome(outcome), n, ts, out),
            |state| state.owed.noted.push((state.pending.len(), outcome)),
        );
        noted.inspect_err(|_| self.0.borrow_mut().owed.lost.push(outcome))
    }

    /// Notes what is owed, as far as it can be written now.
    pub fn pay(&self) {
        let owed = std::mem::take(&mut self.0.borrow_mut().owed.lost);
        for outcome in owed {
            // What fails is owed again.
            self.note_outcome(outcome).ok();
        }
    }

    /// Whether any outcome is owed.
    pub fn owes(&self) -> bool {
        !self.0.borrow().owed.lost.is_empty()
    }
}
