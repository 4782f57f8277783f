//! The words everything else is said in: pure values, no I/O, no clock but the one that is passed in.

pub mod app;
pub mod caller;
pub mod clock;
pub mod depth;
pub mod escape;
pub mod ids;
pub mod json;
pub mod keeping;
pub mod limits;
pub mod message;
pub mod method;
pub mod outcome;
pub mod posture;
pub mod probe;
pub mod refusal;
pub mod target;
pub mod time;
pub mod truth;
