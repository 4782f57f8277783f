//! One caller who takes all there is to take, and another who works meanwhile (P7): counted, never timed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use support::client;
use support::daemon::{self, Daemon, Running};
use support::people::person;
use support::upstream::Upstream;

/// A second way in, for who must not stand in a queue with everybody.
const OTHER: &str = r#"
[listen.other]
path = "@DIR@/run/other.sock"
mode = "0666"
"#;

/// Connects as fast as it can and never leaves by itself: some ask and are denied, some say half a head, some
/// nothing. Says so once it has come more often than anybody may.
const FLOOD: &str = r#"
import os, socket, sys, threading
came = [0, 0, 0]
def flood(kind):
    held = []
    while True:
        s = socket.socket(socket.AF_UNIX)
        held.append(s)
        try:
            s.connect(sys.argv[1])
            if kind == 0:
                s.sendall(b"GET /other HTTP/1.1\r\nHost: x\r\n\r\n" * 8)
            elif kind == 1:
                s.sendall(b"GET /allowed/x HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        except OSError:
            pass
        came[kind] += 1
        if len(held) > 300:
            held.pop(0).close()
        if kind == 2 and came[2] == 2000:
            print("full", flush=True)
for kind in (0, 1, 2):
    threading.Thread(target=flood, args=(kind,), daemon=True).start()
sys.stdin.read()
os._exit(0)
"#;

/// Requests of the one who works; each on a connection of its own, which waits behind those of the flood where both
/// come in at the same listener.
const WORK: usize = 25;

fn flooded(socket: &Path) -> Running {
    let mallory = person("pg-mallory");
    let mut command = mallory.command(support::python());
    command.args(["-c", FLOOD]).arg(socket).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut flood = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(flood.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "full\n");
    Running(flood)
}

fn started() -> (Daemon, Upstream) {
    let place = daemon::place();
    let upstream = Upstream::start(&place.path().join("up.sock"));
    let policy = include_str!("policies/up.toml");
    // Each route is offered at both listeners.
    let both = policy.replace("to = \"up\"", "to = \"up\"\non = [\"api\", \"other\"]");
    (Daemon::start_in(place, &format!("{OTHER}{both}")), upstream)
}

#[test]
fn flood_by_one_uid_refuses_nothing_to_another_on_another_listener() {
    need_root!();
    need_programs!("python3");
    let (daemon, _upstream) = started();
    let _flood = flooded(&daemon.socket());
    for _ in 0..WORK {
        assert_eq!(client::ask(&daemon.path("run/other.sock"), "GET", "/allowed/x").status(), 200);
    }
    daemon.stop();
}

#[test]
fn flood_by_one_uid_lets_another_in_on_the_same_listener() {
    need_root!();
    need_programs!("python3");
    let (daemon, _upstream) = started();
    let _flood = flooded(&daemon.socket());
    // A backlog is shared by all: a connect may wait, and then gets through.
    for _ in 0..WORK {
        assert_eq!(client::ask(&daemon.socket(), "GET", "/allowed/x").status(), 200);
    }
    let all = daemon.stop();
    let mallory = person("pg-mallory").uid.as_raw();
    let of_hers = || all.iter().filter(|record| record["uid"] == mallory);
    let counted: u64 = of_hers().filter_map(|record| record["count"].as_u64()).sum();
    assert!(counted > 0, "what she did beyond her share of the log is counted and not written out");
}

/// The latest segment of one uid's gates.
fn latest_of(audit: &Path, uid: u32) -> Option<String> {
    let ours = format!("-gate-{uid}-");
    let all =
        std::fs::read_dir(audit).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    all.filter(|name| name.contains(&ours) && name.ends_with(".ndjson")).max()
}

#[test]
fn gate_that_writes_more_than_its_budget_gets_no_more_disk_and_others_are_served() {
    need_root!();
    const RATE: u64 = 4 << 20;
    // What an account holds at most: `warden::allowance`.
    const MOST: u64 = 5 * RATE + (8 << 20);
    const AT_ONCE: u64 = 16 << 20;
    let place = daemon::place();
    let _upstream = Upstream::start(&place.path().join("up.sock"));
    let policy = include_str!("policies/up.toml");
    let daemon = Daemon::start_in(place, &format!("{policy}\n[limits]\nlog_bytes = \"4MiB/s\"\n"));
    let (audit, mallory) = (daemon.path("audit"), person("pg-mallory"));
    let (begin, mut flooded) = (std::time::Instant::now(), std::collections::BTreeSet::new());
    while flooded.len() < 5 {
        // Her gate runs again and again, refuses her while there is no segment for it, and others feel nothing.
        mallory.curl(&daemon.socket(), "/allowed/x", &[]);
        assert_eq!(client::ask(&daemon.socket(), "GET", "/allowed/x").status(), 200);
        let Some(latest) = latest_of(&audit, mallory.uid.as_raw()) else { continue };
        if flooded.insert(latest.clone()) {
            // As if her gate had been taken over: more than it may, past what is reserved. It is ended for that.
            let mut segment = std::fs::OpenOptions::new().append(true).open(audit.join(latest)).unwrap();
            std::io::Write::write_all(&mut segment, &vec![b'x'; usize::try_from(AT_ONCE).unwrap()]).unwrap();
        }
    }
    let written = 5 * AT_ONCE;
    // All but what came last was paid for when that was given; what it was given before may have exceeded what was left.
    let paid = MOST + RATE * begin.elapsed().as_secs() + RATE + AT_ONCE;
    assert!(written - AT_ONCE <= paid + (1 << 20), "{written} bytes, and {paid} were paid");
    assert!(daemon.said().contains("more of the disk than `log_bytes` allows"), "{}", daemon.said());
    daemon.kill();
}
