//! One segment, read behind its writer.

use std::fs::File;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::unistd::{Whence, fdatasync, lseek};
use sha2::{Digest, Sha256};

/// Bytes read at a time.
const PIECE: usize = 128 << 10;

/// What is known of a segment.
#[derive(Debug)]
pub(super) struct Followed {
    /// Opened O_RDONLY; fdatasync(2) needs no more.
    file: File,
    /// Bytes read and hashed.
    length: u64,
    /// Bytes known to be durable.
    synced: u64,
    /// LFs among them.
    lines: u64,
    /// The bytes do not end in an LF.
    torn: bool,
    /// Of all bytes so far: what a seal will say of the segment.
    hash: Sha256,
    failed: bool,
}

impl Followed {
    pub(super) fn new(file: File) -> Followed {
        Followed { file, length: 0, synced: 0, lines: 0, torn: false, hash: Sha256::new(), failed: false }
    }

    /// Reads what is new. A segment only grows: ESTALE where it has shrunk, which no writer of ours does.
    pub(super) fn look(&mut self) -> Result<(), Errno> {
        if self.failed {
            return Ok(());
        }
        // Reads say where they begin, so the position means nothing. No stat, which needs no right to be asked about
        // any name, so that the filter has to stop it (`landlock(7)`).
        let end = lseek(&self.file, 0, Whence::SeekEnd)?;
        let length = u64::try_from(end).map_err(|_| Errno::ESTALE)?;
        if length < self.length {
            return Err(Errno::ESTALE);
        }
        let mut buffer = vec![0; PIECE.min(usize::try_from(length - self.length).unwrap_or(PIECE))];
        while self.length < length {
            match self.file.read_at(&mut buffer, self.length) {
                Ok(0) => return Err(Errno::ESTALE),
                Ok(read) => self.take(buffer.get(..read).unwrap_or_default()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(errno(error)),
            }
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        self.lines += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.torn = bytes.last() != Some(&b'\n');
    }

    /// Makes what was read durable, where that is more than `ahead` bytes.
    pub(super) fn sync_beyond(&mut self, ahead: u64) -> Result<(), Errno> {
        if !self.failed && self.unsynced() > ahead {
            fdatasync(&self.file)?;
            self.synced = self.length;
        }
        Ok(())
    }

    /// Bytes read and not yet durable.
    pub(super) fn unsynced(&self) -> u64 {
        self.length - self.synced
    }

    /// Nothing more is read or promised of it.
    pub(super) fn fail(&mut self) {
        self.failed = true;
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Whether it ends inside a line.
    pub(super) fn torn(&self) -> bool {
        self.torn
    }

    /// How many lines it has.
    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    /// SHA-256 of all that was read.
    #[cfg(test)]
    pub(super) fn digest(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }
}

fn errno(error: std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
