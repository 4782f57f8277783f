//! The daemon's own API, below `/_peergate/`: who am I, what may I call, is it well. Reached only by routes of
//! the policy, like anything else.
//!
//! Handlers read what the kernel and the policy already said and change nothing. Their answers are made first,
//! so that one record can carry decision and status, and stay [`Withheld`] until that record is written.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Extension;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::routing::get;
use bytes::Bytes;
use http_body_util::BodyExt;
use serde::Serialize;
use serde_json::{Value, json};
use tower_service::Service;

use crate::gate::answer::Answer;
use crate::gate::recorded::Recorded;
use crate::model::caller::{Attr, Caller, Gid};
use crate::model::ids::RequestId;
use crate::policy::{Kind, Offer, Origin, Parameter, Wanted};

/// What a handler may know of the request that it answers.
#[derive(Debug)]
pub(in crate::gate) struct Asking {
    /// The request's id.
    pub id: RequestId,
    /// Who asks.
    pub caller: Arc<Caller>,
    /// The listener's name.
    pub on: Arc<str>,
    /// The first eight hex digits of the policy's hash.
    pub policy: Arc<str>,
    /// Whether records can be written.
    pub recordable: bool,
    /// What the caller may call on this listener; empty unless [`Builtin::lists_offers`] says that it is told.
    pub offers: Arc<[Offer]>,
}

/// An answer that is made but may not leave before its record is written.
#[must_use]
pub(in crate::gate) struct Withheld(Response<Answer>);

impl Withheld {
    /// The status that the record is to carry.
    pub(in crate::gate) fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    /// Bytes of its body.
    pub(in crate::gate) fn length(&self) -> u64 {
        http_body::Body::size_hint(self.0.body()).exact().unwrap_or(0)
    }

    /// Lets it go, for a permission that is on record.
    pub(in crate::gate) fn release(self, _recorded: Recorded) -> Response<Answer> {
        self.0
    }
}

const ROUTES: &str = "/_peergate/routes";

/// The router; one a lane, cloned by reference for each request.
#[derive(Clone)]
pub(in crate::gate) struct Builtin(Router);

impl Builtin {
    /// All endpoints.
    pub(in crate::gate) fn new() -> Builtin {
        Builtin(
            Router::new()
                .route("/_peergate/whoami", get(whoami))
                .route(ROUTES, get(routes))
                .route("/_peergate/health", get(health)),
        )
    }

    /// Whether the answer at `path` tells what the caller may call, which is a list as long as the policy.
    pub(in crate::gate) fn lists_offers(path: &str) -> bool {
        path == ROUTES
    }

    /// Makes the answer. Requests carry no body to the handlers: none of them reads one.
    pub(in crate::gate) async fn prepare(&self, method: &str, path: &str, asking: Asking) -> Withheld {
        let request =
            http::Request::builder().method(method).uri(path).extension(Arc::new(asking)).body(Body::empty());
        let Ok(request) = request else { return Withheld(failed()) };
        let answered: Result<Response<Body>, Infallible> = self.0.clone().call(request).await;
        let Ok(response) = answered;
        let (parts, body) = response.into_parts();
        let Ok(body) = body.collect().await else { return Withheld(failed()) };
        let bytes = body.to_bytes();
        Withheld(Response::from_parts(parts, Answer::Whole((!bytes.is_empty()).then_some(bytes))))
    }
}

fn failed() -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(None));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

/// `GET /_peergate/whoami`: the caller as the kernel says it; what is unknown is `null`.
async fn whoami(Extension(asking): Extension<Arc<Asking>>) -> Response<Body> {
    let caller = &*asking.caller;
    let text = |bytes: &Vec<u8>| json!(String::from_utf8_lossy(bytes));
    answer(&json!({
        "id": asking.id.to_string(),
        "on": &*asking.on,
        "uid": known(&caller.credentials.uid, |uid| json!(uid.raw())),
        "user": caller.user,
        "gid": known(&caller.credentials.gid, |gid| json!(gid.raw())),
        "groups": known(&caller.credentials.groups, |groups| json!(groups.iter().map(|g| Gid::raw(*g)).collect::<Vec<_>>())),
        "pid": caller.peer.pid,
        "namespace": known(&caller.namespace, |ns| json!(ns.name())),
        "exe": known(&caller.exe, |exe| text(&exe.path)),
        "unit": known(&caller.unit, |unit| json!(unit)),
        "login_uid": known(&caller.login_uid, |uid| json!(uid.raw())),
        "label": known(&caller.label, text),
    }))
}

/// `GET /_peergate/routes`: what the caller may call here, by the policy in force.
async fn routes(Extension(asking): Extension<Arc<Asking>>) -> Response<Body> {
    let allowed: Vec<Value> = asking
        .offers
        .iter()
        .map(|offer| {
            json!({
                "route": &*offer.route,
                "match": offer.patterns,
                "query": offer.query,
                "except": offer.except,
                "help": offer.help.as_deref(),
                "params": offer.parameters.iter().map(parameter).collect::<Vec<_>>(),
            })
        })
        .collect();
    answer(&json!({ "on": &*asking.on, "policy": &*asking.policy, "allowed": allowed }))
}

/// What a caller fills into a command: where it is put, and what it may be. The values of a secret are nobody's.
fn parameter(parameter: &Parameter) -> Value {
    let from = match parameter.from {
        Origin::Path => "path",
        Origin::Query => "query",
        Origin::Body => "body",
    };
    let (kind, values) = match &parameter.kind {
        Wanted::Value(Kind::OneOf(_)) if parameter.secret => ("secret".to_owned(), None),
        Wanted::Value(Kind::OneOf(values)) => ("one_of".to_owned(), Some(values)),
        Wanted::Value(kind) => (kind.to_string(), None),
        Wanted::Below { .. } => ("below".to_owned(), None),
    };
    let optional = parameter.optional;
    json!({ "name": parameter.name, "from": from, "type": kind, "one_of": values, "optional": optional })
}

/// `GET /_peergate/health`: 200 while requests can be recorded. (While they can't, no request gets this far.)
async fn health(Extension(asking): Extension<Arc<Asking>>) -> Response<Body> {
    let status = if asking.recordable { "ok" } else { "not recordable" };
    answer(&Health { policy: &asking.policy, status })
}

/// What `health` says; asked often, so written without building a value first.
#[derive(Serialize)]
struct Health<'a> {
    policy: &'a str,
    status: &'static str,
}

fn known<T>(attr: &Attr<T>, show: impl FnOnce(&T) -> Value) -> Value {
    attr.known().map_or(Value::Null, show)
}

fn answer(value: &impl Serialize) -> Response<Body> {
    let mut text = Vec::with_capacity(128);
    if let Err(error) = serde_json::to_writer(&mut text, value) {
        // Writing to memory does not fail, and no answer has a key that is no text.
        tracing::error!("an answer can't be written: {error}");
    }
    text.push(b'\n');
    let mut response = Response::new(Body::from(Bytes::from(text)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
