//! The store of the next epoch's key, and the steps by which an epoch begins. What each step means for a crash behind
//! it: [`audit::chain`](crate::audit::chain).

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use nix::errno::Errno;
use nix::unistd::{Whence, fdatasync, lseek, write};
use zeroize::Zeroizing;

use crate::audit::chain::store::{self, Found, OFFSETS, SLOT};
use crate::audit::chain::{self, Handover, Said, Secret};

/// More than any two epochs' lines.
const TAIL: u64 = 64 << 10;

/// The files that the warden gave.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    /// `seal.key`, O_RDWR.
    store: Arc<File>,
    /// `epochs.ndjson`, O_RDWR and O_APPEND.
    epochs: Arc<File>,
}

/// An epoch that can begin, and where its key and the next one's stand.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) handover: Handover,
    own: usize,
    other: usize,
}

impl Keys {
    pub(super) fn new(store: OwnedFd, epochs: OwnedFd) -> Keys {
        Keys { store: Arc::new(store.into()), epochs: Arc::new(epochs.into()) }
    }

    /// The key of the first epoch that is not on record; `recorded` is the last one that is.
    ///
    /// # Errors
    ///
    /// The store can't be read, or has no such key: in words for people.
    pub(super) fn ready(&self, recorded: Option<u64>) -> io::Result<Ready> {
        let [first, second] = [self.read(0)?, self.read(1)?];
        let unused = |found: Found| match found {
            Found::Key(slot) if recorded.is_none_or(|recorded| slot.epoch > recorded) => Some(slot),
            _ => None,
        };
        let (own, slot, other) = match (unused(first), unused(second)) {
            (Some(first), Some(second)) if second.epoch < first.epoch => (1, second, Some(first)),
            (Some(first), second) => (0, first, second),
            (None, Some(second)) => (1, second, None),
            (None, None) => return Err(io::Error::other(no_key(recorded))),
        };
        let expected = recorded.map_or(0, |recorded| recorded + 1);
        if slot.epoch != expected && !matches!(slot.origin, store::Origin::Again(_)) {
            return Err(io::Error::other(no_key(recorded)));
        }
        let place = 1 - own;
        let follows = other.is_some_and(|other| other.origin == store::Origin::Before(slot.secret.public()));
        // The other slot is read again rather than kept: a secret is in one place at a time.
        let next = if follows { self.read(place)? } else { Found::Free };
        let handover = match next {
            Found::Key(next) => {
                Handover::resume(slot, next).ok_or_else(|| io::Error::other(no_key(recorded)))?
            }
            Found::Free | Found::Damaged => Handover::new(slot, Secret::random()?),
        };
        Ok(Ready { handover, own, other: place })
    }

    /// The last epoch in the file of all epochs; a line that a crash has torn does not count.
    pub(super) fn listed(&self) -> io::Result<Option<u64>> {
        let end = u64::try_from(lseek(&*self.epochs, 0, Whence::SeekEnd)?).map_err(io::Error::other)?;
        let mut tail = vec![0; usize::try_from(end.min(TAIL)).map_err(io::Error::other)?];
        let from = end - tail.len() as u64;
        self.epochs.read_exact_at(&mut tail, from)?;
        let epoch = |line: &[u8]| match chain::read(line)?.said {
            Said::Epoch(epoch, _) => Some(epoch.epoch),
            _ => None,
        };
        let whole = tail.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
        Ok(whole.filter_map(epoch).max())
    }

    fn read(&self, place: usize) -> io::Result<Found> {
        let mut bytes = Zeroizing::new([0; SLOT]);
        let offset = OFFSETS.get(place).copied().unwrap_or_default();
        let mut filled = 0;
        while let Some(rest @ [_, ..]) = bytes.get_mut(filled..) {
            match self.store.read_at(rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(store::decode(bytes.get(..filled).unwrap_or_default()))
    }

    /// The first step: the next epoch's key is in the store, durable.
    pub(super) fn keep_next(&self, ready: &Ready) -> impl FnOnce() -> Result<(), Errno> + Send + use<> {
        let (store, bytes, place) = (Arc::clone(&self.store), ready.handover.next().encode(), ready.other);
        move || {
            put(&store, place, &*bytes)?;
            fdatasync(&*store)
        }
    }

    /// The last ones, once the epoch's record is written to `own`: that is made durable, then its line (and those that
    /// a crash kept out) in the file of all epochs, and then this epoch's key is gone.
    pub(super) fn erase(
        &self,
        place: usize,
        own: Arc<File>,
        directory: Arc<File>,
        lines: Vec<Vec<u8>>,
    ) -> impl FnOnce() -> Result<(), Errno> + Send + use<> {
        let Keys { store, epochs } = self.clone();
        move || {
            fdatasync(&*own)?;
            nix::unistd::fsync(&*directory)?;
            lines.iter().try_for_each(|line| append_line(&epochs, line))?;
            fdatasync(&*epochs)?;
            put(&store, place, &[0; SLOT])?;
            fdatasync(&*store)
        }
    }
}

impl Ready {
    /// The slot that the epoch's own key stands in.
    pub(super) fn place(&self) -> usize {
        self.own
    }
}

fn no_key(recorded: Option<u64>) -> String {
    let after =
        recorded.map_or_else(|| "a first epoch".to_owned(), |epoch| format!("the epoch after {epoch}"));
    format!(
        "`seal.key` has no key for {after}: it was replaced, damaged, or put back from an old copy; \
         `peergate audit init --again` makes another, which those who verify have to pin too"
    )
}

fn put(store: &File, place: usize, bytes: &[u8]) -> Result<(), Errno> {
    let offset = OFFSETS.get(place).copied().unwrap_or_default();
    lseek(store, i64::try_from(offset).map_err(|_| Errno::EOVERFLOW)?, Whence::SeekSet)?;
    whole(store, bytes)
}

/// A line behind what is there. One that a crash has torn is ended first, so that it stands alone.
fn append_line(file: &File, line: &[u8]) -> Result<(), Errno> {
    let end = u64::try_from(lseek(file, 0, Whence::SeekEnd)?).map_err(|_| Errno::EOVERFLOW)?;
    let mut last = [b'\n'];
    if end > 0 {
        file.read_exact_at(&mut last, end - 1)
            .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    }
    if last != [b'\n'] {
        whole(file, b"\n")?;
    }
    whole(file, line)
}

fn whole(file: &File, bytes: &[u8]) -> Result<(), Errno> {
    loop {
        match write(file, bytes) {
            Ok(written) if written == bytes.len() => return Ok(()),
            Ok(_) => return Err(Errno::EIO),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
