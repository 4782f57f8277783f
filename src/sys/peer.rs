//! Who is at the other end of a Unix socket, as the kernel says it.
//!
//! Credentials and groups are frozen at `connect()` (`unix(7)`). Everything else is about a process that lives
//! on: it is read through the pidfd of who connected, or beside it, and believed only if that process is still
//! alive afterwards, since only then nobody else can have taken its pid in between.

mod namespace;
mod process;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, setsockopt, sockopt};

pub use namespace::OwnNamespaces;
pub use process::{Process, Program, real_uid};

/// SO_PEERCRED as it came (`ucred` in `unix(7)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials {
    /// Effective uid at `connect()` (or at `listen()`, for who connected); the overflow uid where it has none
    /// in our user namespace.
    pub uid: u32,
    /// Effective gid likewise.
    pub gid: u32,
    /// Process id; 0 where it has none in our pid namespace.
    pub pid: i32,
}

/// Who is at the other end.
///
/// # Errors
///
/// What the kernel answered; `InvalidData` where an id is -1, which is what a socket without a peer says.
pub fn credentials(fd: impl AsFd) -> io::Result<Credentials> {
    let ucred = getsockopt(&fd, sockopt::PeerCredentials)?;
    let credentials = Credentials { uid: ucred.uid(), gid: ucred.gid(), pid: ucred.pid() };
    if credentials.uid == u32::MAX || credentials.gid == u32::MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the socket's peer has no credentials"));
    }
    Ok(credentials)
}

/// The supplementary groups at `connect()`, whole (SO_PEERGROUPS, `socket(7)`).
///
/// # Errors
///
/// What the kernel answered.
pub fn groups(fd: impl AsFd) -> io::Result<Vec<u32>> {
    /// NGROUPS_MAX of Linux.
    const MOST: usize = 65_536;
    const SO_PEERGROUPS: libc::c_int = 59;
    let mut groups = vec![0_u32; 32];
    loop {
        match option_into(fd.as_fd(), SO_PEERGROUPS, &mut groups) {
            Ok(count) => {
                groups.truncate(count);
                return Ok(groups);
            }
            // The kernel then says how much room it needs, but a doubling is as good and believes nothing.
            Err(Errno::ERANGE) if groups.len() < MOST => groups.resize(groups.len() * 8, 0),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// A pidfd of who connected (SO_PEERPIDFD, Linux 6.5).
///
/// # Errors
///
/// ENOPROTOOPT before Linux 6.5; EINVAL or ESRCH where that process was gone already.
pub fn pidfd(fd: impl AsFd) -> io::Result<OwnedFd> {
    Ok(getsockopt(&fd, sockopt::PeerPidfd)?)
}

/// The security label at `connect()` (SO_PEERSEC, `socket(7)`), raw bytes without a NUL at their end.
///
/// # Errors
///
/// ENOPROTOOPT where no security module labels sockets; else what the kernel answered.
pub fn label(fd: impl AsFd) -> io::Result<Vec<u8>> {
    const SO_PEERSEC: libc::c_int = 31;
    const MOST: usize = 64 * 1024;
    let mut label = vec![0_u8; 128];
    loop {
        match option_into(fd.as_fd(), SO_PEERSEC, &mut label) {
            Ok(length) => {
                label.truncate(length);
                // SELinux counts the NUL, AppArmor does not.
                if label.last() == Some(&0) {
                    label.pop();
                }
                return Ok(label);
            }
            Err(Errno::ERANGE) if label.len() < MOST => label.resize(label.len() * 8, 0),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Sets SO_PASSCRED: each read then carries its sender, and so do the reads of what a listener accepts.
///
/// # Errors
///
/// What the kernel answered.
pub fn pass_credentials(fd: impl AsFd) -> io::Result<()> {
    Ok(setsockopt(&fd, sockopt::PassCred, &true)?)
}

/// Whether the process of a pidfd has not ended yet (a pidfd is readable from then on, `pidfd_open(2)`).
#[must_use]
pub fn alive(pidfd: BorrowedFd<'_>) -> bool {
    poll(&mut [PollFd::new(pidfd, PollFlags::POLLIN)], PollTimeout::ZERO) == Ok(0)
}

/// `getsockopt(2)` at SOL_SOCKET into plain numbers; how many of them the kernel filled.
fn option_into<T: Plain>(fd: BorrowedFd<'_>, option: libc::c_int, into: &mut [T]) -> nix::Result<usize> {
    let mut length = libc::socklen_t::try_from(size_of_val(into)).map_err(|_too_long| Errno::EINVAL)?;
    // SAFETY: `into` is exclusively borrowed and `length` is its size in bytes; the kernel writes at most that
    // many, and every bit pattern is a `Plain`.
    let answer = unsafe {
        libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, option, into.as_mut_ptr().cast(), &raw mut length)
    };
    Errno::result(answer)?;
    Ok(length as usize / size_of::<T>())
}

/// Numbers of which every bit pattern is one.
trait Plain {}
impl Plain for u8 {}
impl Plain for u32 {}
