//! Instants as records carry them: UTC, RFC 3339, microseconds, always 27 bytes.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since 1970-01-01T00:00:00Z, by the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The wall clock now; a clock before 1970 reads as 1970.
    pub fn now() -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    /// From microseconds since the epoch.
    pub fn from_micros(micros: u64) -> Timestamp {
        Timestamp(micros)
    }

    /// Microseconds since the epoch.
    pub fn micros(self) -> u64 {
        self.0
    }

    /// `2026-11-23T03:46:29.123456Z`. Years beyond 9999 print as the last microsecond of 9999.
    pub fn to_bytes(self) -> [u8; 27] {
        const LAST: u64 = 253_402_300_799_999_999;
        let micros = self.0.min(LAST);
        let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
        let (days, of_day) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil(days);
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        let (date, clock) = text.split_at_mut(11);
        put(date, 0, 4, year);
        put(date, 5, 2, month);
        put(date, 8, 2, day);
        put(clock, 0, 2, of_day / 3_600);
        put(clock, 3, 2, of_day / 60 % 60);
        put(clock, 6, 2, of_day % 60);
        put(clock, 9, 6, fraction);
        text
    }
}

/// Text that is no instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadTime;

impl fmt::Display for BadTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an instant looks like `2026-11-23T03:46:29Z` (RFC 3339), a day like `2026-11-23`")
    }
}

impl std::error::Error for BadTime {}

impl FromStr for Timestamp {
    type Err = BadTime;

    /// Reads RFC 3339 from 1970 to 9999, and a day alone as its first microsecond (UTC). Of a fraction, six
    /// digits count; a leap second is the second after it.
    fn from_str(text: &str) -> Result<Timestamp, BadTime> {
        let (date, clock) = text.split_at_checked(10).ok_or(BadTime)?;
        let day = day_of(date)?;
        let micros = if clock.is_empty() { 0 } else { clock_of(clock)? };
        let micros = i64::try_from(day * DAY).map_err(|_| BadTime)? + micros;
        u64::try_from(micros).map(Timestamp).map_err(|_| BadTime)
    }
}

/// Microseconds of a day.
const DAY: u64 = 86_400_000_000;

/// `2026-11-23` as days since 1970.
fn day_of(date: &str) -> Result<u64, BadTime> {
    let mut parts = date.split('-');
    let [year, month, day] = [4, 2, 2].map(|width| digits(parts.next().unwrap_or_default(), width));
    let (year, month, day) = (year?, month?, day?);
    if parts.next().is_some() || year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return Err(BadTime);
    }
    // The inverse of `civil`, by the same count from 1 March.
    let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (years / 400, years % 400);
    let of_year = (153 * months + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    // 30 February is another day.
    if civil(days) == (year, month, day) { Ok(days) } else { Err(BadTime) }
}

/// `T03:46:29.123Z` or with an offset, as microseconds since midnight UTC, which may lie before or after the day.
fn clock_of(text: &str) -> Result<i64, BadTime> {
    let text = text.strip_prefix(['T', 't', ' ']).ok_or(BadTime)?;
    let (clock, rest) = text.split_at_checked(8).ok_or(BadTime)?;
    let mut parts = clock.split(':');
    let mut next = |most| {
        digits(parts.next().unwrap_or_default(), 2)
            .and_then(|it| if it > most { Err(BadTime) } else { Ok(it) })
    };
    let (hour, minute, second) = (next(23)?, next(59)?, next(60)?);
    let (fraction, zone) = match rest.strip_prefix('.') {
        None => (0, rest),
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_digit()).ok_or(BadTime)?;
            let (fraction, zone) = rest.split_at_checked(end).ok_or(BadTime)?;
            let six: String = fraction.chars().chain("000000".chars()).take(6).collect();
            (if fraction.is_empty() { Err(BadTime) } else { digits(&six, 6) }?, zone)
        }
    };
    let offset = match zone.split_at_checked(1) {
        Some(("Z" | "z", "")) => 0,
        Some((sign @ ("+" | "-"), zone)) => {
            let (hours, minutes) = zone.split_once(':').ok_or(BadTime)?;
            let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
            if hours > 23 || minutes > 59 {
                return Err(BadTime);
            }
            signed(hours * 60 + minutes)? * if sign == "+" { -60_000_000 } else { 60_000_000 }
        }
        _ => return Err(BadTime),
    };
    Ok(signed(((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction)? + offset)
}

fn signed(value: u64) -> Result<i64, BadTime> {
    i64::try_from(value).map_err(|_| BadTime)
}

/// Exactly `width` digits.
fn digits(text: &str, width: usize) -> Result<u64, BadTime> {
    let plain = text.len() == width && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().map_err(|_| BadTime) } else { Err(BadTime) }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.to_bytes()).unwrap_or(""))
    }
}

/// Writes `value` as `width` digits at `at`.
fn put(text: &mut [u8], at: usize, width: usize, mut value: u64) {
    for digit in text.iter_mut().skip(at).take(width).rev() {
        *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
}

/// Year, month and day of the proleptic Gregorian calendar, from days since 1970-01-01, counted in 400-year
/// eras that begin on 1 March so that the leap day comes last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamp_known_instants_print_as_rfc_3339() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (1_795_405_589_123_456, "2026-11-23T03:46:29.123456Z"),
            (4_107_542_399_999_999, "2100-02-28T23:59:59.999999Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
            (u64::MAX, "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(Timestamp(micros).to_string(), text);
        }
    }

    #[test]
    fn timestamp_printed_parses_back() {
        for micros in
            [0, 951_782_400_000_000, 1_795_405_589_123_456, 4_107_542_400_000_000, 253_402_300_799_999_999]
        {
            let at = Timestamp(micros);
            assert_eq!(at.to_string().parse(), Ok(at));
        }
    }

    #[test]
    fn timestamp_other_spellings_of_an_instant_are_read() {
        for (text, same) in [
            ("2026-11-23", "2026-11-23T00:00:00.000000Z"),
            ("2026-11-23T03:46:29Z", "2026-11-23T03:46:29.000000Z"),
            ("2026-11-23 03:46:29.5z", "2026-11-23T03:46:29.500000Z"),
            ("2026-11-23T01:00:00.1234567+02:30", "2026-11-22T22:30:00.123456Z"),
            ("2026-12-31T23:59:60-00:30", "2027-01-01T00:30:00.000000Z"),
        ] {
            assert_eq!(text.parse::<Timestamp>().map(|at| at.to_string()), Ok(same.to_owned()), "{text}");
        }
    }

    #[test]
    fn timestamp_what_is_no_instant_is_refused() {
        for text in [
            "",
            "today",
            "2026-02-29",
            "2026-13-01",
            "1969-12-31",
            "2026-1-1",
            "2026-11-23T",
            "2026-11-23T24:00:00Z",
            "2026-11-23T03:46:29",
            "2026-11-23T03:46:29.Z",
            "2026-11-23T03:46:29+0200",
            "1970-01-01T00:00:00+01:00",
            "2026-11-23T03:46:2\u{e9}Z",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(BadTime), "{text}");
        }
    }
}
