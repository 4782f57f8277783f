//! `peergate policy`: a policy before it is in force.

mod past;
mod replay;
mod suggest;
mod unused;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use nix::unistd::{getegid, geteuid};

use super::term::Term;
use super::{Answer, Failure, Format};
use crate::model::caller::{Gid, Uid};
use crate::policy::{self, Own, Policy, SystemNames};
use crate::warden::Environment;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Reads a policy as the daemon would, resolves its names, runs its tests, and says what is wrong
    Check(Check),
    /// Judges what is on record again, by another policy: which requests would be answered otherwise; exit code 1 where
    /// there is one
    #[command(after_help = replay::EXIT_CODES)]
    Replay(Box<replay::Arguments>),
    /// Prints the least policy that covers what was asked for, with how often and by which requests; it is never applied
    /// by itself
    #[command(after_help = suggest::EXIT_CODES)]
    Suggest(Box<suggest::Arguments>),
    /// Prints which routes, grants and forbids of a policy nobody used, and how many days that covers; exit code 1 where
    /// there is one
    #[command(after_help = unused::EXIT_CODES)]
    Unused(Box<unused::Arguments>),
}

#[derive(Debug, Args)]
pub(super) struct Check {
    /// The policy; `-` reads standard input
    file: PathBuf,
    /// What `@runtime` stands for, in a demo's policy
    #[arg(long, value_name = "DIRECTORY")]
    runtime: Option<String>,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(command: Command, term: &mut Term) -> Result<Answer, Failure> {
    match command {
        Command::Check(arguments) => check(&arguments, term),
        Command::Replay(arguments) => replay::run(&arguments, term),
        Command::Suggest(arguments) => suggest::run(&arguments, term),
        Command::Unused(arguments) => unused::run(&arguments, term),
    }
}

/// Where the daemon takes a policy only from a safe place, a draft may lie anywhere.
fn check(arguments: &Check, term: &mut Term) -> Result<Answer, Failure> {
    let name = arguments.file.to_string_lossy();
    let bytes = read(&arguments.file).map_err(Failure::at(format!("can't read {name}")))?;
    let own = match &arguments.runtime {
        Some(directory) => own()?.with_runtime(directory),
        None => own()?,
    };
    match (policy::load_bytes(&name, &bytes, &SystemNames, &own), arguments.format) {
        (Ok(policy), Format::Text) => {
            term.line(format_args!("{name}: {}", summary(&policy)))?;
            Ok(Answer::Yes)
        }
        (Ok(policy), Format::Json) => {
            let hash = hex(&policy.hash);
            term.line(serde_json::json!({ "file": name, "valid": true, "hash": hash, "mistakes": [] }))?;
            Ok(Answer::Yes)
        }
        (Err(mistakes), Format::Text) => {
            term.line(mistakes.to_string().trim_end())?;
            Ok(Answer::No)
        }
        (Err(mistakes), Format::Json) => {
            let mistakes: Vec<_> = mistakes
                .iter()
                .map(|found| {
                    serde_json::json!({ "line": found.line, "column": found.column, "message": found.message, "help": found.help })
                })
                .collect();
            term.line(serde_json::json!({ "file": name, "valid": false, "mistakes": mistakes }))?;
            Ok(Answer::No)
        }
    }
}

/// A policy that must be valid, for what else is asked of it.
pub(super) fn load(file: &Path) -> Result<Policy, Failure> {
    let name = file.to_string_lossy();
    let bytes = read(file).map_err(Failure::at(format!("can't read {name}")))?;
    policy::load_bytes(&name, &bytes, &SystemNames, &own()?)
        .map_err(|_| Failure::Because(format!("{name} is not valid: see `peergate policy check`")))
}

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let most = policy::LONGEST as u64 + 1;
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().take(most).read_to_end(&mut bytes)?;
    } else {
        File::open(file)?.take(most).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// The daemon that would take it: the system's for root, else a user's own.
fn own() -> Result<Own, Failure> {
    let ids = Uid::new(geteuid().as_raw()).zip(Gid::new(getegid().as_raw()));
    let (uid, gid) = ids.ok_or_else(|| Failure::Because("your ids are no ids".to_owned()))?;
    let environment = Environment::read();
    Ok(if geteuid().is_root() {
        Own::system(uid, gid)
    } else {
        Own::user(uid, gid, &environment.runtime_home(uid.raw()), &environment.state_home())
    })
}

fn summary(policy: &Policy) -> String {
    let hash = hex(&policy.hash);
    format!(
        "valid: {} listeners, {} backends, {} routes, {} forbids; hash {}",
        policy.listeners.len(),
        policy.backends.len(),
        policy.routes.len(),
        policy.forbids.len(),
        hash.get(..8).unwrap_or(&hash),
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
