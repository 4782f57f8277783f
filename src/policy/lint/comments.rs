//! `# lint: allow NAME - reason`: findings that somebody looked at.
//!
//! Such a comment holds for the table that it is in or stands right above, and above all tables for the whole file, but
//! not for those that it includes.

use toml_parser::Source;
use toml_parser::parser::{Event, EventKind, parse_document};

use super::{Found, Lint};
use crate::policy::diagnostics::Span;

const MARK: &str = "lint:";

/// One comment that is for us.
struct Comment {
    span: Span,
    lints: Vec<Lint>,
    /// What is wrong with it.
    wrong: Option<String>,
    used: bool,
}

/// Takes out what comments allow, and adds what is wrong with them. With each file where it begins.
pub(super) fn silence(files: &[(usize, &str)], found: &mut Found) {
    for (from, text) in files {
        silence_in(*from, text, found);
    }
}

fn silence_in(from: usize, text: &str, found: &mut Found) {
    let (mut comments, regions) = read(text);
    let region = |at: usize| regions.partition_point(|start| *start <= at);
    found.0.retain(|note| {
        let Some(at) = note.span.start.checked_sub(from).filter(|at| *at <= text.len()) else { return true };
        let mut kept = true;
        for comment in comments.iter_mut().filter(|comment| comment.lints.contains(&note.lint)) {
            let own = region(comment.span.start);
            if own == 0 || own == region(at) {
                comment.used = true;
                kept = false;
            }
        }
        kept
    });
    for Comment { span, wrong, used, .. } in comments {
        let span = Span { start: from + span.start, end: from + span.end };
        match wrong {
            Some(wrong) => found.add(Lint::LintComment, span, wrong),
            None if !used => {
                found.add(Lint::LintComment, span, "there is nothing here that this comment allows");
            }
            None => {}
        }
    }
}

/// The comments that are for us, and where each table begins, the comments right above it included.
fn read(text: &str) -> (Vec<Comment>, Vec<usize>) {
    let tokens = Source::new(text).lex().into_vec();
    let mut events: Vec<Event> = Vec::new();
    let mut take = |event: Event| {
        if event.kind() != EventKind::Whitespace {
            events.push(event);
        }
    };
    // The text was read before, so there are no errors.
    parse_document(&tokens, &mut take, &mut ());
    let (mut comments, mut regions, mut open) = (Vec::new(), Vec::new(), None);
    let mut first = String::new();
    let mut line_begins = true;
    for (place, event) in events.iter().enumerate() {
        let at = event.span().start();
        match event.kind() {
            EventKind::Comment => {
                let written = text.get(at..event.span().end()).unwrap_or_default();
                if let Some(rest) = written.trim_start_matches('#').trim().strip_prefix(MARK) {
                    comments.push(parse(rest.trim(), (at..event.span().end()).into()));
                }
                if line_begins {
                    open.get_or_insert(at);
                }
            }
            EventKind::Newline => {
                // An empty line parts a comment from what follows.
                if line_begins
                    && !matches!(events.get(place.wrapping_sub(1)).map(Event::kind), Some(EventKind::Comment))
                {
                    open = None;
                }
                line_begins = true;
                continue;
            }
            EventKind::StdTableOpen | EventKind::ArrayTableOpen => {
                let key = events.get(place + 1).map(|key| (key.span().start(), key.span().end()));
                let key = key.and_then(|(start, end)| text.get(start..end)).unwrap_or_default();
                let dotted = events.get(place + 2).is_some_and(|next| next.kind() == EventKind::KeySep);
                // `[route.body]` is a part of the route above.
                if !(event.kind() == EventKind::StdTableOpen && dotted && key == first) {
                    regions.push(open.unwrap_or(at));
                }
                first =
                    if event.kind() == EventKind::ArrayTableOpen { key.to_owned() } else { String::new() };
                open = None;
                line_begins = false;
            }
            _ => {
                open = None;
                line_begins = false;
            }
        }
        if event.kind() != EventKind::Comment {
            line_begins = false;
        }
    }
    (comments, regions)
}

fn parse(rest: &str, span: Span) -> Comment {
    let wrong = |why: String| Comment { span, lints: Vec::new(), wrong: Some(why), used: false };
    let Some(rest) = rest.strip_prefix("allow") else {
        return wrong("this comment says neither what it allows nor why".to_owned());
    };
    let (names, reason) = match rest.split_once(" - ").or_else(|| rest.split_once('\u{2014}')) {
        Some((names, reason)) => (names, reason.trim()),
        None => (rest, ""),
    };
    let lints: Result<Vec<Lint>, String> =
        names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::parse).collect();
    match lints {
        Ok(lints) if reason.is_empty() && !lints.is_empty() => {
            Comment { span, lints, wrong: Some("this comment gives no reason".to_owned()), used: false }
        }
        Ok(lints) if lints.is_empty() => wrong("this comment says not what it allows".to_owned()),
        Ok(lints) => Comment { span, lints, wrong: None, used: false },
        Err(why) => wrong(why),
    }
}
