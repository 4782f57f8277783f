//! One policy, asked: who may this, and what may that caller.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::asks::{Ask, Rule, asks};
use super::people::{Class, Known, Person, classes};
use super::{Said, listener_of, place, say};
use crate::model::caller::Caller;
use crate::model::ids::ListenerId;
use crate::model::method::Method;
use crate::model::target::Target;
use crate::policy::decide::Decider;
use crate::policy::subject::Subject;
use crate::policy::table::{Listener, Named, Policy, Route};

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
    /// What of it is refused all the same: a request, and why.
    pub except: Vec<(String, String)>,
}

impl RouteTerms {
    fn of(policy: &Policy, route: &Route) -> RouteTerms {
        let written = conditions(policy, route).into_iter().filter(|condition| condition.written);
        RouteTerms {
            id: route.id.clone(),
            at: place(policy, route.line),
            to: policy.backend(route.to).map(|backend| backend.name.clone()).unwrap_or_default(),
            conditions: written.map(|Condition { name, value, .. }| (name, value.to_string())).collect(),
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
    let mut can = WhoCan { route: None, whos: Vec::new(), refused: Vec::new() };
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

/// Whether some of a pattern is granted, and what of it is refused: a request, and why.
type Part = (bool, Vec<(String, String)>);

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
                if !except.iter().any(|(_, known)| *known == why) {
                    except.push((ask.shown(), why));
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
