//! Connections to requests, requests to the router.

use std::convert::Infallible;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{Request, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::net::UnixStream;
use tokio::sync::{Notify, mpsc};
use tokio::task::LocalSet;
use tower_service::Service;

use super::backend::{Asking, Mouth};
use super::catch::caught;
use super::extract::{Caller, Grant};
use super::io::Io;
use crate::model::ids::RequestId;
use crate::wire::app::{FromApp, GRANT_HEADER, Granted};

/// Header lines that a gate adds to those of the caller.
const ADDED: u16 = 16;

/// What all threads of an app share.
pub(super) struct Serving {
    router: Router,
    headers: u16,
    mouth: Arc<Mouth>,
    open: AtomicUsize,
    closed: Notify,
}

impl Serving {
    pub(super) fn new(router: Router, headers: u16, mouth: Arc<Mouth>) -> Serving {
        Serving { router, headers, mouth, open: AtomicUsize::new(0), closed: Notify::new() }
    }

    /// Whether no connection is open.
    pub(super) fn is_empty(&self) -> bool {
        self.open.load(Ordering::SeqCst) == 0
    }

    /// Waits until no connection is open.
    pub(super) async fn emptied(&self) {
        while !self.is_empty() {
            self.closed.notified().await;
        }
    }
}

/// A connection and whose it is.
pub(super) struct Given {
    pub(super) number: u64,
    pub(super) caller: Caller,
    pub(super) socket: OwnedFd,
}

/// Threads, each with an event loop of its own, as a gate's lanes.
pub(super) struct Workers {
    serving: Arc<Serving>,
    threads: Vec<mpsc::UnboundedSender<Given>>,
    next: usize,
}

impl Workers {
    /// One a core.
    ///
    /// # Errors
    ///
    /// A thread or its event loop can't be made.
    pub(super) fn start(serving: &Arc<Serving>) -> io::Result<Workers> {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = (0..count).map(|_| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
            let (give, given) = mpsc::unbounded_channel();
            let serving = Arc::clone(serving);
            let work = move || LocalSet::new().block_on(&runtime, serve_all(serving, given));
            std::thread::Builder::new().name("handlers".to_owned()).spawn(work)?;
            Ok(give)
        });
        Ok(Workers { serving: Arc::clone(serving), threads: threads.collect::<io::Result<_>>()?, next: 0 })
    }

    /// Gives a connection to the next thread.
    pub(super) fn give(&mut self, given: Given) {
        self.next = self.next.wrapping_add(1);
        if let Some(thread) = self.threads.get(self.next % self.threads.len().max(1)) {
            self.serving.open.fetch_add(1, Ordering::SeqCst);
            // A thread ends with the process only.
            thread.send(given).ok();
        }
    }
}

async fn serve_all(serving: Arc<Serving>, mut given: mpsc::UnboundedReceiver<Given>) {
    while let Some(given) = given.recv().await {
        tokio::task::spawn_local(serve(Arc::clone(&serving), given));
    }
}

async fn serve(serving: Arc<Serving>, given: Given) {
    let number = given.number;
    // A body that panics takes its connection with it; the gate's caller sees the answer break off.
    match caught(converse(&serving, given)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(number, "a connection failed: {error}"),
        Err(_panic) => serving.mouth.tell(FromApp::Panicked { connection: number }),
    }
    serving.open.fetch_sub(1, Ordering::SeqCst);
    serving.closed.notify_one();
}

async fn converse(serving: &Arc<Serving>, given: Given) -> Result<(), Box<dyn std::error::Error>> {
    let Given { number, caller, socket } = given;
    let socket = UnixStream::from_std(std::os::unix::net::UnixStream::from(socket))?;
    let caller = Rc::new(caller);
    let service = service_fn(|request| {
        let (serving, caller) = (Arc::clone(serving), Rc::clone(&caller));
        async move { Ok::<Response, Infallible>(answer(&serving, number, &caller, request).await) }
    });
    http1::Builder::new()
        .max_headers(usize::from(serving.headers.saturating_add(ADDED)))
        .serve_connection(Io(socket), service)
        .with_upgrades()
        .await?;
    Ok(())
}

/// Has the router answer; a handler that panics answers 500.
async fn answer(serving: &Serving, number: u64, caller: &Caller, request: Request<Incoming>) -> Response {
    let mut request = request.map(Body::new);
    let told = request.headers_mut().remove(GRANT_HEADER);
    let granted = told.and_then(|told| Granted::from_header(told.as_bytes()));
    let id = granted.as_ref().and_then(|granted| granted.id.parse::<RequestId>().ok());
    let (Some(granted), Some(id)) = (granted, id) else {
        // A gate never sends one without.
        return super::Unguarded.into_response();
    };
    let asking = Asking { mouth: Arc::clone(&serving.mouth), connection: number, request: id.number };
    request.extensions_mut().insert(caller.clone());
    request.extensions_mut().insert(Grant::new(granted, asking));
    let mut router = serving.router.clone();
    match caught(async move { router.call(request).await }).await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_panic) => {
            serving.mouth.tell(FromApp::Panicked { connection: number });
            let body = serde_json::json!({
                "message": format!("peergate: the handler failed ({id})"),
                "code": "handler-failed",
                "id": id.to_string(),
            });
            let json = [(header::CONTENT_TYPE, "application/json")];
            (StatusCode::INTERNAL_SERVER_ERROR, json, format!("{body}\n")).into_response()
        }
    }
}
