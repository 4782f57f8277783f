//! `peergate audit export`: each format is read back by a program of others, hostile text and all.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/entries.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
mod entries;
#[path = "audit_export/events.rs"]
mod events;
#[path = "support/support.rs"]
mod support;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::rc::Rc;

use entries::Made;
use peergate::audit::segment;
use peergate::model::time::Timestamp;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::Value;
use support::daemon::Running;
use support::readers;

const START: u64 = 1_795_405_589_000_000;

/// How many accesses, connections that were shed, and counts are on record.
const ACCESSES: u64 = 160;
const OTHERS: u64 = 20;

/// A directory of segments full of what breaks formats, and what they say, by id.
struct Stage {
    directory: tempfile::TempDir,
    /// Of all segments.
    clock: Rc<Cell<u64>>,
    /// The records of each access: `conn`, `decision`, `grant`, `outcome`.
    expected: BTreeMap<String, BTreeMap<String, Value>>,
}

impl Stage {
    fn empty() -> Stage {
        let (directory, clock) = (tempfile::tempdir().unwrap(), Rc::new(Cell::new(START)));
        Stage { directory, clock, expected: BTreeMap::new() }
    }

    fn new() -> Stage {
        let mut stage = Stage::empty();
        let mut runner = TestRunner::deterministic();
        let mut any = |kind: usize| entries::made(kind).new_tree(&mut runner).unwrap().current();
        let (mut warden, mut gate) = (stage.segment("warden-1"), stage.segment("gate-shared-0-2"));
        for number in 1..=ACCESSES {
            let allowed = !number.is_multiple_of(3);
            let made = any(0).on_connection(number).judged(allowed);
            for kind in [entries::CONN, entries::DECISION, entries::GRANT, entries::OUTCOME] {
                let by_warden = [entries::CONN, entries::GRANT].contains(&kind);
                let segment = if by_warden { &mut warden } else { &mut gate };
                // A denied one has nothing more, and of some the end is not on record.
                if kind == entries::CONN
                    || kind == entries::DECISION
                    || (allowed && !number.is_multiple_of(kind as u64))
                {
                    let record = segment.write(&made.of_kind(kind));
                    let id = format!("{}-{number}-1", entries::boot());
                    let kind = record["t"].as_str().unwrap().to_owned();
                    stage.expected.entry(id).or_default().insert(kind, record);
                }
            }
        }
        for number in 0..OTHERS {
            warden.write(&any(entries::CONN).on_connection(ACCESSES + 1 + number).shed());
            gate.write(&any(entries::REPEAT).with_number(START + number));
            // No access, so in no export.
            warden.write(&any(entries::POLICY));
        }
        stage
    }

    fn segment(&self, writer: &str) -> Segment {
        let name = segment::name(Timestamp::from_micros(START), entries::boot(), writer);
        Segment {
            file: std::fs::File::create(self.directory.path().join(name)).unwrap(),
            n: 0,
            clock: Rc::clone(&self.clock),
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The export in a file, which is whole.
    fn exported(&self, arguments: &[&str]) -> PathBuf {
        let file = self.path().join(format!("export.{}", arguments.join("")));
        let output =
            export(self.path(), &[arguments, &["--host", "web1", "-o", file.to_str().unwrap()]].concat());
        assert!(output.status.success(), "{}", support::said(&output));
        assert_eq!(support::said(&output), "");
        file
    }

    /// What the record says of an access, as the text that was meant.
    fn says(&self, id: &str, kind: &str, field: &str) -> Option<String> {
        let record = self.expected.get(id)?.get(kind)?;
        let value = record.get(field)?;
        Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }
}

fn export(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peergate"));
    command.args(["audit", "export", "--dir"]).arg(directory).arg("--to").args(arguments);
    command.output().unwrap()
}

struct Segment {
    file: std::fs::File,
    n: u64,
    clock: Rc<Cell<u64>>,
}

impl Segment {
    fn write(&mut self, made: &Made) -> Value {
        self.clock.set(self.clock.get() + 1_001);
        let line = made.line(self.n, Timestamp::from_micros(self.clock.get()));
        self.n += 1;
        self.file.write_all(&line).unwrap();
        serde_json::from_slice(&line).unwrap()
    }
}

/// The lines of a text format: printable ASCII, one for each event.
fn lines(file: &Path) -> Vec<String> {
    let text = String::from_utf8(std::fs::read(file).unwrap()).unwrap();
    assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')), "not printable ASCII");
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(lines.len() as u64, ACCESSES + 2 * OTHERS);
    lines
}

#[test]
fn ocsf_is_valid_by_the_published_schema_and_says_what_the_record_says() {
    let stage = Stage::new();
    let file = stage.exported(&["ocsf"]);
    let mut accesses = 0;
    for line in lines(&file) {
        let event: Value = serde_json::from_str(&line).unwrap();
        if event["unmapped"]["kind"] != "access" {
            continue;
        }
        accesses += 1;
        let id = event["metadata"]["original_event_uid"].as_str().unwrap();
        let says = |kind: &str, field: &str| stage.says(id, kind, field);
        let url = &event["http_request"]["url"];
        let query = url["query_string"].as_str().map(|query| format!("?{query}")).unwrap_or_default();
        let target = format!("{}{query}", url["path"].as_str().unwrap());
        assert_eq!(Some(target), says("decision", "target"));
        assert_eq!(
            event["actor"]["process"]["file"]["path"].as_str().map(str::to_owned),
            says("conn", "exe")
        );
        assert_eq!(event["actor"]["user"]["name"].as_str().map(str::to_owned), says("conn", "user"));
        assert_eq!(event["actor"]["user"]["uid"].as_str().map(str::to_owned), says("conn", "uid"));
        let allowed = says("decision", "decision").as_deref() == Some("allow");
        assert_eq!(event["action_id"], if allowed { 1 } else { 2 });
    }
    assert_eq!(accesses, ACCESSES);
    let Some(python) = readers::python() else { skip!("tests/readers.txt is not installed") };
    assert_eq!(readers::told(&python, "ocsf.py", &[&file]).trim(), lines(&file).len().to_string());
}

#[test]
fn ecs_has_the_published_fields_and_types() {
    need_programs!("node");
    let stage = Stage::new();
    let file = stage.exported(&["ecs"]);
    for line in lines(&file) {
        let event: Value = serde_json::from_str(&line).unwrap();
        let Some(id) = event["event.id"].as_str().filter(|_| event["event.action"] == "access") else {
            continue;
        };
        for (name, kind, field) in [
            ("url.original", "decision", "target"),
            ("process.executable", "conn", "exe"),
            ("rule.name", "decision", "by"),
        ] {
            assert_eq!(event[name].as_str().map(str::to_owned), stage.says(id, kind, field), "{name}");
        }
    }
    let Some(ecs) = readers::ecs() else { skip!("@elastic/ecs is not installed") };
    let output = support::run(Command::new("node").arg(readers::script("ecs.js")).arg(ecs).arg(&file));
    assert_eq!(support::out(&output).trim(), lines(&file).len().to_string());
}

/// Text as it stands in CEF and syslog: a record's, with `"` for itself.
fn spelt(text: &str) -> String {
    peergate::model::escape::Shown(text.as_bytes()).to_string()
}

#[test]
fn cef_splits_into_what_the_record_says() {
    let stage = Stage::new();
    let file = stage.exported(&["cef"]);
    for line in lines(&file) {
        let parts: Vec<&str> = line.splitn(8, '|').collect();
        assert_eq!(&parts[..3], &["CEF:0", "peergate", "peergated"]);
        assert!((0..=10).contains(&parts[6].parse::<u32>().unwrap()));
        let pairs = readers::cef_extension(parts[7]);
        let Some(id) = pairs.get("externalId").filter(|_| parts[4].starts_with("access-")) else { continue };
        for (key, kind, field) in [
            ("request", "decision", "target"),
            ("requestMethod", "decision", "method"),
            ("sproc", "conn", "exe"),
            ("cs1", "conn", "on"),
            ("suid", "conn", "uid"),
            ("suser", "conn", "user"),
        ] {
            assert_eq!(
                pairs.get(key).cloned(),
                stage.says(id, kind, field).map(|text| spelt(&text)),
                "{key}"
            );
        }
    }
    let Some(python) = readers::python() else { skip!("tests/readers.txt is not installed") };
    assert_eq!(readers::told(&python, "cef.py", &[&file]).trim(), lines(&file).len().to_string());
}

/// A rsyslogd that writes what it understood of each message as JSON.
const RSYSLOG: &str = r#"global(workDirectory="@DIR@" maxMessageSize="64k")
module(load="imtcp")
module(load="mmpstrucdata")
input(type="imtcp" port="0" listenPortFileName="@DIR@/port" supportOctetCountedFraming="on")
template(name="told" type="list") {
  constant(value="{\"host\":\"") property(name="hostname" format="json")
  constant(value="\",\"app\":\"") property(name="app-name" format="json")
  constant(value="\",\"kind\":\"") property(name="msgid" format="json")
  constant(value="\",\"time\":\"") property(name="timereported" dateFormat="rfc3339")
  constant(value="\",\"fields\":") property(name="$!rfc5424-sd")
  constant(value=",\"text\":\"") property(name="msg" format="json")
  constant(value="\"}\n")
}
action(type="mmpstrucdata")
action(type="omfile" file="@DIR@/told" template="told")
"#;

/// What rsyslogd understands of an export.
fn by_rsyslog(stage: &Stage, arguments: &[&str]) -> Vec<Value> {
    let file = stage.exported(arguments);
    let directory = stage.path().join("rsyslog");
    std::fs::create_dir_all(&directory).unwrap();
    let conf = directory.join("conf");
    std::fs::write(&conf, RSYSLOG.replace("@DIR@", directory.to_str().unwrap())).unwrap();
    let mut command = Command::new("/usr/sbin/rsyslogd");
    command.arg("-n").arg("-f").arg(&conf).arg("-i").arg(directory.join("pid"));
    let running = Running(command.spawn().unwrap());
    let port = || std::fs::read_to_string(directory.join("port")).ok().filter(|port| !port.is_empty());
    readers::wait_in(&directory, "rsyslogd listens", || port().is_some());
    let mut stream = TcpStream::connect(format!("127.0.0.1:{}", port().unwrap().trim())).unwrap();
    stream.write_all(&std::fs::read(file).unwrap()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let told = || std::fs::read_to_string(directory.join("told")).unwrap_or_default();
    let count = (ACCESSES + 2 * OTHERS) as usize;
    readers::wait_in(&directory, "every message", || told().matches('\n').count() >= count);
    drop(running);
    let told: Vec<Value> = told()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}")))
        .collect();
    std::fs::remove_dir_all(directory).unwrap();
    assert_eq!(told.len(), count);
    told
}

#[test]
fn rsyslog_understands_every_message_in_each_framing() {
    if !Path::new("/usr/sbin/rsyslogd").exists() {
        skip!("rsyslogd is not installed");
    }
    let stage = Stage::new();
    for arguments in [&["rfc5424"][..], &["rfc5424", "--framing", "octets", "--bom"]] {
        for message in by_rsyslog(&stage, arguments) {
            assert_eq!((&message["host"], &message["app"]), (&"web1".into(), &"peergated".into()));
            let fields = &message["fields"]["peergate@32473"];
            assert_eq!(message["kind"], fields["kind"]);
            let text = message["text"].as_str().unwrap();
            assert_eq!(text.starts_with('\u{feff}'), arguments.contains(&"--bom"), "{text}");
            let Some(id) = fields["id"].as_str().filter(|_| message["kind"] == "access") else { continue };
            // The warden's time, where it granted something.
            let time = stage.says(id, "grant", "ts").or_else(|| stage.says(id, "decision", "ts"));
            assert_eq!(message["time"], time.unwrap());
            for (name, kind, field) in [
                ("target", "decision", "target"),
                ("method", "decision", "method"),
                ("exe", "conn", "exe"),
                ("on", "conn", "on"),
                ("user", "conn", "user"),
                ("uid", "conn", "uid"),
            ] {
                let said = stage.says(id, kind, field).map(|text| spelt(&text));
                assert_eq!(fields[name].as_str().map(str::to_owned), said, "{name}");
            }
        }
    }
}

#[test]
fn journal_takes_entries_and_gives_the_bytes_back() {
    let remote = Path::new("/lib/systemd/systemd-journal-remote");
    need_programs!("journalctl");
    if !remote.exists() {
        skip!("systemd-journal-remote is not installed");
    }
    let stage = Stage::new();
    let file = stage.exported(&["journald"]);
    let journal = stage.path().join("web1.journal");
    support::run(Command::new(remote).arg("-o").arg(&journal).arg(&file));
    let mut journalctl = Command::new("journalctl");
    journalctl.arg("--file").arg(&journal).args(["-o", "json", "--all", "--no-pager"]);
    let entries = support::out(&support::run(&mut journalctl));
    let mut accesses = 0;
    for line in entries.lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&entry["SYSLOG_IDENTIFIER"], &entry["_HOSTNAME"]), (&"peergated".into(), &"web1".into()));
        if entry["PEERGATE_KIND"] != "access" {
            continue;
        }
        accesses += 1;
        let id = entry["PEERGATE_ID"].as_str().unwrap();
        for (name, kind, field) in [
            ("PEERGATE_TARGET", "decision", "target"),
            ("OBJECT_EXE", "conn", "exe"),
            ("OBJECT_UID", "conn", "uid"),
            ("PEERGATE_BY", "decision", "by"),
        ] {
            let bytes: Option<Vec<u8>> = match &entry[name] {
                Value::Null => None,
                Value::String(text) => Some(text.as_bytes().to_vec()),
                // Bytes that are no text come as numbers.
                bytes => Some(serde_json::from_value(bytes.clone()).unwrap()),
            };
            match stage.says(id, kind, &format!("{field}_b64")) {
                Some(twin) => assert_eq!(readers::base64(&bytes.unwrap()), twin, "{name}"),
                None => assert_eq!(bytes, stage.says(id, kind, field).map(String::into_bytes), "{name}"),
            }
        }
    }
    assert_eq!((accesses, entries.lines().count() as u64), (ACCESSES, ACCESSES + 2 * OTHERS));
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_is_read_alike_by_duckdb_and_clickhouse() {
    let stage = Stage::new();
    let file = stage.exported(&["parquet"]);
    let Some(python) = readers::python() else { skip!("tests/readers.txt is not installed") };
    let told = readers::told(&python, "parquet.py", &[&file]);
    let rows: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len() as u64, ACCESSES + 2 * OTHERS);
    for row in &rows {
        assert_eq!(row["host"], "web1");
        let Some(id) = row["id"].as_str().filter(|_| row["kind"] == "access") else { continue };
        for (name, kind, field) in [
            ("target", "decision", "target"),
            ("target_b64", "decision", "target_b64"),
            ("exe", "conn", "exe"),
            ("by", "decision", "by"),
            ("unit", "conn", "unit"),
            ("backend", "grant", "backend"),
            ("uid", "conn", "uid"),
            ("out", "outcome", "out"),
        ] {
            let found = &row[name];
            let found = found
                .as_str()
                .map(str::to_owned)
                .or_else(|| Some(found.to_string()).filter(|it| it != "null"));
            assert_eq!(found, stage.says(id, kind, field), "{name}");
        }
        let groups = stage.says(id, "conn", "groups");
        assert_eq!(Some(row["groups"].to_string()).filter(|it| it != "null"), groups);
        let asked = stage.says(id, "grant", "ts").or_else(|| stage.says(id, "decision", "ts"));
        assert_eq!(row["time"], asked.unwrap(), "{id}");
    }
}

#[test]
fn what_is_no_record_is_told_and_the_rest_is_exported() {
    let stage = Stage::new();
    let mut gate = stage.segment("gate-1001-0-3");
    let forged = entries::made(entries::CONN).new_tree(&mut TestRunner::deterministic()).unwrap().current();
    gate.write(&forged.on_connection(1));
    gate.file.write_all(b"no record\n").unwrap();
    let output = export(stage.path(), &["ecs"]);
    assert_eq!(output.status.code(), Some(1), "{}", support::said(&output));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("gate-1001-0-3.ndjson has a record that its writer may not write, at byte 0"),
        "{said}"
    );
    assert!(said.contains("a line of 20261123T034629.000000Z-"), "{said}");
    assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count() as u64, ACCESSES + 2 * OTHERS);
}

#[test]
fn filters_choose_what_is_exported_and_nothing_at_all_is_an_export_too() {
    let stage = Stage::new();
    let id = format!("{}-7-1", entries::boot());
    let output = export(stage.path(), &["ecs", "--req", &id]);
    let event: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((event["event.id"].as_str(), output.status.code()), (Some(&*id), Some(0)));
    let output = export(stage.path(), &["cef", "--unit", "nobody.service"]);
    assert_eq!((output.stdout.len(), output.status.code()), (0, Some(0)), "{}", support::said(&output));
}

#[test]
fn checkpoint_tells_each_access_once() {
    let stage = Stage::new();
    let checkpoint = stage.path().join("checkpoint");
    let run = |more: &[&str]| {
        export(stage.path(), &[&["ecs", "--checkpoint", checkpoint.to_str().unwrap()], more].concat())
    };
    let ids = |output: &Output| -> Vec<String> {
        let events = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let ids = events.map(|line| serde_json::from_slice::<Value>(line).unwrap()["event.id"].to_string());
        ids.filter(|id| id != "null").collect()
    };
    // A run that could not write does not count.
    let full = run(&["-o", "/dev/full/x"]);
    assert_eq!(full.status.code(), Some(3));
    let first = run(&[]);
    assert_eq!(first.status.code(), Some(0), "{}", support::said(&first));
    assert!(ids(&first).len() > 100, "{}", support::said(&first));
    let second = run(&[]);
    assert_eq!((second.stdout.len(), second.status.code()), (0, Some(0)), "{}", support::said(&second));
    let mut later = stage.segment("warden-9");
    let made = entries::made(entries::CONN).new_tree(&mut TestRunner::deterministic()).unwrap().current();
    later.write(&made.on_connection(9_000).shed());
    let third = run(&[]);
    assert_eq!(ids(&third), [format!("\"{}-9000\"", entries::boot())], "{}", support::said(&third));
    // Another format is another question.
    let other = export(stage.path(), &["cef", "--checkpoint", checkpoint.to_str().unwrap()]);
    assert_eq!(other.status.code(), Some(3));
}

#[test]
fn a_file_has_its_name_only_when_it_is_whole() {
    let stage = Stage::new();
    let full = export(stage.path(), &["ocsf", "-o", "/dev/full/x"]);
    assert_eq!(full.status.code(), Some(3), "{}", support::said(&full));
    assert!(support::said(&full).contains("can't write /dev/full/x"), "{}", support::said(&full));
    let file = stage.path().join("out.json");
    std::fs::write(&file, "before").unwrap();
    // Nothing is longer than this here: the file is written, and can't become whole.
    let mut limited = Command::new("prlimit");
    limited.args([
        "--fsize=4096",
        "env",
        "--ignore-signal=XFSZ",
        env!("CARGO_BIN_EXE_peergate"),
        "audit",
        "export",
    ]);
    limited.args(["--to", "ocsf", "-o"]).arg(&file).arg("--dir").arg(stage.path());
    let output = limited.output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", support::said(&output));
    assert_eq!(std::fs::read(&file).unwrap(), b"before");
    let left = std::fs::read_dir(stage.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(!left.into_iter().any(|name| name.to_string_lossy().ends_with(".part")));
    let output = export(stage.path(), &["ocsf", "-o", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", support::said(&output));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // Neither through a link nor in the place of one.
    let link = stage.path().join("link.json");
    std::os::unix::fs::symlink("elsewhere", &link).unwrap();
    let output = export(stage.path(), &["ocsf", "-o", link.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3), "{}", support::said(&output));
    assert!(link.is_symlink() && !stage.path().join("elsewhere").exists());
    let strange = export(stage.path(), &["cef", "--host", "a b"]);
    assert_eq!(strange.status.code(), Some(2));
}
