//! The tables of system calls are what the roles need: a daemon works under strace, and each row that says so is seen
//! in its role, each call that is seen has a row.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use peergate::confine::{Need, Plan, Terms};
use support::client::Client;
use support::daemon::{self, Daemon, write_policy};
use support::people::person;
use support::upstream::Upstream;

const POLICY: &str = include_str!("policies/up.toml");

/// A command, and a file in which a witness keeps heads.
const COMMANDS: &str = "\n[audit.witness]\nfile = \"@DIR@/heads\"\n\
                        [backend.echo]\ncommand = [\"/usr/bin/echo\", \"x\"]\nuser = \"pg-alice\"\n\
                        [[route]]\nid = \"echo\"\nmatch = [\"POST /echo\"]\nto = \"echo\"\nallow = [\"root\"]\n";

/// What one process did: calls of its threads, in the order in which each of them made them.
#[derive(Debug, Default)]
struct Process {
    /// `gate`, `scribe`, `loader`; the warden's is its own.
    role: Option<String>,
    /// Before its last filter was in force.
    before: BTreeSet<String>,
    /// And after.
    after: BTreeSet<String>,
    confined: bool,
}

/// The processes of a trace by `strace -f`, the first one the warden.
fn processes(trace: &str) -> Vec<Process> {
    let lines: Vec<(u32, &str)> = trace
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(tid, rest)| (tid.parse().unwrap(), rest.trim_start()))
        .collect();
    let first = lines[0].0;
    // Which process each thread belongs to; a child's first lines may come before its parent's answer.
    let (mut pending, mut parents) = (BTreeMap::new(), BTreeMap::new());
    for (tid, rest) in &lines {
        let name = call(rest).unwrap_or_default();
        if !["clone", "fork", "vfork", "clone3"].contains(&name) {
            continue;
        }
        let is_thread = match rest.strip_prefix("<... ") {
            Some(_) => pending.remove(tid).unwrap(),
            None => rest.contains("CLONE_THREAD"),
        };
        if rest.ends_with("<unfinished ...>") {
            pending.insert(*tid, is_thread);
        } else if let Some(child) = rest.rsplit("= ").next().and_then(|answer| answer.parse::<u32>().ok()) {
            parents.insert(child, (*tid, is_thread));
        }
    }
    let process = |mut tid: u32| {
        while let Some((parent, true)) = parents.get(&tid) {
            tid = *parent;
        }
        tid
    };
    let is_filter = |rest: &str| {
        let begins = ["seccomp(SECCOMP_SET_MODE_FILTER", "<... seccomp resumed>"];
        begins.iter().any(|begin| rest.starts_with(begin)) && rest.ends_with("= 0")
    };
    let mut last_filter = BTreeMap::new();
    for (at, (tid, rest)) in lines.iter().enumerate().filter(|(_, (_, rest))| is_filter(rest)) {
        last_filter.insert(process(*tid), at);
        assert_eq!(process(*tid), *tid, "a further thread confined itself: {rest}");
    }
    let mut all: BTreeMap<u32, Process> = BTreeMap::new();
    for (at, (tid, rest)) in lines.iter().enumerate() {
        let owner = process(*tid);
        let entry = all.entry(owner).or_default();
        entry.confined = last_filter.contains_key(&owner);
        if let Some(role) = rest.strip_prefix("execveat(").and_then(|rest| rest.split("\"@").nth(1)) {
            entry.role = role.split('"').next().map(str::to_owned);
        }
        let Some(name) = call(rest).filter(|_| !rest.starts_with("<... ")) else { continue };
        let is_after = last_filter.get(&owner).is_some_and(|filter| at > *filter);
        let calls = if is_after { &mut entry.after } else { &mut entry.before };
        calls.insert(name.to_owned());
    }
    all.get_mut(&first).unwrap().role = Some("warden".to_owned());
    all.into_values().collect()
}

/// The call's name in a line; `None` where it tells of a signal or an end, or of `???`, which is where a kill came
/// first.
fn call(rest: &str) -> Option<&str> {
    let name = match rest.strip_prefix("<... ") {
        Some(resumed) => resumed.split(' ').next()?,
        None => rest.split_once('(')?.0,
    };
    let is_name = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    is_name.then_some(name)
}

/// A daemon's whole life: callers, a reload, deaths, the end.
fn work(more: &str) -> Vec<Process> {
    let place = daemon::place();
    let trace = place.path().join("trace");
    let upstream = Upstream::start(&place.path().join("up.sock"));
    let text = format!("{POLICY}{more}");
    let policy = write_policy(place.path(), &text);
    let mut command = Command::new("strace");
    // The tracer is a grandchild, and what is traced our child, as without it.
    command.args(["-D", "-f", "-q", "-s", "64", "-o"]).arg(&trace).arg(support::program("peergated"));
    let daemon = Daemon::spawn_by(command, &place, &policy, |_| {});
    let mut daemon = daemon.unwrap_or_else(|refused| panic!("{}\n{}", refused.status, refused.said));
    let mut client = Client::connect(&daemon.socket());
    for path in ["/allowed/a", "/denied"] {
        client.ask("GET", path).answer();
    }
    client.send(b"POST /allowed/b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
    client.answer();
    assert_eq!(upstream.asked().len(), 2);
    assert!(daemon.reload(&text.replace("/stream/{name}", "/streams/{name}")));
    assert_eq!(client.ask("GET", "/allowed/c").answer().status(), 200);
    if more.contains(COMMANDS) {
        assert_eq!(client.ask("POST", "/echo").answer().status(), 200);
        // The witness is told with the next seal.
        let heads = place.path().join("heads");
        while std::fs::read(&heads).unwrap_or_default().is_empty() {
            std::thread::yield_now();
        }
    }
    // Another caller has another gate.
    let mut alice = person("pg-alice").command(support::python());
    let script = "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\
                  s.sendall(b'GET /allowed/d HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n')\ns.recv(4096)";
    support::run(alice.args(["-c", script]).arg(daemon.socket()));
    // Deaths: the callers of a gate lose their connections, a scribe is followed by another.
    let gate = daemon.wait_for("a gate", |r| r["t"] == "gate" && r["role"] == "gate" && r["uid"] == 0);
    kill(pid(&gate), Signal::SIGKILL).unwrap();
    assert!(client.answer_or_end().is_none());
    let scribe = daemon.wait_for("the scribe", |r| r["t"] == "gate" && r["role"] == "scribe");
    kill(pid(&scribe), Signal::SIGKILL).unwrap();
    daemon.wait_for("another scribe", |r| {
        r["t"] == "open" && r["role"] == "scribe" && r["pid"] != scribe["pid"]
    });
    drop(client);
    daemon.stop_in_place();
    processes(&whole(&trace))
}

/// Whom a record is about.
fn pid(record: &serde_json::Value) -> Pid {
    Pid::from_raw(i32::try_from(record["pid"].as_i64().unwrap()).unwrap())
}

/// The trace once all that it tells of have left it.
fn whole(trace: &Path) -> String {
    let changes = Inotify::init(InitFlags::IN_NONBLOCK).unwrap();
    changes.add_watch(trace, AddWatchFlags::IN_MODIFY).unwrap();
    let deadline = Instant::now() + support::PATIENCE;
    loop {
        let text = std::fs::read_to_string(trace).unwrap();
        let of = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
        let there: BTreeSet<String> = text.lines().map(of).collect();
        let left: BTreeSet<String> = text.lines().filter(|line| line.contains(" +++ ")).map(of).collect();
        if text.ends_with('\n') && there == left {
            return text;
        }
        let rest = deadline.checked_duration_since(Instant::now()).expect("strace does not end");
        let mut fds = [PollFd::new(changes.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::try_from(rest).unwrap()).unwrap();
        while changes.read_events().is_ok_and(|events| !events.is_empty()) {}
    }
}

/// What is wrong with a role's table, held against what its processes did.
fn wrong(role: &str, plan: &Plan, calls: &BTreeSet<String>) -> Vec<String> {
    let rows: BTreeSet<&str> = plan.table.iter().map(|row| row.name).collect();
    let beyond = calls.iter().filter(|call| !rows.contains(call.as_str()));
    let beyond = beyond.map(|call| format!("{role}: `{call}` is called and has no row"));
    let needed = plan.table.iter().filter(|row| row.need == Need::Work && !row.is_absent());
    let unused = needed.filter(|row| !calls.contains(row.name));
    beyond.chain(unused.map(|row| format!("{role}: nothing calls `{}`: {}", row.name, row.why))).collect()
}

fn of_role<'a>(all: &'a [Process], role: &str) -> Vec<&'a Process> {
    let found: Vec<&Process> = all.iter().filter(|process| process.role.as_deref() == Some(role)).collect();
    assert!(!found.is_empty(), "no {role} was seen");
    // A runner that waited for a command and got none has started nothing, and reads nothing but the warden.
    let has_waited = |process: &Process| {
        role == "runner" && !process.before.iter().any(|call| call.starts_with("clone") || call == "fork")
    };
    assert!(found.iter().all(|process| process.confined || has_waited(process)), "a {role} had no filter");
    found
}

fn rows_are_what_the_roles_do(more: &str, scribe: &Plan, others: &[(&str, &Plan)]) {
    let all = work(more);
    let (gate, loader, warden) =
        (Plan::gate(None, &Terms::default()), Plan::loader(), Plan::warden(Vec::new(), false));
    let mut found = Vec::new();
    let each = [("gate", &gate), ("scribe", scribe), ("loader", &loader), ("warden", &warden)];
    for (role, plan) in each.iter().chain(others) {
        let calls =
            of_role(&all, role).into_iter().flat_map(|process| process.after.iter().cloned()).collect();
        found.extend(wrong(role, plan, &calls));
    }
    let started: BTreeSet<&str> = all
        .iter()
        .filter(|process| process.role.as_deref() != Some("warden"))
        .flat_map(|process| process.before.iter().map(String::as_str))
        .collect();
    let unused = warden.table.iter().filter(|row| row.need == Need::Start && !started.contains(row.name));
    found.extend(unused.map(|row| format!("start: nothing calls `{}`: {}", row.name, row.why)));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn rows_of_the_tables_are_what_the_roles_do() {
    need_root!();
    need_programs!("strace", "setpriv");
    let (runner, keeper) = (Plan::runner(true, true), Plan::file_keeper());
    rows_are_what_the_roles_do(
        COMMANDS,
        &Plan::scribe(None, false),
        &[("runner", &runner), ("keeper", &keeper)],
    );
}

#[test]
fn rows_of_a_scribe_with_rolling_diagnostics_are_what_it_does() {
    need_root!();
    need_programs!("strace", "setpriv");
    let rolling = "\n[diagnostics]\ndirectory = \"@DIR@/diagnostics\"\n";
    rows_are_what_the_roles_do(rolling, &Plan::scribe(None, true), &[]);
}

#[test]
fn rows_that_nothing_calls_and_calls_without_a_row_are_found() {
    let trace = "7 seccomp(SECCOMP_SET_MODE_FILTER, 0, 0x1) = 0\n\
                 7 clone(child_stack=NULL, flags=SIGCHLD <unfinished ...>\n\
                 8 execveat(3, \"\", [\"peergated\", \"@gate\"], [], AT_EMPTY_PATH) = 0\n\
                 7 <... clone resumed>) = 8\n\
                 8 openat(AT_FDCWD, \"/\", 0) = 3\n\
                 8 seccomp(SECCOMP_SET_MODE_FILTER, 0, 0x1 <unfinished ...>\n\
                 7 ???( <unfinished ...>\n8 <... seccomp resumed>) = 0\n\
                 9 madvise(NULL, 0, 0) = 0\n\
                 8 clone(child_stack=0x1, flags=CLONE_VM|CLONE_THREAD) = 9\n\
                 8 read(3, \"\", 1) = 0\n8 --- SIGCHLD {si_signo=SIGCHLD} ---\n8 stray(0) = 0\n\
                 8 +++ exited with 0 +++\n";
    let all = processes(trace);
    let [gate] = of_role(&all, "gate")[..] else { panic!("{all:?}") };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
    assert_eq!(gate.before, names(&["execveat", "openat", "seccomp"]));
    assert_eq!(gate.after, names(&["clone", "madvise", "read", "stray"]));
    let found = wrong("gate", &Plan::gate(None, &Terms::default()), &gate.after);
    assert!(found.contains(&"gate: `stray` is called and has no row".to_owned()), "{found:?}");
    assert!(found.iter().any(|line| line.starts_with("gate: nothing calls `recvmsg`")), "{found:?}");
    assert!(!found.iter().any(|line| line.contains("`read`")), "{found:?}");
}
