//! Denials in words.

use super::{Asking, HEAD, caller, house, load};
use crate::model::caller::{Attr, Caller, Namespace};
use crate::model::ids::ListenerId;
use crate::model::method::Method;
use crate::model::refusal::Refusal;
use crate::model::target::{Asked, Target};
use crate::policy::{Explained, explain, explain_part};

const RULES: &str = "
[who.both]
user = [\"ci\", \"alice\"]
group = \"docker-ops\"
[[route]]
id = \"list\"
match = [\"GET /containers/json\", \"GET /containers/{id:hex}/json\"]
query = [\"all\", \"limit\"]
to = \"docker\"
allow = \"users\"
[[route]]
id = \"exec\"
match = \"POST /containers/{id}/exec\"
to = \"docker\"
allow = [\"both\", \"ops\"]
upgrade = [\"tcp\"]
[[route]]
id = \"images\"
match = \"GET /images/{name...}/json\"
to = \"docker\"
allow = \"users\"
[[forbid]]
id = \"ci-execs\"
match = \"POST /containers/{id}/exec\"
who = \"ci\"
[[forbid]]
id = \"nobody\"
match = \"* /images/secret/json\"
";

fn explained(asking: &Asking, caller: &Caller, request: &str, upgrade: Option<&str>) -> Explained {
    let (method, target) = request.split_once(' ').unwrap();
    let (method, target) =
        (Method::parse(method.as_bytes()).unwrap(), Target::parse(target.as_bytes()).unwrap());
    let asked = Asked { method: &method, target: &target, upgrade };
    explain(asking.decider.policy(), ListenerId(0), caller, &asked)
}

fn misses(user: &str, request: &str) -> Vec<String> {
    let explained = explained(&house(RULES), &caller(user), request, None);
    assert!(explained.refusal.is_some(), "{request}");
    explained.misses.iter().map(ToString::to_string).collect()
}

#[test]
fn explain_allowed_has_nothing_to_say() {
    let explained = explained(&house(RULES), &caller("bob"), "GET /containers/json?all=1", None);
    assert_eq!(explained, Explained { refusal: None, misses: Vec::new() });
}

#[test]
fn explain_names_each_who_and_the_keys_that_fail_the_least_first() {
    assert_eq!(
        misses("bob", "POST /containers/web/exec"),
        [
            "who.ops (policy.toml:26) asks for group 997 where the caller is in 998, 1001",
            "who.both (policy.toml:26) asks for one of the users 1000 (alice), 1002 (ci) where the caller is user 1001 \
             (bob), and for group 997 where the caller is in 998, 1001",
        ]
    );
}

#[test]
fn explain_tells_of_the_namespace_and_of_what_is_not_known() {
    let asking = house(RULES);
    let mut alice = caller("alice");
    alice.namespace = Attr::Known(Namespace::Other);
    let misses = explained(&asking, &alice, "GET /containers/json", None).misses;
    assert_eq!(
        misses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "who.users (policy.toml:21) asks for the host's namespace where the caller is in the namespace other"
        ]
    );
    alice.namespace = Attr::Known(Namespace::Host);
    alice.credentials.groups = Attr::Unknown;
    let misses = explained(&asking, &alice, "GET /containers/json", None).misses;
    assert_eq!(
        misses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["who.users (policy.toml:21) asks for group 998 where the caller's is not known"]
    );
}

#[test]
fn explain_names_the_forbid_and_whom_it_binds() {
    assert_eq!(
        misses("ci", "POST /containers/web/exec"),
        ["forbid.ci-execs (policy.toml:34) forbids it to who.ci, whatever routes allow"]
    );
    assert_eq!(
        misses("alice", "GET /images/secret/json"),
        ["forbid.nobody (policy.toml:38) forbids it to everyone, whatever routes allow"]
    );
}

#[test]
fn explain_names_what_the_route_does_not_take() {
    assert_eq!(
        misses("bob", "GET /containers/json?all=1&since=2&x"),
        [
            "route list (policy.toml:17) does not take \"since\" in its query, but all, limit",
            "route list (policy.toml:17) does not take \"x\" in its query, but all, limit",
        ]
    );
    let upgrade = explained(&house(RULES), &caller("alice"), "POST /containers/web/exec", Some("h2c"));
    assert_eq!(upgrade.refusal, Some(Refusal::UpgradeRefused));
    assert_eq!(
        upgrade.misses[0].to_string(),
        "route exec (policy.toml:23) does not take that upgrade, but tcp"
    );
}

#[test]
fn explain_names_the_routes_that_nearly_match() {
    for (request, nearest) in [
        (
            "DELETE /containers/json",
            "route list (policy.toml:17) matches GET /containers/json: the method is DELETE and not GET; it allows this caller",
        ),
        (
            "GET /containers/jsn",
            "route list (policy.toml:17) matches GET /containers/json: segment 2 is \"jsn\" and not \"json\"; it allows this caller",
        ),
        (
            "GET /v1.41/containers/json",
            "route list (policy.toml:17) matches GET /containers/json: segment 1, \"v1.41\", is one too many; it allows this caller",
        ),
        (
            "GET /containers/web/json",
            "route list (policy.toml:17) matches GET /containers/{id:hex}/json: segment 2 is \"web\" and not \"{id:hex}\"; it allows this caller",
        ),
        (
            "POST /containers/web",
            "route exec (policy.toml:23) matches POST /containers/{id}/exec: \"exec\" is missing; it does not allow this caller either",
        ),
        (
            "GET /images/a/b/c",
            "route images (policy.toml:29) matches GET /images/{name...}/json: \"json\" is missing; it allows this caller",
        ),
    ] {
        assert_eq!(misses("bob", request).first().map(String::as_str), Some(nearest), "{request}");
    }
    assert!(misses("bob", "GET /nowhere").is_empty());
    assert!(misses("bob", &format!("GET /{}", "a/".repeat(200))).is_empty());
}

#[test]
fn explain_counts_the_prefix_and_other_listeners() {
    let text = format!("{HEAD}{RULES}")
        .replace("proxy = ", "version_prefix = \"/v{api:version}\"\nproxy = ")
        .replace("[backend", "[listen.other]\npath = \"/run/peergate/other.sock\"\n[backend")
        .replace("id = \"list\"", "id = \"list\"\non = \"other\"")
        .replace("id = \"exec\"", "id = \"exec\"\non = \"docker\"")
        .replace("id = \"images\"", "id = \"images\"\non = \"docker\"");
    let asking = super::asking(&text);
    let misses = explained(&asking, &caller("bob"), "GET /v1.41/containers/json", None).misses;
    assert!(
        misses[0].to_string().ends_with(
            "matches GET /containers/json: the listener is docker and not other; it allows this caller"
        ),
        "{misses:?}"
    );
    assert!(load(&text).is_ok());
}

#[test]
fn explain_tells_what_a_route_takes_of_query_and_body() {
    let asking = house(
        "[[route]]\nid = \"r\"\nmatch = \"POST /r\"\nto = \"docker\"\nallow = \"users\"\n\
         query = { limit = { int = \"1..9\" }, name = \"required\" }\nheader = { X-A = { hex = 4 } }\n\
         body = { json = { allow = [\"/Image\", \"/HostConfig/Memory\"], null = [\"/M\"], values = { \"/N\" = \"int 1..2\" } } }\n",
    );
    let misses = |request| explained(&asking, &caller("bob"), request, None).misses[0].to_string();
    assert_eq!(
        misses("POST /r?limit=0&name=a"),
        "route r (policy.toml:13) wants \"limit\" in its query to be int 1..9"
    );
    assert_eq!(misses("POST /r"), "route r (policy.toml:13) needs \"name\" in its query");
    let told = |refusal, part| explain_part(asking.decider.policy(), "r", refusal, part).unwrap();
    for (refusal, part, said) in [
        (
            Refusal::BodyMember,
            "body /HostConfig/Privileged",
            "does not take /HostConfig/Privileged in the body, but /Image, /HostConfig/Memory, /N",
        ),
        (
            Refusal::BodyMember,
            "body /HostConfig/Memry",
            "does not take /HostConfig/Memry in the body, but /HostConfig/Memory",
        ),
        (Refusal::BodyMember, "body /m", "takes /m in the body as null only"),
        (Refusal::BodyValue, "body /N", "wants /N in the body to be int 1..2"),
        (Refusal::HeaderRule, "header X-A", "takes at most one header line X-A, which is hex 4"),
        (Refusal::ContentType, "header Content-Type", "takes a body of application/json only"),
        (Refusal::JsonTwice, "body byte 7", "judges the body, where a key is twice, case apart (byte 7)"),
    ] {
        assert_eq!(told(refusal, part), format!("route r (policy.toml:13) {said}"));
    }
}
