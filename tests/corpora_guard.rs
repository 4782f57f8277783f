//! The hostile corpora through the head guard, in-process; the policy is played by one comparison.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop"
)]
#![allow(dead_code, unreachable_pub, reason = "the support module serves another test too")]

#[path = "support/corpora.rs"]
mod corpora;

use std::io::Write;

use corpora::{Allow, FILES, Outcome, Received};
use peergate::gate::head::{Event, Head, HeadLimits, RequestGuard};

fn is_allowed(allow: Allow, head: &Head) -> bool {
    let target = head.target();
    allow == Allow::All
        || target.path().starts_with("/allowed/")
            && target.segments().all(|segment| !segment.encoded_slash && !segment.semicolon)
}

/// One client's connection, its bytes arriving at most `step` at a time.
fn drive(allow: Allow, bytes: &[u8], step: usize) -> Outcome {
    let mut guard = RequestGuard::new(HeadLimits::default());
    let mut rest = bytes;
    let mut outcome = Outcome::default();
    let mut present: Option<Received> = None;
    loop {
        match guard.step() {
            Err(why) => {
                outcome.refused = Some(why.code().to_owned());
                return outcome;
            }
            Ok(Event::Closed) => return outcome,
            Ok(Event::NeedMore) if rest.is_empty() => guard.closed(),
            Ok(Event::NeedMore) => {
                let spare = guard.spare();
                let count = rest.len().min(spare.len()).min(step);
                spare[..count].copy_from_slice(&rest[..count]);
                guard.filled(count);
                rest = &rest[count..];
            }
            Ok(Event::Head(head)) => {
                let mut out = Vec::new();
                head.write_for_backend(&mut out, &[]);
                present = is_allowed(allow, &head).then_some(Received { head: out, body: Vec::new() });
            }
            Ok(Event::Body(count)) => {
                if let Some(received) = &mut present {
                    received.body.extend_from_slice(guard.body());
                }
                guard.consume(count);
            }
            Ok(Event::End) => {
                outcome.received.extend(present.take());
                guard.next();
            }
        }
    }
}

#[test]
fn corpora_nothing_that_must_be_refused_gets_through() {
    let (mut ran, mut missing, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    for (file, judge) in FILES {
        let whole =
            corpora::run(file, judge, &mut |allow, bytes| drive(allow, bytes, usize::MAX), &mut wrong);
        match whole {
            Some(count) => ran.push(format!("{file} {count}")),
            None => missing.push(file),
        }
    }
    let mut report = std::io::stderr().lock();
    writeln!(report, "corpora through the guard: {}", ran.join(", ")).unwrap();
    if !missing.is_empty() {
        writeln!(report, "corpora missing in {}: {missing:?}", corpora::folder().display()).unwrap();
    }
    drop(report);
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn corpora_split_byte_by_byte_gives_the_same_verdicts() {
    for (file, _) in FILES.into_iter().filter(|(file, _)| *file != "paths") {
        for case in corpora::cases(file).unwrap_or_default() {
            let (whole, bytewise) =
                (drive(Allow::All, &case.raw, usize::MAX), drive(Allow::All, &case.raw, 1));
            assert_eq!(whole.refused, bytewise.refused, "{file} {}", case.name);
            assert_eq!(whole.received, bytewise.received, "{file} {}", case.name);
        }
    }
}

#[test]
fn controls_of_the_same_shapes_all_get_through() {
    let (mut ran, mut wrong) = (Vec::new(), Vec::new());
    for (file, judge) in FILES {
        let count =
            corpora::run_controls(judge, &mut |allow, bytes| drive(allow, bytes, usize::MAX), &mut wrong);
        assert!(count >= 50, "{file} has {count} controls");
        ran.push(format!("{file} {count}"));
    }
    writeln!(std::io::stderr(), "controls through the guard: {}", ran.join(", ")).unwrap();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
