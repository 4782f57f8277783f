//! After a 101: bytes both ways until both sides are done, each read from the caller still checked for its
//! sender. The outcome is recorded when the tunnel ends.

use std::future::poll_fn;
use std::io;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll};

use nix::sys::socket::Shutdown;

use super::backend::link::Link;
use super::connection::{self, Connection};
use super::guard::Guarded;
use crate::model::outcome::Outcome;
use crate::model::refusal::Refusal;

const BUFFER: usize = 16 << 10;

/// A backend that has switched protocols, and what it sent right behind its 101.
pub(super) struct Tunnel {
    link: Link,
    rest: Vec<u8>,
}

impl Tunnel {
    pub(super) fn new(link: Link, rest: Vec<u8>) -> Tunnel {
        Tunnel { link, rest }
    }

    /// Carries bytes until both ends are done or the connection is ended from outside.
    pub(super) async fn run(self, connection: &Connection, mut guarded: Guarded) {
        let mut out = Half { pending: guarded.take_rest(), ..Half::default() };
        let mut back = Half { pending: self.rest, ..Half::default() };
        connection.count_in(out.pending.len() as u64);
        connection.count_out(back.pending.len() as u64);
        let socket = guarded.socket();
        let link = &self.link;
        let carried = connection::unless_ended(
            connection,
            poll_fn(|cx| {
                let there = out.poll(
                    cx,
                    |cx, into| match Guarded::poll_receive(socket, connection, cx, into) {
                        Poll::Ready(Ok(Ok(n))) => {
                            connection.count_in(n as u64);
                            Poll::Ready(Ok(n))
                        }
                        Poll::Ready(Ok(Err(refusal))) => {
                            connection.fail(refusal);
                            Poll::Ready(Err(Broke::Caller(io::ErrorKind::PermissionDenied.into())))
                        }
                        Poll::Ready(Err(error)) => Poll::Ready(Err(Broke::Caller(error))),
                        Poll::Pending => Poll::Pending,
                    },
                    |cx, bytes| link.poll_write(cx, bytes).map_err(Broke::Backend),
                    || link.shutdown_write(),
                )?;
                let here = back.poll(
                    cx,
                    |cx, into| {
                        let read = link.poll_read(cx, into).map_err(Broke::Backend);
                        if let Poll::Ready(Ok(n)) = &read {
                            connection.count_out(*n as u64);
                        }
                        read
                    },
                    |cx, bytes| {
                        let write = |socket: BorrowedFd<'_>| nix::unistd::write(socket, bytes);
                        socket.poll_write(cx, write).map_err(Broke::Caller)
                    },
                    || {
                        socket.shutdown(Shutdown::Write);
                    },
                )?;
                // A backend that is done has nothing more to hear: Docker ends an exec so.
                match (there, here) {
                    (_, Poll::Ready(())) if back.done => Poll::Ready(Ok(())),
                    (Poll::Ready(()), Poll::Ready(())) => Poll::Ready(Ok(())),
                    _ => Poll::Pending,
                }
            }),
        )
        .await;
        connection.settle(match carried {
            Err(ended) => ended,
            Ok(Ok(())) => Outcome::TunnelClosed,
            Ok(Err(Broke::Caller(error))) => {
                tracing::debug!(id = %connection.id, "a tunnel's caller broke it: {error}");
                connection.failure().map_or(Outcome::CallerGone, Outcome::Failed)
            }
            Ok(Err(Broke::Backend(error))) => {
                tracing::debug!(id = %connection.id, "a tunnel's backend broke it: {error}");
                Outcome::Failed(Refusal::BackendDied)
            }
        });
    }
}

/// A tunnel that ended otherwise than by both sides closing, and by whom.
enum Broke {
    Caller(io::Error),
    Backend(io::Error),
}

/// One direction.
#[derive(Default)]
struct Half {
    /// Read and not yet written.
    pending: Vec<u8>,
    at: usize,
    /// The reading side ended, and the writing side was told.
    done: bool,
}

impl Half {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut read: impl FnMut(&mut Context<'_>, &mut [u8]) -> Poll<Result<usize, Broke>>,
        mut write: impl FnMut(&mut Context<'_>, &[u8]) -> Poll<Result<usize, Broke>>,
        mut end: impl FnMut(),
    ) -> Result<Poll<()>, Broke> {
        // A bound on the rounds of one turn, so that one busy tunnel does not hold up the lane.
        for _ in 0..16 {
            if self.done {
                return Ok(Poll::Ready(()));
            }
            while let Some(rest) = self.pending.get(self.at..).filter(|rest| !rest.is_empty()) {
                match write(cx, rest) {
                    Poll::Ready(n) => self.at += n?,
                    Poll::Pending => return Ok(Poll::Pending),
                }
            }
            self.at = 0;
            self.pending.resize(BUFFER, 0);
            match read(cx, &mut self.pending) {
                Poll::Ready(Ok(0)) => {
                    self.pending.clear();
                    end();
                    self.done = true;
                }
                Poll::Ready(Ok(n)) => self.pending.truncate(n),
                Poll::Ready(Err(error)) => {
                    self.pending.clear();
                    return Err(error);
                }
                Poll::Pending => {
                    self.pending.clear();
                    return Ok(Poll::Pending);
                }
            }
        }
        cx.waker().wake_by_ref();
        Ok(Poll::Pending)
    }
}
