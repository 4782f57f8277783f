//! Every limit there is, with its default; the manual page `policy` says how `[limits]` spells each.

use serde::{Deserialize, Serialize};

/// Connections that one thread of a gate holds at most, whatever `connections` allows: a request of each may be open,
/// and the record names all that are open wherever the scribe goes on in another segment.
pub const LANE_CONNECTIONS: u32 = 8_192;

/// What one caller, connection and request may use. Bytes are bytes, times are milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Head bytes, request line and final empty line included.
    pub head_bytes: u32,
    /// Header lines.
    pub headers: u16,
    /// Bytes of the target.
    pub target_bytes: u32,
    /// Body bytes, unless the route says otherwise.
    pub body_bytes: u64,
    /// From a request's first byte to the end of its head.
    pub head_ms: u32,
    /// Between two bytes of a body; `stream = true` lifts it.
    pub body_idle_ms: u32,
    /// Between two requests on a connection.
    pub idle_ms: u32,
    /// From head to settled exchange; `stream = true` lifts it.
    pub total_ms: u32,
    /// Without progress while the client has to read.
    pub write_ms: u32,
    /// For the backend to take the connection.
    pub connect_ms: u32,
    /// For the backend's response head; `stream = true` lifts it.
    pub response_ms: u32,
    /// Requests on one connection; after the last one it is closed.
    pub requests: u32,
    /// Open connections of one uid.
    pub connections: u32,
    /// Open connections of one uid that no route of the listener allows.
    pub stranger_connections: u32,
    /// Decisions a second and uid.
    pub decisions_per_s: u32,
    /// Decisions a second of a uid that no route allows.
    pub stranger_decisions_per_s: u32,
    /// Record bytes a second and uid.
    pub log_bytes_per_s: u64,
    /// Identical denials of one caller that get a record of their own, a second; the rest coalesce.
    pub denials_per_s: u32,
    /// Gates at one time; callers beyond share one.
    pub gates: u16,
    /// A gate without connections ends after this.
    pub gate_idle_ms: u32,
    /// On SIGTERM, running exchanges get this long.
    pub drain_ms: u32,
    /// For a record to be on the disk, where its route wants that.
    pub sync_ms: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head_bytes: 32 << 10,
            headers: 100,
            target_bytes: 8 << 10,
            body_bytes: 16 << 20,
            head_ms: 10_000,
            body_idle_ms: 30_000,
            idle_ms: 75_000,
            total_ms: 300_000,
            write_ms: 30_000,
            connect_ms: 5_000,
            response_ms: 60_000,
            requests: 10_000_000,
            connections: 1_024,
            stranger_connections: 16,
            decisions_per_s: 250_000,
            stranger_decisions_per_s: 200,
            log_bytes_per_s: 256 << 20,
            denials_per_s: 100,
            gates: 64,
            gate_idle_ms: 60_000,
            drain_ms: 10_000,
            sync_ms: 5_000,
        }
    }
}
