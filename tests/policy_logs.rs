//! `peergate policy replay`, `suggest` and `unused`: a policy and what was asked before.
#![cfg(feature = "cli")]
#![allow(clippy::disallowed_methods, reason = "a test starts the program it tests")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails where its helpers do"
)]

#[path = "support/slow_rules.rs"]
#[allow(clippy::expect_used, unreachable_pub, reason = "a check fails where its helpers do")]
mod slow_rules;

#[path = "policy_logs/hashes.rs"]
mod hashes;

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use peergate::model::caller::{Attr, Caller, Credentials, Gid, Namespace, Peer, Uid};
use peergate::model::ids::ListenerId;
use peergate::model::method::Method;
use peergate::model::target::{Asked, Target};
use peergate::policy::{Decider, Own, SystemNames, Verdict, load_text};
use proptest::prelude::{Just, Strategy, prop, prop_oneof};
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

/// A record as a daemon leaves it: a warden that names callers, and a gate for each uid.
struct Record {
    directory: tempfile::TempDir,
    lines: u32,
    connections: u32,
}

const WARDEN: &str = "20261123T000000.000000Z-7k3qzd-warden-1.ndjson";

impl Record {
    fn new() -> Record {
        let record = Record { directory: tempfile::tempdir().unwrap(), lines: 0, connections: 0 };
        fs::create_dir(record.audit()).unwrap();
        record
    }

    fn audit(&self) -> PathBuf {
        self.directory.path().join("audit")
    }

    /// A policy beside it.
    fn policy(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn add(&mut self, segment: &str, kind: &str, rest: &str) {
        self.lines += 1;
        let (hour, minute, second) = (self.lines / 3600, self.lines / 60 % 60, self.lines % 60);
        let ts = format!("2026-11-23T{hour:02}:{minute:02}:{second:02}.000000Z");
        let file = OpenOptions::new().append(true).create(true).open(self.audit().join(segment));
        writeln!(file.unwrap(), "{{\"v\":1,\"t\":\"{kind}\",\"n\":0,\"ts\":\"{ts}\",{rest}}}").unwrap();
    }

    /// One request on a connection of its own; what its decision says. Returns its id.
    fn asked(&mut self, uid: u32, method: &str, target: &str, decision: &str) -> String {
        self.asked_by(uid, r#","ns":"host""#, method, target, decision)
    }

    fn asked_by(&mut self, uid: u32, who: &str, method: &str, target: &str, decision: &str) -> String {
        self.connections += 1;
        let number = self.connections;
        let conn = format!(
            "\"id\":\"7k3qzd-{number}\",\"on\":\"docker\",\"uid\":{uid},\"gid\":{uid},\"groups\":[7],\"user\":\"u{uid}\",\"pid\":9{who}"
        );
        self.add(WARDEN, "conn", &conn);
        let id = format!("7k3qzd-{number}-1");
        let gate = format!("20261123T000000.000000Z-7k3qzd-gate-{uid}-0-{}.ndjson", uid + 2);
        let decision = format!(
            "\"id\":\"{id}\",\"uid\":{uid},\"pid\":9,\"method\":\"{method}\",\"target\":\"{target}\",{decision}"
        );
        self.add(&gate, "decision", &decision);
        id
    }
}

const ALLOWED: &str =
    r#""route":"list","decision":"allow","by":"who.ci","at":"p.toml:9","policy":"9f2c1e77","status":200"#;
const NO_ROUTE: &str = r#""decision":"deny","refusal":"no-route","policy":"9f2c1e77","status":403"#;
const TOO_LATE: &str = r#""decision":"deny","refusal":"head-timeout","policy":"9f2c1e77","status":408"#;

const HEAD: &str = "version = 1\n[listen.docker]\npath = \"/run/d.sock\"\n[backend.docker]\nproxy = \"unix:/run/docker.sock\"\nversion_prefix = \"/v{api:version}\"\n[who.ci]\nuid = [1001]\n";

fn policy(rules: &str) -> String {
    format!("{HEAD}{rules}")
}

const LIST: &str = "[[route]]\nid = \"list\"\nmatch = \"GET /containers/json\"\nquery = [\"all\"]\nto = \"docker\"\nallow = \"ci\"\n";

/// What a command printed, what it complained of, and its exit code.
fn run(what: &str, log: &Path, arguments: &[&str]) -> (String, String, i32) {
    let output = Command::new(env!("CARGO_BIN_EXE_peergate"))
        .args(["policy", what, "--log"])
        .arg(log)
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

fn json(what: &str, log: &Path, arguments: &[&str]) -> (Vec<Value>, i32) {
    let (out, err, code) = run(what, log, &[arguments, &["--format", "json"]].concat());
    let lines =
        out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {out}{err}")));
    (lines.collect(), code)
}

#[test]
fn replay_same_policy_flips_nothing_with_exit_code_0() {
    let mut record = Record::new();
    record.asked(1001, "GET", "/v1.47/containers/json?all=1", ALLOWED);
    record.asked(1002, "POST", "/containers/create", NO_ROUTE);
    let file = record.policy("new.toml", &policy(LIST));
    let (lines, code) = json("replay", &record.audit(), &["--policy", file.to_str().unwrap()]);
    assert_eq!((lines.len(), &lines[0]["same"], code), (1, &2.into(), 0), "{lines:?}");
}

#[test]
fn replay_tells_both_ways_with_count_caller_and_reason() {
    let mut record = Record::new();
    for _ in 0..5 {
        record.asked(1001, "GET", "/containers/json?all=1", ALLOWED);
    }
    let gained = record.asked(1001, "GET", "/version", NO_ROUTE);
    let rules = "[[route]]\nid = \"version\"\nmatch = \"GET /version\"\nto = \"docker\"\nallow = \"ci\"\n\
                 [[forbid]]\nid = \"no-lists\"\nmatch = \"GET /containers/{rest...}\"\n";
    let file = record.policy("new.toml", &policy(&format!("{LIST}{rules}")));
    let (lines, code) = json("replay", &record.audit(), &["--policy", file.to_str().unwrap()]);
    assert_eq!(code, 1);
    let [won, lost, sum] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(
        (&won["flip"], &won["count"], &won["samples"][0]["id"]),
        (&"gained".into(), &1.into(), &gained.into())
    );
    assert_eq!((&won["old"]["refusal"], &won["new"]["by"]), (&"no-route".into(), &"who.ci".into()));
    assert_eq!((&lost["flip"], &lost["count"], &lost["uid"]), (&"lost".into(), &5.into(), &1001.into()));
    assert_eq!((&lost["old"]["route"], &lost["new"]["refusal"]), (&"list".into(), &"forbidden".into()));
    assert_eq!(lost["samples"].as_array().unwrap().len(), 3);
    let why = lost["why"][0].as_str().unwrap();
    assert!(why.contains("forbid.no-lists (new.toml:") && why.contains("forbids it to everyone"), "{why}");
    assert_eq!((&sum["gained"], &sum["lost"], &sum["same"]), (&1.into(), &5.into(), &0.into()));
    let (text, _, _) = run("replay", &record.audit(), &["--policy", file.to_str().unwrap()]);
    assert!(
        text.contains(
            "allowed -> denied: 5 times, u1001 (uid 1001) at docker, such as GET /containers/json?all=1"
        ),
        "{text}"
    );
}

#[test]
fn replay_only_and_accept_choose_what_a_gate_fails_for() {
    let mut record = Record::new();
    record.asked(1001, "GET", "/version", NO_ROUTE);
    let rules = "[[route]]\nid = \"version\"\nmatch = \"GET /version\"\nto = \"docker\"\nallow = \"ci\"\n";
    let file = record.policy("new.toml", &policy(rules));
    let replay = |more: &[&str]| {
        let (lines, code) =
            json("replay", &record.audit(), &[&["--policy", file.to_str().unwrap()], more].concat());
        (lines.len(), code)
    };
    assert_eq!(replay(&[]), (2, 1));
    assert_eq!(replay(&["--accept", "gained"]), (2, 0));
    assert_eq!(replay(&["--accept", "lost"]), (2, 1));
    assert_eq!(replay(&["--only", "lost"]), (1, 0));
}

#[test]
fn replay_what_the_record_lacks_is_never_the_same() {
    let mut record = Record::new();
    // Where it lived was not known.
    record.asked_by(1001, "", "GET", "/containers/json", ALLOWED);
    let cut = format!("\"target_len\":9000,{NO_ROUTE}");
    record.asked(1001, "GET", "/containers/jso", &cut);
    record.asked(1001, "GET", "/containers/json", TOO_LATE);
    record.asked(1001, "POST", "/containers/web/attach", &ALLOWED.replace("200", "101"));
    record.add(
        "20261123T000000.000000Z-7k3qzd-gate-1001-0-1003.ndjson",
        "repeat",
        r#""uid":1001,"on":"docker","refusal":"no-route","count":40,"first":"2026-11-23T00:00:01.000000Z","last":"2026-11-23T00:00:02.000000Z""#,
    );
    let attach = "[[route]]\nid = \"attach\"\nmatch = \"POST /containers/{id}/attach\"\nto = \"docker\"\nallow = \"ci\"\nupgrade = [\"tcp\"]\n";
    let file = record.policy("new.toml", &policy(&format!("{LIST}{attach}")));
    let file = file.to_str().unwrap();
    let (lines, code) = json("replay", &record.audit(), &["--policy", file]);
    let sum = lines.last().unwrap();
    assert_eq!((lines.len(), &sum["same"], code), (1, &0.into(), 0), "{lines:?}");
    let lacking = sum["unjudged"]["lacking"].as_object().unwrap();
    assert_eq!(
        lacking.values().map(|count| count.as_u64().unwrap()).sum::<u64>(),
        1 + 1 + 1 + 40,
        "{lacking:?}"
    );
    assert_eq!(sum["unjudged"]["otherwise"]["head-timeout"], 1);
    assert_eq!(json("replay", &record.audit(), &["--policy", file, "--strict"]).1, 1);
}

#[test]
fn replay_body_that_is_longer_than_the_policy_takes_is_lost() {
    let mut record = Record::new();
    let id = record.asked(1001, "POST", "/containers/json", &ALLOWED.replace(",\"status\":200", ""));
    let outcome =
        format!("\"id\":\"{id}\",\"status\":200,\"result\":\"completed\",\"in\":4096,\"out\":5,\"us\":70");
    record.add("20261123T000000.000000Z-7k3qzd-gate-1001-0-1003.ndjson", "outcome", &outcome);
    let rules = LIST.replace("GET", "POST");
    let replay = |max: &str| {
        let file = record.policy("new.toml", &policy(&format!("{rules}body = {{ max = \"{max}\" }}\n")));
        json("replay", &record.audit(), &["--policy", file.to_str().unwrap()]).0
    };
    assert_eq!(replay("4KiB").len(), 1);
    assert_eq!(replay("4095B")[0]["new"]["refusal"], "body-too-large");
}

#[test]
fn replay_without_requests_or_policy_is_exit_code_3() {
    let mut record = Record::new();
    record.asked(1001, "GET", "/version", NO_ROUTE);
    let good = record.policy("new.toml", &policy(LIST));
    let wrong = record.policy("wrong.toml", "version = 9");
    let replay = |arguments: &[&str]| run("replay", &record.audit(), arguments);
    let (_, err, code) = replay(&["--policy", good.to_str().unwrap(), "--user", "4711"]);
    assert!(code == 3 && err.contains("nothing was replayed"), "{err}");
    let (_, err, code) = replay(&["--policy", wrong.to_str().unwrap()]);
    assert!(code == 3 && err.contains("is not valid"), "{err}");
}

#[test]
fn replay_listener_that_is_gone_is_lost() {
    let mut record = Record::new();
    record.asked(1001, "GET", "/containers/json", ALLOWED);
    let file = record.policy("new.toml", &policy(LIST).replace("[listen.docker]", "[listen.other]"));
    let (lines, code) = json("replay", &record.audit(), &["--policy", file.to_str().unwrap()]);
    assert_eq!((&lines[0]["new"]["refusal"], code), (&"no-listener".into(), 1));
}

#[test]
fn unused_names_routes_grants_and_forbids_that_nobody_needed() {
    let mut record = Record::new();
    record.asked(1001, "GET", "/containers/json", ALLOWED);
    record.asked(1003, "GET", "/images/json", NO_ROUTE);
    record.asked(1001, "POST", "/exec/4/start", NO_ROUTE);
    let rules = "[who.ops]\nuid = [1002]\n\
                 [[route]]\nid = \"images\"\nmatch = \"GET /images/json\"\nto = \"docker\"\nallow = \"ops\"\n\
                 [[route]]\nid = \"exec\"\nmatch = \"* /exec/{rest...}\"\nto = \"docker\"\nallow = \"ops\"\n\
                 [[forbid]]\nid = \"used\"\nmatch = \"* /exec/{rest...}\"\n\
                 [[forbid]]\nid = \"idle\"\nmatch = \"* /secrets/{rest...}\"\n";
    let list = LIST.replace("allow = \"ci\"", "allow = [\"ci\", \"ops\"]");
    let file = record.policy("p.toml", &policy(&format!("{list}{rules}")));
    let (lines, code) = json("unused", &record.audit(), &["--policy", file.to_str().unwrap()]);
    let told: Vec<_> = lines.iter().filter(|line| line["unused"].is_string()).collect();
    let short: Vec<String> = told
        .iter()
        .map(|it| format!("{} {} {} {}", it["unused"], it["id"], it["who"], it["asked"]).replace('"', ""))
        .collect();
    assert_eq!(short, ["grant list ops 0", "route images null 1", "route exec null 1", "forbid idle null 0"]);
    assert_eq!((&lines.last().unwrap()["days"], code), (&0.into(), 1));
    let (text, _, _) = run("unused", &record.audit(), &["--policy", file.to_str().unwrap()]);
    assert!(text.contains("route images (p.toml:") && text.contains("over 0 whole days"), "{text}");
}

// --- suggest -------------------------------------------------------------------------------------------------

/// A policy's answers.
struct Asking(Decider);

impl Asking {
    fn new(text: &str) -> Asking {
        let own = Own::system(Uid::new(0).unwrap(), Gid::new(0).unwrap());
        let policy =
            load_text("s.toml", text, &SystemNames, &own).unwrap_or_else(|why| panic!("{why}\n{text}"));
        Asking(Decider::new(Arc::new(policy)))
    }

    fn allows(&self, uid: u32, method: &str, target: &str) -> bool {
        let id = (Uid::new(uid).unwrap(), Gid::new(uid).unwrap());
        let caller = Caller {
            peer: Peer { uid, gid: uid, pid: 9, real_uid: None },
            credentials: Credentials {
                uid: Attr::Known(id.0),
                gid: Attr::Known(id.1),
                groups: Attr::Known(vec![Gid::new(7).unwrap()]),
            },
            user: None,
            namespace: Attr::Known(Namespace::Host),
            start_time: Attr::Unknown,
            exe: Attr::Unknown,
            unit: Attr::Unknown,
            login_uid: Attr::Unknown,
            label: Attr::Unknown,
        };
        let method = Method::parse(method.as_bytes()).unwrap();
        let target = Target::parse(target.as_bytes()).unwrap();
        let subject = self.0.recognise(ListenerId(0), &caller);
        let asked = Asked { method: &method, target: &target, upgrade: None };
        matches!(self.0.decide(ListenerId(0), &subject, &asked), Verdict::Allow(_))
    }
}

#[test]
fn suggest_covers_what_was_used_and_nothing_else() {
    let mut record = Record::new();
    for number in 0..20 {
        record.asked(1001, "GET", &format!("/containers/0f3a9c7d1e{number:02}/json?size=1"), ALLOWED);
    }
    record.asked(1002, "GET", "/version", ALLOWED);
    record.asked(1003, "POST", "/containers/create", NO_ROUTE);
    let (text, err, code) = run("suggest", &record.audit(), &[]);
    assert_eq!((code, err.as_str()), (0, ""), "{text}");
    assert!(
        text.contains("\"GET /containers/{id:hex}/json\"") && text.contains("20 times (7k3qzd-1-1, "),
        "{text}"
    );
    assert!(text.contains("query = [\"size\"]") && text.contains("query = []"), "{text}");
    let asking = Asking::new(&text);
    for (uid, method, target, allowed) in [
        (1001, "GET", "/containers/0f3a9c7d1e00/json?size=1", true),
        (1001, "GET", "/containers/0f3a9c7d1e00/json?all=1", false),
        (1001, "GET", "/containers/web/json", false),
        (1001, "GET", "/version", false),
        (1002, "GET", "/version", true),
        (1003, "POST", "/containers/create", false),
    ] {
        assert_eq!(asking.allows(uid, method, target), allowed, "{uid} {method} {target}\n{text}");
    }
}

#[test]
fn suggest_denied_takes_over_what_the_policy_at_hand_asks_for() {
    let mut record = Record::new();
    record.asked(1002, "GET", "/v1.47/containers/json?all=1", NO_ROUTE);
    record.asked(1002, "GET", "/v1.47/secrets/x", NO_ROUTE);
    record.asked(1001, "GET", "/containers/json", ALLOWED);
    let rules = "[limits]\nheaders = 50\n[[forbid]]\nid = \"secrets\"\nmatch = \"* /secrets/{rest...}\"\n[[route]]\nid = \"secrets\"\nmatch = \"* /secrets/{rest...}\"\nto = \"docker\"\nallow = \"ci\"\n\
                 [[forbid]]\nid = \"exec\"\nmatch = \"* /exec/{rest...}\"\nwho = \"ci\"\n";
    let list = format!("{LIST}help = \"Ask \\\"ops\\\".\"\nbody = {{ max = \"2KiB\" }}\n");
    let file = record.policy("p.toml", &policy(&format!("{list}{rules}")));
    let (text, err, code) =
        run("suggest", &record.audit(), &["--denied", "--policy", file.to_str().unwrap()]);
    assert_eq!((code, err.as_str()), (0, ""), "{text}");
    for kept in
        ["headers = 50", "version_prefix = ", "max = \"2KiB\"", "help = ", "id = \"exec\"", "LEFT OUT"]
    {
        assert!(text.contains(kept), "{kept}\n{text}");
    }
    let asking = Asking::new(&text);
    assert!(asking.allows(1002, "GET", "/v1.41/containers/json?all=1"), "{text}");
    assert!(asking.allows(1002, "GET", "/secrets/x"), "{text}");
    assert!(
        !asking.allows(1002, "GET", "/secrets/y") && !asking.allows(1001, "GET", "/containers/json"),
        "{text}"
    );
}

#[test]
fn suggest_used_keeps_what_the_route_at_hand_asks_for() {
    let mut record = Record::new();
    record.asked(1001, "GET", "/v1.47/containers/json?all=1", ALLOWED);
    record.asked(1001, "POST", "/containers/web/attach", &ALLOWED.replace("200", "101"));
    let attach = "[[route]]\nid = \"attach\"\nmatch = \"POST /containers/{id}/attach\"\nto = \"docker\"\nallow = \"ci\"\nupgrade = [\"tcp\"]\nstream = true\n";
    let file = record.policy("p.toml", &policy(&format!("{LIST}{attach}")));
    let (text, err, code) = run("suggest", &record.audit(), &["--policy", file.to_str().unwrap()]);
    assert_eq!((code, err.as_str()), (0, ""), "{text}");
    assert!(text.contains("upgrade = [\"tcp\"]") && text.contains("stream = true"), "{text}");
    let asking = Asking::new(&text);
    assert!(asking.allows(1001, "POST", "/containers/web/attach"), "{text}");
    assert!(!asking.allows(1001, "POST", "/containers/db/attach"), "{text}");
}

#[test]
fn suggest_by_group_names_the_group_that_all_are_in() {
    let mut record = Record::new();
    record.asked(1001, "GET", "/version", ALLOWED);
    record.asked(1002, "GET", "/version", ALLOWED);
    let (text, _, code) = run("suggest", &record.audit(), &["--by", "group"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(text.matches("\n[who.").count(), 1, "{text}");
    assert!(Asking::new(&text).allows(4711, "GET", "/version"), "another in the same group\n{text}");
}

#[test]
fn suggest_what_it_can_not_cover_is_told_with_exit_code_1() {
    let mut record = Record::new();
    record.asked(1001, "GET", "/version", ALLOWED);
    record.asked(1001, "GET", "/images/a%2Fb/json", ALLOWED);
    record.asked(1001, "GET", "/events?a=1&a=2", ALLOWED);
    let (text, err, code) = run("suggest", &record.audit(), &[]);
    assert_eq!(code, 1);
    assert!(err.contains("can't be judged: 2") && err.contains("%2F"), "{err}");
    assert!(text.contains("# Not here, can't be judged: 2"), "{text}");
    let (_, err, code) = run("suggest", &record.audit(), &["--user", "4711"]);
    assert!(code == 3 && err.contains("nothing to cover"), "{err}");
}

/// A request: uid, method, path, query names.
fn request() -> impl Strategy<Value = (u32, &'static str, String, BTreeSet<&'static str>)> {
    let word = prop::sample::select(vec!["a", "json", "face", "v1.4", "x-y"]).prop_map(str::to_owned);
    let number = (0u32..12).prop_map(|n| n.to_string());
    let hex = (0u32..12).prop_map(|n| format!("{n:02x}0f3a9c7d1e{n:02x}"));
    let name = (0u32..40).prop_map(|n| format!("name-{n}"));
    let segment = prop_oneof![3 => word, 1 => number, 1 => hex, 1 => name, 1 => Just(String::new())];
    let first = prop::sample::select(vec!["containers", "images"]);
    let path = (first, prop::collection::vec(segment, 0..3)).prop_map(|(first, mut rest)| {
        // An empty segment is one only at the end.
        let slash = rest.last().is_some_and(String::is_empty);
        rest.retain(|segment| !segment.is_empty());
        format!("/{}{}", [vec![first.to_owned()], rest].concat().join("/"), if slash { "/" } else { "" })
    });
    let query = prop::collection::btree_set(prop::sample::select(vec!["all", "size"]), 0..2);
    (1001u32..1004, prop::sample::select(vec!["GET", "POST", "DELETE"]), path, query)
}

#[test]
fn suggest_for_any_log_allows_each_request_and_nothing_beside_it() {
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let logs = (prop::collection::vec(request(), 1..60), 2usize..9);
    runner
        .run(&logs, |(requests, many)| {
            let mut record = Record::new();
            for (uid, method, path, query) in &requests {
                record.asked(*uid, method, &target(path, query), ALLOWED);
            }
            let (text, err, code) = run("suggest", &record.audit(), &["--many", &many.to_string()]);
            assert_eq!((code, err.as_str()), (0, ""), "{text}");
            let asking = Asking::new(&text);
            for (uid, method, path, query) in &requests {
                let asked = target(path, query);
                assert!(asking.allows(*uid, method, &asked), "{uid} {method} {asked}\n{text}");
                assert!(!asking.allows(4711, method, &asked), "another caller: {method} {asked}\n{text}");
                assert!(!asking.allows(*uid, "PATCH", &asked), "another method: {asked}\n{text}");
                let more =
                    if query.is_empty() { format!("{path}?other=1") } else { format!("{asked}&other=1") };
                assert!(!asking.allows(*uid, method, &more), "another name: {method} {more}\n{text}");
                let longer = format!("{}/beside/it/all", path.trim_end_matches('/'));
                assert!(!asking.allows(*uid, method, &longer), "a longer path: {longer}\n{text}");
                let other = path.replacen("/containers", "/volumes", 1).replacen("/images", "/networks", 1);
                assert!(!asking.allows(*uid, method, &other), "another resource: {other}\n{text}");
            }
            Ok(())
        })
        .unwrap();
}

fn target(path: &str, query: &BTreeSet<&str>) -> String {
    let pairs: Vec<String> = query.iter().map(|name| format!("{name}=1")).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

// --- the judge -----------------------------------------------------------------------------------------------

#[test]
fn decider_answers_as_the_slow_judge_does() {
    let config = Config { cases: 400, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&prop::collection::vec(prop::num::u8::ANY, 20..400), |bytes| {
            slow_rules::check_rules(&bytes);
            Ok(())
        })
        .unwrap();
}

#[test]
fn file_of_any_bytes_is_taken_or_refused_and_nothing_else() {
    for name in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/policy")).unwrap() {
        slow_rules::check_file(&fs::read(name.unwrap().path()).unwrap());
    }
    let config = Config { cases: 200, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&prop::collection::vec(prop::num::u8::ANY, 0..600), |bytes| {
            slow_rules::check_file(&bytes);
            Ok(())
        })
        .unwrap();
}
