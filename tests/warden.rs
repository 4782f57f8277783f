//! What the warden does besides letting callers in: reload, drain, gates and scribe that die, callers that take
//! too much, a full table, a full disk.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use support::client::{self, Client};
use support::daemon::{self, Daemon, write_policy};
use support::http::Message;
use support::people::person;
use support::records;
use support::upstream::Upstream;

const POLICY: &str = include_str!("policies/up.toml");

fn started(settings: &str) -> (Daemon, Upstream) {
    let place = daemon::place();
    let upstream = Upstream::start(&place.path().join("up.sock"));
    (Daemon::start_in(place, &format!("{settings}{POLICY}")), upstream)
}

/// The role's process, as its start is on record.
fn process(daemon: &Daemon, role: &str) -> Pid {
    let started =
        |record: &Value| record["t"] == "gate" && record["role"] == role && record["event"] == "started";
    let last = daemon.records().into_iter().rfind(started).unwrap();
    Pid::from_raw(i32::try_from(last["pid"].as_i64().unwrap()).unwrap())
}

fn status(answer: &Message) -> u16 {
    answer.status()
}

fn peergate(arguments: &[&str], socket: &Path) -> (Option<i32>, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_peergate")).args(arguments).arg("--control").arg(socket).output();
    let output = output.unwrap();
    (output.status.code(), support::said(&output))
}

#[test]
fn gate_killed_ends_its_connections_and_the_next_caller_gets_another() {
    need_root!();
    let (daemon, _upstream) = started("");
    let mut open = Client::connect(&daemon.socket());
    assert_eq!(status(&open.ask("GET", "/allowed/a").answer()), 200);
    // An outcome follows its answer, and a gate that is killed writes no more.
    daemon.wait_for("the outcome", |record| record["t"] == "outcome");
    let gate = process(&daemon, "gate");
    kill(gate, Signal::SIGKILL).unwrap();
    assert!(open.answer_or_end().is_none(), "its connection ends");
    let death = daemon.wait_for("the gate's death", |record| record["event"] == "killed");
    assert_eq!((&death["signal"], &death["live"]), (&9.into(), &vec![0].into()));
    assert_eq!(status(&client::ask(&daemon.socket(), "GET", "/allowed/b")), 200);
    assert_ne!(process(&daemon, "gate"), gate);
    daemon.stop();
}

#[test]
fn gate_runs_as_its_own_user_without_any_right() {
    need_root!();
    let (daemon, _upstream) = started("");
    assert_eq!(status(&client::ask(&daemon.socket(), "GET", "/allowed/a")), 200);
    let (gate, scribe) = (process(&daemon, "gate"), process(&daemon, "scribe"));
    let told = |pid: Pid, name: &str| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned()
    };
    let uid = told(gate, "Uid:");
    let own: Vec<&str> = uid.split_whitespace().collect();
    assert!(own.iter().all(|id| *id == own[0] && *id != "0"), "{uid}");
    assert_ne!(told(gate, "Uid:"), told(scribe, "Uid:"));
    for role in [gate, scribe] {
        assert_eq!(told(role, "Groups:"), "");
        assert_eq!(told(role, "NoNewPrivs:"), "1");
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(told(role, set), "0000000000000000", "{set}");
        }
    }
    daemon.stop();
}

#[test]
fn gate_idle_is_retired_and_started_again_at_need() {
    need_root!();
    let (daemon, _upstream) = started("[limits]\ngate_idle_time = \"1s\"\n");
    assert_eq!(status(&client::ask(&daemon.socket(), "GET", "/allowed/a")), 200);
    daemon.wait_for("the gate's retirement", |record| record["event"] == "retired");
    assert_eq!(status(&client::ask(&daemon.socket(), "GET", "/allowed/b")), 200);
    let closed = |record: &Value| {
        record["t"] == "close" && record["segment"].as_str().is_some_and(|name| name.contains("-gate-0-0-"))
    };
    daemon.wait_for("the first gate's segment closed", closed);
    daemon.stop();
}

#[test]
fn gates_beyond_their_number_are_shared() {
    need_root!();
    let (daemon, _upstream) = started("[limits]\ngates = 1\n");
    let mut first = Client::connect(&daemon.socket());
    assert_eq!(status(&first.ask("GET", "/allowed/a").answer()), 200);
    for name in ["pg-alice", "pg-bob"] {
        person(name).curl(&daemon.socket(), "/allowed/a", &[]);
    }
    drop(first);
    let all = daemon.stop();
    let started: Vec<&Value> =
        all.iter().filter(|record| record["role"] == "gate" && record["event"] == "started").collect();
    assert_eq!(started.len(), 2, "root's own, and a shared one: {started:?}");
    assert!(started[1]["uid"].is_null());
}

#[test]
fn scribe_killed_is_started_again_and_follows_on() {
    need_root!();
    let (daemon, _upstream) = started("");
    let mut client = Client::connect(&daemon.socket());
    assert_eq!(status(&client.ask("GET", "/allowed/a").answer()), 200);
    let scribe = process(&daemon, "scribe");
    kill(scribe, Signal::SIGKILL).unwrap();
    let again = |record: &Value| {
        record["role"] == "scribe" && record["event"] == "started" && record["pid"] != scribe.as_raw()
    };
    daemon.wait_for("another scribe", again);
    assert_eq!(status(&client.ask("GET", "/allowed/b").answer()), 200, "a death made good is felt by nobody");
    drop(client);
    let all = daemon.stop();
    // Of both lanes and of the first scribe, too; the last one writes the closes.
    for writer in ["-warden-", "-gate-0-0-", "-gate-0-1-", "-scribe-"] {
        let closed = |record: &&Value| {
            record["t"] == "close" && record["segment"].as_str().is_some_and(|name| name.contains(writer))
        };
        assert_eq!(all.iter().filter(closed).count(), 1, "{writer} is closed once: {all:?}");
    }
}

#[test]
fn scribe_that_hangs_stops_service_until_another_takes_over() {
    need_root!();
    let (daemon, _upstream) = started("");
    let mut client = Client::connect(&daemon.socket());
    assert_eq!(status(&client.ask("GET", "/allowed/a").answer()), 200);
    // Each one that is started meanwhile hangs too, so that the answer can't slip through between two of them.
    let (mut hung, mut served) = (Vec::new(), 0);
    loop {
        let scribe = process(&daemon, "scribe");
        if !hung.contains(&scribe) {
            kill(scribe, Signal::SIGSTOP).unwrap();
            hung.push(scribe);
        }
        match status(&client.ask("GET", "/allowed/b").answer()) {
            200 => served += 1,
            503 => break,
            other => panic!("{other}"),
        }
    }
    daemon.wait_for("the end of the one that hung", |record| {
        record["role"] == "scribe" && record["event"] == "killed" && record["pid"] == hung[0].as_raw()
    });
    while status(&client.ask("GET", "/allowed/c").answer()) != 200 {}
    drop(client);
    let all = daemon.stop();
    let of_first = |event: &str| {
        all.iter().position(|record| record["event"] == event && record["pid"] == hung[0].as_raw())
    };
    assert!(
        of_first("silent").is_some_and(|silent| Some(silent) < of_first("killed")),
        "why it ended: {all:?}"
    );
    let on_record = |record: &&Value| record["target"] == "/allowed/b" && record["decision"] == "allow";
    assert_eq!(all.iter().filter(on_record).count(), served, "what was answered 503 had no effect: {all:?}");
}

#[test]
fn reload_says_so_and_takes_effect_at_once() {
    need_root!();
    let (mut daemon, _upstream) = started("");
    let mut client = Client::connect(&daemon.socket());
    assert_eq!(status(&client.ask("GET", "/allowed/a").answer()), 200);
    write_policy(daemon.dir(), &POLICY.replace("allow = [\"root\", \"alice\"]", "allow = [\"alice\"]"));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_notice("RELOADING=1").unwrap();
    daemon.wait_for_notice("READY=1").unwrap();
    assert_eq!(status(&client.ask("GET", "/allowed/a").answer()), 403);
    let all = daemon.stop();
    let policies: Vec<&Value> = all.iter().filter(|record| record["t"] == "policy").collect();
    assert_eq!(policies[1]["old"], policies[0]["new"]);
    assert_ne!(policies[1]["new"], policies[0]["new"]);
}

#[test]
fn reload_of_a_mistake_keeps_the_old_policy() {
    need_root!();
    let (mut daemon, _upstream) = started("");
    assert!(!daemon.reload("nonsense"));
    assert!(
        !daemon.reload(&POLICY.replace("run/api.sock", "run/other.sock")),
        "only a restart moves a socket"
    );
    assert!(!daemon.reload(&format!(
        "{POLICY}[[test]]\nwho = {{ uid = 0 }}\nrequest = \"GET /x\"\nexpect = \"allow\"\n"
    )));
    assert_eq!(status(&client::ask(&daemon.socket(), "GET", "/allowed/a")), 200);
    daemon.stop();
}

#[test]
fn control_socket_tells_the_status_and_reloads() {
    need_root!();
    let (daemon, _upstream) = started("");
    let control = daemon.path("run/control.sock");
    assert_eq!(status(&client::ask(&daemon.socket(), "GET", "/allowed/a")), 200);
    let (code, text) = peergate(&["status"], &control);
    assert_eq!(code, Some(0), "{text}");
    for word in ["api", "1 accepted", "of uid 0", "policy.toml", "bare-ids"] {
        assert!(text.contains(word), "{word} in:\n{text}");
    }
    assert_eq!(peergate(&["reload"], &control).0, Some(0));
    write_policy(daemon.dir(), "nonsense");
    let (code, text) = peergate(&["reload"], &control);
    assert_eq!(code, Some(1));
    assert!(text.contains("nonsense"), "the mistake is shown in its place: {text}");
    daemon.stop();
}

#[test]
fn control_socket_answers_nobody_else() {
    need_root!();
    use std::os::unix::fs::PermissionsExt;
    let (daemon, _upstream) = started("");
    let control = daemon.path("run/control.sock");
    // Even where somebody has widened its mode.
    fs::set_permissions(&control, fs::Permissions::from_mode(0o666)).unwrap();
    let copy = support::copy_for_all(env!("CARGO_BIN_EXE_peergate"), daemon.dir());
    let output = person("pg-alice")
        .command(copy.to_str().unwrap())
        .args(["status", "--control"])
        .arg(&control)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", support::said(&output));
    daemon.stop();
}

#[test]
fn connections_beyond_the_cap_are_shed_on_record_and_others_served() {
    need_root!();
    let (daemon, _upstream) = started("[limits]\nconnections = 3\ndenials = \"2/s\"\n");
    let mut held: Vec<Client> = (0..3).map(|_| Client::connect(&daemon.socket())).collect();
    assert_eq!(status(&held[2].ask("GET", "/allowed/a").answer()), 200);
    for _ in 0..6 {
        assert!(Client::connect(&daemon.socket()).ask("GET", "/allowed/a").answer_or_end().is_none());
    }
    assert_eq!(
        person("pg-alice").curl(&daemon.socket(), "/allowed/a", &[]).0,
        200,
        "another uid has its own"
    );
    let repeat = daemon.wait_for("the rest, counted", |record| record["t"] == "repeat");
    assert_eq!((&repeat["refusal"], &repeat["uid"]), (&"connection-limit".into(), &0.into()));
    drop(held);
    let all = daemon.stop();
    let shed = all.iter().filter(|record| record["shed"] == "connection-limit").count() as u64;
    let counted: u64 = all
        .iter()
        .filter(|record| record["t"] == "repeat")
        .map(|record| record["count"].as_u64().unwrap())
        .sum();
    assert_eq!(shed + counted, 6);
    assert!(counted > 0);
}

#[test]
fn strangers_hold_fewer_connections() {
    need_root!();
    let (daemon, _upstream) = started("[limits]\nstranger_connections = 1\n");
    let socket = daemon.socket();
    let bob = person("pg-bob");
    // One process of his that holds two connections and reads what each of them gets.
    let script = "import socket,sys\n\
        a=socket.socket(socket.AF_UNIX);a.connect(sys.argv[1])\n\
        a.sendall(b'GET /x HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n');one=a.recv(12)\n\
        b=socket.socket(socket.AF_UNIX);b.connect(sys.argv[1])\n\
        try: two=b.recv(12)\n\
        except OSError: two=b''\n\
        print(one,two)";
    need_programs!("/usr/bin/python3");
    let output = bob.command("/usr/bin/python3").args(["-c", script]).arg(&socket).output().unwrap();
    assert_eq!(support::out(&output).trim(), "b'HTTP/1.1 403' b''", "{}", support::said(&output));
    daemon.stop();
}

#[test]
fn full_descriptor_table_sheds_on_record_and_serves_on() {
    need_root!();
    need_programs!("prlimit");
    let (daemon, _upstream) = started("");
    let mut first = Client::connect(&daemon.socket());
    assert_eq!(status(&first.ask("GET", "/allowed/a").answer()), 200);
    // The warden's table alone: its gate, which runs, has room.
    let warden = ["--pid", &daemon.pid().to_string(), "--nofile=64:64"];
    support::run(Command::new("prlimit").args(warden));
    let mut held: Vec<UnixStream> = (0..80).map(|_| UnixStream::connect(daemon.socket()).unwrap()).collect();
    daemon.wait_for("a connection shed", |record| record["shed"] == "out-of-descriptors");
    assert_eq!(status(&first.ask("GET", "/other").answer()), 403, "who is there is served on");
    held.clear();
    // Descriptors come back as the ends are seen.
    while Client::connect(&daemon.socket()).ask("GET", "/allowed/b").answer_or_end().is_none() {}
    daemon.stop();
}

/// A service that tells when a request is there, and answers when it is told to.
fn on_command(socket: &Path) -> (mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (arrived, arrival) = mpsc::channel();
    let (go, told) = mpsc::channel::<()>();
    let (arrived, told) = (std::sync::Mutex::new(arrived), std::sync::Mutex::new(told));
    Upstream::behaving(socket, move |_, stream, _| {
        arrived.lock().unwrap().send(()).ok();
        told.lock().unwrap().recv().ok();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate").is_ok()
    });
    (arrival, go)
}

fn waiting(settings: &str) -> (Daemon, Client, mpsc::Sender<()>) {
    let place = daemon::place();
    let (arrival, go) = on_command(&place.path().join("up.sock"));
    let daemon = Daemon::start_in(place, &format!("{settings}{POLICY}"));
    let mut client = Client::connect(&daemon.socket());
    client.ask("GET", "/allowed/late");
    arrival.recv().unwrap();
    (daemon, client, go)
}

#[test]
fn sigterm_lets_what_runs_finish_and_nobody_in() {
    need_root!();
    let (mut daemon, mut client, go) = waiting("");
    daemon.signal(Signal::SIGTERM);
    daemon.wait_for_notice("STOPPING=1").unwrap();
    while UnixStream::connect(daemon.socket()).is_ok() {}
    go.send(()).unwrap();
    assert_eq!(client.answer().body, b"late");
    assert!(daemon.wait().success());
    records::check_books(&daemon.path("audit"));
}

#[test]
fn sigterm_cuts_what_takes_too_long_on_record() {
    need_root!();
    let (mut daemon, mut client, _go) = waiting("[limits]\ndrain_time = \"100ms\"\n");
    daemon.signal(Signal::SIGTERM);
    assert!(client.answer_or_end().is_none_or(|answer| answer.status() >= 500));
    assert!(daemon.wait().success());
    let all = daemon.records();
    let decision = records::decision(&all, 0, "GET", "/allowed/late");
    assert_eq!(records::outcome(&all, decision)["result"], "stopped");
}

#[test]
fn sigterm_again_ends_at_once() {
    need_root!();
    let (mut daemon, _client, _go) = waiting("[limits]\ndrain_time = \"1h\"\n");
    let children: Vec<_> = daemon.children().into_iter().map(daemon::watch_end).collect();
    daemon.signal(Signal::SIGTERM);
    daemon.wait_for_notice("STOPPING=1").unwrap();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait().code(), Some(1), "not all of its record could be closed");
    assert!(children.iter().all(daemon::End::wait));
}

/// A policy of which the tests' usual head is no part.
fn whole_policy(dir: &Path, head: &str) -> PathBuf {
    let text = format!("version = 1\n{head}{POLICY}").replace("@DIR@", dir.to_str().unwrap());
    let file = dir.join("policy.toml");
    fs::write(&file, text).unwrap();
    file
}

#[test]
fn gates_shared_is_one_gate_for_all() {
    need_root!();
    let place = daemon::place();
    let _upstream = Upstream::start(&place.path().join("up.sock"));
    let head =
        "[audit]\ndirectory = \"@DIR@/audit\"\n[daemon]\ncontrol = \"@DIR@/run/c\"\ngates = \"shared\"\n";
    let file = whole_policy(place.path(), head);
    let daemon = Daemon::spawn(place, &file, |_| {}).unwrap_or_else(|refused| panic!("{}", refused.said));
    assert_eq!(status(&client::ask(&daemon.socket(), "GET", "/allowed/a")), 200);
    assert_eq!(person("pg-alice").curl(&daemon.socket(), "/allowed/a", &[]).0, 200);
    assert_eq!(person("pg-bob").curl(&daemon.socket(), "/allowed/a", &[]).0, 403);
    let all = daemon.stop();
    assert_eq!(all.iter().filter(|r| r["role"] == "gate" && r["event"] == "started").count(), 1);
    assert!(all[0]["missing"].as_array().unwrap().contains(&"own-gates".into()));
}

#[test]
fn segment_full_is_followed_by_another() {
    need_root!();
    let place = daemon::place();
    let _upstream = Upstream::start(&place.path().join("up.sock"));
    let head =
        "[audit]\ndirectory = \"@DIR@/audit\"\nsegment = \"64KiB\"\n[daemon]\ncontrol = \"@DIR@/run/c\"\n";
    let file = whole_policy(place.path(), head);
    let daemon = Daemon::spawn(place, &file, |_| {}).unwrap_or_else(|refused| panic!("{}", refused.said));
    // Each over a connection of its own, which the warden brings: who asks is no faster than the warden's disk.
    for _ in 0..600 {
        let status = client::ask(&daemon.socket(), "GET", "/allowed/a").status();
        assert_eq!(status, 200, "no request is lost to a full segment");
    }
    let all = daemon.stop();
    let gates = |r: &&Value| r["t"] == "open" && r["role"] == "gate";
    let opened = all.iter().filter(gates).count();
    assert!(opened > 2, "{opened} segments");
    assert_eq!(all.iter().filter(|r| r["t"] == "outcome").count(), 600);
}

/// A small file system of its own, away when dropped.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path, options: &str) -> Small {
        fs::create_dir(at).unwrap();
        support::run(Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at));
        Small(at.to_owned())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        support::run(Command::new("umount").arg("-l").arg(&self.0));
    }
}

#[test]
fn disk_full_refuses_until_there_is_room_again() {
    need_root!();
    let place = daemon::place();
    let _upstream = Upstream::start(&place.path().join("up.sock"));
    let small = Small::mount(&place.path().join("audit"), "size=6m,mode=750");
    let daemon = Daemon::start_in(place, POLICY);
    let mut client = Client::connect(&daemon.socket());
    assert_eq!(status(&client.ask("GET", "/allowed/a").answer()), 200);
    let filler = daemon.path("audit/filler");
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    // What was reserved still serves, so that nothing accepted is lost; then nothing is.
    let mut served = 0;
    while status(&client.ask("GET", "/allowed/full").answer()) == 200 {
        served += 1;
        assert!(served < 100_000, "it goes on without a record");
    }
    assert_eq!(status(&client.ask("GET", "/allowed/full").answer()), 503);
    fs::remove_file(&filler).unwrap();
    drop(file);
    while status(&client.ask("GET", "/allowed/again").answer()) != 200 {}
    let all = daemon.records();
    let of = |target: &str| all.iter().filter(|r| r["t"] == "decision" && r["target"] == target).count();
    assert_eq!(of("/allowed/full"), served, "each that was served is on record, and no other");
    assert_eq!(of("/allowed/again"), 1);
    drop(daemon);
    drop(small);
}
