//! `peergate policy convert`: what other socket proxies were told, as a policy. Never wider than it was there, but in two
//! things that it tells: what can't be said as narrowly is left out, and told too.

mod made;
mod regex;
mod toggles;
mod wollomatic;
mod words;

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::init::{plain_group, plain_path};
use super::source::own;
use crate::cli::term::Term;
use crate::cli::{Answer, Failure, Format};
use crate::policy::{self, SystemNames};
#[cfg(test)]
use made::Made;
use toggles::Flavour;

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  all of it is carried over
  1  some of it is not: what is left out stands in comments and on standard error
  2  the command line makes no sense
  3  it could not be done: the file can't be read, or there is nothing of that proxy in it";

/// Longer inputs are no settings.
const LONGEST: u64 = 1 << 20;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Whose settings
    #[arg(value_enum)]
    from: From,
    /// A file that holds them: environment lines, a compose file, `docker inspect`, a command line; `-` reads standard
    /// input
    file: PathBuf,
    /// Whose members may ask: those proxies don't know who asks
    #[arg(long, value_name = "NAME", default_value = "docker-users")]
    group: String,
    /// The socket that callers connect to
    #[arg(long, value_name = "PATH", default_value = "/run/peergate/docker.sock")]
    listen: String,
    /// For people (the policy itself), or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum From {
    /// tecnativa/docker-socket-proxy: `CONTAINERS=1 POST=0`
    Tecnativa,
    /// linuxserver/socket-proxy: the same names, and some more
    Linuxserver,
    /// wollomatic/socket-proxy: `-allowGET=/version`, `SP_ALLOW_GET=...`
    Wollomatic,
}

pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    plain_group(&arguments.group)?;
    plain_path(&arguments.listen)?;
    let text = read(&arguments.file)?;
    let made = match arguments.from {
        From::Tecnativa => toggles::convert(&text, Flavour::Tecnativa),
        From::Linuxserver => toggles::convert(&text, Flavour::Linuxserver),
        From::Wollomatic => wollomatic::convert(&text),
    };
    let Some(mut made) = made else {
        return Err(Failure::Because(format!(
            "{} holds no setting of that proxy",
            arguments.file.to_string_lossy()
        )));
    };
    if made.routes.is_empty() {
        made.left.iter().for_each(|left| term.complain(format!("left out: {left}")));
        return Err(Failure::Because("nothing of it can be carried over, so there is no policy".to_owned()));
    }
    made.note_wider();
    let policy = made.policy(&arguments.group, &arguments.listen);
    let policy = policy::layout("converted.toml", &policy).unwrap_or(policy);
    made.left.iter().for_each(|left| term.complain(format!("left out: {left}")));
    made.notes.iter().for_each(|note| term.complain(format!("note: {note}")));
    match arguments.format {
        Format::Text => term.line(policy.trim_end())?,
        Format::Json => term.line(json!({ "policy": policy, "left": made.left, "notes": made.notes }))?,
    }
    tell_wrong(&policy, &arguments.group, term)?;
    Ok(if made.left.is_empty() { Answer::Yes } else { Answer::No })
}

/// Where it would not be taken on this machine.
fn tell_wrong(text: &str, group: &str, term: &mut Term) -> Result<(), Failure> {
    if matches!(nix::unistd::Group::from_name(group), Ok(None)) {
        term.complain(format!("this machine has no group {group}: groupadd --system {group}"));
        return Ok(());
    }
    match policy::load_text("converted.toml", text, &SystemNames, &own()?) {
        Ok(_) => Ok(()),
        Err(why) => Err(Failure::Because(format!("what came of it is not valid here:\n{why}"))),
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    let what = || Failure::at(format!("can't read {}", file.display()));
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().take(LONGEST).read_to_end(&mut bytes).map_err(what())?;
    } else {
        std::fs::File::open(file).map_err(what())?.take(LONGEST).read_to_end(&mut bytes).map_err(what())?;
    }
    String::from_utf8(bytes)
        .map_err(|_| Failure::Because(format!("{} holds bytes that are no UTF-8", file.display())))
}

#[cfg(test)]
mod tests;
