//! What a shell offers for `peergate run`, asked of the daemon.

use std::path::Path;
use std::process::Command;

use super::stage::{place, route, routed, started};
use super::support::client;
use super::support::daemon::Daemon;
use super::support::people::person;
use super::support::pty::Pty;
use super::support::{out, run};
use crate::{need_programs, need_root};

const OWN: &str = "[backend.own]\nbuiltin = \"api\"\n[[route]]\nid = \"own\"\nmatch = [\"GET /_peergate/routes\"]\n\
                   to = \"own\"\nallow = [\"root\"]\n";

fn daemon() -> Daemon {
    let restart = "user = \"root\"\nparams.unit = { one_of = [\"app.service\", \"a b; id\", \"web.service\"] }\n\
                   params.lines = { int = \"1..9\", from = \"query\", optional = true }\n\
                   params.key = { one_of = [\"hush\"], from = \"body\", secret = true, optional = true }";
    let command = "[\"/usr/bin/echo\", \"restarts {unit}\", \"{lines}\", \"{key}\"]";
    let reload = route("reload", "[\"/usr/bin/true\"]", "user = \"root\"");
    let theirs = reload.replace("reload", "reread").replace("[\"root\"]\n", "[\"alice\"]\n");
    let restart = routed("restart", "POST /units/{unit}/restart", command, restart, "");
    started(place(&[]), &[OWN.to_owned(), reload, restart, theirs])
}

fn completions(shell: &str, into: &Path) -> String {
    let file = into.join(shell);
    let made = run(Command::new(env!("CARGO_BIN_EXE_peergate")).args(["completions", shell]));
    std::fs::write(&file, made.stdout).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn routes_tell_what_is_filled_in_to_those_who_may_call_them() {
    need_root!();
    let daemon = daemon();
    let told: serde_json::Value =
        serde_json::from_str(&client::ask(&daemon.socket(), "GET", "/_peergate/routes").text()).unwrap();
    let told = told["allowed"].as_array().unwrap();
    let restart = told.iter().find(|offer| offer["route"] == "restart").unwrap();
    let expected = serde_json::json!([
        { "name": "key", "from": "body", "type": "secret", "one_of": null, "optional": true },
        { "name": "lines", "from": "query", "type": "int 1..9", "one_of": null, "optional": true },
        { "name": "unit", "from": "path", "type": "one_of", "optional": false,
          "one_of": ["app.service", "a b; id", "web.service"] },
    ]);
    let mut params = restart["params"].as_array().unwrap().clone();
    params.sort_by_key(|param| param["name"].as_str().unwrap().to_owned());
    assert_eq!(serde_json::Value::Array(params), expected);
    assert!(told.iter().all(|offer| offer["route"] != "reread"), "it is somebody else's");
    assert_eq!(person("pg-alice").curl(&daemon.socket(), "/_peergate/routes", &[]).0, 403);
    daemon.stop();
}

#[test]
fn bash_completes_routes_names_and_values_that_the_caller_may_use() {
    need_root!();
    need_programs!("bash");
    let daemon = daemon();
    let file = completions("bash", daemon.dir());
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile", "-i"]);
    let mut pty = Pty::start(&bash, 200, 50);
    pty.press(&format!(
        "PS1='ready: '; . {file}; cd {}; bind 'set bell-style none'\n",
        daemon.dir().display()
    ));
    let program = env!("CARGO_BIN_EXE_peergate");
    pty.press(&format!("peergate() {{ {program} \"$@\"; }}\n"));
    // A word at a time, each begun and ended by the tabulator; what is typed last is run.
    pty.press("peergate run --socket run/api.sock res\tun\tap\tl\t4\n");
    let screen = pty.wait_for("restarts app.service 4");
    assert!(screen.contains("run --socket run/api.sock restart unit=app.service lines=4"), "{screen}");
    pty.press("peergate run --socket run/api.sock re\t\t");
    let screen = pty.wait_for("reload");
    assert!(!screen.contains("reread"), "{screen}");
    pty.press("\x15exit\n");
    pty.wait_end();
    daemon.stop();
}

#[test]
fn bash_quotes_what_a_value_holds() {
    need_root!();
    need_programs!("bash");
    let daemon = daemon();
    let file = completions("bash", daemon.dir());
    let line = format!("peergate run --socket {} restart unit=a", daemon.socket().display());
    let text = format!(
        ". {file}; peergate() {{ {} \"$@\"; }}; COMP_LINE='{line}' COMP_POINT={}; _peergate_asked peergate; \
         printf '<%s>' \"${{COMPREPLY[@]}}\"",
        env!("CARGO_BIN_EXE_peergate"),
        line.len()
    );
    let said = out(&run(Command::new("bash").args(["--norc", "-c", &text])));
    assert_eq!(said, r"<app.service><a\ b\;\ id>");
    daemon.stop();
}

#[test]
fn zsh_completes_what_the_daemon_offers() {
    need_root!();
    need_programs!("zsh");
    let daemon = daemon();
    let file = completions("zsh", daemon.dir());
    run(Command::new("zsh").args(["-n", &file]));
    // `compadd` works within the line editor alone; what it is given is what is offered.
    let text = format!(
        "compdef() {{ :; }}; . {file}; peergate() {{ {} \"$@\"; }}; compadd() {{ print -r -- \"$@\"; }}; \
         for words in re restart\\ '' restart\\ unit=a; do \
         words=(run --socket {} ${{(s: :)words}}); [[ $words[-1] = restart ]] && words+=(''); \
         CURRENT=$#words; _peergate_asked; done",
        env!("CARGO_BIN_EXE_peergate"),
        daemon.socket().display()
    );
    let said = out(&run(Command::new("zsh").args(["-f", "-c", &text])));
    let expected = [
        "-- reload",
        "-- restart",
        "-S  -- unit=",
        "-S  -- lines=",
        "-S  -- key=",
        "-- unit=app.service",
        "-- unit=a b; id",
    ];
    let mut said: Vec<&str> = said.lines().collect();
    said.sort_unstable();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(said, expected);
    daemon.stop();
}

#[test]
fn zsh_completes_by_the_tabulator() {
    need_root!();
    need_programs!("zsh");
    let daemon = daemon();
    let file = completions("zsh", daemon.dir());
    let folder = daemon.dir().display();
    let mut zsh = Command::new("zsh");
    zsh.args(["-f", "-i"]).env("HOME", daemon.dir());
    let mut pty = Pty::start(&zsh, 200, 50);
    let program = env!("CARGO_BIN_EXE_peergate");
    pty.press(&format!(
        "cd {folder}; mkdir fn; cp {file} fn/_peergate; fpath=({folder}/fn $fpath); autoload -Uz compinit; \
         compinit -u -D; peergate() {{ {program} \"$@\"; }}; unsetopt beep; PS1='ready'': '\n"
    ));
    pty.wait_for("ready: ");
    pty.press("peergate run --socket run/api.sock res\tun\tap\tli\t4\n");
    let screen = pty.wait_for("restarts app.service 4");
    assert!(screen.contains("run --socket run/api.sock restart unit=app.service lines=4"), "{screen}");
    pty.press("exit\n");
    pty.wait_end();
    daemon.stop();
}
