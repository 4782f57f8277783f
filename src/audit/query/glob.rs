//! Patterns in which `*` stands for anything.

use std::convert::Infallible;
use std::str::FromStr;

use crate::audit::plain::decoded;

/// Text to compare with; `*` in it stands for any text, the empty one too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(String);

impl FromStr for Glob {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Glob, Infallible> {
        Ok(Glob(text.to_owned()))
    }
}

impl Glob {
    /// Whether the whole of a record's text, decoded, is like this.
    pub(super) fn covers(&self, text: &str) -> bool {
        covers(self.0.as_bytes(), decoded(text).as_bytes())
    }

    /// The same for a path; a pattern without `/` looks at the file's name alone.
    pub(super) fn covers_path(&self, path: &str) -> bool {
        let path = decoded(path);
        let name = path.rsplit_once('/').map_or(&*path, |(_, name)| name);
        covers(self.0.as_bytes(), if self.0.contains('/') { path.as_bytes() } else { name.as_bytes() })
    }

    /// The text itself, where no `*` is in it.
    pub fn literal(&self) -> Option<&str> {
        (!self.0.contains('*')).then_some(&*self.0)
    }
}

/// Greedy from the left, each `*` taken as short as it can be; a part that was found is never moved again, since
/// what can follow a later one can follow the earliest too.
fn covers(pattern: &[u8], text: &[u8]) -> bool {
    let mut parts = pattern.split(|byte| *byte == b'*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = memchr::memmem::find(rest, part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glob_star_is_any_text_and_the_rest_is_whole() {
        for (pattern, text, covered) in [
            ("", "", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("a*b", "ab", true),
            ("a*b", "axxb", true),
            ("ab*b", "ab", false),
            ("a*b*a", "abba", true),
            ("a*bb*ba", "abba", false),
            ("*", "", true),
            ("**", "x", true),
        ] {
            assert_eq!(Glob(pattern.into()).covers(text), covered, "{pattern} {text}");
        }
    }

    #[test]
    fn glob_looks_at_decoded_text_and_of_a_path_at_its_name() {
        let glob = |text: &str| Glob(text.into());
        assert!(glob("a\u{1b}b").covers("a\\u001bb"));
        assert!(glob("docker").covers_path("/usr/bin/docker"));
        assert!(glob("/usr/*").covers_path("/usr/bin/docker"));
        assert!(!glob("/docker").covers_path("/usr/bin/docker"));
    }
}
