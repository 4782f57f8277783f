//! What a route asks of a request besides method and path, and what a who asks of a caller, in words that can be
//! compared.

use std::collections::BTreeSet;
use std::fmt;

use super::Known;
use crate::model::keeping::{Durability, OnFailure};
use crate::policy::quantity::show_size;
use crate::policy::table::{NamespaceRule, Policy, Route, Who};

/// One thing that a route says about what it grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    /// Its key in the file.
    pub(crate) name: &'static str,
    pub(crate) value: Value,
    /// Whether it stands in the file, or is what holds where nothing does.
    pub(crate) written: bool,
}

/// What it is set to, in the order of what grants more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// Everything.
    Any,
    /// One of these.
    Names(BTreeSet<String>),
    /// At most this many bytes.
    Bytes(u64),
    Flag(bool),
    /// It grants nothing, or it can't be said whether it grants more.
    Text {
        text: &'static str,
        grants: bool,
    },
}

impl Value {
    /// Whether `self` grants all that `other` does.
    pub(crate) fn covers(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Any, _) => true,
            (Value::Names(mine), Value::Names(others)) => others.is_subset(mine),
            (Value::Bytes(mine), Value::Bytes(others)) => others <= mine,
            (Value::Flag(mine), Value::Flag(other)) => mine >= other,
            (Value::Text { text, grants }, Value::Text { text: other, .. }) => text == other || !grants,
            _ => false,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Any => f.write_str("any"),
            Value::Names(names) if names.is_empty() => f.write_str("none"),
            Value::Names(names) => f.write_str(&names.iter().cloned().collect::<Vec<_>>().join(", ")),
            Value::Bytes(bytes) => f.write_str(&show_size(*bytes)),
            Value::Flag(flag) => f.write_str(if *flag { "yes" } else { "no" }),
            Value::Text { text, .. } => f.write_str(text),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.value)
    }
}

/// All that a route asks and gives besides method, path and whos; each key is in each list.
pub(crate) fn conditions(policy: &Policy, route: &Route) -> Vec<Condition> {
    let names = |names: &[String]| Value::Names(names.iter().cloned().collect());
    let query = route.query.as_deref().map_or(Value::Any, names);
    let condition = |name, value, written| Condition { name, value, written };
    let durability = match route.durability {
        Durability::Write => "write",
        Durability::Sync => "sync",
    };
    let on_failure = match route.on_failure {
        OnFailure::Deny => "deny",
        OnFailure::Journal => "journal",
    };
    vec![
        condition("query", query, route.query.is_some()),
        condition(
            "body.max",
            Value::Bytes(route.body_max.unwrap_or(policy.limits.body_bytes)),
            route.body_max.is_some(),
        ),
        condition("stream", Value::Flag(route.stream), route.stream),
        condition("upgrade", names(&route.upgrade), !route.upgrade.is_empty()),
        condition("encoded_slash", names(&route.encoded_slash), !route.encoded_slash.is_empty()),
        condition("path_parameter", names(&route.path_parameter), !route.path_parameter.is_empty()),
        condition(
            "audit.durability",
            Value::Text { text: durability, grants: false },
            route.durability != Durability::Write,
        ),
        condition(
            "audit.on_failure",
            Value::Text { text: on_failure, grants: on_failure == "journal" },
            route.on_failure != OnFailure::Deny,
        ),
    ]
}

/// Whom a who means, in words.
pub(crate) fn of_who(policy: &Policy, who: &Who, known: &Known) -> String {
    let mut parts = Vec::new();
    let one_of = |one: &str, names: Vec<String>| match names.as_slice() {
        [name] => format!("{one} {name}"),
        names => format!("{one} {}", names.join(" or ")),
    };
    if let Some(uids) = &who.uids {
        parts.push(one_of("user", uids.iter().map(|uid| known.user(policy, *uid)).collect()));
    }
    for list in &who.groups {
        parts.push(one_of("in group", list.iter().map(|gid| known.group(*gid)).collect()));
    }
    match who.namespace {
        Some(NamespaceRule::Other) => parts.push("in another namespace".to_owned()),
        Some(NamespaceRule::Any) => parts.push("in any namespace".to_owned()),
        Some(NamespaceRule::Host) | None => {}
    }
    parts.join(", ")
}
