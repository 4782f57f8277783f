//! What a review says of a command.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use sha2::Digest;

use super::stage::{place, route, run, run_with, started};
use super::support::{out, run as succeed};
use crate::need_root;

#[test]
fn review_says_where_arguments_are_cut_and_hashes_all_of_them() {
    need_root!();
    let more = "user = \"root\"\nparams.a = { text = \"word\", max = 8000, from = \"body\" }\n\
                params.b = { text = \"word\", max = 8000, from = \"body\" }";
    let daemon = started(place(&[]), &[route("long", "[\"/usr/bin/true\", \"{a}\", \"{b}\"]", more)]);
    let audit = daemon.path("audit");
    let (a, b) = ("a".repeat(7_900), "b".repeat(7_900));
    assert_eq!(run_with(&daemon, "/long", &format!("{{\"a\":\"{a}\",\"b\":\"{b}\"}}")).status(), 200);
    let (_place, all) = daemon.stop_keeping();
    let grant = all.iter().find(|record| record["t"] == "grant").unwrap();
    let shown = review(&audit, &["show", grant["id"].as_str().unwrap()]);
    let whole = format!("/usr/bin/true\0{a}\0{b}\0");
    let hash: String = sha2::Sha256::digest(whole).iter().map(|byte| format!("{byte:02x}")).collect();
    let line = format!("  cut       there were 3 arguments, SHA-256 of all {hash}\n");
    assert!(shown.contains(&line), "{line} is not in\n{shown}");
    assert!(shown.contains(&a) && !shown.contains(&b), "{shown}");
}

/// What `peergate audit` prints about a record.
pub(crate) fn review(audit: &Path, arguments: &[&str]) -> String {
    let mut peergate = Command::new(env!("CARGO_BIN_EXE_peergate"));
    let (command, more) = arguments.split_first().unwrap();
    out(&succeed(peergate.args(["audit", command, "--dir"]).arg(audit).args(more)))
}

#[test]
fn review_joins_a_command_with_its_end() {
    need_root!();
    let place = place(&[("fails", "echo out; echo err >&2; exit 3"), ("dies", "kill -KILL $$")]);
    let routes = [
        route("fails", "[\"@DIR@/fails\", \"two words\"]", "user = \"root\""),
        route("dies", "[\"@DIR@/dies\"]", "user = \"root\""),
        route("gone", "[\"@DIR@/gone\"]", "user = \"root\""),
    ];
    let daemon = started(place, &routes);
    let audit = daemon.path("audit");
    let program = daemon.path("fails");
    for target in ["/fails", "/dies", "/gone"] {
        assert_eq!(run(&daemon, target).status(), 502);
    }
    let (_place, all) = daemon.stop_keeping();
    let of = |route: &str| {
        let decided = |record: &&Value| record["t"] == "decision" && record["route"] == route;
        all.iter().find(decided).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let shown = review(&audit, &["show", &of("fails")]);
    let command = format!("  command   {} \"two words\"\n  as        root\n", program.display());
    assert!(shown.contains(&command), "{shown}");
    assert!(shown.contains("  exit      exit code 3 done, 4 bytes on stdout, 4 on stderr, "), "{shown}");
    assert!(review(&audit, &["show", &of("dies")]).contains("  exit      signal 9 done, "));
    assert!(review(&audit, &["show", &of("gone")]).contains("  exit      not-started, "));
    let json: Value =
        serde_json::from_str(&review(&audit, &["show", &of("fails"), "--format", "json"])).unwrap();
    let request = &json["requests"][0];
    assert_eq!((&request["exits"][0]["t"], &request["exits"][0]["code"]), (&"exit".into(), &3.into()));
    assert!(request["exit_seals"][0]["i"].is_u64(), "{request}");

    let found = |route: &str, form: &str| review(&audit, &["search", "--route", route, "--format", form]);
    assert!(found("fails", "text").contains(" exit=3 "), "{}", found("fails", "text"));
    assert!(found("dies", "text").contains(" signal=9 "));
    assert!(found("gone", "text").contains(" why=not-started "));
    let said = found("fails", "sentence");
    assert!(
        said.contains("; the warden granted fails as root; the command ended with exit code 3 after "),
        "{said}"
    );
    let json: Value = serde_json::from_str(&found("dies", "json")).unwrap();
    assert_eq!((&json["signal"], &json["why"], &json["exit"]), (&9.into(), &"done".into(), &Value::Null));
    let table = found("fails", "csv");
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    let column = rows[0].iter().position(|name| *name == "exit").unwrap();
    assert_eq!(rows[1][column], "3", "{table}");
}
