//! A request that runs a command: its values are gathered, the permission recorded on the disk, and then the warden,
//! which judges all of it once more, has a runner answer by a link.

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use super::{Read, Stop, Traveller};
use crate::gate::answer::Answer;
use crate::gate::backend::{link, proxy};
use crate::gate::head::{Framing, Head};
use crate::gate::lane::Running;
use crate::model::refusal::Refusal;
use crate::policy::{Command, Given, Permit, Route, gathered, members_of};
use crate::wire::channel;
use crate::wire::runner::Form;

/// The most bytes of a target and of values from a body: what a message to the warden has room for beside its frame.
const MESSAGE_MAX: usize = channel::MAX_BYTES - (8 << 10);

impl Traveller<'_> {
    pub(super) async fn command(
        &self,
        head: &Head,
        body: Read,
        permit: Permit,
        command: &Command,
    ) -> Result<Response<Answer>, Stop> {
        let (own, over) = match command.room(head.method().as_str(), matches!(body, Read::Judged(_))) {
            Ok(room) => room,
            Err(refusal) => return Err(Stop::Denied(permit.deny(refusal))),
        };
        let body = match body {
            Read::Judged(bytes) if bytes.len() as u64 <= own => Ok(bytes),
            Read::Judged(_) => Err(over),
            Read::Coming(body) => {
                let route = self.body_max(permit.terms());
                self.input(head, body, if route.0 < own { route } else { (own, over) }).await
            }
        };
        let body = match body {
            Ok(body) => body,
            Err(refusal) => return Err(Stop::Denied(permit.deny(refusal))),
        };
        let policy = self.policy.decider.policy();
        let route = policy.routes.iter().find(|route| route.id == permit.route_id());
        let Some(route) = route else { return Err(Refusal::Internal.into()) };
        let running = match running(command, route, head, &body, permit.terms().stream) {
            Ok(running) => running,
            Err(refusal) => return Err(Stop::Denied(permit.deny(refusal))),
        };
        let input = if command.stdin.is_some() { body } else { Bytes::new() };
        // How long it may take is the command's own to say.
        let recorded = self.begin(permit, head, true).await?;
        let (backend, generation) = (recorded.terms().backend, self.policy.generation);
        let lane = &self.connection.lane;
        let socket = lane.run(self.id, backend, generation, running).await.map_err(Stop::Failed)?;
        let link = link::made(socket, self.id, backend, &self.policy).map_err(Stop::Failed)?;
        proxy::receive(self.connection, &recorded, link, input).await.map_err(Stop::Failed)
    }

    /// All of the body, `max` bytes at most.
    async fn input(
        &self,
        head: &Head,
        body: Incoming,
        (max, over): (u64, Refusal),
    ) -> Result<Bytes, Refusal> {
        if matches!(head.framing(), Framing::None | Framing::Length(0) | Framing::UntilClose) {
            return Ok(Bytes::new());
        }
        if matches!(head.framing(), Framing::Length(length) if length > max) {
            return Err(over);
        }
        let limited = Limited::new(body, usize::try_from(max).unwrap_or(usize::MAX));
        match self.in_time(limited.collect()).await? {
            Ok(whole) => Ok(whole.to_bytes()),
            Err(_) => Err(self.connection.failure().unwrap_or(over)),
        }
    }
}

/// What the warden is told, once it holds together here.
fn running(
    command: &Command,
    route: &Route,
    head: &Head,
    body: &[u8],
    stream: bool,
) -> Result<Running, Refusal> {
    let (method, target) = (head.method().as_str(), head.target());
    let members = members_of(command, body)?;
    let given = gathered(command, route, method, target, &members)?;
    command.filled(&given)?;
    let bytes = |pairs: &Given| pairs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    if target.as_str().len() + bytes(&members) > MESSAGE_MAX {
        return Err(Refusal::BodyTooLarge);
    }
    Ok(Running {
        route: route.id.clone(),
        method: method.to_owned(),
        target: target.as_str().to_owned(),
        members,
        form: form(head, stream),
    })
}

/// How the answer is to look: as the caller accepts it, plain text where it says nothing of ours.
fn form(head: &Head, stream: bool) -> Form {
    let accepts = |kind: &str| {
        head.values("accept").flat_map(|value| value.split(',')).any(|wanted| {
            wanted.split(';').next().is_some_and(|wanted| wanted.trim().eq_ignore_ascii_case(kind))
        })
    };
    if accepts("application/x-ndjson") {
        Form::Lines
    } else if accepts("text/event-stream") {
        Form::Events
    } else if stream {
        Form::Live
    } else {
        Form::Whole
    }
}
