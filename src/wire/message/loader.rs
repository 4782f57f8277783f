//! What the loader says.

use serde::{Deserialize, Serialize};

/// The loader's one answer to the warden.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromLoader {
    /// The policy is good. Descriptor: it, as a sealed memfd.
    Loaded {
        /// Ids that belong to nobody, where the policy names no users for the roles and the daemon is root.
        free_ids: Vec<u32>,
    },
    /// The loader could not be confined, and so has not read it.
    Unconfined {
        /// Which layer is missing, and why.
        why: String,
    },
    /// A name service does not answer, and nothing else is wrong: why, in lines for people.
    Unanswered {
        /// The diagnostics, cut to what a message holds.
        why: String,
    },
    /// It is not, and why, in lines for people.
    Refused {
        /// The diagnostics, cut to what a message holds.
        why: String,
    },
}
