//! The head guard: stands between a socket and the HTTP engine, reads every byte that decides what a message is, and
//! refuses all that could be read in a second way. The engine sees only heads and framing that were written here.
//!
//! Two machines, one for each direction: [`RequestGuard`] and [`ResponseGuard`]. Both own their input buffer,
//! are fed as bytes arrive, and give the same verdicts however the bytes were split. They never panic, never wait
//! and know nothing of sockets. A refusal is final: what follows it can't be told from what was refused.
//!
//! ```
//! use peergate::gate::head::{Event, HeadLimits, RequestGuard};
//!
//! let mut guard = RequestGuard::new(HeadLimits::default());
//! let mut socket: &[u8] = b"POST /%61?b HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi";
//! let (mut out, mut body) = (Vec::new(), Vec::new());
//! loop {
//!     match guard.step()? {
//!         Event::NeedMore => {
//!             let count = std::io::Read::read(&mut socket, guard.spare()).unwrap();
//!             guard.filled(count);
//!         }
//!         Event::Head(head) => head.write_for_backend(&mut out, &[("X-Peergate-Uid", "1000")]),
//!         Event::Body(count) => {
//!             body.extend_from_slice(guard.body());
//!             guard.consume(count);
//!         }
//!         Event::End | Event::Closed => break,
//!     }
//! }
//! assert_eq!(out, b"POST /a?b HTTP/1.1\r\nHost: h\r\nX-Peergate-Uid: 1000\r\nContent-Length: 2\r\n\r\n");
//! assert_eq!(body, b"hi");
//! # Ok::<(), peergate::model::refusal::Refusal>(())
//! ```

mod body;
mod buffer;
mod fields;
mod guard;
mod line;
mod names;
mod request;
mod response;
mod write;

use std::sync::Arc;

use crate::model::limits::Limits;
use crate::model::method::Method;

pub use body::Framing;
pub use guard::{Glimpse, RequestGuard};
pub use names::{IDENTITY_NAMES, IDENTITY_PREFIXES};
pub use request::Head;
pub use response::{Answer, Expected, ResponseGuard};
pub use write::{LAST_CHUNK, chunk_size};

/// What one head may use, and what its listener takes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HeadLimits {
    /// Bytes of a head, first line and final empty line included.
    pub head_bytes: usize,
    /// Header lines.
    pub headers: usize,
    /// Bytes of the target.
    pub target_bytes: usize,
    /// `Origin` and `Referer` are taken.
    pub browsers: bool,
    /// Methods besides [`Method::KNOWN`] that the policy names; CONNECT and TRACE stay refused.
    pub extra_methods: Arc<[Method]>,
}

impl HeadLimits {
    /// From the limits in force, what the listener says of browsers, and the methods that the policy names.
    pub fn new(limits: &Limits, browsers: bool, extra_methods: Arc<[Method]>) -> HeadLimits {
        HeadLimits {
            head_bytes: usize::try_from(limits.head_bytes).unwrap_or(usize::MAX),
            headers: usize::from(limits.headers),
            target_bytes: usize::try_from(limits.target_bytes).unwrap_or(usize::MAX),
            browsers,
            extra_methods,
        }
    }
}

impl Default for HeadLimits {
    fn default() -> HeadLimits {
        HeadLimits::new(&Limits::default(), false, Arc::from([]))
    }
}

/// The version of HTTP that a message was sent in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

impl Version {
    /// As it is spelt on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
        }
    }
}

/// What a guard found next; `H` is the kind of head.
#[derive(Debug)]
pub enum Event<H> {
    /// Nothing without more bytes: read into `spare`, then tell by `filled` or `closed`.
    NeedMore,
    /// A whole head that broke no rule.
    Head(Box<H>),
    /// So many bytes of the body are in `body`, at least one; they stay there until `consume`.
    Body(usize),
    /// The message is over. The bytes behind it are kept and not looked at before `next`.
    End,
    /// No further message comes on this connection.
    Closed,
}

/// What is read at once where bytes of a body are expected.
const BODY_READ: usize = 16 << 10;

#[cfg(test)]
mod tests;
