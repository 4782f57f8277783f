//! The schema of the record says what is written: every line of a busy daemon and of any entry is valid, and a
//! line with anything else in it is not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/entries.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
mod entries;
#[path = "support/support.rs"]
mod support;

use std::collections::BTreeSet;

use jsonschema::Validator;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use peergate::audit::entry::{Entry, Interrupted, Pruned, Seen};
use peergate::model::outcome::Outcome;
use peergate::model::refusal::Refusal;
use peergate::model::time::Timestamp;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use support::client::{self, Client};
use support::daemon::{self, Daemon};
use support::people::person;
use support::upstream::Upstream;

const SCHEMA: &str = include_str!("../src/manual/record.schema.json");
const POLICY: &str = include_str!("policies/up.toml");

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

/// What this release writes.
fn closed() -> Validator {
    jsonschema::draft202012::meta::validate(&schema()).unwrap();
    jsonschema::draft202012::new(&schema()).unwrap()
}

/// What `peergate audit schema` prints with these arguments.
#[cfg(feature = "cli")]
fn printed(arguments: &[&str]) -> String {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_peergate"));
    support::out(&support::run(command.args(["audit", "schema"]).args(arguments)))
}

/// What readers of version 1 may rely on.
#[cfg(feature = "cli")]
fn reader() -> Validator {
    let schema: Value = serde_json::from_str(&printed(&["--reader"])).unwrap();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

#[track_caller]
fn holds(validator: &Validator, record: &Value) {
    let errors: Vec<String> = validator.iter_errors(record).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{record}\n{errors:#?}");
}

/// The type of record, which each of them says in its definition.
fn types(schema: &Value) -> BTreeSet<String> {
    let refs = schema["oneOf"].as_array().unwrap().iter();
    refs.map(|one| one["$ref"].as_str().unwrap().trim_start_matches("#/$defs/").to_owned()).collect()
}

#[test]
fn schema_lists_what_the_code_has() {
    let schema = schema();
    let codes = |list: &Value| -> Vec<String> {
        list["enum"].as_array().unwrap().iter().map(|code| code.as_str().unwrap().to_owned()).collect()
    };
    let refusals: Vec<&str> = Refusal::ALL.iter().map(|refusal| refusal.code()).collect();
    assert_eq!(codes(&schema["$defs"]["refusal"]), refusals);
    // A new outcome or type of record does not compile here until it is in the schema too.
    let own = |outcome: &Outcome| match outcome {
        Outcome::Failed(_) => None,
        Outcome::Completed
        | Outcome::TunnelClosed
        | Outcome::CallerGone
        | Outcome::Stopped
        | Outcome::RefusedByReload
        | Outcome::GateDied
        | Outcome::KilledByRestart => Some(outcome.code()),
    };
    let outcomes = [
        Outcome::Completed,
        Outcome::TunnelClosed,
        Outcome::CallerGone,
        Outcome::Stopped,
        Outcome::RefusedByReload,
        Outcome::GateDied,
        Outcome::KilledByRestart,
    ];
    let results: Vec<&str> = outcomes.iter().filter_map(own).collect();
    assert_eq!(codes(&schema["$defs"]["result"]["anyOf"][0]), results);
    let kind = |entry: &Entry<'_>| match entry {
        Entry::Open(_)
        | Entry::Conn(_)
        | Entry::Grant(_)
        | Entry::Exit(_)
        | Entry::Decision(_)
        | Entry::Outcome(_)
        | Entry::Repeat(_)
        | Entry::Gate(_)
        | Entry::Policy(_)
        | Entry::Close(_)
        | Entry::Journal(_)
        | Entry::Range(_)
        | Entry::Recover(_)
        | Entry::Pending(_)
        | Entry::Prune(_)
        | Entry::Intrusion(_) => entries::KINDS,
    };
    let _ = kind;
    assert_eq!(types(&schema).len(), entries::KINDS);
    for (kind, ours) in [
        ("recover", Interrupted::ALL.map(Interrupted::code).to_vec()),
        ("prune", Pruned::ALL.map(Pruned::code).to_vec()),
        ("intrusion", Seen::ALL.map(Seen::code).to_vec()),
    ] {
        assert_eq!(codes(&schema["$defs"][kind]["properties"]["why"]), ours);
    }
}

/// Lines of every kind of entry, the same in each run: `(kind, record)`.
fn any_records(of_each: usize) -> Vec<(usize, Value)> {
    let mut runner = TestRunner::deterministic();
    let mut records = Vec::new();
    for kind in 0..entries::KINDS {
        for n in 0..of_each {
            let made = entries::made(kind).new_tree(&mut runner).unwrap().current();
            let line = made.line(n as u64, Timestamp::now());
            records.push((kind, serde_json::from_slice(&line).unwrap()));
        }
    }
    records
}

#[test]
fn any_entry_is_valid() {
    let closed = closed();
    let records = any_records(60);
    for (_, record) in &records {
        holds(&closed, record);
    }
    let seen: BTreeSet<String> =
        records.iter().map(|(_, record)| record["t"].as_str().unwrap().to_owned()).collect();
    assert_eq!(seen, types(&schema()));
}

#[test]
fn changed_records_are_refused() {
    let closed = closed();
    let mut changes = 0;
    for (kind, record) in any_records(5) {
        let mut refused = |what: &str, changed: &Value| {
            changes += 1;
            assert!(!closed.is_valid(changed), "kind {kind}, {what}: {changed}");
        };
        let with = |key: &str, value: Value| {
            let mut changed = record.clone();
            changed[key] = value;
            changed
        };
        refused("a key that no record has", &with("zz", json!(1)));
        refused("a type of record that is not there", &with("t", json!("zz")));
        refused("another version", &with("v", json!(2)));
        refused("no object", &json!([record]));
        for (key, value) in record.as_object().unwrap() {
            let others = [json!({}), json!(null), json!(-1.5), json!("\u{0}"), json!(1e300), json!([{}])];
            for other in others {
                // Free text may hold any character, a NUL too.
                if !(value.is_string() && other.is_string()) {
                    refused(&format!("{key} of another type"), &with(key, other));
                }
            }
        }
        for key in ["v", "t", "n", "ts"] {
            let mut changed = record.clone();
            changed.as_object_mut().unwrap().remove(key);
            refused(&format!("no {key}"), &changed);
        }
        refused("a length without its text", &with("zz_len", json!(1)));
        refused("a time of another spelling", &with("ts", json!("2026-11-23 03:46:29Z")));
    }
    assert!(changes > 3_000, "{changes}");
}

#[test]
fn verdict_and_event_say_what_stands_beside_them() {
    let closed = closed();
    let begin = json!({"v": 1, "n": 0, "ts": "2026-11-23T03:46:29.123456Z"});
    let joined = |more: Value| {
        let mut record = begin.as_object().unwrap().clone();
        record.extend(more.as_object().unwrap().clone());
        Value::Object(record)
    };
    let decision = |more: Value| {
        let mut record =
            joined(json!({"t": "decision", "id": "7k3qzd-41-1", "uid": 1, "pid": 1, "method": "GET",
            "target": "/", "policy": "9f2c1e77"}));
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        record
    };
    holds(&closed, &decision(json!({"decision": "allow"})));
    holds(&closed, &decision(json!({"decision": "deny", "refusal": "no-route"})));
    for wrong in [
        json!({"decision": "deny"}),
        json!({"decision": "allow", "refusal": "no-route"}),
        json!({"decision": "deny", "refusal": "no-such-code"}),
        json!({"decision": "maybe"}),
        json!({"decision": "allow", "id": "7k3qzd-41"}),
        json!({"decision": "allow", "id": "7k3qzl-41-1"}),
        json!({"decision": "allow", "us": 9_007_199_254_740_992u64}),
        json!({"decision": "allow", "target_b64": "=a"}),
        json!({"decision": "allow", "route_len": 5}),
    ] {
        assert!(!closed.is_valid(&decision(wrong.clone())), "{wrong}");
    }
    let gate = |more: Value| {
        let mut record = joined(json!({"t": "gate", "role": "gate", "pid": 7, "live": []}));
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        record
    };
    holds(&closed, &gate(json!({"event": "killed", "signal": 9})));
    holds(&closed, &gate(json!({"event": "violated", "syscall": "connect"})));
    for wrong in [
        json!({"event": "killed"}),
        json!({"event": "exited", "signal": 9}),
        json!({"event": "started", "code": 0}),
        json!({"event": "killed", "signal": 9, "syscall": "connect"}),
    ] {
        assert!(!closed.is_valid(&gate(wrong.clone())), "{wrong}");
    }
}

#[cfg(feature = "cli")]
#[test]
fn schema_printed_is_the_manuals_and_the_readers_form_takes_what_may_come() {
    assert_eq!(printed(&[]), SCHEMA);
    let (closed, reader) = (closed(), reader());
    for (_, record) in any_records(5) {
        holds(&reader, &record);
        let mut later = record.clone();
        later["zz"] = json!({"any": ["thing"]});
        holds(&reader, &later);
        assert!(!closed.is_valid(&later));
        for key in ["v", "n", "ts"] {
            let mut broken = record.clone();
            broken.as_object_mut().unwrap().remove(key);
            assert!(!reader.is_valid(&broken), "no {key}");
        }
        let mut broken = record;
        for key in ["uid", "segment", "file", "pid", "in", "boot"] {
            if broken.get(key).is_some() {
                broken[key] = json!({});
                assert!(!reader.is_valid(&broken), "{broken}");
            }
        }
    }
    let begin = r#"{"v":1,"t":"outcome","n":0,"ts":"2026-11-23T03:46:29.123456Z""#;
    for later in [
        r#","id":"7k3qzd-41-1","result":"a-result-to-come","in":0,"out":0,"us":0}"#,
        r#","id":"7k3qzd-41-1","result":"completed","in":0,"out":0,"us":0,"more":1}"#,
    ] {
        holds(&reader, &serde_json::from_str(&format!("{begin}{later}")).unwrap());
    }
    let begin = begin.replace("outcome", "type-to-come");
    holds(&reader, &serde_json::from_str(&format!("{begin}}}")).unwrap());
    assert!(!reader.is_valid(&serde_json::from_str(&format!("{}}}", begin.replace(":1,", ":2,"))).unwrap()));
}

/// Everything that a daemon can be made to note in a test: allowed, denied, refused, shed, counted, reloaded,
/// killed.
#[test]
fn every_line_of_a_busy_daemon_is_valid() {
    need_root!();
    let place = daemon::place();
    let _upstream = Upstream::start(&place.path().join("up.sock"));
    let settings = "[limits]\nconnections = 4\ndenials = \"2/s\"\n";
    let mut daemon = Daemon::start_in(place, &format!("{settings}{POLICY}"));
    let socket = daemon.socket();
    let gate_of_root = || {
        let gates = daemon.records_of("gate");
        gates.iter().rfind(|gate| gate["role"] == "gate" && gate["uid"] == 0).unwrap()["pid"]
            .as_i64()
            .unwrap()
    };
    for target in ["/allowed/a", "/allowed/b?token=secret", "/nowhere", "/allowed/..", "/%ff", "/a\u{e9}"] {
        client::ask(&socket, "GET", target);
        client::ask(&socket, "BREW", target);
    }
    Client::connect(&socket).send(b"\x00\xff\xfe GET\n\n").rest();
    Client::connect(&socket).send(b"GET /\x1b[2J HTTP/1.1\r\n\r\n").rest();
    person("pg-alice").curl(&socket, "/allowed/x", &[]);
    person("pg-mallory").curl(&socket, "/allowed/x", &[]);
    let mut held: Vec<Client> = (0..4).map(|_| Client::connect(&socket)).collect();
    held[3].ask("GET", "/allowed/last").answer();
    for _ in 0..6 {
        assert!(Client::connect(&socket).ask("GET", "/allowed/a").answer_or_end().is_none());
    }
    for _ in 0..30 {
        held[3].ask("GET", "/nowhere").answer();
    }
    daemon.wait_for("a count", |record| record["t"] == "repeat");
    drop(held);
    daemon.wait_for("an outcome", |record| record["t"] == "outcome" && record["status"] == 200);
    kill(Pid::from_raw(i32::try_from(gate_of_root()).unwrap()), Signal::SIGKILL).unwrap();
    daemon.wait_for("the gate's death", |record| record["event"] == "killed");
    assert!(daemon.reload(&format!("{settings}{POLICY}\n# more\n")));
    assert!(!daemon.reload("this is no policy"));
    // The next start finds what this one left.
    let command = "[backend.id]\ncommand = [\"/usr/bin/id\"]\nuser = \"root\"\n\
                   [[route]]\nid = \"run-id\"\nmatch = \"POST /run/id\"\nto = \"id\"\nallow = \"root\"\n";
    let daemon = Daemon::start_in(daemon.kill(), &format!("{POLICY}{command}"));
    daemon.wait_for("what was found", |record| record["t"] == "recover");
    client::ask(&daemon.socket(), "GET", "/allowed/again");
    assert_eq!(client::ask(&daemon.socket(), "POST", "/run/id").status(), 200);
    daemon.wait_for("a command's end", |record| record["t"] == "exit");
    let all = daemon.stop();
    let closed = closed();
    for record in &all {
        holds(&closed, record);
    }
    let seen: BTreeSet<String> = all.iter().map(|record| record["t"].as_str().unwrap().to_owned()).collect();
    // What it takes a full disk, an old record or an attack for.
    let rare = ["pending", "prune", "intrusion", "journal"].map(str::to_owned);
    let mut unseen = types(&schema());
    unseen.retain(|kind| !seen.contains(kind) && !rare.contains(kind));
    assert!(unseen.is_empty(), "what the daemon did not write is not tested here: {unseen:?}");
    assert!(all.len() > 60, "{} records", all.len());
}
