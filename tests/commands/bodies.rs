//! Parameters from a JSON body: read in one way or refused.

use super::stage::{place, routed, run_with, started};
use super::support::client::{self, Client};
use crate::need_root;

const PARAMETERS: &str = "user = \"root\"
params.word = { text = \"printable\", max = 16, from = \"body\" }
params.n = { int = \"1..9\", from = \"body\", optional = true }
params.all = { type = \"bool\", from = \"body\", optional = true }
params.day = { text = \"word\", from = \"query\", optional = true }";

#[test]
fn member_of_a_body_is_a_parameter_in_one_reading_or_nothing_runs() {
    need_root!();
    let command = "[\"/usr/bin/printf\", \"<%s>\", \"{word}\", \"n={n}\", \"all={all}\", \"day={day}\"]";
    let daemon = started(place(&[]), &[routed("say", "POST /say", command, PARAMETERS, "")]);
    let taken = [
        (r#"{"word":"a b"}"#, "<a b>"),
        (r#"{"word":"a","n":7,"all":true}"#, "<a><n=7><all=true>"),
        (r#" { "n" : "7" , "word" : "\u0061\u0062" } "#, "<ab><n=7>"),
        (r#"{"word":"$(id)"}"#, "<$(id)>"),
    ];
    for (body, said) in taken {
        let answer = run_with(&daemon, "/say", body);
        assert_eq!((answer.status(), answer.text().as_str()), (200, said), "{body}");
    }
    assert_eq!(run_with(&daemon, "/say?day=x", r#"{"word":"a"}"#).text(), "<a><day=x>");
    for body in [
        // Twice, and twice to who folds case: others take the first, or the last.
        r#"{"word":"a","word":"b"}"#,
        r#"{"word":"a","Word":"b"}"#,
        r#"{"word":"a","\u0077ord":"b"}"#,
        r#"{"Word":"a"}"#,
        r#"{"WORD":"a"}"#,
        // Of another kind.
        r#"{"word":["a"]}"#,
        r#"{"word":{"word":"a"}}"#,
        r#"{"word":null}"#,
        r#"{"word":"a","n":null}"#,
        r#"{"word":"a","n":10}"#,
        r#"{"word":"a","n":7.0}"#,
        r#"{"word":"a","n":7e0}"#,
        r#"{"word":"a","n":-7}"#,
        r#"{"word":"a","n":true}"#,
        r#"{"word":"a","all":"yes"}"#,
        // Of another shape.
        r#"["a"]"#,
        r#""a""#,
        r#"{"word":"a"}{"word":"b"}"#,
        r#"{"word":"a",}"#,
        r#"{'word':'a'}"#,
        "word=a",
        "",
        "{}",
        // Not asked for, or from elsewhere.
        r#"{"word":"a","more":"b"}"#,
        r#"{"word":"a","day":"x"}"#,
        // An option, nothing, a byte that ends texts, too much.
        r#"{"word":"-n"}"#,
        r#"{"word":""}"#,
        r#"{"word":"a\u0000b"}"#,
        r#"{"word":"a\nb"}"#,
        r#"{"word":"\ud800"}"#,
        r#"{"word":"aaaaaaaaaaaaaaaaa"}"#,
    ] {
        let answer = run_with(&daemon, "/say", body);
        assert_eq!(answer.status(), 400, "{body}: {}", answer.text());
    }
    assert_eq!(run_with(&daemon, "/say?word=a", "{}").status(), 400, "the query is no body");
    let all = daemon.stop();
    let count = |kind: &str| all.iter().filter(|record| record["t"] == kind).count();
    assert_eq!(
        (count("exit"), count("grant")),
        (taken.len() + 1, taken.len() + 1),
        "what is refused does not run"
    );
}

#[test]
fn command_is_not_run_by_head_nor_with_a_body_that_it_has_no_room_for() {
    need_root!();
    let heads = |name: &str| format!("POST /{name}\", \"HEAD /{name}");
    let routes = [
        routed("none", &heads("none"), "[\"/usr/bin/cat\"]", "user = \"root\"", ""),
        routed("some", &heads("some"), "[\"/usr/bin/cat\"]", "user = \"root\"\nstdin = \"4B\"", ""),
    ];
    let daemon = started(place(&[]), &routes);
    let status = |request: &str| Client::connect(&daemon.socket()).send(request).answer().status();
    assert_eq!(client::ask(&daemon.socket(), "HEAD", "/none").status(), 403);
    for (target, body, expected) in
        [("/none", "", 200), ("/none", "x", 400), ("/some", "four", 200), ("/some", "fiver", 413)]
    {
        assert_eq!(run_with(&daemon, target, body).status(), expected, "{target} {body}");
        let length = body.len();
        let chunk = if body.is_empty() { String::new() } else { format!("{length:x}\r\n{body}\r\n") };
        let chunked = format!(
            "POST {target} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}0\r\n\r\n"
        );
        assert_eq!(status(&chunked), expected, "{target} {body} in chunks");
    }
    let all = daemon.stop();
    assert_eq!(all.iter().filter(|record| record["t"] == "exit").count(), 4, "what is refused does not run");
}
