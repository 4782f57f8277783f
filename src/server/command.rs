//! The command line: arguments in, exit code out.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lexopt::{Arg, Parser, ValueExt};

use super::{Server, hello};
use crate::confine::{Terms, Violation};
use crate::model::app::Declared;
use crate::model::posture::Layer;
use crate::policy::Policy;
use crate::warden::{self, Environment, Options, Trouble, demo, loader};
use crate::{confine, diagnostics};

/// The man page is made of the same text (`peergate man`).
const HELP: &str = include_str!("../manual/peergated.txt");

/// EX_CONFIG of sysexits.h: starting again won't help.
const POLICY_UNUSABLE: u8 = 78;
pub(super) const USAGE: u8 = 2;

/// A program whose process has no role, and which can serve therefore.
pub struct Daemon {
    apps: Vec<Declared>,
    name: String,
    /// The program takes its roles, as its own `main` shows.
    known: bool,
}

/// What the command line asks for.
enum Asked {
    Help,
    Version,
    Serve(PathBuf, Terms, bool),
    Check(PathBuf),
    PrintPlan(PathBuf, Terms),
    Demo,
}

impl Daemon {
    pub(super) fn new(server: &Server, name: Option<&OsString>) -> Daemon {
        let file = name.and_then(|name| Path::new(name).file_name());
        let own = || file.map_or_else(|| "peergated".to_owned(), |file| file.to_string_lossy().into_owned());
        let name = if server.known { "peergated".to_owned() } else { own() };
        Daemon { apps: server.declared(), name, known: server.known }
    }

    /// Does what the command line asks for: the options of `peergated`, without its demo.
    #[must_use]
    pub fn run_command_line(self) -> ExitCode {
        match asked(Parser::from_env()) {
            Ok(asked) => self.obey(asked),
            Err(error) => {
                let name = &self.name;
                let own = if self.known { format!(", `{name} --demo`") } else { String::new() };
                complain(
                    name,
                    format!("{error}\nuse `{name} --policy FILE`{own}, or look at `{name} --help`"),
                );
                ExitCode::from(USAGE)
            }
        }
    }

    /// Serves by this policy until it is told to stop, for a program that reads its command line itself: 0 where it
    /// ended well, 78 where the policy is not usable, else 1. What is wrong goes to standard error.
    #[must_use]
    pub fn serve(self, policy: impl AsRef<Path>) -> ExitCode {
        self.serve_with(policy.as_ref(), Terms::default(), false)
    }

    fn obey(self, asked: Asked) -> ExitCode {
        let name = self.name.clone();
        match asked {
            Asked::Help if self.known => said(HELP.trim_end()),
            Asked::Help => said(HELP.trim_end().replace("peergated", &name)),
            Asked::Version if self.known => said(format!("peergated {}", env!("CARGO_PKG_VERSION"))),
            Asked::Version => said(format!("{name}, with peergate {}", env!("CARGO_PKG_VERSION"))),
            Asked::Serve(policy, terms, damage) => self.serve_with(&policy, terms, damage),
            Asked::Check(policy) => self.check(&policy),
            Asked::PrintPlan(policy, terms) => self.print_plan(&policy, terms),
            Asked::Demo if self.known => match demo::run(&Environment::read()) {
                Ok(code) => code,
                Err(error) => failed(&name, format!("the demo can't go on: {error}")),
            },
            Asked::Demo => {
                complain(&name, "only `peergated` itself has a demo");
                ExitCode::from(USAGE)
            }
        }
    }

    fn serve_with(self, policy: &Path, terms: Terms, accept_damage: bool) -> ExitCode {
        if !self.known
            && let Err(why) = hello::expect(&self.apps)
        {
            return failed(&self.name, why);
        }
        let policy = match std::path::absolute(policy) {
            Ok(policy) => policy,
            Err(error) => return failed(&self.name, format!("{}: {error}", policy.display())),
        };
        let options = Options {
            policy,
            runtime: None,
            terms,
            apps: self.apps,
            accept_damage,
            environment: Environment::read(),
            notify: None,
        };
        serve(&self.name, options)
    }

    fn load(&self, policy: &Path) -> Result<Policy, String> {
        std::path::absolute(policy).map_err(|error| error.to_string()).and_then(|policy| {
            loader::load(&policy, None, &Environment::read(), &self.apps).map_err(|why| why.to_string())
        })
    }

    fn print_plan(&self, policy: &Path, terms: Terms) -> ExitCode {
        match self.load(policy) {
            Ok(good) => match warden::plans(&good, &self.apps, terms) {
                Ok(plans) => {
                    let commands = confine::command_plans(&good);
                    let launcher = (!commands.is_empty()).then(|| confine::LAUNCHER.to_owned());
                    let all = plans.iter().map(ToString::to_string).chain(launcher).chain(commands);
                    said(all.collect::<Vec<_>>().join("\n").trim_end())
                }
                Err(why) => failed(&self.name, why),
            },
            Err(why) => self.unusable(why),
        }
    }

    fn check(&self, policy: &Path) -> ExitCode {
        match self.load(policy) {
            Ok(good) => said(format!("{}: good, {}", policy.display(), good.short_hash())),
            Err(why) => self.unusable(why),
        }
    }

    fn unusable(&self, why: String) -> ExitCode {
        complain(&self.name, why);
        ExitCode::from(POLICY_UNUSABLE)
    }
}

pub(super) fn serve(name: &str, options: Options) -> ExitCode {
    // Until the scribe listens, lines go to stderr.
    if let Err(error) = diagnostics::start("warden", None, "info", false) {
        return failed(name, error);
    }
    match warden::run(options) {
        Ok(code) => code,
        Err(trouble @ Trouble::Policy(_)) => {
            complain(name, trouble);
            ExitCode::from(POLICY_UNUSABLE)
        }
        Err(trouble) => failed(name, trouble),
    }
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

fn said(line: impl Display) -> ExitCode {
    match writeln!(io::stdout(), "{line}") {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever asked does not read any more.
        Err(_gone) => ExitCode::FAILURE,
    }
}

pub(super) fn failed(name: &str, why: impl Display) -> ExitCode {
    complain(name, why);
    ExitCode::FAILURE
}

pub(super) fn complain(name: &str, why: impl Display) {
    // There is nowhere else to say it.
    writeln!(io::stderr(), "{name}: {why}").ok();
}
