//! What the page says of the record that it was made of.

use std::fmt;

use super::markup::Grouped;
use crate::audit::verify::{End, Report};
use crate::cli::audit::verify;

/// Damages that are listed.
const LISTED: usize = 10;

/// The verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trust {
    /// Nobody looked.
    Unknown,
    /// Nobody looked, and the record itself shows what nobody may have written.
    Bad,
    /// Nothing is wrong up to this instant.
    Verified(String),
    /// Something was changed, is missing, or does not lead to the pinned key.
    Damaged,
}

impl Trust {
    /// Its class in the style.
    pub(super) fn class(&self) -> &'static str {
        match self {
            Trust::Unknown => "unverified",
            Trust::Bad => "bad",
            Trust::Verified(_) => "verified",
            Trust::Damaged => "damaged",
        }
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trust::Unknown => f.write_str("Not verified."),
            Trust::Bad => f.write_str("Not to be trusted."),
            Trust::Verified(ts) => write!(f, "Verified through {ts}."),
            Trust::Damaged => f.write_str("Damaged: not to be trusted."),
        }
    }
}

/// The verdict of a verification, next to what a reader noticed; what there is to say of it is added to `told`.
pub(super) fn of(report: &Report, noticed: Trust, told: &mut Vec<String>) -> Trust {
    let listed = report.damages.iter().take(LISTED).map(|damage| format!("{}.", verify::told(damage)));
    let more = report.damages.len().saturating_sub(LISTED) as u64;
    let mut found: Vec<String> = listed.collect();
    if more > 0 {
        found.push(format!("And {} more: peergate audit verify lists them.", Grouped(more)));
    }
    let (sealed, unsealed) = (Grouped(report.sealed), Grouped(report.unsealed));
    found.push(format!("{sealed} records are sealed, {unsealed} are not yet."));
    found.push(format!("The end is {}.", verify::ended(report)));
    told.splice(0..0, found);
    match (&report.trusted, &report.end) {
        (Some((.., ts)), end) if report.damages.is_empty() && *end != Some(End::Denied) => {
            // Sealed as it was written, and written by who may not.
            if noticed == Trust::Bad { noticed } else { Trust::Verified(ts.clone()) }
        }
        _ => Trust::Damaged,
    }
}
