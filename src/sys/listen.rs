//! A listening socket that is right from its first moment: restrict, bind, own, verify, listen.
//!
//! Until `listen(2)` nobody can connect, whatever the mode; and from `bind(2)` on the name has mode 0600 or
//! less, since `fchmod(2)` on the unbound socket decides what `bind` creates and a umask can only narrow it.
//! `fstat`, `fchown` and `fchmod` on a *bound* socket act on sockfs and not on the name, so owner and mode are
//! set and judged through an O_PATH handle on the name. A lock beside the name lives as long as the listener:
//! only its holder removes a stale socket, and a second daemon stops before it has touched anything.

mod activated;
mod lock;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, accept4, bind, connect, setsockopt, socket, sockopt,
};
use nix::sys::stat::{FileStat, Mode, fchmod};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};

use super::trusted::{self, Directory, Judged, PERMISSIONS, Rule};
use lock::Lock;

pub use activated::{Activated, activated};

/// The mode of a directory that is made for sockets: everyone may pass, nobody may list, so that the socket's
/// own mode decides.
const DIRECTORY_MODE: u32 = 0o711;

/// The longest backlog that is asked for; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: libc::c_int = 4096;

/// A listener as the policy describes it.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// Where: an absolute path without links.
    pub path: &'a Path,
    /// The socket's permission bits, for instance 0o660.
    pub mode: u32,
    /// Who owns the socket; `None`: the process's own user.
    pub uid: Option<u32>,
    /// The socket's group; `None`: the process's own.
    pub gid: Option<u32>,
}

/// Why there is no listener.
#[derive(Debug)]
pub enum Refused {
    /// The path, or the socket there, broke a rule.
    Path(Judged),
    /// Another daemon holds the lock of this path.
    Locked {
        /// The lock's file.
        lock: PathBuf,
    },
    /// Something that is not ours answers at this path.
    InUse {
        /// The socket's path.
        path: PathBuf,
    },
    /// What the service manager handed over is not what the policy describes.
    Activated {
        /// The descriptor's number.
        fd: i32,
        /// The listener's path in the policy; empty where the environment itself is wrong.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl From<Judged> for Refused {
    fn from(judged: Judged) -> Refused {
        Refused::Path(judged)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Path(judged) => judged.fmt(f),
            Refused::Locked { lock } => write!(
                f,
                "another daemon holds the lock {lock:?}: stop it first, or give this one a path of its own"
            ),
            Refused::InUse { path } => {
                write!(f, "another service listens at {path:?}: stop it first, or name another path")
            }
            Refused::Activated { fd, path, why } => {
                write!(f, "descriptor {fd} from the service manager is not usable for {path:?}: {why}")
            }
        }
    }
}

// No `source`: Display says what the judgement says.
impl std::error::Error for Refused {}

/// A listening socket: non-blocking, close-on-exec, SO_PASSCRED (which its connections inherit). Dropping one
/// that was bound here removes its name, where that is still ours, and then its lock.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    /// What has to be tidied up; `None` for a socket of the service manager's.
    name: Option<Name>,
}

/// The name of a socket that was bound here.
#[derive(Debug)]
struct Name {
    directory: Directory,
    name: OsString,
    /// What was bound, judged and owned.
    bound: FileStat,
    /// Declared last, so that it is released last.
    _lock: Lock,
}

impl Listener {
    /// Makes a stream socket: walk and judge the directory (make it where it is missing), lock, remove what a
    /// dead daemon left, restrict, bind, own, verify. Nobody can connect before [`Listener::listen`].
    ///
    /// # Errors
    ///
    /// Which step found what; nothing is left behind, and nothing of anybody else's is touched.
    pub fn bind(wanted: &Wanted<'_>) -> Result<Listener, Refused> {
        Listener::bind_as(wanted, SockType::Stream)
    }

    /// The same for a socket of whole datagrams (SOCK_SEQPACKET).
    ///
    /// # Errors
    ///
    /// As [`Listener::bind`].
    pub fn bind_packets(wanted: &Wanted<'_>) -> Result<Listener, Refused> {
        Listener::bind_as(wanted, SockType::SeqPacket)
    }

    /// Lets callers connect. One of the service manager's listens already.
    ///
    /// # Errors
    ///
    /// What `listen(2)` answered.
    pub fn listen(&self) -> io::Result<()> {
        // SAFETY: listen(2) takes two integers and touches no memory.
        let answer = unsafe { libc::listen(self.fd.as_raw_fd(), BACKLOG) };
        Errno::result(answer).map(drop).map_err(io::Error::from)
    }

    fn bind_as(wanted: &Wanted<'_>, kind: SockType) -> Result<Listener, Refused> {
        let (parent, name) = trusted::split(wanted.path)?;
        let directory = trusted::ensure_directory(parent, DIRECTORY_MODE, None, None)?;
        let lock = Lock::take(&directory, name)?;
        remove_stale(&directory, name, wanted.uid)?;

        let refuse = |step| move |errno| Judged::kernel(wanted.path, step, errno);
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Unix, kind, flags, None).map_err(refuse("make a socket for"))?;
        // Restrict.
        fchmod(&fd, Mode::S_IRUSR | Mode::S_IWUSR).map_err(refuse("restrict"))?;
        bind(fd.as_raw_fd(), &address_in(&directory, name)?).map_err(refuse("bind"))?;
        // From here on the name is ours to remove: dropping the listener does it.
        let (handle, bound) = directory.look(name)?;
        let listener =
            Listener { fd, name: Some(Name { directory, name: name.to_owned(), bound, _lock: lock }) };
        judge_fresh(wanted.path, &bound)?;
        // Own, group before mode: the group's bits must not be there for another group.
        trusted::own(handle.as_fd(), wanted.uid, wanted.gid)
            .map_err(refuse("give its owner and group to"))?;
        trusted::chmod(handle.as_fd(), wanted.mode).map_err(refuse("give its mode to"))?;
        // Verify, by the name's own handle and not by the socket's.
        let now = nix::sys::stat::fstat(&handle).map_err(refuse("look at"))?;
        judge_socket(wanted, &now)?;
        same_as_bound(listener.fd.as_fd(), wanted.path, &now)?;
        if kind == SockType::Stream {
            // A control client is named once, when it connects; its messages come without ancillary data.
            setsockopt(&listener.fd, sockopt::PassCred, &true).map_err(refuse("set SO_PASSCRED on"))?;
        }
        Ok(listener)
    }

    /// Whether a name of this state is this socket's. Of one that the service manager handed over nothing is
    /// known but that it was right when it was adopted.
    #[must_use]
    pub fn is_named_by(&self, found: &FileStat) -> bool {
        self.name
            .as_ref()
            .is_none_or(|name| (name.bound.st_dev, name.bound.st_ino) == (found.st_dev, found.st_ino))
    }

    /// Takes the next connection: non-blocking, close-on-exec.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where none waits; EMFILE, ENFILE, ENOBUFS, ENOMEM where there is no room for it, and then it
    /// still waits; ECONNABORTED, EINTR, EPROTO for one that is gone.
    pub fn accept(&self) -> io::Result<OwnedFd> {
        let raw = accept4(self.fd.as_raw_fd(), SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK)?;
        // SAFETY: accept4 has just returned this descriptor, and nobody else knows its number.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        if self.name.is_none() {
            // Who connected before we adopted the listener did not inherit it.
            setsockopt(&fd, sockopt::PassCred, &true)?;
        }
        Ok(fd)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        // Under the lock, and only what we bound: where an administrator has put another socket there, it stays.
        // A failure leaves a stale socket, which the next start removes; there is nobody to tell.
        if let Ok((_handle, stat)) = self.directory.look(&self.name)
            && trusted::same_inode(&stat, &self.bound)
        {
            let _ = unlinkat(&self.directory, self.name.as_os_str(), UnlinkatFlags::NoRemoveDir);
        }
    }
}

/// The address of a name within a judged directory, whatever the directory's own name is by now. It is also
/// short enough for `sun_path` (108 bytes) where the whole path is not.
fn address_in(directory: &Directory, name: &OsStr) -> Result<UnixAddr, Judged> {
    let mut path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd()));
    path.push(name);
    UnixAddr::new(&path).map_err(|errno| Judged::kernel(&directory.path().join(name), "bind", errno))
}

/// Removes the socket of a daemon that is gone. The caller holds the lock.
fn remove_stale(directory: &Directory, name: &OsStr, uid: Option<u32>) -> Result<(), Refused> {
    let path = directory.path().join(name);
    let refuse = |step, errno| Refused::Path(Judged::kernel(&path, step, errno));
    let (handle, stat) = match directory.look(name) {
        Err(error) if error.errno() == Some(libc::ENOENT) => return Ok(()),
        found => found?,
    };
    match trusted::kind(&stat) {
        "socket" => {}
        "symbolic link" => return Err(Judged::new(&path, Rule::Link { leads_to: None }).into()),
        found => return Err(Judged::new(&path, Rule::Kind { wanted: "socket", found }).into()),
    }
    trusted::Owners::ours().and(uid).judge(&path, &stat)?;
    // A service that knows nothing of our lock may live here: only a socket that nobody listens on is stale.
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let probe = socket(AddressFamily::Unix, SockType::Stream, flags, None)
        .map_err(|errno| refuse("make a socket for", errno))?;
    let same = format!("/proc/self/fd/{}", handle.as_raw_fd());
    let address = UnixAddr::new(same.as_str()).map_err(|errno| refuse("connect to", errno))?;
    match connect(probe.as_raw_fd(), &address) {
        Err(Errno::ECONNREFUSED) => {}
        // A connection, a full backlog, or a socket of another type that is bound.
        Ok(()) | Err(Errno::EAGAIN | Errno::EPROTOTYPE) => return Err(Refused::InUse { path }),
        Err(errno) => return Err(refuse("connect to", errno)),
    }
    unlinkat(directory, name, UnlinkatFlags::NoRemoveDir).map_err(|errno| refuse("remove", errno))
}

/// What `bind` has just created: a socket of ours, with one name, that nobody else may connect to.
fn judge_fresh(path: &Path, stat: &FileStat) -> Result<(), Judged> {
    is_socket(path, stat)?;
    let us = geteuid().as_raw();
    if stat.st_uid != us {
        return Err(Judged::new(path, Rule::Owner { found: stat.st_uid, allowed: vec![us] }));
    }
    let mode = stat.st_mode & PERMISSIONS;
    if mode & !0o600 != 0 {
        return Err(Judged::new(path, Rule::Mode { found: mode, wanted: 0o600 }));
    }
    Ok(())
}

/// What the policy wants of the name, as its handle says.
fn judge_socket(wanted: &Wanted<'_>, stat: &FileStat) -> Result<(), Judged> {
    is_socket(wanted.path, stat)?;
    trusted::Owners::ours().and(wanted.uid).judge(wanted.path, stat)?;
    let mode = stat.st_mode & PERMISSIONS;
    if mode != wanted.mode {
        return Err(Judged::new(wanted.path, Rule::Mode { found: mode, wanted: wanted.mode }));
    }
    match wanted.gid {
        Some(gid) if gid != stat.st_gid => {
            Err(Judged::new(wanted.path, Rule::Group { found: stat.st_gid, wanted: gid }))
        }
        _ => Ok(()),
    }
}

fn is_socket(path: &Path, stat: &FileStat) -> Result<(), Judged> {
    match trusted::kind(stat) {
        "socket" if stat.st_nlink == 1 => Ok(()),
        #[allow(clippy::unnecessary_cast, reason = "its width differs between architectures")]
        "socket" => Err(Judged::new(path, Rule::Links { found: stat.st_nlink as u64 })),
        found => Err(Judged::new(path, Rule::Kind { wanted: "socket", found })),
    }
}

/// Where the kernel says which inode a socket is bound to (SIOCUNIXFILE, with CAP_NET_ADMIN), it must be the
/// one at the path. Without that right the judged directory alone vouches for it: only root and we write there.
fn same_as_bound(fd: BorrowedFd<'_>, path: &Path, at_path: &FileStat) -> Result<(), Judged> {
    /// `linux/un.h`; libc has no name for it.
    const SIOCUNIXFILE: libc::Ioctl = 0x89E0;
    // SAFETY: this request takes no argument and returns a new O_PATH descriptor or an error.
    let raw = unsafe { libc::ioctl(fd.as_raw_fd(), SIOCUNIXFILE) };
    let Ok(raw) = Errno::result(raw) else { return Ok(()) };
    // SAFETY: the kernel has just made this descriptor (close-on-exec), and nobody else knows its number.
    let bound = unsafe { OwnedFd::from_raw_fd(raw) };
    let bound = nix::sys::stat::fstat(&bound).map_err(|errno| Judged::kernel(path, "look at", errno))?;
    if trusted::same_inode(&bound, at_path) {
        return Ok(());
    }
    Err(Judged::kernel(path, "find our own socket at", Errno::ESTALE))
}

#[cfg(test)]
mod tests;
