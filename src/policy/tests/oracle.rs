//! A slow second matcher, written from the words of the manual, beside the tree.

use proptest::prelude::{Strategy, any, prop};
use proptest::{prop_assert_eq, proptest};

use crate::policy::pattern::{Pattern, Piece};
use crate::policy::tree::Growing;
use crate::policy::value::Kind;

/// Whether `segments` are what `pieces` take, piece by piece.
fn takes(pieces: &[Piece], segments: &[&str]) -> bool {
    match (pieces, segments) {
        ([], []) => true,
        ([Piece::Rest { .. }, behind @ ..], [_, ..]) => {
            (1..=segments.len()).any(|taken| takes(behind, &segments[taken..]))
        }
        ([piece, pieces @ ..], [segment, segments @ ..]) => one(piece, segment) && takes(pieces, segments),
        _ => false,
    }
}

fn one(piece: &Piece, segment: &str) -> bool {
    let typed = |kind: &Kind, text: &str| match kind {
        Kind::Any => true,
        Kind::Hex(None) => text.chars().all(|c| c.is_ascii_hexdigit()),
        Kind::Int(None) => text.chars().all(|c| c.is_ascii_digit()),
        Kind::Int(Some(range)) => (range.least..=range.most).any(|number| number.to_string() == text),
        Kind::OneOf(values) => values.iter().any(|value| value == text),
        _ => false,
    };
    match piece {
        Piece::Literal(text) => text == segment,
        Piece::Capture { kind, .. } => !segment.is_empty() && typed(kind, segment),
        Piece::Mixed { prefix, suffix, kind, .. } => {
            segment.len() > prefix.len() + suffix.len()
                && segment.starts_with(prefix.as_str())
                && segment.ends_with(suffix.as_str())
                && typed(kind, &segment[prefix.len()..segment.len() - suffix.len()])
        }
        Piece::Rest { .. } => false,
    }
}

/// Compares segment by segment: literal > literal with capture, the longer literal first > capture > rest.
fn specificity(pattern: &Pattern) -> (Vec<(u8, usize)>, bool) {
    let class = |piece: &Piece| match piece {
        Piece::Literal(_) => (3, 0),
        Piece::Mixed { prefix, suffix, .. } => (2, prefix.len() + suffix.len()),
        Piece::Capture { .. } => (1, 0),
        Piece::Rest { .. } => (0, 0),
    };
    (pattern.pieces().iter().map(class).collect(), pattern.method().is_some())
}

fn pattern() -> impl Strategy<Value = Pattern> {
    let segment = prop::sample::select(vec![
        "a",
        "b",
        "ab",
        "{?}",
        "{?:hex}",
        "{?:int}",
        "a{?}",
        "{?}b",
        "a{?:int}",
        "1{?}",
        "{?:int 1..9}",
        "{?:one_of a|12}",
        "a{?:one_of 1|b}",
    ]);
    let literal = prop::sample::select(vec!["a", "b", "ab"]);
    let before = prop::collection::vec(segment, 0..4);
    let behind = prop::option::of(prop::collection::vec(literal, 0..3));
    let method = prop::sample::select(vec!["GET", "POST", "*"]);
    (method, before, behind).prop_map(|(method, before, behind)| {
        let mut path = String::new();
        for (number, segment) in before.iter().enumerate() {
            path.push_str(&format!("/{}", segment.replace('?', &format!("x{number}"))));
        }
        if let Some(behind) = behind {
            path.push_str("/{rest...}");
            path.extend(behind.iter().map(|segment| format!("/{segment}")));
        }
        if path.is_empty() {
            path.push('/');
        }
        Pattern::parse(&format!("{method} {path}")).unwrap()
    })
}

fn path() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b", "ab", "1", "a1", "1b", "f0", "zz", "a1b"]);
    (prop::collection::vec(segment, 0..6), any::<bool>()).prop_map(|(segments, slash)| {
        let slash = slash && !segments.is_empty();
        format!("/{}{}", segments.join("/"), if slash { "/" } else { "" })
    })
}

#[test]
fn literals_that_are_numbered_far_apart_lead_to_their_own_children() {
    // Below `/`, between the first and the last stand as many numbers as there are literals below `/between`.
    let between = (0..40).map(|number| format!("GET /between/{number}"));
    let texts: Vec<String> = std::iter::once("GET /first".to_owned())
        .chain(between)
        .chain(["GET /last".to_owned(), "GET /last/3".to_owned(), "GET /last/7".to_owned()])
        .collect();
    let mut tree = Growing::new();
    for (number, text) in texts.iter().enumerate() {
        let pattern = Pattern::parse(text).unwrap();
        tree.insert(pattern.method(), pattern.pieces(), number as u32, 0);
    }
    let tree = tree.grown();
    let found = |path: &str| tree.best("GET", path).map(|end| texts[end.rule as usize].as_str());
    for text in &texts {
        assert_eq!(found(text.strip_prefix("GET ").unwrap()), Some(text.as_str()));
    }
    // Known elsewhere, not here: between the numbers, before and behind them.
    for path in ["/3", "/39", "/last/first", "/last/5", "/last/39", "/last/last", "/between/last", "/other"] {
        assert_eq!(found(path), None, "{path}");
    }
}

proptest! {
    #[test]
    fn tree_finds_what_the_slow_matcher_finds(
        patterns in prop::collection::vec(pattern(), 1..24),
        paths in prop::collection::vec(path(), 1..24),
    ) {
        let mut tree = Growing::new();
        for (number, pattern) in patterns.iter().enumerate() {
            tree.insert(pattern.method(), pattern.pieces(), number as u32, 0);
        }
        let tree = tree.grown();
        for path in &paths {
            let segments: Vec<&str> = path[1..].split('/').collect();
            let taking = |pattern: &&Pattern| {
                pattern.method().is_none_or(|method| method == "GET") && takes(pattern.pieces(), &segments)
            };
            let expected = patterns.iter().filter(taking).map(specificity).max();
            let found = tree.best("GET", path).map(|end| &patterns[end.rule as usize]);
            prop_assert_eq!(found.map(specificity), expected, "{}", path);
            if let Some(found) = found {
                prop_assert_eq!(takes(found.pieces(), &segments), true, "{} takes {}", found, path);
            }
            let mut all = Vec::new();
            tree.all("GET", path, &mut |rule| all.push(rule as usize));
            all.sort_unstable();
            let slow: Vec<_> = (0..patterns.len()).filter(|number| taking(&&patterns[*number])).collect();
            prop_assert_eq!(all, slow, "{}", path);
        }
    }
}
