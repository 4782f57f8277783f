//! A slow second judge of what routes read of query, headers and content type, written from the words of the manual. It
//! reads the request as it is sent, where the other one reads it in its canonical form.

use proptest::prelude::{Strategy, any, prop};
use proptest::{prop_assert, prop_assert_eq, proptest};

use super::{Asking, house};
use crate::model::ids::ListenerId;
use crate::model::message::Coming;
use crate::model::method::Method;
use crate::model::target::{Asked, Target};
use crate::policy::{Headed, Verdict};

/// What a name has to be, as it is written: its type, and whether it has to be there.
type Wanted = (Type, bool);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Type {
    Any,
    Bool,
    Digit,
    Word,
    Hex,
    /// Of header lines alone.
    Absent,
}

impl Type {
    fn written(self, required: bool) -> String {
        let kind = match self {
            Type::Absent => return "\"absent\"".to_owned(),
            Type::Any => "",
            Type::Bool => "one_of = [\"true\", \"false\", \"1\", \"0\"]",
            Type::Digit => "int = \"1..9\"",
            Type::Word => "one_of = [\"a b\", \"ü\"]",
            Type::Hex => "hex = 2",
        };
        let required = if required { "required = true" } else { "" };
        let parts: Vec<&str> = [kind, required].into_iter().filter(|part| !part.is_empty()).collect();
        format!("{{ {} }}", parts.join(", "))
    }

    fn takes(self, value: &str) -> bool {
        match self {
            Type::Any => true,
            Type::Absent => false,
            Type::Bool => ["true", "false", "1", "0"].contains(&value),
            Type::Digit => (1..=9).any(|digit: u8| digit.to_string() == value),
            Type::Word => ["a b", "ü"].contains(&value),
            Type::Hex => value.len() == 2 && value.bytes().all(|b| b.is_ascii_hexdigit()),
        }
    }
}

/// A route's rules.
#[derive(Debug, Clone)]
struct Rule {
    query: Query,
    headers: Vec<(&'static str, Wanted)>,
    types: Vec<&'static str>,
}

#[derive(Debug, Clone)]
enum Query {
    Anything,
    Names(Vec<&'static str>),
    Typed(Vec<(&'static str, Wanted)>),
}

const NAMES: [&str; 4] = ["all", "n", "word", "hex"];
const HEADERS: [&str; 3] = ["X-Auth", "X-Trace", "Accept"];
const TYPES: [&str; 2] = ["text/plain", "application/x-tar"];

/// Pieces of queries, as they are sent.
const PIECES: [&str; 28] = [
    "all=1",
    "all=true",
    "all=TRUE",
    "all",
    "a%6Cl=0",
    "n=5",
    "n=05",
    "n=%35",
    "n=10",
    "n=+5",
    "n=%2B5",
    "n=",
    "word=a%20b",
    "word=a+b",
    "word=%C3%BC",
    "word=%c3%bc",
    "word=a%2520b",
    "hex=0f",
    "hex=%30F",
    "hex=0fa",
    "other=1",
    "a%2Bll=1",
    "al+l=1",
    "=1",
    "",
    "all=1;n=2",
    "n=5=5",
    "%20=1",
];
const LINES: [(&str, &str); 18] = [
    ("X-Auth", "1"),
    ("x-auth", "true"),
    ("X_AUTH", "1"),
    ("X-Auth", ""),
    ("x.trace", "0f"),
    ("X-Trace", "0F"),
    ("X-Trace", "0fa"),
    ("X-Traces", "0f"),
    ("Accept", "5"),
    ("ACCEPT", "*/*"),
    ("Content-Type", "text/plain"),
    ("content-type", "Text/Plain; Charset=UTF-8"),
    ("Content-Type", "application/x-tar ;charset=\"utf-8\""),
    ("Content-Type", "text/plain; charset=latin-1"),
    ("Content-Type", "text/plain;"),
    ("Content-Type", "text/plain, application/x-tar"),
    ("Content_Type", "text/plain"),
    ("Content-Types", "text/plain"),
];

fn wanted(types: &'static [Type]) -> impl Strategy<Value = Wanted> {
    (prop::sample::select(types), any::<bool>())
}

fn named<T: Clone + std::fmt::Debug>(
    names: &'static [&'static str],
    one: impl Strategy<Value = T>,
) -> impl Strategy<Value = Vec<(&'static str, T)>> {
    let many = prop::collection::vec(one, names.len());
    (prop::sample::subsequence(names, 0..=names.len()), many)
        .prop_map(|(names, wanted)| names.into_iter().zip(wanted).collect())
}

fn rule() -> impl Strategy<Value = Rule> {
    const VALUES: &[Type] = &[Type::Any, Type::Bool, Type::Digit, Type::Word, Type::Hex];
    const LINES: &[Type] = &[Type::Absent, Type::Any, Type::Bool, Type::Digit, Type::Hex];
    let names = prop::sample::subsequence(&NAMES[..], 0..=NAMES.len());
    let query = proptest::prop_oneof![
        1 => proptest::strategy::Just(Query::Anything),
        1 => names.prop_map(Query::Names),
        4 => named(&NAMES, wanted(VALUES)).prop_map(Query::Typed),
    ];
    let headers = named(&HEADERS, wanted(LINES)).prop_map(|mut headers| {
        // Nothing would be said by a line that may be there and be anything.
        headers.retain(|(_, wanted)| *wanted != (Type::Any, false));
        headers
    });
    let types = prop::sample::subsequence(&TYPES[..], 0..=TYPES.len());
    (query, headers, types).prop_map(|(query, headers, types)| Rule { query, headers, types })
}

/// Query, lines, and whether there is a body.
type Request = (Option<String>, Vec<(String, String)>, bool);

fn request() -> impl Strategy<Value = Request> {
    let query = prop::option::of(prop::collection::vec(prop::sample::select(&PIECES[..]), 0..4));
    let lines = prop::collection::vec(prop::sample::select(&LINES[..]), 0..5);
    (query, lines, any::<bool>()).prop_map(|(query, lines, body)| {
        let lines = lines.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        (query.map(|pieces| pieces.join("&")), lines, body)
    })
}

fn text(rule: &Rule) -> String {
    let table = |list: &[(&str, Wanted)]| {
        let each =
            list.iter().map(|(name, (kind, required))| format!("{name} = {}", kind.written(*required)));
        format!("{{ {} }}", each.collect::<Vec<_>>().join(", "))
    };
    let mut text =
        "[[route]]\nid = \"r\"\nmatch = \"POST /x\"\nto = \"docker\"\nallow = \"users\"\n".to_owned();
    match &rule.query {
        Query::Anything => {}
        Query::Names(names) => text.push_str(&format!("query = {names:?}\n")),
        Query::Typed(typed) => text.push_str(&format!("query = {}\n", table(typed))),
    }
    if !rule.headers.is_empty() {
        text.push_str(&format!("header = {}\n", table(&rule.headers)));
    }
    if !rule.types.is_empty() {
        text.push_str(&format!("body = {{ content_type = {:?} }}\n", rule.types));
    }
    text
}

/// A text with its triplets decoded, and whether one of them stands for more than a letter, a digit or `-._~`.
fn decoded(sent: &str) -> (String, bool) {
    let (mut bytes, mut reserved, mut rest) = (Vec::new(), false, sent.as_bytes());
    while let [first, behind @ ..] = rest {
        rest = behind;
        let mut byte = *first;
        if let (b'%', [a, b, behind @ ..]) = (byte, rest) {
            let digit = |digit: u8| char::from(digit).to_digit(16).unwrap() as u8;
            byte = digit(*a) << 4 | digit(*b);
            reserved |= !(byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
            rest = behind;
        }
        bytes.push(byte);
    }
    (String::from_utf8(bytes).unwrap(), reserved)
}

/// All that is wrong with the first of query names, query values, header lines and content type that is not in order.
fn slow(rule: &Rule, (query, lines, body): &Request) -> Vec<String> {
    let pieces: Vec<&str> = match query.as_deref() {
        None | Some("") => Vec::new(),
        Some(query) => query.split('&').collect(),
    };
    let pairs: Vec<(&str, &str)> =
        pieces.iter().map(|piece| piece.split_once('=').unwrap_or((piece, ""))).collect();
    let names: Vec<String> = pairs.iter().map(|(name, _)| decoded(name).0).collect();
    let known: Option<Vec<&str>> = match &rule.query {
        Query::Anything => None,
        Query::Names(names) => Some(names.clone()),
        Query::Typed(typed) => Some(typed.iter().map(|(name, _)| *name).collect()),
    };
    if let Some(known) = known {
        let odd = |(name, _): &(&str, &str)| name.is_empty() || name.contains('+') || decoded(name).1;
        if query.as_deref().is_some_and(|query| query.contains(';')) || pairs.iter().any(odd) {
            return vec!["query-syntax".to_owned()];
        }
        if names.iter().any(|name| names.iter().filter(|other| *other == name).count() > 1) {
            return vec!["query-twice".to_owned()];
        }
        if names.iter().any(|name| !known.contains(&name.as_str())) {
            return vec!["query-name".to_owned()];
        }
    }
    let mut wrong = Vec::new();
    if let Query::Typed(typed) = &rule.query {
        for (name, (kind, required)) in typed {
            let code = match names.iter().position(|known| known == name).map(|place| pairs[place].1) {
                None if *required => "query-lacks",
                Some(sent) if *kind != Type::Any && sent.contains('+') => "query-syntax",
                Some(sent) if !kind.takes(&decoded(sent).0) => "query-value",
                _ => continue,
            };
            wrong.push(format!("{code} query {name}"));
        }
    }
    if !wrong.is_empty() {
        return wrong;
    }
    // Some servers make a variable of a line's name.
    let variable = |name: &str| -> String {
        name.chars().map(|c| if c.is_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
    };
    let called = |wanted: &str| -> Vec<&(String, String)> {
        lines.iter().filter(|(name, _)| variable(name) == variable(wanted)).collect()
    };
    for (name, (kind, required)) in &rule.headers {
        let fine = match called(name).as_slice() {
            [] => !required || *kind == Type::Absent,
            [(is, value)] => is.to_lowercase() == name.to_lowercase() && kind.takes(value),
            _ => false,
        };
        if !fine {
            wrong.push(format!("header-rule header {name}"));
        }
    }
    if !wrong.is_empty() {
        return wrong;
    }
    let spellings: Vec<String> = rule
        .types
        .iter()
        .flat_map(|known| ["", ";charset=utf-8", ";charset=\"utf-8\""].map(|more| format!("{known}{more}")))
        .collect();
    let fits = |value: &str| {
        let parts: Vec<&str> = value.split(';').map(str::trim).collect();
        spellings.contains(&parts.join(";").to_lowercase())
    };
    let typed = matches!(called("Content-Type").as_slice(), [(_, value)] if fits(value));
    if *body && !rule.types.is_empty() && !typed {
        wrong.push("content-type header Content-Type".to_owned());
    }
    wrong
}

/// What is said of a request: `None`, or a refusal's code and what it is about.
fn quick(asking: &Asking, (query, lines, body): &Request) -> Option<String> {
    let path = query.as_ref().map_or_else(|| "/x".to_owned(), |query| format!("/x?{query}"));
    let target = Target::parse(path.as_bytes()).unwrap_or_else(|refusal| panic!("{path}: {refusal}"));
    let asked = Asked { method: &Method::POST, target: &target, upgrade: None };
    let denial = match asking.decider.decide(ListenerId(0), &asking.subject("bob"), &asked) {
        Verdict::Allow(_) => return None,
        Verdict::Deny(denial) => denial,
        Verdict::Read(unread) => {
            match unread.head(lines, if *body { Coming::Length(1) } else { Coming::Nothing }) {
                Ok(Headed::Permit(_)) => return None,
                Ok(Headed::Body(_)) => panic!("no rule reads the body"),
                Err(denial) => denial,
            }
        }
    };
    let part = denial.part.as_deref().map(|part| format!(" {part}")).unwrap_or_default();
    Some(format!("{}{part}", denial.refusal))
}

proptest! {
    #[test]
    fn query_headers_and_content_type_are_what_the_slow_judge_says(
        rule in rule(),
        requests in prop::collection::vec(request(), 24),
    ) {
        let asking = house(&text(&rule));
        for request in &requests {
            let (slow, quick) = (slow(&rule, request), quick(&asking, request));
            match quick {
                None => prop_assert_eq!(slow, Vec::<String>::new(), "{:?}", request),
                Some(said) => prop_assert!(slow.contains(&said), "{:?}: {} and not {:?}", request, said, slow),
            }
        }
    }
}
