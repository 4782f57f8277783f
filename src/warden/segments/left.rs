//! Segments that a gate has left: it has their descriptors still, and must write nothing more to them.

use std::collections::VecDeque;
use std::io;

use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, fstat, fstatat};

use super::{Segment, Segments};

/// So many are looked at; the oldest are compressed or gone by then, and what `verify` says of them is left.
const MOST: usize = 512;

/// One that was released, as it was then.
struct One {
    name: String,
    gate: u32,
    is: (u64, u64, i64),
}

/// The latest of them.
#[derive(Default)]
pub(super) struct Left(VecDeque<One>);

impl Left {
    /// One is released, at the length that it has.
    pub(super) fn note(&mut self, name: &str, segment: &Segment) -> io::Result<()> {
        let Some(gate) = segment.writer.gate else { return Ok(()) };
        let is = identity(&fstat(&segment.file)?);
        self.0.push_back(One { name: name.to_owned(), gate, is });
        if self.0.len() > MOST {
            self.0.pop_front();
        }
        Ok(())
    }
}

impl Segments {
    /// The gate that writes to a segment which is not released, and whether it is longer or shorter than the scribe
    /// closed it at.
    pub(in crate::warden) fn is_written_behind_its_end(&self, name: &str, bytes: u64) -> Option<u32> {
        let segment = self.live.get(name).filter(|segment| segment.finished)?;
        let length = fstat(&segment.file).ok()?.st_size;
        segment.writer.gate.filter(|_| u64::try_from(length) != Ok(bytes))
    }

    /// Whether its writer is done with it, and it is not released.
    pub(in crate::warden) fn is_finished(&self, name: &str) -> bool {
        self.live.get(name).is_some_and(|segment| segment.finished)
    }

    /// The gate that writes to it, or did, until it is released.
    pub(in crate::warden) fn gate_of(&self, name: &str) -> Option<u32> {
        self.live.get(name).and_then(|segment| segment.writer.gate)
    }

    /// Of the gates that live: what they have written to since they left it, and from which byte on.
    pub(in crate::warden) fn written_after(
        &mut self,
        lives: impl Fn(u32) -> bool,
    ) -> Vec<(String, u32, u64)> {
        let mut found = Vec::new();
        let directory = &self.directory;
        self.left.0.retain(|one| {
            let now =
                fstatat(directory, one.name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW).map(|now| identity(&now));
            // Compressed or removed, or nobody is there to write.
            let (Ok((device, inode, length)), true) = (now, lives(one.gate)) else { return false };
            let (made_on, made, was) = one.is;
            let written = (device, inode) == (made_on, made) && length != was;
            if written {
                found.push((one.name.clone(), one.gate, u64::try_from(was).unwrap_or(0)));
            }
            !written
        });
        found
    }
}

fn identity(found: &FileStat) -> (u64, u64, i64) {
    (found.st_dev, found.st_ino, found.st_size)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Place, segments};
    use crate::warden::segments::Writer;

    #[test]
    fn gate_that_writes_to_what_it_left_is_found() {
        let dir = Place::make();
        let mut segments = segments(&dir, 1 << 20);
        let made = segments.create(Writer::Lane { uid: None, gate: 7, lane: 0 }).unwrap();
        nix::unistd::write(&made.file, b"four").unwrap();
        assert_eq!(segments.is_written_behind_its_end(&made.name, 3), None, "its writer may go on");
        assert!(!segments.is_finished(&made.name));
        segments.finish(&made.name);
        assert_eq!((segments.is_finished(&made.name), segments.gate_of(&made.name)), (true, Some(7)));
        assert_eq!(segments.is_written_behind_its_end(&made.name, 3), Some(7));
        assert_eq!(segments.is_written_behind_its_end(&made.name, 4), None);
        segments.release(&made.name, Some(4)).unwrap();
        assert!(segments.written_after(|_| true).is_empty());
        nix::unistd::write(&made.file, b"more").unwrap();
        assert_eq!(segments.written_after(|gate| gate == 7), [(made.name.clone(), 7, 4)]);
        assert!(segments.written_after(|_| true).is_empty(), "it is told once");
    }

    #[test]
    fn segment_of_a_gate_that_is_gone_is_looked_at_no_more() {
        let dir = Place::make();
        let mut segments = segments(&dir, 1 << 20);
        let made = segments.create(Writer::Lane { uid: None, gate: 7, lane: 0 }).unwrap();
        segments.finish(&made.name);
        segments.release(&made.name, Some(0)).unwrap();
        assert!(segments.written_after(|_| false).is_empty());
        nix::unistd::write(&made.file, b"more").unwrap();
        assert!(segments.written_after(|_| true).is_empty());
    }
}
