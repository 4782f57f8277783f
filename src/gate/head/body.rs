//! A body's framing, as its bytes arrive.

use crate::model::refusal::Refusal;

/// How a message's body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// So many bytes; below 2^63, so that nobody reads it as a negative number.
    Length(u64),
    /// One exact `chunked`.
    Chunked,
    /// Up to the end of the connection; answers only.
    UntilClose,
}

impl Framing {
    /// Whether any byte of a body may follow.
    pub fn has_body(self) -> bool {
        !matches!(self, Framing::None | Framing::Length(0))
    }
}

/// Where reading a body stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes are left, at least one.
    Length(u64),
    /// A chunk's size line comes.
    Size,
    /// So many bytes of a chunk are left, at least one.
    Chunk(u64),
    /// The CR LF behind a chunk's data comes.
    ChunkEnd,
    /// What follows the last chunk's size line comes.
    LastEnd,
    /// All that comes belongs to it.
    Endless,
    /// Nothing comes any more.
    Done,
}

/// What the next bytes are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// More are needed.
    More,
    /// The first so many are the body's own.
    Data(usize),
    /// The first so many are framing, done with.
    Framing(usize),
    /// The body ended before them.
    Done,
}

/// Hex digits in a chunk size: as many as 64 bits have.
const SIZE_DIGITS: usize = 16;

impl Body {
    pub(super) fn new(framing: Framing) -> Body {
        match framing {
            Framing::None | Framing::Length(0) => Body::Done,
            Framing::Length(length) => Body::Length(length),
            Framing::Chunked => Body::Size,
            Framing::UntilClose => Body::Endless,
        }
    }

    /// Reads on in `bytes`. After [`Progress::Data`], what is used of it is told to [`Body::used`].
    pub(super) fn step(&mut self, bytes: &[u8]) -> Result<Progress, Refusal> {
        let (progress, next) = match *self {
            Body::Done => return Ok(Progress::Done),
            _ if bytes.is_empty() => return Ok(Progress::More),
            Body::Length(left) | Body::Chunk(left) => {
                let here = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                return Ok(Progress::Data(here));
            }
            Body::Endless => return Ok(Progress::Data(bytes.len())),
            Body::Size => match size_line(bytes)? {
                None => return Ok(Progress::More),
                Some((line, 0)) => (Progress::Framing(line), Body::LastEnd),
                Some((line, size)) => (Progress::Framing(line), Body::Chunk(size)),
            },
            Body::ChunkEnd => match line_end(bytes)? {
                false => return Ok(Progress::More),
                true => (Progress::Framing(2), Body::Size),
            },
            Body::LastEnd => match bytes.first() {
                // Anything but the empty line would begin a trailer field (RFC 9112 §7.1.2).
                Some(first) if !matches!(first, b'\r' | b'\n') => return Err(Refusal::Trailers),
                _ => match line_end(bytes)? {
                    false => return Ok(Progress::More),
                    true => (Progress::Framing(2), Body::Done),
                },
            },
        };
        *self = next;
        Ok(progress)
    }

    /// That `count` bytes of data were used.
    pub(super) fn used(&mut self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        *self = match *self {
            Body::Length(left) if left <= count => Body::Done,
            Body::Length(left) => Body::Length(left - count),
            Body::Chunk(left) if left <= count => Body::ChunkEnd,
            Body::Chunk(left) => Body::Chunk(left - count),
            other => other,
        };
    }
}

/// A chunk size line: its bytes with CR LF, and the size; `None` where it is not whole yet. Nothing but hex
/// digits (no sign, no `0x`, no white space, no extension: CVE-2023-25725 and others), and the last one a single `0`.
fn size_line(bytes: &[u8]) -> Result<Option<(usize, u64)>, Refusal> {
    let mut size: u64 = 0;
    for (i, byte) in bytes.iter().enumerate() {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b'\r' if i > 0 => {
                if size == 0 && i > 1 {
                    return Err(Refusal::ChunkSyntax);
                }
                return Ok(line_end(bytes.get(i..).unwrap_or_default())?.then_some((i + 2, size)));
            }
            _ => return Err(Refusal::ChunkSyntax),
        };
        if i >= SIZE_DIGITS {
            return Err(Refusal::ChunkSyntax);
        }
        size = size << 4 | u64::from(digit);
    }
    Ok(None)
}

/// Whether `bytes` begin with CR LF; false where they end before that is known.
fn line_end(bytes: &[u8]) -> Result<bool, Refusal> {
    match bytes {
        [b'\r', b'\n', ..] => Ok(true),
        [] | [b'\r'] => Ok(false),
        _ => Err(Refusal::ChunkSyntax),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body's bytes and what follows it, or why not; fed `step` bytes at a time.
    fn read(framing: Framing, bytes: &[u8], step: usize) -> Result<(Vec<u8>, usize), Option<Refusal>> {
        let mut body = Body::new(framing);
        let (mut out, mut at, mut end) = (Vec::new(), 0, 0);
        loop {
            match body.step(&bytes[at..end]).map_err(Some)? {
                Progress::Done => return Ok((out, bytes.len() - at)),
                Progress::Data(count) => {
                    out.extend_from_slice(&bytes[at..at + count]);
                    at += count;
                    body.used(count);
                }
                Progress::Framing(count) => at += count,
                Progress::More if end == bytes.len() => return Err(None),
                Progress::More => end = bytes.len().min(end + step),
            }
        }
    }

    #[test]
    fn body_strict_chunks_are_read_and_all_else_is_refused() {
        let whole = |bytes: &[u8]| read(Framing::Chunked, bytes, usize::MAX / 2);
        assert_eq!(whole(b"5\r\nhello\r\n0\r\n\r\nGET"), Ok((b"hello".to_vec(), 3)));
        assert_eq!(
            whole(b"0005\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n"),
            Ok((b"hello0123456789".to_vec(), 0))
        );
        assert_eq!(whole(b"0\r\n\r\n"), Ok((vec![], 0)));
        for bad in [
            &b"+5\r\n"[..],
            b"5 \r\n",
            b" 5\r\n",
            b"5;a\r\n",
            b"\r\n",
            b"5\n",
            b"5\rX",
            b"0x5\r\n",
            b"00\r\n\r\n",
            b"00000000000000005\r\n",
            b"5\r\nhello\n",
            b"5\r\nhelloX",
            b"0\r\n\n",
            b"0\r\n\rX",
        ] {
            assert_eq!(whole(bad), Err(Some(Refusal::ChunkSyntax)), "{}", bad.escape_ascii());
        }
        assert_eq!(whole(b"0\r\nA: b\r\n\r\n"), Err(Some(Refusal::Trailers)));
        for cut in 0..15 {
            assert_eq!(whole(&b"5\r\nhello\r\n0\r\n\r\n"[..cut]), Err(None), "{cut}");
        }
    }

    #[test]
    fn body_any_split_gives_the_same() {
        for step in 1..9 {
            assert_eq!(read(Framing::Length(5), b"helloX", step).map(|b| b.0), Ok(b"hello".to_vec()));
            assert_eq!(
                read(Framing::Chunked, b"5\r\nhello\r\n0\r\n\r\n", step).map(|b| b.0),
                Ok(b"hello".to_vec())
            );
        }
    }
}
