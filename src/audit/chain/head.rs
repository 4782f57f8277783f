//! A head: what is said elsewhere of the latest seal, so that a log that ends earlier is found to be cut.
//!
//! One line, which may stand anywhere in another (a syslog message, the journal's JSON):
//!
//! ```text
//! peergate-head v1 epoch=3 i=41 ts=2026-11-23T03:46:29.123456Z hash=<64 hex> next=<64 hex> log=<16 hex>
//! ```
//!
//! `hash` is SHA-256 of the seal's line without LF. `log` names the log, so that many hosts can keep their heads in
//! one place: the first 16 hex digits of SHA-256 of the genesis public key's 32 bytes, the latest genesis's after an
//! `audit init --again`. It may be left out.

use std::fmt;

use super::keys::{Digest, Public, unhex};
use super::sign::Sealed;

const BEGIN: &str = "peergate-head v1 ";

/// What a witness keeps of a seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its epoch.
    pub epoch: u64,
    /// Its number in it.
    pub i: u64,
    /// Its time, as records spell it.
    pub ts: String,
    /// Hash of its line.
    pub hash: Digest,
    /// The key of the seal that follows.
    pub next: Public,
    /// Which log it is of.
    pub log: Option<LogId>,
}

/// Tells logs apart in a witness that keeps heads of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogId([u8; 8]);

impl LogId {
    /// Of the log with this genesis key.
    pub fn of(genesis: &Public) -> LogId {
        let Digest(hash) = Digest::of(&genesis.0);
        let mut id = [0; 8];
        for (place, byte) in id.iter_mut().zip(hash) {
            *place = byte;
        }
        LogId(id)
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Head {
    /// Of a seal that was just made.
    pub fn of(sealed: &Sealed, log: Option<LogId>) -> Head {
        let Sealed { epoch, i, ts, hash, next } = *sealed;
        Head { epoch, i, ts: ts.to_string(), hash, next, log }
    }

    /// The first whole head in a line of whatever kind.
    pub fn find(line: &str) -> Option<Head> {
        Head::all(line).next()
    }

    /// All whole heads in a line of whatever kind. One whose `log` can't be read is nobody's.
    pub fn all(line: &str) -> impl Iterator<Item = Head> {
        line.match_indices(BEGIN).filter_map(|(at, begin)| Head::read(line.get(at + begin.len()..)?))
    }

    /// The head that a text begins with.
    pub fn at_the_start(text: &str) -> Option<Head> {
        Head::read(text.strip_prefix(BEGIN)?)
    }

    fn read(rest: &str) -> Option<Head> {
        let mut words = rest.split([' ', '"', '\\', '\n', '\r', '\t']);
        let mut word = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=');
        let decimal = |text: &str| -> Option<u64> {
            let plain =
                text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
            text.parse().ok().filter(|_| plain)
        };
        let epoch = decimal(word("epoch")?)?;
        let i = decimal(word("i")?)?;
        let ts = word("ts")?;
        let hash = word("hash")?.parse().ok()?;
        let next = word("next")?.parse().ok()?;
        let log = match words.next().and_then(|word| word.strip_prefix("log=")) {
            Some(id) => Some(LogId(unhex(id)?)),
            None => None,
        };
        let instant =
            ts.len() == 27 && ts.bytes().all(|byte| byte.is_ascii_digit() || b"-T:.Z".contains(&byte));
        instant.then(|| Head { epoch, i, ts: ts.to_owned(), hash, next, log })
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Head { epoch, i, ts, hash, next, log } = self;
        write!(f, "{BEGIN}epoch={epoch} i={i} ts={ts} hash={hash} next={next}")?;
        log.map_or(Ok(()), |log| write!(f, " log={log}"))
    }
}
