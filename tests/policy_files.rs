//! A policy's files as the daemon finds them: several of them, bad ones at a reload, and names that nobody can tell yet.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use serde_json::Value;
use support::client;
use support::daemon::{self, API, Daemon, write_policy};
use support::records;

const HEALTH: &str =
    "[[route]]\nid = \"health\"\nmatch = [\"GET /_peergate/health\"]\nto = \"api\"\nallow = [\"root\"]\n";

const WHOAMI: &str =
    "[[route]]\nid = \"whoami\"\nmatch = [\"GET /_peergate/whoami\"]\nto = \"api\"\nallow = [\"root\"]\n";

/// Asks for a reload and waits for what is recorded of it.
fn reload(daemon: &Daemon) -> Value {
    let before = daemon.records_of("policy").len();
    daemon.signal(Signal::SIGHUP);
    records::wait(&daemon.path("audit"), |all| {
        let policies: Vec<_> = all.iter().filter(|record| record["t"] == "policy").collect();
        (policies.len() > before).then(|| (*policies[before]).clone())
    })
}

#[track_caller]
fn refused(daemon: &Daemon, wanted: &str) {
    let record = reload(daemon);
    let why = record["refused"].as_str().unwrap_or_else(|| panic!("it was taken: {wanted}: {record}"));
    assert!(why.contains(wanted), "{wanted}: {why}");
    let answer = client::ask(&daemon.socket(), "GET", "/_peergate/health");
    assert_eq!(answer.status(), 200, "the old policy stays in force: {wanted}");
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn reload_of_whatever_is_no_policy_keeps_the_old_one_and_loses_nothing() {
    need_root!();
    let daemon = Daemon::start(&format!("{API}{HEALTH}"));
    let file = daemon.path("policy.toml");
    let good = fs::read_to_string(&file).unwrap();
    let anew = |bytes: &[u8]| {
        // Another inode, so that no mode or owner stays.
        fs::remove_file(&file).or_else(|_| fs::remove_dir(&file)).unwrap();
        fs::write(&file, bytes).unwrap();
        mode(&file, 0o644);
    };
    let rules = |count: usize| {
        let rule = |n| format!("[[route]]\nid=\"r{n}\"\nmatch=\"GET /{n}\"\nto=\"api\"\nallow=\"root\"\n");
        format!("{good}{}", (0..count).map(rule).collect::<String>())
    };
    // What lies there.
    anew(good.as_bytes());
    mode(&file, 0o666);
    refused(&daemon, "can be written by others than its owner");
    mode(&file, 0o644);
    chown(&file, Some(12_345), None).unwrap();
    refused(&daemon, "belongs to uid 12345");
    fs::rename(&file, daemon.path("other.toml")).unwrap();
    refused(&daemon, "No such file");
    symlink(daemon.path("other.toml"), &file).unwrap();
    refused(&daemon, "is a symbolic link");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    refused(&daemon, "is a directory, and must be a regular file");
    fs::remove_dir(&file).unwrap();
    nix::unistd::mkfifo(&file, Mode::from_bits_truncate(0o600)).unwrap();
    refused(&daemon, "is a FIFO");
    anew(good.as_bytes());
    fs::hard_link(&file, daemon.path("second.toml")).unwrap();
    refused(&daemon, "names (hard links)");
    // What stands there.
    anew(b"");
    fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(100 << 20).unwrap();
    refused(&daemon, "is longer than 4194304 bytes");
    anew(b"\x7fELF\x02\x01\x01\0\0\0\xff\xfe");
    refused(&daemon, "is not UTF-8 text");
    anew(b"\0\x01\x02\x03");
    refused(&daemon, "policy.toml:1:1");
    anew(b"");
    refused(&daemon, "a policy needs `version`");
    for part in [good.len() / 3, good.len() / 2, good.len() - 3] {
        anew(&good.as_bytes()[..part]);
        refused(&daemon, "policy.toml:");
    }
    anew(good.replace("user = [\"root\"]", "user = [\"root\", \"pg-vanished\"]").as_bytes());
    refused(&daemon, "there is no user `pg-vanished`");
    anew(format!("{good}[who.a]\nany_of = \"b\"\n[who.b]\nany_of = \"a\"\n").as_bytes());
    refused(&daemon, "made of itself: `a` -> `b` -> `a`");
    anew(rules(1_000_000).as_bytes());
    refused(&daemon, "is longer than 4194304 bytes");
    anew(rules(55_000).as_bytes());
    refused(&daemon, "routes; at most 50000 are allowed");
    // And then it is a policy again.
    anew(format!("{good}{WHOAMI}").as_bytes());
    assert_eq!(reload(&daemon)["refused"], Value::Null);
    assert_eq!(client::ask(&daemon.socket(), "GET", "/_peergate/whoami").status(), 200);
    let all = daemon.stop();
    let refusals = all.iter().filter(|record| record["t"] == "policy" && record["refused"].is_string());
    let asked = all.iter().filter(|record| record["route"] == "health" && record["decision"] == "allow");
    assert_eq!(asked.count(), refusals.count(), "each refusal and each request in between is on record");
}

#[test]
fn included_files_are_judged_like_the_first_and_their_rules_are_told_by_them() {
    need_root!();
    let place = daemon::place();
    let more = place.path().join("policy.d");
    fs::create_dir(&more).unwrap();
    let web = more.join("web.toml");
    fs::write(&web, format!("# the web\n{WHOAMI}")).unwrap();
    let file = write_policy(place.path(), &format!("{API}{HEALTH}"));
    let including = fs::read_to_string(&file).unwrap().replacen(
        "version = 1\n",
        "version = 1\ninclude = [\"policy.d/*.toml\"]\n",
        1,
    );
    fs::write(&file, including).unwrap();
    let daemon = Daemon::spawn(place, &file, |_| {}).unwrap_or_else(|refused| panic!("{}", refused.said));
    let whoami = || client::ask(&daemon.socket(), "GET", "/_peergate/whoami").status();
    assert_eq!(whoami(), 200);
    let hash = daemon.records_of("policy").last().unwrap()["new"].clone();
    mode(&web, 0o664);
    refused(&daemon, "web.toml\" (mode 0664) can be written by others");
    mode(&web, 0o644);
    mode(&more, 0o777);
    refused(&daemon, "policy.d\" (mode 0777) can be written by others");
    mode(&more, 0o755);
    symlink(&web, more.join("link.toml")).unwrap();
    refused(&daemon, "link.toml\" is a symbolic link");
    fs::remove_file(more.join("link.toml")).unwrap();
    nix::unistd::mkfifo(&more.join("fifo.toml"), Mode::from_bits_truncate(0o600)).unwrap();
    refused(&daemon, "is a FIFO");
    fs::remove_file(more.join("fifo.toml")).unwrap();
    fs::write(more.join("twice.toml"), format!("\n{WHOAMI}")).unwrap();
    refused(
        &daemon,
        "policy.d/web.toml:3:6: the id `whoami` stands on line 3 of `policy.d/twice.toml` already",
    );
    fs::remove_file(more.join("twice.toml")).unwrap();
    fs::rename(&more, daemon.path("elsewhere")).unwrap();
    refused(&daemon, "policy.d\": No such file");
    fs::rename(daemon.path("elsewhere"), &more).unwrap();
    fs::write(more.join("later.toml"), "[[forbid]]\nid = \"no\"\nmatch = \"GET /_peergate/whoami\"\n")
        .unwrap();
    let taken = reload(&daemon);
    assert!(taken["refused"].is_null() && taken["new"] != hash, "{taken}");
    assert_eq!(whoami(), 403);
    let all = daemon.stop();
    let told: Vec<_> =
        all.iter().filter(|record| record["route"] == "whoami").map(|record| record["at"].clone()).collect();
    assert_eq!(told, ["policy.d/web.toml:6", "policy.d/later.toml:2"]);
}

/// A directory service that is not there yet, as the C library's module for it says so: unavailable, and try again.
const AWAY: &str = "int _nss_compat_getpwnam_r(const char *n, void *p, char *b, unsigned long l, int *e) \
                    { *e = 11; return -1; }\n";
/// Runs in a mount namespace of its own, where users are asked of that module too.
const WITHOUT_NAMES: &str = "mount --make-rprivate / && mount --bind \"$1\" /etc/nsswitch.conf && \
                             mount --bind \"$2\" \"$3\" && shift 3 && exec \"$@\"";

#[test]
fn start_waits_for_a_name_service_that_does_not_answer_and_guesses_nothing() {
    need_root!();
    need_programs!("unshare", "mount", "cc", "ldconfig");
    let place = daemon::place();
    let file_of = |name: &str| place.path().join(name);
    fs::write(file_of("away.c"), AWAY).unwrap();
    fs::write(file_of("nsswitch.conf"), "passwd: files compat\ngroup: files\n").unwrap();
    let mut cc = Command::new("cc");
    support::run(cc.args(["-shared", "-fPIC", "-o"]).arg(file_of("away.so")).arg(file_of("away.c")));
    let known = support::out(&support::run(Command::new("ldconfig").arg("-p")));
    let module =
        known.lines().find(|line| line.contains("libnss_compat.so.2")).expect("the C library has it");
    let module = module.rsplit("=> ").next().unwrap().trim();
    let file = write_policy(
        place.path(),
        &format!("{}{HEALTH}", API.replace("\"root\"]", "\"root\", \"pg-of-the-directory\"]")),
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", WITHOUT_NAMES, "sh"]);
    command.arg(file_of("nsswitch.conf")).arg(file_of("away.so")).arg(module);
    command.arg(env!("CARGO_BIN_EXE_peergated")).arg("--policy").arg(&file);
    let told = std::os::unix::net::UnixDatagram::bind(file_of("told.sock")).unwrap();
    told.set_read_timeout(Some(support::PATIENCE)).unwrap();
    command.env("NOTIFY_SOCKET", file_of("told.sock")).stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    let mut said = [0; 4096];
    let length = told.recv(&mut said).unwrap();
    let status = String::from_utf8_lossy(&said[..length]).into_owned();
    assert_eq!(status, "STATUS=waits for the name service to answer for the policy's names");
    assert!(!file_of("run/api.sock").exists(), "nobody can connect before the names are known");
    // Whoever asks it to stop is heard meanwhile.
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
    let output = child.wait_with_output().unwrap();
    let lines = String::from_utf8_lossy(&output.stderr);
    assert!(lines.contains("the user `pg-of-the-directory` can't be looked up"), "{lines}");
    assert!(lines.contains("the name service does not answer"), "{lines}");
    assert_ne!(output.status.code(), Some(78), "a service manager may start it again: {lines}");
    assert!(!file_of("audit").exists());
}
