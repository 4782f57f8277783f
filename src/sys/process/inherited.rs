//! What a role finds when it wakes: the descriptors that the warden put at 3 and on.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::FIRST;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// The descriptors from [`FIRST`] on that this process was started with, close-on-exec from now on. They can be
/// had once, before anything else is opened.
///
/// # Errors
///
/// `AlreadyExists` at the second call; EBADF where one of them is not open.
pub fn inherited(count: usize) -> io::Result<Vec<OwnedFd>> {
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the given descriptors are taken already"));
    }
    let count = RawFd::try_from(count).map_err(io::Error::other)?;
    let wanted = FIRST..FIRST.saturating_add(count);
    for raw in wanted.clone() {
        // SAFETY: the number is only asked about, and only during this call; one that is not open is EBADF.
        let fd = unsafe { BorrowedFd::borrow_raw(raw) };
        fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    }
    // SAFETY: all of them are open, as the loop above saw. The process was started with them and has opened
    // nothing that it knows by these numbers, and TAKEN lets nobody own them a second time.
    Ok(wanted.map(|raw| unsafe { OwnedFd::from_raw_fd(raw) }).collect())
}
