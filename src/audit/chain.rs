//! The seals: what the scribe vouches for, by keys that no longer exist, and how that is checked with nothing but the
//! public key of the genesis.
//!
//! # Writing
//!
//! An **epoch** is one segment of the scribe's. Its key is in the store, in one of the two slots of `seal.key`
//! ([`store`]); it signs the epoch's record, and is erased. To begin one:
//!
//! 1. read both slots. The smallest epoch whose record is not on record is the one that begins; of a damaged slot
//!    nothing is used. Slots of epochs that are on record are overwritten with zeros.
//! 2. [`Handover::new`] with a [`Secret::random`] for the next epoch (or [`Handover::resume`], where the next epoch's
//!    slot is there already); [`Handover::next`] goes into the free slot, and is made durable;
//! 3. `open` is written as record 0, [`Handover::begin`] makes record 1 and the [`Signer`]; the segment is made durable,
//!    and its directory;
//! 4. the same line, byte for byte, is appended to [`EPOCHS`] and made durable;
//! 5. the slot of this epoch is overwritten with zeros, and made durable.
//!
//! Then [`Signer::seal`], at each seal. A seal's line is written in one piece with what it covers, or behind it. Its
//! span ends where its own line begins, so that line is the first of the next span. `prev` is the hash of the latest
//! seal's line that is in the files; zeros never stand for an absent one.
//!
//! Only these lines count, and only in the scribe's segments. Their values are in [`entry`](super::entry); `n` goes on
//! without gaps over all lines of the segment.
//!
//! | record | rule |
//! |---|---|
//! | `range` | of one segment in order, from byte 0 on without gaps, over all epochs; never empty; ends behind an LF, but for the last of a torn segment |
//! | `close` | its `bytes` is the end of the last range (0 for an empty segment). A scribe may close the segment of the epoch before in its own |
//! | `recover` | `from` is the end of the segment's last range. The rest follows as `range`, then `close`. `settled` comes once all are closed but those that are `carried`: open, and going on, each told right before it by `recover` with `to` = `from`; at a start, and at the beginning of each further segment of the scribe's |
//! | `pending` | any number for a segment; those between two `close`s are all that is open of its lane, those of segments before too |
//! | `prune` | only of a closed segment, but for the scribe's own; a scribe's segment goes only after every segment of which it holds a range, and with `epoch`, `seals`, `last` |
//! | `epoch.again` | zeros where no seal was known; the number goes on behind the last epoch that is known |
//!
//! # Reading
//!
//! [`Lineage`] walks from the pinned key to the epochs; [`Chain`] checks one segment of the scribe's, line by line;
//! [`Ledger`] adds up what the lines say of the other segments. What is behind a segment's last good seal is not
//! vouched for yet, a `range` there neither.
//!
//! # Both
//!
//! A record that a program of its own writes and seals, all of it here at once; whoever has the genesis's key verifies it
//! (feature `cli`):
//!
//! ```
//! use peergate::audit::chain::store::{Origin, Slot};
//! use peergate::audit::chain::{Digest, EPOCHS, Handover, Secret};
//! use peergate::audit::entry::{Close, Entry, Open, PolicyEvent, Range};
//! use peergate::audit::{encode, log::Log, segment};
//! use peergate::model::{ids::BootId, posture::Confinement, time::Timestamp};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let place = tempfile::tempdir()?;
//! # let directory = place.path();
//! let (boot, posture) = (BootId::from_random(7), Confinement::default());
//! let open = |role| Open { boot, role, uid: None, pid: 1, version: "1", policy: "", missing: &[], posture: &posture };
//!
//! // The writer's segment.
//! let name = segment::name(Timestamp::now(), boot, "warden-1");
//! let path = directory.join(&name);
//! let segment = std::fs::OpenOptions::new().append(true).create_new(true).open(&path)?;
//! let log = Log::new(segment.into(), 1 << 20);
//! let begun = log.note((), &Entry::Open(open("warden")))?;
//! let event = PolicyEvent { old: None, new: Some("9f2c1e77"), file: "p.toml", refused: None };
//! let noted = log.note("the effect", &Entry::Policy(event))?;
//! log.flush()?;
//! log.receipt(begun)?.into_inner();
//! assert_eq!(log.receipt(noted)?.into_inner(), "the effect");
//!
//! // The sealer's: its epoch, what it has read of the writer's, and a seal. Each key signs once, and is dropped.
//! let slot = Slot { epoch: 0, secret: Secret::random()?, origin: Origin::Genesis };
//! let genesis = slot.secret.public();
//! let (mut own, mut epoch) = (Vec::new(), Vec::new());
//! encode::line(&Entry::Open(open("scribe")), 0, Timestamp::now(), &mut own);
//! let handover = Handover::new(slot, Secret::random()?);
//! let mut signer = handover.begin(Secret::random()?, None, 1, Timestamp::now(), &mut epoch);
//! own.extend_from_slice(&epoch);
//! let bytes = std::fs::read(&path)?;
//! let (to, hash) = (bytes.len() as u64, Digest::of(&bytes));
//! let range = Range { segment: &name, from: 0, to, lines: 2, hash };
//! encode::line(&Entry::Range(range), 2, Timestamp::now(), &mut own);
//! let close = Close { segment: &name, bytes: to, torn: false };
//! encode::line(&Entry::Close(close), 3, Timestamp::now(), &mut own);
//! let (upto, hash) = (own.len() as u64, Digest::of(&own));
//! signer.seal(upto, hash, Secret::random()?, 4, Timestamp::now(), &mut own);
//! std::fs::write(directory.join(segment::name(Timestamp::now(), boot, "scribe-2")), own)?;
//! std::fs::write(directory.join(EPOCHS), epoch)?;
//!
//! # #[cfg(feature = "cli")] {
//! use peergate::audit::verify::{Kind, Question, verify};
//! let question = Question { pins: vec![genesis], ..Question::default() };
//! let report = verify(directory, &question, &mut |_done, _all| ())?;
//! assert!(report.damages.is_empty() && report.sealed == 7 && report.unsealed == 0, "{report:?}");
//!
//! std::fs::write(&path, String::from_utf8(bytes)?.replace("9f2c1e77", "9f2c1e78"))?;
//! let report = verify(directory, &question, &mut |_done, _all| ())?;
//! assert_eq!(report.damages[0].kind, Kind::Changed);
//! # }
//! # Ok(())
//! # }
//! ```

mod check;
mod head;
mod keys;
mod ledger;
mod line;
mod lineage;
mod sign;
pub mod store;

pub use check::{Broken, Chain};
pub use head::{Head, LogId};
pub use keys::{Digest, Domain, NotHex, Public, Secret, unhex};
pub use ledger::{Account, Breach, Ledger, is_scribes};
pub use line::{Line, Said, Signed, read};
pub use lineage::{EPOCHS, Lineage, Stranger};
pub use sign::{Handover, Sealed, Signer};

#[cfg(test)]
mod tests;
