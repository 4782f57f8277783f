//! What must stop a start, and what a start must leave as it found it. Every path is judged on what was opened.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "tests start processes and make bad paths"
)]

#[path = "support/support.rs"]
mod support;

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use peergate::audit::vault;
use peergate::sys::trusted;
use support::client;
use support::daemon::{self, Daemon, Place, Refused, write_policy};
use support::people::person;

const POLICY: &str = include_str!("policies/up.toml");

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Starts on this file and expects a refusal whose text names every word.
fn refused(place: Place, file: &Path, words: &[&str]) -> Refused {
    let Err(refused) = Daemon::spawn(place, file, |_| {}) else { panic!("it started, for all of {words:?}") };
    assert!(
        refused.status.code().is_some_and(|code| code != 0),
        "an exit code, no signal: {}",
        refused.status
    );
    for word in words {
        assert!(refused.said.contains(word), "the message has to name `{word}`:\n{}", refused.said);
    }
    assert!(!refused.said.contains("panicked"), "{}", refused.said);
    refused
}

/// A place with a good policy in it, for a test to spoil.
fn place_and_policy() -> (Place, PathBuf) {
    let place = daemon::place();
    let file = write_policy(place.path(), POLICY);
    (place, file)
}

#[test]
fn policy_good_starts() {
    need_root!();
    let (place, file) = place_and_policy();
    let daemon = Daemon::spawn(place, &file, |_| {}).unwrap_or_else(|refused| panic!("{}", refused.said));
    daemon.stop();
}

#[test]
fn policy_missing_is_refused() {
    need_root!();
    let (place, file) = place_and_policy();
    fs::remove_file(&file).unwrap();
    refused(place, &file, &["policy.toml"]);
}

#[test]
fn policy_of_another_owner_is_refused() {
    need_root!();
    let (place, file) = place_and_policy();
    let alice = person("pg-alice");
    chown(&file, Some(alice.uid.as_raw()), None).unwrap();
    refused(place, &file, &["policy.toml", "own"]);
}

#[test]
fn policy_writable_by_others_is_refused() {
    need_root!();
    for bits in [0o664, 0o646, 0o620] {
        let (place, file) = place_and_policy();
        mode(&file, bits);
        refused(place, &file, &["policy.toml", "writ"]);
    }
}

#[test]
fn policy_in_a_directory_writable_by_others_is_refused() {
    need_root!();
    let (place, _) = place_and_policy();
    let open = place.path().join("open");
    fs::create_dir(&open).unwrap();
    mode(&open, 0o777);
    let file = write_policy(place.path(), POLICY);
    fs::rename(&file, open.join("policy.toml")).unwrap();
    refused(place, &open.join("policy.toml"), &["open", "writ"]);
}

#[test]
fn policy_in_a_directory_of_another_owner_is_refused() {
    need_root!();
    let (place, file) = place_and_policy();
    let theirs = place.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    chown(&theirs, Some(person("pg-alice").uid.as_raw()), None).unwrap();
    fs::rename(&file, theirs.join("policy.toml")).unwrap();
    refused(place, &theirs.join("policy.toml"), &["theirs", "own"]);
}

#[test]
fn policy_that_is_a_link_is_refused() {
    need_root!();
    let (place, file) = place_and_policy();
    let link = place.path().join("link.toml");
    symlink(&file, &link).unwrap();
    refused(place, &link, &["link.toml"]);
}

#[test]
fn policy_that_is_no_file_is_refused_without_waiting() {
    need_root!();
    let (place, file) = place_and_policy();
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    refused(place, &file, &["policy.toml"]);

    let (place, file) = place_and_policy();
    fs::remove_file(&file).unwrap();
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRUSR).unwrap();
    refused(place, &file, &["policy.toml"]);

    let (place, _) = place_and_policy();
    refused(place, Path::new("/dev/zero"), &["/dev/zero"]);
}

#[test]
fn policy_mistake_is_shown_in_its_place() {
    need_root!();
    let place = daemon::place();
    let file =
        write_policy(place.path(), &POLICY.replace("allow = [\"root\", \"alice\"]", "alow = [\"root\"]"));
    let line =
        fs::read_to_string(&file).unwrap().lines().position(|line| line.starts_with("alow")).unwrap() + 1;
    let refused = refused(place, &file, &[&format!("policy.toml:{line}:1"), "alow", "^"]);
    assert!(refused.said.contains("allow"), "and what to write instead:\n{}", refused.said);
}

#[test]
fn policy_whose_own_test_fails_is_refused() {
    need_root!();
    let place = daemon::place();
    let case = "\n[[test]]\nwho = { uid = 0 }\nrequest = \"GET /other\"\nexpect = \"allow\"\n";
    let file = write_policy(place.path(), &format!("{POLICY}{case}"));
    refused(place, &file, &["policy.toml"]);
}

#[test]
fn keys_of_the_record_that_others_could_touch_are_refused() {
    need_root!();
    type Harm = fn(&Path);
    let cases: [(&[&str], &str, Harm); 7] = [
        (&KEYS, "own", |path| chown(path, Some(person("pg-alice").uid.as_raw()), None).unwrap()),
        (&KEYS, "writ", |path| mode(path, 0o620)),
        (&KEYS, "writ", |path| mode(path, 0o602)),
        (&["seal.key", "hash.key"], "0600", |path| mode(path, 0o640)),
        (&KEYS, "link", |path| {
            fs::rename(path, path.with_extension("elsewhere")).unwrap();
            symlink(path.with_extension("elsewhere"), path).unwrap();
        }),
        (&KEYS, "names", |path| fs::hard_link(path, path.with_extension("elsewhere")).unwrap()),
        (&KEYS, "FIFO", |path| {
            fs::remove_file(path).unwrap();
            nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        }),
    ];
    for (files, word, harm) in cases {
        for file in files {
            let (place, policy) = place_and_policy();
            let audit = place.path().join("audit");
            let directory = trusted::ensure_directory(&audit, 0o750, None, None).unwrap();
            vault::make(&directory, None, None).unwrap();
            vault::hash_key(&directory).unwrap();
            harm(&audit.join(file));
            refused(place, &policy, &[file, word]);
        }
    }
}

/// What the audit directory holds beside segments.
const KEYS: [&str; 4] = ["seal.key", "hash.key", "genesis.pub", "epochs.ndjson"];

#[test]
fn socket_directory_that_is_a_link_is_refused() {
    need_root!();
    let (place, file) = place_and_policy();
    let real = place.path().join("real");
    fs::create_dir(&real).unwrap();
    symlink(&real, place.path().join("run")).unwrap();
    let path = real.clone();
    let Err(said) = Daemon::spawn(place, &file, |_| {}).map(|_| ()) else { panic!("it followed a link") };
    assert!(said.said.contains("run"), "{}", said.said);
    assert!(!path.join("api.sock").exists());
}

#[test]
fn socket_directory_of_another_owner_or_open_to_others_is_refused() {
    need_root!();
    let alice = person("pg-alice");
    for (owner, bits) in [(Some(alice.uid.as_raw()), 0o711), (None, 0o777), (None, 0o731), (None, 0o1777)] {
        let (place, file) = place_and_policy();
        let run = place.path().join("run");
        fs::create_dir(&run).unwrap();
        mode(&run, bits);
        chown(&run, owner, None).unwrap();
        refused(place, &file, &["run"]);
    }
}

#[test]
fn file_in_the_sockets_place_is_refused_and_kept() {
    need_root!();
    let (place, file) = place_and_policy();
    let run = place.path().join("run");
    fs::create_dir(&run).unwrap();
    mode(&run, 0o711);
    let precious = run.join("api.sock");
    fs::write(&precious, "precious").unwrap();
    let kept = place.path().to_owned();
    let Err(refused) = Daemon::spawn_keeping(&place, &file, |_| {}).map(|_| ()) else { panic!("it started") };
    assert!(refused.said.contains("api.sock"), "{}", refused.said);
    assert_eq!(fs::read_to_string(kept.join("run/api.sock")).unwrap(), "precious");
}

#[test]
fn link_in_the_sockets_place_is_refused_and_kept() {
    need_root!();
    let (place, file) = place_and_policy();
    let run = place.path().join("run");
    fs::create_dir(&run).unwrap();
    mode(&run, 0o711);
    let elsewhere = place.path().join("elsewhere.sock");
    let _other = UnixListener::bind(&elsewhere).unwrap();
    symlink(&elsewhere, run.join("api.sock")).unwrap();
    let Err(refused) = Daemon::spawn_keeping(&place, &file, |_| {}).map(|_| ()) else { panic!("it started") };
    assert!(refused.said.contains("api.sock"), "{}", refused.said);
    assert!(run.join("api.sock").is_symlink() && elsewhere.exists());
}

#[test]
fn socket_has_owner_and_modes_as_the_policy_says() {
    need_root!();
    let place = daemon::place();
    let group = person("pg-alice");
    let policy = POLICY.replace("mode = \"0666\"", "group = \"pg-alice\"");
    let daemon = Daemon::start_in(place, &policy);
    let socket = fs::symlink_metadata(daemon.socket()).unwrap();
    assert!(socket.file_type().is_socket());
    assert_eq!((socket.mode() & 0o7777, socket.uid(), socket.gid()), (0o660, 0, group.gid.as_raw()));
    let run = fs::symlink_metadata(daemon.path("run")).unwrap();
    assert_eq!((run.mode() & 0o7777, run.uid()), (0o711, 0));
    let control = fs::symlink_metadata(daemon.path("run/control.sock")).unwrap();
    assert_eq!(control.mode() & 0o7777, 0o600);
    for segment in fs::read_dir(daemon.path("audit")).unwrap() {
        let segment = segment.unwrap();
        let mode = segment.metadata().unwrap().mode() & 0o7777;
        let wanted = match segment.file_name().to_str().unwrap() {
            name if name.ends_with(".ndjson") => 0o640,
            // To be copied to where it is pinned.
            "genesis.pub" => 0o644,
            _ => 0o600,
        };
        assert_eq!(mode, wanted, "{}", segment.path().display());
    }
    daemon.stop();
}

#[test]
fn socket_is_right_from_its_first_moment() {
    need_root!();
    need_programs!("python3");
    let (place, _) = place_and_policy();
    let bob = person("pg-bob");
    let policy = POLICY.replace("mode = \"0666\"", "group = \"pg-alice\"");
    // Tries without a pause until told to end; says how often it got in and how often it was told off.
    let script = "import socket, sys, select\nin_, off = 0, 0\nprint('begun', flush=True)\n\
                  while not select.select([sys.stdin], [], [], 0)[0] or off == 0:\n    \
                  s = socket.socket(socket.AF_UNIX)\n    try:\n        s.connect(sys.argv[1]); in_ += 1\n    \
                  except PermissionError: off += 1\n    except OSError: pass\n    s.close()\nprint(in_)";
    let mut trying = bob.command(support::python());
    trying.args(["-c", script]).arg(place.path().join("run/api.sock"));
    let mut trying = trying.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = std::io::BufReader::new(trying.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut said, &mut line).unwrap();
    let daemon = Daemon::start_in(place, &policy);
    drop(trying.stdin.take());
    line.clear();
    std::io::BufRead::read_line(&mut said, &mut line).unwrap();
    trying.wait().unwrap();
    assert_eq!(line.trim(), "0", "somebody outside the group got in while the socket was made");
    daemon.stop();
}

#[test]
fn second_daemon_ends_with_a_clear_error_and_harms_nothing() {
    need_root!();
    let (place, file) = place_and_policy();
    let first = Daemon::spawn(place, &file, |_| {}).unwrap_or_else(|refused| panic!("{}", refused.said));
    let inode = fs::symlink_metadata(first.socket()).unwrap().ino();
    let second = Command::new(env!("CARGO_BIN_EXE_peergated")).arg("--policy").arg(&file).output().unwrap();
    let said = support::said(&second);
    assert!(second.status.code().is_some_and(|code| code != 0), "{said}");
    assert!(said.contains("run") && said.to_lowercase().contains("another"), "{said}");
    assert_eq!(
        fs::symlink_metadata(first.socket()).unwrap().ino(),
        inode,
        "the socket is still the first one's"
    );
    assert_eq!(client::ask(&first.socket(), "GET", "/other").status(), 403);
    first.stop();
}

#[test]
fn stale_socket_of_a_killed_daemon_is_replaced() {
    need_root!();
    let (place, file) = place_and_policy();
    let first = Daemon::spawn(place, &file, |_| {}).unwrap_or_else(|refused| panic!("{}", refused.said));
    let place = first.kill();
    assert!(place.path().join("run/api.sock").exists(), "killed, it could not remove its socket");
    let second = Daemon::spawn(place, &file, |_| {}).unwrap_or_else(|refused| panic!("{}", refused.said));
    assert_eq!(client::ask(&second.socket(), "GET", "/other").status(), 403);
    second.signal(nix::sys::signal::Signal::SIGTERM);
}

#[test]
fn children_end_with_a_killed_warden() {
    need_root!();
    let (place, file) = place_and_policy();
    let daemon = Daemon::spawn(place, &file, |_| {}).unwrap_or_else(|refused| panic!("{}", refused.said));
    assert_eq!(client::ask(&daemon.socket(), "GET", "/other").status(), 403);
    let children = daemon.children();
    assert!(children.len() >= 2, "a scribe and a gate: {children:?}");
    let ends: Vec<_> = children.iter().map(|pid| daemon::watch_end(*pid)).collect();
    let _place = daemon.kill();
    for (pid, end) in children.iter().zip(ends) {
        assert!(end.wait(), "process {pid} outlives its warden");
    }
}

/// Starts the daemon with this descriptor handed over as a service manager does.
fn activated(place: Place, file: &Path, socket: impl Into<OwnedFd>) -> Result<Daemon, Refused> {
    let socket = Stdio::from(socket.into());
    Daemon::spawn(place, file, |command| {
        // LISTEN_PID has to be the daemon's own, so the shell becomes the daemon.
        let script = "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\"";
        let mut shell = Command::new("sh");
        shell.args(["-c", script, env!("CARGO_BIN_EXE_peergated"), "--policy"]).arg(file);
        shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.stdin(socket).stdout(Stdio::null()).stderr(Stdio::piped());
        *command = shell;
    })
}

fn run_directory(place: &Place) -> PathBuf {
    let run = place.path().join("run");
    fs::create_dir(&run).unwrap();
    mode(&run, 0o711);
    run
}

#[test]
fn activation_with_the_right_socket_serves_on_it() {
    need_root!();
    let (place, file) = place_and_policy();
    let path = run_directory(&place).join("api.sock");
    let listener = UnixListener::bind(&path).unwrap();
    mode(&path, 0o666);
    let inode = fs::symlink_metadata(&path).unwrap().ino();
    let daemon = activated(place, &file, listener).unwrap_or_else(|refused| panic!("{}", refused.said));
    assert_eq!(client::ask(&daemon.socket(), "GET", "/other").status(), 403);
    assert_eq!(fs::symlink_metadata(&path).unwrap().ino(), inode, "no other socket was bound");
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
}

#[test]
fn activation_with_a_wrong_socket_is_refused() {
    need_root!();
    let fails = |place: Place, file: PathBuf, socket: OwnedFd, what: &str| {
        let Err(refused) = activated(place, &file, socket).map(|_| ()) else {
            panic!("it started on {what}")
        };
        assert!(!refused.status.success() && !refused.said.contains("panicked"), "{what}: {}", refused.said);
    };

    let (place, file) = place_and_policy();
    run_directory(&place);
    fails(place, file, std::net::TcpListener::bind("127.0.0.1:0").unwrap().into(), "a TCP socket");

    let (place, file) = place_and_policy();
    let path = run_directory(&place).join("api.sock");
    fails(place, file, UnixDatagram::bind(&path).unwrap().into(), "a datagram socket");

    let (place, file) = place_and_policy();
    let path = run_directory(&place).join("other.sock");
    fails(place, file, UnixListener::bind(&path).unwrap().into(), "a socket bound elsewhere");

    let (place, file) = place_and_policy();
    run_directory(&place);
    fails(place, file, fs::File::open("/dev/null").unwrap().into(), "a file");

    let (place, file) = place_and_policy();
    let path = run_directory(&place).join("api.sock");
    let listener = UnixListener::bind(&path).unwrap();
    chown(&path, Some(person("pg-alice").uid.as_raw()), None).unwrap();
    mode(&path, 0o777);
    fails(place, file, listener.into(), "a socket that somebody else owns");

    // Replaced by another one since it was bound: the path would lead elsewhere.
    let (place, file) = place_and_policy();
    let path = run_directory(&place).join("api.sock");
    let listener = UnixListener::bind(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let _replaced = UnixListener::bind(&path).unwrap();
    mode(&path, 0o666);
    fails(place, file, listener.into(), "a socket whose place another has taken");
}

#[test]
fn audit_directory_open_to_others_is_refused() {
    need_root!();
    let (place, file) = place_and_policy();
    let audit = place.path().join("audit");
    fs::create_dir(&audit).unwrap();
    mode(&audit, 0o777);
    refused(place, &file, &["audit"]);
}

#[test]
fn unknown_option_or_missing_policy_is_a_usage_error() {
    for arguments in [&["--nonsense"][..], &[], &["--policy"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_peergated")).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", support::said(&output));
        assert!(support::said(&output).contains("--help"), "{arguments:?}: {}", support::said(&output));
    }
}
