//! Patterns as a tree, one level a segment: what a path costs does not grow with the number of patterns.

mod grow;
mod places;

use std::num::NonZeroU16;
use std::slice;

use super::pattern::{CAPTURE, Rank, STAR};
use super::value::{Kind, PLAIN};
pub(super) use grow::Growing;
use places::Places;

/// Patterns and what each stands for. Kept small and flat: at ten thousand patterns a decision costs what it
/// misses in the caches. [`Growing`] makes one.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// How specific each segment is of the patterns that end at a node, by the node's number.
    ranks: Vec<Box<[Rank]>>,
    /// The literal children of nodes that have more than one, where the numbers of the literals lie close together: the
    /// first literal, then a child for it and for each that follows; 0 is none.
    rows: Vec<u32>,
    /// Those of other nodes: a literal and the child, in the order of the literals.
    children: Vec<(u32, u32)>,
    wild: Vec<Wild>,
    /// The ends of nodes that have more than one, in the order of their rules.
    ends: Vec<End>,
    /// The methods that patterns name; an end counts them from 1.
    methods: Vec<Box<str>>,
    /// Each literal segment once.
    literals: Vec<Box<str>>,
    /// Its place in that list.
    places: Places,
}

/// The end of one pattern.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    /// Which rule it belongs to.
    pub(super) rule: u32,
    /// Which of its patterns.
    pub(super) pattern: u16,
    /// `None`: any.
    method: Option<NonZeroU16>,
}

/// The most specific end below a node, and the node that it stands at.
type Best<'t> = (u32, &'t End);

/// Children are numbers of nodes; 0 is none, since the root is nobody's child. Two share a line of the cache, and
/// what most nodes have stands in the node itself.
#[derive(Debug, Default)]
struct Node {
    literals: Literals,
    ends: Ends,
    /// The child behind a capture that takes any segment; 0 is none.
    capture: u32,
    /// What else takes more than one text here: a place in [`Tree::wild`]; 0 is none.
    wild: u32,
}

/// The children that are literal segments.
#[derive(Debug, Clone, Copy, Default)]
enum Literals {
    #[default]
    None,
    /// One literal, and the child.
    One { literal: u32, child: u32 },
    /// So many in [`Tree::rows`].
    Row { from: u32, count: u32 },
    /// So many in [`Tree::children`].
    Many { from: u32, count: u32 },
}

/// The patterns that end here.
#[derive(Debug, Clone, Copy, Default)]
enum Ends {
    #[default]
    None,
    One(End),
    /// So many in [`Tree::ends`].
    Many {
        from: u32,
        count: u32,
    },
}

/// Typed and mixed captures and rests of one node.
#[derive(Debug, Default)]
struct Wild {
    /// By [`PLAIN`]; those of other kinds stand behind [`Wild::mixed`].
    captures: [u32; PLAIN.len()],
    /// Where the literals behind a rest begin, the last segment first.
    rest: u32,
    /// The longer literal first; captures without one come last.
    mixed: Vec<Mixed>,
}

#[derive(Debug)]
struct Mixed {
    prefix: Box<str>,
    suffix: Box<str>,
    kind: Kind,
    rank: Rank,
    child: u32,
}

impl Tree {
    fn literal_child(&self, node: &Node, segment: &str) -> Option<u32> {
        match node.literals {
            Literals::None => None,
            Literals::One { literal, child } => {
                same(self.literals.get(literal as usize)?, segment).then_some(child)
            }
            Literals::Row { from, count } => {
                let row = self.rows.get(from as usize..)?.get(..count as usize)?;
                let (first, children) = row.split_first()?;
                let place = self.places.of(segment)?.checked_sub(*first)?;
                children.get(place as usize).copied().filter(|child| *child != 0)
            }
            Literals::Many { from, count } => {
                let children = self.children.get(from as usize..)?.get(..count as usize)?;
                let literal = self.places.of(segment)?;
                let place = children.binary_search_by_key(&literal, |(known, _)| *known).ok()?;
                children.get(place).map(|(_, child)| *child)
            }
        }
    }

    fn wild(&self, node: &Node) -> Option<&Wild> {
        self.wild.get(node.wild as usize).filter(|_| node.wild != 0)
    }

    /// The most specific pattern that takes this method and path.
    pub(super) fn best(&self, method: &str, path: &str) -> Option<&End> {
        let method = self.place_of(method);
        match path.strip_prefix('/') {
            Some(inner) => self.best_below(0, Some(inner), method).map(|(_, end)| end),
            None => self.end(self.star()?, method),
        }
    }

    fn best_below(&self, at: u32, path: Option<&str>, method: Option<NonZeroU16>) -> Option<Best<'_>> {
        let node = self.nodes.get(at as usize)?;
        let Some(path) = path else { return self.end(node, method).map(|end| (at, end)) };
        let (segment, after) = first(path);
        if let Some(child) = self.literal_child(node, segment)
            && let Some(found) = self.best_below(child, after, method)
        {
            return Some(found);
        }
        let capture = Some(node.capture).filter(|child| *child != 0 && !segment.is_empty());
        let Some(wild) = self.wild(node) else { return self.best_below(capture?, after, method) };
        if !segment.is_empty() {
            let (mixed, typed) = wild.mixed_and_typed();
            for group in mixed.chunk_by(|a, b| a.rank == b.rank) {
                if let Some(found) = self.best_of(taking(group, segment), after, method) {
                    return Some(found);
                }
            }
            let captures = capture.into_iter().chain(wild.captures_taking(segment));
            if let Some(found) = self.best_of(captures.chain(taking(typed, segment)), after, method) {
                return Some(found);
            }
        }
        if wild.rest == 0 { None } else { self.best_behind_rest(wild.rest, path, method) }
    }

    /// A named method counts where the paths are equally specific.
    fn beats(&self, (at, one): Best<'_>, (other_at, other): Best<'_>) -> bool {
        let ranks = |node: u32| self.ranks.get(node as usize);
        (ranks(at), one.method.is_some()) > (ranks(other_at), other.method.is_some())
    }

    /// Of children that are equally specific, the one that leads to the most specific end.
    fn best_of(
        &self,
        children: impl Iterator<Item = u32>,
        path: Option<&str>,
        method: Option<NonZeroU16>,
    ) -> Option<Best<'_>> {
        let mut best = None;
        for child in children {
            if let Some(found) = self.best_below(child, path, method)
                && best.is_none_or(|best| self.beats(found, best))
            {
                best = Some(found);
            }
        }
        best
    }

    /// The longest run of literals at the end of `path` that leaves the rest at least one segment.
    fn best_behind_rest(&self, mut at: u32, mut path: &str, method: Option<NonZeroU16>) -> Option<Best<'_>> {
        let mut best = None;
        loop {
            let node = self.nodes.get(at as usize)?;
            best = self.end(node, method).map(|end| (at, end)).or(best);
            let Some((before, last)) = path.rsplit_once('/') else { return best };
            let Some(child) = self.literal_child(node, last) else { return best };
            (at, path) = (child, before);
        }
    }

    /// The end at this node for the method, or else the one for any.
    fn end<'t>(&'t self, node: &'t Node, method: Option<NonZeroU16>) -> Option<&'t End> {
        let ends = self.ends_of(node);
        let named = ends.iter().find(|end| end.method.is_some() && end.method == method);
        named.or_else(|| ends.iter().find(|end| end.method.is_none()))
    }

    fn ends_of<'t>(&'t self, node: &'t Node) -> &'t [End] {
        match &node.ends {
            Ends::None => &[],
            Ends::One(end) => slice::from_ref(end),
            Ends::Many { from, count } => {
                let ends = self.ends.get(*from as usize..).and_then(|ends| ends.get(..*count as usize));
                ends.unwrap_or_default()
            }
        }
    }

    /// A method that no pattern names has no place, and only ends for any method take it.
    fn place_of(&self, method: &str) -> Option<NonZeroU16> {
        self.methods.iter().position(|known| same(known, method)).and_then(counted)
    }

    /// Gives every pattern that takes this method and path to `each`.
    pub(super) fn all(&self, method: &str, path: &str, each: &mut dyn FnMut(u32)) {
        let method = self.place_of(method);
        match path.strip_prefix('/') {
            Some(inner) => self.all_below(0, Some(inner), method, each),
            None => self.star().into_iter().for_each(|node| self.all_ends(node, method, each)),
        }
    }

    fn all_below(&self, at: u32, path: Option<&str>, method: Option<NonZeroU16>, each: &mut dyn FnMut(u32)) {
        let Some(node) = self.nodes.get(at as usize) else { return };
        let Some(path) = path else { return self.all_ends(node, method, each) };
        let (segment, after) = first(path);
        if let Some(child) = self.literal_child(node, segment) {
            self.all_below(child, after, method, each);
        }
        if node.capture != 0 && !segment.is_empty() {
            self.all_below(node.capture, after, method, each);
        }
        let Some(wild) = self.wild(node) else { return };
        if !segment.is_empty() {
            for mixed in wild.mixed.iter().filter(|mixed| mixed.takes(segment)) {
                self.all_below(mixed.child, after, method, each);
            }
            for child in wild.captures_taking(segment) {
                self.all_below(child, after, method, each);
            }
        }
        let (mut at, mut path) = (wild.rest, path);
        while let Some(node) = self.nodes.get(at as usize).filter(|_| at != 0) {
            self.all_ends(node, method, each);
            let Some((before, last)) = path.rsplit_once('/') else { return };
            (at, path) = (self.literal_child(node, last).unwrap_or(0), before);
        }
    }

    fn all_ends(&self, node: &Node, method: Option<NonZeroU16>, each: &mut dyn FnMut(u32)) {
        for end in self.ends_of(node).iter().filter(|end| end.method.is_none() || end.method == method) {
            each(end.rule);
        }
    }

    /// Where the target `*` ends; nothing but its own pattern takes it.
    fn star(&self) -> Option<&Node> {
        let child = self.literal_child(self.nodes.first()?, STAR)?;
        self.nodes.get(child as usize)
    }
}

impl Wild {
    fn captures_taking(&self, segment: &str) -> impl Iterator<Item = u32> {
        let all = PLAIN.iter().zip(self.captures);
        all.filter(move |(kind, child)| *child != 0 && kind.captures(segment)).map(|(_, child)| child)
    }

    /// Captures with literal text, and those that are a whole segment of a kind with terms.
    fn mixed_and_typed(&self) -> (&[Mixed], &[Mixed]) {
        let typed = self.mixed.partition_point(|mixed| mixed.rank > CAPTURE);
        self.mixed.split_at_checked(typed).unwrap_or((&self.mixed, &[]))
    }
}

/// The children of those that take this segment.
fn taking(mixed: &[Mixed], segment: &str) -> impl Iterator<Item = u32> {
    mixed.iter().filter(move |mixed| mixed.takes(segment)).map(|mixed| mixed.child)
}

impl Mixed {
    fn takes(&self, segment: &str) -> bool {
        let (before, behind) = (self.prefix.len(), self.suffix.len());
        let Some((before, rest)) = segment.split_at_checked(before) else { return false };
        let Some((inside, behind)) = rest.len().checked_sub(behind).and_then(|at| rest.split_at_checked(at))
        else {
            return false;
        };
        same(before, &self.prefix) && same(behind, &self.suffix) && self.kind.captures(inside)
    }
}

/// Whether two short texts are the same: quicker here than the library's comparison, which sets out for long ones.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).all(|(a, b)| a == b)
}

/// The first segment, and what follows its slash.
fn first(path: &str) -> (&str, Option<&str>) {
    // Segments are short: a plain loop is quicker here than a search that sets out for long texts.
    match path.bytes().position(|byte| byte == b'/') {
        Some(at) => (path.get(..at).unwrap_or(path), path.get(at + 1..)),
        None => (path, None),
    }
}

/// The number of what stands at this place, from 1.
fn counted(place: usize) -> Option<NonZeroU16> {
    u16::try_from(place + 1).ok().and_then(NonZeroU16::new)
}

/// Lists are bounded far below this when a policy is loaded.
fn number(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
