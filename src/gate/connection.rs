//! One caller's connection, from its arrival to its end: what its parts share, its deadlines, and the settling
//! of its exchanges.
//!
//! Everything of a connection runs in one task, so there is one waker to wake it by, whatever it waits for.

mod again;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Instant;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;

use super::backend::link::Kept;
use super::caps::Holding;
use super::deadline::{Deadlines, Phase};
use super::guard::{Guarded, Judged};
use super::interim::Interim;
use super::journey;
use super::lane::{InForce, Lane};
use super::record;
use super::stream::Stream;
use super::tunnel::Tunnel;
use crate::audit::entry::{Entry, OutcomeOf};
use crate::model::caller::Caller;
use crate::model::ids::{ConnectionId, Generation, ListenerId, RequestId};
use crate::model::method::Method;
use crate::model::outcome::Outcome;
use crate::model::refusal::Refusal;
use crate::model::target::Target;
use crate::policy::Subject;
use crate::wire::message::FromGate;

/// Why a connection ends from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The warden saw both directions shut.
    CallerGone,
    /// The drain limit passed.
    Stopped,
    /// A newer policy took back what runs.
    RefusedByReload,
    /// Its grant ended by itself, or its caller used up what it may.
    Failed(Refusal),
}

impl End {
    fn outcome(self) -> Outcome {
        match self {
            End::CallerGone => Outcome::CallerGone,
            End::Stopped => Outcome::Stopped,
            End::RefusedByReload => Outcome::RefusedByReload,
            End::Failed(refusal) => Outcome::Failed(refusal),
        }
    }
}

/// A request that was allowed, as it has to be known until its exchange is settled.
pub(super) struct Begun {
    pub(super) id: RequestId,
    pub(super) began: Instant,
    /// The policy that allowed it.
    pub(super) generation: Generation,
    pub(super) method: Method,
    pub(super) target: Target,
    pub(super) upgrade: Option<String>,
    /// Its route lets either side be silent for as long as it likes.
    pub(super) stream: bool,
    /// Only the journal knows of it.
    pub(super) by_journal: bool,
    /// Time alone can take its grant back.
    pub(super) may_end: bool,
}

/// A request that was allowed and recorded, and whose outcome is still to be written.
struct Exchange {
    begun: Begun,
    status: Option<u16>,
    bytes_in: u64,
    bytes_out: u64,
    /// The answer's last byte was made; it settles when the socket took it.
    answered: Option<Outcome>,
    /// Bytes that the caller's account was charged for.
    charged: u64,
}

/// One connection.
pub(super) struct Connection {
    pub(super) lane: Rc<Lane>,
    pub(super) id: ConnectionId,
    pub(super) listener: ListenerId,
    /// The listener's name.
    pub(super) on: Arc<str>,
    pub(super) caller: Arc<Caller>,
    /// Whether the warden has its `conn` record.
    pub(super) recorded: bool,
    /// What the policy makes of the caller, by its generation.
    subject: RefCell<Rc<(Generation, Subject)>>,
    /// What the guard read and the journey has not taken yet.
    pub(super) judged: RefCell<Option<Judged>>,
    requests: Cell<u32>,
    exchange: RefCell<Option<Exchange>>,
    /// The place that the present request has by the limits of whos.
    pub(super) holding: RefCell<Option<Holding>>,
    /// A backend connection that the next request to it may use.
    pub(super) kept: RefCell<Option<Kept>>,
    /// What to do after a 101 has left, and whether it has.
    pub(super) tunnel: RefCell<Option<Tunnel>>,
    switched: Cell<bool>,
    pub(super) deadlines: Deadlines,
    /// Interim answers of the present exchange's backend.
    pub(super) interim: Interim,
    ended: Cell<Option<End>>,
    failure: Cell<Option<Refusal>>,
    draining: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// The next read asks the kernel, whatever the event loop knows. So does the first: what the caller sent is
    /// there before the loop has heard of the socket.
    look_again: Cell<bool>,
    /// A read ended early and was taken for the last one.
    doubtful: Cell<bool>,
}

/// So long a connection that was just let in may take to its first request, once the daemon drains.
const FIRST_MS: u32 = 500;

impl Connection {
    pub(super) fn new(
        lane: Rc<Lane>,
        id: ConnectionId,
        listener: ListenerId,
        caller: Caller,
        recorded: bool,
    ) -> Rc<Connection> {
        let policy = lane.policy();
        let subject = policy.decider.recognise(listener, &caller);
        let on = policy.decider.policy().listener(listener).map_or("", |listener| listener.name.as_str());
        Rc::new(Connection {
            id,
            listener,
            on: Arc::from(on),
            caller: Arc::new(caller),
            recorded,
            subject: RefCell::new(Rc::new((policy.generation, subject))),
            judged: RefCell::default(),
            requests: Cell::new(0),
            exchange: RefCell::default(),
            holding: RefCell::default(),
            kept: RefCell::default(),
            tunnel: RefCell::default(),
            switched: Cell::new(false),
            deadlines: Default::default(),
            interim: Interim::default(),
            ended: Cell::new(None),
            failure: Cell::new(None),
            draining: Cell::new(lane.draining()),
            waker: RefCell::default(),
            look_again: Cell::new(true),
            doubtful: Cell::new(false),
            lane,
        })
    }

    /// What the policy makes of the caller; recognised anew where the policy is a newer one.
    pub(super) fn subject(&self, policy: &InForce) -> Rc<(Generation, Subject)> {
        let mut subject = self.subject.borrow_mut();
        if subject.0 != policy.generation {
            *subject = Rc::new((policy.generation, policy.decider.recognise(self.listener, &self.caller)));
        }
        Rc::clone(&subject)
    }

    /// Notes what made the connection fail; the first cause stays.
    pub(super) fn fail(&self, refusal: Refusal) {
        if self.failure.get().is_none() {
            self.failure.set(Some(refusal));
        }
    }

    /// What made the connection fail.
    pub(super) fn failure(&self) -> Option<Refusal> {
        self.failure.get()
    }

    /// Names the next request.
    pub(super) fn next_request(&self) -> RequestId {
        let number = self.requests.get().saturating_add(1);
        self.requests.set(number);
        RequestId { connection: self.id, number }
    }

    /// Whether this is the last request that the connection may carry.
    pub(super) fn last_request(&self, policy: &InForce) -> bool {
        self.draining.get() || self.requests.get() >= policy.decider.policy().limits.requests
    }

    /// Wakes the connection where a deadline passed, to see to it.
    pub(super) fn look_at_deadlines(&self, now: Instant) {
        if self.deadlines.look(now) {
            self.wake();
        }
    }

    /// Notes that silence was concluded from a read that ended early, and not heard from the kernel.
    pub(super) fn doubt_silence(&self) {
        self.doubtful.set(true);
    }

    /// Has the kernel asked once more where silence was only concluded.
    pub(super) fn look_after_silence(&self) {
        if self.doubtful.take() {
            self.look_again.set(true);
            self.wake();
        }
    }

    /// Whether the next read is to ask the kernel; told once.
    pub(super) fn looks_again(&self) -> bool {
        self.look_again.take()
    }

    // --- ends --------------------------------------------------------------------------------------------

    /// Ends the connection, and what runs on it, at its next turn.
    pub(super) fn end(&self, why: End) {
        if self.ended.get().is_none() {
            self.ended.set(Some(why));
        }
        self.wake();
    }

    /// Takes no further request: an idle connection ends now, a busy one when its exchange has. One that has
    /// asked for nothing yet was let in just before: its caller can't know, and has a moment to ask.
    pub(super) fn drain(&self) {
        self.draining.set(true);
        if !self.has_asked() {
            self.await_request(FIRST_MS);
        }
        self.wake();
    }

    /// Begins the time that the caller has until its next request.
    pub(super) fn await_request(&self, idle_ms: u32) {
        let within = if self.draining.get() { idle_ms.min(FIRST_MS) } else { idle_ms };
        self.deadlines.expect(Phase::Idle, within);
    }

    /// Whether no further request is wanted.
    pub(super) fn is_over(&self) -> bool {
        self.draining.get() && self.has_asked()
    }

    fn has_asked(&self) -> bool {
        self.requests.get() > 0
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    fn remember(&self, waker: &Waker) {
        let mut place = self.waker.borrow_mut();
        match &mut *place {
            Some(known) => known.clone_from(waker),
            None => *place = Some(waker.clone()),
        }
    }

    // --- exchanges ---------------------------------------------------------------------------------------

    /// Begins an exchange whose decision is about to be recorded, and whose outcome is to be.
    pub(super) fn begin(&self, begun: Begun) {
        if !begun.by_journal {
            self.lane.record.expect_outcome();
        }
        if begun.stream {
            self.deadlines.lift(Phase::Body);
        }
        let exchange =
            Exchange { begun, status: None, bytes_in: 0, bytes_out: 0, answered: None, charged: 0 };
        *self.exchange.borrow_mut() = Some(exchange);
    }

    /// Drops an exchange whose decision could not be recorded: nothing happened, and it needs no outcome.
    pub(super) fn abandon(&self) {
        if self.exchange.borrow_mut().take().is_some_and(|exchange| !exchange.begun.by_journal) {
            self.lane.record.expect_no_outcome();
        }
        self.deadlines.lift(Phase::Total);
    }

    /// Whether an exchange is not settled yet.
    pub(super) fn busy(&self) -> bool {
        self.exchange.borrow().is_some()
    }

    /// Whether what runs may be silent for as long as it likes.
    pub(super) fn streams(&self) -> bool {
        self.exchange.borrow().as_ref().is_some_and(|exchange| exchange.begun.stream)
    }

    /// Body bytes came from the caller.
    pub(super) fn count_in(&self, bytes: u64) {
        if let Some(exchange) = &mut *self.exchange.borrow_mut() {
            exchange.bytes_in += bytes;
        }
    }

    /// Body bytes go to the caller.
    pub(super) fn count_out(&self, bytes: u64) {
        if let Some(exchange) = &mut *self.exchange.borrow_mut() {
            exchange.bytes_out += bytes;
        }
    }

    /// The answer's status is known.
    pub(super) fn answering(&self, status: u16) {
        if let Some(exchange) = &mut *self.exchange.borrow_mut() {
            exchange.status = Some(status);
        }
    }

    /// The answer's last byte is made; the exchange settles so when the socket has taken it.
    pub(super) fn answered(&self, outcome: Outcome) {
        if let Some(exchange) = &mut *self.exchange.borrow_mut() {
            exchange.answered = Some(outcome);
        }
    }

    /// The socket has taken all that was made so far.
    pub(super) fn flushed(&self) {
        if self.tunnel.borrow().is_some() {
            self.switched.set(true);
        }
        let answered = self.exchange.borrow().as_ref().and_then(|exchange| exchange.answered);
        if let Some(outcome) = answered {
            self.settle(outcome);
            // The guard holds back the next head until now.
            self.wake();
        }
    }

    /// Writes down how the running exchange ended, if one runs.
    pub(super) fn settle(&self, result: Outcome) {
        let Some(mut exchange) = self.exchange.borrow_mut().take() else { return };
        self.spend(&mut exchange, Instant::now());
        self.holding.take();
        self.deadlines.lift(Phase::Total);
        self.deadlines.lift(Phase::Response);
        let outcome = OutcomeOf {
            id: exchange.begun.id,
            status: exchange.status,
            result,
            bytes_in: exchange.bytes_in,
            bytes_out: exchange.bytes_out,
            us: micros(exchange.begun.began),
        };
        if exchange.begun.by_journal {
            let line = record::line(&Entry::Outcome(outcome));
            self.lane.tell(FromGate::SettledByJournal { connection: self.id.number, line });
        } else {
            self.lane.record.outcome(outcome);
        }
    }
}

/// Microseconds since `began`.
pub(super) fn micros(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// What hyper may hold of one connection each way: of an answer whose caller does not read, and of what the guard
/// writes for it.
const BUFFERED: usize = 32 << 10;

/// Serves one connection to its end, whatever that is, and records it.
pub(super) async fn run(connection: Rc<Connection>, socket: Stream) {
    let _leaving = Leaving(Rc::clone(&connection));
    let guarded = Guarded::new(socket, Rc::clone(&connection));
    // Each request that hyper reads off the guard's writing goes on the journey.
    let serving = Rc::clone(&connection);
    let journey = service_fn(move |request: Request<Incoming>| {
        let (connection, body) = (Rc::clone(&serving), request.into_body());
        async move { Ok::<_, Infallible>(journey::serve(connection, body).await) }
    });
    let mut http = http1::Builder::new()
        .half_close(true)
        .header_read_timeout(None)
        .auto_date_header(true)
        .max_buf_size(BUFFERED)
        .serve_connection(guarded, journey);
    let served = poll_fn(|context| {
        connection.remember(context.waker());
        match connection.ended.get() {
            Some(end) => Poll::Ready(Err(end)),
            // As a future, not by `poll_without_shutdown`: that one may be ready with bytes still to flush.
            None => Pin::new(&mut http).poll(context).map(Ok),
        }
    })
    .await;
    let parts = http.into_parts();
    let guarded = parts.io;
    match (served, connection.tunnel.take()) {
        (Err(end), _) => connection.settle(end.outcome()),
        // Hyper may be done with bytes still unwritten here; a tunnel begins only behind a 101 that has left.
        (Ok(Ok(())), Some(tunnel)) if connection.switched.get() => tunnel.run(&connection, guarded).await,
        (Ok(result), _) => {
            if let Err(error) = result {
                tracing::debug!(id = %connection.id, "a connection ended: {error}");
            }
            connection.settle(guarded.failure().map_or(Outcome::CallerGone, Outcome::Failed));
            guarded.say_goodbye().await;
        }
    }
}

/// Waits for `future` while the connection may go on; `Err` where it was ended from outside.
pub(super) async fn unless_ended<F: Future>(
    connection: &Connection,
    future: F,
) -> Result<F::Output, Outcome> {
    let mut future = std::pin::pin!(future);
    poll_fn(|context| {
        connection.remember(context.waker());
        match connection.ended.get() {
            Some(end) => Poll::Ready(Err(end.outcome())),
            None => future.as_mut().poll(context).map(Ok),
        }
    })
    .await
}

/// Whatever ends the task, a panic too, the exchange is settled and the lane forgets the connection.
struct Leaving(Rc<Connection>);

impl Drop for Leaving {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.settle(Outcome::Failed(Refusal::Internal));
            self.0.lane.tell(FromGate::Panicked { connection: self.0.id.number });
        } else {
            // Only where nothing settled it by a better name.
            self.0.settle(Outcome::CallerGone);
        }
        self.0.lane.forget(self.0.id.number);
    }
}
