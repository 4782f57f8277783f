//! The board as lines of a window, whatever its size.

use super::board::{Board, Count, Kept, MINUTE, Mode};
use super::detail;
use super::frame::{Line, Size, Style, sparkline};

/// Lines that the counts, the heads and the foot take.
const HEAD: usize = 3;
const FOOT: usize = 2;
/// Most lines that callers and routes get.
const PANEL: usize = 6;

const HELP: [(&str, &str); 12] = [
    ("/", "filter: type words, all of which must occur; Enter keeps it, Esc drops it"),
    ("space p", "pause: nothing moves, nothing is lost; again goes on"),
    ("n N", "jump to the next denial further down (back in time), or up"),
    ("up down j k", "select; PgUp PgDn by the page; g G the latest, the eldest"),
    ("Enter", "open what is selected: all that is on record of it"),
    ("Esc", "follow what comes again; a second time: drop the filter"),
    ("s", "sort callers and routes: by denied, by allowed, by name"),
    ("Ctrl-L", "draw everything again"),
    ("Ctrl-Z", "suspend; fg comes back"),
    ("q Ctrl-C", "quit"),
    ("", ""),
    ("", "Any key closes this."),
];

/// The picture.
#[derive(Debug)]
pub(super) struct Picture {
    /// Exactly as many as the window has rows, each as wide as it.
    pub(super) lines: Vec<Line>,
    /// How many accesses, or lines of an open one, are seen at once.
    pub(super) page: usize,
}

/// Draws the board; `place` is the directory, `blocks` whether the terminal can show them.
pub(super) fn picture(board: &Board, place: &str, size: Size, blocks: bool) -> Picture {
    let body = size.rows.saturating_sub(1 + FOOT);
    let (middle, page) = match (board.mode, board.chosen()) {
        (Mode::Help, _) => (help(), body),
        (Mode::Open(line), Some(kept)) => (opened(kept, line, body, size.columns), body),
        _ => overview(board, size, blocks),
    };
    let mut lines = vec![title(board, place, size.columns)];
    lines.extend(middle);
    lines.resize(size.rows.saturating_sub(FOOT).max(1), Line::new());
    lines.push(status(board));
    lines.push(keys(board));
    // A window of one or two rows keeps the first ones.
    lines.truncate(size.rows);
    Picture { lines: lines.into_iter().map(|line| line.to(size.columns)).collect(), page }
}

fn title(board: &Board, place: &str, columns: usize) -> Line {
    let now = board.now.to_string();
    let now = now.get(..19).unwrap_or(&now).replace('T', " ");
    let paused = if board.paused { " PAUSED" } else { "" };
    // A narrow window has no room for the clock.
    let right = if columns < 60 { paused.to_owned() } else { format!("{paused:>7}  {now}Z ") };
    let room = columns.saturating_sub(right.len());
    Line::of(Style::Reverse, " peergate audit top  ")
        .then(Style::Reverse, place)
        .to(room)
        .then(Style::Reverse, &right)
}

fn overview(board: &Board, size: Size, blocks: bool) -> (Vec<Line>, usize) {
    let body = size.rows.saturating_sub(1 + FOOT);
    let mut lines = counts(board, size.columns, blocks);
    // The list has at least half of what is left.
    let panel = (body.saturating_sub(HEAD + 1) / 2).min(PANEL + 1);
    if panel >= 2 {
        lines.extend(panels(board, size.columns, panel));
    }
    lines.truncate(body);
    let page = body.saturating_sub(lines.len() + 1);
    // What a wide window has more, callers and requests share.
    let caller = (15 + size.columns.saturating_sub(80) / 3).min(40);
    lines.push(heads(caller));
    lines.extend(latest(board, page, caller));
    (lines, page)
}

/// Two lines: what comes now, in the last minute, at all.
fn counts(board: &Board, columns: usize, blocks: bool) -> Vec<Line> {
    let minute = board.minute();
    let of = |style, name: &str, value: fn(&Count) -> u64, all: u64| {
        let sum: u64 = minute.iter().map(value).sum();
        // The second that is not over would make every rate look low.
        let whole = minute.iter().rev().skip(1).take(10);
        let rate: u64 = whole.map(value).sum();
        let line = Line::of(style, &format!("{name:<8}"))
            .then(Style::Plain, &format!("{:>6}.{}/s", rate / 10, rate % 10))
            .then(Style::Plain, &format!("{sum:>7} last minute{all:>9} in all  "));
        let room = columns.saturating_sub(55);
        let shown = usize::try_from(MINUTE).unwrap_or(0).min(room);
        line.then(style, &sparkline(minute.iter().skip(minute.len() - shown).map(value), blocks))
    };
    vec![
        of(Style::Denied, "denied", |count| count.denied, board.total.denied),
        of(Style::Allowed, "allowed", |count| count.allowed, board.total.allowed),
        Line::new(),
    ]
}

/// Callers and routes beside each other.
fn panels(board: &Board, columns: usize, rows: usize) -> Vec<Line> {
    let (left, right) = (columns.saturating_sub(1) / 2, columns.saturating_sub(1).div_ceil(2));
    let head = |line: Line, name: &str, wide: usize| {
        line.column(Style::Soft, name, wide.saturating_sub(20))
            .right(Style::Soft, "denied", 8)
            .right(Style::Soft, "allowed", 8)
            .then(Style::Plain, " ")
    };
    let mut lines = vec![head(head(Line::new(), "CALLER, last minute", left), "ROUTE", right)];
    let (callers, routes) = (board.callers(), board.routes());
    for at in 0..rows - 1 {
        let mut line = Line::new();
        for (names, wide) in [(&callers, left), (&routes, right)] {
            let last = at + 2 == rows && names.len() > at + 1;
            line = match names.get(at) {
                Some(_) if last => line.column(
                    Style::Soft,
                    &format!("and {} more", names.len() - at),
                    wide.saturating_sub(1),
                ),
                Some((name, count)) => {
                    let style = if count.denied > 0 { Style::Denied } else { Style::Plain };
                    line.column(Style::Plain, name, wide.saturating_sub(20))
                        .right(style, &count.denied.to_string(), 8)
                        .right(Style::Plain, &count.allowed.to_string(), 8)
                        .then(Style::Plain, " ")
                }
                None => line.column(Style::Plain, "", wide.saturating_sub(1)),
            };
        }
        lines.push(line);
    }
    lines
}

fn heads(caller: usize) -> Line {
    Line::new()
        .column(Style::Soft, "TIME", 8)
        .column(Style::Soft, "VERDICT", 7)
        .column(Style::Soft, "WHY, END", 13)
        .column(Style::Soft, "CALLER", caller)
        .then(Style::Soft, "REQUEST")
}

/// The list, so that what is selected can be seen.
fn latest(board: &Board, page: usize, caller: usize) -> Vec<Line> {
    let place = board.list().position(|kept| Some(kept.number) == board.selected);
    // In the middle, where there is more on both sides.
    let skipped = place.map_or(0, |place| place.saturating_sub(page / 2));
    let lines = board.list().skip(skipped).take(page);
    let mut lines: Vec<Line> =
        lines.map(|kept| entry(kept, caller, Some(kept.number) == board.selected)).collect();
    if lines.is_empty() && page > 0 {
        let nothing = if board.filter.is_empty() { "Nothing yet." } else { "Nothing like that yet." };
        lines.push(Line::of(Style::Soft, nothing));
    }
    lines
}

fn entry(kept: &Kept, caller: usize, selected: bool) -> Line {
    let row = &kept.row;
    let ts = row.ts.to_string();
    let (style, verdict) = if row.denied { (Style::Denied, "denied") } else { (Style::Allowed, "allowed") };
    let bad = row.denied || row.failed;
    let end = if bad && !row.result.is_empty() { &row.result } else { &row.status };
    let mut line = Line::new()
        .column(Style::Plain, ts.get(11..19).unwrap_or(&ts), 8)
        .column(style, verdict, 7)
        .column(if bad { Style::Denied } else { Style::Plain }, end, 13)
        .column(Style::Plain, &row.caller, caller)
        .then(Style::Plain, &row.request);
    if row.count > 1 {
        line = line.then(Style::Plain, &format!(", {} times", row.count));
    }
    if !row.doubts.is_empty() {
        line = line.then(Style::Bold, "  ").then(Style::Bold, &row.doubts);
    }
    if selected { line.all(Style::Reverse) } else { line }
}

fn opened(kept: &Kept, from: usize, rows: usize, columns: usize) -> Vec<Line> {
    let lines = detail::lines(kept, columns);
    let from = from.min(lines.len().saturating_sub(rows));
    lines.into_iter().skip(from).take(rows).collect()
}

fn help() -> Vec<Line> {
    let line = |(keys, does): (&str, &str)| {
        Line::new().then(Style::Plain, "  ").column(Style::Bold, keys, 12).then(Style::Plain, does)
    };
    std::iter::once(Line::new()).chain(HELP.into_iter().map(line)).collect()
}

/// The filter, and what else there is to say.
fn status(board: &Board) -> Line {
    let mut line = Line::new();
    if board.mode == Mode::Typing {
        line = line.then(Style::Bold, "filter: ").then(Style::Plain, &board.filter).then(Style::Reverse, " ");
    } else if !board.filter.is_empty() {
        line = line.then(Style::Soft, "filter: ").then(Style::Plain, &board.filter);
    }
    if board.suspect > 0 {
        let told = format!("lines that nobody may write: {}; ask peergate audit verify", board.suspect);
        line = line
            .then(Style::Plain, if board.filter.is_empty() { "" } else { "   " })
            .then(Style::Denied, &told);
    }
    line
}

fn keys(board: &Board) -> Line {
    let keys = match board.mode {
        Mode::Typing => " Enter keep   Esc drop   Ctrl-U empty",
        Mode::Open(_) => " up down PgUp PgDn scroll   Esc back",
        Mode::Help => " any key back",
        Mode::List => " / filter  space pause  n denial  Enter open  s sort: ",
    };
    let mut line = Line::of(Style::Reverse, keys);
    if board.mode == Mode::List {
        line = line.then(Style::Reverse, board.order.name()).then(Style::Reverse, "  ? help  q quit");
    }
    line.then(Style::Reverse, " ")
}
