//! Runs a policy's own tests. They run whenever the file is loaded; one that fails keeps it from being loaded.

use std::sync::Arc;

use super::check::{Case, Expect};
use super::decide::{Decider, Denial, Headed, Permit, Unread, Verdict};
use super::diagnostics::{Problems, quoted};
use super::params::judge_values;
use super::table::Policy;
use crate::model::message::Coming;
use crate::model::refusal::Refusal;
use crate::model::target::{Asked, Target};

/// Notes every case whose expectation does not hold.
pub(crate) fn run(policy: &Arc<Policy>, cases: &[Case], problems: &mut Problems<'_>) {
    if cases.is_empty() {
        return;
    }
    let decider = Decider::new(policy.clone());
    for case in cases {
        let answer = ask(&decider, case);
        if let Some(route) = &case.route
            && answer.route() != Some(route.value.as_str())
        {
            let matched =
                answer.route().map_or("no route".to_owned(), |id| format!("the route {}", quoted(id)));
            let message =
                format!("this test expects the route {}, but {matched} matches", quoted(&route.value));
            problems.add(route.span, message);
        }
        let holds = match (case.expect.value, &answer) {
            (Expect::Allow, Answer::Allowed { .. }) | (Expect::Deny, Answer::Denied(_)) => true,
            (Expect::Refusal(expected), Answer::Denied(denial)) => denial.refusal == expected,
            _ => false,
        };
        if !holds {
            problems.add(case.expect.span, format!("this test fails: {}", answer.told()));
        }
    }
}

/// What the policy says, in plain values.
enum Answer {
    Allowed { route: String, by: String, at: String },
    Denied(Box<Denial>),
}

impl Answer {
    fn route(&self) -> Option<&str> {
        match self {
            Answer::Allowed { route, .. } => Some(route),
            Answer::Denied(denial) => denial.route.as_deref(),
        }
    }

    fn told(&self) -> String {
        match self {
            Answer::Allowed { route, by, at } => format!("the route `{route}` allows it, by `{by}` at {at}"),
            Answer::Denied(denial) => {
                let part =
                    denial.part.as_ref().map(|part| format!(" for {}", quoted(part))).unwrap_or_default();
                match (&denial.by, &denial.at) {
                    (Some(by), Some(at)) => {
                        format!("it is refused as `{}`{part}, by `{by}` at {at}", denial.refusal)
                    }
                    _ => format!("it is refused as `{}`{part}", denial.refusal),
                }
            }
        }
    }
}

fn ask(decider: &Decider, case: &Case) -> Answer {
    match judge(decider, case) {
        Ok(permit) => Answer::Allowed {
            route: permit.route_id().to_owned(),
            by: permit.by().to_owned(),
            at: permit.at().to_owned(),
        },
        Err(denial) => Answer::Denied(Box::new(denial)),
    }
}

/// Asks as a gate does, head and body.
pub(super) fn judge(decider: &Decider, case: &Case) -> Result<Permit, Denial> {
    let refused = |refusal| Err(Denial::plain(refusal));
    let named = decider.policy().methods.iter().any(|extra| extra == case.method.as_str());
    if !case.method.is_known() && !named {
        return refused(Refusal::MethodUnknown);
    }
    let target = match case.target.as_str() {
        "*" if case.method.as_str() == "OPTIONS" => Ok(Target::star()),
        raw => Target::parse(raw.as_bytes()),
    };
    let target = match target {
        Ok(target) => target,
        Err(refusal) => return refused(refusal),
    };
    let subject = decider.recognise(case.listener, &case.caller);
    let asked = Asked { method: &case.method, target: &target, upgrade: case.upgrade.as_deref() };
    let permit = match decider.decide_at(case.listener, &subject, &asked, case.at) {
        Verdict::Allow(permit) => permit,
        Verdict::Read(unread) => read(unread, case)?,
        Verdict::Deny(denial) => return Err(denial),
    };
    let body = case.body.as_deref().unwrap_or_default().as_bytes();
    match judge_values(decider.policy(), permit.route_id(), &asked, body) {
        Ok(()) => Ok(permit),
        Err((refusal, part)) => Err(Denial { part: Some(part.into()), ..permit.deny(refusal) }),
    }
}

/// Judges head and body as a gate does.
fn read(unread: Unread, case: &Case) -> Result<Permit, Denial> {
    let body = case.body.as_deref().unwrap_or_default();
    let coming = if body.is_empty() { Coming::Nothing } else { Coming::Length(body.len() as u64) };
    match unread.head(&case.headers, coming)? {
        Headed::Permit(permit) => Ok(permit),
        Headed::Body(unjudged) => unjudged.body(body.as_bytes()),
    }
}
