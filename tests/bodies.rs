//! Bodies that a route judges: what the service behind receives is byte for byte what was judged, whatever way it was
//! sent; what is refused is on record with its place, and never reaches it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

use support::client::Client;
use support::daemon::{self, Daemon};
use support::upstream::{Upstream, guarded};

const POLICY: &str = r#"
[limits]
body_idle_time = "300ms"
[listen.api]
path = "@DIR@/run/api.sock"
mode = "0666"
[backend.up]
proxy = "unix:@DIR@/up.sock"
version_prefix = "/v{api:version}"
[who.root]
uid = [0]
[[route]]
id = "create"
match = ["POST /create", "POST /create/{name}"]
query = { name = { text = "name" } }
header = { X-Registry-Auth = "absent" }
to = "up"
allow = ["root"]
body = { max = "2MiB", json = { allow = ["/Image", "/Cmd/*"], others = "zero", values = { "/HostConfig/Memory" = { int = "0..1000" } } } }
audit = { record = { query = ["name"], headers = ["X-Reason"], body = ["/Image", "/HostConfig/Memory"], plain = ["/Image"] } }
help = "ask ops"
[[route]]
id = "exec"
match = ["POST /exec/{id}/start"]
to = "up"
allow = ["root"]
upgrade = ["tcp"]
body = { json = { values = { "/Tty" = "bool" } } }
[[route]]
id = "put"
match = ["PUT /put"]
to = "up"
allow = ["root"]
body = { content_type = ["application/x-tar"] }
"#;

fn started() -> (Daemon, Upstream) {
    guarded(POLICY)
}

/// A request with a Content-Length, and what more it says.
fn post(target: &str, more: &str, body: &[u8]) -> Vec<u8> {
    let mut request =
        format!("POST {target} HTTP/1.1\r\nHost: h\r\n{more}Content-Length: {}\r\n\r\n", body.len())
            .into_bytes();
    request.extend_from_slice(body);
    request
}

const JSON: &str = "Content-Type: application/json\r\n";

/// The same body in chunks of `size`.
fn chunked(target: &str, body: &[u8], size: usize) -> Vec<u8> {
    let mut request =
        format!("POST {target} HTTP/1.1\r\nHost: h\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for chunk in body.chunks(size) {
        request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        request.extend_from_slice(chunk);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    request
}

fn status(daemon: &Daemon, request: &[u8]) -> u16 {
    Client::connect(&daemon.socket()).send(request).answer_to("POST").status()
}

#[test]
fn body_that_is_taken_arrives_byte_for_byte_however_it_was_sent() {
    need_root!();
    let (daemon, upstream) = started();
    let spaces = " ".repeat(1 << 20);
    let bodies = [
        r#"{"Image":"alpine","Cmd":["true"]}"#.to_owned(),
        "\r\n\t { \"Image\" : \"\\u0061\\/b\" , \"Tty\": false,\"HostConfig\":{\"Binds\":null,\"Memory\":7}}\n ".to_owned(),
        format!("{{\"Image\":\"x\"{spaces},\"Cmd\":[]}}"),
        format!("{{\"Image\":\"{}\"}}", "ü".repeat(300_000)),
    ];
    for body in &bodies {
        let body = body.as_bytes();
        for request in [
            post("/create", JSON, body),
            post("/v1.41/create?name=a", "Content-Type: application/json; charset=utf-8\r\n", body),
            chunked("/create", body, 7_001),
            chunked("/create", body, body.len()),
        ] {
            assert_eq!(status(&daemon, &request), 200);
            let received = upstream.take();
            assert_eq!(received.len(), 1);
            assert!(received[0].body == body, "{} bytes", body.len());
            assert_eq!(received[0].header("content-length"), Some(body.len().to_string().as_str()));
            assert_eq!(received[0].header("transfer-encoding"), None);
        }
    }
    // One byte after the other, and two requests on one connection.
    let mut client = Client::connect(&daemon.socket());
    for byte in post("/create", JSON, bodies[0].as_bytes()) {
        client.send([byte]);
    }
    assert_eq!(client.answer_to("POST").status(), 200);
    client.send(chunked("/create", bodies[0].as_bytes(), 1));
    assert_eq!(client.answer_to("POST").status(), 200);
    assert!(upstream.take().iter().all(|request| request.body == bodies[0].as_bytes()));
    daemon.stop();
}

#[test]
fn body_that_is_refused_reaches_nobody_and_is_recorded_with_its_place() {
    need_root!();
    let (daemon, upstream) = started();
    let zip = "Content-Encoding: gzip\r\n";
    let padded = format!("{{{}\"Privileged\":true}}", " ".repeat(1 << 20));
    let huge = format!("{{\"Image\":\"{}\"}}", "x".repeat(2 << 20));
    let deep = format!("{{\"Image\":{}1{}}}", "[".repeat(100), "]".repeat(100));
    let bodies: Vec<(Vec<u8>, u16, &str, Option<&str>)> = vec![
        (
            post("/create", JSON, br#"{"HostConfig":{"Privileged":true}}"#),
            403,
            "body-member",
            Some("body /HostConfig/Privileged"),
        ),
        (
            post("/v1.47/create", JSON, br#"{"hostconfig":{"privileged":true}}"#),
            403,
            "body-member",
            Some("body /hostconfig"),
        ),
        (
            post("/create", JSON, br#"{"HostConfig":{"Memory":5},"hostConfig":{"Privileged":true}}"#),
            400,
            "json-twice",
            Some("body byte 27"),
        ),
        (
            post(
                "/create",
                JSON,
                "{\"Image\":\"x\",\"\u{130}mage\":1,\"co\u{17f}t\":2,\"cost\":3}".as_bytes(),
            ),
            400,
            "json-twice",
            Some("body byte 34"),
        ),
        (chunked("/create", padded.as_bytes(), 4_096), 403, "body-member", Some("body /Privileged")),
        (
            post("/create", JSON, br#"{"HostConfig":{"Memory":1001}}"#),
            403,
            "body-value",
            Some("body /HostConfig/Memory"),
        ),
        (
            post("/create", JSON, br#"{"HostConfig":{"Memory":1e2}}"#),
            403,
            "body-value",
            Some("body /HostConfig/Memory"),
        ),
        (
            post("/create", JSON, br#"{"Image":"x"} {"Privileged":true}"#),
            400,
            "json-syntax",
            Some("body byte 14"),
        ),
        (post("/create", JSON, b"\xef\xbb\xbf{}"), 400, "json-syntax", Some("body byte 0")),
        (post("/create", JSON, b"{\"Image\":\"\xff\"}"), 400, "json-syntax", Some("body byte 10")),
        (post("/create", JSON, deep.as_bytes()), 400, "json-bounds", Some("body byte 72")),
        (post("/create", JSON, b""), 400, "body-missing", Some("body")),
        (b"POST /create HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), 400, "body-missing", Some("body")),
        (chunked("/create", b"", 1), 400, "body-missing", Some("body")),
        (post("/create", "", b"{}"), 415, "content-type", Some("header Content-Type")),
        (
            post("/create", "Content-Type: text/plain\r\n", b"{}"),
            415,
            "content-type",
            Some("header Content-Type"),
        ),
        (
            post("/create", &format!("{JSON}{zip}"), b"{}"),
            415,
            "content-encoding",
            Some("header Content-Encoding"),
        ),
        (
            post("/create", &format!("{JSON}X-Registry-Auth: e30=\r\n"), b"{}"),
            403,
            "header-rule",
            Some("header X-Registry-Auth"),
        ),
        (post("/create?name=-x", JSON, b"{}"), 403, "query-value", Some("query name")),
        (post("/create", JSON, huge.as_bytes()), 413, "body-too-large", None),
        (chunked("/create", huge.as_bytes(), 65_536), 413, "body-too-large", None),
        (
            b"PUT /put HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\nx"
                .to_vec(),
            415,
            "content-type",
            Some("header Content-Type"),
        ),
    ];
    for (request, expected, code, part) in &bodies {
        let shown = String::from_utf8_lossy(&request[..request.len().min(200)]).into_owned();
        let mut client = Client::connect(&daemon.socket());
        let answer = client.send(request).answer_to("POST");
        assert_eq!(answer.status(), *expected, "{code}: {shown}");
        let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let id = told["id"].as_str().unwrap().to_owned();
        let record = daemon
            .wait_for("the decision", |record| record["t"] == "decision" && record["id"] == id.as_str());
        assert_eq!((record["refusal"].as_str(), record["part"].as_str()), (Some(*code), *part), "{shown}");
        // By name only where it is no judgement of the policy's.
        let public = if *expected == 403 { "not-allowed" } else { code };
        assert_eq!(told["code"].as_str(), Some(public));
        if record["route"] == "create" && told.get("help").is_none() {
            assert_eq!(told["help"].as_str(), Some("ask ops"), "{shown}");
        }
    }
    assert_eq!(upstream.asked(), Vec::<String>::new());
    daemon.stop();
}

#[test]
fn body_is_continued_where_it_will_be_read_and_not_before() {
    need_root!();
    let (daemon, upstream) = started();
    let head = |more: &str| {
        format!(
            "POST /create HTTP/1.1\r\nHost: h\r\n{more}Expect: 100-continue\r\nContent-Length: 13\r\n\r\n"
        )
    };
    let mut client = Client::connect(&daemon.socket());
    client.send(head(JSON));
    assert_eq!(client.exactly(25), b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.send(r#"{"Image":"x"}"#).answer_to("POST").status(), 200);
    assert_eq!(upstream.take()[0].body, br#"{"Image":"x"}"#);
    // What the head alone refuses is answered at once.
    let mut client = Client::connect(&daemon.socket());
    assert_eq!(client.send(head("")).answer_to("POST").status(), 415);
    // A body that does not come in time, and one whose sender leaves.
    let mut client = Client::connect(&daemon.socket());
    let whole = post("/create", JSON, br#"{"Image":"x"}"#);
    let cut = &whole[..whole.len() - 3];
    client.send(cut);
    assert_eq!(client.answer_to("POST").status(), 408);
    let mut client = Client::connect(&daemon.socket());
    client.send(cut).finish();
    assert_eq!(client.answer_to("POST").status(), 400);
    assert_eq!(upstream.asked(), Vec::<String>::new());
    let all = daemon.stop();
    let mut refused: Vec<_> =
        all.iter().filter(|r| r["decision"] == "deny").map(|r| r["refusal"].as_str().unwrap()).collect();
    refused.sort_unstable();
    assert_eq!(refused, ["body-timeout", "content-type", "truncated"]);
}

#[test]
fn body_that_an_older_policy_judged_is_not_let_through_by_a_newer_one() {
    need_root!();
    let patient = POLICY.replace("300ms", "60s");
    let (mut daemon, upstream) = guarded(&patient);
    let head = format!(
        "POST /create HTTP/1.1\r\nHost: h\r\n{JSON}Expect: 100-continue\r\nContent-Length: 13\r\n\r\n"
    );
    // Asked to go on, a caller was judged as far as its head goes, by the policy of then.
    let waiting = |client: &mut Client| {
        client.send(&head);
        assert_eq!(client.exactly(25), b"HTTP/1.1 100 Continue\r\n\r\n");
    };
    let mut client = Client::connect(&daemon.socket());
    waiting(&mut client);
    client.send(r#"{"Image"#);
    let tighter = patient.replace(r#"allow = ["/Image", "/Cmd/*"]"#, r#"allow = ["/Cmd/*"]"#).replace(
        r#"body = ["/Image", "/HostConfig/Memory"], plain = ["/Image"]"#,
        r#"body = ["/HostConfig/Memory"]"#,
    );
    assert!(daemon.reload(&tighter));
    let answer = client.send(r#"":"x"}"#).answer_to("POST");
    assert_eq!(answer.status(), 403, "{}", answer.text());
    assert_eq!(upstream.asked(), Vec::<String>::new());
    // What comes later is judged by what is in force.
    let mut client = Client::connect(&daemon.socket());
    waiting(&mut client);
    assert_eq!(client.send(r#"{"Image":"x"}"#).answer_to("POST").status(), 403);
    let all = daemon.stop();
    assert!(all.iter().any(|record| record["t"] == "outcome" && record["result"] == "refused-by-reload"));
    assert!(all.iter().any(|record| record["refusal"] == "body-member"));
}

#[test]
fn recorded_fields_are_hashed_unless_they_are_plain() {
    need_root!();
    let (daemon, _upstream) = started();
    let body = br#"{"Image":"al\"pine","HostConfig":{"Memory":7}}"#;
    let request = post("/create?name=web", &format!("{JSON}X-Reason: because\r\nX-Other: secret\r\n"), body);
    assert_eq!(status(&daemon, &request), 200);
    let plain = post("/create", JSON, br#"{"Image":"b"}"#);
    assert_eq!(status(&daemon, &plain), 200);
    let denied = post("/create?name=web", JSON, br#"{"Privileged":true}"#);
    assert_eq!(status(&daemon, &denied), 403);
    let key = std::fs::read(daemon.dir().join("audit/hash.key"));
    let all = daemon.stop();
    let decisions: Vec<_> = all.iter().filter(|record| record["t"] == "decision").collect();
    let hash = |value: &str| match &key {
        Ok(key) => {
            let key: &[u8; 32] = key.as_slice().try_into().unwrap();
            peergate::audit::secret::Secrets::new(key).hash(value.as_bytes())
        }
        Err(why) => panic!("no hash.key: {why}"),
    };
    let fields: Vec<_> =
        decisions[0]["fields"].as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect();
    assert_eq!(
        fields,
        [
            format!("header X-Reason={}", hash("because")),
            "body /Image=al\"pine".to_owned(),
            format!("body /HostConfig/Memory={}", hash("7")),
        ]
    );
    assert_eq!(decisions[0]["target"], format!("/create?name={}", hash("web")));
    assert_eq!(decisions[2]["target"], decisions[0]["target"], "a denial does not show it either");
    assert_eq!(decisions[1]["fields"][2], "body /HostConfig/Memory absent");
    assert!(!all.iter().any(|record| record.to_string().contains("secret")));
}

#[test]
fn upgrade_with_a_judged_body_carries_exactly_that_body() {
    need_root!();
    let place = daemon::place();
    let upstream = Upstream::behaving(&place.path().join("up.sock"), |_, stream, _| {
        use std::io::Write;
        stream
            .write_all(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nhello")
            .unwrap();
        false
    });
    let daemon = Daemon::start_in(place, POLICY);
    let upgrade = format!("{JSON}Connection: Upgrade\r\nUpgrade: tcp\r\n");
    let mut client = Client::connect(&daemon.socket());
    client.send(post("/exec/a/start", &upgrade, br#"{"Tty":true}"#));
    assert_eq!(client.answer_to("POST").status(), 101);
    assert_eq!(client.exactly(5), b"hello");
    assert_eq!(upstream.take()[0].body, br#"{"Tty":true}"#);
    assert_eq!(status(&daemon, &post("/exec/a/start", &upgrade, br#"{"Tty":true,"Privileged":true}"#)), 403);
    assert_eq!(upstream.asked(), Vec::<String>::new());
    daemon.stop();
}
