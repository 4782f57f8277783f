//! Lines of a head, as their bytes arrive.

use std::ops::Range;

/// Where reading stands within one head. Offsets count from the head's first byte, so that the buffer may move.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The present line's first byte.
    start: usize,
    /// The first byte that was not looked at yet, or a CR whose next byte is missing.
    scan: usize,
}

/// What the next bytes are. It depends on the bytes alone, never on how they were split.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line, without its CR LF. It holds nothing but HTAB and 0x20 to 0x7E.
    Whole(Range<usize>),
    /// A line as far as its first byte that belongs into no head, that byte included.
    Odd(Range<usize>),
    /// A CR without LF, or an LF without CR.
    BareEnd,
    /// More bytes are needed.
    More,
    /// The limit is reached.
    TooLong,
}

impl Lines {
    /// The next line of `head`, which begins at the head's first byte and of which no byte from `limit` on counts.
    pub(super) fn next(&mut self, head: &[u8], limit: usize) -> Line {
        let window = head.get(..limit).unwrap_or(head);
        let starved = if head.len() >= limit { Line::TooLong } else { Line::More };
        let unseen = window.get(self.scan..).unwrap_or_default();
        let Some(ahead) = first_odd(unseen) else {
            self.scan = window.len();
            return starved;
        };
        let at = self.scan + ahead;
        match unseen.get(ahead..).unwrap_or_default() {
            [b'\r', b'\n', ..] => {
                let line = self.start..at;
                self.start = at + 2;
                self.scan = at + 2;
                Line::Whole(line)
            }
            [b'\r'] => {
                self.scan = at;
                starved
            }
            [b'\r' | b'\n', ..] => Line::BareEnd,
            _ => Line::Odd(self.start..at + 1),
        }
    }

    /// Bytes up to the end of the last whole line.
    pub(super) fn consumed(&self) -> usize {
        self.start
    }
}

/// Whether `byte` belongs into no line of a head: neither HTAB nor 0x20 to 0x7E.
fn is_odd(byte: u8) -> bool {
    !matches!(byte, b'\t' | b' '..=b'~')
}

/// Where the first such byte is; eight bytes at a time.
fn first_odd(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * ONES;
    let (words, tail) = bytes.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let w = u64::from_ne_bytes(*word);
        let del = w ^ (0x7F * ONES);
        // Each term sets a high bit at least where a byte is below 0x20, is 0x7F, or is above it; a borrow can set
        // one too many, as can HTAB, so the bytes are asked again.
        let suspects = (w.wrapping_sub(0x20 * ONES) & !w) | (del.wrapping_sub(ONES) & !del) | w;
        if suspects & HIGH != 0
            && let Some(at) = word.iter().position(|b| is_odd(*b))
        {
            return Some(i * 8 + at);
        }
    }
    tail.iter().position(|b| is_odd(*b)).map(|at| words.len() * 8 + at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection;
    use proptest::prelude::{Just, any, prop_assert_eq, prop_oneof, proptest};

    #[test]
    fn next_line_ends_count_only_within_the_limit() {
        let next = |head: &[u8], limit| Lines::default().next(head, limit);
        assert_eq!(next(b"ab\r\nc", 4), Line::Whole(0..2));
        assert_eq!(next(b"ab\r\nc", 3), Line::TooLong);
        assert_eq!(next(b"ab\r", 4), Line::More);
        assert_eq!(next(b"ab\r", 3), Line::TooLong);
        assert_eq!(next(b"ab\rc", 9), Line::BareEnd);
        assert_eq!(next(b"ab\n", 9), Line::BareEnd);
        assert_eq!(next(b"a\0", 9), Line::Odd(0..2));
        assert_eq!(next(b"a\x7f", 9), Line::Odd(0..2));
        assert_eq!(next(b"\t~ ", 9), Line::More);
    }

    proptest! {
        #[test]
        fn first_odd_equals_one_byte_at_a_time(
            bytes in collection::vec(prop_oneof![8 => 0x20u8..0x7F, 1 => Just(b'\t'), 1 => any::<u8>()], 0..40),
        ) {
            prop_assert_eq!(first_odd(&bytes), bytes.iter().position(|b| is_odd(*b)));
        }
    }
}
