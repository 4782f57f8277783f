//! What a gate asks to be run is judged as the gate had to judge it: by the request itself.
//!
//! The gate names the method and the target in its canonical form, whole, and the warden asks the same rules of the
//! policy in force: the most specific route must be the one that the gate names, forbids with their paths win, the
//! query's names and values are judged, and times by the warden's clock. Captures and query values of the command are
//! then taken from that target, not from the gate, so that what was judged and what is run can't differ.
//!
//! So the warden reads a request's target. It could be rebuilt here from the route's pattern and the captures, but what
//! stands in a capture is as much the gate's to choose, and only [`Target::parse`] makes a [`Target`]: rebuilding would be
//! that parser and a printer before it. The parser is no new guest: a warden reads each literal of a policy by it. It is
//! one pass over ASCII without state of a connection, takes no more memory than it is given, is fuzzed
//! (`fuzz/fuzz_targets/target.rs`), and has to give back the very text that it was given, which a canonical target is.
//! Nothing else of HTTP comes here.
//!
//! What can't be judged here stays the gate's word: header lines, a body that the route's rules read, and the values
//! that a body holds, which are judged as values.

use super::Wish;
use crate::model::caller::Caller;
use crate::model::ids::{BackendId, ListenerId};
use crate::model::method::Method;
use crate::model::refusal::Refusal;
use crate::model::target::{Asked, Target};
use crate::policy::{BackendKind, Command, Given, gathered};
use crate::warden::force::InForce;

impl InForce {
    /// The command that a wish comes to, and all values for it, if the policy in force lets this caller run it.
    ///
    /// # Errors
    ///
    /// The refusal that a gate would have had; [`Refusal::NotAllowed`] for what no gate says.
    pub(super) fn judge_wish(
        &self,
        listener: ListenerId,
        caller: &Caller,
        backend: BackendId,
        wish: &Wish,
    ) -> Result<(Command, Given), Refusal> {
        let Some(BackendKind::Command(command)) = self.backend(backend).map(|backend| &backend.kind) else {
            return Err(Refusal::NotAllowed);
        };
        let (method, target) = self.read(wish).ok_or(Refusal::NotAllowed)?;
        let asked = Asked { method: &method, target: &target, upgrade: None };
        self.leads(listener, caller, &asked, &wish.route, backend).map_err(|denial| denial.refusal)?;
        let route = self.policy.routes.iter().find(|route| route.id == wish.route);
        let route = route.ok_or(Refusal::NotAllowed)?;
        let given = gathered(command, route, method.as_str(), &target, &wish.members)?;
        command.filled(&given)?;
        Ok(((**command).clone(), given))
    }

    /// Method and target as a gate says them: canonical, of a length that requests have, and no `HEAD`, by which nobody
    /// runs a command.
    fn read(&self, wish: &Wish) -> Option<(Method, Target)> {
        let longest = usize::try_from(self.policy.limits.target_bytes).unwrap_or(usize::MAX);
        if wish.target.len() > longest || wish.method == "HEAD" {
            return None;
        }
        let target =
            Target::parse(wish.target.as_bytes()).ok().filter(|read| read.as_str() == wish.target)?;
        Some((Method::parse(wish.method.as_bytes()).ok()?, target))
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;
    use crate::model::caller::{Attr, Credentials, Gid, Namespace, Peer, Uid};
    use crate::model::ids::Generation;
    use crate::model::time::Timestamp;
    use crate::policy::{self, Own, SystemNames};
    use crate::warden::grant;
    use crate::wire::runner::Form;

    const POLICY: &str = r#"version = 1
[listen.api]
path = "/run/x/api.sock"
[backend.restart]
command = ["/usr/bin/true", "{unit}", "{lines}", "{note}"]
user = "root"
params.unit = { text = "name" }
params.lines = { int = "1..99", from = "query", optional = true }
params.note = { text = "printable", from = "body", optional = true }
[backend.other]
command = ["/usr/bin/true"]
user = "root"
[who.ops]
uid = [7]
[who.others]
uid = [8]
[[route]]
id = "restart"
match = ["POST /units/{unit}/{how}"]
query = ["lines"]
to = "restart"
allow = ["ops"]
[[route]]
id = "special"
match = ["POST /units/special/{how}"]
to = "other"
allow = ["ops", "others"]
[[route]]
id = "ended"
match = ["POST /ended/{unit}"]
to = "restart"
until = 2020-01-01T00:00:00Z
allow = ["ops"]
[[forbid]]
id = "never-sshd"
match = ["* /units/sshd.service/{how}", "* /units/getty@tty1/{how}"]
[[forbid]]
id = "never-hard"
match = ["POST /units/{unit}/hard"]
who = ["ops"]
[[forbid]]
id = "closed-early"
match = ["POST /units/night.service/{how}"]
when = { from = "00:00", to = "12:00", zone = "UTC" }
[[forbid]]
id = "closed-late"
match = ["POST /units/night.service/{how}"]
when = { from = "12:00", to = "24:00", zone = "UTC" }
"#;

    fn in_force() -> InForce {
        let own = Own::system(Uid::new(0).unwrap(), Gid::new(0).unwrap());
        let policy = policy::load_text("t.toml", POLICY, &SystemNames, &own);
        let memory = OwnedFd::from(tempfile::tempfile().unwrap());
        InForce::first(policy.unwrap_or_else(|why| panic!("{why}")), memory, Timestamp::now())
    }

    fn caller(uid: u32) -> Caller {
        Caller {
            peer: Peer { uid, gid: uid, pid: 1, real_uid: None },
            credentials: Credentials {
                uid: Attr::Known(Uid::new(uid).unwrap()),
                gid: Attr::Known(Gid::new(uid).unwrap()),
                groups: Attr::Known(Vec::new()),
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

    fn wish(route: &str, method: &str, target: &str, members: &[(&str, &str)]) -> Wish {
        let (backend, generation) = (BackendId(0), Generation(1));
        Wish {
            asked: grant::Asked { ticket: 1, connection: 1, request: 1, backend, generation },
            route: route.to_owned(),
            method: method.to_owned(),
            target: target.to_owned(),
            members: members.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            form: Form::Whole,
        }
    }

    fn judged(uid: u32, wish: &Wish) -> Result<Given, Refusal> {
        let (force, caller) = (in_force(), caller(uid));
        let judged = force.judge_wish(ListenerId(0), &caller, BackendId(0), wish);
        judged.map(|(_, given)| given)
    }

    #[test]
    fn wish_is_filled_from_the_target_that_was_judged() {
        let given = judged(7, &wish("restart", "POST", "/units/a.service/soft?lines=7", &[("note", "x y")]));
        let all = [("unit", "a.service"), ("lines", "7"), ("note", "x y")];
        assert_eq!(given, Ok(all.map(|(name, value)| (name.to_owned(), value.to_owned())).into()));
    }

    #[test]
    fn wish_that_a_forbid_takes_is_refused_whatever_the_gate_says() {
        for target in [
            "/units/sshd.service/soft",
            "/units/a.service/hard",
            "/units/night.service/soft",
            "/units/getty@tty1/soft",
        ] {
            assert_eq!(judged(7, &wish("restart", "POST", target, &[])), Err(Refusal::Forbidden), "{target}");
        }
    }

    #[test]
    fn wish_that_is_no_honest_gates_is_refused() {
        let soft = "/units/a.service/soft";
        let long = format!("/units/{}/soft", "a".repeat(9 << 10));
        for (uid, route, method, target, members, refusal) in [
            // The route that matches belongs to somebody else, is another one, leads elsewhere, or is over.
            (8, "restart", "POST", soft, &[][..], Refusal::NotAllowed),
            (7, "special", "POST", soft, &[], Refusal::NotAllowed),
            (7, "restart", "POST", "/units/special/soft", &[], Refusal::NotAllowed),
            (7, "special", "POST", "/units/special/soft", &[], Refusal::NotAllowed),
            (7, "nowhere", "POST", soft, &[], Refusal::NotAllowed),
            (7, "ended", "POST", "/ended/a.service", &[], Refusal::Expired),
            (7, "restart", "GET", soft, &[], Refusal::NoRoute),
            (7, "restart", "HEAD", soft, &[], Refusal::NotAllowed),
            (7, "restart", "PO ST", soft, &[], Refusal::NotAllowed),
            // Targets that no gate would have come to: not canonical, and hiding what a forbid names.
            (7, "restart", "POST", "/units/%73shd.service/soft", &[], Refusal::NotAllowed),
            (7, "restart", "POST", "/units/getty%40tty1/soft", &[], Refusal::NotAllowed),
            (7, "restart", "POST", "/units/a.service/../sshd.service/soft", &[], Refusal::NotAllowed),
            (7, "restart", "POST", "/units//soft", &[], Refusal::NotAllowed),
            (7, "restart", "POST", "units/a/soft", &[], Refusal::NotAllowed),
            (7, "restart", "POST", "*", &[], Refusal::NotAllowed),
            (7, "restart", "POST", "", &[], Refusal::NotAllowed),
            (7, "restart", "POST", &long, &[], Refusal::NotAllowed),
            (7, "restart", "POST", "/units/a%2Fb/soft", &[], Refusal::EncodedSlash),
            (7, "restart", "POST", "/units/sshd.service;x/soft", &[], Refusal::PathParameter),
            // Values: out of their kind, from the wrong place, twice.
            (7, "restart", "POST", "/units/-a/soft", &[], Refusal::Parameter),
            (7, "restart", "POST", "/units/a.service/soft?lines=100", &[], Refusal::Parameter),
            (7, "restart", "POST", "/units/a.service/soft?lines=1&lines=1", &[], Refusal::QueryTwice),
            (7, "restart", "POST", "/units/a.service/soft?note=x", &[], Refusal::QueryName),
            (7, "restart", "POST", soft, &[("unit", "sshd.service")], Refusal::Parameter),
            (7, "restart", "POST", soft, &[("lines", "7")], Refusal::Parameter),
            (7, "restart", "POST", soft, &[("note", "x"), ("note", "y")], Refusal::Parameter),
            (7, "restart", "POST", soft, &[("note", "x\ny")], Refusal::Parameter),
        ] {
            let wish = wish(route, method, target, members);
            assert_eq!(judged(uid, &wish), Err(refusal), "{uid} {route} {method} {target} {members:?}");
        }
        let (force, soft) = (in_force(), wish("restart", "POST", soft, &[]));
        for backend in [BackendId(1), BackendId(2), BackendId(u16::MAX)] {
            assert!(force.judge_wish(ListenerId(0), &caller(7), backend, &soft).is_err(), "{backend:?}");
        }
        assert!(force.judge_wish(ListenerId(1), &caller(7), BackendId(0), &soft).is_err());
    }
}
