//! Witnesses: the head of the seals, told to whoever keeps it elsewhere (`[audit.witness]`). Who holds a head can
//! tell a record that was cut behind it.
//!
//! Heads supersede each other: each stands for all before it. So one is told at the beginning, whenever an epoch
//! begins (a restart, a rotation), each `every` while there are new seals, and at the end; what a sink did not take is not kept for
//! it, it gets the latest one next time.
//!
//! Nothing here waits. The journal and a syslog are told by one datagram that goes or does not. A file or a command
//! may hang, so each has a [`keeper`]: a process that was started before the warden gave up its rights, with a plan of
//! its own.

mod datagram;
mod keeper;

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::poll::{Interest, Source};
use super::posture;
use super::{Due, Warden};
use crate::audit::chain::{Digest, Head, LogId, Public};
use crate::confine::{self, Plan, Terms};
use crate::model::posture::Confinement;
use crate::model::time::Timestamp;
use crate::policy::{self, RunsAs, Syslog};
use crate::sys::process::{Child, Spawn};
use crate::sys::trusted;
use crate::wire::channel::Channel;
use crate::wire::message::LastSeal;
use crate::wire::told::{FromKeeper, ToKeeper, WitnessStatus};

/// Runs a keeper: `kind` is `file` or `command`, `words` its path, or its program and arguments; `channel` leads to the
/// warden.
pub fn keep(kind: &OsStr, terms: &Terms, words: &[OsString], channel: OwnedFd) -> ExitCode {
    keeper::run(kind, terms, words, channel)
}

/// A keeper that runs.
fn started(spawn: io::Result<Spawn<'_>>, plan: Plan) -> io::Result<How> {
    let (ours, theirs) = Channel::pair()?;
    let child = spawn?.descriptor(theirs.as_fd()).start()?;
    Ok(How::Keeper { child, channel: ours, at: None, plan, confined: None })
}

/// At the end keepers get this long to say that they kept the last head.
const LAST: Duration = Duration::from_secs(2);

/// Whom heads are told, and how that went.
#[derive(Default)]
pub(super) struct Witness {
    every: Duration,
    sinks: Vec<Sink>,
    /// The latest.
    head: Option<String>,
    /// Its epoch.
    epoch: Option<u64>,
}

struct Sink {
    how: How,
    status: WitnessStatus,
    /// When it took a head last.
    last: Option<Instant>,
    /// The head that it took last.
    has: String,
}

enum How {
    Journal,
    Syslog(Syslog),
    /// Asks its process; the head that it is at, if any.
    Keeper {
        channel: Channel,
        child: Child,
        at: Option<String>,
        plan: Plan,
        /// How it found itself.
        confined: Option<Box<Confinement>>,
    },
    /// Its process ended.
    Gone,
}

impl Sink {
    fn new(name: &str, how: How) -> Sink {
        let status = WitnessStatus { sink: name.to_owned(), ..WitnessStatus::default() };
        Sink { how, status, last: None, has: String::new() }
    }

    fn took(&mut self, line: String) {
        self.status.taken += 1;
        self.status.why.clear();
        self.last = Some(Instant::now());
        self.has = line;
    }

    fn failed(&mut self, why: String) {
        self.status.failed += 1;
        if self.status.why != why {
            tracing::warn!(sink = self.status.sink, why, "a witness did not take the head of the seals");
        }
        self.status.why = why;
    }

    /// Tells it; whether it took the head is known at once, or when its keeper says so.
    fn tell(&mut self, line: &str) {
        let told = match &mut self.how {
            How::Journal => datagram::journal(line),
            How::Syslog(Syslog::Unix(path)) => datagram::syslog_unix(path, line),
            How::Syslog(Syslog::Udp(address)) => datagram::syslog_udp(*address, line),
            How::Keeper { at: Some(_), .. } => Err(io::Error::other("it is still at an earlier head")),
            How::Keeper { channel, at, .. } => {
                match channel.send(&ToKeeper::Keep { line: line.to_owned() }, &[]) {
                    Ok(()) => {
                        *at = Some(line.to_owned());
                        return;
                    }
                    Err(error) => Err(error),
                }
            }
            How::Gone => return,
        };
        match told {
            Ok(()) => self.took(line.to_owned()),
            Err(error) => self.failed(error.to_string()),
        }
    }

    fn heard(&mut self, message: FromKeeper) {
        let How::Keeper { at, confined, .. } = &mut self.how else { return };
        match message {
            FromKeeper::Confined(found) => *confined = Some(found),
            FromKeeper::Kept => at.take().into_iter().for_each(|line| self.took(line)),
            FromKeeper::Failed { why } => {
                *at = None;
                self.failed(why);
            }
        }
    }
}

impl Witness {
    /// Each keeper's plan, its process, and how that found itself.
    pub(super) fn keepers(&self) -> impl Iterator<Item = (&Plan, u32, Option<&Confinement>)> {
        self.sinks.iter().filter_map(|sink| match &sink.how {
            How::Keeper { child, plan, confined, .. } => Some((plan, child.pid(), confined.as_deref())),
            _ => None,
        })
    }

    /// For status and metrics.
    pub(super) fn status(&self) -> Vec<WitnessStatus> {
        let status = |sink: &Sink| WitnessStatus {
            age_s: sink.last.map(|last| last.elapsed().as_secs()),
            ..sink.status.clone()
        };
        self.sinks.iter().map(status).collect()
    }

    fn tell(&mut self) {
        let Some(head) = &self.head else { return };
        for sink in &mut self.sinks {
            if sink.has != *head {
                sink.tell(head);
            }
        }
    }
}

impl Warden {
    /// Starts the keepers, while the warden can still give them its ids and its sight of the file system.
    ///
    /// # Errors
    ///
    /// A process for one can't be had.
    pub(super) fn begin_witness(&mut self) -> io::Result<()> {
        let policy::Witness { journal, syslog, file, command, user, every_s } =
            self.force.policy.audit.witness.clone();
        if self.force.policy.audit.witness.is_empty() {
            return Ok(());
        }
        let mut sinks = Vec::new();
        if journal {
            sinks.push(Sink::new("journal", How::Journal));
        }
        sinks.extend(syslog.map(|syslog| Sink::new("syslog", How::Syslog(syslog))));
        if let Some(file) = file {
            let keeper = self.keeper(keeper::FILE, &[file]);
            sinks.push(Sink::new("file", started(keeper, Plan::file_keeper())?));
        }
        if let Some(program) = command.first() {
            // What others could replace is nobody's witness.
            trusted::judge_program(Path::new(program)).map_err(io::Error::other)?;
            let keeper = self.command_keeper(&command, user)?;
            sinks.push(Sink::new("command", started(Ok(keeper), posture::command_keeper(&self.identities))?));
        }
        for (place, sink) in (0..).zip(&sinks) {
            if let How::Keeper { channel, .. } = &sink.how {
                self.poll.watch(channel, Source::Keeper(place), Interest::Read)?;
            }
        }
        let every = Duration::from_secs(every_s.max(1).into());
        self.witness = Witness { every, sinks, head: None, epoch: None };
        self.timers.after(every, Due::Witness);
        Ok(())
    }

    /// Its process, which reads its messages from the descriptor.
    fn keeper(&self, kind: &str, words: &[String]) -> io::Result<Spawn<'_>> {
        let mut spawn = Spawn::new(self.executable.as_fd(), c"peergated")
            .argument(c"@keeper".to_owned())
            .argument(CString::new(kind)?)
            .argument(CString::new(self.options.terms.to_string())?);
        for word in words {
            spawn = spawn.argument(CString::new(word.as_str())?);
        }
        Ok(if confine::may_disempower() { spawn.powerless() } else { spawn })
    }

    /// The same for a command: as its user, who gets none of the daemon's streams.
    fn command_keeper(&self, words: &[String], user: Option<RunsAs>) -> io::Result<Spawn<'_>> {
        let own = nix::unistd::geteuid();
        if let Some(user) = user.as_ref().filter(|user| !own.is_root() && user.uid.raw() != own.as_raw()) {
            let why = format!("only root can run the witness's command as another user ({})", user.name);
            return Err(io::Error::other(why));
        }
        let mut spawn = self
            .keeper(keeper::COMMAND, words)?
            .mute()
            .environment(c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned())
            .environment(c"LANG=C.UTF-8".to_owned());
        if let Some(user) = user {
            for name in ["USER", "LOGNAME"] {
                spawn = spawn.environment(CString::new(format!("{name}={}", user.name))?);
            }
        }
        Ok(match &self.identities.witness {
            Some(ids) => spawn.ids(ids.clone()),
            None => spawn,
        })
    }

    /// The scribe made a seal. The first head of a start and of an epoch goes out at once, others by the timer.
    pub(super) fn heed_seal(&mut self, sealed: &LastSeal) {
        if self.witness.sinks.is_empty() {
            return;
        }
        let LastSeal { epoch, i, at, hash, next } = *sealed;
        let (hash, next) = (Digest(hash), Public(next));
        let ts = Timestamp::from_micros(at).to_string();
        let log = Some(LogId::of(&self.vault.genesis.key));
        self.witness.head = Some(Head { epoch, i, ts, hash, next, log }.to_string());
        if self.witness.epoch.replace(epoch) != Some(epoch) {
            self.witness.tell();
        }
    }

    /// The timer.
    pub(super) fn witness_due(&mut self) {
        self.witness.tell();
        self.timers.after(self.witness.every, Due::Witness);
    }

    /// A keeper said something, or is gone.
    pub(super) fn hear_keeper(&mut self, place: u32) {
        let Some(sink) = usize::try_from(place).ok().and_then(|place| self.witness.sinks.get_mut(place))
        else {
            return;
        };
        loop {
            let How::Keeper { channel, .. } = &sink.how else { return };
            match channel.receive_bare::<FromKeeper>() {
                Ok(Some(message)) => sink.heard(message),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(None) | Err(_) => break,
            }
        }
        sink.failed("its process ended; only a restart of the daemon brings it back".to_owned());
        if let How::Keeper { channel, child, .. } = std::mem::replace(&mut sink.how, How::Gone) {
            self.poll.forget(channel);
            self.put_down(child);
        }
    }

    /// The log is closed: the last head, and a moment for keepers to have kept it.
    pub(super) fn last_words(&mut self) {
        let until = Instant::now() + LAST;
        // One that is at an earlier head gets the last one behind it.
        while self.witness.sinks.iter().any(|sink| matches!(&sink.how, How::Keeper { at: Some(_), .. })) {
            if !self.wait_for_keepers(until) {
                break;
            }
        }
        self.witness.tell();
        while self.witness.sinks.iter().any(|sink| matches!(&sink.how, How::Keeper { at: Some(_), .. })) {
            if !self.wait_for_keepers(until) {
                tracing::warn!("a witness did not keep the last head in time");
                return;
            }
        }
    }

    /// Hears the keepers that are at something; `false` once the time is over.
    fn wait_for_keepers(&mut self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        let busy = |(place, sink): (u32, &Sink)| match &sink.how {
            How::Keeper { at: Some(_), .. } => Some(place),
            _ => None,
        };
        let places: Vec<u32> = (0..).zip(&self.witness.sinks).filter_map(busy).collect();
        let mut fds = Vec::new();
        for sink in &self.witness.sinks {
            if let How::Keeper { channel, at: Some(_), .. } = &sink.how {
                fds.push(PollFd::new(channel.as_fd(), PollFlags::POLLIN));
            }
        }
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        if left.is_zero() || !matches!(poll(&mut fds, timeout), Ok(1..)) {
            return false;
        }
        places.into_iter().for_each(|place| self.hear_keeper(place));
        true
    }
}
