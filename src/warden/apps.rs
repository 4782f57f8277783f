//! The apps of the program that embeds the library: started before anybody is let in, given connections in the name of
//! callers, started again with a pause when they die, drained when the gates are gone.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use super::drain::Phase;
use super::gates::life;
use super::grant::Grant;
use super::line::{Flow, Line};
use super::poll::{Interest, News, Source};
use super::roster::{QUEUED, pause};
use super::{Due, Warden};
use crate::audit::entry::{Entry, GateEvent, Life};
use crate::confine;
use crate::model::app::Sandbox;
use crate::model::posture::Confinement;
use crate::model::refusal::Refusal;
use crate::policy::{BackendKind, Policy};
use crate::sys::process::{Child, Exit, Spawn};
use crate::wire::app::{FromApp, ToApp};
use crate::wire::channel::Channel;

/// An app's process is confined, and its router made, within this time.
const BEGIN: Duration = Duration::from_secs(30);
/// One that ran this long is not failing.
const STEADY: Duration = Duration::from_secs(60);
/// After this long without room its queue is tried again.
const SHORT: Duration = Duration::from_millis(10);
/// So much is heard of one app in one round.
const BURST: usize = 64;

/// All of them. An app's number is its place in the order of the policy's backends, the same for the whole of a start.
#[derive(Default)]
pub(super) struct Apps {
    all: BTreeMap<u32, App>,
    /// They were told to end.
    pub(super) leaving: bool,
}

/// One app and the history of its processes.
pub(super) struct App {
    pub(super) sandbox: Sandbox,
    running: Option<Running>,
    failures: u32,
    /// Why it can't begin, as it said itself.
    why: Option<String>,
}

struct Running {
    child: Child,
    line: Line<ToApp>,
    interest: Interest,
    started: Instant,
    /// It is there for callers.
    confined: Option<Confinement>,
}

impl App {
    /// Its process, and how that found itself.
    pub(super) fn process(&self) -> Option<(u32, Option<&Confinement>)> {
        self.running.as_ref().map(|running| (running.child.pid(), running.confined.as_ref()))
    }

    fn is_up(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.confined.is_some())
    }
}

impl Apps {
    /// Those that a policy leads to, none running yet.
    pub(super) fn of(policy: &Policy, declared: &[crate::model::app::Declared]) -> Apps {
        let sandboxes = sandboxes(policy, declared).into_iter();
        let app = |sandbox| App { sandbox, running: None, failures: 0, why: None };
        Apps { all: (0..).zip(sandboxes.map(app)).collect(), leaving: false }
    }

    /// Each.
    pub(super) fn each(&self) -> impl Iterator<Item = &App> {
        self.all.values()
    }

    /// What one of them may reach.
    pub(super) fn sandbox(&self, number: u32) -> Option<&Sandbox> {
        self.all.get(&number).map(|app| &app.sandbox)
    }

    /// The first one's with nothing declared, for one that tries something.
    pub(super) fn bare_sandbox(&self) -> Option<Sandbox> {
        let name = self.all.values().next()?.sandbox.name.clone();
        Some(Sandbox { name, ..Sandbox::default() })
    }

    /// Whether no process is left.
    pub(super) fn are_gone(&self) -> bool {
        self.all.values().all(|app| app.running.is_none())
    }
}

/// What an app is told first.
pub(super) fn app_start(policy: &Policy, sandbox: Sandbox, tries: bool) -> ToApp {
    ToApp::Start {
        sandbox,
        headers: policy.limits.headers,
        level: policy.diagnostics.level.clone(),
        json: policy.diagnostics.json,
        tries,
    }
}

/// What each app that a policy leads to may reach.
pub(super) fn sandboxes(policy: &Policy, declared: &[crate::model::app::Declared]) -> Vec<Sandbox> {
    let of = |backend: &crate::policy::Backend| {
        let BackendKind::App { app, directories } = &backend.kind else { return None };
        let declared = declared.iter().find(|declared| declared.name == *app)?;
        Some(declared.placed(directories))
    };
    policy.backends.iter().filter_map(of).collect()
}

impl Warden {
    /// Starts all apps and waits until they are there for callers; only while starting.
    ///
    /// # Errors
    ///
    /// One can't be started, says why it can't begin, ends, or takes too long.
    pub(super) fn begin_apps(&mut self) -> io::Result<()> {
        let numbers: Vec<u32> = self.apps.all.keys().copied().collect();
        for number in &numbers {
            self.start_app(*number)?;
        }
        let until = Instant::now() + BEGIN;
        while let Some(number) = numbers.iter().find(|number| !self.app_is_up(**number)) {
            let name = self.app_name(*number);
            if Instant::now() >= until {
                let why = format!("`{name}` is not ready after {} s", BEGIN.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
            for news in self.poll.wait(Some(until))? {
                match news.source {
                    Source::App(_) | Source::Scribe | Source::ScribeProcess(_) => self.heed(news),
                    Source::AppProcess(ended) => return Err(self.app_ended_at_once(ended)),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn app_ended_at_once(&mut self, number: u32) -> io::Error {
        self.hear_app_to_the_end(number);
        let name = self.app_name(number);
        let why = self.apps.all.get_mut(&number).and_then(|app| app.why.take());
        let why = why.unwrap_or_else(|| "it ended at once; the diagnostics may say why".to_owned());
        io::Error::other(format!("`{name}` can't begin: {why}"))
    }

    fn app_name(&self, number: u32) -> String {
        self.apps.all.get(&number).map(|app| app.sandbox.name.clone()).unwrap_or_default()
    }

    fn app_is_up(&self, number: u32) -> bool {
        self.apps.all.get(&number).is_some_and(App::is_up)
    }

    /// Starts one and tells it what it may reach.
    fn start_app(&mut self, number: u32) -> io::Result<()> {
        let (child, channel) = self.spawn_app(number)?;
        let watched = self
            .poll
            .watch(&child, Source::AppProcess(number), Interest::Read)
            .and_then(|()| self.poll.watch(&channel, Source::App(number), Interest::Read));
        if let Err(error) = watched {
            self.put_down(child);
            return Err(error);
        }
        let Some(app) = self.apps.all.get_mut(&number) else { return Ok(()) };
        let (pid, line, started) = (child.pid(), Line::new(channel), Instant::now());
        let first = app_start(&self.force.policy, app.sandbox.clone(), false);
        app.running = Some(Running { child, line, interest: Interest::Read, started, confined: None });
        self.note_app(pid, Life::Started, &[]);
        self.tell_app(number, first, Vec::new());
        Ok(())
    }

    /// An app's process and the channel to it.
    pub(super) fn spawn_app(&self, number: u32) -> io::Result<(Child, Channel)> {
        let (ours, theirs) = Channel::pair()?;
        let mut spawn = Spawn::new(self.executable.as_fd(), c"peergated")
            .argument(c"@app".to_owned())
            .argument(CString::new(self.options.terms.to_string())?)
            .descriptor(theirs.as_fd())
            .descriptor(self.diagnostics.write.as_fd())
            .mute();
        if confine::may_disempower() {
            spawn = spawn.powerless();
        }
        if let Some(ids) = self.identities.app(number) {
            spawn = spawn.ids(ids.clone());
        }
        Ok((spawn.start()?, ours))
    }

    /// Gives the app of a grant one end of a new connection, and the gate the other.
    pub(super) fn reach_app(&mut self, grant: &Grant, name: &str) {
        let answer = self.connect_app(grant, name);
        self.answer_open(grant, answer);
    }

    fn connect_app(&mut self, grant: &Grant, name: &str) -> Result<OwnedFd, Refusal> {
        let unavailable = Refusal::BackendUnavailable;
        let found = self.apps.all.iter().find(|(_, app)| app.sandbox.name == name);
        let (number, app) = found.map(|(number, app)| (*number, app)).ok_or(unavailable)?;
        let room = app.running.as_ref().is_some_and(|running| running.line.waiting() < QUEUED);
        let connection = self.connections.get(grant.connection).ok_or(Refusal::NotAllowed)?;
        if !app.is_up() || !room {
            return Err(unavailable);
        }
        let on = self.force.policy.listener(connection.listener).map(|on| on.name.clone());
        let message = ToApp::Connection {
            number: grant.connection,
            on: on.unwrap_or_default(),
            caller: connection.caller.clone(),
        };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (gate, app) =
            socketpair(AddressFamily::Unix, SockType::Stream, None, flags).map_err(|errno| {
                tracing::warn!(%errno, "an app can't be connected");
                unavailable
            })?;
        self.tell_app(number, message, vec![Rc::new(app)]);
        Ok(gate)
    }

    /// Sends to an app, behind what waits already.
    pub(super) fn tell_app(&mut self, number: u32, message: ToApp, descriptors: Vec<Rc<OwnedFd>>) {
        let Some(running) = self.apps.all.get_mut(&number).and_then(|app| app.running.as_mut()) else {
            return;
        };
        let before = running.line.waiting();
        let flow = running.line.post(message, descriptors);
        if before == 0 {
            self.app_flows(number, flow);
        }
    }

    /// Tries what waits for an app again.
    pub(super) fn push_app(&mut self, number: u32) {
        let Some(running) = self.apps.all.get_mut(&number).and_then(|app| app.running.as_mut()) else {
            return;
        };
        if running.line.waiting() > 0 {
            let flow = running.line.push();
            self.app_flows(number, flow);
        }
    }

    fn app_flows(&mut self, number: u32, flow: io::Result<Flow>) {
        let Some(running) = self.apps.all.get_mut(&number).and_then(|app| app.running.as_mut()) else {
            return;
        };
        let interest = match flow {
            Ok(Flow::Full) => Interest::ReadWrite,
            Ok(Flow::Sent) => Interest::Read,
            Ok(Flow::Later) => {
                self.timers.after(SHORT, Due::PushApp(number));
                Interest::Read
            }
            Err(error) => {
                tracing::debug!(%error, "an app can't be told anything any more");
                Interest::Read
            }
        };
        if std::mem::replace(&mut running.interest, interest) != interest
            && let Err(error) = self.poll.change(running.line.as_fd(), Source::App(number), interest)
        {
            tracing::debug!(%error, "an app is not watched any more");
        }
    }

    /// News of an app.
    pub(super) fn hear_app(&mut self, number: u32, news: News) {
        if news.writable {
            self.push_app(number);
        }
        for _ in 0..BURST {
            let Some(running) = self.apps.all.get(&number).and_then(|app| app.running.as_ref()) else {
                return;
            };
            match running.line.next::<FromApp>() {
                Ok(Some(message)) => self.obey_app(number, message),
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(%error, "an app is gone");
                    self.poll.forget(running.line.as_fd());
                    // Its process's end is heard, or made; one that was told to end does so by itself.
                    if !self.apps.leaving {
                        self.kill_app(number);
                    }
                    return;
                }
            }
        }
    }

    /// What it said last may still be there.
    fn hear_app_to_the_end(&mut self, number: u32) {
        loop {
            let Some(running) = self.apps.all.get(&number).and_then(|app| app.running.as_ref()) else {
                return;
            };
            match running.line.next::<FromApp>() {
                Ok(Some(message)) => self.obey_app(number, message),
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn obey_app(&mut self, number: u32, message: FromApp) {
        match message {
            FromApp::Ready { confined } => {
                if let Some(running) = self.apps.all.get_mut(&number).and_then(|app| app.running.as_mut()) {
                    running.confined = Some(*confined);
                }
            }
            FromApp::Failed { why } => {
                tracing::error!(app = self.app_name(number), why, "an app can't begin");
                if let Some(app) = self.apps.all.get_mut(&number) {
                    app.why = Some(why);
                }
            }
            FromApp::Open { ticket, connection, request, backend } => {
                let asked = super::appeal::Asked { app: number, ticket, connection, request, backend };
                self.judge_appeal(asked);
            }
            FromApp::Panicked { connection } => self.note_handlers_panic(number, connection),
            // Only one that was started for it is asked to try anything.
            FromApp::Tried(_) => {}
        }
    }

    fn note_handlers_panic(&mut self, number: u32, connection: u64) {
        let Some((pid, _)) = self.apps.all.get(&number).and_then(App::process) else { return };
        // Where its caller has left nobody was failed, and an app could make up numbers.
        let Some(connection) = self.connections.get(connection) else { return };
        let (uid, listener) = (connection.caller.peer.uid, connection.listener);
        let limits = &self.force.policy.limits;
        // A caller who knows how to make a handler panic must not fill the record with it.
        match self.callers.refuse(uid, listener, Refusal::Internal, limits, Instant::now()) {
            super::shed::Told::Alone => self.note_app(pid, Life::Panicked, &[uid]),
            super::shed::Told::Counted(true) => self.timers.after(super::shed::WINDOW, Due::Repeats),
            super::shed::Told::Counted(false) => {}
        }
    }

    fn kill_app(&mut self, number: u32) {
        if let Some(running) = self.apps.all.get(&number).and_then(|app| app.running.as_ref())
            && let Err(error) = running.child.signal(nix::libc::SIGKILL)
        {
            tracing::debug!(%error, "an app can't be killed");
        }
    }

    /// An app's process ended: on record, and started again after a pause.
    pub(super) fn reap_app(&mut self, number: u32) {
        self.hear_app_to_the_end(number);
        let Some(app) = self.apps.all.get_mut(&number) else { return };
        let Some(running) = app.running.take() else { return };
        let exit = match running.child.reap() {
            Ok(Some(exit)) => exit,
            Ok(None) => {
                app.running = Some(running);
                return;
            }
            Err(error) => {
                tracing::error!(%error, "an app's end can't be read");
                Exit::Code(-1)
            }
        };
        let steady = running.started.elapsed() >= STEADY;
        app.failures = if steady { 1 } else { app.failures + 1 };
        let (failures, name) = (app.failures, app.sandbox.name.clone());
        self.poll.forget(&running.child);
        self.poll.forget(running.line.as_fd());
        let (pid, end) = (running.child.pid(), life(exit, self.apps.leaving));
        self.note_app(pid, end, &[]);
        if !self.apps.leaving {
            tracing::error!(app = name, pid, "an app died; it is started again");
            self.timers.after(pause(failures).unwrap_or_default(), Due::AppStart(number));
        }
        if !self.apps.leaving || end == Life::Killed(nix::libc::SIGSYS) {
            self.note_death("app", None, pid, end);
        }
        self.drop_appeals_of(number);
        self.gate_gone();
    }

    /// The pause after its death is over.
    pub(super) fn start_app_again(&mut self, number: u32) {
        let runs = self.apps.all.get(&number).is_none_or(|app| app.running.is_some());
        if runs || self.apps.leaving || !matches!(self.phase, Phase::Serving | Phase::Draining) {
            return;
        }
        if let Err(error) = self.start_app(number) {
            tracing::error!(%error, "an app can't be started");
            self.timers.after(super::RETRY, Due::AppStart(number));
        }
    }

    /// The gates are gone, and so are all connections: the apps finish what is their own, and end.
    pub(super) fn dismiss_apps(&mut self) {
        if std::mem::replace(&mut self.apps.leaving, true) {
            return;
        }
        let limit = Duration::from_millis(self.force.policy.limits.drain_ms.into());
        self.timers.after(limit, Due::AppsLimit);
        let numbers: Vec<u32> = self.apps.all.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.tell_app(number, ToApp::Drain, Vec::new()));
    }

    /// They had their time.
    pub(super) fn kill_apps(&mut self) {
        let numbers: Vec<u32> = self.apps.all.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.kill_app(number));
    }

    fn note_app(&mut self, pid: u32, event: Life, live: &[u32]) {
        self.record.note(&Entry::Gate(GateEvent { role: "app", uid: None, pid, event, live, syscall: None }));
    }
}
