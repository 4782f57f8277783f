//! `peergate audit report`: what a reviewer wants to know first. Who asked for what, what was denied, what was never
//! seen before, what was slow, and when it was busy.

mod tally;

use std::fs::DirBuilder;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;

use clap::Args;

use super::print::{Form, How, cell, word};
use super::{Where, page, search, tell_torn};
use crate::audit::query::when::{self, When};
use crate::audit::query::{Filter, Join};
use crate::audit::reader::Reader;
use crate::cli::term::Term;
use crate::cli::whole::Whole;
use crate::cli::{Answer, Failure};
use crate::model::time::Timestamp;
use tally::{Section, Tally};

/// With `--since last-report`, what is younger is left to the next report: it may not be written yet.
const SETTLED: u64 = 5_000_000;

/// Bytes of a word in a line for people.
const WIDEST: usize = 160;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    how: How,
    /// How many lines a section has at most
    #[arg(long, value_name = "LINES", default_value_t = 10)]
    top: usize,
    #[command(flatten)]
    page: page::Wanted,
    #[command(flatten)]
    filter: Filter,
}

/// Yes: something is in it. No: nothing was asked in that time.
pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let directory = arguments.place.directory();
    let mut filter = arguments.filter.clone();
    let now = Timestamp::now();
    let follows_last = filter.since.is_some_and(|since| since.is_last_report);
    if follows_last && filter.until.is_none() {
        let end = settled_by(now);
        filter.until = Some(When { begin: end, end, is_last_report: false });
    }
    if let Some(last) = filter.since.filter(|since| since.is_last_report && since.begin > now) {
        let file = when::last_report_file().unwrap_or_default();
        term.leave_out(format_args!(
            "the last report ended at {}, which is to come: the clock was set back, and what was recorded since is in no \
             report; ask for it by `--since TIME`, or begin anew without {}",
            last.begin,
            file.display()
        ));
    }
    if let Some(file) = arguments.page.file() {
        let answer = page::run(&arguments.page, file, &arguments.place, &filter, term)?;
        if follows_last {
            remember(&filter, now, term)?;
        }
        return Ok(answer);
    }
    let reader =
        Reader::open(&directory).map_err(Failure::at(format!("can't read {}", directory.display())))?;
    let mut join = Join::new(reader);
    let mut tally = Tally::default();
    let mut read: u64 = 0;
    while let Some(item) = search::next(&mut join, term) {
        // All of it is read, since only then it is known what was never seen before.
        tally.take(&item, &filter);
        read += 1;
        if read.is_multiple_of(1 << 16) {
            term.progress(format_args!("{read} accesses read"));
        }
    }
    term.progress("");
    let sections = tally.sections(arguments.top);
    match arguments.how.format {
        Form::Text | Form::Sentence => tell(&tally, &filter, &sections, now, term)?,
        Form::Json => term.line(to_json(&tally, &filter, &sections, now))?,
        Form::Csv => to_rows(&sections, term)?,
    }
    tell_torn(join.reader(), term);
    search::tell_missed(&join, term);
    if follows_last {
        remember(&filter, now, term)?;
    }
    Ok(if tally.is_empty() { Answer::No } else { Answer::Yes })
}

/// Notes where the next report begins, once this one is out. An access that is in none yet has to be in that one.
fn remember(filter: &Filter, now: Timestamp, term: &mut Term) -> Result<(), Failure> {
    term.flush()?;
    let part = !filter.asks_of_no_access();
    if part || term.left_out() > 0 {
        let why =
            if part { "this one was not of all accesses" } else { "not all could be read for this one" };
        term.complain(format_args!("the next report since the last one begins where this one did: {why}"));
        return Ok(());
    }
    let settled = settled_by(now);
    note(filter.until.map_or(settled, |until| until.end.min(settled)))
        .map_err(Failure::at("the report is complete, but when it ended can't be noted for the next one"))
}

/// Notes until when a report went.
fn note(end: Timestamp) -> io::Result<()> {
    let file = when::last_report_file();
    let file = file.ok_or_else(|| io::Error::other("neither XDG_STATE_HOME nor HOME is set"))?;
    if let Some(folder) = file.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let whole = Whole::begin(&file)?;
    writeln!(whole.file()?, "{end}")?;
    whole.end()
}

/// Up to when all is in the record that ever will be.
fn settled_by(now: Timestamp) -> Timestamp {
    Timestamp::from_micros(now.micros().saturating_sub(SETTLED))
}

/// From when to when, in words.
fn span(filter: &Filter, now: Timestamp) -> (String, String) {
    // The first report since the last one has none before it.
    let since = filter.since.filter(|since| since.begin.micros() > 0);
    let begin = since.map_or_else(|| "the beginning".to_owned(), |since| since.begin.to_string());
    (begin, filter.until.map_or(now, |until| until.end).to_string())
}

fn tell(
    tally: &Tally,
    filter: &Filter,
    sections: &[Section],
    now: Timestamp,
    term: &mut Term,
) -> Result<(), Failure> {
    let (begin, end) = span(filter, now);
    term.line(format_args!("Accesses from {begin} to {end}"))?;
    let Tally { allowed, denied, open, doubtful, .. } = tally;
    term.line(format_args!(
        "{allowed} allowed, {denied} denied, {open} without an end on record, {doubtful} in doubt"
    ))?;
    for section in sections {
        term.line("")?;
        term.line(section.title)?;
        if section.rows.is_empty() {
            term.line("  nothing")?;
        }
        for row in &section.rows {
            let said: Vec<String> = row.words.iter().map(|text| short(word(text))).collect();
            term.line(format_args!("{:>9}  {}", row.number, said.join(" ")))?;
        }
        if section.left_out > 0 {
            term.line(format_args!("           and {} more", section.left_out))?;
        }
    }
    Ok(())
}

/// What a caller chose may be long; `search` and the other forms have all of it. A word is printable ASCII by now.
fn short(word: String) -> String {
    match word.get(..WIDEST) {
        Some(begin) if word.len() > WIDEST => format!("{begin}... ({} bytes)", word.len()),
        _ => word,
    }
}

fn to_json(tally: &Tally, filter: &Filter, sections: &[Section], now: Timestamp) -> String {
    let (_, end) = span(filter, now);
    let sections: serde_json::Map<String, serde_json::Value> = sections
        .iter()
        .map(|section| {
            let rows = section.rows.iter().map(|row| {
                let mut object = serde_json::Map::new();
                object.insert(section.unit.to_owned(), row.value.into());
                for (name, text) in section.columns.iter().zip(&row.words) {
                    object.insert((*name).to_owned(), crate::audit::plain::decoded(text).into());
                }
                serde_json::Value::Object(object)
            });
            (section.name.to_owned(), rows.collect())
        })
        .collect();
    let since = filter.since.map(|since| since.begin.to_string());
    let Tally { allowed, denied, open, doubtful, .. } = tally;
    serde_json::json!({
        "since": since, "until": end, "allowed": allowed, "denied": denied, "open": open, "doubtful": doubtful,
        "sections": sections,
    })
    .to_string()
}

fn to_rows(sections: &[Section], term: &mut Term) -> Result<(), Failure> {
    term.row("section,unit,value,what")?;
    for section in sections {
        for row in &section.rows {
            let said: Vec<String> = row.words.iter().map(|text| word(text)).collect();
            let what = cell(&said.join(" "));
            term.row(format_args!("{},{},{},{what}", section.name, section.unit, row.value))?;
        }
    }
    Ok(())
}
