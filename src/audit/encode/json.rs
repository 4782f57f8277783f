//! The characters of a line: one object on one line, printable ASCII, one spelling for each value.
//!
//! Text is spelt by `model::escape` (RFC 8259 §7 allows it): a line can't end early, draw on a terminal, or be
//! written in two ways.

use crate::model::escape::{Spelling, is_plain};
use crate::model::ids::{ConnectionId, RequestId};
use crate::model::time::Timestamp;

/// Integers stay exact in every JSON reader: below 2^53 (RFC 8259 §6). Larger ones are written as this.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Writes one object's fields, in the order of the calls.
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    /// Where its line begins.
    begin: usize,
}

impl<'a> Object<'a> {
    /// Begins `{"v":1,"t":<kind>,"n":<n>,"ts":<ts>`; `kind` is one of our own plain words.
    pub(super) fn begin(out: &'a mut Vec<u8>, kind: &'static str, n: u64, ts: Timestamp) -> Object<'a> {
        let begin = out.len();
        out.extend_from_slice(b"{\"v\":1,\"t\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\",\"n\":");
        decimal(out, n);
        out.extend_from_slice(b",\"ts\":\"");
        out.extend_from_slice(&ts.to_bytes());
        out.push(b'"');
        Object { out, begin }
    }

    /// Ends the object and the line.
    pub(super) fn end(self) {
        self.out.extend_from_slice(b"}\n");
    }

    /// Ends the object and the line with a signature, `"sig"`, of the line's bytes so far.
    pub(super) fn end_signed(mut self, sign: impl FnOnce(&[u8]) -> [u8; 64]) {
        let signature = sign(self.out.get(self.begin..).unwrap_or_default());
        self.hex("sig", &signature);
        self.end();
    }

    #[inline]
    fn key(&mut self, name: &'static str) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    #[inline]
    fn key_with(&mut self, name: &'static str, suffix: &'static str) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(suffix.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// An integer.
    #[inline]
    pub(super) fn integer(&mut self, name: &'static str, value: u64) {
        self.key(name);
        decimal(self.out, value);
    }

    /// An integer, where there is one.
    #[inline]
    pub(super) fn maybe_integer(&mut self, name: &'static str, value: Option<u64>) {
        if let Some(value) = value {
            self.integer(name, value);
        }
    }

    /// An integer that may be negative.
    pub(super) fn signed(&mut self, name: &'static str, value: i64) {
        self.key(name);
        if value < 0 {
            self.out.push(b'-');
        }
        decimal(self.out, value.unsigned_abs());
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, name: &'static str, value: bool) {
        self.key(name);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// One of our own plain words, which needs no escape.
    #[inline]
    pub(super) fn word(&mut self, name: &'static str, value: &'static str) {
        self.key(name);
        self.out.push(b'"');
        self.out.extend_from_slice(value.as_bytes());
        self.out.push(b'"');
    }

    /// An instant.
    pub(super) fn instant(&mut self, name: &'static str, value: Timestamp) {
        self.key(name);
        self.out.push(b'"');
        self.out.extend_from_slice(&value.to_bytes());
        self.out.push(b'"');
    }

    /// Bytes, two lower-case hex digits each.
    pub(super) fn hex(&mut self, name: &'static str, value: &[u8]) {
        self.key(name);
        self.out.push(b'"');
        self.out.extend(value.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(digit));
        self.out.push(b'"');
    }

    /// Bytes, where there are some.
    pub(super) fn maybe_hex(&mut self, name: &'static str, value: Option<&[u8; 32]>) {
        if let Some(value) = value {
            self.hex(name, value);
        }
    }

    /// A connection's id.
    pub(super) fn connection(&mut self, name: &'static str, id: ConnectionId) {
        self.key(name);
        self.out.push(b'"');
        connection(self.out, id);
        self.out.push(b'"');
    }

    /// A request's id.
    pub(super) fn request(&mut self, name: &'static str, id: RequestId) {
        self.key(name);
        request(self.out, id);
    }

    /// A list of requests' ids, at most `most` of them.
    pub(super) fn requests(&mut self, name: &'static str, ids: &[RequestId], most: usize) {
        self.key(name);
        self.out.push(b'[');
        for (i, id) in ids.iter().take(most).enumerate() {
            if i > 0 {
                self.out.push(b',');
            }
            request(self.out, *id);
        }
        self.out.push(b']');
        self.list_length(name, ids.len(), most);
    }

    /// Text, at most `cap` bytes of it once escaped; what is longer is cut between two characters and
    /// followed by `<name>_len`, the whole length in bytes.
    #[inline]
    pub(super) fn text(&mut self, name: &'static str, value: &str, cap: usize) {
        self.key(name);
        if quoted(self.out, value, cap) == Fit::Cut {
            self.key_with(name, "_len");
            decimal(self.out, value.len() as u64);
        }
    }

    /// Text, where there is some.
    #[inline]
    pub(super) fn maybe_text(&mut self, name: &'static str, value: Option<&str>, cap: usize) {
        if let Some(value) = value {
            self.text(name, value, cap);
        }
    }

    /// Bytes that should be text. Where they are not UTF-8, U+FFFD stands for what is wrong, `<name>_b64`
    /// holds the bytes themselves, and both share twice `cap / 2`.
    #[inline]
    pub(super) fn bytes(&mut self, name: &'static str, value: &[u8], cap: usize) {
        match std::str::from_utf8(value) {
            Ok(text) => self.text(name, text, cap),
            Err(_) => self.not_text(name, value, cap / 2),
        }
    }

    #[cold]
    fn not_text(&mut self, name: &'static str, value: &[u8], cap: usize) {
        self.key(name);
        let shown = lossy(self.out, value, cap);
        self.key_with(name, "_b64");
        base64(self.out, value.get(..shown).unwrap_or(value));
        if shown < value.len() {
            self.key_with(name, "_len");
            decimal(self.out, value.len() as u64);
        }
    }

    /// A list of integers, at most `most` of them; where there are more, `<name>_len` says how many.
    pub(super) fn integers(
        &mut self,
        name: &'static str,
        values: impl ExactSizeIterator<Item = u32>,
        most: usize,
    ) {
        let all = values.len();
        self.key(name);
        self.out.push(b'[');
        for (i, value) in values.take(most).enumerate() {
            if i > 0 {
                self.out.push(b',');
            }
            decimal(self.out, value.into());
        }
        self.out.push(b']');
        self.list_length(name, all, most);
    }

    /// A list of texts of at most `cap` bytes each, at most `most` of them.
    pub(super) fn texts(&mut self, name: &'static str, values: &[String], most: usize, cap: usize) {
        self.key(name);
        self.out.push(b'[');
        for (i, value) in values.iter().take(most).enumerate() {
            if i > 0 {
                self.out.push(b',');
            }
            quoted(self.out, value, cap);
        }
        self.out.push(b']');
        self.list_length(name, values.len(), most);
    }

    /// A list of texts that share `cap` bytes of the line, quotes and commas included; whether all of it went in. What
    /// did not is cut off at its end, the last one there maybe between two characters, and `<name>_len` says how many
    /// there are.
    pub(super) fn texts_within(&mut self, name: &'static str, values: &[String], cap: usize) -> bool {
        self.key(name);
        self.out.push(b'[');
        let begin = self.out.len();
        let mut is_whole = true;
        for (i, value) in values.iter().enumerate() {
            let Some(room) = cap.checked_sub(self.out.len() - begin + 3) else {
                is_whole = false;
                break;
            };
            if i > 0 {
                self.out.push(b',');
            }
            is_whole = quoted(self.out, value, room) == Fit::Whole;
            if !is_whole {
                break;
            }
        }
        self.out.push(b']');
        if !is_whole {
            self.key_with(name, "_len");
            decimal(self.out, values.len() as u64);
        }
        is_whole
    }

    fn list_length(&mut self, name: &'static str, all: usize, most: usize) {
        if all > most {
            self.key_with(name, "_len");
            decimal(self.out, all as u64);
        }
    }
}

fn connection(out: &mut Vec<u8>, id: ConnectionId) {
    out.extend_from_slice(id.boot.as_str().as_bytes());
    out.push(b'-');
    decimal(out, id.number);
}

fn request(out: &mut Vec<u8>, id: RequestId) {
    out.push(b'"');
    connection(out, id.connection);
    out.push(b'-');
    decimal(out, id.number.into());
    out.push(b'"');
}

/// The lower-case hex digit of a nibble.
fn digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + (nibble - 10) }
}

/// Whether a text went in whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    Whole,
    Cut,
}

/// `"…"`, escaped.
#[inline]
fn quoted(out: &mut Vec<u8>, text: &str, cap: usize) -> Fit {
    out.push(b'"');
    // No early exit: this loop becomes a few vector instructions, and nearly all text is plain.
    let plain = text.bytes().fold(true, |plain, byte| plain & is_plain(byte));
    let fit = if plain && text.len() <= cap {
        out.extend_from_slice(text.as_bytes());
        Fit::Whole
    } else {
        let mut room = cap;
        if text.chars().all(|c| escaped(out, c, &mut room)) { Fit::Whole } else { Fit::Cut }
    };
    out.push(b'"');
    fit
}

/// `"…"` of bytes that are not UTF-8; how many of them are shown.
fn lossy(out: &mut Vec<u8>, bytes: &[u8], cap: usize) -> usize {
    let mut room = cap;
    let mut shown = 0;
    out.push(b'"');
    'whole: for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if !escaped(out, c, &mut room) {
                break 'whole;
            }
            shown += c.len_utf8();
        }
        if !chunk.invalid().is_empty() {
            if !escaped(out, char::REPLACEMENT_CHARACTER, &mut room) {
                break 'whole;
            }
            shown += chunk.invalid().len();
        }
    }
    out.push(b'"');
    shown
}

/// One character, if there is room for the whole of it.
fn escaped(out: &mut Vec<u8>, c: char, room: &mut usize) -> bool {
    let spelling = Spelling::of(c);
    let bytes = spelling.as_bytes();
    let Some(rest) = room.checked_sub(bytes.len()) else { return false };
    *room = rest;
    out.extend_from_slice(bytes);
    true
}

/// Standard base 64 with padding (RFC 4648 §4).
fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    out.push(b'"');
    for chunk in bytes.chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for (i, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let letter = ALPHABET.get((bits >> shift & 63) as usize).copied().unwrap_or(b'A');
            out.push(if i <= chunk.len() { letter } else { b'=' });
        }
    }
    out.push(b'"');
}

/// Decimal digits, without leading zeros.
#[inline]
fn decimal(out: &mut Vec<u8>, value: u64) {
    let mut value = value.min(INTEGER_MAX);
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
        first -= 1;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(first..).unwrap_or_default());
}
