//! `peergate run`.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};

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
    Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn run_passes_on_what_a_command_says_and_its_exit_code() {
    need_root!();
    let place =
        place(&[("says", "cat; echo out; echo err >&2; printf '\\377'; exit $1"), ("dies", "kill -KILL $$")]);
    let says = "user = \"root\"\nstdin = \"1KiB\"\nparams.code = { int = \"0..9\" }\n\
                params.word = { text = \"name\", from = \"query\", optional = true }";
    let tells = "user = \"root\"\nparams.key = { text = \"name\", from = \"body\" }";
    let routes = [
        OWN.to_owned(),
        routed("says", "POST /says/{code}", "[\"@DIR@/says\", \"{code}\", \"{word}\"]", says, ""),
        route("tells", "[\"/usr/bin/echo\", \"{key}\"]", tells),
        route("dies", "[\"@DIR@/dies\"]", "user = \"root\""),
        route("slow", "[\"/usr/bin/sleep\", \"100\"]", "user = \"root\"\ntimeout = \"100ms\""),
        route("much", "[\"/usr/bin/yes\"]", "user = \"root\"\noutput = \"1KiB\""),
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
        (&["tells", "key=x"], 0),
        (&["tells", "key=x", "--stdin"], 125),
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
    // A code that a program may have of its own is not all that a person gets to know.
    for (arguments, told) in [
        (&["slow"][..], "peergate: its time was over, and it was ended\n"),
        (&["much"], "peergate: it said more than it may, and was ended\n"),
        (&["/own"], "peergate: asked was POST /own; `--method` names another method\n"),
    ] {
        let ran = peergate_run(&daemon, arguments, "");
        assert!(said(&ran).ends_with(told), "{arguments:?}: {}", said(&ran));
    }
    let told = out(&peergate_run(&daemon, &["own"], ""));
    assert!(told.starts_with("{\"allowed\":"), "{told}");
    let listed = out(&peergate_run(&daemon, &[], ""));
    assert!(listed.contains("says") && listed.contains("POST /says/{code}"), "{listed}");
    daemon.stop();
}

/// Answers one request with these bytes after another, each once `go` says so, and then waits for its caller to leave.
fn answering(socket: &Path, pieces: &'static [&str], go: Receiver<()>) {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        while head.read_line(&mut line).unwrap() > 2 {
            line.clear();
        }
        for piece in pieces {
            go.recv().unwrap();
            stream.write_all(piece.as_bytes()).unwrap();
        }
        head.read_line(&mut line).ok();
    });
}

#[test]
fn run_prints_what_no_command_answers_and_is_content() {
    for (method, answer, expected) in [
        ("POST", "HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nmade\n", "made\n"),
        ("POST", "HTTP/1.1 204 No Content\r\n\r\n", ""),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", ""),
        (
            "GET",
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nContent-Length: 21\r\n\r\n\
             {\"text\":\"its\"}\n{}\nend",
            "{\"text\":\"its\"}\n{}\nend",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("api.sock");
        let (say, go) = mpsc::channel();
        answering(&socket, Box::leak(Box::new([answer])), go);
        say.send(()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_peergate"));
        command.args(["run", "/x", "--method", method, "--socket"]).arg(&socket);
        let ran = command.output().unwrap();
        assert_eq!((out(&ran).as_str(), ran.status.code()), (expected, Some(0)), "{answer}: {}", said(&ran));
    }
}

#[test]
fn run_prints_an_answer_that_follows_as_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("api.sock");
    let (say, go) = mpsc::channel();
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n";
    answering(&socket, Box::leak(Box::new([head, "\r\n4\r\ntwo\n\r\n0\r\n\r\n"])), go);
    let mut command = Command::new(env!("CARGO_BIN_EXE_peergate"));
    let mut child =
        command.args(["run", "/x", "--socket"]).arg(&socket).stdout(Stdio::piped()).spawn().unwrap();
    let mut printed = BufReader::new(child.stdout.take().unwrap());
    for line in ["one\n", "two\n"] {
        say.send(()).unwrap();
        let mut read = String::new();
        printed.read_line(&mut read).unwrap();
        assert_eq!(read, line);
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn run_offers_a_shell_nothing_where_nobody_answers_or_help_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("api.sock");
    let _silent = UnixListener::bind(&socket).unwrap();
    for words in [&["ec"][..], &["echo", "--help", ""], &["echo", "--nothing", ""]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_peergate"));
        let ran =
            command.args(["run", "--candidates", "--socket"]).arg(&socket).args(words).output().unwrap();
        assert_eq!((out(&ran).as_str(), ran.status.code()), ("", Some(0)), "{words:?}");
    }
}

#[test]
fn run_without_a_daemon_says_so() {
    let socket = tempfile::tempdir().unwrap().path().join("nobody");
    let mut command = Command::new(env!("CARGO_BIN_EXE_peergate"));
    let ran = command.args(["run", "/x", "--socket"]).arg(&socket).output().unwrap();
    assert_eq!(ran.status.code(), Some(125), "{}", said(&ran));
    assert!(said(&ran).ends_with("; `--socket` names another\n"), "{}", said(&ran));
}
