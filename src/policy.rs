//! Who may ask what: a file as it is written, checked into a [`Policy`] as it is meant, asked by a [`Decider`].
//!
//! [`load_text`] reads, checks and tries a file, with every mistake at once; [`Decider::decide`] is the only
//! maker of a [`Permit`]. The language is described in the manual page `policy`.
//!
//! ```
//! use std::sync::Arc;
//! use peergate::model::caller::{Gid, Uid};
//! use peergate::model::ids::ListenerId;
//! use peergate::model::method::Method;
//! use peergate::model::target::{Asked, Target};
//! use peergate::policy::{Decider, Own, SystemNames, Verdict, load_text};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let text = r#"
//! version = 1
//! [listen.api]
//! path = "/run/example/api.sock"
//! [backend.api]
//! builtin = "api"
//! [who.us]
//! uid = 0
//! [[route]]
//! id    = "read"
//! match = ["GET /items/{id:int}"]
//! to    = "api"
//! allow = ["us"]
//! "#;
//! let own = Own::system(Uid::try_from(0)?, Gid::try_from(0)?);
//! let policy = load_text("example.toml", text, &SystemNames, &own)?;
//! let decider = Decider::new(Arc::new(policy));
//!
//! # let (socket, _theirs) = std::os::unix::net::UnixStream::pair()?;
//! let caller = peergate::peer::identify(&socket)?;
//! let api = ListenerId(0);
//! let subject = decider.recognise(api, caller.details());
//! let judge = |target: &[u8]| {
//!     let (method, target) = (Method::parse(b"GET")?, Target::parse(target)?);
//!     Ok::<_, peergate::model::refusal::Refusal>(
//!         decider.decide(api, &subject, &Asked { method: &method, target: &target, upgrade: None }),
//!     )
//! };
//! if caller.uid() == Some(0) {
//!     assert!(matches!(judge(b"/items/7")?, Verdict::Allow(permit) if permit.by() == "who.us"));
//! }
//! assert!(matches!(judge(b"/items/seven")?, Verdict::Deny(_)));
//! assert!(judge(b"/items/../7").is_err(), "refused before any rule is asked");
//! # Ok(())
//! # }
//! ```

mod cases;
mod check;
mod decide;
mod diagnostics;
#[cfg(feature = "cli")]
mod explain;
mod file;
mod hidden;
mod keys;
mod names;
mod near;
mod pattern;
mod quantity;
mod reader;
mod rules;
mod subject;
mod table;
mod tree;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use sha2::{Digest, Sha256};

pub use check::Own;
pub use decide::{Decider, Denial, Offer, Permit, Terms, Verdict};
pub use diagnostics::{Diagnostic, Diagnostics};
#[cfg(feature = "cli")]
pub use explain::{Apart, Explained, Key, Miss, explain};
pub use names::{Group, Names, SystemNames, Unanswered, User};
pub use pattern::{Pattern, VersionPrefix};
pub use subject::Subject;
pub use table::{
    Address, AuditSettings, Backend, BackendKind, Broken, DaemonSettings, DiagnosticsSettings, Feed, Forbid,
    Gates, IdentityDepth, Listener, Named, NamespaceRule, Only, Policy, Route, Syslog, Table, Who, WhoId,
    Witness,
};

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
