//! What becomes of closed segments: compressed, and removed when the policy keeps no more, each removal on record, and
//! the rest still verifies.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]
#![cfg(feature = "cli")]

#[path = "support/support.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::client::Client;
use support::daemon::{self, Daemon, Place};
use support::records;
use support::upstream::Upstream;

const POLICY: &str = include_str!("policies/up.toml");

/// A daemon with small segments and these further settings of `[audit]`.
fn started(place: Place, settings: &str) -> (Daemon, Upstream) {
    let upstream = Upstream::start(&place.path().join("up.sock"));
    let file = policy(place.path(), settings);
    let daemon = Daemon::spawn(place, &file, |_| {}).unwrap_or_else(|refused| panic!("{}", refused.said));
    (daemon, upstream)
}

fn policy(dir: &Path, settings: &str) -> PathBuf {
    let head = format!(
        "version = 1\n[audit]\ndirectory = \"@DIR@/audit\"\nsegment = \"64KiB\"\n{settings}\n\
         [daemon]\ncontrol = \"@DIR@/run/c\"\nlanes = 1\n"
    );
    let file = dir.join("policy.toml");
    fs::write(&file, format!("{head}{POLICY}").replace("@DIR@", dir.to_str().unwrap())).unwrap();
    file
}

/// Asks until something is so.
fn ask_until(daemon: &Daemon, target: &str, so: impl Fn() -> bool) {
    let mut client = Client::connect(&daemon.socket());
    let mut asked = 0;
    while !so() {
        // Small segments are filled faster than a busy disk has the next one.
        let status = client.ask("GET", target).answer().status();
        assert!([200, 503].contains(&status), "{status}");
        asked += 1;
        assert!(asked < 200_000, "it never is");
    }
}

fn files(audit: &Path, ending: &str) -> Vec<String> {
    let all = fs::read_dir(audit).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    all.filter(|name| name.ends_with(ending)).collect()
}

/// What `peergate audit verify` says, with its exit code.
fn verify(audit: &Path) -> (Option<i32>, String) {
    let key = audit.join("genesis.pub");
    let output = Command::new(env!("CARGO_BIN_EXE_peergate"))
        .args(["audit", "verify"])
        .arg(audit)
        .arg("--key")
        .arg(key)
        .output()
        .unwrap();
    (output.status.code(), support::said(&output))
}

#[test]
fn closed_segments_are_compressed_and_nothing_of_them_is_lost() {
    need_root!();
    let (daemon, upstream) = started(daemon::place(), "");
    let audit = daemon.path("audit");
    ask_until(&daemon, "/allowed/a", || files(&audit, ".ndjson.zst").len() >= 2);
    let (place, all) = daemon.stop_keeping();
    let audit = place.path().join("audit");
    assert_eq!(all.iter().filter(|record| record["t"] == "decision").count(), upstream.asked().len());
    let packed = files(&audit, ".ndjson.zst");
    assert!(packed.len() >= 2);
    for name in &packed {
        assert!(!audit.join(name.trim_end_matches(".zst")).exists(), "{name} is there twice");
        let (compressed, plain) = (audit.join(name), audit.join(name.trim_end_matches(".zst")));
        let bytes = records::bytes_of(&plain).unwrap().len() as u64;
        assert!(fs::metadata(compressed).unwrap().len() * 3 < bytes);
    }
    assert!(files(&audit, ".part").is_empty());
    let (code, said) = verify(&audit);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn oldest_segments_go_beyond_the_count_on_record_and_the_rest_verifies() {
    need_root!();
    let (daemon, _upstream) = started(daemon::place(), "keep = { count = 4 }\ncompress = false");
    let audit = daemon.path("audit");
    let pruned = || -> Vec<Value> {
        records::read(&audit).into_iter().filter(|record| record["t"] == "prune").collect()
    };
    ask_until(&daemon, "/allowed/a", || pruned().len() >= 3);
    let (place, all) = daemon.stop_keeping_whatever_was_pruned();
    let audit = place.path().join("audit");
    let gone: Vec<&Value> = all.iter().filter(|record| record["t"] == "prune").collect();
    assert!(gone.len() >= 3);
    for prune in &gone {
        assert_eq!(prune["why"], "count");
        let closed =
            all.iter().find(|record| record["t"] == "close" && record["segment"] == prune["segment"]);
        assert_eq!(closed.map(|close| &close["bytes"]), Some(&prune["bytes"]));
    }
    // The last of them may be on record and still there.
    let there = |prune: &&&Value| audit.join(prune["segment"].as_str().unwrap()).exists();
    assert!(gone.iter().filter(there).count() < gone.len());
    let (code, said) = verify(&audit);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn what_is_not_shipped_stays() {
    need_root!();
    let place = daemon::place();
    let list = place.path().join("shipped");
    fs::write(&list, "").unwrap();
    let settings = "keep = { count = 1 }\nshipped = \"@DIR@/shipped\"\ncompress = false";
    let (daemon, _upstream) = started(place, settings);
    let audit = daemon.path("audit");
    let all = || records::read(&audit);
    let closed = |all: &[Value]| -> Vec<String> {
        let gates =
            all.iter().filter(|r| r["t"] == "close" && r["segment"].as_str().unwrap().contains("gate"));
        gates.map(|record| record["segment"].as_str().unwrap().to_owned()).collect()
    };
    ask_until(&daemon, "/allowed/a", || closed(&all()).len() >= 3);
    let second = closed(&all())[1].clone();
    fs::write(&list, format!("{second}.zst\n")).unwrap();
    ask_until(&daemon, "/allowed/a", || all().iter().any(|record| record["t"] == "prune"));
    let (_place, all) = daemon.stop_keeping_whatever_was_pruned();
    let gone: Vec<&Value> = all.iter().filter(|record| record["t"] == "prune").collect();
    assert_eq!(gone.len(), 1);
    assert_eq!(gone[0]["segment"], second.as_str());
}

#[test]
fn what_is_not_shipped_is_not_compressed() {
    need_root!();
    let place = daemon::place();
    let list = place.path().join("shipped");
    fs::write(&list, "").unwrap();
    let (daemon, _upstream) = started(place, "shipped = \"@DIR@/shipped\"");
    let audit = daemon.path("audit");
    let closed = || -> Vec<String> {
        let all = records::read(&audit);
        let of_gate = |record: &&Value| {
            record["t"] == "close" && record["segment"].as_str().is_some_and(|name| name.contains("gate"))
        };
        all.iter().filter(of_gate).map(|record| record["segment"].as_str().unwrap().to_owned()).collect()
    };
    ask_until(&daemon, "/allowed/a", || closed().len() >= 3);
    let second = closed()[1].clone();
    fs::write(&list, format!("{second}\n")).unwrap();
    ask_until(&daemon, "/allowed/a", || !files(&audit, ".zst").is_empty());
    // A segment later than that one has come and was looked at too.
    let many = closed().len();
    ask_until(&daemon, "/allowed/a", || closed().len() > many + 1);
    let (place, _all) = daemon.stop_keeping();
    let audit = place.path().join("audit");
    assert_eq!(files(&audit, ".zst"), [format!("{second}.zst")]);
    let (code, said) = verify(&audit);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn start_over_ten_thousand_old_segments_opens_none_of_them() {
    need_root!();
    need_programs!("strace");
    const OLD: usize = 10_000;
    let (daemon, upstream) = started(daemon::place(), "");
    assert_eq!(Client::connect(&daemon.socket()).ask("GET", "/allowed/a").answer().status(), 200);
    let (place, _all) = daemon.stop_keeping();
    drop(upstream);
    fs::remove_file(place.path().join("up.sock")).unwrap();
    let audit = place.path().join("audit");
    for number in 0..OLD {
        let writer = if number % 8 == 0 { "scribe" } else { "gate-1001-0" };
        let name = format!("20250101T000000.{number:06}Z-7k3qzd-{writer}-{number}.ndjson");
        assert!(peergate::audit::segment::SegmentName::parse(&name).is_some());
        fs::write(audit.join(name), "{}\n").unwrap();
    }
    let (trace, file) = (place.path().join("trace"), policy(place.path(), ""));
    let mut strace = Command::new("strace");
    // It becomes the daemon; the tracer is somebody else's child.
    strace.args([
        "-D",
        "-f",
        "-s",
        "256",
        "-e",
        "trace=open,openat,read,write,pread64,getdents64,sendto",
        "-o",
    ]);
    strace.arg(&trace).arg(env!("CARGO_BIN_EXE_peergated"));
    let daemon = Daemon::spawn_by(strace, &place, &file, |_| {});
    let mut daemon = daemon.unwrap_or_else(|refused| panic!("{}", refused.said));
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(daemon.wait().success());
    let text = fs::read_to_string(&trace).unwrap();
    let start = text.split("READY=1").next().unwrap();
    assert!(start.len() < text.len(), "it said that it is ready");
    let opened =
        |line: &&str| (line.contains("openat(") || line.contains("open(")) && line.contains("20250101T");
    let opened: Vec<&str> = start.lines().filter(opened).take(3).collect();
    assert!(opened.is_empty(), "{opened:?}");
    let (listed, calls) = (start.matches("getdents64(").count(), start.lines().count());
    assert!(listed > 0 && calls < OLD / 4, "{calls} calls, {listed} of them to list");
}

#[test]
fn segments_of_an_earlier_start_are_compressed_and_go_too() {
    need_root!();
    let (daemon, _upstream) = started(daemon::place(), "compress = false");
    let audit = daemon.path("audit");
    ask_until(&daemon, "/allowed/a", || records::segments(&audit).len() >= 5);
    let place = daemon.kill_all();
    let before = records::segments(&place.path().join("audit"));
    fs::remove_file(place.path().join("up.sock")).unwrap();
    let (daemon, _upstream) = started(place, "keep = { count = 3 }");
    let audit = daemon.path("audit");
    let first = before.iter().find(|path| path.to_str().unwrap().contains("gate")).unwrap();
    ask_until(&daemon, "/allowed/b", || !first.exists() && !files(&audit, ".ndjson.zst").is_empty());
    let (place, all) = daemon.stop_keeping_whatever_was_pruned();
    let name = first.file_name().unwrap().to_str().unwrap();
    assert!(all.iter().any(|record| record["t"] == "prune" && record["segment"] == name));
    let (code, said) = verify(&place.path().join("audit"));
    assert_eq!(code, Some(0), "{said}");
}
