//! What the review's commands write to a terminal, and only there: colours for what stands out, and how far they are.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

use std::process::Command;

use peergate::audit::entry::Decided;
use peergate::model::refusal::Refusal;
use support::pty::Pty;
use support::stage::{Asked, Stage};

const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const PLAIN: &str = "\x1b[0m";
/// Progress that is over.
const CLEARED: &str = "\r\x1b[K";

/// One allowed, one denied whose target would draw, and a line that no writer of ours wrote.
fn stage() -> Stage {
    let mut stage = Stage::new();
    stage.access(Asked { target: "/fine", ..Asked::default() });
    let verdict = Decided::Deny(Refusal::NotAllowed);
    stage.access(Asked { target: "/bad\x1b[2J\x1b[32m\u{9b}1m", verdict, ..Asked::default() });
    stage.raw("gate-1001-0-2", "no record \x1b[35m");
    stage
}

/// Everything that the command wrote to a terminal of 200 columns, and what stands there at the end.
fn on_terminal(command: &Command) -> (String, String) {
    let mut pty = Pty::start(command, 200, 50);
    let status = pty.wait_end();
    assert!(status.success(), "{status}");
    let screen = pty.wait("the end", |_| true).replace("<the end>", "");
    (String::from_utf8(pty.written.clone()).unwrap().replace("<the end>", ""), screen)
}

/// The same with something in the environment.
fn with(variable: &str, command: &Command) -> Command {
    let mut env = Command::new("env");
    env.arg(variable).arg(command.get_program()).args(command.get_args());
    env
}

#[test]
fn tail_and_search_colour_what_was_denied_or_is_no_record() {
    let stage = stage();
    for (arguments, records) in [(&["tail", "--all"][..], 5), (&["search"], 3)] {
        let (written, _) = on_terminal(&stage.command(arguments));
        let written = written.replace(CLEARED, "");
        let lines: Vec<&str> = written.lines().collect();
        assert!(lines.len() >= records, "{written:?}");
        for line in &lines {
            let colour = if line.contains("DENY") {
                RED
            } else if line.contains("no record") {
                YELLOW
            } else {
                assert!(!line.contains('\x1b'), "{line:?}");
                continue;
            };
            // Around the whole line, and nothing of ours or others' within.
            let inner = line.trim_end().strip_prefix(colour).and_then(|rest| rest.strip_suffix(PLAIN));
            let inner = inner.unwrap_or_else(|| panic!("{line:?}"));
            assert!(inner.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line:?}");
        }
        for colour in [RED, YELLOW] {
            assert_eq!(written.matches(colour).count(), 1, "{written:?}");
        }
        assert!(written.contains("/bad\\u001b[2J\\u001b[32m\\u009b1m"), "{written:?}");
    }
}

#[test]
fn colours_stay_away_where_somebody_minds_or_no_terminal_is_there() {
    let stage = stage();
    let command = stage.command(&["tail", "--all"]);
    let (written, _) = on_terminal(&with("NO_COLOR=1", &command));
    assert!(written.contains("DENY") && !written.contains('\x1b'), "{written:?}");
    // An empty one says nothing (no-color.org).
    let (written, _) = on_terminal(&with("NO_COLOR=", &command));
    assert!(written.contains(RED), "{written:?}");
    let piped = support::said(&stage.run(&["tail", "--all"]));
    assert!(piped.contains("DENY") && !piped.contains('\x1b'), "{piped:?}");
    // Forms for programs have none on a terminal either.
    for form in ["json", "csv", "sentence"] {
        let (written, _) = on_terminal(&stage.command(&["tail", "--all", "--format", form]));
        assert!(
            !written.contains('\x1b') || form == "json" && written.contains("\r\x1b[K"),
            "{form}: {written:?}"
        );
    }
}

#[test]
fn progress_is_overwritten_and_leaves_nothing_behind() {
    let stage = stage();
    let bundle = |name: &str| {
        let out = stage.path().with_extension(name);
        (stage.command(&["bundle", out.to_str().unwrap()]), out)
    };
    let (command, out) = bundle("a.tar");
    let (written, screen) = on_terminal(&command);
    std::fs::remove_file(&out).unwrap();
    let segments: Vec<_> = written.split('\r').filter(|part| part.starts_with("record/")).collect();
    assert_eq!(segments.len(), 2, "each segment is named: {written:?}");
    assert!(segments.iter().all(|part| part.ends_with("\x1b[K")), "{written:?}");
    let lines: Vec<&str> = screen.lines().filter(|line| !line.trim().is_empty()).collect();
    assert!(lines.len() <= 2 && screen.contains(": 4 files, "), "{screen}");
    assert!(!screen.contains("record/"), "{screen}");
    // It goes to nobody who can't overwrite it.
    let (mut command, out) = bundle("b.tar");
    let output = command.output().unwrap();
    std::fs::remove_file(&out).unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert!(output.status.success());
}
