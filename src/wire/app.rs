//! What the warden and an app say to each other, and what a gate says of each request on the connection between them.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::model::app::Sandbox;
use crate::model::caller::Caller;
use crate::model::keeping::Durability;
use crate::model::posture::Confinement;
use crate::model::probe::{Found, Trial};
use crate::model::refusal::Refusal;

/// Warden to app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToApp {
    /// First message: what it may reach, by which it confines itself.
    Start {
        /// What it may reach.
        sandbox: Sandbox,
        /// Header lines of a request that a gate may send.
        headers: u16,
        /// The level of its diagnostics: `error`, `warn`, `info`, `debug`, `trace`.
        level: String,
        /// Whether they are JSON.
        json: bool,
        /// It is only there to try something: nothing of the embedder's runs in it.
        tries: bool,
    },
    /// A gate's connection in the name of one caller. Descriptor: it, non-blocking.
    Connection {
        /// The caller's connection, as records number it.
        number: u64,
        /// The listener that it came in on.
        on: String,
        /// Who is there.
        caller: Box<Caller>,
    },
    /// Answer to [`FromApp::Open`]. Descriptor where it is `Ok`: the connected backend, non-blocking.
    Backend {
        /// The question's ticket.
        ticket: u32,
        /// Refused, or failed, and why.
        result: Result<(), Refusal>,
    },
    /// Finish what runs, then end.
    Drain,
    /// Try this; only to an app that was started for it and has no caller. Descriptor: what might be a client's
    /// connection.
    Try(Trial),
}

/// App to warden.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromApp {
    /// It is confined, and its router is made.
    Ready {
        /// What it found when it read its own confinement back.
        confined: Box<Confinement>,
    },
    /// It can't begin, and why, in words for people.
    Failed {
        /// Why.
        why: String,
    },
    /// A handler asks for a backend, for a request that it answers.
    Open {
        /// Chosen by the app; comes back with the answer.
        ticket: u32,
        /// The live connection for which it asks.
        connection: u64,
        /// The request's number on it.
        request: u32,
        /// The backend's name in the policy.
        backend: String,
    },
    /// A handler panicked; its caller was answered.
    Panicked {
        /// The connection's number.
        connection: u64,
    },
    /// Answer to [`ToApp::Try`], where the app lives.
    Tried(Found),
}

/// The header in which a gate tells an app of the grant. Callers' own of this name are gone by then, and nobody else
/// has the other end of the connection.
pub const GRANT_HEADER: &str = "x-peergate-grant";

/// Which rule allowed a request, on which terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// The request, as the record names it: `7k3qzd-41-1`.
    pub id: String,
    /// The route's id.
    pub route: String,
    /// The rule that allowed: `who.ci`.
    pub by: String,
    /// Where that rule stands: `policy.toml:42`.
    pub at: String,
    /// The policy's hash, eight hex digits.
    pub policy: String,
    /// Idle and total time are lifted.
    pub stream: bool,
    /// The largest body, where it is not the limit of all.
    pub body_max: Option<u64>,
    /// Where its record was before it was let through.
    pub durability: Durability,
}

impl Granted {
    /// As a header's value: hex digits of its encoding, so that no text of the policy's can be anything but text.
    #[must_use]
    pub fn to_header(&self) -> String {
        let bytes = postcard::to_stdvec(self).unwrap_or_default();
        bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // A String takes all that is written to it.
            write!(text, "{byte:02x}").ok();
            text
        })
    }

    /// Reads what [`Granted::to_header`] wrote, to the last digit.
    #[must_use]
    pub fn from_header(text: &[u8]) -> Option<Granted> {
        let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (pairs, []) = text.as_chunks::<2>() else { return None };
        let bytes: Vec<u8> =
            pairs.iter().map(|[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect::<Option<_>>()?;
        match postcard::take_from_bytes(&bytes) {
            Ok((granted, [])) => Some(granted),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grant_as_a_header_is_read_again_and_nothing_else_is() {
        let granted = Granted {
            id: "7k3qzd-41-1".to_owned(),
            route: "pages".to_owned(),
            by: "who.büro".to_owned(),
            at: "policy \"x\".toml:42".to_owned(),
            policy: "9f2c1e77".to_owned(),
            stream: true,
            body_max: Some(7),
            durability: Durability::Sync,
        };
        let header = granted.to_header();
        assert!(header.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(Granted::from_header(header.as_bytes()), Some(granted));
        for wrong in ["", "0", "zz", &header[2..], &format!("{header}00"), &header[..header.len() - 1]] {
            assert_eq!(Granted::from_header(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
