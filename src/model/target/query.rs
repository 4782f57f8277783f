//! A query's names and values.

use crate::model::refusal::Refusal;

/// The pieces of a query; see [`super::Target::query_pairs`].
#[derive(Debug, Clone)]
pub struct QueryPairs<'a> {
    /// What is left; `None` after the last piece.
    rest: Option<&'a str>,
}

impl<'a> QueryPairs<'a> {
    pub(super) fn new(query: &'a str) -> QueryPairs<'a> {
        QueryPairs { rest: (!query.is_empty()).then_some(query) }
    }
}

impl<'a> Iterator for QueryPairs<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        let rest = self.rest?;
        let (piece, rest) = match rest.split_once('&') {
            Some((piece, rest)) => (piece, Some(rest)),
            None => (rest, None),
        };
        self.rest = rest;
        Some(piece.split_once('=').unwrap_or((piece, "")))
    }
}

/// Beyond this many pieces, names are sorted instead of compared each with each: a hostile query must not cost
/// the square of its length.
const FEW: usize = 16;

/// See [`super::Target::query_names_once`].
pub(super) fn names_once(query: &str) -> Result<(), Refusal> {
    // `;` separated once (HTML 4 B.2.2), and Go, Python and others each stopped at another time.
    if query.contains(';') {
        return Err(Refusal::QuerySyntax);
    }
    let pairs = QueryPairs::new(query);
    let mut count = 0;
    for (name, _) in pairs.clone() {
        if name.is_empty() || name.bytes().any(|b| matches!(b, b'%' | b'+')) {
            return Err(Refusal::QuerySyntax);
        }
        count += 1;
    }
    let twice = if count <= FEW {
        let mut rest = pairs;
        loop {
            let Some((name, _)) = rest.next() else { break false };
            if rest.clone().any(|(other, _)| other == name) {
                break true;
            }
        }
    } else {
        let mut names: Vec<&str> = pairs.map(|(name, _)| name).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| matches!(pair, [a, b] if a == b))
    };
    if twice { Err(Refusal::QueryTwice) } else { Ok(()) }
}
