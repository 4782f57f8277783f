//! From nothing to ready.

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::statfs::{AFS_SUPER_MAGIC, FsType, NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, fstatfs};

use super::accept::{Door, Entrance};
use super::apps::Apps;
use super::control::Control;
use super::drain::Phase;
use super::force::InForce;
use super::identify::OwnNamespaces;
use super::loader::{self, Loaded, NotLoaded};
use super::notify::{Notify, watchdog_interval};
use super::options::Options;
use super::poll::{Interest, Poll, Source, Timers};
use super::posture::{self, Identities};
use super::record::Record;
use super::segments::{self, Segments, Writer};
use super::signals::{Asked, Signals};
use super::supervise::Scribe;
use super::violation::Deaths;
use super::{DiagnosticsPipe, Due, RETRY, Vault, Warden, rights};
use crate::audit::vault::{self, Store};
use crate::confine::{self, Plan};
use crate::model::ids::BootId;
use crate::policy::Policy;
use crate::sys::listen::{self, Activated, Listener, Wanted};
use crate::sys::trusted::{self, Directory};
use crate::sys::{self, limits, process};

/// Why the daemon does not start.
#[derive(Debug)]
pub enum Trouble {
    /// The policy is not usable: lines for people.
    Policy(String),
    /// A step failed.
    Step {
        /// What was to be done.
        step: &'static str,
        /// Why it could not be.
        why: String,
    },
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Policy(why) => f.write_str(why),
            Trouble::Step { step, why } => write!(f, "can't {step}: {why}"),
        }
    }
}

impl std::error::Error for Trouble {}

/// Makes a failed step's error readable.
trait In<T> {
    fn when(self, step: &'static str) -> Result<T, Trouble>;
}

impl<T, E: fmt::Display> In<T> for Result<T, E> {
    fn when(self, step: &'static str) -> Result<T, Trouble> {
        self.map_err(|error| Trouble::Step { step, why: error.to_string() })
    }
}

/// The steps, in an order that matters: nothing is made before the policy is good, nobody can connect before
/// there is a log, and ready is said last.
pub(super) fn start(mut options: Options) -> Result<Warden, Trouble> {
    let mut ground = prepare(&mut options)?;
    let loaded = load(&ground, &options)?;
    let audit = open_audit(&loaded.policy)?;
    let doors = bind(&mut ground, &loaded.policy)?;
    let segments = reserve_log(&ground, &loaded.policy, audit)?;
    let mut warden = assemble(options, ground, loaded, doors, segments)?;
    // While there are rights to give: a command may need any.
    warden.begin_witness().when("start the witnesses' keepers")?;
    warden.begin_commands().when("start the launcher of commands")?;
    // Before the first record, which says what is left, and before the first role, which inherits what is gone.
    warden.drop_rights()?;
    warden.begin_record()?;
    warden.begin_scribe()?;
    warden.begin_apps().when("start an app")?;
    warden.listen()?;
    warden.ready();
    warden.have_a_runner_wait();
    Ok(warden)
}

/// What is there before anything is read.
struct Ground {
    boot: BootId,
    executable: OwnedFd,
    own: OwnNamespaces,
    signals: Signals,
    notify: Notify,
    activated: Vec<Activated>,
    diagnostics: DiagnosticsPipe,
    descriptors: u64,
}

fn prepare(options: &mut Options) -> Result<Ground, Trouble> {
    options.terms.root = nix::unistd::geteuid().is_root();
    let environment = &options.environment;
    // Before anything else opens a descriptor that could be taken for one of the service manager's.
    let activated = listen::activated(
        environment.listen_pid.as_deref(),
        environment.listen_fds.as_deref(),
        environment.listen_names.as_deref(),
    )
    .when("take the service manager's sockets")?;
    sys::umask(0o077);
    let descriptors = limits::raise_open_files().when("raise the limit of open descriptors")?;
    let (read, write) =
        nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).when("make the diagnostics pipe")?;
    let notify = match options.notify.take() {
        Some(fd) => Notify::Descriptor(fd),
        None => Notify::by_name(environment.notify_socket.as_deref()).when("reach the service manager")?,
    };
    Ok(Ground {
        boot: BootId::from_random(u32::from_ne_bytes(sys::random().when("draw a number for this start")?)),
        executable: process::executable().when("open the program's own file")?,
        own: OwnNamespaces::read().when("look at our own namespaces")?,
        signals: Signals::take().when("take the signals")?,
        notify,
        activated,
        diagnostics: DiagnosticsPipe { read, write },
        descriptors,
    })
}

/// A process of its own reads the file and asks for names; this one only waits for it, and not for ever: a name
/// service may hang, and who asks us to stop meanwhile must be heard.
fn load(ground: &Ground, options: &Options) -> Result<Loaded, Trouble> {
    const STEP: &str = "load the policy";
    let until = Instant::now() + loader::PATIENCE;
    let mut told = String::new();
    loop {
        let loading = loader::begin(&ground.executable, options).when("start the loader")?;
        let news = loader::await_news(&loading.channel, &ground.signals, loader::LIMIT).when(STEP)?;
        if news == loader::News::Answer {
            let answer = loader::answer(loading.channel.receive());
            loading.child.wait_for_end().when("wait for the loader's end")?;
            match answer {
                Ok(loaded) => return Ok(loaded),
                Err(NotLoaded::Policy(why)) => return Err(Trouble::Policy(why)),
                Err(NotLoaded::Loader(why)) => return Err(Trouble::Step { step: STEP, why }),
                // A directory service may come up after us. What it would say is never guessed.
                Err(NotLoaded::Unanswered(why)) if Instant::now() < until => {
                    await_names(ground, &why, &mut told)?;
                    continue;
                }
                Err(NotLoaded::Unanswered(why)) => {
                    let why = format!("{}:\n{why}", loader::UNANSWERED);
                    return Err(Trouble::Step { step: STEP, why });
                }
            }
        }
        // It is not waited for: what it hangs on may hold it for long, and our end is its own.
        loading.child.signal(nix::libc::SIGKILL).when(STEP)?;
        let why = match news {
            loader::News::Asked(Asked::Reload) => continue,
            loader::News::Asked(Asked::Stop) => INTERRUPTED,
            loader::News::Answer | loader::News::Nothing => loader::SILENT,
        };
        return Err(Trouble::Step { step: STEP, why: why.to_owned() });
    }
}

const INTERRUPTED: &str = "it was interrupted";

/// Says what is waited for, once, and waits a little.
fn await_names(ground: &Ground, why: &str, told: &mut String) -> Result<(), Trouble> {
    const STEP: &str = "wait for the name service";
    if told != why {
        // A line each; what stands around them is for a terminal.
        why.lines().filter(|line| line.contains("can't be looked up")).for_each(|line| {
            tracing::warn!("the start waits: {line}");
        });
        ground.notify.status("waits for the name service to answer for the policy's names");
        why.clone_into(told);
    }
    match loader::pause(&ground.signals, RETRY).when(STEP)? {
        Some(Asked::Stop) => Err(Trouble::Step { step: STEP, why: INTERRUPTED.to_owned() }),
        Some(Asked::Reload) | None => Ok(()),
    }
}

fn open_audit(policy: &Policy) -> Result<Directory, Trouble> {
    let readers = policy.audit.readers.map(|gid| gid.raw());
    let path = Path::new(&policy.audit.directory);
    let directory = trusted::ensure_directory(path, segments::DIRECTORY_MODE, None, readers)
        .when("open the audit directory")?;
    let kind = fstatfs(&directory).when("look at the audit directory")?.filesystem_type();
    match NETWORKED.iter().find(|(network, _)| *network == kind) {
        None => Ok(directory),
        Some((_, name)) => Err(Trouble::Step {
            step: "use the audit directory",
            why: format!(
                "{} lies on {name}; the record needs a local file system",
                directory.path().display()
            ),
        }),
    }
}

/// The scribe's process writes the rolling files, so the directory is its own; it can't make it, being confined
/// to it.
fn make_diagnostics_directory(policy: &Policy, identities: &Identities) -> Result<(), Trouble> {
    /// As the audit directory, whose readers may read it too.
    const MODE: u32 = 0o750;
    let Some(directory) = &policy.diagnostics.directory else { return Ok(()) };
    let owner = identities.scribe.as_ref().map(|ids| ids.uid);
    let readers = policy.audit.readers.map(|gid| gid.raw());
    trusted::ensure_directory(Path::new(directory), MODE, owner, readers)
        .when("open the diagnostics directory")?;
    Ok(())
}

/// File systems that answer a write before it is anywhere safe, or not at all (`statfs(2)`).
/// FUSE may be anything, and most of what it is does not wait for a disk.
const NETWORKED: [(FsType, &str); 8] = [
    (FsType(0x6573_5546), "FUSE"),
    (NFS_SUPER_MAGIC, "NFS"),
    (SMB_SUPER_MAGIC, "SMB"),
    (FsType(0xFF53_4D42), "CIFS"),
    (FsType(0xFE53_4D42), "SMB2"),
    (FsType(0x0102_1997), "9P"),
    (FsType(0x00C3_6400), "Ceph"),
    (AFS_SUPER_MAGIC, "AFS"),
];

/// The sockets with their names, owners and modes, and nobody can connect yet.
struct Doors {
    entrances: Vec<Entrance>,
    control: Control,
}

fn bind(ground: &mut Ground, policy: &Policy) -> Result<Doors, Trouble> {
    /// Root and the daemon's own user.
    const CONTROL_MODE: u32 = 0o600;
    // The control socket first: its lock is what keeps a second daemon from going on.
    let path = Path::new(&policy.daemon.control);
    let control = Wanted { path, mode: CONTROL_MODE, uid: None, gid: None };
    let control = Listener::bind_packets(&control).when("make the control socket")?;
    let mut handed = std::mem::take(&mut ground.activated);
    let mut entrances = Vec::new();
    for wanted in &policy.listeners {
        let place = Wanted {
            path: Path::new(&wanted.path),
            mode: wanted.mode,
            uid: wanted.owner_uid.map(|uid| uid.raw()),
            gid: wanted.owner_gid.map(|gid| gid.raw()),
        };
        let ours = |given: &Activated| {
            given.name.as_deref() == Some(&wanted.name) || given.path().as_deref() == Some(place.path)
        };
        let listener = match handed.iter().position(ours) {
            Some(at) => Listener::adopt(handed.swap_remove(at), &place),
            None => Listener::bind(&place),
        };
        let listener = listener.when("make a listener")?;
        entrances.push(Entrance::new(wanted.name.clone(), wanted.path.clone(), listener));
    }
    if let Some(given) = handed.first() {
        let why = format!("{:?} belongs to no listener of the policy", given.path().unwrap_or_default());
        return Err(Trouble::Step { step: "use the service manager's sockets", why });
    }
    Ok(Doors { entrances, control: Control::new(control) })
}

struct Reserved {
    segments: Segments,
    record: Record,
    hash_key: [u8; 32],
    vault: Vault,
}

fn reserve_log(ground: &Ground, policy: &Policy, audit: Directory) -> Result<Reserved, Trouble> {
    let hash_key = vault::hash_key(&audit).when("use `hash.key` in the audit directory")?;
    let readers = policy.audit.readers.map(|gid| gid.raw());
    let vault = open_vault(&audit, readers)?;
    let segments = Segments::new(audit, ground.boot, readers, policy.audit.segment_bytes);
    let mut segments = segments.when("list the audit directory")?;
    let made = segments.create(Writer::Warden).when("make a segment in the audit directory")?;
    let file = made.file.try_clone().when("make a segment in the audit directory")?;
    Ok(Reserved { record: Record::new(made.name, file, made.reserved), segments, hash_key, vault })
}

/// The key to seal with: made here where nobody has run `peergate audit init`, and nothing is on record yet.
fn open_vault(audit: &Directory, readers: Option<u32>) -> Result<Vault, Trouble> {
    const STEP: &str = "use the keys in the audit directory";
    let (genesis, is_new) = match vault::look(audit).when(STEP)? {
        Store::There(genesis) => (genesis, false),
        Store::Absent => (vault::make(audit, readers, None).when(STEP)?, true),
        Store::Lost => {
            let why = "it is missing, though there is a record that it sealed. Put it back, if it is elsewhere and \
                       nothing was sealed since; else `peergate audit init --again` begins another chain, whose key \
                       those who verify have to pin too";
            return Err(Trouble::Step { step: STEP, why: why.to_owned() });
        }
    };
    if is_new {
        tracing::warn!(
            genesis = %genesis.key,
            "made the first key that seals the record; pin it elsewhere (`peergate audit init` shows it again)"
        );
    }
    let opened = vault::open(audit, readers).when(STEP)?;
    Ok(Vault {
        store: Rc::new(opened.store),
        epochs: Rc::new(opened.epochs),
        genesis,
        is_new,
        before: None,
        untold: false,
    })
}

fn assemble(
    mut options: Options,
    ground: Ground,
    loaded: Loaded,
    doors: Doors,
    log: Reserved,
) -> Result<Warden, Trouble> {
    let environment = &options.environment;
    let watchdog = watchdog_interval(
        environment.watchdog_usec.as_deref(),
        environment.watchdog_pid.as_deref(),
        std::process::id(),
    );
    let identities = Identities::choose(&loaded.policy, &loaded.free_ids).when("choose ids for the roles")?;
    make_diagnostics_directory(&loaded.policy, &identities)?;
    options.terms.file_size = Some(loaded.policy.audit.segment_bytes + segments::SLACK);
    let mut missing = posture::missing(&identities, &loaded.policy);
    missing.extend(options.terms.names());
    if log.segments.unreserved() {
        missing.push("reservation".to_owned());
    }
    if log.segments.unmarked() {
        missing.push("append-only".to_owned());
    }
    let apps = Apps::of(&loaded.policy, &options.apps);
    let nowhere =
        open("/dev/null", OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty()).when("open /dev/null")?;
    let seen = log.segments.latest_on_record().when("list the audit directory")?;
    Ok(Warden {
        boot: ground.boot,
        executable: ground.executable,
        own: ground.own,
        poll: Poll::new().when("make the epoll instance")?,
        timers: Timers::new(),
        signals: ground.signals,
        notify: ground.notify,
        watchdog,
        force: InForce::first(loaded.policy, loaded.memory, seen),
        door: Door::new(doors.entrances).when("keep a descriptor to spare")?,
        callers: Default::default(),
        seats: Default::default(),
        connections: Default::default(),
        roster: Default::default(),
        homeless: false,
        journal: Default::default(),
        keeping: Default::default(),
        connects: Default::default(),
        commands: Default::default(),
        segments: log.segments,
        allowances: Default::default(),
        record: log.record,
        scribe: Scribe::absent(),
        apps,
        vault: log.vault,
        deaths: Deaths::none(),
        witness: Default::default(),
        control: doors.control,
        probing: Default::default(),
        reload: Default::default(),
        phase: Phase::Starting,
        identities,
        kept: Vec::new(),
        given: 0,
        confined: Default::default(),
        missing,
        hash_key: log.hash_key,
        diagnostics: ground.diagnostics,
        descriptors: ground.descriptors,
        nowhere: Rc::new(nowhere),
        since: Instant::now(),
        options,
    })
}

impl Warden {
    /// The first records: who writes here, and by which policy.
    fn begin_record(&mut self) -> Result<(), Trouble> {
        self.open_own_segment();
        self.note_policy(None, None);
        self.settle();
        if self.record.is_whole() {
            return Ok(());
        }
        let why = "the first record can't be written".to_owned();
        Err(Trouble::Step { step: "write the record", why })
    }

    /// The scribe must be up and confined before anybody is let in.
    fn begin_scribe(&mut self) -> Result<(), Trouble> {
        self.start_scribe().when("start the scribe")?;
        self.await_scribe().when("start the scribe")?;
        let settings = &self.force.policy.diagnostics;
        let pipe = self.diagnostics.write.try_clone().when("speak through the scribe")?;
        crate::diagnostics::start("warden", Some(pipe), &settings.level, settings.json)
            .when("speak through the scribe")
    }

    /// What the warden itself gives up. It must start processes with other ids and look at other processes, so
    /// it keeps what that needs.
    fn drop_rights(&mut self) -> Result<(), Trouble> {
        self.given = confine::permitted().when("read the capabilities")?;
        self.kept = rights::needed(&self.force.policy, self.options.terms.root);
        let plan = Plan::warden(self.kept.clone(), self.apps.each().next().is_some());
        self.confined =
            confine::enter(&plan, &self.options.terms, &[]).when("give up what the warden does not need")?;
        Ok(())
    }

    /// From here on callers can connect.
    fn listen(&mut self) -> Result<(), Trouble> {
        self.poll.watch(&self.signals, Source::Signals, Interest::Read).when("watch the signals")?;
        self.watch_control().when("watch the control socket")?;
        self.watch_listeners().when("watch the listeners")?;
        self.control.listen().when("listen at the control socket")?;
        self.door.listen().when("listen")
    }

    fn ready(&mut self) {
        self.since = Instant::now();
        self.phase = Phase::Serving;
        self.settle();
        if self.watchdog.is_some() {
            self.timers.at(Instant::now(), Due::Watchdog);
        }
        self.notify.status(&format!("policy {}", self.force.short));
        self.notify.ready();
        tracing::info!(boot = %self.boot, policy = self.force.short, missing = self.missing.join(" "), "ready");
    }
}
