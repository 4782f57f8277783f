//! What is a pattern, and what is said of what is none.

use super::*;

fn wrong(text: &str) -> (String, String) {
    let bad = Pattern::parse(text).expect_err(text);
    (text.get(bad.part).expect("a part of the text").to_owned(), bad.message)
}

#[test]
fn pattern_is_read_into_one_piece_a_segment() {
    let pattern = Pattern::parse("GET /v{api:version}/images/{name...}/json").unwrap();
    assert_eq!(pattern.method(), Some("GET"));
    assert_eq!(pattern.pieces().iter().map(Piece::rank).collect::<Vec<_>>(), [3, u16::MAX, 0, u16::MAX]);
    assert_eq!(Pattern::parse("* /").unwrap().pieces(), [Piece::Literal(String::new())]);
    assert!(Pattern::parse("OPTIONS *").unwrap().is_star());
}

#[test]
fn pattern_that_is_wrong_says_where_and_what() {
    for (text, part, message) in [
        ("/x", "/x", "a match is a method and a path"),
        ("get /x", "get", "methods are upper case"),
        ("GET x", "x", "a path begins with `/`"),
        ("GET *", "*", "the target `*` goes with `OPTIONS` only"),
        ("GET  /x", " /x", "a path begins with `/`"),
        ("GET /a//b", "/", "a path has no empty segment"),
        ("GET /a/../b", "..", "no request can ask for this: dot segments are refused"),
        ("GET /a/{x", "{x", "`{` without `}`"),
        ("GET /a/x}", "x}", "`}` without `{`"),
        ("GET /a/{x}{y}", "{x}{y}", "one capture a segment is allowed"),
        ("GET /{x}/{x}", "{x}", "two captures are named `x`"),
        ("GET /{x...}/{y...}", "{y...}", "one `{name...}` a path is allowed"),
        ("GET /{x...}/{y}", "{y}", "only literals may follow `{name...}`"),
        ("GET /a{x...}", "a{x...}", "`{name...}` is a whole segment"),
        ("GET /{x:word}", "{x:word}", "this capture's type is wrong: this type is not known"),
        ("GET /{x:int 5..1}", "{x:int 5..1}", "this capture's type is wrong: this range holds no number"),
        (
            "GET /{x:one_of a|b c}",
            "{x:one_of a|b c}",
            "no request can ask for this: the target holds a byte that must be encoded",
        ),
        ("GET /{x:text line}", "{x:text line}", "a capture is compared undecoded, so this set says too much"),
        ("GET /{X}", "{X}", "a capture's name is lower case letters, digits and `_`"),
        ("GET /{}", "{}", "a capture's name is lower case letters, digits and `_`"),
        ("GET /a%41", "a%41", "this never matches as it is written"),
        ("GET /a?b=c", "a?b=c", "a path ends before `?`"),
        ("GET /a;b", "a;b", "no literal holds `;` or `%2F`"),
        ("* /a/*/b", "*", "`*` would stand for itself here, not for any text"),
        ("GET /a/**", "**", "`*` would stand for itself here, not for any text"),
        ("GET /a/*.json", "*.json", "`*` would stand for itself here, not for any text"),
        ("GET /a/{x}.*", "{x}.*", "`*` would stand for itself here, not for any text"),
        ("GET /:id", ":id", "a segment with `:` before it would stand for itself, not for any text"),
    ] {
        assert_eq!(wrong(text), (part.to_owned(), message.to_owned()), "{text}");
    }
}

#[test]
fn pattern_has_a_star_where_that_is_what_is_meant() {
    for text in ["GET /a/{x:one_of *}", "GET /a/{x:one_of :id|*}", "GET /images/a:latest/json", "OPTIONS *"] {
        assert!(Pattern::parse(text).is_ok(), "{text}");
    }
    let help = Pattern::parse("* /a/*/b").unwrap_err().help.unwrap();
    assert!(help.contains("`{name}`") && help.contains("`{name:one_of *}`"), "{help}");
}

#[test]
fn version_prefix_is_one_typed_segment() {
    assert!(VersionPrefix::parse("/v{api:version}").is_ok());
    for text in ["v{api:version}", "/v{api}", "/{x...}", "/", "/v{api:version}/x", "/v{api:version}/"] {
        assert!(VersionPrefix::parse(text).is_err(), "{text}");
    }
}
