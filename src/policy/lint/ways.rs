//! What a person is told of a route that makes somebody root of the host in many ways: once, with the worst of them.

use super::{Finding, Way};
use crate::policy::diagnostics::quoted;

/// Ways that are told.
const TOLD: usize = 3;

/// The findings as a person reads them: all ways by which one route makes the same people root are one finding.
pub fn gathered(findings: &[Finding]) -> Vec<Finding> {
    let alike = |one: &Finding, other: &Finding| match (&one.way, &other.way) {
        (Some(a), Some(b)) => {
            (&a.route, &a.who) == (&b.route, &b.who)
                && (&one.shown.file, one.shown.line) == (&other.shown.file, other.shown.line)
        }
        _ => false,
    };
    let mut told: Vec<Finding> = Vec::new();
    for (at, finding) in findings.iter().enumerate() {
        if findings.iter().take(at).any(|before| alike(before, finding)) {
            continue;
        }
        let mut ways: Vec<&Way> = findings
            .iter()
            .skip(at)
            .filter(|other| alike(finding, other))
            .filter_map(|it| it.way.as_ref())
            .collect();
        // They come worst first. What Podman has of its own, below `/libpod`, are the same things again.
        ways.sort_by_key(|way| way.request.contains(" /libpod/"));
        let mut finding = finding.clone();
        if let [first, _, ..] = ways.as_slice() {
            finding.shown.message = sentence(first, &ways, finding.lint.name());
        }
        told.push(finding);
    }
    told
}

fn sentence(first: &Way, ways: &[&Way], lint: &str) -> String {
    let worst: Vec<String> =
        ways.iter().take(TOLD).map(|way| format!("{} ({})", quoted(&way.request), way.why)).collect();
    let rest = match ways.len().saturating_sub(TOLD) {
        0 => String::new(),
        rest => format!(", and {rest} more that `--format json` lists"),
    };
    format!(
        "route {} lets {} become root of the host by {} requests: {}{rest} [{lint}]",
        quoted(&first.route),
        first.who,
        ways.len(),
        worst.join(", ")
    )
}
