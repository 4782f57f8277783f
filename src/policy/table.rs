//! The policy as it is meant: names resolved, every reference an index that holds. Nothing after this validates
//! again.

mod command;
mod outward;
mod reads;
mod time;
mod who;

use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Deref;

use super::pattern::{Pattern, VersionPrefix};
use super::sets::Order;
use super::times;
use crate::model::caller::{Gid, Uid};
use crate::model::ids::{BackendId, ListenerId};
use crate::model::keeping::{Durability, Keep, OnFailure};
use crate::model::limits::Limits;
use crate::model::time::Timestamp;

pub use command::{
    Bounds, Cage, Command, OnLeave, Origin, Parameter, Part, Rlimit, Sandbox, Template, Wanted,
};
pub use outward::{Feed, Only, RunsAs, Syslog, Witness};
pub use reads::{Field, Reads, Recorded, Wants};
pub(super) use time::DAYS;
pub use time::{Window, Zone};
pub use who::{NamespaceRule, Rate, Who, WhoLimits};

/// A policy that can be put in force. It is read through its [`Table`]; only the loader and
/// [`Policy::from_bytes`] make one, and both check every reference in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    table: Table,
}

impl Deref for Policy {
    type Target = Table;

    fn deref(&self) -> &Table {
        &self.table
    }
}

/// What a policy says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// SHA-256 of the file's bytes; where it includes others, of the names and bytes of all.
    pub hash: [u8; 32],
    /// The file, as it was named to the loader.
    pub file: String,
    /// The files that it includes, each with the line that is its first: lines count on from file to file.
    pub files: Vec<(String, u32)>,
    /// How the daemon runs.
    pub daemon: DaemonSettings,
    /// What one caller, connection and request may use.
    pub limits: Limits,
    /// Where and how much is recorded.
    pub audit: AuditSettings,
    /// What the daemon tells about itself.
    pub diagnostics: DiagnosticsSettings,
    /// The sockets; a [`ListenerId`] is a place in this list.
    pub listeners: Vec<Listener>,
    /// What stands behind routes; a [`BackendId`] is a place in this list.
    pub backends: Vec<Backend>,
    /// Who calls; a [`WhoId`] is a place in this list.
    pub whos: Vec<Who>,
    /// What may be asked.
    pub routes: Vec<Route>,
    /// What may not be asked whatever the routes say.
    pub forbids: Vec<Forbid>,
    /// Names of users, for records: sorted by id.
    pub names: Vec<(Uid, String)>,
    /// Methods outside the known set that the policy names.
    pub methods: Vec<String>,
    /// The time zones that windows are in.
    pub zones: Vec<Zone>,
}

/// `[daemon]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonSettings {
    /// Path of the control socket.
    pub control: String,
    /// Which callers share a gate.
    pub gates: Gates,
    /// Threads of a gate; `None`: one less than the cores.
    pub lanes: Option<u16>,
    /// Whom gates run as, where the daemon starts as root.
    pub gate_user: Option<(Uid, Gid)>,
    /// Whom the scribe runs as, where the daemon starts as root.
    pub scribe_user: Option<(Uid, Gid)>,
    /// Whom the apps of an embedding program run as, where the daemon starts as root.
    pub app_user: Option<(Uid, Gid)>,
    /// How much of a caller's identity is read for the record.
    pub identity: IdentityDepth,
}

/// Which callers share a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gates {
    /// Each uid has its own.
    PerUid,
    /// One serves all.
    Shared,
}

/// How much of a caller's identity is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdentityDepth {
    /// What authorises, and what a rule asks for.
    Needed,
    /// Program, unit, login uid and start time too.
    Full,
}

/// `[audit]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditSettings {
    /// Where the segments lie.
    pub directory: String,
    /// The group that may read them.
    pub readers: Option<Gid>,
    /// What of the closed segments is kept.
    pub keep: Keep,
    /// The file that names what was shipped; `None`: nobody ships.
    pub shipped: Option<String>,
    /// Bytes after which a writer gets a new segment.
    pub segment_bytes: u64,
    /// Who else keeps the heads of the seals.
    pub witness: Witness,
    /// Milliseconds after which it gets one all the same.
    pub segment_ms: u64,
    /// Whether closed segments are compressed.
    pub compress: bool,
}

/// `[diagnostics]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiagnosticsSettings {
    /// Where rolling files lie; `None`: lines go to standard error.
    pub directory: Option<String>,
    /// JSON instead of readable lines.
    pub json: bool,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
}

/// `[listen.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// The socket's path.
    pub path: String,
    /// Who owns the socket; `None`: the daemon's user.
    pub owner_uid: Option<Uid>,
    /// The socket's group; `None`: the daemon's group.
    pub owner_gid: Option<Gid>,
    /// The socket's mode; who can write can connect.
    pub mode: u32,
    /// Whether `Origin` and `Referer`, which only browsers send, are let through.
    pub browsers: bool,
}

/// `[backend.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: BackendKind,
    /// The segment with and without which each path counts.
    pub version_prefix: Option<VersionPrefix>,
}

/// What stands behind a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BackendKind {
    /// Another local API.
    Proxy {
        /// Where it listens.
        address: Address,
        /// Who must be listening there, by its credentials.
        owner: Option<Uid>,
        /// Whether it is told who calls, by `X-Peergate-Uid` and its like.
        identity_headers: bool,
    },
    /// The daemon's own API.
    Builtin,
    /// An app of the program that embeds the library.
    App {
        /// Its name there.
        app: String,
        /// Where its directories lie: names and absolute paths.
        directories: Vec<(String, String)>,
    },
    /// What only the scribe can tell.
    Scribe {
        /// What that is.
        feed: Feed,
        /// How much of it.
        only: Only,
    },
    /// A program.
    Command(Box<Command>),
}

/// Where a proxied API listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Address {
    /// A socket's absolute path.
    Unix(String),
    /// A loopback address and port.
    Tcp(SocketAddr),
}

/// Different time zones of one policy.
pub(super) const MOST_ZONES: usize = 64;

/// A place in [`Table::whos`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WhoId(pub u16);

/// One name in a route's `allow` or a forbid's `who`, and the line that it stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Who.
    pub who: WhoId,
    /// From 1.
    pub line: u32,
}

/// `[[route]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Its id.
    pub id: String,
    /// The line of its id, from 1.
    pub line: u32,
    /// The listeners that it holds on.
    pub on: Vec<ListenerId>,
    /// What it matches.
    pub matches: Vec<Pattern>,
    /// The query names it takes; `None`: any query.
    pub query: Option<Vec<String>>,
    /// What it reads of query, headers and body, beyond names of the query.
    pub reads: Reads,
    /// What stands behind it.
    pub to: BackendId,
    /// Who may.
    pub allow: Vec<Named>,
    /// The largest body, where it is not the limit of all.
    pub body_max: Option<u64>,
    /// Where a decision's record has to be before its effect.
    pub durability: Durability,
    /// What happens where it can't be recorded.
    pub on_failure: OnFailure,
    /// What a caller is told who may not.
    pub help: Option<String>,
    /// Whether idle and total time are lifted.
    pub stream: bool,
    /// Protocols that it may upgrade to, in lower case.
    pub upgrade: Vec<String>,
    /// Captures that may hold `%2F`.
    pub encoded_slash: Vec<String>,
    /// Captures that may hold `;`.
    pub path_parameter: Vec<String>,
    /// It only records what it would have done.
    pub shadow: bool,
    /// When it ends for good.
    pub until: Option<Timestamp>,
    /// The hours at which it holds, each by itself; empty: at any.
    pub when: Vec<Window>,
    /// Why it is there, for who reads the policy.
    pub reason: Option<String>,
}

/// `[[forbid]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forbid {
    /// Its id.
    pub id: String,
    /// The line of its id, from 1.
    pub line: u32,
    /// The listeners that it holds on; `None`: all.
    pub on: Option<Vec<ListenerId>>,
    /// The backends that it holds for; `None`: all.
    pub to: Option<Vec<BackendId>>,
    /// What it matches.
    pub matches: Vec<Pattern>,
    /// Whom it binds; `None`: everyone.
    pub who: Option<Vec<Named>>,
    /// The hours at which it holds, each by itself; empty: at any.
    pub when: Vec<Window>,
    /// It only records what it would have done.
    pub shadow: bool,
}

/// Bytes or values that are no policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken(String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this is no policy: {}", self.0)
    }
}

impl std::error::Error for Broken {}

impl Policy {
    /// The policy that `table` says, once every reference in it is known to hold.
    pub(crate) fn new(table: Table) -> Result<Policy, Broken> {
        table.check().map_err(|what| Broken(what.to_owned()))?;
        Ok(Policy { table })
    }

    /// For the sealed memory that carries a policy from the loader to the other roles.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Broken> {
        postcard::to_stdvec(&self.table).map_err(|error| Broken(error.to_string()))
    }

    /// Reads what [`Policy::to_bytes`] wrote, to the last byte, and checks every reference.
    pub fn from_bytes(bytes: &[u8]) -> Result<Policy, Broken> {
        let (table, rest) = postcard::take_from_bytes(bytes).map_err(|error| Broken(error.to_string()))?;
        if !rest.is_empty() {
            return Err(Broken("there are bytes behind it".to_owned()));
        }
        Policy::new(table)
    }
}

impl Table {
    /// The first eight hex digits of the hash, as records carry it.
    pub fn short_hash(&self) -> String {
        self.hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Where a line stands, as records have it: `policy.toml:42`.
    pub fn place(&self, line: u32) -> String {
        let behind = self.files.partition_point(|(_, first)| *first <= line);
        match behind.checked_sub(1).and_then(|place| self.files.get(place)) {
            Some((name, first)) => format!("{name}:{}", line.saturating_sub(*first).saturating_add(1)),
            None => format!("{}:{line}", self.file.rsplit('/').next().unwrap_or(&self.file)),
        }
    }

    /// The listener of that place.
    pub fn listener(&self, id: ListenerId) -> Option<&Listener> {
        self.listeners.get(usize::from(id.0))
    }

    /// The backend of that place.
    pub fn backend(&self, id: BackendId) -> Option<&Backend> {
        self.backends.get(usize::from(id.0))
    }

    /// Whether a rule names this who.
    #[cfg(feature = "cli")]
    pub(crate) fn names_who(&self, who: WhoId) -> bool {
        let allowed = self.routes.iter().flat_map(|route| &route.allow);
        let forbidden = self.forbids.iter().flat_map(|forbid| forbid.who.iter().flatten());
        allowed.chain(forbidden).any(|named| named.who == who)
            || self.whos.iter().any(|other| other.others().any(|part| part == who))
    }

    /// The name of a user, for records.
    pub fn user_name(&self, uid: Uid) -> Option<&str> {
        let at = self.names.binary_search_by_key(&uid, |(uid, _)| *uid).ok()?;
        self.names.get(at).map(|(_, name)| name.as_str())
    }

    fn check(&self) -> Result<(), &'static str> {
        let most = usize::from(u16::MAX);
        if self.listeners.len() > most || self.backends.len() > most || self.whos.len() > most {
            return Err("a list is longer than its ids can count");
        }
        let unique = |mut names: &mut dyn Iterator<Item = &str>| {
            let mut seen = HashSet::new();
            Iterator::all(&mut names, |name| !name.is_empty() && seen.insert(name.to_owned()))
        };
        if !unique(&mut self.listeners.iter().map(|listener| listener.name.as_str()))
            || !unique(&mut self.backends.iter().map(|backend| backend.name.as_str()))
            || !unique(&mut self.whos.iter().map(|who| who.name.as_str()))
            || !unique(&mut self.routes.iter().map(|route| route.id.as_str()))
            || !unique(&mut self.forbids.iter().map(|forbid| forbid.id.as_str()))
        {
            return Err("a name stands there twice");
        }
        let listeners_hold =
            |on: &[ListenerId]| !on.is_empty() && on.iter().all(|id| self.listener(*id).is_some());
        let whos_hold = |named: &[Named]| {
            !named.is_empty() && named.iter().all(|named| usize::from(named.who.0) < self.whos.len())
        };
        if self
            .listeners
            .iter()
            .any(|listener| !listener.path.starts_with('/') || listener.mode & !0o666 != 0)
        {
            return Err("a listener has no place or an odd mode");
        }
        for backend in &self.backends {
            match &backend.kind {
                BackendKind::Proxy { address: Address::Unix(path), .. } if !path.starts_with('/') => {
                    return Err("a backend's path is not absolute");
                }
                BackendKind::Proxy { address: Address::Tcp(address), .. } if !address.ip().is_loopback() => {
                    return Err("a backend is not on the loopback");
                }
                BackendKind::App { directories, .. }
                    if directories.iter().any(|(_, path)| !path.starts_with('/')) =>
                {
                    return Err("an app's directory is not absolute");
                }
                _ => {}
            }
        }
        if !self.whos.iter().all(Who::authorises) {
            return Err("a who names nobody");
        }
        let there = |other: WhoId| usize::from(other.0) < self.whos.len();
        if !self.whos.iter().all(|who| who.is_sound() && who.others().all(there)) {
            return Err("a who asks for nothing, or refers to what is not there");
        }
        if Order::of(&self.whos).is_err() {
            return Err("a who is made of itself, or of too many others");
        }
        for route in &self.routes {
            if route.matches.is_empty() || !listeners_hold(&route.on) || !whos_hold(&route.allow) {
                return Err("a route matches nothing, or refers to what is not there");
            }
            if self.backend(route.to).is_none() {
                return Err("a route leads to no backend");
            }
        }
        for forbid in &self.forbids {
            let on = forbid.on.as_ref().is_none_or(|on| listeners_hold(on));
            let to = forbid
                .to
                .as_ref()
                .is_none_or(|to| !to.is_empty() && to.iter().all(|id| self.backend(*id).is_some()));
            let who = forbid.who.as_ref().is_none_or(|who| whos_hold(who));
            if forbid.matches.is_empty() || !on || !to || !who {
                return Err("a forbid matches nothing, or refers to what is not there");
            }
        }
        let windows = self.routes.iter().flat_map(|route| &route.when);
        let mut windows = windows.chain(self.forbids.iter().flat_map(|forbid| &forbid.when));
        if !windows.all(|window| window.is_sound(self.zones.len())) || self.zones.len() > MOST_ZONES {
            return Err("a rule holds at hours that there are not");
        }
        if !self.zones.iter().all(|zone| times::read(zone).is_some()) {
            return Err("a time zone can't be read");
        }
        if !self.files.is_sorted_by(|(_, a), (_, b)| a < b) {
            return Err("the files are not in order");
        }
        if !self.names.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Err("the names are not in order");
        }
        Ok(())
    }
}
