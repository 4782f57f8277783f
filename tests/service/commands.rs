//! Commands under the shipped units: outside of the daemon's hardening, beyond its life, and ended as a whole.

use std::process::Output;

use serde_json::Value;

use crate::house::House;
use crate::need_machine;
use crate::support::{out, records, said};

/// A package without dependencies, which writes where the daemon itself may not.
const SMALL: &str = "set -e
mkdir -p /tmp/small/DEBIAN /tmp/small/usr/share/small
printf 'Package: small\\nVersion: 1\\nArchitecture: all\\nMaintainer: nobody <nobody@localhost>\\nDescription: small\\n' \
  > /tmp/small/DEBIAN/control
printf '#!/bin/sh\\nset -e\\necho made > /etc/small.conf\\nuseradd --system small\\n' > /tmp/small/DEBIAN/postinst
chmod 755 /tmp/small/DEBIAN/postinst
echo small > /tmp/small/usr/share/small/file
dpkg-deb --root-owner-group --build /tmp/small /root/small.deb";

/// A service, as the sample policy restarts them.
const UNIT: &str = "printf '[Service]\\nExecStart=/bin/sh -c \"echo small says hello; exec sleep infinity\"\\n' \
                    > /etc/systemd/system/app.service && systemctl daemon-reload && systemctl start app.service";

const MORE: &str = r#"
[backend.install]
command  = ["/usr/bin/apt-get", "install", "--yes", "{package}"]
user     = "root"
env      = { DEBIAN_FRONTEND = "noninteractive" }
timeout  = "5m"
on_leave = "finish"
params.package = { one_of = ["/root/small.deb"], from = "query" }

[backend.waits]
command  = ["/usr/bin/dash", "-c", "echo up > /run/up; read -r word < /run/wait; echo $word > /run/done"]
user     = "root"
on_leave = "finish"

[backend.family]
command  = ["/usr/bin/dash", "-c", "setsid sleep 8675 & (setsid sleep 8675 &); echo up > /run/up; sleep 8675"]
user     = "root"

[[route]]
id    = "install"
match = ["POST /install"]
query = ["package"]
to    = "install"
allow = ["operators"]

[[route]]
id    = "waits"
match = ["POST /waits"]
to    = "waits"
allow = ["operators"]

[[route]]
id    = "family"
match = ["POST /family"]
to    = "family"
allow = ["operators"]
"#;

/// How many of the family's processes there are.
const SLEEPING: &str = "for line in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $line; echo; done 2>/dev/null | \
                        grep --count '^sleep 8675'";

/// A machine whose policy is the sample of services, and more.
fn commanded() -> House {
    let house = House::installed();
    house.machine.sh("groupadd ops && usermod --append --groups ops,peergate alice");
    let policy = format!("{}{MORE}", include_str!("../../policy/services.toml"));
    let mut write = house.machine.command("sh");
    write.args(["-c", "printf '%s' \"$1\" > /etc/peergate/policy.toml", "sh", &policy]);
    assert!(write.status().unwrap().success());
    house.machine.sh(UNIT);
    house
}

/// `peergate run` as alice.
fn peergate_run(house: &House, arguments: &[&str]) -> Output {
    house.machine.command_as("alice", "peergate").arg("run").args(arguments).output().unwrap()
}

fn ran(house: &House, arguments: &[&str]) -> String {
    let output = peergate_run(house, arguments);
    assert!(output.status.success(), "{arguments:?}: {}\n{}", said(&output), house.machine.journal());
    out(&output)
}

/// Waits until this line of shell succeeds in the machine.
fn until(house: &House, line: &str) {
    while !house.machine.try_sh(line).status.success() {
        std::thread::yield_now();
    }
}

#[test]
fn commands_run_outside_of_the_daemons_hardening() {
    need_machine!();
    let house = commanded();
    assert!(ran(&house, &["unit-status", "unit=app.service"]).contains("active (running)"));
    let pid = "systemctl show --property=MainPID --value app.service";
    let before = house.machine.sh(pid);
    ran(&house, &["restart-unit", "unit=app.service"]);
    assert_ne!(house.machine.sh(pid), before, "it was restarted");
    assert!(ran(&house, &["unit-journal", "unit=app.service", "lines=50"]).contains("small says hello"));
    // Neither root's files nor its users are the daemon's to change; `apt` changes both.
    house.machine.sh(SMALL);
    ran(&house, &["install", "package=/root/small.deb"]);
    assert_eq!(house.machine.sh("cat /etc/small.conf /usr/share/small/file"), "made\nsmall\n");
    house.machine.sh("id small");
    let denied = peergate_run(&house, &["unit-status", "unit=dbus.service"]);
    assert_eq!(denied.status.code(), Some(126), "{}", said(&denied));
    assert_eq!(peergate_run(&house, &["nothing"]).status.code(), Some(127));
    // Nobody but root gets near a runner.
    let knocked = house.machine.command_as("alice", "ls").arg("/run/peergate-runner").output().unwrap();
    assert!(!knocked.status.success(), "{}", said(&knocked));
    let ended = |record: &Value| record["t"] == "exit" && record["code"] == 0;
    assert_eq!(house.records().iter().filter(|record| ended(record)).count(), 4);
    // Each had a unit of its own, and none is left.
    until(&house, "! systemctl --quiet is-active 'peergate-runner@*.service'");
}

#[test]
fn command_outlives_a_restart_of_the_daemon() {
    need_machine!();
    let house = commanded();
    house.machine.sh("mkfifo /run/wait");
    let mut caller = house.machine.command_as("alice", "peergate").args(["run", "waits"]).spawn().unwrap();
    until(&house, "test -s /run/up");
    house.machine.sh("systemctl restart peergated.service");
    caller.wait().unwrap();
    let detached = records::wait_for(&house.audit(), "detached", |record| {
        record["t"] == "exit" && record["why"] == "detached"
    });
    house.machine.sh("test ! -e /run/done && echo word > /run/wait");
    until(&house, "test -s /run/done");
    let ended = records::wait_for(&house.audit(), "its end", |record| {
        record["t"] == "exit" && record["why"] == "done"
    });
    assert_eq!((&ended["id"], &ended["code"]), (&detached["id"], &0.into()));
}

#[test]
fn command_whose_runner_is_killed_ends_as_a_whole() {
    need_machine!();
    let house = commanded();
    let mut caller = house.machine.command_as("alice", "peergate").args(["run", "family"]).spawn().unwrap();
    until(&house, "test -s /run/up");
    until(&house, &format!("test $({SLEEPING}) = 3"));
    let unit = "systemctl list-units --plain --no-legend 'peergate-runner@*.service' | cut -d' ' -f1";
    house.machine.sh(&format!("systemctl kill --kill-whom=main --signal=KILL \"$({unit})\""));
    until(&house, &format!("test $({SLEEPING}) = 0"));
    records::wait_for(&house.audit(), "its loss", |record| record["t"] == "exit" && record["why"] == "lost");
    assert_eq!(caller.wait().unwrap().code(), Some(125));
}
