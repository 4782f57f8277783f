//! `peergate policy fmt`: the canonical form of a policy's text.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use clap::Args;
use nix::unistd::{Gid, Uid, fchown};

use super::source::{places, read};
use crate::cli::term::Term;
use crate::cli::{Answer, Failure, Format};
use crate::policy::{as_text, layout};

pub(super) const HELP: &str = "\
Without --write or --check the canonical form is printed.

Exit codes:
  0  it is done; with --check: every file is as it should be
  1  with --check: a file would be changed; or a file is no TOML, and was left as it is
  2  the command line makes no sense
  3  a file can't be read or written

Examples:
  peergate policy fmt policy.toml
  peergate policy fmt --write policy.toml policy.d/*.toml
  peergate policy fmt --check policy.toml";

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Policies; `-` reads standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Says which files would be changed, and changes none
    #[arg(long, conflicts_with = "write")]
    check: bool,
    /// Writes the files, each at once, with the owner and mode that it had
    #[arg(long, short)]
    write: bool,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let mut answer = Answer::Yes;
    for file in &arguments.files {
        let bytes = read(file)?;
        let name = file.display();
        let laid =
            as_text(&name.to_string(), &bytes).and_then(|text| Ok((text, layout(&name.to_string(), text)?)));
        let (text, laid) = match laid {
            Ok(both) => both,
            Err(mistakes) => {
                answer = Answer::No;
                match arguments.format {
                    Format::Text => term.complain(mistakes.to_string().trim_end()),
                    Format::Json => term.line(serde_json::json!({
                        "file": name.to_string(), "changed": null, "mistakes": places(&mistakes),
                    }))?,
                }
                continue;
            }
        };
        let first = first_difference(text, &laid);
        if arguments.write && first.is_some() {
            write(file, &laid)?;
        }
        if arguments.check && first.is_some() {
            answer = Answer::No;
        }
        match (arguments.format, first) {
            (Format::Json, first) => {
                term.line(serde_json::json!({ "file": name.to_string(), "changed": first.is_some(), "line": first }))?;
            }
            (Format::Text, Some(line)) if arguments.check => {
                term.line(format_args!(
                    "{name}:{line}: this line and what follows would be laid out otherwise"
                ))?;
            }
            (Format::Text, Some(_)) if arguments.write => term.line(format_args!("{name}: written"))?,
            (Format::Text, _) if arguments.check || arguments.write => {}
            // As it is: what is printed here is what `--write` would write.
            (Format::Text, _) => term.file(&laid)?,
        }
    }
    Ok(answer)
}

/// The first line that is other, from 1.
fn first_difference(old: &str, new: &str) -> Option<usize> {
    if old == new {
        return None;
    }
    let same = old.split('\n').zip(new.split('\n')).take_while(|(old, new)| old == new).count();
    Some(same + 1)
}

/// Puts a file in the place of another: nobody sees half of it, and a link leads where it led.
fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let wrong = |error| Failure::at(format!("can't write {}", file.display()))(error);
    if file == Path::new("-") {
        return Err(Failure::Because("standard input can't be written".to_owned()));
    }
    let real = file.canonicalize().map_err(wrong)?;
    let was = real.metadata().map_err(wrong)?;
    let mut name = real.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = real.with_file_name(name);
    let made = File::options().write(true).create_new(true).mode(0o600).open(&beside).map_err(wrong)?;
    let put = || -> std::io::Result<()> {
        (&made).write_all(text.as_bytes())?;
        fchown(&made, Some(Uid::from_raw(was.uid())), Some(Gid::from_raw(was.gid())))?;
        made.set_permissions(was.permissions())?;
        made.sync_all()?;
        std::fs::rename(&beside, &real)
    };
    put().map_err(|error| {
        // It is ours, and no use to anybody.
        std::fs::remove_file(&beside).ok();
        wrong(error)
    })
}
