//! Which seals vouch for what is shown, as far as the scribe's lines say; they are looked for in one reading.

use std::collections::HashMap;
use std::path::Path;

use super::Found;
use crate::audit::query::cover::{self, Cover};
use crate::audit::query::{Access, Held};

/// The seals by segment and place of a record.
pub(super) struct Seals(Result<HashMap<(String, u64), Cover>, String>);

impl Seals {
    /// Over all of it.
    pub(super) fn of(directory: &Path, found: &Found) -> Seals {
        let held: Vec<&Held> =
            found.conn.iter().map(|conn| &conn.held).chain(found.requests.iter().flat_map(records)).collect();
        let wanted: Vec<(&str, u64)> = held.iter().map(|held| (&*held.segment, held.at)).collect();
        let covers = cover::of(directory, &wanted).map_err(|error| error.to_string());
        Seals(covers.map(|covers| {
            let places = wanted.into_iter().map(|(segment, at)| (segment.to_owned(), at));
            places.zip(covers).filter_map(|(place, cover)| Some((place, cover?))).collect()
        }))
    }

    /// The one over this record, in words.
    pub(super) fn said(&self, held: &Held) -> String {
        match (&self.0, self.find(held)) {
            (Err(why), _) => format!("unknown: {why}"),
            (Ok(_), None) => "none yet".to_owned(),
            (Ok(_), Some(Cover { epoch, i, ts, segment })) => {
                format!("number {i} of epoch {epoch}, at {ts}, in {segment}")
            }
        }
    }

    /// The same for programs.
    pub(super) fn json(&self, held: Option<&Held>) -> String {
        held.and_then(|held| self.find(held)).map_or_else(
            || "null".to_owned(),
            |Cover { epoch, i, ts, segment }| {
                format!("{{\"epoch\":{epoch},\"i\":{i},\"ts\":\"{ts}\",\"segment\":\"{segment}\"}}")
            },
        )
    }

    fn find(&self, held: &Held) -> Option<&Cover> {
        self.0.as_ref().ok()?.get(&((*held.segment).to_owned(), held.at))
    }
}

/// All that is on record of an access, but for its caller.
fn records(access: &Access) -> impl Iterator<Item = &Held> {
    let decision = access.decision.iter().map(|decision| &decision.held);
    let outcome = access.outcome.iter().map(|outcome| &outcome.held);
    let exits = access.exits.iter().map(|exit| &exit.held);
    decision.chain(access.grants.iter().map(|grant| &grant.held)).chain(outcome).chain(exits)
}
