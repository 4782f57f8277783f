//! Starts runners where no service manager does: a process of our own, from before the warden gave up its rights. It
//! hears one word of the warden alone, and reads nothing else.
//!
//! It stays until its last runner has ended, so that commands go on which outlive the daemon. Whatever a runner leaves
//! behind that was itself ended comes to this process, and is ended too, as is what is in its command's control group.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};

use super::tree;
use crate::sys::process::{self, Child, Exit, Spawn};
use crate::wire::channel::{self, Channel};
use crate::wire::runner::ToLauncher;

/// Between two rounds of ending what a runner left behind, in milliseconds: what a process that was ended has started
/// comes here only then, and a control group can be removed only then.
const ROUND: u16 = 20;

/// Starts runners until the warden at the other end of `channel` is gone and the last one has ended.
#[must_use]
pub fn run(channel: OwnedFd) -> ExitCode {
    match serve(&Channel::from(channel)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "commands can't be started any more");
            ExitCode::FAILURE
        }
    }
}

fn serve(channel: &Channel) -> io::Result<()> {
    // The warden's end is not ours.
    prctl::set_pdeathsig(None)?;
    // All else would be its runners' and their commands' too; this is not theirs, since an exec gives it back.
    prctl::set_dumpable(false)?;
    prctl::set_child_subreaper(true)?;
    let executable = process::executable()?;
    let mut runners: Vec<Child> = Vec::new();
    // Of runners that were themselves ended; any other removes its own.
    let mut groups: Vec<PathBuf> = Vec::new();
    let (mut is_open, mut has_orphans) = (true, false);
    while is_open || has_orphans || !groups.is_empty() || !runners.is_empty() {
        let mut fds: Vec<_> =
            runners.iter().map(|runner| PollFd::new(runner.as_fd(), PollFlags::POLLIN)).collect();
        if is_open {
            fds.push(PollFd::new(channel.as_fd(), PollFlags::POLLIN));
        }
        let has_more = has_orphans || !groups.is_empty();
        let wait = if has_more { PollTimeout::from(ROUND) } else { PollTimeout::NONE };
        match poll(&mut fds, wait) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let before = runners.len();
        runners.retain(|runner| match runner.reap() {
            Ok(None) => true,
            Ok(Some(Exit::Code(0))) => false,
            Ok(Some(_)) | Err(_) => {
                groups.extend(tree::groups_of(runner.pid()));
                false
            }
        });
        groups.retain(|group| !tree::put_away(group));
        if has_orphans || runners.len() < before {
            has_orphans = end_orphans(&runners);
        }
        match if is_open { channel.receive::<ToLauncher>() } else { Ok(None) } {
            Ok(Some((ToLauncher::Start, descriptors))) => {
                let [theirs] = channel::exactly(descriptors)?;
                let spawn = Spawn::new(executable.as_fd(), c"peergated")
                    .argument(c"@runner".to_owned())
                    .descriptor(theirs.as_fd());
                match spawn.start() {
                    Ok(runner) => runners.push(runner),
                    // Its channel closes, which the warden hears.
                    Err(error) => tracing::error!(%error, "a runner can't be started"),
                }
            }
            Ok(None) => is_open = false,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Ends what came from a runner that was itself ended; whether there was anything, and more of it may come. Waits for
/// none of it, since others want their runners, and what hangs in the kernel ends when that lets it.
fn end_orphans(runners: &[Child]) -> bool {
    let mut orphans = tree::children();
    orphans.retain(|child| runners.iter().all(|runner| i64::from(runner.pid()) != i64::from(child.as_raw())));
    for orphan in &orphans {
        kill(*orphan, Signal::SIGKILL).ok();
        waitpid(*orphan, Some(WaitPidFlag::WNOHANG)).ok();
    }
    !orphans.is_empty()
}
