//! Header lines: judged one at a time, kept as offsets into the head's own text.

use std::ops::Range;

use super::names::{self, Kind};
use crate::model::method::is_token;
use crate::model::refusal::Refusal;

/// One header line of a head.
#[derive(Debug, Clone)]
pub(super) struct FieldLine {
    name: Span,
    value: Span,
    kind: Kind,
}

/// Bytes of a head's text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    from: u32,
    to: u32,
}

impl Span {
    fn new(range: Range<usize>) -> Result<Span, Refusal> {
        let place = |at| u32::try_from(at).map_err(|_| Refusal::HeadTooLarge);
        Ok(Span { from: place(range.start)?, to: place(range.end)? })
    }

    fn range(self) -> Range<usize> {
        self.from as usize..self.to as usize
    }

    /// The text that it covers.
    pub(super) fn of(self, text: &str) -> &str {
        text.get(self.range()).unwrap_or("")
    }

    fn bytes(self, head: &[u8]) -> &[u8] {
        head.get(self.range()).unwrap_or_default()
    }
}

/// Whose head it is: a caller's is judged for all that could be misread behind us, a backend's for its framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Caller {
        /// `Origin` and `Referer` are taken.
        browsers: bool,
    },
    Backend,
}

/// The header lines of a head that is still arriving, and what they say about the connection and the body.
#[derive(Debug, Default)]
pub(super) struct Draft {
    lines: Vec<FieldLine>,
    pub(super) host: Option<Span>,
    pub(super) length: Option<u64>,
    pub(super) chunked: bool,
    /// The one protocol of the one `Upgrade` line.
    pub(super) upgrade: Option<Span>,
    /// There are more than one, or none that is well-formed.
    upgrade_unclear: bool,
    pub(super) expect: bool,
    pub(super) connection: Connection,
    once: u8,
}

/// What the `Connection` lines say.
#[derive(Debug, Default)]
pub(super) struct Connection {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
    /// Options besides those, which name header lines.
    named: usize,
}

/// Options that name header lines, in one head; a bound on the work that they cause.
const NAMED: usize = 16;

impl Draft {
    /// Judges one header line and keeps it. `head` is the head's text so far, `line` the line's place in it.
    pub(super) fn take(
        &mut self,
        head: &[u8],
        line: Range<usize>,
        most: usize,
        side: Side,
    ) -> Result<(), Refusal> {
        if self.lines.len() >= most {
            return Err(Refusal::TooManyHeaders);
        }
        let (name, value) = split(head, line)?;
        let (kind, twin) = names::kind(name.bytes(head));
        let kind = match side {
            Side::Caller { .. } if twin => return Err(Refusal::HeaderTwin),
            Side::Caller { .. } => kind,
            Side::Backend if twin && is_framing(kind) => return Err(Refusal::HeaderTwin),
            Side::Backend if twin => Kind::Other,
            Side::Backend => backend_kind(kind),
        };
        self.note(kind, value, head, side)?;
        if self.lines.is_empty() {
            // Enough for what clients send, so that it is allocated once.
            self.lines.reserve(16.min(most));
        }
        self.lines.push(FieldLine { name, value, kind });
        Ok(())
    }

    fn note(&mut self, kind: Kind, value: Span, head: &[u8], side: Side) -> Result<(), Refusal> {
        let text = value.bytes(head);
        match kind {
            Kind::Host if self.host.is_some() => return Err(Refusal::HostTwice),
            Kind::Host => self.host = Some(value),
            Kind::ContentLength if self.length.is_some() => return Err(Refusal::ContentLength),
            Kind::ContentLength => self.length = Some(length(text)?),
            Kind::TransferEncoding if self.chunked || !text.eq_ignore_ascii_case(b"chunked") => {
                return Err(Refusal::TransferEncoding);
            }
            Kind::TransferEncoding => self.chunked = true,
            Kind::Connection => self.connection.take(text)?,
            Kind::Upgrade => {
                let one = self.upgrade.is_none() && !self.upgrade_unclear && is_protocol(text);
                // A backend may list what it offers; only where it changes does it have to be one.
                if side != Side::Backend && !one {
                    return Err(Refusal::UpgradeSyntax);
                }
                self.upgrade = one.then_some(value);
                self.upgrade_unclear = !one;
            }
            Kind::Expect if self.expect || !text.eq_ignore_ascii_case(b"100-continue") => {
                return Err(Refusal::Expectation);
            }
            Kind::Expect => self.expect = true,
            Kind::Trailer if side != Side::Backend => return Err(Refusal::Trailers),
            Kind::Browser if side == (Side::Caller { browsers: false }) => return Err(Refusal::Browser),
            Kind::Once(which) => {
                let bit = 1 << which as u8;
                if self.once & bit != 0 {
                    return Err(Refusal::HeaderSyntax);
                }
                self.once |= bit;
            }
            Kind::Trailer | Kind::Browser | Kind::HopByHop | Kind::Identity | Kind::Other => {}
        }
        Ok(())
    }

    /// All lines, once the head is whole: those that `Connection` names are for this connection only, and are marked
    /// so before anything of ours is added (CVE-2022-31813).
    ///
    /// # Errors
    /// [`Refusal::HeaderSyntax`] where it names a line that no honest client would have removed: Host, framing, or what
    /// describes or authorises the request (RFC 9110 §7.6.1 forbids to name what is meant for all recipients).
    pub(super) fn finish(&mut self, head: &[u8]) -> Result<Vec<FieldLine>, Refusal> {
        let mut lines = std::mem::take(&mut self.lines);
        if self.connection.named > 0 {
            let named: Vec<Span> =
                lines.iter().filter(|l| l.kind == Kind::Connection).map(|l| l.value).collect();
            for option in named.into_iter().flat_map(|value| options(value.bytes(head))) {
                if is_own_option(option) {
                    continue;
                }
                if !may_be_named(option) {
                    return Err(Refusal::HeaderSyntax);
                }
                for line in &mut lines {
                    if line.name.bytes(head).eq_ignore_ascii_case(option) {
                        line.kind = Kind::HopByHop;
                    }
                }
            }
        }
        Ok(lines)
    }
}

impl Connection {
    fn take(&mut self, value: &[u8]) -> Result<(), Refusal> {
        for option in options(value) {
            if option.is_empty() || !option.iter().all(|b| is_token(*b)) {
                return Err(Refusal::HeaderSyntax);
            }
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else {
                self.named += 1;
                if self.named > NAMED {
                    return Err(Refusal::HeaderSyntax);
                }
            }
        }
        Ok(())
    }
}

/// The options of a `Connection` value, white space trimmed.
fn options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(|option| trim(option).1)
}

fn is_own_option(option: &[u8]) -> bool {
    [&b"close"[..], b"keep-alive", b"upgrade"].iter().any(|own| option.eq_ignore_ascii_case(own))
}

/// Whether `Connection` may name the header line `option`.
fn may_be_named(option: &[u8]) -> bool {
    let content = option.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"content-"));
    match names::kind(option) {
        (Kind::Other, _) => !content && !option.eq_ignore_ascii_case(b"cookie"),
        (Kind::HopByHop | Kind::Upgrade | Kind::Trailer | Kind::Identity, twin) => !twin,
        _ => false,
    }
}

fn is_framing(kind: Kind) -> bool {
    matches!(kind, Kind::ContentLength | Kind::TransferEncoding)
}

/// What a backend's header line means: much that is watched in requests says nothing in answers.
fn backend_kind(kind: Kind) -> Kind {
    match kind {
        Kind::ContentLength
        | Kind::TransferEncoding
        | Kind::Connection
        | Kind::Upgrade
        | Kind::Trailer
        | Kind::HopByHop => kind,
        Kind::Host | Kind::Expect | Kind::Browser | Kind::Identity | Kind::Once(_) | Kind::Other => {
            Kind::Other
        }
    }
}

/// A header line's name and its value without white space around (RFC 9112 §5).
fn split(head: &[u8], line: Range<usize>) -> Result<(Span, Span), Refusal> {
    let text = head.get(line.clone()).unwrap_or_default();
    if matches!(text.first(), Some(b' ' | b'\t')) {
        return Err(Refusal::ObsoleteFold);
    }
    let colon = text.iter().position(|b| !is_token(*b)).ok_or(Refusal::HeaderSyntax)?;
    if colon == 0 || text.get(colon) != Some(&b':') {
        return Err(Refusal::HeaderSyntax);
    }
    let (blank, value) = trim(text.get(colon + 1..).unwrap_or_default());
    let from = line.start + colon + 1 + blank;
    Ok((Span::new(line.start..line.start + colon)?, Span::new(from..from + value.len())?))
}

/// The refusal of a line that a byte which belongs into no head cuts short; `line` ends with that byte.
pub(super) fn odd(line: &[u8]) -> Refusal {
    let before = line.split_last().map(|(_, before)| before).unwrap_or_default();
    match before.iter().position(|b| !is_token(*b)) {
        Some(0) if matches!(before.first(), Some(b' ' | b'\t')) => Refusal::ObsoleteFold,
        Some(colon) if colon > 0 && before.get(colon) == Some(&b':') => Refusal::HeaderByte,
        _ => Refusal::HeaderSyntax,
    }
}

/// How many blanks lead, and what is left without those at either end.
fn trim(value: &[u8]) -> (usize, &[u8]) {
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let led = value.iter().position(|b| !blank(b)).unwrap_or(value.len());
    let value = value.get(led..).unwrap_or_default();
    let end = value.iter().rposition(|b| !blank(b)).map_or(0, |last| last + 1);
    (led, value.get(..end).unwrap_or_default())
}

/// A Content-Length: digits and nothing else, at most 19 of them, below 2^63.
fn length(value: &[u8]) -> Result<u64, Refusal> {
    if value.is_empty() || value.len() > 19 {
        return Err(Refusal::ContentLength);
    }
    let mut length: u64 = 0;
    for byte in value {
        if !byte.is_ascii_digit() {
            return Err(Refusal::ContentLength);
        }
        // 19 digits stay below 10^19, which 64 bits hold.
        length = length * 10 + u64::from(byte - b'0');
    }
    if length > i64::MAX.unsigned_abs() { Err(Refusal::ContentLength) } else { Ok(length) }
}

/// One protocol with or without a version (RFC 9110 §7.8); a list would leave the choice to who reads it.
fn is_protocol(value: &[u8]) -> bool {
    let is_name = |part: &[u8]| !part.is_empty() && part.iter().all(|b| is_token(*b));
    let mut parts = value.split(|b| *b == b'/');
    parts.next().is_some_and(is_name) && parts.next().is_none_or(is_name) && parts.next().is_none()
}

/// A whole head's text and its header lines, in their order and spelling.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    pub(super) text: Box<str>,
    lines: Vec<FieldLine>,
}

impl Fields {
    /// Of a head whose every line was taken, which leaves nothing in it but ASCII.
    pub(super) fn new(head: &[u8], lines: Vec<FieldLine>) -> Result<Fields, Refusal> {
        let text = std::str::from_utf8(head).map_err(|_| Refusal::HeaderByte)?;
        Ok(Fields { text: Box::from(text), lines })
    }

    /// Every header line's name and value.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lines.iter().map(|line| (line.name.of(&self.text), line.value.of(&self.text)))
    }

    /// Those that are meant for who comes after us.
    pub(super) fn forwardable(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lines
            .iter()
            .filter(|line| matches!(line.kind, Kind::Other | Kind::Once(_) | Kind::Browser))
            .map(|line| (line.name.of(&self.text), line.value.of(&self.text)))
    }
}
