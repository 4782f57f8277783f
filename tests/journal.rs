//! `on_failure = "journal"`: while nothing can be recorded a break-glass route is served on a record in the journal, and
//! on none without it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::client::{self, Client};
use support::daemon::{self, Daemon};
use support::upstream::Upstream;

const POLICY: &str = r#"
[listen.api]
path = "@DIR@/run/api.sock"
mode = "0666"
[backend.up]
proxy = "unix:@DIR@/up.sock"
[who.root]
uid = [0]
[[route]]
id = "glass"
match = ["GET /glass/{name}"]
to = "up"
allow = ["root"]
audit = { on_failure = "journal" }
[[route]]
id = "plain"
match = ["GET /plain/{name}"]
to = "up"
allow = ["root"]
"#;

/// A daemon whose `/run/systemd/journal` is a directory of ours.
fn started() -> (Daemon, Upstream, daemon::Place) {
    let place = daemon::place();
    let upstream = Upstream::start(&place.path().join("up.sock"));
    fs::create_dir(place.path().join("journal")).unwrap();
    let file = daemon::write_policy(place.path(), POLICY);
    let own = "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd && ln -s \"$1\" /run/systemd/journal && shift && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", own, "sh"]).arg(place.path().join("journal"));
    command.arg(env!("CARGO_BIN_EXE_peergated"));
    let daemon =
        Daemon::spawn_by(command, &place, &file, |_| {}).unwrap_or_else(|refused| panic!("{}", refused.said));
    (daemon, upstream, place)
}

/// The next entry that journald got, by its fields.
fn entry(journald: &UnixDatagram) -> BTreeMap<String, String> {
    let mut bytes = vec![0; 1 << 18];
    let length = journald.recv(&mut bytes).unwrap();
    let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
    text.lines()
        .map(|line| line.split_once('=').unwrap())
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
}

fn record(entry: &BTreeMap<String, String>, field: &str) -> Value {
    serde_json::from_str(&entry[field]).unwrap()
}

/// Nothing can be recorded from here on, until it is undone.
fn break_record(daemon: &Daemon) {
    fs::rename(daemon.path("audit"), daemon.path("away")).unwrap();
    fs::write(daemon.path("audit"), "in the way").unwrap();
    while client::ask(&daemon.socket(), "GET", "/plain/a").status() != 503 {}
}

fn mend_record(daemon: &Daemon) {
    fs::remove_file(daemon.path("audit")).unwrap();
    while client::ask(&daemon.socket(), "GET", "/plain/a").status() != 200 {}
}

fn journald(daemon: &Daemon) -> UnixDatagram {
    let journald = UnixDatagram::bind(daemon.path("journal/socket")).unwrap();
    journald.set_read_timeout(Some(support::PATIENCE)).unwrap();
    journald
}

#[test]
fn break_glass_route_is_served_on_a_record_in_the_journal_and_the_record_tells_how_often() {
    need_root!();
    need_programs!("unshare");
    let (daemon, upstream, _place) = started();
    let journald = journald(&daemon);
    let mut client = Client::connect(&daemon.socket());
    assert_eq!(client.ask("GET", "/glass/before").answer().status(), 200);
    break_record(&daemon);
    assert_eq!(client.ask("GET", "/glass/meanwhile").answer().status(), 200);
    let first = entry(&journald);
    assert_eq!(
        (first["SYSLOG_IDENTIFIER"].as_str(), first["MESSAGE"].as_str()),
        ("peergated", first["PEERGATE_DECISION"].as_str())
    );
    let decision = record(&first, "PEERGATE_DECISION");
    assert_eq!((&decision["target"], &decision["route"]), (&"/glass/meanwhile".into(), &"glass".into()));
    assert_eq!(
        (&record(&first, "PEERGATE_GRANT")["id"], &record(&first, "PEERGATE_CONN")["uid"]),
        (&decision["id"], &0.into())
    );
    let outcome = record(&entry(&journald), "PEERGATE_OUTCOME");
    assert_eq!((&outcome["id"], &outcome["result"]), (&decision["id"], &"completed".into()));
    // A caller who comes while nothing can be recorded is served as well, and a second route is not.
    assert_eq!(client::ask(&daemon.socket(), "GET", "/glass/new").status(), 200);
    assert_eq!(client.ask("GET", "/plain/b").answer().status(), 503);
    mend_record(&daemon);
    let told = daemon.wait_for("how many there were", |record| record["t"] == "journal");
    assert_eq!(told["count"], 2);
    assert_eq!(client.ask("GET", "/glass/after").answer().status(), 200);
    drop(client);
    let asked = upstream.asked();
    for target in ["/glass/before", "/glass/meanwhile", "/glass/new", "/glass/after"] {
        assert!(asked.contains(&format!("GET {target}")), "{target}: {asked:?}");
    }
    let all = daemon.stop_in_place();
    let served =
        |target: &str| all.iter().any(|record| record["t"] == "decision" && record["target"] == target);
    assert!(served("/glass/after") && !served("/glass/meanwhile"));
}

#[test]
fn break_glass_route_is_refused_where_the_journal_fails_too() {
    need_root!();
    need_programs!("unshare");
    let (daemon, upstream, _place) = started();
    assert_eq!(client::ask(&daemon.socket(), "GET", "/glass/before").status(), 200);
    break_record(&daemon);
    let refused = client::ask(&daemon.socket(), "GET", "/glass/nowhere");
    assert_eq!(refused.status(), 503);
    assert!(refused.text().contains("audit-unavailable"), "{}", refused.text());
    assert!(!upstream.asked().iter().any(|asked| asked.contains("nowhere")));
    // A journald that takes nothing more is no journal either.
    let full = Path::new("journal/socket");
    let _journald = UnixDatagram::bind(daemon.path(full.to_str().unwrap())).unwrap();
    while client::ask(&daemon.socket(), "GET", "/glass/filling").status() == 200 {}
    mend_record(&daemon);
    daemon.stop_in_place();
}
