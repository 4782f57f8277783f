//! What goes back to the caller: the bodies of answers, and the text of refusals.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};

use super::backend::proxy::Relayed;
use crate::model::ids::RequestId;
use crate::model::refusal::Refusal;

/// The body of an answer.
pub(super) enum Answer {
    /// Bytes that are all there.
    Whole(Option<Bytes>),
    /// A backend's body, as it comes.
    Relayed(Box<Relayed>),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Refusal;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Refusal>>> {
        match self.get_mut() {
            Answer::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Answer::Relayed(relayed) => match ready!(relayed.poll_data(cx)) {
                Some(Ok(bytes)) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Some(Err(refusal)) => Poll::Ready(Some(Err(refusal))),
                None => Poll::Ready(None),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Answer::Whole(bytes) => bytes.is_none(),
            // Its end has to be seen by `poll_data`, which settles the exchange.
            Answer::Relayed(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Answer::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Answer::Relayed(relayed) => relayed.size_hint(),
        }
    }
}

/// The answer to a refused request: JSON that scripts can read, whose `message` Docker's own client shows.
///
/// What the policy has and what it lacks answer alike: every denial by policy is `not-allowed`, unless the
/// route has a help text.
pub(super) fn refusal(id: RequestId, refusal: Refusal, help: Option<&str>) -> Response<Answer> {
    let (code, text) = match refusal {
        Refusal::Forbidden
        | Refusal::NotAllowed
        | Refusal::NoRoute
        | Refusal::QueryName
        | Refusal::Expired
        | Refusal::OutOfHours
        | Refusal::QueryValue
        | Refusal::QueryLacks
        | Refusal::HeaderRule
        | Refusal::BodyMember
        | Refusal::BodyValue
        | Refusal::BodyLacks => (Refusal::NotAllowed.code(), Refusal::NotAllowed.text()),
        other => (other.code(), other.text()),
    };
    let mut body = serde_json::json!({
        "message": format!("peergate: {text} ({id})"),
        "code": code,
        "id": id.to_string(),
    });
    if let (Some(help), Some(fields)) = (help, body.as_object_mut()) {
        fields.insert("help".to_owned(), help.into());
    }
    let body = format!("{body}\n");
    let mut response = Response::new(Answer::Whole(Some(Bytes::from(body))));
    *response.status_mut() =
        StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if refusal == Refusal::RateLimited {
        // Budgets are by the second.
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{BootId, ConnectionId};

    fn text(refused: Refusal, help: Option<&str>) -> (u16, serde_json::Value) {
        let id =
            RequestId { connection: ConnectionId { boot: BootId::from_random(7), number: 4 }, number: 2 };
        let response = refusal(id, refused, help);
        let status = response.status().as_u16();
        let Answer::Whole(Some(body)) = response.into_body() else { panic!("a whole body") };
        (status, serde_json::from_slice(&body).expect("JSON"))
    }

    #[test]
    fn refusal_absent_and_forbidden_answer_alike() {
        let of = |refused| text(refused, None);
        assert_eq!(of(Refusal::NoRoute), of(Refusal::NotAllowed));
        assert_eq!(of(Refusal::Forbidden), of(Refusal::NotAllowed));
        for alike in [
            Refusal::Expired,
            Refusal::OutOfHours,
            Refusal::QueryName,
            Refusal::QueryValue,
            Refusal::QueryLacks,
            Refusal::HeaderRule,
            Refusal::BodyMember,
            Refusal::BodyValue,
            Refusal::BodyLacks,
        ] {
            assert_eq!(of(alike), of(Refusal::NotAllowed));
        }
    }

    #[test]
    fn refusal_help_is_escaped() {
        let (status, body) = text(Refusal::NotAllowed, Some("ask \"ops\"\n\u{1b}"));
        assert_eq!((status, body["help"].as_str()), (403, Some("ask \"ops\"\n\u{1b}")));
        assert_eq!(body["code"], "not-allowed");
        assert_eq!(body["message"], format!("peergate: not allowed ({})", body["id"].as_str().expect("id")));
    }
}
