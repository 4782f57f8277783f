//! What is asked for: one canonical form of path and query, which is matched, recorded and forwarded alike.
//!
//! Other proxies were bypassed because what they judged was not what the server behind them read
//! (CVE-2019-9901, CVE-2021-29492, CVE-2021-32779, CVE-2025-32431). So there is one reading here, everything
//! that could be read in a second way is refused, and nothing that is refused is repaired.

mod query;
mod scan;

use std::fmt;

use super::method::Method;
use super::refusal::Refusal;

pub use query::QueryPairs;

/// A request target in its canonical form.
///
/// - It is ASCII: RFC 3986 path and query bytes and nothing else.
/// - Percent-triplets of unreserved bytes are decoded, in the path those of all bytes that may stand there plainly (`%40` is
///   `@`), so that what a server takes for one name has one spelling; all others are there in upper case.
/// - In the path no triplet hides `\ . NUL % ; ? #` or a control; there is no dot segment, also not behind `;` or
///   between encoded slashes, and no empty segment but a last one.
/// - What the triplets decode to is UTF-8.
/// - `%2F` and `;` in the path are left in place and flagged on their [`Segment`], for the policy to refuse
///   where the route does not opt in.
///
/// Parsing its own text gives it again.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// Path, and `?` and query where there is one.
    text: String,
    /// Bytes of `text` that are the path.
    path: usize,
    /// Whether any segment holds `%2F` or `;`, so that most need no second look.
    flagged: bool,
}

/// One piece of a path, between two slashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Its canonical text, still encoded.
    pub text: &'a str,
    /// It holds `%2F`.
    pub encoded_slash: bool,
    /// It holds `;`.
    pub semicolon: bool,
}

/// All of a request that the policy reads.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The method.
    pub method: &'a Method,
    /// Path and query.
    pub target: &'a Target,
    /// The protocol that the request wants to change to, as it was spelt; compared without case.
    pub upgrade: Option<&'a str>,
}

impl Target {
    /// Reads an origin-form target (RFC 9112 §3.2.1) into its canonical form, in one pass and with one
    /// allocation. Its length is the caller's to limit.
    ///
    /// # Errors
    /// The first rule that it breaks, from left to right: [`Refusal::TargetForm`], [`Refusal::TargetByte`],
    /// [`Refusal::PercentSyntax`], [`Refusal::PercentForbidden`], [`Refusal::PercentUtf8`],
    /// [`Refusal::DotSegment`], [`Refusal::EmptySegment`].
    pub fn parse(raw: &[u8]) -> Result<Target, Refusal> {
        scan::canonical(raw).map(|found| Target {
            text: found.text,
            path: found.path,
            flagged: found.flagged,
        })
    }

    /// The target of `OPTIONS *`: it has no segments, so no pattern for a path matches it.
    pub fn star() -> Target {
        Target { text: String::from("*"), path: 1, flagged: false }
    }

    /// Whether it is `*`.
    pub fn is_star(&self) -> bool {
        self.text == "*"
    }

    /// Path and query, as forwarded and recorded.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The path: it begins with `/`, or is `*`.
    pub fn path(&self) -> &str {
        self.text.get(..self.path).unwrap_or(&self.text)
    }

    /// Whether its path holds `%2F` or `;`, which another reader may take for something else.
    pub fn hides(&self) -> bool {
        self.flagged
    }

    /// What follows the first `?`; `Some("")` where nothing does.
    pub fn query(&self) -> Option<&str> {
        self.text.get(self.path..)?.strip_prefix('?')
    }

    /// The path's pieces. `/` has one, which is empty; after a trailing slash the last one is empty; `*` has none.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        let flagged = self.flagged;
        self.path().strip_prefix('/').into_iter().flat_map(|path| path.split('/')).map(move |text| Segment {
            text,
            encoded_slash: flagged && text.contains("%2F"),
            semicolon: flagged && text.contains(';'),
        })
    }

    /// The query's `name=value` pieces between `&`, canonical and still encoded; a piece without `=` has the
    /// value `""`. An empty query has none.
    pub fn query_pairs(&self) -> QueryPairs<'_> {
        QueryPairs::new(self.query().unwrap_or(""))
    }

    /// That a rule may read the query's names: every reader sees the same names, and none of them twice.
    ///
    /// # Errors
    /// [`Refusal::QuerySyntax`] where `;` could separate, or where a name is empty or holds `+` or a
    /// triplet; [`Refusal::QueryTwice`] where a name is there twice.
    pub fn query_names_once(&self) -> Result<(), Refusal> {
        query::names_once(self.query().unwrap_or(""))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.text)
    }
}

#[cfg(test)]
mod tests;
