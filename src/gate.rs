//! The gate: reads a caller's bytes, decides, records, forwards.

pub mod head;
