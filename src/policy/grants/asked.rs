//! One policy, asked: who may this, and what may that caller.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::asks::{Ask, Rule, asks};
use super::people::{Class, Known, Person, classes};
use super::{Said, listener_of, place, say};
use crate::model::caller::{Attr, Caller};
use crate::model::ids::ListenerId;
use crate::model::method::Method;
use crate::model::refusal::Refusal;
use crate::model::target::{Asked, Target};
use crate::model::time::Timestamp;
use crate::policy::decide::Decider;
use crate::policy::explain::taking;
use crate::policy::snapshot::Daemon;
use crate::policy::subject::Subject;
use crate::policy::table::{Listener, Named, Policy, Route, WhoId};

use super::words::{Condition, conditions, of_who};

/// Who may one request.
#[derive(Debug, Clone)]
pub struct WhoCan {
    /// The route that matches; `None`: none does, so nobody may.
    pub route: Option<RouteTerms>,
    /// Each who that the route allows, in the order of the file.
    pub whos: Vec<WhoMay>,
    /// Callers whom the route allows and something else refuses: who, and why.
    pub refused: Vec<(String, String)>,
    /// Whether the route grants it to anybody, known here or not.
    pub any: bool,
}

/// A route as it is told: its id, its place, what it asks besides.
#[derive(Debug, Clone)]
pub struct RouteTerms {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub at: String,
    /// The backend's name.
    pub to: String,
    /// Each as `query: all, limit`; those that are written alone.
    pub conditions: Vec<(&'static str, String)>,
    /// It has ended: nobody may any more.
    pub ended: bool,
}

/// A who that a route allows.
#[derive(Debug, Clone)]
pub struct WhoMay {
    /// `who.operators`.
    pub who: String,
    /// Where the route names it.
    pub at: String,
    /// Whom it means, in words.
    pub means: String,
    /// Known users that it holds for and that may.
    pub users: Vec<String>,
}

/// A pattern that a caller may ask for.
#[derive(Debug, Clone)]
pub struct WhatCan {
    /// The route that grants it.
    pub route: RouteTerms,
    /// As written.
    pub pattern: String,
    /// By which who, and where the route names it.
    pub by: (String, String),
    /// What of it is refused all the same.
    pub except: Vec<Except>,
}

/// A part of a pattern that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Except {
    /// The pattern of the forbid that takes it, as written; `None` where no forbid does.
    pub pattern: Option<String>,
    /// A request.
    pub such_as: String,
    /// Why.
    pub why: String,
}

impl RouteTerms {
    fn of(policy: &Policy, route: &Route) -> RouteTerms {
        let written = conditions(policy, route).into_iter().filter(|condition| condition.written);
        RouteTerms {
            id: route.id.clone(),
            at: place(policy, route.line),
            to: policy.backend(route.to).map(|backend| backend.name.clone()).unwrap_or_default(),
            conditions: written.map(|Condition { name, value, .. }| (name, value.to_string())).collect(),
            ended: route.until.is_some_and(|until| until <= Timestamp::now()),
        }
    }
}

/// Who may ask for this on that listener.
pub fn who_can(
    policy: &Arc<Policy>,
    known: &Known,
    listener: ListenerId,
    method: Method,
    target: Target,
) -> WhoCan {
    let decider = Decider::new(Arc::clone(policy));
    let ask = Ask { method, target, hits: Vec::new() };
    let mut can = WhoCan { route: None, whos: Vec::new(), refused: Vec::new(), any: false };
    let mut users: Vec<(&Person, Subject, Said)> = Vec::new();
    for person in &known.users {
        let subject = decider.recognise(listener, &person.caller());
        let said = say(&decider, listener, &subject, &ask);
        users.push((person, subject, said));
    }
    let classes = classes(&[&decider], known);
    let said = |class: &Class| say(&decider, listener, &decider.recognise(listener, &class.caller), &ask);
    let Some(id) = classes.first().and_then(|class| said(class).route().map(str::to_owned)) else {
        return can;
    };
    let Some(route) = policy.routes.iter().find(|route| route.id == id) else { return can };
    can.route = Some(RouteTerms::of(policy, route));
    for Named { who: id, line } in &route.allow {
        let Some(who) = policy.whos.get(usize::from(id.0)) else { continue };
        let may = users.iter().filter(|(_, subject, said)| said.granted() && subject.holds.has(*id));
        can.whos.push(WhoMay {
            who: format!("who.{}", who.name),
            at: place(policy, *line),
            means: of_who(policy, who, known),
            users: may.map(|(person, ..)| person.name.clone()).collect(),
        });
    }
    for class in &classes {
        let said = said(class);
        let subject = decider.recognise(listener, &class.caller);
        can.any |= said.granted();
        if !said.granted() && granting(policy, route, &subject).is_some() {
            let labels: Vec<&str> =
                std::iter::once(&class.label).chain(&class.also).map(String::as_str).collect();
            can.refused.push((labels.join(", "), said.why()));
        }
    }
    can
}

/// The first of the route's whos that holds for this caller, and where the route names it.
fn granting(policy: &Policy, route: &Route, subject: &Subject) -> Option<(String, String)> {
    let Named { who, line } = route.allow.iter().find(|named| subject.holds.has(named.who))?;
    let name = &policy.whos.get(usize::from(who.0))?.name;
    Some((format!("who.{name}"), place(policy, *line)))
}

/// Whether a listener's mode lets this caller connect to it (`unix(7)`: that takes the permission to write).
pub fn opens(listener: &Listener, daemon: Daemon, caller: &Caller) -> bool {
    let owner = listener.owner_uid.unwrap_or(daemon.uid);
    let group = listener.owner_gid.unwrap_or(daemon.gid);
    match &caller.credentials.uid {
        // CAP_DAC_OVERRIDE is not asked for permissions (`capabilities(7)`).
        Attr::Known(uid) if uid.raw() == 0 => true,
        Attr::Known(uid) if *uid == owner => listener.mode & 0o200 != 0,
        _ if caller.credentials.in_group(group).allows() => listener.mode & 0o020 != 0,
        _ => listener.mode & 0o002 != 0,
    }
}

/// Whos that would hold for this caller if what is not known of it spoke for it, with what they ask for in words.
pub fn might_be(policy: &Arc<Policy>, known: &Known, caller: &Caller) -> Vec<(String, String)> {
    let decider = Decider::new(Arc::clone(policy));
    let holds = decider.recognise(ListenerId(0), caller).holds;
    let (best, _) = decider.at_best(caller);
    let whos = (0..).zip(&policy.whos).filter(|(number, _)| {
        let id = WhoId(*number);
        best.has(id) && !holds.has(id) && policy.names_who(id)
    });
    whos.map(|(_, who)| (format!("who.{}", who.name), of_who(policy, who, known))).collect()
}

/// Whether some of a pattern is granted, and what of it is refused.
type Part = (bool, Vec<Except>);

/// The patterns of the forbid that decided which take this request.
fn forbid_patterns(policy: &Policy, said: &Said, ask: &Ask, route: usize) -> Vec<String> {
    let Said::Denied { refusal: Refusal::Forbidden, by: Some(by), .. } = said else { return Vec::new() };
    let forbid = policy.forbids.iter().find(|forbid| by.strip_prefix("forbid.") == Some(&forbid.id));
    let (Some(forbid), Some(route)) = (forbid, policy.routes.get(route)) else { return Vec::new() };
    let asked = Asked { method: &ask.method, target: &ask.target, upgrade: None };
    taking(policy, forbid, route.to, &asked).into_iter().map(ToString::to_string).collect()
}

/// What this caller may on a listener, in the order of the file, and whether that is all.
pub fn what_can(policy: &Arc<Policy>, listener: &Listener, caller: &Caller) -> (Vec<WhatCan>, bool) {
    let Some(id) = listener_of(policy, &listener.name) else { return (Vec::new(), true) };
    let decider = Decider::new(Arc::clone(policy));
    let subject = decider.recognise(id, caller);
    let asks = asks(&[policy], &listener.name);
    // By route and pattern.
    let mut found: BTreeMap<(usize, usize), Part> = BTreeMap::new();
    for ask in &asks.all {
        let said = say(&decider, id, &subject, ask);
        let Some(route) = said.route().and_then(|id| policy.routes.iter().position(|route| route.id == id))
        else {
            continue;
        };
        let Some(pattern) = ask.pattern_of(0, Rule::Route(route)) else { continue };
        let (granted, except) = found.entry((route, pattern)).or_default();
        match &said {
            Said::Granted { .. } => *granted = true,
            Said::Denied { .. } => {
                let why = said.why();
                let forbids = forbid_patterns(policy, &said, ask, route);
                let patterns: Vec<Option<String>> =
                    if forbids.is_empty() { vec![None] } else { forbids.into_iter().map(Some).collect() };
                for pattern in patterns {
                    if !except.iter().any(|known| known.why == why && known.pattern == pattern) {
                        except.push(Except { pattern, such_as: ask.shown(), why: why.clone() });
                    }
                }
            }
        }
    }
    let granted = found.into_iter().filter(|(_, (granted, _))| *granted);
    let whats = granted.filter_map(|((route, pattern), (_, except))| {
        let route = policy.routes.get(route)?;
        let pattern = route.matches.get(pattern)?.to_string();
        let by = granting(policy, route, &subject)?;
        Some(WhatCan { route: RouteTerms::of(policy, route), pattern, by, except })
    });
    (whats.collect(), asks.whole)
}
