//! What a role gives up before it reads a byte that it can't trust: one [plan](Plan) a role, applied in an order
//! that matters, then read back from the kernel and held against the plan. Each layer is required: one that the
//! kernel does not take stops the role, unless the operator accepted it by name.
//!
//! Called while the role has one thread; threads that come later inherit all of it. What needs rights that a role
//! does not have any more when it begins (its user and groups, the bounding set, securebits) is done by
//! [`sys::process`](crate::sys::process) between `fork` and the role's own start.

mod capabilities;
mod commands;
mod judge;
mod landlock;
mod plan;
pub mod probes;
mod readback;
mod sandbox;
mod seccomp;
mod terms;

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::Mode;

use crate::model::posture::{Confinement, Finding, Grade, Layer};
use landlock::Opened;
use readback::Mirror;

pub use commands::{LAUNCHER, plans as command_plans};
pub use plan::{
    AUDIT, Access, CONTROL, Connects, DIAGNOSTICS, EVERYTHING, GROUP, Identity, Kept, Plan, Reach, Role,
    WITNESS, Walls,
};
pub use sandbox::Fenced;
pub use seccomp::{Need, Row, Table, name_of};
pub use terms::{Terms, Violation};

/// A role could not be confined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unconfined {
    /// Which layer.
    pub layer: Layer,
    /// What was in the way.
    pub why: String,
}

impl fmt::Display for Unconfined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unconfined { layer, why } = self;
        write!(
            f,
            "a role can't be confined, {layer} is missing: {why}; `--accept-missing={layer}` goes on without"
        )
    }
}

impl std::error::Error for Unconfined {}

/// Applies a plan and reads it back. `reach` are the directories of the plan's files, in its order.
///
/// # Errors
///
/// The layer that the kernel did not take and nobody accepted, or that is not what was planned when it is read
/// back.
pub fn enter(plan: &Plan, terms: &Terms, reach: &[BorrowedFd<'_>]) -> Result<Confinement, Unconfined> {
    let blind = |why| Unconfined { layer: Layer::Identity, why };
    let mut missing = Missing { terms, layers: Vec::new() };
    let mirror = Mirror::open().map_err(blind)?;
    let threads = mirror.status().map_err(blind)?.threads;
    if threads != 1 {
        // Landlock and seccomp bind the calling thread and those that it starts, so another one would stay free.
        return Err(Unconfined { layer: Layer::Seccomp, why: format!("{threads} threads run already") });
    }
    // What is opened has to be opened before the walls are up, what is asked before seccomp forbids asking.
    missing.may(Layer::Capabilities, capabilities::reduce(plan))?;
    missing.may(Layer::NoNewPrivs, prctl::set_no_new_privs().map_err(said))?;
    missing.may(Layer::Dumpable, prctl::set_dumpable(false).map_err(said))?;
    missing.may(Layer::Limits, limits(plan))?;
    let walls = missing.may(Layer::Landlock, walls(plan, reach))?.flatten();
    let before = readback::before_seccomp().map_err(blind)?;
    let filtered = !plan.table.is_empty() && {
        let filters = seccomp::Filters::compile(&plan.table, terms.violation);
        missing.may(Layer::Seccomp, filters.and_then(|filters| filters.apply()))?.is_some()
    };
    let status = mirror.status().map_err(blind)?;
    let mut held = Confinement {
        status,
        landlock: walls,
        seccomp_rows: if filtered { plan.rows() } else { (0, 0) },
        seccomp_logs: filtered && terms.violation == Violation::IsLogged,
        missing: missing.layers,
        ..before
    };
    // Every layer is looked at: one that was accepted must not hide another.
    for finding in plan.judge(&held, terms.root).into_iter().filter(|finding| finding.grade == Grade::Red) {
        let Finding { layer, what, .. } = finding;
        if !terms.accepts(layer) {
            return Err(Unconfined { layer, why: format!("read back: {what}") });
        }
        if !held.missing.contains(&layer) {
            held.missing.push(layer);
        }
    }
    Ok(held)
}

/// The directory that a plan reaches under this name.
///
/// # Errors
///
/// What `open(2)` answered: a path that is not there is an error, never a smaller rule.
pub fn directory(path: &str) -> Result<OwnedFd, Unconfined> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    open(path, flags, Mode::empty())
        .map_err(|errno| Unconfined { layer: Layer::Landlock, why: format!("{path}: {}", errno.desc()) })
}

/// The capabilities that this process has, as a mask.
///
/// # Errors
///
/// What `capget(2)` answered.
pub fn permitted() -> Result<u64, String> {
    let held = caps::read(None, caps::CapSet::Permitted).map_err(|error| error.to_string())?;
    Ok(held.iter().fold(0, |mask, capability| mask | capability.bitmask()))
}

/// Whether this process may empty the bounding set of those that it starts.
#[must_use]
pub fn may_disempower() -> bool {
    caps::has_cap(None, caps::CapSet::Effective, caps::Capability::CAP_SETPCAP).unwrap_or(false)
}

/// The layers that were missing so far.
struct Missing<'a> {
    terms: &'a Terms,
    layers: Vec<Layer>,
}

impl Missing<'_> {
    /// What a layer's step gave; `None` where it failed and was accepted by name.
    fn may<T>(&mut self, layer: Layer, step: Result<T, String>) -> Result<Option<T>, Unconfined> {
        match step {
            Ok(done) => Ok(Some(done)),
            Err(why) if self.terms.accepts(layer) => {
                tracing::warn!(%layer, why, "missing, and accepted");
                self.layers.push(layer);
                Ok(None)
            }
            Err(why) => Err(Unconfined { layer, why }),
        }
    }
}

fn limits(plan: &Plan) -> Result<(), String> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(said)?;
    match plan.file_size {
        Some(most) => setrlimit(Resource::RLIMIT_FSIZE, most, most).map_err(said),
        None => Ok(()),
    }
}

fn walls(
    plan: &Plan,
    reach: &[BorrowedFd<'_>],
) -> Result<Option<crate::model::posture::LandlockHeld>, String> {
    let Walls::AllBut { files, connects, signals } = &plan.walls else { return Ok(None) };
    if files.len() != reach.len() {
        return Err(format!("{} directories are planned and {} given", files.len(), reach.len()));
    }
    let opened: Vec<Opened<'_>> = files.iter().zip(reach.iter().map(AsFd::as_fd)).collect();
    let held = landlock::restrict(&opened, connects, signals.is_some())?;
    // Asks the kernel instead of trusting what was said.
    if files.iter().all(|reach| reach.what != EVERYTHING) {
        nothing_opens("/")?;
    }
    // A witness's file may lie there, and an app's directory may be it.
    let may_make = |reach: &Reach| {
        reach.what == WITNESS || reach.access == Access::Tree && Path::new("/tmp").starts_with(&*reach.what)
    };
    if !files.iter().any(may_make) {
        nothing_is_made("/tmp")?;
    }
    Ok(Some(held))
}

fn nothing_opens(path: &str) -> Result<(), String> {
    match open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()) {
        Err(Errno::EACCES) => Ok(()),
        Err(errno) => Err(format!("probing {path} gave {}", errno.desc())),
        Ok(_open) => Err(format!("{path} can still be opened")),
    }
}

/// O_TMPFILE makes a file without a name, which is gone again when it is closed.
fn nothing_is_made(path: &str) -> Result<(), String> {
    match open(path, OFlag::O_TMPFILE | OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty()) {
        Ok(_made) => Err(format!("a file can still be made in {path}")),
        Err(_any) => Ok(()),
    }
}

fn said(errno: Errno) -> String {
    errno.desc().to_owned()
}

#[cfg(test)]
mod tests;
