//! What is written down: entries, their encoding, and the segments they are appended to. The only maker of a
//! `Receipt`.
//!
//! An [`entry::Entry`] becomes a line by [`encode`]; [`log`] appends it to the writer's segment and, once its
//! bytes are in the file, hands out the [`log::Receipt`] without which no effect can begin.
//!
//! A writer and a reader by themselves:
//!
//! ```
//! use peergate::audit::entry::{Entry, PolicyEvent};
//! use peergate::audit::log::Log;
//! use peergate::audit::plain::Record;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("segment.ndjson");
//! let segment = std::fs::OpenOptions::new().append(true).create_new(true).open(&path)?;
//! // One log a thread; so many bytes may be written.
//! let log = Log::new(segment.into(), 1 << 20);
//! let entry = Entry::Policy(PolicyEvent { old: None, new: Some("9f2c1e77"), file: "p.toml", refused: None });
//! // What may only happen once this is written down goes in, and comes out of the receipt alone.
//! let noted = log.note("the effect", &entry)?;
//! log.flush()?;
//! assert_eq!(log.receipt(noted)?.into_inner(), "the effect");
//!
//! let text = std::fs::read_to_string(&path)?;
//! let record = text.lines().next().and_then(|line| Record::parse(line.as_bytes()));
//! assert!(record.is_some());
//! # Ok(())
//! # }
//! ```
//!
//! The verifier is `verify::verify` (feature `cli`): a directory and the pinned keys in, damages and their kinds out. The
//! page [`chain`] seals such a record without a scribe, and verifies it.
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
