//! `[[test]]`: one caller, one request, what is expected. Read here, run by [`super::super::cases`].

use std::collections::HashSet;

use super::super::diagnostics::{At, quoted};
use super::super::file::{File, Test, TestWho};
use super::super::names::Names;
use super::super::table::Who;
use super::{Checker, find};
use crate::model::caller::{Attr, Caller, Credentials, Exe, Gid, Peer, Uid};
use crate::model::ids::ListenerId;
use crate::model::method::Method;
use crate::model::refusal::Refusal;
use crate::model::time::Timestamp;

/// A test that can be run.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) caller: Caller,
    pub(crate) listener: ListenerId,
    pub(crate) method: Method,
    /// As a client would send it.
    pub(crate) target: String,
    pub(crate) upgrade: Option<String>,
    /// When; `None`: times do not matter.
    pub(crate) at: Option<Timestamp>,
    /// Its header lines, as far as rules read any.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<String>,
    pub(crate) expect: At<Expect>,
    /// The route that is expected to match.
    pub(crate) route: Option<At<String>>,
}

/// What a test expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    Allow,
    /// Any refusal.
    Deny,
    /// This one.
    Refusal(Refusal),
}

impl<N: Names> Checker<'_, '_, N> {
    pub(super) fn cases(&mut self, file: &File, whos: &[Who]) -> Vec<Case> {
        let ids: Vec<_> =
            file.routes.iter().filter_map(|route| Some(route.id.as_ref()?.value.as_str())).collect();
        let Some((user, group)) = nobody(whos) else { return Vec::new() };
        let mut cases = Vec::new();
        for test in &file.tests {
            let listener = match &test.on {
                Some(name) => find(self.problems, "listener", name, &self.listeners),
                None => self.only_listener(test.span, "this test"),
            };
            let caller = self.test_caller(&test.who, user, group);
            let request = test.request.as_ref().and_then(|request| self.test_request(request));
            let expect = test.expect.as_ref().and_then(|expect| self.expectation(expect));
            if let Some(route) = &test.route
                && !ids.contains(&route.value.as_str())
            {
                let message = format!("there is no route {}", quoted(&route.value));
                self.problems.add_unknown(route.span, message, &route.value, ids.iter().copied());
            }
            if let (Some(listener), Some(caller), Some((method, target)), Some(expect)) =
                (listener, caller, request, expect)
            {
                let Test { upgrade, route, at, .. } = test;
                let at = at.as_ref().map(|at| at.value);
                let upgrade = upgrade.as_ref().map(|upgrade| upgrade.value.clone());
                let (headers, body) = (test_headers(test), test.body.as_ref().map(|body| body.value.clone()));
                let route = route.clone();
                cases.push(Case {
                    caller,
                    listener,
                    method,
                    target,
                    upgrade,
                    at,
                    headers,
                    body,
                    expect,
                    route,
                });
            }
        }
        cases
    }

    fn test_caller(&mut self, who: &TestWho, nobody: Uid, nogroup: Gid) -> Option<Caller> {
        let mut groups = Vec::new();
        let (mut uid, mut gid) = (nobody, nogroup);
        if let Some(name) = &who.user {
            let user = self.people.user(name, self.problems)?;
            (uid, gid) = (user.uid, user.gid);
            match self.people.groups_of(&user) {
                Ok(all) => groups = all,
                Err(error) => {
                    let message =
                        format!("the groups of {} can't be looked up: {error}", quoted(&name.value));
                    self.problems.add_unanswered(name.span, message);
                }
            }
        }
        if let Some(number) = &who.uid {
            let written = u32::try_from(number.value).ok().and_then(Uid::new)?;
            if who.user.is_some() && written != uid {
                self.problems.add(number.span, "this is not the id of that user");
            }
            uid = written;
        }
        for name in who.group.as_ref().map_or([].as_slice(), |names| &names.value) {
            groups.extend(self.people.group(name, self.problems));
        }
        groups
            .extend(who.gid.iter().flat_map(|gids| gids.value.iter().filter_map(|gid| Gid::new(gid.value))));
        let login_uid =
            who.login_uid.as_ref().and_then(|uid| u32::try_from(uid.value).ok()).and_then(Uid::new);
        let login_user = match &who.login_user {
            Some(name) => Some(self.people.user(name, self.problems)?.uid),
            None => None,
        };
        if let (Some(at), Some(uid), Some(user)) = (&who.login_uid, login_uid, login_user)
            && uid != user
        {
            self.problems.add(at.span, "this is not the id of that user");
        }
        Some(Caller {
            peer: Peer { uid: uid.raw(), gid: gid.raw(), pid: 1, real_uid: None },
            credentials: Credentials {
                uid: Attr::Known(uid),
                gid: Attr::Known(gid),
                groups: Attr::Known(groups),
            },
            user: None,
            namespace: who.lives(),
            start_time: Attr::Unknown,
            exe: Attr::from(who.exe.as_ref().and_then(|path| {
                let trusted = who.exe_trusted.as_ref().is_some_and(|trusted| trusted.value);
                let path = self.path(path)?.into_bytes();
                Some(Exe { path, device: 0, inode: 0, trusted: Attr::Known(trusted) })
            })),
            unit: Attr::from(who.unit.as_ref().map(|unit| unit.value.clone())),
            login_uid: Attr::from(login_user.or(login_uid)),
            label: Attr::from(who.label.as_ref().map(|label| label.value.clone().into_bytes())),
        })
    }

    fn test_request(&mut self, request: &At<String>) -> Option<(Method, String)> {
        let (method, target) = request.value.split_once(' ').unwrap_or(("", ""));
        match Method::parse(method.as_bytes()) {
            Ok(method) if !target.is_empty() => Some((method, target.to_owned())),
            _ => {
                let message = format!("{} is no request", quoted(&request.value));
                self.problems.add_help(request.span, message, "write `\"GET /containers/json\"`");
                None
            }
        }
    }

    fn expectation(&mut self, expect: &At<String>) -> Option<At<Expect>> {
        let meant = match expect.value.as_str() {
            "allow" => Expect::Allow,
            "deny" => Expect::Deny,
            code => match Refusal::ALL.iter().find(|refusal| refusal.code() == code) {
                Some(refusal) => Expect::Refusal(*refusal),
                None => {
                    let codes = Refusal::ALL.iter().map(|refusal| refusal.code());
                    let known: Vec<_> = ["allow", "deny"].into_iter().chain(codes).collect();
                    let message = format!("{} is neither `allow`, `deny` nor a refusal's code", quoted(code));
                    self.problems.add_unknown(expect.span, message, code, known);
                    return None;
                }
            },
        };
        Some(At { value: meant, span: expect.span })
    }
}

/// A body without a Content-Type is meant to be JSON.
fn test_headers(test: &Test) -> Vec<(String, String)> {
    let mut headers: Vec<_> =
        test.headers.iter().map(|(name, value)| (name.value.clone(), value.clone())).collect();
    let typed = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if test.body.is_some() && !typed {
        headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
    }
    headers
}

/// A user and a group that no who names: whom a test means that names none.
fn nobody(whos: &[Who]) -> Option<(Uid, Gid)> {
    let uids = whos.iter().filter_map(|who| who.uids.as_ref()).flatten().map(|uid| uid.raw());
    let gids = whos.iter().flat_map(|who| &who.groups).flatten().map(|gid| gid.raw());
    let named: HashSet<u32> = uids.chain(gids).collect();
    let free = (0..u32::MAX).rev().find(|id| !named.contains(id))?;
    Uid::new(free).zip(Gid::new(free))
}
