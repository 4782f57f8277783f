//! A caller as one describes it on a command line.

use clap::{Args, ValueEnum};

use super::source::Reading;
use crate::cli::Failure;
use crate::model::caller::{Attr, Caller, Credentials, Gid, Namespace, Peer, Uid};
use crate::model::ids::ListenerId;
use crate::policy::{Group, Names, Policy, User};

/// Who calls. Without any of it: a user that the policy does not name.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Caller")]
pub(super) struct Described {
    /// The user, with all groups of its login; `@self` is the daemon's
    #[arg(long, value_name = "NAME")]
    pub(super) user: Option<String>,
    /// The user, by number
    #[arg(long, value_name = "UID")]
    uid: Option<u32>,
    /// A further group
    #[arg(long, value_name = "NAME")]
    group: Vec<String>,
    /// A further group, by number; with --uid the first one is the primary one
    #[arg(long, value_name = "GID")]
    gid: Vec<u32>,
    /// Where the caller lives
    #[arg(long, value_enum, default_value_t)]
    namespace: Where,
}

/// Where a caller lives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Where {
    /// With the daemon
    #[default]
    Host,
    /// In another user or pid namespace, as in most containers
    Other,
    /// That could not be read
    Unknown,
}

/// Ids that no policy names and no login has.
const NOBODY: u32 = 4_294_000_000;

impl Described {
    /// Whether anything was said.
    pub(super) fn is_empty(&self) -> bool {
        let Described { user, uid, group, gid, namespace } = self;
        user.is_none() && uid.is_none() && group.is_empty() && gid.is_empty() && *namespace == Where::Host
    }

    /// The caller that is meant. A name that does not exist is a failure.
    pub(super) fn caller(&self, reading: &Reading) -> Result<Caller, Failure> {
        let unanswered = |error: crate::policy::Unanswered| Failure::Because(error.to_string());
        let no_id = || Failure::Because("4294967295 is no id".to_owned());
        let mut groups: Vec<Gid> = Vec::new();
        let user = match &self.user {
            None => None,
            Some(name) if name == "@self" => {
                let own = &reading.own;
                Some(User { name: name.clone(), uid: own.uid, gid: own.gid })
            }
            Some(name) => {
                let user = reading.names.user(name).map_err(unanswered)?;
                let user = user.ok_or_else(|| Failure::Because(format!("there is no user {name}")))?;
                groups.extend(reading.names.groups_of(&user).map_err(unanswered)?);
                Some(user)
            }
        };
        for name in &self.group {
            let group = reading.names.group(name).map_err(unanswered)?;
            let Group { gid, .. } =
                group.ok_or_else(|| Failure::Because(format!("there is no group {name}")))?;
            groups.push(gid);
        }
        for gid in &self.gid {
            groups.push(Gid::new(*gid).ok_or_else(no_id)?);
        }
        let uid = match (self.uid, &user) {
            (Some(uid), _) => Uid::new(uid).ok_or_else(no_id)?,
            (None, Some(user)) => user.uid,
            (None, None) => Uid::new(NOBODY).ok_or_else(no_id)?,
        };
        let first = if user.is_none() && self.uid.is_some() { groups.first().copied() } else { None };
        let gid = user.as_ref().map(|user| user.gid).or(first).or(Gid::new(NOBODY)).ok_or_else(no_id)?;
        Ok(Caller {
            peer: Peer { uid: uid.raw(), gid: gid.raw(), pid: 1, real_uid: None },
            credentials: Credentials {
                uid: Attr::Known(uid),
                gid: Attr::Known(gid),
                groups: Attr::Known(groups),
            },
            user: user.map(|user| user.name),
            namespace: match self.namespace {
                Where::Host => Attr::Known(Namespace::Host),
                Where::Other => Attr::Known(Namespace::Other),
                Where::Unknown => Attr::Unknown,
            },
            start_time: Attr::Unknown,
            exe: Attr::Unknown,
            unit: Attr::Unknown,
            login_uid: Attr::Unknown,
            label: Attr::Unknown,
        })
    }
}

/// The listener of that name, or the only one.
pub(super) fn listener(policy: &Policy, name: Option<&str>) -> Result<ListenerId, Failure> {
    let names = || {
        let names: Vec<&str> = policy.listeners.iter().map(|listener| listener.name.as_str()).collect();
        names.join(", ")
    };
    let place = match name {
        Some(name) => {
            policy.listeners.iter().position(|listener| listener.name == name).ok_or_else(|| {
                Failure::Because(format!("there is no listener {name}; there are: {}", names()))
            })?
        }
        None if policy.listeners.len() == 1 => 0,
        None => {
            return Err(Failure::Because(format!("which listener? Name one by --on: {}", names())));
        }
    };
    Ok(ListenerId(u16::try_from(place).unwrap_or(u16::MAX)))
}
