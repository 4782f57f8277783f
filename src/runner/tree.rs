//! All that a command starts ends with it: by a cgroup of its own, where there is one, which ends all of it at once;
//! else by the orphans' way to this process (`PR_SET_CHILD_SUBREAPER(2const)`), generation by generation.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Pid, UnlinkatFlags, unlinkat};

use crate::model::ids::RequestId;

/// Where cgroup v2 is mounted.
const CGROUPS: &str = "/sys/fs/cgroup";

/// All that a command starts, and what it is ended by: open before this process gives up the right to open anything.
#[derive(Debug)]
pub(super) struct Tree {
    group: Option<Group>,
    /// The list of this process's children; none where the kernel has no such list.
    children: Option<File>,
}

/// A control group of the command's own.
#[derive(Debug)]
struct Group {
    /// This process's own, in which it lies.
    parent: OwnedFd,
    name: String,
    /// What is written to to end all of it.
    kill: File,
    /// What a process writes `0` to that joins.
    door: OwnedFd,
}

impl Group {
    fn make(id: &RequestId) -> Option<Group> {
        let (own, name) = (own_group()?, name_of(id));
        let path = own.join(&name);
        fs::create_dir(&path).ok()?;
        let opened = || {
            let parent = open(&own, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
            let door = open(&path.join("cgroup.procs"), OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty());
            let kill = File::options().write(true).open(path.join("cgroup.kill")).ok()?;
            Some((parent.ok()?, door.ok()?, kill))
        };
        let Some((parent, door, kill)) = opened() else {
            // What can't be used is not left behind.
            fs::remove_dir(&path).ok();
            return None;
        };
        Some(Group { parent, name, kill, door })
    }
}

impl Tree {
    /// Makes a cgroup below this process's own.
    ///
    /// # Errors
    ///
    /// There is none to be had, and the kernel does not say either what a command leaves behind.
    pub(super) fn plant(id: &RequestId) -> Result<Tree, String> {
        let group = Group::make(id);
        let children = File::open(format!("/proc/self/task/{}/children", std::process::id())).ok();
        if group.is_none() && children.is_none() {
            let why = "this kernel can't say what a command leaves behind: it has neither cgroup v2 here nor \
                       /proc/self/task/PID/children";
            return Err(why.to_owned());
        }
        Ok(Tree { group, children })
    }

    /// What a process writes `0` to that joins.
    pub(super) fn door(&self) -> Option<BorrowedFd<'_>> {
        self.group.as_ref().map(|group| group.door.as_fd())
    }

    /// The directory from which the command's control group is removed, where there is one.
    pub(super) fn parent(&self) -> Option<BorrowedFd<'_>> {
        self.group.as_ref().map(|group| group.parent.as_fd())
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
            if let Some(group) = &self.group
                && let Err(error) = (&group.kill).write_all(b"1")
            {
                tracing::warn!(%error, "a command's cgroup can't be ended");
            }
            for child in self.left() {
                kill(child, Signal::SIGKILL).ok();
            }
            // One at a time: its orphans are ours by then, and are found in the next round.
            match waitid(Id::All, WaitPidFlag::WEXITED) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_none) => break,
            }
        }
        if let Some(group) = &self.group
            && let Err(error) = unlinkat(&group.parent, group.name.as_str(), UnlinkatFlags::RemoveDir)
        {
            tracing::warn!(%error, group = group.name, "a command's cgroup stays");
        }
    }

    /// The direct children of this process now.
    fn left(&self) -> Vec<Pid> {
        let Some(children) = &self.children else { return Vec::new() };
        let mut text = vec![0; LISTED];
        // What has no room is found in a later round.
        let length = children.read_at(&mut text, 0).unwrap_or(0);
        text.truncate(length);
        let whole = if length < LISTED { length } else { text.iter().rposition(|b| *b == b' ').unwrap_or(0) };
        pids(&String::from_utf8_lossy(text.get(..whole).unwrap_or_default()))
    }
}

/// Bytes of the list of children that are read at once.
const LISTED: usize = 16 << 10;

fn pids(listed: &str) -> Vec<Pid> {
    listed.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw).collect()
}

/// The direct children of this process, adopted ones too; of one thread, since it has no other.
pub(super) fn children() -> Vec<Pid> {
    let pid = std::process::id();
    let listed = fs::read_to_string(format!("/proc/self/task/{pid}/children")).or_else(|_| by_parent(pid));
    pids(&listed.unwrap_or_default())
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

/// How a command's group is called.
const PREFIX: &str = "command-";

/// A name that no other command's group has: a gate numbers its requests, and may use a number twice, but no two runners
/// that live have one pid.
fn name_of(id: &RequestId) -> String {
    format!("{PREFIX}{id}-{}", std::process::id())
}

/// The control groups that a runner left which was itself ended; `None` where the runner had none.
pub(super) fn groups_of(runner: u32) -> Vec<PathBuf> {
    let ending = format!("-{runner}");
    let is_its = |name: &str| name.starts_with(PREFIX) && name.ends_with(&ending);
    let entries = own_group().and_then(|own| fs::read_dir(own).ok()).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_str().is_some_and(is_its)).map(|entry| entry.path()).collect()
}

/// Ends what is in a control group, and removes it; whether it is gone.
pub(super) fn put_away(group: &Path) -> bool {
    // What is in there ends with its runner, or by this.
    fs::write(group.join("cgroup.kill"), "1").ok();
    fs::remove_dir(group).map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |()| true)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{BootId, ConnectionId};

    #[test]
    fn group_of_a_request_number_used_twice_is_named_by_its_runner() {
        let connection = ConnectionId { boot: BootId::from_random(1), number: 1 };
        let name = name_of(&RequestId { connection, number: 1 });
        assert!(name.ends_with(&format!("-1-1-{}", std::process::id())), "{name}");
    }
}
