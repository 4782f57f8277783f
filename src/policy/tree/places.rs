//! Each literal segment by a small number.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// Places of texts. Short ones are kept in the map itself, so that finding one is one look at memory.
#[derive(Debug, Default)]
pub(super) struct Places {
    short: HashMap<Short, u32, BuildHasherDefault<Words>>,
    long: HashMap<Box<str>, u32, BuildHasherDefault<Words>>,
}

/// Up to 23 bytes, zeros behind them, and the length.
#[derive(Debug, Eq)]
struct Short([u64; 3]);

// Word by word: three words are not worth a call of `memcmp`.
impl PartialEq for Short {
    fn eq(&self, other: &Short) -> bool {
        let (Short([a, b, c]), Short([x, y, z])) = (self, other);
        (a ^ x) | (b ^ y) | (c ^ z) == 0
    }
}

impl Hash for Short {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Short([a, b, c]) = self;
        state.write_u64(*a);
        state.write_u64(*b);
        state.write_u64(*c);
    }
}

impl Places {
    pub(super) fn of(&self, text: &str) -> Option<u32> {
        match Short::of(text) {
            Some(short) => self.short.get(&short).copied(),
            None => self.long.get(text).copied(),
        }
    }

    pub(super) fn insert(&mut self, text: &str, place: u32) {
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
