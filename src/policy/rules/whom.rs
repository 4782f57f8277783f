//! Whom a route allows.

use crate::policy::subject::{Bits, Set};
use crate::policy::table::{Named, WhoId};

/// So many whos of a route are tried one by one.
const FEW: usize = 7;

/// Whom a route allows.
#[derive(Debug)]
pub(super) enum Allow {
    /// So few that they lie in the rule itself, in order; the last one stands in the places that are left.
    Few([WhoId; FEW]),
    Many(Box<Set>),
}

impl Allow {
    /// From whos in order.
    pub(super) fn of(named: &[&Named]) -> Allow {
        let mut few = [WhoId(0); FEW];
        match named.last() {
            Some(last) if named.len() <= FEW => {
                few.fill(last.who);
                for (place, named) in few.iter_mut().zip(named) {
                    *place = named.who;
                }
                Allow::Few(few)
            }
            _ => Allow::Many(Box::new(Set::of(named.iter().map(|named| named.who)))),
        }
    }

    /// The first who that holds.
    pub(super) fn grants(&self, holds: &Bits) -> Option<WhoId> {
        match self {
            Allow::Few(whos) => whos.iter().copied().find(|who| holds.has(*who)),
            Allow::Many(set) => set.first_in(holds),
        }
    }
}
