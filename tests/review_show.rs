//! `peergate audit show` over what the real daemon wrote: the seals of a request's records, and what would have had to be
//! different.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::records;
use support::reviewed::{command, id_of, json, recorded, review, scribes};

/// The first seal over the record of this kind that is about `id`, worked out by hand: its segment, epoch, number, time.
fn sealed_by(audit: &Path, kind: &str, id: &str) -> (String, Value) {
    let mut place = None;
    for path in records::segments(audit) {
        let mut at = 0_u64;
        for line in records::bytes_of(&path).unwrap().split_inclusive(|byte| *byte == b'\n') {
            let record: Value = serde_json::from_slice(line).unwrap();
            if record["t"] == kind && record["id"] == id {
                place = Some((path.file_name().unwrap().to_str().unwrap().to_owned(), at));
            }
            at += line.len() as u64;
        }
    }
    let (segment, byte) = place.unwrap();
    let holds = |record: &Value, at: u64| {
        record["from"].as_u64().unwrap() <= at && at < record["to"].as_u64().unwrap()
    };
    for (name, lines) in scribes(audit) {
        let range =
            lines.iter().find(|(_, r)| r["t"] == "range" && r["segment"] == *segment && holds(r, byte));
        let Some((at, _)) = range else { continue };
        let seal = lines.iter().find(|(_, r)| r["t"] == "seal" && holds(r, *at));
        if let Some((_, seal)) = seal {
            return (name, seal.clone());
        }
    }
    panic!("no seal is over {kind} {id}");
}

#[test]
fn show_names_the_seal_of_each_record() {
    need_root!();
    let (place, _stage) = recorded();
    let audit = place.path().join("audit");
    for target in ["/allowed/early", "/containers/web/exec", "/allowed/late", "/nowhere"] {
        let id = id_of(&audit, target);
        let (connection, _) = id.rsplit_once('-').unwrap();
        let shown = &json(&audit, &["show", &id])[0];
        let request = &shown["requests"][0];
        assert_eq!(request["decision"]["target"], *target);
        let mut all = vec![("conn", connection, &shown["seal"]), ("decision", &id, &request["seal"])];
        if target.starts_with("/allowed/") {
            all.push(("grant", &id, &request["grant_seals"][0]));
            all.push(("outcome", &id, &request["outcome_seal"]));
        }
        for (kind, id, said) in all {
            let (segment, seal) = sealed_by(&audit, kind, id);
            assert_eq!(said["segment"], segment.as_str(), "{target} {kind}");
            for key in ["epoch", "i", "ts"] {
                assert_eq!(said[key], seal[key], "{target} {kind} {key}");
            }
        }
        let (out, code) = review(&audit, &["show", &id]);
        assert_eq!(code, 0);
        let (segment, seal) = sealed_by(&audit, "decision", &id);
        let (i, epoch, ts) = (&seal["i"], &seal["epoch"], seal["ts"].as_str().unwrap());
        let line = format!("seal      number {i} of epoch {epoch}, at {ts}, in {segment}\n");
        assert!(out.contains(&line), "{line} is not in {out}");
    }
}

/// What show says would have had to be different, for the request with this target.
fn nearest(audit: &Path, target: &str, more: &[&str]) -> Vec<String> {
    let shown = json(audit, &[&["show", &id_of(audit, target)], more].concat()).remove(0);
    let told = shown["requests"][0]["nearest"].as_array().unwrap_or_else(|| panic!("{shown}")).iter();
    told.map(|sentence| sentence.as_str().unwrap().to_owned()).collect()
}

#[test]
fn show_says_what_would_have_had_to_be_different() {
    need_root!();
    let (place, stage) = recorded();
    let audit = place.path().join("audit");
    let gid = nix::unistd::Group::from_name("pg-docker-ops").unwrap().unwrap().gid;
    let text = fs::read_to_string(&stage.policy).unwrap();
    let line = |of: &str| text.lines().position(|line| line == of).unwrap() + 1;
    // Without a hint: the record names the file, and it is what it was.
    let told = nearest(&audit, "/containers/web/exec", &[]);
    let allow = line("allow = [\"operators\"]");
    assert_eq!(told.len(), 1, "{told:?}");
    let begin = format!("who.operators (policy.toml:{allow}) asks for group {gid} where the caller is in ");
    assert!(told[0].starts_with(&begin), "{told:?}");
    assert_eq!(
        nearest(&audit, "/containers/json?since=1", &[]),
        [format!(
            "route list (policy.toml:{}) does not take \"since\" in its query, but all",
            line("id = \"list\"")
        )]
    );
    assert_eq!(
        nearest(&audit, "/allowed/secrets/key", &[]),
        [format!(
            "forbid.no-secrets (policy.toml:{}) forbids it to everyone, whatever routes allow",
            line("id = \"no-secrets\"")
        )]
    );
    assert_eq!(nearest(&audit, "/nowhere", &[]), ["no route is near it"]);
    // What was allowed has nothing of the kind, and a person is told the same.
    let allowed = json(&audit, &["show", &id_of(&audit, "/allowed/early")]).remove(0);
    assert!(allowed["requests"][0]["nearest"].is_null(), "{allowed}");
    let (out, _) = review(&audit, &["show", &id_of(&audit, "/containers/web/exec")]);
    assert!(out.contains(&format!("\n  nearest   {}\n", told[0])), "{out}");

    // The file has changed: nothing is explained by what did not decide, unless somebody says that it should.
    let then = place.path().join("then.toml");
    fs::write(&then, &text).unwrap();
    fs::write(&stage.policy, format!("{text}# another\n")).unwrap();
    let changed = nearest(&audit, "/containers/web/exec", &[]);
    assert_eq!(changed.len(), 1);
    assert!(
        changed[0].contains("has changed since (") && changed[0].contains("--policy FILE"),
        "{changed:?}"
    );
    let by_then = nearest(&audit, "/containers/web/exec", &["--policy", then.to_str().unwrap()]);
    assert_eq!(by_then, [told[0].replace("policy.toml", "then.toml")]);
    let by_now = nearest(&audit, "/containers/web/exec", &["--policy", stage.policy.to_str().unwrap()]);
    assert!(by_now[0].contains("is another policy (") && by_now[1] == told[0], "{by_now:?}");
    let output =
        command(&audit, &["show", &id_of(&audit, "/nowhere"), "--policy", "/nowhere"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", support::said(&output));
}
