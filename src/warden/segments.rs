//! The audit directory as the warden uses it: it makes each writer's segment, reserves disk space ahead of the
//! writers and gives back what they did not use. It writes into none but its own.

mod charged;
mod kept;
mod latest;
mod left;
mod place;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag, fallocate};
use nix::sys::stat::fstat;
use nix::unistd::{UnlinkatFlags, ftruncate, unlinkat};

use super::RETRY;
use super::roster::Whose;
use crate::audit::inspect::Role;
use crate::audit::segment::{self, SegmentName};
use crate::model::ids::BootId;
use crate::model::time::Timestamp;
use crate::sys::append_only;
use crate::sys::trusted::{Directory, Judged};
use crate::wire::message::Followed;

pub(super) use kept::Kept;
use left::Left;
pub(super) use place::Standing;

/// The readers' group may list the directory where there is one; nobody else.
pub(super) const DIRECTORY_MODE: u32 = 0o750;
/// A fresh segment has this much reserved.
const FIRST: u64 = 1 << 20;
/// A writer may have so much noted that is not in the file yet.
const UNWRITTEN: u64 = 384 << 10;
/// A writer stays within what is reserved; beyond the size of a segment and this the kernel stops it.
pub(super) const SLACK: u64 = 1 << 20;
/// No single reservation takes more.
const STEP_MAX: u64 = 64 << 20;
/// A reservation that is used up within this time is followed by a larger one.
const SOON: Duration = Duration::from_secs(1);

/// Who writes a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writer {
    /// The warden.
    Warden,
    /// The scribe.
    Scribe,
    /// A role that was started to try something.
    Probe,
    /// One lane of a gate.
    Lane {
        /// The gate's uid; `None` where it is shared.
        uid: Option<u32>,
        /// The gate's number.
        gate: u32,
        /// The lane.
        lane: u16,
    },
}

impl Writer {
    fn followed(self, boot: BootId) -> Followed {
        let (role, gate) = match self {
            Writer::Warden => (Role::Warden, None),
            Writer::Scribe => (Role::Scribe, None),
            Writer::Probe => (Role::Probe, None),
            Writer::Lane { gate, .. } => (Role::Gate, Some(gate)),
        };
        Followed { role, boot, gate }
    }

    fn whose(self) -> Option<Whose> {
        match self {
            Writer::Lane { uid, .. } => Some(uid),
            Writer::Warden | Writer::Scribe | Writer::Probe => None,
        }
    }
}

/// What a writer gets.
pub(super) struct Created {
    /// The file's name, final from its creation.
    pub(super) name: String,
    /// `O_APPEND|O_WRONLY`.
    pub(super) file: Rc<OwnedFd>,
    /// Bytes that disk space is reserved for.
    pub(super) reserved: u64,
}

struct Segment {
    file: Rc<OwnedFd>,
    writer: Followed,
    /// Whose gate writes it; `None` where none does.
    whose: Option<Whose>,
    /// Bytes that its gate was charged with.
    charged: u64,
    reserved: u64,
    step: u64,
    reserved_at: Instant,
    finished: bool,
}

/// The segments that are being written, or not yet closed by the scribe.
pub(super) struct Segments {
    directory: Directory,
    boot: BootId,
    readers: Option<u32>,
    size: u64,
    made: u64,
    /// The latest name's time: the next one's is later, whatever the clock does, so that names sort as they were made.
    latest: Timestamp,
    live: BTreeMap<String, Segment>,
    left: Left,
    /// The file system can't reserve; an accepted record may then meet a full disk, and is refused there.
    unreserved: bool,
    /// The file system has no append-only flag, or it is not ours to set.
    unmarked: bool,
    /// When the disk had no room last, or would not make a file, and has not since.
    scarce: Option<Instant>,
}

impl Segments {
    /// Segments in `directory`, readable by the group `readers`, of about `size` bytes each.
    ///
    /// # Errors
    ///
    /// The directory can't be listed.
    pub(super) fn new(
        directory: Directory,
        boot: BootId,
        readers: Option<u32>,
        size: u64,
    ) -> io::Result<Segments> {
        let mut segments = Segments {
            directory,
            boot,
            readers,
            size,
            made: 0,
            latest: Timestamp::from_micros(0),
            live: BTreeMap::new(),
            left: Left::default(),
            unreserved: false,
            unmarked: false,
            scarce: None,
        };
        let names = segments.names("")?;
        let latest = names.last().and_then(|name| SegmentName::parse(name)).map(|name| name.made());
        segments.latest = latest.unwrap_or(segments.latest);
        Ok(segments)
    }

    /// How large a segment gets.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The names of all segments that are there, behind this one, in their order.
    ///
    /// # Errors
    ///
    /// The directory can't be listed.
    pub(super) fn names(&self, after: &str) -> io::Result<Vec<String>> {
        let mut directory = Dir::from_fd(self.readable_directory()?)?;
        let mut names = Vec::new();
        for entry in directory.iter() {
            let entry = entry?;
            let name = entry.file_name().to_str().unwrap_or_default();
            if name > after && SegmentName::parse(name).is_some() {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The audit directory, to be listed.
    pub(super) fn readable_directory(&self) -> io::Result<OwnedFd> {
        self.directory.readable().map_err(plain)
    }

    /// The path below the audit directory.
    pub(super) fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// Whether the file system refuses to reserve space.
    pub(super) fn unreserved(&self) -> bool {
        self.unreserved
    }

    /// Whether a writer lacks room that the disk does not have. Who lacks it asks again each second.
    pub(super) fn is_scarce(&self) -> bool {
        self.scarce.is_some_and(|since| since.elapsed() < 3 * RETRY)
    }

    /// Whether segments could not be made append-only.
    pub(super) fn unmarked(&self) -> bool {
        self.unmarked
    }

    /// Whether one is as large as it may grow, or is not there.
    pub(super) fn full(&self, name: &str) -> bool {
        self.live.get(name).is_none_or(|segment| segment.reserved >= self.size)
    }

    /// Whether its writer has written anything to it.
    pub(super) fn holds_some(&self, name: &str) -> bool {
        self.live.get(name).is_some_and(|segment| fstat(&segment.file).is_ok_and(|found| found.st_size > 0))
    }

    /// Whether its writer has used so much that it may ask for more: half of what was reserved last, or what it
    /// can't have written yet.
    pub(super) fn is_used(&self, name: &str) -> bool {
        let Some(segment) = self.live.get(name) else { return false };
        let length = fstat(&segment.file).map_or(0, |found| u64::try_from(found.st_size).unwrap_or(0));
        segment.reserved.saturating_sub(length) <= segment.step / 2 + UNWRITTEN
    }

    /// Makes a new one and reserves its first bytes.
    ///
    /// # Errors
    ///
    /// What the kernel answered; nothing is left behind.
    pub(super) fn create(&mut self, writer: Writer) -> io::Result<Created> {
        self.made += 1;
        let later = Timestamp::from_micros(self.latest.micros().saturating_add(1));
        self.latest = Timestamp::now().max(later);
        let name = name(self.latest, self.boot, writer, self.made);
        let flags = OFlag::O_APPEND | OFlag::O_WRONLY;
        let file = self.directory.create_file(OsStr::new(&name), flags, 0o640, None, self.readers);
        if file.is_err() {
            self.scarce = Some(Instant::now());
        }
        let file = Rc::new(file.map_err(plain)?);
        let segment = Segment {
            file: Rc::clone(&file),
            writer: writer.followed(self.boot),
            whose: writer.whose(),
            charged: 0,
            reserved: 0,
            step: FIRST.min(self.size),
            reserved_at: Instant::now(),
            finished: false,
        };
        self.live.insert(name.clone(), segment);
        match self.reserve(&name, 0) {
            Ok(reserved) => {
                // Last, since nothing but its length can be changed from here on.
                if let Err(error) = append_only::set(file.as_fd(), true) {
                    tracing::debug!(%error, segment = name, "not append-only");
                    self.unmarked = true;
                }
                Ok(Created { name, file, reserved })
            }
            Err(error) => {
                // A full disk must not fill with empty files too.
                self.discard(&name);
                Err(error)
            }
        }
    }

    /// Removes one that nobody has written to.
    pub(super) fn discard(&mut self, name: &str) {
        if let Some(segment) = self.live.remove(name) {
            self.unmark(name, &segment);
        }
        if let Err(error) = unlinkat(&self.directory, name, UnlinkatFlags::NoRemoveDir) {
            tracing::warn!(%error, segment = name, "an unused segment stays");
        }
    }

    /// Reserves further ahead of a writer that has used `used` bytes; up to where it may write now. At the
    /// segment's full size nothing is added: the writer needs another one.
    pub(super) fn reserve(&mut self, name: &str, used: u64) -> io::Result<u64> {
        let size = self.size;
        let segment = self.live.get_mut(name).ok_or(Errno::ENOENT)?;
        if segment.reserved >= size || segment.finished {
            return Ok(segment.reserved);
        }
        if segment.reserved > 0 {
            // Ahead of a fast writer by more, of a slow one by less.
            let soon = segment.reserved_at.elapsed() < SOON;
            segment.step =
                if soon { (segment.step * 2).min(STEP_MAX) } else { (segment.step / 2).max(FIRST) };
        }
        let used = used.min(segment.reserved);
        let upto = (used + segment.step).max(segment.reserved + FIRST).min(size);
        let length = upto.saturating_sub(segment.reserved);
        let offset = |bytes: u64| i64::try_from(bytes).map_err(|_| Errno::EFBIG);
        let flags = FallocateFlags::FALLOC_FL_KEEP_SIZE;
        match fallocate(&segment.file, flags, offset(segment.reserved)?, offset(length)?) {
            Ok(()) => self.scarce = None,
            Err(Errno::EOPNOTSUPP) => self.unreserved = true,
            Err(errno) => {
                self.scarce = Some(Instant::now());
                return Err(errno.into());
            }
        }
        segment.reserved = upto;
        segment.reserved_at = Instant::now();
        Ok(upto)
    }

    /// The same file for the scribe, to read. The name is opened again and must lead to the file that was made.
    pub(super) fn reader(&self, name: &str) -> io::Result<(OwnedFd, Followed)> {
        let segment = self.live.get(name).ok_or(Errno::ENOENT)?;
        let read = self.directory.open_file(OsStr::new(name), OFlag::O_RDONLY).map_err(plain)?;
        let (made, found) = (fstat(&segment.file)?, fstat(&read)?);
        if (made.st_dev, made.st_ino) != (found.st_dev, found.st_ino) {
            return Err(io::Error::other("another file has taken the segment's name"));
        }
        Ok((read, segment.writer))
    }

    /// A segment of before, to read: a plain file of ours with one name.
    ///
    /// # Errors
    ///
    /// It is not there, or not that.
    pub(super) fn earlier(&self, name: &str) -> io::Result<OwnedFd> {
        if SegmentName::parse(name).is_none() {
            return Err(io::Error::other("that is no segment's name"));
        }
        self.directory.open_file(OsStr::new(name), OFlag::O_RDONLY).map_err(plain)
    }

    /// The gates that write to segments which are not closed.
    pub(super) fn gates(&self) -> BTreeSet<u32> {
        self.live.values().filter_map(|segment| segment.writer.gate).collect()
    }

    /// Its writer is done with it.
    pub(super) fn finish(&mut self, name: &str) {
        if let Some(segment) = self.live.get_mut(name) {
            segment.finished = true;
        }
    }

    /// All that are not closed yet, and whether their writers are done.
    pub(super) fn live(&self) -> impl Iterator<Item = (&str, bool)> {
        self.live.iter().map(|(name, segment)| (name.as_str(), segment.finished))
    }

    /// The scribe closed it at `bytes`: its unused reservation goes back. Only a finished one, and only where
    /// its length is what the scribe says, so that nothing written is ever cut off; one that the scribe could not read
    /// is as long as it is.
    pub(super) fn release(&mut self, name: &str, bytes: Option<u64>) -> io::Result<()> {
        let Some(segment) = self.live.get(name) else { return self.release_earlier(name, bytes) };
        if !segment.finished {
            return Err(io::Error::other("its writer is not done with it"));
        }
        let length = length_of(&segment.file, bytes)?;
        let segment = self.live.remove(name).ok_or(Errno::ENOENT)?;
        self.left.note(name, &segment)?;
        self.unmark(name, &segment);
        Ok(ftruncate(&segment.file, length)?)
    }

    /// The same of one that an earlier start left.
    fn release_earlier(&self, name: &str, bytes: Option<u64>) -> io::Result<()> {
        let read = self.earlier(name)?;
        let length = length_of(&read, bytes)?;
        // Nothing can be opened to be cut while the flag is set.
        if append_only::is_set(read.as_fd()).unwrap_or(false) {
            append_only::set(read.as_fd(), false)?;
        }
        let write = self.directory.open_file(OsStr::new(name), OFlag::O_WRONLY).map_err(plain)?;
        // Not synced: nothing of it changes but what was reserved, and the next start would give that back.
        Ok(ftruncate(&write, length)?)
    }

    /// The scribe's own segment, once it has said its last word: there is no other scribe to close it.
    pub(super) fn release_last(&mut self, name: &str) -> io::Result<()> {
        self.finish(name);
        self.release(name, None)
    }

    fn unmark(&self, name: &str, segment: &Segment) {
        if let Err(error) = append_only::set(segment.file.as_fd(), false)
            && !self.unmarked
        {
            tracing::warn!(%error, segment = name, "it stays append-only");
        }
    }
}

/// The file's name: when it was made, and whose it is.
fn name(at: Timestamp, boot: BootId, writer: Writer, made: u64) -> String {
    let writer = match writer {
        Writer::Warden => "warden".to_owned(),
        Writer::Scribe => "scribe".to_owned(),
        Writer::Probe => "probe".to_owned(),
        Writer::Lane { uid: Some(uid), lane, .. } => format!("gate-{uid}-{lane}"),
        Writer::Lane { uid: None, lane, .. } => format!("gate-shared-{lane}"),
    };
    segment::name(at, boot, &format!("{writer}-{made}"))
}

/// A judgement where only its text, or the kernel's answer, counts.
fn plain(judged: Judged) -> io::Error {
    match judged.errno() {
        Some(errno) => io::Error::from_raw_os_error(errno),
        None => io::Error::other(judged),
    }
}

/// How long a file is, which must be what is said of it.
fn length_of(file: &OwnedFd, bytes: Option<u64>) -> io::Result<i64> {
    let length = fstat(file)?.st_size;
    match bytes {
        Some(bytes) if u64::try_from(length) != Ok(bytes) => {
            Err(io::Error::other(format!("it is {length} bytes long, not {bytes}")))
        }
        _ => Ok(length),
    }
}

#[cfg(test)]
pub(super) mod tests;
