//! Secrets in a target's query, replaced by keyed hashes before the target is recorded.
//!
//! A hash is `~` and the first 16 hex digits of HMAC-SHA256 (RFC 2104) over the value as the caller meant it,
//! percent-decoded. Who knows the value and the key finds it again (`peergate audit hash VALUE`); who has only
//! the record can't try values.

use std::borrow::Cow;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of a hash as it is written.
const HASH: usize = 17;

/// Parts of a name that say secret, wherever they stand in it.
const PARTS: [&[u8]; 9] = [
    b"token",
    b"key",
    b"passw",
    b"passphrase",
    b"secret",
    b"signature",
    b"credential",
    b"session",
    b"bearer",
];

/// Names that say secret only when they are the whole name: inside others they are too common (`signal`).
const WHOLE: [&[u8]; 8] = [b"code", b"sig", b"pass", b"pwd", b"otp", b"pin", b"jwt", b"sid"];

/// Hashes secret values with the daemon's record key.
#[derive(Clone)]
pub struct Secrets {
    keyed: Hmac<Sha256>,
}

impl std::fmt::Debug for Secrets {
    /// Says nothing of the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets {
    /// With this key: the content of the audit directory's `hash.key`.
    pub fn new(key: &[u8; 32]) -> Secrets {
        // HMAC fills a key up to the hash's block with zeros itself (RFC 2104 §2); done here, nothing can fail.
        let mut block = [0; 64];
        for (place, byte) in block.iter_mut().zip(key) {
            *place = *byte;
        }
        Secrets { keyed: Hmac::new(&block.into()) }
    }

    /// What stands in a record for `value`: `~` and 16 hex digits.
    pub fn hash(&self, value: &[u8]) -> String {
        let digest = self.keyed.clone().chain_update(value).finalize().into_bytes();
        let mut text = String::with_capacity(HASH);
        text.push('~');
        for byte in digest.iter().take((HASH - 1) / 2) {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from_digit(nibble.into(), 16).unwrap_or('0'));
            }
        }
        text
    }

    /// `target` as it is recorded: each value whose name says secret, or is one of `named` (a route's own
    /// list, without regard to case), replaced by its hash. Takes a refused head's raw bytes as well.
    pub fn cleaned<'t>(&self, target: &'t [u8], named: &[String]) -> Cow<'t, [u8]> {
        let Some(query) = target.iter().position(|byte| matches!(byte, b'?' | b'#')) else {
            return Cow::Borrowed(target);
        };
        let mut cleaned: Vec<u8> = Vec::new();
        let mut copied = 0;
        let mut start = query + 1;
        while start < target.len() {
            let rest = target.get(start..).unwrap_or_default();
            // For some readers `;`, `?` and `#` end a pair too: a name may begin behind any of them.
            let mut length = find(rest, b"&;#?");
            let pair = rest.get(..length).unwrap_or_default();
            let equals = find(pair, b"=");
            if equals < length && says_secret(pair.get(..equals).unwrap_or_default(), named) {
                // For others they do not: a secret lasts until `&`, so that no part of it stays readable.
                length = find(rest, b"&");
                let value = rest.get(equals + 1..length).unwrap_or_default();
                if !value.is_empty() {
                    cleaned.extend_from_slice(target.get(copied..=start + equals).unwrap_or_default());
                    cleaned.extend_from_slice(self.hash(&percent_decoded(value)).as_bytes());
                    copied = start + length;
                }
            }
            start += length + 1;
        }
        if copied == 0 {
            return Cow::Borrowed(target);
        }
        cleaned.extend_from_slice(target.get(copied..).unwrap_or_default());
        Cow::Owned(cleaned)
    }
}

/// Where the first of these bytes stands, or the end.
fn find(text: &[u8], marks: &[u8]) -> usize {
    text.iter().position(|byte| marks.contains(byte)).unwrap_or(text.len())
}

/// Whether a query name says that its value is a secret.
fn says_secret(name: &[u8], named: &[String]) -> bool {
    let name = percent_decoded(name);
    let holds = |part: &[u8]| name.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part));
    PARTS.iter().any(|part| holds(part))
        || WHOLE.iter().any(|whole| name.eq_ignore_ascii_case(whole))
        || (holds(b"auth") && (!holds(b"author") || holds(b"authori")))
        || named.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes()))
}

/// With `%XX` decoded; what is no such triplet, and `+`, stays.
fn percent_decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'%') {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        match (first, behind) {
            (b'%', [high, low, after @ ..]) => match (digit(high), digit(low)) {
                (Some(high), Some(low)) => {
                    decoded.push((high << 4 | low) as u8);
                    rest = after;
                    continue;
                }
                _ => decoded.push(b'%'),
            },
            (first, _) => decoded.push(*first),
        }
        rest = behind;
    }
    Cow::Owned(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        Secrets::new(b"0123456789abcdef0123456789abcdef")
    }

    fn cleaned(target: &str) -> String {
        String::from_utf8(secrets().cleaned(target.as_bytes(), &["Peer".into()]).into_owned()).unwrap()
    }

    #[test]
    fn hash_is_hmac_sha256() {
        // RFC 4231, test case 2: key "Jefe", which zeros fill up to any longer key.
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        assert_eq!(Secrets::new(&key).hash(b"what do ya want for nothing?"), "~5bdcc146bf60754e");
    }

    #[test]
    fn cleaned_names_that_say_secret_are_hashed() {
        let hash = secrets().hash(b"hunter2");
        for name in [
            "token",
            "Access_Token",
            "apiKey",
            "password",
            "PASSWD",
            "client_secret",
            "X-Amz-Signature",
            "sig",
            "auth",
            "authorization",
            "credentials",
            "sessionId",
            "code",
            "%74oken",
            "t%6Fken",
            "peer",
        ] {
            assert_eq!(cleaned(&format!("/x?a=1&{name}=hunter2&b=2")), format!("/x?a=1&{name}={hash}&b=2"));
            assert_eq!(cleaned(&format!("/x?{name}=hunter2")), format!("/x?{name}={hash}"));
        }
    }

    #[test]
    fn cleaned_other_names_stay_and_are_not_copied() {
        for target in
            ["/token=1", "/x?", "/x?token", "/x?token=", "/x?signal=9&author=a&encode=1&all", "", "?", "*"]
        {
            assert!(matches!(secrets().cleaned(target.as_bytes(), &[]), Cow::Borrowed(_)), "{target}");
        }
    }

    #[test]
    fn cleaned_secrets_hide_behind_no_delimiter() {
        let hash = secrets().hash(b"v");
        for mark in ["?", "&", ";", "#"] {
            assert_eq!(cleaned(&format!("/x?a=1{mark}token=v")), format!("/x?a=1{mark}token={hash}"));
        }
        assert_eq!(cleaned("/x#token=v"), format!("/x#token={hash}"));
        assert_eq!(cleaned("/?token=a=b&key=v"), format!("/?token={}&key={hash}", secrets().hash(b"a=b")));
    }

    #[test]
    fn cleaned_secret_holding_a_delimiter_is_hidden_whole() {
        for secret in ["abc;def", "abc?def", "abc#def", ";abc"] {
            let hash = secrets().hash(secret.as_bytes());
            assert_eq!(cleaned(&format!("/x?token={secret}&a=1")), format!("/x?token={hash}&a=1"));
        }
    }

    #[test]
    fn cleaned_value_is_hashed_as_it_was_meant() {
        assert_eq!(cleaned("/?token=a%2Fb%3d"), format!("/?token={}", secrets().hash(b"a/b=")));
        assert_eq!(cleaned("/?token=%zz%"), format!("/?token={}", secrets().hash(b"%zz%")));
    }
}
