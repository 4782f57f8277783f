use std::fs;
use std::path::Path;

use super::*;
use crate::audit::query::Filter;
use clap::Parser;
use proptest::prelude::*;

#[derive(Parser)]
struct Arguments {
    text: Vec<String>,
    #[command(flatten)]
    filter: Filter,
}

fn question(words: &[&str]) -> Question {
    let parsed = Arguments::try_parse_from(std::iter::once(&"x").chain(words)).ok().unwrap();
    Question { texts: parsed.text, filter: parsed.filter }
}

/// One event in the life of the daemon: who, on which of the connections, what.
#[derive(Debug, Clone)]
struct Step {
    connection: u64,
    what: u8,
    how: usize,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step =
        (1..8_u64, 0..12_u8, 0..4_usize).prop_map(|(connection, what, how)| Step { connection, what, how });
    prop::collection::vec(step, 1..120)
}

const ROUTES: [&str; 4] = ["list", "inspect", "l\\u00e9st", "exec"];
const USERS: [&str; 2] = ["deploy", "o\\u0027hara"];

/// Writes what the steps say: odd connections are uid 1001's, even ones uid 1002's; every tenth second a rotation.
fn write(directory: &Path, steps: &[Step]) {
    let mut asked: BTreeMap<u64, u64> = BTreeMap::new();
    let mut files: BTreeMap<std::path::PathBuf, String> = BTreeMap::new();
    let segment_of = |writer: &str, second: usize| {
        let made = second / 20 * 20;
        directory.join(format!(
            "20261123T00{:02}{:02}.000000Z-7k3qzd-{writer}-{made}.ndjson",
            made / 60,
            made % 60
        ))
    };
    let mut append = |writer: &str, second: usize, kind: &str, rest: &str| {
        let path = segment_of(writer, second);
        let ts = format!("2026-11-23T00:{:02}:{:02}.000000Z", second / 60, second % 60);
        let line = format!("{{\"v\":1,\"t\":\"{kind}\",\"n\":0,\"ts\":\"{ts}\",{rest}}}\n");
        files.entry(path).or_default().push_str(&line);
    };
    for (second, step) in steps.iter().enumerate() {
        let Step { connection, what, how } = *step;
        let uid = 1001 + connection % 2;
        let (gate, route) = (format!("gate-{uid}-0"), ROUTES[how]);
        let conn = format!("7k3qzd-{connection}");
        let number = asked.entry(connection).or_insert(1);
        let asks = format!(
            "\"uid\":{uid},\"pid\":9,\"method\":\"GET\",\"target\":\"/{route}/{second}\",\"route\":\"{route}\""
        );
        match what {
            0 => {
                let user = USERS[usize::from(uid == 1001)].replace("\\u0027", "'");
                let who = format!(
                    "\"id\":\"{conn}\",\"on\":\"docker\",\"uid\":{uid},\"gid\":100,\"groups\":[{uid}],\"user\":\"{user}\",\"pid\":9,\"exe\":\"/bin/{route}\""
                );
                append("warden", second, "conn", &who);
            }
            1..=3 => {
                *number += 1;
                let rest = format!(
                    "\"id\":\"{conn}-{number}\",{asks},\"decision\":\"allow\",\"by\":\"who.ci\",\"at\":\"p:{how}\",\"policy\":\"9f\""
                );
                append(&gate, second, "decision", &rest);
            }
            4 | 5 => {
                *number += 1;
                let rest = format!(
                    "\"id\":\"{conn}-{number}\",{asks},\"decision\":\"deny\",\"refusal\":\"not-allowed\",\"policy\":\"9f\",\"status\":403"
                );
                append(&gate, second, "decision", &rest);
            }
            6 => append(
                "warden",
                second,
                "grant",
                &format!(
                    "\"id\":\"{conn}-{number}\",\"uid\":{uid},\"backend\":\"{route}\",\"policy\":\"9f\""
                ),
            ),
            7 | 8 => {
                let result = ["completed", "backend-died"][how % 2];
                append(
                    &gate,
                    second,
                    "outcome",
                    &format!(
                        "\"id\":\"{conn}-{number}\",\"status\":{},\"result\":\"{result}\",\"in\":0,\"out\":{second},\"us\":{second}000000",
                        [200, 502][how % 2]
                    ),
                );
            }
            9 => append(
                &gate,
                second,
                "repeat",
                &format!(
                    "\"uid\":{uid},\"on\":\"docker\",\"route\":\"{route}\",\"refusal\":\"not-allowed\",\"count\":2,\"first\":\"2026-11-23T00:00:00.000000Z\",\"last\":\"2026-11-23T00:{:02}:{:02}.000000Z\"",
                    second / 60,
                    second % 60
                ),
            ),
            10 => append(
                "warden",
                second,
                "conn",
                &format!(
                    "\"id\":\"{conn}\",\"on\":\"docker\",\"uid\":{uid},\"gid\":1,\"pid\":9,\"shed\":\"connection-limit\""
                ),
            ),
            // A lie, and nonsense.
            _ if how == 0 => append(
                &gate,
                second,
                "grant",
                &format!("\"id\":\"{conn}-{number}\",\"uid\":0,\"backend\":\"list\",\"policy\":\"9f\""),
            ),
            _ => append(&gate, second, "gate", "nonsense list"),
        }
    }
    for (path, text) in files {
        fs::write(path, text).unwrap();
    }
    let scribe = "20261123T000000.000000Z-7k3qzd-scribe-0.ndjson";
    let mut closes = String::new();
    for (n, name) in fs::read_dir(directory).unwrap().enumerate() {
        let name = name.unwrap().file_name().into_string().unwrap();
        let made: usize = name.trim_end_matches(".ndjson").rsplit('-').next().unwrap().parse().unwrap();
        let (minute, second) = ((made + 20) / 60, (made + 20) % 60);
        closes += &format!(
            "{{\"v\":1,\"t\":\"close\",\"n\":{n},\"ts\":\"2026-11-23T00:{minute:02}:{second:02}.000000Z\",\"segment\":\"{name}\",\"bytes\":1,\"torn\":false}}\n"
        );
    }
    fs::write(directory.join(scribe), closes).unwrap();
}

fn told(mut join: Join, question: &Question) -> Vec<String> {
    let mut told = Vec::new();
    while let Some(item) = join.next_item().unwrap() {
        // Nonsense has no time: in a segment that is passed over as a whole it is not seen.
        let timeless = question.filter.since.is_some() && matches!(item, Item::Garbage(_));
        if question.covers(&item) && !timeless {
            told.push(format!("{item:?}"));
        }
    }
    // Where nothing else is read, an access without end comes earlier or later.
    told.sort();
    told
}

const QUESTIONS: &[&[&str]] = &[
    &[],
    &["list"],
    &["l\u{e9}st"],
    &["/exec/", "--decision", "deny"],
    &["backend-died"],
    &["connection-limit"],
    &["nonsense"],
    &["deploy", "list"],
    &["--user", "deploy"],
    &["--user", "o'hara", "--decision", "deny"],
    &["--user", "1001"],
    &["--user", "1002", "--status", "403"],
    &["--user", "deploy,1002", "--since", "2026-11-23T00:00:50Z"],
    &["--group", "1001", "--until", "2026-11-23T00:01:00Z"],
    &["--exe", "inspect"],
    &["--exe", "/bin/*", "--route", "list"],
    &["--on", "docker"],
    &["--route", "l\u{e9}st"],
    &["--route", "list", "--route", "exec"],
    &["--rule", "p:2"],
    &["--rule", "who.*"],
    &["--decision", "deny"],
    &["--decision", "allow", "--since", "2026-11-23T00:00:45Z", "--until", "2026-11-23T00:01:20Z"],
    &["--decision", "deny", "--since", "2026-11-23T00:00:45Z", "--until", "2026-11-23T00:01:20Z"],
    &["--refusal", "not-allowed"],
    &["--refusal", "backend-died", "--until", "2026-11-23T00:00:30Z"],
    &["--refusal", "connection-limit"],
    &["--status", "502"],
    &["--status", "4xx"],
    &["--target", "/list/3"],
    &["--method", "get", "--user", "deploy"],
    &["--req", "7k3qzd-3"],
    &["--req", "7k3qzd-1-1"],
    &["--req", "7k3qzd-1", "--req", "7k3qzd-2-1"],
    &["--since", "2026-11-23T00:01:00Z"],
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 100, ..ProptestConfig::default() })]

    /// The fast way and the plain one find the same, whatever is asked.
    #[test]
    fn search_finds_what_reading_everything_finds(steps in steps()) {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), &steps);
        for words in QUESTIONS {
            let question = question(words);
            let plain = told(Join::new(Reader::open(directory.path()).unwrap()), &question);
            let fast = open(directory.path(), &question, |why| panic!("{why}"), |_| ()).unwrap();
            prop_assert_eq!(told(fast, &question), plain, "{:?}", words);
        }
    }
}

/// A gate that was taken over writes an hour of weeks ago beside the warden's true times; one connection is old.
fn back_dated(directory: &Path) {
    let made = "20261123T100000.000000Z-7k3qzd";
    let line = |kind: &str, ts: &str, rest: &str| {
        format!("{{\"v\":1,\"t\":\"{kind}\",\"n\":0,\"ts\":\"2026-11-{ts}.000000Z\",{rest}}}\n")
    };
    let conn = |number: u8, ts: &str| {
        let rest = format!(
            "\"id\":\"7k3qzd-{number}\",\"on\":\"docker\",\"uid\":1001,\"gid\":1,\"user\":\"deploy\",\"pid\":9"
        );
        line("conn", ts, &rest)
    };
    let decided = |id: &str, ts: &str| {
        let rest = format!(
            "\"id\":\"7k3qzd-{id}\",\"uid\":1001,\"pid\":9,\"method\":\"GET\",\"target\":\"/x\",\"route\":\"list\",\"decision\":\"allow\",\"policy\":\"9f\""
        );
        line("decision", ts, &rest)
    };
    let ended = |id: &str, ts: &str| {
        let rest = "\"status\":200,\"result\":\"completed\",\"in\":0,\"out\":5,\"us\":9";
        line("outcome", ts, &format!("\"id\":\"7k3qzd-{id}\",{rest}"))
    };
    let allow = |id: &str, ts: &str| decided(id, ts) + &ended(id, ts);
    let grant = |id: &str, ts: &str| {
        let rest = format!("\"id\":\"7k3qzd-{id}\",\"uid\":1001,\"backend\":\"docker\",\"policy\":\"9f\"");
        line("grant", ts, &rest)
    };
    let warden = conn(1, "23T10:05:00")
        + &grant("1-1", "23T10:05:01")
        + &conn(2, "23T10:06:00")
        + &grant("2-1", "23T10:06:01")
        + &grant("2-1", "23T15:00:00");
    let gate = allow("1-1", "01T10:05:01")
        // Over the backend that was granted for the one before.
        + &allow("1-2", "01T10:05:02")
        + &decided("2-1", "23T10:06:01")
        + &allow("2-2", "23T13:00:00")
        + &ended("2-1", "23T15:30:00");
    let close = format!("\"segment\":\"{made}-gate-1001-0-2.ndjson\",\"bytes\":1,\"torn\":false");
    fs::write(directory.join(format!("{made}-warden-1.ndjson")), warden).unwrap();
    fs::write(directory.join(format!("{made}-gate-1001-0-2.ndjson")), gate).unwrap();
    fs::write(directory.join(format!("{made}-scribe-3.ndjson")), line("close", "23T16:00:00", &close))
        .unwrap();
}

#[test]
fn access_that_its_gate_back_dated_is_found_at_the_wardens_time() {
    let directory = tempfile::tempdir().unwrap();
    back_dated(directory.path());
    let ids = |words: &[&str]| {
        let question = question(words);
        let mut join = open(directory.path(), &question, |why| panic!("{why}"), |_| ()).unwrap();
        let mut ids = Vec::new();
        while let Some(item) = join.next_item().unwrap() {
            if let Item::Access(access) = item
                && question.filter.covers_access(&access)
            {
                let doubts: Vec<&str> = access.doubts().into_iter().map(|doubt| doubt.code()).collect();
                ids.push(format!("{} {}", access.id, doubts.join("+")));
            }
        }
        ids.sort();
        ids
    };
    const LIE: &str = "7k3qzd-1-1 time-differs";
    for what in [
        &[] as &[&str],
        &["/x"],
        &["--user", "deploy"],
        &["--user", "1001"],
        &["--status", "200"],
        &["--route", "list"],
    ] {
        let then = |times: &[&str]| ids(&[what, times].concat());
        let found = then(&["--since", "2026-11-23T10:05:00Z", "--until", "2026-11-23T10:05:30Z"]);
        assert_eq!(found.first().map(String::as_str), Some(LIE), "{what:?}: {found:?}");
        assert!(found.iter().any(|it| it == "7k3qzd-1-2 time-differs"), "{what:?}: {found:?}");
        assert_eq!(then(&["--until", "2026-11-22"]), [""; 0], "{what:?}");
        // Real delays are none: a request hours after its connection, and a second grant is found at its own time.
        assert_eq!(then(&["--since", "2026-11-23T12:00:00Z"]), ["7k3qzd-2-1 ", "7k3qzd-2-2 "], "{what:?}");
        // What was closed more than a day before is passed over by the scribe's word, not by the gate's.
        assert_eq!(then(&["--since", "2026-11-24T15:59:00Z"]), [""; 0], "{what:?}");
    }
}

#[test]
fn access_after_a_clock_was_set_back_is_found_at_its_own_time() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, lines: &[String]| {
        fs::write(directory.path().join(name), lines.concat()).unwrap();
    };
    let line = |kind: &str, ts: &str, rest: &str| {
        format!("{{\"v\":1,\"t\":\"{kind}\",\"n\":0,\"ts\":\"2026-11-{ts}.000000Z\",{rest}}}\n")
    };
    let conn = |number: u8, ts: &str| {
        let rest = "\"on\":\"docker\",\"uid\":1001,\"gid\":1,\"user\":\"deploy\",\"pid\":9";
        line("conn", ts, &format!("\"id\":\"7k3qzd-{number}\",{rest}"))
    };
    let denied = |number: u8, ts: &str| {
        let rest = "\"uid\":1001,\"pid\":9,\"method\":\"GET\",\"target\":\"/x\",\"route\":\"list\",\
                    \"decision\":\"deny\",\"refusal\":\"forbidden\",\"policy\":\"9f\"";
        line("decision", ts, &format!("\"id\":\"7k3qzd-{number}-1\",{rest}"))
    };
    // Set back by two days before the second request. Names go on; one segment is closed, the other is still open.
    let (first, second) = ("20261123T100000.000000Z-7k3qzd", "20261123T100000.000001Z-7k3qzd");
    write(&format!("{first}-warden-1.ndjson"), &[conn(1, "23T10:05:00"), conn(2, "21T10:05:00")]);
    write(&format!("{first}-gate-1001-0-2.ndjson"), &[denied(1, "23T10:05:00")]);
    write(&format!("{second}-gate-1001-0-3.ndjson"), &[denied(2, "21T10:05:00")]);
    let close = |name: &str| format!("\"segment\":\"{name}\",\"bytes\":1,\"torn\":false");
    let closes = [line("close", "21T10:04:00", &close(&format!("{first}-gate-1001-0-2.ndjson")))];
    write(&format!("{first}-scribe-4.ndjson"), &closes);
    for what in [&[] as &[&str], &["/x"], &["--user", "deploy"], &["--target", "/x"], &["--route", "list"]] {
        let found = |times: &[&str]| {
            let question = question(&[what, times].concat());
            let mut join = open(directory.path(), &question, |why| panic!("{why}"), |_| ()).unwrap();
            let mut found = Vec::new();
            while let Some(item) = join.next_item().unwrap() {
                if let Item::Access(access) = item
                    && question.filter.covers_access(&access)
                {
                    assert_eq!(access.doubts(), [], "{what:?}");
                    found.push(access.id.to_string());
                }
            }
            found
        };
        assert_eq!(found(&["--until", "2026-11-21T12:00:00Z"]), ["7k3qzd-2-1"], "{what:?}");
        assert_eq!(found(&["--since", "2026-11-23T09:00:00Z"]), ["7k3qzd-1-1"], "{what:?}");
    }
}

#[test]
fn scan_blocks_hold_whole_lines_and_find_each_once() {
    let directory = tempfile::tempdir().unwrap();
    let line = |n: usize| format!("{n} {} needle needle\n", "x".repeat(n * 97 % 5_000));
    let text: String = (0..2_000).map(line).collect();
    fs::write(directory.path().join("a"), format!("{text}needle without end")).unwrap();
    let finder = memchr::memmem::Finder::new("needle");
    let mut found = Vec::new();
    let scanned = scan::scan(directory.path(), "a", |block| {
        block.lines_with(&finder, |at, line| found.push((at as usize, line.to_vec())));
    })
    .unwrap();
    assert_eq!((scanned.bytes, scanned.overlong), (text.len() as u64 + 18, None));
    assert_eq!(found.len(), 2_000);
    for (at, line) in found {
        assert!(text.as_bytes()[at..].starts_with(&line));
    }
}

#[test]
fn line_without_end_is_told_and_its_rest_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let long = |length: usize| format!("needle {}needle", "x".repeat(length));
    for length in [0, 20_000, 262_130, 262_131, 262_132, 300_000, 3 << 20] {
        for end in ["\n", ""] {
            let text = format!("needle 1\n{}\nneedle 2\n{}{end}", long(length), long(length));
            fs::write(directory.path().join("a"), &text).unwrap();
            let finder = memchr::memmem::Finder::new("needle");
            let mut found = Vec::new();
            let scanned = scan::scan(directory.path(), "a", |block| {
                block.lines_with(&finder, |at, line| found.push((at as usize, line.len())));
            })
            .unwrap();
            assert_eq!(scanned.bytes, text.len() as u64);
            let is_long = length + 13 >= 256 << 10;
            let whole = length as u64 + 13 + 1;
            assert_eq!(scanned.overlong, is_long.then_some((9, whole)), "{length}");
            // Of a long one the beginning, whether it ends or not.
            let (kept, second) = (if is_long { 16 << 10 } else { length + 13 }, 9 + length + 14);
            let mut expected = vec![(0, 8), (9, kept), (second, 8)];
            expected.extend((is_long || end == "\n").then_some((second + 9, kept)));
            assert_eq!(found, expected, "{length} {end:?}");
        }
    }
}
