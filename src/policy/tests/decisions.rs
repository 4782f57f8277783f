//! One request at a time: which route, and what it says.

use std::sync::Arc;

use super::{asking, caller, house};
use crate::model::ids::{BackendId, ListenerId};
use crate::model::method::Method;
use crate::model::refusal::Refusal;
use crate::model::target::{Asked, Target};
use crate::policy::{Decider, Verdict};

/// Routes of one pattern each, named by it, all allowed to `users`.
fn routes(patterns: &[&str]) -> super::Asking {
    let route = |(number, pattern): (usize, &&str)| {
        format!("[[route]]\nid = \"r{number}\"\nmatch = \"{pattern}\"\nto = \"docker\"\nallow = \"users\"\n")
    };
    house(&patterns.iter().enumerate().map(route).collect::<String>())
}

/// Which of `patterns` takes a request of bob's.
fn taken<'p>(patterns: &[&'p str], request: &str) -> Option<&'p str> {
    let said = routes(patterns).says("bob", request);
    let number: usize = said.strip_prefix("allow r")?.split(' ').next()?.parse().unwrap();
    Some(patterns[number])
}

#[test]
fn route_the_most_specific_segment_wins_in_every_order() {
    let ladder = ["GET /a/bcd", "GET /a/bc{x}", "GET /a/b{x}", "GET /a/{x}", "GET /a/{x...}", "GET /{x...}"];
    let mut backwards = ladder;
    backwards.reverse();
    for patterns in [ladder, backwards] {
        for (request, pattern) in [
            ("GET /a/bcd", Some("GET /a/bcd")),
            ("GET /a/bce", Some("GET /a/bc{x}")),
            ("GET /a/bx", Some("GET /a/b{x}")),
            ("GET /a/x", Some("GET /a/{x}")),
            ("GET /a/x/y", Some("GET /a/{x...}")),
            ("GET /b", Some("GET /{x...}")),
            ("GET /", Some("GET /{x...}")),
            ("POST /a/bcd", None),
        ] {
            assert_eq!(taken(&patterns, request), pattern, "{request}");
        }
    }
}

#[test]
fn route_an_earlier_segment_outweighs_later_ones() {
    let patterns = ["GET /a/{x}/{y}", "GET /{x}/b/c"];
    assert_eq!(taken(&patterns, "GET /a/b/c"), Some("GET /a/{x}/{y}"));
    assert_eq!(taken(&patterns, "GET /d/b/c"), Some("GET /{x}/b/c"));
}

#[test]
fn route_a_dead_end_does_not_hide_a_wider_match() {
    let patterns = ["GET /a/b/c", "GET /a/{x}/d", "POST /a/b", "GET /a/{x...}"];
    assert_eq!(taken(&patterns, "GET /a/b/d"), Some("GET /a/{x}/d"));
    assert_eq!(taken(&patterns, "GET /a/b"), Some("GET /a/{x...}"));
}

#[test]
fn route_equal_siblings_the_better_continuation_wins() {
    let patterns = ["GET /{x:hex}/{y}", "GET /{x}/b", "GET /a{x}/c{y}", "GET /{x}1/c"];
    assert_eq!(taken(&patterns, "GET /ab/b"), Some("GET /{x}/b"));
    assert_eq!(taken(&patterns, "GET /ab/x"), Some("GET /{x:hex}/{y}"));
    assert_eq!(taken(&patterns, "GET /a1/c"), Some("GET /{x}1/c"));
}

#[test]
fn route_rest_before_literals_the_longer_end_wins() {
    let patterns = ["GET /i/{x...}", "GET /i/{x...}/json", "GET /i/{x...}/a/json", "GET /i/json"];
    for (request, pattern) in [
        ("GET /i/x", "GET /i/{x...}"),
        ("GET /i/x/json", "GET /i/{x...}/json"),
        ("GET /i/x/y/json", "GET /i/{x...}/json"),
        ("GET /i/x/a/json", "GET /i/{x...}/a/json"),
        ("GET /i/a/json", "GET /i/{x...}/json"),
        ("GET /i/json", "GET /i/json"),
        ("GET /i/json/json", "GET /i/{x...}/json"),
    ] {
        assert_eq!(taken(&patterns, request), Some(pattern), "{request}");
    }
}

#[test]
fn route_a_named_method_goes_before_any() {
    let patterns = ["* /a", "GET /a", "HEAD /b"];
    assert_eq!(taken(&patterns, "GET /a"), Some("GET /a"));
    assert_eq!(taken(&patterns, "DELETE /a"), Some("* /a"));
    assert_eq!(taken(&patterns, "GET /b"), None, "HEAD is its own method");
    assert_eq!(taken(&["GET /b"], "HEAD /b"), None, "and so is GET");
}

#[test]
fn route_segments_are_whole_and_a_final_slash_counts() {
    for (pattern, request) in [
        ("GET /public", "GET /public2"),
        ("GET /public", "GET /public/x"),
        ("GET /public", "GET /publi"),
        ("GET /a/{x}", "GET /a/"),
        ("GET /a", "GET /a/"),
        ("GET /a/", "GET /a"),
        ("GET /a/{x...}", "GET /a"),
        ("GET /a/v{x}", "GET /a/v"),
        ("GET /{x}", "GET /a/b"),
        ("GET /{x}", "OPTIONS *"),
        ("* /{x...}", "OPTIONS *"),
        ("OPTIONS *", "OPTIONS /*"),
    ] {
        assert_eq!(taken(&[pattern], request), None, "{pattern} and {request}");
    }
    assert_eq!(taken(&["OPTIONS *"], "OPTIONS *"), Some("OPTIONS *"));
    assert_eq!(taken(&["GET /a/"], "GET /a/"), Some("GET /a/"));
}

#[test]
fn version_prefix_each_match_counts_with_and_without() {
    let asking = asking(&format!(
        "{}{}",
        super::HEAD
            .replace("docker.sock\"\n[who", "docker.sock\"\nversion_prefix = \"/v{api:version}\"\n[who"),
        r#"
        [[route]]
        id = "version"
        match = "GET /version"
        to = "docker"
        allow = "users"
        [[route]]
        id = "volume"
        match = "GET /volumes/{name}"
        to = "docker"
        allow = "ops"
        [[forbid]]
        id = "no-exec"
        match = "* /exec/{rest...}"
        [[route]]
        id = "all"
        match = "POST /{rest...}"
        to = "docker"
        allow = "users"
        "#
    ));
    for (request, answer) in [
        ("GET /version", "allow version by who.users"),
        ("GET /v1.41/version", "allow version by who.users"),
        ("GET /v1./version", "allow version by who.users"),
        ("GET /volumes/version", "not-allowed volume by route.volume"),
        ("GET /v1.41/v1.41/version", "no-route"),
        ("GET /v/version", "no-route"),
        ("POST /exec/1/start", "forbidden all by forbid.no-exec"),
        ("POST /v1.41/exec/1/start", "forbidden all by forbid.no-exec"),
        ("POST /v./exec/1/start", "forbidden all by forbid.no-exec"),
        ("POST /execs/1/start", "allow all by who.users"),
    ] {
        assert_eq!(asking.says("bob", request), answer, "{request}");
    }
}

const OPENED: &str = r#"
[[route]]
id = "image"
match = ["GET /images/{name}/json", "GET /images/{name}/{tag}/x"]
to = "docker"
allow = "users"
encoded_slash = "name"
[[route]]
id = "plain"
match = "GET /plain/{name}/{rest...}"
to = "docker"
allow = "users"
path_parameter = "rest"
[[forbid]]
id = "secret"
match = ["* /images/secret/{rest...}", "* /plain/x/secret", "GET /images/{name}/{tag}/y/json"]
"#;

#[test]
fn encoded_slash_and_semicolon_only_where_the_capture_opts_in() {
    let asking = house(OPENED);
    for (request, answer) in [
        ("GET /images/lib%2fbusybox/json", "allow image by who.users"),
        ("GET /images/lib%2Fbusybox/t/x", "allow image by who.users"),
        ("GET /images/lib/t%2Fu/x", "encoded-slash image by route.image"),
        ("GET /images/lib;a/json", "path-parameter image by route.image"),
        ("GET /images/lib%2F..%2Fsecret/json", "dot-segment image by route.image"),
        ("GET /images/lib%2F%2Fx/json", "empty-segment image by route.image"),
        ("GET /images/%2Fx/json", "empty-segment image by route.image"),
        ("GET /plain/a/b;c/d", "allow plain by who.users"),
        ("GET /plain/a;b/c", "path-parameter plain by route.plain"),
        ("GET /plain/a/b%2Fc", "encoded-slash plain by route.plain"),
        ("GET /absent/a%2Fb", "encoded-slash"),
        ("GET /absent/a;b", "path-parameter"),
        ("GET /absent/a%20b", "no-route"),
    ] {
        let said = asking.says("bob", request);
        // Some of these the target refuses by itself.
        let said = said.strip_prefix("target ").map_or(said.clone(), |code| {
            let owner = answer.split_once(' ').map_or(String::new(), |(_, owner)| format!(" {owner}"));
            format!("{code}{owner}")
        });
        assert_eq!(said, answer, "{request}");
    }
}

#[test]
fn forbid_holds_for_every_way_to_read_an_opened_path() {
    let asking = house(OPENED);
    for request in [
        "GET /images/secret%2Fx/json",
        "GET /images/lib%2Fx%2Fy/json",
        "GET /plain/x/secret;v=1",
        "GET /plain/x/secret/",
        "GET /plain/x/secret",
    ] {
        assert!(
            asking.says("bob", request).starts_with("forbidden "),
            "{request}: {}",
            asking.says("bob", request)
        );
    }
}

#[test]
fn query_names_are_those_listed_once_and_in_one_reading() {
    let asking = house(
        r#"
        [[route]]
        id = "some"
        match = "GET /some"
        query = ["all", "limit"]
        to = "docker"
        allow = "users"
        [[route]]
        id = "none"
        match = "GET /none"
        query = []
        to = "docker"
        allow = "users"
        [[route]]
        id = "any"
        match = "GET /any"
        to = "docker"
        allow = "users"
        "#,
    );
    for (target, answer) in [
        ("/some", "allow some by who.users"),
        ("/some?", "allow some by who.users"),
        ("/some?all=1&limit=a%26b", "allow some by who.users"),
        ("/some?all", "allow some by who.users"),
        ("/some?all=1&", "query-syntax some by route.some"),
        ("/some?%61ll=1", "allow some by who.users"),
        ("/some?all=1&all=2", "query-twice some by route.some"),
        ("/some?All=1", "query-name some by route.some"),
        ("/some?size=1", "query-name some by route.some"),
        ("/some?=1", "query-syntax some by route.some"),
        ("/some?all=1;size=1", "query-syntax some by route.some"),
        ("/some?al%2Bl=1", "query-syntax some by route.some"),
        ("/some?all+=1", "query-syntax some by route.some"),
        ("/none", "allow none by who.users"),
        ("/none?all", "query-name none by route.none"),
        ("/any?x=1;y=2&x=3", "allow any by who.users"),
    ] {
        assert_eq!(asking.says("bob", &format!("GET {target}")), answer, "{target}");
    }
    // Who may not call learns nothing about the query.
    assert_eq!(asking.says("mallory", "GET /some?x=1"), "not-allowed some by route.some");
}

#[test]
fn upgrade_only_to_what_the_route_names() {
    let asking = house(
        r#"
        [[route]]
        id = "attach"
        match = "POST /attach"
        to = "docker"
        allow = "users"
        upgrade = "tcp"
        [[route]]
        id = "plain"
        match = "POST /plain"
        to = "docker"
        allow = "users"
        "#,
    );
    assert_eq!(asking.says_upgrade("bob", "POST /attach", "TCP"), "allow attach by who.users");
    assert_eq!(asking.says_upgrade("bob", "POST /attach", "h2c"), "upgrade-refused attach by route.attach");
    assert_eq!(asking.says_upgrade("bob", "POST /plain", "tcp"), "upgrade-refused plain by route.plain");
    assert_eq!(asking.says("bob", "POST /attach"), "allow attach by who.users");
}

#[test]
fn forbid_wins_over_every_allow_and_binds_only_whom_it_names() {
    let asking = house(
        r#"
        [[route]]
        id = "exec"
        match = "POST /exec/{id}"
        to = "docker"
        allow = ["ci", "users"]
        help = "ask ops"
        [[forbid]]
        id = "ci-never-execs"
        match = "* /exec/{rest...}"
        to = "docker"
        who = "ci"
        "#,
    );
    assert_eq!(asking.says("bob", "POST /exec/1"), "allow exec by who.users");
    assert_eq!(asking.says("ci", "POST /exec/1"), "forbidden exec by forbid.ci-never-execs");
    assert_eq!(asking.says("mallory", "POST /exec/1"), "not-allowed exec by route.exec");
}

#[test]
fn absent_and_forbidden_answer_alike() {
    for refusal in [Refusal::NoRoute, Refusal::NotAllowed, Refusal::Forbidden, Refusal::QueryName] {
        assert_eq!((refusal.status(), refusal.text()), (403, "not allowed"));
    }
}

#[test]
fn verdict_says_where_the_rule_stands_and_how_to_get_help() {
    let text = "version = 1\n[listen.a]\npath = \"/a\"\n[backend.a]\nbuiltin = \"api\"\n[who.ci]\nuser = \"ci\"\n\
                [[route]]\nid = \"r\"\nmatch = \"GET /\"\nto = \"a\"\nallow = [\n\"ci\",\n]\nhelp = \"ask ops\"\n\
                body = { max = \"1KiB\" }\nstream = true\n";
    let policy = super::load(text).unwrap();
    let decider = Decider::new(Arc::new(policy));
    let (method, target) = (Method::parse(b"GET").unwrap(), Target::parse(b"/").unwrap());
    let asked = Asked { method: &method, target: &target, upgrade: None };
    let ask = |user| decider.decide(ListenerId(0), &decider.recognise(ListenerId(0), &caller(user)), &asked);
    let Verdict::Allow(permit) = ask("ci") else { panic!("ci may") };
    assert_eq!((permit.by(), permit.at()), ("who.ci", "policy.toml:13"));
    assert_eq!((permit.terms().body_max, permit.terms().stream), (Some(1024), true));
    let Verdict::Deny(denial) = ask("bob") else { panic!("bob may not") };
    assert_eq!(denial.at.as_deref(), Some("policy.toml:9"));
    assert_eq!(denial.help.as_deref(), Some("ask ops"));
}

#[test]
fn shadow_rules_record_and_never_decide() {
    let asking = house(
        r#"
        [[route]]
        id = "list"
        match = "GET /list"
        to = "docker"
        allow = "users"
        [[route]]
        id = "list-for-ops"
        match = "GET /list"
        to = "docker"
        allow = "ops"
        mode = "shadow"
        [[route]]
        id = "new"
        match = "GET /new"
        to = "docker"
        allow = "users"
        mode = "shadow"
        [[route]]
        id = "old"
        match = "GET /old"
        to = "docker"
        allow = "users"
        [[forbid]]
        id = "old-ends"
        match = "GET /old"
        mode = "shadow"
        "#,
    );
    for (user, request, answer) in [
        ("bob", "GET /list", "allow list by who.users (shadow: deny not-allowed by route.list-for-ops)"),
        ("alice", "GET /list", "allow list by who.users"),
        ("bob", "GET /new", "no-route (shadow: allow new by who.users)"),
        ("bob", "GET /old", "allow old by who.users (shadow: deny forbidden by forbid.old-ends)"),
        ("mallory", "GET /old", "not-allowed old by route.old (shadow: deny forbidden by forbid.old-ends)"),
    ] {
        assert_eq!(asking.says(user, request), answer, "{user} {request}");
    }
}

#[test]
fn may_reach_needs_a_route_on_that_listener_to_that_backend() {
    let asking = asking(
        r#"
        version = 1
        [listen.a]
        path = "/run/a"
        [listen.b]
        path = "/run/b"
        [backend.x]
        proxy = "unix:/run/x"
        [backend.y]
        proxy = "tcp:127.0.0.1:80"
        [backend.z]
        proxy = "tcp:127.0.0.1:81"
        [who.ops]
        group = "docker-ops"
        [who.ci]
        user = "ci"
        [[route]]
        id = "one"
        on = "a"
        match = "GET /"
        to = "x"
        allow = "ci"
        [[route]]
        id = "two"
        on = ["a", "b"]
        match = "POST /"
        to = "y"
        allow = ["ops"]
        [[route]]
        id = "three"
        on = "a"
        match = "PUT /"
        to = "z"
        allow = "ci"
        mode = "shadow"
        "#,
    );
    let reach = |listener: u16, user: &str| {
        let subject = asking.decider.recognise(ListenerId(listener), &caller(user));
        [0, 1, 2, 9]
            .map(|backend| asking.decider.may_reach(ListenerId(listener), &subject, BackendId(backend)))
    };
    assert_eq!(reach(0, "ci"), [true, false, false, false]);
    assert_eq!(reach(0, "alice"), [false, true, false, false]);
    assert_eq!(reach(1, "ci"), [false; 4]);
    assert_eq!(reach(1, "alice"), [false, true, false, false]);
    assert_eq!(reach(7, "alice"), [false; 4]);
    let stranger =
        |listener, user| asking.decider.recognise(ListenerId(listener), &caller(user)).is_stranger();
    assert_eq!(
        [stranger(0, "ci"), stranger(1, "ci"), stranger(1, "alice"), stranger(0, "bob")],
        [false, true, false, true]
    );
}

#[test]
fn what_may_lists_the_routes_that_allow_and_what_forbids_take() {
    let asking = house(
        r#"
        [[route]]
        id = "list"
        match = ["GET /list", "HEAD /list"]
        query = ["all"]
        to = "docker"
        allow = "users"
        help = "the list"
        [[route]]
        id = "exec"
        match = "POST /exec"
        to = "docker"
        allow = "ops"
        [[forbid]]
        id = "no-head"
        match = "HEAD /{rest...}"
        who = "ci"
        "#,
    );
    let offers = |user: &str| asking.decider.what_may(ListenerId(0), &asking.subject(user));
    let ids = |user: &str| offers(user).iter().map(|offer| offer.route.to_string()).collect::<Vec<_>>();
    assert_eq!(
        (ids("alice"), ids("ci"), ids("mallory")),
        (vec!["list".to_owned(), "exec".to_owned()], vec!["list".to_owned()], vec![])
    );
    let offer = &offers("ci")[0];
    assert_eq!(
        (offer.patterns.as_slice(), offer.except.as_slice()),
        (
            ["GET /list".to_owned(), "HEAD /list".to_owned()].as_slice(),
            ["HEAD /{rest...}".to_owned()].as_slice()
        )
    );
    assert_eq!(
        (offer.help.as_deref(), offer.query.as_deref()),
        (Some("the list"), Some(["all".to_owned()].as_slice()))
    );
    assert!(offers("bob")[0].except.is_empty());
}
