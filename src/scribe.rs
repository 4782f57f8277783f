//! The scribe: reads behind the writers, makes what they wrote durable, and says when a segment is complete. Off
//! the path of every request; while it does not say [`FromScribe::Alive`], the warden lets no request through.
//!
//! One thread follows; another, for the diagnostics of all roles, writes stderr or rolling files.

mod durable;
mod follow;
mod own;

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::confine::{self, Plan, Terms};
use crate::diagnostics::{self, collect};
use crate::model::posture::Confinement;
use crate::model::probe::{Found, Place, Trial};
use crate::sys;
use crate::wire::channel::{Channel, exactly};
use crate::wire::message::{FromScribe, ToScribe};
use durable::Durables;
use follow::Followed;
use own::{Own, Start};

/// Writers are looked at this often.
const LOOK: Duration = Duration::from_millis(250);
/// What was written is made durable, and the warden told that all is well, this often.
const SYNC: Duration = Duration::from_secs(1);
/// And earlier where a segment is this many bytes ahead.
const AHEAD: u64 = 1 << 20;

/// Runs the scribe: descriptor 3 is the channel to the warden, 4 the diagnostics pipe's writing end, 5 its
/// reading end.
pub fn run(terms: &Terms) -> ExitCode {
    match serve(terms) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the scribe ends");
            ExitCode::FAILURE
        }
    }
}

fn serve(terms: &Terms) -> io::Result<()> {
    // To stderr, until what is said can go the way of all roles.
    diagnostics::start("scribe", None, "info", false).map_err(io::Error::other)?;
    let [channel, speak, listen] = exactly(sys::process::inherited(3)?)?;
    let channel = Channel::from(channel);
    let (start, descriptors) = channel.receive_waiting()?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let ToScribe::Start { boot, reserved, policy, missing, diagnostics, level, json } = start else {
        return Err(invalid("the first message is not the start"));
    };
    let [directory, segment] = exactly(descriptors)?;
    let confined = confine(&directory, diagnostics.as_deref(), terms)?;
    let posture = confined.clone();
    channel.send(&FromScribe::Confined(Box::new(confined)), &[])?;
    let collector = collect::Collector::start(listen, sink(diagnostics.as_deref()))?;
    diagnostics::start("scribe", Some(speak), &level, json).map_err(io::Error::other)?;
    let own =
        Own::begin(segment, Start { boot, reserved, policy: &policy, missing: &missing, posture: &posture })?;
    let durables = Durables::start(File::from(directory.try_clone()?))?;
    let mut scribe = Scribe::new(channel, own, directory, durables);
    let result = scribe.serve(|| collector.lost());
    if let Err(error) = &result {
        // While there still is someone who reads it.
        tracing::error!(%error, "the scribe can't go on");
    }
    collector.finish();
    result
}

/// Gives up every right but to the audit directory and the diagnostics directory. Here, and nowhere later:
/// threads inherit only what was given up before they began.
fn confine(directory: &OwnedFd, diagnostics: Option<&str>, terms: &Terms) -> io::Result<Confinement> {
    let plan = Plan::scribe(None, diagnostics.is_some());
    let rolling = diagnostics.map(confine::directory).transpose().map_err(io::Error::other)?;
    let mut reach = vec![directory.as_fd()];
    reach.extend(rolling.as_ref().map(AsFd::as_fd));
    confine::enter(&plan, terms, &reach).map_err(io::Error::other)
}

/// A directory that can't be used is no reason to be silent, nor to stop.
fn sink(directory: Option<&str>) -> collect::Sink {
    let Some(directory) = directory else { return collect::Sink::Stderr };
    collect::Sink::rolling(Path::new(directory)).unwrap_or_else(|error| {
        tracing::warn!(%error, directory, "diagnostics go to stderr: there is no writing to their directory");
        collect::Sink::Stderr
    })
}

/// Whether to go on.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    End,
}

struct Scribe {
    channel: Channel,
    own: Own,
    /// The audit directory: its entries are synced too, or a new segment may be nameless after a power cut.
    directory: File,
    /// A segment was added since the directory was synced.
    directory_changed: bool,
    followed: BTreeMap<String, Followed>,
    /// Who can't wait for the next sync.
    durables: Durables,
    /// What the warden had no room for yet.
    unsent: VecDeque<FromScribe>,
    synced: Instant,
}

impl Scribe {
    fn new(channel: Channel, own: Own, directory: OwnedFd, durables: Durables) -> Scribe {
        Scribe {
            channel,
            own,
            directory: directory.into(),
            directory_changed: true,
            followed: BTreeMap::new(),
            durables,
            unsent: VecDeque::new(),
            synced: Instant::now(),
        }
    }

    /// Until the warden says close, or is gone.
    fn serve(&mut self, lost_lines: impl Fn() -> u64) -> io::Result<()> {
        self.sync()?;
        self.say_alive(lost_lines());
        loop {
            self.send();
            self.wait()?;
            if self.obey()? == Next::End {
                return Ok(());
            }
            self.look();
            if self.synced.elapsed() >= SYNC {
                self.sync()?;
                self.say_alive(lost_lines());
            }
        }
    }

    /// Sleeps until the next look, or a message.
    fn wait(&self) -> io::Result<()> {
        let mut fds = [PollFd::new(self.channel.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(LOOK).map_err(io::Error::other)?;
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Takes all messages that are there.
    fn obey(&mut self) -> io::Result<Next> {
        loop {
            match self.channel.receive::<ToScribe>() {
                Ok(Some((message, descriptors))) => {
                    if self.take(message, descriptors)? == Next::End {
                        return Ok(Next::End);
                    }
                }
                Ok(None) => {
                    self.look();
                    self.sync()?;
                    return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the warden is gone"));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Next::GoOn),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    tracing::error!(%error, "a message from the warden makes no sense");
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn take(&mut self, message: ToScribe, descriptors: Vec<OwnedFd>) -> io::Result<Next> {
        match message {
            ToScribe::Start { .. } => tracing::error!("the warden started a scribe that runs"),
            ToScribe::Follow { segment } => self.follow(segment, descriptors)?,
            ToScribe::Finished { segment } => self.finish(&segment)?,
            ToScribe::Try(trial) => self.attempt(trial, descriptors)?,
            ToScribe::Close => {
                self.close()?;
                return Ok(Next::End);
            }
        }
        Ok(Next::GoOn)
    }

    fn follow(&mut self, segment: String, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        let mut descriptors = descriptors.into_iter();
        match (descriptors.next(), descriptors.next(), descriptors.next()) {
            (Some(file), None, None) => {
                self.directory_changed = true;
                self.followed.insert(segment, Followed::new(file.into()));
            }
            (Some(file), Some(synced), Some(lane)) => {
                self.directory_changed = true;
                self.durables.serve(&segment, synced, lane)?;
                self.followed.insert(segment, Followed::new(file.into()));
            }
            _ => tracing::error!(segment, "there is no following a segment without its descriptors"),
        }
        Ok(())
    }

    /// Marks the segments that could not be synced for those who can't wait.
    fn hear_failures(&mut self) {
        for (name, errno) in self.durables.failed() {
            if let Some(segment) = self.followed.get_mut(&name) {
                tell_failure(&mut self.unsent, &self.durables, &name, segment, Err(errno));
            }
        }
    }

    /// Reads what was written since the last look.
    fn look(&mut self) {
        self.hear_failures();
        for (name, segment) in &mut self.followed {
            let result = segment.look().and_then(|()| segment.sync_beyond(AHEAD));
            tell_failure(&mut self.unsent, &self.durables, name, segment, result);
        }
    }

    /// Makes all that was read durable. Its own segment comes last: a `close` must not outlive what it closes.
    fn sync(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.directory_changed) {
            self.directory.sync_all()?;
        }
        for (name, segment) in &mut self.followed {
            let result = segment.sync_beyond(0);
            tell_failure(&mut self.unsent, &self.durables, name, segment, result);
        }
        self.own.sync()?;
        self.synced = Instant::now();
        Ok(())
    }

    /// The last look at a segment whose writer is done with it: synced, then closed in the record.
    fn finish(&mut self, name: &str) -> io::Result<()> {
        self.hear_failures();
        let Some(mut segment) = self.followed.remove(name) else {
            tracing::error!(segment = name, "the warden finished a segment that nobody follows");
            return Ok(());
        };
        self.durables.finish(name)?;
        let result = segment.look().and_then(|()| segment.sync_beyond(0));
        tell_failure(&mut self.unsent, &self.durables, name, &mut segment, result);
        if !segment.has_failed() {
            self.own.close(name, &segment)?;
        }
        // A segment that failed is given back as well: nobody writes to it any more.
        self.unsent.push_back(FromScribe::Released { segment: name.to_owned(), bytes: segment.length() });
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        let names: Vec<String> = self.followed.keys().cloned().collect();
        for name in names {
            self.finish(&name)?;
        }
        self.sync()?;
        self.unsent.push_back(FromScribe::Closed);
        while !self.unsent.is_empty() {
            self.send();
            if !self.unsent.is_empty() {
                let mut fds = [PollFd::new(self.channel.as_fd(), PollFlags::POLLOUT)];
                poll(&mut fds, PollTimeout::try_from(LOOK).map_err(io::Error::other)?)?;
            }
        }
        Ok(())
    }

    /// Tries what it is asked to, here or in a thread that is started for it.
    fn attempt(&mut self, trial: Trial, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        let [client] = exactly(descriptors)?;
        let place = trial.place;
        let attempt = confine::probes::prepare(trial, self.own.duplicate()?, client)?;
        let found = match place {
            Place::Thread => std::thread::Builder::new().spawn(attempt)?.join().unwrap_or(Found::Silent),
            _ => attempt(),
        };
        self.unsent.push_back(FromScribe::Tried(found));
        Ok(())
    }

    fn say_alive(&mut self, lost_lines: u64) {
        let unsynced = self.followed.values().map(Followed::unsynced).sum();
        // One that waits to be sent says the same.
        self.unsent.retain(|message| !matches!(message, FromScribe::Alive { .. }));
        self.unsent.push_back(FromScribe::Alive { unsynced, lost_lines });
    }

    /// Sends what the warden has room for.
    fn send(&mut self) {
        while let Some(message) = self.unsent.front() {
            match self.channel.send(message, &[]) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // The next receive says that the warden is gone.
                Err(error) => tracing::error!(%error, "the warden can't be told"),
            }
            self.unsent.pop_front();
        }
    }
}

/// Tells the warden of a segment that failed, once: its writer needs another. Nothing is tried again, since a
/// second fsync may succeed over pages that the first one dropped.
fn tell_failure(
    unsent: &mut VecDeque<FromScribe>,
    durables: &Durables,
    name: &str,
    segment: &mut Followed,
    result: Result<(), Errno>,
) {
    if let Err(errno) = result
        && !segment.has_failed()
    {
        segment.fail();
        if let Err(error) = durables.fail(name) {
            tracing::error!(%error, segment = name, "its lane is not told of a failure");
        }
        tracing::error!(segment = name, errno = errno.desc(), "a segment can't be read or synced");
        unsent.push_back(FromScribe::Failed { segment: name.to_owned(), errno: errno as i32 });
    }
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests;
