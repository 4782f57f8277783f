//! Why something is unusual: one observation, how surprising it is, and which requests show it.

use super::words::Word;
use crate::model::ids::RequestId;

/// What an observation is about. Those of one family tell of the same thing, and only the strongest of them counts
/// in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Who: a caller that is new, or was away for long.
    Caller,
    /// By which program.
    Program,
    /// From where: unit, login, namespace, listener, rule.
    Setting,
    /// What: a route that was never called.
    Route,
    /// A known program on a known route, for the first time.
    Pair,
    /// When.
    Time,
    /// How many requests.
    Requests,
    /// How many bytes.
    Bytes,
    /// How many names that were never asked for.
    Names,
    /// Denied, for what was never asked for.
    Denied,
    /// How many came to nothing.
    Failed,
    /// It came always, and does not come.
    Silence,
}

impl Family {
    /// Its stable name.
    pub fn code(self) -> &'static str {
        match self {
            Family::Caller => "caller",
            Family::Program => "program",
            Family::Setting => "setting",
            Family::Route => "route",
            Family::Pair => "program-route",
            Family::Time => "time",
            Family::Requests => "requests",
            Family::Bytes => "bytes",
            Family::Names => "names",
            Family::Denied => "denied",
            Family::Failed => "failed",
            Family::Silence => "silence",
        }
    }
}

/// What was observed, in numbers and words by number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum What {
    /// A caller that was never seen.
    NewCaller,
    /// It was away for so many hours, and at most for so many before.
    Back { hours: u64, before: u64 },
    /// Something that this caller never did, on how many days it came, how many peers did, of how many.
    New { token: u64, days: u32, peers: u32, of: u32 },
    /// It came in this hour; never between these hours before, where there is such a span.
    Hour { hour: u64, days: u32, quiet: Option<(u64, u64)>, weekend: bool },
    /// So many, on this route (of bytes: on all), in a window; the most before, and in how many windows.
    Much { route: Option<Word>, amount: f64, before: f64, windows: u32, window: Window },
    /// So many different things denied that were never asked for before; and that before, in how many days.
    Denied { now: u32, within: u32, before: u32, days: u32 },
    /// Nothing for so many hours; never more than so many before.
    Silent { hours: u64, before: u64, days: u32 },
}

/// How long amounts are added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Window {
    /// Ten minutes.
    Minutes,
    /// An hour.
    Hour,
    /// A day.
    Day,
}

impl Window {
    /// In microseconds.
    pub(super) fn length(self) -> u64 {
        match self {
            Window::Minutes => super::clock::MINUTE * 10,
            Window::Hour => super::clock::HOUR,
            Window::Day => super::clock::DAY,
        }
    }

    /// In words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Window::Minutes => "10 minutes",
            Window::Hour => "an hour",
            Window::Day => "a day",
        }
    }
}

/// Requests that are named with a reason.
pub(super) const SAMPLES: usize = 4;

/// A few requests, the ones that weigh most.
#[derive(Debug, Clone, Default)]
pub(super) struct Samples(Vec<(f64, RequestId)>);

impl Samples {
    pub(super) fn add(&mut self, id: Option<RequestId>, weight: f64) {
        let Some(id) = id else { return };
        if self.0.len() < SAMPLES {
            self.0.push((weight, id));
        } else if let Some(least) = self.0.iter_mut().min_by(|a, b| a.0.total_cmp(&b.0))
            && least.0 < weight
        {
            *least = (weight, id);
        }
    }

    /// The requests.
    pub(super) fn ids(&self) -> impl Iterator<Item = RequestId> {
        self.0.iter().map(|(_, id)| *id)
    }
}

/// One observation.
#[derive(Debug, Clone)]
pub(super) struct Reason {
    /// What it is about.
    pub(super) family: Family,
    /// What it is.
    pub(super) what: What,
    /// First and last, in microseconds since 1970.
    pub(super) from: u64,
    /// Likewise.
    pub(super) to: u64,
    /// In nats: 2.3 is one in ten, 4.6 one in a hundred.
    pub(super) surprise: f64,
    /// Requests that it is about.
    pub(super) count: u64,
    /// Some of them.
    pub(super) samples: Samples,
}
