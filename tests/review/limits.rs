//! A review where something is short, in the way, or made to harm who reads it.

use super::*;
use std::os::unix::fs::{PermissionsExt, symlink};

#[test]
fn search_needs_few_descriptors_however_many_segments_overlap() {
    let log = Log::new();
    log.conn(0, 41, "deploy");
    let segments = 120;
    for number in 0..segments {
        let segment = format!("20261123T100000.000000Z-7k3qzd-gate-1001-{number}-{}.ndjson", number + 2);
        for second in 1..4 {
            log.deny(&segment, second, &format!("41-{}", number * 3 + second), "/x");
        }
        if number % 2 == 0 {
            log.pack(&segment);
        }
    }
    for arguments in
        [&["search", "--decision", "deny"][..], &["search"], &["tail", "-n", "1000", "--format", "csv"]]
    {
        let asked = log.command(arguments);
        let all = log.run(arguments).0;
        let mut limited = Command::new("prlimit");
        limited.arg("--nofile=24:24").arg(asked.get_program()).args(asked.get_args());
        let output = limited.env("XDG_STATE_HOME", log.0.path()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(String::from_utf8(output.stdout).unwrap(), all, "{arguments:?}");
        assert!(all.matches("7k3qzd-41-").count() >= 3 * segments as usize, "{all}");
    }
}

#[test]
fn answer_that_lacks_something_exits_with_3() {
    let log = day();
    symlink("/etc/passwd", log.path(NEXT)).unwrap();
    for arguments in [
        &["search"][..],
        &["search", "no such text"],
        &["search", "--status", "200"],
        &["report"],
        &["report", "--html", "page.html"],
        &["anomalies"],
        &["tail"],
        &["tail", "--format", "csv"],
        &["top", "--once"],
    ] {
        let (_, err, code) = log.bytes(arguments);
        let err = String::from_utf8(err).unwrap();
        assert_eq!(code, 3, "{arguments:?}: {err}");
        assert!(err.contains("can't read"), "{arguments:?}: {err}");
    }
}

#[test]
fn what_was_removed_before_a_run_with_a_checkpoint_is_said_once() {
    let log = day();
    let prune = |second: u32, segment: &str, bytes: u64| {
        let scribe = "20261123T100000.000000Z-7k3qzd-scribe-9.ndjson";
        let rest = format!("\"segment\":\"{segment}\",\"bytes\":{bytes},\"why\":\"count\"");
        log.add(scribe, second, "prune", &rest);
    };
    let run = |of: &[&str]| {
        let (_, err, code) = log.bytes(&[of, &["--decision", "deny"]].concat());
        (String::from_utf8(err).unwrap(), code)
    };
    let [search, export] =
        [&["search", "--checkpoint", "s"][..], &["export", "--to", "ecs", "--checkpoint", "e"]];
    // The first run asks of what is there, and what it read may go.
    prune(1, &GATE.replace("-0-2", "-0-7"), 900);
    assert_eq!([run(search), run(export)], [(String::new(), 0), (String::new(), 0)]);
    prune(2, GATE, fs::metadata(log.path(GATE)).unwrap().len());
    fs::remove_file(log.path(GATE)).unwrap();
    assert_eq!([run(search), run(export)], [(String::new(), 1), (String::new(), 0)]);
    prune(3, &GATE.replace("-0-2", "-0-8"), 900);
    for (of, next) in [(search, 1), (export, 0)] {
        let (said, code) = run(of);
        assert!(code == 3 && said.contains("1 segments were removed before"), "{code} {said}");
        assert_eq!(run(of), (String::new(), next), "it is said once");
    }
}

#[test]
fn line_that_is_too_long_is_told_and_what_is_behind_it_found() {
    let log = day();
    log.append(GATE, &[vec![b'x'; 1 << 20], b"\n".to_vec()].concat());
    log.deny(GATE, 9, "41-9", "/behind");
    let (out, err, code) = log.bytes(&["search", "behind"]);
    let (out, err) = (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap());
    assert!(out.contains("7k3qzd-41-9") && out.lines().count() == 1, "{out}");
    assert_eq!(code, 3);
    assert!(err.contains(GATE) && err.contains("a line of 1048577 bytes"), "{err}");
}

#[test]
fn connection_that_a_gate_made_up_is_told_once_over_all_runs() {
    let log = day();
    log.add(
        GATE,
        6,
        "conn",
        "\"id\":\"7k3qzd-42\",\"on\":\"docker\",\"uid\":0,\"gid\":0,\"user\":\"root\",\"pid\":9",
    );
    let told = || log.run(&["search", "--checkpoint", "mark"]).0.matches("7k3qzd-42").count();
    assert_eq!([told(), told()], [1, 0]);
}

#[test]
fn files_of_a_review_are_its_owners_and_never_written_through_a_link() {
    let log = day();
    let runs: [(&[&str], &str); 4] = [
        (&["bundle", "file"], "file"),
        (&["report", "--html", "file"], "file"),
        (&["search", "--checkpoint", "file"], "file"),
        (&["report", "--since", "last-report"], "peergate/last-report"),
    ];
    for (arguments, name) in runs {
        let file = log.0.path().join(name);
        log.bytes(arguments);
        let mode =
            fs::metadata(&file).unwrap_or_else(|why| panic!("{arguments:?}: {why}")).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{arguments:?}");
        for target in ["elsewhere", "theirs"] {
            fs::write(log.0.path().join("theirs"), "before").unwrap();
            fs::remove_file(&file).unwrap();
            symlink(log.0.path().join(target), &file).unwrap();
            let (_, err, code) = log.bytes(arguments);
            assert_eq!(code, 3, "{arguments:?}: {}", String::from_utf8_lossy(&err));
            assert!(file.is_symlink() && !log.0.path().join("elsewhere").exists(), "{arguments:?}");
            assert_eq!(fs::read(log.0.path().join("theirs")).unwrap(), b"before", "{arguments:?}");
        }
        fs::remove_file(&file).unwrap();
    }
    let left =
        fs::read_dir(log.0.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(left.filter(|name| name.ends_with(".part")).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn every_line_of_json_is_json_whatever_the_record_holds() {
    let log = day();
    // Half a pair, a list of text, a number with zeros before it, where text and numbers belong.
    for (odd, number) in
        [r#""\ud800""#, r#"["a\"","]"]"#, "007", r#""\udc00\ud800x""#, "-0", "true"].iter().zip(1..)
    {
        let who = format!(
            r#""id":"7k3qzd-{number}","on":{odd},"uid":1001,"gid":1,"groups":{odd},"user":{odd},"pid":9,"ns":{odd},"exe":{odd},"login":{odd},"label":{odd}"#
        );
        log.add(WARDEN, 10, "conn", &who);
        log.add(WARDEN, 10, "conn", &format!(r#"{},"shed":{odd}"#, who.replace("7k3qzd-", "7k3qzd-9")));
        log.add(
            WARDEN,
            11,
            "grant",
            &format!(r#""id":"7k3qzd-{number}-1","uid":1001,"backend":{odd},"policy":{odd},"refused":{odd}"#),
        );
        let asked = format!(
            r#""id":"7k3qzd-{number}-1","uid":1001,"pid":9,"method":{odd},"target":{odd},"route":{odd},"decision":"allow","by":{odd},"at":{odd},"policy":{odd},"shadow":{odd}"#
        );
        log.add(GATE, 11, "decision", &asked);
        log.add(
            GATE,
            12,
            "outcome",
            &format!(r#""id":"7k3qzd-{number}-1","status":200,"result":{odd},"in":0,"out":5,"us":9"#),
        );
        log.add(GATE, 13, "repeat", &format!(r#""uid":1001,"on":{odd},"route":{odd},"refusal":{odd},"count":2,"first":"2026-11-23T10:00:13.000000Z","last":"2026-11-23T10:00:13.000000Z""#));
        log.add(GATE, 14, "gate", &format!(r#""event":{odd}"#));
        log.add(WARDEN, 14, "gate", &format!(r#""event":{odd}"#));
    }
    for arguments in [
        &["search"][..],
        &["tail", "-n", "1000"],
        &["report"],
        &["show", "7k3qzd-2-1"],
        &["show", "7k3qzd-1"],
        &["anomalies", "--since", "2026-11-23T10:00:05Z", "--threshold", "0"],
        &["anomalies", "--since", "2026-11-23T10:00:13Z", "--threshold", "0"],
    ] {
        let (out, err, _) = log.bytes(&[arguments, &["--format", "json"]].concat());
        let out = String::from_utf8(out).unwrap();
        assert!(!out.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&err));
        for line in out.lines() {
            let value = serde_json::from_str::<serde_json::Value>(line);
            assert!(value.is_ok(), "{arguments:?}: {value:?}: {line}");
        }
    }
}

#[test]
fn report_leaves_out_nothing_grave_and_prints_nothing_endless() {
    let log = Log::new();
    log.conn(1, 41, "deploy");
    let deny = |id: u32, target: &str, more: &str| {
        let rest = format!(
            "\"id\":\"7k3qzd-41-{id}\",\"uid\":1001,\"pid\":9,\"method\":\"GET\",\"target\":\"{target}\",\"decision\":\"deny\",{more}\"policy\":\"9f2c1e77\",\"status\":400,\"us\":9"
        );
        log.add(GATE, 2, "decision", &rest);
    };
    let long = format!("/{}", "A".repeat(5_000));
    deny(1, &long, "\"refusal\":\"no-route\",");
    deny(2, "/a/../b", "\"refusal\":\"dot-segment\",");
    for uid in 0..20 {
        let rest = format!("\"role\":\"gate\",\"uid\":{uid},\"pid\":7,\"event\":\"started\"");
        log.add(WARDEN, 3, "gate", &rest);
    }
    log.add(WARDEN, 3, "policy", "\"new\":\"9f2c1e77\",\"file\":\"p.toml\"");
    log.add(WARDEN, 4, "gate", "\"role\":\"gate\",\"uid\":7,\"pid\":7,\"event\":\"intruded\"");
    log.add(WARDEN, 4, "gate", "\"role\":\"gate\",\"uid\":8,\"pid\":8,\"event\":\"backdated\"");
    let (out, code) = log.run(&["report", "--top", "2"]);
    assert_eq!(code, 0);
    let events = out.split_once("Events\n").unwrap().1;
    let expected =
        "        1  gate backdated\n        1  gate intruded\n       20  gate started\n        1  policy\n";
    assert_eq!(events, expected, "{out}");
    assert!(out.contains(&format!("no-route deploy GET {}... (5001 bytes)\n", &long[..160])), "{out}");
    let (out, _) = log.run(&["report", "--format", "json"]);
    assert!(out.contains(&long), "programs get all of it");
    let (out, _) = log.run(&["search", "--decision", "deny", "--format", "sentence"]);
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].contains(&format!(" {long} on docker since no rule allows it: no-route;")), "{out}");
    assert!(lines[1].contains("GET /a/../b on docker before any rule was asked: dot-segment;"), "{out}");
    let (out, _) = log.run(&["search", "--since", "2026-11-23T10:00:04Z", "--format", "sentence"]);
    assert!(out.contains("the gate of uid 7 (pid 7) was ended for what stood in its segment."), "{out}");
    assert!(
        out.contains("(pid 8) wrote a line of an instant long before it can have been written."),
        "{out}"
    );
}
