//! How an exchange that was allowed came to its end.

use serde::{Deserialize, Serialize};

use super::refusal::Refusal;

/// The end of an exchange; its [`Outcome::code`] stands in the outcome record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// The whole answer was handed to the caller's socket.
    Completed,
    /// A tunnel (101) ran and both sides ended it.
    TunnelClosed,
    /// The caller left before the answer was whole.
    CallerGone,
    /// It failed by name; the caller got that refusal's status where no answer had begun.
    Failed(Refusal),
    /// The daemon was stopped and the drain limit passed.
    Stopped,
    /// A reload took the grant away from a running stream.
    RefusedByReload,
    /// Its gate died; the scribe says so, who knows nothing more of it.
    GateDied,
    /// The daemon, or the machine, ended under it; the next start's scribe says so.
    KilledByRestart,
}

impl Outcome {
    /// The stable name in records.
    pub fn code(self) -> &'static str {
        match self {
            Outcome::Completed => "completed",
            Outcome::TunnelClosed => "tunnel-closed",
            Outcome::CallerGone => "caller-gone",
            Outcome::Failed(refusal) => refusal.code(),
            Outcome::Stopped => "stopped",
            Outcome::RefusedByReload => "refused-by-reload",
            Outcome::GateDied => "gate-died",
            Outcome::KilledByRestart => "killed-by-restart",
        }
    }
}
