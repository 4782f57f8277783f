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
fn test_of_a_policy_judges_method_and_size_of_what_a_command_gets_as_the_daemon_does() {
    let test = |more: &str, request: &str, body: &str, expect: &str| {
        let text = format!(
            "{HEAD}[backend.c]\nuser = \"ci\"\n{more}\n\
             [[route]]\nid = \"r\"\nmatch = [\"POST /c\", \"HEAD /c\"]\nto = \"c\"\nallow = \"ops\"\n\
             [[test]]\nwho = {{ user = \"alice\" }}\nrequest = \"{request}\"\nbody = '{body}'\nexpect = \"{expect}\"\n"
        );
        load(&text).map(|_| ()).map_err(|wrong| wrong.to_string())
    };
    let none = "command = [\"/srv/c\"]";
    let input = "command = [\"/srv/c\"]\nstdin = \"4B\"";
    let members =
        "command = [\"/srv/c\", \"{n}\"]\nparams.n = { int = \"1..9\", from = \"body\", optional = true }";
    let most = format!("{{}}{}", " ".repeat((64 << 10) - 2));
    for (more, request, body, expect) in [
        (none, "POST /c", "", "allow"),
        (none, "HEAD /c", "", "not-allowed"),
        (none, "POST /c", "x", "parameter"),
        (input, "POST /c", "four", "allow"),
        (input, "POST /c", "fiver", "body-too-large"),
        (members, "POST /c", &most, "allow"),
        (members, "POST /c", &format!("{most} "), "body-too-large"),
    ] {
        assert_eq!(test(more, request, body, expect), Ok(()), "{more} {request} {}", body.len());
    }
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
