//! What a report counts, in one pass and in bounded memory, however long the record is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::timeline::Timeline;
use crate::cli::audit::row::Row;
use crate::model::time::Timestamp;

/// Names that are counted each by itself; what comes after so many is counted together.
const NAMES: usize = 20_000;
/// How many of the slowest are named.
const SLOWEST: usize = 10;
/// How many of a ranking are shown for what was denied, and as many for what there was at all.
const SHOWN: usize = 6;

/// Allowed and denied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) allowed: u64,
    pub(super) denied: u64,
}

impl Count {
    pub(super) fn add(&mut self, denied: bool, count: u64) {
        let side = if denied { &mut self.denied } else { &mut self.allowed };
        *side = side.saturating_add(count);
    }

    pub(super) fn merge(&mut self, other: Count) {
        self.add(false, other.allowed);
        self.add(true, other.denied);
    }

    pub(super) fn total(self) -> u64 {
        self.allowed.saturating_add(self.denied)
    }
}

/// Counts by name.
#[derive(Debug, Default)]
pub(super) struct Ranking {
    names: BTreeMap<String, Count>,
    /// Of names that came after the table was full.
    beyond: Count,
}

/// The beginning of a ranking, and the rest in one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Top {
    pub(super) names: Vec<(String, Count)>,
    /// How many more names there are, and what they count together.
    pub(super) others: (usize, Count),
}

impl Ranking {
    pub(super) fn add(&mut self, name: &str, denied: bool, count: u64) {
        if let Some(known) = self.names.get_mut(name) {
            known.add(denied, count);
        } else if self.names.len() < NAMES {
            self.names.entry(name.to_owned()).or_default().add(denied, count);
        } else {
            self.beyond.add(denied, count);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// Those with the most denied and those with the most of all, denied first.
    pub(super) fn top(&self) -> Top {
        let mut ranked: Vec<(&String, Count)> =
            self.names.iter().map(|(name, count)| (name, *count)).collect();
        ranked.sort_by_key(|(_, count)| std::cmp::Reverse(count.total()));
        let busiest: BTreeSet<&String> = ranked.iter().take(SHOWN).map(|(name, _)| *name).collect();
        ranked.sort_by_key(|(_, count)| std::cmp::Reverse((count.denied, count.allowed)));
        let (shown, rest): (Vec<_>, Vec<_>) = ranked
            .into_iter()
            .enumerate()
            .map(|(place, (name, count))| {
                let wanted = (place < SHOWN && count.denied > 0) || busiest.contains(name);
                (wanted, (name.clone(), count))
            })
            .partition(|(wanted, _)| *wanted);
        let names = |list: Vec<(bool, (String, Count))>| list.into_iter().map(|(_, named)| named);
        let mut top = Top { names: names(shown).collect(), others: (rest.len(), self.beyond) };
        if rest.len() == 1 {
            // One more line says as much as `1 more`.
            top.names.extend(names(rest));
            top.others.0 = 0;
        } else {
            names(rest).for_each(|(_, count)| top.others.1.merge(count));
        }
        top
    }
}

/// The latest of each verdict.
#[derive(Debug)]
pub(super) struct Latest {
    most: usize,
    allowed: VecDeque<Row>,
    denied: VecDeque<Row>,
}

impl Latest {
    fn add(&mut self, row: Row) {
        let side = if row.denied { &mut self.denied } else { &mut self.allowed };
        side.push_back(row);
        if side.len() > self.most {
            side.pop_front();
        }
    }

    /// At most so many rows, denied first and the latest first. Half of the room is kept for each verdict, so
    /// that many of one don't push the other out; what one does not need is the other's.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        let half = self.most / 2;
        let spare = |other: &VecDeque<Row>| half.saturating_sub(other.len());
        let denied = self.denied.len().min(self.most - half + spare(&self.allowed));
        let allowed = self.allowed.len().min(self.most - denied);
        self.denied.iter().rev().take(denied).chain(self.allowed.iter().rev().take(allowed))
    }
}

/// All that is counted.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) count: Count,
    /// Allowed ones that failed behind us, or ended early.
    pub(super) failed: u64,
    /// The first and the last time.
    pub(super) range: Option<(Timestamp, Timestamp)>,
    pub(super) timeline: Timeline,
    pub(super) callers: Ranking,
    pub(super) routes: Ranking,
    /// What was refused, by its code.
    pub(super) refusals: Ranking,
    /// Allowed requests that took the most time, the slowest first.
    pub(super) slowest: Vec<Row>,
    pub(super) latest: Latest,
}

impl Tally {
    /// Of nothing yet; `most` rows are kept for the table.
    pub(super) fn new(most: usize) -> Tally {
        Tally {
            count: Count::default(),
            failed: 0,
            range: None,
            timeline: Timeline::default(),
            callers: Ranking::default(),
            routes: Ranking::default(),
            refusals: Ranking::default(),
            slowest: Vec::new(),
            latest: Latest { most, allowed: VecDeque::new(), denied: VecDeque::new() },
        }
    }

    /// The next access in the order of time.
    pub(super) fn add(&mut self, row: Row) {
        self.count.add(row.denied, row.count);
        self.timeline.add(row.ts.micros(), row.denied, row.count);
        let (first, last) = self.range.get_or_insert((row.ts, row.ts));
        (*first, *last) = ((*first).min(row.ts), (*last).max(row.ts));
        self.callers.add(&row.caller, row.denied, row.count);
        self.routes.add(&row.route, row.denied, row.count);
        if row.denied {
            self.refusals.add(&row.result, true, row.count);
        } else {
            self.keep_if_slow(&row);
            self.failed += u64::from(row.failed);
        }
        self.latest.add(row);
    }

    fn keep_if_slow(&mut self, row: &Row) {
        let place = self.slowest.partition_point(|other| other.us >= row.us);
        if place < SLOWEST && row.us.is_some() && !row.stream {
            self.slowest.insert(place, row.clone());
            self.slowest.truncate(SLOWEST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(denied: bool, us: u64) -> Row {
        Row { denied, us: Some(us), id: us.to_string(), ..Row::empty(Timestamp::from_micros(us)) }
    }

    fn ids<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<&'a str> {
        rows.map(|row| row.id.as_str()).collect()
    }

    #[test]
    fn rows_keep_room_for_each_verdict() {
        let mut tally = Tally::new(4);
        (0..9).for_each(|us| tally.add(row(true, us)));
        assert_eq!(ids(tally.latest.rows()), ["8", "7", "6", "5"]);
        (10..13).for_each(|us| tally.add(row(false, us)));
        assert_eq!(ids(tally.latest.rows()), ["8", "7", "12", "11"]);
        let mut tally = Tally::new(4);
        tally.add(row(true, 1));
        (10..19).for_each(|us| tally.add(row(false, us)));
        assert_eq!(ids(tally.latest.rows()), ["1", "18", "17", "16"]);
        assert_eq!((tally.count.allowed, tally.count.denied), (9, 1));
    }

    #[test]
    fn slowest_are_allowed_ones_that_are_no_streams() {
        let mut tally = Tally::new(4);
        for us in [5, 900, 3, 7, 1, 2, 4, 6, 8, 9, 10, 11] {
            tally.add(row(false, us));
        }
        tally.add(row(true, 1_000));
        tally.add(Row { stream: true, ..row(false, 2_000) });
        assert_eq!(ids(tally.slowest.iter()), ["900", "11", "10", "9", "8", "7", "6", "5", "4", "3"]);
    }

    #[test]
    fn top_has_the_most_denied_and_the_busiest() {
        let mut ranking = Ranking::default();
        (0..20).for_each(|name| ranking.add(&format!("d{name:02}"), true, 20 - name));
        ranking.add("busy", false, 1_000);
        ranking.add("idle", false, 1);
        let top = ranking.top();
        let names: Vec<&str> = top.names.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["d00", "d01", "d02", "d03", "d04", "d05", "busy"]);
        let (names, count) = top.others;
        assert_eq!((names, count.denied, count.allowed), (15, (1..=14).sum(), 1));
    }
}
