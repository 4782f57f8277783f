//! A runner that looks after no command: it tries what it must not be able to do (`peergate probe --role runner`). A copy
//! of it confines itself as a runner does, and tries; this process tells how that one ended, since a runner is no child
//! of the warden's.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::Signal;

use super::tree::Tree;
use super::{Bonds, confine};
use crate::confine::probes;
use crate::model::ids::RequestId;
use crate::model::probe::Trial;
use crate::sys::process::{Exit, fork_alone};
use crate::wire::channel::Channel;
use crate::wire::runner::{FromRunner, How};

/// Has it tried, and tells what came of it.
///
/// # Errors
///
/// There is no such probe, no process could be made, or the warden is gone.
pub(super) fn attempt(
    channel: &Channel,
    trial: Trial,
    bonds: &Bonds<'_>,
    id: &RequestId,
    client: &OwnedFd,
) -> io::Result<()> {
    let tree = match Tree::plant(id) {
        Ok(tree) => tree,
        Err(why) => return channel.send(&FromRunner::NotStarted { why }, &[]),
    };
    // It has no log; what is tried on one is not tried here.
    let attempt = probes::prepare(trial, client.try_clone()?, client.try_clone()?)?;
    let trying = fork_alone(|| -> Option<Infallible> {
        prctl::set_pdeathsig(Signal::SIGKILL).ok()?;
        match confine(bonds, &tree) {
            Ok(_) => channel.send(&FromRunner::Tried(attempt()), &[]).ok()?,
            Err(why) => channel.send(&FromRunner::NotStarted { why }, &[]).ok()?,
        }
        None
    })?;
    let mut fds =
        [PollFd::new(trying.as_fd(), PollFlags::POLLIN), PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::NONE)?;
    // The warden says nothing more: if it is heard, it is gone, or had enough of waiting.
    if channel.is_closed() {
        trying.signal(libc::SIGKILL)?;
    }
    let how = match trying.wait_for_end()? {
        Exit::Code(code) => How::Code(u8::try_from(code).unwrap_or(u8::MAX)),
        Exit::Signal(signal) => How::Signal(signal),
    };
    tree.end();
    channel.send(&FromRunner::TryEnded { pid: trying.pid(), how }, &[])
}
