//! `unguarded SOCKET`: what somebody writes who guards nothing: `axum::serve` on a Unix socket. It is measured by
//! itself, and stands behind every proxy.

use axum::http::header;
use axum::{Router, routing::get};

#[tokio::main]
async fn main() {
    let path = std::env::args().nth(1).expect("usage: unguarded SOCKET");
    let listener = tokio::net::UnixListener::bind(path).expect("bind");
    let health = || async {
        ([(header::CONTENT_TYPE, "application/json")], "{\"policy\":\"00000000\",\"status\":\"ok\"}\n")
    };
    axum::serve(listener, Router::new().route("/health", get(health))).await.expect("serve");
}
