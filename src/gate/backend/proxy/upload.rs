//! The request's way out: head first, then the body under the framing that the head announced.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;

use super::Payload;
use crate::gate::backend::link::Link;
use crate::gate::connection::Connection;
use crate::gate::head::{Framing, LAST_CHUNK, chunk_size};
use crate::model::refusal::Refusal;

/// What still has to go to the backend.
pub(super) struct Upload {
    out: Vec<u8>,
    at: usize,
    sent: u64,
    source: Source,
    chunked: bool,
}

enum Source {
    /// The body as it comes, how much more of it there may be, and what still more is refused as.
    Body { body: Incoming, left: u64, over: Refusal },
    /// Everything is in `out` or beyond.
    Done,
    /// The backend takes no more; the rest of the body is not asked for.
    Cut,
}

impl Upload {
    /// Begins with the bytes of the head.
    pub(super) fn new(head: Vec<u8>, payload: Payload, framing: Framing) -> Upload {
        let mut out = head;
        let source = match payload {
            Payload::None => Source::Done,
            Payload::Whole(bytes) => {
                out.extend_from_slice(&bytes);
                Source::Done
            }
            Payload::Streamed { body, max, over } => Source::Body { body, left: max, over },
        };
        Upload { out, at: 0, sent: 0, source, chunked: framing == Framing::Chunked }
    }

    /// Bytes that the backend has taken.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether the whole request has gone out.
    pub(super) fn is_done(&self) -> bool {
        self.at == self.out.len() && matches!(self.source, Source::Done)
    }

    /// Sends as much as goes; ready when there is nothing more to send.
    ///
    /// # Errors
    ///
    /// The body broke a rule, outgrew its bound, or did not come. That the backend takes no more is none: it may
    /// have answered already.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        link: &Link,
        connection: &Connection,
    ) -> Poll<Result<(), Refusal>> {
        loop {
            while let Some(rest) = self.out.get(self.at..).filter(|rest| !rest.is_empty()) {
                match ready!(link.poll_write(cx, rest)) {
                    Ok(n) => {
                        self.at += n;
                        self.sent += n as u64;
                    }
                    Err(error) => {
                        tracing::debug!(id = %connection.id, "a backend takes no more: {error}");
                        self.at = self.out.len();
                        self.source = Source::Cut;
                    }
                }
            }
            self.out.clear();
            self.at = 0;
            let Source::Body { body, left, over } = &mut self.source else { return Poll::Ready(Ok(())) };
            let data = match ready!(Pin::new(body).poll_frame(cx)) {
                None => None,
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => Some(data),
                    // Trailers: the guard refuses them, so there are none.
                    Err(_) => continue,
                },
                Some(Err(_)) => return Poll::Ready(Err(connection.failure().unwrap_or(Refusal::Truncated))),
            };
            match data {
                None => {
                    if self.chunked {
                        self.out.extend_from_slice(LAST_CHUNK);
                    }
                    self.source = Source::Done;
                }
                Some(data) => {
                    let length = data.len() as u64;
                    let Some(rest) = left.checked_sub(length) else {
                        connection.fail(*over);
                        return Poll::Ready(Err(*over));
                    };
                    *left = rest;
                    connection.count_in(length);
                    self.frame(&data);
                }
            }
        }
    }

    fn frame(&mut self, data: &Bytes) {
        if data.is_empty() {
            // An empty chunk would end the body.
            return;
        }
        if self.chunked {
            chunk_size(data.len(), &mut self.out);
            self.out.extend_from_slice(data);
            self.out.extend_from_slice(b"\r\n");
        } else {
            self.out.extend_from_slice(data);
        }
    }
}
