//! What a role gives up before it reads a byte that it can't trust. Each step is required: one that the kernel
//! does not take is an error, and the role does not start.
//!
//! Called while the role has one thread; threads that come later inherit all of it.

use std::fmt;
use std::os::fd::BorrowedFd;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd,
    RestrictionStatus, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::Mode;

/// A role could not be confined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unconfined {
    /// What was to be given up.
    pub step: &'static str,
    /// What was in the way.
    pub why: String,
}

impl fmt::Display for Unconfined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the role can't be confined, at {}: {}", self.step, self.why)
    }
}

impl std::error::Error for Unconfined {}

/// Makes an error say at which step it came.
trait At<T> {
    fn at(self, step: &'static str) -> Result<T, Unconfined>;
}

impl<T, E: fmt::Display> At<T> for Result<T, E> {
    fn at(self, step: &'static str) -> Result<T, Unconfined> {
        self.map_err(|error| Unconfined { step, why: error.to_string() })
    }
}

/// A gate: no new rights, nobody may look into it, no capability, no file by name, no TCP of its own.
///
/// # Errors
///
/// The step that the kernel did not take; a kernel without Landlock (before 5.13, or not enabled) is named.
pub fn enter_gate() -> Result<(), Unconfined> {
    one_thread()?;
    narrow()?;
    landlock(ruleset()?)?;
    nothing_opens("/")
}

/// The scribe: as a gate, but for the audit directory and, where there is one, the diagnostics directory.
///
/// # Errors
///
/// As [`enter_gate`]; the diagnostics directory can't be opened.
pub fn enter_scribe(audit: BorrowedFd<'_>, diagnostics: Option<&str>) -> Result<(), Unconfined> {
    one_thread()?;
    narrow()?;
    let all = AccessFs::from_all(FULL);
    let mut rules = ruleset()?.add_rule(PathBeneath::new(audit, all)).at(LANDLOCK)?;
    if let Some(directory) = diagnostics {
        let handle = PathFd::new(directory).at("opening the diagnostics directory")?;
        rules = rules.add_rule(PathBeneath::new(handle, all)).at(LANDLOCK)?;
    }
    landlock(rules)?;
    nothing_opens("/")
}

/// The warden: no core file and no debugger of the same user, since it knows the key that secrets are hashed
/// with. It starts processes with other ids and looks at callers, and keeps what that needs.
///
/// # Errors
///
/// The step that the kernel did not take.
pub fn enter_warden() -> Result<(), Unconfined> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0).at("forbidding core files")?;
    prctl::set_dumpable(false).at("forbidding to be looked into")
}

const LANDLOCK: &str = "Landlock";
/// What must be there: the rights of the first ABI.
const LEAST: ABI = ABI::V1;
/// What is taken where the kernel has it.
const FULL: ABI = ABI::V6;

/// Landlock binds the calling thread and those that it starts, so another one would stay free.
fn one_thread() -> Result<(), Unconfined> {
    const STEP: &str = "counting threads";
    let status = std::fs::read_to_string("/proc/self/status").at(STEP)?;
    let threads = status.lines().find_map(|line| line.strip_prefix("Threads:")).map(str::trim);
    match threads {
        Some("1") => Ok(()),
        found => {
            Err(Unconfined { step: STEP, why: format!("1 is needed, {} found", found.unwrap_or("none")) })
        }
    }
}

fn narrow() -> Result<(), Unconfined> {
    prctl::set_no_new_privs().at("forbidding new rights")?;
    prctl::set_dumpable(false).at("forbidding to be looked into")?;
    for set in
        [caps::CapSet::Ambient, caps::CapSet::Inheritable, caps::CapSet::Effective, caps::CapSet::Permitted]
    {
        caps::clear(None, set).at("dropping capabilities")?;
        let left = caps::read(None, set).at("dropping capabilities")?;
        if !left.is_empty() {
            return Err(Unconfined { step: "dropping capabilities", why: format!("{left:?} stayed") });
        }
    }
    Ok(())
}

/// Every right there is, given to nobody.
fn ruleset() -> Result<RulesetCreated, Unconfined> {
    let newer: BitFlags<AccessFs> = AccessFs::from_all(FULL) & !AccessFs::from_all(LEAST);
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(LEAST))
        .at(LANDLOCK)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(newer)
        .at(LANDLOCK)?
        .handle_access(AccessNet::from_all(FULL))
        .at(LANDLOCK)?
        .scope(Scope::from_all(FULL))
        .at(LANDLOCK)?
        .create()
        .at(LANDLOCK)
}

fn landlock(rules: RulesetCreated) -> Result<(), Unconfined> {
    let RestrictionStatus { ruleset, no_new_privs, .. } = rules.restrict_self().at(LANDLOCK)?;
    // The crate's best effort says `Ok` even where the kernel took nothing.
    if ruleset == RulesetStatus::NotEnforced || !no_new_privs {
        return Err(Unconfined { step: LANDLOCK, why: "the kernel does not enforce it".to_owned() });
    }
    Ok(())
}

/// Asks the kernel instead of trusting what was said.
fn nothing_opens(path: &str) -> Result<(), Unconfined> {
    match open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()) {
        Err(Errno::EACCES) => Ok(()),
        Err(errno) => {
            Err(Unconfined { step: LANDLOCK, why: format!("probing {path} gave {}", errno.desc()) })
        }
        Ok(_open) => Err(Unconfined { step: LANDLOCK, why: format!("{path} can still be opened") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::fork;
    use std::os::fd::AsFd;

    fn errno_of(flags: OFlag, path: &str) -> Option<Errno> {
        open(path, flags | OFlag::O_CLOEXEC, Mode::from_bits_truncate(0o600)).err()
    }

    #[test]
    fn gate_confined_sees_an_empty_file_system() {
        let place = tempfile::tempdir().expect("a directory");
        let there = place.path().join("there");
        std::fs::write(&there, "x").expect("a file");
        let (there, new) = (there.display().to_string(), place.path().join("new").display().to_string());
        let child = fork(&[], || {
            enter_gate().expect("confined");
            for (flags, path) in [
                (OFlag::O_RDONLY, there.as_str()),
                (OFlag::O_WRONLY, there.as_str()),
                (OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL, new.as_str()),
                (OFlag::O_RDONLY | OFlag::O_DIRECTORY, "/"),
                (OFlag::O_RDONLY, "/etc/passwd"),
                (OFlag::O_RDONLY, "/proc/self/status"),
                (OFlag::O_RDWR, "/dev/null"),
                (OFlag::O_RDONLY | OFlag::O_DIRECTORY, "/sys"),
            ] {
                assert_eq!(errno_of(flags, path), Some(Errno::EACCES), "{path}");
            }
            assert!(std::fs::remove_file(&there).is_err() && std::fs::rename(&there, &new).is_err());
            assert!(std::net::TcpStream::connect("127.0.0.1:9").is_err_and(|e| e.raw_os_error() == Some(13)));
        });
        assert!(child.succeeded());
        assert!(place.path().join("there").exists());
    }

    #[test]
    fn scribe_confined_has_its_directory_and_nothing_else() {
        let place = tempfile::tempdir().expect("a directory");
        let handle = open(place.path(), OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty()).expect("open");
        let new = place.path().join("new").display().to_string();
        let child = fork(&[handle.as_fd()], || {
            enter_scribe(handle.as_fd(), None).expect("confined");
            assert_eq!(errno_of(OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL, &new), None);
            assert_eq!(errno_of(OFlag::O_RDONLY, "/etc/passwd"), Some(Errno::EACCES));
        });
        assert!(child.succeeded());
        assert!(place.path().join("new").exists());
    }
}
