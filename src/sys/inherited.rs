//! The descriptors that a role was started with.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;

/// The first of them; 0, 1 and 2 are the standard streams.
const FIRST: RawFd = 3;

/// Takes the `count` descriptors from 3 on that [`super::process::Spawn`] placed, and has no later program
/// inherit them. To be called once, before the process opens anything of its own.
///
/// # Errors
///
/// `AlreadyExists` at a second call; EBADF where one is not open, which means that this process was not started
/// by a warden.
pub fn take(count: usize) -> io::Result<Vec<OwnedFd>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let end = RawFd::try_from(count).ok().and_then(|count| count.checked_add(FIRST));
    let end = end.ok_or(io::ErrorKind::InvalidInput)?;
    let mut taken = Vec::with_capacity(count);
    for raw in FIRST..end {
        // SAFETY: F_GETFD only looks at the number; a closed one is an error, checked here.
        if unsafe { libc::fcntl(raw, libc::F_GETFD) } == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is open, by the check above. It is owned by nobody else: this runs once, by the
        // flag above, and the caller has opened nothing, by the function's stated precondition.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        taken.push(fd);
    }
    Ok(taken)
}
