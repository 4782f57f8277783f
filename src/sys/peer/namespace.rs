//! Whether a process lives in our own user and pid namespaces. Its mount namespace says nothing: PrivateTmp
//! makes one.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use nix::sys::stat::{FileStat, fstat, stat};

use super::alive;

/// `linux/pidfd.h`, Linux 6.11: `_IO(0xFF, 9)` and `_IO(0xFF, 5)`. Each returns a descriptor of nsfs.
const PIDFD_GET_USER_NAMESPACE: libc::Ioctl = 0xFF09;
const PIDFD_GET_PID_NAMESPACE: libc::Ioctl = 0xFF05;

/// A namespace's place in nsfs, which names it (`namespaces(7)`).
type Place = (libc::dev_t, libc::ino_t);

/// Our own user and pid namespaces: what callers are compared to.
#[derive(Debug)]
pub struct OwnNamespaces {
    user: Place,
    pid: Place,
    /// Both, open: as long as they are, the kernel keeps their inodes and makes none for each question.
    _open: [File; 2],
    /// What ids without a place in our user namespace read as: uid, gid.
    overflow: (u32, u32),
}

impl OwnNamespaces {
    /// Of this process.
    ///
    /// # Errors
    ///
    /// What the kernel answered; where /proc is not there, nobody's namespace can be known.
    pub fn read() -> io::Result<OwnNamespaces> {
        let (user, pid) = (File::open("/proc/self/ns/user")?, File::open("/proc/self/ns/pid")?);
        Ok(OwnNamespaces {
            user: fstat(&user).map(place)?,
            pid: fstat(&pid).map(place)?,
            _open: [user, pid],
            overflow: (overflow("uid")?, overflow("gid")?),
        })
    }

    /// The uid that every user reads as who has none in our user namespace (`user_namespaces(7)`).
    #[must_use]
    pub fn overflow_uid(&self) -> u32 {
        self.overflow.0
    }

    /// The gid likewise.
    #[must_use]
    pub fn overflow_gid(&self) -> u32 {
        self.overflow.1
    }

    /// Whether the process of this pidfd, with this pid, lives in both. `None`: it can't be told, because it is
    /// gone or we have no right to look (PTRACE_MODE_READ, `ptrace(2)`).
    #[must_use]
    pub fn shared_by(&self, pidfd: BorrowedFd<'_>, pid: i32) -> Option<bool> {
        let same = match self.shared_by_pidfd(pidfd) {
            // Linux before 6.11.
            Err(Errno::ENOTTY | Errno::EINVAL | Errno::EOPNOTSUPP) => self.shared_by_pid(pid),
            answer => answer,
        };
        // An answer about a process that is gone may be about nobody: the pid's next owner, or a corpse.
        same.ok().filter(|_same| alive(pidfd))
    }

    fn shared_by_pidfd(&self, pidfd: BorrowedFd<'_>) -> nix::Result<bool> {
        Ok(place_of(pidfd, PIDFD_GET_USER_NAMESPACE)? == self.user
            && place_of(pidfd, PIDFD_GET_PID_NAMESPACE)? == self.pid)
    }

    fn shared_by_pid(&self, pid: i32) -> nix::Result<bool> {
        let at = |kind| place_at(Path::new(&format!("/proc/{pid}/ns/{kind}")));
        Ok(at("user")? == self.user && at("pid")? == self.pid)
    }
}

fn place_of(pidfd: BorrowedFd<'_>, which: libc::Ioctl) -> nix::Result<Place> {
    // SAFETY: this request takes an argument that must be 0 and no pointer, and returns a new descriptor or an
    // error.
    let raw = unsafe { libc::ioctl(pidfd.as_raw_fd(), which, 0) };
    let raw = Errno::result(raw)?;
    // SAFETY: the kernel has just made this descriptor (close-on-exec), and nobody else knows its number.
    let namespace = unsafe { OwnedFd::from_raw_fd(raw) };
    fstat(&namespace).map(place)
}

fn place(stat: FileStat) -> Place {
    (stat.st_dev, stat.st_ino)
}

/// `stat` follows the entry to the namespace itself.
fn place_at(path: &Path) -> nix::Result<Place> {
    stat(path).map(place)
}

fn overflow(which: &str) -> io::Result<u32> {
    let text = std::fs::read_to_string(format!("/proc/sys/kernel/overflow{which}"))?;
    text.trim().parse().map_err(|_no_number| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::sys::peer::{Process, pidfd, real_uid};

    #[test]
    fn older_kernels_ways_answer_like_the_newer_ones() {
        let (a, _b) = UnixStream::pair().unwrap();
        let Ok(pidfd) = pidfd(&a) else { return };
        let pid = std::process::id().cast_signed();
        let own = OwnNamespaces::read().unwrap();
        assert_eq!(own.shared_by_pid(pid), Ok(true));
        assert_eq!(own.shared_by(pidfd.as_fd(), pid), Some(true));
        let (uid, euid) = (nix::unistd::getuid().as_raw(), nix::unistd::geteuid().as_raw());
        assert_eq!(Process::open(pidfd.as_fd(), pid).unwrap().uids(), Some((uid, euid)));
        assert_eq!(real_uid(pidfd.as_fd(), pid, euid), Some(uid));
        assert_eq!(real_uid(pidfd.as_fd(), pid, euid + 1), None);
    }
}
