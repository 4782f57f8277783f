//! Patterns as a tree, one level a segment: what a path costs does not grow with the number of patterns.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::pattern::{Kind, Piece, Rank, STAR};

/// Patterns and what each stands for.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    ends: Vec<End>,
}

/// The end of one pattern.
#[derive(Debug)]
pub(super) struct End {
    /// Which rule it belongs to.
    pub(super) rule: u32,
    /// Which of its patterns.
    pub(super) pattern: u32,
    /// How specific each segment is.
    ranks: Box<[Rank]>,
    /// Whether it names its method; counts where the paths are equally specific.
    named: bool,
}

impl End {
    fn beats(&self, other: &End) -> bool {
        (&self.ranks, self.named) > (&other.ranks, other.named)
    }
}

#[derive(Debug, Default)]
struct Node {
    literals: Literals,
    /// The longer literal first.
    mixed: Vec<Mixed>,
    captures: Vec<(Kind, u32)>,
    /// Where the literals behind a rest begin, the last segment first.
    rest: Option<u32>,
    ends: Vec<(Option<Box<str>>, u32)>,
}

/// The literal children of a node. Most nodes have few, and comparing is quicker than hashing then.
#[derive(Debug, Default)]
struct Literals {
    few: Vec<(Box<str>, u32)>,
    many: HashMap<Box<str>, u32, BuildHasherDefault<Words>>,
}

impl Literals {
    const FEW: usize = 4;

    fn get(&self, text: &str) -> Option<u32> {
        if self.many.is_empty() {
            return self.few.iter().find(|(known, _)| **known == *text).map(|(_, child)| *child);
        }
        self.many.get(text).copied()
    }

    fn insert(&mut self, text: &str, child: u32) {
        if self.many.is_empty() && self.few.len() < Literals::FEW {
            self.few.push((text.into(), child));
        } else {
            self.many.extend(self.few.drain(..));
            self.many.insert(text.into(), child);
        }
    }
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
    pub(super) fn new() -> Tree {
        Tree { nodes: vec![Node::default()], ends: Vec::new() }
    }

    /// Adds one pattern: its method (`None`: any), its pieces, and what it stands for.
    pub(super) fn insert(&mut self, method: Option<&str>, pieces: &[Piece], rule: u32, pattern: u32) {
        let mut at = 0;
        let mut pieces_left = pieces.iter();
        while let Some(piece) = pieces_left.next() {
            at = match piece {
                Piece::Literal(text) => self.literal(at, text),
                Piece::Rest { .. } => {
                    let behind = self.child(at, |node| node.rest, |node, child| node.rest = Some(child));
                    pieces_left.by_ref().rev().fold(behind, |at, piece| match piece {
                        Piece::Literal(text) => self.literal(at, text),
                        // A pattern has nothing but literals behind its rest.
                        _ => at,
                    })
                }
                Piece::Capture { kind, .. } => {
                    let same = |node: &Node| {
                        node.captures.iter().find(|known| known.0 == *kind).map(|known| known.1)
                    };
                    self.child(at, same, |node, child| node.captures.push((*kind, child)))
                }
                Piece::Mixed { prefix, kind, suffix, .. } => {
                    let same = |node: &Node| {
                        let mut known = node.mixed.iter();
                        known
                            .find(|known| {
                                *known.prefix == **prefix && *known.suffix == **suffix && known.kind == *kind
                            })
                            .map(|known| known.child)
                    };
                    self.child(at, same, |node, child| {
                        let mixed = Mixed {
                            prefix: prefix.as_str().into(),
                            suffix: suffix.as_str().into(),
                            kind: *kind,
                            rank: piece.rank(),
                            child,
                        };
                        let place = node.mixed.partition_point(|known| known.rank >= mixed.rank);
                        node.mixed.insert(place, mixed);
                    })
                }
            };
        }
        let ranks = pieces.iter().map(Piece::rank).collect();
        let end = End { rule, pattern, ranks, named: method.is_some() };
        let number = number(self.ends.len());
        self.ends.push(end);
        if let Some(node) = self.nodes.get_mut(at as usize) {
            let place = if method.is_some() {
                node.ends.partition_point(|(known, _)| known.is_some())
            } else {
                node.ends.len()
            };
            node.ends.insert(place, (method.map(Into::into), number));
        }
    }

    fn literal(&mut self, at: u32, text: &str) -> u32 {
        self.child(
            at,
            |node| node.literals.get(text),
            |node, child| {
                node.literals.insert(text, child);
            },
        )
    }

    fn child(
        &mut self,
        at: u32,
        known: impl Fn(&Node) -> Option<u32>,
        add: impl FnOnce(&mut Node, u32),
    ) -> u32 {
        if let Some(child) = self.nodes.get(at as usize).and_then(known) {
            return child;
        }
        let child = number(self.nodes.len());
        self.nodes.push(Node::default());
        if let Some(node) = self.nodes.get_mut(at as usize) {
            add(node, child);
        }
        child
    }

    /// The most specific pattern that takes this method and path.
    pub(super) fn best(&self, method: &str, path: &str) -> Option<&End> {
        match path.strip_prefix('/') {
            Some(inner) => self.best_below(0, Some(inner), method),
            None => self.end(self.star()?, method),
        }
    }

    fn best_below<'t>(&'t self, at: u32, path: Option<&str>, method: &str) -> Option<&'t End> {
        let node = self.nodes.get(at as usize)?;
        let Some(path) = path else { return self.end(node, method) };
        let (segment, after) = first(path);
        if let Some(child) = node.literals.get(segment)
            && let Some(found) = self.best_below(child, after, method)
        {
            return Some(found);
        }
        if !segment.is_empty() {
            for group in node.mixed.chunk_by(|a, b| a.rank == b.rank) {
                let taking = group.iter().filter(|mixed| mixed.takes(segment)).map(|mixed| mixed.child);
                if let Some(found) = self.best_of(taking, after, method) {
                    return Some(found);
                }
            }
            let taking =
                node.captures.iter().filter(|(kind, _)| kind.takes(segment)).map(|(_, child)| *child);
            if let Some(found) = self.best_of(taking, after, method) {
                return Some(found);
            }
        }
        self.best_behind_rest(node.rest?, path, method)
    }

    /// Of children that are equally specific, the one that leads to the most specific end.
    fn best_of<'t>(
        &'t self,
        children: impl Iterator<Item = u32>,
        path: Option<&str>,
        method: &str,
    ) -> Option<&'t End> {
        let mut best: Option<&End> = None;
        for child in children {
            if let Some(found) = self.best_below(child, path, method)
                && best.is_none_or(|best| found.beats(best))
            {
                best = Some(found);
            }
        }
        best
    }

    /// The longest run of literals at the end of `path` that leaves the rest at least one segment.
    fn best_behind_rest<'t>(&'t self, mut at: u32, mut path: &str, method: &str) -> Option<&'t End> {
        let mut best = None;
        loop {
            let node = self.nodes.get(at as usize)?;
            best = self.end(node, method).or(best);
            let Some((before, last)) = path.rsplit_once('/') else { return best };
            let Some(child) = node.literals.get(last) else { return best };
            (at, path) = (child, before);
        }
    }

    fn end<'t>(&'t self, node: &Node, method: &str) -> Option<&'t End> {
        // Named methods stand before the end that takes any.
        let (_, end) =
            node.ends.iter().find(|(known, _)| known.as_deref().is_none_or(|known| known == method))?;
        self.ends.get(*end as usize)
    }

    /// Gives every pattern that takes this method and path to `each`.
    pub(super) fn all(&self, method: &str, path: &str, each: &mut dyn FnMut(u32)) {
        match path.strip_prefix('/') {
            Some(inner) => self.all_below(0, Some(inner), method, each),
            None => self.star().into_iter().for_each(|node| self.ends(node, method, each)),
        }
    }

    fn all_below(&self, at: u32, path: Option<&str>, method: &str, each: &mut dyn FnMut(u32)) {
        let Some(node) = self.nodes.get(at as usize) else { return };
        let Some(path) = path else { return self.ends(node, method, each) };
        let (segment, after) = first(path);
        if let Some(child) = node.literals.get(segment) {
            self.all_below(child, after, method, each);
        }
        if !segment.is_empty() {
            for mixed in node.mixed.iter().filter(|mixed| mixed.takes(segment)) {
                self.all_below(mixed.child, after, method, each);
            }
            for (_, child) in node.captures.iter().filter(|(kind, _)| kind.takes(segment)) {
                self.all_below(*child, after, method, each);
            }
        }
        let (mut at, mut path) = (node.rest, path);
        while let Some(node) = at.and_then(|at| self.nodes.get(at as usize)) {
            self.ends(node, method, each);
            let Some((before, last)) = path.rsplit_once('/') else { return };
            (at, path) = (node.literals.get(last), before);
        }
    }

    /// Where the target `*` ends; nothing but its own pattern takes it.
    fn star(&self) -> Option<&Node> {
        let child = self.nodes.first()?.literals.get(STAR)?;
        self.nodes.get(child as usize)
    }

    fn ends(&self, node: &Node, method: &str, each: &mut dyn FnMut(u32)) {
        for (known, end) in &node.ends {
            if known.as_deref().is_none_or(|known| known == method)
                && let Some(end) = self.ends.get(*end as usize)
            {
                each(end.rule);
            }
        }
    }
}

impl Mixed {
    fn takes(&self, segment: &str) -> bool {
        let inside = segment.strip_prefix(&*self.prefix).and_then(|rest| rest.strip_suffix(&*self.suffix));
        inside.is_some_and(|inside| self.kind.takes(inside))
    }
}

/// The first segment, and what follows its slash.
fn first(path: &str) -> (&str, Option<&str>) {
    // Segments are short: a plain loop is quicker here than a search that sets out for long texts.
    match path.bytes().position(|byte| byte == b'/') {
        Some(at) => (path.get(..at).unwrap_or(path), path.get(at + 1..)),
        None => (path, None),
    }
}

/// Lists are bounded far below this when a policy is loaded.
fn number(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// A quick hash of short texts, eight bytes a step. The keys of these maps are the policy's own, so nobody from
/// outside can choose keys that collide.
#[derive(Debug, Default)]
struct Words(u64);

impl Hasher for Words {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.add(u64::from_le_bytes(*word));
        }
        self.add(rest.iter().fold(bytes.len() as u64, |word, byte| word << 8 | u64::from(*byte)));
    }

    fn write_u8(&mut self, byte: u8) {
        self.add(u64::from(byte));
    }

    fn finish(&self) -> u64 {
        // The map takes its buckets from the low bits and its tags from the high ones.
        self.0 ^ (self.0 >> 29)
    }
}

impl Words {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}
