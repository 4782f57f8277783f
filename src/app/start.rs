//! An app's process, from its descriptors to its end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;
use std::sync::Arc;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

use super::backend::Mouth;
use super::serve::{Given, Serving, Workers};
use super::setup::{Make, Setup};
use crate::confine::{self, Plan, Terms};
use crate::diagnostics;
use crate::model::app::{Access, Placed, Sandbox};
use crate::model::posture::Confinement;
use crate::model::probe::{Found, Place, Trial};
use crate::sys::{self, process};
use crate::wire::app::{FromApp, ToApp};
use crate::wire::channel::{self, Channel};

/// Plays the role of one of these apps, whichever the warden names: descriptor 3 is the channel to it, 4 the pipe that
/// diagnostics go to.
pub fn run(apps: Vec<(String, Make)>, terms: &Terms) -> ExitCode {
    let Ok(given) = process::inherited(2) else { return ExitCode::from(2) };
    let Ok([channel, pipe]) = <[OwnedFd; 2]>::try_from(given) else { return ExitCode::from(2) };
    if diagnostics::start("app", Some(pipe), "info", false).is_err() {
        return ExitCode::from(2);
    }
    let channel = Channel::from(channel);
    match begin(apps, terms, &channel).and_then(|begun| begun.serve(channel.into())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("an app ends: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Confined, and nothing of the embedder's has run yet.
struct Begun {
    sandbox: Sandbox,
    headers: u16,
    make: Make,
    confined: Confinement,
}

fn begin(apps: Vec<(String, Make)>, terms: &Terms, channel: &Channel) -> io::Result<Begun> {
    let refused = |why: String| {
        // The warden says it to whoever started the daemon.
        channel.send(&FromApp::Failed { why: why.clone() }, &[]).ok();
        io::Error::other(why)
    };
    let first = channel.receive_waiting()?.map(|(message, _none)| message);
    let Some(ToApp::Start { sandbox, headers, level, json, tries }) = first else {
        return Err(broken_protocol("the first message is not `Start`"));
    };
    diagnostics::adjust(&level, json).map_err(io::Error::other)?;
    let found = apps.into_iter().find(|(name, _)| *name == sandbox.name);
    let Some((_, mut make)) = found else {
        return Err(refused(format!("started again, the program declares no app `{}`", sandbox.name)));
    };
    if tries {
        make = Box::new(|_setup| Ok(axum::Router::new()));
    }
    let reach: Vec<OwnedFd> =
        sandbox.directories.iter().map(open).collect::<Result<_, _>>().map_err(refused)?;
    let reach: Vec<BorrowedFd<'_>> = reach.iter().map(AsFd::as_fd).collect();
    let confined = confine::enter(&Plan::app(None, &sandbox), terms, &reach)
        .map_err(|missing| refused(missing.to_string()))?;
    Ok(Begun { sandbox, headers, make, confined })
}

/// A declared directory. Where this user may not use it as it is declared, no handler ever could.
fn open(placed: &Placed) -> Result<OwnedFd, String> {
    let directory = confine::directory(&placed.path).map_err(|missing| missing.why)?;
    let (flags, to) = match placed.directory.access {
        Access::Read => (AccessFlags::X_OK, "entered"),
        Access::Write => (AccessFlags::X_OK | AccessFlags::W_OK, "written"),
    };
    access(placed.path.as_str(), flags).map_err(|errno| {
        let (path, uid) = (&placed.path, nix::unistd::geteuid());
        let remedy = match errno {
            // Nobody writes there, whomever it is given to.
            Errno::EROFS => {
                "mount it to be written; in a systemd unit with `ProtectSystem=strict`, `ReadWritePaths=` has to name it"
            }
            _ => "give it to that one, or name another as `app_user` in `[daemon]`",
        };
        format!("{path} can't be {to} by uid {uid}, whom apps run as ({}): {remedy}", errno.desc())
    })?;
    Ok(directory)
}

impl Begun {
    /// From the embedder's function to the end of the drain.
    fn serve(self, channel: OwnedFd) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let tasks = LocalSet::new();
        tasks.block_on(&runtime, self.live(Channel::from(channel)))
    }

    async fn live(self, channel: Channel) -> io::Result<()> {
        let Begun { sandbox, headers, make, confined } = self;
        let ready = sys::reactor::watch(channel.duplicate()?, Interest::READABLE | Interest::WRITABLE)?;
        let watched = std::rc::Rc::new(Watched { ready, channel });
        let (outbox, said) = mpsc::unbounded_channel();
        let mouth = Mouth::new(outbox, sandbox.backends.clone());
        let mut saying = tokio::task::spawn_local(say(std::rc::Rc::clone(&watched), said));
        let (stop, stopping) = watch::channel(false);
        let (alive, mut ended) = mpsc::channel(1);
        let router = match make(Setup { sandbox, stopping, alive }) {
            Ok(router) => router,
            Err(error) => {
                let why = error.to_string();
                watched.channel.send(&FromApp::Failed { why: why.clone() }, &[]).ok();
                return Err(io::Error::other(why));
            }
        };
        let serving = Arc::new(Serving::new(router, headers, Arc::clone(&mouth)));
        let mut workers = Workers::start(&serving)?;
        mouth.tell(FromApp::Ready { confined: Box::new(confined) });
        loop {
            tokio::select! {
                biased;
                message = next(&watched) => match message? {
                    Some((ToApp::Drain, _none)) => break,
                    Some((message, descriptors)) => take(message, descriptors, &mouth, &serving, &mut workers)?,
                    None => return Ok(()),
                },
                said = &mut saying => return said.map_err(io::Error::other)?,
            }
        }
        stop.send_replace(true);
        serving.emptied().await;
        // The embedder's own tasks that hold a `Stopping`.
        while ended.recv().await.is_some() {}
        Ok(())
    }
}

/// Does as the warden says.
fn take(
    message: ToApp,
    descriptors: Vec<OwnedFd>,
    mouth: &Arc<Mouth>,
    serving: &Arc<Serving>,
    workers: &mut Workers,
) -> io::Result<()> {
    match message {
        ToApp::Connection { number, on, caller } => {
            let [socket] = channel::exactly(descriptors)?;
            workers.give(Given { number, caller: super::Caller::new(*caller, &on), socket });
        }
        ToApp::Backend { ticket, result } => {
            let socket = descriptors.into_iter().next();
            let missing = crate::model::refusal::Refusal::BackendUnavailable;
            mouth.answered(ticket, result.and(socket.ok_or(missing)));
        }
        ToApp::Try(trial) => {
            let [client] = channel::exactly(descriptors)?;
            attempt(trial, client, mouth, serving)?;
        }
        ToApp::Start { .. } | ToApp::Drain => {
            return Err(broken_protocol("a message comes at the wrong time"));
        }
    }
    Ok(())
}

/// Tries what it is asked to. An app with callers does no such thing, whoever asks.
fn attempt(trial: Trial, client: OwnedFd, mouth: &Arc<Mouth>, serving: &Serving) -> io::Result<()> {
    if !serving.is_empty() {
        return Err(broken_protocol("an app with callers is asked to try what it may not"));
    }
    let place = trial.place;
    // It has no log; what is written there is its own end of the connection.
    let attempt = confine::probes::prepare(trial, client.try_clone()?, client)?;
    if place != Place::Thread {
        mouth.tell(FromApp::Tried(attempt()));
        return Ok(());
    }
    let mouth = Arc::clone(mouth);
    tokio::task::spawn_local(async move {
        let found = tokio::task::spawn_blocking(attempt).await.unwrap_or(Found::Silent);
        mouth.tell(FromApp::Tried(found));
    });
    Ok(())
}

/// The channel to the warden, watched by the event loop through a duplicate of its descriptor.
struct Watched {
    ready: AsyncFd<OwnedFd>,
    channel: Channel,
}

/// The warden's next message; `None` once it closed the channel.
async fn next(watched: &Watched) -> io::Result<Option<(ToApp, Vec<OwnedFd>)>> {
    watched.ready.async_io(Interest::READABLE, |_| watched.channel.receive()).await
}

/// Says to the warden what is to be said, in its order.
async fn say(watched: std::rc::Rc<Watched>, mut said: mpsc::UnboundedReceiver<FromApp>) -> io::Result<()> {
    while let Some(message) = said.recv().await {
        watched.ready.async_io(Interest::WRITABLE, |_| watched.channel.send(&message, &[])).await?;
    }
    Ok(())
}

fn broken_protocol(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
