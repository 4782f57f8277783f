//! Who is calling, with real processes: nothing but the kernel's word at `connect()` counts, and who sends has
//! to stay who connected.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "identity/label.rs"]
mod label;
#[path = "identity/login.rs"]
mod login;
#[path = "support/support.rs"]
mod support;

use std::process::Command;

use serde_json::Value;
use support::client;
use support::daemon::{self, Daemon};
use support::people::{Person, person};
use support::upstream::{Upstream, guarded};

const POLICY: &str = r#"
[listen.api]
path = "@DIR@/run/api.sock"
mode = "0666"

[backend.up]
proxy = "unix:@DIR@/up.sock"

[who.root]
user = ["root"]

[who.alice]
user = ["pg-alice"]

[who.operators]
group = ["pg-docker-ops"]

[[route]]
id = "allowed"
match = ["* /allowed/{rest...}"]
to = "up"
allow = ["root", "alice"]

[[route]]
id = "operators"
match = ["GET /operators"]
to = "up"
allow = ["operators"]
"#;

struct Stage {
    daemon: Daemon,
    upstream: Upstream,
    alice: Person,
    erin: Person,
}

fn stage() -> Stage {
    let (alice, erin) = (person("pg-alice"), person("pg-erin"));
    let (daemon, upstream) = guarded(POLICY);
    Stage { daemon, upstream, alice, erin }
}

impl Stage {
    /// What the actor saw, a line an answer.
    fn act(&self, act: &str) -> Vec<String> {
        let mut actor = Command::new(support::python());
        actor
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/actor.py"))
            .arg(act)
            .arg(self.daemon.socket());
        actor
            .arg(self.alice.uid.to_string())
            .arg(self.erin.uid.to_string())
            .arg(self.daemon.pid().to_string());
        support::out(&support::run(&mut actor)).lines().map(str::to_owned).collect()
    }

    /// The one decision that refused a sender.
    fn expect_sender_refused(&self) {
        self.daemon.wait_for("a refused sender", |record| mentions(record, "sender-changed"));
    }
}

fn mentions(record: &Value, code: &str) -> bool {
    record.as_object().unwrap().values().any(|value| value == code)
}

/// A refused sender's connection is ended; whether it still gets the reason is not promised.
fn ended(answer: &str) -> bool {
    answer == "closed" || answer == "403"
}

#[test]
fn setuid_after_connect_ends_the_connection() {
    need_root!();
    need_programs!("python3");
    let stage = stage();
    let answers = stage.act("setuid_after_connect");
    assert!(ended(&answers[0]), "{answers:?}");
    assert!(stage.upstream.asked().is_empty());
    stage.expect_sender_refused();
    stage.daemon.stop();
}

#[test]
fn setuid_program_is_who_the_kernel_says_and_may_send() {
    need_root!();
    need_programs!("python3");
    let stage = stage();
    assert_eq!(stage.act("setuid_program"), ["200", "200"]);
    let all = stage.daemon.stop();
    let conn = all.iter().find(|record| record["t"] == "conn").unwrap();
    assert_eq!(conn["uid"], 0, "the effective uid at connect: {conn}");
}

#[test]
fn descriptor_inherited_by_another_uid_is_refused() {
    need_root!();
    need_programs!("python3");
    let stage = stage();
    let answers = stage.act("inherited");
    assert_eq!(answers[0], "200");
    assert!(ended(&answers[1]), "{answers:?}");
    let answers = stage.act("inherited_before_a_byte");
    assert!(ended(&answers[0]), "{answers:?}");
    assert_eq!(stage.upstream.asked().len(), 1);
    stage.expect_sender_refused();
    stage.daemon.stop();
}

#[test]
fn body_sent_by_another_uid_is_never_received_whole() {
    need_root!();
    need_programs!("python3");
    let stage = stage();
    let answers = stage.act("inherited_in_a_body");
    assert!(ended(&answers[0]) || answers[0].starts_with(['4', '5']), "{answers:?}");
    assert!(stage.upstream.asked().is_empty(), "{:?}", stage.upstream.received());
    stage.expect_sender_refused();
    stage.daemon.stop();
}

#[test]
fn descriptor_sent_to_another_uid_is_refused() {
    need_root!();
    need_programs!("python3");
    let stage = stage();
    let answers = stage.act("passed");
    assert!(ended(&answers[0]), "{answers:?}");
    assert!(stage.upstream.asked().is_empty());
    stage.expect_sender_refused();
    stage.daemon.stop();
}

#[test]
fn descriptor_inherited_by_the_same_uid_is_served() {
    need_root!();
    need_programs!("python3");
    let stage = stage();
    assert_eq!(stage.act("inherited_same_uid"), ["200"]);
    stage.daemon.stop();
}

#[test]
fn credentials_chosen_by_the_sender_are_refused() {
    need_root!();
    need_programs!("python3");
    let stage = stage();
    let answers = stage.act("forged_credentials");
    assert!(ended(&answers[0]), "{answers:?}");
    assert!(stage.upstream.asked().is_empty());
    stage.daemon.stop();
}

#[test]
fn peer_dead_before_accept_gets_nothing_and_stops_nobody() {
    need_root!();
    need_programs!("python3");
    let stage = stage();
    let before = stage.upstream.asked().len();
    assert_eq!(stage.act("gone_before_accept"), ["200"], "the next caller is served");
    let alice = stage.alice.uid.as_raw();
    let all = stage.daemon.stop();
    // Its namespace can't be known any more, so nothing it asked may be allowed.
    let allowed = all
        .iter()
        .any(|record| record["t"] == "decision" && record["uid"] == alice && record["decision"] == "allow");
    assert!(!allowed, "a caller who can't be looked at was allowed");
    assert!(
        all.iter().any(|record| record["t"] == "conn" && record["uid"] == alice),
        "the connection is on record"
    );
    assert_eq!(stage.upstream.asked().len(), before + 1);
}

#[test]
fn root_of_a_user_namespace_is_not_root() {
    need_root!();
    need_programs!("unshare", "curl");
    let stage = stage();
    let socket = stage.daemon.socket();
    let curl = |mut command: Command| {
        command.args([
            "curl",
            "--silent",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
            "--unix-socket",
        ]);
        support::out(&command.arg(&socket).arg("http://h/allowed/x").output().unwrap())
    };
    // Root here, in a namespace of its own: the uid is 0, the namespace another.
    let mut user = Command::new("unshare");
    user.args(["--user", "--map-root-user"]);
    assert_eq!(curl(user), "403");
    let mut pid = Command::new("unshare");
    pid.args(["--pid", "--fork"]);
    assert_eq!(curl(pid), "403");
    // Alice, who calls herself root there.
    let mut alice = stage.alice.command("unshare");
    alice.args(["--user", "--map-root-user"]);
    assert_eq!(curl(alice), "403");
    // A mount namespace alone does not count.
    let mut mount = Command::new("unshare");
    mount.args(["--mount"]);
    assert_eq!(curl(mount), "200");
    let all = stage.daemon.stop();
    let spaces: Vec<_> =
        all.iter().filter(|r| r["t"] == "conn").map(|r| r["ns"].as_str().unwrap_or("?")).collect();
    assert_eq!(spaces, ["other", "other", "other", "host"]);
}

#[test]
fn hostile_bind_name_is_only_a_name() {
    need_root!();
    need_programs!("python3");
    let stage = stage();
    assert_eq!(stage.act("hostile_bind_name"), ["403", "403", "403"]);
    let erin = stage.erin.uid.as_raw();
    let all = stage.daemon.stop();
    assert_eq!(all.iter().filter(|record| record["t"] == "conn" && record["uid"] == erin).count(), 3);
    assert!(stage.upstream.asked().is_empty());
}

#[test]
fn descriptors_thrown_at_us_are_not_kept() {
    need_root!();
    need_programs!("python3");
    let stage = stage();
    assert_eq!(client::ask(&stage.daemon.socket(), "GET", "/allowed/x").status(), 200);
    let open = || -> Vec<usize> {
        let mut processes = stage.daemon.children();
        processes.push(stage.daemon.pid());
        let count =
            |pid: &nix::unistd::Pid| std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        processes.iter().map(count).collect()
    };
    let before = open();
    for answer in stage.act("descriptors") {
        assert!(answer == "closed" || answer == "400", "{answer}");
    }
    stage.daemon.wait_for("the refusal by name", |record| mentions(record, "ancillary-data"));
    // The connections' own ends are seen before the next caller is served.
    assert_eq!(client::ask(&stage.daemon.socket(), "GET", "/allowed/x").status(), 200);
    let null = |pid: &nix::unistd::Pid| {
        let links = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        links.filter(|link| std::fs::read_link(link.path()).is_ok_and(|to| to.ends_with("null"))).count()
    };
    let gates: Vec<_> = stage.daemon.children().iter().map(null).collect();
    assert!(
        gates.iter().all(|count| *count <= 3),
        "descriptors of a client were kept: {gates:?} ({before:?})"
    );
    stage.daemon.stop();
}

#[test]
fn supplementary_group_alone_is_enough_and_no_group_is_not() {
    need_root!();
    need_programs!("curl");
    let stage = stage();
    let socket = stage.daemon.socket();
    assert_eq!(stage.erin.curl(&socket, "/operators", &[]).0, 200, "pg-erin is in pg-docker-ops");
    assert_eq!(stage.alice.curl(&socket, "/operators", &[]).0, 403);
    assert_eq!(Person::root().curl(&socket, "/operators", &[]).0, 403, "root is nobody special");
    // The same user without the group: what counts is what the process has, not what a database says.
    let mut bare = Command::new("setpriv");
    bare.arg(format!("--reuid={}", stage.erin.uid))
        .arg(format!("--regid={}", stage.erin.gid))
        .arg("--clear-groups");
    bare.args(["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--unix-socket"]);
    let output = support::run(bare.arg(&socket).arg("http://h/operators"));
    assert_eq!(support::out(&output), "403");
    let all = stage.daemon.stop();
    let allowed: Vec<_> = all
        .iter()
        .filter(|r| r["t"] == "decision" && r["decision"] == "allow")
        .map(|r| r["by"].clone())
        .collect();
    assert_eq!(allowed, ["who.operators"]);
}

#[test]
fn headers_say_nothing_about_who_calls() {
    need_root!();
    need_programs!("curl");
    let stage = stage();
    let forged = [
        "X-Peergate-Uid: 0",
        "X-Forwarded-User: root",
        "X-Remote-User: root",
        "Authorization: Basic cm9vdDo=",
        "X-Forwarded-For: 127.0.0.1",
    ];
    for header in forged {
        let status = stage.erin.curl(&stage.daemon.socket(), "/allowed/x", &["--header", header]).0;
        assert_eq!(status, 403, "{header}");
    }
    assert!(stage.upstream.asked().is_empty());
    stage.daemon.stop();
}

#[test]
fn each_caller_uid_has_a_gate_of_its_own() {
    need_root!();
    need_programs!("curl");
    let stage = stage();
    let socket = stage.daemon.socket();
    for who in [&Person::root(), &stage.alice, &stage.erin] {
        who.curl(&socket, "/allowed/x", &[]);
    }
    for uid in [0, stage.alice.uid.as_raw(), stage.erin.uid.as_raw()] {
        stage.daemon.wait_for("a gate for each uid", |record| {
            record["t"] == "gate" && record["event"] == "started" && record["uid"] == uid
        });
    }
    let started = stage.daemon.records_of("gate");
    assert_eq!(
        started.iter().filter(|record| record["role"] == "gate").count(),
        3,
        "and no other: {started:?}"
    );
    // None of them runs as root, as its caller, or as another's gate could signal it.
    for record in &started {
        let pid = record["pid"].as_u64().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let ids = status.lines().find(|line| line.starts_with("Uid:")).unwrap().to_owned();
        assert!(
            !ids.split_whitespace().skip(1).any(|id| id == "0"),
            "a gate or the scribe runs as root: {ids}"
        );
    }
    stage.daemon.stop();
}

#[test]
fn caller_in_more_groups_than_can_be_told_is_served_by_its_uid_alone() {
    need_root!();
    need_programs!("python3");
    let stage = stage();
    let script = "import os,socket,sys\n\
        os.setgroups(range(100000,165536))\n\
        s=socket.socket(socket.AF_UNIX);s.settimeout(60);s.connect(sys.argv[1])\n\
        s.sendall(b'GET /allowed/x HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n');print(s.recv(12).decode())";
    let mut python = Command::new(support::python());
    let output = support::run(python.args(["-c", script]).arg(stage.daemon.socket()));
    assert_eq!(support::out(&output).trim(), "HTTP/1.1 200");
    let all = stage.daemon.stop();
    let conn = all.iter().find(|record| record["t"] == "conn").unwrap();
    assert!(conn["groups"].is_null(), "what was not read whole is unknown: {conn}");
}

/// Root, by one program and not in a login of alice's.
const BY_PROGRAM: &str = r#"
[listen.api]
path = "@DIR@/run/api.sock"
mode = "0666"

[listen.plain]
path = "@DIR@/run/plain.sock"
mode = "0600"

[backend.api]
builtin = "api"

[who.root]
user = ["root"]

[who.curl]
user = ["root"]
exe = ["/usr/bin/curl"]
exe_trusted = true

[[route]]
id = "curl"
on = "api"
match = ["GET /_peergate/health"]
to = "api"
allow = ["curl"]

[[route]]
id = "but-curl"
on = "api"
match = ["GET /_peergate/whoami"]
to = "api"
allow = ["root"]

[[forbid]]
id = "no-curl"
on = "api"
match = ["GET /_peergate/whoami"]
who = ["curl"]

[[route]]
id = "plain"
on = "plain"
match = ["GET /_peergate/health"]
to = "api"
allow = ["root"]
"#;

#[test]
fn program_is_the_file_that_runs_and_is_read_only_where_a_rule_asks() {
    need_root!();
    need_programs!("curl", "unshare", "mount");
    let place = daemon::place();
    let copy = place.path().join("curl");
    std::fs::copy("/usr/bin/curl", &copy).unwrap();
    let daemon = Daemon::start_in(place, BY_PROGRAM);
    let (socket, plain) = (daemon.socket(), daemon.path("run/plain.sock"));
    let (health, whoami) = ("http://h/_peergate/health", "http://h/_peergate/whoami");
    let ask = |socket: &std::path::Path, program: &[&str], url: &str| {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket"]);
        support::out(&support::run(command.arg(socket).arg(url))).trim().to_owned()
    };
    let copy = copy.to_str().unwrap().to_owned();
    let bound =
        format!("mount --make-rprivate / && mount --bind {copy} /usr/bin/curl && exec /usr/bin/curl \"$@\"");
    let in_its_place = ["unshare", "--mount", "sh", "-c", &bound, "sh"];
    for (program, allowed, forbidden) in [
        (&["/usr/bin/curl"][..], "200", "403"),
        // Another file, whatever it is called and wherever its own mounts show it.
        (&[copy.as_str()], "403", "200"),
        (&in_its_place, "403", "403"),
    ] {
        assert_eq!(ask(&socket, program, health), allowed, "{program:?}");
        assert_eq!(ask(&socket, program, whoami), forbidden, "{program:?}");
        assert_eq!(ask(&plain, program, health), "200", "{program:?}");
    }
    let all = daemon.stop();
    let conns = |on: &str| {
        all.iter().filter(|record| record["t"] == "conn" && record["on"] == on).collect::<Vec<_>>()
    };
    let programs: Vec<_> = conns("api").iter().map(|conn| conn["exe"].as_str().map(str::to_owned)).collect();
    let (curl, copy) = (Some("/usr/bin/curl".to_owned()), Some(copy));
    assert_eq!(programs, [&curl, &curl, &copy, &copy, &None, &None].map(Clone::clone));
    assert!(conns("plain").iter().all(|conn| conn["exe"].is_null()), "no rule of that listener asks");
    assert!(all.iter().all(|record| record["t"] != "conn" || record["unit"].is_null()));
}
