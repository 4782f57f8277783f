//! Callers of whom each stands for all that the whos of some policies can't tell apart.

use std::collections::{BTreeMap, HashMap};

use crate::model::caller::{Attr, Caller, Credentials, Gid, Namespace, Peer, Uid};
use crate::model::ids::ListenerId;
use crate::policy::decide::Decider;
use crate::policy::names::{Names, User};
use crate::policy::subject::Bits;
use crate::policy::table::{NamespaceRule, Policy, Who, WhoId};

/// More users than this are not asked for their groups.
const MOST_USERS: usize = 20_000;
/// More callers than this are made of no who.
const MOST_SAMPLES: usize = 256;
/// More pairs of whos than this are not looked at together.
const MOST_PAIRS: usize = 4_096;

/// Users and groups by name, as far as they are known: who is meant by a policy's numbers.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Users, by name.
    pub users: Vec<Person>,
    /// Names of groups.
    pub groups: BTreeMap<Gid, String>,
}

/// A user that there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Its name.
    pub name: String,
    /// Its id.
    pub uid: Uid,
    /// Its primary group.
    pub gid: Gid,
    /// The groups of its login.
    pub groups: Vec<Gid>,
}

/// A caller, in place of all that are like it.
#[derive(Debug, Clone)]
pub struct Class {
    /// Who that is: `group docker-ops`, `user ci`, `everyone else`.
    pub label: String,
    /// What that is called too, where policies tell none of them apart.
    pub also: Vec<String>,
    /// One of them.
    pub caller: Caller,
}

impl Known {
    /// Everybody whom `names` lists, and those of the groups in `written` who are listed there only.
    pub fn of<'a>(names: &impl Names, written: impl IntoIterator<Item = &'a str>) -> Known {
        let mut known = Known::default();
        let mut listed: Vec<String> = names.users().into_iter().map(|(_, name)| name).collect();
        let mut groups = names.group_names();
        groups.extend(written.into_iter().map(str::to_owned));
        groups.sort_unstable();
        groups.dedup();
        for name in groups {
            if let Ok(Some(group)) = names.group(&name) {
                known.groups.entry(group.gid).or_insert(name);
                listed.extend(group.members);
            }
        }
        listed.sort_unstable();
        listed.dedup();
        for name in listed.into_iter().take(MOST_USERS) {
            let Ok(Some(user)) = names.user(&name) else { continue };
            let groups = names.groups_of(&user).unwrap_or_default();
            let User { name, uid, gid } = user;
            known.users.push(Person { name, uid, gid, groups });
        }
        known
    }

    /// The name of a group, or its number.
    pub(crate) fn group(&self, gid: Gid) -> String {
        self.groups.get(&gid).cloned().unwrap_or_else(|| gid.to_string())
    }

    /// The name of a user, or its number.
    pub(crate) fn user(&self, policy: &Policy, uid: Uid) -> String {
        let known = self.users.iter().find(|person| person.uid == uid).map(|person| person.name.as_str());
        known.or_else(|| policy.user_name(uid)).map_or_else(|| uid.to_string(), str::to_owned)
    }
}

impl Person {
    /// A call of this user, from a login of its own.
    pub(crate) fn caller(&self) -> Caller {
        Caller { user: Some(self.name.clone()), ..caller(self.uid, self.gid, self.groups.clone()) }
    }
}

/// A caller of the host, of whom nothing is read but what authorises.
pub(crate) fn caller(uid: Uid, gid: Gid, groups: Vec<Gid>) -> Caller {
    Caller {
        peer: Peer { uid: uid.raw(), gid: gid.raw(), pid: 1, real_uid: None },
        credentials: Credentials {
            uid: Attr::Known(uid),
            gid: Attr::Known(gid),
            groups: Attr::Known(groups),
        },
        user: None,
        namespace: Attr::Known(Namespace::Host),
        start_time: Attr::Unknown,
        exe: Attr::Unknown,
        unit: Attr::Unknown,
        login_uid: Attr::Unknown,
        label: Attr::Unknown,
    }
}

/// One way to be a who.
#[derive(Debug, Clone)]
struct Sample {
    uid: Option<Uid>,
    groups: Vec<Gid>,
    other: bool,
    label: String,
}

/// One caller for each set of whos of these policies that callers can be: everybody known, one for each way to be a who,
/// one for each way to be two of which one is forbidden something, and everyone else.
pub fn classes(deciders: &[&Decider], known: &Known) -> Vec<Class> {
    let policies: Vec<&Policy> = deciders.iter().map(|decider| &**decider.policy()).collect();
    let policies = policies.as_slice();
    let Some((nobody, nowhere)) = unused(policies) else { return Vec::new() };
    let mut all = vec![("everyone else".to_owned(), caller(nobody, nowhere, Vec::new()))];
    let made = |sample: &Sample| {
        let person = sample.uid.and_then(|uid| known.users.iter().find(|person| person.uid == uid));
        let mut groups = person.map(|person| person.groups.clone()).unwrap_or_default();
        groups.extend(&sample.groups);
        let mut made =
            caller(sample.uid.unwrap_or(nobody), person.map_or(nowhere, |person| person.gid), groups);
        if sample.other {
            made.namespace = Attr::Known(Namespace::Other);
        }
        (sample.label.clone(), made)
    };
    let mut of_whos: Vec<Vec<Vec<Sample>>> = Vec::new();
    for policy in policies {
        let samples: Vec<Vec<Sample>> = policy.whos.iter().map(|who| samples(policy, who, known)).collect();
        all.extend(samples.iter().flatten().map(made));
        of_whos.push(samples);
    }
    for (policy, samples) in policies.iter().zip(&of_whos) {
        let of = |id: WhoId| samples.get(usize::from(id.0)).into_iter().flatten();
        let forbidden = policy.forbids.iter().flat_map(|forbid| forbid.who.iter().flatten());
        let mut forbidden: Vec<WhoId> = forbidden.map(|named| named.who).collect();
        forbidden.sort_unstable();
        forbidden.dedup();
        let pairs = forbidden.iter().flat_map(|id| of(*id)).flat_map(|bound| {
            let allowed = of_whos.iter().flatten().flatten();
            allowed.filter_map(move |other| both(bound, other))
        });
        all.extend(pairs.take(MOST_PAIRS).map(|sample| made(&sample)));
    }
    all.extend(known.users.iter().map(|person| (format!("user {}", person.name), person.caller())));
    distinct(deciders, all)
}

/// The first of those that policies can't tell apart, with the labels of the others.
fn distinct(deciders: &[&Decider], all: Vec<(String, Caller)>) -> Vec<Class> {
    let mut places: HashMap<Vec<(Bits, Bits)>, usize> = HashMap::new();
    let mut classes: Vec<Class> = Vec::new();
    for (label, caller) in all {
        // Which whos hold is the same on every listener.
        let key = deciders.iter().map(|decider| {
            let subject = decider.recognise(ListenerId(0), &caller);
            (subject.holds, subject.binds)
        });
        match places.entry(key.collect()) {
            std::collections::hash_map::Entry::Occupied(place) => {
                if let Some(class) = classes.get_mut(*place.get())
                    && class.label != label
                    && !class.also.contains(&label)
                    // Whoever is two of which one makes no difference has a name already.
                    && !label.contains(" and ")
                {
                    class.also.push(label);
                }
            }
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(classes.len());
                classes.push(Class { label, also: Vec::new(), caller });
            }
        }
    }
    classes
}

/// The ways to be this who.
fn samples(policy: &Policy, who: &Who, known: &Known) -> Vec<Sample> {
    let mut samples = vec![Sample { uid: None, groups: Vec::new(), other: false, label: String::new() }];
    let join = |label: &str, more: &str| {
        if label.is_empty() { more.to_owned() } else { format!("{label} in {more}") }
    };
    if let Some(uids) = &who.uids {
        samples = uids
            .iter()
            .map(|uid| Sample {
                uid: Some(*uid),
                label: format!("user {}", known.user(policy, *uid)),
                ..Sample { uid: None, groups: Vec::new(), other: false, label: String::new() }
            })
            .collect();
    }
    for list in &who.groups {
        samples = samples
            .iter()
            .flat_map(|sample| {
                list.iter().map(|gid| {
                    let label = join(&sample.label, &format!("group {}", known.group(*gid)));
                    let groups = sample.groups.iter().chain([gid]).copied().collect();
                    Sample { groups, label, ..sample.clone() }
                })
            })
            .take(MOST_SAMPLES)
            .collect();
    }
    let other = |sample: &Sample| Sample {
        other: true,
        label: format!("{} in another namespace", sample.label),
        ..sample.clone()
    };
    match who.namespace {
        Some(NamespaceRule::Other) => samples.iter().map(other).collect(),
        Some(NamespaceRule::Any) => samples.iter().cloned().chain(samples.iter().map(other)).collect(),
        Some(NamespaceRule::Host) | None => samples,
    }
}

/// Somebody who is both.
fn both(a: &Sample, b: &Sample) -> Option<Sample> {
    if a.other != b.other || (a.uid.is_some() && b.uid.is_some() && a.uid != b.uid) || a.label == b.label {
        return None;
    }
    let groups = a.groups.iter().chain(&b.groups).copied().collect();
    let label = format!("{} and {}", a.label, b.label);
    Some(Sample { uid: a.uid.or(b.uid), groups, other: a.other, label })
}

/// A user and a group that no who names.
fn unused(policies: &[&Policy]) -> Option<(Uid, Gid)> {
    let whos = || policies.iter().flat_map(|policy| &policy.whos);
    let uids: std::collections::HashSet<u32> =
        whos().flat_map(|who| who.uids.iter().flatten()).map(|uid| uid.raw()).collect();
    let gids: std::collections::HashSet<u32> =
        whos().flat_map(|who| who.groups.iter().flatten()).map(|gid| gid.raw()).collect();
    let uid = (100_000..u32::MAX).find(|uid| !uids.contains(uid)).and_then(Uid::new)?;
    let gid = (100_000..u32::MAX).find(|gid| !gids.contains(gid)).and_then(Gid::new)?;
    Some((uid, gid))
}
