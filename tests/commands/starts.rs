//! Who starts a command: a fresh runner each time, one of which waits for the next.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::stage::{HEAD, exit, place, route, run, started};
use super::support;
use super::support::daemon::{Daemon, Running, watch_end};
use crate::{need_root, skip};

/// Processes that `parent` has started and whose command line has `word` in it.
pub(crate) fn children(parent: &str, word: &str) -> Vec<String> {
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
pub(crate) fn waiting(daemon: &Daemon, but: &[&str]) -> String {
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
    // From the daemon's start on one waits, so that no command is the first of its kind.
    let first = waiting(&daemon, &[]);
    assert_eq!(parent(), first, "it waited for this one");
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
fn runner_waits_as_long_as_the_policy_has_commands() {
    need_root!();
    let command = route("id", "[\"/usr/bin/id\"]", "user = \"root\"");
    let mut daemon = started(place(&[]), std::slice::from_ref(&command));
    let first = waiting(&daemon, &[]);
    let end = watch_end(Pid::from_raw(first.parse().unwrap()));
    let without = "[backend.own]\nbuiltin = \"api\"\n[[route]]\nid = \"own\"\nmatch = [\"GET /_peergate/health\"]\n\
                   to = \"own\"\nallow = [\"root\"]\n";
    assert!(daemon.reload(&format!("{HEAD}{without}")));
    assert!(end.wait(), "there is nothing to wait for");
    assert!(daemon.reload(&format!("{HEAD}{command}")));
    waiting(&daemon, &[&first]);
    daemon.stop();
}

/// Each waits until the time that it is about is really over, and does nothing meanwhile: so all at once.
#[test]
fn command_that_can_not_begin_in_its_time_is_given_up_and_never_begins() {
    need_root!();
    let all: [(&str, fn()); 3] = [
        ("put down as not started", command_put_down_as_not_started_is_not_begun_by_a_runner_that_comes_late),
        (
            "counts from the warden",
            time_to_begin_counts_from_the_warden_and_not_from_a_runner_that_was_held_up,
        ),
        ("hung file system", command_that_a_hung_file_system_holds_up_is_given_up_and_never_begins),
    ];
    std::thread::scope(|scope| {
        for (name, scenario) in all {
            std::thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, scenario).unwrap();
        }
    });
}

fn command_put_down_as_not_started_is_not_begun_by_a_runner_that_comes_late() {
    let more = "user = \"root\"\non_leave = \"finish\"";
    let daemon = started(
        place(&[("mark", "echo ran >> @HERE@/mark.txt")]),
        &[route("mark", "[\"@DIR@/mark\"]", more)],
    );
    let launcher = children(&daemon.pid().to_string(), "@launcher").pop().expect("a launcher");
    let launcher = Pid::from_raw(launcher.parse().unwrap());
    // The one that waits would take it.
    let ready = Pid::from_raw(waiting(&daemon, &[]).parse().unwrap());
    let end = watch_end(ready);
    kill(launcher, Signal::SIGSTOP).unwrap();
    kill(ready, Signal::SIGKILL).unwrap();
    assert!(end.wait());
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

/// A file system that a process of ours serves. Whatever a test comes to, nothing hangs in it then.
struct Slow {
    at: PathBuf,
    serving: Running,
}

impl Slow {
    /// In the directory `slow` of a daemon's place.
    fn mount(daemon: &Daemon) -> Slow {
        let at = daemon.path("slow");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/fuse.py");
        let mut serving = Command::new(support::python());
        serving.arg(script).arg(&at).stdout(Stdio::piped());
        let mut serving = Running(serving.spawn().unwrap());
        let mut said = [0; 7];
        serving.0.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
        Slow { at, serving }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.serving.0.id().cast_signed()), signal).unwrap();
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.signal(Signal::SIGCONT);
        support::run(Command::new("umount").arg("-l").arg(&self.at));
    }
}

/// What reads in it.
fn reads() -> String {
    let more =
        "user = \"root\"\none_at_a_time = true\nparams.file = { below = \"@DIR@/slow\", from = \"query\" }";
    route("reads", "[\"/usr/bin/cat\", \"{file}\"]", more)
}

fn time_to_begin_counts_from_the_warden_and_not_from_a_runner_that_was_held_up() {
    if !std::path::Path::new("/dev/fuse").exists() {
        skip!("there is no /dev/fuse");
    }
    let place = place(&[]);
    fs::create_dir(place.path().join("slow")).unwrap();
    let daemon = Daemon::start_in(place, &format!("[limits]\nhead_time = \"9s\"\n{HEAD}{}", reads()));
    let slow = Slow::mount(&daemon);
    let late = Pid::from_raw(waiting(&daemon, &[]).parse().unwrap());
    kill(late, Signal::SIGSTOP).unwrap();
    slow.signal(Signal::SIGSTOP);
    let mut held = support::client::Client::connect(&daemon.socket());
    held.ask("POST", "/reads?file=c");
    // A head that is not finished tells when nine seconds are over.
    support::client::Client::connect(&daemon.socket()).send("POST /").rest();
    kill(late, Signal::SIGCONT).unwrap();
    assert!(held.answer().text().contains("command-not-started"));
    // And not when the warden has long said so, and nobody would hear of what it does.
    assert_eq!(exit(&daemon, "not-started")["what"], "it does not begin within 15 s");
    drop(slow);
    daemon.stop();
}

fn command_that_a_hung_file_system_holds_up_is_given_up_and_never_begins() {
    if !std::path::Path::new("/dev/fuse").exists() {
        skip!("there is no /dev/fuse");
    }
    let place = place(&[]);
    fs::create_dir(place.path().join("slow")).unwrap();
    let daemon = started(place, &[reads()]);
    let slow = Slow::mount(&daemon);
    slow.signal(Signal::SIGSTOP);
    let answer = run(&daemon, "/reads?file=a");
    assert!(answer.text().contains("command-not-started"), "{}", answer.text());
    assert_eq!(exit(&daemon, "not-started")["what"], "it does not begin within 15 s");
    // It holds no turn either, and the next one is told what is wrong with its file.
    slow.signal(Signal::SIGCONT);
    let answer = run(&daemon, "/reads?file=b");
    assert!(answer.text().contains("command-not-started"), "{}", answer.text());
    drop(slow);
    daemon.stop();
}
