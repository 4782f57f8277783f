//! What a route reads of query, headers and body, as conditions that can be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::words::{Condition, Value};
use crate::model::json::folded;
use crate::policy::body::{JsonRule, Others, Pointer, Token};
use crate::policy::table::{Field, Reads, Route, Wants};
use crate::policy::value::Kind;

/// What each name has to be, where something is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules {
    each: BTreeMap<String, (Wants, Kind)>,
    reach: Reach,
}

/// What may be there at all: nothing that a rule says of other names takes anything away.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Reach {
    All,
    Names(Vec<String>),
    /// With whether a zero may stand anywhere.
    Pointers(Vec<Pointer>, bool),
}

impl Rules {
    /// Whether `self` takes all that `other` does, as far as these names go.
    pub(crate) fn covers(&self, other: &Rules) -> bool {
        self.each.iter().all(|(name, (wants, kind))| match other.each.get(name) {
            Some((others, is)) => (*wants == Wants::Maybe || wants == others) && covers(kind, is),
            None if *wants == Wants::Maybe => *kind == Kind::Any || !other.reach.has(name),
            None => *wants == Wants::Absent && !other.reach.has(name),
        })
    }

    /// Each name with what is said of it.
    pub(crate) fn entries(&self) -> BTreeSet<String> {
        let told = |(name, (wants, kind)): (&String, &(Wants, Kind))| match wants {
            Wants::Absent => format!("{name} absent"),
            Wants::Required => format!("{name} required, {kind}"),
            Wants::Maybe => format!("{name} {kind}"),
        };
        self.each.iter().map(told).collect()
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries: Vec<String> = self.entries().into_iter().collect();
        f.write_str(if entries.is_empty() { "any" } else { "" })?;
        f.write_str(&entries.join("; "))
    }
}

impl Reach {
    fn has(&self, name: &str) -> bool {
        match self {
            Reach::All => true,
            Reach::Names(names) => names.iter().any(|known| known == name),
            Reach::Pointers(allow, zero) => {
                let meets = |place: Pointer| allow.iter().any(|known| meet(known.tokens(), place.tokens()));
                *zero || Pointer::parse(name).map_or(true, meets)
            }
        }
    }
}

/// Whether two pointers can mean the same place, case apart.
fn meet(a: &[Token], b: &[Token]) -> bool {
    match (a, b) {
        ([Token::Below], [_, ..]) | ([_, ..], [Token::Below]) => true,
        ([Token::Name(a), rest @ ..], [Token::Name(b), others @ ..]) => {
            folded(a) == folded(b) && meet(rest, others)
        }
        ([_, rest @ ..], [_, others @ ..]) => meet(rest, others),
        (a, b) => a.is_empty() && b.is_empty(),
    }
}

/// Whether a kind is known to take all that another does.
fn covers(kind: &Kind, other: &Kind) -> bool {
    match (kind, other) {
        (kind, other) if kind == other => true,
        (Kind::Any, _) | (Kind::Hex(None), Kind::Hex(_)) => true,
        (Kind::Int(None), Kind::Int(Some(range))) => range.least >= 0,
        (Kind::Int(Some(range)), Kind::Int(Some(other))) => {
            range.least <= other.least && other.most <= range.most
        }
        (Kind::OneOf(values), Kind::OneOf(others)) => others.iter().all(|value| values.contains(value)),
        (Kind::Text(_), Kind::OneOf(values)) => values.iter().all(|value| kind.takes(value)),
        (Kind::Text(text), Kind::Text(other)) => {
            text.set == other.set && text.max >= other.max && (text.empty || !other.empty)
        }
        _ => false,
    }
}

/// Of the query's values and of the header lines.
pub(super) fn of_head(route: &Route) -> [Condition; 2] {
    let rules = |fields: &[Field], fold: bool, reach| {
        let name = |name: &str| if fold { name.to_ascii_lowercase() } else { name.to_owned() };
        let each = fields.iter().map(|it| (name(&it.name), (it.wants, it.kind.clone())));
        Value::Rules(Rules { each: each.collect(), reach })
    };
    let Reads { query, headers, .. } = &route.reads;
    let reach = route.query.clone().map_or(Reach::All, Reach::Names);
    [
        Condition {
            name: "query.values",
            value: rules(query, false, reach),
            written: query.iter().any(|it| it.wants != Wants::Maybe || it.kind != Kind::Any),
        },
        Condition { name: "header", value: rules(headers, true, Reach::All), written: !headers.is_empty() },
    ]
}

/// Of the body, but its size.
pub(super) fn of_body(reads: &Reads) -> Vec<Condition> {
    let condition = |name, value, written| Condition { name, value, written };
    let types = &reads.content_type;
    let value = if types.is_empty() { Value::Any } else { Value::Names(types.iter().cloned().collect()) };
    let mut all = vec![condition("body.content_type", value, !types.is_empty())];
    let names = |list: &[Pointer]| list.iter().map(Pointer::to_string).collect::<BTreeSet<_>>();
    let sorted = |list: &[Pointer]| {
        let mut list = list.to_vec();
        list.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        list
    };
    let Some(JsonRule { allow, others, values, required, null, maps }) = &reads.json else {
        let nothing = Rules { each: BTreeMap::new(), reach: Reach::All };
        all.extend([
            condition("body.json.allow", Value::Any, false),
            condition("body.json.others", Value::Amount(2, "any".to_owned()), false),
            condition("body.json.values", Value::Rules(nothing), false),
            condition("body.json.required", Value::Demands(BTreeSet::new()), false),
            condition("body.json.null", Value::Any, false),
            condition("body.json.maps", Value::Demands(BTreeSet::new()), false),
        ]);
        return all;
    };
    let each = values.iter().map(|(pointer, kind)| (pointer.to_string(), (Wants::Maybe, kind.clone())));
    let reach = Reach::Pointers(allow.clone(), *others == Others::Zero);
    let rules = Rules { each: each.collect(), reach };
    let others = match others {
        Others::Refuse => Value::Amount(0, "refuse".to_owned()),
        Others::Zero => Value::Amount(1, "zero".to_owned()),
    };
    // What may be null alone is let in where nothing allows it, and kept out where something does.
    let nulls = Value::Text { text: Value::Names(names(null)).to_string(), grants: true };
    all.extend([
        condition("body.json.allow", Value::Places(sorted(allow)), true),
        condition("body.json.others", others, true),
        condition("body.json.values", Value::Rules(rules), !values.is_empty()),
        condition("body.json.required", Value::Demands(names(required)), !required.is_empty()),
        condition("body.json.null", nulls, !null.is_empty()),
        condition("body.json.maps", Value::Demands(names(maps)), !maps.is_empty()),
    ]);
    all
}

/// What is recorded of what was read.
pub(super) fn of_record(reads: &Reads) -> Condition {
    let record = &reads.record;
    let mut parts = Vec::new();
    let mut part = |what: &str, names: Vec<String>| {
        if !names.is_empty() {
            parts.push(format!("{what} {}", names.join(", ")));
        }
    };
    part("query", record.query.clone());
    part("headers", record.headers.clone());
    part("body", record.body.iter().map(Pointer::to_string).collect());
    part("plain", record.plain.clone());
    let written = !parts.is_empty();
    let text = if written { parts.join("; ") } else { "none".to_owned() };
    Condition { name: "audit.record", value: Value::Text { text, grants: false }, written }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_covers_what_it_is_known_to_take() {
        let covers = |a: &str, b: &str| covers(&Kind::parse(a).unwrap(), &Kind::parse(b).unwrap());
        for (wide, narrow) in [
            ("any", "int 1..5"),
            ("int", "int 0..5"),
            ("int 0..9", "int 1..5"),
            ("hex", "hex 12"),
            ("one_of a|b", "one_of b"),
        ] {
            assert!(covers(wide, wide) && covers(wide, narrow) && !covers(narrow, wide), "{wide} {narrow}");
        }
        for (one, other) in [("int", "int -1..5"), ("int", "one_of 5"), ("uuid", "hex"), ("bool", "int 0..1")]
        {
            assert!(!covers(one, other) && !covers(other, one), "{one} {other}");
        }
    }

    #[test]
    fn fewer_places_grant_less_however_they_are_written() {
        let places = |texts: &[&str]| {
            let pointers = texts.iter().map(|text| Pointer::parse(text).unwrap());
            Value::Places(pointers.collect())
        };
        for (wide, narrow) in [
            (&["/a/**"][..], &["/a/*"][..]),
            (&["/a/**", "/b"], &["/a/x/y", "/a/z", "/b"]),
            (&["/a/*/c"], &["/a/b/c"]),
            (&["/**"], &["/a", "/b/*"]),
        ] {
            let (wide, narrow) = (places(wide), places(narrow));
            assert!(wide.covers(&narrow) && !narrow.covers(&wide), "{wide} {narrow}");
        }
        // The value itself is not below it, and what is allowed is compared as it is spelt.
        for (one, other) in [("/a/**", "/a"), ("/a/*", "/A/*"), ("/a/b", "/a/*/c")] {
            assert!(!places(&[one]).covers(&places(&[other])), "{one} {other}");
        }
    }

    #[test]
    fn pointers_meet_where_they_can_mean_one_place() {
        let meet =
            |a: &str, b: &str| meet(Pointer::parse(a).unwrap().tokens(), Pointer::parse(b).unwrap().tokens());
        for (a, b) in
            [("/a/b", "/A/b"), ("/a/*", "/a/b"), ("/a/**", "/a/b/c"), ("/**", "/a"), ("/*/b", "/a/*")]
        {
            assert!(meet(a, b) && meet(b, a), "{a} {b}");
        }
        for (a, b) in [("/a", "/a/b"), ("/a/**", "/a"), ("/a/*", "/b/c"), ("/a/*", "/a/b/c")] {
            assert!(!meet(a, b) && !meet(b, a), "{a} {b}");
        }
    }
}
