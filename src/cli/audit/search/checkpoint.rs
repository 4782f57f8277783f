//! Where a search ended, so that the next one goes on there: each access is told once over many runs.
//!
//! A run that ended well has counted; one that was killed has not, and the next tells its findings again. What was
//! under way at the end is kept with its records, so that it is told when it ends, whatever was pruned meanwhile.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::fcntl::{Flock, FlockArg};
use nix::libc;

use crate::audit::chain::is_scribes;
use crate::audit::query::{Held, Item};
use crate::audit::reader::{Line, Sieve};
use crate::audit::segment::{Role, SegmentName};
use crate::cli::Failure;
use crate::cli::term::Term;
use crate::cli::whole::Whole;

/// How a file of ours begins; the question follows.
const HEAD: &str = "peergate search checkpoint 1: ";

/// A checkpoint, held by this run alone.
pub(in crate::cli::audit) struct Checkpoint {
    file: PathBuf,
    question: String,
    _lock: Flock<File>,
    /// Up to where each segment was read.
    read: BTreeMap<Rc<str>, u64>,
    /// What was under way, each with its segment and place.
    held: Vec<Line>,
}

impl Checkpoint {
    /// Opens it, or begins a new one. Another run's is not waited for.
    pub(in crate::cli::audit) fn open(file: &Path, question: &str) -> Result<Checkpoint, Failure> {
        let name = file.display();
        let unusable = || Failure::at(format!("can't use the checkpoint {name}"));
        let lock = lock(file).map_err(unusable())?.ok_or_else(|| {
            Failure::Because(format!("another run is under way with the checkpoint {name}"))
        })?;
        let (mut read, mut held) = (BTreeMap::new(), Vec::new());
        let mut lines = BufReader::new(File::open(file).map_err(unusable())?).lines();
        if let Some(head) = lines.next().transpose().map_err(unusable())? {
            let broken =
                || Failure::Because(format!("{name} is no checkpoint of a search: remove it to begin anew"));
            if head.strip_prefix(HEAD).ok_or_else(broken)? != question {
                return Err(Failure::Because(format!(
                    "{name} was made for another question: give each question a checkpoint of its own"
                )));
            }
            let mut whole = false;
            for line in lines {
                let line = line.map_err(unusable())?;
                whole = line == "end";
                let mut words = line.splitn(4, ' ');
                let place = |words: &mut std::str::SplitN<'_, char>| {
                    Some((Rc::<str>::from(words.next()?), words.next()?.parse::<u64>().ok()?))
                };
                match words.next() {
                    Some("read") => {
                        let (segment, at) = place(&mut words).ok_or_else(broken)?;
                        read.insert(segment, at);
                    }
                    Some("held") => {
                        let (segment, at) = place(&mut words).ok_or_else(broken)?;
                        let bytes = words.next().ok_or_else(broken)?.as_bytes().to_vec();
                        held.push(Line { segment, at, bytes });
                    }
                    _ if whole => {}
                    _ => return Err(broken()),
                }
            }
            if !whole {
                return Err(broken());
            }
        }
        Ok(Checkpoint { file: file.to_owned(), question: question.to_owned(), _lock: lock, read, held })
    }

    /// What was under way, to be taken before anything else.
    pub(in crate::cli::audit) fn take_held(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.held)
    }

    /// What of each segment was read before.
    pub(in crate::cli::audit) fn sieve(&self) -> Unread {
        Unread { read: self.read.clone() }
    }

    /// Whether a line was read by an earlier run.
    pub(in crate::cli::audit) fn has(&self, segment: &str, at: u64) -> bool {
        self.read.get(segment).is_some_and(|read| at < *read)
    }

    /// Notes that all has been told up to here. It is there as a whole or not at all.
    pub(in crate::cli::audit) fn keep(
        &self,
        read: &BTreeMap<Rc<str>, u64>,
        held: &[&Held],
    ) -> Result<(), Failure> {
        let write = || -> io::Result<()> {
            let whole = Whole::begin(&self.file)?;
            let mut out = io::BufWriter::new(whole.file()?);
            writeln!(out, "{HEAD}{}", self.question)?;
            for (segment, at) in read {
                writeln!(out, "read {segment} {at}")?;
            }
            for held in held {
                writeln!(out, "held {} {} {}", held.segment, held.at, held.line())?;
            }
            writeln!(out, "end")?;
            out.flush()?;
            whole.end()
        };
        write().map_err(Failure::at(format!("can't keep the checkpoint {}", self.file.display())))
    }
}

/// Segments that were removed since the last run, by what is on record.
#[derive(Debug, Default)]
pub(in crate::cli::audit) struct Removed(Vec<(String, u64)>);

impl Removed {
    /// Takes what a record says of one.
    pub(in crate::cli::audit) fn take(&mut self, item: &Item) {
        let Item::Event(held) = item else { return };
        let record = held.record();
        let name = record.text("segment");
        if record.kind() == "prune"
            && !is_scribes(name)
            && let Some(bytes) = record.field("bytes").and_then(|bytes| bytes.as_str().parse().ok())
        {
            self.0.push((name.to_owned(), bytes));
        }
    }

    /// Says of how many the question has not seen all, in this run (`read`) or in one before. The first run asks of
    /// what is there.
    pub(in crate::cli::audit) fn tell(
        &self,
        checkpoint: &Checkpoint,
        read: &BTreeMap<Rc<str>, u64>,
        term: &mut Term,
    ) {
        let seen = |name: &str| read.get(name).max(checkpoint.read.get(name)).copied().unwrap_or(0);
        let unread = self.0.iter().filter(|(name, bytes)| seen(name) < *bytes).count();
        if unread > 0 && !checkpoint.read.is_empty() {
            term.leave_out(format_args!(
                "{unread} segments were removed before this question came to their end (`keep` of [audit], or ask more often)"
            ));
        }
    }
}

/// The file, made where there is none, and locked; `None` where another run has it.
fn lock(path: &Path) -> io::Result<Option<Flock<File>>> {
    loop {
        // What is no regular file is not waited for, and a link is not followed.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).mode(0o600).custom_flags(flags).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        let lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => return Ok(None),
            Err((_, errno)) => return Err(errno.into()),
        };
        // Another run may have put its own in the place of the one that was opened.
        let (ours, there) = (lock.metadata()?, fs::metadata(path));
        if there.is_ok_and(|there| there.ino() == ours.ino() && there.dev() == ours.dev()) {
            return Ok(Some(lock));
        }
    }
}

/// Passes over what was read before. Connections are needed again: who asks now may have come long ago.
pub(in crate::cli::audit) struct Unread {
    read: BTreeMap<Rc<str>, u64>,
}

impl Sieve for Unread {
    fn opens(&self, _: &str) -> bool {
        true
    }

    fn keeps(&self, segment: &str, at: u64, line: &[u8]) -> bool {
        let old = self.read.get(segment).is_some_and(|read| at < *read);
        // One that somebody else wrote is none, and was told.
        let is_wardens = || SegmentName::parse(segment).is_some_and(|name| name.role() == Role::Warden);
        !old || line.starts_with(b"{\"v\":1,\"t\":\"conn\"") && is_wardens()
    }
}
