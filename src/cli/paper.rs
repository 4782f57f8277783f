//! `peergate completions` and `peergate man`: what a package ships beside the programs, made of what the programs
//! say of themselves, so that it can't be out of date.

mod roff;
mod shell;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use super::{Answer, Failure};

/// The daemon's `--help`.
const DAEMON: &str = include_str!("../manual/peergated.txt");

/// For whom.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

/// Where to.
#[derive(Debug, Args)]
pub(super) struct Man {
    /// An existing directory
    directory: PathBuf,
}

/// Prints the completions of `tool`. Not by the terminal: a shell reads them, and they hold nobody's words but
/// ours.
pub(super) fn completions(arguments: &Completions, mut tool: clap::Command) -> Result<Answer, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut tool, "peergate", &mut text);
    let text = shell::asking(arguments.shell, text);
    match io::stdout().write_all(&text) {
        Ok(()) => Ok(Answer::Yes),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::ReaderLeft),
        Err(error) => Err(Failure::at("can't print the completions")(error)),
    }
}

/// Writes peergate(1), a page for each of its commands, and peergated(8).
pub(super) fn man(arguments: &Man, tool: clap::Command) -> Result<Answer, Failure> {
    let directory = &arguments.directory;
    let tool = tool.disable_help_subcommand(true);
    clap_mangen::generate_to(tool, directory)
        .map_err(Failure::at(format!("can't write man pages into {}", directory.display())))?;
    let page = directory.join("peergated.8");
    std::fs::write(&page, roff::page("peergated", 8, DAEMON, SEE))
        .map_err(Failure::at(format!("can't write {}", page.display())))?;
    Ok(Answer::Yes)
}

/// The daemon's last section.
const SEE: &str = "peergate(1), systemctl(1), journalctl(1); /usr/share/doc/peergate/manual/ holds policy.md (every key \
                   of a policy), workshop.md (tools for who writes one, and every lint), changing.md (changing one that \
                   is in use), audit.md (every record), seals.md (keys, seals and crashes), verify.md (verification), \
                   disk.md (durability, full disks, retention), review.md and report.md (questions to a record), \
                   export.md (other formats, many hosts), anomalies.md (what is unusual), monitoring.md (metrics, \
                   witnesses), hardening.md (the roles' confinement), service.md (the unit) and attacks.md (what \
                   happened elsewhere)";
