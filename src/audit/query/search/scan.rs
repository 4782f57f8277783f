//! A segment's bytes in blocks of whole lines.

use std::io::{self, Read};
use std::path::Path;

use memchr::memmem::Finder;

use crate::audit::reader::source::Source;

/// Bytes that are looked through at once: what a core's own cache holds.
const BLOCK: usize = 256 << 10;

/// Whole lines, each with its LF.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'a> {
    bytes: &'a [u8],
}

impl<'a> Block<'a> {
    pub(super) fn len(self) -> usize {
        self.bytes.len()
    }

    /// Each line in which the needle stands, once, with where it begins in the block.
    pub(super) fn lines_with(self, needle: &Finder<'_>, mut each: impl FnMut(usize, &'a [u8])) {
        let mut from = 0;
        while let Some(found) = self.bytes.get(from..).and_then(|rest| needle.find(rest)) {
            let hit = from + found;
            let (before, behind) = self.bytes.split_at_checked(hit).unwrap_or_default();
            let begin = memchr::memrchr(b'\n', before).map_or(0, |lf| lf + 1);
            let end = memchr::memchr(b'\n', behind).map_or(self.bytes.len(), |lf| hit + lf);
            each(begin, self.bytes.get(begin..end).unwrap_or_default());
            from = end + 1;
        }
    }
}

/// Looks through a segment; its plain length. A last line without LF is not there yet.
pub(super) fn scan(directory: &Path, segment: &str, mut each: impl FnMut(Block<'_>)) -> io::Result<u64> {
    let mut source = Source::open(directory, segment, 0)?;
    let mut buffer = vec![0; BLOCK];
    let (mut held, mut all) = (0, 0);
    loop {
        if held == buffer.len() {
            // One line fills it all, which is none of ours; it still has to end somewhere.
            buffer.resize(2 * buffer.len(), 0);
        }
        let room = buffer.get_mut(held..).unwrap_or_default();
        let read = match source.read(room) {
            Ok(0) => return Ok(all),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        all += read as u64;
        held += read;
        let filled = buffer.get(..held).unwrap_or_default();
        let Some(lf) = memchr::memrchr(b'\n', filled) else { continue };
        each(Block { bytes: filled.get(..=lf).unwrap_or_default() });
        buffer.copy_within(lf + 1..held, 0);
        held -= lf + 1;
    }
}
