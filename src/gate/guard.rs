//! Between a caller's socket and hyper: reads the socket with each read's sender, has the head guard judge the
//! bytes, and gives hyper only what the guard wrote itself.
//!
//! One request at a time: the next head is not looked at before the running exchange is settled, so what hyper
//! answers and what was judged can't get out of step. A head that is refused reaches hyper as a plain request
//! that ends the connection, and the journey answers it by the refusal's name.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use nix::sys::socket::Shutdown;

use super::connection::Connection;
use super::deadline::Phase;
use super::head::{Event, Framing, Glimpse, Head, HeadLimits, LAST_CHUNK, RequestGuard, chunk_size};
use super::stream::Stream;
use crate::model::refusal::Refusal;
use crate::sys::receive::{Received, receive};

/// How much of what a refused caller still sends is read and thrown away, so that it can read its answer.
const LINGER_BYTES: usize = 1 << 20;
/// And for how long.
const LINGER: Duration = Duration::from_secs(2);

/// What hyper gets to see of a head that was refused.
const REFUSED_HEAD: &[u8] = b"GET /refused HTTP/1.1\r\nHost: refused\r\nConnection: close\r\n\r\n";

/// What the guard read, for the journey to take.
pub(super) enum Judged {
    /// A whole head that follows every rule.
    Request(Box<Head>),
    /// A head that breaks one.
    Refused {
        /// Which.
        refusal: Refusal,
        /// Its method, as far as it came.
        method: Vec<u8>,
        /// Its target, as far as it came.
        target: Vec<u8>,
    },
}

/// Where the reading stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// A head may come.
    Head,
    /// A body is on its way.
    Body,
    /// The message is read; its exchange is not settled yet.
    Held,
    /// Nothing more is read for hyper.
    Over,
}

/// The socket as hyper sees it.
pub(super) struct Guarded {
    socket: Stream,
    guard: RequestGuard,
    connection: Rc<Connection>,
    reading: Reading,
    /// The present body goes to hyper in chunks.
    chunked: bool,
    /// Written by the guard, not yet taken by hyper.
    ready: Vec<u8>,
    ready_at: usize,
    /// The caller will send no more.
    half_closed: bool,
    /// A body was left unread: linger before closing.
    unread: bool,
}

impl Guarded {
    pub(super) fn new(socket: Stream, connection: Rc<Connection>) -> Guarded {
        let in_force = connection.lane.policy();
        let policy = in_force.decider.policy();
        let browsers = policy.listener(connection.listener).is_some_and(|listener| listener.browsers);
        connection.await_request(policy.limits.idle_ms);
        let guard =
            RequestGuard::new(HeadLimits::new(&policy.limits, browsers, Arc::clone(&in_force.methods)));
        Guarded {
            socket,
            guard,
            connection,
            reading: Reading::Head,
            chunked: false,
            ready: Vec::with_capacity(512),
            ready_at: 0,
            half_closed: false,
            unread: false,
        }
    }

    /// The failure that ended the reading, if one did.
    pub(super) fn failure(&self) -> Option<Refusal> {
        self.connection.failure()
    }

    /// What was read beyond the last request, once its backend has answered 101: the tunnel's first bytes.
    pub(super) fn take_rest(&mut self) -> Vec<u8> {
        // The request's end was not asked for yet where hyper knew its length.
        let ended = matches!(self.guard.step(), Ok(Event::End));
        match (ended && self.guard.tunnel()).then(|| self.guard.step()) {
            Some(Ok(Event::Body(_))) => self.guard.body().to_vec(),
            _ => Vec::new(),
        }
    }

    /// The socket, for a tunnel.
    pub(super) fn socket(&self) -> &Stream {
        &self.socket
    }

    /// Reads from the caller and checks who sent it. 0 bytes at the end of the stream.
    ///
    /// # Errors
    ///
    /// The sender is not who connected, or ancillary data came; the connection has to end.
    pub(super) fn poll_receive(
        socket: &Stream,
        connection: &Connection,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<Result<usize, Refusal>>> {
        if connection.looks_again() {
            match receive(socket.as_fd(), into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result.map(|received| judge_sender(connection, &received))),
            }
        }
        let received = ready!(socket.poll_read(cx, |socket| receive(socket, into)));
        Poll::Ready(received.map(|received| judge_sender(connection, &received)))
    }

    /// Has the guard go on until hyper has something to take, or there is nothing to be had now.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut emptied = false;
        while self.ready_at == self.ready.len() {
            match self.reading {
                Reading::Over => return Poll::Ready(Ok(())),
                Reading::Held if self.connection.busy() => return Poll::Pending,
                Reading::Held => self.next_message(),
                Reading::Head | Reading::Body => {}
            }
            if self.reading == Reading::Head && self.connection.is_over() && self.guard.is_idle() {
                self.reading = Reading::Over;
                return Poll::Ready(Ok(()));
            }
            if let Some(phase) =
                self.connection.deadlines.take_expired(&[Phase::Idle, Phase::Head, Phase::Body])
            {
                if phase == Phase::Idle {
                    self.reading = Reading::Over;
                    return Poll::Ready(Ok(()));
                }
                self.refuse(phase.refusal())?;
                continue;
            }
            match self.guard.step() {
                Ok(Event::NeedMore) => emptied = ready!(self.poll_fill(cx))?,
                Ok(Event::Head(head)) => {
                    if emptied && self.guard.buffered() == 0 && !head.framing().has_body() {
                        self.await_news();
                    }
                    self.begin(head);
                }
                Ok(Event::Body(count)) if self.chunked => self.write_chunk(count),
                Ok(Event::Body(_)) => return Poll::Ready(Ok(())),
                Ok(Event::End) => {
                    self.connection.deadlines.lift(Phase::Body);
                    self.reading = Reading::Held;
                    if std::mem::take(&mut self.chunked) {
                        self.write(|ready| ready.extend_from_slice(LAST_CHUNK));
                    }
                }
                Ok(Event::Closed) => self.reading = Reading::Over,
                Err(refusal) => self.refuse(refusal)?,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The read that brought a whole request left room, so that most likely nothing more is there, and the next
    /// read waits for the event loop's word instead of asking the kernel once more. To be called in the same turn
    /// as that read: news that the loop hears later must not be forgotten.
    ///
    /// A read ends early too where another process's bytes begin. Those make no news if they were there already,
    /// so the sweeper has the kernel asked again.
    fn await_news(&self) {
        self.socket.await_news();
        self.connection.doubt_silence();
    }

    /// Has hyper read what `write` writes next.
    fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.ready.clear();
        self.ready_at = 0;
        write(&mut self.ready);
    }

    /// Frames verified bytes of a chunked body anew.
    fn write_chunk(&mut self, count: usize) {
        self.ready.clear();
        self.ready_at = 0;
        chunk_size(count, &mut self.ready);
        self.ready.extend_from_slice(self.guard.body());
        self.ready.extend_from_slice(b"\r\n");
        self.guard.consume(count);
    }

    fn next_message(&mut self) {
        self.guard.next();
        self.reading = Reading::Head;
        let idle_ms = self.connection.lane.policy().decider.policy().limits.idle_ms;
        self.connection.await_request(idle_ms);
    }

    fn begin(&mut self, head: Box<Head>) {
        self.connection.deadlines.lift(Phase::Head);
        self.connection.deadlines.lift(Phase::Idle);
        self.write(|ready| head.write_for_engine(ready));
        self.reading = Reading::Body;
        self.chunked = head.framing() == Framing::Chunked;
        *self.connection.judged.borrow_mut() = Some(Judged::Request(head));
    }

    /// Reads some more from the socket into the guard; whether that left room.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let spare = self.guard.spare();
        let room = spare.len();
        let received = Guarded::poll_receive(&self.socket, &self.connection, cx, spare);
        let limits = |connection: &Connection| {
            let policy = connection.lane.policy();
            let limits = &policy.decider.policy().limits;
            (limits.head_ms, limits.body_idle_ms)
        };
        match received {
            Poll::Pending => {
                let (head_ms, body_idle_ms) = limits(&self.connection);
                match self.reading {
                    Reading::Body if self.connection.streams() => {}
                    Reading::Body => self.connection.deadlines.expect_from_now(Phase::Body, body_idle_ms),
                    _ if !self.guard.is_idle() => {
                        self.connection.deadlines.lift(Phase::Idle);
                        self.connection.deadlines.expect_from_now(Phase::Head, head_ms);
                    }
                    _ => {}
                }
                return Poll::Pending;
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(Err(refusal))) => self.refuse(refusal)?,
            Poll::Ready(Ok(Ok(0))) => {
                self.half_closed = true;
                self.guard.closed();
            }
            Poll::Ready(Ok(Ok(n))) => {
                self.connection.deadlines.lift(Phase::Body);
                self.guard.filled(n);
                return Poll::Ready(Ok(n < room));
            }
        }
        Poll::Ready(Ok(false))
    }

    /// Ends the reading by a refusal: instead of a head, hyper gets one that the journey refuses; inside a
    /// body, hyper gets an error and the exchange fails by this name.
    fn refuse(&mut self, refusal: Refusal) -> io::Result<()> {
        self.unread = true;
        if self.reading == Reading::Body {
            self.reading = Reading::Over;
            self.connection.fail(refusal);
            return Err(io::Error::new(io::ErrorKind::InvalidData, refusal.code()));
        }
        self.reading = Reading::Over;
        self.connection.deadlines.lift(Phase::Head);
        self.connection.deadlines.lift(Phase::Idle);
        self.write(|ready| ready.extend_from_slice(REFUSED_HEAD));
        let Glimpse { method, target } = self.guard.glimpse();
        let judged = Judged::Refused { refusal, method: method.to_vec(), target: target.to_vec() };
        *self.connection.judged.borrow_mut() = Some(judged);
        Ok(())
    }

    /// Closes in an order that lets the caller read its answer: no more from us, then for a moment whatever it
    /// still sends is thrown away.
    pub(super) async fn say_goodbye(mut self) {
        // A message of which only the end was not asked for is read.
        let whole = self.reading != Reading::Body || matches!(self.guard.step(), Ok(Event::End));
        if (self.unread || !whole) && !self.half_closed {
            self.socket.shutdown(Shutdown::Write);
            tokio::time::timeout(LINGER, self.discard()).await.ok();
        }
    }

    async fn discard(&self) {
        let mut left = LINGER_BYTES;
        let mut bytes = [0; 4096];
        let read = |cx: &mut Context<'_>| {
            self.socket.poll_read(cx, |socket| Ok(nix::unistd::read(socket, &mut bytes)?))
        };
        let mut read = read;
        while left > 0 {
            match std::future::poll_fn(&mut read).await {
                Ok(0) | Err(_) => return,
                Ok(n) => left = left.saturating_sub(n),
            }
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // The warden holds a duplicate: only a shutdown ends the connection for the caller.
        self.socket.shutdown(Shutdown::Both);
    }
}

/// Each read carries its sender's real uid (SCM_CREDENTIALS, `unix(7)`); descriptors find no room.
fn judge_sender(connection: &Connection, received: &Received) -> Result<usize, Refusal> {
    if received.truncated {
        return Err(Refusal::Ancillary);
    }
    match received.sender {
        _ if received.bytes == 0 => Ok(0),
        Some(sender) if connection.caller.peer.may_send(sender) => Ok(received.bytes),
        _ => Err(Refusal::SenderChanged),
    }
}

impl Read for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.poll_ready(cx))?;
        let rest = this.ready.get(this.ready_at..).unwrap_or_default();
        let source = if rest.is_empty() { this.guard.body() } else { rest };
        let taken = source.len().min(buf.remaining());
        buf.put_slice(source.get(..taken).unwrap_or_default());
        if rest.is_empty() {
            this.guard.consume(taken);
        } else {
            this.ready_at += taken;
        }
        Poll::Ready(Ok(()))
    }
}

impl Guarded {
    /// Writes interim answers, where one may stand now.
    fn poll_interim(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pending = false;
        let written = self.connection.interim.write(|bytes| {
            match self.poll_send(cx, |socket| nix::unistd::write(socket, bytes)) {
                Poll::Ready(taken) => taken,
                Poll::Pending => {
                    pending = true;
                    Err(io::ErrorKind::WouldBlock.into())
                }
            }
        });
        if pending { Poll::Pending } else { Poll::Ready(written) }
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        send: impl FnMut(BorrowedFd<'_>) -> nix::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if let Some(phase) = self.connection.deadlines.take_expired(&[Phase::Write]) {
            self.connection.fail(phase.refusal());
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let sent = self.socket.poll_write(cx, send);
        if sent.is_ready() {
            self.connection.deadlines.lift(Phase::Write);
        } else {
            let write_ms = self.connection.lane.policy().decider.policy().limits.write_ms;
            self.connection.deadlines.expect_from_now(Phase::Write, write_ms);
        }
        sent
    }
}

/// Of so many bytes one buffer is made, which costs the kernel less than two.
const GATHERED: usize = 1 << 10;

/// All of `bufs` in one, where that is short enough.
fn gather<'g>(bufs: &[io::IoSlice<'_>], into: &'g mut [u8; GATHERED]) -> Option<&'g [u8]> {
    let mut end = 0;
    for buf in bufs {
        let begin = end;
        end += buf.len();
        into.get_mut(begin..end)?.copy_from_slice(buf);
    }
    into.get(..end)
}

impl Write for Guarded {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_interim(cx))?;
        self.connection.interim.engine_wrote();
        self.poll_send(cx, |socket| nix::unistd::write(socket, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut gathered = [0; GATHERED];
        if let Some(whole) = gather(bufs, &mut gathered) {
            return self.poll_write(cx, whole);
        }
        ready!(self.poll_interim(cx))?;
        self.connection.interim.engine_wrote();
        self.poll_send(cx, |socket| nix::sys::uio::writev(socket, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Nothing of hyper's is buffered here: what it has written, the socket has taken.
        self.connection.interim.engine_flushed();
        self.connection.flushed();
        self.poll_interim(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_pieces_are_gathered_whole_and_long_ones_not_at_all() {
        let long = [7; GATHERED];
        let gathered = |pieces: &[&[u8]]| {
            let bufs: Vec<_> = pieces.iter().map(|piece| io::IoSlice::new(piece)).collect();
            gather(&bufs, &mut [0; GATHERED]).map(<[u8]>::to_vec)
        };
        assert_eq!(gathered(&[b"head", b"", b"body"]), Some(b"headbody".to_vec()));
        assert_eq!(gathered(&[]), Some(Vec::new()));
        assert_eq!(gathered(&[&long]), Some(long.to_vec()));
        assert_eq!(gathered(&[b"h", &long]), None);
    }
}
