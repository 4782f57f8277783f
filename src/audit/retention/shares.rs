//! Whose turn it is to go. The oldest goes first; where one uid's gates have written more than half of all that is
//! kept, its own go before those of other uids. So who fills the record, a gate that was taken over included, pushes
//! out no more of what others did than down to a half.
//!
//! The warden's segments tell of everybody, and go by their age alone: none that a kept decision needs goes early.

use std::collections::{BTreeMap, VecDeque};

use super::{Stored, Terms};
use crate::audit::entry::Pruned;
use crate::audit::segment::SegmentName;
use crate::model::keeping::Keep;

/// What somebody's segments take.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Share {
    bytes: u64,
    count: u64,
}

impl Share {
    fn with(&mut self, segment: &Stored) {
        self.bytes = self.bytes.saturating_add(segment.bytes);
        // Those of scribes once it is known which of them may go.
        self.count += u64::from(!segment.seals);
    }

    fn without(&mut self, segment: &Stored) {
        self.bytes = self.bytes.saturating_sub(segment.bytes);
        self.count = self.count.saturating_sub(1);
    }

    /// What counts where segments go for this reason.
    fn by(self, why: Pruned) -> u64 {
        if why == Pruned::Count { self.count } else { self.bytes }
    }
}

/// What would be there after what goes has gone.
pub(super) struct All {
    share: Share,
    free: u64,
}

impl All {
    /// So many of the scribes' count too, which seal nothing that is kept.
    pub(super) fn count(&mut self, more: u64) {
        self.share.count = self.share.count.saturating_add(more);
    }

    /// What is exceeded, beside age.
    pub(super) fn exceeds(&self, terms: &Terms<'_>) -> Option<Pruned> {
        let Keep { bytes, count, free, .. } = *terms.keep;
        if self.share.bytes > bytes {
            return Some(Pruned::Bytes);
        }
        if count.is_some_and(|count| self.share.count > u64::from(count)) {
            return Some(Pruned::Count);
        }
        (self.free < free.min(terms.whole / 10)).then_some(Pruned::Space)
    }
}

/// Closed segments by who wrote them.
pub(super) struct Shares<'a> {
    pub(super) all: All,
    gates: BTreeMap<&'a str, Share>,
}

impl<'a> Shares<'a> {
    pub(super) fn of(stored: &'a [Stored], terms: &Terms<'_>) -> Shares<'a> {
        let all = All { share: Share::default(), free: terms.free };
        let mut shares = Shares { all, gates: BTreeMap::new() };
        for segment in stored.iter().filter(|segment| segment.settled) {
            shares.all.share.with(segment);
            if let Some(gate) = gate_of(&segment.name) {
                shares.gates.entry(gate).or_default().with(segment);
            }
        }
        shares
    }

    /// It goes.
    pub(super) fn without(&mut self, segment: &Stored) {
        self.all.share.without(segment);
        self.all.free = self.all.free.saturating_add(segment.bytes);
        if let Some(share) = gate_of(&segment.name).and_then(|gate| self.gates.get_mut(gate)) {
            share.without(segment);
        }
    }

    /// Who takes more than half of it all.
    fn greediest(&self, why: Pruned) -> Option<&'a str> {
        let (gate, share) = self.gates.iter().max_by_key(|(_, share)| share.by(why))?;
        (share.by(why) > self.all.share.by(why) / 2).then_some(*gate)
    }
}

/// The order in which segments go.
pub(super) struct Turns<'a> {
    order: Vec<Option<&'a Stored>>,
    next: usize,
    gates: BTreeMap<&'a str, VecDeque<usize>>,
}

impl<'a> Turns<'a> {
    /// Of these, which are sorted by their age.
    pub(super) fn of(order: &[&'a Stored]) -> Turns<'a> {
        let mut gates: BTreeMap<&str, VecDeque<usize>> = BTreeMap::new();
        for (place, segment) in order.iter().enumerate() {
            if let Some(gate) = gate_of(&segment.name) {
                gates.entry(gate).or_default().push_back(place);
            }
        }
        Turns { order: order.iter().copied().map(Some).collect(), next: 0, gates }
    }

    /// The next to go for this reason; each comes once.
    pub(super) fn next(&mut self, shares: &Shares<'_>, why: Pruned) -> Option<&'a Stored> {
        while self.order.get(self.next)?.is_none() {
            self.next += 1;
        }
        let mut place = self.next;
        let oldest = self.order.get(place).copied().flatten().and_then(|segment| gate_of(&segment.name));
        if let (Some(oldest), Some(greedy)) = (oldest, shares.greediest(why))
            && oldest != greedy
            && let Some(own) = self.gates.get_mut(greedy).and_then(|own| first_of(&self.order, own))
        {
            place = own;
        }
        self.order.get_mut(place)?.take()
    }

    /// Those that have not come.
    pub(super) fn left(self) -> impl Iterator<Item = &'a Stored> {
        self.order.into_iter().flatten()
    }
}

/// The first of these places where there is something still.
fn first_of(order: &[Option<&Stored>], places: &mut VecDeque<usize>) -> Option<usize> {
    std::iter::from_fn(|| places.pop_front()).find(|place| order.get(*place).is_some_and(Option::is_some))
}

/// Whose gate wrote it, as its name says: `gate-1001` of `gate-1001-0-12`; `None` of another role's.
fn gate_of(name: &str) -> Option<&str> {
    let writer = SegmentName::parse(name)?.writer;
    let lane = writer.strip_prefix("gate-")?.find('-')?;
    writer.get(..lane + "gate-".len())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::{Terms, plan};
    use super::*;
    use crate::model::ids::BootId;
    use crate::model::time::Timestamp;

    fn segment(writer: &str, made: u64, bytes: u64) -> Stored {
        let at = Timestamp::from_micros(made * 1_000_000);
        let name = crate::audit::segment::name(at, BootId::from_random(1), &format!("{writer}-{made}"));
        Stored { name, made: at, ended: at, bytes, seals: writer == "scribe", settled: true }
    }

    /// What is left of each writer when so many bytes, or segments, are kept.
    fn left(stored: &[Stored], bytes: u64, count: Option<u32>) -> BTreeMap<String, u64> {
        let keep = Keep { days: 36_500, bytes, count, free: 0 };
        let now = Timestamp::from_micros(1_000_000_000_000);
        let terms = Terms { keep: &keep, now, free: 0, whole: 0, shipped: None, ripe: None };
        let plan = plan(stored, &terms);
        let going: BTreeSet<&str> = plan.going.iter().map(|going| going.name.as_str()).collect();
        let mut left = BTreeMap::new();
        for segment in stored.iter().filter(|one| !going.contains(one.name.as_str())) {
            let writer = SegmentName::parse(&segment.name).unwrap().writer;
            *left.entry(writer.rsplit_once('-').unwrap().0.to_owned()).or_insert(0) += segment.bytes;
        }
        left
    }

    /// Two who work, the warden, and one who floods, later than all of them.
    fn flooded() -> Vec<Stored> {
        let quiet = (0..10).flat_map(|hour| [("gate-1-0", hour), ("gate-2-0", hour), ("warden", hour)]);
        let flood = (0..1_000).map(|n| ("gate-3-0", 100 + n));
        quiet.chain(flood).map(|(writer, made)| segment(writer, made, 10)).collect()
    }

    #[test]
    fn flood_of_one_uid_pushes_out_its_own_records_first() {
        let kept = left(&flooded(), 1_000, None);
        assert_eq!(kept["gate-3-0"], 700, "what the others leave free is its own");
        assert_eq!([kept["gate-1-0"], kept["gate-2-0"], kept["warden"]], [100, 100, 100]);
        let kept = left(&flooded(), 400, None);
        assert!(kept["gate-3-0"] <= 200, "{kept:?}");
        assert!(kept["gate-1-0"] + kept["gate-2-0"] + kept["warden"] >= 200, "{kept:?}");
        let kept = left(&flooded(), u64::MAX, Some(40));
        assert!(kept["gate-3-0"] <= 200, "by their number too: {kept:?}");
    }

    #[test]
    fn one_uid_alone_goes_by_age_with_the_wardens() {
        let both = (0..100).flat_map(|hour| [segment("gate-1-0", hour, 30), segment("warden", hour, 10)]);
        let kept = left(&both.collect::<Vec<_>>(), 400, None);
        assert_eq!([kept["gate-1-0"], kept["warden"]], [300, 100]);
    }

    #[test]
    fn plan_of_very_many_segments_is_made_at_once() {
        // Quadratic, this took minutes.
        let stored: Vec<Stored> = (0..20_000)
            .map(|n| segment(["gate-1-0", "gate-2-0", "warden", "scribe"][n as usize % 4], n, 10))
            .collect();
        let kept = left(&stored, 1_000, None);
        assert!(kept.values().sum::<u64>() <= 1_010, "{kept:?}");
    }
}
