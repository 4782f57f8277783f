//! What the scribe's lines say of each other segment: which ranges of it are sealed, whether it is closed or gone.

use std::collections::BTreeMap;
use std::fmt;

use super::keys::Digest;
use super::line::Said;
use crate::audit::entry::{Range, Recover};
use crate::audit::segment::SegmentName;

/// What can't be said of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breach {
    /// A range does not go on where the one before ended.
    Gap {
        /// Where it had to begin.
        expected: u64,
        /// Where it does.
        found: u64,
    },
    /// A range ends before it begins.
    Backwards,
    /// The segment was closed or pruned before.
    Over,
    /// It is closed at another length than its ranges have.
    Length {
        /// What the ranges come to.
        sealed: u64,
        /// What is said.
        said: u64,
    },
    /// It is pruned and was never closed.
    Open,
    /// Its name is no segment's.
    Name,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Breach::Gap { expected, found } => {
                write!(f, "a range begins at byte {found} where the one before ended at {expected}")
            }
            Breach::Backwards => f.write_str("a range ends before it begins"),
            Breach::Over => f.write_str("it goes on after it was closed"),
            Breach::Length { sealed, said } => {
                write!(f, "{said} bytes are said of it, and its ranges have {sealed}")
            }
            Breach::Open => f.write_str("it is pruned, and was never closed"),
            Breach::Name => f.write_str("its name is no segment's"),
        }
    }
}

impl std::error::Error for Breach {}

/// What is known of one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Account {
    /// Bytes that ranges cover.
    pub to: u64,
    /// LFs in them.
    pub lines: u64,
    /// The length at which it was closed, and whether it ends torn there.
    pub closed: Option<(u64, bool)>,
    /// It was removed.
    pub pruned: bool,
    /// What was said of it then: its bytes, and their hash.
    weighed: Option<(u64, Option<Digest>)>,
}

/// Accounts of all segments, from the scribe's lines in their order over all epochs.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    accounts: BTreeMap<String, Account>,
    /// The lines before the first are gone: a segment may be met in the middle.
    late: bool,
}

impl Ledger {
    /// From the very first epoch on.
    pub fn new() -> Ledger {
        Ledger::default()
    }

    /// From a later epoch on, the scribe's segments before it being pruned or not asked for.
    pub fn late() -> Ledger {
        Ledger { late: true, ..Ledger::default() }
    }

    /// Takes what a line says; lines that say nothing of another segment change nothing.
    ///
    /// # Errors
    ///
    /// What is impossible about it. The account then goes by what was said.
    pub fn take(&mut self, said: &Said<'_>) -> Result<(), Breach> {
        match said {
            Said::Range(range) => self.range(range),
            Said::Close(close) => {
                let account = self.account(close.segment, close.bytes)?;
                let (sealed, said) = (account.to, close.bytes);
                let over = account.closed.replace((said, close.torn)).is_some() || account.pruned;
                account.to = said;
                match () {
                    () if over => Err(Breach::Over),
                    () if is_scribes(close.segment) || sealed == said => Ok(()),
                    () => Err(Breach::Length { sealed, said }),
                }
            }
            Said::Recover(Recover::Segment { segment, from, to, .. }) => {
                let account = self.account(segment, *from)?;
                match () {
                    () if account.closed.is_some() || account.pruned => Err(Breach::Over),
                    () if to < from => Err(Breach::Backwards),
                    () if account.to != *from => Err(Breach::Gap { expected: account.to, found: *from }),
                    () => Ok(()),
                }
            }
            Said::Prune(prune) => {
                let known = self.accounts.contains_key(prune.segment);
                let account = self.account(prune.segment, prune.bytes)?;
                let closed = account.closed;
                account.pruned = true;
                let weight = (prune.bytes, prune.hash);
                let before = account.weighed.replace(weight);
                match closed {
                    // A crash before it was removed has the same said again.
                    _ if before == Some(weight) => Ok(()),
                    _ if before.is_some() => Err(Breach::Over),
                    _ if is_scribes(prune.segment) => Ok(()),
                    Some((sealed, _)) if sealed != prune.bytes => {
                        Err(Breach::Length { sealed, said: prune.bytes })
                    }
                    None if known || !self.late => Err(Breach::Open),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn range(&mut self, range: &Range<'_>) -> Result<(), Breach> {
        let account = self.account(range.segment, range.from)?;
        let expected = std::mem::replace(&mut account.to, range.to);
        account.lines = account.lines.saturating_add(range.lines);
        match () {
            () if account.closed.is_some() || account.pruned => Err(Breach::Over),
            () if range.to <= range.from => Err(Breach::Backwards),
            () if expected != range.from => Err(Breach::Gap { expected, found: range.from }),
            () => Ok(()),
        }
    }

    /// The account; a segment that is met in the middle begins at `met`.
    fn account(&mut self, segment: &str, met: u64) -> Result<&mut Account, Breach> {
        SegmentName::parse(segment).ok_or(Breach::Name)?;
        // Of the scribe's own there are ranges only behind its last seal.
        let to = if self.late || is_scribes(segment) { met } else { 0 };
        // No entry by a borrowed name: most lines are of a segment that is known.
        if !self.accounts.contains_key(segment) {
            self.accounts.insert(segment.to_owned(), Account { to, ..Account::default() });
        }
        self.accounts.get_mut(segment).ok_or(Breach::Name)
    }

    /// What is known of a segment.
    pub fn segment(&self, name: &str) -> Option<&Account> {
        self.accounts.get(name)
    }

    /// All accounts, by name.
    pub fn segments(&self) -> impl Iterator<Item = (&str, &Account)> {
        self.accounts.iter().map(|(name, account)| (name.as_str(), account))
    }

    /// The segments that are neither closed nor pruned: after a crash, those to recover.
    pub fn open(&self) -> impl Iterator<Item = (&str, &Account)> {
        self.segments().filter(|(_, account)| account.closed.is_none() && !account.pruned)
    }
}

/// Whether a segment is one of the scribe's own, which seals cover and ranges do not.
pub fn is_scribes(name: &str) -> bool {
    SegmentName::parse(name).is_some_and(|name| name.writer == "scribe" || name.writer.starts_with("scribe-"))
}
