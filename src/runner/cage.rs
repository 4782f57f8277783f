//! From a job to its program, in an order that matters: what needs rights is opened and prepared here, the child gives
//! everything up and then becomes the program, through the descriptor that was judged. It is forked before this process
//! confines itself, and goes on once that is done: what a runner gives up is its own, and no loss of the command's.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use caps::CapSet;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, FcntlArg, FdFlag, OFlag, fcntl, open};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::{chdir, dup2_stderr, dup2_stdin, dup2_stdout, execveat, pipe2, setsid};

use super::tree::Tree;
use crate::confine::Fenced;
use crate::policy::{Argument, Cage, Rlimit};
use crate::sys::process::{self, Child, Ids};
use crate::sys::{self, trusted};
use crate::wire::runner::{BEGIN, Job};

/// The longest report of what a command's process could not do.
const REPORT_MAX: usize = 64 << 10;

/// So long a command's process that may not begin any more has to say so itself. One that hangs says nothing.
const GRACE: Duration = Duration::from_secs(1);

/// A program that runs. What there is of pipes does not block.
pub(super) struct Running {
    pub(super) child: Child,
    /// Where its input goes; `None` where it gets none.
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

/// A child that has all rights of this process, and waits to be told to become the program.
#[must_use]
pub(super) struct Ready {
    running: Running,
    go: OwnedFd,
    report: OwnedFd,
}

impl Ready {
    /// Lets it begin, if it still may.
    ///
    /// # Errors
    ///
    /// What it could not do, for people; nothing runs then.
    pub(super) fn begin(self, job: &Job) -> Result<Running, String> {
        step("a word to the command's process", nix::unistd::write(&self.go, b"!"))?;
        let until = Instant::now() + left(job) + GRACE;
        let mut why = Vec::new();
        while why.len() < REPORT_MAX {
            let left = u16::try_from(until.saturating_duration_since(Instant::now()).as_millis())
                .unwrap_or(u16::MAX);
            let mut fds = [PollFd::new(self.report.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, left) {
                Ok(0) => {
                    self.give_up();
                    return Err(too_late());
                }
                Err(Errno::EINTR) => continue,
                polled => step("poll", polled)?,
            };
            let mut piece = [0; 1 << 10];
            match step("its report", nix::unistd::read(&self.report, &mut piece))? {
                0 => break,
                read => why.extend_from_slice(piece.get(..read).unwrap_or_default()),
            }
        }
        if why.is_empty() { Ok(self.running) } else { Err(String::from_utf8_lossy(&why).into_owned()) }
    }

    /// It never begins.
    pub(super) fn give_up(self) {
        // Whoever is gone already needs no signal.
        self.running.child.signal(nix::libc::SIGKILL).ok();
    }
}

/// Readies it.
///
/// # Errors
///
/// What could not be done, for people; nothing runs then.
pub(super) fn ready(job: &Job, tree: &Tree) -> Result<Ready, String> {
    let path = Path::new(&job.program);
    let (program, is_script) = trusted::open_program(path).map_err(|judged| judged.to_string())?;
    let fenced = job.cage.sandbox.as_ref().map(Fenced::open).transpose()?;
    let (input, stdin) = if job.stdin {
        let (read, write) = pipe2(OFlag::O_CLOEXEC).map_err(|errno| format!("pipe: {}", errno.desc()))?;
        (read, Some(write))
    } else {
        let null = open("/dev/null", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
        (null.map_err(|errno| format!("/dev/null: {}", errno.desc()))?, None)
    };
    let pipe = || pipe2(OFlag::O_CLOEXEC).map_err(|errno| format!("pipe: {}", errno.desc()));
    let ((stdout, output), (stderr, errors), (report, failure)) = (pipe()?, pipe()?, pipe()?);
    let (wait, go) = pipe()?;
    for fd in stdin.iter().chain([&stdout, &stderr]) {
        step("fcntl", fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)))?;
    }
    let (door, parent) = (tree.door(), std::process::id());
    let before = Before { job, program, is_script, fenced, input, output, errors, door, wait, parent };
    let child = process::fork_alone(|| {
        let Err(why) = before.become_program();
        File::from(failure.try_clone().ok()?).write_all(why.as_bytes()).ok()?;
        None
    })
    .map_err(|error| error.to_string())?;
    // As long as a writing end is open here, neither pipe ends.
    drop((before, failure));
    Ok(Ready { running: Running { child, stdin, stdout, stderr }, go, report })
}

/// All that the child needs.
struct Before<'a> {
    job: &'a Job,
    program: OwnedFd,
    is_script: bool,
    fenced: Option<Fenced>,
    input: OwnedFd,
    output: OwnedFd,
    errors: OwnedFd,
    door: Option<BorrowedFd<'a>>,
    /// Where its word comes.
    wait: OwnedFd,
    parent: u32,
}

impl Before<'_> {
    /// The steps. Comes back only from one that failed.
    fn become_program(&self) -> Result<Infallible, String> {
        let cage = &self.job.cage;
        self.await_word()?;
        self.join_group()?;
        step("setsid", setsid())?;
        step("its input", dup2_stdin(&self.input))?;
        step("its output", dup2_stdout(&self.output))?;
        step("its output", dup2_stderr(&self.errors))?;
        // Closed by the exec and not now: the program and the way to tell a failure are still needed.
        step("close_range", process::close_by_exec_from(process::FIRST))?;
        limits(cage)?;
        sys::umask(cage.umask);
        become_user(cage)?;
        // After the ids: changing them clears it. Who kills the runner kills the command.
        self.end_with_runner()?;
        // As its user: what that one can't enter is no place to begin.
        step(&cage.directory, chdir(cage.directory.as_str()))?;
        let arguments = self.arguments()?;
        let environment = cage.environment.iter().map(|(name, value)| text(format!("{name}={value}")));
        let environment = environment.collect::<Result<Vec<_>, _>>()?;
        if !cage.new_privileges {
            step("prctl(PR_SET_NO_NEW_PRIVS)", prctl::set_no_new_privs())?;
        }
        if let Some(fenced) = &self.fenced {
            fenced.enter(self.program.as_fd()).map_err(|why| format!("sandbox: {why}"))?;
        }
        if self.is_script {
            // Its interpreter opens it by this number once more (`execveat(2)`, "BUGS").
            keep(&self.program)?;
        }
        step("signals", process::reset_signals())?;
        // The last moment: by now the warden may be about to put it down as not started.
        if left(self.job).is_zero() {
            return Err(too_late());
        }
        let Err(errno) = execveat(&self.program, c"", &arguments, &environment, AtFlags::AT_EMPTY_PATH);
        Err(format!("{} can't be executed: {}", self.job.program, errno.desc()))
    }

    /// Waits until the runner has given up what this process still has.
    fn await_word(&self) -> Result<(), String> {
        // It holds the other end of that pipe itself, so that the runner's death would not end the wait.
        self.end_with_runner()?;
        let mut word = [0];
        match nix::unistd::read(&self.wait, &mut word) {
            Ok(1) => Ok(()),
            _ => Err("its runner has no word for it".to_owned()),
        }
    }

    /// From now on; a runner that was gone before that would not be heard of.
    fn end_with_runner(&self) -> Result<(), String> {
        step("prctl(PR_SET_PDEATHSIG)", prctl::set_pdeathsig(Signal::SIGKILL))?;
        if nix::unistd::getppid().as_raw().unsigned_abs() != self.parent {
            return Err("its runner is gone".to_owned());
        }
        Ok(())
    }

    fn join_group(&self) -> Result<(), String> {
        let Some(door) = self.door else { return Ok(()) };
        step("its cgroup", nix::unistd::write(door, b"0")).map(drop)
    }

    /// `argv`: the program's path first. What lies below a directory is looked for as the command's user.
    fn arguments(&self) -> Result<Vec<CString>, String> {
        let mut all = vec![text(self.job.program.clone())?];
        for argument in &self.job.arguments {
            all.push(match argument {
                Argument::Text(written) => text(written.clone())?,
                Argument::Below { before, directory, path, after, opened } => {
                    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
                    let top = step(directory, open(directory.as_str(), flags, Mode::empty()))?;
                    // Not which path: it may be a secret value, and this goes on record.
                    let found = process::open_beneath(top.as_fd(), path)
                        .map_err(|error| format!("what the request names below {directory}: {error}"))?;
                    if *opened {
                        keep(&found)?;
                        let shown = format!("{before}/proc/self/fd/{}{after}", found.as_raw_fd());
                        // It stays open until the exec, and beyond.
                        std::mem::forget(found);
                        text(shown)?
                    } else {
                        text(format!("{before}{directory}/{path}{after}"))?
                    }
                }
            });
        }
        Ok(all)
    }
}

/// What is left of the time in which a program may begin.
fn left(job: &Job) -> Duration {
    Duration::from_millis(job.until).saturating_sub(sys::monotonic())
}

fn too_late() -> String {
    format!("it does not begin within {} s", BEGIN.as_secs())
}

/// Exactly its ids and groups, and no capability that lives through an exec by itself; where this process may not choose,
/// only its own will do.
fn become_user(cage: &Cage) -> Result<(), String> {
    caps::clear(None, CapSet::Ambient).map_err(|error| format!("ambient capabilities: {error}"))?;
    let ids = Ids {
        uid: cage.uid.raw(),
        gid: cage.gid.raw(),
        groups: cage.groups.iter().map(|group| group.raw()).collect(),
    };
    if nix::unistd::geteuid().is_root() {
        return step("its user", process::become_ids(&ids));
    }
    if nix::unistd::geteuid().as_raw() != ids.uid {
        return Err(format!("only root can run commands as another user ({})", cage.user));
    }
    // Its own group may stand among the others or not (`getgroups(2)`).
    let with = |gid, groups: Vec<u32>| groups.into_iter().chain([gid]).collect::<BTreeSet<u32>>();
    let gid = nix::unistd::getegid().as_raw();
    let groups = step("getgroups", nix::unistd::getgroups())?.iter().map(|group| group.as_raw()).collect();
    let (own, wanted) = (with(gid, groups), with(ids.gid, ids.groups));
    if gid == ids.gid && own == wanted {
        return Ok(());
    }
    Err(format!(
        "a daemon that is not root can't change its groups: it has {own:?} (gid {gid}), and the policy says {wanted:?} \
         (gid {}) for {}; name the user and the groups that the daemon has, or start it anew where they have changed",
        ids.gid, cage.user
    ))
}

fn limits(cage: &Cage) -> Result<(), String> {
    for (limit, most) in &cage.rlimits {
        let resource = match limit {
            Rlimit::Memory => Resource::RLIMIT_AS,
            Rlimit::Cpu => Resource::RLIMIT_CPU,
            Rlimit::FileSize => Resource::RLIMIT_FSIZE,
            Rlimit::Files => Resource::RLIMIT_NOFILE,
            Rlimit::Processes => Resource::RLIMIT_NPROC,
            Rlimit::Core => Resource::RLIMIT_CORE,
        };
        step("setrlimit", setrlimit(resource, *most, *most))?;
    }
    Ok(())
}

/// Takes a descriptor out of those that the exec closes.
fn keep(fd: &OwnedFd) -> Result<(), String> {
    step("fcntl", fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty()))).map(drop)
}

fn text(written: String) -> Result<CString, String> {
    CString::new(written).map_err(|_nul| "an argument holds a NUL".to_owned())
}

fn step<T, E: Into<io::Error>>(what: &str, done: Result<T, E>) -> Result<T, String> {
    done.map_err(|error| format!("{what}: {}", error.into()))
}
