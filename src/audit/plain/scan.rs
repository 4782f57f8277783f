//! Where the parts of a line end, found eight bytes at a time.

use super::Value;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// A key of at most eight bytes as one number: two of them are the same where their numbers are.
pub(in crate::audit) const fn word(key: &str) -> u64 {
    let (mut word, mut rest, mut shift) = (0, key.as_bytes(), 0);
    while let [byte, behind @ ..] = rest {
        if shift == 64 {
            return 0;
        }
        word |= (*byte as u64) << shift;
        (rest, shift) = (behind, shift + 8);
    }
    word
}

/// Where `byte` stands: the high bit of the first such place is set, none before it, and perhaps some behind it.
fn marks(word: u64, byte: u8) -> u64 {
    let zeros = word ^ (ONES * u64::from(byte));
    zeros.wrapping_sub(ONES) & !zeros & HIGHS
}

/// The first quote or backslash.
fn special(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut at = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let found = marks(word, b'"') | marks(word, b'\\');
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).map(|found| at + found)
}

/// A string at the start of `text`: what stands between its quotes, and what follows.
pub(super) fn quoted(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('"')?;
    let bytes = inside.as_bytes();
    let mut end = special(bytes)?;
    while bytes.get(end) == Some(&b'\\') {
        end += escape(bytes.get(end..)?)?;
        end += special(bytes.get(end..)?)?;
    }
    Some((inside.get(..end)?, inside.get(end + 1..)?))
}

/// The length of the escape that these bytes begin with.
fn escape(bytes: &[u8]) -> Option<usize> {
    match bytes.get(1)? {
        b'"' | b'\\' => Some(2),
        b'u' => {
            let digits = bytes.get(2..6)?;
            let unit = digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | hex_value(*digit)?))?;
            // What can stand for itself does, or a search for it would be fooled.
            (!matches!(unit, 0x20..=0x7e)).then_some(6)
        }
        _ => None,
    }
}

/// Of a digit as ours are spelt.
fn hex_value(digit: u8) -> Option<u32> {
    match digit {
        b'0'..=b'9' => Some(u32::from(digit - b'0')),
        b'a'..=b'f' => Some(u32::from(digit - b'a') + 10),
        _ => None,
    }
}

/// A key at the start of `text`, with its colon: its number (0 where it is too long for one), itself, what follows.
pub(super) fn key(text: &str) -> Option<(u64, &str, &str)> {
    if let Some([b'"', bytes @ ..]) = text.as_bytes().first_chunk::<9>() {
        let first = u64::from_le_bytes(*bytes);
        let quotes = marks(first, b'"');
        if quotes != 0 && marks(first, b'\\') == 0 {
            let length = quotes.trailing_zeros() / 8;
            let word = first & !(u64::MAX << (8 * length));
            let inside = text.get(1..)?;
            let (key, rest) = inside.split_at_checked(length as usize)?;
            return Some((word, key, rest.strip_prefix("\":")?));
        }
    }
    let (key, rest) = quoted(text)?;
    Some((word(key), key, rest.strip_prefix(':')?))
}

/// A value at the start of `text`, and what follows.
pub(super) fn value(text: &str) -> Option<(Value<'_>, &str)> {
    match text.as_bytes().first()? {
        b'"' => quoted(text).map(|(inside, rest)| (Value::Text(inside), rest)),
        b'[' => {
            let list = text.get(1..)?;
            let (inside, rest) = list.split_at_checked(list_end(list)?)?;
            Some((Value::List(inside), rest.strip_prefix(']')?))
        }
        _ => bare(text).map(|(bare, rest)| (Value::Bare(bare), rest)),
    }
}

/// Where a list of strings or of bare values ends.
fn list_end(list: &str) -> Option<usize> {
    let mut rest = list;
    while !rest.starts_with(']') {
        if rest.len() < list.len() {
            rest = rest.strip_prefix(',')?;
        }
        rest = if rest.starts_with('"') { quoted(rest)?.1 } else { bare(rest)?.1 };
    }
    Some(list.len() - rest.len())
}

/// A number, `true` or `false` at the start of `text`, and what follows.
fn bare(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let sign = usize::from(bytes.first() == Some(&b'-'));
    let digits = bytes.get(sign..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let ends = |end: usize| matches!(bytes.get(end), None | Some(b',' | b'}' | b']'));
    if matches!(digits, 1..=16) && ends(sign + digits) {
        return text.split_at_checked(sign + digits);
    }
    ["true", "false"]
        .iter()
        .find(|word| text.starts_with(**word) && ends(word.len()))
        .and_then(|word| text.split_at_checked(word.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_has_the_number_of_its_word_up_to_eight_bytes() {
        for name in ["", "t", "id", "target", "refusal", "decision", "landlock"] {
            for rest in ["1}", "\"a text\",\"more\":1}"] {
                let text = format!("\"{name}\":{rest}");
                assert_eq!(key(&text), Some((word(name), name, rest)), "{text}");
            }
        }
        assert_eq!(key("\"target_b64\":1}"), Some((0, "target_b64", "1}")));
        assert_eq!(key("\"a\"b\":1}"), None);
        assert_eq!(key("\"a"), None);
        assert_ne!(word("id"), word("uid"));
    }

    #[test]
    fn quoted_ends_at_the_first_quote_that_no_backslash_spells() {
        for length in 0..40 {
            let plain = "x".repeat(length);
            for inside in [plain.clone(), format!("{plain}\\\"{plain}"), format!("\\\\{plain}\\u00e9")] {
                assert_eq!(quoted(&format!("\"{inside}\",\"")), Some((inside.as_str(), ",\"")), "{inside}");
                assert_eq!(quoted(&format!("\"{inside}")), None);
            }
            assert_eq!(quoted(&format!("\"{plain}\\u0041\"")), None, "it can stand for itself");
            assert_eq!(quoted(&format!("\"{plain}\\n\"")), None);
        }
    }
}
