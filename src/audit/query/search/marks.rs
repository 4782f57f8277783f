//! Which ids may be wanted, told by a look at their bytes: most lines are of requests that nobody asked for, and need
//! not be read for that.

use crate::model::ids::RequestId;

/// Bits, as a power of two.
const BITS: u32 = 20;

/// More ids than this would mark too much.
const MOST: usize = 1 << 17;

/// A bit for each id that is wanted, and perhaps for others.
#[derive(Debug)]
pub(super) struct Marks(Vec<u64>);

impl Marks {
    /// Of these; `None` where they are too many.
    pub(super) fn of<'i>(ids: impl ExactSizeIterator<Item = &'i RequestId>) -> Option<Marks> {
        if ids.len() > MOST {
            return None;
        }
        let mut marks = Marks(vec![0; 1 << (BITS - 6)]);
        for id in ids {
            // An id has one spelling.
            let (word, bit) = place(id.to_string().as_bytes());
            if let Some(there) = marks.0.get_mut(word) {
                *there |= bit;
            }
        }
        Some(marks)
    }

    /// Whether this id, as it is spelt, may be one of them.
    pub(super) fn may_have(&self, id: &[u8]) -> bool {
        let (word, bit) = place(id);
        self.0.get(word).is_some_and(|there| there & bit != 0)
    }
}

/// The bit of an id: by its last sixteen bytes, which hold both of its numbers.
fn place(id: &[u8]) -> (usize, u64) {
    let (rest, last) = id.split_at(id.len().saturating_sub(8));
    let before = rest.get(rest.len().saturating_sub(8)..).unwrap_or_default();
    let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let mixed = number(last).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ number(before).wrapping_mul(0xc2b2_ae3d_27d4_eb4f).rotate_left(31);
    let bit = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - BITS);
    (usize::try_from(bit >> 6).unwrap_or(0), 1 << (bit & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_have_each_that_is_wanted_and_few_others() {
        let id = |n: u32| format!("7k3qzd-{}-{}", 1 + n / 100, 1 + n % 100).parse::<RequestId>().unwrap();
        let wanted: Vec<RequestId> = (0..10_000).map(|n| id(n * 7)).collect();
        let marks = Marks::of(wanted.iter()).unwrap();
        assert!(wanted.iter().all(|id| marks.may_have(id.to_string().as_bytes())));
        let others =
            (0..70_000).filter(|n| n % 7 != 0 && marks.may_have(id(*n).to_string().as_bytes())).count();
        assert!(others < 1_800, "{others}");
        assert!(!Marks::of([].iter()).unwrap().may_have(b""));
    }
}
