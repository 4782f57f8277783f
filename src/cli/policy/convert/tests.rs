use std::sync::Arc;

use super::toggles::Flavour;
use super::{Made, toggles, wollomatic};
use crate::model::caller::{Attr, Caller, Credentials, Gid, Namespace, Peer, Uid};
use crate::model::ids::ListenerId;
use crate::model::method::Method;
use crate::model::target::{Asked, Target};
use crate::policy::{Decider, Own, SystemNames, Verdict, load_text};

/// What came of it, asked as a member of `root`, a group that is there everywhere.
struct Asking(Decider);

impl Asking {
    #[track_caller]
    fn new(made: &Made) -> Asking {
        let text = made.policy("root", "/run/peergate/docker.sock");
        let own = Own::system(Uid::new(0).unwrap(), Gid::new(0).unwrap());
        let policy = load_text("converted.toml", &text, &SystemNames, &own);
        Asking(Decider::new(Arc::new(policy.unwrap_or_else(|why| panic!("{why}\n{text}")))))
    }

    fn allows(&self, request: &str) -> bool {
        let (method, target) = request.split_once(' ').unwrap();
        let (uid, gid) = (Uid::new(4711).unwrap(), Gid::new(0).unwrap());
        let caller = Caller {
            peer: Peer { uid: 4711, gid: 0, pid: 1, real_uid: None },
            credentials: Credentials {
                uid: Attr::Known(uid),
                gid: Attr::Known(gid),
                groups: Attr::Known(Vec::new()),
            },
            user: None,
            namespace: Attr::Known(Namespace::Host),
            start_time: Attr::Unknown,
            exe: Attr::Unknown,
            unit: Attr::Unknown,
            login_uid: Attr::Unknown,
            label: Attr::Unknown,
        };
        let method = Method::parse(method.as_bytes()).unwrap();
        let target = Target::parse(target.as_bytes()).unwrap();
        let subject = self.0.recognise(ListenerId(0), &caller);
        let asked = Asked { method: &method, target: &target, upgrade: None };
        matches!(self.0.decide(ListenerId(0), &subject, &asked), Verdict::Allow(_))
    }

    #[track_caller]
    fn says(&self, allowed: &[&str], denied: &[&str]) {
        for (requests, wanted) in [(allowed, true), (denied, false)] {
            for request in requests {
                assert_eq!(self.allows(request), wanted, "{request}");
            }
        }
    }
}

#[test]
fn tecnativa_sections_are_whole_segments_and_read_only_without_post() {
    let made = toggles::convert("CONTAINERS=1\nPOST=0\nVERSION=0\n# IMAGES=1\n", Flavour::Tecnativa).unwrap();
    assert!(made.left.is_empty(), "{:?}", made.left);
    assert!(made.notes.iter().any(|note| note.contains("archive, export")), "{:?}", made.notes);
    Asking::new(&made).says(
        &["GET /v1.47/containers/json?all=1", "HEAD /containers/web/json", "GET /events", "GET /_ping"],
        &[
            "POST /containers/create",
            "GET /version",
            "GET /containersX",
            "GET /images/json",
            "GET /x/containers/json",
        ],
    );
}

#[test]
fn converted_policy_says_in_what_it_is_wider() {
    let wider = |text: &str, from: Flavour| {
        let mut made = toggles::convert(text, from).unwrap();
        made.note_wider();
        let text = made.policy("root", "/run/peergate/docker.sock");
        let notes = made.notes.iter().filter(|note| note.starts_with("WIDER: ")).count();
        let comments = text.lines().filter(|line| line.starts_with("# WIDER: ")).count();
        assert_eq!(notes, comments, "{text}");
        made.notes.join("\n")
    };
    let both = wider("CONTAINERS=1", Flavour::Tecnativa);
    assert!(both.contains("may hold letters") && both.contains("lifts the limits"), "{both}");
    let version = wider("EVENTS=0 VERSION=1 PING=0", Flavour::Linuxserver);
    assert!(version.contains("may hold letters") && !version.contains("lifts the limits"), "{version}");
    let mut exact = wollomatic::convert("-allowGET=/version").unwrap();
    exact.note_wider();
    assert!(!exact.notes.iter().any(|note| note.starts_with("WIDER: ")), "{:?}", exact.notes);
}

#[test]
fn tecnativa_settings_are_found_in_compose_inspect_and_command_lines() {
    for text in [
        "environment:\n      - CONTAINERS=1 #optional\n      - \"POST=0\"",
        "environment:\n  CONTAINERS: 1\n  POST: \"0\"\n",
        "\"Env\": [\n  \"CONTAINERS=1\",\n  \"POST=0\",\n  \"PATH=/usr/bin\"\n ]",
        "docker run -d -e CONTAINERS=1 -e POST=0 \\\n  tecnativa/docker-socket-proxy",
    ] {
        let made = toggles::convert(text, Flavour::Tecnativa).unwrap();
        assert!(made.left.is_empty(), "{text}: {:?}", made.left);
        Asking::new(&made).says(&["GET /containers/json"], &["POST /containers/create", "GET /images/json"]);
    }
    assert!(toggles::convert("services:\n  web:\n    image: x\n", Flavour::Tecnativa).is_none());
}

#[test]
fn tecnativa_actions_count_with_post_alone_and_linuxservers_without() {
    let text = "ALLOW_RESTARTS=1 ALLOW_START=1 POST=0 EVENTS=1";
    let made = toggles::convert(text, Flavour::Tecnativa).unwrap();
    assert_eq!(made.left.len(), 2, "{:?}", made.left);
    Asking::new(&made).says(&["GET /events"], &["POST /containers/web/start", "POST /containers/web/kill"]);
    let made = toggles::convert(text, Flavour::Linuxserver).unwrap();
    assert!(made.left.is_empty(), "{:?}", made.left);
    Asking::new(&made).says(
        &["POST /v1.47/containers/web/start", "POST /containers/web/kill", "POST /containers/web/stop?t=5"],
        &[
            "POST /containers/create",
            "POST /containers/web/exec",
            "POST /containers/web/start/x",
            "GET /containers/json",
        ],
    );
}

#[test]
fn tecnativa_what_is_not_known_is_left_out_and_told() {
    let made =
        toggles::convert("CONTAINERS=true\nCONTAINERS_EXEC=1\nLOG_LEVEL=err\nTZ=UTC\n", Flavour::Tecnativa);
    let left = made.unwrap().left;
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(
        left.iter().any(|it| it.contains("CONTAINERS=true"))
            && left.iter().any(|it| it.contains("CONTAINERS_EXEC"))
    );
}

#[test]
fn tecnativa_post_is_told_to_be_wide() {
    let made = toggles::convert("CONTAINERS=1 EXEC=1 POST=1", Flavour::Tecnativa).unwrap();
    assert!(made.notes.iter().any(|note| note.contains("root on the host")), "{:?}", made.notes);
    Asking::new(&made).says(&["DELETE /containers/web", "POST /exec/1f/start"], &["POST /images/create"]);
}

#[test]
fn wollomatic_expressions_become_patterns_that_take_the_same_or_less() {
    for (expression, allowed, denied) in [
        ("/version", vec!["GET /version"], vec!["GET /version/", "GET /v1.4/version", "GET /versions"]),
        ("/(version|_ping)", vec!["GET /version", "GET /_ping"], vec!["GET /info"]),
        ("^/containers/json$", vec!["GET /containers/json?all=1"], vec!["GET /containers/x"]),
        ("/containers/.*", vec!["GET /containers/", "GET /containers/a/json"], vec!["GET /containers"]),
        ("/events.*", vec!["GET /events", "GET /events/x"], vec!["GET /eventsX", "GET /event"]),
        ("/containers/[^/]+/json", vec!["GET /containers/a/json"], vec!["GET /containers/a/b/json"]),
        ("/images/.+/json", vec!["GET /images/a/b/json"], vec!["GET /images/json"]),
        ("/jobs/\\d+", vec!["GET /jobs/12"], vec!["GET /jobs/x", "GET /jobs/"]),
        ("(/v[\\d\\.]+)?/info", vec!["GET /info", "GET /v1.47/info"], vec!["GET /v2/info"]),
        ("(?:/a)?/b", vec!["GET /a/b", "GET /b"], vec!["GET /a"]),
        (".*", vec!["GET /", "GET /a/b"], vec!["POST /a"]),
        ("/c/[a-zA-Z0-9_.-]+/json", vec!["GET /c/a-1.b/json"], vec!["GET /c/a:b/json", "GET /c/-a/json"]),
        ("/c/[0-9a-fA-F]{4}", vec!["GET /c/0f3A"], vec!["GET /c/0f3", "GET /c/0f3az"]),
        ("/c/\\w+", vec!["GET /c/a_1"], vec!["GET /c/a-1"]),
        (
            "/v1\\..{1,2}/(version|containers/.*|events.*)",
            vec!["GET /v1.47/version", "GET /v1.4/containers/a/json", "GET /v1.47/events"],
            vec!["GET /version", "GET /v1.123/version", "GET /v1.47/info", "GET /v1.x/version"],
        ),
    ] {
        let made = wollomatic::convert(&format!("'-allowGET={expression}'")).unwrap();
        assert!(made.left.is_empty(), "{expression}: {:?}", made.left);
        Asking::new(&made).says(&allowed, &denied);
    }
}

#[test]
fn wollomatic_literals_that_mean_something_in_a_pattern_stand_for_themselves() {
    for (expression, allowed, denied) in [
        (r"/a/\*", vec!["GET /a/*"], vec!["GET /a/b", "GET /a/", "GET /a/**"]),
        (r"/a/x\*y/json", vec!["GET /a/x*y/json"], vec!["GET /a/xzy/json", "GET /a/xy/json"]),
        (r"/a/[*]/b", vec!["GET /a/*/b"], vec!["GET /a/x/b"]),
        (r"/a/\Q*.*\E", vec!["GET /a/*.*"], vec!["GET /a/x.x", "GET /a/.*"]),
        (r"/a/:id", vec!["GET /a/:id"], vec!["GET /a/x"]),
        (r"/a/\{id\}", vec!["GET /a/%7Bid%7D"], vec!["GET /a/x", "GET /a/id"]),
        (r"/a/\{id\}/[^/]+", vec!["GET /a/%7Bid%7D/x"], vec!["GET /a/x/x"]),
        (r"/a/\|", vec!["GET /a/%7C"], vec!["GET /a/x"]),
        ("/a/\u{e9}", vec!["GET /a/%C3%A9"], vec!["GET /a/e"]),
        (r"/a/\+", vec!["GET /a/+"], vec!["GET /a/x"]),
    ] {
        let made = wollomatic::convert(&format!("'-allowGET={expression}'")).unwrap();
        assert!(made.left.is_empty(), "{expression}: {:?}", made.left);
        Asking::new(&made).says(&allowed, &denied);
    }
}

#[test]
fn wollomatic_says_which_way_is_left_out_and_why_and_what_is_taken_less_of() {
    let made = wollomatic::convert(r"'-allowGET=/(version|x\*[a-z]?|\*[^/]+|a;b|[a-z]+)'").unwrap();
    Asking::new(&made).says(&["GET /version"], &["GET /x*a", "GET /*a", "GET /a", "GET /x*"]);
    let left = made.left.join("\n");
    for words in [
        r"`*` stands beside what varies, and no pattern has it there: `/\*[^/]+`",
        "`;` begins a path parameter, which is refused unless a capture is let take it: `/a;b`",
        "`[a-z]` repeated: no capture is as narrow; if more may be taken, write {name}: `/<...>`",
    ] {
        assert!(left.contains(words), "{words}: {left}");
    }
    let made = wollomatic::convert("'-allowGET=(/v[\\d\\.]+)?/c/[a-zA-Z0-9_.-]+'").unwrap();
    assert!(made.left.is_empty(), "{:?}", made.left);
    for words in ["is a `text name` here", "`v1.` and digits alone"] {
        assert!(made.notes.iter().any(|note| note.contains(words)), "{words}: {:?}", made.notes);
    }
}

#[test]
fn wollomatic_what_no_pattern_says_as_narrowly_is_left_out() {
    for expression in [
        "/containers/[a-z]+/json",
        "/containers/[a-f0-9]{64}/json",
        "/containers/(a|b)+/json",
        "version",
        "/a/[[:alpha:]]/b",
        "/a(",
        "/a)",
        "/a\\b",
        "/x{3}",
        "(?i:/version)",
        "/a/50%",
        "/a/x\\?",
        "/a;b",
        "/a/../b",
    ] {
        let made = wollomatic::convert(&format!("-allowGET={expression}")).unwrap();
        assert_eq!((made.left.len(), made.routes.len()), (1, 0), "{expression}: {made:?}");
    }
}

#[test]
fn wollomatic_alternatives_that_can_be_said_are_carried_over_without_the_others() {
    let made =
        wollomatic::convert("SP_ALLOW_GET=\"/(version|x[a-z]+)\"\nSP_ALLOW_GET_2=\"/_ping\"\n").unwrap();
    assert_eq!(made.left.len(), 1, "{:?}", made.left);
    Asking::new(&made).says(&["GET /version", "GET /_ping"], &["GET /xa"]);
}

#[test]
fn wollomatic_bind_mounts_are_forbidden_where_bodies_were_looked_into() {
    let text = "command:\n  - '-allowfrom=traefik'\n  - '-allowPOST=(/v1\\..{1,2})?/containers/.*'\n  - '-allowbindmountfrom=/var/log,/tmp'\n  - '-loglevel=info'\n";
    let made = wollomatic::convert(text).unwrap();
    assert_eq!(made.left.len(), 2, "{:?}", made.left);
    Asking::new(&made).says(
        &["POST /containers/web/start", "POST /v1.47/containers/web/start"],
        &[
            "POST /containers/create",
            "POST /containers/web/update",
            "POST /v1.47/containers/create",
            "POST /v1.47/containers/web/update",
        ],
    );
    let inline = wollomatic::convert("command: [\"-allowGET=/version\", \"-allowHEAD=/_ping\"]").unwrap();
    Asking::new(&inline).says(&["GET /version", "HEAD /_ping"], &["GET /_ping"]);
}

#[test]
fn wollomatic_flag_stands_before_the_environment() {
    let made = wollomatic::convert("-allowGET=/version\nSP_ALLOW_GET=/info\n").unwrap();
    Asking::new(&made).says(&["GET /version"], &["GET /info"]);
}
