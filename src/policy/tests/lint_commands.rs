//! Each lint about commands, where it is found and where it is silent.

use super::{House, own};
use crate::policy::Draft;
use crate::policy::grants::Known;
use crate::policy::lint::{Lint, lint};
use crate::policy::snapshot::Daemon;

const LINTS: [Lint; 4] = [Lint::RootEquivalent, Lint::Interpreter, Lint::OptionLike, Lint::FreeText];

/// What is found about a command with these words and keys, without what is found about everything else.
fn about(user: &str, words: &str, keys: &str) -> Vec<(Lint, String)> {
    let text = format!(
        "version = 1\n[listen.a]\npath = \"/run/peergate/a.sock\"\n[who.ops]\ngroup = \"docker-ops\"\n\
         [backend.c]\ncommand = {words}\nuser = \"{user}\"\n{keys}\n\
         [[route]]\nid = \"r\"\nmatch = \"POST /run\"\nto = \"c\"\nallow = \"ops\"\n"
    );
    let draft = Draft::read("policy.toml", &text, &House, &own()).unwrap_or_else(|wrong| panic!("{wrong}"));
    let known = Known::of(&House, ["docker-ops"]);
    let daemon = Daemon { uid: super::uid(0), gid: super::gid(0) };
    let told = lint(&draft, &known, daemon).into_iter().filter(|finding| LINTS.contains(&finding.lint));
    told.map(|finding| (finding.lint, finding.shown.message)).collect()
}

/// The same for one parameter `x` of this type, from the query.
fn with(user: &str, words: &str, kind: &str) -> Vec<Lint> {
    let keys = format!("params.x = {{ {kind}, from = \"query\" }}");
    about(user, words, &keys).into_iter().map(|(lint, _)| lint).collect()
}

const NAME: &str = "text = \"name\"";
const LINE: &str = "text = \"line\"";
const LISTED: &str = "one_of = [\"a\", \"b\"]";
const BELOW: &str = "below = \"/srv\"";

#[test]
fn lint_value_that_says_what_root_does_is_root_equivalent() {
    for (words, kind) in [
        (r#"["/bin/sh", "-c", "echo {x}"]"#, NAME),
        (r#"["/bin/bash", "-o", "pipefail", "-ec", "echo {x}"]"#, LINE),
        (r#"["/bin/bash", "{x}"]"#, BELOW),
        (r#"["/usr/bin/python3.11", "-c", "{x}"]"#, LINE),
        (r#"["/usr/bin/python3", "{x}"]"#, BELOW),
        (r#"["/usr/bin/perl", "-ne", "{x}", "/etc/motd"]"#, NAME),
        (r#"["/usr/bin/node", "--eval", "{x}"]"#, LINE),
        (r#"["/usr/bin/awk", "{x}", "/etc/motd"]"#, LINE),
        (r#"["/bin/busybox", "sh", "-c", "{x}"]"#, LINE),
        (r#"["/usr/bin/env", "bash", "-c", "{x}"]"#, LINE),
        (r#"["/usr/bin/env", "{x}"]"#, NAME),
        (r#"["/usr/bin/nsenter", "--target=1", "{x}"]"#, NAME),
        (r#"["/usr/sbin/chroot", "/srv/root", "{x}"]"#, NAME),
        (r#"["/usr/bin/systemd-run", "{x}"]"#, NAME),
        (r#"["/usr/bin/find", "{x}", "-print"]"#, LINE),
        (r#"["/usr/bin/tar", "xf", "{x}"]"#, LINE),
        (r#"["/usr/bin/vim.basic", "{x}"]"#, LINE),
        (r#"["/usr/bin/less", "{x}"]"#, LINE),
        (r#"["/usr/bin/dd", "if=/dev/zero", "of={x}"]"#, LINE),
        (r#"["/usr/sbin/usermod", "-aG", "sudo", "{x}"]"#, NAME),
        (r#"["/usr/bin/docker", "{x}"]"#, NAME),
    ] {
        assert_eq!(with("root", words, kind).first(), Some(&Lint::RootEquivalent), "{words}");
    }
    let (_, message) =
        about("root", r#"["/bin/sh", "-c", "echo {x}"]"#, "params.x = { text = \"name\", from = \"query\" }")
            .remove(0);
    let wanted = "`ops` may do anything as `root`: `x` gets to `/bin/sh`, and what it is told is a program";
    assert!(message.starts_with(wanted), "{message}");
}

#[test]
fn lint_what_leads_to_root_counts_as_root() {
    for words in [r#"["/usr/bin/docker", "run", "{x}"]"#, r#"["/usr/bin/podman", "exec", "web", "{x}"]"#] {
        assert_eq!(with("ci", words, NAME), [Lint::RootEquivalent], "{words}");
    }
    assert_eq!(with("ci", r#"["/usr/bin/sudo", "bash", "-c", "{x}"]"#, NAME), [Lint::RootEquivalent]);
}

#[test]
fn lint_body_is_a_program_where_it_is_read_as_one() {
    let body = |user: &str, words: &str| -> Vec<Lint> {
        about(user, words, "stdin = \"1KiB\"").into_iter().map(|(lint, _)| lint).collect()
    };
    for words in [
        r#"["/bin/sh"]"#,
        r#"["/bin/sh", "-s", "x"]"#,
        r#"["/usr/bin/python3", "-"]"#,
        r#"["/usr/bin/xargs", "/bin/rm"]"#,
    ] {
        assert_eq!(body("root", words), [Lint::RootEquivalent], "{words}");
        assert_eq!(body("ci", words), [Lint::Interpreter], "{words}");
    }
    assert_eq!(body("root", r#"["/usr/sbin/chpasswd"]"#), [Lint::RootEquivalent]);
    assert_eq!(body("ci", r#"["/usr/bin/python3", "/srv/read.py"]"#), []);
    assert_eq!(body("root", r#"["/usr/bin/wc"]"#), []);
}

#[test]
fn lint_interpreter_of_another_user_is_found_where_values_are_its_program() {
    assert_eq!(with("ci", r#"["/bin/sh", "-c", "echo {x}"]"#, NAME), [Lint::Interpreter]);
    assert_eq!(with("ci", r#"["/usr/bin/timeout", "9", "{x}"]"#, NAME), [Lint::Interpreter]);
    for (words, kind) in [
        (r#"["/bin/sh", "-c", "echo {x}"]"#, LISTED),
        (r#"["/bin/sh", "-c", "echo \"$1\"", "--", "{x}"]"#, NAME),
        (r#"["/usr/bin/python3", "/srv/deploy.py", "{x}"]"#, NAME),
        (r#"["/usr/bin/timeout", "9", "/srv/deploy", "{x}"]"#, NAME),
        (r#"["/usr/bin/docker", "restart", "{x}"]"#, NAME),
        (r#"["/usr/bin/cp", "--", "{x}", "/srv"]"#, LINE),
    ] {
        assert_eq!(with("ci", words, kind), [], "{words}");
    }
}

#[test]
fn lint_interpreter_of_root_is_found_whatever_it_runs() {
    for words in [
        r#"["/bin/sh", "-c", "echo hello"]"#,
        r#"["/usr/bin/python3", "/srv/report.py"]"#,
        r#"["/usr/bin/env", "A=b", "/srv/report"]"#,
    ] {
        let told = about("root", words, "");
        assert!(
            matches!(told.as_slice(), [(Lint::Interpreter, why)] if why.contains("what nobody looks at")),
            "{told:?}"
        );
        assert_eq!(about("ci", words, ""), [], "{words}");
    }
    assert_eq!(about("root", r#"["/srv/report.sh"]"#, ""), []);
    assert_eq!(with("root", r#"["/usr/bin/systemctl", "restart", "{x}"]"#, NAME), []);
}

#[test]
fn lint_value_that_may_be_an_option_is_found() {
    let dash = |kind: &str| format!("{kind}, dash = true");
    assert_eq!(with("ci", r#"["/srv/a", "{x}"]"#, &dash(LINE)), [Lint::OptionLike]);
    assert_eq!(with("ci", r#"["/srv/a", "{x}"]"#, LINE), [Lint::OptionLike]);
    assert_eq!(with("ci", r#"["/srv/a", "{x}.txt"]"#, "type = \"any\""), [Lint::OptionLike]);
    // These know no `--`.
    assert_eq!(
        with("ci", r#"["/usr/bin/openssl", "--", "{x}"]"#, &dash(LINE)),
        [Lint::Interpreter, Lint::OptionLike]
    );
    for (words, kind) in [
        (r#"["/srv/a", "--", "{x}"]"#, dash(LINE)),
        (r#"["/srv/a", "--since={x}"]"#, dash(LINE)),
        (r#"["/srv/a", "{x}"]"#, NAME.to_owned()),
        (r#"["/srv/a", "{x}"]"#, "text = \"reference\"".to_owned()),
        (r#"["/srv/a", "{x}"]"#, BELOW.to_owned()),
        (r#"["/srv/a", "{x}"]"#, "one_of = [\"-v\", \"-q\"], dash = true".to_owned()),
        (r#"["/srv/a", "{x}"]"#, "int = \"-5..5\", dash = true".to_owned()),
    ] {
        assert_eq!(with("ci", words, &kind), [], "{words} {kind}");
    }
}

#[test]
fn lint_any_text_for_root_is_found_once() {
    assert_eq!(with("root", r#"["/srv/a", "--note={x}"]"#, LINE), [Lint::FreeText]);
    assert_eq!(with("root", r#"["/srv/a", "--", "{x}"]"#, LINE), [Lint::FreeText]);
    assert_eq!(with("root", r#"["/srv/a", "{x}"]"#, LINE), [Lint::OptionLike]);
    assert_eq!(with("root", r#"["/srv/a", "--note={x}"]"#, NAME), []);
    assert_eq!(with("ci", r#"["/srv/a", "--note={x}"]"#, LINE), []);
}

#[test]
fn lint_about_a_command_is_silenced_in_its_table() {
    let note = |lint: &str| format!("# lint: allow {lint} - it is meant");
    let words = r#"["/bin/sh", "-c", "echo {x}"]"#;
    let keys = format!("{}\nparams.x = {{ text = \"name\", from = \"query\" }}", note("root-equivalent"));
    assert_eq!(about("root", words, &keys), []);
    let keys = format!("{}\nparams.x = {{ text = \"line\", from = \"query\" }}", note("free-text"));
    assert_eq!(about("root", r#"["/srv/a", "--note={x}"]"#, &keys), []);
}
