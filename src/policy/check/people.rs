//! Users and groups of a policy, each asked for once.

use std::collections::{BTreeMap, HashMap};

use super::super::diagnostics::{At, Problems, Span, quoted};
use super::super::names::{Group, Names, Unanswered, User};
use super::Own;
use crate::model::caller::{Gid, Uid};

/// The daemon's own user, in place of a name.
const SELF: &str = "@self";

/// Looks names up, remembers the answers, and collects the names for records.
pub(super) struct People<'c, N> {
    source: &'c N,
    own: &'c Own,
    users: HashMap<String, Result<Option<User>, Unanswered>>,
    groups: HashMap<String, Result<Option<Group>, Unanswered>>,
}

impl<'c, N: Names> People<'c, N> {
    pub(super) fn new(source: &'c N, own: &'c Own) -> People<'c, N> {
        People { source, own, users: HashMap::new(), groups: HashMap::new() }
    }

    /// The user of that name; where there is none, that is a mistake.
    pub(super) fn user(&mut self, name: &At<String>, problems: &mut Problems<'_>) -> Option<User> {
        if name.value == SELF {
            return Some(User { name: SELF.to_owned(), uid: self.own.uid, gid: self.own.gid });
        }
        match self.ask_user(&name.value) {
            Ok(Some(user)) => Some(user.clone()),
            Ok(None) => {
                let listed = self.source.users();
                let mut known: Vec<_> = listed.iter().map(|(_, name)| name.as_str()).collect();
                known.push(SELF);
                let message = format!("there is no user {}", quoted(&name.value));
                problems.add_unknown(name.span, message, &name.value, known);
                None
            }
            Err(error) => {
                let message = format!("the user {} can't be looked up: {error}", quoted(&name.value));
                problems.add_unanswered(name.span, message);
                None
            }
        }
    }

    /// The group of that name; where there is none, that is a mistake.
    pub(super) fn group(&mut self, name: &At<String>, problems: &mut Problems<'_>) -> Option<Gid> {
        match self.ask_group(&name.value) {
            Ok(Some(group)) => Some(group.gid),
            Ok(None) => {
                let known = self.source.group_names();
                let message = format!("there is no group {}", quoted(&name.value));
                problems.add_unknown(name.span, message, &name.value, known.iter().map(String::as_str));
                None
            }
            Err(error) => {
                let message = format!("the group {} can't be looked up: {error}", quoted(&name.value));
                problems.add_unanswered(name.span, message);
                None
            }
        }
    }

    /// A user that the policy does not need: a default. Whether there is one has to be known all the same.
    pub(super) fn user_if_any(&mut self, name: &str, problems: &mut Problems<'_>) -> Option<User> {
        match self.ask_user(name) {
            Ok(user) => user.clone(),
            Err(error) => {
                let message = format!("the user {} can't be looked up: {error}", quoted(name));
                problems.add_unanswered(Span::default(), message);
                None
            }
        }
    }

    /// A group that the policy does not need: a default.
    pub(super) fn group_if_any(&mut self, name: &str, problems: &mut Problems<'_>) -> Option<Gid> {
        match self.ask_group(name) {
            Ok(group) => group.as_ref().map(|group| group.gid),
            Err(error) => {
                let message = format!("the group {} can't be looked up: {error}", quoted(name));
                problems.add_unanswered(Span::default(), message);
                None
            }
        }
    }

    /// All groups that a login of this user would have.
    pub(super) fn groups_of(&self, user: &User) -> Result<Vec<Gid>, Unanswered> {
        if user.name == SELF { Ok(vec![user.gid]) } else { self.source.groups_of(user) }
    }

    /// Names of users for records: those that the system lists, those that the policy names, and the members of
    /// groups that it names.
    pub(super) fn names(&mut self) -> Vec<(Uid, String)> {
        const MOST: usize = 65_536;
        let mut members: Vec<String> = Vec::new();
        for group in self.groups.values().filter_map(|group| group.as_ref().ok()?.as_ref()) {
            members.extend(group.members.iter().filter(|name| !self.users.contains_key(*name)).cloned());
        }
        members.sort_unstable();
        members.dedup();
        let listed = self.source.users();
        let known: std::collections::HashSet<&str> = listed.iter().map(|(_, name)| name.as_str()).collect();
        for member in members.iter().filter(|name| !known.contains(name.as_str())).take(MOST) {
            self.ask_user(member);
        }
        let mut names = BTreeMap::new();
        for user in self.users.values().filter_map(|user| user.as_ref().ok()?.as_ref()) {
            names.insert(user.uid, user.name.clone());
        }
        // Where two names share an id, the one that is listed first is the one that tools show.
        for (uid, name) in listed.into_iter().rev() {
            names.insert(uid, name);
        }
        names.into_iter().take(MOST).collect()
    }

    fn ask_user(&mut self, name: &str) -> &Result<Option<User>, Unanswered> {
        let source = self.source;
        self.users.entry(name.to_owned()).or_insert_with(|| source.user(name))
    }

    fn ask_group(&mut self, name: &str) -> &Result<Option<Group>, Unanswered> {
        let source = self.source;
        self.groups.entry(name.to_owned()).or_insert_with(|| source.group(name))
    }
}
