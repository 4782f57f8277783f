//! Text inside a page: whatever a record holds, it is neither markup nor a character that draws.

use std::fmt::{self, Display, Write};

use sha2::{Digest, Sha256};

use crate::model::escape::Spelling;

/// Text between tags or inside a quoted attribute. Printable ASCII stands for itself, save what HTML could take
/// for markup; every other character is spelt out as on a terminal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Html<'a>(pub(super) &'a str);

impl Display for Html<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut plain = 0;
        for (at, c) in self.0.char_indices() {
            let entity = match c {
                '&' => "&amp;",
                '<' => "&lt;",
                '>' => "&gt;",
                '"' => "&quot;",
                '\'' => "&#39;",
                '`' => "&#96;",
                ' '..='~' => continue,
                _ => "",
            };
            f.write_str(self.0.get(plain..at).unwrap_or_default())?;
            plain = at + c.len_utf8();
            if entity.is_empty() {
                Spelling::of(c).as_bytes().iter().try_for_each(|byte| f.write_char(char::from(*byte)))?;
            } else {
                f.write_str(entity)?;
            }
        }
        f.write_str(self.0.get(plain..).unwrap_or_default())
    }
}

/// The same, of text that may be long: its beginning, and how much was left out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut<'a>(pub(super) &'a str, pub(super) usize);

impl Display for Cut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cut(text, most) = *self;
        match text.char_indices().nth(most) {
            None => Html(text).fmt(f),
            Some((at, _)) => {
                let (shown, rest) = text.split_at(at);
                write!(f, "{}<i> &hellip; and {} more</i>", Html(shown), Grouped(rest.chars().count() as u64))
            }
        }
    }
}

/// A count with its digits in groups of three.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grouped(pub(super) u64);

impl Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                f.write_char(',')?;
            }
            f.write_char(digit)?;
        }
        Ok(())
    }
}

/// How long something took, in the unit that suits it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Took(pub(super) u64);

impl Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Took(us) = *self;
        let seconds = us / 1_000_000;
        match us {
            0..1_000 => write!(f, "{us} us"),
            1_000..1_000_000 => write!(f, "{}.{} ms", us / 1_000, us / 100 % 10),
            1_000_000..120_000_000 => write!(f, "{seconds}.{} s", us / 100_000 % 10),
            120_000_000..7_200_000_000 => write!(f, "{} min {} s", seconds / 60, seconds % 60),
            _ => write!(f, "{} h {} min", Grouped(seconds / 3_600), seconds / 60 % 60),
        }
    }
}

/// `sha256-…`, by which a policy names a style or a script that may run.
pub(super) fn source_hash(text: &str) -> String {
    let mut hash = "sha256-".to_owned();
    base64(&mut hash, &Sha256::digest(text.as_bytes()));
    hash
}

/// Standard base 64 with padding (RFC 4648 §4).
fn base64(out: &mut String, bytes: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for (i, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let letter = ALPHABET.get((bits >> shift & 63) as usize).copied().unwrap_or(b'A');
            out.push(if i <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_leaves_no_markup_and_nothing_that_draws() {
        for (text, shown) in [
            (
                "</script><b a='1' c=\"2\">&`",
                "&lt;/script&gt;&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;&#96;",
            ),
            ("a\u{202e}b\u{0}\u{e9}\u{1f600}", "a\\u202eb\\u0000\\u00e9\\ud83d\\ude00"),
            ("\\u202e stays", "\\u202e stays"),
            ("", ""),
        ] {
            assert_eq!(Html(text).to_string(), shown);
        }
    }

    #[test]
    fn cut_says_how_much_is_missing() {
        assert_eq!(Cut("<<", 2).to_string(), "&lt;&lt;");
        assert_eq!(Cut("<<&<", 2).to_string(), "&lt;&lt;<i> &hellip; and 2 more</i>");
    }

    #[test]
    fn numbers_read_well() {
        for (value, shown) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(Grouped(value).to_string(), shown);
        }
        for (us, shown) in [
            (7, "7 us"),
            (7_456, "7.4 ms"),
            (1_250_000, "1.2 s"),
            (125_000_000, "2 min 5 s"),
            (7_260_000_000, "2 h 1 min"),
        ] {
            assert_eq!(Took(us).to_string(), shown);
        }
    }

    #[test]
    fn source_hash_is_that_of_the_specification() {
        // The example of Content Security Policy Level 3, §8.3.
        assert_eq!(source_hash("doSomething();"), "sha256-RFWPLDbv2BY+rCkDzsE+0fr8ylGr2R2faWMhq4lfEQc=");
        assert_eq!(source_hash(""), "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }
}
