//! Reasons in words. What stands in backticks is spelt as in the record: printable ASCII, hostile characters spelt out.

use super::clock::{DAY, HOUR, MINUTE};
use super::reason::{Family, Reason, What, Window};
use super::words::{Word, Words};

/// What one caller did, as the rest of a sentence that begins with it.
pub(super) fn reason(words: &Words, reason: &Reason) -> String {
    match reason.what {
        What::NewCaller => "was never seen before".to_owned(),
        What::Back { hours, before } => {
            format!(
                "came back after {}; the longest that it was away before was {}",
                span(hours),
                span(before)
            )
        }
        What::New { token, days, peers, of } => {
            let since = format!("for the first time in {}", days_of(days));
            let peers = match (peers, of) {
                (_, 0) => String::new(),
                (0, of) => format!("; none of its {of} peers did"),
                (peers, of) => format!("; {peers} of its {of} peers did"),
            };
            format!("{} {since}{peers}", new(words, reason.family, token))
        }
        What::Hour { hour, days, quiet, weekend } => {
            let clock = clock(reason.from);
            let on = if weekend { format!(" on a {}", weekday(hour / 24)) } else { String::new() };
            match quiet {
                Some((from, to)) if from == to => format!("came at {clock}{on}; it is new"),
                Some((from, to)) => format!(
                    "came at {clock}{on}; in {} it never came between {from:02}:00 and {to:02}:00",
                    days_of(days)
                ),
                None => format!("came at {clock}{on}, which it seldom does"),
            }
        }
        What::Much { route, amount, before, windows, window } => {
            much(words, reason.family, route, amount, before, windows, window)
        }
        What::Denied { now, within, days: 0, .. } => format!(
            "was denied {} within {} that it had never asked for; before that it was not there",
            things(now),
            days_of(within)
        ),
        What::Denied { now, within, before, days } => format!(
            "was denied {} within {} that it had never asked for; {before} in the {} before",
            things(now),
            days_of(within),
            days_of(days)
        ),
        What::Silent { hours, before, days } => format!(
            "was silent for {}; in {} never for more than {}",
            span(hours),
            days_of(days),
            span(before.max(1))
        ),
    }
}

/// What several callers began to do.
pub(super) fn change(words: &Words, reason: &Reason, callers: u32) -> String {
    let What::New { token, .. } = reason.what else { return String::new() };
    format!("{callers} callers: {}, which nobody did before", new(words, reason.family, token))
}

fn new(words: &Words, family: Family, token: u64) -> String {
    let (one, two) = Word::split(token);
    let two = words.text(two);
    match (family, words.text(one)) {
        (Family::Program, _) => format!("came by the program `{two}`"),
        (Family::Route, _) => format!("called `{two}`"),
        (Family::Pair, program) => format!("called `{two}` by the program `{program}`"),
        (_, "unit") if two == "none" => "came from no unit".to_owned(),
        (_, "unit") => format!("came from the unit `{two}`"),
        (_, "namespace") if two == "other" => "came from another namespace (a container)".to_owned(),
        (_, "namespace") => format!("came from the namespace `{two}`"),
        (_, "listener") => format!("came to the listener `{two}`"),
        (_, "session") if two == "login" => "came from a login session".to_owned(),
        (_, "session") => "came from outside of any login session".to_owned(),
        (_, name) => format!("was allowed by the {name} `{two}`"),
    }
}

fn much(
    words: &Words,
    family: Family,
    route: Option<Word>,
    amount: f64,
    before: f64,
    windows: u32,
    window: Window,
) -> String {
    let route = match route.map(|route| words.text(route)) {
        Some("") => " on no route".to_owned(),
        Some(route) => format!(" on `{route}`"),
        None => String::new(),
    };
    let within = window.name();
    let most = match windows {
        0 => "never before".to_owned(),
        _ if family == Family::Bytes => format!("never more than {} before", bytes(before)),
        _ => format!("never more than {before} before"),
    };
    match family {
        Family::Bytes => format!("got {} within {within}; {most}", bytes(amount)),
        Family::Names => {
            format!("asked for {amount} names{route} within {within} that it had never asked for; {most}")
        }
        Family::Failed => format!("had {amount} requests come to nothing within {within}; {most}"),
        _ => format!("made {amount} requests{route} within {within}; {most}"),
    }
}

fn things(count: u32) -> String {
    if count == 1 { "1 thing".to_owned() } else { format!("{count} things") }
}

fn days_of(days: u32) -> String {
    if days == 1 { "a day".to_owned() } else { format!("{days} days") }
}

/// Hours as people say them.
fn span(hours: u64) -> String {
    match hours {
        1 => "an hour".to_owned(),
        0..72 => format!("{hours} hours"),
        _ => format!("{} days", hours / 24),
    }
}

fn bytes(bytes: f64) -> String {
    let (mut amount, mut unit) = (bytes, "B");
    for larger in ["kB", "MB", "GB", "TB"] {
        if amount < 1_000.0 {
            break;
        }
        (amount, unit) = (amount / 1_000.0, larger);
    }
    if amount < 10.0 && unit != "B" { format!("{amount:.1} {unit}") } else { format!("{amount:.0} {unit}") }
}

/// `03:12`, UTC.
fn clock(at: u64) -> String {
    format!("{:02}:{:02} UTC", at % DAY / HOUR, at % HOUR / MINUTE)
}

fn weekday(day: u64) -> &'static str {
    match (day + 3) % 7 {
        0 => "Monday",
        1 => "Tuesday",
        2 => "Wednesday",
        3 => "Thursday",
        4 => "Friday",
        5 => "Saturday",
        _ => "Sunday",
    }
}
