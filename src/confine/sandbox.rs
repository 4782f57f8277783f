//! The walls around a command: what its policy lists, and its own program, and nothing else.

use std::os::fd::{BorrowedFd, OwnedFd};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope, make_bitflags,
};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::policy::Sandbox;
use crate::sys;

/// A sandbox whose places are open.
#[derive(Debug)]
pub struct Fenced {
    rules: Vec<(OwnedFd, String, BitFlags<AccessFs>)>,
    tcp: Option<Vec<u16>>,
    abi: ABI,
}

impl Fenced {
    /// Opens all that the sandbox names; a place that is not there is an error, never a smaller rule.
    ///
    /// # Errors
    ///
    /// Which place, and what `open(2)` answered; that this kernel has no Landlock.
    pub fn open(sandbox: &Sandbox) -> Result<Fenced, String> {
        let version = sys::limits::landlock_abi()
            .map_err(|errno| format!("this kernel has no Landlock: {}", errno.desc()))?;
        let abi = ABI::from(version);
        if sandbox.tcp.is_some() && AccessNet::from_all(abi).is_empty() {
            return Err("Landlock of this kernel knows no TCP (Linux 6.7 does)".to_owned());
        }
        let read = make_bitflags!(AccessFs::{ReadFile | ReadDir | ResolveUnix});
        let write = AccessFs::from_all(abi) & !make_bitflags!(AccessFs::{Execute | MakeChar | MakeBlock});
        let exec = read | AccessFs::Execute;
        let mut rules = Vec::new();
        for (paths, rights) in [(&sandbox.read, read), (&sandbox.write, write), (&sandbox.exec, exec)] {
            for path in paths {
                let place = open(path.as_str(), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
                    .map_err(|errno| format!("{path}: {}", errno.desc()))?;
                rules.push((place, path.clone(), rights & AccessFs::from_all(abi)));
            }
        }
        Ok(Fenced { rules, tcp: sandbox.tcp.clone(), abi })
    }

    /// Puts the walls up for this thread and all that it becomes and starts; `program` may be read and executed.
    ///
    /// # Errors
    ///
    /// What Landlock answered; anything less than all of it.
    pub fn enter(&self, program: BorrowedFd<'_>) -> Result<(), String> {
        let said = |error: landlock::RulesetError| error.to_string();
        let (fs, scopes) = (AccessFs::from_all(self.abi), Scope::from_all(self.abi));
        let net = if self.tcp.is_some() { AccessNet::from_all(self.abi) } else { BitFlags::EMPTY };
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(fs)
            .map_err(said)?;
        if !net.is_empty() {
            rules = rules.handle_access(net).map_err(said)?;
        }
        if !scopes.is_empty() {
            rules = rules.scope(scopes).map_err(said)?;
        }
        let own = make_bitflags!(AccessFs::{ReadFile | Execute});
        let mut rules = rules.create().map_err(said)?;
        rules = rules.add_rule(PathBeneath::new(program, own)).map_err(said)?;
        for (place, path, rights) in &self.rules {
            // A file takes no right of a directory (`landlock_add_rule(2)`).
            let is_file = nix::sys::stat::fstat(place)
                .is_ok_and(|stat| stat.st_mode & nix::libc::S_IFMT != nix::libc::S_IFDIR);
            let rights = if is_file { *rights & AccessFs::from_file(self.abi) } else { *rights };
            rules = rules
                .add_rule(PathBeneath::new(place, rights))
                .map_err(|error| format!("{path}: {error}"))?;
        }
        for port in self.tcp.iter().flatten() {
            rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp)).map_err(said)?;
        }
        let status = rules.restrict_self().map_err(said)?;
        if status.ruleset != RulesetStatus::FullyEnforced {
            return Err(format!("the kernel does not enforce all of it ({:?})", status.ruleset));
        }
        Ok(())
    }
}
