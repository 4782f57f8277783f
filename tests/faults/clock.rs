//! What a gate's lines say of their time, and a wall clock that is set while the daemon runs and while it does not.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use peergate::model::time::Timestamp;
use serde_json::Value;

use super::POLICY;
use crate::support::client::{self, Client};
use crate::support::daemon::{self, Daemon, Place};
use crate::support::upstream::Upstream;
use crate::support::{self, records};

/// Seconds.
const HOUR: i64 = 3_600;

/// Appends what a gate that was taken over could: its own last decision once more, as the next line, of an instant so
/// many minutes from now. The segment, and where the line begins in it.
fn forge(daemon: &Daemon, minutes: i64) -> (String, u64) {
    assert_eq!(client::ask(&daemon.socket(), "GET", "/other").status(), 403);
    let decided = |record: &Value| record["t"] == "decision" && record["target"] == "/other";
    let decision = daemon.wait_for("the decision", decided);
    let path = written_in(&daemon.path("audit"), &decision);
    let mut text = String::new();
    let mut segment = OpenOptions::new().read(true).append(true).open(&path).unwrap();
    segment.read_to_string(&mut text).unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let (n, ts) = (format!("\"n\":{}", last["n"]), last["ts"].as_str().unwrap().to_owned());
    let at = Timestamp::from_micros(Timestamp::now().micros().saturating_add_signed(minutes * 60_000_000));
    let next = format!("\"n\":{}", last["n"].as_u64().unwrap() + 1);
    let line = text.lines().last().unwrap().replacen(&n, &next, 1).replacen(&ts, &at.to_string(), 1);
    // What was written before the scribe's first look is not judged so.
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    daemon.wait_for("what is there sealed", |record| {
        record["t"] == "range" && record["segment"] == *name && record["to"] == text.len()
    });
    segment.write_all(format!("{line}\n").as_bytes()).unwrap();
    (name, text.len() as u64)
}

/// The segment that holds a record.
fn written_in(audit: &Path, record: &Value) -> PathBuf {
    let id = format!("\"id\":{}", record["id"]);
    let holds = |path: &PathBuf| {
        path.to_str().unwrap().contains("-gate-") && std::fs::read_to_string(path).unwrap().contains(&id)
    };
    records::segments(audit).into_iter().find(holds).unwrap()
}

fn event(kind: &'static str) -> impl Fn(&Value) -> bool {
    move |record| record["t"] == "gate" && record["event"] == kind
}

/// The exit code of `peergate audit verify`, and what it says.
fn verify(audit: &Path) -> (Option<i32>, String) {
    let mut verify = Command::new(support::program("peergate"));
    verify.args(["audit", "verify", "--key"]).arg(audit.join("genesis.pub")).arg(audit);
    let output = verify.output().unwrap();
    (output.status.code(), support::said(&output))
}

#[test]
fn gate_that_dates_a_line_back_is_told_and_lives_on() {
    crate::need_root!();
    let daemon = Daemon::start(POLICY);
    let (segment, at) = forge(&daemon, -10);
    let told = daemon.wait_for("the doubt", event("backdated"));
    assert_eq!((&told["role"], &told["uid"]), (&"gate".into(), &0.into()));
    daemon.wait_for("the line sealed", |record| {
        record["t"] == "range" && record["segment"] == *segment && record["from"] == at
    });
    let gate = nix::unistd::Pid::from_raw(i32::try_from(told["pid"].as_i64().unwrap()).unwrap());
    assert!(daemon.children().contains(&gate), "it was ended");
    let (place, all) = daemon.stop_keeping();
    assert!(!all.iter().any(|record| record["t"] == "intrusion" || record["event"] == "intruded"));
    let (code, said) = verify(&place.path().join("audit"));
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn gate_that_writes_of_an_instant_to_come_is_ended() {
    crate::need_root!();
    let daemon = Daemon::start(POLICY);
    let (segment, at) = forge(&daemon, 10);
    let intrusion = daemon.wait_for("the intrusion", |record| record["t"] == "intrusion");
    assert_eq!((&intrusion["segment"], &intrusion["at"]), (&(*segment).into(), &at.into()));
    assert_eq!(intrusion["why"], "foreign-line");
    let ended = daemon.wait_for("the gate's end", event("intruded"));
    let killed = daemon.wait_for("its death", event("killed"));
    assert_eq!((&ended["uid"], &ended["pid"]), (&0.into(), &killed["pid"]));
    // Another serves on.
    assert_eq!(client::ask(&daemon.socket(), "GET", "/another").status(), 403);
    let (place, _) = daemon.stop_keeping();
    let (code, said) = verify(&place.path().join("audit"));
    assert_eq!(code, Some(31), "{said}");
    assert!(said.contains(&*segment), "{said}");
}

/// A wall clock of a daemon's own, which can be set.
struct WallClock {
    ahead: File,
    etc: PathBuf,
}

impl WallClock {
    /// Every process that sees this `/etc` has it.
    fn new(place: &Place) -> WallClock {
        support::people::everybody();
        let [file, library, etc] = ["ahead", "set_clock.so", "etc"].map(|name| place.path().join(name));
        std::fs::write(&file, 0_i64.to_ne_bytes()).unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/set_clock.c");
        let ahead = format!("-DAHEAD=\"{}\"", file.display());
        support::run(
            Command::new("cc").args(["-shared", "-fPIC", "-O1", &ahead, source, "-o"]).arg(&library),
        );
        support::run(Command::new("cp").args(["-a", "/etc"]).arg(&etc));
        std::fs::write(etc.join("ld.so.preload"), library.to_str().unwrap()).unwrap();
        WallClock { ahead: OpenOptions::new().write(true).open(file).unwrap(), etc }
    }

    fn set(&self, seconds_ahead: i64) {
        self.ahead.write_all_at(&seconds_ahead.to_ne_bytes(), 0).unwrap();
    }

    fn start(&self, place: Place) -> Daemon {
        let policy = daemon::write_policy(place.path(), POLICY);
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-ec"]);
        command
            .arg("mount --bind \"$0\" /etc; exec \"$@\"")
            .arg(&self.etc)
            .arg(support::program("peergated"));
        let daemon = Daemon::spawn_by(command, &place, &policy, |_| {});
        daemon.unwrap_or_else(|refused| panic!("{}", refused.said)).keeping(place)
    }
}

/// Asks, and waits for the seal over its outcome; how far ahead of now the decision says that it was, in seconds.
fn ask(daemon: &Daemon, client: &mut Client, target: &str) -> i64 {
    assert_eq!(client.ask("GET", target).answer().status(), 200, "{target}");
    let decision = daemon.wait_for(target, |record| record["t"] == "decision" && record["target"] == target);
    let path = written_in(&daemon.path("audit"), &decision);
    daemon.wait_for("its outcome", |record| record["t"] == "outcome" && record["id"] == decision["id"]);
    let length = std::fs::metadata(&path).unwrap().len();
    let name = path.file_name().unwrap().to_str().unwrap();
    daemon.wait_for("its range", |record| {
        record["t"] == "range" && record["segment"] == name && record["to"].as_u64() >= Some(length)
    });
    let at: Timestamp = decision["ts"].as_str().unwrap().parse().unwrap();
    (i128::from(at.micros()) - i128::from(Timestamp::now().micros())) as i64 / 1_000_000
}

#[test]
fn clock_that_is_set_accuses_nobody_and_the_record_holds() {
    crate::need_root!();
    crate::need_programs!("cc", "unshare");
    let place = daemon::place();
    let clock = WallClock::new(&place);
    let _upstream = Upstream::start(&place.path().join("up.sock"));
    let daemon = clock.start(place);
    let mut client = Client::connect(&daemon.socket());
    for (place, hours) in [2, -3, 0].into_iter().enumerate() {
        clock.set(hours * HOUR);
        // Some seconds may have gone by since.
        let ahead = ask(&daemon, &mut client, &format!("/allowed/{place}"));
        assert!((ahead - hours * HOUR).abs() < 120, "set to {hours} h, and a line says {ahead} s");
        // Of a connection that begins now the warden writes too.
        client::ask(&daemon.socket(), "GET", "/allowed/once");
    }
    clock.set(5 * HOUR);
    ask(&daemon, &mut client, "/allowed/late");
    drop(client);
    let (place, all) = daemon.stop_keeping();
    let audit = place.path().join("audit");
    accused_nobody(&audit, &all);
    // It begins again at a time long before the end of the record.
    clock.set(-5 * HOUR);
    let daemon = clock.start(place);
    ask(&daemon, &mut Client::connect(&daemon.socket()), "/allowed/early");
    let (place, all) = daemon.stop_keeping();
    accused_nobody(&place.path().join("audit"), &all);
}

fn accused_nobody(audit: &Path, all: &[Value]) {
    let accuses = |record: &&Value| {
        record["t"] == "intrusion" || record["event"] == "intruded" || record["event"] == "backdated"
    };
    let accused: Vec<_> = all.iter().filter(accuses).collect();
    assert!(accused.is_empty(), "{accused:?}");
    let (code, said) = verify(audit);
    assert_eq!(code, Some(0), "{said}");
    let mut search = Command::new(support::program("peergate"));
    let output = search
        .args(["audit", "search", "--decision", "allow", "--format", "json", "--dir"])
        .arg(audit)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", support::said(&output));
    let text = support::out(&output);
    assert_eq!(text.lines().count(), all.iter().filter(|record| record["t"] == "decision").count());
    for access in text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        // On a connection that was there before the clock was set back, a reader can't tell that from a lie.
        let (kept, doubts) = (access["target"].as_str().unwrap(), &access["doubts"]);
        let differs = doubts.is_null() || *doubts == serde_json::json!(["time-differs"]);
        assert!(doubts.is_null() || ["/allowed/1", "/allowed/2"].contains(&kept) && differs, "{access}");
    }
}
