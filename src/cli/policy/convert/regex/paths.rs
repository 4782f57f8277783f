//! One way in which an expression can be met, as paths of patterns: the same or less.

use super::{Read, Token};

/// The paths that say it.
pub(in crate::cli::policy::convert) fn paths(tokens: &[Token]) -> Read<Vec<String>> {
    if let Some(bad) =
        tokens.iter().find_map(|token| if let Token::Bad(why) = token { Some(why) } else { None })
    {
        return Err(bad.clone());
    }
    if let [Token::Any { .. }] = tokens {
        return Ok(vec!["/".to_owned(), "/{rest...}".to_owned()]);
    }
    let segments: Vec<&[Token]> = tokens.split(|token| *token == Token::Literal('/')).collect();
    let Some((first, segments)) = segments.split_first() else { return Err("it is empty".to_owned()) };
    if !first.is_empty() || segments.is_empty() {
        return Err("it does not begin with `/`, as every path does".to_owned());
    }
    let mut so_far = vec![Path::default()];
    for (at, segment) in segments.iter().enumerate() {
        let last = at + 1 == segments.len();
        let behind = segments.get(at + 1..).unwrap_or_default();
        let literal_behind =
            behind.iter().all(|segment| segment.iter().all(|token| matches!(token, Token::Literal(_))));
        let mut next = Vec::new();
        for path in so_far {
            next.extend(path.with(segment, last, literal_behind)?);
        }
        so_far = next;
    }
    Ok(so_far.into_iter().map(|path| path.text).collect())
}

/// As it stands in a canonical target: there the expression saw the path decoded.
fn canonical(c: char) -> String {
    if c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@".contains(c) {
        return c.to_string();
    }
    let mut bytes = [0; 4];
    c.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// A path that is being written.
#[derive(Debug, Clone, Default)]
struct Path {
    text: String,
    captures: usize,
    rest: bool,
}

impl Path {
    fn with(&self, segment: &[Token], last: bool, literal_behind: bool) -> Read<Vec<Path>> {
        let free = |token: &Token| !matches!(token, Token::Literal(_));
        let text = |tokens: &[Token]| -> String {
            tokens
                .iter()
                .filter_map(|token| if let Token::Literal(c) = token { Some(canonical(*c)) } else { None })
                .collect()
        };
        let Some(at) = segment.iter().position(free) else {
            if segment.is_empty() && !last {
                return Err("it holds `//`, which is refused anyway".to_owned());
            }
            return self.literal(&text(segment)).map(|path| vec![path]);
        };
        let (before, behind) = segment.split_at(at);
        let Some((token, behind)) = behind.split_first() else { return Err("it is empty".to_owned()) };
        if behind.iter().any(free) {
            return Err("a segment would need two captures".to_owned());
        }
        let (before, behind) = (text(before), text(behind));
        if let Some(c) =
            [&before, &behind].iter().find_map(|part| part.chars().find(|c| matches!(c, '*' | ';')))
        {
            return Err(format!("`{c}` stands beside what varies, and no pattern has it there"));
        }
        match token {
            Token::Any { empty } if last && behind.is_empty() => Ok(self.prefix(&before, *empty)),
            Token::Any { .. } if before.is_empty() && behind.is_empty() && literal_behind && !self.rest => {
                let mut path = self.add("{rest...}");
                path.rest = true;
                Ok(vec![path])
            }
            Token::Any { empty } => {
                let mut ways = vec![self.capture(&before, "", &behind)?];
                if *empty && !(before.is_empty() && behind.is_empty()) {
                    ways.push(self.add(&format!("{before}{behind}")));
                }
                Ok(ways)
            }
            Token::Segment => Ok(vec![self.capture(&before, "", &behind)?]),
            Token::Digits => Ok(vec![self.capture(&before, ":int", &behind)?]),
            Token::Hex => Ok(vec![self.capture(&before, ":hex", &behind)?]),
            Token::Typed(kind) => Ok(vec![self.capture(&before, &format!(":{kind}"), &behind)?]),
            Token::Minor => Ok(vec![self.capture(&before, ":int 0..99", &behind)?]),
            Token::Literal(_) | Token::Bad(_) => Err("it can't be read".to_owned()),
        }
    }

    /// Any text behind `before`, at the end of the path: nothing more, a slash, segments.
    fn prefix(&self, before: &str, empty: bool) -> Vec<Path> {
        let mut ways = Vec::new();
        if before.is_empty() {
            // Behind a slash.
            if empty {
                ways.push(self.add(""));
            }
            if !self.rest {
                ways.push(self.add("{rest...}"));
            }
            return ways;
        }
        if empty {
            ways.push(self.add(before));
        }
        ways.push(self.add(before).add(""));
        if !self.rest {
            ways.push(self.add(before).add("{rest...}"));
        }
        ways
    }

    /// A segment without anything free. One with `*`, or with `:` in front, stands for itself only in a `one_of`.
    fn literal(&self, segment: &str) -> Read<Path> {
        if segment.contains(';') {
            return Err(
                "`;` begins a path parameter, which is refused unless a capture is let take it".to_owned()
            );
        }
        if matches!(segment, "." | "..") {
            return Err(format!("`{segment}` is a segment that no request can have here"));
        }
        if segment.contains('*') || segment.starts_with(':') {
            return self.capture("", &format!(":one_of {segment}"), "");
        }
        Ok(self.add(segment))
    }

    fn add(&self, segment: &str) -> Path {
        Path { text: format!("{}/{segment}", self.text), ..self.clone() }
    }

    fn capture(&self, before: &str, kind: &str, behind: &str) -> Read<Path> {
        if self.rest {
            return Err("a capture stands behind another that takes any text".to_owned());
        }
        let captures = self.captures + 1;
        let path = self.add(&format!("{before}{{x{captures}{kind}}}{behind}"));
        Ok(Path { captures, ..path })
    }
}
