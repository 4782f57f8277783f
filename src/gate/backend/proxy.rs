//! Another API behind a socket: the rebuilt request goes out, its answer comes back, both streamed, neither
//! trusted. Memory is bounded by one buffer each way; who is slow slows the other side.

mod upload;

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::SizeHint;
use hyper::body::Incoming;

use super::link::Link;
use crate::gate::answer::Answer;
use crate::gate::connection::Connection;
use crate::gate::deadline::Phase;
use crate::gate::head::{self, Event, Expected, Framing, Head, Version};
use crate::gate::recorded::Recorded;
use crate::gate::tunnel::Tunnel;
use crate::model::outcome::Outcome;
use crate::model::refusal::Refusal;
use upload::Upload;

/// What follows the request's head.
pub(in crate::gate) enum Payload {
    /// Nothing.
    None,
    /// All of it, read before anything was sent.
    Whole(Bytes),
    /// As the caller sends it, `max` bytes at most.
    Streamed {
        /// Hyper's reading of what the guard verified.
        body: Incoming,
        /// The most bytes it may have.
        max: u64,
        /// What a longer one is refused as.
        over: Refusal,
    },
}

/// Why no answer came.
pub(in crate::gate) enum Unsent {
    /// A kept connection turned out to be closed, nothing of an answer had come, and the request is safe to
    /// repeat (RFC 9110 §9.2.1) with this payload.
    Stale(Payload),
    /// It failed for good.
    Failed(Refusal),
}

impl Unsent {
    /// What to answer where it is not tried again.
    pub(in crate::gate) fn refusal(self) -> Refusal {
        match self {
            Unsent::Stale(_) => Refusal::BackendDied,
            Unsent::Failed(refusal) => refusal,
        }
    }
}

/// Headers of ours that go with a request.
pub(in crate::gate) type Told = Vec<(&'static str, String)>;

/// Sends a request whose permission is on record, and waits for the head of its answer. The body follows as
/// the caller reads it.
pub(in crate::gate) async fn send(
    connection: &Rc<Connection>,
    recorded: &Recorded,
    mut link: Link,
    head: &Head,
    payload: Payload,
    told: &Told,
) -> Result<Response<Answer>, Unsent> {
    let repeatable = link.is_reused()
        && matches!(payload, Payload::None)
        && matches!(head.method().as_str(), "GET" | "HEAD" | "OPTIONS");
    let framing = match &payload {
        Payload::Whole(bytes) => {
            connection.count_in(bytes.len() as u64);
            Framing::Length(bytes.len() as u64)
        }
        _ => head.framing(),
    };
    let extra: Vec<(&str, &str)> = told.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut first = Vec::with_capacity(512);
    head.write_with_body(&mut first, &extra, framing);
    let policy = connection.lane.policy();
    let limits = &policy.decider.policy().limits;
    link.guard.expect(Expected { head: head.method().as_str() == "HEAD", upgrade: head.upgrade().is_some() });
    let mut relay = Relay {
        connection: Rc::clone(connection),
        link: Some(link),
        upload: Upload::new(first, payload, framing),
        upgrade: head.upgrade().map(str::to_owned),
        began: false,
        takes_interim: head.version() == Version::Http11,
        response_ms: (!recorded.terms().stream).then_some(limits.response_ms),
        closes_behind: false,
    };
    relay.expect_answer();
    let answered = std::future::poll_fn(|cx| relay.poll_head(cx)).await;
    connection.deadlines.lift(Phase::Response);
    match answered {
        Ok(head) => relay.into_response(&head).map_err(Unsent::Failed),
        Err(Refusal::BackendDied) if repeatable && !relay.began => Err(Unsent::Stale(Payload::None)),
        Err(refusal) => Err(Unsent::Failed(refusal)),
    }
}

/// Takes the answer of a command's runner, whose input is `input` and nothing else: not a byte of the request's head
/// goes there.
pub(in crate::gate) async fn receive(
    connection: &Rc<Connection>,
    _recorded: &Recorded,
    link: Link,
    input: Bytes,
) -> Result<Response<Answer>, Refusal> {
    connection.count_in(input.len() as u64);
    let mut relay = Relay {
        connection: Rc::clone(connection),
        link: Some(link),
        upload: Upload::new(Vec::new(), Payload::Whole(input), Framing::None),
        upgrade: None,
        began: false,
        takes_interim: false,
        response_ms: None,
        closes_behind: true,
    };
    let head = std::future::poll_fn(|cx| relay.poll_head(cx)).await?;
    relay.into_response(&head)
}

/// The caller, for a backend that asks for it (`identity_headers = true`); inbound ones were removed before.
pub(in crate::gate) fn identity_headers(connection: &Connection) -> Told {
    let caller = &connection.caller;
    let mut headers = Vec::with_capacity(4);
    if let Some(uid) = caller.credentials.uid.known() {
        headers.push(("X-Peergate-Uid", uid.to_string()));
    }
    if let Some(gid) = caller.credentials.gid.known() {
        headers.push(("X-Peergate-Gid", gid.to_string()));
    }
    headers.push(("X-Peergate-Pid", caller.peer.pid.to_string()));
    headers.push(("X-Peergate-Connection", connection.id.to_string()));
    headers
}

/// One exchange with a backend.
struct Relay {
    connection: Rc<Connection>,
    /// `None` once it was given back or dropped.
    link: Option<Link>,
    upload: Upload,
    /// The protocol that was asked for.
    upgrade: Option<String>,
    /// A byte of the answer came.
    began: bool,
    /// The caller knows of interim answers.
    takes_interim: bool,
    response_ms: Option<u32>,
    /// The end of what goes out is told by the end of the stream, once.
    closes_behind: bool,
}

impl Relay {
    fn expect_answer(&self) {
        if let Some(ms) = self.response_ms {
            self.connection.deadlines.expect(Phase::Response, ms);
        }
    }

    /// Fails where a deadline of the exchange passed.
    fn check_time(&self) -> Result<(), Refusal> {
        match self.connection.deadlines.take_expired(&[Phase::Response, Phase::Total, Phase::Body]) {
            Some(phase) => Err(phase.refusal()),
            None => Ok(()),
        }
    }

    /// Sends on; an error is the caller's fault or ours, a backend that takes no more is not an error (it may
    /// have answered already).
    fn push(&mut self, cx: &mut Context<'_>) -> Result<(), Refusal> {
        let Some(link) = &self.link else { return Ok(()) };
        let before = self.upload.sent();
        let result = self.upload.poll(cx, link, &self.connection);
        if self.upload.sent() != before && !self.began {
            self.expect_answer();
        }
        if self.closes_behind && self.upload.is_done() {
            link.shutdown_write();
            self.closes_behind = false;
        }
        match result {
            Poll::Ready(Err(refusal)) => Err(refusal),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    /// Reads from the backend until the guard can say something.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event<head::Answer>, Refusal>> {
        loop {
            self.check_time()?;
            self.push(cx)?;
            let Some(link) = &mut self.link else { return Poll::Ready(Err(Refusal::BackendDied)) };
            match link.guard.step()? {
                Event::NeedMore => {}
                event => return Poll::Ready(Ok(event)),
            }
            match ready!(link.poll_fill(cx)) {
                Ok(count) => self.began |= count > 0,
                Err(error) => {
                    tracing::debug!(id = %self.connection.id, "a backend failed: {error}");
                    return Poll::Ready(Err(Refusal::BackendDied));
                }
            }
        }
    }

    /// The answer's head; interim ones (1xx) go on ahead, but to a client of HTTP/1.0 (RFC 9110 §15.2).
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Box<head::Answer>, Refusal>> {
        loop {
            match ready!(self.poll_event(cx))? {
                // The guard takes a 101 only where an upgrade was asked for; here it must have been asked whole.
                Event::Head(head) if head.status() == 101 && !self.switches_as_asked(&head) => {
                    return Poll::Ready(Err(Refusal::BackendGarbage));
                }
                Event::Head(head) if head.status() < 200 && head.status() != 101 => {
                    if self.takes_interim {
                        self.connection.interim.offer(&head);
                    }
                }
                Event::Head(head) => return Poll::Ready(Ok(head)),
                Event::Closed => return Poll::Ready(Err(Refusal::BackendDied)),
                Event::Body(_) | Event::End | Event::NeedMore => {
                    return Poll::Ready(Err(Refusal::BackendGarbage));
                }
            }
        }
    }

    /// Whether a 101 names the protocol that was asked for, and comes behind the whole request.
    fn switches_as_asked(&self, head: &head::Answer) -> bool {
        let named = head.upgrade().zip(self.upgrade.as_deref());
        self.upload.is_done() && named.is_some_and(|(said, asked)| said.eq_ignore_ascii_case(asked))
    }

    fn into_response(mut self, head: &head::Answer) -> Result<Response<Answer>, Refusal> {
        let connection = Rc::clone(&self.connection);
        let status = StatusCode::from_u16(head.status()).map_err(|_| Refusal::BackendGarbage)?;
        connection.answering(head.status());
        let mut response = Response::new(Answer::Whole(None));
        *response.status_mut() = status;
        for (name, value) in head.forwardable() {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Refusal::BackendGarbage)?;
            let value = HeaderValue::from_str(value).map_err(|_| Refusal::BackendGarbage)?;
            response.headers_mut().append(name, value);
        }
        if status == StatusCode::SWITCHING_PROTOCOLS {
            let protocol = head.upgrade().ok_or(Refusal::BackendGarbage)?;
            let protocol = HeaderValue::from_str(protocol).map_err(|_| Refusal::BackendGarbage)?;
            response.headers_mut().insert(header::UPGRADE, protocol);
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            let mut link = self.link.take().ok_or(Refusal::BackendDied)?;
            // What came right behind the 101.
            let rest = match link.guard.step() {
                Ok(Event::Body(_)) => link.guard.body().to_vec(),
                _ => Vec::new(),
            };
            *connection.tunnel.borrow_mut() = Some(Tunnel::new(link, rest));
            return Ok(response);
        }
        if let Some(length) = head.told_length() {
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        *response.body_mut() = match head.framing() {
            // Of a body that is known to be empty hyper never asks for the end.
            Framing::None | Framing::Length(0) => {
                self.finish();
                Answer::Whole(None)
            }
            framing => {
                let size = match framing {
                    Framing::Length(length) => SizeHint::with_exact(length),
                    _ => SizeHint::default(),
                };
                Answer::Relayed(Box::new(Relayed { relay: self, size, failed: None }))
            }
        };
        Ok(response)
    }

    /// The answer is whole: it settles once the caller's socket has it, and the link may serve again.
    fn finish(&mut self) {
        self.connection.answered(Outcome::Completed);
        if let Some(mut link) = self.link.take()
            && self.upload.is_done()
            && matches!(link.guard.step(), Ok(Event::End))
        {
            *self.connection.kept.borrow_mut() = link.keep();
        }
    }
}

/// The body of a backend's answer, on its way to the caller.
pub(in crate::gate) struct Relayed {
    relay: Relay,
    size: SizeHint,
    failed: Option<Refusal>,
}

impl Relayed {
    /// The next bytes; `None` at the end. An error ends the caller's connection: an answer that has begun can't
    /// be taken back.
    pub(in crate::gate) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Refusal>>> {
        if let Some(refusal) = self.failed {
            return Poll::Ready(Some(Err(refusal)));
        }
        if self.relay.link.is_none() {
            return Poll::Ready(None);
        }
        let event = ready!(self.relay.poll_event(cx));
        match (event, &mut self.relay.link) {
            (Ok(Event::Body(count)), Some(link)) => {
                let bytes = Bytes::copy_from_slice(link.guard.body());
                link.guard.consume(count);
                // Where the length is known, hyper asks for nothing behind the last byte.
                if let Ok(Event::End) = link.guard.step() {
                    self.relay.finish();
                }
                self.relay.connection.count_out(bytes.len() as u64);
                Poll::Ready(Some(Ok(bytes)))
            }
            (Ok(Event::End), _) => {
                self.relay.finish();
                Poll::Ready(None)
            }
            (Ok(_), _) => self.fail(cx, Refusal::BackendGarbage),
            (Err(refusal), _) => self.fail(cx, refusal),
        }
    }

    /// Fails at the next turn: hyper throws away what it has not written yet, so let it write that first.
    fn fail(&mut self, cx: &mut Context<'_>, refusal: Refusal) -> Poll<Option<Result<Bytes, Refusal>>> {
        self.relay.link = None;
        self.relay.connection.fail(refusal);
        self.failed = Some(refusal);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Exact where the answer has a Content-Length.
    pub(in crate::gate) fn size_hint(&self) -> SizeHint {
        self.size
    }
}
