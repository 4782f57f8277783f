//! What was typed, from the bytes that a terminal in raw mode sends.

/// One key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// A printable ASCII character.
    Char(char),
    Enter,
    Escape,
    Backspace,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-Z.
    Suspend,
    /// Ctrl-L: draw all of it again.
    Redraw,
    /// Ctrl-U: forget the line.
    Kill,
}

/// The keys in what was read at once. A terminal sends a key's sequence in one piece, so an ESC that ends what was
/// read is the key of that name. What means nothing here is passed over.
pub(super) fn keys(bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        let (key, taken) = match first {
            0x1b => escape(after),
            b'\r' | b'\n' => (Some(Key::Enter), 0),
            0x08 | 0x7f => (Some(Key::Backspace), 0),
            0x03 => (Some(Key::Interrupt), 0),
            0x1a => (Some(Key::Suspend), 0),
            0x0c => (Some(Key::Redraw), 0),
            0x15 => (Some(Key::Kill), 0),
            b' '..=b'~' => (Some(Key::Char(char::from(*first))), 0),
            _ => (None, 0),
        };
        keys.extend(key);
        rest = after.get(taken..).unwrap_or_default();
    }
    keys
}

/// The key behind an ESC, and the bytes that it takes (ECMA-48 §5.4: CSI, parameters, a final byte; or SS3 and one).
fn escape(after: &[u8]) -> (Option<Key>, usize) {
    match after {
        [b'O', last, ..] => (named(b"", *last), 2),
        [b'[', sequence @ ..] => {
            let Some(end) = sequence.iter().position(|byte| matches!(byte, 0x40..=0x7e)) else {
                return (None, after.len());
            };
            let (parameters, last) = (sequence.get(..end).unwrap_or_default(), sequence.get(end));
            (last.and_then(|last| named(parameters, *last)), end + 2)
        }
        _ => (Some(Key::Escape), 0),
    }
}

fn named(parameters: &[u8], last: u8) -> Option<Key> {
    match (parameters, last) {
        (_, b'A') => Some(Key::Up),
        (_, b'B') => Some(Key::Down),
        (_, b'H') | (b"1" | b"7", b'~') => Some(Key::Home),
        (_, b'F') | (b"4" | b"8", b'~') => Some(Key::End),
        (b"5", b'~') => Some(Key::PageUp),
        (b"6", b'~') => Some(Key::PageDown),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_from_bytes() {
        assert_eq!(
            keys(b"a/\x1b[A\x1bOB\x1b[5~\x1b[6~\x1b[H\x1b[4~\r\x7f\x03\x1b"),
            [
                Key::Char('a'),
                Key::Char('/'),
                Key::Up,
                Key::Down,
                Key::PageUp,
                Key::PageDown,
                Key::Home,
                Key::End,
                Key::Enter,
                Key::Backspace,
                Key::Interrupt,
                Key::Escape,
            ]
        );
    }

    #[test]
    fn unknown_sequences_and_bytes_are_passed_over() {
        assert_eq!(keys(b"\x1b[200~x\x1b[1;5D\xc3\xa9\x00y\x1b[12"), [Key::Char('x'), Key::Char('y')]);
        assert_eq!(keys(b"\x1bq"), [Key::Escape, Key::Char('q')]);
    }
}
