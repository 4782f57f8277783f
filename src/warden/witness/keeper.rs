//! A process that keeps heads where that may take its time: in a file, which it syncs, or in the input of a command.
//! It reads nothing but the warden's messages, and opens and starts nothing but what the policy names. One that keeps a
//! file gives up all but that file's directory before it reads the first. What a command needs is not known here: it
//! has the daemon's ids and no more, no capability and no way to gain one.
//!
//! A command that ends is started again with the next head, and not more than once in [`PAUSE`] times two to the
//! number of its failures. What it does with its input is its own affair: a head counts as kept once it took the line.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::confine::{self, Plan, Terms, Unconfined};
use crate::model::posture::{Confinement, Layer};
use crate::wire::channel::Channel;
use crate::wire::told::{FromKeeper, ToKeeper};

/// The first word of a keeper's arguments, for a file.
pub(super) const FILE: &str = "file";
/// And for a command.
pub(super) const COMMAND: &str = "command";

/// Between two starts of a command, doubled with each failure.
const PAUSE: Duration = Duration::from_secs(1);
/// And never longer than this.
const PAUSE_MAX: Duration = Duration::from_secs(64);

/// Runs a keeper of this kind until the warden is gone.
pub(super) fn run(kind: &OsStr, terms: &Terms, words: &[OsString], channel: OwnedFd) -> ExitCode {
    let channel = Channel::from(channel);
    let (said, confined) = match confine(kind, terms, words) {
        Ok(confined) => (FromKeeper::Confined(Box::new(confined)), true),
        Err(why) => (FromKeeper::Failed { why: why.to_string() }, false),
    };
    if channel.send(&said, &[]).is_err() || !confined {
        return ExitCode::FAILURE;
    }
    work(kind, words, &channel)
}

/// Gives up all but what keeping heads needs.
fn confine(kind: &OsStr, terms: &Terms, words: &[OsString]) -> Result<Confinement, Unconfined> {
    if kind != FILE {
        return confine::enter(&Plan::command_keeper(), terms, &[]);
    }
    let directory = home(words.first().map_or(Path::new(""), Path::new))?;
    confine::enter(&Plan::file_keeper(), terms, &[directory.as_fd()])
}

/// Where the file lies, as far as that is there: something may be mounted below it later.
fn home(file: &Path) -> Result<OwnedFd, Unconfined> {
    let there = file.ancestors().skip(1).find(|directory| directory.is_dir());
    match there.and_then(Path::to_str) {
        Some(directory) if directory != "/" => confine::directory(directory),
        _ => Err(Unconfined {
            layer: Layer::Landlock,
            why: format!("{} needs a directory of its own, which is there", file.display()),
        }),
    }
}

fn work(kind: &OsStr, words: &[OsString], channel: &Channel) -> ExitCode {
    let served = match (kind.to_str(), words) {
        (Some(FILE), [path]) => serve(channel, |line| keep(Path::new(path), line)),
        (Some(COMMAND), [program, arguments @ ..]) => {
            let mut fed = Fed::new(program, arguments);
            serve(channel, |line| fed.feed(line))
        }
        _ => Err(io::ErrorKind::InvalidInput.into()),
    };
    if served.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn serve(channel: &Channel, mut keep: impl FnMut(&str) -> io::Result<()>) -> io::Result<()> {
    loop {
        let message = match channel.receive_bare::<ToKeeper>() {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut fds = [PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
                poll(&mut fds, PollTimeout::NONE)?;
                continue;
            }
            Err(error) => return Err(error),
        };
        let ToKeeper::Keep { line } = message;
        let answer = match keep(&line) {
            Ok(()) => FromKeeper::Kept,
            Err(error) => FromKeeper::Failed { why: error.to_string().chars().take(500).collect() },
        };
        channel.send(&answer, &[])?;
    }
}

/// Appends a line, and has it on disk. Opened each time: the file may lie where something is mounted and unmounted,
/// and be moved away by who rotates it.
fn keep(path: &Path, line: &str) -> io::Result<()> {
    /// Whoever watches over the daemon may read it.
    const MODE: u32 = 0o640;
    let mut options = OpenOptions::new();
    options.append(true).custom_flags(libc::O_NOFOLLOW | libc::O_NOCTTY);
    let mut file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let file = options.create_new(true).mode(MODE).open(path)?;
            path.parent().map(File::open).transpose()?.map(|parent| parent.sync_all()).transpose()?;
            file
        }
        opened => opened?,
    };
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_data()
}

/// A command that is fed lines.
struct Fed<'a> {
    program: &'a OsStr,
    arguments: &'a [OsString],
    running: Option<Child>,
    started: Option<Instant>,
    failures: u32,
}

impl<'a> Fed<'a> {
    fn new(program: &'a OsStr, arguments: &'a [OsString]) -> Fed<'a> {
        Fed { program, arguments, running: None, started: None, failures: 0 }
    }

    /// Gives it a line, and starts it where it does not run.
    fn feed(&mut self, line: &str) -> io::Result<()> {
        let ended = self.running.as_mut().map(Child::try_wait).transpose()?.flatten();
        if ended.is_some() {
            self.running = None;
        }
        let running = match &mut self.running {
            Some(running) => running,
            None => self.start(ended.map(|status| status.to_string()))?,
        };
        let mut input = running.stdin.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        let written = input.write_all(format!("{line}\n").as_bytes());
        if written.is_err() {
            // It closed its input, and is of no use any more.
            running.kill()?;
            running.wait()?;
            self.running = None;
            self.failures += 1;
        } else {
            self.failures = 0;
        }
        written
    }

    fn start(&mut self, ended: Option<String>) -> io::Result<&mut Child> {
        if ended.is_some() {
            self.failures += 1;
        }
        let pause = (PAUSE * 2_u32.saturating_pow(self.failures.min(6))).min(PAUSE_MAX);
        if self.failures > 0
            && let Some(left) = self.started.and_then(|started| pause.checked_sub(started.elapsed()))
        {
            let how = ended.unwrap_or_else(|| "closed its input".to_owned());
            let why =
                format!("the command ended ({how}); it is started again after {} s", left.as_secs() + 1);
            return Err(io::Error::other(why));
        }
        self.started = Some(Instant::now());
        #[allow(
            clippy::disallowed_methods,
            reason = "not a role, and not of the warden's: the operator's own program"
        )]
        let started = Command::new(self.program)
            .args(self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        let child = started.map_err(|error| {
            self.failures += 1;
            io::Error::new(error.kind(), format!("{} can't be started: {error}", self.program.display()))
        })?;
        Ok(self.running.insert(child))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A keeper in a thread, and what the warden has of it.
    struct Kept(Channel);

    impl Kept {
        fn new(kind: &str, words: &[&str]) -> Kept {
            let (ours, theirs) = Channel::pair().unwrap();
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            let kind = OsString::from(kind);
            let theirs = theirs.duplicate().unwrap();
            std::thread::spawn(move || work(&kind, &words, &Channel::from(theirs)));
            Kept(ours)
        }

        fn keep(&self, line: &str) -> FromKeeper {
            self.0.send(&ToKeeper::Keep { line: line.to_owned() }, &[]).unwrap();
            poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
            self.0.receive_bare().unwrap().unwrap()
        }
    }

    #[test]
    fn file_keeps_each_line_and_says_why_it_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("elsewhere/heads");
        let keeper = Kept::new(FILE, &[file.to_str().unwrap()]);
        assert!(matches!(keeper.keep("zero"), FromKeeper::Failed { why } if why.contains("No such file")));
        std::fs::create_dir(file.parent().unwrap()).unwrap();
        assert_eq!([keeper.keep("one"), keeper.keep("two")], [FromKeeper::Kept, FromKeeper::Kept]);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "one\ntwo\n");
        std::fs::rename(&file, directory.path().join("rotated")).unwrap();
        assert_eq!(keeper.keep("three"), FromKeeper::Kept);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "three\n");
    }

    #[test]
    fn file_that_is_a_link_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("heads");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        let keeper = Kept::new(FILE, &[link.to_str().unwrap()]);
        assert!(matches!(keeper.keep("one"), FromKeeper::Failed { .. }));
    }

    #[test]
    fn command_is_fed_lines_and_started_again() {
        let directory = tempfile::tempdir().unwrap();
        let (file, pids) = (directory.path().join("heads"), directory.path().join("pids"));
        let script =
            format!("echo $$ >> {}; read -r line; echo \"$line\" >> {}", pids.display(), file.display());
        let keeper = Kept::new(COMMAND, &["/bin/sh", "-c", &script]);
        assert_eq!(keeper.keep("one"), FromKeeper::Kept);
        // It ends after its first line; whoever comes next waits for its pause, and gets a second one.
        let mut told = Vec::new();
        while std::fs::read_to_string(&pids).unwrap_or_default().lines().count() < 2 {
            told.push(keeper.keep("more"));
        }
        assert!(std::fs::read_to_string(&file).unwrap().starts_with("one\n"));
        let again =
            |said: &FromKeeper| matches!(said, FromKeeper::Failed { why } if why.contains("started again"));
        assert!(told.iter().any(again), "{told:?}");
    }

    #[test]
    fn command_that_is_not_there_is_told() {
        let keeper = Kept::new(COMMAND, &["/nonexistent/program"]);
        let said = keeper.keep("one");
        assert!(matches!(&said, FromKeeper::Failed { why } if why.contains("can't be started")), "{said:?}");
    }
}
