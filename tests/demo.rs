//! The first five minutes: `peergated --demo` as root and as an ordinary user, and what it leaves behind: nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::copy_for_all;
use support::daemon::{self, Running, write_policy};
use support::people::{Person, person};

/// A home of this person's own.
fn home(place: &Path, who: &Person) -> PathBuf {
    let home = place.join(&who.name);
    std::fs::create_dir(&home).unwrap();
    std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::chown(&home, Some(who.uid.as_raw()), Some(who.gid.as_raw())).unwrap();
    home
}

/// The demo as this person, whose runtime directory is their home or, as after `su`, another's.
fn demo(who: &Person, runtime: Option<&str>) {
    let place = daemon::place();
    let home = home(place.path(), who);
    let runtime = runtime.map_or(home.clone(), PathBuf::from);
    let mut demo = who.command(copy_for_all(env!("CARGO_BIN_EXE_peergated"), place.path()).to_str().unwrap());
    demo.arg("--demo").env("HOME", &home).env("XDG_RUNTIME_DIR", &runtime);
    let demo = demo.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut demo = Running(demo);
    let mut lines = BufReader::new(demo.0.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    let mut curls = Vec::new();
    while curls.len() < 3 {
        let line = lines.next().unwrap_or_else(|| {
            let mut complaint = String::new();
            demo.0.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
            panic!("the demo ended: {}\n{complaint}", said.join("\n"))
        });
        let line = line.unwrap();
        if line.trim_start().starts_with("curl ") {
            curls.push(line.trim().to_owned());
        }
        said.push(line);
    }
    let text = said.join("\n");
    assert!(text.contains("posture"), "{text}");
    let socket =
        curls[0].split_whitespace().skip_while(|word| *word != "--unix-socket").nth(1).unwrap().to_owned();
    let directory = Path::new(&socket).parent().unwrap().to_owned();
    assert_eq!(
        std::fs::metadata(&directory).unwrap().permissions().mode() & 0o077 & !0o011,
        0,
        "it is private"
    );
    // Each line as it is pasted, in the order it is shown: allowed, denied, malformed.
    for (curl, status) in curls.iter().zip(["200", "403", "400"]) {
        let mut shell = who.command("sh");
        let output = shell.args([
            "-c",
            &format!("{} -s -o /dev/null -w '%{{http_code}}'", curl.split('#').next().unwrap()),
        ]);
        assert_eq!(support::out(&output.output().unwrap()), status, "{curl}");
    }
    // The log follows, for people: one line for each of the three.
    let mut seen = Vec::new();
    while !["ALLOW", "DENY", "dot-segment"]
        .iter()
        .all(|word| seen.iter().any(|line: &String| line.contains(word)))
    {
        seen.push(lines.next().expect("the log's lines").unwrap());
    }
    assert!(seen.iter().all(|line| !line.starts_with('{')), "{seen:?}");
    let pid = Pid::from_raw(demo.0.id().cast_signed());
    kill(pid, Signal::SIGINT).unwrap();
    lines.for_each(drop);
    assert!(demo.0.wait().unwrap().success());
    assert!(!directory.exists(), "{} is still there", directory.display());
    assert_eq!(std::fs::read_dir(&home).unwrap().count(), 0, "something was left in the home");
}

#[test]
fn demo_as_root_serves_and_leaves_nothing() {
    need_root!();
    need_programs!("curl");
    demo(&Person::root(), None);
}

#[test]
fn demo_as_ordinary_user_serves_and_leaves_nothing() {
    need_root!();
    need_programs!("curl", "setpriv");
    demo(&person("pg-alice"), None);
}

#[test]
fn demo_whose_runtime_directory_does_not_serve_takes_another_place() {
    need_root!();
    need_programs!("curl", "setpriv");
    demo(&person("pg-alice"), Some("/run"));
}

#[test]
fn daemon_of_an_ordinary_user_serves_that_user_by_a_policy_of_their_own() {
    need_root!();
    need_programs!("curl", "setpriv");
    let place = daemon::place();
    let alice = person("pg-alice");
    let home = home(place.path(), &alice);
    let policy = "[listen.api]\npath = \"@DIR@/run/api.sock\"\n[backend.self]\nbuiltin = \"api\"\n[who.me]\n\
                  user = \"@self\"\n[[route]]\nid = \"who\"\nmatch = [\"GET /_peergate/whoami\"]\nto = \"self\"\n\
                  allow = [\"me\"]\n";
    let file = write_policy(&home, policy);
    std::os::unix::fs::chown(&file, Some(alice.uid.as_raw()), None).unwrap();
    let notify = std::os::unix::net::UnixDatagram::bind(home.join("notify")).unwrap();
    std::os::unix::fs::chown(home.join("notify"), Some(alice.uid.as_raw()), None).unwrap();
    notify.set_read_timeout(Some(support::PATIENCE)).unwrap();
    let mut daemon =
        alice.command(copy_for_all(env!("CARGO_BIN_EXE_peergated"), place.path()).to_str().unwrap());
    daemon.arg("--policy").arg(&file).env("NOTIFY_SOCKET", home.join("notify")).env("HOME", &home);
    let mut daemon = Running(daemon.stderr(Stdio::piped()).spawn().unwrap());
    let mut notice = [0; 1024];
    let ready = loop {
        let Ok(length) = notify.recv(&mut notice) else { break false };
        if String::from_utf8_lossy(&notice[..length]).lines().any(|line| line == "READY=1") {
            break true;
        }
    };
    if !ready {
        let _ = daemon.0.kill();
        let mut said = String::new();
        daemon.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        panic!("not ready: {said}");
    }
    let (status, body) = alice.curl(&home.join("run/api.sock"), "/_peergate/whoami", &[]);
    assert_eq!(status, 200, "{body}");
    assert!(body.contains(&format!("\"uid\":{}", alice.uid)), "{body}");
    kill(Pid::from_raw(daemon.0.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert!(daemon.0.wait().unwrap().success());
    let mut peergate = Command::new(env!("CARGO_BIN_EXE_peergate"));
    let tail = support::run(peergate.args(["audit", "tail", "--dir"]).arg(home.join("audit")));
    assert!(support::out(&tail).contains("whoami"), "{}", support::said(&tail));
}
