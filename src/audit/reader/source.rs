//! The bytes of a segment, whichever form its file has: the one place where readers open one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::libc;

use crate::audit::segment::PACKED;

/// An open segment. It reads as its plain bytes.
pub struct Source {
    directory: PathBuf,
    segment: String,
    /// Plain bytes that were read, or passed over.
    at: u64,
    bytes: Bytes,
}

enum Bytes {
    /// Closed for now, so that others can be open; opened again when more of it is asked for.
    Parked,
    Plain(File),
    #[cfg(feature = "cli")]
    Packed(Box<zstd::Decoder<'static, io::BufReader<File>>>),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("packed", &self.is_packed()).finish_non_exhaustive()
    }
}

impl Source {
    /// Opens a segment by its name (without `.zst`) at a byte of its plain form. The plain file is taken where both
    /// are there: the other may not be whole yet.
    ///
    /// # Errors
    ///
    /// Neither is there ([`io::ErrorKind::NotFound`]), it is no regular file, or it can't be read.
    pub fn open(directory: &Path, segment: &str, from: u64) -> io::Result<Source> {
        Ok(Source::with(directory, segment, from, Bytes::open(directory, segment, from)?))
    }

    fn with(directory: &Path, segment: &str, at: u64, bytes: Bytes) -> Source {
        Source { directory: directory.to_owned(), segment: segment.to_owned(), at, bytes }
    }

    /// Opens the compressed form of a segment, whether or not the plain file is there too.
    ///
    /// # Errors
    ///
    /// As [`Source::open`].
    pub fn open_packed(directory: &Path, segment: &str) -> io::Result<Source> {
        let bytes = Bytes::unpack(regular(&directory.join(format!("{segment}{PACKED}")))?, 0)?;
        Ok(Source::with(directory, segment, 0, bytes))
    }

    /// Whether it is the compressed form, which never grows.
    pub fn is_packed(&self) -> bool {
        !matches!(self.bytes, Bytes::Plain(_) | Bytes::Parked)
    }

    /// Gives its descriptor back, until it is read again.
    pub(super) fn park(&mut self) {
        self.bytes = Bytes::Parked;
    }

    /// Whether it has a descriptor.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.bytes, Bytes::Parked)
    }
}

impl Bytes {
    fn open(directory: &Path, segment: &str, from: u64) -> io::Result<Bytes> {
        match regular(&directory.join(segment)) {
            Ok(mut file) => {
                file.seek(SeekFrom::Start(from))?;
                Ok(Bytes::Plain(file))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Bytes::unpack(regular(&directory.join(format!("{segment}{PACKED}")))?, from)
            }
            Err(error) => Err(error),
        }
    }

    #[cfg(feature = "cli")]
    fn unpack(file: File, from: u64) -> io::Result<Bytes> {
        let mut decoder = zstd::Decoder::new(file)?;
        let passed = io::copy(&mut decoder.by_ref().take(from), &mut io::sink())?;
        if passed < from {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "its compressed form is shorter than it was",
            ));
        }
        Ok(Bytes::Packed(Box::new(decoder)))
    }

    #[cfg(not(feature = "cli"))]
    fn unpack(_: File, _: u64) -> io::Result<Bytes> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "it is compressed; `peergate audit` reads it"))
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.is_open() {
            self.bytes = Bytes::open(&self.directory, &self.segment, self.at)?;
        }
        let read = match &mut self.bytes {
            Bytes::Plain(file) => file.read(buffer)?,
            #[cfg(feature = "cli")]
            Bytes::Packed(decoder) => decoder.read(buffer)?,
            Bytes::Parked => 0,
        };
        self.at += read as u64;
        Ok(read)
    }
}

/// The length of a segment's plain form; `None` where that is not there.
pub(super) fn plain_length(directory: &Path, segment: &str) -> io::Result<Option<u64>> {
    match fs::symlink_metadata(directory.join(segment)) {
        Ok(found) => Ok(Some(found.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens what is a regular file. A link or a device that lies in the directory is not ours, and must not be waited
/// for.
///
/// # Errors
///
/// It can't be opened, or is something else.
pub fn regular(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "a segment is not a regular file"))
    }
}
