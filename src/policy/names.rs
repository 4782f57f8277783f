//! Users and groups by name. A policy's names are resolved once, when it is loaded; nothing asks a name service
//! while serving.

use std::fmt;
use std::fs::File;
use std::io::Read;

use nix::unistd;

use crate::model::caller::{Gid, Uid};

/// A user, as the name service knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its id.
    pub uid: Uid,
    /// Its primary group.
    pub gid: Gid,
}

/// A group, as the name service knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its id.
    pub gid: Gid,
    /// Names of the users for whom it is a supplementary group, as far as the name service tells.
    pub members: Vec<String>,
}

/// The name service failed: whether there is such a name is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unanswered(pub String);

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name service does not answer: {}", self.0)
    }
}

impl std::error::Error for Unanswered {}

/// Who can tell which id a name has.
pub trait Names {
    /// The user of that name; `None` where there is none.
    fn user(&self, name: &str) -> Result<Option<User>, Unanswered>;

    /// The group of that name; `None` where there is none.
    fn group(&self, name: &str) -> Result<Option<Group>, Unanswered>;

    /// All groups that a login of `user` would have, the primary one included.
    fn groups_of(&self, user: &User) -> Result<Vec<Gid>, Unanswered>;

    /// The users that can be listed; for records' names and for suggestions, never for a decision.
    fn users(&self) -> Vec<(Uid, String)>;

    /// The names of groups that can be listed, for suggestions.
    fn group_names(&self) -> Vec<String>;
}

/// The system's own name service (`getpwnam_r(3)`, `getgrnam_r(3)`, `getgrouplist(3)`). It may block on the
/// network, so only the loader process asks it.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemNames;

impl Names for SystemNames {
    fn user(&self, name: &str) -> Result<Option<User>, Unanswered> {
        let user = unistd::User::from_name(name).map_err(|errno| Unanswered(errno.to_string()))?;
        let Some(user) = user else { return Ok(None) };
        let (uid, gid) = (Uid::new(user.uid.as_raw()), Gid::new(user.gid.as_raw()));
        Ok(uid.zip(gid).map(|(uid, gid)| User { name: user.name, uid, gid }))
    }

    fn group(&self, name: &str) -> Result<Option<Group>, Unanswered> {
        let group = unistd::Group::from_name(name).map_err(|errno| Unanswered(errno.to_string()))?;
        let Some(group) = group else { return Ok(None) };
        Ok(Gid::new(group.gid.as_raw()).map(|gid| Group { gid, members: group.mem }))
    }

    fn groups_of(&self, user: &User) -> Result<Vec<Gid>, Unanswered> {
        let name =
            std::ffi::CString::new(user.name.as_str()).map_err(|error| Unanswered(error.to_string()))?;
        let groups = unistd::getgrouplist(&name, unistd::Gid::from_raw(user.gid.raw()))
            .map_err(|errno| Unanswered(errno.to_string()))?;
        Ok(groups.into_iter().filter_map(|gid| Gid::new(gid.as_raw())).collect())
    }

    fn users(&self) -> Vec<(Uid, String)> {
        // `passwd(5)`: name:password:uid:… Users of other sources come in by the names that the policy uses.
        let field = |line: &str| {
            let mut fields = line.split(':');
            let name = fields.next()?.to_owned();
            let uid = fields.nth(1)?.parse().ok().and_then(Uid::new)?;
            Some((uid, name))
        };
        local("/etc/passwd").lines().filter_map(field).collect()
    }

    fn group_names(&self) -> Vec<String> {
        let name = |line: &str| line.split(':').next().map(str::to_owned);
        local("/etc/group").lines().filter_map(name).collect()
    }
}

/// A local table, as far as it can be read: it only adds names to records and suggestions to errors.
fn local(path: &str) -> String {
    const MOST: u64 = 4 << 20;
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(MOST).read_to_end(&mut bytes)) {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_names_know_root_and_nobody_of_a_made_up_name() {
        let root = SystemNames.user("root").unwrap().expect("root");
        assert_eq!((root.uid.raw(), root.gid.raw()), (0, 0));
        assert!(SystemNames.groups_of(&root).unwrap().contains(&root.gid));
        assert_eq!(SystemNames.user("no-such-user-here").unwrap(), None);
        assert_eq!(SystemNames.group("no-such-group-here").unwrap(), None);
        assert!(SystemNames.users().contains(&(root.uid, "root".to_owned())));
    }
}
