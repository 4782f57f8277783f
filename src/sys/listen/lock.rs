//! The lock beside a socket: `.NAME.lock`, 0600, held by `flock(2)` on an open file, so that the kernel
//! releases it however its holder ends.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::libc;
use nix::sys::stat::{Mode, fchmod, fstat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};

use super::Refused;
use crate::sys::trusted::{self, Directory, Judged, Rule};

/// A lock that is held. Dropping it removes its file, while it is still held, and then releases it.
#[derive(Debug)]
pub(super) struct Lock {
    /// The directory, by a handle of its own: it must outlive whatever else holds one.
    directory: OwnedFd,
    name: OsString,
    /// The lock is on its open file.
    file: OwnedFd,
}

impl Lock {
    /// Takes the lock of `name` in a judged directory, without waiting.
    pub(super) fn take(directory: &Directory, socket: &OsStr) -> Result<Lock, Refused> {
        let mut name = OsString::from(".");
        name.push(socket);
        name.push(".lock");
        let path = directory.path().join(&name);
        let refuse = |step, errno| Judged::kernel(&path, step, errno);
        loop {
            let flags =
                OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
            let file = openat(directory, name.as_os_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR).map_err(
                |errno| match errno {
                    Errno::ELOOP => Judged::new(&path, Rule::Link { leads_to: None }),
                    errno => refuse("open", errno),
                },
            )?;
            let stat = fstat(&file).map_err(|errno| refuse("look at", errno))?;
            let kind = trusted::kind(&stat);
            if kind != "regular file" {
                return Err(Judged::new(&path, Rule::Kind { wanted: "regular file", found: kind }).into());
            }
            let us = geteuid().as_raw();
            if stat.st_uid != us {
                return Err(Judged::new(&path, Rule::Owner { found: stat.st_uid, allowed: vec![us] }).into());
            }
            // What the umask took, or somebody gave.
            fchmod(&file, Mode::S_IRUSR | Mode::S_IWUSR).map_err(|errno| refuse("restrict", errno))?;
            // SAFETY: flock(2) takes two integers and touches no memory.
            let answer = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
            match Errno::result(answer) {
                Ok(_) => {}
                Err(Errno::EWOULDBLOCK) => return Err(Refused::Locked { lock: path }),
                Err(errno) => return Err(refuse("lock", errno).into()),
            }
            // Its last holder may have removed the file between our open and our lock; then what we hold is the
            // lock of no name.
            match directory.look(&name) {
                Ok((_handle, now)) if trusted::same_inode(&now, &stat) => {
                    let directory = directory
                        .as_fd()
                        .try_clone_to_owned()
                        .map_err(|error| Judged::io(&path, "keep", &error))?;
                    return Ok(Lock { directory, name, file });
                }
                Ok(_another) => {}
                Err(error) if error.errno() == Some(libc::ENOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while it is still held. Where that fails, an unlocked file stays, which does no harm.
        let _ = unlinkat(&self.directory, self.name.as_os_str(), UnlinkatFlags::NoRemoveDir);
        // Closing alone would not release it while a child, forked and not yet become a role, holds a copy.
        // SAFETY: flock(2) takes two integers and touches no memory.
        unsafe { libc::flock(self.file.as_raw_fd(), libc::LOCK_UN) };
    }
}
