//! An app: the handlers of a program that embeds the library, in a process of their own. It gets connections from the
//! warden, each with the caller that the kernel named, and what travels on them a gate has judged and recorded.
//!
//! | step | where | what |
//! |---|---|---|
//! | start | `start` | the warden says what it may reach; it is confined before a line of the embedder's runs |
//! | make | [`setup`] | the embedder's function makes the router |
//! | serve | `serve` | a connection a caller, its requests to the router, each with [`Caller`] and [`Grant`] |
//! | ask | [`backend`] | a handler asks the warden for a backend of the policy |
//!
//! The embedder's side of it (declaring apps, the command line, taking roles) is [`server`](crate::server).

pub mod backend;
mod catch;
pub mod extract;
mod io;
mod serve;
pub mod setup;
mod start;

pub use backend::{Backend, Unreachable};
pub use extract::{Caller, Grant, Unguarded};
pub use setup::{IntoRouter, Make, Setup, Stopping, Undeclared};
#[doc(hidden)]
pub use start::run;
