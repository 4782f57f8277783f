//! One segment, read from where the last look ended.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use nix::libc;

use crate::audit::encode::LINE_MAX;
use crate::audit::plain::Record;

/// A position in a segment, and the open file while there is something to read.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    open: Option<BufReader<File>>,
    /// Bytes that were read as whole lines.
    position: u64,
    /// Bytes behind the last LF, at the last look.
    unfinished: u64,
    /// The `ts` of the latest record.
    ts: Vec<u8>,
}

/// A line: its `ts`, where it begins, its bytes.
type Found = (Vec<u8>, u64, Vec<u8>);

impl Tail {
    pub(super) fn new(path: PathBuf) -> Tail {
        Tail { path, open: None, position: 0, unfinished: 0, ts: Vec::new() }
    }

    pub(super) fn unfinished(&self) -> u64 {
        self.unfinished
    }

    /// The next whole line, behind its time and place; `None` at the end, where the file is closed until the next look.
    pub(super) fn next_line(&mut self) -> io::Result<Option<Found>> {
        if self.open.is_none() {
            let Some(file) = self.look()? else { return Ok(None) };
            self.open = Some(file);
        }
        let Some(file) = &mut self.open else { return Ok(None) };
        let mut bytes = Vec::with_capacity(512);
        let mut length = read_piece(file, &mut bytes)?;
        let whole = ends(&bytes);
        if !whole && length >= LINE_MAX as u64 {
            // No line of ours is that long: its beginning is shown, the rest passed over.
            let mut rest = Vec::new();
            loop {
                rest.clear();
                let more = read_piece(file, &mut rest)?;
                length += more;
                if more == 0 || ends(&rest) {
                    break;
                }
            }
            if !ends(&rest) {
                return self.end(length);
            }
        } else if !whole {
            return self.end(length);
        }
        let at = self.position;
        self.position += length;
        self.unfinished = 0;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        if let Some(record) = Record::parse(&bytes) {
            self.ts = record.text("ts").as_bytes().to_vec();
        }
        Ok(Some((self.ts.clone(), at, bytes)))
    }

    /// Passes over all whole lines that are there.
    pub(super) fn skip_to_end(&mut self) -> io::Result<()> {
        while self.next_line()?.is_some() {}
        Ok(())
    }

    fn end(&mut self, unfinished: u64) -> io::Result<Option<Found>> {
        self.unfinished = unfinished;
        self.open = None;
        Ok(None)
    }

    /// The file behind what was read, if it has grown.
    fn look(&self) -> io::Result<Option<BufReader<File>>> {
        let read = self.position + self.unfinished;
        // A link or a device that lies in the directory is not ours, and must not be waited for.
        if std::fs::symlink_metadata(&self.path)?.len() == read {
            return Ok(None);
        }
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
        let mut file = OpenOptions::new().read(true).custom_flags(flags).open(&self.path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a segment is not a regular file"));
        }
        file.seek(SeekFrom::Start(self.position))?;
        Ok(Some(BufReader::with_capacity(64 << 10, file)))
    }
}

/// Reads up to an LF or [`LINE_MAX`] bytes.
fn read_piece(file: &mut BufReader<File>, bytes: &mut Vec<u8>) -> io::Result<u64> {
    file.take(LINE_MAX as u64).read_until(b'\n', bytes).map(|read| read as u64)
}

fn ends(bytes: &[u8]) -> bool {
    bytes.last() == Some(&b'\n')
}
