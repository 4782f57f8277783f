use super::*;
use crate::audit::query::Join;
use crate::audit::reader::Reader;
use clap::Parser;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    filter: Filter,
}

fn filter(arguments: &str) -> Filter {
    let words = std::iter::once("x").chain(arguments.split_whitespace());
    Arguments::try_parse_from(words).unwrap_or_else(|why| panic!("{arguments}: {why}")).filter
}

const RECORDS: &str = r#"{"v":1,"t":"conn","n":0,"ts":"2026-11-23T10:00:00.000000Z","id":"7k3qzd-41","on":"docker","uid":1001,"gid":100,"groups":[7],"user":"deploy","pid":9,"exe":"/usr/bin/docker","unit":"ci.service"}
{"v":1,"t":"decision","n":1,"ts":"2026-11-23T10:00:01.000000Z","id":"7k3qzd-41-1","uid":1001,"pid":9,"method":"GET","target":"/x?a=1","route":"list","decision":"allow","by":"who.ci","at":"policy.toml:42","policy":"9f"}
{"v":1,"t":"outcome","n":2,"ts":"2026-11-23T10:00:09.000000Z","id":"7k3qzd-41-1","status":502,"result":"backend-died","in":0,"out":5,"us":70}
"#;

/// The one access of `RECORDS`, its gate's and its warden's lines in their own segments.
fn access() -> Item {
    let directory = tempfile::tempdir().unwrap();
    let lines: Vec<&str> = RECORDS.lines().collect();
    let write = |writer: &str, lines: &[&str]| {
        let name = format!("20261123T000000.000000Z-7k3qzd-{writer}.ndjson");
        std::fs::write(directory.path().join(name), lines.join("\n") + "\n").unwrap();
    };
    write("warden-1", &lines[..1]);
    write("gate-1001-0-2", &lines[1..]);
    Join::new(Reader::open(directory.path()).unwrap()).next_item().unwrap().unwrap()
}

#[test]
fn filter_options_cover_what_they_name_and_nothing_else() {
    let access = access();
    for (option, covered, others) in [
        ("since", "2026-11-23T10:00:01Z 2026-11-23", "2026-11-23T10:00:02Z 2026-11-24"),
        ("until", "2026-11-23T10:00:02Z 2026-11-23", "2026-11-23T10:00:01Z 2026-11-22"),
        ("user", "deploy 1001 root,deploy", "root 0 deploy2 DEPLOY"),
        ("group", "7 100", "8 1001 root"),
        ("exe", "docker /usr/bin/docker /usr/* d*r", "/docker podman dock"),
        ("unit", "ci.service ci*", "ci"),
        ("on", "docker", "podman"),
        ("route", "list l*", "other"),
        ("rule", "who.ci policy.toml:42 policy.toml:*", "ci policy.toml"),
        ("decision", "allow", "deny"),
        ("refusal", "backend-died backend-*", "not-allowed"),
        ("method", "GET get POST,GET", "POST"),
        ("target", "/x?a=1 /x*", "/x"),
        ("status", "502 5xx 500-504 200,502", "200 4xx 503-504"),
        ("req", "7k3qzd-41 7k3qzd-41-1", "7k3qzd-4 7k3qzd-41-2"),
    ] {
        for (values, expected) in [(covered, true), (others, false)] {
            for value in values.split(' ') {
                let filter = filter(&format!("--{option} {value}"));
                assert_eq!(filter.covers(&access), expected, "--{option} {value}");
            }
        }
    }
}

#[test]
fn filter_one_option_twice_is_either_and_two_are_both() {
    let access = access();
    assert!(filter("--route other --route list --user deploy").covers(&access));
    assert!(!filter("--route list --user root").covers(&access));
}

#[test]
fn filter_bad_values_are_refused_with_an_example() {
    for (arguments, told) in [
        (["--status", "99"], "`403`, `4xx` or `500-504`"),
        (["--status", "504-500"], "`403`, `4xx` or `500-504`"),
        (["--since", "soon"], "`yesterday`"),
        (["--req", "x"], "7k3qzd-41-1"),
        (["--group", "no-such-group-here"], "give that"),
    ] {
        let error =
            Arguments::try_parse_from(std::iter::once("x").chain(arguments)).err().unwrap().to_string();
        assert!(error.contains(told), "{error}");
    }
    assert!(filter("--since -30m").since.is_some(), "a sign is no option");
}
