//! What changes from one policy to another, by what is written: grants and forbids that come and go.

use std::collections::BTreeMap;
use std::fmt;

use crate::policy::{Forbid, Named, Policy, Route, Who, WhoId};

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    sign: char,
    what: String,
}

impl Change {
    /// For programs.
    pub(super) fn json(&self) -> serde_json::Value {
        let change = match self.sign {
            '+' => "gained",
            '-' => "lost",
            _ => "changed",
        };
        serde_json::json!({ "change": change, "what": self.what })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {} {}", self.sign, self.what)
    }
}

/// All differences: routes in the order of their ids, then forbids, then whos.
pub(super) fn between(old: &Policy, new: &Policy) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut note = |sign, what: String| changes.push(Change { sign, what });
    pairs(
        &old.routes,
        &new.routes,
        |route| &route.id,
        |before, after| match (before, after) {
            (None, Some(route)) => {
                for who in whos(new, &route.allow) {
                    note(
                        '+',
                        format!(
                            "who.{who} on route {}: {}{}",
                            route.id,
                            patterns(route),
                            shadow(route.shadow)
                        ),
                    );
                }
            }
            (Some(route), None) => {
                for who in whos(old, &route.allow) {
                    note('-', format!("who.{who} on route {}: {}", route.id, patterns(route)));
                }
            }
            (Some(before), Some(after)) => {
                let (had, has) = (whos(old, &before.allow), whos(new, &after.allow));
                for who in has.iter().filter(|who| !had.contains(who)) {
                    note('+', format!("who.{who} on route {}: {}", after.id, patterns(after)));
                }
                for who in had.iter().filter(|who| !has.contains(who)) {
                    note('-', format!("who.{who} on route {}: {}", before.id, patterns(before)));
                }
                let (a, b) = (essence(old, before), essence(new, after));
                if a != b {
                    let told = if patterns(before) == patterns(after) {
                        "asks for something else than before".to_owned()
                    } else {
                        format!("matches {} instead of {}", patterns(after), patterns(before))
                    };
                    note('~', format!("route {} {told}", after.id));
                }
            }
            (None, None) => {}
        },
    );
    pairs(
        &old.forbids,
        &new.forbids,
        |forbid| &forbid.id,
        |before, after| match (before, after) {
            (None, Some(forbid)) => {
                note('-', format!("forbid {} comes: {}", forbid.id, forbidden(new, forbid)))
            }
            (Some(forbid), None) => {
                note('+', format!("forbid {} goes: {}", forbid.id, forbidden(old, forbid)))
            }
            (Some(before), Some(after)) => {
                let (a, b) = (forbidden(old, before), forbidden(new, after));
                if a != b || before.shadow != after.shadow {
                    note('~', format!("forbid {}: {b} instead of {a}", after.id));
                }
            }
            (None, None) => {}
        },
    );
    pairs(
        &old.whos,
        &new.whos,
        |who| &who.name,
        |before, after| {
            if let (Some(before), Some(after)) = (before, after)
                && identity(old, before) != identity(new, after)
            {
                note('~', format!("who.{} is somebody else than before", after.name));
            }
        },
    );
    changes
}

/// Each thing of either list by its name.
fn pairs<T>(
    old: &[T],
    new: &[T],
    name: impl Fn(&T) -> &String,
    mut take: impl FnMut(Option<&T>, Option<&T>),
) {
    let mut all: BTreeMap<&String, (Option<&T>, Option<&T>)> = BTreeMap::new();
    for thing in old {
        all.entry(name(thing)).or_default().0 = Some(thing);
    }
    for thing in new {
        all.entry(name(thing)).or_default().1 = Some(thing);
    }
    all.into_values().for_each(|(before, after)| take(before, after));
}

fn whos<'p>(policy: &'p Policy, named: &[Named]) -> Vec<&'p str> {
    let name = |named: &Named| policy.whos.get(usize::from(named.who.0)).map(|who| who.name.as_str());
    named.iter().filter_map(name).collect()
}

fn patterns(route: &Route) -> String {
    route.matches.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn shadow(shadow: bool) -> &'static str {
    if shadow { " (in shadow mode: it grants nothing)" } else { "" }
}

/// All of a route but who may and where it stands; what it refers to by name, since places in lists move.
fn essence(policy: &Policy, route: &Route) -> (Route, Vec<String>, String) {
    let on = route.on.iter().filter_map(|id| policy.listener(*id)).map(|on| on.name.clone()).collect();
    let to = policy.backend(route.to).map(|to| format!("{to:?}")).unwrap_or_default();
    let bare = Route {
        line: 0,
        on: Vec::new(),
        to: crate::model::ids::BackendId(0),
        allow: Vec::new(),
        ..route.clone()
    };
    (bare, on, to)
}

/// All of a who but where it stands; the others that it is made of by name, since places in lists move.
fn identity<'p>(policy: &'p Policy, who: &Who) -> (Who, Vec<Option<&'p str>>) {
    let others = who.any_of.iter().flatten().chain(&who.except);
    let name = |id: &WhoId| policy.whos.get(usize::from(id.0)).map(|who| who.name.as_str());
    let bare =
        Who { line: 0, any_of: who.any_of.as_ref().map(|_| Vec::new()), except: Vec::new(), ..who.clone() };
    (bare, others.map(name).collect())
}

fn forbidden(policy: &Policy, forbid: &Forbid) -> String {
    let patterns = forbid.matches.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let whom = match &forbid.who {
        None => "everyone".to_owned(),
        Some(named) => {
            whos(policy, named).iter().map(|who| format!("who.{who}")).collect::<Vec<_>>().join(", ")
        }
    };
    format!("{patterns} for {whom}{}", if forbid.shadow { " (in shadow mode)" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::caller::{Gid, Uid};
    use crate::policy::{Own, SystemNames, load_text};

    const HEAD: &str = "version = 1\n[listen.a]\npath = \"/a\"\n[backend.b]\nproxy = \"unix:/b\"\n[who.x]\nuid = 1\n[who.y]\nuid = 2\n";

    fn policy(rules: &str) -> Policy {
        let own = Own::system(Uid::new(0).unwrap(), Gid::new(0).unwrap());
        let policy = load_text("p.toml", &format!("{HEAD}{rules}"), &SystemNames, &own);
        policy.unwrap_or_else(|why| panic!("{why}"))
    }

    fn route(id: &str, matches: &str, allow: &str) -> String {
        format!("[[route]]\nid = \"{id}\"\nmatch = \"{matches}\"\nto = \"b\"\nallow = {allow}\n")
    }

    fn told(old: &str, new: &str) -> Vec<String> {
        between(&policy(old), &policy(new))
            .iter()
            .map(|change| change.to_string().trim().to_owned())
            .collect()
    }

    #[test]
    fn between_moved_lines_nothing_changes() {
        let a = route("a", "GET /a", "[\"x\"]");
        assert_eq!(told(&a, &format!("# a comment\n\n{a}")), [""; 0]);
    }

    #[test]
    fn between_grants_come_and_go_by_who_and_route() {
        let old = route("a", "GET /a", "[\"x\"]") + &route("old", "GET /o", "[\"x\"]");
        let new = route("a", "GET /a", "[\"y\"]") + &route("new", "GET /n", "[\"x\", \"y\"]");
        assert_eq!(
            told(&old, &new),
            [
                "+ who.y on route a: GET /a",
                "- who.x on route a: GET /a",
                "+ who.x on route new: GET /n",
                "+ who.y on route new: GET /n",
                "- who.x on route old: GET /o",
            ]
        );
    }

    #[test]
    fn between_a_forbid_that_goes_is_gained() {
        let a = route("a", "* /{rest...}", "[\"x\"]");
        let forbid = "[[forbid]]\nid = \"f\"\nmatch = \"* /x\"\nwho = \"y\"\n";
        assert_eq!(told(&format!("{a}{forbid}"), &a), ["+ forbid f goes: * /x for who.y"]);
        assert_eq!(told(&a, &format!("{a}{forbid}")), ["- forbid f comes: * /x for who.y"]);
    }

    #[test]
    fn between_other_terms_and_other_people_are_told() {
        let old = route("a", "GET /a", "[\"x\"]");
        let changed = told(&old, &format!("{old}stream = true\n"));
        assert_eq!(changed, ["~ route a asks for something else than before"]);
        let new = between(&policy(&old), &{
            let own = Own::system(Uid::new(0).unwrap(), Gid::new(0).unwrap());
            load_text("p.toml", &format!("{HEAD}{old}").replace("uid = 1", "uid = 7"), &SystemNames, &own)
                .unwrap()
        });
        assert_eq!(new.len(), 1);
        assert!(new[0].what.starts_with("who.x is somebody else"), "{new:?}");
    }
}
