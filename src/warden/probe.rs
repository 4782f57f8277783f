//! Roles that try what they must not be able to do, and tell, or die of it. Each is started for one try, by the code
//! that starts those that serve, and never sees a caller. One at a time.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::pipe2;

use super::apps::app_start;
use super::drain::Phase;
use super::gates::life;
use super::poll::{Interest, Source};
use super::segments::{Created, Writer};
use super::{DiagnosticsPipe, Due, Warden};
use crate::audit::entry::{Entry, GateEvent};
use crate::confine::probes::{self, Probe};
use crate::model::ids::{ConnectionId, RequestId};
use crate::model::probe::{Found, Place, Subject, Trial};
use crate::sys::process::{Child, Exit};
use crate::wire::app::{FromApp, ToApp};
use crate::wire::channel::Channel;
use crate::wire::message::{ControlReply, FromGate, FromScribe, ToGate, ToScribe};
use crate::wire::runner::{FromRunner, How, ToRunner};

/// A role starts, tries and tells within this time.
const LIMIT: Duration = Duration::from_secs(10);
/// What may be written into memory, or to /dev/null, in place of a segment.
const ROOM: u64 = 1 << 20;

/// The one that tries now, and how many have tried.
#[derive(Default)]
pub(super) struct Probing {
    made: u32,
    running: Option<Running>,
}

struct Running {
    number: u32,
    /// The client of the control socket that waits for it.
    client: u32,
    subject: Subject,
    expected: Found,
    found: Option<Found>,
    process: Process,
    /// The segment that it got, where the probe is about the log.
    segment: Option<String>,
}

/// What it says.
enum Heard {
    /// This came of it.
    Tried(Found),
    /// What tried is gone.
    Ended(u32, Exit),
    /// It can't try.
    NotStarted(String),
    /// What this one is not listened to for.
    Other,
}

/// A role that was started, and what keeps it going.
struct Process {
    /// None of a runner: that one is no child of this process, and tells how the one that tried has ended.
    child: Option<Child>,
    /// To each lane of a gate, or to the one other role; the last one tries.
    channels: Vec<Channel>,
    /// The other end of what might be its client.
    client: UnixStream,
}

impl Process {
    fn channel(&self) -> io::Result<&Channel> {
        self.channels.last().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Whether it came to make its try: it says so to what might be its client, right before.
    fn has_tried(&self) -> bool {
        (&self.client).read(&mut [0]).is_ok_and(|read| read == 1)
    }
}

impl Warden {
    /// Has a role of this kind try something; the answer goes to `client` once it is known.
    pub(super) fn probe(&mut self, client: u32, name: &str, subject: Subject, place: Place) {
        let refused = |why: &str| ControlReply::Refused { why: why.to_owned() };
        let Some((place_in_list, probe)) = probes::named(name) else {
            return self.reply_control(client, &refused("this daemon knows no probe of that name"));
        };
        if !subject.places().contains(&place) {
            return self.reply_control(client, &refused("this role has no such thread"));
        }
        if subject == Subject::App && self.apps.each().next().is_none() {
            return self.reply_control(client, &refused("this daemon has no app"));
        }
        if !probe.is_for(subject) {
            return self.reply_control(client, &refused("this role has nothing to try this on"));
        }
        if self.phase != Phase::Serving {
            return self.reply_control(client, &refused("the daemon stops"));
        }
        if self.probing.running.is_some() {
            return self.reply_control(client, &refused("another probe runs; ask again when it is done"));
        }
        if let Err(error) = self.begin_probe(client, place_in_list, probe, subject, place) {
            self.reply_control(client, &refused(&format!("a {} can't be started: {error}", subject.name())));
        }
    }

    fn begin_probe(
        &mut self,
        client: u32,
        place_in_list: u16,
        probe: &Probe,
        subject: Subject,
        place: Place,
    ) -> io::Result<()> {
        let writes = matches!(subject, Subject::Gate | Subject::Scribe);
        let segment = match probe.attempt.is_about_the_log() && writes {
            true => Some(self.segments.create(Writer::Probe)?),
            false => None,
        };
        let name = segment.as_ref().map(|made| made.name.clone());
        let trial = Trial {
            number: place_in_list,
            place,
            warden: std::process::id(),
            other: self.other_role(subject),
            segment: name.as_deref().map(|name| self.segments.path(name)).unwrap_or_default(),
            key: self.segments.path("hash.key"),
        };
        let watched =
            self.start_trying(subject, trial, segment).and_then(|process| self.watch_probe(process));
        let (number, process) = match watched {
            Ok(watched) => watched,
            Err(error) => {
                name.iter().for_each(|name| self.close_probed(name));
                return Err(error);
            }
        };
        let expected = probe.expected(
            subject,
            self.force.policy.diagnostics.directory.is_some(),
            self.options.terms.root,
        );
        let found = None;
        self.probing.running =
            Some(Running { number, client, subject, expected, found, process, segment: name });
        self.timers.after(LIMIT, Due::ProbeLimit(number));
        Ok(())
    }

    /// A process that is there to be attacked; the warden itself where there is no other.
    fn other_role(&self, subject: Subject) -> u32 {
        let gate = self.roster.gates().next().map(|(_, gate)| gate.child.pid());
        let scribe = Some(self.scribe.status().pid).filter(|pid| *pid != 0);
        let other = match subject {
            // Another caller's gate, where there is one.
            Subject::Gate => gate.or(scribe),
            Subject::Scribe => gate,
            Subject::App | Subject::Runner => gate.or(scribe),
        };
        other.unwrap_or_else(std::process::id)
    }

    /// Starts it and tells it what to try.
    fn start_trying(
        &mut self,
        subject: Subject,
        trial: Trial,
        segment: Option<Created>,
    ) -> io::Result<Process> {
        let (child, channels) = match subject {
            Subject::Gate => {
                let (child, lanes) = self.spawn_gate(if trial.place == Place::Lane { 2 } else { 1 })?;
                (Some(child), lanes)
            }
            Subject::Scribe => {
                // What other roles say is not for this one to collect.
                let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
                let (child, channel) = self.spawn_scribe(&DiagnosticsPipe { read, write })?;
                (Some(child), vec![channel])
            }
            Subject::App => {
                let (child, channel) = self.spawn_app(0)?;
                (Some(child), vec![channel])
            }
            Subject::Runner => (None, vec![self.fresh_runner()?]),
        };
        let told = match subject {
            Subject::Gate => self.tell_trying_gate(&channels, trial, segment),
            Subject::Scribe => self.tell_trying_scribe(&channels, trial, segment),
            Subject::App => self.tell_trying_app(&channels, trial),
            Subject::Runner => self.tell_trying_runner(&channels, trial),
        };
        match told {
            Ok(client) => Ok(Process { child, channels, client }),
            Err(error) => {
                child.into_iter().for_each(|child| self.put_down(child));
                Err(error)
            }
        }
    }

    /// Its first messages, as to any gate; a lane that has nothing to do with it writes nowhere.
    fn tell_trying_gate(
        &self,
        lanes: &[Channel],
        trial: Trial,
        segment: Option<Created>,
    ) -> io::Result<UnixStream> {
        let (log, reserved) =
            segment.map_or_else(|| (Rc::clone(&self.nowhere), ROOM), |made| (made.file, made.reserved));
        let (trying, others) = lanes.split_last().ok_or(io::ErrorKind::NotFound)?;
        // No key: what it could hash is not what stands in the record.
        let start = |reserved| self.lane_start(None, reserved, [0; 32]);
        for lane in others {
            lane.send(&start(ROOM), &[self.nowhere.as_fd(), self.force.memory.as_fd()])?;
        }
        trying.send(&start(reserved), &[log.as_fd(), self.force.memory.as_fd()])?;
        let (ours, theirs) = client()?;
        trying.send(&ToGate::Try(trial), &[theirs.as_fd()])?;
        Ok(ours)
    }

    /// Its first messages, as to any scribe. It begins with a record, and syncs it, so that it writes to memory where
    /// it needs no segment.
    fn tell_trying_scribe(
        &self,
        channels: &[Channel],
        trial: Trial,
        segment: Option<Created>,
    ) -> io::Result<UnixStream> {
        let (name, log, reserved) = match segment {
            Some(made) => (made.name, made.file, made.reserved),
            None => (String::new(), Rc::new(memfd_create("segment", MFdFlags::MFD_CLOEXEC)?), ROOM),
        };
        let channel = channels.first().ok_or(io::ErrorKind::NotFound)?;
        let directory = self.segments.readable_directory()?;
        channel.send(&self.scribe_start(name, reserved, None), &[directory.as_fd(), log.as_fd()])?;
        let (ours, theirs) = client()?;
        channel.send(&ToScribe::Try(trial), &[theirs.as_fd()])?;
        Ok(ours)
    }

    /// Its first messages, as to any app, but that it declares nothing and nothing of the program's runs in it.
    fn tell_trying_app(&self, channels: &[Channel], trial: Trial) -> io::Result<UnixStream> {
        let channel = channels.first().ok_or(io::ErrorKind::NotFound)?;
        let sandbox = self.apps.bare_sandbox().ok_or(io::ErrorKind::NotFound)?;
        channel.send(&app_start(&self.force.policy, sandbox, true), &[])?;
        let (ours, theirs) = client()?;
        channel.send(&ToApp::Try(trial), &[theirs.as_fd()])?;
        Ok(ours)
    }

    /// Its first message, in place of that with a command.
    fn tell_trying_runner(&self, channels: &[Channel], trial: Trial) -> io::Result<UnixStream> {
        let channel = channels.first().ok_or(io::ErrorKind::NotFound)?;
        let (ours, theirs) = client()?;
        // No connection has this number.
        let id = RequestId { connection: ConnectionId { boot: self.boot, number: 0 }, number: 0 };
        let (terms, control) = (self.options.terms.to_string(), self.force.policy.daemon.control.clone());
        channel.send(&ToRunner::Try { trial: Box::new(trial), terms, control, id }, &[theirs.as_fd()])?;
        Ok(ours)
    }

    fn watch_probe(&mut self, process: Process) -> io::Result<(u32, Process)> {
        self.probing.made = self.probing.made.wrapping_add(1);
        let number = self.probing.made;
        let of_child = match &process.child {
            Some(child) => self.poll.watch(child, Source::ProbeProcess(number), Interest::Read),
            None => Ok(()),
        };
        let watched = of_child
            .and_then(|()| self.poll.watch(process.channel()?, Source::Probe(number), Interest::Read));
        match watched {
            Ok(()) => Ok((number, process)),
            Err(error) => {
                process.child.into_iter().for_each(|child| self.put_down(child));
                Err(error)
            }
        }
    }

    /// News of its channel: what it found, or its end, which its process's end will tell.
    pub(super) fn hear_probe(&mut self, number: u32) {
        loop {
            let Some(running) = self.probing.running.as_mut().filter(|running| running.number == number)
            else {
                return;
            };
            let Ok(channel) = running.process.channel() else { return };
            match hear(running.subject, channel) {
                Ok(Some(Heard::Tried(found))) => {
                    running.found = Some(found);
                    // A runner's ends by itself.
                    if running.process.child.is_some() {
                        return self.end_probe();
                    }
                }
                Ok(Some(Heard::Ended(pid, exit))) => return self.probe_ended(pid, exit),
                Ok(Some(Heard::NotStarted(why))) => return self.give_up_probe(&why),
                // Whatever else a role says; this one is not listened to.
                Ok(Some(Heard::Other)) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(None) | Err(_) if running.process.child.is_some() => return self.poll.forget(channel),
                Ok(None) | Err(_) => return self.give_up_probe("it went away without a word"),
            }
        }
    }

    /// Ends the one that tries, if there is one; its process's end is heard. A runner ends it once it has no warden.
    pub(super) fn end_probe(&mut self) {
        let Some(running) = &self.probing.running else { return };
        match &running.process.child {
            Some(child) => {
                if let Err(error) = child.signal(nix::libc::SIGKILL) {
                    tracing::debug!(%error, "a role that tried something was gone");
                }
            }
            None => self.give_up_probe("it was given up"),
        }
    }

    /// Whether one is there.
    pub(super) fn is_probing(&self) -> bool {
        self.probing.running.is_some()
    }

    /// It had its time.
    pub(super) fn probe_timed_out(&mut self, number: u32) {
        let Some(running) = self.probing.running.as_mut().filter(|running| running.number == number) else {
            return;
        };
        running.found.get_or_insert(Found::Silent);
        self.end_probe();
    }

    /// Its process ended.
    pub(super) fn reap_probe(&mut self, number: u32) {
        // What it said last may still be there.
        self.hear_probe(number);
        let Some(running) = self.probing.running.as_ref().filter(|running| running.number == number) else {
            return;
        };
        let Some(child) = &running.process.child else { return };
        let exit = match child.reap() {
            Ok(Some(exit)) => exit,
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, "the end of a role that tried something can't be read");
                Exit::Code(-1)
            }
        };
        self.poll.forget(child);
        self.probe_ended(child.pid(), exit);
    }

    /// What tried is gone: that is the answer, unless it gave one before. No death of a role that serves, and on record as
    /// what it is.
    fn probe_ended(&mut self, pid: u32, exit: Exit) {
        let Some(running) = self.take_probe() else { return };
        let role = match running.subject {
            Subject::Gate => "gate-probe",
            Subject::Scribe => "scribe-probe",
            Subject::App => "app-probe",
            Subject::Runner => "runner-probe",
        };
        let event = life(exit, false);
        self.record.note(&Entry::Gate(GateEvent { role, uid: None, pid, event, live: &[], syscall: None }));
        running.segment.iter().for_each(|name| self.close_probed(name));
        let found = running.found.unwrap_or(match exit {
            _ if !running.process.has_tried() => Found::Unready,
            Exit::Code(code) => Found::Exit(code),
            Exit::Signal(signal) => Found::Signal(signal),
        });
        self.reply_control(running.client, &ControlReply::Probed { found, expected: running.expected });
        self.gate_gone();
    }

    /// A runner that will not tell any more.
    fn give_up_probe(&mut self, why: &str) {
        let Some(running) = self.take_probe() else { return };
        let reply = match running.found {
            Some(found) => ControlReply::Probed { found, expected: running.expected },
            None => ControlReply::Refused { why: format!("{}: {why}", running.subject.name()) },
        };
        self.reply_control(running.client, &reply);
        self.gate_gone();
    }

    fn take_probe(&mut self) -> Option<Running> {
        let running = self.probing.running.take()?;
        running.process.channels.last().into_iter().for_each(|channel| self.poll.forget(channel));
        Some(running)
    }

    /// What it wrote is part of the record like any other segment.
    fn close_probed(&mut self, name: &str) {
        self.follow(name);
        self.finished(name);
    }
}

/// The next that it says; `None` where it is gone.
fn hear(subject: Subject, channel: &Channel) -> io::Result<Option<Heard>> {
    Ok(match subject {
        Subject::Gate => channel.receive_bare()?.map(|message| match message {
            FromGate::Tried(found) => Heard::Tried(found),
            _ => Heard::Other,
        }),
        Subject::Scribe => channel.receive_bare()?.map(|message| match message {
            FromScribe::Tried(found) => Heard::Tried(found),
            _ => Heard::Other,
        }),
        Subject::App => channel.receive_bare()?.map(|message| match message {
            FromApp::Tried(found) => Heard::Tried(found),
            _ => Heard::Other,
        }),
        Subject::Runner => channel.receive_bare()?.map(|message| match message {
            FromRunner::Tried(found) => Heard::Tried(found),
            FromRunner::TryEnded { pid, how: How::Code(code) } => Heard::Ended(pid, Exit::Code(code.into())),
            FromRunner::TryEnded { pid, how: How::Signal(signal) } => Heard::Ended(pid, Exit::Signal(signal)),
            FromRunner::NotStarted { why } => Heard::NotStarted(why),
            _ => Heard::Other,
        }),
    })
}

/// What might be a client and its connection.
fn client() -> io::Result<(UnixStream, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    Ok((ours, theirs))
}
