//! From the pinned key to the epochs: each is named by the one before. `epochs.ndjson` holds every epoch's line, as
//! it stands in its segment too, so that the way can be walked when old segments are gone.

use std::collections::BTreeMap;
use std::fmt;

use super::keys::{Domain, Public};
use super::line::{self, Said, Signed};
use crate::audit::entry::Epoch;

/// The name of the file of all epochs' lines, in the audit directory.
pub const EPOCHS: &str = "epochs.ndjson";

/// Why an epoch is none of this log's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stranger {
    /// No `epoch` record at all.
    Foreign,
    /// It is not signed by its own key.
    Signature,
    /// No pinned key leads to it: it comes before the first pinned one, or that is of another log.
    Unpinned,
    /// A new genesis, whose key has to be pinned as well.
    Again,
    /// The epoch before named another key.
    Key,
    /// It is not the next; the number that had to come.
    Index(u64),
    /// Another epoch of this number was seen before: somebody had its key, and used it twice.
    Twice,
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stranger::Foreign => f.write_str("no record of an epoch"),
            Stranger::Signature => f.write_str("the epoch is not signed by its own key"),
            Stranger::Unpinned => f.write_str("no pinned key leads to this epoch"),
            Stranger::Again => f.write_str("a new genesis: its key has to be pinned as well"),
            Stranger::Key => f.write_str("the epoch before named another key"),
            Stranger::Index(expected) => write!(f, "epoch {expected} has to come first"),
            Stranger::Twice => f.write_str("there are two different epochs of this number"),
        }
    }
}

impl std::error::Error for Stranger {}

/// The epochs that a pinned key leads to.
#[derive(Debug, Clone)]
pub struct Lineage {
    pins: Vec<Public>,
    known: BTreeMap<u64, Epoch>,
}

impl Lineage {
    /// From the pinned keys: the genesis, and each that `audit init --again` made since.
    pub fn new(pins: Vec<Public>) -> Lineage {
        Lineage { pins, known: BTreeMap::new() }
    }

    /// Takes the next line of `epochs.ndjson`, or an `epoch` line of a segment, without its LF; in the order of
    /// epochs, and one that was taken before may come again.
    ///
    /// # Errors
    ///
    /// Why it does not belong.
    pub fn take_line(&mut self, bytes: &[u8]) -> Result<Epoch, Stranger> {
        match line::read(bytes).map(|line| line.said) {
            Some(Said::Epoch(epoch, signed)) => self.take(epoch, &signed).map(|()| epoch),
            _ => Err(Stranger::Foreign),
        }
    }

    /// The same, of a line that was read.
    ///
    /// # Errors
    ///
    /// Why it does not belong.
    pub fn take(&mut self, epoch: Epoch, signed: &Signed<'_>) -> Result<(), Stranger> {
        if !epoch.key.has_signed(Domain::Epoch, signed.message, &signed.signature) {
            return Err(Stranger::Signature);
        }
        if let Some(known) = self.known.get(&epoch.epoch) {
            return if *known == epoch { Ok(()) } else { Err(Stranger::Twice) };
        }
        let pinned = self.pins.contains(&epoch.key);
        match (self.known.last_key_value(), epoch.again) {
            (None, _) if pinned => {}
            (None, None) => return Err(Stranger::Unpinned),
            (_, Some(_)) if !pinned => return Err(Stranger::Again),
            (Some((last, _)), _) if last.checked_add(1) != Some(epoch.epoch) => {
                return Err(Stranger::Index(last.saturating_add(1)));
            }
            (Some((_, last)), None) if last.next != epoch.key => return Err(Stranger::Key),
            _ => {}
        }
        self.known.insert(epoch.epoch, epoch);
        Ok(())
    }

    /// An epoch, if a pinned key leads to it.
    pub fn epoch(&self, number: u64) -> Option<&Epoch> {
        self.known.get(&number)
    }

    /// All of them, in order.
    pub fn epochs(&self) -> impl DoubleEndedIterator<Item = &Epoch> {
        self.known.values()
    }
}
