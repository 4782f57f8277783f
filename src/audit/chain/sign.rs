//! The writing side: an epoch begins with the key from the store, then each seal is signed by a key that is used
//! once. A secret is zeroized where it was last needed.

use std::fmt;

use super::keys::{Digest, Domain, Public, Secret};
use super::store::{Origin, Slot};
use crate::audit::encode;
use crate::audit::entry::{Epoch, Seal};
use crate::model::time::Timestamp;

/// An epoch that is about to begin: its own key, and the next epoch's, which has to be in the store and durable
/// before the epoch is on record.
#[derive(Debug)]
pub struct Handover {
    slot: Slot,
    next: Slot,
}

impl Handover {
    /// From the key in the store, and another for the next epoch.
    pub fn new(slot: Slot, next: Secret) -> Handover {
        let origin = Origin::Before(slot.secret.public());
        let next = Slot { epoch: slot.epoch + 1, secret: next, origin };
        Handover { slot, next }
    }

    /// Goes on where a crash came between: the next epoch's key is in the store already, and this epoch's record
    /// is not on record.
    ///
    /// `None` where `next` does not follow `slot`.
    pub fn resume(slot: Slot, next: Slot) -> Option<Handover> {
        let follows = slot.epoch.checked_add(1) == Some(next.epoch)
            && next.origin == Origin::Before(slot.secret.public());
        follows.then_some(Handover { slot, next })
    }

    /// What has to be in the free slot before [`Handover::begin`].
    pub fn next(&self) -> &Slot {
        &self.next
    }

    /// Which epoch begins.
    pub fn epoch(&self) -> u64 {
        self.slot.epoch
    }

    /// Its public key.
    pub fn key(&self) -> Public {
        self.slot.secret.public()
    }

    /// Appends the epoch's record to `out`, as record `n` of the scribe's segment (1: it follows the `open`), and
    /// destroys the epoch's key in memory; the slot in the store is for the caller to overwrite once the record is
    /// durable. `first` is the key of the first seal, `prev` the hash of the latest seal's line on record.
    pub fn begin(
        self,
        first: Secret,
        prev: Option<Digest>,
        n: u64,
        ts: Timestamp,
        out: &mut Vec<u8>,
    ) -> Signer {
        let Handover { slot, next } = self;
        let record = Epoch {
            epoch: slot.epoch,
            key: slot.secret.public(),
            first: first.public(),
            next: next.secret.public(),
            prev,
            again: match slot.origin {
                Origin::Again(known) => Some(known.unwrap_or(Digest([0; 32]))),
                Origin::Before(_) | Origin::Genesis => None,
            },
        };
        encode::epoch(&record, n, ts, out, |line| slot.secret.sign(Domain::Epoch, line));
        Signer { epoch: slot.epoch, i: 0, key: first, prev, to: 0 }
    }
}

/// Seals the scribe's segment of one epoch.
pub struct Signer {
    epoch: u64,
    i: u64,
    key: Secret,
    prev: Option<Digest>,
    to: u64,
}

/// A seal that was made, as its line says: what a head tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed {
    /// Its epoch.
    pub epoch: u64,
    /// Its number in it.
    pub i: u64,
    /// Its time.
    pub ts: Timestamp,
    /// Hash of its line, without LF.
    pub hash: Digest,
    /// The key of the next.
    pub next: Public,
}

impl Signer {
    /// Appends the next seal's line to `out`, as record `n`. It covers the bytes of the segment up to `to`, where
    /// this line will begin; `hash` is SHA-256 of those since the seal before (its line included). The key that
    /// signed it is gone, and `next` signs the one that follows: a line that could not be written ends the epoch.
    pub fn seal(
        &mut self,
        to: u64,
        hash: Digest,
        next: Secret,
        n: u64,
        ts: Timestamp,
        out: &mut Vec<u8>,
    ) -> Sealed {
        let public = next.public();
        let (epoch, i) = (self.epoch, self.i);
        let record = Seal { epoch, i, from: self.to, to, hash, prev: self.prev, next: public };
        let begin = out.len();
        encode::seal(&record, n, ts, out, |line| self.key.sign(Domain::Seal, line));
        let line = out.get(begin..).unwrap_or_default();
        let hash = Digest::of(line.strip_suffix(b"\n").unwrap_or(line));
        // The old secret is zeroized as it is dropped here.
        self.key = next;
        self.i += 1;
        self.prev = Some(hash);
        self.to = to;
        Sealed { epoch, i, ts, hash, next: public }
    }

    /// Hash of the latest seal's line, this epoch's or an earlier one's: `prev` of the next epoch.
    pub fn last(&self) -> Option<Digest> {
        self.prev
    }

    /// How many seals this epoch has.
    pub fn seals(&self) -> u64 {
        self.i
    }

    /// Which epoch it is.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Where the next seal's span begins.
    pub fn sealed_to(&self) -> u64 {
        self.to
    }
}

impl fmt::Debug for Signer {
    /// Says nothing of its key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("epoch", &self.epoch).field("i", &self.i).finish_non_exhaustive()
    }
}
