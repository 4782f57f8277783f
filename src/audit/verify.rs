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
mod heads;
mod kind;
mod lineage;
mod look;
mod rename;
mod survey;
mod together;
mod told;
mod witness;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::chain::{Breach, EPOCHS, Head, Ledger, Public, is_scribes};
use super::entry::{Interrupted, Seen};
use super::reader::source::Source;
use super::segment::{PACKED, SegmentName};
use crate::model::time::Timestamp;
use bytes::{Checked, Expected};
use look::Look;
use survey::{Forms, Survey};
use together::together;
use told::{Part, Told, What};
use witness::Wanted;

pub use heads::heads;
pub use kind::{Damage, Kind};
pub use witness::End;

/// A segment that no seal names yet may be so much older than the last seal, in microseconds: the daemon refuses
/// requests long before.
const YOUNG: i64 = 30_000_000;
/// And no segment is so much younger, in microseconds: the next seal would name it, within a minute.
const AHEAD: i64 = 3_600_000_000;
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
    /// Lines of a kind or with keys that this release does not know: a later one's, by the promise of the format.
    pub later: u64,
    /// Pinned keys that lead to no epoch of this record, which begins with a new genesis: to one before it, perhaps,
    /// that lies elsewhere.
    pub elsewhere: Vec<Public>,
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
    let wanted = Wanted::of(question.heads.as_deref().unwrap_or_default(), &question.pins);
    let done = AtomicU64::new(0);
    let threads = match question.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let has = |epoch, i| wanted.has(epoch, i);
    let Look { listed, survey: Survey { mut segments, strangers }, mut told, damages, total } =
        look::look(directory, threads, &has, &done, progress)?;
    let mut report = Report { damages: [strangers, damages].concat(), ..Report::default() };

    let mut walked = lineage::walk(listed, &question.pins, &mut told);
    report.damages.append(&mut walked.damages);
    let told_why = |damage: &Damage| matches!(damage.kind, Kind::NewGenesis | Kind::WrongKey);
    if walked.lost && !report.damages.iter().any(told_why) {
        report.damages.push(Damage::of(
            Kind::WrongKey,
            EPOCHS,
            "there is no epoch that the pinned key leads to",
        ));
    }
    let removed = lineage::join(&walked.lineage, &told, &mut report.damages);
    report.epochs = walked.lineage.epochs().count() as u64;
    lineage::unused(&walked, &question.pins, &mut report);
    for told in &mut told {
        report.damages.append(&mut told.damages);
        report.seals += told.seals;
        report.bytes += told.bytes;
        report.later += told.later;
    }

    let Accounts { ledger, expected } = accounts(&told, &segments, &mut report);
    if !walked.lost {
        let lacks = |segments: &BTreeMap<String, Forms>| {
            ledger.segments().any(|(name, account)| !account.pruned && !segments.contains_key(name))
        };
        let mut pruned = BTreeSet::new();
        if lacks(&segments) {
            // One may have been begun behind the first look, and sealed before the scribe's segments were read.
            let now = survey::survey(directory)?.segments;
            let born = now.into_iter().filter(|(name, _)| ledger.segment(name).is_some());
            born.for_each(|(name, forms)| _ = segments.entry(name).or_insert(forms));
        }
        if lacks(&segments) {
            pruned = look::pruned(directory, threads, &question.pins)?;
        }
        missing(&ledger, &expected, &segments, &pruned, &mut report);
        let items = items(&segments, question);
        let check = |item: &(String, String, bool)| {
            let (segment, file, packed) = item;
            let expected = expected.get(segment).cloned().unwrap_or_default();
            let plain = || Source::open(directory, segment, 0);
            let source = if *packed { Source::open_packed(directory, segment) } else { plain() };
            let both = segments.get(segment).is_some_and(|forms| forms.plain.is_some());
            if *packed && both && is_scribes(segment) {
                let compared = source.and_then(|packed| bytes::compare(file, plain()?, packed));
                return (item.clone(), compared);
            }
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
        let known = Known::of(&told);
        let went = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        let is_plain = |name: &str| segments.get(name).is_some_and(|forms| forms.plain.is_some());
        if results.iter().any(|(_, checked)| checked.as_ref().is_err_and(went)) {
            pruned = look::pruned(directory, threads, &question.pins)?;
        }
        for ((segment, file, packed), checked) in results {
            let checked = match checked {
                Ok(checked) => checked,
                // It was removed by right since it was listed; or its compressed form alone was, and the plain one is judged.
                Err(error) if went(&error) && pruned.contains(&segment) => continue,
                Err(error) if went(&error) && packed && is_plain(&segment) => continue,
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
            add(&mut report, &segment, &file, checked, &ledger, &known);
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
    report.end = Some(match question.heads {
        None => End::NotProven,
        Some(_) => wanted.judge(&told, &removed, &mut report.damages),
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
    // Those of the scribe's that end with a seal: it went on in another after that, or was done.
    let ended = told.iter().filter(|told| told.behind == 0 && told.torn == 0);
    let ended: BTreeSet<&str> = ended.map(|told| told.segment.as_str()).collect();
    for told in told {
        // One without an epoch is nobody's, and what it says of others would only hide what is wrong with them.
        let Some(number) = told.epoch.as_ref().map(|(epoch, _)| epoch.epoch) else { continue };
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
                    // What is only said gives way to what is sealed.
                    let gives_way = |(last, doubtful): &(Part, bool)| *doubtful && last.to > part.from;
                    while !fact.doubtful && account.parts.last().is_some_and(gives_way) {
                        account.parts.pop();
                    }
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
                    let interrupted = *why == Interrupted::Restart && !ended.contains(name);
                    if interrupted && report.interrupted.last() != Some(&number) {
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
    pruned: &BTreeSet<String>,
    report: &mut Report,
) {
    for (name, account) in ledger.segments() {
        // One that is closed empty may never have been anything.
        if !segments.contains_key(name) && !account.pruned && !pruned.contains(name) {
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

/// What is known of all the scribe's segments together.
struct Known<'t> {
    /// Those with an epoch.
    own: BTreeSet<&'t str>,
    starts: BTreeSet<&'t str>,
    last: Option<&'t str>,
}

impl<'t> Known<'t> {
    fn of(told: &'t [Told]) -> Known<'t> {
        Known {
            own: told.iter().filter(|told| told.epoch.is_some()).map(|told| told.segment.as_str()).collect(),
            starts: told.iter().filter_map(|told| start(&told.segment)).collect(),
            last: told.iter().rev().find_map(|told| told.last.as_ref()).map(|mark| mark.ts.as_str()),
        }
    }

    /// Why a segment that no seal names can't be just a young one.
    fn why_not_young(&self, segment: &str) -> Option<&'static str> {
        let before = |last: &str, micros: i64| is_made_by(segment, last, micros);
        match self.last {
            _ if start(segment).is_none_or(|start| !self.starts.contains(start)) => {
                Some("it is of another start")
            }
            Some(last) if before(last, -YOUNG) => Some("it is older than the last one"),
            Some(last) if !before(last, AHEAD) => Some("its name is of more than an hour after the last one"),
            _ => None,
        }
    }
}

/// What came of one file.
fn add(report: &mut Report, segment: &str, file: &str, checked: Checked, ledger: &Ledger, known: &Known<'_>) {
    report.segments += 1;
    report.damages.extend(checked.damages);
    // Those are counted by what their own seals say.
    if known.own.contains(segment) {
        return;
    }
    report.bytes += checked.bytes;
    report.sealed += checked.sealed;
    report.unsealed += checked.unsealed;
    report.torn += checked.torn;
    report.later += checked.later;
    let Some(account) = ledger.segment(segment) else {
        if let Some(why) = known.why_not_young(segment)
            && checked.bytes > 0
        {
            let what = format!("no seal names it, and {why}: {} records", checked.unsealed);
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

/// Of which start of the daemon a segment is.
fn start(segment: &str) -> Option<&str> {
    SegmentName::parse(segment)?;
    segment.split('-').nth(1)
}

/// Whether a segment was made by so many microseconds after this instant.
fn is_made_by(segment: &str, ts: &str, micros: i64) -> bool {
    let Some(name) = SegmentName::parse(segment) else { return true };
    let Ok(instant) = ts.parse::<Timestamp>() else { return true };
    name.made().micros() <= instant.micros().saturating_add_signed(micros)
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
