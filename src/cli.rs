//! The operator's commands: arguments in, lines out, an exit code that scripts can rely on.
//!
//! Every line goes through [`term`]: what a caller put into a request can't draw on the terminal.

pub mod audit;
pub mod control;
pub mod doctor;
mod paper;
pub mod policy;
pub mod probe;
mod recall;
pub mod run;
pub mod term;
pub mod whole;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

use term::Term;

const EXIT_CODES: &str = "\
Exit codes:
  0  done, and the answer is yes
  1  done, and the answer is no: not found, not valid, refused
  2  the command line makes no sense
  3  it could not be done: a file can't be read, the daemon can't be reached";

/// Checks policies, reads the record, and asks a running peergated.
#[derive(Debug, Parser)]
#[command(name = "peergate", version, after_help = EXIT_CODES, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Reads the record of accesses
    #[command(subcommand, after_help = EXIT_CODES)]
    Audit(Box<audit::Command>),
    /// Checks policies
    #[command(subcommand, after_help = EXIT_CODES)]
    Policy(policy::Command),
    /// Prints what a running daemon does; exit code 1 while it can't record, and so refuses every request, or while
    /// its processes die again and again
    #[command(after_help = EXIT_CODES)]
    Status(control::Arguments),
    /// Prints how each process of a running daemon is confined, as the kernel says it now; exit code 1 where
    /// something that is promised is not there
    #[command(after_help = EXIT_CODES)]
    Doctor(control::Arguments),
    /// Has a running daemon load its policy again; exit code 1 where it keeps the old one
    #[command(after_help = EXIT_CODES)]
    Reload(control::ReloadArguments),
    /// Runs a command of the policy, and passes on what it says and its exit code; without a route, lists what may be
    /// called
    #[command(after_help = run::EXIT_CODES)]
    Run(run::Arguments),
    /// Prints completions for a shell
    #[command(after_help = EXIT_CODES)]
    Completions(paper::Completions),
    /// Writes the man pages of both programs into a directory
    #[command(after_help = EXIT_CODES)]
    Man(paper::Man),
    /// Has the daemon start roles that try what they must not be able to do, and says what came of it; exit code 1
    /// where something got through, or anything else is not as it has to be
    #[command(after_help = EXIT_CODES)]
    Probe(probe::Arguments),
}

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For programs: one JSON value a line
    Json,
}

/// How a command ended that could be carried out.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Exit code 0.
    Yes,
    /// Exit code 1.
    No,
    /// The answer is no, in one of several ways that a script can tell apart by this exit code.
    NoBecause(u8),
}

/// A command that could not be carried out: one line for people, exit code 3.
#[derive(Debug)]
pub enum Failure {
    /// Whoever reads our output is gone; nobody is left to be told, and nothing is wrong.
    ReaderLeft,
    /// What was tried, on what, and why it failed.
    Because(String),
}

impl Failure {
    /// `what` failed: `can't read /var/log/peergate`.
    pub fn at(what: impl Into<String>) -> impl FnOnce(io::Error) -> Failure {
        move |error| Failure::Because(format!("{}: {error}", what.into()))
    }
}

/// Runs the command that `arguments`, the program's name first, ask for.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let is_shells = run::is_shells(&arguments);
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(_) if is_shells => return ExitCode::SUCCESS,
        Err(error) => {
            // clap prints help to stdout and complaints to stderr, and knows which of them is a failure.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            error.print().ok();
            return ExitCode::from(code);
        }
    };
    let mut term = Term::new();
    let answer = match arguments.command {
        Command::Audit(command) => audit::run(*command, &mut term),
        Command::Policy(command) => policy::run(command, &mut term),
        Command::Status(arguments) => control::status(&arguments, &mut term),
        Command::Doctor(arguments) => doctor::run(&arguments, &mut term),
        Command::Reload(arguments) => control::reload(&arguments, &mut term),
        Command::Run(arguments) => run::run(&arguments, &mut term),
        Command::Completions(arguments) => paper::completions(&arguments, Arguments::command()),
        Command::Man(arguments) => paper::man(&arguments, Arguments::command()),
        Command::Probe(arguments) => probe::run(&arguments, &mut term),
    };
    match answer.and_then(|answer| term.flush().map(|()| answer)) {
        Ok(Answer::Yes) | Err(Failure::ReaderLeft) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Ok(Answer::NoBecause(code)) => ExitCode::from(code),
        Err(Failure::Because(why)) => {
            term.complain(&why);
            ExitCode::from(3)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn run_unknown_command_is_exit_code_2() {
        let arguments = ["peergate", "frobnicate"].map(OsString::from);
        assert_eq!(format!("{:?}", run(arguments)), format!("{:?}", ExitCode::from(2)));
    }
}
