//! Callers of the record as whos of a policy.

use std::collections::{BTreeMap, BTreeSet};

use nix::unistd;

use super::By;
use super::carry::Written;
use super::gather::Person;
use super::seen::{Spelt, Whose};

/// A who that is suggested.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Who {
    /// Its name.
    pub(super) name: String,
    /// Its keys, a line each; none where it is one of the policy at hand.
    pub(super) keys: Vec<String>,
    /// The same caller for a test.
    pub(super) test: String,
}

/// The whos that hold for these callers and, as far as that can be said, for nobody else.
pub(super) fn whos(
    callers: &BTreeSet<&Whose>,
    people: &BTreeMap<Whose, Person>,
    by: By,
    written: &Written,
) -> BTreeSet<Who> {
    let taken = |name: &str| written.has_who(name);
    let narrowed = callers.iter().any(|whose| {
        whose.like.as_ref().is_some_and(|like| written.narrows(like).is_none_or(|keys| !keys.is_empty()))
    });
    let spaces: BTreeSet<Option<Spelt>> = callers.iter().map(|whose| whose.namespace).collect();
    // Who is narrowed by more than a name stays narrowed, each by its own.
    if by == By::Group
        && !narrowed
        && let Some(gid) = group(callers, people)
    {
        return spaces.into_iter().map(|space| of_group(gid, space, &taken)).collect();
    }
    let shared = |whose: &Whose, person: &Person| {
        people.iter().any(|(other, it)| other.uid != whose.uid && it.user == person.user)
    };
    callers
        .iter()
        .map(|whose| {
            let person = people.get(*whose);
            let mut who = like(whose, person, written, &taken);
            // Two users had one name, one after the other.
            if person.is_some_and(|person| shared(whose, person)) && !who.keys.is_empty() {
                who.name = format!("{}-{}", who.name, whose.uid);
            }
            who
        })
        .collect()
}

/// By its user, with what the who at hand asks for besides; or that who itself.
fn like(whose: &Whose, person: Option<&Person>, written: &Written, taken: &impl Fn(&str) -> bool) -> Who {
    let mut who = of_user(whose, person, taken);
    let Some(like) = &whose.like else { return who };
    match written.narrows(like) {
        None => Who { name: like.clone(), keys: Vec::new(), test: String::new() },
        Some(keys) if keys.is_empty() => who,
        Some(keys) => {
            who.keys.extend(keys);
            who.name = format!("{}-as-{like}", who.name);
            who.name.truncate(64);
            who
        }
    }
}

/// Of the groups that all of them are in, the one in which the fewest others are.
fn group(callers: &BTreeSet<&Whose>, people: &BTreeMap<Whose, Person>) -> Option<u32> {
    let groups =
        |whose: &Whose| people.get(whose).and_then(|person| person.groups.clone()).unwrap_or_default();
    let mut common: Option<BTreeSet<u32>> = None;
    for whose in callers {
        let own = groups(whose);
        common = Some(match common {
            Some(common) => common.intersection(&own).copied().collect(),
            None => own,
        });
    }
    let members = |gid: &u32| people.keys().filter(|whose| groups(whose).contains(gid)).count();
    common?.into_iter().min_by_key(|gid| (members(gid), *gid))
}

fn of_group(gid: u32, space: Option<Spelt>, taken: &impl Fn(&str) -> bool) -> Who {
    let known = unistd::Group::from_gid(unistd::Gid::from_raw(gid)).ok().flatten().map(|group| group.name);
    let key = match &known {
        Some(name) => format!("group = [{}]", quoted(name)),
        None => format!("gid = [{gid}]"),
    };
    let name = known.unwrap_or_else(|| format!("gid-{gid}"));
    who(&name, key, format!("gid = [{gid}]"), space, taken)
}

fn of_user(whose: &Whose, person: Option<&Person>, taken: &impl Fn(&str) -> bool) -> Who {
    let uid = whose.uid;
    let then = person.and_then(|person| person.user.clone());
    let now = |name: &String| {
        let user = unistd::User::from_name(name).ok().flatten();
        user.is_some_and(|user| user.uid.as_raw() == uid)
    };
    // A name that means somebody else by now, or nobody, is only told.
    let key = match &then {
        Some(name) if now(name) => format!("user = [{}]", quoted(name)),
        Some(name) => format!("uid = [{uid}]  # {}", comment(name)),
        None => format!("uid = [{uid}]"),
    };
    let name = then.unwrap_or_else(|| format!("uid-{uid}"));
    who(&name, key, format!("uid = {uid}"), whose.namespace, taken)
}

fn who(name: &str, key: String, test: String, space: Option<Spelt>, taken: &impl Fn(&str) -> bool) -> Who {
    let mut keys = vec![key];
    let (ending, space, lives) = match space {
        Some(Spelt::Host) => ("", None, "host"),
        Some(Spelt::Other) => ("-in-containers", Some("namespace = \"other\""), "other"),
        // Where it lived could not be read, and an allow for the host alone would not hold for it.
        None => ("-anywhere", Some("namespace = \"any\""), "unknown"),
    };
    keys.extend(space.map(str::to_owned));
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' })
        .take(40)
        .collect();
    let plain =
        if plain.starts_with(|c: char| c.is_ascii_alphanumeric()) { plain } else { format!("u{plain}") };
    let mut name = format!("{plain}{ending}");
    while taken(&name) {
        name.push_str("-seen");
    }
    let test = if lives == "host" { test } else { format!("{test}, namespace = \"{lives}\"") };
    Who { name, keys, test }
}

/// As TOML has it.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            c => quoted.push_str(&format!("\\U{:08X}", u32::from(c))),
        }
    }
    quoted.push('"');
    quoted
}

/// What a comment can hold.
pub(super) fn comment(text: &str) -> String {
    crate::model::escape::Shown(text.as_bytes()).to_string()
}
