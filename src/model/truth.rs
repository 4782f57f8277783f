//! Three-valued logic: a condition on something that could not be read is neither met nor unmet.
//!
//! Kleene's strong logic. An allow needs [`Truth::Yes`]; a forbid holds at anything but [`Truth::No`].

use serde::{Deserialize, Serialize};

/// The value of a condition on a caller.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Truth {
    /// It holds.
    Yes,
    /// It does not hold.
    No,
    /// What it asks about could not be read.
    Unknown,
}

impl Truth {
    /// Both: `No` wins over `Unknown`, which wins over `Yes`.
    pub fn and(self, other: Truth) -> Truth {
        match (self, other) {
            (Truth::No, _) | (_, Truth::No) => Truth::No,
            (Truth::Yes, Truth::Yes) => Truth::Yes,
            _ => Truth::Unknown,
        }
    }

    /// Either: `Yes` wins over `Unknown`, which wins over `No`.
    pub fn or(self, other: Truth) -> Truth {
        match (self, other) {
            (Truth::Yes, _) | (_, Truth::Yes) => Truth::Yes,
            (Truth::No, Truth::No) => Truth::No,
            _ => Truth::Unknown,
        }
    }

    /// The opposite; of what is not known, nothing is known either.
    #[must_use = "this makes a new value"]
    #[allow(clippy::should_implement_trait, reason = "beside `and` and `or`, which have no operators")]
    pub fn not(self) -> Truth {
        match self {
            Truth::Yes => Truth::No,
            Truth::No => Truth::Yes,
            Truth::Unknown => Truth::Unknown,
        }
    }

    /// Enough for an allow: only what is known to hold.
    #[must_use]
    pub fn allows(self) -> bool {
        self == Truth::Yes
    }

    /// Enough for a forbid: all that is not known to be false.
    #[must_use]
    pub fn forbids(self) -> bool {
        self != Truth::No
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Truth {
        if holds { Truth::Yes } else { Truth::No }
    }
}

#[cfg(test)]
mod tests {
    use super::Truth::{self, No, Unknown, Yes};

    #[test]
    fn and_or_all_pairs_follow_kleene() {
        for (a, b, and, or) in [
            (Yes, Yes, Yes, Yes),
            (Yes, No, No, Yes),
            (Yes, Unknown, Unknown, Yes),
            (No, No, No, No),
            (No, Unknown, No, Unknown),
            (Unknown, Unknown, Unknown, Unknown),
        ] {
            assert_eq!((a.and(b), b.and(a)), (and, and), "{a:?} and {b:?}");
            assert_eq!((a.or(b), b.or(a)), (or, or), "{a:?} or {b:?}");
        }
    }

    #[test]
    fn unknown_never_allows_and_always_forbids() {
        assert_eq!([Yes, No, Unknown].map(Truth::not), [No, Yes, Unknown]);
        assert_eq!([Yes, No, Unknown].map(Truth::allows), [true, false, false]);
        assert_eq!([Yes, No, Unknown].map(Truth::forbids), [true, false, true]);
    }
}
