//! The record as it lies there, and goes on: what is listed may be removed before it is read.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::kind::Damage;
use super::lineage;
use super::survey::{self, Survey};
use super::together::together;
use super::told::{self, Told, What};
use super::{EPOCHS_MAX, shown, unreadable};
use crate::audit::chain::{EPOCHS, Public, is_scribes};
use crate::audit::reader::source::{self, Source};

/// So often it is listed anew where one of the scribe's segments went before it was read.
const TRIES: u32 = 8;

/// What lies there, and what the scribe says of it.
pub(super) struct Look {
    /// `epochs.ndjson`.
    pub(super) listed: io::Result<Vec<u8>>,
    pub(super) survey: Survey,
    /// Of each of the scribe's segments, in the order of their epochs.
    pub(super) told: Vec<Told>,
    /// Those of the scribe's that can't be read.
    pub(super) damages: Vec<Damage>,
    /// Bytes of all segments.
    pub(super) total: u64,
}

/// Lists the record, and reads what the scribe wrote, `threads` at a time; `asked`: whether a witness has a head of this
/// epoch and number. `done` counts bytes.
pub(super) fn look(
    directory: &Path,
    threads: usize,
    asked: &(dyn Fn(u64, u64) -> bool + Sync),
    done: &AtomicU64,
    progress: &mut dyn FnMut(u64, u64),
) -> io::Result<Look> {
    let mut tries = 1;
    loop {
        // First, so that an epoch that begins meanwhile is not missed in what is read later.
        let listed = source::regular(&directory.join(EPOCHS)).and_then(|file| {
            let mut bytes = Vec::new();
            file.take(EPOCHS_MAX).read_to_end(&mut bytes).map(|_| bytes)
        });
        let survey = survey::survey(directory)?;
        let segments = &survey.segments;
        let total = segments.values().map(|forms| forms.plain.or(forms.packed).unwrap_or(0)).sum();
        let own: Vec<&String> = segments.keys().filter(|name| is_scribes(name)).collect();
        let read = |name: &&String| {
            let file = shown(name, segments.get(*name));
            let told =
                Source::open(directory, name, 0).and_then(|source| told::read(name, &file, source, asked));
            let bytes = told.as_ref().map_or(0, |told| told.bytes);
            done.fetch_add(bytes, Ordering::Relaxed);
            told.map_err(|error| (file, error))
        };
        let results = together(threads, &own, read, &mut || progress(done.load(Ordering::Relaxed), total));
        let went = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        if tries < TRIES && results.iter().any(|read| read.as_ref().is_err_and(|(_, error)| went(error))) {
            tries += 1;
            continue;
        }
        let (mut told, mut damages) = (Vec::new(), Vec::new());
        for result in results {
            match result {
                Ok(read) => told.push(read),
                Err((file, error)) => damages.push(unreadable(&file, &error)),
            }
        }
        told.sort_by_key(|told: &Told| {
            (told.epoch.as_ref().map(|(epoch, _)| epoch.epoch), told.segment.clone())
        });
        return Ok(Look { listed, survey, told, damages, total });
    }
}

/// The segments that are gone by now, and a seal says so.
pub(super) fn pruned(directory: &Path, threads: usize, pins: &[Public]) -> io::Result<BTreeSet<String>> {
    let Look { listed, mut told, .. } =
        look(directory, threads, &|_, _| false, &AtomicU64::new(0), &mut |_, _| {})?;
    lineage::walk(listed, pins, &mut told);
    let facts = told.iter().filter(|told| told.epoch.is_some()).flat_map(|told| &told.facts);
    let gone = facts.filter(|fact| !fact.doubtful && matches!(fact.what, What::Prune(_)));
    Ok(gone.map(|fact| fact.segment.to_string()).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::audit::chain::store::{Origin, Slot};
    use crate::audit::chain::{Digest, Handover, Secret};
    use crate::model::time::Timestamp;

    const NAMES: [&str; 3] = ["1", "2", "3"];

    fn name(number: &str) -> String {
        format!("20261123T034628.000000Z-7k3qzd-scribe-{number}.ndjson")
    }

    /// A scribe's segment with one seal, over which a witness is asked for.
    fn sealed() -> Vec<u8> {
        let mut bytes =
            br#"{"v":1,"t":"open","n":0,"ts":"2026-11-23T03:46:29.123456Z","role":"scribe"}"#.to_vec();
        bytes.push(b'\n');
        let secret = |fill| Secret::from_bytes(&mut [fill; 32]);
        let ts = Timestamp::from_micros(1_795_405_589_123_456);
        let slot = Slot { epoch: 0, secret: secret(1), origin: Origin::Genesis };
        let mut signer = Handover::new(slot, secret(2)).begin(secret(3), None, 1, ts, &mut bytes);
        let (to, hash) = (bytes.len() as u64, Digest::of(&bytes));
        signer.seal(to, hash, secret(4), 2, ts, &mut bytes);
        bytes
    }

    /// Looks at the first two, while `meanwhile` happens each time that the first one is read.
    fn looked(meanwhile: impl Fn(&Path) + Sync) -> Look {
        let directory = tempfile::tempdir().unwrap();
        for number in &NAMES[..2] {
            fs::write(directory.path().join(name(number)), sealed()).unwrap();
        }
        let asked = |_, _| {
            meanwhile(directory.path());
            false
        };
        look(directory.path(), 1, &asked, &AtomicU64::new(0), &mut |_, _| {}).unwrap()
    }

    fn read(look: &Look) -> Vec<&str> {
        look.told.iter().map(|told| told.segment.as_str()).collect()
    }

    #[test]
    fn segment_that_went_between_listing_and_reading_is_no_damage() {
        let look = looked(|directory| {
            fs::remove_file(directory.join(name("2"))).ok();
        });
        assert!(look.damages.is_empty(), "{:?}", look.damages);
        assert_eq!(read(&look), [name("1")]);
        assert_eq!(look.survey.segments.len(), 1, "nor is it looked for later");
    }

    #[test]
    fn segment_that_came_in_place_of_one_that_went_is_read() {
        let look = looked(|directory| {
            if fs::remove_file(directory.join(name("2"))).is_ok() {
                fs::write(directory.join(name("3")), sealed()).unwrap();
            }
        });
        assert!(look.damages.is_empty(), "{:?}", look.damages);
        assert_eq!(read(&look), [name("1"), name("3")]);
    }
}
