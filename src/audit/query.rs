//! A review's questions: which accesses, by whom, when; each put together from the records that it left.
//!
//! [`Join`] turns the lines of a [`Reader`](super::reader::Reader) into [`Item`]s, in the order in which they ended;
//! [`Filter`] says which of them were asked for. Both read by the rules of belief: what only the warden or the scribe
//! can know counts in their own segments alone, and a gate speaks for the callers of its own uid alone. What breaks
//! these rules is not dropped: it comes as [`Item::Disbelieved`].

pub mod access;
pub mod cover;
pub mod filter;
mod glob;
pub mod join;
pub mod parts;
pub mod search;
pub mod stock;
pub mod when;

pub use access::{Access, Doubt, Item, Recorded, Told};
pub use filter::Filter;
pub use join::Join;
pub use parts::{Conn, Decision, Exit, Grant, Held, Outcome, Repeat};
