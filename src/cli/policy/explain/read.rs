//! What a route reads of head and body, judged as a gate does where it was given.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use crate::cli::Failure;
use crate::model::caller::Caller;
use crate::model::ids::ListenerId;
use crate::model::message::Coming;
use crate::model::refusal::Refusal;
use crate::model::target::Asked;
use crate::model::time::Timestamp;
use crate::policy::{
    BackendKind, Decider, Denial, Headed, Origin, Permit, Policy, Route, Unread, Verdict, is_hash,
    judge_values,
};

/// Head and body, as far as they were given.
pub(super) struct Sent {
    pub(super) lines: Vec<(String, String)>,
    pub(super) body: Option<Body>,
    /// Whether the lines are all that there are: a record has none.
    pub(super) whole: bool,
    /// Whether the target is a record's, which has of a secret value a hash alone.
    pub(super) recorded: bool,
}

/// A body, and its bytes where somebody reads them.
pub(super) struct Body {
    pub(super) length: u64,
    pub(super) bytes: Vec<u8>,
}

/// What came of it.
pub(super) enum Read {
    /// Nothing is read, or it is as the route takes it; with what rules in shadow mode say instead.
    Taken(Option<String>),
    /// What is still to be judged, in words.
    Open(&'static str),
    /// The value of this name is to be judged, and there is a hash of it alone.
    Secret(String),
    Refused(Box<Denial>),
}

impl Sent {
    /// The lines of a head, as they were written on the command line.
    pub(super) fn lines(written: &[String]) -> Result<Vec<(String, String)>, Failure> {
        let pair = |line: &String| {
            let (name, value) = line.split_once(':').ok_or_else(|| {
                Failure::Because(format!(
                    "a header is such as \"Origin: https://example.org\", not \"{line}\""
                ))
            })?;
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        };
        written.iter().map(pair).collect()
    }

    /// Judges them by the route that the rest of the request gets to.
    pub(super) fn judge(
        &self,
        policy: &Arc<Policy>,
        (on, caller): (ListenerId, &Caller),
        asked: &Asked<'_>,
        at: Timestamp,
    ) -> Read {
        let decider = Decider::new(Arc::clone(policy));
        let subject = decider.recognise(on, caller);
        let unread = match decider.decide_at(on, &subject, asked, Some(at)) {
            Verdict::Read(unread) => unread,
            Verdict::Allow(permit) => return self.values(policy, asked, permit),
            Verdict::Deny(denial) => return Read::Refused(Box::new(denial)),
        };
        match policy.routes.iter().find(|route| route.id == unread.route_id()) {
            Some(route) => match self.read(unread, route) {
                Ok(Ok(permit)) => self.values(policy, asked, permit),
                Ok(Err(open)) => Read::Open(open),
                Err(denial) => Read::Refused(Box::new(denial)),
            },
            None => Read::Open("its head and its body are"),
        }
    }

    /// Judges what the command behind the route takes, where there is one.
    fn values(&self, policy: &Policy, asked: &Asked<'_>, permit: Permit) -> Read {
        let route = policy.routes.iter().find(|route| route.id == permit.route_id());
        let backend = route.and_then(|route| policy.backend(route.to)).map(|backend| &backend.kind);
        let in_body = matches!(backend, Some(BackendKind::Command(command))
            if command.parameters.iter().any(|wanted| wanted.from == Origin::Body));
        if in_body && self.body.is_none() {
            return Read::Open("its body is");
        }
        let is_command = matches!(backend, Some(BackendKind::Command(_)));
        let hashed = asked.target.query_pairs().find(|(_, value)| is_hash(value));
        if let Some((name, _)) = hashed.filter(|_| self.recorded && is_command) {
            return Read::Secret(name.to_owned());
        }
        let body = self.body.as_ref().map_or([].as_slice(), |body| &body.bytes);
        match judge_values(policy, permit.route_id(), asked, body) {
            Ok(()) => Read::Taken(permit.shadow().map(str::to_owned)),
            Err((refusal, part)) => {
                Read::Refused(Box::new(Denial { part: Some(part.into()), ..permit.deny(refusal) }))
            }
        }
    }

    /// The permit, or what is still to be judged.
    fn read(&self, unread: Unread, route: &Route) -> Result<Result<Permit, &'static str>, Denial> {
        let reads = &route.reads;
        let Some(body) = &self.body else {
            if !self.whole && !reads.headers.is_empty() {
                return Ok(Err("its head and its body are"));
            }
            return match unread.head(&self.lines, Coming::Nothing) {
                // What the head alone is refused for, it is refused for with any body.
                Err(denial) if denial.refusal != Refusal::BodyMissing => Err(denial),
                Ok(Headed::Permit(permit)) if reads.content_type.is_empty() => Ok(Ok(permit)),
                Ok(_) | Err(_) => Ok(Err("its body is")),
            };
        };
        let coming = if body.length == 0 { Coming::Nothing } else { Coming::Length(body.length) };
        let mut lines = self.lines.clone();
        let named = lines.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if reads.json.is_some() && !named {
            lines.push(("Content-Type".to_owned(), "application/json".to_owned()));
        }
        let permit = match unread.head(&lines, coming)? {
            Headed::Permit(permit) => permit,
            Headed::Body(unjudged) => unjudged.body(&body.bytes)?,
        };
        let held = self.whole || reads.headers.is_empty();
        Ok(if held { Ok(permit) } else { Err("its head is") })
    }
}

impl Body {
    /// Reads a body, and at most one byte more than `most` of it; where nobody reads it its length is enough.
    pub(super) fn of(file: &Path, most: u64, read: bool) -> Result<Body, Failure> {
        let cannot = || Failure::at(format!("can't read {}", file.display()));
        let source: Box<dyn std::io::Read> = if file == Path::new("-") {
            Box::new(std::io::stdin())
        } else {
            let opened = File::open(file).map_err(cannot())?;
            let metadata = opened.metadata().map_err(cannot())?;
            if metadata.is_file() && (!read || metadata.len() > most) {
                return Ok(Body { length: metadata.len(), bytes: Vec::new() });
            }
            Box::new(opened)
        };
        let mut bytes = Vec::new();
        source.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(cannot())?;
        Ok(Body { length: bytes.len() as u64, bytes })
    }
}
