//! Placeholder.

pub mod identify;
