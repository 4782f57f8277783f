//! The epochs in their order: from the pinned key through `epochs.ndjson` and the scribe's segments, and whether each
//! goes on where the one before ended.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::Report;
use super::kind::{Damage, Kind};
use super::told::{Told, What, epoch_line};
use crate::audit::chain::{Digest, EPOCHS, Lineage, Public, Stranger};
use crate::audit::entry::{Ended, Epoch};
use crate::audit::segment::SegmentName;

/// What came of it.
pub(super) struct Walked {
    pub(super) lineage: Lineage,
    pub(super) damages: Vec<Damage>,
    /// No key leads anywhere: nothing is to be trusted.
    pub(super) lost: bool,
}

/// Walks the epochs; `listed` is `epochs.ndjson`. Of `told`, which comes in the order of epochs, those stay whose epoch is this log's.
pub(super) fn walk(listed: io::Result<Vec<u8>>, pins: &[Public], told: &mut Vec<Told>) -> Walked {
    let mut damages = Vec::new();
    let mut lineage = Lineage::new(pins.to_vec());
    let mut lines = BTreeMap::new();
    let mut unpinned = 0;
    let mut again = None;
    let listed = list(listed, told, &mut damages);
    let mut strange = |stranger, bytes: &[u8], file: &str, line: u64, damages: &mut Vec<Damage>| {
        let said = epoch_line(bytes).map(|(epoch, _)| epoch);
        if let (Stranger::Again, Some(epoch)) = (stranger, said) {
            // Once, though it stands in its segment too.
            if again.replace(epoch.epoch) != Some(epoch.epoch) {
                damages.push(new_genesis(&epoch, file).in_line(line));
            }
            return;
        }
        let behind = said.zip(again).is_some_and(|(epoch, again)| epoch.epoch > again);
        if behind && matches!(stranger, Stranger::Unpinned | Stranger::Key | Stranger::Index(_)) {
            // What follows an unpinned genesis is as unknown as that.
            return;
        }
        let kind = match stranger {
            Stranger::Unpinned => {
                unpinned += 1;
                if unpinned > 1 {
                    return;
                }
                Kind::WrongKey
            }
            Stranger::Again => Kind::WrongKey,
            Stranger::Foreign => Kind::ForeignLine,
            Stranger::Signature => Kind::Signature,
            Stranger::Key => Kind::Spliced,
            Stranger::Index(_) => Kind::MissingSegment,
            Stranger::Twice => Kind::Twice,
        };
        damages.push(Damage::of(kind, file, stranger.to_string()).in_line(line));
    };
    for (number, line) in &listed {
        match lineage.take_line(line) {
            Ok(epoch) => {
                lines.insert(epoch.epoch, Digest::of(line));
            }
            Err(stranger) => strange(stranger, line, EPOCHS, *number, &mut damages),
        }
    }
    let last = told.iter().filter_map(|told| told.epoch.as_ref()).map(|(epoch, _)| epoch.epoch).max();
    told.retain(|told| {
        let Some((epoch, line)) = &told.epoch else { return true };
        let Some((_, signed)) = epoch_line(line) else { return true };
        let known = lineage.epoch(epoch.epoch).is_some();
        if let Err(stranger) = lineage.take(*epoch, &signed) {
            strange(stranger, line, &told.file, 2, &mut damages);
            return false;
        }
        match lines.get(&epoch.epoch) {
            Some(listed) if *listed != Digest::of(line) => {
                let what = "its epoch's line is another than in `epochs.ndjson`";
                damages.push(Damage { lines: Some((2, 2)), ..Damage::of(Kind::Twice, &*told.file, what) });
            }
            // A crash may have kept the last one out.
            None if !known && last != Some(epoch.epoch) => {
                let what = format!("epoch {} is not in it", epoch.epoch);
                damages.push(Damage::of(Kind::Cut, EPOCHS, what));
            }
            _ => {}
        }
        true
    });
    let lost = lineage.epochs().next().is_none();
    Walked { lineage, damages, lost }
}

/// Pinned keys that lead to nothing. Each has to: but for those of a record before this one, where this one begins with
/// a new genesis in another directory.
pub(super) fn unused(walked: &Walked, pins: &[Public], report: &mut Report) {
    let epochs: Vec<&Epoch> = walked.lineage.epochs().collect();
    let begins_anew = epochs.first().is_some_and(|epoch| epoch.again.is_some());
    for pin in pins.iter().filter(|pin| !walked.lost && epochs.iter().all(|epoch| epoch.key != **pin)) {
        if begins_anew {
            report.elsewhere.push(*pin);
        } else {
            let what = format!("the pinned key {pin} leads to no epoch of this log");
            report.damages.push(Damage::of(Kind::WrongKey, EPOCHS, what));
        }
    }
}

/// Another chain, which no pinned key leads to: told with what is needed to find the one before.
fn new_genesis(epoch: &Epoch, file: &str) -> Damage {
    let before = match epoch.again {
        Some(Digest(zeros)) if zeros == [0; 32] => "no seal before it was known".to_owned(),
        Some(hash) => format!("the last seal known before it has the hash {hash}"),
        None => "nothing is said of what was before it".to_owned(),
    };
    let what = format!(
        "epoch {} begins another chain (`again`) with the genesis {}, which is not pinned; {before}. The record of the \
         pinned key ended there or lies elsewhere; nothing here is trusted before both keys are pinned",
        epoch.epoch, epoch.key
    );
    Damage::of(Kind::NewGenesis, file, what)
}

/// The lines of `epochs.ndjson`, with their numbers. One that a crash has torn stands before the whole one, or at the
/// end.
fn list(listed: io::Result<Vec<u8>>, told: &[Told], damages: &mut Vec<Damage>) -> Vec<(u64, Vec<u8>)> {
    let bytes = match listed {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if told.iter().any(|told| told.epoch.is_some()) {
                damages.push(Damage::of(Kind::MissingSegment, EPOCHS, "it is gone"));
            }
            return Vec::new();
        }
        Err(error) => {
            damages.push(Damage::of(Kind::Unreadable, EPOCHS, error.to_string()));
            return Vec::new();
        }
    };
    let mut lines: Vec<(u64, Vec<u8>)> = Vec::new();
    let pieces: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    for (at, piece) in pieces.iter().enumerate() {
        let number = at as u64 + 1;
        let is_last = at + 1 == pieces.len();
        if is_last && piece.is_empty() {
            break;
        }
        let whole = epoch_line(piece).is_some() && !is_last;
        let next = pieces.get(at + 1).copied().unwrap_or_default();
        let torn = if is_last {
            told.iter().filter_map(|told| told.epoch.as_ref()).any(|(_, line)| line.starts_with(piece))
        } else {
            next.len() > piece.len() && next.starts_with(piece) && !piece.is_empty()
        };
        if whole || !torn {
            lines.push((number, piece.to_vec()));
        }
    }
    lines
}

/// Whether each epoch goes on where the one before ended; each pruned one by what its `prune` says. The epochs whose
/// segments were removed by right.
pub(super) fn join(lineage: &Lineage, told: &[Told], damages: &mut Vec<Damage>) -> BTreeSet<u64> {
    in_order(told, damages);
    let mut by_epoch: BTreeMap<u64, &Told> = BTreeMap::new();
    for told in told {
        if let Some((epoch, _)) = &told.epoch
            && let Some(other) = by_epoch.insert(epoch.epoch, told)
        {
            let what = format!("it is epoch {} again, as {}", epoch.epoch, other.file);
            damages.push(Damage::of(Kind::Spliced, &*told.file, what));
        }
    }
    let pruned = pruned(lineage, told);
    // The first epoch that is known begins with nothing before it, or with what was pruned with `epochs.ndjson` kept.
    let mut last: Option<Option<Digest>> = None;
    for epoch in lineage.epochs() {
        let number = epoch.epoch;
        if let Some(last) = last
            && last != epoch.prev
        {
            let (file, what) = match by_epoch.get(&number.saturating_sub(1)) {
                Some(before) => (
                    before.file.clone(),
                    format!(
                        "epoch {number} goes on from another seal than its last one: seals at its end are gone"
                    ),
                ),
                None => {
                    (EPOCHS.to_owned(), format!("epoch {number} goes on from another seal than was pruned"))
                }
            };
            let whole = by_epoch.get(&number.saturating_sub(1)).is_none_or(|told| told.chained);
            // A break inside was told already.
            if whole {
                damages.push(Damage::of(
                    if file == EPOCHS { Kind::Contradiction } else { Kind::Cut },
                    file,
                    what,
                ));
            }
        }
        if number == 0 && epoch.prev.is_some() {
            damages.push(Damage::of(Kind::Contradiction, EPOCHS, "the first epoch goes on from a seal"));
        }
        last = match (by_epoch.get(&number), pruned.get(&number)) {
            (Some(told), _) => Some(told.prev),
            (None, Some(Some(ended))) => Some(ended.last.or(epoch.prev)),
            (None, Some(None)) => None,
            (None, None) => {
                let what =
                    format!("the scribe's segment of epoch {number}, named in `epochs.ndjson`, is gone");
                damages.push(Damage::of(Kind::MissingSegment, format!("epoch {number}"), what));
                None
            }
        };
    }
    pruned.into_keys().collect()
}

/// The epochs whose segments were removed, and what each came to, where that is known still. The scribe's go in their
/// order: a `prune` of one speaks for each before it as well, whose own may have gone with the segment that it stood in.
fn pruned(lineage: &Lineage, told: &[Told]) -> BTreeMap<u64, Option<Ended>> {
    let mut pruned: BTreeMap<u64, Option<Ended>> = BTreeMap::new();
    for fact in told.iter().flat_map(|told| &told.facts).filter(|fact| !fact.doubtful) {
        if let What::Prune(prune) = &fact.what
            && let Some(ended) = prune.ended
        {
            pruned.insert(ended.epoch, Some(ended));
        }
    }
    let latest = pruned.keys().next_back().copied().unwrap_or(0);
    for epoch in lineage.epochs().map(|epoch| epoch.epoch).take_while(|epoch| *epoch < latest) {
        pruned.entry(epoch).or_insert(None);
    }
    pruned
}

/// Within a start the scribe's segments are numbered in the order of their epochs; seals say nothing of names.
fn in_order(told: &[Told], damages: &mut Vec<Damage>) {
    let mut latest: BTreeMap<&str, u64> = BTreeMap::new();
    for told in told.iter().filter(|told| told.epoch.is_some()) {
        let Some(name) = SegmentName::parse(&told.segment) else { continue };
        let number = name.writer.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(0);
        let boot = told.segment.split('-').nth(1).unwrap_or_default();
        if latest.insert(boot, number).is_some_and(|before| before > number) {
            let what = "its epoch comes later than that of a segment with a higher number";
            damages.push(Damage::of(Kind::Renamed, &*told.file, what));
        }
    }
}
