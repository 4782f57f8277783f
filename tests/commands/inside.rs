//! What a command sees of its cage, asked from inside.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use nix::unistd::Pid;

use super::stage::{HEAD, exit, place, route, run, started};
use super::starts::{children, waiting};
use super::support;
use super::support::daemon::{Daemon, Place, write_policy};
use super::support::people::person;
use super::support::strace::Strace;
use crate::{need_programs, need_root};

#[test]
fn command_gains_rights_by_what_it_executes_only_where_the_policy_says_so() {
    need_root!();
    let place = place(&[("who", "@HERE@/setuid -u; grep NoNewPrivs /proc/$$/status | tr -d '\\t'")]);
    // One that is root to whoever executes it.
    let setuid = place.path().join("setuid");
    fs::copy("/usr/bin/id", &setuid).unwrap();
    fs::set_permissions(&setuid, fs::Permissions::from_mode(0o4755)).unwrap();
    let alice = person("pg-alice").uid.to_string();
    let daemon = started(
        place,
        &[
            route("plain", "[\"@DIR@/who\"]", "user = \"pg-alice\""),
            route("gains", "[\"@DIR@/who\"]", "user = \"pg-alice\"\nnew_privileges = true"),
        ],
    );
    assert_eq!(run(&daemon, "/plain").text(), format!("{alice}\nNoNewPrivs:1\n"));
    assert_eq!(run(&daemon, "/gains").text(), "0\nNoNewPrivs:0\n");
    daemon.stop();
}

#[test]
fn command_has_the_limits_that_the_policy_gives_it() {
    need_root!();
    let limits = "rlimits = { memory = \"512MiB\", cpu = 7, file_size = \"1MiB\", files = 50, processes = 60, core = \"0B\" }";
    let place = place(&[("writes", "head -c 2000000 /dev/zero > @HERE@/open/big; echo $?")]);
    fs::create_dir(place.path().join("open")).unwrap();
    fs::set_permissions(place.path().join("open"), fs::Permissions::from_mode(0o777)).unwrap();
    let more = format!("user = \"pg-alice\"\n{limits}");
    person("pg-alice");
    let daemon = started(
        place,
        &[
            route("limits", "[\"/usr/bin/cat\", \"/proc/self/limits\"]", &more),
            route("writes", "[\"@DIR@/writes\"]", &more),
        ],
    );
    let answer = run(&daemon, "/limits");
    let said = answer.text();
    for (name, value) in [
        ("Max address space", "536870912"),
        ("Max cpu time", "7"),
        ("Max file size", "1048576"),
        ("Max open files", "50"),
        ("Max processes", "60"),
        ("Max core file size", "0"),
    ] {
        let line = said.lines().find(|line| line.starts_with(name)).unwrap();
        let words: Vec<&str> = line[name.len()..].split_whitespace().collect();
        assert_eq!(words[..2], [value, value], "{line}");
    }
    // They are the kernel's: SIGXFSZ.
    assert!(run(&daemon, "/writes").text().contains("153\n"));
    assert_eq!(fs::metadata(daemon.path("open/big")).unwrap().len(), 1 << 20);
    daemon.stop();
}

/// A daemon of hers, who is not root, with these routes, which she asks for.
fn of_erin(place: Place, routes: &[String], start: impl FnOnce(&Path) -> Command) -> Daemon {
    let erin = person("pg-erin");
    let program = place.path().join("peergated");
    fs::copy(support::program("peergated"), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    // Without root it can't tell where a process of root's runs, so that its own user asks.
    let head = HEAD.replace("user = [\"root\"]", "user = [\"pg-erin\"]");
    let policy = write_policy(place.path(), &format!("{head}{}", routes.concat()));
    let (uid, gid) = (Some(erin.uid.as_raw()), Some(erin.gid.as_raw()));
    for path in [&policy, place.path()] {
        chown(path, uid, gid).unwrap();
    }
    let notify = place.path().join("notify.sock");
    let mut command = start(&program);
    command.stdin(std::process::Stdio::null());
    let daemon = Daemon::spawn_by(command, &place, &policy, |_| {
        fs::set_permissions(&notify, fs::Permissions::from_mode(0o777)).unwrap();
    });
    daemon.unwrap_or_else(|refused| panic!("{}\n{}", refused.status, refused.said)).keeping(place)
}

#[test]
fn daemon_without_root_that_has_ambient_capabilities_gives_its_commands_none() {
    need_root!();
    let erin = person("pg-erin");
    let command = "[\"/usr/bin/grep\", \"-E\", \"^Cap(Prm|Eff|Amb)\", \"/proc/self/status\"]";
    let routes = [route("caps", command, "user = \"pg-erin\"")];
    let daemon = of_erin(place(&[]), &routes, |program| {
        // As a unit with `User=` and `AmbientCapabilities=` would start it.
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={}", erin.uid), format!("--regid={}", erin.gid)]);
        let one = "-all,+net_bind_service";
        command.args(["--init-groups", "--inh-caps", one, "--ambient-caps", one, "--"]).arg(program);
        command.current_dir("/");
        command
    });
    let launcher = children(&daemon.pid().to_string(), "@launcher").pop().expect("a launcher");
    let has = fs::read_to_string(format!("/proc/{launcher}/status")).unwrap();
    assert!(has.contains("CapAmb:\t0000000000000400"), "what starts its commands has one: {has}");
    let none = ["Prm", "Eff", "Amb"].map(|set| format!("Cap{set}:\t0000000000000000\n")).concat();
    assert_eq!(erin.curl(&daemon.socket(), "/caps", &["-X", "POST"]), (200, none));
    daemon.stop();
}

#[test]
fn daemon_without_root_runs_no_command_with_other_groups_than_the_policy_says() {
    need_root!();
    let erin = person("pg-erin");
    let (exact, none) = ("user = \"pg-erin\"", "user = \"pg-erin\"\ngroups = []");
    let routes = [("exact", exact), ("none", none)]
        .map(|(name, more)| route(name, "[\"/usr/bin/id\", \"-Gn\"]", more));
    let daemon = of_erin(place(&[]), &routes, |program| erin.command(program.to_str().unwrap()));
    let ask = |target: &str| erin.curl(&daemon.socket(), target, &["-X", "POST"]);
    assert_eq!(ask("/exact"), (200, "pg-erin pg-docker-ops\n".to_owned()));
    let (_, said) = ask("/none");
    assert!(said.contains("command-not-started"), "{said}");
    let what = exit(&daemon, "not-started")["what"].as_str().unwrap().to_owned();
    assert!(what.contains("a daemon that is not root can't change its groups"), "{what}");
    daemon.stop();
}

#[test]
fn plan_of_a_command_tells_its_whole_cage_and_what_a_sandbox_does_not_stop() {
    let place = place(&[]);
    let more = "user = \"root\"\nchdir = \"/tmp\"\numask = \"0027\"\nenv = { LD_PRELOAD = \"/opt/a b.so\" }";
    let walls = format!("{more}\nsandbox = {{ exec = [\"/usr/lib\"] }}");
    let routes =
        [("free", more), ("walled", &walls)].map(|(name, more)| route(name, "[\"/usr/bin/id\"]", more));
    let policy = write_policy(place.path(), &format!("{HEAD}{}", routes.concat()));
    let mut plan = Command::new(support::program("peergated"));
    let plan = support::out(&support::run(plan.args(["--print-plan", "--policy"]).arg(policy)));
    let (_, free) = plan.split_once("\ncommand free\n").unwrap();
    let (free, walled) = free.split_once("\ncommand walled\n").unwrap();
    for line in [
        "begins in     /tmp\n",
        "umask         0027\n",
        "environment   LANG=C.UTF-8\n",
        "environment   LD_PRELOAD=\"/opt/a b.so\"\n",
    ] {
        assert!(free.contains(line) && walled.contains(line), "{line}{plan}");
    }
    assert!(
        walled.contains("executes      its own program /usr/bin/id\n  executes      /usr/lib\n"),
        "{walled}"
    );
    assert!(walled.contains("does not stop ") && walled.contains("UDP"), "{walled}");
    assert!(!free.contains("does not stop "), "{free}");
}

/// Tries what its arguments say and prints what came of it.
const TRIES: &str = r#"
import os, socket, sys
here, listed, other = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

def tried(name, act):
    try:
        act()
        print(name, "done")
    except OSError as error:
        print(name, error.strerror)

def wrote(path):
    with open(path, "w") as file:
        file.write("x")

def bound():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()

tried("read listed", lambda: open(here + "/read/a").read())
tried("read other", lambda: open(here + "/other/a").read())
tried("list other", lambda: os.listdir(here + "/other"))
tried("write read", lambda: wrote(here + "/read/b"))
tried("write listed", lambda: wrote(here + "/write/b"))
tried("remove listed", lambda: os.remove(here + "/write/b"))
tried("move out", lambda: os.rename(here + "/write/c", here + "/other/c"))
tried("connect listed", lambda: socket.create_connection(("127.0.0.1", listed)))
tried("connect other", lambda: socket.create_connection(("127.0.0.1", other)))
tried("bind", bound)
"#;

#[test]
fn sandbox_holds_for_each_thing_that_is_tried_inside() {
    need_root!();
    let [listed, other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [listed_port, other_port] = [&listed, &other].map(|one| one.local_addr().unwrap().port());
    let place = place(&[]);
    for name in ["read", "write", "other"] {
        fs::create_dir(place.path().join(name)).unwrap();
        fs::write(place.path().join(name).join("a"), name).unwrap();
    }
    fs::write(place.path().join("write/c"), "").unwrap();
    fs::write(place.path().join("tries.py"), TRIES).unwrap();
    // The program itself: no link is followed.
    let python = fs::canonicalize("/usr/bin/python3").unwrap();
    let python = python.display();
    let command = format!(
        "[\"{python}\", \"-IS\", \"@DIR@/tries.py\", \"@DIR@\", \"{listed_port}\", \"{other_port}\"]"
    );
    let files = "read = [\"@DIR@/read\", \"@DIR@/tries.py\"], write = [\"@DIR@/write\"]";
    let one_port = format!("user = \"root\"\nsandbox = {{ {files}, tcp = [{listed_port}] }}");
    let any_port = format!("user = \"root\"\nsandbox = {{ {files}, any_tcp = true }}");
    let daemon = started(place, &[route("one", &command, &one_port), route("any", &command, &any_port)]);
    let told =
        |target: &str| -> Vec<String> { run(&daemon, target).text().lines().map(str::to_owned).collect() };
    let no = "Permission denied";
    let files = [
        "read listed done".to_owned(),
        format!("read other {no}"),
        format!("list other {no}"),
        format!("write read {no}"),
        "write listed done".to_owned(),
        "remove listed done".to_owned(),
        format!("move out {no}"),
        "connect listed done".to_owned(),
    ];
    let expected = [&files[..], &[format!("connect other {no}"), format!("bind {no}")]].concat();
    assert_eq!(told("/one"), expected);
    let expected = [&files[..], &["connect other done".to_owned(), "bind done".to_owned()]].concat();
    assert_eq!(told("/any"), expected);
    daemon.stop();
}

#[test]
fn sandbox_executes_what_is_listed_and_nothing_else() {
    need_root!();
    let place = place(&[("tries", "/usr/bin/true && echo true; /usr/bin/id; echo $?")]);
    let exec = "exec = [\"/usr/lib\", \"/usr/bin/dash\", \"/usr/bin/true\"]";
    let more = format!("user = \"root\"\nsandbox = {{ {exec} }}");
    let daemon = started(place, &[route("tries", "[\"@DIR@/tries\"]", &more)]);
    let answer = run(&daemon, "/tries");
    let said = answer.text();
    assert!(said.starts_with("true\n") && said.contains("126\n"), "{said}");
    assert!(said.contains("/usr/bin/id: Permission denied"), "{said}");
    daemon.stop();
}

#[test]
fn command_is_born_in_its_control_group_and_never_moved_there() {
    need_root!();
    need_programs!("strace", "unshare");
    let place = place(&[]);
    let routes = [route("group", "[\"/usr/bin/grep\", \"^0::\", \"/proc/self/cgroup\"]", "user = \"root\"")];
    let policy = write_policy(place.path(), &format!("{HEAD}{}", routes.concat()));
    // Where a system has version 2, in a mount namespace of the daemon's own: this one may have it elsewhere.
    let mount = "mount -t cgroup2 none /sys/fs/cgroup && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", mount, "sh"]);
    command.arg(support::program("peergated"));
    let daemon = Daemon::spawn_by(command, &place, &policy, |_| ());
    let daemon =
        daemon.unwrap_or_else(|refused| panic!("{}\n{}", refused.status, refused.said)).keeping(place);
    let mounted = nix::sys::statfs::statfs(&*format!("/proc/{}/root/sys/fs/cgroup", daemon.pid())).unwrap();
    assert_eq!(mounted.filesystem_type(), nix::sys::statfs::CGROUP2_SUPER_MAGIC);

    let traced = daemon.path("traced");
    let runner = Pid::from_raw(waiting(&daemon, &[]).parse().unwrap());
    let strace =
        Strace::attach(runner, &["-f", "-y", "-e", "trace=clone3,write", "-o", traced.to_str().unwrap()]);
    let answer = run(&daemon, "/group");
    assert!(answer.text().contains("/command-"), "it has a group of its own: {}", answer.text());
    strace.wait();
    let traced = fs::read_to_string(traced).unwrap();
    let born = |line: &&str| line.contains("clone3({flags=") && line.contains("CLONE_INTO_CGROUP");
    assert_eq!(traced.lines().filter(born).count(), 1, "{traced}");
    // So what moves would be seen too, by whatever descriptor.
    assert!(traced.contains("/cgroup.kill>, \"1\""), "what is written in the group is seen: {traced}");
    assert!(!traced.contains("cgroup.procs") && !traced.contains("cgroup.threads"), "{traced}");
    daemon.stop();
}
