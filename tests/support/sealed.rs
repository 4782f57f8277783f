//! A sealed record on disk, written by the encoder and the signer that the scribe uses, without a scribe: small,
//! the same each time, and damaged at will.
#![allow(dead_code, reason = "each test uses its part")]

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use peergate::audit::chain::store::{Found, Origin, Slot, decode};
use peergate::audit::chain::{Digest, EPOCHS, Handover, Head, LogId, Public, Sealed, Secret, Signer};
use peergate::audit::encode;
use peergate::audit::entry::{
    Close, Decided, Decision, Ended, Entry, Interrupted, Open, OutcomeOf, Pending, Prune, Pruned, Range,
    Recover,
};
use peergate::audit::segment;
use peergate::model::ids::{BootId, ConnectionId, RequestId};
use peergate::model::outcome::Outcome;
use peergate::model::posture::Confinement;
use peergate::model::time::Timestamp;

/// 2026-11-23T03:46:29Z.
const START: u64 = 1_795_405_589_000_000;

/// A segment that is being written.
pub(crate) struct Writing {
    pub(crate) name: String,
    bytes: Vec<u8>,
    n: u64,
    /// What ranges cover.
    ranged: usize,
    open: bool,
}

/// A record that grows.
pub(crate) struct Record {
    directory: PathBuf,
    boot: BootId,
    clock: u64,
    number: u32,
    seed: u8,
    drawn: u8,
    genesis: Public,
    writers: BTreeMap<String, Writing>,
    own: Writing,
    signer: Option<Signer>,
    next: Option<Slot>,
    /// Where the span begins that the next seal covers.
    span: usize,
    /// Ranges up to here are sealed, by segment.
    sealed: BTreeMap<String, usize>,
    pub(crate) seals: Vec<Sealed>,
    /// What each scribe's segment of before came to.
    pub(crate) ended: BTreeMap<String, Ended>,
}

fn secret(seed: u8, drawn: &mut u8) -> Secret {
    *drawn += 1;
    let mut bytes = [seed; 32];
    bytes[0] = *drawn;
    Secret::from_bytes(&mut bytes)
}

pub(crate) fn boot(number: u32) -> BootId {
    BootId::from_random(0x1234_5678 ^ number)
}

impl Record {
    /// The first epoch begins. Records of different seeds have nothing in common but their form.
    pub(crate) fn begin(directory: &Path, seed: u8) -> Record {
        let mut drawn = 0;
        let slot = Slot { epoch: 0, secret: secret(seed, &mut drawn), origin: Origin::Genesis };
        let genesis = slot.secret.public();
        fs::write(directory.join("genesis.pub"), format!("{genesis}\n")).unwrap();
        fs::write(directory.join("hash.key"), [7; 32]).unwrap();
        fs::write(directory.join(EPOCHS), "").unwrap();
        let mut record = Record {
            directory: directory.to_owned(),
            boot: boot(seed.into()),
            clock: START + u64::from(seed) * 1_000,
            number: 0,
            seed,
            drawn,
            genesis,
            writers: BTreeMap::new(),
            own: Writing { name: String::new(), bytes: Vec::new(), n: 0, ranged: 0, open: true },
            signer: None,
            next: None,
            span: 0,
            sealed: BTreeMap::new(),
            seals: Vec::new(),
            ended: BTreeMap::new(),
        };
        record.epoch(slot);
        record
    }

    pub(crate) fn genesis(&self) -> Public {
        self.genesis
    }

    pub(crate) fn own_name(&self) -> &str {
        &self.own.name
    }

    /// The latest seal's head.
    pub(crate) fn head(&self) -> Head {
        Head::of(self.seals.last().unwrap(), Some(LogId::of(&self.genesis)))
    }

    fn tick(&mut self) -> Timestamp {
        self.clock += 1_000;
        Timestamp::from_micros(self.clock)
    }

    /// Time passes.
    pub(crate) fn wait(&mut self, seconds: u64) {
        self.clock += seconds * 1_000_000;
    }

    fn draw(&mut self) -> Secret {
        secret(self.seed, &mut self.drawn)
    }

    fn name(&mut self, role: &str) -> String {
        self.number += 1;
        let made = self.tick();
        segment::name(made, self.boot, &format!("{role}-{}", self.number))
    }

    fn epoch(&mut self, slot: Slot) {
        let next = self.draw();
        self.epoch_with(Handover::new(slot, next));
    }

    fn epoch_with(&mut self, handover: Handover) {
        let Found::Key(next) = decode(&*handover.next().encode()) else { panic!("a key") };
        let prev = self.seals.last().map(|sealed| sealed.hash);
        self.own = self.opened("scribe");
        let (first, ts) = (self.draw(), self.tick());
        let mut line = Vec::new();
        self.signer = Some(handover.begin(first, prev, 1, ts, &mut line));
        self.own.bytes.extend_from_slice(&line);
        self.own.n = 2;
        self.next = Some(next);
        self.span = 0;
        append(&self.directory.join(EPOCHS), &line);
        self.store_own();
    }

    fn opened(&mut self, role: &str) -> Writing {
        let name = self.name(role);
        let mut writing = Writing { name, bytes: Vec::new(), n: 0, ranged: 0, open: true };
        let posture = Confinement::default();
        let open = Open {
            boot: self.boot,
            role: role.split('-').next().unwrap(),
            uid: None,
            pid: 7,
            version: "0.1.0",
            policy: "9f2c1e77",
            missing: &[],
            posture: &posture,
        };
        let ts = self.tick();
        encode::line(&Entry::Open(open), 0, ts, &mut writing.bytes);
        writing.n = 1;
        writing
    }

    /// A writer begins a segment; `role` is `gate-1001-0` or `warden`. Its name.
    pub(crate) fn writer(&mut self, role: &str) -> String {
        let writing = self.opened(role);
        let name = writing.name.clone();
        self.writers.insert(name.clone(), writing);
        self.store(&name);
        name
    }

    fn store(&self, name: &str) {
        fs::write(self.directory.join(name), &self.writers[name].bytes).unwrap();
    }

    fn store_own(&self) {
        fs::write(self.directory.join(&self.own.name), &self.own.bytes).unwrap();
    }

    /// One access: a decision and its outcome.
    pub(crate) fn access(&mut self, name: &str, number: u32, target: &str) {
        self.note(name, number, target);
        self.store(name);
    }

    fn note(&mut self, name: &str, number: u32, target: &str) {
        let id = RequestId { connection: ConnectionId { boot: self.boot, number: 41 }, number };
        let decision = Decision {
            id,
            uid: 1001,
            pid: 48213,
            method: b"GET",
            target: target.as_bytes(),
            route: Some("things"),
            verdict: Decided::Allow,
            by: Some("who.ci"),
            at: None,
            policy: "9f2c1e77",
            shadow: None,
            part: None,
            fields: &[],
            status: None,
            us: None,
        };
        let result = Outcome::Completed;
        let outcome = OutcomeOf { id, status: Some(200), result, bytes_in: 0, bytes_out: 5, us: 9 };
        for entry in [Entry::Decision(decision), Entry::Outcome(outcome)] {
            let ts = self.tick();
            let writing = self.writers.get_mut(name).unwrap();
            encode::line(&entry, writing.n, ts, &mut writing.bytes);
            writing.n += 1;
        }
    }

    /// A line of a writer's that no encoder here makes: its kind, and what follows `ts`.
    pub(crate) fn line(&mut self, name: &str, kind: &str, rest: &str) {
        let ts = self.tick();
        let writing = self.writers.get_mut(name).unwrap();
        writeln!(writing.bytes, r#"{{"v":1,"t":"{kind}","n":{},"ts":"{ts}",{rest}}}"#, writing.n).unwrap();
        writing.n += 1;
        self.store(name);
    }

    /// The same, of the scribe's.
    pub(crate) fn own_line(&mut self, kind: &str, rest: &str) {
        let ts = self.tick();
        writeln!(self.own.bytes, r#"{{"v":1,"t":"{kind}","n":{},"ts":"{ts}",{rest}}}"#, self.own.n).unwrap();
        self.own.n += 1;
        self.store_own();
    }

    /// Accesses until each of `names` has `bytes`, with a seal whenever they grew by `step`.
    pub(crate) fn fill(&mut self, names: &[String], bytes: u64, step: u64) {
        let mut number = 0;
        let mut sealed = 0;
        while names.iter().any(|name| (self.writers[name].bytes.len() as u64) < bytes) {
            number += 1;
            for name in names {
                self.note(name, number, &format!("/v1.41/containers/json?all=1&limit={number}"));
            }
            let length = self.writers[&names[0]].bytes.len() as u64;
            if length - sealed >= step {
                sealed = length;
                self.seal();
            }
        }
        names.iter().for_each(|name| self.store(name));
    }

    /// The writer dies over a line.
    pub(crate) fn tear(&mut self, name: &str) {
        let writing = self.writers.get_mut(name).unwrap();
        writing.bytes.extend_from_slice(br#"{"v":1,"t":"deci"#);
        self.store(name);
    }

    fn say(&mut self, entry: &Entry<'_>) {
        let ts = self.tick();
        encode::line(entry, self.own.n, ts, &mut self.own.bytes);
        self.own.n += 1;
    }

    fn range(&mut self, name: &str, upto: usize) {
        let writing = &self.writers[name];
        let from = writing.ranged;
        if upto == from {
            return;
        }
        let bytes = &writing.bytes[from..upto];
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        let hash = Digest::of(bytes);
        let range = Range { segment: name, from: from as u64, to: upto as u64, lines, hash };
        self.say(&Entry::Range(range));
        self.writers.get_mut(name).unwrap().ranged = upto;
    }

    /// All whole lines get a range, and a seal.
    pub(crate) fn seal(&mut self) -> Head {
        for name in self.open_names() {
            let bytes = &self.writers[&name].bytes;
            let upto = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            self.range(&name, upto.max(self.writers[&name].ranged));
        }
        self.seal_own();
        self.head()
    }

    /// A seal over what was said, and no new ranges.
    pub(crate) fn seal_own(&mut self) {
        let to = self.own.bytes.len();
        let hash = Digest::of(&self.own.bytes[self.span..]);
        let (next, ts, n) = (self.draw(), self.tick(), self.own.n);
        let sealed = self.signer.as_mut().unwrap().seal(to as u64, hash, next, n, ts, &mut self.own.bytes);
        self.seals.push(sealed);
        self.own.n += 1;
        self.span = to;
        for (name, writing) in &self.writers {
            self.sealed.insert(name.clone(), writing.ranged);
        }
        self.store_own();
    }

    fn open_names(&self) -> Vec<String> {
        self.writers.iter().filter(|(_, writing)| writing.open).map(|(name, _)| name.clone()).collect()
    }

    /// A writer is done: the rest is ranged, and the segment closed.
    pub(crate) fn close(&mut self, name: &str) {
        let length = self.writers[name].bytes.len();
        self.range(name, length);
        let torn = !self.writers[name].bytes.ends_with(b"\n");
        if self.number.is_multiple_of(2) {
            let id = RequestId { connection: ConnectionId { boot: self.boot, number: 41 }, number: 9 };
            self.say(&Entry::Pending(Pending { segment: name, ids: &[id] }));
        }
        self.say(&Entry::Close(Close { segment: name, bytes: length as u64, torn }));
        self.writers.get_mut(name).unwrap().open = false;
    }

    /// The scribe's segment has its size: another epoch, in the same start.
    pub(crate) fn rotate(&mut self) {
        let name = std::mem::take(&mut self.own.name);
        self.end_own(&name);
        let slot = self.next.take().unwrap();
        self.epoch(slot);
    }

    fn end_own(&mut self, name: &str) {
        let signer = self.signer.as_ref().unwrap();
        let ended = Ended { epoch: signer.epoch(), seals: signer.seals(), last: signer.last() };
        self.ended.insert(name.to_owned(), ended);
    }

    /// Everything is killed, and started again: what is open is recovered, the scribe's own segment too.
    pub(crate) fn restart(&mut self) {
        self.seed_boot();
        let name = self.own.name.clone();
        let length = self.own.bytes.len();
        let old = Writing {
            name: name.clone(),
            bytes: self.own.bytes.clone(),
            n: self.own.n,
            ranged: 0,
            open: true,
        };
        self.end_own(&name);
        for (name, writing) in &mut self.writers {
            writing.ranged = self.sealed.get(name).copied().unwrap_or(0);
        }
        self.writers.insert(name.clone(), old);
        assert_eq!(self.writers[&name].bytes.len(), length);
        let slot = self.next.take().unwrap();
        self.epoch(slot);
        let open = self.open_names();
        for name in &open {
            let writing = &self.writers[name];
            let (from, to) = (writing.ranged as u64, writing.bytes.len() as u64);
            let torn = !writing.bytes.ends_with(b"\n");
            self.say(&Entry::Recover(Recover::Segment {
                segment: name,
                from,
                to,
                torn,
                why: Interrupted::Restart,
            }));
        }
        for name in &open {
            self.close(name);
        }
        self.seal_own();
        self.say(&Entry::Recover(Recover::Settled(open.len() as u64)));
        self.seal_own();
    }

    fn seed_boot(&mut self) {
        self.boot = boot(u32::from(self.seed) + 100 + u32::from(self.drawn));
    }

    /// A closed segment is removed, by a sealed record.
    pub(crate) fn prune(&mut self, name: &str) {
        let bytes = fs::metadata(self.directory.join(name)).unwrap().len();
        let ended = self.ended.get(name).copied();
        self.say(&Entry::Prune(Prune { segment: name, bytes, hash: None, why: Pruned::Age, ended }));
        self.seal_own();
        fs::remove_file(self.directory.join(name)).unwrap();
        self.writers.remove(name);
    }

    /// A closed segment is compressed.
    #[cfg(feature = "cli")]
    pub(crate) fn pack(&mut self, name: &str) {
        let path = self.directory.join(name);
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(&fs::read(&path).unwrap()).unwrap();
        fs::write(self.directory.join(format!("{name}.zst")), encoder.finish().unwrap()).unwrap();
        fs::remove_file(&path).unwrap();
    }
}

fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}
