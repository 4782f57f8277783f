//! `peergate audit` as an operator runs it, on segments written by the real encoder.
#![cfg(feature = "cli")]
#![allow(clippy::disallowed_methods, reason = "a test starts the program it tests")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails where its helpers do")]

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use peergate::audit::encode;
use peergate::audit::entry::{Conn, Decided, Decision, Entry, Grant, OutcomeOf};
use peergate::audit::secret::Secrets;
use peergate::audit::segment;
use peergate::model::caller::{Attr, Caller, Credentials, Gid, Namespace, Peer, Uid};
use peergate::model::ids::{ConnectionId, RequestId};
use peergate::model::outcome::Outcome;
use peergate::model::refusal::Refusal;
use peergate::model::time::Timestamp;

const START: u64 = 1_795_405_589_000_000;

struct Stage {
    directory: tempfile::TempDir,
    clock: u64,
}

struct Segment {
    file: File,
    n: u64,
}

fn connection() -> ConnectionId {
    "7k3qzd-41".parse().unwrap()
}

fn id(number: u32) -> RequestId {
    RequestId { connection: connection(), number }
}

impl Stage {
    fn new() -> Stage {
        Stage { directory: tempfile::tempdir().unwrap(), clock: START }
    }

    fn segment(&self, writer: &str) -> Segment {
        let name = segment::name(Timestamp::from_micros(START), connection().boot, writer);
        Segment { file: File::create(self.directory.path().join(name)).unwrap(), n: 0 }
    }

    fn write(&mut self, segment: &mut Segment, entry: &Entry<'_>) {
        self.clock += 1_000;
        let mut line = Vec::new();
        encode::line(entry, segment.n, Timestamp::from_micros(self.clock), &mut line);
        segment.n += 1;
        segment.file.write_all(&line).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> (String, String, i32) {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr), output.status.code().unwrap())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_peergate"));
        command.arg("audit").args(arguments).arg("--dir").arg(self.directory.path());
        command
    }
}

fn conn(caller: &Caller) -> Entry<'_> {
    Entry::Conn(Conn { id: connection(), on: "docker", caller, shed: None })
}

fn caller(uid: u32) -> Caller {
    Caller {
        peer: Peer { uid, gid: 1001, pid: 48213, real_uid: None },
        credentials: Credentials {
            uid: Attr::Known(Uid::new(uid).unwrap()),
            gid: Attr::Known(Gid::new(1001).unwrap()),
            groups: Attr::Known(vec![Gid::new(998).unwrap()]),
        },
        user: Some("deploy".into()),
        namespace: Attr::Known(Namespace::Host),
        start_time: Attr::Unknown,
        exe: Attr::Unknown,
        unit: Attr::Unknown,
        login_uid: Attr::Unknown,
        label: Attr::Unknown,
    }
}

fn decision(number: u32, target: &str, verdict: Decided) -> Entry<'_> {
    Entry::Decision(Decision {
        id: id(number),
        uid: 1001,
        pid: 48213,
        method: b"GET",
        target: target.as_bytes(),
        route: Some("list"),
        verdict,
        by: Some("who.ci"),
        at: Some("policy.toml:42"),
        policy: "9f2c1e77",
        shadow: None,
        part: None,
        fields: &[],
        status: matches!(verdict, Decided::Deny(_)).then_some(403),
        us: None,
    })
}

fn outcome(number: u32) -> Entry<'static> {
    Entry::Outcome(OutcomeOf {
        id: id(number),
        status: Some(200),
        result: Outcome::Completed,
        bytes_in: 0,
        bytes_out: 5120,
        us: 7456,
    })
}

/// An allowed request with all that belongs to it, and a denied one.
fn reviewed() -> Stage {
    let mut stage = Stage::new();
    let (mut warden, mut gate) = (stage.segment("warden-1"), stage.segment("gate-1001-0-2"));
    stage.write(&mut warden, &conn(&caller(1001)));
    stage.write(&mut gate, &decision(1, "/containers/json", Decided::Allow));
    let grant = Grant {
        id: id(1),
        uid: 1001,
        backend: "docker",
        policy: "9f2c1e77",
        refused: None,
        via: None,
        run: None,
    };
    stage.write(&mut warden, &Entry::Grant(grant));
    stage.write(&mut gate, &outcome(1));
    stage.write(&mut gate, &decision(2, "/x\u{1b}[2J", Decided::Deny(Refusal::NotAllowed)));
    // What only the warden can know, in a gate's segment, is a lie.
    stage.write(&mut gate, &conn(&caller(0)));
    stage
}

#[test]
fn show_joins_who_what_rule_and_outcome() {
    let (out, err, code) = reviewed().run(&["show", "7k3qzd-41-1"]);
    assert_eq!((err.as_str(), code), ("", 0));
    let expected = "\
connection 7k3qzd-41
  who       deploy uid 1001, gid 1001, groups 998, pid 48213
  namespace host
  listener  docker, at 2026-11-23T03:46:29.001000Z
  seal      none yet

request 7k3qzd-41-1
  asked     GET /containers/json
  when      2026-11-23T03:46:29.002000Z
  verdict   allow
  rule      who.ci at policy.toml:42, route list, policy 9f2c1e77
  granted   docker, at 2026-11-23T03:46:29.003000Z
  outcome   200 completed, 0 bytes in, 5120 out, 7456 us, at 2026-11-23T03:46:29.004000Z
  record    20261123T034629.000000Z-7k3qzd-gate-1001-0-2.ndjson
  seal      none yet
";
    assert_eq!(out, expected);
}

#[test]
fn show_connection_has_all_its_requests() {
    let (out, _, code) = reviewed().run(&["show", "7k3qzd-41"]);
    assert_eq!(code, 0);
    assert!(out.contains("request 7k3qzd-41-1\n") && out.contains("request 7k3qzd-41-2\n"), "{out}");
    assert!(out.contains("verdict   deny (not-allowed)") && out.contains("/x\\u001b[2J"), "{out}");
}

#[test]
fn show_json_is_one_object() {
    let (out, _, code) = reviewed().run(&["show", "7k3qzd-41-1", "--format", "json"]);
    assert_eq!(code, 0);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["conn"]["uid"], 1001);
    assert_eq!(value["requests"][0]["decision"]["route"], "list");
    assert_eq!(value["requests"][0]["grants"][0]["backend"], "docker");
    assert_eq!(value["requests"][0]["outcome"]["status"], 200);
}

#[test]
fn show_unknown_id_is_exit_code_1_and_no_id_is_2() {
    let stage = reviewed();
    for id in ["7k3qzd-42-1", "7k3qzd-41-3", "7k3qzd-42", "000000-1"] {
        let (out, err, code) = stage.run(&["show", id]);
        assert_eq!((out.as_str(), code), ("", 1), "{id}");
        assert!(err.contains("has no record of it"), "{err}");
    }
    assert_eq!(stage.run(&["show", "7k3qzd"]).2, 2);
}

#[test]
fn unreadable_directory_is_exit_code_3() {
    let stage = Stage::new();
    std::fs::remove_dir(stage.directory.path()).unwrap();
    let (_, err, code) = stage.run(&["tail"]);
    assert_eq!(code, 3);
    assert!(err.starts_with("peergate: can't read "), "{err}");
}

#[test]
fn tail_prints_the_latest_in_order_and_tells_of_a_torn_end() {
    let stage = reviewed();
    stage.segment("gate-1001-1-3").file.write_all(b"{\"v\":1,").unwrap();
    let (out, err, code) = stage.run(&["tail", "-n", "3"]);
    assert_eq!(code, 0);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0], "2026-11-23 03:46:29.004   ends 7k3qzd-41-1 200 completed in=0 out=5120 us=7456");
    assert!(lines[1].contains("DENY  7k3qzd-41-2 uid 1001 GET /x\\u001b[2J (not-allowed)"), "{}", lines[1]);
    assert!(err.contains("gate-1001-1-3.ndjson ends inside a line: 7 bytes are not shown"), "{err}");
}

#[test]
fn tail_json_is_the_record_itself() {
    let (out, _, code) = reviewed().run(&["tail", "--all", "--format", "json"]);
    let records: Vec<serde_json::Value> =
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((records.len(), code), (6, 0));
}

#[test]
fn tail_follow_shows_what_comes_and_ends_quietly_with_its_reader() {
    let mut stage = Stage::new();
    let mut gate = stage.segment("gate-1001-0-2");
    let mut command = stage.command(&["tail", "-f"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    stage.write(&mut gate, &outcome(1));
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert!(line.contains("ends 7k3qzd-41-1"), "{line}");
    // A new segment, as after a rotation.
    let mut next = stage.segment("gate-1001-0-3");
    stage.write(&mut next, &outcome(2));
    line.clear();
    out.read_line(&mut line).unwrap();
    assert!(line.contains("ends 7k3qzd-41-2"), "{line}");
    drop(out);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(err, "");
}

#[test]
fn hash_finds_a_secret_again() {
    let stage = Stage::new();
    let key = stage.directory.path().join("hash.key");
    std::fs::write(&key, [7; 32]).unwrap();
    let (out, _, code) = stage.run(&["hash", "hunter2"]);
    assert_eq!(code, 0);
    let recorded = Secrets::new(&[7; 32]).cleaned(b"/x?token=hunter2", &[]).into_owned();
    assert_eq!(format!("/x?token={}", out.trim_end()).as_bytes(), recorded);
    let mut command = stage.command(&["hash", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"hunter2\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), out);
    std::fs::write(&key, [7; 33]).unwrap();
    assert_eq!(stage.run(&["hash", "hunter2"]).2, 3);
}
