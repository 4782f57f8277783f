//! An archive as POSIX has it (pax(1), "ustar"): only regular files, of nobody, of no time, so that the same files
//! make the same archive.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};

const BLOCK: usize = 512;

pub(super) struct Archive {
    out: BufWriter<File>,
    bytes: u64,
}

impl Archive {
    pub(super) fn new(out: BufWriter<File>) -> Archive {
        Archive { out, bytes: 0 }
    }

    /// Adds a file of exactly `size` bytes.
    pub(super) fn add(&mut self, name: &str, size: u64, content: &mut impl Read) -> io::Result<()> {
        self.put(&header(name, size)?)?;
        let copied = io::copy(&mut content.take(size), &mut self.out)?;
        self.bytes += copied;
        if copied < size {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter while it was read"));
        }
        let rest = usize::try_from(size % BLOCK as u64).unwrap_or(0);
        if rest > 0 { self.put([0; BLOCK].get(rest..).unwrap_or_default()) } else { Ok(()) }
    }

    /// Ends it, on the disk; its length.
    pub(super) fn end(mut self) -> io::Result<u64> {
        self.put(&[0; 2 * BLOCK])?;
        super::sync(self.out)?;
        Ok(self.bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}

fn header(name: &str, size: u64) -> io::Result<[u8; BLOCK]> {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &str| {
        for (place, byte) in header.iter_mut().skip(at).zip(text.bytes()) {
            *place = byte;
        }
    };
    // The longest name of ours is a segment's, far below that.
    if name.len() > 100 || size >= 8 << 30 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "its name or its size is too long for an archive",
        ));
    }
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, "00000000000\0");
    // The sum counts its own field as spaces.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    for (place, byte) in header.iter_mut().skip(148).zip(format!("{sum:06o}\0 ").bytes()) {
        *place = byte;
    }
    Ok(header)
}
