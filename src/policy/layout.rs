//! The canonical form of a policy's text: keys aligned, one blank line between tables, lists wrapped, comments kept.

mod tokens;

use toml::de::DeTable;

use super::diagnostics::{Diagnostics, Problems, Span};
use tokens::{Element, Line, Pair, Value, lines};

/// Lines are not longer than this, where they can be broken.
const COLUMNS: usize = 110;

/// What stands before each element of a list that is broken.
const INDENT: &str = "    ";

/// The canonical form of a text. What it says is the same: that is checked before it is given back.
///
/// # Errors
/// The text is no TOML.
pub fn layout(file: &str, text: &str) -> Result<String, Diagnostics> {
    let mut problems = Problems::new(text);
    let (_, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let span = error.span().map(Span::from).unwrap_or_default();
        problems.add(span, error.message().replace('\n', ", "));
    }
    if !problems.is_empty() {
        return Err(problems.failed(file));
    }
    let same = |laid: &String| {
        let parsed = [text, laid.as_str()].map(|text| text.parse::<toml::Table>().ok());
        // Not by `==`, for which `nan` is another one than itself.
        matches!(&parsed, [Some(a), Some(b)] if format!("{a:?}") == format!("{b:?}"))
    };
    lines(text).map(|lines| print(&lines)).filter(same).ok_or_else(|| {
        Diagnostics::whole(file, "this text can't be laid out without saying something else", None)
    })
}

fn print(lines: &[Line<'_>]) -> String {
    let mut out = String::new();
    let mut place = 0;
    while let Some(line) = lines.get(place) {
        let blank_before = out.ends_with("\n\n") || out.is_empty();
        match line {
            Line::Blank => {
                let before = lines.iter().take(place).rev().find(|line| !matches!(line, Line::Blank));
                if !blank_before && !matches!(before, Some(Line::Header { .. })) {
                    out.push('\n');
                }
            }
            Line::Comment(text) => {
                if !blank_before && leads_to_header(lines, place) && !is_comment(lines, place.checked_sub(1))
                {
                    out.push('\n');
                }
                out.push_str(text.trim_end());
                out.push('\n');
            }
            Line::Header { text, comment } => {
                if !blank_before && !is_comment(lines, place.checked_sub(1)) {
                    out.push('\n');
                }
                out.push_str(text);
                end(&mut out, *comment);
            }
            Line::Pair(pair) => {
                let width = width(lines, place);
                print_pair(pair, width, &mut out);
            }
        }
        place += 1;
    }
    while out.ends_with("\n\n") {
        out.pop();
    }
    out
}

fn is_comment(lines: &[Line<'_>], place: Option<usize>) -> bool {
    place.and_then(|place| lines.get(place)).is_some_and(|line| matches!(line, Line::Comment(_)))
}

/// Whether a comment stands right above a table.
fn leads_to_header(lines: &[Line<'_>], place: usize) -> bool {
    let behind = lines.iter().skip(place).find(|line| !matches!(line, Line::Comment(_)));
    matches!(behind, Some(Line::Header { .. }))
}

/// The longest key of the table that a line is in.
fn width(lines: &[Line<'_>], place: usize) -> usize {
    let in_table = |line: &&Line<'_>| !matches!(line, Line::Header { .. });
    let before = lines.iter().take(place).rev().take_while(in_table);
    let after = lines.iter().skip(place).take_while(in_table);
    let key = |line: &Line<'_>| match line {
        Line::Pair(pair) => pair.key.chars().count(),
        _ => 0,
    };
    before.chain(after).map(key).max().unwrap_or(0)
}

fn end(out: &mut String, comment: Option<&str>) {
    if let Some(comment) = comment {
        out.push_str("  ");
        out.push_str(comment.trim_end());
    }
    out.push('\n');
}

fn print_pair(pair: &Pair<'_>, width: usize, out: &mut String) {
    out.push_str(&pair.key);
    let missing = width.saturating_sub(pair.key.chars().count());
    out.extend(std::iter::repeat_n(' ', missing));
    out.push_str(" = ");
    print_value(&pair.value, "", out);
    end(out, pair.comment);
}

/// The value in one line, where it can be.
fn flat(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Raw(text) => (!text.contains('\n')).then(|| (*text).to_owned()),
        Value::List { own_lines: true, .. } => None,
        Value::List { elements, .. } => {
            let all = elements.iter().filter_map(|element| match element {
                Element::Value(value) => Some(flat(value)),
                Element::Comment { .. } => Some(None),
                Element::Break => None,
            });
            Some(format!("[{}]", all.collect::<Option<Vec<String>>>()?.join(", ")))
        }
        Value::Table(pairs) if pairs.is_empty() => Some("{}".to_owned()),
        Value::Table(pairs) => {
            let all = pairs.iter().map(|pair| Some(format!("{} = {}", pair.key, flat(&pair.value)?)));
            Some(format!("{{ {} }}", all.collect::<Option<Vec<String>>>()?.join(", ")))
        }
    }
}

/// How far the last line of `out` reaches.
fn column(out: &str) -> usize {
    out.rsplit('\n').next().unwrap_or(out).chars().count()
}

fn print_value(value: &Value<'_>, indent: &str, out: &mut String) {
    if let Some(flat) = flat(value)
        && (column(out) + flat.chars().count() <= COLUMNS || !breaks(value))
    {
        out.push_str(&flat);
        return;
    }
    match value {
        Value::Raw(text) => out.push_str(text),
        Value::Table(pairs) => {
            out.push_str("{ ");
            for (place, pair) in pairs.iter().enumerate() {
                if place > 0 {
                    out.push_str(", ");
                }
                out.push_str(&pair.key);
                out.push_str(" = ");
                print_value(&pair.value, indent, out);
            }
            out.push_str(" }");
        }
        Value::List { elements, own_lines } => {
            let inner = format!("{indent}{INDENT}");
            out.push('[');
            // Whether the line that is written holds nothing yet.
            let mut fresh = true;
            out.push('\n');
            for element in elements {
                match element {
                    Element::Break if *own_lines && !fresh => {
                        out.push('\n');
                        fresh = true;
                    }
                    Element::Break => {}
                    Element::Comment { text, behind } => {
                        if *behind && !fresh {
                            out.push_str("  ");
                        } else {
                            if !fresh {
                                out.push('\n');
                            }
                            out.push_str(&inner);
                        }
                        out.push_str(text.trim_end());
                        out.push('\n');
                        fresh = true;
                    }
                    Element::Value(value) => {
                        let long = flat(value).map_or(COLUMNS, |flat| flat.chars().count());
                        if !fresh && column(out) + 1 + long + 1 > COLUMNS {
                            out.push('\n');
                            fresh = true;
                        }
                        out.push_str(if fresh { &inner } else { " " });
                        print_value(value, &inner, out);
                        out.push(',');
                        fresh = false;
                    }
                }
            }
            if !fresh {
                out.push('\n');
            }
            out.push_str(indent);
            out.push(']');
        }
    }
}

/// Whether a list is in it, which is where lines can be broken.
fn breaks(value: &Value<'_>) -> bool {
    match value {
        Value::Raw(_) => false,
        Value::List { elements, .. } => !elements.is_empty(),
        Value::Table(pairs) => pairs.iter().any(|pair| breaks(&pair.value)),
    }
}
