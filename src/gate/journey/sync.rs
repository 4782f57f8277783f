//! Waiting for the disk.

use std::time::Duration;

use super::{Stop, Traveller};
use crate::audit::log::Receipt;
use crate::gate::recorded::Recorded;
use crate::model::refusal::Refusal;
use crate::policy::Permit;

impl Traveller<'_> {
    /// Waits until the record is on the disk, for a while: a disk that hangs holds up nobody for ever.
    pub(super) async fn sync(&self, receipt: Receipt<Permit>) -> Result<Recorded, Stop> {
        let limit = Duration::from_millis(self.policy.decider.policy().limits.sync_ms.into());
        match tokio::time::timeout(limit, self.connection.lane.record.log.durable(receipt)).await {
            Ok(Ok(durable)) => Ok(Recorded::durable(durable)),
            Ok(Err(_)) | Err(_) => Err(Stop::Failed(Refusal::AuditNotDurable)),
        }
    }
}
