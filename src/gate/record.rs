//! What the gate writes down, and when a permission counts as recorded.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::budget::Repeated;
use super::lane::InForce;
use crate::audit::encode;
use crate::audit::entry::{Decided, Decision, Entry, Open, OutcomeOf, Repeat};
use crate::audit::log::{Log, Receipt, Unwritable};
use crate::audit::secret::Secrets;
use crate::model::caller::Peer;
use crate::model::ids::{BootId, RequestId};
use crate::model::posture::Confinement;
use crate::model::time::Timestamp;
use crate::policy::{Denial, Noted, Permit};

/// More than any outcome's line takes.
const OUTCOME_BYTES: u64 = 320;

/// A lane's log, with what every record of it shares.
pub(super) struct Recorder {
    pub log: Log,
    writer: Writer,
    secrets: Secrets,
}

/// Who writes, as each segment's `open` says it.
pub(super) struct Writer {
    pub boot: BootId,
    /// The uid that the gate serves; `None` where it is shared.
    pub uid: Option<u32>,
    /// What the warden says is missing.
    pub missing: Vec<String>,
    /// What the gate found when it read itself back.
    pub confined: Arc<Confinement>,
}

/// A request as its records name it.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    pub id: RequestId,
    pub peer: Peer,
    pub method: &'a [u8],
    pub target: &'a [u8],
    /// The policy's hash.
    pub policy: &'a str,
}

/// An answer that is given at once, and so stands in the decision's own record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Immediate {
    pub status: u16,
    pub us: u64,
}

impl Recorder {
    pub(super) fn new(segment: OwnedFd, reserved: u64, writer: Writer, hash_key: &[u8; 32]) -> Recorder {
        Recorder { log: Log::new(segment, reserved), writer, secrets: Secrets::new(hash_key) }
    }

    /// Notes the segment's `open`.
    pub(super) fn open(&self, policy: &str) {
        let entry = Entry::Open(Open {
            boot: self.writer.boot,
            role: "gate",
            uid: self.writer.uid,
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION"),
            policy,
            missing: &self.writer.missing,
            posture: &self.writer.confined,
        });
        if let Err(why) = self.log.note((), &entry) {
            tracing::error!("a segment can't be opened: {why}");
        }
    }

    /// The permission as a receipt, once its record is in the kernel.
    ///
    /// # Errors
    ///
    /// It can't be recorded, and so is worth nothing.
    pub(super) fn allowed(
        &self,
        permit: Permit,
        request: Named<'_>,
        immediate: Option<Immediate>,
    ) -> impl Future<Output = Result<Receipt<Permit>, Unwritable>> + use<> {
        let target = self.secrets.cleaned(request.target, permit.hides());
        let fields = self.fields(permit.noted());
        let noted = self.log.note_of(permit, |permit, put| {
            put(&Entry::Decision(Decision {
                fields: &fields,
                route: Some(permit.route_id()),
                by: Some(permit.by()),
                at: Some(permit.at()),
                shadow: permit.shadow(),
                ..decision(request, &target, Decided::Allow, immediate)
            }));
        });
        let log = self.log.clone();
        async move { log.written(noted?).await }
    }

    /// The line that would record a permission, for the journal.
    pub(super) fn line_of(&self, permit: &Permit, request: Named<'_>) -> String {
        let target = self.secrets.cleaned(request.target, permit.hides());
        let fields = self.fields(permit.noted());
        line(&Entry::Decision(Decision {
            fields: &fields,
            route: Some(permit.route_id()),
            by: Some(permit.by()),
            at: Some(permit.at()),
            shadow: permit.shadow(),
            ..decision(request, &target, Decided::Allow, None)
        }))
    }

    /// What a route has recorded of a request, each as it stands in the record.
    fn fields(&self, noted: &[Noted]) -> Vec<String> {
        let shown = |noted: &Noted| match &noted.value {
            Some(value) if noted.plain => format!("{}={value}", noted.name),
            Some(value) => format!("{}={}", noted.name, self.secrets.hash(value.as_bytes())),
            None => format!("{} absent", noted.name),
        };
        noted.iter().map(shown).collect()
    }

    /// Writes a denial down; the answer may leave once this is done.
    ///
    /// # Errors
    ///
    /// It can't be recorded.
    pub(super) fn denied(
        &self,
        denial: &Denial,
        request: Named<'_>,
        immediate: Immediate,
    ) -> impl Future<Output = Result<(), Unwritable>> + use<> {
        let target = self.secrets.cleaned(request.target, &denial.hides);
        let entry = Entry::Decision(Decision {
            part: denial.part.as_deref(),
            route: denial.route.as_deref(),
            by: denial.by.as_deref(),
            at: denial.at.as_deref(),
            shadow: denial.shadow.as_deref(),
            ..decision(request, &target, Decided::Deny(denial.refusal), Some(immediate))
        });
        let noted = self.log.note((), &entry);
        let log = self.log.clone();
        async move { log.written(noted?).await.map(Receipt::into_inner) }
    }

    /// Keeps room for the outcome of an exchange whose decision is recorded next: a disk that fills meanwhile
    /// must not lose it.
    pub(super) fn expect_outcome(&self) {
        self.log.hold(OUTCOME_BYTES);
    }

    /// The decision could not be recorded, so no outcome follows.
    pub(super) fn expect_no_outcome(&self) {
        self.log.release(OUTCOME_BYTES);
    }

    /// Notes how an exchange ended. Nothing waits for it: the effect is over.
    pub(super) fn outcome(&self, outcome: OutcomeOf) {
        self.log.release(OUTCOME_BYTES);
        if let Err(why) = self.log.note_outcome(outcome) {
            tracing::warn!(id = %outcome.id, result = outcome.result.code(), "an outcome has to wait: {why}");
        }
    }

    /// Notes counted denials; returns those that could not be noted.
    pub(super) fn repeated(&self, repeated: Vec<Repeated>, policy: &InForce) -> Vec<Repeated> {
        let listeners = &policy.decider.policy().listeners;
        repeated
            .into_iter()
            .filter(|r| {
                let entry = Entry::Repeat(Repeat {
                    uid: r.uid,
                    on: listeners.get(usize::from(r.listener)).map_or("", |l| l.name.as_str()),
                    route: r.route.as_deref(),
                    refusal: r.refusal,
                    count: r.count,
                    first: r.first,
                    last: r.last,
                });
                self.log.note((), &entry).is_err()
            })
            .collect()
    }

    /// Writes what is still pending.
    pub(super) async fn finish(&self) {
        if let Err(why) = self.log.flush() {
            tracing::error!("the last records are lost: {why}");
        }
        if self.log.owes() {
            tracing::error!("outcomes are lost: no segment took them");
        }
    }
}

/// An entry as a line that no segment has.
pub(super) fn line(entry: &Entry<'_>) -> String {
    let mut line = Vec::new();
    encode::line(entry, 0, Timestamp::now(), &mut line);
    String::from_utf8_lossy(&line).trim_end().to_owned()
}

/// A decision of which the rule is still to be named.
fn decision<'a>(
    request: Named<'a>,
    target: &'a [u8],
    verdict: Decided,
    immediate: Option<Immediate>,
) -> Decision<'a> {
    Decision {
        id: request.id,
        uid: request.peer.uid,
        pid: request.peer.pid,
        method: request.method,
        target,
        route: None,
        verdict,
        by: None,
        at: None,
        policy: request.policy,
        shadow: None,
        part: None,
        fields: &[],
        status: immediate.map(|i| i.status),
        us: immediate.map(|i| i.us),
    }
}
