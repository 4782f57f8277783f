//! Many hosts' records in one place: the configuration and the queries of `deploy/fleet`, with real daemons, real
//! rsyslogd processes, DuckDB and ClickHouse.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use peergate::audit::chain::{Digest, Head};
use peergate::audit::segment;
use peergate::model::time::Timestamp;
use serde_json::Value;
use support::client;
use support::daemon::{self, Daemon, Place, Running};
use support::people::person;
use support::upstream::Upstream;
use support::{PATIENCE, readers};

const POLICY: &str = include_str!("policies/up.toml");
const HOSTS: [&str; 3] = ["web1", "web2", "web3"];

/// A rsyslogd with a configuration of `deploy/fleet`.
struct Shipper {
    conf: PathBuf,
    running: Option<Running>,
}

impl Shipper {
    /// From the file that is shipped, with this test's paths and names in it.
    fn new(folder: &Path, name: &str, file: &str, changes: &[(&str, &str)]) -> Shipper {
        let work = folder.join(format!("work-{name}"));
        fs::create_dir(&work).unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/fleet").join(file);
        let mut text = fs::read_to_string(path).unwrap();
        for (before, after) in changes {
            assert!(text.contains(before), "{file} has no {before}");
            text = text.replace(before, after);
        }
        let work = work.display();
        let text = format!("global(workDirectory=\"{work}\" localHostname=\"{name}\")\n{text}");
        let conf = folder.join(format!("{name}.conf"));
        fs::write(&conf, text).unwrap();
        let mut shipper = Shipper { conf, running: None };
        shipper.start();
        shipper
    }

    fn start(&mut self) {
        let mut command = Command::new("/usr/sbin/rsyslogd");
        command.arg("-n").arg("-f").arg(&self.conf).arg("-i").arg(self.conf.with_extension("pid"));
        let log = fs::File::create(self.conf.with_extension("log")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.running = Some(Running(command.spawn().unwrap()));
    }

    fn signal(&self, signal: Signal) {
        let pid = self.running.as_ref().unwrap().0.id();
        kill(Pid::from_raw(pid.cast_signed()), signal).unwrap();
    }

    /// Ends it as its unit would, and waits for that.
    fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        self.running.take().unwrap().0.wait().unwrap();
    }
}

/// What the collector holds.
struct Collected {
    folder: PathBuf,
    changes: Inotify,
}

impl Collected {
    fn new(folder: PathBuf) -> Collected {
        let changes = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).unwrap();
        for host in HOSTS {
            fs::create_dir_all(folder.join(host)).unwrap();
            let any = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
            changes.add_watch(&folder.join(host), any).unwrap();
        }
        Collected { folder, changes }
    }

    /// Every line of one host, by segment, in the order in which they came; a line that came again is left out.
    fn lines(&self, host: &str) -> BTreeMap<String, Vec<String>> {
        let mut files: Vec<_> =
            fs::read_dir(self.folder.join(host)).unwrap().map(|entry| entry.unwrap().path()).collect();
        // What was moved away is the older part.
        files.sort_by_key(|path| {
            path.extension().is_some_and(|ending| ending == "ndjson")
                && !path.to_string_lossy().contains("moved")
        });
        let mut seen = BTreeSet::new();
        let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for file in files {
            let text = fs::read_to_string(file).unwrap();
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            for row in whole.lines() {
                let row: Value = serde_json::from_str(row).unwrap();
                assert_eq!(row["host"], host);
                let [segment, line] = ["segment", "line"].map(|key| row[key].as_str().unwrap().to_owned());
                if seen.insert((segment.clone(), line.clone())) {
                    lines.entry(segment).or_default().push(line);
                }
            }
        }
        lines
    }

    /// Waits, woken by each write, until something holds.
    fn wait(&self, what: &str, holds: impl Fn(&Collected) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            let left = deadline.checked_duration_since(Instant::now());
            let left = left.unwrap_or_else(|| panic!("not in {PATIENCE:?}: {what}"));
            poll(
                &mut [PollFd::new(self.changes.as_fd(), PollFlags::POLLIN)],
                PollTimeout::try_from(left).unwrap(),
            )
            .unwrap();
            while self.changes.read_events().is_ok_and(|events| !events.is_empty()) {}
        }
    }

    fn has(&self, host: &str, text: &str) -> bool {
        self.lines(host).values().flatten().any(|line| line.contains(text))
    }
}

/// Every whole line in a directory of segments.
fn written(audit: &Path) -> BTreeMap<String, Vec<String>> {
    let mut lines = BTreeMap::new();
    for entry in fs::read_dir(audit).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        // The list of epochs is shipped too.
        if name.ends_with(".ndjson") {
            let text = fs::read_to_string(path).unwrap();
            lines.insert(name, text.lines().map(str::to_owned).collect());
        }
    }
    lines
}

/// A host: its daemon, and the service behind it.
struct Host {
    daemon: Option<Daemon>,
    place: Option<Place>,
    audit: PathBuf,
}

impl Host {
    fn new() -> (Host, Upstream) {
        let place = daemon::place();
        let upstream = Upstream::start(&place.path().join("up.sock"));
        let daemon = Host::started(place);
        let audit = daemon.path("audit");
        (Host { daemon: Some(daemon), place: None, audit }, upstream)
    }

    /// By a policy as the README wants it: with a list of what was shipped, on which nothing stands yet.
    fn started(place: Place) -> Daemon {
        let list = place.path().join("shipped");
        fs::write(&list, "").unwrap();
        let file = daemon::write_policy(place.path(), POLICY);
        let text = fs::read_to_string(&file).unwrap();
        let audit = format!("[audit]\nshipped = \"{}\"\n", list.display());
        fs::write(&file, text.replacen("[audit]\n", &audit, 1)).unwrap();
        Daemon::spawn(place, &file, |_| {}).unwrap_or_else(|refused| panic!("{}", refused.said))
    }

    fn ask(&self, target: &str) -> u16 {
        client::ask(&self.daemon.as_ref().unwrap().socket(), "GET", target).status()
    }

    fn stop(&mut self) {
        self.place = Some(self.daemon.take().unwrap().stop_keeping().0);
    }

    /// Another start on the same record, so other segments.
    fn start(&mut self) {
        self.daemon = Some(Host::started(self.place.take().unwrap()));
    }
}

/// The head that the latest seal in these lines is.
fn latest_head(lines: &BTreeMap<String, Vec<String>>) -> Head {
    let seals = lines.values().flatten().filter(|line| line.starts_with(r#"{"v":1,"t":"seal""#));
    let field = |line: &str, name: &str| {
        let record: Value = serde_json::from_str(line).unwrap();
        record[name].as_str().map_or_else(|| record[name].to_string(), str::to_owned)
    };
    let seal = seals.max_by_key(|line| field(line, "ts")).unwrap();
    Head {
        epoch: field(seal, "epoch").parse().unwrap(),
        i: field(seal, "i").parse().unwrap(),
        ts: field(seal, "ts"),
        hash: Digest::of(seal.as_bytes()),
        next: field(seal, "next").parse().unwrap(),
        log: None,
    }
}

/// Lines of a gate that was taken over: what it may not say, and what would break out of a string.
const FORGED: [&str; 4] = [
    r#"x"},{"host":"web1","segment":"forged","line":"{}"#,
    r#"{"v":1,"t":"conn","n":1,"ts":"2026-11-23T03:46:29.123456Z","id":"7k3qzd-1","on":"x","uid":0}"#,
    r#"{"v":1,"t":"decision","n":2,"ts":"2026-11-23T03:46:29.123456Z","id":"7k3qzd-1-1","uid":0,"decision":"deny"}"#,
    r#"{"v":1,"t":"outcome"},"host":"web1","line":""#,
];

fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

#[test]
fn fleet_loses_nothing_doubles_nothing_and_answers_alike_in_two_engines() {
    need_root!();
    if !Path::new("/usr/sbin/rsyslogd").exists() {
        skip!("rsyslogd is not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    let collected = Collected::new(folder.path().join("collected"));
    let port = free_port();
    let listens = format!("\"{port}\"");
    let collector =
        [("/var/log/peergate-fleet", collected.folder.to_str().unwrap()), ("\"2514\"", listens.as_str())];
    let mut collector = Shipper::new(folder.path(), "collector", "collector.conf", &collector);
    let (mut hosts, _behind): (Vec<Host>, Vec<Upstream>) = HOSTS.map(|_| Host::new()).into_iter().unzip();
    let mut shippers: Vec<Shipper> = Vec::new();
    for (name, host) in HOSTS.into_iter().zip(&hosts) {
        let audit = format!("{}/", host.audit.display());
        let changes = [
            ("/var/log/peergate/", audit.as_str()),
            ("\"2514\"", listens.as_str()),
            ("collector.example", "127.0.0.1"),
            ("action.resumeInterval=\"5\"", "action.resumeInterval=\"1\""),
        ];
        shippers.push(Shipper::new(folder.path(), name, "host.conf", &changes));
    }

    // What everybody does all day.
    let mallory = person("pg-mallory");
    for (name, host) in HOSTS.into_iter().zip(&hosts) {
        assert_eq!(host.ask(&format!("/allowed/{name}?a=%22b%22")), 200);
        assert_eq!(host.ask("/nowhere"), 403);
        let socket = host.daemon.as_ref().unwrap().socket();
        assert_eq!(mallory.curl(&socket, "/allowed/hers", &[]).0, 403);
        client::Client::connect(&socket).send(b"\x00\xff\"}\\ \n\n").rest();
        collected.wait(name, |collected| collected.has(name, &format!("/allowed/{name}")));
    }
    // A shipper ends, and goes on where it was; meanwhile the record grows, and gets new segments.
    shippers[1].stop();
    assert_eq!(hosts[1].ask("/allowed/while-away"), 200);
    // So many that their segments would be compressed if they were not waited for.
    for number in 0..150 {
        assert_eq!(hosts[1].ask(&format!("/allowed/much-{number}")), 200);
    }
    hosts[1].stop();
    hosts[1].start();
    assert_eq!(hosts[1].ask("/allowed/in-a-new-segment"), 200);
    shippers[1].start();
    collected.wait("web2 again", |collected| collected.has("web2", "/allowed/in-a-new-segment"));
    // The collector's file is moved away, as a rotation does it.
    for host in HOSTS {
        for entry in fs::read_dir(collected.folder.join(host)).unwrap() {
            let path = entry.unwrap().path();
            fs::rename(&path, path.with_file_name("moved.ndjson")).unwrap();
        }
    }
    collector.signal(Signal::SIGHUP);
    assert_eq!(hosts[0].ask("/allowed/after-the-move"), 200);
    collected.wait("web1 after the move", |collected| collected.has("web1", "/allowed/after-the-move"));
    // The collector is away for a while.
    collector.stop();
    assert!(TcpStream::connect(format!("127.0.0.1:{port}")).is_err());
    for host in &hosts {
        assert_eq!(host.ask("/allowed/nobody-listens"), 200);
    }
    collector.start();
    for name in HOSTS {
        collected.wait(name, |collected| collected.has(name, "/allowed/nobody-listens"));
    }
    // Everybody closes their record.
    hosts.iter_mut().for_each(Host::stop);
    let large = |entry: &fs::DirEntry| entry.metadata().unwrap().len() > 16 << 10;
    let there: Vec<fs::DirEntry> =
        fs::read_dir(&hosts[1].audit).unwrap().map(|entry| entry.unwrap()).collect();
    assert!(there.iter().filter(|entry| large(entry)).count() > 1, "{there:?}");
    assert!(there.iter().all(|entry| entry.path().extension().is_none_or(|ending| ending != "zst")));
    let forged = segment::name(Timestamp::now(), "7k3qzd".parse().unwrap(), "gate-1001-0-8");
    fs::write(hosts[2].audit.join(forged), FORGED.join("\n") + "\n").unwrap();

    for (name, host) in HOSTS.into_iter().zip(&hosts) {
        let on_disk = written(&host.audit);
        collected.wait(name, |collected| {
            let there: usize = collected.lines(name).values().map(Vec::len).sum();
            there >= on_disk.values().map(Vec::len).sum()
        });
        assert_eq!(collected.lines(name), on_disk, "{name}");
    }
    shippers.iter_mut().for_each(Shipper::stop);
    collector.stop();
    ask_engines(&collected, &hosts);
}

/// What the queries have to say of it.
fn ask_engines(collected: &Collected, hosts: &[Host]) {
    let Some(python) = readers::python() else { skip!("tests/readers.txt is not installed") };
    let on_disk: Vec<_> = hosts.iter().map(|host| written(&host.audit)).collect();
    let parsed = |host: usize| -> Vec<Value> {
        on_disk[host].values().flatten().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    let asked = parsed(0).into_iter().find(|record| {
        record["t"] == "decision" && record["target"].as_str().unwrap().starts_with("/allowed/web1?")
    });
    let id = asked.unwrap()["id"].as_str().unwrap().to_owned();
    let connection = id.rsplit_once('-').unwrap().0.to_owned();
    let mut fleet = Command::new(python);
    fleet.arg(readers::script("fleet.py"));
    fleet.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/fleet")).arg(&collected.folder);
    fleet.args(["7k3qzd-41-1", &id, "7k3qzd-41", &connection]);
    let told = support::out(&support::run(&mut fleet));
    let answers: BTreeMap<String, Vec<Value>> = told
        .lines()
        .map(|line| {
            let mut answer: Value = serde_json::from_str(line).unwrap();
            let rows = serde_json::from_value(answer["rows"].take()).unwrap();
            (answer["query"].as_str().unwrap().to_owned(), rows)
        })
        .collect();

    let mallory = person("pg-mallory").uid.to_string();
    for name in HOSTS {
        let hers = answers["denied.sql"].iter().find(|row| row["host"] == name && row["uid"] == *mallory);
        let hers = hers.unwrap_or_else(|| panic!("{name} has no denial of hers"));
        assert_eq!(
            (&hers["username"], &hers["times"], &hers["refusal"]),
            (&"pg-mallory".into(), &"1".into(), &"not-allowed".into())
        );
        assert!(
            answers["first-seen.sql"]
                .iter()
                .any(|row| row["host"] == name && row["route"] == "allowed" && row["decision"] == "allow")
        );
    }
    let slowest: Vec<u64> =
        answers["slowest.sql"].iter().map(|row| row["us"].as_str().unwrap().parse().unwrap()).collect();
    assert!(slowest.len() > 10 && slowest.is_sorted_by(|one, next| one >= next), "{slowest:?}");
    let kinds: Vec<&str> = answers["request.sql"].iter().map(|row| row["t"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["conn", "decision", "grant", "outcome"]);
    for ((name, disk), row) in HOSTS.iter().zip(&on_disk).zip(&answers["heads.sql"]) {
        let told = Head::find(row["head"].as_str().unwrap());
        assert_eq!((row["host"].as_str(), told), (Some(*name), Some(latest_head(disk))));
    }
    // What the collector has of a host proves the end of the record there.
    let witness = collected.folder.join("heads");
    fs::write(&witness, answers["heads.sql"][0]["head"].as_str().unwrap()).unwrap();
    let mut verify = Command::new(env!("CARGO_BIN_EXE_peergate"));
    verify
        .args(["audit", "verify"])
        .arg(&hosts[0].audit)
        .arg("--key")
        .arg(hosts[0].audit.join("genesis.pub"));
    support::run(verify.arg("--witness").arg(&witness));
    assert_eq!(answers["heads.sql"].len(), HOSTS.len());
    // What may be pruned: each segment that the scribe closed.
    let shipped: BTreeSet<(&str, &str)> = answers["shipped.sql"]
        .iter()
        .map(|row| (row["host"].as_str().unwrap(), row["segment"].as_str().unwrap()))
        .collect();
    for (host, name) in HOSTS.into_iter().enumerate() {
        let closed: BTreeSet<String> = parsed(host)
            .iter()
            .filter(|record| record["t"] == "close")
            .map(|record| record["segment"].as_str().unwrap().to_owned())
            .collect();
        let ours: BTreeSet<String> = shipped
            .iter()
            .filter(|(host, _)| *host == name)
            .map(|(_, segment)| (*segment).to_owned())
            .collect();
        assert!(!closed.is_empty());
        assert_eq!(ours, closed, "{name}");
    }
    let disbelieved: BTreeSet<(&str, &str)> = answers["disbelieved"]
        .iter()
        .map(|row| (row["host"].as_str().unwrap(), row["line"].as_str().unwrap()))
        .collect();
    assert_eq!(disbelieved, FORGED.map(|line| ("web3", line)).into());
}
