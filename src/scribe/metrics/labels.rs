//! Which values a label may have: names of policies, and codes of our own closed lists.

use std::collections::HashMap;

use crate::model::outcome::Outcome;
use crate::model::refusal::Refusal;

/// The place of whatever has no place of its own.
pub(super) const OTHER: u16 = 0;
/// The place of nothing: no route matched.
pub(super) const NONE: u16 = 1;
/// How they are spelt; no name of a policy begins so.
pub(super) const OTHER_NAME: &str = "(other)";
const NONE_NAME: &str = "(none)";

/// Roles that have lives.
pub(super) const ROLES: [&str; 7] =
    ["gate", "scribe", "app", "gate-probe", "scribe-probe", "app-probe", "runner-probe"];
/// What happens to them.
pub(super) const EVENTS: [&str; 6] = ["started", "retired", "exited", "killed", "panicked", "violated"];

/// What happens to gates and scribes; of the roles that only try something it does not matter.
pub(super) fn lives() -> impl Iterator<Item = (&'static str, &'static str)> {
    let [gate, scribe, ..] = ROLES;
    [gate, scribe].into_iter().flat_map(|role| EVENTS.iter().map(move |event| (role, *event)))
}

/// The word, if it is one of these.
pub(super) fn one_of(words: &[&'static str], word: &str) -> &'static str {
    words.iter().find(|known| **known == word).unwrap_or(&OTHER_NAME)
}

/// Names of one kind. None is ever forgotten: counters never go back while this scribe lives.
#[derive(Debug)]
pub(super) struct Labels {
    places: HashMap<Box<str>, u16>,
    names: Vec<Box<str>>,
    most: usize,
}

impl Labels {
    /// None but `(other)` and `(none)` yet, and never more than `most`.
    pub(super) fn new(most: usize) -> Labels {
        Labels { places: HashMap::new(), names: vec![OTHER_NAME.into(), NONE_NAME.into()], most }
    }

    /// Gives a name its place, if it has none and there is room.
    pub(super) fn learn(&mut self, name: &str) {
        if self.places.len() < self.most
            && !self.places.contains_key(name)
            && let Ok(place) = u16::try_from(self.names.len())
        {
            self.places.insert(name.into(), place);
            self.names.push(name.into());
        }
    }

    /// The place of a name.
    pub(super) fn place(&self, name: Option<&str>) -> u16 {
        name.map_or(NONE, |name| self.places.get(name).copied().unwrap_or(OTHER))
    }

    /// The name of a place.
    pub(super) fn name(&self, place: u16) -> &str {
        self.names.get(usize::from(place)).map_or(OTHER_NAME, |name| name)
    }
}

/// The codes of refusals, and the results that are none.
#[derive(Debug)]
pub(super) struct Codes {
    places: HashMap<&'static str, u8>,
    names: Vec<&'static str>,
}

impl Codes {
    pub(super) fn new() -> Codes {
        let results = [
            Outcome::Completed,
            Outcome::TunnelClosed,
            Outcome::CallerGone,
            Outcome::Stopped,
            Outcome::RefusedByReload,
        ];
        let mut names = vec![OTHER_NAME];
        names.extend(Refusal::ALL.iter().map(|refusal| refusal.code()));
        names.extend(results.iter().map(|result| result.code()));
        // Written by the scribe for whoever can't write it any more.
        names.push("killed-by-restart");
        let places = (0..).zip(&names).map(|(place, name)| (*name, place)).collect();
        Codes { places, names }
    }

    /// The place of a refusal.
    pub(super) fn refusal(&self, code: Option<&str>) -> u8 {
        code.and_then(|code| self.places.get(code)).copied().unwrap_or(0)
    }

    /// The place of an outcome's result.
    pub(super) fn result(&self, code: Option<&str>) -> u8 {
        self.refusal(code)
    }

    /// The code of a place.
    pub(super) fn name(&self, place: u8) -> &'static str {
        self.names.get(usize::from(place)).unwrap_or(&OTHER_NAME)
    }
}
