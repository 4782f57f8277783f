//! A record of the real daemon to review: sealed, over a restart, with requests that were allowed and denied, and a
//! segment that is compressed; and `peergate audit` over it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::client::{self, Client};
use super::daemon::{self, Daemon, Place};
use super::people::person;
use super::records;
use super::upstream::Upstream;

/// Root may list and look below `/allowed`, the operators may exec, nobody touches secrets.
const RULES: &str = r#"
[listen.api]
path = "@DIR@/run/api.sock"
mode = "0666"

[backend.up]
proxy = "unix:@DIR@/up.sock"

[who.root]
uid = [0]

[who.operators]
group = ["pg-docker-ops"]

[[route]]
id = "allowed"
match = ["GET /allowed/{rest...}"]
to = "up"
allow = ["root"]

[[route]]
id = "list"
match = ["GET /containers/json"]
query = ["all"]
to = "up"
allow = ["root", "operators"]

[[route]]
id = "exec"
match = ["POST /containers/{id}/exec"]
to = "up"
allow = ["operators"]

[[forbid]]
id = "no-secrets"
match = ["* /allowed/secrets/{rest...}"]
"#;

/// A directory, its daemon's policy, and what answers behind it.
pub struct Stage {
    /// Its file.
    pub policy: PathBuf,
    _upstream: Upstream,
}

impl Stage {
    /// With these further settings of `[audit]`.
    pub fn new(place: &Place, settings: &str) -> Stage {
        let stage = Stage {
            policy: place.path().join("policy.toml"),
            _upstream: Upstream::start(&place.path().join("up.sock")),
        };
        stage.set(place.path(), settings);
        stage
    }

    /// The policy, for the next start.
    pub fn set(&self, dir: &Path, settings: &str) {
        let text = format!(
            "version = 1\n[audit]\ndirectory = \"@DIR@/audit\"\nsegment = \"64KiB\"\n{settings}\n\
             [daemon]\ncontrol = \"@DIR@/run/c\"\nlanes = 1\n{RULES}"
        );
        fs::write(&self.policy, text.replace("@DIR@", dir.to_str().unwrap())).unwrap();
    }

    pub fn start(&self, place: Place) -> Daemon {
        Daemon::spawn(place, &self.policy, |_| {}).unwrap_or_else(|refused| panic!("{}", refused.said))
    }
}

/// Asks as root.
pub fn ask(daemon: &Daemon, method: &str, target: &str, status: u16) {
    assert_eq!(client::ask(&daemon.socket(), method, target).status(), status, "{method} {target}");
}

/// Goes on asking until something is so.
pub fn ask_until(daemon: &Daemon, so: impl Fn() -> bool) {
    let mut client = Client::connect(&daemon.socket());
    let mut asked = 0;
    while !so() {
        // Small segments are filled faster than a busy disk has the next one.
        let status = client.ask("GET", "/allowed/filler").answer().status();
        assert!([200, 503].contains(&status), "{status}");
        asked += 1;
        assert!(asked < 200_000, "it never is");
    }
}

/// Two starts of the daemon; what is worth finding stands in a segment that is compressed, and behind the restart.
pub fn recorded() -> (Place, Stage) {
    let place = daemon::place();
    let stage = Stage::new(&place, "");
    let daemon = stage.start(place);
    ask(&daemon, "GET", "/allowed/early", 200);
    ask(&daemon, "POST", "/containers/web/exec", 403);
    ask(&daemon, "GET", "/containers/json?since=1", 403);
    ask(&daemon, "GET", "/allowed/secrets/key", 403);
    let audit = daemon.path("audit");
    ask_until(&daemon, || packed(&audit).iter().any(|name| name.contains("gate")));
    let (place, _) = daemon.stop_keeping();
    let daemon = stage.start(place);
    ask(&daemon, "GET", "/allowed/late", 200);
    ask(&daemon, "GET", "/nowhere", 403);
    let olga = person("pg-olga").curl(&daemon.socket(), "/containers/json", &[]);
    assert_eq!(olga.0, 200, "{}", olga.1);
    (daemon.stop_keeping().0, stage)
}

pub fn packed(audit: &Path) -> Vec<String> {
    let names = fs::read_dir(audit).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".zst")).collect()
}

/// `peergate audit …` over a directory: what it printed, and its exit code. It has nothing to complain of.
pub fn review(audit: &Path, arguments: &[&str]) -> (String, i32) {
    let output = command(audit, arguments).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    (super::out(&output), output.status.code().unwrap())
}

pub fn command(audit: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peergate"));
    command
        .arg("audit")
        .args(arguments)
        .arg("--dir")
        .arg(audit)
        .env("XDG_STATE_HOME", audit.parent().unwrap());
    command
}

pub fn json(audit: &Path, arguments: &[&str]) -> Vec<Value> {
    let (out, code) = review(audit, &[arguments, &["--format", "json"]].concat());
    assert!(code <= 1, "{arguments:?}: {code}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The id of the one decision on this target.
pub fn id_of(audit: &Path, target: &str) -> String {
    let all = records::read(audit);
    let found: Vec<_> = all.iter().filter(|r| r["t"] == "decision" && r["target"] == target).collect();
    assert_eq!(found.len(), 1, "{target}");
    found[0]["id"].as_str().unwrap().to_owned()
}

/// Each scribe's segment as lines with their offsets, the earliest first.
pub fn scribes(audit: &Path) -> Vec<(String, Vec<(u64, Value)>)> {
    let mut all = Vec::new();
    for path in records::segments(audit) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.contains("-scribe-") {
            continue;
        }
        let bytes = records::bytes_of(&path).unwrap();
        let mut at = 0;
        let mut lines = Vec::new();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            lines.push((at, serde_json::from_slice(line).unwrap()));
            at += line.len() as u64;
        }
        all.push((name, lines));
    }
    all
}

/// A copy that can be written to: the daemon's own is append-only.
pub fn copied(from: &Path, to: &Path) -> PathBuf {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    to.to_owned()
}
