//! Kinds of values: what a capture, a query's value, a header line, a member of a body or a parameter may hold.
//!
//! A kind is written as one text, `"int 1..100"`, or as a table, `{ int = "1..100" }`; both mean the same. Every
//! value is compared in one reading, the text as it was decoded, and no kind but [`Kind::Any`] and what a policy
//! lists itself takes an empty one.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

use super::near::nearest;

/// What a value may be.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Anything.
    Any,
    /// Hexadecimal digits, so many of them where that is said.
    Hex(Option<u16>),
    /// Decimal digits; within a range, where one is said, a whole number in its shortest form.
    Int(Option<IntRange>),
    /// 8-4-4-4-12 hexadecimal digits.
    Uuid,
    /// What Docker and Podman take for an API version: a digit or dot, then digits, letters, dots, hyphens.
    Version,
    /// `true`, `false`, `1` or `0`.
    Bool,
    /// One of these, byte for byte.
    OneOf(Box<[String]>),
    /// Text of one set of characters.
    Text(Text),
}

/// Whole numbers from the least to the most, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IntRange {
    /// The smallest.
    pub least: i64,
    /// The largest.
    pub most: i64,
}

/// Text of one set of characters, bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Text {
    /// Which characters.
    pub set: Charset,
    /// The most bytes of UTF-8.
    pub max: u16,
    /// Whether it may be empty.
    pub empty: bool,
}

/// A set of characters. None but the last two lets a text begin with `-`, which programs take for an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Charset {
    /// ASCII letters, digits and `_`.
    Word,
    /// A letter or digit, then those and `_`, `.`, `-`: how containers and units are called.
    Name,
    /// A letter or digit, then those and `_`, `.`, `-`, `/`, `:`, `@`, `+`: how images are called. No `..` and no `//`.
    Reference,
    /// ASCII that can be printed, and the space.
    Printable,
    /// Any text of one line: no control character, no mark that turns its direction.
    Line,
}

/// Bytes of a text, where a policy does not say how many.
pub(crate) const TEXT_MAX: u16 = 255;
/// The most that it can say.
pub(crate) const MOST_TEXT: u16 = 16_384;
/// Digits of a `hex`.
pub(crate) const MOST_HEX: u16 = 4_096;
/// Values of a `one_of`: each is compared.
pub(crate) const MOST_VALUES: usize = 256;

/// What is wrong with a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadKind {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl BadKind {
    fn new(message: impl Into<String>, help: impl Into<String>) -> BadKind {
        BadKind { message: message.into(), help: Some(help.into()) }
    }
}

impl Charset {
    /// Each as it is written.
    pub(crate) const NAMES: [(&'static str, Charset); 5] = [
        ("word", Charset::Word),
        ("name", Charset::Name),
        ("reference", Charset::Reference),
        ("printable", Charset::Printable),
        ("line", Charset::Line),
    ];

    /// The set of that name.
    pub(crate) fn parse(name: &str) -> Result<Charset, BadKind> {
        let known = Charset::NAMES.iter().find(|(known, _)| *known == name);
        known.map(|(_, set)| *set).ok_or_else(|| {
            let names = Charset::NAMES.map(|(name, _)| name);
            let help = match nearest(name, names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("sets are {}", listed(&names)),
            };
            BadKind::new("this set of characters is not known", help)
        })
    }

    fn name(self) -> &'static str {
        Charset::NAMES.iter().find(|(_, set)| *set == self).map_or("", |(name, _)| name)
    }

    fn takes(self, text: &str) -> bool {
        let starts_plain = || text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let all = |more: &'static [u8]| {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
        };
        match self {
            Charset::Word => all(b"_"),
            Charset::Name => starts_plain() && all(b"_.-"),
            Charset::Reference => {
                starts_plain() && all(b"_.-/:@+") && !text.contains("..") && !text.contains("//")
            }
            Charset::Printable => text.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
            Charset::Line => text.chars().all(|c| !c.is_control() && !turns(c)),
        }
    }
}

/// Marks that break a line or turn its direction.
fn turns(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// What typed captures without a range, a length or a list are, in the order of their places in a tree.
pub(crate) static PLAIN: [Kind; 4] = [Kind::Hex(None), Kind::Int(None), Kind::Uuid, Kind::Version];

impl FromStr for Kind {
    /// What is wrong with it, in words.
    type Err = String;

    /// Reads a kind that is written as one text: `hex`, `hex 64`, `int 1..100`, `one_of a|b`, `text name 64`.
    fn from_str(written: &str) -> Result<Kind, String> {
        Kind::parse(written).map_err(|bad| bad.message)
    }
}

impl Kind {
    const WORDS: [&'static str; 8] = ["any", "hex", "int", "uuid", "version", "bool", "one_of", "text"];

    /// Reads a kind that is written as one text: `hex`, `hex 64`, `int 1..100`, `one_of a|b`, `text name 64`.
    pub(crate) fn parse(written: &str) -> Result<Kind, BadKind> {
        let (word, terms) = match written.split_once(' ') {
            Some((word, terms)) => (word, Some(terms)),
            None => (written, None),
        };
        match (word, terms) {
            ("any", None) => Ok(Kind::Any),
            ("hex", None) => Ok(Kind::Hex(None)),
            ("hex", Some(length)) => Kind::hex(digits(length)),
            ("int", None) => Ok(Kind::Int(None)),
            ("int", Some(range)) => Kind::int(range),
            ("uuid", None) => Ok(Kind::Uuid),
            ("version", None) => Ok(Kind::Version),
            ("bool", None) => Ok(Kind::Bool),
            ("one_of", Some(values)) => Kind::one_of(values.split('|').map(str::to_owned).collect()),
            ("text", Some(terms)) => match terms.split_once(' ') {
                Some((set, max)) => Kind::text(Charset::parse(set)?, digits(max), false),
                None => Kind::text(Charset::parse(terms)?, Some(u64::from(TEXT_MAX)), false),
            },
            ("one_of", None) => Err(BadKind::new("`one_of` lists no value", "write `one_of a|b`")),
            ("text", None) => Err(BadKind::new(
                "`text` names no set of characters",
                format!(
                    "write such as `text name`; sets are {}",
                    listed(&Charset::NAMES.map(|(name, _)| name))
                ),
            )),
            (word, Some(_)) if Kind::WORDS.contains(&word) => Err(BadKind::new(
                format!("`{word}` takes nothing behind it"),
                format!("write `{word}` alone"),
            )),
            (word, _) => Err(Kind::unknown(word)),
        }
    }

    /// No kind is called so.
    pub(crate) fn unknown(word: &str) -> BadKind {
        let help = match nearest(word, Kind::WORDS) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("types are {}", listed(&Kind::WORDS)),
        };
        BadKind::new("this type is not known", help)
    }

    /// So many hexadecimal digits; `None` where it was no number.
    pub(crate) fn hex(length: Option<u64>) -> Result<Kind, BadKind> {
        let length = length.and_then(|length| u16::try_from(length).ok());
        match length.filter(|length| (1..=MOST_HEX).contains(length)) {
            Some(length) => Ok(Kind::Hex(Some(length))),
            None => Err(BadKind::new(
                "`hex` has a number of digits behind it",
                format!("write such as `hex 64`, at most {MOST_HEX}"),
            )),
        }
    }

    /// `1..100`.
    pub(crate) fn int(range: &str) -> Result<Kind, BadKind> {
        let ends = range.split_once("..").and_then(|(least, most)| Some((whole(least)?, whole(most)?)));
        match ends {
            Some((least, most)) if least <= most => Ok(Kind::Int(Some(IntRange { least, most }))),
            Some((least, most)) => Err(BadKind::new(
                "this range holds no number",
                format!("write the smaller one first: `{most}..{least}`"),
            )),
            None => {
                Err(BadKind::new("`int` has a range behind it", "write such as `1..100`, both ends included"))
            }
        }
    }

    /// One of these; an empty one is a value too where it is listed.
    pub(crate) fn one_of(values: Vec<String>) -> Result<Kind, BadKind> {
        if values.is_empty() {
            return Err(BadKind::new("`one_of` lists no value", "list at least one"));
        }
        if values.len() > MOST_VALUES {
            return Err(BadKind { message: format!("`one_of` lists at most {MOST_VALUES}"), help: None });
        }
        let repeated =
            values.iter().enumerate().find(|(at, value)| values.iter().take(*at).any(|v| v == *value));
        if let Some((_, twice)) = repeated {
            let message = format!("`one_of` lists {} twice", super::diagnostics::quoted(twice));
            return Err(BadKind { message, help: None });
        }
        Ok(Kind::OneOf(values.into()))
    }

    /// Text of a set, at most so many bytes; `None` where it was no number.
    pub(crate) fn text(set: Charset, max: Option<u64>, empty: bool) -> Result<Kind, BadKind> {
        let max = max.and_then(|max| u16::try_from(max).ok()).filter(|max| (1..=MOST_TEXT).contains(max));
        match max {
            Some(max) => Ok(Kind::Text(Text { set, max, empty })),
            None => Err(BadKind::new(
                "a text has at most so many bytes",
                format!("write a number between 1 and {MOST_TEXT}"),
            )),
        }
    }

    /// Whether `text`, decoded, is of this kind.
    pub(crate) fn takes(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        match self {
            Kind::Any => true,
            Kind::Hex(length) => {
                !bytes.is_empty()
                    && length.is_none_or(|length| usize::from(length) == bytes.len())
                    && bytes.iter().all(u8::is_ascii_hexdigit)
            }
            Kind::Int(None) => !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit),
            Kind::Int(Some(range)) => {
                whole(text).is_some_and(|number| (range.least..=range.most).contains(&number))
            }
            Kind::Uuid => {
                bytes.len() == 36
                    && bytes.iter().enumerate().all(|(at, byte)| match at {
                        8 | 13 | 18 | 23 => *byte == b'-',
                        _ => byte.is_ascii_hexdigit(),
                    })
            }
            Kind::Version => {
                bytes.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'.')
                    && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
            }
            Kind::Bool => matches!(text, "true" | "false" | "1" | "0"),
            Kind::OneOf(values) => values.iter().any(|value| value == text),
            Kind::Text(Text { set, max, empty }) => {
                if bytes.is_empty() {
                    *empty
                } else {
                    bytes.len() <= usize::from(*max) && set.takes(text)
                }
            }
        }
    }

    /// The same for values in lower case.
    pub(crate) fn in_lower_case(&self) -> Kind {
        match self {
            Kind::OneOf(values) => {
                Kind::OneOf(values.iter().map(|value| value.to_ascii_lowercase()).collect())
            }
            // Case makes no difference to the others.
            kind => kind.clone(),
        }
    }

    /// Whether a capture of this kind takes `segment`, which is no segment of more than one reading.
    pub(crate) fn captures(&self, segment: &str) -> bool {
        !segment.is_empty() && self.takes(segment)
    }

    /// Whether no text is of both kinds. Where that is hard to tell, some is.
    pub(crate) fn excludes(&self, other: &Kind) -> bool {
        match (self, other) {
            (Kind::OneOf(values), kind) | (kind, Kind::OneOf(values)) => {
                !values.iter().any(|value| kind.takes(value))
            }
            (Kind::Int(Some(a)), Kind::Int(Some(b))) => a.most < b.least || b.most < a.least,
            (Kind::Hex(Some(a)), Kind::Hex(Some(b))) => a != b,
            (Kind::Hex(_) | Kind::Int(_) | Kind::Bool, Kind::Uuid)
            | (Kind::Uuid, Kind::Hex(_) | Kind::Int(_) | Kind::Bool) => true,
            _ => false,
        }
    }
}

/// A whole number in its shortest form: no sign but `-`, no zero in front, no `-0`.
pub(crate) fn whole(text: &str) -> Option<i64> {
    let number = text.strip_prefix('-').unwrap_or(text);
    let shortest = !number.starts_with('0') || (number.len() == 1 && number.len() == text.len());
    let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if plain && shortest { text.parse().ok() } else { None }
}

fn digits(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

fn listed(names: &[&str]) -> String {
    match names.split_last() {
        Some((last, [])) => format!("`{last}`"),
        Some((last, before)) => {
            let before: Vec<_> = before.iter().map(|name| format!("`{name}`")).collect();
            format!("{} and `{last}`", before.join(", "))
        }
        None => String::new(),
    }
}

/// As it is written in one text.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Any => f.write_str("any"),
            Kind::Hex(None) => f.write_str("hex"),
            Kind::Hex(Some(length)) => write!(f, "hex {length}"),
            Kind::Int(None) => f.write_str("int"),
            Kind::Int(Some(range)) => write!(f, "int {}..{}", range.least, range.most),
            Kind::Uuid => f.write_str("uuid"),
            Kind::Version => f.write_str("version"),
            Kind::Bool => f.write_str("bool"),
            Kind::OneOf(values) => write!(f, "one_of {}", values.join("|")),
            Kind::Text(text) => write!(f, "text {} {}", text.set.name(), text.max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(written: &str) -> Kind {
        Kind::parse(written).unwrap_or_else(|bad| panic!("{written}: {}", bad.message))
    }

    #[test]
    fn kind_takes_what_it_says_and_no_more() {
        for (written, yes, no) in [
            ("any", vec!["", "-", "\n"], vec![]),
            ("hex", vec!["0", "deadBEEF"], vec!["", "g", "0x1", "-1"]),
            ("hex 4", vec!["beef"], vec!["", "bee", "beef0", "begf"]),
            ("int", vec!["0", "42", "007"], vec!["", "-1", "1.0", "+1", "1e2", "٣"]),
            (
                "int 1..100",
                vec!["1", "100"],
                vec!["", "0", "101", "01", "+1", "1.0", "1e1", " 1", "9999999999999999999"],
            ),
            ("int -1..0", vec!["-1", "0"], vec!["-0", "-01", "--1", "-", "-2"]),
            (
                "uuid",
                vec!["6ba7b810-9dad-11d1-80b4-00c04fd430c8"],
                vec!["6ba7b8109dad11d180b400c04fd430c8", ""],
            ),
            ("version", vec!["1.41", "1", "5.4.2-dev", "."], vec!["", "olumes", "1_0", "1%2F"]),
            ("bool", vec!["true", "false", "1", "0"], vec!["", "True", "yes", "2"]),
            ("one_of a|b", vec!["a", "b"], vec!["", "c", "A", "a|b"]),
            ("text word", vec!["a_1"], vec!["", "a-b", "ä"]),
            ("text name 4", vec!["a-.b", "1"], vec!["", "-a", ".a", "abcde", "a b", "a/b"]),
            (
                "text reference",
                vec!["docker.io/a/b:1.2@sha256:0"],
                vec!["", "/a", "a/../b", "a//b", "a b", "-a"],
            ),
            ("text printable 5", vec!["a b", "-rf", "~"], vec!["", "a\n", "ä", "123456"]),
            ("text line", vec!["ä ö", "-"], vec!["", "a\nb", "a\u{202e}b", "\u{7f}"]),
        ] {
            let kind = kind(written);
            assert!(yes.iter().all(|text| kind.takes(text)), "{written}");
            let taken: Vec<_> = no.iter().filter(|text| kind.takes(text)).collect();
            assert!(taken.is_empty(), "{written}: {taken:?}");
            assert!(!kind.captures(""), "{written}");
        }
    }

    #[test]
    fn kind_written_is_read_again() {
        for written in [
            "any",
            "hex",
            "hex 64",
            "int",
            "int -5..7",
            "uuid",
            "version",
            "bool",
            "one_of a|b",
            "text name 64",
        ] {
            assert_eq!(kind(written).to_string(), written);
        }
    }

    #[test]
    fn kind_that_is_wrong_says_what() {
        for (written, message) in [
            ("", "this type is not known"),
            ("word", "this type is not known"),
            ("uuid 4", "`uuid` takes nothing behind it"),
            ("hex x", "`hex` has a number of digits behind it"),
            ("hex 0", "`hex` has a number of digits behind it"),
            ("int 1-5", "`int` has a range behind it"),
            ("int 5..1", "this range holds no number"),
            ("one_of", "`one_of` lists no value"),
            ("one_of a|a", "`one_of` lists `a` twice"),
            ("text", "`text` names no set of characters"),
            ("text nam", "this set of characters is not known"),
            ("text name 0", "a text has at most so many bytes"),
        ] {
            assert_eq!(Kind::parse(written).unwrap_err().message, message, "{written}");
        }
        assert_eq!(Kind::parse("text nam").unwrap_err().help.as_deref(), Some("did you mean `name`?"));
    }

    #[test]
    fn kinds_exclude_each_other_only_where_no_text_is_of_both() {
        for (a, b, excludes) in [
            ("hex", "uuid", true),
            ("int 1..5", "uuid", true),
            ("int 1..5", "int 6..9", true),
            ("int 1..5", "int 5..9", false),
            ("hex 4", "hex 5", true),
            ("hex 4", "hex", false),
            ("one_of a|b", "one_of c", true),
            ("one_of a|b", "hex", false),
            ("one_of x|y", "hex", true),
            ("any", "uuid", false),
            ("text name", "uuid", false),
        ] {
            assert_eq!(kind(a).excludes(&kind(b)), excludes, "{a}, {b}");
            assert_eq!(kind(b).excludes(&kind(a)), excludes, "{b}, {a}");
        }
    }
}
