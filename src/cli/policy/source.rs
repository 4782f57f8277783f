//! Where a policy comes from, and who knows the users and groups that it names.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use nix::unistd::{getegid, geteuid};

use crate::cli::term::Term;
use crate::cli::{Failure, Format};
use crate::model::caller::{Gid, Uid};
use crate::policy::grants::Known;
use crate::policy::snapshot::{self, Asked, Daemon, Snapshot};
use crate::policy::{self, Diagnostics, Draft, Group, Names, Own, SystemNames, Unanswered, User};
use crate::warden::Environment;

/// By whom names are resolved.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Whence {
    /// Takes users and groups from a snapshot (`peergate policy names`) instead of from this machine
    #[arg(long, value_name = "SNAPSHOT")]
    names: Option<PathBuf>,
    /// What `@runtime` stands for, in a demo's policy
    #[arg(long, value_name = "DIRECTORY")]
    runtime: Option<String>,
}

/// Users and groups of this machine, or of a snapshot.
#[derive(Debug)]
pub(super) enum Book {
    System(SystemNames),
    Snapshot(Box<Snapshot>),
}

/// All that is needed to read policies: names, and whose daemon it would be.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) names: Asked<Book>,
    pub(super) own: Own,
}

impl Whence {
    /// Opens the snapshot, if there is one.
    pub(super) fn open(&self) -> Result<Reading, Failure> {
        let (book, own) = match &self.names {
            None => (Book::System(SystemNames), own()?),
            Some(file) => {
                let snapshot = read_snapshot(file)?;
                let Daemon { uid, gid } = snapshot.daemon;
                (Book::Snapshot(Box::new(snapshot)), own_of(uid, gid))
            }
        };
        let own = match &self.runtime {
            Some(directory) => own.with_runtime(directory),
            None => own,
        };
        Ok(Reading { names: Asked::of(book), own })
    }
}

impl Reading {
    /// The draft in a file; what is wrong with it is an answer, not a failure.
    pub(super) fn draft(&self, file: &Path) -> Result<Result<Draft, Diagnostics>, Failure> {
        let name = file.to_string_lossy();
        let bytes = read(file)?;
        Ok(policy::as_text(&name, &bytes).and_then(|text| Draft::read(&name, text, &self.names, &self.own)))
    }

    /// As [`Reading::draft`], where nothing can be said of a policy that is not in order: it is shown what is wrong.
    pub(super) fn valid(&self, file: &Path, term: &mut Term) -> Result<Draft, Failure> {
        self.draft(file)?.map_err(|mistakes| {
            term.complain(mistakes.to_string().trim_end());
            Failure::Because(format!("{} is not valid", file.display()))
        })
    }

    /// Everybody who is known, those that the policies name among them. Asked after the policies were read.
    pub(super) fn known(&self) -> Known {
        let groups = self.names.asked_groups();
        Known::of(&self.names, groups.iter().map(String::as_str))
    }
}

/// The bytes of a policy, one more than a policy may have at most; `-` is standard input.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let most = policy::LONGEST as u64 + 1;
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(most).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|file| file.take(most).read_to_end(&mut bytes))
    };
    read.map_err(Failure::at(format!("can't read {}", file.display())))?;
    Ok(bytes)
}

fn read_snapshot(file: &Path) -> Result<Snapshot, Failure> {
    let mut text = String::new();
    File::open(file)
        .and_then(|file| file.take(snapshot::LONGEST).read_to_string(&mut text))
        .map_err(Failure::at(format!("can't read {}", file.display())))?;
    Snapshot::parse(&text)
        .map_err(|why| Failure::Because(format!("{} is no snapshot of names: {why}", file.display())))
}

/// The daemon that would take it: the system's for root, else a user's own.
pub(super) fn own() -> Result<Own, Failure> {
    let ids = Uid::new(geteuid().as_raw()).zip(Gid::new(getegid().as_raw()));
    let (uid, gid) = ids.ok_or_else(|| Failure::Because("your ids are no ids".to_owned()))?;
    Ok(own_of(uid, gid))
}

fn own_of(uid: Uid, gid: Gid) -> Own {
    let environment = Environment::read();
    if uid.raw() == 0 {
        Own::system(uid, gid)
    } else {
        Own::user(uid, gid, &environment.runtime_home(uid.raw()), &environment.state_home())
    }
}

/// What is wrong with a policy, as an answer.
pub(super) fn tell_mistakes(
    file: &Path,
    mistakes: &Diagnostics,
    format: Format,
    term: &mut Term,
) -> Result<(), Failure> {
    match format {
        Format::Text => term.line(mistakes.to_string().trim_end()),
        Format::Json => {
            let file = file.to_string_lossy();
            term.line(serde_json::json!({ "file": file, "valid": false, "mistakes": places(mistakes) }))
        }
    }
}

/// Each mistake with its place.
pub(super) fn places(mistakes: &Diagnostics) -> Vec<serde_json::Value> {
    let place = |found: &policy::Diagnostic| serde_json::json!({ "line": found.line, "column": found.column, "message": found.message, "help": found.help });
    mistakes.iter().map(place).collect()
}

impl Names for Book {
    fn user(&self, name: &str) -> Result<Option<User>, Unanswered> {
        match self {
            Book::System(names) => names.user(name),
            Book::Snapshot(names) => names.user(name),
        }
    }

    fn group(&self, name: &str) -> Result<Option<Group>, Unanswered> {
        match self {
            Book::System(names) => names.group(name),
            Book::Snapshot(names) => names.group(name),
        }
    }

    fn groups_of(&self, user: &User) -> Result<Vec<Gid>, Unanswered> {
        match self {
            Book::System(names) => names.groups_of(user),
            Book::Snapshot(names) => names.groups_of(user),
        }
    }

    fn users(&self) -> Vec<(Uid, String)> {
        match self {
            Book::System(names) => names.users(),
            Book::Snapshot(names) => names.users(),
        }
    }

    fn group_names(&self) -> Vec<String> {
        match self {
            Book::System(names) => names.group_names(),
            Book::Snapshot(names) => names.group_names(),
        }
    }
}
