//! A request's body: how much may come, in which time, and what it is for.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use super::{Read, Stop, Traveller};
use crate::gate::backend::proxy::Payload;
use crate::gate::caps;
use crate::gate::deadline::Phase;
use crate::gate::head::{Framing, Head};
use crate::model::refusal::Refusal;
use crate::policy::{Permit, Terms, Unjudged};

/// A body that comes with an `Upgrade` is read whole before the backend sees anything of it.
const UPGRADE_BODY_MAX: u64 = 64 << 10;

impl Traveller<'_> {
    /// Reads the whole body, as much as the route takes, and has the policy judge it. From here on these bytes are
    /// the body; what the caller sends is not asked again.
    pub(super) async fn read(&self, unjudged: Unjudged, body: Incoming) -> Result<(Permit, Read), Stop> {
        let (most, over) = self.body_max(unjudged.terms());
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let whole = match self.in_time(Limited::new(body, most).collect()).await {
            Ok(Ok(whole)) => whole.to_bytes(),
            Ok(Err(_)) => {
                let refusal = self.connection.failure().unwrap_or(over);
                return Err(Stop::Denied(unjudged.deny(refusal)));
            }
            Err(refusal) => return Err(Stop::Denied(unjudged.deny(refusal))),
        };
        let permit = unjudged.body(&whole).map_err(Stop::Denied)?;
        Ok((permit, Read::Judged(whole)))
    }

    pub(super) fn route_body_max(&self, terms: &Terms) -> u64 {
        terms.body_max.unwrap_or(self.policy.decider.policy().limits.body_bytes)
    }

    /// The largest body, and what a larger one is refused as.
    pub(super) fn body_max(&self, terms: &Terms) -> (u64, Refusal) {
        let route = self.route_body_max(terms);
        let subject = self.connection.subject(&self.policy);
        match caps::tightest_body(subject.1.caps()) {
            Some((most, _)) if most < route => (most, Refusal::WhoBody),
            _ => (route, Refusal::BodyTooLarge),
        }
    }

    /// The body as it is to be sent: as it comes, or read whole where an upgrade comes with it.
    pub(super) async fn payload(
        &self,
        permit: &Permit,
        head: &Head,
        body: Incoming,
    ) -> Result<Payload, Stop> {
        let (max, over) = self.body_max(permit.terms());
        match head.framing() {
            // A request has no body that the connection's end delimits.
            Framing::None | Framing::Length(0) | Framing::UntilClose => Ok(Payload::None),
            Framing::Length(_) if head.upgrade().is_some() => {
                let limited = Limited::new(body, usize::try_from(max.min(UPGRADE_BODY_MAX)).unwrap_or(0));
                match self.in_time(limited.collect()).await? {
                    Ok(whole) => Ok(Payload::Whole(whole.to_bytes())),
                    Err(_) => Err(self.connection.failure().unwrap_or(over).into()),
                }
            }
            Framing::Length(_) | Framing::Chunked => Ok(Payload::Streamed { body, max, over }),
        }
    }

    /// Waits for what has to be there before the exchange begins, for as long as an exchange may last: a caller
    /// that sends a byte now and then would keep the body's own limit from biting.
    pub(super) async fn in_time<T>(&self, wanted: impl Future<Output = T>) -> Result<T, Refusal> {
        let deadlines = &self.connection.deadlines;
        deadlines.expect(Phase::Total, self.policy.decider.policy().limits.total_ms);
        let mut wanted = pin!(wanted);
        let there = poll_fn(|context| match deadlines.take_expired(&[Phase::Total]) {
            Some(phase) => Poll::Ready(Err(phase.refusal())),
            None => wanted.as_mut().poll(context).map(Ok),
        })
        .await;
        deadlines.lift(Phase::Total);
        there
    }
}
