//! What callers are told: how the scribe stands, and what it is told for it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::{Scribe, metrics};
use crate::policy::Policy;
use crate::sys::memfd;
use crate::wire::channel::exactly;
use crate::wire::told::{Lag, Serve};

/// No policy's memory is larger.
const POLICY_MAX: usize = 64 << 20;

impl Scribe {
    /// A policy came into force.
    pub(super) fn know(&mut self, descriptors: Vec<OwnedFd>) {
        let policy = exactly(descriptors).and_then(|[memory]| {
            let bytes = memfd::read_sealed(memory.as_fd(), POLICY_MAX)?;
            Policy::from_bytes(&bytes).map_err(io::Error::other)
        });
        match policy {
            Ok(policy) => self.live.know(&policy),
            // Routes that it does not know are counted together; the record is as good as before.
            Err(error) => tracing::error!(%error, "the scribe can't read the policy's names"),
        }
    }

    /// Somebody is to be answered.
    pub(super) fn answer(&mut self, serve: Serve, descriptors: Vec<OwnedFd>) {
        match exactly(descriptors) {
            Ok([socket]) => self.live.serve(socket, serve, self.now()),
            Err(error) => tracing::error!(%error, "there is no answering a caller"),
        }
    }

    /// How far behind it is.
    pub(super) fn lag(&self) -> Lag {
        Lag { unsealed: self.unsealed(), sync_p99_us: self.live.counters.sync_p99() }
    }

    /// Bytes of others that no seal covers.
    fn unsealed(&self) -> u64 {
        self.followed.values().map(|segment| segment.length().saturating_sub(segment.sealed())).sum()
    }

    fn now(&self) -> metrics::Own {
        metrics::Own {
            unsynced: self.followed.values().map(super::Followed::unsynced).sum(),
            unsealed: self.unsealed(),
            seal_age: self.sealed.map(|_| self.sealed_at.elapsed()),
            seal: self.sealed.map(|sealed| (sealed.epoch, sealed.i)),
            segments: self.followed.len() as u64,
            lost_lines: self.lost_lines,
            ..metrics::Own::default()
        }
    }
}
