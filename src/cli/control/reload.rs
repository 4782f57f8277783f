//! `peergate reload`: the policy's file loaded again by the daemon, and what that changes.

use std::os::fd::{AsFd, OwnedFd};

use clap::Args;

use super::changes::{self, Change};
use super::{Socket, ask_whole, strange};
use crate::cli::term::Term;
use crate::cli::{Answer, Failure, Format};
use crate::policy::Policy;
use crate::sys::memfd;
use crate::wire::channel;
use crate::wire::message::{ControlReply, ControlRequest};

/// As the daemon's own bound.
const POLICY_MAX: usize = 64 << 20;

/// Which daemon, and whether it is meant.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    daemon: Socket,
    /// Only says what would change: the daemon loads and judges the file, and leaves what is in force
    #[arg(long)]
    dry_run: bool,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Has the policy loaded again, and waits for how it ends. No: the old one stays in force.
///
/// # Errors
///
/// There is no daemon, it does not answer us, or the output can't be written.
pub fn reload(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let request = if arguments.dry_run { ControlRequest::TryReload } else { ControlRequest::Reload };
    let (reply, memories) = ask_whole(&arguments.daemon.path(), &request)?;
    let json = arguments.format == Format::Json;
    match reply {
        ControlReply::Refused { why } => {
            if json {
                term.line(
                    serde_json::json!({ "reloaded": false, "dry_run": arguments.dry_run, "why": why }),
                )?;
            } else {
                term.complain(why);
            }
            Ok(Answer::No)
        }
        ControlReply::Reloaded { old, new } | ControlReply::Tried { old, new } => {
            let changes = changes(memories)?;
            if json {
                term.line(serde_json::json!({
                    "reloaded": !arguments.dry_run,
                    "dry_run": arguments.dry_run,
                    "old": old,
                    "new": new,
                    "changes": changes.iter().map(Change::json).collect::<Vec<_>>(),
                }))?;
            } else {
                show(arguments.dry_run, &old, &new, &changes, term)?;
            }
            Ok(Answer::Yes)
        }
        _ => Err(strange()),
    }
}

/// What the two policies differ in.
fn changes(memories: Vec<OwnedFd>) -> Result<Vec<Change>, Failure> {
    let what = || Failure::at("can't read the policies that the daemon shows");
    let [old, new] = channel::exactly::<2>(memories).map_err(what())?;
    let read = |memory: OwnedFd| -> Result<Policy, Failure> {
        let bytes = memfd::read_sealed(memory.as_fd(), POLICY_MAX).map_err(what())?;
        Policy::from_bytes(&bytes).map_err(|broken| Failure::Because(broken.to_string()))
    };
    Ok(changes::between(&read(old)?, &read(new)?))
}

fn show(dry_run: bool, old: &str, new: &str, changes: &[Change], term: &mut Term) -> Result<(), Failure> {
    match (old == new, dry_run) {
        (true, true) => term.line(format!("the file says what is in force: {new}"))?,
        (true, false) => term.line(format!("loaded again, and the same: {new}"))?,
        (false, true) => term.line(format!("would be in force: {new} (now: {old})"))?,
        (false, false) => term.line(format!("in force: {new} (before: {old})"))?,
    }
    if changes.is_empty() && old != new {
        term.line("no grant and no forbid changes")?;
    }
    changes.iter().try_for_each(|change| term.line(change))
}
