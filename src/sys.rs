//! The kernel, as the rest of the house asks it: typed, by descriptor, every error kept. The only home of
//! `unsafe`.
//!
//! | module | what it says |
//! |---|---|
//! | [`trusted`] | paths, judged on the open handle; directories, files and backends' sockets reached through them |
//! | [`listen`] | a listening socket that is right from its first moment |
//! | [`peer`] | who is at the other end of a socket |
//! | [`receive`] | a read that carries its sender and can't install a descriptor |
//! | [`datagram`] | one datagram with the descriptors beside it, between our own roles |
//! | [`process`] | a role started through a descriptor of the executable |
//! | [`append_only`] | a file that only grows |
//! | [`memfd`] | sealed memory that another role can trust not to change |
//! | [`attempt`] | what a confined process tries, to show that it can't |
//! | `terminal` | how large a terminal is (feature `cli`) |
//! | [`limits`] | the process's own: descriptors, random bytes, umask, the clock that all processes share |
//!
//! Nothing here depends on another floor, and nothing here decides who may do what.

#![allow(unsafe_code, reason = "this is the one place that talks to the kernel where nix has no safe words")]

pub mod append_only;
pub mod attempt;
pub mod datagram;
pub mod limits;
pub mod listen;
pub mod memfd;
pub mod peer;
pub mod process;
pub mod reactor;
pub mod receive;
#[cfg(feature = "cli")]
pub mod terminal;
pub mod trusted;

#[cfg(test)]
pub(crate) mod testing;

pub use limits::{monotonic, random, umask};
