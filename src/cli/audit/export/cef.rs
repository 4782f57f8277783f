//! ArcSight Common Event Format, version 0: one line an event, printable ASCII.

use std::borrow::Cow;
use std::io::Write;

use super::Source;
use super::event::{End, Event, Field, Weight};
use super::other;

/// The keys of the extension. Where a key is a numbered one, its label stands beside it; what the dictionary has no
/// key for is called `peergate…`, as it asks of a vendor's own.
pub(super) const KEYS: &[(Field, &str)] = &[
    (Field::Id, "externalId"),
    (Field::On, "cs1"),
    (Field::Decision, "act"),
    (Field::Method, "requestMethod"),
    (Field::MethodBytes, "peergateMethodBase64"),
    (Field::Target, "request"),
    (Field::TargetBytes, "peergateTargetBase64"),
    (Field::TargetLength, "peergateTargetLength"),
    (Field::Route, "cs2"),
    (Field::By, "cs3"),
    (Field::At, "cs4"),
    (Field::Policy, "cs5"),
    (Field::Shadow, "peergateShadow"),
    (Field::Backend, "destinationServiceName"),
    (Field::Status, "cn1"),
    (Field::Result, "peergateResult"),
    (Field::In, "in"),
    (Field::Out, "out"),
    (Field::Us, "cn2"),
    (Field::Uid, "suid"),
    (Field::User, "suser"),
    (Field::Gid, "cn3"),
    (Field::Groups, "peergateGroups"),
    (Field::Pid, "spid"),
    (Field::Exe, "sproc"),
    (Field::ExeBytes, "peergateExeBase64"),
    (Field::Unit, "sourceServiceName"),
    (Field::Ns, "cs6"),
    (Field::Login, "peergateLogin"),
    (Field::Ruid, "peergateRealUid"),
    (Field::Label, "peergateLabel"),
    (Field::LabelBytes, "peergateLabelBase64"),
    (Field::Count, "cnt"),
    (Field::Doubts, "peergateDoubts"),
    (Field::Segment, "fname"),
    (Field::Offset, "peergateOffset"),
    (Field::Detail, "peergateDetail"),
];

/// What a numbered key holds.
const LABELS: [(Field, &str); 9] = [
    (Field::On, "listener"),
    (Field::Route, "route"),
    (Field::By, "rule"),
    (Field::At, "ruleAt"),
    (Field::Policy, "policy"),
    (Field::Ns, "namespace"),
    (Field::Status, "status"),
    (Field::Us, "microseconds"),
    (Field::Gid, "gid"),
];

/// One line.
pub(super) fn line(event: &Event<'_>, source: &Source, out: &mut Vec<u8>) {
    let verdict = match event.allowed {
        Some(true) => "allow",
        Some(false) => "deny",
        None => "unknown",
    };
    let severity = match (event.weight, event.allowed, event.end) {
        (Some(Weight::Grave), ..) => 9,
        (Some(Weight::Usual), ..) => 2,
        (None, Some(true), End::Failure) => 4,
        (None, Some(true), _) => 2,
        _ => 6,
    };
    let name = match (event.kind(), event.allowed) {
        ("shed", _) => "Connection closed at once",
        ("repeat", _) => "Further refusals counted",
        (_, Some(true)) => "Access allowed",
        (_, Some(false)) => "Access denied",
        (kind, None) if event.weight.is_some() => other::name(kind),
        _ => "Access without decision on record",
    };
    put(out, format_args!("CEF:0|peergate|peergated|{}|", header(&source.version)));
    put(out, format_args!("{}-{verdict}|{name}|{severity}|", event.kind()));
    put(out, format_args!("rt={}", event.time.micros() / 1_000));
    put(out, format_args!(" start={}", event.time.micros() / 1_000));
    if let Some(ended) = event.ended() {
        put(out, format_args!(" end={}", ended.micros() / 1_000));
    }
    put(out, format_args!(" dvchost={}", extension(&source.host)));
    match event.end {
        End::Success => put(out, format_args!(" outcome=success")),
        End::Failure => put(out, format_args!(" outcome=failure")),
        End::Unknown => {}
    }
    if let Some(reason) = event.reason() {
        put(out, format_args!(" reason={}", extension(reason)));
    }
    for (field, key) in KEYS {
        let Some(value) = event.field(*field) else { continue };
        put(out, format_args!(" {key}={}", extension(&value.shown())));
        if let Some((_, label)) = LABELS.iter().find(|(labelled, _)| labelled == field) {
            put(out, format_args!(" {key}Label={label}"));
        }
    }
    put(out, format_args!(" msg={}\n", extension(&event.sentence())));
}

/// In the header `|` and `\` get a backslash. There are no line ends: all text is printable ASCII.
fn header(text: &str) -> Cow<'_, str> {
    escaped(text, &['\\', '|'])
}

/// In the extension `=` and `\` get a backslash.
fn extension(text: &str) -> Cow<'_, str> {
    escaped(text, &['\\', '='])
}

fn escaped<'a>(text: &'a str, special: &[char]) -> Cow<'a, str> {
    if !text.contains(special) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        if special.contains(&letter) {
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
