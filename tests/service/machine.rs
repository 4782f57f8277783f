//! A machine of its own with systemd as its first process, in `systemd-nspawn`: it starts in a second from a tree
//! that is made once, everything that it writes is gone with it, and its processes are looked at from outside.

#[path = "machine/roles.rs"]
mod roles;
#[path = "machine/tree.rs"]
mod tree;

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::{out, said};
use nix::unistd::Pid;

pub(crate) use roles::Role;
pub(crate) use tree::lacking;

/// For booting on a busy machine.
const BOOT: Duration = Duration::from_secs(120);

/// What the container's filter has to let through besides its own list (systemd 252 does not know them).
const CALLS: &str = "landlock_create_ruleset landlock_add_rule landlock_restrict_self seccomp";

/// Moves itself into the control groups that it is given, hides the host's service manager from `systemd-nspawn`
/// (it would ask it for a unit, and leave a directory with it), and becomes that.
const ENTER: &str = "set -e
while [ \"$1\" != -- ]; do echo $$ >\"$1/cgroup.procs\"; shift; done
shift
mkdir -p /run/systemd
mount -t tmpfs tmpfs /run/systemd
exec systemd-nspawn \"$@\"";

/// A running machine. Dropping it leaves nothing behind.
pub(crate) struct Machine {
    nspawn: Child,
    /// Its first process, as the host counts.
    leader: Pid,
    groups: Vec<PathBuf>,
    place: tempfile::TempDir,
}

impl Machine {
    /// Starts one and waits until it is up. `shared` is what it sees, read-only, at `/shared`.
    pub(crate) fn boot(shared: &Path) -> Machine {
        let tree = tree::ready();
        let place = tempfile::tempdir().unwrap();
        let notify = UnixDatagram::bind(place.path().join("notify")).unwrap();
        notify.set_read_timeout(Some(BOOT)).unwrap();
        let name = place.path().file_name().unwrap().to_string_lossy().replace('.', "");
        let groups = control_groups(&name);
        let console = std::fs::File::create(place.path().join("console")).unwrap();
        // In a process namespace of its own, whose end is the end of everything in it; and it ends with this thread,
        // however that does. `systemd-nspawn` alone leaves its machine running where it is killed.
        let mut start = Command::new("setpriv");
        start.args(["--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private"]);
        start.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
        start.args(["sh", "-c", ENTER, "enter"]).args(&groups).arg("--");
        start.args(["--quiet", "--register=no", "--keep-unit", "--boot", "--notify-ready=yes"]);
        // Written to memory only, without any network but its own loopback.
        start.args(["--volatile=overlay", "--private-network", "--link-journal=no", "--timezone=off"]);
        start.arg(format!("--system-call-filter={CALLS}")).arg(format!("--machine=pg-{name}"));
        start.arg(format!("--directory={}", tree.display()));
        start.arg(format!("--bind-ro={}:/shared", shared.display()));
        start.env("NOTIFY_SOCKET", place.path().join("notify"));
        // As any system has it today, whatever the host has: in the older one nobody tells a container's service
        // manager when a group has become empty, and it waits for its time-out instead.
        start.env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1");
        start.stdin(Stdio::null()).stdout(console.try_clone().unwrap()).stderr(console);
        let nspawn = start.spawn().unwrap();
        let mut machine = Machine { nspawn, leader: Pid::from_raw(0), groups, place };
        machine.wait_until_up(&notify);
        machine
    }

    fn wait_until_up(&mut self, notify: &UnixDatagram) {
        let until = Instant::now() + BOOT;
        let mut buffer = [0; 4096];
        let up = loop {
            match notify.recv(&mut buffer) {
                Ok(length)
                    if buffer[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") =>
                {
                    break true;
                }
                Ok(_) => {}
                // The host may stop and continue everybody.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break false,
            }
            if Instant::now() > until {
                break false;
            }
        };
        match self.first_process().filter(|_| up) {
            Some(leader) => self.leader = leader,
            None => {
                let console = std::fs::read_to_string(self.place.path().join("console")).unwrap_or_default();
                panic!("the machine does not come up\n{console}")
            }
        }
    }

    /// A program to be run in it as root.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.leader)).args(["--all", "--", program]);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
        command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        command
    }

    /// A program to be run in it as somebody.
    pub(crate) fn command_as(&self, user: &str, program: &str) -> Command {
        let mut command = self.command("setpriv");
        command.args([&format!("--reuid={user}"), &format!("--regid={user}")]);
        command.args(["--init-groups", "--inh-caps=-all", "--", program]);
        command
    }

    /// Runs a line of shell as root, which has to succeed.
    pub(crate) fn sh(&self, line: &str) -> String {
        let output = self.try_sh(line);
        assert!(
            output.status.success(),
            "`{line}`: {}\n{}\n{}",
            output.status,
            said(&output),
            self.journal()
        );
        out(&output)
    }

    /// Runs a line of shell as root.
    pub(crate) fn try_sh(&self, line: &str) -> Output {
        self.command("sh").args(["-c", line]).output().unwrap()
    }

    /// A call of somebody's: status and body; status 0 where there was no answer.
    pub(crate) fn call(&self, user: &str, target: &str) -> (u16, String) {
        self.call_at("/run/peergate/api.sock", user, &[], target)
    }

    /// The same at another socket, with more words to curl.
    pub(crate) fn call_at(&self, socket: &str, user: &str, more: &[&str], target: &str) -> (u16, String) {
        let mut curl = self.command_as(user, "curl");
        curl.args(["--silent", "--show-error", "--max-time", "30", "--write-out", "\n%{http_code}"]);
        curl.args(["--unix-socket", socket]).args(more).arg(format!("http://localhost{target}"));
        let output = curl.output().unwrap();
        let said = said(&output);
        let (body, status) = said.rsplit_once('\n').unwrap_or_else(|| panic!("curl said: {said}"));
        // What curl complains of comes after the status.
        match status.parse().ok().filter(|status| *status > 0) {
            Some(status) => (status, body.to_owned()),
            None => (0, said),
        }
    }

    /// A path of its, from outside.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.leader))
    }

    /// Everything that the daemon and its units said so far.
    pub(crate) fn journal(&self) -> String {
        let mut journal = self.command("journalctl");
        journal.args(["--no-pager", "--output=short-monotonic", "--lines=200"]);
        journal.args(["--unit=peergated.service", "--unit=peergated.socket"]);
        said(&journal.output().unwrap())
    }

    /// Its first process.
    pub(crate) fn leader(&self) -> Pid {
        self.leader
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Its end takes the process namespace with it.
        let _ = self.nspawn.kill();
        let _ = self.nspawn.wait();
        let until = Instant::now() + Duration::from_secs(10);
        for group in &self.groups {
            // The kernel may still be about to let go of the last processes.
            while !removed(group) && Instant::now() < until {
                std::thread::yield_now();
            }
        }
    }
}

/// Makes a control group of this name in each hierarchy that systemd uses, and removes those that a test which was
/// killed left.
fn control_groups(name: &str) -> Vec<PathBuf> {
    const OURS: &str = "peergate-tests-";
    let hierarchies = ["/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"];
    let there = hierarchies.into_iter().map(Path::new).filter(|path| path.join("cgroup.procs").exists());
    let groups = there.map(|hierarchy| {
        for entry in std::fs::read_dir(hierarchy).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let pid = name.strip_prefix(OURS).and_then(|rest| rest.split('-').next());
            if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                removed(&entry.path());
            }
        }
        let group = hierarchy.join(format!("{OURS}{}-{name}", std::process::id()));
        std::fs::create_dir(&group).unwrap();
        group
    });
    groups.collect()
}

/// Removes a control group and those below it; whether it is gone.
fn removed(group: &Path) -> bool {
    for entry in std::fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            removed(&entry.path());
        }
    }
    std::fs::remove_dir(group).map_or_else(|error| error.kind() == ErrorKind::NotFound, |()| true)
}
