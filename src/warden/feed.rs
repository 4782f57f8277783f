//! What only the scribe can tell: `metrics` and `decisions`. To gates they are backends as any other, judged and
//! recorded before this. The scribe gets an end that is shut for reading, so that no byte of a caller can come near
//! the key of the seals: it writes its answer whatever was asked.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::time::Instant;

use nix::sys::socket::{AddressFamily, Shutdown, SockFlag, SockType, shutdown, socketpair};
use nix::sys::statfs::fstatfs;

use super::Warden;
use crate::model::refusal::Refusal;
use crate::policy::{Feed, Only};
use crate::wire::message::ToScribe;
use crate::wire::told::{Serve, Told};

impl Warden {
    /// A connection whose other end the scribe answers at once.
    pub(super) fn have_scribe_serve(
        &mut self,
        feed: Feed,
        only: Only,
        connection: u64,
    ) -> Result<OwnedFd, Refusal> {
        let Some(uid) = self.connections.get(connection).map(|connection| connection.caller.peer.uid) else {
            return Err(Refusal::NotAllowed);
        };
        if !self.scribe.is_running() {
            return Err(Refusal::BackendUnavailable);
        }
        let (ours, theirs) = one_way().map_err(|error| {
            tracing::warn!(%error, "there is no connection to the scribe for a caller");
            Refusal::BackendUnavailable
        })?;
        let serve = Box::new(Serve { feed, only, uid, told: self.told(feed) });
        self.tell_scribe(ToScribe::Serve(serve), vec![Rc::new(theirs)]);
        Ok(ours)
    }

    /// What the record does not say.
    fn told(&self, feed: Feed) -> Told {
        if feed == Feed::Decisions {
            return Told::default();
        }
        let open =
            self.door.entrances().map(|(id, entrance)| (entrance.name.clone(), self.connections.on(id)));
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Told {
            up_s: Instant::now().saturating_duration_since(self.since).as_secs(),
            policy: (self.force.generation.0, self.force.short.clone(), self.force.since.micros()),
            recordable: self.is_recordable(),
            missing: self.missing.clone(),
            open: open.collect(),
            gates: count(self.roster.gates().count()),
            scribe_deaths: self.scribe.deaths(),
            disk: self.disk(),
            witness: self.witness.status(),
        }
    }

    /// What is left of the audit directory's file system, and its size.
    fn disk(&self) -> Option<(u64, u64)> {
        let directory = self.segments.readable_directory().ok()?;
        let system = fstatfs(&directory).ok()?;
        let block = u64::try_from(system.block_size()).ok()?;
        Some((system.blocks_available().saturating_mul(block), system.blocks().saturating_mul(block)))
    }

    /// The scribe counts by the names of the policy in force.
    pub(super) fn tell_scribe_policy(&mut self) {
        let memory = Rc::clone(&self.force.memory);
        self.tell_scribe(ToScribe::Policy, vec![memory]);
    }
}

/// Both ends of a connection of which the second one can only be written to.
fn one_way() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, flags)?;
    shutdown(theirs.as_raw_fd(), Shutdown::Read)?;
    Ok((ours, theirs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;

    #[test]
    fn scribes_end_takes_no_byte_and_answers() {
        let (ours, theirs) = one_way().unwrap();
        assert_eq!(nix::unistd::write(&ours, b"GET / HTTP/1.1\r\n"), Err(Errno::EPIPE));
        nix::unistd::write(&theirs, b"HTTP/1.1 200 OK\r\n").unwrap();
        drop(theirs);
        let mut buffer = [0; 64];
        assert_eq!(nix::unistd::read(&ours, &mut buffer), Ok(17));
        assert_eq!(nix::unistd::read(&ours, &mut buffer), Ok(0), "a clean end");
    }
}
