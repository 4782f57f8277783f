//! The month as segments, by the encoder that the daemon uses.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use peergate::audit::encode;
use peergate::audit::entry::{Conn, Decided, Decision, Entry, Grant, OutcomeOf};
use peergate::audit::segment;
use peergate::model::caller::{Attr, Caller, Credentials, Exe, Gid, Namespace, Peer, Uid};
use peergate::model::ids::{BootId, ConnectionId, RequestId};
use peergate::model::outcome::Outcome;
use peergate::model::refusal::Refusal;
use peergate::model::time::Timestamp;

use super::cast::{PROGRAMS, Person};
use super::{Asked, BEGIN, Month};

/// One writer's file.
struct Segment {
    file: BufWriter<File>,
    n: u64,
    line: Vec<u8>,
}

impl Segment {
    fn create(directory: &Path, boot: BootId, writer: &str) -> Segment {
        let name = segment::name(Timestamp::from_micros(BEGIN), boot, writer);
        let file = BufWriter::with_capacity(1 << 18, File::create(directory.join(name)).unwrap());
        Segment { file, n: 0, line: Vec::new() }
    }

    fn write(&mut self, at: u64, entry: &Entry<'_>) {
        self.line.clear();
        encode::line(entry, self.n, Timestamp::from_micros(at), &mut self.line);
        self.n += 1;
        self.file.write_all(&self.line).unwrap();
    }
}

/// How long an exchange takes, in microseconds; well below what lies between two.
const TAKES: u64 = 900;

/// Writes the month into `directory`: how many records there are, and the planted case of each labelled request.
pub fn write(month: &Month, directory: &Path) -> (u64, HashMap<String, u16>) {
    let boot = BootId::from_random(77);
    let mut warden = Segment::create(directory, boot, "warden-1");
    let mut gates: HashMap<usize, Segment> = HashMap::new();
    // Our number of a connection, and of its latest request.
    let mut connections: HashMap<(usize, u32), (u64, u32)> = HashMap::new();
    let mut labels = HashMap::new();
    for asked in &month.asked {
        let person = &month.people[asked.who];
        let fresh = connections.len() as u64 + 1;
        let (number, requests) = connections.entry((asked.who, asked.connection)).or_insert((fresh, 0));
        *requests += 1;
        let connection = ConnectionId { boot, number: *number };
        let id = RequestId { connection, number: *requests };
        if *requests == 1 {
            let caller = caller(person, asked);
            let conn = Conn { id: connection, on: "docker", caller: &caller, shed: None };
            warden.write(asked.at.saturating_sub(150), &Entry::Conn(conn));
        }
        let gate = gates.entry(asked.who).or_insert_with(|| {
            Segment::create(directory, boot, &format!("gate-{}-0-{}", person.uid, asked.who + 2))
        });
        gate.write(asked.at, &Entry::Decision(decision(id, person, asked)));
        if asked.refusal.is_none() {
            let grant = Grant {
                id,
                uid: person.uid,
                backend: "docker",
                policy: "9f2c1e77",
                refused: None,
                via: None,
                run: None,
            };
            warden.write(asked.at + 50, &Entry::Grant(grant));
            gate.write(asked.at + TAKES, &Entry::Outcome(outcome(id, asked)));
        }
        if let Some(case) = asked.case {
            labels.insert(id.to_string(), case);
        }
    }
    let mut records = warden.n;
    warden.file.flush().unwrap();
    for mut gate in gates.into_values() {
        records += gate.n;
        gate.file.flush().unwrap();
    }
    (records, labels)
}

fn decision<'a>(id: RequestId, person: &Person, asked: &Asked) -> Decision<'a> {
    // Leaked: a test's process is short.
    let target: &'a str = Box::leak(asked.route.path.replace("{}", &asked.name).into_boxed_str());
    let rule: &'a str = person.rule;
    Decision {
        id,
        uid: person.uid,
        pid: 4_000 + (asked.connection % 20_000) as i32,
        method: asked.route.method.as_bytes(),
        target: target.as_bytes(),
        route: (!asked.route.id.is_empty()).then_some(asked.route.id),
        verdict: asked.refusal.map_or(Decided::Allow, Decided::Deny),
        by: asked.refusal.is_none().then_some(rule),
        at: asked.refusal.is_none().then_some("policy.toml:42"),
        policy: "9f2c1e77",
        shadow: None,
        part: None,
        fields: &[],
        status: asked.refusal.map(|_| asked.status),
        us: asked.refusal.map(|_| 40),
    }
}

fn outcome(id: RequestId, asked: &Asked) -> OutcomeOf {
    let result = if asked.late { Outcome::Failed(Refusal::BackendTimeout) } else { Outcome::Completed };
    OutcomeOf { id, status: Some(asked.status), result, bytes_in: 0, bytes_out: asked.out, us: TAKES }
}

fn caller(person: &Person, asked: &Asked) -> Caller {
    let gid = Gid::new(person.uid).unwrap();
    Caller {
        peer: Peer {
            uid: person.uid,
            gid: person.uid,
            pid: 4_000 + (asked.connection % 20_000) as i32,
            real_uid: None,
        },
        credentials: Credentials {
            uid: Attr::Known(Uid::new(person.uid).unwrap()),
            gid: Attr::Known(gid),
            groups: Attr::Known(vec![Gid::new(998).unwrap()]),
        },
        user: Some(person.name.into()),
        namespace: Attr::Known(if asked.inside { Namespace::Other } else { Namespace::Host }),
        start_time: Attr::Unknown,
        exe: Attr::Known(Exe {
            path: PROGRAMS[asked.program].into(),
            device: 1,
            inode: 100 + asked.program as u64,
            trusted: Attr::Known(true),
        }),
        unit: asked.unit.map_or(Attr::Unknown, |unit| Attr::Known(unit.to_owned())),
        login_uid: if asked.login { Attr::Known(Uid::new(person.uid).unwrap()) } else { Attr::Unknown },
        label: Attr::Unknown,
    }
}
