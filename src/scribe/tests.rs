use super::*;
use crate::model::ids::BootId;
use sha2::{Digest, Sha256};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

/// A scribe and the warden's end of its channel, in a directory of its own.
struct Stage {
    directory: tempfile::TempDir,
    scribe: Scribe,
    warden: Channel,
}

impl Stage {
    fn new() -> Stage {
        let directory = tempfile::tempdir().unwrap();
        let (warden, channel) = Channel::pair().unwrap();
        let segment = append(&directory.path().join("scribe"));
        let start = Start {
            boot: BootId::from_random(1),
            reserved: STEP_OF_TEST,
            policy: "9f2c1e77",
            missing: &[],
            posture: &Default::default(),
        };
        let own = Own::begin(segment.into(), start).unwrap();
        let place = File::open(directory.path()).unwrap();
        let durables = Durables::start(place.try_clone().unwrap()).unwrap();
        let scribe = Scribe::new(channel, own, place.into(), durables);
        Stage { directory, scribe, warden }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Makes a segment and has it followed; its writer.
    fn follow(&mut self, name: &str) -> File {
        let writer = append(&self.path(name));
        let reader = File::open(self.path(name)).unwrap();
        self.warden.send(&ToScribe::Follow { segment: name.to_owned() }, &[reader.as_fd()]).unwrap();
        assert_eq!(self.scribe.obey().unwrap(), Next::GoOn);
        writer
    }

    fn finished(&mut self, name: &str) {
        self.warden.send(&ToScribe::Finished { segment: name.to_owned() }, &[]).unwrap();
        assert_eq!(self.scribe.obey().unwrap(), Next::GoOn);
    }

    fn told(&mut self) -> Vec<FromScribe> {
        self.scribe.send();
        std::iter::from_fn(|| self.warden.receive_bare().ok().flatten()).collect()
    }

    /// The `close` records: segment, bytes, torn.
    fn closed(&self) -> Vec<(String, u64, bool)> {
        let text = std::fs::read_to_string(self.path("scribe")).unwrap();
        let records: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&records[0]["t"], &records[0]["role"]), (&"open".into(), &"scribe".into()));
        let close = |record: &serde_json::Value| {
            assert_eq!(record["t"], "close");
            (
                record["segment"].as_str().unwrap().to_owned(),
                record["bytes"].as_u64().unwrap(),
                record["torn"] == true,
            )
        };
        records[1..].iter().map(close).collect()
    }
}

const STEP_OF_TEST: u64 = 1 << 16;

fn append(path: &Path) -> File {
    OpenOptions::new().append(true).create_new(true).open(path).unwrap()
}

#[test]
fn follow_reads_hashes_and_counts_behind_the_writer() {
    let mut stage = Stage::new();
    let mut writer = stage.follow("a");
    let text = "line\n".repeat(100_000);
    for half in [&text[..300_002], &text[300_002..]] {
        writer.write_all(half.as_bytes()).unwrap();
        stage.scribe.look();
    }
    let followed = &stage.scribe.followed["a"];
    assert_eq!((followed.length(), followed.lines(), followed.torn()), (500_000, 100_000, false));
    assert_eq!(followed.digest(), <[u8; 32]>::from(Sha256::digest(&text)));
    stage.scribe.sync().unwrap();
    assert_eq!(stage.scribe.followed["a"].unsynced(), 0);
}

#[test]
fn alive_tells_what_is_not_durable() {
    let mut stage = Stage::new();
    let mut writer = stage.follow("a");
    writer.write_all(b"one\n").unwrap();
    stage.scribe.look();
    stage.scribe.say_alive(7);
    stage.scribe.say_alive(7);
    assert_eq!(stage.told(), [FromScribe::Alive { unsynced: 4, lost_lines: 7 }]);
}

#[test]
fn finished_segment_is_closed_and_released() {
    let mut stage = Stage::new();
    let (mut whole, mut torn) = (stage.follow("a"), stage.follow("b"));
    whole.write_all(b"one\ntwo\n").unwrap();
    torn.write_all(b"one\ntw").unwrap();
    stage.finished("a");
    stage.finished("b");
    assert_eq!(stage.closed(), [("a".to_owned(), 8, false), ("b".to_owned(), 6, true)]);
    let released = |segment: &str, bytes| FromScribe::Released { segment: segment.to_owned(), bytes };
    assert_eq!(stage.told(), [released("a", 8), released("b", 6)]);
    assert!(stage.scribe.followed.is_empty());
}

#[test]
fn shrunk_segment_fails_once_and_is_not_closed() {
    let mut stage = Stage::new();
    let mut writer = stage.follow("a");
    writer.write_all(b"one\ntwo\n").unwrap();
    stage.scribe.look();
    writer.set_len(4).unwrap();
    stage.scribe.look();
    stage.scribe.look();
    let failed = FromScribe::Failed { segment: "a".to_owned(), errno: Errno::ESTALE as i32 };
    assert_eq!(stage.told(), [failed]);
    stage.finished("a");
    assert_eq!(stage.told(), [FromScribe::Released { segment: "a".to_owned(), bytes: 8 }]);
    assert!(stage.closed().is_empty());
}

#[test]
fn segment_that_cannot_be_read_fails_once() {
    let mut stage = Stage::new();
    std::fs::create_dir(stage.path("a")).unwrap();
    std::fs::write(stage.path("a").join("entry"), "").unwrap();
    let directory = File::open(stage.path("a")).unwrap();
    stage.warden.send(&ToScribe::Follow { segment: "a".to_owned() }, &[directory.as_fd()]).unwrap();
    assert_eq!(stage.scribe.obey().unwrap(), Next::GoOn);
    stage.scribe.look();
    stage.scribe.look();
    assert_eq!(stage.told(), [FromScribe::Failed { segment: "a".to_owned(), errno: Errno::EISDIR as i32 }]);
}

#[test]
fn close_closes_all_and_ends() {
    let mut stage = Stage::new();
    let mut writer = stage.follow("a");
    writer.write_all(b"one\n").unwrap();
    stage.warden.send(&ToScribe::Close, &[]).unwrap();
    assert_eq!(stage.scribe.obey().unwrap(), Next::End);
    let released = FromScribe::Released { segment: "a".to_owned(), bytes: 4 };
    assert_eq!(stage.told(), [released, FromScribe::Closed]);
    assert_eq!(stage.closed().len(), 1);
}

#[test]
fn messages_without_sense_change_nothing() {
    let mut stage = Stage::new();
    stage.warden.send(&"nonsense", &[]).unwrap();
    stage.warden.send(&ToScribe::Follow { segment: "a".to_owned() }, &[]).unwrap();
    stage.warden.send(&ToScribe::Finished { segment: "b".to_owned() }, &[]).unwrap();
    assert_eq!(stage.scribe.obey().unwrap(), Next::GoOn);
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
    for number in 0..1_000 {
        let name = format!("{number:0200}");
        drop(stage.follow(&name));
        stage.finished(&name);
        stage.told();
    }
    assert_eq!(stage.closed().len(), 1_000);
    assert!(std::fs::metadata(stage.path("scribe")).unwrap().len() > STEP_OF_TEST);
}
