//! Requests of which each stands for all that some policies can't tell apart.
//!
//! All patterns of a listener are followed segment by segment at once, as one would make a deterministic automaton of
//! them. In each state only so many kinds of segments make a difference: each literal, each text around a capture,
//! and what the captures' types tell apart. One path is kept for each state in which some pattern ends.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use super::listener_of;
use crate::model::method::Method;
use crate::model::target::Target;
use crate::policy::pattern::{Pattern, Piece, VersionPrefix};
use crate::policy::table::Policy;
use crate::policy::value::Kind;

/// More paths than these are not followed: what is said then is not said of all requests.
const MOST: usize = 200_000;

/// One request, in place of all that are like it.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) target: Target,
    /// The patterns that match it.
    pub(crate) hits: Vec<Hit>,
}

/// A pattern that matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Hit {
    /// Whose, by its place in the list of policies.
    pub(crate) policy: usize,
    pub(crate) rule: Rule,
    /// By its place in the rule's `match`.
    pub(crate) pattern: usize,
}

/// A rule by its place in the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Rule {
    Route(usize),
    Forbid(usize),
}

/// All requests of a listener that some policies tell apart.
#[derive(Debug, Default)]
pub(crate) struct Asks {
    pub(crate) all: Vec<Ask>,
    /// Whether there are no others.
    pub(crate) whole: bool,
}

impl Ask {
    /// As one would send it.
    pub(crate) fn shown(&self) -> String {
        format!("{} {}", self.method, self.target)
    }

    /// The patterns of a rule that match it.
    pub(crate) fn pattern_of(&self, policy: usize, rule: Rule) -> Option<usize> {
        self.hits.iter().find(|hit| hit.policy == policy && hit.rule == rule).map(|hit| hit.pattern)
    }
}

/// One pattern, behind its backend's prefix or not.
struct Entry<'p> {
    method: Option<&'p str>,
    pieces: Cow<'p, [Piece]>,
    /// Captures that may hold `%2F` or `;`.
    opens: bool,
    hit: Hit,
}

/// A place in a pattern: the next piece, and whether the rest before it may still take more.
type Place = (u32, u8, bool);

/// Where all patterns are after some segments; what that path hides; whether it ends in a slash.
type State = (Vec<Place>, bool, bool);

/// The requests that the routes and forbids of these policies tell apart on the listener of that name. Those that no
/// route of any of them matches are left out.
pub(crate) fn asks(policies: &[&Policy], listener: &str) -> Asks {
    let entries = entries(policies, listener);
    let mut asks = Asks { all: Vec::new(), whole: true };
    star(&entries, &mut asks);
    // What a path hides, or ends in, a forbid may read otherwise: then its method makes a difference too.
    let forbidden: BTreeSet<&str> = entries
        .iter()
        .filter(|entry| matches!(entry.hit.rule, Rule::Forbid(_)))
        .filter_map(|entry| entry.method)
        .collect();
    let places = entries.iter().enumerate().filter(|(_, entry)| !is_star(&entry.pieces));
    let first: Vec<Place> = places.map(|(at, _)| (u32::try_from(at).unwrap_or(u32::MAX), 0, false)).collect();
    let mut seen: HashSet<State> = HashSet::new();
    let mut queue: VecDeque<(Vec<Place>, bool, String)> = VecDeque::from([(first, false, String::new())]);
    while let Some((places, hides, path)) = queue.pop_front() {
        for segment in segments(&entries, &places) {
            let next = step(&entries, &places, &segment);
            let hides = hides || segment.contains("%2F") || segment.contains(';');
            let path = format!("{path}/{segment}");
            // A forbid holds for what is before a slash at the end too, so that makes a difference.
            let mut key = next.clone();
            if segment.is_empty() {
                key.extend(places.iter().map(|(entry, at, rest)| (entry | 1 << 31, *at, *rest)));
            }
            if next.is_empty() || !seen.insert((key, hides, segment.is_empty())) {
                continue;
            }
            if seen.len() > MOST {
                asks.whole = false;
                return asks;
            }
            let more = if hides || segment.is_empty() { &forbidden } else { &BTreeSet::new() };
            end(&entries, &next, &path, more, &mut asks);
            if !segment.is_empty() {
                queue.push_back((next, hides, path));
            }
        }
    }
    asks
}

fn entries<'p>(policies: &[&'p Policy], listener: &str) -> Vec<Entry<'p>> {
    let mut entries = Vec::new();
    for (place, policy) in policies.iter().enumerate() {
        let Some(id) = listener_of(policy, listener) else { continue };
        let prefix = |backend| policy.backend(backend).and_then(|backend| backend.version_prefix.as_ref());
        let mut add = |rule, matches: &'p [Pattern], opens: bool, prefixes: &[&VersionPrefix]| {
            for (number, pattern) in matches.iter().enumerate() {
                let hit = Hit { policy: place, rule, pattern: number };
                // A forbid of `GET` holds for `HEAD` too.
                let head = matches!(rule, Rule::Forbid(_)) && pattern.method() == Some("GET");
                for method in std::iter::once(pattern.method()).chain(head.then_some(Some("HEAD"))) {
                    let pieces = Cow::Borrowed(pattern.pieces());
                    entries.push(Entry { method, pieces, opens, hit });
                    for prefix in prefixes.iter().filter(|_| !pattern.is_star()) {
                        let pieces = Cow::Owned(prefix.before(pattern));
                        entries.push(Entry { method, pieces, opens, hit });
                    }
                }
            }
        };
        for (number, route) in policy.routes.iter().enumerate() {
            if !route.shadow && route.on.contains(&id) {
                let opens = !route.encoded_slash.is_empty() || !route.path_parameter.is_empty();
                let prefixes: Vec<_> = prefix(route.to).into_iter().collect();
                add(Rule::Route(number), &route.matches, opens, &prefixes);
            }
        }
        for (number, forbid) in policy.forbids.iter().enumerate() {
            if forbid.shadow || forbid.on.as_ref().is_some_and(|on| !on.contains(&id)) {
                continue;
            }
            let everywhere = (0..).zip(&policy.backends).map(|(id, _)| crate::model::ids::BackendId(id));
            let to = forbid.to.clone().unwrap_or_else(|| everywhere.collect());
            let mut prefixes: Vec<_> = Vec::new();
            for prefix in to.into_iter().filter_map(prefix) {
                if !prefixes.contains(&prefix) {
                    prefixes.push(prefix);
                }
            }
            add(Rule::Forbid(number), &forbid.matches, false, &prefixes);
        }
    }
    entries
}

fn is_star(pieces: &[Piece]) -> bool {
    matches!(pieces, [Piece::Literal(text)] if text == crate::policy::pattern::STAR)
}

/// `OPTIONS *`.
fn star(entries: &[Entry<'_>], asks: &mut Asks) {
    let hits: Vec<Hit> =
        entries.iter().filter(|entry| is_star(&entry.pieces)).map(|entry| entry.hit).collect();
    if hits.iter().any(|hit| matches!(hit.rule, Rule::Route(_))) {
        asks.all.push(Ask { method: Method::OPTIONS, target: Target::star(), hits });
    }
}

/// One segment for each way in which patterns go on from here.
fn segments(entries: &[Entry<'_>], places: &[Place]) -> Vec<String> {
    let (mut literals, mut around) = (BTreeSet::new(), BTreeSet::new());
    let (mut any, mut opens) = (false, false);
    let mut samples = BTreeSet::new();
    for (entry, at, more) in places {
        let Some(entry) = entries.get(*entry as usize) else { continue };
        any |= *more;
        opens |= entry.opens;
        match entry.pieces.get(usize::from(*at)) {
            Some(Piece::Literal(text)) => drop(literals.insert(text.as_str())),
            Some(Piece::Mixed { prefix, suffix, kind, .. }) => {
                around.insert((prefix.as_str(), suffix.as_str()));
                sample(kind, &mut samples);
            }
            Some(Piece::Capture { kind, .. }) => {
                any = true;
                sample(kind, &mut samples);
            }
            Some(Piece::Rest { .. }) => any = true,
            None => {}
        }
    }
    let mut all: Vec<String> = literals.iter().map(|text| (*text).to_owned()).collect();
    if any {
        // The text of no literal, so that it stands for what only captures take.
        all.push(apart("x", &literals));
        all.extend(samples.iter().map(|sample| apart(sample, &literals)));
        if opens {
            all.extend(["x%2Fx", "x;x"].map(str::to_owned));
        }
        all.push(String::new());
    }
    let mut texts: BTreeSet<(&str, &str)> = around.clone();
    if around.len() <= 64 {
        // One segment may be of two shapes.
        for (prefix, suffix) in &around {
            for (p, s) in &around {
                let fits = (prefix.starts_with(p) || p.starts_with(prefix))
                    && (suffix.ends_with(s) || s.ends_with(suffix));
                if fits {
                    texts.insert((
                        if p.len() > prefix.len() { p } else { prefix },
                        if s.len() > suffix.len() { s } else { suffix },
                    ));
                }
            }
        }
    }
    for (prefix, suffix) in texts {
        let samples = std::iter::once("x").chain(samples.iter().map(String::as_str));
        all.extend(samples.map(|sample| apart(&format!("{prefix}{sample}{suffix}"), &literals)));
    }
    all
}

/// Adds texts that kinds tell apart: some that this one takes, and some that it just does not.
fn sample(kind: &Kind, samples: &mut BTreeSet<String>) {
    // Of each kind without terms, and of no other that it is not part of; the last two are UUIDs.
    const PLAIN: [&str; 6] = [
        "0",
        "a",
        "0a",
        "0x",
        "0e37e3b1-6d54-4d3c-8f4b-3f2b3f0c7c11",
        "ae37e3b1-6d54-4d3c-8f4b-3f2b3f0c7c11",
    ];
    const LONGEST: u16 = 4_096;
    let mut add = |text: String| {
        // What is no segment of a canonical path is asked for by nobody.
        let path = format!("/{text}");
        if !text.contains('/') && Target::parse(path.as_bytes()).is_ok_and(|target| target.as_str() == path) {
            samples.insert(text);
        }
    };
    match kind {
        Kind::Any => return,
        Kind::Hex(Some(length)) => {
            ["0", "a"].iter().for_each(|digit| add(digit.repeat(usize::from(*length))))
        }
        Kind::Int(Some(range)) => {
            let near = [range.least.saturating_sub(1), range.most.saturating_add(1)];
            [range.least, range.most].into_iter().chain(near).for_each(|number| add(number.to_string()));
        }
        Kind::OneOf(values) => values.iter().cloned().for_each(&mut add),
        Kind::Bool => ["true", "1"].iter().for_each(|value| add((*value).to_owned())),
        Kind::Text(text) => {
            let max = usize::from(text.max.min(LONGEST));
            let shapes = ["x_", "x.", "x:", "-x", "x~"].map(str::to_owned);
            shapes.into_iter().chain(["x".repeat(max), "x".repeat(max + 1)]).for_each(&mut add);
        }
        Kind::Hex(None) | Kind::Int(None) | Kind::Uuid | Kind::Version => {}
    }
    PLAIN.iter().for_each(|text| add((*text).to_owned()));
}

/// `text`, or one like it that is no literal.
fn apart(text: &str, literals: &BTreeSet<&str>) -> String {
    let mut text = text.to_owned();
    while literals.contains(text.as_str()) {
        match text.chars().next() {
            Some(first) => text.insert(0, first),
            None => break,
        }
    }
    text
}

/// Where the patterns are behind one more segment.
fn step(entries: &[Entry<'_>], places: &[Place], segment: &str) -> Vec<Place> {
    let mut next = Vec::new();
    for (number, at, more) in places {
        let Some(entry) = entries.get(*number as usize) else { continue };
        if *more {
            next.push((*number, *at, true));
        }
        match entry.pieces.get(usize::from(*at)) {
            Some(Piece::Rest { .. }) => next.push((*number, at + 1, true)),
            Some(piece) if piece.takes(segment) => next.push((*number, at + 1, false)),
            _ => {}
        }
    }
    next.sort_unstable();
    next.dedup();
    next
}

/// A request for each method that makes a difference where some pattern ends.
fn end(entries: &[Entry<'_>], places: &[Place], path: &str, more: &BTreeSet<&str>, asks: &mut Asks) {
    let ended = places.iter().filter_map(|(entry, at, _)| {
        let entry = entries.get(*entry as usize)?;
        (entry.pieces.len() == usize::from(*at)).then_some(entry)
    });
    let mut methods: BTreeMap<Option<&str>, Vec<Hit>> = BTreeMap::new();
    for entry in ended {
        let hits = methods.entry(entry.method).or_default();
        // With and without a prefix it is the same pattern.
        if !hits.contains(&entry.hit) {
            hits.push(entry.hit);
        }
    }
    if !methods.values().flatten().any(|hit| matches!(hit.rule, Rule::Route(_))) {
        return;
    }
    let Ok(target) = Target::parse(path.as_bytes()) else { return };
    let any = methods.remove(&None).unwrap_or_default();
    for method in more {
        methods.entry(Some(method)).or_default();
    }
    let named: Vec<&str> = methods.keys().flatten().copied().collect();
    let other =
        Method::KNOWN.iter().find(|known| !named.contains(&known.as_str())).filter(|_| !any.is_empty());
    let mut with: HashMap<Method, Vec<Hit>> = HashMap::new();
    for (method, hits) in &methods {
        if let Some(Ok(method)) = method.map(|method| Method::parse(method.as_bytes())) {
            with.entry(method).or_default().extend(hits.iter().chain(&any));
        }
    }
    if let Some(other) = other {
        with.insert(other.clone(), any.clone());
    }
    let mut all: Vec<(Method, Vec<Hit>)> = with.into_iter().collect();
    all.sort();
    for (method, hits) in all {
        if hits.iter().any(|hit| matches!(hit.rule, Rule::Route(_))) {
            asks.all.push(Ask { method, target: target.clone(), hits });
        }
    }
}
