//! A program that embeds the library, as the service that `deploy/embedded` makes of it. Nothing of peergate's package
//! is there but the operator's tool.

use std::path::Path;

use serde_json::Value;

use crate::machine::{Machine, lacking};
use crate::support::{example, out, program, records, said};

const SOCKET: &str = "/run/notes/notes.sock";

const COMMAND: &str = r#"
[backend.label]
command = ["/usr/bin/dash", "-c", "echo $1 > /etc/notes/label && cat /proc/self/cgroup", "label", "{text}"]
user    = "root"
params.text = { text = "word", max = 20, from = "query" }

[[route]]
id    = "label"
match = ["POST /label"]
query = ["text"]
to    = "label"
allow = ["writers"]
"#;

/// A machine where it is installed as the manual says; alice writes, bob reads, mallory may not.
fn installed() -> (Machine, tempfile::TempDir) {
    let shared = tempfile::tempdir().unwrap();
    let machine = Machine::boot(shared.path());
    let put = |from: &Path, to: &str| {
        std::fs::copy(from, machine.path(to)).unwrap_or_else(|why| panic!("{}: {why}", from.display()));
    };
    put(&example("state_and_directory"), "/usr/bin/notes");
    put(&program("peergate"), "/usr/bin/peergate");
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    machine.sh("mkdir -p /etc/notes /etc/sysusers.d /etc/tmpfiles.d");
    put(&here.join("policy/embedded.toml"), "/etc/notes/policy.toml");
    for unit in ["notes.service", "notes.socket", "notes-runner.socket", "notes-runner@.service"] {
        put(&here.join("deploy/embedded").join(unit), &format!("/etc/systemd/system/{unit}"));
    }
    put(&here.join("deploy/embedded/sysusers.conf"), "/etc/sysusers.d/notes.conf");
    put(&here.join("deploy/embedded/tmpfiles.conf"), "/etc/tmpfiles.d/notes.conf");
    machine.sh("systemd-sysusers && systemd-tmpfiles --create notes.conf && systemctl daemon-reload && \
                systemctl enable --now notes.socket && systemctl enable notes.service");
    machine.sh("usermod --append --groups notes-users,notes-writers alice && usermod --append --groups notes-users bob");
    (machine, shared)
}

/// Status and body; what the service said where that is not it.
fn call(machine: &Machine, user: &str, more: &[&str], target: &str) -> (u16, String) {
    machine.call_at(SOCKET, user, more, target)
}

fn wrote(machine: &Machine, name: &str, text: &str) -> (u16, String) {
    call(machine, "alice", &["--request", "PUT", "--data-raw", text], &format!("/notes/{name}"))
}

fn journal(machine: &Machine) -> String {
    machine.sh("journalctl --no-pager --output=short-monotonic --lines=100 --unit='notes*'")
}

#[test]
fn program_that_embeds_the_library_serves_from_its_directory_under_its_unit() {
    if let Some(why) = lacking() {
        crate::skip!("{why}");
    }
    let (machine, _shared) = installed();
    assert!(machine.roles_of("notes.service").is_empty(), "nothing runs before it is called");
    assert_eq!(wrote(&machine, "today", "first"), (200, "1 written\n".to_owned()), "{}", journal(&machine));
    assert_eq!(wrote(&machine, "today", "second").1, "2 written\n");
    assert_eq!(call(&machine, "bob", &[], "/notes/today"), (200, "second".to_owned()));
    assert_eq!(machine.sh("stat --format='%U %a' /var/lib/notes/today"), "notes 600\n");
    assert_eq!(call(&machine, "bob", &["--request", "PUT", "--data-raw", "his"], "/notes/today").0, 403);
    assert_eq!(call(&machine, "mallory", &[], "/notes/today").0, 0, "the socket's mode keeps others out");

    // The unit takes away, and leaves the app's own walls: it opens nothing outside of its directory, which its user
    // might, be it to read, or to write where the unit itself lets anybody.
    machine.sh("ln -s /etc/hostname /var/lib/notes/read && ln -s /tmp/out /var/lib/notes/write");
    assert_eq!(call(&machine, "bob", &[], "/notes/read").0, 500);
    assert_eq!(wrote(&machine, "write", "out").0, 507);
    let app = machine.roles_of("notes.service").into_iter().find(|role| role.name == "app").unwrap();
    let entries = std::fs::read_dir(app.path("/tmp")).unwrap().count();
    assert_eq!((entries, app.mounts()["/tmp"].starts_with("rw")), (0, true));
    assert_eq!((app.capabilities("CapPrm"), app.capabilities("CapBnd")), (0, 0));
    assert_eq!((app.status["NoNewPrivs"].as_str(), app.status["Seccomp"].as_str()), ("1", "2"));
    let notes: u32 = machine.sh("id --user notes").trim().parse().unwrap();
    assert_eq!(app.ids("Uid"), [notes].into());

    let doctor = machine.try_sh("peergate doctor --control /run/notes/control.sock --format json");
    let report: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    assert!(doctor.status.success(), "{report:#}");
    let roles = report["roles"].as_array().unwrap();
    assert!(roles.iter().any(|role| role["role"] == "app notes"), "{report:#}");
    for role in roles {
        for finding in role["findings"].as_array().unwrap() {
            assert_eq!(finding["grade"], "green", "{}: {finding}", role["role"]);
        }
    }

    machine.sh("systemctl restart notes.service");
    assert_eq!(
        call(&machine, "bob", &[], "/notes/today"),
        (200, "second".to_owned()),
        "{}",
        journal(&machine)
    );
    assert_eq!(wrote(&machine, "today", "third").1, "1 written\n", "another process");
    machine.sh("systemctl stop notes.socket notes.service");
    assert_eq!(machine.sh("systemctl show --property=Result --value notes.service"), "success\n");
    records::check_books(&machine.path("/var/log/notes"));
}

#[test]
fn command_of_a_program_that_embeds_the_library_runs_outside_of_its_unit() {
    if let Some(why) = lacking() {
        crate::skip!("{why}");
    }
    let (machine, _shared) = installed();
    assert_eq!(call(&machine, "bob", &[], "/notes/none").0, 404, "{}", journal(&machine));
    let mut add = machine.command("sh");
    add.args([
        "-c",
        "printf '%s' \"$1\" >> /etc/notes/policy.toml && systemctl reload notes.service",
        "sh",
        COMMAND,
    ]);
    let added = add.output().unwrap();
    assert!(added.status.success(), "{}\n{}", said(&added), journal(&machine));
    let mut run = machine.command_as("alice", "peergate");
    let ran = run.args(["run", "--socket", SOCKET, "/label", "text=work"]).output().unwrap();
    assert!(ran.status.success(), "{}\n{}", said(&ran), journal(&machine));
    assert!(out(&ran).contains("/notes-runner@"), "in a unit of its own: {}", out(&ran));
    assert_eq!(machine.sh("cat /etc/notes/label"), "work\n", "where the unit of the daemon may not write");
    let mut run = machine.command_as("bob", "peergate");
    let refused = run.args(["run", "--socket", SOCKET, "/label", "text=mine"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(126), "{}", said(&refused));
    assert_eq!(machine.sh("cat /etc/notes/label"), "work\n");

    // Whoever forgets the line for the app's directory is told so at once, and not by the first caller.
    machine
        .sh("sed -i 's|^\\(ReadWritePaths=.*\\) /var/lib/notes$|\\1|' /etc/systemd/system/notes.service && \
                systemctl daemon-reload");
    assert!(!machine.try_sh("systemctl restart notes.service").status.success());
    let told = journal(&machine);
    assert!(told.contains("/var/lib/notes can't be written by uid"), "{told}");
    assert!(told.contains("`ReadWritePaths=` has to name it"), "{told}");
}
