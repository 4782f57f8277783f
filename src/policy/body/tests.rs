//! The judge of bodies: by example, and beside a slow one that works on serde_json's values.

use proptest::prelude::*;

use super::*;

#[path = "../../../tests/support/slow_body.rs"]
#[allow(unreachable_pub, reason = "the fuzz target has it too")]
mod slow;

fn pointers(texts: &[&str]) -> Vec<Pointer> {
    texts.iter().map(|text| Pointer::parse(text).unwrap()).collect()
}

fn rule(allow: &[&str], others: Others, values: &[(&str, &str)]) -> JsonRule {
    let values: Vec<_> = values
        .iter()
        .map(|(pointer, kind)| (Pointer::parse(pointer).unwrap(), Kind::parse(kind).unwrap()))
        .collect();
    let mut allow = pointers(allow);
    allow.extend(values.iter().map(|(pointer, _)| pointer.clone()));
    JsonRule { allow, others, values, required: Vec::new(), null: Vec::new(), maps: Vec::new() }
}

/// What is said of a body: `ok`, or the code and the place.
fn says(rule: &JsonRule, body: &str) -> String {
    match rule.judge(body.as_bytes()) {
        Ok(_) => "ok".to_owned(),
        Err(offence) => format!("{} {}", offence.refusal, offence.part),
    }
}

fn create(others: Others) -> JsonRule {
    let allow = ["/Image", "/Cmd/*", "/Labels/**", "/HostConfig/AutoRemove"];
    rule(&allow, others, &[("/HostConfig/Memory", "int 0..1000"), ("/User", "text name")])
}

#[test]
fn body_what_is_not_listed_is_refused_with_its_pointer() {
    let rule = create(Others::Refuse);
    for (body, said) in [
        (r#"{"Image":"x"}"#, "ok"),
        (r#"{"Image":"x","Cmd":["a","b"],"Labels":{"a":{"b":[1]}},"HostConfig":{"AutoRemove":true}}"#, "ok"),
        (r#"{"Image":"x","HostConfig":{}}"#, "ok"),
        ("{}", "ok"),
        ("[]", "ok"),
        ("null", "body-member body /"),
        (r#"{"Image":["x"]}"#, "body-member body /Image/0"),
        (r#"{"HostConfig":{"Privileged":true}}"#, "body-member body /HostConfig/Privileged"),
        (r#"{"HostConfig":{"Privileged":false}}"#, "body-member body /HostConfig/Privileged"),
        (r#"{"Cmd":"sh"}"#, "body-member body /Cmd"),
        (r#"{"Cmd":[["sh"]]}"#, "body-member body /Cmd/0/0"),
        (r#"{"Cmd":{"a":"b"}}"#, "ok"),
        (r#"{"Labels":"x"}"#, "body-member body /Labels"),
        (r#"{"image":"x"}"#, "body-member body /image"),
        (r#"{"hostconfig":{"AutoRemove":true}}"#, "body-member body /hostconfig"),
        (r#"{"a/b~":1}"#, "body-member body /a~1b~0"),
        (r#"{"Image":"x","IMAGE":"y"}"#, "json-twice body byte 13"),
        ("", "body-missing body"),
        (r#"{"Image":"x"} {}"#, "json-syntax body byte 14"),
    ] {
        assert_eq!(says(&rule, body), said, "{body}");
    }
}

#[test]
fn body_zeros_are_let_through_in_fields_only() {
    let rule = create(Others::Zero);
    for (body, said) in [
        (
            r#"{"Hostname":"","Tty":false,"Env":null,"HostConfig":{"Binds":null,"Devices":[],"X":0,"Y":{}}}"#,
            "ok",
        ),
        (r#"{"HostConfig":{"Privileged":true}}"#, "body-member body /HostConfig/Privileged"),
        (r#"{"HostConfig":{"privileged":true}}"#, "body-member body /HostConfig/privileged"),
        // Names of an object that nothing allowed is in may mean something; elements of a list always do.
        (r#"{"Volumes":{"/host":{}}}"#, "body-member body /Volumes"),
        (r#"{"HostConfig":{"Binds":[""]}}"#, "body-member body /HostConfig/Binds"),
        (r#"{"HostConfig":{"Devices":[{}]}}"#, "body-member body /HostConfig/Devices"),
        (r#"{"Cmd":[null]}"#, "ok"),
        (r#"{"X":0.0}"#, "body-member body /X"),
        (r#"{"X":-0}"#, "body-member body /X"),
        (r#"{"X":" "}"#, "body-member body /X"),
        ("null", "body-member body /"),
        (r#"[""]"#, "body-member body /0"),
    ] {
        assert_eq!(says(&rule, body), said, "{body}");
    }
}

#[test]
fn body_typed_values_have_one_reading() {
    let rule = rule(
        &["/Any/**"],
        Others::Zero,
        &[
            ("/Memory", "int 0..1000"),
            ("/Tty", "bool"),
            ("/Image", "one_of a|b"),
            ("/Any/Mode", "one_of bridge"),
            ("/List/*", "text name"),
        ],
    );
    for (body, said) in [
        (r#"{"Memory":1000,"Tty":true,"Image":"a","Any":{"Mode":"bridge","x":[]},"List":["a","b"]}"#, "ok"),
        (r#"{"Memory":1001}"#, "body-value body /Memory"),
        (r#"{"Memory":1e2}"#, "body-value body /Memory"),
        (r#"{"Memory":1.0}"#, "body-value body /Memory"),
        (r#"{"Memory":-0}"#, "body-value body /Memory"),
        (r#"{"Memory":"5"}"#, "body-value body /Memory"),
        (r#"{"Memory":null}"#, "body-value body /Memory"),
        (r#"{"Memory":[5]}"#, "body-value body /Memory"),
        (r#"{"Memory":99999999999999999999}"#, "body-value body /Memory"),
        (r#"{"Tty":1}"#, "body-value body /Tty"),
        (r#"{"Tty":"true"}"#, "body-value body /Tty"),
        (r#"{"Image":"c"}"#, "body-value body /Image"),
        (r#"{"Image":""}"#, "body-value body /Image"),
        // What restricts holds without case, also where a `**` lets other spellings in.
        (r#"{"Any":{"mode":"host"}}"#, "body-value body /Any/mode"),
        (r#"{"Any":{"Mode":{"a":1}}}"#, "body-value body /Any/Mode"),
        (r#"{"List":["a","-b"]}"#, "body-value body /List/1"),
    ] {
        assert_eq!(says(&rule, body), said, "{body}");
    }
}

#[test]
fn body_required_null_and_maps_hold() {
    let rule = JsonRule {
        required: pointers(&["/Image"]),
        null: pointers(&["/HostConfig/MaskedPaths"]),
        maps: pointers(&["/Nets"]),
        ..rule(&["/Image", "/HostConfig/**", "/Nets/default"], Others::Zero, &[])
    };
    for (body, said) in [
        (r#"{"Image":"x","HostConfig":{"MaskedPaths":null},"Nets":{"default":{"A":null}}}"#, "ok"),
        ("{}", "body-lacks body /Image"),
        (r#"{"Image":null}"#, "body-lacks body /Image"),
        (r#"{"Image":"x","HostConfig":{"MaskedPaths":[]}}"#, "body-member body /HostConfig/MaskedPaths"),
        (r#"{"Image":"x","HostConfig":{"maskedpaths":[]}}"#, "body-member body /HostConfig/maskedpaths"),
        (r#"{"Image":"x","Nets":{"other":null}}"#, "body-member body /Nets/other"),
        (r#"{"Image":"x","Nets":{"default":null}}"#, "ok"),
        (r#"{"Image":"x","Nets":{"DEFAULT":{}}}"#, "body-member body /Nets/DEFAULT"),
    ] {
        assert_eq!(says(&rule, body), said, "{body}");
    }
}

#[test]
fn body_offence_names_a_bounded_place_and_no_value() {
    let rule = create(Others::Refuse);
    let offence = rule.judge(format!("{{\"{}\":\"secret\"}}", "ä".repeat(5_000)).as_bytes()).unwrap_err();
    assert!(offence.part.len() <= MOST_PART + 10 && offence.part.ends_with('…'));
    assert!(!rule.judge(br#"{"x":"secret"}"#).unwrap_err().part.contains("secret"));
}

impl From<JsonRule> for slow::Rule {
    fn from(rule: JsonRule) -> slow::Rule {
        let texts = |pointers: &[Pointer]| pointers.iter().map(Pointer::to_string).collect();
        slow::Rule {
            allow: texts(&rule.allow),
            zero: rule.others == Others::Zero,
            values: rule
                .values
                .iter()
                .map(|(pointer, kind)| (pointer.to_string(), kind.to_string()))
                .collect(),
            required: texts(&rule.required),
            null: texts(&rule.null),
            maps: texts(&rule.maps),
        }
    }
}

fn token() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "A", "b", "s", "\u{17f}", "k", "0", "1", "*"])
}

fn pointer() -> impl Strategy<Value = String> {
    (prop::collection::vec(token(), 1..4), prop::bool::weighted(0.2))
        .prop_map(|(tokens, below)| format!("/{}{}", tokens.join("/"), if below { "/**" } else { "" }))
}

fn any_rule() -> impl Strategy<Value = JsonRule> {
    let kind = prop::sample::select(vec!["any", "int 0..5", "bool", "one_of a|b", "text word 3"]);
    let short = || pointer().prop_map(|text| Pointer::parse(text.trim_end_matches("/**")).unwrap());
    let few = |most| prop::collection::vec(short(), 0..most);
    let allow = prop::collection::vec(pointer().prop_map(|text| Pointer::parse(&text).unwrap()), 0..5);
    let values = prop::collection::vec((short(), kind.prop_map(|kind| Kind::parse(kind).unwrap())), 0..3);
    (allow, any::<bool>(), values, few(2), few(2), few(2)).prop_map(
        |(mut allow, zero, values, required, null, maps)| {
            allow.extend(values.iter().map(|(pointer, _)| pointer.clone()));
            let required = required.into_iter().filter(Pointer::is_plain).collect();
            JsonRule {
                allow,
                others: if zero { Others::Zero } else { Others::Refuse },
                values,
                required,
                null,
                maps,
            }
        },
    )
}

/// Documents as text, so that keys can stand there twice.
fn document() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "null", "true", "false", "0", "3", "7", "-0", "1.0", "1e400", "\"\"", "\"a\"", "\"abcd\"", "[]", "{}",
    ])
    .prop_map(str::to_owned);
    let key = prop::sample::select(vec!["a", "A", "b", "s", "\u{17f}", "k", "\\u0061", "\u{212a}"]);
    leaf.prop_recursive(4, 20, 3, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|list| format!("[{}]", list.join(","))),
            prop::collection::vec((key.clone(), inner), 0..3).prop_map(|members| {
                let members: Vec<_> =
                    members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn body_judge_says_what_the_slow_one_says(rule in any_rule(), body in document()) {
        prop_assert_eq!(rule.judge(body.as_bytes()).is_ok(), slow::allows(&rule.clone().into(), body.as_bytes()), "{}", body);
    }
}
