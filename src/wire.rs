//! Typed messages between the roles: each direction has its own type, each message its own bound, and what a
//! gate says is judged before it is believed.

pub mod app;
pub mod channel;
pub mod durable;
pub mod message;
pub mod report;
pub mod runner;
pub mod told;
