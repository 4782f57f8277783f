//! JSON, one object a line, printable ASCII: text goes in as it stands in the record, which is how JSON spells it.

use std::fmt::Display;
use std::io::Write;

use crate::model::escape::Escaped;

/// Writes one object after the other; keys are our own plain words.
#[derive(Debug)]
pub(super) struct Json<'a> {
    out: &'a mut Vec<u8>,
    /// Nothing is in the innermost object yet.
    fresh: bool,
}

impl<'a> Json<'a> {
    /// `{`
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Json<'a> {
        out.push(b'{');
        Json { out, fresh: true }
    }

    /// `}` and the end of the line.
    pub(super) fn end(self) {
        self.out.extend_from_slice(b"}\n");
    }

    /// `"key":`
    pub(super) fn key(&mut self, key: &str) -> &mut Json<'a> {
        if !std::mem::take(&mut self.fresh) {
            self.out.push(b',');
        }
        self.put(format_args!("\"{key}\":"));
        self
    }

    /// An object below this key.
    pub(super) fn object(&mut self, key: &str, inside: impl FnOnce(&mut Json<'a>)) {
        self.key(key).out.push(b'{');
        self.fresh = true;
        inside(self);
        self.out.push(b'}');
        self.fresh = false;
    }

    /// The items of a list, each an object.
    pub(super) fn objects<T>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = T>,
        inside: impl Fn(&mut Json<'a>, T),
    ) {
        self.key(key).out.push(b'[');
        for (i, item) in items.into_iter().enumerate() {
            self.out.extend_from_slice(if i == 0 { b"{" } else { b",{" });
            self.fresh = true;
            inside(self, item);
            self.out.push(b'}');
        }
        self.out.push(b']');
        self.fresh = false;
    }

    /// A record's text, which is escaped already.
    pub(super) fn word(&mut self, key: &str, word: &str) {
        self.key(key).put(format_args!("\"{word}\""));
    }

    /// The same, where there is some.
    pub(super) fn maybe_word(&mut self, key: &str, word: Option<&str>) {
        if let Some(word) = word {
            self.word(key, word);
        }
    }

    /// Any text.
    pub(super) fn text(&mut self, key: &str, text: &str) {
        self.key(key).put(format_args!("\"{}\"", Escaped(text.as_bytes())));
    }

    /// A number.
    pub(super) fn number(&mut self, key: &str, number: impl Display) {
        self.key(key).put(format_args!("{number}"));
    }

    /// The same, where there is one.
    pub(super) fn maybe_number(&mut self, key: &str, number: Option<impl Display>) {
        if let Some(number) = number {
            self.number(key, number);
        }
    }

    /// A list of words.
    pub(super) fn words<W: Display>(&mut self, key: &str, words: impl IntoIterator<Item = W>) {
        let words: Vec<String> = words.into_iter().map(|word| format!("\"{word}\"")).collect();
        self.key(key).put(format_args!("[{}]", words.join(",")));
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing into memory does not fail.
        self.out.write_fmt(text).ok();
    }
}
