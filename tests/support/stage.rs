//! A record that is written down by a test, by the real encoder or byte by byte.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use peergate::audit::encode;
use peergate::audit::entry::{Conn, Decided, Decision, Entry, OutcomeOf};
use peergate::audit::segment;
use peergate::model::caller::{Attr, Caller, Credentials, Exe, Gid, Namespace, Peer, Uid};
use peergate::model::ids::{BootId, ConnectionId, RequestId};
use peergate::model::outcome::Outcome;
use peergate::model::time::Timestamp;

/// 2026-11-23T03:46:29Z.
pub const START: u64 = 1_795_405_589_000_000;

/// A directory of segments of one start of the daemon.
pub struct Stage {
    directory: tempfile::TempDir,
    /// Microseconds since the epoch, of the record that is next.
    pub clock: u64,
    connections: u64,
    numbers: std::collections::BTreeMap<PathBuf, u64>,
}

/// An access as a test says it.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub uid: u32,
    pub user: &'a str,
    pub exe: &'a str,
    pub method: &'a str,
    pub target: &'a str,
    pub route: &'a str,
    pub verdict: Decided,
    pub us: u64,
}

impl Default for Asked<'_> {
    fn default() -> Self {
        Asked {
            uid: 1001,
            user: "deploy",
            exe: "/usr/bin/docker",
            method: "GET",
            target: "/containers/json",
            route: "containers-list",
            verdict: Decided::Allow,
            us: 7_456,
        }
    }
}

impl Default for Stage {
    fn default() -> Stage {
        Stage::new()
    }
}

impl Stage {
    /// An empty directory.
    pub fn new() -> Stage {
        let numbers = std::collections::BTreeMap::new();
        Stage { directory: tempfile::tempdir().unwrap(), clock: START, connections: 0, numbers }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    fn boot() -> BootId {
        "7k3qzd".parse().unwrap()
    }

    /// The segment of a writer: `warden-1`, `gate-1001-0-2`.
    pub fn segment(&self, writer: &str) -> PathBuf {
        self.path().join(segment::name(Timestamp::from_micros(START), Stage::boot(), writer))
    }

    fn open(&self, writer: &str) -> File {
        OpenOptions::new().create(true).append(true).open(self.segment(writer)).unwrap()
    }

    /// Appends a line as it is.
    pub fn raw(&mut self, writer: &str, line: &str) {
        self.open(writer).write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Appends a record, a millisecond after the one before.
    pub fn write(&mut self, writer: &str, entry: &Entry<'_>) {
        self.clock += 1_000;
        let number = self.numbers.entry(self.segment(writer)).or_default();
        let mut line = Vec::new();
        encode::line(entry, *number, Timestamp::from_micros(self.clock), &mut line);
        *number += 1;
        self.open(writer).write_all(&line).unwrap();
    }

    /// Writes one access on a connection of its own, all of its records; its id.
    pub fn access(&mut self, asked: Asked<'_>) -> RequestId {
        let id = self.begin(asked);
        if asked.verdict == Decided::Allow {
            self.end(id, asked.uid, asked.us);
        }
        id
    }

    /// The same, without an outcome.
    pub fn begin(&mut self, asked: Asked<'_>) -> RequestId {
        let id = self.connect(asked);
        self.decide(id, asked);
        id
    }

    /// A connection alone; the id of its first request.
    pub fn connect(&mut self, asked: Asked<'_>) -> RequestId {
        self.connections += 1;
        let connection = ConnectionId { boot: Stage::boot(), number: self.connections };
        let id = RequestId { connection, number: 1 };
        let caller = caller(asked);
        self.write(
            "warden-1",
            &Entry::Conn(Conn { id: connection, on: "docker", caller: &caller, shed: None }),
        );
        id
    }

    /// The verdict on a request.
    pub fn decide(&mut self, id: RequestId, asked: Asked<'_>) {
        let refused = match asked.verdict {
            Decided::Allow => None,
            Decided::Deny(refusal) => Some(refusal),
        };
        let decision = Decision {
            id,
            uid: asked.uid,
            pid: 48213,
            method: asked.method.as_bytes(),
            target: asked.target.as_bytes(),
            route: Some(asked.route).filter(|route| !route.is_empty()),
            verdict: asked.verdict,
            by: Some("who.ci"),
            at: Some("policy.toml:42"),
            policy: "9f2c1e77",
            shadow: None,
            part: None,
            fields: &[],
            status: refused.map(peergate::model::refusal::Refusal::status),
            us: refused.map(|_| asked.us),
        };
        self.write(&format!("gate-{}-0-2", asked.uid), &Entry::Decision(decision));
    }

    /// Ends what was begun.
    pub fn end(&mut self, id: RequestId, uid: u32, us: u64) {
        let (status, result) = (Some(200), Outcome::Completed);
        let outcome = OutcomeOf { id, status, result, bytes_in: 0, bytes_out: 5_120, us };
        self.write(&format!("gate-{uid}-0-2"), &Entry::Outcome(outcome));
    }

    /// `peergate audit …` on it.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_peergate"));
        command.arg("audit").args(arguments).arg("--dir").arg(self.path());
        command
    }

    /// The same, run to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }
}

fn caller(asked: Asked<'_>) -> Caller {
    let exe = Exe { path: asked.exe.as_bytes().to_vec(), device: 1, inode: 2, trusted: Attr::Known(true) };
    Caller {
        peer: Peer { uid: asked.uid, gid: 1001, pid: 48213, real_uid: None },
        credentials: Credentials {
            uid: Attr::Known(Uid::new(asked.uid).unwrap()),
            gid: Attr::Known(Gid::new(1001).unwrap()),
            groups: Attr::Known(vec![Gid::new(998).unwrap()]),
        },
        user: Some(asked.user.into()),
        namespace: Attr::Known(Namespace::Host),
        start_time: Attr::Unknown,
        exe: Attr::Known(exe),
        unit: Attr::Known("ci.service".to_owned()),
        login_uid: Attr::Unknown,
        label: Attr::Unknown,
    }
}
