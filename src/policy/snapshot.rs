//! Users and groups in a file, for judging a policy where they are not known: `peergate policy names > FILE`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::names::{Group, Names, Unanswered, User};
use crate::model::caller::{Gid, Uid};

/// The version of the format that is written here.
pub const VERSION: u32 = 1;

/// More than this is no snapshot, in bytes.
pub const LONGEST: u64 = 64 << 20;

/// Users and groups as they were on some machine. A name that is not in it does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// The version of the format: 1.
    pub version: u32,
    /// Whose daemon would take the policy: whom `@self` names.
    pub daemon: Daemon,
    /// Users, in the order of their names.
    pub users: Vec<Person>,
    /// Groups, in the order of their names.
    pub groups: Vec<Named>,
}

/// The daemon's user and group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Daemon {
    /// Its user.
    pub uid: Uid,
    /// Its group.
    pub gid: Gid,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// Its name.
    pub name: String,
    /// Its id.
    pub uid: Uid,
    /// Its primary group.
    pub gid: Gid,
    /// All groups of its login.
    pub groups: Vec<Gid>,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its id.
    pub gid: Gid,
    /// Users for whom it is a supplementary group.
    pub members: Vec<String>,
}

impl Snapshot {
    /// Reads what [`Snapshot::to_json`] wrote.
    ///
    /// # Errors
    /// Why it is none, in one sentence.
    pub fn parse(text: &str) -> Result<Snapshot, String> {
        let snapshot: Snapshot = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match snapshot.version {
            VERSION => Ok(snapshot),
            other => Err(format!("its version is {other}, and this program knows {VERSION}")),
        }
    }

    /// As it is written into a file: indented, so that a change of it can be reviewed.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// What `names` knows of these users and groups, the members of the groups included.
    ///
    /// # Errors
    /// The name service does not answer.
    pub fn take(
        names: &impl Names,
        daemon: Daemon,
        users: impl IntoIterator<Item = String>,
        groups: impl IntoIterator<Item = String>,
    ) -> Result<Snapshot, Unanswered> {
        let mut asked: BTreeSet<String> = users.into_iter().collect();
        let mut found_groups = BTreeMap::new();
        for name in groups {
            if let Some(Group { gid, mut members }) = names.group(&name)? {
                members.sort_unstable();
                asked.extend(members.iter().cloned());
                found_groups.insert(name.clone(), Named { name, gid, members });
            }
        }
        let mut found_users = Vec::new();
        for name in asked {
            let Some(user) = names.user(&name)? else { continue };
            let mut groups = names.groups_of(&user)?;
            groups.sort_unstable();
            groups.dedup();
            found_users.push(Person { name: user.name, uid: user.uid, gid: user.gid, groups });
        }
        let groups = found_groups.into_values().collect();
        Ok(Snapshot { version: VERSION, daemon, users: found_users, groups })
    }
}

impl Names for Snapshot {
    fn user(&self, name: &str) -> Result<Option<User>, Unanswered> {
        let found = self.users.iter().find(|user| user.name == name);
        Ok(found.map(|user| User { name: user.name.clone(), uid: user.uid, gid: user.gid }))
    }

    fn group(&self, name: &str) -> Result<Option<Group>, Unanswered> {
        let found = self.groups.iter().find(|group| group.name == name);
        Ok(found.map(|group| Group { gid: group.gid, members: group.members.clone() }))
    }

    fn groups_of(&self, user: &User) -> Result<Vec<Gid>, Unanswered> {
        let found = self.users.iter().find(|known| known.name == user.name);
        Ok(found.map_or_else(|| vec![user.gid], |known| known.groups.clone()))
    }

    fn users(&self) -> Vec<(Uid, String)> {
        self.users.iter().map(|user| (user.uid, user.name.clone())).collect()
    }

    fn group_names(&self) -> Vec<String> {
        self.groups.iter().map(|group| group.name.clone()).collect()
    }
}

/// Asks another, and remembers which names were asked for: what a policy names.
#[derive(Debug)]
pub struct Asked<N> {
    names: N,
    users: RefCell<BTreeSet<String>>,
    groups: RefCell<BTreeSet<String>>,
}

impl<N: Names> Asked<N> {
    /// Nothing was asked yet.
    pub fn of(names: N) -> Asked<N> {
        Asked { names, users: RefCell::default(), groups: RefCell::default() }
    }

    /// Names of users that were asked for.
    pub fn asked_users(&self) -> Vec<String> {
        self.users.borrow().iter().cloned().collect()
    }

    /// Names of groups that were asked for.
    pub fn asked_groups(&self) -> Vec<String> {
        self.groups.borrow().iter().cloned().collect()
    }
}

impl<N: Names> Names for Asked<N> {
    fn user(&self, name: &str) -> Result<Option<User>, Unanswered> {
        self.users.borrow_mut().insert(name.to_owned());
        self.names.user(name)
    }

    fn group(&self, name: &str) -> Result<Option<Group>, Unanswered> {
        self.groups.borrow_mut().insert(name.to_owned());
        self.names.group(name)
    }

    fn groups_of(&self, user: &User) -> Result<Vec<Gid>, Unanswered> {
        self.names.groups_of(user)
    }

    fn users(&self) -> Vec<(Uid, String)> {
        self.names.users()
    }

    fn group_names(&self) -> Vec<String> {
        self.names.group_names()
    }
}
