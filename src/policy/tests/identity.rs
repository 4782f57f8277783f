//! Who is who: credentials decide, unknown never allows and always forbids.

use super::{Asking, asking, caller, gid, house, uid};
use crate::model::caller::{Attr, Caller, Namespace};
use crate::model::ids::ListenerId;
use crate::model::refusal::Refusal;
use crate::policy::{Decider, Verdict};

const ALL: &str = r#"
[[route]]
id = "get"
match = "GET /"
to = "docker"
allow = ["ci", "ops"]
[[forbid]]
id = "not-users"
match = "DELETE /"
who = "users"
[[route]]
id = "delete"
match = "DELETE /"
to = "docker"
allow = ["ci", "ops"]
"#;

fn says(asking: &Asking, caller: &Caller, request: &str) -> String {
    asking.says_to(caller, ListenerId(0), request)
}

#[test]
fn who_matches_the_frozen_credentials_and_nothing_else() {
    let asking = house(ALL);
    let mut mallory = caller("mallory");
    mallory.user = Some("ci".to_owned());
    mallory.peer.uid = 1002;
    mallory.login_uid = Attr::Known(uid(1002));
    assert_eq!(says(&asking, &mallory, "GET /"), "not-allowed get by route.get");
    mallory.credentials.uid = Attr::Known(uid(1002));
    assert_eq!(says(&asking, &mallory, "GET /"), "allow get by who.ci");
}

#[test]
fn who_a_group_counts_as_primary_and_as_supplementary() {
    let asking = house(ALL);
    let mut mallory = caller("mallory");
    mallory.credentials.gid = Attr::Known(gid(997));
    assert_eq!(says(&asking, &mallory, "GET /"), "allow get by who.ops");
    let mut mallory = caller("mallory");
    mallory.credentials.groups = Attr::Known(vec![gid(1), gid(997), gid(5)]);
    assert_eq!(says(&asking, &mallory, "GET /"), "allow get by who.ops");
}

#[test]
fn unknown_credentials_never_allow_and_always_forbid() {
    let asking = house(ALL);
    let mut alice = caller("alice");
    assert_eq!(says(&asking, &alice, "GET /"), "allow get by who.ops");
    alice.credentials.groups = Attr::Unknown;
    assert_eq!(says(&asking, &alice, "GET /"), "not-allowed get by route.get");
    let mut ci = caller("ci");
    ci.credentials.groups = Attr::Unknown;
    assert_eq!(says(&asking, &ci, "GET /"), "allow get by who.ci");
    assert_eq!(says(&asking, &ci, "DELETE /"), "forbidden delete by forbid.not-users");
    ci.credentials.uid = Attr::Unknown;
    assert_eq!(says(&asking, &ci, "GET /"), "not-allowed get by route.get");
}

#[test]
fn namespace_not_written_narrows_an_allow_and_never_a_forbid() {
    let asking = house(&format!(
        "{ALL}
        [who.anywhere]
        group = \"docker-users\"
        namespace = \"any\"
        [who.guests]
        group = \"docker-users\"
        namespace = \"other\"
        [[route]]
        id = \"any\"
        match = [\"GET /any\", \"DELETE /any\"]
        to = \"docker\"
        allow = \"anywhere\"
        [[route]]
        id = \"other\"
        match = \"GET /other\"
        to = \"docker\"
        allow = \"guests\"
        [[forbid]]
        id = \"never-guests\"
        match = \"DELETE /any\"
        who = \"ci\"
        "
    ));
    let mut ci = caller("ci");
    let mut said = |namespace| {
        ci.namespace = namespace;
        ["GET /", "GET /any", "GET /other", "DELETE /any"].map(|request| says(&asking, &ci, request))
    };
    assert_eq!(
        said(Attr::Known(Namespace::Host)),
        [
            "allow get by who.ci",
            "allow any by who.anywhere",
            "not-allowed other by route.other",
            "forbidden any by forbid.never-guests",
        ]
    );
    assert_eq!(
        said(Attr::Known(Namespace::Other)),
        [
            "not-allowed get by route.get",
            "allow any by who.anywhere",
            "allow other by who.guests",
            "forbidden any by forbid.never-guests",
        ]
    );
    assert_eq!(
        said(Attr::Unknown),
        [
            "not-allowed get by route.get",
            "allow any by who.anywhere",
            "not-allowed other by route.other",
            "forbidden any by forbid.never-guests",
        ]
    );
}

#[test]
fn who_keys_are_anded_and_values_ored() {
    let asking = asking(
        r#"
        version = 1
        [listen.a]
        path = "/a"
        [backend.a]
        builtin = "api"
        [who.both]
        user = ["alice", "bob", "mallory"]
        uid = [1001, 1000, 77]
        group = ["docker-ops", "docker-users"]
        gid = 998
        [who.me]
        user = "@self"
        [[route]]
        id = "r"
        match = "GET /"
        to = "a"
        allow = ["both", "me"]
        "#,
    );
    for (user, may) in
        [("alice", true), ("bob", true), ("mallory", false), ("ci", false), ("self", true), ("root", false)]
    {
        assert_eq!(asking.says(user, "GET /").starts_with("allow"), may, "{user}");
    }
}

#[test]
fn root_has_no_right_of_its_own() {
    assert_eq!(house(ALL).says("root", "GET /"), "not-allowed get by route.get");
}

#[test]
fn subject_of_another_decider_or_listener_decides_nothing() {
    let asking = house(ALL);
    let other = Decider::new(asking.decider.policy().clone());
    let subject = other.recognise(ListenerId(0), &caller("ci"));
    let (method, target) = (
        crate::model::method::Method::parse(b"GET").unwrap(),
        crate::model::target::Target::parse(b"/").unwrap(),
    );
    let asked = crate::model::target::Asked { method: &method, target: &target, upgrade: None };
    let refusal = |decider: &Decider, listener| match decider.decide(listener, &subject, &asked) {
        Verdict::Allow(_) | Verdict::Read(_) => None,
        Verdict::Deny(denial) => Some(denial.refusal),
    };
    assert_eq!(refusal(&other, ListenerId(0)), None);
    assert_eq!(refusal(&asking.decider, ListenerId(0)), Some(Refusal::Internal));
    assert_eq!(refusal(&other, ListenerId(1)), Some(Refusal::Internal));
}

#[test]
fn names_for_records_hold_who_is_listed_named_or_a_member() {
    let policy = super::load(&format!("{}{ALL}", super::HEAD)).unwrap();
    assert_eq!(policy.user_name(uid(1002)), Some("ci"));
    assert_eq!(policy.user_name(uid(1000)), Some("alice"));
    assert_eq!(policy.user_name(uid(4242)), None);
}
