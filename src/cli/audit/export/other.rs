//! What is no access, and yet somebody's to know: the life of the daemon's roles, its policies, its keys, what became of
//! segments, and whoever tampers with them.

use super::event::{Field, Weight};
use crate::audit::plain::Record;

/// Keys of such records that have a field; the whole of each is in [`Field::Detail`].
pub(super) const FIELDS: &[(&str, Field)] =
    &[("event", Field::Result), ("why", Field::Refusal), ("refused", Field::Refusal), ("new", Field::Policy)];

/// How much it weighs; `None` for how the scribe keeps its books (`range`, `seal`, `close` …).
pub(super) fn weight(record: Record<'_>) -> Option<Weight> {
    let has = |key: &str| record.field(key).is_some();
    let notable = |is: bool| if is { Weight::Notable } else { Weight::Usual };
    match record.kind() {
        "range" | "seal" | "close" | "pending" => None,
        "recover" if has("settled") => None,
        "intrusion" => Some(Weight::Grave),
        "prune" | "recover" | "journal" => Some(Weight::Notable),
        "policy" => Some(notable(has("refused"))),
        "epoch" => Some(notable(has("again"))),
        "gate" => Some(notable(!matches!(record.text("event"), "started" | "retired"))),
        _ => Some(Weight::Usual),
    }
}

/// Its kind, as a word that every format can hold.
pub(super) fn kind(record: Record<'_>) -> &'static str {
    const KINDS: [&str; 10] =
        ["open", "gate", "policy", "epoch", "recover", "prune", "intrusion", "journal", "outcome", "exit"];
    KINDS.into_iter().find(|kind| *kind == record.kind()).unwrap_or("other")
}

/// What ECS calls it: category and type.
pub(super) fn ecs(kind: &str, result: Option<&str>) -> (&'static str, &'static str) {
    match (kind, result) {
        ("gate", Some("started")) => ("process", "start"),
        ("gate", Some("retired" | "exited" | "killed" | "violated")) => ("process", "end"),
        ("exit", _) => ("process", "end"),
        ("policy" | "epoch", _) => ("configuration", "change"),
        ("prune", _) => ("file", "deletion"),
        ("intrusion" | "disbelieved", _) => ("intrusion_detection", "info"),
        _ => ("process", "info"),
    }
}

/// What CEF calls it.
pub(super) fn name(kind: &str) -> &'static str {
    match kind {
        "open" => "Role began to write",
        "gate" => "Life of a role",
        "policy" => "Policy",
        "epoch" => "Key of the seals",
        "recover" => "Segment found open",
        "prune" => "Segment removed",
        "intrusion" => "Tampering with the record",
        "disbelieved" => "Record that its writer may not write",
        "exit" => "Command ended",
        "journal" => "Requests that the journal alone knows of",
        _ => "Other record",
    }
}
