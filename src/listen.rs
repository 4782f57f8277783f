//! A listening Unix socket that is right from its first moment, for programs that want this and no daemon around it.
//!
//! The directory and all above it belong to root or to us and are writable by nobody else, or there is no socket; it is
//! made where it is missing. The socket is bound with mode 0600 and gets its owner, group and mode before anybody can
//! connect; a lock keeps a second one from taking its place; what a dead process left is removed, and nothing of
//! anybody else's. Dropping the listener removes the name.
//!
//! ```
//! use std::os::unix::net::UnixStream;
//! use peergate::listen::{Listener, Wanted};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("run/api.sock");
//! let listener = Listener::bind(&Wanted { path: &path, mode: 0o660, uid: None, gid: None })?;
//! assert!(Listener::bind(&Wanted { path: &path, mode: 0o660, uid: None, gid: None }).is_err(), "one is enough");
//! listener.listen()?;
//!
//! let _client = UnixStream::connect(&path)?;
//! // Non-blocking; each read carries its sender (SO_PASSCRED).
//! let connection = UnixStream::from(listener.accept()?);
//! assert!(peergate::peer::identify(&connection)?.uid().is_some());
//! # Ok(())
//! # }
//! ```

pub use crate::sys::listen::{Listener, Refused, Wanted};
