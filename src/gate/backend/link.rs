//! A connection to a backend: made by the warden, used for one caller connection alone.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, Shutdown};

use crate::gate::lane::Lane;
use crate::gate::stream::Stream;
use crate::model::ids::{BackendId, Generation, RequestId};
use crate::model::refusal::Refusal;

/// A connected stream socket, Unix or TCP: the gate does not need to know which.
#[derive(Debug)]
pub(in crate::gate) struct Link {
    socket: Stream,
    backend: BackendId,
    generation: Generation,
    reused: bool,
}

/// A link that rests between two requests of the same caller connection.
#[derive(Debug)]
pub(in crate::gate) struct Kept(Link);

/// Has the warden connect to `backend`, which it does after judging and recording by itself.
///
/// # Errors
///
/// The warden's refusal, or [`Refusal::Internal`] where the descriptor can't be used.
pub(in crate::gate) async fn open(
    lane: &Rc<Lane>,
    id: RequestId,
    backend: BackendId,
    generation: Generation,
) -> Result<Link, Refusal> {
    let socket = lane.open(id, backend, generation).await?;
    made(socket, id, backend, generation)
}

/// The same of a connection that the warden has opened.
///
/// # Errors
///
/// [`Refusal::Internal`] where the descriptor can't be used.
pub(in crate::gate) fn made(
    socket: OwnedFd,
    id: RequestId,
    backend: BackendId,
    generation: Generation,
) -> Result<Link, Refusal> {
    let socket = Stream::new(socket).map_err(|error| {
        tracing::error!(%id, "a backend's descriptor can't be used: {error}");
        Refusal::Internal
    })?;
    Ok(Link { socket, backend, generation, reused: false })
}

impl Link {
    /// Whether it served a request before, and so may have been closed by the backend meanwhile.
    pub(in crate::gate) fn is_reused(&self) -> bool {
        self.reused
    }

    /// Lets it rest until the next request.
    pub(in crate::gate) fn keep(self) -> Kept {
        Kept(self)
    }

    /// Reads some bytes; 0 at the end of the stream.
    pub(in crate::gate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_read(cx, |socket| Ok(nix::unistd::read(socket, into)?))
    }

    /// Writes some of `bytes`.
    pub(in crate::gate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.socket.poll_write(cx, |socket| nix::unistd::write(socket, bytes))
    }

    /// Says that nothing more will be written.
    pub(in crate::gate) fn shutdown_write(&self) {
        self.socket.shutdown(Shutdown::Write);
    }
}

impl Kept {
    /// The link, if it leads to that backend by that policy and the backend neither closed it nor said
    /// anything unasked (which would be taken for the next answer).
    pub(in crate::gate) fn reuse(self, backend: BackendId, generation: Generation) -> Option<Link> {
        let link = self.0;
        if link.backend != backend || link.generation != generation {
            return None;
        }
        let mut byte = [0];
        let fd = link.socket.as_fd().as_raw_fd();
        match nix::sys::socket::recv(fd, &mut byte, MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT) {
            Err(Errno::EAGAIN) => {
                // The first read of the answer need not ask once more.
                link.socket.await_news();
                Some(Link { reused: true, ..link })
            }
            _ => None,
        }
    }
}
