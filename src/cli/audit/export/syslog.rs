//! Syslog by RFC 5424: a header, the fields as one element of structured data, a sentence as the message.

use std::borrow::Cow;
use std::io::Write;

use clap::ValueEnum;

use super::Source;
use super::event::{End, Event, Weight};

/// `log audit` (RFC 5424 §6.2.1).
const FACILITY: u8 = 13;

/// How one message is told from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Framing {
    /// A line feed ends each (RFC 6587 §3.4.2); none is inside one
    #[default]
    Lf,
    /// Each is preceded by its length and a space (RFC 6587 §3.4.1, RFC 5425 §4.3)
    Octets,
}

/// What is asked of the messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) framing: Framing,
    /// Begin the text with a byte order mark, which says UTF-8 (§6.4). Without it the text is of no said
    /// encoding; it is ASCII either way.
    pub(super) bom: bool,
    /// The private enterprise number in the element's name.
    pub(super) enterprise: u32,
}

/// One message.
pub(super) fn message(event: &Event<'_>, source: &Source, style: Style, out: &mut Vec<u8>) {
    let mut message = Vec::with_capacity(1_024);
    let severity = match (event.weight, event.allowed, event.end) {
        (Some(Weight::Grave), ..) => 2,
        (Some(Weight::Usual), ..) => 6,
        (None, Some(true), End::Failure) => 5,
        (None, Some(true), _) => 6,
        _ => 4,
    };
    let priority = FACILITY * 8 + severity;
    put(&mut message, format_args!("<{priority}>1 {} {} peergated - ", event.time, source.host));
    put(&mut message, format_args!("{} [peergate@{}", event.kind(), style.enterprise));
    for (field, value) in event.fields() {
        put(&mut message, format_args!(" {}=\"{}\"", field.name(), parameter(&value.shown())));
    }
    message.extend_from_slice(if style.bom { b"] \xef\xbb\xbf" } else { b"] " });
    message.extend_from_slice(event.sentence().as_bytes());
    match style.framing {
        Framing::Lf => message.push(b'\n'),
        Framing::Octets => put(out, format_args!("{} ", message.len())),
    }
    out.extend_from_slice(&message);
}

/// `"`, `\` and `]` get a backslash (§6.3.3).
fn parameter(text: &str) -> Cow<'_, str> {
    if !text.contains(['"', '\\', ']']) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        if matches!(letter, '"' | '\\' | ']') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    Cow::Owned(escaped)
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing into memory does not fail.
    out.write_fmt(text).ok();
}
