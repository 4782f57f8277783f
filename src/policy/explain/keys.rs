//! What of a who does not hold for a caller, key by key.

use super::super::sets::{Judged, Order, Way};
use super::super::subject::Seen;
use super::super::table::{NamespaceRule, Policy, Who, WhoId};
use super::Key;
use crate::model::caller::{Attr, Caller, Uid};

/// A caller, and what every who comes to for it.
pub(super) struct Looked<'c> {
    caller: &'c Caller,
    seen: Seen<'c>,
    judged: Judged,
}

impl<'c> Looked<'c> {
    pub(super) fn at(policy: &Policy, caller: &'c Caller) -> Looked<'c> {
        let seen = Seen::of(caller);
        let judged = Order::of(&policy.whos).unwrap_or_default().judge(&policy.whos, &seen);
        Looked { caller, seen, judged }
    }

    /// Whether that who is known to hold.
    pub(super) fn allows(&self, who: WhoId) -> bool {
        self.judged.truth(who, Way::Narrow).allows()
    }

    /// Whether that who is not known to be false.
    pub(super) fn binds(&self, who: WhoId) -> bool {
        self.judged.truth(who, Way::Wide).forbids()
    }

    /// The conditions of a who that are not known to hold, each asked alone.
    pub(super) fn keys(&self, policy: &Policy, who: &Who) -> Vec<Key> {
        let mut keys = self.naming(policy, who);
        // What was not written means the host's, for an allow.
        let rule = who.namespace.unwrap_or(NamespaceRule::Host);
        if self.fails(&Who { namespace: Some(rule), ..Who::default() }) {
            let wants = if rule == NamespaceRule::Other {
                "a namespace other than the host's"
            } else {
                "the host's namespace"
            };
            let has = self.caller.namespace.known().map(|it| format!("in the namespace {}", it.name()));
            keys.push(Key { wants: wants.to_owned(), has });
        }
        keys.extend(self.narrowing(policy, who));
        keys.extend(self.others(policy, who));
        keys
    }

    fn fails(&self, one: &Who) -> bool {
        !self.seen.is(one, NamespaceRule::Any).allows()
    }

    /// User and groups.
    fn naming(&self, policy: &Policy, who: &Who) -> Vec<Key> {
        let credentials = &self.caller.credentials;
        let mut keys = Vec::new();
        if let Some(uids) = &who.uids
            && self.fails(&Who { uids: Some(uids.clone()), ..Who::default() })
        {
            let wants = one_of("user", "users", uids.iter().map(|uid| named(policy, *uid)));
            let has = credentials.uid.known().map(|uid| format!("user {}", named(policy, *uid)));
            keys.push(Key { wants, has });
        }
        for groups in &who.groups {
            if self.fails(&Who { groups: vec![groups.clone()], ..Who::default() }) {
                let wants = one_of("group", "groups", groups.iter().map(ToString::to_string));
                let has = match (&credentials.gid, &credentials.groups) {
                    (Attr::Known(gid), Attr::Known(more)) => {
                        let mut all: Vec<_> = more.iter().chain([gid]).collect();
                        all.sort_unstable();
                        all.dedup();
                        let all: Vec<String> = all.into_iter().map(ToString::to_string).collect();
                        Some(format!("in {}", all.join(", ")))
                    }
                    _ => None,
                };
                keys.push(Key { wants, has });
            }
        }
        keys
    }

    /// Program, unit, label and login.
    fn narrowing(&self, policy: &Policy, who: &Who) -> Vec<Key> {
        let Caller { exe, unit, label, login_uid, .. } = self.caller;
        let mut keys = Vec::new();
        if let Some(paths) = &who.exe
            && self.fails(&Who { exe: Some(paths.clone()), ..Who::default() })
        {
            let has = exe.known().map(|exe| format!("running {}", printable(&exe.path)));
            keys.push(Key { wants: one_of("program", "programs", paths.iter().cloned()), has });
        }
        if who.exe_trusted && self.fails(&Who { exe_trusted: true, ..Who::default() }) {
            let wants = "a program that is root's and that nobody else can write".to_owned();
            keys.push(Key { wants, has: exe.known().map(|_| "running another".to_owned()) });
        }
        if let Some(units) = &who.units
            && self.fails(&Who { units: Some(units.clone()), ..Who::default() })
        {
            let has = unit.known().map(|unit| format!("of {}", printable(unit.as_bytes())));
            keys.push(Key { wants: one_of("unit", "units", units.iter().cloned()), has });
        }
        if let Some(labels) = &who.labels
            && self.fails(&Who { labels: Some(labels.clone()), ..Who::default() })
        {
            let has = label.known().map(|label| format!("labelled {}", printable(label)));
            keys.push(Key { wants: one_of("label", "labels", labels.iter().cloned()), has });
        }
        if let Some(uids) = &who.login_uids
            && self.fails(&Who { login_uids: Some(uids.clone()), ..Who::default() })
        {
            let wants = one_of("login", "logins", uids.iter().map(|uid| named(policy, *uid)));
            let has = login_uid.known().map(|uid| format!("of the login {}", named(policy, *uid)));
            keys.push(Key { wants, has });
        }
        keys
    }

    /// What it is made of.
    fn others(&self, policy: &Policy, who: &Who) -> Vec<Key> {
        let name = |id: &WhoId| {
            let who = policy.whos.get(usize::from(id.0));
            format!("who.{}", who.map_or("", |who| who.name.as_str()))
        };
        let mut keys = Vec::new();
        if let Some(others) = &who.any_of {
            let truth = self.judged.any_of(others, Way::Narrow);
            if !truth.allows() {
                let wants = match others.as_slice() {
                    [one] => name(one),
                    _ => format!("one of {}", others.iter().map(name).collect::<Vec<_>>().join(", ")),
                };
                let none = if others.len() == 1 { "not that" } else { "none of them" };
                keys.push(Key { wants, has: (!truth.forbids()).then(|| none.to_owned()) });
            }
        }
        for other in &who.except {
            let truth = self.judged.not(*other, Way::Narrow);
            if !truth.allows() {
                let name = name(other);
                let has = (!truth.forbids()).then(|| name.clone());
                keys.push(Key { wants: format!("anyone but {name}"), has });
            }
        }
        keys
    }
}

fn named(policy: &Policy, uid: Uid) -> String {
    match policy.user_name(uid) {
        Some(name) => format!("{uid} ({name})"),
        None => uid.to_string(),
    }
}

/// What a caller may have chosen itself, so that it can't draw.
fn printable(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn one_of(one: &str, many: &str, names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    match names.as_slice() {
        [name] => format!("{one} {name}"),
        _ => format!("one of the {many} {}", names.join(", ")),
    }
}
