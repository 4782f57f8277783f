//! `peergate probe`: the proof from inside. A running daemon starts a gate, a scribe, an app or a runner for each try, as
//! it starts those that serve, and tells what came of it.

use std::path::Path;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::control::{self, ask, strange};
use super::term::Term;
use super::{Answer, Failure, Format};
use crate::confine::probes::{PROBES, Probe};
use crate::model::probe::{Found, Place, Subject};
use crate::wire::message::{ControlReply, ControlRequest};

/// Which daemon, and who tries.
#[derive(Debug, Args)]
#[group(skip)]
pub struct Arguments {
    #[command(flatten)]
    daemon: control::Arguments,
    /// Only this role [default: gate and scribe]
    #[arg(long, value_enum)]
    role: Option<Role>,
}

/// A role that can try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Role {
    /// Reads requests
    Gate,
    /// Follows the record
    Scribe,
    /// Runs an embedding program's handlers; tried only where it is asked for
    App,
    /// Looks after a command; tried only where it is asked for
    Runner,
}

/// One try.
#[derive(Debug, Clone, Copy)]
struct Try {
    subject: Subject,
    place: Place,
    found: Found,
    expected: Found,
}

/// The same for programs.
#[derive(Debug, Serialize)]
struct Row<'a> {
    probe: &'a str,
    role: Subject,
    thread: Place,
    found: String,
    expected: String,
    as_expected: bool,
}

impl Try {
    fn is_good(&self) -> bool {
        self.found == self.expected
    }
}

/// Has all of them tried, in every thread that there is. No: something is not as it has to be.
///
/// # Errors
///
/// There is no daemon, it does not answer us, it can't start a role, or the output can't be written.
pub fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let subjects: Vec<Subject> = match arguments.role {
        None => Subject::ALL.to_vec(),
        Some(role) => vec![role.subject()],
    };
    let socket = arguments.daemon.socket();
    let threads: usize = subjects.iter().map(|subject| subject.places().len()).sum();
    let (mut made, mut bad) = (0, 0);
    let for_these = |probe: &&Probe| subjects.iter().all(|subject| probe.is_for(*subject));
    let probes: Vec<&Probe> = PROBES.iter().filter(for_these).collect();
    for probe in &probes {
        let mut tries = Vec::new();
        for subject in &subjects {
            for place in subject.places() {
                made += 1;
                let (role, thread) = (subject.name(), place.name());
                term.progress(format!(
                    "{made} of {}: {}, {role}, {thread}",
                    probes.len() * threads,
                    probe.name
                ));
                let tried = attempt(&socket, probe, *subject, *place);
                term.progress("");
                tries.push(tried?);
            }
        }
        bad += tries.iter().filter(|tried| !tried.is_good()).count();
        match arguments.daemon.format {
            Format::Text => {
                // Not before there is a daemon that answers.
                if made == threads {
                    head(&subjects, term)?;
                }
                show(probe, &subjects, &tries, term)?;
            }
            Format::Json => tries.iter().try_for_each(|tried| term.line(json(probe, tried)))?,
        }
        term.flush()?;
    }
    if arguments.daemon.format == Format::Text {
        term.line(match bad {
            0 if threads == 1 => format!("{made} tries: each came to what it has to come to"),
            0 => format!("{made} tries in {threads} threads: each came to what it has to come to"),
            bad => format!("{bad} of {made} tries did NOT come to what they have to come to"),
        })?;
    }
    Ok(if bad == 0 { Answer::Yes } else { Answer::No })
}

fn attempt(socket: &Path, probe: &Probe, subject: Subject, place: Place) -> Result<Try, Failure> {
    let name = probe.name.to_owned();
    match ask(socket, &ControlRequest::Probe { name, subject, place })? {
        ControlReply::Probed { found, expected } => Ok(Try { subject, place, found, expected }),
        ControlReply::Refused { why } => Err(Failure::Because(format!("{}: {why}", probe.name))),
        _ => Err(strange()),
    }
}

fn head(subjects: &[Subject], term: &mut Term) -> Result<(), Failure> {
    let roles: Vec<String> = subjects.iter().map(|subject| format!("{:<8}", subject.name())).collect();
    term.line(format!("{:<20} {} tried", "probe", roles.concat()))
}

/// A line a probe; one more for each try that is not as it has to be.
fn show(probe: &Probe, subjects: &[Subject], tries: &[Try], term: &mut Term) -> Result<(), Failure> {
    let cells: Vec<String> = subjects.iter().map(|subject| format!("{:<8}", cell(*subject, tries))).collect();
    term.line(format!("{:<20} {} {}", probe.name, cells.concat(), probe.what))?;
    for Try { subject, place, found, expected } in tries.iter().filter(|tried| !tried.is_good()) {
        let (role, thread) = (subject.name(), place.name());
        term.line(format!("  NOT as it has to be: {role}, {thread} thread: {found} instead of {expected}"))?;
    }
    Ok(())
}

/// What all threads of a role found.
fn cell(subject: Subject, tries: &[Try]) -> String {
    let mut found = tries.iter().filter(|tried| tried.subject == subject).map(|tried| tried.found);
    match found.next() {
        Some(first) if found.all(|other| other == first) => first.to_string(),
        _ => "differs".to_owned(),
    }
}

fn json(probe: &Probe, tried: &Try) -> serde_json::Value {
    let row = Row {
        probe: probe.name,
        role: tried.subject,
        thread: tried.place,
        found: tried.found.to_string(),
        expected: tried.expected.to_string(),
        as_expected: tried.is_good(),
    };
    serde_json::json!(row)
}

impl Role {
    fn subject(self) -> Subject {
        match self {
            Role::Gate => Subject::Gate,
            Role::Scribe => Subject::Scribe,
            Role::App => Subject::App,
            Role::Runner => Subject::Runner,
        }
    }
}
