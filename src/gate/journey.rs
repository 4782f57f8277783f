//! A request's journey: one line a step, and what fails leaves by `?`.

mod body;
mod command;
mod sync;

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use hyper::body::Incoming;

use super::answer::{self, Answer};
use super::backend::builtin::{self, Asking, Withheld};
use super::backend::link::{self, Link};
use super::backend::proxy::{self, Payload, Told};
use super::backend::told;
use super::budget::Denying;
use super::caps::{self, Over};
use super::connection::{Begun, Connection, micros};
use super::deadline::Phase;
use super::guard::Judged;
use super::head::{Framing, Head};
use super::lane::InForce;
use super::record::{Immediate, Named};
use super::recorded::Recorded;
use crate::model::ids::RequestId;
use crate::model::keeping::{Durability, OnFailure};
use crate::model::message::Coming;
use crate::model::outcome::Outcome;
use crate::model::refusal::Refusal;
use crate::model::target::Asked;
use crate::model::time::Timestamp;
use crate::policy::{BackendKind, Denial, Headed, Permit, Verdict};

/// What the records of one request are reckoned to cost beside its target, against the budget of record bytes.
const RECORD_BYTES: u64 = 512;
/// Where a journey ends early.
enum Stop {
    /// Not permitted, or not well formed; not recorded yet.
    Denied(Denial),
    /// Beyond what a who's limits give the caller; not recorded yet.
    Over(Over),
    /// Neither this nor anything else can be recorded.
    Unrecordable,
    /// Permitted and recorded, and then it failed.
    Failed(Refusal),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Stop {
        Stop::Denied(Denial::plain(refusal))
    }
}

/// A request's body.
enum Read {
    /// It was read whole and judged.
    Judged(Bytes),
    /// No rule reads it.
    Coming(Incoming),
}

/// One request on its way.
struct Traveller<'a> {
    connection: &'a Rc<Connection>,
    policy: Rc<InForce>,
    id: RequestId,
    began: Instant,
    method: &'a [u8],
    target: &'a [u8],
}

/// Answers the request that the guard has just read; its bytes as hyper saw them are not looked at again.
pub(super) async fn serve(connection: Rc<Connection>, body: Incoming) -> Response<Answer> {
    let judged = connection.judged.take();
    let traveller = |method, target| Traveller {
        connection: &connection,
        policy: connection.lane.policy(),
        id: connection.next_request(),
        began: Instant::now(),
        method,
        target,
    };
    let response = match &judged {
        Some(Judged::Request(head)) => {
            let traveller = traveller(head.method().as_str().as_bytes(), head.target().as_str().as_bytes());
            let has_body = head.framing().has_body();
            match traveller.travel(head, body).await {
                Ok(response) => traveller.keep_or_close(response),
                Err(stop) => Box::pin(traveller.stop(stop, has_body)).await,
            }
        }
        Some(Judged::Refused { refusal, method, target }) => {
            Box::pin(traveller(method, target).stop(Stop::from(*refusal), true)).await
        }
        // Hyper asks only after the guard has written a head for it.
        None => Box::pin(traveller(b"", b"").stop(Stop::from(Refusal::Internal), true)).await,
    };
    if !connection.busy() {
        // Nothing runs on.
        connection.holding.take();
    }
    response
}

impl Traveller<'_> {
    async fn travel(&self, head: &Head, body: Incoming) -> Result<Response<Answer>, Stop> {
        self.admit()?;
        self.enter()?;
        let (permit, body) = match self.lookup(head)? {
            Headed::Permit(permit) => (permit, Read::Coming(body)),
            Headed::Body(unjudged) => Box::pin(self.read(unjudged, body)).await?,
        };
        if !self.recordable() && permit.terms().on_failure == OnFailure::Deny {
            return Err(Stop::Unrecordable);
        }
        // Boxed each, so that the rest, which every connection has room for, stays small; and in parts, since the allocator
        // is quick below a kibibyte only.
        match self.kind(&permit)? {
            BackendKind::Builtin => {
                let withheld = self.ask_builtin(head);
                if permit.terms().durability == Durability::Sync {
                    return Box::pin(self.answer_durably(head, permit, withheld)).await;
                }
                let recorded = self.record(permit, Some(&withheld)).await?;
                Ok(withheld.release(recorded))
            }
            BackendKind::Command(command) => Box::pin(self.command(head, body, permit, command)).await,
            kind => {
                let told = told::of(kind, self.connection, self.id, &self.policy.hash, &permit);
                Box::pin(self.forward(head, body, permit, told)).await
            }
        }
    }

    /// Lets an answer of the daemon's own go once its decision is on the disk. Whether it will be is not known when the
    /// decision is recorded, so that an outcome follows.
    async fn answer_durably(
        &self,
        head: &Head,
        permit: Permit,
        withheld: Withheld,
    ) -> Result<Response<Answer>, Stop> {
        let stream = permit.terms().stream;
        let recorded = self.begin(permit, head, stream).await?;
        self.connection.answering(withheld.status());
        self.connection.count_out(withheld.length());
        self.connection.answered(Outcome::Completed);
        Ok(withheld.release(recorded))
    }

    /// Sends the request on, and waits for the head of its answer.
    async fn forward(
        &self,
        head: &Head,
        body: Read,
        permit: Permit,
        told: Told,
    ) -> Result<Response<Answer>, Stop> {
        let (payload, judged) = match body {
            // What was judged is what is sent, byte for byte.
            Read::Judged(bytes) => (Payload::Whole(bytes.clone()), Some(bytes)),
            Read::Coming(body) => (self.payload(&permit, head, body).await?, None),
        };
        let (stands_in, stream) = (permit.terms().on_failure == OnFailure::Journal, permit.terms().stream);
        let begun =
            if self.recordable() { self.begin(permit, head, stream).await } else { Err(Stop::Unrecordable) };
        let (recorded, link) = match begun {
            Ok(recorded) => {
                let link = self.reach(&recorded).await?;
                (recorded, link)
            }
            Err(Stop::Unrecordable) if stands_in => self.begin_by_journal(head, judged.as_ref()).await?,
            Err(stop) => return Err(stop),
        };
        match Box::pin(proxy::send(self.connection, &recorded, link, head, payload, &told)).await {
            Ok(response) => Ok(response),
            Err(proxy::Unsent::Stale(payload)) => {
                // The kept connection was closed under us and nothing of an answer came: once more.
                let link = self.connect(&recorded).await?;
                let again = proxy::send(self.connection, &recorded, link, head, payload, &told);
                Box::pin(again).await.map_err(|unsent| Stop::Failed(unsent.refusal()))
            }
            Err(unsent) => Err(Stop::Failed(unsent.refusal())),
        }
    }

    /// Whether a record of this request can be written now, as far as that is known.
    fn recordable(&self) -> bool {
        self.connection.lane.recordable() && self.connection.recorded
    }

    /// Whether there is room for one more decision at all.
    fn admit(&self) -> Result<(), Stop> {
        let lane = &self.connection.lane;
        let limits = &self.policy.decider.policy().limits;
        let stranger = self.connection.subject(&self.policy).1.is_stranger();
        let uid = self.connection.caller.peer.uid;
        let bytes = RECORD_BYTES + self.target.len() as u64;
        let admitted = lane.budgets.borrow_mut().admit(uid, stranger, bytes, limits, Timestamp::now());
        if admitted { Ok(()) } else { Err(Refusal::RateLimited.into()) }
    }

    /// Takes the place that the limits of whos give the caller for one more request.
    fn enter(&self) -> Result<(), Stop> {
        let subject = self.connection.subject(&self.policy);
        // What the last one had is given back first.
        self.connection.holding.take();
        let (uid, caps) = (self.connection.caller.peer.uid, &self.connection.lane.shared.caps);
        let holding = caps.enter(uid, subject.1.caps(), self.began).map_err(Stop::Over)?;
        *self.connection.holding.borrow_mut() = holding;
        Ok(())
    }

    /// The policy decides, as far as the head goes.
    fn lookup(&self, head: &Head) -> Result<Headed, Stop> {
        let subject = self.connection.subject(&self.policy);
        let asked = Asked { method: head.method(), target: head.target(), upgrade: head.upgrade() };
        let coming = match head.framing() {
            Framing::None | Framing::Length(0) | Framing::UntilClose => Coming::Nothing,
            Framing::Length(length) => Coming::Length(length),
            Framing::Chunked => Coming::Chunked,
        };
        let headed = match self.policy.decider.decide(self.connection.listener, &subject.1, &asked) {
            Verdict::Allow(permit) => Headed::Permit(permit),
            Verdict::Read(unread) => unread.head(head, coming).map_err(Stop::Denied)?,
            Verdict::Deny(denial) => return Err(Stop::Denied(denial)),
        };
        match coming {
            Coming::Length(length) => self.takes_length(length, headed),
            _ => Ok(headed),
        }
    }

    /// Whether a body of that length may come.
    fn takes_length(&self, length: u64, headed: Headed) -> Result<Headed, Stop> {
        let subject = self.connection.subject(&self.policy);
        if length > self.route_body_max(headed.terms()) {
            return Err(Stop::Denied(headed.deny(Refusal::BodyTooLarge)));
        }
        match caps::tightest_body(subject.1.caps()) {
            Some((most, cap)) if length > most => {
                let over = caps::body_over(cap).denial();
                Err(Stop::Denied(Denial { by: over.by, at: over.at, ..headed.deny(over.refusal) }))
            }
            _ => Ok(headed),
        }
    }

    fn kind(&self, permit: &Permit) -> Result<&BackendKind, Stop> {
        let backend = self.policy.decider.policy().backend(permit.terms().backend);
        backend.map(|backend| &backend.kind).ok_or_else(|| Refusal::Internal.into())
    }

    fn ask_builtin(&self, head: &Head) -> Withheld {
        let offers = || {
            let subject = self.connection.subject(&self.policy);
            self.policy.decider.what_may(self.connection.listener, &subject.1)
        };
        let asking = Asking {
            id: self.id,
            caller: &self.connection.caller,
            on: &self.connection.on,
            policy: &self.policy.hash,
            recordable: self.connection.lane.recordable(),
            offers: &offers,
        };
        builtin::prepare(head.method().as_str(), head.target().path(), &asking)
    }

    /// The permission, once it is on record as durably as its route asks.
    async fn record(&self, permit: Permit, answer: Option<&Withheld>) -> Result<Recorded, Stop> {
        let immediate = answer.map(|a| Immediate { status: a.status(), us: micros(self.began) });
        let written = self.connection.lane.record.allowed(permit, self.named(), immediate).await;
        match Recorded::written(written.map_err(|_| Stop::Unrecordable)?) {
            Ok(recorded) => Ok(recorded),
            Err(receipt) => Box::pin(self.sync(receipt)).await,
        }
    }

    /// Begins the exchange with its record. It is there before the record is written: whoever leaves in between
    /// has a decision in the log, and so needs an outcome.
    async fn begin(&self, permit: Permit, head: &Head, stream: bool) -> Result<Recorded, Stop> {
        self.begin_exchange(&permit, head, stream, false);
        let recorded = self.record(permit, None).await.inspect_err(|stop| {
            // What was written and failed later has its outcome.
            if matches!(stop, Stop::Unrecordable) {
                self.connection.abandon();
            }
        })?;
        // A body, or the disk, that was waited for may have outlasted the policy that allowed it.
        if self.connection.outlasted() { Err(Stop::Failed(Refusal::RefusedByReload)) } else { Ok(recorded) }
    }

    fn begin_exchange(&self, permit: &Permit, head: &Head, stream: bool, by_journal: bool) {
        self.connection.begin(Begun {
            id: self.id,
            began: self.began,
            generation: self.policy.generation,
            method: head.method().clone(),
            target: head.target().clone(),
            upgrade: head.upgrade().map(str::to_owned),
            stream,
            by_journal,
            may_end: permit.may_end(),
        });
        if !stream && head.upgrade().is_none() {
            self.connection.deadlines.expect(Phase::Total, self.policy.decider.policy().limits.total_ms);
        }
    }

    /// Begins an exchange that only the journal will know of: its record goes to the warden with the wish for a backend,
    /// and the backend comes back only once the journal has taken it.
    async fn begin_by_journal(&self, head: &Head, judged: Option<&Bytes>) -> Result<(Recorded, Link), Stop> {
        let lane = &self.connection.lane;
        // The one that could not be recorded is spent.
        let permit = match (self.lookup(head)?, judged) {
            (Headed::Permit(permit), _) => permit,
            (Headed::Body(unjudged), Some(bytes)) => unjudged.body(bytes).map_err(Stop::Denied)?,
            (Headed::Body(unjudged), None) => return Err(Stop::Denied(unjudged.deny(Refusal::Internal))),
        };
        let stream = permit.terms().stream;
        self.begin_exchange(&permit, head, stream, true);
        let (backend, generation) = (permit.terms().backend, self.policy.generation);
        let line = lane.record.line_of(&permit, self.named());
        match lane.open_by_journal(self.id, backend, generation, line).await {
            Ok(opened) => {
                let recorded = Recorded::journalled(permit, &opened);
                let link = link::made(opened.into_socket(), self.id, backend, &self.policy);
                Ok((recorded, link.map_err(Stop::Failed)?))
            }
            Err(Refusal::AuditUnavailable) => {
                self.connection.abandon();
                Err(Stop::Unrecordable)
            }
            Err(refusal) => Err(Stop::Failed(refusal)),
        }
    }

    /// A connection to the backend: the one that was kept for this caller, or a new one by the warden.
    async fn reach(&self, recorded: &Recorded) -> Result<Link, Stop> {
        let kept = self.connection.kept.borrow_mut().take();
        match kept.and_then(|kept| kept.reuse(recorded.terms().backend, self.policy.generation)) {
            Some(link) => Ok(link),
            None => self.connect(recorded).await,
        }
    }

    async fn connect(&self, recorded: &Recorded) -> Result<Link, Stop> {
        let backend = recorded.terms().backend;
        link::open(&self.connection.lane, self.id, backend, &self.policy).await.map_err(Stop::Failed)
    }

    // --- early ends --------------------------------------------------------------------------------------

    async fn stop(&self, stop: Stop, has_body: bool) -> Response<Answer> {
        let mut response = match stop {
            Stop::Denied(denial) => self.deny(denial).await,
            Stop::Over(over) => {
                let mut response = self.deny(over.denial()).await;
                if response.status() == http::StatusCode::TOO_MANY_REQUESTS {
                    response.headers_mut().insert(header::RETRY_AFTER, over.retry_s.into());
                }
                response
            }
            Stop::Unrecordable => answer::refusal(self.id, Refusal::AuditUnavailable, None),
            Stop::Failed(refusal) => {
                let refusal = self.connection.failure().unwrap_or(refusal);
                self.connection.answering(refusal.status());
                self.connection.answered(Outcome::Failed(refusal));
                answer::refusal(self.id, refusal, None)
            }
        };
        if has_body {
            // What is left of the body is not worth reading on.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        self.keep_or_close(response)
    }

    /// Records a denial, by itself or in a count, and then answers it.
    async fn deny(&self, denial: Denial) -> Response<Answer> {
        let lane = &self.connection.lane;
        if !self.recordable() {
            return answer::refusal(self.id, Refusal::AuditUnavailable, None);
        }
        let (uid, listener) = (self.connection.caller.peer.uid, self.connection.listener.0);
        let limits = &self.policy.decider.policy().limits;
        let (route, refusal, now) = (denial.route.as_ref(), denial.refusal, Timestamp::now());
        let denying = lane.budgets.borrow_mut().deny(uid, listener, route, refusal, limits, now);
        if denying == Denying::Record {
            let immediate = Immediate { status: refusal.status(), us: micros(self.began) };
            if lane.record.denied(&denial, self.named(), immediate).await.is_err() {
                return answer::refusal(self.id, Refusal::AuditUnavailable, None);
            }
        } else {
            lane.watch();
        }
        answer::refusal(self.id, refusal, denial.help.as_deref())
    }

    fn named(&self) -> Named<'_> {
        Named {
            id: self.id,
            peer: self.connection.caller.peer,
            method: self.method,
            target: self.target,
            policy: &self.policy.hash,
        }
    }

    fn keep_or_close(&self, mut response: Response<Answer>) -> Response<Answer> {
        if self.connection.last_request(&self.policy)
            && response.status() != http::StatusCode::SWITCHING_PROTOCOLS
        {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
