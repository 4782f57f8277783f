//! Reads the record into what was seen, and keeps one of each request to try the suggestion with.

use std::collections::{BTreeMap, BTreeSet};

use super::seen::{All, Place, Seen, Whose};
use super::shape::{Gather, Piece};
use crate::audit::plain::decoded;
use crate::audit::query::{Access, Item};
use crate::cli::policy::past::{Judge, Said, Unjudged};
use crate::cli::recall::{Request, hangs_on_message};
use crate::model::caller::{Caller, Credentials};
use crate::model::ids::{ConnectionId, ListenerId};
use crate::model::refusal::Refusal;
use crate::policy::{Hindsight, Lacks, Policy};

/// Different requests that are kept.
const MOST: usize = 200_000;
/// What stands behind requests that the daemon answered itself.
pub(super) const BUILTIN: &str = "peergate-api";

/// Which requests are meant.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) used: bool,
    pub(super) denied: bool,
}

/// One caller of the record.
#[derive(Debug, Clone, Default)]
pub(super) struct Person {
    /// Its name then.
    pub(super) user: Option<String>,
    /// Groups that it was in on each of its connections; `None` before the first.
    pub(super) groups: Option<BTreeSet<u32>>,
}

/// What was read.
pub(super) struct Gathered {
    wanted: Wanted,
    /// The policy at hand.
    pub(super) current: Option<Judge>,
    pub(super) all: All,
    pub(super) people: BTreeMap<Whose, Person>,
    pub(super) unjudged: Unjudged,
    /// One of each, to try the suggestion with.
    pub(super) tries: Vec<(ConnectionId, Request)>,
    tried: BTreeSet<(Whose, Place, Vec<Piece>, Vec<String>)>,
    /// Forbids of the policy at hand that stand in the way.
    pub(super) in_the_way: BTreeSet<String>,
}

impl Gathered {
    pub(super) fn new(wanted: Wanted, current: Option<Judge>) -> Gathered {
        Gathered {
            wanted,
            current,
            all: All::new(),
            people: BTreeMap::new(),
            unjudged: Unjudged::default(),
            tries: Vec::new(),
            tried: BTreeSet::new(),
            in_the_way: BTreeSet::new(),
        }
    }

    pub(super) fn take(&mut self, item: &Item) {
        match item {
            Item::Access(access) => {
                if let Err(why) = self.take_access(access) {
                    self.unjudged.lacks(why, 1);
                }
            }
            other => self.unjudged.take(other),
        }
    }

    fn take_access(&mut self, access: &Access) -> Result<(), &'static str> {
        let request = match Request::of(access) {
            Ok(request) => request,
            Err(lost) => {
                self.unjudged.lost(lost);
                return Ok(());
            }
        };
        if !(if request.allowed { self.wanted.used } else { self.wanted.denied }) {
            return Ok(());
        }
        let refusal = access.decision.as_ref().and_then(|decision| decision.refusal());
        if refusal.is_some_and(hangs_on_message) {
            return Err("it was denied for its header lines or its body, which are not on record");
        }
        if refusal == Some(Refusal::Parameter.code()) {
            return Err("it was denied for a value that its command does not take");
        }
        if !is_name(&request.on) {
            return Err("its listener has no name that a policy could have");
        }
        let Matched { rule, to, like } = self.matched(access, &request)?;
        let whose =
            whose(&request.caller, like).ok_or("the caller's uid is not known, so no rule can name it")?;
        let path = self.path(&to, &request)?;
        request.target.query_names_once().map_err(|_| "a name stands twice in its query")?;
        let query: BTreeSet<String> = request.target.query_pairs().map(|(name, _)| name.to_owned()).collect();
        if !query.iter().all(|name| is_query_name(name)) {
            return Err("a name in its query can't be written in a policy");
        }
        let method = request.method.as_str().to_owned();
        let place = Place { on: request.on.clone(), to, rule, method, length: path.len() };
        let decision = access.decision.as_ref();
        let seen = Seen {
            count: 1,
            whose: BTreeMap::from([(whose.clone(), 1)]),
            query: query.clone(),
            samples: vec![(access.id.to_string(), request.target.as_str().to_owned())],
            refusals: decision.and_then(|it| it.refusal()).map(str::to_owned).into_iter().collect(),
            upgrades: request.upgrade,
        };
        let key = (whose.clone(), place.clone(), path.clone(), query.into_iter().collect());
        if !self.tried.contains(&key) {
            if self.tries.len() >= MOST {
                return Err("there are more different requests than are remembered");
            }
            self.tried.insert(key);
            self.know(whose, access, &request.caller.credentials);
            self.tries.push((access.id.connection, request));
        }
        let paths = self.all.entry(place).or_default();
        match paths.get_mut(&path) {
            Some(known) => known.gather(seen),
            None => {
                paths.insert(path, seen);
            }
        }
        Ok(())
    }

    fn know(&mut self, whose: Whose, access: &Access, credentials: &Credentials) {
        let person = self.people.entry(whose).or_default();
        person.user = access.user().map(|user| decoded(user).into_owned()).or_else(|| person.user.take());
        let supplementary = credentials.groups.known().into_iter().flatten();
        let groups: BTreeSet<u32> =
            supplementary.chain(credentials.gid.known()).map(|gid| gid.raw()).collect();
        person.groups = Some(match person.groups.take() {
            Some(known) => known.intersection(&groups).copied().collect(),
            None => groups,
        });
    }

    /// The route of the policy at hand that takes it, and what answers it.
    fn matched(&mut self, access: &Access, request: &Request) -> Result<Matched, &'static str> {
        let granted = || {
            let backend = access.grants.iter().find_map(|grant| grant.backend())?;
            Some(decoded(backend).into_owned()).filter(|name| is_name(name))
        };
        let own = || request.target.path().starts_with("/_peergate/").then(|| BUILTIN.to_owned());
        let Some(current) = &mut self.current else {
            let to = granted().or_else(own).unwrap_or_else(|| request.on.clone());
            return Ok(Matched { rule: None, to, like: None });
        };
        let mut like = None;
        let (route, by, listener) = match current.of(access.id.connection, request) {
            Said::NoListener => return Err("the policy at hand has no listener of that name"),
            Said::Rules(
                listener,
                Hindsight::Allow { route, by, .. }
                | Hindsight::Unclear(Lacks::Request { route, by, .. } | Lacks::Value { route, by, .. }),
            ) => {
                like = by.strip_prefix("who.").map(str::to_owned);
                (Some(route), None, listener)
            }
            Said::Rules(listener, Hindsight::Deny(denial)) => (denial.route, denial.by, listener),
            Said::Rules(_, Hindsight::Unclear(_)) => {
                return Err("a rule asks for something of the caller that is not on record");
            }
        };
        let forbid = by.as_deref().and_then(|by| by.strip_prefix("forbid."));
        self.in_the_way.extend(forbid.map(str::to_owned));
        let policy = current.policy();
        let known = route.as_deref().and_then(|id| policy.routes.iter().find(|route| route.id == *id));
        let to = match known {
            Some(route) => policy.backend(route.to).map(|backend| backend.name.clone()),
            None => granted()
                .filter(|name| policy.backends.iter().any(|backend| backend.name == *name))
                .or_else(|| most_used(policy, listener)),
        };
        let to = to.ok_or("the policy at hand has no backend on that listener")?;
        Ok(Matched { rule: known.map(|route| route.id.clone()), to, like })
    }

    /// Its path, without the version that counts with and without.
    fn path(&self, to: &str, request: &Request) -> Result<Vec<Piece>, &'static str> {
        if request.target.is_star() {
            return Err("the target `*` is no path");
        }
        if request.target.segments().any(|segment| segment.encoded_slash || segment.semicolon) {
            return Err(
                "its path holds `%2F` or `;`, which only a capture can take: write that route by hand",
            );
        }
        if request
            .target
            .segments()
            .any(|segment| segment.text.contains('*') || segment.text.starts_with(':'))
        {
            return Err(
                "its path holds `*` or begins a segment with `:`, which only a capture can take: write that route by hand",
            );
        }
        let segments = request.target.segments().map(|segment| segment.text.to_owned());
        let mut path: Vec<Piece> = segments.map(Piece::Literal).collect();
        let policy = self.current.as_ref().map(Judge::policy);
        let backend = policy.and_then(|policy| policy.backends.iter().find(|backend| backend.name == to));
        if let Some(prefix) = backend.and_then(|backend| backend.version_prefix.as_ref())
            && path.len() > 1
            && let Some(Piece::Literal(first)) = path.first()
            && prefix.takes(first)
        {
            path.remove(0);
        }
        Ok(path)
    }
}

/// What of the policy at hand a request is like.
struct Matched {
    rule: Option<String>,
    to: String,
    like: Option<String>,
}

/// The backend to which most routes of a listener lead.
fn most_used(policy: &Policy, listener: ListenerId) -> Option<String> {
    let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
    for route in policy.routes.iter().filter(|route| route.on.contains(&listener)) {
        *counts.entry(route.to.0).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count)?;
    policy.backends.get(usize::from(most.0)).map(|backend| backend.name.clone())
}

fn whose(caller: &Caller, like: Option<String>) -> Option<Whose> {
    let uid = caller.credentials.uid.known()?.raw();
    Some(Whose { uid, namespace: caller.namespace.known().copied().map(Into::into), like })
}

/// Whether a policy could have it as a name.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn is_query_name(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~'))
}
