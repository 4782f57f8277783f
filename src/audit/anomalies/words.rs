//! Texts by number, so that a caller's memory is of numbers.

use std::collections::HashMap;

/// Different texts that are told apart. Beyond, all are one.
const MOST: usize = 1 << 16;

/// A text. Two are the same word only if they are the same text, or beyond [`MOST`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Word(u32);

impl Word {
    /// What stands for all that is beyond the bound.
    const OTHER: Word = Word(0);

    /// Both, as one number.
    pub(super) fn with(self, other: Word) -> u64 {
        u64::from(self.0) << 32 | u64::from(other.0)
    }

    /// It alone, as such a number.
    pub(super) fn alone(self) -> u64 {
        self.0.into()
    }

    /// The two of [`Word::with`].
    pub(super) fn split(both: u64) -> (Word, Word) {
        (Word((both >> 32) as u32), Word(both as u32))
    }
}

/// All texts so far.
#[derive(Debug)]
pub(super) struct Words {
    numbers: HashMap<Box<str>, Word>,
    texts: Vec<Box<str>>,
}

impl Default for Words {
    fn default() -> Words {
        Words { numbers: HashMap::new(), texts: vec!["(others)".into()] }
    }
}

impl Words {
    /// The word of a text.
    pub(super) fn word(&mut self, text: &str) -> Word {
        if let Some(word) = self.numbers.get(text) {
            return *word;
        }
        if self.texts.len() >= MOST {
            return Word::OTHER;
        }
        let word = Word(self.texts.len() as u32);
        self.texts.push(text.into());
        self.numbers.insert(text.into(), word);
        word
    }

    /// The text of a word; of a long one the beginning, which is what a sentence has room for.
    pub(super) fn text(&self, word: Word) -> &str {
        self.texts.get(word.0 as usize).map_or("", |text| beginning(text))
    }
}

/// Characters of a text that are told.
const TOLD: usize = 160;

/// The beginning, no escape cut in two.
fn beginning(text: &str) -> &str {
    if text.len() <= TOLD {
        return text;
    }
    let (mut end, mut at) = (0, 0);
    while at <= TOLD {
        end = at;
        let rest = text.get(at..).unwrap_or_default();
        at += match rest.strip_prefix('\\') {
            Some(escaped) if escaped.starts_with('u') => 6,
            Some(_) => 2,
            None => rest.chars().next().map_or(1, char::len_utf8),
        };
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{MOST, Words, beginning};

    #[test]
    fn text_that_is_long_is_told_without_cutting_an_escape() {
        let hostile = "\\u001b".repeat(40);
        let told = beginning(&hostile);
        assert_eq!((told.len(), told.len() % 6), (156, 0));
        assert_eq!(beginning("/usr/bin/docker"), "/usr/bin/docker");
    }

    #[test]
    fn words_are_bounded() {
        let mut words = Words::default();
        for i in 0..MOST + 10 {
            words.word(&i.to_string());
        }
        let (one, two) = (words.word("unheard"), words.word("of"));
        assert_eq!(one, two);
        let seven = words.word("7");
        assert_eq!(words.text(seven), "7");
    }
}
