//! landlock(7): all rights that the running kernel knows, given to nobody, and back only what the plan names.

use std::os::fd::BorrowedFd;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, Erratum, NetPort, PathBeneath,
    RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope, make_bitflags,
};

use super::plan::{Access, Connects, Reach};
use crate::model::posture::LandlockHeld;
use crate::sys;

/// A plan's reach and the directory that it is.
pub(super) type Opened<'a> = (&'a Reach, BorrowedFd<'a>);

/// Puts the walls up for this thread and all that it will start.
///
/// The crate's best effort says `Ok` even where the kernel took nothing, so all that the running kernel says it
/// knows is required, and a right that does not exist there is not asked for: the ABI that it has is part of the
/// posture (`landlock(7)`, "Landlock ABI versions").
pub(super) fn restrict(
    files: &[Opened<'_>],
    connects: &Connects,
    signals: bool,
) -> Result<LandlockHeld, String> {
    let said = |error: landlock::RulesetError| error.to_string();
    let version = sys::limits::landlock_abi().map_err(|errno| match errno {
        nix::errno::Errno::ENOSYS => "this kernel has no Landlock, or a filter hides it (ENOSYS)".to_owned(),
        nix::errno::Errno::EOPNOTSUPP => "Landlock is not among this kernel's `lsm=`".to_owned(),
        errno => format!("asking for its version: {}", errno.desc()),
    })?;
    let abi = ABI::from(version);
    let (fs, mut scopes) = (AccessFs::from_all(abi), Scope::from_all(abi));
    if signals {
        scopes &= BitFlags::from(Scope::AbstractUnixSocket);
    }
    let mut net = AccessNet::from_all(abi);
    if matches!(connects, Connects::Anywhere(_)) {
        net &= BitFlags::from(AccessNet::BindTcp);
    }
    let mut rules =
        Ruleset::default().set_compatibility(CompatLevel::HardRequirement).handle_access(fs).map_err(said)?;
    if !net.is_empty() {
        rules = rules.handle_access(net).map_err(said)?;
    }
    if !scopes.is_empty() {
        rules = rules.scope(scopes).map_err(said)?;
    }
    let mut rules = rules.create().map_err(said)?;
    for (reach, directory) in files {
        let rights = rights(reach.access, abi);
        // A kernel that does not know the right forbids it nowhere.
        if rights.is_empty() {
            continue;
        }
        let rule = PathBeneath::new(*directory, rights);
        rules = rules.add_rule(rule).map_err(|error| format!("{}: {error}", reach.what))?;
    }
    let ports = if let Connects::Ports(ports) = connects { ports.as_slice() } else { &[] };
    for port in ports.iter().filter(|_| net.contains(AccessNet::ConnectTcp)) {
        rules = rules
            .add_rule(NetPort::new(*port, AccessNet::ConnectTcp))
            .map_err(|error| format!("port {port}: {error}"))?;
    }
    let RestrictionStatus { ruleset, no_new_privs, .. } = rules.restrict_self().map_err(said)?;
    if ruleset != RulesetStatus::FullyEnforced || !no_new_privs {
        return Err(format!("the kernel does not enforce all of it ({ruleset:?})"));
    }
    Ok(LandlockHeld {
        abi: u32::try_from(version).unwrap_or(0),
        errata: Erratum::current().bits(),
        fs: fs.bits(),
        net: net.bits(),
        scopes: scopes.bits(),
        rules: u16::try_from(files.len() + ports.len()).unwrap_or(u16::MAX),
    })
}

/// The rights that a reach gives back, as far as this kernel has them.
fn rights(access: Access, abi: ABI) -> BitFlags<AccessFs> {
    let read = make_bitflags!(AccessFs::{ReadFile | ReadDir | ResolveUnix});
    let write = make_bitflags!(AccessFs::{WriteFile | MakeReg | RemoveFile | Truncate});
    let asked = match access {
        Access::Read => read,
        Access::Write => read | write,
        Access::Tree => read | write | make_bitflags!(AccessFs::{MakeDir | RemoveDir | Refer}),
        Access::Clear => BitFlags::from(AccessFs::RemoveDir),
        Access::Connect => BitFlags::from(AccessFs::ResolveUnix),
    };
    asked & AccessFs::from_all(abi)
}
