//! What is written down: entries, their encoding, and the segments they are appended to. The only maker of a
//! `Receipt`.

pub mod entry;
