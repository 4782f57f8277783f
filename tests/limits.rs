//! What limits end, what they leave alone, and that a gate is never given more than it has room for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

use std::io::{BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;

use nix::sys::resource::{Resource, setrlimit};
use support::client::Client;
use support::daemon::{self, Daemon, write_policy};
use support::people::person;
use support::records;
use support::upstream::Upstream;

const POLICY: &str = include_str!("policies/up.toml");

/// A service that tells of a body's first five bytes when they are there, and answers when five more have come.
fn in_two_pieces(socket: &Path) -> mpsc::Receiver<()> {
    let (first, first_came) = mpsc::channel();
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let first = first.clone();
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream);
                let mut piece = [0; 5];
                support::http::head(&mut reader).ok()??;
                reader.read_exact(&mut piece).ok()?;
                first.send(()).ok()?;
                reader.read_exact(&mut piece).ok()?;
                reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole").ok()
            });
        }
    });
    first_came
}

#[test]
fn upload_to_a_stream_route_may_pause_for_longer_than_a_body_may() {
    need_root!();
    let place = daemon::place();
    let first_came = in_two_pieces(&place.path().join("up.sock"));
    let policy = POLICY.replace("GET /stream/{name}", "POST /stream/{name}");
    let daemon = Daemon::start_in(place, &format!("[limits]\nbody_idle_time = \"100ms\"\n{policy}"));
    let begin = |target: &str| {
        let mut client = Client::connect(&daemon.socket());
        client.send(format!("POST {target} HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nfirst"));
        first_came.recv_timeout(support::PATIENCE).unwrap();
        client
    };
    let mut stream = begin("/stream/upload");
    // What was silent for less long is cut, and tells so that the stream's time would have been up.
    let answer = begin("/allowed/upload").answer();
    assert_eq!(answer.status(), 408, "{}", answer.text());
    assert_eq!(stream.send("after").answer().text(), "whole");
    daemon.stop();
}

#[test]
fn body_of_an_upgrade_has_to_come_within_the_total_time() {
    need_root!();
    let place = daemon::place();
    let upstream = Upstream::start(&place.path().join("up.sock"));
    let limits = "[limits]\ntotal_time = \"100ms\"\nbody_idle_time = \"1h\"\n";
    let daemon = Daemon::start_in(place, &format!("{limits}{POLICY}"));
    let mut client = Client::connect(&daemon.socket());
    client.send("POST /tunnel/exec HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n");
    let answer = client.send("Content-Length: 2\r\n\r\n{").answer();
    assert_eq!(answer.status(), 504, "{}", answer.text());
    let all = daemon.stop();
    let decision = records::decision(&all, 0, "POST", "/tunnel/exec");
    assert_eq!((&decision["decision"], &decision["refusal"]), (&"deny".into(), &"total-timeout".into()));
    assert!(upstream.received().is_empty(), "the service heard nothing of it");
}

#[test]
fn heads_as_large_as_a_policy_may_let_through_are_served_and_recorded() {
    need_root!();
    let place = daemon::place();
    let upstream = Upstream::start(&place.path().join("up.sock"));
    let limits = "[limits]\nhead_bytes = \"1MiB\"\nheaders = 10000\ntarget_bytes = \"60KiB\"\n";
    let daemon = Daemon::start_in(place, &format!("{limits}{POLICY}"));
    let many = "A:b\r\n".repeat(9_999);
    let long = format!("A: {}\r\n", "b".repeat(900 << 10));
    let target = format!("/allowed/{}", "x".repeat(59 << 10));
    for (target, lines) in [("/allowed/many", &many), ("/allowed/long", &long), (&target, &String::new())] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
        let answer = Client::connect(&daemon.socket()).send(request).answer();
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }
    assert_eq!(upstream.received()[0].all("a").len(), 9_999);
    let all = daemon.stop();
    assert_eq!(all.iter().filter(|record| record["decision"] == "allow").count(), 3);
}

#[test]
fn gate_is_given_no_more_connections_than_it_has_descriptors_for() {
    need_root!();
    let place = daemon::place();
    // Each exchange is held open, so that each connection needs its backend's descriptor too.
    let held = Upstream::behaving(&place.path().join("up.sock"), |request, stream, reader| {
        if request.target() == "/allowed/held" {
            return reader.read(&mut [0]).is_ok_and(|length| length > 0);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_ok()
    });
    let file = write_policy(place.path(), POLICY);
    let few = |command: &mut Command| {
        // SAFETY: setrlimit(2) is safe to call between fork and exec.
        #[allow(unsafe_code, reason = "the limit has to be the daemon's alone")]
        unsafe {
            command.pre_exec(|| Ok(setrlimit(Resource::RLIMIT_NOFILE, 200, 200)?));
        }
    };
    let daemon = Daemon::spawn(place, &file, few).unwrap_or_else(|refused| panic!("{}", refused.said));
    let mut first = Client::connect(&daemon.socket());
    assert_eq!(first.ask("GET", "/allowed/a").answer().status(), 200);
    let mut others: Vec<Client> = (0..100).map(|_| Client::connect(&daemon.socket())).collect();
    others.iter_mut().for_each(|other| {
        other.ask("GET", "/allowed/held");
    });
    daemon.wait_for("a connection shed", |record| record["shed"] == "out-of-descriptors");
    assert_eq!(first.ask("GET", "/allowed/b").answer().status(), 200, "who is there is served on");
    assert_eq!(person("pg-alice").curl(&daemon.socket(), "/allowed/c", &[]).0, 200, "so is another uid");
    assert!(held.asked().iter().any(|asked| asked == "GET /allowed/held"));
    drop((first, others));
    let all = daemon.stop();
    let died = |record: &&serde_json::Value| record["t"] == "gate" && record["event"] == "exited";
    assert_eq!(all.iter().find(died), None, "no gate died of it");
}
