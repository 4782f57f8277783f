//! A process that keeps heads where that may take its time: in a file, which it syncs, or in the input of a command.
//! It reads nothing but the warden's messages, and opens and starts nothing but what the policy names. One that keeps a
//! file gives up all but that file's directory before it reads the first. What a command needs is not known here: it
//! has the ids of its user, who began this process already, few descriptors, no capability and no way to gain one.
//!
//! A command that ends is started again with the next head, and not more than once in [`PAUSE`] times two to the
//! number of its failures. What it does with its input is its own affair: a head counts as kept once it took the line.
//! What it says of an error, the last line of that, is told as the reason.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, setrlimit};

use crate::confine::{self, Plan, Terms, Unconfined};
use crate::model::escape::Shown;
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
/// A command's descriptors.
const DESCRIPTORS: u64 = 1024;
/// So much of a line that it says is told.
const SAID: usize = 200;
/// One that has ended has said all; what it has started may go on and say more.
const LISTEN: Duration = Duration::from_millis(200);

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
        let few = setrlimit(Resource::RLIMIT_NOFILE, DESCRIPTORS, DESCRIPTORS);
        few.map_err(|errno| Unconfined { layer: Layer::Limits, why: errno.desc().to_owned() })?;
        return confine::enter(&Plan::command_keeper(None), terms, &[]);
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
    /// How the last one ended.
    ended: String,
    /// The last line that it said of an error, once that is over.
    said: Option<Receiver<Vec<u8>>>,
    started: Option<Instant>,
    failures: u32,
}

impl<'a> Fed<'a> {
    fn new(program: &'a OsStr, arguments: &'a [OsString]) -> Fed<'a> {
        Fed {
            program,
            arguments,
            running: None,
            ended: String::new(),
            said: None,
            started: None,
            failures: 0,
        }
    }

    /// Gives it a line, and starts it where it does not run.
    fn feed(&mut self, line: &str) -> io::Result<()> {
        if let Some(status) = self.running.as_mut().map(Child::try_wait).transpose()?.flatten() {
            self.has_ended(&status.to_string());
        }
        let running = match &mut self.running {
            Some(running) => running,
            None => self.start()?,
        };
        let mut input = running.stdin.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        let written = input.write_all(format!("{line}\n").as_bytes());
        if written.is_err() {
            // It closed its input, and is of no use any more.
            running.kill()?;
            running.wait()?;
            self.has_ended("closed its input");
        } else {
            self.failures = 0;
        }
        written
    }

    fn has_ended(&mut self, how: &str) {
        let said = self.said.take().and_then(|said| said.recv_timeout(LISTEN).ok()).unwrap_or_default();
        let colon = if said.is_empty() { "" } else { ": " };
        self.ended = format!("{how}{colon}{}", Shown(&said));
        self.running = None;
        self.failures += 1;
    }

    fn start(&mut self) -> io::Result<&mut Child> {
        let pause = (PAUSE * 2_u32.saturating_pow(self.failures.min(6))).min(PAUSE_MAX);
        if self.failures > 0
            && let Some(left) = self.started.and_then(|started| pause.checked_sub(started.elapsed()))
        {
            let (how, seconds) = (&self.ended, left.as_secs() + 1);
            let why = format!("the command ended ({how}); it is started again after {seconds} s");
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
            .stderr(Stdio::piped())
            .spawn();
        let mut child = started.map_err(|error| {
            self.failures += 1;
            io::Error::new(error.kind(), format!("{} can't be started: {error}", self.program.display()))
        })?;
        if let Some(stderr) = child.stderr.take() {
            let (tell, said) = channel();
            let listen = move || {
                // Nobody may ask any more.
                tell.send(last_line(stderr)).ok();
            };
            std::thread::Builder::new().name("said".to_owned()).spawn(listen)?;
            self.said = Some(said);
        }
        Ok(self.running.insert(child))
    }
}

/// Reads all that a command says of errors, so that it never waits for a reader; the last line.
fn last_line(stderr: ChildStderr) -> Vec<u8> {
    let mut stderr = BufReader::new(stderr);
    let (mut line, mut last) = (Vec::new(), Vec::new());
    while let Ok(1..) = (&mut stderr).take(SAID as u64).read_until(b'\n', &mut line) {
        if !line.trim_ascii().is_empty() {
            last = line.trim_ascii().to_vec();
        }
        // The rest of a long one says no more.
        if line.last() != Some(&b'\n') {
            stderr.skip_until(b'\n').ok();
        }
        line.clear();
    }
    last
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

    /// Why it keeps nothing, once that is for this.
    fn told(keeper: &Kept, part: &str) -> String {
        let failed = |said| match said {
            FromKeeper::Failed { why } if why.contains(part) => Some(why),
            _ => None,
        };
        std::iter::repeat_with(|| keeper.keep("more")).find_map(failed).unwrap()
    }

    #[test]
    fn command_that_fails_is_told_by_its_last_words() {
        let long = "x".repeat(3 * SAID);
        let script = format!("read -r line; echo one >&2; printf '%s\\n\\n' {long} >&2; exit 7");
        let keeper = Kept::new(COMMAND, &["/bin/sh", "-c", &script]);
        assert_eq!(keeper.keep("one"), FromKeeper::Kept);
        let why = told(&keeper, "exit status: 7");
        assert!(why.contains(&format!("7: {}); it is started again", &long[..SAID])), "{why}");
        let script = r"read -r line; printf 'no \033[31mway\n' >&2; exit 255";
        let keeper = Kept::new(COMMAND, &["/bin/sh", "-c", script]);
        assert_eq!(keeper.keep("one"), FromKeeper::Kept);
        let why = told(&keeper, "exit status: 255");
        assert!(why.contains(r"255: no \u001b[31mway); it is"), "{why}");
    }

    #[test]
    fn command_that_is_not_there_is_told() {
        let keeper = Kept::new(COMMAND, &["/nonexistent/program"]);
        let said = keeper.keep("one");
        assert!(matches!(&said, FromKeeper::Failed { why } if why.contains("can't be started")), "{said:?}");
    }
}
