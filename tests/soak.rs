//! What must not grow however long it goes on: descriptors, memory, processes; and the books are right at the end.
//! Some seconds in every run; `tests/run --all` has it go on for `SOAK_SECONDS`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::client::Client;
use support::daemon::{self, Daemon, write_policy};
use support::people::person;
use support::upstream::Upstream;

const POLICY: &str = include_str!("policies/up.toml");

/// So many clients at a time, each on a connection of its own.
const CLIENTS: u32 = 4;
/// So many rounds a second and client: enough to matter in an hour, and a log that a disk holds.
const ROUNDS: u32 = 40;

/// What one process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Held {
    descriptors: usize,
    kibibytes: u64,
}

/// What the warden and all of its roles hold together, and how many processes they are.
fn held(daemon: &Daemon) -> (usize, Held) {
    let mut all: Vec<_> = daemon.children();
    all.push(daemon.pid());
    let mut sum = Held::default();
    for pid in &all {
        // One that ends in this moment holds nothing.
        let (Ok(open), Ok(status)) =
            (fs::read_dir(format!("/proc/{pid}/fd")), fs::read_to_string(format!("/proc/{pid}/status")))
        else {
            continue;
        };
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
        sum.descriptors += open.count();
        sum.kibibytes += resident.trim().trim_end_matches(" kB").parse::<u64>().unwrap();
    }
    (all.len(), sum)
}

/// A service with an answer for each kind of round.
fn upstream(socket: &Path) -> Upstream {
    Upstream::behaving(socket, |request, stream, reader| match request.target() {
        "/allowed/die" => false,
        "/allowed/half" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").ok();
            false
        }
        "/allowed/garbage" => stream.write_all(b"\0\0\0\r\n\r\n").is_ok(),
        "/big/x" => {
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 4194304\r\n\r\n";
            stream.write_all(head).is_ok() && stream.write_all(&vec![b'x'; 4 << 20]).is_ok()
        }
        "/tunnel/x" => {
            let head = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
            let mut byte = [0];
            if stream.write_all(head).is_ok() && reader.read_exact(&mut byte).is_ok() {
                stream.write_all(&byte).ok();
            }
            false
        }
        _ => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_ok(),
    })
}

/// One round of what callers do, good and bad.
fn round(socket: &Path, turn: u32) {
    let Some(mut client) = Client::connect_if_there(socket) else { return };
    let upgrade = "GET /tunnel/x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    match turn % 12 {
        0 => drop(client.ask("GET", "/allowed/die").answer_or_end()),
        1 => drop(client.ask("GET", "/allowed/half").rest()),
        2 => drop(client.ask("GET", "/allowed/garbage").answer_or_end()),
        // Leaves in the middle of its answer.
        3 => drop(client.ask("GET", "/big/x").exactly(1000)),
        4 => drop(client.send(upgrade).send("x").rest()),
        // Leaves a tunnel, a head, a body, before its end.
        5 => drop(client.send(upgrade).exactly(12)),
        6 => drop(client.send("GET /allowed/x HTTP/1.1\r\nHo")),
        7 => drop(client.send("POST /allowed/x HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\n\r\nab")),
        8 => drop(client.send("GET /../x HTTP/1.1\r\nHost: h\r\n\r\n").answer_or_end()),
        9 => drop(client.ask("GET", "/other").answer_or_end()),
        10 => {
            client.send("GET /allowed/a HTTP/1.1\r\nHost: h\r\n\r\n".repeat(20));
            client.stream.shutdown(Shutdown::Write).ok();
            drop(client.rest());
        }
        _ => drop(client.ask("GET", "/allowed/x").answer_or_end()),
    }
}

/// As `records::check_books`, but with no more in memory than the ids that are open.
fn check_books(audit: &Path) {
    let mut open = HashSet::new();
    let mut segments: Vec<_> = fs::read_dir(audit).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| support::records::is_segment(path));
    segments.sort();
    let lines = |path| BufReader::new(File::open(path).unwrap()).lines().map(Result::unwrap);
    for path in &segments {
        for (index, line) in lines(path).enumerate() {
            let record: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(record["n"], index, "{}: n has a gap at {line}", path.display());
            let id = || record["id"].as_str().unwrap().to_owned();
            match record["t"].as_str().unwrap() {
                "decision" if record["decision"] == "allow" && record["status"].is_null() => {
                    assert!(open.insert(id()), "decided twice: {line}");
                }
                "outcome" => assert!(open.remove(&id()), "an outcome without its decision: {line}"),
                "gate" => assert!(record["event"] == "started" || record["event"] == "retired", "{line}"),
                _ => {}
            }
        }
    }
    assert!(open.is_empty(), "decisions without an outcome: {open:?}");
}

#[test]
fn daemon_under_hours_of_use_and_abuse_does_not_grow() {
    need_root!();
    let seconds = std::env::var("SOAK_SECONDS").unwrap_or_else(|_unset| "10".to_owned());
    let seconds = seconds.parse().unwrap();
    let place = daemon::place();
    let _upstream = upstream(&place.path().join("up.sock"));
    let policy = format!("[limits]\ngate_idle_time = \"1s\"\n{POLICY}");
    let mut daemon = Daemon::start_in(place, &policy);
    let (socket, stop) = (daemon.socket(), AtomicBool::new(false));
    let began = Instant::now();
    let mut early = None;
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (socket, stop) = (&socket, &stop);
            scope.spawn(move || {
                let mut turn = 0;
                while !stop.load(Ordering::Relaxed) {
                    // Paced by the clock, so that the log is as long as the soak and not as the machine is fast.
                    match (Duration::from_secs(1) * turn / ROUNDS).checked_sub(began.elapsed()) {
                        Some(early) => std::thread::park_timeout(early),
                        None => {
                            round(socket, turn + 5 * client);
                            turn += 1;
                        }
                    }
                }
            });
        }
        let alice = person("pg-alice");
        let mut reloads = 0_u32;
        while began.elapsed() < Duration::from_secs(seconds) {
            // Another uid's gate comes and goes, and so do policies.
            alice.curl(&socket, "/allowed/alice", &[]);
            let other =
                if reloads.is_multiple_of(2) { policy.replace("256MiB", "255MiB") } else { policy.clone() };
            write_policy(daemon.dir(), &other);
            let mut reload = Command::new(env!("CARGO_BIN_EXE_peergate"));
            support::run(reload.args(["reload", "--control"]).arg(daemon.path("run/control.sock")));
            reloads += 1;
            if early.is_none() && began.elapsed() > Duration::from_secs(seconds / 4) {
                early = Some(held(&daemon));
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    let late = held(&daemon);
    let early = early.unwrap();
    println!("after a quarter {early:?}, at the end {late:?}");
    // Alice's gate may be there or not.
    assert!(late.1.descriptors <= early.1.descriptors + 40, "{early:?} then {late:?}");
    assert!(late.1.kibibytes <= early.1.kibibytes * 3 / 2 + (16 << 10), "{early:?} then {late:?}");
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(daemon.wait().success(), "{}", daemon.said());
    check_books(&daemon.path("audit"));
}
