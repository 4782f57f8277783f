//! `peergate audit verify`.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use super::Where;
use crate::audit::chain::Public;
use crate::audit::segment::of_file;
use crate::audit::verify::{self, Damage, End, Question, Report};
use crate::cli::term::Term;
use crate::cli::{Answer, Failure, Format};

/// The bar moves this often.
const MOVES: Duration = Duration::from_millis(200);

/// Damages that are listed, unless all are asked for.
const LISTED: usize = 100;

pub(super) const EXIT_CODES: &str = "\
Exit codes:
   0  nothing is wrong
   1  nothing is wrong, and --witness has no head of this record: its end is not proven
   2  the command line makes no sense
   3  it could not be done: the directory or the key can't be read
   9  new-genesis
  10  wrong-key         17  missing-segment   24  record-count
  11  bad-signature     18  cut               25  foreign-line
  12  key-used-twice    19  changed           26  torn
  13  spliced           20  renamed           27  contradiction
  14  broken-chain      21  missing-range     28  bad-compression
  15  rolled-back       22  extra-bytes       29  foreign-file
  16  other-history     23  unsealed-segment  30  unreadable
                                              31  intrusion
  Where several things are wrong, the first in this order.";

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The audit directory, or some segments of one, whose bytes alone are read then [default: as --dir]
    #[arg(value_name = "DIRECTORY|SEGMENT", conflicts_with = "dir")]
    what: Vec<PathBuf>,
    #[command(flatten)]
    place: Where,
    /// The pinned public key: 64 hex digits, or a file that holds them (a copy of genesis.pub that was kept
    /// elsewhere). Again for each `audit init --again` since
    #[arg(long, value_name = "HEX|FILE", required = true)]
    key: Vec<String>,
    /// A file with heads that were kept elsewhere: of the journal, a syslog, or plain. `-` is standard input
    #[arg(long, value_name = "FILE")]
    witness: Vec<PathBuf>,
    /// Lists every damage, not only the first 100
    #[arg(long)]
    all: bool,
    /// Files at a time [default: as many as there are cores]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let (directory, only) = arguments.place()?;
    let question =
        Question { only, threads: arguments.threads, ..question(&arguments.key, &arguments.witness)? };
    let began = Instant::now();
    let report = asked(&directory, &question, term)?;
    match arguments.format {
        Format::Text => text(&report, arguments.all, began.elapsed(), term)?,
        Format::Json => as_json(&report, began.elapsed(), term)?,
    }
    Ok(match (report.exit_code(), report.end) {
        (0, Some(End::Unwitnessed)) => Answer::No,
        (0, _) => Answer::Yes,
        (code, _) => Answer::NoBecause(code),
    })
}

impl Arguments {
    /// The directory, and the segments that were named.
    fn place(&self) -> Result<(PathBuf, BTreeSet<String>), Failure> {
        let mut directory: Option<PathBuf> = None;
        let mut only = BTreeSet::new();
        for what in &self.what {
            let place = if what.is_dir() {
                what.clone()
            } else {
                let name = what.file_name().and_then(|name| name.to_str());
                let (segment, _) = name.and_then(of_file).ok_or_else(|| {
                    Failure::Because(format!("{} is no segment and no directory", what.display()))
                })?;
                if what.symlink_metadata().is_err() && !packed_beside(what) {
                    return Err(Failure::Because(format!("there is no {}", what.display())));
                }
                only.insert(segment.to_owned());
                match what.parent() {
                    Some(parent) if parent != Path::new("") => parent.to_owned(),
                    _ => PathBuf::from("."),
                }
            };
            if directory.as_ref().is_some_and(|directory| *directory != place) {
                return Err(Failure::Because(
                    "one directory at a time: each has a chain of its own".to_owned(),
                ));
            }
            directory = Some(place);
        }
        Ok((directory.unwrap_or_else(|| self.place.directory()), only))
    }
}

/// Whether a segment that is named by its plain name is there compressed.
fn packed_beside(what: &Path) -> bool {
    let mut packed = what.as_os_str().to_owned();
    packed.push(".zst");
    Path::new(&packed).symlink_metadata().is_ok()
}

/// What is asked with these pins and witnesses, of the whole record.
pub(super) fn question(pins: &[String], witnesses: &[PathBuf]) -> Result<Question, Failure> {
    let mut question = Question { pins: Vec::new(), heads: None, only: BTreeSet::new(), threads: 0 };
    for pin in pins {
        question.pins.extend(keys(pin)?);
    }
    for witness in witnesses {
        let unreadable = Failure::at(format!("can't read the witness {}", witness.display()));
        let found = match witness.to_str() {
            Some("-") => verify::heads(std::io::stdin().lock()),
            _ => File::open(witness).and_then(verify::heads),
        };
        question.heads.get_or_insert_default().extend(found.map_err(unreadable)?);
    }
    Ok(question)
}

/// Verifies, with a bar where there is a terminal.
pub(super) fn asked(directory: &Path, question: &Question, term: &mut Term) -> Result<Report, Failure> {
    let began = Instant::now();
    let mut moved = began;
    let report = verify::verify(directory, question, &mut |done, total| {
        if moved.elapsed() >= MOVES {
            moved = Instant::now();
            term.progress(bar(done, total, began.elapsed()));
        }
    })
    .map_err(Failure::at(format!("can't read {}", directory.display())))?;
    term.progress("");
    Ok(report)
}

/// The keys that an argument says: one, or those of a file.
fn keys(text: &str) -> Result<Vec<Public>, Failure> {
    if let Ok(key) = text.parse() {
        return Ok(vec![key]);
    }
    let content = std::fs::read_to_string(text).map_err(Failure::at(format!(
        "{text} is no key of 64 hex digits in lower case, and can't be read"
    )))?;
    let keys: Vec<Public> = content.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    if keys.is_empty() {
        return Err(Failure::Because(format!("{text} holds no key of 64 hex digits in lower case")));
    }
    Ok(keys)
}

fn bar(done: u64, total: u64, took: Duration) -> String {
    const WIDTH: u64 = 30;
    let done = done.min(total);
    let full = (done * WIDTH).checked_div(total).unwrap_or(WIDTH);
    let bar: String = (0..WIDTH).map(|at| if at < full { '#' } else { '.' }).collect();
    format!("[{bar}] {} of {} MB, {:.0} MB/s", done / 1_000_000, total / 1_000_000, rate(done, took))
}

fn rate(bytes: u64, took: Duration) -> f64 {
    bytes as f64 / 1e6 / took.as_secs_f64().max(1e-6)
}

fn text(report: &Report, all: bool, took: Duration, term: &mut Term) -> Result<(), Failure> {
    let listed = if all { usize::MAX } else { LISTED };
    for damage in report.damages.iter().take(listed) {
        term.line(told(damage))?;
    }
    if let Some(more) = report.damages.len().checked_sub(listed).filter(|more| *more > 0) {
        term.line(format!("and {more} more: --all lists them"))?;
    }
    if !report.damages.is_empty() {
        term.line("")?;
    }
    let verdict = if report.damages.is_empty() { "whole" } else { "DAMAGED" };
    let wrong = match report.damages.len() {
        0 => String::new(),
        1 => ": 1 thing is wrong".to_owned(),
        many => format!(": {many} things are wrong"),
    };
    term.line(format!("{verdict}{wrong}"))?;
    match &report.trusted {
        Some((epoch, i, ts)) => {
            let but = if report.damages.is_empty() { "" } else { ", but for what is listed above" };
            term.line(format!("trusted through {ts} (seal {i} of epoch {epoch}){but}"))?;
        }
        None => term.line("nothing is trusted: no seal leads to the pinned key")?,
    }
    term.line(format!(
        "{} records sealed, {} unsealed; {} segments, {} pruned; epochs: {}, seals: {}",
        report.sealed, report.unsealed, report.segments, report.pruned, report.epochs, report.seals
    ))?;
    if report.torn > 0 {
        term.line(format!("{} bytes of torn lines", report.torn))?;
    }
    if report.later > 0 {
        let later = report.later;
        term.line(format!(
            "{later} records have a kind or keys that this release does not know: a later one's"
        ))?;
    }
    for key in &report.elsewhere {
        term.line(format!(
            "the pinned key {key} leads to nothing here: this record begins with a new genesis, and another one before it \
             is elsewhere"
        ))?;
    }
    if let [first, rest @ ..] = report.interrupted.as_slice() {
        let more = if rest.is_empty() { String::new() } else { format!(" and {} others", rest.len()) };
        term.line(format!(
            "epoch {first}{more} began after an interruption: a crash, or a cut at a seal, which only a witness tells apart"
        ))?;
    }
    term.line(format_args!("end: {}", ended(report)))?;
    term.line(format!("read {} bytes, {:.0} MB/s", report.bytes, rate(report.bytes, took)))
}

/// Whether the record's end is proven, in words.
pub(super) fn ended(report: &Report) -> String {
    match &report.end {
        Some(End::Proven { ts, later: 0 }) => format!("proven by a witness, through {ts}"),
        Some(End::Proven { ts, later }) => {
            format!("proven by a witness through {ts}; {later} seals came later")
        }
        Some(End::Denied) => "denied by a witness".to_owned(),
        Some(End::Unwitnessed) => "not proven; the witness has no head of this record".to_owned(),
        Some(End::NotProven) | None => {
            "not proven; --witness FILE takes heads that were kept elsewhere".to_owned()
        }
    }
}

/// One damage, as a line for people.
pub(super) fn told(damage: &Damage) -> String {
    let mut text = format!("{}: {}", damage.kind.code(), damage.file);
    match damage.lines {
        Some((first, last)) if first == last => {
            text.push_str(&format!(", line {first} (record {})", first.saturating_sub(1)));
        }
        Some((first, last)) => text.push_str(&format!(
            ", lines {first} to {last} (records {} to {})",
            first.saturating_sub(1),
            last.saturating_sub(1)
        )),
        None => {}
    }
    match damage.bytes {
        Some((first, last)) if first == last => text.push_str(&format!(", byte {first}")),
        Some((first, last)) => text.push_str(&format!(", bytes {first} to {last}")),
        None => {}
    }
    text.push_str(": ");
    text.push_str(&damage.what);
    text
}

fn as_json(report: &Report, took: Duration, term: &mut Term) -> Result<(), Failure> {
    for damage in &report.damages {
        term.line(of_damage(damage))?;
    }
    let mut sum = summary(report);
    if let Some(sum) = sum.as_object_mut() {
        sum.insert("mb_per_second".to_owned(), rate(report.bytes, took).round().into());
    }
    term.line(sum)
}

/// What is found with these pins and without a witness, as lines of JSON that are the same each time.
pub(super) fn report_of(directory: &Path, pins: &[String]) -> Result<String, Failure> {
    let question = question(pins, &[])?;
    let report = verify::verify(directory, &question, &mut |_, _| ())
        .map_err(Failure::at(format!("can't read {}", directory.display())))?;
    let lines = report.damages.iter().map(of_damage).chain([summary(&report)]);
    Ok(lines.map(|line| format!("{line}\n")).collect())
}

fn of_damage(damage: &Damage) -> serde_json::Value {
    json!({
        "damage": damage.kind.code(),
        "file": damage.file,
        "from": damage.bytes.map(|bytes| bytes.0),
        "to": damage.bytes.map(|bytes| bytes.1),
        "line": damage.lines.map(|lines| lines.0),
        "last_line": damage.lines.map(|lines| lines.1),
        "record": damage.lines.map(|lines| lines.0.saturating_sub(1)),
        "what": damage.what,
    })
}

fn summary(report: &Report) -> serde_json::Value {
    let (end, proven, later) = match &report.end {
        Some(End::Proven { ts, later }) => ("proven", Some(ts), Some(later)),
        Some(End::Denied) => ("denied", None, None),
        Some(End::Unwitnessed) => ("unwitnessed", None, None),
        Some(End::NotProven) | None => ("not-proven", None, None),
    };
    json!({
        "whole": report.damages.is_empty(),
        "exit_code": report.exit_code(),
        "damages": report.damages.len(),
        "trusted_through": report.trusted.as_ref().map(|(_, _, ts)| ts),
        "epoch": report.trusted.as_ref().map(|(epoch, ..)| epoch),
        "seal": report.trusted.as_ref().map(|(_, i, _)| i),
        "sealed": report.sealed,
        "unsealed": report.unsealed,
        "torn_bytes": report.torn,
        "segments": report.segments,
        "pruned": report.pruned,
        "epochs": report.epochs,
        "seals": report.seals,
        "interrupted": report.interrupted,
        "later": report.later,
        "keys_of_elsewhere": report.elsewhere.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "end": end,
        "proven_through": proven,
        "later_seals": later,
        "bytes": report.bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bar_is_as_full_as_the_work_is_done_and_never_fuller() {
        let bar = |done, total| bar(done, total, Duration::from_secs(2));
        assert_eq!(bar(0, 300_000_000), format!("[{}] 0 of 300 MB, 0 MB/s", ".".repeat(30)));
        assert_eq!(
            bar(100_000_000, 300_000_000),
            format!("[{}{}] 100 of 300 MB, 50 MB/s", "#".repeat(10), ".".repeat(20))
        );
        // A segment that is written meanwhile is longer at its end than it was.
        assert_eq!(bar(400_000_000, 300_000_000), format!("[{}] 300 of 300 MB, 150 MB/s", "#".repeat(30)));
        assert_eq!(bar(0, 0), format!("[{}] 0 of 0 MB, 0 MB/s", "#".repeat(30)));
    }
}
