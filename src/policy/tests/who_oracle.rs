//! A slow second judge of whos, written from the words of the manual: it walks down from each who anew.

use proptest::prelude::{Strategy, any, prop};
use proptest::{prop_assert, prop_assert_eq, proptest};

use super::{HEAD, caller, load, uid};
use crate::model::caller::{Attr, Caller, Exe, Namespace};
use crate::model::ids::ListenerId;
use crate::policy::{Decider, NamespaceRule, Policy, Who};

/// One who as it is written: what it asks for, and which others it is made of.
#[derive(Debug, Clone)]
struct Written {
    keys: Vec<&'static str>,
    any_of: Vec<usize>,
    except: Vec<usize>,
}

const WHOS: usize = 5;
const KEYS: [&str; 10] = [
    "user = \"ci\"",
    "user = [\"alice\", \"bob\"]",
    "group = \"docker-users\"",
    "gid = 997",
    "namespace = \"other\"",
    "namespace = \"any\"",
    "exe = \"/a\"",
    "exe_trusted = true",
    "unit = \"a.service\"",
    "login_uid = 7",
];

fn written() -> impl Strategy<Value = Written> {
    let keys = prop::sample::subsequence(KEYS.to_vec(), 0..4);
    let others = || prop::collection::btree_set(0..WHOS, 0..3);
    (keys, others(), others()).prop_map(|(mut keys, any_of, except)| {
        // Each key once, and something that names somebody.
        let mut seen = std::collections::HashSet::new();
        keys.retain(|key| seen.insert(key.split(' ').next()));
        let names = ["user", "group", "gid"].iter().any(|name| keys.iter().any(|key| key.starts_with(name)));
        if !names && any_of.is_empty() {
            keys.push("group = \"docker-users\"");
        }
        Written { keys, any_of: any_of.into_iter().collect(), except: except.into_iter().collect() }
    })
}

fn someone() -> impl Strategy<Value = Caller> {
    let user = prop::sample::select(vec!["alice", "bob", "ci", "mallory"]);
    let namespace = prop::sample::select(vec![
        Attr::Known(Namespace::Host),
        Attr::Known(Namespace::Other),
        Attr::Unknown,
    ]);
    let exe = prop::option::of((prop::sample::select(vec!["/a", "/b"]), any::<bool>()));
    let unit = prop::option::of(prop::sample::select(vec!["a.service", "b.service"]));
    let login = prop::option::of(7..9u32);
    (user, namespace, exe, unit, login, any::<bool>(), any::<bool>()).prop_map(
        |(user, namespace, exe, unit, login, known_uid, known_groups)| {
            let mut caller = caller(user);
            caller.namespace = namespace;
            caller.exe = Attr::from(exe.map(|(path, trusted)| Exe {
                path: path.into(),
                device: 1,
                inode: 1,
                trusted: Attr::Known(trusted),
            }));
            caller.unit = Attr::from(unit.map(str::to_owned));
            caller.login_uid = Attr::from(login.map(uid));
            if !known_uid {
                caller.credentials.uid = Attr::Unknown;
            }
            if !known_groups {
                caller.credentials.groups = Attr::Unknown;
            }
            caller
        },
    )
}

/// `None`: not known.
type Truth = Option<bool>;

fn all(parts: impl IntoIterator<Item = Truth>) -> Truth {
    let parts: Vec<Truth> = parts.into_iter().collect();
    if parts.contains(&Some(false)) {
        Some(false)
    } else if parts.contains(&None) {
        None
    } else {
        Some(true)
    }
}

fn one(parts: impl IntoIterator<Item = Truth>) -> Truth {
    all(parts.into_iter().map(|part| part.map(|it| !it))).map(|it| !it)
}

fn slow(policy: &Policy, who: &Who, caller: &Caller, for_an_allow: bool) -> Truth {
    let credentials = &caller.credentials;
    let mut parts: Vec<Truth> = Vec::new();
    if let Some(uids) = &who.uids {
        parts.push(credentials.uid.known().map(|uid| uids.contains(uid)));
    }
    for groups in &who.groups {
        let primary = credentials.gid.known().map(|gid| groups.contains(gid));
        let more = credentials.groups.known().map(|mine| mine.iter().any(|gid| groups.contains(gid)));
        parts.push(one([primary, more]));
    }
    let unwritten = if for_an_allow { NamespaceRule::Host } else { NamespaceRule::Any };
    parts.push(match who.namespace.unwrap_or(unwritten) {
        NamespaceRule::Any => Some(true),
        NamespaceRule::Host => caller.namespace.known().map(|it| *it == Namespace::Host),
        NamespaceRule::Other => caller.namespace.known().map(|it| *it == Namespace::Other),
    });
    if let Some(paths) = &who.exe {
        parts.push(caller.exe.known().map(|exe| paths.iter().any(|path| path.as_bytes() == exe.path)));
    }
    if who.exe_trusted {
        parts.push(caller.exe.known().and_then(|exe| exe.trusted.known().copied()));
    }
    if let Some(units) = &who.units {
        parts.push(caller.unit.known().map(|unit| units.contains(unit)));
    }
    if let Some(uids) = &who.login_uids {
        parts.push(caller.login_uid.known().map(|uid| uids.contains(uid)));
    }
    let other = |id: &crate::policy::WhoId| &policy.whos[usize::from(id.0)];
    if let Some(others) = &who.any_of {
        parts.push(one(others.iter().map(|id| slow(policy, other(id), caller, for_an_allow))));
    }
    parts.extend(who.except.iter().map(|id| slow(policy, other(id), caller, !for_an_allow).map(|it| !it)));
    all(parts)
}

/// Whether some who is reached from itself.
fn goes_round(whos: &[Written]) -> bool {
    let mut reach: Vec<Vec<bool>> = whos
        .iter()
        .map(|who| {
            (0..WHOS).map(|other| who.any_of.contains(&other) || who.except.contains(&other)).collect()
        })
        .collect();
    for _ in 0..WHOS {
        for a in 0..WHOS {
            for b in 0..WHOS {
                let through = (0..WHOS).any(|via| reach[a][via] && reach[via][b]);
                reach[a][b] |= through;
            }
        }
    }
    (0..WHOS).any(|who| reach[who][who])
}

fn text(whos: &[Written]) -> String {
    let mut text = HEAD.to_owned();
    for (number, who) in whos.iter().enumerate() {
        text.push_str(&format!("[who.w{number}]\n{}\n", who.keys.join("\n")));
        for (key, others) in [("any_of", &who.any_of), ("except", &who.except)] {
            let names: Vec<String> = others.iter().map(|other| format!("\"w{other}\"")).collect();
            if !names.is_empty() {
                text.push_str(&format!("{key} = [{}]\n", names.join(", ")));
            }
        }
        text.push_str(&format!(
            "[[route]]\nid = \"r{number}\"\nmatch = [\"GET /r{number}\", \"GET /f{number}\"]\nto = \"docker\"\n\
             allow = [\"w{number}\"]\n[[forbid]]\nid = \"f{number}\"\nmatch = \"GET /f{number}\"\nwho = \"w{number}\"\n"
        ));
    }
    text
}

proptest! {
    #[test]
    fn whos_are_what_the_slow_judge_says(
        whos in prop::collection::vec(written(), WHOS),
        callers in prop::collection::vec(someone(), 8),
    ) {
        let policy = match load(&text(&whos)) {
            Err(wrong) => {
                prop_assert!(goes_round(&whos) && wrong.to_string().contains("made of itself"), "{}", wrong);
                return Ok(());
            }
            Ok(policy) => policy,
        };
        prop_assert!(!goes_round(&whos));
        let asking = super::Asking { decider: Decider::new(policy.into()) };
        let policy = asking.decider.policy().clone();
        for caller in &callers {
            for number in 0..WHOS {
                let who = policy.whos.iter().find(|who| who.name == format!("w{number}")).unwrap();
                let says = |path: &str| asking.says_to(caller, ListenerId(0), path);
                let allowed = says(&format!("GET /r{number}")).starts_with("allow");
                prop_assert_eq!(allowed, slow(&policy, who, caller, true) == Some(true), "{:?}", who);
                let forbidden = says(&format!("GET /f{number}")).starts_with("forbidden");
                prop_assert_eq!(forbidden, slow(&policy, who, caller, false) != Some(false), "{:?}", who);
            }
        }
    }
}
