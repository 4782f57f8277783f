//! How much is much: what amounts there were, and how surprising a larger one is.
//!
//! Amounts of people and programs have no bell's shape: a day with three times the median is ordinary, and a mean
//! with its deviation is spoilt by the first burst. So the history is kept as it is, in steps of a quarter of an
//! octave. Only what is beyond the largest counts; there, probability falls as a power of the
//! ratio, the steeper the more alike the largest ones were (Hill's estimate, held near a prior while they are few).

/// Of amounts in windows of one length.
#[derive(Debug, Clone, Default)]
pub(super) struct Amounts {
    /// How many there were of each size, by [`size`], ascending.
    sizes: Vec<(u8, u32)>,
    count: u32,
    largest: f64,
}

/// The power by which probability falls beyond what was seen, before anything is known of the caller; and how many
/// observations that counts as.
const FALL: f64 = 1.8;
const HELD_BY: f64 = 4.0;

/// How many times the largest amount before is news.
const NEWS: f64 = 2.5;

impl Amounts {
    /// Learns one.
    pub(super) fn learn(&mut self, amount: f64) {
        let size = size(amount);
        match self.sizes.binary_search_by_key(&size, |(size, _)| *size) {
            Ok(at) => {
                if let Some((_, count)) = self.sizes.get_mut(at) {
                    *count = count.saturating_add(1);
                }
            }
            Err(at) => self.sizes.insert(at, (size, 1)),
        }
        self.count = self.count.saturating_add(1);
        self.largest = self.largest.max(amount);
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn largest(&self) -> f64 {
        self.largest
    }

    /// How surprising it is, in nats, that an amount is larger than all before; nothing where it is not. `least` is what
    /// nobody wonders at, `lived` how many windows there were at least, those with nothing among them.
    pub(super) fn surprise(&self, amount: f64, least: f64, lived: u32) -> f64 {
        if amount <= least || amount <= self.largest {
            return 0.0;
        }
        let all = f64::from(self.count.max(lived)) + 1.0;
        let beyond = (amount / self.largest.max(least)).max(1.0).ln();
        // Less than a few times the record is no news, however long the record stood.
        (all.ln() + self.fall() * beyond) * (beyond / NEWS.ln()).min(1.0)
    }

    /// The power, from the largest tenth.
    fn fall(&self) -> f64 {
        let wanted = f64::from((self.count / 10).max(3).min(self.count));
        let (mut seen, mut logs, mut lowest) = (0.0, 0.0, 0.0);
        for (size, count) in self.sizes.iter().rev() {
            if seen >= wanted {
                break;
            }
            lowest = f64::from(*size) * STEP;
            seen += f64::from(*count);
            logs += f64::from(*count) * lowest;
        }
        let spread = (logs - seen * lowest).max(0.0);
        ((seen + HELD_BY) / (spread + HELD_BY / FALL)).clamp(1.0, 5.0)
    }
}

/// A quarter of an octave.
const STEP: f64 = std::f64::consts::LN_2 / 4.0;

fn size(amount: f64) -> u8 {
    ((1.0 + amount.max(0.0)).ln() / STEP).min(255.0) as u8
}

/// How surprising it is, in nats, that something which came `before` times in `days` comes `now` times in
/// `within` days: the tail of a negative binomial, which is what a Poisson is whose rate is only known so far.
/// `usual` is the rate a day of others, which counts as `weight` days.
pub(super) fn count_surprise(now: u32, within: f64, before: f64, days: f64, usual: f64, weight: f64) -> f64 {
    if now == 0 {
        return 0.0;
    }
    let shape = before + usual * weight + 0.2;
    let rate = days + weight + 1.0;
    // P(N = k) = C(k + shape - 1, k) p^shape (1 - p)^k
    let p = rate / (rate + within);
    let (mut term, mut below) = (p.powf(shape), 0.0);
    for k in 0..now {
        below += term;
        term *= (f64::from(k) + shape) / (f64::from(k) + 1.0) * (1.0 - p);
    }
    // Far out the sum is 1 as far as a double can tell; what follows is a geometric series, nearly.
    let ratio = ((f64::from(now) + shape) / (f64::from(now) + 1.0) * (1.0 - p)).min(0.999);
    let tail = (1.0 - below).max(term / (1.0 - ratio)).max(f64::MIN_POSITIVE);
    -tail.min(1.0).ln()
}

#[cfg(test)]
mod tests {
    use super::{Amounts, count_surprise};

    fn of(amounts: &[f64]) -> Amounts {
        let mut history = Amounts::default();
        amounts.iter().for_each(|amount| history.learn(*amount));
        history
    }

    #[test]
    fn surprise_grows_with_the_amount_and_with_what_is_known() {
        let few = of(&[10.0; 5]);
        let many = of(&[10.0; 500]);
        let surprises = [5.0, 10.0, 20.0, 100.0].map(|amount| many.surprise(amount, 1.0, 0));
        assert!(surprises.is_sorted(), "{surprises:?}");
        assert!(surprises[0] < 0.1 && surprises[3] > 10.0, "{surprises:?}");
        assert!(few.surprise(100.0, 1.0, 0) < many.surprise(100.0, 1.0, 0));
    }

    #[test]
    fn surprise_falls_slower_where_amounts_differ_much() {
        let even = of(&[10.0; 100]);
        let wild: Vec<f64> = (0..100).map(|i| 10.0 / (1.0 - f64::from(i) / 100.0)).collect();
        let wild = of(&wild);
        let beyond = |history: &Amounts| {
            history.surprise(8.0 * history.largest(), 1.0, 0)
                - history.surprise(2.5 * history.largest(), 1.0, 0)
        };
        assert!(beyond(&even) > 1.5 * beyond(&wild));
    }

    #[test]
    fn surprise_is_nothing_at_what_nobody_wonders_at() {
        assert_eq!(of(&[]).surprise(10.0, 10.0, 0), 0.0);
    }

    #[test]
    fn count_surprise_is_that_of_the_exact_sum() {
        // Shape 1: geometric, whose tail is known.
        let surprise = count_surprise(3, 1.0, 0.8, 3.0, 0.0, 0.0);
        let p: f64 = 4.0 / 5.0;
        assert!((surprise - -(1.0 - p).powi(3).ln()).abs() < 1e-9, "{surprise}");
        assert!(count_surprise(40, 1.0, 0.8, 3.0, 0.0, 0.0) > 50.0);
        assert_eq!(count_surprise(0, 1.0, 0.8, 3.0, 0.0, 0.0), 0.0);
    }
}
