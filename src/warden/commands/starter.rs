//! Who starts runners: the service manager, where its socket was named (`PEERGATE_RUNNER`), else a launcher of our own from
//! before the rights were given up.
//!
//! As long as the policy in force has commands, one runner waits for the next: a fresh process as all of them are, that has
//! heard nothing yet. The service manager takes longer to start one than many commands take to run.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use super::has_commands;
use crate::policy::Policy;
use crate::sys::process::{Child, Spawn};
use crate::sys::trusted::{self, Connecting};
use crate::warden::Warden;
use crate::warden::drain::Phase;
use crate::wire::channel::Channel;
use crate::wire::runner::{ToLauncher, ToRunner};

/// Who starts runners.
#[derive(Debug, Default)]
pub(super) enum Starter {
    /// Nobody: the policy had no command when the daemon started.
    #[default]
    Nobody,
    /// The service manager, for who connects here.
    Service(PathBuf),
    /// A process of our own.
    Own { channel: Channel, child: Child },
}

/// Runners that have no command yet.
#[derive(Debug, Default)]
pub(super) struct Runners {
    pub(super) starter: Starter,
    waiting: Option<Channel>,
}

impl Runners {
    /// Gives a job, and its end of the link, to a runner: the one that waits, or a fresh one.
    ///
    /// # Errors
    ///
    /// None could be started, or it did not take the job.
    pub(super) fn take(&mut self, job: &ToRunner, link: BorrowedFd<'_>) -> io::Result<Channel> {
        // One that is gone by now takes nothing.
        if let Some(waiting) = self.waiting.take()
            && waiting.send(job, &[link]).is_ok()
        {
            return Ok(waiting);
        }
        let fresh = self.starter.start()?;
        fresh.send(job, &[link])?;
        Ok(fresh)
    }
}

impl Starter {
    fn start(&self) -> io::Result<Channel> {
        match self {
            Starter::Nobody => {
                Err(io::Error::other("nobody is there to start commands; the daemon needs a restart"))
            }
            Starter::Service(path) => runner_of_service(path),
            Starter::Own { channel, .. } => {
                let (ours, theirs) = Channel::pair()?;
                channel.send(&ToLauncher::Start, &[theirs.as_fd()])?;
                Ok(ours)
            }
        }
    }
}

impl Warden {
    /// Readies who starts runners; while the warden still has all its rights, since what commands need is not known.
    ///
    /// # Errors
    ///
    /// The launcher can't be started.
    pub(in crate::warden) fn begin_commands(&mut self) -> io::Result<()> {
        self.commands.runners.starter = match &self.options.environment.runner {
            // It is there whether or not the first policy has commands.
            Some(path) => Starter::Service(path.clone()),
            None if !has_commands(&self.force.policy) => Starter::Nobody,
            None => {
                let (ours, theirs) = Channel::pair()?;
                let spawn = Spawn::new(self.executable.as_fd(), c"peergated")
                    .argument(c"@launcher".to_owned())
                    .descriptor(theirs.as_fd());
                Starter::Own { child: spawn.start()?, channel: ours }
            }
        };
        Ok(())
    }

    /// Why a policy with commands can't come into force by a reload, where that is so.
    pub(in crate::warden) fn lacks_starter(&self, policy: &Policy) -> Option<&'static str> {
        let is_nobody = matches!(self.commands.runners.starter, Starter::Nobody);
        (is_nobody && has_commands(policy)).then_some(
            "it is the first one with a command, and what starts commands is started with the daemon, before that gives \
             up its rights: restart it; the old policy stays in force",
        )
    }

    /// A runner that will hear what to do.
    ///
    /// # Errors
    ///
    /// None could be started.
    pub(in crate::warden) fn fresh_runner(&self) -> io::Result<Channel> {
        self.commands.runners.starter.start()
    }

    /// Has a runner wait for the next command, where there may be one.
    pub(in crate::warden) fn have_a_runner_wait(&mut self) {
        let runners = &mut self.commands.runners;
        if !has_commands(&self.force.policy) {
            // It hears that by its channel's end.
            runners.waiting = None;
        } else if self.phase == Phase::Serving && runners.waiting.is_none() {
            // Whoever asks for the next one is told, if that still can't be had.
            match runners.starter.start() {
                Ok(fresh) => runners.waiting = Some(fresh),
                Err(error) => tracing::debug!(%error, "no runner waits for the next command"),
            }
        }
    }
}

/// A fresh runner of the service manager's, who listens there as root.
fn runner_of_service(path: &Path) -> io::Result<Channel> {
    match trusted::connect_packets(path, Some(0)).map_err(io::Error::other)? {
        Connecting::Connected(socket) => Ok(Channel::from(socket)),
        Connecting::Again => Err(io::Error::other("the service manager starts too many runners already")),
    }
}
