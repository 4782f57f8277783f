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
