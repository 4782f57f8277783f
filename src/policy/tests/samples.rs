//! The samples in `policy/` load, and so their own tests hold.

use super::{House, own};
use crate::policy::{Own, load_bytes};

#[test]
fn samples_load_and_their_tests_hold() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/policy");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let own: Own = if name == "demo.toml" { own().with_runtime("/tmp/peergate-demo") } else { own() };
        let policy = load_bytes(&format!("policy/{name}"), &std::fs::read(&path).unwrap(), &House, &own);
        let policy = policy.unwrap_or_else(|wrong| panic!("{wrong}"));
        assert!(!policy.routes.is_empty(), "{name}");
        names.push(name);
    }
    names.sort();
    assert_eq!(
        names,
        [
            "administration.toml",
            "break-glass.toml",
            "demo.toml",
            "docker-ci.toml",
            "docker-operators.toml",
            "docker-readonly.toml",
            "embedded.toml",
            "monitoring.toml",
            "podman.toml",
            "services.toml"
        ]
    );
}

#[test]
fn demo_lives_in_the_runtime_directory_and_nowhere_else() {
    let text = include_str!("../../../policy/demo.toml");
    let policy = load_bytes("demo.toml", text.as_bytes(), &House, &own().with_runtime("/tmp/d")).unwrap();
    assert_eq!(policy.listeners[0].path, "/tmp/d/peergate.sock");
    assert_eq!(
        (policy.daemon.control.as_str(), policy.audit.directory.as_str()),
        ("/tmp/d/control.sock", "/tmp/d/audit")
    );
    let wrong = load_bytes("demo.toml", text.as_bytes(), &House, &own()).unwrap_err().to_string();
    assert_eq!(wrong.matches("`@runtime` stands for a directory in a demo only").count(), 3, "{wrong}");
}

#[test]
fn installed_policy_loads_and_its_tests_hold() {
    let text = include_str!("../../../deploy/policy.toml");
    let policy = load_bytes("deploy/policy.toml", text.as_bytes(), &House, &own());
    let policy = policy.unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!((policy.listeners.len(), policy.backends.len()), (1, 1), "what a fresh install opens");
}
