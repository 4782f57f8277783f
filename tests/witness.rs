//! Heads of the seals, with the witnesses of a real daemon: rsyslog, a file, a command, and what hangs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

use std::net::UdpSocket;
use std::process::{Command, Stdio};

use support::daemon::{self, Daemon, Place, Running};
use support::{client, heads};

const POLICY: &str = r#"
[listen.api]
path = "@DIR@/run/api.sock"
mode = "0666"
[backend.own]
builtin = "api"
[who.root]
uid = [0]
[[route]]
id = "health"
match = ["GET /_peergate/health"]
to = "own"
allow = ["root"]
"#;

fn with(witness: &str) -> String {
    format!("{POLICY}[audit.witness]\nevery = \"1s\"\n{witness}\n")
}

fn health(daemon: &Daemon) {
    assert_eq!(client::ask(&daemon.socket(), "GET", "/_peergate/health").status(), 200);
}

fn status(daemon: &Daemon) -> serde_json::Value {
    let mut peergate = Command::new(env!("CARGO_BIN_EXE_peergate"));
    peergate.arg("status").arg("--control").arg(daemon.path("run/control.sock")).args(["--format", "json"]);
    serde_json::from_str(&support::out(&peergate.output().unwrap())).unwrap()
}

#[test]
fn file_and_command_keep_heads_to_the_last() {
    need_root!();
    let place = daemon::place();
    let witness = "file = \"@DIR@/heads\"\ncommand = [\"/bin/sh\", \"-c\", \"cat >> @DIR@/of-command\"]";
    let daemon = Daemon::start_in(place, &with(witness));
    health(&daemon);
    heads::until("two heads", || (heads::of(&daemon.path("heads")).len() > 1).then_some(()));
    heads::until("status", || {
        let told = status(&daemon);
        let sinks = told["witness"].as_array().unwrap().clone();
        let taken = |sink: &serde_json::Value| sink["taken"].as_u64() >= Some(1) && sink["why"] == "";
        (sinks.len() == 2 && sinks.iter().all(taken)).then_some(())
    });
    let (place, _) = daemon.stop_keeping();
    let audit = place.path().join("audit");
    heads::prove(&heads::of(&place.path().join("heads")), &audit);
    // It reads the end of its input when the daemon is gone.
    let last = *heads::seals(&audit).keys().last().unwrap();
    let of_command = place.path().join("of-command");
    heads::until("the last head", || {
        heads::of(&of_command).last().filter(|head| (head.epoch, head.i) == last).map(drop)
    });
    heads::prove(&heads::of(&of_command), &audit);
}

/// A real rsyslog that listens on UDP and on a socket like /dev/log.
struct Rsyslog {
    _running: Running,
    port: u16,
}

fn rsyslog(place: &Place) -> Rsyslog {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let dir = place.path().display();
    let config = format!(
        "global(workDirectory=\"{dir}\")\n\
         module(load=\"imudp\")\n\
         input(type=\"imudp\" address=\"127.0.0.1\" port=\"{port}\")\n\
         module(load=\"imuxsock\" SysSock.Use=\"off\")\n\
         input(type=\"imuxsock\" Socket=\"{dir}/log.sock\")\n\
         authpriv.notice action(type=\"omfile\" file=\"{dir}/syslog\" template=\"RSYSLOG_SyslogProtocol23Format\")\n"
    );
    let file = place.path().join("rsyslog.conf");
    std::fs::write(&file, config).unwrap();
    let mut rsyslog = Command::new("/usr/sbin/rsyslogd");
    rsyslog.arg("-n").arg("-f").arg(&file).arg("-i").arg(place.path().join("rsyslog.pid"));
    rsyslog.stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running(rsyslog.spawn().unwrap());
    heads::until("rsyslog", || place.path().join("log.sock").exists().then_some(()));
    Rsyslog { _running: running, port }
}

#[test]
fn rsyslog_keeps_heads_by_udp() {
    need_root!();
    need_programs!("rsyslogd");
    let place = daemon::place();
    let rsyslog = rsyslog(&place);
    kept_by_rsyslog(place, &format!("syslog = \"udp:127.0.0.1:{}\"", rsyslog.port));
}

#[test]
fn rsyslog_keeps_heads_by_its_socket() {
    need_root!();
    need_programs!("rsyslogd");
    let place = daemon::place();
    let _rsyslog = rsyslog(&place);
    kept_by_rsyslog(place, "syslog = \"unix:@DIR@/log.sock\"");
}

fn kept_by_rsyslog(place: Place, witness: &str) {
    let daemon = Daemon::start_in(place, &with(witness));
    health(&daemon);
    heads::until("two heads", || (heads::of(&daemon.path("syslog")).len() > 1).then_some(()));
    let (place, _) = daemon.stop_keeping();
    let audit = place.path().join("audit");
    let file = place.path().join("syslog");
    let last = *heads::seals(&audit).keys().last().unwrap();
    heads::until("the last head", || {
        heads::of(&file).last().filter(|head| (head.epoch, head.i) == last).map(drop)
    });
    heads::prove(&heads::of(&file), &audit);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.lines().all(|line| line.starts_with("<85>1 ") && line.contains(" peergated ")), "{text}");
}

#[test]
fn witness_that_hangs_or_is_not_there_stalls_nothing_and_is_told() {
    need_root!();
    let place = daemon::place();
    // Nobody opens the other end of the pipe, so that opening it hangs; the command never reads; nobody is at the
    // syslog's socket.
    let pipe = place.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let witness = "file = \"@DIR@/pipe\"\nsyslog = \"unix:@DIR@/nobody\"\ncommand = [\"/bin/false\"]";
    let daemon = Daemon::start_in(place, &with(witness));
    heads::until("told", || {
        health(&daemon);
        let told = status(&daemon);
        let sink = |name: &str| {
            let sinks = told["witness"].as_array().unwrap();
            sinks.iter().find(|sink| sink["sink"] == name).unwrap().clone()
        };
        let (file, syslog, command) = (sink("file"), sink("syslog"), sink("command"));
        let told = file["why"].as_str().unwrap().contains("still at an earlier head")
            && file["age_s"].is_null()
            && syslog["failed"].as_u64() > Some(1)
            && syslog["why"].as_str().unwrap().contains("No such file")
            && command["failed"].as_u64() >= Some(1);
        told.then_some(())
    });
    // What hangs has its time at the end, and then it is left behind.
    let all = daemon.stop();
    assert!(all.iter().filter(|record| record["t"] == "decision").all(|record| record["status"] == 200));
}
