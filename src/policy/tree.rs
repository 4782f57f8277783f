//! Patterns as a tree, one level a segment: what a path costs does not grow with the number of patterns.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::pattern::{CAPTURE, Piece, Rank, STAR};
use super::value::{Kind, PLAIN};

/// Patterns and what each stands for. Kept small and flat: at ten thousand patterns a decision costs what it
/// misses in the caches.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    ends: Vec<End>,
    /// The methods that patterns name; an end has a place in this list.
    methods: Vec<Box<str>>,
    /// Each literal segment once.
    literals: Vec<Box<str>>,
    /// Its place in that list.
    places: Places,
    /// From a node by a literal to its child: the node in the upper half of the key, the literal in the lower.
    edges: HashMap<u64, u32, BuildHasherDefault<Words>>,
}

/// The end of one pattern.
#[derive(Debug)]
pub(super) struct End {
    /// Which rule it belongs to.
    pub(super) rule: u32,
    /// Which of its patterns.
    pub(super) pattern: u32,
    /// `None`: any.
    method: Option<u16>,
    /// The next one at the same node; 0 is none.
    next: u32,
    /// How specific each segment is.
    ranks: Box<[Rank]>,
}

impl End {
    /// A named method counts where the paths are equally specific.
    fn beats(&self, other: &End) -> bool {
        (&self.ranks, self.method.is_some()) > (&other.ranks, other.method.is_some())
    }
}

/// Children are numbers of nodes; 0 is none, since the root is nobody's child. One line of the cache holds one.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Node {
    /// By [`PLAIN`]; those of other kinds stand behind [`Node::mixed`].
    captures: [u32; PLAIN.len()],
    /// Where the literals behind a rest begin, the last segment first.
    rest: u32,
    /// How many literal children there are.
    literals: u32,
    /// Where there is one, it and its child; more are found by [`Tree::edges`].
    only: (u32, u32),
    /// The first end here; 0 is none.
    ends: u32,
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
    pub(super) fn new() -> Tree {
        Tree {
            nodes: vec![Node::default()],
            // The one that stands for none.
            ends: vec![End { rule: u32::MAX, pattern: 0, method: None, next: 0, ranks: Box::default() }],
            methods: Vec::new(),
            literals: Vec::new(),
            places: Places::default(),
            edges: HashMap::default(),
        }
    }

    /// Adds one pattern: its method (`None`: any), its pieces, and what it stands for.
    pub(super) fn insert(&mut self, method: Option<&str>, pieces: &[Piece], rule: u32, pattern: u32) {
        let mut at = 0;
        let mut pieces_left = pieces.iter();
        while let Some(piece) = pieces_left.next() {
            at = match piece {
                Piece::Literal(text) => self.literal(at, text),
                Piece::Rest { .. } => {
                    let behind = self.child(at, |node| node.rest, |node, child| node.rest = child);
                    pieces_left.by_ref().rev().fold(behind, |at, piece| match piece {
                        Piece::Literal(text) => self.literal(at, text),
                        // A pattern has nothing but literals behind its rest.
                        _ => at,
                    })
                }
                Piece::Capture { kind, .. } => match PLAIN.iter().position(|plain| plain == kind) {
                    Some(place) => {
                        let known = |node: &Node| node.captures.get(place).copied().unwrap_or(0);
                        self.child(at, known, |node, child| {
                            if let Some(capture) = node.captures.get_mut(place) {
                                *capture = child;
                            }
                        })
                    }
                    None => self.mixed(at, "", kind, "", piece.rank()),
                },
                Piece::Mixed { prefix, kind, suffix, .. } => {
                    self.mixed(at, prefix, kind, suffix, piece.rank())
                }
            };
        }
        let method = method.map(|method| self.method_place(method));
        let ranks = pieces.iter().map(Piece::rank).collect();
        self.end_at(at, End { rule, pattern, method, next: 0, ranks });
    }

    fn mixed(&mut self, at: u32, prefix: &str, kind: &Kind, suffix: &str, rank: Rank) -> u32 {
        let same =
            |known: &&Mixed| *known.prefix == *prefix && *known.suffix == *suffix && known.kind == *kind;
        let known = |node: &Node| node.mixed.iter().find(same).map_or(0, |known| known.child);
        self.child(at, known, |node, child| {
            let (prefix, suffix) = (prefix.into(), suffix.into());
            let place = node.mixed.partition_point(|known| known.rank >= rank);
            node.mixed.insert(place, Mixed { prefix, suffix, kind: kind.clone(), rank, child });
        })
    }

    /// Of two alike at one node, the one that was added first is found first.
    fn end_at(&mut self, at: u32, end: End) {
        let new = number(self.ends.len());
        self.ends.push(end);
        let Some(node) = self.nodes.get_mut(at as usize) else { return };
        let mut last = node.ends;
        if last == 0 {
            node.ends = new;
            return;
        }
        while let Some(next) = self.ends.get(last as usize).map(|end| end.next).filter(|next| *next != 0) {
            last = next;
        }
        if let Some(end) = self.ends.get_mut(last as usize) {
            end.next = new;
        }
    }

    fn method_place(&mut self, method: &str) -> u16 {
        let known = self.methods.iter().position(|known| **known == *method);
        let place = known.unwrap_or_else(|| {
            self.methods.push(method.into());
            self.methods.len() - 1
        });
        u16::try_from(place).unwrap_or(u16::MAX)
    }

    fn literal(&mut self, at: u32, text: &str) -> u32 {
        if let Some(child) = self.nodes.get(at as usize).and_then(|node| self.literal_child(at, node, text)) {
            return child;
        }
        let literal = self.places.of(text).unwrap_or_else(|| {
            let literal = number(self.literals.len());
            self.literals.push(text.into());
            self.places.insert(text, literal);
            literal
        });
        let child = self.child(
            at,
            |_| 0,
            |node, child| {
                node.literals += 1;
                node.only = (literal, child);
            },
        );
        self.edges.insert(edge(at, literal), child);
        child
    }

    fn literal_child(&self, at: u32, node: &Node, segment: &str) -> Option<u32> {
        match node.literals {
            0 => None,
            1 => {
                let (literal, child) = node.only;
                same(self.literals.get(literal as usize)?, segment).then_some(child)
            }
            _ => self.edges.get(&edge(at, self.places.of(segment)?)).copied(),
        }
    }

    fn child(&mut self, at: u32, known: impl Fn(&Node) -> u32, add: impl FnOnce(&mut Node, u32)) -> u32 {
        if let Some(child) = self.nodes.get(at as usize).map(known).filter(|child| *child != 0) {
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
        let method = self.place_of(method);
        match path.strip_prefix('/') {
            Some(inner) => self.best_below(0, Some(inner), method),
            None => self.end(self.star()?, method),
        }
    }

    fn best_below<'t>(&'t self, at: u32, path: Option<&str>, method: Option<u16>) -> Option<&'t End> {
        let node = self.nodes.get(at as usize)?;
        let Some(path) = path else { return self.end(node, method) };
        let (segment, after) = first(path);
        if let Some(child) = self.literal_child(at, node, segment)
            && let Some(found) = self.best_below(child, after, method)
        {
            return Some(found);
        }
        if !segment.is_empty() {
            let (mixed, typed) = node.mixed_and_typed();
            let taking = |group: &'t [Mixed]| {
                group.iter().filter(|mixed| mixed.takes(segment)).map(|mixed| mixed.child)
            };
            for group in mixed.chunk_by(|a, b| a.rank == b.rank) {
                if let Some(found) = self.best_of(taking(group), after, method) {
                    return Some(found);
                }
            }
            let captures = node.captures_taking(segment).chain(taking(typed));
            if let Some(found) = self.best_of(captures, after, method) {
                return Some(found);
            }
        }
        if node.rest == 0 { None } else { self.best_behind_rest(node.rest, path, method) }
    }

    /// Of children that are equally specific, the one that leads to the most specific end.
    fn best_of<'t>(
        &'t self,
        children: impl Iterator<Item = u32>,
        path: Option<&str>,
        method: Option<u16>,
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
    fn best_behind_rest<'t>(&'t self, mut at: u32, mut path: &str, method: Option<u16>) -> Option<&'t End> {
        let mut best = None;
        loop {
            let node = self.nodes.get(at as usize)?;
            best = self.end(node, method).or(best);
            let Some((before, last)) = path.rsplit_once('/') else { return best };
            let Some(child) = self.literal_child(at, node, last) else { return best };
            (at, path) = (child, before);
        }
    }

    /// The end at this node for the method, or else the one for any.
    fn end(&self, node: &Node, method: Option<u16>) -> Option<&End> {
        let mut any = None;
        for end in self.ends_of(node) {
            match end.method {
                named @ Some(_) if named == method => return Some(end),
                None if any.is_none() => any = Some(end),
                _ => {}
            }
        }
        any
    }

    fn ends_of(&self, node: &Node) -> impl Iterator<Item = &End> {
        let at = |place: u32| self.ends.get(place as usize).filter(|_| place != 0);
        std::iter::successors(at(node.ends), move |end| at(end.next))
    }

    /// A method that no pattern names has no place, and only ends for any method take it.
    fn place_of(&self, method: &str) -> Option<u16> {
        self.methods.iter().position(|known| same(known, method)).and_then(|place| u16::try_from(place).ok())
    }

    /// Gives every pattern that takes this method and path to `each`.
    pub(super) fn all(&self, method: &str, path: &str, each: &mut dyn FnMut(u32)) {
        let method = self.place_of(method);
        match path.strip_prefix('/') {
            Some(inner) => self.all_below(0, Some(inner), method, each),
            None => self.star().into_iter().for_each(|node| self.all_ends(node, method, each)),
        }
    }

    fn all_below(&self, at: u32, path: Option<&str>, method: Option<u16>, each: &mut dyn FnMut(u32)) {
        let Some(node) = self.nodes.get(at as usize) else { return };
        let Some(path) = path else { return self.all_ends(node, method, each) };
        let (segment, after) = first(path);
        if let Some(child) = self.literal_child(at, node, segment) {
            self.all_below(child, after, method, each);
        }
        if !segment.is_empty() {
            for mixed in node.mixed.iter().filter(|mixed| mixed.takes(segment)) {
                self.all_below(mixed.child, after, method, each);
            }
            for child in node.captures_taking(segment) {
                self.all_below(child, after, method, each);
            }
        }
        let (mut at, mut path) = (node.rest, path);
        while let Some(node) = self.nodes.get(at as usize).filter(|_| at != 0) {
            self.all_ends(node, method, each);
            let Some((before, last)) = path.rsplit_once('/') else { return };
            (at, path) = (self.literal_child(at, node, last).unwrap_or(0), before);
        }
    }

    fn all_ends(&self, node: &Node, method: Option<u16>, each: &mut dyn FnMut(u32)) {
        for end in self.ends_of(node).filter(|end| end.method.is_none() || end.method == method) {
            each(end.rule);
        }
    }

    /// Where the target `*` ends; nothing but its own pattern takes it.
    fn star(&self) -> Option<&Node> {
        let child = self.literal_child(0, self.nodes.first()?, STAR)?;
        self.nodes.get(child as usize)
    }
}

impl Node {
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

fn edge(node: u32, literal: u32) -> u64 {
    u64::from(node) << 32 | u64::from(literal)
}

/// Lists are bounded far below this when a policy is loaded.
fn number(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Places of texts. Short ones are kept in the map itself, so that finding one is one look at memory.
#[derive(Debug, Default)]
struct Places {
    short: HashMap<Short, u32, BuildHasherDefault<Words>>,
    long: HashMap<Box<str>, u32, BuildHasherDefault<Words>>,
}

/// Up to 23 bytes, zeros behind them, and the length.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Short([u64; 3]);

impl Places {
    fn of(&self, text: &str) -> Option<u32> {
        match Short::of(text) {
            Some(short) => self.short.get(&short).copied(),
            None => self.long.get(text).copied(),
        }
    }

    fn insert(&mut self, text: &str, place: u32) {
        match Short::of(text) {
            Some(short) => self.short.insert(short, place),
            None => self.long.insert(text.into(), place),
        };
    }
}

impl Short {
    fn of(text: &str) -> Option<Short> {
        let mut bytes = [0u8; 24];
        let length = u8::try_from(text.len()).ok()?;
        let (at_end, place) = bytes.split_last_mut()?;
        place.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        *at_end = length;
        let (words, _) = bytes.as_chunks::<8>();
        let [a, b, c] = words else { return None };
        Some(Short([*a, *b, *c].map(u64::from_le_bytes)))
    }
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

    fn write_u64(&mut self, word: u64) {
        self.add(word);
    }

    fn finish(&self) -> u64 {
        // The map takes its buckets from the low bits and its tags from the high ones.
        self.0 ^ (self.0 >> 32)
    }
}

impl Words {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}
