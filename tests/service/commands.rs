//! Commands under the shipped units: outside of the daemon's hardening, beyond its life, and ended as a whole.

use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use serde_json::Value;

use crate::house::House;
use crate::machine::{Machine, lacking};
use crate::need_machine;
use crate::support::{out, program, records, said};

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

/// Two packages, each installed as the first of two versions; a repository of a directory has the second.
const REPOSITORY: &str = "set -e
mkdir /srv/repository && cd /srv/repository
for name in nginx app; do
  for version in 1 2; do
    mkdir -p made/DEBIAN
    printf 'Package: %s\\nVersion: %s\\nArchitecture: all\\nMaintainer: nobody <nobody@localhost>\\nDescription: small\\n' \
      $name $version > made/DEBIAN/control
    file=${name}_$version.deb
    dpkg-deb --root-owner-group --build made $file
    if [ $version = 1 ]; then dpkg --install $file; continue; fi
    cat made/DEBIAN/control
    printf 'Filename: ./%s\\nSize: %s\\nSHA256: %s\\n\\n' $file $(stat --format=%s $file) $(sha256sum $file | cut -d' ' -f1)
  done >> made.log
done
grep -E '^([A-Z][A-Za-z0-9]*: .*)?$' made.log > Packages
rm /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null || true
echo 'deb [trusted=yes] file:/srv/repository ./' > /etc/apt/sources.list";

/// A machine whose policy this is; alice is an operator, and bob may connect and nothing more.
fn commanded_by(policy: &str) -> House {
    let house = House::installed();
    house.machine.sh("groupadd ops && usermod --append --groups ops,peergate alice");
    let mut write = house.machine.command("sh");
    write.args(["-c", "printf '%s' \"$1\" > /etc/peergate/policy.toml", "sh", policy]);
    assert!(write.status().unwrap().success());
    house
}

/// A machine whose policy is the sample of services, and more.
fn commanded() -> House {
    let house = commanded_by(&format!("{}{MORE}", include_str!("../../policy/services.toml")));
    house.machine.sh(UNIT);
    house
}

/// `peergate run` as alice.
fn peergate_run(house: &House, arguments: &[&str]) -> Output {
    run_as(house, "alice", arguments)
}

fn run_as(house: &House, who: &str, arguments: &[&str]) -> Output {
    house.machine.command_as(who, "peergate").arg("run").args(arguments).output().unwrap()
}

/// The exit code of a `peergate run` that is not let through.
fn refused(house: &House, who: &str, arguments: &[&str]) -> Option<i32> {
    let output = run_as(house, who, arguments);
    assert!(!output.status.success(), "{who} {arguments:?}: {}", said(&output));
    output.status.code()
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
    // However many commands come in a row, the service manager does not close that socket over it.
    let limit = "systemctl show --property=TriggerLimitIntervalUSec --value peergate-runner.socket";
    assert_eq!(house.machine.sh(limit), "0\n");
    let ended = |record: &Value| record["t"] == "exit" && record["code"] == 0;
    assert_eq!(house.records().iter().filter(|record| ended(record)).count(), 4);
    // One that the service manager starts is as powerless as one of the launcher's.
    let probed = house.machine.sh("peergate probe --role runner");
    assert!(probed.ends_with(" tries: each came to what it has to come to\n"), "{probed}");
    // Each had a unit of its own; one waits for the next command, and goes with the daemon.
    let units = "systemctl list-units --plain --no-legend 'peergate-runner@*.service' | wc -l";
    until(&house, &format!("test $({units}) = 1"));
    house.machine.sh("systemctl stop peergated.socket peergated.service");
    until(&house, &format!("test $({units}) = 0"));
}

#[test]
fn command_outlives_a_restart_of_the_daemon() {
    need_machine!();
    let house = commanded();
    house.machine.sh("mkfifo /run/wait");
    let mut caller = house.machine.command_as("alice", "peergate").args(["run", "waits"]).spawn().unwrap();
    until(&house, "test -s /run/up");
    // As needrestart does with what uses a library that was replaced, this command perhaps by itself.
    let restart = house.machine.try_sh(
        "systemctl restart $(systemctl list-units --plain --no-legend \
                                        'peergate-runner@*.service' | cut -d' ' -f1)",
    );
    assert!(said(&restart).contains("Operation refused"), "{}", said(&restart));
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

/// A daemon without units, whose own launcher starts commands.
const BARE: &str = r#"
version = 1
[daemon]
control = "/run/peergate/control.sock"
[audit]
directory = "/var/log/peergate"
[listen.api]
path = "/run/peergate/api.sock"
[backend.long]
command  = ["/usr/bin/dash", "-c", "setsid sleep 8675 & echo $PPID > /run/up; exec sleep 8675"]
user     = "root"
[who.root]
uid = [0]
[[route]]
id    = "long"
match = ["POST /long"]
to    = "long"
allow = ["root"]
"#;

#[test]
fn control_group_of_a_command_whose_runner_is_killed_is_removed_by_the_launcher() {
    if let Some(why) = lacking() {
        crate::skip!("{why}");
    }
    let shared = tempfile::tempdir().unwrap();
    std::fs::copy(program("peergated"), shared.path().join("peergated")).unwrap();
    std::fs::write(shared.path().join("policy.toml"), BARE).unwrap();
    std::fs::set_permissions(shared.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let machine = Machine::boot(shared.path());
    machine.sh("mkdir -p /run/peergate && systemd-run --quiet --unit=peergated --service-type=notify \
                /shared/peergated --policy /shared/policy.toml");
    let mut caller = machine.command("curl");
    caller.args([
        "--silent",
        "--request",
        "POST",
        "--unix-socket",
        "/run/peergate/api.sock",
        "http://localhost/long",
    ]);
    let mut caller = caller.spawn().unwrap();
    let until = |line: &str| {
        while !machine.try_sh(line).status.success() {
            std::thread::yield_now();
        }
    };
    until("test -s /run/up");
    let groups = "ls -d /sys/fs/cgroup/system.slice/peergated.service/command-*";
    assert_eq!(machine.sh(groups).lines().count(), 1);
    machine.sh("kill -KILL $(cat /run/up)");
    until(&format!("! {groups}"));
    assert_eq!(machine.sh(&format!("{SLEEPING} || true")), "0\n");
    caller.wait().unwrap();
}

#[test]
fn administration_sample_does_what_it_says_for_its_group_alone() {
    need_machine!();
    let house = commanded_by(include_str!("../../policy/administration.toml"));
    let machine = &house.machine;
    machine.sh("install --directory --owner=backup --group=backup --mode=0750 /var/backups/srv");
    machine.sh("mkdir /srv/web && echo page > /srv/web/page && ln -s /etc /srv/elsewhere");
    machine.sh(REPOSITORY);

    ran(&house, &["back-up", "name=web"]);
    let archive = "/var/backups/srv/web.tar.gz";
    assert_eq!(machine.sh(&format!("stat --format=%U {archive}")), "backup\n");
    assert_eq!(machine.sh(&format!("tar --extract --to-stdout --file={archive} web/page")), "page\n");
    // A link is kept as one, and nothing behind it.
    ran(&house, &["back-up", "name=elsewhere"]);
    assert_eq!(machine.sh("tar --list --file=/var/backups/srv/elsewhere.tar.gz"), "elsewhere\n");

    let versions = "dpkg-query --show --showformat='${Package} ${Version} ' app nginx";
    ran(&house, &["refresh-packages"]);
    ran(&house, &["upgrade-package", "package=nginx"]);
    assert_eq!(machine.sh(versions), "app 1 nginx 2 ");
    ran(&house, &["upgrade-packages"]);
    assert_eq!(machine.sh(versions), "app 2 nginx 2 ");

    ran(&house, &["add-user", "name=anna"]);
    assert_eq!(machine.sh("getent passwd ext-anna | cut -d: -f6,7"), "/home/ext-anna:/bin/bash\n");
    assert_eq!(machine.sh("getent shadow ext-anna | cut -d: -f2"), "!\n", "nobody logs in by a password");
    // What the program itself says no to is its own exit code.
    assert_eq!(refused(&house, "alice", &["add-user", "name=anna"]), Some(9));

    let hostile = [
        ["back-up", "name=../etc"],
        ["back-up", "name=--checkpoint-action=exec=id"],
        ["back-up", "name="],
        ["back-up", "name=.."],
        ["upgrade-package", "package=nginx-"],
        ["upgrade-package", "package=nginx=1"],
        ["upgrade-package", "package=/tmp/own.deb"],
        ["add-user", "name=--uid=0"],
        ["add-user", "name=a:b"],
        ["add-user", "name=root x"],
        ["add-user", "name=averylongnamethatnologinhasroomfor"],
    ];
    for arguments in hostile {
        assert_eq!(refused(&house, "alice", &arguments), Some(126), "{arguments:?}");
    }
    let before = machine.sh("getent passwd; ls /var/backups/srv");
    for (route, path) in [
        (&["back-up", "name=web"][..], "/backups/web"),
        (&["refresh-packages"], "/packages/refresh"),
        (&["upgrade-package", "package=nginx"], "/packages/nginx/upgrade"),
        (&["upgrade-packages"], "/packages/upgrade"),
        (&["add-user", "name=bert"], "/users/bert"),
    ] {
        assert_eq!(refused(&house, "bob", route), Some(127), "bob is told of no such route: {route:?}");
        assert_eq!(refused(&house, "bob", &[path]), Some(126), "{path}");
        // Who is not in the listener's group can't even connect.
        assert_eq!(refused(&house, "mallory", &[path]), Some(125), "{path}");
    }
    assert_eq!(machine.sh("getent passwd; ls /var/backups/srv"), before);
    let records = house.records();
    let exits: Vec<&Value> = records.iter().filter(|r| r["t"] == "exit").map(|r| &r["code"]).collect();
    assert_eq!(exits, [0, 0, 0, 0, 0, 0, 9], "each once, and nothing of what was refused");
}
