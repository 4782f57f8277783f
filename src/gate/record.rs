//! What the gate writes down, and when a permission counts as recorded.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use super::budget::Repeated;
use super::lane::InForce;
use crate::audit::entry::{Decided, Decision, Entry, Open, OutcomeOf, Repeat};
use crate::audit::log::{Log, Receipt, Unwritable};
use crate::audit::secret::Secrets;
use crate::model::caller::Peer;
use crate::model::ids::{BootId, RequestId};
use crate::model::refusal::Refusal;
use crate::policy::{Denial, Permit};

/// A lane's log, with what every record of it shares.
pub(super) struct Recorder {
    pub log: Log,
    boot: BootId,
    uid: Option<u32>,
    missing: Vec<String>,
    secrets: Secrets,
    /// The target with its secrets replaced; kept for its capacity.
    scratch: RefCell<Vec<u8>>,
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
    pub(super) fn new(
        segment: OwnedFd,
        reserved: u64,
        boot: BootId,
        uid: Option<u32>,
        missing: Vec<String>,
        hash_key: [u8; 32],
    ) -> Recorder {
        Recorder {
            log: Log::new(segment, reserved),
            boot,
            uid,
            missing,
            secrets: Secrets::new(hash_key),
            scratch: RefCell::default(),
        }
    }

    /// Notes the segment's `open`.
    pub(super) fn open(&self, policy: &str) {
        let entry = Entry::Open(Open {
            boot: self.boot,
            role: "gate",
            uid: self.uid,
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION"),
            policy,
            missing: &self.missing,
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
        let mut scratch = self.scratch.borrow_mut();
        let terms = RuleText::of_permit(&permit);
        let entry = self.decision(&mut scratch, request, Decided::Allow, &terms, immediate);
        let noted = self.log.note(permit, &entry);
        let log = self.log.clone();
        async move { log.written(noted?).await }
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
        let mut scratch = self.scratch.borrow_mut();
        let rule = RuleText::of_denial(denial);
        let entry =
            self.decision(&mut scratch, request, Decided::Deny(denial.refusal), &rule, Some(immediate));
        let noted = self.log.note((), &entry);
        let log = self.log.clone();
        async move { log.written(noted?).await.map(Receipt::into_inner) }
    }

    /// Notes how an exchange ended. Nothing waits for it: the effect is over.
    pub(super) fn outcome(&self, outcome: OutcomeOf) {
        if let Err(why) = self.log.note((), &Entry::Outcome(outcome)) {
            tracing::error!(id = %outcome.id, result = outcome.result.code(), "an outcome is lost: {why}");
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
    }

    fn decision<'a>(
        &self,
        scratch: &'a mut Vec<u8>,
        request: Named<'a>,
        verdict: Decided,
        rule: &'a RuleText<'a>,
        immediate: Option<Immediate>,
    ) -> Entry<'a> {
        scratch.clear();
        self.secrets.hide(request.target, scratch);
        Entry::Decision(Decision {
            id: request.id,
            uid: request.peer.uid,
            pid: request.peer.pid,
            method: request.method,
            target: scratch,
            route: rule.route,
            verdict,
            by: rule.by,
            at: rule.at,
            policy: request.policy,
            shadow: rule.shadow,
            status: immediate.map(|i| i.status),
            us: immediate.map(|i| i.us),
        })
    }
}

/// Which rule decided, in the words of the policy file. Owned where the permit itself moves on.
struct RuleText<'a> {
    route: Option<&'a str>,
    by: Option<&'a str>,
    at: Option<&'a str>,
    shadow: Option<&'a str>,
}
