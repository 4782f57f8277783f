//! The reading side of one segment of the scribe's: each line in its order, each seal by the key that the one
//! before named.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::keys::{Digest, Domain, Public};
use super::line::{self, Line, Said, Signed};
use crate::audit::entry::{Epoch, Seal};

/// What is wrong with a line of the scribe's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// No line that the scribe writes.
    Foreign,
    /// `n` does not go on.
    Count {
        /// What had to stand there.
        expected: u64,
        /// What does.
        found: u64,
    },
    /// The segment does not begin with `open` and `epoch`, or has one of them again.
    Order,
    /// The signature is not by the key that has to sign here.
    Signature,
    /// It is another epoch's seal.
    Epoch {
        /// Which.
        found: u64,
    },
    /// A seal was left out, or comes again.
    Index {
        /// The number that had to come.
        expected: u64,
        /// The one that did.
        found: u64,
    },
    /// The seal before it was another one.
    Prev,
    /// It does not begin where the seal before ended, or does not end where it stands.
    Span,
    /// The bytes before it are not those that were sealed.
    Hash,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Foreign => f.write_str("no scribe writes such a line"),
            Broken::Count { expected, found } => write!(f, "record {found} where {expected} has to stand"),
            Broken::Order => f.write_str("a scribe's segment begins with one `open` and one `epoch`"),
            Broken::Signature => f.write_str("the signature is not by the key that was named for it"),
            Broken::Epoch { found } => write!(f, "a seal of epoch {found} stands in another epoch's segment"),
            Broken::Index { expected, found } => write!(f, "seal {found} where {expected} has to stand"),
            Broken::Prev => f.write_str("the seal before it was another"),
            Broken::Span => f.write_str("the seal covers other bytes than those before it"),
            Broken::Hash => f.write_str("the bytes before it are not those that were sealed"),
        }
    }
}

impl std::error::Error for Broken {}

/// Checks one segment of the scribe's, line by line. It goes on behind a broken line as well as that line lets it;
/// what counts then is for the caller to say, who is told by [`Chain::is_whole`].
#[derive(Debug)]
pub struct Chain {
    at: u64,
    n: u64,
    span: Sha256,
    span_from: u64,
    epoch: Option<Epoch>,
    key: Option<Public>,
    i: u64,
    prev: Option<Digest>,
    whole: bool,
}

impl Default for Chain {
    fn default() -> Chain {
        Chain::new()
    }
}

impl Chain {
    /// Before the first line.
    pub fn new() -> Chain {
        Chain {
            at: 0,
            n: 0,
            span: Sha256::new(),
            span_from: 0,
            epoch: None,
            key: None,
            i: 0,
            prev: None,
            whole: true,
        }
    }

    /// Takes the next line, without its LF. A [`Said::Seal`] that comes back vouches for all lines before it in this
    /// segment, if the segment's epoch is one that the pinned key leads to (`Lineage`).
    ///
    /// # Errors
    ///
    /// What is wrong with it; of several things the gravest.
    pub fn take<'l>(&mut self, bytes: &'l [u8]) -> Result<Line<'l>, Broken> {
        let result = self.judge(bytes);
        self.whole &= result.is_ok();
        self.n += 1;
        self.at += bytes.len() as u64 + 1;
        self.span.update(bytes);
        self.span.update(b"\n");
        result
    }

    fn judge<'l>(&mut self, bytes: &'l [u8]) -> Result<Line<'l>, Broken> {
        let line = line::read(bytes).ok_or(Broken::Foreign)?;
        // A seal is judged whatever its number is: the seals behind it go by what it says.
        let signed = match (&line.said, &self.epoch) {
            (Said::Open(_), _) if self.n == 0 => Ok(()),
            (Said::Epoch(epoch, signed), None) if self.n == 1 => self.begin(*epoch, signed),
            (Said::Open(_) | Said::Epoch(..), _) | (_, None) => Err(Broken::Order),
            (Said::Seal(seal, signed), Some(epoch)) => {
                let epoch = epoch.epoch;
                self.seal(bytes, epoch, seal, signed)
            }
            _ => Ok(()),
        };
        let expected = self.n;
        self.n = line.n;
        signed?;
        if line.n == expected { Ok(line) } else { Err(Broken::Count { expected, found: line.n }) }
    }

    fn begin(&mut self, epoch: Epoch, signed: &Signed<'_>) -> Result<(), Broken> {
        self.key = Some(epoch.first);
        self.prev = epoch.prev;
        self.epoch = Some(epoch);
        verify(Some(epoch.key), Domain::Epoch, signed)
    }

    fn seal(&mut self, line: &[u8], epoch: u64, seal: &Seal, signed: &Signed<'_>) -> Result<(), Broken> {
        let hash = Digest(std::mem::take(&mut self.span).finalize().into());
        let expected =
            Seal { epoch, i: self.i, from: self.span_from, to: self.at, hash, prev: self.prev, ..*seal };
        let key = self.key.replace(seal.next);
        self.span_from = self.at;
        self.i = seal.i.saturating_add(1);
        self.prev = Some(Digest::of(line));
        if seal.epoch != expected.epoch {
            return Err(Broken::Epoch { found: seal.epoch });
        }
        if seal.i != expected.i {
            return Err(Broken::Index { expected: expected.i, found: seal.i });
        }
        verify(key, Domain::Seal, signed)?;
        match () {
            () if seal.prev != expected.prev => Err(Broken::Prev),
            () if (seal.from, seal.to) != (expected.from, expected.to) => Err(Broken::Span),
            () if seal.hash != expected.hash => Err(Broken::Hash),
            () => Ok(()),
        }
    }

    /// The epoch that this segment says it is; its key is not judged here.
    pub fn epoch(&self) -> Option<&Epoch> {
        self.epoch.as_ref()
    }

    /// Hash of the last seal's line, this segment's or the one before its first.
    pub fn last(&self) -> Option<Digest> {
        self.prev
    }

    /// How many seals were taken.
    pub fn seals(&self) -> u64 {
        self.i
    }

    /// Bytes taken.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Where the bytes begin that no seal covers yet; the last seal's own line is the first of them.
    pub fn sealed_to(&self) -> u64 {
        self.span_from
    }

    /// Whether no line was broken.
    pub fn is_whole(&self) -> bool {
        self.whole
    }
}

fn verify(key: Option<Public>, domain: Domain, signed: &Signed<'_>) -> Result<(), Broken> {
    let good = key.is_some_and(|key| key.has_signed(domain, signed.message, &signed.signature));
    if good { Ok(()) } else { Err(Broken::Signature) }
}
