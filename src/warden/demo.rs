//! The first five minutes: a daemon in a private directory with a sample policy, three lines to paste, and the
//! log as it is written, until Ctrl-C. Nothing is left behind.

use std::ffi::CString;
use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{geteuid, mkdtemp};

use super::loader;
use super::options::Environment;
use super::signals::Signals;
use crate::audit::plain::Readable;
use crate::audit::reader::Reader;
use crate::policy::Policy;
use crate::sys::append_only;
use crate::sys::process::{self, Child, Spawn};
use crate::sys::trusted;
use crate::wire::channel::Channel;
use crate::wire::message::{ControlReply, ControlRequest, Status};

/// The sample policy.
const POLICY: &str = include_str!("../../policy/demo.toml");
/// The log is looked at this often, in milliseconds.
const LOOK: u16 = 200;
/// The demo gives up on a daemon that is not ready after this long, in milliseconds.
const READY: u16 = 20_000;

/// Runs the demo until Ctrl-C.
///
/// # Errors
///
/// What kept it from running; nothing is left behind then either.
pub fn run(environment: &Environment) -> io::Result<ExitCode> {
    let signals = Signals::take()?;
    let place = Place::make(environment)?;
    let policy =
        loader::load(&place.policy, Some(&place.directory), environment, &[]).map_err(io::Error::other)?;
    let mut daemon = Daemon::start(&place)?;
    daemon.await_ready(&signals)?;
    introduce(&policy, &ask_status(&policy)?)?;
    let mut reader = Reader::open(Path::new(&policy.audit.directory))?;
    follow(&mut reader, &signals, &mut daemon)?;
    let code = daemon.stop()?;
    show_new(&mut reader)?;
    drop(place);
    Ok(code)
}

/// The private directory; dropping it removes it with all that is in it.
struct Place {
    directory: PathBuf,
    policy: PathBuf,
}

impl Place {
    /// Below the first place that serves: a user's runtime directory may be another's (after `su`), be open to
    /// others, or be too long a path for a socket.
    fn make(environment: &Environment) -> io::Result<Place> {
        let own = if geteuid().is_root() {
            Some(PathBuf::from("/run"))
        } else {
            environment.runtime_directory.clone().filter(|directory| directory.is_absolute())
        };
        let made = own.and_then(|base| Place::below(&base).ok());
        made.map_or_else(|| Place::below(Path::new("/tmp")), Ok)
    }

    fn below(base: &Path) -> io::Result<Place> {
        /// What `sun_path` holds (`unix(7)`) beside the longest name of a socket in the policy.
        const LONGEST: usize = 107 - "/peergate.sock".len();
        // mkdtemp(3) makes it with mode 0700.
        let directory = mkdtemp(&base.join("peergate-demo-XXXXXX"))?;
        let place = Place { policy: directory.join("policy.toml"), directory };
        trusted::Directory::open(&place.directory).map_err(io::Error::other)?;
        if place.directory.as_os_str().len() > LONGEST {
            return Err(io::ErrorKind::InvalidFilename.into());
        }
        fs::write(&place.policy, POLICY)?;
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Where the daemon could not end well, segments are still append-only.
        for file in fs::read_dir(self.directory.join("audit")).into_iter().flatten().flatten() {
            if let Ok(file) = fs::File::open(file.path()) {
                append_only::set(file.as_fd(), false).ok();
            }
        }
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            tracing::warn!(%error, directory = ?self.directory, "the demo's directory stays");
        }
    }
}

/// The warden, as a child of ours.
struct Daemon {
    child: Child,
    words: UnixDatagram,
    ended: bool,
}

impl Daemon {
    fn start(place: &Place) -> io::Result<Daemon> {
        let executable = process::executable()?;
        let (words, theirs) = UnixDatagram::pair()?;
        let theirs = OwnedFd::from(theirs);
        let text = |path: &Path| CString::new(path.as_os_str().as_bytes());
        let child = Spawn::new(executable.as_fd(), c"peergated")
            .argument(c"@warden".to_owned())
            .argument(text(&place.policy)?)
            .argument(text(&place.directory)?)
            .descriptor(theirs.as_fd())
            .start()?;
        Ok(Daemon { child, words, ended: false })
    }

    /// Waits for its `READY=1`.
    fn await_ready(&mut self, signals: &Signals) -> io::Result<()> {
        self.words.set_nonblocking(true)?;
        let mut ready = false;
        while !ready {
            let mut fds = [
                PollFd::new(self.words.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.child.as_fd(), PollFlags::POLLIN),
                PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            ];
            let found = poll(&mut fds, PollTimeout::from(READY))?;
            let news = fds.map(|fd| fd.any().unwrap_or_default());
            let mut words = [0; 256];
            while let Ok(length) = self.words.recv(&mut words) {
                ready |= words.get(..length) == Some(b"READY=1".as_slice());
            }
            match news {
                _ if ready => {}
                [_, true, _] => {
                    self.child.wait_for_end()?;
                    self.ended = true;
                    return Err(io::Error::other("the daemon did not start"));
                }
                [_, _, true] => return Err(io::Error::other("it was interrupted")),
                _ if found == 0 => return Err(io::Error::other("the daemon is not ready after 20 s")),
                _ => {}
            }
        }
        Ok(())
    }

    fn stop(&mut self) -> io::Result<ExitCode> {
        if !self.ended {
            self.child.signal(nix::libc::SIGTERM)?;
            self.ended = true;
        }
        Ok(match self.child.wait_for_end()? {
            process::Exit::Code(0) => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Only where something failed before `stop`. It must be gone before its directory is removed.
        if !self.ended && self.child.signal(nix::libc::SIGTERM).is_ok() {
            self.child.wait_for_end().ok();
        }
    }
}

fn ask_status(policy: &Policy) -> io::Result<Status> {
    let channel = Channel::connect(Path::new(&policy.daemon.control))?;
    channel.send(&ControlRequest::Status, &[])?;
    match channel.receive_waiting::<ControlReply>()? {
        Some((ControlReply::Status(status), _none)) => Ok(*status),
        _ => Err(io::Error::other("the daemon gives no status")),
    }
}

fn introduce(policy: &Policy, status: &Status) -> io::Result<()> {
    let socket = policy.listeners.first().map_or("", |listener| listener.path.as_str());
    say(format!("peergated {} runs as pid {}, start {}", status.version, status.pid, status.boot))?;
    if status.missing.is_empty() {
        say("posture: full")?;
    } else {
        say(format!("posture: missing {}", status.missing.join(", ")))?;
    }
    for word in &status.missing {
        if let Some(meaning) = meaning(word) {
            say(format!("  {word}: {meaning}"))?;
        }
    }
    say(format!("policy: {} ({})", status.policy_file, status.policy_hash.get(..8).unwrap_or_default()))?;
    say(format!("socket: {socket}"))?;
    say("")?;
    say("Try in another terminal:")?;
    say(format!(
        "  curl --unix-socket {socket} http://peergate/_peergate/whoami                    # allowed"
    ))?;
    say(format!(
        "  curl --unix-socket {socket} http://peergate/_peergate/not-yours                 # denied"
    ))?;
    say(format!(
        "  curl --unix-socket {socket} --path-as-is http://peergate/a/../_peergate/health  # malformed"
    ))?;
    say("")?;
    say("The log (Ctrl-C ends the demo and removes all of it):")
}

/// What a missing part of the posture means.
fn meaning(word: &str) -> Option<&'static str> {
    Some(match word {
        "no-root" => "all roles run as you; callers of other users have an unknown namespace",
        "bare-ids" => "there are no users peergate-gate and peergate-scribe; two free ids serve",
        "own-gates" => "one gate serves all callers",
        "append-only" => "segments can't be marked append-only; who becomes root can change them",
        "reservation" => "the file system can't reserve space for the log",
        "peer-pidfd" => "Linux 6.5 is needed to hold on to a caller's process",
        "landlock-tcp" => "Linux 6.7 is needed to forbid TCP by Landlock",
        "pidfd-namespaces" => "Linux 6.11 is needed to read namespaces by descriptor",
        "pidfd-info" => "Linux 6.13 is needed to ask about a process by descriptor",
        _ => return None,
    })
}

/// Prints what is recorded until Ctrl-C or the daemon's own end.
fn follow(reader: &mut Reader, signals: &Signals, daemon: &mut Daemon) -> io::Result<()> {
    loop {
        show_new(reader)?;
        let mut fds = [
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(daemon.child.as_fd(), PollFlags::POLLIN),
        ];
        poll(&mut fds, PollTimeout::from(LOOK))?;
        match fds.map(|fd| fd.any().unwrap_or_default()) {
            [true, _] => return Ok(()),
            [_, true] => {
                return Err(io::Error::other("the daemon ended by itself"));
            }
            _ => {}
        }
    }
}

fn show_new(reader: &mut Reader) -> io::Result<()> {
    reader.rescan()?;
    while let Some(line) = reader.next_line()? {
        say(Readable(&line.bytes))?;
    }
    Ok(())
}

fn say(line: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
