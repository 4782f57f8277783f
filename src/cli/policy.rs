//! `peergate policy`: a policy before it is in force.

mod caller;
mod check;
mod convert;
pub(super) mod diff;
mod explain;
mod fmt;
mod init;
mod names;
mod past;
mod replay;
mod request;
mod source;
mod suggest;
mod test;
mod unused;
mod who_can;

use std::path::Path;

use clap::Subcommand;

use super::term::Term;
use super::{Answer, EXIT_CODES, Failure};
use crate::policy::{self, Policy, SystemNames};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Writes a policy to start from, commented, with its tests
    #[command(after_help = init::EXIT_CODES)]
    Init(init::Arguments),
    /// Prints as a policy what another socket proxy was told, and says what could not be carried over
    #[command(after_help = convert::EXIT_CODES)]
    Convert(convert::Arguments),
    /// Reads a policy as the daemon would, resolves its names, runs its tests, and says what is wrong
    #[command(after_help = EXIT_CODES)]
    Check(check::Arguments),
    /// Prints what changes between two policies, in grants: who may do what that was refused before, and the other way
    /// round
    #[command(after_help = diff::HELP)]
    Diff(diff::Arguments),
    /// Runs a policy's own tests, and says which rules none of them touches
    #[command(after_help = test::HELP)]
    Test(test::Arguments),
    /// Says what a policy does with one request of one caller, step by step, and what would have to be different
    #[command(after_help = explain::HELP)]
    Explain(Box<explain::Arguments>),
    /// Prints who may ask for something: whos, and the users that they mean
    #[command(after_help = who_can::WHO_HELP)]
    WhoCan(who_can::WhoArguments),
    /// Prints all that a caller may ask for, by which rule, on which terms
    #[command(after_help = who_can::WHAT_HELP)]
    WhatCan(Box<who_can::WhatArguments>),
    /// Lays policies out in their canonical form: keys aligned, lists wrapped, comments kept
    #[command(after_help = fmt::HELP)]
    Fmt(fmt::Arguments),
    /// Writes users and groups as a snapshot, for judging policies where they are not known (`--names`)
    #[command(after_help = EXIT_CODES)]
    Names(names::Arguments),
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

pub(super) fn run(command: Command, term: &mut Term) -> Result<Answer, Failure> {
    match command {
        Command::Init(arguments) => init::run(&arguments, term),
        Command::Convert(arguments) => convert::run(&arguments, term),
        Command::Check(arguments) => check::run(&arguments, term),
        Command::Diff(arguments) => diff::run(&arguments, term),
        Command::Explain(arguments) => explain::run(&arguments, term),
        Command::WhoCan(arguments) => who_can::who(&arguments, term),
        Command::WhatCan(arguments) => who_can::what(&arguments, term),
        Command::Fmt(arguments) => fmt::run(&arguments, term),
        Command::Test(arguments) => test::run(&arguments, term),
        Command::Names(arguments) => names::run(&arguments, term),
        Command::Replay(arguments) => replay::run(&arguments, term),
        Command::Suggest(arguments) => suggest::run(&arguments, term),
        Command::Unused(arguments) => unused::run(&arguments, term),
    }
}

/// A policy that must be valid, for what else is asked of it.
pub(super) fn load(file: &Path) -> Result<Policy, Failure> {
    let name = file.to_string_lossy();
    let bytes = source::read(file)?;
    policy::load_bytes(&name, &bytes, &SystemNames, &source::own()?)
        .map_err(|_| Failure::Because(format!("{name} is not valid: see `peergate policy check`")))
}
