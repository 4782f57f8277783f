//! The library from outside: programs with routers of their own, each with the whole daemon around it. Their handlers
//! know their caller from the kernel and the rule from the gate, reach what is declared and nothing else, and take
//! nobody with them when they fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "embed/life.rs"]
mod life;
#[path = "support/support.rs"]
mod support;
#[path = "embed/taken.rs"]
mod taken;

use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use support::client::{self, Client};
use support::daemon::{self, Daemon, Place, Refused, write_policy};
use support::example;
use support::people::person;
use support::records;
use support::upstream::Upstream;

fn start_in(place: Place, program: &str, policy: &str) -> Daemon {
    let file = write_policy(place.path(), policy);
    try_start(place, program, &[], &file).unwrap_or_else(|refused| panic!("{}", refused.said))
}

fn try_start(place: Place, program: &str, words: &[&str], policy: &Path) -> Result<Daemon, Refused> {
    let mut command = Command::new(example(program));
    command.args(words);
    Daemon::spawn_by(command, &place, policy, |_| {}).map(|daemon| daemon.keeping(place))
}

/// One app behind one listener, which everybody may ask for everything.
fn policy(app: &str, more: &str) -> String {
    format!(
        "[listen.api]\npath = \"@DIR@/run/api.sock\"\nmode = \"0666\"\n[backend.app]\napp = \"{app}\"\n{more}\n\
         [who.root]\nuid = [0]\n[who.alice]\nuser = [\"pg-alice\"]\n\
         [[route]]\nid = \"all\"\nmatch = [\"* /{{rest...}}\"]\nto = \"app\"\nallow = [\"root\", \"alice\"]\n"
    )
}

fn get(daemon: &Daemon, target: &str) -> (u16, String) {
    let answer = client::ask(&daemon.socket(), "GET", target);
    (answer.status(), answer.text())
}

#[test]
fn minimal_handler_knows_caller_and_grant_and_both_are_on_record() {
    need_root!();
    let daemon = start_in(daemon::place(), "minimal", &policy("hello", ""));
    assert_eq!(get(&daemon, "/hello"), (200, "uid Some(0) (root), allowed by who.root\n".to_owned()));
    let alice = person("pg-alice");
    let (_status, answer) = alice.curl(&daemon.socket(), "/hello", &[]);
    assert!(
        answer.contains(&format!("uid Some({}) (pg-alice), allowed by who.alice", alice.uid)),
        "{answer}"
    );
    assert_eq!(get(&daemon, "/nowhere").0, 404, "the router's own answer");
    let all = daemon.stop();
    let app = |event: &str| all.iter().filter(|r| r["role"] == "app" && r["event"] == event).count();
    assert_eq!((app("started"), app("retired")), (1, 1));
    let grants: Vec<&Value> = all.iter().filter(|record| record["t"] == "grant").collect();
    assert!(grants.iter().all(|grant| grant["backend"] == "app") && grants.len() == 3, "{grants:?}");
}

#[test]
fn notes_lie_in_their_directory_and_state_is_shared() {
    need_root!();
    let place = daemon::place();
    let notes = place.path().join("notes");
    std::fs::create_dir(&notes).unwrap();
    let carol = person("pg-carol");
    chown(&notes, Some(carol.uid.as_raw()), Some(carol.gid.as_raw())).unwrap();
    let sample = include_str!("../policy/embedded.toml");
    // Its record, `[daemon]` and the version stand in what is written before.
    let (_, sample) = sample.split("[[test]]").next().unwrap().split_once("[listen.notes]").unwrap();
    let sample = format!("[listen.notes]{sample}")
        .replace("/run/notes/notes.sock", "@DIR@/run/api.sock")
        .replace("/var/lib/notes", "@DIR@/notes")
        .replace("notes-users", "pg-podman-readers")
        .replace("notes-writers", "root");
    let file = write_policy(place.path(), &sample);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("lanes = 2\n", "lanes = 2\napp_user = \"pg-carol\"\n")).unwrap();
    let program = example("state_and_directory");
    let mut command = Command::new(program);
    command.arg("serve");
    // Its own command line: the policy is its last word.
    let daemon = Daemon::spawn_by(command, &place, &file, |_| {});
    let daemon = daemon.unwrap_or_else(|refused| panic!("{}", refused.said)).keeping(place);
    let put = |name: &str, text: &str| {
        let mut client = Client::connect(&daemon.socket());
        let length = text.len();
        client
            .send(format!("PUT /notes/{name} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{text}"));
        let answer = client.answer();
        (answer.status(), answer.text(), answer.header("x-request-id").unwrap_or_default().to_owned())
    };
    let (status, text, id) = put("today", "first");
    assert_eq!((status, text.as_str()), (200, "1 written\n"));
    assert_eq!(put("tomorrow", "second").1, "2 written\n");
    assert_eq!(std::fs::read_to_string(daemon.path("notes/today")).unwrap(), "first");
    assert_eq!(put("..", "out").0, 400, "the gate's answer");
    let all = daemon.stop();
    let decision = all.iter().find(|record| record["t"] == "decision" && record["id"] == id.as_str());
    assert_eq!(decision.expect("the id that the handler knows")["route"], "write");
}

#[test]
fn command_beside_an_app_is_run_by_the_program() {
    need_root!();
    let command = "command = [\"/usr/bin/id\", \"-un\"]\nuser = \"pg-carol\"\n";
    let more = format!("[backend.up]\nproxy = \"unix:@DIR@/up.sock\"\n[backend.id]\n{command}");
    let route = "[[route]]\nid = \"id\"\nmatch = [\"POST /id\"]\nto = \"id\"\nallow = [\"root\"]\n";
    person("pg-carol");
    let daemon = start_in(daemon::place(), "with_backend", &(policy("summary", &more) + route));
    let answer = client::ask(&daemon.socket(), "POST", "/id");
    assert_eq!((answer.status(), answer.text()), (200, "pg-carol\n".to_owned()));
    daemon.stop();
}

#[test]
fn app_that_declares_a_command_as_its_backend_keeps_the_daemon_from_starting() {
    let more = "[backend.up]\ncommand = [\"/usr/bin/id\"]\nuser = \"root\"\n";
    let said = refusal("with_backend", &[], &policy("summary", more));
    assert!(said.contains("the app `summary` needs a backend `up` that it can connect to"), "{said}");
    assert!(said.contains("a command is run for a route"), "{said}");
}

#[test]
fn backend_is_opened_by_the_warden_for_a_live_request_and_on_record() {
    need_root!();
    let place = daemon::place();
    let _upstream = Upstream::start(&place.path().join("up.sock"));
    let more = "[backend.up]\nproxy = \"unix:@DIR@/up.sock\"\n";
    let daemon = start_in(place, "with_backend", &policy("summary", more));
    let (status, text) = get(&daemon, "/summary");
    assert_eq!(status, 200, "{text}");
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    let all = daemon.stop();
    let of = |backend: &str| all.iter().find(|r| r["t"] == "grant" && r["backend"] == backend).unwrap();
    assert_eq!(of("up")["id"], of("app")["id"], "both belong to one request");
    assert_eq!((&of("up")["via"], &of("app")["via"]), (&json!("summary"), &Value::Null));
}

fn unruly() -> Daemon {
    let place = daemon::place();
    start_in(place, "unruly", &policy("unruly", "[backend.up]\nproxy = \"unix:@DIR@/nobody.sock\"\n"))
}

#[test]
fn handler_learns_nothing_of_what_a_caller_claims() {
    need_root!();
    let daemon = unruly();
    let mut client = Client::connect(&daemon.socket());
    let claims = ["X-Peergate-Grant: 00", "X-Peergate-Uid: 7", "X-Forwarded-User: eve", "Remote-User: eve"];
    client.send(format!("GET /told HTTP/1.1\r\nHost: x\r\n{}\r\n\r\n", claims.join("\r\n")));
    assert_eq!(client.answer().text(), "Some(0) all who.root api \n");
    daemon.stop();
}

#[test]
fn handler_reaches_no_file_no_program_no_socket_that_was_not_declared() {
    need_root!();
    let daemon = unruly();
    assert_eq!(get(&daemon, "/opens/passwd"), (200, "PermissionDenied\n".to_owned()));
    assert_eq!(get(&daemon, "/threads"), (200, "322\n".to_owned()));
    assert_eq!(get(&daemon, "/asks/elsewhere"), (200, "Undeclared\n".to_owned()));
    assert_eq!(get(&daemon, "/asks/up"), (200, "Failed\n".to_owned()));
    // The kernel ends it for these; the next caller has another process.
    for target in ["/connects", "/runs"] {
        let before = daemon.records().iter().filter(|r| r["role"] == "app" && r["event"] == "killed").count();
        assert_eq!(get(&daemon, target).0, 502, "{target}");
        let killed = |all: &[Value]| {
            let killed = all.iter().filter(|r| r["role"] == "app" && r["event"] == "killed");
            killed.clone().nth(before).is_some_and(|record| record["signal"] == 31)
        };
        records::wait(&daemon.path("audit"), |all| killed(all).then_some(()));
        until_served(&daemon);
    }
    // Violations are what this is about: the books are not checked for them.
    daemon.kill_all();
}

/// Asks until the app is there again: it is started after a pause, and says when its router is made.
fn until_served(daemon: &Daemon) {
    let begun = std::time::Instant::now();
    while get(daemon, "/threads").0 != 200 {
        assert!(begun.elapsed() < support::PATIENCE, "the app does not come back");
    }
}

#[test]
fn handler_that_panics_answers_500_and_is_recorded() {
    need_root!();
    let daemon = unruly();
    let mut client = Client::connect(&daemon.socket());
    let answer = client.ask("GET", "/panics").answer();
    let body: Value = serde_json::from_str(&answer.text()).unwrap();
    assert_eq!((answer.status(), &body["code"]), (500, &json!("handler-failed")));
    // Neither its connection nor anybody else's has ended.
    assert_eq!(client.ask("GET", "/threads").answer().status(), 200);
    let panicked = daemon.wait_for("the panic", |r| r["role"] == "app" && r["event"] == "panicked");
    assert_eq!(panicked["live"], json!([0]));
    let close = "GET /breaks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let broken = Client::connect(&daemon.socket()).send(close).rest();
    assert!(!broken.ends_with(b"0\r\n\r\n"), "half an answer never looks whole");
    let all = daemon.stop();
    let outcome = |target: &str| {
        let id = &all.iter().find(|r| r["t"] == "decision" && r["target"] == target).unwrap()["id"];
        all.iter().find(|record| record["t"] == "outcome" && record["id"] == *id).unwrap().clone()
    };
    assert_eq!(
        (&outcome("/panics")["status"], &outcome("/panics")["result"]),
        (&json!(500), &json!("completed"))
    );
    assert_ne!(outcome("/breaks")["result"], "completed");
}

#[test]
fn app_that_dies_is_started_again_and_told() {
    need_root!();
    let daemon = unruly();
    let answer = get(&daemon, "/aborts");
    assert_eq!(answer.0, 502, "{}", answer.1);
    daemon.wait_for("its death", |r| r["role"] == "app" && r["event"] == "killed" && r["signal"] == 6);
    until_served(&daemon);
    let all = daemon.stop();
    let events: Vec<&str> =
        all.iter().filter(|r| r["role"] == "app").map(|r| r["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["started", "killed", "started", "retired"]);
}

fn refusal(program: &str, words: &[&str], policy: &str) -> String {
    let place = daemon::place();
    let file = write_policy(place.path(), policy);
    match try_start(place, program, words, &file) {
        Ok(_) => panic!("{program} {words:?} serves"),
        Err(refused) => refused.said,
    }
}

#[test]
fn program_that_takes_its_role_late_is_told_so_at_once() {
    let said = refusal("late", &["--in-a-branch"], &policy("late", ""));
    assert!(
        said.contains("ended with code 64 instead of taking it") && said.contains("first of all"),
        "{said}"
    );
    let said = refusal("late", &["--with-threads"], &policy("late", ""));
    assert!(said.contains("2 threads run already"), "{said}");
}

#[test]
fn app_that_cannot_begin_keeps_the_daemon_from_starting() {
    let said = refusal("unruly", &[], &policy("broken", ""));
    assert!(said.contains("can't start an app: `broken` can't begin: no database today"), "{said}");
    // A directory to write that its user may not write to: no handler could say more of it than 500.
    let placed = "directories = { notes = \"/usr/share\" }";
    let said = refusal("state_and_directory", &["serve"], &policy("notes", placed));
    for part in ["`notes` can't begin: /usr/share can't be written by uid ", "`app_user` in `[daemon]`"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn policy_with_an_app_that_the_program_lacks_is_refused_in_place() {
    let said = refusal("minimal", &[], &policy("helo", ""));
    assert!(
        said.contains("this program has no app `helo`") && said.contains("did you mean `hello`?"),
        "{said}"
    );
    let said = refusal("state_and_directory", &["serve"], &policy("notes", ""));
    assert!(said.contains("directories.notes = \"/its/path\""), "{said}");
}

#[cfg(feature = "cli")]
fn peergate(daemon: &Daemon, words: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peergate"));
    command.args(words).arg("--control").arg(daemon.path("run/control.sock")).output().unwrap()
}

#[cfg(feature = "cli")]
#[test]
fn app_tries_what_it_must_not_and_the_kernel_stops_it() {
    use peergate::confine::probes::PROBES;
    use peergate::model::probe::Subject;

    need_root!();
    let daemon = unruly();
    let output = peergate(&daemon, &["probe", "--role", "app", "--format", "json"]);
    let told: Vec<Value> =
        support::out(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let wrong: Vec<&Value> = told.iter().filter(|row| row["as_expected"] != true).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let tried = PROBES.iter().filter(|probe| probe.is_for(Subject::App)).count() * 2;
    assert_eq!(told.len(), tried, "{}", support::said(&output));
    // Those that serve went on doing so.
    assert_eq!(get(&daemon, "/threads").0, 200);
    let all = daemon.stop();
    let served = all.iter().filter(|record| record["role"] == "app" && record["event"] == "started").count();
    assert_eq!(served, 1);
}

#[cfg(feature = "cli")]
#[test]
fn doctor_and_plan_show_what_an_app_keeps() {
    need_root!();
    let daemon = unruly();
    let output = peergate(&daemon, &["doctor", "--format", "json"]);
    let report: Value = serde_json::from_str(&support::out(&output)).unwrap();
    let roles = report["roles"].as_array().unwrap();
    let app = roles.iter().find(|role| role["role"] == "app unruly").expect("a row of its own");
    let grades: Vec<&str> = app["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["grade"].as_str().unwrap())
        .collect();
    assert!(grades.len() >= 7 && grades.iter().all(|grade| *grade == "green"), "{app:#}");
    let plan = Command::new(example("state_and_directory")).arg("--print-plan").output().unwrap();
    assert_eq!(plan.status.code(), Some(2), "its command line is its own");
    let plan = Command::new(example("unruly"))
        .args(["--print-plan", "--policy"])
        .arg(daemon.path("policy.toml"))
        .output()
        .unwrap();
    let plan = support::out(&plan);
    let app = plan.split("\napp\n").nth(1).unwrap_or_else(|| panic!("no app in the plan:\n{plan}"));
    assert!(app.contains("capabilities  none") && app.contains("openat: files in its directories"), "{app}");
    assert!(!app.contains("execve"), "{app}");
    daemon.stop();
}

/// The public items of the modules that are for embedders, each as it is written, without its body.
fn public_items() -> String {
    const FILES: &[&str] = &[
        "src/lib.rs",
        "src/server.rs",
        "src/server/command.rs",
        "src/app.rs",
        "src/app/extract.rs",
        "src/app/backend.rs",
        "src/app/setup.rs",
        "src/peer.rs",
        "src/listen.rs",
        "src/sys/listen.rs",
        "src/model/caller.rs",
        "src/model/refusal.rs",
        "src/model/target.rs",
        "src/policy.rs",
        "src/policy/check.rs",
        "src/policy/decide.rs",
        "src/policy/names.rs",
        "src/audit.rs",
        "src/audit/log.rs",
        "src/audit/verify.rs",
    ];
    let mut items = String::new();
    for file in FILES {
        items.push_str(&format!("\n# {file}\n"));
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
        let (mut lines, mut hidden) = (text.lines().map(str::trim), false);
        while let Some(line) = lines.next() {
            let hides = line.starts_with("#[") && (hidden || line.contains("doc(hidden)"));
            if std::mem::replace(&mut hidden, hides) {
                continue;
            }
            let implements = line.starts_with("impl ") && line.contains(" for ");
            if !line.starts_with("pub ") && !implements {
                continue;
            }
            let mut item = line.to_owned();
            while !item.ends_with(['{', ';', ',', '}'])
                || item.matches('(').count() > item.matches(')').count()
            {
                let Some(more) = lines.next() else { break };
                item.push(' ');
                item.push_str(more);
            }
            items.push_str(item.trim_end_matches(['{', ' ']));
            items.push('\n');
        }
    }
    items
}

#[test]
fn public_surface_is_the_one_that_is_written_down() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/public-api.txt");
    const HEAD: &str = "# What embedding programs may rely on. A line that goes or changes breaks them: that is a decision, and a\n\
                        # line of the changelog. Written by `PEERGATE_WRITE=1 cargo test --test embed public`.\n";
    let now = format!("{HEAD}{}", public_items());
    if std::env::var_os("PEERGATE_WRITE").is_some() {
        std::fs::write(&file, &now).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap();
    let (before, after): (Vec<&str>, Vec<&str>) = (written.lines().collect(), now.lines().collect());
    let gone: Vec<&&str> = before.iter().filter(|line| !after.contains(line)).collect();
    let new: Vec<&&str> = after.iter().filter(|line| !before.contains(line)).collect();
    assert!(gone.is_empty() && new.is_empty(), "gone: {gone:#?}\nnew: {new:#?}");
}
