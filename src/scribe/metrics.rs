//! Counts what the records of all roles say. Behind the writers the scribe sees every record, which no gate can, so
//! its counters are those of the whole daemon. They begin with this scribe: another one counts from nothing, as any
//! process that is started again.
//!
//! Labels are bounded: a route, a listener, a backend is counted by its name only where the policy in force (or one
//! before it) has that name, a refusal and a result only where they are of our closed lists. All else is `(other)`,
//! whatever a gate that was taken over may write.

mod catalogue;
mod histogram;
mod labels;
mod text;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::audit::inspect::{Judged, Kind, Progress, Request, Said};
use crate::policy::Policy;
use crate::wire::told::Told;
use histogram::{Histogram, Recent};
use labels::{Codes, Labels};

pub(super) use text::CONTENT_TYPE;

/// Exchanges whose outcome is awaited; more than that are counted under no route.
const OPEN_MOST: usize = 1 << 16;
/// Names of each kind that are counted by themselves. A larger policy's further ones are `(other)`.
const ROUTES_MOST: usize = 2_000;
const PLACES_MOST: usize = 1_024;

/// What the scribe knows of itself at the moment of an answer.
#[derive(Debug, Default, Clone)]
pub(super) struct Own {
    /// Seconds since the last seal; `None` before the first.
    pub(super) seal_age: Option<Duration>,
    /// The last seal: its epoch and its place in it.
    pub(super) seal: Option<(u64, u64)>,
    /// Bytes that are on disk and under no seal yet.
    pub(super) unsealed: u64,
    /// Bytes that are not known to be durable yet.
    pub(super) unsynced: u64,
    /// Segments that are followed.
    pub(super) segments: u64,
    /// Diagnostic lines that were lost.
    pub(super) lost_lines: u64,
    /// Answers that are being sent, and listeners among them.
    pub(super) serving: u64,
    /// Events that slow listeners lost.
    pub(super) lost_events: u64,
    /// When this scribe began, microseconds since the epoch.
    pub(super) since: u64,
}

/// Of one route.
#[derive(Debug, Default)]
struct OfRoute {
    allowed: u64,
    /// By the place of the refusal.
    denied: Vec<(u8, u64)>,
    shadow: u64,
    /// By the place of the result and the status's first digit (0: none).
    outcomes: Vec<((u8, u8), u64)>,
    took: Histogram,
    received: u64,
    sent: u64,
}

/// All that is counted.
#[derive(Debug)]
pub(super) struct Counters {
    codes: Codes,
    routes: Labels,
    listeners: Labels,
    backends: Labels,
    of_routes: BTreeMap<u16, OfRoute>,
    /// Exchanges that were allowed and have no outcome yet, by their gates, and their routes. No gate says how another's
    /// ended.
    open: BTreeMap<(Option<u32>, Request), u16>,
    accepted: Vec<(u16, u64)>,
    /// By listener and refusal.
    shed: Vec<((u16, u8), u64)>,
    /// By backend and refusal; `None`: granted.
    grants: Vec<((u16, Option<u8>), u64)>,
    /// By role and event.
    lives: Vec<((&'static str, &'static str), u64)>,
    policies: u64,
    policies_refused: u64,
    intrusions: u64,
    records: u64,
    bytes: u64,
    syncs: Histogram,
    recent: Recent,
}

impl Counters {
    /// All at nothing.
    pub(super) fn new() -> Counters {
        Counters {
            codes: Codes::new(),
            routes: Labels::new(ROUTES_MOST),
            listeners: Labels::new(PLACES_MOST),
            backends: Labels::new(PLACES_MOST),
            of_routes: BTreeMap::new(),
            open: BTreeMap::new(),
            accepted: Vec::new(),
            shed: Vec::new(),
            grants: Vec::new(),
            // An alert on the first of a kind needs to have seen none of it.
            lives: labels::lives().map(|life| (life, 0)).collect(),
            policies: 0,
            policies_refused: 0,
            intrusions: 0,
            records: 0,
            bytes: 0,
            syncs: Histogram::default(),
            recent: Recent::default(),
        }
    }

    /// Counts by the names of this policy too from now on.
    pub(super) fn know(&mut self, policy: &Policy) {
        policy.routes.iter().for_each(|route| self.routes.learn(&route.id));
        policy.listeners.iter().for_each(|listener| self.listeners.learn(&listener.name));
        policy.backends.iter().for_each(|backend| self.backends.learn(&backend.name));
    }

    /// Counts one record, which the warden wrote or another role.
    pub(super) fn count(&mut self, judged: &Judged<'_>, by_warden: bool, gate: Option<u32>) {
        self.records += 1;
        self.bytes += judged.line.len() as u64 + 1;
        let said = &judged.said;
        match judged.kind {
            Kind::Decision => self.decision(said, judged.request, gate),
            Kind::Outcome => self.outcome(said, judged.request, gate),
            Kind::Conn => self.connection(said),
            Kind::Grant => self.grant(said),
            Kind::Repeat => self.repeat(said, by_warden),
            Kind::Gate => self.life(said),
            Kind::Policy if said.refused.is_some() => self.policies_refused += 1,
            Kind::Policy => self.policies += 1,
            _ => {}
        }
    }

    /// A gate is gone: what it left open has no outcome of its own any more.
    pub(super) fn forget(&mut self, gate: u32) {
        self.open.retain(|(of, _), _| *of != Some(gate));
    }

    /// The scribe itself found what no writer may have done.
    pub(super) fn intruded(&mut self) {
        self.intrusions += 1;
    }

    /// One fdatasync, or several that were waited for together.
    pub(super) fn synced(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.syncs.add(micros);
        self.recent.add(micros);
    }

    /// The 99th percentile of the latest syncs, in microseconds.
    pub(super) fn sync_p99(&self) -> u64 {
        self.recent.p99()
    }

    /// All as OpenMetrics text.
    pub(super) fn text(&self, own: &Own, told: &Told) -> String {
        text::write(self, own, told)
    }

    fn of_route(&mut self, place: u16) -> &mut OfRoute {
        self.of_routes.entry(place).or_default()
    }

    fn decision(&mut self, said: &Said<'_>, progress: Option<Progress>, gate: Option<u32>) {
        let place = self.routes.place(said.route);
        let denied = (said.decision != Some("allow")).then(|| self.codes.refusal(said.refusal));
        let of = self.of_route(place);
        match denied {
            None => of.allowed += 1,
            Some(refusal) => add(&mut of.denied, refusal, 1),
        }
        of.shadow += u64::from(said.shadow.is_some());
        if said.status.is_some() {
            // The reply was immediate, and there is no outcome.
            of.took.add(number(said.us));
        } else if let Some(Progress::Allowed(request)) = progress
            && self.open.len() < OPEN_MOST
        {
            self.open.insert((gate, request), place);
        }
    }

    fn outcome(&mut self, said: &Said<'_>, progress: Option<Progress>, gate: Option<u32>) {
        let ended = match progress {
            Some(Progress::Ended(request)) => self.open.remove(&(gate, request)),
            _ => None,
        };
        let result = self.codes.result(said.result);
        let class = u8::try_from(number(said.status) / 100).unwrap_or(0).min(9);
        let of = self.of_route(ended.unwrap_or(labels::OTHER));
        add(&mut of.outcomes, (result, class), 1);
        of.took.add(number(said.us));
        of.received = of.received.saturating_add(number(said.bytes_in));
        of.sent = of.sent.saturating_add(number(said.bytes_out));
    }

    fn connection(&mut self, said: &Said<'_>) {
        let place = self.listeners.place(said.on);
        match said.shed {
            None => add(&mut self.accepted, place, 1),
            shed => add(&mut self.shed, (place, self.codes.refusal(shed)), 1),
        }
    }

    fn grant(&mut self, said: &Said<'_>) {
        let refused = said.refused.map(|code| self.codes.refusal(Some(code)));
        add(&mut self.grants, (self.backends.place(said.backend), refused), 1);
    }

    /// Stands for `count` more denials; in the warden's record for connections that were shed.
    fn repeat(&mut self, said: &Said<'_>, by_warden: bool) {
        let (refusal, count) = (self.codes.refusal(said.refusal), number(said.count));
        if by_warden {
            return add(&mut self.shed, (self.listeners.place(said.on), refusal), count);
        }
        let place = self.routes.place(said.route);
        add(&mut self.of_route(place).denied, refusal, count);
    }

    fn life(&mut self, said: &Said<'_>) {
        let role = labels::one_of(&labels::ROLES, said.role.unwrap_or_default());
        let event = labels::one_of(&labels::EVENTS, said.event.unwrap_or_default());
        add(&mut self.lives, (role, event), 1);
    }
}

/// What a gate writes is believed up to what our own numbers can be, and added without a panic whatever it says.
fn number(text: Option<&str>) -> u64 {
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The counter of that key, in a list that is short.
fn add<K: PartialEq>(counts: &mut Vec<(K, u64)>, key: K, more: u64) {
    match counts.iter_mut().find(|(there, _)| *there == key) {
        Some((_, count)) => *count = count.saturating_add(more),
        None => counts.push((key, more)),
    }
}

#[cfg(test)]
pub(super) mod tests;
