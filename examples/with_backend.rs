//! An app in front of another API: it asks the warden for a backend of the policy, for the request that it answers. It
//! could not connect by itself, and each time is on record beside the request.
//!
//! A policy leads to it by `[backend.summary] app = "summary"` and has a `[backend.up]` that is a proxy.

use std::process::ExitCode;

use peergate::axum::Router;
use peergate::axum::http::StatusCode;
use peergate::axum::response::{IntoResponse, Response};
use peergate::axum::routing::get;
use peergate::{App, Grant, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// One fixed question, whatever the caller sent; what comes back of it is the first line of the backend's answer.
async fn summary(grant: Grant) -> Response {
    let mut backend = match grant.open("up").await {
        Ok(backend) => backend,
        // 502, with a line that says why.
        Err(unreachable) => return unreachable.into_response(),
    };
    let question = "GET /allowed/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut answer = [0; 4096];
    let asked = async {
        backend.write_all(question.as_bytes()).await?;
        backend.read(&mut answer).await
    };
    let Ok(length) = asked.await else { return StatusCode::BAD_GATEWAY.into_response() };
    let text = String::from_utf8_lossy(answer.get(..length).unwrap_or_default());
    format!("{}\n", text.lines().next().unwrap_or("nothing")).into_response()
}

fn main() -> ExitCode {
    let app = App::new(|_setup| Router::new().route("/summary", get(summary))).backend("up");
    Server::new().app("summary", app).run()
}
