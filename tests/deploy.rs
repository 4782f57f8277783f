//! What is installed is well-formed, as narrow as its manual says, and agrees with itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{out, run, said};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|why| panic!("{file}: {why}"))
}

/// A file tree that holds the units, some drop-ins, and the programs that they name.
fn tree(drop_ins: &[&str]) -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    let units = tree.path().join("etc/systemd/system");
    let more = units.join("peergated.service.d");
    let programs = tree.path().join("usr/bin");
    for folder in [&more, &programs] {
        std::fs::create_dir_all(folder).unwrap();
    }
    let copy = |name: &str, to: PathBuf| {
        std::fs::copy(root().join("deploy/systemd").join(name), to).unwrap();
    };
    for unit in ["peergated.service", "peergated.socket"] {
        copy(unit, units.join(unit));
    }
    drop_ins.iter().for_each(|name| copy(name, more.join(name)));
    for program in ["peergated", "peergate"] {
        std::fs::copy("/bin/true", programs.join(program)).unwrap();
    }
    tree
}

fn security(tree: &Path, more: &[&str]) -> String {
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["security", "--offline=true", "--no-pager"]).args(more);
    analyze.arg(format!("--root={}", tree.display())).arg("peergated.service");
    out(&run(&mut analyze))
}

/// The overall exposure.
fn exposure(tree: &Path) -> f64 {
    let text = security(tree, &[]);
    let line = text.lines().find(|line| line.contains("Overall exposure level")).expect(&text);
    let level = line.rsplit_once(": ").unwrap().1.split_whitespace().next().unwrap();
    level.parse().unwrap_or_else(|_| panic!("{line}"))
}

/// Each directive that counts, and how much.
fn counted(tree: &Path) -> BTreeMap<String, String> {
    let rows: Vec<serde_json::Value> = serde_json::from_str(&security(tree, &["--json=short"])).unwrap();
    assert!(rows.len() > 60, "{} rows", rows.len());
    let name = |row: &serde_json::Value| row["name"].as_str().unwrap().to_owned();
    rows.iter().filter_map(|row| Some((name(row), row["exposure"].as_str()?.to_owned()))).collect()
}

/// The rows of the manual's tables of what counts; the first one or both.
fn explained(tables: usize) -> BTreeMap<String, String> {
    let manual = read("src/manual/service.md");
    let rest = manual.split("| directive | exposure | why |").skip(1).take(tables);
    rest.flat_map(|table| table.lines().skip(2).take_while(|line| line.starts_with("| `")))
        .map(|line| {
            let cells: Vec<String> = line
                .replace("\\|", "\u{1}")
                .split('|')
                .map(|cell| cell.trim().replace('\u{1}', "|"))
                .collect();
            assert!(cells[3].len() > 20, "says why: {line}");
            (cells[1].trim_matches('`').to_owned(), cells[2].clone())
        })
        .collect()
}

#[test]
fn unit_exposure_is_at_most_2_and_every_point_is_explained() {
    need_programs!("systemd-analyze");
    let tree = tree(&[]);
    let level = exposure(tree.path());
    println!("exposure with Unix backends only: {level}");
    assert!(level <= 2.0, "{level}");
    assert_eq!(counted(tree.path()), explained(1));
    assert!(read("src/manual/service.md").contains(&format!("why: {level} as it is installed")), "{level}");
}

#[test]
fn unit_exposure_with_tcp_is_at_most_2_8_and_every_point_is_explained() {
    need_programs!("systemd-analyze");
    let tree = tree(&["peergated-tcp.conf"]);
    let level = exposure(tree.path());
    println!("exposure with backends on the loopback: {level}");
    assert!(level <= 2.8, "{level}");
    assert_eq!(counted(tree.path()), explained(2));
    assert!(read("src/manual/service.md").contains(&format!("then it is {level}:")), "{level}");
}

#[test]
fn unit_exposure_with_foreign_sockets_is_that_without() {
    need_programs!("systemd-analyze");
    let with = tree(&["peergated-foreign-sockets.conf"]);
    assert_eq!(counted(with.path()), explained(1));
}

#[test]
fn units_are_understood_whole() {
    need_programs!("systemd-analyze");
    let tree = tree(&["peergated-tcp.conf", "peergated-foreign-sockets.conf"]);
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["verify", "--man=no", "--recursive-errors=no"]);
    analyze.arg(format!("--root={}", tree.path().display())).args(["peergated.service", "peergated.socket"]);
    let output = analyze.output().unwrap();
    // It complains on stderr of what it does not know, and may still succeed. Other units are not in the tree.
    let said = said(&output);
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("peergate")).collect();
    assert!(ours.is_empty(), "{said}");
}

/// The lines of a unit that say something.
fn lines(file: &str) -> Vec<String> {
    let text = read(file);
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

/// The directives in which two units differ.
fn different(one: &str, other: &str) -> BTreeSet<String> {
    let [one, other] = [lines(one), lines(other)];
    // What both have stands in the same order, so that a later line overrides an earlier one in both or in neither.
    let common = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| those.contains(line)).cloned().collect()
    };
    assert_eq!(common(&one, &other), common(&other, &one));
    let lone = one
        .iter()
        .filter(|line| !other.contains(line))
        .chain(other.iter().filter(|line| !one.contains(line)));
    lone.map(|line| format!("{}=", line.split('=').next().unwrap())).collect()
}

/// The directives of the manual's table of what an embedding program's service has of its own.
fn told() -> BTreeSet<String> {
    let manual = read("src/manual/library.md");
    let table = manual.split("| line of the unit | why it is not the daemon's |").nth(1).expect("the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with("| "));
    let first = rows.map(|row| row.split('|').nth(1).unwrap().to_owned());
    let names = first.flat_map(|cell| {
        cell.split('`')
            .skip(1)
            .step_by(2)
            .map(|line| format!("{}=", line.split('=').next().unwrap()))
            .collect::<Vec<_>>()
    });
    names.collect()
}

#[test]
fn units_of_an_embedding_program_differ_from_the_daemons_in_what_the_manual_says() {
    let of = |one: &str, other: &str| {
        let mut names = different(&format!("deploy/systemd/{one}"), &format!("deploy/embedded/{other}"));
        names.remove("Description=");
        names.remove("Documentation=");
        names
    };
    assert_eq!(of("peergated.service", "notes.service"), told());
    assert_eq!(
        of("peergated.socket", "notes.socket"),
        ["ListenStream=", "SocketGroup="].map(str::to_owned).into()
    );
    assert_eq!(
        of("peergate-runner.socket", "notes-runner.socket"),
        ["ListenSequentialPacket=".to_owned()].into()
    );
    assert_eq!(of("peergate-runner@.service", "notes-runner@.service"), ["ExecStart=".to_owned()].into());
}

#[test]
fn units_users_directories_and_policy_of_an_embedding_program_agree() {
    let policy: toml::Table = read("policy/embedded.toml").parse().unwrap();
    let text = |value: &toml::Value| value.as_str().unwrap().to_owned();
    let listener = &policy["listen"]["notes"];
    let of = |unit: &str, name: &str| setting(&format!("../embedded/{unit}"), name);
    assert_eq!(text(&listener["path"]), of("notes.socket", "ListenStream"));
    assert_eq!(text(&listener["group"]), of("notes.socket", "SocketGroup"));
    assert!(
        of("notes.service", "ExecReload")
            .ends_with(&format!(" --control {}", text(&policy["daemon"]["control"])))
    );
    let runner = of("notes-runner.socket", "ListenSequentialPacket");
    assert_eq!(of("notes.service", "Environment"), format!("PEERGATE_RUNNER={runner}"));
    let made = read("deploy/embedded/tmpfiles.conf");
    let made: BTreeSet<&str> =
        made.lines().filter_map(|line| line.strip_prefix("d ")?.split_whitespace().next()).collect();
    assert_eq!(of("notes.service", "ReadWritePaths").split(' ').collect::<BTreeSet<_>>(), made);
    let run = Path::new(listener["path"].as_str().unwrap()).parent().unwrap().to_str().unwrap();
    let app = policy["backend"]["notes"]["directories"]["notes"].as_str().unwrap();
    let audit = policy["audit"]["directory"].as_str().unwrap();
    assert_eq!(made, [run, audit, app].into());
    let people = read("deploy/embedded/sysusers.conf");
    let app_user = text(&policy["daemon"]["app_user"]);
    for line in ["u peergate-gate ".to_owned(), "u peergate-scribe ".to_owned(), format!("u {app_user} ")] {
        assert!(people.lines().any(|there| there.starts_with(&line)), "{line}");
    }
    // Two packages may bring the same users, but not with two meanings.
    let peergates = read("deploy/sysusers.d/peergate.conf");
    for line in people.lines().filter(|line| line.contains(" peergate-")) {
        assert!(peergates.lines().any(|there| there == line), "{line}");
    }
}

/// The value of a setting that stands once in a unit.
fn setting(unit: &str, name: &str) -> String {
    let text = read(&format!("deploy/systemd/{unit}"));
    let values: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix(&format!("{name}="))).collect();
    assert_eq!(values.len(), 1, "{name} in {unit}: {values:?}");
    values[0].to_owned()
}

#[test]
fn socket_unit_and_policy_say_the_same_of_the_socket() {
    let policy: toml::Table = read("deploy/policy.toml").parse().unwrap();
    let api = &policy["listen"]["api"];
    assert_eq!(api["path"].as_str().unwrap(), setting("peergated.socket", "ListenStream"));
    assert_eq!(api["group"].as_str().unwrap(), setting("peergated.socket", "SocketGroup"));
    assert_eq!(api["mode"].as_str().unwrap(), setting("peergated.socket", "SocketMode"));
}

#[test]
fn directories_of_the_unit_are_made_by_tmpfiles_and_users_by_sysusers() {
    let made = read("deploy/tmpfiles.d/peergate.conf");
    let made: BTreeSet<&str> = made
        .lines()
        .filter(|line| line.starts_with("d "))
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    // A review's own, which the daemon has no part in.
    let mut made = made;
    assert!(made.remove("/var/lib/peergate"));
    assert!(read("deploy/tmpfiles.d/peergate.conf").contains("\nd /var/lib/peergate 0700 root root -\n"));
    let writable = setting("peergated.service", "ReadWritePaths");
    assert_eq!(writable.split(' ').collect::<BTreeSet<_>>(), made);
    let people = read("deploy/sysusers.d/peergate.conf");
    for line in
        ["u peergate-gate ", "u peergate-scribe ", "u peergate-app ", "u peergate-witness ", "g peergate "]
    {
        assert!(people.lines().any(|there| there.starts_with(line)), "{line}");
    }
}

#[test]
fn apparmor_profile_is_understood() {
    need_programs!("apparmor_parser");
    let mut parser = Command::new("apparmor_parser");
    // No kernel, no cache: only read it, and print what a kernel would be given.
    parser.args(["-Q", "-K", "-S"]).arg(root().join("deploy/apparmor/usr.bin.peergated"));
    assert!(run(&mut parser).stdout.len() > 1000);
}

/// `CAP_…` words of a text.
fn capabilities(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter_map(|word| word.strip_prefix("CAP_")).map(str::to_lowercase).collect()
}

#[test]
fn apparmor_profile_has_the_capabilities_of_the_units() {
    let profile = read("deploy/apparmor/usr.bin.peergated");
    let here: BTreeSet<String> = profile
        .lines()
        .filter_map(|line| line.trim().strip_prefix("capability ")?.strip_suffix(','))
        .map(str::to_owned)
        .collect();
    let mut units = capabilities(&setting("peergated.service", "CapabilityBoundingSet"));
    units.extend(capabilities(&setting("peergated-foreign-sockets.conf", "CapabilityBoundingSet")));
    assert_eq!(here, units);
}
