//! All that a command starts ends with it: by a cgroup of its own, where there is one, which ends all of it at once;
//! else by the orphans' way to this process (`PR_SET_CHILD_SUBREAPER(2const)`), generation by generation.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use crate::model::ids::RequestId;

/// Where cgroup v2 is mounted.
const CGROUPS: &str = "/sys/fs/cgroup";

/// The command's cgroup, if it could have one.
#[derive(Debug)]
pub(super) struct Tree {
    group: Option<PathBuf>,
}

impl Tree {
    /// Makes a cgroup below this process's own.
    pub(super) fn plant(id: &RequestId) -> Tree {
        let group = own_group().map(|own| own.join(format!("command-{id}")));
        Tree {
            group: group.filter(|group| fs::create_dir(group).is_ok() && group.join("cgroup.kill").exists()),
        }
    }

    /// What a process writes `0` to that joins.
    pub(super) fn door(&self) -> Option<OwnedFd> {
        let door = self.group.as_ref()?.join("cgroup.procs");
        open(&door, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()
    }

    /// Asks the command, and all in its process group, to end.
    pub(super) fn ask(&self, leader: u32) {
        if let Ok(leader) = i32::try_from(leader) {
            // Who is gone already needs no signal.
            kill(Pid::from_raw(-leader), Signal::SIGTERM).ok();
        }
    }

    /// Ends what is left of it, and waits until nothing is. This process has no other children.
    pub(super) fn end(&self) {
        loop {
            if let Some(group) = &self.group {
                let killed = File::options().write(true).open(group.join("cgroup.kill"));
                if let Err(error) = killed.and_then(|mut door| door.write_all(b"1")) {
                    tracing::warn!(%error, "a command's cgroup can't be ended");
                }
            }
            for child in children() {
                kill(child, Signal::SIGKILL).ok();
            }
            // One at a time: its orphans are ours by then, and are found in the next round.
            match waitid(Id::All, WaitPidFlag::WEXITED) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_none) => break,
            }
        }
        if let Some(group) = &self.group
            && let Err(error) = fs::remove_dir(group)
        {
            tracing::warn!(%error, group = %group.display(), "a command's cgroup stays");
        }
    }
}

/// The direct children of this process, adopted ones too; of one thread, since it has no other.
pub(super) fn children() -> Vec<Pid> {
    let pid = std::process::id();
    let listed = fs::read_to_string(format!("/proc/self/task/{pid}/children")).or_else(|_| by_parent(pid));
    listed
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .map(Pid::from_raw)
        .collect()
}

/// The same on a kernel without that list.
fn by_parent(parent: u32) -> io::Result<String> {
    let mut found = String::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // The parent is the second field behind the name, which may hold anything.
        let field = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
        if field.and_then(|field| field.parse::<u32>().ok()) == Some(parent) {
            found.push_str(&entry.file_name().to_string_lossy());
            found.push(' ');
        }
    }
    Ok(found)
}

/// This process's own cgroup, where the mount is of version 2.
fn own_group() -> Option<PathBuf> {
    let system = nix::sys::statfs::statfs(CGROUPS).ok()?;
    if system.filesystem_type() != nix::sys::statfs::CGROUP2_SUPER_MAGIC {
        return None;
    }
    let told = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = told.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // A path that leads out of the mount (`cgroup_namespaces(7)`) is none to make anything in.
    (!own.split('/').any(|name| name == "..")).then(|| Path::new(CGROUPS).join(own))
}

/// What the children of this process have used, all together.
pub(super) fn used() -> (u64, u64) {
    let Ok(usage) = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN) else {
        return (0, 0);
    };
    let micros = |time: nix::sys::time::TimeVal| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        seconds.saturating_mul(1_000_000).saturating_add(u64::try_from(time.tv_usec()).unwrap_or(0))
    };
    let cpu = micros(usage.user_time()).saturating_add(micros(usage.system_time()));
    (cpu, u64::try_from(usage.max_rss()).unwrap_or(0))
}
