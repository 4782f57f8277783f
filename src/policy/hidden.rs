//! By what a path can say one thing to us and another to the server behind: `%2F`, `;`, a final slash, and case.

use crate::model::refusal::Refusal;
use crate::model::target::Target;

/// What one piece of a pattern lets through.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Opened {
    pub(super) rest: bool,
    pub(super) encoded_slash: bool,
    pub(super) path_parameter: bool,
}

/// Which piece took the segment: what stands before a rest and behind it is counted from its end of the path.
pub(super) fn opened_at(shape: &[Opened], at: usize, segments: usize) -> Opened {
    let place = match shape.iter().position(|piece| piece.rest) {
        Some(rest) if at >= rest => {
            let behind = shape.len() - rest - 1;
            if at + behind >= segments { shape.len() + at - segments } else { rest }
        }
        _ => at,
    };
    shape.get(place).copied().unwrap_or_default()
}

/// Why a path is refused that no route takes.
pub(super) fn first_hidden(target: &Target) -> Option<Refusal> {
    target.segments().find_map(|segment| match (segment.encoded_slash, segment.semicolon) {
        (true, _) => Some(Refusal::EncodedSlash),
        (_, true) => Some(Refusal::PathParameter),
        _ => None,
    })
}

/// The method whose handler may answer this one as well: most servers answer `HEAD` by what answers `GET`. A forbid of
/// that one holds too.
pub(super) fn answered_as(method: &str) -> Option<&'static str> {
    (method == "HEAD").then_some("GET")
}

/// How a backend might read the path otherwise; a forbid holds for each of these too. Many servers do not tell case
/// apart, so that the same is there in lower case: forbids stand so in their trees as well.
pub(super) fn other_readings(path: &str) -> Vec<String> {
    let plain = other_reading(path);
    let in_lower_case =
        |path: &str| path.bytes().any(|byte| byte.is_ascii_uppercase()).then(|| path.to_ascii_lowercase());
    let lower: Vec<String> =
        [Some(path), plain.as_deref()].into_iter().flatten().filter_map(in_lower_case).collect();
    plain.into_iter().chain(lower).collect()
}

/// The path without what follows `;`, with `%2F` as a slash, without a slash at its end. `None` where it is the same.
fn other_reading(path: &str) -> Option<String> {
    let end = path.len() > 1 && path.ends_with('/');
    if !end && !path.contains(';') && !path.contains("%2F") {
        return None;
    }
    let mut other = String::with_capacity(path.len());
    for segment in path.split('/').flat_map(|segment| segment.split("%2F")) {
        let bare = segment.split(';').next().unwrap_or_default();
        if !bare.is_empty() {
            other.push('/');
            other.push_str(bare);
        }
    }
    if other.is_empty() {
        other.push('/');
    }
    (other != path).then_some(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_reading_is_what_a_backend_may_make_of_a_path() {
        for (path, other) in [
            ("/a/b", None),
            ("/", None),
            ("/a/b/", Some("/a/b")),
            ("/a;x=1/b", Some("/a/b")),
            ("/a%2Fb;c/d%2F", Some("/a/b/d")),
            ("/%2F", Some("/")),
            ("/a%20b", None),
        ] {
            assert_eq!(other_reading(path).as_deref(), other, "{path}");
        }
    }

    #[test]
    fn other_readings_are_in_lower_case_too() {
        for (path, others) in [
            ("/a/b", &[][..]),
            ("/Exec/1", &["/exec/1"]),
            ("/Exec;X/1", &["/Exec/1", "/exec;x/1", "/exec/1"]),
            ("/a%2FB", &["/a/B", "/a%2fb", "/a/b"]),
        ] {
            assert_eq!(other_readings(path), others, "{path}");
        }
    }

    #[test]
    fn opened_at_counts_what_stands_behind_a_rest_from_the_end() {
        let piece = |encoded_slash, rest| Opened { rest, encoded_slash, path_parameter: false };
        // `/a/{rest...}/json`, whose rest opts in.
        let shape = [piece(false, false), piece(true, true), piece(false, false)];
        let taken = |segments| {
            (0..segments).map(|at| opened_at(&shape, at, segments).encoded_slash).collect::<Vec<_>>()
        };
        assert_eq!(taken(3), [false, true, false]);
        assert_eq!(taken(5), [false, true, true, true, false]);
    }
}
