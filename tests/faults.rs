//! A service behind the daemon that is missing, refuses, hangs, dies or talks nonsense: 502 or 504, a recorded
//! outcome, and the next exchange on the same connection as if nothing had been. And a clock that says anything.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

#[path = "faults/clock.rs"]
mod clock;

use std::io::Write;
use std::os::unix::net::UnixListener;

use serde_json::Value;
use support::client::Client;
use support::daemon::{self, Daemon};
use support::records;
use support::upstream::Upstream;

const POLICY: &str = include_str!("policies/up.toml");

/// The outcome of the one request to this target.
fn outcome(all: &[Value], target: &str) -> Value {
    records::outcome(all, records::decision(all, 0, "GET", target)).clone()
}

#[test]
fn backend_missing_then_there() {
    need_root!();
    let place = daemon::place();
    let up = place.path().join("up.sock");
    let daemon = Daemon::start_in(place, POLICY);
    let mut client = Client::connect(&daemon.socket());
    assert_eq!(client.ask("GET", "/allowed/missing").answer().status(), 502);
    let _upstream = Upstream::start(&up);
    assert_eq!(client.ask("GET", "/allowed/there").answer().status(), 200, "the same connection goes on");
    let all = daemon.stop();
    assert_eq!(outcome(&all, "/allowed/missing")["result"], "backend-unavailable");
    assert_eq!(outcome(&all, "/allowed/missing")["status"], 502);
    assert_eq!(outcome(&all, "/allowed/there")["result"], "completed");
}

#[test]
fn backend_refusing_is_unavailable() {
    need_root!();
    let place = daemon::place();
    // A socket that nobody listens on any more.
    drop(UnixListener::bind(place.path().join("up.sock")).unwrap());
    let daemon = Daemon::start_in(place, POLICY);
    assert_eq!(Client::connect(&daemon.socket()).ask("GET", "/allowed/refused").answer().status(), 502);
    assert_eq!(outcome(&daemon.stop(), "/allowed/refused")["result"], "backend-unavailable");
}

#[test]
fn backend_that_is_no_socket_is_unavailable() {
    need_root!();
    let place = daemon::place();
    std::fs::write(place.path().join("up.sock"), "a file").unwrap();
    let daemon = Daemon::start_in(place, POLICY);
    assert_eq!(Client::connect(&daemon.socket()).ask("GET", "/allowed/file").answer().status(), 502);
    daemon.stop();
}

#[test]
fn backend_with_a_full_backlog_times_out_and_others_go_on() {
    need_root!();
    let place = daemon::place();
    let up = place.path().join("up.sock");
    // A backlog of nothing, already full: connect() would block for ever.
    let full = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Unix,
        nix::sys::socket::SockType::Stream,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        None,
    )
    .unwrap();
    use std::os::fd::AsRawFd;
    nix::sys::socket::bind(full.as_raw_fd(), &nix::sys::socket::UnixAddr::new(&up).unwrap()).unwrap();
    nix::sys::socket::listen(&full, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
    let _filler = std::os::unix::net::UnixStream::connect(&up).unwrap();
    let daemon = Daemon::start_in(place, &format!("[limits]\nconnect_time = \"300ms\"\n{POLICY}"));
    let mut waiting = Client::connect(&daemon.socket());
    waiting.ask("GET", "/allowed/full");
    // The warden serves others meanwhile.
    assert_eq!(Client::connect(&daemon.socket()).ask("GET", "/other").answer().status(), 403);
    let status = waiting.answer().status();
    assert!(status == 502 || status == 504, "{status}");
    daemon.stop();
}

#[test]
fn backend_silent_times_out() {
    need_root!();
    let place = daemon::place();
    let _upstream = Upstream::behaving(&place.path().join("up.sock"), |request, stream, reader| {
        if request.target().ends_with("/hangs") {
            // Until the daemon gives up.
            let _ = std::io::Read::read(reader, &mut [0]);
            return false;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").is_ok()
    });
    let daemon = Daemon::start_in(place, &format!("[limits]\nresponse_time = \"300ms\"\n{POLICY}"));
    let mut client = Client::connect(&daemon.socket());
    assert_eq!(client.ask("GET", "/allowed/hangs").answer().status(), 504);
    assert_eq!(client.ask("GET", "/allowed/fine").answer().status(), 200);
    assert_eq!(outcome(&daemon.stop(), "/allowed/hangs")["result"], "backend-timeout");
}

/// Answers that are none, and the result that the record must show.
const NONSENSE: &[(&str, &str, &str)] = &[
    ("nothing", "", "backend-died"),
    ("half-a-head", "HTTP/1.1 200 OK\r\nContent-Le", "backend-died"),
    ("garbage", "\u{1}\u{2}\u{3} not http at all\r\n\r\n", "backend-garbage"),
    ("ssh", "SSH-2.0-OpenSSH_9.2\r\n", "backend-garbage"),
    (
        "two-lengths",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
        "backend-garbage",
    ),
    ("list-length", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", "backend-garbage"),
    ("signed-length", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", "backend-garbage"),
    (
        "two-framings",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "backend-garbage",
    ),
    (
        "other-coding",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "backend-garbage",
    ),
    ("bare-lf", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "backend-garbage"),
    ("folded", "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 0\r\n\r\n", "backend-garbage"),
    ("status-999999", "HTTP/1.1 999999 X\r\nContent-Length: 0\r\n\r\n", "backend-garbage"),
    (
        "uninvited-101",
        "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
        "backend-garbage",
    ),
];

#[test]
fn backend_nonsense_is_502_and_confuses_nothing_after_it() {
    need_root!();
    let place = daemon::place();
    let _upstream = Upstream::behaving(&place.path().join("up.sock"), |request, stream, _| {
        let name = request.target().rsplit('/').next().unwrap();
        if let Some((_, bytes, _)) = NONSENSE.iter().find(|(wanted, ..)| *wanted == name) {
            let _ = stream.write_all(bytes.as_bytes());
            return false;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine").is_ok()
    });
    let daemon = Daemon::start_in(place, POLICY);
    let mut client = Client::connect(&daemon.socket());
    let mut wrong = Vec::new();
    for (name, ..) in NONSENSE {
        let answer = client.ask("GET", &format!("/allowed/{name}")).answer();
        if answer.status() != 502 {
            wrong.push(format!("{name}: status {}", answer.status()));
        }
        let next = client.ask("GET", "/allowed/next").answer_or_end();
        if next.as_ref().map(|next| next.text()).as_deref() != Some("fine") {
            wrong.push(format!("{name}: the next answer was {next:?}"));
            client = Client::connect(&daemon.socket());
        }
    }
    let all = daemon.stop();
    for (name, _, result) in NONSENSE {
        let outcome = outcome(&all, &format!("/allowed/{name}"));
        if outcome["result"] != *result {
            wrong.push(format!("{name}: recorded as {}", outcome["result"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn backend_dying_in_its_answer_cuts_it_and_says_so() {
    need_root!();
    let place = daemon::place();
    let _upstream = Upstream::behaving(&place.path().join("up.sock"), |request, stream, _| {
        let head = match request.target() {
            "/allowed/length" => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
            "/allowed/chunk" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf",
            "/allowed/bad-chunk" => {
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n"
            }
            _ => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        };
        let _ = stream.write_all(head.as_bytes());
        false
    });
    let daemon = Daemon::start_in(place, POLICY);
    for target in ["/allowed/length", "/allowed/chunk", "/allowed/bad-chunk", "/allowed/no-last-chunk"] {
        let mut client = Client::connect(&daemon.socket());
        let said = String::from_utf8_lossy(&client.ask("GET", target).rest()).into_owned();
        assert!(said.starts_with("HTTP/1.1 200 "), "{target}: {said}");
        assert!(!said.ends_with("\r\n0\r\n\r\n"), "{target}: a cut answer must not look whole: {said:?}");
    }
    let all = daemon.stop();
    for (target, result) in [
        ("/allowed/length", "backend-died"),
        ("/allowed/chunk", "backend-died"),
        ("/allowed/bad-chunk", "backend-garbage"),
        ("/allowed/no-last-chunk", "backend-died"),
    ] {
        assert_eq!(outcome(&all, target)["result"], result, "{target}");
    }
}

#[test]
fn backend_answering_too_early_or_too_much_confuses_nothing() {
    need_root!();
    let place = daemon::place();
    let _upstream = Upstream::behaving(&place.path().join("up.sock"), |_, stream, _| {
        // A second answer that nobody asked for must never become the next request's.
        stream
            .write_all(
                b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfineHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
            )
            .is_ok()
    });
    let daemon = Daemon::start_in(place, POLICY);
    let mut client = Client::connect(&daemon.socket());
    for n in 0..5 {
        let answer = client.ask("GET", &format!("/allowed/{n}")).answer();
        assert!(answer.text() != "poison", "{n}");
    }
    daemon.stop();
}

#[test]
fn backend_owned_by_another_is_refused() {
    need_root!();
    let place = daemon::place();
    let upstream = Upstream::start(&place.path().join("up.sock"));
    let policy = POLICY
        .replace("proxy = \"unix:@DIR@/up.sock\"", "proxy = \"unix:@DIR@/up.sock\"\nowner = \"daemon\"");
    let daemon = Daemon::start_in(place, &policy);
    assert_eq!(Client::connect(&daemon.socket()).ask("GET", "/allowed/x").answer().status(), 502);
    assert!(upstream.asked().is_empty(), "nothing was said to a stranger");
    assert_eq!(outcome(&daemon.stop(), "/allowed/x")["result"], "backend-owner");
}

#[test]
fn caller_leaving_in_an_answer_is_recorded_and_ends_the_backend_connection() {
    need_root!();
    let place = daemon::place();
    let (ended, backend_ended) = std::sync::mpsc::channel();
    let ended = std::sync::Mutex::new(ended);
    let _upstream = Upstream::behaving(&place.path().join("up.sock"), move |_, stream, reader| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ntick\r\n");
        // The end (or a reset) is what is waited for.
        let _ = std::io::Read::read(reader, &mut [0]);
        ended.lock().unwrap().send(()).unwrap();
        false
    });
    let daemon = Daemon::start_in(place, POLICY);
    let mut client = Client::connect(&daemon.socket());
    client.ask("GET", "/stream/events");
    client.exactly(20);
    drop(client);
    backend_ended.recv_timeout(support::PATIENCE).expect("the daemon lets the service go, too");
    daemon.wait_for("the caller's leaving", |record| {
        record["t"] == "outcome" && record["result"] == "caller-gone"
    });
    daemon.stop();
}
