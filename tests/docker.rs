//! The real `docker` through the gate to a real dockerd, as four people with different rights; each call's
//! record is looked at.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

use std::io::Write;
use std::process::{Output, Stdio};

use serde_json::Value;
use support::docker::{Docker, Following, IMAGE, clients, shared};
use support::people::Person;

const POLICY: &str = include_str!("policies/docker.toml");

macro_rules! need_docker {
    () => {
        need_root!();
        need_programs!("docker", "tar", "busybox", "setpriv");
        if !support::have("dockerd") && !std::path::Path::new("/usr/sbin/dockerd").exists() {
            skip!("`dockerd` is not installed");
        }
    };
}

#[path = "docker/ci.rs"]
mod ci;

/// Waits for a record of this person's call: method, and a part of the target.
fn record(docker: &Docker, who: &Person, method: &str, part: &str) -> Value {
    docker.daemon.wait_for(&format!("{method} …{part}… of {}", who.name), |record| {
        record["t"] == "decision"
            && record["uid"] == who.uid.as_raw()
            && record["method"] == method
            && record["target"].as_str().is_some_and(|target| target.contains(part))
    })
}

/// An allowed call: by which rule, and how it came out.
fn allowed(docker: &Docker, who: &Person, method: &str, part: &str, by: &str) -> Value {
    let decision = record(docker, who, method, part);
    assert_eq!(
        (decision["decision"].as_str(), decision["by"].as_str()),
        (Some("allow"), Some(by)),
        "{decision}"
    );
    docker.daemon.wait_for("its outcome", |r| r["t"] == "outcome" && r["id"] == decision["id"])
}

/// A refused call: the client fails and shows why, and the record names the refusal.
fn refused(docker: &Docker, who: &Person, output: &Output, method: &str, part: &str) {
    let said = support::said(output);
    assert!(!output.status.success(), "{} got through: {said}", who.name);
    let decision = record(docker, who, method, part);
    assert_eq!(decision["decision"], "deny", "{decision}");
    assert!(
        matches!(decision["refusal"].as_str(), Some("not-allowed" | "no-route" | "forbidden")),
        "{decision}"
    );
    assert_eq!(decision["status"], 403, "{decision}");
}

/// How a tunnel came out: the client may close its connection before dockerd does, once the container has ended.
fn ended(outcome: &Value) {
    assert!(matches!(outcome["result"].as_str(), Some("tunnel-closed" | "caller-gone")), "{outcome}");
}

/// A container that is gone at the end of the test.
struct Container<'a> {
    docker: &'a Docker,
    id: String,
    name: String,
}

impl<'a> Container<'a> {
    fn new(docker: &'a Docker, name: &str) -> Container<'a> {
        Container { docker, id: docker.container(name), name: name.to_owned() }
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.docker.straight(&["rm", "--force", &self.id]);
        }
    }
}

#[test]
fn operator_by_group_alone_sees_version_containers_and_images() {
    need_docker!();
    let docker = shared(POLICY);
    for client in clients() {
        for arguments in [&["version"][..], &["ps", "--all"], &["images"], &["info"], &["inspect", IMAGE]] {
            let output = docker.docker(&client, &docker.olga, arguments);
            let said = support::said(&output);
            assert!(output.status.success() && !said.contains("not allowed"), "{arguments:?}: {said}");
        }
    }
    for part in ["/version", "/containers/json?all=1", "/images/json", "/info", "/images/pg-busybox/json"] {
        let outcome = allowed(&docker, &docker.olga, "GET", part, "who.operators");
        assert_eq!(
            (outcome["status"].as_u64(), outcome["result"].as_str()),
            (Some(200), Some("completed")),
            "{part}"
        );
    }
    allowed(&docker, &docker.olga, "HEAD", "/_ping", "who.operators");
}

#[test]
fn run_prints_and_leaves_nothing() {
    need_docker!();
    let docker = shared(POLICY);
    for client in clients() {
        for (who, by) in [(&docker.olga, "who.operators"), (&docker.carol, "who.runner")] {
            let run = ["run", "--rm", "--network", "none", "--name", "pg-run", IMAGE, "echo", "from inside"];
            let output = docker.docker(&client, who, &run);
            assert_eq!(support::said(&output), "from inside\n", "{} {client:?}", who.name);
            let create = allowed(&docker, who, "POST", "/containers/create?name=pg-run", by);
            assert_eq!(create["status"], 201);
            let attach = allowed(&docker, who, "POST", "/attach?", by);
            assert_eq!(
                (attach["status"].as_u64(), attach["result"].as_str()),
                (Some(101), Some("tunnel-closed"))
            );
            allowed(&docker, who, "POST", "/start", by);
            allowed(&docker, who, "POST", "/wait?", by);
        }
    }
}

#[test]
fn run_with_stdin_carries_it_and_its_end() {
    need_docker!();
    let docker = shared(POLICY);
    for client in clients() {
        let arguments =
            ["run", "--interactive", "--rm", "--network", "none", IMAGE, "sh", "-c", "wc -c; echo done"];
        let mut run = docker.command(&client, &docker.carol, &arguments);
        let mut run =
            run.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = run.stdin.take().unwrap();
        std::thread::spawn(move || stdin.write_all(&vec![b'x'; 3_000_000]).unwrap());
        let output = run.wait_with_output().unwrap();
        assert_eq!(support::said(&output), "3000000\ndone\n", "{client:?}");
    }
    let attach = docker.daemon.wait_for("the attach's outcome, with what went in", |record| {
        record["t"] == "outcome" && record["status"] == 101 && record["in"].as_u64() >= Some(3_000_000)
    });
    ended(&attach);
}

#[test]
fn exec_with_and_without_stdin() {
    need_docker!();
    let docker = shared(POLICY);
    let container = Container::new(&docker, "pg-exec");
    for client in clients() {
        let output = docker.docker(&client, &docker.olga, &["exec", &container.name, "echo", "in exec"]);
        assert_eq!(support::said(&output), "in exec\n", "{client:?}");
        let mut exec =
            docker.command(&client, &docker.olga, &["exec", "--interactive", &container.name, "cat"]);
        let mut exec =
            exec.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        exec.stdin.take().unwrap().write_all(b"through and back").unwrap();
        assert_eq!(support::said(&exec.wait_with_output().unwrap()), "through and back", "{client:?}");
        let failing = docker.docker(&client, &docker.olga, &["exec", &container.name, "sh", "-c", "exit 7"]);
        assert_eq!(failing.status.code(), Some(7), "the exit code is asked for afterwards");
    }
    let create = allowed(&docker, &docker.olga, "POST", "/containers/pg-exec/exec", "who.operators");
    assert_eq!(create["status"], 201);
    let start = allowed(&docker, &docker.olga, "POST", "/start", "who.operators");
    ended(&start);
}

#[test]
fn logs_follow_until_the_caller_leaves_or_the_container_ends() {
    need_docker!();
    let docker = shared(POLICY);
    let container = Container::new(&docker, "pg-logs");
    let client = clients().remove(0);
    let mut leaving = Following::start(docker.command(
        &client,
        &docker.bob,
        &["logs", "--follow", "--tail", "2", "pg-logs"],
    ));
    let mut staying =
        Following::start(docker.command(&client, &docker.olga, &["logs", "--follow", "pg-logs"]));
    for _ in 0..3 {
        leaving.until("tick");
        staying.until("tick");
    }
    leaving.kill();
    let left = allowed(
        &docker,
        &docker.bob,
        "GET",
        &format!("/containers/{}/logs?follow=1", container.id),
        "who.reader",
    );
    assert_eq!(left["result"], "caller-gone", "{left}");
    docker.straight(&["stop", "-t", "0", "pg-logs"]);
    assert!(staying.end(), "it ends with the container");
    let ended = allowed(
        &docker,
        &docker.olga,
        "GET",
        &format!("/containers/{}/logs?follow=1", container.id),
        "who.operators",
    );
    assert_eq!(
        (ended["status"].as_u64(), ended["result"].as_str()),
        (Some(200), Some("completed")),
        "{ended}"
    );
}

#[test]
fn events_arrive_while_they_happen() {
    need_docker!();
    let docker = shared(POLICY);
    let client = clients().remove(0);
    let mut events = Following::start(docker.command(
        &client,
        &docker.olga,
        &["events", "--since", "1", "--filter", "container=pg-event", "--format", "{{.Action}}"],
    ));
    docker.docker(
        &client,
        &docker.carol,
        &["run", "--rm", "--network", "none", "--name", "pg-event", IMAGE, "true"],
    );
    for action in ["create", "start", "die", "destroy"] {
        events.until(action);
    }
    events.kill();
    let outcome = allowed(&docker, &docker.olga, "GET", "/events?", "who.operators");
    assert_eq!(outcome["result"], "caller-gone");
}

#[test]
fn copy_in_and_out_is_the_same() {
    need_docker!();
    let docker = shared(POLICY);
    let container = Container::new(&docker, "pg-copy");
    let place = support::daemon::place();
    let file = place.path().join("file");
    std::fs::write(&file, vec![b'z'; 5 << 20]).unwrap();
    for client in clients() {
        let to = format!("{}:/copied", container.name);
        let output = docker.docker(&client, &docker.olga, &["cp", file.to_str().unwrap(), &to]);
        assert!(output.status.success(), "{}", support::said(&output));
        let back = docker.docker(&client, &docker.olga, &["cp", &to, "-"]);
        assert!(
            back.stdout.len() > 5 << 20 && back.stdout[512..512 + (5 << 20)].iter().all(|byte| *byte == b'z')
        );
    }
    for method in ["HEAD", "PUT", "GET"] {
        allowed(&docker, &docker.olga, method, "/containers/pg-copy/archive?", "who.operators");
    }
}

#[test]
fn stop_and_remove() {
    need_docker!();
    let docker = shared(POLICY);
    for (number, client) in clients().into_iter().enumerate() {
        let name = format!("pg-stop-{number}");
        docker.container(&name);
        for arguments in [&["stop", "-t", "0", name.as_str()][..], &["rm", name.as_str()]] {
            let output = docker.docker(&client, &docker.olga, arguments);
            assert_eq!(
                support::out(&output),
                format!("{name}\n"),
                "{arguments:?}: {}",
                support::said(&output)
            );
        }
        allowed(&docker, &docker.olga, "POST", &format!("/containers/{name}/stop"), "who.operators");
        allowed(&docker, &docker.olga, "DELETE", &format!("/containers/{name}"), "who.operators");
    }
}

#[test]
fn reader_looks_and_changes_nothing() {
    need_docker!();
    let docker = shared(POLICY);
    let container = Container::new(&docker, "pg-reader");
    let file = docker.daemon.path("policy.toml");
    let (bob, name) = (&docker.bob, container.name.as_str());
    for client in clients() {
        for arguments in
            [&["version"][..], &["ps"], &["images"], &["inspect", name], &["logs", "--tail", "1", name]]
        {
            let output = docker.docker(&client, bob, arguments);
            assert!(output.status.success(), "{arguments:?}: {}", support::said(&output));
        }
        let run = docker.docker(&client, bob, &["run", "--rm", "--network", "none", IMAGE, "true"]);
        assert!(support::said(&run).contains("not allowed"), "{}", support::said(&run));
        refused(&docker, bob, &run, "POST", "/containers/create");
        let interactive =
            docker.docker(&client, bob, &["run", "-i", "--rm", "--network", "none", IMAGE, "cat"]);
        refused(&docker, bob, &interactive, "POST", "/containers/create");
        refused(&docker, bob, &docker.docker(&client, bob, &["exec", name, "true"]), "POST", "/exec");
        refused(&docker, bob, &docker.docker(&client, bob, &["events"]), "GET", "/events");
        let from = format!("{name}:/bin/busybox");
        refused(&docker, bob, &docker.docker(&client, bob, &["cp", &from, "-"]), "GET", "/archive");
        let to = format!("{name}:/x");
        let cp = docker.docker(&client, &docker.bob, &["cp", file.to_str().unwrap(), &to]);
        refused(&docker, bob, &cp, "HEAD", "/archive");
        refused(&docker, bob, &docker.docker(&client, bob, &["stop", name]), "POST", "/stop");
        refused(&docker, bob, &docker.docker(&client, bob, &["rm", "--force", name]), "DELETE", name);
    }
    assert_eq!(docker.straight(&["inspect", "--format", "{{.State.Running}}", name]), "true");
}

#[test]
fn runner_runs_but_looks_into_nothing() {
    need_docker!();
    let docker = shared(POLICY);
    let container = Container::new(&docker, "pg-runner");
    let (carol, name) = (&docker.carol, container.name.as_str());
    for client in clients() {
        for (arguments, method, part) in [
            (&["exec", name, "true"][..], "GET", "/json"),
            (&["logs", name], "GET", "/json"),
            (&["logs", "-f", name], "GET", "/json"),
            (&["ps"], "GET", "/containers/json"),
            (&["events"], "GET", "/events"),
            (&["cp", &format!("{name}:/bin"), "-"], "GET", "/archive"),
            (&["stop", name], "POST", "/stop"),
        ] {
            refused(&docker, carol, &docker.docker(&client, carol, arguments), method, part);
        }
    }
    // The help that the policy gives reaches who asks.
    let (status, body) = carol.curl(
        &docker.daemon.socket(),
        &format!("/v1.41/containers/{name}/exec"),
        &["--request", "POST"],
    );
    assert_eq!(status, 403);
    assert!(body.contains("Only operators look into containers"), "{body}");
}

#[test]
fn stranger_gets_nothing_and_every_try_is_on_record() {
    need_docker!();
    let docker = shared(POLICY);
    let container = Container::new(&docker, "pg-stranger");
    let (mallory, name) = (&docker.mallory, container.name.as_str());
    for client in clients() {
        for (arguments, method, part) in [
            (&["version"][..], "GET", "/version"),
            (&["ps"], "GET", "/containers/json"),
            // Newer clients give up when they may not even ping.
            (&["run", "--rm", "--network", "none", IMAGE, "true"], "GET", "/_ping"),
            (&["run", "-i", "--rm", "--network", "none", IMAGE, "cat"], "GET", "/_ping"),
            (&["exec", name, "true"], "GET", name),
            (&["logs", "-f", name], "GET", name),
            (&["events"], "GET", "/events"),
            (&["cp", &format!("{name}:/bin"), "-"], "GET", "/archive"),
            (&["stop", name], "POST", "/stop"),
        ] {
            refused(&docker, mallory, &docker.docker(&client, mallory, arguments), method, part);
        }
    }
    let uid = mallory.uid.as_raw();
    let all = docker.daemon.records();
    assert!(
        !all.iter().any(|record| record["t"] == "grant" && record["uid"] == uid),
        "no backend was ever hers"
    );
    let conn =
        all.iter().find(|record| record["t"] == "conn" && record["uid"] == uid).expect("her connections are");
    assert_eq!((conn["user"].as_str(), conn["ns"].as_str()), (Some("pg-mallory"), Some("host")), "{conn}");
}

#[test]
fn forbid_wins_over_the_operators_allow() {
    need_docker!();
    let docker = shared(POLICY);
    let container = Container::new(&docker, "pg-precious");
    let file = docker.daemon.path("policy.toml");
    for client in clients() {
        let to = format!("{}:/x", container.name);
        let cp = docker.docker(&client, &docker.olga, &["cp", file.to_str().unwrap(), &to]);
        refused(&docker, &docker.olga, &cp, "PUT", "/containers/pg-precious/archive");
    }
    let record = record(&docker, &docker.olga, "PUT", "/containers/pg-precious/archive");
    assert_eq!(
        (record["refusal"].as_str(), record["by"].as_str()),
        (Some("forbidden"), Some("forbid.nobody-copies-in"))
    );
}

#[test]
fn version_prefix_counts_only_where_it_is_a_version() {
    need_docker!();
    let docker = shared(POLICY);
    let socket = docker.daemon.socket();
    for target in ["/version", "/v1.41/version", "/v1.24/containers/json"] {
        assert_eq!(docker.olga.curl(&socket, target, &[]).0, 200, "{target}");
    }
    for target in ["/volumes/version", "/v1.41/v1.41/version", "/v/version", "/vx/version", "/1.41/version"] {
        assert_eq!(docker.olga.curl(&socket, target, &[]).0, 403, "{target}");
    }
}
