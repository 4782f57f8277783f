//! A daemon's life: reload, drain, deaths of its roles, floods, and a full disk.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::{Mutex, mpsc};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use support::client::{self, Client};
use support::daemon::{self, Daemon, write_policy};
use support::people::{Person, person};
use support::records;
use support::upstream::Upstream;

const POLICY: &str = include_str!("policies/up.toml");

fn started() -> (Daemon, Upstream) {
    let place = daemon::place();
    let upstream = Upstream::start(&place.path().join("up.sock"));
    (Daemon::start_in(place, POLICY), upstream)
}

fn peergate(words: &[&str], daemon: &Daemon) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peergate"));
    command.args(words).arg("--control").arg(daemon.path("run/control.sock")).output().unwrap()
}

#[test]
fn reload_takes_effect_for_connections_that_are_open() {
    need_root!();
    let (mut daemon, upstream) = started();
    let mut client = Client::connect(&daemon.socket());
    assert_eq!(client.ask("GET", "/allowed/x").answer().status(), 200);
    assert_eq!(client.ask("GET", "/other/x").answer().status(), 403);
    assert!(daemon.reload(&POLICY.replace("/allowed/{rest...}", "/other/{rest...}")));
    let reloaded = daemon.records_of("policy").pop().unwrap();
    assert!(reloaded["old"].is_string() && reloaded["new"].is_string() && reloaded["old"] != reloaded["new"]);
    // Another connection is judged by the new one from its first request on; so is this one.
    assert_eq!(client::ask(&daemon.socket(), "GET", "/other/x").status(), 200);
    assert_eq!(client.ask("GET", "/allowed/x").answer().status(), 403);
    assert_eq!(upstream.asked(), ["GET /allowed/x", "GET /other/x"]);
    let all = daemon.stop();
    let policy = &records::decision(&all, 0, "GET", "/other/x")["policy"];
    assert!(policy.is_string());
}

#[test]
fn reload_of_a_mistake_keeps_what_was_in_force_and_says_why() {
    need_root!();
    let (mut daemon, _upstream) = started();
    assert!(!daemon.reload(&POLICY.replace("allow = [\"root\"]", "allow = [\"nobody-of-that-name\"]")));
    assert_eq!(client::ask(&daemon.socket(), "GET", "/allowed/x").status(), 200);
    let output = peergate(&["reload"], &daemon);
    assert_eq!(output.status.code(), Some(1), "{}", support::said(&output));
    assert!(support::said(&output).contains("nobody-of-that-name"), "{}", support::said(&output));
    write_policy(daemon.dir(), POLICY);
    let output = peergate(&["reload"], &daemon);
    assert!(output.status.success(), "{}", support::said(&output));
    daemon.stop();
}

#[test]
fn reload_ends_a_stream_that_is_allowed_no_more() {
    need_root!();
    let place = daemon::place();
    let _upstream = Upstream::behaving(&place.path().join("up.sock"), |_, stream, reader| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ntick\r\n");
        let _ = reader.read(&mut [0]);
        false
    });
    let mut daemon = Daemon::start_in(place, POLICY);
    let mut streaming = Client::connect(&daemon.socket());
    streaming.ask("GET", "/stream/events");
    streaming.exactly(20);
    assert!(daemon.reload(&POLICY.replace("/stream/{name}", "/streams/{name}")));
    assert!(!String::from_utf8_lossy(&streaming.rest()).ends_with("0\r\n\r\n"), "cut, not ended");
    daemon.wait_for("the stream's end", |r| r["t"] == "outcome" && r["result"] == "refused-by-reload");
    daemon.stop();
}

#[test]
fn reload_dry_run_shows_what_changes_and_changes_nothing() {
    need_root!();
    let (daemon, _upstream) = started();
    let other = POLICY.replace("/allowed/{rest...}", "/other/{rest...}");
    write_policy(daemon.dir(), &other);
    let output = peergate(&["reload", "--dry-run"], &daemon);
    let said = support::said(&output);
    assert!(output.status.success() && said.contains("would be in force: "), "{said}");
    assert!(said.contains("matches * /other/{rest...}"), "{said}");
    let status = support::said(&peergate(&["status"], &daemon));
    assert!(status.contains("the file DIFFERS from what is in force"), "{status}");
    assert_eq!(client::ask(&daemon.socket(), "GET", "/allowed/x").status(), 200);
    assert_eq!(client::ask(&daemon.socket(), "GET", "/other/x").status(), 403);
    // A reload shows the same, and means it.
    let output = peergate(&["reload", "--format", "json"], &daemon);
    let told: Value = serde_json::from_str(&support::out(&output)).unwrap();
    assert_eq!(
        (&told["reloaded"], told["changes"].as_array().map(Vec::len)),
        (&true.into(), Some(1)),
        "{told}"
    );
    assert_eq!(client::ask(&daemon.socket(), "GET", "/other/x").status(), 200);
    let status = support::said(&peergate(&["status"], &daemon));
    assert!(status.contains("the file says the same"), "{status}");
    // What a reload would not take is refused alike, and nothing of a try is on record.
    write_policy(daemon.dir(), &POLICY.replace("run/api.sock", "run/other.sock"));
    let output = peergate(&["reload", "--dry-run"], &daemon);
    assert_eq!(output.status.code(), Some(1));
    assert!(support::said(&output).contains("only be changed by a restart"), "{}", support::said(&output));
    assert_eq!(daemon.records_of("policy").len(), 2, "the start and one reload");
    daemon.stop();
}

#[test]
fn status_tells_what_runs() {
    need_root!();
    let (daemon, _upstream) = started();
    let mut staying = Client::connect(&daemon.socket());
    assert_eq!(staying.ask("GET", "/allowed/x").answer().status(), 200);
    let output = peergate(&["status"], &daemon);
    let said = support::said(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&daemon.pid().to_string()) && said.contains("api.sock"), "{said}");
    // Nobody else may ask.
    let mut stranger = person("pg-mallory").command(support::python());
    let script = "import socket, sys\ns = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\ns.connect(sys.argv[1])";
    let output = stranger.args(["-c", script]).arg(daemon.path("run/control.sock")).output().unwrap();
    assert!(support::said(&output).contains("PermissionError"), "{}", support::said(&output));
    daemon.stop();
}

#[test]
fn drain_finishes_what_runs_and_takes_nobody_new() {
    need_root!();
    let place = daemon::place();
    let (go, may_answer) = mpsc::channel::<()>();
    let (asked, is_asked) = mpsc::channel::<()>();
    let (may_answer, asked) = (Mutex::new(may_answer), Mutex::new(asked));
    let _upstream = Upstream::behaving(&place.path().join("up.sock"), move |_, stream, _| {
        asked.lock().unwrap().send(()).unwrap();
        may_answer.lock().unwrap().recv_timeout(support::PATIENCE).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole").is_ok()
    });
    let mut daemon = Daemon::start_in(place, POLICY);
    let mut running = Client::connect(&daemon.socket());
    running.ask("GET", "/allowed/slow");
    is_asked.recv_timeout(support::PATIENCE).unwrap();
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.wait_for_notice("STOPPING=1").is_ok());
    // The socket goes first, so nobody new can wait for nothing.
    daemon.wait_until_gone(&daemon.socket());
    assert!(UnixStream::connect(daemon.socket()).is_err());
    go.send(()).unwrap();
    let answer = running.answer();
    assert_eq!((answer.status(), answer.text().as_str()), (200, "whole"));
    assert!(running.rest().is_empty(), "then it is closed");
    let audit = daemon.path("audit");
    assert!(daemon.wait().success());
    records::check_books(&audit);
    let all = records::read(&audit);
    assert_eq!(
        records::outcome(&all, records::decision(&all, 0, "GET", "/allowed/slow"))["result"],
        "completed"
    );
    let closed = all.iter().filter(|record| record["t"] == "close").count();
    assert!(closed >= 2, "the segments of warden and gate are closed: {closed}");
}

#[test]
fn drain_under_load_answers_whole_and_books_every_request() {
    need_root!();
    let (daemon, upstream) = started();
    let socket = daemon.socket();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let socket = socket.clone();
            std::thread::spawn(move || {
                let mut answered = 0_u64;
                while let Some(mut client) = Client::connect_if_there(&socket) {
                    for _ in 0..50 {
                        client.ask("GET", "/allowed/load");
                        // An answer that begins is whole, or the connection ends before it.
                        let Some(answer) = client.answer_or_end() else { break };
                        if answer.status() == 200 {
                            assert_eq!(answer.text(), "GET /allowed/load 0");
                            answered += 1;
                        }
                    }
                }
                answered
            })
        })
        .collect();
    daemon.wait_for("some load", |r| r["t"] == "outcome" && r["id"].as_str().unwrap().ends_with("-20"));
    let all = daemon.stop();
    let answered: u64 = clients.into_iter().map(|client| client.join().unwrap()).sum();
    let count = |kind: &str, field: &str, value: &str| {
        all.iter().filter(|record| record["t"] == kind && record[field] == value).count() as u64
    };
    assert!(answered > 0 && count("outcome", "result", "completed") >= answered);
    assert!(
        upstream.received().len() as u64 <= count("decision", "decision", "allow"),
        "no effect without a record"
    );
}

fn gate_of(daemon: &Daemon, uid: u32) -> Value {
    daemon.wait_for("a gate's start", |r| r["t"] == "gate" && r["event"] == "started" && r["uid"] == uid)
}

#[test]
fn killed_gate_ends_its_callers_only_and_another_takes_over() {
    need_root!();
    need_programs!("curl");
    let (daemon, _upstream) = started();
    let alice = person("pg-alice");
    let mut of_root = Client::connect(&daemon.socket());
    assert_eq!(of_root.ask("GET", "/allowed/x").answer().status(), 200);
    assert_eq!(alice.curl(&daemon.socket(), "/allowed/x", &[]).0, 200);
    let gate = gate_of(&daemon, alice.uid.as_raw());
    kill(Pid::from_raw(i32::try_from(gate["pid"].as_i64().unwrap()).unwrap()), Signal::SIGKILL).unwrap();
    let death = daemon.wait_for("its death", |r| r["t"] == "gate" && r["event"] == "killed");
    assert_eq!(
        (death["signal"].as_i64(), death["uid"].as_u64()),
        (Some(9), Some(u64::from(alice.uid.as_raw())))
    );
    assert_eq!(of_root.ask("GET", "/allowed/x").answer().status(), 200, "root's gate never noticed");
    assert_eq!(alice.curl(&daemon.socket(), "/allowed/x", &[]).0, 200, "a new one serves");
    daemon.stop();
}

#[test]
fn killed_gate_leaves_no_connection_open_and_its_books_are_settled() {
    need_root!();
    let place = daemon::place();
    let (asked, is_asked) = mpsc::channel::<()>();
    let asked = Mutex::new(asked);
    let _upstream = Upstream::behaving(&place.path().join("up.sock"), move |_, _, reader| {
        asked.lock().unwrap().send(()).unwrap();
        let _ = reader.read(&mut [0]);
        false
    });
    let daemon = Daemon::start_in(place, POLICY);
    let mut client = Client::connect(&daemon.socket());
    client.ask("GET", "/allowed/hangs");
    is_asked.recv_timeout(support::PATIENCE).unwrap();
    let gate = gate_of(&daemon, 0);
    kill(Pid::from_raw(i32::try_from(gate["pid"].as_i64().unwrap()).unwrap()), Signal::SIGKILL).unwrap();
    assert!(client.rest().is_empty(), "the connection ends with its gate");
    daemon.wait_for("its death", |r| r["t"] == "gate" && r["event"] == "killed");
    daemon.signal(Signal::SIGTERM);
}

#[test]
fn killed_scribe_is_replaced_and_requests_go_on() {
    need_root!();
    let (daemon, _upstream) = started();
    assert_eq!(client::ask(&daemon.socket(), "GET", "/allowed/x").status(), 200);
    let scribe = daemon.wait_for("the scribe's start", |r| r["t"] == "gate" && r["role"] == "scribe");
    kill(Pid::from_raw(i32::try_from(scribe["pid"].as_i64().unwrap()).unwrap()), Signal::SIGKILL).unwrap();
    daemon.wait_for("its death", |r| r["t"] == "gate" && r["role"] == "scribe" && r["event"] == "killed");
    daemon.wait_for("another", |r| {
        r["t"] == "gate" && r["role"] == "scribe" && r["event"] == "started" && r["pid"] != scribe["pid"]
    });
    assert_eq!(client::ask(&daemon.socket(), "GET", "/allowed/x").status(), 200);
    let all = daemon.stop();
    assert!(
        all.iter().any(|record| record["t"] == "close"),
        "the new scribe closes what the old one followed"
    );
}

#[test]
fn shared_gate_serves_every_uid() {
    need_root!();
    need_programs!("curl");
    let place = daemon::place();
    let _upstream = Upstream::start(&place.path().join("up.sock"));
    let file = write_policy(place.path(), POLICY);
    let text =
        std::fs::read_to_string(&file).unwrap().replace("[daemon]\n", "[daemon]\ngates = \"shared\"\n");
    std::fs::write(&file, text).unwrap();
    let daemon = Daemon::spawn(place, &file, |_| {}).unwrap_or_else(|refused| panic!("{}", refused.said));
    for who in [Person::root(), person("pg-alice")] {
        assert_eq!(who.curl(&daemon.socket(), "/allowed/x", &[]).0, 200);
    }
    assert_eq!(person("pg-mallory").curl(&daemon.socket(), "/allowed/x", &[]).0, 403);
    let all = daemon.stop();
    assert_eq!(
        all.iter().filter(|r| r["t"] == "gate" && r["role"] == "gate" && r["event"] == "started").count(),
        1
    );
}

#[test]
fn denials_in_a_flood_are_counted_to_the_last_one() {
    need_root!();
    let (daemon, _upstream) = started();
    let mut client = Client::connect(&daemon.socket());
    for _ in 0..2_000 {
        assert!(matches!(client.ask("GET", "/other").answer().status(), 403 | 429));
    }
    drop(client);
    let all = daemon.stop();
    let alone = all.iter().filter(|r| r["t"] == "decision" && r["decision"] == "deny").count() as u64;
    let counted: u64 = all.iter().filter(|r| r["t"] == "repeat").map(|r| r["count"].as_u64().unwrap()).sum();
    assert_eq!(alone + counted, 2_000, "{alone} records, {counted} counted");
    assert!(alone < 2_000, "equal denials coalesce");
}

#[test]
fn stranger_beyond_the_cap_is_shed_on_record_and_others_are_served() {
    need_root!();
    need_programs!("python3");
    let (daemon, _upstream) = started();
    let mallory = person("pg-mallory");
    let script = "import socket, sys\nheld = []\nfor n in range(40):\n    s = socket.socket(socket.AF_UNIX)\n    \
                  s.connect(sys.argv[1]); held.append(s)\nheld[-1].settimeout(30)\nprint(held[-1].recv(10))\n";
    let mut many = mallory.command(support::python());
    let output = support::run(many.args(["-c", script]).arg(daemon.socket()));
    assert!(support::out(&output).len() < 20, "closed without service: {}", support::said(&output));
    assert_eq!(client::ask(&daemon.socket(), "GET", "/allowed/x").status(), 200);
    let all = daemon.stop();
    let uid = mallory.uid.as_raw();
    let of_hers = |r: &&Value| r["uid"] == uid;
    let shed: Vec<_> = all.iter().filter(of_hers).filter(|r| r["shed"] == "connection-limit").collect();
    let counted: u64 = all
        .iter()
        .filter(of_hers)
        .filter(|r| r["t"] == "repeat" && r["refusal"] == "connection-limit")
        .map(|r| r["count"].as_u64().unwrap())
        .sum();
    assert_eq!(shed.len() as u64 + counted, 40 - 16, "all beyond the 16 places of a stranger");
}

/// A small file system of its own, gone at the end.
struct Small(std::path::PathBuf);

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn full_disk_refuses_without_effect_and_recovers_by_itself() {
    need_root!();
    let place = daemon::place();
    let audit = place.path().join("audit");
    std::fs::create_dir(&audit).unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m,mode=0750", "tmpfs"]).arg(&audit).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        skip!("a small tmpfs can't be mounted here");
    }
    let _small = Small(audit.clone());
    let upstream = Upstream::start(&place.path().join("up.sock"));
    let file = write_policy(place.path(), POLICY);
    let text = std::fs::read_to_string(&file).unwrap().replace("[audit]\n", "[audit]\nsegment = \"1MiB\"\n");
    std::fs::write(&file, text).unwrap();
    let daemon = Daemon::spawn(place, &file, |_| {}).unwrap_or_else(|refused| panic!("{}", refused.said));
    let mut client = Client::connect(&daemon.socket());
    assert_eq!(client.ask("GET", "/allowed/before").answer().status(), 200);
    let filler = audit.join("filler");
    let mut fill = std::fs::File::create(&filler).unwrap();
    while fill.write_all(&[0; 65536]).is_ok() {}
    // What was reserved ahead still has room; then it ends.
    let mut served = 0;
    let refused = loop {
        let answer = client.ask("GET", "/allowed/full").answer();
        if answer.status() != 200 {
            break answer;
        }
        served += 1;
        assert!(served < 100_000, "a full disk never refused anything");
    };
    assert_eq!(
        (refused.status(), refused.text().contains("audit-unavailable")),
        (503, true),
        "{}",
        refused.text()
    );
    assert_eq!(upstream.received().len(), served + 1, "nothing that was refused had an effect");
    drop(fill);
    std::fs::remove_file(&filler).unwrap();
    let mut tries = 0;
    while client::ask(&daemon.socket(), "GET", "/allowed/after").status() != 200 {
        tries += 1;
        assert!(tries < 200_000, "it does not recover");
    }
    let all = daemon.records();
    assert!(
        all.iter()
            .any(|r| r["t"] == "decision" && r["target"] == "/allowed/after" && r["decision"] == "allow")
    );
    daemon.stop();
}

#[test]
fn scribe_that_dies_over_closing_is_followed_by_one_that_closes() {
    need_root!();
    let (mut daemon, _upstream) = started();
    assert_eq!(client::ask(&daemon.socket(), "GET", "/allowed/a").status(), 200);
    let scribe = daemon.wait_for("the scribe", |record| record["role"] == "scribe" && record["t"] == "open");
    let scribe = Pid::from_raw(i32::try_from(scribe["pid"].as_i64().unwrap()).unwrap());
    // It can't close anything, and is gone before anybody else has.
    kill(scribe, Signal::SIGSTOP).unwrap();
    daemon.signal(Signal::SIGTERM);
    let gone = |pid: &Value| !std::path::Path::new(&format!("/proc/{pid}")).exists();
    let gates = daemon.records_of("open").into_iter().filter(|record| record["role"] == "gate");
    let gates: Vec<Value> = gates.map(|record| record["pid"].clone()).collect();
    while !gates.iter().all(gone) {
        std::thread::yield_now();
    }
    kill(scribe, Signal::SIGKILL).unwrap();
    assert!(daemon.wait().success(), "{}", daemon.said());
    let all = daemon.records();
    let closed: Vec<&Value> =
        all.iter().filter(|record| record["t"] == "close").map(|record| &record["segment"]).collect();
    let named = |role: &str| closed.iter().any(|name| name.as_str().unwrap().contains(role));
    assert!(["-warden-", "-gate-", "-scribe-"].into_iter().all(named), "{closed:?}");
}
