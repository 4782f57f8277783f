//! One segment, read from where the last look ended.

use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::rc::Rc;

use super::source::{self, Source};
use crate::audit::encode::LINE_MAX;
use crate::audit::plain::Record;

/// A position in a segment, and the open file while there is something to read.
#[derive(Debug)]
pub(super) struct Tail {
    directory: PathBuf,
    segment: Rc<str>,
    open: Option<BufReader<Source>>,
    /// Bytes that were read as whole lines.
    position: u64,
    /// Bytes behind the last LF, at the last look.
    unfinished: u64,
    /// The `ts` of the latest record.
    ts: Vec<u8>,
    /// It was read to the end of its compressed form, which never grows.
    complete: bool,
    /// How much of it is read at a time.
    room: usize,
}

/// A line: its `ts`, where it begins, its bytes.
pub(super) type Found = (Vec<u8>, u64, Vec<u8>);

impl Tail {
    pub(super) fn new(directory: PathBuf, segment: Rc<str>, room: usize) -> Tail {
        let (ts, complete) = (Vec::new(), false);
        Tail { directory, segment, open: None, position: 0, unfinished: 0, ts, complete, room }
    }

    /// Whether it has a descriptor.
    pub(super) fn is_open(&self) -> bool {
        self.open.as_ref().is_some_and(|file| file.get_ref().is_open())
    }

    /// Gives that back. What was read ahead stays at hand, and more is read when it is asked for.
    pub(super) fn park(&mut self) {
        if let Some(file) = &mut self.open {
            file.get_mut().park();
        }
    }

    /// Goes back to the beginning of the line that could not be read.
    pub(super) fn retreat(&mut self) {
        self.open = None;
    }

    pub(super) fn position(&self) -> u64 {
        self.position
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

    /// Passes over the lines that the sieve does not keep, as far as they are whole in the buffer.
    #[cfg(feature = "cli")]
    pub(super) fn pass_over(&mut self, sieve: &dyn super::Sieve) -> io::Result<()> {
        if self.open.is_none() {
            self.open = self.look()?;
        }
        let Some(file) = &mut self.open else { return Ok(()) };
        loop {
            let buffer = file.fill_buf()?;
            let whole = memchr::memrchr(b'\n', buffer).map_or(0, |lf| lf + 1);
            let lines = buffer.get(..whole).unwrap_or_default();
            let mut passed = 0;
            loop {
                let rest = lines.get(passed..).unwrap_or_default();
                passed += sieve.skips(&self.segment, self.position + passed as u64, rest);
                let rest = lines.get(passed..).unwrap_or_default();
                let Some(end) = memchr::memchr(b'\n', rest) else { break };
                let line = rest.get(..end).unwrap_or_default();
                if sieve.keeps(&self.segment, self.position + passed as u64, line) {
                    file.consume(passed);
                    self.position += passed as u64;
                    return Ok(());
                }
                passed += end + 1;
            }
            if passed == 0 {
                return Ok(());
            }
            file.consume(passed);
            self.position += passed as u64;
        }
    }

    /// Passes over all whole lines that are there.
    pub(super) fn skip_to_end(&mut self) -> io::Result<()> {
        while self.next_line()?.is_some() {}
        Ok(())
    }

    fn end(&mut self, unfinished: u64) -> io::Result<Option<Found>> {
        self.unfinished = unfinished;
        self.complete |= self.open.take().is_some_and(|file| file.get_ref().is_packed());
        Ok(None)
    }

    /// The file behind what was read, if it has grown. One that was removed meanwhile has not.
    fn look(&self) -> io::Result<Option<BufReader<Source>>> {
        let read = self.position + self.unfinished;
        if self.complete || source::plain_length(&self.directory, &self.segment)? == Some(read) {
            return Ok(None);
        }
        match Source::open(&self.directory, &self.segment, self.position) {
            Ok(file) => Ok(Some(BufReader::with_capacity(self.room, file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Reads up to an LF or [`LINE_MAX`] bytes.
fn read_piece(file: &mut BufReader<Source>, bytes: &mut Vec<u8>) -> io::Result<u64> {
    file.take(LINE_MAX as u64).read_until(b'\n', bytes).map(|read| read as u64)
}

fn ends(bytes: &[u8]) -> bool {
    bytes.last() == Some(&b'\n')
}
