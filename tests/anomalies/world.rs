//! A month of a believable host, and what is planted in it. Nothing here knows how it is going to be judged:
//! `src/manual/anomalies.md` says what is in it, and was written first.
//!
//! Each caller draws from a generator of its own, so that what is planted changes nothing of what others do.

#![allow(dead_code, unreachable_pub, reason = "tests and the measurement use a part each")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

pub mod cast;
pub mod days;
pub mod life;
pub mod machines;
pub mod planted;
pub mod random;
pub mod record;
pub mod score;

use cast::{Person, Route};
use peergate::model::refusal::Refusal;
use random::Random;

pub const SECOND: u64 = 1_000_000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;
pub const DAY: u64 = 24 * HOUR;

/// Monday, 2026-10-05, midnight UTC. Europe leaves summer time on day 20, New York on day 27.
pub const BEGIN: u64 = 20_731 * DAY;
/// Days of it: to 2026-11-04.
pub const DAYS: u64 = 31;
/// What is planted comes on this day or later; what is before can be learned from.
pub const LEARNED: u64 = 14;

/// One request and what became of it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Microseconds since 1970.
    pub at: u64,
    /// The caller: an index into [`Month::people`].
    pub who: usize,
    /// An index into [`cast::PROGRAMS`].
    pub program: usize,
    pub unit: Option<&'static str>,
    pub login: bool,
    /// From a container.
    pub inside: bool,
    /// Requests of one caller with the same number share a connection.
    pub connection: u32,
    pub route: &'static Route,
    /// What stands in the path for `{}`.
    pub name: String,
    pub refusal: Option<Refusal>,
    pub status: u16,
    /// It timed out behind us.
    pub late: bool,
    pub out: u64,
    /// The planted case that it belongs to.
    pub case: Option<u16>,
}

/// Something planted.
#[derive(Debug, Clone)]
pub struct Case {
    pub kind: &'static str,
    pub who: usize,
    pub from: u64,
    pub to: u64,
}

/// Something that looks unusual and is nothing: it has to stay quiet.
#[derive(Debug, Clone)]
pub struct Innocent {
    pub kind: &'static str,
    /// Whose; `None`: everybody's.
    pub who: Option<usize>,
    pub from: u64,
    pub to: u64,
}

/// How much of it there is.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// How often monitoring asks.
    pub monitor: u64,
    /// Instances of each kind that are planted.
    pub each: usize,
}

impl Scale {
    /// As such a host is.
    pub const FULL: Scale = Scale { monitor: 15 * SECOND, each: 2 };
    /// With monitoring every ten minutes, for tests in debug builds.
    pub const SMALL: Scale = Scale { monitor: 10 * MINUTE, each: 2 };
}

/// What happened, in the order of time, and what is to be found in it.
#[derive(Debug)]
pub struct Month {
    pub people: Vec<Person>,
    pub asked: Vec<Asked>,
    pub cases: Vec<Case>,
    pub innocent: Vec<Innocent>,
}

/// The month of `seed`.
pub fn month(seed: u64, scale: Scale) -> Month {
    let people = cast::people();
    let days = days::Days::of(seed, &people);
    let mut asked = Vec::new();
    for who in 0..people.len() {
        let mut random = Random::new(seed, who as u64);
        match people[who].kind {
            cast::Kind::Human { .. } => life::human(who, &people, &days, &mut random, &mut asked),
            cast::Kind::Machine(job) => {
                machines::machine(who, job, &days, scale, &mut random, &mut asked);
            }
            cast::Kind::Nobody => {}
        }
    }
    let mut random = Random::new(seed, 1_000);
    let cases = planted::plant(scale.each, &people, &days, &mut random, &mut asked);
    asked.sort_by_key(|asked| asked.at);
    Month { people, asked, cases, innocent: days.innocent }
}
