//! The end: stop accepting, let what runs finish within a limit, close the log, go.

use std::process::ExitCode;
use std::time::Duration;

use super::signals::Asked;
use super::{Due, Warden};
use crate::wire::message::ToScribe;

/// What gates get beyond the limit that they were told, to say that they are done.
const GRACE: Duration = Duration::from_secs(2);
/// The scribe gets this long to sync and close.
const CLOSE: Duration = Duration::from_secs(10);

/// Where the daemon is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nobody is let in yet.
    Starting,
    /// It serves.
    Serving,
    /// Nobody comes in any more; gates finish.
    Draining,
    /// The gates are gone; the scribe closes the log.
    Closing,
    /// All is closed; the scribe writes the last diagnostics and leaves.
    Closed,
    /// All is done; whether everything was recorded and closed.
    Over {
        /// It was.
        whole: bool,
    },
}

impl Phase {
    /// Nothing is left to do.
    pub(super) fn is_over(self) -> bool {
        matches!(self, Phase::Over { .. })
    }
}

impl Warden {
    /// Reads the signals that came.
    pub(super) fn take_signals(&mut self) {
        loop {
            match self.signals.next() {
                Ok(Some(Asked::Stop)) => self.stop(),
                Ok(Some(Asked::Reload)) if self.phase == Phase::Serving => self.reload(None),
                Ok(Some(Asked::Reload)) => {}
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(%error, "signals can't be read, the daemon stops");
                    return self.stop();
                }
            }
        }
    }

    /// The first request to stop drains; the second one ends at once.
    fn stop(&mut self) {
        if self.phase != Phase::Serving {
            tracing::warn!("asked again to stop: the daemon ends at once");
            self.phase = Phase::Over { whole: false };
            return;
        }
        tracing::info!("the daemon stops: nobody comes in any more, what runs may finish");
        // Who was let in in this very round goes to a gate like everybody before.
        self.settle();
        self.phase = Phase::Draining;
        self.notify.stopping();
        self.end_probe();
        self.end_reload();
        self.close_listeners();
        let limit = Duration::from_millis(self.force.policy.limits.drain_ms.into());
        // Who waits for a gate that died lately is not begun with.
        for number in self.connections.numbers() {
            if self.connections.get(number).is_some_and(|connection| connection.lane.is_none()) {
                self.cut(number);
            }
        }
        let gates: Vec<u32> = self.roster.gates().map(|(number, _)| number).collect();
        gates.into_iter().for_each(|gate| self.send_away(gate, limit));
        self.timers.after(limit + GRACE, Due::DrainLimit);
        self.gate_gone();
    }

    /// Goes on to close once the last gate, and a role that tries something, is gone.
    pub(super) fn gate_gone(&mut self) {
        let gone = self.roster.gates().next().is_none() && !self.is_probing();
        if self.phase != Phase::Draining || !gone {
            return;
        }
        // Only now: what the gates let finish, the apps answer.
        self.dismiss_apps();
        if self.apps.are_gone() {
            self.close();
        }
    }

    /// What still runs is cut.
    pub(super) fn drain_timed_out(&mut self) {
        if self.phase == Phase::Draining {
            let gates: Vec<u32> = self.roster.gates().map(|(number, _)| number).collect();
            gates.into_iter().for_each(|gate| self.kill_gate(gate));
        }
    }

    /// The last records are written, then the scribe closes the log. Nothing is noted behind that.
    fn close(&mut self) {
        self.write_repeats();
        self.explain_violations();
        self.detach_commands();
        self.settle();
        self.record.close();
        self.phase = Phase::Closing;
        let own = self.record.segment().to_owned();
        self.finished(&own);
        if !self.scribe.is_running()
            && let Err(error) = self.start_scribe()
        {
            tracing::error!(%error, "the scribe can't be started");
        }
        self.timers.after(CLOSE, Due::CloseLimit);
        self.have_it_closed();
    }

    fn have_it_closed(&mut self) {
        if self.scribe.is_running() {
            self.tell_scribe(ToScribe::Close, Vec::new());
        } else {
            tracing::error!("the scribe is not there to close the log");
            self.phase = Phase::Over { whole: false };
        }
    }

    /// The scribe said that all is closed. Its process is still to end, as ours does after it: whoever looks after
    /// this service finds nothing left to kill, and the last lines of all roles are written.
    pub(super) fn closed(&mut self) {
        if self.phase == Phase::Closing {
            self.phase = Phase::Closed;
        }
    }

    /// The scribe's process ended while the daemon does. One that has not closed the log is followed by one more: who
    /// stops a daemon may signal all its processes at once.
    pub(super) fn scribe_left(&mut self) {
        if self.phase == Phase::Closing && !std::mem::replace(&mut self.scribe.followed, true) {
            if let Err(error) = self.start_scribe() {
                tracing::error!(%error, "the scribe can't be started");
            }
            return self.have_it_closed();
        }
        self.phase = Phase::Over { whole: self.phase == Phase::Closed };
    }

    /// The scribe takes too long.
    pub(super) fn close_timed_out(&mut self) {
        match self.phase {
            Phase::Closing => {
                tracing::error!("the scribe did not close the log in time");
                self.phase = Phase::Over { whole: false };
            }
            Phase::Closed => {
                self.scribe.kill();
                self.release_scribes_last();
                self.phase = Phase::Over { whole: true };
            }
            Phase::Starting | Phase::Serving | Phase::Draining | Phase::Over { .. } => {}
        }
    }

    /// Ends what is left of the other roles; the sockets' names go with the listeners.
    pub(super) fn farewell(mut self) -> ExitCode {
        self.close_listeners();
        self.last_words();
        let gates: Vec<u32> = self.roster.gates().map(|(number, _)| number).collect();
        gates.into_iter().for_each(|gate| self.kill_gate(gate));
        if self.phase == (Phase::Over { whole: true }) {
            return ExitCode::SUCCESS;
        }
        self.kill_apps();
        self.scribe.kill();
        ExitCode::FAILURE
    }

    /// Tells the service manager that we are there.
    pub(super) fn feed_watchdog(&mut self) {
        if let Some(interval) = self.watchdog {
            self.notify.watchdog();
            self.timers.after(interval, Due::Watchdog);
        }
    }
}
