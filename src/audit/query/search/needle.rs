//! The rarest bytes that a wanted access must have in one of its lines.

use super::Question;
use crate::audit::query::filter::{Id, Verdict};
use crate::model::escape::Escaped;

/// The best of what the question offers: one of these has to stand in a line. `None` where nothing is asked that is
/// spelt in one way only: a range, a pattern and several values are no bytes.
pub(super) fn of(question: &Question) -> Option<Vec<Vec<u8>>> {
    let filter = &question.filter;
    let spelt = |text: &str| Escaped(text.as_bytes()).to_string();
    if let Some(text) = question.texts.iter().max_by_key(|text| text.len()).filter(|text| !text.is_empty()) {
        return one(spelt(text));
    }
    match filter.req.as_slice() {
        [Id::Request(id)] => return one(format!("\"{id}\"")),
        // Of its requests and of itself.
        [Id::Connection(id)] => return one(format!("\"{id}")),
        _ => {}
    }
    for (key, patterns) in [
        ("\"target\"", &filter.target),
        // By name, or by place.
        ("", &filter.rule),
        // In a decision, an outcome, a grant, a repeat or a conn.
        ("", &filter.refusal),
        ("\"route\"", &filter.route),
    ] {
        if let [pattern] = patterns.as_slice()
            && let Some(text) = pattern.literal()
        {
            return one(format!("{key}:\"{}\"", spelt(text)));
        }
    }
    if let [statuses] = filter.status.as_slice()
        && let Some(status) = statuses.single()
    {
        return one(format!("\"status\":{status}"));
    }
    let denied = ["\"decision\":\"deny\"", "\"t\":\"repeat\"", "\"shed\":\""];
    (filter.decision == Some(Verdict::Deny)).then(|| denied.map(|needle| needle.into()).into())
}

fn one(needle: String) -> Option<Vec<Vec<u8>>> {
    Some(vec![needle.into_bytes()])
}
