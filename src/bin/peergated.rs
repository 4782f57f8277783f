//! The daemon: arguments in, exit code out. Also every role that it starts from its own file.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lexopt::{Arg, Parser, ValueExt};
use peergate::confine::{Terms, Violation};
use peergate::model::posture::Layer;
use peergate::policy::Policy;
use peergate::sys::process;
use peergate::warden::{self, Environment, Options, Trouble, demo, loader};
use peergate::{confine, diagnostics, gate, runner, scribe};

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
    Serve(PathBuf, Terms, bool),
    Check(PathBuf),
    PrintPlan(PathBuf, Terms),
    Demo,
    /// A role, which only a warden (or a demo) starts.
    Role(String, Vec<OsString>),
}

fn asked(mut parser: Parser) -> Result<Asked, lexopt::Error> {
    let (mut policy, mut check, mut plan, mut demo) = (None, false, false, false);
    let (mut terms, mut damage) = (Terms::default(), false);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return Ok(Asked::Help),
            Arg::Long("version") | Arg::Short('V') => return Ok(Asked::Version),
            Arg::Long("policy") => policy = Some(PathBuf::from(parser.value()?)),
            Arg::Long("check") => check = true,
            Arg::Long("print-plan") => plan = true,
            Arg::Long("accept-damage") => damage = true,
            Arg::Long("demo") => demo = true,
            Arg::Long("accept-missing") => terms.accept(layer(&parser.value()?.string()?)?),
            Arg::Long("seccomp") => terms.violation = violation(&parser.value()?.string()?)?,
            Arg::Value(word) if word.to_string_lossy().starts_with('@') => {
                let role = word.string()?;
                return Ok(Asked::Role(role, parser.raw_args()?.collect()));
            }
            argument => return Err(argument.unexpected()),
        }
    }
    match (policy, check, plan, demo) {
        (None, false, false, true) if terms == Terms::default() && !damage => Ok(Asked::Demo),
        (_, _, _, true) => Err("--demo goes alone".into()),
        (_, true, true, _) => Err("--check and --print-plan don't go together".into()),
        (None, _, _, false) => Err("--policy FILE or --demo is needed".into()),
        (Some(policy), true, ..) => Ok(Asked::Check(policy)),
        (Some(policy), _, true, _) => Ok(Asked::PrintPlan(policy, terms)),
        (Some(policy), ..) => Ok(Asked::Serve(policy, terms, damage)),
    }
}

fn layer(name: &str) -> Result<Layer, lexopt::Error> {
    Layer::named(name).ok_or_else(|| {
        let names: Vec<&str> = Layer::ALL.into_iter().map(Layer::name).collect();
        format!("there is no layer `{name}`; there are {}", names.join(", ")).into()
    })
}

fn violation(word: &str) -> Result<Violation, lexopt::Error> {
    match word {
        "kill" => Ok(Violation::Kills),
        "log" => Ok(Violation::IsLogged),
        _ => Err(format!("`--seccomp={word}` means nothing; there are `kill` and `log`").into()),
    }
}

fn run(asked: Asked) -> ExitCode {
    match asked {
        Asked::Help => said(HELP.trim_end()),
        Asked::Version => said(format!("peergated {}", env!("CARGO_PKG_VERSION"))),
        Asked::Serve(policy, terms, accept_damage) => serve(Options {
            policy,
            runtime: None,
            terms,
            accept_damage,
            environment: Environment::read(),
            notify: None,
        }),
        Asked::Check(policy) => check(&policy),
        Asked::PrintPlan(policy, terms) => print_plan(&policy, terms),
        Asked::Demo => try_out(),
        Asked::Role(role, arguments) => play(&role, &arguments),
    }
}

fn serve(mut options: Options) -> ExitCode {
    options.policy = match std::path::absolute(&options.policy) {
        Ok(policy) => policy,
        Err(error) => return failed(format!("{}: {error}", options.policy.display())),
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

fn load(policy: &Path) -> Result<Policy, String> {
    std::path::absolute(policy)
        .map_err(|error| error.to_string())
        .and_then(|policy| loader::load(&policy, None, &Environment::read()).map_err(|why| why.to_string()))
}

fn print_plan(policy: &Path, terms: Terms) -> ExitCode {
    match load(policy) {
        Ok(good) => match warden::plans(&good, terms) {
            Ok(plans) => {
                let commands = confine::command_plans(&good);
                let all = plans.iter().map(ToString::to_string).chain(commands);
                said(all.collect::<Vec<_>>().join("\n").trim_end())
            }
            Err(why) => failed(why),
        },
        Err(why) => {
            complain(why);
            ExitCode::from(POLICY_UNUSABLE)
        }
    }
}

fn check(policy: &Path) -> ExitCode {
    match load(policy) {
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
        ("@loader", [terms, file, runtime @ ..]) => match (given(1), terms_of(terms)) {
            (Some(channel), Some(terms)) => {
                let runtime = runtime.first().map(Path::new);
                loader::run(&terms, Path::new(file), runtime, &Environment::read(), channel)
            }
            _ => misplayed(),
        },
        ("@keeper", [kind, terms, words @ ..]) => match (given(1), terms_of(terms)) {
            (Some(channel), Some(terms)) => warden::keep(kind, &terms, words, channel),
            _ => misplayed(),
        },
        ("@launcher", []) => match given(1) {
            Some(channel) => speaking("launcher", || runner::launcher::run(channel)),
            None => misplayed(),
        },
        ("@runner", []) => match given(1) {
            Some(channel) => speaking("runner", || runner::run(channel)),
            None => misplayed(),
        },
        ("@warden", [file, runtime]) => match given(1) {
            Some(notify) => serve(Options {
                policy: PathBuf::from(file),
                runtime: Some(PathBuf::from(runtime)),
                terms: Terms::default(),
                accept_damage: false,
                environment: Environment::read(),
                notify: Some(notify),
            }),
            None => misplayed(),
        },
        _ => misplayed(),
    }
}

/// Plays a role whose lines go to stderr.
fn speaking(role: &'static str, play: impl FnOnce() -> ExitCode) -> ExitCode {
    match diagnostics::start(role, None, "info", false) {
        Ok(()) => play(),
        Err(error) => failed(error),
    }
}

fn terms_of(argument: &OsString) -> Option<Terms> {
    argument.to_str().and_then(|text| Terms::parse(text).ok())
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
