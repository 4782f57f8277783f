//! The real `peergated`, started on a policy in a directory of its own, known to be ready by sd_notify.

use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::{PATIENCE, records};

/// Written before each policy; `@DIR@` is the daemon's directory. Two lanes whatever the machine has: with its own
/// number, one less than the cores, a small machine would never test more than one.
const HEAD: &str = "version = 1\n[audit]\ndirectory = \"@DIR@/audit\"\n\
                    [daemon]\ncontrol = \"@DIR@/run/control.sock\"\nlanes = 2\n";

/// A listener that root may use, with the daemon's own API behind it as `api`; routes follow.
pub const API: &str = r#"
[listen.api]
path = "@DIR@/run/api.sock"
mode = "0666"
[backend.api]
builtin = "api"
[who.root]
user = ["root"]
"#;

/// A directory for a daemon; removed when dropped, with segments that a killed daemon left append-only.
#[derive(Debug)]
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        fn unmark(directory: &Path) {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => unmark(&entry.path()),
                    Ok(kind) if kind.is_file() => {
                        if let Ok(file) = std::fs::File::open(entry.path()) {
                            let _ = peergate::sys::append_only::set(file.as_fd(), false);
                        }
                    }
                    _ => {}
                }
            }
        }
        unmark(self.path());
    }
}

/// A directory that others may pass through but only we may write: what a daemon's paths need.
pub fn place() -> Place {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::Builder::new()
        .prefix("peergate-")
        .permissions(std::fs::Permissions::from_mode(0o755))
        .tempdir();
    Place(directory.unwrap())
}

/// A running daemon; ended (and its directory removed) when dropped.
pub struct Daemon {
    child: Child,
    place: Option<Place>,
    dir: PathBuf,
    notify: UnixDatagram,
    said: Arc<Mutex<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

/// A daemon that did not start.
#[derive(Debug)]
pub struct Refused {
    pub status: ExitStatus,
    pub said: String,
}

impl Daemon {
    /// Starts it on this policy (after [`HEAD`]; `@DIR@` is its directory) and waits until it is ready.
    pub fn start(policy: &str) -> Daemon {
        Daemon::start_in(place(), policy)
    }

    /// The same in a directory that the test has prepared.
    pub fn start_in(place: Place, policy: &str) -> Daemon {
        let file = write_policy(place.path(), policy);
        Daemon::spawn(place, &file, |_| {}).unwrap_or_else(|refused| {
            panic!("the daemon did not start: {}\n{}", refused.status, refused.said)
        })
    }

    /// The same for a daemon whose system calls are made to fail: strace puts no call at all in their place, and so the
    /// filter may only log.
    pub fn start_to_be_failed(place: Place, policy: &str) -> Daemon {
        let file = write_policy(place.path(), policy);
        let log = |command: &mut Command| {
            command.arg("--seccomp=log");
        };
        Daemon::spawn(place, &file, log).unwrap_or_else(|refused| panic!("{}", refused.said))
    }

    /// Starts it on a policy file, with changes to its command; `Err` where it ended instead of getting ready.
    pub fn spawn(place: Place, policy: &Path, change: impl FnOnce(&mut Command)) -> Result<Daemon, Refused> {
        let mut daemon = Daemon::spawn_keeping(&place, policy, change)?;
        daemon.place = Some(place);
        Ok(daemon)
    }

    /// The same, where the directory stays the test's.
    pub fn spawn_keeping(
        place: &Place,
        policy: &Path,
        change: impl FnOnce(&mut Command),
    ) -> Result<Daemon, Refused> {
        Daemon::spawn_by(Command::new(super::program("peergated")), place, policy, change)
    }

    /// The same by another command, which becomes the daemon.
    pub fn spawn_by(
        mut command: Command,
        place: &Place,
        policy: &Path,
        change: impl FnOnce(&mut Command),
    ) -> Result<Daemon, Refused> {
        if nix::unistd::geteuid().is_root() {
            super::people::everybody();
        }
        let dir = place.path().to_owned();
        let notify_path = dir.join("notify.sock");
        let _ = std::fs::remove_file(&notify_path);
        let notify = UnixDatagram::bind(&notify_path).unwrap();
        // A daemon of another user says it too.
        std::fs::set_permissions(&notify_path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        notify.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        command.arg("--policy").arg(policy).env("NOTIFY_SOCKET", &notify_path);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let reader = std::thread::spawn({
            let (mut stderr, said) = (child.stderr.take().unwrap(), said.clone());
            move || {
                let mut chunk = [0; 4096];
                while let Ok(length @ 1..) = stderr.read(&mut chunk) {
                    said.lock().unwrap().push_str(&String::from_utf8_lossy(&chunk[..length]));
                }
            }
        });
        let mut daemon = Daemon { child, place: None, dir, notify, said, reader: Some(reader) };
        if let Err(status) = daemon.wait_for_notice("READY=1") {
            daemon.reader.take().map(std::thread::JoinHandle::join);
            return Err(Refused { status, said: daemon.said() });
        }
        Ok(daemon)
    }

    /// The same, with a directory that is removed with it.
    pub fn keeping(self, place: Place) -> Daemon {
        let mut daemon = self;
        daemon.place = Some(place);
        daemon
    }

    /// Waits until the daemon says this by sd_notify; `Err` where it ended first.
    pub fn wait_for_notice(&mut self, wanted: &str) -> Result<(), ExitStatus> {
        let deadline = Instant::now() + PATIENCE;
        let mut notice = [0; 4096];
        loop {
            // The socket's read timeout paces this; the daemon's end is looked at in between.
            if let Ok(length) = self.notify.recv(&mut notice) {
                let notice = String::from_utf8_lossy(&notice[..length]).into_owned();
                if notice.lines().any(|line| line == wanted) {
                    return Ok(());
                }
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                return Err(status);
            }
            assert!(
                Instant::now() < deadline,
                "no {wanted} in {PATIENCE:?}; the daemon said:\n{}",
                self.said()
            );
        }
    }

    /// Takes what was said until now, so that the next words are news, and have room.
    fn forget_notices(&self) {
        self.notify.set_nonblocking(true).unwrap();
        while self.notify.recv(&mut [0; 4096]).is_ok() {}
        self.notify.set_nonblocking(false).unwrap();
    }

    /// Waits until a path below its directory is gone.
    pub fn wait_until_gone(&self, path: &Path) {
        let deadline = Instant::now() + PATIENCE;
        while path.exists() {
            assert!(Instant::now() < deadline, "{} stays", path.display());
            // Paced by the notification socket's timeout.
            let _ = self.notify.recv(&mut [0; 4096]);
        }
    }

    /// Its directory, `@DIR@` in the policy.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A path below its directory.
    pub fn path(&self, below: &str) -> PathBuf {
        self.dir.join(below)
    }

    /// Where the tests' policies put their first listener.
    pub fn socket(&self) -> PathBuf {
        self.path("run/api.sock")
    }

    /// The warden.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Sends the warden a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// What it wrote on stderr so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Replaces the policy and reloads; `true` where the new one took effect, in every lane of every gate.
    pub fn reload(&mut self, policy: &str) -> bool {
        write_policy(self.dir(), policy);
        let before = self.records_of("policy").len();
        self.forget_notices();
        self.signal(Signal::SIGHUP);
        // The record comes first: a lane that has not taken the policy yet still judges by the old one.
        self.wait_for_notice("RELOADING=1").unwrap();
        self.wait_for_notice("READY=1").unwrap();
        let record = records::wait(&self.path("audit"), |all| {
            let policies: Vec<_> = all.iter().filter(|record| record["t"] == "policy").collect();
            (policies.len() > before).then(|| (*policies[before]).clone())
        });
        record["refused"].is_null()
    }

    /// Every record there is now.
    pub fn records(&self) -> Vec<Value> {
        records::read(&self.path("audit"))
    }

    /// Every record of one type.
    pub fn records_of(&self, kind: &str) -> Vec<Value> {
        self.records().into_iter().filter(|record| record["t"] == kind).collect()
    }

    /// Waits for a record that suits.
    pub fn wait_for(&self, what: &str, suits: impl Fn(&Value) -> bool) -> Value {
        records::wait_for(&self.path("audit"), what, suits)
    }

    /// Ends it by SIGTERM, checks its books, and gives every record that it left. Fails where it did not end
    /// well, or something of it is still there.
    pub fn stop(self) -> Vec<Value> {
        self.stop_keeping().1
    }

    /// The same, and its directory too.
    pub fn stop_keeping(mut self) -> (Place, Vec<Value>) {
        let place = self.place.take().unwrap();
        (place, self.stop_in_place())
    }

    /// The same, where pruning took one half of some pairs of decision and outcome.
    pub fn stop_keeping_whatever_was_pruned(mut self) -> (Place, Vec<Value>) {
        self.signal(Signal::SIGTERM);
        let status = self.wait();
        assert!(status.success(), "the daemon ended with {status}:\n{}", self.said());
        let all = self.records();
        (self.place.take().unwrap(), all)
    }

    /// The same, where the directory is the test's.
    pub fn stop_in_place(mut self) -> Vec<Value> {
        self.signal(Signal::SIGTERM);
        let status = self.wait();
        assert!(status.success(), "the daemon ended with {status}:\n{}", self.said());
        assert!(!self.socket().exists(), "the socket is still there");
        let audit = self.path("audit");
        // A role that its filter ended is a mistake in a table, whatever else the test looks at.
        let violations = self.records().into_iter().filter(|record| {
            record["event"] == "killed"
                && record["signal"] == 31
                && !record["role"].as_str().unwrap().ends_with("-probe")
        });
        let violations: Vec<_> = violations.collect();
        assert!(violations.is_empty(), "{violations:?}");
        records::check_books(&audit);
        records::read(&audit)
    }

    /// Ends it by SIGKILL, which it can't answer; its directory stays as it left it.
    pub fn kill(mut self) -> Place {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.place.take().unwrap()
    }

    /// The same for all that it started, and waits until nobody writes there any more.
    pub fn kill_all(self) -> Place {
        // So that it starts nobody meanwhile; where it is gone already there is nobody to stop.
        let _ = kill(self.pid(), Signal::SIGSTOP);
        let roles: Vec<_> = self.children().into_iter().filter_map(try_watch_end).collect();
        let place = self.kill();
        assert!(roles.iter().all(End::wait), "a role outlives its warden");
        place
    }

    /// The processes that it started and that live now.
    pub fn children(&self) -> Vec<Pid> {
        let warden = self.pid().to_string();
        let processes = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name());
        let pids = processes.filter_map(|name| name.to_str()?.parse::<i32>().ok());
        pids.filter(|pid| {
            // The parent is the second field behind the name, which may hold anything.
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)) == Some(warden.as_str())
        })
        .map(Pid::from_raw)
        .collect()
    }

    /// Waits for its end, however it comes.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it did not end in {PATIENCE:?}; it said:\n{}", self.said());
            // Paced by the notification socket, which says nothing that matters any more.
            let _ = self.notify.recv(&mut [0; 4096]);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let roles: Vec<_> = self.children().into_iter().filter_map(try_watch_end).collect();
        let _ = self.child.kill();
        let ended = self.child.wait();
        // Its directory can be removed once nobody writes there any more.
        for role in &roles {
            role.wait();
        }
        if std::thread::panicking() {
            eprintln!("the daemon ({ended:?}) said:\n{}", self.said());
            for record in self.records().iter().rev().take(30).rev() {
                eprintln!("record: {record}");
            }
        } else if let Ok(status) = ended {
            // A kill is ours; any other signal is a crash that no test may overlook.
            assert!(matches!(status.signal(), None | Some(9)), "the daemon died: {status}");
        }
    }
}

/// Writes a policy as the daemon wants it: ours, and writable by nobody else.
pub fn write_policy(dir: &Path, policy: &str) -> PathBuf {
    let text = format!("{HEAD}{policy}").replace("@DIR@", dir.to_str().unwrap());
    let file = dir.join("policy.toml");
    std::fs::write(&file, text).unwrap();
    file
}

/// A process whose end can be waited for, though it is no child of ours.
pub struct End(std::os::fd::OwnedFd);

/// Opens it while it still is that process.
pub fn watch_end(pid: Pid) -> End {
    try_watch_end(pid).unwrap_or_else(|| panic!("pidfd_open {pid}: {}", std::io::Error::last_os_error()))
}

fn try_watch_end(pid: Pid) -> Option<End> {
    use std::os::fd::FromRawFd;
    let raw = nix::libc::c_long::from(pid.as_raw());
    // SAFETY: pidfd_open takes a pid and flags, and gives a descriptor of which we are the only owner.
    #[allow(unsafe_code, reason = "nix has no pidfd_open")]
    let descriptor = unsafe {
        let descriptor = nix::libc::syscall(nix::libc::SYS_pidfd_open, raw, 0);
        if descriptor < 0 {
            return None;
        }
        std::os::fd::OwnedFd::from_raw_fd(i32::try_from(descriptor).unwrap())
    };
    Some(End(descriptor))
}

impl End {
    /// Whether it ended in good time.
    pub fn wait(&self) -> bool {
        let timeout = nix::poll::PollTimeout::try_from(PATIENCE).unwrap();
        let mut poll = [nix::poll::PollFd::new(self.0.as_fd(), nix::poll::PollFlags::POLLIN)];
        nix::poll::poll(&mut poll, timeout).unwrap() == 1
    }
}

/// A started program that is ended when dropped: a service, a client that stays.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
