//! What the unit leaves the processes, as the host's kernel sees it.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::str::FromStr;

use nix::libc;

use crate::house::House;
use crate::machine::Role;
use crate::need_machine;

/// The capabilities of a unit file's line, as a number.
fn bounding() -> u64 {
    let unit = include_str!("../../deploy/systemd/peergated.service");
    let line = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).unwrap();
    let bit = |name: &str| 1_u64 << caps::Capability::from_str(name).unwrap().index();
    line.split(' ').map(bit).fold(0, |all, bit| all | bit)
}

fn errno<T>(result: std::io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

#[test]
fn roles_in_the_unit_have_the_ids_and_capabilities_that_are_meant() {
    need_machine!();
    let house = House::installed();
    assert_eq!(house.machine.call("alice", "/_peergate/health").0, 200);
    let roles = house.machine.roles();
    let names: BTreeSet<&str> = roles.iter().map(|role| role.name.as_str()).collect();
    assert_eq!(names, ["gate", "scribe", "warden"].into(), "{roles:?}");
    for role in &roles {
        let Role { name, .. } = role;
        assert_eq!(role.status["NoNewPrivs"], "1", "{name}");
        assert_eq!(role.status["Seccomp"], "2", "{name}");
        assert_eq!(role.capabilities("CapBnd") & !bounding(), 0, "{name}: {role:?}");
        assert_eq!((role.capabilities("CapInh"), role.capabilities("CapAmb")), (0, 0), "{name}");
        let user = match name.as_str() {
            "warden" => "root".to_owned(),
            role => format!("peergate-{role}"),
        };
        let uid = house.uid(&user);
        assert_eq!(role.ids("Uid"), [uid].into(), "{name}");
        if name == "warden" {
            assert_eq!(role.capabilities("CapEff") & !bounding(), 0);
        } else {
            assert_eq!((role.capabilities("CapPrm"), role.capabilities("CapEff")), (0, 0), "{name}");
            assert_eq!(role.status["Groups"], "", "{name}");
        }
    }
}

#[test]
fn file_system_in_the_unit_is_read_only_but_for_its_own_places() {
    need_machine!();
    let house = House::installed();
    assert_eq!(house.machine.call("alice", "/_peergate/health").0, 200);
    for role in house.machine.roles() {
        let mounts = role.mounts();
        let writable: BTreeSet<&str> = mounts
            .iter()
            .filter(|(_, options)| options.split(',').any(|option| option == "rw"))
            .map(|(place, _)| place.as_str())
            // The container manager's own are locked against us. The rest are kernel's own file systems, which
            // have further directives.
            .filter(|place| !["/proc", "/sys", "/dev", "/run/host"].iter().any(|own| place.starts_with(own)))
            .collect();
        // Its own /tmp and /var/tmp are nobody else's.
        assert_eq!(
            writable,
            ["/run/peergate", "/tmp", "/var/log/peergate", "/var/tmp"].into(),
            "{mounts:#?}"
        );
        let make = |path: &str| errno(File::create(role.path(path)));
        for path in ["/etc/peergate/policy.toml", "/usr/bin/other", "/var/lib/other", "/run/other", "/other"]
        {
            assert_eq!(make(path), Some(libc::EROFS), "{path}");
        }
        for path in ["/proc/sys/kernel/core_pattern", "/sys/kernel/uevent_helper"] {
            let opened = OpenOptions::new().write(true).open(role.path(path));
            assert!(
                [Some(libc::EROFS), Some(libc::ENOENT), Some(libc::EACCES)].contains(&errno(opened)),
                "{path}"
            );
        }
        // What lies in homes and in others' temporary files is not there.
        house.machine.sh("touch /tmp/of-others /home/alice/of-hers");
        for path in ["/tmp/of-others", "/home/alice/of-hers", "/dev/mem", "/dev/kmsg", "/dev/fuse"] {
            assert_eq!(errno(File::open(role.path(path))), Some(libc::ENOENT), "{path}");
        }
        let (own, all) = (role.namespace("net"), format!("/proc/{}/ns/net", house.machine.leader()));
        assert_ne!(own, std::fs::read_link(all).unwrap(), "a network of its own, which is none");
        // The users are those of the machine: a caller is who it is.
        let users = format!("/proc/{}/ns/user", house.machine.leader());
        assert_eq!(role.namespace("user"), std::fs::read_link(users).unwrap());
    }
}

#[test]
fn callers_are_who_the_machine_says_they_are() {
    need_machine!();
    let house = House::installed();
    for user in ["root", "alice", "bob"] {
        let (status, body) = house.machine.call(user, "/_peergate/whoami");
        assert_eq!(status, 200, "{user}: {body}");
        let who: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&who["user"], &who["namespace"]), (&user.into(), &"host".into()), "{body}");
        assert_eq!(who["uid"], house.uid(user));
    }
    let (status, said) = house.machine.call("mallory", "/_peergate/whoami");
    assert_eq!(status, 0, "the socket's mode keeps others out: {said}");
    // Root of the host, which for this machine is root of another namespace, as a container's root is for a host.
    let mut client = crate::support::client::Client::connect(&house.machine.path("/run/peergate/api.sock"));
    assert_eq!(client.ask("GET", "/_peergate/whoami").answer().status(), 403);
    let gates: BTreeSet<u32> = house
        .records()
        .iter()
        .filter(|record| record["t"] == "decision" && record["decision"] == "allow")
        .map(|record| u32::try_from(record["uid"].as_u64().unwrap()).unwrap())
        .collect();
    assert_eq!(gates, ["root", "alice", "bob"].map(|user| house.uid(user)).into());
}

#[test]
fn doctor_in_the_unit_finds_every_role_as_it_is_planned() {
    need_machine!();
    let house = House::installed();
    assert_eq!(house.machine.call("alice", "/_peergate/health").0, 200);
    let doctor = house.machine.try_sh("peergate doctor --format json");
    let report: serde_json::Value = serde_json::from_slice(&doctor.stdout).unwrap();
    assert!(doctor.status.success(), "{report:#}");
    let roles = report["roles"].as_array().unwrap();
    assert_eq!(roles.iter().map(|role| &role["role"]).collect::<Vec<_>>(), ["warden", "scribe", "gate"]);
    for role in roles {
        for finding in role["findings"].as_array().unwrap() {
            assert_eq!(finding["grade"], "green", "{}: {finding}", role["role"]);
        }
    }
    assert!(
        report["sockets"].as_array().unwrap().iter().all(|socket| socket["grade"] == "green"),
        "{report:#}"
    );
    // With users of their own for the roles nothing is missing that this kernel has.
    let missing = report["missing"].as_array().unwrap();
    assert!(
        missing.iter().all(|missing| missing == "append-only" || missing == "reservation"),
        "{missing:?}"
    );
}
