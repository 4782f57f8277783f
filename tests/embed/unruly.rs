//! A program for `tests/embed.rs`: handlers that do what handlers should not, and an app that can't begin.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "what it tries is the point")]

use std::process::ExitCode;

use peergate::axum::Router;
use peergate::axum::body::Body;
use peergate::axum::extract::Path;
use peergate::axum::http::HeaderMap;
use peergate::axum::routing::get;
use peergate::{App, Caller, Grant, Server, Setup};

async fn opens(Path(file): Path<String>) -> String {
    match std::fs::File::open(format!("/etc/{file}")) {
        Ok(_) => "opened\n".to_owned(),
        Err(error) => format!("{:?}\n", error.kind()),
    }
}

async fn panics() -> String {
    panic!("on purpose");
}

/// Breaks off in the middle of its answer.
async fn breaks() -> Body {
    Body::new(Broken(false))
}

struct Broken(bool);

impl http_body::Body for Broken {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        assert!(!std::mem::replace(&mut self.0, true), "a body on purpose");
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(bytes::Bytes::from_static(b"begun")))))
    }
}

async fn runs() -> String {
    format!("{:?}\n", std::process::Command::new("/bin/true").status())
}

async fn connects() -> String {
    format!("{:?}\n", std::os::unix::net::UnixStream::connect("/run/docker.sock"))
}

async fn aborts() -> String {
    std::process::abort()
}

/// All that the request says of its caller, and what the extractors say.
async fn told(caller: Caller, grant: Grant, headers: HeaderMap) -> String {
    let claims = headers.keys().filter(|name| name.as_str().starts_with("x-"));
    let claims: Vec<&str> = claims.map(|name| name.as_str()).collect();
    format!(
        "{:?} {} {} {} {}\n",
        caller.uid(),
        grant.route(),
        grant.by(),
        caller.listener(),
        claims.join(",")
    )
}

async fn asks(grant: Grant, Path(backend): Path<String>) -> String {
    match grant.open(&backend).await {
        Ok(_) => "connected\n".to_owned(),
        Err(error) => format!("{error:?}\n"),
    }
}

async fn threads() -> String {
    let sum = std::thread::spawn(|| 1 + 1).join().unwrap();
    let blocking = tokio::task::spawn_blocking(|| 20).await.unwrap();
    let spawned = tokio::spawn(async { 300 }).await.unwrap();
    format!("{}\n", sum + blocking + spawned)
}

/// Has a task that does its last work when the daemon stops.
fn stays(setup: Setup) -> Router {
    let (mut stopping, data) = (setup.stopping(), setup.directory("data").unwrap());
    tokio::spawn(async move {
        stopping.wait().await;
        tokio::task::spawn_blocking(move || std::fs::write(data.join("ended"), "well"))
            .await
            .unwrap()
            .unwrap();
        drop(stopping);
    });
    Router::new().route("/stays", get(|| async { "here\n" }))
}

fn router() -> Router {
    Router::new()
        .route("/opens/{file}", get(opens))
        .route("/panics", get(panics))
        .route("/breaks", get(breaks))
        .route("/runs", get(runs))
        .route("/connects", get(connects))
        .route("/aborts", get(aborts))
        .route("/told", get(told).post(told))
        .route("/asks/{backend}", get(asks))
        .route("/threads", get(threads))
}

fn main() -> ExitCode {
    Server::new()
        .app("unruly", App::new(|_setup| router()).backend("up"))
        .app("stays", App::new(stays).write("data"))
        .app("broken", App::new(|_setup| Err::<Router, _>("no database today")))
        .run()
}
