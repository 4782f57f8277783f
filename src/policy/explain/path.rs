//! How far a method and a path are from a pattern, and in what.

use std::borrow::Cow;
use std::fmt;

use crate::policy::near::distance;
use crate::policy::pattern::{Pattern, Piece, VersionPrefix};
use crate::policy::value::Kind;

/// What the request has and the pattern has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Apart {
    /// Another method.
    Method {
        /// The request's.
        is: String,
        /// The pattern's.
        wants: String,
    },
    /// Another listener.
    Listener {
        /// The request's.
        is: String,
        /// The route's.
        wants: String,
    },
    /// A segment that the pattern's does not take.
    Segment {
        /// From 1.
        number: usize,
        /// The request's.
        is: String,
        /// The pattern's, as written.
        wants: String,
    },
    /// A segment that the pattern has not.
    Extra {
        /// From 1.
        number: usize,
        /// The request's.
        is: String,
    },
    /// A segment that the request has not.
    Missing {
        /// The pattern's, as written.
        wants: String,
    },
}

/// What one more difference costs: a slip in a segment or one of another type, any other difference, another word altogether.
const SLIP: u32 = 1;
/// See [`SLIP`].
pub(super) const OTHER: u32 = 2;
/// See [`SLIP`].
const ANOTHER: u32 = 3;
/// What a pattern may cost that is still near; each segment of the request adds one.
pub(super) const FAR: u32 = 2;

/// A row of a table is shorter than this: a longer path is near nothing.
const LONGEST: usize = 128;

/// The cheapest way from the request to the pattern, with or without the version prefix; `None` where the path is too
/// long to be compared, or has nothing of the pattern but what captures take.
pub(super) fn compare(
    pattern: &Pattern,
    prefix: Option<&VersionPrefix>,
    method: &str,
    segments: &[&str],
) -> Option<(u32, Vec<Apart>)> {
    if segments.len() > LONGEST {
        return None;
    }
    let plain = Cow::Borrowed(pattern.pieces());
    let behind = prefix.filter(|_| !pattern.is_star()).map(|prefix| Cow::Owned(prefix.before(pattern)));
    let ways = [Some(plain), behind].into_iter().flatten();
    let ways = ways.map(|pieces| align(&pieces, segments)).filter(|way| way.alike);
    let Way { mut cost, mut apart, .. } = ways.min_by_key(|way| way.cost)?;
    if let Some(wants) = pattern.method().filter(|wants| *wants != method) {
        cost += OTHER;
        apart.insert(0, Apart::Method { is: method.to_owned(), wants: wants.to_owned() });
    }
    Some((cost, apart))
}

/// A step from a place in pieces and segments to a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The piece stands for the segment, rightly or wrongly.
    Both,
    /// The rest before takes this segment too.
    More,
    /// The piece stands for nothing.
    Piece,
    /// Nothing stands for the segment.
    Segment,
}

/// A way to read segments as pieces.
struct Way {
    cost: u32,
    /// What is wrong with it.
    apart: Vec<Apart>,
    /// A literal is in it, or nearly, if there are any.
    alike: bool,
}

/// The cheapest way to read `segments` as `pieces`.
fn align(pieces: &[Piece], segments: &[&str]) -> Way {
    let width = segments.len() + 1;
    // By how many pieces and segments are behind: the cost so far, and the step that led there.
    let mut table: Vec<(u32, Step)> = vec![(u32::MAX, Step::Both); (pieces.len() + 1) * width];
    let at = |table: &[(u32, Step)], row: usize, column: usize| {
        table.get(row * width + column).map_or(u32::MAX, |cell| cell.0)
    };
    for row in 0..=pieces.len() {
        for column in 0..width {
            let piece = row.checked_sub(1).and_then(|row| pieces.get(row));
            let segment = column.checked_sub(1).and_then(|column| segments.get(column));
            let mut best = if row + column == 0 { (0, Step::Both) } else { (u32::MAX, Step::Both) };
            let mut offer = |cost: u32, more: u32, step| {
                let cost = cost.saturating_add(more);
                if cost < best.0 {
                    best = (cost, step);
                }
            };
            if let (Some(piece), Some(segment)) = (piece, segment) {
                offer(at(&table, row - 1, column - 1), differs(piece, segment), Step::Both);
                if matches!(piece, Piece::Rest { .. }) {
                    offer(at(&table, row, column - 1), 0, Step::More);
                }
            }
            if piece.is_some() {
                offer(at(&table, row - 1, column), OTHER, Step::Piece);
            }
            if segment.is_some() {
                offer(at(&table, row, column - 1), OTHER, Step::Segment);
            }
            if let Some(cell) = table.get_mut(row * width + column) {
                *cell = best;
            }
        }
    }
    let (mut row, mut column) = (pieces.len(), segments.len());
    let mut apart = Vec::new();
    let mut alike = !pieces.iter().any(|piece| matches!(piece, Piece::Literal(_)));
    let cost = at(&table, row, column);
    while row + column > 0 {
        let Some((_, step)) = table.get(row * width + column) else { break };
        let piece = row.checked_sub(1).and_then(|row| pieces.get(row));
        let is = column.checked_sub(1).and_then(|column| segments.get(column)).copied().unwrap_or_default();
        let wants = piece.map(written).unwrap_or_default();
        let literal = piece.filter(|piece| *step == Step::Both && matches!(piece, Piece::Literal(_)));
        alike |= literal.is_some_and(|piece| differs(piece, is) <= SLIP);
        match step {
            Step::Both if piece.is_some_and(|piece| differs(piece, is) == 0) => {}
            Step::Both => apart.push(Apart::Segment { number: column, is: is.to_owned(), wants }),
            Step::More => {}
            Step::Piece => apart.push(Apart::Missing { wants }),
            Step::Segment => apart.push(Apart::Extra { number: column, is: is.to_owned() }),
        }
        row -= usize::from(matches!(step, Step::Both | Step::Piece) && row > 0);
        column -= usize::from(*step != Step::Piece && column > 0);
    }
    apart.reverse();
    Way { cost, apart, alike }
}

/// 0 where the piece takes the segment.
fn differs(piece: &Piece, segment: &str) -> u32 {
    match piece {
        Piece::Literal(text) if text == segment => 0,
        Piece::Literal(text) => {
            let length = text.chars().count().max(segment.chars().count());
            let slip = length <= 64 && distance(text, segment) <= length.div_ceil(3).min(2);
            if slip { SLIP } else { ANOTHER }
        }
        Piece::Mixed { prefix, kind, suffix, .. } => {
            let inner =
                segment.strip_prefix(prefix.as_str()).and_then(|rest| rest.strip_suffix(suffix.as_str()));
            if inner.is_some_and(|inner| kind.captures(inner)) { 0 } else { OTHER }
        }
        Piece::Capture { kind, .. } => {
            if kind.captures(segment) {
                0
            } else {
                SLIP
            }
        }
        Piece::Rest { .. } => 0,
    }
}

/// A piece as it was written.
fn written(piece: &Piece) -> String {
    let kind = match piece.kind() {
        Kind::Any => String::new(),
        kind => format!(":{kind}"),
    };
    match piece {
        Piece::Literal(text) => text.clone(),
        Piece::Mixed { prefix, name, suffix, .. } => format!("{prefix}{{{name}{kind}}}{suffix}"),
        Piece::Capture { name, .. } => format!("{{{name}{kind}}}"),
        Piece::Rest { name } => format!("{{{name}...}}"),
    }
}

impl fmt::Display for Apart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Apart::Method { is, wants } => write!(f, "the method is {is} and not {wants}"),
            Apart::Listener { is, wants } => write!(f, "the listener is {is} and not {wants}"),
            Apart::Segment { number, is, wants } => {
                write!(f, "segment {number} is \"{is}\" and not \"{wants}\"")
            }
            Apart::Extra { number, is } => write!(f, "segment {number}, \"{is}\", is one too many"),
            Apart::Missing { wants } => write!(f, "\"{wants}\" is missing"),
        }
    }
}
