//! Times as people say them: `2026-11-23T03:46:29Z`, `2026-11-23`, `yesterday`, `2h`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::model::time::Timestamp;

const SECOND: u64 = 1_000_000;
const DAY: u64 = 86_400 * SECOND;

/// An instant, or a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    /// The instant, or the day's first one: what `--since` means.
    pub begin: Timestamp,
    /// The instant, or the next day's first one: what `--until` means, itself no longer meant.
    pub end: Timestamp,
    /// It was asked for as `last-report`.
    pub is_last_report: bool,
}

/// Text that is no time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadWhen;

impl fmt::Display for BadWhen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a time is `2026-11-23T03:46:29Z`, `2026-11-23`, `today`, `yesterday`, `now`, `last-report`, or how long \
             ago: `90s`, `30m`, `2h`, `1d12h`, `3w`",
        )
    }
}

impl std::error::Error for BadWhen {}

impl FromStr for When {
    type Err = BadWhen;

    fn from_str(text: &str) -> Result<When, BadWhen> {
        if text == "last-report" {
            // Before the first report lies all of it.
            let at = last_report().unwrap_or(Timestamp::from_micros(0));
            return Ok(When { begin: at, end: at, is_last_report: true });
        }
        When::at(text, Timestamp::now())
    }
}

impl When {
    /// What `text` means at `now`. Days are UTC's, as the record's times are.
    ///
    /// # Errors
    ///
    /// It means nothing.
    pub fn at(text: &str, now: Timestamp) -> Result<When, BadWhen> {
        let instant = |at| When { begin: at, end: at, is_last_report: false };
        let day = |micros: u64| When {
            begin: Timestamp::from_micros(micros),
            end: Timestamp::from_micros(micros.saturating_add(DAY)),
            is_last_report: false,
        };
        let today = now.micros() / DAY * DAY;
        match text {
            "now" => return Ok(instant(now)),
            "today" => return Ok(day(today)),
            "yesterday" => return Ok(day(today.saturating_sub(DAY))),
            _ => {}
        }
        if let Ok(at) = text.parse::<Timestamp>() {
            return Ok(if text.len() == "2026-11-23".len() { day(at.micros()) } else { instant(at) });
        }
        let ago = length(text.strip_prefix('-').unwrap_or(text)).ok_or(BadWhen)?;
        Ok(instant(Timestamp::from_micros(now.micros().saturating_sub(ago))))
    }
}

/// Where the end of the last report is noted: `$XDG_STATE_HOME/peergate/last-report`; without that, root's is in
/// `/var/lib/peergate`, everybody else's in `~/.local/state/peergate`.
pub fn last_report_file() -> Option<PathBuf> {
    let own = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || {
        if nix::unistd::geteuid().is_root() {
            return Some(PathBuf::from("/var/lib"));
        }
        std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"))
    };
    own.or_else(home).map(|state| state.join("peergate/last-report"))
}

/// Until when the last report went.
fn last_report() -> Option<Timestamp> {
    std::fs::read_to_string(last_report_file()?).ok()?.trim_end().parse().ok()
}

/// `1d12h` in microseconds.
fn length(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut sum: u64 = 0;
    while !rest.is_empty() {
        let (digits, after) = rest.split_at_checked(rest.find(|c: char| !c.is_ascii_digit())?)?;
        let unit = after.chars().next()?;
        let scale = match unit {
            's' => SECOND,
            'm' => 60 * SECOND,
            'h' => 3_600 * SECOND,
            'd' => DAY,
            'w' => 7 * DAY,
            _ => return None,
        };
        sum = sum.checked_add(digits.parse::<u64>().ok()?.checked_mul(scale)?)?;
        rest = after.get(unit.len_utf8()..)?;
    }
    (!text.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-23T03:46:29.123456Z";

    fn at(text: &str) -> Result<(String, String), BadWhen> {
        When::at(text, NOW.parse().unwrap()).map(|when| (when.begin.to_string(), when.end.to_string()))
    }

    #[test]
    fn when_instant_begins_and_ends_at_once() {
        for (text, instant) in [
            ("now", NOW),
            ("2026-11-23T03:46:29Z", "2026-11-23T03:46:29.000000Z"),
            ("2h", "2026-11-23T01:46:29.123456Z"),
            ("-30m", "2026-11-23T03:16:29.123456Z"),
            ("1d12h", "2026-11-21T15:46:29.123456Z"),
            ("3w", "2026-11-02T03:46:29.123456Z"),
            ("999999w", "1970-01-01T00:00:00.000000Z"),
        ] {
            assert_eq!(at(text), Ok((instant.to_owned(), instant.to_owned())), "{text}");
        }
    }

    #[test]
    fn when_day_ends_where_the_next_begins() {
        for (text, begin, end) in [
            ("today", "2026-11-23", "2026-11-24"),
            ("yesterday", "2026-11-22", "2026-11-23"),
            ("2026-02-28", "2026-02-28", "2026-03-01"),
        ] {
            let midnight = |day| format!("{day}T00:00:00.000000Z");
            assert_eq!(at(text), Ok((midnight(begin), midnight(end))), "{text}");
        }
    }

    #[test]
    fn when_other_text_is_refused() {
        for text in
            ["", "-", "2", "h", "2y", "2h3", "tomorrow", "2026-02-30", "99999999999999999999w", "2\u{e9}"]
        {
            assert_eq!(at(text), Err(BadWhen), "{text}");
        }
    }
}
