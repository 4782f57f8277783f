//! Deaths: how many there were of late, and which system call a role died of, where the kernel tells it.
//!
//! A filter's kill reaches the parent as SIGSYS and nothing else. Which call it was stands in the kernel's log
//! (`audit: type=1326 …`), unless an audit daemon takes it, or the unit may not read that log.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{Whence, lseek, read};

use super::roster::Whose;
use super::{Due, Warden};
use crate::audit::entry::{Entry, GateEvent, Life};
use crate::confine;

/// More deaths than these within [`LATELY`] are a state of their own.
const FEW: usize = 3;
/// A minute.
const LATELY: Duration = Duration::from_secs(60);
/// The kernel's log gets this long to tell, and is looked at this often.
const PATIENCE: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(20);
/// So many lines are read at one look.
const LINES: usize = 1024;

/// A role that was ended by SIGSYS.
struct Ended {
    role: &'static str,
    uid: Whose,
    pid: u32,
    until: Instant,
}

/// The history of deaths.
pub(super) struct Deaths {
    kernel: Option<OwnedFd>,
    late: VecDeque<Instant>,
    unexplained: Vec<Ended>,
}

impl Deaths {
    /// None yet. The kernel's log is opened at its end; without CAP_SYSLOG where `kernel.dmesg_restrict` is set
    /// there is none, which is why this comes before capabilities are dropped.
    pub(super) fn none() -> Deaths {
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let log = open("/dev/kmsg", flags, Mode::empty())
            .and_then(|log| lseek(&log, 0, Whence::SeekEnd).map(|_end| log));
        if let Err(errno) = &log {
            tracing::debug!(errno = errno.desc(), "the kernel's log can't be read");
        }
        Deaths { kernel: log.ok(), late: VecDeque::new(), unexplained: Vec::new() }
    }

    /// How many roles died within the last minute.
    pub(super) fn lately(&self, now: Instant) -> usize {
        self.late.iter().filter(|at| now.saturating_duration_since(**at) < LATELY).count()
    }

    /// More than a few: something kills them again and again.
    pub(super) fn are_many(&self, now: Instant) -> bool {
        self.lately(now) > FEW
    }

    fn count(&mut self, now: Instant) {
        while self.late.front().is_some_and(|at| now.saturating_duration_since(*at) >= LATELY) {
            self.late.pop_front();
        }
        self.late.push_back(now);
    }

    /// What the kernel's log says that is new: pids and the calls that they died of.
    fn told(&self) -> Vec<(u32, i64)> {
        let Some(log) = &self.kernel else { return Vec::new() };
        let mut told = Vec::new();
        // One record a read (`Documentation/ABI/testing/dev-kmsg`).
        let mut record = [0; 8192];
        for _ in 0..LINES {
            match read(log, &mut record) {
                Ok(length) => told.extend(violation(record.get(..length).unwrap_or_default())),
                // It was overwritten before it was read; the next one is there.
                Err(Errno::EPIPE | Errno::EINTR) => {}
                Err(_nothing) => break,
            }
        }
        told
    }
}

/// A record of the kernel's log that tells of a seccomp violation (AUDIT_SECCOMP, 1326): the pid and the call.
fn violation(record: &[u8]) -> Option<(u32, i64)> {
    let text = std::str::from_utf8(record).ok()?;
    // Priority, number, time, flags; then the text, which only the kernel begins like this.
    let (prefix, text) = text.split_once(';')?;
    // Facility and level in one number; root's own lines have a facility, the kernel's have none.
    let priority: u32 = prefix.split(',').next()?.parse().ok()?;
    if priority >= 8 {
        return None;
    }
    let fields = text.strip_prefix("audit: type=1326 ")?;
    // The process's own name comes after its pid, so that it can't pretend to be one.
    let field = |name: &str| fields.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    // The last one: `comm` and `exe` come before it, and their text is the process's.
    let last = |name: &str| fields.rsplit(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    Some((field("pid")?.parse().ok()?, last("syscall")?.parse().ok()?))
}

impl Warden {
    /// A role died that nobody had asked to end.
    pub(super) fn note_death(&mut self, role: &'static str, uid: Whose, pid: u32, event: Life) {
        let now = Instant::now();
        self.deaths.count(now);
        if self.deaths.lately(now) == FEW + 1 {
            tracing::error!("{} roles died within a minute", FEW + 1);
        }
        if event == Life::Killed(nix::libc::SIGSYS) {
            tracing::error!(role, pid, "ended for a system call that it may not make");
            self.deaths.unexplained.push(Ended { role, uid, pid, until: now + PATIENCE });
            self.timers.after(LOOK, Due::Violations);
        }
    }

    /// Looks whether the kernel's log explains a death by now.
    pub(super) fn explain_violations(&mut self) {
        let (told, now) = (self.deaths.told(), Instant::now());
        let mut waiting = Vec::new();
        for ended in std::mem::take(&mut self.deaths.unexplained) {
            // The last one: an older process may have had the same pid.
            match told.iter().rfind(|(pid, _)| *pid == ended.pid) {
                Some((_, number)) => {
                    let name = confine::name_of(*number);
                    tracing::error!(
                        role = ended.role,
                        pid = ended.pid,
                        syscall = name,
                        "the call that ended it"
                    );
                    let Ended { role, uid, pid, .. } = ended;
                    let syscall = Some(name.as_str());
                    let event = GateEvent { role, uid, pid, event: Life::Violated, live: &[], syscall };
                    self.record.note(&Entry::Gate(event));
                }
                None if now < ended.until => waiting.push(ended),
                None => tracing::warn!(pid = ended.pid, "the kernel's log does not say which call ended it"),
            }
        }
        if !waiting.is_empty() {
            self.timers.after(LOOK, Due::Violations);
        }
        self.deaths.unexplained = waiting;
    }
}

/// Reads a process's own text in /proc; it is a child of ours that was not reaped, so the pid is its own.
pub(super) fn proc_text(pid: u32, name: &str) -> io::Result<String> {
    std::fs::read_to_string(format!("/proc/{pid}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn violation_is_read_from_the_kernels_log() {
        let line = "4,1069,1408995350,-;audit: type=1326 audit(1795631354.541:6): auid=4294967295 uid=0 gid=0 \
                    ses=4294967295 pid=30017 comm=\"pid=1\" exe=\"/x syscall=2\" sig=31 arch=c000003e syscall=50 \
                    compat=0 ip=0x7f0baac7e8e7 code=0x80000000\n";
        assert_eq!(violation(line.as_bytes()), Some((30_017, 50)));
        assert_eq!(violation(&line.as_bytes()[20..]), None);
        assert_eq!(violation(line.replace("type=1326", "type=1327").as_bytes()), None);
        assert_eq!(violation(b"4,1,1,-;forged: audit: type=1326 pid=1 syscall=2"), None);
        assert_eq!(violation(line.replacen("4,", "12,", 1).as_bytes()), None);
        assert_eq!(violation(&[0xff, b';']), None);
    }

    #[test]
    fn deaths_are_many_beyond_a_few_and_only_lately() {
        let mut deaths = Deaths { kernel: None, late: VecDeque::new(), unexplained: Vec::new() };
        let now = Instant::now();
        for _ in 0..FEW {
            deaths.count(now);
        }
        assert!(!deaths.are_many(now));
        deaths.count(now);
        assert!(deaths.are_many(now));
        assert!(!deaths.are_many(now + LATELY));
        deaths.count(now + LATELY);
        assert_eq!(deaths.late.len(), 1);
    }
}
