//! The report for `peergate doctor`: the running roles are asked, and the kernel about them, not the configuration.

use std::io;
use std::path::Path;
use std::time::Instant;

use nix::sys::stat::{FileStat, SFlag, lstat};

use super::violation::proc_text;
use super::{Warden, posture};
use crate::confine::Plan;
use crate::model::posture::{Confinement, Finding, Grade, Layer, ProcStatus};
use crate::sys::listen::Listener;
use crate::wire::report::{Report, RoleReport, SocketReport};

/// A message has room for about so many.
const GATES: usize = 48;

impl Warden {
    /// Looks at everything that runs.
    pub(super) fn report(&self) -> Report {
        let now = Instant::now();
        let (terms, policy) = (&self.options.terms, &self.force.policy);
        // By what it gave up when it started: a policy that needs less came later.
        let own = Plan::warden(self.kept.clone(), self.apps.each().next().is_some());
        let mut roles = vec![self.role(&own, None, std::process::id(), Some(&self.confined))];
        if let Some((pid, told)) = self.scribe.process() {
            let ids = self.identities.scribe.as_ref().map(posture::identity);
            let plan = Plan::scribe(ids, policy.diagnostics.directory.is_some());
            roles.push(self.role(&plan, None, pid, told));
        }
        for (number, app) in (0..).zip(self.apps.each()) {
            let (pid, told) = app.process().unwrap_or((0, None));
            let plan = Plan::app(self.identities.app(number).map(posture::identity), &app.sandbox);
            let mut report = self.role(&plan, None, pid, told);
            report.role = format!("app {}", app.sandbox.name);
            roles.push(report);
        }
        for (plan, command, pid, told) in self.runners() {
            let mut report = self.role(&plan, None, pid, Some(told));
            report.role = format!("runner {command}");
            roles.push(report);
        }
        let keepers = self.witness.keepers();
        roles.extend(keepers.map(|(plan, pid, told)| self.role(plan, None, pid, told)));
        let plan = Plan::gate(self.identities.gate.as_ref().map(posture::identity), terms);
        let gates: Vec<_> = self.roster.gates().map(|(_, gate)| gate).collect();
        let shown = gates.iter().take(GATES);
        roles
            .extend(shown.map(|gate| self.role(&plan, gate.whose, gate.child.pid(), gate.confined.as_ref())));
        Report {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: nix::sys::utsname::uname().map_or_else(
                |_| "unknown".to_owned(),
                |uname| uname.release().to_string_lossy().into_owned(),
            ),
            missing: self.missing.clone(),
            recordable: self.is_recordable(),
            deaths_lately: u32::try_from(self.deaths.lately(now)).unwrap_or(u32::MAX),
            failing: self.deaths.are_many(now),
            roles,
            more_gates: u32::try_from(gates.len().saturating_sub(GATES)).unwrap_or(u32::MAX),
            sockets: self.sockets(),
            commands: self.commands_report(),
        }
    }

    fn role(&self, plan: &Plan, serves: Option<u32>, pid: u32, told: Option<&Confinement>) -> RoleReport {
        let root = self.options.terms.root;
        let now = proc_text(pid, "status").ok().and_then(|text| ProcStatus::parse(&text));
        // What the role found is judged by what the kernel says of it at this moment, where that can be read.
        let mut findings = match (told, &now) {
            (Some(told), Some(now)) => {
                let told = Confinement { status: now.clone(), ..told.clone() };
                plan.judge(&told, root)
            }
            (None, Some(now)) => plan.judge_status(now, root),
            (_, None) => vec![Finding {
                layer: Layer::Identity,
                grade: Grade::Red,
                what: format!("/proc/{pid}/status can't be read"),
            }],
        };
        if told.is_none() {
            let what = "it has not said yet how it found itself".to_owned();
            findings.push(Finding { layer: Layer::Landlock, grade: Grade::Amber, what });
        }
        RoleReport {
            role: plan.role.name().to_owned(),
            serves,
            pid,
            now,
            told: told.cloned(),
            descriptors: descriptors(pid).ok(),
            findings,
        }
    }

    fn sockets(&self) -> Vec<SocketReport> {
        let policy = &self.force.policy;
        let control = socket("control", Path::new(&policy.daemon.control), self.control.listener(), 0o600);
        let listeners = self.door.entrances().map(|(_, entrance)| {
            let mode =
                policy.listeners.iter().find(|wanted| wanted.name == entrance.name).map(|wanted| wanted.mode);
            socket(&entrance.name, Path::new(&entrance.path), entrance.listener(), mode.unwrap_or(0))
        });
        std::iter::once(control).chain(listeners).collect()
    }
}

fn socket(name: &str, path: &Path, listener: &Listener, mode: u32) -> SocketReport {
    let found = lstat(path);
    let (grade, what) = match &found {
        Err(errno) => (Grade::Red, format!("nobody can reach it: {}", errno.desc())),
        Ok(stat) if !is_socket(stat) => {
            (Grade::Red, "its name leads to something that is no socket".to_owned())
        }
        Ok(stat) if !listener.is_named_by(stat) => {
            (Grade::Red, "its name leads to another socket than ours".to_owned())
        }
        Ok(stat) if stat.st_mode & 0o7777 != mode => {
            (Grade::Red, format!("its mode is {:04o}; {mode:04o} is planned", stat.st_mode & 0o7777))
        }
        Ok(_) => (Grade::Green, format!("mode {mode:04o}")),
    };
    let found = found.ok();
    SocketReport {
        name: name.to_owned(),
        path: path.to_string_lossy().into_owned(),
        mode: found.map(|stat| stat.st_mode & 0o7777),
        uid: found.map(|stat| stat.st_uid),
        gid: found.map(|stat| stat.st_gid),
        grade,
        what,
    }
}

fn is_socket(stat: &FileStat) -> bool {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFSOCK
}

fn descriptors(pid: u32) -> io::Result<u32> {
    Ok(u32::try_from(std::fs::read_dir(format!("/proc/{pid}/fd"))?.count()).unwrap_or(u32::MAX))
}
