//! What of a policy its own tests touch.

use std::collections::BTreeSet;

use super::cases;
use super::decide::Decider;
use super::draft::Draft;
use super::table::Named;
use crate::model::refusal::Refusal;

/// One rule, and whether a test touches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    /// `route containers-list`, `forbid ci-never-execs`, or `route containers-list allows who.ci`.
    pub rule: String,
    /// Its line in the file, from 1.
    pub line: u32,
    /// Whether some test does.
    pub touched: bool,
}

/// Every route, every name in its `allow`, and every forbid, in the order of the file. A route is touched by a request
/// that it matches, a name by one that it allows, a forbid by one that it denies; rules in shadow mode are left out.
pub fn coverage(draft: &Draft) -> Vec<Touched> {
    let policy = &draft.policy;
    let decider = Decider::new(std::sync::Arc::clone(policy));
    let (mut routes, mut allows, mut forbids) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for case in &draft.cases {
        let subject = decider.recognise(case.listener, &case.caller);
        match cases::judge(&decider, case) {
            Ok(permit) => {
                let id = permit.route_id().to_owned();
                let route = policy.routes.iter().find(|route| route.id == id);
                for Named { who, .. } in route.map_or([].as_slice(), |route| &route.allow) {
                    if subject.holds.has(*who) {
                        allows.insert((id.clone(), *who));
                    }
                }
                routes.insert(id);
            }
            Err(denial) => {
                if denial.refusal == Refusal::Forbidden
                    && let Some(id) = denial.by.as_deref().and_then(|by| by.strip_prefix("forbid."))
                {
                    forbids.insert(id.to_owned());
                }
                routes.extend(denial.route.map(|id| id.to_string()));
            }
        }
    }
    let mut all = Vec::new();
    for route in policy.routes.iter().filter(|route| !route.shadow) {
        let rule = format!("route {}", route.id);
        all.push(Touched { rule, line: route.line, touched: routes.contains(&route.id) });
        for Named { who, line } in &route.allow {
            let name = policy.whos.get(usize::from(who.0)).map_or("", |who| who.name.as_str());
            let rule = format!("route {} allows who.{name}", route.id);
            all.push(Touched { rule, line: *line, touched: allows.contains(&(route.id.clone(), *who)) });
        }
    }
    for forbid in policy.forbids.iter().filter(|forbid| !forbid.shadow) {
        let rule = format!("forbid {}", forbid.id);
        all.push(Touched { rule, line: forbid.line, touched: forbids.contains(&forbid.id) });
    }
    all
}
