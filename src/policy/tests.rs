//! A policy is literal text, a user is a name, a request is one line.

mod apps;
mod bytes;
mod decisions;
mod everything;
#[cfg(feature = "cli")]
mod explain;
#[cfg(feature = "cli")]
mod grants;
#[cfg(feature = "cli")]
mod hindsight;
mod identity;
mod include;
#[cfg(feature = "cli")]
mod layout;
#[cfg(feature = "cli")]
mod lint;
#[cfg(feature = "cli")]
mod lint_commands;
mod mistakes;
mod oracle;
mod outward;
mod readings;
mod reads;
mod reads_oracle;
mod samples;
#[cfg(feature = "cli")]
mod schema;
mod sets;
#[cfg(feature = "cli")]
mod steps_oracle;
mod time;
mod values;
mod who_oracle;

use std::sync::Arc;

use super::{Decider, Diagnostics, Group, Names, Own, Policy, Subject, Unanswered, User, Verdict, load_text};
use crate::model::caller::{Attr, Caller, Credentials, Gid, Namespace, Peer, Uid};
use crate::model::ids::ListenerId;
use crate::model::method::Method;
use crate::model::target::{Asked, Target};

/// Users as `name uid gid`, and the groups that each is in.
const USERS: [(&str, u32, u32, &[&str]); 11] = [
    ("root", 0, 0, &[]),
    ("self", 500, 500, &[]),
    ("alice", 1000, 1000, &["docker-users", "docker-ops"]),
    ("bob", 1001, 1001, &["docker-users"]),
    ("ci", 1002, 1002, &["docker-users"]),
    ("mallory", 1003, 1003, &[]),
    ("peergate-gate", 901, 901, &[]),
    ("peergate-scribe", 902, 902, &[]),
    ("haproxy", 111, 111, &["haproxy"]),
    ("backup", 34, 34, &[]),
    ("notes", 903, 903, &[]),
];

const GROUPS: [(&str, u32); 9] = [
    ("adm", 4),
    ("docker-users", 998),
    ("docker-ops", 997),
    ("empty", 996),
    ("peergate", 995),
    ("ops", 994),
    ("haproxy", 111),
    ("notes-users", 993),
    ("notes-writers", 992),
];

/// The names of this house.
struct House;

fn uid(raw: u32) -> Uid {
    Uid::new(raw).unwrap()
}

fn gid(raw: u32) -> Gid {
    Gid::new(raw).unwrap()
}

impl Names for House {
    fn user(&self, name: &str) -> Result<Option<User>, Unanswered> {
        if name == "unanswered" {
            return Err(Unanswered("it is down".to_owned()));
        }
        let known = USERS.iter().find(|user| user.0 == name);
        Ok(known.map(|user| User { name: name.to_owned(), uid: uid(user.1), gid: gid(user.2) }))
    }

    fn group(&self, name: &str) -> Result<Option<Group>, Unanswered> {
        let members =
            USERS.iter().filter(|user| user.3.contains(&name)).map(|user| user.0.to_owned()).collect();
        Ok(GROUPS.iter().find(|group| group.0 == name).map(|group| Group { gid: gid(group.1), members }))
    }

    fn groups_of(&self, user: &User) -> Result<Vec<Gid>, Unanswered> {
        let known = USERS.iter().find(|known| known.0 == user.name).unwrap();
        let named = known.3.iter().map(|name| self.group(name).unwrap().unwrap().gid);
        Ok(named.chain([user.gid]).collect())
    }

    fn users(&self) -> Vec<(Uid, String)> {
        USERS.iter().map(|user| (uid(user.1), user.0.to_owned())).collect()
    }

    fn group_names(&self) -> Vec<String> {
        GROUPS.iter().map(|group| group.0.to_owned()).collect()
    }
}

/// The daemon's own user here is `self`.
fn own() -> Own {
    Own::system(uid(500), gid(500))
}

/// What most policies of these tests begin with.
const HEAD: &str = r#"version = 1
[listen.docker]
path = "/run/peergate/docker.sock"
[backend.docker]
proxy = "unix:/run/docker.sock"
[who.ops]
group = "docker-ops"
[who.users]
group = "docker-users"
[who.ci]
user = "ci"
"#;

fn load(text: &str) -> Result<Policy, Diagnostics> {
    load_text("policy.toml", text, &House, &own())
}

/// What is wrong with a text, as it is shown.
#[track_caller]
fn mistakes(text: &str) -> String {
    load(text).expect_err("the policy is in order").to_string()
}

/// Begins with [`HEAD`].
#[track_caller]
fn house(rules: &str) -> Asking {
    asking(&format!("{HEAD}{rules}"))
}

#[track_caller]
fn asking(text: &str) -> Asking {
    let policy = load(text).unwrap_or_else(|wrong| panic!("{wrong}"));
    Asking { decider: Decider::new(Arc::new(policy)) }
}

/// A policy in force, to be asked.
struct Asking {
    decider: Decider,
}

fn caller(name: &str) -> Caller {
    let user = House.user(name).unwrap().unwrap();
    Caller {
        peer: Peer { uid: user.uid.raw(), gid: user.gid.raw(), pid: 7, real_uid: None },
        credentials: Credentials {
            uid: Attr::Known(user.uid),
            gid: Attr::Known(user.gid),
            groups: Attr::Known(House.groups_of(&user).unwrap()),
        },
        user: Some(name.to_owned()),
        namespace: Attr::Known(Namespace::Host),
        start_time: Attr::Unknown,
        exe: Attr::Unknown,
        unit: Attr::Unknown,
        login_uid: Attr::Unknown,
        label: Attr::Unknown,
    }
}

impl Asking {
    fn subject(&self, name: &str) -> Subject {
        self.decider.recognise(ListenerId(0), &caller(name))
    }

    /// `alice`, `GET /x` → `allow route by who.ops` or `forbidden route by forbid.id`.
    fn says(&self, user: &str, request: &str) -> String {
        self.says_to(&caller(user), ListenerId(0), request)
    }

    /// The same for an upgrade.
    fn says_upgrade(&self, user: &str, request: &str, upgrade: &str) -> String {
        self.answer(&caller(user), ListenerId(0), request, Some(upgrade))
    }

    fn says_to(&self, caller: &Caller, listener: ListenerId, request: &str) -> String {
        self.answer(caller, listener, request, None)
    }

    /// The same as at another time; `None`: whenever every rule holds.
    fn says_at(&self, user: &str, request: &str, instant: Option<&str>) -> String {
        let (method, target) = request.split_once(' ').unwrap();
        let (method, target) =
            (Method::parse(method.as_bytes()).unwrap(), Target::parse(target.as_bytes()).unwrap());
        let asked = Asked { method: &method, target: &target, upgrade: None };
        let instant = instant.map(|instant| instant.parse().unwrap());
        told(self.decider.decide_at(ListenerId(0), &self.subject(user), &asked, instant))
    }

    fn answer(&self, caller: &Caller, listener: ListenerId, request: &str, upgrade: Option<&str>) -> String {
        let (method, target) = request.split_once(' ').unwrap();
        let method = Method::parse(method.as_bytes()).unwrap();
        let target = match target {
            "*" => Target::star(),
            raw => match Target::parse(raw.as_bytes()) {
                Ok(target) => target,
                Err(refusal) => return format!("target {refusal}"),
            },
        };
        let subject = self.decider.recognise(listener, caller);
        told(self.decider.decide(listener, &subject, &Asked { method: &method, target: &target, upgrade }))
    }
}

fn told(verdict: Verdict) -> String {
    let (mut text, shadow) = match &verdict {
        Verdict::Allow(permit) => {
            (format!("allow {} by {}", permit.route_id(), permit.by()), permit.shadow().map(str::to_owned))
        }
        Verdict::Read(unread) => (format!("{unread:?}"), None),
        Verdict::Deny(denial) => {
            let mut text = denial.refusal.to_string();
            if let (Some(route), Some(by)) = (&denial.route, &denial.by) {
                text.push_str(&format!(" {route} by {by}"));
            }
            (text, denial.shadow.as_deref().map(str::to_owned))
        }
    };
    if let Some(shadow) = shadow {
        text.push_str(&format!(" (shadow: {shadow})"));
    }
    text
}
