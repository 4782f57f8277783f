//! The record, as the policy's tools read it: each request once, judged again by a policy.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::audit::query::search::{self, Question};
use crate::audit::query::{Filter, Item};
use crate::cli::Failure;
use crate::cli::audit::{directory, tell_torn};
use crate::cli::recall::{Lost, Request};
use crate::cli::term::Term;
use crate::model::ids::{ConnectionId, ListenerId};
use crate::model::time::Timestamp;
use crate::policy::{Decider, Hindsight, Past, Policy, Recalled};

/// Connections whose callers are remembered.
const CONNECTIONS: usize = 4_096;

/// Ids that are shown of many.
pub(super) const SAMPLES: usize = 3;

/// Which part of which record.
#[derive(Debug, Args)]
pub(super) struct Log {
    /// The audit directory [default: your own daemon's, $XDG_STATE_HOME/peergate/audit, where there is one; else
    /// /var/log/peergate]
    #[arg(long = "log", visible_alias = "dir", value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
    #[command(flatten)]
    pub(super) filter: Filter,
}

/// From when to when what was read goes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Span {
    bounds: Option<(Timestamp, Timestamp)>,
}

impl Span {
    fn take(&mut self, at: Timestamp) {
        if at.micros() > 0 {
            let (first, last) = self.bounds.unwrap_or((at, at));
            self.bounds = Some((first.min(at), last.max(at)));
        }
    }

    /// The first and the last instant, where there is any.
    pub(super) fn bounds(self) -> Option<(Timestamp, Timestamp)> {
        self.bounds
    }

    /// Whole days between them.
    pub(super) fn days(self) -> u64 {
        let micros = self.bounds.map_or(0, |(first, last)| last.micros().saturating_sub(first.micros()));
        micros / 86_400_000_000
    }
}

impl Log {
    /// Hands out all that is meant.
    pub(super) fn each(&self, term: &mut Term, mut take: impl FnMut(&Item)) -> Result<Span, Failure> {
        let directory = self.directory.clone().unwrap_or_else(directory);
        let question = Question { texts: Vec::new(), filter: self.filter.clone() };
        let mut troubles = Vec::new();
        let join = search::open(&directory, &question, |why| troubles.push(why), |_| {});
        let mut join = join.map_err(Failure::at(format!("can't read {}", directory.display())))?;
        troubles.into_iter().for_each(|trouble| term.leave_out(trouble));
        let mut span = Span::default();
        loop {
            match join.next_item() {
                Ok(None) => break,
                Ok(Some(item)) if question.covers(&item) => {
                    span.take(when(&item));
                    take(&item);
                }
                Ok(Some(_)) => {}
                Err(error) => term.leave_out(format!("can't read a segment: {error}")),
            }
        }
        tell_torn(join.reader(), term);
        if join.missed() > 0 {
            term.complain(format!("{} requests lack their caller: too many connections", join.missed()));
        }
        Ok(span)
    }
}

fn when(item: &Item) -> Timestamp {
    match item {
        Item::Access(access) | Item::Begun(access) => access.when(),
        Item::Shed(conn) => conn.held.ts,
        Item::Repeat(repeat) => repeat.last,
        Item::Event(held) | Item::Disbelieved(held) => held.ts,
        Item::Garbage(_) => Timestamp::from_micros(0),
    }
}

/// A policy that judges what is on record.
pub(super) struct Judge {
    pub(super) decider: Decider,
    callers: HashMap<(ConnectionId, ListenerId), Recalled>,
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// It has no listener of that name, so nobody could have asked.
    NoListener,
    /// By its rules.
    Rules(ListenerId, Hindsight),
}

impl Judge {
    pub(super) fn new(policy: Policy) -> Judge {
        Judge { decider: Decider::new(Arc::new(policy)), callers: HashMap::new() }
    }

    pub(super) fn policy(&self) -> &Arc<Policy> {
        self.decider.policy()
    }

    /// What it says to a request on that connection.
    pub(super) fn of(&mut self, connection: ConnectionId, request: &Request) -> Said {
        let Some(listener) = self.listener(&request.on) else { return Said::NoListener };
        if self.callers.len() >= CONNECTIONS {
            self.callers.clear();
        }
        let Judge { decider, callers } = self;
        let caller = callers
            .entry((connection, listener))
            .or_insert_with(|| decider.recall(listener, &request.caller));
        let Request { method, target, upgrade, body, at, .. } = request;
        let past = Past { method, target, upgrade: *upgrade, body: *body, at: *at };
        Said::Rules(listener, decider.look_back(listener, caller, &past))
    }

    fn listener(&self, name: &str) -> Option<ListenerId> {
        let place = self.policy().listeners.iter().position(|listener| listener.name == name)?;
        u16::try_from(place).ok().map(ListenerId)
    }
}

/// What could not be judged, counted by why.
#[derive(Debug, Default)]
pub(super) struct Unjudged {
    /// In words.
    pub(super) lacking: BTreeMap<String, u64>,
    /// Refused for what no rule decides, by code.
    pub(super) otherwise: BTreeMap<&'static str, u64>,
}

impl Unjudged {
    pub(super) fn lacks(&mut self, why: impl Into<String>, count: u64) {
        *self.lacking.entry(why.into()).or_default() += count;
    }

    pub(super) fn lost(&mut self, lost: Lost) {
        match lost {
            Lost::Otherwise(refusal) => *self.otherwise.entry(refusal.code()).or_default() += 1,
            Lost::Lacking(why) => self.lacks(why, 1),
        }
    }

    pub(super) fn lacking(&self) -> u64 {
        self.lacking.values().sum()
    }

    /// Counts what is no access of its own.
    pub(super) fn take(&mut self, item: &Item) {
        match item {
            Item::Repeat(repeat) => {
                self.lacks("identical denials that were counted instead of written down", repeat.count);
            }
            Item::Disbelieved(_) => self.lacks("a record that nobody believes", 1),
            Item::Garbage(_) => self.lacks("a line that is no record", 1),
            Item::Access(_) | Item::Begun(_) | Item::Shed(_) | Item::Event(_) => {}
        }
    }

    /// Lines for people.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.lacking.is_empty() {
            lines.push(format!("can't be judged: {}", self.lacking()));
            lines.extend(self.lacking.iter().map(|(why, count)| format!("  {count:>8}  {why}")));
        }
        if !self.otherwise.is_empty() {
            let count: u64 = self.otherwise.values().sum();
            let codes: Vec<_> =
                self.otherwise.iter().map(|(code, count)| format!("{code} {count}")).collect();
            lines.push(format!("refused for what no rule decides: {count} ({})", codes.join(", ")));
        }
        lines
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::json!({ "lacking": self.lacking, "otherwise": self.otherwise })
    }
}
