//! Backends of the policy, for handlers: the warden judges, records and connects, and the app gets a descriptor. It has
//! no way to connect to a named socket itself.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use nix::sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage, getsockname};
use std::os::fd::AsRawFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{mpsc, oneshot};

use crate::model::refusal::Refusal;
use crate::wire::app::FromApp;

/// What an app says to the warden, from whichever thread.
#[derive(Debug)]
pub(super) struct Mouth {
    outbox: mpsc::UnboundedSender<FromApp>,
    tickets: Mutex<HashMap<u32, oneshot::Sender<Result<OwnedFd, Refusal>>>>,
    next: AtomicU32,
    declared: Vec<String>,
}

impl Mouth {
    pub(super) fn new(outbox: mpsc::UnboundedSender<FromApp>, declared: Vec<String>) -> Arc<Mouth> {
        Arc::new(Mouth { outbox, tickets: Mutex::default(), next: AtomicU32::new(0), declared })
    }

    /// Puts a message to the warden into the queue.
    pub(super) fn tell(&self, message: FromApp) {
        // Once nobody sends any more the process ends.
        self.outbox.send(message).ok();
    }

    /// The warden's answer to a question.
    pub(super) fn answered(&self, ticket: u32, result: Result<OwnedFd, Refusal>) {
        let asker = self.tickets.lock().unwrap_or_else(PoisonError::into_inner).remove(&ticket);
        if let Some(asker) = asker {
            // It may have left while the warden connected.
            asker.send(result).ok();
        }
    }
}

/// The right to ask, for one request.
#[derive(Debug, Clone)]
pub(super) struct Asking {
    pub(super) mouth: Arc<Mouth>,
    pub(super) connection: u64,
    pub(super) request: u32,
}

impl Asking {
    pub(super) async fn open(&self, backend: &str) -> Result<Backend, Unreachable> {
        if !self.mouth.declared.iter().any(|declared| declared == backend) {
            return Err(Unreachable::Undeclared);
        }
        let ticket = self.mouth.next.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        self.mouth.tickets.lock().unwrap_or_else(PoisonError::into_inner).insert(ticket, answer);
        let (connection, request) = (self.connection, self.request);
        self.mouth.tell(FromApp::Open { ticket, connection, request, backend: backend.to_owned() });
        match answered.await {
            Ok(Ok(socket)) => Backend::new(socket).map_err(|_unusable| Unreachable::Failed),
            Ok(Err(Refusal::NotAllowed | Refusal::RefusedByReload)) => Err(Unreachable::Refused),
            Ok(Err(_)) | Err(_) => Err(Unreachable::Failed),
        }
    }
}

/// Why a handler got no backend. As a response it is 502; 500 where the program forgot to declare it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreachable {
    /// The app does not declare a backend of this name.
    Undeclared,
    /// The warden refuses: the caller has left, or the policy in force has no such backend for apps.
    Refused,
    /// It does not listen, or took too long, or the grant can't be recorded.
    Failed,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unreachable::Undeclared => "the app does not declare this backend: add it with `App::backend`",
            Unreachable::Refused => {
                "the backend is refused: the caller has left, or the policy has it no more"
            }
            Unreachable::Failed => "the backend can't be reached; the diagnostics say why",
        })
    }
}

impl std::error::Error for Unreachable {}

impl IntoResponse for Unreachable {
    fn into_response(self) -> Response {
        let status = match self {
            Unreachable::Undeclared => StatusCode::INTERNAL_SERVER_ERROR,
            Unreachable::Refused | Unreachable::Failed => StatusCode::BAD_GATEWAY,
        };
        (status, format!("{self}\n")).into_response()
    }
}

/// A connection to a backend of the policy: bytes both ways, by tokio's traits.
///
/// ```
/// use axum::response::{IntoResponse, Response};
/// use peergate::{Backend, Grant};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// // Of an app that says `.backend("docker")`; the policy has a `[backend.docker]` that is a proxy.
/// async fn version(grant: Grant) -> Response {
///     let mut docker: Backend = match grant.open("docker").await {
///         Ok(docker) => docker,
///         // 502, with a line that says why.
///         Err(unreachable) => return unreachable.into_response(),
///     };
///     let mut answer = String::new();
///     let asked = async {
///         docker.write_all(b"GET /version HTTP/1.0\r\nHost: localhost\r\n\r\n").await?;
///         docker.read_to_string(&mut answer).await
///     };
///     match asked.await {
///         Ok(_) => answer.into_response(),
///         Err(error) => format!("{error}\n").into_response(),
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Backend(Socket);

#[derive(Debug)]
enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Backend {
    fn new(socket: OwnedFd) -> io::Result<Backend> {
        let family = getsockname::<SockaddrStorage>(socket.as_raw_fd())?.family();
        Ok(Backend(match family {
            Some(AddressFamily::Inet | AddressFamily::Inet6) => {
                Socket::Tcp(TcpStream::from_std(std::net::TcpStream::from(socket))?)
            }
            _ => Socket::Unix(UnixStream::from_std(std::os::unix::net::UnixStream::from(socket))?),
        }))
    }
}

macro_rules! either {
    ($socket:expr, $inner:ident => $call:expr) => {
        match &mut $socket.0 {
            Socket::Unix($inner) => $call,
            Socket::Tcp($inner) => $call,
        }
    };
}

impl AsyncRead for Backend {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, socket => Pin::new(socket).poll_read(cx, into))
    }
}

impl AsyncWrite for Backend {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, socket => Pin::new(socket).poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, socket => Pin::new(socket).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, socket => Pin::new(socket).poll_shutdown(cx))
    }
}
