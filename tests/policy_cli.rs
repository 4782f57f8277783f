//! `peergate policy check` as an operator runs it.
#![cfg(feature = "cli")]
#![allow(clippy::disallowed_methods, reason = "a test starts the program it tests")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails where its helpers do")]

use std::io::Write;
use std::process::{Command, Stdio};

/// Checks `text` as standard input; standard output and exit code.
fn check(text: &str, more: &[&str]) -> (String, Option<i32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peergate"));
    command.args(["policy", "check", "-"]).args(more).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

const DEMO: &str = include_str!("../policy/demo.toml");

#[test]
fn check_valid_policy_is_exit_code_0() {
    let (out, code) = check(DEMO, &["--runtime", "/run/demo"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("\n-: valid: 1 listeners, "), "warnings stand before it: {out}");
}

#[test]
fn check_mistake_is_shown_in_place_with_exit_code_1() {
    let (out, code) = check(&format!("{DEMO}\n[[rout]]\n"), &["--runtime", "/run/demo"]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains(" | [[rout]]") && out.contains("^^^^"), "{out}");
}

#[test]
fn check_json_tells_the_same() {
    let (out, code) = check("version = 2\n", &["--format", "json"]);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&value["valid"], code), (&false.into(), Some(1)));
    assert!(value["mistakes"].as_array().unwrap().iter().all(|it| it["line"].is_u64()));
}

#[test]
fn check_hostile_text_does_not_draw() {
    let (out, _) = check("version = \"\u{202e}\u{9b}2J\"\n", &[]);
    assert!(out.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{out}");
}
