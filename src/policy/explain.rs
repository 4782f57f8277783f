//! What would have had to be different: for people who look at a denial afterwards. Nothing here decides anything.

mod keys;
mod path;
mod reads;
mod steps;

use std::fmt;
use std::sync::Arc;

use super::decide::{Decider, Verdict};
use super::grants::hours_of;
use super::table::{Forbid, Named, Policy, Route, Who};
use crate::model::caller::Caller;
use crate::model::ids::ListenerId;
use crate::model::refusal::Refusal;
use crate::model::target::Asked;
use crate::model::time::Timestamp;

pub use path::Apart;
pub use reads::explain_part;
pub(super) use steps::taking;
pub use steps::{ForbidStep, RouteStep, Steps, WhoStep, steps};

use keys::Looked;

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
    /// The route allows it, at another time.
    Time {
        /// The route's id.
        route: String,
        /// Where it stands.
        at: String,
        /// When it holds: `only until 2026-12-31T18:00:00Z`.
        holds: String,
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

/// Says what this policy makes of a request now, and what would have to be different for it to be allowed.
pub fn explain(policy: &Arc<Policy>, listener: ListenerId, caller: &Caller, asked: &Asked<'_>) -> Explained {
    explain_at(policy, listener, caller, asked, Some(Timestamp::now()))
}

/// As [`explain`], of another time; `None`: whenever every rule holds that has its time.
pub fn explain_at(
    policy: &Arc<Policy>,
    listener: ListenerId,
    caller: &Caller,
    asked: &Asked<'_>,
    instant: Option<Timestamp>,
) -> Explained {
    explain_by(&Decider::new(Arc::clone(policy)), listener, caller, asked, instant)
}

/// As [`explain_at`], where the policy has its matchers already.
pub fn explain_by(
    decider: &Decider,
    listener: ListenerId,
    caller: &Caller,
    asked: &Asked<'_>,
    instant: Option<Timestamp>,
) -> Explained {
    let policy = decider.policy();
    let subject = decider.recognise(listener, caller);
    let denial = match decider.decide_at(listener, &subject, asked, instant) {
        Verdict::Allow(_) | Verdict::Read(_) => return Explained { refusal: None, misses: Vec::new() },
        Verdict::Deny(denial) => denial,
    };
    let looked = Looked::at(policy, caller);
    let route = denial.route.as_deref().and_then(|id| policy.routes.iter().find(|route| route.id == *id));
    let misses = match (denial.refusal, route) {
        (Refusal::NotAllowed, Some(route)) => whos(policy, &looked, route),
        (Refusal::Forbidden, _) => {
            let id = denial.by.as_deref().and_then(|by| by.strip_prefix("forbid."));
            let found = policy.forbids.iter().find(|forbid| Some(forbid.id.as_str()) == id);
            found.map(|forbid| forbidden(policy, &looked, forbid)).into_iter().collect()
        }
        (Refusal::QueryName, Some(route)) => queries(policy, route, asked),
        (Refusal::UpgradeRefused, Some(route)) => {
            let (id, at, takes) = (route.id.clone(), place(policy, route.line), route.upgrade.clone());
            vec![Miss::Upgrade { route: id, at, takes }]
        }
        (Refusal::Expired | Refusal::OutOfHours, Some(route)) => vec![timed(policy, route)],
        (Refusal::NoRoute, _) => nearest(policy, &looked, listener, asked),
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
    policy.place(line)
}

fn who<'p>(policy: &'p Policy, named: &Named) -> Option<&'p Who> {
    policy.whos.get(usize::from(named.who.0))
}

/// Each who that the route allows; those first of which the least is missing.
fn whos(policy: &Policy, looked: &Looked<'_>, route: &Route) -> Vec<Miss> {
    let mut misses: Vec<(usize, Miss)> = Vec::new();
    for named in &route.allow {
        let Some(who) = who(policy, named) else { continue };
        let keys = looked.keys(policy, who);
        let name = format!("who.{}", who.name);
        misses.push((keys.len(), Miss::Who { who: name, at: place(policy, named.line), keys }));
    }
    misses.sort_by_key(|(missing, _)| *missing);
    misses.into_iter().map(|(_, miss)| miss).collect()
}

fn forbidden(policy: &Policy, looked: &Looked<'_>, forbid: &Forbid) -> Miss {
    let binds = |named: &&Named| looked.binds(named.who);
    let whos = forbid.who.iter().flatten().filter(binds);
    let whom = whos.filter_map(|named| Some(format!("who.{}", who(policy, named)?.name))).collect();
    Miss::Forbidden { by: format!("forbid.{}", forbid.id), at: place(policy, forbid.line), whom }
}

/// When the route holds.
fn timed(policy: &Policy, route: &Route) -> Miss {
    let until = route.until.map(|until| format!("until {until}"));
    let when = (!route.when.is_empty()).then(|| hours_of(policy, &route.when));
    let holds = until.into_iter().chain(when).collect::<Vec<_>>().join(", and ");
    Miss::Time { route: route.id.clone(), at: place(policy, route.line), holds }
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
fn nearest(policy: &Policy, looked: &Looked<'_>, listener: ListenerId, asked: &Asked<'_>) -> Vec<Miss> {
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
        let allows = route.allow.iter().any(|named| looked.allows(named.who));
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
            Miss::Time { route, at, holds } => write!(f, "route {route} ({at}) holds only {holds}"),
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
