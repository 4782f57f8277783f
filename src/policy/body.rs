//! What a route lets into a body: an allow-list of JSON Pointers (RFC 6901), and everything else is refused.
//!
//! An allow-list, because a field that is equivalent to a forbidden one is forgotten sooner or later (Portainer
//! CVE-2026-44849: Binds and Mounts). What allows is compared as it is spelt; what restricts is compared without case,
//! so that a server which folds case and one which does not are both held to it.

mod pointer;

use serde::{Deserialize, Serialize};

use super::value::Kind;
use crate::model::json::{Json, Wrong, folded};
use crate::model::refusal::Refusal;
pub use pointer::{BadPointer, Pointer, Token};

/// Bytes of a pointer in a record.
const MOST_PART: usize = 200;

/// `body.json` of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JsonRule {
    /// What may be there; those with a type are among them.
    pub allow: Vec<Pointer>,
    /// What becomes of the rest.
    pub others: Others,
    /// What these may hold.
    pub values: Vec<(Pointer, Kind)>,
    /// What has to be there, and not null.
    pub required: Vec<Pointer>,
    /// What may be null or absent and nothing else, not even an empty list.
    pub null: Vec<Pointer>,
    /// Objects whose member names mean something: what is not allowed in them is refused, whatever it holds.
    pub maps: Vec<Pointer>,
}

/// What becomes of members that no pointer allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Others {
    /// They are refused.
    #[default]
    Refuse,
    /// They are let through where they hold what a field has that nobody wrote: null, false, 0, an empty text, list
    /// or object. In a list, and in an object that nothing allowed is in, there is no such thing as a field.
    Zero,
}

/// Why a body is refused, and where: a JSON Pointer, or a byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offence {
    /// The reason.
    pub refusal: Refusal,
    /// Where, as records show it: `body /HostConfig/Privileged`, `body byte 17`. Never a value.
    pub part: String,
}

/// What is left of pointers, the way down to a value being taken off.
struct Left<'r> {
    allow: Vec<&'r [Token]>,
    values: Vec<(&'r [Token], &'r Kind)>,
    null: Vec<&'r [Token]>,
    maps: Vec<&'r [Token]>,
    /// A `**` above lets everything in.
    below: bool,
    /// A zero is let through here.
    zero: bool,
}

impl JsonRule {
    /// Reads and judges a whole body; what it held is handed back for the record.
    ///
    /// # Errors
    ///
    /// [`Refusal::BodyMissing`], [`Refusal::JsonSyntax`], [`Refusal::JsonTwice`], [`Refusal::JsonBounds`],
    /// [`Refusal::BodyMember`], [`Refusal::BodyValue`] or [`Refusal::BodyLacks`], with the place.
    pub fn judge<'b>(&self, body: &'b [u8]) -> Result<Json<'b>, Offence> {
        if body.is_empty() {
            return Err(Offence { refusal: Refusal::BodyMissing, part: "body".to_owned() });
        }
        let json = Json::parse(body).map_err(|broken| {
            let refusal = match broken.wrong {
                Wrong::Syntax => Refusal::JsonSyntax,
                Wrong::Twice => Refusal::JsonTwice,
                Wrong::Bounds => Refusal::JsonBounds,
            };
            Offence { refusal, part: format!("body byte {}", broken.at) }
        })?;
        let zero = self.others == Others::Zero && matches!(json, Json::Object(_));
        let left = Left {
            allow: self.allow.iter().map(Pointer::tokens).collect(),
            values: self.values.iter().map(|(pointer, kind)| (pointer.tokens(), kind)).collect(),
            null: self.null.iter().map(Pointer::tokens).collect(),
            maps: self.maps.iter().map(Pointer::tokens).collect(),
            below: false,
            zero,
        };
        let mut way = String::new();
        self.value(&json, &left, &mut way).map_err(|refusal| Offence { refusal, part: part(&way) })?;
        let lacking = self.required.iter().find(|pointer| match pointer.find(&json) {
            None | Some(Json::Null) => true,
            Some(_) => false,
        });
        match lacking {
            Some(pointer) => Err(Offence { refusal: Refusal::BodyLacks, part: part(pointer.as_str()) }),
            None => Ok(json),
        }
    }

    /// Judges what stands at the end of `way`; as deep as the reader lets it be.
    fn value(&self, json: &Json<'_>, left: &Left<'_>, way: &mut String) -> Result<(), Refusal> {
        if left.null.iter().any(|rest| rest.is_empty()) {
            return if *json == Json::Null { Ok(()) } else { Err(Refusal::BodyMember) };
        }
        let exact = left.below || left.allow.iter().any(|rest| rest.is_empty());
        let kinds = || left.values.iter().filter(|(rest, _)| rest.is_empty()).map(|(_, kind)| *kind);
        let (members, list): (&mut dyn Iterator<Item = (&str, &Json<'_>)>, bool) = match json {
            Json::Object(members) => (&mut members.iter().map(|(key, value)| (key.as_ref(), value)), false),
            Json::List(list) => (&mut list.iter().map(|value| ("", value)), true),
            // A type holds for another spelling too, which some server would take for this one.
            scalar if exact || left.zero && scalar.is_zero() => {
                let fits = kinds().all(|kind| takes(kind, scalar));
                return if fits { Ok(()) } else { Err(Refusal::BodyValue) };
            }
            _ => return Err(Refusal::BodyMember),
        };
        if exact && !kinds().all(|kind| *kind == Kind::Any) {
            return Err(Refusal::BodyValue);
        }
        if !exact && !left.allow.iter().any(|rest| !rest.is_empty()) {
            return if left.zero && json.is_zero() { Ok(()) } else { Err(Refusal::BodyMember) };
        }
        let map = left.maps.iter().any(|rest| rest.is_empty());
        let zero = self.others == Others::Zero && !list && !map;
        let length = way.len();
        for (place, (key, value)) in members.enumerate() {
            let number;
            let key = if list {
                number = place.to_string();
                &number
            } else {
                key
            };
            pointer::push(way, key);
            self.value(value, &left.below_member(key, zero), way)?;
            way.truncate(length);
        }
        Ok(())
    }
}

impl<'r> Left<'r> {
    fn below_member(&self, key: &str, zero: bool) -> Left<'r> {
        let fold = folded(key);
        let spelt = |rest: &&'r [Token]| match *rest {
            [Token::Name(name), rest @ ..] if **name == *key => Some(rest),
            [Token::Any, rest @ ..] => Some(rest),
            _ => None,
        };
        let alike = |rest: &&'r [Token]| match *rest {
            [Token::Name(name), rest @ ..] if folded(name) == fold => Some(rest),
            [Token::Any, rest @ ..] => Some(rest),
            _ => None,
        };
        Left {
            allow: self.allow.iter().filter_map(spelt).collect(),
            values: self.values.iter().filter_map(|(rest, kind)| Some((alike(rest)?, *kind))).collect(),
            null: self.null.iter().filter_map(alike).collect(),
            maps: self.maps.iter().filter_map(alike).collect(),
            below: self.below || self.allow.iter().any(|rest| matches!(rest, [Token::Below])),
            zero,
        }
    }
}

/// Whether a scalar is of this kind: a whole number is written as one, `true` is no text, and null is of none.
fn takes(kind: &Kind, scalar: &Json<'_>) -> bool {
    match (kind, scalar) {
        (Kind::Any, _) => true,
        (Kind::Bool, Json::Bool(_)) => true,
        (Kind::Int(_), Json::Number(text)) => kind.takes(text),
        (Kind::Int(_) | Kind::Bool, _) => false,
        (kind, Json::Text(text)) => kind.takes(text),
        _ => false,
    }
}

/// As records show it; a long way is cut.
fn part(way: &str) -> String {
    let mut end = way.len().min(MOST_PART);
    while !way.is_char_boundary(end) {
        end -= 1;
    }
    let cut = if end < way.len() { "…" } else { "" };
    let shown = match way.get(..end) {
        Some("") | None => "/",
        Some(shown) => shown,
    };
    format!("body {shown}{cut}")
}

#[cfg(test)]
mod tests;
