//! Disks that are full, fail, or lose what was written: nothing is served without a record that can be found, nothing
//! that was accepted is lost, and the daemon recovers by itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

use std::fs;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use serde_json::Value;
use support::client::{self, Client};
use support::daemon::{self, Daemon, Place};
use support::disk::Disk;
use support::heads;
use support::people::person;
use support::records;
use support::strace::{self, Strace};
use support::upstream::{Upstream, guarded_in};

const POLICY: &str = include_str!("policies/up.toml");
const METRICS: &str = r#"
[backend.metrics]
builtin = "metrics"
[who.monitor]
user = ["pg-bob"]
[[route]]
id = "metrics"
match = ["GET /metrics"]
to = "metrics"
allow = ["monitor"]
"#;

fn started_in(place: Place) -> (Daemon, Upstream) {
    guarded_in(place, POLICY)
}

fn decisions(all: &[Value], target: &str) -> usize {
    all.iter().filter(|record| record["t"] == "decision" && record["target"] == target).count()
}

/// Asks until it is served, on a connection of its own each time; how often it was refused.
fn ask_until_served(daemon: &Daemon, target: &str) -> usize {
    (0..).find(|_| client::ask(&daemon.socket(), "GET", target).status() == 200).unwrap()
}

/// The gate's segment that was written last.
fn present_segment(daemon: &Daemon) -> PathBuf {
    let segments = fs::read_dir(daemon.path("audit")).unwrap().map(|entry| entry.unwrap().path());
    let of_gate = segments.filter(|path| path.to_str().unwrap().contains("-gate-"));
    of_gate.max_by_key(|path| path.metadata().unwrap().len()).unwrap()
}

/// Until each decision has its outcome.
fn wait_until_settled(daemon: &Daemon) {
    let settled = |all: &[Value]| {
        let count = |kind: &str| all.iter().filter(|record| record["t"] == kind).count();
        (count("decision") == count("outcome")).then_some(())
    };
    records::wait(&daemon.path("audit"), settled);
}

fn unmark(path: &std::path::Path) {
    let file = fs::File::open(path).unwrap();
    peergate::sys::append_only::set(file.as_fd(), false).unwrap();
}

/// Fills what is left, as another process does that may use the disk's last block.
fn fill(path: PathBuf) -> PathBuf {
    let mut file = fs::File::create(&path).unwrap();
    for size in [1 << 16, 512] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
    path
}

#[test]
fn full_ext4_keeps_what_is_reserved_and_serves_again_when_there_is_room() {
    need_root!();
    need_programs!("mkfs.ext4");
    let place = daemon::place();
    let disk = Disk::ext4(&place.path().join("audit"), "24M");
    let (daemon, _upstream) = started_in(place);
    let mut client = Client::connect(&daemon.socket());
    assert_eq!(client.ask("GET", "/allowed/first").answer().status(), 200);
    let filler = fill(daemon.path("audit/filler"));
    let mut served = 0;
    let refused = loop {
        let answer = client.ask("GET", "/allowed/full").answer();
        if answer.status() != 200 {
            break answer;
        }
        served += 1;
        assert!(served < 100_000, "it goes on without a record");
    };
    assert_eq!(refused.status(), 503);
    assert!(refused.text().contains("audit-unavailable"), "{}", refused.text());
    assert!(served > 300, "the space that was reserved served {served} only");
    let status = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_peergate"));
        let output =
            command.args(["status", "--control"]).arg(daemon.path("run/control.sock")).output().unwrap();
        (output.status.code(), support::said(&output))
    };
    let (code, said) = status();
    assert!(code == Some(1) && said.contains("NOT written"), "{said}");
    fs::remove_file(filler).unwrap();
    ask_until_served(&daemon, "/allowed/again");
    heads::until("the record to be written", || (status().0 == Some(0)).then_some(()));
    drop(client);
    let (place, all) = daemon.stop_keeping();
    assert_eq!(decisions(&all, "/allowed/full"), served, "each that was served is on record, and no other");
    drop((disk, place));
}

#[test]
fn write_that_fails_is_refused_and_the_next_goes_to_another_segment() {
    need_root!();
    need_programs!("strace");
    let place = daemon::place();
    let _upstream = Upstream::start(&place.path().join("up.sock"));
    let daemon = Daemon::start_to_be_failed(place, POLICY);
    let mut client = Client::connect(&daemon.socket());
    assert_eq!(client.ask("GET", "/allowed/first").answer().status(), 200);
    daemon.wait_for("the outcome", |record| record["t"] == "outcome");
    let gate = strace::process(&daemon, "gate");
    for errno in ["EIO", "ENOSPC", "EDQUOT", "EROFS"] {
        wait_until_settled(&daemon);
        let present = present_segment(&daemon);
        let before = fs::metadata(&present).unwrap().len();
        let path = present.to_str().unwrap();
        let inject = format!("inject=write:error={errno}:when=1");
        let trace = Strace::attach(gate, &["-f", "-P", path, "-e", "trace=write", "-e", &inject]);
        let target = format!("/allowed/{errno}");
        assert_eq!(client.ask("GET", &target).answer().status(), 503);
        drop(trace);
        while client.ask("GET", "/allowed/again").answer().status() != 200 {}
        assert_eq!(
            fs::metadata(&present).unwrap().len(),
            before,
            "{errno}: nothing goes behind a failed write"
        );
        assert_eq!(decisions(&daemon.records(), &target), 0);
        daemon.wait_for("an outcome in the next segment", |record| record["t"] == "outcome");
        // The next one writes to the largest again only where this is it.
        while present_segment(&daemon) == present {
            assert_eq!(client.ask("GET", "/allowed/more").answer().status(), 200);
        }
    }
    daemon.stop();
}

#[test]
fn writes_that_all_fail_are_told_as_long_as_they_do() {
    need_root!();
    need_programs!("strace", "curl");
    let place = daemon::place();
    let _upstream = Upstream::start(&place.path().join("up.sock"));
    let daemon = Daemon::start_to_be_failed(place, &format!("{POLICY}{METRICS}"));
    // An answer is a write too.
    let served = || {
        let answer = Client::connect(&daemon.socket()).ask("GET", "/allowed/x").answer_or_end();
        answer.is_some_and(|answer| answer.status() == 200)
    };
    assert!(served());
    let gate = strace::process(&daemon, "gate");
    // Of a gate that nothing fails for.
    let metrics = || person("pg-bob").curl(&daemon.socket(), "/metrics", &[]).1;
    assert!(metrics().contains("\npeergate_recordable 1\n"));
    let (audit, control) = (daemon.path("audit"), daemon.path("run/control.sock"));
    let told = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_peergate"));
        let output = command.args(arguments).arg("--control").arg(&control).output().unwrap();
        (output.status.code(), support::said(&output))
    };
    let commands: [&[&str]; 3] =
        [&["status"], &["doctor"], &["audit", "status", "--dir", audit.to_str().unwrap()]];
    let of = |writer: &str| {
        let names = fs::read_dir(&audit).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_str().unwrap().contains(writer)).count()
    };
    // Until its writer was given so many more that take nothing either.
    let watch = |writer: &str| {
        let before = of(writer);
        while of(writer) < before + 3 {
            assert!(!served());
            for command in commands {
                let (code, said) = told(command);
                assert!(code == Some(1) && said.contains("requests are refused"), "{command:?}: {said}");
            }
        }
    };
    const EIO: &[&str] = &["-f", "-e", "trace=write", "-e", "inject=write:error=EIO"];
    let gate = Strace::attach(gate, EIO);
    assert!(!served());
    // Counters are written out once a second.
    let tells = |word: &str| metrics().contains(word).then_some(());
    heads::until("the metrics to tell", || tells("\npeergate_recordable 0\n"));
    watch("-gate-0-");
    assert!(metrics().contains("\npeergate_recordable 0\n"));
    let warden = Strace::attach(daemon.pid(), EIO);
    assert!(!served());
    watch("-warden-");
    drop((gate, warden));
    ask_until_served(&daemon, "/allowed/again");
    heads::until("the record to be written", || (told(commands[0]).0 == Some(0)).then_some(()));
    heads::until("the metrics to tell", || tells("\npeergate_recordable 1\n"));
    daemon.stop();
}

#[test]
fn write_that_is_cut_short_is_refused_and_nothing_goes_behind_it() {
    need_root!();
    need_programs!("strace");
    let place = daemon::place();
    let _upstream = Upstream::start(&place.path().join("up.sock"));
    let daemon = Daemon::start_to_be_failed(place, POLICY);
    let mut client = Client::connect(&daemon.socket());
    assert_eq!(client.ask("GET", "/allowed/first").answer().status(), 200);
    daemon.wait_for("the outcome", |record| record["t"] == "outcome");
    let torn = present_segment(&daemon);
    let before = fs::metadata(&torn).unwrap().len();
    let path = torn.to_str().unwrap();
    let short = ["-f", "-P", path, "-e", "trace=write", "-e", "inject=write:retval=40:when=1"];
    let trace = Strace::attach(strace::process(&daemon, "gate"), &short);
    assert_eq!(client.ask("GET", "/allowed/cut").answer().status(), 503);
    drop(trace);
    while client.ask("GET", "/allowed/again").answer().status() != 200 {}
    let all = daemon.stop();
    assert_eq!(decisions(&all, "/allowed/cut"), 0);
    let name = torn.file_name().unwrap().to_str().unwrap();
    let close = all.iter().find(|record| record["t"] == "close" && record["segment"] == name).unwrap();
    assert_eq!(
        (&close["torn"], close["bytes"].as_u64()),
        (&false.into(), Some(before)),
        "nothing goes behind it"
    );
}

#[test]
fn size_limit_that_the_daemon_was_started_with_ends_nobody() {
    need_root!();
    need_programs!("prlimit");
    let place = daemon::place();
    let _upstream = Upstream::start(&place.path().join("up.sock"));
    let file = daemon::write_policy(place.path(), POLICY);
    let mut limited = Command::new("prlimit");
    limited.args(["--fsize=40000:unlimited", env!("CARGO_BIN_EXE_peergated")]);
    let daemon =
        Daemon::spawn_by(limited, &place, &file, |_| {}).unwrap_or_else(|why| panic!("{}", why.said));
    // Each connection is a record of the warden's, more than the limit lets into one file.
    let served =
        (0..300).filter(|_| client::ask(&daemon.socket(), "GET", "/allowed/x").status() == 200).count();
    let all = stopped(daemon);
    // A connection whose own record met the limit is refused, and has a decision that says so.
    let completed = all.iter().filter(|record| record["result"] == "completed").count();
    assert_eq!(completed, served);
    let opened = all.iter().filter(|record| record["t"] == "open" && record["role"] == "warden").count();
    assert!(opened > 1, "the limit was never met");
}

#[test]
fn disk_that_turns_read_only_refuses_and_another_one_in_its_place_serves() {
    need_root!();
    need_programs!("mkfs.ext4", "mount");
    let place = daemon::place();
    let audit = place.path().join("audit");
    let disk = Disk::ext4(&audit, "24M");
    let (daemon, _upstream) = started_in(place);
    ask_until_served(&daemon, "/allowed/first");
    // What ext4 does by itself when it finds an error, with errors=remount-ro.
    disk.break_down();
    while client::ask(&daemon.socket(), "GET", "/allowed/broken").status() != 503 {}
    disk.unmount();
    let other = Disk::ext4_at(&audit, "24M");
    ask_until_served(&daemon, "/allowed/again");
    daemon.wait_for("a record on the other disk", |record| record["target"] == "/allowed/again");
    drop(daemon);
    drop((other, disk));
}

#[test]
fn directory_moved_away_is_made_anew_and_the_record_goes_on_there() {
    need_root!();
    let (daemon, _upstream) = started_in(daemon::place());
    ask_until_served(&daemon, "/allowed/first");
    let key = fs::read(daemon.path("audit/hash.key")).unwrap();
    fs::rename(daemon.path("audit"), daemon.path("away")).unwrap();
    // Until it is noticed what is served stands in the directory that was moved.
    let mut asked = 0;
    while decisions(&daemon.records(), "/allowed/moved") == 0 {
        client::ask(&daemon.socket(), "GET", "/allowed/moved");
        asked += 1;
        assert!(asked < 100_000, "nothing is ever found there");
    }
    ask_until_served(&daemon, "/allowed/again");
    assert_eq!(fs::read(daemon.path("audit/hash.key")).unwrap(), key);
    // Another chain is told to whoever looks, and to whoever verifies it by the key that was pinned.
    let pinned = |file: &str| {
        let text = fs::read_to_string(daemon.path(file)).unwrap();
        text.split(' ').next().unwrap().to_owned()
    };
    let (old, new) = (pinned("away/genesis.pub"), pinned("audit/genesis.pub"));
    assert_ne!(old, new);
    // The scribe collects what the warden says, and may be behind what it does.
    let told = |said: &str| {
        said.contains("another chain of seals begins") && said.contains(&old) && said.contains(&new)
    };
    heads::until("the new chain in the diagnostics", || told(&daemon.said()).then_some(()));
    let peergate = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_peergate")).args(arguments).output().unwrap();
        (output.status.code(), support::said(&output))
    };
    let control = daemon.path("run/control.sock");
    let (_, status) = peergate(&["status", "--control", control.to_str().unwrap()]);
    assert!(status.contains("REPLACED") && status.contains(&old) && status.contains(&new), "{status}");
    // What ran while the directory moved has its decision there, and its outcome here.
    let (place, all) = daemon.stop_keeping_whatever_was_pruned();
    assert_eq!(decisions(&all, "/allowed/again"), 1);
    let again = all.iter().find(|record| record["t"] == "epoch").unwrap()["again"].as_str().unwrap();
    assert!(status.contains(again), "{status}");
    let (audit, away) = (place.path().join("audit"), place.path().join("away"));
    let verify = |directory: &std::path::Path, keys: &[&str]| {
        let keys = keys.iter().flat_map(|key| ["--key", key]);
        let arguments: Vec<&str> =
            ["audit", "verify", directory.to_str().unwrap()].into_iter().chain(keys).collect();
        peergate(&arguments)
    };
    let (code, text) = verify(&audit, &[&old]);
    assert_eq!(code, Some(9), "{text}");
    for word in ["new-genesis", "`again`", again, new.as_str()] {
        assert!(text.contains(word), "{word} in: {text}");
    }
    let (code, text) = verify(&audit, &[&old, &new]);
    assert_eq!(code, Some(0), "{text}");
    // The old directory is whole up to the seal that the new one names, or behind it.
    let (code, text) = verify(&away, &[&old]);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn directory_that_cannot_be_had_refuses_until_it_can() {
    need_root!();
    let (daemon, _upstream) = started_in(daemon::place());
    ask_until_served(&daemon, "/allowed/first");
    fs::rename(daemon.path("audit"), daemon.path("away")).unwrap();
    fs::write(daemon.path("audit"), "in the way").unwrap();
    while client::ask(&daemon.socket(), "GET", "/allowed/gone").status() != 503 {}
    // The scribe collects what the warden says, and may be behind what it does.
    heads::until("the loss in the diagnostics", || {
        daemon.said().contains("the audit directory was moved or removed").then_some(())
    });
    fs::remove_file(daemon.path("audit")).unwrap();
    ask_until_served(&daemon, "/allowed/again");
    let all = daemon.stop();
    assert_eq!(decisions(&all, "/allowed/again"), 1);
}

#[test]
fn directory_put_back_in_its_place_serves_again() {
    need_root!();
    let (daemon, _upstream) = started_in(daemon::place());
    let mut client = Client::connect(&daemon.socket());
    assert_eq!(client.ask("GET", "/allowed/first").answer().status(), 200);
    fs::rename(daemon.path("audit"), daemon.path("away")).unwrap();
    fs::write(daemon.path("audit"), "in the way").unwrap();
    while client.ask("GET", "/allowed/none").answer().status() != 503 {}
    // At once: where there is none for a moment the daemon makes one.
    let (away, audit) = (daemon.path("away"), daemon.path("audit"));
    renameat2(AT_FDCWD, &away, AT_FDCWD, &audit, RenameFlags::RENAME_EXCHANGE).unwrap();
    while client.ask("GET", "/allowed/back").answer().status() != 200 {}
    drop(client);
    let (_place, all) = daemon.stop_keeping();
    assert_eq!(decisions(&all, "/allowed/back"), 1, "it goes on where it was");
}

/// Ends the daemon; what it recorded, torn lines and all.
fn stopped(mut daemon: Daemon) -> Vec<Value> {
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(daemon.wait().success(), "{}", daemon.said());
    daemon.records()
}

/// What somebody does to the segment that a gate is writing.
fn spoilt(spoil: impl Fn(&std::path::Path)) -> Vec<Value> {
    let (daemon, _upstream) = started_in(daemon::place());
    let mut client = Client::connect(&daemon.socket());
    assert_eq!(client.ask("GET", "/allowed/first").answer().status(), 200);
    daemon.wait_for("the outcome", |record| record["t"] == "outcome");
    let present = present_segment(&daemon);
    unmark(&present);
    spoil(&present);
    // Until another segment is there, which is noticed within a second.
    let name = present.file_name().unwrap().to_str().unwrap().to_owned();
    let others = || {
        let all = fs::read_dir(daemon.path("audit")).unwrap().map(|entry| entry.unwrap().file_name());
        all.filter(|other| other.to_str().unwrap().contains("-gate-") && **other != *name).count()
    };
    let before = others();
    drop(client);
    // Where the scribe takes it for an intrusion the gate ends, and its callers' connections with it.
    let ask = |target: &str| {
        Client::connect(&daemon.socket())
            .ask("GET", target)
            .answer_or_end()
            .is_some_and(|a| a.status() == 200)
    };
    while others() == before {
        ask("/allowed/meanwhile");
    }
    while !ask("/allowed/again") {}
    let all = stopped(daemon);
    assert!(decisions(&all, "/allowed/again") > 0);
    let of_it = |kind: &str| all.iter().any(|r| r["t"] == kind && r["segment"] == name.as_str());
    let empty =
        |record: &Value| record["t"] == "close" && record["segment"] == name.as_str() && record["bytes"] == 0;
    assert!(of_it("intrusion") || !all.iter().any(empty), "what was lost is closed as if it were whole");
    all
}

#[test]
fn segment_removed_is_replaced() {
    need_root!();
    spoilt(|path| fs::remove_file(path).unwrap());
}

#[test]
fn segment_replaced_by_another_file_is_replaced_by_ours() {
    need_root!();
    spoilt(|path| {
        fs::rename(path, path.with_extension("away")).unwrap();
        fs::write(path, "").unwrap();
    });
}

#[test]
fn segment_truncated_is_replaced() {
    need_root!();
    spoilt(|path| fs::OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap());
}

#[test]
fn segment_copied_and_truncated_is_replaced() {
    need_root!();
    spoilt(|path| {
        fs::copy(path, path.with_extension("1")).unwrap();
        fs::OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
    });
}

#[test]
fn fuse_is_refused_by_name() {
    need_root!();
    if !std::path::Path::new("/dev/fuse").exists() {
        skip!("there is no /dev/fuse");
    }
    let place = daemon::place();
    let audit = place.path().join("audit");
    fs::create_dir(&audit).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/fuse.py");
    let mut serving = Command::new(support::python());
    serving.arg(script).arg(&audit).stdout(std::process::Stdio::piped());
    let mut serving = daemon::Running(serving.spawn().unwrap());
    let mut said = [0; 7];
    std::io::Read::read_exact(serving.0.stdout.as_mut().unwrap(), &mut said).unwrap();
    let file = daemon::write_policy(place.path(), POLICY);
    let refused = Daemon::spawn_keeping(&place, &file, |_| {}).err().expect("it starts");
    support::run(Command::new("umount").arg("-l").arg(&audit));
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.said.contains("lies on FUSE"), "{}", refused.said);
}
