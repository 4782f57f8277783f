//! The strict reader, beside serde_json, which reads the same language with other habits.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn wrong(text: &[u8]) -> Option<Wrong> {
    Json::parse(text).err().map(|broken| broken.wrong)
}

/// A value as serde_json has it.
fn plain(json: &Json<'_>) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(text) => serde_json::from_str(text).unwrap(),
        Json::Text(text) => Value::String(text.to_string()),
        Json::List(list) => Value::Array(list.iter().map(plain).collect()),
        Json::Object(members) => {
            Value::Object(members.iter().map(|(key, value)| (key.to_string(), plain(value))).collect())
        }
    }
}

#[test]
fn json_well_formed_is_read() {
    for text in [
        "{}",
        " [ ] ",
        "null",
        "\t{\"a\" : [1, -2.5e+3, true, false, null, \"\\u0041\\n\\/\"], \"b\":{\"a\":0}}\r\n",
        "\"\\ud83d\\ude00 \u{1f600}\"",
        "[1e308, 1E-400, 123456789012345678901234567890]",
        "{\"\": {\"\": \"\\u0000\"}}",
    ] {
        let json = Json::parse(text.as_bytes()).unwrap_or_else(|broken| panic!("{text}: {broken}"));
        assert_eq!(plain(&json), serde_json::from_str::<Value>(text).unwrap(), "{text}");
    }
}

#[test]
fn json_that_someone_reads_otherwise_is_refused() {
    let cases: &[(&[u8], Wrong)] = &[
        (b"", Wrong::Syntax),
        (b" ", Wrong::Syntax),
        (b"\xef\xbb\xbf{}", Wrong::Syntax),
        (b"{} {}", Wrong::Syntax),
        (b"{}x", Wrong::Syntax),
        (b"{}\0", Wrong::Syntax),
        (b"{\"a\":1,}", Wrong::Syntax),
        (b"[1,]", Wrong::Syntax),
        (b"[,1]", Wrong::Syntax),
        (b"{a:1}", Wrong::Syntax),
        (b"{'a':1}", Wrong::Syntax),
        (b"{\"a\" 1}", Wrong::Syntax),
        (b"{\"a\":}", Wrong::Syntax),
        (b"{\"a\":1", Wrong::Syntax),
        (b"// c\n{}", Wrong::Syntax),
        (b"{}/* c */", Wrong::Syntax),
        (b"NaN", Wrong::Syntax),
        (b"Infinity", Wrong::Syntax),
        (b"True", Wrong::Syntax),
        (b"nul", Wrong::Syntax),
        (b"01", Wrong::Syntax),
        (b"-", Wrong::Syntax),
        (b"+1", Wrong::Syntax),
        (b".5", Wrong::Syntax),
        (b"1.", Wrong::Syntax),
        (b"1e", Wrong::Syntax),
        (b"0x1", Wrong::Syntax),
        (b"1e400", Wrong::Syntax),
        (b"-1e999", Wrong::Syntax),
        (b"\"\\ud800\"", Wrong::Syntax),
        (b"\"\\udc00\\ud800\"", Wrong::Syntax),
        (b"\"\\ud800\\u0041\"", Wrong::Syntax),
        (b"\"\\u12\"", Wrong::Syntax),
        (b"\"\\u+123\"", Wrong::Syntax),
        (b"\"\\x41\"", Wrong::Syntax),
        (b"\"\n\"", Wrong::Syntax),
        (b"\"\xff\"", Wrong::Syntax),
        (b"\"\xed\xa0\x80\"", Wrong::Syntax),
        (b"\"a", Wrong::Syntax),
        (b"\xa0{}", Wrong::Syntax),
        ("\u{a0}{}".as_bytes(), Wrong::Syntax),
        (b"{\"a\":1,\"a\":1}", Wrong::Twice),
        (b"{\"a\":1,\"A\":1}", Wrong::Twice),
        (b"{\"a\":1,\"\\u0041\":1}", Wrong::Twice),
        (b"{\"x\":[{\"s\":1,\"\xc5\xbf\":1}]}", Wrong::Twice),
        (b"{\"k\":1,\"\\u212a\":1}", Wrong::Twice),
        (b"{\"Privileged\":false,\"b\":0,\"privileged\":true}", Wrong::Twice),
    ];
    for (text, expected) in cases {
        assert_eq!(wrong(text), Some(*expected), "{}", String::from_utf8_lossy(text));
    }
    let digits = "1".repeat(65);
    assert_eq!(wrong(digits.as_bytes()), Some(Wrong::Syntax));
}

#[test]
fn json_depth_and_number_of_values_are_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(Json::parse(nested(MOST_DEPTH).as_bytes()).is_ok());
    assert_eq!(wrong(nested(MOST_DEPTH + 1).as_bytes()), Some(Wrong::Bounds));
    assert_eq!(wrong("[".repeat(1 << 20).as_bytes()), Some(Wrong::Bounds));
    let long = |values: usize| format!("[{}0]", "0,".repeat(values - 2));
    assert!(Json::parse(long(MOST_VALUES).as_bytes()).is_ok());
    assert_eq!(wrong(long(MOST_VALUES + 1).as_bytes()), Some(Wrong::Bounds));
}

#[test]
fn folding_puts_together_what_simple_case_folding_does() {
    // Every pair that a character's own mappings make, and so every orbit of simple case folding.
    // All of them lie in the first two planes.
    for c in '\0'..='\u{1ffff}' {
        let own = folded(c.encode_utf8(&mut [0; 4])).into_owned();
        let one = |mapped: Vec<char>| if let [one] = mapped[..] { Some(one) } else { None };
        for other in [one(c.to_lowercase().collect()), one(c.to_uppercase().collect())].into_iter().flatten()
        {
            assert_eq!(folded(other.encode_utf8(&mut [0; 4])), own, "{c:?} {other:?}");
        }
    }
    for (a, b) in
        [("s", "\u{17f}"), ("k", "\u{212a}"), ("å", "\u{212b}"), ("ß", "\u{1e9e}"), ("θ", "\u{3f4}")]
    {
        assert_eq!(folded(a), folded(b));
    }
    // Coarser than that where two letters share a capital one.
    assert_eq!(folded("i"), folded("\u{131}"));
    assert_ne!(folded("i"), folded("j"));
}

/// Texts of JSON's own signs, so that many are nearly well-formed.
fn nearly() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"A\"",
        "\"\\u0061\"",
        "\"b\"",
        "\"\u{17f}\"",
        "\"s\"",
        "0",
        "-1",
        "1.5",
        "1e400",
        "true",
        "null",
        " ",
        "\"\\ud800\"",
        "x",
    ]);
    prop::collection::vec(token, 0..14).prop_map(|tokens| tokens.concat())
}

fn value() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec!["a", "A", "b", "s", "\u{17f}", "k"]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        ".{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(key.clone().prop_map(str::to_owned), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Whether any object of it has two keys that differ in case alone: the slow way.
fn has_twins(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.iter().any(has_twins),
        Value::Object(members) => {
            let slow = |key: &String| key.to_lowercase().replace('\u{17f}', "s").replace('\u{212a}', "k");
            let keys: std::collections::HashSet<_> = members.keys().map(slow).collect();
            keys.len() < members.len() || members.values().any(has_twins)
        }
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn json_what_is_taken_the_other_reader_takes_alike(text in nearly()) {
        if let Ok(json) = Json::parse(text.as_bytes()) {
            prop_assert_eq!(plain(&json), serde_json::from_str::<Value>(&text).unwrap());
        }
    }

    #[test]
    fn json_of_any_value_is_taken_unless_keys_differ_in_case_alone(value in value()) {
        let text = value.to_string();
        match Json::parse(text.as_bytes()) {
            Ok(json) => {
                prop_assert!(!has_twins(&value));
                prop_assert_eq!(plain(&json), value);
            }
            Err(broken) => prop_assert!(broken.wrong == Wrong::Twice && has_twins(&value), "{}: {}", text, broken),
        }
    }

    #[test]
    fn json_of_any_bytes_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        Json::parse(&bytes).ok();
    }
}
