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
    /// Whose members may ask [default: docker-users; for `command` and `app`: ops]
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// The socket behind [default: /run/docker.sock, or /run/podman/podman.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<String>,
    /// The socket that callers connect to [default: docker.sock, podman.sock, commands.sock or app.sock in /run/peergate]
    #[arg(long, value_name = "PATH")]
    listen: Option<String>,
    /// Of `app`: its name in the program, `Server::new().app(NAME, ...)` [default: hello]
    #[arg(long, value_name = "NAME")]
    app: Option<String>,
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
    /// Programs that run as a named user: what sudo is used for
    Command,
    /// A program that embeds the library
    App,
}

/// What is written, and the names in it that become those of this machine.
struct Sample {
    text: &'static str,
    group: &'static str,
    listen: &'static str,
    /// The socket behind, where there is one.
    socket: Option<&'static str>,
    /// The app's name, where there is one.
    app: Option<&'static str>,
}

impl What {
    fn sample(self) -> Sample {
        match self {
            What::Docker => Sample {
                text: include_str!("../../../policy/docker-readonly.toml"),
                group: "docker-users",
                listen: "/run/peergate/docker.sock",
                socket: Some("/run/docker.sock"),
                app: None,
            },
            What::Podman => Sample {
                text: include_str!("../../../policy/podman.toml"),
                group: "docker-users",
                listen: "/run/peergate/podman.sock",
                socket: Some("/run/podman/podman.sock"),
                app: None,
            },
            What::Command => Sample {
                text: include_str!("init/command.toml"),
                group: "ops",
                listen: "/run/peergate/commands.sock",
                socket: None,
                app: None,
            },
            What::App => Sample {
                text: include_str!("init/app.toml"),
                group: "ops",
                listen: "/run/peergate/app.sock",
                socket: None,
                app: Some("hello"),
            },
        }
    }
}

/// The names that were given in place of a sample's.
#[derive(Debug, Clone, Copy, Default)]
struct Given<'a> {
    group: Option<&'a str>,
    listen: Option<&'a str>,
    socket: Option<&'a str>,
    app: Option<&'a str>,
}

pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let Arguments { what, file, group, socket, listen, app, format } = arguments;
    let given = Given {
        group: group.as_deref(),
        listen: listen.as_deref(),
        socket: socket.as_deref(),
        app: app.as_deref(),
    };
    let sample = what.sample();
    let text = text(&sample, given)?;
    let group = given.group.unwrap_or(sample.group);
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
        Format::Text => tell(*what, &name, group, first.as_deref(), wrong.as_deref(), term)?,
    }
    Ok(if wrong.is_none() { Answer::Yes } else { Answer::No })
}

/// What to do next.
fn tell(
    what: What,
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
    term.line("then read it, make it yours, and:")?;
    term.line(format!("    peergate policy check {name}"))?;
    match what {
        What::App => term.line(format!("    YOUR-PROGRAM --policy {name}")),
        _ => term.line(format!("    peergated --policy {name}")),
    }
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let what = || Failure::at(format!("can't write {}", file.display()));
    let mut new = OpenOptions::new().write(true).create_new(true).mode(MODE).open(file).map_err(what())?;
    new.write_all(text.as_bytes()).and_then(|()| new.sync_all()).map_err(what())
}

fn text(sample: &Sample, given: Given<'_>) -> Result<String, Failure> {
    let Given { group, listen, socket, app } = given;
    for (key, there, wanted) in [("--socket", sample.socket, socket), ("--app", sample.app, app)] {
        if there.is_none() && wanted.is_some() {
            return Err(Failure::Because(format!(
                "{key} says nothing here: nothing of that kind is in this policy"
            )));
        }
    }
    group.map_or(Ok(()), plain_group)?;
    app.map_or(Ok(()), plain_name)?;
    [listen, socket].into_iter().flatten().try_for_each(plain_path)?;
    let mut text = sample.text.to_owned();
    let mut put = |before: &str, old: Option<&str>, new: Option<&str>| {
        if let (Some(old), Some(new)) = (old, new) {
            text = text.replace(&format!("{before}{old}\""), &format!("{before}{new}\""));
        }
    };
    put("\"unix:", sample.socket, socket);
    put("\"", Some(sample.listen), listen);
    put("app = \"", sample.app, app);
    Ok(match group {
        // Not a part of another word.
        Some(group) => in_place_of(&text, sample.group, group),
        None => text,
    })
}

/// A text with each such word replaced that stands between quotes or backticks.
fn in_place_of(text: &str, old: &str, new: &str) -> String {
    let quotes = ['"', '`'];
    quotes.iter().fold(text.to_owned(), |text, quote| {
        text.replace(&format!("{quote}{old}{quote}"), &format!("{quote}{new}{quote}"))
    })
}

/// The name of an app, which needs no quoting either.
fn plain_name(name: &str) -> Result<(), Failure> {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if plain && !name.is_empty() {
        return Ok(());
    }
    Err(Failure::Because(format!("{name} is no name of an app: letters, digits, `-`, `_` and `.`")))
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
    use crate::policy::grants::Known;
    use crate::policy::lint::{Lint, lint};
    use crate::policy::snapshot::Daemon;

    const ALL: [What; 4] = [What::Docker, What::Podman, What::Command, What::App];

    fn own() -> Own {
        Own::system(Uid::new(0).unwrap(), Gid::new(0).unwrap())
    }

    #[test]
    fn text_with_names_of_this_machine_is_a_valid_policy() {
        for what in ALL {
            let sample = what.sample();
            // `root` is a group everywhere.
            let given = Given {
                group: Some("root"),
                listen: Some("/srv/l.sock"),
                socket: sample.socket.and(Some("/srv/d.sock")),
                app: sample.app.and(Some("mine")),
            };
            let text = text(&sample, given).unwrap();
            // Its tests run when it is loaded.
            let policy = policy::load_text("new.toml", &text, &SystemNames, &own());
            let policy = policy.unwrap_or_else(|why| panic!("{why}"));
            assert_eq!(policy.listeners[0].path, "/srv/l.sock");
            assert_eq!(sample.socket.is_some(), text.contains("\"unix:/srv/d.sock\""), "{text}");
            assert_eq!(sample.app.is_some(), text.contains("\"mine\""), "{text}");
            assert!(!text.contains(&format!("\"{}\"", sample.group)), "{text}");
        }
    }

    #[test]
    fn text_is_laid_out_tested_and_has_no_findings_but_of_who_is_in_the_group() {
        for what in ALL {
            let given = Given { group: Some("root"), ..Given::default() };
            let text = text(&what.sample(), given).unwrap();
            assert_eq!(policy::layout("new.toml", &text).unwrap(), text);
            let draft = policy::Draft::read("new.toml", &text, &SystemNames, &own());
            let draft = draft.unwrap_or_else(|why| panic!("{why}"));
            let known = Known::of(&SystemNames, ["root"]);
            let daemon = Daemon { uid: own().uid, gid: own().gid };
            let people = [Lint::EmptyGroup, Lint::OpenSocket, Lint::ClosedSocket, Lint::Everyone];
            let found = lint(&draft, &known, daemon).into_iter();
            let found: Vec<String> = found
                .filter(|finding| !people.contains(&finding.lint))
                .map(|finding| finding.shown.shown("new.toml"))
                .collect();
            assert!(found.is_empty(), "{}", found.join("\n"));
        }
    }

    #[test]
    fn text_takes_no_names_that_need_quotes() {
        let takes = |what: What, given| text(&what.sample(), given).is_ok();
        let none = Given::default();
        for group in ["a b", "\"", "", "-g"] {
            assert!(!takes(What::Docker, Given { group: Some(group), ..none }), "{group}");
        }
        for path in ["s", "/s\"", "/s s"] {
            assert!(!takes(What::Docker, Given { socket: Some(path), ..none }), "{path}");
            assert!(!takes(What::Command, Given { listen: Some(path), ..none }), "{path}");
        }
        assert!(!takes(What::App, Given { app: Some("a\""), ..none }));
        // What is not in it can't be named.
        assert!(!takes(What::Command, Given { socket: Some("/s"), ..none }));
        assert!(!takes(What::Docker, Given { app: Some("a"), ..none }));
    }
}
