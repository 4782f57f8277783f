//! Open connections by the limits of the whos that hold for a caller: each uid has its own count with each who.

use std::collections::HashMap;
use std::sync::Arc;

use crate::policy::Cap;

/// How many are taken.
#[derive(Default)]
pub(super) struct Seats(HashMap<(u32, Arc<str>), u32>);

impl Seats {
    /// Takes one with each who that limits connections, or none where one of them has none left. What comes back is to
    /// be given back.
    pub(super) fn take(&mut self, uid: u32, caps: &[Arc<Cap>]) -> Option<Box<[Arc<str>]>> {
        let limited = || caps.iter().filter_map(|cap| Some((&cap.by, cap.limits.connections?)));
        let taken = |by: &Arc<str>| self.0.get(&(uid, Arc::clone(by))).copied().unwrap_or(0);
        if limited().any(|(by, most)| taken(by) >= most) {
            return None;
        }
        for (by, _) in limited() {
            *self.0.entry((uid, Arc::clone(by))).or_default() += 1;
        }
        Some(limited().map(|(by, _)| Arc::clone(by)).collect())
    }

    /// Gives them back.
    pub(super) fn leave(&mut self, uid: u32, seats: &[Arc<str>]) {
        for by in seats {
            let key = (uid, Arc::clone(by));
            match self.0.get_mut(&key) {
                Some(taken) if *taken > 1 => *taken -= 1,
                _ => drop(self.0.remove(&key)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::WhoLimits;

    fn cap(by: &str, connections: Option<u32>) -> Arc<Cap> {
        let limits = WhoLimits { connections, ..WhoLimits::default() };
        Arc::new(Cap { by: by.into(), at: "p:1".into(), limits })
    }

    #[test]
    fn seats_are_of_a_uid_and_the_tightest_who_counts() {
        let mut seats = Seats::default();
        let caps = [cap("who.all", Some(2)), cap("who.ci", Some(1)), cap("who.other", None)];
        let first = seats.take(7, &caps).unwrap();
        assert_eq!(first.len(), 2);
        assert_eq!(seats.take(7, &caps), None);
        let second = seats.take(7, &caps[..1]).unwrap();
        assert_eq!(seats.take(7, &caps[..1]), None, "the refused one took no seat");
        assert!(seats.take(8, &caps).is_some());
        seats.leave(7, &first);
        seats.leave(7, &second);
        assert!(seats.take(7, &caps).is_some());
        assert_eq!(seats.take(9, &[]).map(|seats| seats.len()), Some(0));
    }

    #[test]
    fn seats_that_nobody_has_are_forgotten() {
        let mut seats = Seats::default();
        let taken = seats.take(7, &[cap("who.ci", Some(1))]).unwrap();
        seats.leave(7, &taken);
        assert!(seats.0.is_empty());
    }
}
