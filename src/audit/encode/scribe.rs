//! The scribe's own records; two of them end in a signature over the rest of their line.

use super::json::Object;
use super::{NAME, Timestamp};
use crate::audit::entry::{Epoch, Intrusion, PENDING_MOST, Pending, Prune, Range, Recover, Seal};

/// Appends `epoch` as a line; `sign` gets the line's bytes before `,"sig":`.
pub(in crate::audit) fn epoch(
    epoch: &Epoch,
    n: u64,
    ts: Timestamp,
    out: &mut Vec<u8>,
    sign: impl FnOnce(&[u8]) -> [u8; 64],
) {
    let mut to = Object::begin(out, "epoch", n, ts);
    to.integer("epoch", epoch.epoch);
    to.hex("key", &epoch.key.0);
    to.hex("first", &epoch.first.0);
    to.hex("next", &epoch.next.0);
    to.maybe_hex("prev", epoch.prev.as_ref().map(|hash| &hash.0));
    to.maybe_hex("again", epoch.again.as_ref().map(|hash| &hash.0));
    to.end_signed(sign);
}

/// Appends `seal` as a line, signed likewise.
pub(in crate::audit) fn seal(
    seal: &Seal,
    n: u64,
    ts: Timestamp,
    out: &mut Vec<u8>,
    sign: impl FnOnce(&[u8]) -> [u8; 64],
) {
    let mut to = Object::begin(out, "seal", n, ts);
    to.integer("epoch", seal.epoch);
    to.integer("i", seal.i);
    to.integer("from", seal.from);
    to.integer("to", seal.to);
    to.hex("hash", &seal.hash.0);
    to.maybe_hex("prev", seal.prev.as_ref().map(|hash| &hash.0));
    to.hex("next", &seal.next.0);
    to.end_signed(sign);
}

pub(super) fn write_range(range: &Range<'_>, mut to: Object<'_>) {
    to.text("segment", range.segment, NAME);
    to.integer("from", range.from);
    to.integer("to", range.to);
    to.integer("lines", range.lines);
    to.hex("hash", &range.hash.0);
    to.end();
}

pub(super) fn write_recover(recover: &Recover<'_>, mut to: Object<'_>) {
    match *recover {
        Recover::Segment { segment, from, to: end, torn, why } => {
            to.text("segment", segment, NAME);
            to.integer("from", from);
            to.integer("to", end);
            to.boolean("torn", torn);
            to.word("why", why.code());
        }
        Recover::Settled(segments) => to.integer("settled", segments),
    }
    to.end();
}

pub(super) fn write_pending(pending: &Pending<'_>, mut to: Object<'_>) {
    to.text("segment", pending.segment, NAME);
    to.requests("ids", pending.ids, PENDING_MOST);
    to.end();
}

pub(super) fn write_prune(prune: &Prune<'_>, mut to: Object<'_>) {
    to.text("segment", prune.segment, NAME);
    to.integer("bytes", prune.bytes);
    to.maybe_hex("hash", prune.hash.as_ref().map(|hash| &hash.0));
    to.word("why", prune.why.code());
    if let Some(ended) = &prune.ended {
        to.integer("epoch", ended.epoch);
        to.integer("seals", ended.seals);
        to.maybe_hex("last", ended.last.as_ref().map(|hash| &hash.0));
    }
    to.end();
}

pub(super) fn write_intrusion(intrusion: &Intrusion<'_>, mut to: Object<'_>) {
    to.text("segment", intrusion.segment, NAME);
    to.integer("at", intrusion.at);
    to.word("why", intrusion.why.code());
    to.end();
}
