//! `peergate policy init`: a policy to start from, with its tests. What it writes is a sample of ours with the names of
//! this machine in it.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::source::own;
use crate::cli::term::Term;
use crate::cli::{Answer, Failure, Format};
use crate::policy::{self, SystemNames};

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  it is written, and valid on this machine
  1  it is written, and something has to be made first, such as the group: that is told
  2  the command line makes no sense
  3  it could not be done: there is such a file already, or it can't be written";

/// Writable by nobody else, or the daemon would not take it.
const MODE: u32 = 0o640;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// What stands behind
    #[arg(value_enum)]
    what: What,
    /// Where it is written; nothing is overwritten. `-` prints it
    file: PathBuf,
    /// Whose members may ask
    #[arg(long, value_name = "NAME", default_value = DOCKER_USERS)]
    group: String,
    /// The socket behind [default: /run/docker.sock, or /run/podman/podman.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<String>,
    /// The socket that callers connect to [default: /run/peergate/docker.sock, or /run/peergate/podman.sock]
    #[arg(long, value_name = "PATH")]
    listen: Option<String>,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Docker, to look at and not to touch
    Docker,
    /// Podman, likewise
    Podman,
}

const DOCKER_USERS: &str = "docker-users";

impl What {
    /// The sample, and the sockets that it names.
    fn sample(self) -> (&'static str, &'static str, &'static str) {
        match self {
            What::Docker => (
                include_str!("../../../policy/docker-readonly.toml"),
                "/run/docker.sock",
                "/run/peergate/docker.sock",
            ),
            What::Podman => (
                include_str!("../../../policy/podman.toml"),
                "/run/podman/podman.sock",
                "/run/peergate/podman.sock",
            ),
        }
    }
}

pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let Arguments { what, file, group, socket, listen, format } = arguments;
    let (_, behind, before) = what.sample();
    let text = text(*what, group, socket.as_deref().unwrap_or(behind), listen.as_deref().unwrap_or(before))?;
    if file == Path::new("-") {
        term.line(text.trim_end())?;
        return Ok(Answer::Yes);
    }
    write(file, &text)?;
    let name = file.to_string_lossy();
    let wrong = policy::load_text(&name, &text, &SystemNames, &own()?).err().map(|why| why.to_string());
    let absent = matches!(nix::unistd::Group::from_name(group), Ok(None));
    let first = absent.then(|| format!("groupadd --system {group}"));
    match format {
        Format::Json => {
            term.line(json!({ "file": name, "valid": wrong.is_none(), "first": first, "why": wrong }))?
        }
        Format::Text => tell(&name, group, first.as_deref(), wrong.as_deref(), term)?,
    }
    Ok(if wrong.is_none() { Answer::Yes } else { Answer::No })
}

/// What to do next.
fn tell(
    name: &str,
    group: &str,
    first: Option<&str>,
    wrong: Option<&str>,
    term: &mut Term,
) -> Result<(), Failure> {
    term.line(format!("written: {name}"))?;
    match (first, wrong) {
        (Some(first), _) => {
            term.line(format!("this machine has no group {group} yet; make it, and put people into it:"))?;
            term.line(format!("    {first}"))?;
            term.line(format!("    usermod --append --groups {group} SOMEBODY"))?;
        }
        (None, Some(wrong)) => term.line(wrong.trim_end())?,
        (None, None) => {}
    }
    term.line("then:")?;
    term.line(format!("    peergate policy check {name}"))?;
    term.line(format!("    peergated --policy {name}"))
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let what = || Failure::at(format!("can't write {}", file.display()));
    let mut new = OpenOptions::new().write(true).create_new(true).mode(MODE).open(file).map_err(what())?;
    new.write_all(text.as_bytes()).and_then(|()| new.sync_all()).map_err(what())
}

fn text(what: What, group: &str, socket: &str, listen: &str) -> Result<String, Failure> {
    plain_group(group)?;
    for path in [socket, listen] {
        plain_path(path)?;
    }
    let (sample, behind, before) = what.sample();
    let [group_there, behind, before] = [DOCKER_USERS, behind, before].map(str::to_owned);
    Ok(sample
        .replace(&format!("unix:{behind}"), &format!("unix:{socket}"))
        .replace(&format!("\"{before}\""), &format!("\"{listen}\""))
        .replace(&group_there, group))
}

/// A group's name that needs no quoting anywhere (`useradd(8)` takes these).
pub(super) fn plain_group(group: &str) -> Result<(), Failure> {
    let plain = group.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if plain && !group.is_empty() && !group.starts_with('-') {
        return Ok(());
    }
    Err(Failure::Because(format!("{group} is no name of a group: letters, digits, `-`, `_` and `.`")))
}

/// An absolute path that needs no quoting.
pub(super) fn plain_path(path: &str) -> Result<(), Failure> {
    let plain = path.bytes().all(|byte| (b'!'..=b'~').contains(&byte) && !matches!(byte, b'"' | b'\\'));
    if plain && path.starts_with('/') {
        return Ok(());
    }
    Err(Failure::Because(format!("{path} is no absolute path without blanks and quotes")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::caller::{Gid, Uid};
    use crate::policy::Own;

    #[test]
    fn text_with_names_of_this_machine_is_a_valid_policy() {
        let own = Own::system(Uid::new(0).unwrap(), Gid::new(0).unwrap());
        for what in [What::Docker, What::Podman] {
            // `root` is a group everywhere.
            let text = text(what, "root", "/srv/d.sock", "/srv/l.sock").unwrap();
            let policy = policy::load_text("new.toml", &text, &SystemNames, &own);
            let policy = policy.unwrap_or_else(|why| panic!("{why}"));
            assert_eq!(policy.listeners[0].path, "/srv/l.sock");
            assert!(text.contains("\"unix:/srv/d.sock\"") && !text.contains(DOCKER_USERS), "{text}");
        }
    }

    #[test]
    fn text_takes_no_names_that_need_quotes() {
        for (group, socket) in
            [("a b", "/s"), ("\"", "/s"), ("", "/s"), ("-g", "/s"), ("g", "s"), ("g", "/s\"")]
        {
            assert!(text(What::Docker, group, socket, "/l").is_err(), "{group} {socket}");
        }
    }
}
