//! How a tree comes to be: pattern by pattern, and then packed.

use std::collections::HashMap;
use std::num::NonZeroU16;

use super::places::Places;
use super::{End, Ends, Literals, Mixed, Node, Tree, Wild, counted, number};
use crate::policy::pattern::{Piece, Rank};
use crate::policy::value::{Kind, PLAIN};

/// A row of children has so many places for each at most.
const SPARSE: usize = 4;

/// A tree to which patterns are added.
#[derive(Debug)]
pub(in crate::policy) struct Growing {
    tree: Tree,
    /// From a node by a literal to its child.
    edges: HashMap<(u32, u32), u32>,
    /// Each with the node that it stands at.
    ends: Vec<(u32, End)>,
}

impl Growing {
    pub(in crate::policy) fn new() -> Growing {
        let tree = Tree {
            nodes: vec![Node::default()],
            ranks: Vec::new(),
            rows: Vec::new(),
            children: Vec::new(),
            // The one that stands for none.
            wild: vec![Wild::default()],
            ends: Vec::new(),
            methods: Vec::new(),
            literals: Vec::new(),
            places: Places::default(),
        };
        Growing { tree, edges: HashMap::new(), ends: Vec::new() }
    }

    /// Packs it: the literal children of a node stand side by side, and so do its ends.
    pub(in crate::policy) fn grown(self) -> Tree {
        let Growing { mut tree, edges, mut ends } = self;
        let mut edges: Vec<((u32, u32), u32)> = edges.into_iter().collect();
        edges.sort_unstable();
        for of_node in edges.chunk_by(|((a, _), _), ((b, _), _)| a == b) {
            let children = of_node.iter().map(|((_, literal), child)| (*literal, *child));
            let (Some(((at, first), child)), Some(((_, last), _))) = (of_node.first(), of_node.last()) else {
                continue;
            };
            let row = (last - first) as usize + 1;
            let literals = if of_node.len() == 1 {
                Literals::One { literal: *first, child: *child }
            } else if row <= of_node.len().saturating_mul(SPARSE) {
                let from = tree.rows.len();
                tree.rows.push(*first);
                tree.rows.resize(from + 1 + row, 0);
                for (literal, child) in children {
                    if let Some(place) = tree.rows.get_mut(from + 1 + (literal - first) as usize) {
                        *place = child;
                    }
                }
                Literals::Row { from: number(from), count: number(row + 1) }
            } else {
                let from = number(tree.children.len());
                tree.children.extend(children);
                Literals::Many { from, count: number(of_node.len()) }
            };
            if let Some(node) = tree.nodes.get_mut(*at as usize) {
                node.literals = literals;
            }
        }
        // Of two alike at one node, that of the earlier rule is found first, whichever was added first.
        ends.sort_by_key(|(at, end)| (*at, end.rule));
        for of_node in ends.chunk_by(|(a, _), (b, _)| a == b) {
            let Some((at, end)) = of_node.first().copied() else { continue };
            let packed = if of_node.len() == 1 {
                Ends::One(end)
            } else {
                let from = number(tree.ends.len());
                tree.ends.extend(of_node.iter().map(|(_, end)| *end));
                Ends::Many { from, count: number(of_node.len()) }
            };
            if let Some(node) = tree.nodes.get_mut(at as usize) {
                node.ends = packed;
            }
        }
        tree
    }

    /// Adds one pattern: its method (`None`: any), its pieces, and what it stands for.
    pub(in crate::policy) fn insert(
        &mut self,
        method: Option<&str>,
        pieces: &[Piece],
        rule: u32,
        pattern: u16,
    ) {
        let mut at = 0;
        let mut pieces_left = pieces.iter();
        while let Some(piece) = pieces_left.next() {
            at = match piece {
                Piece::Literal(text) => self.literal(at, text),
                Piece::Rest { .. } => {
                    let behind = self.child(at, |wild| wild.rest, |wild, child| wild.rest = child);
                    pieces_left.by_ref().rev().fold(behind, |at, piece| match piece {
                        Piece::Literal(text) => self.literal(at, text),
                        // A pattern has nothing but literals behind its rest.
                        _ => at,
                    })
                }
                Piece::Capture { kind: Kind::Any, .. } => self.capture(at),
                Piece::Capture { kind, .. } => match PLAIN.iter().position(|plain| plain == kind) {
                    Some(place) => {
                        let known = |wild: &Wild| wild.captures.get(place).copied().unwrap_or(0);
                        self.child(at, known, |wild, child| {
                            if let Some(capture) = wild.captures.get_mut(place) {
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
        self.ends.push((at, End { rule, pattern, method }));
        let ranks = &mut self.tree.ranks;
        ranks.resize(ranks.len().max(self.tree.nodes.len()), Box::default());
        if let Some(ranks) = ranks.get_mut(at as usize) {
            *ranks = pieces.iter().map(Piece::rank).collect();
        }
    }

    fn capture(&mut self, at: u32) -> u32 {
        let nodes = &mut self.tree.nodes;
        let new = number(nodes.len());
        let Some(node) = nodes.get_mut(at as usize) else { return 0 };
        if node.capture != 0 {
            return node.capture;
        }
        node.capture = new;
        nodes.push(Node::default());
        new
    }

    fn mixed(&mut self, at: u32, prefix: &str, kind: &Kind, suffix: &str, rank: Rank) -> u32 {
        let same =
            |known: &&Mixed| *known.prefix == *prefix && *known.suffix == *suffix && known.kind == *kind;
        let known = |wild: &Wild| wild.mixed.iter().find(same).map_or(0, |known| known.child);
        self.child(at, known, |wild, child| {
            let (prefix, suffix) = (prefix.into(), suffix.into());
            let place = wild.mixed.partition_point(|known| known.rank >= rank);
            wild.mixed.insert(place, Mixed { prefix, suffix, kind: kind.clone(), rank, child });
        })
    }

    fn method_place(&mut self, method: &str) -> NonZeroU16 {
        let known = self.tree.methods.iter().position(|known| **known == *method);
        let place = known.unwrap_or_else(|| {
            self.tree.methods.push(method.into());
            self.tree.methods.len() - 1
        });
        counted(place).unwrap_or(NonZeroU16::MAX)
    }

    fn literal(&mut self, at: u32, text: &str) -> u32 {
        let tree = &mut self.tree;
        let literal = tree.places.of(text).unwrap_or_else(|| {
            let literal = number(tree.literals.len());
            tree.literals.push(text.into());
            tree.places.insert(text, literal);
            literal
        });
        let nodes = &mut tree.nodes;
        *self.edges.entry((at, literal)).or_insert_with(|| {
            let child = number(nodes.len());
            nodes.push(Node::default());
            child
        })
    }

    /// The child that a node's wild part knows, or a new one that it is told of.
    fn child(&mut self, at: u32, known: impl Fn(&Wild) -> u32, add: impl FnOnce(&mut Wild, u32)) -> u32 {
        let tree = &mut self.tree;
        let child = number(tree.nodes.len());
        let Some(node) = tree.nodes.get_mut(at as usize) else { return 0 };
        if node.wild == 0 {
            node.wild = number(tree.wild.len());
            tree.wild.push(Wild::default());
        }
        let Some(wild) = tree.wild.get_mut(node.wild as usize) else { return 0 };
        match known(wild) {
            0 => {
                add(wild, child);
                tree.nodes.push(Node::default());
                child
            }
            known => known,
        }
    }
}
