//! Who waits for a turn of a command of which as many run as may.

use std::collections::{HashMap, VecDeque};

use super::Wish;
use crate::model::refusal::Refusal;
use crate::policy::Command;
use crate::warden::Warden;
use crate::warden::poll::LaneId;

/// Those that wait, by the backend's name.
#[derive(Default)]
pub(super) struct Line {
    waiting: HashMap<String, VecDeque<(LaneId, Wish)>>,
}

impl Line {
    /// At its end.
    pub(super) fn join(&mut self, backend: String, lane: LaneId, wish: Wish) {
        self.waiting.entry(backend).or_default().push_back((lane, wish));
    }

    /// At its head, where it stood before.
    pub(super) fn stay(&mut self, backend: String, lane: LaneId, wish: Wish) {
        self.waiting.entry(backend).or_default().push_front((lane, wish));
    }

    /// Whatever waits for this connection waits no more.
    pub(super) fn leave(&mut self, connection: u64) {
        self.waiting.retain(|_, waiting| {
            waiting.retain(|(_, wish)| wish.asked.connection != connection);
            !waiting.is_empty()
        });
    }

    fn first(&mut self, backend: &str) -> Option<(LaneId, Wish)> {
        let waiting = self.waiting.get_mut(backend)?;
        let first = waiting.pop_front();
        if waiting.is_empty() {
            self.waiting.remove(backend);
        }
        first
    }

    /// Whether something waits for this connection.
    fn holds(&self, connection: u64) -> bool {
        self.waiting.values().flatten().any(|(_, wish)| wish.asked.connection == connection)
    }

    fn length(&self, backend: &str) -> usize {
        self.waiting.get(backend).map_or(0, VecDeque::len)
    }
}

/// Runners whose commands have ended, and which still send what those said, that one user may have. Beyond it no command
/// runs for that user: answers that nobody reads hold no turn, and each has a process.
const SENDING: usize = 32;

/// Where a wish stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stands {
    /// It has just come.
    New,
    /// It was the first of those that wait.
    First,
}

/// Whose it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Of {
    pub(super) uid: u32,
    pub(super) connection: u64,
}

/// Whether there is a turn.
pub(super) enum Turn {
    Now,
    Later,
}

impl Warden {
    /// Those that wait for this command have their turns, as many as there are; each is judged again, by the policy in
    /// force. One that is refused then takes no turn, and nobody stands behind it for nothing.
    pub(super) fn next_of(&mut self, backend: &str) {
        while let Some((lane, wish)) = self.commands.line.first(backend) {
            let connection = self.connections.get(wish.asked.connection);
            let is_there = connection.is_some_and(|found| found.lane == Some(lane));
            if is_there && matches!(self.run_or_wait(lane, wish, Stands::First), Turn::Later) {
                return;
            }
        }
    }

    /// Whether there is a turn for one more of these, now or later. Who has just come goes behind those who wait; for one
    /// connection no more than one waits.
    pub(super) fn turn(
        &self,
        named: &str,
        command: &Command,
        of: Of,
        stands: Stands,
    ) -> Result<Turn, Refusal> {
        if self.commands.sending.values().filter(|sending| sending.uid == of.uid).count() >= SENDING {
            return Err(Refusal::CommandBusy);
        }
        let most = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        let (waiting, is_first) = (self.commands.line.length(named), stands == Stands::First);
        if self.commands.running(named) < most(command.concurrent) && (is_first || waiting == 0) {
            Ok(Turn::Now)
        } else if is_first || waiting < most(command.queue) && !self.commands.line.holds(of.connection) {
            Ok(Turn::Later)
        } else {
            Err(Refusal::CommandBusy)
        }
    }
}
