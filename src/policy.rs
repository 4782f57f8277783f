//! Who may ask what: a file as it is written, checked into a [`Policy`] as it is meant, asked by a [`Decider`].
//!
//! [`load_text`] reads, checks and tries a file, with every mistake at once; [`Decider::decide`] is the only
//! maker of a [`Permit`]. The language is described in the manual page `policy`.

mod cases;
mod check;
mod decide;
mod diagnostics;
#[cfg(feature = "cli")]
mod explain;
mod file;
mod hidden;
#[cfg(feature = "cli")]
mod hindsight;
mod keys;
mod names;
mod near;
mod params;
mod pattern;
mod quantity;
mod reader;
mod rules;
mod subject;
mod table;
mod tree;
mod value;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use sha2::{Digest, Sha256};

pub use check::Own;
pub use decide::{Decider, Denial, Offer, Permit, Terms, Verdict};
pub use diagnostics::{Diagnostic, Diagnostics};
#[cfg(feature = "cli")]
pub use explain::{Apart, Explained, Key, Miss, explain, explain_by};
#[cfg(feature = "cli")]
pub use hindsight::{Hindsight, Lacks, Past, Recalled};
pub use names::{Group, Names, SystemNames, Unanswered, User};
pub use params::{Argument, Given, gathered};
pub use pattern::{Pattern, VersionPrefix};
pub use subject::Subject;
pub use table::{
    Address, AuditSettings, Backend, BackendKind, Bounds, Broken, Cage, Command, DaemonSettings,
    DiagnosticsSettings, Feed, Forbid, Gates, IdentityDepth, Listener, Named, NamespaceRule, OnLeave, Only,
    Origin, Parameter, Part, Policy, Rlimit, Route, Sandbox, Syslog, Table, Template, Wanted, Who, WhoId,
    Witness,
};
pub use value::{Charset, IntRange, Kind, Text};

use diagnostics::Problems;

/// The longest policy that is read, in bytes.
pub const LONGEST: usize = 4 << 20;

/// Reads a policy's text: every name resolved, every reference checked, every test of its own run. `file` is
/// what messages and records call it. All mistakes come at once.
pub fn load_text(file: &str, text: &str, names: &impl Names, own: &Own) -> Result<Policy, Diagnostics> {
    if text.len() > LONGEST {
        return Err(check::too_long(file, text.len(), LONGEST));
    }
    let mut problems = Problems::new(text);
    let Some(written) = file::read(text, &mut problems) else {
        return Err(problems.failed(file));
    };
    let hash = Sha256::digest(text.as_bytes()).into();
    let meant = check::check(file, hash, &written, names, own, &mut problems);
    let (Some((table, cases)), true) = (meant, problems.is_empty()) else {
        return Err(problems.failed(file));
    };
    let policy = Policy::new(table).map_err(|broken| Diagnostics::whole(file, broken.to_string(), None))?;
    let policy = Arc::new(policy);
    cases::run(&policy, &cases, &mut problems);
    if !problems.is_empty() {
        return Err(problems.failed(file));
    }
    Ok(Arc::unwrap_or_clone(policy))
}

/// As [`load_text`], from the bytes of a file.
pub fn load_bytes(file: &str, bytes: &[u8], names: &impl Names, own: &Own) -> Result<Policy, Diagnostics> {
    if bytes.len() > LONGEST {
        return Err(check::too_long(file, bytes.len(), LONGEST));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => load_text(file, text, names, own),
        Err(error) => {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            let message = format!("line {line} holds bytes that are no UTF-8");
            Err(Diagnostics::whole(file, message, Some("write the file in UTF-8")))
        }
    }
}
