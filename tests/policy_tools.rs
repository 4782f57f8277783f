//! `peergate policy …` as a policy writer runs it: on the samples, by a snapshot of names.
#![cfg(feature = "cli")]
#![allow(clippy::disallowed_methods, reason = "a test starts the program it tests")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails where its helpers do"
)]

#[path = "policy_tools/alike.rs"]
mod alike;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const NAMES: &str = r#"{
  "version": 1,
  "daemon": { "uid": 0, "gid": 0 },
  "users": [
    { "name": "alice", "uid": 1000, "gid": 1000, "groups": [997, 998, 1000] },
    { "name": "bob", "uid": 1001, "gid": 1001, "groups": [998, 1001] },
    { "name": "root", "uid": 0, "gid": 0, "groups": [0] }
  ],
  "groups": [
    { "name": "docker-ops", "gid": 997, "members": ["alice"] },
    { "name": "docker-users", "gid": 998, "members": ["alice", "bob"] }
  ]
}"#;

/// A directory with a snapshot of names, and the samples below it.
struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("names.json"), NAMES).unwrap();
        for name in ["docker-readonly.toml", "docker-operators.toml"] {
            let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("policy").join(name);
            std::fs::copy(sample, directory.path().join(name)).unwrap();
        }
        Bench { directory }
    }

    fn file(&self, name: &str, text: &str) {
        std::fs::write(self.directory.path().join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(name)).unwrap()
    }

    /// Standard output, standard error and exit code.
    fn run(&self, words: &[&str]) -> (String, String, Option<i32>) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_peergate"));
        command.current_dir(self.directory.path()).arg("policy").args(words);
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr), output.status.code())
    }

    /// With the snapshot.
    fn ask(&self, words: &[&str]) -> (String, Option<i32>) {
        let (out, err, code) = self.run(&[words, &["--names", "names.json"]].concat());
        (out + &err, code)
    }

    fn json(&self, words: &[&str]) -> (Value, Option<i32>) {
        let (out, code) = self.ask(&[words, &["--format", "json"]].concat());
        (serde_json::from_str(&out).unwrap_or_else(|wrong| panic!("{wrong}: {out}")), code)
    }
}

#[test]
fn names_off_the_host_come_from_the_snapshot_alone() {
    let bench = Bench::new();
    let (out, code) = bench.ask(&["check", "docker-operators.toml"]);
    assert_eq!(code, Some(0), "{out}");
    bench.file("names.json", &NAMES.replace("docker-ops", "docker-opz"));
    let (out, code) = bench.ask(&["check", "docker-operators.toml"]);
    assert_eq!(code, Some(1), "{out}");
    assert!(
        out.contains("there is no group `docker-ops`") && out.contains("did you mean `docker-opz`?"),
        "{out}"
    );
    for (text, why) in [
        ("{}", "no snapshot of names"),
        (&NAMES.replace("\"version\": 1", "\"version\": 2"), "its version is 2"),
    ] {
        bench.file("names.json", text);
        let (out, code) = bench.ask(&["check", "docker-operators.toml"]);
        assert!(code == Some(3) && out.contains(why), "{code:?} {out}");
    }
}

#[test]
fn names_of_this_machine_are_written_and_read_again() {
    let bench = Bench::new();
    let (out, _, code) = bench.run(&["names"]);
    assert_eq!(code, Some(0), "{out}");
    let snapshot: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(snapshot["version"], 1);
    assert!(
        snapshot["users"].as_array().unwrap().iter().any(|user| user["name"] == "root" && user["uid"] == 0)
    );
    bench.file("p.toml", "version = 1\n[listen.a]\npath = \"/run/a\"\n[backend.a]\nbuiltin = \"api\"\n[who.root]\nuser = \"root\"\n[[route]]\nid = \"a\"\nmatch = \"GET /_peergate/whoami\"\nto = \"a\"\nallow = \"root\"\n");
    let (out, _, _) = bench.run(&["names", "p.toml"]);
    bench.file("names.json", &out);
    let few: Value = serde_json::from_str(&out).unwrap();
    assert!(few["users"].as_array().unwrap().len() < snapshot["users"].as_array().unwrap().len(), "{out}");
    let (out, code) = bench.ask(&["check", "p.toml"]);
    assert_eq!(code, Some(0), "{out}");
}

#[test]
fn diff_says_who_gains_and_denies_it_where_asked() {
    let bench = Bench::new();
    let (old, new) = ("docker-readonly.toml", "docker-operators.toml");
    let (out, code) = bench.ask(&["diff", old, new]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("group docker-ops, user alice gains, on docker:\n"), "{out}");
    assert!(
        out.contains("\n  + POST /containers/create\n      route container-create (docker-operators.toml:"),
        "{out}"
    );
    assert_eq!(bench.ask(&["diff", old, new, "--deny-gain"]).1, Some(1));
    assert_eq!(bench.ask(&["diff", new, old, "--deny-gain"]).1, Some(0));
    assert_eq!(bench.ask(&["diff", new, old, "--exit-code"]).1, Some(1));
    let (same, code) = bench.json(&["diff", new, new, "--exit-code", "--deny-gain"]);
    assert_eq!(
        (code, &same["gives"], same["gains"].as_array().map(Vec::len)),
        (Some(0), &Value::Bool(false), Some(0))
    );
    bench.file("broken.toml", "version = 1\n[listn.a]\n");
    let (out, code) = bench.ask(&["diff", old, "broken.toml"]);
    assert!(code == Some(3) && out.contains("did you mean `listen`?"), "{out}");
}

#[test]
fn explain_tells_each_step_and_the_nearest_miss() {
    let bench = Bench::new();
    let explain =
        |user: &str, request: &str| bench.ask(&["explain", "docker-operators.toml", "--user", user, request]);
    let (out, code) = explain("alice", "POST /v1.47/containers/create?name=x");
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("\nverdict    allow, by who.operators (docker-operators.toml:"), "{out}");
    let (out, code) = explain("bob", "POST /v1.47/containers/%63reate");
    assert_eq!(code, Some(1), "{out}");
    for line in [
        "canonical  POST /v1.47/containers/create\n",
        "): POST /containers/create - taken\n",
        "\nforbid     none matches\n",
        "\nverdict    deny (not-allowed)",
        "\nnearest    who.operators",
    ] {
        assert!(out.contains(line), "{line}: {out}");
    }
    let (out, _) = explain("bob", "GET /a/../b");
    assert!(out.contains("deny (dot-segment)") && out.contains("no rule was asked"), "{out}");
    let (out, code) = explain("nobody-here", "GET /info");
    assert!(code == Some(3) && out.contains("there is no user nobody-here"), "{out}");
    let (value, code) =
        bench.json(&["explain", "docker-operators.toml", "--group", "docker-ops", "DELETE /images/x"]);
    assert_eq!((&value["refusal"], code), (&"no-route".into(), Some(1)));
    bench.file("body", &"x".repeat(300 << 10));
    let (out, code) = bench.ask(&[
        "explain",
        "docker-operators.toml",
        "--user",
        "alice",
        "POST /containers/create",
        "--body",
        "body",
    ]);
    assert!(
        code == Some(1) && out.contains("the body has 307200 bytes, and at most 262144 are taken"),
        "{out}"
    );
    let (out, _) = bench.ask(&[
        "explain",
        "docker-operators.toml",
        "--user",
        "alice",
        "GET /info",
        "--header",
        "Origin: x",
    ]);
    assert!(out.contains("deny (browser)"), "{out}");
}

#[test]
fn explain_judges_head_and_body_and_never_guesses_them() {
    let bench = Bench::new();
    let names = NAMES.replace("\"bob\", \"uid\"", "\"ci\", \"uid\"").replace("\"bob\"]", "\"ci\"]");
    bench.file("names.json", &names);
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("policy/docker-ci.toml");
    std::fs::copy(sample, bench.directory.path().join("ci.toml")).unwrap();
    let create = "POST /v1.47/containers/create";
    let explain =
        |more: &[&str]| bench.ask(&[&["explain", "ci.toml", "--user", "ci", create], more].concat());
    let (out, code) = explain(&[]);
    assert_eq!(code, Some(4), "{out}");
    assert!(
        out.contains("\nverdict    open: who.ci (") && out.contains("its body is still to be judged"),
        "{out}"
    );
    assert!(!out.contains("allow, by"), "{out}");
    bench.file("good", r#"{"Image":"alpine"}"#);
    let (out, code) = explain(&["--body", "good"]);
    assert!(code == Some(0) && out.contains("\nverdict    allow, by who.ci ("), "{out}");
    bench.file("bad", r#"{"Image":"alpine","HostConfig":{"Privileged":true}}"#);
    let (out, code) = explain(&["--body", "bad"]);
    assert!(code == Some(1) && out.contains("\nverdict    deny (body-member): "), "{out}");
    assert!(out.contains("(body /HostConfig/Privileged)"), "{out}");
    assert!(out.contains("nearest    ") && out.contains("does not take /HostConfig/Privileged"), "{out}");
    let (out, code) = explain(&["--body", "good", "--header", "Content-Type: text/plain"]);
    assert!(code == Some(1) && out.contains("deny (content-type)"), "{out}");
    let (out, code) = explain(&["--body", "good", "--header", "Content-Encoding: gzip"]);
    assert!(code == Some(1) && out.contains("deny (content-encoding)"), "{out}");
    let (out, code) = explain(&["--body", "/dev/null"]);
    assert!(code == Some(1) && out.contains("deny (body-missing)"), "{out}");
    let (out, code) = explain(&["--header", "no line"]);
    assert!(code == Some(3) && out.contains("a header is such as"), "{out}");
    let words = ["explain", "ci.toml", "--user", "ci", create];
    let (value, code) = bench.json(&words);
    assert_eq!((&value["verdict"], code), (&"open".into(), Some(4)));
    let (value, code) = bench.json(&[&words[..], &["--body", "bad"]].concat());
    assert_eq!((&value["verdict"], &value["by"], code), (&"deny".into(), &Value::Null, Some(1)));
    // Tests of bodies count too.
    let (value, code) = bench.json(&["test", "ci.toml", "--coverage"]);
    assert_eq!(code, Some(0), "{value}");
    let rows = value["rules"].as_array().unwrap();
    let create = rows.iter().find(|row| row["rule"] == "route container-create allows who.ci").unwrap();
    assert_eq!(create["touched"], true);
}

#[test]
fn explain_judges_what_is_filled_into_a_command() {
    let bench = Bench::new();
    let (_, err, code) = bench.run(&["init", "command", "c.toml", "--group", "root"]);
    assert_eq!(code, Some(0), "{err}");
    let explain = |request| bench.run(&["explain", "c.toml", "--user", "root", request]);
    let (out, _, code) = explain("POST /units/nginx.service/restart");
    assert!(code == Some(0) && out.contains("verdict    allow, by who.operators"), "{out}");
    let (out, _, code) = explain("POST /units/other.service/restart");
    assert!(code == Some(1) && out.contains("deny (parameter)") && out.contains("(parameter unit)"), "{out}");
    assert!(out.contains("takes unit from the path (one_of nginx.service|app.service)"), "{out}");
}

/// A record with one decision of bob's.
fn record(bench: &Bench, decision: &str) {
    let audit = bench.directory.path().join("audit");
    std::fs::create_dir(&audit).unwrap();
    let line = |kind: &str, rest: &str| {
        format!("{{\"v\":1,\"t\":\"{kind}\",\"n\":0,\"ts\":\"2026-11-23T00:00:01.000000Z\",{rest}}}\n")
    };
    let conn = r#""id":"7k3qzd-1","on":"docker","uid":1001,"gid":1001,"groups":[998],"user":"bob","pid":9,"ns":"host""#;
    std::fs::write(audit.join("20261123T000000.000000Z-7k3qzd-warden-1.ndjson"), line("conn", conn)).unwrap();
    let gate = audit.join("20261123T000000.000000Z-7k3qzd-gate-1001-0-3.ndjson");
    std::fs::write(gate, line("decision", decision)).unwrap();
}

#[test]
fn explain_of_a_record_leaves_open_what_it_does_not_hold() {
    let bench = Bench::new();
    let policy = "version = 1\n[listen.docker]\npath = \"/run/d.sock\"\n[backend.docker]\nproxy = \"unix:/run/docker.sock\"\n\
                  [who.bob]\nuid = [1001]\n[[route]]\nid = \"create\"\nmatch = \"POST /create\"\nto = \"docker\"\n\
                  allow = \"bob\"\nheader = { X-Auth = \"absent\" }\nbody = { max = \"1KiB\", json = { allow = [\"/Image\"] } }\n";
    bench.file("p.toml", policy);
    let decision = r#""id":"7k3qzd-1-1","uid":1001,"pid":9,"method":"POST","target":"/create","decision":"deny","refusal":"body-member","part":"body /Privileged","route":"create","policy":"9f2c1e77","status":403"#;
    record(&bench, decision);
    let words = ["explain", "p.toml", "--record", "7k3qzd-1-1", "--dir", "audit"];
    let (out, code) = bench.ask(&words);
    assert_eq!(code, Some(4), "{out}");
    assert!(
        out.contains("verdict    open: who.bob (") && out.contains("its head and its body are still"),
        "{out}"
    );
    bench.file("body", r#"{"Image":"a","Privileged":true}"#);
    let (out, code) = bench.ask(&[&words[..], &["--body", "body"]].concat());
    assert!(code == Some(1) && out.contains("(body /Privileged)"), "{out}");
    bench.file("body", r#"{"Image":"a"}"#);
    let (out, code) = bench.ask(&[&words[..], &["--body", "body"]].concat());
    assert!(code == Some(4) && out.contains("its head is still to be judged"), "{out}");
    let (out, code) = bench.ask(&[&words[..], &["--body", "body", "--header", "X-Other: 1"]].concat());
    assert!(code == Some(0) && out.contains("verdict    allow"), "{out}");
    let (out, code) = bench.ask(&[&words[..], &["--header", "X-Auth: 1"]].concat());
    assert!(code == Some(1) && out.contains("deny (header-rule)"), "{out}");
}

#[test]
fn explain_of_a_record_leaves_open_a_command_whose_query_value_is_a_hash() {
    let bench = Bench::new();
    let policy = "version = 1\n[listen.docker]\npath = \"/run/d.sock\"\n[backend.say]\ncommand = [\"/bin/echo\", \"{token}\"]\n\
                  user = \"root\"\nparams.token = { int = \"1..9\", from = \"query\", secret = true }\n\
                  [who.bob]\nuid = [1001]\n[[route]]\nid = \"say\"\nmatch = \"POST /say\"\nto = \"say\"\nallow = \"bob\"\n";
    bench.file("p.toml", policy);
    record(
        &bench,
        r#""id":"7k3qzd-1-1","uid":1001,"pid":9,"method":"POST","target":"/say?token=~10d3a97c55e0b412","decision":"allow","route":"say","policy":"9f2c1e77""#,
    );
    let (out, code) = bench.ask(&["explain", "p.toml", "--record", "7k3qzd-1-1", "--dir", "audit"]);
    assert_eq!(code, Some(4), "{out}");
    assert!(
        out.contains("verdict    open: who.bob (")
            && out.contains("can't be told from the record: the value of token is kept as a hash"),
        "{out}"
    );
    // Nobody's record is in between here: it is the value.
    let (out, code) = bench.ask(&["explain", "p.toml", "--user", "bob", "POST /say?token=~10d3a97c55e0b412"]);
    assert!(code == Some(1) && out.contains("deny (parameter)"), "{out}");
}

#[test]
fn who_can_and_what_can_are_two_sides_of_one_policy() {
    let bench = Bench::new();
    let (out, code) = bench.ask(&["who-can", "docker-operators.toml", "POST /containers/create"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(
        out.contains("may: who.operators (docker-operators.toml:")
            && out.contains("in group docker-ops\n       alice\n"),
        "{out}"
    );
    assert_eq!(bench.ask(&["who-can", "docker-operators.toml", "GET /nothing"]).1, Some(1));
    assert_eq!(bench.ask(&["who-can", "docker-operators.toml", "GET /a//b"]).1, Some(1));
    let (out, code) = bench.ask(&["what-can", "docker-operators.toml", "bob"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("GET /containers/json") && !out.contains("create"), "{out}");
    let (out, code) = bench.ask(&["what-can", "docker-operators.toml", "root"]);
    assert!(code == Some(1) && out.contains("  nothing\n"), "root has no right of its own: {out}");
    let (value, _) = bench.json(&["what-can", "docker-operators.toml", "bob"]);
    let may = value["listeners"][0]["may"].as_array().unwrap();
    assert!(
        may.iter()
            .any(|what| what["pattern"] == "GET /events" && what["route"]["conditions"]["stream"] == "yes")
    );
}

#[test]
fn test_says_what_fails_and_what_is_not_touched() {
    let bench = Bench::new();
    let (out, code) = bench.ask(&["test", "docker-operators.toml", "--coverage"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(
        out.contains(": no test touches route ping\n") && out.ends_with("12 of 12 tests hold\n"),
        "{out}"
    );
    assert_eq!(bench.ask(&["test", "docker-operators.toml", "--min", "100"]).1, Some(1));
    let wrong = bench.read("docker-operators.toml").replacen("expect  = \"allow\"", "expect  = \"deny\"", 1);
    bench.file("wrong.toml", &wrong);
    let (out, code) = bench.ask(&["test", "wrong.toml"]);
    assert!(
        code == Some(1) && out.contains("this test fails") && out.contains("11 of 12 tests hold"),
        "{out}"
    );
    let (value, _) = bench.json(&["test", "wrong.toml"]);
    assert_eq!(value["failed"].as_array().map(Vec::len), Some(1));
}

#[test]
fn lint_warns_in_check_and_refuses_where_denied() {
    let bench = Bench::new();
    let text = bench
        .read("docker-operators.toml")
        .replace("# lint: allow root-equivalent", "# was: root-equivalent");
    bench.file("p.toml", &text);
    let (out, code) = bench.ask(&["check", "p.toml"]);
    assert!(code == Some(0) && out.contains("[root-equivalent]\n") && out.contains("^^^^"), "{out}");
    assert_eq!(bench.ask(&["check", "p.toml", "--deny", "root-equivalent"]).1, Some(1));
    assert_eq!(bench.ask(&["check", "docker-operators.toml", "--deny", "root-equivalent"]).1, Some(0));
    let (out, code) = bench.ask(&["check", "p.toml", "--deny", "root-equivalence"]);
    assert!(code == Some(2) && out.contains("did you mean root-equivalent?"), "{out}");
    let wide = "version = 1\n[listen.docker]\npath = \"/run/d.sock\"\n[backend.docker]\nproxy = \"unix:/run/docker.sock\"\n\
                [who.bob]\nuser = \"bob\"\n[[route]]\nid = \"all\"\nmatch = \"* /{rest...}\"\nto = \"docker\"\nallow = \"bob\"\n";
    bench.file("wide.toml", wide);
    let (out, code) = bench.ask(&["lint", "wide.toml", "--only", "root-equivalent"]);
    assert!(
        code == Some(1)
            && out.matches("[root-equivalent]").count() == 1
            && out.contains("route `all` lets user bob become root of the host by ")
            && out.contains("and 3"),
        "{out}"
    );
    let (value, _) = bench.json(&["lint", "wide.toml", "--only", "root-equivalent"]);
    let each = value["findings"].as_array().map_or(&[][..], Vec::as_slice);
    assert!(each.len() > 30, "{value:#}");
    let create = "`POST /containers/create` is allowed to user bob: ";
    assert!(each[0]["message"].as_str().is_some_and(|it| it.starts_with(create)), "{value:#}");
    let (value, code) = bench.json(&["lint", "p.toml", "--allow", "root-equivalent", "--allow", "untested"]);
    assert_eq!((value["findings"].as_array().map(Vec::len), code), (Some(0), Some(0)), "{value:#}");
}

#[test]
fn fmt_writes_at_once_and_keeps_owner_and_mode() {
    let bench = Bench::new();
    let path = bench.directory.path().join("p.toml");
    bench.file("p.toml", "version=1 # one\n[listen.a]\npath='/run/a'\n\n\ngroup= 'g'\n");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let before = std::fs::metadata(&path).unwrap();
    let (out, _, code) = bench.run(&["fmt", "--check", "p.toml"]);
    assert_eq!(
        (code, out.as_str()),
        (Some(1), "p.toml:1: this line and what follows would be laid out otherwise\n")
    );
    let (printed, _, _) = bench.run(&["fmt", "p.toml"]);
    std::os::unix::fs::symlink("p.toml", bench.directory.path().join("link.toml")).unwrap();
    let (out, err, code) = bench.run(&["fmt", "--write", "link.toml"]);
    assert_eq!((code, out.as_str()), (Some(0), "link.toml: written\n"), "{err}");
    let expected = "version = 1  # one\n\n[listen.a]\npath  = '/run/a'\n\ngroup = 'g'\n";
    assert_eq!((bench.read("p.toml").as_str(), printed.as_str()), (expected, expected));
    let after = std::fs::metadata(&path).unwrap();
    assert_eq!((after.uid(), after.gid(), after.mode()), (before.uid(), before.gid(), before.mode()));
    assert_ne!(after.ino(), before.ino(), "a new file in the old one's place");
    assert!(std::fs::symlink_metadata(bench.directory.path().join("link.toml")).unwrap().is_symlink());
    assert_eq!(bench.run(&["fmt", "--check", "p.toml"]).2, Some(0));
    bench.file("broken.toml", "a = [1\n");
    let (_, err, code) = bench.run(&["fmt", "--write", "broken.toml"]);
    assert!(code == Some(1) && err.contains("broken.toml:"), "{err}");
    assert_eq!(bench.read("broken.toml"), "a = [1\n");
    assert_eq!(
        std::fs::read_dir(bench.directory.path())
            .unwrap()
            .filter(|entry| { entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".new") })
            .count(),
        0
    );
}

#[test]
fn fmt_lays_out_each_file_that_is_named_and_follows_no_include() {
    let bench = Bench::new();
    std::fs::create_dir(bench.directory.path().join("policy.d")).unwrap();
    let rough = "[who.a]\nuser='root'\nunit = 'a.service'\n";
    let laid = "[who.a]\nuser = 'root'\nunit = 'a.service'\n";
    bench.file("p.toml", "version=1\ninclude=['policy.d/*.toml']\n");
    bench.file("policy.d/1.toml", rough);
    let (_, err, code) = bench.run(&["fmt", "--write", "p.toml"]);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(bench.read("p.toml"), "version = 1\ninclude = ['policy.d/*.toml']\n");
    assert_eq!(bench.read("policy.d/1.toml"), rough, "it was not named");
    // By itself it is no policy, and laid out all the same.
    let (out, _, code) = bench.run(&["fmt", "--check", "policy.d/1.toml"]);
    assert_eq!((code, out.lines().count()), (Some(1), 1), "{out}");
    assert_eq!(bench.run(&["fmt", "--write", "policy.d/1.toml"]).2, Some(0));
    assert_eq!(bench.read("policy.d/1.toml"), laid);
    assert_eq!(bench.run(&["fmt", "--check", "p.toml", "policy.d/1.toml"]).2, Some(0));
}

#[test]
fn schema_is_json_and_named_as_the_draft_that_it_is() {
    let (out, _, code) = Bench::new().run(&["schema"]);
    let schema: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &schema["$schema"]), (Some(0), &"http://json-schema.org/draft-07/schema#".into()));
    assert!(schema["definitions"]["route"]["properties"]["allow"]["description"].is_string());
}
