//! What the whos that hold for a caller let it use: each of their limits holds, and so the tightest.

use std::sync::Arc;

use super::table::{Policy, WhoLimits};

/// The limits of one who.
#[derive(Debug, PartialEq, Eq)]
pub struct Cap {
    /// Whose: `who.ci`.
    pub by: Arc<str>,
    /// Where it stands: `policy.toml:42`.
    pub at: Arc<str>,
    /// What they are; never none.
    pub limits: WhoLimits,
}

/// The caps of a policy, by the place of the who.
pub(super) fn of(policy: &Policy) -> Vec<Option<Arc<Cap>>> {
    let cap = |who: &super::Who| {
        (!who.limits.is_empty()).then(|| {
            let by = format!("who.{}", who.name).into();
            Arc::new(Cap { by, at: policy.place(who.line).into(), limits: who.limits.clone() })
        })
    };
    policy.whos.iter().map(cap).collect()
}
