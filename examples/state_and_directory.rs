//! Notes in files: state that handlers share, a directory that the policy places, a layer around all of it, and a
//! `main` of the program's own. The policy for it is `policy/embedded.toml`.

#![allow(clippy::disallowed_macros, reason = "a program of its own, which speaks to who started it")]

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use peergate::axum::Router;
use peergate::axum::extract::{Path, Request, State};
use peergate::axum::http::StatusCode;
use peergate::axum::middleware::{self, Next};
use peergate::axum::response::Response;
use peergate::axum::routing::get;
use peergate::{App, Grant, Server, Setup};

struct Notes {
    directory: PathBuf,
    written: AtomicU64,
}

/// One segment, as the gate lets it through: no `/`, encoded or not, and no dot segment.
async fn read(State(notes): State<Arc<Notes>>, Path(name): Path<String>) -> Result<String, StatusCode> {
    match std::fs::read_to_string(notes.directory.join(name)) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StatusCode::NOT_FOUND),
        Err(_) => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

async fn write(
    State(notes): State<Arc<Notes>>,
    Path(name): Path<String>,
    text: String,
) -> Result<String, StatusCode> {
    let kept = std::fs::write(notes.directory.join(name), text);
    kept.map_err(|_full| StatusCode::INSUFFICIENT_STORAGE)?;
    Ok(format!("{} written\n", notes.written.fetch_add(1, Ordering::Relaxed) + 1))
}

/// Layers are tower's, as in any other router.
async fn with_request_id(grant: Grant, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Ok(id) = grant.id().parse() {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

/// Called in the app's own process, confined already: all that it can open is below the directory.
fn router(setup: &Setup) -> Result<Router, Box<dyn std::error::Error + Send + Sync>> {
    let notes = Notes { directory: setup.directory("notes")?, written: AtomicU64::new(0) };
    Ok(Router::new()
        .route("/notes/{name}", get(read).put(write))
        .layer(middleware::from_fn(with_request_id))
        .with_state(Arc::new(notes)))
}

fn main() -> ExitCode {
    // First of all: this process may have been started for a role, which has arguments of its own.
    let daemon = Server::new().app("notes", App::new(|setup| router(&setup)).write("notes")).take_role();

    // From here on it is the program that somebody started.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", "--policy", policy] => daemon.serve(policy),
        _ => {
            eprintln!("notes: use `notes serve --policy FILE`");
            ExitCode::from(2)
        }
    }
}
