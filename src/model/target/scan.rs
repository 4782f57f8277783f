//! One pass over the raw bytes: judged from left to right, and written in canonical form while going.

use crate::model::refusal::Refusal;

/// What the pass found.
pub(super) struct Found {
    pub(super) text: String,
    pub(super) path: usize,
    pub(super) flagged: bool,
}

/// See [`super::Target::parse`].
pub(super) fn canonical(raw: &[u8]) -> Result<Found, Refusal> {
    let Some((b'/', mut rest)) = raw.split_first() else { return Err(Refusal::TargetForm) };
    let mut out = Output::new(raw.len());
    out.plain(b"/");
    let mut piece = Piece::default();
    let mut flagged = false;
    let query = loop {
        let plain = rest.iter().position(|b| !is_plain_in_path(*b)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(plain);
        piece.plain(run);
        out.plain(run);
        match after {
            [] => break None,
            [b'?', after @ ..] => break Some(after),
            [b'/', after @ ..] => {
                piece.end(Edge::Slash)?;
                piece = Piece::after(Edge::Slash);
                out.plain(b"/");
                rest = after;
            }
            [b';', after @ ..] => {
                piece.parameters();
                flagged = true;
                out.plain(b";");
                rest = after;
            }
            [b'%', after @ ..] => {
                let (byte, after) = triplet(after)?;
                match byte {
                    b'/' => {
                        piece.end(Edge::Encoded)?;
                        piece = Piece::after(Edge::Encoded);
                        flagged = true;
                    }
                    // RFC 3986 would decode `%2E`; nobody has a reason to write it, and Traefik's
                    // GHSA-vrch-868g-9jx5 is what comes of taking it.
                    b'\\' | b'.' | b'%' | b';' | b'?' | b'#' => return Err(Refusal::PercentForbidden),
                    byte if byte.is_ascii_control() => return Err(Refusal::PercentForbidden),
                    _ => piece.other(),
                }
                out.decoded(byte, Place::Path)?;
                rest = after;
            }
            _ => return Err(Refusal::TargetByte),
        }
    };
    piece.end(Edge::End)?;
    let path = out.end_of_path()?;
    if let Some(query) = query {
        out.plain(b"?");
        read_query(query, &mut out)?;
    }
    Ok(Found { text: out.finish()?, path, flagged })
}

fn read_query(mut rest: &[u8], out: &mut Output) -> Result<(), Refusal> {
    loop {
        let plain = rest.iter().position(|b| !is_plain_in_query(*b)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(plain);
        out.plain(run);
        match after {
            [] => return Ok(()),
            [b'%', after @ ..] => {
                let (byte, after) = triplet(after)?;
                out.decoded(byte, Place::Query)?;
                rest = after;
            }
            _ => return Err(Refusal::TargetByte),
        }
    }
}

/// The two digits behind a `%`, and what follows them.
fn triplet(after: &[u8]) -> Result<(u8, &[u8]), Refusal> {
    match after {
        [high, low, rest @ ..] => match (hex(*high), hex(*low)) {
            (Some(high), Some(low)) => Ok((high << 4 | low, rest)),
            _ => Err(Refusal::PercentSyntax),
        },
        _ => Err(Refusal::PercentSyntax),
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// RFC 3986 §2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986 §3.3 `pchar` without `;` and triplets, which want a look of their own.
fn is_plain_in_path(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@')
}

/// RFC 3986 §3.4 without triplets.
fn is_plain_in_query(byte: u8) -> bool {
    is_plain_in_path(byte) || matches!(byte, b';' | b'/' | b'?')
}

/// What stands at an end of a piece.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Edge {
    #[default]
    Slash,
    /// `%2F`, which some server behind us will take for a slash.
    Encoded,
    /// The end of the path.
    End,
}

/// What lies between two slashes, written or encoded, as far as it tells dot segments and empty ones: its
/// length and dots before the first `;` (servers cut from there on).
#[derive(Default)]
struct Piece {
    before: Edge,
    bytes: usize,
    dots: usize,
    cut: bool,
}

impl Piece {
    fn after(before: Edge) -> Piece {
        Piece { before, ..Piece::default() }
    }

    fn plain(&mut self, run: &[u8]) {
        if !self.cut {
            self.bytes += run.len();
            // Only a piece of at most two bytes can be a dot segment.
            if self.bytes <= 2 {
                self.dots += run.iter().filter(|b| **b == b'.').count();
            }
        }
    }

    fn other(&mut self) {
        if !self.cut {
            self.bytes += 1;
        }
    }

    fn parameters(&mut self) {
        self.cut = true;
    }

    fn end(&self, after: Edge) -> Result<(), Refusal> {
        match self.bytes {
            // Only a plain trailing slash, or the root itself, leaves an empty piece.
            0 if self.cut || self.before == Edge::Encoded || after != Edge::End => Err(Refusal::EmptySegment),
            1 | 2 if self.dots == self.bytes => Err(Refusal::DotSegment),
            _ => Ok(()),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Path,
    Query,
}

/// The canonical text, and the UTF-8 sequence that its last triplets left open.
struct Output {
    bytes: Vec<u8>,
    open: Sequence,
    broken: bool,
}

impl Output {
    fn new(capacity: usize) -> Output {
        Output { bytes: Vec::with_capacity(capacity), open: Sequence::default(), broken: false }
    }

    /// Appends bytes that stand for themselves.
    fn plain(&mut self, run: &[u8]) {
        // A sequence that plain bytes interrupt is noticed at the next triplet or at the end.
        self.broken |= !run.is_empty() && self.open.is_open();
        self.bytes.extend_from_slice(run);
    }

    /// Appends what a triplet stood for: itself where unreserved, and in the path where it may stand there plainly, else the
    /// triplet in upper case.
    ///
    /// RFC 3986 §2.2 would leave `%40` apart from `@`, but every server behind us decodes both to one name: a rule that is
    /// written for the one would not hold for the other.
    fn decoded(&mut self, byte: u8, place: Place) -> Result<(), Refusal> {
        if self.broken {
            return Err(Refusal::PercentUtf8);
        }
        let began_c1 = self.open.is_open() && self.open.first == 0xC2;
        self.open.push(byte)?;
        if place == Place::Path && began_c1 && byte < 0xA0 {
            // U+0080 to U+009F: the other controls.
            return Err(Refusal::PercentForbidden);
        }
        if is_unreserved(byte) || place == Place::Path && is_plain_in_path(byte) {
            self.bytes.push(byte);
        } else {
            self.bytes.extend_from_slice(&[b'%', upper(byte >> 4), upper(byte & 15)]);
        }
        Ok(())
    }

    fn end_of_path(&self) -> Result<usize, Refusal> {
        self.whole().map(|()| self.bytes.len())
    }

    fn whole(&self) -> Result<(), Refusal> {
        if self.broken || self.open.is_open() { Err(Refusal::PercentUtf8) } else { Ok(()) }
    }

    fn finish(self) -> Result<String, Refusal> {
        self.whole()?;
        String::from_utf8(self.bytes).map_err(|_| Refusal::TargetByte)
    }
}

fn upper(digit: u8) -> u8 {
    if digit < 10 { b'0' + digit } else { b'A' + digit - 10 }
}

/// A UTF-8 sequence that has begun (RFC 3629 §4): how many bytes it still wants, and within which bounds the
/// next one has to be so that nothing is overlong, a surrogate or above U+10FFFF.
#[derive(Default)]
struct Sequence {
    first: u8,
    wanted: u8,
    low: u8,
    high: u8,
}

impl Sequence {
    fn is_open(&self) -> bool {
        self.wanted > 0
    }

    fn push(&mut self, byte: u8) -> Result<(), Refusal> {
        if self.is_open() {
            if byte < self.low || byte > self.high {
                return Err(Refusal::PercentUtf8);
            }
            *self = Sequence { first: self.first, wanted: self.wanted - 1, low: 0x80, high: 0xBF };
            return Ok(());
        }
        let (wanted, low, high) = match byte {
            0x00..=0x7F => return Ok(()),
            0xC2..=0xDF => (1, 0x80, 0xBF),
            0xE0 => (2, 0xA0, 0xBF),
            0xED => (2, 0x80, 0x9F),
            0xE1..=0xEF => (2, 0x80, 0xBF),
            0xF0 => (3, 0x90, 0xBF),
            0xF1..=0xF3 => (3, 0x80, 0xBF),
            0xF4 => (3, 0x80, 0x8F),
            _ => return Err(Refusal::PercentUtf8),
        };
        *self = Sequence { first: byte, wanted, low, high };
        Ok(())
    }
}
