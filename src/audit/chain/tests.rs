use super::store::{Found, Origin, SLOT, Slot, decode};
use super::*;
use crate::audit::encode;
use crate::audit::entry::{Close, Entry, Interrupted, Prune, Pruned, Range, Recover};
use crate::model::time::Timestamp;

const GATE: &str = "20261123T034629.123456Z-7k3qzd-gate-1001-0-12.ndjson";
const SCRIBE: &str = "20261123T034628.000000Z-7k3qzd-scribe-2.ndjson";

fn secret(fill: u8) -> Secret {
    Secret::from_bytes(&mut [fill; 32])
}

fn ts() -> Timestamp {
    Timestamp::from_micros(1_795_405_589_123_456)
}

fn range(from: u64, to: u64) -> Range<'static> {
    Range { segment: GATE, from, to, lines: 1, hash: Digest::of(b"x") }
}

/// A segment of the scribe's: an epoch, then per seal one range.
struct Segment {
    bytes: Vec<u8>,
    n: u64,
    sealed: usize,
    signer: Signer,
    seals: Vec<Sealed>,
}

impl Segment {
    fn begin(handover: Handover, prev: Option<Digest>) -> Segment {
        let mut bytes =
            br#"{"v":1,"t":"open","n":0,"ts":"2026-11-23T03:46:29.123456Z","role":"scribe"}"#.to_vec();
        bytes.push(b'\n');
        let signer = handover.begin(secret(100), prev, 1, ts(), &mut bytes);
        Segment { bytes, n: 2, sealed: 0, signer, seals: Vec::new() }
    }

    fn say(&mut self, entry: &Entry<'_>) {
        encode::line(entry, self.n, ts(), &mut self.bytes);
        self.n += 1;
    }

    fn seal(&mut self) {
        let to = self.bytes.len();
        let hash = Digest::of(&self.bytes[self.sealed..]);
        let next = secret(101 + self.signer.seals() as u8);
        self.seals.push(self.signer.seal(to as u64, hash, next, self.n, ts(), &mut self.bytes));
        self.n += 1;
        self.sealed = to;
    }

    fn filled(handover: Handover, prev: Option<Digest>) -> Segment {
        let mut segment = Segment::begin(handover, prev);
        for i in 0..3 {
            segment.say(&Entry::Range(range(i * 10, i * 10 + 10)));
            segment.seal();
        }
        segment
    }
}

fn genesis() -> Slot {
    Slot { epoch: 0, secret: secret(1), origin: Origin::Genesis }
}

/// Two epochs, and the public key of the genesis.
fn two() -> (Public, Segment, Segment) {
    let public = genesis().secret.public();
    let handover = Handover::new(genesis(), secret(2));
    let Found::Key(next) = decode(&*handover.next().encode()) else { panic!("the slot reads back") };
    let first = Segment::filled(handover, None);
    let second = Segment::filled(Handover::new(next, secret(3)), first.signer.last());
    (public, first, second)
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// What is wrong with a segment, line by line; and how many of its bytes are sealed.
fn wrong(bytes: &[u8]) -> (Vec<Broken>, u64) {
    let mut chain = Chain::new();
    let broken: Vec<Broken> = lines(bytes).filter_map(|line| chain.take(line).err()).collect();
    assert_eq!(chain.is_whole(), broken.is_empty());
    (broken, chain.sealed_to())
}

#[test]
fn seals_of_two_epochs_are_followed_from_the_genesis() {
    let (public, first, second) = two();
    let mut lineage = Lineage::new(vec![public]);
    let mut ledger = Ledger::new();
    let mut prev = None;
    for (number, segment) in [(0, &first)] {
        let mut chain = Chain::new();
        for line in lines(&segment.bytes) {
            ledger.take(&chain.take(line).unwrap().said).unwrap();
            if let Some(Said::Epoch(epoch, signed)) = read(line).map(|line| line.said) {
                lineage.take(epoch, &signed).unwrap();
                assert_eq!((epoch.epoch, epoch.prev), (number, prev));
            }
        }
        assert_eq!(chain.seals(), 3);
        assert_eq!(chain.last(), segment.signer.last());
        assert_eq!(chain.sealed_to(), segment.signer.sealed_to());
        prev = chain.last();
    }
    assert_eq!(ledger.segment(GATE).unwrap().to, 30);
    assert_eq!(wrong(&second.bytes).0, []);
    let epoch = lineage.take_line(lines(&second.bytes).nth(1).unwrap()).unwrap();
    assert_eq!((epoch.epoch, epoch.prev, epoch.again), (1, prev, None));
}

#[test]
fn seal_says_of_itself_what_its_line_says() {
    let (_, first, _) = two();
    let line =
        lines(&first.bytes).filter(|line| line.windows(8).any(|w| w == b"\"t\":\"sea")).last().unwrap();
    let Some(Line { said: Said::Seal(seal, _), .. }) = read(line) else { panic!("a seal") };
    let sealed = first.seals.last().unwrap();
    assert_eq!((seal.epoch, seal.i, seal.next), (sealed.epoch, sealed.i, sealed.next));
    assert_eq!(sealed.hash, Digest::of(line));
}

#[test]
fn every_flipped_bit_below_the_last_seal_breaks_the_segment() {
    let (_, first, _) = two();
    let end = first.bytes.iter().rposition(|byte| *byte == b'{').unwrap();
    for at in 0..first.bytes.len() {
        for bit in [1, 0x20, 0x80] {
            let mut bytes = first.bytes.clone();
            bytes[at] ^= bit;
            let (broken, sealed) = wrong(&bytes);
            assert!(!broken.is_empty() || sealed < end as u64, "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn lines_left_out_swapped_or_doubled_break_the_segment() {
    let (_, first, second) = two();
    let all: Vec<&[u8]> = lines(&first.bytes).collect();
    let joined = |lines: &[&[u8]]| lines.iter().flat_map(|line| [line, b"\n".as_slice()].concat()).collect();
    for at in 0..all.len() - 1 {
        let without: Vec<&[u8]> = [&all[..at], &all[at + 1..]].concat();
        let bytes: Vec<u8> = joined(&without);
        assert!(!wrong(&bytes).0.is_empty(), "without {at}");
        let mut swapped = all.clone();
        swapped.swap(at, at + 1);
        let bytes: Vec<u8> = joined(&swapped);
        assert!(!wrong(&bytes).0.is_empty(), "swapped {at}");
        let doubled: Vec<&[u8]> = [&all[..=at], &all[at..]].concat();
        let bytes: Vec<u8> = joined(&doubled);
        assert!(!wrong(&bytes).0.is_empty(), "doubled {at}");
    }
    // A seal of the same number from another epoch.
    let other: Vec<&[u8]> = lines(&second.bytes).collect();
    let mut mixed = all.clone();
    mixed[3] = other[3];
    let bytes: Vec<u8> = joined(&mixed);
    assert_eq!(wrong(&bytes).0.first(), Some(&Broken::Epoch { found: 1 }));
}

#[test]
fn lineage_other_genesis_leap_and_second_use_are_strangers() {
    let (public, first, second) = two();
    let zero = lines(&first.bytes).nth(1).unwrap();
    let one = lines(&second.bytes).nth(1).unwrap();
    assert_eq!(Lineage::new(vec![secret(9).public()]).take_line(zero), Err(Stranger::Unpinned));
    let mut lineage = Lineage::new(vec![public]);
    assert_eq!(lineage.take_line(one), Err(Stranger::Unpinned));
    lineage.take_line(zero).unwrap();
    lineage.take_line(one).unwrap();
    lineage.take_line(zero).unwrap();
    // The same key, used once more.
    let twice = Segment::filled(Handover::new(genesis(), secret(8)), None);
    assert_eq!(lineage.take_line(lines(&twice.bytes).nth(1).unwrap()), Err(Stranger::Twice));
    // A key that nobody named.
    let slot = Slot { epoch: 2, secret: secret(7), origin: Origin::Before(secret(2).public()) };
    let other = Segment::filled(Handover::new(slot, secret(8)), None);
    assert_eq!(lineage.take_line(lines(&other.bytes).nth(1).unwrap()), Err(Stranger::Key));
    let slot = Slot { epoch: 5, secret: secret(3), origin: Origin::Before(secret(2).public()) };
    let leap = Segment::filled(Handover::new(slot, secret(8)), None);
    assert_eq!(lineage.take_line(lines(&leap.bytes).nth(1).unwrap()), Err(Stranger::Index(2)));
    assert_eq!(lineage.take_line(b"{}"), Err(Stranger::Foreign));
}

#[test]
fn lineage_new_genesis_needs_its_own_pin() {
    let (public, first, _) = two();
    let known = first.signer.last();
    let slot = || Slot { epoch: 1, secret: secret(50), origin: Origin::Again(known) };
    let again = Segment::filled(Handover::new(slot(), secret(51)), known);
    let zero = lines(&first.bytes).nth(1).unwrap();
    let one = lines(&again.bytes).nth(1).unwrap();
    let mut lineage = Lineage::new(vec![public]);
    lineage.take_line(zero).unwrap();
    assert_eq!(lineage.take_line(one), Err(Stranger::Again));
    let mut lineage = Lineage::new(vec![public, slot().secret.public()]);
    lineage.take_line(zero).unwrap();
    assert_eq!(lineage.take_line(one).map(|epoch| epoch.again), Ok(known));
}

#[test]
fn ledger_adds_ranges_up_to_the_close() {
    let mut ledger = Ledger::new();
    let close = |bytes| Said::Close(Close { segment: GATE, bytes, torn: false });
    let prune =
        |bytes| Said::Prune(Prune { segment: GATE, bytes, hash: None, why: Pruned::Age, ended: None });
    ledger.take(&Said::Range(range(0, 10))).unwrap();
    assert_eq!(ledger.open().count(), 1);
    let found = Recover::Segment { segment: GATE, from: 10, to: 30, torn: true, why: Interrupted::Restart };
    ledger.take(&Said::Recover(found)).unwrap();
    ledger.take(&Said::Range(range(10, 30))).unwrap();
    let mut short = ledger.clone();
    assert_eq!(short.take(&close(29)), Err(Breach::Length { sealed: 30, said: 29 }));
    let mut early = ledger.clone();
    assert_eq!(early.take(&prune(30)), Err(Breach::Open));
    let mut gap = ledger.clone();
    assert_eq!(gap.take(&Said::Range(range(31, 40))), Err(Breach::Gap { expected: 30, found: 31 }));
    assert_eq!(gap.take(&Said::Range(range(40, 40))), Err(Breach::Backwards));
    ledger.take(&close(30)).unwrap();
    assert_eq!(ledger.open().count(), 0);
    assert_eq!(ledger.clone().take(&Said::Range(range(30, 40))), Err(Breach::Over));
    ledger.take(&prune(30)).unwrap();
    assert!(ledger.segment(GATE).unwrap().pruned);
    ledger.take(&prune(30)).unwrap();
    assert_eq!(ledger.clone().take(&prune(31)), Err(Breach::Over), "said again, and another");
    assert_eq!(ledger.clone().take(&close(30)), Err(Breach::Over));
    // Begun late, a segment may be met in the middle.
    let mut late = Ledger::late();
    late.take(&Said::Range(range(10, 30))).unwrap();
    assert_eq!(late.take(&Said::Range(range(31, 40))), Err(Breach::Gap { expected: 30, found: 31 }));
    assert!(is_scribes(SCRIBE) && !is_scribes(GATE) && !is_scribes("seal.key"));
}

#[test]
fn slot_reads_back_and_any_change_is_damage() {
    for origin in [
        Origin::Genesis,
        Origin::Before(secret(3).public()),
        Origin::Again(None),
        Origin::Again(Some(Digest::of(b"seal"))),
    ] {
        let slot = Slot { epoch: 7, secret: secret(2), origin };
        let bytes = slot.encode();
        assert_eq!(decode(&*bytes), Found::Key(slot));
        for at in 0..SLOT {
            let mut other = *bytes;
            other[at] ^= 1;
            assert_eq!(decode(&other), Found::Damaged, "{at}");
            assert_eq!(decode(&bytes[..at.max(1)]), Found::Damaged, "{at} bytes");
        }
    }
    assert_eq!(decode(&[0; SLOT]), Found::Free);
    assert_eq!(decode(&[]), Found::Free);
}

#[test]
fn handover_resumes_only_with_the_key_that_follows() {
    let handover = Handover::new(genesis(), secret(2));
    let Found::Key(next) = decode(&*handover.next().encode()) else { panic!("a key") };
    assert!(Handover::resume(genesis(), next).is_some());
    let stranger = Slot { epoch: 1, secret: secret(2), origin: Origin::Before(secret(9).public()) };
    assert!(Handover::resume(genesis(), stranger).is_none());
    let leap = Slot { epoch: 2, secret: secret(2), origin: Origin::Before(secret(1).public()) };
    assert!(Handover::resume(genesis(), leap).is_none());
}

#[test]
fn secret_leaves_nothing_where_it_was_and_says_nothing() {
    let mut bytes = [7; 32];
    let secret = Secret::from_bytes(&mut bytes);
    assert_eq!(bytes, [0; 32]);
    let slot = Slot { epoch: 1, secret, origin: Origin::Genesis };
    assert!(!format!("{slot:?}").contains('7'));
}

#[test]
fn head_is_found_in_whatever_line_carries_it() {
    let (public, first, _) = two();
    let sealed = first.seals.last().unwrap();
    for log in [None, Some(LogId::of(&public))] {
        let head = Head::of(sealed, log);
        for line in [
            format!("{head}"),
            format!("<110>1 2026-11-23T03:46:29Z host peergated 7 - - {head}"),
            format!(r#"{{"MESSAGE":"{head}","_PID":"7"}}"#),
            format!("Nov 23 03:46:29 host peergated[7]: {head} \r\n"),
            format!("said before it: peergate-head v1 oops {head}"),
        ] {
            assert_eq!(Head::find(&line), Some(head.clone()), "{line}");
        }
        for broken in [
            format!("{head}").replace("epoch=0", "epoch=00"),
            format!("{head}").replace("i=2", "i=-2"),
            format!("{head}").replace("hash=", "hash=0"),
            format!("{head}").replace(" v1 ", " v2 "),
            "peergate-head v1 ".to_owned(),
            format!("{} log=0123456789abcdef,", Head::of(sealed, None)),
        ] {
            assert_eq!(Head::find(&broken), None, "{broken}");
        }
    }
}

#[test]
fn read_takes_the_one_spelling_only() {
    let mut line = Vec::new();
    encode::line(&Entry::Range(range(0, 10)), 3, ts(), &mut line);
    let text = String::from_utf8(line).unwrap();
    assert!(matches!(read(text.as_bytes()), Some(Line { n: 3, said: Said::Range(_), .. })));
    for (from, to) in [
        (r#""n":3"#, r#""n":03"#),
        (r#""from":0"#, r#""from":-0"#),
        (r#""lines":1"#, r#""lines":"1""#),
        (r#""from":0,"to":10"#, r#""to":10,"from":0"#),
        ("}", r#","to":10}"#),
        (r#""t":"range""#, r#""t":"conn""#),
    ] {
        let other = text.replace(from, to);
        assert_ne!(other, text);
        assert!(read(other.as_bytes()).is_none(), "{other}");
    }
    // What a later release may add is passed over; a kind with a signature is a link of the chain.
    for (from, to, is_later) in [("}", r#","more":1}"#, false), (r#""t":"range""#, r#""t":"rang""#, true)] {
        let said = text.replace(from, to);
        assert_eq!(matches!(read(said.as_bytes()).unwrap().said, Said::Later(_)), is_later, "{said}");
    }
    assert!(read(text.replace("range", "rang").replace("hash", "sig").as_bytes()).is_none());
}
