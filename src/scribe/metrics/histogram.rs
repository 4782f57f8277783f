//! How long things took.

/// Upper bounds, in microseconds.
pub(super) const BOUNDS: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// Counts by upper bound; what is beyond the last one stands in the total alone.
#[derive(Debug, Default, Clone)]
pub(super) struct Histogram {
    within: [u64; BOUNDS.len()],
    count: u64,
    sum: u64,
}

impl Histogram {
    /// One that took so many microseconds.
    pub(super) fn add(&mut self, micros: u64) {
        let place = BOUNDS.partition_point(|bound| *bound < micros);
        if let Some(within) = self.within.get_mut(place) {
            *within += 1;
        }
        self.count += 1;
        self.sum = self.sum.saturating_add(micros);
    }

    /// Each bound with how many took no longer than that.
    pub(super) fn cumulated(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        BOUNDS.iter().zip(&self.within).scan(0, |sum, (bound, within)| {
            *sum += within;
            Some((*bound, *sum))
        })
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Of all, in microseconds.
    pub(super) fn sum(&self) -> u64 {
        self.sum
    }
}

/// So many of the latest are remembered one by one.
const LATEST: usize = 1_024;

/// The latest ones, for a percentile of now instead of since the start.
#[derive(Debug, Default)]
pub(super) struct Recent {
    latest: Vec<u64>,
    next: usize,
}

impl Recent {
    /// One more; the oldest goes.
    pub(super) fn add(&mut self, micros: u64) {
        match self.latest.get_mut(self.next) {
            Some(oldest) => *oldest = micros,
            None => self.latest.push(micros),
        }
        self.next = (self.next + 1) % LATEST;
    }

    /// The 99th percentile by nearest rank; 0 where there is none.
    pub(super) fn p99(&self) -> u64 {
        let mut sorted = self.latest.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * 99).div_ceil(100);
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histogram_counts_at_and_below_each_bound() {
        let mut took = Histogram::default();
        [0, 100, 101, 5_000, 99_000_000].into_iter().for_each(|micros| took.add(micros));
        let at = |wanted| took.cumulated().find(|(bound, _)| *bound == wanted).unwrap().1;
        assert_eq!((at(100), at(250), at(2_500), at(5_000), at(10_000_000)), (2, 3, 3, 4, 4));
        assert_eq!((took.count(), took.sum()), (5, 99_005_201));
    }

    #[test]
    fn p99_is_of_the_latest() {
        let mut recent = Recent::default();
        assert_eq!(recent.p99(), 0);
        recent.add(7);
        assert_eq!(recent.p99(), 7);
        (0..LATEST as u64).for_each(|_| recent.add(1_000));
        assert_eq!(recent.p99(), 1_000, "what is older is forgotten");
        (1..=100).for_each(|micros| recent.add(micros));
        (0..LATEST as u64 - 100).for_each(|_| recent.add(50));
        assert_eq!(recent.p99(), 90, "ten of 1,024 are above it");
    }
}
