//! A body, judged by a handful of rules: what they say, the slow judge says too, and what is read is read alike by
//! serde_json. The first byte chooses the rule.
#![no_main]

use peergate::model::json::Json;
use peergate::policy::{JsonRule, Kind, Others, Pointer};

#[path = "../../tests/support/slow_body.rs"]
mod slow;

/// Rules as they are written, the slow judge's and the quick one's alike.
fn rules() -> Vec<slow::Rule> {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let values = |values: &[(&str, &str)]| {
        values.iter().map(|(pointer, kind)| ((*pointer).to_owned(), (*kind).to_owned())).collect::<Vec<_>>()
    };
    let create = slow::Rule {
        allow: texts(&["/Image", "/Cmd/*", "/Labels/**", "/HostConfig/AutoRemove", "/HostConfig/Memory", "/Nets/a"]),
        values: values(&[("/HostConfig/Memory", "int 0..1000")]),
        required: texts(&["/Image"]),
        null: texts(&["/HostConfig/MaskedPaths"]),
        maps: texts(&["/Nets"]),
        ..slow::Rule::default()
    };
    let wide = slow::Rule {
        allow: texts(&["/**", "/a", "/b/*", "/c/*/d"]),
        values: values(&[("/a", "one_of a|b"), ("/b/*", "bool"), ("/c/*/d", "text word 3")]),
        null: texts(&["/s/*"]),
        ..slow::Rule::default()
    };
    let zero = |rule: &slow::Rule| slow::Rule { zero: true, ..rule.clone() };
    vec![zero(&create), create, zero(&wide), wide]
}

fn quick(rule: &slow::Rule) -> JsonRule {
    let pointer = |text: &String| Pointer::parse(text).expect("a pointer");
    let kinds = rule.values.iter().map(|(at, kind)| (pointer(at), kind.parse::<Kind>().expect("a type")));
    JsonRule {
        allow: rule.allow.iter().chain(rule.values.iter().map(|(at, _)| at)).map(pointer).collect(),
        others: if rule.zero { Others::Zero } else { Others::Refuse },
        values: kinds.collect(),
        required: rule.required.iter().map(pointer).collect(),
        null: rule.null.iter().map(pointer).collect(),
        maps: rule.maps.iter().map(pointer).collect(),
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((choice, body)) = data.split_first() else { return };
    let rules = rules();
    let rule = &rules[usize::from(*choice) % rules.len()];
    let judged = quick(rule).judge(body);
    let mut all = rule.clone();
    all.allow.extend(rule.values.iter().map(|(at, _)| at.clone()));
    let slow = slow::allows(&all, body);
    // The slow one knows no bounds but those of serde_json.
    assert!(judged.is_err() || slow, "too much is let through: {}", body.escape_ascii());
    let bounds = body.len() < 64 && Json::parse(body).is_ok();
    assert!(judged.is_ok() || !slow || !bounds, "too little is let through: {}", body.escape_ascii());
    if let Err(offence) = judged {
        assert!(offence.part.len() < 256);
    }
});
