//! How many of the planted cases are found, and how many findings are about one.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use peergate::audit::anomalies::reason::Family;
use peergate::audit::anomalies::{Detector, Finding, Report, Seen};
use peergate::audit::query::{Item, Join};
use peergate::audit::reader::Reader;

use super::{BEGIN, Case, DAY, LEARNED, Month, record};

/// What a detector says of one episode.
#[derive(Debug, Clone)]
pub struct Alarm {
    pub score: f64,
    pub uid: Option<u32>,
    pub silence: bool,
    pub from: u64,
    pub to: u64,
    pub samples: Vec<String>,
    pub words: String,
}

/// What came of one month.
#[derive(Debug, Default, Clone)]
pub struct Score {
    /// By kind: found and planted.
    pub kinds: BTreeMap<&'static str, (u32, u32)>,
    /// Alarms about a planted case, and all.
    pub right: u32,
    pub alarms: u32,
    /// Wrong ones, for who wants to look.
    pub wrong: Vec<Alarm>,
}

impl Score {
    pub fn recall(&self) -> f64 {
        let (found, planted) = self.kinds.values().fold((0, 0), |sum, kind| (sum.0 + kind.0, sum.1 + kind.1));
        f64::from(found) / f64::from(planted.max(1))
    }

    pub fn precision(&self) -> f64 {
        f64::from(self.right) / f64::from(self.alarms.max(1))
    }

    pub fn add(&mut self, other: &Score) {
        for (kind, (found, planted)) in &other.kinds {
            let sum = self.kinds.entry(kind).or_default();
            *sum = (sum.0 + found, sum.1 + planted);
        }
        self.right += other.right;
        self.alarms += other.alarms;
        self.wrong.extend(other.wrong.iter().cloned());
    }
}

/// The record of a month, and the planted case of each labelled request.
pub struct Recorded {
    pub directory: tempfile::TempDir,
    pub records: u64,
    pub labels: HashMap<String, u16>,
}

pub fn record_of(month: &Month) -> Recorded {
    let directory = tempfile::tempdir().unwrap();
    let (records, labels) = record::write(month, directory.path());
    Recorded { directory, records, labels }
}

/// The detector as the command runs it: the first days are learned from, the rest is judged.
pub fn report(directory: &Path) -> Report {
    let mut join = Join::new(Reader::open(directory).unwrap());
    let mut detector = Detector::new();
    while let Some(item) = join.next_item().unwrap() {
        let Item::Access(access) = item else { continue };
        let judged = access.when().micros() >= BEGIN + LEARNED * DAY;
        if let Some(seen) = Seen::of(&access, judged) {
            detector.take(&seen);
        }
    }
    detector.finish()
}

pub fn alarms(report: &Report) -> Vec<Alarm> {
    report.findings.iter().map(alarm).collect()
}

fn alarm(finding: &Finding) -> Alarm {
    let words: Vec<String> =
        finding.reasons.iter().map(|told| format!("[{:.1}] {}", told.surprise, told.words)).collect();
    Alarm {
        score: finding.score,
        uid: finding.uid,
        silence: finding.reasons.first().is_some_and(|told| told.family == Family::Silence),
        from: finding.from.micros(),
        to: finding.to.micros(),
        samples: finding.samples.iter().map(ToString::to_string).collect(),
        words: format!("{}: {}", finding.user.as_deref().unwrap_or("several"), words.join("; ")),
    }
}

/// The case that an alarm is about: most of the requests that it names are the case's.
pub fn about(alarm: &Alarm, month: &Month, labels: &HashMap<String, u16>) -> Option<usize> {
    let is_theirs = |case: &Case| alarm.uid == Some(month.people[case.who].uid);
    if alarm.silence {
        let meets = |case: &Case| case.kind == "gone silent" && alarm.from < case.to && case.from < alarm.to;
        return month.cases.iter().position(|case| is_theirs(case) && meets(case));
    }
    let mut votes: BTreeMap<u16, usize> = BTreeMap::new();
    for case in alarm.samples.iter().filter_map(|id| labels.get(id)) {
        *votes.entry(*case).or_default() += 1;
    }
    let (case, count) = votes.into_iter().max_by_key(|(_, count)| *count)?;
    (2 * count > alarm.samples.len()).then_some(usize::from(case))
}

/// The score of these alarms.
pub fn score<'a>(
    alarms: impl Iterator<Item = &'a Alarm>,
    month: &Month,
    labels: &HashMap<String, u16>,
) -> Score {
    let mut score = Score::default();
    let mut found = vec![false; month.cases.len()];
    for alarm in alarms {
        score.alarms += 1;
        match about(alarm, month, labels) {
            Some(case) => {
                score.right += 1;
                found[case] = true;
            }
            None => score.wrong.push(alarm.clone()),
        }
    }
    for (case, found) in month.cases.iter().zip(found) {
        let kind = score.kinds.entry(case.kind).or_default();
        kind.0 += u32::from(found);
        kind.1 += 1;
    }
    score
}

/// What is often done instead: a caller's requests an hour above mean and three deviations, a route that it never
/// called. Alarms of a caller within three hours are one.
pub fn baseline(month: &Month) -> Vec<Alarm> {
    let ids = ids(month);
    let mut rates: HashMap<usize, (f64, f64, f64)> = HashMap::new();
    let mut routes: HashMap<(usize, &str), ()> = HashMap::new();
    // The hour that is counted: when, how many, which.
    let mut hours: HashMap<usize, (u64, f64, Vec<String>)> = HashMap::new();
    let mut alarms: Vec<Alarm> = Vec::new();
    let raise =
        |alarms: &mut Vec<Alarm>, who: usize, from: u64, score: f64, ids: Vec<String>, words: String| {
            let uid = Some(month.people[who].uid);
            let near =
                alarms.iter_mut().rev().find(|alarm| alarm.uid == uid && from < alarm.to + 3 * super::HOUR);
            if let Some(near) = near {
                near.to = near.to.max(from);
                near.score = near.score.max(score);
                near.samples.extend(ids);
                return;
            }
            alarms.push(Alarm { score, uid, silence: false, from, to: from, samples: ids, words });
        };
    for (asked, id) in month.asked.iter().zip(&ids) {
        let judged = asked.at >= BEGIN + LEARNED * DAY;
        let hour = asked.at / super::HOUR;
        let counted = hours.entry(asked.who).or_insert((hour, 0.0, Vec::new()));
        if counted.0 != hour {
            let (ended, count, some) = std::mem::replace(counted, (hour, 0.0, Vec::new()));
            let rate = rates.entry(asked.who).or_default();
            let mean = rate.1 / rate.0.max(1.0);
            let deviation = (rate.2 / rate.0.max(1.0) - mean * mean).max(0.0).sqrt();
            if ended * super::HOUR >= BEGIN + LEARNED * DAY && rate.0 > 3.0 && count > mean + 3.0 * deviation
            {
                let beyond = (count - mean) / deviation.max(0.5);
                raise(&mut alarms, asked.who, ended * super::HOUR, beyond, some, format!("{count} an hour"));
            }
            *rate = (rate.0 + 1.0, rate.1 + count, rate.2 + count * count);
        }
        counted.1 += 1.0;
        if counted.2.len() < 8 {
            counted.2.push(id.clone());
        }
        let key = (asked.who, if asked.refusal.is_some() { asked.route.path } else { asked.route.id });
        if routes.insert(key, ()).is_none() && judged {
            raise(&mut alarms, asked.who, asked.at, 3.0, vec![id.clone()], format!("first {}", key.1));
        }
    }
    alarms.sort_by(|a, b| b.score.total_cmp(&a.score));
    alarms
}

/// The id of each request, as `record` gives them.
fn ids(month: &Month) -> Vec<String> {
    let boot = peergate::model::ids::BootId::from_random(77);
    let mut connections: HashMap<(usize, u32), (u64, u32)> = HashMap::new();
    let mut ids = Vec::with_capacity(month.asked.len());
    for asked in &month.asked {
        let fresh = connections.len() as u64 + 1;
        let (number, requests) = connections.entry((asked.who, asked.connection)).or_insert((fresh, 0));
        *requests += 1;
        ids.push(format!("{boot}-{number}-{requests}"));
    }
    ids
}
