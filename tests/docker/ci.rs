//! `policy/docker-ci.toml` before the real dockerd: every field that would give the host away is tried, by the real
//! clients and by hand, and refused; a harmless container works.

use serde_json::{Value, json};

use super::support;
use super::support::daemon::{self, Daemon};
use super::support::docker::{Docker, IMAGE, clients, shared};
use super::support::people::Person;
use crate::{need_programs, need_root, skip};

/// The sample, as it is, but for its places and people.
const SAMPLE: &str = include_str!("../../policy/docker-ci.toml");

fn guarded(docker: &Docker) -> Daemon {
    let place = daemon::place();
    let replaced = SAMPLE
        .replace("version = 1\n", "")
        .replace(
            "\"/run/peergate/docker-ci.sock\"\ngroup = \"docker-users\"",
            "\"@DIR@/run/api.sock\"\nmode = \"0666\"",
        )
        .replace("unix:/run/docker.sock", &format!("unix:{}", docker.behind().display()))
        .replace("user = [\"ci\"]", "user = [\"pg-carol\"]")
        .replace("{ user = \"ci\" }", "{ user = \"pg-carol\" }")
        .replace("{ group = \"docker-users\" }", "{ user = \"pg-mallory\" }");
    Daemon::start_in(place, &replaced)
}

fn create(daemon: &Daemon, who: &Person, prefix: &str, body: &str, more: &[&str]) -> (u16, Value) {
    let json = "Content-Type: application/json";
    let arguments = [&["--request", "POST", "--header", json, "--data-binary", body][..], more].concat();
    let (status, told) = who.curl(&daemon.socket(), &format!("{prefix}/containers/create"), &arguments);
    (status, serde_json::from_str(&told).unwrap_or(Value::Null))
}

#[test]
fn ci_runs_plain_containers_with_the_real_clients() {
    need_docker!();
    let docker = shared(super::POLICY);
    let daemon = guarded(&docker);
    for client in clients() {
        let run = [
            "run",
            "--rm",
            "--network",
            "none",
            "--memory",
            "64m",
            "--env",
            "A=b",
            IMAGE,
            "echo",
            "from inside",
        ];
        let mut command = docker.command(&client, &docker.carol, &run);
        command.env("DOCKER_HOST", format!("unix://{}", daemon.socket().display()));
        let output = command.output().unwrap();
        assert_eq!(support::said(&output), "from inside\n", "{client:?}");
    }
    let all = daemon.stop();
    let created: Vec<_> = all.iter().filter(|record| record["route"] == "container-create").collect();
    assert_eq!(created.len(), clients().len());
    assert!(
        created.iter().all(|record| record["fields"] == json!([format!("body /Image={IMAGE}")])),
        "{created:?}"
    );
}

#[test]
fn ci_gets_nothing_of_the_host_by_any_option_of_the_real_clients() {
    need_docker!();
    let docker = shared(super::POLICY);
    let daemon = guarded(&docker);
    let options: &[&[&str]] = &[
        &["--privileged"],
        &["--volume", "/:/host"],
        &["--volume", "named:/x"],
        &["--volume", "/anonymous"],
        &["--mount", "type=bind,source=/,target=/host"],
        &["--tmpfs", "/x"],
        &["--volumes-from", "other"],
        &["--device", "/dev/null"],
        &["--device-cgroup-rule", "a *:* rwm"],
        &["--gpus", "all"],
        &["--cap-add", "SYS_ADMIN"],
        &["--pid", "host"],
        &["--ipc", "host"],
        &["--uts", "host"],
        &["--userns", "host"],
        &["--cgroupns", "host"],
        &["--network", "host"],
        &["--network", "container:other"],
        &["--security-opt", "seccomp=unconfined"],
        &["--security-opt", "systempaths=unconfined"],
        &["--cgroup-parent", "/"],
        &["--runtime", "other"],
        &["--sysctl", "net.ipv4.ip_forward=1"],
        &["--group-add", "0"],
        &["--publish", "80:80"],
        &["--publish-all"],
        &["--oom-score-adj", "-1000"],
        &["--restart", "always"],
        &["--log-driver", "syslog"],
        &["--ulimit", "nofile=1"],
        &["--add-host", "x:1.2.3.4"],
    ];
    for client in clients() {
        for option in options {
            let arguments = [&["create"][..], option, &[IMAGE, "true"]].concat();
            let mut command = docker.command(&client, &docker.carol, &arguments);
            command.env("DOCKER_HOST", format!("unix://{}", daemon.socket().display()));
            let output = command.output().unwrap();
            let said = support::said(&output);
            assert!(
                !output.status.success() && said.contains("not allowed"),
                "{client:?} {option:?}: {said}"
            );
        }
    }
    let all = daemon.stop();
    let create = |record: &&Value| record["route"] == "container-create";
    assert!(
        !all.iter().filter(create).any(|record| record["decision"] == "allow"),
        "dockerd was never asked"
    );
    let refused = all.iter().filter(|r| matches!(r["refusal"].as_str(), Some("body-member" | "body-value")));
    assert_eq!(refused.count(), options.len() * clients().len());
}

#[test]
fn ci_gets_nothing_of_the_host_by_any_spelling() {
    need_docker!();
    let docker = shared(super::POLICY);
    let daemon = guarded(&docker);
    let carol = &docker.carol;
    let hostile = |members: &str| format!("{{\"Image\":\"{IMAGE}\",{members}}}");
    let padding = " ".repeat(1 << 16);
    let bodies = [
        hostile("\"HostConfig\":{\"Privileged\":true}"),
        hostile("\"hostconfig\":{\"privileged\":true}"),
        hostile("\"HostConfig\":{\"PRIVILEGED\":true}"),
        hostile("\"HostConfig\":{},\"HOSTCONFIG\":{\"Privileged\":true}"),
        hostile("\"HostConfig\":{\"Privileged\":false,\"Privileged\":true}"),
        hostile("\"Ho\u{17f}tConfig\":{\"Privileged\":true}"),
        hostile("\"HostConfig\":{\"Bind\\u0073\":[\"/:/host\"]}"),
        hostile("\"HostConfig\":{\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/\",\"Target\":\"/host\"}]}"),
        hostile("\"HostConfig\":{\"NetworkMode\":\"host\"}"),
        hostile("\"HostConfig\":{\"MaskedPaths\":[]}"),
        hostile("\"NetworkingConfig\":{\"EndpointsConfig\":{\"host\":null}}"),
        format!("{}{}", padding, hostile("\"HostConfig\":{\"Privileged\":true}")),
        format!("{}{{}}", hostile("\"HostConfig\":{\"Privileged\":true}")),
        format!("{{\"Image\":\"{IMAGE}\"}}{}", hostile("\"HostConfig\":{\"Privileged\":true}")),
    ];
    for body in &bodies {
        for prefix in ["", "/v1.41", "/v1.24"] {
            for more in [&[][..], &["--header", "Transfer-Encoding: chunked"]] {
                let (status, told) = create(&daemon, carol, prefix, body, more);
                let shown = body.trim_start();
                assert!(matches!(status, 400 | 403), "{prefix} {more:?} {shown}: {status} {told}");
            }
        }
    }
    // A megabyte in front of it is too much, whatever it is.
    let file = daemon.path("padded.json");
    std::fs::write(&file, format!("{}{}", " ".repeat(1 << 20), bodies[0])).unwrap();
    for more in [&[][..], &["--header", "Transfer-Encoding: chunked"]] {
        let (status, told) = create(&daemon, carol, "/v1.41", &format!("@{}", file.display()), more);
        assert_eq!(status, 413, "{told}");
    }
    let (status, told) = create(
        &daemon,
        carol,
        "/v1.41",
        &hostile("\"Cmd\":[\"true\"],\"HostConfig\":{\"NetworkMode\":\"none\"}"),
        &[],
    );
    assert_eq!(status, 201, "{told}");
    docker.straight(&["rm", told["Id"].as_str().unwrap()]);
    let all = daemon.stop();
    let granted = all.iter().filter(|record| record["t"] == "grant").count();
    assert_eq!(granted, 1, "dockerd was asked once, for the harmless one");
}
