//! Observations that belong together are one finding; a change that many share is one, too.

use std::collections::{HashMap, HashSet};

use super::caller::{Caller, Trait};
use super::clock::{DAY, HOUR};
use super::reason::{Family, Reason, What, Window};
use super::words::Word;
use super::{Detector, EVERYDAY, tell};
use crate::model::ids::RequestId;
use crate::model::time::Timestamp;

/// Observations this close to each other are of one episode.
const CLOSE: u64 = 3 * HOUR;
/// Episodes this close to each other, and of one kind, are one finding: what goes on day after day.
const NEXT_DAY: u64 = 38 * HOUR;
/// From so many callers on, something that nobody did before is a change and nobody's oddity.
const SHARED: u32 = 3;
/// So many callers are a crowd, each of them this surprising; and surprises beyond everyday life that a crowd does not
/// explain.
const BUSY: f64 = 3.5;
const CROWD: usize = 4;
const BY_FAR: f64 = 6.0;
/// How much a further observation about the same thing adds, and the most that all of them do.
const FURTHER: f64 = 0.3;
const FURTHER_MOST: f64 = 3.0;
/// Requests that are named with a finding.
const NAMED: usize = 6;
/// Requests are named by reasons that are at least this strong, as a part of the strongest.
const STRONG: f64 = 0.6;
/// What a known program on a known route counts for; there are many such pairs.
const PAIRS: f64 = 0.5;
/// No observation alone counts for more.
const MOST: f64 = 16.0;

/// Something unusual.
#[derive(Debug, Clone)]
pub struct Finding {
    /// How unusual, in nats beyond everyday life; the sum over what it is unusual in.
    pub score: f64,
    /// Whose; `None`: several callers'.
    pub uid: Option<u32>,
    /// The name, as it stands in the record.
    pub user: Option<String>,
    /// Of a change, everybody who shares it, as far as they are named.
    pub callers: Vec<String>,
    /// First and last time.
    pub from: Timestamp,
    /// Likewise.
    pub to: Timestamp,
    /// How many requests the strongest reason is about.
    pub count: u64,
    /// Why, the strongest first.
    pub reasons: Vec<Told>,
    /// Requests to look at.
    pub samples: Vec<RequestId>,
}

/// A reason in words.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// What it is about.
    pub family: Family,
    /// In nats: 2.3 is one in ten, 4.6 one in a hundred.
    pub surprise: f64,
    /// In words, about the caller: `came at 03:12; …`. Texts in it are spelt as in the record.
    pub words: String,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Report {
    /// The most unusual first.
    pub findings: Vec<Finding>,
    /// Requests that were learned from, and not judged.
    pub learned: u64,
    /// Requests that were judged.
    pub judged: u64,
    /// Requests of callers beyond those that can be told apart.
    pub beyond: u64,
    /// Callers.
    pub callers: usize,
}

/// Observations of one caller that belong together.
#[derive(Debug, Default)]
struct Episode {
    from: u64,
    to: u64,
    reasons: Vec<Reason>,
}

impl Detector {
    /// What was unusual, the record being at its end.
    pub fn finish(mut self) -> Report {
        self.close_all(self.judged > 0);
        let mut findings = self.changes();
        self.discount_crowds();
        for who in 0..self.callers.len() {
            let Some(caller) = self.callers.get_mut(who) else { continue };
            let reasons = std::mem::take(&mut caller.reasons);
            let Some(caller) = self.callers.get(who) else { continue };
            findings.extend(episodes(reasons).into_iter().map(|episode| self.finding(caller, episode)));
        }
        findings.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.from.cmp(&b.from)));
        Report {
            findings,
            learned: self.learned,
            judged: self.judged,
            beyond: self.beyond,
            callers: self.callers.len(),
        }
    }

    /// Takes out of the callers' reasons what many began to do at once, a finding for each such thing.
    fn changes(&mut self) -> Vec<Finding> {
        let mut shared: HashMap<(Family, u64), Vec<Reason>> = HashMap::new();
        for caller in &mut self.callers {
            let peers = &self.peers;
            let shares = |reason: &Reason| {
                let What::New { token, .. } = reason.what else { return None };
                let of = trait_of(reason.family)?;
                let spread = peers.spread(of, token)?;
                (spread.beginners >= SHARED && spread.all == spread.beginners)
                    .then_some((reason.family, token))
            };
            caller.reasons.retain(|reason| match shares(reason) {
                Some(key) => {
                    shared.entry(key).or_default().push(reason.clone());
                    false
                }
                None => true,
            });
        }
        shared
            .into_iter()
            .filter_map(|((family, token), reasons)| self.change(family, token, reasons))
            .collect()
    }

    /// On a day on which many are busier than ever, or come late, nobody is odd for it, unless by far.
    fn discount_crowds(&mut self) {
        let mut crowds: HashMap<(Family, u64), HashSet<u32>> = HashMap::new();
        let crowd = |reason: &Reason| match side(reason.family) {
            Family::Requests if reason.surprise > BUSY => Some((Family::Requests, reason.from / DAY)),
            Family::Time if reason.surprise > BUSY => Some((Family::Time, reason.from / (4 * HOUR))),
            _ => None,
        };
        for caller in &self.callers {
            for key in caller.reasons.iter().filter_map(crowd) {
                crowds.entry(key).or_default().insert(caller.uid);
            }
        }
        for reason in self.callers.iter_mut().flat_map(|caller| &mut caller.reasons) {
            let many = crowd(reason).and_then(|key| crowds.get(&key)).map_or(0, HashSet::len);
            let beyond = reason.surprise - EVERYDAY;
            let crowd = if reason.family == Family::Time { CROWD - 1 } else { CROWD };
            if many >= crowd && beyond < BY_FAR {
                reason.surprise = EVERYDAY + beyond * (crowd - 1) as f64 / many as f64 * 0.7;
            }
        }
    }

    fn change(&self, family: Family, token: u64, reasons: Vec<Reason>) -> Option<Finding> {
        let spread = self.peers.spread(trait_of(family)?, token)?;
        let strongest = reasons.iter().max_by(|a, b| a.surprise.total_cmp(&b.surprise))?;
        let callers = spread
            .began
            .iter()
            .filter_map(|who| self.callers.get(*who as usize))
            .map(|caller| self.name(caller));
        let words = tell::change(&self.words, strongest, spread.beginners);
        Some(Finding {
            // As much as it would be to one of them.
            score: (strongest.surprise - EVERYDAY).clamp(0.0, MOST) / 2.0,
            uid: None,
            user: None,
            callers: callers.collect(),
            from: Timestamp::from_micros(spread.first),
            to: Timestamp::from_micros(reasons.iter().map(|reason| reason.to).max()?),
            count: reasons.iter().map(|reason| reason.count).sum(),
            samples: reasons.iter().filter_map(|reason| reason.samples.ids().next()).take(NAMED).collect(),
            reasons: vec![Told { family, surprise: strongest.surprise, words }],
        })
    }

    fn finding(&self, caller: &Caller, mut episode: Episode) -> Finding {
        episode.drop_echoes();
        let score = score(&episode.reasons);
        episode.reasons.sort_by(|a, b| b.surprise.total_cmp(&a.surprise));
        let mut samples: Vec<RequestId> = Vec::new();
        // What is weak would dilute what is to be looked at.
        let strong = episode.reasons.first().map_or(0.0, |reason| reason.surprise * STRONG);
        for reason in episode.reasons.iter().filter(|reason| reason.surprise >= strong) {
            for id in reason.samples.ids() {
                if samples.len() < NAMED && !samples.contains(&id) {
                    samples.push(id);
                }
            }
        }
        let told = |reason: &Reason| Told {
            family: reason.family,
            surprise: reason.surprise,
            words: tell::reason(&self.words, reason),
        };
        Finding {
            score,
            uid: Some(caller.uid),
            user: caller.name.map(|name| self.words.text(name).to_owned()),
            callers: Vec::new(),
            from: Timestamp::from_micros(episode.from),
            to: Timestamp::from_micros(episode.to),
            count: episode.reasons.iter().map(|reason| reason.count).max().unwrap_or(0),
            reasons: episode.reasons.iter().map(told).collect(),
            samples,
        }
    }

    fn name(&self, caller: &Caller) -> String {
        caller.name.map_or_else(|| format!("uid {}", caller.uid), |name| self.words.text(name).to_owned())
    }
}

fn trait_of(family: Family) -> Option<Trait> {
    match family {
        Family::Program => Some(Trait::Program),
        Family::Setting => Some(Trait::Setting),
        Family::Route => Some(Trait::Route),
        Family::Pair => Some(Trait::Pair),
        _ => None,
    }
}

/// Families that tell of the same thing.
fn side(family: Family) -> Family {
    match family {
        Family::Pair => Family::Program,
        Family::Bytes | Family::Names | Family::Failed => Family::Requests,
        other => other,
    }
}

/// The sum over the sides: the strongest of each, and a little for further ones.
fn score(reasons: &[Reason]) -> f64 {
    let mut sides: HashMap<Family, Vec<f64>> = HashMap::new();
    // The same amount within an hour and within a day is one observation.
    let mut counted: HashMap<(Family, Option<u64>), f64> = HashMap::new();
    for reason in reasons {
        let part = if reason.family == Family::Pair { PAIRS } else { 1.0 };
        let beyond = part * (reason.surprise - EVERYDAY).clamp(0.0, MOST);
        let token = match reason.what {
            What::New { token, .. } => Some(token),
            _ => None,
        };
        let known = counted.entry((reason.family, token)).or_default();
        *known = known.max(beyond);
    }
    for ((family, _), beyond) in counted {
        sides.entry(side(family)).or_default().push(beyond);
    }
    let of_side = |beyond: Vec<f64>| {
        let strongest = beyond.iter().copied().fold(0.0, f64::max);
        strongest + (FURTHER * (beyond.iter().sum::<f64>() - strongest)).min(FURTHER_MOST)
    };
    sides.into_values().map(of_side).sum()
}

impl Reason {
    fn new_program(&self) -> Option<u64> {
        match self.what {
            What::New { token, .. } if self.family == Family::Program => Some(token),
            _ => None,
        }
    }
}

/// Whether it is added up over so long that it belongs to whatever it overlaps with.
fn is_long(reason: &Reason) -> bool {
    match reason.what {
        What::Much { window, .. } => window == Window::Day,
        What::Denied { .. } | What::Silent { .. } => true,
        _ => false,
    }
}

/// Puts together what belongs together.
fn episodes(mut reasons: Vec<Reason>) -> Vec<Episode> {
    reasons.sort_by_key(|reason| reason.from);
    let (long, short): (Vec<Reason>, Vec<Reason>) = reasons.into_iter().partition(is_long);
    let mut episodes: Vec<Episode> = Vec::new();
    for reason in short {
        match episodes.last_mut() {
            Some(last) if reason.from <= last.to + CLOSE => last.take(reason),
            _ => episodes.push(Episode::of(reason)),
        }
    }
    for reason in long {
        let silent = reason.family == Family::Silence;
        let overlapping = episodes
            .iter_mut()
            .filter(|episode| !silent && reason.from <= episode.to + HOUR && episode.from <= reason.to + HOUR)
            .max_by(|a, b| score(&a.reasons).total_cmp(&score(&b.reasons)));
        match overlapping {
            Some(episode) => episode.take(reason),
            None => episodes.push(Episode::of(reason)),
        }
    }
    episodes.sort_by_key(|episode| episode.from);
    let mut joined: Vec<Episode> = Vec::new();
    for episode in episodes {
        match joined.last_mut() {
            Some(last) if last.goes_on_in(&episode) => {
                episode.reasons.into_iter().for_each(|reason| last.take(reason));
            }
            _ => joined.push(episode),
        }
    }
    joined
}

impl Episode {
    fn of(reason: Reason) -> Episode {
        Episode { from: reason.from, to: reason.to, reasons: vec![reason] }
    }

    fn take(&mut self, reason: Reason) {
        self.from = self.from.min(reason.from);
        self.to = self.to.max(reason.to);
        self.reasons.push(reason);
    }

    /// That a new program calls something is no news beside the program.
    fn drop_echoes(&mut self) {
        let programs: Vec<u64> = self.reasons.iter().filter_map(|reason| reason.new_program()).collect();
        let echoes = |reason: &Reason| {
            let What::New { token, .. } = reason.what else { return false };
            reason.family == Family::Pair && programs.contains(&Word::split(token).0.alone())
        };
        self.reasons.retain(|reason| !echoes(reason));
    }

    fn leads(&self) -> Option<Family> {
        self.reasons.iter().max_by(|a, b| a.surprise.total_cmp(&b.surprise)).map(|reason| side(reason.family))
    }

    /// Whether another, later one is more of the same.
    fn goes_on_in(&self, other: &Episode) -> bool {
        let same = self.leads() == other.leads() && self.leads() != Some(Family::Silence);
        other.from <= self.to + NEXT_DAY && same
    }
}
