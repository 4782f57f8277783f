//! What changes, who may: held against asking the decider itself.

use std::sync::Arc;

use proptest::prelude::*;

use super::{HEAD, House, asking, caller, house, load};
use crate::model::ids::ListenerId;
use crate::model::method::Method;
use crate::model::target::{Asked, Target};
use crate::policy::grants::{Known, Weight, classes, diff, what_can, who_can};
use crate::policy::{Decider, Policy, Verdict};

fn known() -> Known {
    Known::of(&House, ["docker-ops", "docker-users"])
}

fn policy(rules: &str) -> Arc<Policy> {
    house(rules).decider.policy().clone()
}

fn route(id: &str, matches: &str, allow: &str, more: &str) -> String {
    format!("[[route]]\nid = \"{id}\"\nmatch = {matches}\nto = \"docker\"\nallow = {allow}\n{more}\n")
}

/// `+ who: pattern` and `- who: pattern`.
fn changes(old: &str, new: &str) -> Vec<String> {
    let found = diff(&policy(old), &policy(new), &known());
    assert!(found.whole);
    let told = |sign: &'static str| {
        move |change: &crate::policy::grants::Change| {
            let part =
                change.such_as.as_ref().map(|such_as| format!(" such as {such_as}")).unwrap_or_default();
            format!("{sign} {}: {}{part}; {}", change.who.join(", "), change.pattern, change.why)
        }
    };
    found.gains.iter().map(told("+")).chain(found.losses.iter().map(told("-"))).collect()
}

#[test]
fn diff_of_a_policy_and_itself_is_empty() {
    let rules = route("a", r#"["GET /a/{x}", "GET /{r...}/z"]"#, r#"["ops", "ci"]"#, "query = [\"q\"]");
    let found = diff(&policy(&rules), &policy(&format!("\n\n# moved\n{rules}")), &known());
    assert!(found.is_empty() && !found.gives(), "{found:?}");
}

#[test]
fn diff_route_that_is_new_is_a_gain_of_its_whos() {
    let a = route("a", r#""GET /a""#, r#""users""#, "");
    let b = route("b", r#""POST /b""#, r#""ops""#, "");
    assert_eq!(
        changes(&a, &format!("{a}{b}")),
        ["+ group docker-ops, user alice: POST /b; no route matches"]
    );
    assert_eq!(
        changes(&format!("{a}{b}"), &a),
        ["- group docker-ops, user alice: POST /b; no route matches"]
    );
}

#[test]
fn diff_part_of_a_pattern_says_which() {
    let old = route("a", r#""GET /a/b""#, r#""users""#, "");
    let new = route("a", r#""GET /a/{x}""#, r#""users""#, "");
    assert_eq!(
        changes(&old, &new),
        [
            "+ group docker-users, user bob, user alice, user ci: GET /a/{x} such as GET /a/x; no route matches"
        ]
    );
}

#[test]
fn diff_forbid_that_is_new_takes_what_it_matches() {
    let a = route("a", r#""* /{r...}""#, r#"["ops", "ci"]"#, "");
    let forbid = "[[forbid]]\nid = \"f\"\nmatch = \"* /exec/{r...}\"\nwho = \"ci\"\n";
    assert_eq!(
        changes(&a, &format!("{a}{forbid}")),
        ["- user ci, user ci and group docker-ops: * /{r...} such as GET /exec/x; forbid.f forbids it \
             (policy.toml:19)"]
    );
}

#[test]
fn diff_more_specific_route_takes_over_what_it_matches() {
    let wide = route("wide", r#""GET /c/{x}""#, r#""users""#, "");
    let narrow = route("narrow", r#""GET /c/secret""#, r#""ops""#, "");
    let found = changes(&wide, &format!("{wide}{narrow}"));
    assert!(
        found
            .iter()
            .any(|line| line.starts_with("- group docker-users") && line.contains("such as GET /c/secret")),
        "{found:?}"
    );
    assert!(found.iter().any(|line| line.starts_with("+ group docker-ops")), "{found:?}");
}

#[test]
fn diff_tells_terms_listeners_and_backends() {
    let old = route("a", r#""GET /a""#, r#""users""#, "query = [\"q\"]\nbody = { max = \"2KiB\" }");
    let new = route("a", r#""GET /a""#, r#""users""#, "query = [\"q\", \"r\"]\nbody = { max = \"1KiB\" }");
    let moved = HEAD.replace("unix:/run/docker.sock", "unix:/run/other.sock").replace(
        "path = \"/run/peergate/docker.sock\"",
        "path = \"/run/peergate/docker.sock\"\nmode = \"0666\"\ngroup = \"docker-users\"",
    );
    let (old, new) = (policy(&old), Arc::new(load(&format!("{moved}{new}")).unwrap()));
    let found = diff(&old, &new, &known());
    let edits: Vec<String> = found
        .edits
        .iter()
        .map(|edit| {
            let (old, new) = (edit.old.as_deref().unwrap_or("-"), edit.new.as_deref().unwrap_or("-"));
            format!("{} {}: {old} > {new} {:?}", edit.what, edit.key, edit.weight)
        })
        .collect();
    assert_eq!(
        edits,
        [
            "route a query: q > q, r Gain",
            "route a body.max: 2KiB > 1KiB Loss",
            "listen.docker group: the daemon's group > docker-users Gain",
            "listen.docker mode: 0600 > 0666 Gain",
            "backend.docker: proxy.address.unix : /run/docker.sock > /run/other.sock Gain",
        ]
    );
    assert!(found.gives() && found.gains.is_empty());
    assert!(found.edits.iter().all(|edit| edit.weight != Weight::Neither));
}

/// What a route reads in each of two policies, and `key: old > new weight` of what is told.
fn reads(old: &str, new: &str) -> Vec<String> {
    let with = |more: &str| policy(&route("a", r#""POST /a""#, r#""users""#, more));
    let found = diff(&with(old), &with(new), &known());
    assert!(found.gains.is_empty() && found.losses.is_empty(), "{found:?}");
    let told = |edit: &crate::policy::grants::Edit| {
        let (old, new) = (edit.old.as_deref().unwrap_or("-"), edit.new.as_deref().unwrap_or("-"));
        format!("{}: {old} > {new} {:?}", edit.key, edit.weight)
    };
    found.edits.iter().map(told).collect()
}

#[test]
fn diff_tells_what_is_read_of_query_and_headers() {
    assert_eq!(
        reads("query = { n = \"int 1..5\" }", "query = { n = \"int 1..9\" }"),
        ["query.values: n int 1..5 > n int 1..9 Gain"]
    );
    assert_eq!(
        reads("query = { n = \"int 1..5\" }", "query = { n = { int = \"1..5\", required = true } }"),
        ["query.values: n int 1..5 > n required, int 1..5 Loss"]
    );
    // What is no longer taken at all needs no type.
    assert_eq!(
        reads("query = { n = \"bool\" }", "query = []"),
        ["query: n > none Loss", "query.values: n bool > any Neither"]
    );
    assert_eq!(
        reads("header = { X-Auth = \"absent\" }", ""),
        ["header: x-auth absent > any Gain"],
        "a line that was refused"
    );
    assert_eq!(reads("", "header = { X-Auth = \"absent\" }"), ["header: any > x-auth absent Loss"]);
    assert_eq!(
        reads("body = { content_type = [\"text/plain\"] }", "body = { content_type = [\"text/html\"] }"),
        ["body.content_type: text/plain > text/html Gain"]
    );
}

#[test]
fn diff_tells_what_is_read_of_bodies() {
    let body = |json: &str| format!("body = {{ max = \"1KiB\", json = {{ {json} }} }}");
    let json = |old: &str, new: &str| reads(&body(old), &body(new));
    let tight = "allow = [\"/Image\"]";
    assert_eq!(
        json(tight, "allow = [\"/Image\", \"/HostConfig/Privileged\"]"),
        ["body.json.allow: /Image > /HostConfig/Privileged, /Image Gain"]
    );
    assert_eq!(json(tight, &format!("{tight}, others = \"zero\"")), ["body.json.others: refuse > zero Gain"]);
    assert_eq!(
        json(&format!("{tight}, required = [\"/Image\"]"), tight),
        ["body.json.required: /Image > none Gain"]
    );
    assert_eq!(json(tight, &format!("{tight}, maps = [\"/M\"]")), ["body.json.maps: none > /M Loss"]);
    assert_eq!(
        json(tight, &format!("{tight}, null = [\"/N\"]")),
        ["body.json.null: none > /N Gain"],
        "it can't be said that nobody may more"
    );
    let typed = |kind: &str| format!("{tight}, values = {{ \"/Memory\" = \"{kind}\" }}");
    assert_eq!(
        json(&typed("int 0..5"), &typed("int 0..9")),
        ["body.json.values: /Memory int 0..5 > /Memory int 0..9 Gain"]
    );
    assert_eq!(
        json(&typed("int 0..5"), tight),
        [
            "body.json.allow: /Image, /Memory > /Image Loss",
            "body.json.values: /Memory int 0..5 > any Neither"
        ]
    );
    // A type that is left out where something wider lets the same in.
    let wide = "allow = [\"/**\"]";
    let loose = json(&format!("{wide}, values = {{ \"/Memory\" = \"int 0..5\" }}"), wide);
    assert!(loose.contains(&"body.json.values: /Memory int 0..5 > any Gain".to_owned()), "{loose:?}");
    // With no rule at all everything is taken.
    let gone = reads(&body(tight), "body = { max = \"1KiB\" }");
    assert!(gone.contains(&"body.json.allow: /Image > any Gain".to_owned()), "{gone:?}");
    let back = reads("body = { max = \"1KiB\" }", &body(tight));
    assert!(!back.is_empty() && back.iter().all(|told| told.ends_with("Loss")), "{back:?}");
    // Of many only those that change are told.
    let many =
        |more: &str| format!("allow = [{}\"/{more}\"]", "\"/a\", \"/b\", \"/c\", \"/d\", \"/e\", \"/f\", ");
    assert_eq!(json(&many("x"), &many("y")), ["body.json.allow: …, /x > …, /y Gain"]);
}

#[test]
fn what_can_names_what_a_body_may_hold() {
    let rules = route(
        "a",
        r#""POST /a""#,
        r#""users""#,
        "body = { max = \"1KiB\", json = { allow = [\"/Image\"] } }",
    );
    let policy = policy(&rules);
    let (whats, _) = what_can(&policy, &policy.listeners[0], &caller("ci"));
    let conditions = &whats[0].route.conditions;
    assert!(conditions.contains(&("body.json.allow", "/Image".to_owned())), "{conditions:?}");
    assert!(conditions.contains(&("body.json.others", "refuse".to_owned())), "{conditions:?}");
}

#[test]
fn diff_tells_what_narrows_whos_and_what_bounds_them() {
    let text = |unit: &str, rate: &str, more: &str| {
        let who =
            format!("[who.runner]\nuser = \"ci\"\nunit = \"{unit}\"\nlimits = {{ rate = \"{rate}\" }}\n");
        format!("{who}{more}") + &route("a", r#""GET /a""#, r#""runner""#, "")
    };
    let (old, new) = (text("old.service", "50/s", ""), text("new.service", "100/s", ""));
    assert_eq!(
        changes(&old, &new),
        [
            "+ user ci of unit new.service: GET /a; route a does not allow it (policy.toml:17)",
            "- user ci of unit old.service: GET /a; route a does not allow it (policy.toml:17)",
        ]
    );
    let found = diff(&policy(&old), &policy(&new), &known());
    let edits: Vec<_> =
        found.edits.iter().map(|edit| (edit.what.as_str(), edit.key.as_str(), edit.weight)).collect();
    assert_eq!(edits, [("who.runner", "limits.rate", Weight::Gain)]);
    let back = diff(&policy(&new), &policy(&old), &known());
    assert!(back.edits.iter().all(|edit| edit.weight == Weight::Loss));
}

#[test]
fn diff_follows_whos_that_are_made_of_others_and_times_that_move() {
    let all = |who: &str, until: &str| {
        let whos = format!("[who.all]\nany_of = [\"ops\", \"ci\"]\nexcept = [{who}]\n");
        whos + &route("a", r#""GET /a""#, r#""all""#, &format!("until = {until}"))
    };
    let (old, new) = (all("", "2031-01-01T00:00:00Z"), all("\"ci\"", "2030-01-01T00:00:00Z"));
    let old = old.replace("except = []\n", "");
    let found = changes(&old, &new);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("- user ci") && found[0].contains(": GET /a; route a does not allow it"),
        "{found:?}"
    );
    let found = diff(&policy(&old), &policy(&new), &known());
    let edits: Vec<_> = found.edits.iter().map(|edit| (edit.key.as_str(), edit.weight)).collect();
    assert_eq!(edits, [("until", Weight::Loss)]);
}

#[test]
fn who_can_names_whos_and_their_users() {
    let rules = route("a", r#""GET /a/{x}""#, r#"["users", "ops"]"#, "")
        + "[[forbid]]\nid = \"f\"\nmatch = \"* /a/b\"\nwho = \"ci\"\n";
    let policy = policy(&rules);
    let can = |target: &str| {
        let target = Target::parse(target.as_bytes()).unwrap();
        who_can(&policy, &known(), ListenerId(0), Method::GET, target)
    };
    let all = can("/a/c");
    let users = |can: &crate::policy::grants::WhoCan| {
        can.whos.iter().map(|who| format!("{}: {}", who.who, who.users.join(" "))).collect::<Vec<_>>()
    };
    assert_eq!(users(&all), ["who.users: alice bob ci", "who.ops: alice"]);
    assert_eq!(users(&can("/a/b")), ["who.users: alice bob", "who.ops: alice"]);
    assert!(can("/a/b").refused.iter().any(|(who, why)| who.contains("user ci") && why.contains("forbid.f")));
    assert!(can("/b").route.is_none());
}

#[test]
fn what_can_root_is_as_anybody() {
    let rules = route("a", r#"["GET /a/{x}", "HEAD /b"]"#, r#""users""#, "stream = true")
        + "[[forbid]]\nid = \"f\"\nmatch = \"* /a/b\"\nwho = \"ci\"\n";
    let policy = policy(&rules);
    let listener = &policy.listeners[0];
    assert!(what_can(&policy, listener, &caller("root")).0.is_empty());
    let (whats, whole) = what_can(&policy, listener, &caller("ci"));
    assert!(whole);
    assert_eq!(whats.iter().map(|what| what.pattern.as_str()).collect::<Vec<_>>(), ["GET /a/{x}", "HEAD /b"]);
    assert_eq!(whats[0].route.conditions, [("stream", "yes".to_owned())]);
    assert_eq!(whats[0].except.iter().map(|it| it.such_as.as_str()).collect::<Vec<_>>(), ["GET /a/b"]);
    assert!(whats[1].except.is_empty());
}

/// Segments that collide as often as possible.
const SEGMENTS: [&str; 6] = ["a", "b", "{x}", "{y:int}", "v{z:hex}", "{r...}"];

fn pattern() -> impl Strategy<Value = String> {
    let method = prop::sample::select(vec!["GET", "POST", "*"]);
    (method, prop::collection::vec(0..SEGMENTS.len(), 1..4), any::<bool>()).prop_map(
        |(method, picks, slash)| {
            let mut path = String::new();
            for (place, pick) in picks.iter().enumerate() {
                let segment = SEGMENTS[*pick];
                path.push('/');
                // After a rest only literals may stand, and names stand once.
                let rest = picks.iter().take(place).any(|pick| SEGMENTS[*pick] == "{r...}");
                if rest || (segment.contains('{') && picks.iter().take(place).any(|other| other == pick)) {
                    path.push('b');
                } else {
                    path.push_str(segment);
                }
            }
            if slash {
                path.push('/');
            }
            format!("{method} {path}")
        },
    )
}

fn rules() -> impl Strategy<Value = String> {
    let who = || prop::sample::select(vec!["ops", "users", "ci"]);
    let routes = prop::collection::vec((pattern(), who()), 1..4);
    let forbids = prop::collection::vec((pattern(), prop::option::of(who())), 0..3);
    (routes, forbids).prop_map(|(routes, forbids)| {
        let mut text = String::new();
        for (number, (pattern, who)) in routes.iter().enumerate() {
            text += &route(&format!("r{number}"), &format!("{pattern:?}"), &format!("{who:?}"), "");
        }
        for (number, (pattern, who)) in forbids.iter().enumerate() {
            let who = who.map(|who| format!("who = {who:?}\n")).unwrap_or_default();
            text += &format!("[[forbid]]\nid = \"f{number}\"\nmatch = {pattern:?}\n{who}");
        }
        text
    })
}

fn request() -> impl Strategy<Value = (Method, String)> {
    let segment = prop::sample::select(vec!["a", "b", "7", "v7", "vf", "x", "vx", "c"]);
    let method = prop::sample::select(vec![Method::GET, Method::POST, Method::PUT]);
    (method, prop::collection::vec(segment, 0..4), any::<bool>()).prop_map(|(method, segments, slash)| {
        let mut path: String = segments.iter().map(|segment| format!("/{segment}")).collect();
        if slash || path.is_empty() {
            path.push('/');
        }
        (method, path)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever flips for anybody is among the gains or the losses.
    #[test]
    fn diff_misses_no_request_that_flips(old in rules(), new in rules(), asks in prop::collection::vec(request(), 24)) {
        let loaded = [old, new].map(|rules| load(&format!("{HEAD}{rules}")));
        // Patterns that tie are no policy.
        let [Ok(old), Ok(new)] = loaded else { return Ok(()) };
        let both = [Arc::new(old), Arc::new(new)];
        let found = diff(&both[0], &both[1], &known());
        prop_assert!(found.whole);
        let deciders = both.each_ref().map(|policy| Decider::new(Arc::clone(policy)));
        for (method, path) in &asks {
            let target = Target::parse(path.as_bytes()).unwrap();
            let asked = Asked { method, target: &target, upgrade: None };
            for name in ["alice", "bob", "ci", "mallory", "root"] {
                let allowed = deciders.each_ref().map(|decider| {
                    let subject = decider.recognise(ListenerId(0), &caller(name));
                    match decider.decide(ListenerId(0), &subject, &asked) {
                        Verdict::Allow(permit) => Some(permit.route_id().to_owned()),
                        Verdict::Read(_) | Verdict::Deny(_) => None,
                    }
                });
                let changes = match &allowed {
                    [None, Some(_)] => &found.gains,
                    [Some(_), None] => &found.losses,
                    _ => continue,
                };
                let route = allowed.iter().flatten().next().unwrap();
                let label = format!("user {name}");
                let told = changes.iter().any(|change| change.route == *route && change.who.contains(&label));
                prop_assert!(told, "{name} {method} {path} by {route}: {changes:?}");
            }
        }
    }
}

#[test]
fn classes_hold_everybody_who_differs() {
    let policy = asking(&format!("{HEAD}{}", route("a", r#""GET /a""#, r#""ops""#, "")));
    let classes = classes(&[&policy.decider], &known());
    let labels: Vec<&str> = classes.iter().map(|class| class.label.as_str()).collect();
    assert_eq!(labels, ["everyone else", "group docker-ops", "group docker-users", "user ci", "user alice"]);
    assert!(classes[0].also.contains(&"user root".to_owned()));
}
