//! What `peergate doctor` is told of commands.

use nix::sys::stat::lstat;

use super::starter::Starter;
use crate::confine::{self, Plan};
use crate::model::posture::{Confinement, Grade, ProcStatus};
use crate::warden::Warden;
use crate::warden::violation::proc_text;
use crate::wire::report::CommandsReport;

impl Warden {
    /// For `peergate doctor`.
    pub(in crate::warden) fn commands_report(&self) -> Option<CommandsReport> {
        /// Bytes of plans that a report has room for.
        const ROOM: usize = 16 << 10;
        let mut plans = confine::command_plans(&self.force.policy);
        if plans.is_empty() {
            return None;
        }
        let all = plans.len();
        let mut room = ROOM;
        plans.retain(|plan| {
            room = room.saturating_sub(plan.len());
            room > 0
        });
        let (grade, what) = self.starter_stands();
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let (running, more) = (count(self.commands.running.len()), count(all - plans.len()));
        Some(CommandsReport { grade, what, running, plans, more })
    }

    /// Runners whose commands run, as many as a report has room for: the plan of each, what it runs, its process, and how
    /// it found itself.
    pub(in crate::warden) fn runners(&self) -> impl Iterator<Item = (Plan, &str, u32, &Confinement)> {
        /// Of so many, a report tells.
        const MOST: usize = 8;
        let root = self.options.terms.root;
        let told = self.commands.running.values().filter_map(move |run| {
            let runner = run.runner.as_ref()?;
            Some((Plan::runner(root, runner.has_group), run.backend.as_str(), runner.pid, &*runner.confined))
        });
        told.take(MOST)
    }

    fn starter_stands(&self) -> (Grade, String) {
        match &self.commands.runners.starter {
            Starter::Nobody => {
                let what = "nobody starts runners; the daemon needs a restart";
                (Grade::Red, what.to_owned())
            }
            Starter::Service(path) => match lstat(path) {
                Ok(stat) if stat.st_uid == 0 && stat.st_mode & 0o077 == 0 => {
                    (Grade::Green, format!("the service manager starts runners, at {}", path.display()))
                }
                Ok(_) => (Grade::Red, format!("{} is not root's alone", path.display())),
                Err(errno) => (Grade::Red, format!("{}: {}", path.display(), errno.desc())),
            },
            Starter::Own { child, .. } => {
                let status = proc_text(child.pid(), "status").ok().and_then(|text| ProcStatus::parse(&text));
                match status {
                    None => (Grade::Red, "the launcher is gone".to_owned()),
                    Some(status) if status.no_new_privs || status.seccomp_mode != 0 => {
                        let what = "the launcher inherited a confinement, and so do commands: name a socket of the \
                                    service manager's (`PEERGATE_RUNNER`)";
                        (Grade::Amber, what.to_owned())
                    }
                    Some(_) => (
                        Grade::Green,
                        format!("a launcher of the daemon's starts runners, pid {}", child.pid()),
                    ),
                }
            }
        }
    }
}
