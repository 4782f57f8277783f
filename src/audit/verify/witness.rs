//! Heads that were kept elsewhere, and what they prove of the end.

use std::collections::{BTreeMap, BTreeSet};

use super::kind::{Damage, Kind};
use super::told::{Mark, Told};
use crate::audit::chain::{Digest, Head, LogId, Public};

/// What is known of the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Nobody was asked.
    NotProven,
    /// The witnesses have no head of this log.
    Unwitnessed,
    /// Up to this seal nothing is missing. `later` seals came since.
    Proven {
        /// The time of the latest head's seal.
        ts: String,
        /// Seals of this log behind it.
        later: u64,
    },
    /// A head is not in this log: see the damages.
    Denied,
}

/// The heads that are asked for, by epoch and number.
pub(super) struct Wanted(BTreeMap<(u64, u64), Vec<Digest>>);

impl Wanted {
    /// Those of `heads` that are of this log, as far as they say so.
    pub(super) fn of(heads: &[Head], pins: &[Public]) -> Wanted {
        let logs: Vec<LogId> = pins.iter().map(LogId::of).collect();
        let mut wanted: BTreeMap<(u64, u64), Vec<Digest>> = BTreeMap::new();
        for head in heads.iter().filter(|head| head.log.is_none_or(|log| logs.contains(&log))) {
            let hashes = wanted.entry((head.epoch, head.i)).or_default();
            if !hashes.contains(&head.hash) {
                hashes.push(head.hash);
            }
        }
        Wanted(wanted)
    }

    pub(super) fn has(&self, epoch: u64, i: u64) -> bool {
        self.0.contains_key(&(epoch, i))
    }

    /// Holds the heads against the log. `pruned`: the epochs whose segments were pruned by right.
    pub(super) fn judge(&self, told: &[Told], pruned: &BTreeSet<u64>, damages: &mut Vec<Damage>) -> End {
        let epochs: BTreeMap<u64, &Told> = told
            .iter()
            .filter_map(|told| told.epoch.as_ref().map(|(epoch, _)| (epoch.epoch, told)))
            .collect();
        let last =
            epochs.last_key_value().map(|(epoch, told)| (*epoch, told.last.as_ref().map(|mark| mark.i)));
        let asked: BTreeMap<(u64, u64), &Mark> = epochs
            .iter()
            .flat_map(|(epoch, told)| told.asked.iter().map(|mark| ((*epoch, mark.i), mark)))
            .collect();
        let mut proven = None;
        let mut denied = false;
        for ((epoch, i), hashes) in &self.0 {
            let told = epochs.get(epoch);
            let seal = asked.get(&(*epoch, *i)).copied();
            let name = || told.map_or_else(|| format!("epoch {epoch}"), |told| told.file.clone());
            match seal {
                Some(mark) => {
                    for hash in hashes {
                        if *hash == mark.hash {
                            proven = Some((*epoch, mark));
                        } else {
                            denied = true;
                            let what = format!("a witness has seal {i} of epoch {epoch} with another hash");
                            damages.push(Damage {
                                lines: Some((mark.line, mark.line)),
                                ..Damage::of(Kind::OtherHistory, name(), what)
                            });
                        }
                    }
                }
                None if told.is_none() && pruned.contains(epoch) => {}
                None => {
                    denied = true;
                    let beyond = last.is_none_or(|(last, end)| (*epoch, Some(*i)) > (last, end));
                    let what = if beyond {
                        format!(
                            "a witness has seal {i} of epoch {epoch}, which is later than all that is here"
                        )
                    } else {
                        format!("a witness has seal {i} of epoch {epoch}, and it is not here any more")
                    };
                    damages.push(Damage::of(Kind::RolledBack, name(), what));
                }
            }
        }
        match proven {
            _ if denied => End::Denied,
            _ if self.0.is_empty() => End::Unwitnessed,
            None => End::Unwitnessed,
            Some((epoch, mark)) => {
                let same = epochs.get(&epoch).map_or(0, |told| told.seals.saturating_sub(mark.i + 1));
                let after: u64 = epochs.range(epoch + 1..).map(|(_, told)| told.seals).sum();
                End::Proven { ts: mark.ts.clone(), later: same + after }
            }
        }
    }
}
