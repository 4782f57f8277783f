//! What stands in a record is JSON where a writer of ours wrote it. Where another did, it may be half of a surrogate pair,
//! a list where text belongs, quotes and all, or a number with zeros before it: none of that may leave its place in what
//! is made of it (RFC 8259, RFC 7493).

use std::borrow::Cow;

use crate::audit::plain::decoded;
use crate::model::escape::{Escaped, is_plain};

/// Text in the one spelling that we write.
pub(super) fn proper(word: &str) -> Cow<'_, str> {
    if word.bytes().all(is_plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(Escaped(decoded(word).as_bytes()).to_string())
}

/// A record as a JSON value: itself, or its text where it is none.
pub(super) fn record(line: &str) -> Cow<'_, str> {
    if serde_json::from_str::<serde_json::Value>(line).is_ok() {
        return Cow::Borrowed(line);
    }
    Cow::Owned(format!("\"{}\"", Escaped(line.as_bytes())))
}
