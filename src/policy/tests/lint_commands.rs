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
}

#[test]
fn lint_unit_of_the_callers_choice_is_free_text_until_it_is_one_of_a_list() {
    for words in [
        r#"["/usr/bin/systemctl", "start", "{x}"]"#,
        r#"["/usr/bin/systemctl", "restart", "{x}.service"]"#,
        r#"["/usr/bin/systemctl", "--no-block", "stop", "{x}"]"#,
        r#"["/usr/bin/systemctl", "enable", "--now", "--", "{x}"]"#,
        r#"["/usr/bin/systemctl", "mask", "{x}"]"#,
        r#"["/usr/bin/systemctl", "isolate", "{x}"]"#,
        r#"["/usr/bin/systemctl", "{x}"]"#,
        r#"["/usr/bin/systemctl", "{x}", "nginx.service"]"#,
        r#"["/usr/bin/sudo", "/usr/bin/systemctl", "restart", "{x}"]"#,
        r#"["/usr/bin/env", "LC_ALL=C", "systemctl", "restart", "{x}"]"#,
        r#"["/usr/sbin/invoke-rc.d", "{x}", "restart"]"#,
        r#"["/usr/bin/busctl", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "StartUnit", "ss", "{x}", "replace"]"#,
        r#"["/usr/bin/dbus-send", "--system", "--dest=org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager.StopUnit", "string:{x}", "string:replace"]"#,
    ] {
        assert_eq!(with("root", words, NAME), [Lint::FreeText], "{words}");
        assert_eq!(with("root", words, LISTED).first(), unlooked(words), "{words}");
        // The manager asks who that is.
        if !words.contains("sudo") {
            assert_eq!(with("ci", words, NAME).first(), None, "{words}");
        }
    }
    // A path is a unit that the caller wrote.
    assert_eq!(with("root", r#"["/usr/bin/systemctl", "link", "{x}"]"#, BELOW), [Lint::RootEquivalent]);
    assert_eq!(
        with("root", r#"["/usr/bin/systemctl", "start", "{x}"]"#, LINE),
        [Lint::RootEquivalent, Lint::OptionLike]
    );
    // These ask the same of machines and of scripts, and start what they are told.
    for words in [r#"["/usr/bin/machinectl", "start", "{x}"]"#, r#"["/usr/sbin/service", "{x}", "restart"]"#]
    {
        assert_eq!(with("root", words, NAME), [Lint::RootEquivalent], "{words}");
        assert_eq!(with("root", words, LISTED), [], "{words}");
    }
    for words in [
        r#"["/usr/bin/systemctl", "status", "--no-pager", "{x}"]"#,
        r#"["/usr/bin/systemctl", "is-active", "{x}"]"#,
        r#"["/usr/bin/systemctl", "restart", "app@{x}.service"]"#,
        r#"["/usr/bin/busctl", "call", "org.example.App", "/", "org.example.App", "Say", "s", "{x}"]"#,
    ] {
        assert_eq!(with("root", words, NAME), [], "{words}");
    }
    let told = about(
        "root",
        r#"["/usr/bin/systemctl", "restart", "{x}"]"#,
        &format!("params.x = {{ {NAME}, from = \"query\" }}"),
    );
    assert_eq!(
        told,
        [(
            Lint::FreeText,
            "`ops` may have `/usr/bin/systemctl` act as `root` on any unit, by `x`: on one that guards this \
             host too [free-text]"
                .to_owned()
        )]
    );
    assert!(Lint::FreeText.help().contains("`one_of`"), "{}", Lint::FreeText.help());
}

/// What a value of a list leaves over: a program that starts others runs as root what nobody looks at.
fn unlooked(words: &str) -> Option<&'static Lint> {
    (words.contains("sudo") || words.contains("env")).then_some(&Lint::Interpreter)
}

#[test]
fn lint_body_for_root_is_found_where_a_program_reads_it() {
    let body = |user: &str, words: &str| -> Vec<Lint> {
        about(user, words, "stdin = \"1KiB\"").into_iter().map(|(lint, _)| lint).collect()
    };
    for words in [
        r#"["/usr/bin/su"]"#,
        r#"["/usr/bin/su", "-"]"#,
        r#"["/usr/bin/sudo", "-s"]"#,
        r#"["/usr/bin/sudo", "-i"]"#,
        r#"["/usr/bin/sudo", "tee", "/etc/x"]"#,
        r#"["/usr/sbin/chroot", "/"]"#,
        r#"["/usr/bin/nsenter", "-t", "1", "-m"]"#,
        r#"["/usr/bin/unshare"]"#,
        r#"["/usr/bin/script"]"#,
        r#"["/usr/bin/script", "/dev/null"]"#,
        r#"["/usr/bin/tee", "/etc/x"]"#,
        r#"["/usr/bin/dd", "of=/etc/x"]"#,
        r#"["/usr/bin/cp", "/dev/stdin", "/etc/x"]"#,
        r#"["/usr/bin/install", "/dev/stdin", "/etc/x"]"#,
        r#"["/usr/bin/tar", "xf", "-", "-C", "/"]"#,
        r#"["/usr/bin/cpio", "-id"]"#,
        r#"["/usr/bin/patch"]"#,
        r#"["/usr/sbin/sysctl", "-p", "-"]"#,
        r#"["/usr/bin/make", "-f", "-"]"#,
        r#"["/usr/sbin/ip", "-batch", "-"]"#,
        r#"["/usr/bin/ssh", "root@localhost"]"#,
        r#"["/usr/bin/dc"]"#,
        r#"["/usr/bin/m4"]"#,
        r#"["/usr/bin/gnuplot"]"#,
        r#"["/usr/bin/octave"]"#,
    ] {
        assert_eq!(body("root", words), [Lint::RootEquivalent], "{words}");
    }
    for words in [
        r#"["/usr/bin/docker", "compose", "-f", "-", "up", "-d"]"#,
        r#"["/usr/bin/docker", "exec", "-i", "web", "sh"]"#,
        r#"["/usr/bin/kubectl", "apply", "-f", "-"]"#,
        r#"["/usr/bin/podman", "play", "kube", "-"]"#,
    ] {
        assert_eq!(body("ci", words), [Lint::RootEquivalent], "{words}");
    }
    assert_eq!(body("ci", r#"["/usr/bin/docker", "ps"]"#), []);
    assert_eq!(body("ci", r#"["/usr/bin/tee", "/srv/x"]"#), []);
    assert_eq!(body("ci", r#"["/usr/bin/tar", "xf", "-", "-C", "/srv"]"#), []);
}

#[test]
fn lint_reference_is_a_path_unless_a_directory_stands_before_it() {
    const REFERENCE: &str = "text = \"reference\"";
    for words in [
        r#"["/usr/bin/cat", "{x}"]"#,
        r#"["/usr/bin/chmod", "u+s", "{x}"]"#,
        r#"["/usr/bin/rm", "-rf", "{x}"]"#,
        r#"["/usr/bin/dd", "if=/dev/zero", "of={x}"]"#,
        r#"["/usr/bin/cp", "/srv/a", "/{x}"]"#,
        r#"["/usr/bin/vim", "{x}"]"#,
        r#"["/usr/sbin/insmod", "{x}"]"#,
        r#"["/usr/bin/dpkg", "-i", "{x}"]"#,
        r#"["/usr/bin/pip", "install", "{x}"]"#,
        r#"["/usr/bin/tar", "xf", "{x}"]"#,
    ] {
        assert_eq!(with("root", words, REFERENCE), [Lint::RootEquivalent], "{words}");
    }
    for words in [
        r#"["/usr/bin/cat", "/srv/log/{x}"]"#,
        r#"["/usr/bin/dd", "if=/srv/in/{x}", "of=/dev/null"]"#,
        r#"["/usr/bin/git", "fetch", "origin", "{x}"]"#,
        r#"["/usr/bin/docker", "pull", "{x}"]"#,
    ] {
        assert_eq!(with("root", words, REFERENCE), [], "{words}");
    }
}

#[test]
fn lint_file_or_package_of_the_callers_choice_is_code() {
    for words in [
        r#"["/usr/bin/dpkg", "-i", "{x}"]"#,
        r#"["/usr/bin/rpm", "-i", "{x}"]"#,
        r#"["/usr/bin/apt-get", "install", "{x}"]"#,
        r#"["/usr/sbin/insmod", "{x}"]"#,
        r#"["/usr/bin/tar", "xf", "{x}"]"#,
        r#"["/usr/bin/tar", "--extract", "--file={x}"]"#,
    ] {
        assert_eq!(with("root", words, BELOW), [Lint::RootEquivalent], "{words}");
        assert_eq!(with("ci", words, BELOW), [], "{words}");
        assert_eq!(with("root", words, NAME), [], "{words}");
        assert_eq!(with("root", words, LISTED), [], "{words}");
    }
    assert_eq!(with("ci", r#"["/usr/bin/tar", "xf", "{x}"]"#, LINE), [Lint::Interpreter, Lint::OptionLike]);
    for words in [
        r#"["/usr/bin/make", "-f", "{x}"]"#,
        r#"["/usr/bin/ansible-playbook", "{x}"]"#,
        r#"["/usr/sbin/logrotate", "{x}"]"#,
        r#"["/usr/bin/psql", "-f", "{x}"]"#,
        r#"["/usr/bin/gdb", "-x", "{x}"]"#,
    ] {
        assert_eq!(with("root", words, BELOW), [Lint::RootEquivalent], "{words}");
        assert_eq!(with("ci", words, BELOW), [Lint::Interpreter], "{words}");
        assert_eq!(with("root", words, NAME), [], "{words}");
    }
    for words in [
        r#"["/usr/bin/pip3", "install", "{x}"]"#,
        r#"["/usr/bin/npm", "install", "-g", "{x}"]"#,
        r#"["/usr/bin/find", "/srv", "-exec", "{x}", ";"]"#,
        r#"["/usr/bin/find", "/srv", "-name", "a", "-exec", "sh", "-c", "{x}", ";"]"#,
        r#"["/usr/bin/valgrind", "{x}"]"#,
        r#"["/usr/bin/openvt", "{x}"]"#,
        r#"["/usr/bin/rlwrap", "{x}"]"#,
        r#"["/usr/bin/sg", "ops", "-c", "{x}"]"#,
        r#"["/lib64/ld-linux-x86-64.so.2", "{x}"]"#,
        r#"["/usr/sbin/service", "{x}", "restart"]"#,
    ] {
        assert_eq!(with("root", words, NAME), [Lint::RootEquivalent], "{words}");
        assert_eq!(with("root", words, LISTED).first(), quiet_or_unlooked(words), "{words}");
    }
}

/// What a value of a list leaves over: `find` has root's shell run it all the same.
fn quiet_or_unlooked(words: &str) -> Option<&'static Lint> {
    words.contains("\"sh\"").then_some(&Lint::Interpreter)
}

#[test]
fn lint_code_is_found_wherever_an_interpreter_looks_for_it() {
    for words in [
        r#"["/bin/bash", "-c", "--", "{x}"]"#,
        r#"["/bin/bash", "-c", "-e", "{x}"]"#,
        r#"["/bin/sh", "-c", "$1", "--", "{x}"]"#,
        r#"["/bin/sh", "-c", "cd /srv && exec \"$@\"", "--", "{x}"]"#,
        r#"["/bin/sh", "-c", "eval \"$1\"", "--", "{x}"]"#,
        r#"["/usr/bin/sed", "-e", "p", "-e", "{x}", "/etc/motd"]"#,
        r#"["/usr/bin/perl", "-e", "1;", "-e{x}"]"#,
    ] {
        assert_eq!(with("ci", words, NAME), [Lint::Interpreter], "{words}");
    }
    for words in [
        r#"["/bin/bash", "-e", "/srv/deploy.sh", "{x}"]"#,
        r#"["/bin/sh", "-c", "echo \"$1\"; ls", "--", "-e", "{x}"]"#,
        r#"["/usr/bin/python3", "-c", "pass", "-e", "{x}"]"#,
        r#"["/usr/bin/sed", "-e", "p", "-e", "q", "{x}"]"#,
        r#"["/usr/bin/perl", "-e", "1;", "--", "-e", "{x}"]"#,
    ] {
        assert_eq!(with("ci", words, NAME), [], "{words}");
    }
}

#[test]
fn lint_value_behind_nothing_but_dashes_is_an_option() {
    for words in
        [r#"["/usr/bin/find", "/srv", "-{x}"]"#, r#"["/usr/bin/tar", "-{x}"]"#, r#"["/srv/a", "--{x}"]"#]
    {
        assert_eq!(with("ci", words, NAME), [Lint::OptionLike], "{words}");
        assert_eq!(with("ci", words, LISTED), [], "{words}");
    }
    assert_eq!(with("ci", r#"["/srv/a", "--", "-{x}"]"#, NAME), []);
    assert_eq!(with("ci", r#"["/srv/a", "-n{x}"]"#, NAME), []);
}

#[test]
fn samples_of_commands_have_nothing_that_the_lints_of_commands_find() {
    for text in
        [include_str!("../../../policy/administration.toml"), include_str!("../../../policy/services.toml")]
    {
        let draft =
            Draft::read("policy.toml", text, &House, &own()).unwrap_or_else(|wrong| panic!("{wrong}"));
        let daemon = Daemon { uid: super::uid(0), gid: super::gid(0) };
        let told = lint(&draft, &Known::of(&House, ["ops"]), daemon);
        let told: Vec<String> = told
            .into_iter()
            .filter(|finding| LINTS.contains(&finding.lint))
            .map(|finding| finding.shown.message)
            .collect();
        assert_eq!(told, Vec::<String>::new());
    }
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
