//! A daemon whose gates were taken over, its policy, and the oracle that is written from that policy by hand.

use std::collections::BTreeMap;

use peergate::model::ids::{BackendId, Generation};
use peergate::wire::message::FromGate;
use peergate::wire::runner::Form;
use serde_json::Value;

use super::super::start_in;
use super::super::support::daemon::{self, Daemon};
use super::super::support::people::person;
use super::super::support::records;
use super::super::support::upstream::Upstream;
use super::caller::Caller;

const POLICY: &str = r#"
[listen.api]
path = "@DIR@/run/api.sock"
mode = "0666"
[listen.side]
path = "@DIR@/run/side.sock"
mode = "0666"

[backend.up]
proxy = "unix:@DIR@/up.sock"
[backend.other]
proxy = "unix:@DIR@/other.sock"
[backend.tool]
command = ["@DIR@/tool", "tool", "{word}", "{n}", "{note}"]
user = "root"
concurrent = 64
params.word = { one_of = ["red", "green", "blue"] }
params.n = { int = "1..9", from = "query", optional = true }
params.note = { text = "name", from = "body", optional = true }
[backend.bobs]
command = ["@DIR@/tool", "bobs", "{word}"]
user = "root"
concurrent = 64
params.word = { text = "name" }
[backend.own]
builtin = "api"
[backend.quiet]
app = "quiet"

[who.alice]
user = ["pg-alice"]
[who.bob]
user = ["pg-bob"]

[[route]]
id = "up"
on = "api"
match = ["GET /up/{rest...}"]
to = "up"
allow = ["alice", "bob"]
[[route]]
id = "other"
on = "api"
match = ["GET /other"]
to = "other"
allow = ["bob"]
[[route]]
id = "side"
on = "side"
match = ["GET /other"]
to = "other"
allow = ["alice"]
[[route]]
id = "tool"
on = "api"
match = ["POST /tool/{word}"]
to = "tool"
allow = ["alice"]
[[route]]
id = "bobs"
on = "api"
match = ["POST /bobs/{word}"]
to = "bobs"
allow = ["bob"]
[[route]]
id = "own"
on = "api"
match = ["GET /_peergate/me"]
to = "own"
allow = ["alice", "bob"]
[[route]]
id = "quiet"
on = "api"
match = ["GET /quiet"]
to = "quiet"
allow = ["bob"]

[[forbid]]
id = "never-blue"
match = ["* /tool/blue"]
who = ["alice"]
"#;

/// The places of the backends in the policy.
pub(super) const UP: u16 = 0;
pub(super) const OTHER: u16 = 1;
pub(super) const TOOL: u16 = 2;
pub(super) const BOBS: u16 = 3;
pub(super) const OWN: u16 = 4;
pub(super) const QUIET: u16 = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Alice,
    Bob,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum On {
    Api,
    Side,
}

/// What the policy says of backends.
pub(super) fn may_open(who: Who, on: On, backend: u16) -> bool {
    match (on, backend) {
        (On::Api, UP) => true,
        (On::Api, OTHER | QUIET) => who == Who::Bob,
        (On::Side, OTHER) => who == Who::Alice,
        _ => false,
    }
}

/// What it says of commands: each request that may run one, as it has to be written.
pub(super) fn may_run(who: Who, on: On, wish: &Wish) -> bool {
    let is = |route, backend, targets: &[&str]| {
        wish.route == route && wish.backend == backend && targets.contains(&wish.target)
    };
    if on != On::Api || wish.method != "POST" {
        return false;
    }
    match who {
        Who::Alice => {
            is("tool", TOOL, &["/tool/red", "/tool/green", "/tool/green?n=7"])
                && [&[][..], &[("note", "x")]].contains(&wish.members)
        }
        Who::Bob => is("bobs", BOBS, &["/bobs/red", "/bobs/blue"]) && wish.members.is_empty(),
    }
}

/// A daemon, who is connected to it, and what they had of it so far.
pub(super) struct World {
    pub(super) daemon: Daemon,
    pub(super) alice: Caller,
    pub(super) beside: Caller,
    pub(super) bob: Caller,
    pub(super) ended: u64,
    pub(super) up: Upstream,
    pub(super) other: Upstream,
    pub(super) tickets: u32,
    pub(super) passed: u32,
    pub(super) ran: u32,
    /// Refusals that have to be on record, by the connection's number.
    pub(super) refused: BTreeMap<u64, usize>,
}

pub(super) fn world(settings: &str) -> World {
    let place = daemon::place();
    let [up, other] = ["up.sock", "other.sock"].map(|name| Upstream::start(&place.path().join(name)));
    let tool = place.path().join("tool");
    std::fs::write(
        &tool,
        format!("#!/usr/bin/dash\necho \"$*\" >> {}/ran\necho \"ran $*\"\n", place.path().display()),
    )
    .unwrap();
    std::fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let daemon = start_in(place, "rogue", &format!("{settings}{POLICY}"));
    let gone = Caller::connect(&daemon, Who::Alice, On::Api);
    let [alice, beside] = [On::Api, On::Side].map(|on| Caller::connect(&daemon, Who::Alice, on));
    let bob = Caller::connect(&daemon, Who::Bob, On::Api);
    let ended = gone.number;
    gone.leave();
    let (tickets, passed, ran, refused) = (0, 0, 0, BTreeMap::new());
    World { daemon, alice, beside, bob, ended, up, other, tickets, passed, ran, refused }
}

/// What a gate asks to be run.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) route: &'static str,
    pub(super) backend: u16,
    pub(super) method: &'static str,
    pub(super) target: &'static str,
    pub(super) members: &'static [(&'static str, &'static str)],
}

/// Whom a message names.
#[derive(Debug, Clone, Copy)]
pub(super) enum Named {
    Alice,
    Beside,
    Bob,
    Ended,
    Nobody(u64),
}

/// A message, before there is a connection's number in it.
#[derive(Debug, Clone)]
pub(super) enum Said {
    Open { backend: u16, by_journal: bool },
    Run(Wish),
    Else(FromGate),
}

#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) from: Who,
    pub(super) lane: u16,
    pub(super) named: Named,
    pub(super) generation: u64,
    pub(super) said: Said,
}

impl World {
    pub(super) fn number(&self, named: Named) -> u64 {
        match named {
            Named::Alice => self.alice.number,
            Named::Beside => self.beside.number,
            Named::Bob => self.bob.number,
            Named::Ended => self.ended,
            Named::Nobody(number) => number,
        }
    }

    /// The live caller that a gate speaks for by this lane, if it is one of its own.
    pub(super) fn own(&self, message: &Message) -> Option<&Caller> {
        let caller = match message.named {
            Named::Alice => &self.alice,
            Named::Beside => &self.beside,
            Named::Bob => &self.bob,
            Named::Ended | Named::Nobody(_) => return None,
        };
        (caller.who == message.from && caller.lane == message.lane).then_some(caller)
    }

    pub(super) fn oracle(&self, message: &Message) -> bool {
        let Some(caller) = self.own(message).filter(|_| message.generation == 1) else { return false };
        match &message.said {
            Said::Open { backend, by_journal } => !by_journal && may_open(caller.who, caller.on, *backend),
            Said::Run(wish) => may_run(caller.who, caller.on, wish),
            Said::Else(_) => false,
        }
    }

    /// Has a gate say it, and compares what came of it with the oracle's word. `None`: it ended the gate.
    pub(super) fn try_it(&mut self, message: &Message) -> Option<Result<(), String>> {
        self.tickets += 1;
        let (ticket, number, may) = (self.tickets, self.number(message.named), self.oracle(message));
        let on_record = self.own(message).is_some();
        let generation = Generation(message.generation);
        let (request, connection) = (ticket, number);
        let bytes = match &message.said {
            Said::Open { backend, by_journal: false } => {
                FromGate::Open { ticket, connection, request, backend: BackendId(*backend), generation }
            }
            Said::Open { backend, by_journal: true } => {
                let (backend, line) =
                    (BackendId(*backend), "{\"t\":\"decision\",\"route\":\"up\"}".to_owned());
                FromGate::OpenByJournal { ticket, connection, request, backend, generation, line }
            }
            Said::Run(wish) => FromGate::Run {
                ticket,
                connection,
                request,
                backend: BackendId(wish.backend),
                generation,
                route: wish.route.to_owned(),
                method: wish.method.to_owned(),
                target: wish.target.to_owned(),
                members: wish.members.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
                form: Form::Whole,
            },
            Said::Else(other) => {
                let caller = self.puller(message.from);
                caller.say(message.lane, other);
                return Some(Ok(()));
            }
        };
        let caller = self.puller(message.from);
        let answer = caller.ask(message.lane, ticket, &bytes)?;
        let told = format!("{message:?}: {answer:?}, and the policy says {may}");
        if answer.is_ok() != may {
            return Some(Err(told));
        }
        if !may {
            let recorded = on_record && !matches!(message.said, Said::Open { by_journal: true, .. });
            *self.refused.entry(number).or_default() += usize::from(recorded);
            return Some(Ok(()));
        }
        self.passed += 1;
        Some(self.is_what_it_says(message, ticket).ok_or(told))
    }

    /// Whether what was passed leads where it should and nowhere else.
    pub(super) fn is_what_it_says(&mut self, message: &Message, ticket: u32) -> Option<()> {
        let (request, line) =
            (format!("GET /{ticket} HTTP/1.1\r\nHost: x\r\n\r\n"), format!("GET /{ticket}"));
        match &message.said {
            Said::Open { backend: UP, .. } => {
                self.puller(message.from).use_backend(ticket, &request);
                (self.up.asked().contains(&line) && !self.other.asked().contains(&line)).then_some(())
            }
            Said::Open { backend: OTHER, .. } => {
                self.puller(message.from).use_backend(ticket, &request);
                (self.other.asked().contains(&line) && !self.up.asked().contains(&line)).then_some(())
            }
            Said::Run(wish) => {
                self.ran += 1;
                let said = self.puller(message.from).use_backend(ticket, "");
                let word = wish.target.split(['/', '?']).nth(2).unwrap();
                let tool = if wish.backend == TOOL { "tool" } else { "bobs" };
                said.contains(&format!("ran {tool} {word}")).then_some(())
            }
            _ => Some(()),
        }
    }

    pub(super) fn puller(&mut self, who: Who) -> &mut Caller {
        if who == Who::Alice { &mut self.alice } else { &mut self.bob }
    }

    /// A message of an honest gate's, to be changed.
    pub(super) fn honest(&self, from: Who, said: Said) -> Message {
        let caller = if from == Who::Alice { &self.alice } else { &self.bob };
        let named = if from == Who::Alice { Named::Alice } else { Named::Bob };
        Message { from, lane: caller.lane, named, generation: 1, said }
    }

    /// What is on record, and what the commands did, is what was granted.
    pub(super) fn close(self) {
        let ran = std::fs::read_to_string(self.daemon.path("ran")).unwrap_or_default();
        assert_eq!(ran.lines().count(), usize::try_from(self.ran).unwrap(), "{ran}");
        let of_nobody = |line: &&str| line.starts_with("tool blue");
        assert_eq!(ran.lines().find(of_nobody), None, "what a forbid takes was run");
        let (alice, bob) = (person("pg-alice").uid.as_raw(), person("pg-bob").uid.as_raw());
        let uids =
            BTreeMap::from([(self.alice.number, alice), (self.beside.number, alice), (self.bob.number, bob)]);
        let granted = usize::try_from(self.passed).unwrap();
        let refused: usize = self.refused.values().sum();
        let grants = records::wait(&self.daemon.path("audit"), |all| {
            let grants: Vec<Value> = all.iter().filter(|record| record["t"] == "grant").cloned().collect();
            (grants.len() >= granted + refused).then_some(grants)
        });
        let passed = grants.iter().filter(|grant| grant["refused"].is_null()).count();
        assert_eq!((passed, grants.len() - passed), (granted, refused), "{grants:#?}");
        for grant in &grants {
            let number: u64 = grant["id"].as_str().unwrap().split('-').nth(1).unwrap().parse().unwrap();
            assert_eq!(grant["uid"], uids[&number], "{grant}");
        }
        self.daemon.kill_all();
    }
}
