//! Every step of a decision, also those that did not decide.

use std::borrow::Cow;
use std::sync::Arc;

use super::keys::Looked;
use super::{Explained, Key, explain_by, place};
use crate::model::caller::Caller;
use crate::model::ids::{BackendId, ListenerId};
use crate::model::target::Asked;
use crate::model::time::Timestamp;
use crate::policy::decide::{Decider, Verdict};
use crate::policy::grants::hours_of;
use crate::policy::hidden::{answered_as, other_readings};
use crate::policy::pattern::{Pattern, Piece, Rank};
use crate::policy::subject::Subject;
use crate::policy::table::{Forbid, Named, Policy, Route};
use crate::policy::times::{Moment, Times, Zones};

/// What a policy does with one request, step by step.
#[derive(Debug, Clone)]
pub struct Steps {
    /// The routes that match, the most specific one, which is taken, first.
    pub routes: Vec<RouteStep>,
    /// The forbids that match.
    pub forbids: Vec<ForbidStep>,
    /// The whos that the route allows.
    pub whos: Vec<WhoStep>,
    /// What allowed it, and where that stands.
    pub by: Option<(String, String)>,
    /// What rules in shadow mode would have done, where that differs.
    pub shadow: Option<String>,
    /// What comes of it, and what is missing.
    pub explained: Explained,
}

/// A route that matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteStep {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub at: String,
    /// The pattern of it that matches, as written.
    pub pattern: String,
    /// Whether it only records what it would have done.
    pub shadow: bool,
}

/// A forbid that matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForbidStep {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub at: String,
    /// The pattern of it that matches, as written.
    pub pattern: String,
    /// Whether it binds this caller.
    pub binds: bool,
    /// The hours at which it holds, where it has some, and whether it is one of them.
    pub hours: Option<(String, bool)>,
    /// Whether it only records what it would have done.
    pub shadow: bool,
}

/// A who that the route allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhoStep {
    /// `who.operators`.
    pub who: String,
    /// Where the route names it.
    pub at: String,
    /// What of it does not hold; empty: it is this caller.
    pub keys: Vec<Key>,
    /// Whether it holds.
    pub holds: bool,
}

/// Says what each rule does with a request at a time.
pub fn steps(
    policy: &Arc<Policy>,
    listener: ListenerId,
    caller: &Caller,
    asked: &Asked<'_>,
    at: Timestamp,
) -> Steps {
    let decider = Decider::new(Arc::clone(policy));
    let subject = decider.recognise(listener, caller);
    let (id, by, shadow) = match decider.decide_at(listener, &subject, asked, Some(at)) {
        Verdict::Allow(permit) => {
            let by = (permit.by().to_owned(), permit.at().to_owned());
            (Some(permit.route_id().to_owned()), Some(by), permit.shadow().map(str::to_owned))
        }
        Verdict::Read(unread) => {
            let by = (unread.by().to_owned(), unread.at().to_owned());
            (Some(unread.route_id().to_owned()), Some(by), None)
        }
        Verdict::Deny(denial) => {
            (denial.route.map(|id| id.to_string()), None, denial.shadow.map(|shadow| shadow.to_string()))
        }
    };
    let taken = policy.routes.iter().find(|route| Some(&route.id) == id.as_ref());
    let looked = Looked::at(policy, caller);
    let whos = taken.map_or([].as_slice(), |route| &route.allow);
    let whos = whos.iter().filter_map(|named| who_step(policy, &subject, &looked, named)).collect();
    Steps {
        routes: routes(policy, listener, asked, taken),
        forbids: forbids(policy, (listener, at), &subject, asked, taken),
        whos,
        by,
        shadow,
        explained: explain_by(&decider, listener, caller, asked, Some(at)),
    }
}

fn who_step(policy: &Policy, subject: &Subject, looked: &Looked<'_>, named: &Named) -> Option<WhoStep> {
    let who = super::who(policy, named)?;
    let holds = subject.holds.has(named.who);
    let keys = if holds { Vec::new() } else { looked.keys(policy, who) };
    Some(WhoStep { who: format!("who.{}", who.name), at: place(policy, named.line), keys, holds })
}

/// The shape in which a pattern of this method, or of the one that counts as well, takes the path: plain or behind its
/// backend's prefix.
fn shape<'p>(
    policy: &Policy,
    backend: BackendId,
    pattern: &'p Pattern,
    asked: &Asked<'_>,
    also: Option<&str>,
    takes: impl Fn(&[Piece]) -> bool,
) -> Option<Cow<'p, [Piece]>> {
    if pattern.method().is_some_and(|method| method != asked.method.as_str() && Some(method) != also) {
        return None;
    }
    if pattern.is_star() || asked.target.is_star() {
        let both = pattern.is_star() && asked.target.is_star();
        return both.then(|| Cow::Borrowed(pattern.pieces()));
    }
    let prefix = policy.backend(backend).and_then(|backend| backend.version_prefix.as_ref());
    let shapes = std::iter::once(Cow::Borrowed(pattern.pieces()))
        .chain(prefix.map(|prefix| Cow::Owned(prefix.before(pattern))));
    shapes.into_iter().find(|pieces| takes(pieces))
}

fn routes(policy: &Policy, listener: ListenerId, asked: &Asked<'_>, taken: Option<&Route>) -> Vec<RouteStep> {
    let segments: Vec<&str> = asked.target.segments().map(|segment| segment.text).collect();
    let mut found: Vec<(bool, Vec<Rank>, bool, RouteStep)> = Vec::new();
    for route in policy.routes.iter().filter(|route| route.on.contains(&listener)) {
        for pattern in &route.matches {
            let takes = |pieces: &[Piece]| Piece::take_all(pieces, &segments);
            let Some(pieces) = shape(policy, route.to, pattern, asked, None, takes) else { continue };
            let ranks = pieces.iter().map(Piece::rank).collect();
            let step = RouteStep {
                id: route.id.clone(),
                at: place(policy, route.line),
                pattern: pattern.to_string(),
                shadow: route.shadow,
            };
            let is_taken = taken.is_some_and(|taken| taken.id == route.id);
            found.push((is_taken, ranks, pattern.method().is_some(), step));
        }
    }
    // The one that the decider took goes first, whatever is thought here of the others.
    found.sort_by(|a, b| (b.0, &b.1, b.2).cmp(&(a.0, &a.1, a.2)));
    found.into_iter().map(|(.., step)| step).collect()
}

fn forbids(
    policy: &Policy,
    (listener, instant): (ListenerId, Timestamp),
    subject: &Subject,
    asked: &Asked<'_>,
    taken: Option<&Route>,
) -> Vec<ForbidStep> {
    let Some(taken) = taken else { return Vec::new() };
    let zones = Zones::of(policy);
    let mut found = Vec::new();
    for forbid in &policy.forbids {
        let there = forbid.on.as_ref().is_none_or(|on| on.contains(&listener))
            && forbid.to.as_ref().is_none_or(|to| to.contains(&taken.to));
        let patterns = taking(policy, forbid, taken.to, asked);
        let Some(pattern) = patterns.first().filter(|_| there) else { continue };
        let bound = |named: &Named| subject.binds.has(named.who);
        found.push(ForbidStep {
            id: forbid.id.clone(),
            at: place(policy, forbid.line),
            pattern: pattern.to_string(),
            binds: forbid.who.as_ref().is_none_or(|whos| whos.iter().any(bound)),
            hours: Times::of(None, &forbid.when, &zones)
                .map(|times| (hours_of(policy, &forbid.when), times.forbid(Moment::At(instant)))),
            shadow: forbid.shadow,
        });
    }
    found
}

/// The patterns of a forbid that take this request where it would go to that backend, in any of its readings.
pub(in crate::policy) fn taking<'p>(
    policy: &Policy,
    forbid: &'p Forbid,
    backend: BackendId,
    asked: &Asked<'_>,
) -> Vec<&'p Pattern> {
    let others = other_readings(asked.target.path());
    let paths = std::iter::once(asked.target.path()).chain(others.iter().map(String::as_str));
    let readings: Vec<Vec<&str>> =
        paths.map(|path| path.strip_prefix('/').unwrap_or(path).split('/').collect()).collect();
    let takes = |pattern: &&Pattern| {
        readings.iter().any(|segments| {
            shape(policy, backend, pattern, asked, answered_as(asked.method.as_str()), |pieces| {
                let lower: Vec<Piece> = pieces.iter().map(Piece::in_lower_case).collect();
                Piece::take_all(pieces, segments) || Piece::take_all(&lower, segments)
            })
            .is_some()
        })
    };
    forbid.matches.iter().filter(takes).collect()
}
