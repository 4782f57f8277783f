//! Descriptors that an event loop of tokio watches.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has the current runtime's event loop watch `fd` for what is of `interest`. It has to be non-blocking.
///
/// # Errors
///
/// What `epoll_ctl(2)` answered.
pub fn watch(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the loop may use the descriptor's number for as long as it is registered. An OwnedFd gives the
    // same number at each call, and keeps it open until it is dropped, which AsyncFd does after deregistering.
    unsafe { AsyncFd::register_with_interest(fd, interest) }.map_err(|error| error.into_parts().1)
}
