//! The role that a process was started for. Its descriptors are taken before anything else is opened.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::command::{self, Daemon};
use super::{Server, hello};
use crate::confine::Terms;
use crate::sys::process;
use crate::warden::{self, Environment, Options, loader};
use crate::{app, diagnostics, gate, runner, scribe};

/// Plays the role that the arguments name, and ends; without one, what can serve.
pub(super) fn play_if_any(server: Server) -> Daemon {
    let mut arguments = std::env::args_os();
    let name = arguments.next();
    match arguments.next().and_then(|first| first.into_string().ok()).filter(|first| first.starts_with('@')) {
        // Nothing of what comes after this in `main` is a role's business.
        Some(role) => leave(play(&role, &arguments.collect::<Vec<_>>(), server)),
        None => Daemon::new(&server, name.as_ref()),
    }
}

fn leave(code: ExitCode) -> ! {
    // An ExitCode does not tell its number.
    let number = (0..=u8::MAX).find(|number| ExitCode::from(*number) == code);
    #[allow(
        clippy::disallowed_methods,
        reason = "a role that came back from here would run on in the embedder's `main`"
    )]
    std::process::exit(number.unwrap_or(1).into())
}

fn play(role: &str, arguments: &[OsString], server: Server) -> ExitCode {
    let given = || process::inherited(1).ok().and_then(|given| given.into_iter().next());
    match (role, arguments) {
        ("@gate", [lanes, terms]) => {
            match (lanes.to_str().and_then(|lanes| lanes.parse().ok()), terms_of(terms)) {
                (Some(lanes), Some(terms)) => gate::run(lanes, &terms),
                _ => misplayed(),
            }
        }
        ("@scribe", [terms]) => match terms_of(terms) {
            Some(terms) => scribe::run(&terms),
            None => misplayed(),
        },
        ("@app", [terms]) => match terms_of(terms) {
            Some(terms) => app::run(server.makes(), &terms),
            None => misplayed(),
        },
        ("@loader", [terms, file, runtime @ ..]) => match (given(), terms_of(terms)) {
            (Some(channel), Some(terms)) => {
                let runtime = runtime.first().map(Path::new);
                let (environment, apps) = (Environment::read(), server.declared());
                loader::run(&terms, Path::new(file), runtime, &environment, &apps, channel)
            }
            _ => misplayed(),
        },
        ("@keeper", [kind, terms, words @ ..]) => match (given(), terms_of(terms)) {
            (Some(channel), Some(terms)) => warden::keep(kind, &terms, words, channel),
            _ => misplayed(),
        },
        ("@launcher", []) => match given() {
            Some(channel) => speaking("launcher", || runner::launcher::run(channel)),
            None => misplayed(),
        },
        ("@runner", []) => match given() {
            Some(channel) => speaking("runner", || runner::run(channel)),
            None => misplayed(),
        },
        ("@warden", [file, runtime]) => match given() {
            Some(notify) => command::serve(
                "peergated",
                Options {
                    policy: PathBuf::from(file),
                    runtime: Some(PathBuf::from(runtime)),
                    terms: Terms::default(),
                    apps: Vec::new(),
                    accept_damage: false,
                    environment: Environment::read(),
                    notify: Some(notify),
                },
            ),
            None => misplayed(),
        },
        ("@hello", []) => hello::say(server.declared()),
        _ => misplayed(),
    }
}

/// Plays a role whose lines go to stderr.
fn speaking(role: &'static str, play: impl FnOnce() -> ExitCode) -> ExitCode {
    match diagnostics::start(role, None, "info", false) {
        Ok(()) => play(),
        Err(error) => command::failed("peergated", error),
    }
}

fn terms_of(argument: &OsString) -> Option<Terms> {
    argument.to_str().and_then(|text| Terms::parse(text).ok())
}

fn misplayed() -> ExitCode {
    command::complain(
        "peergated",
        "words that begin with `@` are roles, which only the daemon itself starts",
    );
    ExitCode::from(command::USAGE)
}
