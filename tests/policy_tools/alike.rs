//! The tools beside each other, and beside the record.

use super::{Bench, record};

#[test]
fn forbids_times_and_shadows_are_told_alike_from_every_side() {
    let bench = Bench::new();
    let head = "version = 1\n[listen.docker]\npath = \"/run/d.sock\"\n[backend.docker]\nproxy = \"unix:/run/docker.sock\"\n\
                [who.bob]\nuser = \"bob\"\n";
    let route = |id: &str, matches: &str, more: &str| {
        format!("[[route]]\nid = \"{id}\"\nmatch = \"{matches}\"\nto = \"docker\"\nallow = \"bob\"\n{more}")
    };
    let wide = route("wide", "* /{rest...}", "");
    let forbid = |more: &str| {
        format!(
            "[[forbid]]\nid = \"f\"\nmatch = [\"* /exec/{{r...}}\", \"POST /build\", \"GET /secrets\"]\n{more}"
        )
    };
    // Each pattern of a forbid has its line, and `HEAD` is none of its own.
    bench.file("p.toml", &format!("{head}{wide}{}", forbid("")));
    let (out, code) = bench.ask(&["what-can", "p.toml", "bob"]);
    let excepted: Vec<&str> = out
        .lines()
        .filter_map(|line| line.trim().strip_prefix("but not ")?.split(", such as ").next())
        .collect();
    assert_eq!((code, excepted.len()), (Some(0), 3), "{out}");
    for pattern in ["* /exec/{r...}", "POST /build", "GET /secrets"] {
        assert!(excepted.contains(&pattern), "{pattern}: {out}");
    }
    let (value, _) = bench.json(&["what-can", "p.toml", "bob"]);
    let except = &value["listeners"][0]["may"][0]["except"];
    assert!(
        except.as_array().is_some_and(|all| all.len() == 3 && all.iter().all(|it| it["pattern"].is_string()))
    );
    // A forbid of everyone leaves nobody.
    let (out, code) = bench.ask(&["who-can", "p.toml", "HEAD /secrets"]);
    assert!(code == Some(1) && out.contains("may not: user bob: forbid.f forbids it (p.toml:"), "{out}");
    // One with hours says them, on every side.
    let hours = "when = { days = [\"mon\"], from = \"08:00\", to = \"09:00\", zone = \"UTC\" }\n";
    bench.file("timed.toml", &format!("{head}{wide}{}", forbid(hours)));
    let told = "mon from 08:00 to 09:00 in UTC";
    for words in [&["what-can", "timed.toml", "bob"][..], &["who-can", "timed.toml", "POST /build"]] {
        let (out, _) = bench.ask(words);
        assert!(out.contains(&format!("when it is {told}")), "{out}");
    }
    let at = |instant: &str| {
        bench.ask(&["explain", "timed.toml", "--user", "bob", "--at", instant, "POST /build"])
    };
    let (out, code) = at("2026-11-23T08:30:00Z");
    assert!(code == Some(1) && out.contains(&format!("binds this caller at this time ({told})")), "{out}");
    let (out, code) = at("2026-11-23T09:30:00Z");
    assert!(
        code == Some(0) && out.contains(&format!("does not hold at this time, but only {told}")),
        "{out}"
    );
    // What has ended is nobody's any more, and in shadow mode nothing is decided.
    bench.file("over.toml", &format!("{head}{}", route("over", "GET /a", "until = 2020-01-01T00:00:00Z\n")));
    for words in [&["what-can", "over.toml", "bob"][..], &["who-can", "over.toml", "GET /a"]] {
        let (out, code) = bench.ask(words);
        assert!(code == Some(1) && out.contains("(over: nobody may any more)"), "{out}");
    }
    bench.file("shadow.toml", &format!("{head}{wide}{}", forbid("mode = \"shadow\"\n")));
    let (out, code) = bench.ask(&["what-can", "shadow.toml", "bob"]);
    assert!(code == Some(0) && !out.contains("but not"), "{out}");
    let (out, code) = bench.ask(&["explain", "shadow.toml", "--user", "bob", "POST /build"]);
    assert!(code == Some(0) && out.contains("in shadow mode, decides nothing"), "{out}");
    let (value, _) = bench.json(&["diff", "p.toml", "shadow.toml"]);
    assert_eq!(value["gains"][0]["who"], serde_json::json!(["user bob"]), "{value:#}");
}

#[test]
fn explain_of_a_record_leaves_open_what_the_route_would_judge_of_a_hash_or_of_an_unknown_program() {
    let bench = Bench::new();
    let policy = |more: &str, rule: &str| {
        format!(
            "version = 1\n[listen.docker]\npath = \"/run/d.sock\"\n[backend.docker]\nproxy = \"unix:/run/docker.sock\"\n\
             [who.bob]\nuid = [1001]\n{more}[[route]]\nid = \"a\"\nmatch = \"GET /a\"\nto = \"docker\"\n\
             allow = \"bob\"\nquery = {{ token = {rule} }}\n"
        )
    };
    record(
        &bench,
        r#""id":"7k3qzd-1-1","uid":1001,"pid":9,"method":"GET","target":"/a?token=~10d3a97c55e0b412","decision":"allow","route":"a","policy":"9f2c1e77""#,
    );
    let words = ["explain", "p.toml", "--record", "7k3qzd-1-1", "--dir", "audit"];
    let told = "can't be told from the record: the value of token is kept as a hash";
    // Whether the hash itself would be taken or not.
    for rule in ["\"int 1..9\"", "{ text = \"printable\" }"] {
        bench.file("p.toml", &policy("", rule));
        let (out, code) = bench.ask(&words);
        assert!(code == Some(4) && out.contains("verdict    open: ") && out.contains(told), "{rule}: {out}");
        let (out, _) = bench.ask(&[&words[..], &["--format", "json"]].concat());
        assert!(out.contains(r#""verdict":"open""#) && out.contains(r#""refusal":null"#), "{out}");
    }
    // Any value is taken, so its hash is enough.
    bench.file("p.toml", &policy("", "\"any\""));
    assert_eq!(bench.ask(&words).1, Some(0));
    // A program that nobody read then is no program that it is not.
    bench.file("p.toml", &policy("exe = \"/usr/bin/docker\"\n", "\"any\""));
    let (out, code) = bench.ask(&words);
    assert!(code == Some(4) && out.contains("something of the caller that is not on record"), "{out}");
}

#[test]
fn explain_of_a_record_whose_target_is_cut_short_gives_no_verdict() {
    let asked = |more: &str| {
        let bench = Bench::new();
        bench.file(
            "p.toml",
            "version = 1\n[listen.docker]\npath = \"/run/d.sock\"\n[backend.docker]\nproxy = \"unix:/run/docker.sock\"\n\
             [who.bob]\nuid = [1001]\n[[route]]\nid = \"a\"\nmatch = \"GET /a\"\nto = \"docker\"\nallow = \"bob\"\n",
        );
        let decision = format!(
            r#""id":"7k3qzd-1-1","uid":1001,"pid":9,"method":"GET","target":"/a",{more}"decision":"allow","route":"a","policy":"9f2c1e77""#
        );
        record(&bench, &decision);
        bench.ask(&["explain", "p.toml", "--record", "7k3qzd-1-1", "--dir", "audit"])
    };
    assert_eq!(asked("").1, Some(0));
    let (out, code) = asked(r#""target_len":9000,"#);
    assert!(code == Some(3) && out.contains("its target is cut short on record"), "{out}");
}
