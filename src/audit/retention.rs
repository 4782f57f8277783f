//! What of the record may go, and why: a pure plan over what lies in the directory. The warden carries it out,
//! `peergate audit prune --dry-run` prints it.
//!
//! Nothing goes that is still written, not sealed, or not shipped where shipping is asked for. The oldest goes
//! first. A scribe's segment seals what was written in its time, so it goes only after all of that has gone, and
//! never before an older one of the scribe's.

mod shipped;

use std::collections::BTreeSet;

use super::entry::Pruned;
use crate::model::keeping::Keep;
use crate::model::time::Timestamp;

pub use shipped::shipped;

/// One segment in the audit directory, compressed or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its name without the ending of compression: `20261123T034629.123456Z-7k3qzd-gate-1001-0-12.ndjson`.
    pub name: String,
    /// When it was made, as its name says.
    pub made: Timestamp,
    /// When its file was last written; of a compressed one, when that was made.
    pub ended: Timestamp,
    /// Bytes that it takes on the disk, all of its files together.
    pub bytes: u64,
    /// Whether the scribe wrote it.
    pub seals: bool,
    /// It is closed, and the seal over its `close` is on disk.
    pub settled: bool,
}

/// Why a segment that should go stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// It is still written, or its close is not sealed yet.
    Unsettled,
    /// No shipper has it yet.
    Unshipped,
    /// It seals a segment that stays.
    Seals,
}

impl Held {
    /// In words.
    pub fn why(self) -> &'static str {
        match self {
            Held::Unsettled => "it is not closed and sealed",
            Held::Unshipped => "it is not shipped",
            Held::Seals => "it seals what is kept",
        }
    }
}

/// One segment of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Going {
    /// Its name, as in [`Stored::name`].
    pub name: String,
    /// What it takes.
    pub bytes: u64,
    /// Why it goes.
    pub why: Pruned,
}

/// What is to go, oldest first, and what should go and may not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// These go, in this order.
    pub going: Vec<Going>,
    /// These would go if they could.
    pub held: Vec<(String, Held)>,
}

/// What a plan is made by.
#[derive(Debug)]
pub struct Terms<'a> {
    /// The policy's.
    pub keep: &'a Keep,
    /// The time now.
    pub now: Timestamp,
    /// Free bytes of the file system that the daemon could use.
    pub free: u64,
    /// All bytes of the file system.
    pub whole: u64,
    /// The segments that are shipped, by name; `None` where nobody ships.
    pub shipped: Option<&'a BTreeSet<String>>,
}

const DAY: u64 = 86_400_000_000;

/// Plans what of `stored` goes.
pub fn plan(stored: &[Stored], terms: &Terms<'_>) -> Plan {
    let mut order: Vec<&Stored> = stored.iter().collect();
    order.sort_by(|a, b| (a.ended, a.seals, &a.name).cmp(&(b.ended, b.seals, &b.name)));
    let closed = || stored.iter().filter(|segment| segment.settled);
    let mut left = Left {
        bytes: closed().map(|segment| segment.bytes).sum(),
        count: closed().count() as u64,
        free: terms.free,
    };
    let mut plan = Plan::default();
    let mut gone = BTreeSet::new();
    // The scribe's come last: what they seal decides whether they may go.
    for seals in [false, true] {
        for segment in order.iter().filter(|segment| segment.seals == seals) {
            let Some(why) = left.exceeds(segment, terms) else { continue };
            match holds(segment, stored, &gone, terms) {
                Some(held) => plan.held.push((segment.name.clone(), held)),
                None => {
                    left.without(segment);
                    gone.insert(segment.name.as_str());
                    plan.going.push(Going { name: segment.name.clone(), bytes: segment.bytes, why });
                }
            }
        }
    }
    plan
}

/// What would be there after what goes has gone.
struct Left {
    bytes: u64,
    count: u64,
    free: u64,
}

impl Left {
    fn exceeds(&self, segment: &Stored, terms: &Terms<'_>) -> Option<Pruned> {
        let Keep { days, bytes, count, free } = *terms.keep;
        let age = terms.now.micros().saturating_sub(segment.ended.micros());
        if age > u64::from(days) * DAY {
            return Some(Pruned::Age);
        }
        if self.bytes > bytes {
            return Some(Pruned::Bytes);
        }
        if count.is_some_and(|count| self.count > u64::from(count)) {
            return Some(Pruned::Count);
        }
        (self.free < free.min(terms.whole / 10)).then_some(Pruned::Space)
    }

    fn without(&mut self, segment: &Stored) {
        self.bytes = self.bytes.saturating_sub(segment.bytes);
        self.count = self.count.saturating_sub(1);
        self.free = self.free.saturating_add(segment.bytes);
    }
}

fn holds(segment: &Stored, stored: &[Stored], gone: &BTreeSet<&str>, terms: &Terms<'_>) -> Option<Held> {
    if !segment.settled {
        return Some(Held::Unsettled);
    }
    if terms.shipped.is_some_and(|shipped| !shipped.contains(&segment.name)) {
        return Some(Held::Unshipped);
    }
    let stays = |other: &&Stored| other.name != segment.name && !gone.contains(other.name.as_str());
    // What began before this one ended and ended after it began may be sealed here. The scribe closes a segment a
    // moment after its last record, and a file's time is coarser than a name's.
    let slack = 10_000_000;
    let sealed_here = |other: &Stored| {
        other.made.micros() <= segment.ended.micros().saturating_add(slack)
            && other.ended.micros().saturating_add(slack) >= segment.made.micros()
    };
    let older = |other: &Stored| (other.made, &other.name) < (segment.made, &segment.name);
    let needed = segment.seals
        && stored
            .iter()
            .filter(stays)
            .any(|other| if other.seals { older(other) } else { sealed_here(other) });
    needed.then_some(Held::Seals)
}

#[cfg(test)]
mod tests;
