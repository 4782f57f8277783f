//! What a policy's tests say of values that callers fill into commands.

use super::{HEAD, house, load};

/// Whether this test of a command's route holds.
fn test(request: &str, body: &str, expect: &str) -> Result<(), String> {
    let body = if body.is_empty() { String::new() } else { format!("body = '{body}'\n") };
    let text = format!(
        "{HEAD}[backend.c]\ncommand = [\"/srv/c\", \"{{unit}}\", \"--lines={{lines}}\", \"--why={{why}}\"]\nuser = \"ci\"\n\
         params.unit = {{ one_of = [\"a\", \"b\"] }}\n\
         params.lines = {{ int = \"1..9\", from = \"query\", optional = true }}\n\
         params.why = {{ text = \"name\", from = \"body\" }}\n\
         [[route]]\nid = \"r\"\nmatch = \"POST /{{unit}}\"\nto = \"c\"\nallow = \"ops\"\n\
         [[test]]\nwho = {{ user = \"alice\" }}\nrequest = \"{request}\"\n{body}expect = \"{expect}\"\n"
    );
    load(&text).map(|_| ()).map_err(|wrong| wrong.to_string())
}

#[test]
fn test_of_a_policy_judges_values_as_the_daemon_does() {
    let why = r#"{"why":"x"}"#;
    for (request, body, expect) in [
        ("POST /a", why, "allow"),
        ("POST /b?lines=5", why, "allow"),
        ("POST /c", why, "parameter"),
        ("POST /a?lines=10", why, "parameter"),
        ("POST /a?other=1", why, "parameter"),
        ("POST /a", "", "parameter"),
        ("POST /a", r#"{"why":"-x"}"#, "deny"),
        ("POST /a", r#"{"why":"x","more":1}"#, "parameter"),
    ] {
        assert_eq!(test(request, body, expect), Ok(()), "{request} {body}");
    }
    let failed = test("POST /c", why, "allow").unwrap_err();
    assert!(failed.contains("it is refused as `parameter` for `parameter unit`"), "{failed}");
}

#[test]
fn name_that_can_be_spelt_in_two_ways_is_one_name() {
    let asking = house(
        r#"
        [[route]]
        id = "restart"
        match = "POST /units/{unit}/restart"
        to = "docker"
        allow = "users"
        [[route]]
        id = "base"
        match = "POST /units/base:prod/restart"
        to = "docker"
        allow = "ci"
        [[forbid]]
        id = "never-console"
        match = "* /units/getty@tty1+a,b=c/{how}"
        "#,
    );
    for unit in ["getty@tty1+a,b=c", "getty%40tty1%2Ba%2cb%3Dc", "%67etty%40tty1+a,b=c"] {
        let said = asking.says("bob", &format!("POST /units/{unit}/restart"));
        assert!(said.starts_with("forbidden "), "{unit}: {said}");
    }
    for unit in ["base:prod", "base%3Aprod", "base%3aprod"] {
        let said = asking.says("bob", &format!("POST /units/{unit}/restart"));
        assert!(said.starts_with("not-allowed base"), "{unit}: {said}");
    }
}
