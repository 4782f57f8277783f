//! A daemon whose routes are commands, and programs for them.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;

use super::support::client::{self, Client};
use super::support::daemon::{self, Daemon, Place};
use super::support::http::Message;

/// The listener and root, who may call all routes here.
pub(crate) const HEAD: &str = "[listen.api]\npath = \"@DIR@/run/api.sock\"\nmode = \"0666\"\n\
                    [who.root]\nuser = [\"root\"]\n[who.alice]\nuser = [\"pg-alice\"]\n";

/// A route `POST /NAME` to a command, with these further lines.
pub(crate) fn route(name: &str, command: &str, more: &str) -> String {
    routed(name, &format!("POST /{name}"), command, more, "")
}

/// The same with a pattern and further lines of the route.
pub(crate) fn routed(name: &str, pattern: &str, command: &str, more: &str, of_route: &str) -> String {
    format!(
        "[backend.{name}]\ncommand = {command}\n{more}\n\
         [[route]]\nid = \"{name}\"\nmatch = [\"{pattern}\"]\nto = \"{name}\"\nallow = [\"root\"]\n{of_route}\n"
    )
}

/// A place for a daemon with scripts in it, in which `@HERE@` is that place.
pub(crate) fn place(scripts: &[(&str, &str)]) -> Place {
    let place = daemon::place();
    for (name, text) in scripts {
        script(place.path(), name, text);
    }
    place
}

/// An executable script.
pub(crate) fn script(directory: &Path, name: &str, text: &str) -> PathBuf {
    let file = directory.join(name);
    let text = text.replace("@HERE@", directory.to_str().unwrap());
    fs::write(&file, format!("#!/usr/bin/dash\n{text}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file
}

/// A daemon with these routes.
pub(crate) fn started(place: Place, routes: &[String]) -> Daemon {
    Daemon::start_in(place, &format!("{HEAD}{}", routes.concat()))
}

/// A FIFO in a place.
pub(crate) fn fifo(place: &Place, name: &str) -> PathBuf {
    let path = place.path().join(name);
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    path
}

/// Opens a FIFO for writing, which waits for its reader, and lets that one go on.
pub(crate) fn release(fifo: &Path) {
    fs::File::options().write(true).open(fifo).unwrap().write_all(b"go\n").unwrap();
}

/// Asks for a command that writes a line to `mark`, and waits until there are so many.
pub(crate) fn begun(daemon: &Daemon, target: &str, lines: usize) -> Client {
    let mut client = Client::connect(&daemon.socket());
    client.ask("POST", target);
    wait_for_marks(daemon, lines);
    client
}

/// Waits until so many lines stand in `mark`.
pub(crate) fn wait_for_marks(daemon: &Daemon, lines: usize) {
    while fs::read_to_string(daemon.path("mark")).unwrap_or_default().lines().count() < lines {
        std::thread::yield_now();
    }
}

/// A command's answer to a JSON body.
pub(crate) fn run_with(daemon: &Daemon, target: &str, body: &str) -> Message {
    let length = body.len();
    let head = format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n");
    let mut client = Client::connect(&daemon.socket());
    client.send(format!("{head}Content-Length: {length}\r\n\r\n{body}")).answer_to("POST")
}

/// A command's answer.
pub(crate) fn run(daemon: &Daemon, target: &str) -> Message {
    client::ask(&daemon.socket(), "POST", target)
}

/// The `exit` of the only command that has run, or of the one that wanted `why`.
pub(crate) fn exit(daemon: &Daemon, why: &str) -> Value {
    daemon.wait_for(why, |record| record["t"] == "exit" && record["why"] == why)
}
