//! The daemon's processes in a machine, as the host sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::Machine;
use crate::support::daemon::{End, watch_end};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// One process of the service.
#[derive(Debug, Clone)]
pub(crate) struct Role {
    /// As the host counts.
    pub(crate) pid: Pid,
    /// `warden`, `gate`, `scribe`, `loader`.
    pub(crate) name: String,
    /// `/proc/PID/status` by its keys.
    pub(crate) status: BTreeMap<String, String>,
}

impl Role {
    /// `None` where it is gone.
    fn of(pid: Pid) -> Option<Role> {
        let read = |file| std::fs::read_to_string(format!("/proc/{pid}/{file}"));
        let line = read("cmdline").ok()?;
        let role = line.split('\0').find_map(|word| word.strip_prefix('@'));
        let status = read("status").ok()?;
        let pair =
            |line: &str| line.split_once(':').map(|(key, value)| (key.to_owned(), value.trim().to_owned()));
        let status = status.lines().filter_map(pair).collect();
        Some(Role { pid, name: role.unwrap_or("warden").to_owned(), status })
    }

    /// The real, effective, saved and file-system uid, or gid.
    pub(crate) fn ids(&self, key: &str) -> BTreeSet<u32> {
        self.status[key].split_whitespace().map(|id| id.parse().unwrap()).collect()
    }

    /// A set of capabilities as a number: `CapEff`, `CapBnd` …
    pub(crate) fn capabilities(&self, set: &str) -> u64 {
        u64::from_str_radix(&self.status[set], 16).unwrap()
    }

    /// A path as this process sees it.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.pid))
    }

    /// Where its mounts lie, and their options: those of each path's topmost mount.
    pub(crate) fn mounts(&self) -> BTreeMap<String, String> {
        let text = std::fs::read_to_string(format!("/proc/{}/mountinfo", self.pid)).unwrap();
        let fields = |line: &str| {
            let fields: Vec<&str> = line.split(' ').collect();
            (fields[4].to_owned(), fields[5].to_owned())
        };
        text.lines().map(fields).collect()
    }

    /// A namespace of its: `net`, `mnt` …
    pub(crate) fn namespace(&self, which: &str) -> PathBuf {
        std::fs::read_link(format!("/proc/{}/ns/{which}", self.pid)).unwrap()
    }

    /// Watches for its end.
    pub(crate) fn end(&self) -> End {
        watch_end(self.pid)
    }

    /// Ends it and waits until it is gone.
    pub(crate) fn kill(&self) {
        let end = self.end();
        kill(self.pid, Signal::SIGKILL).unwrap();
        assert!(end.wait(), "{self:?} does not end");
    }
}

impl Machine {
    /// Its first process: 1 in its own namespace.
    pub(super) fn first_process(&self) -> Option<Pid> {
        let procs = self.groups.iter().find_map(|group| found(group, "init.scope"))?;
        let pids = std::fs::read_to_string(procs.join("cgroup.procs")).ok()?;
        let mut roles = pids.lines().filter_map(|pid| Role::of(Pid::from_raw(pid.parse().unwrap())));
        let first = roles.find(|role| role.status["NSpid"].split_whitespace().last() == Some("1"))?;
        Some(first.pid)
    }

    /// The processes of the service.
    pub(crate) fn roles(&self) -> Vec<Role> {
        self.roles_of("peergated.service")
    }

    /// Those of a unit.
    pub(crate) fn roles_of(&self, unit: &str) -> Vec<Role> {
        let place = format!("system.slice/{unit}");
        let procs = self.groups.iter().find_map(|group| found(group, &place));
        let Some(procs) = procs else { return Vec::new() };
        let pids = std::fs::read_to_string(procs.join("cgroup.procs")).unwrap_or_default();
        pids.lines().filter_map(|pid| Role::of(Pid::from_raw(pid.parse().unwrap()))).collect()
    }

    /// The one process of this name.
    pub(crate) fn role(&self, name: &str) -> Role {
        let roles = self.roles();
        let mut named = roles.iter().filter(|role| role.name == name);
        match (named.next(), named.next()) {
            (Some(role), None) => role.clone(),
            _ => panic!("one {name} is wanted among {roles:?}\n{}", self.journal()),
        }
    }
}

/// The control group whose path ends so, with processes in it.
fn found(group: &Path, ending: &str) -> Option<PathBuf> {
    let processes = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    if group.ends_with(ending) && !processes.is_empty() {
        return Some(group.to_owned());
    }
    let entries = std::fs::read_dir(group).ok()?.flatten();
    let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    below.map(|entry| entry.path()).find_map(|path| found(&path, ending))
}
