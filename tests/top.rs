//! `peergate audit top` on a terminal: what it draws, and that its keys do what they say.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;
use peergate::audit::entry::{Decided, Entry, Repeat};
use peergate::model::refusal::Refusal;
use peergate::model::time::Timestamp;
use support::pty::Pty;
use support::stage::{Asked, Stage};

const DENY: Decided = Decided::Deny(Refusal::NotAllowed);

/// A record whose next entry is of now.
fn now() -> Stage {
    let mut stage = Stage::new();
    stage.clock = Timestamp::now().micros();
    stage
}

fn asked(target: &str) -> Asked<'_> {
    Asked { target, ..Asked::default() }
}

fn denied(target: &str) -> Asked<'_> {
    Asked { uid: 1002, user: "alice", route: "", verdict: DENY, ..asked(target) }
}

fn start(stage: &Stage) -> Pty {
    let mut pty = Pty::start(&stage.command(&["top"]), 80, 24);
    pty.wait_for("q quit");
    pty
}

/// `/a` to `/f`, the latest last; `/b` and `/e` are denied.
fn six() -> (Stage, Pty) {
    let mut stage = now();
    for target in ["/a", "/b", "/c", "/d", "/e", "/f"] {
        let denial = ["/b", "/e"].contains(&target);
        stage.access(if denial { denied(target) } else { asked(target) });
    }
    let mut pty = start(&stage);
    pty.wait_for("GET /f");
    (stage, pty)
}

#[test]
fn once_is_a_picture_as_text() {
    let mut stage = Stage::new();
    stage.access(asked("/containers/json"));
    stage.access(denied("/containers/a/exec"));
    stage.access(Asked { uid: 1002, user: "alice", route: "images-list", ..asked("/images/json") });
    let repeat = Repeat {
        uid: 1002,
        on: "docker",
        route: None,
        refusal: Refusal::RateLimited,
        count: 40,
        first: Timestamp::from_micros(stage.clock),
        last: Timestamp::from_micros(stage.clock + 1_000),
    };
    stage.write("gate-1002-0-2", &Entry::Repeat(repeat));
    let moment = ["--once", "--until", "2026-11-23T03:46:31Z", "--rows", "18"];
    let output = stage.run(&[&["top"], &moment[..]].concat());
    let place = stage.path().display().to_string();
    let expected = format!(
        " peergate audit top  {place:<36}2026-11-23 03:46:31Z
denied       4.1/s     41 last minute       41 in all                         #
allowed      0.2/s      2 last minute        2 in all                         #

CALLER, last minute   denied  allowed  ROUTE                  denied  allowed
alice (1002)              41        1  (none)                    41        0
deploy (1001)              0        1  containers-list            0        1
                                       images-list                0        1

TIME     VERDICT WHY, END      CALLER          REQUEST
03:46:29 denied  rate-limited  alice (1002)    more of the same, at docker, 40 ~
03:46:29 allowed 200           alice (1002)    GET /images/json
03:46:29 denied  not-allowed   alice (1002)    GET /containers/a/exec
03:46:29 allowed 200           deploy (1001)   GET /containers/json


 / filter  space pause  n denial  Enter open  s sort: denied  ? help  q quit
"
    );
    let out = support::out(&output);
    // The sparkline's place says when, within a minute.
    let still =
        |text: &str| text.split_whitespace().filter(|word| *word != "#").collect::<Vec<_>>().join(" ");
    assert_eq!(still(&out), still(&expected), "{out}");
    assert!(out.lines().all(|line| line.chars().count() <= 80) && out.lines().count() == 18, "{out}");
    let filtered = support::out(&stage.run(&[&["top"], &moment[..], &["--user", "deploy"]].concat()));
    assert!(filtered.contains("1 in all") && !filtered.contains("alice"), "{filtered}");
}

#[test]
fn top_shows_what_comes_across_rotation() {
    let mut stage = now();
    let mut pty = start(&stage);
    pty.wait_for("Nothing yet.");
    let id = stage.begin(asked("/stream"));
    let screen = pty.wait_for("GET /stream");
    assert!(screen.contains("1 in all"), "{screen}");
    stage.end(id, 1001, 5_000);
    pty.wait("its end", |screen| screen.lines().any(|line| line.contains("200") && line.contains("/stream")));
    stage.access(denied("/refused"));
    pty.wait_for("GET /refused");
    // The next segments, of another gate as well.
    stage.access(Asked { uid: 1003, user: "bob", ..asked("/rotated") });
    let screen = pty.wait_for("GET /rotated");
    assert!(screen.contains("bob (1003)") && screen.contains("2 in all"), "{screen}");
    pty.press("q");
    assert_eq!(pty.wait_end().code(), Some(0));
}

#[test]
fn top_begins_five_minutes_ago_and_knows_who_connected_before() {
    let mut stage = now();
    stage.clock -= 600_000_000;
    stage.access(asked("/long-ago"));
    let id = stage.connect(asked(""));
    stage.clock += 540_000_000;
    stage.decide(id, asked("/kept-alive"));
    let mut pty = start(&stage);
    let screen = pty.wait_for("GET /kept-alive");
    assert!(screen.contains("deploy (1001)") && !screen.contains("/long-ago"), "{screen}");
}

#[test]
fn filter_key_narrows_list_and_counts() {
    let (_stage, mut pty) = six();
    pty.press("/");
    pty.wait_for("filter:");
    pty.press("ALICE get");
    let screen =
        pty.wait("only hers", |screen| screen.contains("filter: ALICE get") && !screen.contains("deploy"));
    assert!(
        screen.contains("GET /b") && screen.contains("2 in all") && screen.contains("0 in all"),
        "{screen}"
    );
    // `q` is a letter here; a backspace takes it back, and Enter keeps the filter.
    pty.press("q");
    pty.wait_for("Nothing like that yet.");
    pty.press("\x7f\r");
    pty.wait("kept", |screen| {
        screen.contains("q quit") && screen.contains("GET /e") && !screen.contains("GET /f")
    });
    pty.press("\x1b");
    pty.wait_for("GET /f");
}

#[test]
fn pause_key_holds_the_picture_and_loses_nothing() {
    let (mut stage, mut pty) = six();
    pty.press(" ");
    pty.wait_for("PAUSED");
    stage.access(denied("/while-paused"));
    pty.press("s");
    let screen = pty.wait_for("sort: allowed");
    assert!(!screen.contains("/while-paused"), "{screen}");
    pty.press(" ");
    let screen = pty.wait_for("/while-paused");
    assert!(!screen.contains("PAUSED"), "{screen}");
}

#[test]
fn jump_key_goes_from_denial_to_denial() {
    let (_stage, mut pty) = six();
    for (key, there) in
        [("n", "/e"), ("n", "/b"), ("n", "/b"), ("N", "/e"), ("\x1b[B", "/d"), ("N", "/e"), ("k", "/f")]
    {
        pty.press(key);
        pty.wait_selected(there);
    }
    pty.press("G");
    pty.wait_selected("/a");
    pty.press("\x1b[H");
    pty.wait_selected("/f");
    pty.press("\x1b");
    pty.wait_selected("");
}

#[test]
fn open_key_shows_all_that_is_on_record() {
    let (_stage, mut pty) = six();
    pty.press("n\r");
    let screen = pty.wait_for("Esc back");
    for text in [
        "request    7k3qzd-5-1",
        "asked      GET /e",
        "verdict    denied: not-allowed",
        "rule       who.ci",
        "stands at  policy.toml:42",
        "status     403",
        "who        alice",
        "ids        uid 1002, gid 1001, groups 998, pid 48213",
        "program    /usr/bin/docker",
        "unit       ci.service",
        "gate-1002-0-2.ndjson",
    ] {
        assert!(screen.contains(text), "{text} is not in:\n{screen}");
    }
    pty.press("q");
    pty.wait_for("q quit");
    pty.press("kk\r");
    let screen = pty.wait_for("outcome    200 completed");
    assert!(screen.contains("0 bytes in, 5120 out, 7456 us"), "{screen}");
}

#[test]
fn sort_and_help_keys_do_what_they_say() {
    let (_stage, mut pty) = six();
    let first = |screen: &str| screen.lines().nth(5).unwrap_or_default().to_owned();
    assert!(first(&pty.wait_for("sort: denied")).starts_with("alice"));
    pty.press("s");
    assert!(first(&pty.wait_for("sort: allowed")).starts_with("deploy"));
    pty.press("s");
    assert!(first(&pty.wait_for("sort: name")).starts_with("alice"));
    pty.press("?");
    pty.wait_for("jump to the next denial");
    pty.press("x");
    pty.wait_for("q quit");
}

#[test]
fn window_of_any_size_is_filled() {
    let (_stage, mut pty) = six();
    for (columns, rows) in [(120, 40), (40, 10), (20, 5), (7, 2), (1, 1), (200, 60), (80, 24)] {
        pty.resize(columns, rows);
        pty.wait(&format!("{columns} columns, {rows} rows"), |screen| {
            let title =
                " peergate audit top".get(..usize::from(columns) - 1).unwrap_or(" peergate audit top");
            let whole = columns >= 80 && rows >= 24;
            screen.starts_with(title.trim_end())
                && screen.lines().all(|line| line.chars().count() <= usize::from(columns))
                && (!whole || screen.contains("q quit") && screen.contains("GET /a"))
                && (rows < 8 || screen.contains("TIME"))
        });
    }
}

#[test]
fn terminal_is_given_back_however_it_ends() {
    let ended: [(&str, Option<Signal>); 6] = [
        ("q", None),
        ("\x03", None),
        ("", Some(Signal::SIGTERM)),
        ("", Some(Signal::SIGINT)),
        ("", Some(Signal::SIGHUP)),
        ("", Some(Signal::SIGQUIT)),
    ];
    for (key, signal) in ended {
        let stage = now();
        let mut pty = start(&stage);
        assert!(!pty.is_cooked() && pty.is_on_second_screen() && pty.hides_cursor());
        match signal {
            Some(signal) => pty.signal(signal),
            None => pty.press(key),
        }
        let status = pty.wait_end();
        assert_eq!(
            (status.signal(), status.code()),
            (signal.map(|it| it as i32), signal.is_none().then_some(0))
        );
        assert!(pty.is_cooked() && !pty.is_on_second_screen() && !pty.hides_cursor(), "{key:?} {signal:?}");
    }
}

#[test]
fn suspended_it_leaves_the_terminal_and_comes_back() {
    let (_stage, mut pty) = six();
    pty.press("\x1a");
    pty.wait_stopped();
    assert!(pty.is_cooked());
    pty.signal(Signal::SIGCONT);
    pty.wait_for("q quit");
    pty.press("?");
    pty.wait_for("jump to the next denial");
    assert!(!pty.is_cooked());
    // From outside as well.
    pty.signal(Signal::SIGTSTP);
    pty.wait_stopped();
    assert!(pty.is_cooked());
    pty.signal(Signal::SIGCONT);
    pty.wait_for("any key back");
    pty.press("xq");
    assert_eq!(pty.wait_end().code(), Some(0));
}

#[test]
fn hostile_records_never_draw() {
    let mut stage = now();
    let hostile = "\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{202e}\r\n\u{8}\u{e000}\u{2588}";
    let all = Asked { user: hostile, exe: hostile, target: hostile, route: hostile, ..Asked::default() };
    stage.access(all);
    stage.access(Asked { verdict: DENY, ..all });
    stage.raw("gate-1001-0-2", hostile);
    let mut pty = start(&stage);
    let screen = pty.wait_for("\\u001b[2J");
    assert!(screen.contains("lines that nobody may write: 2"), "{screen}");
    pty.press("n\r");
    let screen = pty.wait_for("Esc back");
    assert!(screen.contains("\\u001b]0;title\\u0007"), "{screen}");
    pty.press("qq");
    pty.wait_end();
    let written = String::from_utf8(pty.written.clone()).unwrap();
    for (at, sequence) in written.split('\x1b').enumerate() {
        let text = if at == 0 {
            sequence
        } else {
            let end = sequence.find(|c: char| c.is_ascii_alphabetic()).unwrap();
            let known = ["[2J", "[?1049h", "[?1049l", "[?25l", "[?25h", "[?7l", "[?7h"];
            let parameters = sequence[1..end].bytes().all(|byte| byte.is_ascii_digit() || byte == b';');
            let ours = known.contains(&&sequence[..=end])
                || parameters && ["m", "H"].contains(&&sequence[end..=end]);
            assert!(ours && sequence.starts_with('['), "{sequence:?}");
            &sequence[end + 1..]
        };
        let plain = |c: char| matches!(c, ' '..='~' | '\u{2581}'..='\u{2588}');
        assert!(text.chars().all(plain), "{text:?}");
    }
}

#[test]
fn no_terminal_is_exit_code_3() {
    let output = Stage::new().run(&["top"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        support::said(&output).contains("--once prints one picture as text"),
        "{}",
        support::said(&output)
    );
}
