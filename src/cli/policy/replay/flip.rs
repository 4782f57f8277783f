//! Requests that another policy would answer otherwise, those together that differ in nothing but their target.

use super::Direction;
use crate::audit::plain::decoded;
use crate::audit::query::Access;
use crate::cli::policy::past::{Judge, SAMPLES, Said};
use crate::cli::recall::Request;
use crate::model::target::Asked;
use crate::policy::{Hindsight, explain_by};

/// What they have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    direction: Direction,
    uid: u32,
    user: Option<String>,
    on: String,
    method: String,
    old: Side,
    new: Side,
}

/// One answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Side {
    route: Option<String>,
    /// The rule that decided.
    by: Option<String>,
    /// Where it stands.
    at: Option<String>,
    refusal: Option<String>,
}

/// Some requests, and why.
#[derive(Debug)]
pub(super) struct Flip {
    key: Key,
    count: u64,
    /// Ids and targets.
    samples: Vec<(String, String)>,
    why: Vec<String>,
}

impl Key {
    pub(super) fn of(access: &Access, request: &Request, said: &Said) -> Key {
        let decision = access.decision.as_ref();
        let text = |text: Option<&str>| text.map(|text| decoded(text).into_owned());
        let old = Side {
            route: text(decision.and_then(|it| it.route())),
            by: text(decision.and_then(|it| it.by())),
            at: text(decision.and_then(|it| it.place())),
            refusal: text(decision.and_then(|it| it.refusal())),
        };
        let owned = |text: &str| Some(text.to_owned());
        let new = match said {
            Said::NoListener => Side { refusal: owned("no-listener"), ..Side::default() },
            Said::Rules(_, Hindsight::Allow { route, by, at }) => {
                Side { route: owned(route), by: owned(by), at: owned(at), refusal: None }
            }
            Said::Rules(_, Hindsight::Deny(denial)) => Side {
                route: denial.route.as_deref().and_then(owned),
                by: denial.by.as_deref().and_then(owned),
                at: denial.at.as_deref().and_then(owned),
                refusal: owned(denial.refusal.code()),
            },
            Said::Rules(_, Hindsight::Unclear(_)) => Side::default(),
        };
        Key {
            direction: if request.allowed { Direction::Lost } else { Direction::Gained },
            uid: access.uid().unwrap_or(u32::MAX),
            user: text(access.user()),
            on: request.on.clone(),
            method: request.method.as_str().to_owned(),
            old,
            new,
        }
    }
}

impl Flip {
    /// Why it is so, by the first request of these.
    pub(super) fn new(key: Key, request: &Request, said: &Said, judge: &Judge) -> Flip {
        let why = match said {
            Said::NoListener => vec![format!("the policy has no listener {}", request.on)],
            Said::Rules(_, Hindsight::Allow { route, by, at }) => {
                vec![format!("{by} ({at}) allows it on route {route}")]
            }
            Said::Rules(listener, Hindsight::Deny(denial)) => {
                let upgrade = request.upgrade.then_some("");
                let asked = Asked { method: &request.method, target: &request.target, upgrade };
                let explained =
                    explain_by(&judge.decider, *listener, &request.caller, &asked, Some(request.at));
                let why: Vec<String> = explained.misses.iter().map(ToString::to_string).collect();
                if why.is_empty() { vec![format!("it is refused as {}", denial.refusal)] } else { why }
            }
            Said::Rules(_, Hindsight::Unclear(_)) => Vec::new(),
        };
        Flip { key, count: 0, samples: Vec::new(), why }
    }

    pub(super) fn add(&mut self, access: &Access, request: &Request) {
        self.count += 1;
        if self.samples.len() < SAMPLES {
            self.samples.push((access.id.to_string(), request.target.as_str().to_owned()));
        }
    }

    pub(super) fn direction(&self) -> Direction {
        self.key.direction
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// For people.
    pub(super) fn lines(&self) -> Vec<String> {
        let Key { direction, uid, user, on, method, old, new } = &self.key;
        let turn = match direction {
            Direction::Gained => "denied -> allowed",
            Direction::Lost => "allowed -> denied",
        };
        let user = user.as_deref().map_or_else(|| format!("uid {uid}"), |user| format!("{user} (uid {uid})"));
        let target = self.samples.first().map_or("", |(_, target)| target);
        let such = if self.count > 1 { "such as " } else { "" };
        let ids: Vec<&str> = self.samples.iter().map(|(id, _)| id.as_str()).collect();
        let more = if self.count > ids.len() as u64 { ", …" } else { "" };
        let mut lines = vec![
            format!("{turn}: {} times, {user} at {on}, {such}{method} {target}", self.count),
            format!("  then  {old}"),
            format!("  now   {new}"),
        ];
        lines.extend(self.why.iter().map(|why| format!("  why   {why}")));
        lines.push(format!("  ids   {}{}", ids.join(", "), more.replace('…', "...")));
        lines
    }

    /// For programs.
    pub(super) fn json(&self) -> serde_json::Value {
        let Key { direction, uid, user, on, method, old, new } = &self.key;
        let side = |side: &Side| serde_json::json!({ "route": side.route, "by": side.by, "at": side.at, "refusal": side.refusal });
        serde_json::json!({
            "flip": match direction { Direction::Gained => "gained", Direction::Lost => "lost" },
            "count": self.count,
            "uid": uid,
            "user": user,
            "on": on,
            "method": method,
            "old": side(old),
            "new": side(new),
            "why": self.why,
            "samples": self.samples.iter()
                .map(|(id, target)| serde_json::json!({ "id": id, "target": target }))
                .collect::<Vec<_>>(),
        })
    }
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.refusal.as_deref().map_or("allowed", |_| "denied"))?;
        if let Some(route) = &self.route {
            write!(f, " on route {route}")?;
        }
        if let (Some(by), at) = (&self.by, &self.at) {
            write!(f, " by {by}")?;
            at.as_ref().map_or(Ok(()), |at| write!(f, " ({at})"))?;
        }
        self.refusal.as_ref().map_or(Ok(()), |refusal| write!(f, ": {refusal}"))
    }
}
