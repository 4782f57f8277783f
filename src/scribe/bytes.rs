//! Bytes of a segment that were read before, looked at once more.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use nix::errno::Errno;
use sha2::{Digest as _, Sha256};

use super::follow::{Cut, PIECE, Trouble};
use crate::audit::chain::Digest;
use crate::audit::entry::Seen;

/// Called now and then in what may take long, so that a sign of life is given meanwhile.
pub(super) type Tick<'t> = &'t mut dyn FnMut();

/// What is on record of a segment.
#[derive(Debug)]
pub(super) struct OnRecord {
    pub(super) file: Arc<File>,
    pub(super) ranges: Vec<Cut>,
}

impl OnRecord {
    /// The last look: all of it is read and hashed once more.
    pub(super) fn holds(&self, tick: Tick<'_>) -> Result<(), Trouble> {
        self.ranges.iter().try_for_each(|known| match hash_of(&self.file, known.from, known.to, tick)? {
            Some(hash) if hash == known.hash => Ok(()),
            Some(_) => Err(Trouble::Intruded { at: known.from, why: Seen::Changed }),
            None => Err(Trouble::Intruded { at: known.from, why: Seen::Shrank }),
        })
    }

    /// The same, and all of it as one range.
    pub(super) fn as_one(&self, tick: Tick<'_>) -> Result<Option<Cut>, Trouble> {
        self.holds(tick)?;
        let (Some(first), Some(last)) = (self.ranges.first(), self.ranges.last()) else { return Ok(None) };
        let (from, to) = (first.from, last.to);
        let lines = self.ranges.iter().map(|known| known.lines).sum();
        Ok(hash_of(&self.file, from, to, tick)?.map(|hash| Cut { from, to, lines, hash }))
    }
}

pub(super) fn read_at(file: &File, into: &mut [u8], at: u64) -> Result<usize, Errno> {
    loop {
        match file.read_at(into, at) {
            Ok(read) => return Ok(read),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)),
        }
    }
}

/// Whether the file still has these bytes there.
pub(super) fn unchanged(file: &File, from: u64, bytes: &[u8]) -> Result<(), Trouble> {
    let mut again = vec![0; PIECE.min(bytes.len())];
    let mut at = from;
    let mut rest = bytes;
    while !rest.is_empty() {
        let piece = again.len().min(rest.len());
        let read = read_at(file, again.get_mut(..piece).unwrap_or_default(), at)?;
        let (expected, behind) = rest.split_at_checked(read).unwrap_or_default();
        if read == 0 {
            return Err(Trouble::Intruded { at, why: Seen::Shrank });
        }
        if again.get(..read) != Some(expected) {
            let differs = again.iter().zip(expected).position(|(now, before)| now != before).unwrap_or(0);
            return Err(Trouble::Intruded { at: at + differs as u64, why: Seen::Changed });
        }
        at += read as u64;
        rest = behind;
    }
    Ok(())
}

/// Hash of these bytes of the file; `None` where it ends before.
fn hash_of(file: &File, from: u64, to: u64, tick: Tick<'_>) -> Result<Option<Digest>, Errno> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; PIECE.min(usize::try_from(to - from).unwrap_or(PIECE))];
    let mut at = from;
    while at < to {
        tick();
        let piece = buffer.len().min(usize::try_from(to - at).unwrap_or(PIECE));
        let read = read_at(file, buffer.get_mut(..piece).unwrap_or_default(), at)?;
        if read == 0 {
            return Ok(None);
        }
        hash.update(buffer.get(..read).unwrap_or_default());
        at += read as u64;
    }
    Ok(Some(Digest(hash.finalize().into())))
}
