//! Whos made of others: in which order they are judged, and what comes out for one caller.
//!
//! `any_of` is a three-valued or, `except` an and-not. What a who is made of is judged before it, so that each is
//! judged once. Each is judged twice over: narrowly, for an allow, and widely, for a forbid. What is taken away by
//! `except` is judged the other way round, so that an unwritten namespace never widens an allow nor narrows a forbid.

use super::subject::{Bits, Seen};
use super::table::{NamespaceRule, Who, WhoId};
use crate::model::depth::Depth;
use crate::model::truth::Truth;

/// So deep may whos be made of whos that are made of whos.
pub(super) const DEEPEST: usize = 16;

/// Whos that no order can be found for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tangled {
    /// The last one is the first one again.
    Cycle(Vec<WhoId>),
    /// Each is made of the next, too often.
    Deep(Vec<WhoId>),
}

/// An order in which each who stands behind all that it is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Order(Box<[WhoId]>);

/// How far the search for an order is with one who.
#[derive(Clone, Copy)]
enum Mark {
    Unseen,
    /// It stands on the path that is looked at.
    Open,
    /// So many stand below it.
    Done(usize),
}

impl Order {
    /// Every who, or why there is no order. What is not among `whos` is passed over.
    pub(super) fn of(whos: &[Who]) -> Result<Order, Tangled> {
        let mut search =
            Search { whos, marks: vec![Mark::Unseen; whos.len()], path: Vec::new(), order: Vec::new() };
        for (number, _) in (0..).zip(whos) {
            search.visit(WhoId(number))?;
        }
        Ok(Order(search.order.into()))
    }

    /// What of a caller has to be read for each who, by its place.
    pub(super) fn depths(&self, whos: &[Who]) -> Vec<Depth> {
        let mut depths = vec![Depth::CHEAP; whos.len()];
        for id in &self.0 {
            let Some(who) = whos.get(usize::from(id.0)) else { continue };
            let below = who.others().filter_map(|other| depths.get(usize::from(other.0)).copied());
            let depth = below.fold(who.asks(), Depth::and);
            if let Some(place) = depths.get_mut(usize::from(id.0)) {
                *place = depth;
            }
        }
        depths
    }

    /// Which whos hold for a caller.
    pub(super) fn judge(&self, whos: &[Who], seen: &Seen<'_>) -> Judged {
        let mut judged = Judged {
            narrow: vec![Truth::Unknown; whos.len()].into(),
            wide: vec![Truth::Unknown; whos.len()].into(),
        };
        for id in &self.0 {
            let Some(who) = whos.get(usize::from(id.0)) else { continue };
            let narrow = seen.is(who, NamespaceRule::Host);
            // Where a namespace is written, it is the same for both.
            let wide = if who.namespace.is_some() { narrow } else { seen.is(who, NamespaceRule::Any) };
            let narrow = narrow.and(judged.others(who, Way::Narrow));
            let wide = wide.and(judged.others(who, Way::Wide));
            judged.put(*id, narrow, wide);
        }
        judged
    }
}

struct Search<'w> {
    whos: &'w [Who],
    marks: Vec<Mark>,
    path: Vec<WhoId>,
    order: Vec<WhoId>,
}

impl Search<'_> {
    /// How many stand below; the path, and so the stack, is never longer than the bound.
    fn visit(&mut self, id: WhoId) -> Result<usize, Tangled> {
        let place = usize::from(id.0);
        let (Some(mark), Some(who)) = (self.marks.get(place).copied(), self.whos.get(place)) else {
            return Ok(0);
        };
        match mark {
            Mark::Done(below) => return Ok(below),
            Mark::Open => {
                let first = self.path.iter().position(|other| *other == id).unwrap_or(0);
                let around = self.path.iter().skip(first).copied().chain([id]);
                return Err(Tangled::Cycle(around.collect()));
            }
            Mark::Unseen => {}
        }
        self.path.push(id);
        self.mark(place, Mark::Open);
        let mut below = 0;
        if self.path.len() > DEEPEST + 1 {
            return Err(Tangled::Deep(self.path.clone()));
        }
        for other in who.others() {
            below = below.max(self.visit(other)? + 1);
        }
        // A who that was done before may be deep itself.
        if below > DEEPEST {
            return Err(Tangled::Deep(self.path.clone()));
        }
        self.path.pop();
        self.mark(place, Mark::Done(below));
        self.order.push(id);
        Ok(below)
    }

    fn mark(&mut self, place: usize, mark: Mark) {
        if let Some(known) = self.marks.get_mut(place) {
            *known = mark;
        }
    }
}

/// Which way an unwritten namespace is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// As the host's: for an allow.
    Narrow,
    /// As any: for a forbid.
    Wide,
}

impl Way {
    fn other(self) -> Way {
        match self {
            Way::Narrow => Way::Wide,
            Way::Wide => Way::Narrow,
        }
    }
}

/// What every who comes to for one caller.
pub(super) struct Judged {
    narrow: Box<[Truth]>,
    wide: Box<[Truth]>,
}

impl Judged {
    /// One who; what is not there is not known.
    pub(super) fn truth(&self, WhoId(id): WhoId, way: Way) -> Truth {
        let all = match way {
            Way::Narrow => &self.narrow,
            Way::Wide => &self.wide,
        };
        all.get(usize::from(id)).copied().unwrap_or(Truth::Unknown)
    }

    /// Whether one of these holds.
    pub(super) fn any_of(&self, whos: &[WhoId], way: Way) -> Truth {
        whos.iter().fold(Truth::No, |so_far, other| so_far.or(self.truth(*other, way)))
    }

    /// Whether this one, which something is taken away from, does not hold.
    pub(super) fn not(&self, who: WhoId, way: Way) -> Truth {
        self.truth(who, way.other()).not()
    }

    fn others(&self, who: &Who, way: Way) -> Truth {
        let any = who.any_of.as_ref().map_or(Truth::Yes, |others| self.any_of(others, way));
        who.except.iter().fold(any, |so_far, other| so_far.and(self.not(*other, way)))
    }

    fn put(&mut self, WhoId(id): WhoId, narrow: Truth, wide: Truth) {
        let place = usize::from(id);
        if let (Some(a), Some(b)) = (self.narrow.get_mut(place), self.wide.get_mut(place)) {
            (*a, *b) = (narrow, wide);
        }
    }

    /// Whos that are known to hold: what an allow asks.
    pub(super) fn holds(&self) -> Bits {
        Bits::of(self.narrow.iter().map(|truth| truth.allows()))
    }

    /// Whos that are not known to be false: what a forbid asks.
    pub(super) fn binds(&self) -> Bits {
        Bits::of(self.wide.iter().map(|truth| truth.forbids()))
    }

    /// Whos that would hold, and those that would bind, if all that is unknown spoke for the caller: for looking back.
    #[cfg(feature = "cli")]
    pub(super) fn at_best(&self) -> (Bits, Bits) {
        let holds = Bits::of(self.narrow.iter().map(|truth| *truth != Truth::No));
        (holds, Bits::of(self.wide.iter().map(|truth| *truth == Truth::Yes)))
    }
}
