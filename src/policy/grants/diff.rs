//! What changes between two policies, in grants: who may do what that was refused before, and the other way round.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value as Json;

use super::asks::{Ask, Rule, asks};
use super::people::{Known, classes};
use super::words::{conditions, hours_of, limits};
use super::{Said, listener_of, place, say};
use crate::policy::decide::Decider;
use crate::policy::table::{Forbid, Listener, Policy, Route};

/// What changes from one policy to another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diff {
    /// What callers may who might not before.
    pub gains: Vec<Change>,
    /// What they might and may no longer.
    pub losses: Vec<Change>,
    /// What changes besides: conditions of grants, forbids, listeners, backends, settings.
    pub edits: Vec<Edit>,
    /// Whether every request was looked at; only of very large policies not all are.
    pub whole: bool,
}

/// Something that some callers may or may no longer do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Who: `group docker-ops`, `user ci`, `everyone else`.
    pub who: Vec<String>,
    /// The listener's name.
    pub on: String,
    /// The route that grants it, in the policy that does.
    pub route: String,
    /// Where that stands: `policy.toml:42`.
    pub at: String,
    /// What it matches, as written.
    pub pattern: String,
    /// A request that changes, where not all that the pattern matches do.
    pub such_as: Option<String>,
    /// Why the other policy denies it.
    pub why: String,
}

/// A setting that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Whose: `route containers-list`, `listen.docker`.
    pub what: String,
    /// Its key; empty where the whole is new or gone.
    pub key: String,
    /// What it was; `None`: it was not there.
    pub old: Option<String>,
    /// What it is; `None`: it is no longer there.
    pub new: Option<String>,
    /// What that means for callers.
    pub weight: Weight,
}

/// What a change means for callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Somebody may more, or it can't be said that nobody does.
    Gain,
    /// Somebody may less.
    Loss,
    /// It is not about what callers may, or is among the gains and losses already.
    Neither,
}

impl Diff {
    /// Whether nothing changes that has to do with callers, listeners, backends or settings.
    pub fn is_empty(&self) -> bool {
        self.gains.is_empty() && self.losses.is_empty() && self.edits.is_empty()
    }

    /// Whether somebody may more than before, or that can't be ruled out.
    pub fn gives(&self) -> bool {
        !self.whole || !self.gains.is_empty() || self.edits.iter().any(|edit| edit.weight == Weight::Gain)
    }
}

/// What changes from `old` to `new`. Rules in shadow mode decide nothing, so they grant nothing here.
pub fn diff(old: &Arc<Policy>, new: &Arc<Policy>, known: &Known) -> Diff {
    let mut diff = Diff { whole: true, ..Diff::default() };
    let both: [&Policy; 2] = [old, new];
    let names: BTreeSet<&str> =
        both.iter().flat_map(|policy| &policy.listeners).map(|listener| listener.name.as_str()).collect();
    let deciders = [Decider::new(Arc::clone(old)), Decider::new(Arc::clone(new))];
    let classes = classes(&deciders.each_ref(), known);
    let mut terms: BTreeMap<(String, String), ()> = BTreeMap::new();
    for name in names {
        let asks = asks(&both, name);
        diff.whole &= asks.whole;
        let (mut gains, mut losses) = (Tally::new(new, 1), Tally::new(old, 0));
        for class in &classes {
            let sides = deciders.each_ref().map(|decider| {
                let listener = listener_of(decider.policy(), name)?;
                Some((decider, listener, decider.recognise(listener, &class.caller)))
            });
            for ask in &asks.all {
                let [was, is] = sides.each_ref().map(|side| {
                    side.as_ref().map(|(decider, listener, subject)| say(decider, *listener, subject, ask))
                });
                gains.take(&class.label, &class.also, ask, is.as_ref(), was.as_ref());
                losses.take(&class.label, &class.also, ask, was.as_ref(), is.as_ref());
                if let (Some(Said::Granted { route: a, .. }), Some(Said::Granted { route: b, .. })) =
                    (was, is)
                {
                    terms.insert((a, b), ());
                }
            }
        }
        diff.gains.extend(gains.told(name));
        diff.losses.extend(losses.told(name));
    }
    for (a, b) in terms.keys() {
        edit_terms(old, new, (a, b), &mut diff.edits);
    }
    edit_modes(old, new, &mut diff.edits);
    edit_forbids(old, new, &mut diff.edits);
    edit_limits(old, new, &mut diff.edits);
    edit_listeners(old, new, known, &mut diff.edits);
    edit_backends(old, new, &mut diff.edits);
    edit_settings(old, new, &mut diff.edits);
    diff
}

/// How many requests are granted, how many of them the other denies, and one of those with the reason.
type Found = (usize, usize, Option<(String, String)>);

/// Grants of one policy on one listener that the other does not have.
struct Tally<'p> {
    policy: &'p Policy,
    /// Its place among the two.
    side: usize,
    routes: HashMap<&'p str, usize>,
    /// By route, pattern and class.
    found: BTreeMap<(usize, usize, String), Found>,
    also: HashMap<String, Vec<String>>,
}

impl<'p> Tally<'p> {
    fn new(policy: &'p Policy, side: usize) -> Tally<'p> {
        let routes =
            policy.routes.iter().enumerate().map(|(place, route)| (route.id.as_str(), place)).collect();
        Tally { policy, side, routes, found: BTreeMap::new(), also: HashMap::new() }
    }

    fn take(&mut self, label: &str, also: &[String], ask: &Ask, mine: Option<&Said>, other: Option<&Said>) {
        let Some(Said::Granted { route, .. }) = mine else { return };
        let Some(place) = self.routes.get(route.as_str()).copied() else { return };
        let pattern = ask.pattern_of(self.side, Rule::Route(place)).unwrap_or(0);
        let key = (place, pattern, label.to_owned());
        let (granted, lost, first) = self.found.entry(key).or_default();
        *granted += 1;
        if other.is_none_or(|other| !other.granted()) {
            *lost += 1;
            let why = || other.map_or_else(|| "there is no such listener".to_owned(), Said::why);
            first.get_or_insert_with(|| (ask.shown(), why()));
            if !also.is_empty() && !self.also.contains_key(label) {
                self.also.insert(label.to_owned(), also.to_vec());
            }
        }
    }

    fn told(self, on: &str) -> Vec<Change> {
        let mut changes: Vec<Change> = Vec::new();
        let mut places: HashMap<(usize, usize, bool, String), usize> = HashMap::new();
        for ((route, pattern, who), (granted, lost, first)) in self.found {
            let (Some((such_as, why)), Some(meant)) = (first, self.policy.routes.get(route)) else {
                continue;
            };
            let part = lost < granted;
            let mut labels = self.also.get(&who).cloned().unwrap_or_default();
            labels.insert(0, who);
            match places.get(&(route, pattern, part, why.clone())).and_then(|place| changes.get_mut(*place)) {
                Some(change) => change.who.extend(labels),
                None => {
                    places.insert((route, pattern, part, why.clone()), changes.len());
                    changes.push(Change {
                        who: labels,
                        on: on.to_owned(),
                        route: meant.id.clone(),
                        at: place(self.policy, meant.line),
                        pattern: meant.matches.get(pattern).map(ToString::to_string).unwrap_or_default(),
                        such_as: part.then_some(such_as),
                        why,
                    });
                }
            }
        }
        changes
    }
}

fn route_of<'p>(policy: &'p Policy, id: &str) -> Option<&'p Route> {
    policy.routes.iter().find(|route| route.id == id)
}

/// What two routes say differently that answer the same request to the same caller.
fn edit_terms(old: &Policy, new: &Policy, (a, b): (&str, &str), edits: &mut Vec<Edit>) {
    let (Some(was), Some(is)) = (route_of(old, a), route_of(new, b)) else { return };
    let what = if a == b { format!("route {b}") } else { format!("route {b}, where {a} was") };
    let to = |policy: &Policy, route: &Route| {
        policy.backend(route.to).map(|backend| backend.name.clone()).unwrap_or_default()
    };
    let (from, into) = (to(old, was), to(new, is));
    let edit = |key: &str, old: String, new: String, weight| Edit {
        what: what.clone(),
        key: key.to_owned(),
        old: Some(old),
        new: Some(new),
        weight,
    };
    if from != into {
        edits.push(edit("to", from, into, Weight::Gain));
    }
    for (was, is) in conditions(old, was).into_iter().zip(conditions(new, is)) {
        // What holds where nothing is written is among the limits.
        if was.value == is.value || (!was.written && !is.written) {
            continue;
        }
        let weight = match (was.value.covers(&is.value), is.value.covers(&was.value)) {
            (true, true) => Weight::Neither,
            (true, false) => Weight::Loss,
            (false, _) => Weight::Gain,
        };
        let (from, into) = (was.value.beside(&is.value), is.value.beside(&was.value));
        // The same is said of more or fewer names, and those are told by themselves.
        if weight != Weight::Neither || from != into {
            edits.push(edit(was.name, from, into, weight));
        }
    }
}

/// Rules that begin or end to decide are told by what they change; those that are in shadow mode, by their names.
fn edit_modes(old: &Policy, new: &Policy, edits: &mut Vec<Edit>) {
    let shadows = |policy: &Policy| {
        let routes =
            policy.routes.iter().filter(|route| route.shadow).map(|route| format!("route {}", route.id));
        let forbids = policy
            .forbids
            .iter()
            .filter(|forbid| forbid.shadow)
            .map(|forbid| format!("forbid {}", forbid.id));
        routes.chain(forbids).collect::<BTreeSet<String>>()
    };
    let (was, is) = (shadows(old), shadows(new));
    let word = |shadow: bool| Some(if shadow { "shadow" } else { "enforce, or gone" }.to_owned());
    for what in was.symmetric_difference(&is) {
        let shadow = is.contains(what);
        let old = if shadow { Some("enforce, or not there".to_owned()) } else { word(true) };
        edits.push(Edit {
            what: what.clone(),
            key: "mode".to_owned(),
            old,
            new: word(shadow),
            weight: Weight::Neither,
        });
    }
}

fn edit_forbids(old: &Policy, new: &Policy, edits: &mut Vec<Edit>) {
    let said = |policy: &Policy, forbid: &Forbid| {
        let matches: Vec<&str> = forbid.matches.iter().map(|pattern| pattern.as_str()).collect();
        let who = forbid.who.as_ref().map_or_else(
            || "everyone".to_owned(),
            |whos| {
                let names = whos.iter().filter_map(|named| policy.whos.get(usize::from(named.who.0)));
                names.map(|who| who.name.as_str()).collect::<Vec<_>>().join(", ")
            },
        );
        let hours = match forbid.when.as_slice() {
            [] => String::new(),
            windows => format!(", {}", hours_of(policy, windows)),
        };
        format!("{} to {who}{hours}", matches.join(", "))
    };
    let table = |policy: &Policy| -> BTreeMap<String, String> {
        let enforced = policy.forbids.iter().filter(|forbid| !forbid.shadow);
        enforced.map(|forbid| (forbid.id.clone(), said(policy, forbid))).collect()
    };
    compare(&table(old), &table(new), "forbid ", edits, |_, _| Weight::Neither);
}

/// What each caller may use, of whos that stay.
fn edit_limits(old: &Policy, new: &Policy, edits: &mut Vec<Edit>) {
    for who in &new.whos {
        let Some(was) = old.whos.iter().find(|was| was.name == who.name) else { continue };
        for (was, is) in limits(was).into_iter().zip(limits(who)) {
            if was.value != is.value {
                edits.push(Edit {
                    what: format!("who.{}", who.name),
                    key: format!("limits.{}", is.name),
                    old: Some(was.value.to_string()),
                    new: Some(is.value.to_string()),
                    weight: if was.value.covers(&is.value) { Weight::Loss } else { Weight::Gain },
                });
            }
        }
    }
}

/// Each entry that is new, gone or other.
fn compare(
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
    before: &str,
    edits: &mut Vec<Edit>,
    weigh: impl Fn(Option<&str>, Option<&str>) -> Weight,
) {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let (was, is) = (old.get(name), new.get(name));
        if was != is {
            let weight = weigh(was.map(String::as_str), is.map(String::as_str));
            let what = format!("{before}{name}");
            edits.push(Edit { what, key: String::new(), old: was.cloned(), new: is.cloned(), weight });
        }
    }
}

fn edit_listeners(old: &Policy, new: &Policy, known: &Known, edits: &mut Vec<Edit>) {
    let rows = |policy: &Policy, listener: &Listener| {
        let owner = |uid| known.user(policy, uid);
        [
            ("path", listener.path.clone()),
            ("owner", listener.owner_uid.map_or_else(|| "the daemon's user".to_owned(), owner)),
            (
                "group",
                listener.owner_gid.map_or_else(|| "the daemon's group".to_owned(), |gid| known.group(gid)),
            ),
            ("mode", format!("{:04o}", listener.mode)),
            ("browsers", listener.browsers.to_string()),
        ]
    };
    for listener in &new.listeners {
        let what = format!("listen.{}", listener.name);
        let Some(was) = old.listeners.iter().find(|was| was.name == listener.name) else {
            let said = format!("{}, mode {:04o}", listener.path, listener.mode);
            edits.push(Edit {
                what,
                key: String::new(),
                old: None,
                new: Some(said),
                weight: Weight::Neither,
            });
            continue;
        };
        for ((key, from), (_, into)) in rows(old, was).into_iter().zip(rows(new, listener)) {
            if from != into {
                // Another owner or group, or more bits of the mode, can open it who could not.
                let weight = match key {
                    "mode" if listener.mode & !was.mode == 0 => Weight::Loss,
                    "browsers" if !listener.browsers => Weight::Loss,
                    "path" => Weight::Neither,
                    _ => Weight::Gain,
                };
                let (what, key) = (what.clone(), key.to_owned());
                edits.push(Edit { what, key, old: Some(from), new: Some(into), weight });
            }
        }
    }
    for was in &old.listeners {
        if !new.listeners.iter().any(|listener| listener.name == was.name) {
            let (what, old) = (format!("listen.{}", was.name), Some(was.path.clone()));
            edits.push(Edit { what, key: String::new(), old, new: None, weight: Weight::Loss });
        }
    }
}

/// What stands behind routes: where that is other, the same grants lead elsewhere.
fn edit_backends(old: &Policy, new: &Policy, edits: &mut Vec<Edit>) {
    for backend in &new.backends {
        let Some(was) = old.backends.iter().find(|was| was.name == backend.name) else { continue };
        let (mut from, mut into) = (BTreeMap::new(), BTreeMap::new());
        flatten("", &json(&was.kind), &mut from);
        flatten("", &json(&backend.kind), &mut into);
        compare(&from, &into, &format!("backend.{}: ", backend.name), edits, |_, _| Weight::Gain);
    }
}

/// Limits and what the daemon does, which nobody's grants depend on.
fn edit_settings(old: &Policy, new: &Policy, edits: &mut Vec<Edit>) {
    let settings = |policy: &Policy| {
        let mut all = BTreeMap::new();
        flatten("limits", &json(&policy.limits), &mut all);
        flatten("daemon", &json(&policy.daemon), &mut all);
        flatten("audit", &json(&policy.audit), &mut all);
        flatten("diagnostics", &json(&policy.diagnostics), &mut all);
        all
    };
    compare(&settings(old), &settings(new), "", edits, |_, _| Weight::Neither);
}

fn json(value: &impl Serialize) -> Json {
    serde_json::to_value(value).unwrap_or_default()
}

/// A value's leaves by their paths.
fn flatten(path: &str, value: &Json, all: &mut BTreeMap<String, String>) {
    fn name(entry: &Json) -> Option<&str> {
        entry.get("name")?.as_str()
    }
    match value {
        Json::Object(object) => {
            for (key, value) in object {
                let path = if path.is_empty() {
                    key.to_lowercase()
                } else {
                    format!("{path}.{}", key.to_lowercase())
                };
                flatten(&path, value, all);
            }
        }
        // What has names is told by them, whatever its place in the list.
        Json::Array(list) if !list.is_empty() && list.iter().all(|it| name(it).is_some()) => {
            for entry in list {
                flatten(&format!("{path}.{}", name(entry).unwrap_or_default()), entry, all);
            }
        }
        Json::String(text) => drop(all.insert(path.to_owned(), text.clone())),
        Json::Null => {}
        other => drop(all.insert(path.to_owned(), other.to_string())),
    }
}
