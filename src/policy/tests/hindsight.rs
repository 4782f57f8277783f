//! What a policy says of requests of which only the record is left.

use super::{caller, house};
use crate::model::ids::ListenerId;
use crate::model::method::Method;
use crate::model::target::Target;
use crate::model::time::Timestamp;
use crate::policy::{Hindsight, Lacks, Past};

const RULES: &str = r#"
[[route]]
id = "typed"
match = "GET /typed"
query = { n = "int 1..5", m = "any" }
to = "docker"
allow = "ci"
[[route]]
id = "open"
match = "GET /open"
query = { t = { text = "printable" } }
to = "docker"
allow = "ci"
[[route]]
id = "run"
match = "POST /run/{n}"
to = "run"
allow = "ci"
[[route]]
id = "filled"
match = "POST /filled"
to = "filled"
allow = "ci"
[backend.run]
command = ["/bin/echo", "{n}", "{token}"]
user = "root"
params.n = { int = "1..9" }
params.token = { text = "word", from = "query", optional = true }
[backend.filled]
command = ["/bin/echo", "{n}"]
user = "root"
params.n = { int = "1..9", from = "body" }
[[route]]
id = "create"
match = "POST /create"
to = "docker"
allow = "ci"
body = { max = "1KiB", json = { allow = ["/Image"] } }
[[route]]
id = "put"
match = "PUT /put"
to = "docker"
allow = "ci"
body = { content_type = ["text/plain"] }
"#;

/// `allow ROUTE`, a refusal, or what is not on record.
fn said(user: &str, request: &str, body: Option<u64>) -> String {
    let asking = house(RULES);
    let (method, target) = request.split_once(' ').unwrap();
    let method = Method::parse(method.as_bytes()).unwrap();
    let target = Target::parse(target.as_bytes()).unwrap();
    let caller = asking.decider.recall(ListenerId(0), &caller(user));
    let at = Timestamp::from_micros(1);
    let past = Past { method: &method, target: &target, upgrade: false, at, body };
    match asking.decider.look_back(ListenerId(0), &caller, &past) {
        Hindsight::Allow { route, by, .. } => format!("allow {route} by {by}"),
        Hindsight::Deny(denial) => denial.refusal.to_string(),
        Hindsight::Unclear(Lacks::Caller) => "lacks the caller".to_owned(),
        Hindsight::Unclear(Lacks::Request { route, by, what }) => format!("{route} ({by}) lacks {what}"),
        Hindsight::Unclear(Lacks::Value { route, name, .. }) => format!("{route} lacks the value of {name}"),
    }
}

#[test]
fn value_that_is_on_record_as_a_hash_is_not_judged() {
    let hash = "~0123456789abcdef";
    let secret = "typed lacks the value of n";
    assert_eq!(said("ci", "GET /typed?n=3", None), "allow typed by who.ci");
    assert_eq!(said("ci", "GET /typed?n=9", None), "query-value");
    assert_eq!(said("ci", &format!("GET /typed?n={hash}"), None), secret);
    // A hash that the type would take is no value either.
    assert_eq!(said("ci", &format!("GET /open?t={hash}"), None), "open lacks the value of t");
    // What the route does not take whatever the value was is denied.
    assert_eq!(said("ci", &format!("GET /typed?n={hash}&x=1"), None), "query-name");
    // Of a value that may be anything its hash is enough, and who may not is denied whatever it was.
    assert_eq!(said("ci", &format!("GET /typed?m={hash}&n=3"), None), "allow typed by who.ci");
    assert_eq!(said("bob", &format!("GET /typed?n={hash}"), None), "not-allowed");
    // What only looks like one is a value.
    assert_eq!(said("ci", "GET /typed?n=~0123456789abcde", None), "query-value");
    assert_eq!(said("ci", "GET /typed?n=~0123456789abcdeg", None), "query-value");
}

#[test]
fn values_for_a_command_are_judged_as_far_as_they_are_on_record() {
    assert_eq!(said("ci", "POST /run/7?token=a", None), "allow run by who.ci");
    assert_eq!(said("ci", "POST /run/10", None), "parameter");
    assert_eq!(said("ci", "POST /run/7?other=a", None), "parameter");
    assert_eq!(said("ci", "POST /run/7", Some(1)), "parameter");
    assert_eq!(said("ci", "POST /run/7?token=~0123456789abcdef", None), "run lacks the value of token");
    assert_eq!(said("ci", "POST /filled", Some(9)), "filled (who.ci) lacks the body that its command reads");
    assert_eq!(said("bob", "POST /run/10", None), "not-allowed");
}

#[test]
fn body_that_a_route_judges_is_not_on_record() {
    let lacks = "lacks the header lines or the body that the route reads";
    assert_eq!(said("ci", "POST /create", Some(20)), format!("create (who.ci) {lacks}"));
    assert_eq!(said("ci", "POST /create", None), format!("create (who.ci) {lacks}"));
    assert_eq!(said("ci", "PUT /put", Some(20)), format!("put (who.ci) {lacks}"));
    // What is denied whatever the body held is denied.
    assert_eq!(said("ci", "POST /create", Some(1025)), "body-too-large");
    assert_eq!(said("bob", "POST /create", Some(20)), "not-allowed");
}
