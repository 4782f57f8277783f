//! What becomes of closed and sealed segments: compressed, and removed when the policy keeps no more. The plan is pure
//! ([`retention`]); the scribe compresses and writes down what goes; only then names change here. Writers get another
//! segment when theirs is old.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::segments::Kept;
use super::{Due, Warden};
use crate::audit::retention::{self, Held, Pace, Terms};
use crate::model::time::Timestamp;
use crate::wire::message::ToScribe;

/// The directory is looked at this often, and a moment after a segment was closed.
const OFTEN: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(1);
/// Segments that go at a time.
const AT_ONCE: usize = 64;
/// A smaller one is not worth compressing.
const WORTH: u64 = 16 << 10;

/// What is going on.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    /// All of before is settled.
    settled: bool,
    /// A look is due soon.
    soon: bool,
    /// This start's segments that were released though they are not closed.
    unclosed: BTreeSet<String>,
    packing: Option<String>,
    /// Could not be compressed; not tried again by this start.
    unpackable: BTreeSet<String>,
    pruning: BTreeSet<String>,
    /// Should have gone and could not be removed; tried again by the timer's look only.
    unremovable: BTreeSet<String>,
    /// What was last said of a segment that should go and may not.
    said: BTreeMap<String, Held>,
    /// How far age has come.
    pace: Pace,
    /// It was said that more is old than goes at this pace.
    said_old: bool,
}

impl Warden {
    /// The scribe has settled all that was there before.
    pub(super) fn begin_keeping(&mut self) {
        // What an earlier scribe was at comes to nothing.
        let packing = self.keeping.packing.take().is_some();
        self.keeping.pruning.clear();
        self.segments.remove_unfinished();
        let first = !std::mem::replace(&mut self.keeping.settled, true);
        if (first || packing)
            && let Err(error) = self.segments.remove_doubles()
        {
            tracing::warn!(%error, "the audit directory can't be looked through");
        }
        if first {
            self.timers.after(OFTEN, Due::Keep);
        }
        self.keep_soon();
    }

    /// A segment was released.
    pub(super) fn keep_after(&mut self, name: &str, closed: bool) {
        if !closed {
            self.keeping.unclosed.insert(name.to_owned());
        }
        self.keep_soon();
    }

    fn keep_soon(&mut self) {
        if !std::mem::replace(&mut self.keeping.soon, true) {
            self.timers.after(SOON, Due::KeepSoon);
        }
    }

    /// The timer's look.
    pub(super) fn keep_often(&mut self) {
        self.timers.after(OFTEN, Due::Keep);
        self.renew_old_segments();
        self.keeping.unremovable.clear();
        self.keep();
    }

    /// A look between two of the timer's.
    pub(super) fn keep(&mut self) {
        self.keeping.soon = false;
        if !self.keeping.settled || self.homeless || !self.scribe.is_alive() {
            return;
        }
        match self.segments.kept(&self.keeping.unclosed) {
            Ok(kept) => {
                let shipped = self.shipped();
                self.prune(&kept, shipped.as_ref());
                self.pack_next(&kept, shipped.as_ref());
            }
            Err(error) => tracing::warn!(%error, "the audit directory can't be looked through"),
        }
    }

    /// What the shipper has delivered; `None` where nobody ships.
    fn shipped(&self) -> Option<BTreeSet<String>> {
        let list = self.force.policy.audit.shipped.as_deref()?;
        Some(retention::shipped(list).unwrap_or_else(|error| {
            tracing::warn!(%error, "there is no reading what was shipped: nothing is removed or compressed");
            BTreeSet::new()
        }))
    }

    fn prune(&mut self, kept: &[Kept], shipped: Option<&BTreeSet<String>>) {
        if !self.keeping.pruning.is_empty() {
            return;
        }
        let audit = &self.force.policy.audit;
        let Ok((free, whole)) = self.segments.space() else { return };
        let now = Timestamp::now();
        let due = audit.keep.due(now);
        let ended = || kept.iter().filter(|kept| kept.stored.settled).map(|kept| kept.stored.ended);
        let ripe = ended().min().map(|oldest| self.keeping.pace.ripe(oldest, due, Instant::now()));
        let waits = ended().any(|ended| ended < due && ripe.is_some_and(|ripe| ended > ripe));
        if waits && !self.keeping.said_old {
            tracing::warn!(
                "much of the record is older than `days` at once: if the clock is wrong, set it right; a day's worth of \
                 the record goes each hour"
            );
        }
        self.keeping.said_old = waits;
        let terms = Terms { keep: &audit.keep, now, free, whole, shipped, ripe };
        let stored: Vec<_> = kept.iter().map(|kept| kept.stored.clone()).collect();
        let plan = retention::plan(&stored, &terms);
        let held: BTreeMap<String, Held> = plan.held.into_iter().collect();
        for (segment, why) in held.iter().filter(|(name, why)| self.keeping.said.get(*name) != Some(*why)) {
            tracing::warn!(segment, why = why.why(), "a segment should go and stays");
        }
        self.keeping.said = held;
        let stays = |name: &String| self.keeping.unremovable.contains(name);
        let going: Vec<_> =
            plan.going.into_iter().filter(|going| !stays(&going.name)).take(AT_ONCE).collect();
        for going in going {
            let packed = kept.iter().any(|kept| kept.stored.name == going.name && kept.packed);
            match self.segments.open_kept(&going.name, packed) {
                Ok(file) => {
                    let segment = going.name.clone();
                    let prune = ToScribe::Prune { segment, packed, why: going.why.code().to_owned() };
                    self.tell_scribe(prune, vec![Rc::new(file)]);
                    self.keeping.pruning.insert(going.name);
                }
                Err(error) => tracing::warn!(%error, segment = going.name, "a segment can't be removed"),
            }
        }
    }

    /// It is on record, and sealed, that a segment goes; or it can't be, and it stays.
    pub(super) fn pruned(&mut self, segment: &str, failed: Option<&str>) {
        if !self.keeping.pruning.remove(segment) {
            tracing::error!(segment, "the scribe has pruned what nobody asked it to");
            return;
        }
        let removed = match failed {
            Some(why) => Err(io::Error::other(why.to_owned())),
            None => self.segments.remove(segment),
        };
        match removed {
            Ok(()) => tracing::info!(segment, "removed by the policy"),
            Err(error) => {
                tracing::warn!(%error, segment, "a segment can't be removed");
                self.keeping.unremovable.insert(segment.to_owned());
            }
        }
        if self.keeping.pruning.is_empty() {
            self.keep_soon();
        }
    }

    fn pack_next(&mut self, kept: &[Kept], shipped: Option<&BTreeSet<String>>) {
        if !self.force.policy.audit.compress || self.keeping.packing.is_some() {
            return;
        }
        let suits = |kept: &&Kept| {
            let stored = &kept.stored;
            // The scribe's own are small, and the latest of them is read at each start.
            stored.settled && !kept.packed && !stored.seals && stored.bytes >= WORTH
        };
        let free = |kept: &&Kept| {
            let name = &kept.stored.name;
            // Who ships follows the plain file, and would lose the rest of it.
            let unshipped = shipped.is_some_and(|shipped| !shipped.contains(name));
            !unshipped && !self.keeping.unpackable.contains(name) && !self.keeping.pruning.contains(name)
        };
        let Some(next) = kept.iter().filter(suits).find(free) else { return };
        let name = next.stored.name.clone();
        match self.segments.make_packed(&name) {
            Ok((plain, packed)) => {
                let pack = ToScribe::Pack { segment: name.clone() };
                self.tell_scribe(pack, vec![Rc::new(plain), Rc::new(packed)]);
                self.keeping.packing = Some(name);
            }
            Err(error) => {
                tracing::warn!(%error, segment = name, "a segment can't be compressed");
                self.keeping.unpackable.insert(name);
            }
        }
    }

    /// A segment is compressed, checked and on the disk, or it could not be. Its name is made durable by the scribe, so
    /// that nobody waits here for the disk.
    pub(super) fn packed(&mut self, segment: &str, failed: Option<&str>) {
        if self.keeping.packing.as_deref() != Some(segment) {
            tracing::error!(segment, "the scribe has compressed what nobody asked it to");
            return;
        }
        let named = match failed {
            Some(why) => Err(io::Error::other(why.to_owned())),
            None => self.segments.name_packed(segment),
        };
        match named {
            Ok(()) => self.tell_scribe(ToScribe::SyncNames { segment: segment.to_owned() }, Vec::new()),
            Err(error) => self.not_packed(segment, &error),
        }
    }

    /// The compressed segment's name is durable: the plain one is not needed any more.
    pub(super) fn names_synced(&mut self, segment: &str, failed: Option<&str>) {
        if self.keeping.packing.as_deref() != Some(segment) {
            tracing::error!(segment, "the scribe has synced what nobody asked it to");
            return;
        }
        let gone = match failed {
            // Both stay, and the next start compresses again.
            Some(why) => Err(io::Error::other(why.to_owned())),
            None => self.segments.drop_plain(segment),
        };
        match gone {
            Ok(()) => {
                self.keeping.packing = None;
                self.keep_soon();
            }
            Err(error) => self.not_packed(segment, &error),
        }
    }

    fn not_packed(&mut self, segment: &str, error: &io::Error) {
        tracing::warn!(%error, segment, "a segment is not compressed");
        self.keeping.packing = None;
        self.segments.remove_unfinished();
        self.keeping.unpackable.insert(segment.to_owned());
        self.keep_soon();
    }

    /// Writers whose segment is old, and holds more than its beginning, get another.
    fn renew_old_segments(&mut self) {
        let limit = self.force.policy.audit.segment_ms.saturating_mul(1_000);
        for name in self.segments.older_than(limit) {
            if self.scribe.writes(&name) {
                self.give_scribe_segment();
            } else {
                self.renew_segment(&name);
            }
        }
    }
}
