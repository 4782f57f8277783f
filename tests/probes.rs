//! The proof from inside: real gates and scribes of a running daemon try, in every thread, what they must not be
//! able to do, and each answer is exactly the one that the manual tells.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use peergate::confine::probes::{self, PROBES, Probe};
use peergate::model::probe::{Found, Place, Subject};
use serde_json::{Value, json};
use support::client;
use support::daemon::{self, Daemon, write_policy};
use support::people::{Person, person};
use support::upstream::Upstream;

const POLICY: &str = include_str!("policies/up.toml");
const ROLLING: &str = "\n[diagnostics]\ndirectory = \"@DIR@/diagnostics\"\n";
const MANUAL: &str = "src/manual/hardening.md";

fn probe(daemon: &Daemon, words: &[&str]) -> Output {
    let mut command = Command::new(support::program("peergate"));
    command.arg("probe").arg("--control").arg(daemon.path("run/control.sock")).args(words).output().unwrap()
}

/// Every row there has to be, in order.
fn rows(rolling: bool, root: bool) -> Vec<Value> {
    let threads = |subject: Subject| subject.places().iter().map(move |place| (subject, place));
    let tries = |probe: &'static Probe| {
        Subject::ALL.into_iter().flat_map(threads).map(move |(subject, place)| {
            let expected = probe.expected(subject, rolling, root).to_string();
            json!({
                "probe": probe.name, "role": subject.name(), "thread": place.name(),
                "found": expected, "expected": expected, "as_expected": true,
            })
        })
    };
    PROBES.iter().flat_map(tries).collect()
}

/// What `peergate probe --format json` says is what has to come of it.
fn every_row_is_as_expected(daemon: &Daemon, rolling: bool, root: bool) {
    let output = probe(daemon, &["--format", "json"]);
    let told: Vec<Value> =
        support::out(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let wanted = rows(rolling, root);
    for (told, wanted) in told.iter().zip(&wanted) {
        assert_eq!(told, wanted);
    }
    assert_eq!(told.len(), wanted.len(), "{}", support::said(&output));
    assert!(output.status.success(), "{}", support::said(&output));
}

/// After the daemon stopped: each segment that something was tried on holds its first record and nothing else, and
/// the scribe closed it whole.
fn segments_are_unharmed(audit: &Path, all: &[Value]) {
    let about_the_log = PROBES.iter().filter(|probe| probe.attempt.is_about_the_log()).count();
    let threads: usize = Subject::ALL.iter().map(|subject| subject.places().len()).sum();
    let names =
        std::fs::read_dir(audit).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let probed: Vec<String> = names.filter(|name| name.contains("-probe-")).collect();
    assert_eq!(probed.len(), about_the_log * threads);
    for name in &probed {
        let text = std::fs::read_to_string(audit.join(name)).unwrap();
        let record: Value =
            serde_json::from_str(text.trim_end()).unwrap_or_else(|why| panic!("{name}: {why}: {text}"));
        assert_eq!((&record["t"], &record["n"]), (&json!("open"), &json!(0)), "{name}");
        let close = all.iter().find(|record| record["t"] == "close" && record["segment"] == name.as_str());
        let close = close.unwrap_or_else(|| panic!("nobody closed {name}"));
        assert_eq!((&close["bytes"], &close["torn"]), (&json!(text.len()), &json!(false)), "{close}");
    }
}

/// What tried is on record as that, and no role that serves died.
fn only_those_who_tried_died(all: &[Value]) {
    let ended: Vec<&Value> = all.iter().filter(|r| r["t"] == "gate" && r["event"] != "started").collect();
    let roles: BTreeSet<&str> = ended.iter().map(|record| record["role"].as_str().unwrap()).collect();
    let tried = ended.iter().filter(|record| record["role"].as_str().unwrap().ends_with("-probe")).count();
    assert_eq!(tried, rows(false, true).len());
    // A disk that holds a scribe up for long ends it: so it says, and that is no matter of who tried.
    let silent = |pid: &Value| ended.iter().any(|r| r["event"] == "silent" && r["pid"] == *pid);
    let served =
        |record: &&&Value| !record["role"].as_str().unwrap().ends_with("-probe") && !silent(&record["pid"]);
    for record in ended.iter().filter(served) {
        assert_eq!(record["event"], "retired", "{record}; {roles:?}");
    }
}

fn as_root(more: &str) {
    let place = daemon::place();
    let _upstream = Upstream::start(&place.path().join("up.sock"));
    let daemon = Daemon::start_in(place, &format!("{POLICY}{more}"));
    // A gate that serves is there to be attacked.
    assert_eq!(client::ask(&daemon.socket(), "GET", "/allowed/before").status(), 200);
    std::thread::scope(|scope| {
        let probing = scope.spawn(|| every_row_is_as_expected(&daemon, !more.is_empty(), true));
        // Others are served meanwhile.
        while !probing.is_finished() {
            assert_eq!(client::ask(&daemon.socket(), "GET", "/allowed/meanwhile").status(), 200);
        }
    });
    let (place, all) = daemon.stop_keeping();
    segments_are_unharmed(&place.path().join("audit"), &all);
    only_those_who_tried_died(&all);
}

#[test]
fn probes_as_root_find_what_the_manual_says() {
    need_root!();
    as_root("");
}

#[test]
fn probes_with_rolling_diagnostics_find_what_the_manual_says() {
    need_root!();
    as_root(ROLLING);
}

/// The daemon's file where everybody can run it: the build's folder may be closed to others.
fn executable(place: &Path) -> PathBuf {
    let copy = place.join("peergated");
    std::fs::copy(support::program("peergated"), &copy).unwrap();
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755)).unwrap();
    copy
}

fn as_user(who: &Person, more: &str) {
    let (place, all) = of_user(who, more, |daemon| every_row_is_as_expected(daemon, !more.is_empty(), false));
    segments_are_unharmed(&place.path().join("audit"), &all);
    only_those_who_tried_died(&all);
}

/// A daemon of an ordinary user's, its directory and all that it recorded.
fn of_user(who: &Person, more: &str, probe: impl FnOnce(&Daemon)) -> (daemon::Place, Vec<Value>) {
    let place = daemon::place();
    let policy = write_policy(place.path(), &format!("{POLICY}{more}"));
    let program = who.command(executable(place.path()).to_str().unwrap());
    let everybody = |name: &str, mode| {
        let path = place.path().join(name);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let (uid, gid) = (Some(who.uid.as_raw()), Some(who.gid.as_raw()));
    chown(&policy, uid, gid).unwrap();
    chown(place.path(), uid, gid).unwrap();
    let daemon = Daemon::spawn_by(program, &place, &policy, |_| everybody("notify.sock", 0o777));
    let daemon = daemon.unwrap_or_else(|refused| panic!("{}\n{}", refused.status, refused.said));
    probe(&daemon);
    let all = daemon.stop_in_place();
    (place, all)
}

#[test]
fn probes_as_an_ordinary_user_find_what_the_manual_says() {
    need_root!();
    need_programs!("setpriv");
    as_user(&person("pg-alice"), "");
}

#[test]
fn probes_as_an_ordinary_user_with_rolling_diagnostics_find_what_the_manual_says() {
    need_root!();
    need_programs!("setpriv");
    as_user(&person("pg-bob"), ROLLING);
}

#[test]
fn probes_of_one_role_are_shown_for_people_and_a_hole_is_exit_code_1() {
    need_root!();
    let daemon = Daemon::start(POLICY);
    let good = probe(&daemon, &["--role", "scribe"]);
    let said = support::out(&good);
    assert!(good.status.success(), "{}", support::said(&good));
    assert_eq!(said.lines().count(), PROBES.len() + 2, "{said}");
    assert!(said.contains("open-read            SIGSYS   open /etc/passwd\n"), "{said}");
    assert!(said.ends_with("tries in 2 threads: each came to what it has to come to\n"), "{said}");
    daemon.stop();

    let place = daemon::place();
    let policy = write_policy(place.path(), POLICY);
    // Where the filter lets all of it through, what it should have stopped is told, and Landlock still stands.
    let daemon = Daemon::spawn(place, &policy, |command| {
        command.arg("--seccomp=log");
    });
    let daemon = daemon.unwrap_or_else(|refused| panic!("{}\n{}", refused.status, refused.said));
    let bad = probe(&daemon, &[]);
    let said = support::out(&bad);
    assert_eq!(bad.status.code(), Some(1), "{}", support::said(&bad));
    for line in [
        "open-read            EACCES  EACCES   open /etc/passwd\n",
        "create               EACCES  EACCES   make a file in /tmp\n",
        "memfd                done    done     make a file in memory\n",
        "  NOT as it has to be: gate, lane thread: done instead of SIGSYS\n",
        "exec                 EACCES  EACCES   run a program\n",
        "kill                 EPERM   EPERM    signal the warden\n",
        " tries did NOT come to what they have to come to\n",
    ] {
        assert!(said.contains(line), "{line:?} is not in\n{said}");
    }
    daemon.kill();
}

/// A command, so that there is who starts runners.
const COMMAND: &str = r#"
[backend.nothing]
command = ["/bin/true"]
user = "@self"

[[route]]
id = "nothing"
match = ["POST /nothing"]
to = "nothing"
allow = ["root", "alice"]
"#;

/// A runner tries all that it has to, and each comes to what it has to come to.
fn runner_tries_all(daemon: &Daemon) {
    let output = probe(daemon, &["--role", "runner", "--format", "json"]);
    let told: Vec<Value> =
        support::out(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let wrong: Vec<&Value> = told.iter().filter(|row| row["as_expected"] != true).collect();
    assert!(wrong.is_empty() && output.status.success(), "{wrong:#?} {}", support::said(&output));
    let tried: Vec<&str> = told.iter().map(|row| row["probe"].as_str().unwrap()).collect();
    let wanted: Vec<&str> =
        PROBES.iter().filter(|probe| probe.is_for(Subject::Runner)).map(|probe| probe.name).collect();
    assert_eq!(tried, wanted);
}

/// What tried is on record with its end.
fn tries_of_a_runner_are_on_record(all: &[Value]) {
    let of = |event: &str| {
        all.iter().filter(|record| record["role"] == "runner-probe" && record["event"] == event).count()
    };
    let expected = |found| {
        let to = |probe: &&Probe| {
            probe.is_for(Subject::Runner) && probe.expected(Subject::Runner, false, true) == found
        };
        PROBES.iter().filter(to).count()
    };
    assert_eq!(of("killed"), expected(Found::KILLED));
    assert_eq!(of("exited"), expected(Found::Errno(nix::libc::ENOSYS)));
}

#[test]
fn probes_of_a_runner_find_what_the_manual_says() {
    need_root!();
    let daemon = Daemon::start(&format!("{POLICY}{COMMAND}"));
    runner_tries_all(&daemon);
    tries_of_a_runner_are_on_record(&daemon.stop());
}

#[test]
fn probes_of_a_runner_of_an_ordinary_user_find_what_the_manual_says() {
    need_root!();
    need_programs!("setpriv");
    let (place, all) = of_user(&person("pg-alice"), COMMAND, runner_tries_all);
    tries_of_a_runner_are_on_record(&all);
    drop(place);
}

#[test]
fn probe_of_a_runner_where_nobody_starts_one_says_so() {
    need_root!();
    let daemon = Daemon::start(POLICY);
    let output = probe(&daemon, &["--role", "runner"]);
    assert_eq!(output.status.code(), Some(3), "{}", support::said(&output));
    let said = support::said(&output);
    assert!(said.contains("a runner can't be started: nobody is there to start commands"), "{said}");
    daemon.stop();
}

#[test]
fn daemon_stopped_while_something_is_tried_closes_its_record() {
    need_root!();
    let daemon = Daemon::start(POLICY);
    let mut command = Command::new(support::program("peergate"));
    command.arg("probe").arg("--control").arg(daemon.path("run/control.sock"));
    let probing = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    daemon.wait_for("a try", |record| record["role"] == "scribe-probe");
    daemon.stop();
    let output = probing.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", support::said(&output));
}

#[test]
fn probes_have_names_of_their_own_and_both_answers_somewhere() {
    let names: BTreeSet<&str> = PROBES.iter().map(|probe| probe.name).collect();
    assert_eq!(names.len(), PROBES.len());
    let found: Vec<Found> = PROBES.iter().map(|probe| probe.expected(Subject::Scribe, true, true)).collect();
    assert!(found.contains(&Found::Done) && found.contains(&Found::KILLED), "{found:?}");
    assert!(Subject::Gate.places().contains(&Place::Lane));
}

/// The manual's table is the list. `PEERGATE_WRITE=1 cargo test --test probes manual` writes it.
#[test]
fn manual_probe_table_is_current() {
    const BEGIN: &str = "<!-- the table of probes, from src/confine/probes.rs -->\n";
    const END: &str = "<!-- its end -->";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(MANUAL);
    let text = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (there, after) = rest.split_once(END).unwrap();
    let table = probes::table();
    if std::env::var_os("PEERGATE_WRITE").is_some() {
        std::fs::write(&file, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
    } else {
        assert_eq!(there, table, "`PEERGATE_WRITE=1 cargo test --test probes manual` writes it");
    }
}

#[test]
fn probe_without_a_daemon_says_so_and_prints_no_table() {
    let place = tempfile::tempdir().unwrap();
    let mut probe = Command::new(support::program("peergate"));
    let probe = probe.args(["probe", "--control"]).arg(place.path().join("control.sock")).output().unwrap();
    assert!(!probe.status.success());
    assert_eq!(String::from_utf8(probe.stdout).unwrap(), "");
    assert!(String::from_utf8(probe.stderr).unwrap().contains("can't ask the daemon at "));
}
