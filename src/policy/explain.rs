//! What would have had to be different: for people who look at a denial afterwards. Nothing here decides anything.

mod path;
mod reads;

use std::fmt;
use std::sync::Arc;

use super::decide::{Decider, Verdict};
use super::subject::Seen;
use super::table::{Forbid, Named, NamespaceRule, Policy, Route, Who};
use crate::model::caller::{Attr, Caller, Uid};
use crate::model::ids::ListenerId;
use crate::model::refusal::Refusal;
use crate::model::target::Asked;

pub use path::Apart;
pub use reads::explain_part;

/// Routes that are told where none matched.
const NEAREST: usize = 3;

/// What a policy says to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// Why it is denied; `None`: it is allowed.
    pub refusal: Option<Refusal>,
    /// What stands between the request and an allow, the least of it first. Empty where there is nothing to say: the
    /// request is allowed, or no route is near it.
    pub misses: Vec<Miss>,
}

/// One thing that stands between a request and an allow; shown, it is a sentence without its full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Miss {
    /// The route allows this who, and the caller is not it.
    Who {
        /// `who.operators`.
        who: String,
        /// Where the route names it: `policy.toml:42`.
        at: String,
        /// The keys of it that do not hold.
        keys: Vec<Key>,
    },
    /// It is forbidden, whatever routes allow.
    Forbidden {
        /// `forbid.ci-never-execs`.
        by: String,
        /// Where it stands.
        at: String,
        /// The whos of it that bind the caller; empty where it binds everyone.
        whom: Vec<String>,
    },
    /// The route does not take this name in a query.
    Query {
        /// The route's id.
        route: String,
        /// Where it stands.
        at: String,
        /// The name.
        name: String,
        /// Those that it takes.
        takes: Vec<String>,
    },
    /// Something of query, head or body is not as the route takes it.
    Part {
        /// All that there is to say.
        told: String,
    },
    /// The route does not take this upgrade.
    Upgrade {
        /// The route's id.
        route: String,
        /// Where it stands.
        at: String,
        /// Protocols that it takes.
        takes: Vec<String>,
    },
    /// No route matches, and this one nearly does.
    Route {
        /// Its id.
        route: String,
        /// Where it stands.
        at: String,
        /// What it matches, as written.
        pattern: String,
        /// What the request differs in.
        apart: Vec<Apart>,
        /// Whether it allows this caller.
        allows: bool,
    },
}

/// One condition of a who that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// What it asks for: `user 0 (root)`, `one of the groups 997, 998`, `namespace host`.
    pub wants: String,
    /// What the caller is; `None` where that is not known.
    pub has: Option<String>,
}

/// Says what this policy makes of a request, and what would have to be different for it to be allowed.
pub fn explain(policy: &Arc<Policy>, listener: ListenerId, caller: &Caller, asked: &Asked<'_>) -> Explained {
    explain_by(&Decider::new(Arc::clone(policy)), listener, caller, asked)
}

/// As [`explain`], where the policy has its matchers already.
pub fn explain_by(decider: &Decider, listener: ListenerId, caller: &Caller, asked: &Asked<'_>) -> Explained {
    let policy = decider.policy();
    let subject = decider.recognise(listener, caller);
    let denial = match decider.decide(listener, &subject, asked) {
        Verdict::Allow(_) | Verdict::Read(_) => return Explained { refusal: None, misses: Vec::new() },
        Verdict::Deny(denial) => denial,
    };
    let seen = Seen::of(caller);
    let route = denial.route.as_deref().and_then(|id| policy.routes.iter().find(|route| route.id == *id));
    let misses = match (denial.refusal, route) {
        (Refusal::NotAllowed, Some(route)) => whos(policy, &seen, caller, route),
        (Refusal::Forbidden, _) => {
            let id = denial.by.as_deref().and_then(|by| by.strip_prefix("forbid."));
            let found = policy.forbids.iter().find(|forbid| Some(forbid.id.as_str()) == id);
            found.map(|forbid| forbidden(policy, &seen, forbid)).into_iter().collect()
        }
        (Refusal::QueryName, Some(route)) => queries(policy, route, asked),
        (Refusal::UpgradeRefused, Some(route)) => {
            let (id, at, takes) = (route.id.clone(), place(policy, route.line), route.upgrade.clone());
            vec![Miss::Upgrade { route: id, at, takes }]
        }
        (Refusal::NoRoute, _) => nearest(policy, &seen, listener, asked),
        (refusal, Some(route)) => {
            let part = denial.part.as_deref().unwrap_or_default();
            explain_part(policy, &route.id, refusal, part)
                .map(|told| Miss::Part { told })
                .into_iter()
                .collect()
        }
        _ => Vec::new(),
    };
    Explained { refusal: Some(denial.refusal), misses }
}

/// `policy.toml:42`, as records have it.
fn place(policy: &Policy, line: u32) -> String {
    format!("{}:{line}", policy.file.rsplit('/').next().unwrap_or(&policy.file))
}

fn who<'p>(policy: &'p Policy, named: &Named) -> Option<&'p Who> {
    policy.whos.get(usize::from(named.who.0))
}

/// Each who that the route allows; those first of which the least is missing.
fn whos(policy: &Policy, seen: &Seen, caller: &Caller, route: &Route) -> Vec<Miss> {
    let mut misses: Vec<(usize, Miss)> = Vec::new();
    for named in &route.allow {
        let Some(who) = who(policy, named) else { continue };
        let keys = keys(policy, seen, caller, who);
        let name = format!("who.{}", who.name);
        misses.push((keys.len(), Miss::Who { who: name, at: place(policy, named.line), keys }));
    }
    misses.sort_by_key(|(missing, _)| *missing);
    misses.into_iter().map(|(_, miss)| miss).collect()
}

/// The conditions of a who that are not known to hold, each asked alone.
fn keys(policy: &Policy, seen: &Seen, caller: &Caller, who: &Who) -> Vec<Key> {
    let alone = Who { name: String::new(), uids: None, groups: Vec::new(), namespace: None };
    let fails = |one: &Who| !seen.is(one, NamespaceRule::Any).allows();
    let credentials = &caller.credentials;
    let mut keys = Vec::new();
    if let Some(uids) = &who.uids
        && fails(&Who { uids: Some(uids.clone()), ..alone.clone() })
    {
        let named = |uid: &Uid| match policy.user_name(*uid) {
            Some(name) => format!("{uid} ({name})"),
            None => uid.to_string(),
        };
        let wants = one_of("user", "users", uids.iter().map(named));
        keys.push(Key { wants, has: credentials.uid.known().map(|uid| format!("user {}", named(uid))) });
    }
    for groups in &who.groups {
        if fails(&Who { groups: vec![groups.clone()], ..alone.clone() }) {
            let wants = one_of("group", "groups", groups.iter().map(ToString::to_string));
            let has = match (&credentials.gid, &credentials.groups) {
                (Attr::Known(gid), Attr::Known(more)) => {
                    let mut all: Vec<_> = more.iter().chain([gid]).collect();
                    all.sort_unstable();
                    all.dedup();
                    let all: Vec<String> = all.into_iter().map(ToString::to_string).collect();
                    Some(format!("in {}", all.join(", ")))
                }
                _ => None,
            };
            keys.push(Key { wants, has });
        }
    }
    // What was not written means the host's, for an allow.
    let rule = who.namespace.unwrap_or(NamespaceRule::Host);
    if fails(&Who { namespace: Some(rule), ..alone }) {
        let wants = if rule == NamespaceRule::Other {
            "a namespace other than the host's"
        } else {
            "the host's namespace"
        };
        let has = caller.namespace.known().map(|it| format!("in the namespace {}", it.name()));
        keys.push(Key { wants: wants.to_owned(), has });
    }
    keys
}

fn one_of(one: &str, many: &str, names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    match names.as_slice() {
        [name] => format!("{one} {name}"),
        _ => format!("one of the {many} {}", names.join(", ")),
    }
}

fn forbidden(policy: &Policy, seen: &Seen, forbid: &Forbid) -> Miss {
    let binds =
        |named: &&Named| who(policy, named).is_some_and(|who| seen.is(who, NamespaceRule::Any).forbids());
    let whos = forbid.who.iter().flatten().filter(binds);
    let whom = whos.filter_map(|named| Some(format!("who.{}", who(policy, named)?.name))).collect();
    Miss::Forbidden { by: format!("forbid.{}", forbid.id), at: place(policy, forbid.line), whom }
}

/// Each name in the query that the route does not take.
fn queries(policy: &Policy, route: &Route, asked: &Asked<'_>) -> Vec<Miss> {
    let takes = route.query.clone().unwrap_or_default();
    let strange = asked.target.query_pairs().filter(|(name, _)| takes.iter().all(|known| known != name));
    strange
        .map(|(name, _)| Miss::Query {
            route: route.id.clone(),
            at: place(policy, route.line),
            name: name.to_owned(),
            takes: takes.clone(),
        })
        .collect()
}

/// The routes that nearly match, each by the pattern of it that does best.
fn nearest(policy: &Policy, seen: &Seen, listener: ListenerId, asked: &Asked<'_>) -> Vec<Miss> {
    let segments: Vec<&str> = asked.target.segments().map(|segment| segment.text).collect();
    let listeners = |ids: &[ListenerId]| {
        let names = ids.iter().filter_map(|id| policy.listener(*id)).map(|known| known.name.clone());
        names.collect::<Vec<_>>().join(", ")
    };
    let mut found = Vec::new();
    for route in policy.routes.iter().filter(|route| !route.shadow) {
        let prefix = policy.backend(route.to).and_then(|backend| backend.version_prefix.as_ref());
        let ways = route.matches.iter().filter_map(|pattern| {
            path::compare(pattern, prefix, asked.method.as_str(), &segments).map(|way| (way, pattern))
        });
        let Some(((mut cost, mut apart), pattern)) = ways.min_by_key(|((cost, _), _)| *cost) else {
            continue;
        };
        if !route.on.contains(&listener) {
            cost += path::OTHER;
            apart.push(Apart::Listener { is: listeners(&[listener]), wants: listeners(&route.on) });
        }
        if cost > path::FAR + u32::try_from(segments.len()).unwrap_or(u32::MAX - path::FAR) {
            continue;
        }
        let allows =
            |named: &Named| who(policy, named).is_some_and(|who| seen.is(who, NamespaceRule::Host).allows());
        let allows = route.allow.iter().any(allows);
        let (id, at) = (route.id.clone(), place(policy, route.line));
        found.push((cost, Miss::Route { route: id, at, pattern: pattern.to_string(), apart, allows }));
    }
    found.sort_by_key(|(cost, _)| *cost);
    found.into_iter().take(NEAREST).map(|(_, miss)| miss).collect()
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Miss::Who { who, at, keys } => {
                write!(f, "{who} ({at}) asks for ")?;
                for (number, Key { wants, has }) in keys.iter().enumerate() {
                    f.write_str(if number > 0 { ", and for " } else { "" })?;
                    match has {
                        Some(has) => write!(f, "{wants} where the caller is {has}")?,
                        None => write!(f, "{wants} where the caller's is not known")?,
                    }
                }
                Ok(())
            }
            Miss::Forbidden { by, at, whom } if whom.is_empty() => {
                write!(f, "{by} ({at}) forbids it to everyone, whatever routes allow")
            }
            Miss::Forbidden { by, at, whom } => {
                write!(f, "{by} ({at}) forbids it to {}, whatever routes allow", whom.join(", "))
            }
            Miss::Query { route, at, name, takes } => {
                write!(f, "route {route} ({at}) does not take \"{name}\" in its query, {}", Takes(takes))
            }
            Miss::Part { told } => f.write_str(told),
            Miss::Upgrade { route, at, takes } => {
                write!(f, "route {route} ({at}) does not take that upgrade, {}", Takes(takes))
            }
            Miss::Route { route, at, pattern, apart, allows } => {
                write!(f, "route {route} ({at}) matches {pattern}: ")?;
                for (number, apart) in apart.iter().enumerate() {
                    write!(f, "{}{apart}", if number > 0 { ", " } else { "" })?;
                }
                let but =
                    if *allows { "it allows this caller" } else { "it does not allow this caller either" };
                write!(f, "; {but}")
            }
        }
    }
}

/// What is taken instead.
struct Takes<'a>(&'a [String]);

impl fmt::Display for Takes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("and no other"),
            names => write!(f, "but {}", names.join(", ")),
        }
    }
}
