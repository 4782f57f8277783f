//! Started by a caller, reloaded, killed, hung, upgraded, stopped, purged.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use serde_json::Value;

use crate::house::House;
use crate::need_machine;
use crate::support::{PATIENCE, records};

fn allowed(house: &House, user: &str) {
    let (status, body) = house.machine.call(user, "/_peergate/health");
    assert_eq!(status, 200, "{user}: {body}\n{}", house.machine.journal());
}

/// What `peergate status` says.
fn status(house: &House) -> Value {
    serde_json::from_str(&house.machine.sh("peergate status --format json")).unwrap()
}

#[test]
fn service_installed_starts_with_its_first_caller_and_opens_nothing_else() {
    need_machine!();
    let house = House::installed();
    assert_eq!(house.property("ActiveState"), "inactive", "nothing runs before it is called");
    assert_eq!(house.machine.sh("systemctl is-active peergated.socket").trim(), "active");
    assert_eq!(
        house.machine.sh("stat -c '%A %U %G' /run/peergate/api.sock").trim(),
        "srw-rw---- root peergate"
    );
    allowed(&house, "alice");
    assert_eq!(house.property("ActiveState"), "active");
    let status = status(&house);
    assert_eq!(status["listeners"].as_array().unwrap().len(), 1);
    let record = records::wait_for(&house.audit(), "alice's call", |record| record["t"] == "decision");
    assert_eq!((&record["uid"], &record["route"]), (&house.uid("alice").into(), &"health".into()));
    assert!(house.machine.journal().contains("ready"), "{}", house.machine.journal());
    // The units are known, and both come with the next boot.
    for unit in ["peergated.socket", "peergated.service"] {
        assert_eq!(house.machine.sh(&format!("systemctl is-enabled {unit}")).trim(), "enabled");
    }
}

#[test]
fn reload_takes_a_good_policy_and_refuses_a_bad_one() {
    need_machine!();
    let house = House::installed();
    allowed(&house, "alice");
    let (warden, before) = (house.machine.role("warden").pid, status(&house)["policy"]["hash"].clone());
    let policy = "/etc/peergate/policy.toml";
    house.machine.sh(&format!("sed -i 's/allow = .*members.*/allow = [\"root\"]/; s/^expect  = \"allow\"$/expect = \"deny\"/' {policy}"));
    let bad = house.machine.try_sh("systemctl reload peergated");
    assert!(!bad.status.success(), "its tests say otherwise");
    assert!(house.machine.journal().contains("policy.toml:"), "{}", house.machine.journal());
    assert_eq!(status(&house)["policy"]["hash"], before);
    allowed(&house, "alice");
    // Without the tests that fail now it is good, and alice may not any more.
    house.machine.sh(&format!("sed -i '/^\\[\\[test\\]\\]/,/^$/d; /^\\[who.members\\]/,/^$/d' {policy}"));
    house.machine.sh("systemctl reload peergated");
    assert_ne!(status(&house)["policy"]["hash"], before);
    assert_eq!(house.machine.call("alice", "/_peergate/health").0, 403);
    allowed(&house, "root");
    assert_eq!(house.machine.role("warden").pid, warden, "the same process");
    assert_eq!(house.property("ActiveState"), "active");
}

#[test]
fn role_killed_comes_back_and_is_on_record() {
    need_machine!();
    let house = House::installed();
    allowed(&house, "alice");
    let warden = house.machine.role("warden");

    let gate = house.machine.role("gate");
    gate.kill();
    allowed(&house, "alice");
    assert_ne!(house.machine.role("gate").pid, gate.pid);
    records::wait_for(&house.audit(), "the gate's death", |record| {
        record["t"] == "gate" && record.to_string().contains("\"signal\":9")
    });

    let scribe = house.machine.role("scribe");
    let segments = |record: &Value| record["t"] == "open" && record.to_string().contains("scribe");
    let before = house.records().iter().filter(|record| segments(record)).count();
    scribe.kill();
    records::wait(&house.audit(), |all| {
        (all.iter().filter(|record| segments(record)).count() > before).then_some(())
    });
    assert_ne!(house.machine.role("scribe").pid, scribe.pid);
    allowed(&house, "alice");
    assert_eq!(house.machine.role("warden").pid, warden.pid, "the warden lives on");

    let others: Vec<_> = house.machine.roles().into_iter().filter(|role| role.name != "warden").collect();
    let ends: Vec<_> = others.iter().map(|role| role.end()).collect();
    warden.kill();
    assert!(ends.iter().all(|end| end.wait()), "no role outlives its warden");
    allowed(&house, "alice");
    assert_ne!(house.machine.role("warden").pid, warden.pid);
    assert_eq!(house.property("NRestarts"), "1", "{}", house.machine.journal());
    assert_eq!(house.property("Result"), "success");
}

#[test]
fn warden_that_hangs_is_ended_by_the_watchdog_and_started_again() {
    need_machine!();
    let house = House::installed();
    house.machine.sh("mkdir -p /etc/systemd/system/peergated.service.d &&
         printf '[Service]\\nWatchdogSec=1\\n' >/etc/systemd/system/peergated.service.d/soon.conf &&
         systemctl daemon-reload");
    allowed(&house, "alice");
    let warden = house.machine.role("warden");
    let end = warden.end();
    kill(warden.pid, Signal::SIGSTOP).unwrap();
    assert!(end.wait(), "{}", house.machine.journal());
    allowed(&house, "alice");
    assert_ne!(house.machine.role("warden").pid, warden.pid);
    assert!(house.machine.journal().contains("Watchdog timeout"), "{}", house.machine.journal());
}

#[test]
fn upgrade_under_load_loses_no_call() {
    need_machine!();
    let house = House::installed();
    let newer = house.newer();
    let mut caller = house.machine.command_as("alice", "python3");
    caller.arg("/shared/caller.py").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut caller = crate::support::daemon::Running(caller.spawn().unwrap());
    let mut said = BufReader::new(caller.0.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "calling\n");
    let before = house.machine.role("warden");
    let end = before.end();

    house.machine.sh(&format!("dpkg --install {newer}"));
    assert!(end.wait(), "the old daemon is still there");
    house.machine.sh("systemctl restart peergated.service");

    drop(caller.0.stdin.take());
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    let told: Value = serde_json::from_str(&rest).unwrap_or_else(|why| panic!("{why}: {rest}"));
    println!("{told}");
    assert_eq!(told["not_connected"], Value::Array(Vec::new()), "{}", house.machine.journal());
    assert_eq!(told["failed"], Value::Array(Vec::new()), "{}", house.machine.journal());
    assert!(house.machine.sh("dpkg-query --show peergate").contains("+newer"));
    // Nothing runs from a file that was replaced, and so nothing is left for `needrestart`.
    for role in house.machine.roles() {
        let file = std::fs::read_link(format!("/proc/{}/exe", role.pid)).unwrap();
        assert!(!file.to_string_lossy().contains("deleted"), "{role:?}: {}", file.display());
    }
    house.machine.sh("systemctl stop peergated.socket peergated.service");
    // Every call is on record, whole, over all three daemons.
    records::check_books(&house.audit());
    let alice = house.uid("alice");
    let calls =
        house.records().iter().filter(|record| record["t"] == "decision" && record["uid"] == alice).count();
    let told = ["single", "kept"].map(|kind| told[kind].as_u64().unwrap()).iter().sum::<u64>();
    // A call on a kept connection that was closed before it was read is made again, and counted twice.
    assert!((calls as u64) <= told && told - (calls as u64) <= 8, "{calls} on record, {told} made");
}

#[test]
fn upgrade_with_a_policy_that_is_not_good_any_more_keeps_the_old_daemon() {
    need_machine!();
    let house = House::installed();
    let newer = house.newer();
    allowed(&house, "alice");
    let before = house.machine.role("warden");
    house.machine.sh("echo 'frobnicate = 1' >>/etc/peergate/policy.toml");
    house.machine.sh(&format!("dpkg --install {newer}"));
    assert_eq!(house.machine.role("warden").pid, before.pid);
    allowed(&house, "bob");
}

#[test]
fn policy_that_is_not_good_is_not_started_again_and_again() {
    need_machine!();
    let house = House::installed();
    house.machine.sh("echo 'frobnicate = 1' >>/etc/peergate/policy.toml");
    let started = house.machine.try_sh("systemctl start peergated.service");
    assert!(!started.status.success());
    assert_eq!((house.property("ExecMainStatus"), house.property("NRestarts")), ("78".into(), "0".into()));
    assert!(house.machine.journal().contains("frobnicate"), "{}", house.machine.journal());
    // A caller has it tried a few times more, and is then refused instead of left waiting.
    assert_eq!(house.machine.call("alice", "/_peergate/health").0, 0);
    let until = Instant::now() + PATIENCE;
    while !house.machine.try_sh("systemctl is-failed peergated.socket").status.success() {
        // Paced by the command itself.
        assert!(Instant::now() < until, "{}", house.machine.journal());
    }
    // As the manual says.
    house.machine.sh("sed -i '/frobnicate/d' /etc/peergate/policy.toml");
    house.machine.sh("systemctl reset-failed peergated.service peergated.socket");
    house.machine.sh("systemctl start peergated.socket");
    allowed(&house, "alice");
}

#[test]
fn service_stopped_and_purged_leaves_the_record_and_nothing_else() {
    need_machine!();
    let house = House::installed();
    allowed(&house, "alice");
    house.machine.sh("systemctl stop peergated.socket peergated.service");
    assert_eq!((house.property("Result"), house.property("ExecMainStatus")), ("success".into(), "0".into()));
    assert!(house.machine.roles().is_empty());
    let journal = house.machine.journal();
    assert!(!journal.contains("Killing process"), "the roles end before the warden does: {journal}");
    records::check_books(&house.audit());
    let kept = house.records();
    assert!(kept.iter().any(|record| record["t"] == "decision"));

    house.machine.sh("dpkg --purge peergate");
    assert_eq!(house.records(), kept);
    let left = house.machine.sh(
        "find / -xdev \\( -path /proc -o -path /sys -o -path /shared \\) -prune -o \\( -name '*peergate*' -print \\)",
    );
    let left: Vec<&str> = left.lines().filter(|path| !path.starts_with("/var/log/peergate/")).collect();
    assert_eq!(left, ["/var/log/peergate"]);
    assert!(!house.machine.path("/run/peergate").exists());
    // Its ids are not given to others while the record names them.
    house.uid("peergate-gate");

    // Installed again, it goes on beside the old record.
    house.machine.sh("dpkg --install /shared/peergate.deb");
    allowed(&house, "alice");
    assert!(house.records().len() > kept.len());
}
