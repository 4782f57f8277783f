//! peergate: a security-hardened local API server. The kernel names the caller, a policy decides, and every
//! access is on record before it takes effect.
//!
//! # Floors
//!
//! Each module imports only from its own floor's lower neighbours; `tests/house.rs` holds that.
//!
//! | floor | module | what it says |
//! |---|---|---|
//! | 0 | [`sys`] | the kernel; the only home of `unsafe` |
//! | 1 | [`model`] | the words: caller, target, refusal, outcome, limits, ids; pure values |
//! | 2 | [`policy`] | as written → as meant → decide; the only maker of a `Permit` |
//! | 2 | [`audit`] | entries, their encoding, segments; the only maker of a `Receipt` |
//! | 2 | [`diagnostics`] | lines for who runs it; never the record |
//! | 3 | [`wire`] | typed messages between the roles |
//! | 3 | [`confine`] | what a role gives up, and how it knows |
//! | 4 | [`warden`], [`gate`], [`scribe`], [`runner`] | the roles, each its own process |
//! | 5 | `cli` | the operator's commands (feature `cli`) |
//!
//! # Invariants
//!
//! - Only [`policy`] makes a `Permit`; only [`audit`] makes a `Receipt<Permit>` or a `Durable<Permit>`; a backend takes
//!   nothing but a `Recorded`, which the gate makes of the one that the route asks for.
//! - An attribute of a caller that could not be read is unknown: it never satisfies an allow and always
//!   satisfies a forbid.
//! - A request is read once. What was judged is what is forwarded.

#![allow(
    rustdoc::private_intra_doc_links,
    reason = "a role's map names its private rooms; the docs are built with them"
)]

pub mod audit;
pub mod confine;
pub mod diagnostics;
pub mod gate;
pub mod model;
pub mod policy;
pub mod runner;
pub mod scribe;
pub mod sys;
pub mod warden;
pub mod wire;

#[cfg(feature = "cli")]
pub mod cli;
