//! How an app lives: as an ordinary user's, to the end that it chose, and of a program that never takes its role.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::support::daemon::{self, Daemon, write_policy};
use super::support::people::person;
use super::{example, policy, start_in};
use crate::need_root;

/// An example's file where everybody can run it: the build's folder may be closed to others.
fn copied(name: &str, directory: &Path, to: &str) -> PathBuf {
    let copy = directory.join(to);
    std::fs::copy(example(name), &copy).unwrap();
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755)).unwrap();
    copy
}

#[test]
fn app_of_an_ordinary_user_serves_and_is_confined() {
    need_root!();
    let (alice, place) = (person("pg-alice"), daemon::place());
    let program = copied("minimal", place.path(), "minimal");
    let file = write_policy(place.path(), &policy("hello", ""));
    let (uid, gid) = (alice.uid.as_raw(), alice.gid.as_raw());
    for path in [place.path(), &file] {
        chown(path, Some(uid), Some(gid)).unwrap();
    }
    let command = alice.command(program.to_str().unwrap());
    let daemon = Daemon::spawn_by(command, &place, &file, |_| {});
    let daemon = daemon.unwrap_or_else(|refused| panic!("{}", refused.said)).keeping(place);
    let (status, text) = alice.curl(&daemon.socket(), "/hello", &[]);
    assert_eq!(status, 200, "{text}");
    assert!(text.starts_with(&format!("uid Some({uid}) (pg-alice)")), "{text}");
    #[cfg(feature = "cli")]
    {
        let output = super::peergate(&daemon, &["doctor", "--format", "json"]);
        let report: serde_json::Value = serde_json::from_str(&super::support::out(&output)).unwrap();
        let roles = report["roles"].as_array().unwrap();
        let app = roles.iter().find(|role| role["role"] == "app hello").expect("a row of its own");
        let findings = app["findings"].as_array().unwrap();
        // An ordinary user can't empty a bounding set.
        let amber: Vec<_> = findings.iter().filter(|finding| finding["grade"] != "green").collect();
        assert!(findings.len() >= 7 && amber.len() == 1, "{app:#}");
        assert_eq!((&amber[0]["layer"], &amber[0]["grade"]), (&"capabilities".into(), &"amber".into()));
    }
    daemon.stop();
}

#[test]
fn task_that_holds_a_stopping_does_its_last_work_before_the_process_ends() {
    need_root!();
    let place = daemon::place();
    let data = place.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o777)).unwrap();
    let daemon = start_in(place, "unruly", &policy("stays", "directories.data = \"@DIR@/data\""));
    assert_eq!(super::get(&daemon, "/stays").1, "here\n");
    assert!(!data.join("ended").exists(), "nobody has stopped it yet");
    let (_place, all) = daemon.stop_keeping();
    assert_eq!(std::fs::read_to_string(data.join("ended")).unwrap(), "well");
    let ends: Vec<_> = all.iter().filter(|r| r["role"] == "app").map(|r| &r["event"]).collect();
    assert_eq!(ends, ["started", "retired"]);
}

#[test]
fn program_that_never_takes_its_role_is_ended_and_told_so() {
    let place = daemon::place();
    let file = write_policy(place.path(), &policy("late", ""));
    let mut command = Command::new(copied("late", place.path(), "sleeps"));
    command.arg("--in-a-branch");
    let Err(refused) = Daemon::spawn_by(command, &place, &file, |_| {}) else { panic!("it serves") };
    assert!(refused.said.contains("did not take it within 5 s"), "{}", refused.said);
}
