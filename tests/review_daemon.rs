//! A review of what the real daemon wrote: sealed, over a restart, with requests that were allowed and denied, and a
//! segment that is compressed.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::reviewed::{Stage, ask, ask_until, command, copied, json, recorded, review, scribes};
use support::{daemon, records};

#[test]
fn search_finds_in_the_compressed_segment_and_behind_the_restart() {
    need_root!();
    let (place, _stage) = recorded();
    let audit = place.path().join("audit");
    let all = records::read(&audit);
    let denied = json(&audit, &["search", "--decision", "deny"]);
    let told = |key: &str| -> Vec<&str> { denied.iter().map(|it| it[key].as_str().unwrap()).collect() };
    assert_eq!(told("refusal"), ["not-allowed", "query-name", "forbidden", "no-route"]);
    let mut ids = told("id");
    let mut expected: Vec<&str> = all
        .iter()
        .filter(|record| record["decision"] == "deny")
        .map(|record| record["id"].as_str().unwrap())
        .collect();
    ids.sort_unstable();
    expected.sort_unstable();
    assert_eq!(ids, expected);
    // Each allowed one is there, whole: caller, grant and end.
    let allowed = json(&audit, &["search", "--decision", "allow"]);
    assert_eq!(allowed.len(), all.iter().filter(|record| record["decision"] == "allow").count());
    for access in &allowed {
        assert!(access["doubts"].is_null(), "{access}");
        assert_eq!(access["status"], 200);
    }
    let (out, code) = review(&audit, &["search", "--user", "pg-olga"]);
    assert_eq!((out.lines().count(), code), (1, 0), "{out}");
    assert!(out.contains("ALLOW") && out.contains("by=who.operators at=policy.toml:"), "{out}");
    for (question, found) in [(["search", "early"], 1), (["search", "late"], 1), (["search", "never"], 0)] {
        let (out, code) = review(&audit, &question);
        assert_eq!((out.lines().count(), code), (found, i32::from(found == 0)), "{question:?}");
    }
}

#[test]
fn tail_prints_every_record_once_and_the_latest_last() {
    need_root!();
    let (place, _stage) = recorded();
    let audit = place.path().join("audit");
    let key = |record: &Value| record.to_string();
    let mut told: Vec<String> = json(&audit, &["tail", "--all"]).iter().map(key).collect();
    let mut there: Vec<String> = records::read(&audit).iter().map(key).collect();
    told.sort();
    there.sort();
    assert_eq!(told, there);
    let (out, code) = review(&audit, &["tail", "-n", "2", "--decision", "deny"]);
    assert_eq!(code, 0);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 2, "{out}");
    assert!(lines[0].contains("(forbidden)") && lines[1].contains("GET /nowhere (no-route)"), "{out}");
}

#[test]
fn report_counts_what_is_there_and_tells_the_denied_first() {
    need_root!();
    let (place, _stage) = recorded();
    let audit = place.path().join("audit");
    let all = records::read(&audit);
    let count = |verdict: &str| all.iter().filter(|record| record["decision"] == verdict).count();
    let report = &json(&audit, &["report"])[0];
    assert_eq!(report["allowed"], count("allow"));
    assert_eq!((&report["denied"], &report["open"], &report["doubtful"]), (&4.into(), &0.into(), &0.into()));
    let (out, code) = review(&audit, &["report"]);
    assert_eq!(code, 0);
    let at = |text: &str| out.find(text).unwrap_or_else(|| panic!("{text} is not in {out}"));
    assert!(at("Denied: why, who, what") < at("Never seen before"));
    for line in
        ["not-allowed root POST /containers/web/exec", "no-route root GET /nowhere", "new  pg-olga - list"]
    {
        at(line);
    }
}

#[test]
fn bundle_has_the_verdict_on_what_is_in_it() {
    need_root!();
    let (place, stage) = recorded();
    let audit = place.path().join("audit");
    let key = audit.join("genesis.pub");
    let made = place.path().join("evidence.tar");
    let arguments = ["--key", key.to_str().unwrap(), "--policy", stage.policy.to_str().unwrap()];
    let (_, code) = review(&audit, &[&["bundle"][..], &arguments, &[made.to_str().unwrap()]].concat());
    assert_eq!(code, 0);
    let out = place.path().join("out");
    fs::create_dir(&out).unwrap();
    support::run(Command::new("tar").arg("-xf").arg(&made).arg("-C").arg(&out));
    // The files are those that the manifest names, and they are what it says.
    let check = "cut -d' ' -f1,3- MANIFEST | sed 's/ /  /' | sha256sum --check --strict --quiet";
    support::run(Command::new("sh").arg("-ec").arg(check).current_dir(&out));
    assert_eq!(fs::read(out.join("policy/1-policy.toml")).unwrap(), fs::read(&stage.policy).unwrap());
    for secret in ["seal.key", "hash.key"] {
        assert!(audit.join(secret).exists() && !out.join("record").join(secret).exists(), "{secret}");
    }
    // What it says of the record is what verify says of the copy that is in it, with the key that was kept elsewhere.
    let verify = Command::new(env!("CARGO_BIN_EXE_peergate"))
        .args(["audit", "verify", "--format", "json", "--key"])
        .args([&key, &out.join("record")])
        .output()
        .unwrap();
    assert_eq!(verify.status.code(), Some(0), "{}", support::said(&verify));
    let parse =
        |text: &str| -> Vec<Value> { text.lines().map(|l| serde_json::from_str(l).unwrap()).collect() };
    let said = parse(&fs::read_to_string(out.join("verify.ndjson")).unwrap());
    let mut again = parse(&support::out(&verify));
    for line in &mut again {
        line.as_object_mut().unwrap().remove("mb_per_second");
    }
    assert_eq!(said, again);
    let sum = said.last().unwrap();
    assert_eq!((&sum["whole"], &sum["unsealed"], &sum["exit_code"]), (&true.into(), &0.into(), &0.into()));
    assert!(sum["epochs"].as_u64() >= Some(2), "{sum}");
    assert_eq!(sum["sealed"], records::read(&audit).len());
}

#[test]
fn bundle_says_what_is_damaged() {
    need_root!();
    let (place, _stage) = recorded();
    let copy = copied(&place.path().join("audit"), &place.path().join("copy"));
    let name = records::segments(&copy)
        .into_iter()
        .find(|path| path.to_str().unwrap().contains("-warden-"))
        .unwrap();
    let mut bytes = fs::read(&name).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&name, bytes).unwrap();
    let key = place.path().join("audit/genesis.pub");
    let made = place.path().join("damaged.tar");
    let (_, code) = review(&copy, &["bundle", "--key", key.to_str().unwrap(), made.to_str().unwrap()]);
    assert_eq!(code, 0);
    let said = support::run(Command::new("tar").arg("-xOf").arg(&made).arg("verify.ndjson"));
    let lines: Vec<Value> =
        support::out(&said).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["damage"], "changed", "{lines:?}");
    assert_eq!(lines[0]["file"], name.file_name().unwrap().to_str().unwrap());
    assert_eq!(
        (&lines.last().unwrap()["whole"], &lines.last().unwrap()["exit_code"]),
        (&false.into(), &19.into())
    );
}

/// What a dry run says of each segment: the reason that it goes for, or the one that it stays for.
fn plan(audit: &Path, arguments: &[&str]) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let mut plan = (BTreeMap::new(), BTreeMap::new());
    for line in json(audit, &[&["prune", "--dry-run"], arguments].concat()) {
        let (name, why) =
            (line["segment"].as_str().unwrap().to_owned(), line["why"].as_str().unwrap().to_owned());
        if line["goes"] == true {
            plan.0.insert(name, why)
        } else {
            plan.1.insert(name, why)
        };
    }
    plan
}

#[test]
fn prune_dry_run_plans_by_the_policy_what_the_daemon_then_does() {
    need_root!();
    let place = daemon::place();
    let list = place.path().join("shipped");
    fs::write(&list, "").unwrap();
    let stage = Stage::new(&place, "compress = false");
    let daemon = stage.start(place);
    let audit = daemon.path("audit");
    let closed = || -> Vec<String> {
        let all = records::read(&audit);
        let of_gates =
            all.iter().filter(|r| r["t"] == "close" && r["segment"].as_str().unwrap().contains("-gate-"));
        of_gates.map(|record| record["segment"].as_str().unwrap().to_owned()).collect()
    };
    ask_until(&daemon, || closed().len() >= 3);
    let names = closed();
    let (place, _) = daemon.stop_keeping();
    let audit = place.path().join("audit");
    stage.set(place.path(), "compress = false\nkeep = { count = 1 }\nshipped = \"@DIR@/shipped\"");
    let policy = stage.policy.to_str().unwrap();

    // By what a policy without it means, nothing goes; and nothing goes that no shipper has.
    assert_eq!(plan(&audit, &[]).0, BTreeMap::new());
    let (goes, stays) = plan(&audit, &["--policy", policy]);
    assert_eq!(goes, BTreeMap::new());
    assert_eq!(stays[&names[0]], "it is not shipped");

    // The second one is shipped, and goes; the others stay.
    fs::write(&list, format!("{}.zst\n", names[1])).unwrap();
    let (goes, stays) = plan(&audit, &["--policy", policy]);
    assert_eq!(goes, BTreeMap::from([(names[1].clone(), "count".to_owned())]));
    assert_eq!((&*stays[&names[0]], &*stays[&names[2]]), ("it is not shipped", "it is not shipped"));
    let (out, code) = review(&audit, &["prune", "--dry-run", "--policy", policy]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains(&format!("bytes  {}  (count)", names[1])), "{out}");
    assert!(out.contains("1 of ") && audit.join(&names[1]).exists(), "{out}");

    // Who can't read what was shipped removes nothing, and says so.
    fs::rename(&list, place.path().join("elsewhere")).unwrap();
    let output = command(&audit, &["prune", "--dry-run", "--policy", policy]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        support::said(&output).contains("peergate: can't read what was shipped, in "),
        "{}",
        support::said(&output)
    );
    fs::rename(place.path().join("elsewhere"), &list).unwrap();

    // The daemon comes to the same.
    let daemon = stage.start(place);
    let pruned = daemon.wait_for("a segment that goes", |record| record["t"] == "prune");
    assert_eq!((pruned["segment"].as_str(), pruned["why"].as_str()), (Some(&*names[1]), Some("count")));
    daemon.wait_until_gone(&daemon.path("audit").join(&names[1]));
    let (_place, all) = daemon.stop_keeping_whatever_was_pruned();
    assert_eq!(all.iter().filter(|record| record["t"] == "prune").count(), 1);
}

/// What status says, of the daemon at that control socket where there is one.
fn status(audit: &Path, control: &Path) -> Value {
    json(audit, &["status", "--control", control.to_str().unwrap()]).remove(0)
}

#[test]
fn status_tells_what_daemon_and_directory_know() {
    need_root!();
    let place = daemon::place();
    let heads = place.path().join("heads");
    fs::write(&heads, "").unwrap();
    let stage = Stage::new(&place, "witness = { file = \"@DIR@/heads\" }");
    let daemon = stage.start(place);
    ask(&daemon, "GET", "/allowed/a", 200);
    daemon.wait_for("a seal over it", |record| record["t"] == "seal" && record["i"].as_u64() >= Some(1));
    let (audit, control) = (daemon.path("audit"), daemon.path("run/c"));
    support::heads::until("a witness that has a head", || {
        (status(&audit, &control)["witness"][0]["taken"].as_u64() >= Some(1)).then_some(())
    });
    let running = status(&audit, &control);
    assert_eq!(running["recordable"], true);
    for number in ["sync_p99_us", "unsynced", "unsealed", "seal_age_s", "witness_age_s", "days_until_full"] {
        assert!(running[number].is_u64(), "{number}: {running}");
    }
    assert!(running["sync_p99_us"].as_u64() > Some(0), "{running}");
    let (out, code) = review(&audit, &["status", "--control", control.to_str().unwrap()]);
    assert_eq!(code, 0);
    for said in ["a sync takes ", "latest witness ", "witness file: last head ", "latest seal ", "is written"]
    {
        assert!(out.contains(said), "{said} is not in {out}");
    }

    // By another path it is the same directory, and a copy of all of it is another: what the daemon knows is of its own.
    let link = daemon.path("link");
    std::os::unix::fs::symlink(&audit, &link).unwrap();
    assert_eq!(status(&link, &control)["daemon"], "writes-it");
    let copy = copied(&audit, &daemon.path("copy"));
    assert_eq!(fs::read(copy.join("genesis.pub")).unwrap(), fs::read(audit.join("genesis.pub")).unwrap());
    ask(&daemon, "GET", "/allowed/b", 200);
    daemon.wait_for("an outcome of it", |record| record["t"] == "outcome" && record["n"].as_u64() > Some(2));
    let (other, alone) = (status(&copy, &control), status(&copy, Path::new("/nobody/here")));
    assert_eq!((&other["daemon"], &alone["daemon"]), (&"writes-another".into(), &"none".into()));
    for told in [&other, &alone] {
        for of_daemon in ["recordable", "sync_p99_us", "unsynced", "stuck", "witness", "witness_age_s"] {
            assert!(told[of_daemon].is_null(), "{of_daemon}: {told}");
        }
    }
    for of_directory in ["segments", "bytes", "unsealed", "settled", "compressed", "bytes_last_hour"] {
        assert_eq!(other[of_directory], alone[of_directory], "{of_directory}");
        assert!(other[of_directory].is_u64(), "{of_directory}: {other}");
    }
    // A copy does not grow.
    assert!(other["bytes_per_day"].is_null() && other["days_until_full"].is_null(), "{other}");
    let (out, _) = review(&copy, &["status", "--control", control.to_str().unwrap()]);
    assert!(out.contains("the daemon that answers here writes another record"), "{out}");
    assert!(!out.contains("is written") && !out.contains("disk is full in"), "{out}");
    let (out, _) = review(&copy, &["status", "--control", "/nobody/here"]);
    assert!(out.contains("no daemon answers: can't ask the daemon at /nobody/here: "), "{out}");

    // Afterwards the directory alone speaks: all of it was sealed, all of it in the last hour.
    let (place, all) = daemon.stop_keeping();
    let audit = place.path().join("audit");
    let stopped = status(&audit, &place.path().join("run/c"));
    assert!(stopped["recordable"].is_null(), "{stopped}");
    assert_eq!(stopped["unsealed"], 0, "{stopped}");
    let written: u64 = all
        .iter()
        .filter(|record| record["t"] == "range")
        .map(|record| record["to"].as_u64().unwrap() - record["from"].as_u64().unwrap())
        .sum();
    let own: usize =
        scribes(&audit).iter().map(|(name, _)| records::bytes_of(&audit.join(name)).unwrap().len()).sum();
    assert_eq!(stopped["bytes_last_hour"].as_u64(), Some(written + own as u64), "{stopped}");
    assert_eq!(stopped["bytes_last_hour"], stopped["bytes_last_day"]);
}
