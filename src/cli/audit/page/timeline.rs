//! Counts over time, of a span that nobody knows beforehand.

use std::collections::BTreeMap;

use super::tally::Count;

/// How many seconds a bar can stand for; each divides the next. The last ones are for records whose writer lied
/// about the year.
const WIDTHS: [u64; 17] = [
    1,
    2,
    10,
    30,
    60,
    120,
    600,
    1_800,
    3_600,
    7_200,
    21_600,
    43_200,
    86_400,
    604_800,
    2_419_200,
    31_449_600,
    3_144_960_000,
];
/// Buckets are joined beyond so many.
const BUCKETS: u64 = 4_096;
/// At most so many bars are drawn.
const BARS: u64 = 120;

/// Counts by time; memory is bounded.
#[derive(Debug, Clone, Default)]
pub(super) struct Timeline {
    /// Which of `WIDTHS`.
    width: usize,
    /// By the number of the bucket, counted from the epoch.
    buckets: BTreeMap<u64, Count>,
}

/// What is drawn: equal spans without a gap.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Bars {
    /// Seconds since the epoch at which the first begins.
    pub(super) start: u64,
    /// Seconds of each.
    pub(super) width: u64,
    pub(super) counts: Vec<Count>,
}

impl Timeline {
    /// Counts something that was at `micros` since the epoch.
    pub(super) fn add(&mut self, micros: u64, denied: bool, count: u64) {
        let bucket = micros / 1_000_000 / self.seconds();
        self.buckets.entry(bucket).or_default().add(denied, count);
        self.fit(BUCKETS);
    }

    /// The whole span in bars.
    pub(super) fn bars(&self) -> Bars {
        let mut timeline = self.clone();
        timeline.fit(BARS);
        let (Some((first, _)), Some((last, _))) =
            (timeline.buckets.first_key_value(), timeline.buckets.last_key_value())
        else {
            return Bars::default();
        };
        let count = |bucket| timeline.buckets.get(&bucket).copied().unwrap_or_default();
        Bars {
            start: first * timeline.seconds(),
            width: timeline.seconds(),
            counts: (*first..=*last).map(count).collect(),
        }
    }

    fn seconds(&self) -> u64 {
        WIDTHS.get(self.width).copied().unwrap_or(u64::MAX)
    }

    fn span(&self) -> u64 {
        match (self.buckets.first_key_value(), self.buckets.last_key_value()) {
            (Some((first, _)), Some((last, _))) => last - first + 1,
            _ => 0,
        }
    }

    /// Joins buckets until there are at most so many.
    fn fit(&mut self, most: u64) {
        while self.span() > most && self.width + 1 < WIDTHS.len() {
            let before = self.seconds();
            self.width += 1;
            let joined = self.seconds() / before;
            for (bucket, count) in std::mem::take(&mut self.buckets) {
                self.buckets.entry(bucket / joined).or_default().merge(count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn widths_divide_each_other_and_reach_every_year() {
        assert!(WIDTHS.windows(2).all(|pair| pair[1] % pair[0] == 0));
        assert!(WIDTHS.last().unwrap() * BARS > 253_402_300_800);
    }

    #[test]
    fn bars_of_any_span_are_few_and_hold_everything() {
        for span in [1, 59, 119, 121, 3_600, 86_400, 30 * 86_400, 400 * 86_400, 200_000_000_000] {
            let mut timeline = Timeline::default();
            for step in 0..1_000 {
                let second = 1_795_405_589 + span * step / 1_000;
                timeline.add(second * SECOND, step % 10 == 0, 1);
            }
            let bars = timeline.bars();
            assert!(bars.counts.len() as u64 <= BARS, "{span}: {}", bars.counts.len());
            assert!(span < 20 || bars.counts.len() >= 10, "{span}: {}", bars.counts.len());
            let mut sum = Count::default();
            bars.counts.iter().for_each(|count| sum.merge(*count));
            assert_eq!((sum.allowed, sum.denied), (900, 100), "{span}");
            assert!(bars.start <= 1_795_405_589 && bars.start + bars.width > 1_795_405_589);
        }
    }

    #[test]
    fn bars_of_nothing_are_none() {
        assert_eq!(Timeline::default().bars(), Bars::default());
    }
}
