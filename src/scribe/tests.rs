use super::follow::Trouble;
use super::*;
use crate::audit::inspect::Role;
use crate::model::time::Timestamp;
use nix::errno::Errno;
use std::fs::OpenOptions;
use std::io::Write;

mod recovery;
mod stage;

use stage::{A, B, OWN, STEP_OF_TEST, Stage, boot, line, lines, released};

#[test]
fn what_was_written_is_sealed_by_its_bytes() {
    let mut stage = Stage::new();
    let mut writer = stage.follow(A);
    let text = lines(10_000);
    for part in [&text[..300_002], &text[300_002..]] {
        writer.write_all(part.as_bytes()).unwrap();
        stage.settle();
    }
    let ranges = stage.said("range");
    assert_eq!(ranges[0]["from"], 0);
    let (mut at, mut count) = (0, 0);
    for range in &ranges {
        assert_eq!(range["from"], at as u64);
        let to = usize::try_from(range["to"].as_u64().unwrap()).unwrap();
        assert_eq!(range["hash"], Digest::of(&text.as_bytes()[at..to]).to_string());
        count += range["lines"].as_u64().unwrap();
        at = to;
    }
    assert_eq!((at, count), (text.len(), 10_000));
}

#[test]
fn finished_segment_is_closed_and_released_behind_its_seal() {
    let mut stage = Stage::new();
    let (mut whole, mut torn) = (stage.follow(A), stage.follow(B));
    whole.write_all(lines(2).as_bytes()).unwrap();
    torn.write_all((lines(1) + "{\"v\":1").as_bytes()).unwrap();
    let (first, second) = (lines(2).len() as u64, lines(1).len() as u64 + 6);
    stage.says(&ToScribe::Finished { segment: A.to_owned() });
    stage.finished(B);
    assert_eq!(stage.closed(), [(A.to_owned(), first, false), (B.to_owned(), second, true)]);
    assert_eq!(stage.told(), [released(A, first), released(B, second)]);
    assert!(stage.scribe.followed.is_empty());
}

/// What an intrusion says, and where; the segment is closed at what was sealed of it.
fn intruded(stage: &mut Stage, at: u64, why: &str, sealed: u64) {
    let record = stage.said("intrusion").pop().unwrap();
    assert_eq!((&record["segment"], &record["at"], &record["why"]), (&A.into(), &at.into(), &why.into()));
    let told = FromScribe::Intruded { segment: A.to_owned(), at, why: why.to_owned() };
    assert_eq!(stage.told(), [told]);
    stage.finished(A);
    assert_eq!(stage.told(), [released(A, None)]);
    assert_eq!(stage.closed(), [(A.to_owned(), sealed, false)]);
}

#[test]
fn shrunk_segment_is_an_intrusion_told_once() {
    let mut stage = Stage::new();
    let mut writer = stage.follow(A);
    writer.write_all(lines(2).as_bytes()).unwrap();
    stage.settle();
    writer.set_len(4).unwrap();
    stage.settle();
    stage.settle();
    intruded(&mut stage, 4, "shrank", lines(2).len() as u64);
}

#[test]
fn steady_load_on_a_slow_disk_is_as_far_behind_as_its_oldest_unsealed_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(A);
    let mut writer = stage::append(&path);
    let source = Source { role: Role::Gate, boot: boot(), gate: Some(1) };
    let mut segment = Followed::new(A, File::open(&path).unwrap(), source);
    let mut clock = Clock::new();
    writer.write_all(line(0).as_bytes()).unwrap();
    segment.look(&mut clock, &mut |_, _| Ok(())).unwrap();
    for n in 1..4 {
        segment.cut().unwrap();
        let (upto, between) = (segment.length(), Instant::now());
        assert!(segment.unsealed_since().unwrap() <= between);
        // While the disk is at that, more comes.
        writer.write_all(line(n).as_bytes()).unwrap();
        segment.look(&mut clock, &mut |_, _| Ok(())).unwrap();
        assert!(segment.unsealed_since().unwrap() <= between);
        segment.synced_to(upto);
        assert_eq!(segment.take_cut().len(), 1);
        assert!(segment.unsealed_since().unwrap() >= between);
    }
    segment.cut().unwrap();
    writer.write_all(b"{").unwrap();
    segment.look(&mut clock, &mut |_, _| Ok(())).unwrap();
    segment.synced_to(segment.length());
    assert_eq!(segment.take_cut().len(), 1);
    assert_eq!(segment.unsealed_since(), None, "there is no sealing half a line");
}

#[test]
fn line_that_no_gate_writes_is_an_intrusion() {
    for (forged, why) in [
        (line(2).replace("decision", "conn"), "foreign-line"),
        (line(2).replace("7k3qzd", "7k3qze"), "foreign-line"),
        ("nonsense\n".to_owned(), "foreign-line"),
        ("x".repeat(20_000), "foreign-line"),
        (line(3), "count"),
    ] {
        let mut stage = Stage::new();
        let mut writer = stage.follow(A);
        writer.write_all(lines(2).as_bytes()).unwrap();
        stage.settle();
        writer.write_all(forged.as_bytes()).unwrap();
        stage.settle();
        let before = lines(2).len() as u64;
        intruded(&mut stage, before, why, before);
    }
}

#[test]
fn much_at_once_is_read_piece_by_piece_between_signs_of_life() {
    let mut stage = Stage::new();
    let mut writer = stage.follow(A);
    let text = lines(40_000);
    assert!(text.len() > 3 << 20);
    writer.write_all(text.as_bytes()).unwrap();
    stage.scribe.said -= SIGN;
    stage.scribe.look().unwrap();
    let segment = &stage.scribe.followed[A];
    assert!(segment.is_unread() && segment.length() == 1 << 20);
    let told = stage.told();
    assert!(matches!(told.as_slice(), [FromScribe::Alive { .. }]), "{told:?}");
    stage.finished(A);
    assert_eq!(stage.closed(), [(A.to_owned(), text.len() as u64, false)]);
    let mut signs = 0;
    let hash = Digest::of(text.as_bytes());
    let (to, file) = (text.len() as u64, File::open(stage.path(A)).unwrap().into());
    let all = bytes::OnRecord { file, ranges: vec![follow::Cut { from: 0, to, lines: 40_000, hash }] };
    all.holds(&mut || signs += 1).unwrap();
    assert!(signs > 3 << 3, "within a range too: {signs}");
}

#[test]
fn gate_that_has_more_open_than_any_lane_is_an_intrusion() {
    let mut stage = Stage::new();
    let mut writer = stage.follow(A);
    let allowed = |n: u64| line(n).replace("deny", "allow");
    let most = u64::try_from(requests::MOST).unwrap();
    let fits = line(0) + &(1..=most).map(allowed).collect::<String>();
    writer.write_all(fits.as_bytes()).unwrap();
    let mut told = || {
        stage.settle();
        let mut told = stage.told();
        told.retain(|said| !matches!(said, FromScribe::Alive { .. }));
        told
    };
    assert_eq!(told(), []);
    writer.write_all(allowed(most + 1).as_bytes()).unwrap();
    let (at, why) = (fits.len() as u64, "foreign-line".to_owned());
    assert_eq!(told(), [FromScribe::Intruded { segment: A.to_owned(), at, why }]);
}

#[test]
fn outcome_in_a_segment_that_cannot_be_synced_counts() {
    let mut stage = Stage::new();
    let mut writer = stage.follow(A);
    let allowed = |n: u64| line(n).replace("deny", "allow");
    writer.write_all((line(0) + &allowed(1) + &allowed(2)).as_bytes()).unwrap();
    stage.scribe.look().unwrap();
    // Behind the last look, before the disk fails.
    let outcome = line(3).replace("decision", "outcome").replace("41-3", "41-1");
    let outcome = outcome
        .replace(r#","outcome":"deny""#, r#","status":200,"result":"completed","in":0,"out":0,"us":1"#);
    writer.write_all(outcome.as_bytes()).unwrap();
    stage.scribe.trouble(A, Trouble::Unreadable(Errno::EIO)).unwrap();
    stage.finished(A);
    assert_eq!(stage.said("pending")[0]["ids"], serde_json::json!(["7k3qzd-41-2"]));
}

#[test]
fn line_of_long_ago_is_doubted_once_and_sealed() {
    let mut stage = Stage::new();
    let mut writer = stage.follow(A);
    let of = |n: u64, at: Timestamp| line(n).replace("2001-11-23T03:46:29.123456Z", &at.to_string());
    let now = Timestamp::now();
    let ago = |minutes: u64| Timestamp::from_micros(now.micros() - minutes * 60_000_000);
    let mut text = of(0, ago(0)) + &of(1, ago(1));
    writer.write_all(text.as_bytes()).unwrap();
    stage.settle();
    for (n, minutes) in [(2, 0), (3, 4), (4, 10), (5, 10)] {
        writer.write_all(of(n, ago(minutes)).as_bytes()).unwrap();
        stage.settle();
        let doubts = if n == 4 { vec![(A.to_owned(), text.len() as u64)] } else { Vec::new() };
        assert_eq!(stage.doubts(), doubts, "{n}");
        text += &of(n, ago(minutes));
    }
    stage.finished(A);
    assert_eq!(stage.closed(), [(A.to_owned(), text.len() as u64, false)]);
}

#[test]
fn line_of_an_instant_to_come_is_an_intrusion() {
    let mut stage = Stage::new();
    let mut writer = stage.follow(A);
    writer.write_all(line(0).as_bytes()).unwrap();
    stage.settle();
    let later = Timestamp::from_micros(Timestamp::now().micros() + 600_000_000);
    writer.write_all(line(1).replace("2001-11-23T03:46:29.123456Z", &later.to_string()).as_bytes()).unwrap();
    stage.settle();
    let before = line(0).len() as u64;
    intruded(&mut stage, before, "foreign-line", before);
}

#[test]
fn what_was_judged_before_an_intrusion_is_sealed() {
    let mut stage = Stage::new();
    let mut writer = stage.follow(A);
    let text = lines(2);
    writer.write_all((text.clone() + "nonsense\n").as_bytes()).unwrap();
    stage.settle();
    let before = text.len() as u64;
    intruded(&mut stage, before, "foreign-line", before);
    let range = &stage.said("range")[0];
    assert_eq!(range["hash"], Digest::of(text.as_bytes()).to_string());
}

#[test]
fn what_an_intrusion_leaves_and_the_disk_refuses_is_not_sealed() {
    let mut stage = Stage::new();
    let mut writer = stage.follow(A);
    writer.write_all((lines(2) + "nonsense\n").as_bytes()).unwrap();
    stage.scribe.look().unwrap();
    assert!(stage.scribe.followed[A].has_cut());
    stage.scribe.trouble(A, Trouble::Unreadable(Errno::EIO)).unwrap();
    stage.settle();
    intruded(&mut stage, lines(2).len() as u64, "foreign-line", 0);
}

#[test]
fn byte_changed_behind_the_writer_is_found_before_it_is_sealed_and_at_the_close() {
    use std::os::unix::fs::FileExt;
    let change = |stage: &Stage, at: u64| {
        OpenOptions::new().write(true).open(stage.path(A)).unwrap().write_all_at(b"~", at).unwrap();
    };
    let mut stage = Stage::new();
    let mut writer = stage.follow(A);
    writer.write_all(lines(3).as_bytes()).unwrap();
    stage.scribe.look().unwrap();
    change(&stage, 100);
    stage.settle();
    intruded(&mut stage, 100, "changed", 0);

    let mut stage = Stage::new();
    let mut writer = stage.follow(A);
    writer.write_all(lines(3).as_bytes()).unwrap();
    stage.settle();
    change(&stage, 100);
    stage.finished(A);
    let record = stage.said("intrusion").pop().unwrap();
    assert_eq!((&record["at"], &record["why"]), (&0.into(), &"changed".into()));
    assert_eq!(stage.closed(), [(A.to_owned(), lines(3).len() as u64, false)]);
}

#[test]
fn segment_that_cannot_be_read_fails_once() {
    let mut stage = Stage::new();
    std::fs::create_dir(stage.path(A)).unwrap();
    std::fs::write(stage.path(A).join("entry"), "").unwrap();
    let directory = File::open(stage.path(A)).unwrap();
    let writer = Source { role: Role::Gate, boot: boot(), gate: Some(1) };
    stage.warden.send(&ToScribe::Follow { segment: A.to_owned(), writer }, &[directory.as_fd()]).unwrap();
    assert_eq!(stage.scribe.obey().unwrap(), Next::GoOn);
    stage.settle();
    stage.settle();
    assert_eq!(stage.told(), [FromScribe::Failed { segment: A.to_owned(), errno: Errno::EISDIR as i32 }]);
}

#[test]
fn alive_tells_what_is_not_durable_and_the_latest_seal() {
    let mut stage = Stage::new();
    let mut writer = stage.follow(A);
    writer.write_all(line(0).as_bytes()).unwrap();
    stage.scribe.look().unwrap();
    stage.scribe.lost_lines = 7;
    stage.scribe.say_alive();
    stage.scribe.say_alive();
    let told = stage.told();
    let [FromScribe::Alive { unsynced, lost_lines: 7, sealed: Some(sealed), .. }] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!(*unsynced, line(0).len() as u64);
    let seals = stage.said("seal");
    assert_eq!((sealed.epoch, sealed.i + 1), (0, seals.len() as u64));
    assert_eq!(seals.last().unwrap()["next"], Digest(sealed.next).to_string());
}

#[test]
fn close_closes_all_seals_it_and_ends() {
    let mut stage = Stage::new();
    let mut writer = stage.follow(A);
    writer.write_all(line(0).as_bytes()).unwrap();
    stage.warden.send(&ToScribe::Close, &[]).unwrap();
    stage.scribe.serve(|| 0).unwrap();
    let told: Vec<_> =
        stage.told().into_iter().filter(|said| !matches!(said, FromScribe::Alive { .. })).collect();
    assert_eq!(told, [released(A, line(0).len() as u64), FromScribe::Closed]);
    assert_eq!(stage.closed().len(), 1);
    assert!(!stage.scribe.own.is_unsealed());
}

#[test]
fn messages_without_sense_change_nothing() {
    let mut stage = Stage::new();
    stage.warden.send(&"nonsense", &[]).unwrap();
    let writer = Source { role: Role::Gate, boot: boot(), gate: Some(1) };
    stage.warden.send(&ToScribe::Follow { segment: A.to_owned(), writer }, &[]).unwrap();
    stage.says(&ToScribe::Finished { segment: B.to_owned() });
    stage.says(&ToScribe::Names { names: Vec::new(), more: false });
    stage.says(&ToScribe::Settle);
    assert!(stage.scribe.followed.is_empty() && stage.told().is_empty());
}

#[test]
fn warden_gone_ends_the_scribe_with_an_error() {
    let Stage { mut scribe, warden, directory } = Stage::new();
    drop(warden);
    assert_eq!(scribe.obey().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    drop(directory);
}

#[test]
fn own_segment_reserves_for_itself_as_it_fills() {
    let mut stage = Stage::new();
    for number in 0..300 {
        let name = format!("20261123T034629.123457Z-7k3qzd-gate-0-0-{}.ndjson", number + 10);
        drop(stage.follow(&name));
        stage.finished(&name);
        stage.told();
    }
    assert_eq!(stage.closed().len(), 300);
    assert!(std::fs::metadata(stage.path(OWN)).unwrap().len() > STEP_OF_TEST);
}

#[test]
fn what_is_noted_during_a_seals_sync_is_told_behind_the_next_one() {
    let mut stage = Stage::new();
    drop(stage.follow(A));
    stage.says(&ToScribe::Finished { segment: A.to_owned() });
    stage.comes_to(|round| matches!(round, Round::Own));
    // As the segment's `prune` would be, while the disk is at the seal.
    stage.scribe.leaving.push_back(released(B, None));
    stage.scribe.step().unwrap();
    assert_eq!(stage.told(), [released(A, 0)]);
    stage.settle();
    assert_eq!(stage.told(), [released(B, None)]);
}

#[test]
fn idle_scribe_seals_each_minute() {
    let mut stage = Stage::new();
    let before = stage.said("seal").len();
    stage.scribe.turn().unwrap();
    assert_eq!(stage.said("seal").len(), before, "nothing is due");
    stage.scribe.sealed_at -= Duration::from_secs(60);
    stage.scribe.turn().unwrap();
    assert_eq!(stage.said("seal").len(), before + 1);
}

#[test]
fn scribe_whose_disk_hangs_gives_signs_of_life_and_says_how_far_behind_it_is() {
    let mut stage = Stage::new();
    let (go, told) = std::sync::mpsc::channel::<()>();
    let hangs = move || {
        told.recv().ok();
        Ok(())
    };
    stage.scribe.syncer.give(sync::Task::Directory, hangs).unwrap();
    while stage.scribe.syncer.waiting_for() < Duration::from_millis(2) {}
    stage.scribe.wish = true;
    stage.scribe.turn().unwrap();
    stage.scribe.say_alive();
    let told = stage.told();
    assert!(matches!(told.as_slice(), [FromScribe::Alive { behind_ms: 2.., .. }]), "{told:?}");
    drop(go);
    stage.settle();
}
