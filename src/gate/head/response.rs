//! The machine that reads what a backend answers: the same strictness, since an answer that can be read in two ways
//! lets a backend speak in the next one's name.

use super::body::{Body, Framing, Progress};
use super::buffer::Buffer;
use super::fields::{Draft, Fields, Side, Span};
use super::line::{Line, Lines};
use super::{BODY_READ, Event, HeadLimits, Version};
use crate::model::refusal::Refusal;

/// What the request was, as far as it decides how its answer is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expected {
    /// It was a HEAD: the answer has no body, whatever its head says.
    pub head: bool,
    /// It asked for an upgrade, so it may be answered by 101.
    pub upgrade: bool,
}

/// The head of an answer that broke no rule.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    version: Version,
    fields: Fields,
    framing: Framing,
    told_length: Option<u64>,
    upgrade: Option<Span>,
    close: bool,
}

impl Answer {
    /// The status, 100 to 599. Below 200 and not 101, another answer to the same request follows.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The version that the backend speaks.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Every header line as it came, in order and spelling.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.all()
    }

    /// The header lines that are meant for the client: without framing, hop-by-hop ones, and those that `Connection`
    /// names.
    pub fn forwardable(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.forwardable()
    }

    /// How the body is delimited, by request, status and header lines (RFC 9112 §6.3).
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// The Content-Length that it told of, also where no body follows (HEAD, 304).
    pub fn told_length(&self) -> Option<u64> {
        self.told_length
    }

    /// The protocol that a 101 changes to.
    pub fn upgrade(&self) -> Option<&str> {
        self.upgrade.map(|span| span.of(&self.fields.text))
    }

    /// No further request may be sent on this connection.
    pub fn close(&self) -> bool {
        self.close
    }

    /// Bytes that it took on the wire, the empty line included.
    pub fn raw_len(&self) -> usize {
        self.fields.text.len()
    }

    fn assemble(
        line: StatusLine,
        mut draft: Draft,
        raw: &[u8],
        expected: Expected,
    ) -> Result<Answer, Refusal> {
        let lines = draft.finish(raw)?;
        let fields = Fields::new(raw, lines)?;
        let StatusLine { version, status } = line;
        let http10 = version == Version::Http10;
        if draft.chunked && draft.length.is_some() {
            return Err(Refusal::FramingTwice);
        }
        if draft.chunked && http10 {
            return Err(Refusal::FramingVersion);
        }
        let bodiless = status < 200 || status == 204;
        // RFC 9110 §8.6 and RFC 9112 §6.1 forbid both here; a length of 0 on a 204 is common and says nothing else.
        if bodiless && (draft.chunked || draft.length.is_some_and(|length| status != 204 || length != 0)) {
            return Err(Refusal::FramingTwice);
        }
        let changes = status == 101;
        if changes && (!expected.upgrade || draft.upgrade.is_none() || !draft.connection.upgrade) {
            return Err(Refusal::UpgradeSyntax);
        }
        let framing = match (draft.length, draft.chunked) {
            _ if bodiless || status == 304 || expected.head => Framing::None,
            (_, true) => Framing::Chunked,
            (Some(length), false) => Framing::Length(length),
            (None, false) => Framing::UntilClose,
        };
        Ok(Answer {
            status,
            version,
            fields,
            framing,
            told_length: draft.length.filter(|_| !bodiless),
            upgrade: draft.upgrade.filter(|_| changes),
            close: draft.connection.close
                || http10 && !draft.connection.keep_alive
                || framing == Framing::UntilClose,
        })
    }
}

struct StatusLine {
    version: Version,
    status: u16,
}

impl StatusLine {
    /// `VERSION SP 3DIGIT SP [reason]` (RFC 9112 §4). The reason is dropped.
    fn parse(line: &[u8]) -> Result<StatusLine, Refusal> {
        let (version, rest) = match line {
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1', b' ', rest @ ..] => (Version::Http11, rest),
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0', b' ', rest @ ..] => (Version::Http10, rest),
            _ => return Err(Refusal::Version),
        };
        match rest {
            [a @ b'1'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ', ..] => {
                let digit = |d: &u8| u16::from(*d - b'0');
                Ok(StatusLine { version, status: digit(a) * 100 + digit(b) * 10 + digit(c) })
            }
            _ => Err(Refusal::RequestLine),
        }
    }
}

/// Reads one backend connection's answers, one after the other; see [`super`].
///
/// Trailer fields are read with the strictness of header lines, and dropped.
#[derive(Debug)]
pub struct ResponseGuard {
    limits: HeadLimits,
    expected: Expected,
    buffer: Buffer,
    phase: Phase,
    lines: Lines,
    status: Option<(Version, u16)>,
    draft: Draft,
    ready: usize,
    interim: u8,
    close: bool,
    closed: bool,
    cause: Option<Refusal>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Head,
    Body(Body),
    Trailers,
    End,
    Refused(Refusal),
}

/// Interim answers (1xx) to one request.
const INTERIM: u8 = 8;

impl ResponseGuard {
    /// A guard at the beginning of a backend connection, for the answer to its first request. Of `limits` only
    /// `head_bytes` and `headers` count.
    pub fn new(limits: HeadLimits, expected: Expected) -> ResponseGuard {
        ResponseGuard {
            limits,
            expected,
            buffer: Buffer::default(),
            phase: Phase::Head,
            lines: Lines::default(),
            status: None,
            draft: Draft::default(),
            ready: 0,
            interim: 0,
            close: false,
            closed: false,
            cause: None,
        }
    }

    /// What the request was whose answer comes next, of which nothing may have arrived yet.
    pub fn expect(&mut self, expected: Expected) {
        self.expected = expected;
    }

    /// As [`super::RequestGuard::spare`].
    pub fn spare(&mut self) -> &mut [u8] {
        let wanted = if matches!(self.phase, Phase::Body(_)) { BODY_READ } else { 0 };
        self.buffer.spare(wanted, self.limits.head_bytes.max(BODY_READ))
    }

    /// As [`super::RequestGuard::filled`].
    pub fn filled(&mut self, count: usize) {
        self.buffer.filled(count);
    }

    /// That the backend sends nothing more.
    pub fn closed(&mut self) {
        self.closed = true;
    }

    /// Judges what has arrived, up to the next event. After an interim answer's head comes another head; after a 101's
    /// all that follows comes as [`Event::Body`], unread, and [`Event::End`] when the backend ends.
    /// [`Event::Closed`]: it ended before an answer began.
    ///
    /// # Errors
    /// [`Refusal::BackendGarbage`], with the rule that was broken in [`ResponseGuard::cause`];
    /// [`Refusal::BackendDied`] where it ended inside an answer.
    pub fn step(&mut self) -> Result<Event<Answer>, Refusal> {
        loop {
            match self.phase {
                Phase::Head => match self.read_head() {
                    Ok(None) if !self.closed => return Ok(Event::NeedMore),
                    Ok(None) if self.buffer.is_empty() && self.interim == 0 => return Ok(Event::Closed),
                    Ok(None) => return Err(self.died()),
                    Ok(Some(answer)) => return Ok(Event::Head(Box::new(answer))),
                    Err(cause) => return Err(self.garbage(cause)),
                },
                Phase::Body(Body::LastEnd) => {
                    self.lines = Lines::default();
                    self.draft = Draft::default();
                    self.phase = Phase::Trailers;
                }
                Phase::Body(mut body) => {
                    let progress = body.step(self.buffer.bytes()).map_err(|cause| self.garbage(cause))?;
                    self.phase = Phase::Body(body);
                    match progress {
                        Progress::Framing(count) => self.buffer.consume(count),
                        Progress::Data(count) => {
                            self.ready = count;
                            return Ok(Event::Body(count));
                        }
                        Progress::Done => self.phase = Phase::End,
                        Progress::More if !self.closed => return Ok(Event::NeedMore),
                        Progress::More if body == Body::Endless => self.phase = Phase::End,
                        Progress::More => return Err(self.died()),
                    }
                }
                Phase::Trailers => match self.read_trailers() {
                    Ok(true) => self.phase = Phase::End,
                    Ok(false) if !self.closed => return Ok(Event::NeedMore),
                    Ok(false) => return Err(self.died()),
                    Err(cause) => return Err(self.garbage(cause)),
                },
                Phase::End => return Ok(Event::End),
                Phase::Refused(why) => return Err(why),
            }
        }
    }

    /// As [`super::RequestGuard::body`].
    pub fn body(&self) -> &[u8] {
        self.buffer.bytes().get(..self.ready).unwrap_or_default()
    }

    /// As [`super::RequestGuard::consume`].
    pub fn consume(&mut self, count: usize) {
        let count = count.min(self.ready);
        self.ready -= count;
        self.buffer.consume(count);
        if let Phase::Body(body) = &mut self.phase {
            body.used(count);
        }
    }

    /// After [`Event::End`]: reads the answer to the next request that was sent. Does nothing and returns false where
    /// [`ResponseGuard::is_reusable`] is false.
    #[must_use]
    pub fn next(&mut self, expected: Expected) -> bool {
        let may = self.is_reusable();
        if may {
            self.expected = expected;
            self.phase = Phase::Head;
            self.lines = Lines::default();
            self.draft = Draft::default();
            self.interim = 0;
        }
        may
    }

    /// Whether another request may be sent: the answer is over, nobody said that it was the last, and nothing came
    /// behind it. Bytes that nobody asked for would be taken for the next caller's answer.
    pub fn is_reusable(&self) -> bool {
        self.phase == Phase::End && !self.close && !self.closed && self.buffer.is_empty()
    }

    /// The rule that garbage broke; for diagnostics.
    pub fn cause(&self) -> Option<Refusal> {
        self.cause
    }

    /// Gives back what an empty buffer has grown by.
    pub fn rest(&mut self) {
        self.buffer.rest();
    }

    fn read_head(&mut self) -> Result<Option<Answer>, Refusal> {
        let bytes = self.buffer.bytes();
        loop {
            let Some(at) = next_line(&mut self.lines, bytes, &self.limits)? else { return Ok(None) };
            let text = bytes.get(at.clone()).unwrap_or_default();
            match self.status {
                None => {
                    let line = StatusLine::parse(text)?;
                    self.status = Some((line.version, line.status));
                }
                Some((version, status)) if text.is_empty() => {
                    let length = self.lines.consumed();
                    let raw = bytes.get(..length).unwrap_or_default();
                    let draft = std::mem::take(&mut self.draft);
                    let answer = Answer::assemble(StatusLine { version, status }, draft, raw, self.expected)?;
                    self.buffer.consume(length);
                    self.begin_body(&answer)?;
                    return Ok(Some(answer));
                }
                Some(_) => self.draft.take(bytes, at, self.limits.headers, Side::Backend)?,
            }
        }
    }

    fn begin_body(&mut self, answer: &Answer) -> Result<(), Refusal> {
        self.status = None;
        self.lines = Lines::default();
        self.ready = 0;
        self.close = answer.close() || answer.status() == 101;
        self.phase = match answer.status() {
            101 => Phase::Body(Body::Endless),
            100..200 => {
                self.interim += 1;
                if self.interim > INTERIM {
                    return Err(Refusal::TooManyHeaders);
                }
                Phase::Head
            }
            _ => Phase::Body(Body::new(answer.framing())),
        };
        Ok(())
    }

    /// Whether the trailer section has ended. It is bounded as a head is.
    fn read_trailers(&mut self) -> Result<bool, Refusal> {
        let bytes = self.buffer.bytes();
        loop {
            let Some(at) = next_line(&mut self.lines, bytes, &self.limits)? else { return Ok(false) };
            if at.is_empty() {
                let length = self.lines.consumed();
                self.buffer.consume(length);
                // No trailer may change how the message was read (RFC 9110 §6.5.1).
                return if self.draft.length.is_some() || self.draft.chunked {
                    Err(Refusal::Trailers)
                } else {
                    Ok(true)
                };
            }
            self.draft.take(bytes, at, self.limits.headers, Side::Backend)?;
        }
    }

    fn garbage(&mut self, cause: Refusal) -> Refusal {
        self.cause = Some(cause);
        self.refuse(Refusal::BackendGarbage)
    }

    fn died(&mut self) -> Refusal {
        self.refuse(Refusal::BackendDied)
    }

    fn refuse(&mut self, why: Refusal) -> Refusal {
        self.phase = Phase::Refused(why);
        self.ready = 0;
        why
    }
}

/// The next line's place; `None` where it is not whole yet.
fn next_line(
    lines: &mut Lines,
    bytes: &[u8],
    limits: &HeadLimits,
) -> Result<Option<std::ops::Range<usize>>, Refusal> {
    match lines.next(bytes, limits.head_bytes) {
        Line::Whole(at) => Ok(Some(at)),
        Line::More => Ok(None),
        Line::TooLong => Err(Refusal::HeadTooLarge),
        Line::BareEnd => Err(Refusal::BareLineEnd),
        Line::Odd(_) => Err(Refusal::HeaderByte),
    }
}
