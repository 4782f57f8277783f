//! What a policy's tests say of values that callers fill into commands.

use super::{HEAD, load};

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
