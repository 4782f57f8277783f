//! Damage of every kind, on a small record that has all there is: several writers, epochs, a rotation, a restart with a
//! torn line, a compressed and a pruned segment. Each is found, by its own verdict.
#![cfg(feature = "cli")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails where its helpers do"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use peergate::audit::chain::{Head, Public, is_scribes};
use peergate::audit::verify::{End, Kind, Question, Report, verify};

#[path = "verify_properties/fair.rs"]
mod fair;
#[path = "verify_properties/journald.rs"]
mod journald;
#[path = "support/sealed.rs"]
mod sealed;
#[path = "support/tampering.rs"]
mod tampering;

use sealed::Record;

struct Sample {
    directory: tempfile::TempDir,
    genesis: Public,
    heads: Vec<Head>,
    /// Bytes that nothing vouches for: behind the last seal, or no part of the record.
    unsealed: BTreeMap<String, u64>,
}

impl Sample {
    fn new() -> Sample {
        Sample::of(1)
    }

    fn of(seed: u8) -> Sample {
        let directory = tempfile::tempdir().unwrap();
        let mut record = Record::begin(directory.path(), seed);
        let mut heads = Vec::new();
        let warden = record.writer("warden");
        let first = record.writer("gate-1001-0");
        record.access(&first, 1, "/things");
        heads.push(record.seal());
        record.access(&first, 2, "/things/2");
        let second = record.writer("gate-1002-0");
        record.access(&second, 3, "/other");
        heads.push(record.seal());
        record.close(&second);
        heads.push(record.seal());
        record.rotate();
        record.access(&first, 4, "/things/4");
        heads.push(record.seal());
        record.close(&first);
        record.tear(&warden);
        record.seal_own();
        heads.push(record.head());
        record.wait(3_600);
        record.restart();
        heads.push(record.head());
        record.wait(3_600);
        let third = record.writer("gate-1001-0");
        record.access(&third, 1, "/again");
        heads.push(record.seal());
        record.pack(&first);
        record.prune(&second);
        heads.push(record.head());
        let sealed_to = |name: &str| fs::metadata(directory.path().join(name)).unwrap().len();
        let mut unsealed = BTreeMap::new();
        // The last seal's own line is covered by the next one; it is signed, all the same.
        unsealed.insert(third.clone(), sealed_to(&third));
        record.access(&third, 2, "/late");
        let genesis = record.genesis();
        Sample { directory, genesis, heads, unsealed }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    fn question(&self) -> Question {
        Question { pins: vec![self.genesis], threads: 1, ..Question::default() }
    }

    fn verify(&self) -> Report {
        verify(self.path(), &self.question(), &mut |_, _| {}).unwrap()
    }

    fn witnessed(&self, heads: &[Head]) -> Report {
        let question = Question { heads: Some(heads.to_vec()), ..self.question() };
        verify(self.path(), &question, &mut |_, _| {}).unwrap()
    }

    fn kinds(&self) -> Vec<Kind> {
        kinds(&self.verify())
    }

    /// Names of all files that are part of the record, sorted.
    fn files(&self) -> Vec<String> {
        let all = fs::read_dir(self.path()).unwrap();
        let mut names: Vec<String> =
            all.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name.contains(".ndjson"));
        names.sort();
        names
    }

    /// The one file whose name has this part.
    fn named(&self, part: &str) -> Vec<String> {
        self.files().into_iter().filter(|name| name.contains(part)).collect()
    }

    fn sealed_to(&self, name: &str) -> usize {
        self.unsealed.get(name).map_or(usize::MAX, |sealed| *sealed as usize)
    }
}

fn kinds(report: &Report) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = report.damages.iter().map(|damage| damage.kind).collect();
    kinds.dedup();
    kinds
}

#[test]
fn sample_is_whole_and_says_what_is_in_it() {
    let sample = Sample::new();
    let report = sample.verify();
    assert_eq!(report.damages, []);
    assert_eq!((report.epochs, report.pruned, report.interrupted.as_slice()), (3, 1, [2].as_slice()));
    assert_eq!(report.unsealed, 2);
    assert_eq!(report.end, Some(End::NotProven));
    let last = sample.heads.last().unwrap();
    assert_eq!(report.trusted, Some((last.epoch, last.i, last.ts.clone())));
    let proven = End::Proven { ts: last.ts.clone(), later: 0 };
    assert_eq!(sample.witnessed(&sample.heads).end, Some(proven));
    assert_eq!(sample.witnessed(&[]).end, Some(End::Unwitnessed));
    for threads in [1, 2, 7] {
        let question = Question { threads, ..sample.question() };
        assert_eq!(verify(sample.path(), &question, &mut |_, _| {}).unwrap(), report);
    }
}

/// A copy of the sample, to be damaged.
fn copied(sample: &Sample, into: &Path) -> Sample {
    for name in fs::read_dir(sample.path()).unwrap().map(|entry| entry.unwrap().file_name()) {
        fs::copy(sample.path().join(&name), into.join(&name)).unwrap();
    }
    let directory = tempfile::TempDir::new_in(into).unwrap();
    for name in fs::read_dir(sample.path()).unwrap().map(|entry| entry.unwrap().file_name()) {
        fs::rename(into.join(&name), directory.path().join(&name)).unwrap();
    }
    let (genesis, heads, unsealed) = (sample.genesis, sample.heads.clone(), sample.unsealed.clone());
    Sample { directory, genesis, heads, unsealed }
}

fn unpacked(bytes: &[u8]) -> Option<Vec<u8>> {
    zstd::decode_all(bytes).ok()
}

#[test]
fn every_flipped_byte_is_found() {
    let sample = Sample::new();
    let outer = tempfile::tempdir().unwrap();
    let flips: usize = std::thread::scope(|scope| {
        let halves = [0, 1].map(|half| {
            let sample = copied(&sample, outer.path());
            scope.spawn(move || flip_all(&sample, half))
        });
        halves.into_iter().map(|half| half.join().unwrap()).sum()
    });
    assert!(flips > 5_000, "{flips}");
}

/// Flips each second byte of all that is sealed.
fn flip_all(sample: &Sample, half: usize) -> usize {
    let mut flips = 0;
    let last = sample.named("scribe").pop();
    for name in sample.files() {
        let path = sample.file(&name);
        let whole = fs::read(&path).unwrap();
        for at in (half..whole.len().min(sample.sealed_to(&name))).step_by(2) {
            let mut bytes = whole.clone();
            bytes[at] ^= [0x01, 0x20, 0x80, 0xff, 0x02, 0x10][at / 2 % 6];
            fs::write(&path, &bytes).unwrap();
            flips += 1;
            let report = sample.verify();
            let same = || name.ends_with(".zst") && unpacked(&bytes) == unpacked(&whole);
            assert!(!report.damages.is_empty() || same(), "{name}: byte {at} of {}", whole.len());
            // It is said where: the file itself is named, or for a line that others hang on the others too.
            let named = report.damages.iter().any(|damage| damage.file == name);
            // Without its LF the last seal is torn: not there yet.
            let torn = Some(&name) == last.as_ref() && at + 1 == whole.len();
            assert!(named || torn || same(), "{name}: byte {at}: {:?}", report.damages);
        }
        fs::write(&path, &whole).unwrap();
    }
    assert_eq!(sample.verify().damages, []);
    flips
}

/// Lines of a file, each with its LF.
fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n').collect()
}

/// Each plain file in turn, with what `damage` makes of it; gives every report.
fn each_file(sample: &Sample, mut damage: impl FnMut(&str, &[u8], &mut dyn FnMut(Vec<u8>) -> Report)) {
    for name in sample.files().into_iter().filter(|name| !name.ends_with(".zst")) {
        let path = sample.file(&name);
        let whole = fs::read(&path).unwrap();
        damage(&name, &whole, &mut |bytes| {
            fs::write(&path, bytes).unwrap();
            sample.verify()
        });
        fs::write(&path, &whole).unwrap();
    }
    assert_eq!(sample.verify().damages, []);
}

#[test]
fn every_line_that_is_deleted_doubled_or_swapped_is_found() {
    let sample = Sample::new();
    let last = sample.named("scribe").pop().unwrap();
    each_file(&sample, |name, whole, verify| {
        let all = lines(whole);
        let sealed = |at: usize| all[..=at].concat().len() <= sample.sealed_to(name);
        for at in 0..all.len() {
            let without = [&all[..at], &all[at + 1..]].concat().concat();
            // What stands at the end of the last segment is a cut at a seal, which only a witness finds.
            let end = at + 1 == all.len() && (name == last || name == "epochs.ndjson");
            assert!(
                !verify(without).damages.is_empty() || !sealed(at) || end,
                "{name}: without line {}",
                at + 1
            );
            let doubled = [&all[..=at], &all[at..]].concat().concat();
            let listed = name == "epochs.ndjson";
            assert!(
                !verify(doubled).damages.is_empty() || !sealed(at) || listed,
                "{name}: line {} twice",
                at + 1
            );
            if at + 1 < all.len() && all[at] != all[at + 1] {
                let mut swapped = all.clone();
                swapped.swap(at, at + 1);
                assert!(
                    !verify(swapped.concat()).damages.is_empty() || !sealed(at + 1),
                    "{name}: {at} swapped"
                );
            }
        }
    });
}

#[test]
fn every_cut_is_found_unless_it_is_at_a_seal_of_the_last_segment() {
    let sample = Sample::new();
    let last = sample.named("scribe").pop().unwrap();
    let mut at_seals = 0;
    each_file(&sample, |name, whole, verify| {
        for at in 0..whole.len().min(sample.sealed_to(name)) {
            // Each byte in the small files, and around each line in the others.
            let near = whole[at.saturating_sub(2)..(at + 2).min(whole.len())].contains(&b'\n');
            if whole.len() > 3_000 && !near && at % 37 != 0 {
                continue;
            }
            let report = verify(whole[..at].to_vec());
            if report.damages.is_empty() {
                // What is cut off is behind a seal, or inside what no seal covers; a witness knows better.
                assert!(name == last || name == "epochs.ndjson", "{name}: cut at {at}");
                let witnessed = sample.witnessed(&sample.heads);
                let denied = kinds(&witnessed) == [Kind::RolledBack];
                assert!(denied || name == "epochs.ndjson", "{name}: cut at {at}: {:?}", witnessed.damages);
                at_seals += 1;
            }
        }
    });
    assert!(at_seals > 0);
}

#[test]
fn every_missing_file_is_found_by_its_name() {
    let sample = Sample::new();
    for name in sample.files() {
        let path = sample.file(&name);
        let whole = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let report = sample.verify();
        let plain = name.strip_suffix(".zst").unwrap_or(&name);
        let found = report
            .damages
            .iter()
            .any(|damage| damage.kind == Kind::MissingSegment && (damage.file == plain || is_scribes(&name)));
        // The last of the scribe's is the end of the log: with it goes all that it said.
        let last = Some(&name) == sample.named("scribe").last();
        assert!(found || last && !report.damages.is_empty(), "{name}: {:?}", report.damages);
        fs::write(&path, &whole).unwrap();
    }
}

#[test]
fn names_and_contents_that_are_swapped_are_found() {
    let sample = Sample::new();
    let names: Vec<String> = sample.files().into_iter().filter(|name| !name.ends_with(".zst")).collect();
    for one in &names {
        for other in names.iter().filter(|other| *other > one) {
            let swap = || {
                let (first, second) =
                    (fs::read(sample.file(one)).unwrap(), fs::read(sample.file(other)).unwrap());
                fs::write(sample.file(one), second).unwrap();
                fs::write(sample.file(other), first).unwrap();
            };
            swap();
            let found = sample.kinds();
            assert!(!found.is_empty(), "{one} and {other}");
            if ![one, other].iter().any(|name| is_scribes(name) || *name == "epochs.ndjson") {
                assert!(found.contains(&Kind::Renamed), "{one} and {other}: {found:?}");
            }
            swap();
        }
    }
}

#[test]
fn record_deleted_says_which_and_a_changed_one_where() {
    let sample = Sample::new();
    let name = sample.named("warden").pop().unwrap();
    let path = sample.file(&name);
    let gate = sample.named("gate-1001").pop().unwrap();
    let whole = fs::read(sample.file(&gate)).unwrap();
    let all = lines(&whole);
    fs::write(sample.file(&gate), [all[0], all[2]].concat()).unwrap();
    let report = sample.verify();
    let damage = report.damages.iter().find(|damage| damage.kind == Kind::Count).unwrap();
    assert_eq!((damage.file.as_str(), damage.lines), (gate.as_str(), Some((1, 2))));
    fs::write(sample.file(&gate), &whole).unwrap();

    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(6).position(|part| part == b"\"pid\":").unwrap();
    bytes[at + 6] = b'8';
    fs::write(&path, bytes).unwrap();
    let report = sample.verify();
    let [damage] = report.damages.as_slice() else { panic!("{:?}", report.damages) };
    assert_eq!((damage.kind, damage.lines), (Kind::Changed, Some((1, 1))));
}

#[test]
fn splice_of_another_log_is_found() {
    let (sample, other) = (Sample::new(), Sample::of(2));
    // A segment more, of the other log.
    for name in other.files().into_iter().filter(|name| name != "epochs.ndjson") {
        fs::copy(other.file(&name), sample.file(&name)).unwrap();
        let found = sample.kinds();
        let kinds = [Kind::Unnamed, Kind::Spliced, Kind::WrongKey, Kind::Twice, Kind::MissingSegment];
        let young = Some(&name) == other.named("gate-1001").last();
        assert!(young || found.iter().any(|kind| kinds.contains(kind)), "{name}: {found:?}");
        fs::remove_file(sample.file(&name)).unwrap();
    }
    // One in another's place.
    for (mine, theirs) in sample.named("scribe").into_iter().zip(other.named("scribe")) {
        let whole = fs::read(sample.file(&mine)).unwrap();
        fs::copy(other.file(&theirs), sample.file(&mine)).unwrap();
        assert!(!sample.kinds().is_empty());
        // The front of one and the back of the other.
        let foreign = fs::read(other.file(&theirs)).unwrap();
        let (front, back) = (lines(&whole), lines(&foreign));
        for at in 1..front.len().min(back.len()) {
            fs::write(sample.file(&mine), [&front[..at], &back[at..]].concat().concat()).unwrap();
            assert!(!sample.kinds().is_empty(), "{mine}: spliced at line {at}");
        }
        fs::write(sample.file(&mine), &whole).unwrap();
    }
    assert_eq!(sample.kinds(), []);
    let question = Question { pins: vec![other.genesis], ..sample.question() };
    let report = verify(sample.path(), &question, &mut |_, _| {}).unwrap();
    assert_eq!(report.damages.first().map(|damage| damage.kind), Some(Kind::WrongKey));
    assert_eq!((report.trusted, report.sealed), (None, 0));
}

#[test]
fn old_copy_is_found_by_a_witness_alone() {
    let directory = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let mut record = Record::begin(directory.path(), 1);
    let gate = record.writer("gate-1001-0");
    record.access(&gate, 1, "/things");
    let early = record.seal();
    for name in fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()) {
        fs::copy(directory.path().join(&name), copy.path().join(&name)).unwrap();
    }
    record.access(&gate, 2, "/things");
    let late = record.seal();
    let ask = |heads: &[&Head]| {
        let heads = Some(heads.iter().map(|head| (*head).clone()).collect());
        let question = Question { pins: vec![record.genesis()], heads, ..Question::default() };
        verify(copy.path(), &question, &mut |_, _| {}).unwrap()
    };
    assert_eq!(kinds(&ask(&[])), []);
    assert!(matches!(ask(&[&early]).end, Some(End::Proven { later: 0, .. })));
    let denied = ask(&[&early, &late]);
    assert_eq!((kinds(&denied), denied.end.as_ref()), (vec![Kind::RolledBack], Some(&End::Denied)));
    assert_eq!(denied.exit_code(), 15);
    // Another seal of the same number: the log was written anew by who had its keys.
    let mut other = early.clone();
    other.hash = late.hash;
    assert_eq!(kinds(&ask(&[&other])), [Kind::OtherHistory]);
    // A head of another log proves and denies nothing.
    let foreign = tempfile::tempdir().unwrap();
    let mut elsewhere = Record::begin(foreign.path(), 2);
    elsewhere.wait(1);
    elsewhere.seal_own();
    elsewhere.seal_own();
    elsewhere.seal_own();
    assert_eq!(ask(&[&elsewhere.head()]).end, Some(End::Unwitnessed));
}

#[test]
fn any_edits_are_found_or_change_nothing_that_is_sealed() {
    use proptest::collection::vec;
    use proptest::prelude::{ProptestConfig, any, proptest};
    let directory = tempfile::tempdir().unwrap();
    let stage = tampering::Stage::new(directory.path());
    proptest!(ProptestConfig::with_cases(512), |(edits in vec(any::<[u8; 6]>(), 1..4))| {
        stage.tamper(&edits.concat());
    });
    proptest!(ProptestConfig::with_cases(512), |(line in vec(any::<u8>(), 0..300))| {
        tampering::check_line(&line);
    });
}
