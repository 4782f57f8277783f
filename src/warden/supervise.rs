//! The scribe: started, told what to follow, watched for signs of life, started again when it dies. The record
//! may run ahead of it for as long as [`SILENCE`]: a death that another scribe makes good within that time is
//! felt by nobody, and beyond it no request is served until one gives a sign of life.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::drain::Phase;
use super::gates::life;
use super::line::{Flow, Line};
use super::poll::{Interest, Poll, Source};
use super::roster::pause;
use super::segments::Writer;
use super::{DiagnosticsPipe, Due, RETRY, Warden};
use crate::audit::chain::Digest;
use crate::audit::entry::{Entry, GateEvent, Life};
use crate::confine;
use crate::model::posture::Confinement;
use crate::sys::process::{Child, Exit, Spawn};
use crate::wire::channel::Channel;
use crate::wire::message::{ControlReply, Damage, FromScribe, LastSeal, ScribeStatus, ToScribe};
use crate::wire::told::Lag;

/// Without a sign of life for this long the record can't be trusted to go on.
pub(super) const SILENCE: Duration = Duration::from_secs(5);
/// A scribe that ran this long is not failing.
const STEADY: Duration = Duration::from_secs(60);
/// Its own segments are no larger, whatever others are: all of the latest is read at a start.
const OWN_SIZE: u64 = 8 << 20;
/// After this long without room its queue is tried again.
const SHORT: Duration = Duration::from_millis(10);

/// The scribe and its history.
pub(super) struct Scribe {
    running: Option<Running>,
    alive: bool,
    incarnation: u32,
    deaths: u32,
    failures: u32,
    /// When one said last that its seals keep up, whichever process it was: what the record is ahead of.
    pub(super) heard: Instant,
    /// It lives, and the disk does not let it seal.
    pub(super) stuck: bool,
    pub(super) unsynced: u64,
    pub(super) lost_lines: u64,
    pub(super) lag: Lag,
    /// The present epoch with its public key, and the latest seal.
    pub(super) epoch: Option<(u64, [u8; 32])>,
    pub(super) sealed: Option<LastSeal>,
    /// What keeps it from beginning.
    pub(super) damage: Option<String>,
    /// Segments' names, for one that asks for them bit by bit.
    pub(super) listing: Vec<String>,
    /// Clients of the control socket that wait for another epoch.
    pub(super) rekeying: Vec<u32>,
    /// Segments that it could not be given yet.
    pub(super) untold: Vec<String>,
    /// It has another segment of its own and has not begun there: a second one would be nobody's.
    pub(super) begins: bool,
    /// One has died over closing the log.
    pub(super) followed: bool,
}

struct Running {
    child: Child,
    line: Line<ToScribe>,
    interest: Interest,
    segment: String,
    started: Instant,
    heard: Instant,
    confined: Option<Confinement>,
}

impl Scribe {
    /// None yet.
    pub(super) fn absent() -> Scribe {
        Scribe {
            running: None,
            alive: false,
            incarnation: 0,
            deaths: 0,
            failures: 0,
            heard: Instant::now(),
            stuck: false,
            unsynced: 0,
            lost_lines: 0,
            lag: Lag::default(),
            epoch: None,
            sealed: None,
            damage: None,
            listing: Vec::new(),
            rekeying: Vec::new(),
            untold: Vec::new(),
            begins: false,
            followed: false,
        }
    }

    /// Whether it gave a sign of life a moment ago.
    pub(super) fn is_alive(&self) -> bool {
        self.alive
    }

    /// Whether there is a process.
    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// How often one died.
    pub(super) fn deaths(&self) -> u32 {
        self.deaths
    }

    /// Whether this is its own segment.
    pub(super) fn writes(&self, name: &str) -> bool {
        self.running.as_ref().is_some_and(|running| running.segment == name)
    }

    /// Ends it.
    pub(super) fn kill(&self) {
        if let Some(running) = &self.running
            && let Err(error) = running.child.signal(nix::libc::SIGKILL)
        {
            tracing::debug!(%error, "the scribe was gone");
        }
    }

    /// The next thing that it says.
    pub(super) fn next(&self) -> io::Result<Option<FromScribe>> {
        self.running.as_ref().map_or(Ok(None), |running| running.line.next())
    }

    /// Its channel is not watched any more.
    pub(super) fn forget_line(&self, poll: &Poll) {
        if let Some(running) = &self.running {
            poll.forget(running.line.as_fd());
        }
    }

    /// How its process found itself.
    pub(super) fn confined(&mut self, confined: Confinement) {
        if let Some(running) = &mut self.running {
            running.confined = Some(confined);
        }
    }

    /// It gave a sign of life.
    pub(super) fn signed(&mut self, now: Instant) {
        if let Some(running) = &mut self.running {
            running.heard = now;
        }
    }

    /// It has another segment of its own from now on; the one before.
    pub(super) fn goes_on_in(&mut self, segment: String) -> Option<String> {
        self.running.as_mut().map(|running| std::mem::replace(&mut running.segment, segment))
    }

    /// Its process, and how that found itself.
    pub(super) fn process(&self) -> Option<(u32, Option<&Confinement>)> {
        self.running.as_ref().map(|running| (running.child.pid(), running.confined.as_ref()))
    }

    /// The number of an epoch behind the latest that is known, and the hash of the latest seal.
    pub(super) fn known(&self) -> Option<(u64, Option<Digest>)> {
        self.epoch.map(|(epoch, _key)| (epoch + 1, self.sealed.map(|sealed| Digest(sealed.hash))))
    }

    /// For `peergate status`.
    pub(super) fn status(&self) -> ScribeStatus {
        ScribeStatus {
            pid: self.running.as_ref().map_or(0, |running| running.child.pid()),
            deaths: self.deaths,
            unsynced: self.unsynced,
            lost_lines: self.lost_lines,
            stuck: self.stuck,
            lag: self.lag,
            epoch: self.epoch.map(|(epoch, _key)| epoch),
            sealed: self.sealed,
        }
    }
}

impl Warden {
    /// Starts a scribe and gives it all segments that are not closed.
    ///
    /// # Errors
    ///
    /// There is no segment, no descriptor or no process for it.
    pub(super) fn start_scribe(&mut self) -> io::Result<()> {
        let made = self.segments.create(Writer::Scribe)?;
        let (child, ours) = match self.spawn_scribe(&self.diagnostics) {
            Ok(started) => started,
            Err(error) => {
                self.segments.discard(&made.name);
                return Err(error);
            }
        };
        self.scribe.incarnation = self.scribe.incarnation.wrapping_add(1);
        self.poll.watch(&child, Source::ScribeProcess(self.scribe.incarnation), Interest::Read)?;
        let line = Line::new(ours);
        self.poll.watch(line.as_fd(), Source::Scribe, Interest::Read)?;
        let (pid, now) = (child.pid(), Instant::now());
        self.scribe.running = Some(Running {
            child,
            line,
            interest: Interest::Read,
            segment: made.name.clone(),
            started: now,
            heard: now,
            confined: None,
        });
        self.scribe.begins = true;
        self.note_scribe(pid, Life::Started);
        let directory = Rc::new(self.segments.readable_directory()?);
        let damage = if self.phase == Phase::Starting && !self.options.accept_damage {
            Damage::Refuses
        } else {
            Damage::IsRecorded
        };
        let start = self.scribe_start(made.name, made.reserved, Some(damage));
        let (store, epochs) = (Rc::clone(&self.vault.store), Rc::clone(&self.vault.epochs));
        self.tell_scribe(start, vec![directory, made.file, store, epochs]);
        self.tell_scribe_policy();
        self.follow_all();
        Ok(())
    }

    /// A scribe's process and the channel to it. `diagnostics` is what it collects.
    pub(super) fn spawn_scribe(&self, diagnostics: &DiagnosticsPipe) -> io::Result<(Child, Channel)> {
        let (ours, theirs) = Channel::pair()?;
        let mut spawn = Spawn::new(self.executable.as_fd(), c"peergated")
            .argument(c"@scribe".to_owned())
            .argument(CString::new(self.options.terms.to_string())?)
            .descriptor(theirs.as_fd())
            .descriptor(diagnostics.write.as_fd())
            .descriptor(diagnostics.read.as_fd());
        if confine::may_disempower() {
            spawn = spawn.powerless();
        }
        if let Some(ids) = &self.identities.scribe {
            spawn = spawn.ids(ids.clone());
        }
        Ok((spawn.start()?, ours))
    }

    /// What a scribe is told first.
    pub(super) fn scribe_start(&self, segment: String, reserved: u64, seals: Option<Damage>) -> ToScribe {
        let settings = &self.force.policy.diagnostics;
        ToScribe::Start {
            boot: self.boot,
            segment,
            reserved,
            size: self.segments.size().min(OWN_SIZE),
            policy: self.force.short.clone(),
            missing: self.missing.clone(),
            diagnostics: settings.directory.clone(),
            level: settings.level.clone(),
            json: settings.json,
            seals,
        }
    }

    /// All segments that are not closed, but its own, which it writes itself.
    fn follow_all(&mut self) {
        let own = self.scribe.running.as_ref().map(|running| running.segment.clone());
        let live: Vec<(String, bool)> =
            self.segments.live().map(|(name, finished)| (name.to_owned(), finished)).collect();
        self.scribe.untold.clear();
        for (name, finished) in live.into_iter().filter(|(name, _)| Some(name) != own.as_ref()) {
            self.follow(&name);
            if finished {
                self.tell_scribe(ToScribe::Finished { segment: name }, Vec::new());
            }
        }
        for gate in self.segments.gates() {
            if self.roster.gate(gate).is_none() {
                self.tell_scribe(ToScribe::GateGone { gate }, Vec::new());
            }
        }
    }

    /// Sends to the scribe, behind what waits already.
    pub(super) fn tell_scribe(&mut self, message: ToScribe, descriptors: Vec<Rc<OwnedFd>>) {
        let Some(running) = &mut self.scribe.running else { return };
        let before = running.line.waiting();
        let flow = running.line.post(message, descriptors);
        if before == 0 {
            self.scribe_flows(flow);
        }
    }

    /// Tries what waits for it again.
    pub(super) fn push_scribe(&mut self) {
        let Some(running) = &mut self.scribe.running else { return };
        if running.line.waiting() > 0 {
            let flow = running.line.push();
            self.scribe_flows(flow);
        }
    }

    fn scribe_flows(&mut self, flow: io::Result<Flow>) {
        let Some(running) = &mut self.scribe.running else { return };
        let interest = match flow {
            Ok(Flow::Full) => Interest::ReadWrite,
            Ok(Flow::Sent) => Interest::Read,
            Ok(Flow::Later) => {
                self.timers.after(SHORT, Due::PushScribe);
                Interest::Read
            }
            Err(error) => {
                tracing::debug!(%error, "the scribe can't be told anything any more");
                Interest::Read
            }
        };
        if std::mem::replace(&mut running.interest, interest) != interest
            && let Err(error) = self.poll.change(running.line.as_fd(), Source::Scribe, interest)
        {
            tracing::debug!(%error, "the scribe is not watched any more");
        }
    }

    /// Whether the record can be trusted to go on, for all lanes to know.
    pub(super) fn scribe_is(&mut self, alive: bool) {
        if std::mem::replace(&mut self.scribe.alive, alive) == alive {
            return;
        }
        if !alive {
            tracing::error!("no scribe seals the record: no request is served until one does");
        }
        self.tell_all_recordable();
    }

    /// Tells each lane whether its requests can be recorded, where that is news to it.
    pub(super) fn tell_all_recordable(&mut self) {
        self.roster.lanes().into_iter().for_each(|lane| self.tell_recordable(lane));
    }

    /// Once a second: whether the record may still run ahead, whether the process that is there hangs, and what
    /// it could not be given yet.
    pub(super) fn watch_scribe(&mut self) {
        self.timers.after(RETRY, Due::ScribeWatch);
        if self.scribe.heard.elapsed() >= SILENCE {
            self.scribe_is(false);
        }
        let Some(running) = &self.scribe.running else { return };
        // One that has just been started has its own time to say its first word.
        if running.heard.elapsed() >= SILENCE {
            self.note_scribe(running.child.pid(), Life::Silent);
            self.scribe.kill();
            // What hangs in the kernel is ended, and that noted, once more in as long.
            self.scribe.signed(Instant::now());
        }
        self.tell_untold();
    }

    /// What it could not be given yet, and what became of that meanwhile, which it heard when it did not know it.
    fn tell_untold(&mut self) {
        for name in std::mem::take(&mut self.scribe.untold) {
            self.follow(&name);
            if self.scribe.untold.last() == Some(&name) {
                continue;
            }
            if self.segments.is_finished(&name) {
                self.tell_scribe(ToScribe::Finished { segment: name.clone() }, Vec::new());
            }
            if let Some(gate) = self.segments.gate_of(&name).filter(|gate| self.roster.gate(*gate).is_none())
            {
                self.tell_scribe(ToScribe::GateGone { gate }, Vec::new());
            }
        }
    }

    /// Its process ended.
    pub(super) fn reap_scribe(&mut self, incarnation: u32) {
        if incarnation != self.scribe.incarnation {
            return;
        }
        let Some(running) = self.scribe.running.take() else { return };
        let exit = match running.child.reap() {
            Ok(Some(exit)) => exit,
            Ok(None) => {
                self.scribe.running = Some(running);
                return;
            }
            Err(error) => {
                tracing::error!(%error, "the scribe's end can't be read");
                Exit::Code(-1)
            }
        };
        // What it said last may still be there.
        while let Ok(Some(message)) = running.line.next::<FromScribe>() {
            self.obey_scribe(message);
        }
        self.poll.forget(&running.child);
        self.poll.forget(running.line.as_fd());
        self.segments.finish(&running.segment);
        for client in std::mem::take(&mut self.scribe.rekeying) {
            let why = "the scribe died before another epoch began; ask again in a moment".to_owned();
            self.reply_control(client, &ControlReply::Refused { why });
        }
        if self.phase.is_over() {
            return;
        }
        if self.phase == Phase::Closed {
            self.release_last(&running.segment);
        }
        if matches!(self.phase, Phase::Closing | Phase::Closed) {
            return self.scribe_left();
        }
        self.scribe.deaths += 1;
        let (pid, end) = (running.child.pid(), life(exit, false));
        self.note_scribe(pid, end);
        self.note_death("scribe", None, pid, end);
        let steady = running.started.elapsed() >= STEADY;
        self.scribe.failures = if steady { 1 } else { self.scribe.failures + 1 };
        let wait = pause(self.scribe.failures).unwrap_or_default();
        self.timers.after(wait, Due::ScribeStart);
    }

    /// The segment of a scribe that closed all others and did not leave.
    pub(super) fn release_scribes_last(&mut self) {
        if let Some(segment) = self.scribe.running.as_ref().map(|running| running.segment.clone()) {
            self.release_last(&segment);
        }
    }

    fn release_last(&mut self, segment: &str) {
        if let Err(error) = self.segments.release_last(segment) {
            tracing::warn!(%error, segment, "its unused space can't be given back");
        }
    }

    /// The pause after its death is over.
    pub(super) fn start_scribe_again(&mut self) {
        // Where the log is being closed, that has seen to it.
        let closes = matches!(self.phase, Phase::Closing | Phase::Closed | Phase::Over { .. });
        if closes || self.scribe.running.is_some() {
            return;
        }
        if let Err(error) = self.start_scribe() {
            tracing::error!(%error, "the scribe can't be started");
            self.timers.after(RETRY, Due::ScribeStart);
        }
    }

    /// Waits for the first sign of life of the scribe that was just started, and watches over it from then on;
    /// only while starting.
    ///
    /// # Errors
    ///
    /// It ended, or said nothing within [`SILENCE`].
    pub(super) fn await_scribe(&mut self) -> io::Result<()> {
        while !self.scribe.alive {
            // One that reads what is there from before says so.
            let heard = self.scribe.running.as_ref().map_or(self.scribe.heard, |running| running.heard);
            let until = heard + SILENCE;
            if Instant::now() >= until {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it gives no sign of life"));
            }
            for news in self.poll.wait(Some(until))? {
                match news.source {
                    Source::Scribe => self.hear_scribe(news),
                    Source::ScribeProcess(_) => return Err(self.scribe_ended_at_once()),
                    _ => {}
                }
            }
        }
        self.timers.after(RETRY, Due::ScribeWatch);
        self.timers.after(RETRY, Due::NamesWatch);
        Ok(())
    }

    /// Why it did not begin.
    fn scribe_ended_at_once(&mut self) -> io::Error {
        while let Ok(Some(message)) = self.scribe.next() {
            self.obey_scribe(message);
        }
        let Some(what) = self.scribe.damage.take() else { return io::Error::other("it ended at once") };
        let directory = self.segments.path("");
        io::Error::other(format!(
            "the record in {directory} is damaged: {what}. Keep a copy of the directory as it is and look into it \
             with `peergate audit verify`; `peergated --accept-damage` puts the damage on record, and goes on behind it"
        ))
    }

    fn note_scribe(&mut self, pid: u32, event: Life) {
        self.record.note(&Entry::Gate(GateEvent {
            role: "scribe",
            uid: None,
            pid,
            event,
            live: &[],
            syscall: None,
        }));
    }
}
