//! A picture of so many columns and rows: lines of styled text, printable ASCII and the blocks of a sparkline.

use crate::model::escape::Spelling;

/// How a piece of text looks. Meaning never hangs on colour alone: the words say it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Style {
    #[default]
    Plain,
    Bold,
    Soft,
    Denied,
    Allowed,
    /// Column heads, and what is selected.
    Reverse,
}

impl Style {
    /// `SGR` parameters (ECMA-48 §8.3.117).
    fn parameters(self, colours: bool) -> &'static str {
        match (self, colours) {
            (Style::Plain, _) => "0",
            (Style::Bold, _) => "0;1",
            (Style::Soft, _) => "0;2",
            (Style::Denied, true) => "0;1;31",
            (Style::Denied, false) => "0;1",
            (Style::Allowed, true) => "0;32",
            (Style::Allowed, false) => "0",
            (Style::Reverse, _) => "0;7",
        }
    }
}

/// One line: pieces from left to right.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Line {
    pieces: Vec<(Style, String)>,
    columns: usize,
}

impl Line {
    /// Nothing yet.
    pub(super) fn new() -> Line {
        Line::default()
    }

    /// Of one piece.
    pub(super) fn of(style: Style, text: &str) -> Line {
        Line::new().then(style, text)
    }

    /// With text behind it. What is neither printable ASCII nor a block of ours is spelt out.
    pub(super) fn then(mut self, style: Style, text: &str) -> Line {
        let mut drawn = String::with_capacity(text.len());
        for c in text.chars() {
            if matches!(c, ' '..='~' | '\u{2581}'..='\u{2588}') {
                drawn.push(c);
            } else {
                drawn.extend(Spelling::of(c).as_bytes().iter().map(|byte| char::from(*byte)));
            }
        }
        self.columns += drawn.chars().count();
        self.pieces.push((style, drawn));
        self
    }

    /// With text behind it in exactly so many columns, and a space.
    pub(super) fn column(self, style: Style, text: &str, columns: usize) -> Line {
        let end = self.columns + columns;
        self.then(style, text).to(end).then(Style::Plain, " ")
    }

    /// The same with the text at the right.
    pub(super) fn right(self, style: Style, text: &str, columns: usize) -> Line {
        let spaces = columns.saturating_sub(text.chars().count());
        self.then(Style::Plain, &" ".repeat(spaces)).column(style, text, columns - spaces.min(columns))
    }

    /// Cut or filled to exactly so many columns; what is cut ends in `~`.
    pub(super) fn to(mut self, columns: usize) -> Line {
        if self.columns <= columns {
            let missing = " ".repeat(columns - self.columns);
            let style = self.pieces.last().map_or(Style::Plain, |(style, _)| *style);
            let style = if style == Style::Reverse { style } else { Style::Plain };
            self.pieces.push((style, missing));
        } else {
            let mut left = columns.saturating_sub(1);
            let mut last = Style::Plain;
            self.pieces.retain_mut(|(style, text)| {
                let kept = text.chars().count().min(left);
                left -= kept;
                if kept > 0 {
                    last = *style;
                    *text = text.chars().take(kept).collect();
                }
                kept > 0
            });
            if columns > 0 {
                self.pieces.push((last, "~".to_owned()));
            }
        }
        self.columns = columns;
        self
    }

    /// All of it in one look.
    pub(super) fn all(mut self, style: Style) -> Line {
        self.pieces.iter_mut().for_each(|piece| piece.0 = style);
        self
    }

    /// The text alone.
    pub(super) fn text(&self) -> String {
        self.pieces.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// What draws it on a terminal, from wherever the cursor is to where it ends.
    pub(super) fn drawn(&self, colours: bool) -> String {
        let mut drawn = String::new();
        for (style, text) in &self.pieces {
            drawn.push_str("\x1b[");
            drawn.push_str(style.parameters(colours));
            drawn.push('m');
            drawn.push_str(text);
        }
        drawn + "\x1b[0m"
    }
}

/// A window's measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// Numbers as a row of blocks, the latest at the right; letters of a height where there are no blocks to be had.
pub(super) fn sparkline(values: impl Iterator<Item = u64> + Clone, blocks: bool) -> String {
    const BLOCKS: [char; 9] =
        [' ', '\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}', '\u{2588}'];
    const LETTERS: [char; 9] = [' ', '.', '.', ':', ':', '+', '+', '#', '#'];
    let most = values.clone().max().unwrap_or(0).max(1);
    let marks = if blocks { BLOCKS } else { LETTERS };
    let mark = |value: u64| {
        let eighths = (value.saturating_mul(8)).div_ceil(most).min(8);
        usize::try_from(eighths).ok().and_then(|at| marks.get(at).copied()).unwrap_or(' ')
    };
    values.map(mark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_has_the_columns_that_it_is_given() {
        for columns in 0..12 {
            let line = Line::of(Style::Denied, "deny").then(Style::Plain, " 1234").to(columns);
            assert_eq!(line.text().chars().count(), columns);
        }
        assert_eq!(Line::of(Style::Plain, "12345").to(3).text(), "12~");
        assert_eq!(
            Line::new().right(Style::Plain, "12", 5).column(Style::Plain, "abc", 2).text(),
            "   12 a~ "
        );
    }

    #[test]
    fn line_hostile_text_never_draws() {
        let line = Line::of(Style::Plain, "a\x1b[2J\n\u{202e}\u{2580}\u{e9}\x07");
        assert_eq!(line.text(), "a\\u001b[2J\\u000a\\u202e\\u2580\\u00e9\\u0007");
        assert_eq!(line.drawn(true).matches('\x1b').count(), 2);
    }

    #[test]
    fn sparkline_shows_what_is_there() {
        assert_eq!(sparkline([0, 1, 50, 100].into_iter(), true), " \u{2581}\u{2584}\u{2588}");
        assert_eq!(sparkline([0, 1, 50, 100].into_iter(), false), " .:#");
        assert_eq!(sparkline([0, 0].into_iter(), true), "  ");
    }
}
