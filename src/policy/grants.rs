//! Who may do what, in grants instead of text: for people who write a policy, compare two, or ask one. Nothing here
//! decides anything; everything asks a [`Decider`].
//!
//! [`asks()`] makes requests of which each stands for all that the given policies can't tell apart by method and path,
//! and [`classes`] callers of which each stands for all that their whos can't tell apart. What holds for every pair
//! of them holds for every request.

mod asked;
mod asks;
mod diff;
mod people;
mod reads;
mod words;

use super::decide::{Decider, Verdict};
use super::subject::Subject;
use super::table::Policy;
use crate::model::ids::ListenerId;
use crate::model::refusal::Refusal;
use crate::model::target::Asked;

pub use asked::{Except, RouteTerms, WhatCan, WhoCan, WhoMay, might_be, opens, what_can, who_can};
pub(crate) use asks::{Ask, Rule, asks};
pub use diff::{Change, Diff, Edit, Weight, diff};
pub use people::{Class, Known, Person, classes};
pub(crate) use words::hours_of;

/// What a policy says to a request, as far as it is about who may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// The route of that id allows it, as far as what the route reads of query, headers and body is as it wants.
    Granted { route: String, by: String, at: String },
    /// Why not: the refusal, the route that matched, the forbid that decided, and the hours of that.
    Denied {
        refusal: Refusal,
        route: Option<String>,
        by: Option<String>,
        at: Option<String>,
        hours: Option<String>,
    },
}

impl Said {
    pub(crate) fn granted(&self) -> bool {
        matches!(self, Said::Granted { .. })
    }

    /// The route that matched.
    pub(crate) fn route(&self) -> Option<&str> {
        match self {
            Said::Granted { route, .. } => Some(route),
            Said::Denied { route, .. } => route.as_deref(),
        }
    }

    /// Why it is denied, in words.
    pub(crate) fn why(&self) -> String {
        match self {
            Said::Granted { route, at, .. } => format!("route {route} allows it ({at})"),
            Said::Denied { refusal: Refusal::NoRoute, .. } => "no route matches".to_owned(),
            Said::Denied { refusal: Refusal::NotAllowed, route: Some(route), at: Some(at), .. } => {
                format!("route {route} does not allow it ({at})")
            }
            Said::Denied { refusal: Refusal::Forbidden, by: Some(by), at: Some(at), hours, .. } => {
                match hours {
                    Some(hours) => format!("{by} forbids it ({at}) when it is {hours}"),
                    None => format!("{by} forbids it ({at})"),
                }
            }
            Said::Denied { refusal, .. } => refusal.text().to_owned(),
        }
    }
}

/// Asks for `ask` as `subject`.
pub(crate) fn say(decider: &Decider, listener: ListenerId, subject: &Subject, ask: &Ask) -> Said {
    let asked = Asked { method: &ask.method, target: &ask.target, upgrade: None };
    // What has its time is asked for in that time.
    match decider.decide_at(listener, subject, &asked, None) {
        Verdict::Allow(permit) => Said::Granted {
            route: permit.route_id().to_owned(),
            by: permit.by().to_owned(),
            at: permit.at().to_owned(),
        },
        // What it reads is a condition on the request.
        Verdict::Read(unread) => Said::Granted {
            route: unread.route_id().to_owned(),
            by: unread.by().to_owned(),
            at: unread.at().to_owned(),
        },
        Verdict::Deny(denial) => {
            let text = |text: Option<std::sync::Arc<str>>| text.map(|text| text.to_string());
            let (route, by, at) = (text(denial.route), text(denial.by), text(denial.at));
            match route {
                // The caller may: what is missing is something of this request that another one can have.
                Some(route) if is_condition(denial.refusal) => {
                    Said::Granted { route, by: by.unwrap_or_default(), at: at.unwrap_or_default() }
                }
                route => {
                    let hours = by.as_deref().and_then(|by| hours(decider.policy(), by));
                    Said::Denied { refusal: denial.refusal, route, by, at, hours }
                }
            }
        }
    }
}

/// The hours of a forbid that has some.
fn hours(policy: &Policy, by: &str) -> Option<String> {
    let id = by.strip_prefix("forbid.")?;
    let forbid = policy.forbids.iter().find(|forbid| forbid.id == id)?;
    (!forbid.when.is_empty()).then(|| hours_of(policy, &forbid.when))
}

/// Whether a refusal is about the request's query, headers or body, which is asked after the caller was found allowed.
fn is_condition(refusal: Refusal) -> bool {
    matches!(
        refusal,
        Refusal::QueryName
            | Refusal::QueryTwice
            | Refusal::QuerySyntax
            | Refusal::QueryValue
            | Refusal::QueryLacks
            | Refusal::UpgradeRefused
    )
}

/// The listener of that name.
pub(crate) fn listener_of(policy: &Policy, name: &str) -> Option<ListenerId> {
    let place = policy.listeners.iter().position(|listener| listener.name == name)?;
    u16::try_from(place).ok().map(ListenerId)
}

/// `policy.toml:42`, as records have it.
pub(crate) fn place(policy: &Policy, line: u32) -> String {
    policy.place(line)
}
