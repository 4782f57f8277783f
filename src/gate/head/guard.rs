//! The machine that reads requests.

use super::body::{Body, Progress};
use super::buffer::Buffer;
use super::fields::{self, Draft, Side};
use super::line::{Line, Lines};
use super::request::{Head, RequestLine};
use super::{BODY_READ, Event, HeadLimits};
use crate::model::refusal::Refusal;

/// Reads one client's requests, one after the other; see [`super`].
#[derive(Debug)]
pub struct RequestGuard {
    limits: HeadLimits,
    buffer: Buffer,
    phase: Phase,
    lines: Lines,
    line: Option<RequestLine>,
    draft: Draft,
    /// Bytes at the buffer's front that are known to be the body's.
    ready: usize,
    /// Bytes of the body that may still come.
    allowed: u64,
    /// What the last head said of the connection and of a change of protocol.
    close: bool,
    upgrade: bool,
    /// Nothing more arrives.
    closed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Head,
    Body(Body),
    End,
    Closed,
    Refused { why: Refusal, in_head: bool },
}

/// A refused request's method and target, as far as they came; for the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Glimpse<'a> {
    /// The bytes before the first space; at most [`Glimpse::METHOD`].
    pub method: &'a [u8],
    /// The bytes between that and the next space or line end; at most [`Glimpse::TARGET`].
    pub target: &'a [u8],
}

impl Glimpse<'_> {
    /// The most bytes of a method that are shown.
    pub const METHOD: usize = 64;
    /// The most bytes of a target that are shown.
    pub const TARGET: usize = 8 << 10;
}

impl RequestGuard {
    /// A guard at the beginning of a connection. It holds no buffer before the first [`RequestGuard::spare`].
    pub fn new(limits: HeadLimits) -> RequestGuard {
        RequestGuard {
            limits,
            buffer: Buffer::default(),
            phase: Phase::Head,
            lines: Lines::default(),
            line: None,
            draft: Draft::default(),
            ready: 0,
            allowed: u64::MAX,
            close: false,
            upgrade: false,
            closed: false,
        }
    }

    /// Room to receive into. At least one byte after [`Event::NeedMore`]; empty while what has arrived fills the
    /// buffer and waits to be used.
    pub fn spare(&mut self) -> &mut [u8] {
        let wanted = if matches!(self.phase, Phase::Body(_)) { BODY_READ } else { 0 };
        self.buffer.spare(wanted, self.limits.head_bytes.max(BODY_READ))
    }

    /// That `count` bytes were received into the front of [`RequestGuard::spare`].
    pub fn filled(&mut self, count: usize) {
        self.buffer.filled(count);
    }

    /// That the client sends nothing more.
    pub fn closed(&mut self) {
        self.closed = true;
    }

    /// Judges what has arrived, up to the next event.
    ///
    /// # Errors
    /// The first rule that the bytes break; from then on always the same. [`Refusal::Truncated`] where the client
    /// ended inside a request.
    pub fn step(&mut self) -> Result<Event<Head>, Refusal> {
        loop {
            match self.phase {
                Phase::Head => match self.read_head() {
                    Ok(None) if !self.closed => return Ok(Event::NeedMore),
                    Ok(None) if self.buffer.is_empty() => self.phase = Phase::Closed,
                    Ok(None) => return Err(self.refuse(Refusal::Truncated)),
                    Ok(Some(head)) => return Ok(Event::Head(Box::new(head))),
                    Err(why) => return Err(self.refuse(why)),
                },
                Phase::Body(mut body) => {
                    let progress = body.step(self.buffer.bytes()).map_err(|why| self.refuse(why))?;
                    self.phase = Phase::Body(body);
                    match progress {
                        Progress::Framing(count) => self.buffer.consume(count),
                        Progress::Data(count) => return self.give(count),
                        Progress::Done => self.phase = Phase::End,
                        Progress::More if !self.closed => return Ok(Event::NeedMore),
                        Progress::More if body == Body::Endless => self.phase = Phase::Closed,
                        Progress::More => return Err(self.refuse(Refusal::Truncated)),
                    }
                }
                Phase::End => return Ok(Event::End),
                Phase::Closed => return Ok(Event::Closed),
                Phase::Refused { why, .. } => return Err(why),
            }
        }
    }

    /// The body's bytes that the last [`Event::Body`] told of and that are not consumed yet.
    pub fn body(&self) -> &[u8] {
        self.buffer.bytes().get(..self.ready).unwrap_or_default()
    }

    /// Uses up the first `count` bytes of [`RequestGuard::body`].
    pub fn consume(&mut self, count: usize) {
        let count = count.min(self.ready);
        self.ready -= count;
        self.buffer.consume(count);
        self.allowed = self.allowed.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
        if let Phase::Body(body) = &mut self.phase {
            body.used(count);
        }
    }

    /// Lets the present request's body be at most `most` bytes from here on; to be set for each request, after its head.
    ///
    /// # Errors
    /// [`Refusal::BodyTooLarge`] at once where its length is known to be more.
    pub fn limit_body(&mut self, most: u64) -> Result<(), Refusal> {
        self.allowed = most;
        match self.phase {
            Phase::Body(Body::Length(length)) if length > most => Err(self.refuse(Refusal::BodyTooLarge)),
            _ => Ok(()),
        }
    }

    /// After [`Event::End`]: reads on, unless the client said that this was its last request; then what it sent
    /// behind it is never looked at.
    pub fn next(&mut self) {
        if self.phase == Phase::End {
            self.phase = if self.close { Phase::Closed } else { Phase::Head };
            self.lines = Lines::default();
            self.upgrade = false;
        }
    }

    /// After [`Event::End`] of a request that asked for an upgrade, and only once the backend answered 101: all
    /// that follows comes as [`Event::Body`], unread. Otherwise it does nothing and returns false.
    #[must_use]
    pub fn tunnel(&mut self) -> bool {
        let may = self.phase == Phase::End && self.upgrade;
        if may {
            self.phase = Phase::Body(Body::Endless);
            self.allowed = u64::MAX;
            self.upgrade = false;
        }
        may
    }

    /// Whether it stands between two requests, and nothing of the next one has arrived.
    pub fn is_idle(&self) -> bool {
        self.buffer.is_empty() && matches!(self.phase, Phase::Head | Phase::End | Phase::Closed)
    }

    /// Bytes that have arrived and are not used up.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Gives the buffer's memory back where it is empty; for connections that idle.
    pub fn release(&mut self) {
        self.buffer.release();
    }

    /// What a refused head asked for, as far as it came; empty where the head was whole.
    pub fn glimpse(&self) -> Glimpse<'_> {
        if !matches!(self.phase, Phase::Head | Phase::Refused { in_head: true, .. }) {
            return Glimpse::default();
        }
        let head = self.buffer.bytes();
        let line = head.split(|b| matches!(b, b'\r' | b'\n')).next().unwrap_or_default();
        let mut parts = line.splitn(3, |b| *b == b' ');
        let mut part = |most| {
            let part = parts.next().unwrap_or_default();
            part.get(..most).unwrap_or(part)
        };
        Glimpse { method: part(Glimpse::METHOD), target: part(Glimpse::TARGET) }
    }

    /// The present head, where all of it has arrived.
    fn read_head(&mut self) -> Result<Option<Head>, Refusal> {
        let bytes = self.buffer.bytes();
        loop {
            let at = match self.lines.next(bytes, self.limits.head_bytes) {
                Line::Whole(at) => at,
                Line::More => return Ok(None),
                Line::TooLong => return Err(Refusal::HeadTooLarge),
                Line::BareEnd => return Err(Refusal::BareLineEnd),
                Line::Odd(at) => {
                    let line = bytes.get(at).unwrap_or_default();
                    return Err(if self.line.is_none() { RequestLine::odd(line) } else { fields::odd(line) });
                }
            };
            let text = bytes.get(at.clone()).unwrap_or_default();
            match self.line.take() {
                None => self.line = Some(RequestLine::parse(text, &self.limits)?),
                Some(line) if text.is_empty() => {
                    let length = self.lines.consumed();
                    let raw = bytes.get(..length).unwrap_or_default();
                    let head = Head::assemble(line, std::mem::take(&mut self.draft), raw)?;
                    self.buffer.consume(length);
                    self.begin_body(&head);
                    return Ok(Some(head));
                }
                line => {
                    self.line = line;
                    let side = Side::Caller { browsers: self.limits.browsers };
                    self.draft.take(bytes, at, self.limits.headers, side)?;
                }
            }
        }
    }

    fn begin_body(&mut self, head: &Head) {
        self.phase = Phase::Body(Body::new(head.framing()));
        self.ready = 0;
        self.allowed = u64::MAX;
        self.close = head.close();
        self.upgrade = head.upgrade().is_some();
    }

    /// Shows `count` bytes of the body, as far as they are allowed.
    fn give(&mut self, count: usize) -> Result<Event<Head>, Refusal> {
        let allowed = usize::try_from(self.allowed).unwrap_or(usize::MAX);
        self.ready = count.min(allowed);
        if self.ready == 0 { Err(self.refuse(Refusal::BodyTooLarge)) } else { Ok(Event::Body(self.ready)) }
    }

    fn refuse(&mut self, why: Refusal) -> Refusal {
        self.phase = Phase::Refused { why, in_head: self.phase == Phase::Head };
        self.ready = 0;
        why
    }
}
