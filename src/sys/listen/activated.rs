//! Sockets that a service manager made and listens on before we start (`sd_listen_fds(3)`), judged as if they
//! were our own.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::libc;
use nix::sys::socket::{SockType, UnixAddr, getsockname, getsockopt, setsockopt, sockopt};

use super::{Listener, Refused, Wanted, judge_socket, same_as_bound};
use crate::sys::trusted::{self, Directory, Judged};

/// The first descriptor that a service manager hands over.
const FIRST: RawFd = 3;

/// One descriptor that was handed over, not yet judged.
#[derive(Debug)]
pub struct Activated {
    /// Its name (`FileDescriptorName=`), where the service manager gave names.
    pub name: Option<String>,
    pub(super) fd: OwnedFd,
}

/// Takes what the service manager handed over, once; a second call finds nothing. The arguments are the values
/// of LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES. Without the first two, or with another process's LISTEN_PID,
/// nothing was handed over to us.
///
/// # Errors
///
/// Where the variables can't be read, or promise a descriptor that is not there.
pub fn activated(
    pid: Option<&OsStr>,
    fds: Option<&OsStr>,
    names: Option<&OsStr>,
) -> Result<Vec<Activated>, Refused> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let promised = promised(std::process::id(), pid, fds, names)?;
    if promised.is_empty() || TAKEN.swap(true, Ordering::SeqCst) {
        return Ok(Vec::new());
    }
    (FIRST..).zip(promised).map(|(raw, name)| Ok(Activated { name, fd: take(raw)? })).collect()
}

/// What the variables promise to the process `us`: a name, or none, for each descriptor from 3 on.
fn promised(
    us: u32,
    pid: Option<&OsStr>,
    fds: Option<&OsStr>,
    names: Option<&OsStr>,
) -> Result<Vec<Option<String>>, Refused> {
    let wrong = |why| Refused::Activated { fd: FIRST, path: PathBuf::new(), why };
    let (Some(pid), Some(fds)) = (pid, fds) else { return Ok(Vec::new()) };
    let pid: u32 = plain_number(pid).ok_or_else(|| wrong("LISTEN_PID is not a number"))?;
    if pid != us {
        return Ok(Vec::new());
    }
    let count: u16 = plain_number(fds).ok_or_else(|| wrong("LISTEN_FDS is not a number"))?;
    let Some(names) = names else { return Ok(vec![None; usize::from(count)]) };
    let names = names.to_str().ok_or_else(|| wrong("LISTEN_FDNAMES is not text"))?;
    let names: Vec<Option<String>> = names.split(':').map(|name| Some(name.to_owned())).collect();
    if names.len() != usize::from(count) {
        return Err(wrong("LISTEN_FDNAMES does not name as many descriptors as LISTEN_FDS counts"));
    }
    Ok(names)
}

/// Digits only: `parse` alone would take a sign.
fn plain_number<T: std::str::FromStr>(text: &OsStr) -> Option<T> {
    text.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

fn take(raw: RawFd) -> Result<OwnedFd, Refused> {
    // SAFETY: fcntl(2) with F_GETFD takes two integers and touches no memory.
    let there = unsafe { libc::fcntl(raw, libc::F_GETFD) };
    if Errno::result(there).is_err() {
        let why = "LISTEN_FDS counts it, and it is not open";
        return Err(Refused::Activated { fd: raw, path: PathBuf::new(), why });
    }
    // SAFETY: it is open (just asked), LISTEN_PID says that it was given to this very process to own, and
    // `activated` hands each number out once, so that nobody else in the process owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(raw) };
    fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))
        .map_err(|errno| Judged::kernel(Path::new("/proc/self/fd"), "close on exec", errno))?;
    Ok(fd)
}

impl Activated {
    /// The path that it is bound to; `None` where it is bound to none (unnamed, abstract, or no Unix socket).
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        bound_path(self.fd.as_fd())
    }
}

fn bound_path(fd: BorrowedFd<'_>) -> Option<PathBuf> {
    let address: UnixAddr = getsockname(fd.as_raw_fd()).ok()?;
    address.path().map(Path::to_owned)
}

impl Listener {
    /// Takes a socket of the service manager's, where it is what the policy describes: a Unix stream socket
    /// that listens, bound to the policy's path; directory and name are judged as our own. Its name stays when
    /// the listener is dropped: it is the service manager's.
    ///
    /// # Errors
    ///
    /// What it is instead.
    pub fn adopt(activated: Activated, wanted: &Wanted<'_>) -> Result<Listener, Refused> {
        let fd = activated.fd;
        let raw = fd.as_raw_fd();
        let wrong = |why| Refused::Activated { fd: raw, path: wanted.path.to_owned(), why };
        let (parent, name) = trusted::split(wanted.path)?;

        let address: UnixAddr =
            getsockname(raw).map_err(|_no_socket| wrong("it is no Unix socket (AF_UNIX)"))?;
        if getsockopt(&fd, sockopt::SockType) != Ok(SockType::Stream) {
            return Err(wrong("it is no stream socket (ListenStream=)"));
        }
        if getsockopt(&fd, sockopt::AcceptConn) != Ok(true) {
            return Err(wrong("it does not listen (Accept=no)"));
        }
        match address.path() {
            Some(path) if path == wanted.path => {}
            Some(_other) => return Err(wrong("it is bound to another path")),
            None if address.as_abstract().is_some() => {
                return Err(wrong("it is an abstract socket, which has no mode and no owner"));
            }
            None => return Err(wrong("it is bound to no path")),
        }

        let (_handle, stat) = Directory::open(parent)?.look(name)?;
        judge_socket(wanted, &stat)?;
        same_as_bound(fd.as_fd(), wanted.path, &stat)?;

        let refuse = |step| move |errno| Refused::Path(Judged::kernel(wanted.path, step, errno));
        setsockopt(&fd, sockopt::PassCred, &true).map_err(refuse("set SO_PASSCRED on"))?;
        let flags = fcntl(&fd, FcntlArg::F_GETFL).map_err(refuse("read the flags of"))?;
        let flags = OFlag::from_bits_retain(flags) | OFlag::O_NONBLOCK;
        fcntl(&fd, FcntlArg::F_SETFL(flags)).map_err(refuse("make non-blocking"))?;
        Ok(Listener { fd, name: None })
    }
}
