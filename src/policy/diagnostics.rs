//! What is wrong with a policy, shown in place: file, line, column, the line, a caret, and what to write
//! instead. All mistakes are collected; nobody has to load a file ten times to see ten of them.

use std::borrow::Cow;
use std::fmt;

use super::near::nearest;

/// Where something stands in the file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl From<std::ops::Range<usize>> for Span {
    fn from(range: std::ops::Range<usize>) -> Span {
        Span { start: range.start, end: range.end }
    }
}

/// A value and where it was written.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong, in one sentence without a full stop; names and values stand in backticks.
    pub message: String,
    /// What to write instead, where that can be said.
    pub help: Option<String>,
    /// The file, where it is not the first one.
    pub file: Option<String>,
    /// The line, from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The line as it stands in the file, printable.
    source: String,
    /// How many characters of it are meant.
    width: usize,
}

/// Everything that is wrong with one file, in the order of the file. `Display` gives lines for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    file: String,
    found: Vec<Diagnostic>,
    more: usize,
    waits: bool,
}

/// More mistakes than this are only counted.
const SHOWN: usize = 50;

impl Diagnostics {
    /// The mistakes, at most fifty of them.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.found.iter()
    }

    /// Whether there is nothing wrong but that a name service does not answer: later it may.
    pub fn is_unanswered(&self) -> bool {
        self.waits
    }

    /// One mistake of the file as a whole, such as that it can't be read.
    pub fn whole(file: &str, message: impl Into<String>, help: Option<&str>) -> Diagnostics {
        let found = Diagnostic {
            message: message.into(),
            help: help.map(str::to_owned),
            file: None,
            line: 0,
            column: 0,
            source: String::new(),
            width: 0,
        };
        Diagnostics { file: file.to_owned(), found: vec![found], more: 0, waits: false }
    }
}

impl std::error::Error for Diagnostics {}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for found in &self.found {
            found.show(&self.file, f)?;
        }
        match self.more {
            0 => Ok(()),
            more => writeln!(f, "and {more} more"),
        }
    }
}

impl Diagnostic {
    /// Lines for people, as they stand among all that is wrong with that file.
    #[cfg(feature = "cli")]
    pub fn shown(&self, file: &str) -> String {
        let alone = Diagnostics { file: printable(file), found: vec![self.clone()], more: 0, waits: false };
        alone.to_string()
    }

    fn show(&self, first: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.as_deref().unwrap_or(first);
        if self.line == 0 {
            writeln!(f, "{file}: {}", self.message)?;
            return match &self.help {
                Some(help) => writeln!(f, "  = {help}"),
                None => Ok(()),
            };
        }
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        writeln!(f, "{file}:{}:{}: {}", self.line, self.column, self.message)?;
        writeln!(f, "{number} | {}", self.source)?;
        let indent = " ".repeat(self.column.saturating_sub(1));
        writeln!(f, "{gutter} | {indent}{}", "^".repeat(self.width.max(1)))?;
        match &self.help {
            Some(help) => writeln!(f, "{gutter} = {help}"),
            None => Ok(()),
        }
    }
}

/// Collects mistakes while a file is read and checked.
pub(crate) struct Problems<'t> {
    /// Of all files, one behind the other.
    text: Cow<'t, str>,
    /// Files behind the first: where each begins, and what it is called.
    behind: Vec<(usize, String)>,
    found: Vec<(Span, String, Option<String>)>,
    /// Where each line begins.
    lines: Vec<usize>,
    /// How many of them may be none, once a name service answers.
    unanswered: usize,
}

impl<'t> Problems<'t> {
    pub(crate) fn new(text: &'t str) -> Problems<'t> {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Problems { text: text.into(), behind: Vec::new(), found: Vec::new(), lines, unanswered: 0 }
    }

    /// Adds another file behind those that are there; where it begins.
    pub(crate) fn append(&mut self, name: &str, text: &str) -> usize {
        let all = self.text.to_mut();
        // So that its first line is one.
        all.push('\n');
        let from = all.len();
        all.push_str(text);
        self.lines.push(from);
        self.lines.extend(text.match_indices('\n').map(|(at, _)| from + at + 1));
        self.behind.push((from, name.to_owned()));
        from
    }

    /// The files behind the first, each with the line that is its first.
    pub(crate) fn files(&self) -> Vec<(String, u32)> {
        let line = |from: usize| self.line(Span { start: from, end: from });
        self.behind.iter().map(|(from, name)| (name.clone(), line(*from))).collect()
    }

    /// The file behind the first that a place is in, and how many lines stand before it.
    fn file_of(&self, span: Span) -> (Option<&str>, usize) {
        let behind = self.behind.partition_point(|(from, _)| *from <= span.start);
        match behind.checked_sub(1).and_then(|place| self.behind.get(place)) {
            None => (None, 0),
            Some((from, name)) => (Some(name), self.lines.partition_point(|start| start < from)),
        }
    }

    /// A place in a sentence about another one: `line 7`, or `line 7 of policy.d/web.toml`.
    pub(crate) fn told(&self, span: Span) -> String {
        let (file, before) = self.file_of(span);
        let line = self.line(span) as usize - before;
        match file {
            Some(file) => format!("line {line} of {}", quoted(file)),
            None if self.behind.is_empty() => format!("line {line}"),
            None => format!("line {line} of the first file"),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Notes one mistake.
    pub(crate) fn add(&mut self, span: Span, message: impl Into<String>) {
        self.found.push((span, message.into(), None));
    }

    /// Notes a name that could not be looked up: whether it is a mistake is not known.
    pub(crate) fn add_unanswered(&mut self, span: Span, message: impl Into<String>) {
        self.unanswered += 1;
        self.add(span, message);
    }

    /// Notes one mistake and what to write instead.
    pub(crate) fn add_help(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.found.push((span, message.into(), Some(help.into())));
    }

    /// Notes a name that is none of `known`, and the nearest one that is.
    pub(crate) fn add_unknown<'a>(
        &mut self,
        span: Span,
        message: impl Into<String>,
        written: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) {
        let help = nearest(written, known).map(|name| format!("did you mean {}?", quoted(name)));
        self.found.push((span, message.into(), help));
    }

    /// The line of a place, from 1; lines of several files count on.
    pub(crate) fn line(&self, span: Span) -> u32 {
        let line = self.lines.partition_point(|start| *start <= span.start);
        u32::try_from(line).unwrap_or(u32::MAX)
    }

    /// The place of a part of a string value. Where the value was written with escapes the parts can't be told
    /// apart, and the whole is meant.
    pub(crate) fn part(&self, at: &At<String>, part: std::ops::Range<usize>) -> Span {
        let inner = at.span.start + 1;
        if self.text.get(inner..).is_some_and(|text| text.starts_with(&at.value)) {
            Span { start: inner + part.start, end: inner + part.end }
        } else {
            at.span
        }
    }

    /// What was found, for people.
    pub(crate) fn failed(mut self, file: &str) -> Diagnostics {
        self.found.sort_by_key(|(span, ..)| span.start);
        let more = self.found.len().saturating_sub(SHOWN);
        let found = self.found.iter().take(SHOWN);
        let found = found.map(|(span, message, help)| self.diagnostic(*span, message.clone(), help.clone()));
        let found = found.collect();
        let waits = self.unanswered > 0 && self.unanswered == self.found.len();
        Diagnostics { file: printable(file), found, more, waits }
    }

    /// Something that is said of a place.
    pub(crate) fn diagnostic(&self, span: Span, message: String, help: Option<String>) -> Diagnostic {
        let line = self.line(span) as usize;
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let source = self.text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or("");
        let before = self.text.get(start..span.start).unwrap_or("");
        let meant = self.text.get(span.start..span.end).and_then(|rest| rest.lines().next()).unwrap_or("");
        let (column, source) = shortened(before.chars().count(), source);
        let (file, before) = self.file_of(span);
        Diagnostic {
            message,
            help,
            file: file.map(printable),
            line: line - before,
            column: column + 1,
            width: meant.chars().count().min(source.chars().count().saturating_sub(column)),
            source,
        }
    }
}

/// A line that is readable on a terminal: a very long one is cut around the column that is meant.
fn shortened(column: usize, line: &str) -> (usize, String) {
    const WIDTH: usize = 160;
    let skip = if column > WIDTH - 20 { column - 20 } else { 0 };
    let text: String = line.chars().skip(skip).take(WIDTH).map(plain).collect();
    (column - skip, text)
}

/// Text from the file in backticks, printable and short.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut out: String = text.chars().take(LONGEST).map(plain).collect();
    if text.chars().count() > LONGEST {
        out.push('…');
    }
    format!("`{out}`")
}

fn printable(text: &str) -> String {
    text.chars().map(plain).collect()
}

/// A character that can't move a terminal's cursor: controls and the marks that turn the direction of text
/// become one plain sign.
fn plain(c: char) -> char {
    match c {
        '\t' => ' ',
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => {
            '\u{fffd}'
        }
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, span: std::ops::Range<usize>) -> String {
        let mut problems = Problems::new(text);
        problems.add_help(span.into(), "this is wrong", "write that");
        problems.failed("p.toml").to_string()
    }

    #[test]
    fn diagnostic_shows_line_column_and_caret() {
        assert_eq!(
            shown("one = 1\nkey = true\n", 14..18),
            "p.toml:2:7: this is wrong\n2 | key = true\n  |       ^^^^\n  = write that\n"
        );
    }

    #[test]
    fn diagnostic_of_hostile_text_stays_on_its_line() {
        let shown = shown("a = \"\u{1b}[2J\u{202e}\"\r\nb = 2\n", 0..1);
        assert!(!shown.contains(['\u{1b}', '\r', '\u{202e}']), "{shown:?}");
    }

    #[test]
    fn diagnostic_at_the_end_of_an_empty_file_does_not_fail() {
        assert!(shown("", 0..0).starts_with("p.toml:1:1: "));
        assert!(shown("x", 7..9).starts_with("p.toml:1:"));
    }

    #[test]
    fn diagnostics_come_in_the_order_of_the_file_and_are_bounded() {
        let text = "x\n".repeat(100);
        let mut problems = Problems::new(&text);
        for line in (0..100).rev() {
            problems.add((line * 2..line * 2 + 1).into(), "wrong");
        }
        let found = problems.failed("p");
        assert_eq!(found.iter().map(|found| found.line).collect::<Vec<_>>(), (1..=50).collect::<Vec<_>>());
        assert!(found.to_string().ends_with("and 50 more\n"));
    }
}
