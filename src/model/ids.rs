//! Names for one start of the daemon, one connection, one request: `7k3qzd-41-1`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// One start of the daemon: 30 random bits as six letters of Crockford's base 32 in lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BootId([u8; 6]);

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl BootId {
    /// From random bits, of which the lowest 30 are used.
    pub fn from_random(bits: u32) -> BootId {
        let letter = |i: u32| {
            let index = (bits >> (5 * i)) & 31;
            ALPHABET.get(index as usize).copied().unwrap_or(b'0')
        };
        BootId([letter(0), letter(1), letter(2), letter(3), letter(4), letter(5)])
    }

    /// The six letters.
    pub fn as_str(&self) -> &str {
        // The bytes come from ALPHABET or from a parse that accepts nothing else.
        std::str::from_utf8(&self.0).unwrap_or("000000")
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One accepted connection of one start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ConnectionId {
    /// Which start of the daemon.
    pub boot: BootId,
    /// Counts from 1 within it.
    pub number: u64,
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.boot, self.number)
    }
}

/// One request on one connection: what a caller is told, and what `peergate audit show` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RequestId {
    /// The connection it came on.
    pub connection: ConnectionId,
    /// Counts from 1 within it.
    pub number: u32,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.connection, self.number)
    }
}

/// A listener's place in the policy in force; stable across reloads, since listeners only change by restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ListenerId(pub u16);

/// A backend's place in one generation of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BackendId(pub u16);

/// Counts the policies that were in force since the start, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Generation(pub u64);

/// Text that is no id of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadId;

impl fmt::Display for BadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id looks like `7k3qzd-41` (a connection) or `7k3qzd-41-1` (a request)")
    }
}

impl std::error::Error for BadId {}

impl FromStr for BootId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<BootId, BadId> {
        let letters: [u8; 6] = text.as_bytes().try_into().map_err(|_| BadId)?;
        if letters.iter().all(|letter| ALPHABET.contains(letter)) { Ok(BootId(letters)) } else { Err(BadId) }
    }
}

impl FromStr for ConnectionId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<ConnectionId, BadId> {
        let (boot, number) = text.split_once('-').ok_or(BadId)?;
        Ok(ConnectionId { boot: boot.parse()?, number: decimal(number)? })
    }
}

impl FromStr for RequestId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<RequestId, BadId> {
        let (connection, number) = text.rsplit_once('-').ok_or(BadId)?;
        let number = u32::try_from(decimal(number)?).map_err(|_| BadId)?;
        Ok(RequestId { connection: connection.parse()?, number })
    }
}

/// One spelling a number: digits only, no leading zero.
fn decimal(text: &str) -> Result<u64, BadId> {
    if text.is_empty() || text.starts_with('0') || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(BadId);
    }
    text.parse().map_err(|_| BadId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_id_printed_parses_back() {
        for bits in [0, 1, u32::MAX, 0x1234_5678] {
            let connection = ConnectionId { boot: BootId::from_random(bits), number: 41 };
            let id = RequestId { connection, number: 1 };
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(connection.to_string().parse(), Ok(connection));
        }
    }

    #[test]
    fn request_id_other_spellings_are_refused() {
        for text in
            ["", "-", "7k3qzd-41-01", "7k3qzd-41-", "7k3qzl-4-1", "7K3QZD-4-1", "7k3qzd-4-1-1", "7k3q-1-1"]
        {
            assert_eq!(text.parse::<RequestId>(), Err(BadId), "{text:?}");
        }
    }
}
