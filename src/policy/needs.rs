//! What the rules of a listener ask of a caller beside what authorises: the warden reads no more than that.

use std::collections::HashSet;

use super::sets::Order;
use super::table::{Named, Policy};
use crate::model::depth::Depth;
use crate::model::ids::ListenerId;

/// What has to be read, by listener.
#[derive(Debug)]
pub(super) struct Needs {
    depths: Vec<Depth>,
    programs: HashSet<Vec<u8>>,
}

impl Needs {
    pub(super) fn of(policy: &Policy, order: &Order) -> Needs {
        let of_whos = order.depths(&policy.whos);
        let of = |named: &[Named]| {
            let each = named.iter().filter_map(|named| of_whos.get(usize::from(named.who.0)).copied());
            each.fold(Depth::CHEAP, Depth::and)
        };
        // A limit holds wherever the caller comes in.
        let limited = policy.whos.iter().zip(&of_whos).filter(|(who, _)| !who.limits.is_empty());
        let everywhere = limited.fold(Depth::CHEAP, |so_far, (_, depth)| so_far.and(*depth));
        let mut depths = vec![everywhere; policy.listeners.len()];
        let mut add = |listener: usize, depth: Depth| {
            if let Some(known) = depths.get_mut(listener) {
                *known = known.and(depth);
            }
        };
        for route in &policy.routes {
            let depth = of(&route.allow);
            route.on.iter().for_each(|on| add(usize::from(on.0), depth));
        }
        for forbid in &policy.forbids {
            let depth = forbid.who.as_ref().map_or(Depth::CHEAP, |who| of(who));
            match &forbid.on {
                Some(on) => on.iter().for_each(|on| add(usize::from(on.0), depth)),
                None => (0..policy.listeners.len()).for_each(|on| add(on, depth)),
            }
        }
        let programs = policy.whos.iter().flat_map(|who| who.exe.iter().flatten());
        Needs { depths, programs: programs.map(|path| path.clone().into_bytes()).collect() }
    }

    pub(super) fn depth(&self, ListenerId(listener): ListenerId) -> Depth {
        self.depths.get(usize::from(listener)).copied().unwrap_or_default()
    }

    pub(super) fn names_program(&self, path: &[u8]) -> bool {
        self.programs.contains(path)
    }
}
