//! capabilities(7): down to what the plan keeps, in all five sets, and no way back.

use caps::{CapSet, Capability, CapsHashSet};

use super::plan::Plan;
use crate::sys::process::securebits;

/// Keeps what the plan says and drops the rest. A process without CAP_SETPCAP can't change its bounding set or
/// its securebits; where it is nobody's (the daemon runs as an ordinary user) both are as they were, and the
/// posture says so.
pub(super) fn reduce(plan: &Plan) -> Result<(), String> {
    let said = |error: caps::errors::CapsError| error.to_string();
    let keep: CapsHashSet = plan.capabilities.iter().map(|kept| kept.capability).collect();
    caps::clear(None, CapSet::Ambient).map_err(said)?;
    caps::clear(None, CapSet::Inheritable).map_err(said)?;
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).map_err(said)? {
        for capability in caps::runtime::thread_all_supported().difference(&keep) {
            caps::drop(None, CapSet::Bounding, *capability).map_err(said)?;
        }
        securebits::lock().map_err(|error| format!("securebits: {error}"))?;
    }
    let held = caps::read(None, CapSet::Permitted).map_err(said)?;
    let left: CapsHashSet = held.intersection(&keep).copied().collect();
    // The effective set first: it must stay within the permitted one.
    caps::set(None, CapSet::Effective, &left).map_err(said)?;
    caps::set(None, CapSet::Permitted, &left).map_err(said)
}
