//! What a request costs the scribe: CPU time of a scribe's process, as the kernel counts it, for all that it does behind
//! the writers. It follows a segment of decisions and outcomes, judges and counts each line, makes ranges and seals,
//! looks at all of it once more, and closes it. What its start and its end cost is measured by an empty segment, and
//! taken away. `cargo bench --bench scribe`. Compares; asserts nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use peergate::audit::encode;
use peergate::audit::entry::{Decided, Decision, Entry, Open, OutcomeOf};
use peergate::audit::inspect::Role;
use peergate::audit::segment;
use peergate::confine::{Terms, Violation};
use peergate::model::caller::{Gid, Uid};
use peergate::model::ids::{BootId, ConnectionId, RequestId};
use peergate::model::outcome::Outcome;
use peergate::model::posture::{Confinement, Layer};
use peergate::model::time::Timestamp;
use peergate::policy::{self, SystemNames};
use peergate::scribe;
use peergate::sys::{memfd, process};
use peergate::wire::channel::Channel;
use peergate::wire::message::{Followed, FromScribe, ToScribe};

const REQUESTS: u32 = 400_000;
/// Requests of one connection.
const EACH: u32 = 100;
const POLICY: &str = r#"
    version = 1
    [listen.docker]
    path = "/run/peergate/docker.sock"
    [backend.docker]
    proxy = "unix:/run/docker.sock"
    [who.ci]
    uid = 1001
    [[route]]
    id = "containers-list"
    match = ["GET /list"]
    to = "docker"
    allow = ["ci"]
"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if std::env::args().nth(1).as_deref() == Some("scribe") {
        let terms = Terms {
            accepted: Layer::ALL.to_vec(),
            violation: Violation::IsLogged,
            root: nix::unistd::geteuid().is_root(),
            file_size: None,
        };
        scribe::run(&terms);
        return Ok(());
    }
    let mut out = io::stdout();
    for _ in 0..3 {
        let (idle, _) = spent(0)?;
        let (busy, bytes) = spent(REQUESTS)?;
        let each = (busy - idle) / f64::from(REQUESTS) * 1e6;
        writeln!(out, "{each:>6.3} us of CPU a request of {} bytes", bytes / u64::from(REQUESTS))?;
    }
    Ok(())
}

/// Seconds that a scribe computes for a segment with so many requests, and the segment's length.
fn spent(requests: u32) -> Result<(f64, u64), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let boot = BootId::from_random(7);
    let name = |role: &str| segment::name(Timestamp::now(), boot, role);
    let (own, lane) = (name("scribe-1"), name("gate-1001-0-2"));
    let bytes = write(&directory.path().join(&lane), boot, requests)?;
    let before = children()?;
    let (warden, theirs) = Channel::pair()?;
    let (listen, speak) = io::pipe()?;
    let (theirs, speak, listen) = (theirs.duplicate()?, OwnedFd::from(speak), OwnedFd::from(listen));
    let executable = process::executable()?;
    let child = process::Spawn::new(executable.as_fd(), c"scribe")
        .argument(c"scribe".to_owned())
        .descriptor(theirs.as_fd())
        .descriptor(speak.as_fd())
        .descriptor(listen.as_fd())
        .start()?;
    drop((theirs, speak, listen));
    let start = ToScribe::Start {
        boot,
        segment: own.clone(),
        reserved: 1 << 20,
        size: u64::MAX,
        policy: "9f2c1e77".to_owned(),
        missing: Vec::new(),
        diagnostics: None,
        level: "error".to_owned(),
        json: false,
        seals: None,
    };
    let place = File::open(directory.path())?;
    let own = append(&directory.path().join(own))?;
    warden.send(&start, &[place.as_fd(), own.as_fd()])?;
    let caller = policy::Own::system(Uid::new(0).ok_or("a uid")?, Gid::new(0).ok_or("a gid")?);
    let policy = policy::load_text("bench.toml", POLICY, &SystemNames, &caller).map_err(|_| "the policy")?;
    let policy = memfd::sealed("policy", &policy.to_bytes().map_err(|_| "the policy")?)?;
    warden.send(&ToScribe::Policy, &[policy.as_fd()])?;
    let writer = Followed { role: Role::Gate, boot, gate: Some(1) };
    let read = File::open(directory.path().join(&lane))?;
    warden.send(&ToScribe::Follow { segment: lane.clone(), writer }, &[read.as_fd()])?;
    warden.send(&ToScribe::Finished { segment: lane }, &[])?;
    warden.send(&ToScribe::Close, &[])?;
    let mut whole = false;
    while let Some((said, _)) = warden.receive_waiting::<FromScribe>()? {
        match said {
            FromScribe::Released { bytes: Some(released), .. } => whole = released == bytes,
            FromScribe::Closed => break,
            FromScribe::Intruded { why, .. } => return Err(why.into()),
            _ => {}
        }
    }
    child.wait_for_end()?;
    if !whole {
        return Err("the segment was not read to its end".into());
    }
    Ok((children()? - before, bytes))
}

/// Seconds that all children which are over have computed, in the kernel too.
fn children() -> io::Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create_new(true).open(path)
}

/// A lane's segment; its length.
fn write(path: &Path, boot: BootId, requests: u32) -> io::Result<u64> {
    let mut bytes = Vec::new();
    let open = Open {
        boot,
        role: "gate",
        uid: Some(1001),
        pid: 7,
        version: "0.1.0",
        policy: "9f2c1e77",
        missing: &[],
        posture: &Confinement::default(),
    };
    encode::line(&Entry::Open(open), 0, Timestamp::now(), &mut bytes);
    let mut n = 1;
    for request in 0..requests {
        let connection = ConnectionId { boot, number: u64::from(request / EACH) + 1 };
        let id = RequestId { connection, number: request % EACH + 1 };
        let decision = Entry::Decision(Decision {
            id,
            uid: 1001,
            pid: 48213,
            method: b"GET",
            target: b"/v1.41/containers/json?all=1",
            route: Some("containers-list"),
            verdict: Decided::Allow,
            by: Some("who.ci"),
            at: Some("policy.toml:42"),
            policy: "9f2c1e77",
            shadow: None,
            part: None,
            fields: &[],
            status: None,
            us: None,
        });
        let result = Outcome::Completed;
        let outcome = OutcomeOf { id, status: Some(200), result, bytes_in: 0, bytes_out: 5120, us: 7456 };
        for entry in [decision, Entry::Outcome(outcome)] {
            encode::line(&entry, n, Timestamp::now(), &mut bytes);
            n += 1;
        }
    }
    append(path)?.write_all(&bytes)?;
    Ok(bytes.len() as u64)
}
