//! Settings that change what the daemon does beside serving: where diagnostics go, how much identity is read, a
//! backend on the loopback, what a backend is told, what a route lets through, a service manager's watchdog.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;

use support::client::{self, Client};
use support::daemon::{self, API, Daemon, write_policy};
use support::upstream::Upstream;

/// All of the daemon's own API.
const ALL: &str =
    "[[route]]\nid = \"api\"\nmatch = [\"GET /_peergate/{rest...}\"]\nto = \"api\"\nallow = [\"root\"]\n";

#[test]
fn backend_on_the_loopback_is_reached_and_a_closed_port_is_502() {
    need_root!();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let closed = {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        other.local_addr().unwrap().port()
    };
    let more = format!(
        "[backend.there]\nproxy = \"tcp:127.0.0.1:{port}\"\n[backend.gone]\nproxy = \"tcp:127.0.0.1:{closed}\"\n\
         [[route]]\nid = \"there\"\nmatch = [\"GET /there\"]\nto = \"there\"\nallow = [\"root\"]\n\
         [[route]]\nid = \"gone\"\nmatch = [\"GET /gone\"]\nto = \"gone\"\nallow = [\"root\"]\n"
    );
    let daemon = Daemon::start(&format!("{API}{ALL}{more}"));
    let upstream = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthere").unwrap();
        String::from_utf8(head).unwrap()
    });
    let answer = client::ask(&daemon.socket(), "GET", "/there");
    assert_eq!((answer.status(), answer.text().as_str()), (200, "there"));
    assert!(upstream.join().unwrap().starts_with("GET /there HTTP/1.1\r\n"));
    assert_eq!(client::ask(&daemon.socket(), "GET", "/gone").status(), 502);
    let all = daemon.stop();
    let grants: Vec<_> = all.iter().filter(|r| r["t"] == "grant").map(|r| r["backend"].clone()).collect();
    assert_eq!(grants, ["there", "gone"]);
    assert!(all.iter().any(|r| r["t"] == "outcome" && r["result"] == "backend-unavailable"));
}

#[test]
fn diagnostics_of_all_roles_go_to_a_rolling_file_as_json() {
    need_root!();
    let place = daemon::place();
    let policy = format!(
        "{API}{ALL}[diagnostics]\ndirectory = \"@DIR@/lines\"\nformat = \"json\"\nlevel = \"debug\"\n"
    );
    let daemon = Daemon::start_in(place, &policy);
    assert_eq!(client::ask(&daemon.socket(), "GET", "/_peergate/health").status(), 200);
    // Its last lines are written before the daemon is over.
    let (place, all) = daemon.stop_keeping();
    assert!(all.iter().any(|record| record["t"] == "close"));
    let files = fs::read_dir(place.path().join("lines")).unwrap();
    let text: String = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    assert!(text.contains("\"warden\""), "{text}");
    for line in text.lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}"));
        assert!(line["role"].is_string() && line["level"].is_string(), "{line}");
    }
}

#[test]
fn identity_in_full_names_program_and_start() {
    need_root!();
    let place = daemon::place();
    let head = "version = 1\n[audit]\ndirectory = \"@DIR@/audit\"\nrecord = { identity = \"full\" }\n\
                [daemon]\ncontrol = \"@DIR@/run/c\"\n";
    let file = place.path().join("policy.toml");
    fs::write(&file, format!("{head}{API}{ALL}").replace("@DIR@", place.path().to_str().unwrap())).unwrap();
    let daemon = Daemon::spawn(place, &file, |_| {}).unwrap_or_else(|refused| panic!("{}", refused.said));
    assert_eq!(client::ask(&daemon.socket(), "GET", "/_peergate/whoami").status(), 200);
    let all = daemon.stop();
    let conn = all.iter().find(|r| r["t"] == "conn").unwrap();
    let own = std::env::current_exe().unwrap().canonicalize().unwrap();
    assert_eq!(conn["exe"].as_str(), own.to_str());
    assert!(conn["start"].as_u64().is_some_and(|ticks| ticks > 0), "{conn}");
    assert_eq!(conn["pid"].as_u64(), Some(u64::from(std::process::id())));
}

/// Two routes to one service, each by a backend of its own.
fn two_ways(first: &str, route: &str) -> (Daemon, Upstream) {
    let place = daemon::place();
    let upstream = Upstream::start(&place.path().join("up.sock"));
    let policy = format!(
        "{API}{ALL}[backend.first]\nproxy = \"unix:@DIR@/up.sock\"\n{first}\n\
         [backend.second]\nproxy = \"unix:@DIR@/up.sock\"\n\
         [[route]]\nid = \"first\"\nmatch = [\"GET /first/{{name}}\"]\nto = \"first\"\nallow = [\"root\"]\n{route}\n\
         [[route]]\nid = \"second\"\nmatch = [\"GET /second/{{name}}\"]\nto = \"second\"\nallow = [\"root\"]\n"
    );
    (Daemon::start_in(place, &policy), upstream)
}

#[test]
fn backend_is_told_who_calls_only_where_it_asks() {
    need_root!();
    let (daemon, upstream) = two_ways("identity_headers = true", "");
    let forged =
        "X-Peergate-Uid: 4711\r\nX-Peergate-Gid: 4711\r\nX-Peergate-Pid: 1\r\nX-Peergate-Connection: x";
    for target in ["/first/x", "/second/x"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: h\r\n{forged}\r\n\r\n");
        assert_eq!(Client::connect(&daemon.socket()).send(request).answer().status(), 200);
    }
    let received = upstream.received();
    let all = daemon.stop();
    let conn = all.iter().find(|record| record["t"] == "conn").unwrap();
    let own = std::process::id().to_string();
    for (name, value) in
        [("uid", "0"), ("gid", "0"), ("pid", own.as_str()), ("connection", conn["id"].as_str().unwrap())]
    {
        let name = format!("x-peergate-{name}");
        assert_eq!(received[0].all(&name), [value], "{name} as the kernel says it, and once");
        assert_eq!(received[1].header(&name), None, "{name} where the backend does not ask");
    }
}

#[test]
fn encoded_slash_passes_verbatim_where_a_route_opts_in_and_nowhere_else() {
    need_root!();
    let (daemon, upstream) = two_ways("", "encoded_slash = [\"name\"]");
    assert_eq!(client::ask(&daemon.socket(), "GET", "/first/a%2fb").status(), 200);
    assert_eq!(client::ask(&daemon.socket(), "GET", "/second/a%2fb").status(), 400);
    assert_eq!(client::ask(&daemon.socket(), "GET", "/first/a%2f..%2fb").status(), 400);
    assert_eq!(upstream.asked(), ["GET /first/a%2Fb"]);
    daemon.stop();
}

#[test]
fn service_manager_with_a_watchdog_hears_from_the_daemon() {
    need_root!();
    let place = daemon::place();
    let file = write_policy(place.path(), &format!("{API}{ALL}"));
    let watched = |command: &mut std::process::Command| {
        command.env("WATCHDOG_USEC", "200000");
    };
    let mut daemon =
        Daemon::spawn(place, &file, watched).unwrap_or_else(|refused| panic!("{}", refused.said));
    // The first one, and one that only its timer can have sent.
    daemon.wait_for_notice("WATCHDOG=1").unwrap();
    daemon.wait_for_notice("WATCHDOG=1").unwrap();
    daemon.stop();
}

#[test]
fn stream_and_tunnel_end_with_their_grant_and_what_comes_later_is_refused() {
    need_root!();
    let place = daemon::place();
    // Says that it begins, and no more.
    let _upstream = Upstream::behaving(&place.path().join("up.sock"), |request, stream, reader| {
        let head = match request.header("upgrade") {
            Some(_) => "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
            None => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        };
        stream.write_all(head.as_bytes()).is_ok() && reader.read(&mut [0]).is_ok_and(|length| length > 0)
    });
    // Whole seconds; near enough not to be waited for long, and far enough to begin in time.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let until = peergate::model::time::Timestamp::from_micros((now.as_secs() + 6) * 1_000_000);
    let policy = format!(
        "{API}{ALL}[backend.up]\nproxy = \"unix:@DIR@/up.sock\"\n\
         [[route]]\nid = \"glass\"\nmatch = [\"GET /glass\", \"POST /glass\"]\nto = \"up\"\nallow = [\"root\"]\n\
         stream = true\nupgrade = [\"tcp\"]\nuntil = {until}\nreason = \"the outage\"\n\
         [[route]]\nid = \"night\"\nmatch = [\"GET /never\"]\nto = \"up\"\nallow = [\"root\"]\n\
         until = 2001-01-01T00:00:00Z\n"
    );
    let mut daemon = Daemon::start_in(place, &policy);
    let mut stream = Client::connect(&daemon.socket());
    stream.ask("GET", "/glass");
    let mut tunnel = Client::connect(&daemon.socket());
    tunnel.send("POST /glass HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
    assert_eq!(tunnel.answer().status(), 101);
    assert_eq!(client::ask(&daemon.socket(), "GET", "/never").status(), 403);
    // Both are ended; nothing but the clock has changed.
    stream.rest();
    tunnel.rest();
    assert_eq!(client::ask(&daemon.socket(), "GET", "/glass").status(), 403);
    // Another policy brings nothing back either.
    assert!(daemon.reload(&format!("{policy}# again\n")));
    assert_eq!(client::ask(&daemon.socket(), "GET", "/glass").status(), 403);
    let all = daemon.stop();
    let ends: Vec<_> =
        all.iter().filter(|record| record["t"] == "outcome").map(|record| record["result"].clone()).collect();
    assert_eq!(ends, ["expired", "expired"]);
    let denied = |record: &&serde_json::Value| record["refusal"] == "expired" && record["by"].is_string();
    assert_eq!(all.iter().filter(denied).count(), 3);
}
