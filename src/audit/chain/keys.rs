//! Hashes, public keys, secrets: 32 bytes each, and never one for another.

use std::fmt;
use std::io;
use std::str::FromStr;

use ed25519_dalek::ed25519::signature::Signer as _;
use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize;

use crate::sys;

/// A SHA-256; printed as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }
}

/// The public half of an Ed25519 key pair (RFC 8032); printed as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Public(pub [u8; 32]);

impl Public {
    /// Whether `signature` is this key's over `domain` and `message`, by the strict rules: no other spelling of a
    /// signature, no key of small order. A key that is no point of the curve has signed nothing.
    #[must_use]
    pub fn has_signed(&self, domain: Domain, message: &[u8], signature: &[u8; 64]) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(&self.0) else { return false };
        key.verify_strict(&domain.before(message), &Signature::from_bytes(signature)).is_ok()
    }
}

/// What is signed; its words stand before the line, so that one can't pass for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// An `epoch` record.
    Epoch,
    /// A `seal` record.
    Seal,
}

impl Domain {
    fn before(self, message: &[u8]) -> Vec<u8> {
        let words: &[u8] = match self {
            Domain::Epoch => b"peergate epoch v1\0",
            Domain::Seal => b"peergate seal v1\0",
        };
        [words, message].concat()
    }
}

/// The secret half of a key pair. Zeros stand in its place once it is dropped; it is never printed, and can't be
/// copied.
#[derive(PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Takes these bytes, and leaves zeros where they were.
    pub fn from_bytes(bytes: &mut [u8; 32]) -> Secret {
        let secret = Secret(*bytes);
        bytes.zeroize();
        secret
    }

    /// A new one, from the kernel's random generator.
    ///
    /// # Errors
    ///
    /// As [`sys::random`].
    pub fn random() -> io::Result<Secret> {
        sys::random().map(|mut bytes| Secret::from_bytes(&mut bytes))
    }

    /// The public half.
    pub fn public(&self) -> Public {
        Public(SigningKey::from_bytes(&self.0).verifying_key().to_bytes())
    }

    /// Signs; RFC 8032's signatures need no randomness.
    pub(super) fn sign(&self, domain: Domain, message: &[u8]) -> [u8; 64] {
        SigningKey::from_bytes(&self.0).sign(&domain.before(message)).to_bytes()
    }

    /// The bytes, for the store alone.
    pub(super) fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    /// Says nothing of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Text that is no 64 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotHex;

impl fmt::Display for NotHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("64 hex digits in lower case are wanted here")
    }
}

impl std::error::Error for NotHex {}

/// `N` bytes from `2 N` lower-case hex digits, the one spelling there is.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (place, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *place = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = NotHex;

    fn from_str(text: &str) -> Result<Digest, NotHex> {
        unhex(text).map(Digest).ok_or(NotHex)
    }
}

impl fmt::Display for Public {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Public {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Public {
    type Err = NotHex;

    fn from_str(text: &str) -> Result<Public, NotHex> {
        unhex(text).map(Public).ok_or(NotHex)
    }
}
