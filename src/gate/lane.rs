//! One lane: a thread with its channel to the warden, its log segment, its copy of the policy, and its
//! connections. Single-threaded; what is shared within it is shared by `Rc`.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, oneshot};
use tokio::task::LocalSet;

use super::Shared;
use super::budget::Budgets;
use super::connection::{self, Connection, End};
use super::durable;
use super::record::{Recorder, Writer};
use super::stream::Stream;
use crate::audit::log::Want;
use crate::confine;
use crate::diagnostics;
use crate::model::caller::Caller;
use crate::model::clock::Clock;
use crate::model::ids::{BackendId, BootId, ConnectionId, Generation, ListenerId, RequestId};
use crate::model::method::Method;
use crate::model::probe::{Found, Place, Trial};
use crate::model::refusal::Refusal;
use crate::model::time::Timestamp;
use crate::policy::{Decider, Given, Policy};
use crate::sys;
use crate::wire::channel::Channel;
use crate::wire::message::{FromGate, ToGate};
use crate::wire::runner::Form;

/// How often deadlines are looked at and counted denials are written.
const SWEEP: Duration = Duration::from_millis(500);
/// The largest encoded policy that is taken.
const POLICY_MAX: usize = 64 << 20;

/// A policy and the name under which the warden knows it.
pub(super) struct InForce {
    pub generation: Generation,
    pub decider: Decider,
    /// The first eight hex digits of its hash.
    pub hash: Arc<str>,
    /// Methods besides the known ones that it names.
    pub methods: Arc<[Method]>,
}

/// A backend's connection that the warden opened once the journal had the record. Only [`Lane::open_by_journal`] makes
/// one.
#[derive(Debug)]
pub(super) struct ByJournal(OwnedFd);

impl ByJournal {
    /// The connection.
    pub(super) fn into_socket(self) -> OwnedFd {
        self.0
    }
}

/// What the warden has to know of a request that runs a command.
pub(super) struct Running {
    pub(super) route: String,
    pub(super) method: String,
    pub(super) target: String,
    pub(super) members: Given,
    pub(super) form: Form,
}

/// What the tasks of one lane share.
pub(super) struct Lane {
    pub boot: BootId,
    pub record: Recorder,
    pub budgets: RefCell<Budgets>,
    /// What all lanes of this gate have in common.
    pub shared: Arc<Shared>,
    policy: RefCell<Rc<InForce>>,
    connections: RefCell<HashMap<u64, Rc<Connection>>>,
    /// Questions for a backend that the warden has not answered yet.
    tickets: RefCell<HashMap<u32, oneshot::Sender<Result<OwnedFd, Refusal>>>>,
    next_ticket: Cell<u32>,
    outbox: RefCell<VecDeque<FromGate>>,
    to_send: Notify,
    /// The warden's word that records can be trusted to go on.
    recordable: Cell<bool>,
    /// Set while the lane drains: when what still runs is cut.
    draining: Cell<Option<Instant>>,
    /// Wakes the sweeper when there is something to watch over.
    busy: Notify,
    /// Told when a connection ends.
    left: Notify,
}

/// Serves one lane until the warden closes its channel or has it drained.
///
/// # Errors
///
/// The channel or the runtime failed, or the warden said what this version does not understand.
pub(super) fn run(channel: Channel, shared: Arc<Shared>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, serve(channel, shared))
}

async fn serve(channel: Channel, shared: Arc<Shared>) -> io::Result<()> {
    let ready = sys::reactor::watch(channel.duplicate()?, Interest::READABLE | Interest::WRITABLE)?;
    let channel = Watched { ready, channel };
    // Said while the channel is open: the warden ends a gate whose lane is gone.
    live(&channel, shared).await.inspect_err(|error| tracing::error!("a lane ends: {error}"))
}

/// From the warden's first message to its last.
async fn live(channel: &Watched, shared: Arc<Shared>) -> io::Result<()> {
    let Some((first, descriptors)) = next(channel).await? else { return Ok(()) };
    let lane = Rc::new(Lane::start(first, descriptors, Arc::clone(&shared))?);
    tokio::task::spawn_local(lane.record.log.flusher());
    tokio::task::spawn_local(tell_wants(Rc::clone(&lane)));
    tokio::task::spawn_local(sweep(Rc::clone(&lane)));
    lane.tell(FromGate::Ready { confined: Box::new(shared.confined.clone()) });
    loop {
        tokio::select! {
            biased;
            message = next(channel) => match message? {
                Some((message, descriptors)) => lane.take(message, descriptors)?,
                None => return Ok(()),
            },
            sent = send_next(&lane, channel) => sent?,
            () = drained(&lane) => break,
        }
    }
    lane.write_repeated().await;
    lane.record.finish().await;
    lane.tell(FromGate::Drained);
    while !lane.outbox.borrow().is_empty() {
        send_next(&lane, channel).await?;
    }
    Ok(())
}

/// The channel to the warden, watched by the lane's event loop through a duplicate of its descriptor.
struct Watched {
    ready: AsyncFd<OwnedFd>,
    channel: Channel,
}

/// The warden's next message; `None` once it closed the channel.
async fn next(channel: &Watched) -> io::Result<Option<(ToGate, Vec<OwnedFd>)>> {
    channel.ready.async_io(Interest::READABLE, |_| channel.channel.receive()).await
}

/// Sends the oldest waiting message; never resolves while there is none.
async fn send_next(lane: &Lane, channel: &Watched) -> io::Result<()> {
    loop {
        let Some(message) = lane.outbox.borrow().front().cloned() else {
            lane.to_send.notified().await;
            continue;
        };
        channel.ready.async_io(Interest::WRITABLE, |_| channel.channel.send(&message, &[])).await?;
        lane.outbox.borrow_mut().pop_front();
        return Ok(());
    }
}

/// Resolves once the lane drains and nothing runs any more.
async fn drained(lane: &Lane) {
    loop {
        if lane.draining.get().is_some() && lane.connections.borrow().is_empty() {
            return;
        }
        lane.left.notified().await;
    }
}

/// Passes on what the log needs: space ahead, or another segment.
async fn tell_wants(lane: Rc<Lane>) {
    loop {
        match lane.record.log.attention().await {
            Want::Space { written } => lane.tell(FromGate::Reserve { written }),
            Want::Segment(why) => lane.tell(FromGate::NeedSegment { errno: why.errno }),
        }
    }
}

/// Looks at every connection's deadlines, and records counted denials, while there are any.
async fn sweep(lane: Rc<Lane>) {
    loop {
        if lane.connections.borrow().is_empty() && !lane.budgets.borrow().has_repeated() {
            lane.busy.notified().await;
        }
        tokio::time::sleep(SWEEP).await;
        let now = Instant::now();
        lane.shared.clock.now();
        let all: Vec<_> = lane.connections.borrow().values().cloned().collect();
        let cut = lane.draining.get().is_some_and(|limit| now >= limit);
        for connection in all {
            if cut {
                connection.end(End::Stopped);
            } else {
                connection.look_at_deadlines(now);
                connection.look_after_silence();
                connection.look_at_bounds(now);
            }
        }
        lane.write_repeated().await;
    }
}

fn broken_protocol(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn in_force(descriptor: BorrowedFd<'_>, generation: Generation, clock: &Arc<Clock>) -> io::Result<InForce> {
    let bytes = sys::memfd::read_sealed(descriptor, POLICY_MAX)?;
    let policy =
        Policy::from_bytes(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    if let Err(error) = diagnostics::adjust(&policy.diagnostics.level, policy.diagnostics.json) {
        tracing::warn!("{error}");
    }
    let hash = Arc::from(policy.short_hash());
    let methods = policy.methods.iter().filter_map(|name| Method::parse(name.as_bytes()).ok()).collect();
    let decider = Decider::with_clock(Arc::new(policy), Arc::clone(clock));
    Ok(InForce { generation, decider, hash, methods })
}

impl Lane {
    fn start(first: ToGate, descriptors: Vec<OwnedFd>, shared: Arc<Shared>) -> io::Result<Lane> {
        let ToGate::Start { boot, uid, generation, reserved, missing, hash_key } = first else {
            return Err(broken_protocol("the first message is not `Start`"));
        };
        let Ok([segment, memfd]) = <[OwnedFd; 2]>::try_from(descriptors) else {
            return Err(broken_protocol("`Start` comes with a segment and a policy"));
        };
        let policy = in_force(memfd.as_fd(), generation, &shared.clock)?;
        let confined = Arc::new(shared.confined.clone());
        let record = Recorder::new(segment, reserved, Writer { boot, uid, missing, confined }, &hash_key);
        record.open(&policy.hash);
        Ok(Lane {
            boot,
            record,
            budgets: RefCell::default(),
            shared,
            policy: RefCell::new(Rc::new(policy)),
            connections: RefCell::default(),
            tickets: RefCell::default(),
            next_ticket: Cell::new(0),
            outbox: RefCell::default(),
            to_send: Notify::new(),
            recordable: Cell::new(true),
            draining: Cell::new(None),
            busy: Notify::new(),
            left: Notify::new(),
        })
    }

    /// The policy in force here.
    pub(super) fn policy(&self) -> Rc<InForce> {
        Rc::clone(&self.policy.borrow())
    }

    /// Whether a record can be written now, as far as the warden and the log know.
    pub(super) fn recordable(&self) -> bool {
        self.recordable.get() && self.record.log.broken().is_none()
    }

    /// Whether the lane takes no new request.
    pub(super) fn draining(&self) -> bool {
        self.draining.get().is_some()
    }

    /// Puts a message to the warden into the queue.
    pub(super) fn tell(&self, message: FromGate) {
        self.outbox.borrow_mut().push_back(message);
        self.to_send.notify_one();
    }

    /// Has the sweeper look again within its period.
    pub(super) fn watch(&self) {
        self.busy.notify_one();
    }

    /// Asks as [`Lane::open`] does, for a request that only the journal can know of; `line` is its decision.
    ///
    /// # Errors
    ///
    /// As [`Lane::open`]; [`Refusal::AuditUnavailable`] where the journal did not take it.
    pub(super) fn open_by_journal(
        &self,
        id: RequestId,
        backend: BackendId,
        generation: Generation,
        line: String,
    ) -> impl Future<Output = Result<ByJournal, Refusal>> + use<> {
        let (connection, request) = (id.connection.number, id.number);
        let answered = self.ask(move |ticket| FromGate::OpenByJournal {
            ticket,
            connection,
            request,
            backend,
            generation,
            line,
        });
        async move { answered.await.map(ByJournal) }
    }

    /// Asks the warden for a connection to a backend, in the name of a live request.
    ///
    /// # Errors
    ///
    /// The warden refuses by name, or is gone.
    pub(super) fn open(
        &self,
        id: RequestId,
        backend: BackendId,
        generation: Generation,
    ) -> impl Future<Output = Result<OwnedFd, Refusal>> + use<> {
        let (connection, request) = (id.connection.number, id.number);
        self.ask(move |ticket| FromGate::Open { ticket, connection, request, backend, generation })
    }

    /// Asks the warden to run a command, in the name of a live request: the link to its runner.
    ///
    /// # Errors
    ///
    /// As [`Lane::open`].
    pub(super) fn run(
        &self,
        id: RequestId,
        backend: BackendId,
        generation: Generation,
        running: Running,
    ) -> impl Future<Output = Result<OwnedFd, Refusal>> + use<> {
        let (connection, request) = (id.connection.number, id.number);
        let Running { route, method, target, members, form } = running;
        self.ask(move |ticket| FromGate::Run {
            ticket,
            connection,
            request,
            backend,
            generation,
            route,
            method,
            target,
            members,
            form,
        })
    }

    fn ask<Q: FnOnce(u32) -> FromGate>(
        &self,
        question: Q,
    ) -> impl Future<Output = Result<OwnedFd, Refusal>> + use<Q> {
        let ticket = self.next_ticket.get();
        self.next_ticket.set(ticket.wrapping_add(1));
        let (answer, answered) = oneshot::channel();
        self.tickets.borrow_mut().insert(ticket, answer);
        self.tell(question(ticket));
        async move { answered.await.unwrap_or(Err(Refusal::Stopping)) }
    }

    /// Forgets a connection that ended.
    pub(super) fn forget(&self, number: u64) {
        self.connections.borrow_mut().remove(&number);
        self.left.notify_one();
    }

    fn take(self: &Rc<Lane>, message: ToGate, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        let descriptor = descriptors.into_iter().next();
        match (message, descriptor) {
            (ToGate::Connection { number, listener, caller, recorded, seen }, Some(socket)) => {
                self.shared.clock.see(seen);
                self.connect(number, listener, *caller, recorded, socket)?;
            }
            (ToGate::Ended { number }, None) => {
                if let Some(connection) = self.connections.borrow().get(&number) {
                    connection.end(End::CallerGone);
                }
            }
            (ToGate::Backend { ticket, result }, socket) => {
                if let Some(asker) = self.tickets.borrow_mut().remove(&ticket) {
                    let result = result.and(socket.ok_or(Refusal::BackendUnavailable));
                    // The asker may have left while the warden connected.
                    asker.send(result).ok();
                }
            }
            (ToGate::Policy { generation }, Some(memfd)) => {
                let newer = Rc::new(in_force(memfd.as_fd(), generation, &self.shared.clock)?);
                *self.policy.borrow_mut() = newer;
                let all: Vec<_> = self.connections.borrow().values().cloned().collect();
                all.iter().for_each(|connection| connection.judge_again());
                self.tell(FromGate::Adopted { generation });
            }
            (ToGate::Reserved { upto }, None) => {
                self.record.log.reserve(upto);
                self.record.log.pay();
            }
            (ToGate::Segment { reserved }, Some(segment)) => {
                self.record.log.replace(segment, reserved);
                // What was pending went into the one before, which has now all that it will ever have.
                self.tell(FromGate::Switched);
                self.record.open(&self.policy().hash);
                self.record.log.pay();
            }
            (ToGate::Durable, Some(socket)) => {
                let log = self.record.log.clone();
                let present = log.present();
                tokio::task::spawn_local(durable::ask(log, present, socket));
            }
            (ToGate::Recordable { yes }, None) => self.recordable.set(yes),
            (ToGate::Drain { within_ms }, None) => {
                self.draining.set(Some(Instant::now() + Duration::from_millis(within_ms.into())));
                let all: Vec<_> = self.connections.borrow().values().cloned().collect();
                all.iter().for_each(|connection| connection.drain());
                self.watch();
                self.left.notify_one();
            }
            (ToGate::Try(trial), Some(client)) => self.attempt(trial, client)?,
            _ => return Err(broken_protocol("a message has not the descriptors that belong to it")),
        }
        Ok(())
    }

    fn connect(
        self: &Rc<Lane>,
        number: u64,
        listener: ListenerId,
        caller: Caller,
        recorded: bool,
        socket: OwnedFd,
    ) -> io::Result<()> {
        let socket = Stream::new(socket)?;
        let id = ConnectionId { boot: self.boot, number };
        let connection = Connection::new(Rc::clone(self), id, listener, caller, recorded);
        self.connections.borrow_mut().insert(number, Rc::clone(&connection));
        self.watch();
        tokio::task::spawn_local(connection::run(connection, socket));
        Ok(())
    }

    /// Tries what it is asked to, here or in a thread of its runtime for what blocks. A gate with callers does no such
    /// thing, whoever asks.
    fn attempt(self: &Rc<Lane>, trial: Trial, client: OwnedFd) -> io::Result<()> {
        if !self.connections.borrow().is_empty() {
            return Err(broken_protocol("a gate with callers is asked to try what it may not"));
        }
        // There has to be something that it could damage.
        self.record.log.flush().map_err(io::Error::other)?;
        let place = trial.place;
        let attempt = confine::probes::prepare(trial, self.record.log.duplicate()?, client)?;
        if place != Place::Thread {
            self.tell(FromGate::Tried(attempt()));
            return Ok(());
        }
        let lane = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let found = tokio::task::spawn_blocking(attempt).await.unwrap_or(Found::Silent);
            lane.tell(FromGate::Tried(found));
        });
        Ok(())
    }

    /// Writes `repeat` records for what was counted; what can't be written now is kept for the next sweep.
    async fn write_repeated(&self) {
        let repeated = self.budgets.borrow_mut().take_repeated(Timestamp::now());
        if repeated.is_empty() {
            return;
        }
        let kept = self.record.repeated(repeated, &self.policy());
        self.budgets.borrow_mut().keep_repeated(kept);
    }
}
