use super::*;
use proptest::prelude::{any, prop_assert, proptest};

const DECISION: &str = r#"{"v":1,"t":"decision","n":1,"ts":"2026-11-23T03:46:29.123456Z","id":"7k3qzd-41-1","uid":1001,"pid":48213,"method":"GET","target":"/a?b=1","route":"list","decision":"allow","by":"who.ci","at":"policy.toml:42","policy":"9f2c1e77"}"#;

fn shown(line: &str) -> String {
    Readable(line.as_bytes()).to_string()
}

#[test]
fn readable_each_type_says_what_happened() {
    assert_eq!(
        shown(DECISION),
        "2026-11-23 03:46:29.123 ALLOW 7k3qzd-41-1 uid 1001 GET /a?b=1 route=list by=who.ci at=policy.toml:42"
    );
    for (line, readable) in [
        (
            r#"{"v":1,"t":"outcome","n":2,"ts":"2026-11-23T03:46:29.130912Z","id":"7k3qzd-41-1","status":200,"result":"completed","in":0,"out":5120,"us":7456}"#,
            "2026-11-23 03:46:29.130   ends 7k3qzd-41-1 200 completed in=0 out=5120 us=7456",
        ),
        (
            r#"{"v":1,"t":"open","n":0,"ts":"2026-11-23T03:46:29.130912Z","boot":"7k3qzd","role":"gate","missing":["no-root","a,]b"]}"#,
            "2026-11-23 03:46:29.130 open  boot=7k3qzd role=gate missing=[\"no-root\",\"a,]b\"]",
        ),
        (
            r#"{"v":1,"t":"close","n":3,"ts":"2026-11-23T03:46:29.130912Z","segment":"a b","bytes":-1,"torn":true}"#,
            "2026-11-23 03:46:29.130 close segment=\"a b\" bytes=-1 torn=true",
        ),
    ] {
        assert_eq!(shown(line), readable);
    }
}

#[test]
fn readable_what_is_no_record_is_escaped() {
    assert_eq!(Readable(b"\x1b[2J\xff\n").to_string(), "?? \\u001b[2J\\xff");
}

#[test]
fn parse_other_spellings_are_refused() {
    assert!(Record::parse(DECISION.as_bytes()).is_some());
    for (from, to) in [
        ("{\"v\"", "{ \"v\""),
        ("\"v\":1,", "\"v\":2,"),
        ("\"v\":1,", ""),
        ("\"n\":1", "\"n\":"),
        ("\"n\":1", "\"n\":1e9"),
        ("\"n\":1", "\"n\":null"),
        ("\"n\":1", "\"n\":{}"),
        ("\"n\":1", "\"n\":[1,]"),
        ("\"n\":1", "\"n\":[1"),
        ("GET", "G\\nET"),
        ("GET", "G\\u00AFET"),
        ("GET", "G\tET"),
        ("GET", "G\"ET"),
        ("\"9f2c1e77\"}", "\"9f2c1e77\"},"),
        ("\"9f2c1e77\"}", "\"9f2c1e77\""),
        ("\"9f2c1e77\"}", "\"9f2c1e77\\\"}"),
    ] {
        let line = DECISION.replacen(from, to, 1);
        assert_ne!(line, DECISION);
        assert!(Record::parse(line.as_bytes()).is_none(), "{line}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_shown_as_printable_ascii(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Readable(&bytes).to_string().bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    }

    #[test]
    fn any_cut_of_a_record_is_none(at in 0..DECISION.len()) {
        prop_assert!(Record::parse(&DECISION.as_bytes()[..at]).is_none());
    }
}

#[test]
fn decoded_is_what_was_escaped() {
    for text in ["", "plain", "\"\\", "a\n\u{1b}[2J", "\u{202e}\u{1f600}\u{e9}", "\\u0041"] {
        let shown = Escaped(text.as_bytes()).to_string();
        assert_eq!(decoded(&shown), text);
    }
    assert_eq!(decoded("\\ud83dx"), "\u{fffd}x", "half a pair");
}
