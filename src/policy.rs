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

mod body;
mod caps;
mod cases;
mod check;
#[cfg(feature = "cli")]
mod coverage;
mod decide;
mod diagnostics;
#[cfg(feature = "cli")]
mod draft;
#[cfg(feature = "cli")]
mod explain;
mod file;
#[cfg(feature = "cli")]
pub mod grants;
mod hidden;
#[cfg(feature = "cli")]
mod hindsight;
mod include;
mod keys;
#[cfg(feature = "cli")]
mod layout;
#[cfg(feature = "cli")]
pub mod lint;
mod names;
mod near;
mod needs;
mod params;
mod pattern;
mod quantity;
mod reader;
mod reads;
mod rules;
#[cfg(feature = "cli")]
mod schema;
mod sets;
#[cfg(feature = "cli")]
pub mod snapshot;
mod subject;
mod table;
mod times;
mod tree;
mod value;
mod zones;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use body::{BadPointer, JsonRule, Offence, Others, Pointer, Token};
pub use caps::Cap;
pub use check::Own;
#[cfg(feature = "cli")]
pub use coverage::{Touched, coverage};
pub use decide::{Decider, Denial, Headed, Offer, Permit, Terms, Unjudged, Unread, Verdict};
pub use diagnostics::{Diagnostic, Diagnostics};
#[cfg(feature = "cli")]
pub use draft::Draft;
#[cfg(feature = "cli")]
pub use explain::{
    Apart, Explained, ForbidStep, Key, Miss, RouteStep, Steps, WhoStep, explain, explain_at, explain_by,
    explain_part, steps,
};
#[cfg(feature = "cli")]
pub use hindsight::{Hindsight, Lacks, Past, Recalled};
pub use include::{Beside, Include, Includes, NoIncludes, Source};
#[cfg(feature = "cli")]
pub use layout::layout;
pub use names::{Group, Names, SystemNames, Unanswered, User};
#[cfg(feature = "cli")]
pub(crate) use params::judge_values;
pub use params::{Argument, Given, gathered, members_of};
pub use pattern::{Pattern, VersionPrefix};
pub use reads::Noted;
#[cfg(feature = "cli")]
pub(crate) use reads::is_hash;
#[cfg(feature = "cli")]
pub use schema::{schema, schema_of_included};
pub use subject::Subject;
pub use table::{
    Address, AuditSettings, Backend, BackendKind, Bounds, Broken, Cage, Command, DaemonSettings,
    DiagnosticsSettings, Feed, Field, Forbid, Gates, IdentityDepth, Listener, Named, NamespaceRule, OnLeave,
    Only, Origin, Parameter, Part, Policy, Rate, Reads, Recorded, Rlimit, Route, RunsAs, Sandbox, Syslog,
    Table, Template, Wanted, Wants, Who, WhoId, WhoLimits, Window, Witness, Zone,
};
pub use value::{Charset, IntRange, Kind, Text};

use diagnostics::Problems;

/// The longest policy that is read, in bytes.
pub const LONGEST: usize = 4 << 20;

/// Reads a policy's text: every name resolved, every reference checked, every test of its own run. `file` is
/// what messages and records call it. All mistakes come at once.
pub fn load_text(file: &str, text: &str, names: &impl Names, own: &Own) -> Result<Policy, Diagnostics> {
    load_files(file, text, &NoIncludes, names, own)
}

/// As [`load_text`], with the files that it includes.
pub fn load_files(
    file: &str,
    text: &str,
    includes: &impl Includes,
    names: &impl Names,
    own: &Own,
) -> Result<Policy, Diagnostics> {
    let (policy, _, cases, included) = read_files(file, text, includes, names, own)?;
    let mut problems = problems_of(text, &included);
    cases::run(&policy, &cases, &mut problems);
    if !problems.is_empty() {
        return Err(problems.failed(file));
    }
    Ok(Arc::unwrap_or_clone(policy))
}

/// For what is found in a policy once it was read.
fn problems_of<'t>(text: &'t str, included: &[Source]) -> Problems<'t> {
    let mut problems = Problems::new(text);
    for source in included {
        problems.append(&source.name, &source.text);
    }
    problems
}

/// A policy as it is meant and as it is written, its tests, which were not run, and what it includes.
type Parts = (Arc<Policy>, file::File, Vec<check::Case>, Vec<Source>);

fn read_files(
    file: &str,
    text: &str,
    includes: &impl Includes,
    names: &impl Names,
    own: &Own,
) -> Result<Parts, Diagnostics> {
    if text.len() > LONGEST {
        return Err(check::too_long(file, text.len(), LONGEST));
    }
    let mut problems = Problems::new(text);
    let first = Source { name: file.to_owned(), text: text.to_owned() };
    let Some((written, hash, included)) = include::read(&first, includes, LONGEST, &mut problems) else {
        return Err(problems.failed(file));
    };
    let meant = check::check(file, hash, &written, names, own, &mut problems);
    let (Some((table, cases)), true) = (meant, problems.is_empty()) else {
        return Err(problems.failed(file));
    };
    let policy = Policy::new(table).map_err(|broken| Diagnostics::whole(file, broken.to_string(), None))?;
    Ok((Arc::new(policy), written, cases, included))
}

/// As [`load_text`], from the bytes of a file.
pub fn load_bytes(file: &str, bytes: &[u8], names: &impl Names, own: &Own) -> Result<Policy, Diagnostics> {
    load_draft(file, bytes, &NoIncludes, names, own)
}

/// As [`load_files`], from the bytes of a file.
pub fn load_draft(
    file: &str,
    bytes: &[u8],
    includes: &impl Includes,
    names: &impl Names,
    own: &Own,
) -> Result<Policy, Diagnostics> {
    load_files(file, as_text(file, bytes)?, includes, names, own)
}

/// The text of a file that is short enough to be a policy.
///
/// # Errors
/// It is longer, or no UTF-8.
pub fn as_text<'b>(file: &str, bytes: &'b [u8]) -> Result<&'b str, Diagnostics> {
    if bytes.len() > LONGEST {
        return Err(check::too_long(file, bytes.len(), LONGEST));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let message = format!("line {line} holds bytes that are no UTF-8");
        Diagnostics::whole(file, message, Some("write the file in UTF-8"))
    })
}
