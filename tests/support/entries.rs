//! Entries as an attacker and the system may make them: every kind, every field at its extremes.

use peergate::audit::chain::store::{Origin, Slot};
use peergate::audit::chain::{Digest, Handover, Secret};
use peergate::audit::encode::{self, INTEGER_MAX};
use peergate::audit::entry::{
    Close, Conn, Decided, Decision, Ended, Entry, Exit, GateEvent, Grant, Interrupted, Intrusion, Journalled,
    Life, Open, OutcomeOf, PENDING_MOST, Pending, PolicyEvent, Prune, Pruned, Range, Recover, Repeat, Run,
    Seen,
};
use peergate::model::caller::{Attr, Caller, Credentials, Exe, Gid, Namespace, Peer, Uid};
use peergate::model::ids::{BootId, ConnectionId, RequestId};
use peergate::model::outcome::Outcome;
use peergate::model::posture::{Confinement, LandlockHeld};
use peergate::model::refusal::Refusal;
use peergate::model::time::Timestamp;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;

/// An entry without what it borrows; see [`Made::line`].
#[derive(Debug, Clone)]
pub struct Made {
    kind: usize,
    id: (u64, u32),
    bytes: [Vec<u8>; 2],
    texts: [String; 3],
    maybe: [bool; 6],
    ids: Vec<u32>,
    number: u64,
    small: u32,
    refusal: Refusal,
    outcome: Outcome,
    life: Life,
}

/// How many kinds [`Made`] can be.
pub const KINDS: usize = 18;

// Some of them.
const EPOCH: usize = 9;
const SEAL: usize = 10;
pub const CONN: usize = 1;
pub const GRANT: usize = 2;
pub const DECISION: usize = 3;
pub const OUTCOME: usize = 4;
pub const REPEAT: usize = 5;
pub const POLICY: usize = 7;

/// Bytes as an attacker picks them: any, only control bytes, long runs, broken UTF-8, text of any script.
pub fn hostile() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => vec(any::<u8>(), 0..40),
        1 => vec(any::<u8>(), 3_000..9_000),
        1 => vec(0u8..0x20, 0..2_000),
        1 => vec(0x80u8.., 0..2_000),
        2 => vec(any::<char>(), 0..60).prop_map(|chars| String::from_iter(chars).into_bytes()),
        2 => select(&NASTY[..]).prop_map(<[u8]>::to_vec),
    ]
}

/// What breaks formats: their own delimiters, line ends, controls, bidi, broken UTF-8.
const NASTY: [&[u8]; 12] = [
    b"",
    b"a|b=c\\d|e\\=f",
    b"one\ntwo\r\nthree",
    b"\"]} ] [x@1 a=\"b\"]",
    b"\x1b[2J\x07\x00",
    "\u{202e}gnp.exe\u{2066}\u{feff}\u{2028}".as_bytes(),
    b"\xff\xfe\xc3(",
    b"=cmd|' /C calc'!A0",
    b"<13>1 - - - - - -\n",
    b"\nMESSAGE=forged\n\n",
    b"{\"v\":1,\"t\":\"conn\"}",
    b"/a?b=c&d=%0A#e",
];

fn text() -> impl Strategy<Value = String> {
    hostile().prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn life() -> impl Strategy<Value = Life> {
    prop_oneof![
        Just(Life::Started),
        Just(Life::Retired),
        Just(Life::Backdated),
        any::<i32>().prop_map(Life::Exited),
        any::<i32>().prop_map(Life::Killed),
        Just(Life::Panicked),
        Just(Life::Violated),
        Just(Life::Intruded),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Completed),
        Just(Outcome::TunnelClosed),
        Just(Outcome::CallerGone),
        select(Refusal::ALL).prop_map(Outcome::Failed),
        Just(Outcome::Stopped),
        Just(Outcome::RefusedByReload),
        Just(Outcome::GateDied),
        Just(Outcome::KilledByRestart),
    ]
}

/// Any entry of one kind (below [`KINDS`]).
pub fn made(kind: usize) -> impl Strategy<Value = Made> {
    let texts = [text(), text(), text()];
    let ids = prop_oneof![4 => vec(any::<u32>(), 0..5), 1 => vec(any::<u32>(), 500..1_100)];
    let numbers = (prop_oneof![any::<u64>(), Just(0), Just(u64::MAX)], any::<u32>());
    let words = (select(Refusal::ALL), outcome(), life());
    ([hostile(), hostile()], texts, any::<[bool; 6]>(), ids, numbers, words, option::of(Just(()))).prop_map(
        move |(bytes, texts, maybe, ids, (number, small), (refusal, outcome, life), _)| Made {
            kind,
            id: (number.clamp(1, INTEGER_MAX), small.max(1)),
            bytes,
            texts,
            maybe,
            ids,
            number,
            small,
            refusal,
            outcome,
            life,
        },
    )
}

/// The start of the daemon that all of them are of.
pub fn boot() -> BootId {
    BootId::from_random(7)
}

impl Made {
    /// Another entry with the same values.
    pub fn of_kind(&self, kind: usize) -> Made {
        Made { kind, ..self.clone() }
    }

    /// The same of this connection's first request.
    pub fn on_connection(&self, number: u64) -> Made {
        Made { id: (number, 1), ..self.clone() }
    }

    /// The same with this in place of every large number, and as every instant.
    pub fn with_number(&self, number: u64) -> Made {
        Made { number, ..self.clone() }
    }

    /// The same of a connection that was served: allowed and granted, or denied and answered at once.
    pub fn judged(&self, allowed: bool) -> Made {
        let mut made = self.clone();
        (made.maybe[1], made.maybe[2], made.maybe[3]) = (allowed, false, !allowed);
        made
    }

    /// The same, shed or refused.
    pub fn shed(&self) -> Made {
        let mut made = self.clone();
        made.maybe[2] = true;
        made
    }

    /// The line, LF included, as the `n`th of its segment.
    pub fn line(&self, n: u64, ts: Timestamp) -> Vec<u8> {
        let mut out = Vec::new();
        match self.kind {
            EPOCH | SEAL => self.sign(n, ts, &mut out),
            _ => self.write(|entry| encode::line(entry, n, ts, &mut out)),
        }
        out
    }

    /// The lines that only a signer makes.
    fn sign(&self, n: u64, ts: Timestamp, out: &mut Vec<u8>) {
        let secret = |byte: u8| Secret::from_bytes(&mut [byte; 32]);
        let (hash, some) = (Digest::of(&self.bytes[0]), |i: usize| self.maybe[i]);
        let origin = match (some(0), some(1)) {
            (true, _) => Origin::Genesis,
            (_, known) => Origin::Again(known.then_some(hash)),
        };
        let slot = Slot { epoch: self.number / 2, secret: secret(1), origin };
        let handover = Handover::new(slot, secret(2));
        let mut signer = handover.begin(secret(3), some(2).then_some(hash), n, ts, out);
        if self.kind == SEAL {
            out.clear();
            signer.seal(self.number, hash, secret(4), n, ts, out);
        }
    }

    fn write(&self, to: impl FnOnce(&Entry<'_>)) {
        let [one, two, three] = self.texts.each_ref().map(String::as_str);
        let some = |i: usize, text| self.maybe[i].then_some(text);
        let (number, request) = self.id;
        let id = RequestId { connection: ConnectionId { boot: boot(), number }, number: request };
        let uid = self.maybe[0].then_some(self.small);
        let missing = self.texts.to_vec();
        let (posture, caller) = (self.posture(), self.caller());
        let verdict = if self.maybe[1] { Decided::Allow } else { Decided::Deny(self.refusal) };
        let refused = self.maybe[2].then_some(self.refusal);
        let status = self.maybe[3].then_some(u16::try_from(self.small & 0xffff).unwrap());
        let ts = Timestamp::from_micros(self.number);
        let hash = Digest::of(&self.bytes[0]);
        let run = self.maybe[4].then_some(Run { argv: &missing, user: three });
        let pending = vec![id; self.ids.len().min(PENDING_MOST)];
        to(&match self.kind {
            0 => Entry::Open(Open {
                boot: id.connection.boot,
                role: one,
                uid,
                pid: self.small,
                version: two,
                policy: three,
                missing: &missing,
                posture: &posture,
            }),
            1 => Entry::Conn(Conn { id: id.connection, on: one, caller: &caller, shed: refused }),
            2 => Entry::Grant(Grant {
                id,
                uid: self.small,
                backend: one,
                policy: two,
                refused,
                via: some(5, three),
                run,
            }),
            3 => Entry::Decision(Decision {
                id,
                uid: self.small,
                pid: self.small.cast_signed(),
                method: &self.bytes[0],
                target: &self.bytes[1],
                route: some(4, one),
                verdict,
                by: some(5, two),
                at: some(5, two),
                policy: three,
                shadow: some(2, three),
                part: some(4, two),
                fields: if self.maybe[5] { &missing } else { &[] },
                status,
                us: status.map(|_| self.number),
            }),
            4 => Entry::Outcome(OutcomeOf {
                id,
                status,
                result: self.outcome,
                bytes_in: self.number,
                bytes_out: self.number / 2,
                us: self.number,
            }),
            5 => Entry::Repeat(Repeat {
                uid: self.small,
                on: one,
                route: some(4, two),
                refusal: self.refusal,
                count: self.number,
                first: ts,
                last: ts,
            }),
            6 => Entry::Gate(GateEvent {
                role: one,
                uid,
                pid: self.small,
                event: self.life,
                live: &self.ids,
                syscall: some(4, two),
            }),
            7 => Entry::Policy(PolicyEvent {
                old: some(3, one),
                new: some(4, two),
                file: three,
                refused: some(5, one),
            }),
            8 => Entry::Close(Close { segment: one, bytes: self.number, torn: self.maybe[0] }),
            11 => Entry::Range(Range {
                segment: one,
                from: self.number / 2,
                to: self.number,
                lines: self.small.into(),
                hash,
            }),
            12 if self.maybe[0] => Entry::Recover(Recover::Settled(self.number)),
            12 => Entry::Recover(Recover::Segment {
                segment: one,
                from: self.number / 2,
                to: self.number,
                torn: self.maybe[1],
                why: self.pick(&Interrupted::ALL),
            }),
            13 => Entry::Pending(Pending { segment: one, ids: &pending }),
            14 => Entry::Prune(Prune {
                segment: one,
                bytes: self.number,
                hash: self.maybe[0].then_some(hash),
                why: self.pick(&Pruned::ALL),
                ended: self.maybe[1].then_some(Ended {
                    epoch: self.number,
                    seals: self.small.into(),
                    last: self.maybe[2].then_some(hash),
                }),
            }),
            17 => Entry::Exit(Exit {
                id,
                why: self.pick(&[
                    "done",
                    "timeout",
                    "caller-left",
                    "output",
                    "not-started",
                    "lost",
                    "detached",
                ]),
                what: some(3, two),
                code: self.maybe[0].then_some(self.small.to_le_bytes()[0]),
                signal: self.maybe[1].then_some(self.small.cast_signed()),
                out: self.number,
                err: self.number / 2,
                us: self.number,
                cpu_us: self.number / 3,
                rss_kib: self.small.into(),
            }),
            15 => Entry::Journal(Journalled { count: self.number, first: ts, last: ts }),
            _ => Entry::Intrusion(Intrusion { segment: one, at: self.number, why: self.pick(&Seen::ALL) }),
        });
    }

    /// One of the words that there are.
    fn pick<T: Copy>(&self, all: &[T]) -> T {
        all[self.small as usize % all.len()]
    }

    fn posture(&self) -> Confinement {
        let mut posture = Confinement::default();
        posture.status.uids = [self.small; 4];
        posture.status.capabilities.effective = self.number;
        posture.status.no_new_privs = self.maybe[1];
        posture.landlock = self.maybe[2].then(|| LandlockHeld { abi: self.small, ..Default::default() });
        posture.seccomp_rows = (u16::MAX, 0);
        posture
    }

    fn caller(&self) -> Caller {
        let gids = self.ids.iter().filter_map(|gid| Gid::new(*gid)).collect();
        let known = |i: usize| self.maybe[i];
        Caller {
            peer: Peer {
                uid: self.small,
                gid: self.small,
                pid: self.small.cast_signed(),
                real_uid: known(0).then_some(self.small),
            },
            credentials: Credentials {
                uid: Uid::new(self.small).into(),
                gid: Gid::new(self.small).into(),
                groups: known(1).then_some(gids).into(),
            },
            user: known(1).then(|| self.texts[1].clone()),
            namespace: known(3).then_some(Namespace::Other).into(),
            start_time: known(3).then_some(self.number).into(),
            exe: known(4)
                .then(|| Exe {
                    path: self.bytes[0].clone(),
                    device: self.number,
                    inode: self.number,
                    trusted: Attr::Known(true),
                })
                .into(),
            unit: known(5).then(|| self.texts[2].clone()).into(),
            login_uid: Uid::new(self.small).into(),
            label: if known(5) { Attr::Known(self.bytes[1].clone()) } else { Attr::Unknown },
        }
    }
}
