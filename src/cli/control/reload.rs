//! `peergate reload`: the policy's file loaded again by the daemon, and what that changes.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::{Socket, ask, ask_whole, strange};
use crate::cli::policy::{diff, lint};
use crate::cli::term::Term;
use crate::cli::{Answer, Failure, Format};
use crate::policy::grants::{self, Diff, Known};
use crate::policy::lint::Finding;
use crate::policy::{Names, Policy, SystemNames};
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
            let lints = lints(arguments, &new);
            if json {
                let (found, why) = match &lints {
                    Ok((_, found)) => (Some(lint::to_json(found, &[])), None),
                    Err(why) => (None, Some(why)),
                };
                term.line(serde_json::json!({
                    "reloaded": !arguments.dry_run,
                    "dry_run": arguments.dry_run,
                    "old": old,
                    "new": new,
                    "changes": diff::to_json(&changes),
                    "warnings": found,
                    "unwarned": why,
                }))?;
            } else {
                show(arguments.dry_run, &old, &new, &changes, term)?;
                match &lints {
                    Ok((file, found)) => {
                        lint::tell(file, found, &[], term)?;
                    }
                    Err(why) => term.complain(format_args!("nothing was looked for that is odd: {why}")),
                }
            }
            Ok(Answer::Yes)
        }
        _ => Err(strange()),
    }
}

/// What the two policies differ in.
fn changes(memories: Vec<OwnedFd>) -> Result<Diff, Failure> {
    let what = || Failure::at("can't read the policies that the daemon shows");
    let [old, new] = channel::exactly::<2>(memories).map_err(what())?;
    let read = |memory: OwnedFd| -> Result<Arc<Policy>, Failure> {
        let bytes = memfd::read_sealed(memory.as_fd(), POLICY_MAX).map_err(what())?;
        Policy::from_bytes(&bytes).map(Arc::new).map_err(|broken| Failure::Because(broken.to_string()))
    };
    let groups = SystemNames.group_names();
    let known = Known::of(&SystemNames, groups.iter().map(String::as_str));
    Ok(grants::diff(&read(old)?, &read(new)?, &known))
}

/// What is odd about the policy that the daemon loaded, by its file as it is now; or why that can't be said. It never
/// stops a reload: what is odd may be meant.
fn lints(arguments: &Arguments, loaded: &str) -> Result<(PathBuf, Vec<Finding>), String> {
    let why = |failure| match failure {
        Failure::Because(why) => why,
        Failure::ReaderLeft => String::new(),
    };
    let reply = ask(&arguments.daemon.path(), &ControlRequest::Status).map_err(why)?;
    let ControlReply::Status(status) = reply else { return Err(why(strange())) };
    let file = PathBuf::from(&status.policy_file);
    let (hash, found) = lint::of_file(&file).map_err(why)?;
    if hash == loaded { Ok((file, found)) } else { Err(format!("{} has changed since", file.display())) }
}

fn show(dry_run: bool, old: &str, new: &str, changes: &Diff, term: &mut Term) -> Result<(), Failure> {
    match (old == new, dry_run) {
        (true, true) => return term.line(format!("the file says what is in force: {new}")),
        (true, false) => return term.line(format!("loaded again, and the same: {new}")),
        (false, true) => term.line(format!("would be in force: {new} (now: {old})"))?,
        (false, false) => term.line(format!("in force: {new} (before: {old})"))?,
    }
    diff::tell(changes, term)
}
