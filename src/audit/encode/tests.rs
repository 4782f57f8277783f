mod commands;

use super::*;
use crate::audit::entry::Run;
use crate::audit::inspect::{Inspector, Role};
use crate::model::caller::{Attr, Caller, Credentials, Exe, Gid, Namespace, Peer, Uid};
use crate::model::ids::{ConnectionId, RequestId};
use crate::model::outcome::Outcome;
use crate::model::refusal::Refusal;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use serde_json::Value;

const AT: u64 = 1_795_405_589_123_456;

fn connection() -> ConnectionId {
    "7k3qzd-41".parse().unwrap()
}

fn request() -> RequestId {
    "7k3qzd-41-1".parse().unwrap()
}

fn encoded(entry: &Entry<'_>) -> String {
    let mut out = Vec::new();
    line(entry, 1, Timestamp::from_micros(AT), &mut out);
    is_passed_by_the_scribe(entry);
    String::from_utf8(out).unwrap()
}

/// What is written here the scribe takes for a line of ours.
#[track_caller]
fn is_passed_by_the_scribe(entry: &Entry<'_>) {
    let (role, n) = match entry {
        Entry::Open(_) => (Role::Warden, 0),
        Entry::Decision(_) | Entry::Outcome(_) => (Role::Gate, 1),
        Entry::Conn(_)
        | Entry::Grant(_)
        | Entry::Exit(_)
        | Entry::Repeat(_)
        | Entry::Journal(_)
        | Entry::Gate(_)
        | Entry::Policy(_) => (Role::Warden, 1),
        Entry::Close(_)
        | Entry::Range(_)
        | Entry::Recover(_)
        | Entry::Pending(_)
        | Entry::Prune(_)
        | Entry::Intrusion(_) => (Role::Scribe, 1),
    };
    let mut out = Vec::new();
    line(entry, n, Timestamp::from_micros(AT), &mut out);
    let boot = "7k3qzd".parse().unwrap();
    let judged = Inspector::resumed(role, boot, n).judge(out.strip_suffix(b"\n").unwrap()).err();
    assert_eq!(judged, None, "{}", String::from_utf8_lossy(&out));
}

/// The line for `entry` is the common beginning, then `rest`.
#[track_caller]
fn reads(entry: &Entry<'_>, kind: &str, rest: &str) {
    let begin = format!(r#"{{"v":1,"t":"{kind}","n":1,"ts":"2026-11-23T03:46:29.123456Z","#);
    assert_eq!(encoded(entry), format!("{begin}{rest}}}\n"));
}

/// What every line must be, whatever went in.
fn proper(entry: &Entry<'_>) -> Value {
    let line = encoded(entry);
    let (body, end) = line.split_at(line.len() - 1);
    assert_eq!(end, "\n");
    assert!(line.len() <= LINE_MAX, "{} bytes", line.len());
    assert!(body.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{body}");
    serde_json::from_str(body).unwrap()
}

fn caller() -> Caller {
    Caller {
        peer: Peer { uid: 1001, gid: 1001, pid: 48213, real_uid: None },
        credentials: Credentials {
            uid: Attr::Known(Uid::new(1001).unwrap()),
            gid: Attr::Known(Gid::new(1001).unwrap()),
            groups: Attr::Known([1001, 998].map(|gid| Gid::new(gid).unwrap()).to_vec()),
        },
        user: Some("deploy".into()),
        namespace: Attr::Known(Namespace::Host),
        start_time: Attr::Unknown,
        exe: Attr::Unknown,
        unit: Attr::Known("ci.service".into()),
        login_uid: Attr::Unknown,
        label: Attr::Unknown,
    }
}

fn decision<'a>(method: &'a [u8], target: &'a [u8]) -> Decision<'a> {
    Decision {
        id: request(),
        uid: 1001,
        pid: 48213,
        method,
        target,
        route: Some("containers-list"),
        verdict: Decided::Allow,
        by: Some("who.ci"),
        at: Some("policy.toml:42"),
        policy: "9f2c1e77",
        shadow: None,
        part: None,
        fields: &[],
        status: None,
        us: None,
    }
}

#[test]
fn open_golden() {
    let missing = ["no-root".to_owned(), "landlock".to_owned()];
    let mut posture = crate::model::posture::Confinement { seccomp_rows: (34, 2), ..Default::default() };
    posture.status.uids = [0, 60_001, 0, 0];
    posture.status.capabilities.effective = 0x8_0000;
    posture.status.no_new_privs = true;
    posture.landlock = Some(crate::model::posture::LandlockHeld { abi: 7, ..Default::default() });
    let open = Open {
        boot: connection().boot,
        role: "gate",
        uid: Some(1001),
        pid: 7,
        version: "0.1.0",
        policy: "9f2c1e77",
        missing: &missing,
        posture: &posture,
    };
    reads(
        &Entry::Open(open),
        "open",
        r#""boot":"7k3qzd","role":"gate","uid":1001,"pid":7,"version":"0.1.0","policy":"9f2c1e77","missing":["no-root","landlock"],"as":60001,"caps":"80000","nnp":true,"landlock":7,"seccomp":34"#,
    );
}

#[test]
fn conn_golden() {
    let mut caller = caller();
    fn conn(caller: &Caller, shed: Option<Refusal>) -> Entry<'_> {
        Entry::Conn(Conn { id: connection(), on: "docker", caller, shed })
    }
    reads(
        &conn(&caller, None),
        "conn",
        r#""id":"7k3qzd-41","on":"docker","uid":1001,"gid":1001,"groups":[1001,998],"user":"deploy","pid":48213,"ns":"host","unit":"ci.service""#,
    );
    caller.credentials.groups = Attr::Unknown;
    caller.user = None;
    caller.namespace = Attr::Known(Namespace::Other);
    caller.exe = Attr::Known(Exe {
        path: b"/usr/bin/docker".to_vec(),
        device: 65024,
        inode: 9,
        trusted: Attr::Known(true),
    });
    caller.start_time = Attr::Known(123);
    caller.login_uid = Attr::Known(Uid::new(1000).unwrap());
    caller.label = Attr::Known(b"unconfined".to_vec());
    caller.peer.real_uid = Some(1002);
    reads(
        &conn(&caller, Some(Refusal::ConnectionLimit)),
        "conn",
        r#""id":"7k3qzd-41","on":"docker","uid":1001,"gid":1001,"pid":48213,"ns":"other","exe":"/usr/bin/docker","unit":"ci.service","login":1000,"label":"unconfined","ruid":1002,"start":123,"dev":65024,"ino":9,"shed":"connection-limit""#,
    );
}

#[test]
fn grant_golden() {
    let grant = |refused| {
        Entry::Grant(Grant {
            id: request(),
            uid: 1001,
            backend: "docker",
            policy: "9f2c1e77",
            refused,
            via: None,
            run: None,
        })
    };
    reads(&grant(None), "grant", r#""id":"7k3qzd-41-1","uid":1001,"backend":"docker","policy":"9f2c1e77""#);
    reads(
        &grant(Some(Refusal::BackendOwner)),
        "grant",
        r#""id":"7k3qzd-41-1","uid":1001,"backend":"docker","policy":"9f2c1e77","refused":"backend-owner""#,
    );
}

#[test]
fn decision_golden() {
    let allowed = decision(b"GET", b"/v1.41/containers/json?all=1");
    reads(
        &Entry::Decision(allowed.clone()),
        "decision",
        r#""id":"7k3qzd-41-1","uid":1001,"pid":48213,"method":"GET","target":"/v1.41/containers/json?all=1","route":"containers-list","decision":"allow","by":"who.ci","at":"policy.toml:42","policy":"9f2c1e77""#,
    );
    let denied = Decision {
        route: None,
        by: None,
        at: None,
        verdict: Decided::Deny(Refusal::NoRoute),
        shadow: Some("forbid.x"),
        status: Some(403),
        us: Some(12),
        ..allowed
    };
    reads(
        &Entry::Decision(denied),
        "decision",
        r#""id":"7k3qzd-41-1","uid":1001,"pid":48213,"method":"GET","target":"/v1.41/containers/json?all=1","decision":"deny","refusal":"no-route","policy":"9f2c1e77","shadow":"forbid.x","status":403,"us":12"#,
    );
}

#[test]
fn journal_golden() {
    let first = Timestamp::from_micros(AT);
    reads(
        &Entry::Journal(Journalled { count: 3, first, last: first }),
        "journal",
        r#""count":3,"first":"2026-11-23T03:46:29.123456Z","last":"2026-11-23T03:46:29.123456Z""#,
    );
}

#[test]
fn outcome_golden() {
    let outcome = OutcomeOf {
        id: request(),
        status: Some(200),
        result: Outcome::Completed,
        bytes_in: 0,
        bytes_out: 5120,
        us: 7456,
    };
    reads(
        &Entry::Outcome(outcome),
        "outcome",
        r#""id":"7k3qzd-41-1","status":200,"result":"completed","in":0,"out":5120,"us":7456"#,
    );
}

#[test]
fn repeat_golden() {
    let repeat = Repeat {
        uid: 1001,
        on: "docker",
        route: None,
        refusal: Refusal::NotAllowed,
        count: 3,
        first: Timestamp::from_micros(0),
        last: Timestamp::from_micros(1),
    };
    reads(
        &Entry::Repeat(repeat),
        "repeat",
        r#""uid":1001,"on":"docker","refusal":"not-allowed","count":3,"first":"1970-01-01T00:00:00.000000Z","last":"1970-01-01T00:00:00.000001Z""#,
    );
}

#[test]
fn gate_golden() {
    let gate = |event| {
        Entry::Gate(GateEvent { role: "gate", uid: None, pid: 9, event, live: &[0, 1001], syscall: None })
    };
    for (event, text) in [
        (Life::Started, r#""event":"started""#),
        (Life::Retired, r#""event":"retired""#),
        (Life::Exited(-1), r#""event":"exited","code":-1"#),
        (Life::Killed(31), r#""event":"killed","signal":31"#),
        (Life::Panicked, r#""event":"panicked""#),
        (Life::Backdated, r#""event":"backdated""#),
        (Life::Silent, r#""event":"silent""#),
    ] {
        reads(&gate(event), "gate", &format!(r#""role":"gate","pid":9,{text},"live":[0,1001]"#));
    }
}

#[test]
fn policy_golden() {
    let event = PolicyEvent {
        old: Some("9f2c1e77"),
        new: None,
        file: "/etc/peergate/policy.toml",
        refused: Some("line 1\nline \"2\""),
    };
    reads(
        &Entry::Policy(event),
        "policy",
        r#""old":"9f2c1e77","file":"/etc/peergate/policy.toml","refused":"line 1\u000aline \"2\"""#,
    );
}

#[test]
fn close_golden() {
    let close = Close { segment: "a.ndjson", bytes: 12, torn: true };
    reads(&Entry::Close(close), "close", r#""segment":"a.ndjson","bytes":12,"torn":true"#);
}

#[test]
fn hostile_text_is_escaped_in_one_way() {
    let line = encoded(&Entry::Decision(decision(b"G\x7f\x1b[2J", "/\u{e9}\u{1f600}\\".as_bytes())));
    assert!(
        line.contains(r#""method":"G\u007f\u001b[2J","target":"/\u00e9\ud83d\ude00\\","route""#),
        "{line}"
    );
}

#[test]
fn bytes_that_are_no_text_have_a_twin() {
    let line = encoded(&Entry::Decision(decision(b"GET", b"/\xff\xfea")));
    assert!(line.contains(r#""target":"/\ufffd\ufffda","target_b64":"L//+YQ==","route""#), "{line}");
}

#[test]
fn long_target_is_cut_and_its_length_noted() {
    let whole = vec![b'a'; TARGET];
    assert_eq!(proper(&Entry::Decision(decision(b"GET", &whole)))["target_len"], Value::Null);
    let long = vec![b'a'; TARGET + 1];
    let value = proper(&Entry::Decision(decision(b"GET", &long)));
    assert_eq!(value["target"].as_str().unwrap().len(), TARGET);
    assert_eq!(value["target_len"], TARGET + 1);
}

#[test]
fn integers_stay_below_2_53() {
    let outcome = OutcomeOf {
        id: request(),
        status: None,
        result: Outcome::CallerGone,
        bytes_in: u64::MAX,
        bytes_out: INTEGER_MAX,
        us: 0,
    };
    let value = proper(&Entry::Outcome(outcome));
    assert_eq!((&value["in"], &value["out"]), (&INTEGER_MAX.into(), &INTEGER_MAX.into()));
}

/// Bytes as an attacker picks them: any, only control bytes, long runs, broken UTF-8, text of any script.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..200),
        vec(any::<u8>(), 8_000..40_000),
        vec(0u8..0x20, 0..20_000),
        vec(0x80u8.., 0..20_000),
        vec(any::<char>(), 2_000..9_000).prop_map(|chars| String::from_iter(chars).into_bytes()),
    ]
}

fn hostile_text() -> impl Strategy<Value = String> {
    hostile().prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The bytes that a field's text and twin stand for.
fn recovered(value: &Value, name: &str) -> Vec<u8> {
    match value[format!("{name}_b64")].as_str() {
        Some(twin) => from_base64(twin),
        None => value[name].as_str().unwrap().as_bytes().to_vec(),
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    let digit = |c| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let bits: Vec<u8> = text.bytes().take_while(|c| *c != b'=').map(digit).collect();
    let mut bytes = Vec::new();
    for four in bits.chunks(4) {
        let word = four.iter().fold(0u32, |word, six| word << 6 | u32::from(*six)) << (6 * (4 - four.len()));
        bytes.extend_from_slice(&word.to_be_bytes()[1..four.len()]);
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_decision_is_a_proper_line_that_gives_its_bytes_back(
        method in hostile(), target in hostile(), route in hostile_text(), by in hostile_text(),
        fields in vec(hostile_text(), 0..10),
    ) {
        let entry = Decision { route: Some(&route), by: Some(&by), at: Some(&by), policy: &by, shadow: Some(&by),
            part: Some(&by), fields: &fields, status: Some(u16::MAX), us: Some(u64::MAX), ..decision(&method, &target) };
        let value = proper(&Entry::Decision(entry));
        for (name, bytes) in [("method", &method), ("target", &target)] {
            let kept = recovered(&value, name);
            prop_assert!(bytes.starts_with(&kept));
            match value[format!("{name}_len")].as_u64() {
                Some(length) => prop_assert!(length == bytes.len() as u64 && kept.len() < bytes.len()),
                None => prop_assert_eq!(&kept, bytes),
            }
        }
    }

    #[test]
    fn any_conn_is_a_proper_line(
        path in hostile(), label in hostile(), text in hostile_text(), groups in vec(0..u32::MAX, 0..2_000),
    ) {
        let mut caller = caller();
        caller.peer = Peer { uid: u32::MAX, gid: u32::MAX, pid: i32::MIN, real_uid: Some(u32::MAX) };
        caller.credentials.groups = Attr::Known(groups.iter().map(|gid| Gid::new(*gid).unwrap()).collect());
        caller.exe = Attr::Known(Exe { path, device: u64::MAX, inode: u64::MAX, trusted: Attr::Known(false) });
        caller.label = Attr::Known(label);
        caller.user = Some(text.clone());
        caller.unit = Attr::Known(text.clone());
        caller.start_time = Attr::Known(u64::MAX);
        let conn = Conn { id: connection(), on: &text, caller: &caller, shed: Some(Refusal::OutOfDescriptors) };
        let value = proper(&Entry::Conn(conn));
        let kept = value["groups"].as_array().unwrap().len();
        prop_assert_eq!(value["groups_len"].as_u64().map_or(kept, |all| all as usize), groups.len());
    }

    #[test]
    fn any_other_record_is_a_proper_line(
        text in hostile_text(), texts in vec(hostile_text(), 0..60), live in vec(any::<u32>(), 0..3_000),
    ) {
        proper(&Entry::Open(Open { boot: connection().boot, role: &text, uid: Some(u32::MAX), pid: u32::MAX,
            version: &text, policy: &text, missing: &texts, posture: &Default::default() }));
        proper(&Entry::Grant(Grant { id: request(), uid: u32::MAX, backend: &text, policy: &text,
            refused: Some(Refusal::BackendOwner), via: Some(&text), run: Some(Run { argv: &texts, user: &text }) }));
        proper(&Entry::Exit(Exit { id: request(), why: "not-started", what: Some(&text), code: Some(u8::MAX),
            signal: Some(i32::MIN), out: u64::MAX, err: u64::MAX, us: u64::MAX, cpu_us: u64::MAX, rss_kib: u64::MAX }));
        proper(&Entry::Repeat(Repeat { uid: 0, on: &text, route: Some(&text), refusal: Refusal::NoRoute,
            count: u64::MAX, first: Timestamp::from_micros(u64::MAX), last: Timestamp::from_micros(0) }));
        proper(&Entry::Gate(GateEvent { role: &text, uid: None, pid: 1, event: Life::Exited(i32::MIN), live: &live, syscall: None }));
        proper(&Entry::Policy(PolicyEvent { old: Some(&text), new: Some(&text), file: &text, refused: Some(&text) }));
        proper(&Entry::Close(Close { segment: &text, bytes: u64::MAX, torn: false }));
    }
}

#[test]
fn scribes_records_golden() {
    use crate::audit::chain::Digest;
    use crate::audit::entry::{Ended, Interrupted, Intrusion, Pending, Prune, Pruned, Range, Recover, Seen};
    let hash = Digest([0xab; 32]);
    let ab = "ab".repeat(32);
    let segment = "s.ndjson";
    let reads = |entry: &Entry<'_>, kind: &str, rest: &str| reads(entry, kind, &rest.replace("AB", &ab));
    reads(
        &Entry::Range(Range { segment, from: 0, to: 9, lines: 1, hash }),
        "range",
        r#""segment":"s.ndjson","from":0,"to":9,"lines":1,"hash":"AB""#,
    );
    reads(
        &Entry::Recover(Recover::Segment { segment, from: 1, to: 9, torn: true, why: Interrupted::Restart }),
        "recover",
        r#""segment":"s.ndjson","from":1,"to":9,"torn":true,"why":"restart""#,
    );
    reads(&Entry::Recover(Recover::Settled(3)), "recover", r#""settled":3"#);
    reads(
        &Entry::Pending(Pending { segment, ids: &[request(), request()] }),
        "pending",
        r#""segment":"s.ndjson","ids":["7k3qzd-41-1","7k3qzd-41-1"]"#,
    );
    let prune = Prune { segment, bytes: 9, hash: None, why: Pruned::Age, ended: None };
    reads(&Entry::Prune(prune), "prune", r#""segment":"s.ndjson","bytes":9,"why":"age""#);
    let ended = Some(Ended { epoch: 3, seals: 4, last: Some(hash) });
    reads(
        &Entry::Prune(Prune { hash: Some(hash), ended, ..prune }),
        "prune",
        r#""segment":"s.ndjson","bytes":9,"hash":"AB","why":"age","epoch":3,"seals":4,"last":"AB""#,
    );
    reads(
        &Entry::Intrusion(Intrusion { segment, at: 7, why: Seen::Shrank }),
        "intrusion",
        r#""segment":"s.ndjson","at":7,"why":"shrank""#,
    );
}

#[test]
fn pending_of_the_longest_ids_stays_below_the_line() {
    use crate::audit::entry::{PENDING_MOST, Pending};
    let long = RequestId {
        connection: ConnectionId { boot: connection().boot, number: INTEGER_MAX },
        number: u32::MAX,
    };
    let segment = "s".repeat(NAME);
    let line = proper(&Entry::Pending(Pending { segment: &segment, ids: &vec![long; PENDING_MOST] }));
    assert_eq!(line["ids"].as_array().unwrap().len(), PENDING_MOST);
}
