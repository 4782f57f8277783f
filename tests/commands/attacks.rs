//! What happened elsewhere with commands, tried here.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::stage::{HEAD, exit, place, route, routed, run, run_with, script, started};
use super::support::client;
use super::support::daemon::Daemon;
use super::support::people::person;
use crate::need_root;

#[test]
fn command_gets_nothing_of_the_daemon() {
    need_root!();
    let place = place(&[(
        "shows",
        "pwd; umask; id -u; id -G; env | sort | cut -d= -f1 | tr '\\n' ' '; \
         echo; grep -E '^(NoNewPrivs|SigBlk|SigIgn)' /proc/$$/status | tr -s '\\n\\t' ' '",
    )]);
    let alice = person("pg-alice");
    let more = "user = \"pg-alice\"\ngroups = []\nenv = { COLOUR = \"blue\" }\numask = \"0027\"";
    let daemon = started(
        place,
        &[
            route("shows", "[\"@DIR@/shows\"]", more),
            route("fds", "[\"/usr/bin/ls\", \"/proc/self/fd\"]", more),
        ],
    );
    // The fourth is the directory that it lists. (A script has one more, which its interpreter reads it from.)
    assert_eq!(run(&daemon, "/fds").text(), "0\n1\n2\n3\n");
    let answer = run(&daemon, "/shows");
    let said = answer.text();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0..3], ["/", "0027", &alice.uid.to_string()], "{said}");
    assert_eq!(lines[3], alice.gid.to_string(), "{said}");
    assert_eq!(lines[4].trim(), "COLOUR LANG LOGNAME PATH PWD USER", "{said}");
    assert!(lines[5].starts_with("SigBlk: 0000000000000000 SigIgn: 0000000000000000"), "{said}");
    assert!(said.contains("NoNewPrivs: 1"), "{said}");
    daemon.stop();
}

#[test]
fn value_is_no_option_and_nothing_of_a_shell() {
    need_root!();
    let more = "user = \"root\"\nparams.word = { text = \"printable\", max = 64 }";
    let command = "[\"/usr/bin/printf\", \"<%s>\", \"{word}\"]";
    let daemon = started(place(&[]), &[routed("say", "POST /say/{word}", command, more, "")]);
    for value in ["-n", "--help", "-"] {
        let answer = run(&daemon, &format!("/say/{value}"));
        assert_eq!(answer.status(), 400, "{value}");
        assert!(answer.text().contains("\"parameter\""), "{}", answer.text());
    }
    // CVE-2023-22809 and CVE-2021-4034: what separates words elsewhere separates nothing here.
    for (target, said) in [
        ("/say/a%20--%20b", "<a -- b>"),
        ("/say/$(id)", "<$(id)>"),
        ("/say/%60id%60", "<`id`>"),
        ("/say/a'b", "<a'b>"),
    ] {
        let answer = run(&daemon, target);
        assert_eq!((answer.status(), answer.text().as_str()), (200, said), "{target}");
    }
    daemon.stop();
}

#[test]
fn path_below_a_directory_leads_nowhere_else() {
    need_root!();
    let place = place(&[]);
    let top = place.path().join("top");
    fs::create_dir(&top).unwrap();
    fs::write(top.join("plain"), "inside").unwrap();
    fs::write(place.path().join("secret"), "outside").unwrap();
    symlink("../secret", top.join("link")).unwrap();
    symlink("..", top.join("up")).unwrap();
    let more = "user = \"root\"\nparams.file = { below = \"@DIR@/top\" }";
    let daemon =
        started(place, &[routed("cat", "POST /cat/{file...}", "[\"/usr/bin/cat\", \"{file}\"]", more, "")]);
    let answer = run(&daemon, "/cat/plain");
    assert_eq!((answer.status(), answer.text().as_str()), (200, "inside"));
    for name in ["link", "up/secret", "missing"] {
        let answer = run(&daemon, &format!("/cat/{name}"));
        assert_eq!(answer.status(), 502, "{name}: {}", answer.text());
        assert!(!answer.text().contains("outside"), "{name}");
    }
    daemon.stop();
}

#[test]
fn secret_path_that_leads_nowhere_stands_in_no_record_and_no_diagnostics() {
    need_root!();
    let more = "user = \"root\"\nparams.file = { below = \"@DIR@\", from = \"body\", secret = true }";
    let daemon = started(place(&[]), &[route("cat", "[\"/usr/bin/cat\", \"{file}\"]", more)]);
    let answer = run_with(&daemon, "/cat", "{\"file\":\"hushed-7Gq\"}");
    assert_eq!(answer.status(), 502, "{}", answer.text());
    let what = exit(&daemon, "not-started")["what"].as_str().unwrap().to_owned();
    assert!(what.contains("below") && what.contains("No such file"), "{what}");
    let diagnostics = daemon.said();
    let all = daemon.stop();
    for said in [answer.text(), diagnostics, serde_json::to_string(&all).unwrap()] {
        assert!(!said.contains("hushed-7Gq"), "{said}");
    }
}

#[test]
fn program_that_others_may_write_is_not_started() {
    need_root!();
    let place = place(&[("open", "echo no"), ("theirs", "echo no")]);
    fs::set_permissions(place.path().join("open"), fs::Permissions::from_mode(0o777)).unwrap();
    std::os::unix::fs::chown(place.path().join("theirs"), Some(person("pg-alice").uid.as_raw()), None)
        .unwrap();
    symlink(script(place.path(), "good", "echo no"), place.path().join("link")).unwrap();
    let names = ["open", "theirs", "link", "missing"];
    let routes: Vec<String> =
        names.iter().map(|name| route(name, &format!("[\"@DIR@/{name}\"]"), "user = \"root\"")).collect();
    let daemon = started(place, &routes);
    for name in names {
        let answer = run(&daemon, &format!("/{name}"));
        assert_eq!(answer.status(), 502, "{name}");
        assert!(answer.text().contains("command-not-started"), "{name}: {}", answer.text());
    }
    assert!(exit(&daemon, "not-started")["what"].as_str().is_some_and(|what| what.contains("open")));
    daemon.stop();
}

#[test]
fn sandbox_leaves_what_it_lists() {
    need_root!();
    let place = place(&[(
        "reads",
        "cat @HERE@/allowed/a; cat @HERE@/denied/a; echo x > @HERE@/denied/b; echo y > @HERE@/allowed/b",
    )]);
    for name in ["allowed", "denied"] {
        fs::create_dir(place.path().join(name)).unwrap();
        fs::write(place.path().join(name).join("a"), format!("{name}\n")).unwrap();
    }
    let more = "user = \"root\"\nsandbox = { read = [\"@DIR@/allowed\"] }";
    let daemon = started(place, &[route("reads", "[\"@DIR@/reads\"]", more)]);
    let answer = run(&daemon, "/reads");
    let said = answer.text();
    assert!(said.starts_with("allowed\n") && !said.contains("\ndenied\n"), "{said}");
    assert_eq!(said.matches("ermission denied").count(), 3, "{said}");
    assert!(!daemon.path("denied/b").exists() && !daemon.path("allowed/b").exists());
    daemon.stop();
}

#[test]
fn caller_that_may_not_learns_nothing_and_runs_nothing() {
    need_root!();
    let daemon = started(place(&[]), &[route("id", "[\"/usr/bin/id\"]", "user = \"root\"")]);
    let ask = |target: &str| person("pg-alice").curl(&daemon.socket(), target, &["-X", "POST"]);
    // CVE-2025-46717: what is there and what is not are answered alike.
    let (there, absent) = (ask("/id"), ask("/nothing"));
    let told = |(status, text): (u16, String)| {
        let mut told: serde_json::Value = serde_json::from_str(&text).unwrap();
        let id = told["id"].as_str().unwrap().to_owned();
        told["message"] = told["message"].as_str().unwrap().replace(&id, "ID").into();
        told["id"] = "ID".into();
        (status, told)
    };
    let there = told(there);
    assert_eq!(there.0, 403);
    assert_eq!(there, told(absent));
    let all = daemon.stop();
    assert!(all.iter().all(|record| record["t"] != "exit" && record["t"] != "grant"), "{all:?}");
}

#[test]
fn value_that_a_forbid_takes_is_run_for_nobody() {
    need_root!();
    let more = "user = \"root\"\nparams.word = { text = \"name\" }";
    let forbid = "[[forbid]]\nid = \"never-blue\"\nmatch = [\"* /say/blue\"]\n";
    let command = "[\"/usr/bin/echo\", \"{word}\"]";
    let daemon =
        started(place(&[]), &[routed("say", "POST /say/{word}", command, more, ""), forbid.to_owned()]);
    assert_eq!(run(&daemon, "/say/red").text(), "red\n");
    for target in ["/say/blue", "/say/%62lue", "/say/blue/"] {
        assert_eq!(run(&daemon, target).status(), 403, "{target}");
    }
    let all = daemon.stop();
    assert_eq!(all.iter().filter(|record| record["t"] == "exit").count(), 1);
}

#[test]
fn first_command_by_a_reload_is_refused_with_what_to_do() {
    need_root!();
    let place = place(&[]);
    super::support::upstream::Upstream::start(&place.path().join("up.sock"));
    let proxy = "[backend.up]\nproxy = \"unix:@DIR@/up.sock\"\n[[route]]\nid = \"up\"\nmatch = [\"GET /up\"]\n\
                 to = \"up\"\nallow = [\"root\"]\n";
    let mut daemon = started(place, &[proxy.to_owned()]);
    let with = format!("{HEAD}{proxy}{}", route("id", "[\"/usr/bin/id\"]", "user = \"root\""));
    assert!(!daemon.reload(&with));
    let refused = daemon.records_of("policy").pop().unwrap()["refused"].as_str().unwrap().to_owned();
    assert!(refused.contains("the first one with a command") && refused.contains("restart it"), "{refused}");
    assert_eq!(client::ask(&daemon.socket(), "GET", "/up").status(), 200, "the old policy stays in force");
    let (place, _all) = daemon.stop_keeping();
    let daemon = Daemon::start_in(place, &with);
    assert_eq!(run(&daemon, "/id").status(), 200);
    daemon.stop();
}
