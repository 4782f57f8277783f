//! Connecting to a backend's socket: the path is judged like our own, and what was judged is connected to.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

use super::{Judged, Owners, Rule, kind, open_for, split};
use crate::sys::peer;

/// How far a connection got.
#[must_use]
#[derive(Debug)]
pub enum Connecting {
    /// It stands: non-blocking, close-on-exec, and whoever listens there is the owner that was asked for.
    Connected(OwnedFd),
    /// The listener's backlog is full (EAGAIN): try again after a while. There is nothing to poll.
    Again,
}

/// Connects to a Unix stream socket without waiting. No link is followed; the directories on the way and the
/// socket must belong to root, us, or `owner`, and nobody else may write to the directories. Where `owner` is
/// given, who called `listen()` there must be that uid (SO_PEERCRED, `unix(7)`).
///
/// # Errors
///
/// The part of the path that broke a rule, and which rule; ECONNREFUSED, ENOENT, EACCES and the like in
/// [`Rule::Kernel`].
pub fn connect_unix(path: &Path, owner: Option<u32>) -> Result<Connecting, Judged> {
    connect_by(SockType::Stream, path, owner)
}

/// The same to a socket of whole datagrams (SOCK_SEQPACKET).
///
/// # Errors
///
/// As [`connect_unix`].
pub fn connect_packets(path: &Path, owner: Option<u32>) -> Result<Connecting, Judged> {
    connect_by(SockType::SeqPacket, path, owner)
}

fn connect_by(kind_of_socket: SockType, path: &Path, owner: Option<u32>) -> Result<Connecting, Judged> {
    let (parent, name) = split(path)?;
    let owners = Owners::ours().and(owner);
    let (handle, stat) = open_for(parent, &owners)?.look(name)?;
    match kind(&stat) {
        "socket" => {}
        "symbolic link" => {
            return Err(Judged::new(path, Rule::Link { leads_to: std::fs::canonicalize(path).ok() }));
        }
        found => return Err(Judged::new(path, Rule::Kind { wanted: "socket", found })),
    }
    owners.judge(path, &stat)?;

    let refuse = |errno| Judged::kernel(path, "connect to", errno);
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, kind_of_socket, flags, None).map_err(refuse)?;
    // The handle's own entry leads to the inode that was judged, whatever its name is by now.
    let same = format!("/proc/self/fd/{}", handle.as_raw_fd());
    let address = UnixAddr::new(same.as_str()).map_err(refuse)?;
    match connect(fd.as_raw_fd(), &address) {
        Err(Errno::EAGAIN) => return Ok(Connecting::Again),
        connected => connected.map_err(refuse)?,
    }
    if let Some(wanted) = owner {
        let found =
            peer::credentials(&fd).map_err(|error| Judged::io(path, "ask who listens at", &error))?.uid;
        if found != wanted {
            return Err(Judged::new(path, Rule::Listener { found, wanted }));
        }
    }
    Ok(Connecting::Connected(fd))
}
