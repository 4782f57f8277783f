//! JSON Pointers (RFC 6901), with `*` for one member or element and `**` at the end for everything below.

use serde::{Deserialize, Serialize};
use std::fmt;

use crate::model::json::Json;

/// Where something may stand in a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pointer {
    text: String,
    tokens: Vec<Token>,
}

/// One step of a pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// The member of this name, or the element of this number.
    Name(String),
    /// `*`: each member, each element.
    Any,
    /// `**`: everything below, however deep. It is the last.
    Below,
}

/// What is wrong with a pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadPointer {
    /// What.
    pub message: &'static str,
    /// What to write instead.
    pub help: String,
}

/// Steps of one pointer; no document goes deeper.
const MOST_TOKENS: usize = 32;
const MOST_BYTES: usize = 512;

impl Pointer {
    /// Reads `/HostConfig/Memory`, `/Cmd/*`, `/Labels/**`; in a name `~1` is `/` and `~0` is `~`.
    ///
    /// # Errors
    ///
    /// It is none, or too long.
    pub fn parse(text: &str) -> Result<Pointer, BadPointer> {
        let bad = |message, help: &str| Err(BadPointer { message, help: help.to_owned() });
        let Some(inner) = text.strip_prefix('/') else {
            let help = format!("write `/{}`", text.replace('.', "/"));
            return Err(BadPointer { message: "a pointer begins with `/`", help });
        };
        if text.len() > MOST_BYTES {
            return bad("a pointer has at most 512 bytes", "point at what is above it, by `**`");
        }
        let mut tokens = Vec::new();
        for written in inner.split('/') {
            if tokens.last() == Some(&Token::Below) {
                return bad("`**` is the last step of a pointer", "write `*` for one step");
            }
            tokens.push(match written {
                "*" => Token::Any,
                "**" => Token::Below,
                "" => return bad("a pointer has no empty step", "leave the second `/` out"),
                name => match unescaped(name) {
                    Some(name) => Token::Name(name),
                    None => {
                        return bad("`~` stands before `0` or `1` only", "write `~0` for `~`, `~1` for `/`");
                    }
                },
            });
        }
        if tokens.len() > MOST_TOKENS {
            return bad("a pointer has at most 32 steps", "point at what is above it, by `**`");
        }
        Ok(Pointer { text: text.to_owned(), tokens })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its steps.
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// Whether it points at one place: no `*` and no `**`.
    pub fn is_plain(&self) -> bool {
        self.tokens.iter().all(|token| matches!(token, Token::Name(_)))
    }

    /// Whether it means every place that `other` does.
    #[cfg(feature = "cli")]
    pub(crate) fn covers(&self, other: &Pointer) -> bool {
        fn covers(mine: &[Token], others: &[Token]) -> bool {
            match (mine, others) {
                ([Token::Below], [_, ..]) | ([], []) => true,
                ([Token::Any, rest @ ..], [Token::Any | Token::Name(_), others @ ..]) => covers(rest, others),
                ([Token::Name(a), rest @ ..], [Token::Name(b), others @ ..]) => {
                    a == b && covers(rest, others)
                }
                _ => false,
            }
        }
        covers(&self.tokens, &other.tokens)
    }

    /// What a plain pointer points at, its names as they are spelt.
    pub fn find<'j, 'b>(&self, json: &'j Json<'b>) -> Option<&'j Json<'b>> {
        self.tokens.iter().try_fold(json, |json, token| {
            let Token::Name(name) = token else { return None };
            match json {
                Json::Object(members) => members.iter().find(|(key, _)| key == name).map(|(_, value)| value),
                Json::List(list) => list.get(place(name)?),
                _ => None,
            }
        })
    }
}

/// The number of an element, in its one spelling.
fn place(name: &str) -> Option<usize> {
    let place: usize = name.parse().ok()?;
    (place.to_string() == name).then_some(place)
}

fn unescaped(name: &str) -> Option<String> {
    let mut parts = name.split('~');
    let mut read = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (sign, rest) = match (part.strip_prefix('0'), part.strip_prefix('1')) {
            (Some(rest), _) => ('~', rest),
            (_, Some(rest)) => ('/', rest),
            _ => return None,
        };
        read.push(sign);
        read.push_str(rest);
    }
    Some(read)
}

/// Adds one step to a pointer that is being made.
pub(super) fn push(way: &mut String, key: &str) {
    way.push('/');
    for c in key.chars() {
        match c {
            '~' => way.push_str("~0"),
            '/' => way.push_str("~1"),
            c => way.push(c),
        }
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Pointer {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Pointer, &'static str> {
        Pointer::parse(&text).map_err(|bad| bad.message)
    }
}

impl From<Pointer> for String {
    fn from(pointer: Pointer) -> String {
        pointer.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointer_is_read_step_by_step() {
        let tokens = |text: &str| Pointer::parse(text).unwrap().tokens().to_vec();
        let name = |name: &str| Token::Name(name.to_owned());
        assert_eq!(tokens("/a/*/b~1c~0d"), [name("a"), Token::Any, name("b/c~d")]);
        assert_eq!(tokens("/Labels/**"), [name("Labels"), Token::Below]);
        assert_eq!(tokens("/~01"), [name("~1")]);
    }

    #[test]
    fn pointer_that_is_none_says_what_to_write() {
        for (text, message) in [
            ("", "a pointer begins with `/`"),
            ("HostConfig.Memory", "a pointer begins with `/`"),
            ("/", "a pointer has no empty step"),
            ("/a//b", "a pointer has no empty step"),
            ("/a/", "a pointer has no empty step"),
            ("/**/a", "`**` is the last step of a pointer"),
            ("/a~2", "`~` stands before `0` or `1` only"),
            ("/a~", "`~` stands before `0` or `1` only"),
        ] {
            assert_eq!(Pointer::parse(text).unwrap_err().message, message, "{text}");
        }
        assert_eq!(Pointer::parse("HostConfig.Memory").unwrap_err().help, "write `/HostConfig/Memory`");
    }
}
