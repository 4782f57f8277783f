//! What is printed for programs is JSON, whatever a record holds.

use super::*;
use crate::audit::query::Join;
use crate::audit::reader::Reader;
use proptest::prelude::*;

/// A value as a scanner of lines takes it, not always one of JSON, and not always of the kind that belongs there.
fn value() -> impl Strategy<Value = String> {
    let unit = prop_oneof![
        r"[ !#-\[\]-~]".boxed(),
        r"\\u[d][89a-f][0-9a-f]{2}".boxed(),
        r"\\u[2-9a-f][0-9a-f]{3}".boxed(),
        Just("\\\"".to_owned()).boxed(),
        Just("\\\\".to_owned()).boxed(),
    ];
    let text = prop::collection::vec(unit, 0..6).prop_map(|units| format!("\"{}\"", units.concat()));
    let bare = prop_oneof!["-?[0-9]{1,16}", Just("true".to_owned()), Just("false".to_owned())];
    let one = prop_oneof![text, bare];
    let list = prop::collection::vec(one.clone(), 0..4).prop_map(|values| format!("[{}]", values.join(",")));
    prop_oneof![3 => one, 1 => list]
}

const KINDS: [(&str, &str, &[&str]); 7] = [
    ("conn", "warden-1", &["on", "groups", "user", "pid", "ns", "exe", "unit", "login", "label", "ruid"]),
    ("conn", "warden-1", &["on", "user", "exe", "shed"]),
    ("grant", "warden-1", &["backend", "policy", "refused"]),
    (
        "decision",
        "gate-1001-0-2",
        &["method", "target", "route", "refusal", "by", "at", "policy", "shadow", "us"],
    ),
    ("outcome", "gate-1001-0-2", &["status", "result", "in", "out", "us"]),
    ("repeat", "gate-1001-0-2", &["on", "route", "refusal"]),
    ("gate", "warden-1", &["event", "live", "code"]),
];

#[test]
fn word_ends_at_its_own_quotes_whatever_is_in_it() {
    for (text, shown) in [
        ("/usr/bin/docker", "/usr/bin/docker"),
        ("", r#""""#),
        (r#"/tmp/x\" user=root decision=allow \"y"#, r#""/tmp/x\" user=root decision=allow \"y""#),
        (r"C:\\x y", r#""C:\\x y""#),
        (r#"\\\""#, r#""\\\"""#),
    ] {
        assert_eq!(word(text), shown);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn item_is_json_whatever_its_records_hold(values in prop::collection::vec(value(), 40)) {
        let directory = tempfile::tempdir().unwrap();
        let mut values = values.into_iter();
        let mut files = std::collections::BTreeMap::<&str, String>::new();
        for (n, (kind, writer, keys)) in KINDS.iter().enumerate() {
            let number = if n == 1 { 2 } else { 1 };
            let head = match *kind {
                "conn" => format!("\"id\":\"7k3qzd-{number}\",\"uid\":1001,\"gid\":1"),
                "decision" => "\"id\":\"7k3qzd-1-1\",\"uid\":1001,\"decision\":\"allow\"".to_owned(),
                "repeat" => {
                    let ts = "2026-11-23T00:00:09.000000Z";
                    format!("\"uid\":1001,\"count\":2,\"first\":\"{ts}\",\"last\":\"{ts}\"")
                }
                "gate" => "\"role\":\"gate\"".to_owned(),
                _ => "\"id\":\"7k3qzd-1-1\",\"uid\":1001".to_owned(),
            };
            let rest: String =
                keys.iter().map(|key| format!(",\"{key}\":{}", values.next().unwrap_or_default())).collect();
            let ts = format!("2026-11-23T00:00:0{n}.000000Z");
            let line = format!("{{\"v\":1,\"t\":\"{kind}\",\"n\":0,\"ts\":\"{ts}\",{head}{rest}}}\n");
            files.entry(*writer).or_default().push_str(&line);
        }
        for (writer, text) in &files {
            let name = format!("20261123T000000.000000Z-7k3qzd-{writer}.ndjson");
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let mut join = Join::new(Reader::open(directory.path()).unwrap());
        let mut count = 0;
        while let Some(item) = join.next_item().unwrap() {
            let Some(line) = json::of(&item) else { continue };
            count += 1;
            prop_assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok(), "{}", line);
            prop_assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{}", line);
        }
        prop_assert!(count >= 3, "{}", files.values().cloned().collect::<String>());
    }
}
