//! The warden: the one privileged process. It takes the policy in force, makes the sockets, asks the kernel who
//! connects, hands each connection with its caller to that uid's gate, connects to backends, and looks after the
//! other roles. It reads no HTTP.
//!
//! One thread, one epoll loop ([`serve`](Warden::serve)); it never waits for a peer, a backend or a name
//! service. It believes no gate: what a gate asks for names a live connection and an id, and both are looked up
//! again here. Records of one round go out in one write, and only then their effects happen
//! ([`record`]).
//!
//! | file | what it says |
//! |---|---|
//! | [`start`] | from nothing to ready, one line a step |
//! | [`accept`], [`shed`], [`identify`] | who comes in, who may not |
//! | [`gates`], [`roster`], [`mod@line`] | each caller's gate, and what it is told |
//! | [`grant`], [`connect`] | a backend for a request that a gate allowed |
//! | [`commands`] | a program for a request that a gate allowed |
//! | [`apps`], [`appeal`] | the apps of an embedding program, and the backends that they ask for |
//! | [`feed`] | what only the scribe can tell a caller |
//! | [`journal`] | the journal, where the record can't be written and a route says so |
//! | [`record`], [`segments`], [`space`] | the warden's own record, everybody's space |
//! | [`allowance`] | how much of that each uid may have |
//! | [`mod@keep`] | what of the record is kept: compressed, removed, renewed |
//! | [`watch`] | whether what is written is still found under its name |
//! | [`witness`] | who else keeps the heads of the seals |
//! | [`supervise`], [`follow`], [`hear`], [`violation`] | the scribe; what it follows and says; what roles died of |
//! | [`rights`], [`posture`], [`doctor`] | what it keeps, whom roles run as, how all of that stands |
//! | [`loader`], [`reload`] | another policy |
//! | [`probe`] | roles started to prove that they are confined |
//! | [`control`], [`notify`], [`signals`], [`drain`] | what the operator and the service manager say and hear |

mod accept;
mod allowance;
mod appeal;
mod apps;
mod commands;
mod connect;
mod connections;
mod control;
pub mod demo;
mod doctor;
mod drain;
mod feed;
mod follow;
mod force;
mod gates;
mod grant;
mod hear;
pub mod identify;
mod journal;
mod keep;
mod line;
pub mod loader;
mod notify;
mod options;
mod poll;
mod posture;
mod probe;
mod record;
mod reload;
mod rights;
mod roster;
mod seats;
mod segments;
mod shed;
mod signals;
mod space;
mod start;
mod supervise;
mod violation;
mod watch;
mod witness;

use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::audit::vault::Genesis;
use crate::confine::Kept;
use crate::model::ids::{BootId, Generation};
use crate::model::posture::Confinement;

use accept::Door;
use allowance::Allowances;
use apps::Apps;
use commands::Commands;
use connect::Connects;
use connections::Connections;
use control::Control;
use drain::Phase;
use force::InForce;
use identify::OwnNamespaces;
use journal::Journal;
use keep::Keeping;
use notify::Notify;
use poll::{LaneId, News, Poll, Source, Timers};
use probe::Probing;
use record::Record;
use reload::Reload;
use roster::{Roster, Whose};
use seats::Seats;
use segments::Segments;
use shed::Callers;
use signals::Signals;
use supervise::Scribe;
use violation::Deaths;
use witness::Witness;

pub use options::{Environment, Options};
pub use posture::plans;
pub use start::Trouble;
pub use witness::keep;

/// After this long what could not be had (a segment, space, room in a channel) is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What a timer reminds of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// The warden's own segment.
    OwnSegment,
    /// A lane's segment or space.
    LaneSegment(LaneId),
    /// A lane's queue, after the kernel was short of something.
    Push(LaneId),
    /// A gate that died may start again.
    GateStart(Whose),
    /// A gate may have been idle for long enough.
    GateIdle(u32),
    /// A gate that was told to leave should be gone.
    GateStop(u32),
    /// A backend's listener had no room.
    ConnectAgain(u32),
    /// A backend had its time to answer.
    ConnectLimit(u32),
    /// A runner had its time to say whether its command runs.
    RunnerLimit(u32),
    /// The kernel's log may say by now what a role died of.
    Violations,
    /// Whether the scribe still gives signs of life.
    ScribeWatch,
    /// What of the record is kept.
    Keep,
    /// The same, a moment after something was closed.
    KeepSoon,
    /// Whether segments are still found under their names.
    NamesWatch,
    /// The scribe may start again.
    ScribeStart,
    /// An app that died may start again.
    AppStart(u32),
    /// An app's queue.
    PushApp(u32),
    /// The apps had their time to end.
    AppsLimit,
    /// The scribe's queue.
    PushScribe,
    /// Refused connections were counted.
    Repeats,
    /// The service manager wants to hear from us.
    Watchdog,
    /// Accepting was interrupted for lack of descriptors.
    Accept,
    /// The loader had its time.
    LoaderLimit(u32),
    /// The lanes had their time to take another policy.
    AdoptLimit(Generation),
    /// A role that was started to try something had its time.
    ProbeLimit(u32),
    /// Processes that were put down may be gone by now.
    Ending,
    /// The witnesses are to be told.
    Witness,
    /// Running exchanges had their time.
    DrainLimit,
    /// The scribe had its time to close.
    CloseLimit,
}

/// Everything that the warden knows and holds.
pub(crate) struct Warden {
    boot: BootId,
    executable: OwnedFd,
    options: Options,
    own: OwnNamespaces,
    poll: Poll,
    timers: Timers<Due>,
    signals: Signals,
    notify: Notify,
    watchdog: Option<Duration>,
    force: InForce,
    door: Door,
    callers: Callers,
    seats: Seats,
    connections: Connections,
    roster: Roster,
    journal: Journal,
    keeping: Keeping,
    /// The audit directory is gone.
    homeless: bool,
    connects: Connects,
    commands: Commands,
    segments: Segments,
    allowances: Allowances,
    record: Record,
    scribe: Scribe,
    apps: Apps,
    vault: Vault,
    deaths: Deaths,
    witness: Witness,
    control: Control,
    probing: Probing,
    reload: Reload,
    phase: Phase,
    identities: posture::Identities,
    /// The plan's capabilities, as they were when the rest was given up.
    kept: Vec<Kept>,
    /// The capabilities that it was started with.
    given: u64,
    /// What it found when it read itself back.
    confined: Confinement,
    missing: Vec<String>,
    hash_key: [u8; 32],
    /// How many descriptors this process, and each that it starts, may have open.
    descriptors: u64,
    diagnostics: DiagnosticsPipe,
    /// Where a lane without a segment writes: nothing is reserved there, so it refuses everything.
    nowhere: Rc<OwnedFd>,
    since: Instant,
}

/// What the scribe seals with.
struct Vault {
    store: Rc<OwnedFd>,
    epochs: Rc<OwnedFd>,
    genesis: Genesis,
    /// This start made it.
    is_new: bool,
    /// The audit directory was replaced: the genesis before, and the last seal of its chain.
    before: Option<String>,
    /// Nobody was told of that yet.
    untold: bool,
}

/// The pipe through which every role's diagnostics reach the scribe's process. The warden keeps both ends, so
/// that a scribe that is started again goes on where the last one stopped.
struct DiagnosticsPipe {
    read: OwnedFd,
    write: OwnedFd,
}

/// Runs the daemon: from the policy's file to the end of the drain.
///
/// # Errors
///
/// What kept it from starting; once it is ready it only ends on request.
pub fn run(options: Options) -> Result<ExitCode, Trouble> {
    Ok(start::start(options)?.serve())
}

impl Warden {
    fn serve(mut self) -> ExitCode {
        while !self.phase.is_over() {
            match self.poll.wait(self.timers.next()) {
                Ok(round) => round.into_iter().for_each(|news| self.heed(news)),
                Err(error) => {
                    tracing::error!(%error, "epoll failed, the daemon ends");
                    return ExitCode::FAILURE;
                }
            }
            // An instant that was seen once is never before an expired grant's end again.
            self.force.clock.now();
            let now = Instant::now();
            while let Some(due) = self.timers.take(now) {
                self.attend(due);
            }
            self.settle();
        }
        self.farewell()
    }

    fn heed(&mut self, news: News) {
        match news.source {
            Source::Listener(place) => self.accept(place),
            Source::Signals => self.take_signals(),
            Source::Control => self.accept_control(),
            Source::ControlClient(client) => self.answer_control(client),
            Source::Lane(lane) => self.hear_lane(lane, news),
            Source::GateProcess(gate) => self.reap_gate(gate),
            Source::Scribe => self.hear_scribe(news),
            Source::ScribeProcess(incarnation) => self.reap_scribe(incarnation),
            Source::App(app) => self.hear_app(app, news),
            Source::AppProcess(app) => self.reap_app(app),
            Source::Connection(number) if news.ended => self.connection_ended(number),
            Source::Connection(_) => {}
            Source::Connect(connect) => self.connect_settled(connect),
            Source::Keeper(place) => self.hear_keeper(place),
            Source::Runner(number) => self.hear_runner(number),
            Source::Loader(run) => self.hear_loader(run),
            Source::Probe(probe) => self.hear_probe(probe),
            Source::ProbeProcess(probe) => self.reap_probe(probe),
        }
    }

    fn attend(&mut self, due: Due) {
        match due {
            Due::OwnSegment => self.renew_own_segment_again(),
            Due::LaneSegment(lane) => self.give_lane_again(lane),
            Due::Push(lane) => self.push_lane(lane),
            Due::GateStart(whose) => self.start_for_waiting(whose),
            Due::GateIdle(gate) => self.retire_if_idle(gate),
            Due::GateStop(gate) => self.kill_gate(gate),
            Due::ConnectAgain(connect) => self.connect_again(connect),
            Due::ConnectLimit(connect) => self.connect_timed_out(connect),
            Due::RunnerLimit(number) => self.runner_timed_out(number),
            Due::Violations => self.explain_violations(),
            Due::ScribeWatch => self.watch_scribe(),
            Due::Keep => self.keep_often(),
            Due::KeepSoon => self.keep(),
            Due::NamesWatch => self.watch_names(),
            Due::ScribeStart => self.start_scribe_again(),
            Due::AppStart(app) => self.start_app_again(app),
            Due::PushApp(app) => self.push_app(app),
            Due::AppsLimit => self.kill_apps(),
            Due::PushScribe => self.push_scribe(),
            Due::Repeats => self.write_repeats(),
            Due::Watchdog => self.feed_watchdog(),
            Due::Accept => self.accept_again(),
            Due::LoaderLimit(run) => self.loader_timed_out(run),
            Due::AdoptLimit(generation) => self.adopt_timed_out(generation),
            Due::ProbeLimit(probe) => self.probe_timed_out(probe),
            Due::Ending => self.reap_ending(),
            Due::Witness => self.witness_due(),
            Due::DrainLimit => self.drain_timed_out(),
            Due::CloseLimit => self.close_timed_out(),
        }
    }
}
