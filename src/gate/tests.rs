//! A lane with the test in the warden's place: a policy is literal text, a caller a socket, the record a file.

mod fixture;

use std::io::{Read, Write};
use std::os::fd::AsFd;

use crate::sys::testing::fork;
use fixture::{Lane, answer, status};

const POLICY: &str = r#"
version = 1
[listen.main]
path = "/run/peergate-test/main.sock"
[backend.api]
builtin = "api"
[backend.docker]
proxy = "unix:/run/docker.sock"
[who.me]
user = ["root"]
[[route]]
id = "whoami"
match = ["GET /_peergate/whoami"]
to = "api"
allow = ["me"]
[[route]]
id = "list"
match = ["GET /list", "HEAD /list", "POST /list"]
to = "docker"
allow = ["me"]
body = { max = "10B" }
[[route]]
id = "attach"
match = ["POST /attach"]
to = "docker"
allow = ["me"]
upgrade = ["tcp"]
[[route]]
id = "events"
match = ["GET /events"]
to = "docker"
allow = ["me"]
stream = true
help = "ask ops"
"#;

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: d\r\n\r\n")
}

#[test]
fn builtin_allowed_is_one_record_with_its_status() {
    let lane = Lane::start(POLICY);
    let mut caller = lane.connect();
    caller.send(&get("/_peergate/whoami"));
    let (head, body) = answer(&mut caller.socket);
    assert_eq!(status(&head), 200);
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).expect("JSON")["uid"], 0);
    let records = lane.records();
    assert_eq!(fixture::brief(&records), ["open", "decision allow whoami 200"]);
    assert_eq!(records[1]["by"], "who.me");
}

#[test]
fn denied_is_answered_with_its_id_and_recorded_with_its_reason() {
    let lane = Lane::start(POLICY);
    let mut caller = lane.connect();
    caller.send(&get("/nowhere"));
    let (head, body) = answer(&mut caller.socket);
    let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!((status(&head), body["code"].as_str()), (403, Some("not-allowed")));
    let records = lane.records();
    assert_eq!(fixture::brief(&records), ["open", "decision deny no-route 403"]);
    assert_eq!(records[1]["id"], body["id"]);
}

#[test]
fn malformed_is_answered_recorded_and_ends_the_connection() {
    let lane = Lane::start(POLICY);
    let mut caller = lane.connect();
    caller.send("GET /list HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\nGET /list HTTP/1.1\r\nHost: d\r\n\r\n");
    let mut all = String::new();
    caller.socket.read_to_string(&mut all).expect("an answer and an end");
    assert!(all.starts_with("HTTP/1.1 400 "), "{all}");
    assert_eq!(all.matches("HTTP/1.1").count(), 1, "{all}");
    let records = lane.records();
    assert_eq!(fixture::brief(&records), ["open", "decision deny host-twice 400"]);
    assert_eq!(records[1]["target"], "/list");
}

#[test]
fn pipelined_requests_are_answered_in_order_one_at_a_time() {
    let lane = Lane::start(POLICY);
    let mut caller = lane.connect();
    caller.send(&[get("/nowhere"), get("/_peergate/whoami"), get("/_peergate/health")].concat());
    let statuses: Vec<u16> = (0..3).map(|_| status(&answer(&mut caller.socket).0)).collect();
    assert_eq!(statuses, [403, 200, 403]);
    assert_eq!(
        fixture::brief(&lane.records()),
        ["open", "decision deny no-route 403", "decision allow whoami 200", "decision deny no-route 403"]
    );
}

#[test]
fn requests_of_two_processes_that_stand_together_are_both_answered() {
    let lane = Lane::start(POLICY);
    let mut caller = lane.connect();
    caller.send(&get("/list"));
    let mut backend = lane.grant();
    // The lane reads none of these before its backend has answered, and then not both at once: a read ends where
    // the sender changes, and the second one makes no news of its own.
    caller.send(&get("/nowhere"));
    let child = fork(&[caller.socket.as_fd()], || {
        (&caller.socket).write_all(get("/_peergate/whoami").as_bytes()).expect("the gate reads");
    });
    assert!(child.succeeded());
    backend.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("the gate reads");
    let statuses: Vec<u16> = (0..3).map(|_| status(&answer(&mut caller.socket).0)).collect();
    assert_eq!(statuses, [200, 403, 200]);
}

#[test]
fn answer_larger_than_the_sockets_buffer_comes_whole() {
    let lane = Lane::start(POLICY);
    let mut caller = lane.connect();
    caller.send(&get("/events"));
    let mut backend = lane.grant();
    let body: Vec<u8> = (0..4 << 20).map(|at: u32| at.to_le_bytes()[1]).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            backend
                .write_all(head.as_bytes())
                .and_then(|()| backend.write_all(&body))
                .expect("the gate reads");
        });
        let (head, came) = answer(&mut caller.socket);
        assert_eq!(status(&head), 200);
        assert!(came == body);
    });
}

#[test]
fn proxied_leaves_canonical_after_its_record_and_comes_back_whole() {
    let lane = Lane::start(POLICY);
    let mut caller = lane.connect();
    caller.send("GET /l%69st HTTP/1.1\r\nHost: d\r\nX-Peergate-Uid: 0\r\nConnection: keep-alive\r\n\r\n");
    let mut backend = lane.grant();
    assert_eq!(fixture::brief(&lane.records()), ["open", "decision allow list"], "recorded before it leaves");
    assert_eq!(fixture::head(&mut backend), "GET /list HTTP/1.1\r\nHost: d\r\n\r\n");
    backend.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").expect("the gate reads");
    let (head, body) = answer(&mut caller.socket);
    assert_eq!((status(&head), body.as_slice()), (200, b"hi".as_slice()));
    assert_eq!(
        fixture::brief(&lane.records_until("outcome")),
        ["open", "decision allow list", "outcome completed 200 0 2"]
    );
    caller.send(&get("/list"));
    assert_eq!(fixture::head(&mut backend), "GET /list HTTP/1.1\r\nHost: d\r\n\r\n", "the backend is kept");
}

#[test]
fn answer_of_no_bytes_is_complete_and_the_connection_goes_on() {
    let lane = Lane::start(POLICY);
    let mut caller = lane.connect();
    caller.send(&get("/list"));
    let mut backend = lane.grant();
    for said in ["200 OK\r\nContent-Length: 0", "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0", "204 Gone"] {
        fixture::head(&mut backend);
        backend.write_all(format!("HTTP/1.1 {said}\r\n\r\n").as_bytes()).expect("the gate reads");
        assert!(fixture::head(&mut caller.socket).starts_with("HTTP/1.1 20"));
        if said.ends_with("\r\n0") {
            let mut end = [0; 5];
            caller.socket.read_exact(&mut end).expect("the last chunk");
        }
        caller.send(&get("/list"));
    }
    fixture::head(&mut backend);
    let outcomes = fixture::brief(&lane.records());
    let completed = outcomes.iter().filter(|said| said.starts_with("outcome completed")).count();
    assert_eq!(completed, 3, "{outcomes:?}");
}

#[test]
fn proxied_body_streams_under_its_own_framing_and_bound() {
    let lane = Lane::start(POLICY);
    let mut caller = lane.connect();
    caller.send("POST /list HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    let mut backend = lane.grant();
    assert!(fixture::head(&mut backend).contains("Transfer-Encoding: chunked\r\n"));
    let mut body = [0; 13];
    backend.read_exact(&mut body).expect("the body");
    assert_eq!(&body, b"3\r\nabc\r\n0\r\n\r\n");
    backend.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("the gate reads");
    assert_eq!(status(&answer(&mut caller.socket).0), 204);
    caller.send(
        "POST /list HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n12345678901\r\n0\r\n\r\n",
    );
    assert_eq!(status(&answer(&mut caller.socket).0), 413);
    assert!(
        fixture::brief(&lane.records_until("body-too-large"))
            .contains(&"outcome body-too-large 413 0 0".into())
    );
    let mut caller = lane.connect();
    caller.send("POST /list HTTP/1.1\r\nHost: d\r\nContent-Length: 11\r\n\r\n");
    assert_eq!(status(&answer(&mut caller.socket).0), 413, "known before the body comes");
}

#[test]
fn backend_garbage_death_and_refusal_are_answered_by_name() {
    let lane = Lane::start(POLICY);
    for (said, expected, name) in [
        ("SSH-2.0\r\n\r\n", 502, "backend-garbage"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            502,
            "backend-garbage",
        ),
        ("HTTP/1.1 200", 502, "backend-died"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n",
            502,
            "backend-garbage",
        ),
    ] {
        let mut caller = lane.connect();
        caller.send(&get("/list"));
        let mut backend = lane.grant();
        fixture::head(&mut backend);
        backend.write_all(said.as_bytes()).expect("the gate reads");
        drop(backend);
        assert_eq!(status(&answer(&mut caller.socket).0), expected, "{said}");
        lane.records_until(&format!("\"{name}\""));
    }
    let mut caller = lane.connect();
    caller.send(&get("/list"));
    lane.refuse(crate::model::refusal::Refusal::BackendUnavailable);
    assert_eq!(status(&answer(&mut caller.socket).0), 502);
    lane.records_until("backend-unavailable");
}

#[test]
fn upgrade_sends_its_body_whole_and_tunnels_only_after_101() {
    let lane = Lane::start(POLICY);
    let mut caller = lane.connect();
    let head = "POST /attach HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n";
    caller.send(&format!("{head}{{}}early"));
    let mut backend = lane.grant();
    assert!(fixture::head(&mut backend).contains("Upgrade: tcp\r\n"));
    let mut body = [0; 2];
    backend.read_exact(&mut body).expect("the body");
    backend
        .write_all(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nhello")
        .expect("the gate reads");
    let answered = fixture::head(&mut caller.socket);
    assert!(answered.starts_with("HTTP/1.1 101 "), "{answered}");
    let mut five = [0; 5];
    caller.socket.read_exact(&mut five).expect("the tunnel");
    assert_eq!(&five, b"hello");
    backend.read_exact(&mut five).expect("the tunnel");
    assert_eq!(&five, b"early");
    drop(backend);
    assert_eq!(caller.socket.read(&mut five).expect("an end"), 0);
    let records = lane.records_until("outcome");
    assert_eq!(fixture::brief(&records)[2], "outcome tunnel-closed 101 7 5");
}

#[test]
fn record_that_cannot_be_written_refuses_and_reaches_nobody() {
    let lane = Lane::start(POLICY);
    lane.segment_full();
    // Its first record already fails.
    lane.asks_for_a_segment();
    let mut caller = lane.connect();
    caller.send(&get("/list"));
    assert_eq!(status(&answer(&mut caller.socket).0), 503);
    lane.fresh_segment();
    lane.records_until("open");
    caller.send(&get("/list"));
    let mut backend = lane.grant();
    fixture::head(&mut backend);
    assert_eq!(fixture::brief(&lane.records()), ["open", "decision allow list"]);
}

#[test]
fn unrecordable_by_the_wardens_word_refuses_until_it_takes_it_back() {
    let lane = Lane::start(POLICY);
    let mut caller = lane.connect();
    // The word and the request come by different sockets, so the lane may read either first.
    for (word, expected) in [(false, 503), (true, 200)] {
        lane.recordable(word);
        loop {
            caller.send(&get("/_peergate/whoami"));
            if status(&answer(&mut caller.socket).0) == expected {
                break;
            }
        }
    }
}

#[test]
fn reload_that_takes_the_grant_away_ends_the_running_stream() {
    let lane = Lane::start(POLICY);
    let mut caller = lane.connect();
    caller.send(&get("/events"));
    let mut backend = lane.grant();
    fixture::head(&mut backend);
    backend
        .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
        .expect("the gate reads");
    let mut first = [0; 12];
    caller.socket.read_exact(&mut first).expect("the stream began");
    lane.reload(&POLICY.replace("GET /events", "GET /other"));
    let mut rest = Vec::new();
    caller.socket.read_to_end(&mut rest).expect("it ended");
    lane.records_until("refused-by-reload");
}

#[test]
fn caller_that_left_ends_its_exchange() {
    let lane = Lane::start(POLICY);
    let mut caller = lane.connect();
    caller.send(&get("/events"));
    let mut backend = lane.grant();
    fixture::head(&mut backend);
    lane.ended(&caller);
    lane.records_until("caller-gone");
    assert_eq!(backend.read(&mut [0]).expect("the backend is let go"), 0);
}

#[test]
fn drain_finishes_what_runs_and_ends() {
    let lane = Lane::start(POLICY);
    let mut idle = lane.connect();
    let mut caller = lane.connect();
    caller.send(&get("/list"));
    let mut backend = lane.grant();
    fixture::head(&mut backend);
    lane.drain(60_000);
    assert_eq!(idle.socket.read(&mut [0]).expect("an idle one ends"), 0);
    backend.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").expect("the gate reads");
    let (head, _) = answer(&mut caller.socket);
    assert_eq!(status(&head), 200);
    assert!(head.to_lowercase().contains("connection: close"), "{head}");
    lane.drained();
    assert_eq!(fixture::brief(&lane.records())[2], "outcome completed 200 0 2");
}

#[test]
fn drain_answers_who_was_just_let_in() {
    let lane = Lane::start(POLICY);
    let mut early = lane.connect();
    early.send(&get("/nowhere"));
    assert_eq!(status(&answer(&mut early.socket).0), 403);
    let mut late = lane.connect();
    lane.drain(60_000);
    assert_eq!(early.socket.read(&mut [0]).expect("one that has asked ends"), 0);
    late.send(&get("/nowhere"));
    let (head, _) = answer(&mut late.socket);
    assert_eq!(status(&head), 403, "it is answered once");
    assert!(head.to_lowercase().contains("connection: close"), "{head}");
    lane.drained();
}

#[test]
fn drain_past_its_limit_cuts_and_says_so() {
    let lane = Lane::start(POLICY);
    let mut caller = lane.connect();
    caller.send(&get("/events"));
    let mut backend = lane.grant();
    fixture::head(&mut backend);
    lane.drain(1);
    lane.drained();
    assert_eq!(fixture::brief(&lane.records())[2], "outcome stopped 0 0");
}

#[test]
fn denials_beyond_the_budget_are_counted_together() {
    let lane = Lane::start(&format!("{POLICY}\n[limits]\ndenials = \"2/s\"\n"));
    let mut caller = lane.connect();
    for _ in 0..10 {
        caller.send(&get("/nowhere"));
        assert_eq!(status(&answer(&mut caller.socket).0), 403);
    }
    let records = lane.records_until("repeat");
    let counted: u64 = records.iter().filter_map(|r| r["count"].as_u64()).sum();
    let alone = records.iter().filter(|r| r["t"] == "decision").count() as u64;
    assert!((2..10).contains(&alone) && alone + counted <= 10, "{alone} and {counted}");
}

#[test]
fn half_head_times_out_by_name() {
    let lane = Lane::start(&format!("{POLICY}\n[limits]\nhead_time = \"10ms\"\n"));
    let mut caller = lane.connect();
    caller.send("GET /list HT");
    assert_eq!(status(&answer(&mut caller.socket).0), 408);
    lane.records_until("head-timeout");
}

#[test]
fn backend_that_hangs_times_out_by_name() {
    let lane = Lane::start(&format!("{POLICY}\n[limits]\nresponse_time = \"10ms\"\n"));
    let mut caller = lane.connect();
    caller.send(&get("/list"));
    let mut backend = lane.grant();
    fixture::head(&mut backend);
    assert_eq!(status(&answer(&mut caller.socket).0), 504);
    lane.records_until("backend-timeout");
}

#[test]
fn reload_while_a_judged_body_is_held_back_takes_the_permission_back() {
    let lane = Lane::start(POLICY);
    let mut caller = lane.connect();
    caller.send(
        "POST /attach HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\
         Expect: 100-continue\r\n\r\n",
    );
    assert_eq!(status(&fixture::head(&mut caller.socket)), 100, "judged, and the body is waited for");
    let without = POLICY.replace("POST /attach", "POST /other");
    lane.reload(&without);
    lane.adopted();
    caller.send("{}");
    assert_eq!(status(&answer(&mut caller.socket).0), 403);
    assert_eq!(
        fixture::brief(&lane.records_until("outcome")),
        ["open", "decision allow attach", "outcome refused-by-reload 403 0 0"]
    );
    // The next thing that the lane says is not a question for a backend.
    lane.drain(0);
    lane.drained();
}

#[test]
fn callers_that_leave_while_their_record_is_written_have_outcomes() {
    let lane = Lane::start(POLICY);
    // While it reads a policy more callers come, and leave, than its runtime serves in one turn: some leave
    // between a note and its write.
    lane.reload(POLICY);
    let callers: Vec<_> = (0..100).map(|_| lane.connect_saying(&get("/list"))).collect();
    callers.iter().for_each(|caller| lane.ended(caller));
    lane.drain(60_000);
    let records = lane.records_of_all();
    let ids = |kind: &str| -> std::collections::BTreeSet<String> {
        records.iter().filter(|record| record["t"] == kind).map(|record| record["id"].to_string()).collect()
    };
    assert_eq!(ids("decision"), ids("outcome"));
}
