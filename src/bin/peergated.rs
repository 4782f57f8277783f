//! The daemon: arguments in, exit code out. Also every role that it starts from its own file.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lexopt::{Arg, Parser, ValueExt};
use peergate::sys::process;
use peergate::warden::{self, Environment, Options, Trouble, demo, loader};
use peergate::{diagnostics, gate, scribe};

/// The man page is made of the same text (`peergate man`).
const HELP: &str = include_str!("../manual/peergated.txt");

const USE: &str = "use `peergated --policy FILE`, `peergated --demo`, or look at `peergated --help`";

/// EX_CONFIG of sysexits.h: starting again won't help.
const POLICY_UNUSABLE: u8 = 78;
const USAGE: u8 = 2;

fn main() -> ExitCode {
    match asked(Parser::from_env()) {
        Ok(asked) => run(asked),
        Err(error) => {
            complain(format!("{error}\n{USE}"));
            ExitCode::from(USAGE)
        }
    }
}

/// What the command line asks for.
enum Asked {
    Help,
    Version,
    Serve(PathBuf),
    Check(PathBuf),
    Demo,
    /// A role, which only a warden (or a demo) starts.
    Role(String, Vec<OsString>),
}

fn asked(mut parser: Parser) -> Result<Asked, lexopt::Error> {
    let (mut policy, mut check, mut demo) = (None, false, false);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return Ok(Asked::Help),
            Arg::Long("version") | Arg::Short('V') => return Ok(Asked::Version),
            Arg::Long("policy") => policy = Some(PathBuf::from(parser.value()?)),
            Arg::Long("check") => check = true,
            Arg::Long("demo") => demo = true,
            Arg::Value(word) if word.to_string_lossy().starts_with('@') => {
                let role = word.string()?;
                return Ok(Asked::Role(role, parser.raw_args()?.collect()));
            }
            argument => return Err(argument.unexpected()),
        }
    }
    match (policy, check, demo) {
        (None, false, true) => Ok(Asked::Demo),
        (Some(policy), true, false) => Ok(Asked::Check(policy)),
        (Some(policy), false, false) => Ok(Asked::Serve(policy)),
        (_, _, true) => Err("--demo goes alone".into()),
        (None, _, false) => Err("--policy FILE or --demo is needed".into()),
    }
}

fn run(asked: Asked) -> ExitCode {
    match asked {
        Asked::Help => said(HELP.trim_end()),
        Asked::Version => said(format!("peergated {}", env!("CARGO_PKG_VERSION"))),
        Asked::Serve(policy) => serve(&policy, None, None),
        Asked::Check(policy) => check(&policy),
        Asked::Demo => try_out(),
        Asked::Role(role, arguments) => play(&role, &arguments),
    }
}

fn serve(policy: &Path, runtime: Option<PathBuf>, notify: Option<std::os::fd::OwnedFd>) -> ExitCode {
    let options = match std::path::absolute(policy) {
        Ok(policy) => Options { policy, runtime, environment: Environment::read(), notify },
        Err(error) => return failed(format!("{}: {error}", policy.display())),
    };
    // Until the scribe listens, lines go to stderr.
    if let Err(error) = diagnostics::start("warden", None, "info", false) {
        return failed(error);
    }
    match warden::run(options) {
        Ok(code) => code,
        Err(trouble @ Trouble::Policy(_)) => {
            complain(trouble);
            ExitCode::from(POLICY_UNUSABLE)
        }
        Err(trouble) => failed(trouble),
    }
}

fn check(policy: &Path) -> ExitCode {
    let loaded = std::path::absolute(policy)
        .map_err(|error| error.to_string())
        .and_then(|policy| loader::load(&policy, None, &Environment::read()));
    match loaded {
        Ok(good) => said(format!("{}: good, {}", policy.display(), good.short_hash())),
        Err(why) => {
            complain(why);
            ExitCode::from(POLICY_UNUSABLE)
        }
    }
}

fn try_out() -> ExitCode {
    match demo::run(&Environment::read()) {
        Ok(code) => code,
        Err(error) => failed(format!("the demo can't go on: {error}")),
    }
}

/// Plays a role. Its descriptors are taken before anything else is opened.
fn play(role: &str, arguments: &[OsString]) -> ExitCode {
    let given = |count| process::inherited(count).ok().and_then(|given| given.into_iter().next());
    match (role, arguments) {
        ("@gate", [lanes]) => match lanes.to_str().and_then(|lanes| lanes.parse().ok()) {
            Some(lanes) => gate::run(lanes),
            None => misplayed(),
        },
        ("@scribe", []) => scribe::run(),
        ("@loader", [file, runtime @ ..]) => match given(1) {
            Some(channel) => {
                let runtime = runtime.first().map(Path::new);
                loader::run(Path::new(file), runtime, &Environment::read(), channel)
            }
            None => misplayed(),
        },
        ("@warden", [file, runtime]) => match given(1) {
            Some(notify) => serve(Path::new(file), Some(PathBuf::from(runtime)), Some(notify)),
            None => misplayed(),
        },
        _ => misplayed(),
    }
}

fn misplayed() -> ExitCode {
    complain("words that begin with `@` are roles, which only the daemon itself starts");
    ExitCode::from(USAGE)
}

fn said(line: impl Display) -> ExitCode {
    match writeln!(io::stdout(), "{line}") {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever asked does not read any more.
        Err(_gone) => ExitCode::FAILURE,
    }
}

fn failed(why: impl Display) -> ExitCode {
    complain(why);
    ExitCode::FAILURE
}

fn complain(why: impl Display) {
    // There is nowhere else to say it.
    writeln!(io::stderr(), "peergated: {why}").ok();
}
