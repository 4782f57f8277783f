//! The package as a real service: on a systemd of its own it is installed, called, reloaded, killed, upgraded,
//! stopped and purged, and looked at from outside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

#[path = "service/callers.rs"]
mod callers;
#[path = "service/commands.rs"]
mod commands;
#[cfg(feature = "cli")]
#[path = "service/embedded.rs"]
mod embedded;
#[path = "service/house.rs"]
mod house;
#[path = "service/life.rs"]
mod life;
#[path = "service/machine.rs"]
mod machine;
#[path = "service/narrow.rs"]
mod narrow;
#[path = "service/rights.rs"]
mod rights;
#[path = "service/witness.rs"]
mod witness;
