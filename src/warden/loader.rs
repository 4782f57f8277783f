//! The loader: a short-lived process that opens and judges the policy's file, parses it and resolves its names,
//! so that the warden never waits for a name service and never parses what a person wrote. It answers with one
//! message: the policy in sealed memory, or why there is none.

use std::collections::HashSet;
use std::ffi::{CString, OsStr};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid};

use super::Warden;
use super::options::{Environment, Options};
use super::signals::{Asked, Signals};
use crate::confine::{self, Plan, Terms, Unconfined};
use crate::model::app::Declared;
use crate::model::caller;
use crate::model::posture::Confinement;
use crate::policy::{self, Include, Includes, Own, Policy, SystemNames};
use crate::sys::process::{Child, Spawn};
use crate::sys::trusted::{self, Directory};
use crate::sys::{self, memfd};
use crate::wire::channel::{self, Channel};
use crate::wire::message::FromLoader;

/// A policy's bytes, encoded.
pub(super) const POLICY_MAX: usize = 64 << 20;
/// Diagnostics longer than this are cut, so that they fit into a message.
const WHY_MAX: usize = 32 << 10;
/// Ids of systemd's dynamic range, which no package and no administrator assigns.
const DYNAMIC: std::ops::RangeInclusive<u32> = 61_184..=65_519;

/// The loader's side: loads `file`, answers on `channel`, ends. `runtime` is what `@runtime` stands for in a
/// demo's policy.
#[must_use]
pub fn run(
    terms: &Terms,
    file: &Path,
    runtime: Option<&Path>,
    environment: &Environment,
    apps: &[Declared],
    channel: OwnedFd,
) -> ExitCode {
    let channel = Channel::from(channel);
    let sealed = confined(terms).map(|_confined| seal(file, runtime, environment, apps));
    let (answer, memory) = match sealed {
        Err(missing) => (FromLoader::Unconfined { why: missing.to_string() }, None),
        Ok(Ok((free_ids, memory))) => (FromLoader::Loaded { free_ids }, Some(memory)),
        Ok(Err(NotUsable::Unanswered(why))) => (FromLoader::Unanswered { why: short(why) }, None),
        Ok(Err(NotUsable::Wrong(why))) => (FromLoader::Refused { why: short(why) }, None),
    };
    let descriptors: Vec<_> = memory.iter().map(AsFd::as_fd).collect();
    match channel.send(&answer, &descriptors) {
        Ok(()) => ExitCode::SUCCESS,
        // The warden sees the channel end and says so.
        Err(_gone) => ExitCode::FAILURE,
    }
}

/// What fits into a message.
fn short(mut why: String) -> String {
    why.truncate((0..=WHY_MAX.min(why.len())).rev().find(|at| why.is_char_boundary(*at)).unwrap_or(0));
    why
}

/// Before the first byte of the file is read.
fn confined(terms: &Terms) -> Result<Confinement, Unconfined> {
    let root = confine::directory(confine::EVERYTHING)?;
    confine::enter(&Plan::loader(), terms, &[root.as_fd()])
}

fn seal(
    file: &Path,
    runtime: Option<&Path>,
    environment: &Environment,
    apps: &[Declared],
) -> Result<(Vec<u32>, OwnedFd), NotUsable> {
    let policy = load(file, runtime, environment, apps)?;
    let daemon = &policy.daemon;
    let apps = super::posture::apps_of(&policy);
    let named = daemon.gate_user.is_some()
        && daemon.scribe_user.is_some()
        && (daemon.app_user.is_some() || apps == 0)
        && (policy.audit.witness.user.is_some() || policy.audit.witness.command.is_empty());
    let free_ids = if named || !geteuid().is_root() { Vec::new() } else { free_ids(apps) };
    let bytes = policy.to_bytes().map_err(|error| error.to_string())?;
    let memory = memfd::sealed("policy", &bytes)
        .map_err(|error| format!("the policy can't be put into sealed memory: {error}"))?;
    Ok((free_ids, memory))
}

/// Why a policy can't be taken, in lines for people.
#[derive(Debug)]
pub enum NotUsable {
    /// Something is wrong with it.
    Wrong(String),
    /// Nothing but that a name service does not answer; it may later.
    Unanswered(String),
}

impl std::error::Error for NotUsable {}

impl From<String> for NotUsable {
    fn from(why: String) -> NotUsable {
        NotUsable::Wrong(why)
    }
}

impl fmt::Display for NotUsable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (NotUsable::Wrong(why) | NotUsable::Unanswered(why)) = self;
        f.write_str(why)
    }
}

/// Opens, judges and reads the file of a policy for a program with these apps, and resolves its names, in this process.
///
/// # Errors
///
/// Why it can't be taken.
pub fn load(
    file: &Path,
    runtime: Option<&Path>,
    environment: &Environment,
    apps: &[Declared],
) -> Result<Policy, NotUsable> {
    let (_judged, text) = trusted::open_policy(file).map_err(|judged| judged.to_string())?;
    let own = own(runtime, environment)?.with_apps(apps.to_vec());
    let name = file.to_string_lossy();
    let beside = Trusted { directory: file.parent().unwrap_or(Path::new("/")) };
    policy::load_files(&name, &text, &beside, &SystemNames, &own).map_err(|why| {
        let lines = why.to_string();
        if why.is_unanswered() { NotUsable::Unanswered(lines) } else { NotUsable::Wrong(lines) }
    })
}

/// Files beside the policy, each judged as it is.
struct Trusted<'p> {
    directory: &'p Path,
}

impl Trusted<'_> {
    fn open(&self, include: &Include) -> Result<Directory, String> {
        let path = match include.directory.as_os_str().is_empty() {
            true => self.directory.to_owned(),
            false => self.directory.join(&include.directory),
        };
        Directory::open(&path).map_err(|judged| judged.to_string())
    }
}

impl Includes for Trusted<'_> {
    fn names(&self, include: &Include) -> Result<Vec<String>, String> {
        let directory = self.open(include)?;
        if let Some(name) = include.only() {
            return Ok(vec![name.to_owned()]);
        }
        let why = |error: Errno| format!("can't list {:?}: {error}", directory.path());
        let readable = directory.readable().map_err(|judged| judged.to_string())?;
        let mut names = Vec::new();
        for entry in Dir::from_fd(readable).map_err(why)?.iter() {
            let entry = entry.map_err(why)?;
            names.extend(
                entry.file_name().to_str().ok().filter(|name| include.means(name)).map(str::to_owned),
            );
        }
        Ok(names)
    }

    fn read(&self, include: &Include, name: &str, most: usize) -> Result<Vec<u8>, String> {
        let directory = self.open(include)?;
        let file =
            directory.open_file(OsStr::new(name), OFlag::O_RDONLY).map_err(|judged| judged.to_string())?;
        let mut bytes = Vec::new();
        let read = File::from(file).take(most as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|error| format!("can't read {:?}: {error}", directory.path().join(name)))?;
        Ok(bytes)
    }
}

/// Who the daemon is, and where it lives unless the policy says otherwise.
fn own(runtime: Option<&Path>, environment: &Environment) -> Result<Own, String> {
    let nobody = "the daemon's own ids are no ids";
    let uid = caller::Uid::new(geteuid().as_raw()).ok_or(nobody)?;
    let gid = caller::Gid::new(getegid().as_raw()).ok_or(nobody)?;
    let own = if geteuid().is_root() {
        Own::system(uid, gid)
    } else {
        Own::user(uid, gid, &environment.runtime_home(uid.raw()), &environment.state_home())
    };
    Ok(match runtime {
        Some(directory) => own.with_runtime(&directory.to_string_lossy()),
        None => own,
    })
}

/// Ids that belong to no user, no group and no process: for a gate, a scribe, a witness's command, and so many apps.
pub(super) fn free_ids(apps: usize) -> Vec<u32> {
    let running: HashSet<u32> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.metadata().ok()?.uid()))
        .collect();
    // An id that can't be asked for is not known to be free.
    let unused = |id: &u32| {
        !running.contains(id)
            && matches!(User::from_uid(Uid::from_raw(*id)), Ok(None))
            && matches!(Group::from_gid(Gid::from_raw(*id)), Ok(None))
    };
    // From a place of our own, so that two daemons that start together don't find the same ones.
    let skip = sys::random().map_or(0, u16::from_ne_bytes);
    let (begin, length) = (*DYNAMIC.start(), DYNAMIC.end() - DYNAMIC.start() + 1);
    let from = |place: u32| begin + (place + u32::from(skip)) % length;
    (0..length).map(from).filter(unused).take(3 + apps).collect()
}

/// A loader that is at work.
pub(super) struct Loading {
    /// Its process.
    pub(super) child: Child,
    /// Where it answers.
    pub(super) channel: Channel,
}

/// What a loader found.
pub(super) struct Loaded {
    /// The policy.
    pub(super) policy: Policy,
    /// It, in sealed memory.
    pub(super) memory: OwnedFd,
    /// Ids of nobody, where roles need them.
    pub(super) free_ids: Vec<u32>,
}

/// A name service that does not answer within this ends a start, and keeps the old policy in force at a reload.
pub(super) const LIMIT: Duration = Duration::from_secs(30);
/// What is said then.
pub(super) const SILENT: &str = "the loader did not answer within 30 s; a name service may hang";

/// What came first while the loader of a start was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// Its answer, or its end.
    Answer,
    /// A signal.
    Asked(Asked),
    /// Neither, within the limit.
    Nothing,
}

/// So long a start waits for a name service that does not answer, less than a service manager waits for a start.
pub(super) const PATIENCE: Duration = Duration::from_secs(45);
/// What is said then.
pub(super) const UNANSWERED: &str = "the name service did not answer within 45 s";

/// Waits until somebody asks for something, or for so long; only while starting.
///
/// # Errors
///
/// What `poll(2)` answered, or the signals can't be read.
pub(super) fn pause(signals: &Signals, limit: Duration) -> io::Result<Option<Asked>> {
    let left = PollTimeout::try_from(limit).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)], left) {
        Ok(_) | Err(Errno::EINTR) => signals.next(),
        Err(errno) => Err(errno.into()),
    }
}

/// Waits for a loader's answer; only while starting, when there is nobody else to serve.
///
/// # Errors
///
/// What `poll(2)` answered, or the signals can't be read.
pub(super) fn await_news(loader: &Channel, signals: &Signals, limit: Duration) -> io::Result<News> {
    let until = Instant::now() + limit;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let mut fds = [loader.as_fd(), signals.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut fds, PollTimeout::try_from(left).map_err(io::Error::other)?) {
            Ok(0) => return Ok(News::Nothing),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let [answered, _signal] = fds.map(|fd| fd.any().unwrap_or_default());
        if let Some(asked) = signals.next()? {
            return Ok(News::Asked(asked));
        }
        if answered {
            return Ok(News::Answer);
        }
    }
}

/// Starts a loader.
pub(super) fn begin(executable: &OwnedFd, options: &Options) -> io::Result<Loading> {
    let (ours, theirs) = Channel::pair()?;
    let text = |path: &Path| CString::new(path.as_os_str().as_bytes());
    let mut spawn = Spawn::new(executable.as_fd(), c"peergated")
        .argument(c"@loader".to_owned())
        .argument(CString::new(options.terms.to_string())?)
        .argument(text(&options.policy)?)
        .descriptor(theirs.as_fd());
    if let Some(runtime) = &options.runtime {
        spawn = spawn.argument(text(runtime)?);
    }
    if confine::may_disempower() {
        spawn = spawn.powerless();
    }
    for variable in options.environment.places() {
        spawn = spawn.environment(variable);
    }
    Ok(Loading { child: spawn.start()?, channel: ours })
}

/// Why there is no policy.
#[derive(Debug)]
pub(super) enum NotLoaded {
    /// The file is not usable: lines for people.
    Policy(String),
    /// A name service does not answer, and nothing else is wrong: lines for people.
    Unanswered(String),
    /// The loader itself failed.
    Loader(String),
}

impl fmt::Display for NotLoaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotLoaded::Policy(why) | NotLoaded::Unanswered(why) => f.write_str(why),
            NotLoaded::Loader(why) => write!(f, "the loader failed: {why}"),
        }
    }
}

/// Takes a loader's answer.
pub(super) fn answer(received: io::Result<Option<(FromLoader, Vec<OwnedFd>)>>) -> Result<Loaded, NotLoaded> {
    fn failed(why: impl fmt::Display) -> NotLoaded {
        NotLoaded::Loader(why.to_string())
    }
    let (answer, descriptors) = received
        .map_err(failed)?
        .ok_or_else(|| failed("it ended without an answer; the kernel's log may say why"))?;
    let free_ids = match answer {
        FromLoader::Refused { why } => return Err(NotLoaded::Policy(why)),
        FromLoader::Unanswered { why } => return Err(NotLoaded::Unanswered(why)),
        FromLoader::Unconfined { why } => return Err(NotLoaded::Loader(why)),
        FromLoader::Loaded { free_ids } => free_ids,
    };
    let [memory] = channel::exactly::<1>(descriptors).map_err(failed)?;
    let bytes = memfd::read_sealed(memory.as_fd(), POLICY_MAX).map_err(failed)?;
    let policy = Policy::from_bytes(&bytes).map_err(failed)?;
    Ok(Loaded { policy, memory, free_ids })
}

impl Warden {
    /// Starts a loader for the policy's file.
    pub(super) fn begin_loading(&self) -> io::Result<Loading> {
        begin(&self.executable, &self.options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::message::FromLoader;
    use nix::sys::signal::{Signal, raise};

    #[test]
    fn loader_is_waited_for_until_it_answers_or_a_signal_comes_or_its_time_is_up() {
        // Blocks them in this thread alone, which nobody else's tests use.
        let signals = Signals::take().unwrap();
        let (ours, theirs) = Channel::pair().unwrap();
        let long = Duration::from_secs(3600);
        assert_eq!(await_news(&ours, &signals, Duration::ZERO).unwrap(), News::Nothing);
        raise(Signal::SIGTERM).unwrap();
        assert_eq!(await_news(&ours, &signals, long).unwrap(), News::Asked(Asked::Stop));
        raise(Signal::SIGHUP).unwrap();
        assert_eq!(await_news(&ours, &signals, long).unwrap(), News::Asked(Asked::Reload));
        theirs.send(&FromLoader::Refused { why: "no".to_owned() }, &[]).unwrap();
        assert_eq!(await_news(&ours, &signals, long).unwrap(), News::Answer);
        assert!(matches!(answer(ours.receive()), Err(NotLoaded::Policy(why)) if why == "no"));
        drop(theirs);
        assert_eq!(await_news(&ours, &signals, long).unwrap(), News::Answer, "an end is an answer too");
    }
}
