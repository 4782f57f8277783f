//! What routes read of query, headers and body, and what rules in shadow mode make of it.

use super::{Asking, caller, house};
use crate::model::ids::ListenerId;
use crate::model::message::Coming;
use crate::model::method::Method;
use crate::model::target::{Asked, Target};
use crate::policy::{Headed, Verdict};

const RULES: &str = r#"
[[route]]
id = "create"
match = "POST /create"
query = { name = { text = "name", required = true }, force = "bool" }
header = { X-Auth = "absent" }
to = "docker"
allow = "users"
body = { max = "100B", json = { allow = ["/Image"], values = { "/Memory" = "int 0..5" } } }
audit = { record = { query = ["name"], headers = ["X-Who"], body = ["/Image", "/Memory"], plain = ["/Image"] } }
help = "ask ops"
[[route]]
id = "plain"
match = "POST /plain"
to = "docker"
allow = "users"
[[route]]
id = "plain-tighter"
match = "POST /plain"
to = "docker"
allow = "users"
mode = "shadow"
body = { max = "100B", json = { allow = ["/Image"] } }
[[route]]
id = "create-wider"
match = "POST /create"
to = "docker"
allow = "users"
mode = "shadow"
body = { max = "1KiB", json = { allow = ["/**"] } }
[[route]]
id = "new"
match = "POST /new"
to = "docker"
allow = "users"
mode = "shadow"
body = { json = { allow = ["/Image"] } }
"#;

/// What is said of a request with this body, as a gate asks: in the end, or before the body is read (`…`).
fn says(asking: &Asking, request: &str, lines: &[(&str, &str)], body: &str, chunked: bool) -> String {
    let (method, target) = request.split_once(' ').unwrap();
    let (method, target) =
        (Method::parse(method.as_bytes()).unwrap(), Target::parse(target.as_bytes()).unwrap());
    let asked = Asked { method: &method, target: &target, upgrade: None };
    let mut lines: Vec<_> =
        lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    lines.push(("Content-Type".to_owned(), "application/json".to_owned()));
    let coming = match body.len() {
        0 => Coming::Nothing,
        _ if chunked => Coming::Chunked,
        length => Coming::Length(length as u64),
    };
    let judged = match asking.decider.decide(ListenerId(0), &asking.subject("bob"), &asked) {
        Verdict::Allow(permit) => Ok(permit),
        Verdict::Deny(denial) => Err(denial),
        Verdict::Read(unread) => match unread.head(&lines, coming) {
            Ok(Headed::Permit(permit)) => Ok(permit),
            Ok(Headed::Body(unjudged)) => unjudged.body(body.as_bytes()),
            Err(denial) => Err(denial),
        },
    };
    let (mut text, shadow) = match judged {
        Ok(permit) => (format!("allow {}", permit.route_id()), permit.shadow().map(str::to_owned)),
        Err(denial) => {
            let part = denial.part.as_deref().unwrap_or("-");
            (format!("{} {part}", denial.refusal), denial.shadow.as_deref().map(str::to_owned))
        }
    };
    if let Some(shadow) = shadow {
        text.push_str(&format!(" (shadow: {shadow})"));
    }
    text
}

#[test]
fn route_query_head_and_body_are_judged_in_this_order() {
    let asking = house(RULES);
    let wider = " (shadow: allow create-wider by who.users)";
    let body = r#"{"Image":"x"}"#;
    for (request, lines, body, said) in [
        ("POST /create?name=a", vec![], body, "allow create".to_owned()),
        (
            "POST /create",
            vec![("X-Auth", "")],
            "",
            "query-lacks query name (shadow: unread create-wider by who.users)".to_owned(),
        ),
        (
            "POST /create?name=-a",
            vec![],
            "",
            "query-value query name (shadow: unread create-wider by who.users)".to_owned(),
        ),
        (
            "POST /create?name=a&force=yes",
            vec![],
            body,
            "query-value query force (shadow: unread create-wider by who.users)".to_owned(),
        ),
        (
            "POST /create?name=a&other",
            vec![],
            body,
            "query-name - (shadow: unread create-wider by who.users)".to_owned(),
        ),
        (
            "POST /create?name=a&name=b",
            vec![],
            body,
            "query-twice - (shadow: unread create-wider by who.users)".to_owned(),
        ),
        (
            "POST /create?name=a",
            vec![("x-auth", "")],
            body,
            "header-rule header X-Auth (shadow: unread create-wider by who.users)".to_owned(),
        ),
        ("POST /create?name=a", vec![], "", "body-missing body".to_owned()),
        (
            "POST /create?name=a",
            vec![("Content-Encoding", "gzip")],
            body,
            "content-encoding header Content-Encoding".to_owned(),
        ),
        (
            "POST /create?name=a",
            vec![("content-type", "a/b")],
            body,
            "content-type header Content-Type".to_owned(),
        ),
        (
            "POST /create?name=a",
            vec![],
            r#"{"Privileged":true}"#,
            format!("body-member body /Privileged{wider}"),
        ),
        ("POST /create?name=a", vec![], r#"{"Memory":6}"#, format!("body-value body /Memory{wider}")),
        ("POST /create?name=a", vec![], r#"{"Image":1,"image":2}"#, "json-twice body byte 11".to_owned()),
    ] {
        assert_eq!(says(&asking, request, &lines, body, false), said, "{request} {lines:?} {body}");
    }
    let long = format!("{{\"Image\":\"{}\"}}", "x".repeat(100));
    let said = "body-too-large - (shadow: unread create-wider by who.users)";
    assert_eq!(says(&asking, "POST /create?name=a", &[], &long, false), said);
}

#[test]
fn shadow_route_that_alone_reads_the_body_records_and_never_decides() {
    let asking = house(RULES);
    let long = format!("{{\"Image\":\"{}\"}}", "x".repeat(100));
    for (request, body, chunked, said) in [
        ("POST /plain", r#"{"Image":"x"}"#, false, "allow plain"),
        (
            "POST /plain",
            r#"{"Other":"x"}"#,
            false,
            "allow plain (shadow: deny body-member by route.plain-tighter: body /Other)",
        ),
        ("POST /plain", "", false, "allow plain (shadow: deny body-missing by route.plain-tighter: body)"),
        ("POST /plain", &long, false, "allow plain (shadow: deny body-too-large by route.plain-tighter)"),
        ("POST /plain", r#"{"Other":"x"}"#, true, "allow plain (shadow: unread plain-tighter by who.users)"),
        ("POST /new", r#"{"Image":"x"}"#, false, "no-route - (shadow: unread new by who.users)"),
    ] {
        assert_eq!(says(&asking, request, &[], body, chunked), said, "{request} {body}");
    }
}

#[test]
fn recorded_fields_are_what_the_route_names() {
    let asking = house(RULES);
    let target = Target::parse(b"/create?name=a").unwrap();
    let method = Method::POST;
    let asked = Asked { method: &method, target: &target, upgrade: None };
    let subject = asking.decider.recognise(ListenerId(0), &caller("bob"));
    let Verdict::Read(unread) = asking.decider.decide(ListenerId(0), &subject, &asked) else {
        panic!("it reads")
    };
    let lines = vec![
        ("Content-Type".to_owned(), "application/json".to_owned()),
        ("x-who".to_owned(), "me".to_owned()),
    ];
    let Ok(Headed::Body(unjudged)) = unread.head(&lines, Coming::Length(9)) else {
        panic!("it reads the body")
    };
    let permit = unjudged.body(br#"{"Image":"\u0061"}"#).unwrap();
    let noted: Vec<_> =
        permit.noted().iter().map(|it| (it.name.as_str(), it.value.as_deref(), it.plain)).collect();
    assert_eq!(
        noted,
        [
            ("header X-Who", Some("me"), false),
            ("body /Image", Some("a"), true),
            ("body /Memory", None, false)
        ]
    );
    assert_eq!(permit.hides(), ["name"]);
}

#[test]
fn test_of_a_policy_has_headers_and_a_body() {
    let case = |more: &str, expect: &str| {
        let text = format!(
            "{}{RULES}[[test]]\nwho = {{ user = \"bob\" }}\nrequest = \"POST /create?name=a\"\n{more}\nexpect = \"{expect}\"\n",
            super::HEAD
        );
        super::load(&text).map(|_| ()).map_err(|wrong| wrong.to_string())
    };
    assert_eq!(case("body = '{\"Image\":\"x\"}'", "allow"), Ok(()));
    assert_eq!(case("body = '{\"Image\":\"x\"}'\nheaders = { X-Auth = \"x\" }", "header-rule"), Ok(()));
    assert_eq!(
        case("body = '{\"Image\":\"x\"}'\nheaders = { Content-Type = \"text/plain\" }", "content-type"),
        Ok(())
    );
    assert_eq!(case("", "body-missing"), Ok(()));
    let failed = case("body = '{\"Privileged\":true}'", "allow").unwrap_err();
    assert!(failed.contains("it is refused as `body-member` for `body /Privileged`"), "{failed}");
}
