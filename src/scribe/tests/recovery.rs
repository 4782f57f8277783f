//! What a scribe finds that was there before it.

use super::stage::{A, B, LATER, LATEST, OWN, Stage, append, boot, line, lines, released};
use crate::audit::inspect::Role;
use crate::scribe::recover::Recovery;
use crate::scribe::round::Round;
use crate::wire::message::{Damage, Followed as Source, ToScribe};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;

fn allowed(n: u64) -> String {
    line(n).replace("deny", "allow")
}

/// A gate's segment of which some is sealed and some is not.
fn torn() -> Stage {
    let mut stage = Stage::new();
    let mut writer = stage.follow(A);
    writer.write_all((lines(2) + &allowed(2) + &allowed(3)).as_bytes()).unwrap();
    stage.settle();
    let outcome = line(4).replace("decision\",\"n", "outcome\",\"n").replace("41-4", "41-2");
    let outcome = outcome.replace(r#""decision":"deny""#, r#""status":200,"result":"completed""#);
    writer.write_all((outcome + "{\"v\":1,\"t\":").as_bytes()).unwrap();
    stage
}

#[test]
fn next_start_reads_on_from_the_last_sealed_byte_and_keeps_what_is_torn() {
    let sealed = (lines(2) + &allowed(2) + &allowed(3)).len() as u64;
    let stage = torn();
    let whole = std::fs::metadata(stage.path(A)).unwrap().len();
    let stage = stage.again(LATER, Damage::Refuses).unwrap();
    let recovered = stage.said("recover").into_iter().find(|record| record["segment"] == A).unwrap();
    assert_eq!((&recovered["from"], &recovered["to"]), (&sealed.into(), &whole.into()));
    assert_eq!((&recovered["torn"], &recovered["why"]), (&true.into(), &"restart".into()));
    let own = std::fs::metadata(stage.path(OWN)).unwrap().len();
    assert_eq!(stage.closed(), [(OWN.to_owned(), own, false), (A.to_owned(), whole, true)]);
    let outcomes = stage.said("outcome");
    assert_eq!(outcomes.len(), 1, "the other one had its outcome: {outcomes:?}");
    assert_eq!(
        (&outcomes[0]["id"], &outcomes[0]["result"]),
        (&"7k3qzd-41-3".into(), &"killed-by-restart".into())
    );
    let settled = stage.said("recover").into_iter().filter_map(|record| record["settled"].as_u64());
    assert_eq!(settled.collect::<Vec<_>>(), [0, 2], "at each start");
}

#[test]
fn what_a_dead_scribe_left_behind_its_last_seal_is_in_a_range_from_then_on() {
    let stage = torn();
    let seal = |text: &str| text.rfind("{\"v\":1,\"t\":\"seal\"").unwrap() as u64;
    let text = std::fs::read_to_string(stage.path(OWN)).unwrap();
    // What it had written and not sealed; without a seal behind it, it says nothing.
    let n = text.lines().count();
    let unsealed = format!(
        "{{\"v\":1,\"t\":\"recover\",\"n\":{n},\"ts\":\"2001-11-23T03:46:29.123456Z\",\"settled\":7}}\n"
    );
    let left = text.clone() + &unsealed;
    std::fs::write(stage.path(OWN), &left).unwrap();
    let directory = stage.dies();
    // One that dies before it has settled leaves the rest to the next one.
    let half = Stage::in_directory_until(directory, LATER, Recovery::Read);
    let stage = half.again(LATEST, Damage::Refuses).unwrap();
    let of_own = |kind: &str| -> Vec<_> {
        stage.said(kind).into_iter().filter(|record| record["segment"] == OWN).collect()
    };
    let ranges = of_own("range");
    assert_eq!(ranges.len(), 1, "{ranges:?}");
    let (from, to) = (seal(&text), left.len() as u64);
    assert_eq!(
        (&ranges[0]["from"], &ranges[0]["to"], &ranges[0]["lines"]),
        (&from.into(), &to.into(), &2.into())
    );
    let hash = crate::audit::chain::Digest::of(&left.as_bytes()[usize::try_from(from).unwrap()..]);
    assert_eq!(ranges[0]["hash"], hash.to_string());
    let recovered = of_own("recover");
    assert_eq!(
        (&recovered[0]["from"], &recovered[0]["to"], &recovered[0]["torn"]),
        (&from.into(), &to.into(), &false.into())
    );
    assert!(stage.closed().contains(&(OWN.to_owned(), to, false)));
}

#[test]
fn segment_that_was_gone_and_accepted_is_closed_and_refuses_no_later_start() {
    let stage = torn();
    std::fs::remove_file(stage.path(A)).unwrap();
    let directory = stage.dies();
    let (mut scribe, _warden, answers, begun) = Stage::scribe(&directory, LATER, Damage::IsRecorded, None);
    begun.unwrap();
    // It dies before it has settled.
    while scribe.recovery == Recovery::Read {
        scribe.round().unwrap();
    }
    while !scribe.syncer.is_idle() || scribe.wish {
        scribe.round().unwrap();
    }
    drop(answers);
    drop(scribe);
    let stage = Stage::in_directory(directory, LATEST, Damage::Refuses, None).unwrap();
    assert_eq!(stage.said("intrusion").len(), 1);
    let sealed = (lines(2) + &allowed(2) + &allowed(3)).len() as u64;
    assert!(stage.closed().contains(&(A.to_owned(), sealed, false)), "{:?}", stage.closed());
}

#[test]
fn what_was_settled_is_not_looked_at_again() {
    let stage = torn().again(LATER, Damage::Refuses).unwrap();
    // Nothing before the last `settled` matters for a start.
    std::fs::remove_file(stage.path(OWN)).unwrap();
    OpenOptions::new().write(true).open(stage.path(A)).unwrap().set_len(10).unwrap();
    let stage = stage.again(LATEST, Damage::Refuses).unwrap();
    assert!(stage.path(LATEST).exists());
}

#[test]
fn scribe_that_died_before_it_settled_is_made_good() {
    let stage = torn();
    // It leaves a segment with an epoch and nothing behind, the next one's key in the store.
    let directory = stage.dies();
    let half = Stage::in_directory_until(directory, LATER, Recovery::Read);
    let stage = half.again(LATEST, Damage::Refuses).unwrap();
    let closed: Vec<String> = stage.closed().into_iter().map(|(segment, ..)| segment).collect();
    assert_eq!(closed, [OWN, A, LATER]);
}

#[test]
fn every_damage_to_what_was_sealed_refuses_and_is_recorded_where_it_is_accepted() {
    type Harm = fn(&Stage);
    let write = |stage: &Stage, name: &str, at: u64| {
        OpenOptions::new().write(true).open(stage.path(name)).unwrap().write_all_at(b"~", at).unwrap();
    };
    let changed: Harm = |stage| {
        let file = OpenOptions::new().write(true).open(stage.path(A)).unwrap();
        file.write_all_at(b"~", 50).unwrap();
    };
    let cut: Harm = |stage| OpenOptions::new().write(true).open(stage.path(A)).unwrap().set_len(100).unwrap();
    let gone: Harm = |stage| std::fs::remove_file(stage.path(A)).unwrap();
    for (harm, at, why) in [(changed, 0, "changed"), (cut, 100, "shrank"), (gone, 648, "gone")] {
        let stage = torn();
        harm(&stage);
        assert!(stage.again(LATER, Damage::Refuses).is_err(), "{why}");
        let stage = torn();
        harm(&stage);
        let stage = stage.again(LATER, Damage::IsRecorded).unwrap();
        let record = stage.said("intrusion").pop().unwrap();
        assert_eq!((&record["segment"], &record["why"]), (&A.into(), &why.into()));
        if why != "gone" {
            assert_eq!(record["at"], at, "{why}");
        }
    }
    let stage = torn();
    write(&stage, OWN, 300);
    assert!(stage.again(LATER, Damage::Refuses).is_err(), "its own lines");
    let stage = torn();
    write(&stage, OWN, 300);
    let stage = stage.again(LATER, Damage::IsRecorded).unwrap();
    let text = std::fs::read_to_string(stage.path(LATER)).unwrap();
    let told = text.lines().find(|line| line.contains("\"intrusion\"")).unwrap();
    assert!(told.contains(OWN) && told.contains("changed"), "{told}");
}

#[test]
fn damage_is_told_in_words_for_people() {
    let stage = torn();
    OpenOptions::new().write(true).open(stage.path(A)).unwrap().write_all_at(b"~", 50).unwrap();
    let directory = stage.dies();
    let told = Stage::damage(directory, LATER);
    assert!(told.starts_with(&format!("{A} at byte 0: its bytes are not those that were sealed")), "{told}");
}

#[test]
fn line_behind_the_last_seal_that_no_writer_writes_is_damage() {
    let mut stage = Stage::new();
    let mut writer = stage.follow(A);
    writer.write_all(lines(2).as_bytes()).unwrap();
    stage.settle();
    writer.write_all(b"nonsense\n").unwrap();
    assert!(stage.again(LATER, Damage::Refuses).is_err());
}

#[test]
fn segment_that_no_range_was_made_of_is_found() {
    let stage = Stage::new();
    append(&stage.path(B)).write_all(lines(3).as_bytes()).unwrap();
    let stage = stage.again(LATER, Damage::Refuses).unwrap();
    assert!(stage.closed().contains(&(B.to_owned(), lines(3).len() as u64, false)));
}

#[test]
fn scribe_of_the_same_start_goes_on_where_the_last_one_was() {
    let mut stage = Stage::new();
    let mut writer = stage.follow(A);
    writer.write_all((lines(2) + &allowed(2)).as_bytes()).unwrap();
    stage.settle();
    let own = "20261123T034629.200000Z-7k3qzd-scribe-9.ndjson";
    let mut stage = Stage::following(stage.dies(), own, &[A]);
    writer.write_all(line(3).as_bytes()).unwrap();
    stage.settle();
    stage.says(&ToScribe::GateGone { gate: 1 });
    stage.finished(A);
    let whole = (lines(2) + &allowed(2) + &line(3)).len() as u64;
    assert!(stage.closed().contains(&(A.to_owned(), whole, false)));
    let outcomes = stage.said("outcome");
    assert_eq!((&outcomes[0]["id"], &outcomes[0]["result"]), (&"7k3qzd-41-2".into(), &"gate-died".into()));
    assert_eq!(outcomes.len(), 1);
    assert!(stage.told().contains(&released(A, whole)));
}

#[test]
fn key_is_erased_once_its_epoch_is_on_record_and_an_old_copy_refuses() {
    let stage = Stage::new();
    let copy = std::fs::read(stage.path("seal.key")).unwrap();
    let stage = stage.again(LATER, Damage::Refuses).unwrap();
    let now = std::fs::read(stage.path("seal.key")).unwrap();
    let keys = |bytes: &[u8]| bytes.chunks(4096).filter(|slot| slot.iter().any(|byte| *byte != 0)).count();
    assert_eq!((keys(&copy), keys(&now)), (1, 1), "only the next epoch's");
    std::fs::write(stage.path("seal.key"), copy).unwrap();
    assert!(stage.again(LATEST, Damage::Refuses).is_err());
}

#[test]
fn segment_of_its_own_that_has_its_size_is_followed_by_another_epoch() {
    let mut stage = Stage::sized(1 << 10);
    let mut writer = stage.follow(A);
    writer.write_all((lines(2) + &allowed(2)).as_bytes()).unwrap();
    stage.settle();
    assert!(stage.scribe.asked.is_some(), "it asked for another as soon as it was there");
    stage.goes_on_in("20261123T034629.200000Z-7k3qzd-scribe-9.ndjson");
    writer.write_all(line(3).as_bytes()).unwrap();
    stage.settle();
    let own = std::fs::metadata(stage.path(OWN)).unwrap().len();
    assert!(stage.closed().contains(&(OWN.to_owned(), own, false)));
    assert_eq!(stage.said("epoch").len(), 2);
    let carried: Vec<_> =
        stage.said("recover").into_iter().filter(|record| record["why"] == "carried").collect();
    assert_eq!(carried.len(), 1);
    // The segment before is not needed for the next start.
    std::fs::remove_file(stage.path(OWN)).unwrap();
    let own = "20261123T034629.300000Z-7k3qzd-scribe-10.ndjson";
    let stage = Stage::following(stage.dies(), own, &[A]);
    assert_eq!(stage.scribe.requests.lanes().map(|(_, open)| open.len()).sum::<usize>(), 1);
}

#[test]
fn what_is_noted_while_the_next_epochs_key_is_stored_stays_in_the_segment_before() {
    let mut stage = Stage::sized(1 << 10);
    let mut writer = stage.follow(A);
    writer.write_all(lines(2).as_bytes()).unwrap();
    stage.settle();
    let own = "20261123T034629.200000Z-7k3qzd-scribe-9.ndjson";
    stage.is_given(own);
    stage.comes_to(|round| matches!(round, Round::KeepNext(_)));
    writer.set_len(4).unwrap();
    stage.scribe.look().unwrap();
    stage.settle();
    assert_eq!(stage.said("intrusion").len(), 1);
    assert_eq!(stage.said("epoch").len(), 2);
    let text = std::fs::read_to_string(stage.path(own)).unwrap();
    assert!(text.lines().nth(1).unwrap().contains("\"epoch\""), "{text}");
}

#[test]
fn segment_that_the_last_scribe_closed_is_given_back_and_not_closed_again() {
    let mut stage = Stage::new();
    let mut writer = stage.follow(A);
    writer.write_all(lines(3).as_bytes()).unwrap();
    stage.finished(A);
    // It died before the warden heard of it.
    let own = "20261123T034629.200000Z-7k3qzd-scribe-9.ndjson";
    let mut stage = Stage::following(stage.dies(), own, &[A]);
    assert!(stage.scribe.followed.is_empty());
    assert!(stage.scribe.closed_before.contains(A));
    stage.finished(A);
    assert!(stage.scribe.closed_before.is_empty());
    let closed: Vec<String> = stage.closed().into_iter().map(|(segment, ..)| segment).collect();
    assert_eq!(closed, [A, OWN]);
}

#[test]
fn segment_that_was_made_and_closed_while_a_scribe_recovered_stays_closed() {
    let directory = Stage::new().dies();
    let own = |n: u32| format!("20261123T034629.{n}00000Z-7k3qzd-scribe-{n}.ndjson");
    let young = "20261123T034629.250000Z-7k3qzd-gate-0-0-77.ndjson";
    append(&directory.path().join(young)).write_all(lines(3).as_bytes()).unwrap();
    // Its gate ends before the scribe says that all of before is settled.
    let writer = Source { role: Role::Gate, boot: boot(), gate: Some(1) };
    let reader = File::open(directory.path().join(young)).unwrap().into();
    let said = vec![
        (ToScribe::Follow { segment: young.to_owned(), writer }, vec![reader]),
        (ToScribe::Finished { segment: young.to_owned() }, vec![]),
    ];
    let stage = Stage::begun(directory, &own(2), Damage::Refuses, None, said).unwrap();
    let said = |stage: &Stage, kind| stage.said(kind).iter().filter(|it| it["segment"] == young).count();
    assert_eq!((said(&stage, "close"), said(&stage, "recover")), (1, 1));
    let stage = stage.again(&own(3), Damage::Refuses).unwrap();
    assert_eq!((said(&stage, "close"), said(&stage, "recover")), (1, 1), "not once more");
}

#[test]
fn what_is_carried_over_does_not_fill_a_segment_of_its_own() {
    let mut stage = Stage::sized(8 << 10);
    let mut writer = stage.follow(A);
    writer.write_all((lines(1) + &(1..1000).map(allowed).collect::<String>()).as_bytes()).unwrap();
    while stage.scribe.asked.is_none() {
        stage.settle();
    }
    stage.goes_on_in("20261123T034629.200000Z-7k3qzd-scribe-9.ndjson");
    assert!(stage.scribe.asked.is_some(), "it does not ask twice in a short time");
    stage.scribe.asked = None;
    stage.settle();
    assert!(stage.scribe.own.length() > 8 << 10);
    assert!(stage.scribe.asked.is_none());
}
