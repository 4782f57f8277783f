//! One command: started outside the warden's own confinement, one fresh process for each, which starts the program
//! as whom and within what the policy says, passes its output to the gate, and ends it with all that it started.
//!
//! As soon as the command's process is there, and before it begins, the runner confines itself by its plan
//! ([`Plan::runner`]), and what it found goes to the warden. The command has nothing of that: it has its own cage.
//!
//! It trusts nothing but the warden's one message. From the gate it takes bytes for the program's input, if any, and
//! looks at none of them; what it writes to the gate is an answer of HTTP that the gate reads as any backend's.
//!
//! | file | what it says |
//! |---|---|
//! | [`mod@cage`] | from the job to the program: descriptors, ids, limits, walls |
//! | [`tree`] | all that it started, and how that ends |
//! | [`frames`] | output as an answer: whole, live, lines, events |
//! | [`pump`] | waiting: output, input, time, who has left |
//! | [`trial`] | what a runner tries that is there for that, and for no command |
//! | [`launcher`] | where no service manager starts runners |

mod cage;
mod frames;
pub mod launcher;
mod pump;
mod tree;
mod trial;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};

use crate::confine::{self, Plan, Terms};
use crate::model::posture::Confinement;
use crate::sys::peer;
use crate::wire::channel::Channel;
use crate::wire::message::{ControlReply, ControlRequest};
use crate::wire::runner::{Ended, FromRunner, Job, ToRunner};

/// So long a runner tries to tell of the end of its command where its warden is gone.
const TELL: Duration = Duration::from_secs(120);
/// An answer of which the gate takes nothing for so long, in milliseconds, is cut.
const STALLED: u16 = 30_000;
/// So long it waits for the word that its end is noted.
const NOTED: Duration = Duration::from_secs(10);
/// Between two tries.
const PAUSE: u16 = 500;

/// Runs one command for the warden at the other end of `channel`.
#[must_use]
pub fn run(channel: OwnedFd) -> ExitCode {
    match serve(Channel::from(channel)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "a command could not be run");
            ExitCode::FAILURE
        }
    }
}

fn serve(channel: Channel) -> io::Result<()> {
    // Whoever started it may end before it.
    nix::sys::prctl::set_pdeathsig(None)?;
    // From the first moment; the command's own process gets it back by its exec.
    nix::sys::prctl::set_dumpable(false)?;
    nix::fcntl::fcntl(&channel, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))?;
    must_be_ours(&channel)?;
    let (job, descriptors) = match channel.receive_waiting::<ToRunner>()? {
        Some((ToRunner::Run(job), descriptors)) => (job, descriptors),
        Some((ToRunner::Try { trial, terms, control, id }, descriptors)) => {
            let [client] = crate::wire::channel::exactly(descriptors)?;
            return trial::attempt(
                &channel,
                *trial,
                &Bonds { terms: &terms, control: &control },
                &id,
                &client,
            );
        }
        // It waited for a command that did not come.
        None => return Ok(()),
        Some(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "the first message is not `Run`")),
    };
    let [link] = crate::wire::channel::exactly(descriptors)?;
    nix::fcntl::fcntl(&link, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))?;
    nix::sys::prctl::set_child_subreaper(true)?;
    let began = Instant::now();
    let tree = match tree::Tree::plant(&job.id) {
        Ok(tree) => tree,
        Err(why) => return channel.send(&FromRunner::NotStarted { why }, &[]),
    };
    let bonds = Bonds { terms: &job.terms, control: &job.control };
    let started = cage::ready(&job, &tree).and_then(|ready| match confine(&bonds, &tree) {
        // By now the warden may have put it down as not started, and it must not be then.
        Ok(_) if channel.is_closed() => {
            ready.give_up();
            Err("nobody waits for it any more".to_owned())
        }
        Ok(confined) => Ok((ready.begin(&job)?, confined)),
        Err(why) => {
            ready.give_up();
            Err(why)
        }
    });
    let (running, confined) = match started {
        Ok(started) => started,
        Err(why) => {
            tree.end();
            // Whoever is gone needs no word.
            return channel.send(&FromRunner::NotStarted { why }, &[]);
        }
    };
    let (runner, has_group) = (std::process::id(), tree.parent().is_some());
    let confined = Box::new(confined);
    let started = FromRunner::Started { pid: running.child.pid(), runner, confined, has_group };
    let warden = channel.send(&started, &[]).is_ok().then_some(&channel);
    let (ended, rest) = pump::run(&job, running, &tree, link, warden, began)?;
    let ended = Box::new(ended);
    let told = channel.send(&FromRunner::Ended(ended.clone()), &[]).is_ok();
    rest.flush(STALLED);
    if told && is_noted(&channel) { Ok(()) } else { tell_later(&job, &ended) }
}

/// What a runner's confinement depends on.
struct Bonds<'a> {
    /// Its terms, as [`Terms`] prints them.
    terms: &'a str,
    /// The daemon's control socket.
    control: &'a str,
}

/// Gives up all that looking after the command does not need. Its process is there by then, and waits.
fn confine(bonds: &Bonds<'_>, tree: &tree::Tree) -> Result<Confinement, String> {
    let terms = Terms::parse(bonds.terms).map_err(|word| format!("`{word}` is no term of a confinement"))?;
    let control = Path::new(bonds.control).parent().and_then(Path::to_str).unwrap_or("/");
    let control = confine::directory(control).map_err(|missing| missing.to_string())?;
    let reach: Vec<BorrowedFd<'_>> = tree.parent().into_iter().chain([control.as_fd()]).collect();
    let plan = Plan::runner(nix::unistd::geteuid().is_root(), tree.parent().is_some());
    confine::enter(&plan, &terms, &reach).map_err(|missing| missing.to_string())
}

/// Only root starts commands, or whom this process runs as.
fn must_be_ours(channel: &Channel) -> io::Result<()> {
    let caller = peer::credentials(channel)?.uid;
    if caller == 0 || caller == nix::unistd::geteuid().as_raw() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("uid {caller} is not the warden")))
}

/// Whether the warden says that it has noted the end. One that closes its record notes nothing more.
fn is_noted(channel: &Channel) -> bool {
    let until = Instant::now() + NOTED;
    loop {
        match hear::<ToRunner>(channel, until) {
            Ok(Some(ToRunner::Noted)) => return true,
            // The two may cross on the way.
            Ok(Some(ToRunner::CallerLeft)) => {}
            Ok(Some(ToRunner::Run(_) | ToRunner::Try { .. }) | None) | Err(_) => return false,
        }
    }
}

/// What comes next, until then.
fn hear<M: serde::de::DeserializeOwned>(channel: &Channel, until: Instant) -> io::Result<Option<M>> {
    loop {
        let left = until.saturating_duration_since(Instant::now()).as_millis();
        let mut fds = [PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
        match nix::poll::poll(&mut fds, u16::try_from(left).unwrap_or(u16::MAX)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        match channel.receive_bare() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            heard => return heard,
        }
    }
}

/// Says how it ended to the next daemon, where the one that asked is gone.
fn tell_later(job: &Job, ended: &Ended) -> io::Result<()> {
    let until = Instant::now() + TELL;
    loop {
        let told = tell_next(Path::new(&job.control), ended);
        if told.is_ok() || Instant::now() > until {
            return told;
        }
        nix::poll::poll(&mut [], PAUSE)?;
    }
}

fn tell_next(control: &Path, ended: &Ended) -> io::Result<()> {
    let channel = Channel::connect(control)?;
    channel.send(&ControlRequest::CommandEnded(Box::new(ended.clone())), &[])?;
    match hear::<ControlReply>(&channel, Instant::now() + NOTED)? {
        Some(ControlReply::Noted) => Ok(()),
        _ => Err(io::Error::other("the daemon did not take it")),
    }
}
