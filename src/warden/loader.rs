//! The loader: a short-lived process that opens and judges the policy's file, parses it and resolves its names,
//! so that the warden never waits for a name service and never parses what a person wrote. It answers with one
//! message: the policy in sealed memory, or why there is none.

use std::collections::HashSet;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;

use nix::unistd::{Gid, Group, Uid, User, geteuid};

use super::Warden;
use crate::policy::{Policy, SystemNames};
use crate::sys::memfd;
use crate::sys::process::{Child, Spawn};
use crate::wire::channel::{self, Channel};
use crate::wire::message::FromLoader;

/// A policy's bytes, encoded.
pub(super) const POLICY_MAX: usize = 64 << 20;
/// Diagnostics longer than this are cut, so that they fit into a message.
const WHY_MAX: usize = 32 << 10;
/// Ids of systemd's dynamic range, which no package and no administrator assigns.
const DYNAMIC: std::ops::RangeInclusive<u32> = 61_184..=65_519;

/// The loader's side: loads `file`, answers on `channel`, ends.
#[must_use]
pub fn run(file: &Path, channel: OwnedFd) -> ExitCode {
    let channel = Channel::from(channel);
    let (answer, memory) = match load(file) {
        Ok((free_ids, memory)) => (FromLoader::Loaded { free_ids }, Some(memory)),
        Err(mut why) => {
            why.truncate((0..=WHY_MAX).rev().find(|at| why.is_char_boundary(*at)).unwrap_or(0));
            (FromLoader::Refused { why }, None)
        }
    };
    let descriptors: Vec<_> = memory.iter().map(AsFd::as_fd).collect();
    match channel.send(&answer, &descriptors) {
        Ok(()) => ExitCode::SUCCESS,
        // The warden sees the channel end and says so.
        Err(_gone) => ExitCode::FAILURE,
    }
}

fn load(file: &Path) -> Result<(Vec<u32>, OwnedFd), String> {
    let policy = crate::policy::load(file, SystemNames).map_err(|why| why.to_string())?;
    let named = policy.daemon.gate_user.is_some() && policy.daemon.scribe_user.is_some();
    let free_ids = if named || !geteuid().is_root() { Vec::new() } else { free_ids() };
    let bytes = policy.to_bytes().map_err(|error| error.to_string())?;
    let memory = memfd::sealed("policy", &bytes)
        .map_err(|error| format!("the policy can't be put into sealed memory: {error}"))?;
    Ok((free_ids, memory))
}

/// Two ids that belong to no user, no group and no process.
fn free_ids() -> Vec<u32> {
    let running: HashSet<u32> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.metadata().ok()?.uid()))
        .collect();
    // An id that can't be asked for is not known to be free.
    let unused = |id: &u32| {
        !running.contains(id)
            && matches!(User::from_uid(Uid::from_raw(*id)), Ok(None))
            && matches!(Group::from_gid(Gid::from_raw(*id)), Ok(None))
    };
    DYNAMIC.filter(unused).take(2).collect()
}

/// A loader that is at work.
pub(super) struct Loading {
    /// Its process.
    pub(super) child: Child,
    /// Where it answers.
    pub(super) channel: Channel,
}

/// What a loader found.
pub(super) struct Loaded {
    /// The policy.
    pub(super) policy: Policy,
    /// It, in sealed memory.
    pub(super) memory: OwnedFd,
    /// Two ids of nobody, where roles need them.
    pub(super) free_ids: Vec<u32>,
}

/// Starts a loader.
pub(super) fn begin(executable: &OwnedFd, file: &Path) -> io::Result<Loading> {
    let (ours, theirs) = Channel::pair()?;
    let file = CString::new(file.as_os_str().as_bytes())?;
    let child = Spawn::new(executable.as_fd(), c"peergated")
        .argument(c"@loader".to_owned())
        .argument(file)
        .descriptor(theirs.as_fd())
        .start()?;
    Ok(Loading { child, channel: ours })
}

/// Takes a loader's answer, in lines for people where it is no policy.
pub(super) fn answer(received: io::Result<Option<(FromLoader, Vec<OwnedFd>)>>) -> Result<Loaded, String> {
    let (answer, descriptors) = received
        .map_err(|error| format!("the loader's answer can't be read: {error}"))?
        .ok_or("the loader ended without an answer")?;
    let free_ids = match answer {
        FromLoader::Refused { why } => return Err(why),
        FromLoader::Loaded { free_ids } => free_ids,
    };
    let [memory] = channel::exactly::<1>(descriptors).map_err(|error| error.to_string())?;
    let bytes = memfd::read_sealed(memory.as_fd(), POLICY_MAX)
        .map_err(|error| format!("the loader's policy can't be read: {error}"))?;
    let policy = Policy::from_bytes(&bytes).map_err(|error| error.to_string())?;
    Ok(Loaded { policy, memory, free_ids })
}

impl Warden {
    /// Starts a loader for the policy's file.
    pub(super) fn begin_loading(&self) -> io::Result<Loading> {
        begin(&self.executable, &self.options.policy)
    }
}
