//! The epochs in their order: from the pinned key through `epochs.ndjson` and the scribe's segments, and whether each
//! goes on where the one before ended.

use std::collections::BTreeMap;
use std::path::Path;

use super::kind::{Damage, Kind};
use super::told::{Told, What, epoch_line};
use crate::audit::chain::{Digest, EPOCHS, Lineage, Public, Stranger};
use crate::audit::entry::Ended;
use crate::audit::segment::SegmentName;

/// What came of it.
pub(super) struct Walked {
    pub(super) lineage: Lineage,
    pub(super) damages: Vec<Damage>,
    /// No key leads anywhere: nothing is to be trusted.
    pub(super) lost: bool,
}

/// Walks the epochs. Of `told`, which comes in the order of epochs, those stay whose epoch is this log's.
pub(super) fn walk(directory: &Path, pins: &[Public], told: &mut Vec<Told>) -> Walked {
    let mut damages = Vec::new();
    let mut lineage = Lineage::new(pins.to_vec());
    let mut lines = BTreeMap::new();
    let mut unpinned = 0;
    let listed = list(directory, told, &mut damages);
    let mut strange = |stranger, file: &str, line: Option<u64>, damages: &mut Vec<Damage>| {
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
        damages.push(Damage {
            lines: line.map(|line| (line, line)),
            ..Damage::of(kind, file, stranger.to_string())
        });
    };
    for (number, line) in &listed {
        match lineage.take_line(line) {
            Ok(epoch) => {
                lines.insert(epoch.epoch, Digest::of(line));
            }
            Err(stranger) => strange(stranger, EPOCHS, Some(*number), &mut damages),
        }
    }
    let last = told.iter().filter_map(|told| told.epoch.as_ref()).map(|(epoch, _)| epoch.epoch).max();
    told.retain(|told| {
        let Some((epoch, line)) = &told.epoch else { return true };
        let Some((_, signed)) = epoch_line(line) else { return true };
        let known = lineage.epoch(epoch.epoch).is_some();
        if let Err(stranger) = lineage.take(*epoch, &signed) {
            strange(stranger, &told.file, Some(2), &mut damages);
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

/// The lines of `epochs.ndjson`, with their numbers. One that a crash has torn stands before the whole one, or at the
/// end.
fn list(directory: &Path, told: &[Told], damages: &mut Vec<Damage>) -> Vec<(u64, Vec<u8>)> {
    let bytes = match std::fs::read(directory.join(EPOCHS)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
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

/// Whether each epoch goes on where the one before ended; each pruned one by what its `prune` says.
pub(super) fn join(lineage: &Lineage, told: &[Told], damages: &mut Vec<Damage>) {
    in_order(told, damages);
    let mut by_epoch: BTreeMap<u64, &Told> = BTreeMap::new();
    let mut pruned: BTreeMap<u64, Ended> = BTreeMap::new();
    for told in told {
        if let Some((epoch, _)) = &told.epoch
            && let Some(other) = by_epoch.insert(epoch.epoch, told)
        {
            let what = format!("it is epoch {} again, as {}", epoch.epoch, other.file);
            damages.push(Damage::of(Kind::Spliced, &*told.file, what));
        }
        for fact in told.facts.iter().filter(|fact| !fact.doubtful) {
            if let What::Prune(prune) = &fact.what
                && let Some(ended) = prune.ended
            {
                pruned.insert(ended.epoch, ended);
            }
        }
    }
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
            (None, Some(ended)) => Some(ended.last.or(epoch.prev)),
            (None, None) => {
                let what =
                    format!("the scribe's segment of epoch {number}, named in `epochs.ndjson`, is gone");
                damages.push(Damage::of(Kind::MissingSegment, format!("epoch {number}"), what));
                None
            }
        };
    }
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
