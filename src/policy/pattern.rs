//! What a route matches: `GET /containers/{id}/json`, read into pieces, one a segment.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;

use super::value::{Charset, Kind, Text};
use crate::model::method::Method;
use crate::model::target::Target;

/// A method (or any) and the shape of a path. Every value is one that can match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    text: String,
    method: Option<String>,
    pieces: Vec<Piece>,
}

/// One segment of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Exactly this text.
    Literal(String),
    /// A capture between literal text, at least one of the two not empty: `v{api}`, `{name}.json`.
    Mixed { prefix: String, name: String, kind: Kind, suffix: String },
    /// One whole segment.
    Capture { name: String, kind: Kind },
    /// One segment or more; only literals can follow.
    Rest { name: String },
}

/// The segment that stands for the target `*`: no segment of a path holds a space.
pub(crate) const STAR: &str = "* ";

/// Segments of one pattern.
pub(crate) const MOST_PIECES: usize = 64;

/// How specific a segment is; larger is more.
pub(crate) type Rank = u16;

/// That of a capture without literal text.
pub(crate) const CAPTURE: Rank = 1;

impl Piece {
    /// Literal > literal with capture, the longer literal first > capture > rest.
    pub(crate) fn rank(&self) -> Rank {
        match self {
            Piece::Literal(_) => Rank::MAX,
            Piece::Mixed { prefix, suffix, .. } => Rank::try_from(prefix.len() + suffix.len())
                .unwrap_or(Rank::MAX)
                .saturating_add(2)
                .min(Rank::MAX - 1),
            Piece::Capture { .. } => CAPTURE,
            Piece::Rest { .. } => 0,
        }
    }

    /// The same for a path in lower case.
    pub(crate) fn in_lower_case(&self) -> Piece {
        match self {
            Piece::Literal(text) => Piece::Literal(text.to_ascii_lowercase()),
            Piece::Mixed { prefix, name, kind, suffix } => Piece::Mixed {
                prefix: prefix.to_ascii_lowercase(),
                name: name.clone(),
                kind: kind.in_lower_case(),
                suffix: suffix.to_ascii_lowercase(),
            },
            Piece::Capture { name, kind } => {
                Piece::Capture { name: name.clone(), kind: kind.in_lower_case() }
            }
            Piece::Rest { .. } => self.clone(),
        }
    }

    /// Whether it takes this segment, a rest left out.
    #[cfg(feature = "cli")]
    pub(crate) fn takes(&self, segment: &str) -> bool {
        match self {
            Piece::Literal(text) => text == segment,
            Piece::Mixed { prefix, suffix, kind, .. } => {
                let inner = segment.strip_prefix(prefix.as_str());
                inner
                    .and_then(|rest| rest.strip_suffix(suffix.as_str()))
                    .is_some_and(|inner| kind.captures(inner))
            }
            Piece::Capture { kind, .. } => kind.captures(segment),
            Piece::Rest { .. } => false,
        }
    }

    /// Whether a path is of this shape.
    #[cfg(feature = "cli")]
    pub(crate) fn take_all(pieces: &[Piece], segments: &[&str]) -> bool {
        match (pieces.split_first(), segments.split_first()) {
            (None, None) => true,
            (Some((Piece::Rest { .. }, behind)), Some((_, after))) => {
                // What follows a rest is literals, so they stand at the end.
                let taken = after.len().checked_sub(behind.len());
                taken.and_then(|taken| after.get(taken..)).is_some_and(|end| Piece::take_all(behind, end))
            }
            (Some((piece, behind)), Some((segment, after))) => {
                piece.takes(segment) && Piece::take_all(behind, after)
            }
            _ => false,
        }
    }

    /// The capture's name.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Piece::Literal(_) => None,
            Piece::Mixed { name, .. } | Piece::Capture { name, .. } | Piece::Rest { name } => Some(name),
        }
    }

    /// The capture's kind.
    pub(crate) fn kind(&self) -> &Kind {
        match self {
            Piece::Mixed { kind, .. } | Piece::Capture { kind, .. } => kind,
            Piece::Literal(_) | Piece::Rest { .. } => &Kind::Any,
        }
    }
}

/// What is wrong with a pattern, and which bytes of it are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadPattern {
    pub(crate) part: Range<usize>,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl BadPattern {
    fn new(part: Range<usize>, message: impl Into<String>) -> BadPattern {
        BadPattern { part, message: message.into(), help: None }
    }

    fn help(mut self, help: impl Into<String>) -> BadPattern {
        self.help = Some(help.into());
        self
    }
}

impl Pattern {
    /// Reads `METHOD /path` or `* /path`.
    pub(crate) fn parse(text: &str) -> Result<Pattern, BadPattern> {
        let whole = 0..text.len();
        let Some((method, path)) = text.split_once(' ') else {
            let help = if text.starts_with('/') {
                format!("write `GET {text}`, or `* {text}` for every method")
            } else {
                "write a method, one space and a path, such as `GET /containers/json`".to_owned()
            };
            return Err(BadPattern::new(whole, "a match is a method and a path").help(help));
        };
        let method = read_method(method)?;
        let at = text.len() - path.len();
        let pieces = if path == "*" {
            if method.as_deref() != Some("OPTIONS") {
                return Err(BadPattern::new(at..text.len(), "the target `*` goes with `OPTIONS` only")
                    .help("for every path write `/{rest...}`"));
            }
            vec![Piece::Literal(STAR.to_owned())]
        } else {
            read_path(path, at)?
        };
        Ok(Pattern { text: text.to_owned(), method, pieces })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The method, unless it matches every one.
    pub fn method(&self) -> Option<&str> {
        self.method.as_deref()
    }

    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The target `*` has no path that a prefix could stand before.
    pub(crate) fn is_star(&self) -> bool {
        matches!(self.pieces.as_slice(), [Piece::Literal(text)] if text == STAR)
    }
}

/// The segment that may stand before each path of a backend: `/v{api:version}`. Serves a pattern's rules, and
/// a capture in it has a type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VersionPrefix {
    text: String,
    piece: Piece,
}

impl VersionPrefix {
    pub(crate) fn parse(text: &str) -> Result<VersionPrefix, BadPattern> {
        const HELP: &str = "write one segment with a typed capture, such as `/v{api:version}`";
        let whole = 0..text.len();
        let mut pieces = read_path(text, 0)?;
        let (Some(piece), true) = (pieces.pop(), pieces.is_empty()) else {
            return Err(BadPattern::new(whole, "a version prefix is one segment").help(HELP));
        };
        match &piece {
            Piece::Literal(literal) if literal.is_empty() => {
                Err(BadPattern::new(whole, "a version prefix is one segment").help(HELP))
            }
            Piece::Rest { .. } => Err(BadPattern::new(whole, "a version prefix is one segment").help(HELP)),
            Piece::Capture { kind: Kind::Any, .. } | Piece::Mixed { kind: Kind::Any, .. } => {
                Err(BadPattern::new(whole, "the capture of a version prefix needs a type").help(HELP))
            }
            _ => Ok(VersionPrefix { text: text.to_owned(), piece }),
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether this segment is one.
    #[cfg(feature = "cli")]
    pub(crate) fn takes(&self, segment: &str) -> bool {
        match &self.piece {
            Piece::Literal(text) => text == segment,
            Piece::Capture { kind, .. } => kind.takes(segment),
            Piece::Mixed { prefix, kind, suffix, .. } => segment
                .strip_prefix(prefix.as_str())
                .and_then(|rest| rest.strip_suffix(suffix.as_str()))
                .is_some_and(|text| kind.takes(text)),
            Piece::Rest { .. } => false,
        }
    }

    /// The pieces of `pattern` behind this prefix.
    pub(crate) fn before(&self, pattern: &Pattern) -> Vec<Piece> {
        std::iter::once(&self.piece).chain(pattern.pieces()).cloned().collect()
    }
}

fn read_method(text: &str) -> Result<Option<String>, BadPattern> {
    let whole = 0..text.len();
    if text == "*" {
        return Ok(None);
    }
    let method = Method::parse(text.as_bytes()).map_err(|_| {
        BadPattern::new(whole.clone(), "this is no method").help("write one such as `GET`, or `*`")
    })?;
    if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        let upper = text.to_ascii_uppercase();
        return Err(BadPattern::new(whole, "methods are upper case").help(format!("write `{upper}`")));
    }
    Ok(Some(method.as_str().to_owned()))
}

/// Reads a path whose first byte stands at `at`.
fn read_path(path: &str, at: usize) -> Result<Vec<Piece>, BadPattern> {
    let whole = at..at + path.len();
    let Some(inner) = path.strip_prefix('/') else {
        return Err(BadPattern::new(whole, "a path begins with `/`"));
    };
    let mut pieces: Vec<Piece> = Vec::new();
    let mut start = at + 1;
    let mut segments = inner.split('/').peekable();
    while let Some(segment) = segments.next() {
        let part = start..start + segment.len();
        start = part.end + 1;
        if segment.is_empty() && segments.peek().is_some() {
            return Err(BadPattern::new(part.start..part.start + 1, "a path has no empty segment"));
        }
        let piece = read_segment(segment, part.clone())?;
        if let Some(name) = piece.name()
            && pieces.iter().any(|piece| piece.name() == Some(name))
        {
            return Err(BadPattern::new(part, format!("two captures are named `{name}`")));
        }
        let after_rest = pieces.iter().any(|piece| matches!(piece, Piece::Rest { .. }));
        match piece {
            Piece::Rest { .. } if after_rest => {
                return Err(BadPattern::new(part, "one `{name...}` a path is allowed"));
            }
            Piece::Mixed { .. } | Piece::Capture { .. } if after_rest => {
                return Err(BadPattern::new(part, "only literals may follow `{name...}`"));
            }
            _ => pieces.push(piece),
        }
    }
    if pieces.len() > MOST_PIECES {
        return Err(BadPattern::new(whole, format!("a path has at most {MOST_PIECES} segments")));
    }
    Ok(pieces)
}

fn read_segment(segment: &str, part: Range<usize>) -> Result<Piece, BadPattern> {
    let Some((prefix, after)) = segment.split_once('{') else {
        if segment.contains('}') {
            return Err(BadPattern::new(part, "`}` without `{`"));
        }
        literal(segment, segment, &part)?;
        no_wildcard(segment, true, &part)?;
        return Ok(Piece::Literal(segment.to_owned()));
    };
    let Some((inside, suffix)) = after.split_once('}') else {
        return Err(BadPattern::new(part, "`{` without `}`"));
    };
    if suffix.contains(['{', '}']) || prefix.contains('}') {
        return Err(BadPattern::new(part, "one capture a segment is allowed"));
    }
    let bare = prefix.is_empty() && suffix.is_empty();
    if let Some(name) = inside.strip_suffix("...") {
        check_name(name, &part)?;
        if !bare {
            return Err(BadPattern::new(part, "`{name...}` is a whole segment"));
        }
        return Ok(Piece::Rest { name: name.to_owned() });
    }
    let (name, kind) = match inside.split_once(':') {
        None => (inside, Kind::Any),
        Some((name, written)) => (name, capture_kind(written, bare, &part)?),
    };
    check_name(name, &part)?;
    if bare {
        return Ok(Piece::Capture { name: name.to_owned(), kind });
    }
    // Padding keeps `.` from being read as a dot segment when the capture adds to it.
    literal(prefix, &format!("x{prefix}x"), &part)?;
    literal(suffix, &format!("x{suffix}x"), &part)?;
    no_wildcard(prefix, false, &part)?;
    no_wildcard(suffix, false, &part)?;
    Ok(Piece::Mixed { prefix: prefix.to_owned(), name: name.to_owned(), kind, suffix: suffix.to_owned() })
}

/// The type of a capture: one whose values can stand in a segment as it is compared, undecoded.
fn capture_kind(written: &str, bare: bool, part: &Range<usize>) -> Result<Kind, BadPattern> {
    let kind = Kind::parse(written).map_err(|bad| BadPattern {
        part: part.clone(),
        message: format!("this capture's type is wrong: {}", bad.message),
        help: bad.help,
    })?;
    match &kind {
        Kind::OneOf(values) => {
            for value in values {
                if value.is_empty() {
                    return Err(BadPattern::new(part.clone(), "no capture is empty"));
                }
                let padded = if bare { value.clone() } else { format!("x{value}x") };
                literal(value, &padded, part)?;
            }
        }
        Kind::Text(Text { set: Charset::Printable | Charset::Line, .. }) => {
            return Err(BadPattern::new(
                part.clone(),
                "a capture is compared undecoded, so this set says too much",
            )
            .help("write `{x:text word}`, `{x:text name}` or `{x:text reference}`"));
        }
        _ => {}
    }
    Ok(kind)
}

/// A literal must be written as a canonical target has it, or it would never match.
fn literal(written: &str, padded: &str, part: &Range<usize>) -> Result<(), BadPattern> {
    if written.contains('?') {
        return Err(BadPattern::new(part.clone(), "a path ends before `?`")
            .help("name the query's names by `query = [...]`"));
    }
    let raw = format!("/{padded}");
    match Target::parse(raw.as_bytes()) {
        Ok(target) if target.as_str() == raw && !written.contains(';') && !written.contains("%2F") => Ok(()),
        Ok(target) if target.as_str() != raw => {
            Err(BadPattern::new(part.clone(), "this never matches as it is written")
                .help(format!("in a canonical target it reads `{}`", target.as_str())))
        }
        Ok(_) => Err(BadPattern::new(part.clone(), "no literal holds `;` or `%2F`")
            .help("let a capture take it, and name that capture in `path_parameter` or `encoded_slash`")),
        Err(refusal) => {
            Err(BadPattern::new(part.clone(), format!("no request can ask for this: {}", refusal.text())))
        }
    }
}

/// `*` and `:id` are what others write for a capture. Taken for themselves they would match next to nothing, and a
/// forbid of them would forbid nothing.
fn no_wildcard(written: &str, whole: bool, part: &Range<usize>) -> Result<(), BadPattern> {
    let wrong = if written.contains('*') {
        "`*` would stand for itself here, not for any text"
    } else if whole && written.starts_with(':') {
        "a segment with `:` before it would stand for itself, not for any text"
    } else {
        return Ok(());
    };
    let help = format!(
        "write `{{name}}` for one segment, `{{name...}}` for one or more; where it is meant, `{{name:one_of {}}}`",
        if whole { written } else { "*" }
    );
    Err(BadPattern::new(part.clone(), wrong).help(help))
}

fn check_name(name: &str, part: &Range<usize>) -> Result<(), BadPattern> {
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if plain && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.len() <= 32 {
        return Ok(());
    }
    Err(BadPattern::new(part.clone(), "a capture's name is lower case letters, digits and `_`")
        .help("write `{name}`, `{name:hex}` or `{name...}`"))
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Pattern, String> {
        Pattern::parse(&text).map_err(|bad| bad.message)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> String {
        pattern.text
    }
}

impl TryFrom<String> for VersionPrefix {
    type Error = String;

    fn try_from(text: String) -> Result<VersionPrefix, String> {
        VersionPrefix::parse(&text).map_err(|bad| bad.message)
    }
}

impl From<VersionPrefix> for String {
    fn from(prefix: VersionPrefix) -> String {
        prefix.text
    }
}

#[cfg(test)]
mod tests;
