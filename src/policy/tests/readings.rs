//! Paths and methods that a backend may read otherwise.

use super::{Asking, HEAD, asking, caller, house};
use crate::model::ids::ListenerId;
use crate::model::method::Method;
use crate::model::target::{Asked, Target};
use crate::model::time::Timestamp;
use crate::policy::steps;

/// The forbids that bind `bob`, as `explain` tells them.
fn told(asking: &Asking, request: &str) -> Vec<String> {
    let (method, target) = request.split_once(' ').unwrap();
    let method = Method::parse(method.as_bytes()).unwrap();
    let target = Target::parse(target.as_bytes()).unwrap();
    let asked = Asked { method: &method, target: &target, upgrade: None };
    let told = steps(asking.decider.policy(), ListenerId(0), &caller("bob"), &asked, Timestamp::now());
    told.forbids.into_iter().filter(|step| step.binds).map(|step| step.id).collect()
}

#[test]
fn forbid_holds_in_any_case_and_a_route_in_its_own() {
    let prefix = "[backend.docker]\nversion_prefix = \"/v{api:version}\"\n";
    let rules = r#"
        [[route]]
        id = "all"
        match = "* /{all...}"
        to = "docker"
        allow = "users"
        [[route]]
        id = "own"
        match = "GET /Own"
        to = "docker"
        allow = "users"
        [[forbid]]
        id = "no-exec"
        match = ["* /exec/{rest...}", "* /Admin/{x:one_of Do|Undo}", "* /a{x:one_of B}C/d"]
        "#;
    let asking = asking(&format!("{}{rules}", HEAD.replacen("[backend.docker]\n", prefix, 1)));
    for request in [
        "POST /exec/1",
        "POST /EXEC/1/start",
        "POST /v1.41/Exec/1",
        "POST /V1.41/exec/1",
        "POST /eXec/",
        "POST /admin/do",
        "POST /ADMIN/UNDO",
        "POST /Admin/Do",
        "POST /AbC/D",
    ] {
        assert!(
            asking.says("bob", request).starts_with("forbidden "),
            "{request}: {}",
            asking.says("bob", request)
        );
        assert_eq!(told(&asking, request), ["no-exec"], "{request}");
    }
    assert!(told(&asking, "POST /admin/redo").is_empty());
    assert_eq!(asking.says("bob", "POST /admin/redo"), "allow all by who.users");
    assert_eq!(asking.says("bob", "GET /Own"), "allow own by who.users");
    assert_eq!(asking.says("bob", "GET /own"), "allow all by who.users");
}

#[test]
fn forbid_of_get_holds_for_head_and_not_the_other_way_round() {
    let asking = house(
        r#"
        [[route]]
        id = "all"
        match = "* /{all...}"
        to = "docker"
        allow = "users"
        [[forbid]]
        id = "no-reading"
        match = "GET /secret/{x}"
        [[forbid]]
        id = "no-head"
        match = "HEAD /plain"
        "#,
    );
    for request in ["GET /secret/a", "HEAD /secret/a", "HEAD /Secret/a/", "HEAD /plain"] {
        assert!(asking.says("bob", request).starts_with("forbidden "), "{request}");
    }
    for request in ["POST /secret/a", "GET /plain"] {
        assert_eq!(asking.says("bob", request), "allow all by who.users", "{request}");
    }
}
