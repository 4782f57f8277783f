//! The scribe's own segment: one for each epoch. What it says of the others, and the seals over that.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::unistd::fdatasync;
use sha2::{Digest as _, Sha256};

use crate::audit::chain::{Digest, Handover, Sealed, Secret, Signer};
use crate::audit::encode;
use crate::audit::entry::{Entry, Open};
use crate::audit::log::Log;
use crate::model::ids::BootId;
use crate::model::posture::Confinement;

/// Reserved at a time.
const STEP: u64 = 1 << 20;

/// What each of its segments begins with.
#[derive(Debug, Clone)]
pub(super) struct Start {
    pub(super) boot: BootId,
    pub(super) policy: String,
    pub(super) missing: Vec<String>,
    /// What this process found when it read itself back.
    pub(super) posture: Confinement,
}

/// The segment and its log.
pub(super) struct Own {
    name: String,
    /// The same open file as the log's.
    segment: Arc<File>,
    log: Log,
    reserved: u64,
    /// Bytes noted so far, and a hash of those since the latest seal, its line included.
    length: u64,
    span: Sha256,
    /// Bytes that are no seal of the latest round: something that a seal has to cover.
    unsealed: bool,
    synced: u64,
    signer: Option<Signer>,
}

impl Own {
    /// Begins it with its `open` record.
    pub(super) fn begin(name: String, segment: OwnedFd, reserved: u64, start: &Start) -> io::Result<Own> {
        let log = Log::new(segment.try_clone()?, reserved);
        let segment = Arc::new(File::from(segment));
        let (length, span) = (0, Sha256::new());
        let mut own =
            Own { name, segment, log, reserved, length, span, unsealed: false, synced: 0, signer: None };
        own.note(&Entry::Open(Open {
            boot: start.boot,
            role: "scribe",
            uid: None,
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION"),
            policy: &start.policy,
            missing: &start.missing,
            posture: &start.posture,
        }))?;
        own.write()?;
        Ok(own)
    }

    /// Begins the epoch, behind the `open`; the line, with its LF, as the file of all epochs has it too.
    pub(super) fn begin_epoch(&mut self, handover: Handover, prev: Option<Digest>) -> io::Result<Vec<u8>> {
        let first = Secret::random()?;
        let mut line = Vec::new();
        let mut signer = None;
        self.line(|n, ts, out| {
            let begin = out.len();
            signer = Some(handover.begin(first, prev, n, ts, out));
            line.extend_from_slice(out.get(begin..).unwrap_or_default());
        })?;
        self.write()?;
        self.signer = signer;
        Ok(line)
    }

    /// Notes a record; it is in the file after [`Own::write`].
    pub(super) fn note(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        self.line(|n, ts, out| encode::line(entry, n, ts, out))
    }

    fn line(
        &mut self,
        write: impl FnOnce(u64, crate::model::time::Timestamp, &mut Vec<u8>),
    ) -> io::Result<()> {
        if self.log.wants_space().is_some() {
            self.reserve();
        }
        let (span, length) = (&mut self.span, &mut self.length);
        let noted = self.log.note_line((), |n, ts, out| {
            let begin = out.len();
            write(n, ts, out);
            let line = out.get(begin..).unwrap_or_default();
            span.update(line);
            *length += line.len() as u64;
        });
        // What becomes of it the write will tell.
        drop(noted.map_err(io::Error::other)?);
        self.unsealed = true;
        Ok(())
    }

    /// Writes what is noted. A segment that can't be written ends the scribe: the next one begins a fresh segment.
    pub(super) fn write(&mut self) -> io::Result<()> {
        self.log.flush().map_err(io::Error::other)
    }

    /// Seals all that is noted, and writes it in one piece with its seal. `None`: there is no key yet.
    pub(super) fn seal(&mut self) -> io::Result<Option<Sealed>> {
        let Some(mut signer) = self.signer.take() else {
            self.write()?;
            return Ok(None);
        };
        let next = Secret::random()?;
        let (to, hash) = (self.length, Digest(std::mem::take(&mut self.span).finalize().into()));
        let mut sealed = None;
        self.line(|n, ts, out| sealed = Some(signer.seal(to, hash, next, n, ts, out)))?;
        self.write()?;
        self.signer = Some(signer);
        self.unsealed = false;
        Ok(sealed)
    }

    /// Hash of the latest seal, this epoch's or one before.
    pub(super) fn last_seal(&self) -> Option<Digest> {
        self.signer.as_ref().and_then(Signer::last)
    }

    /// Whether there is something that the latest seal does not cover, but for its own line.
    pub(super) fn is_unsealed(&self) -> bool {
        self.unsealed
    }

    /// The warden reserves for writers who may not; the scribe can ask the file system itself.
    fn reserve(&mut self) {
        let flags = FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let length = (self.reserved + STEP).try_into().unwrap_or(i64::MAX);
        match fallocate(&*self.segment, flags, 0, length) {
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

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// How long it is.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Another descriptor of the segment's open file.
    pub(super) fn duplicate(&self) -> io::Result<OwnedFd> {
        self.segment.as_fd().try_clone_to_owned()
    }

    /// For the thread that syncs, where that has something to do: the file, and how long it is.
    pub(super) fn unsynced(&self) -> Option<(Arc<File>, u64)> {
        (self.length > self.synced).then(|| (Arc::clone(&self.segment), self.length))
    }

    /// So many bytes are durable.
    pub(super) fn synced_to(&mut self, upto: u64) {
        self.synced = self.synced.max(upto);
    }
}

/// Makes a file's bytes durable.
pub(super) fn sync(file: &File) -> Result<(), Errno> {
    fdatasync(file)
}
