//! Policies of several files.

use std::sync::Arc;

use super::{HEAD, House, load, own};
use crate::policy::{Decider, Diagnostics, Include, Includes, Policy, load_files};

/// Files by their path.
struct Files<'a>(&'a [(&'a str, &'a str)]);

impl Includes for Files<'_> {
    fn names(&self, include: &Include) -> Result<Vec<String>, String> {
        if include.directory.ends_with("gone") {
            return Err("can't list gone".to_owned());
        }
        let own = |path: &str| {
            let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
            (include.directory.as_os_str() == directory && include.means(name)).then(|| name.to_owned())
        };
        Ok(self.0.iter().filter_map(|(path, _)| own(path)).collect())
    }

    fn read(&self, include: &Include, name: &str, most: usize) -> Result<Vec<u8>, String> {
        let called = include.call(name);
        let (_, text) = self.0.iter().find(|(path, _)| *path == called).ok_or("can't read it")?;
        Ok(text.bytes().take(most + 1).collect())
    }
}

fn first(include: &str) -> String {
    HEAD.replacen("version = 1\n", &format!("version = 1\ninclude = {include}\n"), 1)
}

fn load_with(first: &str, files: &[(&str, &str)]) -> Result<Policy, Diagnostics> {
    load_files("/etc/peergate/policy.toml", first, &Files(files), &House, &own())
}

#[track_caller]
fn mistakes(include: &str, files: &[(&str, &str)]) -> String {
    load_with(&first(include), files).expect_err("in order").to_string()
}

const WEB: &str = "# the web\n[[route]]\nid = \"web\"\nmatch = \"GET /web\"\nto = \"docker\"\nallow = [\"web\"]\n\
                   [who.web]\nuser = \"bob\"";
const FREEZE: &str = "[[forbid]]\nid = \"freeze\"\nmatch = \"GET /web\"\nwho = \"ci\"\n\
                      [[test]]\nwho = { user = \"bob\" }\nrequest = \"GET /web\"\nexpect = \"allow\"\n";

#[test]
fn files_add_to_one_policy_and_rules_keep_their_places() {
    let files = [("policy.d/web.toml", WEB), ("policy.d/10-freeze.toml", FREEZE), ("policy.d/x.txt", "?")];
    let policy = load_with(&first("\"policy.d/*.toml\""), &files).unwrap_or_else(|wrong| panic!("{wrong}"));
    let asking = super::Asking { decider: Decider::new(Arc::new(policy)) };
    assert_eq!(asking.says("bob", "GET /web"), "allow web by who.web");
    let policy = asking.decider.policy();
    let names: Vec<&str> = policy.files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["policy.d/10-freeze.toml", "policy.d/web.toml"], "in the order of their names");
    let place = |line| policy.place(line);
    assert_eq!(place(policy.routes[0].line), "policy.d/web.toml:3");
    assert_eq!(place(policy.routes[0].allow[0].line), "policy.d/web.toml:6");
    assert_eq!(place(policy.forbids[0].line), "policy.d/10-freeze.toml:2");
    assert_eq!(place(policy.whos[0].line), "policy.toml:7");
    assert_eq!(Policy::from_bytes(&policy.to_bytes().unwrap()).as_ref(), Ok(&**policy));
}

#[test]
fn mistakes_of_every_file_come_at_once_each_in_its_place() {
    let shown = mistakes(
        "\"policy.d/*.toml\"",
        &[
            ("policy.d/a.toml", "[who.a]\nuser = \"bobb\"\n"),
            (
                "policy.d/b.toml",
                "\n\n  [[route]]\nid = \"b\"\nmatch = \"GET /{x:hexx}\"\nto = \"dokker\"\nallow = \"ci\"",
            ),
            ("policy.d/c.toml", "[audit]\ndirectory = \"/x\"\n"),
            ("policy.d/d.toml", "version = 1\n[limits]\n"),
        ],
    );
    for wanted in [
        "policy.d/a.toml:2:8: there is no user `bobb`\n2 | user = \"bobb\"\n  |        ^^^^^^\n  = did you mean `bob`?",
        "policy.d/b.toml:6:6: there is no backend `dokker`",
        "policy.d/b.toml:5:",
        "policy.d/c.toml:1:2: a file that another one includes has no key `audit`",
        "policy.d/d.toml:1:1: a file that another one includes has no key `version`",
        "policy.d/d.toml:2:2: a file that another one includes has no key `limits`",
    ] {
        assert!(shown.contains(wanted), "{wanted}\n{shown}");
    }
}

#[test]
fn file_that_is_no_toml_is_shown_with_its_own_line() {
    let files = [("a.toml", "[who.a]\nuser = \"bob\"\n"), ("b.toml", "[who.b]\nuser = \n")];
    let shown = mistakes("[\"a.toml\", \"b.toml\"]", &files);
    assert!(shown.starts_with("b.toml:2:"), "{shown}");
}

#[test]
fn name_of_two_files_is_an_error_that_shows_both_places() {
    let route = "[[route]]\nid = \"r\"\nmatch = \"GET /r\"\nto = \"docker\"\nallow = \"ops\"\n";
    for (text, wanted) in [
        (
            "[who.ops]\nuser = \"bob\"\n",
            "b.toml:1:6: the who `ops` stands on line 7 of the first file already",
        ),
        ("[backend.docker]\nbuiltin = \"api\"\n", "the backend `docker` stands on line 5 of the first file"),
        ("[listen.docker]\npath = \"/x\"\n", "the listener `docker` stands on line 3 of the first file"),
        (route, "b.toml:2:6: the id `r` stands on line 2 of `a.toml` already"),
    ] {
        let shown = mistakes("[\"a.toml\", \"b.toml\"]", &[("a.toml", route), ("b.toml", text)]);
        assert!(shown.contains(wanted), "{wanted}\n{shown}");
    }
    let tie = route.replace("id = \"r\"", "id = \"s\"");
    let shown = mistakes("[\"a.toml\", \"b.toml\"]", &[("a.toml", route), ("b.toml", &tie)]);
    assert!(shown.contains("of the route `r` on line 3 of `a.toml`"), "{shown}");
}

#[test]
fn what_can_not_be_included_is_said_at_its_entry() {
    let big = "#".repeat(5 << 20);
    for (include, wanted) in [
        ("\"../x.toml\"", "`../x.toml` can't be included"),
        ("\"*/x.toml\"", "with one `*` in its name at most"),
        ("\"gone/*.toml\"", "policy.toml:2:11: can't list gone"),
        ("[\"a.toml\", \"a.*\"]", "`a.toml` is included twice"),
        ("\"big.toml\"", "with `big.toml`, the policy has more than"),
        ("[]", "`include` is empty"),
        ("7", "`include` is a string or a list of strings"),
    ] {
        let shown = mistakes(include, &[("a.toml", ""), ("big.toml", &big)]);
        assert!(shown.contains(wanted), "{include}: {wanted}\n{shown}");
    }
    let many: Vec<(String, &str)> = (0..257).map(|n| (format!("d/{n}.toml"), "")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    assert!(mistakes("\"d/*.toml\"", &many).contains("there are 257 files to include; at most 256 are"));
    // A text that comes from nowhere has nothing beside it.
    let alone = load(&first("\"a.toml\"")).unwrap_err().to_string();
    assert!(alone.contains("only a policy that is read from a file can include others"), "{alone}");
}

#[test]
fn hash_covers_names_and_bytes_of_all_files() {
    let rules = "[[route]]\nid = \"r\"\nmatch = \"GET /r\"\nto = \"docker\"\nallow = \"ops\"\n";
    let hash = |include: &str, files: &[(&str, &str)]| {
        load_with(&format!("{}{rules}", first(include)), files).unwrap().hash
    };
    let both = hash("\"*.toml\"", &[("a.toml", "# 1\n"), ("b.toml", "# 2\n")]);
    for (include, files) in [
        ("\"*.toml\"", [("a.toml", "# 1\n"), ("b.toml", "# 3\n")]),
        ("\"*.toml\"", [("a.toml", "# 1\n"), ("c.toml", "# 2\n")]),
        ("\"*.toml\"", [("a.toml", "# 1\n# 2\n"), ("b.toml", "")]),
        ("[\"a.toml\", \"b.toml\"]", [("a.toml", "# 1\n"), ("b.toml", "# 2\n")]),
    ] {
        assert_ne!(hash(include, &files), both, "{include} {files:?}");
    }
    assert_eq!(hash("\"*.toml\"", &[("b.toml", "# 2\n"), ("a.toml", "# 1\n")]), both, "found in any order");
}
