//! JSON, read strictly: what is taken has one reading, whoever reads it after us.
//!
//! Go's `encoding/json`, which stands behind Docker and Podman, folds the case of keys, takes the last of two alike,
//! turns broken UTF-8 into U+FFFD and stops at the end of the first value. Others take the first, keep case, or
//! allow comments. So all of that is refused here: RFC 8259 and nothing else, no key twice whatever its case, at
//! every level; depth and number of values are bounded.

use std::borrow::Cow;
use std::fmt;

/// Objects and lists within each other.
pub const MOST_DEPTH: usize = 64;
/// Values of a document, members and elements together.
pub const MOST_VALUES: usize = 16_384;
/// Bytes of a number.
const MOST_NUMBER: usize = 64;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Json<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as it is written; a double can hold it.
    Number(&'a str),
    /// A text, its escapes read.
    Text(Cow<'a, str>),
    /// `[…]`.
    List(Vec<Json<'a>>),
    /// `{…}`: no two keys are alike, case apart.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// Why bytes are no document that has one reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// Not RFC 8259, not UTF-8, or with something behind it.
    Syntax,
    /// A key is there twice, case apart.
    Twice,
    /// Too deep, or too many values.
    Bounds,
}

/// What is wrong, and at which byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken {
    /// What.
    pub wrong: Wrong,
    /// From 0.
    pub at: usize,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.wrong {
            Wrong::Syntax => "no JSON in one reading",
            Wrong::Twice => "a key is there twice",
            Wrong::Bounds => "too deep, or too many values",
        };
        write!(f, "{what} at byte {}", self.at)
    }
}

/// A key as it is compared. At least as coarse as Unicode's simple case folding, by which Go compares: `ſ` (U+017F) is
/// `s`, the Kelvin sign (U+212A) is `k`.
pub fn folded(key: &str) -> Cow<'_, str> {
    if key.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return Cow::Borrowed(key);
    }
    let lower = key.chars().flat_map(char::to_lowercase);
    Cow::Owned(lower.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect())
}

impl<'a> Json<'a> {
    /// Reads a whole document.
    ///
    /// # Errors
    ///
    /// The first rule that it breaks, in the order of the bytes; broken UTF-8 before anything else.
    pub fn parse(bytes: &'a [u8]) -> Result<Json<'a>, Broken> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| Broken { wrong: Wrong::Syntax, at: error.valid_up_to() })?;
        let mut reader = Reader { text, at: 0, values: 0 };
        reader.skip_blank();
        let value = reader.value(0)?;
        reader.skip_blank();
        if reader.at < text.len() { Err(reader.broken(Wrong::Syntax)) } else { Ok(value) }
    }

    /// Whether it is what a field has that nobody wrote: `null`, `false`, `0`, `""`, `[]` or `{}`.
    pub fn is_zero(&self) -> bool {
        match self {
            Json::Null => true,
            Json::Bool(value) => !value,
            Json::Number(text) => *text == "0",
            Json::Text(text) => text.is_empty(),
            Json::List(list) => list.is_empty(),
            Json::Object(members) => members.is_empty(),
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    values: usize,
}

impl<'a> Reader<'a> {
    fn broken(&self, wrong: Wrong) -> Broken {
        Broken { wrong, at: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Goes over exactly these bytes.
    fn expect(&mut self, token: &str) -> Result<(), Broken> {
        if self.text.get(self.at..).is_some_and(|rest| rest.starts_with(token)) {
            self.at += token.len();
            return Ok(());
        }
        Err(self.broken(Wrong::Syntax))
    }

    /// One value, `depth` containers down. The depth is bounded, and so is what the stack holds.
    fn value(&mut self, depth: usize) -> Result<Json<'a>, Broken> {
        self.values += 1;
        if self.values > MOST_VALUES {
            return Err(self.broken(Wrong::Bounds));
        }
        match self.peek() {
            Some(b'{' | b'[') if depth >= MOST_DEPTH => Err(self.broken(Wrong::Bounds)),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string().map(Json::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'n') => self.expect("null").map(|()| Json::Null),
            Some(b't') => self.expect("true").map(|()| Json::Bool(true)),
            Some(b'f') => self.expect("false").map(|()| Json::Bool(false)),
            _ => Err(self.broken(Wrong::Syntax)),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Json<'a>, Broken> {
        self.at += 1;
        let mut list = Vec::new();
        self.skip_blank();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::List(list));
        }
        loop {
            self.skip_blank();
            list.push(self.value(depth + 1)?);
            self.skip_blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Json::List(list));
                }
                _ => return Err(self.broken(Wrong::Syntax)),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json<'a>, Broken> {
        self.at += 1;
        let mut members = Vec::new();
        // Each key as it is compared, and where it stands.
        let mut keys = Vec::new();
        self.skip_blank();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(members));
        }
        loop {
            self.skip_blank();
            let place = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.broken(Wrong::Syntax));
            }
            let key = self.string()?;
            keys.push((folded(&key).into_owned(), place));
            self.skip_blank();
            self.expect(":")?;
            self.skip_blank();
            members.push((key, self.value(depth + 1)?));
            self.skip_blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    break;
                }
                _ => return Err(self.broken(Wrong::Syntax)),
            }
        }
        keys.sort_unstable();
        let twice = keys.windows(2).filter_map(|pair| match pair {
            [(a, _), (b, later)] if a == b => Some(*later),
            _ => None,
        });
        match twice.min() {
            Some(at) => Err(Broken { wrong: Wrong::Twice, at }),
            None => Ok(Json::Object(members)),
        }
    }

    fn number(&mut self) -> Result<Json<'a>, Broken> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        // What no double holds is read as infinite by one and refused by another.
        let held = text.len() <= MOST_NUMBER && text.parse::<f64>().is_ok_and(f64::is_finite);
        if held { Ok(Json::Number(text)) } else { Err(Broken { wrong: Wrong::Syntax, at: start }) }
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), Broken> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.broken(Wrong::Syntax)) } else { Ok(()) }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Broken> {
        self.at += 1;
        let mut read: Option<String> = None;
        let mut plain = self.at;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let rest = self.text.get(plain..self.at).unwrap_or_default();
                    self.at += 1;
                    return Ok(match read {
                        None => Cow::Borrowed(rest),
                        Some(mut read) => {
                            read.push_str(rest);
                            Cow::Owned(read)
                        }
                    });
                }
                Some(b'\\') => {
                    let rest = self.text.get(plain..self.at).unwrap_or_default();
                    let read = read.get_or_insert_default();
                    read.push_str(rest);
                    self.at += 1;
                    read.push(self.escape()?);
                    plain = self.at;
                }
                None | Some(0..0x20) => return Err(self.broken(Wrong::Syntax)),
                Some(_) => self.at += 1,
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<char, Broken> {
        let sign = self.peek();
        self.at += 1;
        match sign {
            Some(b'"') => Ok('"'),
            Some(b'\\') => Ok('\\'),
            Some(b'/') => Ok('/'),
            Some(b'b') => Ok('\u{8}'),
            Some(b'f') => Ok('\u{c}'),
            Some(b'n') => Ok('\n'),
            Some(b'r') => Ok('\r'),
            Some(b't') => Ok('\t'),
            Some(b'u') => self.unicode(),
            _ => {
                self.at -= 1;
                Err(self.broken(Wrong::Syntax))
            }
        }
    }

    /// `XXXX`, and the second half of a pair; half a pair alone is no character.
    fn unicode(&mut self) -> Result<char, Broken> {
        let first = self.unit()?;
        if !(0xd800..0xe000).contains(&first) {
            return char::from_u32(first).ok_or(self.broken(Wrong::Syntax));
        }
        self.expect("\\u")?;
        let second = self.unit()?;
        if first >= 0xdc00 || !(0xdc00..0xe000).contains(&second) {
            return Err(self.broken(Wrong::Syntax));
        }
        let point = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        char::from_u32(point).ok_or(self.broken(Wrong::Syntax))
    }

    fn unit(&mut self) -> Result<u32, Broken> {
        let digits = self
            .text
            .get(self.at..self.at + 4)
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let unit = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let unit = unit.ok_or(self.broken(Wrong::Syntax))?;
        self.at += 4;
        Ok(unit)
    }
}

#[cfg(test)]
mod tests;
