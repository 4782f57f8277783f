//! Real clients through the whole daemon to a service that writes down what it receives.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};
use support::daemon::{self, Daemon};
use support::people::{Person, person};
use support::records;
use support::upstream::{Upstream, guarded};

const POLICY: &str = include_str!("policies/up.toml");

fn started() -> (Daemon, Upstream) {
    guarded(POLICY)
}

fn curl(socket: &Path) -> Command {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "60", "--unix-socket"]).arg(socket);
    curl
}

#[test]
fn curl_two_urls_keep_one_connection() {
    need_root!();
    need_programs!("curl");
    let (daemon, upstream) = started();
    let output = support::run(curl(&daemon.socket()).args(["http://h/allowed/1", "http://h/allowed/2"]));
    assert_eq!(support::out(&output), "GET /allowed/1 0GET /allowed/2 0");
    assert_eq!(upstream.asked(), ["GET /allowed/1", "GET /allowed/2"]);
    assert_eq!(daemon.records_of("conn").len(), 1, "curl keeps its connection, and so do we");
    daemon.stop();
}

#[test]
fn curl_denied_and_malformed_reach_nothing() {
    need_root!();
    need_programs!("curl");
    let (daemon, upstream) = started();
    let socket = daemon.socket();
    assert_eq!(Person::root().curl(&socket, "/other", &[]).0, 403);
    assert_eq!(Person::root().curl(&socket, "/allowed/%2e%2e/other", &[]).0, 400);
    assert_eq!(Person::root().curl(&socket, "/allowed/../other", &[]).0, 400);
    let alice = person("pg-alice");
    assert_eq!(alice.curl(&socket, "/allowed/x", &[]).0, 200);
    assert_eq!(alice.curl(&socket, "/big/x", &[]).0, 403);
    assert_eq!(upstream.asked(), ["GET /allowed/x"]);
    let all = daemon.records();
    let denied = records::decision(&all, 0, "GET", "/other");
    assert_eq!((denied["decision"].as_str(), denied["status"].as_u64()), (Some("deny"), Some(403)));
    let allowed = records::decision(&all, alice.uid.as_raw(), "GET", "/allowed/x");
    assert_eq!((allowed["route"].as_str(), allowed["by"].as_str()), (Some("allowed"), Some("who.alice")));
    daemon.stop();
}

#[test]
fn curl_head_and_the_request_after_it() {
    need_root!();
    need_programs!("curl");
    let (daemon, upstream) = started();
    let output =
        support::run(curl(&daemon.socket()).args(["--head", "http://h/allowed/1", "http://h/allowed/2"]));
    let said = support::out(&output).to_lowercase();
    assert_eq!(said.matches("200 ok").count(), 2, "{said}");
    assert!(said.contains("content-length: 17"), "the length that GET would have had: {said}");
    assert_eq!(upstream.asked(), ["HEAD /allowed/1", "HEAD /allowed/2"]);
    assert_eq!(daemon.records_of("conn").len(), 1);
    daemon.stop();
}

/// `length` bytes that no compression or repetition explains, and their hash.
fn noise(length: usize) -> (Vec<u8>, String) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    let hash = hash(&bytes);
    (bytes, hash)
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn curl_uploads_arrive_whole_by_length_and_by_chunks() {
    need_root!();
    need_programs!("curl");
    let (daemon, upstream) = started();
    let (bytes, expected) = noise(20 << 20);
    let file = daemon.path("noise");
    std::fs::write(&file, &bytes).unwrap();
    // curl asks `Expect: 100-continue` before it sends that much.
    support::run(curl(&daemon.socket()).arg("--upload-file").arg(&file).arg("http://h/big/length"));
    let mut chunked = curl(&daemon.socket());
    chunked
        .args(["--header", "Transfer-Encoding: chunked", "--upload-file"])
        .arg(&file)
        .arg("http://h/big/chunks");
    support::run(&mut chunked);
    let received = upstream.take();
    assert_eq!(received.len(), 2);
    for request in &received {
        assert_eq!(hash(&request.body), expected, "{}", request.start);
    }
    assert_eq!(received[0].header("content-length"), Some(bytes.len().to_string().as_str()));
    assert_eq!(received[1].header("transfer-encoding"), Some("chunked"));
    let decision = records::decision(&daemon.records(), 0, "PUT", "/big/length").clone();
    let outcome =
        daemon.wait_for("the upload's outcome", |r| r["t"] == "outcome" && r["id"] == decision["id"]);
    assert_eq!(
        (outcome["in"].as_u64(), outcome["result"].as_str()),
        (Some(bytes.len() as u64), Some("completed"))
    );
    daemon.stop();
}

#[test]
fn curl_upload_beyond_the_limit_is_refused() {
    need_root!();
    need_programs!("curl");
    let (daemon, upstream) = started();
    let file = daemon.path("noise");
    std::fs::write(&file, noise((16 << 20) + 1).0).unwrap();
    for how in ["Expect: 100-continue", "Transfer-Encoding: chunked"] {
        let mut curl = curl(&daemon.socket());
        curl.args(["--output", "/dev/null", "--write-out", "%{http_code}", "--header", how, "--upload-file"]);
        // curl may call it an error that we stopped reading; the status is what counts.
        let output = curl.arg(&file).arg("http://h/allowed/much").output().unwrap();
        assert_eq!(support::out(&output), "413", "{how}: {}", support::said(&output));
    }
    assert!(upstream.asked().is_empty());
    daemon.stop();
}

#[test]
fn curl_download_arrives_whole() {
    need_root!();
    need_programs!("curl");
    let place = daemon::place();
    let (bytes, expected) = noise(24 << 20);
    let length = bytes.len();
    let _upstream = Upstream::behaving(&place.path().join("up.sock"), move |request, stream, _| {
        if request.target() == "/big/length" {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").unwrap();
            return stream.write_all(&bytes).is_ok();
        }
        if request.target() == "/big/chunks" {
            write!(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
            for chunk in bytes.chunks(70_001) {
                write!(stream, "{:x}\r\n", chunk.len()).unwrap();
                stream.write_all(chunk).unwrap();
                stream.write_all(b"\r\n").unwrap();
            }
            return stream.write_all(b"0\r\n\r\n").is_ok();
        }
        // To the end of the connection.
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").unwrap();
        stream.write_all(&bytes).unwrap();
        false
    });
    let daemon = Daemon::start_in(place, POLICY);
    for how in ["length", "chunks", "end"] {
        let output = support::run(curl(&daemon.socket()).arg(format!("http://h/big/{how}")));
        assert_eq!(hash(&output.stdout), expected, "{how}");
    }
    daemon.stop();
}

#[test]
fn python_http_client_works() {
    need_root!();
    need_programs!("python3");
    let (daemon, upstream) = started();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/http_client.py");
    let output = support::run(Command::new(support::python()).arg(script).arg(daemon.socket()));
    let expected = "200 GET /allowed/one 0\n200 POST /allowed/form 11\n200 PUT /allowed/chunks 300000\n\
                    200 HEAD\n403 forbidden\n200 GET /allowed/last 0\n";
    assert_eq!(support::out(&output), expected);
    let asked = upstream.asked();
    assert_eq!(asked.len(), 5, "{asked:?}");
    assert_eq!(daemon.records_of("conn").len(), 1, "one connection for all of it, through a refusal too");
    daemon.stop();
}

#[test]
fn node_http_works() {
    need_root!();
    need_programs!("node");
    let (daemon, upstream) = started();
    let mut node = Command::new("node")
        .args(["-", daemon.socket().to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let script = include_bytes!("clients/node_http.js");
    node.stdin.take().unwrap().write_all(script).unwrap();
    let output = node.wait_with_output().unwrap();
    assert_eq!(support::said(&output), "200 GET /allowed/node 0\n200 POST /allowed/node 70000\n403\n");
    assert_eq!(upstream.asked(), ["GET /allowed/node", "POST /allowed/node"]);
    daemon.stop();
}

#[test]
fn h2load_over_http1_gets_every_answer() {
    need_root!();
    need_programs!("h2load");
    let (daemon, upstream) = started();
    let uri = format!("unix:{}", daemon.socket().display());
    let mut h2load = Command::new("h2load");
    h2load.args(["--h1", "-n", "4000", "-c", "32", "--base-uri", &uri, "http://localhost/allowed/load"]);
    let said = support::said(&support::run(&mut h2load));
    assert!(said.contains("4000 succeeded, 0 failed, 0 errored"), "{said}");
    assert_eq!(upstream.received().len(), 4000);
    assert_eq!(daemon.records_of("decision").len(), 4000);
    assert_eq!(daemon.records_of("conn").len(), 32);
    daemon.stop();
}
