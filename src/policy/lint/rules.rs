//! Findings about routes and forbids, and about what no rule names.

use std::collections::{BTreeMap, BTreeSet};

use super::{Found, Lint};
use crate::model::ids::{BackendId, ListenerId};
use crate::model::refusal::Refusal;
use crate::model::time::Timestamp;
use crate::policy::coverage::coverage;
use crate::policy::decide::Decider;
use crate::policy::diagnostics::{Span, quoted};
use crate::policy::draft::Draft;
use crate::policy::grants::{Ask, Class, Rule, Said, asks, say};
use crate::policy::subject::Subject;
use crate::policy::table::{Address, BackendKind, Forbid, Named, Policy, Route, WhoId};

/// What happens to all requests of all callers.
#[derive(Default)]
struct Seen {
    /// Patterns that requests get to.
    reached: BTreeSet<(usize, usize)>,
    /// Names in an `allow` that some request is granted by.
    live: BTreeSet<(usize, WhoId)>,
    /// Forbids that take something from somebody.
    forbids: BTreeSet<usize>,
    /// By the route that takes a request and the wider one: who misses it, and such a request.
    overlaps: BTreeMap<(usize, usize), (BTreeSet<WhoId>, String)>,
    /// Of some listener not every request was looked at.
    partial: bool,
}

pub(super) fn find(draft: &Draft, decider: &Decider, classes: &[Class], found: &mut Found) {
    let policy = &draft.policy;
    let mut seen = Seen::default();
    for (number, listener) in (0..).zip(&policy.listeners) {
        let id = ListenerId(number);
        let asks = asks(&[policy], &listener.name);
        seen.partial |= !asks.whole;
        let subjects: Vec<Subject> =
            classes.iter().map(|class| decider.recognise(id, &class.caller)).collect();
        for ask in &asks.all {
            seen.take(policy, decider, id, &subjects, ask);
        }
    }
    // What was not looked at may be what a rule is there for.
    if !seen.partial {
        tell_routes(draft, &seen, found);
        tell_forbids(draft, &seen, found);
    }
    tell_rest(draft, found);
}

impl Seen {
    fn take(&mut self, policy: &Policy, decider: &Decider, on: ListenerId, subjects: &[Subject], ask: &Ask) {
        for subject in subjects {
            let said = say(decider, on, subject, ask);
            let Some(id) = said.route() else { continue };
            let Some(place) = policy.routes.iter().position(|route| route.id == *id) else { continue };
            let Some(route) = policy.routes.get(place) else { continue };
            // Within a route it makes no difference which of its patterns is taken.
            let mine = ask.hits.iter().filter(|hit| hit.rule == Rule::Route(place));
            self.reached.extend(mine.map(|hit| (place, hit.pattern)));
            let mine = || route.allow.iter().filter(|named| subject.holds.has(named.who));
            match &said {
                Said::Granted { .. } => self.live.extend(mine().map(|named| (place, named.who))),
                Said::Denied { refusal: Refusal::Forbidden, by, .. } => {
                    let by = by.as_deref().and_then(|by| by.strip_prefix("forbid."));
                    if mine().next().is_some() {
                        self.forbids
                            .extend(policy.forbids.iter().position(|forbid| Some(forbid.id.as_str()) == by));
                    }
                }
                Said::Denied { refusal: Refusal::NotAllowed, .. } => {
                    self.overlaps_of(policy, place, route, subject, ask);
                }
                Said::Denied { .. } => {}
            }
            // The first forbid that binds decides, and another one that does is no less there for that.
            for hit in &ask.hits {
                let Rule::Forbid(number) = hit.rule else { continue };
                let binds = |forbid: &Forbid| {
                    forbid.to.as_ref().is_none_or(|to| to.contains(&route.to))
                        && forbid
                            .who
                            .as_ref()
                            .is_none_or(|whos| whos.iter().any(|who| subject.binds.has(who.who)))
                };
                if mine().next().is_some() && policy.forbids.get(number).is_some_and(binds) {
                    self.forbids.insert(number);
                }
            }
        }
    }

    /// Wider routes that would have allowed it.
    fn overlaps_of(&mut self, policy: &Policy, place: usize, taken: &Route, subject: &Subject, ask: &Ask) {
        for hit in &ask.hits {
            let Rule::Route(wide) = hit.rule else { continue };
            let Some(route) = policy.routes.get(wide).filter(|_| wide != place) else { continue };
            let missing = route.allow.iter().map(|named| named.who);
            let missing: Vec<WhoId> = missing
                .filter(|who| subject.holds.has(*who) && !taken.allow.iter().any(|named| named.who == *who))
                .collect();
            if !missing.is_empty() {
                let (whos, _) =
                    self.overlaps.entry((place, wide)).or_insert_with(|| (BTreeSet::new(), ask.shown()));
                whos.extend(missing);
            }
        }
    }
}

fn id_span(draft: &Draft, route: usize) -> Span {
    let written = draft.written.routes.get(route);
    written.and_then(|route| route.id.as_ref()).map(|id| id.span).unwrap_or_default()
}

fn tell_routes(draft: &Draft, seen: &Seen, found: &mut Found) {
    let policy = &draft.policy;
    for (place, route) in policy.routes.iter().enumerate().filter(|(_, route)| !route.shadow) {
        let written = draft.written.routes.get(place);
        let dead: Vec<usize> =
            (0..route.matches.len()).filter(|pattern| !seen.reached.contains(&(place, *pattern))).collect();
        if dead.len() == route.matches.len() {
            let message = "no request gets to this route: others take all that it matches";
            found.add(Lint::UnreachableRoute, id_span(draft, place), message);
            continue;
        }
        for pattern in dead {
            let spans = written.and_then(|route| route.matches.as_ref());
            let span = spans.and_then(|matches| matches.value.get(pattern)).map(|text| text.span);
            let message = "no request gets to this pattern: others take all that it matches";
            found.add(Lint::UnreachablePattern, span.unwrap_or_default(), message);
        }
        for (number, Named { who, .. }) in route.allow.iter().enumerate() {
            if !seen.live.contains(&(place, *who)) {
                let spans = written.and_then(|route| route.allow.as_ref());
                let span = spans.and_then(|allow| allow.value.get(number)).map(|name| name.span);
                let message = "forbids win over all that this name is allowed here";
                found.add(Lint::CancelledAllow, span.unwrap_or_default(), message);
            }
        }
    }
    for ((taken, wide), (whos, such_as)) in &seen.overlaps {
        let names: Vec<String> = whos
            .iter()
            .filter_map(|who| policy.whos.get(usize::from(who.0)))
            .map(|who| quoted(&who.name))
            .collect();
        let wide = policy.routes.get(*wide).map(|route| route.id.as_str()).unwrap_or_default();
        let message = format!(
            "this route takes requests such as {} from the wider {}, which allows {} and this one does not",
            quoted(such_as),
            quoted(wide),
            names.join(", ")
        );
        found.add(Lint::Overlap, id_span(draft, *taken), message);
    }
}

fn tell_forbids(draft: &Draft, seen: &Seen, found: &mut Found) {
    for (place, forbid) in draft.policy.forbids.iter().enumerate().filter(|(_, forbid)| !forbid.shadow) {
        let span = draft.written.forbids.get(place).and_then(|forbid| forbid.id.as_ref()).map(|id| id.span);
        if !seen.forbids.contains(&place) {
            let whom = if forbid.who.is_some() { " to those whom it binds" } else { "" };
            let message = format!("no route allows what this forbids{whom}");
            found.add(Lint::IdleForbid, span.unwrap_or_default(), message);
        }
    }
}

fn tell_rest(draft: &Draft, found: &mut Found) {
    let (policy, written) = (&draft.policy, &draft.written);
    for (place, _) in policy.routes.iter().enumerate().filter(|(_, route)| route.shadow) {
        found.add(Lint::Shadow, id_span(draft, place), "this route decides nothing: it is in shadow mode");
    }
    let now = Timestamp::now();
    for (place, route) in policy.routes.iter().enumerate() {
        if let Some(until) = route.until.filter(|until| *until <= now) {
            found.add(Lint::Expired, id_span(draft, place), format!("this route ended at {until}"));
        }
    }
    for (forbid, written) in policy.forbids.iter().zip(&written.forbids).filter(|(forbid, _)| forbid.shadow) {
        let span = written.id.as_ref().map(|id| id.span).unwrap_or_default();
        found.add(
            Lint::Shadow,
            span,
            format!("{} forbids nothing: it is in shadow mode", quoted(&forbid.id)),
        );
    }
    let untested = coverage(draft);
    let routes: Vec<&str> = untested
        .iter()
        .filter(|rule| !rule.touched)
        .filter_map(|rule| rule.rule.strip_prefix("route "))
        .collect();
    let routes: Vec<&str> = routes.into_iter().filter(|rule| !rule.contains(" allows ")).collect();
    if let Some(first) = routes.first().and_then(|id| policy.routes.iter().position(|route| route.id == *id))
    {
        const SHOWN: usize = 8;
        let shown = routes.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
        let more = match routes.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let all = policy.routes.iter().filter(|route| !route.shadow).count();
        let message = format!("no test touches {} of {all} routes: {shown}{more}", routes.len());
        found.add(Lint::Untested, id_span(draft, first), message);
    }
    for ((number, who), written) in (0..).zip(&policy.whos).zip(&written.whos) {
        if !policy.names_who(WhoId(number)) {
            let message = format!("no rule names {}", quoted(&who.name));
            found.add(Lint::UnusedWho, written.name.span, message);
        }
    }
    for ((number, backend), written) in (0..).zip(&policy.backends).zip(&written.backends) {
        let id = BackendId(number);
        if !policy.routes.iter().any(|route| route.to == id) {
            let message = format!("no route leads to {}", quoted(&backend.name));
            found.add(Lint::UnusedBackend, written.name.span, message);
        }
        if let BackendKind::Proxy { address: Address::Unix(_), owner: None, .. } = &backend.kind {
            let message = format!(
                "whoever can put a socket there is {}: its owner is not looked at",
                quoted(&backend.name)
            );
            found.add(Lint::BackendOwner, written.name.span, message);
        }
    }
}
