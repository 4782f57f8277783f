//! Who is at the other end of a Unix socket, for programs that want this and no daemon around it.
//!
//! ```
//! use std::os::unix::net::UnixStream;
//!
//! # fn main() -> std::io::Result<()> {
//! let (ours, _theirs) = UnixStream::pair()?;
//! let caller = peergate::peer::identify(&ours)?;
//! assert_eq!(caller.pid(), Some(std::process::id()));
//! // Three-valued on the inside: what could not be read is never a yes.
//! assert!(caller.is_of_the_host() && !caller.is_in_group(4_000_000_000));
//! # Ok(())
//! # }
//! ```
//!
//! A socket of tokio's is the same:
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
//! # runtime.block_on(async {
//! let (ours, _theirs) = tokio::net::UnixStream::pair()?;
//! assert!(peergate::peer::identify(&ours)?.uid().is_some());
//! # Ok(())
//! # })
//! # }
//! ```

use std::io;
use std::os::fd::AsFd;

use crate::app::Caller;
use crate::model::depth::Depth;
use crate::warden::identify::{self, OwnNamespaces, Wanted};

/// All that the kernel says of who connected this socket, whichever end we are. Uid, gid and groups are those of the
/// moment of `connect()`, and the only ones to authorise by; a process's other attributes are believed only if it was
/// alive after they were read. No name service is asked, so that [`Caller::user`] is `None`.
///
/// Where a process is confined by Landlock, the kernel tells it less of others: identify first, or elsewhere.
///
/// # Errors
///
/// What `getsockopt(SO_PEERCRED)` answered: `fd` is no connected Unix socket; our own namespaces can't be read.
pub fn identify(fd: impl AsFd) -> io::Result<Caller> {
    let own = OwnNamespaces::read()?;
    // A program is named only where that very file still lies there.
    let wanted = Wanted { depth: Depth::FULL, name: &|_uid| None, names_program: &|_path| true };
    let known = identify::identify(fd.as_fd(), &own, &wanted)?;
    Ok(Caller::new(known, ""))
}
