//! What each role of a running daemon keeps, what it says of it, and what happens where a layer is missing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use support::client::{self, Client};
use support::daemon::{self, Daemon, Place, Refused, write_policy};
use support::people::person;
use support::upstream::{Upstream, guarded};

const POLICY: &str = include_str!("policies/up.toml");

fn started() -> (Daemon, Upstream) {
    guarded(POLICY)
}

/// `peergate COMMAND --format json`: its exit code and what it printed.
fn peergate(command: &str, daemon: &Daemon) -> (i32, Value) {
    let mut peergate = Command::new(env!("CARGO_BIN_EXE_peergate"));
    peergate.args([command, "--format", "json", "--control"]).arg(daemon.path("run/control.sock"));
    let output = peergate.output().unwrap();
    let printed = serde_json::from_slice(&output.stdout);
    (output.status.code().unwrap(), printed.unwrap_or_else(|why| panic!("{why}: {}", support::said(&output))))
}

fn role<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["roles"].as_array().unwrap().iter().find(|role| role["role"] == name).unwrap()
}

/// Each layer of a role with its grade.
fn grades(role: &Value) -> Vec<(&str, &str)> {
    let findings = role["findings"].as_array().unwrap();
    findings.iter().map(|f| (f["layer"].as_str().unwrap(), f["grade"].as_str().unwrap())).collect()
}

const ALL_GREEN: [(&str, &str); 7] = [
    ("identity", "green"),
    ("capabilities", "green"),
    ("no-new-privs", "green"),
    ("dumpable", "green"),
    ("limits", "green"),
    ("landlock", "green"),
    ("seccomp", "green"),
];

#[test]
fn doctor_finds_every_role_as_it_is_planned() {
    need_root!();
    let (daemon, _upstream) = started();
    assert_eq!(client::ask(&daemon.socket(), "GET", "/allowed/a").status(), 200);
    let (code, report) = peergate("doctor", &daemon);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(grades(role(&report, "gate")), ALL_GREEN, "{report:#}");
    assert_eq!(grades(role(&report, "scribe")), ALL_GREEN, "{report:#}");
    let without_landlock: Vec<_> = ALL_GREEN.into_iter().filter(|(layer, _)| *layer != "landlock").collect();
    assert_eq!(grades(role(&report, "warden")), without_landlock, "{report:#}");
    for name in ["gate", "scribe"] {
        let sets = role(&report, name)["status"]["capabilities"].as_object().unwrap();
        assert!(sets.values().all(|set| set == "0000000000000000"), "{name}: {sets:?}");
        assert_ne!(role(&report, name)["status"]["uids"][0], 0);
        assert!(role(&report, name)["held"]["landlock"]["abi"].as_u64().unwrap() >= 1);
    }
    assert!(
        report["sockets"].as_array().unwrap().iter().all(|socket| socket["grade"] == "green"),
        "{report:#}"
    );
    daemon.stop();
}

#[test]
fn doctor_sees_what_the_kernel_says_and_not_what_the_policy_does() {
    need_root!();
    let (daemon, _upstream) = started();
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(daemon.socket(), fs::Permissions::from_mode(0o600)).unwrap();
    let (code, report) = peergate("doctor", &daemon);
    assert_eq!((code, &report["grade"]), (1, &"red".into()), "another mode: {report:#}");
    fs::remove_file(daemon.socket()).unwrap();
    let (code, report) = peergate("doctor", &daemon);
    assert_eq!(code, 1, "no socket: {report:#}");
    daemon.signal(Signal::SIGTERM);
}

#[test]
fn warden_keeps_what_the_policy_needs_and_no_more() {
    need_root!();
    let mask = |daemon: &Daemon| {
        let (_, report) = peergate("doctor", daemon);
        let sets = &role(&report, "warden")["status"]["capabilities"];
        assert_eq!(sets["effective"], sets["bounding"]);
        u64::from_str_radix(sets["effective"].as_str().unwrap(), 16).unwrap()
    };
    const DAC_OVERRIDE: u64 = 1 << 1;
    const ALWAYS: [u32; 6] = [5, 6, 7, 8, 9, 19];
    let (mut daemon, _upstream) = started();
    let whole = mask(&daemon);
    assert!(ALWAYS.iter().all(|bit| whole & (1 << bit) != 0) && whole & DAC_OVERRIDE != 0, "{whole:#x}");
    assert!(whole.count_ones() <= 8, "{whole:#x}");
    // A policy that needs less is taken; one that needs more than is left is not.
    let roots =
        POLICY.replace("proxy = \"unix:@DIR@/up.sock\"", "proxy = \"unix:@DIR@/up.sock\"\nowner = \"root\"");
    assert!(daemon.reload(&roots));
    assert_eq!(peergate("doctor", &daemon).0, 0, "it keeps what it was started with, which is no fault");
    daemon.stop();
    let place = daemon::place();
    let mut daemon = Daemon::start_in(place, &roots);
    assert_eq!(mask(&daemon) & DAC_OVERRIDE, 0);
    assert!(!daemon.reload(POLICY), "what was given up does not come back");
    let said = daemon.records_of("policy").last().unwrap()["refused"].as_str().unwrap().to_owned();
    assert!(said.contains("CAP_DAC_OVERRIDE") && said.contains("restart"), "{said}");
    daemon.stop();
}

#[test]
fn daemon_of_an_ordinary_user_is_confined_as_far_as_it_can_be() {
    need_root!();
    let alice = person("pg-alice");
    let place = daemon::place();
    std::os::unix::fs::chown(place.path(), Some(alice.uid.as_raw()), Some(alice.gid.as_raw())).unwrap();
    let file = write_policy(place.path(), POLICY);
    std::os::unix::fs::chown(&file, Some(alice.uid.as_raw()), None).unwrap();
    let daemon = Daemon::spawn(place, &file, |command| {
        command.uid(alice.uid.as_raw()).gid(alice.gid.as_raw());
    });
    let daemon = daemon.unwrap_or_else(|refused: Refused| panic!("{}", refused.said));
    assert_eq!(alice.curl(&daemon.socket(), "/nowhere", &[]).0, 403);
    let (code, report) = peergate("doctor", &daemon);
    assert_eq!((code, &report["grade"]), (0, &"amber".into()), "{report:#}");
    for name in ["gate", "scribe"] {
        for (layer, grade) in grades(role(&report, name)) {
            let wanted = if layer == "capabilities" { "amber" } else { "green" };
            assert_eq!((name, layer, grade), (name, layer, wanted), "{report:#}");
        }
    }
    let missing = report["missing"].as_array().unwrap();
    assert!(missing.contains(&"no-root".into()) && missing.contains(&"append-only".into()), "{missing:?}");
    daemon.stop();
}

/// Starts the daemon in a world in which some system calls fail.
fn without(rules: &[&str], arguments: &[&str]) -> Result<Daemon, Refused> {
    let place: Place = daemon::place();
    let file = write_policy(place.path(), POLICY);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/without.py");
    Daemon::spawn(place, &file, |command| {
        let daemon = command.get_program().to_owned();
        let given: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let environment: Vec<_> = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        *command = Command::new(support::python());
        command.arg(script).args(rules).arg("--").arg(daemon).args(given).args(arguments).envs(environment);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    })
}

/// A call that fails, and the layer that is missing then.
const MISSING: [(&str, &str); 10] = [
    ("landlock_create_ruleset=ENOSYS", "landlock"),
    ("landlock_create_ruleset=EOPNOTSUPP", "landlock"),
    ("landlock_create_ruleset=EPERM", "landlock"),
    ("landlock_add_rule", "landlock"),
    ("landlock_restrict_self", "landlock"),
    ("seccomp=EINVAL", "seccomp"),
    ("seccomp=EPERM", "seccomp"),
    ("capset", "capabilities"),
    // PR_SET_NO_NEW_PRIVS and PR_SET_DUMPABLE.
    ("prctl:38", "no-new-privs"),
    ("prctl:4", "dumpable"),
];

#[test]
fn missing_layer_stops_the_start_and_names_itself() {
    need_root!();
    need_programs!("python3");
    for (rule, layer) in MISSING {
        let Err(refused) = without(&[rule], &[]) else { panic!("it starts without {rule}") };
        assert_eq!(refused.status.code(), Some(1), "{rule}: {}", refused.said);
        let switch = format!("--accept-missing={layer}");
        assert!(
            refused.said.contains(&switch) && refused.said.contains("is missing"),
            "{rule}: {}",
            refused.said
        );
    }
}

#[test]
fn missing_layer_accepted_by_name_is_on_record_and_shown() {
    need_root!();
    need_programs!("python3");
    for (rule, layer) in
        [("landlock_create_ruleset=ENOSYS", "landlock"), ("capset", "capabilities"), ("prctl:4", "dumpable")]
    {
        let switch = format!("--accept-missing={layer}");
        let daemon =
            without(&[rule], &[&switch]).unwrap_or_else(|refused| panic!("{rule}: {}", refused.said));
        assert_eq!(client::ask(&daemon.socket(), "GET", "/nowhere").status(), 403);
        let named = Value::from(format!("accepted-{layer}"));
        let (code, status) = peergate("status", &daemon);
        assert!(code == 0 && status["missing"].as_array().unwrap().contains(&named), "{status:#}");
        let (code, report) = peergate("doctor", &daemon);
        assert_eq!((code, &report["grade"]), (0, &"amber".into()), "{rule}: {report:#}");
        // A gate has no capability to drop, the warden does.
        let whose = if layer == "capabilities" { "warden" } else { "gate" };
        assert!(grades(role(&report, whose)).contains(&(layer, "amber")), "{rule}: {report:#}");
        let all = daemon.stop();
        let open = all.iter().filter(|record| record["t"] == "open");
        assert!(open.clone().all(|record| record["missing"].as_array().unwrap().contains(&named)));
        assert!(open.clone().all(|record| layer != "landlock" || record["landlock"] == 0), "{all:?}");
    }
    // Another layer's name accepts nothing.
    assert!(without(&["landlock_create_ruleset=ENOSYS"], &["--accept-missing=seccomp"]).is_err());
}

#[test]
fn missing_seccomp_accepted_by_name_is_said_too() {
    need_root!();
    need_programs!("python3");
    let daemon =
        without(&["seccomp"], &["--accept-missing=seccomp"]).unwrap_or_else(|r| panic!("{}", r.said));
    assert_eq!(client::ask(&daemon.socket(), "GET", "/nowhere").status(), 403);
    let (_, report) = peergate("doctor", &daemon);
    assert_eq!(role(&report, "gate")["held"]["seccomp"]["calls"], 0);
    assert!(grades(role(&report, "gate")).contains(&("seccomp", "amber")), "{report:#}");
    daemon.stop();
}

#[test]
fn filter_that_only_logs_is_never_the_default_and_always_said() {
    need_root!();
    let place = daemon::place();
    let file = write_policy(place.path(), POLICY);
    let daemon = Daemon::spawn(place, &file, |command| {
        command.arg("--seccomp=log");
    });
    let daemon = daemon.unwrap_or_else(|refused| panic!("{}", refused.said));
    let (_, report) = peergate("doctor", &daemon);
    assert_eq!(report["grade"], "amber");
    assert!(report["missing"].as_array().unwrap().contains(&"seccomp-logs".into()), "{report:#}");
    assert_eq!(role(&report, "warden")["held"]["seccomp"]["logs_only"], true);
    daemon.stop();
}

/// Has a process make a system call that it may not make, as code that took it over would.
fn misbehave(pid: i64) {
    let mut strace = Command::new("strace");
    // strace puts another call in the place of the one that waits; the filter judges what is there then.
    strace.args([
        "-qq",
        "-f",
        "-o",
        "/dev/null",
        "-e",
        "inject=epoll_wait,epoll_pwait:retval=0:syscall=getppid",
    ]);
    // It ends with the process.
    support::run(strace.args(["-p", &pid.to_string()]));
}

#[test]
fn gate_that_makes_another_call_is_ended_and_the_record_says_which() {
    need_root!();
    need_programs!("strace");
    let (daemon, _upstream) = started();
    let mut client = Client::connect(&daemon.socket());
    assert_eq!(client.ask("GET", "/allowed/a").answer().status(), 200);
    daemon.wait_for("the outcome", |record| record["t"] == "outcome");
    let gate = daemon.wait_for("a gate", |record| record["role"] == "gate" && record["event"] == "started");
    misbehave(gate["pid"].as_i64().unwrap());
    assert!(client.answer_or_end().is_none(), "its connections end");
    let killed = daemon.wait_for("its death", |record| record["event"] == "killed");
    assert_eq!((&killed["signal"], &killed["live"]), (&31.into(), &vec![0].into()));
    // Where the kernel's log can be read; only opened, since reading it to its end waits for more.
    if fs::File::open("/dev/kmsg").is_ok() {
        let violated = daemon.wait_for("which call", |record| record["event"] == "violated");
        assert_eq!((&violated["pid"], &violated["syscall"]), (&gate["pid"], &"getppid".into()));
    }
    assert_eq!(client::ask(&daemon.socket(), "GET", "/allowed/b").status(), 200, "another gate serves");
    let mut daemon = daemon;
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.wait().success());
}

#[test]
fn gate_that_aborts_was_killed_by_its_own_signal_and_has_violated_nothing() {
    need_root!();
    need_programs!("prlimit");
    let (daemon, _upstream) = started();
    assert_eq!(client::ask(&daemon.socket(), "GET", "/allowed/a").status(), 200);
    let gate = daemon.wait_for("a gate", |record| record["role"] == "gate" && record["event"] == "started");
    // The first allocation that it gets no memory for ends it by abort(3).
    let pid = gate["pid"].to_string();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let id = |name: &str| -> u32 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    // As its own user, who may lower that without any right.
    let mut prlimit = Command::new("prlimit");
    prlimit.uid(id("Uid:")).gid(id("Gid:"));
    support::run(prlimit.args(["--pid", &pid, "--as=1:1"]));
    let died = |record: &Value| record["event"] == "killed" && record["pid"] == gate["pid"];
    let mut callers = Vec::new();
    while !daemon.records().iter().any(died) {
        let mut caller = Client::connect(&daemon.socket());
        caller.ask("GET", &format!("/allowed/{}", "a".repeat(6_000))).answer_or_end();
        callers.push(caller);
        assert!(callers.len() < 2_000, "it never needs more memory");
    }
    let killed = daemon.wait_for("its death", died);
    assert_eq!((&killed["role"], &killed["signal"]), (&"gate".into(), &6.into()), "{killed}");
    drop(callers);
    assert_eq!(client::ask(&daemon.socket(), "GET", "/allowed/b").status(), 200, "another gate serves");
    let all = daemon.stop();
    assert!(all.iter().all(|record| record["event"] != "violated"));
}

#[test]
fn roles_that_die_again_and_again_are_a_state_of_its_own() {
    need_root!();
    let (daemon, _upstream) = started();
    let mut gone = Vec::new();
    for nth in 1..=4 {
        let (_, status) = peergate("status", &daemon);
        assert_eq!(status["failing"], false, "{status:#}");
        assert_eq!(client::ask(&daemon.socket(), "GET", "/allowed/a").status(), 200);
        let gate = daemon.wait_for("a gate", |record| {
            record["role"] == "gate" && record["event"] == "started" && !gone.contains(&record["pid"])
        });
        // An outcome follows its answer, and a gate that is killed writes no more.
        let outcome = format!("-{nth}-1");
        daemon.wait_for("the outcome", |record| {
            record["t"] == "outcome" && record["id"].as_str().unwrap().ends_with(&outcome)
        });
        kill(Pid::from_raw(i32::try_from(gate["pid"].as_i64().unwrap()).unwrap()), Signal::SIGKILL).unwrap();
        gone.push(gate["pid"].clone());
        daemon.wait_for("its death", |record| record["event"] == "killed" && record["pid"] == gate["pid"]);
    }
    let (code, status) = peergate("status", &daemon);
    assert_eq!(
        (code, &status["failing"], &status["deaths_lately"]),
        (1, &true.into(), &4.into()),
        "{status:#}"
    );
    let (code, report) = peergate("doctor", &daemon);
    assert_eq!((code, &report["grade"]), (1, &"red".into()), "{report:#}");
    daemon.stop();
}

#[test]
fn segment_can_only_grow_until_it_is_closed() {
    need_root!();
    let (daemon, _upstream) = started();
    assert_eq!(client::ask(&daemon.socket(), "GET", "/allowed/a").status(), 200);
    let (_, status) = peergate("status", &daemon);
    if status["missing"].as_array().unwrap().contains(&"append-only".into()) {
        skip!("the file system of the temporary directory has no append-only flag");
    }
    let segments = || {
        let all = fs::read_dir(daemon.path("audit")).unwrap().map(|entry| entry.unwrap().path());
        all.filter(|path| support::records::is_segment(path)).collect::<Vec<_>>()
    };
    let open = segments();
    assert!(open.len() >= 3, "warden, scribe, gate: {open:?}");
    for path in &open {
        // Whoever is root here has every right but to clear the flag first.
        assert!(fs::OpenOptions::new().write(true).open(path).is_err(), "{path:?}");
        assert!(fs::OpenOptions::new().append(true).open(path).unwrap().set_len(0).is_err(), "{path:?}");
        assert!(fs::rename(path, path.with_extension("moved")).is_err(), "{path:?}");
        assert!(fs::remove_file(path).is_err(), "{path:?}");
    }
    let (place, _) = daemon.stop_keeping();
    for path in open {
        fs::remove_file(&path).unwrap_or_else(|why| panic!("closed segments can go: {path:?}: {why}"));
    }
    drop(place);
}

#[test]
fn plan_is_printed_and_nothing_is_made() {
    let place = daemon::place();
    let file = write_policy(place.path(), &POLICY.replace("pg-alice", "root"));
    let output =
        Command::new(env!("CARGO_BIN_EXE_peergated")).arg("--print-plan").arg("--policy").arg(&file).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", support::said(&output));
    let printed = support::out(&output);
    for words in [
        "warden\n",
        "gate\n",
        "scribe\n",
        "loader\n",
        "none, in any set",
        "clone3 → ENOSYS",
        "recvmsg: ",
        "any other kills",
    ] {
        assert!(printed.contains(words), "{words}:\n{printed}");
    }
    let made: Vec<_> = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(made, ["policy.toml"], "a plan makes nothing");
}

#[test]
fn layer_that_does_not_exist_is_a_usage_error() {
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_peergated"));
    let output = daemon.args(["--policy", "/nowhere", "--accept-missing=walls"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(support::said(&output).contains("landlock"), "{}", support::said(&output));
}
