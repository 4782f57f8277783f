//! Who is calling: everything the kernel says of an accepted connection, once, before anyone reads from it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::model::caller::{Attr, Caller, Credentials, Exe, Gid, Namespace, Peer, Uid};
use crate::model::depth::Depth;
use crate::sys::peer;

pub use crate::sys::peer::OwnNamespaces;

/// More groups than this, or a longer label, are unknown: all that is said of a caller has to fit into one message to
/// its gate.
const GROUPS: usize = 8192;
const LABEL: usize = 4096;

/// What is to be read, and what the policy in force can say about it.
pub struct Wanted<'a> {
    /// How much.
    pub depth: Depth,
    /// A user's name, from the table that was resolved at load; no name service is asked here.
    pub name: &'a dyn Fn(Uid) -> Option<String>,
    /// Whether a rule names the program that lies there.
    pub names_program: &'a dyn Fn(&[u8]) -> bool,
}

/// Collects the caller of an accepted connection.
///
/// What can't be read is unknown, and the caller is still served as far as the policy allows unknowns, which
/// is never through a condition on them.
///
/// # Errors
///
/// Where SO_PEERCRED itself fails or says -1: then nobody is there to be named, and the connection must end.
pub fn identify(fd: BorrowedFd<'_>, own: &OwnNamespaces, wanted: &Wanted<'_>) -> io::Result<Caller> {
    let depth = wanted.depth;
    let frozen = peer::credentials(fd)?;
    let known_uid = |raw| Attr::from(Uid::new(raw).filter(|_uid| raw != own.overflow_uid()));
    let known_gid = |raw| Gid::new(raw).filter(|_gid| raw != own.overflow_gid());

    let uid = known_uid(frozen.uid);
    let user = uid.known().and_then(|uid| (wanted.name)(*uid));
    // One group without a number here makes the list say less than there is: unknown as a whole.
    let groups = peer::groups(fd).ok().filter(|raw| raw.len() <= GROUPS);
    let groups = groups.and_then(|raw| raw.into_iter().map(known_gid).collect());
    let mut caller = Caller {
        peer: Peer { uid: frozen.uid, gid: frozen.gid, pid: frozen.pid, real_uid: None },
        credentials: Credentials { uid, gid: known_gid(frozen.gid).into(), groups: Attr::from(groups) },
        user,
        namespace: Attr::Unknown,
        start_time: Attr::Unknown,
        exe: Attr::Unknown,
        unit: Attr::Unknown,
        login_uid: Attr::Unknown,
        label: Attr::Unknown,
    };
    if depth.label {
        // Frozen at connect, so that it needs no pidfd.
        caller.label = peer::label(fd).ok().filter(|label| label.len() <= LABEL).into();
    }
    if frozen.pid <= 0 {
        // No number in our pid namespace: it lives in one that we can't see into.
        caller.namespace = Attr::Known(Namespace::Other);
        return Ok(caller);
    }
    // Without a pidfd nothing ties a pid to who connected (CVE-2013-4288, CVE-2019-6133).
    let Ok(pidfd) = peer::pidfd(fd) else { return Ok(caller) };
    let pidfd = pidfd.as_fd();
    let host = own.shared_by(pidfd, frozen.pid);
    caller.namespace = host.map(|host| if host { Namespace::Host } else { Namespace::Other }).into();
    caller.peer.real_uid = peer::real_uid(pidfd, frozen.pid, frozen.uid).filter(|real| *real != frozen.uid);
    if depth.looks_at_the_process()
        && let Ok(process) = peer::Process::open(pidfd, frozen.pid)
    {
        let start_time = depth.start.then(|| process.start_time()).flatten();
        let program = depth.program.then(|| process.exe()).flatten();
        let unit = depth.unit.then(|| process.unit()).flatten();
        let login_uid = depth.login_uid.then(|| process.login_uid()).flatten();
        // A path that a rule names is believed only where that very file lies there.
        let program =
            program.filter(|program| !(wanted.names_program)(&program.path) || program.lies_at_its_path());
        // Only now is it certain that all of this was about who connected.
        if process.alive() {
            caller.start_time = start_time.into();
            caller.exe = program.map(exe).into();
            caller.unit = unit.into();
            caller.login_uid = login_uid.map_or(Attr::Unknown, known_uid);
        }
    }
    Ok(caller)
}

fn exe(program: peer::Program) -> Exe {
    let peer::Program { path, device, inode, trusted } = program;
    Exe { path, device, inode, trusted: Attr::Known(trusted) }
}

#[cfg(test)]
mod tests;
