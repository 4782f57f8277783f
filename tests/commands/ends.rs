//! How a command ends, and that nothing of it is left then.

use std::fs;
use std::sync::mpsc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::review::review;
use super::stage::{HEAD, begun, exit, fifo, place, release, route, run, started, wait_for_marks};
use super::support::client;
use super::support::daemon::{Daemon, watch_end};
use crate::need_root;

/// What it starts: a process in its group, one in a session of its own, and one whose parent has gone.
const FAMILY: &str =
    "sleep 86@N@ & setsid sleep 86@N@ & (setsid sh -c 'sleep 86@N@ & exit' &) ; trap '' TERM; ";

fn family(number: u32) -> String {
    FAMILY.replace("@N@", &format!("{number}{}", std::process::id()))
}

/// Processes that were started by [`family`].
fn left(number: u32) -> Vec<String> {
    let mark = format!("86{number}{}", std::process::id());
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if line.split(|byte| *byte == 0).any(|word| word == mark.as_bytes()) {
            found.push(String::from_utf8_lossy(&line).into_owned());
        }
    }
    found
}

#[test]
fn command_beyond_its_time_is_ended_with_all_that_it_started() {
    need_root!();
    let place = place(&[("long", &format!("{}while :; do sleep 861; done", family(1)))]);
    let more = "user = \"root\"\ntimeout = \"500ms\"\ngrace = \"100ms\"";
    let daemon = started(place, &[route("long", "[\"@DIR@/long\"]", more)]);
    let answer = run(&daemon, "/long");
    assert_eq!((answer.status(), answer.header("peergate-signal")), (502, Some("9")));
    assert_eq!(answer.header("peergate-ended"), Some("timeout"));
    let ended = exit(&daemon, "timeout");
    assert_eq!(ended["signal"], 9);
    assert_eq!(left(1), Vec::<String>::new());
    daemon.stop();
}

#[test]
fn command_that_ends_takes_along_all_that_it_started() {
    need_root!();
    let place = place(&[("brief", &format!("{}exit 0", family(2)))]);
    let daemon = started(place, &[route("brief", "[\"@DIR@/brief\"]", "user = \"root\"")]);
    assert_eq!(run(&daemon, "/brief").status(), 200);
    exit(&daemon, "done");
    assert_eq!(left(2), Vec::<String>::new());
    daemon.stop();
}

#[test]
fn caller_that_leaves_ends_its_command() {
    need_root!();
    let place =
        place(&[("long", &format!("{}echo up > @HERE@/mark; while :; do sleep 861; done", family(3)))]);
    let daemon = started(place, &[route("long", "[\"@DIR@/long\"]", "user = \"root\"\ngrace = \"100ms\"")]);
    drop(begun(&daemon, "/long", 1));
    exit(&daemon, "caller-left");
    assert_eq!(left(3), Vec::<String>::new());
    daemon.stop();
}

#[test]
fn command_that_is_to_finish_does_so_without_its_caller() {
    need_root!();
    let text = "echo up > @HERE@/mark; read -r word < @HERE@/wait; echo $word > @HERE@/done";
    let place = place(&[("long", text)]);
    let wait = fifo(&place, "wait");
    let more = "user = \"root\"\non_leave = \"finish\"";
    let daemon = started(place, &[route("long", "[\"@DIR@/long\"]", more)]);
    drop(begun(&daemon, "/long", 1));
    daemon.wait_for("the outcome", |record| record["t"] == "outcome" && record["result"] == "caller-gone");
    release(&wait);
    assert_eq!(exit(&daemon, "done")["code"], 0);
    assert_eq!(fs::read_to_string(daemon.path("done")).unwrap(), "go\n");
    daemon.stop();
}

#[test]
fn output_without_end_ends_the_command() {
    need_root!();
    let place = place(&[]);
    let more = "user = \"root\"\noutput = \"64KiB\"";
    let daemon = started(place, &[route("yes", "[\"/usr/bin/yes\"]", more)]);
    let answer = run(&daemon, "/yes");
    assert_eq!((answer.status(), answer.header("peergate-ended")), (502, Some("output")));
    assert_eq!(answer.text().len(), 64 << 10);
    exit(&daemon, "output");
    daemon.stop();
}

#[test]
fn command_that_takes_its_end_for_a_success_has_none() {
    need_root!();
    let place = place(&[
        ("late", "trap 'exit 0' TERM; while :; do sleep 0.05; done"),
        ("much", "trap 'exit 0' TERM; while :; do echo much; done"),
    ]);
    let daemon = started(
        place,
        &[
            route(
                "late",
                "[\"@DIR@/late\"]",
                "user = \"root\"\ntimeout = \"300ms\"\nstatus = { \"0\" = 201 }",
            ),
            route("much", "[\"@DIR@/much\"]", "user = \"root\"\noutput = \"1KiB\""),
        ],
    );
    for (target, why) in [("/late", "timeout"), ("/much", "output")] {
        let answer = run(&daemon, target);
        assert_eq!((answer.status(), answer.header("peergate-ended")), (502, Some(why)));
        // It said so itself, and that is on record.
        assert_eq!((answer.header("peergate-exit"), &exit(&daemon, why)["code"]), (Some("0"), &0.into()));
    }
    daemon.stop();
}

#[test]
fn command_that_runs_alone_is_busy_and_the_next_one_waits_its_turn() {
    need_root!();
    let place = place(&[("one", "echo up >> @HERE@/mark; read -r word < @HERE@/$1; echo $word")]);
    let (wait, held) = (fifo(&place, "wait"), fifo(&place, "held"));
    let daemon = started(
        place,
        &[
            route("one", "[\"@DIR@/one\", \"wait\"]", "user = \"root\"\none_at_a_time = true\nqueue = 1"),
            route("busy", "[\"@DIR@/one\", \"held\"]", "user = \"root\"\none_at_a_time = true"),
        ],
    );
    let (send, answers) = mpsc::channel();
    for _ in 0..2 {
        let (socket, send) = (daemon.socket(), send.clone());
        std::thread::spawn(move || {
            send.send(client::ask(&socket, "POST", "/one").status()).unwrap();
        });
    }
    wait_for_marks(&daemon, 1);
    let mut open = begun(&daemon, "/busy", 2);
    let refused = run(&daemon, "/busy");
    assert_eq!(refused.status(), 503);
    assert!(refused.text().contains("command-busy"), "{}", refused.text());
    release(&held);
    // The second of `one` begins when the first has ended.
    release(&wait);
    wait_for_marks(&daemon, 3);
    release(&wait);
    assert_eq!([answers.recv().unwrap(), answers.recv().unwrap(), open.answer().status()], [200, 200, 200]);
    let all = daemon.stop();
    let refused = |record: &&Value| record["t"] == "grant" && record["refused"] == "command-busy";
    assert_eq!(all.iter().filter(refused).count(), 1);
}

#[test]
fn answers_that_nobody_reads_keep_a_user_from_more_commands() {
    need_root!();
    let daemon = started(
        place(&[("much", "head -c 1000000 /dev/zero")]),
        &[route("much", "[\"@DIR@/much\"]", "user = \"root\"\none_at_a_time = true")],
    );
    let mut open = Vec::new();
    let refused = loop {
        let mut client = client::Client::connect(&daemon.socket());
        client.ask("POST", "/much");
        // Its turn is over with its end, whoever reads its answer.
        let number = open.len() + 1;
        let ends = |kind: &str| daemon.records_of(kind).len();
        while ends("exit") < number && ends("outcome") == 0 {
            std::thread::yield_now();
        }
        if ends("exit") < number {
            break client.answer();
        }
        open.push(client);
    };
    assert!(refused.text().contains("command-busy"), "{}", refused.text());
    assert_eq!(open.len(), 32);
    // They all are gone, and so are their runners.
    drop(open);
    while run(&daemon, "/much").status() != 200 {
        std::thread::yield_now();
    }
    daemon.stop();
}

#[test]
fn one_that_waits_and_is_refused_at_its_turn_gives_it_to_the_next() {
    need_root!();
    let place = place(&[("one", "echo up >> @HERE@/mark; read -r word < @HERE@/wait; echo $word")]);
    let wait = fifo(&place, "wait");
    let more = "user = \"root\"\none_at_a_time = true\nqueue = 4";
    let first = route("one", "[\"@DIR@/one\"]", more);
    let other =
        "[[route]]\nid = \"other\"\nmatch = [\"POST /other\"]\nto = \"one\"\nallow = [\"root\"]\n".to_owned();
    let mut daemon = started(place, &[first.clone(), other]);
    let mut runs = begun(&daemon, "/one", 1);
    let next = |target: &str, decided: usize| {
        let mut client = client::Client::connect(&daemon.socket());
        client.ask("POST", target);
        while daemon.records_of("decision").len() < decided {
            std::thread::yield_now();
        }
        client
    };
    let mut refused = next("/other", 2);
    let mut behind = next("/one", 3);
    // The route of the one that waits first is gone when its turn comes.
    assert!(daemon.reload(&format!("{HEAD}{first}")));
    release(&wait);
    assert_eq!(runs.answer().status(), 200);
    assert!(!String::from_utf8_lossy(&refused.rest()).contains("go"));
    wait_for_marks(&daemon, 2);
    release(&wait);
    assert_eq!(behind.answer().status(), 200);
    daemon.stop();
}

#[test]
fn runner_that_is_killed_leaves_nothing_of_its_command() {
    need_root!();
    let text = format!("{}echo $PPID > @HERE@/mark; while :; do sleep 861; done", family(4));
    let daemon = started(place(&[("long", &text)]), &[route("long", "[\"@DIR@/long\"]", "user = \"root\"")]);
    let _client = begun(&daemon, "/long", 1);
    let runner = fs::read_to_string(daemon.path("mark")).unwrap().trim().parse().unwrap();
    kill(Pid::from_raw(runner), Signal::SIGKILL).unwrap();
    exit(&daemon, "lost");
    // Whose parent was ended comes to the launcher, generation by generation.
    while !left(4).is_empty() {
        std::thread::yield_now();
    }
    daemon.stop();
}

#[test]
fn command_outlives_its_daemon_and_tells_the_next_one() {
    need_root!();
    let place = place(&[("long", "echo up > @HERE@/mark; read -r word < @HERE@/wait; exit 9")]);
    let wait = fifo(&place, "wait");
    let more = "user = \"root\"\non_leave = \"finish\"";
    let policy =
        format!("[limits]\ndrain_time = \"10ms\"\n{HEAD}{}", route("long", "[\"@DIR@/long\"]", more));
    let daemon = Daemon::start_in(place, &policy);
    let _client = begun(&daemon, "/long", 1);
    let (place, all) = daemon.stop_keeping();
    let detached = all.iter().find(|record| record["t"] == "exit" && record["why"] == "detached").unwrap();
    let id = detached["id"].clone();
    let daemon = Daemon::start_in(place, &policy);
    release(&wait);
    let ended = exit(&daemon, "done");
    assert_eq!((&ended["id"], &ended["code"]), (&id, &9.into()));
    let audit = daemon.path("audit");
    let (_place, _) = daemon.stop_keeping();
    // Both are told, in the order in which they came.
    let shown = review(&audit, &["show", id.as_str().unwrap()]);
    let (runs_on, ended) =
        (shown.find("exit      detached, it runs on"), shown.find("exit      exit code 9 done, "));
    assert!(runs_on.is_some() && runs_on < ended, "{shown}");
}

#[test]
fn command_that_ends_while_its_daemon_closes_the_record_tells_the_next_one() {
    need_root!();
    let text = "echo $$ > @HERE@/mark; read -r word < @HERE@/wait; exit 9";
    let place = place(&[("long", text)]);
    let wait = fifo(&place, "wait");
    let more = "user = \"root\"\non_leave = \"finish\"";
    let policy =
        format!("[limits]\ndrain_time = \"10ms\"\n{HEAD}{}", route("long", "[\"@DIR@/long\"]", more));
    let mut daemon = Daemon::start_in(place, &policy);
    let _client = begun(&daemon, "/long", 1);
    let command = fs::read_to_string(daemon.path("mark")).unwrap().trim().parse().unwrap();
    let ended = watch_end(Pid::from_raw(command));
    let of_role = |daemon: &Daemon, role: &str| {
        let line = |pid: &Pid| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        daemon.children().into_iter().find(|pid| line(pid).split('\0').any(|word| word == role))
    };
    // The record can't be closed before this one goes on.
    let scribe = of_role(&daemon, "@scribe").unwrap();
    kill(scribe, Signal::SIGSTOP).unwrap();
    daemon.signal(Signal::SIGTERM);
    while of_role(&daemon, "@gate").is_some() {
        std::thread::yield_now();
    }
    release(&wait);
    assert!(ended.wait());
    kill(scribe, Signal::SIGCONT).unwrap();
    daemon.wait();
    let daemon = Daemon::start_in(daemon.kill(), &policy);
    assert_eq!(exit(&daemon, "done")["code"], 9);
    daemon.stop();
}

#[test]
fn runner_is_confined_by_its_plan_and_its_command_has_nothing_of_that() {
    need_root!();
    let place = place(&[]);
    let wait = fifo(&place, "wait");
    let here = place.path().to_str().unwrap().to_owned();
    let looks = format!(
        "grep -E '^(NoNewPrivs|Seccomp|CapEff|CapBnd):' /proc/self/status; echo up > {here}/mark; read -r word < {here}/wait"
    );
    super::stage::script(place.path(), "long", &looks);
    let daemon =
        started(place, &[route("long", "[\"@DIR@/long\"]", "user = \"root\"\nnew_privileges = true")]);
    let mut client = begun(&daemon, "/long", 1);
    let mut doctor = std::process::Command::new(env!("CARGO_BIN_EXE_peergate"));
    doctor.args(["doctor", "--format", "json", "--control"]).arg(daemon.path("run/control.sock"));
    let told = super::support::out(&doctor.output().unwrap());
    let report: Value = serde_json::from_str(&told).unwrap();
    let roles = report["roles"].as_array().unwrap();
    let runner = roles.iter().find(|role| role["role"] == "runner long").expect("a row of its own");
    let findings = runner["findings"].as_array().unwrap();
    assert!(findings.len() >= 7 && findings.iter().all(|finding| finding["grade"] == "green"), "{runner:#}");
    release(&wait);
    let said = client.answer().text();
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let own = |name: &str| own.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let all = ["CapEff:", "CapBnd:", "NoNewPrivs:", "Seccomp:"].map(own).join("\n");
    assert_eq!(said.trim_end(), all, "what this test has, a command has");
    let mut plan = std::process::Command::new(super::support::program("peergated"));
    plan.args(["--print-plan", "--policy"]).arg(daemon.path("policy.toml"));
    let plan = super::support::out(&plan.output().unwrap());
    for role in ["\nrunner\n", "\nlauncher\n", "\ncommand long\n"] {
        assert!(plan.contains(role), "{plan}");
    }
    daemon.stop();
}
