//! `[who.NAME]`: one caller, or many.

use serde::{Deserialize, Serialize};

use super::WhoId;
use crate::model::caller::{Gid, Uid};
use crate::model::depth::Depth;

/// `[who.NAME]`: all conditions together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// Its name.
    pub name: String,
    /// The line of its name, from 1.
    pub line: u32,
    /// One of these users; `None`: any, and then there is a condition on groups, or others of whom one holds.
    pub uids: Option<Vec<Uid>>,
    /// In one of these groups, for each list.
    pub groups: Vec<Vec<Gid>>,
    /// Where the caller lives; `None`: it was not written, which is `host` for an allow and any for a forbid.
    pub namespace: Option<NamespaceRule>,
    /// It runs one of these programs, by absolute path.
    pub exe: Option<Vec<String>>,
    /// The program that it runs is root's, and nobody else can write to it.
    pub exe_trusted: bool,
    /// It is of one of these systemd units, in the system slice.
    pub units: Option<Vec<String>>,
    /// Its security label is one of these.
    pub labels: Option<Vec<String>>,
    /// One of these users logged in.
    pub login_uids: Option<Vec<Uid>>,
    /// One of these others holds.
    pub any_of: Option<Vec<WhoId>>,
    /// None of these others holds.
    pub except: Vec<WhoId>,
    /// What each of these callers may use.
    pub limits: WhoLimits,
}

/// Which namespaces a who asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NamespaceRule {
    /// The warden's own.
    Host,
    /// Another.
    Other,
    /// No matter which.
    Any,
}

/// `[who.NAME] limits`, for each uid that the who holds for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhoLimits {
    /// Requests.
    pub rate: Option<Rate>,
    /// Requests at once after a pause; `None`: what `rate` counts.
    pub burst: Option<u32>,
    /// Requests at a time.
    pub concurrent: Option<u32>,
    /// Open connections.
    pub connections: Option<u32>,
    /// Bytes of one request's body.
    pub body: Option<u64>,
    /// Bytes of bodies, of requests and answers together.
    pub bytes: Option<Rate>,
}

/// So many in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// How many; never 0.
    pub amount: u64,
    /// In milliseconds; never 0.
    pub per_ms: u64,
}

impl WhoLimits {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == WhoLimits::default()
    }
}

impl Who {
    /// The others that it is made of.
    pub(in crate::policy) fn others(&self) -> impl Iterator<Item = WhoId> {
        self.any_of.iter().flatten().chain(&self.except).copied()
    }

    /// What of a caller has to be read to tell whether it holds, the others left out.
    pub(in crate::policy) fn asks(&self) -> Depth {
        Depth {
            start: false,
            program: self.exe.is_some() || self.exe_trusted,
            unit: self.units.is_some(),
            login_uid: self.login_uids.is_some(),
            label: self.labels.is_some(),
        }
    }

    /// Whether it names somebody by what the kernel froze, itself or by others that do.
    pub(super) fn authorises(&self) -> bool {
        let lists = self.uids.iter().map(Vec::is_empty).chain(self.groups.iter().map(Vec::is_empty));
        let others = self.any_of.iter().map(Vec::is_empty);
        let mut all = lists.chain(others).peekable();
        all.peek().is_some() && all.all(|empty| !empty)
    }

    /// Whether no list of it is empty, and no rate stands still.
    pub(super) fn is_sound(&self) -> bool {
        let lists = [&self.exe, &self.units, &self.labels];
        let moves = |rate: &Option<Rate>| rate.is_none_or(|rate| rate.amount > 0 && rate.per_ms > 0);
        lists.into_iter().flatten().all(|list| !list.is_empty())
            && self.login_uids.as_ref().is_none_or(|list| !list.is_empty())
            && moves(&self.limits.rate)
            && moves(&self.limits.bytes)
    }
}
