//! The manual, the list of keys and the reader say the same.

use crate::model::keeping::{Durability, Keep, OnFailure};
use crate::model::limits::Limits;
use crate::policy::keys::{KEYS, LIMITS, Unit};
use crate::policy::quantity::{rate, size, size_rate, time};

const MANUAL: &str = include_str!("../../manual/policy.md");

/// Each row of the manual's key tables: section, key, default.
fn manual() -> Vec<(String, String, String)> {
    let mut rows = Vec::new();
    let mut section = None;
    for line in MANUAL.lines() {
        if let Some(title) = line.strip_prefix("### ") {
            let inner = title.trim_matches(['[', ']']);
            section = Some(if title == "The file" { String::new() } else { inner.to_owned() });
        } else if line.starts_with("## ") {
            section = None;
        }
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        if let (Some(section), Some(key)) = (&section, cells[0].strip_prefix('`'))
            && line.starts_with('|')
        {
            // An empty default makes one cell less, since its two bars stand together.
            let default = if cells.len() == 4 { cells[2] } else { "" };
            rows.push((section.clone(), key.trim_end_matches('`').to_owned(), default.to_owned()));
        }
    }
    rows
}

#[test]
fn manual_lists_every_key_and_no_other() {
    let mut known: Vec<_> = KEYS
        .iter()
        .map(|key| (key.section.to_owned(), key.name.to_owned(), key.default.to_owned()))
        .collect();
    let described = manual();
    for limit in LIMITS {
        let row = described.iter().find(|row| row.0 == "limits" && row.1 == limit.name);
        known.push(row.unwrap_or_else(|| panic!("the manual lacks `{}`", limit.name)).clone());
    }
    let sorted = |mut rows: Vec<_>| {
        rows.sort();
        rows
    };
    assert_eq!(sorted(described), sorted(known));
}

#[test]
fn manual_gives_the_limits_that_hold() {
    for (_, name, default) in manual().into_iter().filter(|row| row.0 == "limits") {
        let limit = LIMITS.iter().find(|limit| limit.name == name).unwrap();
        let text = default.trim_matches(['`', '"']);
        let value = match limit.unit {
            Unit::Bytes => size(text),
            Unit::Time => time(text),
            Unit::Rate => rate(text),
            Unit::ByteRate => size_rate(text),
            Unit::Count => text.parse().ok(),
        };
        let mut limits = Limits::default();
        (limit.set)(&mut limits, value.unwrap_or_else(|| panic!("{name}: {default}")));
        assert_eq!(limits, Limits::default(), "{name}");
    }
}

#[test]
fn manual_example_loads() {
    let example = MANUAL.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    super::asking(example);
}

/// A file in which every key stands.
const EVERYTHING: &str = r#"
version = 1
[daemon]
control = "/run/peergate/ctl.sock"
gates = "shared"
lanes = 3
gate_user = "peergate-gate"
scribe_user = "peergate-scribe"
app_user = "mallory"
methods = ["PROPFIND"]
[limits]
LIMITS
[audit]
directory = "/var/log/p"
readers = "adm"
durability = "sync"
keep = { days = 7, bytes = "1GiB", count = 50, free = "2GiB" }
shipped = "/var/lib/shipper/done"
segment = "1MiB"
segment_time = "1h"
compress = false
record = { identity = "full" }
witness = { journal = true, syslog = "unix:/dev/log", file = "/mnt/heads", command = ["/bin/cat"], user = "bob", every = "5m" }
[diagnostics]
directory = "/var/log/d"
format = "json"
level = "debug"
[listen.a]
path = "/run/a"
owner = "bob"
group = "docker-users"
mode = "0620"
browsers = true
[backend.p]
proxy = "unix:/run/p"
owner = "root"
version_prefix = "/v{api:version}"
identity_headers = true
[backend.b]
builtin = "api"
[backend.c]
command = ["/usr/bin/tar", "-C{dir}", "--level={level}", "{{x}}"]
user = "bob"
groups = ["docker-ops"]
env = { TZ = "UTC" }
chdir = "/srv"
umask = "0027"
timeout = "2m"
grace = "1s"
output = "1KiB"
concurrent = 2
queue = 3
rlimits = { memory = "1GiB", cpu = 60, file_size = "1MiB", files = 64, processes = 10, core = "0B" }
new_privileges = false
sandbox = { read = ["/srv"], write = ["/tmp"], exec = ["/usr", "/"], tcp = [443] }
on_leave = "finish"
stdin = "1MiB"
status = { "3" = 404 }
[backend.c.params]
dir = { below = "/srv", opened = false, from = "query", optional = true, secret = true }
level = { int = "-1..9", dash = true }
[backend.f]
command = ["/usr/bin/printf", "{a}{b}{c}{d}"]
user = "bob"
[backend.f.params]
a = { type = "uuid" }
b = { one_of = ["x"] }
c = { hex = 4 }
d = { text = "line", max = 9, empty = true }
[backend.e]
command = ["/usr/bin/id"]
user = "bob"
one_at_a_time = true
sandbox = { any_tcp = true }
[backend.d]
builtin = "decisions"
only = { decision = "deny", route = ["r"], user = ["alice"] }
[backend.g]
app = "files"
directories = { pages = "/srv/pages" }
[who.w]
uid = [1000]
user = ["alice"]
gid = 998
group = "docker-ops"
namespace = "any"
exe = ["/usr/bin/docker"]
exe_trusted = true
unit = "ci.service"
label = ["ci (enforce)"]
login_uid = 1000
login_user = "alice"
any_of = ["v"]
except = ["u"]
limits = { rate = "50/m", burst = 100, concurrent = 8, connections = 4, body = "1MiB", bytes = "1GiB/h" }
[who.v]
uid = 1000
namespace = "any"
[who.u]
uid = 1001
[[route]]
id = "r"
on = "a"
match = ["PROPFIND /{x}"]
query = { q = {}, n = { int = "1..5" }, o = { one_of = ["a"] }, h = { hex = 4 }, t = { text = "name", max = 4, empty = true } }
header = { X-A = "absent", X-B = { required = true } }
to = "p"
allow = ["w"]
audit = { durability = "sync", on_failure = "journal", record = { query = ["q"], headers = ["X-B"], body = ["/a"], plain = ["/a"] } }
help = "h"
stream = true
upgrade = ["tcp"]
encoded_slash = ["x"]
path_parameter = ["x"]
mode = "enforce"
until = 2026-12-31T18:00:00+01:00
when = { days = ["mon", "wed-fri"], from = "08:00", to = "18:00", zone = "UTC" }
reason = "the office"
[route.body]
max = "1KiB"
content_type = ["application/json"]
json = { allow = ["/a"], others = "zero", values = { "/b" = "bool" }, required = ["/a"], null = ["/c"], maps = ["/d"] }
[[forbid]]
id = "f"
match = "GET /"
on = "a"
to = ["p", "b"]
who = ["w"]
mode = "shadow"
when = { days = ["sun"], zone = "UTC" }
[[test]]
who = { user = "alice", uid = 1000, group = "docker-ops", gid = 998, namespace = "unknown", exe = "/usr/bin/docker", exe_trusted = true, unit = "ci.service", label = "ci (enforce)", login_uid = 1000, login_user = "alice" }
on = "a"
request = "PROPFIND /v1/y?q"
upgrade = "tcp"
at = 2026-12-31T09:00:00Z
headers = { X-B = "x" }
body = '{"a":1,"b":true}'
expect = "allow"
route = "r"
"#;

#[test]
fn file_with_every_key_means_what_it_says() {
    let limits: String =
        LIMITS.iter().map(|limit| format!("{} = {}\n", limit.name, limit.show(limit.least))).collect();
    let text = EVERYTHING.replace("LIMITS", &limits);
    // A text by itself includes nothing.
    let of_tables = KEYS.iter().filter(|key| key.name != "include");
    for key in of_tables.map(|key| key.name).chain(LIMITS.iter().map(|limit| limit.name)) {
        assert!(text.contains(key), "{key}");
    }
    let policy = super::load(&text).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!(
        (policy.limits.head_bytes, policy.limits.drain_ms, policy.limits.log_bytes_per_s),
        (1024, 10, 16 << 10)
    );
    assert_eq!(policy.audit.keep, Keep { days: 7, bytes: 1 << 30, count: Some(50), free: 2 << 30 });
    assert_eq!((policy.audit.segment_ms, policy.audit.compress), (3_600_000, false));
    assert_eq!(policy.audit.shipped.as_deref(), Some("/var/lib/shipper/done"));
    let route = &policy.routes[0];
    assert_eq!((route.durability, route.on_failure), (Durability::Sync, OnFailure::Journal));
    assert_eq!((policy.listeners[0].mode, policy.listeners[0].browsers), (0o620, true));
    assert_eq!(policy.methods, ["PROPFIND"]);
    assert_eq!(policy.daemon.lanes, Some(3));
    assert_eq!(policy.daemon.gate_user.map(|user| user.0.raw()), Some(901));
    assert_eq!(policy.diagnostics.level, "debug");
    assert_eq!(policy.file, "policy.toml");
    assert_eq!(policy.short_hash().len(), 8);
}

#[test]
fn file_with_nothing_optional_takes_the_defaults() {
    let policy = super::house("[[route]]\nid = \"r\"\nmatch = \"GET /\"\nto = \"docker\"\nallow = \"ops\"\n");
    let policy = policy.decider.policy();
    assert_eq!(policy.limits, Limits::default());
    assert_eq!(policy.daemon.control, "/run/peergate/control.sock");
    assert_eq!(policy.audit.directory, "/var/log/peergate");
    assert_eq!(
        (&policy.audit.keep, policy.audit.segment_bytes, policy.audit.segment_ms, policy.audit.compress),
        (&Keep { days: 90, bytes: 20 << 30, count: None, free: 256 << 20 }, 64 << 20, 86_400_000, true)
    );
    assert_eq!(
        (policy.routes[0].durability, policy.routes[0].on_failure),
        (Durability::Write, OnFailure::Deny)
    );
    assert_eq!(policy.listeners[0].mode, 0o600);
    assert_eq!((policy.daemon.gate_user, policy.audit.readers), (None, None), "the daemon is not root here");
    let own = crate::policy::Own::system(super::uid(0), super::gid(0));
    let text = format!(
        "{}[[route]]\nid = \"r\"\nmatch = \"GET /\"\nto = \"docker\"\nallow = \"ops\"\n",
        super::HEAD
    );
    let policy = crate::policy::load_text("/etc/p.toml", &text, &super::House, &own).unwrap();
    assert_eq!(policy.daemon.scribe_user.map(|user| user.0.raw()), Some(902));
    assert_eq!(policy.audit.readers.map(|gid| gid.raw()), Some(4));
}
