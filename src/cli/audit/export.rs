//! `peergate audit export`: accesses in the formats of others.
//!
//! A review's [`Join`] puts each access together; [`event::Event`] is what all formats tell of it, flat; each format
//! is a file of its own and says what goes where. One event is in memory at a time (of Parquet, a group of rows).
#![doc = include_str!("../../manual/export.md")]

mod cef;
mod ecs;
mod event;
mod journald;
mod json;
mod ocsf;
mod other;
#[cfg(feature = "parquet")]
mod parquet;
mod syslog;

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::rc::Rc;

use clap::{Args, ValueEnum};
use nix::unistd;

use super::search::checkpoint::{Checkpoint, Removed};
use super::{Where, tell_torn};
use crate::audit::query::{Conn, Filter, Item, Join};
use crate::audit::reader::Reader;
use crate::cli::term::Term;
use crate::cli::whole::Whole;
use crate::cli::{Answer, Failure};
use event::Event;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    place: Where,
    /// The format
    #[arg(long, value_enum, value_name = "FORMAT")]
    to: To,
    /// Writes into this file, which is there under its name when it is whole [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The machine's name in each event [default: this machine's]
    #[arg(long, value_name = "NAME", value_parser = host_name)]
    host: Option<String>,
    /// How messages of rfc5424 are told apart
    #[arg(long, value_enum, default_value_t)]
    framing: syslog::Framing,
    /// Begins the text of messages of rfc5424 with a byte order mark, for receivers that want it
    #[arg(long)]
    bom: bool,
    /// The private enterprise number in the structured data of rfc5424; the default is the one for examples
    #[arg(long, value_name = "NUMBER", default_value_t = 32_473)]
    enterprise: u32,
    /// Tells each access once over many runs, for cron: notes in FILE up to where it was told. A run that fails or is
    /// killed does not count. What is still under way is told when it has ended
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Tells what is no access too: the life of the daemon's processes, policies, keys, segments that were removed or
    /// found open, and whoever tampers with the record
    #[arg(long)]
    all_events: bool,
    #[command(flatten)]
    filter: Filter,
}

/// What an export is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum To {
    /// Open Cybersecurity Schema Framework 1.8.0, API Activity: a JSON object a line
    Ocsf,
    /// Elastic Common Schema 9.4.0: a JSON object a line
    Ecs,
    /// ArcSight Common Event Format: a line each
    Cef,
    /// Syslog messages with structured data
    Rfc5424,
    /// The journal's export format, for systemd-journal-remote
    Journald,
    /// An Apache Parquet file
    #[cfg(feature = "parquet")]
    Parquet,
}

/// What every event says of where it comes from.
#[derive(Debug)]
struct Source {
    host: String,
    version: String,
}

pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let (mut join, checkpoint) = arguments.open()?;
    let checkpoint = checkpoint.as_ref();
    let source = Source { host: arguments.host_name(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let output = Output::open(arguments)?;
    let told = match arguments.to {
        #[cfg(feature = "parquet")]
        To::Parquet => {
            let mut file = parquet::Table::new(output.file).map_err(output.at.failed())?;
            let told = each(&mut join, checkpoint, arguments, term, |event| {
                file.add(event, &source).map_err(output.at.failed())
            })?;
            file.finish().map_err(output.at.failed())?;
            told
        }
        _ => {
            let mut to = output.file;
            let mut text = Vec::new();
            let told = each(&mut join, checkpoint, arguments, term, |event| {
                text.clear();
                arguments.tell(event, &source, &mut text);
                to.write_all(&text).map_err(output.at.failed())
            })?;
            to.flush().map_err(output.at.failed())?;
            told
        }
    };
    output.at.take_its_name()?;
    if let Some(checkpoint) = checkpoint {
        let read = join.reader().positions().collect();
        checkpoint.keep(&read, &join.under_way())?;
        told.removed.tell(checkpoint, &read, term);
    }
    tell_torn(join.reader(), term);
    Ok(if told.whole { Answer::Yes } else { Answer::No })
}

/// How an export went.
#[derive(Debug)]
struct Told {
    /// Every record could be read, and was one that its writer may write.
    whole: bool,
    /// What was removed since the last run.
    removed: Removed,
}

/// Hands on every event that is asked for, and complains of what can't be told as one.
fn each(
    join: &mut Join,
    checkpoint: Option<&Checkpoint>,
    arguments: &Arguments,
    term: &mut Term,
    mut tell: impl FnMut(&Event<'_>) -> Result<(), Failure>,
) -> Result<Told, Failure> {
    let (mut whole, mut removed) = (true, Removed::default());
    loop {
        let item = match join.next_item() {
            Ok(Some(item)) => item,
            Ok(None) => return Ok(Told { whole, removed }),
            // It would count as told: the run fails, and the next one tries again.
            Err(error) if checkpoint.is_some() => return Err(Failure::at("can't read a segment")(error)),
            Err(error) => {
                whole = false;
                term.complain(format!("can't read a segment: {error}"));
                continue;
            }
        };
        removed.take(&item);
        // Of what was read before, connections alone come again.
        let old = |conn: &Conn| checkpoint.is_some_and(|before| before.has(&conn.held.segment, conn.held.at));
        let again = matches!(&item, Item::Shed(conn) if old(conn));
        if again || !arguments.filter.covers(&item) {
            continue;
        }
        match &item {
            Item::Garbage(line) => {
                whole = false;
                term.complain(format!("a line of {} is no record", line.segment));
            }
            Item::Disbelieved(held) => {
                whole = false;
                term.complain(format!(
                    "{} has a record that its writer may not write, at byte {}",
                    held.segment, held.at
                ));
            }
            _ => {}
        }
        if let Some(event) = Event::of(&item, arguments.all_events) {
            tell(&event)?;
        }
    }
}

impl Arguments {
    /// The stream of all that is there, or that came since the last run with this checkpoint.
    fn open(&self) -> Result<(Join, Option<Checkpoint>), Failure> {
        let directory = self.place.directory();
        let unreadable = Failure::at(format!("can't read {}", directory.display()));
        let Some(file) = &self.checkpoint else {
            return Ok((Join::new(Reader::open(&directory).map_err(unreadable)?), None));
        };
        // The time that is asked for may be another in each run; the rest is the question.
        let asked = Filter { since: None, until: None, ..self.filter.clone() };
        let all = if self.all_events { " of all events" } else { "" };
        let mut checkpoint = Checkpoint::open(file, &format!("export{all} to {:?} {asked:?}", self.to))?;
        let reader = Reader::open(&directory).map_err(unreadable)?.sieved(Rc::new(checkpoint.sieve()));
        let mut join = Join::following(reader);
        for line in checkpoint.take_held() {
            join.resume(line);
        }
        Ok((join, Some(checkpoint)))
    }

    fn host_name(&self) -> String {
        let own = || unistd::gethostname().ok().and_then(|name| host_name(name.to_str()?).ok());
        self.host.clone().or_else(own).unwrap_or_else(|| "localhost".to_owned())
    }

    /// One event in a format that has no more to it than one text after the other.
    fn tell(&self, event: &Event<'_>, source: &Source, out: &mut Vec<u8>) {
        match self.to {
            To::Ocsf => ocsf::line(event, source, out),
            To::Ecs => ecs::line(event, source, out),
            To::Cef => cef::line(event, source, out),
            To::Rfc5424 => {
                let style =
                    syslog::Style { framing: self.framing, bom: self.bom, enterprise: self.enterprise };
                syslog::message(event, source, style, out);
            }
            To::Journald => journald::entry(event, source, out),
            #[cfg(feature = "parquet")]
            To::Parquet => {}
        }
    }
}

/// A name that every format can hold as it is (RFC 5424 §6.2.4).
fn host_name(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    if plain && (1..=255).contains(&text.len()) {
        return Ok(text.to_owned());
    }
    Err("a machine's name is letters, digits, dots and dashes, at most 255 of them".to_owned())
}

/// Where it goes.
struct Output {
    file: Box<dyn Write + Send>,
    at: At,
}

/// The name of where it goes, where that is a file.
#[derive(Debug)]
struct At {
    whole: Option<(PathBuf, Whole)>,
}

impl Output {
    fn open(arguments: &Arguments) -> Result<Output, Failure> {
        let Some(path) = &arguments.output else {
            if arguments.is_binary() && io::stdout().is_terminal() {
                return Err(Failure::Because(
                    "this format is no text for a terminal: give -o FILE".to_owned(),
                ));
            }
            return Ok(Output { file: Box::new(BufWriter::new(io::stdout())), at: At { whole: None } });
        };
        let unwritable = || Failure::at(format!("can't write {}", path.display()));
        let whole = Whole::begin(path).map_err(unwritable())?;
        let file = whole.file().map_err(unwritable())?;
        let at = At { whole: Some((path.clone(), whole)) };
        Ok(Output { file: Box::new(BufWriter::with_capacity(256 << 10, file)), at })
    }
}

impl Arguments {
    fn is_binary(&self) -> bool {
        #[cfg(feature = "parquet")]
        if self.to == To::Parquet {
            return true;
        }
        self.to == To::Journald
    }
}

impl At {
    fn failed(&self) -> impl Fn(io::Error) -> Failure + use<> {
        let name = self.whole.as_ref().map(|(name, _)| name.display().to_string());
        move |error| match (&name, error.kind()) {
            (None, io::ErrorKind::BrokenPipe) => Failure::ReaderLeft,
            (None, _) => Failure::at("can't write the answer")(error),
            (Some(name), _) => Failure::at(format!("can't write {name}"))(error),
        }
    }

    /// All of it is written.
    fn take_its_name(self) -> Result<(), Failure> {
        let failed = self.failed();
        self.whole.map_or(Ok(()), |(_, whole)| whole.end()).map_err(failed)
    }
}

#[cfg(test)]
mod tests;
