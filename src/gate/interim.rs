//! A backend's interim answers (1xx) on their way past hyper, whose server can write none but its own 100.
//!
//! A proxy has to forward them (RFC 9110 §15.2), and they may stand only in front of the answer that they belong to.
//! An exchange begins once all before it is in the socket, so nothing of another answer can be on its way. Of its own
//! there may be hyper's 100: one that the socket took only a part of is not broken into, and the interim answer is
//! dropped, which every client has to do without.

use std::cell::{Cell, RefCell};

use http::StatusCode;

use super::head::Answer;

/// So much waits for a caller that does not read; what comes beyond it is dropped.
const MOST: usize = 8 << 10;

/// What waits to be written, and whether something may be written now.
#[derive(Debug, Default)]
pub(super) struct Interim {
    waiting: RefCell<Vec<u8>>,
    /// Hyper has bytes in the socket that it has not said to be all.
    within: Cell<bool>,
}

impl Interim {
    /// Takes one to be written. 100 is hyper's to say: the gate asked for the body itself. 101 is no interim answer
    /// here, since what follows it is no HTTP.
    pub(super) fn offer(&self, answer: &Answer) {
        let mut waiting = self.waiting.borrow_mut();
        if !matches!(answer.status(), 102..200) || waiting.len() > MOST {
            return;
        }
        let status = StatusCode::from_u16(answer.status()).ok();
        let reason = status.and_then(|status| status.canonical_reason()).unwrap_or_default();
        waiting.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", answer.status()).as_bytes());
        for (name, value) in answer.forwardable() {
            for part in [name, ": ", value, "\r\n"] {
                waiting.extend_from_slice(part.as_bytes());
            }
        }
        waiting.extend_from_slice(b"\r\n");
    }

    /// Hands what waits to `write`, which says how much of it the socket took, as long as it takes any.
    ///
    /// # Errors
    ///
    /// What `write` answered.
    pub(super) fn write<E>(&self, mut write: impl FnMut(&[u8]) -> Result<usize, E>) -> Result<(), E> {
        let mut waiting = self.waiting.borrow_mut();
        if self.within.get() {
            waiting.clear();
        }
        while !waiting.is_empty() {
            let taken = write(&waiting)?;
            waiting.drain(..taken);
        }
        Ok(())
    }

    /// Hyper wrote something.
    pub(super) fn engine_wrote(&self) {
        self.within.set(true);
    }

    /// All that hyper wrote is in the socket.
    pub(super) fn engine_flushed(&self) {
        self.within.set(false);
    }
}
