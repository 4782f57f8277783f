use super::*;
use crate::audit::chain::{Chain, Ledger, Lineage, Said};
use crate::audit::inspect::Role;
use crate::audit::vault;
use crate::model::ids::BootId;
use crate::sys::append_only;
use crate::sys::trusted::Directory;
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

/// A scribe with a store, and the warden's end of its channel, in a directory of its own.
struct Stage {
    directory: tempfile::TempDir,
    scribe: Scribe,
    warden: Channel,
}

const OWN: &str = "20261123T034629.123456Z-7k3qzd-scribe-1.ndjson";
const A: &str = "20261123T034629.123457Z-7k3qzd-gate-0-0-2.ndjson";
const B: &str = "20261123T034629.123458Z-7k3qzd-gate-0-1-3.ndjson";
const STEP_OF_TEST: u64 = 1 << 16;

const LATER: &str = "20261123T034700.000000Z-7k3qze-scribe-1.ndjson";
const LATEST: &str = "20261123T034800.000000Z-7k3qzf-scribe-1.ndjson";

fn boot() -> BootId {
    "7k3qzd".parse().unwrap()
}

fn line(n: u64) -> String {
    let rest = match n {
        0 => r#""boot":"7k3qzd","role":"gate""#.to_owned(),
        n => format!(r#""id":"7k3qzd-41-{n}","decision":"deny""#),
    };
    let kind = if n == 0 { "open" } else { "decision" };
    format!("{{\"v\":1,\"t\":\"{kind}\",\"n\":{n},\"ts\":\"2026-11-23T03:46:29.123456Z\",{rest}}}\n")
}

/// The first `count` lines of a gate's segment.
fn lines(count: u64) -> String {
    (0..count).map(line).collect()
}

impl Stage {
    fn new() -> Stage {
        let directory = tempfile::tempdir().unwrap();
        Stage::in_directory(directory, OWN, Damage::Refuses, None).unwrap()
    }

    /// Another scribe there, whose own segment has this name.
    fn again(self, own: &str, on_damage: Damage) -> io::Result<Stage> {
        Stage::in_directory(self.dies(), own, on_damage, None)
    }

    /// Its scribe is gone, and what it had not written with it.
    fn dies(self) -> tempfile::TempDir {
        let Stage { directory, scribe, warden } = self;
        drop((scribe, warden));
        directory
    }

    /// One with segments of its own of this size.
    fn sized(size: u64) -> Stage {
        Stage::in_directory(tempfile::tempdir().unwrap(), OWN, Damage::Refuses, Some(size)).unwrap()
    }

    /// One that died as soon as it had come so far.
    fn in_directory_until(directory: tempfile::TempDir, own: &str, until: Recovery) -> Stage {
        let (mut scribe, warden, answers, begun) = Stage::scribe(&directory, own, Damage::Refuses, None);
        begun.unwrap();
        while scribe.recovery == until {
            scribe.round().unwrap();
        }
        answers.stop(&warden);
        Stage { directory, scribe, warden }
    }

    /// What one says that refuses to begin.
    fn damage(directory: tempfile::TempDir, own: &str) -> String {
        let (mut scribe, _warden, answers, begun) = Stage::scribe(&directory, own, Damage::Refuses, None);
        while begun.is_ok() && scribe.round().is_ok() {}
        drop(scribe);
        answers.0.join().unwrap().unwrap()
    }

    /// One that the warden has follow these from its beginning.
    fn following(directory: tempfile::TempDir, own: &str, segments: &[&str]) -> Stage {
        let readers: Vec<_> = segments
            .iter()
            .map(|name| {
                let writer = Source { role: Role::Gate, boot: boot(), gate: Some(1) };
                let file = File::open(directory.path().join(name)).unwrap();
                (ToScribe::Follow { segment: (*name).to_owned(), writer }, vec![file.into()])
            })
            .collect();
        Stage::begun(directory, own, Damage::IsRecorded, None, readers).unwrap()
    }

    fn goes_on_in(&mut self, own: &str) {
        let segment = append(&self.path(own));
        let own = ToScribe::Own { segment: own.to_owned(), reserved: STEP_OF_TEST, policy: String::new() };
        self.warden.send(&own, &[segment.as_fd()]).unwrap();
        assert_eq!(self.scribe.obey().unwrap(), Next::GoOn);
        self.settle();
    }

    fn in_directory(
        directory: tempfile::TempDir,
        own: &str,
        on_damage: Damage,
        size: Option<u64>,
    ) -> io::Result<Stage> {
        Stage::begun(directory, own, on_damage, size, Vec::new())
    }

    fn begun(
        directory: tempfile::TempDir,
        own: &str,
        on_damage: Damage,
        size: Option<u64>,
        said: Vec<(ToScribe, Vec<OwnedFd>)>,
    ) -> io::Result<Stage> {
        let (mut scribe, warden, answers, begun) = Stage::scribe(&directory, own, on_damage, size);
        scribe.stash.extend(said);
        let recover = || {
            begun?;
            while !matches!(scribe.recovery, Recovery::Releasing { .. }) {
                scribe.round()?;
            }
            scribe.flush()
        };
        if let Err(why) = recover() {
            drop(scribe);
            answers.0.join().unwrap();
            return Err(why);
        }
        answers.0.join().unwrap();
        let mut stage = Stage { directory, scribe, warden };
        stage.says(&ToScribe::Settle);
        stage.settle();
        stage.told();
        Ok(stage)
    }

    /// One that has read what is there from before, or failed over it and says so at its first round.
    fn scribe(
        directory: &tempfile::TempDir,
        own: &str,
        on_damage: Damage,
        size: Option<u64>,
    ) -> (Scribe, Channel, Answers, io::Result<()>) {
        let (warden, channel) = Channel::pair().unwrap();
        let start = Start {
            boot: crate::audit::segment::SegmentName::parse(own).unwrap().boot,
            policy: "9f2c1e77".to_owned(),
            missing: Vec::new(),
            posture: Default::default(),
        };
        let judged = Directory::open(directory.path()).unwrap();
        if vault::look(&judged).unwrap() == vault::Store::Absent {
            vault::make(&judged, None, None).unwrap();
        }
        let opened = vault::open(&judged, None).unwrap();
        append_only::set(opened.epochs.as_fd(), false).ok();
        let segment = append(&directory.path().join(own));
        let own = Own::begin(own.to_owned(), segment.into(), STEP_OF_TEST, &start).unwrap();
        let file = File::open(directory.path()).unwrap().into();
        let mut scribe = Scribe::new(channel, own, file, start, size.unwrap_or(u64::MAX)).unwrap();
        let answerer = warden.duplicate().unwrap();
        let place = directory.path().to_owned();
        let answers = Answers(std::thread::spawn(move || answer(&Channel::from(answerer), &place)));
        let begun = scribe.begin(Keys::new(opened.store, opened.epochs), on_damage);
        (scribe, warden, answers, begun)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn says(&mut self, message: &ToScribe) {
        self.warden.send(message, &[]).unwrap();
        assert_eq!(self.scribe.obey().unwrap(), Next::GoOn);
    }

    /// Makes a segment and has it followed; its writer.
    fn follow(&mut self, name: &str) -> File {
        let writer = append(&self.path(name));
        let reader = File::open(self.path(name)).unwrap();
        let follow = ToScribe::Follow {
            segment: name.to_owned(),
            writer: Source { role: Role::Gate, boot: boot(), gate: Some(1) },
        };
        self.warden.send(&follow, &[reader.as_fd()]).unwrap();
        assert_eq!(self.scribe.obey().unwrap(), Next::GoOn);
        writer
    }

    /// Everything that is under way comes to its end, and what is there is sealed.
    fn settle(&mut self) {
        self.scribe.wish = true;
        self.scribe.look().unwrap();
        self.scribe.turn().unwrap();
        while !self.scribe.syncer.is_idle() || !matches!(self.scribe.round, Round::Idle) || self.scribe.wish {
            self.scribe.round().unwrap();
        }
    }

    fn finished(&mut self, name: &str) {
        self.says(&ToScribe::Finished { segment: name.to_owned() });
        self.settle();
    }

    fn told(&mut self) -> Vec<FromScribe> {
        self.scribe.send();
        std::iter::from_fn(|| self.warden.receive_bare().ok().flatten()).collect()
    }

    /// What the seals vouch for, checked as `verify` does: every line of the scribe's segments.
    fn verified(&self) -> Vec<serde_json::Value> {
        let judged = Directory::open(self.directory.path()).unwrap();
        let pins = vault::geneses(&judged).unwrap().iter().map(|genesis| genesis.key).collect();
        let (mut lineage, mut ledger, mut all) = (Lineage::new(pins), Ledger::new(), Vec::new());
        let mut prev = None;
        let mut names: Vec<String> = std::fs::read_dir(self.directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains("-scribe-"))
            .collect();
        names.sort();
        for name in names {
            let bytes = std::fs::read(self.path(&name)).unwrap();
            let mut chain = Chain::new();
            let mut unsealed = Vec::new();
            for bytes in bytes.strip_suffix(b"\n").unwrap_or(&bytes).split(|byte| *byte == b'\n') {
                let taken = chain
                    .take(bytes)
                    .unwrap_or_else(|broken| panic!("{name}: {broken}: {}", String::from_utf8_lossy(bytes)));
                unsealed.push((taken.said, bytes));
                if matches!(taken.said, Said::Seal(..)) {
                    for (said, bytes) in unsealed.drain(..) {
                        ledger.take(&said).unwrap();
                        all.push(serde_json::from_slice::<serde_json::Value>(bytes).unwrap());
                    }
                }
            }
            let epoch = *chain.epoch().unwrap();
            assert_eq!(epoch.prev, prev, "{name}");
            prev = chain.last();
            let line = bytes.split(|byte| *byte == b'\n').nth(1).unwrap();
            lineage.take_line(line).unwrap();
        }
        let epochs = std::fs::read_to_string(self.path("epochs.ndjson")).unwrap();
        assert_eq!(epochs.lines().count(), lineage.epochs().count(), "every epoch is listed once");
        all
    }

    /// The `close` records: segment, bytes, torn.
    fn closed(&self) -> Vec<(String, u64, bool)> {
        let all = self.verified();
        let close = |record: &serde_json::Value| {
            let torn = record["torn"] == true;
            (record["segment"].as_str().unwrap().to_owned(), record["bytes"].as_u64().unwrap(), torn)
        };
        all.iter().filter(|record| record["t"] == "close").map(close).collect()
    }

    fn said(&self, kind: &str) -> Vec<serde_json::Value> {
        self.verified().into_iter().filter(|record| record["t"] == kind).collect()
    }
}

/// What the warden's part came to, which plays in a thread of its own.
struct Answers(std::thread::JoinHandle<Option<String>>);

impl Answers {
    /// The scribe said something that the part ends with.
    fn stop(self, _warden: &Channel) {
        drop(self.0);
    }
}

impl Scribe {
    /// Waits for the disk, and goes on.
    fn round(&mut self) -> io::Result<()> {
        self.send();
        if !self.syncer.is_idle() {
            poll(&mut [PollFd::new(self.syncer.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
        }
        self.turn()
    }
}

/// The warden's part in a recovery: names and files, until all is recovered or the scribe is gone.
fn answer(channel: &Channel, directory: &Path) -> Option<String> {
    while let Ok(Some((message, _none))) = channel.receive_waiting::<FromScribe>() {
        match message {
            FromScribe::Names { .. } => {
                let entries = std::fs::read_dir(directory).unwrap();
                let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
                let names: BTreeSet<String> =
                    names.filter(|name| crate::audit::segment::SegmentName::parse(name).is_some()).collect();
                let names = ToScribe::Names { names: names.into_iter().collect(), more: false };
                channel.send(&names, &[]).unwrap();
            }
            FromScribe::Show { segment } => match File::open(directory.join(segment)) {
                Ok(file) => channel.send(&ToScribe::Shown { missing: None }, &[file.as_fd()]).unwrap(),
                Err(why) => {
                    channel.send(&ToScribe::Shown { missing: Some(why.to_string()) }, &[]).unwrap();
                }
            },
            FromScribe::Damaged { what } => return Some(what),
            FromScribe::Recovered => return None,
            _ => {}
        }
    }
    None
}

mod recovery;

fn append(path: &Path) -> File {
    OpenOptions::new().append(true).create_new(true).open(path).unwrap()
}

fn released(segment: &str, bytes: impl Into<Option<u64>>) -> FromScribe {
    FromScribe::Released { segment: segment.to_owned(), bytes: bytes.into() }
}

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
