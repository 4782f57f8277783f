//! `peergate run`.

use std::process::{Command, Output, Stdio};

use super::stage::{place, route, routed, started};
use super::support::daemon::Daemon;
use super::support::{out, said};
use crate::need_root;

const OWN: &str = "[backend.own]\nbuiltin = \"api\"\n[[route]]\nid = \"own\"\nmatch = [\"GET /_peergate/routes\"]\n\
                   to = \"own\"\nallow = [\"root\"]\n";

fn peergate_run(daemon: &Daemon, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peergate"));
    command.args(["run", "--socket"]).arg(daemon.socket()).args(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn run_passes_on_what_a_command_says_and_its_exit_code() {
    need_root!();
    let place =
        place(&[("says", "cat; echo out; echo err >&2; printf '\\377'; exit $1"), ("dies", "kill -KILL $$")]);
    let says = "user = \"root\"\nstdin = \"1KiB\"\nparams.code = { int = \"0..9\" }\n\
                params.word = { text = \"name\", from = \"query\", optional = true }";
    let routes = [
        OWN.to_owned(),
        routed("says", "POST /says/{code}", "[\"@DIR@/says\", \"{code}\", \"{word}\"]", says, ""),
        route("dies", "[\"@DIR@/dies\"]", "user = \"root\""),
        route("slow", "[\"/usr/bin/sleep\", \"100\"]", "user = \"root\"\ntimeout = \"100ms\""),
    ];
    let daemon = started(place, &routes);
    let ran = peergate_run(&daemon, &["says", "code=7", "word=x", "--stdin"], "in\n");
    assert_eq!(ran.status.code(), Some(7), "{}", said(&ran));
    assert_eq!((ran.stdout.as_slice(), ran.stderr.as_slice()), (&b"in\nout\n\xff"[..], &b"err\n"[..]));
    assert_eq!(peergate_run(&daemon, &["/says/0"], "").status.code(), Some(0));
    for (arguments, code) in [
        (&["dies"][..], 137),
        (&["slow"], 124),
        (&["says", "code=10"], 126),
        (&["/nothing"], 126),
        (&["nothing"], 127),
        (&["says"], 125),
        (&["says", "code=1", "more=x"], 125),
        (&["says", "code"], 125),
    ] {
        let ran = peergate_run(&daemon, arguments, "");
        assert_eq!(ran.status.code(), Some(code), "{arguments:?}: {}", said(&ran));
    }
    let refused = said(&peergate_run(&daemon, &["says", "code=10"], ""));
    assert!(
        refused
            .starts_with("peergate: says takes code=int 0..9 [word=text name 255]\npeergate: a parameter "),
        "{refused}"
    );
    let told = out(&peergate_run(&daemon, &["own"], ""));
    assert!(told.starts_with("{\"allowed\":"), "{told}");
    let listed = out(&peergate_run(&daemon, &[], ""));
    assert!(listed.contains("says") && listed.contains("POST /says/{code}"), "{listed}");
    daemon.stop();
}

#[test]
fn run_without_a_daemon_says_so() {
    let socket = tempfile::tempdir().unwrap().path().join("nobody");
    let mut command = Command::new(env!("CARGO_BIN_EXE_peergate"));
    let ran = command.args(["run", "/x", "--socket"]).arg(&socket).output().unwrap();
    assert_eq!(ran.status.code(), Some(125), "{}", said(&ran));
}
