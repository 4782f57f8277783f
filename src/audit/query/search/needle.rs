//! The rarest bytes that a wanted access must have in one of its lines, and in whose segments such a line can stand.

use super::Question;
use crate::audit::query::filter::{Id, Verdict};
use crate::audit::segment::Role;
use crate::model::escape::Escaped;

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Needles {
    gates: Vec<Vec<u8>>,
    wardens: Vec<Vec<u8>>,
    scribes: Vec<Vec<u8>>,
}

impl Needles {
    /// In anybody's lines. Where nothing but a text is asked, it may be one that its writer is not believed.
    fn anywhere(needle: String) -> Needles {
        let all = vec![needle.into_bytes()];
        Needles { gates: all.clone(), wardens: all.clone(), scribes: all }
    }

    fn of(gates: &[&str], wardens: &[&str], scribes: &[&str]) -> Needles {
        let [gates, wardens, scribes] = [gates, wardens, scribes]
            .map(|all| all.iter().map(|needle| needle.as_bytes().to_vec()).collect());
        Needles { gates, wardens, scribes }
    }

    /// In a segment of this role's one of these has to stand.
    pub(super) fn in_role(&self, role: Role) -> &[Vec<u8>] {
        match role {
            Role::Warden => &self.wardens,
            Role::Scribe => &self.scribes,
            Role::Gate(_) | Role::Other => &self.gates,
        }
    }
}

/// The best of what the question offers: one of these has to stand in a line. `None` where nothing is asked that is
/// spelt in one way only: a range, a pattern and several values are no bytes.
pub(super) fn of(question: &Question) -> Option<Needles> {
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
        // The scribe's are ends too.
        let needle = format!("\"status\":{status}");
        return Some(Needles::of(&[&needle], &[], &[&needle]));
    }
    const REPEATED: &str = "\"t\":\"repeat\"";
    (filter.decision == Some(Verdict::Deny))
        .then(|| Needles::of(&["\"decision\":\"deny\"", REPEATED], &[REPEATED, "\"shed\":\""], &[]))
}

fn one(needle: String) -> Option<Needles> {
    Some(Needles::anywhere(needle))
}
