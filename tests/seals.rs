//! The record under its seals: what is there is sealed, whoever dies; what somebody touches is found while the daemon
//! runs, and refuses a start.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use peergate::sys::append_only;
use serde_json::Value;
use support::client::{self, Client};
use support::daemon::{self, Daemon, Place, write_policy};
use support::upstream::Upstream;
use support::{records, seals};

const POLICY: &str = include_str!("policies/up.toml");

fn start(place: Place) -> Daemon {
    Daemon::start_in(place, POLICY)
}

fn started() -> (Daemon, Upstream) {
    let place = daemon::place();
    let upstream = Upstream::start(&place.path().join("up.sock"));
    (start(place), upstream)
}

/// The latest process of this role.
fn process(daemon: &Daemon, role: &str) -> Pid {
    let started =
        |record: &Value| record["t"] == "gate" && record["role"] == role && record["event"] == "started";
    let last = daemon.records().into_iter().rfind(started).unwrap();
    Pid::from_raw(i32::try_from(last["pid"].as_i64().unwrap()).unwrap())
}

/// The latest segment of this writer.
fn segment(audit: &Path, writer: &str) -> PathBuf {
    audit.join(seals::segments(audit).iter().rfind(|name| name.contains(writer)).unwrap())
}

/// What somebody with all rights can do, and no gate.
fn touch(path: &Path, harm: impl FnOnce(&File)) {
    append_only::set(File::open(path).unwrap().as_fd(), false).unwrap();
    harm(&OpenOptions::new().write(true).open(path).unwrap());
}

/// Stops it, and checks its record.
fn stopped(daemon: Daemon) -> Vec<Value> {
    let (place, _all) = daemon.stop_keeping();
    verified(&place.path().join("audit"))
}

/// By us, and by the operator's tool.
fn verified(audit: &Path) -> Vec<Value> {
    let sealed = seals::check(audit);
    let key = audit.join("genesis.pub");
    let (code, text) =
        peergate(&["audit", "verify", audit.to_str().unwrap(), "--key", key.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{text}");
    sealed
}

fn ends(daemon: Daemon, upstream: Upstream) -> Place {
    let roles: Vec<_> = daemon.children().into_iter().map(daemon::watch_end).collect();
    let place = daemon.kill();
    roles.iter().for_each(|role| assert!(role.wait()));
    drop(upstream);
    std::fs::remove_file(place.path().join("up.sock")).ok();
    place
}

#[test]
fn everything_is_sealed_and_closed_at_the_end() {
    need_root!();
    let (daemon, _upstream) = started();
    assert_eq!(client::ask(&daemon.socket(), "GET", "/allowed/a").status(), 200);
    let sealed = stopped(daemon);
    assert_eq!(sealed.last().unwrap()["t"], "seal");
    assert_eq!(sealed.iter().filter(|record| record["t"] == "epoch").count(), 1);
}

#[test]
fn record_is_sealed_while_the_daemon_runs_and_so_is_a_reload() {
    need_root!();
    let (mut daemon, _upstream) = started();
    assert_eq!(client::ask(&daemon.socket(), "GET", "/allowed/a").status(), 200);
    assert!(daemon.reload(&format!("{POLICY}\n# another\n")));
    let audit = daemon.path("audit");
    for writer in ["-gate-", "-warden-"] {
        let path = segment(&audit, writer);
        let name = path.file_name().unwrap().to_str().unwrap();
        let length = std::fs::metadata(&path).unwrap().len();
        daemon.wait_for("its range", |record| {
            record["t"] == "range" && record["segment"] == name && record["to"].as_u64() >= Some(length)
        });
    }
    seals::check_open(&audit);
    stopped(daemon);
}

#[test]
fn daemon_killed_again_and_again_loses_no_record_and_every_decision_is_answered_for() {
    need_root!();
    let (mut place, mut served) = (daemon::place(), 0);
    for round in 0..6_u64 {
        let upstream = Upstream::start(&place.path().join("up.sock"));
        let daemon = start(place);
        let socket = daemon.socket();
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let socket = socket.clone();
                std::thread::spawn(move || {
                    let mut client = Client::connect(&socket);
                    let mut served = 0;
                    while client
                        .ask("GET", "/allowed/a")
                        .answer_or_end()
                        .is_some_and(|answer| answer.status() == 200)
                    {
                        served += 1;
                    }
                    served
                })
            })
            .collect();
        // At another moment each time: so many records are there.
        let many = usize::try_from(20 + 150 * round).unwrap();
        records::wait(&daemon.path("audit"), |all| (all.len() > many).then_some(()));
        place = ends(daemon, upstream);
        served += callers.into_iter().map(|caller| caller.join().unwrap()).sum::<u64>();
    }
    assert!(served > 0);
    let _upstream = Upstream::start(&place.path().join("up.sock"));
    let daemon = start(place);
    assert_eq!(client::ask(&daemon.socket(), "GET", "/allowed/b").status(), 200);
    let sealed = stopped(daemon);
    assert_eq!(sealed.iter().filter(|record| record["t"] == "epoch").count(), 7);
    assert!(sealed.iter().any(|record| record["t"] == "recover" && record["why"] == "restart"));
}

#[test]
fn scribe_killed_again_and_again_leaves_one_chain() {
    need_root!();
    let (daemon, _upstream) = started();
    let mut client = Client::connect(&daemon.socket());
    for _ in 0..3 {
        assert_eq!(client.ask("GET", "/allowed/a").answer().status(), 200);
        let scribe = process(&daemon, "scribe");
        kill(scribe, Signal::SIGKILL).unwrap();
        let another = daemon.wait_for("another scribe", |record| {
            let started = record["role"] == "scribe" && record["event"] == "started";
            started && record["pid"].as_i64() > Some(scribe.as_raw().into())
        });
        let settled = |all: &[Value]| {
            let own = |record: &&Value| record["t"] == "open" && record["pid"] == another["pid"];
            let begun = all.iter().position(|record| own(&record))?;
            all[begun..].iter().any(|record| record["settled"].is_u64()).then_some(())
        };
        records::wait(&daemon.path("audit"), settled);
    }
    drop(client);
    let sealed = stopped(daemon);
    assert_eq!(sealed.iter().filter(|record| record["t"] == "epoch").count(), 4);
    assert!(sealed.iter().any(|record| record["why"] == "scribe-restart"));
}

/// A request that is under way.
fn under_way(place: Place) -> (Daemon, Client, Upstream) {
    let (arrived, arrival) = std::sync::mpsc::channel();
    let arrived = std::sync::Mutex::new(arrived);
    let upstream = Upstream::behaving(&place.path().join("up.sock"), move |_, _, reader| {
        arrived.lock().unwrap().send(()).ok();
        std::io::Read::read(reader, &mut [0]).is_ok_and(|read| read > 0)
    });
    let daemon = start(place);
    let mut client = Client::connect(&daemon.socket());
    client.ask("GET", "/allowed/late");
    arrival.recv().unwrap();
    (daemon, client, upstream)
}

#[test]
fn request_of_a_gate_that_died_is_closed_by_the_scribe() {
    need_root!();
    let (daemon, client, _upstream) = under_way(daemon::place());
    kill(process(&daemon, "gate"), Signal::SIGKILL).unwrap();
    let outcome = daemon.wait_for("its outcome", |record| record["t"] == "outcome");
    assert_eq!(outcome["result"], "gate-died");
    drop(client);
    stopped(daemon);
}

#[test]
fn request_that_a_restart_interrupted_is_closed_by_the_next_start() {
    need_root!();
    let (daemon, client, upstream) = under_way(daemon::place());
    let id = daemon.records_of("decision").pop().unwrap()["id"].clone();
    let place = ends(daemon, upstream);
    drop(client);
    let daemon = start(place);
    let outcome = daemon.wait_for("its outcome", |record| record["t"] == "outcome");
    assert_eq!((&outcome["result"], &outcome["id"]), (&"killed-by-restart".into(), &id));
    let audit = daemon.path("audit");
    for name in seals::segments(&audit) {
        let old = !name.contains(outcome["id"].as_str().unwrap().split('-').next().unwrap());
        let file = File::open(audit.join(&name)).unwrap();
        assert!(old || !append_only::is_set(file.as_fd()).unwrap(), "{name} is given back");
    }
    stopped(daemon);
}

#[test]
fn segment_touched_behind_a_gate_ends_that_gate_and_the_daemon_goes_on() {
    need_root!();
    type Harm = fn(&File);
    let cut: Harm = |file| file.set_len(20).unwrap();
    let forged: Harm = |file| {
        let end = file.metadata().unwrap().len();
        let line = b"{\"v\":1,\"t\":\"conn\",\"n\":3,\"ts\":\"2026-11-23T03:46:29.120001Z\",\"uid\":0}\n";
        file.write_all_at(line, end).unwrap();
    };
    for (harm, why) in [(cut, "shrank"), (forged, "foreign-line")] {
        let (daemon, _upstream) = started();
        let audit = daemon.path("audit");
        let mut client = Client::connect(&daemon.socket());
        assert_eq!(client.ask("GET", "/allowed/a").answer().status(), 200);
        // The lane that served it.
        let path = audit.join(
            seals::segments(&audit)
                .into_iter()
                .find(|name| {
                    let text = std::fs::read_to_string(audit.join(name)).unwrap();
                    name.contains("-gate-") && text.contains("\"t\":\"decision\"")
                })
                .unwrap(),
        );
        let (name, length) = (path.file_name().unwrap().to_str().unwrap(), path.metadata().unwrap().len());
        daemon.wait_for("its range", |record| {
            record["t"] == "range" && record["segment"] == name && record["to"].as_u64() >= Some(length)
        });
        touch(&path, harm);
        let intrusion = daemon.wait_for("the intrusion", |record| record["t"] == "intrusion");
        assert_eq!((&intrusion["segment"], &intrusion["why"]), (&name.into(), &why.into()));
        daemon.wait_for("why the gate ends", |record| record["event"] == "intruded");
        daemon.wait_for("its end", |record| record["event"] == "killed" && record["role"] == "gate");
        assert!(client.answer_or_end().is_none());
        assert_eq!(client::ask(&daemon.socket(), "GET", "/allowed/b").status(), 200);
        daemon.wait_for("its close", |record| record["t"] == "close" && record["segment"] == name);
        let place = daemon.kill_all();
        // A word of its own for it, which is no verdict that all is well.
        let damage = damages(&place.path().join("audit"));
        let expected = if why == "shrank" { (18, "cut") } else { (31, "intrusion") };
        assert_eq!((damage.0, damage.1[0]["damage"].as_str().unwrap()), expected, "{damage:?}");
        assert!(damage.1.iter().all(|damage| damage["file"] == name), "{damage:?}");
        assert!(damage.1.iter().any(|damage| damage["damage"] == "intrusion"), "{damage:?}");
    }
}

/// What `peergate audit verify` finds by the key in the directory: its exit code, and all damages.
fn damages(audit: &Path) -> (i32, Vec<Value>) {
    let key = audit.join("genesis.pub");
    damages_by(audit, key.to_str().unwrap())
}

fn damages_by(audit: &Path, key: &str) -> (i32, Vec<Value>) {
    let arguments = ["audit", "verify", audit.to_str().unwrap(), "--key", key, "--format", "json"];
    let (code, text) = peergate(&arguments);
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    (code.unwrap(), lines.filter(|line| line["damage"].is_string()).collect())
}

#[test]
fn what_a_killed_scribe_left_behind_its_last_seal_can_be_changed_by_nobody_once_it_was_found() {
    need_root!();
    let (daemon, upstream) = started();
    assert_eq!(client::ask(&daemon.socket(), "GET", "/allowed/a").status(), 200);
    let audit = daemon.path("audit");
    daemon.wait_for("a range", |record| record["t"] == "range");
    let path = segment(&audit, "-scribe-");
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let place = ends(daemon, upstream);
    // What it had written and not sealed: the power went before the next seal.
    let n = std::fs::read_to_string(&path).unwrap().lines().count();
    let left = format!(
        "{{\"v\":1,\"t\":\"recover\",\"n\":{n},\"ts\":\"2026-11-23T03:46:29.123456Z\",\"settled\":7}}\n"
    );
    OpenOptions::new().append(true).open(&path).unwrap().write_all(left.as_bytes()).unwrap();
    spawned(&place, &[]).unwrap_or_else(|refused| panic!("{}", refused.said)).stop_in_place();
    verified(&audit);
    let end = path.metadata().unwrap().len();
    let at = end - 3;
    touch(&path, |file| file.write_all_at(b"8", at).unwrap());
    let (code, all) = damages(&audit);
    assert_eq!((code, all.len(), &all[0]["file"]), (19, 1, &name.as_str().into()), "{all:?}");
    let [from, to] = ["from", "to"].map(|key| all[0][key].as_u64().unwrap_or_default());
    assert!((from..to).contains(&at), "{all:?}");
}

#[test]
fn missing_segment_that_was_accepted_is_told_once_and_refuses_no_later_start() {
    need_root!();
    let (daemon, upstream) = started();
    assert_eq!(client::ask(&daemon.socket(), "GET", "/allowed/a").status(), 200);
    let audit = daemon.path("audit");
    let path = segment(&audit, "-warden-");
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    daemon.wait_for("a range", |record| record["t"] == "range" && record["segment"] == name.as_str());
    let place = ends(daemon, upstream);
    touch(&path, |_| {});
    std::fs::remove_file(&path).unwrap();
    let refused = spawned(&place, &[]).err().expect("it must not start");
    assert!(refused.said.contains(&name) && refused.said.contains("is gone"), "{}", refused.said);
    for arguments in [&["--accept-damage"][..], &[], &[]] {
        let mut daemon = spawned(&place, arguments).unwrap_or_else(|refused| panic!("{}", refused.said));
        daemon.wait_for("that all is settled", |record| record["settled"].is_u64());
        daemon.signal(Signal::SIGTERM);
        assert!(daemon.wait().success());
        let (code, all) = damages(&audit);
        assert_eq!((code, all.len()), (17, 1), "{all:?}");
        assert_eq!((&all[0]["damage"], &all[0]["file"]), (&"missing-segment".into(), &name.as_str().into()));
        assert!(all[0]["what"].as_str().unwrap().contains("the scribe found that"), "{all:?}");
    }
}

fn spawned(place: &Place, arguments: &[&str]) -> Result<Daemon, daemon::Refused> {
    let policy = write_policy(place.path(), POLICY);
    Daemon::spawn_keeping(place, &policy, |command| {
        command.args(arguments);
    })
}

#[test]
fn start_on_a_damaged_record_is_refused_with_file_and_byte_unless_it_is_accepted() {
    need_root!();
    let (daemon, upstream) = started();
    assert_eq!(client::ask(&daemon.socket(), "GET", "/allowed/a").status(), 200);
    let audit = daemon.path("audit");
    let path = segment(&audit, "-warden-");
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    daemon.wait_for("a range", |record| record["t"] == "range" && record["segment"] == name.as_str());
    let place = ends(daemon, upstream);
    touch(&path, |file| file.write_all_at(b"~", 30).unwrap());
    let refused = spawned(&place, &[]).err().expect("it must not start");
    assert_eq!(refused.status.code(), Some(1));
    for word in [&name, "at byte 0", "not those that were sealed", "--accept-damage", "peergate audit verify"]
    {
        assert!(refused.said.contains(word), "{word} in:\n{}", refused.said);
    }
    let daemon = spawned(&place, &["--accept-damage"]).unwrap_or_else(|refused| panic!("{}", refused.said));
    let intrusion = daemon.wait_for("what was accepted", |record| record["t"] == "intrusion");
    assert_eq!(intrusion["segment"], name.as_str());
    daemon.wait_for("that all is settled", |record| record["settled"].is_u64());
    daemon.stop_in_place();
    spawned(&place, &[]).unwrap_or_else(|refused| panic!("{}", refused.said)).stop_in_place();
}

#[test]
fn torn_line_is_kept_and_told() {
    need_root!();
    let (daemon, upstream) = started();
    assert_eq!(client::ask(&daemon.socket(), "GET", "/allowed/a").status(), 200);
    let audit = daemon.path("audit");
    let path = segment(&audit, "-warden-");
    let place = ends(daemon, upstream);
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"v\":1,\"t\":\"co").unwrap();
    let daemon = spawned(&place, &[]).unwrap_or_else(|refused| panic!("{}", refused.said));
    let recover = daemon.wait_for("what was found", |record| record["torn"] == true);
    assert_eq!(recover["segment"], path.file_name().unwrap().to_str().unwrap());
    daemon.wait_for("that all is settled", |record| record["settled"].is_u64());
    // Its books have a line that is none.
    let mut daemon = daemon;
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.wait().success());
    verified(&audit);
}

fn peergate(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_peergate")).args(arguments).output().unwrap();
    (output.status.code(), support::said(&output))
}

#[test]
fn init_makes_the_key_before_the_first_start_and_shows_it_again() {
    need_root!();
    let place = daemon::place();
    let audit = place.path().join("audit");
    let dir = audit.to_str().unwrap();
    let (code, text) = peergate(&["audit", "init", "--dir", dir]);
    assert_eq!(code, Some(0), "{text}");
    let key = text.lines().next().unwrap().to_owned();
    assert!(key.len() == 64 && text.contains('\u{2588}'), "the key, and a picture of it:\n{text}");
    let (code, json) = peergate(&["audit", "init", "--dir", dir, "--format", "json"]);
    let json: Value = serde_json::from_str(json.trim()).unwrap();
    assert_eq!((code, &json["genesis"], &json["new"]), (Some(0), &key.as_str().into(), &false.into()));
    let _upstream = Upstream::start(&place.path().join("up.sock"));
    let daemon = start(place);
    let (_, status) = peergate(&["status", "--control", daemon.path("run/control.sock").to_str().unwrap()]);
    assert!(status.contains(&format!("genesis   {key}\n")), "{status}");
    assert!(!daemon.said().contains("made the first key"), "{}", daemon.said());
    assert_eq!(daemon.records_of("epoch")[0]["key"], key.as_str());
    stopped(daemon);
}

#[test]
fn store_that_is_lost_refuses_a_start_until_another_chain_is_begun() {
    need_root!();
    let (daemon, _upstream) = started();
    assert!(daemon.said().contains("made the first key"), "{}", daemon.said());
    let (place, _all) = daemon.stop_keeping();
    let audit = place.path().join("audit");
    let dir = audit.to_str().unwrap();
    let before = seals::check(&audit);
    std::fs::remove_file(audit.join("seal.key")).unwrap();
    let refused = spawned(&place, &[]).err().expect("it must not start");
    assert!(refused.said.contains("peergate audit init --again"), "{}", refused.said);
    assert_eq!(peergate(&["audit", "init", "--dir", dir]).0, Some(1), "not by mistake");
    let (code, text) = peergate(&["audit", "init", "--dir", dir, "--again"]);
    assert_eq!(code, Some(0), "{text}");
    let daemon = spawned(&place, &[]).unwrap_or_else(|refused| panic!("{}", refused.said));
    daemon.stop_in_place();
    let all = seals::check(&audit);
    let last = all.iter().rfind(|record| record["t"] == "epoch").unwrap();
    assert_eq!(last["key"], text.lines().next().unwrap());
    assert_eq!(last["epoch"], 1);
    assert!(last["again"].is_string() && last["again"] == last["prev"]);
    assert!(all.len() > before.len());
    // By the old key alone the new chain is told, and nothing else is made of it.
    let first = all.iter().find(|record| record["t"] == "epoch").unwrap();
    let (code, found) = damages_by(&audit, first["key"].as_str().unwrap());
    assert_eq!((code, &found[0]["damage"]), (9, &"new-genesis".into()), "{found:?}");
    let told = found[0]["what"].as_str().unwrap();
    assert!(
        told.contains(last["again"].as_str().unwrap()) && told.contains(last["key"].as_str().unwrap()),
        "{told}"
    );
    assert_eq!(found.iter().filter(|damage| damage["damage"] == "new-genesis").count(), 1, "{found:?}");
}

#[test]
fn stop_in_the_midst_of_a_reload_notes_nothing_behind_the_close() {
    need_root!();
    let (daemon, _upstream) = started();
    assert_eq!(client::ask(&daemon.socket(), "GET", "/allowed/a").status(), 200);
    daemon.signal(Signal::SIGHUP);
    let (place, _all) = daemon.stop_keeping();
    let audit = place.path().join("audit");
    verified(&audit);
    for name in seals::segments(&audit) {
        assert!(!append_only::is_set(File::open(audit.join(&name)).unwrap().as_fd()).unwrap(), "{name}");
    }
}

#[test]
fn stop_while_no_scribe_is_there_has_another_close_the_record() {
    need_root!();
    let (daemon, _upstream) = started();
    assert_eq!(client::ask(&daemon.socket(), "GET", "/allowed/a").status(), 200);
    // One that has died before is not started again at once.
    for _ in 0..2 {
        let scribe = process(&daemon, "scribe");
        let end = daemon::watch_end(scribe);
        kill(scribe, Signal::SIGKILL).unwrap();
        assert!(end.wait());
        daemon.wait_for("its end", |record| {
            record["event"] == "killed" && record["pid"] == scribe.as_raw() && record["role"] == "scribe"
        });
        if daemon.records_of("gate").iter().filter(|record| record["event"] == "killed").count() == 2 {
            break;
        }
        daemon.wait_for("another", |record| {
            record["role"] == "scribe" && record["event"] == "started" && record["pid"] != scribe.as_raw()
        });
    }
    stopped(daemon);
}

#[test]
fn rekey_begins_another_epoch() {
    need_root!();
    let (daemon, _upstream) = started();
    let control = daemon.path("run/control.sock");
    let (code, text) = peergate(&["audit", "rekey", "--control", control.to_str().unwrap()]);
    assert_eq!((code, text.trim()), (Some(0), "epoch 1 has begun; the key before it is erased"));
    assert_eq!(client::ask(&daemon.socket(), "GET", "/allowed/a").status(), 200);
    let sealed = stopped(daemon);
    assert_eq!(sealed.iter().filter(|record| record["t"] == "epoch").count(), 2);
}
