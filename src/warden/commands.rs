//! Commands: what a gate asks to be run is judged by the policy in force ([`judge`]), recorded with the arguments that it
//! comes to, and only then given to a runner, which is no child of this process: it must not live in its confinement,
//! nor end with it.
//!
//! Who starts runners, and the one that waits for the next command: [`starter`]. Who waits for a turn: [`mod@line`].

mod judge;
mod line;
mod report;
mod starter;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use super::drain::Phase;
use super::grant::Asked;
use super::poll::{Interest, LaneId, Source};
use super::{Due, Warden};
use crate::audit::entry::{Entry, Exit, Grant as GrantEntry, Run as RunEntry};
use crate::audit::log::Receipt;
use crate::audit::secret::Secrets;
use crate::model::ids::{ConnectionId, RequestId};
use crate::model::posture::Confinement;
use crate::model::refusal::Refusal;
use crate::policy::{BackendKind, Command, Given, Policy};
use crate::sys;
use crate::wire::channel::Channel;
use crate::wire::message::{ControlReply, ToGate};
use crate::wire::runner::{BEGIN, Ended, Form, FromRunner, How, Job, ToRunner};

use line::{Line, Of, Stands, Turn};
use starter::Runners;

/// A runner gets this long to say whether its command runs: enough to tell of one that did not begin in time ([`BEGIN`]).
const START: Duration = Duration::from_secs(20);

/// A question for a command, as a lane put it.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) asked: Asked,
    /// The route's id.
    pub(super) route: String,
    pub(super) method: String,
    /// In its canonical form.
    pub(super) target: String,
    /// Values from the body.
    pub(super) members: Given,
    pub(super) form: Form,
}

/// A command that is on record, and is started by whoever has the receipt.
#[derive(Debug)]
pub(super) struct Start {
    number: u32,
    job: Job,
}

impl Start {
    /// Its place among those that run.
    pub(super) fn number(&self) -> u32 {
        self.number
    }
}

/// One that runs, or is about to.
#[derive(Debug)]
struct Run {
    lane: LaneId,
    ticket: u32,
    connection: u64,
    uid: u32,
    id: RequestId,
    backend: String,
    /// `None` until it is on record.
    channel: Option<Channel>,
    /// The gate's end of the link, until the command runs.
    link: Option<OwnedFd>,
    /// Its runner, once that has confined itself.
    runner: Option<Runner>,
}

/// A runner, as it found itself.
#[derive(Debug)]
struct Runner {
    pid: u32,
    confined: Box<Confinement>,
    has_group: bool,
}

/// A runner whose command has ended, and which still sends what that said.
#[derive(Debug)]
struct Sending {
    uid: u32,
    channel: Channel,
}

/// All of them.
#[derive(Default)]
pub(super) struct Commands {
    runners: Runners,
    running: BTreeMap<u32, Run>,
    made: u32,
    line: Line,
    /// Those whose commands have ended, until they are gone.
    sending: BTreeMap<u32, Sending>,
}

impl Commands {
    fn running(&self, backend: &str) -> usize {
        self.running.values().filter(|run| run.backend == backend).count()
    }
}

/// Whether a policy has any command.
pub(super) fn has_commands(policy: &Policy) -> bool {
    policy.backends.iter().any(|backend| matches!(backend.kind, BackendKind::Command(_)))
}

impl Warden {
    /// Judges one wish by the policy in force.
    pub(super) fn judge_run(&mut self, lane: LaneId, wish: Wish) {
        let Asked { ticket, connection: number, .. } = wish.asked;
        let Some(connection) =
            self.connections.get(number).filter(|connection| connection.lane == Some(lane))
        else {
            tracing::debug!(?lane, number, "a command was asked for a connection that is not there");
            return self.refuse_open(lane, ticket, Refusal::NotAllowed);
        };
        let uid = connection.caller.peer.uid;
        if !self.callers.may_open(uid, &self.force.policy.limits, std::time::Instant::now()) {
            return self.refuse_open(lane, ticket, Refusal::RateLimited);
        }
        self.run_or_wait(lane, wish, Stands::New);
    }

    /// `Later`: it waits. Else it runs, or was refused.
    fn run_or_wait(&mut self, lane: LaneId, wish: Wish, stands: Stands) -> Turn {
        let Asked { ticket, connection: number, request, .. } = wish.asked;
        let Some(uid) = self.connections.get(number).map(|connection| connection.caller.peer.uid) else {
            self.refuse_open(lane, ticket, Refusal::NotAllowed);
            return Turn::Now;
        };
        let id = RequestId { connection: ConnectionId { boot: self.boot, number }, number: request };
        let (named, judged) = self.judge_command(&wish);
        let judged = judged.and_then(|(command, given)| {
            let turn = self.turn(&named, &command, Of { uid, connection: number }, stands)?;
            Ok((command, given, turn))
        });
        let (command, given) = match judged {
            Ok((command, given, Turn::Now)) => (command, given),
            Ok((_, _, Turn::Later)) => {
                match stands {
                    Stands::New => self.commands.line.join(named, lane, wish),
                    Stands::First => self.commands.line.stay(named, lane, wish),
                }
                return Turn::Later;
            }
            Err(refusal) => {
                let (policy, refused) = (&self.force.short, Some(refusal));
                let entry = GrantEntry { id, uid, backend: &named, policy, refused, via: None, run: None };
                self.record.note(&Entry::Grant(entry));
                self.refuse_open(lane, ticket, refusal);
                return Turn::Now;
            }
        };
        let job = match self.job(id, &command, &given, wish.form) {
            Ok(job) => job,
            Err(refusal) => {
                self.refuse_open(lane, ticket, refusal);
                return Turn::Now;
            }
        };
        let secrets = Secrets::new(&self.hash_key);
        let argv = command.told(&given, |value| secrets.hash(value));
        let run = Some(RunEntry { argv: &argv, user: &command.cage.user });
        let policy = &self.force.short;
        let entry =
            Entry::Grant(GrantEntry { id, uid, backend: &named, policy, refused: None, via: None, run });
        self.commands.made = self.commands.made.wrapping_add(1);
        let place = self.commands.made;
        match self.record.then_run(Box::new(Start { number: place, job }), &entry) {
            Ok(()) => {
                let (channel, link, runner) = (None, None, None);
                let (connection, backend) = (number, named);
                let run = Run { lane, ticket, connection, uid, id, backend, channel, link, runner };
                self.commands.running.insert(place, run);
                if let Some(connection) = self.connections.get_mut(number) {
                    connection.opening += 1;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a command can't be recorded and is refused");
                self.refuse_open(lane, ticket, Refusal::AuditUnavailable);
            }
        }
        Turn::Now
    }

    /// The backend's name, and the command that it is with its values, if the caller may run it.
    fn judge_command(&self, wish: &Wish) -> (String, Result<(Command, Given), Refusal>) {
        let Asked { connection: number, backend, generation, .. } = wish.asked;
        let Some(connection) = self.connections.get(number) else {
            return (String::new(), Err(Refusal::NotAllowed));
        };
        let (listener, caller) = (connection.listener, &connection.caller);
        let (named, judged) = self.judge_backend(listener, number, backend, generation);
        let judged = judged.and_then(|id| {
            let judged = self.force.judge_wish(listener, caller, id, wish);
            // Where the gate judged by an older policy, whatever is not allowed now was taken away by the reload.
            let is_old = generation != self.force.generation;
            judged.map_err(|refusal| if is_old { Refusal::RefusedByReload } else { refusal })
        });
        (named, judged)
    }

    fn job(&self, id: RequestId, command: &Command, given: &Given, form: Form) -> Result<Job, Refusal> {
        Ok(Job {
            id,
            control: self.force.policy.daemon.control.clone(),
            program: command.program.clone(),
            arguments: command.filled(given)?,
            cage: command.cage.clone(),
            bounds: command.bounds,
            stdin: command.stdin.is_some(),
            form,
            statuses: command.statuses.clone(),
            terms: self.options.terms.to_string(),
            // Its time begins when it is given away.
            until: 0,
        })
    }

    /// Gives a command that is on record to a runner.
    pub(super) fn start_command(&mut self, start: Receipt<Box<Start>>) {
        let Start { number, job } = *start.into_inner();
        if let Err(error) = self.hand_to_runner(number, job) {
            tracing::error!(%error, "a command can't be given to a runner");
            self.command_not_started(number, &error.to_string());
        }
    }

    /// It could not be recorded after all.
    pub(super) fn command_not_recorded(&mut self, number: u32) {
        if let Some(run) = self.commands.running.remove(&number) {
            self.answer_run(&run, Err(Refusal::AuditUnavailable));
            self.next_of(&run.backend);
        }
    }

    fn hand_to_runner(&mut self, number: u32, mut job: Job) -> io::Result<()> {
        let until = sys::monotonic() + BEGIN;
        job.until = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, flags)?;
        let channel = self.commands.runners.take(&ToRunner::Run(Box::new(job)), theirs.as_fd())?;
        self.poll.watch(&channel, Source::Runner(number), Interest::Read)?;
        if let Some(run) = self.commands.running.get_mut(&number) {
            run.channel = Some(channel);
            run.link = Some(ours);
        }
        self.timers.after(START, Due::RunnerLimit(number));
        Ok(())
    }

    /// A runner said something, or is gone.
    pub(super) fn hear_runner(&mut self, number: u32) {
        loop {
            let Some(run) = self.commands.running.get(&number) else { return self.hear_sending(number) };
            let Some(channel) = &run.channel else { return };
            match channel.receive_bare::<FromRunner>() {
                Ok(Some(FromRunner::Started { pid, runner, confined, has_group })) => {
                    self.command_runs(number, pid, Runner { pid: runner, confined, has_group });
                }
                Ok(Some(FromRunner::NotStarted { why })) => return self.command_not_started(number, &why),
                Ok(Some(FromRunner::Ended(ended))) => self.command_ended(number, &ended),
                // Nobody asked it to.
                Ok(Some(FromRunner::Tried(_) | FromRunner::TryEnded { .. })) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(None) | Err(_) if run.link.is_some() => {
                    return self.command_not_started(number, "its runner ended");
                }
                Ok(None) | Err(_) => return self.runner_lost(number),
            }
        }
    }

    fn command_runs(&mut self, number: u32, pid: u32, runner: Runner) {
        let Some(run) = self.commands.running.get_mut(&number) else { return };
        let Some(link) = run.link.take() else { return };
        run.runner = Some(runner);
        tracing::debug!(id = %run.id, pid, "a command runs");
        let (connection, lane, ticket) = (run.connection, run.lane, run.ticket);
        self.answer_link(lane, ticket, connection, Ok(link));
        if self.connections.get(connection).is_none() {
            self.tell_caller_left(number);
        }
    }

    /// A runner that says nothing is let go; it hears of it by its channel's end.
    pub(super) fn runner_timed_out(&mut self, number: u32) {
        if self.commands.running.get(&number).is_some_and(|run| run.link.is_some()) {
            self.command_not_started(number, "its runner does not answer");
        }
    }

    fn command_not_started(&mut self, number: u32, why: &str) {
        let Some(run) = self.forget_run(number) else { return };
        tracing::error!(id = %run.id, backend = run.backend, why, "a command could not be started");
        self.note_exit(Exit { what: Some(why), ..nothing(run.id, "not-started") });
        self.answer_run(&run, Err(Refusal::CommandNotStarted));
        self.have_a_runner_wait();
        self.next_of(&run.backend);
    }

    fn command_ended(&mut self, number: u32, ended: &Ended) {
        let Some(run) = self.commands.running.get(&number) else { return };
        if self.notes_nothing() {
            // Without a word its runner tells the next daemon.
            self.forget_run(number);
            return;
        }
        // Its own name for it counts, not the runner's.
        self.note_exit(exit(run.id, ended));
        let Some(run) = self.commands.running.remove(&number) else { return };
        if let Some(channel) = run.channel {
            // One that does not hear it tells its end once more.
            if let Err(error) = channel.send(&ToRunner::Noted, &[]) {
                tracing::debug!(%error, "a runner does not hear that its end is noted");
            }
            self.commands.sending.insert(number, Sending { uid: run.uid, channel });
        }
        self.have_a_runner_wait();
        self.next_of(&run.backend);
    }

    /// Nothing more is to be heard of one whose command has ended, but that it is gone.
    fn hear_sending(&mut self, number: u32) {
        let Some(sending) = self.commands.sending.get(&number) else { return };
        let heard = sending.channel.receive_bare::<FromRunner>();
        if !matches!(heard, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            self.poll.forget(&sending.channel);
            self.commands.sending.remove(&number);
        }
    }

    fn runner_lost(&mut self, number: u32) {
        let Some(run) = self.forget_run(number) else { return };
        tracing::error!(id = %run.id, backend = run.backend, "a command's runner is gone");
        self.note_exit(nothing(run.id, "lost"));
        self.have_a_runner_wait();
        self.next_of(&run.backend);
    }

    fn forget_run(&mut self, number: u32) -> Option<Run> {
        let run = self.commands.running.remove(&number)?;
        if let Some(channel) = &run.channel {
            self.poll.forget(channel);
        }
        Some(run)
    }

    /// A command ended that an earlier daemon had started; its runner tells this one.
    pub(super) fn earlier_command_ended(&mut self, client: u32, ended: &Ended) {
        if self.notes_nothing() {
            return;
        }
        self.note_exit(exit(ended.id, ended));
        self.reply_control(client, &ControlReply::Noted);
    }

    /// A connection ended: what runs for it hears of it, what waits for it waits no more.
    pub(super) fn commands_of_connection_end(&mut self, connection: u64) {
        let of_it: Vec<u32> = self
            .commands
            .running
            .iter()
            .filter(|(_, run)| run.connection == connection)
            .map(|(number, _)| *number)
            .collect();
        of_it.into_iter().for_each(|number| self.tell_caller_left(number));
        self.commands.line.leave(connection);
    }

    fn tell_caller_left(&self, number: u32) {
        let channel = self.commands.running.get(&number).and_then(|run| run.channel.as_ref());
        // A runner that is gone is heard of by its channel.
        if let Some(Err(error)) = channel.map(|channel| channel.send(&ToRunner::CallerLeft, &[])) {
            tracing::debug!(%error, "a runner does not hear that its caller left");
        }
    }

    /// The record is about to be closed: commands that go on are noted.
    pub(super) fn detach_commands(&mut self) {
        let runs: Vec<RequestId> = self.commands.running.values().map(|run| run.id).collect();
        for id in runs {
            self.note_exit(nothing(id, "detached"));
        }
    }

    /// The record is being closed: what is noted now is lost.
    fn notes_nothing(&self) -> bool {
        matches!(self.phase, Phase::Closing | Phase::Closed | Phase::Over { .. })
    }

    fn note_exit(&mut self, exit: Exit<'_>) {
        self.record.note(&Entry::Exit(exit));
    }

    fn answer_run(&mut self, run: &Run, result: Result<OwnedFd, Refusal>) {
        self.answer_link(run.lane, run.ticket, run.connection, result);
    }

    fn answer_link(&mut self, lane: LaneId, ticket: u32, connection: u64, result: Result<OwnedFd, Refusal>) {
        let live = self.connections.get_mut(connection).map(|connection| {
            connection.opening = connection.opening.saturating_sub(1);
        });
        let (result, descriptors) = match result {
            Ok(link) if live.is_some() => (Ok(()), vec![Rc::new(link)]),
            Ok(_unwanted) => (Err(Refusal::NotAllowed), Vec::new()),
            Err(refusal) => (Err(refusal), Vec::new()),
        };
        self.tell_lane(lane, ToGate::Backend { ticket, result }, descriptors);
    }
}

fn exit(id: RequestId, ended: &Ended) -> Exit<'static> {
    let (code, signal) = match ended.how {
        How::Code(code) => (Some(code), None),
        How::Signal(signal) => (None, Some(signal)),
    };
    Exit {
        id,
        why: ended.why.word(),
        what: None,
        code,
        signal,
        out: ended.out,
        err: ended.err,
        us: ended.us,
        cpu_us: ended.cpu_us,
        rss_kib: ended.rss_kib,
    }
}

/// An end of which nothing more is known.
fn nothing(id: RequestId, why: &'static str) -> Exit<'static> {
    let (what, code, signal) = (None, None, None);
    Exit { id, why, what, code, signal, out: 0, err: 0, us: 0, cpu_us: 0, rss_kib: 0 }
}
