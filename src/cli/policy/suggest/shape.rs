//! Many paths become few patterns, and only where a place in them varies over many values. What else was seen stays
//! as it was: literal.

use std::collections::BTreeMap;
use std::fmt;

/// One segment of a pattern that is suggested.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Piece {
    /// As it was seen.
    Literal(String),
    /// Any of many.
    Capture(Kind),
}

/// What all the values of a capture were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Int,
    Hex,
    Uuid,
    /// As containers, volumes and units are called.
    Name,
    Any,
}

/// From how many values on a capture stands for them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Many {
    /// Where they have a type in common.
    pub(super) typed: usize,
    /// Where they have none.
    pub(super) other: usize,
}

impl Many {
    /// `values` of one type, and four times as many of none.
    pub(super) fn from(values: usize) -> Many {
        Many { typed: values.max(2), other: values.max(2).saturating_mul(4) }
    }
}

/// What stands behind a pattern, and can be put together with another's.
pub(super) trait Gather {
    fn gather(&mut self, other: Self);
}

/// Patterns for these paths, which are of one length. The last place that varies is looked at first.
pub(super) fn patterns<T: Gather>(
    paths: BTreeMap<Vec<Piece>, T>,
    length: usize,
    many: Many,
) -> BTreeMap<Vec<Piece>, T> {
    (0..length).rev().fold(paths, |paths, place| at(place, paths, many))
}

fn at<T: Gather>(place: usize, paths: BTreeMap<Vec<Piece>, T>, many: Many) -> BTreeMap<Vec<Piece>, T> {
    // Alike but for this place: which values there are.
    let mut groups: BTreeMap<Vec<Piece>, Vec<String>> = BTreeMap::new();
    for path in paths.keys() {
        if let Some(Piece::Literal(value)) = path.get(place) {
            groups.entry(without(path, place)).or_default().push(value.clone());
        }
    }
    let mut taken: BTreeMap<Vec<Piece>, T> = BTreeMap::new();
    for (path, what) in paths {
        let value = match path.get(place) {
            Some(Piece::Literal(value)) => value.clone(),
            _ => String::new(),
        };
        let values = groups.get(&without(&path, place)).map_or([].as_slice(), Vec::as_slice);
        let mut path = path;
        // What an API calls its own resources stands in front: a path is never free from its first segment on.
        if let (Some(kind), Some(piece)) = (kind(values, place > 0, many), path.get_mut(place))
            && kind.takes(&value)
        {
            *piece = Piece::Capture(kind);
        }
        match taken.remove(&path) {
            Some(mut known) => {
                known.gather(what);
                taken.insert(path, known);
            }
            None => {
                taken.insert(path, what);
            }
        }
    }
    taken
}

fn without(path: &[Piece], place: usize) -> Vec<Piece> {
    let blank = Piece::Literal(String::new());
    path.iter()
        .enumerate()
        .map(|(at, piece)| if at == place { blank.clone() } else { piece.clone() })
        .collect()
}

/// What a capture for these values is, where there are enough of them.
fn kind(values: &[String], may_be_any: bool, many: Many) -> Option<Kind> {
    let count = |what: fn(&str) -> bool| values.iter().filter(|value| what(value)).count();
    let (ints, hexes, uuids) = (count(is_int), count(is_hex), count(is_uuid));
    let others = values.len() - count(|value| is_int(value) || is_hex(value) || is_uuid(value));
    // Types that share values would make two patterns that are equally specific, so there is one.
    if may_be_any && others >= many.other && others * 2 >= values.len() {
        Some(if values.iter().all(|value| is_name(value)) { Kind::Name } else { Kind::Any })
    } else if uuids >= many.typed {
        Some(Kind::Uuid)
    } else if hexes >= many.typed && hexes > ints {
        Some(Kind::Hex)
    } else {
        (ints >= many.typed).then_some(Kind::Int)
    }
}

fn is_int(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit())
}

/// Of a length that words do not have, or with a digit; `add` and `face` are words.
fn is_hex(value: &str) -> bool {
    let digits = value.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits && (value.len() >= 12 || value.len() >= 6 && value.bytes().any(|byte| byte.is_ascii_digit()))
}

fn is_uuid(value: &str) -> bool {
    value.len() == 36
        && value.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// A letter or digit, then those and `_`, `.`, `-`.
fn is_name(value: &str) -> bool {
    value.len() <= 255
        && value.starts_with(|c: char| c.is_ascii_alphanumeric())
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

impl Kind {
    /// Whether a capture of that kind stands for this value.
    fn takes(self, value: &str) -> bool {
        match self {
            Kind::Int => is_int(value),
            // Short runs of digits are taken by the language too, so they must not stand beside it.
            Kind::Hex => is_hex(value) || is_int(value),
            Kind::Uuid => is_uuid(value),
            Kind::Name => is_name(value),
            Kind::Any => !value.is_empty(),
        }
    }

    fn name(self) -> (&'static str, &'static str) {
        match self {
            Kind::Int => ("n", ":int"),
            Kind::Hex => ("id", ":hex"),
            Kind::Uuid => ("uuid", ":uuid"),
            Kind::Name => ("name", ":text name"),
            Kind::Any => ("value", ""),
        }
    }
}

/// A path as the policy's language writes it.
pub(super) struct Written<'a>(pub(super) &'a [Piece]);

impl fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut number = 0;
        for piece in self.0 {
            match piece {
                Piece::Literal(text) => write!(f, "/{text}")?,
                Piece::Capture(kind) => {
                    number += 1;
                    let (name, typed) = kind.name();
                    let number = if number > 1 { number.to_string() } else { String::new() };
                    write!(f, "/{{{name}{number}{typed}}}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Gather for usize {
        fn gather(&mut self, other: usize) {
            *self += other;
        }
    }

    fn shapes(paths: impl IntoIterator<Item = String>, many: usize) -> Vec<(String, usize)> {
        let read = |path: &String| -> Vec<Piece> {
            path[1..].split('/').map(|segment| Piece::Literal(segment.to_owned())).collect()
        };
        let paths: BTreeMap<_, _> = paths.into_iter().map(|path| (read(&path), 1)).collect();
        let length = paths.keys().next().unwrap().len();
        let found = patterns(paths, length, Many::from(many));
        found.into_iter().map(|(path, count)| (Written(&path).to_string(), count)).collect()
    }

    fn one(pattern: &str, count: usize) -> (String, usize) {
        (pattern.to_owned(), count)
    }

    #[test]
    fn few_values_stay_literal() {
        let found = shapes((0..4).map(|n| format!("/containers/{n}/json")), 5);
        assert_eq!(found.len(), 4);
    }

    #[test]
    fn many_values_of_one_type_become_a_typed_capture() {
        assert_eq!(shapes((0..5).map(|n| format!("/jobs/{n}/log")), 5), [one("/jobs/{n:int}/log", 5)]);
        let hex = (0..9).map(|n| format!("/containers/{n}0f3a9c7d{n}/json"));
        assert_eq!(shapes(hex, 5), [one("/containers/{id:hex}/json", 9)]);
        let uuid = (0..6).map(|n| format!("/v/6ba7b810-9dad-11d1-80b4-00c04fd430c{n}"));
        assert_eq!(shapes(uuid, 5), [one("/v/{uuid:uuid}", 6)]);
    }

    #[test]
    fn values_of_no_type_need_many_more_and_never_stand_first() {
        let names = |count: usize| (0..count).map(|n| format!("/volumes/vol-{n}"));
        assert_eq!(shapes(names(19), 5).len(), 19);
        assert_eq!(shapes(names(20), 5), [one("/volumes/{name:text name}", 20)]);
        assert_eq!(shapes((0..50).map(|n| format!("/resource-{n}")), 5).len(), 50);
        assert_eq!(shapes((0..20).map(|n| format!("/volumes/a:{n}")), 5), [one("/volumes/{value}", 20)]);
    }

    #[test]
    fn words_beside_ids_stay_literal() {
        let ids = (0..9).map(|n| format!("/containers/{n}0f3a9c7d{n}"));
        let found = shapes(ids.chain(["/containers/json".to_owned(), "/containers/face".to_owned()]), 5);
        assert_eq!(
            found,
            [one("/containers/face", 1), one("/containers/json", 1), one("/containers/{id:hex}", 9)]
        );
    }

    #[test]
    fn two_places_that_vary_are_two_captures() {
        let paths = (0..6).flat_map(|a| (0..6).map(move |b| format!("/repos/{a}/items/{b}")));
        assert_eq!(shapes(paths, 5), [one("/repos/{n:int}/items/{n2:int}", 36)]);
    }
}
