use super::*;

fn boot() -> BootId {
    "7k3qzd".parse().unwrap()
}

fn line(kind: &str, n: u64, rest: &str) -> String {
    format!(r#"{{"v":1,"t":"{kind}","n":{n},"ts":"2026-11-23T03:46:29.123456Z"{rest}}}"#)
}

fn open(role: &str) -> String {
    line("open", 0, &format!(r#","boot":"7k3qzd","role":"{role}""#))
}

/// A gate's second line.
fn second(text: &str) -> Result<Option<Progress>, Fault> {
    let mut gate = Inspector::new(Role::Gate, boot());
    gate.judge(open("gate").as_bytes()).unwrap();
    gate.judge(text.as_bytes()).map(|seen| seen.request)
}

const DECISION: &str =
    r#","id":"7k3qzd-41-2","uid":0,"pid":1,"method":"GET","target":"/","decision":"allow""#;

#[test]
fn judge_counts_requests_that_wait_for_their_outcome() {
    let request = Request { connection: 41, number: 2 };
    assert_eq!(second(&line("decision", 1, DECISION)), Ok(Some(Progress::Allowed(request))));
    assert_eq!(second(&line("decision", 1, &format!("{DECISION},\"status\":200"))), Ok(None));
    assert_eq!(second(&line("decision", 1, &DECISION.replace("allow", "deny"))), Ok(None));
    let outcome = r#","id":"7k3qzd-41-2","status":200,"result":"completed","in":0,"out":0,"us":1"#;
    assert_eq!(second(&line("outcome", 1, outcome)), Ok(Some(Progress::Ended(request))));
}

#[test]
fn judge_line_that_no_gate_writes_is_refused_by_its_fault() {
    let decision = |from: &str, to: &str| line("decision", 1, DECISION).replace(from, to);
    for (text, fault) in [
        (String::new(), Fault::Spelling),
        ("nonsense".to_owned(), Fault::Spelling),
        (decision("GET", "G\u{e4}T"), Fault::Spelling),
        (decision("GET", "G\tT"), Fault::Spelling),
        (decision("GET\"", "GET"), Fault::Spelling),
        (decision("\"v\":1", "\"v\":2"), Fault::Spelling),
        (decision("\"uid\":0", "\"uid\":[0"), Fault::Spelling),
        (decision("T03:", " 03:"), Fault::Spelling),
        (decision("GET", &"G".repeat(LINE_MAX)), Fault::Spelling),
        (decision("}", "}}"), Fault::Spelling),
        (decision("\"n\":1", "\"n\":2"), Fault::Number),
        (decision("\"n\":1", "\"n\":01"), Fault::Number),
        (decision("7k3qzd-41", "7k3qze-41"), Fault::Boot),
        (decision("-41-2", "-41"), Fault::Spelling),
        (decision("-41-2", "-041-2"), Fault::Spelling),
        (decision("\"uid\":0", "\"uid\":0,\"uid\":1"), Fault::Key),
        (decision("\"uid\":0,\"pid\":1", "\"pid\":1,\"uid\":0"), Fault::Key),
        (decision("\"pid\":1", "\"pid\":1,\"more\":1"), Fault::Key),
        (line("decision", 1, ",\"uid\":0"), Fault::Key),
        (line("conn", 1, ",\"id\":\"7k3qzd-41\""), Fault::Kind),
        (line("close", 1, ",\"segment\":\"x\""), Fault::Kind),
        (line("seal", 1, ",\"epoch\":1"), Fault::Kind),
        (line("nothing", 1, ""), Fault::Kind),
        (open("gate").replace("\"n\":0", "\"n\":1"), Fault::Open),
    ] {
        assert_eq!(second(&text), Err(fault), "{text}");
    }
}

#[test]
fn judge_gate_of_one_uid_speaks_of_no_other() {
    let mut gate = Inspector::new(Role::Gate, boot()).serving(Some(1001));
    let open = |uid| line("open", 0, &format!(r#","boot":"7k3qzd","role":"gate","uid":{uid}"#));
    assert_eq!(gate.judge(open("1002").as_bytes()).err(), Some(Fault::Uid));
    assert!(gate.judge(open("1001").as_bytes()).is_ok());
    let decision = |uid: &str| line("decision", 1, &DECISION.replace("\"uid\":0", &format!("\"uid\":{uid}")));
    for uid in ["0", "10010", "01001", "true"] {
        assert_eq!(gate.judge(decision(uid).as_bytes()).err(), Some(Fault::Uid), "{uid}");
    }
    let own = decision("1001");
    let judged = gate.judge(own.as_bytes()).unwrap();
    assert_eq!((judged.said.uid, judged.at), (Some("1001"), "2026-11-23T03:46:29.123456Z"));
    // A shared one's callers are many.
    assert!(second(&decision("7")).is_ok());
}

#[test]
fn judge_segment_begins_with_its_open() {
    let first = |text: &str| Inspector::new(Role::Gate, boot()).judge(text.as_bytes()).map(|_| ());
    assert_eq!(first(&open("gate")), Ok(()));
    assert_eq!(first(&line("decision", 0, DECISION)), Err(Fault::Open));
    assert_eq!(first(&open("gate").replace("7k3qzd", "7k3qze")), Err(Fault::Boot));
}

#[test]
fn judge_what_stands_beside_a_text_belongs_to_it() {
    let beside =
        DECISION.replace("\"target\":\"/\"", "\"target\":\"/\",\"target_b64\":\"/w==\",\"target_len\":9");
    assert!(second(&line("decision", 1, &beside)).is_ok());
    let astray = DECISION.replace("\"target\":\"/\"", "\"target_len\":9,\"target\":\"/\"");
    assert_eq!(second(&line("decision", 1, &astray)), Err(Fault::Key));
}

#[test]
fn judge_list_or_text_in_anothers_place_is_a_fault() {
    let listed = DECISION.replace("\"target\":\"/\"", "\"target\":[\"forged\",\"b\"]");
    assert_eq!(second(&line("decision", 1, &listed)), Err(Fault::Key));
    let outcome = r#","id":"7k3qzd-41-2","status":200,"result":"completed","in":"0","out":0,"us":0"#;
    assert_eq!(second(&line("outcome", 1, outcome)), Err(Fault::Key));
    assert!(second(&line("outcome", 1, &outcome.replace("\"0\"", "0"))).is_ok());
}

#[test]
fn judge_probe_may_say_anything_and_the_scribe_may_name_other_starts() {
    assert!(Inspector::new(Role::Probe, boot()).judge(b"\xff").is_ok());
    let mut scribe = Inspector::new(Role::Scribe, boot());
    scribe.judge(open("scribe").as_bytes()).unwrap();
    let outcome = r#","id":"7k3qze-41-2","result":"killed-by-restart","in":0,"out":0,"us":0"#;
    assert!(scribe.judge(line("outcome", 1, outcome).as_bytes()).is_ok());
}

#[test]
fn role_is_read_from_a_segments_name() {
    for (writer, role) in [
        ("warden-1", Some(Role::Warden)),
        ("scribe-2", Some(Role::Scribe)),
        ("gate-1001-0-12", Some(Role::Gate)),
        ("gate-shared-0-12", Some(Role::Gate)),
        ("probe-3", Some(Role::Probe)),
        ("gate", None),
        ("others-1", None),
    ] {
        assert_eq!(Role::of_writer(writer), role, "{writer}");
    }
}
