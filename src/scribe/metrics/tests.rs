use std::collections::BTreeSet;

use super::catalogue::{FAMILIES, Family, Kind};
use super::*;
use crate::audit::inspect::{Inspector, Role};
use crate::model::caller::{Gid, Uid};
use crate::policy::{self, SystemNames};

const MANUAL: &str = include_str!("../../manual/monitoring.md");

/// A policy with the routes `list` and `stop` on the listener `api` to the backend `up`.
pub(in crate::scribe) fn policy() -> Policy {
    const TEXT: &str = r#"
        version = 1
        [listen.api]
        path = "/run/api.sock"
        [backend.up]
        proxy = "unix:/run/up.sock"
        [who.ops]
        uid = 0
        [[route]]
        id = "list"
        match = ["GET /list"]
        to = "up"
        allow = ["ops"]
        [[route]]
        id = "stop"
        match = ["POST /stop"]
        to = "up"
        allow = ["ops"]
    "#;
    let own = policy::Own::system(Uid::new(0).unwrap(), Gid::new(0).unwrap());
    policy::load_text("test.toml", TEXT, &SystemNames, &own).unwrap()
}

/// A line of ours.
pub(in crate::scribe) fn line(kind: &str, rest: &str) -> String {
    format!(r#"{{"v":1,"t":"{kind}","n":7,"ts":"2026-11-23T03:46:29.123456Z",{rest}}}"#)
}

/// Such a line, as it is judged.
pub(in crate::scribe) fn judged(line: &str, role: Role) -> Judged<'_> {
    Inspector::resumed(role, "7k3qzd".parse().unwrap(), 7).judge(line.as_bytes()).expect(line)
}

fn counted(lines: &[(&str, &str)]) -> String {
    let mut counters = Counters::new();
    counters.know(&policy());
    count(&mut counters, lines);
    counters.text(&Own::default(), &Told::default())
}

fn count(counters: &mut Counters, lines: &[(&str, &str)]) {
    for (kind, rest) in lines {
        let of_warden =
            matches!(*kind, "conn" | "grant" | "gate" | "policy") || rest.contains("connection-limit");
        let line = line(kind, rest);
        let role = if of_warden { Role::Warden } else { Role::Gate };
        counters.count(&judged(&line, role), of_warden, Some(1));
    }
}

#[track_caller]
fn says(text: &str, sample: &str) {
    let name = sample.split(['{', ' ']).next().unwrap();
    let there: Vec<&str> = text.lines().filter(|line| line.starts_with(name)).collect();
    assert!(there.contains(&sample), "no `{sample}`; there are:\n{}", there.join("\n"));
}

const ALLOWED: &str = r#""id":"7k3qzd-41-1","uid":0,"pid":9,"method":"GET","target":"/list","route":"list","decision":"allow","by":"who.ops","at":"p:1","policy":"9f2c1e77""#;

#[test]
fn outcome_is_counted_under_its_decisions_route() {
    let outcome = r#""id":"7k3qzd-41-1","status":200,"result":"completed","in":5,"out":5120,"us":7456"#;
    let text = counted(&[("decision", ALLOWED), ("outcome", outcome), ("outcome", outcome)]);
    says(&text, r#"peergate_decisions_total{route="list",decision="allow",refusal=""} 1"#);
    says(&text, r#"peergate_outcomes_total{route="list",result="completed",status="2xx"} 1"#);
    // There was no second exchange.
    says(&text, r#"peergate_outcomes_total{route="(other)",result="completed",status="2xx"} 1"#);
    says(&text, r#"peergate_request_duration_seconds_bucket{route="list",le="0.005"} 0"#);
    says(&text, r#"peergate_request_duration_seconds_bucket{route="list",le="0.01"} 1"#);
    says(&text, r#"peergate_request_duration_seconds_bucket{route="list",le="+Inf"} 1"#);
    says(&text, r#"peergate_request_duration_seconds_sum{route="list"} 0.007456"#);
    says(&text, r#"peergate_received_bytes_total{route="list"} 5"#);
    says(&text, r#"peergate_sent_bytes_total{route="list"} 5120"#);
    says(&text, "peergate_exchanges_open 0");
    says(&text, "peergate_records_total 3");
}

#[test]
fn exchange_without_outcome_is_open() {
    says(&counted(&[("decision", ALLOWED)]), "peergate_exchanges_open 1");
}

#[test]
fn denials_are_counted_with_those_that_have_no_record_of_their_own() {
    let denied = |route: &str| {
        format!(
            r#""id":"7k3qzd-41-1","uid":0,"pid":9,"method":"GET","target":"/",{route}"decision":"deny","refusal":"not-allowed","policy":"9f2c1e77","status":403,"us":12"#
        )
    };
    let repeat = r#""uid":0,"on":"api","route":"stop","refusal":"not-allowed","count":40,"first":"2026-11-23T03:46:29.123456Z","last":"2026-11-23T03:46:29.123456Z""#;
    let shed = r#""uid":0,"on":"api","refusal":"connection-limit","count":3,"first":"2026-11-23T03:46:29.123456Z","last":"2026-11-23T03:46:29.123456Z""#;
    let text = counted(&[
        ("decision", &denied(r#""route":"stop","#)),
        ("decision", &denied("")),
        ("repeat", repeat),
        ("repeat", shed),
    ]);
    says(&text, r#"peergate_decisions_total{route="stop",decision="deny",refusal="not-allowed"} 41"#);
    says(&text, r#"peergate_decisions_total{route="(none)",decision="deny",refusal="not-allowed"} 1"#);
    says(&text, r#"peergate_connections_shed_total{listener="api",refusal="connection-limit"} 3"#);
    says(&text, r#"peergate_request_duration_seconds_count{route="stop"} 1"#);
}

#[test]
fn what_the_warden_writes_is_counted() {
    let text = counted(&[
        ("conn", r#""id":"7k3qzd-41","on":"api","uid":0,"gid":0,"pid":1"#),
        ("conn", r#""id":"7k3qzd-42","on":"api","uid":0,"gid":0,"pid":1,"shed":"out-of-descriptors""#),
        ("grant", r#""id":"7k3qzd-41-1","uid":0,"backend":"up","policy":"9f2c1e77""#),
        ("grant", r#""id":"7k3qzd-41-1","uid":0,"backend":"up","policy":"9f2c1e77","refused":"not-allowed""#),
        ("gate", r#""role":"gate","uid":0,"pid":1,"event":"violated","syscall":"execve","live":[]"#),
        ("policy", r#""old":"9f2c1e77","file":"p","refused":"no""#),
    ]);
    says(&text, r#"peergate_connections_total{listener="api"} 1"#);
    says(&text, r#"peergate_connections_shed_total{listener="api",refusal="out-of-descriptors"} 1"#);
    says(&text, r#"peergate_grants_total{backend="up",refusal=""} 1"#);
    says(&text, r#"peergate_grants_total{backend="up",refusal="not-allowed"} 1"#);
    says(&text, r#"peergate_role_events_total{role="gate",event="violated"} 1"#);
    says(&text, r#"peergate_policies_total{result="refused"} 1"#);
    says(&text, r#"peergate_role_events_total{role="scribe",event="violated"} 0"#);
}

#[test]
fn labels_are_bounded_whatever_a_gate_writes() {
    let mut counters = Counters::new();
    counters.know(&policy());
    for number in 0..10_000 {
        let invented = format!(
            r#""id":"7k3qzd-41-1","uid":{number},"pid":9,"method":"GET","target":"/","route":"r{number}","decision":"deny","refusal":"because-{number}","policy":"9f2c1e77","status":{number},"us":12"#
        );
        let outcome = format!(
            r#""id":"7k3qzd-9-{number}","status":{number},"result":"x{number}","in":1,"out":1,"us":1"#
        );
        count(&mut counters, &[("decision", &invented), ("outcome", &outcome)]);
    }
    let text = counters.text(&Own::default(), &Told::default());
    says(&text, r#"peergate_decisions_total{route="(other)",decision="deny",refusal="(other)"} 10000"#);
    assert!(text.lines().filter(|line| line.starts_with("peergate_outcomes")).count() <= 10);
    assert!(text.len() < 32 << 10, "{} bytes", text.len());
}

#[test]
fn exchanges_that_are_open_are_bounded() {
    let mut counters = Counters::new();
    for number in 0..OPEN_MOST + 9 {
        let allowed = ALLOWED.replace("-41-1", &format!("-{number}-1"));
        count(&mut counters, &[("decision", &allowed)]);
    }
    assert_eq!(counters.open.len(), OPEN_MOST);
}

#[test]
fn names_of_a_policy_beyond_the_most_are_counted_together() {
    let mut labels = Labels::new(2);
    ["a", "b", "c", "a"].iter().for_each(|name| labels.learn(name));
    let name = |name| labels.name(labels.place(name));
    assert_eq!(
        [name(Some("a")), name(Some("b")), name(Some("c")), name(None)],
        ["a", "b", "(other)", "(none)"]
    );
}

#[test]
fn label_values_are_escaped() {
    let told = Told { missing: vec!["a\\b\"c\nd".to_owned()], ..Told::default() };
    let text = Counters::new().text(&Own::default(), &told);
    says(&text, r#"peergate_posture_missing{layer="a\\b\"c\nd"} 1"#);
}

/// Everything that can have samples has some.
fn everything() -> String {
    let mut counters = Counters::new();
    counters.know(&policy());
    let outcome = r#""id":"7k3qzd-41-1","status":200,"result":"completed","in":5,"out":5120,"us":7456"#;
    let shadowed = format!(r#"{ALLOWED},"shadow":"deny""#);
    count(
        &mut counters,
        &[
            ("decision", &shadowed),
            ("outcome", outcome),
            ("conn", r#""id":"7k3qzd-41","on":"api","uid":0,"gid":0,"pid":1"#),
            ("conn", r#""id":"7k3qzd-42","on":"api","uid":0,"gid":0,"pid":1,"shed":"out-of-descriptors""#),
            ("grant", r#""id":"7k3qzd-41-1","uid":0,"backend":"up","policy":"9f2c1e77""#),
            ("gate", r#""role":"gate","uid":0,"pid":1,"event":"started","live":[]"#),
        ],
    );
    counters.synced(Duration::from_micros(900));
    let own = Own { seal_age: Some(Duration::from_millis(300)), seal: Some((2, 9)), ..Own::default() };
    let witness = crate::wire::told::WitnessStatus { sink: "journal".to_owned(), ..Default::default() };
    let told = Told {
        missing: vec!["no-root".to_owned()],
        open: vec![("api".to_owned(), 1)],
        disk: Some((1, 2)),
        witness: vec![witness],
        ..Told::default()
    };
    counters.text(&own, &told)
}

#[test]
fn text_is_openmetrics() {
    let text = everything();
    assert!(text.ends_with("\n# EOF\n") && text.matches("# EOF").count() == 1);
    let mut family: Option<&Family> = None;
    let mut seen = BTreeSet::new();
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(seen.insert(name), "{name} is there twice");
            let known = FAMILIES.iter().find(|family| family.name == name).unwrap();
            assert_eq!(known.kind.name(), kind);
            family = Some(known);
            continue;
        }
        let family = family.unwrap();
        if let Some(rest) = line.strip_prefix("# UNIT ") {
            assert_eq!(rest, format!("{} {}", family.name, family.unit));
            assert!(family.name.ends_with(&format!("_{}", family.unit)));
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let name = sample.split('{').next().unwrap();
        let endings: &[&str] = match family.kind {
            Kind::Counter => &["_total"],
            Kind::Info => &["_info"],
            Kind::Gauge => &[""],
            Kind::Histogram => &["_bucket", "_count", "_sum"],
        };
        assert!(endings.iter().any(|ending| name == format!("{}{ending}", family.name)), "{line}");
    }
    assert_eq!(seen.len(), FAMILIES.len());
    let empty: Vec<_> =
        FAMILIES.iter().filter(|family| !text.contains(&format!("\n{}", family.name))).collect();
    assert!(empty.is_empty(), "{:?}", empty.iter().map(|family| family.name).collect::<Vec<_>>());
}

#[test]
fn manual_lists_every_metric_and_no_other() {
    let rows = MANUAL.lines().filter_map(|line| line.strip_prefix("| `peergate_"));
    let described: Vec<String> = rows.map(|row| format!("| `peergate_{row}")).collect();
    let text = everything();
    let row = |family: &Family| {
        let ending = match family.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        // Which labels it has is what its samples say.
        let counted = if family.kind == Kind::Histogram { "_count" } else { ending };
        let name = format!("{}{counted}", family.name);
        let mut samples = text.lines().filter_map(|line| line.strip_prefix(&name));
        let sample = samples.find(|rest| rest.starts_with(['{', ' '])).unwrap();
        let inside = sample.split_once('{').map_or("", |(_, rest)| rest.split('}').next().unwrap());
        let labels: Vec<String> =
            inside.split(',').filter_map(|label| Some(format!("`{}`", label.split_once('=')?.0))).collect();
        format!(
            "| `{}{ending}` | {} | {} | {} |",
            family.name,
            family.kind.name(),
            labels.join(", "),
            family.help
        )
        .replace("|  |", "| |")
    };
    let known: Vec<String> = FAMILIES.iter().map(row).collect();
    assert_eq!(described.join("\n"), known.join("\n"));
}
