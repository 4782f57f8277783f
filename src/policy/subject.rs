//! One connection's caller, as the policy sees it: which whos hold for it, worked out once.

use std::sync::Arc;

use super::caps::Cap;
use super::table::{NamespaceRule, Who, WhoId};
use crate::model::caller::{Attr, Caller, Gid, Namespace};
use crate::model::ids::ListenerId;
use crate::model::truth::Truth;

/// Which whos hold for one caller on one listener. Made by `Decider::recognise`, good for that decider alone.
#[derive(Debug, Clone)]
pub struct Subject {
    pub(super) decider: u64,
    pub(super) listener: ListenerId,
    /// Whos that are known to hold: what an allow asks.
    pub(super) holds: Bits,
    /// Whos that are not known to be false: what a forbid asks.
    pub(super) binds: Bits,
    pub(super) stranger: bool,
    /// What the whos give it that are not known to be false.
    pub(super) caps: Box<[Arc<Cap>]>,
}

impl Subject {
    /// The limits that hold for this caller.
    pub fn caps(&self) -> &[Arc<Cap>] {
        &self.caps
    }

    /// Whether no route of the listener allows this caller anything.
    pub fn is_stranger(&self) -> bool {
        self.stranger
    }
}

/// One bit a who.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Bits(Box<[u64]>);

impl Bits {
    pub(super) fn of(bits: impl Iterator<Item = bool>) -> Bits {
        let mut words = Vec::new();
        for (at, bit) in bits.enumerate() {
            if at % 64 == 0 {
                words.push(0u64);
            }
            if let Some(word) = words.last_mut() {
                *word |= u64::from(bit) << (at % 64);
            }
        }
        Bits(words.into())
    }

    pub(super) fn has(&self, WhoId(who): WhoId) -> bool {
        self.0.get(usize::from(who / 64)).is_some_and(|word| word >> (who % 64) & 1 == 1)
    }
}

/// Some whos, sparse: the words that have a bit, and their bits.
#[derive(Debug, Default)]
pub(super) struct Set(Box<[(u16, u64)]>);

impl Set {
    pub(super) fn of(whos: impl IntoIterator<Item = WhoId>) -> Set {
        let mut words = std::collections::BTreeMap::<u16, u64>::new();
        for WhoId(who) in whos {
            *words.entry(who / 64).or_default() |= 1 << (who % 64);
        }
        Set(words.into_iter().collect())
    }

    /// The first who of the set that is among `bits`.
    pub(super) fn first_in(&self, bits: &Bits) -> Option<WhoId> {
        self.0.iter().find_map(|(at, set)| {
            let both = bits.0.get(usize::from(*at))? & set;
            // 16 bits of `at` times 64 come from a `u16`, so this fits again.
            (both != 0).then(|| WhoId((at * 64) | both.trailing_zeros() as u16))
        })
    }

    pub(super) fn meets(&self, bits: &Bits) -> bool {
        self.first_in(bits).is_some()
    }
}

/// The parts of a caller that whos ask for, ready to be asked often.
pub(super) struct Seen<'c> {
    caller: &'c Caller,
    /// In order.
    groups: Attr<Vec<Gid>>,
}

impl<'c> Seen<'c> {
    pub(super) fn of(caller: &'c Caller) -> Seen<'c> {
        let mut groups = caller.credentials.groups.clone();
        if let Attr::Known(groups) = &mut groups {
            groups.sort_unstable();
        }
        Seen { caller, groups }
    }

    /// Whether the conditions of `who` itself hold, if a namespace that was not written means `unwritten`. What it
    /// is made of beside them is judged by [`super::sets`].
    pub(super) fn is(&self, who: &Who, unwritten: NamespaceRule) -> Truth {
        let Caller { credentials, namespace, .. } = self.caller;
        let uid = match &who.uids {
            Some(uids) => credentials.uid.is(|uid| uids.contains(uid)),
            None => Truth::Yes,
        };
        if uid == Truth::No {
            return uid;
        }
        let namespace = match who.namespace.unwrap_or(unwritten) {
            NamespaceRule::Host => namespace.is(|namespace| *namespace == Namespace::Host),
            NamespaceRule::Other => namespace.is(|namespace| *namespace == Namespace::Other),
            NamespaceRule::Any => Truth::Yes,
        };
        let groups =
            who.groups.iter().fold(uid.and(namespace), |so_far, groups| so_far.and(self.in_one_of(groups)));
        groups.and(self.narrowed(who))
    }

    /// What only narrows.
    fn narrowed(&self, who: &Who) -> Truth {
        let Caller { exe, unit, label, login_uid, .. } = self.caller;
        fn asked<T, W>(wanted: Option<&W>, attribute: &Attr<T>, is: impl FnOnce(&W, &T) -> bool) -> Truth {
            wanted.map_or(Truth::Yes, |wanted| attribute.is(|found| is(wanted, found)))
        }
        let trusted = if who.exe_trusted {
            exe.known().map_or(Truth::Unknown, |exe| exe.trusted.is(|trusted| *trusted))
        } else {
            Truth::Yes
        };
        asked(who.exe.as_ref(), exe, |paths, exe| paths.iter().any(|path| path.as_bytes() == exe.path))
            .and(trusted)
            .and(asked(who.units.as_ref(), unit, |units, unit| units.contains(unit)))
            .and(asked(who.labels.as_ref(), label, |labels, label| {
                labels.iter().any(|wanted| wanted.as_bytes() == label)
            }))
            .and(asked(who.login_uids.as_ref(), login_uid, |uids, uid| uids.contains(uid)))
    }

    fn in_one_of(&self, groups: &[Gid]) -> Truth {
        let primary = self.caller.credentials.gid.is(|gid| groups.contains(gid));
        let supplementary =
            self.groups.is(|mine| groups.iter().any(|group| mine.binary_search(group).is_ok()));
        primary.or(supplementary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_finds_the_first_that_is_in_both() {
        let bits = Bits::of((0..1000).map(|who| who == 130 || who == 999));
        for (set, first) in
            [(vec![1, 999, 130], Some(130)), (vec![999], Some(999)), (vec![2, 131], None), (vec![], None)]
        {
            assert_eq!(Set::of(set.iter().copied().map(WhoId)).first_in(&bits), first.map(WhoId), "{set:?}");
        }
        assert_eq!(Set::of([WhoId(u16::MAX)]).first_in(&bits), None);
    }
}
