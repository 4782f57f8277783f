//! A segment's bytes in blocks of whole lines.

use std::io::{self, Read};
use std::path::Path;

use memchr::memmem::Finder;

use crate::audit::encode::LINE_MAX;
use crate::audit::reader::source::Source;

/// Bytes that are looked through at once: what a core's own cache holds. No line of ours is near that long.
const BLOCK: usize = 256 << 10;

/// Whole lines, each with its LF; or the beginning of one that is longer than any.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'a> {
    at: u64,
    bytes: &'a [u8],
}

impl<'a> Block<'a> {
    /// Each line in which the needle stands, once, with where it begins in the segment.
    pub(super) fn lines_with(self, needle: &Finder<'_>, mut each: impl FnMut(u64, &'a [u8])) {
        let mut from = 0;
        while let Some(found) = self.bytes.get(from..).and_then(|rest| needle.find(rest)) {
            let hit = from + found;
            let (before, behind) = self.bytes.split_at_checked(hit).unwrap_or_default();
            let begin = memchr::memrchr(b'\n', before).map_or(0, |lf| lf + 1);
            let end = memchr::memchr(b'\n', behind).map_or(self.bytes.len(), |lf| hit + lf);
            each(self.at + begin as u64, self.bytes.get(begin..end).unwrap_or_default());
            from = end + 1;
        }
    }
}

/// What was looked through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Scanned {
    /// Plain bytes.
    pub(super) bytes: u64,
    /// The first line that is longer than any of ours: where it begins, and how long it is.
    pub(super) overlong: Option<(u64, u64)>,
}

/// Looks through a segment. A last line without LF is not there yet. Of a line that is longer than any of ours its
/// beginning is a block, and the rest is passed over: whoever wrote it does not get our memory.
pub(super) fn scan(directory: &Path, segment: &str, mut each: impl FnMut(Block<'_>)) -> io::Result<Scanned> {
    let mut source = Source::open(directory, segment, 0)?;
    let mut buffer = vec![0; BLOCK];
    // What is in the buffer begins at byte `at` of the segment; a line that is too long, at `long`.
    let (mut held, mut at, mut long) = (0, 0, None);
    let mut scanned = Scanned::default();
    let told = |overlong: &mut Option<(u64, u64)>, long: &mut Option<u64>, end: u64| {
        if let Some(begin) = long.take() {
            overlong.get_or_insert((begin, end - begin));
        }
    };
    loop {
        if held == buffer.len() {
            each(Block { at, bytes: buffer.get(..LINE_MAX).unwrap_or_default() });
            long = Some(at);
            (at, held) = (at + held as u64, 0);
        }
        let room = buffer.get_mut(held..).unwrap_or_default();
        let read = match source.read(room) {
            Ok(0) => {
                told(&mut scanned.overlong, &mut long, at + held as u64);
                return Ok(scanned);
            }
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        scanned.bytes += read as u64;
        held += read;
        let mut begin = 0;
        if long.is_some() {
            let Some(lf) = memchr::memchr(b'\n', buffer.get(..held).unwrap_or_default()) else {
                (at, held) = (at + held as u64, 0);
                continue;
            };
            begin = lf + 1;
            told(&mut scanned.overlong, &mut long, at + begin as u64);
        }
        let filled = buffer.get(begin..held).unwrap_or_default();
        let end = begin + memchr::memrchr(b'\n', filled).map_or(0, |lf| lf + 1);
        if end > begin {
            each(Block { at: at + begin as u64, bytes: buffer.get(begin..end).unwrap_or_default() });
        }
        buffer.copy_within(end..held, 0);
        (at, held) = (at + end as u64, held - end);
    }
}
