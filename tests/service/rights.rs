//! Each right that the unit leaves is needed, and each drop-in gives what it says and no more.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};

use crate::house::House;
use crate::need_machine;
use crate::support::daemon::Running;

const DROP_INS: &str = "/etc/systemd/system/peergated.service.d";

/// Makes this the service's only drop-in, and starts the service with it; whether it started.
fn start_with(house: &House, text: &str) -> bool {
    house.machine.sh(&format!(
        "mkdir -p {DROP_INS} && printf '%s\\n' '[Service]' '{text}' >{DROP_INS}/one.conf && systemctl daemon-reload &&
         systemctl stop peergated.service 2>/dev/null; systemctl reset-failed; systemctl start peergated.socket"
    ));
    house.machine.try_sh("systemctl start peergated.service").status.success()
}

#[test]
fn unit_without_one_of_its_capabilities_does_not_serve() {
    need_machine!();
    let house = House::installed();
    // A listener of somebody else's, whose mode only CAP_FOWNER can set.
    house.machine.sh(
        "printf '%s\\n' '[listen.hers]' 'path = \"/run/peergate/hers.sock\"' 'owner = \"alice\"' 'mode = \"0600\"' \
         >>/etc/peergate/policy.toml
         sed -i 's/^id    = .*/&\\non = [\"api\", \"hers\"]/; s/^\\[\\[test\\]\\]/&\\non = \"api\"/' /etc/peergate/policy.toml
         peergate policy check /etc/peergate/policy.toml",
    );
    let serves = |less: &str| {
        start_with(&house, &format!("Restart=no\nCapabilityBoundingSet={less}"))
            && house.machine.call("alice", "/_peergate/health").0 == 200
    };
    assert!(serves("CAP_SETUID"), "with all of them it does: {}", house.machine.journal());
    // What the warden's plan requires, and CAP_FOWNER, which only this listener asks for.
    for capability in
        ["CAP_SYS_PTRACE", "CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP", "CAP_KILL", "CAP_CHOWN", "CAP_FOWNER"]
    {
        assert!(!serves(&format!("~{capability}")), "{capability} is not needed");
    }
}

#[test]
fn gate_that_hangs_is_ended_by_the_warden() {
    need_machine!();
    let house = House::installed();
    house.machine.sh("printf '%s\\n' '[limits]' 'drain_time = \"10ms\"' >>/etc/peergate/policy.toml");
    assert!(start_with(&house, ""));
    assert_eq!(house.machine.call("alice", "/_peergate/health").0, 200);
    kill(house.machine.role("gate").pid, Signal::SIGSTOP).unwrap();
    house.machine.sh("systemctl stop peergated.socket peergated.service");
    // Not by the service manager, which would call that a timeout.
    assert_eq!(house.property("Result"), "success", "{}", house.machine.journal());
}

/// Starts a backend and waits until it listens.
fn backend(house: &House, user: &str, place: &str) -> Running {
    let mut backend = house.machine.command_as(user, "python3");
    backend.args(["/shared/backend.py", place]).stdout(Stdio::piped());
    let mut backend = Running(backend.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(backend.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "listening\n");
    backend
}

/// Adds a backend and a route to it, `/NAME`.
fn serve(house: &House, name: &str, proxy: &str, owner: &str) {
    house.machine.sh(&format!(
        "printf '%s\\n' '[backend.{name}]' 'proxy = \"{proxy}\"' '{owner}' '[[route]]' 'id = \"{name}\"' \
         'match = [\"GET /{name}\"]' 'to = \"{name}\"' 'allow = [\"root\", \"members\"]' >>/etc/peergate/policy.toml"
    ));
}

#[test]
fn backend_on_the_loopback_is_reached_with_its_drop_in_alone() {
    need_machine!();
    let house = House::installed();
    let _backend = backend(&house, "root", "8080");
    serve(&house, "port", "tcp:127.0.0.1:8080", "");
    assert_eq!(house.machine.call("alice", "/port").0, 502, "the unit alone leaves no network");
    house.machine.sh(&format!(
        "mkdir -p {DROP_INS} && cp /usr/share/doc/peergate/peergated-tcp.conf {DROP_INS}/ &&
         systemctl daemon-reload && systemctl restart peergated.service"
    ));
    let answer = house.machine.call("alice", "/port");
    assert_eq!(answer, (200, "hi".to_owned()), "{}", house.machine.journal());
}

#[test]
fn backend_of_another_user_is_reached_with_its_drop_in_alone() {
    need_machine!();
    let house = House::installed();
    house.machine.sh("install -d -o bob /srv/bob");
    let _roots = backend(&house, "root", "/srv/root.sock");
    let _bobs = backend(&house, "bob", "/srv/bob/bob.sock");
    serve(&house, "roots", "unix:/srv/root.sock", "");
    serve(&house, "bobs", "unix:/srv/bob/bob.sock", "owner = \"bob\"");
    assert_eq!(house.machine.call("alice", "/roots").0, 200, "root's own needs nothing");
    assert_eq!(house.machine.call("alice", "/bobs").0, 502);
    house.machine.sh(&format!(
        "mkdir -p {DROP_INS} && cp /usr/share/doc/peergate/peergated-foreign-sockets.conf {DROP_INS}/ &&
         systemctl daemon-reload && systemctl restart peergated.service"
    ));
    assert_eq!(house.machine.call("alice", "/bobs").0, 200, "{}", house.machine.journal());
}
