//! Feeds and witnesses: what of the record goes to others.

use super::{HEAD, load, mistakes};
use crate::policy::{BackendKind, Feed, Only, Syslog, Witness};

const FEEDS: &str = r#"
[backend.metrics]
builtin = "metrics"
[backend.denials]
builtin = "decisions"
only = { decision = "deny", route = ["metrics"], user = ["alice"] }
[[route]]
id = "metrics"
match = "GET /_peergate/metrics"
to = "metrics"
allow = "ops"
[[route]]
id = "denials"
match = "GET /_peergate/denials"
to = "denials"
stream = true
allow = "ops"
"#;

#[test]
fn feeds_are_backends_with_what_they_have() {
    let policy = load(&format!("{HEAD}{FEEDS}")).unwrap();
    let kind = |name: &str| policy.backends.iter().find(|backend| backend.name == name).unwrap().kind.clone();
    assert_eq!(kind("metrics"), BackendKind::Scribe { feed: Feed::Metrics, only: Only::default() });
    let BackendKind::Scribe { feed: Feed::Decisions, only } = kind("denials") else { panic!("no feed") };
    assert_eq!((only.allowed, only.routes, only.users.len()), (Some(false), vec!["metrics".to_owned()], 1));
}

#[test]
fn feed_that_would_not_work_is_a_mistake() {
    for (from, to, said) in [
        ("match = \"GET /_peergate/metrics\"", "match = \"POST /m\"", "what the scribe answers is only read"),
        ("match = \"GET /_peergate/metrics\"", "match = \"* /m\"", "what the scribe answers is only read"),
        ("match = \"GET /_peergate/metrics\"", "upgrade = \"tcp\"\nmatch = \"GET /m\"", "has no upgrade"),
        ("stream = true\n", "", "this route would cut them off after `total_time`"),
        (
            "builtin = \"metrics\"",
            "builtin = \"metric\"",
            "write `\"api\"` or `\"metrics\"` or `\"decisions\"`",
        ),
        (
            "builtin = \"metrics\"",
            "builtin = \"metrics\"\nonly = {}",
            "`only` goes with `builtin = \"decisions\"`",
        ),
        ("builtin = \"metrics\"", "builtin = \"metrics\"\nowner = \"alice\"", "`owner` goes with `proxy`"),
        ("route = [\"metrics\"]", "route = [\"metric\"]", "did you mean `metrics`?"),
        ("user = [\"alice\"]", "user = [\"alcie\"]", "there is no user `alcie`"),
        ("decision = \"deny\"", "decision = \"denied\"", "`decision` can't be `denied`"),
        ("decision = \"deny\"", "verdict = \"deny\"", "`[backend.only]` has no key `verdict`"),
    ] {
        assert!(FEEDS.contains(from), "{from}");
        let shown = mistakes(&format!("{HEAD}{}", FEEDS.replacen(from, to, 1)));
        assert!(shown.contains(said), "{to}: {shown}");
    }
}

fn with_witness(witness: &str) -> String {
    format!("{HEAD}{FEEDS}").replacen("[listen", &format!("[audit.witness]\n{witness}\n[listen"), 1)
}

#[test]
fn witness_is_what_was_written() {
    let text = with_witness(
        "journal = true\nsyslog = \"udp:192.0.2.7:514\"\nfile = \"/mnt/heads\"\ncommand = [\"/bin/cat\", \"-\", \"-\"]\nevery = \"5m\"",
    );
    let expected = Witness {
        journal: true,
        syslog: Some(Syslog::Udp("192.0.2.7:514".parse().unwrap())),
        file: Some("/mnt/heads".to_owned()),
        command: ["/bin/cat", "-", "-"].map(str::to_owned).to_vec(),
        user: None,
        every_s: 300,
    };
    assert_eq!(load(&text).unwrap().audit.witness, expected);
    let named = load(&with_witness("command = [\"/bin/cat\"]\nuser = \"ci\"")).unwrap();
    let user = named.audit.witness.user.clone().unwrap();
    assert_eq!(user.name, "ci");
    assert!(user.groups.contains(&user.gid), "{user:?}");
    let policy = load(&with_witness("syslog = \"unix:/dev/log\"")).unwrap();
    let local = &policy.audit.witness;
    assert_eq!((local.syslog.clone(), local.every_s), (Some(Syslog::Unix("/dev/log".to_owned())), 60));
}

#[test]
fn witness_that_can_not_be_is_a_mistake() {
    for (witness, said) in [
        ("syslog = \"udp:log.example:514\"", "names are not resolved"),
        ("syslog = \"udp:192.0.2.7\"", "names are not resolved"),
        ("syslog = \"tcp:192.0.2.7:514\"", "`tcp:192.0.2.7:514` is no syslog"),
        ("file = \"heads\"", "`heads` is no absolute path"),
        ("command = [\"cat\"]", "begins with a program's absolute path"),
        ("command = []", "begins with a program's absolute path"),
        ("command = \"/bin/cat\"", "`command` is a list of strings"),
        ("command = [\"/bin/cat\"]\nuser = \"nobody-here\"", "there is no user `nobody-here`"),
        (
            "command = [\"/bin/cat\"]\nuser = \"peergate-scribe\"\n[daemon]\nscribe_user = \"peergate-scribe\"",
            "a user that no role of the daemon's is",
        ),
        ("journal = true\nuser = \"ci\"", "`user` goes with `command`"),
        ("every = \"10ms\"", "`every` lies between 1s and 3600s"),
        ("journald = true", "did you mean `journal`?"),
    ] {
        let shown = mistakes(&with_witness(witness));
        assert!(shown.contains(said), "{witness}: {shown}");
    }
}
