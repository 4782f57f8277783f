//! The scribe's own segment: when each of the others was complete.

use std::io;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::unistd::fdatasync;

use super::follow::Followed;
use crate::audit::entry::{Close, Entry, Open};
use crate::audit::log::Log;
use crate::model::ids::BootId;
use crate::model::posture::Confinement;

/// Reserved at a time.
const STEP: u64 = 1 << 20;

/// What the warden said at the start.
pub(super) struct Start<'a> {
    pub(super) boot: BootId,
    pub(super) reserved: u64,
    pub(super) policy: &'a str,
    pub(super) missing: &'a [String],
    /// What this process found when it read itself back.
    pub(super) posture: &'a Confinement,
}

/// The segment and its log.
pub(super) struct Own {
    /// The same open file as the log's.
    segment: OwnedFd,
    log: Log,
    reserved: u64,
    synced: u64,
}

impl Own {
    /// Begins it with its `open` record.
    pub(super) fn begin(segment: OwnedFd, start: Start<'_>) -> io::Result<Own> {
        let log = Log::new(segment.try_clone()?, start.reserved);
        let mut own = Own { segment, log, reserved: start.reserved, synced: 0 };
        own.write(&Entry::Open(Open {
            boot: start.boot,
            role: "scribe",
            uid: None,
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION"),
            policy: start.policy,
            missing: start.missing,
            posture: start.posture,
        }))?;
        Ok(own)
    }

    /// Writes that `segment` is complete.
    pub(super) fn close(&mut self, name: &str, segment: &Followed) -> io::Result<()> {
        tracing::debug!(segment = name, lines = segment.lines(), bytes = segment.length(), "closed");
        self.write(&Entry::Close(Close { segment: name, bytes: segment.length(), torn: segment.torn() }))
    }

    /// A segment that can't be written ends the scribe: the next one begins a fresh segment.
    fn write(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        if self.log.wants_space().is_some() {
            self.reserve();
        }
        let noted = self.log.note((), entry).map_err(io::Error::other)?;
        self.log.receipt(noted).map_err(io::Error::other)?;
        Ok(())
    }

    /// The warden reserves for writers who may not; the scribe can ask the file system itself.
    fn reserve(&mut self) {
        let flags = FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let length = (self.reserved + STEP).try_into().unwrap_or(i64::MAX);
        match fallocate(&self.segment, flags, 0, length) {
            // Where it can't be reserved a full disk is met at the write, and ends the scribe there.
            Ok(()) | Err(Errno::EOPNOTSUPP) => {
                self.reserved += STEP;
                self.log.reserve(self.reserved);
            }
            Err(errno) => {
                tracing::warn!(errno = errno.desc(), "no disk space can be reserved for the scribe")
            }
        }
    }

    /// Another descriptor of the segment's open file.
    pub(super) fn duplicate(&self) -> io::Result<OwnedFd> {
        self.segment.try_clone()
    }

    /// Makes it durable.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        let written = self.log.written_bytes();
        if written > self.synced {
            fdatasync(&self.segment)?;
            self.synced = written;
        }
        Ok(())
    }
}
