//! The daemon's own API, below `/_peergate/`: who am I, what may I call, is it well. Reached only by routes of
//! the policy, like anything else.
//!
//! It tells what the kernel and the policy already said and changes nothing. Answers are made first, so that one record
//! can carry decision and status, and stay [`Withheld`] until that record is written.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};

use crate::gate::answer::Answer;
use crate::gate::recorded::Recorded;
use crate::model::caller::{Attr, Caller, Gid};
use crate::model::ids::RequestId;
use crate::policy::{Kind, Offer, Origin, Parameter, Wanted};

/// What an answer may tell of.
pub(in crate::gate) struct Asking<'a> {
    /// The request's id.
    pub id: RequestId,
    /// Who asks.
    pub caller: &'a Caller,
    /// The listener's name.
    pub on: &'a str,
    /// The first eight hex digits of the policy's hash.
    pub policy: &'a str,
    /// Whether records can be written.
    pub recordable: bool,
    /// What the caller may call on this listener, which is a list as long as the policy.
    pub offers: &'a dyn Fn() -> Vec<Offer>,
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

/// Makes the answer to `method` and `path`. Whatever the policy lets through to here and there is not is 404; what is
/// there can only be read.
pub(in crate::gate) fn prepare(method: &str, path: &str, asking: &Asking<'_>) -> Withheld {
    let tell: fn(&Asking<'_>) -> Response<Answer> = match path {
        "/_peergate/whoami" => whoami,
        "/_peergate/routes" => routes,
        "/_peergate/health" => health,
        _ => return Withheld(empty(StatusCode::NOT_FOUND)),
    };
    Withheld(match method {
        "GET" => tell(asking),
        "HEAD" => without_body(tell(asking)),
        _ => {
            let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET,HEAD"));
            response
        }
    })
}

fn empty(status: StatusCode) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(None));
    *response.status_mut() = status;
    response
}

/// The same head, which tells of the length that is left out.
fn without_body(response: Response<Answer>) -> Response<Answer> {
    let (mut parts, body) = response.into_parts();
    let length = http_body::Body::size_hint(&body).exact().unwrap_or(0);
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    Response::from_parts(parts, Answer::Whole(None))
}

/// `GET /_peergate/whoami`: the caller as the kernel says it; what is unknown is `null`.
fn whoami(asking: &Asking<'_>) -> Response<Answer> {
    let caller = asking.caller;
    let text = |bytes: &Vec<u8>| json!(String::from_utf8_lossy(bytes));
    answer(&json!({
        "id": asking.id.to_string(),
        "on": asking.on,
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
fn routes(asking: &Asking<'_>) -> Response<Answer> {
    let offers = (asking.offers)();
    let allowed: Vec<Value> = offers
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
    answer(&json!({ "on": asking.on, "policy": asking.policy, "allowed": allowed }))
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
fn health(asking: &Asking<'_>) -> Response<Answer> {
    let status = if asking.recordable { "ok" } else { "not recordable" };
    answer(&Health { policy: asking.policy, status })
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

fn answer(value: &impl Serialize) -> Response<Answer> {
    let mut text = Vec::with_capacity(128);
    if let Err(error) = serde_json::to_writer(&mut text, value) {
        // Writing to memory does not fail, and no answer has a key that is no text.
        tracing::error!("an answer can't be written: {error}");
    }
    text.push(b'\n');
    let mut response = Response::new(Answer::Whole(Some(Bytes::from(text))));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
