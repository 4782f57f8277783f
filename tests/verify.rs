//! `peergate audit verify` as an operator runs it: on what a real daemon wrote, and on damage of each kind.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/sealed.rs"]
mod sealed;
#[path = "support/support.rs"]
mod support;

use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use peergate::audit::chain::Public;
use peergate::audit::verify::{self, Kind, Question, Report};
use sealed::Record;
use serde_json::Value;
use support::client;
use support::daemon::{self, Daemon, write_policy};
use support::upstream::Upstream;

const POLICY: &str = include_str!("policies/up.toml");

/// Exit code, and the lines of the JSON answer: damages, then the summary.
fn verify(directory: &Path, more: &[&str]) -> (i32, Vec<Value>) {
    let (code, out, _) = run(directory, &[&["--format", "json"], more].concat());
    (code, out.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn run(directory: &Path, more: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peergate"));
    let key = directory.join("genesis.pub");
    command.args(["audit", "verify"]).arg(directory).arg("--key").arg(key).args(more);
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[track_caller]
fn whole(directory: &Path) -> Value {
    let (code, lines) = verify(directory, &[]);
    assert_eq!(code, 0, "{lines:#?}");
    lines.into_iter().next_back().unwrap()
}

/// What it says of a sample with one head.
fn sample() -> (tempfile::TempDir, Record, String) {
    let directory = tempfile::tempdir().unwrap();
    let mut record = Record::begin(directory.path(), 1);
    let gate = record.writer("gate-1001-0");
    for number in 1..5 {
        record.access(&gate, number, "/things");
        record.seal();
    }
    (directory, record, gate)
}

#[test]
fn daemons_record_is_whole_while_it_runs_and_when_it_is_stopped() {
    need_root!();
    let place = daemon::place();
    let _upstream = Upstream::start(&place.path().join("up.sock"));
    let daemon = Daemon::start_in(place, POLICY);
    for _ in 0..20 {
        assert_eq!(client::ask(&daemon.socket(), "GET", "/allowed/x").status(), 200);
        assert_eq!(client::ask(&daemon.socket(), "GET", "/denied").status(), 403);
    }
    let audit = daemon.path("audit");
    daemon.wait_for("a seal", |record| record["t"] == "seal");
    whole(&audit);
    let (place, _) = daemon.stop_keeping();
    let summary = whole(&audit);
    assert_eq!((&summary["unsealed"], &summary["torn_bytes"]), (&0.into(), &0.into()), "{summary}");
    assert!(summary["sealed"].as_u64().unwrap() > 60, "{summary}");
    drop(place);
}

#[test]
fn daemons_record_is_whole_after_kills_and_restarts_and_a_changed_byte_is_found() {
    need_root!();
    let mut place = daemon::place();
    let _upstream = Upstream::start(&place.path().join("up.sock"));
    let policy = write_policy(place.path(), POLICY);
    for _ in 0..3 {
        let daemon = Daemon::spawn(place, &policy, |_| {}).unwrap();
        for _ in 0..5 {
            assert_eq!(client::ask(&daemon.socket(), "GET", "/allowed/x").status(), 200);
        }
        place = daemon.kill();
    }
    let daemon = Daemon::spawn(place, &policy, |_| {}).unwrap();
    let (place, _) = daemon.stop_keeping();
    let audit = place.path().join("audit");
    let summary = whole(&audit);
    assert_eq!(summary["epochs"], 4, "{summary}");
    assert_eq!(summary["interrupted"].as_array().unwrap().len(), 3, "{summary}");
    // Each file in turn: a byte in its middle, its last line, all of it.
    let mut damaged = 0;
    for path in segments(&audit) {
        unmark(&path);
        let bytes = fs::read(&path).unwrap();
        let mut other = bytes.clone();
        other[bytes.len() / 2] ^= 1;
        fs::write(&path, &other).unwrap();
        let (code, lines) = verify(&audit, &[]);
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(code >= 10 && lines.iter().any(|line| line["file"] == name), "{name}: {code} {lines:#?}");
        fs::remove_file(&path).unwrap();
        let (code, _) = verify(&audit, &[]);
        assert!(code >= 10, "{name}");
        fs::write(&path, &bytes).unwrap();
        damaged += 1;
    }
    assert!(damaged >= 8, "{damaged}");
    whole(&audit);
}

/// Takes the mark away that a file can only grow.
fn unmark(path: &Path) {
    let file = fs::File::open(path).unwrap();
    peergate::sys::append_only::set(file.as_fd(), false).ok();
}

fn segments(audit: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(audit).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| support::records::is_segment(path));
    all.sort();
    all
}

#[test]
fn segment_that_went_with_its_seals_does_not_come_back_as_another() {
    let (directory, mut record, gate) = sample();
    let (path, own) = (directory.path().join(&gate), record.own_name().to_owned());
    let bytes = fs::read(&path).unwrap();
    // The next start closes it, and has nothing new to seal of it; then retention takes it, and the scribe's after it.
    record.restart();
    record.prune(&gate);
    record.prune(&own);
    assert_eq!(whole(directory.path())["pruned"], 2);
    let forged = String::from_utf8(bytes.clone()).unwrap().replace("/things", "/others");
    assert_eq!(forged.len(), bytes.len());
    // Nothing that is left vouches for its bytes, be they what they were.
    for bytes in [forged.into_bytes(), bytes] {
        fs::write(&path, &bytes).unwrap();
        let (code, lines) = verify(directory.path(), &[]);
        assert_eq!(code, i32::from(Kind::MissingRange.exit_code()), "{lines:#?}");
        assert_eq!(
            (&lines[0]["file"], &lines[0]["to"]),
            (&(*gate).into(), &bytes.len().into()),
            "{lines:#?}"
        );
    }
}

#[test]
fn epoch_is_pruned_by_right_though_the_segment_that_said_so_is_pruned_too() {
    let (directory, mut record, _) = sample();
    let early = record.head();
    let mut own = vec![record.own_name().to_owned()];
    for _ in 0..4 {
        record.rotate();
        own.push(record.own_name().to_owned());
        record.seal();
    }
    // The first goes on record in epoch 4, and that with the others in epoch 5.
    record.prune(&own[0]);
    record.rotate();
    own[1..].iter().for_each(|name| record.prune(name));
    assert_eq!(whole(directory.path())["pruned"], 4);
    let file = tempfile::NamedTempFile::new().unwrap();
    for (head, code) in [(format!("{early}\n"), 1), (format!("{early}\n{}\n", record.head()), 0)] {
        fs::write(file.path(), head).unwrap();
        let (found, lines) = verify(directory.path(), &["--witness", file.path().to_str().unwrap()]);
        assert_eq!(found, code, "{lines:#?}");
    }
    // Of what stays nothing goes without a word.
    let last = record.own_name().to_owned();
    record.rotate();
    record.rotate();
    record.seal();
    fs::remove_file(directory.path().join(&last)).unwrap();
    assert_eq!(verify(directory.path(), &[]).0, i32::from(Kind::MissingSegment.exit_code()));
}

/// Verifies, and does this when the scribe's segments are read and no other is.
fn verify_while(directory: &Path, pin: Public, happens: impl FnOnce()) -> Report {
    let question = Question { pins: vec![pin], threads: 1, ..Question::default() };
    let own = segments(directory).into_iter().filter(|path| path.to_str().unwrap().contains("-scribe-"));
    let own: u64 = own.map(|path| fs::metadata(path).unwrap().len()).sum();
    let mut happens = Some(happens);
    let mut progress = |done, _| {
        if done >= own
            && let Some(happens) = happens.take()
        {
            happens();
        }
    };
    verify::verify(directory, &question, &mut progress).unwrap()
}

#[test]
fn segment_that_is_pruned_while_it_is_verified_is_no_damage() {
    let (directory, mut record, gate) = sample();
    let before = record.own_name().to_owned();
    record.close(&gate);
    record.rotate();
    record.seal();
    let pin = record.genesis();
    let report = verify_while(directory.path(), pin, || {
        record.prune(&gate);
        record.prune(&before);
    });
    assert_eq!((report.damages, report.sealed > 0), (Vec::new(), true));
    // One that is sealed, and was not there yet when the record was listed.
    let young = record.writer("gate-1001-1");
    record.close(&young);
    record.seal();
    let elsewhere = tempfile::tempdir().unwrap();
    let (path, away) = (directory.path().join(&young), elsewhere.path().join(&young));
    fs::rename(&path, &away).unwrap();
    let report = verify_while(directory.path(), pin, || {
        fs::rename(&away, &path).unwrap();
        record.prune(&young);
    });
    assert_eq!(report.damages, []);
    let other = record.writer("gate-1001-2");
    record.seal();
    let report =
        verify_while(directory.path(), pin, || fs::remove_file(directory.path().join(&other)).unwrap());
    assert_eq!(report.damages[0].file, other, "nothing says that it may be gone");
}

#[test]
fn segment_whose_compressed_form_gives_way_to_another_text_is_not_passed_over() {
    let (directory, mut record, gate) = sample();
    record.close(&gate);
    record.seal();
    record.pack(&gate);
    let (plain, packed) = (directory.path().join(&gate), directory.path().join(format!("{gate}.zst")));
    assert!(packed.exists() && !plain.exists());
    let report = verify_while(directory.path(), record.genesis(), || {
        fs::remove_file(&packed).unwrap();
        fs::write(&plain, "another text\n").unwrap();
    });
    let told: Vec<(Kind, &str)> =
        report.damages.iter().map(|damage| (damage.kind, damage.file.as_str())).collect();
    assert_eq!(told, [(Kind::Packed, format!("{gate}.zst").as_str())]);
}

#[test]
fn segment_that_is_being_compressed_is_none_of_somebody_else() {
    let (directory, _record, gate) = sample();
    fs::write(directory.path().join(format!("{gate}.zst.part")), "half").unwrap();
    whole(directory.path());
    fs::write(directory.path().join("other.zst.part"), "half").unwrap();
    assert_eq!(verify(directory.path(), &[]).0, i32::from(Kind::ForeignFile.exit_code()));
}

#[test]
fn change_is_told_whatever_else_was_changed_to_hide_it() {
    let (directory, record, gate) = sample();
    let (path, own) = (directory.path().join(&gate), directory.path().join(record.own_name()));
    let bytes = fs::read(&path).unwrap();
    let mut changed = bytes.clone();
    let at = bytes.len() - 40;
    changed[at] ^= 1;
    fs::write(&path, changed).unwrap();
    let told = || {
        let (code, lines) = verify(directory.path(), &[]);
        assert!(code >= 10, "{lines:#?}");
        let found = lines.iter().any(|line| line["damage"] == "changed" && line["file"] == *gate);
        assert!(found, "{lines:#?}");
    };
    told();
    // A segment of the scribe's that nobody signed, and a line of a true one, say that one range has all of it.
    let text = fs::read_to_string(&own).unwrap();
    let (first, to) = (text.lines().find(|line| line.contains("\"range\"")).unwrap(), "\"to\":");
    let place = first.find(to).unwrap() + to.len();
    let digits = first[place..].find(',').unwrap();
    let wide = format!("{}{}{}", &first[..place], "9".repeat(digits), &first[place + digits..]);
    let lines: Vec<&str> =
        text.lines().enumerate().filter(|(at, _)| *at != 1).map(|(_, line)| line).collect();
    let forged = lines.join("\n").replace(first, &wide) + "\n";
    let before = directory.path().join(record.own_name().replacen("2026", "2025", 1));
    fs::write(&before, forged).unwrap();
    told();
    fs::remove_file(before).unwrap();
    fs::write(&own, text.replace(first, &wide)).unwrap();
    told();
}

#[test]
fn whole_record_says_through_when_and_that_its_end_is_not_proven() {
    let (directory, record, _) = sample();
    let (code, out, err) = run(directory.path(), &[]);
    let head = record.head();
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains(&format!("trusted through {} (seal 3 of epoch 0)", head.ts)), "{out}");
    assert!(out.contains("end: not proven") && out.starts_with("whole\n"), "{out}");
}

#[test]
fn witness_proves_the_end_whatever_carries_its_lines() {
    let (directory, record, _) = sample();
    let head = record.head();
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    for line in [
        format!("{head}\n"),
        format!("<110>1 2026-11-23T03:46:29Z host peergated 7 - - {head}\n"),
        format!("{{\"MESSAGE\":\"{head}\",\"_PID\":\"7\"}}\n"),
        format!("Nov 23 03:46:29 host peergated[7]: {head}\nNov 23 03:46:30 host something else\n"),
    ] {
        fs::write(path, line).unwrap();
        let (code, lines) = verify(directory.path(), &["--witness", path]);
        let summary = lines.last().unwrap();
        assert_eq!((code, &summary["end"]), (0, &"proven".into()), "{summary}");
        assert_eq!(summary["proven_through"], head.ts.as_str());
    }
    fs::write(path, "nothing of ours\n").unwrap();
    let (code, out, _) = run(directory.path(), &["--witness", path]);
    assert!(code == 1 && out.contains("no head of this record"), "{code} {out}");
    fs::write(path, format!("{head}\n").replace("i=3", "i=9")).unwrap();
    let (code, lines) = verify(directory.path(), &["--witness", path]);
    assert_eq!((code, &lines[0]["damage"]), (15, &"rolled-back".into()));
    let (code, _, err) = run(directory.path(), &["--witness", "/nowhere"]);
    assert!(code == 3 && err.contains("/nowhere"), "{err}");
}

#[test]
fn damage_names_file_line_and_record_and_has_its_exit_code() {
    let (directory, _record, gate) = sample();
    let path = directory.path().join(&gate);
    let bytes = fs::read(&path).unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();
    fs::write(&path, text.replacen("-41-2\"", "-41-7\"", 1)).unwrap();
    let (code, lines) = verify(directory.path(), &[]);
    assert_eq!(code, 19);
    assert_eq!((&lines[0]["damage"], &lines[0]["file"]), (&"changed".into(), &gate.as_str().into()));
    assert_eq!(
        (&lines[0]["line"], &lines[0]["last_line"], &lines[0]["record"]),
        (&4.into(), &5.into(), &3.into())
    );
    let (code, out, _) = run(directory.path(), &[]);
    assert!(code == 19 && out.contains(&format!("changed: {gate}, lines 4 to 5 (records 3 to 4)")), "{out}");
    fs::write(&path, &bytes).unwrap();
    // Only what was asked for is read.
    let one = Command::new(env!("CARGO_BIN_EXE_peergate"))
        .args(["audit", "verify", "--key"])
        .arg(directory.path().join("genesis.pub"))
        .arg(&path)
        .output()
        .unwrap();
    assert_eq!(one.status.code(), Some(0), "{}", support::said(&one));
    assert!(support::said(&one).contains("1 segments"), "{}", support::said(&one));
}

#[test]
fn each_kind_of_damage_to_files_has_its_own_exit_code() {
    type Harm = fn(&Path, &str);
    let cases: [(Kind, Harm); 9] = [
        (Kind::MissingSegment, |dir, gate| fs::remove_file(dir.join(gate)).unwrap()),
        (Kind::Cut, |dir, gate| truncate(&dir.join(gate), 20)),
        (Kind::ForeignFile, |dir, _| fs::write(dir.join("notes.txt"), "mine").unwrap()),
        (Kind::Signature, |dir, _| change(dir, "scribe", "\"sig\":\"", 20)),
        (Kind::Chain, |dir, _| drop_line(dir, "scribe", 3)),
        (Kind::Count, |dir, gate| drop_line(dir, gate, 2)),
        (Kind::Changed, |dir, _| change(dir, "gate", "\"pid\":", 6)),
        (Kind::Packed, |dir, gate| fs::write(dir.join(format!("{gate}.zst")), "no zstd").unwrap()),
        (Kind::WrongKey, |dir, _| fs::write(dir.join("genesis.pub"), "ab".repeat(32)).unwrap()),
    ];
    for (kind, harm) in cases {
        let (directory, _record, gate) = sample();
        harm(directory.path(), &gate);
        let (code, lines) = verify(directory.path(), &[]);
        assert!(lines.iter().any(|line| line["damage"] == kind.code()), "{kind:?}: {lines:#?}");
        assert_eq!(code, i32::from(kind.exit_code()), "{kind:?}: {lines:#?}");
    }
}

fn truncate(path: &Path, by: usize) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() - by]).unwrap();
}

fn file_of(dir: &Path, part: &str) -> PathBuf {
    segments(dir).into_iter().find(|path| path.to_str().unwrap().contains(part)).unwrap()
}

/// Changes the digit that stands so many bytes behind the last such mark.
fn change(dir: &Path, part: &str, mark: &str, behind: usize) {
    let path = file_of(dir, part);
    let mut text = fs::read_to_string(&path).unwrap();
    let at = text.rfind(mark).unwrap() + behind;
    let other = if text.as_bytes()[at] == b'1' { "2" } else { "1" };
    text.replace_range(at..=at, other);
    fs::write(path, text).unwrap();
}

fn drop_line(dir: &Path, part: &str, number: usize) {
    let path = file_of(dir, part);
    let text = fs::read_to_string(&path).unwrap();
    let kept = text.split_inclusive('\n').enumerate().filter(|(at, _)| *at != number);
    fs::write(&path, kept.map(|(_, line)| line).collect::<String>()).unwrap();
}

#[test]
fn key_that_is_none_is_said_in_words() {
    let (directory, ..) = sample();
    let verify = |key: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_peergate"));
        command.args(["audit", "verify", "--key", key]).arg(directory.path()).output().unwrap()
    };
    for key in ["ABCD", "/nowhere/genesis.pub"] {
        let output = verify(key);
        assert_eq!(output.status.code(), Some(3));
        assert!(support::said(&output).contains("64 hex digits"), "{}", support::said(&output));
    }
}

#[test]
fn segment_that_is_not_there_has_no_verdict() {
    let (directory, ..) = sample();
    let name = "20200101T000000.000000Z-7k3qzd-gate-0-0-1.ndjson";
    let mut command = Command::new(env!("CARGO_BIN_EXE_peergate"));
    command.args(["audit", "verify", "--key", &"0".repeat(64)]).arg(directory.path().join(name));
    let output = command.output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(3), &b""[..]));
    assert!(support::said(&output).contains(name), "{}", support::said(&output));
}

#[test]
fn name_of_a_file_draws_no_verdict() {
    let (directory, ..) = sample();
    fs::write(directory.path().join("x\nwhole\ntrusted through 2099"), "").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_peergate"));
    let output =
        command.args(["audit", "verify", "--key", &"0".repeat(64)]).arg(directory.path()).output().unwrap();
    let said = support::said(&output);
    assert!(said.contains("foreign-file") && said.contains("2099"), "{said}");
    assert!(!said.lines().any(|line| line == "whole" || line.starts_with("trusted through 2099")), "{said}");
}

#[test]
fn manual_and_help_list_every_exit_code() {
    let manual = include_str!("../src/manual/verify.md");
    let help =
        Command::new(env!("CARGO_BIN_EXE_peergate")).args(["audit", "verify", "--help"]).output().unwrap();
    let help = support::said(&help);
    let mut codes = Vec::new();
    for kind in Kind::ALL {
        let row = format!("| {} | `{}` | {} |\n", kind.exit_code(), kind.code(), kind.meaning());
        assert!(manual.contains(&row), "src/manual/verify.md lacks this row:\n{row}");
        assert!(help.contains(&format!("{}  {}", kind.exit_code(), kind.code())), "{kind:?}: {help}");
        codes.push(kind.exit_code());
    }
    assert!(codes.windows(2).all(|pair| pair[0] < pair[1]), "in the order of the kinds: {codes:?}");
}
