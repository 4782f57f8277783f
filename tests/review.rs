//! A review as its reader runs it: `peergate audit search`, `report`, `status`, `bundle`, `prune`, `tail`, on segments
//! that a hand wrote, hostile ones too.
#![cfg(feature = "cli")]
#![allow(clippy::disallowed_methods, reason = "a test starts the program it tests")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails where its helpers do"
)]

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use peergate::model::time::Timestamp;
use proptest::prelude::*;

#[path = "review/limits.rs"]
mod limits;

const WARDEN: &str = "20261123T100000.000000Z-7k3qzd-warden-1.ndjson";
const GATE: &str = "20261123T100000.000000Z-7k3qzd-gate-1001-0-2.ndjson";
const NEXT: &str = "20261123T110000.000000Z-7k3qzd-gate-1001-0-3.ndjson";

struct Log(tempfile::TempDir);

impl Log {
    fn new() -> Log {
        Log(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("log").join(name)
    }

    fn append(&self, segment: &str, bytes: &[u8]) {
        fs::create_dir_all(self.path("")).unwrap();
        let mut file = OpenOptions::new().append(true).create(true).open(self.path(segment)).unwrap();
        file.write_all(bytes).unwrap();
    }

    /// A record noted at this second after ten.
    fn add(&self, segment: &str, second: u32, kind: &str, rest: &str) {
        let (minute, second) = (second / 60, second % 60);
        let ts = format!("2026-11-23T10:{minute:02}:{second:02}.000000Z");
        let line = format!("{{\"v\":1,\"t\":\"{kind}\",\"n\":0,\"ts\":\"{ts}\",{rest}}}\n");
        self.append(segment, line.as_bytes());
    }

    fn conn(&self, second: u32, number: u32, user: &str) {
        let who = format!(
            "\"id\":\"7k3qzd-{number}\",\"on\":\"docker\",\"uid\":1001,\"gid\":100,\"groups\":[998],\"user\":\"{user}\",\"pid\":9,\"ns\":\"host\",\"exe\":\"/usr/bin/docker\",\"unit\":\"ci.service\""
        );
        self.add(WARDEN, second, "conn", &who);
    }

    fn allow(&self, segment: &str, second: u32, id: &str, target: &str) {
        let rest = format!(
            "\"id\":\"7k3qzd-{id}\",\"uid\":1001,\"pid\":9,\"method\":\"GET\",\"target\":\"{target}\",\"route\":\"list\",\"decision\":\"allow\",\"by\":\"who.ci\",\"at\":\"policy.toml:42\",\"policy\":\"9f2c1e77\""
        );
        self.add(segment, second, "decision", &rest);
    }

    fn deny(&self, segment: &str, second: u32, id: &str, target: &str) {
        let rest = format!(
            "\"id\":\"7k3qzd-{id}\",\"uid\":1001,\"pid\":9,\"method\":\"GET\",\"target\":\"{target}\",\"decision\":\"deny\",\"refusal\":\"no-route\",\"policy\":\"9f2c1e77\",\"status\":403,\"us\":12"
        );
        self.add(segment, second, "decision", &rest);
    }

    fn grant(&self, second: u32, id: &str) {
        let rest =
            format!("\"id\":\"7k3qzd-{id}\",\"uid\":1001,\"backend\":\"docker\",\"policy\":\"9f2c1e77\"");
        self.add(WARDEN, second, "grant", &rest);
    }

    fn end(&self, segment: &str, second: u32, id: &str) {
        let rest = format!(
            "\"id\":\"7k3qzd-{id}\",\"status\":200,\"result\":\"completed\",\"in\":0,\"out\":5120,\"us\":7456"
        );
        self.add(segment, second, "outcome", &rest);
    }

    /// As the daemon does it.
    fn pack(&self, segment: &str) {
        let packed = zstd::encode_all(fs::File::open(self.path(segment)).unwrap(), 3).unwrap();
        fs::write(self.path(&format!("{segment}.zst")), packed).unwrap();
        fs::remove_file(self.path(segment)).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_peergate"));
        command.arg("audit").args(arguments).arg("--dir").arg(self.path(""));
        command.env("XDG_STATE_HOME", self.0.path()).current_dir(self.0.path());
        command
    }

    fn bytes(&self, arguments: &[&str]) -> (Vec<u8>, Vec<u8>, i32) {
        let output = self.command(arguments).output().unwrap();
        (output.stdout, output.stderr, output.status.code().unwrap())
    }

    fn run(&self, arguments: &[&str]) -> (String, i32) {
        let (out, err, code) = self.bytes(arguments);
        assert_eq!(String::from_utf8(err).unwrap(), "", "{arguments:?}");
        (String::from_utf8(out).unwrap(), code)
    }
}

/// One allowed access, one denied, one under way.
fn day() -> Log {
    let log = Log::new();
    log.conn(0, 41, "deploy");
    log.allow(GATE, 1, "41-1", "/containers/json");
    log.grant(2, "41-1");
    log.end(GATE, 3, "41-1");
    log.deny(GATE, 4, "41-2", "/x\\u001b[2J");
    log.allow(GATE, 5, "41-3", "/events");
    log
}

#[test]
fn search_prints_an_access_in_each_form() {
    let log = day();
    let (out, code) = log.run(&["search", "containers"]);
    assert_eq!(
        (out.as_str(), code),
        (
            "2026-11-23 10:00:02.000 ALLOW 7k3qzd-41-1 deploy(1001) GET /containers/json 200 completed us=7456 route=list by=who.ci at=policy.toml:42 on=docker exe=/usr/bin/docker unit=ci.service\n",
            0
        )
    );
    let (out, _) = log.run(&["search", "containers", "--format", "sentence"]);
    assert_eq!(
        out,
        "2026-11-23 10:00:02.000: deploy (uid 1001), by /usr/bin/docker in ci.service, was allowed GET /containers/json on docker by who.ci (policy.toml:42); the warden granted docker; it ended with 200 after 7 ms (completed), 0 bytes in, 5120 out.\n"
    );
    let (out, _) = log.run(&["search", "--decision", "deny", "--format", "json"]);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&value["target"], &value["user"]), (&"/x\u{1b}[2J".into(), &"deploy".into()));
    assert_eq!((&value["status"], &value["refusal"]), (&403.into(), &"no-route".into()));
    let (out, _) = log.run(&["search", "--decision", "deny", "--format", "csv"]);
    let rows: Vec<&str> = out.split("\r\n").collect();
    assert!(rows[0].starts_with("kind,ts,id,uid,user,"), "{out}");
    assert!(
        rows[1]
            .starts_with("access,2026-11-23T10:00:04.000000Z,7k3qzd-41-2,1001,deploy,100,9,/usr/bin/docker,"),
        "{out}"
    );
    assert!(rows[1].contains(",/x\\u001b[2J,"), "{out}");
    assert_eq!((rows.len(), rows[2]), (3, ""));
}

#[test]
fn search_exit_code_says_whether_something_was_found() {
    let log = day();
    assert_eq!(log.run(&["search", "no such text"]), (String::new(), 1));
    assert_eq!(log.run(&["search", "--user", "nobody"]), (String::new(), 1));
    assert_eq!(log.bytes(&["search", "--status", "x"]).2, 2);
    fs::remove_dir_all(log.path("")).unwrap();
    assert_eq!(log.bytes(&["search"]).2, 3);
}

#[test]
fn search_reads_compressed_segments() {
    let log = day();
    let before = log.run(&["search", "--user", "deploy"]);
    for segment in [WARDEN, GATE] {
        log.pack(segment);
    }
    assert_eq!(log.run(&["search", "--user", "deploy"]), before);
    assert_eq!(before.0.lines().count(), 3);
}

/// What `search --checkpoint` tells, as its ids.
fn told(log: &Log) -> Vec<String> {
    let (out, code) = log.run(&["search", "--checkpoint", "last", "--format", "json"]);
    let id = |line: &str| {
        serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let ids: Vec<String> = out.lines().map(id).collect();
    assert_eq!(code, i32::from(ids.is_empty()));
    ids
}

#[test]
fn checkpoint_tells_each_access_once_when_it_has_ended() {
    let log = day();
    assert_eq!(told(&log), ["7k3qzd-41-1", "7k3qzd-41-2"]);
    assert_eq!(told(&log), [""; 0]);
    // A torn line is not there yet.
    log.deny(GATE, 6, "41-4", "/late");
    let whole = fs::read(log.path(GATE)).unwrap();
    fs::write(log.path(GATE), &whole[..whole.len() - 20]).unwrap();
    assert_eq!(told(&log), [""; 0]);
    fs::write(log.path(GATE), &whole).unwrap();
    assert_eq!(told(&log), ["7k3qzd-41-4"]);
    // Under way at the last look; its decision is pruned before its end comes in the next segment.
    log.pack(GATE);
    assert_eq!(told(&log), [""; 0]);
    fs::remove_file(log.path(&format!("{GATE}.zst"))).unwrap();
    fs::remove_file(log.path(WARDEN)).unwrap();
    log.end(NEXT, 9, "41-3");
    let (out, _) = log.run(&["search", "--checkpoint", "last"]);
    assert!(out.contains("ALLOW 7k3qzd-41-3 deploy(1001) GET /events 200"), "{out}");
    assert_eq!(told(&log), [""; 0]);
}

#[test]
fn checkpoint_of_a_run_that_did_not_end_does_not_count() {
    let log = day();
    // Whatever is written beside it and never put in its place is nothing.
    fs::write(log.0.path().join("last.next"), "half").unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    // Its reader is gone: nothing was told.
    drop(reader);
    let mut command = log.command(&["search", "--checkpoint", "last", "--format", "json"]);
    command.stdout(writer).status().unwrap();
    assert_eq!(told(&log), ["7k3qzd-41-1", "7k3qzd-41-2"]);
    assert_eq!(told(&log), [""; 0]);
}

#[test]
fn checkpoint_killed_at_any_call_tells_again_or_has_told() {
    for call in ["write", "fsync", "rename"] {
        for when in 1..=4 {
            let log = day();
            let mut traced = Command::new("strace");
            let inject = format!("inject={call}:signal=KILL:when={when}");
            traced.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject]);
            let plain = log.command(&["search", "--checkpoint", "last", "--format", "json"]);
            traced.arg(plain.get_program()).args(plain.get_args()).current_dir(log.0.path());
            let output = traced.output().unwrap();
            let before = String::from_utf8(output.stdout).unwrap();
            let again = told(&log);
            let whole = ["7k3qzd-41-1", "7k3qzd-41-2"];
            let told_before = whole.iter().all(|id| before.contains(id));
            assert!(again == whole || (again.is_empty() && told_before), "{call} {when}: {again:?} {before}");
        }
    }
}

#[test]
fn checkpoint_of_another_question_or_of_nothing_is_refused() {
    let log = day();
    told(&log);
    let (_, err, code) = log.bytes(&["search", "--checkpoint", "last", "--user", "deploy"]);
    assert_eq!(code, 3);
    assert!(String::from_utf8(err).unwrap().contains("made for another question"));
    fs::write(log.0.path().join("other"), "nonsense\n").unwrap();
    let (_, err, code) = log.bytes(&["search", "--checkpoint", "other"]);
    assert_eq!(code, 3);
    assert!(String::from_utf8(err).unwrap().contains("is no checkpoint"));
}

#[test]
fn tail_follow_survives_rotation_compression_and_removal() {
    let log = day();
    let mut command = log.command(&["tail", "-f", "-n", "1", "--user", "deploy"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut next = |expected: &str| {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert!(line.contains(expected), "{line}");
    };
    // It has read what was there.
    next("ALLOW 7k3qzd-41-3");
    log.end(GATE, 6, "41-3");
    next("ends 7k3qzd-41-3");
    log.pack(GATE);
    log.deny(NEXT, 7, "41-4", "/next");
    next("DENY  7k3qzd-41-4");
    fs::remove_file(log.path(&format!("{GATE}.zst"))).unwrap();
    log.deny(NEXT, 8, "41-5", "/still");
    next("DENY  7k3qzd-41-5");
    child.kill().unwrap();
    child.wait().unwrap();
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(err, "");
}

#[test]
fn report_says_who_what_denied_and_never_seen_before() {
    let log = day();
    let (out, code) = log.run(&["report"]);
    assert_eq!(code, 0);
    for expected in [
        "2 allowed, 1 denied, 1 without an end on record, 0 in doubt\n",
        "        1  no-route deploy GET /x\\u001b[2J\n",
        "      new  deploy /usr/bin/docker list 7k3qzd-41-1\n",
        "        2  deploy allowed\n",
        "     7 ms  7k3qzd-41-1 deploy GET list\n",
        "        3  2026-11-23T10\n",
    ] {
        assert!(out.contains(expected), "{expected}{out}");
    }
    let denied = out.find("Denied").unwrap();
    assert!(denied < out.find("Callers").unwrap(), "{out}");
    let (out, _) = log.run(&["report", "--since", "2026-11-23T10:00:04Z", "--format", "json"]);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&value["allowed"], &value["denied"]), (&1.into(), &1.into()));
    let first = value["sections"]["first_seen"].as_array().unwrap();
    assert_eq!(first.len(), 1, "the route of 41-3 was seen before that: {out}");
}

#[test]
fn report_since_last_report_goes_on_where_that_ended() {
    let log = day();
    // What is only a part, or can't be read whole, moves nothing: the rest would be in no report.
    let moves_nothing = |arguments: &[&str]| {
        let (_, err, _) = log.bytes(arguments);
        assert!(String::from_utf8(err).unwrap().contains("begins where this one did"), "{arguments:?}");
    };
    moves_nothing(&["report", "--since", "last-report", "--user", "nobody"]);
    let broken = log.path(&format!("{GATE}.zst").replace("-0-", "-9-"));
    fs::write(&broken, "no frame").unwrap();
    moves_nothing(&["report", "--since", "last-report"]);
    fs::remove_file(&broken).unwrap();
    assert!(
        log.run(&["report", "--since", "last-report", "--until", "today"]).0.contains("2 allowed, 1 denied")
    );
    let noted: Timestamp =
        fs::read_to_string(log.path("../peergate/last-report")).unwrap().trim().parse().unwrap();
    assert!(noted < Timestamp::now(), "the end of the day is still to come");
    let (out, code) = log.run(&["report", "--since", "last-report"]);
    assert_eq!(code, 1);
    assert!(out.contains("0 allowed, 0 denied"), "{out}");
    assert!(log.run(&["search", "--since", "last-report"]).0.is_empty());
    // Before a clock was set back; nobody knows what was recorded since.
    fs::write(log.path("../peergate/last-report"), "2199-01-01T00:00:00.000000Z\n").unwrap();
    let (_, err, code) = log.bytes(&["report", "--since", "last-report"]);
    assert!(code == 3 && String::from_utf8(err).unwrap().contains("the clock was set back"));
}

#[test]
fn status_of_a_copy_tells_size_growth_and_seal() {
    let log = day();
    let (out, code) = log.run(&["status", "--format", "json", "--control", "/nonexistent"]);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&value["segments"], &value["settled"], code), (&2.into(), &0.into(), 0));
    assert_eq!(
        (&value["seal_age_s"], &value["recordable"]),
        (&serde_json::Value::Null, &serde_json::Value::Null)
    );
    // Nothing was sealed lately, so that nothing is known to grow; all that is there is unsealed.
    assert_eq!((&value["bytes_last_day"], &value["bytes_per_day"]), (&0.into(), &0.into()), "{out}");
    assert!(value["days_until_full"].is_null(), "{out}");
    let length = |name: &str| fs::metadata(log.path(name)).unwrap().len();
    assert_eq!(value["unsealed"].as_u64(), Some(length(GATE) + length(WARDEN)), "{out}");
}

#[test]
fn bundle_takes_nothing_by_a_link_and_waits_for_no_pipe() {
    let log = day();
    let other = log.path(&GATE.replace("-0-2", "-0-77"));
    fs::write(log.0.path().join("secret"), "SECRETSEAL").unwrap();
    for linked in [true, false] {
        if linked {
            std::os::unix::fs::symlink("../secret", &other).unwrap();
        } else {
            nix::unistd::mkfifo(&other, nix::sys::stat::Mode::S_IRUSR).unwrap();
        }
        let (_, err, code) = log.bytes(&["bundle", "out.tar"]);
        assert_eq!(code, 3, "{}", String::from_utf8_lossy(&err));
        let written = fs::read(log.0.path().join("out.tar")).unwrap_or_default();
        assert!(memchr::memmem::find(&written, b"SECRETSEAL").is_none());
        fs::remove_file(&other).unwrap();
        fs::remove_file(log.0.path().join("out.tar")).ok();
    }
}

#[test]
fn bundle_is_the_same_again_and_has_no_secret() {
    let log = day();
    for (name, text) in [("hash.key", "SECRETHASH"), ("seal.key", "SECRETSEAL"), ("genesis.pub", "public")] {
        log.append(name, text.as_bytes());
    }
    let policy = log.0.path().join("policy.toml");
    fs::write(&policy, "version = 1\n").unwrap();
    let make = |name: &str| {
        let (out, code) = log.run(&["bundle", name, "--policy", policy.to_str().unwrap()]);
        assert_eq!(code, 0);
        assert!(out.starts_with(&format!("{name}: 6 files, ")), "{out}");
        fs::read(log.0.path().join(name)).unwrap()
    };
    let made = make("a.tar");
    assert_eq!(made, make("b.tar"));
    assert!(!made.windows(6).any(|window| window == b"SECRET"));
    // An independent reader of both agrees.
    let script = "mkdir out && tar -xf a.tar -C out && cd out && cut -d' ' -f1,3 MANIFEST | sed 's/ /  /' | sha256sum --check --quiet && tar -tf ../a.tar";
    let listed = Command::new("sh").arg("-ec").arg(script).current_dir(log.0.path()).output().unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let expected = format!(
        "README\npolicy/1-policy.toml\nrecord/{GATE}\nrecord/{WARDEN}\nrecord/genesis.pub\nMANIFEST\n"
    );
    assert_eq!(String::from_utf8(listed.stdout).unwrap(), expected);
    assert_eq!(log.bytes(&["bundle", "a.tar"]).2, 3, "it is not written over");
}

#[test]
fn prune_dry_run_removes_nothing_and_says_why() {
    let log = day();
    assert_eq!(log.bytes(&["prune"]).2, 2, "there is only the dry run");
    let (out, code) = log.run(&["prune", "--dry-run", "--days", "0", "--count", "0"]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains(&format!("stays        {GATE}  (it is not closed and sealed)")), "{out}");
    assert!(log.path(GATE).exists() && log.path(WARDEN).exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever a file holds, and wherever in it, no form prints anything that draws, and each stays what it is.
    #[test]
    fn hostile_bytes_never_draw_in_any_form(
        junk in prop::collection::vec(any::<u8>(), 0..200),
        text in "[\\PC\u{1b}\u{202e}\r\n\t=+@,;\"'-]{0,40}",
    ) {
        let log = Log::new();
        let spelt = peergate::model::escape::Escaped(text.as_bytes()).to_string();
        log.conn(0, 41, &spelt);
        log.deny(GATE, 1, "41-1", &spelt);
        log.add(GATE, 2, "gate", &format!("\"role\":\"{spelt}\""));
        // Not escaped at all, as no writer of ours does, and bytes that are nothing.
        log.deny(GATE, 3, "41-2", &text);
        log.append(GATE, &junk);
        log.append(GATE, b"\n");
        for form in ["text", "sentence", "json", "csv"] {
            for command in [&["tail", "--all"][..], &["search"], &["show", "7k3qzd-41"], &["report"]] {
                let (out, err, _) = log.bytes(&[command, &["--format", form]].concat());
                for byte in out.iter().chain(&err) {
                    let ends = *byte == b'\n' || (form == "csv" && *byte == b'\r');
                    prop_assert!(ends || matches!(byte, b' '..=b'~'), "{command:?} {form}: {byte}");
                }
                let out = String::from_utf8(out).unwrap();
                if form == "json" {
                    for line in out.lines() {
                        prop_assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
                    }
                }
                if form == "csv" {
                    let rows = cells(&out);
                    for row in &rows {
                        prop_assert_eq!(row.len(), rows[0].len(), "{}", out);
                        let formula = row.iter().find(|cell| cell.starts_with(['=', '+', '-', '@', '\t', '\r']));
                        prop_assert!(formula.is_none(), "{formula:?}");
                    }
                }
            }
        }
    }
}

/// RFC 4180, read strictly.
fn cells(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' if cell.is_empty() => loop {
                match rest.next().unwrap() {
                    '"' if rest.peek() == Some(&'"') => cell.push(rest.next().unwrap()),
                    '"' => break,
                    c => cell.push(c),
                }
            },
            ',' => row.push(std::mem::take(&mut cell)),
            '\r' => {
                assert_eq!(rest.next(), Some('\n'));
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            c => {
                assert!(c != '\n' && c != '"', "{text}");
                cell.push(c);
            }
        }
    }
    assert!(cell.is_empty() && row.is_empty(), "the last row ends too");
    rows
}
