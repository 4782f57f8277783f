//! `peergate audit export`: accesses in the formats of others.
//!
//! A review's [`Join`] puts each access together; [`event::Event`] is what all formats tell of it, flat; each format
//! is a file of its own and says what goes where. One event is in memory at a time (of Parquet, a group of rows).

mod cef;
mod ecs;
mod event;
mod journald;
mod json;
mod ocsf;
#[cfg(feature = "parquet")]
mod parquet;
mod syslog;

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use nix::unistd;

use super::{Where, tell_torn};
use crate::audit::query::{Filter, Item, Join};
use crate::audit::reader::Reader;
use crate::cli::term::Term;
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
    let directory = arguments.place.directory();
    let unreadable = || Failure::at(format!("can't read {}", directory.display()));
    let mut join = Join::new(Reader::open(&directory).map_err(unreadable())?);
    let source = Source { host: arguments.host_name(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let output = Output::open(arguments)?;
    let told = match arguments.to {
        #[cfg(feature = "parquet")]
        To::Parquet => {
            let mut file = parquet::Table::new(output.file).map_err(output.at.failed())?;
            let told = each(&mut join, arguments, term, |event| {
                file.add(event, &source).map_err(output.at.failed())
            })?;
            file.finish().map_err(output.at.failed())?;
            told
        }
        _ => {
            let mut to = output.file;
            let mut text = Vec::new();
            let told = each(&mut join, arguments, term, |event| {
                text.clear();
                arguments.tell(event, &source, &mut text);
                to.write_all(&text).map_err(output.at.failed())
            })?;
            to.flush().map_err(output.at.failed())?;
            told
        }
    };
    output.at.take_its_name()?;
    tell_torn(join.reader(), term);
    Ok(if told.whole { Answer::Yes } else { Answer::No })
}

/// How an export went.
#[derive(Debug)]
struct Told {
    /// Every record could be read, and was one that its writer may write.
    whole: bool,
}

/// Hands on every event that is asked for, and complains of what can't be told as one.
fn each(
    join: &mut Join,
    arguments: &Arguments,
    term: &mut Term,
    mut tell: impl FnMut(&Event<'_>) -> Result<(), Failure>,
) -> Result<Told, Failure> {
    let mut whole = true;
    loop {
        let item = match join.next_item() {
            Ok(Some(item)) => item,
            Ok(None) => return Ok(Told { whole }),
            Err(error) => {
                whole = false;
                term.complain(format!("can't read a segment: {error}"));
                continue;
            }
        };
        if !arguments.filter.covers(&item) {
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
            item => {
                if let Some(event) = Event::of(item) {
                    tell(&event)?;
                }
            }
        }
    }
}

impl Arguments {
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

/// The name of where it goes.
#[derive(Debug)]
struct At {
    /// The file's final name, and the one under which it is written.
    names: Option<(PathBuf, PathBuf)>,
}

impl Output {
    fn open(arguments: &Arguments) -> Result<Output, Failure> {
        let Some(path) = &arguments.output else {
            if arguments.is_binary() && io::stdout().is_terminal() {
                return Err(Failure::Because(
                    "this format is no text for a terminal: give -o FILE".to_owned(),
                ));
            }
            return Ok(Output { file: Box::new(BufWriter::new(io::stdout())), at: At { names: None } });
        };
        let part = part(path);
        let at = At { names: Some((path.clone(), part.clone())) };
        let file = File::create(&part).map_err(at.failed())?;
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

/// Beside the final name, so that taking it is one step.
fn part(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

impl At {
    fn failed(&self) -> impl Fn(io::Error) -> Failure + use<> {
        let name = self.names.as_ref().map(|(name, _)| name.display().to_string());
        move |error| match (&name, error.kind()) {
            (None, io::ErrorKind::BrokenPipe) => Failure::ReaderLeft,
            (None, _) => Failure::at("can't write the answer")(error),
            (Some(name), _) => Failure::at(format!("can't write {name}"))(error),
        }
    }

    /// What is on disk now is whole.
    fn take_its_name(&self) -> Result<(), Failure> {
        let Some((name, part)) = &self.names else { return Ok(()) };
        File::open(part).and_then(|file| file.sync_all()).map_err(self.failed())?;
        fs::rename(part, name).map_err(self.failed())
    }
}
