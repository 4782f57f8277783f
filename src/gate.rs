//! The gate: reads what callers send, asks the policy, writes the record, forwards what was judged. One process
//! a caller uid, without any privilege: no open, no socket, no connect, no exec, no sendmsg.
//!
//! # A request's journey, in travel order
//!
//! | step | where | what |
//! |---|---|---|
//! | connection | `connection` | a socket and its `Caller` arrive from the warden |
//! | head | [`head`], `guard` | the strict reading; hyper sees only what it wrote |
//! | lookup, permit | `journey` | the policy makes a `Permit`, or a denial |
//! | record | `record`, `recorded` | the permit becomes a `Recorded` once it is in the log, as durable as its route asks |
//! | refuse | `answer` | what may not pass is answered by name |
//! | send | `backend` | the warden connects, the rebuilt request leaves |
//! | settle | `connection` | what became of it is recorded |
//!
//! A gate is some lanes, each a thread with a channel to the warden, a log segment, and a runtime of its own;
//! lanes share what is counted by uid and who, and nothing else.

mod answer;
mod backend;
mod budget;
mod caps;
mod connection;
mod deadline;
mod durable;
mod guard;
pub mod head;
mod interim;
mod journey;
mod lane;
mod record;
mod recorded;
mod stream;
mod tunnel;

#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::sync::Arc;

use caps::Caps;

use crate::confine::{self, Plan, Terms};
use crate::model::clock::Clock;
use crate::model::posture::Confinement;
use crate::sys;
use crate::wire::channel::Channel;

/// What the lanes of a gate have in common.
#[derive(Debug, Default)]
struct Shared {
    /// What the process found when it read itself back.
    confined: Confinement,
    /// What its callers use by the limits of whos.
    caps: Arc<Caps>,
    /// The latest instant that one of them has seen.
    clock: Arc<Clock>,
}

/// Runs a gate of `lanes` lanes: descriptors 3 on are the lanes' channels, the one after them is the pipe that
/// diagnostics go to.
///
/// Confines itself before there is a second thread: what a runtime starts later inherits it.
pub fn run(lanes: u16, terms: &Terms) -> ExitCode {
    let Ok(given) = sys::process::inherited(usize::from(lanes) + 1) else { return ExitCode::from(2) };
    let mut given = given.into_iter();
    let channels: Vec<Channel> = given.by_ref().take(usize::from(lanes)).map(Channel::from).collect();
    if crate::diagnostics::start("gate", given.next(), "info", false).is_err() {
        return ExitCode::from(2);
    }
    // Its stderr leads nowhere: what it has to say goes through the pipe.
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    let shared = match confine::enter(&Plan::gate(None, terms), terms, &[]) {
        Ok(confined) => Arc::new(Shared { confined, ..Shared::default() }),
        Err(missing) => {
            tracing::error!("{missing}");
            return ExitCode::FAILURE;
        }
    };
    let mut threads = Vec::new();
    let mut channels = channels.into_iter();
    let first = channels.next();
    for channel in channels {
        let shared = Arc::clone(&shared);
        match std::thread::Builder::new().name("lane".to_owned()).spawn(move || lane::run(channel, shared)) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                tracing::error!("a lane can't be started: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    let mut well = first.is_some_and(|channel| ended_well(lane::run(channel, shared)));
    for thread in threads {
        well &= thread.join().is_ok_and(ended_well);
    }
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn ended_well(lane: std::io::Result<()>) -> bool {
    lane.is_ok()
}
