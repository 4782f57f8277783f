//! Closed segments as they lie in the directory: listed, compressed, removed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, renameat};
use nix::sys::stat::{FileStat, fstat, fstatat, futimens};
use nix::sys::statvfs::fstatvfs;
use nix::sys::time::TimeSpec;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::{Segments, plain};
use crate::audit::chain::is_scribes;
use crate::audit::retention::Stored;
use crate::audit::segment::{PACKED, SegmentName, UNFINISHED};
use crate::model::time::Timestamp;
use crate::sys::append_only;

/// A segment with no more than its beginning.
const BEGINNING: u64 = 1 << 10;

/// One segment that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::warden) struct Kept {
    /// As the plan of what goes wants to know it.
    pub(in crate::warden) stored: Stored,
    /// It is compressed; the plain file may be there too.
    pub(in crate::warden) packed: bool,
}

impl Segments {
    /// All that are there, but for those that are written or not yet closed: those are told as unsettled.
    ///
    /// # Errors
    ///
    /// The directory can't be listed.
    pub(in crate::warden) fn kept(&self, unclosed: &BTreeSet<String>) -> io::Result<Vec<Kept>> {
        let mut kept: BTreeMap<String, Kept> = BTreeMap::new();
        let mut directory = Dir::from_fd(self.readable_directory()?)?;
        for entry in directory.iter() {
            let entry = entry?;
            let name = entry.file_name().to_str().unwrap_or_default();
            let (plain_name, packed) = match name.strip_suffix(PACKED) {
                Some(plain_name) => (plain_name, true),
                None => (name, false),
            };
            let Some(parsed) = SegmentName::parse(plain_name) else { continue };
            let found = match fstatat(&self.directory, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(found) => found,
                // It went while we looked.
                Err(Errno::ENOENT) => continue,
                Err(errno) => return Err(errno.into()),
            };
            let one = kept.entry(plain_name.to_owned()).or_insert_with(|| Kept {
                stored: Stored {
                    name: plain_name.to_owned(),
                    made: parsed.made(),
                    ended: written(&found),
                    bytes: 0,
                    seals: is_scribes(plain_name),
                    settled: !self.live.contains_key(plain_name) && !unclosed.contains(plain_name),
                },
                packed,
            });
            one.packed |= packed;
            one.stored.bytes += u64::try_from(found.st_blocks).unwrap_or(0) * 512;
        }
        Ok(kept.into_values().collect())
    }

    /// Free bytes of the file system that we could use, and all of its bytes.
    ///
    /// # Errors
    ///
    /// What `fstatvfs(3)` answered.
    pub(in crate::warden) fn space(&self) -> io::Result<(u64, u64)> {
        let found = fstatvfs(&self.readable_directory()?)?;
        let size = found.fragment_size();
        Ok((size.saturating_mul(found.blocks_available()), size.saturating_mul(found.blocks())))
    }

    /// A closed segment, to read.
    ///
    /// # Errors
    ///
    /// It is not there, or not a plain file of ours.
    pub(in crate::warden) fn open_kept(&self, name: &str, packed: bool) -> io::Result<OwnedFd> {
        let name = if packed { format!("{name}{PACKED}") } else { name.to_owned() };
        self.directory.open_file(OsStr::new(&name), OFlag::O_RDONLY).map_err(plain)
    }

    /// A closed segment, to read, and the file that it is to be compressed into.
    ///
    /// # Errors
    ///
    /// One can't be opened, or the other made.
    pub(in crate::warden) fn make_packed(&self, name: &str) -> io::Result<(OwnedFd, OwnedFd)> {
        let from = self.open_kept(name, false)?;
        let made = format!("{name}{UNFINISHED}");
        let into = self.directory.create_file(OsStr::new(&made), OFlag::O_RDWR, 0o640, None, self.readers);
        Ok((from, into.map_err(plain)?))
    }

    /// A segment is compressed: that takes its place, as soon as the new name is durable.
    ///
    /// # Errors
    ///
    /// A name can't be changed.
    pub(in crate::warden) fn name_packed(&self, name: &str) -> io::Result<()> {
        let (made, packed) = (format!("{name}{UNFINISHED}"), format!("{name}{PACKED}"));
        // It counts as old as the segment's last record is.
        let time = fstatat(&self.directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let file = self.directory.open_file(OsStr::new(&made), OFlag::O_RDONLY).map_err(plain)?;
        let time = TimeSpec::new(time.st_mtime, time.st_mtime_nsec);
        futimens(&file, &time, &time)?;
        Ok(renameat(&self.directory, made.as_str(), &self.directory, packed.as_str())?)
    }

    /// The plain form is not needed any more.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(in crate::warden) fn drop_plain(&self, name: &str) -> io::Result<()> {
        self.unlink(name)
    }

    /// Where a daemon or a scribe was killed between [`Segments::name_packed`] and [`Segments::drop_plain`] the plain file is there as well. It is
    /// what was sealed, so it stays, and is compressed again.
    ///
    /// # Errors
    ///
    /// The directory can't be listed.
    pub(in crate::warden) fn remove_doubles(&self) -> io::Result<()> {
        let plain: BTreeSet<String> = self.names("")?.into_iter().collect();
        let mut directory = Dir::from_fd(self.readable_directory()?)?;
        let named =
            |name: &str| name.strip_suffix(PACKED).filter(|name| plain.contains(*name)).map(str::to_owned);
        let twice: Vec<String> =
            directory.iter().flatten().filter_map(|entry| named(entry.file_name().to_str().ok()?)).collect();
        for name in twice {
            let packed = format!("{name}{PACKED}");
            match self.unlink(&packed) {
                Ok(()) => tracing::info!(segment = name, "it was there twice, and will be compressed again"),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => tracing::warn!(%error, segment = packed, "it is there twice"),
            }
        }
        Ok(())
    }

    /// Removes a closed segment, in whatever form it is there.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(in crate::warden) fn remove(&self, name: &str) -> io::Result<()> {
        if self.live.contains_key(name) || SegmentName::parse(name).is_none() {
            return Err(io::Error::other("it is no closed segment"));
        }
        for name in [format!("{name}{PACKED}"), name.to_owned()] {
            match self.unlink(&name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed?,
            }
        }
        Ok(())
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        // One of a daemon that was killed may be append-only still.
        let file = self.directory.open_file(OsStr::new(name), OFlag::O_RDONLY).map_err(plain)?;
        if append_only::is_set(file.as_fd()).unwrap_or(false) {
            append_only::set(file.as_fd(), false)?;
        }
        Ok(unlinkat(&self.directory, name, UnlinkatFlags::NoRemoveDir)?)
    }

    /// Removes what was being compressed when a scribe ended.
    pub(in crate::warden) fn remove_unfinished(&self) {
        let Ok(mut directory) = self.readable_directory().and_then(|fd| Ok(Dir::from_fd(fd)?)) else {
            return;
        };
        for entry in directory.iter().flatten() {
            let name = entry.file_name().to_str().unwrap_or_default();
            let ours = name.strip_suffix(UNFINISHED).is_some_and(|name| SegmentName::parse(name).is_some());
            if ours && let Err(error) = unlinkat(&self.directory, name, UnlinkatFlags::NoRemoveDir) {
                tracing::warn!(%error, segment = name, "what was left of compressing stays");
            }
        }
    }

    /// Segments that are written, were made so many microseconds ago, and hold more than their beginning.
    pub(in crate::warden) fn older_than(&self, micros: u64) -> Vec<String> {
        let now = Timestamp::now().micros();
        let old = |(name, segment): (&String, &super::Segment)| {
            let made = SegmentName::parse(name)?.made().micros();
            let length = fstat(&segment.file).map_or(0, |found| u64::try_from(found.st_size).unwrap_or(0));
            let old = !segment.finished && now.saturating_sub(made) >= micros && length > BEGINNING;
            old.then(|| name.clone())
        };
        self.live.iter().filter_map(old).collect()
    }
}

fn written(found: &FileStat) -> Timestamp {
    let seconds = u64::try_from(found.st_mtime).unwrap_or(0);
    let micros = u64::try_from(found.st_mtime_nsec).unwrap_or(0) / 1_000;
    Timestamp::from_micros(seconds.saturating_mul(1_000_000).saturating_add(micros))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Place, segments};

    #[test]
    fn segment_that_is_there_twice_stays_as_it_was_sealed() {
        let dir = Place::make();
        let segments = segments(&dir, 1 << 20);
        let [twice, packed] =
            ["1", "2"].map(|n| format!("20261123T034629.123456Z-000000-gate-1001-2-{n}.ndjson"));
        let at = |name: &str| dir.0.path().join(name);
        for name in [twice.clone(), format!("{twice}.zst"), format!("{packed}.zst")] {
            std::fs::write(at(&name), &name).unwrap();
        }
        segments.remove_doubles().unwrap();
        assert!(at(&twice).exists() && !at(&format!("{twice}.zst")).exists());
        assert!(at(&format!("{packed}.zst")).exists());
    }
}
