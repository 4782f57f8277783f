//! A scribe with a store, and what plays the warden's part.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::audit::chain::{Chain, Ledger, Lineage, Said};
use crate::audit::inspect::Role;
use crate::audit::vault;
use crate::model::ids::BootId;
use crate::scribe::keys::Keys;
use crate::scribe::own::{Own, Start};
use crate::scribe::recover::Recovery;
use crate::scribe::round::Round;
use crate::scribe::{Next, Scribe};
use crate::sys::append_only;
use crate::sys::trusted::Directory;
use crate::wire::channel::Channel;
use crate::wire::message::{Damage, Followed as Source, FromScribe, ToScribe};

/// A scribe with a store, and the warden's end of its channel, in a directory of its own.
pub(in crate::scribe) struct Stage {
    pub(in crate::scribe) directory: tempfile::TempDir,
    pub(in crate::scribe) scribe: Scribe,
    pub(in crate::scribe) warden: Channel,
}

pub(in crate::scribe) const OWN: &str = "20261123T034629.123456Z-7k3qzd-scribe-1.ndjson";
pub(in crate::scribe) const A: &str = "20261123T034629.123457Z-7k3qzd-gate-0-0-2.ndjson";
pub(in crate::scribe) const B: &str = "20261123T034629.123458Z-7k3qzd-gate-0-1-3.ndjson";
pub(in crate::scribe) const STEP_OF_TEST: u64 = 1 << 16;

pub(in crate::scribe) const LATER: &str = "20261123T034700.000000Z-7k3qze-scribe-1.ndjson";
pub(in crate::scribe) const LATEST: &str = "20261123T034800.000000Z-7k3qzf-scribe-1.ndjson";

pub(in crate::scribe) fn boot() -> BootId {
    "7k3qzd".parse().unwrap()
}

pub(in crate::scribe) fn line(n: u64) -> String {
    let rest = match n {
        0 => r#""boot":"7k3qzd","role":"gate""#.to_owned(),
        n => format!(r#""id":"7k3qzd-41-{n}","decision":"deny""#),
    };
    let kind = if n == 0 { "open" } else { "decision" };
    format!("{{\"v\":1,\"t\":\"{kind}\",\"n\":{n},\"ts\":\"2001-11-23T03:46:29.123456Z\",{rest}}}\n")
}

/// The first `count` lines of a gate's segment.
pub(in crate::scribe) fn lines(count: u64) -> String {
    (0..count).map(line).collect()
}

impl Stage {
    pub(in crate::scribe) fn new() -> Stage {
        let directory = tempfile::tempdir().unwrap();
        Stage::in_directory(directory, OWN, Damage::Refuses, None).unwrap()
    }

    /// Another scribe there, whose own segment has this name.
    pub(in crate::scribe) fn again(self, own: &str, on_damage: Damage) -> io::Result<Stage> {
        Stage::in_directory(self.dies(), own, on_damage, None)
    }

    /// Its scribe is gone, and what it had not written with it.
    pub(in crate::scribe) fn dies(self) -> tempfile::TempDir {
        let Stage { directory, scribe, warden } = self;
        drop((scribe, warden));
        directory
    }

    /// One with segments of its own of this size.
    pub(in crate::scribe) fn sized(size: u64) -> Stage {
        Stage::in_directory(tempfile::tempdir().unwrap(), OWN, Damage::Refuses, Some(size)).unwrap()
    }

    /// One that died as soon as it had come so far.
    pub(in crate::scribe) fn in_directory_until(
        directory: tempfile::TempDir,
        own: &str,
        until: Recovery,
    ) -> Stage {
        let (mut scribe, warden, answers, begun) = Stage::scribe(&directory, own, Damage::Refuses, None);
        begun.unwrap();
        while scribe.recovery == until {
            scribe.round().unwrap();
        }
        answers.stop(&warden);
        Stage { directory, scribe, warden }
    }

    /// What one says that refuses to begin.
    pub(in crate::scribe) fn damage(directory: tempfile::TempDir, own: &str) -> String {
        let (mut scribe, _warden, answers, begun) = Stage::scribe(&directory, own, Damage::Refuses, None);
        while begun.is_ok() && scribe.round().is_ok() {}
        drop(scribe);
        answers.0.join().unwrap().unwrap()
    }

    /// One that the warden has follow these from its beginning.
    pub(in crate::scribe) fn following(directory: tempfile::TempDir, own: &str, segments: &[&str]) -> Stage {
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

    pub(in crate::scribe) fn goes_on_in(&mut self, own: &str) {
        self.is_given(own);
        self.settle();
    }

    pub(in crate::scribe) fn is_given(&mut self, own: &str) {
        let segment = append(&self.path(own));
        let own = ToScribe::Own { segment: own.to_owned(), reserved: STEP_OF_TEST, policy: String::new() };
        self.warden.send(&own, &[segment.as_fd()]).unwrap();
        assert_eq!(self.scribe.obey().unwrap(), Next::GoOn);
    }

    pub(in crate::scribe) fn in_directory(
        directory: tempfile::TempDir,
        own: &str,
        on_damage: Damage,
        size: Option<u64>,
    ) -> io::Result<Stage> {
        Stage::begun(directory, own, on_damage, size, Vec::new())
    }

    pub(in crate::scribe) fn begun(
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
    pub(in crate::scribe) fn scribe(
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

    pub(in crate::scribe) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(in crate::scribe) fn says(&mut self, message: &ToScribe) {
        self.warden.send(message, &[]).unwrap();
        assert_eq!(self.scribe.obey().unwrap(), Next::GoOn);
    }

    /// Makes a segment and has it followed; its writer.
    pub(in crate::scribe) fn follow(&mut self, name: &str) -> File {
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
    pub(in crate::scribe) fn settle(&mut self) {
        self.scribe.wish = true;
        self.scribe.look().unwrap();
        self.scribe.turn().unwrap();
        while !self.scribe.syncer.is_idle() || !matches!(self.scribe.round, Round::Idle) || self.scribe.wish {
            self.scribe.round().unwrap();
        }
    }

    /// Until it is there. Step by step, since a disk that is done at once has a turn pass over what lies between.
    pub(in crate::scribe) fn comes_to(&mut self, there: impl Fn(&Round) -> bool) {
        while !there(&self.scribe.round) {
            self.scribe.wait_for_disk().unwrap();
            while let Some(done) = self.scribe.syncer.take().unwrap() {
                self.scribe.done(done).unwrap();
            }
            if self.scribe.syncer.is_idle() {
                self.scribe.step().unwrap();
            }
        }
    }

    pub(in crate::scribe) fn finished(&mut self, name: &str) {
        self.says(&ToScribe::Finished { segment: name.to_owned() });
        self.settle();
    }

    pub(in crate::scribe) fn told(&mut self) -> Vec<FromScribe> {
        self.scribe.send();
        let all = std::iter::from_fn(|| self.warden.receive_bare().ok().flatten());
        // Every line of these tests is of one instant.
        all.filter(|said| !matches!(said, FromScribe::Doubted { .. })).collect()
    }

    /// Where it doubts what lines say of their instant.
    pub(in crate::scribe) fn doubts(&mut self) -> Vec<(String, u64)> {
        self.scribe.send();
        let all = std::iter::from_fn(|| self.warden.receive_bare().ok().flatten());
        let doubt = |said| match said {
            FromScribe::Doubted { segment, at } => Some((segment, at)),
            _ => None,
        };
        all.filter_map(doubt).collect()
    }

    /// What the seals vouch for, checked as `verify` does: every line of the scribe's segments.
    pub(in crate::scribe) fn verified(&self) -> Vec<serde_json::Value> {
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
    pub(in crate::scribe) fn closed(&self) -> Vec<(String, u64, bool)> {
        let all = self.verified();
        let close = |record: &serde_json::Value| {
            let torn = record["torn"] == true;
            (record["segment"].as_str().unwrap().to_owned(), record["bytes"].as_u64().unwrap(), torn)
        };
        all.iter().filter(|record| record["t"] == "close").map(close).collect()
    }

    pub(in crate::scribe) fn said(&self, kind: &str) -> Vec<serde_json::Value> {
        self.verified().into_iter().filter(|record| record["t"] == kind).collect()
    }
}

/// What the warden's part came to, which plays in a thread of its own.
pub(in crate::scribe) struct Answers(std::thread::JoinHandle<Option<String>>);

impl Answers {
    /// The scribe said something that the part ends with.
    pub(in crate::scribe) fn stop(self, _warden: &Channel) {
        drop(self.0);
    }
}

impl Scribe {
    /// Waits for the disk, and goes on.
    pub(in crate::scribe) fn round(&mut self) -> io::Result<()> {
        self.send();
        self.wait_for_disk()?;
        self.turn()
    }

    fn wait_for_disk(&self) -> io::Result<()> {
        if !self.syncer.is_idle() {
            poll(&mut [PollFd::new(self.syncer.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
        }
        Ok(())
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

pub(in crate::scribe) fn append(path: &Path) -> File {
    OpenOptions::new().append(true).create_new(true).open(path).unwrap()
}

pub(in crate::scribe) fn released(segment: &str, bytes: impl Into<Option<u64>>) -> FromScribe {
    FromScribe::Released { segment: segment.to_owned(), bytes: bytes.into(), closed: true }
}
