//! Each lint, where it is found and where it is silent.

use super::{HEAD, House, own};
use crate::policy::grants::Known;
use crate::policy::lint::{Lint, lint};
use crate::policy::snapshot::Daemon;
use crate::policy::{Draft, Include, Includes};

const PAGE: &str = include_str!("../../manual/workshop.md");

fn draft(text: &str) -> Draft {
    Draft::read("policy.toml", text, &House, &own()).unwrap_or_else(|wrong| panic!("{wrong}"))
}

/// `name line` of each finding but those that are about what most texts here lack.
fn found(text: &str) -> Vec<String> {
    let known = Known::of(&House, ["docker-ops", "docker-users", "empty"]);
    let daemon = Daemon { uid: super::uid(0), gid: super::gid(0) };
    let findings = lint(&draft(text), &known, daemon);
    let quiet = [Lint::Untested, Lint::UnusedWho, Lint::BackendOwner, Lint::ClosedSocket];
    let loud = findings.iter().filter(|finding| !quiet.contains(&finding.lint));
    loud.map(|finding| format!("{} {}", finding.lint, finding.shown.line)).collect()
}

fn all(text: &str) -> Vec<(String, String)> {
    let known = Known::of(&House, ["docker-ops", "docker-users", "empty"]);
    let daemon = Daemon { uid: super::uid(0), gid: super::gid(0) };
    let told = lint(&draft(text), &known, daemon).into_iter();
    told.map(|finding| (finding.lint.name().to_owned(), finding.shown.message)).collect()
}

/// HEAD has eleven lines, so the first line of `rules` is the twelfth.
fn of(rules: &str) -> Vec<String> {
    found(&format!("{HEAD}{rules}"))
}

fn route(id: &str, matches: &str, allow: &str) -> String {
    format!("[[route]]\nid = \"{id}\"\nmatch = {matches}\nto = \"docker\"\nallow = {allow}\n")
}

#[test]
fn lint_of_a_plain_policy_finds_nothing() {
    assert_eq!(of(&route("a", "\"GET /info\"", "\"users\"")), [""; 0]);
}

#[test]
fn lint_rights_that_make_root_are_named_with_who_has_them() {
    let rules = route("a", r#"["POST /containers/create", "GET /x"]"#, "\"ops\"")
        + &route("b", "\"* /{r...}\"", "\"ci\"");
    let told = all(&format!("{HEAD}{rules}"));
    let root: Vec<&str> = told
        .iter()
        .filter(|(lint, _)| lint == "root-equivalent")
        .map(|(_, message)| message.as_str())
        .collect();
    assert!(
        root[0].starts_with("`POST /containers/create` is allowed to group docker-ops, user alice: "),
        "{root:?}"
    );
    assert!(
        root.iter().any(|message| message.contains("`POST /containers/x/exec` is allowed to user ci")),
        "{root:?}"
    );
    // Another service may have the same paths.
    let other = format!("{HEAD}{rules}")
        .replace("backend.docker", "backend.app")
        .replace("/run/docker", "/run/app")
        .replace("to = \"docker\"", "to = \"app\"");
    assert!(all(&other).iter().all(|(lint, _)| lint != "root-equivalent"));
}

#[test]
fn lint_wide_route_is_one_finding_for_people_and_each_request_for_programs() {
    let text = format!(
        "{HEAD}{}{}",
        route("wide", "\"* /{r...}\"", "\"ci\""),
        route("build", r#"["POST /build", "POST /commit"]"#, "\"ops\"")
    );
    let known = Known::of(&House, ["docker-ops", "docker-users", "empty"]);
    let daemon = Daemon { uid: super::uid(0), gid: super::gid(0) };
    let findings = lint(&draft(&text), &known, daemon);
    let root = |findings: &[crate::policy::lint::Finding]| -> Vec<String> {
        let root = findings.iter().filter(|finding| finding.lint == Lint::RootEquivalent);
        root.map(|finding| finding.shown.message.clone()).collect()
    };
    let each = root(&findings);
    assert!(each.len() > 35, "{each:#?}");
    let told = root(&crate::policy::lint::gathered(&findings));
    let count = each.len() - 2;
    let rest = count - 3;
    assert_eq!(
        told,
        [
            format!(
                "route `wide` lets user ci become root of the host by {count} requests: `POST /containers/create` (a \
                 container can be privileged, and mount any directory of the host), `POST /containers/x/exec` (whoever \
                 may enter a privileged container is root of the host), `POST /exec/0/start` (it runs what was prepared \
                 by exec, in a privileged container too), and {rest} more that `--format json` lists [root-equivalent]"
            ),
            "route `build` lets group docker-ops, user alice become root of the host by 2 requests: `POST /build` (a \
             build runs commands as root, and may ask for more), `POST /commit` (it makes an image of a container, with \
             what others run as root later) [root-equivalent]"
                .to_owned(),
        ]
    );
    let others = |findings: &[crate::policy::lint::Finding]| {
        findings.iter().filter(|finding| finding.way.is_none()).count()
    };
    assert_eq!(others(&crate::policy::lint::gathered(&findings)), others(&findings));
}

#[test]
fn lint_body_rule_is_judged_by_what_it_lets_through() {
    let create = |at: &str, json: &str| {
        let body = format!("body = {{ max = \"1KiB\", json = {{ {json} }} }}\n");
        let told = all(&format!("{HEAD}{}{body}", route("a", &format!("{at:?}"), "\"ops\"")));
        let root = told.into_iter().filter(|(lint, _)| lint == "root-equivalent");
        root.map(|(_, message)| message).collect::<Vec<_>>()
    };
    let containers = "POST /containers/create";
    for tight in [
        r#"allow = ["/Image", "/Cmd/*"]"#,
        r#"allow = ["/Image"], others = "zero", required = ["/Image"]"#,
        r#"allow = ["/Image"], values = { "/HostConfig/NetworkMode" = { one_of = ["none", "bridge"] } }"#,
        r#"values = { "/HostConfig/Binds/*" = { one_of = ["/srv/build:/build"] } }"#,
        r#"allow = ["/HostConfig/Memory"], others = "zero", null = ["/HostConfig/MaskedPaths", "/HostConfig/ReadonlyPaths"]"#,
    ] {
        assert_eq!(create(containers, tight), [""; 0], "{tight}");
    }
    for (loose, by) in [
        (r#"allow = ["/**"]"#, "Privileged"),
        (r#"allow = ["/HostConfig/**"], required = ["/Image"]"#, "Privileged"),
        (r#"allow = ["/Image", "/HostConfig/Binds/*"]"#, "Binds"),
        (r#"values = { "/HostConfig/Binds/*" = { text = "printable" } }"#, "Binds"),
        (r#"allow = ["/HostConfig/Mounts/**"]"#, "Mounts"),
        (r#"allow = ["/HostConfig/Devices/*/*"]"#, "Devices"),
        (r#"allow = ["/HostConfig/CapAdd/*"]"#, "CapAdd"),
        (r#"allow = ["/HostConfig/PidMode"]"#, "PidMode"),
        (r#"allow = ["/HostConfig/SecurityOpt/*"]"#, "SecurityOpt"),
        (r#"allow = ["/HostConfig/Memory"], others = "zero""#, "MaskedPaths"),
    ] {
        let told = create(containers, loose);
        assert!(told.len() == 1 && told[0].contains(by), "{loose}: {told:?}");
        assert!(told[0].contains("allowed to group docker-ops, user alice"), "{told:?}");
    }
    let exec = "POST /containers/{id}/exec";
    assert_eq!(create(exec, r#"values = { "/Cmd/*" = { one_of = ["pg_dump"] } }"#), [""; 0]);
    assert_eq!(create(exec, r#"allow = ["/Cmd/*"]"#).len(), 1);
    assert_eq!(create("POST /libpod/containers/create", r#"allow = ["/image"]"#), [""; 0]);
    assert_eq!(create("POST /libpod/containers/create", r#"allow = ["/privileged"]"#).len(), 1);
    // No body makes these harmless.
    assert_eq!(create("POST /commit", r#"allow = ["/Image"]"#).len(), 1);
}

/// What a directory of drop-in files holds, as a draft reads it.
struct Files(&'static [(&'static str, &'static str)]);

impl Includes for Files {
    fn names(&self, include: &Include) -> Result<Vec<String>, String> {
        let names = self.0.iter().map(|(name, _)| (*name).to_owned());
        Ok(names.filter(|name| include.means(name)).collect())
    }

    fn read(&self, _include: &Include, name: &str, _most: usize) -> Result<Vec<u8>, String> {
        let (_, text) = self.0.iter().find(|(known, _)| *known == name).ok_or("can't read it")?;
        Ok(text.as_bytes().to_vec())
    }
}

#[test]
fn lint_of_included_files_stands_in_its_place_and_is_silenced_there() {
    const LOUD: &str = "[[route]]\nid = \"a\"\nmatch = \"POST /commit\"\nto = \"docker\"\nallow = \"ops\"\n";
    const QUIET: &str = "# lint: allow root-equivalent - they are administrators\n[[route]]\nid = \"b\"\n\
                         match = \"POST /build\"\nto = \"docker\"\nallow = \"ops\"\n";
    const WHOLE: &str = "# lint: allow root-equivalent, shadow - tried out\n\n[[route]]\nid = \"c\"\n\
                         match = \"POST /session\"\nto = \"docker\"\nallow = \"ops\"\n\n\
                         [[route]]\nid = \"d\"\nmatch = \"POST /grpc\"\nto = \"docker\"\nallow = \"ops\"\n\
                         # lint: allow expired - it was\n";
    let files = Files(&[("1.toml", LOUD), ("2.toml", QUIET), ("3.toml", WHOLE)]);
    let text = HEAD.replacen("version = 1\n", "version = 1\ninclude = \"policy.d/*.toml\"\n", 1)
        + &route("e", "\"POST /plugins/pull\"", "\"ops\"");
    let draft = Draft::read_with("policy.toml", &text, &files, &House, &own())
        .unwrap_or_else(|wrong| panic!("{wrong}"));
    let known = Known::of(&House, ["docker-ops", "docker-users"]);
    let daemon = Daemon { uid: super::uid(0), gid: super::gid(0) };
    let told = lint(&draft, &known, daemon).into_iter();
    let told = told.filter(|it| [Lint::RootEquivalent, Lint::LintComment].contains(&it.lint));
    let told: Vec<String> = told
        .map(|it| {
            let shown = it.shown.shown("policy.toml");
            shown.split(": ").next().unwrap().to_owned() + " " + it.lint.name()
        })
        .collect();
    assert_eq!(
        told,
        [
            "policy.toml:14:6 root-equivalent",
            "policy.d/1.toml:2:6 root-equivalent",
            "policy.d/3.toml:14:1 lint-comment",
        ]
    );
}

#[test]
fn lint_rules_that_change_nothing_are_found() {
    let dead = route("a", "\"GET /a\"", "\"users\"")
        + &route("b", r#"["GET /{x}", "GET /b"]"#, "\"users\"")
        + "[[forbid]]\nid = \"f\"\nmatch = \"* /swarm\"\n[[forbid]]\nid = \"g\"\nmatch = \"GET /a\"\nwho = \"ops\"\n";
    // `f` forbids a request of `b`, and operators may be users too.
    assert_eq!(of(&dead), [""; 0]);
    let idle = route("a", "\"GET /a\"", "\"users\"") + "[[forbid]]\nid = \"f\"\nmatch = \"* /swarm\"\n";
    assert_eq!(of(&idle), ["idle-forbid 18"]);
    let cancelled = route("a", "\"GET /a\"", "[\"users\", \"ci\"]")
        + "[[forbid]]\nid = \"f\"\nmatch = \"* /a\"\nwho = \"ci\"\n";
    assert_eq!(of(&cancelled), ["cancelled-allow 16"]);
    let typed = route("a", "\"GET /{x:int}\"", "\"users\"")
        + &route("b", r#"["GET /{x:hex}", "GET /{x}"]"#, "\"users\"");
    assert!(
        super::load(&format!("{HEAD}{typed}")).is_err(),
        "equally specific ones tie, so they can't hide each other"
    );
}

#[test]
fn lint_narrow_routes_that_take_from_wider_ones_are_found() {
    let rules = route("wide", "\"GET /c/{x}\"", r#"["users", "ops"]"#)
        + &route("narrow", "\"GET /c/secret\"", "\"ops\"");
    assert_eq!(of(&rules), ["overlap 18"]);
    let rules = route("wide", "\"GET /c/{x}\"", "\"ops\"")
        + &route("narrow", "\"GET /c/secret\"", r#"["users", "ops"]"#);
    assert_eq!(of(&rules), [""; 0]);
}

#[test]
fn lint_people_and_sockets() {
    let rules = route("a", "\"GET /a\"", "\"users\"");
    let text = format!("{HEAD}{rules}");
    let open = text.replace("docker.sock\"\n[backend", "docker.sock\"\nmode = \"0666\"\n[backend");
    assert_eq!(found(&open), ["open-socket 2"]);
    let group = text.replace("docker.sock\"\n[backend", "docker.sock\"\ngroup = \"docker-users\"\n[backend");
    assert_eq!(found(&group), [""; 0]);
    let ops = group.replace("allow = \"users\"", "allow = \"ops\"");
    let told = all(&ops);
    assert!(
        told.iter().any(|(lint, message)| lint == "open-socket" && message.contains(": bob, ci [")),
        "{told:?}"
    );
    let closed = text.replace("docker.sock\"\n[backend", "docker.sock\"\ngroup = \"docker-ops\"\n[backend");
    let told = all(&closed);
    assert!(
        told.iter().any(|(lint, message)| lint == "closed-socket" && message.contains(": bob, ci [")),
        "{told:?}"
    );
    let empty = text.replace("group = \"docker-users\"", "group = \"empty\"");
    assert_eq!(found(&empty), ["empty-group 8"]);
    let everyone = text
        .replace("user = \"ci\"", "user = [\"alice\", \"bob\", \"ci\", \"mallory\"]")
        .replace("allow = \"users\"", "allow = \"ci\"");
    assert_eq!(found(&everyone), ["everyone 10"]);
    let browsers = text.replace("docker.sock\"\n[backend", "docker.sock\"\nbrowsers = true\n[backend");
    assert_eq!(found(&browsers), ["browsers 2"]);
}

#[test]
fn lint_what_is_left_over_is_found() {
    let rules = route("a", "\"GET /a\"", "\"users\"")
        + "mode = \"shadow\"\n"
        + &route("b", "\"GET /b\"", "\"users\"")
        + "[backend.other]\nproxy = \"unix:/run/other\"\nowner = \"root\"\n";
    let told = all(&format!("{HEAD}{rules}"));
    let names: Vec<&str> = told.iter().map(|(lint, _)| lint.as_str()).collect();
    let over = route("a", "\"GET /a\"", "\"users\"") + "until = 2020-01-01T00:00:00Z\n";
    assert_eq!(of(&over), ["expired 13"]);
    for lint in ["shadow", "unused-backend", "unused-who", "backend-owner", "untested"] {
        assert!(names.contains(&lint), "{lint}: {told:?}");
    }
}

#[test]
fn lint_comment_in_place_silences_with_a_reason_and_only_there() {
    let idle = "[[forbid]]\nid = \"f\"\nmatch = \"* /swarm\"\n";
    let base = route("a", "\"GET /a\"", "\"users\"");
    let note = "# lint: allow idle-forbid - it is for what is added later\n";
    for silent in [
        format!("{base}{note}{idle}"),
        format!("{base}{idle}{note}"),
        format!("{base}[[forbid]]\nid = \"f\" {note}match = \"* /swarm\"\n"),
    ] {
        assert_eq!(of(&silent), [""; 0], "{silent}");
    }
    assert_eq!(found(&format!("{note}\n{HEAD}{base}{idle}")), [""; 0]);
    // Above another table it is of no use.
    let elsewhere = of(&format!("{note}{base}{idle}"));
    assert_eq!(elsewhere, ["lint-comment 12", "idle-forbid 19"]);
    let apart = of(&format!("{base}{note}\n{idle}"));
    assert_eq!(apart, ["lint-comment 17", "idle-forbid 20"]);
    for wrong in ["# lint: allow idle-forbid\n", "# lint: allow idle-forbit - why\n", "# lint: deny\n"] {
        assert!(of(&format!("{base}{wrong}{idle}")).contains(&"lint-comment 17".to_owned()), "{wrong}");
    }
}

#[test]
fn manual_lists_every_lint_with_its_reason() {
    let rows: Vec<&str> = PAGE.lines().filter(|line| line.starts_with("| `")).collect();
    let names: Vec<&str> = rows.iter().filter_map(|row| row.strip_prefix("| `")?.split('`').next()).collect();
    let known: Vec<&str> = Lint::ALL.iter().map(|lint| lint.name()).collect();
    assert_eq!(names, known);
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        assert!(cells.len() == 3 && cells.iter().all(|cell| cell.trim().len() > 4), "{row}");
    }
}

#[test]
fn samples_have_no_findings_but_those_of_this_house() {
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/policy")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let own = own().with_runtime("/tmp/demo");
        let draft = Draft::read("sample.toml", &text, &House, &own).unwrap_or_else(|wrong| panic!("{wrong}"));
        let known = Known::of(&House, ["docker-ops", "docker-users"]);
        let daemon = Daemon { uid: super::uid(500), gid: super::gid(500) };
        let told: Vec<String> = lint(&draft, &known, daemon)
            .into_iter()
            // Who is in which group is this house's; what has no test is said where it is checked.
            .filter(|finding| {
                ![Lint::EmptyGroup, Lint::OpenSocket, Lint::ClosedSocket, Lint::Untested]
                    .contains(&finding.lint)
            })
            .map(|finding| finding.shown.shown("sample.toml"))
            .collect();
        assert!(told.is_empty(), "{}:\n{}", path.display(), told.join("\n"));
    }
}
