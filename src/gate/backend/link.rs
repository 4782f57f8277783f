//! A connection to a backend: made by the warden, used for one caller connection alone.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use nix::sys::socket::Shutdown;

use crate::gate::head::{Expected, HeadLimits, ResponseGuard};
use crate::gate::lane::{InForce, Lane};
use crate::gate::stream::Stream;
use crate::model::ids::{BackendId, Generation, RequestId};
use crate::model::refusal::Refusal;

/// A connected stream socket, Unix or TCP: the gate does not need to know which.
#[derive(Debug)]
pub(in crate::gate) struct Link {
    socket: Stream,
    /// Reads what the backend says.
    pub(in crate::gate) guard: Box<ResponseGuard>,
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
    policy: &InForce,
) -> Result<Link, Refusal> {
    let socket = lane.open(id, backend, policy.generation).await?;
    made(socket, id, backend, policy)
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
    policy: &InForce,
) -> Result<Link, Refusal> {
    let socket = Stream::new(socket).map_err(|error| {
        tracing::error!(%id, "a backend's descriptor can't be used: {error}");
        Refusal::Internal
    })?;
    let limits = HeadLimits::new(&policy.decider.policy().limits, false, Arc::from([]));
    let guard = Box::new(ResponseGuard::new(limits, Expected::default()));
    Ok(Link { socket, guard, backend, generation: policy.generation, reused: false })
}

impl Link {
    /// Whether it served a request before, and so may have been closed by the backend meanwhile.
    pub(in crate::gate) fn is_reused(&self) -> bool {
        self.reused
    }

    /// Lets it rest until the next request, where its answer is over and another may follow.
    pub(in crate::gate) fn keep(mut self) -> Option<Kept> {
        if !self.guard.next(Expected::default()) {
            return None;
        }
        self.guard.rest();
        Some(Kept(self))
    }

    /// Reads some bytes for the guard; 0 at the end of the stream.
    pub(in crate::gate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let spare = self.guard.spare();
        let read = ready!(self.socket.poll_read(cx, |socket| Ok(nix::unistd::read(socket, &mut *spare)?)));
        match read {
            Ok(0) => self.guard.closed(),
            // A read that left room is not the last one: on a Unix socket it ends behind descriptors too (`unix(7)`),
            // and what is queued by then makes no news.
            Ok(count) => self.guard.filled(count),
            Err(_) => {}
        }
        Poll::Ready(read)
    }

    /// Reads some bytes past the guard; 0 at the end of the stream.
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
    /// The link, if it leads to that backend by that policy and the backend neither closed it nor said anything unasked
    /// (which would be taken for the next answer). The kernel is asked, unless it has said already that there is nothing.
    pub(in crate::gate) fn reuse(self, backend: BackendId, generation: Generation) -> Option<Link> {
        let link = self.0;
        let fits = link.backend == backend && link.generation == generation && link.socket.is_quiet();
        fits.then(|| Link { reused: true, ..link })
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::os::fd::{AsFd, AsRawFd};
    use std::time::Duration;

    use nix::sys::socket::{
        AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair,
    };

    use super::*;
    use crate::gate::head::Event;

    /// Nothing that works takes so long.
    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn answer_is_read_whole_though_descriptors_came_with_its_beginning() {
        let (ours, backend) =
            socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_NONBLOCK).unwrap();
        let begin = [IoSlice::new(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha")];
        let descriptors = [backend.as_fd().as_raw_fd()];
        let along = [ControlMessage::ScmRights(&descriptors)];
        sendmsg::<()>(backend.as_raw_fd(), &begin, &along, MsgFlags::empty(), None).unwrap();
        nix::unistd::write(&backend, b"lf").unwrap();
        let mut link = Link {
            socket: Stream::new(ours).unwrap(),
            guard: Box::new(ResponseGuard::new(HeadLimits::default(), Expected::default())),
            backend: BackendId(0),
            generation: Generation(1),
            reused: false,
        };
        let mut body = Vec::new();
        loop {
            match link.guard.step().unwrap() {
                Event::NeedMore => {
                    let filled = std::future::poll_fn(|cx| link.poll_fill(cx));
                    tokio::time::timeout(PATIENCE, filled).await.expect("the rest is read").unwrap();
                }
                Event::Head(_) => {}
                Event::Body(count) => {
                    body.extend_from_slice(link.guard.body());
                    link.guard.consume(count);
                }
                Event::End | Event::Closed => break,
            }
        }
        assert_eq!(body, b"half");
    }
}
