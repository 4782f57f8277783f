//! The read side of the real `podman system service` through the gate, by Podman's own remote client.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use support::daemon::{self, Daemon, Running};
use support::people::{Person, person};
use support::records;

const POLICY: &str = include_str!("policies/podman.toml");

struct Podman {
    daemon: Daemon,
    _service: Running,
    reader: Person,
    stranger: Person,
    home: daemon::Place,
}

fn podman(place: &Path) -> Command {
    let mut podman = Command::new("podman");
    podman.arg("--root").arg(place.join("root")).arg("--runroot").arg(place.join("runroot"));
    // Overlays would leave a mount behind.
    podman.args(["--cgroup-manager=cgroupfs", "--events-backend=file", "--storage-driver=vfs"]);
    podman.arg("--tmpdir").arg(place.join("tmp"));
    podman
}

fn start() -> Podman {
    let place = daemon::place();
    let image = place.path().join("image");
    fs::create_dir_all(image.join("bin")).unwrap();
    fs::copy("/usr/bin/busybox", image.join("bin/busybox")).unwrap();
    let tar = place.path().join("image.tar");
    support::run(Command::new("tar").arg("-C").arg(&image).arg("-cf").arg(&tar).arg("."));
    support::run(podman(place.path()).arg("import").arg(&tar).arg("pg-busybox"));

    let socket = place.path().join("podman.sock");
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC).unwrap();
    inotify.add_watch(place.path(), AddWatchFlags::IN_CREATE | AddWatchFlags::IN_ATTRIB).unwrap();
    let mut service = podman(place.path());
    service.args(["system", "service", "--time=0"]).arg(format!("unix://{}", socket.display()));
    let service =
        Running(service.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let deadline = Instant::now() + support::PATIENCE;
    // Go binds and listens in one breath, so its socket can be connected to almost as soon as it is there.
    while UnixStream::connect(&socket).is_err() {
        assert!(Instant::now() < deadline, "podman's service does not get ready");
        use std::os::fd::AsFd;
        let mut poll = [nix::poll::PollFd::new(inotify.as_fd(), nix::poll::PollFlags::POLLIN)];
        if nix::poll::poll(&mut poll, nix::poll::PollTimeout::from(100_u16)).unwrap() > 0 {
            inotify.read_events().unwrap();
        }
    }

    let (reader, stranger) = (person("pg-reader"), person("pg-mallory"));
    let policy = POLICY.replace("@DIR@/podman.sock", socket.to_str().unwrap());
    Podman { daemon: Daemon::start(&policy), _service: service, reader, stranger, home: place }
}

impl Podman {
    fn remote(&self, who: &Person, arguments: &[&str]) -> Output {
        let mut podman = who.command("podman");
        // Podman wants a home and a runtime directory that are its caller's own.
        let home = self.home.path().join(&who.name);
        if !home.exists() {
            fs::create_dir(&home).unwrap();
            std::os::unix::fs::chown(&home, Some(who.uid.as_raw()), Some(who.gid.as_raw())).unwrap();
        }
        podman.env("XDG_RUNTIME_DIR", &home).env("HOME", &home);
        podman.args(["--remote", "--url"]).arg(format!("unix://{}", self.daemon.socket().display()));
        podman.args(arguments).stdin(Stdio::null()).output().unwrap()
    }
}

#[test]
fn podman_reader_reads_and_changes_nothing_and_a_stranger_reads_nothing() {
    need_root!();
    need_programs!("podman", "busybox", "tar", "setpriv");
    let podman = start();
    let looks: &[&[&str]] = &[
        &["version"],
        &["ps", "--all"],
        &["images"],
        &["info"],
        &["image", "inspect", "localhost/pg-busybox"],
        &["image", "inspect", "localhost/pg-busybox:latest"],
        &["image", "exists", "localhost/pg-busybox"],
        &["history", "localhost/pg-busybox"],
        &["network", "ls"],
        &["volume", "ls"],
    ];
    for arguments in looks {
        let output = podman.remote(&podman.reader, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", support::said(&output));
        let output = podman.remote(&podman.stranger, arguments);
        assert!(!output.status.success(), "{arguments:?}: {}", support::said(&output));
    }
    assert!(support::out(&podman.remote(&podman.reader, &["images"])).contains("localhost/pg-busybox"));
    let changes: &[&[&str]] = &[
        &["rmi", "localhost/pg-busybox"],
        &["tag", "localhost/pg-busybox", "other"],
        &["create", "localhost/pg-busybox", "true"],
        &["volume", "create", "pg-volume"],
        &["network", "create", "pg-network"],
        &["system", "prune", "--force"],
    ];
    for arguments in changes {
        for who in [&podman.reader, &podman.stranger] {
            let output = podman.remote(who, arguments);
            assert!(!output.status.success(), "{} {arguments:?}: {}", who.name, support::said(&output));
        }
    }
    assert!(support::out(&podman.remote(&podman.reader, &["images"])).contains("localhost/pg-busybox"));

    let Podman { daemon, reader, stranger, .. } = podman;
    let all = daemon.stop();
    let of = |who: &Person| {
        let uid = who.uid.as_raw();
        all.iter().filter(move |record| record["t"] == "decision" && record["uid"] == uid)
    };
    assert!(of(&stranger).count() > 0 && of(&stranger).all(|record| record["decision"] == "deny"));
    let target = "/v4.3.1/libpod/images/localhost%2Fpg-busybox/json?size=false";
    // Other versions of Podman say another version; the escaped name is what counts.
    let inspected = of(&reader).find(|record| {
        let asked = record["target"].as_str().unwrap();
        asked.ends_with(target.trim_start_matches("/v4.3.1"))
    });
    let inspected = inspected.expect("a name with an escaped slash, forwarded and recorded as it came");
    assert_eq!(
        (inspected["decision"].as_str(), inspected["by"].as_str()),
        (Some("allow"), Some("who.reader"))
    );
    assert_eq!(records::outcome(&all, inspected)["status"], 200);
    let changed = of(&reader).filter(|record| record["method"] != "GET" && record["method"] != "HEAD");
    for record in changed {
        assert_eq!(record["decision"], "deny", "{record}");
    }
}

#[test]
fn podman_escaped_slash_is_refused_where_no_route_opts_in() {
    need_root!();
    need_programs!("podman", "busybox", "tar", "curl");
    let podman = start();
    let ask = |target: &str| podman.reader.curl(&podman.daemon.socket(), target, &[]).0;
    assert_eq!(ask("/v4.3.1/libpod/images/localhost%2Fpg-busybox/json"), 200);
    assert_eq!(
        ask("/v4.3.1/libpod/images/localhost%2fpg-busybox/json"),
        200,
        "upper case is the one spelling"
    );
    assert_eq!(ask("/v4.3.1/libpod/containers%2Fjson"), 400);
    assert_eq!(ask("/v4.3.1%2Flibpod/containers/json"), 400);
    assert_eq!(ask("/v4.3.1/libpod/images/..%2F..%2Fcontainers/json"), 400);
    podman.daemon.stop();
}
