//! `durability = "sync"`: no effect before its record is on the disk. Held by roles that are ended at each of their
//! writes and syncs, by a disk that loses what was not synced, and by one that hangs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use nix::sys::signal::{Signal, kill};
use serde_json::Value;
use support::client::{self, Client};
use support::daemon::{self, Daemon, Place};
use support::disk::Disk;
use support::records;
use support::strace::{self, Strace};
use support::upstream::{Upstream, guarded_in};

/// One service behind a route of each durability, and the daemon's own API behind one of the stronger.
const POLICY: &str = r#"
[listen.api]
path = "@DIR@/run/api.sock"
mode = "0666"
[backend.up]
proxy = "unix:@DIR@/up.sock"
[backend.api]
builtin = "api"
[who.root]
uid = [0]
[[route]]
id = "sync"
match = ["GET /sync/{name}"]
to = "up"
allow = ["root"]
audit = { durability = "sync" }
[[route]]
id = "write"
match = ["GET /write/{name}"]
to = "up"
allow = ["root"]
[[route]]
id = "api"
match = ["GET /_peergate/{rest...}"]
to = "api"
allow = ["root"]
audit = { durability = "sync" }
"#;

fn started_in(place: Place, settings: &str) -> (Daemon, Upstream) {
    guarded_in(place, &format!("{settings}{POLICY}"))
}

fn is_decision(record: &Value, target: &str) -> bool {
    record["t"] == "decision" && record["target"] == target && record["decision"] == "allow"
}

#[test]
fn sync_route_is_served_and_its_books_are_kept() {
    need_root!();
    let (daemon, _upstream) = started_in(daemon::place(), "");
    let mut client = Client::connect(&daemon.socket());
    for target in ["/sync/a", "/write/a", "/_peergate/whoami", "/sync/b"] {
        assert_eq!(client.ask("GET", target).answer().status(), 200, "{target}");
    }
    let all = daemon.stop();
    let own = records::outcome(&all, records::decision(&all, 0, "GET", "/_peergate/whoami"));
    assert_eq!((&own["result"], &own["status"]), (&"completed".into(), &200.into()));
    assert!(own["out"].as_u64().unwrap() > 0);
}

#[test]
fn many_waiting_callers_share_a_sync() {
    need_root!();
    need_programs!("strace");
    const CALLERS: usize = 40;
    let (daemon, _upstream) = started_in(daemon::place(), "");
    assert_eq!(client::ask(&daemon.socket(), "GET", "/sync/first").status(), 200);
    let scribe = strace::process(&daemon, "scribe");
    let log = daemon.path("trace");
    let slow = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=300000", "-o"];
    let arguments: Vec<&str> = slow.iter().copied().chain([log.to_str().unwrap()]).collect();
    let trace = Strace::attach(strace::thread(scribe, "durable"), &arguments);
    let mut callers: Vec<Client> = (0..CALLERS).map(|_| Client::connect(&daemon.socket())).collect();
    callers.iter_mut().for_each(|caller| {
        caller.ask("GET", "/sync/many");
    });
    assert!(callers.iter_mut().all(|caller| caller.answer().status() == 200));
    drop(trace);
    let syncs = fs::read_to_string(&log).unwrap().matches("fdatasync(").count();
    // Two lanes, each with one on its way when the rest comes.
    assert!((1..=CALLERS / 4).contains(&syncs), "{syncs} syncs for {CALLERS} callers");
    let all = daemon.stop();
    assert_eq!(all.iter().filter(|record| is_decision(record, "/sync/many")).count(), CALLERS);
}

#[test]
fn disk_that_hangs_refuses_who_needs_it_by_name_and_holds_up_nobody_else() {
    need_root!();
    need_programs!("strace");
    let (daemon, _upstream) = started_in(daemon::place(), "[limits]\nsync_time = \"300ms\"\n");
    let mut client = Client::connect(&daemon.socket());
    assert_eq!(client.ask("GET", "/sync/first").answer().status(), 200);
    let scribe = strace::process(&daemon, "scribe");
    let hangs = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=4000000:when=1"];
    let trace = Strace::attach(strace::thread(scribe, "durable"), &hangs);
    let refused = client.ask("GET", "/sync/hangs").answer();
    assert_eq!(refused.status(), 503);
    assert!(refused.text().contains("audit-not-durable"), "{}", refused.text());
    assert_eq!(client.ask("GET", "/_peergate/whoami").answer().status(), 503);
    assert_eq!(client.ask("GET", "/write/meanwhile").answer().status(), 200);
    drop(trace);
    while client.ask("GET", "/sync/again").answer().status() != 200 {}
    let all = daemon.stop();
    let outcome = records::outcome(&all, records::decision(&all, 0, "GET", "/sync/hangs"));
    assert_eq!((&outcome["result"], &outcome["status"]), (&"audit-not-durable".into(), &503.into()));
}

#[test]
fn sync_that_fails_is_refused_never_tried_again_and_another_segment_serves() {
    need_root!();
    need_programs!("strace");
    let place = daemon::place();
    let _upstream = Upstream::start(&place.path().join("up.sock"));
    let daemon = Daemon::start_to_be_failed(place, POLICY);
    let mut client = Client::connect(&daemon.socket());
    assert_eq!(client.ask("GET", "/sync/first").answer().status(), 200);
    let scribe = strace::process(&daemon, "scribe");
    let log = daemon.path("trace");
    let fails = ["-y", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=1", "-o"];
    let arguments: Vec<&str> = fails.iter().copied().chain([log.to_str().unwrap()]).collect();
    let trace = Strace::attach(strace::thread(scribe, "durable"), &arguments);
    assert_eq!(client.ask("GET", "/sync/fails").answer().status(), 503);
    while client.ask("GET", "/sync/again").answer().status() != 200 {}
    drop(trace);
    let text = fs::read_to_string(&log).unwrap();
    let segments: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once('<')?.1.split_once('>').map(|(name, _)| name))
        .collect();
    let (failed, later) = segments.split_first().unwrap();
    assert!(!later.is_empty() && !later.contains(failed), "{text}");
    let all = daemon.stop();
    let outcome = records::outcome(&all, records::decision(&all, 0, "GET", "/sync/fails"));
    assert_eq!(outcome["result"], "audit-not-durable");
    assert!(
        !all.iter()
            .any(|record| record["t"] == "close" && failed.ends_with(record["segment"].as_str().unwrap()))
    );
}

/// Asks by a few callers at once, each until it gets no answer; the targets that were answered 200.
fn ask_until_the_end(socket: &Path, callers: usize, each: usize) -> Vec<String> {
    let served = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for caller in 0..callers {
            let served = &served;
            scope.spawn(move || {
                let Some(mut client) = Client::connect_if_there(socket) else { return };
                for number in 0..each {
                    let target = format!("/sync/{caller}-{number}");
                    match client.ask("GET", &target).answer_or_end() {
                        Some(answer) if answer.status() == 200 => served.lock().unwrap().push(target),
                        Some(_) => {}
                        None => return,
                    }
                }
            });
        }
    });
    served.into_inner().unwrap()
}

/// Whether there is such a process, and it has not ended.
fn lives(pid: nix::unistd::Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).is_some_and(|state| state != "Z")
}

/// How many ask while a role is ended, and how often each.
const CALLERS: usize = 2;
const EACH: usize = 3;

/// Ends `role` at its first write or sync, at its second, and so on, until one run serves somebody and comes to its end
/// without having been hit: on a disk that others keep busy a run may serve nobody. Two runs at a time.
fn ended_at_each(role: &str) {
    let (mut nth, mut runs): (u32, Vec<(usize, bool)>) = (0, Vec::new());
    while !runs.iter().any(|(served, hit)| !hit && *served > 0) {
        assert!(nth < 200, "{role} writes on and on");
        let [one, two] = std::thread::scope(|scope| {
            [nth + 1, nth + 2]
                .map(|nth| scope.spawn(move || served_before_a_cut(role, nth)))
                .map(|run| run.join())
        });
        runs.extend([one, two].map(|run| run.unwrap_or_else(|why| std::panic::resume_unwind(why))));
        nth += 2;
    }
    println!("{role}: {nth} runs");
    assert!(runs[0].1, "{role} was not hit at its first call: {runs:?}");
    // The warden may write no more than once for all connections and once for all grants, before anybody is served.
    assert!(role == "warden" || runs.iter().any(|(served, hit)| *hit && *served > 0), "{runs:?}");
}

/// Ends `role` at its `nth` write or sync while callers ask, and cuts the power of the disk right then. Whoever was
/// served has a record on the disk that comes back. Returns how many were, and whether it was hit.
fn served_before_a_cut(role: &str, nth: u32) -> (usize, bool) {
    let place = daemon::place();
    let disk = Disk::ext4(&place.path().join("audit"), "24M");
    let (daemon, upstream) = started_in(place, "[limits]\nsync_time = \"2s\"\n");
    // Its gate is there, and strace can be attached to it.
    assert_eq!(client::ask(&daemon.socket(), "GET", "/sync/first").status(), 200);
    let asked = upstream.asked().len();
    let pid = if role == "warden" { daemon.pid() } else { strace::process(&daemon, role) };
    let calls = "write,fdatasync";
    let inject = format!("inject={calls}:signal=KILL:when={nth}");
    let trace = Strace::attach(pid, &["-f", "-e", &format!("trace={calls}"), "-e", &inject]);
    let served = ask_until_the_end(&daemon.socket(), CALLERS, EACH);
    // Who was ended is seen to end a little later, since it is traced.
    let hit = (served.len() < CALLERS * EACH && trace.ends()) || !lives(pid);
    drop(trace);
    let effects = upstream.asked()[asked..].to_vec();
    let place = daemon.kill_all();
    disk.cut_power();
    let all = records::read(&place.path().join("audit"));
    for target in served.iter().cloned().chain(effects.iter().map(|asked| asked.replace("GET ", ""))) {
        let there = all.iter().any(|record| is_decision(record, &target));
        assert!(there, "{role} ended at call {nth}: {target} was served, and has no record after the cut");
    }
    drop(disk);
    (served.len(), hit)
}

#[test]
fn gate_ended_at_each_write_loses_no_record_of_what_it_served() {
    need_root!();
    need_programs!("strace", "mkfs.ext4");
    ended_at_each("gate");
}

#[test]
fn scribe_ended_at_each_sync_loses_no_record_of_what_was_served() {
    need_root!();
    need_programs!("strace", "mkfs.ext4");
    ended_at_each("scribe");
}

#[test]
fn warden_ended_at_each_write_loses_no_record_of_what_was_served() {
    need_root!();
    need_programs!("strace", "mkfs.ext4");
    ended_at_each("warden");
}

#[test]
fn power_cut_takes_what_was_only_written_and_leaves_what_was_synced() {
    need_root!();
    need_programs!("mkfs.ext4");
    let place = daemon::place();
    let disk = Disk::ext4(&place.path().join("audit"), "24M");
    let (daemon, _upstream) = started_in(place, "");
    let mut client = Client::connect(&daemon.socket());
    assert_eq!(client.ask("GET", "/sync/kept").answer().status(), 200);
    // From here on nobody syncs: this shows that the disk really loses what nobody asked it to keep.
    kill(strace::process(&daemon, "scribe"), Signal::SIGSTOP).unwrap();
    assert_eq!(client.ask("GET", "/write/lost").answer().status(), 200);
    let place = daemon.kill_all();
    disk.cut_power();
    let all = records::read(&place.path().join("audit"));
    assert!(all.iter().any(|record| is_decision(record, "/sync/kept")));
    assert!(!all.iter().any(|record| is_decision(record, "/write/lost")));
}
