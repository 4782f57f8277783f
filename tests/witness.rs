//! Heads of the seals, with the witnesses of a real daemon: rsyslog, a file, a command, and what hangs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

use std::net::UdpSocket;
use std::path::Path;
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

/// Where a program lies, past all links.
fn program(path: &str) -> String {
    std::fs::canonicalize(path).unwrap().to_str().unwrap().to_owned()
}

#[test]
fn keeper_that_dies_stalls_nothing_and_is_told() {
    need_root!();
    let place = daemon::place();
    let daemon = Daemon::start_in(place, &with("file = \"@DIR@/heads\"\nsyslog = \"unix:@DIR@/nobody\""));
    heads::until("a head", || (!heads::of(&daemon.path("heads")).is_empty()).then_some(()));
    let is_keeper = |pid: &nix::unistd::Pid| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.windows(7).any(|word| word == b"@keeper")
    };
    let keeper = daemon.children().into_iter().find(is_keeper).expect("a keeper");
    nix::sys::signal::kill(keeper, nix::sys::signal::Signal::SIGKILL).unwrap();
    let told = heads::until("status", || {
        health(&daemon);
        let told = status(&daemon);
        let sink =
            told["witness"].as_array().unwrap().iter().find(|sink| sink["sink"] == "file").unwrap().clone();
        (sink["why"] != "").then_some(sink)
    });
    let why = told["why"].as_str().unwrap();
    assert!(why.contains("its process ended") && why.contains("restart of the daemon"), "{told}");
    assert!(told["failed"].as_u64() >= Some(1), "{told}");
    assert!(daemon.said().contains("its process ended"), "{}", daemon.said());
    daemon.stop();
}

#[test]
fn command_that_others_could_replace_is_refused() {
    need_root!();
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    let alice = support::people::person("pg-alice").uid.as_raw();
    type Harm = fn(&Path, u32);
    let mode = |bits| std::fs::Permissions::from_mode(bits);
    let cases: [(&str, Harm); 5] = [
        ("own", |program, alice| chown(program, Some(alice), None).unwrap()),
        ("writ", |program, _| {
            std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o775)).unwrap()
        }),
        ("writ", |program, _| {
            let parent = program.parent().unwrap();
            std::fs::set_permissions(parent, std::fs::Permissions::from_mode(0o777)).unwrap();
        }),
        ("link", |program, _| {
            std::fs::rename(program, program.with_extension("elsewhere")).unwrap();
            symlink(program.with_extension("elsewhere"), program).unwrap();
        }),
        ("FIFO", |program, _| {
            std::fs::remove_file(program).unwrap();
            nix::unistd::mkfifo(program, nix::sys::stat::Mode::S_IRWXU).unwrap();
        }),
    ];
    for (word, harm) in cases {
        let place = daemon::place();
        let folder = place.path().join("tools");
        std::fs::create_dir(&folder).unwrap();
        let program = folder.join("keep");
        std::fs::copy("/bin/true", &program).unwrap();
        std::fs::set_permissions(&program, mode(0o755)).unwrap();
        harm(&program, alice);
        let policy = daemon::write_policy(place.path(), &with("command = [\"@DIR@/tools/keep\"]"));
        let refused =
            Daemon::spawn(place, &policy, |_| {}).err().unwrap_or_else(|| panic!("it started: {word}"));
        assert!(refused.status.code().is_some_and(|code| code != 0), "{}", refused.status);
        for word in [word, "tools", "witnesses' keepers"] {
            assert!(refused.said.contains(word), "{word} in:\n{}", refused.said);
        }
    }
}

#[test]
fn keepers_have_no_more_than_they_need_and_doctor_says_so() {
    need_root!();
    let place = daemon::place();
    let witness =
        format!("file = \"@DIR@/kept/heads\"\ncommand = [\"{}\", \"-c\", \"cat\"]", program("/bin/sh"));
    std::fs::create_dir(place.path().join("kept")).unwrap();
    let policy = with(&witness);
    let daemon = Daemon::start_in(place, &policy);
    heads::until("a head", || (!heads::of(&daemon.path("kept/heads")).is_empty()).then_some(()));
    let mut peergate = Command::new(env!("CARGO_BIN_EXE_peergate"));
    peergate.args(["doctor", "--format", "json", "--control"]).arg(daemon.path("run/control.sock"));
    let report: serde_json::Value = serde_json::from_slice(&peergate.output().unwrap().stdout).unwrap();
    for (name, seccomp) in [("file-keeper", "2"), ("command-keeper", "0")] {
        let role = report["roles"].as_array().unwrap().iter().find(|role| role["role"] == name).unwrap();
        assert!(role["held"].is_object(), "{role}");
        let findings = role["findings"].as_array().unwrap();
        assert!(findings.iter().all(|finding| finding["grade"] != "red"), "{role}");
        let status = std::fs::read_to_string(format!("/proc/{}/status", role["pid"])).unwrap();
        let says = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.trim_start_matches(':').trim().to_owned()
        };
        for set in ["CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb"] {
            assert_eq!(says(set), "0000000000000000", "{name} {set}");
        }
        assert_eq!([says("NoNewPrivs"), says("Seccomp")], ["1", seccomp], "{name}");
        // Nobody has said whom the command runs as: somebody who is no role and owns nothing.
        let (uids, groups) = (says("Uid"), says("Groups"));
        let uid: u32 = uids.split_whitespace().next().unwrap().parse().unwrap();
        assert_eq!(uid == 0, name == "file-keeper", "{name}: {uids}");
        if name == "command-keeper" {
            let others = report["roles"].as_array().unwrap().iter().filter(|role| role["role"] != name);
            let mut uids = others.map(|role| role["held"]["status"]["uids"][0].as_u64());
            assert!(uids.all(|other| other != Some(uid.into())), "{report}");
            assert_eq!(groups, "");
        }
    }
    let mut plan = Command::new(env!("CARGO_BIN_EXE_peergated"));
    let plan = plan.args(["--print-plan", "--policy"]).arg(daemon.path("policy.toml")).output().unwrap();
    let plan = support::out(&plan);
    assert!(plan.contains("file-keeper") && plan.contains("the witness's directory, to write"), "{plan}");
    let of_command = plan.split_once("command-keeper\n").unwrap().1;
    assert!(of_command.contains("nobody knows what a command"), "{plan}");
    let runs_as = of_command.lines().next().unwrap();
    assert!(runs_as.contains("runs as       uid ") && !runs_as.contains("uid 0,"), "{plan}");
    // One that hangs holds up nobody, is told, and goes on when it can.
    let pid = report["roles"]
        .as_array()
        .unwrap()
        .iter()
        .find(|role| role["role"] == "command-keeper")
        .unwrap()["pid"]
        .as_i64()
        .unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    let command = |suits: &dyn Fn(&serde_json::Value) -> bool| {
        heads::until("told", || {
            health(&daemon);
            let told = status(&daemon);
            let sink =
                told["witness"].as_array().unwrap().iter().find(|sink| sink["sink"] == "command").cloned();
            sink.filter(suits)
        })
    };
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    let hung = command(&|sink| sink["why"].as_str().unwrap().contains("still at an earlier head"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT).unwrap();
    command(&|sink| sink["taken"].as_u64() > hung["taken"].as_u64() && sink["why"] == "");
    daemon.stop();
}

/// What `peergate audit verify` says of a record, with what a witness has kept.
fn verify(audit: &Path, witness: &Path) -> (Option<i32>, String) {
    let mut peergate = Command::new(env!("CARGO_BIN_EXE_peergate"));
    peergate.args(["audit", "verify"]).arg(audit).arg("--key").arg(audit.join("genesis.pub"));
    let output = peergate.arg("--witness").arg(witness).output().unwrap();
    (output.status.code(), support::said(&output))
}

/// Cuts the record before its last seal, as if that had never been made.
fn cut_last_seal(audit: &Path) {
    let mut scribes: Vec<_> = std::fs::read_dir(audit).unwrap().map(|entry| entry.unwrap().path()).collect();
    scribes.retain(|path| path.to_string_lossy().contains("-scribe-"));
    let last = scribes.iter().max().unwrap();
    let text = std::fs::read_to_string(last).unwrap();
    let seal = text.rfind("\"t\":\"seal\"").unwrap();
    let line = text[..seal].rfind('\n').unwrap() + 1;
    std::fs::write(last, &text[..line]).unwrap();
}

#[test]
fn file_and_command_keep_heads_to_the_last() {
    need_root!();
    let place = daemon::place();
    // Whom the command runs as, with what, is the first that it keeps.
    let reader = support::people::person("pg-reader");
    let folder = place.path().join("of-reader");
    std::fs::create_dir(&folder).unwrap();
    std::os::unix::fs::chown(&folder, Some(reader.uid.as_raw()), None).unwrap();
    let script = "umask 022; about=@DIR@/of-reader/about; id -u >$about; id -G >>$about; \
                  env | grep -v ^PWD | sort >>$about; pwd >>$about; ulimit -n >>$about; \
                  ls /proc/self/fd >>$about; exec cat >>@DIR@/of-reader/heads";
    let witness = format!(
        "file = \"@DIR@/heads\"\ncommand = [\"{}\", \"-c\", \"{script}\"]\nuser = \"pg-reader\"",
        program("/bin/sh")
    );
    let daemon = Daemon::start_in(place, &with(&witness));
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
    let of_command = folder.join("heads");
    heads::until("the last head", || {
        heads::of(&of_command).last().filter(|head| (head.epoch, head.i) == last).map(drop)
    });
    heads::prove(&heads::of(&of_command), &audit);
    for witness in [place.path().join("heads"), of_command] {
        assert_eq!(verify(&audit, &witness).0, Some(0), "{}", verify(&audit, &witness).1);
    }
    let about = std::fs::read_to_string(folder.join("about")).unwrap();
    let mut about = about.lines();
    assert_eq!(about.next(), Some(&*reader.uid.to_string()));
    let mut groups: Vec<_> = about.next().unwrap().split(' ').map(|id| id.parse::<u32>().unwrap()).collect();
    groups.sort_unstable();
    let group = nix::unistd::Group::from_name("pg-podman-readers").unwrap().unwrap().gid.as_raw();
    let mut expected = [reader.gid.as_raw(), group];
    expected.sort_unstable();
    assert_eq!(groups, expected);
    let rest: Vec<&str> = about.collect();
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    // Of a shell's own there is `_`; `ls` opens one descriptor to look.
    let rest: Vec<&str> = rest.into_iter().filter(|line| !line.starts_with("_=")).collect();
    assert_eq!(rest[..4], ["LANG=C.UTF-8", "LOGNAME=pg-reader", path, "USER=pg-reader"]);
    assert_eq!(rest[4..], ["/", "1024", "0", "1", "2", "3"]);
    cut_last_seal(&audit);
    let (code, said) = verify(&audit, &place.path().join("heads"));
    assert_eq!(code, Some(15), "a head is ahead of the record: {said}");
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
    assert_eq!(verify(&audit, &file).0, Some(0), "{}", verify(&audit, &file).1);
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
    let witness = format!(
        "file = \"@DIR@/pipe\"\nsyslog = \"unix:@DIR@/nobody\"\ncommand = [\"{}\"]",
        program("/bin/false")
    );
    let daemon = Daemon::start_in(place, &with(&witness));
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
