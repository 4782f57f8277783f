//! What is written down: entries, their encoding, and the segments they are appended to. The only maker of a
//! `Receipt`.
//!
//! An [`entry::Entry`] becomes a line by [`encode`]; [`log`] appends it to the writer's segment and, once its
//! bytes are in the file, hands out the [`log::Receipt`] without which no effect can begin.
#![doc = include_str!("manual/audit.md")]

#[cfg(feature = "cli")]
pub mod anomalies;
pub mod chain;
pub mod encode;
pub mod entry;
pub mod inspect;
pub mod log;
pub mod plain;
#[cfg(feature = "cli")]
pub mod query;
pub mod reader;
pub mod retention;
pub mod secret;
pub mod segment;
pub mod vault;
#[cfg(feature = "cli")]
pub mod verify;
