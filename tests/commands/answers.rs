//! How an end becomes an answer.

use super::stage::{exit, place, route, routed, run, started};
use super::support::client::Client;
use crate::need_root;

const ROOT: &str = "user = \"root\"";

#[test]
fn command_answers_with_what_it_says_and_its_exit_code() {
    need_root!();
    let place = place(&[("fails", "echo out; echo err >&2; exit 3")]);
    let daemon = started(
        place,
        &[
            route("echo", "[\"/usr/bin/echo\", \"hello\"]", ROOT),
            route("fails", "[\"@DIR@/fails\"]", "user = \"root\"\nstatus = { \"3\" = 404 }"),
        ],
    );
    let answer = run(&daemon, "/echo");
    assert_eq!((answer.status(), answer.text().as_str()), (200, "hello\n"));
    assert_eq!(answer.header("peergate-exit"), Some("0"));
    let answer = run(&daemon, "/fails");
    assert_eq!(answer.status(), 404);
    assert_eq!(answer.header("peergate-exit"), Some("3"));
    assert!(answer.text().contains("out\n") && answer.text().contains("err\n"));
    let all = daemon.stop();
    let grant = all.iter().find(|r| r["t"] == "grant" && r["backend"] == "echo").unwrap();
    assert_eq!(
        (&grant["argv"], &grant["user"]),
        (&serde_json::json!(["/usr/bin/echo", "hello"]), &"root".into())
    );
    let ends: Vec<_> = all.iter().filter(|r| r["t"] == "exit").map(|r| (&r["code"], &r["why"])).collect();
    assert_eq!(ends, [(&0.into(), &"done".into()), (&3.into(), &"done".into())]);
}

#[test]
fn command_answers_in_lines_as_it_goes() {
    need_root!();
    let place = place(&[("waits", "echo first; read -r line; echo \"second $line\"; exit 7")]);
    let daemon = started(place, &[route("waits", "[\"@DIR@/waits\"]", "user = \"root\"\nstdin = \"1KiB\"")]);
    let mut client = Client::connect(&daemon.socket());
    client.send(
        "POST /waits HTTP/1.1\r\nHost: x\r\nAccept: application/x-ndjson\r\nContent-Length: 5\r\n\r\nword\n",
    );
    let answer = client.answer();
    assert_eq!(answer.status(), 200);
    let lines: Vec<serde_json::Value> =
        answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said: String = lines.iter().filter_map(|line| line["text"].as_str()).collect();
    assert_eq!(said, "first\nsecond word\n");
    assert_eq!(lines.last().unwrap()["exit"], 7);
    exit(&daemon, "done");
    daemon.stop();
}

#[test]
fn parameter_is_one_argument_and_what_the_policy_says() {
    need_root!();
    let more = "user = \"root\"\nparams.word = { one_of = [\"a b\", \"c\"] }\nparams.n = { int = \"1..9\", from = \"query\", optional = true }";
    let command = "[\"/usr/bin/printf\", \"<%s>\", \"{word}\", \"n={n}\"]";
    let daemon = started(place(&[]), &[routed("say", "POST /say/{word}", command, more, "")]);
    assert_eq!(run(&daemon, "/say/a%20b").text(), "<a b>");
    assert_eq!(run(&daemon, "/say/c?n=4").text(), "<c><n=4>");
    for (target, refused) in
        [("/say/d", 400), ("/say/c?n=10", 400), ("/say/c?m=1", 400), ("/say/c?n=4&n=4", 400)]
    {
        assert_eq!(run(&daemon, target).status(), refused, "{target}");
    }
    let all = daemon.stop();
    assert_eq!(all.iter().filter(|record| record["t"] == "exit").count(), 2, "what is refused does not run");
}
