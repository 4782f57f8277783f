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

/// Answers with so many bytes as the target's last part says, or holds the request until more comes.
fn measured(socket: &Path) -> Upstream {
    Upstream::behaving(socket, |request, stream, reader| {
        let last = request.target().rsplit('/').next().unwrap_or_default().to_owned();
        let Ok(bytes) = last.parse::<usize>() else {
            return reader.read(&mut [0]).is_ok_and(|length| length > 0);
        };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n");
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&vec![b'x'; bytes])).is_ok()
    })
}

/// The policy, with limits for root, who is also in a wider who; over both lanes, which share what is counted.
fn limited(limits: &str) -> (Daemon, Upstream) {
    let place = daemon::place();
    let upstream = measured(&place.path().join("up.sock"));
    let whos = format!(
        "[who.limited]\nuser = [\"root\"]\nlimits = {{ {limits} }}\n\
         [who.wide]\nuser = [\"root\", \"pg-alice\"]\nlimits = {{ rate = \"1000/s\", concurrent = 100 }}\n"
    );
    let policy = format!("[limits]\nbody_bytes = \"1MiB\"\n{POLICY}{whos}");
    (Daemon::start_in(place, &policy), upstream)
}

#[track_caller]
fn refused_as(answer: &support::http::Message, status: u16, code: &str) {
    assert_eq!(answer.status(), status, "{}", answer.text());
    let body: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
    assert_eq!(body["code"], code);
}

fn by_limited(all: &[serde_json::Value], code: &str) -> usize {
    let refused = |record: &&serde_json::Value| record["refusal"] == code && record["by"] == "who.limited";
    let found = all.iter().filter(refused);
    found
        .inspect(|record| assert!(record["at"].as_str().unwrap().starts_with("policy.toml:"), "{record}"))
        .count()
}

#[test]
fn rate_of_a_who_holds_over_all_connections_and_leaves_others_alone() {
    need_root!();
    let (daemon, upstream) = limited("rate = \"2/h\", burst = 3");
    let ask = |target: &str| Client::connect(&daemon.socket()).ask("GET", target).answer();
    let answers: Vec<u16> = (0..3).map(|_| ask("/allowed/1").status()).collect();
    assert_eq!(answers, [200, 200, 200]);
    let over = ask("/allowed/1");
    refused_as(&over, 429, "who-rate");
    let wait: u64 = over.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=1801).contains(&wait), "{wait}");
    refused_as(&ask("/nowhere"), 429, "who-rate");
    assert_eq!(person("pg-alice").curl(&daemon.socket(), "/allowed/1", &[]).0, 200, "it is another's limit");
    assert_eq!(upstream.asked().len(), 4);
    let all = daemon.stop();
    assert_eq!(by_limited(&all, "who-rate"), 2);
}

#[test]
fn requests_at_a_time_and_open_connections_of_a_who_are_bounded() {
    need_root!();
    let (daemon, _upstream) = limited("concurrent = 1, connections = 3");
    let mut first = Client::connect(&daemon.socket());
    first.ask("GET", "/stream/held");
    daemon.wait_for("the first request", |record| record["target"] == "/stream/held");
    let mut second = Client::connect(&daemon.socket());
    let over = second.ask("GET", "/allowed/1").answer();
    refused_as(&over, 429, "who-concurrent");
    assert_eq!(over.header("retry-after"), Some("1"));
    let third = Client::connect(&daemon.socket());
    assert!(Client::connect(&daemon.socket()).ask("GET", "/allowed/1").answer_or_end().is_none());
    daemon.wait_for("a connection shed", |record| record["shed"] == "who-connections");
    drop((first, third));
    daemon.wait_for("its end", |record| record["t"] == "outcome" && record["result"] == "caller-gone");
    assert_eq!(second.ask("GET", "/allowed/1").answer().status(), 200, "the place is free again");
    assert_eq!(person("pg-alice").curl(&daemon.socket(), "/allowed/1", &[]).0, 200);
    let all = daemon.stop();
    assert_eq!(by_limited(&all, "who-concurrent"), 1);
}

#[test]
fn bodies_and_bytes_of_a_who_are_bounded() {
    need_root!();
    let (daemon, upstream) = limited("body = \"8B\", bytes = \"1MiB/d\"");
    let put = |framing: &str, body: &str| {
        let head = format!("PUT /big/1 HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n{body}");
        Client::connect(&daemon.socket()).send(head).answer()
    };
    assert_eq!(put("Content-Length: 8", "12345678").status(), 200);
    refused_as(&put("Content-Length: 9", "123456789"), 413, "who-body");
    refused_as(&put("Transfer-Encoding: chunked", "9\r\n123456789\r\n0\r\n\r\n"), 413, "who-body");
    assert_eq!(upstream.asked(), ["PUT /big/1"], "only one came whole");
    let get = |target: &str| Client::connect(&daemon.socket()).ask("GET", target).answer();
    assert_eq!(
        get(&format!("/allowed/{}", 2 << 20)).status(),
        200,
        "what began in time comes whole where it is quick"
    );
    let over = get("/allowed/1");
    refused_as(&over, 429, "who-bytes");
    assert!(over.header("retry-after").unwrap().parse::<u64>().unwrap() > 80_000);
    let all = daemon.stop();
    assert_eq!(by_limited(&all, "who-body"), 1);
    assert_eq!(by_limited(&all, "who-bytes"), 1);
    assert!(all.iter().any(|record| record["t"] == "outcome" && record["result"] == "who-body"));
}

#[test]
fn stream_that_uses_up_what_its_caller_may_is_ended() {
    need_root!();
    let place = daemon::place();
    let _upstream = Upstream::behaving(&place.path().join("up.sock"), |_, stream, _| {
        let endless = "HTTP/1.1 200 OK\r\n\r\n";
        stream.write_all(endless.as_bytes()).is_ok() && (0..).all(|_| stream.write_all(&[b'x'; 4096]).is_ok())
    });
    let whos = "[who.limited]\nuser = [\"root\"]\nlimits = { bytes = \"64KiB/d\" }\n";
    let daemon = Daemon::start_in(place, &format!("{POLICY}{whos}"));
    let mut client = Client::connect(&daemon.socket());
    client.ask("GET", "/stream/endless");
    assert!(client.rest().len() > 64 << 10);
    daemon.wait_for("its end", |record| record["t"] == "outcome" && record["result"] == "who-bytes");
    daemon.stop();
}
