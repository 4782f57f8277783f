//! peergate: a security-hardened local API server. The kernel names the caller, a policy decides, and every
//! access is on record before it takes effect.
//!
//! # For programs that embed it
//!
//! | what | where |
//! |---|---|
//! | a program's own `Router` behind the whole daemon | [`Server`], [`App`], [`Daemon`]; the page [`server`] |
//! | what handlers learn and may ask | [`Caller`], [`Grant`], [`Backend`], [`Setup`], [`Stopping`] |
//! | who is at the other end of a socket | [`peer`] |
//! | a listening socket that is right from its first moment | [`listen`] |
//! | the policy: load, decide | [`policy`], in the words of [`model`] |
//! | the record: write, read, verify | [`audit`] |
//!
//! These follow semantic versioning (`tests/public-api.txt`). Everything else is public for the two programs of this
//! package alone: hidden here, and changed when they do.
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
//! | 4 | [`warden`], [`gate`], [`scribe`], [`runner`], [`app`] | the roles, each its own process |
//! | 5 | [`server`] | the daemon's command line; a program's own apps; which role this process is |
//! | 5 | [`peer`], [`listen`] | pieces for programs that want no daemon |
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

pub mod app;
pub mod audit;
#[cfg_attr(not(house), doc(hidden))]
pub mod confine;
#[cfg_attr(not(house), doc(hidden))]
pub mod diagnostics;
#[cfg_attr(not(house), doc(hidden))]
pub mod gate;
pub mod listen;
pub mod model;
pub mod peer;
pub mod policy;
#[cfg_attr(not(house), doc(hidden))]
pub mod runner;
#[cfg_attr(not(house), doc(hidden))]
pub mod scribe;
pub mod server;
#[cfg_attr(not(house), doc(hidden))]
pub mod sys;
#[cfg_attr(not(house), doc(hidden))]
pub mod warden;
#[cfg_attr(not(house), doc(hidden))]
pub mod wire;

#[cfg(feature = "cli")]
#[cfg_attr(not(house), doc(hidden))]
pub mod cli;

pub use app::{Backend, Caller, Grant, Setup, Stopping, Unguarded, Unreachable};
pub use axum;
pub use server::{App, Daemon, Server};
