//! The routes and forbids of a policy as trees, and the journey of one request through them.

mod query;
mod reach;
mod shared;
mod whom;

use std::borrow::Cow;
use std::sync::Arc;

use super::body::Offence;
use super::decide::Denial;
use super::hidden::{Opened, answered_as, first_hidden, opened_at, other_readings};
use super::pattern::{Pattern, Piece};
use super::subject::{Bits, Set, Subject};
use super::table::{Named, Parameter, Policy, Reads, Route, WhoId};
use super::times::{Moment, Times, Zones};
use super::tree::{End, Growing, Tree};
use crate::model::ids::{BackendId, ListenerId};
use crate::model::keeping::{Durability, OnFailure};
use crate::model::refusal::Refusal;
use crate::model::target::{Asked, Target};
use query::Names;
use reach::Reach;
use shared::Shared;
use whom::Allow;

/// On which terms a request may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// What answers it.
    pub backend: BackendId,
    /// Whether idle and total time are lifted.
    pub stream: bool,
    /// Protocols that it may upgrade to, in lower case.
    pub upgrade: Vec<String>,
    /// The largest body in bytes, where it is not the limit of all.
    pub body_max: Option<u64>,
    /// Where its record has to be before its effect.
    pub durability: Durability,
    /// What happens where it can't be recorded.
    pub on_failure: OnFailure,
}

/// A route that allows one caller: a line of "what may I call".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The route's id.
    pub route: Arc<str>,
    /// What it matches, as written.
    pub patterns: Vec<String>,
    /// The query names that it takes; `None`: any.
    pub query: Option<Vec<String>>,
    /// What forbids take from it for this caller, as written.
    pub except: Vec<String>,
    /// What the policy's author says about it.
    pub help: Option<Arc<str>>,
    /// What the command behind it has callers fill in; nothing where there is none.
    pub parameters: Vec<Parameter>,
}

/// One set of rules.
#[derive(Debug)]
pub(super) struct Rules {
    /// One a listener.
    routes_of: Vec<Tree>,
    /// One a backend: a path counts there with that backend's version prefix.
    forbids_of: Vec<Tree>,
    routes: Vec<Arc<RouteRule>>,
    forbids: Vec<ForbidRule>,
    /// Whom the routes of a listener allow, in all and to each backend.
    reach: Vec<Reach>,
    timed_forbids: bool,
}

/// One route, ready to be asked: with the counts of its `Arc` no larger than a line of the cache.
#[derive(Debug)]
pub(super) struct RouteRule {
    allow: Allow,
    /// That of its terms: forbids are asked by it.
    backend: BackendId,
    /// Routes that ask the same share it.
    asks: Arc<Asks>,
    /// What only an answer needs stands apart: deciding does not touch it.
    pub(super) told: Box<Told>,
}

/// What a route asks beside method, path and caller.
#[derive(Debug)]
pub(super) struct Asks {
    /// When it holds; `None`: at any time.
    times: Option<Box<Times>>,
    /// `None`: any.
    query: Option<Names>,
    /// What more it reads; most routes read nothing.
    reads: Option<Reads>,
}

/// What is told about a route.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) id: Arc<str>,
    pub(super) terms: Terms,
    on: Vec<ListenerId>,
    by: Arc<str>,
    at: Arc<str>,
    help: Option<Arc<str>>,
    /// In the order of their whos.
    grants: Box<[(WhoId, Grant)]>,
    /// Names of the query whose values are not to be read in the record.
    pub(super) hides: Arc<[String]>,
    /// The pieces of each pattern that was put into a tree, by its number there; kept only where a capture of
    /// the route takes what others may not.
    shapes: Vec<Vec<Opened>>,
    patterns: Vec<String>,
}

/// One name of an `allow`, as records show it.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) by: Arc<str>,
    pub(super) at: Arc<str>,
}

#[derive(Debug)]
struct ForbidRule {
    by: Arc<str>,
    at: Arc<str>,
    on: Option<Vec<ListenerId>>,
    who: Option<Set>,
    times: Option<Box<Times>>,
    patterns: Vec<String>,
    to: Option<Vec<BackendId>>,
}

/// A route that allows, and the name in its `allow` that does.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) rule: Arc<RouteRule>,
    who: WhoId,
    /// The body that it reads is judged.
    pub(super) judged: bool,
}

impl Found {
    /// What it reads of head and body.
    pub(super) fn reads(&self) -> Option<&Reads> {
        self.rule.reads().filter(|reads| reads.is_of_message())
    }

    /// Whether it reads a body that is not judged yet.
    pub(super) fn reads_body(&self) -> bool {
        !self.judged && self.reads().is_some_and(|reads| reads.json.is_some())
    }

    pub(super) fn grant(&self) -> Option<&Grant> {
        let grants = &self.rule.told.grants;
        let place = grants.binary_search_by_key(&self.who, |(who, _)| *who).ok()?;
        grants.get(place).map(|(_, grant)| grant)
    }
}

impl Rules {
    /// The rules that decide.
    pub(super) fn enforced(policy: &Policy) -> Rules {
        Rules::build(policy, false)
    }

    /// All rules; of two routes that match alike, the one in shadow mode goes first.
    pub(super) fn with_shadows(policy: &Policy) -> Rules {
        Rules::build(policy, true)
    }

    fn build(policy: &Policy, shadows: bool) -> Rules {
        let mut shared = Shared::of(policy);
        let zones = Zones::of(policy);
        let taken: Vec<&Route> = if shadows {
            let (shadow, enforced) = policy.routes.iter().partition(|route| route.shadow);
            let both: (Vec<&Route>, Vec<&Route>) = (shadow, enforced);
            both.0.into_iter().chain(both.1).collect()
        } else {
            policy.routes.iter().filter(|route| !route.shadow).collect()
        };
        let routes: Vec<RouteRule> =
            taken.iter().map(|route| RouteRule::build(policy, route, &mut shared, &zones)).collect();
        // All at once, so that they lie side by side, and what is told of them elsewhere.
        let routes: Vec<Arc<RouteRule>> = routes.into_iter().map(Arc::new).collect();
        let mut routes_of: Vec<Growing> = policy.listeners.iter().map(|_| Growing::new()).collect();
        // Paths behind a version apart from those without: clients ask for the one sort or for the other, and what they
        // ask for then stands close together.
        for prefixed in [false, true] {
            for (number, route) in (0..).zip(&taken) {
                let shapes = shapes(policy, route.to, &route.matches);
                let is_wanted = |(_, (_, pieces)): &(u16, (_, Cow<'_, [Piece]>))| {
                    matches!(pieces, Cow::Owned(_)) == prefixed
                };
                for (shape, (method, pieces)) in (0..).zip(shapes).filter(is_wanted) {
                    for ListenerId(listener) in &route.on {
                        if let Some(tree) = routes_of.get_mut(usize::from(*listener)) {
                            tree.insert(method, &pieces, number, shape);
                        }
                    }
                }
            }
        }
        let mut forbids = Vec::new();
        let mut forbids_of: Vec<Growing> = policy.backends.iter().map(|_| Growing::new()).collect();
        for forbid in policy.forbids.iter().filter(|forbid| shadows || !forbid.shadow) {
            for (number, tree) in (0..).zip(&mut forbids_of) {
                let backend = BackendId(number);
                if forbid.to.as_ref().is_none_or(|to| to.contains(&backend)) {
                    let number = u32::try_from(forbids.len()).unwrap_or(u32::MAX);
                    for (method, pieces) in shapes(policy, backend, &forbid.matches) {
                        tree.insert(method, &pieces, number, 0);
                        let lower: Vec<Piece> = pieces.iter().map(Piece::in_lower_case).collect();
                        if *lower != *pieces {
                            tree.insert(method, &lower, number, 0);
                        }
                    }
                }
            }
            forbids.push(ForbidRule {
                by: format!("forbid.{}", forbid.id).into(),
                at: shared.place(forbid.line),
                on: forbid.on.clone(),
                who: forbid.who.as_ref().map(|who| Set::of(who.iter().map(|named| named.who))),
                times: Times::of(None, &forbid.when, &zones),
                patterns: forbid.matches.iter().map(Pattern::to_string).collect(),
                to: forbid.to.clone(),
            });
        }
        let reach = (0..)
            .zip(&policy.listeners)
            .map(|(number, _)| Reach::of(ListenerId(number), &taken, &routes))
            .collect();
        let timed_forbids = forbids.iter().any(|forbid| forbid.times.is_some());
        let [routes_of, forbids_of] =
            [routes_of, forbids_of].map(|trees| trees.into_iter().map(Growing::grown).collect());
        Rules { routes_of, forbids_of, routes, forbids, reach, timed_forbids }
    }

    /// The journey of one request.
    pub(super) fn judge(
        &self,
        listener: ListenerId,
        subject: &Subject,
        asked: &Asked<'_>,
        moment: Moment<'_>,
    ) -> Result<Found, Denial> {
        let (method, path) = (asked.method.as_str(), asked.target.path());
        let hidden = asked.target.hides();
        let end = self.routes_of.get(usize::from(listener.0)).and_then(|tree| tree.best(method, path));
        let Some((end, rule)) = end.and_then(|end| Some((end, self.routes.get(end.rule as usize)?))) else {
            // A path that hides something is answered alike whether or not there is a route that does not
            // take it.
            let refusal = if hidden {
                first_hidden(asked.target).unwrap_or(Refusal::NoRoute)
            } else {
                Refusal::NoRoute
            };
            return Err(Denial::plain(refusal));
        };
        if hidden {
            rule.takes_hidden(end, asked.target).map_err(|refusal| rule.denial(refusal))?;
        }
        if let Some(forbid) = self.forbidden(listener, subject, rule.backend, asked, moment) {
            let by = (Some(forbid.by.clone()), Some(forbid.at.clone()));
            return Err(Denial { by: by.0, at: by.1, ..rule.denial(Refusal::Forbidden) });
        }
        let who = rule.allow.grants(&subject.holds).ok_or_else(|| rule.denial(Refusal::NotAllowed))?;
        let asks = &*rule.asks;
        if let Some(times) = &asks.times {
            times.allow(moment).map_err(|refusal| rule.denial(refusal))?;
        }
        if let (Some(names), Some(query)) = (&asks.query, asked.target.query()) {
            names.take(query, asked.target).map_err(|refusal| rule.denial(refusal))?;
        }
        if let Some(reads) = asks.reads.as_ref().filter(|reads| reads.is_of_query()) {
            reads.judge_query(asked.target).map_err(|offence| rule.offended(offence))?;
        }
        if let Some(protocol) = asked.upgrade
            && !rule.told.terms.upgrade.iter().any(|known| known.eq_ignore_ascii_case(protocol))
        {
            return Err(rule.denial(Refusal::UpgradeRefused));
        }
        Ok(Found { rule: rule.clone(), who, judged: false })
    }

    /// The first forbid, in the order of the file, that binds this caller here.
    fn forbidden(
        &self,
        listener: ListenerId,
        subject: &Subject,
        backend: BackendId,
        asked: &Asked<'_>,
        moment: Moment<'_>,
    ) -> Option<&ForbidRule> {
        let tree = self.forbids_of.get(usize::from(backend.0))?;
        let (method, path) = (asked.method.as_str(), asked.target.path());
        let mut first: Option<(u32, &ForbidRule)> = None;
        let mut look = |number: u32| {
            if let Some(forbid) = self.forbids.get(number as usize)
                && forbid.binds(listener, &subject.binds, moment)
                && first.is_none_or(|(known, _)| number < known)
            {
                first = Some((number, forbid));
            }
        };
        let mut read = |path: &str| {
            for method in std::iter::once(method).chain(answered_as(method)) {
                tree.all(method, path, &mut look);
            }
        };
        read(path);
        // Nothing else makes a path say something else.
        let upper = path.bytes().any(|byte| byte.is_ascii_uppercase());
        if asked.target.hides() || path.ends_with('/') || upper {
            other_readings(path).iter().for_each(|other| read(other));
        }
        first.map(|(_, forbid)| forbid)
    }

    /// The name of a query value that a route judges and of which this target has a hash alone.
    #[cfg(feature = "cli")]
    pub(super) fn hashed<'t>(&self, route: &str, target: &'t Target) -> Option<&'t str> {
        let mut rules = self.routes.iter().filter(|rule| *rule.told.id == *route);
        rules.find_map(|rule| rule.reads()?.hashed(target))
    }
}

impl ForbidRule {
    /// Unknown binds: a forbid asks who is not known to be another.
    fn binds(&self, listener: ListenerId, binds: &Bits, moment: Moment<'_>) -> bool {
        self.on.as_ref().is_none_or(|on| on.contains(&listener))
            && self.times.as_ref().is_none_or(|times| times.forbid(moment))
            && self.who.as_ref().is_none_or(|who| who.meets(binds))
    }
}

impl RouteRule {
    fn build<'p>(policy: &'p Policy, route: &'p Route, shared: &mut Shared<'p>, zones: &Zones) -> RouteRule {
        let opens = !route.encoded_slash.is_empty() || !route.path_parameter.is_empty();
        let opened = |piece: &Piece| {
            let named =
                |list: &[String]| piece.name().is_some_and(|name| list.iter().any(|known| known == name));
            Opened {
                rest: matches!(piece, Piece::Rest { .. }),
                encoded_slash: named(&route.encoded_slash),
                path_parameter: named(&route.path_parameter),
            }
        };
        let all = shapes(policy, route.to, &route.matches);
        let shape = |(_, pieces): (_, Cow<'_, [Piece]>)| pieces.iter().map(opened).collect();
        let mut named: Vec<&Named> = route.allow.iter().collect();
        named.sort_by_key(|named| named.who);
        RouteRule {
            allow: Allow::of(&named),
            backend: route.to,
            asks: shared.asks(route, zones),
            told: Box::new(Told {
                id: route.id.as_str().into(),
                terms: Terms {
                    backend: route.to,
                    stream: route.stream,
                    upgrade: route.upgrade.clone(),
                    body_max: route.body_max,
                    durability: route.durability,
                    on_failure: route.on_failure,
                },
                on: route.on.clone(),
                by: format!("route.{}", route.id).into(),
                at: shared.place(route.line),
                help: route.help.as_deref().map(Into::into),
                grants: named.into_iter().map(|named| (named.who, shared.grant(named))).collect(),
                hides: route.reads.record.query.clone().into(),
                shapes: if opens { all.into_iter().map(shape).collect() } else { Vec::new() },
                patterns: route.matches.iter().map(Pattern::to_string).collect(),
            }),
        }
    }

    /// What it reads of query, headers and body.
    pub(super) fn reads(&self) -> Option<&Reads> {
        self.asks.reads.as_ref()
    }

    /// Whether time alone can take its grant back.
    pub(super) fn may_end(&self) -> bool {
        self.asks.times.is_some()
    }

    fn in_time(&self, moment: Moment<'_>) -> bool {
        self.asks.times.as_ref().is_none_or(|times| times.allow(moment).is_ok())
    }

    pub(super) fn denial(&self, refusal: Refusal) -> Denial {
        Denial {
            route: Some(self.told.id.clone()),
            by: Some(self.told.by.clone()),
            at: Some(self.told.at.clone()),
            help: self.told.help.clone(),
            hides: Arc::clone(&self.told.hides),
            ..Denial::plain(refusal)
        }
    }

    /// The denial of a request that holds something which the route does not take.
    pub(super) fn offended(&self, offence: Offence) -> Denial {
        Denial { part: Some(offence.part.into()), ..self.denial(offence.refusal) }
    }

    /// `%2F` and `;` only where the capture that takes the segment opts in.
    fn takes_hidden(&self, end: &End, target: &Target) -> Result<(), Refusal> {
        let shape = self.told.shapes.get(end.pattern as usize).map_or([].as_slice(), Vec::as_slice);
        let segments = target.segments().count();
        for (at, segment) in target.segments().enumerate() {
            let opened = opened_at(shape, at, segments);
            if segment.encoded_slash && !opened.encoded_slash {
                return Err(Refusal::EncodedSlash);
            }
            if segment.semicolon && !opened.path_parameter {
                return Err(Refusal::PathParameter);
            }
            // A backend that decodes before it routes would see `//`.
            if segment.encoded_slash && segment.text.split("%2F").any(str::is_empty) {
                return Err(Refusal::EmptySegment);
            }
        }
        Ok(())
    }
}

/// Each pattern as it stands in a tree: plain, and behind the backend's version prefix.
fn shapes<'p>(
    policy: &Policy,
    backend: BackendId,
    patterns: &'p [Pattern],
) -> Vec<(Option<&'p str>, Cow<'p, [Piece]>)> {
    let prefix = policy.backend(backend).and_then(|backend| backend.version_prefix.as_ref());
    let mut shapes = Vec::with_capacity(patterns.len() * 2);
    for pattern in patterns {
        shapes.push((pattern.method(), Cow::Borrowed(pattern.pieces())));
        if let Some(prefix) = prefix
            && !pattern.is_star()
        {
            shapes.push((pattern.method(), Cow::Owned(prefix.before(pattern))));
        }
    }
    shapes
}
