//! A suggestion as a policy: what was seen, written down with how often and by which requests.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::json;

use super::By;
use super::carry::Written;
use super::gather::{BUILTIN, Gathered};
use super::people::{Who, comment, quoted, whos};
use super::seen::{Place, Seen, Whose};
use super::shape::{self, Many, Piece};
use crate::cli::policy::past::Span;
use crate::model::method::Method;

/// What is printed.
pub(super) struct Suggestion {
    pub(super) text: String,
    /// The same for programs.
    pub(super) routes: Vec<serde_json::Value>,
}

/// Patterns that can stand in one route.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Together {
    on: String,
    to: String,
    rule: Option<String>,
    /// The first segment: a route speaks of one thing.
    first: Option<Piece>,
    whos: BTreeSet<Who>,
    query: BTreeSet<String>,
    upgrades: bool,
}

struct Line {
    method: String,
    path: Vec<Piece>,
    seen: Seen,
}

type Routes = BTreeMap<Together, Vec<Line>>;

pub(super) fn suggestion(
    gathered: &Gathered,
    written: &Written,
    by: By,
    many: Many,
    span: Span,
) -> Suggestion {
    let routes = routes(gathered, written, by, many);
    let mut text = head(gathered, written, span);
    let mut all: BTreeSet<&Who> = BTreeSet::new();
    all.extend(routes.keys().flat_map(|together| &together.whos));
    let whole = all.iter().any(|who| who.keys.is_empty());
    for Who { name, keys, .. } in all.into_iter().filter(|who| !who.keys.is_empty()) {
        write!(text, "\n[who.{}]\n{}\n", quoted(name), keys.join("\n")).ok();
    }
    let mut ids = BTreeSet::new();
    let mut told = Vec::new();
    for (together, lines) in &routes {
        let id = id(together, &mut ids);
        route(&mut text, &id, together, lines, written);
        told.push(json!({
            "id": id,
            "on": together.on,
            "to": together.to,
            "like": together.rule,
            "match": lines.iter().map(pattern).collect::<Vec<_>>(),
            "query": together.query,
            "allow": together.whos.iter().map(|who| &who.name).collect::<Vec<_>>(),
            "count": lines.iter().map(|line| line.seen.count).sum::<u64>(),
            "samples": lines.iter().flat_map(|line| &line.seen.samples).map(|(id, _)| id).collect::<Vec<_>>(),
        }));
    }
    let forbids = written.forbids(&gathered.in_the_way, whole);
    if !forbids.is_empty() {
        write!(text, "\n# What the policy at hand forbids, and its whos.\n\n{forbids}").ok();
    }
    for (together, lines) in &routes {
        tests(&mut text, together, lines);
    }
    Suggestion { text, routes: told }
}

fn routes(gathered: &Gathered, written: &Written, by: By, many: Many) -> Routes {
    let mut routes = Routes::new();
    for (place, paths) in &gathered.all {
        for (path, seen) in shape::patterns(paths.clone(), place.length, many) {
            let callers: BTreeSet<&Whose> = seen.whose.keys().collect();
            let whos = whos(&callers, &gathered.people, by, written);
            let Place { on, to, rule, method, .. } = place.clone();
            let (query, upgrades) = (seen.query.clone(), seen.upgrades);
            let together = Together { on, to, rule, first: path.first().cloned(), whos, query, upgrades };
            routes.entry(together).or_default().push(Line { method, path, seen });
        }
    }
    routes
}

/// Everything but rules.
fn head(gathered: &Gathered, written: &Written, span: Span) -> String {
    let mut text =
        String::from("# Suggested from the record, and not in force: the least that covers what was ");
    text.push_str("asked.\n# That somebody asked for it is no reason to allow it: read it, and take out what should not be.\n");
    if let Some((first, last)) = span.bounds() {
        writeln!(text, "# {} different requests from {first} to {last}.", gathered.tries.len()).ok();
    }
    for line in gathered.unjudged.lines() {
        writeln!(text, "# Not here, {line}").ok();
    }
    for forbid in &gathered.in_the_way {
        writeln!(text, "# The forbid {forbid} is LEFT OUT: it stands in the way of requests that are here.")
            .ok();
    }
    let listeners: BTreeSet<&str> = gathered.all.keys().map(|place| place.on.as_str()).collect();
    let backends: BTreeSet<&str> = gathered.all.keys().map(|place| place.to.as_str()).collect();
    if gathered.current.is_some() {
        write!(text, "\n{}", written.head(&listeners, &backends)).ok();
        return text;
    }
    text.push_str("\nversion = 1\n");
    let known = |method: &String| Method::parse(method.as_bytes()).is_ok_and(|method| method.is_known());
    let methods: BTreeSet<&String> =
        gathered.all.keys().map(|place| &place.method).filter(|method| !known(method)).collect();
    if !methods.is_empty() {
        let methods: Vec<_> = methods.into_iter().map(|method| quoted(method)).collect();
        write!(text, "\n[daemon]\nmethods = [{}]\n", methods.join(", ")).ok();
    }
    text.push_str(
        "\n# Where sockets lie is not on record: write it here, or give the policy at hand by --policy.\n",
    );
    for name in listeners {
        write!(
            text,
            "\n[listen.{}]\npath = {}\n",
            quoted(name),
            quoted(&format!("/run/peergate/{name}.sock"))
        )
        .ok();
    }
    for name in backends {
        let kind = if name == BUILTIN {
            "builtin = \"api\"".to_owned()
        } else {
            format!("proxy = {}", quoted(&format!("unix:/run/{name}.sock")))
        };
        write!(text, "\n[backend.{}]\n{kind}\n", quoted(name)).ok();
    }
    text
}

/// `containers`, `containers-2`: what it speaks of, or what the route at hand is called.
fn id(together: &Together, taken: &mut BTreeSet<String>) -> String {
    let literal = match &together.first {
        Some(Piece::Literal(text)) => text.as_str(),
        _ => "",
    };
    let wish = together.rule.as_deref().unwrap_or(literal);
    let plain: String = wish
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' })
        .take(48)
        .collect();
    let plain = plain.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let plain = if plain.is_empty() { "seen" } else { plain };
    let mut id = plain.to_owned();
    let mut number = 1;
    while !taken.insert(id.clone()) {
        number += 1;
        id = format!("{plain}-{number}");
    }
    id
}

fn pattern(line: &Line) -> String {
    format!("{} {}", line.method, shape::Written(&line.path))
}

fn route(text: &mut String, id: &str, together: &Together, lines: &[Line], written: &Written) {
    text.push('\n');
    for line in lines {
        let Seen { count, samples, refusals, .. } = &line.seen;
        let ids: Vec<&str> = samples.iter().map(|(id, _)| id.as_str()).collect();
        let then = if refusals.is_empty() {
            String::new()
        } else {
            format!("; denied as {}", refusals.iter().cloned().collect::<Vec<_>>().join(", "))
        };
        writeln!(text, "# {}: {count} times ({}){then}", comment(&pattern(line)), ids.join(", ")).ok();
        if line.path.iter().any(|piece| matches!(piece, Piece::Capture(_))) {
            let such: Vec<&str> = samples.iter().map(|(_, target)| target.as_str()).collect();
            writeln!(text, "#   such as {}", comment(&such.join("  "))).ok();
        }
    }
    writeln!(text, "[[route]]\nid = {}\non = {}", quoted(id), quoted(&together.on)).ok();
    let patterns: Vec<_> = lines.iter().map(|line| format!("  {},\n", quoted(&pattern(line)))).collect();
    writeln!(text, "match = [\n{}]", patterns.concat()).ok();
    let (further, keeps_query) = match &together.rule {
        Some(rule) => written.route(rule),
        None => (Vec::new(), false),
    };
    if !keeps_query {
        let names: Vec<_> = together.query.iter().map(|name| quoted(name)).collect();
        writeln!(text, "query = [{}]", names.join(", ")).ok();
    }
    writeln!(text, "to = {}", quoted(&together.to)).ok();
    let allow: Vec<_> = together.whos.iter().map(|who| quoted(&who.name)).collect();
    writeln!(text, "allow = [{}]", allow.join(", ")).ok();
    for line in &further {
        writeln!(text, "{line}").ok();
    }
    if together.upgrades && !further.iter().any(|line| line.starts_with("upgrade ")) {
        text.push_str(
            "# It changed to another protocol, and which one is not on record: upgrade = [\"...\"]\n",
        );
    }
}

/// One request that must be allowed, and somebody else who must not be.
fn tests(text: &mut String, together: &Together, lines: &[Line]) {
    let (Some(line), Some(who)) = (lines.first(), together.whos.first()) else { return };
    // A test says nothing of what else a route may ask for, so one that is carried over has none.
    let Some((_, target)) = line.seen.samples.first() else { return };
    let request = quoted(&format!("{} {target}", line.method));
    let on = quoted(&together.on);
    if together.rule.is_none() && !who.test.contains("unknown") {
        write!(
            text,
            "\n[[test]]\nwho = {{ {} }}\non = {on}\nrequest = {request}\nexpect = \"allow\"\n",
            who.test
        )
        .ok();
    }
    write!(text, "\n[[test]]\nwho = {{}}\non = {on}\nrequest = {request}\nexpect = \"deny\"\n").ok();
}
