//! Who is calling, as the kernel said it at `connect()`.
//!
//! Only the frozen credentials ([`Credentials`]) authorise; everything else can only narrow. Whatever could
//! not be read is [`Attr::Unknown`], which never satisfies an allow and always satisfies a forbid.

use serde::{Deserialize, Serialize};
use std::fmt;

use super::truth::Truth;

/// Something about a caller that the kernel was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Attr<T> {
    /// The kernel's answer, checked for liveness after it was read.
    Known(T),
    /// It was not asked for, the lookup failed, or the answer can't be trusted.
    Unknown,
}

impl<T> Attr<T> {
    /// The value, where it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Attr::Known(value) => Some(value),
            Attr::Unknown => None,
        }
    }

    /// Whether a condition on it holds.
    pub fn is(&self, condition: impl FnOnce(&T) -> bool) -> Truth {
        match self {
            Attr::Known(value) => condition(value).into(),
            Attr::Unknown => Truth::Unknown,
        }
    }
}

impl<T> From<Option<T>> for Attr<T> {
    fn from(value: Option<T>) -> Attr<T> {
        value.map_or(Attr::Unknown, Attr::Known)
    }
}

macro_rules! kernel_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "u32", into = "u32")]
        pub struct $name(u32);

        impl $name {
            /// The id, unless it is `-1` (`u32::MAX`), which the kernel uses for "no id" (CVE-2018-19788 is
            /// what comes of signed ids).
            pub fn new(raw: u32) -> Option<$name> {
                (raw != u32::MAX).then_some($name(raw))
            }

            /// The plain number.
            pub fn raw(self) -> u32 {
                self.0
            }
        }

        impl TryFrom<u32> for $name {
            type Error = &'static str;

            fn try_from(raw: u32) -> Result<$name, Self::Error> {
                $name::new(raw).ok_or("-1 is not an id")
            }
        }

        impl From<$name> for u32 {
            fn from(id: $name) -> u32 {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

kernel_id! {
    /// A user id that is one: never `-1`.
    Uid
}
kernel_id! {
    /// A group id that is one: never `-1`.
    Gid
}

/// What the kernel froze at `connect()`: SO_PEERCRED and SO_PEERGROUPS (`unix(7)`, `socket(7)`). The only part
/// of a caller that can authorise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The effective user id; unknown where it was the overflow uid or `-1`.
    pub uid: Attr<Uid>,
    /// The effective group id.
    pub gid: Attr<Gid>,
    /// The supplementary groups, in the kernel's order; unknown where they could not be read whole.
    pub groups: Attr<Vec<Gid>>,
}

impl Credentials {
    /// Whether the caller was in `group`, by primary or supplementary group.
    pub fn in_group(&self, group: Gid) -> Truth {
        self.gid.is(|gid| *gid == group).or(self.groups.is(|groups| groups.contains(&group)))
    }
}

/// The numbers as SO_PEERCRED gave them, for telling connections apart and for checking senders; nothing here
/// authorises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// `ucred.uid` as it came, the overflow uid included.
    pub uid: u32,
    /// `ucred.gid` as it came.
    pub gid: u32,
    /// `ucred.pid`; 0 where the peer lives in a pid namespace that we can't see into.
    pub pid: i32,
    /// The connector's real uid, where its effective uid at accept still was `uid`: a setuid program sends
    /// with that one. `None`: only `uid` itself may send.
    pub real_uid: Option<u32>,
}

impl Peer {
    /// Whether a read whose SCM_CREDENTIALS carried `sender` came from whom the connection belongs to.
    pub fn may_send(&self, sender: u32) -> bool {
        sender == self.uid || self.real_uid == Some(sender)
    }
}

/// Whether the caller shares the warden's user and pid namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Namespace {
    /// Both are the warden's own.
    Host,
    /// At least one is another.
    Other,
}

impl Namespace {
    /// As policies and records spell it.
    pub fn name(self) -> &'static str {
        match self {
            Namespace::Host => "host",
            Namespace::Other => "other",
        }
    }
}

/// The program that a caller runs, by the open file and not by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exe {
    /// Where the kernel says it lies (`readlink /proc/PID/exe`), raw bytes.
    pub path: Vec<u8>,
    /// Its file system's device number.
    pub device: u64,
    /// Its inode there.
    pub inode: u64,
    /// The file that runs belongs to root, and nobody else can write to it.
    pub trusted: Attr<bool>,
}

/// One connection's caller: collected once, by the warden, and handed on with the descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// SO_PEERCRED as it came.
    pub peer: Peer,
    /// What authorises.
    pub credentials: Credentials,
    /// The user's name from the table that was resolved at load; for people to read, never compared.
    pub user: Option<String>,
    /// Host, or a container's.
    pub namespace: Attr<Namespace>,
    /// The process's start time in clock ticks since boot (`proc_pid_stat(5)` field 22).
    pub start_time: Attr<u64>,
    /// The program.
    pub exe: Attr<Exe>,
    /// The systemd unit, only where its cgroup lies in the system slice.
    pub unit: Attr<String>,
    /// The login uid (`/proc/PID/loginuid`); unknown where none was ever set.
    pub login_uid: Attr<Uid>,
    /// The security label (SO_PEERSEC), raw bytes.
    pub label: Attr<Vec<u8>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uid_minus_one_is_refused_and_above_2_31_is_kept() {
        assert_eq!(Uid::new(u32::MAX), None);
        assert_eq!(Uid::new(4_000_000_000).map(Uid::raw), Some(4_000_000_000));
    }

    #[test]
    fn in_group_unknown_groups_stay_unknown_unless_the_primary_matches() {
        let docker = Gid(998);
        let credentials =
            |gid, groups| Credentials { uid: Attr::Known(Uid(1)), gid: Attr::Known(Gid(gid)), groups };
        assert_eq!(credentials(1, Attr::Unknown).in_group(docker), Truth::Unknown);
        assert_eq!(credentials(998, Attr::Unknown).in_group(docker), Truth::Yes);
        assert_eq!(credentials(1, Attr::Known(vec![Gid(2)])).in_group(docker), Truth::No);
        assert_eq!(credentials(1, Attr::Known(vec![docker])).in_group(docker), Truth::Yes);
    }

    #[test]
    fn may_send_only_the_connectors_own_ids() {
        let peer = Peer { uid: 0, gid: 0, pid: 1, real_uid: Some(1000) };
        assert_eq!([0, 1000, 1001].map(|uid| peer.may_send(uid)), [true, true, false]);
        assert!(!Peer { real_uid: None, ..peer }.may_send(1000));
    }
}
