//! Two routes that match one request and are equally specific: the order of the file would decide, so it is a
//! mistake instead.

use std::collections::BTreeMap;

use super::super::diagnostics::{Problems, quoted};
use super::super::file::File;
use super::super::pattern::{Pattern, Piece};
use super::super::table::Table;

/// One pattern on one listener, behind its backend's prefix or not.
struct Placed<'p> {
    route: usize,
    pattern: usize,
    pieces: Vec<Piece>,
    text: &'p Pattern,
}

/// Notes every tie, at the later one.
pub(super) fn find(file: &File, table: &Table, problems: &mut Problems<'_>) {
    // Where a route is missing, places in the two lists differ, and there is something else to correct first.
    if !problems.is_empty() || file.routes.len() != table.routes.len() {
        return;
    }
    // In order, so that the same mistake is told in the same words each time.
    let mut groups: BTreeMap<(usize, bool, String), Vec<Placed<'_>>> = BTreeMap::new();
    for (route_place, route) in table.routes.iter().enumerate() {
        let prefix = table.backend(route.to).and_then(|backend| backend.version_prefix.as_ref());
        for (pattern_place, pattern) in route.matches.iter().enumerate() {
            let plain = pattern.pieces().to_vec();
            let prefixed = prefix.filter(|_| !pattern.is_star()).map(|prefix| prefix.before(pattern));
            for pieces in std::iter::once(plain).chain(prefixed) {
                for on in &route.on {
                    let key = (usize::from(on.0), route.shadow, signature(pattern, &pieces));
                    let placed = Placed {
                        route: route_place,
                        pattern: pattern_place,
                        pieces: pieces.clone(),
                        text: pattern,
                    };
                    groups.entry(key).or_default().push(placed);
                }
            }
        }
    }
    let mut found: BTreeMap<(usize, usize), (usize, usize)> = BTreeMap::new();
    for group in groups.values() {
        for (place, later) in group.iter().enumerate() {
            let tied = group.iter().take(place).find(|earlier| ties(earlier, later));
            if let Some(earlier) = tied {
                found.entry((later.route, later.pattern)).or_insert((earlier.route, earlier.pattern));
            }
        }
    }
    for ((route, pattern), (other_route, other_pattern)) in found {
        let written =
            |route: usize, pattern: usize| file.routes.get(route)?.matches.as_ref()?.value.get(pattern);
        let (Some(later), Some(earlier)) = (written(route, pattern), written(other_route, other_pattern))
        else {
            continue;
        };
        let place = problems.told(earlier.span);
        if route == other_route {
            let message = format!("this route matches the same by {} on {place}", quoted(&earlier.value));
            problems.add(later.span, message);
        } else {
            let id = table.routes.get(other_route).map_or("", |route| route.id.as_str());
            let message = format!(
                "this is as specific as {} of the route {} on {place}, and one request can match both",
                quoted(&earlier.value),
                quoted(id)
            );
            problems.add_help(later.span, message, "make one of them longer, or put both into one route");
        }
    }
}

/// What two patterns have in common that are equally specific and can match one request, but for the text
/// around captures.
fn signature(pattern: &Pattern, pieces: &[Piece]) -> String {
    let mut signature = pattern.method().unwrap_or("*").to_owned();
    for piece in pieces {
        signature.push('/');
        match piece {
            Piece::Literal(text) => signature.push_str(text),
            Piece::Mixed { prefix, suffix, .. } => {
                signature.push_str(&format!("{{{}}}", prefix.len() + suffix.len()))
            }
            Piece::Capture { .. } => signature.push_str("{}"),
            Piece::Rest { .. } => signature.push_str("{...}"),
        }
    }
    signature
}

/// Of two patterns with one signature, whether one request can match both.
fn ties(a: &Placed<'_>, b: &Placed<'_>) -> bool {
    let pairs = || a.pieces.iter().zip(&b.pieces);
    if a.route == b.route {
        // Within a route it makes no difference which one is taken; only a plain repetition is a mistake.
        return a.pattern != b.pattern
            && a.text.method() == b.text.method()
            && pairs().all(|(a, b)| alike(a, b));
    }
    pairs().all(|(a, b)| meet(a, b))
}

/// The same but for the capture's name.
fn alike(a: &Piece, b: &Piece) -> bool {
    match (a, b) {
        (Piece::Mixed { prefix, suffix, kind, .. }, Piece::Mixed { prefix: p, suffix: s, kind: k, .. }) => {
            prefix == p && suffix == s && kind == k
        }
        (Piece::Capture { kind, .. }, Piece::Capture { kind: k, .. }) => kind == k,
        (Piece::Rest { .. }, Piece::Rest { .. }) => true,
        (a, b) => a == b,
    }
}

/// Whether some segment is taken by both. Where that is hard to tell, it is.
fn meet(a: &Piece, b: &Piece) -> bool {
    match (a, b) {
        (Piece::Mixed { prefix, suffix, .. }, Piece::Mixed { prefix: p, suffix: s, .. }) => {
            let same = prefix == p && suffix == s;
            let prefixes = prefix.starts_with(p.as_str()) || p.starts_with(prefix.as_str());
            let suffixes = suffix.ends_with(s.as_str()) || s.ends_with(suffix.as_str());
            if same { !a.kind().excludes(b.kind()) } else { prefixes && suffixes }
        }
        (Piece::Capture { kind, .. }, Piece::Capture { kind: k, .. }) => !kind.excludes(k),
        _ => true,
    }
}
