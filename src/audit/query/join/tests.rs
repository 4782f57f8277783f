use super::*;
use crate::audit::query::{Doubt, Filter};
use std::fs::OpenOptions;
use std::io::Write;

const WARDEN: &str = "20261123T000000.000000Z-7k3qzd-warden-1.ndjson";
const GATE: &str = "20261123T000000.000000Z-7k3qzd-gate-1001-0-2.ndjson";
const OTHER: &str = "20261123T000000.000000Z-7k3qzd-gate-0-0-3.ndjson";
const SCRIBE: &str = "20261123T000000.000000Z-7k3qze-scribe-1.ndjson";

struct Record {
    directory: tempfile::TempDir,
    second: u32,
}

impl Record {
    fn new() -> Record {
        Record { directory: tempfile::tempdir().unwrap(), second: 0 }
    }

    /// One more record, a second later: its kind and what follows `ts`.
    fn add(&mut self, segment: &str, kind: &str, rest: &str) {
        self.second += 1;
        let (minute, second) = (self.second / 60, self.second % 60);
        let head = format!(
            "{{\"v\":1,\"t\":\"{kind}\",\"n\":0,\"ts\":\"2026-11-23T00:{minute:02}:{second:02}.000000Z\""
        );
        let path = self.directory.path().join(segment);
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        writeln!(file, "{head},{rest}}}").unwrap();
    }

    fn conn(&mut self, segment: &str, number: u32, uid: u32) {
        let rest = format!(
            "\"id\":\"7k3qzd-{number}\",\"on\":\"docker\",\"uid\":{uid},\"gid\":100,\"groups\":[7],\"user\":\"deploy\",\"pid\":9"
        );
        self.add(segment, "conn", &rest);
    }

    fn allow(&mut self, segment: &str, id: &str, uid: u32) {
        let rest = format!(
            "\"id\":\"{id}\",\"uid\":{uid},\"pid\":9,\"method\":\"GET\",\"target\":\"/x\",\"route\":\"list\",\"decision\":\"allow\",\"by\":\"who.ci\",\"at\":\"p:1\",\"policy\":\"9f\""
        );
        self.add(segment, "decision", &rest);
    }

    fn deny(&mut self, segment: &str, id: &str, uid: u32) {
        let rest = format!(
            "\"id\":\"{id}\",\"uid\":{uid},\"pid\":9,\"method\":\"GET\",\"target\":\"/x\",\"decision\":\"deny\",\"refusal\":\"no-route\",\"policy\":\"9f\",\"status\":403"
        );
        self.add(segment, "decision", &rest);
    }

    fn grant(&mut self, segment: &str, id: &str) {
        self.add(
            segment,
            "grant",
            &format!("\"id\":\"{id}\",\"uid\":1001,\"backend\":\"docker\",\"policy\":\"9f\""),
        );
    }

    fn outcome(&mut self, segment: &str, id: &str) {
        let rest =
            format!("\"id\":\"{id}\",\"status\":200,\"result\":\"completed\",\"in\":0,\"out\":5,\"us\":70");
        self.add(segment, "outcome", &rest);
    }

    fn items(&self) -> Vec<Item> {
        let mut join = Join::new(Reader::open(self.directory.path()).unwrap());
        std::iter::from_fn(|| join.next_item().unwrap()).collect()
    }

    fn told(&self) -> Vec<String> {
        self.items().iter().map(told).collect()
    }
}

fn told(item: &Item) -> String {
    match item {
        Item::Access(access) => {
            let parts = [
                ("conn", access.conn.is_some()),
                ("decision", access.decision.is_some()),
                ("grant", !access.grants.is_empty()),
                ("outcome", access.outcome.is_some()),
            ];
            let parts: Vec<&str> = parts.into_iter().filter_map(|(name, has)| has.then_some(name)).collect();
            let doubts: Vec<&str> = access.doubts().into_iter().map(Doubt::code).collect();
            format!("{} {} {}", access.id, parts.join("+"), doubts.join("+")).trim_end().to_owned()
        }
        Item::Begun(access) => format!("begun {}", access.id),
        Item::Shed(conn) => format!("shed {}", conn.id),
        Item::Repeat(repeat) => format!("repeat {} of {:?}", repeat.count, repeat.user.as_deref()),
        Item::Event(held) => format!("event {}", held.record().kind()),
        Item::Disbelieved(held) => format!("disbelieved {}", held.record().kind()),
        Item::Garbage(_) => "garbage".to_owned(),
    }
}

#[test]
fn access_is_joined_from_all_its_records() {
    let mut record = Record::new();
    record.conn(WARDEN, 1, 1001);
    record.allow(GATE, "7k3qzd-1-1", 1001);
    record.deny(GATE, "7k3qzd-1-2", 1001);
    record.grant(WARDEN, "7k3qzd-1-1");
    record.outcome(GATE, "7k3qzd-1-1");
    record.allow(GATE, "7k3qzd-1-3", 1001);
    assert_eq!(
        record.told(),
        ["7k3qzd-1-2 conn+decision", "7k3qzd-1-1 conn+decision+grant+outcome", "7k3qzd-1-3 conn+decision"]
    );
    let items = record.items();
    let Item::Access(access) = &items[1] else { panic!("{items:?}") };
    let (conn, decision) = (access.conn.as_ref().unwrap(), access.decision.as_ref().unwrap());
    assert_eq!((conn.on(), conn.user(), conn.exe()), (Some("docker"), Some("deploy"), None));
    assert!(conn.in_group(7) && conn.in_group(100) && !conn.in_group(1));
    assert_eq!(conn.groups().unwrap().collect::<Vec<_>>(), [7]);
    assert_eq!(
        (decision.method(), decision.route(), decision.place()),
        (Some("GET"), Some("list"), Some("p:1"))
    );
    assert_eq!(access.grants[0].backend(), Some("docker"));
    assert_eq!((access.status(), access.us(), access.is_open()), (Some(200), Some(70), false));
}

#[test]
fn lies_of_a_gate_are_not_joined() {
    let mut record = Record::new();
    record.conn(WARDEN, 1, 1001);
    record.conn(GATE, 1, 0);
    record.allow(GATE, "7k3qzd-1-1", 1001);
    // The gate of uid 0 about a request of uid 1001's, of both kinds, and one of another start.
    record.outcome(OTHER, "7k3qzd-1-1");
    record.deny(OTHER, "7k3qzd-1-2", 0);
    record.deny(GATE, "7k3qze-1-1", 1001);
    record.allow(GATE, "7k3qzd-1-1", 1001);
    record.grant(GATE, "7k3qzd-1-1");
    record.add(GATE, "seal", "\"i\":0");
    record.add(WARDEN, "close", "\"segment\":\"x\",\"bytes\":0,\"torn\":false");
    record.outcome(GATE, "7k3qzd-1-1");
    let told = record.told();
    let disbelieved = ["conn", "outcome", "decision", "decision", "decision", "grant", "seal", "close"];
    assert_eq!(told[..8], disbelieved.map(|kind| format!("disbelieved {kind}")));
    assert_eq!(told[8..], ["7k3qzd-1-1 conn+decision+outcome"]);
}

#[test]
fn grant_without_decision_or_after_denial_is_told() {
    let mut record = Record::new();
    record.conn(WARDEN, 1, 1001);
    record.grant(WARDEN, "7k3qzd-1-1");
    record.grant(WARDEN, "7k3qzd-1-2");
    record.deny(GATE, "7k3qzd-1-2", 1001);
    assert_eq!(
        record.told(),
        ["7k3qzd-1-2 conn+decision+grant denied-but-granted", "7k3qzd-1-1 conn+grant decision-missing"]
    );
}

#[test]
fn scribe_of_a_later_start_closes_what_was_left_open() {
    let mut record = Record::new();
    record.conn(WARDEN, 1, 1001);
    record.allow(GATE, "7k3qzd-1-1", 1001);
    record.add(
        SCRIBE,
        "outcome",
        "\"id\":\"7k3qzd-1-1\",\"result\":\"killed-by-restart\",\"in\":0,\"out\":0",
    );
    let items = record.items();
    let Item::Access(access) = &items[0] else { panic!("{items:?}") };
    assert_eq!(access.outcome.as_ref().unwrap().result(), Some("killed-by-restart"));
    assert_eq!((access.us(), access.is_open(), items.len()), (None, false, 1));
}

#[test]
fn repeats_sheds_events_and_garbage_are_items() {
    let mut record = Record::new();
    record.conn(WARDEN, 1, 1001);
    let shed =
        "\"id\":\"7k3qzd-2\",\"on\":\"docker\",\"uid\":0,\"gid\":0,\"pid\":9,\"shed\":\"connection-limit\"";
    record.add(WARDEN, "conn", shed);
    let (first, last) = ("2026-11-23T00:00:01.000000Z", "2026-11-23T00:00:09.000000Z");
    for uid in [1001, 1002] {
        let repeat = format!(
            "\"uid\":{uid},\"on\":\"docker\",\"refusal\":\"no-route\",\"count\":12,\"first\":\"{first}\",\"last\":\"{last}\""
        );
        record.add(GATE, "repeat", &repeat);
    }
    record.add(WARDEN, "policy", "\"file\":\"p\"");
    record.add(GATE, "policy", "\"file\":\"p\"");
    std::fs::write(record.directory.path().join(OTHER), "nonsense\n").unwrap();
    let mut told = record.told();
    told.sort();
    let expected = [
        "disbelieved policy",
        "disbelieved repeat",
        "event policy",
        "garbage",
        "repeat 12 of Some(\"deploy\")",
        "shed 7k3qzd-2",
    ];
    assert_eq!(told, expected);
}

#[test]
fn following_tells_the_beginning_and_keeps_what_has_no_end() {
    let mut record = Record::new();
    record.conn(WARDEN, 1, 1001);
    record.allow(GATE, "7k3qzd-1-1", 1001);
    let mut join = Join::following(Reader::open(record.directory.path()).unwrap());
    assert_eq!(join.next_item().unwrap().as_ref().map(told).unwrap(), "begun 7k3qzd-1-1");
    assert!(join.next_item().unwrap().is_none());
    record.outcome(GATE, "7k3qzd-1-1");
    join.rescan().unwrap();
    let ended = join.next_item().unwrap().unwrap();
    assert_eq!(told(&ended), "7k3qzd-1-1 conn+decision+outcome");
    assert!(Filter::default().covers(&ended));
}

#[test]
fn forgotten_connections_are_those_not_used_lately() {
    let conn = |number: u64| {
        let line = format!(
            "{{\"v\":1,\"t\":\"conn\",\"n\":0,\"ts\":\"2026-11-23T00:00:00.000000Z\",\"id\":\"7k3qzd-{number}\",\"on\":\"d\",\"uid\":1,\"gid\":1,\"pid\":1}}"
        );
        let line = Line { segment: WARDEN.into(), at: 0, bytes: line.into_bytes() };
        Rc::new(Conn::new(Held::new(&line).unwrap()).unwrap())
    };
    let found = |conns: &mut Conns, number| conns.find(conn(number).id).is_some();
    let mut conns = Conns::with_room(4);
    for number in 1..=20 {
        conns.put(&conn(number));
        assert!(found(&mut conns, 1), "used all the time");
    }
    assert_eq!(conns.missed, 0);
    assert!(found(&mut conns, 20) && found(&mut conns, 19) && !found(&mut conns, 2));
    assert_eq!(conns.missed, 1);
    assert!(conns.young.len() + conns.old.len() <= 8);
}

#[test]
fn waiting_beyond_its_room_gives_way_eldest_first_and_forgets_what_ended() {
    let mut waiting = Waiting::default();
    let id = |number: u32| format!("7k3qzd-1-{number}").parse::<RequestId>().unwrap();
    let enter = |waiting: &mut Waiting, number| {
        waiting.entry(id(number), || Box::new(Access::new(id(number), None)));
    };
    for number in [3, 1, 2, 3] {
        enter(&mut waiting, number);
    }
    assert!(waiting.remove(&id(3)).is_some());
    enter(&mut waiting, 3);
    assert_eq!(waiting.by_age.len(), waiting.by_id.len());
    let order: Vec<RequestId> = std::iter::from_fn(|| waiting.pop_eldest()).map(|access| access.id).collect();
    assert_eq!(order, [id(1), id(2), id(3)]);
}

#[test]
fn access_to_a_command_waits_for_the_commands_end() {
    let run = |record: &mut Record, id: &str| {
        record.allow(GATE, id, 1001);
        let rest =
            "\"uid\":1001,\"backend\":\"restart\",\"policy\":\"9f\",\"user\":\"root\",\"argv\":[\"/bin/x\"]";
        record.add(WARDEN, "grant", &format!("\"id\":\"{id}\",{rest}"));
    };
    let exit = |record: &mut Record, id: &str, more: &str| {
        record.add(WARDEN, "exit", &format!("\"id\":\"{id}\",{more},\"out\":0,\"err\":0,\"us\":7"));
    };
    let mut record = Record::new();
    record.conn(WARDEN, 1, 1001);
    for id in ["7k3qzd-1-1", "7k3qzd-1-2", "7k3qzd-1-3"] {
        run(&mut record, id);
    }
    // The first before its request's end, the second after it; of the third none was seen.
    exit(&mut record, "7k3qzd-1-1", "\"why\":\"done\",\"code\":3");
    for id in ["7k3qzd-1-3", "7k3qzd-1-2", "7k3qzd-1-1"] {
        record.outcome(GATE, id);
    }
    exit(&mut record, "7k3qzd-1-2", "\"why\":\"detached\"");
    exit(&mut record, "7k3qzd-1-2", "\"why\":\"done\",\"signal\":9");
    let items = record.items();
    let ends = |item: &Item| match item {
        Item::Access(access) => {
            let ends = access.exits.iter().map(|exit| (exit.why().unwrap().to_owned(), exit.code));
            Some((access.id.to_string(), ends.collect::<Vec<_>>()))
        }
        _ => None,
    };
    let found: Vec<_> = items.iter().filter_map(ends).collect();
    assert_eq!(
        found,
        [
            ("7k3qzd-1-1".to_owned(), vec![("done".to_owned(), Some(3))]),
            ("7k3qzd-1-2".to_owned(), vec![("detached".to_owned(), None)]),
            ("7k3qzd-1-3".to_owned(), vec![]),
        ]
    );
    let events =
        items.iter().filter(|item| matches!(item, Item::Event(held) if held.record().kind() == "exit"));
    assert_eq!(events.count(), 3, "each stands by itself too");
}
