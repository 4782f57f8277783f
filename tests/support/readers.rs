//! The programs of others that read our exports. `tests/run` installs them below `target/tools`.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::PATIENCE;

/// Where they are.
fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools")
}

/// A Python that has the packages of `tests/readers.txt`, where they are installed.
pub fn python() -> Option<PathBuf> {
    Some(tools().join("readers/bin/python")).filter(|python| python.is_file())
}

/// The folder of the package `@elastic/ecs`, where it is installed.
pub fn ecs() -> Option<PathBuf> {
    Some(tools().join("ecs/package")).filter(|folder| folder.join("package.json").is_file())
}

/// A script of ours for one of them.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers").join(name)
}

/// What a script of ours says, run by that Python.
pub fn told(python: &Path, name: &str, arguments: &[&Path]) -> String {
    super::out(&super::run(Command::new(python).arg(script(name)).args(arguments)))
}

/// Waits, woken by each change in this folder, until something holds of it.
pub fn wait_in(folder: &Path, what: &str, holds: impl Fn() -> bool) {
    let changes = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).unwrap();
    changes.add_watch(folder, AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        let left = deadline.checked_duration_since(Instant::now());
        let left = left.unwrap_or_else(|| panic!("not in {PATIENCE:?}: {what}"));
        let timeout = PollTimeout::try_from(left).unwrap();
        poll(&mut [PollFd::new(changes.as_fd(), PollFlags::POLLIN)], timeout).unwrap();
        while changes.read_events().is_ok_and(|events| !events.is_empty()) {}
    }
}
