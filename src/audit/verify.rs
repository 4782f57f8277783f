//! Whether a record is what the scribe sealed: offline, with nothing but the public key of the genesis.
//!
//! 1. [`survey`]: what lies in the directory.
//! 2. [`told`]: each segment of the scribe's by itself, several at a time: signatures, spans, what it says of others.
//! 3. [`lineage`]: the epochs in their order, from the pinned key on; each goes on where the one before ended.
//! 4. the ledger: what all of them say of each segment, which has to make sense.
//! 5. [`bytes`]: each segment's bytes against its ranges, several at a time; each line by its writer's rules.
//! 6. [`witness`]: heads that were kept elsewhere, against the end.
//!
//! It goes on behind damage. What a seal does not vouch for is counted as unsealed, and never as trusted.
#![doc = include_str!("../manual/verify.md")]

mod bytes;
mod kind;
mod lineage;
mod rename;
mod survey;
mod told;
mod witness;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use super::chain::{Breach, EPOCHS, Head, Ledger, Public, is_scribes};
use super::entry::{Interrupted, Seen};
use super::reader::source::{self, Source};
use super::segment::{PACKED, SegmentName};
use crate::model::time::Timestamp;
use bytes::{Checked, Expected};
use survey::{Forms, Survey};
use told::{Told, What};
use witness::Wanted;

pub use kind::{Damage, Kind};
pub use witness::{End, heads};

/// A segment that no seal names yet may be so much older than the last seal, in microseconds: the daemon refuses
/// requests long before.
const YOUNG: u64 = 30_000_000;
/// The longest list of epochs that is read: two hundred thousand of them.
const EPOCHS_MAX: u64 = 128 << 20;

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// The pinned keys: the genesis, and each that `audit init --again` made.
    pub pins: Vec<Public>,
    /// What witnesses kept; `None` where nobody was asked.
    pub heads: Option<Vec<Head>>,
    /// Only these segments' bytes are read; all where empty. The seals are read in any case.
    pub only: BTreeSet<String>,
    /// Files at a time; 0: as many as there are cores.
    pub threads: usize,
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Everything that is wrong, the gravest first.
    pub damages: Vec<Damage>,
    /// The last trusted seal: epoch, number, time.
    pub trusted: Option<(u64, u64, String)>,
    /// What is known of the end.
    pub end: Option<End>,
    /// Epochs that the pinned keys lead to.
    pub epochs: u64,
    /// Seals that were checked.
    pub seals: u64,
    /// Segments whose bytes were read.
    pub segments: u64,
    /// Segments that a sealed `prune` says were removed.
    pub pruned: u64,
    /// Records that a seal vouches for.
    pub sealed: u64,
    /// Records that none does, or none does any more.
    pub unsealed: u64,
    /// Bytes of torn lines.
    pub torn: u64,
    /// Bytes read, uncompressed.
    pub bytes: u64,
    /// Epochs that found segments which an earlier start had left open: a crash, or a cut at a seal. Only a witness
    /// tells these apart.
    pub interrupted: Vec<u64>,
}

impl Report {
    /// 0 where nothing is wrong.
    pub fn exit_code(&self) -> u8 {
        self.damages.first().map_or(0, |damage| damage.kind.exit_code())
    }
}

/// Verifies the record in `directory`. `progress` is told now and then how many of how many bytes are read.
///
/// # Errors
///
/// The directory can't be listed. What is wrong with a file is damage.
pub fn verify(
    directory: &Path,
    question: &Question,
    progress: &mut dyn FnMut(u64, u64),
) -> io::Result<Report> {
    // First, so that an epoch that begins meanwhile is not missed in what is read later.
    let listed = source::regular(&directory.join(EPOCHS)).and_then(|file| {
        let mut bytes = Vec::new();
        file.take(EPOCHS_MAX).read_to_end(&mut bytes).map(|_| bytes)
    });
    let Survey { segments, strangers } = survey::survey(directory)?;
    let mut report = Report { damages: strangers, ..Report::default() };
    let wanted = Wanted::of(question.heads.as_deref().unwrap_or_default(), &question.pins);

    let total = segments.values().map(|forms| forms.plain.or(forms.packed).unwrap_or(0)).sum();
    let done = AtomicU64::new(0);
    let threads = match question.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };

    let own: Vec<&String> = segments.keys().filter(|name| is_scribes(name)).collect();
    let read = |name: &&String| {
        let file = shown(name, segments.get(*name));
        let told = Source::open(directory, name, 0)
            .and_then(|source| told::read(name, &file, source, &|epoch, i| wanted.has(epoch, i)));
        let bytes = told.as_ref().map_or(0, |told| told.bytes);
        done.fetch_add(bytes, Ordering::Relaxed);
        told.map_err(|error| unreadable(&file, &error))
    };
    let mut told = Vec::new();
    for result in together(threads, &own, read, &mut || progress(done.load(Ordering::Relaxed), total)) {
        match result {
            Ok(read) => told.push(read),
            Err(damage) => report.damages.push(damage),
        }
    }
    told.sort_by_key(|told: &Told| (told.epoch.as_ref().map(|(epoch, _)| epoch.epoch), told.segment.clone()));

    let walked = lineage::walk(listed, &question.pins, &mut told);
    report.damages.extend(walked.damages);
    let told_why = |damage: &Damage| matches!(damage.kind, Kind::NewGenesis | Kind::WrongKey);
    if walked.lost && !report.damages.iter().any(told_why) {
        report.damages.push(Damage::of(
            Kind::WrongKey,
            EPOCHS,
            "there is no epoch that the pinned key leads to",
        ));
    }
    lineage::join(&walked.lineage, &told, &mut report.damages);
    report.epochs = walked.lineage.epochs().count() as u64;
    for told in &mut told {
        report.damages.append(&mut told.damages);
        report.seals += told.seals;
        report.bytes += told.bytes;
    }

    let Accounts { ledger, expected } = accounts(&told, &segments, &mut report);
    if !walked.lost {
        missing(&ledger, &expected, &segments, &mut report);
        let items = items(&segments, question);
        let check = |item: &(String, String, bool)| {
            let (segment, file, packed) = item;
            let expected = expected.get(segment).cloned().unwrap_or_default();
            let source = if *packed {
                Source::open_packed(directory, segment)
            } else {
                Source::open(directory, segment, 0)
            };
            let mut count = |bytes| {
                done.fetch_add(bytes, Ordering::Relaxed);
            };
            let checked =
                source.and_then(|source| bytes::check(segment, file, source, &expected, &mut count));
            (item.clone(), checked)
        };
        let mut results =
            together(threads, &items, check, &mut || progress(done.load(Ordering::Relaxed), total));
        results.sort_by(|(one, _), (other, _)| one.cmp(other));
        rename::find(directory, &mut results, &expected);
        for ((segment, file, packed), checked) in results {
            let checked = match checked {
                Ok(checked) => checked,
                Err(error) => {
                    let kind = if packed && error.kind() != io::ErrorKind::PermissionDenied {
                        Kind::Packed
                    } else {
                        Kind::Unreadable
                    };
                    report.damages.push(Damage::of(kind, file, error.to_string()));
                    continue;
                }
            };
            add(&mut report, &segment, &file, checked, &ledger, &told);
        }
    }
    let newest = told.iter().rev().find(|told| told.epoch.is_some()).map(|told| told.segment.clone());
    for own in told.iter().filter(|told| told.epoch.is_some()) {
        let is_newest = newest.as_ref() == Some(&own.segment);
        add_own(&mut report, own, is_newest, expected.get(&own.segment));
    }

    let last = told.iter().rev().find(|told| told.last.is_some());
    report.trusted = last.and_then(|told| {
        let (epoch, _) = told.epoch.as_ref()?;
        told.last.as_ref().map(|mark| (epoch.epoch, mark.i, mark.ts.clone()))
    });
    let pruned = |epoch: u64| {
        told.iter().flat_map(|told| &told.facts).any(|fact| match &fact.what {
            What::Prune(prune) => prune.ended.is_some_and(|ended| ended.epoch == epoch),
            _ => false,
        })
    };
    report.end = Some(match question.heads {
        None => End::NotProven,
        Some(_) => wanted.judge(&told, &pruned, &mut report.damages),
    });
    report.damages.sort_by(|one, other| {
        (one.kind, &one.file, one.bytes, one.lines).cmp(&(other.kind, &other.file, other.bytes, other.lines))
    });
    progress(total, total);
    Ok(report)
}

struct Accounts {
    ledger: Ledger,
    expected: BTreeMap<String, Expected>,
}

/// Adds up what the scribe said of each segment.
fn accounts(told: &[Told], segments: &BTreeMap<String, Forms>, report: &mut Report) -> Accounts {
    let first = told.iter().find_map(|told| told.epoch.as_ref());
    let late = first.is_none_or(|(epoch, _)| epoch.epoch > 0);
    let mut ledger = if late { Ledger::late() } else { Ledger::new() };
    let mut expected: BTreeMap<String, Expected> = BTreeMap::new();
    for told in told {
        let number = told.epoch.as_ref().map_or(0, |(epoch, _)| epoch.epoch);
        for fact in &told.facts {
            // A segment may be gone only where a seal that is to be trusted says so.
            if fact.doubtful && matches!(fact.what, What::Prune(_)) {
                continue;
            }
            let wrong = ledger.take(&fact.said()).err();
            if let (Some(breach), false) = (wrong, fact.doubtful) {
                let kind = match breach {
                    Breach::Gap { .. } => Kind::MissingRange,
                    _ => Kind::Contradiction,
                };
                let what = format!("{}: {breach}", fact.segment);
                report.damages.push(Damage {
                    lines: Some((fact.line, fact.line)),
                    ..Damage::of(kind, &*told.file, what)
                });
            }
            let name = &*fact.segment;
            if !expected.contains_key(name) {
                expected.insert(name.to_owned(), Expected::default());
            }
            let Some(account) = expected.get_mut(name) else { continue };
            match &fact.what {
                What::Range(part) => {
                    if account.parts.last().is_none_or(|(last, _)| last.to <= part.from) {
                        account.parts.push((*part, fact.doubtful));
                    }
                }
                What::Close(bytes, torn) => {
                    account.closed = Some((*bytes, *torn));
                    account.torn |= torn;
                }
                What::Recover(_, _, torn, why) => {
                    account.torn |= torn;
                    if *why == Interrupted::Restart && report.interrupted.last() != Some(&number) {
                        report.interrupted.push(number);
                    }
                }
                What::Prune(_) => report.pruned += 1,
                What::Intrusion(at, why) => {
                    let place = format!("line {} of {}", fact.line, told.file);
                    if *why == Seen::Gone && !segments.contains_key(name) {
                        // Once: as the segment that is missing.
                        account.gone = Some(place);
                        continue;
                    }
                    account.intruded = true;
                    let what = format!("the scribe saw it in {place}: {}", why.code());
                    report
                        .damages
                        .push(Damage { bytes: Some((*at, *at)), ..Damage::of(Kind::Intrusion, name, what) });
                }
            }
        }
    }
    Accounts { ledger, expected }
}

/// Segments that are sealed, not pruned, and not there.
fn missing(
    ledger: &Ledger,
    expected: &BTreeMap<String, Expected>,
    segments: &BTreeMap<String, Forms>,
    report: &mut Report,
) {
    for (name, account) in ledger.segments() {
        // One that is closed empty may never have been anything.
        if !segments.contains_key(name) && !account.pruned {
            let known = expected.get(name).and_then(|expected| expected.gone.as_ref());
            let seen = known.map(|place| format!("; the scribe found that in {place}")).unwrap_or_default();
            let what = format!("{} bytes of it are sealed, and it is gone{seen}", account.to);
            report.damages.push(Damage::of(Kind::MissingSegment, name, what));
        }
    }
}

/// The files whose bytes are to be read, large ones first.
fn items(segments: &BTreeMap<String, Forms>, question: &Question) -> Vec<(String, String, bool)> {
    let mut items = Vec::new();
    for (name, forms) in segments {
        if !question.only.is_empty() && !question.only.contains(name) {
            continue;
        }
        if let Some(length) = forms.plain {
            items.push((length, (name.clone(), name.clone(), false)));
        }
        if let Some(length) = forms.packed {
            items.push((length * 8, (name.clone(), format!("{name}{PACKED}"), true)));
        }
    }
    items.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    items.into_iter().map(|(_, item)| item).collect()
}

/// What came of one file.
fn add(report: &mut Report, segment: &str, file: &str, checked: Checked, ledger: &Ledger, told: &[Told]) {
    report.segments += 1;
    report.damages.extend(checked.damages);
    // Those are counted by what their own seals say.
    if told.iter().any(|told| told.segment == segment && told.epoch.is_some()) {
        return;
    }
    report.bytes += checked.bytes;
    report.sealed += checked.sealed;
    report.unsealed += checked.unsealed;
    report.torn += checked.torn;
    let Some(account) = ledger.segment(segment) else {
        let old = told
            .iter()
            .rev()
            .find_map(|told| told.last.as_ref())
            .is_some_and(|last| is_older(segment, &last.ts));
        let strange = !told.iter().any(|told| is_of_start(segment, &told.segment));
        if (old || strange) && checked.bytes > 0 {
            let what = format!(
                "no seal names it, and it is older than the last one or of another start: {} records",
                checked.unsealed
            );
            report.damages.push(Damage::of(Kind::Unnamed, file, what));
        }
        return;
    };
    if account.pruned && account.closed.is_none() && !is_scribes(segment) {
        let what = "it was pruned, by what is sealed of it, and is here";
        report.damages.push(Damage::of(Kind::Contradiction, file, what));
    }
}

/// Counts a segment of the scribe's: its lines are sealed by its own seals, and what is behind the last one by a later
/// epoch's ranges, if by any. A segment that is over says nothing new: it was closed where it ends.
fn add_own(report: &mut Report, own: &Told, is_newest: bool, expected: Option<&Expected>) {
    let ranged = expected.and_then(|expected| expected.parts.last()).map_or(0, |(part, _)| part.to);
    let covered = ranged >= own.bytes;
    let behind = if covered { 0 } else { own.behind };
    report.unsealed += behind;
    report.sealed += own.lines.saturating_sub(behind);
    report.torn += own.torn;
    let closed = expected.and_then(|expected| expected.closed);
    if (behind > 0 || own.torn > 0 && !covered) && !is_newest && closed.is_none() {
        let what = format!("{behind} lines stand behind its last seal, and no later epoch tells of them");
        let bytes = Some((own.sealed_to, own.bytes));
        report.damages.push(Damage { bytes, ..Damage::of(Kind::Extra, &*own.file, what) });
    }
}

/// Whether two segments are of one start of the daemon.
fn is_of_start(one: &str, other: &str) -> bool {
    match (SegmentName::parse(one), SegmentName::parse(other)) {
        (Some(one), Some(other)) => one.boot == other.boot,
        _ => false,
    }
}

/// Whether a segment was made well before this instant.
fn is_older(segment: &str, ts: &str) -> bool {
    let Some(name) = SegmentName::parse(segment) else { return true };
    let Ok(instant) = ts.parse::<Timestamp>() else { return true };
    let then = Timestamp::from_micros(instant.micros().saturating_sub(YOUNG)).to_bytes();
    name.made_by(&then)
}

/// A segment's file, as it is called in the directory.
fn shown(name: &str, forms: Option<&Forms>) -> String {
    match forms {
        Some(Forms { plain: None, packed: Some(_) }) => format!("{name}{PACKED}"),
        _ => name.to_owned(),
    }
}

fn unreadable(file: &str, error: &io::Error) -> Damage {
    let kind = if file.ends_with(PACKED) { Kind::Packed } else { Kind::Unreadable };
    Damage::of(kind, file, error.to_string())
}

/// Works on `items`, `threads` at a time, in no order; `wait` is called now and then meanwhile.
fn together<I: Sync, O: Send>(
    threads: usize,
    items: &[I],
    work: impl Fn(&I) -> O + Sync,
    wait: &mut dyn FnMut(),
) -> Vec<O> {
    let next = AtomicUsize::new(0);
    let (sender, results) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, items.len().max(1)) {
            let sender = sender.clone();
            let (next, work) = (&next, &work);
            scope.spawn(move || {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if sender.send(work(item)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut all = Vec::with_capacity(items.len());
        loop {
            match results.recv_timeout(Duration::from_millis(100)) {
                Ok(result) => all.push(result),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            wait();
        }
        all
    })
}
