//! Untrusted bytes for terminals and diagnostics: one reversible escaper to printable ASCII.
//!
//! Bytes 0x20 to 0x7E stand for themselves, a backslash is doubled, and every other byte is `\xNN` in lower-case
//! hex. So control bytes, ESC sequences, bidirectional overrides and broken UTF-8 can't draw on a terminal or
//! begin a new line in a log (CVE-2023-28486, CVE-2025-6000), and what was sent can still be read back exactly.

use std::fmt;

/// Bytes, to be shown: `format!("{}", Visible(b"a\x1b\\"))` is `a\x1b\\`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Visible<'a>(pub &'a [u8]);

impl fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.iter().position(|b| !is_plain(*b)) {
            let (plain, odd) = rest.split_at(at);
            write_plain(plain, f)?;
            let Some((byte, after)) = odd.split_first() else { break };
            if *byte == b'\\' {
                f.write_str("\\\\")?
            } else {
                write!(f, "\\x{byte:02x}")?
            }
            rest = after;
        }
        write_plain(rest, f)
    }
}

impl fmt::Debug for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

/// The bytes that [`Visible`] printed as `text`; `None` where `text` is nothing that it prints.
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    loop {
        rest = match rest {
            [] => return Some(out),
            [b'\\', b'\\', after @ ..] => {
                out.push(b'\\');
                after
            }
            [b'\\', b'x', high, low, after @ ..] => {
                let byte = lower_hex(*high)? << 4 | lower_hex(*low)?;
                if is_plain(byte) || byte == b'\\' {
                    return None;
                }
                out.push(byte);
                after
            }
            [byte, after @ ..] if is_plain(*byte) => {
                out.push(*byte);
                after
            }
            _ => return None,
        };
    }
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'\\'
}

fn lower_hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// Writes bytes that are all printable ASCII.
fn write_plain(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(std::str::from_utf8(bytes).map_err(|_| fmt::Error)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    #[test]
    fn visible_hostile_text_draws_nothing() {
        for (bytes, text) in [
            (&b"plain text~"[..], "plain text~"),
            (b"\x1b[2J", "\\x1b[2J"),
            (b"a\r\nb\t\0", "a\\x0d\\x0ab\\x09\\x00"),
            (b"C:\\x41", "C:\\\\x41"),
            ("\u{202e}".as_bytes(), "\\xe2\\x80\\xae"),
            (b"\xff\x7f", "\\xff\\x7f"),
            (b"", ""),
        ] {
            assert_eq!(Visible(bytes).to_string(), text);
        }
    }

    #[test]
    fn unescape_text_that_is_no_escape_is_none() {
        for text in ["\\", "\\x", "\\xg0", "\\x1B", "\\x41", "\\x5c", "\\n", "\n", "ä"] {
            assert_eq!(unescape(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn visible_any_bytes_come_back(bytes: Vec<u8>) {
            let text = Visible(&bytes).to_string();
            prop_assert!(text.bytes().all(|b| matches!(b, b' '..=b'~')));
            prop_assert_eq!(unescape(&text), Some(bytes));
        }

        #[test]
        fn unescape_any_text_prints_as_itself_or_is_none(text in any::<String>()) {
            if let Some(bytes) = unescape(&text) {
                prop_assert_eq!(Visible(&bytes).to_string(), text);
            }
        }
    }
}
