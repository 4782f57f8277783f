//! The warden's side of one lane, for a test to hold.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::gate::lane;
use crate::model::caller::{Attr, Caller, Credentials, Gid, Namespace, Peer, Uid};
use crate::model::ids::{BootId, Generation, ListenerId};
use crate::model::refusal::Refusal;
use crate::policy::{self, Own, SystemNames};
use crate::sys;
use crate::wire::channel::Channel;
use crate::wire::message::{FromGate, ToGate};

/// How long a test waits before it says that something never came.
const NEVER: Duration = Duration::from_secs(30);

/// One lane, running in a thread.
pub(super) struct Lane {
    channel: Channel,
    thread: RefCell<Option<JoinHandle<std::io::Result<()>>>>,
    directory: tempfile::TempDir,
    segment: RefCell<PathBuf>,
    segments: Cell<u32>,
    generation: Cell<u64>,
    numbers: Cell<u64>,
}

/// A caller's end of its connection.
pub(super) struct Connected {
    pub(super) socket: UnixStream,
    number: u64,
}

impl Connected {
    pub(super) fn send(&mut self, text: &str) {
        self.socket.write_all(text.as_bytes()).expect("the gate reads");
    }
}

fn memfd(text: &str) -> OwnedFd {
    let uid = Uid::new(0).expect("an id");
    let own = Own::system(uid, Gid::new(0).expect("an id"));
    let policy =
        policy::load_text("test.toml", text, &SystemNames, &own).unwrap_or_else(|why| panic!("{why}"));
    sys::memfd::sealed("policy", &policy.to_bytes().expect("encodes")).expect("a memfd")
}

impl Lane {
    pub(super) fn start(policy: &str) -> Lane {
        let (channel, theirs) = Channel::pair().expect("a pair");
        let lane = Lane {
            channel,
            thread: RefCell::new(Some(std::thread::spawn(move || {
                lane::run(theirs, std::sync::Arc::default())
            }))),
            directory: tempfile::tempdir().expect("a directory"),
            segment: RefCell::default(),
            segments: Cell::new(0),
            generation: Cell::new(1),
            numbers: Cell::new(0),
        };
        let start = ToGate::Start {
            boot: BootId::from_random(7),
            uid: Some(0),
            generation: Generation(1),
            reserved: 1 << 20,
            missing: Vec::new(),
            hash_key: [7; 32],
        };
        let segment = lane.segment();
        lane.tell(&start, &[segment, memfd(policy)]);
        assert!(matches!(lane.heard(), FromGate::Ready { .. }));
        lane
    }

    fn segment(&self) -> OwnedFd {
        self.segments.set(self.segments.get() + 1);
        let path = self.directory.path().join(format!("{}.ndjson", self.segments.get()));
        let file = std::fs::OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path);
        self.segment.replace(path);
        file.expect("a segment").into()
    }

    fn tell(&self, message: &ToGate, descriptors: &[OwnedFd]) {
        let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        self.channel.send(message, &descriptors).expect("the lane listens");
    }

    fn heard(&self) -> FromGate {
        self.channel.receive_waiting().expect("a message").expect("the lane runs").0
    }

    /// The gate's next question for a backend.
    fn ticket(&self) -> u32 {
        match self.heard() {
            FromGate::Open { ticket, .. } => ticket,
            other => panic!("a question for a backend, not {other:?}"),
        }
    }

    pub(super) fn connect(&self) -> Connected {
        self.connect_saying("")
    }

    /// A caller that said something before the lane hears of it.
    pub(super) fn connect_saying(&self, text: &str) -> Connected {
        let (mut ours, theirs) = UnixStream::pair().expect("a pair");
        ours.set_read_timeout(Some(NEVER)).expect("a timeout");
        theirs.set_nonblocking(true).expect("non-blocking");
        sys::peer::pass_credentials(theirs.as_fd()).expect("SO_PASSCRED");
        ours.write_all(text.as_bytes()).expect("room");
        let number = self.numbers.get() + 1;
        self.numbers.set(number);
        let id = |raw| Attr::Known(Uid::new(raw).expect("an id"));
        let caller = Caller {
            peer: Peer { uid: 0, gid: 0, pid: 1, real_uid: None },
            credentials: Credentials {
                uid: id(0),
                gid: Attr::Known(Gid::new(0).expect("an id")),
                groups: Attr::Known(Vec::new()),
            },
            user: Some("root".to_owned()),
            namespace: Attr::Known(Namespace::Host),
            start_time: Attr::Unknown,
            exe: Attr::Unknown,
            unit: Attr::Unknown,
            login_uid: Attr::Unknown,
            label: Attr::Unknown,
        };
        let message = ToGate::Connection {
            number,
            listener: ListenerId(0),
            caller: Box::new(caller),
            recorded: true,
            seen: crate::model::time::Timestamp::from_micros(0),
        };
        self.tell(&message, &[theirs.into()]);
        Connected { socket: ours, number }
    }

    /// Answers the gate's question by a connection, and gives the backend's end of it.
    pub(super) fn grant(&self) -> UnixStream {
        let ticket = self.ticket();
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        ours.set_read_timeout(Some(NEVER)).expect("a timeout");
        theirs.set_nonblocking(true).expect("non-blocking");
        self.tell(&ToGate::Backend { ticket, result: Ok(()) }, &[theirs.into()]);
        ours
    }

    pub(super) fn refuse(&self, refusal: Refusal) {
        let ticket = self.ticket();
        self.tell(&ToGate::Backend { ticket, result: Err(refusal) }, &[]);
    }

    pub(super) fn ended(&self, caller: &Connected) {
        self.tell(&ToGate::Ended { number: caller.number }, &[]);
    }

    pub(super) fn recordable(&self, yes: bool) {
        self.tell(&ToGate::Recordable { yes }, &[]);
    }

    pub(super) fn reload(&self, policy: &str) {
        self.generation.set(self.generation.get() + 1);
        let generation = Generation(self.generation.get());
        self.tell(&ToGate::Policy { generation }, &[memfd(policy)]);
    }

    /// Waits until the lane judges by the policy that it got last.
    pub(super) fn adopted(&self) {
        assert_eq!(self.heard(), FromGate::Adopted { generation: Generation(self.generation.get()) });
    }

    pub(super) fn drain(&self, within_ms: u32) {
        self.tell(&ToGate::Drain { within_ms }, &[]);
    }

    /// Waits until the lane has said that it is drained, and has ended.
    pub(super) fn drained(&self) {
        assert_eq!(self.heard(), FromGate::Drained);
        let thread = self.thread.take().expect("it runs");
        thread.join().expect("no panic").expect("no error");
    }

    /// Waits until the lane is drained, whatever it asks until then, and gives the records of all its segments.
    pub(super) fn records_of_all(&self) -> Vec<Value> {
        while self.heard() != FromGate::Drained {}
        let thread = self.thread.take().expect("it runs");
        thread.join().expect("no panic").expect("no error");
        let texts = (1..=self.segments.get()).map(|number| {
            let path = self.directory.path().join(format!("{number}.ndjson"));
            std::fs::read_to_string(path).expect("a segment")
        });
        let parse = |line: &str| serde_json::from_str(line).expect("a record");
        texts.flat_map(|text| text.lines().map(parse).collect::<Vec<_>>()).collect()
    }

    /// Gives the lane a segment that can't be written.
    pub(super) fn segment_full(&self) {
        let full = std::fs::OpenOptions::new().append(true).open("/dev/full").expect("/dev/full");
        self.tell(&ToGate::Segment { reserved: 1 << 20 }, &[full.into()]);
        assert_eq!(self.heard(), FromGate::Switched);
    }

    pub(super) fn asks_for_a_segment(&self) {
        assert_eq!(self.heard(), FromGate::NeedSegment { errno: nix::libc::ENOSPC });
    }

    pub(super) fn fresh_segment(&self) {
        let segment = self.segment();
        self.tell(&ToGate::Segment { reserved: 1 << 20 }, &[segment]);
        assert_eq!(self.heard(), FromGate::Switched);
    }

    /// All whole records of the present segment.
    pub(super) fn records(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&*self.segment.borrow()).expect("a segment");
        text.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
    }

    /// The records once there is one that holds `text`.
    pub(super) fn records_until(&self, text: &str) -> Vec<Value> {
        let begun = std::time::Instant::now();
        loop {
            let records = self.records();
            if records.iter().any(|record| record.to_string().contains(text)) {
                return records;
            }
            assert!(begun.elapsed() < NEVER, "no record with {text}: {records:?}");
            std::thread::yield_now();
        }
    }
}

/// Reads up to the end of a head.
pub(super) fn head(socket: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read(&mut byte) {
            Ok(0) => panic!("it ended in {:?}", String::from_utf8_lossy(&head)),
            Ok(_) => head.push(byte[0]),
            Err(error) => panic!("{error} in {:?}", String::from_utf8_lossy(&head)),
        }
    }
    String::from_utf8(head).expect("text")
}

/// Reads one answer with a Content-Length, or without a body.
pub(super) fn answer(socket: &mut impl Read) -> (String, Vec<u8>) {
    let head = head(socket);
    let length =
        head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ").map(str::to_owned));
    let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a length"))];
    socket.read_exact(&mut body).expect("the whole body");
    (head, body)
}

pub(super) fn status(head: &str) -> u16 {
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
}

/// One line a record: what it is, and what it says most shortly.
pub(super) fn brief(records: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let keys = ["t", "decision", "refusal", "result", "route", "status", "in", "out"];
    records
        .iter()
        .map(|record| {
            let said: Vec<String> = keys.iter().filter_map(|key| record.get(key)).map(text).collect();
            said.join(" ")
        })
        .collect()
}
