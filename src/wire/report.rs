//! What `peergate doctor` is told: each role as the kernel says it now, as it found itself, and how both stand
//! against its plan.

use serde::{Deserialize, Serialize};

use crate::model::posture::{Confinement, Finding, Grade, ProcStatus};

/// The whole report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The daemon's version.
    pub version: String,
    /// The running kernel's.
    pub kernel: String,
    /// What is missing from the full posture, or was accepted, by name.
    pub missing: Vec<String>,
    /// Whether requests can be recorded now.
    pub recordable: bool,
    /// Roles that died within the last minute without being asked to end.
    pub deaths_lately: u32,
    /// They are more than a few.
    pub failing: bool,
    /// Each running role, the warden first.
    pub roles: Vec<RoleReport>,
    /// Gates beyond those that the report has room for.
    pub more_gates: u32,
    /// Each listener's socket, and the control socket.
    pub sockets: Vec<SocketReport>,
    /// Commands; absent where the policy has none.
    pub commands: Option<CommandsReport>,
}

/// What stands behind routes that lead to programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandsReport {
    /// How who starts runners stands.
    pub grade: Grade,
    /// Who that is, in words.
    pub what: String,
    /// How many run now.
    pub running: u32,
    /// What each command of the policy keeps, as `peergated --print-plan` says it.
    pub plans: Vec<String>,
    /// Commands beyond those that the report has room for.
    pub more: u32,
}

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleReport {
    /// `warden`, `gate`, `scribe`.
    pub role: String,
    /// Whose gate: the uid it serves; absent for a shared one and for other roles.
    pub serves: Option<u32>,
    /// Its process.
    pub pid: u32,
    /// What the kernel says now; absent where it can't be read.
    pub now: Option<ProcStatus>,
    /// What it found when it read itself back; absent while it starts.
    pub told: Option<Confinement>,
    /// Descriptors that it holds; absent where they can't be counted.
    pub descriptors: Option<u32>,
    /// How each layer stands.
    pub findings: Vec<Finding>,
}

/// One socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketReport {
    /// The listener's name; `control` for the daemon's own.
    pub name: String,
    /// Where.
    pub path: String,
    /// Permission bits that are there.
    pub mode: Option<u32>,
    /// Who owns it.
    pub uid: Option<u32>,
    /// Its group.
    pub gid: Option<u32>,
    /// How it stands.
    pub grade: Grade,
    /// In words.
    pub what: String,
}

impl Report {
    /// The worst that was found; red also where the record can't be written or roles die again and again.
    #[must_use]
    pub fn grade(&self) -> Grade {
        let roles = self.roles.iter().flat_map(|role| &role.findings).map(|finding| finding.grade);
        let sockets = self.sockets.iter().map(|socket| socket.grade);
        let whole = match (self.failing || !self.recordable, self.missing.is_empty()) {
            (true, _) => Grade::Red,
            (false, false) => Grade::Amber,
            (false, true) => Grade::Green,
        };
        let commands = self.commands.iter().map(|commands| commands.grade);
        roles.chain(sockets).chain(commands).max().unwrap_or(Grade::Green).max(whole)
    }
}
