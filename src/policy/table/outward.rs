//! What of the record goes to others: feeds that callers may be allowed, witnesses that keep the seals' heads.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::model::caller::{Gid, Uid};

/// What the scribe answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Feed {
    /// Counters of all roles.
    Metrics,
    /// Decisions as they are written.
    Decisions,
}

/// Which decisions a feed has: all conditions together, none where all are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Only {
    /// Allowed ones (`true`) or denied ones.
    pub allowed: Option<bool>,
    /// Of these routes.
    pub routes: Vec<String>,
    /// Of these users.
    pub users: Vec<Uid>,
}

/// `[audit.witness]`: who else keeps the heads of the seals.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// The journal of systemd.
    pub journal: bool,
    /// A syslog.
    pub syslog: Option<Syslog>,
    /// A file's absolute path.
    pub file: Option<String>,
    /// A program and its arguments, fed a line for each head; empty: none.
    pub command: Vec<String>,
    /// Whom it runs as, where the daemon starts as root; `None`: a user who owns nothing.
    pub user: Option<RunsAs>,
    /// Seconds between two heads while there are new seals.
    pub every_s: u32,
}

/// A user with all its groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunsAs {
    /// Its name, in `USER` and `LOGNAME`.
    pub name: String,
    /// Its id.
    pub uid: Uid,
    /// Its group.
    pub gid: Gid,
    /// All that a login of it would have.
    pub groups: Vec<Gid>,
}

/// Where a syslog listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Syslog {
    /// RFC 5424 in datagrams to this address.
    Udp(SocketAddr),
    /// As `syslog(3)` writes it, to this socket.
    Unix(String),
}

impl Witness {
    /// Whether nobody is to keep anything.
    pub fn is_empty(&self) -> bool {
        !self.journal && self.syslog.is_none() && self.file.is_none() && self.command.is_empty()
    }
}
