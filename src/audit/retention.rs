//! What of the record may go, and why: a pure plan over what lies in the directory. The warden carries it out,
//! `peergate audit prune --dry-run` prints it.
//!
//! Nothing goes that is still written, not sealed, or not shipped where shipping is asked for. The oldest goes
//! first, but nobody's records push out those of others beyond half of all ([`shares`]). A scribe's segment seals what was written in its time, so it goes only after all of that has gone, and
//! never before an older one of the scribe's.

mod pace;
mod shares;
mod shipped;

use std::collections::BTreeSet;

use super::entry::Pruned;
use crate::model::keeping::Keep;
use crate::model::time::Timestamp;

pub use pace::Pace;
use shares::{Shares, Turns};
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
    /// What ended later does not go by its age yet ([`Pace`]); `None`: whatever is old goes.
    pub ripe: Option<Timestamp>,
}

impl Keep {
    /// What ended before is older than it says.
    pub fn due(&self, now: Timestamp) -> Timestamp {
        Timestamp::from_micros(now.micros().saturating_sub(u64::from(self.days) * DAY))
    }
}

const DAY: u64 = 86_400_000_000;

/// Plans what of `stored` goes.
pub fn plan(stored: &[Stored], terms: &Terms<'_>) -> Plan {
    let (mut order, mut seals): (Vec<&Stored>, Vec<&Stored>) =
        stored.iter().partition(|segment| !segment.seals);
    order.sort_by(|a, b| (a.ended, &a.name).cmp(&(b.ended, &b.name)));
    seals.sort_by(|a, b| (a.made, &a.name).cmp(&(b.made, &b.name)));
    let mut planning = Planning { plan: Plan::default(), shares: Shares::of(stored, terms), terms };
    let stays = planning.writers(&order);
    planning.scribes(&seals, &Stays::of(stays));
    planning.plan
}

/// The plan as far as it is made.
struct Planning<'a> {
    plan: Plan,
    shares: Shares<'a>,
    terms: &'a Terms<'a>,
}

impl<'a> Planning<'a> {
    /// Of what the scribe's segments seal; what stays.
    fn writers(&mut self, order: &[&'a Stored]) -> Vec<&'a Stored> {
        let mut stays = Vec::new();
        let (old, young): (Vec<&Stored>, Vec<&Stored>) =
            order.iter().partition(|segment| self.terms.is_old(segment));
        let mut turns = Turns::of(&young);
        let mut old = old.into_iter();
        loop {
            let (segment, why) = match old.next() {
                Some(segment) => (segment, Pruned::Age),
                None => {
                    let Some(why) = self.shares.all.exceeds(self.terms) else { break };
                    let Some(segment) = turns.next(&self.shares, why) else { break };
                    (segment, why)
                }
            };
            if !self.goes(segment, why) {
                stays.push(segment);
            }
        }
        stays.extend(turns.left());
        stays
    }

    /// A scribe's goes only after all that it seals, and never before an older one: the chain is kept from its end.
    fn scribes(&mut self, seals: &[&'a Stored], stays: &Stays) {
        let seals_nothing = |segment: &&&Stored| self.terms.holds(segment).is_none() && !stays.needs(segment);
        self.shares.all.count(seals.iter().take_while(seals_nothing).count() as u64);
        let mut older_stays = false;
        for segment in seals {
            let old = self.terms.is_old(segment).then_some(Pruned::Age);
            let Some(why) = old.or_else(|| self.shares.all.exceeds(self.terms)) else {
                older_stays = true;
                continue;
            };
            if self.terms.holds(segment).is_none() && (older_stays || stays.needs(segment)) {
                self.plan.held.push((segment.name.clone(), Held::Seals));
                older_stays = true;
            } else {
                older_stays |= !self.goes(segment, why);
            }
        }
    }

    /// Whether it goes; else it is told why not.
    fn goes(&mut self, segment: &'a Stored, why: Pruned) -> bool {
        let held = self.terms.holds(segment);
        match held {
            Some(held) => self.plan.held.push((segment.name.clone(), held)),
            None => {
                self.shares.without(segment);
                self.plan.going.push(Going { name: segment.name.clone(), bytes: segment.bytes, why });
            }
        }
        held.is_none()
    }
}

impl Terms<'_> {
    fn is_old(&self, segment: &Stored) -> bool {
        let ripe = self.ripe.is_none_or(|ripe| segment.ended <= ripe);
        ripe && segment.ended < self.keep.due(self.now)
    }

    /// What holds it whatever is exceeded.
    fn holds(&self, segment: &Stored) -> Option<Held> {
        let unshipped = || self.shipped.is_some_and(|shipped| !shipped.contains(&segment.name));
        if segment.settled { unshipped().then_some(Held::Unshipped) } else { Some(Held::Unsettled) }
    }
}

/// What stays of what scribes sealed: when each was made, and the latest end of those made until then.
struct Stays(Vec<(u64, u64)>);

impl Stays {
    fn of(mut stays: Vec<&Stored>) -> Stays {
        stays.sort_by_key(|segment| segment.made);
        let mut latest = 0;
        let ends = stays.iter().map(|segment| {
            latest = latest.max(segment.ended.micros());
            (segment.made.micros(), latest)
        });
        Stays(ends.collect())
    }

    /// Whether one of them may be sealed here: it began before this one ended and ended after this one began. The
    /// scribe closes a segment a moment after its last record, and a file's time is coarser than a name's.
    fn needs(&self, scribes: &Stored) -> bool {
        const SLACK: u64 = 10_000_000;
        let until = scribes.ended.micros().saturating_add(SLACK);
        let began = self.0.partition_point(|(made, _)| *made <= until);
        let latest = began.checked_sub(1).and_then(|last| self.0.get(last));
        latest.is_some_and(|(_, ended)| ended.saturating_add(SLACK) >= scribes.made.micros())
    }
}

#[cfg(test)]
mod tests;
