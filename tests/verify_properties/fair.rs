//! What is no damage is not called one, and what is a doubt is told.

use super::sealed::Record;
use super::{Kind, Sample, kinds};
use peergate::audit::chain::Public;
use peergate::audit::verify::{Question, Report, verify};
use std::fs;
use std::path::Path;

fn report(directory: &Path, pins: &[Public]) -> Report {
    let question = Question { pins: pins.to_vec(), threads: 1, ..Question::default() };
    verify(directory, &question, &mut |_, _| {}).unwrap()
}

#[test]
fn segment_that_is_born_behind_the_first_look_is_read_and_not_missing() {
    let sample = Sample::new();
    let whole = sample.verify();
    let name = sample.named("gate-1001").pop().unwrap();
    let (there, away) = (sample.file(&name), sample.path().join("away"));
    // Out of sight of the first look, and in place once the scribe's segments are read.
    let elsewhere = tempfile::tempdir().unwrap();
    fs::rename(&there, elsewhere.path().join("away")).unwrap();
    let report = verify(sample.path(), &sample.question(), &mut |_, _| {
        fs::rename(elsewhere.path().join("away"), &there).ok();
    })
    .unwrap();
    assert_eq!(report, whole);
    assert!(!away.exists());
    // One that stays away is missing.
    fs::remove_file(&there).unwrap();
    assert_eq!(sample.kinds(), [Kind::MissingSegment]);
}

#[test]
fn segment_with_a_name_of_the_future_is_told() {
    let sample = Sample::new();
    let name = sample.named("gate-1001").pop().unwrap();
    let (_, rest) = name.split_once('-').unwrap();
    let rest = rest.replace("-gate-1001-0-", "-gate-1001-1-9");
    // Young ones are not sealed yet.
    for (made, found) in [("20261123T054700.000000Z", &[][..]), ("20261123T070000.000000Z", &[Kind::Unnamed])]
    {
        let forged = sample.file(&format!("{made}-{rest}"));
        fs::copy(sample.file(&name), &forged).unwrap();
        assert_eq!(sample.kinds(), found, "{made}");
        fs::remove_file(forged).unwrap();
    }
}

#[test]
fn compressed_form_beside_a_plain_one_of_the_scribes_has_to_be_the_same() {
    let sample = Sample::new();
    for name in sample.named("scribe") {
        let bytes = fs::read(sample.file(&name)).unwrap();
        let packed = sample.file(&format!("{name}.zst"));
        let pack = |bytes: &[u8]| fs::write(&packed, zstd::encode_all(bytes, 3).unwrap()).unwrap();
        pack(&bytes);
        assert_eq!(sample.kinds(), [], "{name}");
        let mut other = bytes.clone();
        other[bytes.len() / 2] ^= 1;
        for other in [other.as_slice(), &bytes[..bytes.len() - 1], &[bytes.as_slice(), b"x"].concat()] {
            pack(other);
            let report = sample.verify();
            assert_eq!(kinds(&report), [Kind::Changed], "{name}");
            assert_eq!(report.damages[0].file, format!("{name}.zst"));
        }
        fs::remove_file(packed).unwrap();
    }
}

#[test]
fn pinned_key_that_leads_nowhere_is_wrong_beside_a_right_one() {
    let (sample, other) = (Sample::new(), Sample::of(2));
    assert_eq!(report(sample.path(), &[sample.genesis]).damages, []);
    for pins in [[sample.genesis, other.genesis], [other.genesis, sample.genesis]] {
        let report = report(sample.path(), &pins);
        let [damage] = report.damages.as_slice() else { panic!("{:?}", report.damages) };
        assert_eq!(damage.kind, Kind::WrongKey);
        assert!(damage.what.contains(&other.genesis.to_string()), "{}", damage.what);
    }
}

#[test]
fn what_a_later_release_may_write_is_no_damage() {
    let directory = tempfile::tempdir().unwrap();
    let mut record = Record::begin(directory.path(), 1);
    let gate = record.writer("gate-1001-0");
    record.access(&gate, 1, "/things");
    record.line(&gate, "weather", r#""sky":"grey","id":"x""#);
    let outcome = r#""id":"7k3qzd-41-1","mood":"good","mood_len":7,"status":200,"result":"completed","in":0,"out":5,"us":9,"list":[1,2]"#;
    let boot = gate.split('-').nth(1).unwrap();
    record.line(&gate, "outcome", &outcome.replace("7k3qzd", boot));
    record.own_line("weather", r#""sky":"grey""#);
    let named = r#""colour":"red","segment":"20261123T034629.123456Z-7k3qzd-gate-0-0-1.ndjson","at":7,"why":"shrank","more":1"#;
    record.seal();
    assert_eq!(report(directory.path(), &[record.genesis()]).damages, []);
    record.access(&gate, 2, "/things");
    record.own_line("intrusion", named);
    record.seal();
    let found = report(directory.path(), &[record.genesis()]);
    // That is what it says, whatever is said besides.
    assert_eq!(kinds(&found), [Kind::Intrusion]);
    assert_eq!(found.later, 3);
    // What nobody may write stays that: another's kind, a key twice or in another's place, a number that does not count.
    for (kind, rest) in [
        ("grant", r#""id":"7k3qzd-41-1","uid":0,"backend":"x","policy":"9f""#),
        ("outcome", r#""status":200,"id":"7k3qzd-41-1","result":"completed","in":0,"out":5,"us":9"#),
        (
            "outcome",
            r#""id":"7k3qzd-41-1","status":200,"status":403,"result":"completed","in":0,"out":5,"us":9"#,
        ),
        ("Weather", "\"sky\":\"\u{e9}\""),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let mut record = Record::begin(directory.path(), 1);
        let gate = record.writer("gate-1001-0");
        record.line(&gate, kind, &rest.replace("7k3qzd", gate.split('-').nth(1).unwrap()));
        record.seal();
        assert_eq!(
            kinds(&report(directory.path(), &[record.genesis()])),
            [Kind::ForeignLine],
            "{kind} {rest}"
        );
    }
}

#[test]
fn start_behind_a_clean_end_is_no_interruption() {
    let directory = tempfile::tempdir().unwrap();
    let mut record = Record::begin(directory.path(), 1);
    let warden = record.writer("warden");
    record.close(&warden);
    record.seal();
    record.restart();
    let interrupted = |record: &Record| report(directory.path(), &[record.genesis()]).interrupted;
    assert_eq!(interrupted(&record), [0; 0]);
    // One that was left open is.
    record.writer("warden");
    record.restart();
    assert_eq!(interrupted(&record), [2]);
}
