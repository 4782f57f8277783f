//! The smallest program with a daemon around it: one app that needs nothing, and says who calls.
//!
//! A policy leads to it by `[backend.hello] app = "hello"`. Run it as `minimal --policy FILE`; it has the options of
//! `peergated`, `--print-plan` among them.

use std::process::ExitCode;

use peergate::axum::Router;
use peergate::axum::routing::get;
use peergate::{App, Caller, Grant, Server};

/// Both come from the daemon, not from the request.
async fn hello(caller: Caller, grant: Grant) -> String {
    let user = caller.user().unwrap_or("nobody by name");
    format!("uid {:?} ({user}), allowed by {}\n", caller.uid(), grant.by())
}

fn main() -> ExitCode {
    Server::new().app("hello", App::new(|_setup| Router::new().route("/hello", get(hello)))).run()
}
