//! What another verifier accepted: CVE-2023-31437, CVE-2023-31438 and CVE-2023-31439.

use super::{Kind, Sample, lines};
use std::fs;

#[test]
fn entries_sealed_with_another_epochs_key_are_not_accepted() {
    let sample = Sample::new();
    // The seals of one epoch's segment under the epoch record of another, and the other way round.
    let names = sample.named("scribe");
    let files: Vec<Vec<u8>> = names.iter().map(|name| fs::read(sample.file(name)).unwrap()).collect();
    for (mine, theirs) in [(0, 1), (1, 0), (1, 2), (2, 1)] {
        let (own, other) = (lines(&files[mine]), lines(&files[theirs]));
        let mixed = [&own[..2], &other[2..]].concat().concat();
        fs::write(sample.file(&names[mine]), mixed).unwrap();
        let found = sample.kinds();
        assert!(found.contains(&Kind::Spliced) || found.contains(&Kind::Signature), "{found:?}");
        fs::write(sample.file(&names[mine]), &files[mine]).unwrap();
    }
}

#[test]
fn epoch_that_is_emptied_is_not_accepted() {
    let sample = Sample::new();
    let names = sample.named("scribe");
    for name in &names[..names.len() - 1] {
        let whole = fs::read(sample.file(name)).unwrap();
        // Down to its beginning, down to nothing, and gone with its line in the list.
        for left in [lines(&whole)[..2].concat(), Vec::new()] {
            fs::write(sample.file(name), left).unwrap();
            let found = sample.kinds();
            assert!(found.contains(&Kind::Cut) || found.contains(&Kind::MissingSegment), "{found:?}");
        }
        let list = fs::read(sample.file("epochs.ndjson")).unwrap();
        let number = names.iter().position(|other| other == name).unwrap();
        let mut listed = lines(&list);
        listed.remove(number);
        fs::remove_file(sample.file(name)).unwrap();
        fs::write(sample.file("epochs.ndjson"), listed.concat()).unwrap();
        assert!(!sample.kinds().is_empty());
        fs::write(sample.file("epochs.ndjson"), &list).unwrap();
        fs::write(sample.file(name), &whole).unwrap();
    }
    assert_eq!(sample.kinds(), []);
}

#[test]
fn file_and_lines_that_no_seal_covers_are_no_part_of_it() {
    let sample = Sample::new();
    let gate = sample.named("gate-1001").pop().unwrap();
    let forged = gate.replace("-gate-1001-0-", "-gate-1001-1-9");
    let whole = sample.verify();
    // A copy of a true segment under a name of its own, and one from before.
    fs::copy(sample.file(&gate), sample.file(&forged)).unwrap();
    let report = sample.verify();
    assert_eq!((report.sealed, report.unsealed), (whole.sealed, whole.unsealed + 5));
    fs::remove_file(sample.file(&forged)).unwrap();
    let early = sample.named("gate-1001").remove(0).replace("-gate-1001-0-", "-gate-1001-1-9");
    fs::copy(sample.file(&gate), sample.file(early.trim_end_matches(".zst"))).unwrap();
    let found = sample.kinds();
    assert!(found.contains(&Kind::Unnamed), "{found:?}");
    fs::remove_file(sample.file(early.trim_end_matches(".zst"))).unwrap();
    // Lines behind the close, and behind the last seal of an epoch that is over.
    for name in [sample.named("warden").remove(0), sample.named("scribe").remove(0)] {
        let before = fs::read(sample.file(&name)).unwrap();
        let more = [before.as_slice(), lines(&before)[0]].concat();
        fs::write(sample.file(&name), more).unwrap();
        let found = sample.kinds();
        assert!(found.contains(&Kind::Extra), "{name}: {found:?}");
        fs::write(sample.file(&name), before).unwrap();
    }
}
