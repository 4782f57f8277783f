//! Hostile text as printable ASCII: one spelling, reversible, the same in records, diagnostics and on a
//! terminal.
//!
//! `"` and `\` get a backslash; every other character outside 0x20..=0x7E is `\uXXXX` (UTF-16, so two of them
//! above U+FFFF), which also keeps bidirectional and invisible characters from drawing; a byte that belongs to
//! no UTF-8 is `\xNN`.

use std::fmt;

/// How one character is spelt: 1 to 12 bytes.
#[derive(Debug, Clone, Copy)]
pub struct Spelling {
    bytes: [u8; 12],
    length: usize,
}

impl Spelling {
    /// Of this character.
    pub fn of(c: char) -> Spelling {
        let mut spelling = Spelling { bytes: [0; 12], length: 0 };
        match c {
            '"' => spelling.extend(b"\\\""),
            '\\' => spelling.extend(b"\\\\"),
            ' '..='~' => spelling.extend(&[c as u8]),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let [high, low] = unit.to_be_bytes();
                    spelling.extend(&[b'\\', b'u', hex(high >> 4), hex(high), hex(low >> 4), hex(low)]);
                }
            }
        }
        spelling
    }

    /// Of a byte that belongs to no character.
    fn of_byte(byte: u8) -> Spelling {
        let mut spelling = Spelling { bytes: [0; 12], length: 0 };
        spelling.extend(&[b'\\', b'x', hex(byte >> 4), hex(byte)]);
        spelling
    }

    /// The bytes, all printable ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    fn extend(&mut self, more: &[u8]) {
        for (place, byte) in self.bytes.iter_mut().skip(self.length).zip(more) {
            *place = *byte;
            self.length += 1;
        }
    }
}

/// The lowest four bits as a hex digit.
fn hex(nibble: u8) -> u8 {
    b"0123456789abcdef".get(usize::from(nibble & 15)).copied().unwrap_or(b'0')
}

/// A byte that stands for itself.
#[inline]
pub fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e) & (byte != b'"') & (byte != b'\\')
}

/// Shows bytes escaped.
#[derive(Debug, Clone, Copy)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                f.write_str(Spelling::of(c).as_str())?;
            }
            for byte in chunk.invalid() {
                f.write_str(Spelling::of_byte(*byte).as_str())?;
            }
        }
        Ok(())
    }
}

/// Shows text for a person to read: as [`Escaped`], but `"` stands for itself. For where nothing is quoted.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a>(pub &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pieces = self.0.split(|byte| *byte == b'"');
        if let Some(first) = pieces.next() {
            Escaped(first).fmt(f)?;
        }
        pieces.try_for_each(|piece| write!(f, "\"{}", Escaped(piece)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_hostile_text_is_printable_ascii() {
        for (bytes, shown) in [
            (&b"plain ~"[..], "plain ~"),
            (b"\"\\", "\\\"\\\\"),
            (b"a\n\x1b[2J\x7f", "a\\u000a\\u001b[2J\\u007f"),
            ("\u{202e}\u{1f600}\u{e9}".as_bytes(), "\\u202e\\ud83d\\ude00\\u00e9"),
            (b"\xff/\xc3", "\\xff/\\xc3"),
        ] {
            assert_eq!(Escaped(bytes).to_string(), shown);
            assert_eq!(Shown(bytes).to_string(), shown.replace("\\\"", "\""));
        }
    }
}
