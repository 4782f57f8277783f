//! That a permission is on record as its route wants it: what a backend takes.

use std::ops::Deref;

use super::lane::ByJournal;
use crate::audit::log::{Durable, Receipt};
use crate::model::keeping::Durability;
use crate::policy::Permit;

/// A permission whose record is where its route wants it to be before its effect. Made of what a log gives out, and
/// of nothing less than the route asks for.
#[derive(Debug)]
pub(super) struct Recorded(Permit);

impl Recorded {
    /// A record in the kernel is all that the route asks for.
    ///
    /// # Errors
    ///
    /// It asks for more: the receipt, for [`Log::durable`](crate::audit::log::Log::durable).
    pub(super) fn written(receipt: Receipt<Permit>) -> Result<Recorded, Receipt<Permit>> {
        match receipt.terms().durability {
            Durability::Write => Ok(Recorded(receipt.into_inner())),
            Durability::Sync => Err(receipt),
        }
    }

    /// The journal stands in: what the warden opened is the proof that it has the record.
    pub(super) fn journalled(permit: Permit, _by: &ByJournal) -> Recorded {
        Recorded(permit)
    }

    /// A record on the disk is all that any route asks for.
    pub(super) fn durable(durable: Durable<Permit>) -> Recorded {
        Recorded(durable.into_inner())
    }
}

impl Deref for Recorded {
    type Target = Permit;

    fn deref(&self) -> &Permit {
        &self.0
    }
}
