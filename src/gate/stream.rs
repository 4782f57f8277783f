//! A connected stream socket in the lane's event loop, a caller's or a backend's.
//!
//! The loop is asked for what can be read, and for room to write only once there was none: a Unix socket tells of
//! room each time its peer reads (`unix(7)` has no low-water mark), which would wake the lane for nothing once a
//! message.

use std::cell::OnceCell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, Shutdown};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::sys::reactor;

/// One socket; non-blocking, and closed when dropped.
#[derive(Debug)]
pub(super) struct Stream {
    readable: AsyncFd<OwnedFd>,
    /// A duplicate that the loop watches for room, from the first time on that there was none.
    writable: OnceCell<AsyncFd<OwnedFd>>,
}

impl Stream {
    /// Has the lane's event loop watch `socket`, which has to be non-blocking.
    ///
    /// # Errors
    ///
    /// What `epoll_ctl(2)` answered.
    pub(super) fn new(socket: OwnedFd) -> io::Result<Stream> {
        let readable = reactor::watch(socket, Interest::READABLE)?;
        Ok(Stream { readable, writable: OnceCell::new() })
    }

    /// Has `read` read once the loop has word of something to read, and again where there was nothing after all.
    pub(super) fn poll_read<T>(
        &self,
        cx: &mut Context<'_>,
        mut read: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            let mut guard = ready!(self.readable.poll_read_ready(cx))?;
            match guard.try_io(|socket| read(socket.as_fd())) {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(result) => return Poll::Ready(result),
                Err(_would_block) => {}
            }
        }
    }

    /// Has `write` write, at once or when there is room.
    pub(super) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(BorrowedFd<'_>) -> nix::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if self.writable.get().is_none() {
            match write(self.as_fd()) {
                Err(Errno::EAGAIN) => {
                    let duplicate = self.readable.get_ref().try_clone()?;
                    // It was found empty above, and nobody else is in this thread.
                    self.writable.set(reactor::watch(duplicate, Interest::WRITABLE)?).ok();
                }
                result => return Poll::Ready(Ok(result?)),
            }
        }
        loop {
            let Some(writable) = self.writable.get() else { return Poll::Pending };
            let mut guard = ready!(writable.poll_write_ready(cx))?;
            match guard.try_io(|socket| Ok(write(socket.as_fd())?)) {
                Ok(result) => return Poll::Ready(result),
                Err(_would_block) => {}
            }
        }
    }

    /// Forgets what the loop last heard, because there is nothing more to read: the next read waits for news. To
    /// be called in the turn in which that was found out, or news that came since is forgotten with it.
    pub(super) fn await_news(&self) {
        let nothing = |_: &OwnedFd| io::Result::<()>::Err(io::ErrorKind::WouldBlock.into());
        // The answer is the one that was given.
        self.readable.try_io(Interest::READABLE, nothing).ok();
    }

    /// Whether there is nothing to read and the peer may still write, as far as the loop has heard: the kernel is asked
    /// only where it has.
    pub(super) fn is_quiet(&self) -> bool {
        let look = |socket: &OwnedFd| {
            let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
            Ok(nix::sys::socket::recv(socket.as_raw_fd(), &mut [0], flags)?)
        };
        let looked = self.readable.try_io(Interest::READABLE, look);
        looked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// `shutdown(2)`; a peer that is gone already has nothing to be told.
    pub(super) fn shutdown(&self, how: Shutdown) {
        nix::sys::socket::shutdown(self.as_fd().as_raw_fd(), how).ok();
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.readable.get_ref().as_fd()
    }
}
