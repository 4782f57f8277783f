//! What `explain` tells step by step, beside what was decided: for policies and requests of every kind that forbids,
//! prefixes, hours and shadows tell apart.

use proptest::prelude::{Just, Strategy, prop};
use proptest::{prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::{caller, load};
use crate::model::ids::ListenerId;
use crate::model::method::Method;
use crate::model::refusal::Refusal;
use crate::model::target::{Asked, Target};
use crate::model::time::Timestamp;
use crate::policy::{Decider, Verdict, steps};

const HEAD: &str = r#"version = 1
[listen.one]
path = "/run/one.sock"
[listen.two]
path = "/run/two.sock"
[backend.docker]
proxy = "unix:/run/docker.sock"
version_prefix = "/v{api:version}"
[backend.plain]
proxy = "unix:/run/plain.sock"
[who.ops]
group = "docker-ops"
[who.users]
group = "docker-users"
[who.ci]
user = "ci"
[who.others]
any_of = "users"
except = "ops"
"#;

fn any_of(texts: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(texts)
}

fn pattern() -> impl Strategy<Value = String> {
    let method = any_of(&["GET", "HEAD", "POST", "*"]);
    let path = any_of(&[
        "/a",
        "/A",
        "/a/b",
        "/a/",
        "/{x}",
        "/{x}/b",
        "/a/{x}",
        "/{x:hex}/b",
        "/a{x}",
        "/{r...}",
        "/a/{r...}",
        "/{r...}/b",
        "/v1/a",
        "/A/{x}",
        "/{x}/B",
        "/A/{r...}",
        "/v{x}/a",
    ]);
    (method, path).prop_map(|(method, path)| format!("{method} {path}"))
}

/// Keys that a rule may have: times and mode.
fn terms(until: bool) -> impl Strategy<Value = String> {
    let when = any_of(&["", "", "when = { from = \"08:00\", to = \"09:00\", zone = \"UTC\" }\n"]);
    let mode = any_of(&["", "", "mode = \"shadow\"\n"]);
    let until = if until { any_of(&["", "", "until = 2026-11-23T08:30:00Z\n"]) } else { any_of(&[""]) };
    (when, mode, until).prop_map(|(when, mode, until)| format!("{when}{mode}{until}"))
}

fn route() -> impl Strategy<Value = String> {
    let allow = any_of(&["ops", "users", "ci", "others"]);
    let to = any_of(&["docker", "plain"]);
    let on = any_of(&["[\"one\"]", "[\"two\"]", "[\"one\", \"two\"]"]);
    (pattern(), allow, to, on, terms(true)).prop_map(|(pattern, allow, to, on, terms)| {
        let captured = pattern.contains("{x}");
        let opens = if captured { "encoded_slash = [\"x\"]\npath_parameter = [\"x\"]\n" } else { "" };
        format!("match = \"{pattern}\"\nto = \"{to}\"\nallow = \"{allow}\"\non = {on}\n{terms}{opens}")
    })
}

fn forbid() -> impl Strategy<Value = String> {
    let who = any_of(&["", "who = \"ci\"\n", "who = \"others\"\n"]);
    let to = any_of(&["", "to = \"docker\"\n"]);
    let on = any_of(&["", "on = \"two\"\n"]);
    (pattern(), who, to, on, terms(false))
        .prop_map(|(pattern, who, to, on, terms)| format!("match = \"{pattern}\"\n{who}{to}{on}{terms}"))
}

fn policy() -> impl Strategy<Value = String> {
    let rules = |what: &'static str, rules: Vec<String>| {
        let each = rules.into_iter().enumerate();
        each.map(|(number, rule)| format!("[[{what}]]\nid = \"{what}-{number}\"\n{rule}")).collect::<String>()
    };
    let all = (prop::collection::vec(route(), 1..6), prop::collection::vec(forbid(), 0..4));
    all.prop_map(move |(routes, forbids)| {
        format!("{HEAD}{}{}", rules("route", routes), rules("forbid", forbids))
    })
}

fn target() -> impl Strategy<Value = String> {
    let segment = any_of(&[
        "a", "a", "b", "b", "a", "A", "b", "B", "ab", "1", "v1", "v1.4", "a;b", "a%2Fb", "A%2fB", "%61", "b;",
    ]);
    let end = prop_oneof![Just(""), Just("/"), Just("?q=1")];
    (prop::collection::vec(segment, 1..4), end)
        .prop_map(|(segments, end)| format!("/{}{end}", segments.join("/")))
}

proptest! {
    #[test]
    fn steps_tell_what_was_decided(
        text in policy(),
        targets in prop::collection::vec((any_of(&["GET", "HEAD", "POST"]), target()), 12),
        user in any_of(&["alice", "bob", "ci", "mallory"]),
    ) {
        // Routes that tie are refused, or listeners without a route.
        let Ok(policy) = load(&text) else { return Ok(()) };
        let decider = Decider::new(std::sync::Arc::new(policy));
        let caller = caller(user);
        for (method, target) in targets {
            let Ok(parsed) = Target::parse(target.as_bytes()) else { continue };
            let method = Method::parse(method.as_bytes()).unwrap();
            let asked = Asked { method: &method, target: &parsed, upgrade: None };
            for (on, hour) in [(0, 8), (0, 12), (1, 8)] {
                let on = ListenerId(on);
                let at = format!("2026-11-23T{hour:02}:15:00Z").parse::<Timestamp>().unwrap();
                let told = steps(decider.policy(), on, &caller, &asked, at);
                let decided = match decider.decide_at(on, &decider.recognise(on, &caller), &asked, Some(at)) {
                    Verdict::Allow(_) | Verdict::Read(_) => None,
                    Verdict::Deny(denial) => Some(denial.refusal),
                };
                let what = format!("{method} {target} at {hour} on {on:?} by {user}:\n{text}\n{told:#?}");
                prop_assert_eq!(told.explained.refusal, decided, "{}", what);
                prop_assert_eq!(told.by.is_some(), decided.is_none(), "{}", what);
                if matches!(decided, Some(Refusal::EncodedSlash | Refusal::PathParameter)) {
                    continue;
                }
                let matches = told.routes.iter().any(|route| !route.shadow);
                prop_assert_eq!(!matches, decided == Some(Refusal::NoRoute), "{}", what);
                let mut forbids = told.forbids.iter().filter(|forbid| !forbid.shadow && forbid.binds);
                let forbidden = forbids.any(|forbid| forbid.hours.as_ref().is_none_or(|(_, now)| *now));
                prop_assert_eq!(forbidden, decided == Some(Refusal::Forbidden), "{}", what);
                if matches && !forbidden {
                    let allowed = told.whos.iter().any(|who| who.holds);
                    prop_assert_eq!(!allowed, decided == Some(Refusal::NotAllowed), "{}", what);
                }
                prop_assert!(told.routes.first().is_none_or(|route| !route.shadow || !matches), "{}", what);
            }
        }
    }
}
