//! One access as far as habits go.

use crate::audit::query::{Access, Repeat};
use crate::model::ids::RequestId;

/// What is looked at of an access. Texts are spelt as in the record.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen<'a> {
    /// When, in microseconds since 1970.
    pub at: u64,
    /// Whose.
    pub uid: u32,
    /// The user's name.
    pub user: Option<&'a str>,
    /// The request; refusals that got no record of their own have none.
    pub id: Option<RequestId>,
    /// The program.
    pub program: Option<&'a str>,
    /// The systemd unit.
    pub unit: Option<&'a str>,
    /// `host` or `other`.
    pub namespace: Option<&'a str>,
    /// Whether someone had logged in.
    pub login: bool,
    /// The listener.
    pub listener: Option<&'a str>,
    /// Whether the warden's record of the caller was at hand.
    pub caller_known: bool,
    /// The method.
    pub method: &'a str,
    /// The path, without its query.
    pub path: &'a str,
    /// The route that matched.
    pub route: Option<&'a str>,
    /// The rule that allowed it.
    pub rule: Option<&'a str>,
    /// Why it was denied.
    pub refusal: Option<&'a str>,
    /// The status.
    pub status: Option<u16>,
    /// Bytes to the caller.
    pub out: u64,
    /// For how many it stands.
    pub count: u64,
    /// Whether it is to be judged, or only to be learned from.
    pub judged: bool,
}

impl<'a> Seen<'a> {
    /// An access; `None` where its caller or its decision is not on record.
    pub fn of(access: &'a Access, judged: bool) -> Option<Seen<'a>> {
        let decision = access.decision.as_ref()?;
        let conn = access.conn.as_deref();
        let target = decision.target().unwrap_or_default();
        Some(Seen {
            at: access.when().micros(),
            uid: access.uid()?,
            user: access.user(),
            id: Some(access.id),
            program: conn.and_then(|conn| conn.exe()),
            unit: conn.and_then(|conn| conn.unit()),
            namespace: conn.and_then(|conn| conn.ns()),
            login: conn.is_some_and(|conn| conn.login().is_some()),
            listener: conn.and_then(|conn| conn.on()),
            caller_known: conn.is_some(),
            method: decision.method().unwrap_or_default(),
            path: target.split_once('?').map_or(target, |(path, _)| path),
            route: decision.route(),
            rule: decision.by().filter(|_| decision.allowed),
            refusal: (!decision.allowed).then(|| decision.refusal().unwrap_or_default()),
            status: access.status(),
            out: access.outcome.as_ref().map_or(0, |outcome| outcome.bytes_out),
            count: 1,
            judged,
        })
    }

    /// Refusals that got no record of their own.
    pub fn repeated(repeat: &'a Repeat, judged: bool) -> Seen<'a> {
        Seen {
            at: repeat.last.micros(),
            uid: repeat.uid,
            user: repeat.user.as_deref(),
            listener: repeat.on(),
            route: repeat.route(),
            refusal: Some(repeat.refusal().unwrap_or_default()),
            count: repeat.count,
            judged,
            ..Seen::default()
        }
    }

    pub(super) fn denied(&self) -> bool {
        self.refusal.is_some()
    }

    /// Whether it was allowed and came to nothing.
    pub(super) fn failed(&self) -> bool {
        !self.denied() && self.status.is_none_or(|status| status >= 400)
    }
}
