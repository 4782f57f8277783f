use super::*;

fn parse(raw: &str) -> Result<String, Refusal> {
    Target::parse(raw.as_bytes()).map(|t| t.as_str().to_owned())
}

#[test]
fn target_harmless_ones_are_kept() {
    for text in [
        "/",
        "/a",
        "/a/",
        "/a/b?c=d",
        "/v1.41/containers/json?all=1&filters=%7B%22a%22%3A%5B%22b%22%5D%7D",
        "/a..b/...",
        "/.hidden/a.",
        "/..a/a..",
        "/a:b@c!$&'()*+,=",
        "/?",
        "/a??/?=&",
        "/%C3%A4/%F0%9F%98%80",
        "/images/docker.io%2Flibrary%2Fa/json",
        "/a;b=c/d",
        "/%20",
        "/~a-b_c",
    ] {
        assert_eq!(parse(text).as_deref(), Ok(text));
    }
}

#[test]
fn target_triplets_are_decoded_once_or_upper_case() {
    for (raw, canonical) in [
        ("/%41%7a%7E", "/Az~"),
        ("/%c3%a4", "/%C3%A4"),
        ("/a%2fb", "/a%2Fb"),
        ("/a?%41=%2e%2f%c3%a4%25", "/a?A=.%2F%C3%A4%25"),
        ("/%3a%2d", "/:-"),
        ("/%21%24%26%27%28%29%2a%2B%2c%3d%3A%40?%40%2B", "/!$&'()*+,=:@?%40%2B"),
        ("/%20%22%3c%7B", "/%20%22%3C%7B"),
    ] {
        assert_eq!(parse(raw).as_deref(), Ok(canonical), "{raw}");
    }
}

#[test]
fn target_each_rule_refuses_by_its_own_name() {
    for (refusal, raws) in [
        (Refusal::TargetForm, &["", "*", "a", "http://h/a", "h:80", "?a", "%2Fa"][..]),
        (
            Refusal::TargetByte,
            &[
                "/a b", "/a\\b", "/a#b", "/a?b#c", "/a\"", "/<", "/[", "/a\tb", "/ä", "/a?ä", "/{x}", "/a|b",
                "/a?^",
            ],
        ),
        (Refusal::PercentSyntax, &["/%", "/%4", "/%zz", "/%4g", "/%%34%31", "/a?%", "/a?%u0041", "/%u002e"]),
        (
            Refusal::PercentForbidden,
            &[
                "/%5c",
                "/%2e",
                "/%2E%2e/a",
                "/a%2Eb",
                "/%00",
                "/%25",
                "/%252e",
                "/%3b",
                "/%3F",
                "/%23",
                "/%0a",
                "/%7F",
                "/a%1Fb",
                "/%C2%85",
                "/%C2%9f",
            ],
        ),
        (
            Refusal::PercentUtf8,
            &[
                "/%C0%AE",
                "/%C3",
                "/%C3a",
                "/%C3/%A4",
                "/%C3%41",
                "/%C3?%A4",
                "/%80",
                "/%FF",
                "/%ED%A0%80",
                "/%E0%80%AF",
                "/%F4%90%80%80",
                "/a?%C3",
                "/a?%C3=%A4",
            ],
        ),
        (
            Refusal::DotSegment,
            &[
                "/.",
                "/..",
                "/../a",
                "/a/../b",
                "/a/./b",
                "/a/..",
                "/..;x",
                "/.;x/a",
                "/a/..;/b",
                "/a%2F..",
                "/..%2Fa",
                "/.%2F",
                "/a%2F.%2Fb",
                "/..;%2Fa",
            ],
        ),
        (
            Refusal::EmptySegment,
            &[
                "//",
                "/a//b",
                "//a",
                "/a//",
                "/;x",
                "/a/;/b",
                "/%2F",
                "/a%2F",
                "/a%2F/b",
                "/%2Fa",
                "/a%2F%2Fb",
                "/a/;",
            ],
        ),
    ] {
        for raw in raws {
            assert_eq!(parse(raw), Err(refusal), "{raw}");
        }
    }
}

#[test]
fn segments_root_trailing_slash_and_flags() {
    let segments = |raw: &str| -> Vec<(String, bool, bool)> {
        let target = Target::parse(raw.as_bytes()).unwrap();
        target.segments().map(|s| (s.text.to_owned(), s.encoded_slash, s.semicolon)).collect()
    };
    let plain = |text: &str| (text.to_owned(), false, false);
    assert_eq!(segments("/"), [plain("")]);
    assert_eq!(segments("/a/b/?c/d;%2F"), [plain("a"), plain("b"), plain("")]);
    assert_eq!(
        segments("/a%2fb/c;d/e"),
        [("a%2Fb".into(), true, false), ("c;d".into(), false, true), plain("e")]
    );
    assert_eq!(Target::star().segments().count(), 0);
    assert_eq!((Target::star().path(), Target::star().query()), ("*", None));
}

#[test]
fn query_pairs_come_in_order() {
    let pairs = |raw: &str| -> Vec<(String, String)> {
        let target = Target::parse(raw.as_bytes()).unwrap();
        target.query_pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(pairs("/a"), []);
    assert_eq!(pairs("/a?"), []);
    assert_eq!(pairs("/a?b"), [pair("b", "")]);
    assert_eq!(pairs("/a?b=c=d&e&=f&"), [pair("b", "c=d"), pair("e", ""), pair("", "f"), pair("", "")]);
}

#[test]
fn query_names_once_refuses_what_reads_in_two_ways() {
    let once = |query: &str| Target::parse(format!("/a?{query}").as_bytes()).unwrap().query_names_once();
    for query in ["", "a", "a=1&b=1&A=1", "a=%3B%26%2B+", "a=b=c"] {
        assert_eq!(once(query), Ok(()), "{query}");
    }
    for query in ["a;b", "a=1;b=2", "a+b=1", "%C3%A4=1", "a%5B%5D=1", "&", "a&", "=1", "a&&b", "a%00=1"] {
        assert_eq!(once(query), Err(Refusal::QuerySyntax), "{query}");
    }
    for query in ["a&a", "a=1&b=2&a=1", "%61=1&a=2"] {
        assert_eq!(once(query), Err(Refusal::QueryTwice), "{query}");
    }
    let many = |last: &str| (0..40).map(|i| format!("n{i}=1&")).collect::<String>() + last;
    assert_eq!(once(&many("x=1")), Ok(()));
    assert_eq!(once(&many("n7=1")), Err(Refusal::QueryTwice));
}
