//! What a confined role tries from inside, and what comes of it.

use std::fmt;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

/// The role that tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A gate.
    Gate,
    /// A scribe.
    Scribe,
    /// An app of an embedding program.
    App,
    /// A runner, which looks after a command.
    Runner,
}

/// Where in its process it tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The thread that confined itself: a gate's first lane, the scribe's follower, an app's own, a runner's only one.
    First,
    /// A further lane of a gate.
    Lane,
    /// A thread that is started for it: of a gate's or an app's runtime, for what blocks; of the scribe.
    Thread,
}

impl Subject {
    /// Those that every daemon has.
    pub const ALL: [Subject; 2] = [Subject::Gate, Subject::Scribe];

    /// Where it can try.
    #[must_use]
    pub fn places(self) -> &'static [Place] {
        match self {
            Subject::Gate => &[Place::First, Place::Lane, Place::Thread],
            Subject::Scribe | Subject::App => &[Place::First, Place::Thread],
            Subject::Runner => &[Place::First],
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Subject::Gate => "gate",
            Subject::Scribe => "scribe",
            Subject::App => "app",
            Subject::Runner => "runner",
        }
    }
}

impl Place {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Place::First => "first",
            Place::Lane => "lane",
            Place::Thread => "thread",
        }
    }
}

/// What a role that was started for it is to try, to prove that it is confined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Its place in the list of probes.
    pub number: u16,
    /// In which thread.
    pub place: Place,
    /// The warden's pid.
    pub warden: u32,
    /// The pid of another role.
    pub other: u32,
    /// The path of the segment that it writes.
    pub segment: String,
    /// The path of the hash key.
    pub key: String,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Found {
    /// The kernel did it.
    Done,
    /// The kernel answered this errno.
    Errno(i32),
    /// The process died of this signal.
    Signal(i32),
    /// It ended with this exit code.
    Exit(i32),
    /// It said nothing in time, and was ended.
    Silent,
    /// It ended before it could try.
    Unready,
}

impl Found {
    /// The filter killed it (`seccomp(2)`, SECCOMP_RET_KILL_PROCESS).
    pub const KILLED: Found = Found::Signal(nix::libc::SIGSYS);

    /// What a call answered.
    #[must_use]
    pub fn of(answer: Result<(), Errno>) -> Found {
        match answer {
            Ok(()) => Found::Done,
            Err(errno) => Found::Errno(errno as i32),
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Found::Done => f.write_str("done"),
            Found::Errno(errno) => write!(f, "{:?}", Errno::from_raw(errno)),
            Found::Signal(signal) => match Signal::try_from(signal) {
                Ok(name) => f.write_str(name.as_str()),
                Err(_unnamed) => write!(f, "signal {signal}"),
            },
            Found::Exit(code) => write!(f, "exit code {code}"),
            Found::Silent => f.write_str("silence"),
            Found::Unready => f.write_str("never tried"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_is_shown_as_the_kernel_names_it() {
        let all = [
            Found::of(Ok(())),
            Found::of(Err(Errno::EACCES)),
            Found::KILLED,
            Found::Signal(99),
            Found::Exit(3),
            Found::Silent,
            Found::Unready,
        ];
        let shown = all.map(|found| found.to_string());
        assert_eq!(shown, ["done", "EACCES", "SIGSYS", "signal 99", "exit code 3", "silence", "never tried"]);
    }
}
