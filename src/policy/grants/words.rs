//! What a route asks of a request besides method and path, and what a who asks of a caller, in words that can be
//! compared.

use std::collections::BTreeSet;
use std::fmt;

use super::Known;
use super::reads::{Rules, of_body, of_head, of_record};
use crate::model::keeping::{Durability, OnFailure};
use crate::model::time::Timestamp;
use crate::policy::body::Pointer;
use crate::policy::quantity::{show_size, show_time};
use crate::policy::table::{NamespaceRule, Policy, Rate, Route, Who, WhoId, Window};

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
    /// Places in a body.
    Places(Vec<Pointer>),
    /// At most this many bytes.
    Bytes(u64),
    Flag(bool),
    /// Up to then.
    Until(Timestamp),
    /// Something that grants the more, the larger it is, as it is written.
    Amount(u128, String),
    /// All of these have to be there: the fewer, the more is granted.
    Demands(BTreeSet<String>),
    /// What names have to be.
    Rules(Rules),
    /// It grants nothing, or it can't be said whether it grants more.
    Text {
        text: String,
        grants: bool,
    },
}

impl Value {
    /// Whether `self` grants all that `other` does.
    pub(crate) fn covers(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Any, _) => true,
            (Value::Names(mine), Value::Names(others)) => others.is_subset(mine),
            (Value::Places(mine), Value::Places(others)) => {
                others.iter().all(|other| mine.iter().any(|pointer| pointer.covers(other)))
            }
            (Value::Bytes(mine), Value::Bytes(others)) => others <= mine,
            (Value::Flag(mine), Value::Flag(other)) => mine >= other,
            (Value::Until(mine), Value::Until(other)) => mine >= other,
            (Value::Amount(mine, _), Value::Amount(other, _)) => mine >= other,
            (Value::Demands(mine), Value::Demands(others)) => mine.is_subset(others),
            (Value::Rules(mine), Value::Rules(other)) => mine.covers(other),
            (Value::Text { text, grants }, Value::Text { text: other, .. }) => text == other || !grants,
            _ => false,
        }
    }

    /// As it is told beside another: of long lists only what the other does not have.
    pub(crate) fn beside(&self, other: &Value) -> String {
        match (self.entries(), other.entries()) {
            (Some(mine), Some(others)) if mine.len().max(others.len()) > SHOWN => {
                let own = mine.difference(&others).map(String::as_str);
                std::iter::once("…").chain(own).collect::<Vec<_>>().join(", ")
            }
            _ => self.to_string(),
        }
    }

    fn entries(&self) -> Option<BTreeSet<String>> {
        match self {
            Value::Names(names) | Value::Demands(names) => Some(names.clone()),
            Value::Places(places) => Some(places.iter().map(Pointer::to_string).collect()),
            Value::Rules(rules) => Some(rules.entries()),
            _ => None,
        }
    }
}

/// Names of a list that are shown where only some of them change.
const SHOWN: usize = 6;

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Any => f.write_str("any"),
            Value::Names(names) | Value::Demands(names) if names.is_empty() => f.write_str("none"),
            Value::Places(places) if places.is_empty() => f.write_str("none"),
            Value::Places(places) => {
                f.write_str(&places.iter().map(Pointer::as_str).collect::<Vec<_>>().join(", "))
            }
            Value::Rules(rules) => rules.fmt(f),
            Value::Names(names) | Value::Demands(names) => {
                f.write_str(&names.iter().cloned().collect::<Vec<_>>().join(", "))
            }
            Value::Bytes(bytes) => f.write_str(&show_size(*bytes)),
            Value::Flag(flag) => f.write_str(if *flag { "yes" } else { "no" }),
            Value::Until(instant) => instant.fmt(f),
            Value::Amount(_, text) => f.write_str(text),
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
    let hours = |windows: &[Window]| match windows {
        [] => Value::Any,
        windows => Value::Text { text: hours_of(policy, windows), grants: true },
    };
    let on_failure = match route.on_failure {
        OnFailure::Deny => "deny",
        OnFailure::Journal => "journal",
    };
    let mut all = vec![condition("query", query, route.query.is_some())];
    all.extend(of_head(route));
    all.push(condition(
        "body.max",
        Value::Bytes(route.body_max.unwrap_or(policy.limits.body_bytes)),
        route.body_max.is_some(),
    ));
    all.extend(of_body(&route.reads));
    all.extend([
        condition("stream", Value::Flag(route.stream), route.stream),
        condition("upgrade", names(&route.upgrade), !route.upgrade.is_empty()),
        condition("encoded_slash", names(&route.encoded_slash), !route.encoded_slash.is_empty()),
        condition("path_parameter", names(&route.path_parameter), !route.path_parameter.is_empty()),
        condition(
            "audit.durability",
            Value::Text { text: durability.to_owned(), grants: false },
            route.durability != Durability::Write,
        ),
        condition(
            "audit.on_failure",
            Value::Text { text: on_failure.to_owned(), grants: on_failure == "journal" },
            route.on_failure != OnFailure::Deny,
        ),
        of_record(&route.reads),
        condition("until", route.until.map_or(Value::Any, Value::Until), route.until.is_some()),
        condition("when", hours(&route.when), !route.when.is_empty()),
    ]);
    all
}

/// `mon, tue from 08:00 to 18:00 in Europe/Berlin`, each window.
pub(crate) fn hours_of(policy: &Policy, windows: &[Window]) -> String {
    let zone =
        |window: &Window| policy.zones.get(usize::from(window.zone)).map_or("", |zone| zone.name.as_str());
    let each = windows.iter().map(|window| format!("{} in {}", window.hours(), zone(window)));
    each.collect::<Vec<_>>().join(", or ")
}

/// What each caller may use, where that is bounded.
pub(crate) fn limits(who: &Who) -> Vec<Condition> {
    let limits = &who.limits;
    let rate = |rate: Rate, amount: String| {
        // A million times what one millisecond has, so that slow rates differ too.
        let per = u128::from(rate.amount) * 1_000_000 / u128::from(rate.per_ms.max(1));
        Value::Amount(per, format!("{amount}/{}", show_time(rate.per_ms)))
    };
    let count = |count: u32| Value::Amount(count.into(), count.to_string());
    let all = [
        ("rate", limits.rate.map(|it| rate(it, it.amount.to_string()))),
        ("burst", limits.burst.map(count)),
        ("concurrent", limits.concurrent.map(count)),
        ("connections", limits.connections.map(count)),
        ("body", limits.body.map(Value::Bytes)),
        ("bytes", limits.bytes.map(|it| rate(it, show_size(it.amount)))),
    ];
    let condition = |(name, value): (&'static str, Option<Value>)| {
        let written = value.is_some();
        Condition { name, value: value.unwrap_or(Value::Any), written }
    };
    all.map(condition).into()
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
    let texts =
        |before: &str, list: &Option<Vec<String>>| list.as_ref().map(|list| one_of(before, list.clone()));
    parts.extend(texts("running", &who.exe));
    if who.exe_trusted {
        parts.push("running a program that only root can change".to_owned());
    }
    parts.extend(texts("of unit", &who.units));
    parts.extend(texts("labelled", &who.labels));
    if let Some(uids) = &who.login_uids {
        parts.push(one_of("logged in as", uids.iter().map(|uid| known.user(policy, *uid)).collect()));
    }
    let names = |ids: &[WhoId]| -> Vec<String> {
        let whos = ids.iter().filter_map(|id| policy.whos.get(usize::from(id.0)));
        whos.map(|who| format!("who.{}", who.name)).collect()
    };
    if let Some(others) = &who.any_of {
        parts.push(one_of("any of", names(others)));
    }
    if !who.except.is_empty() {
        parts.push(format!("but not {}", names(&who.except).join(" or ")));
    }
    let bounds = limits(who).into_iter().filter(|limit| limit.written);
    let bounds: Vec<String> = bounds.map(|limit| format!("{} {}", limit.name, limit.value)).collect();
    if !bounds.is_empty() {
        parts.push(format!("at most: {}", bounds.join(", ")));
    }
    match who.namespace {
        Some(NamespaceRule::Other) => parts.push("in another namespace".to_owned()),
        Some(NamespaceRule::Any) => parts.push("in any namespace".to_owned()),
        Some(NamespaceRule::Host) | None => {}
    }
    parts.join(", ")
}
