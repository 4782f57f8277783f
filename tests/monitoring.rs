//! Counters and decisions from outside: what they say of real calls, scraped by the real Prometheus through the real
//! HAProxy; alert rules and dashboard name nothing that is not there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "monitoring/dashboard.rs"]
mod dashboard;
#[path = "support/support.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::client::{self, Client};
use support::daemon::{self, Daemon, Running};
use support::people::person;
use support::upstream::Upstream;
use support::{PATIENCE, out, run, said};

const POLICY: &str = r#"
[listen.api]
path = "@DIR@/run/api.sock"
mode = "0666"
[listen.watch]
path = "@DIR@/run/watch.sock"
mode = "0666"
[backend.up]
proxy = "unix:@DIR@/up.sock"
[backend.metrics]
builtin = "metrics"
[backend.all]
builtin = "decisions"
[backend.denials]
builtin = "decisions"
only = { decision = "deny", route = ["allowed"], user = ["pg-bob"] }
[who.root]
uid = [0]
[who.relay]
user = ["pg-alice"]
[[route]]
id = "allowed"
on = "api"
match = ["* /allowed/{rest...}"]
to = "up"
allow = ["root"]
[[route]]
id = "metrics"
on = "watch"
match = ["GET /_peergate/metrics"]
to = "metrics"
allow = ["root", "relay"]
[[route]]
id = "all"
on = "watch"
match = ["GET /_peergate/decisions"]
to = "all"
stream = true
allow = ["root"]
[[route]]
id = "denials"
on = "watch"
match = ["GET /_peergate/denials"]
to = "denials"
stream = true
allow = ["root"]
"#;

fn started() -> (Daemon, Upstream) {
    let place = daemon::place();
    let upstream = Upstream::start(&place.path().join("up.sock"));
    (Daemon::start_in(place, POLICY), upstream)
}

/// Asks again and again until the answer suits.
fn until<T>(what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    // Nobody sends anything: its timeout is the pace.
    let (_nobody, pace) = std::sync::mpsc::channel::<()>();
    loop {
        match ask() {
            Ok(found) => return found,
            Err(last) => {
                assert!(Instant::now() < deadline, "{what}: not in {PATIENCE:?}; the last was:\n{last}")
            }
        }
        let _ = pace.recv_timeout(Duration::from_millis(100));
    }
}

fn metrics(daemon: &Daemon) -> String {
    let answer = client::ask(&daemon.path("run/watch.sock"), "GET", "/_peergate/metrics");
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(
        answer.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    answer.text()
}

/// Waits until these samples are there.
fn wait_for_samples(daemon: &Daemon, wanted: &[&str]) -> String {
    until("samples", || {
        let text = metrics(daemon);
        let missing: Vec<_> =
            wanted.iter().filter(|sample| !text.lines().any(|line| line == **sample)).collect();
        if missing.is_empty() { Ok(text) } else { Err(format!("{missing:?} are missing in\n{text}")) }
    })
}

fn as_bob(daemon: &Daemon, target: &str) -> String {
    let mut curl = person("pg-bob").command("curl");
    curl.args(["--silent", "--unix-socket"]).arg(daemon.socket());
    out(&run(curl.arg(format!("http://localhost{target}"))))
}

#[test]
fn counters_are_those_of_all_roles_together() {
    need_root!();
    need_programs!("curl");
    let (daemon, _upstream) = started();
    for number in 0..5 {
        assert_eq!(client::ask(&daemon.socket(), "GET", &format!("/allowed/{number}")).status(), 200);
    }
    as_bob(&daemon, "/allowed/not-for-bob");
    as_bob(&daemon, "/nothing");
    let text = wait_for_samples(
        &daemon,
        &[
            r#"peergate_decisions_total{route="allowed",decision="allow",refusal=""} 5"#,
            r#"peergate_decisions_total{route="allowed",decision="deny",refusal="not-allowed"} 1"#,
            r#"peergate_decisions_total{route="(none)",decision="deny",refusal="no-route"} 1"#,
            r#"peergate_outcomes_total{route="allowed",result="completed",status="2xx"} 5"#,
            r#"peergate_connections_total{listener="api"} 7"#,
            r#"peergate_grants_total{backend="up",refusal=""} 5"#,
            r#"peergate_role_events_total{role="gate",event="started"} 2"#,
            "peergate_recordable 1",
            "peergate_policy_generation 1",
            "peergate_gates 2",
        ],
    );
    assert!(text.contains(&format!("peergate_build_info{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION"))));
    assert!(text.contains("peergate_request_duration_seconds_count{route=\"allowed\"} 6\n"), "{text}");
    assert!(
        text.contains("\npeergate_disk_free_bytes ")
            && text.contains("\npeergate_sync_duration_seconds_count ")
    );
    assert!(text.ends_with("# EOF\n"));
    let all = daemon.stop();
    let grants = all.iter().filter(|record| record["t"] == "grant" && record["backend"] == "metrics").count();
    let scrapes =
        all.iter().filter(|record| record["t"] == "decision" && record["route"] == "metrics").count();
    assert_eq!(grants, scrapes, "each scrape was judged and granted as anything else");
}

#[test]
fn feeds_are_for_whom_their_routes_allow_and_for_get_alone() {
    need_root!();
    need_programs!("curl");
    let (daemon, _upstream) = started();
    let watch = daemon.path("run/watch.sock");
    for method in ["HEAD", "POST", "PUT"] {
        assert_eq!(client::ask(&watch, method, "/_peergate/metrics").status(), 403, "{method}");
    }
    let mut curl = person("pg-bob").command("curl");
    curl.args(["--silent", "--unix-socket"]).arg(&watch).arg("http://localhost/_peergate/metrics");
    assert!(out(&run(&mut curl)).contains("not-allowed"));
    // A body is nobody's: the scribe's end takes none, and the answer comes all the same.
    let mut client = Client::connect(&watch);
    client.send("GET /_peergate/metrics HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.answer().status(), 200);
    daemon.stop();
}

/// Somebody who listens: events as they come.
struct Listener(BufReader<UnixStream>);

impl Listener {
    fn new(daemon: &Daemon, path: &str) -> Listener {
        let mut stream = UnixStream::connect(daemon.path("run/watch.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // HTTP/1.0, so that the events come as they are, without chunks around them.
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: h\r\n\r\n").as_bytes()).unwrap();
        let mut listener = Listener(BufReader::new(stream));
        let head = listener.block();
        assert!(head[0].starts_with("HTTP/1.") && head[0].contains(" 200 "), "{head:?}");
        assert!(
            head.iter().any(|line| line.eq_ignore_ascii_case("content-type: text/event-stream")),
            "{head:?}"
        );
        assert_eq!(listener.block(), [": decisions as they are written"]);
        listener
    }

    /// The lines up to the next empty one.
    fn block(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "it ended behind {lines:?}");
            match line.trim_end() {
                "" => return lines,
                line => lines.push(line.to_owned()),
            }
        }
    }

    /// The next event's name, id and record.
    fn event(&mut self) -> (String, String, serde_json::Value) {
        let lines = self.block();
        let field = |name: &str| {
            lines
                .iter()
                .find_map(|line| line.strip_prefix(name))
                .unwrap_or_else(|| panic!("{name} {lines:?}"))
                .to_owned()
        };
        (field("event: "), field("id: "), serde_json::from_str(&field("data: ")).unwrap())
    }
}

#[test]
fn listener_hears_decisions_of_every_gate_as_they_are_written() {
    need_root!();
    need_programs!("curl");
    let (daemon, _upstream) = started();
    let mut listener = Listener::new(&daemon, "/_peergate/decisions");
    let mut of_denials = Listener::new(&daemon, "/_peergate/denials");
    client::ask(&daemon.socket(), "GET", "/allowed/by-root");
    as_bob(&daemon, "/nothing");
    as_bob(&daemon, "/allowed/not-for-bob");
    // Of two gates, so in no order; those who listen are on record, too.
    let mut heard = BTreeMap::new();
    while heard.len() < 3 {
        let (event, id, record) = listener.event();
        assert_eq!((event.as_str(), record["id"].as_str()), ("decision", Some(id.as_str())));
        if record["target"].as_str().unwrap() != "/_peergate/denials" {
            heard.insert(
                record["target"].as_str().unwrap().to_owned(),
                record["decision"].as_str().unwrap().to_owned(),
            );
        }
    }
    heard.remove("/_peergate/decisions");
    let (_, id, record) = of_denials.event();
    assert_eq!(record["target"], "/allowed/not-for-bob");
    let all = daemon.stop();
    let written = all.iter().find(|record| record["id"] == id.as_str()).unwrap();
    assert_eq!(written, &record, "what was heard is what is on record");
}

#[test]
fn reload_ends_streams_and_listeners_ask_again() {
    need_root!();
    let (mut daemon, _upstream) = started();
    let mut listener = Listener::new(&daemon, "/_peergate/decisions");
    assert!(daemon.reload(POLICY));
    let mut rest = String::new();
    listener.0.read_to_string(&mut rest).unwrap();
    let mut again = Listener::new(&daemon, "/_peergate/decisions");
    client::ask(&daemon.socket(), "GET", "/allowed/after");
    while again.event().2["target"] != "/allowed/after" {}
    wait_for_samples(
        &daemon,
        &["peergate_policy_generation 2", r#"peergate_policies_total{result="taken"} 2"#],
    );
    drop(again);
    daemon.stop();
}

#[test]
fn listener_that_leaves_is_let_go_and_one_that_sleeps_holds_up_nobody() {
    need_root!();
    let (daemon, _upstream) = started();
    let asleep = Listener::new(&daemon, "/_peergate/decisions");
    drop(Listener::new(&daemon, "/_peergate/decisions"));
    let long = "x".repeat(7_000);
    // More than all buffers on its way hold together.
    let mut client = Client::connect(&daemon.socket());
    for number in 0..400 {
        client.ask("GET", &format!("/allowed/{number}?{long}"));
        assert_eq!(client.answer().status(), 200);
    }
    let lost = until("lost events", || {
        let text = metrics(&daemon);
        let sample = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
        };
        match (sample("peergate_feed_events_lost_total"), sample("peergate_feeds_open")) {
            (lost @ 1.., 1) => Ok(lost),
            other => Err(format!("{other:?}")),
        }
    });
    println!("{lost} of 400 events lost by who sleeps");
    drop(asleep);
    daemon.stop();
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn deployed(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file)).unwrap()
}

fn get(port: u16, target: &str) -> Result<serde_json::Value, String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(|why| why.to_string())?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {target} HTTP/1.0\r\nHost: localhost\r\n\r\n").map_err(|why| why.to_string())?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(|why| why.to_string())?;
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    serde_json::from_str(body).map_err(|why| format!("{why}: {text}"))
}

#[test]
fn prometheus_scrapes_through_haproxy() {
    need_root!();
    need_programs!("prometheus", "haproxy");
    let (daemon, _upstream) = started();
    for number in 0..7 {
        client::ask(&daemon.socket(), "GET", &format!("/allowed/{number}"));
    }
    let (relay, web) = (free_port(), free_port());
    let haproxy = deployed("prometheus/haproxy.cfg")
        .replace("127.0.0.1:9757", &format!("127.0.0.1:{relay}"))
        .replace("/run/peergate/metrics.sock", daemon.path("run/watch.sock").to_str().unwrap());
    let config = daemon.path("haproxy.cfg");
    std::fs::write(&config, haproxy).unwrap();
    let mut haproxy = person("pg-alice").command("/usr/sbin/haproxy");
    haproxy.arg("-db").arg("-f").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
    let _haproxy = Running(haproxy.spawn().unwrap());
    let prometheus = deployed("prometheus/prometheus.yml")
        .replace("127.0.0.1:9757", &format!("127.0.0.1:{relay}"))
        .replace(": 15s", ": 1s");
    std::fs::write(daemon.path("prometheus.yml"), prometheus).unwrap();
    std::fs::write(daemon.path("peergate.rules.yml"), deployed("prometheus/peergate.rules.yml")).unwrap();
    let mut prometheus = Command::new("prometheus");
    prometheus.arg(format!("--config.file={}", daemon.path("prometheus.yml").display()));
    prometheus.arg(format!("--storage.tsdb.path={}", daemon.path("tsdb").display()));
    prometheus.arg(format!("--web.listen-address=127.0.0.1:{web}"));
    prometheus.stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
    let _prometheus = Running(prometheus.spawn().unwrap());
    let asked = "/api/v1/query?query=peergate_decisions_total%7Broute%3D%22allowed%22%7D";
    let found = until("a scrape", || {
        let answer = get(web, asked)?;
        let value = answer["data"]["result"][0]["value"][1].as_str().unwrap_or_default().to_owned();
        if value == "7" { Ok(answer) } else { Err(answer.to_string()) }
    });
    assert_eq!(found["data"]["result"][0]["metric"]["decision"], "allow");
    let targets = get(web, "/api/v1/targets").unwrap();
    let target = &targets["data"]["activeTargets"][0];
    assert_eq!(
        (target["health"].as_str(), target["lastError"].as_str()),
        (Some("up"), Some("")),
        "{targets}"
    );
    // What only OpenMetrics tells: a counter's type under its name without `_total`, and a unit.
    let told = get(web, "/api/v1/targets/metadata?metric=peergate_request_duration_seconds").unwrap();
    let told = &told["data"][0];
    assert_eq!(
        (told["type"].as_str(), told["unit"].as_str()),
        (Some("histogram"), Some("seconds")),
        "{told}"
    );
    let rules = get(web, "/api/v1/rules").unwrap();
    let rules = rules["data"]["groups"][0]["rules"].as_array().unwrap().clone();
    let bad: Vec<_> = rules.iter().filter(|rule| rule["health"] == "err").collect();
    assert!(rules.len() >= 16 && bad.is_empty(), "{bad:?}");
    // A rate is of two scrapes.
    until("a rate", || {
        let answer = get(web, "/api/v1/query?query=rate(peergate_decisions_total%5B1m%5D)")?;
        if answer["data"]["result"][0].is_object() { Ok(()) } else { Err(answer.to_string()) }
    });
    dashboard::each_panel_is_answered(web);
    let all = daemon.records_of("decision");
    let scrape = all.iter().find(|record| record["route"] == "metrics").unwrap();
    assert_eq!(scrape["uid"], person("pg-alice").uid.as_raw(), "the relay is who called");
    // Anything else ends at the relay.
    let mut stream = TcpStream::connect(("127.0.0.1", relay)).unwrap();
    stream.write_all(b"GET /_peergate/decisions HTTP/1.0\r\n\r\n").unwrap();
    let mut refused = String::new();
    stream.read_to_string(&mut refused).unwrap();
    assert!(refused.contains(" 403 "), "{refused}");
}

/// As the older text format spells it, which is what `promtool check metrics` reads.
fn older_text(text: &str) -> String {
    let counters: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let line = |line: &str| -> Option<String> {
        let mut words = line.splitn(4, ' ');
        match (words.next()?, words.next()?, words.next(), words.next()) {
            ("#", "EOF" | "UNIT", ..) => None,
            ("#", word, Some(name), Some(rest)) if counters.contains(name) => {
                Some(format!("# {word} {name}_total {rest}"))
            }
            ("#", word, Some(name), Some(rest)) if text.contains(&format!("# TYPE {name} info\n")) => {
                Some(format!("# {word} {name}_info {}", rest.replace("info", "gauge")))
            }
            _ => Some(line.to_owned()),
        }
    };
    text.lines().filter_map(line).map(|line| line + "\n").collect()
}

#[test]
fn promtool_finds_nothing_to_complain_about() {
    need_root!();
    need_programs!("promtool");
    let (daemon, _upstream) = started();
    client::ask(&daemon.socket(), "GET", "/allowed/1");
    let text = wait_for_samples(
        &daemon,
        &[r#"peergate_outcomes_total{route="allowed",result="completed",status="2xx"} 1"#],
    );
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.spawn().unwrap();
    child.stdin.take().unwrap().write_all(older_text(&text).as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(said(&output), "");
}

#[test]
fn alert_rules_are_in_order_and_each_is_tested() {
    need_programs!("promtool");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus");
    let promtool = |words: &[&str]| run(Command::new("promtool").args(words).current_dir(&folder));
    promtool(&["check", "rules", "--lint-fatal", "peergate.rules.yml"]);
    promtool(&["test", "rules", "peergate.rules.test.yml"]);
    let tests = deployed("prometheus/peergate.rules.test.yml");
    let rules = deployed("prometheus/peergate.rules.yml");
    let names: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() >= 16);
    for name in names {
        for does in ["fires", "keeps quiet"] {
            assert!(tests.contains(&format!("- name: {name} {does}\n")), "no test that {name} {does}");
        }
    }
}

/// Every word that begins as our metrics do.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("peergate_")).map(str::to_owned).collect()
}

#[test]
fn rules_and_dashboard_name_only_what_is_exported() {
    need_root!();
    let (daemon, _upstream) = started();
    let text = metrics(&daemon);
    let mut exported = BTreeSet::new();
    for line in text.lines() {
        let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) else {
            continue;
        };
        let endings: &[&str] = match kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_count", "_sum"],
            "info" => &["_info"],
            _ => &[""],
        };
        exported.extend(endings.iter().map(|ending| format!("{name}{ending}")));
    }
    assert!(exported.len() > 40);
    for file in
        ["prometheus/peergate.rules.yml", "prometheus/peergate.rules.test.yml", "grafana/peergate.json"]
    {
        let names = named(&deployed(file));
        assert!(names.len() > 10, "{file}");
        let unknown: Vec<_> = names.difference(&exported).collect();
        assert!(unknown.is_empty(), "{file} names what the daemon does not export: {unknown:?}");
    }
    let dashboard: serde_json::Value = serde_json::from_str(&deployed("grafana/peergate.json")).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 20);
    daemon.stop();
}
