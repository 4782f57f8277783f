//! What a proxied exchange keeps and what it loses: order, half-close, streams, tunnels, headers, connections.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

use std::io::{BufRead, Read, Write};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::SndBuf;
use support::client::{self, Client};
use support::daemon::{self, Daemon};
use support::people::{Person, person};
use support::records;
use support::upstream::Upstream;

const POLICY: &str = include_str!("policies/up.toml");

fn started() -> (Daemon, Upstream) {
    let place = daemon::place();
    let upstream = Upstream::start(&place.path().join("up.sock"));
    (Daemon::start_in(place, POLICY), upstream)
}

/// A daemon before a service that does as it is told.
fn before(
    behaviour: impl Fn(
        &support::http::Message,
        &mut std::os::unix::net::UnixStream,
        &mut std::io::BufReader<std::os::unix::net::UnixStream>,
    ) -> bool
    + Send
    + Sync
    + 'static,
) -> (Daemon, Upstream) {
    let place = daemon::place();
    let upstream = Upstream::behaving(&place.path().join("up.sock"), behaviour);
    (Daemon::start_in(place, POLICY), upstream)
}

#[test]
fn pipelined_requests_are_answered_in_order_each_with_its_record() {
    need_root!();
    let (daemon, upstream) = started();
    let mut client = Client::connect(&daemon.socket());
    let request = |n: usize| {
        let (target, body) = if n % 10 == 3 { ("forbidden", "") } else { ("allowed", "pipelined") };
        format!("POST /{target}/{n} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    client.send((0..50).map(request).collect::<String>());
    for n in 0..50 {
        let answer = client.answer();
        if n % 10 == 3 {
            assert_eq!(answer.status(), 403, "{n}");
        } else {
            assert_eq!((answer.status(), answer.text()), (200, format!("POST /allowed/{n} 9")));
        }
    }
    let expected: Vec<_> = (0..50).filter(|n| n % 10 != 3).map(|n| format!("POST /allowed/{n}")).collect();
    assert_eq!(upstream.asked(), expected);
    let all = daemon.stop();
    let decided: Vec<_> =
        all.iter().filter(|r| r["t"] == "decision").map(|r| r["id"].as_str().unwrap()).collect();
    assert_eq!(decided.len(), 50);
    let numbers: Vec<usize> =
        decided.iter().map(|id| id.rsplit('-').next().unwrap().parse().unwrap()).collect();
    assert_eq!(numbers, (1..=50).collect::<Vec<_>>(), "requests are numbered in their order");
}

#[test]
fn half_closed_client_still_gets_its_answer() {
    need_root!();
    let (daemon, _upstream) = started();
    let mut client = Client::connect(&daemon.socket());
    client.ask("GET", "/allowed/half").finish();
    assert_eq!(client.answer().text(), "GET /allowed/half 0");
    assert!(client.rest().is_empty(), "then the connection ends");
    let all = daemon.stop();
    let decision = records::decision(&all, 0, "GET", "/allowed/half");
    assert_eq!(records::outcome(&all, decision)["result"], "completed");
}

#[test]
fn http_1_0_with_host_is_answered_and_closed() {
    need_root!();
    let (daemon, upstream) = started();
    let mut client = Client::connect(&daemon.socket());
    client.send("GET /allowed/old HTTP/1.0\r\nHost: h\r\n\r\n");
    let said = String::from_utf8(client.rest()).unwrap();
    assert!(
        said.starts_with("HTTP/1.") && said.contains(" 200 ") && said.ends_with("GET /allowed/old 0"),
        "{said}"
    );
    assert_eq!(upstream.asked(), ["GET /allowed/old"]);
    daemon.stop();
}

#[test]
fn answer_streams_before_it_is_whole() {
    need_root!();
    let (seen, may_go_on) = mpsc::channel::<()>();
    let may_go_on = Mutex::new(may_go_on);
    let (daemon, _upstream) = before(move |_, stream, _| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").unwrap();
        // The second piece exists only after the client has read the first.
        may_go_on.lock().unwrap().recv_timeout(support::PATIENCE).unwrap();
        stream.write_all(b"6\r\nsecond\r\n0\r\n\r\n").is_ok()
    });
    let mut client = Client::connect(&daemon.socket());
    client.ask("GET", "/stream/x");
    let mut got = Vec::new();
    while !String::from_utf8_lossy(&got).contains("first") {
        got.extend(client.exactly(1));
    }
    seen.send(()).unwrap();
    while !got.ends_with(b"0\r\n\r\n") {
        got.extend(client.exactly(1));
    }
    assert!(String::from_utf8_lossy(&got).contains("second"));
    daemon.stop();
}

#[test]
fn upload_streams_before_it_is_whole() {
    need_root!();
    let (arrived, first_arrived) = mpsc::channel::<String>();
    let arrived = Mutex::new(arrived);
    let place = daemon::place();
    // Written by hand: the recording service would wait for the whole body.
    let listener = std::os::unix::net::UnixListener::bind(place.path().join("up.sock")).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        support::http::head(&mut reader).unwrap().unwrap();
        let mut piece = [0; 5];
        reader.read_exact(&mut piece).unwrap();
        arrived.lock().unwrap().send(String::from_utf8_lossy(&piece).into_owned()).unwrap();
        reader.read_exact(&mut [0; 6]).unwrap();
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        let _ = reader.read(&mut [0]);
    });
    let daemon = Daemon::start_in(place, POLICY);
    let mut client = Client::connect(&daemon.socket());
    client.send("PUT /big/x HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\nfirst");
    assert_eq!(first_arrived.recv_timeout(support::PATIENCE).unwrap(), "first");
    client.send("second");
    assert_eq!(client.answer().status(), 204);
    daemon.stop();
}

#[test]
fn unread_answer_is_not_buffered_whole() {
    need_root!();
    const WHOLE: usize = 64 << 20;
    let (stuck_at, written) = mpsc::channel::<usize>();
    let stuck_at = Mutex::new(stuck_at);
    let (daemon, _upstream) = before(move |_, stream, _| {
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {WHOLE}\r\n\r\n").unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut written = 0;
        while written < WHOLE {
            match stream.write(&[b'x'; 65536]) {
                Ok(count) => written += count,
                Err(_) => break,
            }
        }
        stuck_at.lock().unwrap().send(written).unwrap();
        false
    });
    let mut client = Client::connect(&daemon.socket());
    client.ask("GET", "/big/unread");
    let written = written.recv_timeout(support::PATIENCE).unwrap();
    // Two sockets full, and little more.
    let sockets = 2 * getsockopt(&client.stream, SndBuf).unwrap();
    assert!(
        written < sockets + (128 << 10),
        "{written} bytes went into somebody's memory while the client read nothing"
    );
    drop(client);
    daemon.stop();
}

#[test]
fn outcome_is_recorded_while_the_caller_stays() {
    need_root!();
    let (daemon, _upstream) = before(|request, stream, _| {
        let answer: &[u8] = match request.target() {
            "/allowed/empty" => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "/allowed/none" => b"HTTP/1.1 204 No Content\r\n\r\n",
            "/allowed/unchanged" => b"HTTP/1.1 304 Not Modified\r\n\r\n",
            "/allowed/head" => b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            "/allowed/no-chunks" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            _ => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        };
        stream.write_all(answer).is_ok()
    });
    let mut client = Client::connect(&daemon.socket());
    for target in ["empty", "none", "unchanged", "head", "no-chunks", "short"] {
        let method = if target == "head" { "HEAD" } else { "GET" };
        client.ask(method, &format!("/allowed/{target}")).answer_to(method);
        let decision = records::decision(&daemon.records(), 0, method, &format!("/allowed/{target}")).clone();
        let outcome = daemon
            .wait_for(&format!("the outcome of {target}, nothing else being asked"), |record| {
                record["t"] == "outcome" && record["id"] == decision["id"]
            });
        assert_eq!(outcome["result"], "completed", "{target}");
    }
    daemon.stop();
}

#[test]
fn interim_answers_pass_and_the_final_one_follows() {
    need_root!();
    let (daemon, _upstream) = before(|_, stream, _| {
        stream
            .write_all(
                b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
                  HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone",
            )
            .is_ok()
    });
    let mut client = Client::connect(&daemon.socket());
    // Two in one go: the second one's stand behind the first one's answer.
    client.ask("GET", "/allowed/hints").ask("GET", "/allowed/hints");
    for _ in 0..2 {
        let hints = client.answer();
        assert_eq!((hints.status(), hints.header("link")), (103, Some("</x>")));
        assert_eq!(client.answer().status(), 102);
        let answer = client.answer();
        assert_eq!((answer.status(), answer.text()), (200, "done".to_owned()));
    }
    // Who speaks HTTP/1.0 knows of none.
    let mut old = Client::connect(&daemon.socket());
    old.send("GET /allowed/hints HTTP/1.0\r\nHost: h\r\n\r\n");
    assert_eq!(old.answer().status(), 200);
    daemon.stop();
}

#[test]
fn expect_continue_is_answered_before_the_body_and_refused_before_it() {
    need_root!();
    let (daemon, upstream) = started();
    let mut client = Client::connect(&daemon.socket());
    let head = |target: &str| {
        format!("POST {target} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    };
    client.send(head("/allowed/wait"));
    assert_eq!(client.answer().status(), 100);
    client.send("body");
    assert_eq!(client.answer().text(), "POST /allowed/wait 4");
    let mut client = Client::connect(&daemon.socket());
    client.send(head("/forbidden/wait"));
    assert_eq!(client.answer().status(), 403, "a refusal needs no body");
    assert_eq!(upstream.asked(), ["POST /allowed/wait"]);
    daemon.stop();
}

#[test]
fn hop_by_hop_and_identity_headers_go_no_further() {
    need_root!();
    let (daemon, upstream) = started();
    let answer = Client::connect(&daemon.socket())
        .send(
            "GET /allowed/h HTTP/1.1\r\nHost: h\r\nConnection: x-hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\
             Proxy-Authorization: x\r\nProxy-Connection: x\r\nX-Peergate-Uid: 0\r\nX-PEERGATE-USER: root\r\n\
             X-Forwarded-User: root\r\nX-Kept: yes\r\n\r\n",
        )
        .answer();
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let received = &upstream.received()[0];
    for gone in [
        "x-hop",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "x-peergate-uid",
        "x-peergate-user",
    ] {
        assert_eq!(received.header(gone), None, "{gone}");
    }
    assert_eq!(received.header("x-kept"), Some("yes"));
    assert_eq!(received.all("host").len(), 1);
    // A Connection line can't take away what is not hop-by-hop, nor what we add.
    let status = Client::connect(&daemon.socket())
        .send("GET /allowed/h HTTP/1.1\r\nHost: h\r\nX_Peergate_Uid: 0\r\n\r\n")
        .answer()
        .status();
    assert_eq!(status, 400, "an identity name spelt with `_` is refused by name");
    daemon.stop();
}

#[test]
fn hop_by_hop_headers_of_the_answer_go_no_further() {
    need_root!();
    let (daemon, _upstream) = before(|_, stream, _| {
        stream
            .write_all(
                b"HTTP/1.1 200 OK\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Authenticate: x\r\n\
                  X-Kept: yes\r\nContent-Length: 2\r\n\r\nok",
            )
            .is_ok()
    });
    let answer = client::ask(&daemon.socket(), "GET", "/allowed/h");
    for gone in ["x-hop", "keep-alive", "proxy-authenticate"] {
        assert_eq!(answer.header(gone), None, "{gone}");
    }
    assert_eq!((answer.header("x-kept"), answer.text().as_str()), (Some("yes"), "ok"));
    daemon.stop();
}

#[test]
fn backend_connections_are_never_shared_between_callers() {
    need_root!();
    need_programs!("curl");
    let asked_by: Arc<Mutex<Vec<usize>>> = Arc::default();
    let (daemon, upstream) = started();
    let (root, alice) = (Person::root(), person("pg-alice"));
    for who in [&root, &alice, &root, &alice] {
        let before = upstream.connections();
        assert_eq!(who.curl(&daemon.socket(), "/allowed/x", &[]).0, 200);
        asked_by.lock().unwrap().push(upstream.connections() - before);
    }
    let opened = asked_by.lock().unwrap().clone();
    assert!(
        opened[0] >= 1 && opened[1] >= 1,
        "each caller's first request has a connection of its own: {opened:?}"
    );
    let all = daemon.stop();
    for uid in [0, alice.uid.as_raw()] {
        assert!(
            all.iter().any(|r| r["t"] == "grant" && r["uid"] == uid),
            "the warden recorded its grant to {uid}"
        );
    }
}

fn tunnel() -> (Daemon, Upstream) {
    before(|request, stream, reader| {
        if request.target().ends_with("/refuses") {
            let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
            return true;
        }
        if request.header("upgrade").is_none() {
            return stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain").is_ok();
        }
        stream
            .write_all(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nhello\n")
            .unwrap();
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|length| length > 0) {
            let echo = line.to_uppercase();
            if stream.write_all(echo.as_bytes()).is_err() || line == "bye\n" {
                break;
            }
            line.clear();
        }
        false
    })
}

const UPGRADE: &str = "HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n";

#[test]
fn tunnel_carries_bytes_both_ways_and_its_end_is_recorded() {
    need_root!();
    let (daemon, upstream) = tunnel();
    let mut client = Client::connect(&daemon.socket());
    // docker exec posts a body with its upgrade.
    client.send(format!("POST /tunnel/exec {UPGRADE}Content-Length: 2\r\n\r\n{{}}"));
    let answer = client.answer();
    assert_eq!((answer.status(), answer.header("upgrade")), (101, Some("tcp")));
    assert_eq!(client.exactly(6), b"hello\n");
    client.send("one\n");
    assert_eq!(client.exactly(4), b"ONE\n");
    client.send("GET /forbidden HTTP/1.1\n");
    assert_eq!(client.exactly(24), b"GET /FORBIDDEN HTTP/1.1\n", "bytes in a tunnel are no requests");
    client.send("bye\n");
    assert_eq!(client.rest(), b"BYE\n");
    assert_eq!(upstream.received()[0].text(), "{}");
    let all = daemon.stop();
    let decision = records::decision(&all, 0, "POST", "/tunnel/exec");
    let outcome = records::outcome(&all, decision);
    assert_eq!((outcome["status"].as_u64(), outcome["result"].as_str()), (Some(101), Some("tunnel-closed")));
    assert_eq!(outcome["out"], 6 + 4 + 24 + 4);
    assert_eq!(outcome["in"], 2 + 4 + 24 + 4, "the body that came with the upgrade counts");
}

#[test]
fn tunnel_whose_caller_reads_no_more_is_not_called_the_backends_death() {
    need_root!();
    let (daemon, _upstream) = before(|_, stream, reader| {
        stream.write_all(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n").unwrap();
        // Only once the caller has closed its side: the kernel does not wake whoever waits for room behind a closed end.
        reader.read_line(&mut String::new()).unwrap();
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
        false
    });
    let mut client = Client::connect(&daemon.socket());
    client.send(format!("POST /tunnel/flood {UPGRADE}\r\n"));
    assert_eq!(client.answer().status(), 101);
    // Only this direction: the warden sees no end, and the gate's next write fails.
    client.stream.shutdown(std::net::Shutdown::Read).unwrap();
    client.send("flood\n");
    let outcome = daemon.wait_for("the tunnel's end", |record| record["t"] == "outcome");
    assert_eq!(outcome["result"], "caller-gone");
    daemon.stop();
}

#[test]
fn tunnel_half_closed_by_the_client_still_delivers() {
    need_root!();
    let (daemon, _upstream) = before(|_, stream, reader| {
        stream.write_all(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n").unwrap();
        // `docker run -i` closes its side at the end of stdin and reads on.
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        stream.write_all(format!("got {}", all.len()).as_bytes()).unwrap();
        false
    });
    let mut client = Client::connect(&daemon.socket());
    client.send(format!("POST /tunnel/half {UPGRADE}\r\n"));
    assert_eq!(client.answer().status(), 101);
    client.send(vec![b'x'; 100_000]).finish();
    assert_eq!(client.rest(), b"got 100000");
    daemon.stop();
}

#[test]
fn tunnel_exists_only_after_the_backends_101() {
    need_root!();
    let (daemon, upstream) = tunnel();
    let mut client = Client::connect(&daemon.socket());
    // What follows a refused upgrade is another request, and judged as one.
    client.send(format!("GET /tunnel/refuses {UPGRADE}\r\nGET /forbidden/probe HTTP/1.1\r\nHost: h\r\n\r\n"));
    let refused = client.answer();
    assert_eq!((refused.status(), refused.text().as_str()), (403, "no"));
    if let Some(next) = client.answer_or_end() {
        assert_eq!(next.status(), 403);
    }
    assert_eq!(upstream.asked(), ["GET /tunnel/refuses"]);
    daemon.stop();
}

#[test]
fn upgrade_that_the_route_does_not_name_is_refused() {
    need_root!();
    let (daemon, upstream) = tunnel();
    for request in [
        format!("GET /allowed/x {UPGRADE}\r\n"),
        "GET /tunnel/x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n".to_owned(),
        "GET /tunnel/x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"
            .to_owned(),
    ] {
        assert_eq!(Client::connect(&daemon.socket()).send(&request).answer().status(), 403, "{request}");
    }
    // A body of unknown length can't be read whole before the tunnel.
    let chunked = format!("POST /tunnel/x {UPGRADE}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n");
    assert_eq!(Client::connect(&daemon.socket()).send(&chunked).answer().status(), 400);
    assert!(upstream.asked().is_empty(), "{:?}", upstream.asked());
    let all = daemon.stop();
    let denied = records::decision(&all, 0, "GET", "/tunnel/x");
    assert_eq!(denied["refusal"].as_str().or(denied["why"].as_str()), Some("upgrade-refused"));
}

#[test]
fn upgrade_to_a_very_long_protocol_is_judged_and_recorded() {
    need_root!();
    let place = daemon::place();
    let _upstream = Upstream::start(&place.path().join("up.sock"));
    let daemon = Daemon::start_in(place, &format!("{POLICY}\n[limits]\nhead_bytes = \"128KiB\"\n"));
    let protocol = "a".repeat(65_000);
    let request =
        format!("GET /tunnel/x HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n\r\n");
    assert_eq!(Client::connect(&daemon.socket()).send(&request).answer().status(), 403);
    let all = daemon.stop();
    assert_eq!(records::decision(&all, 0, "GET", "/tunnel/x")["refusal"], "upgrade-refused");
}

#[test]
fn empty_host_of_an_upgrade_is_served() {
    need_root!();
    let (daemon, _upstream) = tunnel();
    // Debian's docker client sends an empty Host with its upgrades (RFC 9110 §7.2 allows an empty one).
    let request = "POST /tunnel/x HTTP/1.1\r\nHost: \r\nUser-Agent: Docker-Client/20.10.24\r\nContent-Length: 0\r\n\
                   Connection: Upgrade\r\nContent-Type: text/plain\r\nUpgrade: tcp\r\n\r\n";
    assert_eq!(Client::connect(&daemon.socket()).send(request).answer().status(), 101);
    daemon.stop();
}
