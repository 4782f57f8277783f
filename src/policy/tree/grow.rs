//! How a tree comes to be: pattern by pattern, and then packed.

use std::collections::HashMap;

use super::places::Places;
use super::{End, Literals, Mixed, Node, Tree, Wild, number};
use crate::policy::pattern::{Piece, Rank};
use crate::policy::value::{Kind, PLAIN};

/// A tree to which patterns are added.
#[derive(Debug)]
pub(in crate::policy) struct Growing {
    tree: Tree,
    /// From a node by a literal to its child.
    edges: HashMap<(u32, u32), u32>,
}

impl Growing {
    pub(in crate::policy) fn new() -> Growing {
        let tree = Tree {
            nodes: vec![Node::default()],
            children: Vec::new(),
            // The ones that stand for none.
            wild: vec![Wild::default()],
            ends: vec![End { rule: u32::MAX, pattern: 0, method: None, next: 0, ranks: 0 }],
            ranks: vec![Box::default()],
            methods: Vec::new(),
            literals: Vec::new(),
            places: Places::default(),
        };
        Growing { tree, edges: HashMap::new() }
    }

    /// Packs it: the literal children of a node stand side by side.
    pub(in crate::policy) fn grown(self) -> Tree {
        let Growing { mut tree, edges } = self;
        let mut edges: Vec<((u32, u32), u32)> = edges.into_iter().collect();
        edges.sort_unstable();
        for of_node in edges.chunk_by(|((a, _), _), ((b, _), _)| a == b) {
            let Some(((at, literal), child)) = of_node.first().copied() else { continue };
            let literals = if of_node.len() == 1 {
                Literals::One { literal, child }
            } else {
                let from = number(tree.children.len());
                tree.children.extend(of_node.iter().map(|((_, literal), child)| (*literal, *child)));
                Literals::Many { from, count: number(of_node.len()) }
            };
            if let Some(node) = tree.nodes.get_mut(at as usize) {
                node.literals = literals;
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
        pattern: u32,
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
        let ranks = number(self.tree.ranks.len());
        self.tree.ranks.push(pieces.iter().map(Piece::rank).collect());
        self.end_at(at, End { rule, pattern, method, next: 0, ranks });
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

    /// Of two alike at one node, that of the earlier rule is found first, whichever was added first.
    fn end_at(&mut self, at: u32, end: End) {
        let tree = &mut self.tree;
        let (new, rule) = (number(tree.ends.len()), end.rule);
        let Some(node) = tree.nodes.get_mut(at as usize) else { return };
        let later = |ends: &[End], place: u32| {
            place == 0 || ends.get(place as usize).is_none_or(|known| known.rule > rule)
        };
        let mut next = node.ends;
        if later(&tree.ends, next) {
            node.ends = new;
        } else {
            let mut last = next;
            loop {
                next = tree.ends.get(last as usize).map_or(0, |end| end.next);
                if later(&tree.ends, next) {
                    break;
                }
                last = next;
            }
            if let Some(last) = tree.ends.get_mut(last as usize) {
                last.next = new;
            }
        }
        tree.ends.push(End { next, ..end });
    }

    fn method_place(&mut self, method: &str) -> u16 {
        let known = self.tree.methods.iter().position(|known| **known == *method);
        let place = known.unwrap_or_else(|| {
            self.tree.methods.push(method.into());
            self.tree.methods.len() - 1
        });
        u16::try_from(place).unwrap_or(u16::MAX)
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
