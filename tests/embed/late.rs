//! A program for `tests/embed.rs` with the mistakes that people make: it takes its role in one branch of its own command
//! line only, when threads run already, or, called `sleeps`, never.

#![allow(clippy::disallowed_macros, reason = "a program of its own")]

use std::process::ExitCode;

use peergate::axum::Router;
use peergate::{App, Server};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let policy = words.last().cloned().unwrap_or_default();
    if std::env::current_exe().is_ok_and(|own| own.ends_with("sleeps")) {
        // Under this name it does something else than its role, for ever.
        if words.get(1).is_some_and(|word| word == "@hello") {
            loop {
                std::thread::park();
            }
        }
    }
    match words.get(1).map(String::as_str) {
        Some("--in-a-branch") => server().take_role().serve(policy),
        Some("--with-threads") => {
            std::thread::spawn(std::thread::park);
            server().take_role().serve(policy)
        }
        _ => {
            eprintln!("late: no such command");
            ExitCode::from(64)
        }
    }
}

fn server() -> Server {
    Server::new().app("late", App::new(|_setup| Router::new()))
}
