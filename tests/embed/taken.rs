//! A gate that was taken over (`rogue.rs`) says to the warden what it likes, and gets nothing that its live callers could
//! not get. The oracle is written from the policy, by hand.

use std::cell::RefCell;
use std::path::Path;

use peergate::model::ids::{BackendId, Generation};
use peergate::wire::channel::MAX_BYTES;
use peergate::wire::message::{FromGate, ToGate};
use peergate::wire::runner::Form;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

use super::start_in;
use super::support::daemon;
use super::support::people::person;
use crate::need_root;
use caller::{Caller, hex};
use world::{BOBS, Message, Named, OTHER, OWN, On, QUIET, Said, TOOL, UP, Who, Wish, world};

#[path = "taken/caller.rs"]
mod caller;
#[path = "taken/world.rs"]
mod world;

const TARGETS: [&str; 22] = [
    "/tool/red",
    "/tool/green",
    "/tool/green?n=7",
    "/tool/blue",
    "/tool/blue/",
    "/tool/blue?n=7",
    "/tool/%62lue",
    "/tool/red?n=10",
    "/tool/red?n=1&n=1",
    "/tool/red?word=green",
    "/tool/-red",
    "/tool/red/../blue",
    "/tool/red%2Fblue",
    "/tool/blue;x",
    "/tool/",
    "/bobs/red",
    "/bobs/blue",
    "/bobs/-rf",
    "/up/x",
    "tool/red",
    "*",
    "",
];

const MEMBERS: [&[(&str, &str)]; 7] = [
    &[],
    &[("note", "x")],
    &[("note", "-x")],
    &[("note", "x"), ("note", "y")],
    &[("word", "blue")],
    &[("n", "7")],
    &[("other", "x")],
];

fn backend() -> impl Strategy<Value = u16> {
    prop_oneof![6 => UP..=QUIET, 1 => Just(6), 1 => Just(u16::MAX)]
}

fn wish() -> impl Strategy<Value = Wish> {
    let route =
        prop::sample::select(vec!["tool", "tool", "tool", "bobs", "bobs", "up", "own", "nowhere", ""]);
    let method =
        prop::sample::select(vec!["POST", "POST", "POST", "POST", "GET", "HEAD", "post", "PO ST", ""]);
    let backend = prop_oneof![3 => Just(TOOL), 2 => Just(BOBS), 1 => backend()];
    let (target, members) = (prop::sample::select(TARGETS.to_vec()), prop::sample::select(MEMBERS.to_vec()));
    let members = prop_oneof![2 => Just(MEMBERS[0]), 1 => members];
    (route, backend, method, target, members).prop_map(|(route, backend, method, target, members)| Wish {
        route,
        backend,
        method,
        target,
        members,
    })
}

/// What needs no answer: of a gate's own life, at the wrong time, about others.
fn noise() -> impl Strategy<Value = FromGate> {
    prop_oneof![
        any::<u64>().prop_map(|connection| FromGate::Panicked { connection }),
        (0..3_u64).prop_map(|generation| FromGate::Adopted { generation: Generation(generation) }),
        any::<u64>().prop_map(|written| FromGate::Reserve { written }),
        Just(FromGate::Switched),
        Just(FromGate::Drained),
        Just(FromGate::Ready { confined: Box::default() }),
        (any::<u64>(), ".{0,40}")
            .prop_map(|(connection, line)| FromGate::SettledByJournal { connection, line }),
    ]
}

/// Stands for the lane that has the puller's own connection.
const OWN_LANE: u16 = u16::MAX;

/// Anything.
fn message() -> impl Strategy<Value = Message> {
    let from = prop::sample::select(vec![Who::Alice, Who::Alice, Who::Bob]);
    let named = prop_oneof![
        4 => Just(Named::Alice),
        2 => Just(Named::Beside),
        3 => Just(Named::Bob),
        1 => Just(Named::Ended),
        1 => any::<u64>().prop_map(Named::Nobody),
        1 => (0..12_u64).prop_map(Named::Nobody),
    ];
    let generation = prop_oneof![12 => Just(1), 1 => Just(0), 1 => Just(2), 1 => any::<u64>()];
    let said = prop_oneof![
        4 => (backend(), prop::bool::weighted(0.1))
            .prop_map(|(backend, by_journal)| Said::Open { backend, by_journal }),
        6 => wish().prop_map(Said::Run),
        1 => noise().prop_map(Said::Else),
    ];
    let lane = prop_oneof![3 => Just(OWN_LANE), 1 => 0..2_u16];
    let parts = (from, lane, named, generation, said);
    parts.prop_map(|(from, lane, named, generation, said)| Message { from, lane, named, generation, said })
}

/// What honest gates say, and where it is not, it is by one word.
fn nearly_honest() -> impl Strategy<Value = Message> {
    let honest = prop_oneof![
        (Just(Who::Alice), Just(Said::Run(red()))),
        (Just(Who::Alice), Just(Said::Open { backend: UP, by_journal: false })),
        (
            Just(Who::Bob),
            Just(Said::Run(Wish { route: "bobs", backend: BOBS, target: "/bobs/red", ..red() }))
        ),
        (Just(Who::Bob), Just(Said::Open { backend: OTHER, by_journal: false })),
    ];
    (honest, 0..10_u8, message(), wish()).prop_map(|((from, said), which, other, wish)| {
        let named = if from == Who::Alice { Named::Alice } else { Named::Bob };
        let mut message = Message { from, lane: OWN_LANE, named, generation: 1, said };
        match (which, &mut message.said) {
            (0, _) => message.named = other.named,
            (1, _) => message.generation = other.generation,
            (2, _) => message.lane = other.lane,
            (3, Said::Run(own)) => own.route = wish.route,
            (4, Said::Run(own)) => own.backend = wish.backend,
            (5, Said::Run(own)) => own.method = wish.method,
            (6 | 7, Said::Run(own)) => own.target = wish.target,
            (8, Said::Run(own)) => own.members = wish.members,
            (3..=5, Said::Open { backend, .. }) => *backend = wish.backend,
            _ => {}
        }
        message
    })
}

#[test]
fn gate_that_was_taken_over_gets_what_its_live_callers_could_get_and_no_more() {
    need_root!();
    let world = RefCell::new(world(""));
    let config = Config { cases: 40, failure_persistence: None, ..Config::default() };
    let judged = TestRunner::new(config).run(
        &prop::collection::vec(prop_oneof![message(), nearly_honest()], 1..40),
        |messages| {
            for mut message in messages {
                let mut world = world.borrow_mut();
                if message.lane == OWN_LANE {
                    message.lane = world.puller(message.from).lane;
                }
                // A number of an open connection that came by chance is that connection.
                for (number, named) in [
                    (world.alice.number, Named::Alice),
                    (world.beside.number, Named::Beside),
                    (world.bob.number, Named::Bob),
                ] {
                    if matches!(message.named, Named::Nobody(nobody) if nobody == number) {
                        message.named = named;
                    }
                }
                match world.try_it(&message) {
                    Some(judged) => judged.map_err(TestCaseError::fail)?,
                    None => return Err(TestCaseError::fail(format!("{message:?} ended the gate"))),
                }
            }
            Ok(())
        },
    );
    judged.unwrap_or_else(|why| panic!("{why}"));
    let world = world.into_inner();
    assert!(
        world.passed > 30 && world.ran > 5,
        "{} passed, {} ran: too few to say anything",
        world.passed,
        world.ran
    );
    world.close();
}

fn red() -> Wish {
    Wish { route: "tool", backend: TOOL, method: "POST", target: "/tool/red", members: &[] }
}

#[test]
fn gate_that_was_taken_over_tries_what_comes_to_mind() {
    need_root!();
    let mut world = world("");
    let open = |backend| Said::Open { backend, by_journal: false };
    let mut attacks = Vec::new();
    let mut attack = |name: &'static str, message: Message| attacks.push((name, message));
    let honest = |said| world.honest(Who::Alice, said);
    for named in [Named::Bob, Named::Ended, Named::Nobody(0), Named::Nobody(u64::MAX)] {
        attack("somebody else's connection, for a backend", Message { named, ..honest(open(UP)) });
        attack("and for a command", Message { named, ..honest(Said::Run(red())) });
    }
    let bobs = Wish { route: "bobs", backend: BOBS, target: "/bobs/red", ..red() };
    attack(
        "somebody else's command, for him",
        Message { named: Named::Bob, ..honest(Said::Run(bobs.clone())) },
    );
    attack("somebody else's command, for oneself", honest(Said::Run(bobs)));
    attack("a backend that the other listener alone leads to", honest(open(OTHER)));
    attack("an app", honest(open(QUIET)));
    attack("the gate's own API", honest(open(OWN)));
    attack("no backend", honest(open(6)));
    attack("a command, as a backend", honest(open(TOOL)));
    attack("a backend, as a command", honest(Said::Run(Wish { backend: UP, ..red() })));
    attack("another command by this route", honest(Said::Run(Wish { backend: BOBS, ..red() })));
    attack("a policy that was", Message { generation: 0, ..honest(open(UP)) });
    attack("a policy that will be", Message { generation: 2, ..honest(Said::Run(red())) });
    attack("the journal, which no route lets stand in", honest(Said::Open { backend: UP, by_journal: true }));
    for target in TARGETS {
        if !["/tool/red", "/tool/green", "/tool/green?n=7"].contains(&target) {
            attack("another target, blue among them", honest(Said::Run(Wish { target, ..red() })));
        }
    }
    for method in ["GET", "HEAD", "post", "", "POST /tool/red"] {
        attack("another method", honest(Said::Run(Wish { method, ..red() })));
    }
    for members in MEMBERS.into_iter().skip(2) {
        attack("values from where they don't come", honest(Said::Run(Wish { members, ..red() })));
    }
    for (name, message) in attacks {
        assert!(!world.oracle(&message), "{name} is no attack: {message:?}");
        let judged = world.try_it(&message).unwrap_or_else(|| panic!("{name}: the gate was ended"));
        judged.unwrap_or_else(|why| panic!("{name}: {why}"));
    }
    // All the time an honest question would have been answered.
    for said in [open(UP), Said::Run(red())] {
        let message = world.honest(Who::Alice, said);
        world.try_it(&message).unwrap().unwrap_or_else(|why| panic!("{why}"));
    }
    assert_eq!((world.passed, world.ran), (2, 1));
    world.close();
}

#[test]
fn gate_that_says_no_message_is_ended_and_nobody_else_notices() {
    need_root!();
    let mut world = world("");
    let message = postcard::to_stdvec(&FromGate::Switched).unwrap();
    let mut behind = message.clone();
    behind.push(0);
    let of_the_warden = postcard::to_stdvec(&ToGate::Drain { within_ms: u32::MAX }).unwrap();
    let half = postcard::to_stdvec(&FromGate::Panicked { connection: u64::MAX }).unwrap();
    let lengths = [11, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    let said: [(&str, &str, &[u8]); 7] = [
        ("no message", "say", &[0xff; 7]),
        ("half of one", "say", &half[..half.len() - 1]),
        ("something behind one", "say", &behind),
        ("more than one may hold", "say", &vec![0; MAX_BYTES + 1]),
        ("a length beyond all bounds", "say", &lengths),
        ("a message that gates get", "say", &[&of_the_warden[..], &[0xff]].concat()),
        ("a descriptor", "pass", &message),
    ];
    let count = said.len();
    for (name, how, bytes) in said {
        let lane = world.alice.lane;
        world.alice.pull(&format!("{how} {lane} {}", hex(bytes)));
        assert_eq!(world.alice.hear_or_end("nothing"), None, "{name}: her connection ends");
        assert_eq!(world.beside.hear_or_end("nothing"), None, "{name}: and her other one");
        let bobs = world.honest(Who::Bob, Said::Open { backend: UP, by_journal: false });
        world.try_it(&bobs).expect(name).unwrap();
        let [alice, beside] = [On::Api, On::Side].map(|on| Caller::connect(&world.daemon, Who::Alice, on));
        (world.alice, world.beside) = (alice, beside);
    }
    let alice = person("pg-alice").uid.as_raw();
    let deaths = world.daemon.records();
    let deaths = deaths.iter().filter(|r| r["t"] == "gate" && r["event"] == "killed");
    let whose: Vec<&Value> = deaths.map(|death| &death["uid"]).collect();
    assert_eq!(whose, vec![&Value::from(alice); count], "each death is on record, and none was bob's");
    world.daemon.kill_all();
}

#[test]
fn gate_that_floods_the_warden_holds_up_nobody() {
    need_root!();
    /// Beyond what one uid may ask for within a second, and what its queue takes.
    const MANY: u32 = 6_000;
    let mut world = world("[limits]\ndecisions = \"500/s\"\n");
    let (number, lane) = (world.alice.number, world.alice.lane);
    // It asks on and on, and reads no answer.
    world.alice.pull("mute");
    for ticket in 1_000_000..1_000_000 + MANY {
        let (connection, request, backend, generation) = (number, ticket, BackendId(6), Generation(1));
        world.alice.say(lane, &FromGate::Open { ticket, connection, request, backend, generation });
        if ticket % 500 == 0 {
            let bobs = world.honest(Who::Bob, Said::Open { backend: UP, by_journal: false });
            world.try_it(&bobs).unwrap().unwrap();
        }
    }
    world.alice.pull("hear");
    // What the warden had no more room to hear it did not hear, and all that it heard it answers.
    let answered = (0..MANY).map(|_| world.alice.hear("")).filter(|line| line.starts_with("answer")).count();
    assert!(answered > 0, "nothing was answered");
    let bobs = world.honest(Who::Bob, Said::Open { backend: UP, by_journal: false });
    world.try_it(&bobs).unwrap().unwrap();
    let grants = world.daemon.records_of("grant");
    let refused = grants.iter().filter(|grant| !grant["refused"].is_null()).count();
    assert!(refused < answered, "{refused} records of {answered} questions: the rate has no bound");
    world.daemon.kill_all();
}

const ALONE: &str = r#"
[listen.api]
path = "@DIR@/run/api.sock"
mode = "0666"
[backend.alone]
command = ["@DIR@/alone"]
user = "root"
one_at_a_time = true
queue = 4
[backend.quiet]
app = "quiet"
[who.alice]
user = ["pg-alice"]
[[route]]
id = "alone"
match = ["POST /alone"]
to = "alone"
allow = ["alice"]
"#;

#[test]
fn gate_that_was_taken_over_has_one_wish_waiting_for_each_live_connection() {
    need_root!();
    let place = daemon::place();
    let [alone, wait] = ["alone", "wait"].map(|name| place.path().join(name));
    std::fs::write(&alone, format!("#!/usr/bin/dash\nread -r word < {}\n", wait.display())).unwrap();
    std::fs::set_permissions(&alone, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    nix::unistd::mkfifo(&wait, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let daemon = start_in(place, "rogue", ALONE);
    let mut callers = [(); 2].map(|()| Caller::connect(&daemon, Who::Alice, On::Api));
    let wish = |caller: &Caller, ticket: u32| FromGate::Run {
        ticket,
        connection: caller.number,
        request: ticket,
        backend: BackendId(0),
        generation: Generation(1),
        route: "alone".to_owned(),
        method: "POST".to_owned(),
        target: "/alone".to_owned(),
        members: Vec::new(),
        form: Form::Whole,
    };
    let busy = Some(Err("Err(CommandBusy)".to_owned()));
    let first = wish(&callers[0], 1);
    let lane = callers[0].lane;
    assert_eq!(callers[0].ask(lane, 1, &first), Some(Ok(())), "it runs");
    for (caller, ticket) in callers.iter_mut().zip([10, 20]) {
        let lane = caller.lane;
        let (waits, more) = (wish(caller, ticket), wish(caller, ticket + 1));
        caller.say(lane, &waits);
        // There is room in the queue, and not for one more of this connection's.
        assert_eq!(caller.ask(lane, ticket + 1, &more), busy);
    }
    for ticket in [10, 20] {
        std::fs::write(&wait, "go\n").unwrap();
        callers[0].hear(&format!("answer {ticket} with Ok"));
    }
    std::fs::write(&wait, "go\n").unwrap();
    while daemon.records_of("exit").len() < 3 {
        std::thread::yield_now();
    }
    daemon.kill_all();
}

/// Where the program of this file lies is said once, in `Cargo.toml`.
#[test]
fn rogue_is_no_part_of_what_is_shipped() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let of_rogue: Vec<&str> = manifest.split("[[").filter(|part| part.contains("rogue")).collect();
    assert!(matches!(of_rogue[..], [one] if one.starts_with("example]]")), "{of_rogue:?}");
}
