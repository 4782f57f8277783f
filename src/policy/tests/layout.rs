//! The canonical form says the same, keeps every comment, and is its own.

use proptest::prelude::*;

use crate::policy::layout;

fn laid(text: &str) -> String {
    let laid = layout("p.toml", text).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!(layout("p.toml", &laid).unwrap(), laid, "it is not its own canonical form");
    laid
}

#[test]
fn layout_aligns_keys_and_parts_tables_by_one_line() {
    let text = "version=1\n[ listen . a ]\n\n\npath='/x'   # why\ngroup    = \"g\"\n# of b\n[[route]]\nid = \"b\"\n\n\n\nto=\"x\"\n\n";
    assert_eq!(
        laid(text),
        "version = 1\n\n[listen.a]\npath  = '/x'  # why\ngroup = \"g\"\n\n# of b\n[[route]]\nid = \"b\"\n\nto = \"x\"\n"
    );
}

#[test]
fn layout_breaks_what_is_longer_than_a_line_and_joins_what_is_not() {
    let long: Vec<String> = (0..12).map(|number| format!("\"GET /containers/{number}\"")).collect();
    let text = laid(&format!("match = [{}]\n", long.join(",")));
    assert!(text.lines().count() > 2 && text.lines().all(|line| line.len() <= 110), "{text}");
    assert!(text.starts_with("match = [\n    \"GET /containers/0\", \"GET /containers/1\","), "{text}");
    assert!(text.ends_with(",\n]\n"), "{text}");
    assert_eq!(laid("a = [\n1,\n  2\n]\n"), "a = [1, 2]\n");
}

#[test]
fn layout_a_last_comma_keeps_the_lines_of_a_list() {
    assert_eq!(laid("a = [\n1,2,\n\n 3,\n]\n"), "a = [\n    1, 2,\n    3,\n]\n");
    assert_eq!(laid("a = [1, 2,]\n"), "a = [1, 2]\n");
}

#[test]
fn layout_keeps_comments_where_they_are() {
    let text = "# top\n\na = [ # first\n 1, # one\n # two\n 2 ]# last\n# end\n";
    assert_eq!(
        laid(text),
        "# top\n\na = [\n    # first\n    1,  # one\n    # two\n    2,\n]  # last\n# end\n"
    );
}

#[test]
fn layout_breaks_lists_inside_tables_in_braces() {
    let names: Vec<String> = (0..14).map(|number| format!("\"/HostConfig/{number}\"")).collect();
    let text = laid(&format!("body={{max='1KiB',json={{allow=[{}],others='zero'}}}}\n", names.join(", ")));
    assert!(text.starts_with("body = { max = '1KiB', json = { allow = [\n    \"/HostConfig/0\","), "{text}");
    assert!(text.ends_with("\n], others = 'zero' } }\n"), "{text}");
    assert_eq!(laid("a={}\nb={x=1 , y=[ ]}\n"), "a = {}\nb = { x = 1, y = [] }\n");
}

#[test]
fn layout_leaves_strings_of_several_lines_alone() {
    let text = "a = \"\"\"\none\n   two\n\"\"\"\nbb = ['''\nx''', 'y']\n";
    let laid = laid(text);
    assert!(laid.contains("\"\"\"\none\n   two\n\"\"\"\n") && laid.contains("'''\nx''',"), "{laid}");
}

#[test]
fn layout_ends_lines_plainly() {
    assert_eq!(laid("a = 1\r\n\r\nbb = 2 # c \r\n"), "a  = 1\n\nbb = 2  # c\n");
    assert_eq!(laid(""), "");
    assert_eq!(laid("\n\n# only\n\n"), "# only\n");
}

#[test]
fn layout_of_what_is_no_toml_is_refused_in_place() {
    let wrong = layout("p.toml", "a = [1\nb = 2\n").unwrap_err().to_string();
    assert!(wrong.starts_with("p.toml:"), "{wrong}");
}

#[test]
fn samples_are_in_canonical_form() {
    for folder in ["policy", "deploy"] {
        for entry in std::fs::read_dir(format!("{}/{folder}", env!("CARGO_MANIFEST_DIR"))).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "toml") {
                let text = std::fs::read_to_string(&path).unwrap();
                assert_eq!(laid(&text), text, "{}: write `peergate policy fmt --write`", path.display());
            }
        }
    }
}

/// Values as people might write them, with odd spaces, breaks and comments.
fn value() -> impl Strategy<Value = String> {
    let space = || prop::sample::select(vec!["", " ", "   "]);
    let leaf = prop::sample::select(vec![
        "1",
        "0o660",
        "true",
        "\"a # b\"",
        "'c'",
        "\"\"\"x\ny\"\"\"",
        "1979-05-27T07:32:00Z",
        "\"\u{e4}, [\"",
        "1.5",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(3, 24, 6, move |inner| {
        let gap = || prop::sample::select(vec!["", " ", "\n", "\n\n", " # c\n"]);
        let listed = (prop::collection::vec((inner.clone(), gap()), 0..6), gap(), any::<bool>());
        let list = listed.prop_map(|(values, gap, comma)| {
            let last = values.len();
            let mut text = format!("[{gap}");
            for (place, (value, gap)) in values.into_iter().enumerate() {
                text += &value;
                text += gap;
                if comma || place + 1 < last {
                    text += ",";
                }
                text += gap;
            }
            text + "]"
        });
        let table = prop::collection::vec((inner, space()), 0..4).prop_map(|values| {
            let pairs: Vec<String> = values
                .into_iter()
                .enumerate()
                .map(|(place, (value, space))| format!("{space}k{place}{space}={space}{value}"))
                .collect();
            format!("{{{}}}", pairs.join(","))
        });
        prop_oneof![list, table]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn layout_says_the_same_and_is_its_own(
        values in prop::collection::vec((value(), prop::sample::select(vec!["\n", "\n\n", " # d\n", "\n# e\n"])), 0..6),
        headers in prop::collection::vec(any::<bool>(), 6),
    ) {
        let mut text = String::new();
        for (place, (value, end)) in values.iter().enumerate() {
            if headers[place] {
                text += &format!("[ t{place} . x ]\n");
            }
            text += &format!("key{place}={value}{end}");
        }
        // A table in braces may hold no line ends of its own in what some versions of the language are.
        if let Ok(laid) = layout("p.toml", &text) {
            prop_assert_eq!(layout("p.toml", &laid).unwrap(), laid.clone());
            let parsed = [&text, &laid].map(|text| text.parse::<toml::Table>().unwrap());
            prop_assert_eq!(&parsed[0], &parsed[1]);
            prop_assert_eq!(text.matches("# c").count(), laid.matches("# c").count());
            prop_assert_eq!(text.matches("# d").count(), laid.matches("# d").count());
        } else {
            prop_assert!(text.parse::<toml::Table>().is_err(), "{}", text);
        }
    }
}
