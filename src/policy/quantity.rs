//! Sizes, times and rates as people write them: `64KiB`, `30s`, `200/s`. One spelling each: digits, then the unit.

const SIZES: [(&str, u64); 5] =
    [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("B", 1)];
const TIMES: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Bytes. `None` where it is no size.
pub(crate) fn size(text: &str) -> Option<u64> {
    with_unit(text, &SIZES)
}

/// Milliseconds. `None` where it is no time.
pub(crate) fn time(text: &str) -> Option<u64> {
    with_unit(text, &TIMES)
}

/// So many a second.
pub(crate) fn rate(text: &str) -> Option<u64> {
    digits(text.strip_suffix("/s")?)
}

/// So many bytes a second.
pub(crate) fn size_rate(text: &str) -> Option<u64> {
    size(text.strip_suffix("/s")?)
}

/// So many, as `amount` reads it, in a time: `50/s`, `1GiB/h`; the time in milliseconds.
pub(crate) fn per(text: &str, amount: impl Fn(&str) -> Option<u64>) -> Option<(u64, u64)> {
    let (many, unit) = text.split_once('/')?;
    let per_ms = TIMES.iter().find(|(name, _)| *name == unit && unit != "ms")?.1;
    Some((amount(many)?, per_ms))
}

/// A number of bytes as one would write it.
pub(crate) fn show_size(bytes: u64) -> String {
    show(bytes, &SIZES, "B")
}

/// Milliseconds as one would write them.
pub(crate) fn show_time(ms: u64) -> String {
    show(ms, &TIMES, "ms")
}

fn show(value: u64, units: &[(&str, u64)], smallest: &str) -> String {
    let unit = units
        .iter()
        .filter(|(_, factor)| value > 0 && value.is_multiple_of(*factor))
        .max_by_key(|(_, factor)| factor);
    match unit {
        Some((unit, factor)) => format!("{}{unit}", value / factor),
        None => format!("{value}{smallest}"),
    }
}

fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let number = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(number)?;
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    digits(number)?.checked_mul(factor)
}

fn digits(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_have_one_spelling() {
        assert_eq!(["64KiB", "1GiB", "5B"].map(size), [Some(65536), Some(1 << 30), Some(5)]);
        assert_eq!(["30s", "5m", "250ms"].map(time), [Some(30_000), Some(300_000), Some(250)]);
        assert_eq!((rate("50/s"), size_rate("1MiB/s")), (Some(50), Some(1 << 20)));
        for text in ["", "64", "64KB", "64 KiB", "-1KiB", "+1KiB", "1.5MiB", "KiB", "99999999999TiB", "64kib"]
        {
            assert_eq!(size(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for bytes in [1, 1023, 1024, 65536, 20 << 30] {
            assert_eq!(size(&show_size(bytes)), Some(bytes));
        }
        for ms in [1, 999, 1000, 75_000, 300_000, 86_400_000] {
            assert_eq!(time(&show_time(ms)), Some(ms));
        }
    }
}
