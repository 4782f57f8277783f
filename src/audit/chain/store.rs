//! One slot of `seal.key`, as bytes. The store holds two, at [`OFFSETS`]; who has the file reads, writes and syncs.
//!
//! | bytes | |
//! |---|---|
//! | 0..8 | `pgsealk1` |
//! | 8..16 | epoch, little endian |
//! | 16..48 | the epoch's secret (the seed of RFC 8032) |
//! | 48..80 | public key of the epoch before; zeros for a genesis |
//! | 80..112 | for the genesis of `audit init --again` hash of the last seal's line that was known then, or ones (`ff`) where none was; zeros otherwise |
//! | 112..144 | SHA-256 of all before |
//!
//! A slot of zeros, or behind the end of the file, is free. Anything else that does not decode is damage: a write
//! that a crash interrupted leaves one such slot, and then the other holds the key.

use super::keys::{Digest, Public, Secret};
use zeroize::Zeroizing;

/// Where the two slots begin; each in a block of its own, so that no write of one touches the other.
pub const OFFSETS: [u64; 2] = [0, 4096];

/// Bytes of a slot.
pub const SLOT: usize = 144;

const MAGIC: &[u8; 8] = b"pgsealk1";

/// The key with which an epoch can begin.
#[derive(Debug, PartialEq, Eq)]
pub struct Slot {
    /// Which epoch.
    pub epoch: u64,
    /// Its secret.
    pub secret: Secret,
    /// Where it stands in the order of keys.
    pub origin: Origin,
}

/// Where an epoch's key comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The epoch before had this key.
    Before(Public),
    /// It was made by `audit init`.
    Genesis,
    /// It was made by `audit init --again`; the latest seal's hash that was known then.
    Again(Option<Digest>),
}

/// What stands in a slot's place.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing: zeros, or no bytes at all.
    Free,
    /// A key.
    Key(Slot),
    /// Bytes that are no slot: half a write, or damage.
    Damaged,
}

impl Slot {
    /// The bytes, zeroized when dropped.
    pub fn encode(&self) -> Zeroizing<[u8; SLOT]> {
        let (before, again) = match self.origin {
            Origin::Before(key) => (key.0, [0; 32]),
            Origin::Genesis => ([0; 32], [0; 32]),
            Origin::Again(None) => ([0; 32], [0xff; 32]),
            Origin::Again(Some(hash)) => ([0; 32], hash.0),
        };
        let mut bytes = Zeroizing::new([0; SLOT]);
        let body = MAGIC
            .iter()
            .chain(self.epoch.to_le_bytes().iter())
            .chain(self.secret.expose())
            .chain(before.iter())
            .chain(again.iter())
            .copied()
            .collect::<Vec<u8>>();
        let body = Zeroizing::new(body);
        let sum = Digest::of(&body);
        for (place, byte) in bytes.iter_mut().zip(body.iter().chain(sum.0.iter())) {
            *place = *byte;
        }
        bytes
    }
}

/// Reads what stands at a slot's offset: up to [`SLOT`] bytes, fewer where the file ends there. The caller
/// zeroizes them.
pub fn decode(bytes: &[u8]) -> Found {
    if bytes.iter().all(|byte| *byte == 0) {
        return Found::Free;
    }
    read(bytes).map_or(Found::Damaged, Found::Key)
}

fn read(bytes: &[u8]) -> Option<Slot> {
    let bytes: &[u8; SLOT] = bytes.try_into().ok()?;
    let (body, sum) = bytes.split_at(SLOT - 32);
    if Digest::of(body).0 != *sum {
        return None;
    }
    let rest = body.strip_prefix(MAGIC)?;
    let (epoch, rest) = rest.split_first_chunk::<8>()?;
    let (secret, rest) = rest.split_first_chunk::<32>()?;
    let (before, rest) = rest.split_first_chunk::<32>()?;
    let again: [u8; 32] = rest.try_into().ok()?;
    let origin = match (before, again) {
        (before, again) if *before == [0; 32] => match again {
            again if again == [0; 32] => Origin::Genesis,
            again if again == [0xff; 32] => Origin::Again(None),
            again => Origin::Again(Some(Digest(again))),
        },
        (before, again) if again == [0; 32] => Origin::Before(Public(*before)),
        _ => return None,
    };
    let mut copy = *secret;
    let secret = Secret::from_bytes(&mut copy);
    Some(Slot { epoch: u64::from_le_bytes(*epoch), secret, origin })
}
