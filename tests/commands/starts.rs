//! Who starts a command: a fresh runner each time, one of which waits for the next.

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::stage::{exit, place, route, run, started};
use super::support;
use super::support::daemon::{Daemon, Running, watch_end};
use crate::{need_root, skip};

/// Processes that `parent` has started and whose command line has `word` in it.
fn children(parent: &str, word: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name());
    let pids = processes.filter_map(|name| name.into_string().ok());
    pids.filter(|pid| {
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let (stat, line) = (read("stat"), read("cmdline"));
        let stat = String::from_utf8_lossy(&stat).into_owned();
        stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)) == Some(parent)
            && line.split(|byte| *byte == 0).any(|found| found == word.as_bytes())
    })
    .collect()
}

/// The runner that waits, and is none of these; waits until there is one.
fn waiting(daemon: &Daemon, but: &[&str]) -> String {
    let launcher = children(&daemon.pid().to_string(), "@launcher").pop().expect("a launcher");
    loop {
        let runners = children(&launcher, "@runner");
        if let [one] = &*runners
            && !but.contains(&one.as_str())
        {
            return one.clone();
        }
        std::thread::yield_now();
    }
}

#[test]
fn runner_that_waits_takes_the_next_command_alone_and_nobody_misses_one_that_is_gone() {
    need_root!();
    let daemon = started(
        place(&[("parent", "echo $PPID")]),
        &[route("parent", "[\"@DIR@/parent\"]", "user = \"root\"")],
    );
    let parent = || {
        let answer = run(&daemon, "/parent");
        assert_eq!(answer.status(), 200, "{}", answer.text());
        answer.text().trim().to_owned()
    };
    let first = parent();
    let second = waiting(&daemon, &[&first]);
    assert_eq!(parent(), second, "it waited for this one");
    let third = waiting(&daemon, &[&first, &second]);
    let gone = Pid::from_raw(third.parse().unwrap());
    let end = watch_end(gone);
    kill(gone, Signal::SIGKILL).unwrap();
    assert!(end.wait());
    let fourth = parent();
    assert!(![&first, &second, &third].contains(&&fourth), "each command has a runner of its own");
    let last = waiting(&daemon, &[&first, &second, &third, &fourth]);
    let end = watch_end(Pid::from_raw(last.parse().unwrap()));
    daemon.stop();
    assert!(end.wait(), "it waits for no other daemon");
}

#[test]
fn command_put_down_as_not_started_is_not_begun_by_a_runner_that_comes_late() {
    need_root!();
    let more = "user = \"root\"\non_leave = \"finish\"";
    let daemon = started(
        place(&[("mark", "echo ran >> @HERE@/mark.txt")]),
        &[route("mark", "[\"@DIR@/mark\"]", more)],
    );
    let launcher = children(&daemon.pid().to_string(), "@launcher").pop().expect("a launcher");
    let launcher = Pid::from_raw(launcher.parse().unwrap());
    kill(launcher, Signal::SIGSTOP).unwrap();
    let answer = run(&daemon, "/mark");
    assert!(answer.text().contains("command-not-started"), "{}", answer.text());
    assert_eq!(exit(&daemon, "not-started")["what"], "its runner does not answer");
    kill(launcher, Signal::SIGCONT).unwrap();
    // The late one has been started before this one's, and is gone once only one runner is left, which waits.
    assert_eq!(run(&daemon, "/mark").status(), 200);
    waiting(&daemon, &[]);
    assert_eq!(fs::read_to_string(daemon.path("mark.txt")).unwrap(), "ran\n");
    daemon.stop();
}

#[test]
fn command_that_a_hung_file_system_holds_up_is_given_up_and_never_begins() {
    need_root!();
    if !std::path::Path::new("/dev/fuse").exists() {
        skip!("there is no /dev/fuse");
    }
    let place = place(&[]);
    let slow = place.path().join("slow");
    fs::create_dir(&slow).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/fuse.py");
    let mut serving = Command::new(support::python());
    serving.arg(script).arg(&slow).stdout(Stdio::piped());
    let mut serving = Running(serving.spawn().unwrap());
    let mut said = [0; 7];
    serving.0.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
    let more =
        "user = \"root\"\none_at_a_time = true\nparams.file = { below = \"@DIR@/slow\", from = \"query\" }";
    let daemon = started(place, &[route("reads", "[\"/usr/bin/cat\", \"{file}\"]", more)]);
    let server = Pid::from_raw(serving.0.id().cast_signed());
    kill(server, Signal::SIGSTOP).unwrap();
    let answer = run(&daemon, "/reads?file=a");
    assert!(answer.text().contains("command-not-started"), "{}", answer.text());
    assert_eq!(exit(&daemon, "not-started")["what"], "it does not begin within 15 s");
    // It holds no turn either, and the next one is told what is wrong with its file.
    kill(server, Signal::SIGCONT).unwrap();
    let answer = run(&daemon, "/reads?file=b");
    assert!(answer.text().contains("command-not-started"), "{}", answer.text());
    support::run(Command::new("umount").arg("-l").arg(&slow));
    daemon.stop();
}
